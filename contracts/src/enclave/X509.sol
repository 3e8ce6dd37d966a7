// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Calendar} from "./Calendar.sol";
import {Der} from "./Der.sol";
import {P256Signature} from "./P256Signature.sol";

/// @title The X.509 certificates of Intel's attestation: version 3, a P-256 key, signed by a P-256 key
/// @notice Anything else is refused: another algorithm, a critical extension that is not understood, an extension of
///         those that count twice, a serial number that is not positive and at most 20 bytes. Source: RFC 5280, 4.1.
library X509 {
    struct Certificate {
        uint160 serial;
        uint64 notBefore;
        /// @dev The last second in which it is valid.
        uint64 notAfter;
        /// @dev keccak256 of the names' DER.
        bytes32 issuer;
        bytes32 subject;
        P256Signature.Key key;
        /// @dev SHA-256 of what is signed.
        bytes32 digest;
        P256Signature.Signature signature;
        /// @dev May sign certificates and revocation lists.
        bool isCa;
        /// @dev The value of Intel's extension 1.2.840.113741.1.13.1; an empty range at zero without one.
        uint256 sgxStart;
        uint256 sgxStop;
    }

    /// @dev SEQUENCE { ecdsa-with-SHA256 }.
    bytes32 internal constant ECDSA_SHA256 = hex"300a06082a8648ce3d040302";
    uint256 internal constant ECDSA_SHA256_BYTES = 12;
    /// @dev SubjectPublicKeyInfo of P-256 up to the coordinates of an uncompressed point.
    bytes32 private constant P256_KEY = hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004";
    uint256 private constant P256_KEY_BYTES = 27;
    /// @dev [0] { INTEGER 2 }: version 3.
    bytes32 private constant VERSION_3 = hex"a003020102";

    bytes32 private constant KEY_USAGE = hex"0603551d0f";
    bytes32 private constant BASIC_CONSTRAINTS = hex"0603551d13";
    bytes32 private constant SGX = hex"06092a864886f84d010d01";
    /// @dev keyCertSign and cRLSign.
    uint256 private constant SIGNS = 0x06;

    error SerialMalformed(uint256 serial);
    error CriticalExtensionUnknown(uint256 pos);
    error ExtensionTwice(uint256 pos);
    /// @notice Basic constraints and key usage that contradict each other, or are not there.
    error UsageMalformed();
    error NotIssuedBy(bytes32 issuer, bytes32 expected);
    error CertificateNotValid(uint64 notBefore, uint64 notAfter, uint256 now_);

    /// @notice The certificate that `der` is, to its last byte.
    function parse(bytes memory der) internal view returns (Certificate memory it) {
        (uint256 pos, uint256 end) = Der.enter(der, 0, der.length, Der.SEQUENCE);
        Der.requireEnd(end, der.length);
        (uint256 start, uint256 stop) = Der.enter(der, pos, end, Der.SEQUENCE);
        it.digest = Der.sha(der, pos, stop);
        pos = Der.expect(der, stop, end, ECDSA_SHA256, ECDSA_SHA256_BYTES);
        it.signature = P256Signature.readDer(der, pos, end);

        start = Der.expect(der, start, stop, VERSION_3, 5);
        (it.serial, start) = readSerial(der, start, stop);
        start = Der.expect(der, start, stop, ECDSA_SHA256, ECDSA_SHA256_BYTES);
        (it.issuer, start) = readName(der, start, stop);
        start = _readValidity(der, start, stop, it);
        (it.subject, start) = readName(der, start, stop);
        start = Der.expect(der, start, stop, P256_KEY, P256_KEY_BYTES);
        if (start + 64 > stop) revert Der.LengthMalformed(start);
        it.key.x = bytes32(Der.uintAt(der, start, 32));
        it.key.y = bytes32(Der.uintAt(der, start + 32, 32));
        _readExtensions(der, start + 64, stop, it);
    }

    /// @notice Refuses a certificate that `issuer` did not sign under its name. Validity and revocation are not asked.
    function requireIssued(bytes32 what, Certificate memory it, bytes32 issuer, P256Signature.Key memory key)
        internal
        view
    {
        if (it.issuer != issuer) revert NotIssuedBy(it.issuer, issuer);
        P256Signature.requireValid(what, it.digest, it.signature, key);
    }

    function requireCurrent(Certificate memory it) internal view {
        if (block.timestamp < it.notBefore || block.timestamp > it.notAfter) {
            revert CertificateNotValid(it.notBefore, it.notAfter, block.timestamp);
        }
    }

    /// @notice A serial number: positive, at most 20 bytes (RFC 5280, 4.1.2.2).
    function readSerial(bytes memory der, uint256 pos, uint256 end) internal pure returns (uint160, uint256) {
        (uint256 serial, uint256 next) = Der.readUint(der, pos, end, 20);
        if (serial == 0) revert SerialMalformed(serial);
        return (uint160(serial), next);
    }

    /// @notice The digest of a name. Names are compared byte for byte.
    function readName(bytes memory der, uint256 pos, uint256 end)
        internal
        pure
        returns (bytes32 digest, uint256 next)
    {
        next = Der.skip(der, pos, end, Der.SEQUENCE);
        digest = Der.keccak(der, pos, next);
    }

    /// @notice UTCTime or GeneralizedTime, in Unix seconds.
    function readTime(bytes memory der, uint256 pos, uint256 end) internal pure returns (uint64 time, uint256 next) {
        bool isUtc = Der.tagAt(der, pos, end) == Der.UTC_TIME;
        uint256 start;
        (start, next) = Der.enter(der, pos, end, isUtc ? Der.UTC_TIME : Der.GENERALIZED_TIME);
        if (next - start != (isUtc ? 13 : 15)) revert Der.LengthMalformed(pos);
        time = isUtc ? Calendar.readUtc(der, start) : Calendar.readGeneralized(der, start);
    }

    function _readValidity(bytes memory der, uint256 pos, uint256 end, Certificate memory it)
        private
        pure
        returns (uint256 next)
    {
        uint256 start;
        (start, next) = Der.enter(der, pos, end, Der.SEQUENCE);
        (it.notBefore, start) = readTime(der, start, next);
        (it.notAfter, start) = readTime(der, start, next);
        Der.requireEnd(start, next);
    }

    /// @dev [3] { SEQUENCE of extensions }, which ends what is signed.
    function _readExtensions(bytes memory der, uint256 pos, uint256 end, Certificate memory it) private pure {
        (uint256 start, uint256 stop) = Der.enter(der, pos, end, 0xa3);
        Der.requireEnd(stop, end);
        (start, stop) = Der.enter(der, start, stop, Der.SEQUENCE);
        Der.requireEnd(stop, end);
        uint256 usage;
        uint256 constraints;
        while (start < stop) {
            (uint256 id, bool isCritical, uint256 from, uint256 to) = readExtension(der, start, stop);
            if (_is(der, id, to, KEY_USAGE, 5)) {
                if (usage != 0) revert ExtensionTwice(start);
                usage = 1 + _readUsage(der, from, to);
            } else if (_is(der, id, to, BASIC_CONSTRAINTS, 5)) {
                if (constraints != 0) revert ExtensionTwice(start);
                constraints = _readConstraints(der, from, to) ? 2 : 1;
            } else if (_is(der, id, to, SGX, 11)) {
                if (it.sgxStop != 0) revert ExtensionTwice(start);
                (it.sgxStart, it.sgxStop) = (from, to);
            } else if (isCritical) {
                revert CriticalExtensionUnknown(start);
            }
            start = to;
        }
        it.isCa = _isCa(constraints, usage);
    }

    /// @dev Both say that it is one, or both that it is none.
    function _isCa(uint256 constraints, uint256 usage) private pure returns (bool isCa) {
        if (constraints == 0 || usage == 0) revert UsageMalformed();
        isCa = constraints == 2;
        if (isCa != ((usage - 1) & SIGNS == SIGNS)) revert UsageMalformed();
    }

    /// @notice One extension: where its identifier stands, and its value, which ends it.
    function readExtension(bytes memory der, uint256 pos, uint256 end)
        internal
        pure
        returns (uint256 id, bool isCritical, uint256 start, uint256 stop)
    {
        uint256 last;
        (id, last) = Der.enter(der, pos, end, Der.SEQUENCE);
        pos = Der.skip(der, id, last, Der.OBJECT_IDENTIFIER);
        if (Der.tagAt(der, pos, last) == Der.BOOLEAN) {
            pos = Der.expect(der, pos, last, hex"0101ff", 3);
            isCritical = true;
        }
        (start, stop) = Der.enter(der, pos, last, Der.OCTET_STRING);
        Der.requireEnd(stop, last);
    }

    /// @dev A BIT STRING of one byte: all usages below decipherOnly.
    function _readUsage(bytes memory der, uint256 pos, uint256 end) private pure returns (uint256) {
        Der.expect(der, pos, end, hex"0302", 2);
        Der.requireEnd(pos + 4, end);
        return Der.uintAt(der, pos + 3, 1);
    }

    /// @dev SEQUENCE { cA TRUE, pathLen OPTIONAL } or an empty one. Any path length will do: each CA here signs either
    ///      end entities, or is the root that its deployer trusts.
    function _readConstraints(bytes memory der, uint256 pos, uint256 end) private pure returns (bool isCa) {
        (uint256 start, uint256 stop) = Der.enter(der, pos, end, Der.SEQUENCE);
        Der.requireEnd(stop, end);
        if (start == stop) return false;
        start = Der.expect(der, start, stop, hex"0101ff", 3);
        if (start != stop) (, start) = Der.readUint(der, start, stop, 1);
        Der.requireEnd(start, stop);
        return true;
    }

    function _is(bytes memory der, uint256 pos, uint256 end, bytes32 id, uint256 size) private pure returns (bool) {
        return pos + size <= end && Der.uintAt(der, pos, size) == uint256(id) >> (256 - 8 * size);
    }
}
