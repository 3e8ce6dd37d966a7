"""What a node must not forget: its jobs, and every claim it ever signed. States and transitions stand in migrations/node/0001_jobs.py.

The **guard** is the promise of an operator: one output per request, for ever. Looking, signing and remembering are one transaction that
holds the database's write lock, so two threads, two processes and a crash at any point leave at most one signed output. Recovery is the
ordinary path: a job found RUNNING at start is QUEUED again, and a claim found in the guard is not computed again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    Select,
    String,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from oracle.encoding import to_hex
from oracle.errors import (
    AffidavitError,
    ConfigRejected,
    Equivocation,
    InvariantBroken,
    Rejected,
    RequestUnknown,
    StoreError,
    WorldError,
)
from oracle.node.owed import OwedEntries
from oracle.records import Address, Appended, Asked, Bytes32, Claim, Domain, Inference, Runtime, SignedClaim
from oracle.store import count_by, insert_all, reading
from oracle.wire import request_from_text, request_to_json

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

LONGEST_SIGNING_SECONDS = 0.25
"""Signing holds the database's write lock: after this what is signed is stored, and the next transaction goes on."""

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


@dataclass(frozen=True, slots=True)
class ToSign:
    """A claim to be signed, with what made it."""

    claim: Claim
    inference: Inference
    intent: Appended | None


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
        return self.enqueue_all([asked])[asked.request_id]

    def enqueue_all(self, asked: Sequence[Asked]) -> dict[Bytes32, JobState]:
        """As `enqueue` for each, in one transaction."""
        ids = [one.request_id for one in asked]
        with self._transaction() as connection:
            known = set(connection.execute(select(_jobs.c.request_id).where(_jobs.c.request_id.in_(ids))).scalars())
            new = {one.request_id: one for one in asked if one.request_id not in known}
            if new:
                connection.execute(insert(_jobs), [_job_row(one) for one in new.values()])
            return {one.request_id: JobState.QUEUED if one.request_id in new else enqueue(connection, one) for one in asked}

    def take_next(self, now: float) -> Job | None:
        """The oldest job that is due, now RUNNING; None where nothing is due."""
        return next(iter(self.take_due(now, 1)), None)

    def take_due(self, now: float, most: int, accept: Callable[[Job, Sequence[Job]], bool] = lambda _job, _before: True) -> list[Job]:
        """The oldest jobs that are due, now RUNNING: as many in a row as are accepted beside those before them, and `most` at most.

        Looked for first beside whoever writes: most looks of an idle worker find nothing.
        """
        with self._reading() as connection:
            if connection.execute(_due(now, 1)).first() is None:
                return []
        with self._transaction() as connection:
            found: list[Job] = []
            for row in connection.execute(_due(now, most)).mappings():
                job = _job({**row, "state": JobState.RUNNING, "attempts": row["attempts"] + 1})
                if found and not accept(job, found):
                    break
                found.append(job)
            taken = [job for job in found if self._take(connection, job)] if connection.dialect.name != "sqlite" else found
            if taken is found and found:
                rows = [{"of": job.asked.request_id, "state": JobState.RUNNING, "attempts": job.attempts} for job in found]
                connection.execute(_ONE_OF_MANY, rows)
        return taken

    def _take(self, connection: Connection, job: Job) -> bool:
        """On a database without one lock for all writers another process may take it in the same moment."""
        mine = (_jobs.c.request_id == job.asked.request_id) & (_jobs.c.state == JobState.QUEUED)
        return connection.execute(update(_jobs).where(mine).values(state=JobState.RUNNING, attempts=job.attempts)).rowcount == 1

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

    def record_intents(self, intents: Mapping[Bytes32, Appended]) -> None:
        """The intent entries of these requests are durable in the log: the model may run."""
        rows = [
            {"of": request_id, "intent_index": i.index, "intent_leaf_hash": i.leaf_hash, "intent_tree_size": i.tree_size}
            for request_id, i in intents.items()
        ]
        if rows:
            with self._transaction() as connection:
                connection.execute(_ONE_OF_MANY, rows)

    def record_proof(self, request_id: Bytes32, proof: bytes) -> None:
        """The data of proof evidence for the claim that was signed: kept, so that a restart does not prove again."""
        self._move(request_id, tuple(JobState), proof=proof)

    def mark_all_answered(self, request_ids: Sequence[Bytes32]) -> None:
        """The result entries of these requests are durable in the log: the answers may leave."""
        if request_ids:
            with self._transaction() as connection:
                answered = {"state": JobState.ANSWERED, "problem": None, "problem_detail": None}
                connection.execute(_ONE_OF_MANY, [{"of": request_id} | answered for request_id in request_ids])

    def _move(self, request_id: Bytes32, come_from: tuple[JobState, ...], **values: Any) -> None:
        """A job that meanwhile left `come_from` (dropped with its block, answered by another process) stays where it is."""
        where = (_jobs.c.request_id == request_id) & _jobs.c.state.in_(come_from)
        with self._transaction() as connection:
            connection.execute(update(_jobs).where(where).values(**values))

    def find(self, request_id: Bytes32) -> Job | None:
        return self.find_all([request_id]).get(request_id)

    def find_all(self, request_ids: Sequence[Bytes32]) -> dict[Bytes32, Job]:
        """Those of them that this node has seen."""
        with self._reading() as connection:
            rows = connection.execute(select(_jobs).where(_jobs.c.request_id.in_(request_ids))).mappings().all()
        return {job.asked.request_id: job for job in map(_job, rows)}

    def states_of(self, request_ids: Sequence[Bytes32]) -> dict[Bytes32, JobState]:
        """The states of those of them that this node has seen."""
        with self._reading() as connection:
            rows = connection.execute(select(_jobs.c.request_id, _jobs.c.state).where(_jobs.c.request_id.in_(request_ids))).all()
        return {Bytes32(request_id): JobState(state) for request_id, state in rows}

    def count_open(self) -> int:
        """How many jobs are not done yet."""
        with self._reading() as connection:
            return int(connection.execute(select(func.count()).where(_jobs.c.state.in_(OPEN_STATES))).scalar_one())

    def job(self, request_id: Bytes32) -> Job:
        """As `find`. Raises RequestUnknown."""
        found = self.find(request_id)
        if found is None:
            raise RequestUnknown("request", "one this node has seen", to_hex(request_id))
        return found

    def count_by_state(self) -> dict[JobState, int]:
        with self._reading() as connection:
            return count_by(connection, _jobs.c.state, JobState)

    def fees_owed(self, requesters: Sequence[Address]) -> dict[Address, dict[Bytes32, int]]:
        """By requester and request: the fees of their unanswered signed requests, in wei."""
        columns = (_jobs.c.requester, _jobs.c.request_id, _jobs.c.request, _jobs.c.block_hash)
        owed: dict[Address, dict[Bytes32, int]] = {requester: {} for requester in requesters}
        with self._reading() as connection:
            # By state alone: a requester may have a long history, and most requests of most nodes have no block.
            for requester, request_id, text, block_hash in connection.execute(select(*columns).where(_jobs.c.state.in_(OPEN_STATES))):
                if requester in owed and block_hash is None:
                    owed[Address(requester)][Bytes32(request_id)] = request_from_text(text).fee_wei
        return owed

    # ---- the guard -----------------------------------------------------------------------------------------------
    def guarded(self, request_id: Bytes32, domain: Domain) -> Guarded | None:
        """What this node signed for a request, None where it has not."""
        with self._reading() as connection:
            return _read_guard(connection, [request_id], domain).get(request_id)

    def guarded_all(self, request_ids: Sequence[Bytes32], domain: Domain) -> dict[Bytes32, Guarded]:
        """What this node signed for those of them for which it has."""
        with self._reading() as connection:
            return _read_guard(connection, request_ids, domain)

    def require_guarded(self, request_id: Bytes32, domain: Domain) -> Guarded:
        """What this node signed for a request that is ANSWERED."""
        return require_guarded(self.guarded_all([request_id], domain), request_id)

    def sign_once(self, claim: Claim, inference: Inference, intent: Appended | None, domain: Domain, sign: Sign) -> Guarded:
        """Signs a claim, at most one output for each request for ever, and remembers it before anybody sees the signature.

        The same output again returns what was signed first. Raises Equivocation for another output; nothing is signed then.
        """
        guarded = self.sign_all_once([ToSign(claim, inference, intent)], domain, sign)[claim.request_id]
        if isinstance(guarded, AffidavitError):
            raise guarded
        return guarded

    def sign_all_once(self, claims: Sequence[ToSign], domain: Domain, sign: Sign) -> dict[Bytes32, Guarded | Rejected | WorldError]:
        """As `sign_once` for each, in as few transactions as a quick signer allows: a slow one does not hold the lock for long.

        What is wrong with one, or befalls its signing, stands in its place: the others are signed.
        """
        done: dict[Bytes32, Guarded | Rejected | WorldError] = {}
        left = list(claims)
        while left:
            try:
                done |= self._sign_some(left, domain, sign)
            except StoreError as error:
                if not isinstance(error.__cause__, IntegrityError):
                    raise
                done |= self._signed_meanwhile(left, domain, sign)
            left = [one for one in left if one.claim.request_id not in done]
        return done

    def _sign_some(self, claims: Sequence[ToSign], domain: Domain, sign: Sign) -> dict[Bytes32, Guarded | Rejected | WorldError]:
        done: dict[Bytes32, Guarded | Rejected | WorldError] = {}
        signed: list[Guarded] = []
        with self._transaction() as connection:
            earlier = _read_guard(connection, [one.claim.request_id for one in claims], domain)
            until = time.monotonic() + LONGEST_SIGNING_SECONDS
            for one in claims:
                request_id = one.claim.request_id
                try:
                    if request_id in earlier:
                        done[request_id] = _require_same(earlier[request_id], one.claim)
                        continue
                    done[request_id] = guarded = Guarded(sign(one.claim, one.inference.output), one.inference, one.intent)
                    signed.append(guarded)
                except (Rejected, WorldError) as error:
                    done[request_id] = error
                if time.monotonic() > until:
                    break
            if signed:
                insert_all(connection, _guard, [_guard_row(guarded, domain) for guarded in signed])
        return done

    def _signed_meanwhile(self, claims: Sequence[ToSign], domain: Domain, sign: Sign) -> dict[Bytes32, Guarded | Rejected | WorldError]:
        """Another process inserted between our look and our write (only on databases without one lock for all writers)."""
        earlier = self.guarded_all([one.claim.request_id for one in claims], domain)
        if not earlier:
            raise InvariantBroken("the guard refused a row and has none")
        known = [one for one in claims if one.claim.request_id in earlier]
        return self._sign_some(known, domain, sign)


def require_guarded(guarded: Mapping[Bytes32, Guarded], request_id: Bytes32) -> Guarded:
    """What the guard has for a request that is ANSWERED."""
    if request_id not in guarded:
        raise InvariantBroken(f"request {to_hex(request_id)} is answered, and the guard has no claim")
    return guarded[request_id]


def _due(now: float, most: int) -> Select[Any]:
    is_in_pause = (_jobs.c.not_before > now) & (_jobs.c.not_before <= now + LONGEST_PAUSE_SECONDS)
    return select(_jobs).where((_jobs.c.state == JobState.QUEUED) & ~is_in_pause).order_by(_jobs.c.sequence).limit(most)


_OF = _jobs.c.request_id == bindparam("of")
_ONE_OF_MANY = update(_jobs).where(_OF)
"""Sets the columns that the rows it is executed with name beside `of`."""


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
        request=request_from_text(row["request"]),
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


def _read_guard(connection: Connection, request_ids: Sequence[Bytes32], domain: Domain) -> dict[Bytes32, Guarded]:
    key = (_guard.c.chain_id == str(domain.chain_id)) & (_guard.c.coprocessor == domain.coprocessor)
    rows = connection.execute(select(_guard).where(key & _guard.c.request_id.in_(request_ids))).mappings().all()
    return {guarded.signed.claim.request_id: guarded for guarded in map(_guarded, rows)}


def _guarded(row: Mapping[str, Any] | RowMapping) -> Guarded:
    claim = Claim(Bytes32(row["request_id"]), row["model_id"], row["input_digest"], row["output_digest"])
    signed = SignedClaim(claim, row["output"], Address(row["signer"]), row["signature"])
    runtime, seconds = Runtime(**json.loads(row["runtime"])), row["microseconds"] / 1_000_000
    inference = Inference(claim.model_id, claim.input_digest, claim.output_digest, signed.output, runtime, seconds)
    return Guarded(signed, inference, _intent(row))


def _require_same(earlier: Guarded, claim: Claim) -> Guarded:
    if earlier.signed.claim != claim:
        expected, got = to_hex(earlier.signed.claim.output_digest), to_hex(claim.output_digest)
        raise Equivocation(f"output of request {to_hex(claim.request_id)}", f"{expected}, which was signed", got)
    return earlier
