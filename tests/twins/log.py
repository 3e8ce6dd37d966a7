"""A log in memory: `oracle.seams.EntryLog` with keys, refusals and outages, for tests that are about who appends what and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oracle.audit.record import check_entry
from oracle.encoding import canonical_json, keccak256
from oracle.errors import EntryRejected, LogRefused, PeerError
from oracle.records import Appended, Entry, EntryKind


class LogTwin:
    """Takes what the real log takes (`check_entry`), once for each key. `before` is called ahead of every append, and may raise."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.is_down = False
        self.is_closed = False
        self.loses_answers = 0  # the next appends are written, but the caller is told that the log did not answer
        self.before: Callable[[Entry], None] = lambda entry: None
        self._by_key: dict[str, tuple[bytes, Appended]] = {}

    def append(self, entry: Entry, key: str | None = None) -> Appended:
        if self.is_down:
            raise PeerError("the log did not answer") from ConnectionRefusedError("twin is down")
        if self.is_closed:
            raise LogRefused("log", "an open log", "a closed one")
        self.before(entry)
        check_entry(entry)
        appended = self._place(entry, key)
        if self.loses_answers:
            self.loses_answers -= 1
            raise PeerError("the log did not answer in time") from TimeoutError("twin lost the answer")
        return appended

    def append_batch(self, items: Sequence[tuple[Entry, str | None]]) -> list[Appended]:
        for entry, _key in items:
            check_entry(entry)
        return [self.append(entry, key) for entry, key in items]

    def _place(self, entry: Entry, key: str | None) -> Appended:
        content = entry.kind.encode() + canonical_json(entry.fields)
        if key is not None and key in self._by_key:
            earlier, appended = self._by_key[key]
            if earlier != content:
                raise EntryRejected(f"entry {key}", "the fields it had first", "others")
            return appended
        self.entries.append(entry)
        size = len(self.entries)
        appended = Appended(size - 1, keccak256(content + entry.time.encode()), size)
        if key is not None:
            self._by_key[key] = (content, appended)
        return appended

    def is_ready(self) -> bool:
        return not (self.is_down or self.is_closed)

    def kinds(self) -> list[EntryKind]:
        return [entry.kind for entry in self.entries]
