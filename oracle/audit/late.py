"""Records that are written after the fact, because the log did not answer when it should have: marked, in order, and never twice.

An append whose answer was lost may have been written. So the late form of an entry goes under the key of the first try, and where the log
says that the key stands for another entry, the first try was written after all: asked for again, it tells its place.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from oracle.errors import EntryRejected, LogRefused
from oracle.records import Appended, Entry, FieldValue
from oracle.seams import EntryLog

IS_LATE = "audit.is_late"


class LogPolicy(StrEnum):
    """What a call does when its record cannot be logged now."""

    CLOSED = "closed"  # it fails
    OPEN = "open"  # it goes on, with an alarm, and is told late


def late(entry: Entry) -> Entry:
    """The entry as one that was written after what it tells of."""
    return replace(entry, fields=entry.fields | {IS_LATE: True})


def append_late(log: EntryLog, entry: Entry, key: str) -> Appended:
    """Appends what could not be appended in time. Raises as `EntryLog.append` does, EntryRejected where the key has a third entry."""
    try:
        return log.append(late(entry), key)
    except (LogRefused, EntryRejected) as refusal:
        if key not in str(refusal):
            raise
    try:
        return log.append(entry, key)
    except LogRefused as refusal:
        if key not in str(refusal):
            raise
        raise EntryRejected(f"late entry {key}", "the entry the key was first used for", "another") from refusal


def is_late(fields: dict[str, FieldValue]) -> bool:
    """Whether a record says that it was written after the fact."""
    return fields.get(IS_LATE) is True
