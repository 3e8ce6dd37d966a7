"""Lies about the rows of a proof, by name: what is changed in a trace before a liar proves it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from circuits.layers.axes import Kernel
from circuits.layers.linear import make_dense
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.layout import LIMB_SHIFT, Layer
from circuits.network import Operator
from circuits.proof_bytes import Proof
from circuits.statement import Statement
from circuits.trace import Trace, compute_rows
from tests.soundness.dishonest import EVERYWHERE, Repairs, copy_trace, forge
from tests.soundness.networks import CONTRACT, RECTIFIED, SIGNED, Case, direct, make_case, make_chain, make_network, window
from tests.soundness.zoo import copy, linear

Change = Callable[[Case, Trace], None]
Forged = tuple[Proof, Statement]


@cache
def make_chain_case() -> Case:
    """Two layers of eight rows, one of them all true; both shifts; saturated rows of both signs in the last layer."""
    case = make_case(make_chain([5, 8, 5], [24, 12], [RECTIFIED, SIGNED]), seed=28, size=1 << 12, chunk_bits=6)
    assert {-1, 0, 1} <= set(case.trace().columns["c"][8:13].tolist())
    return case


@cache
def make_lookup_case() -> Case:
    """Two tables behind a layer, each looked up in a block of its own with two rows of padding; the output is looked up."""
    operators: list[Operator] = [make_dense(0, (5,), 6, 12, SIGNED), Table(1, (6,), 0, SIGNED), Table(2, (6,), 1, RECTIFIED)]
    return make_case(make_network((5,), operators), seed=3)


@cache
def make_mapped_case() -> Case:
    """A convolution of a convolution, and a slice of both: four terms are read through maps, three of them of computed tensors."""
    first = Term(0, (CONTRACT, window(1, 3, Kernel.WEIGHTED, offset=-1)), Weights.PARAMETERS)
    second = Term(1, (CONTRACT, window(1, 3, Kernel.WEIGHTED, 1, 2, -2)), Weights.PARAMETERS)
    ends = [copy(number, direct(0), window(1, 2, Kernel.SUMMED, 2), coefficient=1500) for number in (1, 2)]
    operators: list[Operator] = [linear((3, 5), first, bias=0), linear((3, 5), second, bias=0), linear((3, 2), *ends)]
    return make_case(make_network((2, 5), operators), seed=4)


# ---- rescale rows ----------------------------------------------------------------------------------------------------------------------


def find_row(case: Case, sign: int, layer: int = -1) -> int:
    """A true row of a layer (the last one if not told) with that c, and room in u for the lies below."""
    found, columns = case.layout.layers[layer], case.trace().columns
    start = case.layout.rows.starts[found.index]
    return next(r for r in range(start, start + found.operator.shape[-1]) if columns["c"][r] == sign and 1 <= columns["u"][r] < 4095)


def add(name: str, amount: int, sign: int = 0) -> Change:
    def change(case: Case, trace: Trace) -> None:
        trace.columns[name][find_row(case, sign)] += amount

    return change


def combine(*changes: Change) -> Change:
    def change(case: Case, trace: Trace) -> None:
        for part in changes:
            part(case, trace)

    return change


def swap_rows(case: Case, trace: Trace) -> None:
    a, b = find_row(case, 0), find_row(case, 1)
    for values in trace.columns.values():
        values[[a, b]] = values[[b, a]]


def swap_blocks(case: Case, trace: Trace) -> None:
    for values in trace.columns.values():
        values[:] = np.concatenate([values[8:], values[:8]])


def wake_padding(case: Case, trace: Trace) -> None:
    """A padding row of the output layer gets five units more: it saturates nothing, and looks like any row."""
    for name in ("u", "y"):
        trace.columns[name][case.layout.rows.starts[1] + 7] += 5


def shift_accumulator(trace: Trace, layer: Layer, row: int, amount: int) -> None:
    """The row another accumulator would have given, every column right for it."""
    columns, shift = trace.columns, layer.operator.shift
    total = ((int(columns["h"][row]) * 4096 + int(columns["u"][row])) << shift) + int(columns["r0"][row]) + amount
    total += int(columns["r1"][row]) << 12 if shift == LIMB_SHIFT else 0
    for name, values in compute_rows(layer, np.array([total - layer.constant])).items():
        columns[name][row] = int(values[0])


def pay_with_accumulator(case: Case, trace: Trace) -> None:
    """A bias nobody committed to has paid for another output."""
    shift_accumulator(trace, case.layout.layers[-1], find_row(case, 0), 1 << 12)


def flip_sign(case: Case, trace: Trace) -> None:
    """c of a row clamped above is −1, and y the lower end."""
    row = find_row(case, 1)
    trace.columns["c"][row], trace.columns["y"][row] = -1, -2048


ROW_LIES: dict[str, Change] = {
    "wrong y": add("y", 1),
    "wrong lower limb": add("r0", 1),
    "limb outside the table": combine(add("r0", 4096), add("u", -1), add("y", -1)),
    "high limb outside the table": add("r1", 4096),
    "u below zero": combine(add("u", -4096), add("h", 1)),
    "h off by one, unpaid": add("h", 1, sign=1),
    "h nonzero in an unclamped row": combine(add("h", 1), add("u", -4096), add("y", -4096)),
    "h beyond the static bound": combine(add("h", 4097, sign=1)),
    "c swapped": flip_sign,
    "c zero in a clamped row": combine(add("c", -1, sign=1)),
    "c two": add("c", 1, sign=1),
    "rows swapped": swap_rows,
    "blocks swapped": swap_blocks,
    "padding alive": wake_padding,
    "a bias that pays": pay_with_accumulator,
}


# ---- lookup rows -----------------------------------------------------------------------------------------------------------------------


def answer_wrongly(case: Case, trace: Trace) -> None:
    """A result that no table has at x."""
    trace.looked.y[find_lookup(case)] += 1


def answer_from_another_table(case: Case, trace: Trace) -> None:
    """The tag of the other table, and its result."""
    row, other = find_lookup(case), 1
    trace.looked.tag[row] = other
    trace.looked.y[row] = case.model.parameters.tables[other - 1][trace.looked.index[row]]


def answer_from_the_range(case: Case, trace: Trace) -> None:
    """Tag 0: y is what the range's entries have in that place, nothing."""
    row = find_lookup(case)
    trace.looked.tag[row], trace.looked.y[row] = 0, 0


def answer_another_question(case: Case, trace: Trace) -> None:
    """Another x, and its result."""
    row = find_lookup(case)
    trace.looked.index[row] = (trace.looked.index[row] + 1) % 4096
    trace.looked.y[row] = case.model.parameters.tables[1][trace.looked.index[row]]


def answer_unasked(case: Case, trace: Trace) -> None:
    """A padding row has a result, looked up like any."""
    row = find_lookup(case) + 7
    trace.looked.y[row], trace.looked.active[row] = case.model.parameters.tables[1][trace.looked.index[row]], 1


def answer_from_nowhere(case: Case, trace: Trace) -> None:
    """A true row looks nothing up."""
    row = find_lookup(case)
    trace.looked.active[row] = 0
    trace.looked.y[row] += 1


def speak_in_padding(case: Case, trace: Trace) -> None:
    """A padding row has a result, and looks nothing up."""
    trace.looked.y[find_lookup(case) + 7] = 5


def swap_answers(case: Case, trace: Trace) -> None:
    row = find_lookup(case)
    trace.looked.y[[row, row + 1]] = trace.looked.y[[row + 1, row]]


def find_lookup(case: Case) -> int:
    """The first row of the last table, whose result can grow by one."""
    start = case.layout.look.starts[case.layout.lookups[-1].index]
    assert 0 < case.trace().looked.y[start] < 4095
    return start


LOOKUP_LIES: dict[str, Change] = {
    "result in no table": answer_wrongly,
    "result of another table": answer_from_another_table,
    "result of the range": answer_from_the_range,
    "looked up at another x": answer_another_question,
    "padding looked up": answer_unasked,
    "row that looks nothing up": answer_from_nowhere,
    "padding alive": speak_in_padding,
    "results swapped": swap_answers,
}


def tell(case: Case, change: Change, repairs: Repairs = EVERYWHERE, **options: Any) -> Forged:
    """A proof of changed rows."""
    trace = copy_trace(case.trace())
    change(case, trace)
    return forge(case, trace, repairs, **options)
