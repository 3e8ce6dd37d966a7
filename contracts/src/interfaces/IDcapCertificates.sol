// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Intel's certificates and what of them was revoked, kept on chain
interface IDcapCertificates {
    /// @notice What is needed of a certificate once it was verified.
    struct Issued {
        /// @dev keccak256 of the DER of its subject.
        bytes32 name;
        bytes32 x;
        bytes32 y;
        uint160 serial;
        /// @dev Unix seconds; the last in which it is valid.
        uint64 notAfter;
    }

    event AuthorityPosted(bytes32 indexed chainDigest, bytes32 indexed issuer, uint160 serial, uint64 notAfter);
    event SignerPosted(bytes32 indexed digest, uint160 serial, uint64 notAfter);
    event RevocationsPosted(bytes32 indexed issuer, uint64 thisUpdate, uint64 nextUpdate, uint256 count);

    /// @notice Nothing of this kind was posted. `what` names it.
    error CollateralMissing(bytes32 what);
    /// @notice Posted, but too old to count, or not valid yet.
    error CollateralNotCurrent(bytes32 what, uint64 from, uint64 until);
    /// @notice Not newer than what is known, or of an older evaluation of Intel's (0 where there is none).
    error Rollback(uint64 issuedAt, uint64 knownIssuedAt, uint32 evaluation, uint32 knownEvaluation);
    error Revoked(bytes32 what, uint160 serial);
    /// @notice Another root certificate than the one given at construction.
    error AnotherRoot(bytes32 digest);
    /// @notice A CA where none may be, or none where there must be one.
    error NotItsRole(bytes32 what);
    error TrailingText(uint256 pos);

    /// @notice The key and name of the CA whose certificates' text has `chainDigest`, both of them current and not
    ///         revoked, nor `leafSerial`, which it issued, revoked. All lists are current.
    /// @return it The CA.
    /// @return expiresAt The first second in which one of them is not.
    function requireAuthority(bytes32 chainDigest, uint160 leafSerial)
        external
        view
        returns (Issued memory it, uint64 expiresAt);

    /// @notice The signer of Intel's statements whose certificate has `digest`: current, and not revoked.
    /// @return it The signer.
    /// @return expiresAt The first second in which it is not.
    function requireSigner(bytes32 digest) external view returns (Issued memory it, uint64 expiresAt);
}
