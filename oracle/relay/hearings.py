"""A watcher's hearings: one for each delivery under a disputable policy, and the votes of its operator. Durable, beside the cases.

    HELD ──a dispute or an audit is on chain──▶ DISPUTED ──decided──▶ RULED ──nothing left to do, at depth──▶ CLOSED
      └──the answer is final or gone, at depth──▶ CLOSED                └──the contracts refuse, MOST_ATTEMPTS times──▶ FAILED
    HELD, DISPUTED and RULED follow the chain, back as well: a reorganisation may drop an opening or a reveal
    in every state: the block of the delivery vanished ──▶ (gone; a delivery that comes again is a new hearing)

What is to be done is read from the chain each time (`oracle.pipeline.hearing`), so that a crash between sending and being mined is the
ordinary step run again. One thing the chain cannot tell: the salt of a commitment. It is kept here before the commitment is sent, and stays
when the block of the delivery vanishes, since the commitment may come back with it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
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
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from oracle.records import Address, Bytes32
from oracle.relay.cases import METADATA, Case, lock_block_hash
from oracle.relay.schema import require_transition
from oracle.store import count_by, reading


class HearingState(StrEnum):
    HELD = "held"
    DISPUTED = "disputed"
    RULED = "ruled"
    CLOSED = "closed"
    FAILED = "failed"


class Duty(StrEnum):
    """What this watcher's operator owes a committee it was drawn into. Whoever owes too long loses a part of its stake."""

    NONE = "none"
    COMMIT = "commit"
    REVEAL = "reveal"
    IMPOSSIBLE = "impossible"  # the model, the input or the salt is not at hand, or the contracts refuse
    MISSED = "missed"  # the time to commit is over


_H = HearingState
_OPEN = frozenset({_H.HELD, _H.DISPUTED, _H.RULED})
HEARING_TRANSITIONS: dict[HearingState, frozenset[HearingState]] = {
    _H.HELD: _OPEN | {_H.CLOSED, _H.FAILED},
    _H.DISPUTED: _OPEN | {_H.CLOSED, _H.FAILED},
    _H.RULED: _OPEN | {_H.CLOSED, _H.FAILED},
    _H.CLOSED: frozenset(),
    _H.FAILED: frozenset(),
}

_hearings = Table(
    "hearings",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("request_id", LargeBinary(32)),
    Column("transaction", LargeBinary(32)),  # that delivered
    Column("block_hash", LargeBinary(32)),
    Column("state", String(16)),
    Column("duty", String(16)),
    Column("duty_until", BigInteger),  # chain seconds since 1970 by which it must be done; 0 where nothing is owed
    Column("woken", Integer),  # counts the events seen about it: a step that read the chain before one does not put it off
    Column("settled_block", BigInteger),  # the head when the chain first showed nothing left to do
    Column("attempts", Integer),
    Column("not_before", Float),  # seconds since 1970
    Column("problem", Text),
)
_votes = Table(
    "votes",
    METADATA,
    Column("request_id", LargeBinary(32), primary_key=True),
    Column("member", String(42), primary_key=True),
    Column("output_digest", LargeBinary(32)),
    Column("salt", LargeBinary(32)),
)


@dataclass(frozen=True, slots=True)
class Hearing:
    """A row of `hearings`."""

    id: int
    request_id: Bytes32
    transaction: Bytes32
    state: HearingState
    duty: Duty
    woken: int
    settled_block: int | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Vote:
    """What a member committed to, or is about to."""

    request_id: Bytes32
    member: Address
    output_digest: Bytes32
    salt: Bytes32


def open_hearing(engine: Engine, case: Case) -> None:
    """A hearing for a case's delivery, unless it has one, or its block has vanished."""
    t = _hearings
    with engine.begin() as connection:
        block_hash = lock_block_hash(connection, case)
        if block_hash is None:
            return
        is_there = (t.c.request_id == case.request_id) & (t.c.block_hash == block_hash)
        if connection.execute(select(t.c.id).where(is_there)).one_or_none() is None:
            where = {"request_id": case.request_id, "transaction": case.transaction, "block_hash": block_hash}
            more = {"duty": Duty.NONE, "duty_until": 0, "woken": 0, "attempts": 0, "not_before": 0.0}
            connection.execute(insert(t).values(**where, **more, state=HearingState.HELD))


def drop_block(connection: Connection, block_hash: Bytes32) -> int:
    """Forgets the hearings of a block that is no longer canonical; returns how many. Votes stay."""
    return connection.execute(delete(_hearings).where(_hearings.c.block_hash == block_hash)).rowcount


def wake(connection: Connection, request_id: Bytes32) -> None:
    """Something about it happened on chain: it is looked at now."""
    t = _hearings
    connection.execute(update(t).where(t.c.request_id == request_id).values(not_before=0.0, woken=t.c.woken + 1))


def wake_all(engine: Engine) -> None:
    """At start: everything is looked at again, perhaps with other models, or for another operator."""
    with engine.begin() as connection:
        connection.execute(update(_hearings).values(not_before=0.0, woken=_hearings.c.woken + 1))


def next_hearing(engine: Engine, now: float) -> Hearing | None:
    """The hearing to look at now: where a vote is owed first, the one that ends first; then the one that waits for longest."""
    t = _hearings
    is_due = t.c.state.in_(sorted(_OPEN)) & (t.c.not_before <= now)
    order = ((t.c.duty_until == 0), t.c.duty_until, t.c.not_before, t.c.id)
    with reading(engine) as connection:
        row = connection.execute(select(t).where(is_due).order_by(*order).limit(1)).one_or_none()
    return None if row is None else _hearing(row)


def find_hearing(engine: Engine, request_id: Bytes32) -> Hearing | None:
    with reading(engine) as connection:
        row = connection.execute(select(_hearings).where(_hearings.c.request_id == request_id)).one_or_none()
    return None if row is None else _hearing(row)


def move(engine: Engine, hearing: Hearing, state: HearingState, not_before: float, **values: Any) -> None:
    """Moves a hearing, unless its block has vanished, and puts it off until then, unless an event has woken it meanwhile.

    `values`: duty, duty_until, settled_block, attempts, problem.
    """
    require_transition(HEARING_TRANSITIONS, hearing.state, state)
    t = _hearings
    with engine.begin() as connection:
        connection.execute(update(t).where(t.c.id == hearing.id).values(state=state, **values))
        is_unwoken = (t.c.id == hearing.id) & (t.c.woken == hearing.woken)
        connection.execute(update(t).where(is_unwoken).values(not_before=not_before))


def keep_vote(engine: Engine, request_id: Bytes32, member: Address, output_digest: Bytes32) -> Vote:
    """The member's vote on a request: the one that was kept first, whatever is asked for now, or a new one with a salt drawn here.

    It is on the disk when this returns, so a commitment that was sent can always be revealed.
    """
    with engine.begin() as connection:
        if (kept := _find_vote(connection, request_id, member)) is not None:
            return kept
        vote = Vote(request_id, member, output_digest, Bytes32(secrets.token_bytes(32)))
        values = {"request_id": request_id, "member": member, "output_digest": output_digest, "salt": vote.salt}
        connection.execute(insert(_votes).values(**values))
        return vote


def find_vote(engine: Engine, request_id: Bytes32, member: Address) -> Vote | None:
    with reading(engine) as connection:
        return _find_vote(connection, request_id, member)


def _find_vote(connection: Connection, request_id: Bytes32, member: Address) -> Vote | None:
    is_it = (_votes.c.request_id == request_id) & (_votes.c.member == member)
    row = connection.execute(select(_votes).where(is_it)).one_or_none()
    return None if row is None else Vote(Bytes32(row.request_id), Address(row.member), Bytes32(row.output_digest), Bytes32(row.salt))


def count_by_state(engine: Engine) -> dict[HearingState, int]:
    with reading(engine) as connection:
        return count_by(connection, _hearings.c.state, HearingState)


def count_by_duty(engine: Engine) -> dict[Duty, int]:
    """Of hearings that are not closed: by what this watcher's operator owes them."""
    t = _hearings
    with reading(engine) as connection:
        counted = count_by(connection, t.c.duty, Duty, t.c.state.in_(sorted(_OPEN)))
    return {duty: count for duty, count in counted.items() if duty is not Duty.NONE}


def find_next_deadline(engine: Engine) -> int | None:
    """By when the most urgent vote must be sent: chain seconds since 1970. None where none is owed."""
    t = _hearings
    is_owed = t.c.state.in_(sorted(_OPEN)) & (t.c.duty_until > 0)
    with reading(engine) as connection:
        found: int | None = connection.execute(select(func.min(t.c.duty_until)).where(is_owed)).scalar_one()
    return found


def _hearing(row: Any) -> Hearing:
    return Hearing(
        id=row.id,
        request_id=Bytes32(row.request_id),
        transaction=Bytes32(row.transaction),
        state=HearingState(row.state),
        duty=Duty(row.duty),
        woken=row.woken,
        settled_block=row.settled_block,
        attempts=row.attempts,
    )
