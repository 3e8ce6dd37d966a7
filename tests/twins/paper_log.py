"""A log on paper: records in a list, tiles computed when they are asked for, and every lie a server can tell about them.

It is an `oracle.audit.source.LogSource`. `size` is how much of it is shown; `answers` replaces single files by their path, with bytes or
with an exception.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.content import Content
from oracle.audit.note import SignerKey
from oracle.audit.record import encode_record
from oracle.audit.tiles import ENTRIES, HEIGHT, WIDTH, Tile, encode_bundle
from oracle.audit.tree import compute_root, hash_leaf, read_leaves
from oracle.errors import MalformedInput
from oracle.records import Bytes32, Entry, EntryKind, FieldValue
from oracle.seams import format_time
from tests.twins.logs import KEY, START


def make_record(
    number: int,
    writer: str = "w",
    sequence: int | None = None,
    moment: datetime | None = None,
    own: datetime | None = None,
    kind: EntryKind = EntryKind.ERROR,
    **fields: FieldValue,
) -> bytes:
    """Record `number` (from 0) of a log with one writer: a second a record, unless told otherwise."""
    logged = moment or START + timedelta(seconds=number)
    named: dict[str, FieldValue] = {"audit.actor": "tester", "test.number": number}
    if kind is EntryKind.ERROR:
        named["error.type"] = "test"
    entry = Entry(kind, format_time(own or logged), named | {name.replace("__", "."): value for name, value in fields.items()})
    return encode_record(entry, writer, number + 1 if sequence is None else sequence, format_time(logged), None)


class PaperLog:
    """Shown up to `size`, signed by `key`."""

    def __init__(self, records: Sequence[bytes], key: SignerKey = KEY) -> None:
        self.records = list(records)
        self.key = key
        self.size = len(self.records)
        self.answers: dict[str, bytes | Exception] = {}
        self.witnessed: bytes | None = None
        self.reads: list[str] = []

    @classmethod
    def of(cls, size: int, key: SignerKey = KEY) -> PaperLog:
        return cls([make_record(number) for number in range(size)], key)

    @property
    def leaves(self) -> list[bytes]:
        return [bytes(hash_leaf(record)) for record in self.records]

    def note(self, size: int | None = None) -> bytes:
        size = self.size if size is None else size
        return sign_checkpoint(size, compute_root(self.leaves[:size]), self.key).note.encode()

    def _answer(self, path: str, data: bytes) -> bytes:
        self.reads.append(path)
        answer = self.answers.get(path, data)
        if isinstance(answer, Exception):
            raise answer
        return answer

    # ---- LogSource ------------------------------------------------------------------------------------------------------------------
    def read_checkpoint(self) -> bytes:
        return self._answer("checkpoint", self.note())

    def read_witnessed(self) -> bytes | None:
        return self.witnessed

    def read_tile(self, tile: Tile) -> bytes:
        start = tile.index * WIDTH
        if (start + tile.width) << HEIGHT * max(tile.level, 0) > len(self.records):
            raise MalformedInput("paper log", tile.path(), "nothing")
        if tile.level == ENTRIES:
            data = encode_bundle(self.records[start : start + tile.width])
        else:
            read = read_leaves(self.leaves)
            data = b"".join(read(HEIGHT * tile.level, index) for index in range(start, start + tile.width))
        return self._answer(tile.path(), data)

    def read_contents(self, first: int, end: int) -> Mapping[int, Content]:
        return {}

    def find_entries(self, request_id: Bytes32) -> Sequence[int] | None:
        return None
