// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Enclaves: keys in attested hardware, each for a time; a quorum of operators verified the quote, or this chain
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

    /// @notice What an operator says of its key when this chain verifies the quote; everything else is in the quote.
    struct DirectRegistration {
        address key;
        bytes32 runtimeDigest;
        /// @dev Unix seconds; not beyond what the quote's collateral lasts.
        uint64 expiresAt;
        bytes32 nonce;
    }

    /// @notice What a quorum decided about one measurement on one platform with one runtime.
    struct Approval {
        bool isApproved;
        /// @dev How many decisions there were; the next one carries this number.
        uint64 decisions;
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

    /// @notice The key of the EnclaveRegistered before it was registered without a quorum.
    event EnclaveVerifiedOnChain(address indexed key, bytes32 indexed approval);
    event MeasurementDecided(
        uint8 indexed platform,
        bytes32 indexed measurement,
        bytes32 indexed runtimeDigest,
        bool isApproved,
        uint64 decision
    );

    /// @notice This deployment verifies no quotes on chain: it was built without a DcapVerifier.
    error NoDcapVerifier();
    /// @notice No quorum approved this measurement with this runtime, or one withdrew its approval.
    error MeasurementNotApproved(uint8 platform, bytes32 measurement, bytes32 runtimeDigest);
    /// @notice The quote was made for something else than this registration.
    error ReportDataMismatch(bytes32 expected, bytes32 gotHead, bytes32 gotTail);
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
