// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Field} from "./Field.sol";
import {Layout, Layouts} from "./Layout.sol";
import {LINEAR, NO_WEIGHTS, Shapes, Tensor, Term, VALUE_BITS} from "./Network.sol";
import {Maps} from "./Maps.sol";
import {Points, RHO, SIGMA, THETA} from "./Points.sol";
import {PublicTensor} from "./PublicTensor.sol";
import {Fields, Proofs, Run} from "./Run.sol";
import {Transcript} from "./Transcript.sol";

/// @title Accumulators: one sumcheck over all terms, and one over index maps (circuits/protocols/linear.py, maps.py)
library Linears {
    /// @notice The values sent at ρ do not add up to the accumulators.
    error LinearLayers();
    /// @notice The values sent at θ do not give the operands at ρ.
    error IndexMaps();

    // ---- the sumcheck over weights and operands -----------------------------------------------------------------

    function verify(Run memory run) internal pure {
        unchecked {
            uint256 claim = _claim(run);
            (run.state, claim) = Transcript.sumCheck(
                run.state,
                run.fields.linearRounds,
                run.plan.linearRounds,
                run.plan.linearDegree,
                claim,
                run.coordinates + 32 * RHO
            );
            if (_sum(run) != claim) revert LinearLayers();
            Proofs.absorb(run, run.fields.weights, run.fields.mapRounds);
        }
    }

    /// @dev r0 − rest − Σ_l w_l·(half_l + 2^s·o_l).
    function _claim(Run memory run) private pure returns (uint256 claim) {
        unchecked {
            uint256 r0 = Proofs.load(run.fields.totals + 32 * run.plan.columns);
            claim = Field.sub(r0, Proofs.load(run.fields.rest));
            Tensor[] memory tensors = run.network.tensors;
            for (uint256 id = 1; id < tensors.length; ++id) {
                Tensor memory tensor = tensors[id];
                if (tensor.code != LINEAR) continue;
                uint256 constant_ = (1 << (tensor.shift - 1)) + (tensor.offset << tensor.shift);
                claim = Field.sub(claim, Field.mul(tensor.weight, constant_));
            }
        }
    }

    /// @dev Σ over the terms; reads what was sent of each, in order, and evaluates what is public.
    function _sum(Run memory run) private pure returns (uint256 sum) {
        unchecked {
            Tensor[] memory tensors = run.network.tensors;
            (uint256 weights, uint256 operands) = (run.fields.weights, run.fields.operands);
            for (uint256 id = 1; id < tensors.length; ++id) {
                Tensor memory tensor = tensors[id];
                uint256 ofTensor;
                for (uint256 t; t < tensor.terms.length; ++t) {
                    Term memory term = tensor.terms[t];
                    weights += _readWeights(run, term, weights);
                    operands += _readOperand(run, term, operands);
                    uint256 value = Field.mul(_factor(run, tensor, term), Field.mul(term.weights, term.value));
                    ofTensor = Field.add(ofTensor, value);
                }
                sum = Field.mulAdd(sum, tensor.weight, ofTensor);
            }
        }
    }

    /// @dev Returns how many bytes were read.
    function _readWeights(Run memory run, Term memory term, uint256 place) private pure returns (uint256) {
        if (Layouts.isWeightSent(term)) {
            term.weights = Proofs.load(place);
            return 32;
        }
        term.weights = term.kind == NO_WEIGHTS ? 1 : evaluateInput(run, term.weightsPoint);
        return 0;
    }

    /// @dev Returns how many bytes were read.
    function _readOperand(Run memory run, Term memory term, uint256 place) private pure returns (uint256) {
        if (Layouts.isOperandSent(term)) {
            term.value = Proofs.load(place);
            return 32;
        }
        term.value = evaluateInput(run, term.operandPoint);
        return 0;
    }

    /// @notice The public input at a point.
    function evaluateInput(Run memory run, uint256 point) internal pure returns (uint256) {
        Tensor memory tensor = run.network.tensors[0];
        return PublicTensor.evaluate(run.input, Shapes.sizesOf(tensor), tensor.offset, run.coordinates, point);
    }

    /// @dev coefficient·2^-(missing variables)·eq over shared axes, on true positions of the axes the term repeats along.
    function _factor(Run memory run, Tensor memory tensor, Term memory term) private pure returns (uint256 factor) {
        unchecked {
            factor = Field.inversePowerOfTwo(run.plan.linearRounds - term.variables);
            factor = Field.mul(factor, term.coefficient);
            if (term.sharedBits != 0) {
                uint256 rho = Points.span(RHO, term.sharedBits);
                uint256 eq = Points.eqPoints(run.coordinates, term.sharedPoint, rho, term.sharedBits);
                factor = Field.mul(factor, eq);
            }
            for (uint256 o; term.broadcast >> o != 0; ++o) {
                if ((term.broadcast >> o) & 1 != 0) factor = Field.mul(factor, maskAxis(run, tensor, o));
            }
        }
    }

    /// @notice The sum of eq over the true indices of a result axis.
    function maskAxis(Run memory run, Tensor memory tensor, uint256 axis) internal pure returns (uint256) {
        unchecked {
            uint256 low = SIGMA + Shapes.lowAt(tensor, axis);
            uint256 bits = Shapes.bitsAt(tensor, axis);
            uint256 size = Shapes.dimension(tensor.shape, axis);
            return Points.mask(run.coordinates, Points.span(low, bits), 0, bits, size);
        }
    }

    // ---- the sumcheck over index maps ---------------------------------------------------------------------------

    function verifyMaps(Run memory run) internal pure {
        unchecked {
            if (!run.plan.isMapped) return;
            run.challenges.lambda = Proofs.draw(run);
            uint256 claim = _sumMaps(run, false);
            (run.state, claim) = Transcript.sumCheck(
                run.state, run.fields.mapRounds, run.plan.mapRounds, 2, claim, run.coordinates + 32 * THETA
            );
            if (_sumMaps(run, true) != claim) revert IndexMaps();
            Proofs.absorb(run, run.fields.mapped, run.fields.parts);
        }
    }

    /// @dev Σ λ^k·X_k; in the end, Σ λ^k·2^-(missing variables)·A_k(θ)·x_k.
    function _sumMaps(Run memory run, bool isEnd) private pure returns (uint256 sum) {
        unchecked {
            Tensor[] memory tensors = run.network.tensors;
            uint256 power = 1;
            uint256 place = run.fields.mapped;
            for (uint256 id = 1; id < tensors.length; ++id) {
                Term[] memory terms = tensors[id].terms;
                for (uint256 t; t < terms.length; ++t) {
                    Term memory term = terms[t];
                    if (!term.isMapped) continue;
                    uint256 value = term.value;
                    if (isEnd) {
                        place += _readMapped(run, term, place);
                        value = Maps.evaluate(term, tensors[term.operand], tensors[id], run.coordinates);
                        value = Field.mul(value, Field.inversePowerOfTwo(run.plan.mapRounds - term.mapBits));
                        value = Field.mul(value, term.mapped);
                    }
                    sum = Field.mulAdd(sum, power, value);
                    power = Field.mul(power, run.challenges.lambda);
                }
            }
        }
    }

    /// @dev Returns how many bytes were read.
    function _readMapped(Run memory run, Term memory term, uint256 place) private pure returns (uint256) {
        if (term.operand != 0) {
            term.mapped = Proofs.load(place);
            return 32;
        }
        term.mapped = evaluateInput(run, term.operandPoint);
        return 0;
    }
}
