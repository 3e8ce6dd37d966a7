// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Field} from "./Field.sol";
import {LANES, MODULUS, Memory, load, store} from "./Memory.sol";
import {Points} from "./Points.sol";

/// @title Public tensors: packed big-endian int16 in the calldata
/// @notice A word of the calldata holds 16 values, its lanes; the first value is in the highest one.
library PublicTensor {
    uint256 private constant LANE_BITS = 4;
    uint256 private constant HIGH_BITS = 0xf000f000f000f000f000f000f000f000f000f000f000f000f000f000f000f000;
    uint256 private constant VALUES = 0x0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff0fff;
    uint256 private constant SIGNS = 0x0800080008000800080008000800080008000800080008000800080008000800;

    /// @notice Whether every value is in its format's range: [−2048, 2047] where `offset` is 2048, else [0, 4095].
    function isInRange(bytes calldata data, uint256 offset) internal pure returns (bool) {
        uint256 wrong;
        uint256 shift = offset == 0 ? 0 : 1;
        assembly ("memory-safe") {
            let last := add(data.offset, data.length)
            for { let place := data.offset } lt(place, last) { place := add(place, 0x20) } {
                let word := calldataload(place)
                let left := sub(last, place)
                if lt(left, 0x20) { word := and(word, not(shr(shl(3, left), not(0)))) }
                // Signed: the five highest bits of a lane are equal. Rectified: its four highest bits are zero.
                let differs := xor(word, mul(shift, shl(1, word)))
                wrong := or(wrong, and(differs, HIGH_BITS))
            }
        }
        return wrong == 0;
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
            uint256 bits = Points.bitsOf(load(sizes + 32));
            if (bits > LANE_BITS) bits = LANE_BITS;
            _makeLanes(point, bits);
            (uint256 list, uint256 count) = Points.expand(point, sizes, bits, 1);
            result = _sum(data, load(sizes + 32), offset == 0 ? 0 : SIGNS, list, list + 32 * count);
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

    /// @dev With U_i the word shifted so that lane i is lowest, lane i is U_i − 2^16·U_(i−1), so Σ lane_i·e_i is
    ///      Σ U_i·(e_i − 2^16·e_(i+1)): the table holds what U_i counts, and no lane needs to be cut out.
    function _makeLanes(uint256 point, uint256 cut) private pure {
        uint256 list = Points.eqList(point, 1 << cut);
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let count := shl(cut, 1)
            calldatacopy(LANES, calldatasize(), 0x220)
            mcopy(LANES, list, shl(5, count))
            for { let place := LANES } count { count := sub(count, 1) } {
                let next := add(place, 0x20)
                mstore(place, addmod(mload(place), sub(r, mulmod(mload(next), 0x10000, r)), r))
                place := next
            }
        }
    }

    /// @dev Σ over rows of `size` values, in words of 16, each weighted with its entry of the list.
    function _sum(uint256 data, uint256 size, uint256 signs, uint256 list, uint256 last)
        private
        pure
        returns (uint256 result)
    {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let left := size
            for {} lt(list, last) { list := add(list, 0x20) } {
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
                }
                // Two products are below 2^256 together.
                let sum := add(
                    mulmod(shr(240, mload(0x00)), mload(LANES), r),
                    mulmod(shr(224, mload(0x00)), mload(add(LANES, 0x20)), r)
                )
                sum := addmod(
                    sum,
                    add(
                        mulmod(shr(208, mload(0x00)), mload(add(LANES, 0x40)), r),
                        mulmod(shr(192, mload(0x00)), mload(add(LANES, 0x60)), r)
                    ),
                    r
                )
                sum := addmod(
                    sum,
                    add(
                        mulmod(shr(176, mload(0x00)), mload(add(LANES, 0x80)), r),
                        mulmod(shr(160, mload(0x00)), mload(add(LANES, 0xa0)), r)
                    ),
                    r
                )
                sum := addmod(
                    sum,
                    add(
                        mulmod(shr(144, mload(0x00)), mload(add(LANES, 0xc0)), r),
                        mulmod(shr(128, mload(0x00)), mload(add(LANES, 0xe0)), r)
                    ),
                    r
                )
                sum := addmod(
                    sum,
                    add(
                        mulmod(shr(112, mload(0x00)), mload(add(LANES, 0x100)), r),
                        mulmod(shr(96, mload(0x00)), mload(add(LANES, 0x120)), r)
                    ),
                    r
                )
                sum := addmod(
                    sum,
                    add(
                        mulmod(shr(80, mload(0x00)), mload(add(LANES, 0x140)), r),
                        mulmod(shr(64, mload(0x00)), mload(add(LANES, 0x160)), r)
                    ),
                    r
                )
                sum := addmod(
                    sum,
                    add(
                        mulmod(shr(48, mload(0x00)), mload(add(LANES, 0x180)), r),
                        mulmod(shr(32, mload(0x00)), mload(add(LANES, 0x1a0)), r)
                    ),
                    r
                )
                sum := addmod(
                    sum,
                    add(
                        mulmod(shr(16, mload(0x00)), mload(add(LANES, 0x1c0)), r),
                        mulmod(mload(0x00), mload(add(LANES, 0x1e0)), r)
                    ),
                    r
                )
                result := addmod(result, mulmod(sum, mload(list), r), r)
            }
        }
    }
}
