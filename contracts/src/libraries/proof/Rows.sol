// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {Field} from "./Field.sol";
import {
    ALPHA,
    AT_LINEAR_ROUNDS,
    AT_LOOKUP_TOTALS,
    AT_ROW_ROUNDS,
    AT_TABLE,
    AT_TABLE_VALUES,
    AT_TOTALS,
    BETA,
    COLUMNS,
    COORDINATES,
    DEGREE,
    KAPPA,
    LOOKUPS,
    LOOK_BITS,
    MODULUS,
    Memory,
    ROUNDS,
    ROW_BITS,
    SEPARATOR,
    TABLES,
    TABLE_BITS,
    TAU,
    TENSORS,
    TENSORS_END,
    load,
    read
} from "./Memory.sol";
import {ALL_SIGMA, Points} from "./Points.sol";
import {PublicTensor} from "./PublicTensor.sol";
import {
    BITS,
    CODE,
    LINEAR,
    LOOKUP_OPERAND,
    LOOKUP_TABLE,
    OFFSET,
    START,
    Sizes,
    TABLE,
    TENSOR_BYTES,
    Tensor,
    VALUE_BITS,
    WEIGHT
} from "./Records.sol";
import {Transcript} from "./Transcript.sol";

/// @title Rows and tables: one zero-check (circuits/protocols/rows.py has the equations)
library Rows {
    /// @notice The values sent at σ do not satisfy the rows' and tables' equations.
    error RowsAndTable();

    /// @notice Draws the separators, follows the rounds to σ, weighs the blocks there, and checks the values sent.
    function verify() internal pure {
        Transcript.draw(SEPARATOR, 2);
        Transcript.draw(TAU, load(ROUNDS));
        uint256 claim = _followRounds();
        (uint256 offset, uint256 active) = _weighRows();
        uint256 value = Field.add(_rowValue(offset, active), _tableValue());
        if (load(LOOKUPS) != 0) value = Field.add(value, _lookupValue());
        if (value != claim) revert RowsAndTable();
        Transcript.absorbField(AT_TOTALS, AT_LINEAR_ROUNDS);
    }

    /// @dev The first rounds have the degree of the rescale rows; in the others those are constant.
    function _followRounds() private pure returns (uint256 claim) {
        unchecked {
            (uint256 place, uint256 rounds, uint256 degree) = (load(AT_ROW_ROUNDS), load(ROW_BITS), load(DEGREE));
            claim = Transcript.zeroCheck(place, rounds, degree);
            return Transcript.zeroCheckTail(place + 32 * rounds * degree, rounds, load(ROUNDS), claim);
        }
    }

    /// @dev w of a block: eq of its place in its space with the high part of σ.
    function _weigh(Tensor tensor, uint256 spaceBits) private pure returns (uint256 weight) {
        unchecked {
            uint256 bits = tensor.get(BITS);
            weight = Points.eqIndex(ALL_SIGMA, bits, spaceBits, tensor.get(START) >> bits);
            tensor.set(WEIGHT, weight);
        }
    }

    // ---- rescale rows -------------------------------------------------------------------------------------------

    /// @dev Weighs the blocks; returns o and act at σ.
    function _weighRows() private pure returns (uint256 offset, uint256 active) {
        unchecked {
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                if (Tensor.wrap(t).get(CODE) != LINEAR) continue;
                uint256 weight = _weigh(Tensor.wrap(t), load(ROW_BITS));
                active = Field.add(active, weight);
                offset = Field.mulAdd(offset, Tensor.wrap(t).get(OFFSET), weight);
            }
        }
    }

    function _rowValue(uint256 offset, uint256 active) private pure returns (uint256) {
        unchecked {
            uint256 totals = load(AT_TOTALS);
            uint256 c = read(totals + 96);
            uint256 rho = load(SEPARATOR);
            uint256 square = Field.mul(c, c);
            uint256 value = Field.add(read(totals), offset);
            value = Field.sub(value, Field.mul(Field.mul(4095, Field.HALF), Field.add(square, c)));
            // (1 − c²)·(ρ·(h − ρ·c) − u)
            uint256 signs = Field.mul(rho, Field.sub(read(totals + 64), Field.mul(rho, c)));
            value = Field.mulAdd(value, Field.sub(1, square), Field.sub(signs, read(totals + 32)));
            uint256 looked = _rangeValue(active, Field.sub(Field.mul(c, read(totals + 64)), square));
            return Field.mulAdd(value, Field.mul(rho, Field.mul(rho, rho)), looked);
        }
    }

    /// @dev H·ΠD − act·Σ_k Π_{j≠k} D_j over D = α + r0, α + u, α + c·h − c², and α + r1 where there is such a column.
    function _rangeValue(uint256 active, uint256 sign) private pure returns (uint256 value) {
        unchecked {
            uint256 totals = load(AT_TOTALS);
            uint256 columns = load(COLUMNS);
            uint256 free = Memory.free();
            assembly ("memory-safe") {
                let r := mload(MODULUS)
                let afterColumns := add(totals, shl(5, columns))
                calldatacopy(free, afterColumns, 0x20)
                calldatacopy(add(free, 0x20), add(totals, 0x20), 0x20)
                mstore(add(free, 0x40), sign)
                calldatacopy(add(free, 0x60), add(totals, 0x80), 0x20)
                let product := 1
                let sums := 0
                for { let last := add(free, shl(5, sub(columns, 1))) } lt(free, last) { free := add(free, 0x20) } {
                    let denominator := addmod(mload(free), mload(ALPHA), r)
                    sums := addmod(mulmod(sums, denominator, r), product, r)
                    product := mulmod(product, denominator, r)
                }
                let helped := mulmod(calldataload(add(afterColumns, 0x20)), product, r)
                value := addmod(helped, sub(r, mulmod(active, sums, r)), r)
            }
        }
    }

    // ---- lookup rows --------------------------------------------------------------------------------------------

    function _lookupValue() private pure returns (uint256) {
        unchecked {
            uint256 totals = load(AT_LOOKUP_TOTALS);
            (uint256 tag, uint256 offset, uint256 active) = _weighLookups();
            uint256 y = read(totals + 32);
            uint256 beta = load(BETA);
            uint256 denominator = Field.mulAdd(Field.add(read(totals), offset), beta, y);
            denominator = Field.mulAdd(load(ALPHA), beta, Field.mulAdd(tag, beta, denominator));
            uint256 value = Field.sub(Field.mul(read(totals + 64), denominator), active);
            uint256 kappa = load(KAPPA);
            value = Field.mulAdd(value, kappa, Field.mul(Field.sub(1, active), y));
            return Field.mul(Field.mul(kappa, kappa), value);
        }
    }

    /// @dev Weighs the blocks; returns tag, o_x and act at σ.
    function _weighLookups() private pure returns (uint256 tag, uint256 offset, uint256 active) {
        unchecked {
            uint256 last = load(TENSORS_END);
            for (uint256 t = TENSORS; t < last; t += TENSOR_BYTES) {
                Tensor tensor = Tensor.wrap(t);
                if (tensor.get(CODE) != TABLE) continue;
                uint256 weight = _weigh(tensor, load(LOOK_BITS));
                active = Field.mulAdd(active, weight, PublicTensor.maskOf(ALL_SIGMA, Sizes.ofTensor(tensor)));
                tag = Field.mulAdd(tag, weight, tensor.get(LOOKUP_TABLE) + 1);
                offset = Field.mulAdd(offset, weight, Tensor.wrap(tensor.get(LOOKUP_OPERAND)).get(OFFSET));
            }
        }
    }

    // ---- tables -------------------------------------------------------------------------------------------------

    /// @dev κ·(G·(α + E) − m).
    function _tableValue() private pure returns (uint256) {
        unchecked {
            uint256 table = load(AT_TABLE);
            uint256 value = Field.mul(read(table), Field.add(load(ALPHA), _entry()));
            return Field.mul(load(KAPPA), Field.sub(value, read(table + 32)));
        }
    }

    /// @dev E: t for the range, β·tag + β²·t + β³·T_tag(t) for the table of a function.
    function _entry() private pure returns (uint256 entry) {
        unchecked {
            assembly ("memory-safe") {
                let r := mload(MODULUS)
                for { let place := add(COORDINATES, shl(5, VALUE_BITS)) } gt(place, COORDINATES) {} {
                    place := sub(place, 0x20)
                    entry := addmod(addmod(entry, entry, r), mload(place), r)
                }
            }
            uint256 tables = load(TABLES);
            if (tables == 0) return entry;
            uint256 beta = load(BETA);
            (uint256 tags, uint256 functions) = (0, 0);
            for (uint256 tag = 1; tag <= tables; ++tag) {
                uint256 weight = weighTag(tag);
                tags = Field.mulAdd(tags, tag, weight);
                functions = Field.add(functions, weight);
            }
            uint256 inner = Field.mulAdd(Field.mul(functions, entry), beta, read(load(AT_TABLE_VALUES)));
            return Field.mulAdd(Field.mul(weighTag(0), entry), beta, Field.mulAdd(tags, beta, inner));
        }
    }

    /// @notice eq of a table's tag with the coordinates of σ above those of an entry.
    function weighTag(uint256 tag) internal pure returns (uint256) {
        return Points.eqIndex(ALL_SIGMA, VALUE_BITS, load(TABLE_BITS), tag);
    }
}
