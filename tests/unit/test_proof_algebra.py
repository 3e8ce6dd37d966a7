"""The pieces below the protocol, against definitions written out and against other libraries: py_ecc, ckzg."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import ckzg
import numpy as np
import pytest
from eth_utils.crypto import keccak
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from circuits.claims import Claim, Part
from circuits.commitment import INFINITY, combine, commit, encode_point
from circuits.committed import BINDING_TAG, commit_model
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, dot, encode_scalar, evaluate_polynomial, interpolate, invert, invert_all, to_vector
from circuits.layout import Layout
from circuits.model import CanonicalModel
from circuits.multilinear import compute_eq, compute_eq_table, compute_prefix_mask, evaluate, evaluate_matrix, split_bits
from circuits.network import encode_descriptor
from circuits.protocols import opening
from circuits.setup import Setup, SetupError, check_powers, find_ceremony_file, load_ceremony, parse_powers
from circuits.transcript import Transcript
from tests.soundness.networks import RECTIFIED, SECRET, SIGNED, make_chain, make_local_setup

REFERENCE: Any = import_module("py_ecc.optimized_bls12_381")
ROOT = Path(__file__).parents[2]


def draw(count: int, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int.from_bytes(rng.bytes(40), "big") % MODULUS for _ in range(count)]


def test_the_modulus_is_the_order_of_the_group() -> None:
    assert REFERENCE.curve_order == MODULUS


def test_inverses() -> None:
    values = draw(9)
    assert [v * i % MODULUS for v, i in zip(values, invert_all(values), strict=True)] == [1] * 9
    with pytest.raises(ValueError, match="invertible"):
        invert_all([*values, 0])
    with pytest.raises(ValueError, match="invertible"):
        invert(0)


def test_vectors_never_wrap() -> None:
    """int64 in, Python integers out: 2^40 squared twice is right."""
    vector = to_vector(np.array([1 << 40, -1], dtype=np.int64))
    assert [type(v) for v in vector] == [int, int]
    assert (vector * vector * vector * vector).tolist() == [1 << 160, (MODULUS - 1) ** 4]
    with pytest.raises(InvariantBroken):
        dot(vector, to_vector([1]))


def test_scalars_are_encoded_reduced() -> None:
    for bad in (-1, MODULUS):
        with pytest.raises(InvariantBroken):
            encode_scalar(bad)


def test_interpolation() -> None:
    coefficients = draw(7)
    assert interpolate([evaluate_polynomial(coefficients, x) for x in range(7)]) == coefficients


def test_multilinear_extensions() -> None:
    """eq by its definition at every corner; extensions by their sum; variable 0 is the lowest bit."""
    point, values = draw(4), to_vector(draw(16, 1))
    table = compute_eq_table(point)
    assert table.tolist() == [compute_eq(point, split_bits(i, 4)) for i in range(16)]
    assert evaluate(values, point) == dot(table, values)
    assert [evaluate(values, split_bits(i, 4)) for i in range(16)] == values.tolist()
    assert [compute_prefix_mask(point, n) for n in range(17)] == [int(table[:n].sum()) % MODULUS for n in range(17)]
    assert evaluate(values[:5], point) == dot(table[:5], values[:5])
    padded = to_vector(value for row in values[:9].reshape(3, 3).tolist() for value in [*row, 0])
    assert evaluate_matrix(values[:9], (3, 3), point[:2], point[2:]) == evaluate(padded, point)
    with pytest.raises(InvariantBroken):
        compute_prefix_mask(point, 17)


def test_the_transcript_byte_by_byte() -> None:
    """absorb and draw recomputed with a hash alone."""
    transcript = Transcript()
    transcript.absorb("tag", b"abc")
    transcript.absorb_scalars("scalars", [1, MODULUS - 1])
    state = keccak(bytes(32) + b"\x00" + b"\x00\x00\x00\x03" + b"abc")
    state = keccak(state + b"\x00" + b"\x00\x00\x00\x40" + (1).to_bytes(32, "big") + (MODULUS - 1).to_bytes(32, "big"))
    first = keccak(state + b"\x01")
    second = keccak(first + b"\x01")
    assert transcript.draw_many(2) == [int.from_bytes(h, "big") % MODULUS for h in (first, second)]


def test_commitments_agree_with_py_ecc() -> None:
    """Signed and large entries, over the first powers of the ceremony."""
    setup = load_ceremony()
    for chunk in ([3, -5, 0, 1 << 45], [MODULUS - 1, 7, 0, 1 << 200]):
        expected = REFERENCE.Z1
        for power, value in zip(setup.powers, chunk, strict=False):
            xy = bytes(power.to_xy_bytes_be())
            point = tuple(REFERENCE.FQ(c) for c in (int.from_bytes(xy[:48], "big"), int.from_bytes(xy[48:], "big"), 1))
            term = REFERENCE.multiply(point if value >= 0 else REFERENCE.neg(point), abs(value))
            expected = REFERENCE.add(expected, term)
        x, y = REFERENCE.normalize(expected)
        assert encode_point(commit(setup, chunk)) == int(x).to_bytes(48, "big") + int(y).to_bytes(48, "big")


def test_combining_refuses_lists_of_different_length() -> None:
    with pytest.raises(InvariantBroken):
        combine([G1Point(), G1Point()], [1])
    with pytest.raises(InvariantBroken):
        commit(make_local_setup(4), [1] * 17)
    assert commit(make_local_setup(4), []) == INFINITY


@pytest.fixture(scope="module")
def point_evaluation() -> object:
    return ckzg.load_trusted_setup(str(find_ceremony_file()), 0)


def test_the_point_evaluation_is_the_precompiles(point_evaluation: object) -> None:
    """True and false openings: our pairing and ckzg, which clients use for 0x0A, decide alike."""
    setup = load_ceremony()
    polynomial, z = draw(50), draw(1, 9)[0]
    y, commitment = evaluate_polynomial(polynomial, z), commit(setup, polynomial)
    proof = commit(setup, opening.divide(to_vector(polynomial), z))
    for point, value, quotient in (
        (z, y, proof),
        (z, (y + 1) % MODULUS, proof),
        (z + 1, y, proof),
        (z, y, proof + G1Point()),
        (z, y, INFINITY),
    ):
        theirs = ckzg.verify_kzg_proof(
            bytes(commitment.to_compressed_bytes()),
            encode_scalar(point),
            encode_scalar(value),
            bytes(quotient.to_compressed_bytes()),
            point_evaluation,
        )
        assert setup.is_evaluation(commitment, point, value, quotient) is theirs is ((point, value, quotient) == (z, y, proof))


def test_the_opening_product_by_definition() -> None:
    """T's middle coefficient is the functional, for fixed, summed and free bits; e is the tensor reversed."""
    length, a, b = 16, to_vector(draw(16, 2)), to_vector(draw(16, 3))
    p = draw(4, 4)
    lows = [tuple(((1 - c) % MODULUS, c) for c in p), ((1, 0), (0, 1), (1, 1), ((1 - p[0]) % MODULUS, p[0])), ((1, 1),) * 4]
    claims = [Claim("a", (Part("v", 0, 3, lows[0]), Part("v", 1, 1, lows[1])), 0), Claim("b", (Part("v", 1, 5, lows[2]),), 0)]
    functionals, _ = opening.batch(claims, 11)
    tensors = []
    for low in lows:
        tensor = [1]
        for x, y in low:
            tensor = [q * x % MODULUS for q in tensor] + [q * y % MODULUS for q in tensor]
        tensors.append(tensor)
        assert opening.evaluate_reversed(low, 77) == evaluate_polynomial(tensor[::-1], 77)
    product = opening.compute_product(functionals, {("v", 0): a, ("v", 1): b}, length)
    expected = 3 * dot(a, to_vector(tensors[0])) + dot(b, to_vector(tensors[1])) + 55 * dot(b, to_vector(tensors[2]))
    assert len(product) == 2 * length - 1
    assert product[length - 1] == expected % MODULUS


# ---- the setup -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ceremony() -> tuple[list[bytes], list[bytes]]:
    return parse_powers(find_ceremony_file().read_bytes())


def test_the_ceremony_is_the_powers_of_one_secret(ceremony: tuple[list[bytes], list[bytes]]) -> None:
    g1, g2 = ceremony
    assert (len(g1), len(g2)) == (4096, 65)
    check_powers(g1, g2)
    assert load_ceremony().chunk_bits == 12


def test_false_powers_are_refused() -> None:
    """A local setup: two swapped, one replaced, one of another secret, the wrong generator, a secret of zero, a wrong G2 power."""
    g1 = [bytes(p.to_compressed_bytes()) for p in make_local_setup(3).powers]
    g2 = [bytes((G2Point() * Scalar(pow(SECRET, i, MODULUS))).to_compressed_bytes()) for i in range(4)]
    check_powers(g1, g2)
    other = bytes((G1Point() * Scalar(SECRET + 1)).to_compressed_bytes())
    for bad in (
        [*g1[:5], g1[6], g1[5], g1[7]],
        [*g1[:7], other],
        [g1[0], other, *g1[2:]],
        g1[1:],
        [g1[0], b"\xc0" + bytes(47), *g1[2:]],
        [g1[0]],
    ):
        with pytest.raises(SetupError):
            check_powers(bad, g2)
    for bad in ([g2[0], g2[1], g2[3]], g2[1:], [g2[0], g2[2], g2[1]], [g2[0]]):
        with pytest.raises(SetupError):
            check_powers(g1, bad)
    with pytest.raises(SetupError):
        check_powers([*g1[:7], b"\xff" * 48], g2)


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(find_ceremony_file().read_bytes())
    content[-5] ^= 1
    (tmp_path / "setup.txt").write_bytes(content)
    monkeypatch.setattr("circuits.setup.find_ceremony_file", lambda: tmp_path / "setup.txt")
    with pytest.raises(SetupError, match="0xb23fbbc5"):
        load_ceremony.__wrapped__()
    for bad in (b"", b"4096", b"2 2 00", b"x y", b"2 2 zz zz zz zz zz zz", b"-1 5 00 00 00"):
        with pytest.raises(SetupError):
            parse_powers(bad)


def test_a_missing_package_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuits.setup.find_spec", lambda name: None)
    with pytest.raises(InvariantBroken, match="eth-account"):
        find_ceremony_file()


def test_a_setup_has_a_power_of_two() -> None:
    setup = make_local_setup(3)
    with pytest.raises(InvariantBroken):
        Setup(setup.powers[:7], setup.tau_g2)


# ---- the binding and the layout --------------------------------------------------------------------------------------------------------


def test_the_binding_byte_by_byte() -> None:
    model = CanonicalModel.load(ROOT / "seeds/models/wine-mlp/canonical")
    committed = commit_model(model, load_ceremony())
    layout = committed.layout
    points = b"".join(encode_point(commit(load_ceremony(), committed.chunks[n].tolist())) for n in layout.parameter_chunks)
    descriptor = encode_descriptor(model.network)
    expected = keccak(
        BINDING_TAG + len(descriptor).to_bytes(4, "big") + descriptor + len(layout.parameter_chunks).to_bytes(4, "big") + points
    )
    assert committed.verifying.binding == expected
    assert commit_model(model, load_ceremony()) is committed


def test_where_wine_lies() -> None:
    """13-16-3: by hand. Weights 256 and 64, biases 16 and 4; rows 16 and 4."""
    layout = Layout(make_chain([13, 16, 3], [12, 12], [RECTIFIED, SIGNED]), 12)
    assert layout.parameter_starts == {("weights", 0): 0, ("weights", 1): 256, ("bias", 0): 320, ("bias", 1): 336}
    assert (layout.row_starts, layout.live_rows, layout.row_bits) == ({0: 0, 1: 16}, 20, 5)
    assert (layout.columns, layout.trace_chunks, layout.parameter_chunks) == (("y", "u", "h", "c"), (0,), (0,))


def test_chunks_without_a_true_entry_are_never_sent() -> None:
    """5 of 8 input features over 16 outputs, chunks of 16: three chunks of padding; and rows behind the last block."""
    layout = Layout(make_chain([5, 16, 1], [12, 12], [RECTIFIED, SIGNED]), 4)
    assert layout.parameter_chunks == (0, 1, 2, 3, 4, 8, 9, 10)
    assert layout.live_rows == 17
    assert layout.trace_chunks == (0, 1, 2, 3, 4, 5, 6, 7)
    assert Layout(make_chain([5, 16, 1, 1, 1], [12] * 4, [RECTIFIED] * 4), 2).trace_chunks[:5] == (0, 1, 2, 3, 4)


def test_no_check_is_an_assert() -> None:
    """-O removes those."""
    for path in (ROOT / "circuits").rglob("*.py"):
        assert not [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Assert)], path
