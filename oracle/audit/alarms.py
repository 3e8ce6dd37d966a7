"""What a monitor raises, and what becomes of it.

    PENDING    seen, and not standing for as long as it takes to be worth an alarm; gone again without a word
    OPEN       raised: told on every channel
    RESOLVED   does not stand any more: told as well. What is proven (a fork, a gap …) is resolved by a person alone

An alarm stands once for its kind and subject. Raising and telling are one transaction: each change of OPEN and RESOLVED is a row in the
outbox, which is emptied at least once, in order, until whoever listens has taken it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, String, Table, Text, delete, func, insert, select, update

from oracle.encoding import canonical_json

FORMAT = "affidavit/alarm@1"
MAX_PAUSE_SECONDS = 300
MAX_TEXT = 1000

metadata = MetaData()
_alarms = Table(
    "monitor_alarms",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("origin", String(512)),
    Column("kind", String(32)),
    Column("subject", String(700)),
    Column("severity", String(16)),
    Column("state", String(16)),
    Column("since", BigInteger),
    Column("text", Text),
    Column("evidence", Text),
)
_outbox = Table(
    "monitor_outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("body", Text),
    Column("attempts", Integer),
    Column("not_before", BigInteger),
)


class AlarmKind(StrEnum):
    """What is wrong. The first four are proofs against the log, and stand until a person looked."""

    FORK = "fork"  # two trees of one log
    FALSE = "false"  # a checkpoint, tile or record that is not what it must be
    GAP = "gap"  # a number of a writer that is missing, or twice
    ROLLBACK = "rollback"  # a log that is smaller than it was
    SILENCE = "silence"  # the log does not answer, refuses to go on, or writes nothing
    LATE_ANCHOR = "late_anchor"
    WITNESS = "witness"  # a quorum that is not met
    CLOCK = "clock"  # times that cannot be, or clocks that nobody disciplines


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


class AlarmState(StrEnum):
    PENDING = "pending"
    OPEN = "open"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a round found wrong. It becomes an alarm once it stood for `grace_seconds`."""

    kind: AlarmKind
    severity: Severity
    subject: str
    text: str
    evidence: Mapping[str, str] = field(default_factory=dict)  # signed notes, by what they are
    grace_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Alarm:
    """A finding with its life. `since` is POSIX seconds: when it was first seen."""

    id: str
    origin: str
    kind: AlarmKind
    subject: str
    severity: Severity
    state: AlarmState
    since: int
    text: str
    evidence: Mapping[str, str]

    def to_json(self, event: str, time: int) -> dict[str, Any]:
        """What is told: `event` is raised or resolved."""
        names = ("id", "origin", "kind", "subject", "severity", "since", "text", "evidence")
        return {"format": FORMAT, "event": event, "time": time} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Message:
    """One row of the outbox."""

    id: int
    body: str
    attempts: int


def record_findings(
    connection: Connection, origin: str, findings: Sequence[Finding], looked_at: Sequence[AlarmKind], now: int
) -> list[Alarm]:
    """Brings the alarms of a log in step with what a round found; returns those that were raised or resolved now.

    `looked_at` are the kinds the round judged: an alarm of another kind stays as it is. Proofs are never among them.
    """
    standing = {(a.kind, a.subject): a for a in _read(connection, origin, AlarmState.PENDING, AlarmState.OPEN)}
    changed: list[Alarm] = []
    for finding in {(f.kind, f.subject): f for f in findings}.values():
        changed += _enter(connection, origin, finding, standing.pop((finding.kind, finding.subject), None), now)
    for alarm in standing.values():
        if alarm.kind in looked_at:
            changed += _leave(connection, alarm, now)
    return changed


def _enter(connection: Connection, origin: str, finding: Finding, known: Alarm | None, now: int) -> list[Alarm]:
    since = now if known is None else known.since
    state = AlarmState.OPEN if known is not None and known.state is AlarmState.OPEN else AlarmState.PENDING
    is_due = state is AlarmState.PENDING and now - since >= finding.grace_seconds
    alarm = Alarm(
        secrets.token_hex(16) if known is None else known.id,
        origin,
        finding.kind,
        finding.subject,
        finding.severity,
        AlarmState.OPEN if is_due else state,
        since,
        finding.text[:MAX_TEXT],
        finding.evidence,
    )
    if known is None:
        connection.execute(insert(_alarms), _columns(alarm))
    elif known != alarm:
        connection.execute(update(_alarms).where(_alarms.c.id == alarm.id).values(**_columns(alarm)))
    return _tell(connection, alarm, "raised", now) if is_due else []


def _leave(connection: Connection, alarm: Alarm, now: int) -> list[Alarm]:
    if alarm.state is AlarmState.PENDING:
        connection.execute(delete(_alarms).where(_alarms.c.id == alarm.id))
        return []
    connection.execute(update(_alarms).where(_alarms.c.id == alarm.id).values(state=str(AlarmState.RESOLVED)))
    return _tell(connection, alarm, "resolved", now)


def _tell(connection: Connection, alarm: Alarm, event: str, now: int) -> list[Alarm]:
    body = canonical_json(alarm.to_json(event, now)).decode()
    connection.execute(insert(_outbox), {"body": body, "attempts": 0, "not_before": 0})
    return [alarm]


def _columns(alarm: Alarm) -> dict[str, object]:
    named = {name: getattr(alarm, name) for name in ("id", "origin", "subject", "since", "text")}
    words = {name: str(getattr(alarm, name)) for name in ("kind", "severity", "state")}
    return named | words | {"evidence": canonical_json(dict(alarm.evidence)).decode()}


def _read(connection: Connection, origin: str, *states: AlarmState) -> list[Alarm]:
    c = _alarms.c
    query = select(_alarms).where(c.origin == origin, c.state.in_([str(s) for s in states])).order_by(c.since, c.id)
    return [_alarm(*row) for row in connection.execute(query)]


def _alarm(id: str, origin: str, kind: str, subject: str, severity: str, state: str, since: int, text: str, evidence: str) -> Alarm:
    return Alarm(id, origin, AlarmKind(kind), subject, Severity(severity), AlarmState(state), since, text, json.loads(evidence))


def open_alarms(connection: Connection, origin: str) -> list[Alarm]:
    """Those that stand, oldest first."""
    return _read(connection, origin, AlarmState.OPEN)


def acknowledge(connection: Connection, id: str, now: int) -> Alarm | None:
    """Resolves an alarm by a person's word, a proof too; None where none of that id stands."""
    row = connection.execute(select(_alarms).where(_alarms.c.id == id, _alarms.c.state == str(AlarmState.OPEN))).one_or_none()
    if row is None:
        return None
    [alarm] = _leave(connection, _alarm(*row), now)
    return alarm


# ---- the outbox -----------------------------------------------------------------------------------------------------------------------
def next_message(connection: Connection, now: int) -> Message | None:
    """The oldest row, if it is due: later ones wait for it, so that what was resolved is not told before what was raised."""
    row = connection.execute(select(_outbox).order_by(_outbox.c.id).limit(1)).one_or_none()
    return Message(row[0], row[1], row[2]) if row is not None and row[3] <= now else None


def count_messages(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(_outbox)).scalar_one())


def message_taken(connection: Connection, message: Message) -> None:
    connection.execute(delete(_outbox).where(_outbox.c.id == message.id))


def message_failed(connection: Connection, message: Message, now: int) -> None:
    pause = min(MAX_PAUSE_SECONDS, 2 ** min(message.attempts + 1, 20))
    values = {"attempts": message.attempts + 1, "not_before": now + pause}
    connection.execute(update(_outbox).where(_outbox.c.id == message.id).values(**values))
