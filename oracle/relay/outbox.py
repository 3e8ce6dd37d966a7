"""The durable outbox: jobs, the nonces that carry them, and every transaction ever signed. Only this module writes those tables.

All functions take a `Connection`: they are steps of a transaction that also moves the request and says what there is to say. The states
and their transitions are in `oracle.relay.schema`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from oracle.encoding import keccak256, parse_hex, to_hex
from oracle.errors import InvariantBroken
from oracle.records import Address, Asked, Bytes32, Claim, Delivery, Evidence
from oracle.relay.schema import (
    JOB_TRANSITIONS,
    JOBS,
    REQUESTS,
    SLOT_TRANSITIONS,
    SLOTS,
    TRANSACTIONS,
    JobKind,
    JobState,
    SlotState,
    require_transition,
)
from oracle.relay.store import RequestView, view_of
from oracle.relay.transact import Fees, SignedTransaction
from oracle.seams import format_time
from oracle.store import count_by

OPEN_SLOTS = (SlotState.SIGNED, SlotState.SENT, SlotState.MINED, SlotState.FOREIGN)
UNMINED_SLOTS = (SlotState.SIGNED, SlotState.SENT)


@dataclass(frozen=True, slots=True)
class Job:
    """A row of JOBS with its request."""

    id: int
    kind: JobKind
    state: JobState
    payload: dict[str, Any]
    nonce: int | None
    transaction: Bytes32 | None
    attempts: int
    reason: str | None
    request: RequestView

    @property
    def asked(self) -> Asked:
        return self.request.asked

    @property
    def delivery(self) -> Delivery:
        """What a DELIVER job delivers."""
        r, output = self.asked.request, parse_hex(self.payload["output"], "job.output")
        claim = Claim(self.asked.request_id, r.model_id, r.input_digest, keccak256(output))
        evidence = tuple(
            Evidence(parse_hex(e["selector"], "job.selector", 4), parse_hex(e["data"], "job.data")) for e in self.payload["evidence"]
        )
        return Delivery(self.asked, claim, output, evidence)


@dataclass(frozen=True, slots=True)
class Slot:
    """A row of SLOTS."""

    nonce: int
    state: SlotState
    transaction: Bytes32 | None
    block_number: int | None
    block_hash: Bytes32 | None


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """A row of TRANSACTIONS: signed bytes, and the jobs they do."""

    hash: Bytes32
    nonce: int
    raw: bytes
    jobs: tuple[int, ...]
    gas: int
    fees: Fees
    time: datetime  # when it was signed
    head_number: int  # the newest block then; -1 where an older version signed it


def delivery_payload(delivery: Delivery) -> dict[str, Any]:
    """What a DELIVER job keeps beside its request."""
    evidence = [{"selector": to_hex(e.selector), "data": to_hex(e.data)} for e in delivery.evidence]
    return {"output": to_hex(delivery.output), "evidence": evidence}


# ---- jobs ------------------------------------------------------------------------------------------------------------------------------
def enqueue(connection: Connection, kind: JobKind, request_id: Bytes32, payload: dict[str, Any], not_before: int = 0) -> bool:
    """Adds a job; there is at most one of each kind for a request. Returns whether it is new."""
    if find_job(connection, kind, request_id) is not None:
        return False
    connection.execute(
        insert(JOBS).values(
            kind=kind, request_id=request_id, payload=json.dumps(payload), state=JobState.QUEUED, attempts=0, not_before=not_before
        )
    )
    return True


def find_job(connection: Connection, kind: JobKind, request_id: Bytes32) -> Job | None:
    row = connection.execute(_JOBS.where(JOBS.c.kind == kind, JOBS.c.request_id == request_id)).one_or_none()
    return None if row is None else _job(row)


def read_job(connection: Connection, job_id: int) -> Job:
    return _job(connection.execute(_JOBS.where(JOBS.c.id == job_id)).one())


def due_jobs(connection: Connection, time: int, limit: int) -> list[Job]:
    """QUEUED jobs whose time has come: those never put off first, then who has waited longest. Jobs put off for ever hold nobody up."""
    query = _JOBS.where(JOBS.c.state == JobState.QUEUED, JOBS.c.not_before <= time).order_by(JOBS.c.not_before, JOBS.c.id).limit(limit)
    return [_job(row) for row in connection.execute(query)]


def jobs_of_nonce(connection: Connection, nonce: int) -> list[Job]:
    """The jobs a nonce carries now. Found by their state: those on their way are few, whatever the relay has done before."""
    carried = JOBS.c.state.in_((JobState.SIGNED, JobState.SENT, JobState.MINED)) & (JOBS.c.nonce == nonce)
    return [_job(row) for row in connection.execute(_JOBS.where(carried).order_by(JOBS.c.id))]


def adopted_jobs(connection: Connection) -> list[Job]:
    """Jobs that somebody else's transaction did, not yet at depth."""
    return [_job(row) for row in connection.execute(_JOBS.where(JOBS.c.state == JobState.MINED, JOBS.c.nonce.is_(None)))]


def set_job(connection: Connection, job: Job, state: JobState, **values: Any) -> None:
    """Moves a job along the table in `schema`. Raises InvariantBroken for a transition that is not there."""
    old = JobState(connection.execute(select(JOBS.c.state).where(JOBS.c.id == job.id)).scalar_one())
    require_transition(JOB_TRANSITIONS, old, state)
    connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(state=state, **values))


def set_jobs(connection: Connection, changes: Sequence[tuple[Job, JobState, Mapping[str, Any]]]) -> None:
    """As `set_job` for each, in this order, with one statement for all that set the same columns. A job may be there twice."""
    ids = {job.id for job, _, _ in changes}
    rows = connection.execute(select(JOBS.c.id, JOBS.c.state).where(JOBS.c.id.in_(ids))).all() if ids else ()
    states = {row.id: JobState(row.state) for row in rows}
    merged: dict[int, dict[str, Any]] = {}
    for job, state, values in changes:
        require_transition(JOB_TRANSITIONS, states[job.id], state)
        states[job.id] = state
        merged[job.id] = merged.get(job.id, {}) | {"of": job.id, "state": state, **values}
    by_columns: dict[frozenset[str], list[dict[str, Any]]] = {}
    for row in merged.values():
        by_columns.setdefault(frozenset(row), []).append(row)
    for alike in by_columns.values():
        connection.execute(_ONE_OF_MANY, alike)


_ONE_OF_MANY = update(JOBS).where(JOBS.c.id == bindparam("of"))


def enqueue_deliveries(connection: Connection, payloads: Mapping[Bytes32, dict[str, Any]]) -> None:
    """DELIVER jobs for requests that have none."""
    new = {"kind": JobKind.DELIVER, "state": JobState.QUEUED, "attempts": 0, "not_before": 0}
    rows = [{"request_id": request_id, "payload": json.dumps(payload), **new} for request_id, payload in payloads.items()]
    if rows:
        connection.execute(insert(JOBS), rows)


def deliveries_of(connection: Connection, request_ids: Sequence[Bytes32]) -> dict[Bytes32, Job]:
    """The DELIVER jobs of those of them that have one."""
    query = _JOBS.where(JOBS.c.kind == JobKind.DELIVER, JOBS.c.request_id.in_(request_ids))
    return {job.asked.request_id: job for job in map(_job, connection.execute(query))}


def read_jobs(connection: Connection, ids: Sequence[int]) -> list[Job]:
    """In the order of `ids`, all of which are there."""
    jobs = {job.id: job for job in map(_job, connection.execute(_JOBS.where(JOBS.c.id.in_(ids))))}
    return [jobs[job_id] for job_id in ids]


def postpone(connection: Connection, job: Job, not_before: int, reason: str) -> None:
    """Leaves a job QUEUED for later."""
    values = {"not_before": not_before, "reason": reason, "attempts": job.attempts + 1}
    connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(**values))


def replace_payload(connection: Connection, job: Job, payload: dict[str, Any]) -> None:
    """Gives a FAILED delivery other evidence and queues it again."""
    set_job(connection, job, JobState.QUEUED, payload=json.dumps(payload), reason=None, not_before=0, nonce=None)


def count_jobs(connection: Connection) -> dict[JobState, int]:
    return count_by(connection, JOBS.c.state, JobState)


# ---- slots and transactions ------------------------------------------------------------------------------------------------------------
def next_nonce(connection: Connection, latest: int, pending: int) -> int:
    """The first nonce nobody has used or signed for. `pending` above ours means that somebody else sends from this account too."""
    highest = connection.execute(select(func.max(SLOTS.c.nonce))).scalar_one()
    return max(latest, pending, 0 if highest is None else highest + 1)


def keep_signed(
    connection: Connection, signed: SignedTransaction, sender: Address, jobs: Sequence[Job], now: datetime, head_number: int | None = None
) -> None:
    """Stores a signed transaction, its nonce and its jobs' move to SIGNED: before anything is broadcast."""
    row = connection.execute(select(SLOTS.c.state).where(SLOTS.c.nonce == signed.nonce)).one_or_none()
    if row is None:
        connection.execute(insert(SLOTS).values(nonce=signed.nonce, sender=sender, state=SlotState.SIGNED))
    else:
        set_slot(connection, signed.nonce, SlotState.SIGNED)
    _insert_transaction(connection, signed, [job.id for job in jobs], now, head_number)
    set_jobs(connection, [(job, JobState.SIGNED, {"nonce": signed.nonce, "reason": None}) for job in jobs])


def keep_replacement(connection: Connection, signed: SignedTransaction, jobs: Sequence[int], now: datetime, head_number: int) -> None:
    """Stores another transaction for a nonce that has one. Its jobs stay where they are: whichever is mined does them."""
    set_slot(connection, signed.nonce, SlotState.SIGNED)
    _insert_transaction(connection, signed, jobs, now, head_number)


def _insert_transaction(
    connection: Connection, signed: SignedTransaction, jobs: Sequence[int], now: datetime, head_number: int | None
) -> None:
    connection.execute(
        insert(TRANSACTIONS).values(
            hash=signed.hash,
            nonce=signed.nonce,
            raw=signed.raw,
            gas=signed.gas,
            max_fee_wei=signed.fees.max_fee_wei,
            priority_fee_wei=signed.fees.priority_fee_wei,
            jobs=json.dumps(list(jobs)),
            time=format_time(now),
            head_number=head_number,
        )
    )


def require_sender(connection: Connection, sender: Address) -> None:
    """One database belongs to one account: its nonces are that account's. Raises InvariantBroken.

    The newest is looked at alone: it was stored after a look at the one before it.
    """
    others = connection.execute(select(SLOTS.c.sender).order_by(SLOTS.c.nonce.desc()).limit(1)).scalar_one_or_none()
    if others is not None and others != sender:
        raise InvariantBroken(f"the relay's database holds nonces of {others}, not of {sender}")


def read_slots(connection: Connection, states: Sequence[SlotState] = OPEN_SLOTS) -> list[Slot]:
    """Slots in these states, lowest nonce first."""
    query = select(SLOTS).where(SLOTS.c.state.in_(states)).order_by(SLOTS.c.nonce)
    return [_slot(row) for row in connection.execute(query)]


def find_slot(connection: Connection, nonce: int) -> Slot | None:
    row = connection.execute(select(SLOTS).where(SLOTS.c.nonce == nonce)).one_or_none()
    return None if row is None else _slot(row)


def set_slot(connection: Connection, nonce: int, state: SlotState, **values: Any) -> None:
    """Moves a slot along the table in `schema`. Raises InvariantBroken for a transition that is not there."""
    old = SlotState(connection.execute(select(SLOTS.c.state).where(SLOTS.c.nonce == nonce)).scalar_one())
    require_transition(SLOT_TRANSITIONS, old, state)
    connection.execute(update(SLOTS).where(SLOTS.c.nonce == nonce).values(state=state, **values))


def known_nonces(connection: Connection, first: int) -> list[int]:
    """Nonces from `first` on for which something was signed, lowest first."""
    return list(connection.execute(select(SLOTS.c.nonce).where(SLOTS.c.nonce >= first).order_by(SLOTS.c.nonce)).scalars())


def transactions_of(connection: Connection, nonce: int) -> list[KeptTransaction]:
    """Everything ever signed for a nonce, newest first."""
    query = select(TRANSACTIONS).where(TRANSACTIONS.c.nonce == nonce).order_by(TRANSACTIONS.c.id.desc())
    return [_kept(row) for row in connection.execute(query)]


def measure_waiting(connection: Connection, now: datetime) -> tuple[int, float]:
    """(how often a transaction was replaced, seconds since the oldest one that is not mined was first signed; 0 where none waits)."""
    signed, slots = (connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (TRANSACTIONS, SLOTS))
    unmined = select(TRANSACTIONS.c.time).join(SLOTS, SLOTS.c.nonce == TRANSACTIONS.c.nonce).where(SLOTS.c.state.in_(UNMINED_SLOTS))
    first = connection.execute(unmined.order_by(TRANSACTIONS.c.id).limit(1)).scalar_one_or_none()
    return signed - slots, 0.0 if first is None else max(0.0, (now - datetime.fromisoformat(first)).total_seconds())


_JOBS = select(
    JOBS.c.id.label("job_id"),
    JOBS.c.kind,
    JOBS.c.payload,
    JOBS.c.state.label("job_state"),
    JOBS.c.nonce,
    JOBS.c.transaction.label("job_transaction"),
    JOBS.c.attempts,
    JOBS.c.reason.label("job_reason"),
    REQUESTS,
).join(REQUESTS, REQUESTS.c.request_id == JOBS.c.request_id)


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.job_id,
        kind=JobKind(row.kind),
        state=JobState(row.job_state),
        payload=json.loads(row.payload),
        nonce=row.nonce,
        transaction=row.job_transaction,
        attempts=row.attempts,
        reason=row.job_reason,
        request=view_of(row),
    )


def _kept(row: Row[Any]) -> KeptTransaction:
    return KeptTransaction(
        hash=Bytes32(row.hash),
        nonce=row.nonce,
        raw=row.raw,
        jobs=tuple(json.loads(row.jobs)),
        gas=row.gas,
        fees=Fees(row.max_fee_wei, row.priority_fee_wei),
        time=datetime.fromisoformat(row.time),
        head_number=-1 if row.head_number is None else row.head_number,
    )


def _slot(row: Row[Any]) -> Slot:
    return Slot(row.nonce, SlotState(row.state), row.transaction, row.block_number, row.block_hash)
