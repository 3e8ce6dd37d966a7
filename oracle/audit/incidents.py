"""Incidents as records of the log, and the clocks that Article 73 of Regulation (EU) 2024/1689 sets for reporting them.

An incident is told by review records with the action `incident`: opened, then reported (an incomplete report first, where that is
needed: paragraph 5), then closed. Public: a name for it, how grave it is, when somebody became aware of it, and the entries it is about.
Sealed: why. Once somebody is aware, the report is to be made at once, and not later than after

    15 days    paragraph 2
    10 days    where a person died: paragraph 4
     2 days    for a widespread infringement, or a serious and irreversible disruption of critical infrastructure (Article 3, point
               (49)(b)): paragraph 3
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from oracle.audit.record import Record
from oracle.errors import MalformedInput
from oracle.records import Entry, EntryKind, FieldValue
from oracle.seams import format_time

ACTION = "incident"


class Gravity(StrEnum):
    """Which clock runs."""

    SERIOUS = "serious"
    DEATH = "death"
    CRITICAL_INFRASTRUCTURE = "critical_infrastructure"
    WIDESPREAD_INFRINGEMENT = "widespread_infringement"


DAYS = {Gravity.SERIOUS: 15, Gravity.DEATH: 10, Gravity.CRITICAL_INFRASTRUCTURE: 2, Gravity.WIDESPREAD_INFRINGEMENT: 2}
"""Counted here as so many times 24 hours. The law counts whole days after the one of the event (Regulation 1182/71, Article 3), so its
period never ends before this one."""


class IncidentStep(StrEnum):
    OPENED = "opened"
    REPORTED = "reported"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as of its records. Times are those that the records give."""

    id: str
    gravity: Gravity
    aware: datetime
    opened: datetime
    reported: datetime | None = None
    closed: datetime | None = None
    indices: tuple[int, ...] = ()  # of the entries it is about
    told_at: tuple[int, ...] = ()  # of its own records

    @property
    def due(self) -> datetime:
        """The latest moment for a report."""
        return self.aware + timedelta(days=DAYS[self.gravity])

    def is_overdue(self, moment: datetime) -> bool:
        """Reported too late, or not at all by `moment`."""
        return (self.reported or moment) > self.due


def incident_entry(
    incident_id: str,
    step: IncidentStep,
    gravity: Gravity,
    aware: datetime,
    actor: str,
    moment: datetime,
    indices: Sequence[int] = (),
    reason: str = "",
) -> Entry:
    """The record of a step. `reason` is sealed."""
    fields: dict[str, FieldValue] = {
        "audit.actor": actor,
        "audit.review.action": ACTION,
        "audit.incident.id": incident_id,
        "audit.incident.step": str(step),
        "audit.incident.gravity": str(gravity),
        "audit.incident.aware": format_time(aware),
    }
    if indices:
        fields["audit.incident.indices"] = [str(index) for index in indices]
    return Entry(EntryKind.REVIEW, format_time(moment), fields, sealed={"audit.reason": reason} if reason else {})


def is_incident(record: Record) -> bool:
    return record.kind is EntryKind.REVIEW and record.fields.get("audit.review.action") == ACTION


def check_incident(entry: Entry) -> None:
    """At the log's door: one that cannot be read would end every report on its period. Raises EntryRejected or MalformedInput."""
    record = Record(entry.kind, entry.time, entry.time, "", 1, None, entry.fields)
    if is_incident(record):
        _read(0, record)


def read_incidents(records: Iterable[tuple[int, Record]]) -> list[Incident]:
    """The incidents that records tell of, by the order in which they were opened. What another writer says of the same name counts too.

    A graver word or an earlier awareness said later holds from then on: a clock may only become shorter. Raises MalformedInput.
    """
    found: dict[str, Incident] = {}
    for index, record in records:
        told = _read(index, record)
        before = found.get(told.id)
        found[told.id] = told if before is None else _merge(before, told)
    return list(found.values())


def _read(index: int, record: Record) -> Incident:
    fields, moment = record.fields, datetime.fromisoformat(record.time)
    try:
        gravity, step = Gravity(str(fields.get("audit.incident.gravity"))), IncidentStep(str(fields.get("audit.incident.step")))
        aware = datetime.fromisoformat(record.text("audit.incident.aware"))
        about = fields.get("audit.incident.indices")
        indices = tuple(int(item) for item in about) if isinstance(about, list) else ()
        if aware.tzinfo is None:
            raise ValueError("a time without its zone")
        aware + timedelta(days=DAYS[gravity])  # the calendar has the day on which a report is due
    except (ValueError, OverflowError) as error:
        raise MalformedInput(f"incident in entry {index}", "a gravity, a step, a time and entries", str(error)[:80]) from error
    reported = moment if step is IncidentStep.REPORTED else None
    closed = moment if step is IncidentStep.CLOSED else None
    return Incident(record.text("audit.incident.id"), gravity, aware, moment, reported, closed, indices, (index,))


def _merge(before: Incident, told: Incident) -> Incident:
    return Incident(
        before.id,
        min(before.gravity, told.gravity, key=lambda gravity: DAYS[gravity]),
        min(before.aware, told.aware),
        before.opened,
        before.reported or told.reported,
        before.closed or told.closed,
        tuple(sorted({*before.indices, *told.indices})),
        before.told_at + told.told_at,
    )
