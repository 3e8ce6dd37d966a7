// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Der} from "./Der.sol";

/// @title What Intel's extension of a PCK certificate says about the platform
/// @notice Every member in Intel's order, each once; the platform's instance and its configuration come together, or
///         neither does. Source: Intel SGX PCK Certificate and CRL Profile Specification, 1.3.5.
library PckExtension {
    struct Platform {
        bytes6 fmspc;
        bytes2 pceId;
        /// @dev 16 security version numbers, one a byte.
        bytes16 components;
        uint16 pceSvn;
        /// @dev Packages may be added to the machine.
        bool isDynamic;
        /// @dev The platform's keys are kept by Intel's registration service.
        bool hasCachedKeys;
        bool hasSmt;
    }

    /// @dev 1.2.840.113741.1.13.1, by which every identifier in there begins.
    bytes9 private constant PREFIX = hex"2a864886f84d010d01";

    /// @notice No certificate of a platform: Intel's extension is missing.
    error NotAPlatform();
    /// @notice CPUSVN says other numbers than its components: it is not known which of them count.
    error CpuSvnDiffers(bytes16 components, bytes16 cpuSvn);

    /// @notice The extension whose value is [pos, end).
    function parse(bytes memory der, uint256 pos, uint256 end) internal pure returns (Platform memory it) {
        if (end == 0) revert NotAPlatform();
        uint256 stop;
        (pos, stop) = Der.enter(der, pos, end, Der.SEQUENCE);
        Der.requireEnd(stop, end);
        (, pos) = _readBytes(der, pos, end, hex"01", 16);
        pos = _readTcb(der, pos, end, it);
        uint256 value;
        (value, pos) = _readBytes(der, pos, end, hex"03", 2);
        it.pceId = bytes2(uint16(value));
        (value, pos) = _readBytes(der, pos, end, hex"04", 6);
        it.fmspc = bytes6(uint48(value));
        pos = _readKind(der, pos, end);
        if (pos != end) {
            (, pos) = _readBytes(der, pos, end, hex"06", 16);
            pos = _readConfiguration(der, pos, end, it);
        }
        Der.requireEnd(pos, end);
    }

    function _readTcb(bytes memory der, uint256 pos, uint256 end, Platform memory it)
        private
        pure
        returns (uint256 next)
    {
        (pos, next) = _enter(der, pos, end, hex"02");
        uint256 last = next;
        (pos, next) = Der.enter(der, pos, last, Der.SEQUENCE);
        Der.requireEnd(next, last);
        uint256 components;
        uint256 value;
        for (uint256 i = 1; i <= 16; ++i) {
            (value, pos) = _readUint(der, pos, next, bytes2(uint16(0x0200 + i)), 1);
            components = components << 8 | value;
        }
        it.components = bytes16(uint128(components));
        (value, pos) = _readUint(der, pos, next, hex"0211", 2);
        it.pceSvn = uint16(value);
        (value, pos) = _readBytes(der, pos, next, hex"0212", 16);
        if (value != components) revert CpuSvnDiffers(it.components, bytes16(uint128(value)));
        Der.requireEnd(pos, next);
    }

    /// @dev Standard, scalable, or scalable with integrity: all pass, as they do off chain.
    function _readKind(bytes memory der, uint256 pos, uint256 end) private pure returns (uint256 next) {
        (pos, next) = _enter(der, pos, end, hex"05");
        pos = Der.expect(der, pos, next, hex"0a01", 2);
        Der.requireEnd(pos + 1, next);
    }

    function _readConfiguration(bytes memory der, uint256 pos, uint256 end, Platform memory it)
        private
        pure
        returns (uint256 next)
    {
        (pos, next) = _enter(der, pos, end, hex"07");
        uint256 last = next;
        (pos, next) = Der.enter(der, pos, last, Der.SEQUENCE);
        Der.requireEnd(next, last);
        (it.isDynamic, pos) = _readFlag(der, pos, next, hex"0701");
        (it.hasCachedKeys, pos) = _readFlag(der, pos, next, hex"0702");
        (it.hasSmt, pos) = _readFlag(der, pos, next, hex"0703");
        Der.requireEnd(pos, next);
    }

    /// @dev The value of the member whose identifier is PREFIX and `id`, of one byte or two.
    function _enter(bytes memory der, uint256 pos, uint256 end, bytes2 id)
        private
        pure
        returns (uint256 start, uint256 stop)
    {
        (start, stop) = Der.enter(der, pos, end, Der.SEQUENCE);
        uint256 size = id & 0x00ff == 0 ? 10 : 11;
        bytes32 whole = bytes32(abi.encodePacked(hex"06", uint8(size), PREFIX, id));
        start = Der.expect(der, start, stop, whole, size + 2);
    }

    function _readBytes(bytes memory der, uint256 pos, uint256 end, bytes2 id, uint256 size)
        private
        pure
        returns (uint256 value, uint256 next)
    {
        (pos, next) = _enter(der, pos, end, id);
        uint256 stop;
        (pos, stop) = Der.enter(der, pos, next, Der.OCTET_STRING);
        Der.requireEnd(stop, next);
        if (stop - pos != size) revert Der.LengthMalformed(pos);
        value = Der.uintAt(der, pos, size);
    }

    function _readUint(bytes memory der, uint256 pos, uint256 end, bytes2 id, uint256 maxBytes)
        private
        pure
        returns (uint256 value, uint256 next)
    {
        (pos, next) = _enter(der, pos, end, id);
        (value, pos) = Der.readUint(der, pos, next, maxBytes);
        Der.requireEnd(pos, next);
    }

    function _readFlag(bytes memory der, uint256 pos, uint256 end, bytes2 id)
        private
        pure
        returns (bool isSet, uint256 next)
    {
        (pos, next) = _enter(der, pos, end, id);
        isSet = Der.uintAt(der, pos + 2, 1) == 0xff;
        pos = Der.expect(der, pos, next, isSet ? bytes32(hex"0101ff") : bytes32(hex"010100"), 3);
        Der.requireEnd(pos, next);
    }
}
