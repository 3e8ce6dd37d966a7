"""Statements: every ambiguous, wrapping or misshapen input, output and context is refused before the first hash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.errors import CircuitError
from circuits.field import MODULUS
from circuits.layout import Layout
from circuits.network import Network
from circuits.proof_error import ProofError
from circuits.prover import commit_input
from circuits.statement import encode_tensor, read_statement
from tests.soundness.networks import CHUNK_BITS, CONTEXT, RECTIFIED, SIGNED, Case, make_case, make_chain, make_local_setup
from tests.soundness.zoo import make_zoo
from tests.unit.test_proof_bytes import bad_points

GOOD = [[1, 2], [3, 4], [5, 6]]
BOTTOMLESS: list[Any] = []
BOTTOMLESS.append(BOTTOMLESS)
BAD_INPUTS: dict[str, Any] = {
    "bottomless": BOTTOMLESS,
    "too short": [[1, 2], [3, 4]],
    "too long": [*GOOD, [7, 8]],
    "flat": [1, 2, 3, 4, 5, 6],
    "transposed": [[1, 2, 3], [4, 5, 6]],
    "batch of one": [GOOD],
    "ragged": [[1, 2], [3, 4], [5]],
    "above": [[1, 2], [3, 4], [5, 2048]],
    "below": [[1, 2], [3, 4], [5, -2049]],
    "huge": [[1, 2], [3, 4], [5, 1 << 80]],
    "modulus": [[1, 2], [3, 4], [5, MODULUS + 6]],
    "floats": [[1, 2], [3, 4], [5, 6.0]],
    "booleans": [[1, 2], [3, 4], [5, True]],
    "boolean array": np.ones((3, 2), dtype=bool),
    "float array": np.array(GOOD, dtype=np.float64),
    "wrapping": np.array(GOOD, dtype=np.uint64) + np.uint64((1 << 64) - 7),
    "objects": np.array(GOOD, dtype=object),
    "text": "123456",
    "none": None,
    "empty": [],
}


def make_layout(form: Any = SIGNED) -> Layout:
    """Three rows of two, to three rows of two."""
    return Layout(make_chain([2, 2], [12], [form], form, positions=3), CHUNK_BITS)


def read(x: Any = GOOD, y: Any = GOOD, context: Any = CONTEXT, form: Any = SIGNED) -> bytes:
    return read_statement(make_layout(form), x, y, context).input


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_inputs(name: str) -> None:
    read(x=GOOD)
    with pytest.raises(ProofError, match="input"):
        read(x=BAD_INPUTS[name])


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_outputs(name: str) -> None:
    with pytest.raises(ProofError, match="output"):
        read(y=BAD_INPUTS[name])


def test_ranges_are_the_formats() -> None:
    """4095 and no −1 where rectified."""
    read([[0, 4095], [3, 4], [5, 6]], form=RECTIFIED, y=[[0, 4095], [3, 4], [5, 6]])
    for bad in ([[0, 4096], [3, 4], [5, 6]], [[-1, 4], [3, 4], [5, 6]]):
        with pytest.raises(ProofError):
            read(bad, form=RECTIFIED)


@pytest.mark.parametrize("context", [b"", bytes(31), bytes(33), bytearray(32), "0" * 32, None, 0, memoryview(bytes(32))])
def test_bad_contexts(context: Any) -> None:
    with pytest.raises(ProofError, match="context"):
        read(context=context)


def test_statements_are_encoded_injectively() -> None:
    """Two bytes an entry: no value has the bytes of another, in either format."""
    for low, high in ((-2048, 2047), (0, 4095)):
        values = np.arange(low, high + 1)
        assert len({encode_tensor(values[i : i + 1]) for i in range(len(values))}) == 4096


def test_kinds_of_integers_make_no_difference() -> None:
    expected = read(x=GOOD)
    for kind in (np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint64):
        assert read(x=np.array(GOOD, dtype=kind)) == expected


# ---- a committed input -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def committed() -> Case:
    return make_case(make_zoo()["committed input"])


def read_committed(case: Case, content: Any) -> None:
    read_statement(case.layout, content, case.y.reshape(case.network.output.shape), CONTEXT)


def test_commitments_are_bytes_of_points(committed: Case) -> None:
    good = committed.state().input
    read_committed(committed, good)
    for bad in (b"", good[:-1], good + b"\x00", good + good, bytearray(good), good.hex(), None, [good], committed.x.reshape(5, 6)):
        with pytest.raises(ProofError, match="input"):
            read_committed(committed, bad)
    for bad in bad_points().values():
        with pytest.raises(ProofError, match="input"):
            read_committed(committed, bad)


def test_only_integers_in_range_are_committed(committed: Case) -> None:
    for bad in (2048, -2049):
        x = committed.x.reshape(5, 6).copy()
        x[4, 5] = bad
        with pytest.raises(ProofError):
            commit_input(committed.layout, x, make_local_setup(CHUNK_BITS))


def test_a_public_input_is_no_commitment() -> None:
    """And a commitment is no public input."""
    case = make_case(make_zoo()["dense"])
    with pytest.raises(ProofError):
        read_committed(case, bytes(96))


def test_the_descriptor_says_which_it_is() -> None:
    """The same operators on a public input are another network, with another model id."""
    network = make_zoo()["committed input"]
    public = Network(network.input, network.operators, network.output_operand, network.output)
    assert make_case(network).model.verifying.model_id != make_case(public).model.verifying.model_id


def test_refusals_are_theirs() -> None:
    assert issubclass(ProofError, CircuitError)
