// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Verifies Intel's SGX and TDX quotes on chain
interface IDcapVerifier {
    struct Verified {
        /// @dev 1 SGX, 2 TDX.
        uint8 platform;
        /// @dev keccak256 of the measured registers, as operators sign it.
        bytes32 measurement;
        /// @dev The 64 bytes that the enclave put in.
        bytes32 reportDataHead;
        bytes32 reportDataTail;
        /// @dev keccak256 of the quote. Not a name for it: whoever has a quote can make another of it (P256Signature).
        bytes32 quoteDigest;
        /// @dev Unix seconds; the first second in which something it rests on has expired.
        uint64 expiresAt;
    }

    /// @notice What `quote` says, at the time of this block. Reverts unless everything about it holds.
    /// @param quote SGX version 3, TDX version 4 or 5, with the platform's certificates (type 5), without padding.
    function verify(bytes calldata quote) external view returns (Verified memory);
}
