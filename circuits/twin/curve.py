"""G1 of BLS12-381 through arkworks: sums of multiples of points, and the two encodings of a point.

96 bytes are x ‖ y, big-endian, infinity all zero (EIP-2537 without its padding). 48 bytes are x with three flag bits on
top (compressed, infinity, y above (p−1)/2), as the ceremony and precompile 0x0A have them (ZCash, "Serialization").
"""

from __future__ import annotations

from collections.abc import Sequence

from py_arkworks_bls12381 import G1Point, Scalar

from circuits.field import MODULUS
from circuits.twin.arrays import Operand, check_length, read_operand, reduce

POINT_BYTES, COMPRESSED_BYTES = 96, 48
SMALL = 1 << 64
INFINITY = G1Point.identity()


class Powers:
    """A fixed basis P_0, P_1, …: ValueError unless each is one encoding of a point on the curve. The subgroup is the caller's to check."""

    def __init__(self, points: Sequence[bytes]) -> None:
        self._points = [_read(point) for point in points]

    def commit(self, values: Operand) -> bytes:
        """Σ v_i·P_i; ValueError for more values than points."""
        scalars = [int(v) for v in read_operand(values, "values")]
        if len(scalars) > len(self._points):
            raise ValueError(f"values: {len(scalars)} entries, at most {len(self._points)}")
        # Small negative entries stay small: they are subtracted, ten times cheaper.
        if all(-SMALL < v < SMALL for v in scalars):
            return _write(self._sum(scalars, 1) - self._sum(scalars, -1))
        return _write(_multiply(self._points[: len(scalars)], [v % MODULUS for v in scalars]))

    def commit_many(self, batch: Sequence[Operand]) -> list[bytes]:
        """A commitment for each."""
        return [self.commit(values) for values in batch]

    def _sum(self, scalars: Sequence[int], sign: int) -> G1Point:
        """Σ |v_i|·P_i over the entries of that sign."""
        live = [i for i, v in enumerate(scalars) if sign * v > 0]
        return _multiply([self._points[i] for i in live], [sign * scalars[i] for i in live])


def combine(points: Sequence[bytes], scalars: Sequence[int]) -> bytes:
    """Σ scalar·point; ValueError for different lengths, or a point not on the curve. The subgroup is the caller's to check."""
    check_length("scalars", len(scalars), len(points))
    return _write(_multiply([_read(point) for point in points], [reduce(s) for s in scalars]))


def decode_point(data: bytes) -> None:
    """Raise ValueError unless `data` is the one encoding of a point of the prime-order subgroup; infinity is one."""
    if not _read(data).is_in_subgroup():
        raise ValueError("a point outside the prime-order subgroup")


def compress_point(data: bytes) -> bytes:
    """The 48 bytes of a point; infinity is 0xc0 and zeros. ValueError unless it is on the curve."""
    return bytes(_read(data).to_compressed_bytes())


def decompress_points(data: Sequence[bytes], is_checked: bool) -> list[bytes]:
    """96 bytes for every 48. ValueError unless each is the one encoding of a point on the curve and, if checked, in the subgroup."""
    read = G1Point.from_compressed_bytes if is_checked else G1Point.from_compressed_bytes_unchecked
    points = []
    for encoded in data:
        point = read(encoded)
        if bytes(point.to_compressed_bytes()) != encoded:
            raise ValueError("a compressed point that is not its only encoding")
        points.append(_write(point))
    return points


def _read(data: bytes) -> G1Point:
    """On the curve and canonical; arkworks accepts more than one encoding of infinity, so the bytes are compared."""
    point = G1Point.from_xy_bytes_unchecked_be(data)
    if _write(point) != data:
        raise ValueError("a point that is not its only encoding")
    return point


def _write(point: G1Point) -> bytes:
    return bytes(POINT_BYTES) if point == INFINITY else bytes(point.to_xy_bytes_be())


def _multiply(points: list[G1Point], scalars: list[int]) -> G1Point:
    """The library cuts the longer of two lists; callers compare the lengths."""
    return G1Point.multiexp_unchecked(points, [Scalar(s) for s in scalars])
