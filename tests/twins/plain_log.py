"""A log as files, written without a sequencer: quickly, and with whatever stamps a test wants, true or false."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.note import SignerKey
from oracle.audit.publisher import Edge
from oracle.audit.record import Previous, encode_record, read_call_id
from oracle.audit.source import DirectorySource
from oracle.audit.tree import hash_leaf
from oracle.audit.view import LogView
from oracle.records import Bytes32, Entry, EntryKind
from oracle.seams import format_time
from tests.twins.logs import KEY

START = datetime(2026, 11, 22, 10, tzinfo=UTC)


def call(number: int) -> str:
    """A call's id."""
    return "0x" + number.to_bytes(32, "big").hex()


class PlainLog:
    """`add` what is to be logged, `publish` it, look at it with `view`."""

    def __init__(self, directory: Path, key: SignerKey = KEY) -> None:
        self.directory = directory
        self.key = key
        self.data: list[bytes] = []
        self._edge = Edge()
        self._sequences: dict[str, int] = {}
        self._calls: dict[Bytes32, Previous] = {}
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(item) for item in self.data]

    def add(
        self,
        kind: EntryKind,
        at: float = 0.0,
        writer: str = "node-1",
        sequence: int | None = None,
        logged_after: float = 0.004,
        **fields: Any,
    ) -> int:
        """Stamps and links an entry of `at` seconds after START; names of fields with "__" for the dots. Returns its index."""
        named: dict[str, Any] = {"audit.actor": writer} | {name.replace("__", "."): value for name, value in fields.items()}
        moment = START + timedelta(seconds=at)
        number = self._sequences.get(writer, 0) + 1 if sequence is None else sequence
        self._sequences[writer] = number
        call_id = read_call_id(named)
        previous = None if call_id is None else self._calls.get(call_id)
        entry = Entry(kind, format_time(moment), named)
        self.add_bytes(encode_record(entry, writer, number, format_time(moment + timedelta(seconds=logged_after)), previous))
        if call_id is not None:
            self._calls[call_id] = Previous(len(self.data) - 1, hash_leaf(self.data[-1]))
        return len(self.data) - 1

    def intent(self, number: int, at: float = 0.0, stream: int | None = None, sequence: int | None = None, **more: Any) -> int:
        """An intent of call `number`, with its place in a caller's stream where one is given."""
        numbered = {} if stream is None else {"audit__caller__stream": f"{stream:032x}", "audit__caller__sequence": sequence}
        return self.add(EntryKind.INTENT, at, audit__call_id=call(number), gen_ai__operation__name="chat", **numbered, **more)

    def result(self, number: int, intent: int, at: float = 0.5, **more: Any) -> int:
        """The result of an intent."""
        link = {"audit__intent__index": intent, "audit__intent__leaf_hash": "0x" + hash_leaf(self.data[intent]).hex()}
        return self.add(EntryKind.RESULT, at, audit__call_id=call(number), audit__outcome="ok", **(link | more))

    def clock(self, at: float = 0.0, **more: Any) -> int:
        told = {"audit__clock__source": "kernel", "audit__clock__is_synchronised": True} | more
        return self.add(EntryKind.CLOCK, at, **told)

    def add_bytes(self, record: bytes) -> None:
        """A leaf, whatever it is."""
        self.data.append(record)

    def publish(self) -> PlainLog:
        """Writes what was added since, and a checkpoint over all of it."""
        self.write_files(self._edge.extend(self.data[self._edge.size :])[0])
        note = sign_checkpoint(self._edge.size, self._edge.frontier.root(), self.key).note
        (self.directory / "checkpoint").write_text(note)
        return self

    def write_files(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            target = self.directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def view(self) -> LogView:
        return LogView(DirectorySource(self.directory), self.key.verifier)

    def extend(self, records: Iterable[bytes]) -> PlainLog:
        self.data.extend(records)
        return self.publish()
