// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {MODULUS, TENSORS, load} from "./Memory.sol";
import {Points, RHO, SIGMA, THETA} from "./Points.sol";
import {
    AFFINE,
    AXIS,
    AXIS_WORDS,
    BITS,
    BROADCAST,
    COEFFICIENT,
    CONTRACT,
    DIRECT,
    FIX,
    IS_MAPPED,
    KERNEL_LOW,
    KERNEL_NONE,
    KERNEL_RESULT,
    KERNEL_SUMMED,
    KERNEL_WEIGHTED,
    KIND,
    MAP_BITS,
    MERGE,
    MERGED,
    NO_AXIS,
    OPERAND,
    OPERAND_POINT,
    PARAMETERS,
    RANK,
    SHARED,
    SHARED_BITS,
    SHARED_POINT,
    SIZES,
    TENSOR_BYTES,
    TERM,
    Tensor,
    Term,
    VARIABLES,
    WEIGHTS_AXIS,
    WEIGHTS_BITS,
    WEIGHTS_OPERAND,
    WEIGHTS_POINT,
    WEIGHTS_TENSOR
} from "./Records.sol";
import {Axes, Reader, Words} from "./Words.sol";

/// @title One term of a linear operator: its rules, and which challenge stands for which bit
///        (circuits/layers/term.py, circuits/plan.py)
/// @notice One cap is lower than there: the parameters of one term lie in at most 2^32 padded entries.
library Terms {
    uint256 private constant MAX_ELEMENTS = 1 << 22;
    uint256 private constant MAX_WEIGHTS = 1 << 24;
    int256 private constant MAX_COEFFICIENT = 1 << 23;
    uint256 private constant MAX_KERNEL = 1 << 12;
    int256 private constant MAX_STEP = 1 << 16;
    int256 private constant MAX_OFFSET = 1 << 22;
    /// @dev Pairs of position and kernel entry, which a verification goes through one by one.
    uint256 private constant MAX_READINGS = 1 << 24;
    uint256 private constant MAX_PARAMETER_BITS = 32;

    function read(Reader memory reader, uint256 id, Tensor result, Term term) internal pure {
        uint256 word = Words.next(reader);
        if (word >> 248 != TERM || uint128(word) != 0) Words.refuse("term");
        uint256 kind = Words.byteAt(word, 1);
        Tensor operand = _tensor(Words.readOperand(reader, id, word >> 192));
        term.set(KIND, kind);
        term.set(OPERAND, Tensor.unwrap(operand));
        _readCoefficient(term, kind, Words.int32At(word >> 128));
        if (Words.byteAt(word, 2) != operand.get(RANK)) Words.refuse("operand rank");
        Words.clearAxes(reader);
        Axes memory axes = reader.axes;
        _readAxes(reader, term, axes, operand, result);
        _placeOperand(term, axes, operand, result);
        if (axes.shared != 0) _placeShared(term, axes, operand, result);
        if (kind == WEIGHTS_TENSOR) {
            Tensor tensor = _tensor(Words.readOperand(reader, id, word >> 160));
            if (Words.byteAt(word, 3) != tensor.get(RANK) || axes.kernels != 0) Words.refuse("weights tensor");
            term.set(WEIGHTS_OPERAND, Tensor.unwrap(tensor));
            _readTensorAxes(reader, term, axes, tensor, result);
            return;
        }
        if (Words.byteAt(word, 3) != 0 || uint32(word >> 160) != 0) Words.refuse("weights tensor");
        if (kind == PARAMETERS) {
            _placeParameters(reader, term, axes, operand, result);
        } else {
            if (axes.contracted | axes.shared | axes.kernels != 0) Words.refuse("weights missing");
            unchecked {
                term.set(BROADCAST, ((1 << result.get(RANK)) - 1) & ~axes.named);
            }
        }
    }

    function _tensor(uint256 id) private pure returns (Tensor) {
        unchecked {
            return Tensor.wrap(TENSORS + TENSOR_BYTES * id);
        }
    }

    function _readCoefficient(Term term, uint256 kind, int256 coefficient) private pure {
        if (kind > WEIGHTS_TENSOR) Words.refuse("weights kind");
        if (coefficient == 0 || coefficient >= MAX_COEFFICIENT || coefficient <= -MAX_COEFFICIENT) {
            Words.refuse("coefficient");
        }
        if (coefficient != 1 && kind == PARAMETERS) Words.refuse("coefficient");
        uint256 reduced;
        assembly ("memory-safe") {
            reduced := add(coefficient, mul(slt(coefficient, 0), mload(MODULUS)))
        }
        term.set(COEFFICIENT, reduced);
    }

    // ---- axes of the operand: rules -----------------------------------------------------------------------------

    function _readAxes(Reader memory reader, Term term, Axes memory axes, Tensor operand, Tensor result) private pure {
        unchecked {
            term.set(AXIS_WORDS, reader.place);
            axes.summed = 1;
            uint256 rank = operand.get(RANK);
            for (uint256 a; a < rank; ++a) {
                uint256 word = Words.next(reader);
                if (word >> 248 != AXIS) Words.refuse("axis");
                uint256 mode = Words.byteAt(word, 1);
                uint256 size = operand.dimension(a);
                if ((mode == MERGED) != (axes.merging != 0)) Words.refuse("merge");
                if (mode == MERGED && axes.merging * size != axes.merged) Words.refuse("merge size");
                axes.merging = mode == MERGE ? size : 0;
                if (mode == AFFINE) _readAffine(axes, word, a, result);
                else _readPlain(axes, word, a, size, result);
                if (mode == AFFINE || mode == MERGE) term.set(IS_MAPPED, 1);
            }
            if (axes.merging != 0) Words.refuse("merge");
            if (axes.summed > MAX_ELEMENTS) Words.refuse("summed entries");
            if (axes.summed != 1 && term.get(KIND) == PARAMETERS) Words.refuse("summed beside parameters");
        }
    }

    /// @dev Every mode but AFFINE; the fields that the mode does not use have their defaults.
    function _readPlain(Axes memory axes, uint256 word, uint256 a, uint256 size, Tensor result) private pure {
        unchecked {
            uint256 mode = Words.byteAt(word, 1);
            uint256 axis = Words.byteAt(word, 2);
            uint256 index = uint32(word >> 64);
            uint256 head = (((AXIS << 8) | mode) << 8) | axis;
            if (mode > MERGED || word != (head << 232) | (NO_AXIS << 216) | (index << 64)) {
                Words.refuse("axis fields");
            }
            if (mode == FIX ? index >= size : index != 0) Words.refuse("axis index");
            if (mode == CONTRACT) {
                axes.contracted |= 1 << a;
                axes.contractBits += Points.bitsOf(size);
            }
            if (mode == CONTRACT || mode == FIX || mode == MERGED) {
                if (axis != NO_AXIS) Words.refuse("axis result");
                return;
            }
            _name(axes, axis, result);
            axes.merged = result.dimension(axis);
            if (mode == MERGE) return;
            if (axes.merged != size) Words.refuse("axis size");
            if (mode == SHARED) {
                axes.shared |= 1 << axis;
                axes.sharedBits += Points.bitsOf(size);
            }
        }
    }

    function _readAffine(Axes memory axes, uint256 word, uint256 a, Tensor result) private pure {
        unchecked {
            uint256 kernel = Words.byteAt(word, 3);
            uint256 size = uint32(word >> 160);
            uint256 kernelResult = Words.byteAt(word, 4);
            _requireSteps(word, kernel, size);
            _requireReadings(result, Words.byteAt(word, 2), size);
            if (Words.byteAt(word, 2) != NO_AXIS) _name(axes, Words.byteAt(word, 2), result);
            if ((kernel == KERNEL_RESULT) != (kernelResult != NO_AXIS)) Words.refuse("kernel result");
            if (kernel == KERNEL_RESULT) {
                _name(axes, kernelResult, result);
                if (result.dimension(kernelResult) != size) Words.refuse("kernel size");
            } else if (kernel == KERNEL_SUMMED) {
                axes.summed *= size;
            } else if (kernel == KERNEL_WEIGHTED) {
                axes.kernels |= 1 << a;
                axes.kernelBits += Points.bitsOf(size);
            }
        }
    }

    /// @dev `axis` may be none, or not exist, which `_name` refuses: dimensions that do not exist are 0.
    function _requireReadings(Tensor result, uint256 axis, uint256 size) private pure {
        if (result.dimension(axis) * size > MAX_READINGS) Words.refuse("readings");
    }

    function _requireSteps(uint256 word, uint256 kernel, uint256 size) private pure {
        int256 stride = Words.int32At(word >> 128);
        int256 dilation = Words.int32At(word >> 96);
        int256 offset = Words.int32At(word >> 64);
        if (uint64(word) != 0 || uint24(word >> 192) != 0 || kernel > KERNEL_RESULT) Words.refuse("axis fields");
        if (size == 0 || size > MAX_KERNEL) Words.refuse("kernel size");
        if (stride > MAX_STEP || stride < -MAX_STEP) Words.refuse("stride");
        if (dilation > MAX_STEP || dilation < -MAX_STEP) Words.refuse("dilation");
        if (offset > MAX_OFFSET || offset < -MAX_OFFSET) Words.refuse("offset");
        if (kernel == KERNEL_NONE && (size != 1 || dilation != 0)) Words.refuse("kernel");
        if (stride != 0 && Words.byteAt(word, 2) == NO_AXIS) Words.refuse("stride");
    }

    /// @dev No result axis is named twice.
    function _name(Axes memory axes, uint256 axis, Tensor result) private pure {
        uint256 named = axes.named;
        if (axis >= result.get(RANK) || (named >> axis) & 1 != 0) Words.refuse("result axis");
        axes.named = named | (1 << axis);
    }

    // ---- points -------------------------------------------------------------------------------------------------

    function _axisPoint(Tensor tensor, uint256 axis) private pure returns (uint256) {
        unchecked {
            return Points.span(SIGMA + tensor.lowAt(axis), tensor.bitsAt(axis));
        }
    }

    function _axisWord(Term term, uint256 axis) private pure returns (uint256) {
        unchecked {
            return load(term.get(AXIS_WORDS) + 32 * axis);
        }
    }

    /// @dev Which coordinate each bit of the operand's block has, from the last axis, which has the lowest bits.
    function _placeOperand(Term term, Axes memory axes, Tensor operand, Tensor result) private pure {
        unchecked {
            uint256 variables = axes.sharedBits + axes.contractBits + axes.kernelBits;
            if (variables > MAX_PARAMETER_BITS) Words.refuse("term bits");
            term.set(VARIABLES, variables);
            term.set(SHARED_BITS, axes.sharedBits);
            axes.nextContract = axes.sharedBits;
            term.set(KERNEL_LOW, axes.sharedBits + axes.contractBits);
            uint256 point;
            for (uint256 a = operand.get(RANK); a-- != 0;) {
                uint256 piece = _placeAxis(axes, _axisWord(term, a), a, operand.bitsAt(a), result);
                point = Points.append(point, operand.lowAt(a), piece);
            }
            term.set(OPERAND_POINT, point);
            term.set(MAP_BITS, axes.nextMap);
        }
    }

    function _placeAxis(Axes memory axes, uint256 word, uint256 a, uint256 bits, Tensor result)
        private
        pure
        returns (uint256)
    {
        unchecked {
            uint256 mode = Words.byteAt(word, 1);
            uint256 axis = Words.byteAt(word, 2);
            uint256 low;
            if (mode == DIRECT) return _axisPoint(result, axis);
            if (mode == FIX) return Points.ofIndex(uint32(word >> 64), bits);
            if (mode == CONTRACT) {
                low = axes.nextContract;
                axes.contractLow |= low << (8 * a);
                axes.nextContract = low + bits;
                return Points.span(RHO + low, bits);
            }
            if (mode == SHARED) {
                low = axes.nextShared;
                axes.sharedLow |= low << (8 * axis);
                axes.nextShared = low + bits;
                return Points.span(RHO + low, bits);
            }
            low = axes.nextMap;
            axes.nextMap = low + bits;
            return Points.span(THETA + low, bits);
        }
    }

    /// @dev The coordinates of σ in the order of the term's lowest variables.
    function _placeShared(Term term, Axes memory axes, Tensor operand, Tensor result) private pure {
        unchecked {
            uint256 point;
            for (uint256 a = operand.get(RANK); a-- != 0;) {
                uint256 word = _axisWord(term, a);
                if (Words.byteAt(word, 1) != SHARED) continue;
                uint256 axis = Words.byteAt(word, 2);
                point = Points.append(point, uint8(axes.sharedLow >> (8 * axis)), _axisPoint(result, axis));
            }
            term.set(SHARED_POINT, point);
        }
    }

    // ---- parameters ---------------------------------------------------------------------------------------------

    /// @dev Axes of the parameters from the low bits up: free result axes, shared, contracted, kernels; the last
    ///      first.
    function _placeParameters(Reader memory reader, Term term, Axes memory axes, Tensor operand, Tensor result)
        private
        pure
    {
        unchecked {
            uint256 sizes;
            assembly ("memory-safe") {
                sizes := mload(0x40)
            }
            uint256 place = sizes;
            (uint256 point, uint256 bits) = (0, 0);
            for (uint256 o = result.get(RANK); o-- != 0;) {
                if ((axes.named >> o) & 1 != 0) continue;
                place = _push(place, result.dimension(o));
                point = Points.append(point, bits, _axisPoint(result, o));
                bits += result.bitsAt(o);
            }
            if (axes.shared != 0) place = _pushAxes(place, term, operand, SHARED);
            if (axes.contracted != 0) place = _pushAxes(place, term, operand, CONTRACT);
            if (axes.kernels != 0) place = _pushAxes(place, term, operand, AFFINE);
            uint256 variables = term.get(VARIABLES);
            if (bits + variables > MAX_PARAMETER_BITS) Words.refuse("parameter bits");
            term.set(WEIGHTS_POINT, Points.append(point, bits, Points.span(RHO, variables)));
            term.set(WEIGHTS_BITS, bits + variables);
            term.set(SIZES, sizes);
            assembly ("memory-safe") {
                mstore(sizes, shr(5, sub(place, sizes)))
                mstore(0x40, add(place, 0x20))
            }
            _countWeights(reader, sizes, place);
        }
    }

    /// @dev Writes behind the last size; the list is allocated when it is complete.
    function _push(uint256 place, uint256 size) private pure returns (uint256 next) {
        assembly ("memory-safe") {
            next := add(place, 0x20)
            mstore(next, size)
        }
    }

    /// @dev The sizes of the operand's axes of one mode; of AFFINE, those of weighted kernels.
    function _pushAxes(uint256 place, Term term, Tensor operand, uint256 mode) private pure returns (uint256) {
        unchecked {
            for (uint256 a = operand.get(RANK); a-- != 0;) {
                uint256 word = _axisWord(term, a);
                if (Words.byteAt(word, 1) != mode) continue;
                if (mode != AFFINE) place = _push(place, operand.dimension(a));
                else if (Words.byteAt(word, 3) == KERNEL_WEIGHTED) place = _push(place, uint32(word >> 160));
            }
            return place;
        }
    }

    /// @dev `sizes` to `last`: positions of the list before its first and at its last size.
    function _countWeights(Reader memory reader, uint256 sizes, uint256 last) private pure {
        unchecked {
            uint256 product = 1;
            while (sizes < last) {
                sizes += 32;
                product *= load(sizes);
                if (product > MAX_WEIGHTS) Words.refuse("weights");
            }
            reader.weights += product;
            if (reader.weights > MAX_WEIGHTS) Words.refuse("weights");
        }
    }

    // ---- a tensor as weights --------------------------------------------------------------------------------------

    /// @dev Every contracted and shared axis of the operand occurs exactly once there, free result axes at most once.
    function _readTensorAxes(Reader memory reader, Term term, Axes memory axes, Tensor tensor, Tensor result)
        private
        pure
    {
        unchecked {
            axes.free = ((1 << result.get(RANK)) - 1) & ~axes.named;
            uint256 rank = tensor.get(RANK);
            uint256 point;
            for (uint256 a; a < rank; ++a) {
                uint256 word = Words.next(reader);
                uint256 head = (((WEIGHTS_AXIS << 8) | Words.byteAt(word, 1)) << 8) | Words.byteAt(word, 2);
                uint256 index = uint32(word >> 160);
                if (word != (head << 232) | (index << 160)) Words.refuse("weights axis");
                if (uint8(head >> 8) != FIX && index != 0) Words.refuse("weights index");
                uint256 piece = _readTensorAxis(term, axes, head, index, tensor.dimension(a), result);
                point = Points.append(point, tensor.lowAt(a), piece);
            }
            if (axes.contracted | axes.shared != 0) Words.refuse("weights axes");
            term.set(WEIGHTS_POINT, point);
            term.set(WEIGHTS_BITS, tensor.get(BITS));
            term.set(BROADCAST, axes.free);
        }
    }

    /// @dev Crosses the axis off, and returns the coordinates of its bits.
    function _readTensorAxis(Term term, Axes memory axes, uint256 head, uint256 index, uint256 size, Tensor result)
        private
        pure
        returns (uint256)
    {
        unchecked {
            (uint256 mode, uint256 axis) = (uint8(head >> 8), uint8(head));
            uint256 bits = Points.bitsOf(size);
            if (mode == FIX) {
                if (axis != NO_AXIS || index >= size) Words.refuse("weights index");
                return Points.ofIndex(index, bits);
            }
            if (mode == CONTRACT) {
                axes.contracted = _cross(axes.contracted, axis);
                if (term.operand().dimension(axis) != size) Words.refuse("weights size");
                return Points.span(RHO + uint8(axes.contractLow >> (8 * axis)), bits);
            }
            if (mode == SHARED) axes.shared = _cross(axes.shared, axis);
            else if (mode == DIRECT) axes.free = _cross(axes.free, axis);
            else Words.refuse("weights mode");
            if (result.dimension(axis) != size) Words.refuse("weights size");
            if (mode == DIRECT) return _axisPoint(result, axis);
            return Points.span(RHO + uint8(axes.sharedLow >> (8 * axis)), bits);
        }
    }

    /// @dev The set without an element that must be in it.
    function _cross(uint256 set, uint256 element) private pure returns (uint256) {
        if ((set >> element) & 1 == 0) Words.refuse("weights axes");
        return set ^ (1 << element);
    }
}
