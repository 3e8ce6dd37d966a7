// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Field, R} from "./Field.sol";
import {Layout, Layouts} from "./Layout.sol";
import {Linears} from "./Linears.sol";
import {
    LIMB_SHIFT,
    LINEAR,
    PARAMETERS,
    Shapes,
    TABLE,
    TABLE_LENGTH,
    Tensor,
    Term,
    VALUE_BITS
} from "./Network.sol";
import {Opening, Openings} from "./Openings.sol";
import {Points, SIGMA} from "./Points.sol";
import {PublicTensor} from "./PublicTensor.sol";
import {Proofs, Run} from "./Run.sol";
import {Rows} from "./Rows.sol";

/// @title Everything the protocols left to be opened, in order (circuits/claims.py)
/// @notice Claim i counts μ^i. Columns of one space are opened at one point, so what their chunks count is computed once
///         a space (its profile), and each column only shifts and scales it.
library ClaimList {
    function addAll(Run memory run, Opening memory o) internal pure {
        uint256 rowPower = o.power;
        uint256 helperPower = _skipRows(run, o);
        uint256[3] memory lookPowers;
        if (run.network.lookups != 0) lookPowers = _claimLookups(run, o);
        _claimTables(run, o);
        uint256 sumPower = Openings.claim(o, 0);
        uint256 restPower = Openings.claim(o, Proofs.load(run.fields.rest));
        _addRows(run, o, rowPower, helperPower, restPower);
        _addSums(run, o, sumPower);
        if (run.network.lookups != 0) _addLookups(run, o, lookPowers);
        _addBiases(run, o, restPower);
        _addTerms(run, o, 0);
        _addTerms(run, o, 1);
        _addTerms(run, o, 2);
        _addOutput(run, o);
    }

    function _sigma() private pure returns (uint256) {
        return Points.span(SIGMA, 32);
    }

    // ---- rescale rows -------------------------------------------------------------------------------------------

    /// @dev Values of the columns and of H; returns H's power.
    function _skipRows(Run memory run, Opening memory o) private pure returns (uint256 helperPower) {
        unchecked {
            uint256 totals = run.fields.totals;
            uint256 columns = run.plan.columns;
            for (uint256 i; i < columns; ++i) {
                Openings.claim(o, Proofs.load(totals + 32 * i));
            }
            // r0 lies between them and is not committed.
            helperPower = Openings.claim(o, Proofs.load(totals + 32 * columns + 32));
        }
    }

    /// @dev Every column counts its own total and, in u, h and r1, −2^s, −2^s·4096 and −4096 in `rest`.
    function _addRows(Run memory run, Opening memory o, uint256 power, uint256 helperPower, uint256 restPower)
        private
        pure
    {
        unchecked {
            uint256[2] memory shifts = [VALUE_BITS, LIMB_SHIFT];
            for (uint256 i; i < 2; ++i) {
                uint256[] memory profile = _profileOf(run, o, LINEAR, shifts[i]);
                if (profile.length == 0) continue;
                uint256 rest = R - restPower;
                uint256 ofU = mulmod(rest, 1 << shifts[i], R);
                uint256 ofLimb = shifts[i] == LIMB_SHIFT ? mulmod(rest, TABLE_LENGTH, R) : 0;
                uint256[5] memory extras = [0, ofU, mulmod(ofU, TABLE_LENGTH, R), 0, ofLimb];
                uint256 ofColumn = power;
                for (uint256 c; c < run.plan.columns; ++c) {
                    uint256 coefficient = addmod(ofColumn, extras[c], R);
                    uint256 location = run.plan.trace + c * run.plan.columnLength;
                    Openings.addColumn(o, location, run.plan.rowBits, profile, coefficient);
                    ofColumn = mulmod(ofColumn, o.mu, R);
                }
                Openings.addColumn(o, run.plan.helpers, run.plan.rowBits, profile, helperPower);
            }
        }
    }

    /// @dev What each chunk of a column counts at σ: over LINEAR blocks of one shift, or over TABLE blocks. Empty where
    ///      there is no such block.
    function _profileOf(Run memory run, Opening memory o, uint256 code, uint256 shift)
        private
        pure
        returns (uint256[] memory profile)
    {
        unchecked {
            Tensor[] memory tensors = run.network.tensors;
            (uint256 bits, uint256 chunks) = _spaceOf(run.plan, code);
            for (uint256 id = 1; id < tensors.length; ++id) {
                Tensor memory tensor = tensors[id];
                if (tensor.code != code || tensor.shift != shift) continue;
                if (profile.length == 0) profile = new uint256[](chunks);
                Openings.addRows(o, profile, tensor.start, tensor.bits, bits, tensor.weight);
            }
        }
    }

    /// @dev Bits of a space, and chunks of a column of it.
    function _spaceOf(Layout memory plan, uint256 code) private pure returns (uint256 bits, uint256 chunks) {
        unchecked {
            bits = code == LINEAR ? plan.rowBits : plan.lookBits;
            chunks = (((code == LINEAR ? plan.rows : plan.looks) - 1) >> plan.chunkBits) + 1;
        }
    }

    // ---- ΣH − ΣG = 0 --------------------------------------------------------------------------------------------

    function _addSums(Run memory run, Opening memory o, uint256 power) private pure {
        unchecked {
            _addHelperSum(run, o, LINEAR, run.plan.helpers, power);
            if (run.network.lookups != 0) _addHelperSum(run, o, TABLE, run.plan.lookHelpers, power);
            for (uint256 tag; tag <= run.network.tables; ++tag) {
                Openings.addSum(o, run.plan.tableHelpers + tag * TABLE_LENGTH, VALUE_BITS, R - power);
            }
        }
    }

    function _addHelperSum(Run memory run, Opening memory o, uint256 code, uint256 location, uint256 power)
        private
        pure
    {
        unchecked {
            Tensor[] memory tensors = run.network.tensors;
            (uint256 bits, uint256 chunks) = _spaceOf(run.plan, code);
            uint256[] memory profile = new uint256[](chunks);
            for (uint256 id = 1; id < tensors.length; ++id) {
                Tensor memory tensor = tensors[id];
                if (tensor.code == code) Openings.addRowSum(o, profile, tensor.start, tensor.bits, bits);
            }
            Openings.addColumn(o, location, bits, profile, power);
        }
    }

    // ---- lookup rows and tables ---------------------------------------------------------------------------------

    /// @dev Values of x, y and H; returns their powers.
    function _claimLookups(Run memory run, Opening memory o) private pure returns (uint256[3] memory powers) {
        unchecked {
            uint256 totals = run.fields.lookupTotals;
            uint256 x = Proofs.load(totals);
            Tensor[] memory tensors = run.network.tensors;
            for (uint256 id = 1; id < tensors.length; ++id) {
                if (tensors[id].code != TABLE || tensors[id].operand != 0) continue;
                x = Field.sub(x, Field.mul(tensors[id].weight, Linears.evaluateInput(run, _sigma())));
            }
            powers[0] = Openings.claim(o, x);
            powers[1] = Openings.claim(o, Proofs.load(totals + 32));
            powers[2] = Openings.claim(o, Proofs.load(totals + 64));
        }
    }

    function _addLookups(Run memory run, Opening memory o, uint256[3] memory powers) private pure {
        unchecked {
            Tensor[] memory tensors = run.network.tensors;
            for (uint256 id = 1; id < tensors.length; ++id) {
                Tensor memory tensor = tensors[id];
                if (tensor.code != TABLE || tensor.operand == 0) continue;
                _addResult(run, o, tensor.operand, _sigma(), Field.mul(powers[0], tensor.weight));
            }
            uint256[] memory profile = _profileOf(run, o, TABLE, 0);
            Openings.addColumn(o, run.plan.looked, run.plan.lookBits, profile, powers[1]);
            Openings.addColumn(o, run.plan.lookHelpers, run.plan.lookBits, profile, powers[2]);
        }
    }

    /// @dev G and m over all tables; then the tables of functions, each weighted with the eq of its tag.
    function _claimTables(Run memory run, Opening memory o) private pure {
        unchecked {
            Layout memory plan = run.plan;
            uint256[] memory sizes = new uint256[](2);
            (sizes[0], sizes[1]) = (TABLE_LENGTH, 1 + run.network.tables);
            uint256 power = Openings.claim(o, Proofs.load(run.fields.table));
            Openings.add(o, plan.tableHelpers, _sigma(), plan.tableBits, sizes, power);
            power = Openings.claim(o, Proofs.load(run.fields.table + 32));
            Openings.add(o, plan.multiplicities, _sigma(), plan.tableBits, sizes, power);
            if (run.network.tables == 0) return;
            power = Openings.claim(o, Proofs.load(run.fields.tableValues));
            for (uint256 t; t < plan.tables.length; ++t) {
                uint256 coefficient = Field.mul(power, Rows.weighTag(run, t + 1));
                Openings.addFull(o, plan.tables[t], _sigma(), VALUE_BITS, coefficient);
            }
        }
    }

    // ---- parameters, operands, output ---------------------------------------------------------------------------

    /// @dev The biases' part of `rest`: on true positions of the axes they do not run along.
    function _addBiases(Run memory run, Opening memory o, uint256 restPower) private pure {
        unchecked {
            Tensor[] memory tensors = run.network.tensors;
            for (uint256 id = 1; id < tensors.length; ++id) {
                Tensor memory tensor = tensors[id];
                if (tensor.biasAxis == 0) continue;
                uint256 axis = tensor.biasAxis - 1;
                uint256 coefficient = Field.mul(restPower, tensor.weight);
                for (uint256 a; a < tensor.rank; ++a) {
                    if (a != axis) coefficient = Field.mul(coefficient, Linears.maskAxis(run, tensor, a));
                }
                uint256 bits = Shapes.bitsAt(tensor, axis);
                uint256 point = Points.span(SIGMA + Shapes.lowAt(tensor, axis), bits);
                uint256[] memory sizes = Shapes.single(Shapes.dimension(tensor.shape, axis));
                Openings.add(o, tensor.biasLocation, point, bits, sizes, coefficient);
            }
        }
    }

    /// @dev Pass 0: weights; pass 1: operands read directly; pass 2: operands read through maps, at θ.
    function _addTerms(Run memory run, Opening memory o, uint256 pass) private pure {
        unchecked {
            Tensor[] memory tensors = run.network.tensors;
            for (uint256 id = 1; id < tensors.length; ++id) {
                Term[] memory terms = tensors[id].terms;
                for (uint256 t; t < terms.length; ++t) {
                    Term memory term = terms[t];
                    if (pass == 0) _addWeights(run, o, term);
                    else if (term.operand != 0 && term.isMapped == (pass == 2)) _addOperand(run, o, term);
                }
            }
        }
    }

    function _addWeights(Run memory run, Opening memory o, Term memory term) private pure {
        if (!Layouts.isWeightSent(term)) return;
        uint256 power = Openings.claim(o, term.weights);
        if (term.kind == PARAMETERS) {
            Openings.add(o, term.location, term.weightsPoint, term.weightsBits, term.sizes, power);
        } else {
            _addResult(run, o, term.tensor, term.weightsPoint, power);
        }
    }

    function _addOperand(Run memory run, Opening memory o, Term memory term) private pure {
        uint256 power = Openings.claim(o, term.isMapped ? term.mapped : term.value);
        _addResult(run, o, term.operand, term.operandPoint, power);
    }

    /// @dev The values of an operator's result at a point.
    function _addResult(Run memory run, Opening memory o, uint256 id, uint256 point, uint256 coefficient)
        private
        pure
    {
        unchecked {
            Tensor memory tensor = run.network.tensors[id];
            uint256 column = tensor.code == LINEAR ? run.plan.trace : run.plan.looked;
            Openings.addFull(o, column + tensor.start, point, tensor.bits, coefficient);
        }
    }

    /// @dev The whole block of the output, padding included, is the public output at a point drawn after it was committed.
    function _addOutput(Run memory run, Opening memory o) private pure {
        Tensor memory tensor = run.network.tensors[run.network.output];
        uint256 value =
            PublicTensor.evaluate(run.output, Shapes.sizesOf(tensor), tensor.offset, run.coordinates, _sigma());
        uint256 power = Openings.claim(o, value);
        _addResult(run, o, run.network.output, _sigma(), power);
    }
}
