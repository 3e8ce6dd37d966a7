"""A watcher's cases: one for each delivery it saw on chain, durable, in the transaction that remembers the delivery's block.

    SEEN ──the model gives the same output──▶ TRUE
      │ ├──the model or the input is not at hand──▶ UNCHECKED
      │ ├──another output──▶ WRONG ──proven, kept──▶ PROVEN ──chain shows all consequences, at depth──▶ DONE
      │ │                      └──────── the contracts refuse, MOST_ATTEMPTS times ────────▶ FAILED
      │ └──another output, of an opaque model──▶ UNPROVABLE (a committee may decide: `oracle.relay.hearings`)
      └──in every state: the block of the delivery vanished──▶ (gone; a delivery that comes again is a new case)

What is done about a case is read from the chain each time, never remembered: so a crash between sending and being mined, and a
reorganisation that drops what was sent, are the ordinary case run again. The contracts let nothing happen twice.
"""

from __future__ import annotations

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
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from oracle.errors import ConfigRejected
from oracle.records import Bytes32, Domain, TransactionReceipt
from oracle.relay.follow import trail_table
from oracle.relay.schema import require_transition
from oracle.store import count_by, reading

SCHEMA = "watch"
MOST_ATTEMPTS = 8
"""How often the contracts may refuse what a case needs before it is FAILED, which needs a person."""


class CaseState(StrEnum):
    SEEN = "seen"
    TRUE = "true"
    UNCHECKED = "unchecked"
    WRONG = "wrong"
    PROVEN = "proven"
    UNPROVABLE = "unprovable"
    DONE = "done"
    FAILED = "failed"


_C = CaseState
CASE_TRANSITIONS: dict[CaseState, frozenset[CaseState]] = {
    _C.SEEN: frozenset({_C.TRUE, _C.UNCHECKED, _C.WRONG, _C.UNPROVABLE}),
    _C.TRUE: frozenset(),
    _C.UNCHECKED: frozenset({_C.SEEN}),  # looked at again after a start with other models
    _C.WRONG: frozenset({_C.PROVEN, _C.FAILED}),
    _C.PROVEN: frozenset({_C.DONE, _C.FAILED}),
    _C.UNPROVABLE: frozenset(),
    _C.DONE: frozenset(),
    _C.FAILED: frozenset(),
}
OPEN_STATES = (CaseState.SEEN, CaseState.WRONG, CaseState.PROVEN)

METADATA = MetaData()
FOLLOWED_BLOCKS = trail_table(METADATA)
_deployment = Table("deployment", METADATA, Column("chain_id", String(78)), Column("coprocessor", String(42)))
_cases = Table(
    "cases",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("request_id", LargeBinary(32)),
    Column("transaction", LargeBinary(32)),  # that delivered
    Column("block_hash", LargeBinary(32)),
    Column("state", String(16)),
    Column("available_at", BigInteger),  # the end of its window, seconds since 1970; 0 where there is none
    Column("output", LargeBinary),  # what the model gives, once that is known to be something else
    Column("proof", LargeBinary),  # data of proof evidence for that output
    Column("settled_block", BigInteger),  # the head when the chain first showed all consequences
    Column("attempts", Integer),
    Column("not_before", Float),  # seconds since 1970
    Column("problem", Text),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A row of `cases`."""

    id: int
    request_id: Bytes32
    transaction: Bytes32
    state: CaseState
    available_at: int
    output: bytes
    proof: bytes
    settled_block: int | None
    attempts: int


def bind(engine: Engine, domain: Domain) -> None:
    """Makes the database this deployment's, once. Raises ConfigRejected where it is another's."""
    mine = (str(domain.chain_id), str(domain.coprocessor))
    with engine.begin() as connection:
        row = connection.execute(select(_deployment)).one_or_none()
        if row is None:
            connection.execute(insert(_deployment).values(chain_id=mine[0], coprocessor=mine[1]))
        elif tuple(row) != mine:
            raise ConfigRejected("watch database", f"that of chain {row[0]}, coprocessor {row[1]}", f"chain {mine[0]}, {mine[1]}")


def open_cases(connection: Connection, receipt: TransactionReceipt) -> None:
    """A case for each delivery that a transaction made."""
    for delivered in receipt.delivered:
        values = {"request_id": delivered.request_id, "transaction": receipt.transaction, "block_hash": receipt.block_hash}
        more = {"available_at": delivered.available_at, "attempts": 0, "not_before": 0.0}
        connection.execute(insert(_cases).values(**values, **more, state=CaseState.SEEN))


def drop_block(connection: Connection, block_hash: Bytes32) -> int:
    """Forgets the cases of a block that is no longer canonical; returns how many."""
    return connection.execute(delete(_cases).where(_cases.c.block_hash == block_hash)).rowcount


def lock_block_hash(connection: Connection, case: Case) -> Bytes32 | None:
    """The block of a case's delivery, which cannot be dropped before this transaction ends; None where it was dropped already."""
    found = connection.execute(select(_cases.c.block_hash).where(_cases.c.id == case.id).with_for_update()).scalar_one_or_none()
    return None if found is None else Bytes32(found)


def next_case(engine: Engine, now: float) -> Case | None:
    """The case to look at now: those whose window ends first, then those that have been looked at least, then the oldest."""
    is_due = _cases.c.state.in_(OPEN_STATES) & (_cases.c.not_before <= now)
    has_window = _cases.c.available_at > now
    order = (has_window.desc(), _cases.c.available_at, _cases.c.attempts, _cases.c.id)
    with reading(engine) as connection:
        row = connection.execute(select(_cases).where(is_due).order_by(*order).limit(1)).one_or_none()
    return None if row is None else _case(row)


def find_case(engine: Engine, request_id: Bytes32) -> Case | None:
    with reading(engine) as connection:
        row = connection.execute(select(_cases).where(_cases.c.request_id == request_id)).one_or_none()
    return None if row is None else _case(row)


def move(engine: Engine, case: Case, state: CaseState, **values: Any) -> None:
    """Moves a case, unless its block has vanished meanwhile."""
    require_transition(CASE_TRANSITIONS, case.state, state)
    changed = {"state": state, **values}
    with engine.begin() as connection:
        connection.execute(update(_cases).where(_cases.c.id == case.id).values(**changed))


def postpone(engine: Engine, case: Case, not_before: float, **values: Any) -> None:
    """Looks at a case again later. `values`: settled_block, problem, attempts."""
    with engine.begin() as connection:
        connection.execute(update(_cases).where(_cases.c.id == case.id).values(not_before=not_before, **values))


def reconsider_unchecked(engine: Engine) -> int:
    """At start: what could not be checked is looked at again, perhaps with other models. Returns how many."""
    unchecked = update(_cases).where(_cases.c.state == CaseState.UNCHECKED)
    with engine.begin() as connection:
        return connection.execute(unchecked.values(state=CaseState.SEEN, not_before=0.0, attempts=0, problem=None)).rowcount


def count_by_state(engine: Engine) -> dict[CaseState, int]:
    with reading(engine) as connection:
        return count_by(connection, _cases.c.state, CaseState)


def _case(row: Any) -> Case:
    return Case(
        id=row.id,
        request_id=Bytes32(row.request_id),
        transaction=Bytes32(row.transaction),
        state=CaseState(row.state),
        available_at=row.available_at,
        output=row.output or b"",
        proof=row.proof or b"",
        settled_block=row.settled_block,
        attempts=row.attempts,
    )
