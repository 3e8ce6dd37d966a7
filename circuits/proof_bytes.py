"""A proof and its bytes, version 1.

    "AFP1", then the fields of `Proof` in their order, each as many points (x ‖ y, 96 bytes) or scalars (32 bytes,
    big-endian, below r) as the model's layout fixes

No length is stored, so a proof has exactly one encoding: another length, a scalar that is not reduced, a point off the
curve, outside the subgroup or written otherwise are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from py_arkworks_bls12381 import G1Point

from circuits.commitment import POINT_BYTES, decode_point, encode_point
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, SCALAR_BYTES, encode_scalar
from circuits.layout import Layout
from circuits.proof_error import require

MAGIC = b"AFP1"
Points = tuple[G1Point, ...]
Scalars = tuple[int, ...]


@dataclass(frozen=True)
class Proof:
    """Every message of the prover, in the order sent. Rounds of a sumcheck follow each other in one tuple."""

    trace: Points  # the columns, a point a chunk
    multiplicities: Points
    helpers: Points  # H
    table_helpers: Points  # G
    row_rounds: Scalars  # per round c1 … cd of g
    totals: Scalars  # each column at σ, then r0, then H
    table: Scalars  # G and m at σ
    rest: Scalars  # one
    linear_rounds: Scalars  # per round c0, c2
    weights: Scalars  # W_l(σ, ρ) per layer
    operands: Scalars  # x_l(ρ, σ) per layer that reads another's result
    reshape_rounds: Scalars  # per round c0, c2
    reshaped: Scalars  # x_l(θ) per layer that reads across padding
    parts: Points  # A, B
    quotient: Points  # one


POINT_FIELDS = ("trace", "multiplicities", "helpers", "table_helpers", "parts", "quotient")


def count_fields(layout: Layout) -> dict[str, int]:
    """How many points or scalars each field has, in order: a function of the shapes alone."""
    reshape_bits = compute_reshape_bits(layout)
    return {
        "trace": len(layout.trace_chunks),
        "multiplicities": len(layout.table_chunks),
        "helpers": len(layout.helper_chunks),
        "table_helpers": len(layout.table_chunks),
        "row_rounds": layout.zero_check_bits * compute_row_degree(layout),
        "totals": len(layout.columns) + 2,
        "table": 2,
        "rest": 1,
        "linear_rounds": layout.linear_bits * 2,
        "weights": len(layout.layers),
        "operands": len(layout.computed_operands),
        "reshape_rounds": reshape_bits * 2,
        "reshaped": len(layout.reshaped),
        "parts": 2,
        "quotient": 1,
    }


def compute_row_degree(layout: Layout) -> int:
    """Degree of the row polynomial without eq: H times the lookups' denominators, one of which is of degree 2."""
    return layout.lookup_count + 2


def compute_reshape_bits(layout: Layout) -> int:
    return max((layout.find_producer(layer).block_bits for layer in layout.reshaped), default=0)


def encode_proof(proof: Proof, layout: Layout) -> bytes:
    """Raises InvariantBroken if a field has another length than the layout fixes."""
    parts = [MAGIC]
    for name, count in count_fields(layout).items():
        values = getattr(proof, name)
        if len(values) != count:
            raise InvariantBroken(f"{name}: {len(values)} values instead of {count}")
        parts += [encode_point(v) if name in POINT_FIELDS else encode_scalar(v) for v in values]
    return b"".join(parts)


def compute_proof_bytes(layout: Layout) -> int:
    """The length of every proof of this layout."""
    return len(MAGIC) + sum(count * _width(name) for name, count in count_fields(layout).items())


def decode_proof(data: object, layout: Layout) -> Proof:
    """Raise ProofError unless `data` is the one encoding of some proof of this layout."""
    require(type(data) is bytes, "proof", "bytes", type(data).__name__)
    content = bytes(data)  # type: ignore[call-overload]
    require(len(content) == compute_proof_bytes(layout), "proof length", compute_proof_bytes(layout), len(content))
    require(content.startswith(MAGIC), "proof version", MAGIC, content[:4])
    values: dict[str, Any] = {}
    position = len(MAGIC)
    for name, count in count_fields(layout).items():
        pieces = [content[position + i * _width(name) : position + (i + 1) * _width(name)] for i in range(count)]
        values[name] = tuple(decode_point(p, name) if name in POINT_FIELDS else decode_scalar(p, name) for p in pieces)
        position += count * _width(name)
    return Proof(**values)


def decode_scalar(data: bytes, what: str) -> int:
    value = int.from_bytes(data, "big")
    require(value < MODULUS, f"{what}: a scalar", "below r")
    return value


def _width(name: str) -> int:
    return POINT_BYTES if name in POINT_FIELDS else SCALAR_BYTES
