// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EvidenceKind} from "./Types.sol";

/// @title Policy: the evidence a consumer demands, packed in 32 bytes, big-endian
/// @notice byte 0: version, 1 · byte 1: quorum k, 0 demands none · byte 2: flags, bit 0 proof, bit 1 enclave, bit 2 a
///         simulated enclave is good enough (only with bit 1), bit 3 disputable (only with a window) · bytes 3–6:
///         window in seconds · bytes 7–31: zero. Exactly one encoding exists for every policy. An enclave is demanded
///         only beside a quorum or a proof.
library Policy {
    uint8 internal constant VERSION = 1;
    uint8 internal constant FLAG_PROOF = 1;
    uint8 internal constant FLAG_ENCLAVE = 2;
    uint8 internal constant FLAG_SIMULATED = 4;
    uint8 internal constant FLAG_DISPUTABLE = 8;

    /// @notice A proof and nothing else: what a challenge is verified under, whatever the request's policy is.
    bytes32 internal constant PROOF = bytes32(bytes3(0x010001));

    /// @notice Not a policy: wrong version, unknown flag, non-zero padding, no evidence demanded at all, an enclave
    ///         alone, or disputes without a window to open them in.
    error MalformedPolicy(bytes32 policy);

    /// @notice Reverts unless `policy` is well-formed and demands a quorum or a proof.
    function requireWellFormed(bytes32 policy) internal pure {
        bool isVersionKnown = uint8(policy[0]) == VERSION;
        bool areFlagsKnown = uint8(policy[2]) & ~(FLAG_PROOF | FLAG_ENCLAVE | FLAG_SIMULATED | FLAG_DISPUTABLE) == 0
            && (demandsEnclave(policy) || !allowsSimulated(policy))
            && (windowSeconds(policy) != 0 || !isDisputable(policy));
        bool isPaddingZero = uint256(policy) << 56 == 0;
        // A key taken out of an enclave signs anything, so an enclave alone is no evidence.
        bool isDemanding = quorum(policy) != 0 || uint8(policy[2]) & FLAG_PROOF != 0;
        if (!(isVersionKnown && areFlagsKnown && isPaddingZero && isDemanding)) revert MalformedPolicy(policy);
    }

    /// @notice How many operator signatures are demanded, 0–255.
    function quorum(bytes32 policy) internal pure returns (uint8) {
        return uint8(policy[1]);
    }

    /// @notice Whether the signature of a key in an enclave is demanded.
    function demandsEnclave(bytes32 policy) internal pure returns (bool) {
        return uint8(policy[2]) & FLAG_ENCLAVE != 0;
    }

    /// @notice Whether the enclave may be a simulated one, which proves nothing about what runs.
    function allowsSimulated(bytes32 policy) internal pure returns (bool) {
        return uint8(policy[2]) & FLAG_SIMULATED != 0;
    }

    /// @notice Whether anyone may call for a committee within the window, and the lottery for an audit.
    function isDisputable(bytes32 policy) internal pure returns (bool) {
        return uint8(policy[2]) & FLAG_DISPUTABLE != 0;
    }

    /// @notice Seconds between delivery and finality.
    function windowSeconds(bytes32 policy) internal pure returns (uint32) {
        return uint32(bytes4(policy << 24));
    }

    /// @notice The demanded kinds in the fixed order of the evidence array: quorum, proof, enclave.
    function demandedKinds(bytes32 policy) internal pure returns (EvidenceKind[] memory kinds) {
        kinds = new EvidenceKind[](3);
        uint256 count;
        if (quorum(policy) != 0) kinds[count++] = EvidenceKind.QUORUM;
        if (uint8(policy[2]) & FLAG_PROOF != 0) kinds[count++] = EvidenceKind.PROOF;
        if (demandsEnclave(policy)) kinds[count++] = EvidenceKind.ENCLAVE;
        assembly ("memory-safe") {
            mstore(kinds, count)
        }
    }
}
