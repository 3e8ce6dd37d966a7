"""A proof and its bytes, version 2.

    "AFP2", then the fields of `Proof` in their order, each as many points (x ‖ y, 96 bytes) or scalars (32 bytes,
    big-endian, below r) as the model's layout fixes

No length is stored, so a proof has exactly one encoding: another length, a scalar that is not reduced, a point off the
curve, outside the subgroup or written otherwise are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from circuits.commitment import POINT_BYTES, read_point
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, SCALAR_BYTES, encode_scalar
from circuits.layout import Layout
from circuits.plan import Terms
from circuits.proof_error import require

MAGIC = b"AFP2"
LOOKUP_DEGREE = 2  # of F_look and F_table: H times a denominator
Points = tuple[bytes, ...]
Scalars = tuple[int, ...]


@dataclass(frozen=True)
class Proof:
    """Every message of the prover, in the order sent. Rounds of a sumcheck follow each other in one tuple."""

    trace: Points  # the columns, a point a chunk
    multiplicities: Points
    helpers: Points  # H of both kinds of rows
    table_helpers: Points  # G
    row_rounds: Scalars  # per round c1 … cd of g, d as list_row_degrees says
    totals: Scalars  # each column of the rescale rows at σ, then r0, then H
    lookup_totals: Scalars  # x, y, H of the lookup rows at σ, where there are any
    table: Scalars  # G and m at σ
    table_values: Scalars  # the functions' tables at σ, together, where there are any
    rest: Scalars  # one
    linear_rounds: Scalars  # per round c0, c2 (and c3)
    weights: Scalars  # W_t(σ, ρ) per term that has weights, but for those that are the public input
    operands: Scalars  # X_t(ρ, σ) per term, but for those that read the public input directly
    map_rounds: Scalars  # per round c0, c2
    mapped: Scalars  # x_t(θ) per term whose operand is read through a map, but for the public input
    parts: Points  # A, B
    quotient: Points  # one


POINT_FIELDS = ("trace", "multiplicities", "helpers", "table_helpers", "parts", "quotient")


def count_fields(layout: Layout) -> dict[str, int]:
    """How many points or scalars each field has, in order: a function of the shapes alone."""
    terms = Terms.of(layout)
    return {
        "trace": len(layout.trace_chunks),
        "multiplicities": len(layout.table_chunks),
        "helpers": len(layout.helper_chunks),
        "table_helpers": len(layout.table_chunks),
        "row_rounds": sum(list_row_degrees(layout)),
        "totals": len(layout.columns) + 2,
        "lookup_totals": 3 if layout.lookups else 0,
        "table": 2,
        "table_values": 1 if layout.lookups else 0,
        "rest": 1,
        "linear_rounds": terms.variables * terms.degree,
        "weights": len(terms.weighted),
        "operands": len(terms.sent),
        "map_rounds": terms.map_variables * 2,
        "mapped": len(terms.sent_after_maps),
        "parts": 2,
        "quotient": 1,
    }


def compute_row_degree(layout: Layout) -> int:
    """Degree of the row polynomial without eq: H times the lookups' denominators, one of which is of degree 2."""
    return layout.lookup_count + 2


def list_row_degrees(layout: Layout) -> list[int]:
    """Degree of g in each round of the zero-check: in the rounds behind those of the rescale rows, which are constant there, that of the
    lookup rows and of the tables."""
    shorter = layout.zero_check_bits - layout.rows.bits
    return [compute_row_degree(layout)] * layout.rows.bits + [LOOKUP_DEGREE] * shorter


def encode_proof(proof: Proof, layout: Layout) -> bytes:
    """Raises InvariantBroken if a field has another length than the layout fixes."""
    parts = [MAGIC]
    for name, count in count_fields(layout).items():
        values = getattr(proof, name)
        if len(values) != count:
            raise InvariantBroken(f"{name}: {len(values)} values instead of {count}")
        parts += list(values) if name in POINT_FIELDS else [encode_scalar(v) for v in values]
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
        values[name] = tuple(read_point(p, name) if name in POINT_FIELDS else decode_scalar(p, name) for p in pieces)
        position += count * _width(name)
    return Proof(**values)


def decode_scalar(data: bytes, what: str) -> int:
    value = int.from_bytes(data, "big")
    require(value < MODULUS, f"{what}: a scalar", "below r")
    return value


def _width(name: str) -> int:
    return POINT_BYTES if name in POINT_FIELDS else SCALAR_BYTES
