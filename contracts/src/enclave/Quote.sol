// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {P256Signature} from "./P256Signature.sol";

/// @title The bytes of a DCAP quote: SGX version 3, TDX versions 4 and 5, with the platform's certificates in it
/// @notice Every length is the one that its contents have, so no byte is outside of what is signed or compared.
///         Source: Intel SGX DCAP Quote Generation Library (quote 3), Intel TDX DCAP Quoting Library API (4 and 5).
library Quote {
    /// @dev Offsets into the quote, and where what begins there ends.
    struct Parts {
        bool isTdx;
        uint256 body;
        /// @dev Header and body: what the attestation key signs.
        uint256 signedEnd;
        uint256 signature;
        uint256 attestationKey;
        uint256 qeReport;
        uint256 qeSignature;
        uint256 qeAuth;
        uint256 certificates;
        uint256 certificatesEnd;
    }

    uint256 private constant HEADER_BYTES = 48;
    uint256 private constant SGX_BODY_BYTES = 384;
    uint256 private constant TDX_10_BODY_BYTES = 584;
    uint256 private constant TDX_15_BODY_BYTES = 648;
    uint256 private constant QE_REPORT_BYTES = 384;
    uint256 private constant QE_AUTH_BYTES = 32;
    bytes16 private constant INTEL_QE_VENDOR = hex"939a7233f79c4ca9940a0db3957f0607";

    /// @notice Not a quote as described above; `what` is the first field that is not.
    error QuoteMalformed(bytes32 what);
    error DebugEnclave();
    /// @notice Attributes of the enclave that no production enclave has.
    error AttributesRefused(bytes32 what);

    /// @notice The parts of `quote`, which must end with the last of them: padding is for the sender to strip.
    function split(bytes calldata quote) internal pure returns (Parts memory it) {
        if (quote.length < HEADER_BYTES + SGX_BODY_BYTES) revert QuoteMalformed("length");
        uint256 version = _littleEndian(quote, 0, 2);
        uint256 tee = _littleEndian(quote, 4, 4);
        if (_littleEndian(quote, 2, 2) != 2) revert QuoteMalformed("attestation key type");
        if (bytes16(quote[12:28]) != INTEL_QE_VENDOR) revert QuoteMalformed("vendor");
        it.isTdx = tee == 0x81;
        if (it.isTdx ? version != 4 && version != 5 : version != 3 || tee != 0) revert QuoteMalformed("version");
        (it.body, it.signedEnd) = _body(quote, version);
        it.signature = it.signedEnd + 4;
        if (quote.length < it.signature + 128 + 6 + QE_REPORT_BYTES + 64 + 2 + QE_AUTH_BYTES + 6) {
            revert QuoteMalformed("length");
        }
        if (_littleEndian(quote, it.signedEnd, 4) != quote.length - it.signature) revert QuoteMalformed("length");
        _splitSignatures(quote, version, it);
    }

    /// @dev A quote 5 says of its body which one it is and how long.
    function _body(bytes calldata quote, uint256 version) private pure returns (uint256 start, uint256 end) {
        if (version == 3) return (HEADER_BYTES, HEADER_BYTES + SGX_BODY_BYTES);
        if (version == 4) return (HEADER_BYTES, HEADER_BYTES + TDX_10_BODY_BYTES);
        uint256 kind = _littleEndian(quote, HEADER_BYTES, 2);
        if (kind != 2 && kind != 3) revert QuoteMalformed("body type");
        uint256 size = kind == 2 ? TDX_10_BODY_BYTES : TDX_15_BODY_BYTES;
        if (_littleEndian(quote, HEADER_BYTES + 2, 4) != size) revert QuoteMalformed("body length");
        return (HEADER_BYTES + 6, HEADER_BYTES + 6 + size);
    }

    /// @dev Signature 64 ‖ attestation key 64 ‖ from version 4 on (type 6 ‖ length) ‖ report of the quoting enclave ‖
    ///      its signature 64 ‖ length and authentication data ‖ type 5 ‖ length ‖ certificates, perhaps a zero byte.
    function _splitSignatures(bytes calldata quote, uint256 version, Parts memory it) private pure {
        it.attestationKey = it.signature + 64;
        it.qeReport = it.attestationKey + 64;
        if (version > 3) {
            _requireHead(quote, it.qeReport, 6);
            it.qeReport += 6;
        }
        it.qeSignature = it.qeReport + QE_REPORT_BYTES;
        it.qeAuth = it.qeSignature + 66;
        if (_littleEndian(quote, it.qeAuth - 2, 2) != QE_AUTH_BYTES) revert QuoteMalformed("authentication data");
        uint256 head = it.qeAuth + QE_AUTH_BYTES;
        _requireHead(quote, head, 5);
        it.certificates = head + 6;
        it.certificatesEnd = quote.length;
        if (it.certificatesEnd > it.certificates && quote[quote.length - 1] == 0) --it.certificatesEnd;
    }

    function _requireHead(bytes calldata quote, uint256 pos, uint256 kind) private pure {
        bool isKind = _littleEndian(quote, pos, 2) == kind;
        if (!isKind || _littleEndian(quote, pos + 2, 4) != quote.length - pos - 6) {
            revert QuoteMalformed("certification data");
        }
    }

    // ---- what the body says ---------------------------------------------------------------------------------------

    /// @notice Refuses an enclave that can be looked into, or that is not what it says: by its attributes.
    function requireProduction(bytes calldata quote, Parts memory it) internal pure {
        if (!it.isTdx) {
            uint8 flags = uint8(quote[it.body + 48]);
            if (flags & 0x02 != 0) revert DebugEnclave();
            if (flags & 0x05 != 0x05) revert AttributesRefused("not initialised or not 64 bit");
            return;
        }
        uint256 attributes = _littleEndian(quote, it.body + 120, 8);
        if (attributes & 0xff != 0) revert DebugEnclave();
        // Reserved, or let the host count what the guest does: bits 8 to 27, 29, and from 32. Bit 28: a page that the
        // host takes away is a fault, and not an exception that the guest handles.
        if (attributes & 0xffffffff2fffff00 != 0) revert AttributesRefused("reserved bits");
        if (attributes & (1 << 28) == 0) revert AttributesRefused("SEPT_VE_DISABLE");
        if (it.signedEnd - it.body == TDX_15_BODY_BYTES) {
            // Behind the report 1.0: TEE_TCB_SVN_2, and the measurement of a service TD, which could move the guest.
            bytes calldata service = quote[it.body + 600:it.body + 648];
            if (bytes32(service) != 0 || bytes16(service[32:]) != 0) revert AttributesRefused("service TD");
        }
    }

    /// @notice keccak256 of the measured registers (oracle/attest/enclave/report.py, REGISTERS): MRENCLAVE, MRSIGNER,
    ///         product and version big-endian; or MRTD and RTMR0 to 2.
    function computeMeasurement(bytes calldata quote, Parts memory it) internal pure returns (bytes32) {
        bytes calldata body = quote[it.body:it.signedEnd];
        if (it.isTdx) return keccak256(bytes.concat(body[136:184], body[328:472]));
        return keccak256(bytes.concat(body[64:96], body[128:160], body[257], body[256], body[259], body[258]));
    }

    /// @notice What the enclave bound itself to.
    function reportData(bytes calldata quote, Parts memory it) internal pure returns (bytes32 head, bytes32 tail) {
        uint256 pos = it.body + (it.isTdx ? 520 : 320);
        return (bytes32(quote[pos:pos + 32]), bytes32(quote[pos + 32:pos + 64]));
    }

    function signatureAt(bytes calldata quote, uint256 pos) internal pure returns (P256Signature.Signature memory) {
        return P256Signature.Signature(bytes32(quote[pos:pos + 32]), bytes32(quote[pos + 32:pos + 64]));
    }

    function keyAt(bytes calldata quote, uint256 pos) internal pure returns (P256Signature.Key memory) {
        return P256Signature.Key(bytes32(quote[pos:pos + 32]), bytes32(quote[pos + 32:pos + 64]));
    }

    function _littleEndian(bytes calldata quote, uint256 pos, uint256 size) private pure returns (uint256 value) {
        for (uint256 i = size; i > 0; --i) {
            value = value << 8 | uint8(quote[pos + i - 1]);
        }
    }
}
