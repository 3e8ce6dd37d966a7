// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {R} from "./Field.sol";
import {Points} from "./Points.sol";

/// @title Public tensors: packed big-endian int16 in the calldata
/// @notice A word of the calldata holds 16 values, its lanes; the first value is in the highest one.
library PublicTensor {
    uint256 private constant LANES = 16;
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

    /// @notice The multilinear extension at `point`, every axis padded by itself.
    /// @param sizes True axis sizes, the last axis first. Overwritten.
    function evaluate(uint256 data, uint256[] memory sizes, uint256 offset, uint256 table, uint256 point)
        internal
        pure
        returns (uint256 result)
    {
        unchecked {
            uint256 free = _freeMemory();
            sizes = _mergeAxes(sizes);
            uint256 size = sizes[0];
            uint256 bits = Points.bitsOf(size);
            uint256 lanes = _makeLanes(table, point, bits < LANE_BITS ? bits : LANE_BITS);
            (uint256 list, uint256 count) =
                Points.expand(table, point, sizes, bits < LANE_BITS ? bits : LANE_BITS, 1);
            result = _sum(data, size, offset, lanes, list, count);
            // Lanes hold value + offset.
            if (offset != 0) result = addmod(result, R - mulmod(offset, maskOf(table, point, sizes), R), R);
            _resetMemory(free);
        }
    }

    /// @notice The sum of eq over true entries.
    function maskOf(uint256 table, uint256 point, uint256[] memory sizes) internal pure returns (uint256 result) {
        unchecked {
            result = 1;
            uint256 low;
            for (uint256 a; a < sizes.length; ++a) {
                uint256 bits = Points.bitsOf(sizes[a]);
                result = mulmod(result, Points.mask(table, point, low, bits, sizes[a]), R);
                low += bits;
            }
        }
    }

    function _freeMemory() private pure returns (uint256 free) {
        assembly ("memory-safe") {
            free := mload(0x40)
        }
    }

    function _resetMemory(uint256 free) private pure {
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }

    /// @dev An axis whose size is a power of two has no padding: it and the one above it are one axis.
    function _mergeAxes(uint256[] memory sizes) private pure returns (uint256[] memory) {
        unchecked {
            while (sizes.length > 1 && sizes[0] & (sizes[0] - 1) == 0) {
                sizes[1] *= sizes[0];
                assembly ("memory-safe") {
                    let length := sub(mload(sizes), 1)
                    sizes := add(sizes, 0x20)
                    mstore(sizes, length)
                }
            }
            return sizes;
        }
    }

    /// @dev With U_i the word shifted so that lane i is lowest, lane i is U_i − 2^16·U_(i−1), so Σ lane_i·e_i is
    ///      Σ U_i·(e_i − 2^16·e_(i+1)): the table holds what U_i counts, and no lane needs to be cut out.
    function _makeLanes(uint256 table, uint256 point, uint256 cut) private pure returns (uint256 lanes) {
        unchecked {
            assembly ("memory-safe") {
                lanes := mload(0x40)
                mstore(0x40, add(lanes, 0x220))
                calldatacopy(lanes, calldatasize(), 0x220)
            }
            uint256 list = Points.eqList(table, point, 1 << cut);
            assembly ("memory-safe") {
                mcopy(lanes, list, shl(5, shl(cut, 1)))
                for { let end := add(lanes, 0x200) } lt(lanes, end) { lanes := add(lanes, 0x20) } {
                    let next := mulmod(mload(add(lanes, 0x20)), 0x10000, R)
                    mstore(lanes, addmod(mload(lanes), sub(R, next), R))
                }
                lanes := sub(lanes, 0x200)
            }
        }
    }

    /// @dev Σ over rows of `size` values, in words of 16, each weighted with its entry of the list.
    function _sum(uint256 data, uint256 size, uint256 offset, uint256 lanes, uint256 list, uint256 count)
        private
        pure
        returns (uint256 result)
    {
        unchecked {
            uint256 signs = offset == 0 ? 0 : SIGNS;
            uint256 left = size;
            for (uint256 end = list + 32 * count; list < end; list += 32) {
                uint256 word;
                uint256 taken = left < LANES ? left : LANES;
                assembly ("memory-safe") {
                    word := and(xor(and(calldataload(data), VALUES), signs), not(shr(shl(4, taken), not(0))))
                }
                uint256 value = _dot(word, lanes);
                assembly ("memory-safe") {
                    result := addmod(result, mulmod(value, mload(list), R), R)
                }
                data += 2 * taken;
                left = left == taken ? size : left - taken;
            }
        }
    }

    function _dot(uint256 word, uint256 lanes) private pure returns (uint256 sum) {
        assembly ("memory-safe") {
            // Two products are below 2^256 together.
            sum := add(mulmod(shr(240, word), mload(lanes), R), mulmod(shr(224, word), mload(add(lanes, 0x20)), R))
            sum := addmod(
                sum,
                add(
                    mulmod(shr(208, word), mload(add(lanes, 0x40)), R),
                    mulmod(shr(192, word), mload(add(lanes, 0x60)), R)
                ),
                R
            )
            sum := addmod(
                sum,
                add(
                    mulmod(shr(176, word), mload(add(lanes, 0x80)), R),
                    mulmod(shr(160, word), mload(add(lanes, 0xa0)), R)
                ),
                R
            )
            sum := addmod(
                sum,
                add(
                    mulmod(shr(144, word), mload(add(lanes, 0xc0)), R),
                    mulmod(shr(128, word), mload(add(lanes, 0xe0)), R)
                ),
                R
            )
            sum := addmod(
                sum,
                add(
                    mulmod(shr(112, word), mload(add(lanes, 0x100)), R),
                    mulmod(shr(96, word), mload(add(lanes, 0x120)), R)
                ),
                R
            )
            sum := addmod(
                sum,
                add(
                    mulmod(shr(80, word), mload(add(lanes, 0x140)), R),
                    mulmod(shr(64, word), mload(add(lanes, 0x160)), R)
                ),
                R
            )
            sum := addmod(
                sum,
                add(
                    mulmod(shr(48, word), mload(add(lanes, 0x180)), R),
                    mulmod(shr(32, word), mload(add(lanes, 0x1a0)), R)
                ),
                R
            )
            sum := addmod(
                sum,
                add(mulmod(shr(16, word), mload(add(lanes, 0x1c0)), R), mulmod(word, mload(add(lanes, 0x1e0)), R)),
                R
            )
        }
    }
}
