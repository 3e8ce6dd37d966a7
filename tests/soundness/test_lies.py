"""Lies told by a prover that repairs every intermediate check: the opening sees them all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from circuits import engine
from circuits.engine import Vector
from circuits.errors import InvariantBroken
from circuits.field import MODULUS
from circuits.layout import Layout
from circuits.network import Network, make_input_identity
from circuits.proof_error import ProofError
from circuits.protocols import opening
from circuits.prover import Prover
from circuits.tensors import TensorType
from circuits.trace import Trace, compute_trace
from circuits.verifier import verify_statement
from tests.soundness.dishonest import (
    EVERYWHERE,
    LOOKUP_TOTALS,
    NOWHERE,
    Liar,
    Repairs,
    change_y,
    copy_trace,
    forge,
    read_output,
    read_tensors,
)
from tests.soundness.lies import (
    LOOKUP_LIES,
    ROW_LIES,
    Change,
    Forged,
    make_chain_case,
    make_lookup_case,
    make_mapped_case,
    shift_accumulator,
    tell,
)
from tests.soundness.networks import MERGED, SIGNED, Case, commit_case, direct, draw_input, make_case, make_network, merge, shared, step
from tests.soundness.zoo import beside, copy, linear, make_zoo, product

ZOO = make_zoo()
LIES: dict[str, tuple[Any, Change]] = {name: (make_chain_case, change) for name, change in ROW_LIES.items()}
LIES |= {f"lookup: {name}": (make_lookup_case, change) for name, change in LOOKUP_LIES.items()}


def refuse(case: Case, forged: Forged) -> str:
    """The name of the check that refuses the proof."""
    with pytest.raises(ProofError) as refusal:
        case.verify(*forged)
    return refusal.value.what


@pytest.mark.parametrize("name", LIES)
def test_every_lie_reaches_the_last_check_and_no_further(name: str) -> None:
    make, change = LIES[name]
    assert refuse(make(), tell(make(), change)) == "opening"


@pytest.mark.slow
@pytest.mark.parametrize("name", LIES)
def test_unrepaired_lies_are_refused(name: str) -> None:
    make, change = LIES[name]
    refuse(make(), tell(make(), change, NOWHERE))


ROWS = ["y", "u", "h", "r0", "r1", "H", "G", "m"]
STEPS = ["rest", "weights 0.0", "weights 1.0", "operand 1.0"]
MOST = [(rows, "rest") for rows in ROWS] + [("y", step) for step in STEPS[1:]]
OTHERS = [(rows, step) for rows in ROWS for step in STEPS if (rows, step) not in MOST]


def slow(values: list[tuple[str, str]]) -> list[Any]:
    return [pytest.param(*value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize(("rows", "linear_step"), MOST + slow(OTHERS))
def test_every_repair_of_a_rescale_is_seen(rows: str, linear_step: str) -> None:
    case = make_chain_case()
    for lie in ("wrong y", "a bias that pays"):
        assert refuse(case, tell(case, ROW_LIES[lie], Repairs(rows, linear_step))) == "opening"


OF_A_LOOKUP = [(rows, name) for rows in (*LOOKUP_TOTALS, "tables", "G", "m", "y") for name in LOOKUP_LIES]
FIRST = [pair for pair in OF_A_LOOKUP if pair[1] in ("result in no table", "looked up at another x")]


@pytest.mark.parametrize(("rows", "name"), FIRST + slow([pair for pair in OF_A_LOOKUP if pair not in FIRST]))
def test_every_repair_of_a_lookup_is_seen(rows: str, name: str) -> None:
    case = make_lookup_case()
    assert refuse(case, tell(case, LOOKUP_LIES[name], Repairs(rows, "rest"))) == "opening"


@pytest.mark.parametrize("linear_step", ["operand 0.0", "operand 1.0", "operand 2.0", "operand 2.1", "weights 1.0", "rest"])
@pytest.mark.parametrize("maps", [0, 1, 2])
def test_every_repair_of_an_operand_is_seen(linear_step: str, maps: int) -> None:
    """Wrong X at ρ, then a wrong x at θ that makes up for it."""
    case = make_mapped_case()
    layer = case.layout.layers[-1]
    lie: Change = lambda case, trace: shift_accumulator(trace, layer, case.layout.rows.starts[layer.index], 1 << 12)  # noqa: E731
    repairs = Repairs("y", linear_step, maps)
    assert refuse(case, tell(case, lie, repairs)) == "opening"
    if linear_step not in ("rest", "weights 1.0"):
        assert refuse(case, tell(case, lie, replace(repairs, maps=None))) == "maps"


def test_wrong_operands_of_the_first_layer_alone_cannot_be_repaired() -> None:
    """Every mapped operand is the public input: there is nothing to send at θ."""
    case = make_case(make_network((2, 5), [linear((2, 3), copy(0, direct(0), step(1, 1, 1)))]))
    lie: Change = lambda case, trace: shift_accumulator(trace, case.layout.layers[0], 0, 1 << 12)  # noqa: E731
    assert refuse(case, tell(case, lie, Repairs("y", "operand 0.0", 0))) == "maps"
    assert refuse(case, tell(case, lie, Repairs("y", "rest", 0))) == "opening"


# ---- every kind of network -----------------------------------------------------------------------------------------------------------


def list_repairs(case: Case) -> list[Repairs]:
    """Every value that the linear step could lie about."""
    terms = case.model.verifying.terms
    values = [f"weights {p.layer.index}.{p.number}" for p in terms.weighted] + [f"operand {p.layer.index}.{p.number}" for p in terms.sent]
    return [Repairs("y", value, 0) for value in ("rest", *values)]


@pytest.mark.parametrize("name", ZOO)
def test_the_liar_is_believed_when_it_tells_the_truth(name: str) -> None:
    """Otherwise its rejections would show nothing."""
    case = make_case(ZOO[name])
    proof, statement = forge(case, case.trace(), EVERYWHERE)
    case.verify(proof, statement)
    assert proof == case.prove()


@pytest.mark.parametrize("name", ZOO)
def test_no_accumulator_of_any_kind_can_be_changed(name: str) -> None:
    """One row of the first or last linear operator as another accumulator would have given it, paid for by each value in turn."""
    case = make_case(ZOO[name], seed=1)
    for number, repairs in enumerate(list_repairs(case)):
        layer = case.layout.layers[-1 if number % 2 == 0 else 0]
        trace = copy_trace(case.trace())
        shift_accumulator(trace, layer, case.layout.rows.starts[layer.index], 1 << layer.operator.shift)
        try:
            forged = forge(case, trace, repairs)
        except ValueError:  # a term that nothing reaches has factor 0, and pays for nothing
            continue
        assert refuse(case, forged) in ("opening", "maps")


@pytest.mark.parametrize("name", ZOO)
def test_no_output_of_any_kind_can_be_changed(name: str) -> None:
    case = make_case(ZOO[name], seed=2)
    assert refuse(case, forge(case, case.trace(), y=change_y(case))) == "opening"


# ---- another network's rows ------------------------------------------------------------------------------------------------------------


def pretend(case: Case, other: Network) -> Forged:
    """The rows of another network with the same layout, proven as if they were this one's."""
    layout = Layout(other, case.layout.chunk_bits)
    trace = compute_trace(layout, case.model.parameters, case.x)
    assert layout.rows == case.layout.rows
    assert read_output(case, trace).tolist() != case.y.tolist()
    return forge(case, trace)


def test_products_of_other_tensors() -> None:
    def make(operand: int, tensor: int) -> Network:
        halves = [linear((4, 3), copy(0, direct(0), direct(1), coefficient=c)) for c in (2048, -1024)]
        axes = (shared(0), shared(1))
        return make_network(
            (4, 3), [*halves, linear((4, 3), product(operand, axes, tensor, beside(0), beside(1)), copy(1, *D2), copy(2, *D2))]
        )

    case = make_case(make(1, 2))
    for other in (make(1, 1), make(2, 2), make(1, 0)):
        assert refuse(case, pretend(case, other)) == "opening"


D2 = (direct(0), direct(1))


def test_axes_merged_the_other_way() -> None:
    """b·A + a instead of a·B + b: what a merge of the transposed tensor is."""
    turned = linear((6, 5), copy(0, direct(1), direct(0)))
    kept = linear((5, 6), copy(0, direct(0), direct(1)))
    flat = linear((30,), copy(1, merge(0), MERGED))
    case = make_case(make_network((5, 6), [kept, flat]))
    wrong = make_case(make_network((5, 6), [turned, flat]))
    trace = copy_trace(case.trace())
    start = case.layout.rows.starts[1]
    for name, values in trace.columns.items():
        values[start : start + 32] = wrong.trace().columns[name][start : start + 32]
    assert refuse(case, forge(case, trace)) == "opening"


def test_windows_elsewhere() -> None:
    """One step aside, one stride further, or the other direction."""
    make = lambda *steps: make_network((5, 6), [linear((5, 4), copy(0, direct(0), step(1, *steps)))])  # noqa: E731
    case = make_case(make(1, 1))
    for other in (make(1, 2), make(2, 1), make(-1, 4), make(1, -1), make(1, 9)):
        assert refuse(case, pretend(case, other)) == "opening"


# ---- multiplicities --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{0: 1, 1: -1}, {0: 1}, {5: 1 << 60}, {4097: 1, 0: -1}], ids=["moved", "added", "huge", "across tables"])
@pytest.mark.parametrize("make", [make_chain_case, make_lookup_case])
def test_multiplicities_pay_for_nothing(make: Any, change: dict[int, int]) -> None:
    case = make()
    if max(change) >= case.layout.tag_count << 12:
        change = {0: 7, 1: -7}
    lies = (ROW_LIES if not case.layout.lookups else LOOKUP_LIES).values()
    for lie in list(lies)[:3]:
        trace = copy_trace(case.trace())
        lie(case, trace)
        statement = case.state(y=read_output(case, trace))
        liar = Liar(case, statement, read_tensors(case, trace))
        liar.multiplicity_change = change
        assert refuse(case, (liar.run(), statement)) == "opening"


# ---- the opening -----------------------------------------------------------------------------------------------------------------------


class AbsorbingLiar(Liar):
    """V missing from the middle of T is put into A or B instead, `index` entries from its start."""

    place, index = "low", 0

    def open_product(self, config: opening.Config, functionals: Any, product: Vector, value: int) -> Any:
        coefficients = engine.to_scalars(product)
        at = self.index % (config.length - 1) + (config.length if self.place == "high" else 0)
        coefficients[at] = (coefficients[at] + coefficients[config.length - 1] - value) % MODULUS
        return opening.prove_product(config, self.transcript, functionals, self.chunks, engine.from_scalars(coefficients))


@pytest.mark.parametrize("index", [0, 1, 62, -1])
@pytest.mark.parametrize("place", ["low", "high"])
def test_no_part_absorbs_a_false_value(place: str, index: int) -> None:
    case = make_chain_case()
    statement = case.state(y=change_y(case))
    liar = AbsorbingLiar(case, statement, case.trace())
    liar.place, liar.index = place, index
    assert refuse(case, (liar.run(), statement)) == "opening"


def test_the_honest_prover_proves_nothing_false() -> None:
    """It stops before it opens a claim that its own commitments do not keep."""
    case = make_chain_case()
    with pytest.raises(InvariantBroken, match="a claim that does not hold"):
        Prover(case.model, case.state(y=change_y(case)), case.trace(), case.setup).run()


# ---- statements ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dense", "conv", "tables on the input", "attention", "committed input"])
def test_a_proof_is_of_one_statement(name: str) -> None:
    """Another output, input or context, or a model of other weights: refused."""
    case = make_case(ZOO[name])
    proof, statement = case.prove(), case.state()
    case.verify(proof, statement)
    x = case.x.copy()
    x[0] += 1 if x[0] < case.network.input.format.high else -1
    for other in (case.state(y=change_y(case)), case.state(x=x), case.state(context=bytes(32))):
        refuse(case, (proof, other))
    rng = np.random.default_rng(77)
    stranger = make_case(case.network, seed=77)
    same_input = commit_case(case.network, stranger.model.parameters, draw_input(case.network, rng))
    if case.network.count_weights():
        refuse(same_input, (proof, statement))


def test_a_trace_is_no_free_choice() -> None:
    """The rows of another input, for the output they give."""
    case = make_chain_case()
    other = compute_trace(case.layout, case.model.parameters, -1 - case.x)
    trace = Trace(other.columns, other.looked, other.tensors)
    assert refuse(case, forge(case, trace)) == "opening"


@pytest.mark.parametrize("name", ["dense", "tables"])
def test_a_proof_is_of_one_model(name: str) -> None:
    """One bit of the id, one commitment moved, another model's commitments under this id, or this one's under another: refused."""
    case, other = make_case(ZOO[name]), make_case(ZOO[name], seed=9)
    proof, model = case.prove(), case.model.verifying
    points, numbers = list(model.commitments.values()), list(model.commitments)
    moved = dict(zip(numbers, [points[1], points[0], *points[2:]], strict=True))
    strangers = [
        replace(model, model_id=bytes([model.model_id[0] ^ 1]) + model.model_id[1:]),
        replace(model, commitments=moved),
        replace(model, commitments=other.model.verifying.commitments),
        replace(model, model_id=other.model.verifying.model_id),
    ]
    verify_statement(model, case.state(), proof, case.setup)
    for stranger in strangers:
        with pytest.raises(ProofError, match=r"opening|rows and table"):
            verify_statement(stranger, case.state(), proof, case.setup)


def test_a_committed_input_out_of_range_is_clamped_by_its_identity() -> None:
    """The identity is a rescale: its result is in range whatever was committed to. That the commitment itself is in range is not proven.

    One commitment has one output all the same.
    """
    case = make_case(
        make_network((4,), [make_input_identity(TensorType((4,), SIGNED, 0)), linear((4,), copy(1, direct(0)))], is_committed=True)
    )
    outside = np.array([5000, -300000, 7, -2049])
    trace = compute_trace(case.layout, case.model.parameters, outside)
    chunk = np.pad(outside, (0, (1 << case.layout.chunk_bits) - 4))
    for y, is_true in ((np.array([2047, -2048, 7, -2048]), True), (np.array([2046, -2048, 7, -2048]), False)):
        statement = replace(case.state(y=y), input=case.setup.powers.commit(chunk))
        liar = Liar(case, statement, trace)
        liar.chunks["input", 0] = chunk
        proof = liar.run()
        if is_true:
            case.verify(proof, statement)
        else:
            assert refuse(case, (proof, statement)) == "opening"
