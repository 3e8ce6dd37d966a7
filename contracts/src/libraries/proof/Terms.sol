// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {R} from "./Field.sol";
import {
    AFFINE,
    AXIS,
    CONTRACT,
    DIRECT,
    FIX,
    KERNEL_NONE,
    KERNEL_RESULT,
    KERNEL_SUMMED,
    KERNEL_WEIGHTED,
    MERGE,
    MERGED,
    NO_AXIS,
    PARAMETERS,
    SHARED,
    Shapes,
    TERM,
    Tensor,
    Term,
    WEIGHTS_AXIS,
    WEIGHTS_TENSOR
} from "./Network.sol";
import {Points, RHO, SIGMA, THETA} from "./Points.sol";
import {Reader, Words} from "./Words.sol";

/// @title One term of a linear operator: its rules, and which challenge stands for which bit (circuits/layers/term.py,
///        circuits/plan.py)
/// @notice One cap is lower than there: the parameters of one term lie in at most 2^32 padded entries.
library Terms {
    uint256 private constant MAX_ELEMENTS = 1 << 22;
    uint256 private constant MAX_WEIGHTS = 1 << 24;
    int256 private constant MAX_COEFFICIENT = 1 << 23;
    uint256 private constant MAX_KERNEL = 1 << 12;
    int256 private constant MAX_STEP = 1 << 16;
    int256 private constant MAX_OFFSET = 1 << 22;
    uint256 private constant MAX_PARAMETER_BITS = 32;
    uint256 private constant MAX_PARAMETER_AXES = 12;

    /// @dev What the axes of one term say.
    struct Axes {
        /// @dev Bit o: result axis o is named.
        uint256 named;
        /// @dev Bit a, bit o, bit a: contracted operand axes, shared result axes, operand axes with a weighted kernel.
        uint256 contracted;
        uint256 shared;
        uint256 kernels;
        uint256 sharedBits;
        uint256 contractBits;
        uint256 kernelBits;
        /// @dev Operand entries that one result sums with weight 1.
        uint256 summed;
        /// @dev Entries of the axis before, if that one is MERGE, else 0; and its result axis.
        uint256 merging;
        uint256 mergeResult;
        /// @dev Byte a (from the right): the lowest variable of contracted operand axis a.
        uint256 contractLow;
        /// @dev Byte o: the lowest variable of the axis shared with result axis o.
        uint256 sharedLow;
    }

    function read(Reader memory reader, Tensor[] memory tensors, uint256 id, Term memory term) internal pure {
        uint256 word = Words.next(reader);
        Words.demand(word >> 248 == TERM && uint128(word) == 0, "term");
        term.kind = Words.byteAt(word, 1);
        term.operand = Words.readOperand(reader, id, word >> 192);
        _readCoefficient(term, Words.int32At(word >> 128));
        (Tensor memory operand, Tensor memory result) = (tensors[term.operand], tensors[id]);
        Words.demand(Words.byteAt(word, 2) == operand.rank, "operand rank");
        Axes memory axes;
        _readAxes(reader, term, axes, operand, result);
        _placeOperand(term, axes, operand, result);
        _placeShared(term, axes, operand, result);
        if (term.kind == WEIGHTS_TENSOR) {
            term.tensor = Words.readOperand(reader, id, word >> 160);
            Words.demand(Words.byteAt(word, 3) == tensors[term.tensor].rank && axes.kernels == 0, "weights tensor");
            _readTensorAxes(reader, term, axes, tensors[term.tensor], operand, result);
            return;
        }
        Words.demand(Words.byteAt(word, 3) == 0 && uint32(word >> 160) == 0, "weights tensor");
        if (term.kind == PARAMETERS) {
            _placeParameters(reader, term, axes, operand, result);
        } else {
            Words.demand(axes.contracted | axes.shared | axes.kernels == 0, "weights missing");
            term.broadcast = ((1 << result.rank) - 1) & ~axes.named;
        }
    }

    function _readCoefficient(Term memory term, int256 coefficient) private pure {
        Words.demand(term.kind <= WEIGHTS_TENSOR, "weights kind");
        Words.demand(coefficient != 0 && coefficient < MAX_COEFFICIENT && coefficient > -MAX_COEFFICIENT, "coefficient");
        Words.demand(coefficient == 1 || term.kind != PARAMETERS, "coefficient");
        unchecked {
            // forge-lint: disable-next-line(unsafe-typecast)
            term.coefficient = coefficient < 0 ? R - uint256(-coefficient) : uint256(coefficient);
        }
    }

    // ---- axes of the operand: rules -----------------------------------------------------------------------------

    function _readAxes(
        Reader memory reader,
        Term memory term,
        Axes memory axes,
        Tensor memory operand,
        Tensor memory result
    ) private pure {
        unchecked {
            term.axes = reader.place;
            axes.summed = 1;
            for (uint256 a; a < operand.rank; ++a) {
                uint256 word = Words.next(reader);
                uint256 size = Shapes.dimension(operand.shape, a);
                Words.demand(word >> 248 == AXIS, "axis");
                uint256 mode = Words.byteAt(word, 1);
                _readMerge(axes, mode, size, result);
                if (mode == AFFINE) _readAffine(axes, word, a, result);
                else _readPlain(axes, word, a, size, result);
                term.isMapped = term.isMapped || mode == AFFINE || mode == MERGE;
            }
            Words.demand(axes.merging == 0, "merge");
            Words.demand(axes.summed <= MAX_ELEMENTS, "summed entries");
            Words.demand(axes.summed == 1 || term.kind != PARAMETERS, "summed beside parameters");
        }
    }

    /// @dev MERGED stands exactly behind MERGE, and both together are the result axis.
    function _readMerge(Axes memory axes, uint256 mode, uint256 size, Tensor memory result) private pure {
        unchecked {
            Words.demand((mode == MERGED) == (axes.merging != 0), "merge");
            if (mode == MERGED) {
                uint256 merged = Shapes.dimension(result.shape, axes.mergeResult);
                Words.demand(axes.merging * size == merged, "merge size");
            }
            axes.merging = mode == MERGE ? size : 0;
        }
    }

    /// @dev Every mode but AFFINE; the fields that the mode does not use have their defaults.
    function _readPlain(Axes memory axes, uint256 word, uint256 a, uint256 size, Tensor memory result) private pure {
        unchecked {
            (uint256 mode, uint256 axis) = (Words.byteAt(word, 1), Words.byteAt(word, 2));
            uint256 head = (AXIS << 24) | (mode << 16) | (axis << 8);
            uint256 index = uint32(word >> 64);
            Words.demand(mode <= MERGED && word == (head << 224) | (NO_AXIS << 216) | (index << 64), "axis fields");
            Words.demand(mode == FIX ? index < size : index == 0, "axis index");
            if (mode == DIRECT || mode == SHARED || mode == MERGE) {
                _name(axes, axis, result);
                Words.demand(mode == MERGE || Shapes.dimension(result.shape, axis) == size, "axis size");
                axes.mergeResult = axis;
                if (mode == SHARED) {
                    axes.shared |= 1 << axis;
                    axes.sharedBits += Points.bitsOf(size);
                }
                return;
            }
            Words.demand(axis == NO_AXIS, "axis result");
            if (mode == CONTRACT) {
                axes.contracted |= 1 << a;
                axes.contractBits += Points.bitsOf(size);
            }
        }
    }

    function _readAffine(Axes memory axes, uint256 word, uint256 a, Tensor memory result) private pure {
        unchecked {
            (uint256 kernel, uint256 size) = (Words.byteAt(word, 3), uint32(word >> 160));
            _requireSteps(word, kernel, size);
            if (Words.byteAt(word, 2) != NO_AXIS) _name(axes, Words.byteAt(word, 2), result);
            uint256 kernelResult = Words.byteAt(word, 4);
            Words.demand((kernel == KERNEL_RESULT) == (kernelResult != NO_AXIS), "kernel result");
            if (kernel == KERNEL_RESULT) {
                _name(axes, kernelResult, result);
                Words.demand(Shapes.dimension(result.shape, kernelResult) == size, "kernel size");
            } else if (kernel == KERNEL_SUMMED) {
                axes.summed *= size;
            } else if (kernel == KERNEL_WEIGHTED) {
                axes.kernels |= 1 << a;
                axes.kernelBits += Points.bitsOf(size);
            }
        }
    }

    function _requireSteps(uint256 word, uint256 kernel, uint256 size) private pure {
        (int256 stride, int256 dilation) = (Words.int32At(word >> 128), Words.int32At(word >> 96));
        int256 offset = Words.int32At(word >> 64);
        Words.demand(uint64(word) == 0 && uint24(word >> 192) == 0 && kernel <= KERNEL_RESULT, "axis fields");
        Words.demand(size != 0 && size <= MAX_KERNEL, "kernel size");
        Words.demand(stride <= MAX_STEP && stride >= -MAX_STEP, "stride");
        Words.demand(dilation <= MAX_STEP && dilation >= -MAX_STEP, "dilation");
        Words.demand(offset <= MAX_OFFSET && offset >= -MAX_OFFSET, "offset");
        Words.demand(kernel != KERNEL_NONE || (size == 1 && dilation == 0), "kernel");
        Words.demand(stride == 0 || Words.byteAt(word, 2) != NO_AXIS, "stride");
    }

    /// @dev No result axis is named twice.
    function _name(Axes memory axes, uint256 axis, Tensor memory result) private pure {
        Words.demand(axis < result.rank && (axes.named >> axis) & 1 == 0, "result axis");
        axes.named |= 1 << axis;
    }

    // ---- points -------------------------------------------------------------------------------------------------

    function _axisPoint(Tensor memory tensor, uint256 axis) private pure returns (uint256) {
        return Points.span(SIGMA + Shapes.lowAt(tensor, axis), Shapes.bitsAt(tensor, axis));
    }

    /// @dev Which coordinate each bit of the operand's block has, from the last axis, which has the lowest bits.
    function _placeOperand(Term memory term, Axes memory axes, Tensor memory operand, Tensor memory result) private pure {
        unchecked {
            term.variables = axes.sharedBits + axes.contractBits + axes.kernelBits;
            Words.demand(term.variables <= MAX_PARAMETER_BITS, "term bits");
            term.sharedBits = axes.sharedBits;
            term.kernelLow = axes.sharedBits + axes.contractBits;
            uint256 contractLow = axes.sharedBits;
            uint256 sharedLow;
            for (uint256 a = operand.rank; a-- != 0;) {
                uint256 word = Words.wordAt(term.axes + 32 * a);
                (uint256 mode, uint256 axis) = (Words.byteAt(word, 1), Words.byteAt(word, 2));
                uint256 bits = Shapes.bitsAt(operand, a);
                uint256 piece;
                if (mode == DIRECT) {
                    piece = _axisPoint(result, axis);
                } else if (mode == SHARED) {
                    piece = Points.span(RHO + sharedLow, bits);
                    axes.sharedLow |= sharedLow << (8 * axis);
                    sharedLow += bits;
                } else if (mode == CONTRACT) {
                    piece = Points.span(RHO + contractLow, bits);
                    axes.contractLow |= contractLow << (8 * a);
                    contractLow += bits;
                } else if (mode == FIX) {
                    piece = Points.ofIndex(uint32(word >> 64), bits);
                } else {
                    piece = Points.span(THETA + term.mapBits, bits);
                    term.mapBits += bits;
                }
                term.operandPoint = Points.append(term.operandPoint, Shapes.lowAt(operand, a), piece);
            }
        }
    }

    /// @dev The coordinates of σ in the order of the term's lowest variables.
    function _placeShared(Term memory term, Axes memory axes, Tensor memory operand, Tensor memory result) private pure {
        unchecked {
            if (axes.shared == 0) return;
            for (uint256 a; a < operand.rank; ++a) {
                uint256 word = Words.wordAt(term.axes + 32 * a);
                if (Words.byteAt(word, 1) != SHARED) continue;
                uint256 axis = Words.byteAt(word, 2);
                uint256 low = uint8(axes.sharedLow >> (8 * axis));
                term.sharedPoint = Points.append(term.sharedPoint, low, _axisPoint(result, axis));
            }
        }
    }

    // ---- parameters ---------------------------------------------------------------------------------------------

    /// @dev Axes of the parameters from the low bits up: free result axes, shared, contracted, kernels; the last first.
    function _placeParameters(
        Reader memory reader,
        Term memory term,
        Axes memory axes,
        Tensor memory operand,
        Tensor memory result
    ) private pure {
        unchecked {
            uint256[] memory sizes = new uint256[](MAX_PARAMETER_AXES);
            (uint256 count, uint256 bits) = (0, 0);
            for (uint256 o = result.rank; o-- != 0;) {
                if ((axes.named >> o) & 1 != 0) continue;
                sizes[count++] = Shapes.dimension(result.shape, o);
                term.weightsPoint = Points.append(term.weightsPoint, bits, _axisPoint(result, o));
                bits += Shapes.bitsAt(result, o);
            }
            count = _listSummed(sizes, count, term, operand);
            assembly ("memory-safe") {
                mstore(sizes, count)
            }
            term.sizes = sizes;
            term.weightsBits = bits + term.variables;
            Words.demand(term.weightsBits <= MAX_PARAMETER_BITS, "parameter bits");
            term.weightsPoint = Points.append(term.weightsPoint, bits, Points.span(RHO, term.variables));
            _countWeights(reader, sizes);
        }
    }

    function _listSummed(uint256[] memory sizes, uint256 count, Term memory term, Tensor memory operand)
        private
        pure
        returns (uint256)
    {
        unchecked {
            // Three passes: shared axes, contracted axes, kernels.
            for (uint256 pass; pass < 3; ++pass) {
                uint256 wanted = pass == 0 ? SHARED : pass == 1 ? CONTRACT : AFFINE;
                for (uint256 a = operand.rank; a-- != 0;) {
                    uint256 word = Words.wordAt(term.axes + 32 * a);
                    if (Words.byteAt(word, 1) != wanted) continue;
                    if (pass != 2) sizes[count++] = Shapes.dimension(operand.shape, a);
                    else if (Words.byteAt(word, 3) == KERNEL_WEIGHTED) sizes[count++] = uint32(word >> 160);
                }
            }
            return count;
        }
    }

    function _countWeights(Reader memory reader, uint256[] memory sizes) private pure {
        unchecked {
            uint256 product = 1;
            for (uint256 i; i < sizes.length; ++i) {
                product *= sizes[i];
                Words.demand(product <= MAX_WEIGHTS, "weights");
            }
            reader.weights += product;
            Words.demand(reader.weights <= MAX_WEIGHTS, "weights");
        }
    }

    // ---- a tensor as weights --------------------------------------------------------------------------------------

    /// @dev Every contracted and shared axis of the operand occurs exactly once there, free result axes at most once.
    function _readTensorAxes(
        Reader memory reader,
        Term memory term,
        Axes memory axes,
        Tensor memory tensor,
        Tensor memory operand,
        Tensor memory result
    ) private pure {
        unchecked {
            (uint256 contracted, uint256 shared) = (axes.contracted, axes.shared);
            uint256 free = ((1 << result.rank) - 1) & ~axes.named;
            term.weightsBits = tensor.bits;
            for (uint256 a; a < tensor.rank; ++a) {
                uint256 word = Words.next(reader);
                (uint256 mode, uint256 axis) = (Words.byteAt(word, 1), Words.byteAt(word, 2));
                uint256 index = uint32(word >> 160);
                uint256 size = Shapes.dimension(tensor.shape, a);
                uint256 head = (WEIGHTS_AXIS << 16) | (mode << 8) | axis;
                Words.demand(word == (head << 232) | (index << 160), "weights axis");
                uint256 bits = Shapes.bitsAt(tensor, a);
                uint256 piece;
                if (mode == FIX) {
                    Words.demand(axis == NO_AXIS && index < size, "weights index");
                    piece = Points.ofIndex(index, bits);
                } else {
                    Words.demand(index == 0, "weights index");
                    uint256 bit = 1 << axis;
                    if (mode == CONTRACT) {
                        Words.demand(contracted & bit != 0, "weights contraction");
                        contracted ^= bit;
                        Words.demand(Shapes.dimension(operand.shape, axis) == size, "weights size");
                        piece = Points.span(RHO + uint8(axes.contractLow >> (8 * axis)), bits);
                    } else {
                        Words.demand(mode == DIRECT || mode == SHARED, "weights mode");
                        Words.demand((mode == SHARED ? shared : free) & bit != 0, "weights result axis");
                        Words.demand(Shapes.dimension(result.shape, axis) == size, "weights size");
                        if (mode == SHARED) shared ^= bit;
                        else free ^= bit;
                        piece = mode == SHARED
                            ? Points.span(RHO + uint8(axes.sharedLow >> (8 * axis)), bits)
                            : _axisPoint(result, axis);
                    }
                }
                term.weightsPoint = Points.append(term.weightsPoint, Shapes.lowAt(tensor, a), piece);
            }
            Words.demand(contracted | shared == 0, "weights axes");
            term.broadcast = free;
        }
    }
}
