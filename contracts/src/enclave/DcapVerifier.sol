// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDcapCertificates} from "../interfaces/IDcapCertificates.sol";
import {IDcapCollateral} from "../interfaces/IDcapCollateral.sol";
import {IDcapVerifier} from "../interfaces/IDcapVerifier.sol";
import {P256Signature} from "./P256Signature.sol";
import {PckExtension} from "./PckExtension.sol";
import {Pem} from "./Pem.sol";
import {QeIdentity} from "./QeIdentity.sol";
import {Quote} from "./Quote.sol";
import {TcbInfo} from "./TcbInfo.sol";
import {TcbStatus} from "./TcbStatus.sol";
import {X509} from "./X509.sol";

/// @title DcapVerifier: Intel's quotes verified on chain, at the time of the block
/// @notice The twin of oracle/attest/enclave/dcap.py. Strict unless told otherwise at construction, by relaxations of
///         the same names: then for ever, so a deployment's policy can be read off its address.
contract DcapVerifier is IDcapVerifier {
    uint8 public constant SGX = 1;
    uint8 public constant TDX = 2;

    /// @dev Bits of RELAXATIONS. The first three allow a status, the others a setting of the machine.
    uint8 public constant ALLOW_SW_HARDENING = 1;
    uint8 public constant ALLOW_CONFIGURATION = 2;
    uint8 public constant ALLOW_CONFIGURATION_AND_SW_HARDENING = 4;
    uint8 public constant ALLOW_DYNAMIC_PLATFORM = 8;
    uint8 public constant ALLOW_CACHED_KEYS = 16;
    uint8 public constant ALLOW_SMT = 32;

    IDcapCertificates public immutable CERTIFICATES;
    IDcapCollateral public immutable COLLATERAL;
    uint8 public immutable RELAXATIONS;

    error RelaxationUnknown(uint8 relaxations);
    /// @notice A status that the policy does not allow. `what`: "platform", "module" or "quoting enclave".
    error TcbNotAccepted(bytes32 what, TcbStatus status);
    /// @notice A setting of the machine that the policy does not allow: "dynamic", "cached keys" or "SMT".
    error PlatformNotAccepted(bytes32 what);
    /// @notice The platform's certificate is about another PCE than Intel's statement.
    error AnotherPce(bytes2 pceId, bytes2 expected);
    error NotAPlatformsCertificate();
    /// @notice The quoting enclave vouches for another attestation key.
    error AnotherAttestationKey();

    /// @param relaxations Bits ALLOW_…; 0 is strict.
    constructor(IDcapCollateral collateral, uint8 relaxations) {
        if (relaxations > 63) revert RelaxationUnknown(relaxations);
        CERTIFICATES = collateral.CERTIFICATES();
        COLLATERAL = collateral;
        RELAXATIONS = relaxations;
    }

    /// @inheritdoc IDcapVerifier
    function verify(bytes calldata quote) external view returns (Verified memory it) {
        Quote.Parts memory parts = Quote.split(quote);
        PckExtension.Platform memory platform;
        P256Signature.Key memory key;
        (platform, key, it.expiresAt) = _verifyPlatform(quote, parts);
        _verifyQuotingEnclave(quote, parts, key, it);
        P256Signature.requireValid(
            "quote",
            sha256(quote[:parts.signedEnd]),
            Quote.signatureAt(quote, parts.signature),
            Quote.keyAt(quote, parts.attestationKey)
        );
        _verifyTcb(quote, parts, platform, it);
        Quote.requireProduction(quote, parts);

        it.platform = parts.isTdx ? TDX : SGX;
        it.measurement = Quote.computeMeasurement(quote, parts);
        (it.reportDataHead, it.reportDataTail) = Quote.reportData(quote, parts);
        it.quoteDigest = keccak256(quote);
    }

    /// @dev Root, CA and platform: three certificates, the last two known here by their text.
    function _verifyPlatform(bytes calldata quote, Quote.Parts memory parts)
        private
        view
        returns (PckExtension.Platform memory platform, P256Signature.Key memory, uint64 expiresAt)
    {
        bytes memory text = quote[parts.certificates:parts.certificatesEnd];
        (bytes memory der, uint256 pos) = Pem.decode(text, 0);
        X509.Certificate memory leaf = X509.parse(der);
        if (leaf.isCa) revert NotAPlatformsCertificate();
        IDcapCertificates.Issued memory by;
        (by, expiresAt) = CERTIFICATES.requireAuthority(
            keccak256(quote[parts.certificates + pos:parts.certificatesEnd]), leaf.serial
        );
        X509.requireIssued("platform", leaf, by.name, P256Signature.Key(by.x, by.y));
        X509.requireCurrent(leaf);
        platform = PckExtension.parse(der, leaf.sgxStart, leaf.sgxStop);
        _requireSettings(platform);
        return (platform, leaf.key, _min(expiresAt, leaf.notAfter + 1));
    }

    /// @dev The platform signed the quoting enclave's report, which is Intel's enclave, and vouches for the key.
    function _verifyQuotingEnclave(
        bytes calldata quote,
        Quote.Parts memory parts,
        P256Signature.Key memory key,
        Verified memory it
    ) private view {
        bytes calldata report = quote[parts.qeReport:parts.qeSignature];
        P256Signature.requireValid("quoting enclave", sha256(report), Quote.signatureAt(quote, parts.qeSignature), key);
        bytes32 vouched = sha256(
            bytes.concat(
                quote[parts.attestationKey:parts.attestationKey + 64], quote[parts.qeAuth:parts.certificates - 6]
            )
        );
        if (bytes32(report[320:352]) != vouched || bytes32(report[352:384]) != 0) revert AnotherAttestationKey();
        (bytes memory identity, uint64 expiresAt) = COLLATERAL.requireQeIdentity(parts.isTdx);
        _requireStatus("quoting enclave", QeIdentity.find(identity, report));
        it.expiresAt = _min(it.expiresAt, expiresAt);
    }

    /// @dev Intel's algorithm on the certificate's numbers and, of TDX, the report's.
    function _verifyTcb(
        bytes calldata quote,
        Quote.Parts memory parts,
        PckExtension.Platform memory platform,
        Verified memory it
    ) private view {
        (bytes memory info, bytes2 pceId, uint64 expiresAt) = COLLATERAL.requireTcbInfo(parts.isTdx, platform.fmspc);
        if (pceId != platform.pceId) revert AnotherPce(platform.pceId, pceId);
        TcbInfo.Platform memory measured;
        (measured.components, measured.pceSvn) = (platform.components, platform.pceSvn);
        if (parts.isTdx) {
            bytes calldata body = quote[parts.body:parts.signedEnd];
            measured.tdxComponents = bytes16(body[0:16]);
            (measured.signerHead, measured.signerTail) = (bytes32(body[64:96]), bytes16(body[96:112]));
            measured.attributes = bytes8(body[112:120]);
        }
        (TcbStatus status, TcbStatus module) = TcbInfo.find(info, parts.isTdx, measured);
        _requireStatus("platform", status);
        _requireStatus("module", module);
        it.expiresAt = _min(it.expiresAt, expiresAt);
    }

    function _requireSettings(PckExtension.Platform memory platform) private view {
        if (platform.isDynamic && !_allows(ALLOW_DYNAMIC_PLATFORM)) revert PlatformNotAccepted("dynamic");
        if (platform.hasCachedKeys && !_allows(ALLOW_CACHED_KEYS)) revert PlatformNotAccepted("cached keys");
        if (platform.hasSmt && !_allows(ALLOW_SMT)) revert PlatformNotAccepted("SMT");
    }

    /// @dev Each of the three statuses is allowed by itself, so whichever is the worst of them is.
    function _requireStatus(bytes32 what, TcbStatus status) private view {
        bool isAllowed = status == TcbStatus.UpToDate
            || (status == TcbStatus.SWHardeningNeeded && _allows(ALLOW_SW_HARDENING))
            || (status == TcbStatus.ConfigurationNeeded && _allows(ALLOW_CONFIGURATION))
            || (status == TcbStatus.ConfigurationAndSWHardeningNeeded && _allows(ALLOW_CONFIGURATION_AND_SW_HARDENING));
        if (!isAllowed) revert TcbNotAccepted(what, status);
    }

    function _allows(uint8 relaxation) private view returns (bool) {
        return RELAXATIONS & relaxation != 0;
    }

    function _min(uint64 left, uint64 right) private pure returns (uint64) {
        return left < right ? left : right;
    }
}
