"""A person decided otherwise than the model, or verified what it said (EU AI Act, Art. 12(3)(d), 14(4)(d) and 14(5)).

The record is public in that it exists, for which record, and with which outcome; why, and who verified, are sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from oracle.encoding import to_hex
from oracle.errors import EntryRejected
from oracle.records import Appended, Bytes32, Entry, EntryKind, FieldValue
from oracle.seams import format_time

MAX_VERIFIERS = 2


class Decision(StrEnum):
    CONFIRMED = "confirmed"  # verified by people, and stands
    OVERRIDDEN = "overridden"  # something else was done
    DISREGARDED = "disregarded"  # nothing was done with it


def override_entry(
    call_id: Bytes32,
    subject: Appended,
    actor: str,
    decision: Decision,
    reason: str,
    verifiers: Sequence[str],
    moment: datetime,
    person: str = "",
) -> Entry:
    """About the record `subject` of a call outside the chain. `verifiers` are one or two people; `person` is whom the call is about.

    Raises EntryRejected for no verifier, more than two, or the same one twice.
    """
    if not 0 < len(verifiers) <= MAX_VERIFIERS or len(set(verifiers)) != len(verifiers) or not all(verifiers):
        raise EntryRejected("verifiers", "one or two different people", f"{len(verifiers)}")
    fields: dict[str, FieldValue] = {
        "audit.actor": actor,
        "audit.call_id": to_hex(call_id),
        "audit.override.action": str(decision),
        "audit.subject.index": subject.index,
        "audit.subject.leaf_hash": to_hex(subject.leaf_hash),
    }
    names = ("audit.verifier.first", "audit.verifier.second")
    sealed: dict[str, FieldValue] = dict(zip(names, verifiers, strict=False))
    if reason:
        sealed["audit.override.reason"] = reason
    return Entry(EntryKind.OVERRIDE, format_time(moment), fields, sealed=sealed, subject=person)
