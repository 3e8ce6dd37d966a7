"""Entries made ready for the index: parsed, and what each can be found by worked out, by several processes where there is much to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oracle.audit.ledger import micros
from oracle.audit.parallel import Workers
from oracle.audit.record import Record, parse_record
from oracle.audit.report import ENTRY, failing_at
from oracle.audit.terms import KEY_BYTES, Keys, collect
from oracle.audit.tiles import WIDTH
from oracle.audit.verified import VerifiedTiles
from oracle.errors import InvariantBroken, Rejected
from oracle.records import Bytes32


@dataclass(frozen=True, slots=True)
class Prepared:
    """One entry, in the tree. `terms` and `identifiers` (keys) are without those of its call; times in microseconds since 1970."""

    index: int
    leaf_hash: Bytes32
    record: Record
    call_id: Bytes32 | None
    time: int
    log_time: int
    terms: set[str]
    identifiers: set[int]


_Task = tuple[int, list[tuple[Bytes32, bytes]], bytes]
"""(index of the first, (leaf hash, entry) of each, the index's secret)"""


def prepare_entries(tiles: VerifiedTiles, start: int, secret: bytes, workers: Workers) -> Iterator[Prepared]:
    """Every entry from `start`. Raises AuditFailed for one that is not in the tree or does not parse, after all that come before it."""
    tasks = _read_tasks(tiles, start, secret)
    for prepared, failed in workers.map(_prepare, tasks):
        yield from prepared
        if failed is not None:
            _parse_failed(tiles, failed)


def _read_tasks(tiles: VerifiedTiles, start: int, secret: bytes) -> Iterator[_Task]:
    for number in range(start // WIDTH, -(-tiles.size // WIDTH)):
        first = max(start, number * WIDTH)  # a bundle that grows is read again and again, what was taken in of it is parsed once
        yield first, tiles.bundle(number)[first - number * WIDTH :], secret


def _prepare(task: _Task) -> tuple[list[Prepared], int | None]:
    """In whatever process. Up to the first entry that does not parse, whose index is the second value."""
    start, leaves, secret = task
    keys, prepared = Keys(secret), list[Prepared]()
    for index, (leaf_hash, data) in enumerate(leaves, start):
        try:
            prepared.append(_prepare_one(index, leaf_hash, data, keys))
        except Rejected:
            return prepared, index
    return prepared, None


def _prepare_one(index: int, leaf_hash: Bytes32, data: bytes, keys: Keys) -> Prepared:
    record = parse_record(data)
    times = micros(record.time), micros(record.log_time)
    return Prepared(index, leaf_hash, record, record.call_id, *times, *collect(record, leaf_hash.hex(), keys))


def _parse_failed(tiles: VerifiedTiles, index: int) -> None:
    """Parses it again, for its error."""
    with failing_at(ENTRY, f"entry {index}"):
        leaf_hash, data = tiles.bundle(index // WIDTH)[index % WIDTH]
        _prepare_one(index, leaf_hash, data, Keys(bytes(KEY_BYTES)))
    raise InvariantBroken(f"entry {index} parses once and not the next time")
