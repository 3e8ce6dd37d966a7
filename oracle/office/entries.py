"""What people do, as records. Public: who (a pseudonym), what, over which entries. Sealed: why, and what they wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from oracle.office.cases import Case, CaseKind
from oracle.records import Entry, EntryKind, FieldValue

_WORDS = {"reason": "audit.reason", "note": "audit.review.note", "filter": "audit.sample.filter"}
_OVERRIDE_WORDS = {"reason": "audit.override.reason", "first": "audit.verifier.first", "second": "audit.verifier.second"}
"""Where the words of a case's details stand in its first record, sealed."""


def describe(case: Case, step: str, actor: str, time: str) -> Entry:
    """The record of a case's step."""
    kind, fields = _FIELDS[case.kind]
    public = {"audit.actor": actor} | fields(case, step)
    return Entry(kind, time, public, sealed=_sealed(case))


def read_entry(case: Case, index: int, actor: str, time: str) -> Entry:
    """That somebody is about to be shown the content of one entry."""
    fields: dict[str, FieldValue] = {
        "audit.actor": actor,
        "audit.disclosure.action": "read",
        "audit.disclosure.id": case.id,
        "audit.disclosure.indices": [str(index)],
    }
    return Entry(EntryKind.DISCLOSURE, time, fields)


def _sealed(case: Case) -> dict[str, FieldValue]:
    """Words are given where a case begins; later steps refer to it."""
    if case.history:
        return {}
    names = dict(_OVERRIDE_WORDS if case.kind is CaseKind.OVERRIDE else _WORDS)
    given = {field: case.details[name] for name, field in names.items() if case.details.get(name)}
    return {field: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for field, value in given.items()}


def _disclosure(case: Case, step: str) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {
        "audit.disclosure.action": step,
        "audit.disclosure.id": case.id,
        "audit.disclosure.indices": _indices(case.details),
        "audit.disclosure.minutes": int(case.details["minutes"]),
    }
    if case.until is not None:
        fields["audit.disclosure.until"] = case.until
    return fields


def _hold(case: Case, step: str) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {"audit.hold.action": step, "audit.hold.id": case.id}
    scope = {name: case.details.get(name) for name in ("first_index", "last_index", "call_id", "subject")}
    return fields | {f"audit.hold.{name}": value for name, value in scope.items() if value is not None}


def _erasure(case: Case, step: str) -> dict[str, FieldValue]:
    """`audit.erasure.indices` and `.subject` stand in the record of the erasure itself alone: what is only asked for is not erased."""
    fields: dict[str, FieldValue] = {
        "audit.erasure.action": step,
        "audit.erasure.cause": "request",
        "audit.erasure.id": case.id,
    }
    prefix = "audit.erasure" if step == "erased" else "audit.erasure.requested"
    if case.details.get("subject"):
        return fields | {f"{prefix}.subject": str(case.details["subject"])}
    return fields | {f"{prefix}.indices": _indices(case.details)}


def _review(case: Case, _step: str) -> dict[str, FieldValue]:
    return {
        "audit.review.action": "review",
        "audit.review.id": case.id,
        "audit.review.index": int(case.details["index"]),
        "audit.review.leaf_hash": str(case.details["leaf_hash"]),
        "audit.review.outcome": str(case.details["outcome"]),
    }


def _sample(case: Case, _step: str) -> dict[str, FieldValue]:
    details = case.details
    return {
        "audit.review.action": "sample",
        "audit.review.id": case.id,
        "audit.sample.seed": str(details["seed"]),
        "audit.sample.seed_is_given": bool(details.get("is_seed_given", True)),
        "audit.sample.population": int(details["population"]),
        "audit.sample.population_digest": str(details["population_digest"]),
        "audit.sample.tree_size": int(details["tree_size"]),
        "audit.sample.root": str(details["root"]),
        "audit.sample.indices": _indices(details),
    }


def _override(case: Case, _step: str) -> dict[str, FieldValue]:
    return {
        "audit.override.action": str(case.details["action"]),
        "audit.override.id": case.id,
        "audit.subject.index": int(case.details["index"]),
        "audit.subject.leaf_hash": str(case.details["leaf_hash"]),
    }


def _indices(details: dict[str, Any]) -> list[str]:
    return [str(index) for index in details["indices"]]


_FIELDS: dict[CaseKind, tuple[EntryKind, Callable[[Case, str], dict[str, FieldValue]]]] = {
    CaseKind.DISCLOSURE: (EntryKind.DISCLOSURE, _disclosure),
    CaseKind.HOLD: (EntryKind.HOLD, _hold),
    CaseKind.ERASURE: (EntryKind.ERASURE, _erasure),
    CaseKind.REVIEW: (EntryKind.REVIEW, _review),
    CaseKind.SAMPLE: (EntryKind.REVIEW, _sample),
    CaseKind.OVERRIDE: (EntryKind.OVERRIDE, _override),
}
