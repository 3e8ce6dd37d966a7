"""Each challenge is known before the messages it should depend on, and a forged proof is accepted that it alone refused.

The powers of ρ and κ are each a separator: with the challenge at 1 all of them are, and every pair of equations that a liar can make
cancel is made to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits import engine
from circuits.engine import Vector
from circuits.field import MODULUS, invert
from circuits.layers.table import Table
from circuits.layout import TABLE_LENGTH
from circuits.network import Operator
from circuits.proof_bytes import Proof
from circuits.protocols import linear, opening, rows
from circuits.statement import Statement
from circuits.trace import Trace
from tests.soundness.deleting import check_only, fix_draw, fix_separators
from tests.soundness.dishonest import NOWHERE, Liar, Repairs, change_y, copy_trace, forge, parse_key, read_output, read_tensors
from tests.soundness.lies import ROW_LIES, Forged, find_lookup, find_row, make_chain_case, make_lookup_case, make_mapped_case, tell
from tests.soundness.networks import SIGNED, Case, make_case, make_chain, make_dense, make_local_setup, make_network
from tests.soundness.roots import solve_two
from tests.soundness.test_deleted_checks import pay_in_the_last_layer

Patch = pytest.MonkeyPatch


def run(kind: type[Liar], case: Case, trace: Trace, statement: Statement | None = None, **fields: Any) -> Forged:
    """A liar of a kind, told where to lie."""
    stated = statement or case.state(y=read_output(case, trace))
    liar = kind(case, stated, read_tensors(case, trace), NOWHERE)
    vars(liar).update(fields)
    proof: Proof = liar.run()
    return proof, stated


# ---- α and β: looked-up values ---------------------------------------------------------------------------------------------------------


def test_alpha(monkeypatch: Patch) -> None:
    """α = 7: 1/(7 + outside) is a sum of fractions m/(7 + t), so multiplicities pay for a limb outside and for another output."""
    case = make_chain_case()

    def forge_it() -> Forged:
        row = find_row(case, 0)
        for carry in range(1, int(case.trace().columns["u"][row])):
            trace = copy_trace(case.trace())
            for name, amount in (("r0", carry << 12), ("u", -carry), ("y", -carry)):
                trace.columns[name][row] += amount
            change = pay_for(int(trace.columns["r0"][row]), 7)
            if change:
                return run(Liar, case, trace, multiplicity_change=change)
        raise AssertionError("no limb could be paid for")

    check_only(case, forge_it, lambda: fix_draw(monkeypatch, "multiplicities", 7))


def pay_for(outside: int, alpha: int) -> dict[int, int]:
    """Whole m with Σ m_t/(α + t) = 1/(α + outside): Bézout, where α + outside is a product of two coprime denominators, else none."""
    total = alpha + outside
    for t in range(TABLE_LENGTH):
        a = alpha + t
        if total % a == 0 and alpha <= total // a < alpha + TABLE_LENGTH and np.gcd(a, total // a) == 1:
            b = total // a
            x = pow(b, -1, a)
            return {a - alpha: x, b - alpha: (1 - x * b) // a}
    return {}


def test_beta(monkeypatch: Patch) -> None:
    """β = 1: tag + x + y is all a lookup says, so an entry of another x and y with the same sum will do."""
    case = make_lookup_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        row, table = find_lookup(case), case.model.parameters.tables[1]
        index = int(trace.looked.index[row])
        entry, y = next((t, t - index + int(v)) for t, v in enumerate(table) if 0 <= t - index + int(v) < 4096 and t != index)
        assert y != table[index]
        trace.looked.y[row] = y
        change = {2 * TABLE_LENGTH + index: -1, 2 * TABLE_LENGTH + entry: 1}
        return run(Liar, case, trace, multiplicity_change=change)

    check_only(case, forge_it, lambda: fix_draw(monkeypatch, "multiplicities", 1, skipped=1))


# ---- ρ, κ, τ: equations, kinds of rows, and rows ---------------------------------------------------------------------------------------


def test_rho(monkeypatch: Patch) -> None:
    """ρ = 1: h of an unclamped row pays for its y. The row is a clamped one: c = 0, h = 1 and y + o = u − 1."""
    case = make_chain_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        row = next(r for r in range(8, 13) if trace.columns["h"][r] == 1 and trace.columns["u"][r] > 0)
        trace.columns["c"][row], trace.columns["y"][row] = 0, trace.columns["u"][row] - 1 - 2048
        return forge(case, trace, NOWHERE)

    check_only(case, forge_it, lambda: fix_separators(monkeypatch, rho=1))


def test_powers_of_rho(monkeypatch: Patch) -> None:
    """ρ = 1, c = 2 and h ≥ 2: what c³ − c = 6 and h·(1 − 4) are too much, y is too little: y + o = 12279 + 3h − 3u."""
    case = make_case(make_chain([5, 64], [12], [SIGNED]), seed=5, size=1 << 15)

    def find() -> tuple[int, int]:
        columns = case.trace().columns
        wrong = 12279 + 3 * columns["h"] - 3 * columns["u"]
        row = int(np.flatnonzero((columns["h"] >= 2) & (wrong >= 0) & (wrong < 4095))[0])
        return row, int(wrong[row]) - 2048

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        row, y = find()
        trace.columns["c"][row], trace.columns["y"][row] = 2, y
        return forge(case, trace, NOWHERE)

    check_only(case, forge_it, lambda: fix_separators(monkeypatch, rho=1))


class KappaLiar(Liar):
    """Wherever the index ends in `row`, F_table is `amount`: m is that much less than what G is made of."""

    row, bits, amount = 0, 0, 0

    def count_lookups(self) -> Any:
        self.counted = super().count_lookups()
        stated = self.counted.copy()
        stated[self.row :: 1 << self.bits] -= self.amount
        return stated

    def commit_helpers(self) -> None:
        """G is of the true counts."""
        honest = rows.compute_table_helper
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows, "compute_table_helper", lambda entries, _, alpha: honest(entries, self.counted, alpha))
            super().commit_helpers()


def test_kappa_between_rows_and_table(monkeypatch: Patch) -> None:
    """κ = 1: what a row has too much, the table entries it meets have too little."""
    case = make_chain_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        row = find_row(case, 0)
        trace.columns["y"][row] += 1
        return run(KappaLiar, case, trace, row=row, bits=case.layout.rows.bits, amount=-1)

    check_only(case, forge_it, lambda: fix_separators(monkeypatch, kappa=1))


def make_shared_table_case() -> Case:
    """One table, looked up twice: with the range's, the tables fill all tags, so an index of a row meets entries everywhere."""
    operators: list[Operator] = [make_dense(0, (5,), 6, 12, SIGNED), Table(1, (6,), 0, SIGNED), Table(2, (6,), 0, SIGNED)]
    return make_case(make_network((5,), operators), seed=6)


class SilentLiar(KappaLiar):
    """True lookup rows that look nothing up: H is 0 there, and F_look is −1."""

    silent: tuple[int, ...] = ()

    def count_lookups(self) -> Any:
        self.trace.looked.active[list(self.silent)] = 0
        return super().count_lookups()

    def commit_helpers(self) -> None:
        super().commit_helpers()
        self.trace.looked.active[list(self.silent)] = 1  # what the verifier says of them: the equation is not kept


def test_kappa_between_lookups_and_table(monkeypatch: Patch) -> None:
    """κ = 1: a row that looks nothing up is −1, and the entries it meets are one more."""
    case = make_shared_table_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        row = case.layout.look.starts[2]
        trace.looked.y[row] += 1
        return run(SilentLiar, case, trace, row=row, bits=case.layout.look.bits, amount=1, silent=(row,))

    check_only(case, forge_it, lambda: fix_separators(monkeypatch, kappa=1))


def test_kappa_between_lookups_and_rows(monkeypatch: Patch) -> None:
    """κ = 1: two rows that look nothing up are −1, and the rescale row that both meet is one more."""
    case = make_lookup_case()
    assert (case.layout.rows.bits, case.layout.look.bits) == (3, 4)

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        row = find_lookup(case)
        below = row - 8
        trace.columns["y"][below] += 1
        trace.looked.index[below] += 1  # x is what y says; nobody looks it up
        trace.looked.y[row] += 1
        return run(SilentLiar, case, trace, silent=(below, row))

    check_only(case, forge_it, lambda: fix_separators(monkeypatch, kappa=1))


def test_kappa_between_padding_and_table(monkeypatch: Patch) -> None:
    """κ = 1: the result of a padding row is 1, and the entries it meets are one less.

    The output's own padding is opened, so it is the first table's, which the second reads. Here no false output follows from a
    padding that is alive; test_deleted_masks.py has networks where it does.
    """
    case = make_shared_table_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        row = case.layout.look.starts[1] + 7
        trace.looked.y[row] += 1
        trace.looked.index[row + 8] += 1
        return run(KappaLiar, case, trace, row=row, bits=case.layout.look.bits, amount=-1)

    check_only(case, forge_it, lambda: fix_separators(monkeypatch, kappa=1))


def test_tau(monkeypatch: Patch) -> None:
    """τ = 0: row 0 alone is looked at."""
    case = make_chain_case()
    forge_it = lambda: tell(case, ROW_LIES["wrong y"], NOWHERE)  # noqa: E731
    check_only(case, forge_it, lambda: fix_separators(monkeypatch, tau=(0,) * case.layout.zero_check_bits))


# ---- λ, μ, ζ: maps, claims, the opening ------------------------------------------------------------------------------------------------


class MapLiar(Liar):
    """Two operands at ρ are false so that the products add up; the sum of the two is as it was."""

    def repair_ends(self, config: linear.Config) -> None:
        keys = [parse_key("1.0"), parse_key("2.0")]
        factors = self.compute_linear_factors()
        a, b = (factors[key] * self.at_rho[key][0] for key in keys)
        for key, change in zip(keys, solve_two((a, b, self.compute_missing(config)), (1, 1, 0)), strict=True):
            self.at_rho[key] = self.at_rho[key][0], (self.at_rho[key][1] + change) % MODULUS


def test_lambda(monkeypatch: Patch) -> None:
    """λ = 1: two false operands cancel."""
    case = make_mapped_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        pay_in_the_last_layer(case, trace)
        return run(MapLiar, case, trace, repairs=Repairs(None, "operand 2.0"))

    check_only(case, forge_it, lambda: fix_draw(monkeypatch, "ends", 1))


class CancellingLiar(Liar):
    """The totals of y and of G are false by the same amount, in opposite directions."""

    def repair_totals(self, values: dict[str, int]) -> dict[str, int]:
        at = [self.evaluate_end(values | {"y": values["y"] + k, "G": values["G"] - k}) for k in (0, 1)]
        k = -at[0] * invert(at[1] - at[0])
        return values | {"y": (values["y"] + k) % MODULUS, "G": (values["G"] - k) % MODULUS}


def test_mu(monkeypatch: Patch) -> None:
    """μ = 1: two false claims cancel, the total of y and G."""
    case = make_chain_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        ROW_LIES["wrong y"](case, trace)
        return run(CancellingLiar, case, trace)

    check_only(case, forge_it, lambda: fix_draw(monkeypatch, "ends", 1))


ZETA = 987654321


class ForesightedLiar(Liar):
    """Knows ζ: A's constant term takes up whatever V is short of."""

    def open_product(self, config: opening.Config, functionals: Any, product: Vector, value: int) -> tuple[list[bytes], bytes]:
        coefficients = engine.to_scalars(product)
        missing = coefficients[config.length - 1] - value
        coefficients[0] = (coefficients[0] + missing * pow(ZETA, config.length - 1, MODULUS)) % MODULUS
        return opening.prove_product(config, self.transcript, functionals, self.chunks, engine.from_scalars(coefficients))


def test_zeta(monkeypatch: Patch) -> None:
    case = make_chain_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        ROW_LIES["wrong y"](case, trace)
        return run(ForesightedLiar, case, trace, repairs=Repairs("y"))

    check_only(case, forge_it, lambda: fix_draw(monkeypatch, "parts", ZETA))


# ---- the setup -----------------------------------------------------------------------------------------------------------------------


class LongLiar(Liar):
    """Has twice the powers that the verifier believes to be all: A has a coefficient more, just where V stands."""

    def open_product(self, config: opening.Config, functionals: Any, product: Vector, value: int) -> Any:
        n, powers = config.length, make_local_setup(self.setup.chunk_bits + 1).powers
        coefficients = engine.to_scalars(product)
        low = engine.from_scalars([0, *coefficients[: n - 1], coefficients[n - 1] - value])
        high = engine.from_scalars(coefficients[n:])
        parts = powers.commit_many([low, high])
        self.transcript.absorb_points("parts", parts)
        zeta = self.transcript.draw()
        scales = opening.compute_scales(functionals, zeta)
        chunks = [*(self.chunks[place] for place in scales), low, high]
        combined = engine.accumulate([*scales.values(), 1, pow(zeta, n + 1, MODULUS)], chunks, n + 1)
        return parts, powers.commit(engine.divide(combined, zeta))


def test_a_setup_must_be_all_the_powers_that_exist() -> None:
    """Nothing a verifier checks replaces this: whoever cuts a set of powers short can prove anything to those who use the rest.

    So a file with the first 4096 powers of the ceremony's longer sets is no setup, though they are powers of one secret.
    """
    case = make_chain_case()
    statement = case.state(y=change_y(case))
    case.verify(LongLiar(case, statement, case.trace(), NOWHERE).run(), statement)
