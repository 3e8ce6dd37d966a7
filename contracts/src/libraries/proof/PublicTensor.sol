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
    /// @dev A point of zeros (Points.sol).
    uint256 private constant ZEROS = 0x6060606060606060606060606060606060606060606060606060606060606060;
    /// @dev 2^-240: by so much less every word counts, because its lanes are multiplied where they stand.
    uint256 private constant UNIT = 0x1a93ecff08a7f6a1a3b3030906f405115c1ac210d4e2e13b5b6a3bb9c03fc2bc;
    /// @dev Groups of 8 words: two short lists instead of a long one.
    uint256 private constant GROUP_BITS = 7;
    uint256 private constant GROUP_BYTES = 0x100;
    /// @dev So many values are weighted one by one.
    uint256 private constant FEW = 16;
    uint256 private constant HIGH_BITS = 0xf000f000f000f000f000f000f000f000f000f000f000f000f000f000f000f000;
    /// @dev The sign of every lane. A signed lane with its sign turned is value + 2^15, which is not negative.
    uint256 private constant SIGNS = 0x8000800080008000800080008000800080008000800080008000800080008000;
    uint256 private constant SIGN = 0x8000;
    /// @dev −2048 in every lane, its sign turned.
    uint256 private constant LEAST = 0x7800780078007800780078007800780078007800780078007800780078007800;

    /// @dev Words of SCRATCH behind the first: what turns the signs, the lists, the calldata, and room for a row.
    uint256 private constant AT_SIGNS = 0x920;
    uint256 private constant AT_INNER = 0x940;
    uint256 private constant AT_OUTER = 0x960;
    uint256 private constant AT_DATA = 0x980;
    uint256 private constant AT_ROW = 0x9a0;

    /// @notice Whether every value is in its format's range: [−2048, 2047] where `offset` is 2048, else [0, 4095].
    function isInRange(bytes calldata data, uint256 offset) internal pure returns (bool) {
        uint256 seen;
        (uint256 signs, uint256 least) = offset == 0 ? (0, 0) : (SIGNS, LEAST);
        assembly ("memory-safe") {
            // Every lane less the least value, which is below 4096. Of lanes below the least value, the lowest one
            // shows it: no lane borrows from that one.
            let place := data.offset
            let end := add(place, data.length)
            for { let last := sub(end, and(data.length, 0xff)) } lt(place, last) { place := add(place, 0x100) } {
                seen := or(seen, sub(xor(calldataload(place), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0x20)), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0x40)), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0x60)), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0x80)), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0xa0)), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0xc0)), signs), least))
                seen := or(seen, sub(xor(calldataload(add(place, 0xe0)), signs), least))
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
            if (size <= FEW && load(sizes) == 1) return _addFew(data, size, point);
            uint256 bits = Points.bitsOf(size);
            uint256 laneBits = bits < LANE_BITS ? bits : LANE_BITS;
            uint256 groupBits = bits < GROUP_BITS ? bits : GROUP_BITS;
            _makeLanes(point, laneBits);
            uint256 inner = Points.eqList(point << (8 * laneBits), 1 << (groupBits - laneBits));
            // The outer list ends where free memory begins.
            (uint256 list,) = Points.expand(point, sizes, groupBits, UNIT);
            store(SCRATCH, offset == 0 ? 0 : Field.negate(Field.mul(SIGN, maskOf(point, sizes))));
            store(AT_SIGNS, offset == 0 ? 0 : SIGNS);
            result = _addWords(data, size, inner, list);
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

    /// @dev One axis of a few values, each weighted by itself: tables of lanes and words would cost more. What is
    ///      allocated is left.
    function _addFew(uint256 data, uint256 size, uint256 point) private pure returns (uint256 sum) {
        uint256 list = Points.eqList(point, size);
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            for { let end := add(data, shl(1, size)) } lt(data, end) { data := add(data, 2) } {
                let value := signextend(1, shr(240, calldataload(data)))
                // A negative number plus r.
                sum := addmod(sum, mulmod(add(value, mul(slt(value, 0), r)), mload(list), r), r)
                list := add(list, 0x20)
            }
        }
    }

    /// @dev What each lane of a word counts. Lane i stands 2^(240 − 16i) too high; with 2^(16i) in its entry all of
    ///      them are 2^240 too high, and no lane is shifted. An entry is the product of one of four for the two low
    ///      bits and one of four for the high ones. Missing coordinates are zero.
    function _makeLanes(uint256 point, uint256 cut) private pure {
        unchecked {
            uint256 missing = type(uint256).max >> (8 * cut);
            point = (point & ~missing) | (ZEROS & missing);
            _makeQuarter(SCRATCH, point, 16);
            _makeQuarter(SCRATCH + 0x80, point << 16, 64);
        }
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let place := LANES
            for { let high := add(SCRATCH, 0x80) } lt(high, add(SCRATCH, 0x100)) { high := add(high, 0x20) } {
                let h := mload(high)
                mstore(place, mulmod(h, mload(SCRATCH), r))
                mstore(add(place, 0x20), mulmod(h, mload(add(SCRATCH, 0x20)), r))
                mstore(add(place, 0x40), mulmod(h, mload(add(SCRATCH, 0x40)), r))
                mstore(add(place, 0x60), mulmod(h, mload(add(SCRATCH, 0x60)), r))
                place := add(place, 0x80)
            }
        }
    }

    /// @dev eq of the first two coordinates with k = 0, 1, 2, 3, times 2^(shift·k).
    function _makeQuarter(uint256 place, uint256 point, uint256 shift) private pure {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let c := mload(add(COORDINATES, shl(5, byte(0, point))))
            let d := mload(add(COORDINATES, shl(5, byte(1, point))))
            let both := mulmod(c, d, r)
            mstore(place, addmod(addmod(1, both, r), sub(shl(1, r), add(c, d)), r))
            mstore(add(place, 0x20), mulmod(add(c, sub(r, both)), shl(shift, 1), r))
            mstore(add(place, 0x40), mulmod(add(d, sub(r, both)), shl(shl(1, shift), 1), r))
            mstore(add(place, 0x60), mulmod(both, shl(mul(3, shift), 1), r))
        }
    }

    /// @dev What lies in SCRATCH, plus the sum over rows of `size` values: words of 16, each weighted with its entry
    ///      of the inner list, and groups of words with theirs of the outer one. A row begins a new group. Behind the
    ///      sum lies what turns the signs; what is needed once a group is kept there too, because the products need
    ///      the stack.
    function _addWords(uint256 data, uint256 size, uint256 inner, uint256 list) private pure returns (uint256) {
        unchecked {
            uint256 row = Memory.free();
            uint256 end = row + ((2 * size + 31) & ~uint256(31));
            store(AT_INNER, inner);
            store(AT_OUTER, list);
            store(AT_DATA, data);
            store(AT_ROW, row);
            // Lanes behind a row's last one stay as they are here: nothing, once the sign is turned.
            store(end - 32, load(AT_SIGNS));
            // The outer list ends where the row begins.
            while (load(AT_OUTER) < load(AT_ROW)) {
                uint256 place = load(AT_ROW);
                assembly ("memory-safe") {
                    calldatacopy(place, mload(AT_DATA), shl(1, size))
                }
                store(AT_DATA, load(AT_DATA) + 2 * size);
                while (place < end) {
                    uint256 last = place + GROUP_BYTES < end ? place + GROUP_BYTES : end;
                    uint256 part = _weigh(place, last, load(AT_INNER));
                    store(SCRATCH, Field.mulAdd(load(SCRATCH), part, load(load(AT_OUTER))));
                    store(AT_OUTER, load(AT_OUTER) + 32);
                    place = last;
                }
            }
            return load(SCRATCH);
        }
    }

    /// @dev Words of one group, each weighted with its entry of the list from `weight` on.
    function _weigh(uint256 place, uint256 last, uint256 weight) private pure returns (uint256 sum) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            for {} lt(place, last) { place := add(place, 0x20) } {
                let word := xor(mload(place), mload(AT_SIGNS))
                // Two products, or a product and a sum modulo r, are below 2^256 together. Half of it goes through
                // memory: as one expression, which the compiler makes of it, it would not fit on the stack.
                let value := mulmod(and(word, shl(240, 0xffff)), mload(LANES), r)
                value := add(mulmod(and(word, shl(224, 0xffff)), mload(add(LANES, 0x20)), r), value)
                let pair := mulmod(and(word, shl(208, 0xffff)), mload(add(LANES, 0x40)), r)
                pair := add(mulmod(and(word, shl(192, 0xffff)), mload(add(LANES, 0x60)), r), pair)
                value := addmod(pair, value, r)
                value := add(mulmod(and(word, shl(176, 0xffff)), mload(add(LANES, 0x80)), r), value)
                pair := mulmod(and(word, shl(160, 0xffff)), mload(add(LANES, 0xa0)), r)
                pair := add(mulmod(and(word, shl(144, 0xffff)), mload(add(LANES, 0xc0)), r), pair)
                value := addmod(pair, value, r)
                mstore(0x00, value)
                value := add(mulmod(and(word, shl(128, 0xffff)), mload(add(LANES, 0xe0)), r), mload(0x00))
                pair := mulmod(and(word, shl(112, 0xffff)), mload(add(LANES, 0x100)), r)
                pair := add(mulmod(and(word, shl(96, 0xffff)), mload(add(LANES, 0x120)), r), pair)
                value := addmod(pair, value, r)
                value := add(mulmod(and(word, shl(80, 0xffff)), mload(add(LANES, 0x140)), r), value)
                pair := mulmod(and(word, shl(64, 0xffff)), mload(add(LANES, 0x160)), r)
                pair := add(mulmod(and(word, shl(48, 0xffff)), mload(add(LANES, 0x180)), r), pair)
                value := addmod(pair, value, r)
                value := add(mulmod(and(word, shl(32, 0xffff)), mload(add(LANES, 0x1a0)), r), value)
                pair := mulmod(and(word, shl(16, 0xffff)), mload(add(LANES, 0x1c0)), r)
                pair := add(mulmod(and(word, 0xffff), mload(add(LANES, 0x1e0)), r), pair)
                value := addmod(pair, value, r)
                sum := addmod(sum, mulmod(mload(weight), value, r), r)
                weight := add(weight, 0x20)
            }
        }
    }
}
