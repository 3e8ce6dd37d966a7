"""What a node must not forget: its jobs, and every claim it ever signed. States and transitions stand in migrations/node/0001_jobs.py.

The **guard** is the promise of an operator: one output per request, for ever. Looking, signing and remembering are one transaction that
holds the database's write lock, so two threads, two processes and a crash at any point leave at most one signed output. Recovery is the
ordinary path: a job found RUNNING at start is QUEUED again, and a claim found in the guard is not computed again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from oracle.encoding import to_hex
from oracle.errors import AffidavitError, ConfigRejected, Equivocation, InvariantBroken, RequestUnknown, StoreError
from oracle.node.owed import OwedEntries
from oracle.records import Address, Appended, Asked, Bytes32, Claim, Domain, Inference, Runtime, SignedClaim
from oracle.store import reading
from oracle.wire import request_from_json, request_to_json

SCHEMA = "node"

_metadata = MetaData()
_jobs = Table(
    "jobs",
    _metadata,
    Column("sequence", Integer, primary_key=True),
    Column("request_id", LargeBinary(32)),
    Column("state", String(16)),
    Column("request", Text),
    Column("requester", String(42)),
    Column("input", LargeBinary),
    Column("signature", LargeBinary),
    Column("block_number", BigInteger),
    Column("block_hash", LargeBinary(32)),
    Column("transaction_hash", LargeBinary(32)),
    Column("attempts", Integer),
    Column("interruptions", Integer),
    Column("not_before", Float),
    Column("intent_index", BigInteger),
    Column("intent_leaf_hash", LargeBinary(32)),
    Column("intent_tree_size", BigInteger),
    Column("problem", String(64)),
    Column("problem_detail", Text),
    Column("proof", LargeBinary),
)
_guard = Table(
    "guard",
    _metadata,
    Column("chain_id", String(78), primary_key=True),
    Column("coprocessor", String(42), primary_key=True),
    Column("request_id", LargeBinary(32), primary_key=True),
    Column("model_id", LargeBinary(32)),
    Column("input_digest", LargeBinary(32)),
    Column("output_digest", LargeBinary(32)),
    Column("output", LargeBinary),
    Column("signer", String(42)),
    Column("signature", LargeBinary(65)),
    Column("runtime", Text),
    Column("microseconds", BigInteger),
    Column("intent_index", BigInteger),
    Column("intent_leaf_hash", LargeBinary(32)),
    Column("intent_tree_size", BigInteger),
)
_deployment = Table("deployment", _metadata, Column("chain_id", String(78)), Column("coprocessor", String(42)))


class JobState(StrEnum):
    """See migrations/node/0001_jobs.py."""

    QUEUED = "queued"
    RUNNING = "running"
    ANSWERED = "answered"
    REFUSED = "refused"
    BROKEN = "broken"
    DROPPED = "dropped"


OPEN_STATES = (JobState.QUEUED, JobState.RUNNING)

MOST_INTERRUPTIONS = 10
"""A job the process died on this often is BROKEN: whatever kills the process would do so at every start. (Models run in processes of their
own, so it is not they.) Workers beside it die with it, hence not at the first time."""

LONGEST_PAUSE_SECONDS = 10.0
"""Nobody puts a job off for longer. One that seems put off further was so before the clock was set back, and is due."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request to work on. `attempts` counts how often it was taken, this time included; `proof` is empty until one was made."""

    asked: Asked
    state: JobState
    attempts: int
    intent: Appended | None
    problem: str | None = None
    problem_detail: str | None = None
    proof: bytes = b""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A claim this node signed, with what made it: enough to write the same result entry again after a crash."""

    signed: SignedClaim
    inference: Inference
    intent: Appended | None  # None where it was signed while the log was away: `OwedEntries` knows


Sign = Callable[[Claim, bytes], SignedClaim]


class JobStore:
    """Jobs and guard of one node's database. Every method is one transaction, and raises StoreError when the database fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.owed = OwedEntries(engine)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError("the node's database") from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Beside whoever writes, not behind: door and metrics look often."""
        try:
            with reading(self._engine) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError("the node's database") from error

    def bind(self, domain: Domain) -> None:
        """Makes the database this deployment's, once. Raises ConfigRejected where it is another's: its requests and blocks are others."""
        mine = (str(domain.chain_id), str(domain.coprocessor))
        with self._transaction() as connection:
            row = connection.execute(select(_deployment)).one_or_none()
            if row is None:
                connection.execute(insert(_deployment).values(chain_id=mine[0], coprocessor=mine[1]))
            elif tuple(row) != mine:
                raise ConfigRejected("node database", f"that of chain {row[0]}, coprocessor {row[1]}", f"chain {mine[0]}, {mine[1]}")

    # ---- jobs ----------------------------------------------------------------------------------------------------
    def enqueue(self, asked: Asked) -> JobState:
        """Remembers a request; a second time changes nothing. Returns the state it is in now."""
        with self._transaction() as connection:
            return enqueue(connection, asked)

    def take_next(self, now: float) -> Job | None:
        """The oldest job that is due, now RUNNING; None where nothing is due."""
        is_in_pause = (_jobs.c.not_before > now) & (_jobs.c.not_before <= now + LONGEST_PAUSE_SECONDS)
        due = (_jobs.c.state == JobState.QUEUED) & ~is_in_pause
        with self._transaction() as connection:
            row = connection.execute(select(_jobs).where(due).order_by(_jobs.c.sequence).limit(1)).mappings().one_or_none()
            if row is None:
                return None
            attempts = row["attempts"] + 1
            mine = (_jobs.c.sequence == row["sequence"]) & (_jobs.c.state == JobState.QUEUED)
            taken = connection.execute(update(_jobs).where(mine).values(state=JobState.RUNNING, attempts=attempts))
        return _job({**row, "state": JobState.RUNNING, "attempts": attempts}) if taken.rowcount == 1 else None

    def requeue_all(self) -> int:
        """At start: what was RUNNING when the last process died is QUEUED again, and what was put off is due. Returns how many.

        A job that was RUNNING MOST_INTERRUPTIONS times is BROKEN instead.
        """
        died = _jobs.c.state == JobState.RUNNING
        broken = {
            "state": JobState.BROKEN,
            "problem": "Interrupted",
            "problem_detail": f"the process died {MOST_INTERRUPTIONS} times on it",
        }
        with self._transaction() as connection:
            connection.execute(update(_jobs).where(died).values(interruptions=_jobs.c.interruptions + 1))
            connection.execute(update(_jobs).where(died & (_jobs.c.interruptions >= MOST_INTERRUPTIONS)).values(**broken))
            waiting = update(_jobs).where(_jobs.c.state.in_(OPEN_STATES))
            return connection.execute(waiting.values(state=JobState.QUEUED, not_before=0.0)).rowcount

    def postpone(self, request_id: Bytes32, not_before: float, reason: AffidavitError) -> None:
        """Back to QUEUED until `not_before` (seconds since 1970): the world failed, not the request."""
        self._move(request_id, (JobState.RUNNING,), state=JobState.QUEUED, not_before=not_before, **_problem(reason))

    def refuse(self, request_id: Bytes32, reason: AffidavitError) -> None:
        """REFUSED: the request itself, or the model for this input, will not do."""
        self._move(request_id, (JobState.RUNNING,), state=JobState.REFUSED, **_problem(reason))

    def release(self, request_id: Bytes32) -> None:
        """Back to QUEUED, due: its worker could not even write down what became of it."""
        self._move(request_id, (JobState.RUNNING,), state=JobState.QUEUED, not_before=0.0)

    def mark_broken(self, request_id: Bytes32, reason: Exception) -> None:
        """BROKEN: a bug of ours showed on it. Not run again, so that a restart does not fail the same way."""
        self._move(request_id, (JobState.RUNNING,), state=JobState.BROKEN, **_problem(reason))

    def record_intent(self, request_id: Bytes32, intent: Appended) -> None:
        """The intent entry is durable in the log: the model may run."""
        place = {"intent_index": intent.index, "intent_leaf_hash": intent.leaf_hash, "intent_tree_size": intent.tree_size}
        self._move(request_id, tuple(JobState), **place)

    def record_proof(self, request_id: Bytes32, proof: bytes) -> None:
        """The data of proof evidence for the claim that was signed: kept, so that a restart does not prove again."""
        self._move(request_id, tuple(JobState), proof=proof)

    def mark_answered(self, request_id: Bytes32) -> None:
        """The result entry is durable in the log: the answer may leave."""
        self._move(request_id, tuple(JobState), state=JobState.ANSWERED, problem=None, problem_detail=None)

    def _move(self, request_id: Bytes32, come_from: tuple[JobState, ...], **values: Any) -> None:
        """A job that meanwhile left `come_from` (dropped with its block, answered by another process) stays where it is."""
        where = (_jobs.c.request_id == request_id) & _jobs.c.state.in_(come_from)
        with self._transaction() as connection:
            connection.execute(update(_jobs).where(where).values(**values))

    def find(self, request_id: Bytes32) -> Job | None:
        with self._reading() as connection:
            row = connection.execute(select(_jobs).where(_jobs.c.request_id == request_id)).mappings().one_or_none()
        return None if row is None else _job(row)

    def job(self, request_id: Bytes32) -> Job:
        """As `find`. Raises RequestUnknown."""
        found = self.find(request_id)
        if found is None:
            raise RequestUnknown("request", "one this node has seen", to_hex(request_id))
        return found

    def count_by_state(self) -> dict[JobState, int]:
        with self._reading() as connection:
            rows = connection.execute(select(_jobs.c.state, func.count()).group_by(_jobs.c.state)).all()
        counted = {JobState(state): count for state, count in rows}
        return {state: counted.get(state, 0) for state in JobState}

    def compute_owed_wei(self, requester: Address, besides: Bytes32) -> int:
        """Fees of this requester's unanswered signed requests, the one in hand left out."""
        mine = (_jobs.c.requester == requester) & _jobs.c.state.in_(OPEN_STATES) & (_jobs.c.request_id != besides)
        with self._reading() as connection:
            rows = connection.execute(select(_jobs.c.request).where(mine & _jobs.c.block_hash.is_(None))).scalars().all()
        return sum(request_from_json(json.loads(text)).fee_wei for text in rows)

    # ---- the guard -----------------------------------------------------------------------------------------------
    def guarded(self, request_id: Bytes32, domain: Domain) -> Guarded | None:
        """What this node signed for a request, None where it has not."""
        with self._reading() as connection:
            return _read_guard(connection, request_id, domain)

    def require_guarded(self, request_id: Bytes32, domain: Domain) -> Guarded:
        """What this node signed for a request that is ANSWERED."""
        guarded = self.guarded(request_id, domain)
        if guarded is None:
            raise InvariantBroken(f"request {to_hex(request_id)} is answered, and the guard has no claim")
        return guarded

    def sign_once(self, claim: Claim, inference: Inference, intent: Appended | None, domain: Domain, sign: Sign) -> Guarded:
        """Signs a claim, at most one output for each request for ever, and remembers it before anybody sees the signature.

        The same output again returns what was signed first. Raises Equivocation for another output; nothing is signed then.
        """
        try:
            with self._transaction() as connection:
                earlier = _read_guard(connection, claim.request_id, domain)
                if earlier is not None:
                    return _require_same(earlier, claim)
                guarded = Guarded(sign(claim, inference.output), inference, intent)
                connection.execute(insert(_guard).values(**_guard_row(guarded, domain)))
                return guarded
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
        return self._signed_meanwhile(claim, domain)

    def _signed_meanwhile(self, claim: Claim, domain: Domain) -> Guarded:
        """Another process inserted between our look and our write (only on databases without one lock for all writers)."""
        earlier = self.guarded(claim.request_id, domain)
        if earlier is None:
            raise InvariantBroken("the guard refused a row and has none")
        return _require_same(earlier, claim)


def enqueue(connection: Connection, asked: Asked) -> JobState:
    """As `JobStore.enqueue`, in the caller's transaction (the follower's).

    A request seen again after its block vanished, or after it was refused without any work, is QUEUED again.
    """
    row = connection.execute(select(_jobs).where(_jobs.c.request_id == asked.request_id)).mappings().one_or_none()
    where_asked = {"block_number": asked.block_number, "block_hash": asked.block_hash, "transaction_hash": asked.transaction}
    if row is None:
        connection.execute(insert(_jobs).values(**_job_row(asked)))
        return JobState.QUEUED
    state = JobState(row["state"])
    if state is JobState.DROPPED or (state is JobState.REFUSED and row["intent_index"] is None):
        again = {"state": JobState.QUEUED, "not_before": 0.0, "signature": asked.signature, "intent_index": None, "problem": None}
        connection.execute(update(_jobs).where(_jobs.c.request_id == asked.request_id).values(**again, **where_asked))
        return JobState.QUEUED
    return state


def drop_block(connection: Connection, block_hash: Bytes32) -> int:
    """Jobs asked for in a block that is no longer canonical are DROPPED, in the caller's transaction. Answered ones stay."""
    gone = (_jobs.c.block_hash == block_hash) & (_jobs.c.state != JobState.ANSWERED)
    return connection.execute(update(_jobs).where(gone).values(state=JobState.DROPPED)).rowcount


def _problem(error: Exception) -> dict[str, str]:
    return {"problem": type(error).__name__, "problem_detail": str(error)[:1000].encode("utf-8", "backslashreplace").decode()}


def _job_row(asked: Asked) -> dict[str, Any]:
    return {
        "request_id": asked.request_id,
        "state": JobState.QUEUED,
        "request": json.dumps(request_to_json(asked.request)),
        "requester": asked.request.requester,
        "input": asked.input,
        "signature": asked.signature,
        "block_number": asked.block_number,
        "block_hash": asked.block_hash,
        "transaction_hash": asked.transaction,
        "attempts": 0,
        "interruptions": 0,
        "not_before": 0.0,
    }


def _intent(row: Mapping[str, Any] | RowMapping) -> Appended | None:
    if row["intent_index"] is None:
        return None
    return Appended(row["intent_index"], Bytes32(row["intent_leaf_hash"]), row["intent_tree_size"])


def _job(row: Mapping[str, Any] | RowMapping) -> Job:
    asked = Asked(
        request_id=Bytes32(row["request_id"]),
        request=request_from_json(json.loads(row["request"])),
        input=row["input"],
        signature=row["signature"],
        block_number=row["block_number"],
        block_hash=row["block_hash"],
        transaction=row["transaction_hash"],
    )
    return Job(asked, JobState(row["state"]), row["attempts"], _intent(row), row["problem"], row["problem_detail"], row["proof"] or b"")


def _guard_row(guarded: Guarded, domain: Domain) -> dict[str, Any]:
    claim, inference, intent = guarded.signed.claim, guarded.inference, guarded.intent
    return {
        "chain_id": str(domain.chain_id),
        "coprocessor": domain.coprocessor,
        "request_id": claim.request_id,
        "model_id": claim.model_id,
        "input_digest": claim.input_digest,
        "output_digest": claim.output_digest,
        "output": guarded.signed.output,
        "signer": guarded.signed.signer,
        "signature": guarded.signed.signature,
        "runtime": json.dumps(asdict(inference.runtime)),
        "microseconds": round(inference.seconds * 1_000_000),
        "intent_index": intent and intent.index,
        "intent_leaf_hash": intent and intent.leaf_hash,
        "intent_tree_size": intent and intent.tree_size,
    }


def _read_guard(connection: Connection, request_id: Bytes32, domain: Domain) -> Guarded | None:
    key = (_guard.c.chain_id == str(domain.chain_id)) & (_guard.c.coprocessor == domain.coprocessor)
    row = connection.execute(select(_guard).where(key & (_guard.c.request_id == request_id))).mappings().one_or_none()
    if row is None:
        return None
    claim = Claim(request_id, row["model_id"], row["input_digest"], row["output_digest"])
    signed = SignedClaim(claim, row["output"], Address(row["signer"]), row["signature"])
    runtime, seconds = Runtime(**json.loads(row["runtime"])), row["microseconds"] / 1_000_000
    inference = Inference(claim.model_id, claim.input_digest, claim.output_digest, signed.output, runtime, seconds)
    return Guarded(signed, inference, _intent(row))


def _require_same(earlier: Guarded, claim: Claim) -> Guarded:
    if earlier.signed.claim != claim:
        expected, got = to_hex(earlier.signed.claim.output_digest), to_hex(claim.output_digest)
        raise Equivocation(f"output of request {to_hex(claim.request_id)}", f"{expected}, which was signed", got)
    return earlier
