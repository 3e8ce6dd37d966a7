// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title DER, read strictly: every value has one encoding, and nothing is skipped that was not looked at
/// @notice A position is a byte offset into `der`; a range is [start, stop). Every function refuses what reaches beyond
///         the `end` it was given, so a range within a range stays within it. Source: ITU-T X.690, section 10.
library Der {
    uint256 internal constant BOOLEAN = 0x01;
    uint256 internal constant INTEGER = 0x02;
    uint256 internal constant BIT_STRING = 0x03;
    uint256 internal constant OCTET_STRING = 0x04;
    uint256 internal constant OBJECT_IDENTIFIER = 0x06;
    uint256 internal constant ENUMERATED = 0x0a;
    uint256 internal constant UTC_TIME = 0x17;
    uint256 internal constant GENERALIZED_TIME = 0x18;
    uint256 internal constant SEQUENCE = 0x30;

    /// @notice Another tag than the one that must stand there, or the end of what holds it.
    error UnexpectedTag(uint256 pos, uint256 expected);
    /// @notice A length that is indefinite, not the shortest, above 65,535, or beyond what holds it.
    error LengthMalformed(uint256 pos);
    /// @notice An integer that is negative, empty, not the shortest, or longer than allowed.
    error IntegerMalformed(uint256 pos);
    /// @notice Bytes after what should be the last.
    error TrailingBytes(uint256 pos);
    /// @notice Other bytes than the only ones allowed here.
    error UnexpectedBytes(uint256 pos);

    /// @notice The contents of the value at `pos`, whose tag must be `tag`. The next value begins at `stop`.
    function enter(bytes memory der, uint256 pos, uint256 end, uint256 tag)
        internal
        pure
        returns (uint256 start, uint256 stop)
    {
        if (tagAt(der, pos, end) != tag) revert UnexpectedTag(pos, tag);
        uint256 size = uintAt(der, pos + 1, 1);
        start = pos + 2;
        if (size == 0x81) {
            size = uintAt(der, start, 1);
            if (size < 0x80) revert LengthMalformed(pos);
            start += 1;
        } else if (size == 0x82) {
            size = uintAt(der, start, 2);
            if (size < 0x100) revert LengthMalformed(pos);
            start += 2;
        } else if (size >= 0x80) {
            revert LengthMalformed(pos);
        }
        stop = start + size;
        if (stop > end) revert LengthMalformed(pos);
    }

    /// @notice Where the value at `pos` ends, which must have the tag `tag`.
    function skip(bytes memory der, uint256 pos, uint256 end, uint256 tag) internal pure returns (uint256 next) {
        (, next) = enter(der, pos, end, tag);
    }

    /// @notice The tag at `pos`; zero, which is no tag, at the end.
    function tagAt(bytes memory der, uint256 pos, uint256 end) internal pure returns (uint256) {
        return pos < end ? uintAt(der, pos, 1) : 0;
    }

    /// @notice The integer at `pos`, 0 to 2^(8·maxBytes) - 1, in its shortest encoding.
    function readUint(bytes memory der, uint256 pos, uint256 end, uint256 maxBytes)
        internal
        pure
        returns (uint256 value, uint256 next)
    {
        uint256 start;
        (start, next) = enter(der, pos, end, INTEGER);
        if (start == next) revert IntegerMalformed(pos);
        uint256 first = uintAt(der, start, 1);
        if (first >= 0x80) revert IntegerMalformed(pos);
        if (first == 0 && next - start > 1) {
            start += 1;
            if (uintAt(der, start, 1) < 0x80) revert IntegerMalformed(pos);
        }
        if (next - start > maxBytes) revert IntegerMalformed(pos);
        value = uintAt(der, start, next - start);
    }

    /// @notice The position behind `literal`, which must be the next `size` (at most 32) bytes.
    function expect(bytes memory der, uint256 pos, uint256 end, bytes32 literal, uint256 size)
        internal
        pure
        returns (uint256 next)
    {
        next = pos + size;
        if (next > end || uintAt(der, pos, size) != uint256(literal) >> (256 - 8 * size)) revert UnexpectedBytes(pos);
    }

    /// @notice Refuses bytes behind the last value.
    function requireEnd(uint256 pos, uint256 end) internal pure {
        if (pos != end) revert TrailingBytes(pos);
    }

    /// @notice `size` bytes at `pos`, 1 to 32, as a big-endian number. The caller has checked that they are there.
    function uintAt(bytes memory der, uint256 pos, uint256 size) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, size)), mload(add(add(der, 0x20), pos)))
        }
    }

    /// @notice keccak256 of [start, end).
    function keccak(bytes memory der, uint256 start, uint256 end) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := keccak256(add(add(der, 0x20), start), sub(end, start))
        }
    }

    /// @notice SHA-256 of [start, end).
    function sha(bytes memory der, uint256 start, uint256 end) internal view returns (bytes32 digest) {
        bool isDone;
        assembly ("memory-safe") {
            isDone := staticcall(gas(), 2, add(add(der, 0x20), start), sub(end, start), 0, 0x20)
            digest := mload(0)
        }
        if (!isDone) revert UnexpectedBytes(start);
    }
}
