// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IOperatorRegistry} from "../interfaces/IOperatorRegistry.sol";
import {IVerifier} from "../interfaces/IVerifier.sol";
import {Policy} from "../libraries/Policy.sol";
import {Claim, EvidenceKind} from "../libraries/Types.sol";

/// @title QuorumVerifier: k of the registered operators signed the claim (ECDSA)
/// @notice Evidence: 32-byte bitmap, bit i for operator index i, then one 65-byte signature r‖s‖v per set bit, lowest
///         index first. Exactly one valid encoding exists for a set of signatures: indices cannot repeat or be out of
///         order, s is low, v is 27 or 28. More signers than k are accepted, and all are paid.
contract QuorumVerifier is IVerifier {
    bytes4 internal constant SELECTOR = bytes4(keccak256("affidavit.verifier.quorum-ecdsa.v1"));
    uint256 internal constant BITMAP_BYTES = 32;
    uint256 internal constant SIGNATURE_BYTES = 65;

    IOperatorRegistry public immutable OPERATORS;

    error NoQuorumDemanded(bytes32 policy);
    error EvidenceTooShort(uint256 minBytes, uint256 gotBytes);
    error EvidenceLength(uint256 expectedBytes, uint256 gotBytes);
    error QuorumNotMet(uint256 demanded, uint256 got);
    error WrongSigner(address expected, address recovered);

    constructor(IOperatorRegistry operators) {
        OPERATORS = operators;
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
        if (data.length < BITMAP_BYTES) revert EvidenceTooShort(BITMAP_BYTES, data.length);
        address[] memory signers;
        (beneficiaries, signers) = OPERATORS.activeSigners(uint256(bytes32(data[:BITMAP_BYTES])));
        if (signers.length < demanded) revert QuorumNotMet(demanded, signers.length);
        uint256 expectedBytes = BITMAP_BYTES + SIGNATURE_BYTES * signers.length;
        if (data.length != expectedBytes) revert EvidenceLength(expectedBytes, data.length);
        _requireSignatures(claimDigest, signers, data[BITMAP_BYTES:]);
    }

    function _requireSignatures(bytes32 claimDigest, address[] memory signers, bytes calldata signatures)
        private
        pure
    {
        for (uint256 i; i < signers.length; ++i) {
            bytes calldata signature = signatures[i * SIGNATURE_BYTES:(i + 1) * SIGNATURE_BYTES];
            // On any error `recovered` is zero, and no seat has the zero address as its signer.
            (address recovered,,) = ECDSA.tryRecoverCalldata(claimDigest, signature);
            if (recovered != signers[i] || recovered == address(0)) revert WrongSigner(signers[i], recovered);
        }
    }
}
