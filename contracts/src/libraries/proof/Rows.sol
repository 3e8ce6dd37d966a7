// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Field, R} from "./Field.sol";
import {Layout} from "./Layout.sol";
import {LINEAR, Network, Shapes, TABLE, Tensor, VALUE_BITS} from "./Network.sol";
import {Points, SIGMA} from "./Points.sol";
import {PublicTensor} from "./PublicTensor.sol";
import {Challenges, Proofs, Run} from "./Run.sol";
import {Transcript} from "./Transcript.sol";

/// @title Rows and tables: one zero-check (circuits/protocols/rows.py has the equations)
library Rows {
    /// @notice The values sent at σ do not satisfy the rows' and tables' equations.
    error RowsAndTable();

    /// @notice Draws the separators, follows the rounds to σ, weighs the blocks there, and checks the values sent.
    function verify(Run memory run) internal pure {
        unchecked {
            Layout memory plan = run.plan;
            Challenges memory challenges = run.challenges;
            challenges.rho = Proofs.draw(run);
            challenges.kappa = Proofs.draw(run);
            uint256[] memory tau = new uint256[](plan.rounds);
            for (uint256 j; j < tau.length; ++j) {
                tau[j] = Proofs.draw(run);
            }
            challenges.tau = tau;
            uint256 first;
            assembly ("memory-safe") {
                first := add(tau, 0x20)
            }
            uint256 claim;
            (run.state, claim) = Transcript.zeroCheck(
                run.state,
                run.fields.rowRounds,
                plan.rounds,
                plan.degree,
                first,
                run.coordinates + 32 * SIGMA
            );
            _weigh(run);
            uint256 value = Field.add(_rowValue(run), _tableValue(run));
            if (run.network.lookups != 0) value = Field.add(value, _lookupValue(run));
            if (value != claim) revert RowsAndTable();
            Proofs.absorb(run, run.fields.totals, run.fields.linearRounds);
        }
    }

    /// @dev w of each block: eq of its place in its space with the high part of σ.
    function _weigh(Run memory run) private pure {
        unchecked {
            Tensor[] memory tensors = run.network.tensors;
            uint256 sigma = Points.span(SIGMA, 32);
            for (uint256 id = 1; id < tensors.length; ++id) {
                Tensor memory tensor = tensors[id];
                uint256 bits = tensor.code == LINEAR ? run.plan.rowBits : run.plan.lookBits;
                tensor.weight =
                    Points.eqIndex(run.coordinates, sigma, tensor.bits, bits, tensor.start >> tensor.bits);
            }
        }
    }

    // ---- rescale rows -------------------------------------------------------------------------------------------

    function _rowValue(Run memory run) private pure returns (uint256) {
        unchecked {
            uint256 totals = run.fields.totals;
            (uint256 offset, uint256 active) = _publicRows(run.network.tensors);
            uint256 u = Proofs.load(totals + 32);
            uint256 h = Proofs.load(totals + 64);
            uint256 c = Proofs.load(totals + 96);
            uint256 rho = run.challenges.rho;
            uint256 square = Field.mul(c, c);
            uint256 value = Field.add(Proofs.load(totals), offset);
            value = Field.sub(value, Field.mul(Field.mul(4095, Field.HALF), Field.add(square, c)));
            // (1 − c²)·(ρ·h − ρ²·c − u)
            uint256 signs = Field.sub(Field.mul(rho, Field.sub(h, Field.mul(rho, c))), u);
            value = Field.mulAdd(value, Field.sub(1, square), signs);
            uint256 looked = _rangeValue(run, active, Field.sub(Field.mul(c, h), square));
            return Field.mulAdd(value, Field.mul(rho, Field.mul(rho, rho)), looked);
        }
    }

    /// @dev o and act at σ.
    function _publicRows(Tensor[] memory tensors) private pure returns (uint256 offset, uint256 active) {
        unchecked {
            for (uint256 id = 1; id < tensors.length; ++id) {
                if (tensors[id].code != LINEAR) continue;
                active = Field.add(active, tensors[id].weight);
                offset = Field.mulAdd(offset, tensors[id].offset, tensors[id].weight);
            }
        }
    }

    /// @dev H·ΠD − act·Σ_k Π_{j≠k} D_j over D = α + r0, α + u, α + c·h − c², and α + r1 where there is such a column.
    function _rangeValue(Run memory run, uint256 active, uint256 sign) private pure returns (uint256) {
        unchecked {
            uint256 columns = run.plan.columns;
            uint256 totals = run.fields.totals;
            uint256 alpha = run.challenges.alpha;
            uint256[4] memory values;
            values[0] = Proofs.load(totals + 32 * columns);
            values[1] = Proofs.load(totals + 32);
            values[2] = sign;
            values[3] = Proofs.load(totals + 128);
            uint256 product = 1;
            uint256 sums;
            for (uint256 k; k < columns - 1; ++k) {
                uint256 denominator = Field.add(values[k], alpha);
                sums = Field.mulAdd(product, sums, denominator);
                product = Field.mul(product, denominator);
            }
            uint256 helper = Proofs.load(totals + 32 * columns + 32);
            return Field.sub(Field.mul(helper, product), Field.mul(active, sums));
        }
    }

    // ---- lookup rows --------------------------------------------------------------------------------------------

    function _lookupValue(Run memory run) private pure returns (uint256) {
        unchecked {
            uint256 totals = run.fields.lookupTotals;
            (uint256 tag, uint256 offset, uint256 active) = _publicLookups(run);
            uint256 y = Proofs.load(totals + 32);
            uint256 beta = run.challenges.beta;
            uint256 denominator = Field.add(Field.add(Proofs.load(totals), offset), Field.mul(beta, y));
            denominator = Field.mulAdd(run.challenges.alpha, beta, Field.mulAdd(tag, beta, denominator));
            uint256 value = Field.sub(Field.mul(Proofs.load(totals + 64), denominator), active);
            uint256 kappa = run.challenges.kappa;
            value = Field.mulAdd(value, kappa, Field.mul(Field.sub(1, active), y));
            return Field.mul(Field.mul(kappa, kappa), value);
        }
    }

    /// @dev tag, o_x and act at σ.
    function _publicLookups(Run memory run) private pure returns (uint256 tag, uint256 offset, uint256 active) {
        unchecked {
            Tensor[] memory tensors = run.network.tensors;
            uint256 sigma = Points.span(SIGMA, 32);
            for (uint256 id = 1; id < tensors.length; ++id) {
                Tensor memory tensor = tensors[id];
                if (tensor.code != TABLE) continue;
                uint256 mask = PublicTensor.maskOf(run.coordinates, sigma, Shapes.sizesOf(tensor));
                active = Field.mulAdd(active, tensor.weight, mask);
                tag = Field.mulAdd(tag, tensor.weight, tensor.table + 1);
                offset = Field.mulAdd(offset, tensor.weight, tensors[tensor.operand].offset);
            }
        }
    }

    // ---- tables -------------------------------------------------------------------------------------------------

    /// @dev κ·(G·(α + E) − m).
    function _tableValue(Run memory run) private pure returns (uint256) {
        unchecked {
            uint256 entry = _entry(run);
            uint256 table = run.fields.table;
            uint256 value = Field.mul(Proofs.load(table), Field.add(run.challenges.alpha, entry));
            return Field.mul(run.challenges.kappa, Field.sub(value, Proofs.load(table + 32)));
        }
    }

    /// @dev E: t for the range, β·tag + β²·t + β³·T_tag(t) for the table of a function.
    function _entry(Run memory run) private pure returns (uint256 entry) {
        unchecked {
            uint256 sigma = run.coordinates + 32 * SIGMA;
            for (uint256 j = VALUE_BITS; j-- != 0;) {
                uint256 coordinate;
                assembly ("memory-safe") {
                    coordinate := mload(add(sigma, shl(5, j)))
                }
                entry = Field.add(Field.add(entry, entry), coordinate);
            }
            if (run.network.tables == 0) return entry;
            uint256 beta = run.challenges.beta;
            (uint256 tags, uint256 functions) = (0, 0);
            for (uint256 tag = 1; tag <= run.network.tables; ++tag) {
                uint256 weight = weighTag(run, tag);
                tags = Field.mulAdd(tags, tag, weight);
                functions = Field.add(functions, weight);
            }
            uint256 inner = Field.mulAdd(Field.mul(functions, entry), beta, Proofs.load(run.fields.tableValues));
            return Field.mulAdd(Field.mul(weighTag(run, 0), entry), beta, Field.mulAdd(tags, beta, inner));
        }
    }

    /// @notice eq of a table's tag with the coordinates of σ above those of an entry.
    function weighTag(Run memory run, uint256 tag) internal pure returns (uint256) {
        return
            Points.eqIndex(run.coordinates, Points.span(SIGMA, 32), VALUE_BITS, run.plan.tableBits, tag);
    }
}
