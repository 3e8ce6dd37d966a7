"""Counting the records of a period for a report, one at a time, in the log's order."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from oracle.audit.incidents import is_incident
from oracle.audit.record import Record
from oracle.office.report import Action, SampleRow
from oracle.records import EntryKind, FieldValue

SystemKey = tuple[str, str, str, str, str]

_INDEX = re.compile("[0-9]{1,16}")
"""A writer's list may hold any text; Python refuses to read a number of thousands of digits, and knows other digits than these."""

_ACTIONS = {
    EntryKind.DISCLOSURE: ("audit.disclosure.action", ("audit.disclosure.indices", "audit.disclosure.minutes", "audit.disclosure.id")),
    EntryKind.HOLD: (
        "audit.hold.action",
        ("audit.hold.first_index", "audit.hold.last_index", "audit.hold.call_id", "audit.hold.subject", "audit.hold.id"),
    ),
    EntryKind.ERASURE: (
        "audit.erasure.action",
        ("audit.erasure.cause", "audit.erasure.indices", "audit.erasure.subject", "audit.erasure.requested.indices", "audit.erasure.id"),
    ),
    EntryKind.OVERRIDE: ("audit.override.action", ("audit.subject.index",)),
    EntryKind.REVIEW: ("audit.review.outcome", ("audit.review.index",)),
    EntryKind.CONFIG: ("audit.config.action", ()),
    EntryKind.KEY_ROTATION: ("audit.key.action", ()),
}
"""Of kinds of which a report lists every record: the field that says what was done, and those that say to what."""


def text_of(record: Record, name: str) -> str:
    value = record.fields.get(name)
    return value if isinstance(value, str) else "" if value is None else str(value)


def integer_of(record: Record, name: str) -> int | None:
    value = record.fields.get(name)
    return value if type(value) is int and value >= 0 else None


def items_of(record: Record, name: str) -> list[str]:
    value = record.fields.get(name)
    return value if isinstance(value, list) else []


@dataclass
class Counts:
    """What the records of the period say, added up."""

    records: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    systems: Counter[SystemKey] = field(default_factory=Counter)
    error_types: Counter[str] = field(default_factory=Counter)
    guardrails: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    costs: Counter[str] = field(default_factory=Counter)
    reference_data: Counter[str] = field(default_factory=Counter)
    retention: Counter[str] = field(default_factory=Counter)
    redactions: Counter[str] = field(default_factory=Counter)
    clock_sources: dict[str, Counter[str]] = field(default_factory=dict)
    unsynchronised: Counter[str] = field(default_factory=Counter)
    disclosed_calls: int = 0
    firsts: list[int] = field(default_factory=list)  # of calls
    samples: list[SampleRow] = field(default_factory=list)
    incidents: list[tuple[int, Record]] = field(default_factory=list)
    actions: dict[EntryKind, list[Action]] = field(default_factory=dict)
    readings: list[Action] = field(default_factory=list)
    anchors: list[Record] = field(default_factory=list)

    def enter(self, index: int, record: Record) -> None:
        self.records += 1
        self.kinds[str(record.kind)] += 1
        if record.retention is not None:
            self.retention[record.retention] += 1
        self.redactions.update(items_of(record, "audit.redactions"))
        if record.call_id is not None:
            self._enter_call(index, record)
        if record.kind is EntryKind.CLOCK:
            self.clock_sources.setdefault(record.writer, Counter())[text_of(record, "audit.clock.source")] += 1
            self.unsynchronised[record.writer] += record.fields.get("audit.clock.is_synchronised") is False
        if record.kind is EntryKind.ANCHOR:
            self.anchors.append(record)
        if record.kind in _ACTIONS:
            self._enter_action(index, record)

    def _enter_call(self, index: int, record: Record) -> None:
        if record.previous is None:
            self.firsts.append(index)
            names = ("audit.tenant", "audit.system", "audit.system.version", "audit.purpose", "audit.risk_class")
            tenant, system, version, purpose, risk_class = (text_of(record, name) for name in names)
            self.systems[(tenant, system, version, purpose, risk_class)] += 1
        if record.kind is EntryKind.ERROR:
            self.error_types[text_of(record, "error.type")] += 1
        for name, key in (("input", "gen_ai.usage.input_tokens"), ("output", "gen_ai.usage.output_tokens")):
            self.tokens[name] += integer_of(record, key) or 0
        if cost := integer_of(record, "audit.cost_micros"):
            self.costs[text_of(record, "audit.cost_currency") or "?"] += cost
        self.guardrails.update(items_of(record, "audit.guardrails"))
        self.reference_data.update(items_of(record, "audit.reference_data"))
        self.disclosed_calls += record.kind is EntryKind.RESULT and record.fields.get("audit.is_disclosed") is True

    def _enter_action(self, index: int, record: Record) -> None:
        if is_incident(record):
            self.incidents.append((index, record))
        elif record.kind is EntryKind.REVIEW and record.fields.get("audit.review.action") == "sample":
            self.samples.append(_read_sample(index, record))
        elif record.kind is EntryKind.DISCLOSURE and record.fields.get("audit.disclosure.action") == "read":
            self.readings.append(read_action(index, record))
        else:
            self.actions.setdefault(record.kind, []).append(read_action(index, record))


def read_action(index: int, record: Record) -> Action:
    """One row of a list of what people and processes did."""
    name, about = _ACTIONS[record.kind]
    named = about or tuple(sorted(n for n in record.fields if n not in ("audit.actor", name)))
    told = "; ".join(f"{_short(n)} {_words(record.fields[n])}" for n in named if n in record.fields)
    return Action(index, record.time, text_of(record, "audit.actor"), text_of(record, name) or str(record.kind), told)


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _words(value: FieldValue) -> str:
    if not isinstance(value, list):
        return str(value)
    return ", ".join(value[:8]) + (f" and {len(value) - 8} more" if len(value) > 8 else "")


def _read_sample(index: int, record: Record) -> SampleRow:
    indices = tuple(int(item) for item in items_of(record, "audit.sample.indices") if _INDEX.fullmatch(item))
    names = ("audit.actor", "audit.review.id", "audit.sample.seed", "audit.sample.population_digest")
    actor, sample_id, seed, digest = (text_of(record, name) for name in names)
    return SampleRow(index, record.time, actor, sample_id, seed, integer_of(record, "audit.sample.population") or 0, digest, indices)
