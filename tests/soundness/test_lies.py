"""Lies about a trace, told by a prover that repairs every intermediate check: the opening sees them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuits.field import MODULUS, Vector
from circuits.layout import LIMB_SHIFT, Layer
from circuits.proof_error import ProofError
from circuits.protocols import opening
from circuits.statement import Statement
from circuits.tensors import Integers
from circuits.trace import Trace, compute_rows
from tests.soundness.dishonest import Liar, collect_tensors, forge
from tests.soundness.networks import RECTIFIED, SIGNED, Case, make_case, make_chain

REPAIRS = ["y", "u", "h", "r0", "r1", "H", "G", "m"]
Columns = dict[str, Vector]


@pytest.fixture(scope="module")
def case() -> Case:
    """Two layers of eight rows, one of them all true; both shifts; saturated rows of both signs."""
    found = make_case(make_chain([5, 8, 5], [24, 12], [RECTIFIED, SIGNED]), seed=11, size=1 << 12, chunk_bits=6)
    assert {-1, 0, 1} <= set(found.compute_columns()["c"])
    return found


def find_row(case: Case, sign: int, layer: int = 1) -> int:
    """A true row of a layer with that c, and room in u for the lies below."""
    start, columns = case.model.layout.row_starts[layer], case.compute_columns()
    size = case.model.layout.layers[layer].operator.out_features
    return next(r for r in range(start, start + size) if columns["c"][r] == sign and 1 <= columns["u"][r] < 4095)


def add(name: str, amount: int, sign: int = 0) -> Callable[[Case, Columns], None]:
    def change(case: Case, columns: Columns) -> None:
        columns[name] = columns[name].copy()
        columns[name][find_row(case, sign)] += amount

    return change


def combine(*changes: Callable[[Case, Columns], None]) -> Callable[[Case, Columns], None]:
    def change(case: Case, columns: Columns) -> None:
        for part in changes:
            part(case, columns)

    return change


def swap_rows(case: Case, columns: Columns) -> None:
    a, b = find_row(case, 0), find_row(case, 1)
    for name in columns:
        columns[name] = columns[name].copy()
        columns[name][[a, b]] = columns[name][[b, a]]


def swap_blocks(case: Case, columns: Columns) -> None:
    for name in columns:
        columns[name] = np.concatenate([columns[name][8:], columns[name][:8]])


def wake_padding(case: Case, columns: Columns) -> None:
    """A padding row of the output layer gets u = y + o = 2053: it saturates nothing, and looks like any row."""
    for name in ("u", "y"):
        columns[name] = columns[name].copy()
        columns[name][case.model.layout.row_starts[1] + 7] += 5


def shift_accumulator(columns: Columns, layer: Layer, row: int, amount: int) -> None:
    """The row another accumulator would have given, every column right for it."""
    shift = layer.operator.shift
    total = ((int(columns["h"][row]) * 4096 + int(columns["u"][row])) << shift) + int(columns["r0"][row]) + amount
    total += int(columns["r1"][row]) << 12 if shift == LIMB_SHIFT else 0
    for name, values in compute_rows(layer, np.array([total - layer.constant])).items():
        columns[name] = columns[name].copy()
        columns[name][row] = int(values[0])


def pay_with_accumulator(case: Case, columns: Columns) -> None:
    """A bias nobody committed to has paid for another output."""
    shift_accumulator(columns, case.model.layout.layers[1], find_row(case, 0), 1 << 12)


def flip_sign(case: Case, columns: Columns) -> None:
    """c of a row clamped above is −1, and y the lower end."""
    row = find_row(case, 1)
    for name, value in (("c", -1), ("y", -2048)):
        columns[name] = columns[name].copy()
        columns[name][row] = value


LIES = {
    "wrong y": add("y", 1),
    "wrong lower limb": add("r0", 1),
    "limb outside the table": combine(add("r0", 4096), add("u", -1), add("y", -1)),
    "high limb outside the table": add("r1", 4096),
    "u below zero": combine(add("u", -4096), add("h", 1)),
    "h off by one, unpaid": add("h", 1, sign=1),
    "h nonzero in an unclamped row": combine(add("h", 1), add("u", -4096), add("y", -4096)),
    "c swapped": flip_sign,
    "c zero in a clamped row": combine(add("c", -1, sign=1)),
    "c two": add("c", 1, sign=1),
    "rows swapped": swap_rows,
    "blocks swapped": swap_blocks,
    "padding alive": wake_padding,
    "a bias that pays": pay_with_accumulator,
}


def read_output(case: Case, columns: Columns) -> Integers:
    """What the changed rows give, brought into range: the output the liar claims."""
    start = case.model.layout.row_starts[1]
    return np.clip(columns["y"][start : start + 5].astype(np.int64), -2048, 2047)


def tell(case: Case, lie: str, **options: Any) -> None:
    """Forge and verify; the ProofError is the caller's to expect."""
    columns = dict(case.compute_columns())
    LIES[lie](case, columns)
    proof, statement = forge(case, lambda c: c.update(columns), y=read_output(case, columns), **options)
    case.verify(proof, statement)


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_reaches_the_last_check_and_no_further(case: Case, lie: str) -> None:
    with pytest.raises(ProofError) as refusal:
        tell(case, lie)
    assert refusal.value.what == "opening"


@pytest.mark.parametrize("lie", LIES)
def test_unrepaired_lies_are_refused(case: Case, lie: str) -> None:
    with pytest.raises(ProofError):
        tell(case, lie, repair_rows=None, repair_linear=None)


@pytest.mark.parametrize("repair", REPAIRS)
@pytest.mark.parametrize("linear", ["rest", "weights 0", "weights 1", "operand 1"])
def test_every_repair_is_seen(case: Case, repair: str, linear: str) -> None:
    for lie in ("wrong y", "a bias that pays"):
        with pytest.raises(ProofError) as refusal:
            tell(case, lie, repair_rows=repair, repair_linear=linear)
        assert refusal.value.what == "opening"


def test_the_liar_is_believed_when_it_tells_the_truth(case: Case) -> None:
    """Otherwise its rejections would show nothing."""
    proof, statement = forge(case)
    case.verify(proof, statement)
    assert proof == case.prove()


@pytest.mark.parametrize("change", [{0: 1, 1: -1}, {0: 1}, {5: 1 << 200}], ids=["moved", "added", "wrapped"])
def test_multiplicities_pay_for_nothing(case: Case, change: dict[int, int]) -> None:
    for lie in ("wrong y", "limb outside the table"):
        columns = dict(case.compute_columns())
        LIES[lie](case, columns)
        statement = case.state(y=read_output(case, columns))
        honest = forge(case)[0]
        liar = _make_liar(case, columns, statement)
        liar.multiplicity_change = change
        with pytest.raises(ProofError):
            case.verify(liar.run(), statement)
        assert honest == case.prove()


def _make_liar(case: Case, columns: Columns, statement: Statement) -> Liar:
    return Liar(case, statement, Trace(columns, collect_tensors(case, columns)))


@pytest.mark.parametrize("index", [0, 1, 63, -1])
@pytest.mark.parametrize("place", ["low", "high"])
def test_no_part_absorbs_a_false_value(case: Case, place: str, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """V missing from the middle of T is put into A or B instead, at either end of them."""

    def absorb(liar: Liar, config: opening.Config, functionals: opening.Functionals, product: Vector, value: int) -> object:
        missing = product[config.length - 1] - value
        at = (config.length - 2 if index == -1 else min(index, config.length - 2)) + (config.length if place == "high" else 0)
        product = product.copy()
        product[at] = (product[at] + missing) % MODULUS
        return opening.prove_product(config, liar.transcript, functionals, liar.chunks, product)

    monkeypatch.setattr(Liar, "open_product", absorb)
    with pytest.raises(ProofError) as refusal:
        tell(case, "wrong y")
    assert refusal.value.what == "opening"
