// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Certificates in PEM, in the one encoding that quotes hold
/// @notice Lines of 64 characters ended by a line feed, the last may be shorter; no character outside the alphabet, no
///         bits in the padding. So a certificate has exactly one text. Source: RFC 7468, section 3 (strict).
library Pem {
    bytes28 private constant BEGIN = "-----BEGIN CERTIFICATE-----\n";
    bytes26 private constant END = "-----END CERTIFICATE-----\n";
    uint256 private constant LINE_CHARS = 64;

    /// @dev By character: its six bits, or 255.
    bytes private constant VALUES = hex"ffffffffffffffffffffffffffffffff"
        hex"ffffffffffffffffffffffffffffffffffffffffffffffffffffff3effffff3f"
        hex"3435363738393a3b3c3dffffffffffffff000102030405060708090a0b0c0d0e0f10111213141516171819ffffffffff"
        hex"ff1a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233ffffffffffffffffffffffffffffffffffffffffff"
        hex"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        hex"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        hex"ffffffffffffffffffffffffffffffff";

    error PemMalformed(uint256 pos);

    /// @notice The certificate whose text begins at `pos`, in DER, and the position behind its text.
    function decode(bytes memory text, uint256 pos) internal pure returns (bytes memory der, uint256 next) {
        if (pos > text.length || text.length - pos < 54 || _word(text, pos, 28) != uint224(BEGIN)) {
            revert PemMalformed(pos);
        }
        pos += 28;
        der = new bytes((text.length - pos) / 4 * 3 + 32);
        bytes memory values = VALUES;
        uint256 size;
        bool isLast;
        while (pos < text.length && text[pos] != "-") {
            if (isLast) revert PemMalformed(pos);
            uint256 end = _lineEnd(text, pos);
            isLast = end - pos < LINE_CHARS || text[end - 1] == "=";
            size = _decodeLine(text, pos, end, values, der, size);
            pos = end + 1;
        }
        if (size == 0 || text.length < pos + 26 || _word(text, pos, 26) != uint208(END)) revert PemMalformed(pos);
        next = pos + 26;
        assembly ("memory-safe") {
            mstore(der, size)
        }
    }

    /// @dev The end of the line at `pos`, which has 4 to 64 characters, in fours: its line feed. A line feed within 64
    ///      characters that end with one is no character of the alphabet, and refused there.
    function _lineEnd(bytes memory text, uint256 pos) private pure returns (uint256 end) {
        end = pos + LINE_CHARS;
        if (end >= text.length || text[end] != "\n") {
            end = pos;
            while (end < text.length && text[end] != "\n") ++end;
        }
        if (end == text.length || end == pos || end - pos > LINE_CHARS || (end - pos) % 4 != 0) {
            revert PemMalformed(pos);
        }
    }

    /// @dev Appends what the characters of [pos, end) mean. Writes up to 32 bytes behind it, which `der` has room for.
    function _decodeLine(
        bytes memory text,
        uint256 pos,
        uint256 end,
        bytes memory values,
        bytes memory der,
        uint256 size
    ) private pure returns (uint256) {
        uint256 padding = text[end - 1] != "=" ? 0 : text[end - 2] != "=" ? 1 : 2;
        uint256 wrong;
        uint256 last;
        assembly ("memory-safe") {
            let table := add(values, 0x20)
            let from := add(add(text, 0x20), pos)
            let limit := add(add(text, 0x20), end)
            let to := add(add(der, 0x20), size)
            for {} lt(from, limit) { from := add(from, 4) } {
                let word := mload(from)
                let a := byte(0, mload(add(table, byte(0, word))))
                let b := byte(0, mload(add(table, byte(1, word))))
                let c := byte(0, mload(add(table, byte(2, word))))
                let d := byte(0, mload(add(table, byte(3, word))))
                if eq(add(from, 4), limit) {
                    if gt(padding, 0) { d := 0 }
                    if gt(padding, 1) { c := 0 }
                }
                wrong := or(wrong, or(or(a, b), or(c, d)))
                last := or(or(shl(18, a), shl(12, b)), or(shl(6, c), d))
                mstore(to, shl(232, last))
                to := add(to, 3)
            }
        }
        if (wrong > 63 || last & ((1 << (8 * padding)) - 1) != 0) revert PemMalformed(pos);
        return size + (end - pos) / 4 * 3 - padding;
    }

    function _word(bytes memory text, uint256 pos, uint256 size) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, size)), mload(add(add(text, 0x20), pos)))
        }
    }
}
