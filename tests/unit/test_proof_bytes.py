"""Every field of a proof and every byte of a statement, changed by name: refused."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from py_arkworks_bls12381 import G1Point

from circuits import engine
from circuits.commitment import INFINITY, read_point
from circuits.committed import VerifyingModel
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, SCALAR_BYTES, encode_scalar
from circuits.layers.table import Table
from circuits.network import Operator
from circuits.proof_bytes import POINT_FIELDS, Proof, count_fields, decode_proof, encode_proof, list_row_degrees
from circuits.proof_error import ProofError
from circuits.protocols.rows import drop_zeros
from circuits.verifier import verify_statement
from tests.soundness.networks import SIGNED, Case, direct, make_case, make_dense, make_network, step
from tests.soundness.zoo import copy, linear

REFERENCE: Any = import_module("py_ecc.optimized_bls12_381")
BASE = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
FIELDS = [field.name for field in fields(Proof)]
GENERATOR = bytes(G1Point().to_xy_bytes_be())


@pytest.fixture(scope="module")
def case() -> Case:
    """Every field of a proof is used: both shifts, a table, operands behind index maps, several chunks."""
    operators: list[Operator] = [
        make_dense(0, (3, 2), 3, 24, SIGNED, 1),
        Table(1, (3, 3), 0, SIGNED),
        linear((3, 3), copy(2, direct(0), step(1, -1, 2), coefficient=3000), copy(1, step(0, 1, -1), direct(1), coefficient=2000)),
        make_dense(3, (3, 3), 2, 12, SIGNED),
    ]
    return make_case(make_network((3, 2), operators), seed=4, size=1 << 18, chunk_bits=9)


@pytest.fixture(scope="module")
def proof(case: Case) -> Proof:
    return case.prove()


@pytest.fixture(scope="module")
def content(case: Case, proof: Proof) -> bytes:
    return encode_proof(proof, case.layout)


def test_the_fixture_uses_every_field(case: Case) -> None:
    counts = count_fields(case.layout)
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
        changed = [engine.combine([value, GENERATOR], [1, 1]), INFINITY] if name in POINT_FIELDS else [(value + 1) % MODULUS, 0]
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
            case.verify(decode_proof(bytes(changed), case.layout), statement)


@pytest.mark.parametrize("change", [lambda c: c + b"\x00", lambda c: c[:-1], lambda c: b"", lambda c: c + c, lambda c: c[:4] + c[36:]])
def test_another_length(case: Case, content: bytes, change: Any) -> None:
    with pytest.raises(ProofError, match="proof length"):
        decode_proof(change(content), case.layout)


def test_another_version(case: Case, content: bytes) -> None:
    with pytest.raises(ProofError, match="proof version"):
        decode_proof(b"AFP1" + content[4:], case.layout)


@pytest.mark.parametrize("data", [None, "AFP2", bytearray(b"AFP2"), memoryview(b"AFP2"), 1])
def test_not_bytes(case: Case, data: object) -> None:
    with pytest.raises(ProofError):
        decode_proof(data, case.layout)


def test_decoding_gives_back_the_proof(case: Case, proof: Proof, content: bytes) -> None:
    assert decode_proof(content, case.layout) == proof


def test_scalars_are_reduced(case: Case, proof: Proof, content: bytes) -> None:
    """The same value plus r would verify if it were reduced silently."""
    points = sum(
        count for name, count in count_fields(case.layout).items() if name in ("trace", "multiplicities", "helpers", "table_helpers")
    )
    start = 4 + 96 * points
    value = int.from_bytes(content[start : start + 32], "big")
    assert value == proof.row_rounds[0]
    for other in (value + MODULUS, MODULUS, (1 << 256) - 1):
        if other < 1 << 256:
            with pytest.raises(ProofError, match="below r"):
                decode_proof(content[:start] + other.to_bytes(32, "big") + content[start + 32 :], case.layout)


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
    good = GENERATOR
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
        read_point(bad_points()[name], "point")


def test_infinity_has_one_encoding() -> None:
    assert read_point(bytes(96), "point") == INFINITY
    assert engine.combine([GENERATOR], [0]) == INFINITY


def test_points_of_another_length() -> None:
    for data in (b"", GENERATOR[:48], GENERATOR[:95], GENERATOR + b"\x00", bytes(G1Point().to_compressed_bytes())):
        with pytest.raises(ProofError):
            read_point(data, "point")


@pytest.mark.parametrize("name", POINT_FIELDS)
def test_bad_points_in_a_proof(case: Case, proof: Proof, name: str) -> None:
    """Each field's points are read one by one, with the subgroup."""
    for bad in bad_points().values():
        points = (*getattr(proof, name)[:-1], bad)
        with pytest.raises(ProofError, match=name):
            decode_proof(encode_proof(replace(proof, **{name: points}), case.layout), case.layout)


@pytest.mark.parametrize("name", FIELDS)
def test_only_whole_proofs_are_encoded(case: Case, proof: Proof, name: str) -> None:
    with pytest.raises(InvariantBroken, match=name):
        encode_proof(replace(proof, **{name: getattr(proof, name)[1:]}), case.layout)


@pytest.mark.parametrize("name", ["row_rounds", "linear_rounds", "map_rounds"])
def test_the_protocols_take_whole_messages(case: Case, proof: Proof, name: str) -> None:
    """Lengths are the decoder's to refuse; past it, a cut message is a bug and not the prover's fault."""
    cut = replace(proof, **{name: getattr(proof, name)[:-1]})
    verifying = case.model.verifying
    with pytest.raises((InvariantBroken, ProofError)) as refusal:
        verify_statement(verifying, case.state(), cut, case.setup)
    assert refusal.type is InvariantBroken


def test_rounds_of_the_tables_alone_have_two_coefficients(case: Case, proof: Proof, content: bytes) -> None:
    """A message of such a round has no place for a third, whatever it is; a prover whose rows are not constant there stops."""
    layout = case.layout
    degrees = list_row_degrees(layout)
    late = degrees[layout.rows.bits :]
    assert late
    assert set(late) == {2}
    assert len(proof.row_rounds) == sum(degrees)
    start = content.index(encode_scalar(proof.row_rounds[0]))
    for scalar in (0, 1):
        for end in range(sum(degrees[: layout.rows.bits + 1]), sum(degrees) + 1, 2):
            place = start + SCALAR_BYTES * end
            with pytest.raises(ProofError, match="proof length"):
                decode_proof(content[:place] + encode_scalar(scalar) + content[place:], layout)
    assert drop_zeros([1, 2, 0, 0, 0], 2) == [1, 2]
    with pytest.raises(InvariantBroken, match="degree"):
        drop_zeros([1, 2, 0, 0, 3], 2)


def test_no_commitment_goes_unopened(case: Case, proof: Proof) -> None:
    verifying = VerifyingModel(case.layout, {**case.model.verifying.commitments, 99: GENERATOR}, case.model.verifying.model_id)
    with pytest.raises(InvariantBroken, match="never opened"):
        verify_statement(verifying, case.state(), proof, case.setup)
