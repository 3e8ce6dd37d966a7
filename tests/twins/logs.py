"""Logs for tests: places in a directory, entries, and a full check of what lies on disk that shares no code with the sequencer."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.content import check_content
from oracle.audit.custodykey import CustodyKey
from oracle.audit.log import Keeper, Log, Places
from oracle.audit.note import SignerKey
from oracle.audit.record import parse_record
from oracle.audit.retention import parse_retention
from oracle.audit.seal import verify_opening
from oracle.encoding import keccak256, to_hex
from oracle.records import Entry, EntryKind
from oracle.seams import Clock
from tests.twins.naive_tree import tree_hash

KEY = SignerKey("log.example/affidavit", bytes(range(32)))
KEEPER = Keeper(CustodyKey(bytes(range(100, 132))), parse_retention(["standard:1096", "brief:1"]))
START = datetime(2026, 11, 22, 10, tzinfo=UTC)


class TickingClock:
    """A clock that moves a millisecond at every look, so that times are different and known."""

    def __init__(self) -> None:
        self._looks = 0

    def now(self) -> datetime:
        self._looks += 1
        return START + timedelta(milliseconds=self._looks)


def places(directory: Path) -> Places:
    entries, checkpoint, custody = (f"sqlite:///{directory}/{name}.sqlite" for name in ("entries", "checkpoint", "custody"))
    return Places(directory / "log", entries, checkpoint, custody)


def open_log(directory: Path, key: SignerKey = KEY, clock: Clock | None = None) -> Log:
    return Log.open(places(directory), key, KEEPER, clock or TickingClock())


def entry(number: int, call: Any = None, **fields: Any) -> Entry:
    """Something small to log; `call` makes it a record of a call."""
    more = {} if call is None else {"audit.request_id": "0x" + call.to_bytes(32, "big").hex()}
    named: dict[str, Any] = {"audit.actor": "tester", "error.type": "test", "test.number": number} | more | fields
    return Entry(EntryKind.ERROR, "2026-11-22T10:00:00.000000Z", named)


def secret_entry(number: int, call: Any = None, person: str = "", retention: str = "", **fields: Any) -> Entry:
    """The same with a sealed field and a body whose digest is sealed: `secret_of(number)` is what is kept of it."""
    plain, words = entry(number, call, **fields), secret_of(number)
    sealed: dict[str, Any] = {"error.message": words.decode(), "gen_ai.input.messages.digest": to_hex(keccak256(words))}
    return replace(plain, bodies={"gen_ai.input.messages.digest": words}, sealed=sealed, subject=person, retention=retention)


def secret_of(number: int) -> bytes:
    return f"the secret of {number}".encode()


def check_secret(log: Log, index: int, number: int) -> None:
    """Custody has what `secret_entry(number)` brought, and it is what the record commits to."""
    content = log.custody.content(index)
    assert content is not None
    assert content.sealed is not None
    assert content.bodies == {"gen_ai.input.messages.digest": secret_of(number)}
    record = parse_record(log.entries.read(index, index + 1)[0].record)
    check_content(content, record.fields, record.sealed)
    verify_opening(content.sealed.open("error.message"), content.sealed.root)


def read_bundles(directory: Path, size: int) -> list[bytes]:
    """The first `size` entries as they lie in the bundles."""
    records: list[bytes] = []
    for number in range(-(-size // 256)):
        width = min(256, size - 256 * number)
        full = directory / "tile/entries" / f"{number:03d}"
        file = full if width == 256 or full.exists() else full.with_name(f"{number:03d}.p") / str(width)
        data, at = file.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 2], "big")
            records.append(data[at + 2 : at + 2 + length])
            at += 2 + length
    return records[:size]


def full_check(directory: Path, key: SignerKey = KEY) -> list[dict[str, Any]]:
    """Everything about a log at rest: the checkpoint is signed, the root is that of the bundles, numbering has no gaps.

    Returns the records, parsed.
    """
    data = (directory / "log/checkpoint").read_bytes()
    checkpoint = open_checkpoint(data, key.verifier)
    records = read_bundles(directory / "log", checkpoint.size)
    assert len(records) == checkpoint.size
    assert tree_hash(records) == b64decode(data.decode().split("\n")[2])
    parsed = [json.loads(record) for record in records]
    for writer in {p["audit.writer"] for p in parsed}:
        sequence = [p["audit.sequence.writer"] for p in parsed if p["audit.writer"] == writer]
        assert sequence == list(range(1, len(sequence) + 1))
    return parsed
