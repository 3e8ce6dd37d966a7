// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Enclaves: keys that a quorum of operators found in attested hardware, each for a time
interface IEnclaveRegistry {
    /// @notice What operators sign about a key, after each has verified the quote off chain (docs/enclaves.md).
    struct Attestation {
        address key;
        address operator;
        /// @dev 1 SGX, 2 TDX, 3 NITRO, 4 SEV_SNP, 255 SIMULATED.
        uint8 platform;
        /// @dev keccak256 of the platform's measured registers, in a documented order.
        bytes32 measurement;
        /// @dev What runs models in there: name, version, provider and optimisation level.
        bytes32 runtimeDigest;
        bytes32 quoteDigest;
        /// @dev Unix seconds; the first second in which the key counts for nothing.
        uint64 expiresAt;
        /// @dev Drawn by `begin`; the quote is bound to it, so it was made afterwards and for this registration alone.
        bytes32 nonce;
    }

    /// @notice UNKNOWN ──register──▶ VALID ──register──▶ VALID (renewed) ──revoke──▶ REVOKED. Time ends VALID too.
    struct Key {
        address operator;
        uint8 platform;
        bool isRevoked;
        uint64 expiresAt;
        bytes32 measurement;
        bytes32 runtimeDigest;
        bytes32 quoteDigest;
    }

    event RegistrationBegun(address indexed operator, bytes32 nonce, uint64 until);
    event EnclaveRegistered(
        address indexed key,
        address indexed operator,
        uint8 indexed platform,
        bytes32 measurement,
        bytes32 runtimeDigest,
        bytes32 quoteDigest,
        uint64 expiresAt
    );
    event EnclaveRevoked(address indexed key, address indexed operator, bytes32 reason, bool byOperator);

    error NoQuorum();
    error LifetimeZero();
    error NotTheOperator(address operator, address caller);
    error OperatorNotActive(address operator);
    error PlatformUnknown(uint8 platform);
    error NonceUnknown(address operator, bytes32 nonce);
    error NonceOld(uint64 until);
    error KeyIsOperators(address key);
    error KeyTaken(address key, address operator);
    error KeyRevoked(address key);
    error KeyUnknown(address key);
    error KeyExpired(address key, uint64 expiresAt);
    error ExpiryOutOfRange(uint64 earliest, uint64 latest, uint64 got);
    error SignedForItself(address operator);

    /// @notice What is known of a key; zeros for one never registered.
    function keyOf(address key) external view returns (Key memory);

    /// @notice The operator who answers for a key, now: reverts for a key that is unknown, revoked or expired, and for
    ///         an operator who is not active.
    function requireValid(address key) external view returns (address operator, bool isSimulated);
}
