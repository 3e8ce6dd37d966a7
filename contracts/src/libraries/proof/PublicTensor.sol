// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {Field} from "./Field.sol";
import {COORDINATES, LANES, MODULUS, Memory, SCRATCH, load, store} from "./Memory.sol";
import {Points} from "./Points.sol";

/// @title Public tensors: packed big-endian int16 in the calldata
/// @notice A word of the calldata holds 16 values, its lanes; the first value is in the highest one.
library PublicTensor {
    uint256 private constant LANE_BITS = 4;
    uint256 private constant LANES_OF_WORD = 16;
    /// @dev A point of zeros (Points.sol).
    uint256 private constant ZEROS = 0x6060606060606060606060606060606060606060606060606060606060606060;
    /// @dev Groups of 8 words: two short lists instead of a long one.
    uint256 private constant GROUP_BITS = 7;
    uint256 private constant GROUP_WORDS = 8;
    uint256 private constant HIGH_BITS = 0xf000f000f000f000f000f000f000f000f000f000f000f000f000f000f000f000;
    /// @dev The sign of every lane. A signed lane with its sign turned is value + 2^15, which is not negative.
    uint256 private constant SIGNS = 0x8000800080008000800080008000800080008000800080008000800080008000;
    uint256 private constant SIGN = 0x8000;
    /// @dev −2048 in every lane, its sign turned.
    uint256 private constant LEAST = 0x7800780078007800780078007800780078007800780078007800780078007800;

    /// @notice Whether every value is in its format's range: [−2048, 2047] where `offset` is 2048, else [0, 4095].
    function isInRange(bytes calldata data, uint256 offset) internal pure returns (bool) {
        uint256 seen;
        (uint256 signs, uint256 least) = offset == 0 ? (0, 0) : (SIGNS, LEAST);
        assembly ("memory-safe") {
            // Every lane less the least value, which is below 4096. Of lanes below the least value, the lowest one
            // shows it: no lane borrows from that one.
            let place := data.offset
            let end := add(place, data.length)
            for { let last := sub(end, and(data.length, 0x7f)) } lt(place, last) { place := add(place, 0x80) } {
                seen := or(seen, sub(xor(calldataload(place), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0x20)), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0x40)), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0x60)), signs), least))
            }
            for {} lt(place, end) { place := add(place, 0x20) } {
                let word := calldataload(place)
                // What lies behind the data is none of it.
                if lt(end, add(place, 0x20)) { word := and(word, not(shr(shl(3, sub(end, place)), not(0)))) }
                seen := or(seen, sub(xor(word, signs), least))
            }
        }
        return seen & HIGH_BITS == 0;
    }

    /// @notice The multilinear extension at a point, every axis padded by itself.
    /// @param data Calldata position of the values.
    /// @param sizes True axis sizes, the last axis first (Sizes). Overwritten.
    function evaluate(uint256 data, uint256 sizes, uint256 offset, uint256 point)
        internal
        pure
        returns (uint256 result)
    {
        unchecked {
            uint256 free = Memory.free();
            sizes = _mergeAxes(sizes);
            uint256 size = load(sizes + 32);
            uint256 bits = Points.bitsOf(size);
            uint256 laneBits = bits < LANE_BITS ? bits : LANE_BITS;
            uint256 groupBits = bits < GROUP_BITS ? bits : GROUP_BITS;
            _makeLanes(point, laneBits);
            uint256 inner = Points.eqList(point << (8 * laneBits), 1 << (groupBits - laneBits));
            // The outer list ends where free memory begins.
            (uint256 list,) = Points.expand(point, sizes, groupBits, 1);
            result = _sum(data, size, offset == 0 ? 0 : SIGNS, inner, list);
            if (offset != 0) result = Field.sub(result, Field.mul(SIGN, maskOf(point, sizes)));
            Memory.reset(free);
        }
    }

    /// @notice The sum of eq over true entries.
    function maskOf(uint256 point, uint256 sizes) internal pure returns (uint256 result) {
        unchecked {
            result = 1;
            uint256 low;
            uint256 last = sizes + 32 * load(sizes);
            while (sizes < last) {
                sizes += 32;
                uint256 bits = Points.bitsOf(load(sizes));
                result = Field.mul(result, Points.mask(point, low, bits, load(sizes)));
                low += bits;
            }
        }
    }

    /// @dev An axis whose size is a power of two has no padding: it and the one above it are one axis.
    function _mergeAxes(uint256 sizes) private pure returns (uint256) {
        unchecked {
            uint256 count = load(sizes);
            while (count > 1 && load(sizes + 32) & (load(sizes + 32) - 1) == 0) {
                store(sizes + 64, load(sizes + 64) * load(sizes + 32));
                sizes += 32;
                --count;
                store(sizes, count);
            }
            return sizes;
        }
    }

    /// @dev With U_i the word shifted so that lane i is lowest, lane i is U_i − 2^16·U_(i−1), so Σ lane_i·e_i is Σ
    ///      U_i·(e_i − 2^16·e_(i+1)): the table holds what U_i counts, and no lane needs to be cut out. e is the
    ///      product of four entries h for the two high bits and four l for the two low ones, so three of four are
    ///      h·(l_i − 2^16·l_(i+1)). Missing coordinates are zero.
    function _makeLanes(uint256 point, uint256 cut) private pure {
        unchecked {
            uint256 missing = type(uint256).max >> (8 * cut);
            point = (point & ~missing) | (ZEROS & missing);
            _makeQuarter(SCRATCH, point);
            _makeQuarter(SCRATCH + 0x80, point << 16);
        }
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let factor := sub(r, 0x10000)
            let l1 := mload(add(SCRATCH, 0x20))
            let l2 := mload(add(SCRATCH, 0x40))
            let l3 := mload(add(SCRATCH, 0x60))
            let first := addmod(mload(SCRATCH), mulmod(l1, factor, r), r)
            let second := addmod(l1, mulmod(l2, factor, r), r)
            let third := addmod(l2, mulmod(l3, factor, r), r)
            let next := mulmod(mload(SCRATCH), factor, r)
            let place := LANES
            let h := mload(add(SCRATCH, 0x80))
            for { let high := add(SCRATCH, 0xa0) } 1 { high := add(high, 0x20) } {
                mstore(place, mulmod(h, first, r))
                mstore(add(place, 0x20), mulmod(h, second, r))
                mstore(add(place, 0x40), mulmod(h, third, r))
                if eq(high, add(SCRATCH, 0x100)) { break }
                let above := mload(high)
                mstore(add(place, 0x60), addmod(mulmod(h, l3, r), mulmod(above, next, r), r))
                h := above
                place := add(place, 0x80)
            }
            mstore(add(place, 0x60), mulmod(h, l3, r))
        }
    }

    /// @dev eq of the first two coordinates with 0, 1, 2, 3.
    function _makeQuarter(uint256 place, uint256 point) private pure {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let c := mload(add(COORDINATES, shl(5, byte(0, point))))
            let d := mload(add(COORDINATES, shl(5, byte(1, point))))
            let both := mulmod(c, d, r)
            mstore(place, addmod(addmod(1, both, r), sub(shl(1, r), add(c, d)), r))
            mstore(add(place, 0x20), addmod(c, sub(r, both), r))
            mstore(add(place, 0x40), addmod(d, sub(r, both), r))
            mstore(add(place, 0x60), both)
        }
    }

    /// @dev Σ over rows of `size` values: words of 16, each weighted with its entry of the inner list, and groups of
    ///      words with theirs of the outer one. A row begins a new group.
    function _sum(uint256 data, uint256 size, uint256 signs, uint256 inner, uint256 list)
        private
        pure
        returns (uint256 result)
    {
        unchecked {
            uint256 words = size / LANES_OF_WORD;
            uint256 lanes = size % LANES_OF_WORD;
            uint256 left = words;
            for (uint256 last = Memory.free(); list < last; list += 32) {
                uint256 count = left < GROUP_WORDS ? left : GROUP_WORDS;
                left -= count;
                uint256 part;
                if (count != 0) part = _weigh(data, inner, 32 * count, signs, type(uint256).max);
                data += 32 * count;
                if (count < GROUP_WORDS) {
                    // Here the row ends. Behind its last lanes is something else.
                    if (lanes != 0) {
                        uint256 mask = ~(type(uint256).max >> (16 * lanes));
                        part = Field.add(part, _weigh(data, inner + 32 * count, 32, signs, mask));
                        data += 2 * lanes;
                    }
                    left = words;
                } else if (left | lanes == 0) {
                    left = words;
                }
                result = Field.mulAdd(result, part, load(list));
            }
        }
    }

    /// @dev So many bytes of the calldata from `data` on, each word weighted with a word of the memory from `place` on.
    function _weigh(uint256 data, uint256 place, uint256 size, uint256 signs, uint256 mask)
        private
        pure
        returns (uint256 sum)
    {
        assembly ("memory-safe") {
            // These three would not fit on the stack beside the products.
            mstore(SCRATCH, signs)
            mstore(add(SCRATCH, 0x20), mask)
            let r := mload(MODULUS)
            let step := sub(data, place)
            let end := add(place, size)
            // A variable of the loop: else the word would be computed anew for every lane.
            let word := and(xor(calldataload(data), signs), mask)
            for {} lt(place, end) {} {
                // Two products, or two sums modulo r, are below 2^256 together.
                let first := mulmod(shr(240, word), mload(LANES), r)
                first := add(first, mulmod(shr(224, word), mload(add(LANES, 0x20)), r))
                let second := mulmod(shr(208, word), mload(add(LANES, 0x40)), r)
                second := add(second, mulmod(shr(192, word), mload(add(LANES, 0x60)), r))
                let high := addmod(first, second, r)
                first := mulmod(shr(176, word), mload(add(LANES, 0x80)), r)
                first := add(first, mulmod(shr(160, word), mload(add(LANES, 0xa0)), r))
                second := mulmod(shr(144, word), mload(add(LANES, 0xc0)), r)
                second := add(second, mulmod(shr(128, word), mload(add(LANES, 0xe0)), r))
                let low := addmod(first, second, r)
                mstore(0x00, add(high, low))
                first := mulmod(shr(112, word), mload(add(LANES, 0x100)), r)
                first := add(first, mulmod(shr(96, word), mload(add(LANES, 0x120)), r))
                second := mulmod(shr(80, word), mload(add(LANES, 0x140)), r)
                second := add(second, mulmod(shr(64, word), mload(add(LANES, 0x160)), r))
                high := addmod(first, second, r)
                first := mulmod(shr(48, word), mload(add(LANES, 0x180)), r)
                first := add(first, mulmod(shr(32, word), mload(add(LANES, 0x1a0)), r))
                second := mulmod(shr(16, word), mload(add(LANES, 0x1c0)), r)
                second := add(second, mulmod(word, mload(add(LANES, 0x1e0)), r))
                low := addmod(first, second, r)
                mstore(0x20, add(high, low))
                sum := addmod(sum, mulmod(addmod(mload(0x00), mload(0x20), r), mload(place), r), r)
                place := add(place, 0x20)
                word := and(xor(calldataload(add(place, step)), mload(SCRATCH)), mload(add(SCRATCH, 0x20)))
            }
        }
    }
}
