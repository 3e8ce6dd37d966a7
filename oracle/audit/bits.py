"""Sets of records as bitmaps, a block of 16,384 records at a time: what a search index is made of.

A set within a block is a Python integer, bit i for record i of the block, so that "and", "or" and counting cost microseconds whatever is
in it. Stored, it is a list of positions (uint16, little-endian, ascending) while that is shorter, and a bitmap of 2,048 bytes from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

BLOCK = 1 << 14
_BITMAP_BYTES = BLOCK // 8
_LONGEST_LIST = _BITMAP_BYTES // 2  # positions: a list of as many bytes as a bitmap would be a bitmap


def full(count: int) -> int:
    """The first `count` records of a block."""
    return (1 << count) - 1


def from_positions(positions: Iterable[int]) -> int:
    flags = np.zeros(BLOCK, np.uint8)
    flags[np.fromiter(positions, np.int64)] = 1
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def positions(bits: int) -> np.ndarray:
    """Ascending, as int64."""
    flags = np.unpackbits(np.frombuffer(bits.to_bytes(_BITMAP_BYTES, "little"), np.uint8), bitorder="little")
    return np.flatnonzero(flags)


def encode(bits: int) -> bytes:
    """The stored form of a set."""
    if bits.bit_count() >= _LONGEST_LIST:
        return bits.to_bytes(_BITMAP_BYTES, "little")
    return positions(bits).astype("<u2").tobytes()


def encode_positions(members: set[int]) -> bytes:
    """`encode(from_positions(members))`, faster for the many sets that are small."""
    if len(members) >= _LONGEST_LIST:
        return encode(from_positions(members))
    return np.array(sorted(members), "<u2").tobytes()


def decode(data: bytes) -> int:
    """The set of a stored form."""
    if len(data) == _BITMAP_BYTES:
        return int.from_bytes(data, "little")
    return from_positions(np.frombuffer(data, "<u2").tolist())


def descending(bits: int) -> Iterator[int]:
    """The positions, highest first, one at a time: a page takes the first few."""
    while bits:
        position = bits.bit_length() - 1
        yield position
        bits ^= 1 << position
