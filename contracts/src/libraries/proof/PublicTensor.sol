// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {Field} from "./Field.sol";
import {COORDINATES, LANES, MODULUS, Memory, QUARTERS, load, store} from "./Memory.sol";
import {Points} from "./Points.sol";

/// @title Public tensors: packed big-endian int16 in the calldata
/// @notice A word of the calldata holds 16 values, its lanes; the first value is in the highest one.
library PublicTensor {
    uint256 private constant LANE_BITS = 4;
    /// @dev A point of zeros (Points.sol).
    uint256 private constant ZEROS = 0x6060606060606060606060606060606060606060606060606060606060606060;
    /// @dev Groups of 8 words: two short lists instead of a long one.
    uint256 private constant GROUP_BITS = 7;
    uint256 private constant INNER_BYTES = 0x100;
    uint256 private constant HIGH_BITS = 0xf000f000f000f000f000f000f000f000f000f000f000f000f000f000f000f000;
    uint256 private constant VALUES = 0x0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff;
    uint256 private constant SIGNS = 0x0800080008000800080008000800080008000800080008000800080008000800;

    /// @notice Whether every value is in its format's range: [−2048, 2047] where `offset` is 2048, else [0, 4095].
    function isInRange(bytes calldata data, uint256 offset) internal pure returns (bool) {
        uint256 differs;
        assembly ("memory-safe") {
            // Signed: the five highest bits of a lane are equal. Rectified: its four highest bits are zero.
            let signed := sub(0, gt(offset, 0))
            let place := data.offset
            let last := add(place, and(data.length, not(0x3f)))
            for {} lt(place, last) { place := add(place, 0x40) } {
                let word := calldataload(place)
                let other := calldataload(add(place, 0x20))
                word := xor(word, shl(1, and(word, signed)))
                differs := or(differs, or(word, xor(other, shl(1, and(other, signed)))))
            }
            last := add(data.offset, data.length)
            for {} lt(place, last) { place := add(place, 0x20) } {
                let word := calldataload(place)
                // What lies behind the data is none of it.
                if lt(last, add(place, 0x20)) { word := and(word, not(shr(shl(3, sub(last, place)), not(0)))) }
                differs := or(differs, xor(word, shl(1, and(word, signed))))
            }
        }
        return differs & HIGH_BITS == 0;
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
            // Lanes hold value + offset.
            if (offset != 0) result = Field.sub(result, Field.mul(offset, maskOf(point, sizes)));
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
    ///      product of four entries for the two high bits and four for the two low ones; missing coordinates are
    ///      zero.
    function _makeLanes(uint256 point, uint256 cut) private pure {
        unchecked {
            uint256 missing = type(uint256).max >> (8 * cut);
            point = (point & ~missing) | (ZEROS & missing);
            _makeQuarter(QUARTERS, point);
            _makeQuarter(QUARTERS + 0x80, point << 16);
        }
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let above := 0
            let high := add(QUARTERS, 0x100)
            for { let place := add(LANES, 0x200) } gt(place, LANES) {} {
                high := sub(high, 0x20)
                for { let low := add(QUARTERS, 0x80) } gt(low, QUARTERS) {} {
                    low := sub(low, 0x20)
                    place := sub(place, 0x20)
                    let e := mulmod(mload(high), mload(low), r)
                    mstore(place, addmod(e, sub(r, mulmod(above, 0x10000, r)), r))
                    above := e
                }
            }
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
        assembly ("memory-safe") {
            // Two lanes; two products are below 2^256 together.
            function pair(shift, lane, r) -> sum {
                let high := mulmod(shr(add(shift, 16), mload(0x00)), mload(add(LANES, lane)), r)
                sum := add(high, mulmod(shr(shift, mload(0x00)), mload(add(LANES, add(lane, 0x20))), r))
            }
            let r := mload(MODULUS)
            let left := size
            for { let last := mload(0x40) } lt(list, last) { list := add(list, 0x20) } {
                let part := 0
                let end := add(inner, INNER_BYTES)
                for { let place := inner } lt(place, end) { place := add(place, 0x20) } {
                    // Position 0x00 keeps the word: as a variable it would be computed anew for every lane.
                    mstore(0x00, xor(and(calldataload(data), VALUES), signs))
                    switch lt(left, 17)
                    case 0 {
                        left := sub(left, 16)
                        data := add(data, 0x20)
                    }
                    default {
                        mstore(0x00, and(mload(0x00), not(shr(shl(4, left), not(0)))))
                        data := add(data, shl(1, left))
                        left := size
                        end := 0
                    }
                    let sum := pair(224, 0x00, r)
                    sum := addmod(sum, pair(192, 0x40, r), r)
                    sum := addmod(sum, pair(160, 0x80, r), r)
                    sum := addmod(sum, pair(128, 0xc0, r), r)
                    sum := addmod(sum, pair(96, 0x100, r), r)
                    sum := addmod(sum, pair(64, 0x140, r), r)
                    sum := addmod(sum, pair(32, 0x180, r), r)
                    sum := addmod(sum, pair(0, 0x1c0, r), r)
                    part := addmod(part, mulmod(sum, mload(place), r), r)
                }
                result := addmod(result, mulmod(part, mload(list), r), r)
            }
        }
    }
}
