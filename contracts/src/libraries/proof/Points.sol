// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {COORDINATES, MODULUS, SCRATCH, load, store} from "./Memory.sol";

/// @dev Slots of the table of coordinates: σ, ρ and θ, at most 32 each, then the constants 0 and 1.
uint256 constant SIGMA = 0;
uint256 constant RHO = 32;
uint256 constant THETA = 64;
uint256 constant FIXED = 96;
/// @dev All of σ.
uint256 constant ALL_SIGMA = 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f;

/// @title Points of multilinear extensions, as words
/// @notice Byte j of a point names the slot, in the table at COORDINATES, of the coordinate of variable j. The
///         table is filled while challenges are drawn, so points are known from the descriptor alone. Variable 0 is
///         the least significant bit of an index.
library Points {
    uint256 private constant ONES = 0x0101010101010101010101010101010101010101010101010101010101010101;

    /// @notice `count` slots from `first` on.
    function span(uint256 first, uint256 count) internal pure returns (uint256 point) {
        unchecked {
            return (ALL_SIGMA + first * ONES) & ~(type(uint256).max >> (8 * count));
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

    /// @notice eq of the bits of `index` with variables [first, last).
    function eqIndex(uint256 point, uint256 first, uint256 last, uint256 index)
        internal
        pure
        returns (uint256 result)
    {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            result := 1
            for { let j := first } lt(j, last) { j := add(j, 1) } {
                let c := mload(add(COORDINATES, shl(5, byte(j, point))))
                if iszero(and(index, 1)) { c := sub(add(r, 1), c) }
                result := mulmod(result, c, r)
                index := shr(1, index)
            }
        }
    }

    /// @notice eq of the first `count` variables of two points.
    function eqPoints(uint256 a, uint256 b, uint256 count) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            result := 1
            for { let j := 0 } lt(j, count) { j := add(j, 1) } {
                let x := mload(add(COORDINATES, shl(5, byte(j, a))))
                let y := mload(add(COORDINATES, shl(5, byte(j, b))))
                // 1 − x − y + 2xy
                let xy := mulmod(x, y, r)
                let sum := addmod(x, y, r)
                result := mulmod(result, addmod(addmod(xy, xy, r), addmod(1, sub(r, sum), r), r), r)
            }
        }
    }

    /// @notice Σ eq(point[first …], i) over i < size, for `bits` variables and size ≤ 2^bits: 1 where nothing is
    ///         padding.
    function mask(uint256 point, uint256 first, uint256 bits, uint256 size) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
            switch shr(bits, size)
            case 0 {
                let r := mload(MODULUS)
                let last := add(first, bits)
                // Below the lowest one of the size nothing is counted yet.
                let skipped := sub(255, clz(and(size, sub(0, size))))
                first := add(first, skipped)
                size := shr(skipped, size)
                for {} lt(first, last) { first := add(first, 1) } {
                    let c := mload(add(COORDINATES, shl(5, byte(first, point))))
                    let below := sub(add(r, 1), c)
                    switch and(size, 1)
                    case 0 { result := mulmod(below, result, r) }
                    default { result := addmod(below, mulmod(c, result, r), r) }
                    size := shr(1, size)
                }
            }
            default { result := 1 }
        }
    }

    // ---- lists in free memory ---------------------------------------------------------------------------------

    /// @notice seed·eq(variables from `cut` up, i), for every combination of axis indices that has true entries.
    /// @dev `sizes` are true axis sizes from the low bits up (Sizes). An axis that lies across `cut` counts the
    ///      blocks of its indices that hold a true one. The list is allocated: whoever wants its memory back resets
    ///      the pointer.
    function expand(uint256 point, uint256 sizes, uint256 cut, uint256 seed)
        internal
        pure
        returns (uint256 list, uint256 count)
    {
        unchecked {
            list = _begin(seed);
            count = 1;
            uint256 low;
            uint256 last = sizes + 32 * load(sizes);
            while (sizes < last) {
                sizes += 32;
                uint256 size = load(sizes);
                uint256 high = low + bitsOf(size);
                uint256 first = high < cut ? high : low < cut ? cut : low;
                _stretch(point, first, high, list, count);
                count *= ((size - 1) >> (first - low)) + 1;
                low = high;
            }
            store(0x40, list + 32 * count);
        }
    }

    /// @notice eq of the variables of `point` with every index below `size`; allocated as `expand` does.
    function eqList(uint256 point, uint256 size) internal pure returns (uint256 list) {
        unchecked {
            list = _begin(1);
            _stretch(point, 0, bitsOf(size), list, 1);
            store(0x40, list + 32 * size);
        }
    }

    function _begin(uint256 seed) private pure returns (uint256 list) {
        list = load(0x40);
        store(list, seed);
    }

    /// @dev Multiplies the list, in free memory, with eq of the variables in [first, last): by two for an odd one, then
    ///      by four for two of them, which takes four products an entry where one after the other would take six.
    function _stretch(uint256 point, uint256 first, uint256 last, uint256 list, uint256 count) private pure {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let size := shl(5, count)
            if and(sub(last, first), 1) {
                let c := mload(add(COORDINATES, shl(5, byte(first, point))))
                for { let place := list } lt(place, add(list, size)) { place := add(place, 0x20) } {
                    let high := mulmod(mload(place), c, r)
                    mstore(add(place, size), high)
                    mstore(place, addmod(mload(place), sub(r, high), r))
                }
                size := shl(1, size)
                first := add(first, 1)
            }
            for {} lt(first, last) { first := add(first, 2) } {
                // eq of the two with 0, 1, 2, 3, not all reduced.
                {
                    let c := mload(add(COORDINATES, shl(5, byte(first, point))))
                    let d := mload(add(COORDINATES, shl(5, byte(add(first, 1), point))))
                    let both := mulmod(c, d, r)
                    mstore(SCRATCH, addmod(add(1, both), sub(shl(1, r), add(c, d)), r))
                    mstore(add(SCRATCH, 0x20), add(c, sub(r, both)))
                    mstore(add(SCRATCH, 0x40), add(d, sub(r, both)))
                    mstore(add(SCRATCH, 0x60), both)
                }
                let end := add(list, size)
                for { let place := list } lt(place, end) { place := add(place, 0x20) } {
                    let value := mload(place)
                    mstore(place, mulmod(mload(SCRATCH), value, r))
                    let to := add(place, size)
                    mstore(to, mulmod(mload(add(SCRATCH, 0x20)), value, r))
                    to := add(to, size)
                    mstore(to, mulmod(mload(add(SCRATCH, 0x40)), value, r))
                    mstore(add(to, size), mulmod(mload(add(SCRATCH, 0x60)), value, r))
                }
                size := shl(2, size)
            }
        }
    }
}
