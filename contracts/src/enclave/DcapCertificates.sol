// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDcapCertificates} from "../interfaces/IDcapCertificates.sol";
import {CodeStorage} from "../libraries/CodeStorage.sol";
import {P256Signature} from "./P256Signature.sol";
import {Pem} from "./Pem.sol";
import {RevocationList} from "./RevocationList.sol";
import {X509} from "./X509.sol";

/// @title DcapCertificates: Intel's CAs of platforms, signers of statements and revocation lists, posted by anybody
/// @notice Nobody owns this and nobody is trusted with it: whatever is posted must be signed below the root certificate
///         given at construction, and be valid at that moment; a revocation list must be newer than the one it
///         replaces. What expired counts for nothing: registrations stop when nobody posts, and nothing posted here
///         lets one pass that Intel did not sign.
contract DcapCertificates is IDcapCertificates {
    struct Revocations {
        uint64 thisUpdate;
        uint64 nextUpdate;
        /// @dev Where the serials are kept as code (CodeStorage); zero for none.
        address serials;
    }

    bytes32 public immutable ROOT_DIGEST;
    bytes32 public immutable ROOT_NAME;
    bytes32 public immutable ROOT_X;
    bytes32 public immutable ROOT_Y;
    uint160 public immutable ROOT_SERIAL;
    uint64 public immutable ROOT_NOT_AFTER;

    /// @dev By keccak256 of the text of its certificate and the root's, as it stands in quotes behind the platform's.
    mapping(bytes32 chainDigest => Issued) private _authorities;
    /// @dev By keccak256 of the certificate.
    mapping(bytes32 digest => Issued) private _signers;
    /// @dev By name and key of the issuer.
    mapping(bytes32 issuer => Revocations) private _revocations;

    /// @param root The root certificate in DER: what it signed is what counts. Intel's is "Intel SGX Root CA".
    constructor(bytes memory root) {
        X509.Certificate memory it = X509.parse(root);
        if (!it.isCa) revert NotItsRole("root");
        X509.requireIssued("root", it, it.subject, it.key);
        X509.requireCurrent(it);
        ROOT_DIGEST = keccak256(root);
        ROOT_NAME = it.subject;
        (ROOT_X, ROOT_Y) = (it.key.x, it.key.y);
        (ROOT_SERIAL, ROOT_NOT_AFTER) = (it.serial, it.notAfter);
    }

    // ---- posting --------------------------------------------------------------------------------------------------

    /// @notice Posts a CA of platforms. `chain`: its certificate and the root's, in PEM, byte for byte as quotes end.
    function postAuthority(bytes calldata chain) external returns (bytes32 chainDigest) {
        (bytes memory der, uint256 pos) = Pem.decode(chain, 0);
        bytes memory root;
        (root, pos) = Pem.decode(chain, pos);
        if (pos != chain.length) revert TrailingText(pos);
        if (keccak256(root) != ROOT_DIGEST) revert AnotherRoot(keccak256(root));
        Issued memory it = _requireIssuedByRoot("authority", der, true);
        chainDigest = keccak256(chain);
        _authorities[chainDigest] = it;
        emit AuthorityPosted(chainDigest, _issuerOf(it.name, it.x, it.y), it.serial, it.notAfter);
    }

    /// @notice Posts a certificate, in DER, whose key signs TCB infos and identities of quoting enclaves.
    function postSigner(bytes calldata certificate) external returns (bytes32 digest) {
        Issued memory it = _requireIssuedByRoot("signer", certificate, false);
        digest = keccak256(certificate);
        _signers[digest] = it;
        emit SignerPosted(digest, it.serial, it.notAfter);
    }

    /// @notice Posts the root's revocation list, in DER.
    function postRootRevocations(bytes calldata list) external {
        _postRevocations(list, ROOT_NAME, ROOT_X, ROOT_Y);
    }

    /// @notice Posts the revocation list, in DER, of the CA that was posted as `chainDigest`.
    function postRevocations(bytes32 chainDigest, bytes calldata list) external {
        Issued storage authority = _authorities[chainDigest];
        if (authority.serial == 0) revert CollateralMissing("authority");
        _postRevocations(list, authority.name, authority.x, authority.y);
    }

    // ---- reading --------------------------------------------------------------------------------------------------

    /// @inheritdoc IDcapCertificates
    function requireAuthority(bytes32 chainDigest, uint160 leafSerial)
        external
        view
        returns (Issued memory it, uint64 expiresAt)
    {
        it = _authorities[chainDigest];
        expiresAt = _requireCurrent("authority", it);
        expiresAt = _min(expiresAt, _requireNotRevoked("platform", _issuerOf(it.name, it.x, it.y), leafSerial));
    }

    /// @inheritdoc IDcapCertificates
    function requireSigner(bytes32 digest) external view returns (Issued memory it, uint64 expiresAt) {
        it = _signers[digest];
        expiresAt = _requireCurrent("signer", it);
    }

    /// @notice What is known of a CA; zeros where nothing is.
    function authorityOf(bytes32 chainDigest) external view returns (Issued memory) {
        return _authorities[chainDigest];
    }

    /// @notice What is known of a signer; zeros where nothing is.
    function signerOf(bytes32 digest) external view returns (Issued memory) {
        return _signers[digest];
    }

    /// @notice What is known of an issuer's revocations; zeros where nothing is.
    /// @param issuer keccak256(abi.encode(keccak256 of its name, x, y)), as AuthorityPosted tells it.
    function revocationsOf(bytes32 issuer) external view returns (Revocations memory) {
        return _revocations[issuer];
    }

    /// @notice The root as an issuer of revocations.
    function rootIssuer() public view returns (bytes32) {
        return _issuerOf(ROOT_NAME, ROOT_X, ROOT_Y);
    }

    // ---- inside ---------------------------------------------------------------------------------------------------

    function _postRevocations(bytes calldata list, bytes32 name, bytes32 x, bytes32 y) private {
        RevocationList.List memory it = RevocationList.parse(list);
        if (it.issuer != name) revert X509.NotIssuedBy(it.issuer, name);
        P256Signature.requireValid("revocation list", it.digest, it.signature, P256Signature.Key(x, y));
        if (block.timestamp < it.thisUpdate || block.timestamp >= it.nextUpdate) {
            revert CollateralNotCurrent("revocation list", it.thisUpdate, it.nextUpdate);
        }
        bytes32 issuer = _issuerOf(name, x, y);
        uint64 known = _revocations[issuer].thisUpdate;
        if (it.thisUpdate <= known) revert Rollback(it.thisUpdate, known, 0, 0);
        address serials = it.serials.length == 0 ? address(0) : CodeStorage.write(it.serials);
        _revocations[issuer] = Revocations(it.thisUpdate, it.nextUpdate, serials);
        emit RevocationsPosted(issuer, it.thisUpdate, it.nextUpdate, it.serials.length / RevocationList.SERIAL_BYTES);
    }

    /// @dev What the root issued: to a CA of platforms, or to the signer of statements, and not to a platform.
    function _requireIssuedByRoot(bytes32 what, bytes memory der, bool isCa) private view returns (Issued memory) {
        X509.Certificate memory it = X509.parse(der);
        if (it.isCa != isCa || it.sgxStop != 0) revert NotItsRole(what);
        X509.requireIssued(what, it, ROOT_NAME, P256Signature.Key(ROOT_X, ROOT_Y));
        X509.requireCurrent(it);
        return Issued(it.subject, it.key.x, it.key.y, it.serial, it.notAfter);
    }

    /// @dev Known, in force, and issued by a root that is in force and revoked neither itself nor this.
    function _requireCurrent(bytes32 what, Issued memory it) private view returns (uint64 expiresAt) {
        if (it.serial == 0) revert CollateralMissing(what);
        expiresAt = _min(it.notAfter, ROOT_NOT_AFTER) + 1;
        if (block.timestamp >= expiresAt) revert CollateralNotCurrent(what, 0, expiresAt);
        _requireNotRevoked("root", rootIssuer(), ROOT_SERIAL);
        expiresAt = _min(expiresAt, _requireNotRevoked(what, rootIssuer(), it.serial));
    }

    function _requireNotRevoked(bytes32 what, bytes32 issuer, uint160 serial) private view returns (uint64) {
        Revocations memory it = _revocations[issuer];
        if (it.nextUpdate == 0) revert CollateralMissing("revocation list");
        if (block.timestamp >= it.nextUpdate) {
            revert CollateralNotCurrent("revocation list", it.thisUpdate, it.nextUpdate);
        }
        if (it.serials != address(0) && RevocationList.contains(CodeStorage.read(it.serials), serial)) {
            revert Revoked(what, serial);
        }
        return it.nextUpdate;
    }

    function _issuerOf(bytes32 name, bytes32 x, bytes32 y) private pure returns (bytes32) {
        return keccak256(abi.encode(name, x, y));
    }

    function _min(uint64 left, uint64 right) private pure returns (uint64) {
        return left < right ? left : right;
    }
}
