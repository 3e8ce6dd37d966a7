// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {R} from "./Field.sol";
import {
    AFFINE,
    KERNEL_RESULT,
    KERNEL_SUMMED,
    KERNEL_WEIGHTED,
    MERGE,
    MERGED,
    NO_AXIS,
    Shapes,
    Tensor,
    Term
} from "./Network.sol";
import {Points, RHO, SIGMA, THETA} from "./Points.sol";
import {Words} from "./Words.sol";

/// @title What the entries of an operand's mapped axes count at θ
/// @notice Only pairs (p, k) that lead to a true index count; an index is never taken modulo anything.
library Maps {
    /// @notice A(θ): the product over the term's AFFINE and MERGE axes.
    function evaluate(Term memory term, Tensor memory operand, Tensor memory result, uint256 table)
        internal
        pure
        returns (uint256 product)
    {
        unchecked {
            product = 1;
            uint256 theta = THETA;
            uint256 kernel = RHO + term.kernelLow;
            uint256 free;
            assembly ("memory-safe") {
                free := mload(0x40)
            }
            for (uint256 a = operand.rank; a-- != 0;) {
                uint256 word = Words.wordAt(term.axes + 32 * a);
                uint256 mode = Words.byteAt(word, 1);
                if (mode != AFFINE && mode != MERGE && mode != MERGED) continue;
                uint256 bits = Shapes.bitsAt(operand, a);
                if (mode == MERGED) {
                    theta += bits;
                    continue;
                }
                uint256 size = Shapes.dimension(operand.shape, a);
                uint256 list = Points.eqList(table, Points.span(theta, bits), size);
                if (mode == AFFINE) {
                    product = mulmod(product, _affine(word, list, size, kernel, result, table), R);
                    if (Words.byteAt(word, 3) == KERNEL_WEIGHTED) kernel += Points.bitsOf(uint32(word >> 160));
                } else {
                    uint256 inner = Shapes.dimension(operand.shape, a + 1);
                    uint256 below = theta - Shapes.bitsAt(operand, a + 1);
                    uint256 innerList = Points.eqList(table, Points.span(below, theta - below), inner);
                    uint256 merged = _resultList(result, Words.byteAt(word, 2), table);
                    product = mulmod(product, _merge(list, size, innerList, inner, merged), R);
                }
                theta += bits;
                assembly ("memory-safe") {
                    mstore(0x40, free)
                }
            }
        }
    }

    /// @dev eq(σ_o, ·) over the true indices of result axis o.
    function _resultList(Tensor memory result, uint256 axis, uint256 table) private pure returns (uint256) {
        unchecked {
            uint256 point = Points.span(SIGMA + Shapes.lowAt(result, axis), Shapes.bitsAt(result, axis));
            return Points.eqList(table, point, Shapes.dimension(result.shape, axis));
        }
    }

    /// @dev Σ p̂[p]·k̂[k]·eq(θ, stride·p + dilation·k + offset) over the true indices.
    function _affine(
        uint256 word,
        uint256 list,
        uint256 size,
        uint256 kernel,
        Tensor memory result,
        uint256 table
    ) private pure returns (uint256) {
        unchecked {
            uint256 axis = Words.byteAt(word, 2);
            uint256 positions = axis == NO_AXIS ? 1 : Shapes.dimension(result.shape, axis);
            uint256 ofPosition =
                axis == NO_AXIS ? Points.eqList(table, 0, 1) : _resultList(result, axis, table);
            uint256 taps = uint32(word >> 160);
            uint256 ofTap;
            uint256 mode = Words.byteAt(word, 3);
            if (mode == KERNEL_WEIGHTED) {
                ofTap = Points.eqList(table, Points.span(kernel, Points.bitsOf(taps)), taps);
            } else if (mode == KERNEL_RESULT) {
                ofTap = _resultList(result, Words.byteAt(word, 4), table);
            }
            return _sumAffine(word, list, size, _Factor(ofPosition, positions), _Factor(ofTap, taps));
        }
    }

    /// @dev A list in memory; `list` 0 stands for ones.
    struct _Factor {
        uint256 list;
        uint256 count;
    }

    function _sumAffine(uint256 word, uint256 list, uint256 size, _Factor memory p, _Factor memory k)
        private
        pure
        returns (uint256 sum)
    {
        unchecked {
            int256 dilation = Words.int32At(word >> 96);
            int256 start = Words.int32At(word >> 64);
            for (uint256 i; i < p.count; ++i) {
                uint256 inner = _sumTaps(list, size, start, dilation, k);
                uint256 weight = Words.wordAt(p.list + 32 * i);
                sum = addmod(sum, mulmod(weight, inner, R), R);
                start += Words.int32At(word >> 128);
            }
        }
    }

    function _sumTaps(uint256 list, uint256 size, int256 index, int256 dilation, _Factor memory k)
        private
        pure
        returns (uint256 sum)
    {
        (uint256 tap, uint256 count) = (k.list, k.count);
        assembly ("memory-safe") {
            for {} count { count := sub(count, 1) } {
                // A negative index is a large unsigned one.
                if lt(index, size) {
                    let value := mload(add(list, shl(5, index)))
                    if tap { value := mulmod(value, mload(tap), R) }
                    sum := addmod(sum, value, R)
                }
                index := add(index, dilation)
                if tap { tap := add(tap, 0x20) }
            }
        }
    }

    /// @dev Σ outer[a]·inner[b]·merged[inner·a + b].
    function _merge(uint256 outer, uint256 outers, uint256 inner, uint256 inners, uint256 merged)
        private
        pure
        returns (uint256 sum)
    {
        assembly ("memory-safe") {
            for { let end := add(outer, shl(5, outers)) } lt(outer, end) { outer := add(outer, 0x20) } {
                let part := 0
                for { let place := inner } lt(place, add(inner, shl(5, inners))) { place := add(place, 0x20) } {
                    part := addmod(part, mulmod(mload(place), mload(merged), R), R)
                    merged := add(merged, 0x20)
                }
                sum := addmod(sum, mulmod(part, mload(outer), R), R)
            }
        }
    }
}
