// SPDX-License-Identifier: Apache-2.0
// Two types, each with its library, and lists of sizes.
// solhint-disable one-contract-per-file
pragma solidity ^0.8.31;

import {INPUT_COMMITTED, load, store} from "./Memory.sol";

// What a descriptor says of tensors and terms, as records in memory: words at fixed offsets, read with `get`.

/// @dev Codes of operators in a descriptor.
uint256 constant INPUT = 0x01;
uint256 constant OUTPUT = 0x02;
uint256 constant LINEAR = 0x10;
uint256 constant TERM = 0x11;
uint256 constant AXIS = 0x12;
uint256 constant WEIGHTS_AXIS = 0x13;
uint256 constant TABLE = 0x20;

/// @dev How a term reads an axis of its operand.
uint256 constant DIRECT = 0;
uint256 constant CONTRACT = 1;
uint256 constant SHARED = 2;
uint256 constant AFFINE = 3;
uint256 constant FIX = 4;
uint256 constant MERGE = 5;
uint256 constant MERGED = 6;

/// @dev What the kernel index of an AFFINE axis is.
uint256 constant KERNEL_NONE = 0;
uint256 constant KERNEL_WEIGHTED = 1;
uint256 constant KERNEL_SUMMED = 2;
uint256 constant KERNEL_RESULT = 3;

/// @dev Where the weights of a term come from.
uint256 constant NO_WEIGHTS = 0;
uint256 constant PARAMETERS = 1;
uint256 constant WEIGHTS_TENSOR = 2;

uint256 constant NO_AXIS = 255;
uint256 constant VALUE_BITS = 12;
/// @dev Entries of RANGE and of every table.
uint256 constant TABLE_LENGTH = 4096;
/// @dev The shift whose remainder has two limbs.
uint256 constant LIMB_SHIFT = 24;

/// @notice One tensor and the operator that gives it: the memory position of its record.
type Tensor is uint256;

uint256 constant TENSOR_BYTES = 0x200;
/// @dev Code of the operator.
uint256 constant CODE = 0x00;
uint256 constant RANK = 0x20;
/// @dev 6 × u32 dimensions in the low 24 bytes, as in the descriptor, zero beyond the rank; and their product.
uint256 constant SHAPE = 0x40;
uint256 constant SIZE = 0x60;
/// @dev For axis a, in bits 16a …: u8 number of bits, u8 lowest bit of the block's index.
uint256 constant AXES = 0x80;
/// @dev Of the block.
uint256 constant BITS = 0xa0;
/// @dev 2048 for signed values, else 0.
uint256 constant OFFSET = 0xc0;
/// @dev First row in its space: rescale rows for LINEAR, lookup rows for TABLE.
uint256 constant START = 0xe0;
/// @dev w: how much the block counts at σ.
uint256 constant WEIGHT = 0x100;
/// @dev LINEAR: 12 or 24; the axis the bias runs along plus 1, or 0; where the bias is; terms, one after the other.
uint256 constant SHIFT = 0x120;
uint256 constant BIAS_AXIS = 0x140;
uint256 constant BIAS_LOCATION = 0x160;
uint256 constant FIRST_TERM = 0x180;
uint256 constant TERMS_END = 0x1a0;
/// @dev TABLE: the record of what is looked up, and in which table.
uint256 constant LOOKUP_OPERAND = 0x1c0;
uint256 constant LOOKUP_TABLE = 0x1e0;

/// @notice One term of a linear operator: the memory position of its record. Points are those of Points.sol.
type Term is uint256;

uint256 constant TERM_BYTES = 0x280;
uint256 constant KIND = 0x00;
/// @dev Record of the operand, and of the weights tensor where there is one.
uint256 constant OPERAND = 0x20;
uint256 constant WEIGHTS_OPERAND = 0x40;
/// @dev Reduced; once laid out, times 2^-(variables that the sumcheck has more).
uint256 constant COEFFICIENT = 0x60;
/// @dev Memory position of the operand axes' words.
uint256 constant AXIS_WORDS = 0x80;
/// @dev Bit o: the term repeats along result axis o.
uint256 constant BROADCAST = 0xa0;
/// @dev Variables of the linear sumcheck: shared, then contracted, then kernel bits.
uint256 constant VARIABLES = 0xc0;
uint256 constant SHARED_BITS = 0xe0;
/// @dev The coordinates of σ that the shared axes have.
uint256 constant SHARED_POINT = 0x100;
/// @dev Variable of the lowest kernel bit.
uint256 constant KERNEL_LOW = 0x120;
uint256 constant IS_MAPPED = 0x140;
uint256 constant MAP_BITS = 0x160;
uint256 constant OPERAND_POINT = 0x180;
uint256 constant WEIGHTS_POINT = 0x1a0;
uint256 constant WEIGHTS_BITS = 0x1c0;
/// @dev True sizes of the parameters' axes from the low bits up (Sizes), and where their block is.
uint256 constant SIZES = 0x1e0;
uint256 constant LOCATION = 0x200;
/// @dev W at (σ, ρ), the operand at (ρ, σ), the operand at θ: sent, or the verifier's own.
uint256 constant WEIGHTS = 0x220;
uint256 constant OPERAND_VALUE = 0x240;
uint256 constant MAPPED_VALUE = 0x260;

using Tensors for Tensor global;
using TermRecords for Term global;

/// @dev Dimension of an axis of a shape.
function dimensionOf(uint256 shape, uint256 axis) pure returns (uint256) {
    unchecked {
        return uint32(shape >> (160 - 32 * axis));
    }
}

/// @title Reading and writing the record of a tensor
library Tensors {
    function get(Tensor tensor, uint256 field) internal pure returns (uint256) {
        unchecked {
            return load(Tensor.unwrap(tensor) + field);
        }
    }

    function set(Tensor tensor, uint256 field, uint256 value) internal pure {
        unchecked {
            store(Tensor.unwrap(tensor) + field, value);
        }
    }

    /// @notice True size of an axis.
    function dimension(Tensor tensor, uint256 axis) internal pure returns (uint256) {
        return dimensionOf(tensor.get(SHAPE), axis);
    }

    /// @notice Bits of an axis.
    function bitsAt(Tensor tensor, uint256 axis) internal pure returns (uint256) {
        unchecked {
            return uint8(tensor.get(AXES) >> (16 * axis));
        }
    }

    /// @notice Lowest bit of an axis in its block's index.
    function lowAt(Tensor tensor, uint256 axis) internal pure returns (uint256) {
        unchecked {
            return uint8(tensor.get(AXES) >> (16 * axis + 8));
        }
    }
}

/// @title Reading and writing the record of a term
library TermRecords {
    function get(Term term, uint256 field) internal pure returns (uint256) {
        unchecked {
            return load(Term.unwrap(term) + field);
        }
    }

    function set(Term term, uint256 field, uint256 value) internal pure {
        unchecked {
            store(Term.unwrap(term) + field, value);
        }
    }

    function operand(Term term) internal pure returns (Tensor) {
        return Tensor.wrap(term.get(OPERAND));
    }

    /// @notice Parameters and computed tensors; the public input is evaluated by the verifier.
    function isWeightSent(Term term) internal pure returns (bool) {
        uint256 kind = term.get(KIND);
        if (kind != WEIGHTS_TENSOR) return kind == PARAMETERS;
        return Tensor.wrap(term.get(WEIGHTS_OPERAND)).get(CODE) != INPUT;
    }

    /// @notice Computed tensors, a committed input, and the public input where it is read through a map.
    function isOperandSent(Term term) internal pure returns (bool) {
        return term.operand().get(CODE) != INPUT || term.get(IS_MAPPED) != 0 || load(INPUT_COMMITTED) != 0;
    }
}

/// @title True axis sizes from the low bits up: a position of the memory where their number stands before them
library Sizes {
    function single(uint256 size) internal pure returns (uint256 sizes) {
        assembly ("memory-safe") {
            sizes := mload(0x40)
            mstore(sizes, 1)
            mstore(add(sizes, 0x20), size)
            mstore(0x40, add(sizes, 0x40))
        }
    }

    /// @notice Of a tensor: the last axis first.
    function ofTensor(Tensor tensor) internal pure returns (uint256 sizes) {
        unchecked {
            uint256 rank = tensor.get(RANK);
            uint256 shape = tensor.get(SHAPE) >> (192 - 32 * rank);
            assembly ("memory-safe") {
                sizes := mload(0x40)
                mstore(sizes, rank)
                let place := add(sizes, 0x20)
                for {} rank { rank := sub(rank, 1) } {
                    mstore(place, and(shape, 0xffffffff))
                    shape := shr(32, shape)
                    place := add(place, 0x20)
                }
                mstore(0x40, place)
            }
        }
    }
}
