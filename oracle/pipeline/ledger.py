"""A node's way into the log: in time, or, where its policy is open and the log is away, with an alarm and later.

Closed: an entry that the log does not take now fails what it belongs to, which is tried again. Open: it is remembered in the node's own
database, the call goes on, and as soon as the log answers again everything owed is written to it in order, marked late. While anything is
owed new entries are owed too: none overtakes an earlier one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from oracle import journal
from oracle.audit.entries import intent_link
from oracle.audit.late import LogPolicy, append_late
from oracle.audit.record import entry_from_json, entry_to_json
from oracle.errors import EntryRejected, InvariantBroken, LogRefused, MalformedInput, OutOfScope, PeerError, TooLarge, Unauthorised
from oracle.node.metrics import NodeMetrics
from oracle.node.owed import OwedEntries, OwedEntry
from oracle.pipeline.background import Step
from oracle.records import Appended, Bytes32, Entry, EntryKind
from oracle.seams import EntryLog

DELIVER_SECONDS = 0.5
"""How long the delivery of what is owed waits when nothing is."""


class Statement(NamedTuple):
    """What `Ledger.append` is given."""

    request_id: Bytes32
    entry: Entry
    key: str
    is_behind: bool = False


class Ledger:
    """Safe for threads. `is_away` is set from the first entry that could not be written until the last one is."""

    def __init__(self, log: EntryLog, owed: OwedEntries, policy: LogPolicy, metrics: NodeMetrics) -> None:
        self._log, self.owed, self.policy, self._metrics = log, owed, policy, metrics
        self.is_away = threading.Event()
        if owed.count():
            self.is_away.set()

    def append(self, request_id: Bytes32, entry: Entry, key: str, is_behind: bool = False) -> Appended | None:
        """The entry's place; None where it is owed. `is_behind` says that an earlier entry of the call is.

        Raises PeerError when the policy is closed and the log does not take it now, InvariantBroken when it never will.
        """
        if (written := self.owed.place_of(key)) is not None:
            return written
        if self.policy is LogPolicy.CLOSED:
            if is_behind:
                raise PeerError("an earlier entry of this call waits for the log")
            return self._append(entry, key)
        if is_behind or self.is_away.is_set():
            self._owe(request_id, entry, key)
            return None
        try:
            return self._append(entry, key)
        except PeerError as error:
            self._owe(request_id, entry, key)
            self.is_away.set()
            self._metrics.log_failures.inc()
            fields = {"kind": entry.kind, "error": str(error), "cause": repr(error.__cause__)}
            journal.get("node").critical("answering without the log", request_id=request_id, **fields)
            return None

    def append_all(self, items: Sequence[Statement]) -> list[Appended | PeerError | None]:
        """As `append` for each, in one question to the log where that can be; a PeerError stands in the place of those it is raised for.

        Raises InvariantBroken as `append` does, for the first.
        """
        written = self.owed.places_of([item.key for item in items])
        left = [item for item in items if item.key not in written]
        done: dict[str, Appended | PeerError | None] = dict(written)
        if len(left) > 1 and not self.is_away.is_set() and not any(item.is_behind for item in left):
            done |= self._append_together(left)
        for item in left:
            if item.key not in done:
                try:
                    done[item.key] = self.append(*item)
                except PeerError as error:
                    done[item.key] = error
        return [done[item.key] for item in items]

    def _append_together(self, items: Sequence[Statement]) -> dict[str, Appended | PeerError | None]:
        """What the log takes at once: all or nothing, where one is refused; which one, is found by asking about each."""
        try:
            places = self._log.append_batch([(item.entry, item.key) for item in items])
        except PeerError as error:
            return {} if self.policy is LogPolicy.OPEN else {item.key: error for item in items}
        except (LogRefused, Unauthorised, EntryRejected, MalformedInput, TooLarge):
            return {}
        return {item.key: place for item, place in zip(items, places, strict=True)}

    def _append(self, entry: Entry, key: str) -> Appended:
        try:
            return self._log.append(entry, key)
        except (LogRefused, Unauthorised, OutOfScope) as error:
            raise PeerError(f"the log takes no entry of this node: {error}") from error
        except (EntryRejected, MalformedInput, TooLarge) as error:
            raise InvariantBroken(f"the log refuses the {entry.kind} entry {key}: {error}") from error

    def _owe(self, request_id: Bytes32, entry: Entry, key: str) -> None:
        self.owed.add(request_id, entry.kind, key, json.dumps(entry_to_json(entry)))

    # ---- later ------------------------------------------------------------------------------------------------------------------
    def deliver(self) -> int:
        """Writes everything owed, oldest first, marked late. Returns how many. Raises PeerError when the log does not take them now."""
        delivered = 0
        while (owed := self.owed.next()) is not None:
            try:
                self.owed.mark_delivered(owed, append_late(self._log, self._read(owed), owed.key))
                delivered += 1
            except (LogRefused, Unauthorised, OutOfScope) as error:
                raise PeerError(f"the log takes no entry of this node: {error}") from error
            except (EntryRejected, MalformedInput, TooLarge) as error:
                self.owed.mark_refused(owed, error)
                journal.get("node").critical("the log will never take an owed entry", key=owed.key, error=str(error))
        self.is_away.clear()
        return delivered

    def _read(self, owed: OwedEntry) -> Entry:
        """The entry, with the place of its intent where that was owed too."""
        entry = entry_from_json(json.loads(owed.text))
        if entry.kind is EntryKind.INTENT or "audit.intent.index" in entry.fields:
            return entry
        intent = self.owed.intent_of(owed.request_id)
        return entry if intent is None else replace(entry, fields=entry.fields | intent_link(intent))


def make_deliver_step(ledger: Ledger) -> Step:
    """Whatever the policy: a node that is closed today may owe from yesterday."""

    def step() -> float:
        if delivered := ledger.deliver():
            journal.get("node").warning("entries written late", entries=delivered)
        return DELIVER_SECONDS

    return step
