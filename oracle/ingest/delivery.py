"""Getting one record into the log, or, where the log does not take it now: the alarm, the spool, and only then the policy's decision."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from oracle import journal
from oracle.audit.late import LogPolicy
from oracle.errors import AffidavitError, LogRefused, PeerError, StoreError, TooLarge, Unauthorised, WorldError
from oracle.ingest.metrics import RecorderMetrics
from oracle.ingest.spool import Spool
from oracle.records import Appended, Bytes32, Entry
from oracle.seams import EntryLog

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.2, 10.0
NOT_NOW = (WorldError, LogRefused, Unauthorised)
"""Errors after which the same entry may be taken later. Others are about the entry, and stay."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What was not logged in time. `is_lost` when it could not be spooled either, and the call goes on."""

    call_id: Bytes32
    kind: str
    error: AffidavitError
    is_lost: bool


class Delivery:
    """One writer's way into the log. With a spool a thread of its own delivers what waits, also what an earlier process left.

    `is_away` is set from the first record that could not be logged until the spool is empty. With the policy open nobody asks the log
    meanwhile but that thread: a log that swallows connections would cost each call its timeouts.
    """

    def __init__(
        self, log: EntryLog, policy: LogPolicy, spool: Spool | None, metrics: RecorderMetrics, on_alarm: Callable[[Alarm], None] | None
    ) -> None:
        self._log, self.policy, self._spool, self._metrics, self._on_alarm = log, policy, spool, metrics, on_alarm
        self._bell, self._stopping, self.is_away = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._deliver_until_closed, name="spool", daemon=True)
        if spool is not None:
            self._metrics.spooled.set(spool.count())
            self._thread.start()
            self._bell.set()

    def append(self, call_id: Bytes32, entry: Entry, key: str, is_behind: bool = False) -> Appended | None:
        """The record's place; None where it waits in the spool and the policy is open.

        `is_behind` says that an earlier record of the call waits there, which this one must not overtake.
        Raises what the log answered: always for an entry it will never take, with the policy closed also for one it does not take now.
        """
        if is_behind or (self.policy is LogPolicy.OPEN and self.is_away.is_set()):
            self._keep(call_id, entry, key, PeerError("earlier records wait for the log"))
            return None
        try:
            appended = self._log.append(entry, key)
        except NOT_NOW as error:
            self._keep(call_id, entry, key, error)
            return None
        self._metrics.records.labels(entry.kind, "logged").inc()
        return appended

    def append_now(self, entry: Entry, key: str) -> Appended:
        """For what a person waits for: in the log, or the log's error. The spool has no part in it."""
        appended = self._log.append(entry, key)
        self._metrics.records.labels(entry.kind, "logged").inc()
        return appended

    def keep(self, call_id: Bytes32, entry: Entry, key: str) -> None:
        """Keeps a record behind one that waits, where there is a spool: of a call that was not made."""
        if self._spool is not None:
            self._spool_it(call_id, entry, key)

    def _keep(self, call_id: Bytes32, entry: Entry, key: str, error: AffidavitError) -> None:
        is_first = not self.is_away.is_set()
        is_kept = self._spool_it(call_id, entry, key)
        if is_kept:
            self.is_away.set()
        alarm = Alarm(call_id, str(entry.kind), error, not is_kept and self.policy is LogPolicy.OPEN)
        self._raise_alarm(alarm, "spooled" if is_kept else "lost" if alarm.is_lost else "refused", is_first)
        if self.policy is LogPolicy.CLOSED:
            raise error

    def _spool_it(self, call_id: Bytes32, entry: Entry, key: str) -> bool:
        if self._spool is None:
            return False
        try:
            self._spool.add(call_id, entry, key)
            self._metrics.spooled.set(self._spool.count())
        except (StoreError, TooLarge) as error:
            journal.get("recorder").critical("not spooled", call_id=call_id, kind=entry.kind, error=str(error))
            return False
        self._bell.set()
        return True

    def _raise_alarm(self, alarm: Alarm, fate: str, is_first: bool) -> None:
        """Counted and told for each record; in the journal once for each outage, and for each record that is lost."""
        self._metrics.records.labels(alarm.kind, fate).inc()
        self._metrics.alarms.labels(type(alarm.error).__name__).inc()
        if alarm.is_lost:
            self._metrics.lost.inc()
        fields = {"call_id": alarm.call_id, "kind": alarm.kind, "fate": fate, "policy": self.policy, "error": str(alarm.error)}
        if is_first or alarm.is_lost:
            journal.get("recorder").critical("not logged in time", **fields)
        if self._on_alarm is not None:
            self._on_alarm(alarm)

    def count_waiting(self) -> int:
        """Records in the spool."""
        return 0 if self._spool is None else self._spool.count()

    # ---- the spool's thread -------------------------------------------------------------------------------------------------------
    def deliver(self) -> int:
        """Delivers what waits, now. Returns how many records. Raises as `EntryLog.append` does."""
        if self._spool is None:
            return 0
        try:
            return self._spool.deliver(self._log)
        finally:
            self._metrics.spooled.set(waiting := self._spool.count())
            if not waiting:
                self.is_away.clear()

    def _deliver_until_closed(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            self._bell.wait()
            self._bell.clear()
            try:
                delivered = self.deliver()
            except NOT_NOW as error:
                journal.get("recorder").warning("the spool waits", error=str(error), seconds=pause)
                self._stopping.wait(pause)
                pause = min(MAX_PAUSE_SECONDS, 2 * pause)
                self._bell.set()
                continue
            pause = FIRST_PAUSE_SECONDS
            if delivered:
                journal.get("recorder").warning("delivered late", records=delivered)

    def close(self) -> None:
        """Stops the thread; what waits stays on disk for the next start."""
        self._stopping.set()
        self._bell.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._spool is not None:
            self._spool.close()
