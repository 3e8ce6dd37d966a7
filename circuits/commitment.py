"""Points as the protocol has them, and sums of their multiples with the checks that a verifier needs.

C = Σ v_i·τ^i: the entries of a chunk are the coefficients of a polynomial (blob commitments hold evaluations and do not
fit). A point is sent and absorbed as x ‖ y, big-endian, 96 bytes, infinity all zero (EIP-2537 without its padding).
"""

from __future__ import annotations

from collections.abc import Sequence

from circuits import engine
from circuits.proof_error import ProofError

POINT_BYTES = 96
INFINITY = bytes(POINT_BYTES)


def read_point(data: bytes, what: str) -> bytes:
    """A point of the prime-order group in its only encoding. Raises ProofError naming `what`."""
    try:
        engine.decode_point(data)
    except ValueError as error:
        raise ProofError(f"{what}: a point", "x ‖ y on the curve and in the subgroup") from error
    return data


def combine(points: Sequence[bytes], scalars: Sequence[int]) -> bytes:
    """Σ scalars_i·points_i, scalars of any sign; a length that differs is a ValueError."""
    return engine.combine(points, scalars)
