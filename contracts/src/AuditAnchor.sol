// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {MerkleLog} from "./libraries/MerkleLog.sol";

/// @title AuditAnchor: the latest tree head of every audit log, extended only by proof
/// @notice Accepts a head only when the log's anchor key signed it and RFC 9162 consistency with the head before is
///         proven here: a forked or rewound log cannot be anchored at all. Anyone may submit; nobody owns this
///         contract.
contract AuditAnchor is EIP712 {
    bytes32 internal constant ANCHOR_TYPEHASH = keccak256("Anchor(bytes32 logId,uint64 size,bytes32 root)");

    /// @notice A tree head: number of leaves, and RFC 9162 root hash.
    struct Head {
        uint64 size;
        bytes32 root;
    }

    mapping(bytes32 logId => Head) private _heads;

    event Anchored(bytes32 indexed logId, uint64 size, bytes32 root);

    error ZeroAnchorKey();
    error EmptyTree();
    error FirstAnchorTakesNoProof();
    error SizeNotIncreasing(uint64 anchoredSize, uint64 gotSize);
    error BadAnchorSignature(address expected, address recovered);
    error UnknownLog(bytes32 logId);

    constructor() EIP712("Affidavit Anchor", "1") {}

    /// @notice Anchors a larger tree of a log.
    /// @param originDigest keccak256 of the C2SP origin line of the log's checkpoints.
    /// @param anchorKey The key that authorises anchors; part of the log's id.
    /// @param size Number of leaves, more than anchored before.
    /// @param root RFC 9162 root of those leaves.
    /// @param proof Consistency proof from the anchored tree; empty for the first anchor.
    /// @param signature By `anchorKey` over the EIP-712 struct Anchor(logId, size, root); r‖s‖v, low s.
    /// @return logId keccak256(abi.encode(originDigest, anchorKey)).
    function anchor(
        bytes32 originDigest,
        address anchorKey,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external returns (bytes32 logId) {
        if (anchorKey == address(0)) revert ZeroAnchorKey();
        if (size == 0) revert EmptyTree();
        logId = computeLogId(originDigest, anchorKey);
        Head storage head = _heads[logId];
        (uint64 oldSize, bytes32 oldRoot) = (head.size, head.root);
        if (size <= oldSize) revert SizeNotIncreasing(oldSize, size);
        _requireSigned(anchorKey, computeAnchorDigest(logId, size, root), signature);
        if (oldSize == 0 && proof.length != 0) revert FirstAnchorTakesNoProof();
        if (oldSize != 0) MerkleLog.requireConsistency(oldSize, oldRoot, size, root, proof);

        (head.size, head.root) = (size, root);
        emit Anchored(logId, size, root);
    }

    /// @notice Reverts unless the leaf stands at `index` of the log's latest anchored tree.
    /// @param leafHash SHA-256(0x00 ‖ entry).
    function verifyInclusion(bytes32 logId, bytes32 leafHash, uint64 index, bytes32[] calldata proof) external view {
        Head storage head = _heads[logId];
        if (head.size == 0) revert UnknownLog(logId);
        MerkleLog.requireInclusion(leafHash, index, head.size, proof, head.root);
    }

    /// @notice The latest anchored head; zeros for a log never anchored.
    function latest(bytes32 logId) external view returns (uint64 size, bytes32 root) {
        Head storage head = _heads[logId];
        return (head.size, head.root);
    }

    /// @notice A log is its origin and the key that may anchor it.
    function computeLogId(bytes32 originDigest, address anchorKey) public pure returns (bytes32) {
        return keccak256(abi.encode(originDigest, anchorKey));
    }

    /// @notice What the anchor key signs.
    function computeAnchorDigest(bytes32 logId, uint64 size, bytes32 root) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(ANCHOR_TYPEHASH, logId, size, root)));
    }

    function _requireSigned(address anchorKey, bytes32 digest, bytes calldata signature) private pure {
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (recovered != anchorKey) revert BadAnchorSignature(anchorKey, recovered);
    }
}
