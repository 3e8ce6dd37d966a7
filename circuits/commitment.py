"""KZG commitments to chunks of coefficients, and points as bytes.

C = Σ v_i·τ^i: the entries are the coefficients of a polynomial (blob commitments hold evaluations and do not fit). A
point is sent and absorbed as x ‖ y, big-endian, 96 bytes, infinity all zero (EIP-2537 without its padding).
"""

from __future__ import annotations

from collections.abc import Sequence

from py_arkworks_bls12381 import G1Point, Scalar

from circuits.errors import InvariantBroken
from circuits.field import MODULUS
from circuits.proof_error import ProofError
from circuits.setup import Setup

POINT_BYTES = 96
SMALL = 1 << 64
INFINITY = G1Point.identity()


def encode_point(point: G1Point) -> bytes:
    return bytes(POINT_BYTES) if point == INFINITY else bytes(point.to_xy_bytes_be())


def decode_point(data: bytes, what: str) -> G1Point:
    """A point of the prime-order group from its only encoding. Raises ProofError naming `what`."""
    try:
        point = G1Point.from_xy_bytes_be(data)
    except ValueError as error:
        raise ProofError(f"{what}: a point", "x ‖ y on the curve and in the subgroup") from error
    if encode_point(point) != data:
        raise ProofError(f"{what}: a point", "its only encoding")
    return point


def combine(points: Sequence[G1Point], scalars: Sequence[int]) -> G1Point:
    """Σ scalars_i·points_i, scalars of any sign. The library cuts the longer of two lists, so lengths are compared here."""
    if len(points) != len(scalars):
        raise InvariantBroken(f"{len(points)} points for {len(scalars)} scalars")
    return G1Point.multiexp_unchecked(list(points), [Scalar(int(s) % MODULUS) for s in scalars])


def commit(setup: Setup, chunk: Sequence[int]) -> G1Point:
    """The commitment to at most one chunk. Small negative entries stay small: they are subtracted, ten times cheaper."""
    if len(chunk) > setup.chunk_length:
        raise InvariantBroken(f"a chunk of {len(chunk)} entries")
    if all(-SMALL < value < SMALL for value in chunk):
        return _sum(setup, chunk, 1) - _sum(setup, chunk, -1)
    return combine(setup.powers[: len(chunk)], chunk)


def _sum(setup: Setup, chunk: Sequence[int], sign: int) -> G1Point:
    """Σ |v_i|·τ^i over the entries of that sign."""
    live = [i for i, value in enumerate(chunk) if sign * value > 0]
    return combine([setup.powers[i] for i in live], [sign * chunk[i] for i in live])
