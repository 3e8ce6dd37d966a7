"""Makes proofs/*.json: proofs of small networks, with every challenge of their transcripts, for the verifier on chain.

Made by the plain Python prover (circuits/prover.py) and accepted by the plain Python verifier before they are written, but for those
named "outside": theirs is a true proof but for A, which lies outside the prime-order group.
Fields, all hex:

    circuit, parts     descriptor and commitments as they are registered (96-byte points, 255 a part)
    manifest           bytes whose digest the model id binds
    modelId, context   32 bytes
    input, output      packed big-endian int16
    proof              "AFP2" and its fields
    challenges         32 bytes each, in the order drawn; none where the proof is false
    fields             where each field of the proof begins: name, offset, and the width and number of its values
    chunkBits, tau     the setup: 12 and nothing for the ceremony, else [τ]_2 as EIP-2537 has it

`python -m tests.vectors.make_proofs` writes the files. Numbers are drawn from a fixed seed, so it writes the same bytes again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from circuits.committed import CommittedModel, commit_parameters, split_parts
from circuits.digests import keccak256
from circuits.field import MODULUS
from circuits.layers.axes import Axis, Kernel, Mode, WeightsAxis
from circuits.layers.linear import Linear, LinearWeights, make_dense
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.layout import Layout
from circuits.network import Network, Operator, Parameters, check_parameters, encode_descriptor, make_input_identity, run_network
from circuits.proof_bytes import POINT_FIELDS, count_fields, decode_proof
from circuits.prover import commit_input, prove_committed
from circuits.setup import Setup, load_ceremony
from circuits.statement import Statement, encode_tensor, read_statement
from circuits.tensors import Format, Integers, TensorType
from circuits.transcript import Transcript
from circuits.verifier import verify_statement

OUT = Path(__file__).with_name("proofs")
MANIFEST = b"a manifest"
CONTEXT = bytes(range(32))
CURVE: Any = import_module("py_ecc.optimized_bls12_381")
SECRET = 0x1234567890ABCDEF1234567890ABCDEF
RECTIFIED, SIGNED = Format.RECTIFIED, Format.SIGNED
DIRECT, CONTRACT, SHARED, FIXED = Mode.DIRECT, Mode.CONTRACT, Mode.SHARED, Mode.FIXED


@cache
def make_local_setup(chunk_bits: int) -> Setup:
    """2^chunk_bits powers of a secret that everybody knows: insecure, for tests."""
    points = [G1Point() * Scalar(pow(SECRET, i, MODULUS)) for i in range(1 << chunk_bits)]
    return Setup(tuple(bytes(point.to_xy_bytes_be()) for point in points), G2Point() * Scalar(SECRET))


# ---- networks -------------------------------------------------------------------------------------------------------------------------


def make_mlp(widths: list[int], shift: int = 12) -> Network:
    """Dense layers, rectified but for the last."""
    operators: list[Operator] = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        result = SIGNED if index == len(widths) - 2 else RECTIFIED
        operators.append(make_dense(index, (inputs,), outputs, shift if index else 12, result))
    source = TensorType((widths[0],), SIGNED, 0)
    return Network(source, tuple(operators), len(operators), TensorType((widths[-1],), SIGNED, 0))


def affine(result: int, stride: int, offset: int, size: int, kernel: Kernel = Kernel.WEIGHTED, kernel_result: int = 255) -> Axis:
    return Axis(Mode.AFFINE, result, kernel, kernel_result, size, stride, 0 if kernel is Kernel.NONE else 1, offset)


def direct(*results: int) -> tuple[Axis, ...]:
    return tuple(Axis(DIRECT, result) for result in results)


def plain(operand: int, *axes: Axis, coefficient: int = 4096) -> Term:
    return Term(operand, axes, coefficient=coefficient)


def weighted(operand: int, *axes: Axis) -> Term:
    return Term(operand, axes, Weights.PARAMETERS)


def make_zoo() -> Network:
    """Every mode of an axis, every kind of weights, both shifts, tables of the input and of results, maps of the input."""
    contract = Axis(CONTRACT)
    matrix = (WeightsAxis(DIRECT, 1), WeightsAxis(CONTRACT, 1))
    product = (WeightsAxis(SHARED, 0), WeightsAxis(SHARED, 1))
    of_input = (WeightsAxis(FIXED, index=1), WeightsAxis(DIRECT, 0), WeightsAxis(CONTRACT, 0))
    operators: list[Operator] = [
        Linear((3, 3, 3), 12, RECTIFIED, (weighted(0, contract, affine(1, 2, -1, 3), affine(2, 2, -1, 3)),), 0),
        Linear((3, 3, 3), 24, RECTIFIED, (weighted(1, Axis(SHARED, 0), affine(1, 1, -1, 3), affine(2, 1, -1, 3)),), 0),
        Linear((3, 3, 3), 12, SIGNED, (plain(1, *direct(0, 1, 2)), plain(2, *direct(0, 1, 2), coefficient=-4096))),
        Table(3, (3, 3, 3), 0, RECTIFIED),
        Linear(
            (3, 2, 2),
            12,
            RECTIFIED,
            (plain(4, *direct(0), affine(1, 1, 0, 2, Kernel.SUMMED), affine(2, 1, 0, 2, Kernel.SUMMED), coefficient=1024),),
        ),
        Linear((3, 4), 12, RECTIFIED, (plain(5, *direct(0), Axis(Mode.MERGE, 1), Axis(Mode.MERGED)),)),
        Linear((3, 3), 12, SIGNED, (Term(6, (*direct(0), contract), Weights.TENSOR, 1, 6, matrix),)),
        Linear((3, 3), 12, SIGNED, (Term(7, (Axis(SHARED, 0), Axis(SHARED, 1)), Weights.TENSOR, -3, 7, product),)),
        Table(8, (3, 3), 1, SIGNED),
        Table(0, (2, 5, 6), 0, RECTIFIED),
        Linear((2, 3), 24, SIGNED, (plain(9, Axis(FIXED, offset=2), *direct(1), coefficient=1 << 22),), 1),
        Linear((3, 2, 2), 12, RECTIFIED, (plain(6, *direct(0), affine(1, 2, 0, 2, Kernel.RESULT, 2)),)),
        Linear((6,), 12, SIGNED, (weighted(11, contract, contract), weighted(12, contract, contract, contract)), 0),
        Linear((5,), 12, SIGNED, (Term(13, (contract,), Weights.TENSOR, 2, 0, of_input), weighted(10, contract, contract, contract)), 0),
        Linear(
            (1, 4),
            12,
            SIGNED,
            (weighted(14, contract), plain(0, Axis(FIXED, offset=1), Axis(FIXED, offset=4), affine(1, 1, 1, 1, Kernel.NONE))),
        ),
    ]
    return Network(TensorType((2, 5, 6), SIGNED, 0), tuple(operators), 15, TensorType((2, 2), SIGNED, 0))


def make_committed(shape: tuple[int, ...]) -> Network:
    """An input given as commitments: its identity, then a dense layer."""
    source = TensorType(shape, SIGNED, 0)
    operators = (make_input_identity(source), make_dense(1, shape, 4, 12, SIGNED))
    return Network(source, operators, 2, TensorType((4,), SIGNED, 0), True)


# ---- numbers --------------------------------------------------------------------------------------------------------------------------


def draw_parameters(network: Network, rng: np.random.Generator) -> Parameters:
    """Numbers inside the static bound."""
    layers = []
    for operator in network.operators:
        if not isinstance(operator, Linear):
            continue
        scale = 1 << (12 if operator.shift == 12 else 22)
        shapes = operator.list_weights_shapes(network.shapes)
        weights = tuple(draw_normal(rng, shape, scale / max(1.0, float(np.prod(shape[:-1]))) ** 0.5) for shape in shapes)
        bias = (
            None if operator.bias_axis is None else draw_normal(rng, (operator.shape[operator.bias_axis],), 100.0 * (1 << operator.shift))
        )
        layers.append(LinearWeights(weights, bias))
    tables = tuple(rng.integers(form.low, form.high + 1, 4096) for form in network.table_formats)
    return Parameters(tuple(layers), tables)


def draw_normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Integers:
    return np.clip(np.round(rng.normal(0, scale, shape)), -(2**23) + 1, 2**23 - 1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Case:
    """A committed network, its setup, and one statement with its proof."""

    model: CommittedModel
    setup: Setup
    statement: Statement
    proof: bytes

    @property
    def circuit(self) -> bytes:
        return encode_descriptor(self.model.layout.network)

    @property
    def parts(self) -> list[bytes]:
        return split_parts([self.model.verifying.commitments[number] for number in self.model.layout.parameter_chunks])

    @property
    def tau(self) -> bytes:
        """[τ]_2 as EIP-2537 encodes it; empty for the ceremony's."""
        return b"" if self.setup is load_ceremony() else encode_g2(self.setup.tau_g2)

    def verify(self, proof: bytes | None = None, statement: Statement | None = None) -> None:
        """Through the bytes. Raises ProofError."""
        decoded = decode_proof(self.proof if proof is None else proof, self.model.layout)
        verify_statement(self.model.verifying, statement or self.statement, decoded, self.setup)


def encode_g2(point: G2Point) -> bytes:
    """256 bytes: the four coordinates of 48 bytes, padded to 64 each."""
    flat = bytes(point.to_xy_bytes_be())
    return b"".join(bytes(16) + flat[i : i + 48] for i in range(0, len(flat), 48))


def make_case(network: Network, seed: int, setup: Setup, context: bytes = CONTEXT, is_true: bool = True) -> Case:
    network.check()
    rng = np.random.default_rng(seed)
    parameters = draw_parameters(network, rng)
    check_parameters(network, parameters)
    model = commit_parameters(Layout(network, setup.chunk_bits), parameters, setup, MANIFEST)
    form = network.input.format
    x = rng.integers(form.low, form.high + 1, network.input.size)
    y = run_network(network, parameters, x.reshape(1, -1))[network.output_operand].reshape(-1)
    shaped = x.reshape(network.input.shape)
    stated = commit_input(model.layout, shaped, setup) if network.is_input_committed else shaped
    statement = read_statement(model.layout, stated, y.reshape(network.output.shape), context)
    case = Case(model, setup, statement, prove_committed(model, shaped, context, setup))
    if is_true:
        case.verify()
    return case


# ---- a point outside the group ----------------------------------------------------------------------------------------------------------


def find_small_point() -> Any:
    """A point of the curve whose order divides the cofactor: pairings do not see it."""
    x, base = 0, CURVE.field_modulus
    while True:
        x += 1
        y = pow(x**3 + 4, (base + 1) // 4, base)
        point = CURVE.multiply((CURVE.FQ(x), CURVE.FQ(y), CURVE.FQ(1)), CURVE.curve_order)
        if y * y % base == (x**3 + 4) % base and not CURVE.is_inf(point):
            return point


def shift_outside(point: bytes) -> bytes:
    x, y = (CURVE.FQ(int.from_bytes(point[i : i + 48], "big")) for i in (0, 48))
    shifted = CURVE.normalize(CURVE.add((x, y, CURVE.FQ(1)), find_small_point()))
    return b"".join(int(c).to_bytes(48, "big") for c in shifted)


def make_outside_case(network: Network, seed: int, setup: Setup) -> Case:
    """The prover shifts A before ζ is drawn, and does everything else as it should."""
    original = Transcript.absorb_points

    def absorb(transcript: Transcript, label: str, points: list[bytes]) -> None:
        if label == "parts":
            points[0] = shift_outside(points[0])
        original(transcript, label, points)

    Transcript.absorb_points = absorb  # type: ignore[assignment, method-assign]
    try:
        return make_case(network, seed, setup, is_true=False)
    finally:
        Transcript.absorb_points = original  # type: ignore[method-assign]


# ---- files ----------------------------------------------------------------------------------------------------------------------------


@contextmanager
def record_challenges() -> Iterator[list[int]]:
    """Every challenge drawn inside the block."""
    drawn: list[int] = []
    original = Transcript.draw

    def draw(transcript: Transcript) -> int:
        drawn.append(original(transcript))
        return drawn[-1]

    Transcript.draw = draw  # type: ignore[assignment, method-assign]
    try:
        yield drawn
    finally:
        Transcript.draw = original  # type: ignore[method-assign]


def list_fields(layout: Layout) -> list[dict[str, Any]]:
    fields, offset = [], 4
    for name, count in count_fields(layout).items():
        width = 96 if name in POINT_FIELDS else 32
        fields.append({"name": name, "offset": offset, "width": width, "count": count})
        offset += width * count
    return fields


def to_json(case: Case, is_true: bool = True) -> dict[str, Any]:
    with record_challenges() as challenges:
        if is_true:
            case.verify()
    layout = case.model.layout
    return {
        "about": "made by tests/vectors/make_proofs.py, which says what the fields are",
        "circuit": "0x" + case.circuit.hex(),
        "parts": ["0x" + part.hex() for part in case.parts],
        "manifest": "0x" + MANIFEST.hex(),
        "modelId": "0x" + case.model.verifying.model_id.hex(),
        "context": "0x" + case.statement.context.hex(),
        "input": "0x" + case.statement.input.hex(),
        "output": "0x" + encode_tensor(case.statement.y).hex(),
        "proof": "0x" + case.proof.hex(),
        "challenges": [f"0x{challenge:064x}" for challenge in challenges],
        "fields": list_fields(layout),
        "chunkBits": layout.chunk_bits,
        "tau": "0x" + case.tau.hex(),
    }


def compute_context(request: bytes, beneficiary: str) -> bytes:
    """keccak256(abi.encode(requestId, beneficiary)), as ProofVerifier.verify makes it; the request id is a digest."""
    return keccak256(keccak256(request) + bytes.fromhex(beneficiary).rjust(32, b"\x00"))


def make_cases() -> dict[str, Case]:
    """By file name."""
    ceremony = load_ceremony()
    return {
        "mlp-20-12-5": make_case(make_mlp([20, 12, 5], 24), 1, ceremony),
        "mlp-evidence": make_case(make_mlp([784, 8, 600]), 8, ceremony, compute_context(b"request", "beef")),
        "committed-3-5-7": make_case(make_committed((3, 5, 7)), 9, ceremony),
        "committed-3-5-7-chunks-of-32": make_case(make_committed((3, 5, 7)), 10, make_local_setup(5)),
        "committed-2-100-chunks-of-32": make_case(make_committed((2, 100)), 11, make_local_setup(5)),
        "outside": make_outside_case(make_mlp([20, 12, 5], 24), 12, ceremony),
        "outside-chunks-of-32": make_outside_case(make_mlp([20, 12, 5], 24), 13, make_local_setup(5)),
        "zoo": make_case(make_zoo(), 2, ceremony),
        "zoo-chunks-of-32": make_case(make_zoo(), 3, make_local_setup(5)),
        "zoo-chunks-of-32768": make_case(make_zoo(), 4, make_local_setup(15)),
        "mlp-784-64-10": make_case(make_mlp([784, 64, 10]), 5, ceremony),
        "mlp-784-256-128-10": make_case(make_mlp([784, 256, 128, 10]), 6, ceremony),
        "mlp-784-1024-256-10": make_case(make_mlp([784, 1024, 256, 10]), 7, ceremony),
    }


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for name, case in make_cases().items():
        (OUT / f"{name}.json").write_text(json.dumps(to_json(case, not name.startswith("outside")), indent=1) + "\n")
