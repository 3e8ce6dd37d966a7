"""What a writer may write about. A token that leaks, or an application that misbehaves, spoils no more than what it was for.

    chain    records of calls on chain (`audit.request_id`): nodes and relays
    calls    calls outside it (`audit.call_id`), what people decided about them, and errors of no call: applications, proxies
    office   reviews, samples, incidents, disclosures, holds, erasures, decisions of people: the office

What the log says of its clock, its keys, its configuration and its anchors only the log says. Whoever begins a call outside the chain
is the only one who may end it, whatever the scopes are.
"""

from __future__ import annotations

from enum import StrEnum

from oracle.audit.record import REQUEST_ID
from oracle.records import Entry, EntryKind


class Scope(StrEnum):
    CHAIN = "chain"
    CALLS = "calls"
    OFFICE = "office"


_OFFICE_KINDS = {EntryKind.REVIEW, EntryKind.DISCLOSURE, EntryKind.HOLD, EntryKind.ERASURE, EntryKind.CONFIG, EntryKind.KEY_ROTATION}


def scopes_of(entry: Entry) -> frozenset[Scope]:
    """Each of these scopes is enough for an entry; none where anybody may write it."""
    if entry.kind is EntryKind.CLOCK:
        return frozenset()
    if entry.kind in _OFFICE_KINDS:
        return frozenset({Scope.OFFICE})
    if entry.kind is EntryKind.OVERRIDE:
        return frozenset({Scope.CALLS, Scope.OFFICE})
    return frozenset({Scope.CHAIN if REQUEST_ID in entry.fields else Scope.CALLS})
