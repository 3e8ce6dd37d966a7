"""Cases: what one person asks for and another decides, each step in the log before it counts.

    disclosure   REQUESTED ──approve──▶ APPROVED ──close──▶ CLOSED          hold      PLACED ──request release──▶ RELEASE_REQUESTED
                     │ └──close──▶ CLOSED   └──its time──▶ EXPIRED                      ▲ └────deny──────────────────────┘ │
                     └──deny──▶ DENIED                                                                              approve▼ RELEASED

    erasure      REQUESTED ──approve──▶ APPROVED ──erased──▶ LOGGED ──keys destroyed──▶ DESTROYED        review, sample, override   FILED
                     └──deny──▶ DENIED

A step is three writes, each durable before the next: the intention, in this database (at most one a case); the record, in the log, under
the key `<kind>:<id>:<step>`; the new state. Whatever stops between them, `resume` runs the same path again: the log gives a repeated key
its first place. A step whose record the log will never take is undone, and leaves nothing.

People stand in records under their pseudonyms; reasons and notes are sealed. `by_another` is the four eyes: whoever asked is not the one.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from oracle.audit.record import entry_from_json, entry_to_json
from oracle.errors import CaseRefused, CaseUnknown, EntryRejected, Forbidden, InvariantBroken, MalformedInput, TooLarge
from oracle.office.schema import CASES, NAMED_ENTRIES, TRANSITIONS
from oracle.office.sessions import world
from oracle.records import Entry
from oracle.seams import Clock, EntryLog, format_time
from oracle.store import overwrite_what_is_deleted, reading, truncate_journal

OFFICE = "office"
"""Who acts where nobody does: a time that is over, and the steps that follow from an approval."""


WORDS: Mapping[str, Any] = {"reason": "", "note": "", "first": "", "second": "", "filter": {}}
"""Details that people wrote, with what is left of each. They are sealed in the log, and go from here when they go from there."""


class CaseKind(StrEnum):
    DISCLOSURE = "disclosure"
    HOLD = "hold"
    ERASURE = "erasure"
    REVIEW = "review"
    SAMPLE = "sample"
    OVERRIDE = "override"


class CaseState(StrEnum):
    NEW = "new"  # its first record is not in the log yet; shown to nobody
    REQUESTED = "requested"
    APPROVED = "approved"
    DENIED = "denied"
    CLOSED = "closed"
    EXPIRED = "expired"
    PLACED = "placed"
    RELEASE_REQUESTED = "release_requested"
    RELEASED = "released"
    LOGGED = "logged"
    DESTROYED = "destroyed"
    FILED = "filed"


@dataclass(frozen=True, slots=True)
class Step:
    """A way from one of some states to another."""

    name: str
    sources: frozenset[CaseState]
    target: CaseState
    by_another: str | None = None  # the step whose actor may not take this one


def _step(name: str, sources: str, target: CaseState, by_another: str | None = None) -> Step:
    return Step(name, frozenset(CaseState(s) for s in sources.split()), target, by_another)


STEPS: Mapping[CaseKind, Mapping[str, Step]] = {
    kind: {step.name: step for step in steps}
    for kind, steps in {
        CaseKind.DISCLOSURE: (
            _step("requested", "new", CaseState.REQUESTED),
            _step("approved", "requested", CaseState.APPROVED, by_another="requested"),
            _step("denied", "requested", CaseState.DENIED, by_another="requested"),
            _step("closed", "requested approved", CaseState.CLOSED),
            _step("expired", "approved", CaseState.EXPIRED),
        ),
        CaseKind.HOLD: (
            _step("placed", "new", CaseState.PLACED),
            _step("release_requested", "placed", CaseState.RELEASE_REQUESTED),
            _step("release_denied", "release_requested", CaseState.PLACED, by_another="release_requested"),
            _step("released", "release_requested", CaseState.RELEASED, by_another="release_requested"),
        ),
        CaseKind.ERASURE: (
            _step("requested", "new", CaseState.REQUESTED),
            _step("approved", "requested", CaseState.APPROVED, by_another="requested"),
            _step("denied", "requested", CaseState.DENIED, by_another="requested"),
            _step("erased", "approved", CaseState.LOGGED),
        ),
        CaseKind.REVIEW: (_step("reviewed", "new", CaseState.FILED),),
        CaseKind.SAMPLE: (_step("drawn", "new", CaseState.FILED),),
        CaseKind.OVERRIDE: (_step("overridden", "new", CaseState.FILED),),
    }.items()
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A step of a case's history. `index` is the place of its record in the log; None while it is not known."""

    name: str
    actor: str
    time: str
    index: int | None


@dataclass(frozen=True, slots=True)
class Case:
    number: int
    id: str
    kind: CaseKind
    state: CaseState
    requester: str  # pseudonym
    requested: str  # RFC 3339
    until: str | None
    details: dict[str, Any]
    problem: str | None
    history: tuple[Taken, ...]

    @property
    def is_pending(self) -> bool:
        return any(taken.index is None for taken in self.history)

    def actor_of(self, step: str) -> str | None:
        """Who took a step last."""
        return next((taken.actor for taken in reversed(self.history) if taken.name == step), None)


Describe = Callable[[Case, str, str, str], Entry]
"""The record of a step: of a case, the step's name, the actor, the time."""

Effect = Callable[[Case, str], None]
"""What a step does outside, after its record and before its state; done again by recovery, so it must not mind."""


class Cases:
    """Every case of one office. Safe to use from several threads and processes.

    Raises CaseUnknown, CaseRefused (a step its state does not allow), Forbidden (the same person twice), StoreError, and what the log
    raises: after PeerError or LogRefused the step is still intended, and `resume` takes it.
    """

    def __init__(self, engine: Engine, log: EntryLog, clock: Clock, describe: Describe, effect: Effect) -> None:
        overwrite_what_is_deleted(engine)
        self._engine = engine
        self._log = log
        self._clock = clock
        self._describe = describe
        self._effect = effect
        self._finishing = Lock()

    # ---- reading ---------------------------------------------------------------------------------------------------------------------
    def get(self, kind: CaseKind, case_id: str) -> Case:
        case = self._find(case_id)
        if case.kind is not kind or case.state is CaseState.NEW:
            raise CaseUnknown(str(kind), "the id of one", case_id[:40])
        return case

    def page(
        self,
        kind: CaseKind,
        limit: int,
        before: int | None = None,
        requester: str | None = None,
        states: frozenset[CaseState] | None = None,
    ) -> list[Case]:
        """Newest first; `before` is the number of the last case of the page before."""
        query = select(CASES.c.id).where(CASES.c.kind == kind, CASES.c.state != CaseState.NEW)
        if before is not None:
            query = query.where(CASES.c.number < before)
        if requester is not None:
            query = query.where(CASES.c.requester == requester)
        if states is not None:
            query = query.where(CASES.c.state.in_(states))
        with world("read cases"), reading(self._engine) as connection:
            ids = list(connection.execute(query.order_by(CASES.c.number.desc()).limit(limit)).scalars())
            return [_read_case(connection, case_id) for case_id in ids]

    def about(self, kind: CaseKind, index: int, limit: int) -> list[Case]:
        """Those that name an entry of the log, newest first."""
        query = select(CASES.c.id).join(NAMED_ENTRIES, NAMED_ENTRIES.c.case_id == CASES.c.id)
        query = query.where(NAMED_ENTRIES.c.index == index, CASES.c.kind == str(kind), CASES.c.state != str(CaseState.NEW))
        with world("read cases"), reading(self._engine) as connection:
            ids = list(connection.execute(query.order_by(CASES.c.number.desc()).limit(limit)).scalars())
            return [_read_case(connection, case_id) for case_id in ids]

    def count(self, kind: CaseKind) -> int:
        with world("read cases"), reading(self._engine) as connection:
            query = select(func.count()).select_from(CASES).where(CASES.c.kind == kind, CASES.c.state != CaseState.NEW)
            return int(connection.execute(query).scalar_one())

    def _find(self, case_id: str) -> Case:
        with world("read cases"), reading(self._engine) as connection:
            return _read_case(connection, case_id)

    # ---- steps -----------------------------------------------------------------------------------------------------------------------
    def begin(self, kind: CaseKind, actor: str, details: Mapping[str, Any]) -> Case:
        """A new case, with its first record in the log."""
        case_id, step = secrets.token_hex(16), next(iter(STEPS[kind].values()))
        time = format_time(self._clock.now())
        row = {
            "id": case_id,
            "kind": str(kind),
            "state": str(CaseState.NEW),
            "requester": actor,
            "requested": time,
            "details": json.dumps(dict(details), ensure_ascii=False),
        }
        with world("begin a case"), self._engine.begin() as connection:
            connection.execute(insert(CASES), row)
            if named := {*details.get("indices", ()), *([details["index"]] if "index" in details else [])}:
                connection.execute(insert(NAMED_ENTRIES), [{"index": index, "case_id": case_id} for index in sorted(named)])
            self._intend(connection, _read_case(connection, case_id), step, actor, None)
        return self._finish(case_id)

    def take(self, kind: CaseKind, case_id: str, name: str, actor: str, until: datetime | None = None) -> Case:
        """The next step of a case."""
        self.get(kind, case_id)
        self._finish(case_id)  # whatever was intended before comes first
        step = STEPS[kind][name]
        with world("intend a step"), self._engine.begin() as connection:
            _lock_case(connection, case_id)
            case = _read_case(connection, case_id)
            if case.state not in step.sources or case.is_pending:
                raise CaseRefused(f"{kind} {case_id}", f"one that is {' or '.join(sorted(step.sources))}", case.state)
            if step.by_another is not None and case.actor_of(step.by_another) == actor:
                raise Forbidden(f"{name} of {kind} {case_id}", "another person than the one who asked", "the same")
            self._intend(connection, case, step, actor, until)
        return self._finish(case_id)

    def _intend(self, connection: Connection, case: Case, step: Step, actor: str, until: datetime | None) -> None:
        time = format_time(self._clock.now())
        written = None if until is None else format_time(until)
        described = self._describe(case if written is None else replace(case, until=written), step.name, actor, time)
        row = {
            "case_id": case.id,
            "number": len(case.history) + 1,
            "name": step.name,
            "actor": actor,
            "time": time,
            "until": written,
            "entry": json.dumps(entry_to_json(described), ensure_ascii=False),
        }
        connection.execute(insert(TRANSITIONS), row)

    def _finish(self, case_id: str) -> Case:
        """Takes the step that is intended, if one is. One at a time: a slow thread must not repeat what later steps undid."""
        with self._finishing:
            return self._finish_alone(case_id)

    def _finish_alone(self, case_id: str) -> Case:
        case = self._find(case_id)
        with world("read an intended step"), reading(self._engine) as connection:
            query = select(TRANSITIONS).where(TRANSITIONS.c.case_id == case_id, TRANSITIONS.c.index.is_(None))
            row = connection.execute(query).one_or_none()
        if row is None:
            return case
        try:
            appended = self._log.append(entry_from_json(json.loads(row.entry)), step_key(case, row.name, row.number))
        except (EntryRejected, MalformedInput, TooLarge):
            self._undo(case, row.number)
            raise
        self._effect(case, row.name)
        step = STEPS[case.kind][row.name]
        with world("take a step"), self._engine.begin() as connection:
            mine = (TRANSITIONS.c.case_id == case_id) & (TRANSITIONS.c.number == row.number) & TRANSITIONS.c.index.is_(None)
            if connection.execute(update(TRANSITIONS).where(mine).values(index=appended.index, entry=None)).rowcount == 1:
                values: dict[str, Any] = {"state": str(step.target)} | ({} if row.until is None else {"until": row.until})
                connection.execute(update(CASES).where(CASES.c.id == case_id).values(**values))
        return self._find(case_id)

    def _undo(self, case: Case, number: int) -> None:
        with world("undo a step"), self._engine.begin() as connection:
            connection.execute(delete(TRANSITIONS).where(TRANSITIONS.c.case_id == case.id, TRANSITIONS.c.number == number))
            if case.state is CaseState.NEW:
                connection.execute(delete(NAMED_ENTRIES).where(NAMED_ENTRIES.c.case_id == case.id))
                connection.execute(delete(CASES).where(CASES.c.id == case.id))

    def mark(self, case: Case, state: CaseState, problem: str | None = None) -> Case:
        """What has no record of its own: that logged keys are destroyed, or why they are not yet."""
        with world("mark a case"), self._engine.begin() as connection:
            same = (CASES.c.id == case.id) & (CASES.c.state == str(case.state))
            connection.execute(update(CASES).where(same).values(state=str(state), problem=problem))
        return self._find(case.id)

    def forget(self, indices: Sequence[int]) -> None:
        """Takes the words out of cases whose first record is among these entries: what was erased there must not stay here."""
        with world("forget words"), self._engine.begin() as connection:
            for index in indices:
                first = (TRANSITIONS.c.index == index) & (TRANSITIONS.c.number == 1)
                for case_id in connection.execute(select(TRANSITIONS.c.case_id).where(first)).scalars().all():
                    details = _read_case(connection, case_id).details
                    left = {name: WORDS.get(name, value) for name, value in details.items()}
                    values = {"details": json.dumps(left, ensure_ascii=False)}
                    connection.execute(update(CASES).where(CASES.c.id == case_id).values(**values))
        truncate_journal(self._engine)

    def first_records(self, after: int, limit: int) -> list[tuple[int, int]]:
        """(number, index of the first record) of cases beyond a number, in their order."""
        query = select(CASES.c.number, TRANSITIONS.c.index).join(TRANSITIONS, TRANSITIONS.c.case_id == CASES.c.id)
        query = query.where(TRANSITIONS.c.number == 1, TRANSITIONS.c.index.is_not(None), CASES.c.number > after)
        with world("read cases"), reading(self._engine) as connection:
            return [(number, index) for number, index in connection.execute(query.order_by(CASES.c.number).limit(limit))]

    # ---- recovery --------------------------------------------------------------------------------------------------------------------
    def intended(self) -> list[Case]:
        """Cases with a step whose record may or may not be in the log."""
        query = select(TRANSITIONS.c.case_id).where(TRANSITIONS.c.index.is_(None)).distinct()
        with world("read intended steps"), reading(self._engine) as connection:
            return [_read_case(connection, case_id) for case_id in connection.execute(query).scalars().all()]

    def resume(self, case: Case) -> Case:
        """Takes the step that `intended` found."""
        return self._finish(case.id)

    def due(self, now: datetime) -> list[Case]:
        """Approved disclosures whose time is over."""
        approved = (CASES.c.kind == str(CaseKind.DISCLOSURE)) & (CASES.c.state == str(CaseState.APPROVED))
        query = select(CASES.c.id).where(approved, CASES.c.until <= format_time(now))
        with world("read cases"), reading(self._engine) as connection:
            return [_read_case(connection, case_id) for case_id in connection.execute(query).scalars().all()]

    def unfinished_erasures(self) -> list[Case]:
        """Those that are approved, and whose keys are not destroyed yet."""
        states = [str(CaseState.APPROVED), str(CaseState.LOGGED)]
        query = select(CASES.c.id).where(CASES.c.kind == str(CaseKind.ERASURE), CASES.c.state.in_(states))
        with world("read cases"), reading(self._engine) as connection:
            return [_read_case(connection, case_id) for case_id in connection.execute(query).scalars().all()]


def step_key(case: Case, name: str, number: int) -> str:
    """The log's idempotency key of a step. A step that a case takes again has its number in the key."""
    if name == "erased":
        return f"erasure:{case.id}"
    again = sum(taken.name == name for taken in case.history[: number - 1])
    return f"{case.kind}:{case.id}:{name}" + (f":{again + 1}" if again else "")


def _read_case(connection: Connection, case_id: str) -> Case:
    row = connection.execute(select(CASES).where(CASES.c.id == case_id)).one_or_none()
    if row is None:
        raise CaseUnknown("case", "the id of one", case_id[:40])
    query = select(TRANSITIONS.c.name, TRANSITIONS.c.actor, TRANSITIONS.c.time, TRANSITIONS.c.index)
    steps = connection.execute(query.where(TRANSITIONS.c.case_id == case_id).order_by(TRANSITIONS.c.number))
    return Case(
        number=row.number,
        id=row.id,
        kind=CaseKind(row.kind),
        state=CaseState(row.state),
        requester=row.requester,
        requested=row.requested,
        until=row.until,
        details=_read_details(row.details),
        problem=row.problem,
        history=tuple(Taken(*step) for step in steps),
    )


def _read_details(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise InvariantBroken("details of a case that are no object")
    return value


def _lock_case(connection: Connection, case_id: str) -> None:
    """Two steps of one case wait for each other. SQLite's transactions have the write lock from the start."""
    connection.execute(select(CASES.c.id).where(CASES.c.id == case_id).with_for_update())
