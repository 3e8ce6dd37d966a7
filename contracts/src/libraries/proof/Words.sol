// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {INPUT_COMMITTED, load} from "./Memory.sol";

/// @dev What the axes of one term say.
struct Axes {
    /// @dev Bit o: result axis o is named; it is neither that nor an axis of the weights tensor.
    uint256 named;
    uint256 free;
    /// @dev Bit a, bit o, bit a: contracted operand axes, shared result axes, operand axes with a weighted kernel.
    uint256 contracted;
    uint256 shared;
    uint256 kernels;
    uint256 sharedBits;
    uint256 contractBits;
    uint256 kernelBits;
    /// @dev Operand entries that one result sums with weight 1.
    uint256 summed;
    /// @dev Entries of the axis before, if that one is MERGE, else 0; and those of its result axis.
    uint256 merging;
    uint256 merged;
    /// @dev Variables given out so far: shared, contracted, mapped.
    uint256 nextShared;
    uint256 nextContract;
    uint256 nextMap;
    /// @dev Byte a (from the right): the lowest variable of contracted operand axis a; of the axis shared with result
    ///      axis o.
    uint256 contractLow;
    uint256 sharedLow;
}

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
    /// @dev Of the term that is being read.
    Axes axes;
}

/// @title A descriptor as 32-byte words
library Words {
    /// @notice The descriptor breaks the rule named.
    error MalformedDescriptor(bytes32 rule);

    uint256 private constant AXES_BYTES = 0x200;

    function refuse(bytes32 rule) internal pure {
        revert MalformedDescriptor(rule);
    }

    function open(Reader memory reader, bytes memory data) internal pure {
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

    /// @notice Empties the record of axes.
    function clearAxes(Reader memory reader) internal pure {
        Axes memory axes = reader.axes;
        assembly ("memory-safe") {
            calldatacopy(axes, calldatasize(), AXES_BYTES)
        }
    }

    /// @notice An operand's id, which must be smaller than `id`.
    function readOperand(Reader memory reader, uint256 id, uint256 word) internal pure returns (uint256 operand) {
        operand = uint32(word);
        if (operand >= id) refuse("operand order");
        // A committed input is read by operator 1, its identity, alone.
        if (operand == 0 && id != 1 && load(INPUT_COMMITTED) != 0) refuse("committed input");
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
