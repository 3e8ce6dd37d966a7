"""Each check and each claim of the verifier is taken away by name, and a forged proof that it alone refused is accepted.

So every check carries weight, and this suite fails if one stops being called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from circuits.claims import Claim, ClaimList
from circuits.commitment import INFINITY
from circuits.multilinear import evaluate_tensor
from circuits.proof_error import ProofError
from circuits.protocols import linear, maps, opening, rows
from circuits.trace import Trace
from tests.soundness.deleting import check_only, delete_claim, delete_require
from tests.soundness.dishonest import LOOKUP_TOTALS, NOWHERE, Liar, Repairs, change_y, copy_trace, forge, read_output, read_tensors
from tests.soundness.lies import (
    LOOKUP_LIES,
    ROW_LIES,
    Change,
    Forged,
    find_lookup,
    find_row,
    make_chain_case,
    make_lookup_case,
    make_mapped_case,
    shift_accumulator,
    tell,
)
from tests.soundness.networks import Case, direct, make_case, make_network, shared
from tests.soundness.zoo import beside, copy, make_zoo, product
from tests.soundness.zoo import linear as make_linear

Patch = pytest.MonkeyPatch


# ---- checks by name ------------------------------------------------------------------------------------------------------------------


def test_rows(monkeypatch: Patch) -> None:
    case = make_chain_case()
    forged = tell(case, ROW_LIES["wrong y"], NOWHERE)
    check_only(case, lambda: forged, lambda: delete_require(monkeypatch, rows, "rows and table"))


def test_lookup_rows(monkeypatch: Patch) -> None:
    """The same check, for a result that no table has."""
    case = make_lookup_case()
    forged = tell(case, LOOKUP_LIES["row that looks nothing up"], NOWHERE)
    check_only(case, lambda: forged, lambda: delete_require(monkeypatch, rows, "rows and table"))


def test_linear(monkeypatch: Patch) -> None:
    case = make_chain_case()
    forged = tell(case, ROW_LIES["a bias that pays"], NOWHERE)
    check_only(case, lambda: forged, lambda: delete_require(monkeypatch, linear, "linear layers"))


def pay_in_the_last_layer(case: Case, trace: Trace) -> None:
    layer = case.layout.layers[-1]
    shift_accumulator(trace, layer, case.layout.rows.starts[layer.index], 1 << layer.operator.shift)


def test_maps(monkeypatch: Patch) -> None:
    case = make_mapped_case()
    forged = tell(case, pay_in_the_last_layer, Repairs(None, "operand 2.0", None))
    check_only(case, lambda: forged, lambda: delete_require(monkeypatch, maps, "maps"))


def test_opening(monkeypatch: Patch) -> None:
    case = make_chain_case()
    forged = tell(case, ROW_LIES["wrong y"])
    check_only(case, lambda: forged, lambda: delete_require(monkeypatch, opening, "opening"))


def test_a_combination_that_vanishes(monkeypatch: Patch) -> None:
    """Not a forgery: the precompile's compressed form of infinity is refused here as it is on chain."""
    case = make_chain_case()
    proof = case.prove()
    monkeypatch.setattr(opening, "combine", lambda points, scalars: INFINITY)
    with pytest.raises(ProofError, match="opening: the combination"):
        case.verify(proof)


# ---- claims of the rows ----------------------------------------------------------------------------------------------------------------

ROW_CLAIMS = {
    "total y": "y",
    "total u": "u",
    "total h": "h",
    "total c": "c",
    "total r1": "r1",
    "total H": "H",
    "table_helpers": "G",
    "multiplicities": "m",
}


@pytest.mark.parametrize("claim", ROW_CLAIMS)
def test_claims_of_the_rows(claim: str, monkeypatch: Patch) -> None:
    """A total that nobody opens takes any value, and pays for a wrong y (`total y` pays with itself)."""
    case = make_chain_case()

    def forge_it() -> Forged:
        for amount in range(1, 8):
            trace = copy_trace(case.trace())
            trace.columns["y"][find_row(case, 0)] -= amount
            try:
                return forge(case, trace, Repairs(ROW_CLAIMS[claim]))
            except LookupError:  # the cubic in c has no root for this lie
                continue
        raise AssertionError("no lie found a root")

    check_only(case, forge_it, lambda: delete_claim(monkeypatch, claim))


# ---- claims of the lookups ---------------------------------------------------------------------------------------------------------------


def test_what_is_looked_up(monkeypatch: Patch) -> None:
    """Another x and its result: every equation holds, and only the operand's own rows say that x was another."""
    case = make_lookup_case()
    check_only(case, lambda: tell(case, LOOKUP_LIES["looked up at another x"], NOWHERE), lambda: delete_claim(monkeypatch, "looked up"))


@pytest.mark.parametrize(("claim", "value"), [("result of a lookup", 1), ("total H of lookups", 2)])
def test_claims_of_the_lookups(claim: str, value: int, monkeypatch: Patch) -> None:
    """A total that nobody opens pays for a wrong result."""
    case = make_lookup_case()
    repairs = Repairs(LOOKUP_TOTALS[value])
    check_only(case, lambda: tell(case, LOOKUP_LIES["row that looks nothing up"], repairs), lambda: delete_claim(monkeypatch, claim))


class TableForger(Liar):
    """Works with another table than the committed one."""

    def __init__(self, case: Case, statement: Any, trace: Trace, entry: int, value: int) -> None:
        super().__init__(case, statement, trace, NOWHERE)
        tables = [table.copy() for table in case.model.parameters.tables]
        tables[1][entry] = value
        self.model = replace(case.model, parameters=replace(case.model.parameters, tables=tuple(tables)))


def test_tables(monkeypatch: Patch) -> None:
    """A table with another entry, never committed: only the claim on its value at σ sees it."""
    case = make_lookup_case()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        row = find_lookup(case)
        entry = int(trace.looked.index[row])
        same = np.flatnonzero((trace.looked.tag == 2) & (trace.looked.index == entry) & (trace.looked.active == 1))
        trace.looked.y[same] += 1
        statement = case.state(y=read_output(case, trace))
        return TableForger(case, statement, read_tensors(case, trace), entry, int(trace.looked.y[row])).run(), statement

    check_only(case, forge_it, lambda: delete_claim(monkeypatch, "tables"))


OUTSIDE = [(make_chain_case, ROW_LIES["limb outside the table"]), (make_lookup_case, LOOKUP_LIES["result in no table"])]


@pytest.mark.parametrize(("make", "lie"), OUTSIDE, ids=["limb", "result"])
def test_sum_of_helpers(make: Callable[[], Case], lie: Change, monkeypatch: Patch) -> None:
    """A value outside its table, with its own pole: only ΣH = ΣG sees that no entry pays for it."""
    check_only(make(), lambda: tell(make(), lie, NOWHERE), lambda: delete_claim(monkeypatch, "sum of helpers"))


# ---- claims of the linear step -----------------------------------------------------------------------------------------------------------


def make_product_case() -> Case:
    """Products of two computed tensors: both sides are sent, one as weights."""
    halves = [make_linear((4, 3), copy(0, direct(0), direct(1), coefficient=c)) for c in (2048, -1024)]
    axes = (shared(0), shared(1))
    return make_case(make_network((4, 3), [*halves, make_linear((4, 3), product(1, axes, 2, beside(0), beside(1)))]), seed=2)


LINEAR_CLAIMS: list[tuple[Callable[[], Case], str, str]] = [
    (make_chain_case, "rest", "rest"),
    (make_chain_case, "weights 0.0", "weights 0.0"),
    (make_chain_case, "weights 1.0", "weights 1.0"),
    (make_chain_case, "operand 1.0", "operand 1.0"),
    (make_product_case, "weights 2.0", "weights 2.0"),
    (make_product_case, "operand 2.0", "operand 2.0"),
]


@pytest.mark.parametrize(("make", "claim", "value"), LINEAR_CLAIMS)
def test_claims_of_the_linear_step(make: Callable[[], Case], claim: str, value: str, monkeypatch: Patch) -> None:
    """A value at σ or ρ that nobody opens pays for another accumulator."""
    case = make()
    check_only(case, lambda: tell(case, pay_in_the_last_layer, Repairs(None, value)), lambda: delete_claim(monkeypatch, claim))


@pytest.mark.parametrize("number", range(3))
def test_claims_at_theta(number: int, monkeypatch: Patch) -> None:
    case = make_mapped_case()
    name = ["1.0", "2.0", "2.1"][number]
    forge_it = lambda: tell(case, pay_in_the_last_layer, Repairs(None, "operand 2.0", number))  # noqa: E731
    check_only(case, forge_it, lambda: delete_claim(monkeypatch, f"mapped {name}"))


@pytest.mark.parametrize("make", [make_chain_case, make_lookup_case])
def test_output(make: Callable[[], Case], monkeypatch: Patch) -> None:
    case = make()
    forge_it = lambda: forge(case, case.trace(), NOWHERE, y=change_y(case))  # noqa: E731
    check_only(case, forge_it, lambda: delete_claim(monkeypatch, "output"))


def test_every_claim_has_a_deletion(monkeypatch: Patch) -> None:
    """A claim added later must join the tests above."""
    seen: set[str] = set()
    whole = ClaimList.make

    def make(self: ClaimList) -> list[Claim]:
        made = whole(self)
        seen.update(claim.name for claim in made)
        return made

    monkeypatch.setattr(ClaimList, "make", make)
    for network in make_zoo().values():
        make_case(network).prove()
    kinds = {name.split(" ")[0] if name.split(" ")[0] in ("weights", "operand", "mapped") else name for name in seen}
    of_lookups = {"looked up", "result of a lookup", "total H of lookups", "tables"}
    assert kinds == {*ROW_CLAIMS, *of_lookups, "sum of helpers", "rest", "weights", "operand", "mapped", "output"}


# ---- the public input ------------------------------------------------------------------------------------------------------------------

PUBLIC_INPUTS = {"dense": "read directly", "conv": "read through a map", "tables on the input": "looked up", "attention": "as weights"}


@pytest.mark.parametrize("name", PUBLIC_INPUTS)
def test_input(name: str, monkeypatch: Patch) -> None:
    """The verifier evaluates the statement's input itself, wherever it is read; evaluating another is all a forgery needs."""
    case = make_case(make_zoo()[name])
    x = case.x.copy()
    x[0] += 1 if x[0] < 2047 else -1

    def forge_it() -> Forged:
        statement = case.state(x=x, y=case.y)
        liar = Liar(case, statement, case.trace(), NOWHERE)
        liar.statement = case.state()  # what it proves; the transcript has the other input already
        return liar.run(), statement

    def evaluate_other(values: Any, shape: Any, point: Any) -> int:
        return evaluate_tensor(case.x if values.tolist() == x.tolist() else values, shape, point)

    def weaken() -> None:
        for module in ("circuits.verifier", "circuits.claims"):
            monkeypatch.setattr(f"{module}.evaluate_tensor", evaluate_other)

    check_only(case, forge_it, weaken)
