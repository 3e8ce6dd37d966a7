// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

/// @dev Where reading is, and what was seen so far.
struct Reader {
    uint256 place;
    uint256 end;
    /// @dev Bit k: tensor k is read by an operator or is the output.
    uint256 used;
    uint256 tables;
    /// @dev Bit k: table k gives signed values.
    uint256 signedTables;
    /// @dev Parameters in all.
    uint256 weights;
}

/// @title A descriptor as 32-byte words
library Words {
    /// @notice The descriptor breaks the rule named.
    error MalformedDescriptor(bytes32 rule);

    function refuse(bytes32 rule) internal pure {
        revert MalformedDescriptor(rule);
    }

    function open(bytes memory data) internal pure returns (Reader memory reader) {
        unchecked {
            if (data.length % 32 != 0) refuse("whole words");
            uint256 place;
            assembly ("memory-safe") {
                place := add(data, 0x20)
            }
            (reader.place, reader.end) = (place, place + data.length);
        }
    }

    function next(Reader memory reader) internal pure returns (uint256 word) {
        unchecked {
            uint256 place = reader.place;
            if (place >= reader.end) refuse("length");
            reader.place = place + 32;
            assembly ("memory-safe") {
                word := mload(place)
            }
        }
    }

    /// @notice An operand's id, which must be smaller than `id`.
    function readOperand(Reader memory reader, uint256 id, uint256 word) internal pure returns (uint256 operand) {
        operand = uint32(word);
        if (operand >= id) refuse("operand order");
        reader.used |= 1 << operand;
    }

    /// @notice Byte `index` of a word, from the left.
    function byteAt(uint256 word, uint256 index) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := byte(index, word)
        }
    }

    /// @notice The lowest 4 bytes, signed.
    function int32At(uint256 word) internal pure returns (int256 value) {
        assembly ("memory-safe") {
            value := signextend(3, word)
        }
    }
}
