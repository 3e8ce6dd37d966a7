// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Policy} from "./Policy.sol";

/// @title PolicyWords: the policies that consumers write down, by name
/// @notice Every function returns a well-formed word (libraries/Policy.sol) or reverts with MalformedPolicy. What each
///         one protects from is in docs/trust.md, and `affidavit policy explain` says it of any word.
library PolicyWords {
    /// @notice `k` operators must have signed the same answer; final at once.
    function quorum(uint8 k) internal pure returns (bytes32) {
        return build(k, 0, 0);
    }

    /// @notice `k` operators must have signed the same answer, which is final `windowSeconds` later; until then whoever
    ///         has a canonical model replaces a wrong one by the proven one.
    function quorumWithWindow(uint8 k, uint32 windowSeconds) internal pure returns (bytes32) {
        return build(k, 0, windowSeconds);
    }

    /// @notice `k` operators must have signed the same answer, which is final `windowSeconds` later; until then anyone
    ///         can put up a bond and have a committee of other operators, drawn by lot, decide. For opaque models.
    function disputableQuorum(uint8 k, uint32 windowSeconds) internal pure returns (bytes32) {
        return build(k, Policy.FLAG_DISPUTABLE, windowSeconds);
    }

    /// @notice The answer must carry a proof that the model gives it; final at once.
    function proof() internal pure returns (bytes32) {
        return build(0, Policy.FLAG_PROOF, 0);
    }

    /// @notice The answer must carry a proof, and is final `windowSeconds` later: time for people to look.
    function proofWithWindow(uint32 windowSeconds) internal pure returns (bytes32) {
        return build(0, Policy.FLAG_PROOF, windowSeconds);
    }

    /// @notice A proof and the signatures of `k` operators, both; final at once.
    function proofAndQuorum(uint8 k) internal pure returns (bytes32) {
        return build(k, Policy.FLAG_PROOF, 0);
    }

    /// @notice The signatures of `k` operators, and one from an attested enclave of an active operator, both; final at
    ///         once. A simulated enclave is not good enough.
    function quorumAndEnclave(uint8 k) internal pure returns (bytes32) {
        return build(k, Policy.FLAG_ENCLAVE, 0);
    }

    /// @notice Any policy: quorum (0 for none), flags of libraries/Policy.sol, window in seconds (0 for none).
    function build(uint8 k, uint8 flags, uint32 windowSeconds) internal pure returns (bytes32 policy) {
        uint256 word = uint256(Policy.VERSION) << 248 | uint256(k) << 240;
        policy = bytes32(word | uint256(flags) << 232 | uint256(windowSeconds) << 200);
        Policy.requireWellFormed(policy);
    }
}
