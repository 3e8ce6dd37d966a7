// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Field} from "./Field.sol";
import {Linears} from "./Linears.sol";
import {
    AT_LOOKUP_TOTALS,
    AT_REST,
    AT_TABLE,
    AT_TABLE_VALUES,
    AT_TOTALS,
    CHUNK_BITS,
    COLUMNS,
    COLUMN_LENGTH,
    HELPERS,
    INPUT_COMMITTED,
    INPUT_LOCATION,
    LOOKED,
    LOOKS,
    LOOKUPS,
    LOOK_BITS,
    LOOK_HELPERS,
    MAPS,
    MU,
    MULTIPLICITIES,
    Memory,
    OUTPUT_DATA,
    OUTPUT_TENSOR,
    POWER,
    ROWS,
    ROW_BITS,
    TABLES,
    TABLE_BITS,
    TABLE_HELPERS,
    TABLE_LOCATIONS,
    TENSORS,
    TENSORS_END,
    TRACE,
    load,
    read,
    store
} from "./Memory.sol";
import {Openings} from "./Openings.sol";
import {ALL_SIGMA, Points, SIGMA} from "./Points.sol";
import {PublicTensor} from "./PublicTensor.sol";
import {
    BIAS_AXIS,
    BIAS_LOCATION,
    BITS,
    CODE,
    FIRST_TERM,
    INPUT,
    IS_MAPPED,
    KIND,
    LIMB_SHIFT,
    LINEAR,
    LOCATION,
    LOOKUP_OPERAND,
    MAPPED_VALUE,
    OFFSET,
    OPERAND_POINT,
    OPERAND_VALUE,
    PARAMETERS,
    RANK,
    SHIFT,
    SIZES,
    START,
    Sizes,
    TABLE,
    TABLE_LENGTH,
    TENSOR_BYTES,
    TERMS_END,
    TERM_BYTES,
    Tensor,
    Term,
    VALUE_BITS,
    WEIGHT,
    WEIGHTS,
    WEIGHTS_BITS,
    WEIGHTS_OPERAND,
    WEIGHTS_POINT
} from "./Records.sol";
import {Rows} from "./Rows.sol";

/// @title Everything the protocols left to be opened, in order (circuits/claims.py)
/// @notice Claim i counts μ^i. Columns of one space are opened at one point, so what their chunks count is computed
///         once a space (its profile), and each column only shifts and scales it.
library ClaimList {
    /// @notice All claims: the columns and H, lookups, tables, ΣH − ΣG = 0, rest, weights, operands, mapped, output.
    function addAll() internal pure {
        uint256 rowPower = load(POWER);
        uint256 helperPower = _claimRows();
        uint256 lookPower = load(POWER);
        if (load(LOOKUPS) != 0) _claimLookups();
        _addTables();
        uint256 sumPower = Openings.claim(0);
        uint256 restPower = Openings.claim(read(load(AT_REST)));
        _addRows(rowPower, helperPower, restPower, VALUE_BITS);
        if (load(COLUMNS) > 4) _addRows(rowPower, helperPower, restPower, LIMB_SHIFT);
        _addSums(sumPower);
        if (load(LOOKUPS) != 0) _addLookups(lookPower);
        _addBiases(restPower);
        _addTerms(0);
        _addTerms(1);
        if (load(MAPS) != 0) _addTerms(2);
        _addOutput();
    }

    // ---- rescale rows -------------------------------------------------------------------------------------------

    /// @dev Values of the columns and of H, whose power is returned. r0 lies between them and is not committed.
    function _claimRows() private pure returns (uint256 helperPower) {
        unchecked {
            uint256 place = load(AT_TOTALS);
            uint256 last = place + 32 * load(COLUMNS);
            for (; place < last; place += 32) {
                Openings.claim(read(place));
            }
            helperPower = Openings.claim(read(last + 32));
        }
    }

    /// @dev The blocks of one shift. Every column counts its own total and, in u, h and r1, −2^s, −2^s·4096 and
    ///      −4096 in `rest`.
    function _addRows(uint256 power, uint256 helperPower, uint256 restPower, uint256 shift) private pure {
        unchecked {
            uint256 chunks = _countChunks(ROWS);
            uint256 profile = Memory.allocate(32 * chunks);
            if (!_addProfile(profile, LINEAR, shift, load(ROW_BITS))) return;
            uint256 columns = load(COLUMNS);
            uint256 coefficients = _columnCoefficients(power, Field.negate(restPower), shift, columns);
            Openings.addColumns(
                load(TRACE), load(COLUMN_LENGTH), load(ROW_BITS), profile, chunks, coefficients, columns
            );
            Openings.addColumn(load(HELPERS), load(ROW_BITS), profile, chunks, helperPower);
        }
    }

    function _columnCoefficients(uint256 power, uint256 rest, uint256 shift, uint256 columns)
        private
        pure
        returns (uint256 list)
    {
        unchecked {
            list = Memory.allocate(32 * columns);
            for (uint256 place = list; place < list + 32 * columns; place += 32) {
                store(place, power);
                power = Field.mul(power, load(MU));
            }
            store(list + 32, Field.mulAdd(load(list + 32), rest, 1 << shift));
            store(list + 64, Field.mulAdd(load(list + 64), rest, 1 << (shift + VALUE_BITS)));
            if (shift == LIMB_SHIFT) store(list + 128, Field.mulAdd(load(list + 128), rest, TABLE_LENGTH));
        }
    }

    /// @dev Chunks of a column with that many rows.
    function _countChunks(uint256 rowsAt) private pure returns (uint256) {
        unchecked {
            return ((load(rowsAt) - 1) >> load(CHUNK_BITS)) + 1;
        }
    }

    /// @dev What each chunk of a column counts at σ, over the blocks of one code and shift. False if there are none.
    function _addProfile(uint256 profile, uint256 code, uint256 shift, uint256 bits)
        private
        pure
        returns (bool isAny)
    {
        unchecked {
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                Tensor tensor = Tensor.wrap(t);
                if (tensor.get(CODE) != code || tensor.get(SHIFT) != shift) continue;
                isAny = true;
                Openings.addRows(profile, tensor.get(START), tensor.get(BITS), bits, tensor.get(WEIGHT));
            }
        }
    }

    // ---- ΣH − ΣG = 0 --------------------------------------------------------------------------------------------

    function _addSums(uint256 power) private pure {
        unchecked {
            _addHelperSum(LINEAR, ROWS, load(ROW_BITS), load(HELPERS), power);
            if (load(LOOKUPS) != 0) _addHelperSum(TABLE, LOOKS, load(LOOK_BITS), load(LOOK_HELPERS), power);
            uint256 tables = load(TABLES);
            for (uint256 tag; tag <= tables; ++tag) {
                Openings.addSum(load(TABLE_HELPERS) + tag * TABLE_LENGTH, VALUE_BITS, Field.negate(power));
            }
        }
    }

    function _addHelperSum(uint256 code, uint256 rowsAt, uint256 bits, uint256 location, uint256 power) private pure {
        unchecked {
            uint256 chunks = _countChunks(rowsAt);
            uint256 profile = Memory.allocate(32 * chunks);
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                Tensor tensor = Tensor.wrap(t);
                if (tensor.get(CODE) == code) {
                    Openings.addRowSum(profile, tensor.get(START), tensor.get(BITS), bits);
                }
            }
            Openings.addColumn(location, bits, profile, chunks, power);
        }
    }

    // ---- lookup rows and tables ---------------------------------------------------------------------------------

    /// @dev Values of x, y and H. The verifier knows the part of x that is the public input.
    function _claimLookups() private pure {
        unchecked {
            uint256 totals = load(AT_LOOKUP_TOTALS);
            uint256 x = read(totals);
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                Tensor tensor = Tensor.wrap(t);
                if (tensor.get(CODE) != TABLE || tensor.get(LOOKUP_OPERAND) != TENSORS) continue;
                x = Field.sub(x, Field.mul(tensor.get(WEIGHT), Linears.evaluateInput(ALL_SIGMA)));
            }
            Openings.claim(x);
            Openings.claim(read(totals + 32));
            Openings.claim(read(totals + 64));
        }
    }

    function _addLookups(uint256 power) private pure {
        unchecked {
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                Tensor tensor = Tensor.wrap(t);
                if (tensor.get(CODE) != TABLE || tensor.get(LOOKUP_OPERAND) == TENSORS) continue;
                uint256 coefficient = Field.mul(power, tensor.get(WEIGHT));
                _addResult(Tensor.wrap(tensor.get(LOOKUP_OPERAND)), ALL_SIGMA, coefficient);
            }
            uint256 chunks = _countChunks(LOOKS);
            uint256 profile = Memory.allocate(32 * chunks);
            _addProfile(profile, TABLE, 0, load(LOOK_BITS));
            power = Field.mul(power, load(MU));
            Openings.addColumn(load(LOOKED), load(LOOK_BITS), profile, chunks, power);
            power = Field.mul(power, load(MU));
            Openings.addColumn(load(LOOK_HELPERS), load(LOOK_BITS), profile, chunks, power);
        }
    }

    /// @dev G and m over all tables; then the tables of functions, each weighted with the eq of its tag.
    function _addTables() private pure {
        unchecked {
            uint256 tables = load(TABLES);
            uint256 sizes = Memory.allocate(96);
            assembly ("memory-safe") {
                mstore(sizes, 2)
                mstore(add(sizes, 0x20), TABLE_LENGTH)
                mstore(add(sizes, 0x40), add(tables, 1))
            }
            uint256 power = Openings.claim(read(load(AT_TABLE)));
            Openings.add(load(TABLE_HELPERS), ALL_SIGMA, load(TABLE_BITS), sizes, power);
            power = Openings.claim(read(load(AT_TABLE) + 32));
            Openings.add(load(MULTIPLICITIES), ALL_SIGMA, load(TABLE_BITS), sizes, power);
            if (tables == 0) return;
            power = Openings.claim(read(load(AT_TABLE_VALUES)));
            for (uint256 t; t < tables; ++t) {
                uint256 coefficient = Field.mul(power, Rows.weighTag(t + 1));
                Openings.addFull(load(TABLE_LOCATIONS + 32 * t), ALL_SIGMA, VALUE_BITS, coefficient);
            }
        }
    }

    // ---- parameters, operands, output ---------------------------------------------------------------------------

    /// @dev The biases' part of `rest`: on true positions of the axes they do not run along.
    function _addBiases(uint256 restPower) private pure {
        unchecked {
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                Tensor tensor = Tensor.wrap(t);
                uint256 axis = tensor.get(BIAS_AXIS);
                if (axis-- == 0) continue;
                uint256 coefficient = Field.mul(restPower, tensor.get(WEIGHT));
                for (uint256 a = tensor.get(RANK); a-- != 0;) {
                    if (a != axis) coefficient = Field.mul(coefficient, Linears.maskAxis(tensor, a));
                }
                uint256 bits = tensor.bitsAt(axis);
                uint256 point = Points.span(SIGMA + tensor.lowAt(axis), bits);
                uint256 sizes = Sizes.single(tensor.dimension(axis));
                Openings.add(tensor.get(BIAS_LOCATION), point, bits, sizes, coefficient);
            }
        }
    }

    /// @dev Pass 0: weights; pass 1: operands read directly; pass 2: operands read through maps, at θ.
    function _addTerms(uint256 pass) private pure {
        unchecked {
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                uint256 end = Tensor.wrap(t).get(TERMS_END);
                for (uint256 u = Tensor.wrap(t).get(FIRST_TERM); u < end; u += TERM_BYTES) {
                    if (pass == 0) _addWeights(Term.wrap(u));
                    else if (Term.wrap(u).get(IS_MAPPED) == pass - 1) _addOperand(Term.wrap(u));
                }
            }
        }
    }

    function _addWeights(Term term) private pure {
        if (!term.isWeightSent()) return;
        uint256 power = Openings.claim(term.get(WEIGHTS));
        uint256 point = term.get(WEIGHTS_POINT);
        if (term.get(KIND) == PARAMETERS) {
            Openings.add(term.get(LOCATION), point, term.get(WEIGHTS_BITS), term.get(SIZES), power);
        } else {
            _addResult(Tensor.wrap(term.get(WEIGHTS_OPERAND)), point, power);
        }
    }

    function _addOperand(Term term) private pure {
        Tensor operand = term.operand();
        bool isInput = operand.get(CODE) == INPUT;
        if (isInput && load(INPUT_COMMITTED) == 0) return;
        uint256 power = Openings.claim(term.get(term.get(IS_MAPPED) == 0 ? OPERAND_VALUE : MAPPED_VALUE));
        if (isInput) {
            uint256 sizes = Sizes.ofTensor(operand);
            Openings.addMasked(load(INPUT_LOCATION), term.get(OPERAND_POINT), operand.get(BITS), sizes, power);
            return;
        }
        _addResult(term.operand(), term.get(OPERAND_POINT), power);
    }

    /// @dev The values of an operator's result at a point.
    function _addResult(Tensor tensor, uint256 point, uint256 coefficient) private pure {
        unchecked {
            uint256 column = load(tensor.get(CODE) == LINEAR ? TRACE : LOOKED);
            Openings.addFull(column + tensor.get(START), point, tensor.get(BITS), coefficient);
        }
    }

    /// @dev The whole block of the output, padding included, is the public output at a point drawn after it was
    ///      committed.
    function _addOutput() private pure {
        Tensor tensor = Tensor.wrap(load(OUTPUT_TENSOR));
        uint256 sizes = Sizes.ofTensor(tensor);
        uint256 value = PublicTensor.evaluate(load(OUTPUT_DATA), sizes, tensor.get(OFFSET), ALL_SIGMA);
        _addResult(tensor, ALL_SIGMA, Openings.claim(value));
    }
}
