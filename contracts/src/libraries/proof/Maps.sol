// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {Field} from "./Field.sol";
import {MODULUS, Memory, load} from "./Memory.sol";
import {Points, RHO, SIGMA, THETA} from "./Points.sol";
import {
    AFFINE,
    AXIS_WORDS,
    FIX,
    KERNEL_LOW,
    KERNEL_RESULT,
    KERNEL_WEIGHTED,
    MERGED,
    NO_AXIS,
    RANK,
    Tensor,
    Term
} from "./Records.sol";
import {Words} from "./Words.sol";

/// @title What the entries of an operand's mapped axes count at θ
/// @notice Only pairs (p, k) that lead to a true index count; an index is never taken modulo anything.
library Maps {
    /// @notice A(θ): the product over the term's AFFINE and MERGE axes.
    function evaluate(Term term, Tensor result) internal pure returns (uint256 product) {
        unchecked {
            product = 1;
            Tensor operand = term.operand();
            uint256 theta = THETA;
            uint256 kernel = RHO + term.get(KERNEL_LOW);
            uint256 free = Memory.free();
            for (uint256 a = operand.get(RANK); a-- != 0;) {
                uint256 word = load(term.get(AXIS_WORDS) + 32 * a);
                uint256 mode = Words.byteAt(word, 1);
                if (mode < AFFINE || mode == FIX) continue;
                uint256 bits = operand.bitsAt(a);
                if (mode != MERGED) {
                    uint256 list = Points.eqList(Points.span(theta, bits), operand.dimension(a));
                    uint256 factor = mode == AFFINE
                        ? _affine(word, list, operand.dimension(a), kernel, result)
                        : _merge(word, list, operand, a, theta, result);
                    product = Field.mul(product, factor);
                    Memory.reset(free);
                }
                if (mode == AFFINE && Words.byteAt(word, 3) == KERNEL_WEIGHTED) {
                    kernel += Points.bitsOf(uint32(word >> 160));
                }
                theta += bits;
            }
        }
    }

    /// @dev eq(σ_o, ·) over the true indices of result axis o.
    function _resultList(Tensor result, uint256 axis) private pure returns (uint256) {
        unchecked {
            uint256 point = Points.span(SIGMA + result.lowAt(axis), result.bitsAt(axis));
            return Points.eqList(point, result.dimension(axis));
        }
    }

    /// @dev Σ p̂[p]·k̂[k]·eq(θ, stride·p + dilation·k + offset) over the true indices.
    function _affine(uint256 word, uint256 list, uint256 size, uint256 kernel, Tensor result)
        private
        pure
        returns (uint256 sum)
    {
        unchecked {
            uint256 axis = Words.byteAt(word, 2);
            uint256 position = axis == NO_AXIS ? Points.eqList(0, 1) : _resultList(result, axis);
            uint256 last = position + 32 * (axis == NO_AXIS ? 1 : result.dimension(axis));
            uint256 taps = _tapList(word, kernel, result);
            int256 index = Words.int32At(word >> 64);
            for (; position < last; position += 32) {
                sum = Field.mulAdd(sum, load(position), _sumTaps(word, list, size, index, taps));
                index += Words.int32At(word >> 128);
            }
        }
    }

    /// @dev k̂; 0 stands for ones.
    function _tapList(uint256 word, uint256 kernel, Tensor result) private pure returns (uint256) {
        uint256 mode = Words.byteAt(word, 3);
        if (mode == KERNEL_RESULT) return _resultList(result, Words.byteAt(word, 4));
        if (mode != KERNEL_WEIGHTED) return 0;
        uint256 count = uint32(word >> 160);
        return Points.eqList(Points.span(kernel, Points.bitsOf(count)), count);
    }

    function _sumTaps(uint256 word, uint256 list, uint256 size, int256 index, uint256 tap)
        private
        pure
        returns (uint256 sum)
    {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let dilation := signextend(3, shr(96, word))
            for { let count := and(shr(160, word), 0xffffffff) } count { count := sub(count, 1) } {
                // A negative index is a large unsigned one.
                if lt(index, size) {
                    let value := mload(add(list, shl(5, index)))
                    if tap { value := mulmod(value, mload(tap), r) }
                    sum := addmod(sum, value, r)
                }
                index := add(index, dilation)
                if tap { tap := add(tap, 0x20) }
            }
        }
    }

    /// @dev Σ eq(θ_A, a)·eq(θ_B, b)·eq(σ_o, B·a + b), for the axis whose list is given and the one behind it.
    function _merge(uint256 word, uint256 list, Tensor operand, uint256 axis, uint256 theta, Tensor result)
        private
        pure
        returns (uint256 sum)
    {
        unchecked {
            uint256 inner = operand.bitsAt(axis + 1);
            uint256 inners = operand.dimension(axis + 1);
            uint256 innerList = Points.eqList(Points.span(theta - inner, inner), inners);
            uint256 merged = _resultList(result, Words.byteAt(word, 2));
            return _sumMerged(list, operand.dimension(axis), innerList, inners, merged);
        }
    }

    function _sumMerged(uint256 outer, uint256 outers, uint256 inner, uint256 inners, uint256 merged)
        private
        pure
        returns (uint256 sum)
    {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let end := add(inner, shl(5, inners))
            for {} outers { outers := sub(outers, 1) } {
                let part := 0
                for { let place := inner } lt(place, end) { place := add(place, 0x20) } {
                    part := addmod(part, mulmod(mload(place), mload(merged), r), r)
                    merged := add(merged, 0x20)
                }
                sum := addmod(sum, mulmod(part, mload(outer), r), r)
                outer := add(outer, 0x20)
            }
        }
    }
}
