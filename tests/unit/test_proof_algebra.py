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

from circuits import CanonicalModel, engine
from circuits.claims import Claim, Part
from circuits.commitment import INFINITY, combine
from circuits.committed import PART_POINTS, commit_parameters
from circuits.digests import MODEL_TYPE
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, encode_scalar, evaluate_polynomial, interpolate, invert
from circuits.layers.table import Table
from circuits.layout import Layout
from circuits.multilinear import compute_eq, compute_eq_table, compute_prefix_mask, evaluate_tensor, split_bits
from circuits.network import encode_descriptor
from circuits.protocols import opening, rows
from circuits.setup import Setup, SetupError, check_powers, find_ceremony_file, load_ceremony, parse_powers
from circuits.transcript import Transcript
from tests.soundness.networks import (
    RECTIFIED,
    SECRET,
    SIGNED,
    commit_case,
    make_chain,
    make_dense,
    make_local_setup,
    make_network,
    make_parameters,
)

REFERENCE: Any = import_module("py_ecc.optimized_bls12_381")
ROOT = Path(__file__).parents[2]


def draw(count: int, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int.from_bytes(rng.bytes(40), "big") % MODULUS for _ in range(count)]


def multiply(a: list[int], b: list[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True)) % MODULUS


def test_the_modulus_is_the_order_of_the_group() -> None:
    assert REFERENCE.curve_order == MODULUS


def test_inverses() -> None:
    values = draw(9)
    assert [v * invert(v) % MODULUS for v in values] == [1] * 9
    with pytest.raises(ValueError, match="invertible"):
        invert(0)


def test_scalars_are_encoded_reduced() -> None:
    for bad in (-1, MODULUS):
        with pytest.raises(InvariantBroken):
            encode_scalar(bad)


def test_interpolation() -> None:
    coefficients = draw(7)
    assert interpolate([evaluate_polynomial(coefficients, x) for x in range(7)]) == coefficients


def test_multilinear_extensions() -> None:
    """eq by its definition at every corner; extensions by their sum; variable 0 is the lowest bit; each axis pads itself."""
    point, values = draw(4), draw(16, 1)
    table = compute_eq_table(point)
    assert table == [compute_eq(point, split_bits(i, 4)) for i in range(16)]
    assert [compute_prefix_mask(point, n) for n in range(17)] == [sum(table[:n]) % MODULUS for n in range(17)]
    assert [evaluate_tensor(np.arange(16), (16,), split_bits(i, 4)) for i in range(16)] == list(range(16))
    small = np.arange(1, 10)
    padded = [int(v) for row in small.reshape(3, 3) for v in (*row, 0)] + [0] * 4
    assert evaluate_tensor(small, (3, 3), point) == multiply(table, padded)
    assert engine.evaluate(engine.from_scalars(values), point) == multiply(table, values)
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
        for power, value in zip(setup.points, chunk, strict=False):
            point = tuple(REFERENCE.FQ(c) for c in (int.from_bytes(power[:48], "big"), int.from_bytes(power[48:], "big"), 1))
            term = REFERENCE.multiply(point if value >= 0 else REFERENCE.neg(point), abs(value))
            expected = REFERENCE.add(expected, term)
        x, y = REFERENCE.normalize(expected)
        assert setup.powers.commit(engine.from_scalars(chunk)) == int(x).to_bytes(48, "big") + int(y).to_bytes(48, "big")


def test_combining_refuses_lists_of_different_length() -> None:
    point = make_local_setup(4).points[0]
    with pytest.raises(ValueError, match="entries"):
        combine([point, point], [1])
    with pytest.raises(ValueError, match="at most"):
        make_local_setup(4).powers.commit(np.ones(17, dtype=np.int64))
    assert make_local_setup(4).powers.commit(np.zeros(0, dtype=np.int64)) == INFINITY


@pytest.fixture(scope="module")
def point_evaluation() -> object:
    return ckzg.load_trusted_setup(str(find_ceremony_file()), 0)


def test_the_point_evaluation_is_the_precompiles(point_evaluation: object) -> None:
    """True and false openings: our pairing and ckzg, which clients use for 0x0A, decide alike."""
    setup = load_ceremony()
    polynomial, z = draw(50), draw(1, 9)[0]
    vector = engine.from_scalars(polynomial)
    y, commitment = evaluate_polynomial(polynomial, z), setup.powers.commit(vector)
    proof = setup.powers.commit(engine.divide(vector, z))
    other = combine([proof, setup.points[0]], [1, 1])
    for point, value, quotient in ((z, y, proof), (z, (y + 1) % MODULUS, proof), (z + 1, y, proof), (z, y, other), (z, y, INFINITY)):
        theirs = ckzg.verify_kzg_proof(
            engine.compress_point(commitment), encode_scalar(point), encode_scalar(value), engine.compress_point(quotient), point_evaluation
        )
        assert setup.is_evaluation(commitment, point, value, quotient) is theirs is ((point, value, quotient) == (z, y, proof))


def test_the_opening_product_by_definition() -> None:
    """T's middle coefficient is the functional, for fixed, summed and free bits; e is the tensor reversed; equal lows add up."""
    length, a, b = 16, draw(16, 2), draw(16, 3)
    p = draw(4, 4)
    lows = [tuple(((1 - c) % MODULUS, c) for c in p), ((1, 0), (0, 1), (1, 1), ((1 - p[0]) % MODULUS, p[0])), ((1, 1),) * 4]
    claims = [
        Claim("a", (Part("v", 0, 3, lows[0]), Part("v", 1, 1, lows[1]), Part("v", 0, 4, lows[0])), 0),
        Claim("b", (Part("v", 1, 5, lows[2]), Part("v", 0, 1, lows[0])), 0),
    ]
    functionals, _ = opening.batch(claims, 11)
    tensors = []
    for low in lows:
        tensor = [1]
        for x, y in low:
            tensor = [q * x % MODULUS for q in tensor] + [q * y % MODULUS for q in tensor]
        tensors.append(tensor)
        assert opening.evaluate_reversed(low, 77) == evaluate_polynomial(tensor[::-1], 77)
    chunks = {("v", 0): engine.from_scalars(a), ("v", 1): engine.from_scalars(b)}
    product = engine.to_scalars(opening.compute_product(functionals, chunks))
    expected = (3 + 4 + 11) * multiply(a, tensors[0]) + multiply(b, tensors[1]) + 55 * multiply(b, tensors[2])
    assert len(product) == 2 * length - 1
    assert product[length - 1] == expected % MODULUS


# ---- the equations of a row, each at its own power of a separator --------------------------------------------------------------------

ALPHA, BETA, RHO, KAPPA = draw(4, 6)
CHALLENGES = rows.Challenges(ALPHA, BETA, RHO, KAPPA, ())


def collect_powers(evaluate: Any, name: str, count: int) -> list[int]:
    """The coefficients of a polynomial in one challenge."""
    return interpolate([evaluate(rows.Challenges(**(vars(CHALLENGES) | {name: node}))) for node in range(count)])


@pytest.mark.parametrize("has_r1", [False, True])
def test_the_equations_of_a_rescale(has_r1: bool) -> None:
    """y + o = …, h(1 − c²), c³ − c and LogUp are the coefficients of 1, ρ, ρ², ρ³, and there is nothing else."""
    y, u, h, c, r0, helper, r1, offset, active = draw(9, 7)
    columns = {"y": y, "u": u, "h": h, "c": c, "r0": r0, "H": helper} | ({"r1": r1} if has_r1 else {})
    found = collect_powers(lambda challenges: rows.compute_row(columns, offset, active, challenges), "rho", 6)
    d = [(CHALLENGES.alpha + v) % MODULUS for v in (r0, u, c * h - c * c, *([r1] if has_r1 else []))]
    product = np.prod(np.array(d, dtype=object))
    sums = sum(product * invert(v) for v in d)
    expected = [y + offset - (1 - c * c) * u - 4095 * c * (c + 1) * invert(2), h * (1 - c * c), c**3 - c, helper * product - active * sums]
    assert found == [int(v) % MODULUS for v in (*expected, 0, 0)]


def test_the_equations_of_a_lookup() -> None:
    """H·D − act and (1 − act)·y are the coefficients of κ² and κ³; D has tag, x + o and y at β, β², β³."""
    x, y, helper, tag, offset, active = draw(6, 8)
    found = collect_powers(lambda challenges: rows.compute_lookup(x, y, helper, (tag, offset, active), challenges), "kappa", 5)
    beta = CHALLENGES.beta
    d = CHALLENGES.alpha + beta * tag + beta**2 * (x + offset) + beta**3 * y
    assert found == [v % MODULUS for v in (0, 0, helper * d - active, (1 - active) * y, 0)]


def test_the_entries_of_the_tables() -> None:
    """E at every corner: t for the range, β·tag + β²·t + β³·T(t) for the tables, 0 for tags that no table has."""
    network = make_network((2,), [make_dense(0, (2,), 2, 12, SIGNED), Table(1, (2,), 0, SIGNED), Table(2, (2,), 1, RECTIFIED)])
    layout = Layout(network, 7)
    case = commit_case(network, make_parameters(network, np.random.default_rng(1)), np.zeros(2, dtype=np.int64))
    tables, beta = case.model.parameters.tables, CHALLENGES.beta
    assert (layout.tag_count, layout.table_bits) == (3, 14)
    for tag, t in ((0, 0), (0, 4095), (1, 0), (1, 77), (2, 4095), (3, 5)):
        point = [*split_bits(t, 12), *split_bits(tag, 2)]
        value = int(tables[tag - 1][t]) if 0 < tag < 3 else 0
        expected = [t, beta + beta**2 * t + beta**3 * value, 2 * beta + beta**2 * t + beta**3 * value, 0][tag]
        assert rows.compute_entry(layout, point, value, beta) == expected % MODULUS


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
    g1 = [engine.compress_point(p) for p in make_local_setup(3).points]
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
        Setup(setup.points[:7], setup.tau_g2)


# ---- the model id and the layout ----------------------------------------------------------------------------------------------------


def test_the_model_id_byte_by_byte() -> None:
    """EIP-712 over kind, manifest, descriptor and the code hashes of the parts; commitments are those of weights.bin."""
    model = CanonicalModel.load(ROOT / "seeds/models/wine-mlp/canonical")
    layout = model.committed.layout
    points = [load_ceremony().powers.commit(model.committed.chunks[number]) for number in layout.parameter_chunks]
    parts = [keccak(b"\x00" + b"".join(points[i : i + PART_POINTS])) for i in range(0, len(points), PART_POINTS)]
    words = [
        keccak(MODEL_TYPE.encode()),
        (1).to_bytes(32, "big"),
        keccak(model.manifest.encode()),
        keccak(encode_descriptor(model.network)),
    ]
    assert model.model_id == keccak(b"".join([*words, keccak(b"".join(parts))]))
    assert model.verifying.model_id == model.model_id


def test_the_model_id_depends_on_every_commitment() -> None:
    """More than one part of 255 points; one parameter changed in either changes the id."""
    network, setup = make_chain([40, 16], [12], [SIGNED]), make_local_setup(1)
    layout, parameters = Layout(network, 1), make_parameters(network, np.random.default_rng(0))
    assert len(layout.parameter_chunks) == 328 > PART_POINTS
    ids = {commit_parameters(layout, parameters, setup).verifying.model_id}
    for index in ((0, 0), (39, 15)):
        parameters.layers[0].weights[0][index] += 1
        ids.add(commit_parameters(layout, parameters, setup).verifying.model_id)
    ids.add(commit_parameters(layout, parameters, setup, b"a manifest").verifying.model_id)
    assert len(ids) == 4


def test_where_a_small_network_lies() -> None:
    """13-16-3: by hand. Weights 256 and 64, biases 16 and 4; rows 16 and 4."""
    layout = Layout(make_chain([13, 16, 3], [12, 12], [RECTIFIED, SIGNED]), 12)
    starts = {("weights", 0, 0): 0, ("weights", 1, 0): 256, ("bias", 0, 0): 320, ("bias", 1, 0): 336}
    assert layout.parameter_starts == starts
    assert (layout.rows.starts, layout.rows.live, layout.rows.bits) == ({0: 0, 1: 16}, 20, 5)
    assert (layout.columns, layout.trace_chunks, layout.parameter_chunks) == (("y", "u", "h", "c"), (0,), (0,))


def test_chunks_without_a_true_entry_are_never_sent() -> None:
    """5 of 8 input features over 16 outputs, chunks of 16: three chunks of padding; and rows behind the last block."""
    layout = Layout(make_chain([5, 16, 1], [12, 12], [RECTIFIED, SIGNED]), 4)
    assert layout.parameter_chunks == (0, 1, 2, 3, 4, 8, 9, 10)
    assert layout.rows.live == 17
    assert layout.trace_chunks == (0, 1, 2, 3, 4, 5, 6, 7)
    assert Layout(make_chain([5, 16, 1, 1, 1], [12] * 4, [RECTIFIED] * 4), 2).trace_chunks[:5] == (0, 1, 2, 3, 4)


def test_no_check_is_an_assert() -> None:
    """-O removes those. What stays tells the type checker that a value is there, and every such value is used right behind it.

    Neither the compiler, whose models are checked again by whoever loads them, nor the benchmarks are looked at.
    """
    for path in (path for path in (ROOT / "circuits").rglob("*.py") if not {"compiler", "bench"} & set(path.parts)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assert):
                assert ast.unparse(node.test).endswith(" is not None"), f"{path}:{node.lineno}"
