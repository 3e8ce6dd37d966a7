// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// JSON is full of double quotes.
// solhint-disable quotes

import {Calendar} from "./Calendar.sol";
import {TcbStatus} from "./TcbStatus.sol";

/// @title Intel's JSON, read from left to right in the one form Intel signs
/// @notice No white space, every member in its place: so a name cannot stand twice and an unknown one is refused. The
///         day Intel adds a member, what it publishes is refused until there is a new verifier. `pos` is a byte offset.
library JsonCursor {
    /// @notice Other characters than the only ones allowed here.
    error UnexpectedText(uint256 pos);
    error NumberMalformed(uint256 pos);
    error HexMalformed(uint256 pos);
    error StringMalformed(uint256 pos);
    error StatusUnknown(uint256 pos);

    uint256 private constant MAX_STRING_BYTES = 100;

    /// @notice The position behind `literal`, of any length.
    function expect(bytes memory text, uint256 pos, bytes memory literal) internal pure returns (uint256 next) {
        if (!has(text, pos, literal)) revert UnexpectedText(pos);
        return pos + literal.length;
    }

    /// @notice Whether `literal` stands at `pos`.
    function has(bytes memory text, uint256 pos, bytes memory literal) internal pure returns (bool isThere) {
        if (pos + literal.length > text.length) return false;
        assembly ("memory-safe") {
            let size := mload(literal)
            isThere := eq(keccak256(add(add(text, 0x20), pos), size), keccak256(add(literal, 0x20), size))
        }
    }

    /// @notice A number 0 to `max`, without leading zeros.
    function readUint(bytes memory text, uint256 pos, uint256 max)
        internal
        pure
        returns (uint256 value, uint256 next)
    {
        next = pos;
        while (next < text.length) {
            uint256 character = uint8(text[next]);
            if (character < 0x30 || character > 0x39) break;
            value = value * 10 + character - 0x30;
            if (value > max) revert NumberMalformed(pos);
            ++next;
        }
        if (next == pos || (next - pos > 1 && text[pos] == "0")) revert NumberMalformed(pos);
    }

    /// @notice `size` (at most 32) bytes in upper-case hexadecimal, without quotes.
    function readHex(bytes memory text, uint256 pos, uint256 size)
        internal
        pure
        returns (uint256 value, uint256 next)
    {
        next = pos + 2 * size;
        if (next > text.length) revert HexMalformed(pos);
        for (uint256 i = pos; i < next; ++i) {
            uint256 digit = uint8(text[i]);
            if (digit >= 0x30 && digit <= 0x39) digit -= 0x30;
            else if (digit >= 0x41 && digit <= 0x46) digit -= 0x37;
            else revert HexMalformed(i);
            value = value << 4 | digit;
        }
    }

    /// @notice A string of any printable ASCII but quotes and backslashes, which stands in quotes: skipped.
    function skipString(bytes memory text, uint256 pos) internal pure returns (uint256 next) {
        next = expect(text, pos, '"');
        while (next < text.length && next - pos <= MAX_STRING_BYTES) {
            bytes1 character = text[next++];
            if (character == '"') return next;
            if (character < 0x20 || character > 0x7e || character == "\\") break;
        }
        revert StringMalformed(pos);
    }

    /// @notice A date in quotes, in Unix seconds.
    function readDate(bytes memory text, uint256 pos) internal pure returns (uint64 time, uint256 next) {
        pos = expect(text, pos, '"');
        if (pos + 20 > text.length) revert StringMalformed(pos);
        time = Calendar.readIso(text, pos);
        next = expect(text, pos + 20, '"');
    }

    /// @notice `,"tcbDate":…,"tcbStatus":…` and perhaps `,"advisoryIDs":[…]`, which end a TCB level.
    function readStatus(bytes memory text, uint256 pos) internal pure returns (TcbStatus status, uint256 next) {
        pos = expect(text, pos, ',"tcbDate":');
        (, pos) = readDate(text, pos);
        pos = expect(text, pos, ',"tcbStatus":');
        next = skipString(text, pos);
        status = _statusOf(_keccak(text, pos + 1, next - 1), pos);
        if (!has(text, next, ',"advisoryIDs":[')) return (status, next);
        next = skipString(text, next + 16);
        while (has(text, next, ",")) next = skipString(text, next + 1);
        next = expect(text, next, "]");
    }

    function _statusOf(bytes32 digest, uint256 pos) private pure returns (TcbStatus) {
        if (digest == keccak256("UpToDate")) return TcbStatus.UpToDate;
        if (digest == keccak256("SWHardeningNeeded")) return TcbStatus.SWHardeningNeeded;
        if (digest == keccak256("ConfigurationNeeded")) return TcbStatus.ConfigurationNeeded;
        if (digest == keccak256("ConfigurationAndSWHardeningNeeded")) {
            return TcbStatus.ConfigurationAndSWHardeningNeeded;
        }
        if (digest == keccak256("OutOfDate")) return TcbStatus.OutOfDate;
        if (digest == keccak256("OutOfDateConfigurationNeeded")) return TcbStatus.OutOfDateConfigurationNeeded;
        if (digest == keccak256("Revoked")) return TcbStatus.Revoked;
        revert StatusUnknown(pos);
    }

    function _keccak(bytes memory text, uint256 start, uint256 end) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := keccak256(add(add(text, 0x20), start), sub(end, start))
        }
    }
}
