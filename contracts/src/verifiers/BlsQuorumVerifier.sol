// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBlsKeys} from "../interfaces/IBlsKeys.sol";
import {IVerifier} from "../interfaces/IVerifier.sol";
import {Bls} from "../libraries/Bls.sol";
import {Policy} from "../libraries/Policy.sol";
import {Claim, EvidenceKind} from "../libraries/Types.sol";

/// @title BlsQuorumVerifier: k of the registered operators signed the claim, in one aggregated BLS signature
/// @notice Evidence: 32-byte bitmap, bit i for operator index i, then the 96-byte sum of their signatures of the
///         claim's digest. BLS signatures are unique and a point has one encoding, so exactly one valid
///         evidence exists for a set of operators. More signers than k are accepted, and all are paid.
contract BlsQuorumVerifier is IVerifier {
    bytes4 internal constant SELECTOR = bytes4(keccak256("affidavit.verifier.quorum-bls.v1"));
    uint256 internal constant BITMAP_BYTES = 32;
    uint256 internal constant EVIDENCE_BYTES = 128;

    IBlsKeys public immutable KEYS;

    error NoQuorumDemanded(bytes32 policy);
    error EvidenceLength(uint256 expectedBytes, uint256 gotBytes);
    error QuorumNotMet(uint256 demanded, uint256 got);
    error WrongAggregate(bytes32 claimDigest);

    constructor(IBlsKeys keys) {
        KEYS = keys;
    }

    /// @inheritdoc IVerifier
    function kind() external pure returns (EvidenceKind) {
        return EvidenceKind.QUORUM;
    }

    /// @inheritdoc IVerifier
    function selector() external pure returns (bytes4) {
        return SELECTOR;
    }

    /// @inheritdoc IVerifier
    function verify(
        Claim calldata,
        bytes32 claimDigest,
        bytes32 policy,
        bytes calldata,
        bytes calldata,
        bytes calldata data
    ) external view returns (address[] memory beneficiaries) {
        uint256 demanded = Policy.quorum(policy);
        if (demanded == 0) revert NoQuorumDemanded(policy);
        if (data.length != EVIDENCE_BYTES) revert EvidenceLength(EVIDENCE_BYTES, data.length);
        bytes memory key;
        (beneficiaries, key) = KEYS.sumOfActive(uint256(bytes32(data[:BITMAP_BYTES])));
        if (beneficiaries.length < demanded) revert QuorumNotMet(demanded, beneficiaries.length);
        if (!Bls.isSigned(Bls.CLAIMS, claimDigest, data[BITMAP_BYTES:], key)) revert WrongAggregate(claimDigest);
    }
}
