// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

/// @title What a verifier knows of a network
/// @notice Shapes are words: 6 × u32 dimensions in the low 24 bytes, as in the descriptor, zero beyond the rank.

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

/// @notice One term of a linear operator. Points name slots of the table of coordinates (Points.sol).
struct Term {
    uint256 kind;
    uint256 operand;
    /// @dev The weights tensor, where they are one.
    uint256 tensor;
    /// @dev Reduced.
    uint256 coefficient;
    /// @dev Memory position of the operand axes' words.
    uint256 axes;
    /// @dev Bit o: the term repeats along result axis o.
    uint256 broadcast;
    /// @dev Variables of the linear sumcheck: shared, then contracted, then kernel bits.
    uint256 variables;
    uint256 sharedBits;
    /// @dev The coordinates of σ that the shared axes have.
    uint256 sharedPoint;
    /// @dev Variable of the lowest kernel bit.
    uint256 kernelLow;
    bool isMapped;
    uint256 mapBits;
    uint256 operandPoint;
    uint256 weightsPoint;
    uint256 weightsBits;
    /// @dev True sizes of the parameters' axes from the low bits up.
    uint256[] sizes;
    /// @dev Of the parameters' block (Layout.sol).
    uint256 location;
    /// @dev W at (σ, ρ), the operand at (ρ, σ), the operand at θ: sent, or the verifier's own.
    uint256 weights;
    uint256 value;
    uint256 mapped;
}

/// @notice One tensor and the operator that gives it; tensor 0 is the input.
struct Tensor {
    uint256 code;
    uint256 rank;
    uint256 shape;
    /// @dev For axis a, in bits 16a …: u8 number of bits, u8 lowest bit of the block's index.
    uint256 axes;
    /// @dev Of the block.
    uint256 bits;
    /// @dev 2048 for signed values, else 0.
    uint256 offset;
    /// @dev First row in its space: rescale rows for LINEAR, lookup rows for TABLE.
    uint256 start;
    /// @dev w: how much the block counts at σ.
    uint256 weight;
    /// @dev LINEAR: 12 or 24.
    uint256 shift;
    /// @dev LINEAR: the axis the bias runs along plus 1, or 0.
    uint256 biasAxis;
    uint256 biasLocation;
    /// @dev TABLE: what is looked up, in which table.
    uint256 operand;
    uint256 table;
    /// @dev LINEAR.
    Term[] terms;
}

struct Network {
    Tensor[] tensors;
    uint256 tables;
    /// @dev The tensor that is the output.
    uint256 output;
    /// @dev Number of LINEAR and of TABLE operators.
    uint256 layers;
    uint256 lookups;
    /// @dev Whether some shift is LIMB_SHIFT: the rows have a column r1 then.
    bool hasHighLimb;
}

/// @title Reading shapes
library Shapes {
    function dimension(uint256 shape, uint256 axis) internal pure returns (uint256) {
        unchecked {
            return uint32(shape >> (160 - 32 * axis));
        }
    }

    /// @notice Bits of an axis.
    function bitsAt(Tensor memory tensor, uint256 axis) internal pure returns (uint256) {
        unchecked {
            return uint8(tensor.axes >> (16 * axis));
        }
    }

    /// @notice Lowest bit of an axis in its block's index.
    function lowAt(Tensor memory tensor, uint256 axis) internal pure returns (uint256) {
        unchecked {
            return uint8(tensor.axes >> (16 * axis + 8));
        }
    }

    /// @notice True sizes from the low bits up: the last axis first.
    function sizesOf(Tensor memory tensor) internal pure returns (uint256[] memory sizes) {
        unchecked {
            sizes = new uint256[](tensor.rank);
            for (uint256 a; a < sizes.length; ++a) {
                sizes[a] = dimension(tensor.shape, sizes.length - 1 - a);
            }
        }
    }

    function single(uint256 size) internal pure returns (uint256[] memory sizes) {
        sizes = new uint256[](1);
        sizes[0] = size;
    }
}
