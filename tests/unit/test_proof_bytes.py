"""Every field of a proof and every byte of a statement, changed by name: refused."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from py_arkworks_bls12381 import G1Point

from circuits.commitment import INFINITY, decode_point, encode_point
from circuits.committed import VerifyingModel
from circuits.errors import CircuitError, InvariantBroken
from circuits.field import MODULUS
from circuits.layers.linear import Linear
from circuits.proof_bytes import POINT_FIELDS, Proof, count_fields, decode_proof, encode_proof
from circuits.proof_error import ProofError
from circuits.prover import Prover
from circuits.statement import read_statement
from circuits.trace import compute_trace
from circuits.verifier import verify_statement
from tests.soundness.networks import CONTEXT, SIGNED, Case, make_case, make_network

REFERENCE: Any = import_module("py_ecc.optimized_bls12_381")
BASE = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
FIELDS = [field.name for field in fields(Proof)]


@pytest.fixture(scope="module")
def case() -> Case:
    """Every field of a proof is used: both shifts, two layers that read across padding, several chunks."""
    operators = [
        Linear(0, 3, 2, 3, 24, SIGNED),
        Linear(1, 1, 9, 6, 12, SIGNED),
        Linear(2, 2, 3, 2, 12, SIGNED),
        Linear(3, 1, 4, 2, 12, SIGNED),
    ]
    return make_case(make_network((3, 2), operators), seed=4, size=1 << 10, chunk_bits=9)


@pytest.fixture(scope="module")
def proof(case: Case) -> Proof:
    return case.prove()


@pytest.fixture(scope="module")
def content(case: Case, proof: Proof) -> bytes:
    return encode_proof(proof, case.model.layout)


def test_the_fixture_uses_every_field(case: Case) -> None:
    counts = count_fields(case.model.layout)
    assert list(counts) == FIELDS
    assert all(counts.values())


def refuse(case: Case, proof: Proof) -> None:
    with pytest.raises(ProofError):
        case.verify(proof)


@pytest.mark.parametrize("name", FIELDS)
def test_every_value_changed(case: Case, proof: Proof, name: str) -> None:
    """Each value of the field: one more, and nothing at all where it was something."""
    values: tuple[Any, ...] = getattr(proof, name)
    for index, value in enumerate(values):
        changed = [value + G1Point(), INFINITY] if name in POINT_FIELDS else [(value + 1) % MODULUS, 0]
        for other in changed:
            if other != value:
                refuse(case, replace(proof, **{name: (*values[:index], other, *values[index + 1 :])}))


@pytest.mark.parametrize("name", [n for n in FIELDS if n not in ("rest", "quotient")])
def test_neighbours_swapped(case: Case, proof: Proof, name: str) -> None:
    values = getattr(proof, name)
    for i in range(len(values) - 1):
        if values[i] != values[i + 1]:
            refuse(case, replace(proof, **{name: (*values[:i], values[i + 1], values[i], *values[i + 2 :])}))


def test_random_bytes_changed(case: Case, content: bytes) -> None:
    """Bits flipped anywhere: at decoding or in the protocol, but always refused."""
    rng, statement = np.random.default_rng(0), case.state()
    for position in rng.integers(0, len(content), 150):
        changed = bytearray(content)
        changed[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(ProofError):
            case.verify(decode_proof(bytes(changed), case.model.layout), statement)


@pytest.mark.parametrize("change", [lambda c: c + b"\x00", lambda c: c[:-1], lambda c: b"", lambda c: c + c, lambda c: c[:4] + c[36:]])
def test_another_length(case: Case, content: bytes, change: Any) -> None:
    with pytest.raises(ProofError, match="proof length"):
        decode_proof(change(content), case.model.layout)


def test_another_version(case: Case, content: bytes) -> None:
    with pytest.raises(ProofError, match="proof version"):
        decode_proof(b"AFP2" + content[4:], case.model.layout)


@pytest.mark.parametrize("data", [None, "AFP1", bytearray(b"AFP1"), memoryview(b"AFP1"), 1])
def test_not_bytes(case: Case, data: object) -> None:
    with pytest.raises(ProofError):
        decode_proof(data, case.model.layout)


def test_decoding_gives_back_the_proof(case: Case, proof: Proof, content: bytes) -> None:
    assert decode_proof(content, case.model.layout) == proof


def test_scalars_are_reduced(case: Case, proof: Proof, content: bytes) -> None:
    """The same value plus r would verify if it were reduced silently."""
    points = sum(
        count for name, count in count_fields(case.model.layout).items() if name in ("trace", "multiplicities", "helpers", "table_helpers")
    )
    start = 4 + 96 * points
    value = int.from_bytes(content[start : start + 32], "big")
    assert value == proof.row_rounds[0]
    for other in (value + MODULUS, MODULUS, (1 << 256) - 1):
        if other < 1 << 256:
            with pytest.raises(ProofError, match="below r"):
                decode_proof(content[:start] + other.to_bytes(32, "big") + content[start + 32 :], case.model.layout)


def find_point_outside() -> tuple[int, int]:
    """On the curve, outside the subgroup, by py_ecc."""
    x = 0
    while True:
        x += 1
        y = pow(x**3 + 4, (BASE + 1) // 4, BASE)
        point = tuple(REFERENCE.FQ(c) for c in (x, y, 1))
        if y * y % BASE == (x**3 + 4) % BASE and not REFERENCE.is_inf(REFERENCE.multiply(point, REFERENCE.curve_order)):
            assert REFERENCE.is_on_curve(point, REFERENCE.b)
            return x, y


def pack(x: int, y: int) -> bytes:
    return x.to_bytes(48, "big") + y.to_bytes(48, "big")


def bad_points() -> dict[str, bytes]:
    x, y = find_point_outside()
    good = encode_point(G1Point())
    gx, gy = int.from_bytes(good[:48], "big"), int.from_bytes(good[48:], "big")
    return {
        "outside the subgroup": pack(x, y),
        "off the curve": pack(gx, (gy + 1) % BASE),
        "x above p": pack(gx + BASE, gy),
        "y above p": pack(gx, gy + BASE),
        "infinity flag": b"\x40" + bytes(95),
        "compressed flag": b"\xc0" + bytes(95),
        "sign flag": bytes([good[0] | 0x20]) + good[1:],
        "compression bit": bytes([good[0] | 0x80]) + good[1:],
        "flag in y": good[:48] + bytes([good[48] | 0x40]) + good[49:],
        "x alone zero": pack(0, gy),
        "infinity as p": pack(BASE, BASE),
    }


@pytest.mark.parametrize("name", bad_points())
def test_bad_points(name: str) -> None:
    with pytest.raises(ProofError):
        decode_point(bad_points()[name], "point")


def test_infinity_has_one_encoding() -> None:
    assert decode_point(bytes(96), "point") == INFINITY
    assert encode_point(INFINITY) == bytes(96)


def test_a_library_that_reads_leniently_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoding is compared here, whatever the curve's library lets pass."""

    class Lenient:
        @staticmethod
        def from_xy_bytes_be(data: bytes) -> G1Point:
            return G1Point()

    monkeypatch.setattr("circuits.commitment.G1Point", Lenient)
    assert decode_point(encode_point(G1Point()), "point") == G1Point()
    with pytest.raises(ProofError, match="its only encoding"):
        decode_point(b"\x40" + bytes(95), "point")


@pytest.mark.parametrize("name", FIELDS)
def test_only_whole_proofs_are_encoded(case: Case, proof: Proof, name: str) -> None:
    with pytest.raises(InvariantBroken, match=name):
        encode_proof(replace(proof, **{name: getattr(proof, name)[1:]}), case.model.layout)


@pytest.mark.parametrize("name", ["row_rounds", "linear_rounds", "reshape_rounds"])
def test_the_protocols_take_whole_messages(case: Case, proof: Proof, name: str) -> None:
    """Lengths are the decoder's to refuse; past it, a cut message is a bug and not the prover's fault."""
    cut = replace(proof, **{name: getattr(proof, name)[:-1]})
    verifying = case.model.verifying
    with pytest.raises((InvariantBroken, ProofError)) as refusal:
        verify_statement(verifying, case.state(), cut, case.setup)
    assert refusal.type is InvariantBroken


def test_no_commitment_goes_unopened(case: Case, proof: Proof) -> None:
    verifying = VerifyingModel(case.model.layout, {**case.model.verifying.commitments, 99: G1Point()})
    with pytest.raises(InvariantBroken, match="never opened"):
        verify_statement(verifying, case.state(), proof, case.setup)


def test_the_honest_prover_proves_nothing_false(case: Case) -> None:
    """It stops before it opens a claim that its own commitments do not keep."""
    y = case.y.copy()
    y[0] += 1 if y[0] < 2047 else -1
    trace = compute_trace(case.model.layout, case.model.parameters, case.x)
    with pytest.raises(InvariantBroken, match="a claim that does not hold"):
        Prover(case.model, case.state(y=y), trace, case.setup).run()


# ---- the statement -------------------------------------------------------------------------------------------------------------------


def read(case: Case, x: Any = None, y: Any = None, context: Any = CONTEXT) -> None:
    network = case.network
    x = case.x.reshape(network.input.shape) if x is None else x
    y = case.y.reshape(network.output.shape) if y is None else y
    read_statement(network, x, y, context)


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


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_inputs(case: Case, name: str) -> None:
    read(case, GOOD)
    with pytest.raises(ProofError):
        read_statement(case.network, BAD_INPUTS[name], case.y.reshape(case.network.output.shape), CONTEXT)


@pytest.mark.parametrize("y", [[[1]], [[1, 2, 3]], [1, 2], [[1, 2048]], [[1, -2049]], [[1, 2.0]], [[True, 2]], [[[1, 2]]]])
def test_bad_outputs(case: Case, y: Any) -> None:
    read(case, y=[[1, 2]])
    with pytest.raises(ProofError):
        read(case, y=y)


@pytest.mark.parametrize("context", [b"", bytes(31), bytes(33), bytearray(32), "0" * 32, None, 0, memoryview(bytes(32))])
def test_bad_contexts(case: Case, context: Any) -> None:
    with pytest.raises(ProofError, match="context"):
        read(case, context=context)


def test_another_statement(case: Case, proof: Proof) -> None:
    """Output, input and context, each a little different."""
    y, x = case.y.copy(), case.x.copy()
    y[0] += 1 if y[0] < 2047 else -1
    x[0] += 1 if x[0] < 2047 else -1
    for statement in (case.state(y=y), case.state(x=x), case.state(context=CONTEXT[1:] + b"\x00")):
        with pytest.raises(ProofError):
            case.verify(proof, statement)


def test_refusals_are_theirs() -> None:
    assert issubclass(ProofError, CircuitError)
