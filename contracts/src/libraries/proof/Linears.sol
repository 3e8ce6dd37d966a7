// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Field} from "./Field.sol";
import {Maps} from "./Maps.sol";
import {
    AT_LINEAR_ROUNDS,
    AT_MAPPED,
    AT_MAP_ROUNDS,
    AT_OPERANDS,
    AT_PARTS,
    AT_REST,
    AT_TOTALS,
    AT_WEIGHTS,
    COLUMNS,
    COORDINATES,
    INPUT_DATA,
    LAMBDA,
    LINEAR_DEGREE,
    LINEAR_ROUNDS,
    MAPS,
    MAP_ROUNDS,
    TENSORS,
    TENSORS_END,
    load,
    read
} from "./Memory.sol";
import {Points, RHO, SIGMA, THETA} from "./Points.sol";
import {PublicTensor} from "./PublicTensor.sol";
import {
    BROADCAST,
    CODE,
    COEFFICIENT,
    FIRST_TERM,
    INPUT,
    IS_MAPPED,
    KIND,
    LINEAR,
    MAPPED_VALUE,
    MAP_BITS,
    NO_WEIGHTS,
    OFFSET,
    OPERAND_POINT,
    OPERAND_VALUE,
    SHARED_BITS,
    SHARED_POINT,
    SHIFT,
    Sizes,
    TENSOR_BYTES,
    TERMS_END,
    TERM_BYTES,
    Tensor,
    Term,
    WEIGHT,
    WEIGHTS,
    WEIGHTS_POINT
} from "./Records.sol";
import {Transcript} from "./Transcript.sol";

/// @title Accumulators: one sumcheck over all terms, and one over index maps (circuits/protocols/linear.py, maps.py)
library Linears {
    /// @notice The values sent at ρ do not add up to the accumulators.
    error LinearLayers();
    /// @notice The values sent at θ do not give the operands at ρ.
    error IndexMaps();

    // ---- the sumcheck over weights and operands -----------------------------------------------------------------

    function verify() internal pure {
        unchecked {
            uint256 claim = Transcript.sumCheck(
                load(AT_LINEAR_ROUNDS), load(LINEAR_ROUNDS), load(LINEAR_DEGREE), _claim(), COORDINATES + 32 * RHO
            );
            if (_sum() != claim) revert LinearLayers();
            Transcript.absorbField(AT_WEIGHTS, AT_MAP_ROUNDS);
        }
    }

    /// @dev r0 − rest − Σ_l w_l·(half_l + 2^s·o_l).
    function _claim() private pure returns (uint256 claim) {
        unchecked {
            claim = Field.sub(read(load(AT_TOTALS) + 32 * load(COLUMNS)), read(load(AT_REST)));
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                Tensor tensor = Tensor.wrap(t);
                if (tensor.get(CODE) != LINEAR) continue;
                uint256 shift = tensor.get(SHIFT);
                uint256 added = (1 << (shift - 1)) + (tensor.get(OFFSET) << shift);
                claim = Field.sub(claim, Field.mul(tensor.get(WEIGHT), added));
            }
        }
    }

    /// @dev Σ over the terms; reads what was sent of each, in order, and evaluates what is public.
    function _sum() private pure returns (uint256 sum) {
        unchecked {
            uint256 last = load(TENSORS_END);
            (uint256 weights, uint256 operands) = (load(AT_WEIGHTS), load(AT_OPERANDS));
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                Tensor tensor = Tensor.wrap(t);
                uint256 ofTensor;
                uint256 end = tensor.get(TERMS_END);
                for (uint256 u = tensor.get(FIRST_TERM); u < end; u += TERM_BYTES) {
                    Term term = Term.wrap(u);
                    weights += _readWeights(term, weights);
                    operands += _readOperand(term, operands);
                    uint256 value = Field.mul(term.get(WEIGHTS), term.get(OPERAND_VALUE));
                    ofTensor = Field.mulAdd(ofTensor, _factor(tensor, term), value);
                }
                sum = Field.mulAdd(sum, tensor.get(WEIGHT), ofTensor);
            }
        }
    }

    /// @dev Returns how many bytes were read.
    function _readWeights(Term term, uint256 place) private pure returns (uint256) {
        if (term.isWeightSent()) {
            term.set(WEIGHTS, read(place));
            return 32;
        }
        term.set(WEIGHTS, term.get(KIND) == NO_WEIGHTS ? 1 : evaluateInput(term.get(WEIGHTS_POINT)));
        return 0;
    }

    /// @dev Returns how many bytes were read.
    function _readOperand(Term term, uint256 place) private pure returns (uint256) {
        if (term.isOperandSent()) {
            term.set(OPERAND_VALUE, read(place));
            return 32;
        }
        term.set(OPERAND_VALUE, evaluateInput(term.get(OPERAND_POINT)));
        return 0;
    }

    /// @notice The public input at a point.
    function evaluateInput(uint256 point) internal pure returns (uint256) {
        Tensor tensor = Tensor.wrap(TENSORS);
        return PublicTensor.evaluate(load(INPUT_DATA), Sizes.ofTensor(tensor), tensor.get(OFFSET), point);
    }

    /// @dev The coefficient, which has 2^-(missing variables) in it, times eq over shared axes, on true positions of
    ///      the axes the term repeats along.
    function _factor(Tensor tensor, Term term) private pure returns (uint256 factor) {
        unchecked {
            factor = term.get(COEFFICIENT);
            uint256 bits = term.get(SHARED_BITS);
            if (bits != 0) {
                uint256 eq = Points.eqPoints(term.get(SHARED_POINT), Points.span(RHO, bits), bits);
                factor = Field.mul(factor, eq);
            }
            uint256 left = term.get(BROADCAST);
            for (uint256 o; left != 0; ++o) {
                if (left & 1 != 0) factor = Field.mul(factor, maskAxis(tensor, o));
                left >>= 1;
            }
        }
    }

    /// @notice The sum of eq over the true indices of a result axis.
    function maskAxis(Tensor tensor, uint256 axis) internal pure returns (uint256) {
        unchecked {
            uint256 bits = tensor.bitsAt(axis);
            return Points.mask(Points.span(SIGMA + tensor.lowAt(axis), bits), 0, bits, tensor.dimension(axis));
        }
    }

    // ---- the sumcheck over index maps ---------------------------------------------------------------------------

    function verifyMaps() internal pure {
        unchecked {
            if (load(MAPS) == 0) return;
            Transcript.draw(LAMBDA, 1);
            uint256 claim = Transcript.sumCheck(
                load(AT_MAP_ROUNDS), load(MAP_ROUNDS), 2, _sumMaps(false), COORDINATES + 32 * THETA
            );
            if (_sumMaps(true) != claim) revert IndexMaps();
            Transcript.absorbField(AT_MAPPED, AT_PARTS);
        }
    }

    /// @dev Σ λ^k·X_k; in the end, Σ λ^k·2^-(missing variables)·A_k(θ)·x_k.
    function _sumMaps(bool isEnd) private pure returns (uint256 sum) {
        unchecked {
            uint256 power = 1;
            uint256 place = load(AT_MAPPED);
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                uint256 end = Tensor.wrap(t).get(TERMS_END);
                for (uint256 u = Tensor.wrap(t).get(FIRST_TERM); u < end; u += TERM_BYTES) {
                    Term term = Term.wrap(u);
                    if (term.get(IS_MAPPED) == 0) continue;
                    if (isEnd) place += _readMapped(term, place);
                    uint256 value = isEnd ? _mappedValue(Tensor.wrap(t), term) : term.get(OPERAND_VALUE);
                    sum = Field.mulAdd(sum, power, value);
                    power = Field.mul(power, load(LAMBDA));
                }
            }
        }
    }

    function _mappedValue(Tensor tensor, Term term) private pure returns (uint256) {
        unchecked {
            uint256 scale = Field.inversePowerOfTwo(load(MAP_ROUNDS) - term.get(MAP_BITS));
            return Field.mul(Field.mul(scale, term.get(MAPPED_VALUE)), Maps.evaluate(term, tensor));
        }
    }

    /// @dev Returns how many bytes were read.
    function _readMapped(Term term, uint256 place) private pure returns (uint256) {
        if (term.operand().get(CODE) != INPUT) {
            term.set(MAPPED_VALUE, read(place));
            return 32;
        }
        term.set(MAPPED_VALUE, evaluateInput(term.get(OPERAND_POINT)));
        return 0;
    }
}
