// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Der} from "./Der.sol";
import {P256Signature} from "./P256Signature.sol";
import {X509} from "./X509.sol";

/// @title X.509 revocation lists, version 2, complete ones of one issuer
/// @notice A critical extension is refused, of the list or of an entry: it would be a part of a list, a difference to
///         another, or of another issuer. Source: RFC 5280, 5.1.
library RevocationList {
    struct List {
        bytes32 issuer;
        uint64 thisUpdate;
        /// @dev The first second in which the list counts for nothing.
        uint64 nextUpdate;
        bytes32 digest;
        P256Signature.Signature signature;
        /// @dev 20 bytes each, in the order of the list.
        bytes serials;
    }

    uint256 internal constant SERIAL_BYTES = 20;
    /// @dev A serial of one byte and a date: 2 + 3 + 15.
    uint256 private constant MIN_ENTRY_BYTES = 20;
    bytes32 private constant VERSION_2 = hex"020101";

    /// @notice The list that `der` is, to its last byte.
    function parse(bytes memory der) internal view returns (List memory it) {
        (uint256 pos, uint256 end) = Der.enter(der, 0, der.length, Der.SEQUENCE);
        Der.requireEnd(end, der.length);
        (uint256 start, uint256 stop) = Der.enter(der, pos, end, Der.SEQUENCE);
        it.digest = Der.sha(der, pos, stop);
        pos = Der.expect(der, stop, end, X509.ECDSA_SHA256, X509.ECDSA_SHA256_BYTES);
        it.signature = P256Signature.readDer(der, pos, end);

        start = Der.expect(der, start, stop, VERSION_2, 3);
        start = Der.expect(der, start, stop, X509.ECDSA_SHA256, X509.ECDSA_SHA256_BYTES);
        (it.issuer, start) = X509.readName(der, start, stop);
        (it.thisUpdate, start) = X509.readTime(der, start, stop);
        (it.nextUpdate, start) = X509.readTime(der, start, stop);
        if (Der.tagAt(der, start, stop) == Der.SEQUENCE) (it.serials, start) = _readEntries(der, start, stop);
        (uint256 from, uint256 to) = Der.enter(der, start, stop, 0xa0);
        Der.requireEnd(to, stop);
        _requireUncritical(der, from, to);
    }

    /// @notice Whether `serial` is one of `serials`.
    function contains(bytes memory serials, uint160 serial) internal pure returns (bool isRevoked) {
        for (uint256 pos; pos < serials.length; pos += SERIAL_BYTES) {
            if (Der.uintAt(serials, pos, SERIAL_BYTES) == serial) return true;
        }
    }

    function _readEntries(bytes memory der, uint256 pos, uint256 end)
        private
        pure
        returns (bytes memory serials, uint256 next)
    {
        (pos, next) = Der.enter(der, pos, end, Der.SEQUENCE);
        serials = new bytes(((next - pos) / MIN_ENTRY_BYTES + 1) * SERIAL_BYTES + 32);
        uint256 size;
        while (pos < next) {
            (uint256 start, uint256 stop) = Der.enter(der, pos, next, Der.SEQUENCE);
            uint160 serial;
            (serial, start) = X509.readSerial(der, start, stop);
            (, start) = X509.readTime(der, start, stop);
            if (start != stop) _requireUncritical(der, start, stop);
            if (size + 52 > serials.length) revert Der.LengthMalformed(pos);
            assembly ("memory-safe") {
                mstore(add(add(serials, 0x20), size), shl(96, serial))
            }
            size += SERIAL_BYTES;
            pos = stop;
        }
        assembly ("memory-safe") {
            mstore(serials, size)
        }
    }

    /// @dev SEQUENCE of extensions that ends at `end`, none of them critical.
    function _requireUncritical(bytes memory der, uint256 pos, uint256 end) private pure {
        (uint256 start, uint256 stop) = Der.enter(der, pos, end, Der.SEQUENCE);
        Der.requireEnd(stop, end);
        while (start < stop) {
            bool isCritical;
            uint256 from = start;
            (, isCritical,, start) = X509.readExtension(der, start, stop);
            if (isCritical) revert X509.CriticalExtensionUnknown(from);
        }
    }
}
