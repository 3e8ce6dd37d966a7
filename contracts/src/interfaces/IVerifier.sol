// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Claim, EvidenceKind} from "../libraries/Types.sol";

/// @title One way of checking one kind of evidence
interface IVerifier {
    /// @notice Which of the policy's demands this verifier can satisfy.
    function kind() external view returns (EvidenceKind);

    /// @notice Names this verifier and its evidence format for ever: the first 4 bytes of the keccak256 of a version
    ///         string.
    function selector() external view returns (bytes4);

    /// @notice Returns who is to be paid for the evidence, or reverts when `data` does not prove `claim` under
    ///         `policy`.
    /// @dev MUST revert with a custom error: `deliverBatch` reads an empty revert as running out of gas. WARNING:
    ///      `input` may be empty, whatever the request's input was. A verifier that needs it MUST check that its
    ///      keccak256 is `claim.inputDigest`. The caller has checked that keccak256(output) is `claim.outputDigest`
    ///      and that `claimDigest` is the EIP-712 digest of `claim` in its own domain.
    function verify(
        Claim calldata claim,
        bytes32 claimDigest,
        bytes32 policy,
        bytes calldata input,
        bytes calldata output,
        bytes calldata data
    ) external view returns (address[] memory beneficiaries);
}
