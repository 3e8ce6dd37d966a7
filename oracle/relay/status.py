"""How a relay is doing, read beside it: from its database, whoever works on it, and from the chain's endpoints. Nothing is changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, literal_column, select

from oracle.encoding import to_hex
from oracle.records import Address, Bytes32
from oracle.relay.outbox import count_jobs, measure_waiting
from oracle.relay.schema import EVENTS, FOLLOWED_BLOCKS, LEASE, REQUESTS, SLOTS, RequestState, SlotState
from oracle.relay.statements import count_waiting
from oracle.relay.store import count_by_state
from oracle.store import count_by, reading

MOST_COSTS = 100
"""Of how many mined transactions, newest first, the chain is asked what they cost."""
UNANSWERED = (RequestState.COLLECTING, RequestState.QUEUED, RequestState.SENT)


@dataclass(frozen=True, slots=True)
class Leading:
    """Who works the lane. `holder`: host and process, as it called itself; None where nobody does, or where that cannot be seen."""

    holder: str | None
    term: int | None = None  # PostgreSQL: grows with every holder
    seconds_left: float | None = None  # until another may take over; below 0 where one may now


@dataclass(frozen=True, slots=True)
class Oldest:
    """The request that has waited longest for an answer on chain."""

    request_id: Bytes32
    state: RequestState
    seen: str  # RFC 3339
    waited_seconds: float
    deadline: int  # seconds since 1970
    reason: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database says."""

    requests: dict[str, int]
    jobs: dict[str, int]
    nonces: dict[str, int]
    replaced: int  # transactions signed to replace one that waited
    unmined_seconds: float
    log_entries_waiting: int
    oldest: Oldest | None
    leading: Leading
    followed: tuple[int, str] | None  # number and hash of the last block taken
    sender: Address | None
    mined: tuple[Bytes32, ...]  # our transactions, newest first, MOST_COSTS at most


def read_stored(engine: Engine, now: datetime) -> Stored:
    """One look at a relay's database, opened by `oracle.store.open_to_read`."""
    with reading(engine) as connection:
        replaced, unmined_seconds = measure_waiting(connection, now)
        nonces = count_by(connection, SLOTS.c.state, SlotState)
        jobs, oldest, leading = count_jobs(connection), _find_oldest(connection, now), _find_leading(connection, engine)
        newest = select(FOLLOWED_BLOCKS.c.number, FOLLOWED_BLOCKS.c.hash).order_by(FOLLOWED_BLOCKS.c.number.desc()).limit(1)
        followed = connection.execute(newest).one_or_none()
        sender = connection.execute(select(SLOTS.c.sender).order_by(SLOTS.c.nonce.desc()).limit(1)).scalar_one_or_none()
        done = SLOTS.c.state.in_((SlotState.MINED, SlotState.FINAL)) & SLOTS.c.transaction.is_not(None)
        mined = connection.execute(select(SLOTS.c.transaction).where(done).order_by(SLOTS.c.nonce.desc()).limit(MOST_COSTS)).scalars()
        sent = tuple(Bytes32(transaction) for transaction in mined)
    return Stored(
        requests={str(state): count for state, count in count_by_state(engine).items()},
        jobs={str(state): count for state, count in jobs.items()},
        nonces={str(state): count for state, count in nonces.items()},
        replaced=replaced,
        unmined_seconds=unmined_seconds,
        log_entries_waiting=count_waiting(engine),
        oldest=oldest,
        leading=leading,
        followed=None if followed is None else (int(followed.number), to_hex(followed.hash)),
        sender=None if sender is None else Address(sender),
        mined=sent,
    )


def _find_oldest(connection: Connection, now: datetime) -> Oldest | None:
    query = select(REQUESTS.c.request_id, REQUESTS.c.state, REQUESTS.c.deadline, REQUESTS.c.reason)
    row = connection.execute(query.where(REQUESTS.c.state.in_(UNANSWERED)).order_by(REQUESTS.c.id).limit(1)).one_or_none()
    if row is None:
        return None
    seen = connection.execute(select(func.min(EVENTS.c.time)).where(EVENTS.c.request_id == row.request_id)).scalar_one()
    waited = max(0.0, (now - datetime.fromisoformat(seen)).total_seconds())
    return Oldest(Bytes32(row.request_id), RequestState(row.state), seen, waited, row.deadline, row.reason)


def _find_leading(connection: Connection, engine: Engine) -> Leading:
    if engine.dialect.name == "sqlite":
        return Leading(find_lane_holder(Path(f"{engine.url.database}.lane")))
    left: Any = LEASE.c.expires - literal_column("extract(epoch from clock_timestamp())::float8")
    row = connection.execute(select(LEASE.c.token, LEASE.c.holder, left.label("left"))).one_or_none()
    if row is None:
        return Leading(None)
    return Leading(row.holder if row.left > 0 else None, row.token, float(row.left))


def find_lane_holder(file: Path, locks: Path = Path("/proc/locks")) -> str | None:
    """The process that holds an SQLite database's lane (`oracle.relay.lane.hold_lane`), without touching the lock. None where none does.

    The kernel's own list is read (proc_locks(5)): taking the lock to see whether it is free would keep out a relay that starts now.
    """
    if not file.exists() or not locks.exists():
        return None
    found = file.stat()
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in locks.read_text().splitlines():
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[3] == "WRITE" and words[5] == place:
            return f"process {words[4]}"
    return None
