// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Dates as certificates and Intel's JSON write them, as Unix seconds
/// @notice Years 1970 to 9999, UTC, whole seconds, no leap second: 60 is refused.
library Calendar {
    error DateMalformed(uint256 pos);

    /// @notice `YYMMDDhhmmssZ` (13 bytes) at `pos`: a year below 50 is of this century (RFC 5280, 4.1.2.5.1).
    function readUtc(bytes memory text, uint256 pos) internal pure returns (uint64) {
        uint256 year = _pair(text, pos);
        return _read(text, pos + 2, year < 50 ? 2000 + year : 1900 + year);
    }

    /// @notice `YYYYMMDDhhmmssZ` (15 bytes) at `pos`, 2050 or later: what is earlier has the other encoding.
    function readGeneralized(bytes memory text, uint256 pos) internal pure returns (uint64) {
        uint256 year = 100 * _pair(text, pos) + _pair(text, pos + 2);
        if (year < 2050) revert DateMalformed(pos);
        return _read(text, pos + 4, year);
    }

    /// @notice `YYYY-MM-DDThh:mm:ssZ` (20 bytes) at `pos`.
    function readIso(bytes memory text, uint256 pos) internal pure returns (uint64) {
        _requireByte(text, pos + 4, "-");
        _requireByte(text, pos + 7, "-");
        _requireByte(text, pos + 10, "T");
        _requireByte(text, pos + 13, ":");
        _requireByte(text, pos + 16, ":");
        _requireByte(text, pos + 19, "Z");
        uint256 daysGone =
            _days(100 * _pair(text, pos) + _pair(text, pos + 2), _pair(text, pos + 5), _pair(text, pos + 8), pos);
        return _seconds(daysGone, _pair(text, pos + 11), _pair(text, pos + 14), _pair(text, pos + 17), pos);
    }

    function _read(bytes memory text, uint256 pos, uint256 year) private pure returns (uint64) {
        _requireByte(text, pos + 10, "Z");
        uint256 daysGone = _days(year, _pair(text, pos), _pair(text, pos + 2), pos);
        return _seconds(daysGone, _pair(text, pos + 4), _pair(text, pos + 6), _pair(text, pos + 8), pos);
    }

    function _seconds(uint256 daysGone, uint256 hour, uint256 minute, uint256 second, uint256 pos)
        private
        pure
        returns (uint64)
    {
        if (hour > 23 || minute > 59 || second > 59) revert DateMalformed(pos);
        return uint64(daysGone * 86_400 + hour * 3600 + minute * 60 + second);
    }

    /// @dev Days since 1970-01-01 of a date of the Gregorian calendar (years counted from March, so that a leap day is
    ///      the last of one).
    function _days(uint256 year, uint256 month, uint256 day, uint256 pos) private pure returns (uint256) {
        if (year < 1970 || month == 0 || month > 12 || day == 0 || day > _daysIn(year, month)) {
            revert DateMalformed(pos);
        }
        uint256 y = month > 2 ? year : year - 1;
        uint256 fromMarch = month > 2 ? month - 3 : month + 9;
        uint256 before = y * 365 + y / 4 - y / 100 + y / 400 + (153 * fromMarch + 2) / 5;
        return before + day - 1 - 719_468;
    }

    function _daysIn(uint256 year, uint256 month) private pure returns (uint256) {
        if (month == 2) return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
        return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
    }

    function _pair(bytes memory text, uint256 pos) private pure returns (uint256) {
        uint256 tens = uint8(text[pos]);
        uint256 ones = uint8(text[pos + 1]);
        if (tens < 0x30 || tens > 0x39 || ones < 0x30 || ones > 0x39) revert DateMalformed(pos);
        return (tens - 0x30) * 10 + ones - 0x30;
    }

    function _requireByte(bytes memory text, uint256 pos, bytes1 expected) private pure {
        if (text[pos] != expected) revert DateMalformed(pos);
    }
}
