// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {R} from "./Field.sol";

/// @dev Slots of the table of coordinates: σ, ρ and θ, at most 32 each, then the constants 0 and 1.
uint256 constant SIGMA = 0;
uint256 constant RHO = 32;
uint256 constant THETA = 64;
uint256 constant FIXED = 96;
uint256 constant COORDINATES = 98;

/// @title Points of multilinear extensions, as words
/// @notice Byte j of a point names the slot, in a table of COORDINATES words, of the coordinate of variable j. The table
///         is filled while challenges are drawn, so points are known from the descriptor alone. Variable 0 is the least
///         significant bit of an index.
library Points {
    uint256 private constant COUNTING = 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f;
    uint256 private constant ONES = 0x0101010101010101010101010101010101010101010101010101010101010101;

    /// @notice `count` slots from `first` on.
    function span(uint256 first, uint256 count) internal pure returns (uint256 point) {
        unchecked {
            return (COUNTING + first * ONES) & ~(type(uint256).max >> (8 * count));
        }
    }

    /// @notice The bits of `index` as `count` coordinates.
    function ofIndex(uint256 index, uint256 count) internal pure returns (uint256 point) {
        unchecked {
            for (uint256 j; j < count; ++j) {
                point |= (FIXED + ((index >> j) & 1)) << (248 - 8 * j);
            }
        }
    }

    /// @notice `more` behind the `count` coordinates of `point`.
    function append(uint256 point, uint256 count, uint256 more) internal pure returns (uint256) {
        unchecked {
            return point | (more >> (8 * count));
        }
    }

    /// @notice ceil(log2(size)), for size ≥ 1.
    function bitsOf(uint256 size) internal pure returns (uint256 bits) {
        assembly ("memory-safe") {
            bits := sub(256, clz(sub(size, 1)))
        }
    }

    // ---- values -----------------------------------------------------------------------------------------------

    /// @notice A new table: everything zero but the constant 1.
    function newCoordinates() internal pure returns (uint256 table) {
        assembly ("memory-safe") {
            table := mload(0x40)
            let size := shl(5, COORDINATES)
            mstore(0x40, add(table, size))
            calldatacopy(table, calldatasize(), size)
            mstore(add(table, sub(size, 0x20)), 1)
        }
    }

    /// @notice eq of the bits of `index` with variables [first, last).
    function eqIndex(uint256 table, uint256 point, uint256 first, uint256 last, uint256 index)
        internal
        pure
        returns (uint256 result)
    {
        assembly ("memory-safe") {
            result := 1
            for { let j := first } lt(j, last) { j := add(j, 1) } {
                let c := mload(add(table, shl(5, byte(j, point))))
                if iszero(and(index, 1)) { c := addmod(1, sub(R, c), R) }
                result := mulmod(result, c, R)
                index := shr(1, index)
            }
        }
    }

    /// @notice eq of the first `count` variables of two points.
    function eqPoints(uint256 table, uint256 a, uint256 b, uint256 count) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
            result := 1
            for { let j := 0 } lt(j, count) { j := add(j, 1) } {
                let x := mload(add(table, shl(5, byte(j, a))))
                let y := mload(add(table, shl(5, byte(j, b))))
                // 1 − x − y + 2xy
                let xy := mulmod(x, y, R)
                let sum := addmod(x, y, R)
                result := mulmod(result, addmod(addmod(xy, xy, R), addmod(1, sub(R, sum), R), R), R)
            }
        }
    }

    /// @notice Σ eq(point[first …], i) over i < size, for `bits` variables and size ≤ 2^bits: 1 where nothing is padding.
    function mask(uint256 table, uint256 point, uint256 first, uint256 bits, uint256 size)
        internal
        pure
        returns (uint256 result)
    {
        assembly ("memory-safe") {
            switch shr(bits, size)
            case 0 {
                for { let last := add(first, bits) } lt(first, last) { first := add(first, 1) } {
                    let c := mload(add(table, shl(5, byte(first, point))))
                    let below := addmod(1, sub(R, c), R)
                    switch and(size, 1)
                    case 0 { result := mulmod(below, result, R) }
                    default { result := addmod(below, mulmod(c, result, R), R) }
                    size := shr(1, size)
                }
            }
            default { result := 1 }
        }
    }

    // ---- lists in free memory ---------------------------------------------------------------------------------

    /// @notice seed·eq(variables from `cut` up, i), for every combination of axis indices that has true entries.
    /// @dev `sizes` are true axis sizes from the low bits up. An axis that lies across `cut` counts the blocks of its
    ///      indices that hold a true one. The list is allocated: whoever wants its memory back resets the free pointer.
    function expand(uint256 table, uint256 point, uint256[] memory sizes, uint256 cut, uint256 seed)
        internal
        pure
        returns (uint256 list, uint256 count)
    {
        unchecked {
            list = begin(seed);
            count = 1;
            uint256 low;
            for (uint256 a; a < sizes.length; ++a) {
                uint256 size = sizes[a];
                uint256 high = low + bitsOf(size);
                uint256 first = high < cut ? high : low < cut ? cut : low;
                stretch(table, point, first, high, list, count);
                count *= ((size - 1) >> (first - low)) + 1;
                low = high;
            }
            assembly ("memory-safe") {
                mstore(0x40, add(list, shl(5, count)))
            }
        }
    }

    /// @notice eq of the `bits` variables of `point` with every index below `size`; allocated as `expand` does.
    function eqList(uint256 table, uint256 point, uint256 size) internal pure returns (uint256 list) {
        list = begin(1);
        stretch(table, point, 0, bitsOf(size), list, 1);
        assembly ("memory-safe") {
            mstore(0x40, add(list, shl(5, size)))
        }
    }

    function begin(uint256 seed) private pure returns (uint256 list) {
        assembly ("memory-safe") {
            list := mload(0x40)
            mstore(list, seed)
        }
    }

    /// @dev Doubles the list once for each variable in [first, last), in free memory.
    function stretch(uint256 table, uint256 point, uint256 first, uint256 last, uint256 list, uint256 count)
        private
        pure
    {
        assembly ("memory-safe") {
            for { let size := shl(5, count) } lt(first, last) { first := add(first, 1) } {
                let c := mload(add(table, shl(5, byte(first, point))))
                let end := add(list, size)
                for { let at := list } lt(at, end) { at := add(at, 0x20) } {
                    let value := mload(at)
                    let high := mulmod(value, c, R)
                    mstore(add(at, size), high)
                    mstore(at, addmod(value, sub(R, high), R))
                }
                size := shl(1, size)
            }
        }
    }
}
