"""How long content is kept, and its end.

A class is `name:days`, counted from when the record was sequenced; the first class is that of entries that name none. Content that is
past its class and under no hold is pruned: an erasure record says which entries, then custody destroys their keys. The records
themselves stay, with every proof.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from oracle import journal
from oracle.audit.access import OWN_WRITER
from oracle.audit.record import require_retention
from oracle.errors import ConfigRejected, EntryRejected, ErasureHeld
from oracle.records import Entry, EntryKind, FieldValue
from oracle.seams import Clock, format_time

if TYPE_CHECKING:
    from oracle.audit.log import Log

MAX_DAYS = 36_500
PRUNED_AT_ONCE = 128
PRUNING = "retention"


@dataclass(frozen=True, slots=True)
class Retention:
    """Classes by name, the default first."""

    days: dict[str, int]

    @property
    def default(self) -> str:
        return next(iter(self.days))

    def class_of(self, name: str) -> str:
        """The class an entry names, or the default. Raises EntryRejected for one that this log does not have."""
        if name and name not in self.days:
            raise EntryRejected("retention class", "one of " + ", ".join(self.days), name)
        return name or self.default

    def expires(self, name: str, moment: datetime) -> int:
        """Seconds since 1970 from which content of that class is no longer kept."""
        return int((moment + timedelta(days=self.days[name])).timestamp())


def parse_retention(classes: Sequence[str]) -> Retention:
    """Raises ConfigRejected for none, a malformed or a repeated one."""
    days: dict[str, int] = {}
    for text in classes:
        name, _, number = text.partition(":")
        if not number.isdecimal() or not 0 < int(number) <= MAX_DAYS or name in days:
            raise ConfigRejected("log: retention", f"name:days, each name once, 1 to {MAX_DAYS} days", text)
        try:
            days[require_retention(name)] = int(number)
        except EntryRejected as error:
            raise ConfigRejected("log: retention", error.expected, error.got) from error
    if not days:
        raise ConfigRejected("log: retention", "at least one class", "none")
    return Retention(days)


def prune_once(log: Log, clock: Clock) -> list[int]:
    """Erases what is past its retention, at most PRUNED_AT_ONCE records; returns their indices.

    Logged first, under a key made of the indices: after a crash the same records are found again, their erasure is not logged twice, and
    their keys are destroyed then. A hold that was placed in between stays stronger: what it keeps is not erased, and the next round
    logs what was.
    """
    now = clock.now()
    if not (indices := log.custody.expired(now, PRUNED_AT_ONCE)):
        return []
    digest = hashlib.sha256(",".join(map(str, indices)).encode()).hexdigest()[:32]
    entry = pruning_entry(indices, digest, now)
    log.append(OWN_WRITER, entry, f"erasure:{PRUNING}:{digest}")
    try:
        return log.custody.destroy_records(indices)
    except ErasureHeld as held:
        journal.get("retention").warning("a hold came between the record of an erasure and the erasure", reason=str(held))
        return []


def pruning_entry(indices: Sequence[int], digest: str, moment: datetime) -> Entry:
    fields: dict[str, FieldValue] = {
        "audit.actor": OWN_WRITER,
        "audit.erasure.cause": PRUNING,
        "audit.erasure.id": f"{PRUNING}:{digest}",
        "audit.erasure.indices": [str(index) for index in indices],
    }
    return Entry(EntryKind.ERASURE, format_time(moment), fields)
