"""Samples that anybody can draw again: which entries are looked at is decided by a seed, not by who draws.

    population   the indices of all entries that match, ascending, in a log of a stated size and root
    digest       SHA-256("affidavit/population@1\\n" ‖ origin ‖ "\\n" ‖ decimal size ‖ "\\n" ‖ hex root ‖ "\\n" ‖ each index, 8 bytes
                 big-endian)
    stream       block i is SHA-256("affidavit/sample@1\\n" ‖ seed ‖ digest ‖ i, 8 bytes big-endian), i = 0, 1, 2 …; cut into numbers
                 of 8 bytes, big-endian
    drawing      the first `size` steps of Fisher and Yates's shuffle: in step k = 0, 1, 2 … let m = population − k; the next number below
                 the greatest multiple of m that is at most 2^64 is taken (others are passed over), r is its remainder by m, and the
                 entries in places k and k + r change places
    sample       what then stands in places 0 … size − 1, as drawn

Every entry has the same chance, none is drawn twice, and a longer sample begins with the shorter one. A seed is 32 bytes. The hash of a
block that was mined after the checkpoint was published is one that neither the log nor the auditor could choose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.audit.index import Filter, Index
from oracle.encoding import to_hex
from oracle.errors import LogRefused, MalformedInput
from oracle.records import Bytes32, Checkpoint

MAX_SAMPLE = 100_000


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample with all it takes to draw it again."""

    checkpoint: Checkpoint
    filter: Filter
    seed: Bytes32
    population: int
    population_digest: Bytes32
    indices: tuple[int, ...]  # in the order they were drawn

    def to_json(self) -> dict[str, Any]:
        return {
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": to_hex(self.checkpoint.root),
            "filter": self.filter.to_json(),
            "seed": to_hex(self.seed),
            "population": self.population,
            "population_digest": to_hex(self.population_digest),
            "indices": list(self.indices),
        }


def draw(index: Index, wanted: Filter, size: int, seed: Bytes32) -> Drawn:
    """Draws from what matches in the index's log, all of it where that is less.

    Raises MalformedInput for a size out of range, LogRefused for an index that is empty or was not built to a checkpoint's end.
    """
    if not 1 <= size <= MAX_SAMPLE:
        raise MalformedInput("sample size", f"1 to {MAX_SAMPLE}", size)
    if len(seed) != 32:
        raise MalformedInput("seed", "32 bytes", f"{len(seed)} bytes")
    checkpoint = index.checkpoint
    if checkpoint is None or not checkpoint.note:
        raise LogRefused("index", "one that is built to a checkpoint", "one that is empty or being built")
    population = index.matching(wanted)
    if index.checkpoint != checkpoint:
        raise LogRefused("index", f"one that stays at size {checkpoint.size} while a sample is drawn", "another checkpoint")
    digest = compute_population_digest(checkpoint, population)
    places = draw_places(seed, digest, len(population), min(size, len(population)))
    return Drawn(checkpoint, wanted, seed, len(population), digest, tuple(int(population[place]) for place in places))


def compute_population_digest(checkpoint: Checkpoint, indices: np.ndarray | Sequence[int]) -> Bytes32:
    """Of what could be drawn: the log's head and every index, ascending."""
    head = f"affidavit/population@1\n{checkpoint.origin}\n{checkpoint.size}\n{checkpoint.root.hex()}\n"
    return Bytes32(hashlib.sha256(head.encode() + np.asarray(indices, ">u8").tobytes()).digest())


def draw_places(seed: bytes, digest: bytes, population: int, size: int) -> list[int]:
    """`size` different places in 0 … population − 1, as drawn."""
    numbers = _numbers(seed, digest)
    moved: dict[int, int] = {}  # what stands in a place where that is not its own number
    places = []
    for k in range(size):
        other = k + _below(numbers, population - k)
        places.append(moved.get(other, other))
        moved[other] = moved.get(k, k)
    return places


def _below(numbers: Iterator[int], bound: int) -> int:
    """The next number of the stream that lets every remainder by `bound` have the same chance; its remainder."""
    limit = (1 << 64) // bound * bound
    return next(number for number in numbers if number < limit) % bound


def _numbers(seed: bytes, digest: bytes) -> Iterator[int]:
    counter = 0
    while True:
        block = hashlib.sha256(b"affidavit/sample@1\n" + seed + digest + counter.to_bytes(8, "big")).digest()
        yield from (int.from_bytes(block[at : at + 8], "big") for at in range(0, 32, 8))
        counter += 1
