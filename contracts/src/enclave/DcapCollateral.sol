// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDcapCertificates} from "../interfaces/IDcapCertificates.sol";
import {IDcapCollateral} from "../interfaces/IDcapCollateral.sol";
import {CodeStorage} from "../libraries/CodeStorage.sol";
import {P256Signature} from "./P256Signature.sol";
import {QeIdentity} from "./QeIdentity.sol";
import {TcbInfo} from "./TcbInfo.sol";

/// @title DcapCollateral: Intel's TCB infos and identities of quoting enclaves, posted by anybody
/// @notice As DcapCertificates: everything is signed, must be current, and be newer than what it replaces.
/// @dev Who posts chooses among what Intel signed that is current, as a verifier off chain would. WARNING: Intel
///      publishes an early and a standard evaluation; once anybody posted the early one, the standard one, of a lower
///      number, is refused.
contract DcapCollateral is IDcapCollateral {
    struct Statement {
        /// @dev Where its compact form is kept as code (CodeStorage).
        address data;
        uint64 issuedAt;
        uint32 evaluation;
        /// @dev Unix seconds; the first in which it counts for nothing.
        uint64 nextUpdate;
        bytes2 pceId;
        bytes32 signer;
    }

    IDcapCertificates public immutable CERTIFICATES;

    mapping(bool isTdx => mapping(bytes6 fmspc => Statement)) private _tcbInfos;
    mapping(bool isTdx => Statement) private _qeIdentities;

    constructor(IDcapCertificates certificates) {
        CERTIFICATES = certificates;
    }

    // ---- posting --------------------------------------------------------------------------------------------------

    /// @notice Posts a TCB info. `json`: the text that is signed; `signature`: r ‖ s.
    /// @param signer keccak256 of the certificate whose key signed it, posted before (DcapCertificates.postSigner).
    function postTcbInfo(bytes32 signer, bytes calldata json, bytes calldata signature) external {
        _requireSigned(signer, json, signature);
        TcbInfo.Document memory it = TcbInfo.parse(json);
        Statement storage known = _tcbInfos[it.isTdx][it.fmspc];
        _store(known, signer, it.issuedAt, it.nextUpdate, it.evaluation, it.data);
        known.pceId = it.pceId;
        emit TcbInfoPosted(it.isTdx, it.fmspc, it.issuedAt, it.nextUpdate, it.evaluation);
    }

    /// @notice Posts the identity of a quoting enclave; parameters as of `postTcbInfo`.
    function postQeIdentity(bytes32 signer, bytes calldata json, bytes calldata signature) external {
        _requireSigned(signer, json, signature);
        QeIdentity.Document memory it = QeIdentity.parse(json);
        _store(_qeIdentities[it.isTdx], signer, it.issuedAt, it.nextUpdate, it.evaluation, it.data);
        emit QeIdentityPosted(it.isTdx, it.issuedAt, it.nextUpdate, it.evaluation);
    }

    // ---- reading --------------------------------------------------------------------------------------------------

    /// @inheritdoc IDcapCollateral
    function requireTcbInfo(bool isTdx, bytes6 fmspc)
        external
        view
        returns (bytes memory data, bytes2 pceId, uint64 expiresAt)
    {
        Statement memory it = _tcbInfos[isTdx][fmspc];
        expiresAt = _requireCurrent("TCB info", it);
        return (CodeStorage.read(it.data), it.pceId, expiresAt);
    }

    /// @inheritdoc IDcapCollateral
    function requireQeIdentity(bool isTdx) external view returns (bytes memory data, uint64 expiresAt) {
        Statement memory it = _qeIdentities[isTdx];
        expiresAt = _requireCurrent("QE identity", it);
        return (CodeStorage.read(it.data), expiresAt);
    }

    /// @notice What is known of platforms of `fmspc`; zeros where nothing is.
    function tcbInfoOf(bool isTdx, bytes6 fmspc) external view returns (Statement memory) {
        return _tcbInfos[isTdx][fmspc];
    }

    /// @notice What is known of quoting enclaves; zeros where nothing is.
    function qeIdentityOf(bool isTdx) external view returns (Statement memory) {
        return _qeIdentities[isTdx];
    }

    // ---- inside ---------------------------------------------------------------------------------------------------

    function _requireSigned(bytes32 signer, bytes calldata json, bytes calldata signature) private view {
        (IDcapCertificates.Issued memory by,) = CERTIFICATES.requireSigner(signer);
        if (signature.length != 64) revert SignatureLength(signature.length);
        P256Signature.requireValid(
            "statement",
            sha256(json),
            P256Signature.Signature(bytes32(signature[:32]), bytes32(signature[32:])),
            P256Signature.Key(by.x, by.y)
        );
    }

    function _store(
        Statement storage known,
        bytes32 signer,
        uint64 issuedAt,
        uint64 nextUpdate,
        uint32 evaluation,
        bytes memory data
    ) private {
        if (block.timestamp < issuedAt || block.timestamp >= nextUpdate) {
            revert IDcapCertificates.CollateralNotCurrent("statement", issuedAt, nextUpdate);
        }
        bool isSame = issuedAt == known.issuedAt && evaluation == known.evaluation;
        if (isSame || issuedAt < known.issuedAt || evaluation < known.evaluation) {
            revert IDcapCertificates.Rollback(issuedAt, known.issuedAt, evaluation, known.evaluation);
        }
        (known.data, known.issuedAt, known.evaluation) = (CodeStorage.write(data), issuedAt, evaluation);
        (known.nextUpdate, known.signer) = (nextUpdate, signer);
    }

    function _requireCurrent(bytes32 what, Statement memory it) private view returns (uint64 expiresAt) {
        if (it.data == address(0)) revert IDcapCertificates.CollateralMissing(what);
        if (block.timestamp >= it.nextUpdate) {
            revert IDcapCertificates.CollateralNotCurrent(what, it.issuedAt, it.nextUpdate);
        }
        (, uint64 signerExpiresAt) = CERTIFICATES.requireSigner(it.signer);
        return it.nextUpdate < signerExpiresAt ? it.nextUpdate : signerExpiresAt;
    }
}
