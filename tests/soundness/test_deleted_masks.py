"""What keeps padding out of a proof, and elements in their places, is taken away; a forged proof is accepted that it alone refused.

Padding that is alive changes outputs where two tensors are contracted over a padded axis: Σ y_i·y_j takes in the padding of both. The
forger is an honest prover of another network, the twin: the same blocks in the same places, with padding turned into true entries
(or a rule of reading changed). Its proof is bound to the network under attack by the transcript it began with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from circuits import engine
from circuits.claims import ClaimList, make_pairs
from circuits.engine import Vector
from circuits.field import MODULUS
from circuits.layers.axes import Axis
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.layout import count_bits
from circuits.network import Network, Operator, Parameters, make_input_identity
from circuits.plan import TermPlan
from circuits.protocols import linear as linear_step
from circuits.protocols import rows, sumcheck
from circuits.statement import Statement, begin_transcript
from circuits.tensors import Integers, TensorType
from circuits.trace import Trace, compute_trace
from circuits.twin.sumchecks import ZeroCheck
from tests.soundness.deleting import check_only
from tests.soundness.dishonest import NOWHERE, Liar, copy_trace, forge, read_output, read_tensors
from tests.soundness.lies import ROW_LIES, Forged, make_chain_case
from tests.soundness.networks import (
    CONTRACT,
    SIGNED,
    commit_case,
    direct,
    fixed,
    make_case,
    make_dense,
    make_network,
    make_parameters,
    shared,
    step,
)
from tests.soundness.zoo import against, along, beside, copy, linear, product

Patch = pytest.MonkeyPatch
D2 = (direct(0), direct(1))


def gram(operand: int, size: int = 4) -> Any:
    """Yᵀ·Y, contracted over the first axis, padding included."""
    return linear((size, size), product(operand, (CONTRACT, direct(0)), operand, against(0), along(1)))


def widen(values: Integers, shape: tuple[int, ...]) -> Integers:
    """Zeros behind each axis."""
    return np.pad(values, [(0, to - size) for to, size in zip(shape, values.shape, strict=True)])


@dataclass
class Attack:
    """`network` is attacked with proofs of `twin`, whose shapes are padded; tables as drawn, other numbers padded with zeros."""

    network: Network
    twin: Network
    seed: int = 1

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        parameters = make_parameters(self.network, rng)
        x = rng.integers(100, 2000, self.network.input.size)
        self.case = commit_case(self.network, parameters, x)
        padded = widen(x.reshape(self.network.input.shape), self.twin.input.shape).reshape(-1)
        self.wide = commit_case(self.twin, self._widen_parameters(parameters), padded)
        one, other = self.case.layout, self.wide.layout
        assert (one.rows, one.look, one.column_starts) == (other.rows, other.look, other.column_starts)
        assert self.case.model.verifying.commitments == self.wide.model.verifying.commitments
        assert self.case.y.tolist() != self.wide.y.tolist()

    def _widen_parameters(self, parameters: Parameters) -> Parameters:
        layers, shapes = [], self.twin.shapes
        linears = [operator for operator in self.twin.operators if not isinstance(operator, Table)]
        for numbers, operator in zip(parameters.layers, linears, strict=True):
            arrays = zip(numbers.weights, operator.list_weights_shapes(shapes), strict=True)
            layers.append(replace(numbers, weights=tuple(widen(array, shape) for array, shape in arrays)))
        return Parameters(tuple(layers), parameters.tables)

    def forge(self, trace: Trace | None = None, y: Integers | None = None) -> Forged:
        """The twin's proof, of the attacked network's statement."""
        y = self.wide.y if y is None else y
        statement = self.case.state(y=y)
        liar = Liar(self.wide, self.wide.state(y=y), trace or self.wide.trace(), NOWHERE)
        liar.transcript = begin_transcript(self.case.model.verifying, statement)
        return liar.run(), statement

    def check(self, weaken: Callable[[], None]) -> None:
        check_only(self.case, self.forge, weaken)


def test_the_twin_of_a_network_without_padding_is_the_network() -> None:
    """The technique itself: nothing to attack, the same proof."""
    network = make_network((4, 2), [make_dense(0, (4, 2), 4, 12, SIGNED, 1), gram(1)])
    case = make_case(network)
    liar = Liar(case, case.state(), case.trace(), NOWHERE)
    liar.transcript = begin_transcript(case.model.verifying, case.state())
    assert liar.run() == case.prove()


# ---- masks --------------------------------------------------------------------------------------------------------------------------


def test_bias_mask(monkeypatch: Patch) -> None:
    """A bias in rows of positions that do not exist."""
    make = lambda n: make_network((n, 2), [make_dense(0, (n, 2), 4, 12, SIGNED, 1), gram(1)])  # noqa: E731
    Attack(make(3), make(4)).check(lambda: monkeypatch.setattr(linear_step, "compute_bias_mask", lambda layer, sigma: 1))


def test_broadcast_mask(monkeypatch: Patch) -> None:
    """A tensor repeated along an axis, beyond its end."""
    make = lambda n: make_network((4,), [linear((n, 4), copy(0, direct(1))), gram(1)])  # noqa: E731
    Attack(make(3), make(4)).check(lambda: monkeypatch.setattr(TermPlan, "compute_factor", lambda plan, sigma: plan.term.coefficient))


def test_broadcast_mask_of_a_product(monkeypatch: Patch) -> None:
    """The same where the weights are a tensor."""
    squares = lambda n: linear((n, 4), product(0, (shared(1),), 0, beside(1)))  # noqa: E731
    make = lambda n: make_network((4,), [squares(n), gram(1)])  # noqa: E731
    Attack(make(3), make(4)).check(lambda: monkeypatch.setattr(TermPlan, "compute_factor", lambda plan, sigma: plan.term.coefficient))


def make_lookup_network(n: int) -> Network:
    return make_network((n, 4), [linear((n, 4), copy(0, *D2)), Table(1, (n, 4), 0, SIGNED), gram(2)])


def test_lookup_mask(monkeypatch: Patch) -> None:
    """Padding rows look T(0) up, and have it."""
    attack = Attack(make_lookup_network(3), make_lookup_network(4))
    attack.check(lambda: monkeypatch.setattr(rows, "compute_true_mask", lambda lookup, sigma: 1))


def test_positions_of_an_index_map(monkeypatch: Patch) -> None:
    """A slice read beyond its last position."""
    make = lambda n: make_network((4, 4), [linear((n, 4), copy(0, step(0), direct(1))), gram(1)])  # noqa: E731

    def count_padded(axis: Axis, result: tuple[int, ...]) -> int:
        return 1 << count_bits(result[axis.result])

    Attack(make(3), make(4)).check(lambda: monkeypatch.setattr(Axis, "count_positions", count_padded))


def test_padding_of_a_committed_input(monkeypatch: Patch) -> None:
    """What somebody committed to behind the last entry is opened with the rest."""

    def make(n: int) -> Network:
        identity = make_input_identity(TensorType((n, 4), SIGNED, 0))
        return make_network((n, 4), [identity, gram(1)], is_committed=True)

    case, wide = (make_case(make(n), seed=3) for n in (3, 4))
    assert wide.x[12:].any()

    def forge_it() -> Forged:
        statement = Statement(wide.state().input, None, wide.y, wide.state().context)
        liar = Liar(wide, wide.state(), wide.trace(), NOWHERE)
        liar.transcript = begin_transcript(case.model.verifying, statement)
        return liar.run(), statement

    def open_everything(claims: ClaimList, point: Any) -> Any:
        return claims._open("input", 0, make_pairs(point))

    check_only(case, forge_it, lambda: monkeypatch.setattr(ClaimList, "_open_input", open_everything))


def test_padding_of_a_committed_input_counts_as_zero() -> None:
    """The same commitment is a good one: of the input without what is behind it."""
    case = make_case(make_network((3, 4), [make_input_identity(TensorType((3, 4), SIGNED, 0)), gram(1)], is_committed=True))
    chunk = np.zeros(1 << case.layout.chunk_bits, dtype=np.int64)
    chunk[:12], chunk[12:16], chunk[100] = case.x, 1234, 99
    point = case.setup.powers.commit(chunk)
    assert point != case.state().input
    statement = replace(case.state(), input=point)
    liar = Liar(case, statement, case.trace(), NOWHERE)
    liar.chunks["input", 0] = chunk
    case.verify(liar.run(), statement)


# ---- padding rows that look nothing up ------------------------------------------------------------------------------------------------


class Unmasked(ZeroCheck):
    """F_look without κ³·(1 − act)·y."""

    def _compute_lookups(self, tables: Any) -> Any:
        _, y, _, active, _ = tables
        masked = super()._compute_lookups(tables)
        return (masked - pow(self._kappa, 3) * ((1 - active) * y)) % MODULUS


def test_results_of_padding_rows(monkeypatch: Patch) -> None:
    """A padding row looks nothing up and has any result: the equation that says 0 is gone."""
    attack = Attack(make_lookup_network(3), make_lookup_network(4))
    wide = attack.wide
    zero = 2048  # the entry of x = 0: no true row has it
    assert wide.x[:12].all()
    table = wide.model.parameters.tables[0].copy()
    table[zero] = 777
    trace = compute_trace(wide.layout, replace(wide.model.parameters, tables=(table,)), wide.x)
    trace.looked.active[12:] = 0

    def weaken() -> None:
        honest = rows.compute_lookup

        def compute_lookup(x: int, y: int, helper: int, public: tuple[int, int, int], challenges: rows.Challenges) -> int:
            whole = honest(x, y, helper, public, challenges)
            return whole - pow(challenges.kappa, 3) * (1 - public[2]) * y

        monkeypatch.setattr(rows, "compute_lookup", compute_lookup)
        monkeypatch.setattr(engine, "ZeroCheck", Unmasked)

    check_only(attack.case, lambda: attack.forge(trace, trace.tensors[-1]), weaken)


# ---- rescale rows that look nothing up -----------------------------------------------------------------------------------------------


class SilentLiar(Liar):
    """No row looks anything up: H and m are zero."""

    def count_lookups(self) -> Integers:
        return super().count_lookups() * 0

    def commit_helpers(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows, "compute_row_helper", lambda columns, alpha: engine.from_scalars([0] * len(columns["y"])))
            super().commit_helpers()


def test_rescale_rows_look_up(monkeypatch: Patch) -> None:
    """With act = 0 no limb is looked up, and a row says what it likes: r0 pays for another y."""
    case = make_chain_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        ROW_LIES["limb outside the table"](case, trace)
        statement = case.state(y=read_output(case, trace))
        return SilentLiar(case, statement, read_tensors(case, trace), NOWHERE).run(), statement

    def weaken() -> None:
        compute, make = rows.compute_row, rows.make_public_columns
        monkeypatch.setattr(rows, "compute_row", lambda columns, offset, active, challenges: compute(columns, offset, 0, challenges))
        monkeypatch.setattr(rows, "make_public_columns", lambda layout: (make(layout)[0], make(layout)[1] * 0))

    check_only(case, forge_it, weaken)


# ---- where an element is read ------------------------------------------------------------------------------------------------------------


def test_indices_outside_the_operand(monkeypatch: Patch) -> None:
    """Taken modulo the size, a window at the edge sees the other edge."""
    case = make_case(make_network((4, 4), [linear((4, 4), copy(0, direct(0), step(1, 1, -1)))]))
    honest = Axis.compute_indices

    def wrap(axis: Axis, result: tuple[int, ...]) -> Integers:
        return honest(axis, result) % 4

    def forge_it() -> Forged:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Axis, "compute_indices", wrap)
            statement = case.state(y=case.y)  # the wrapped network's
            return Liar(case, statement, case.trace(), NOWHERE).run(), statement

    check_only(case, forge_it, lambda: monkeypatch.setattr(Axis, "compute_indices", wrap))


def test_shared_eq(monkeypatch: Patch) -> None:
    """Without eq(σ, ρ) on shared axes, every element of a product is the sum over all of them."""
    squares = linear((4, 4), product(0, (shared(0), shared(1)), 0, beside(0), beside(1)))
    sums = linear((4, 4), product(0, (CONTRACT, CONTRACT), 0, against(0), against(1)))
    case, other = (make_case(make_network((4, 4), [operator])) for operator in (squares, sums))
    assert case.y.tolist() != other.y.tolist()

    def forget(plan: TermPlan, sigma: Any) -> Vector:
        return engine.from_scalars([1] * (1 << plan.variables))

    def weaken() -> None:
        monkeypatch.setattr(TermPlan, "compute_shared_eq", lambda plan, sigma, rho: 1)
        monkeypatch.setattr(linear_step, "compute_eq_of_term", forget)

    check_only(case, lambda: forge(case, other.trace(), NOWHERE), weaken)


def test_scale_of_shorter_terms(monkeypatch: Patch) -> None:
    """Without 2^-(missing variables), a term of none counts 2^5 times beside one of five."""

    def make(coefficient: int) -> Network:
        row = Term(0, (direct(0), CONTRACT), Weights.PARAMETERS)
        return make_network((4, 20), [linear((4,), copy(0, direct(0), fixed(3), coefficient=coefficient), row)])

    Attack(make(64), make(64 << 5)).check(lambda: monkeypatch.setattr(sumcheck.Config, "scale", lambda config, variables: 1))


# ---- what a lookup is of ---------------------------------------------------------------------------------------------------------------


def change_public(monkeypatch: Patch, change: Callable[[int, int, int], tuple[int, int, int]]) -> None:
    honest = rows.compute_public_lookups
    monkeypatch.setattr(rows, "compute_public_lookups", lambda layout, sigma: change(*honest(layout, sigma)))


def test_tag(monkeypatch: Patch) -> None:
    """Whose table is meant: without the tag of the operator, another one answers."""
    operators: list[Operator] = [
        linear((4,), copy(0, direct(0))),
        Table(1, (4,), 0, SIGNED),
        Table(1, (4,), 1, SIGNED),
        linear((4,), copy(2, direct(0)), copy(3, direct(0))),
    ]
    case = make_case(make_network((4,), operators))

    def forge_it() -> Forged:
        parameters = case.model.parameters
        trace = compute_trace(case.layout, replace(parameters, tables=(parameters.tables[0],) * 2), case.x)
        trace.looked.tag[:] = 1
        return forge(case, read_tensors(case, trace), NOWHERE)

    def weaken() -> None:
        change_public(monkeypatch, lambda tag, offset, active: (active, offset, active))

    check_only(case, forge_it, weaken)


def test_offset(monkeypatch: Patch) -> None:
    """Which entry is meant: without o, the one of x itself."""
    case = make_case(make_network((4,), [linear((4,), copy(0, direct(0))), Table(1, (4,), 0, SIGNED)]), seed=1)
    case = replace(case, x=np.abs(case.x))

    def forge_it() -> Forged:
        trace = case.trace()
        trace.looked.index[:] -= 2048
        trace.looked.y[:] = case.model.parameters.tables[0][trace.looked.index]
        return forge(case, trace, NOWHERE)

    check_only(case, forge_it, lambda: change_public(monkeypatch, lambda tag, offset, active: (tag, 0, active)))
