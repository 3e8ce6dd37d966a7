"""Which of several replicas works the lane: the holder of a lease in their one PostgreSQL database, by a token that grows with each holder.

Safety does not rest on time. Every transaction that may write begins with the database's one write lock (as SQLite's do) and, in a
relay, by reading the token: a holder that is not the newest any more changes nothing (`LeaseLost`). Taking the lease takes the same lock,
so nothing of the holder before is in progress when the token grows. What such a holder may still do is to send bytes that are stored, and
to say to the log what is stored under its key: both may be done any number of times, by anybody.

Time decides only when another may take over: LEASE_SECONDS after the last renewal. A process that is stopped within a transaction would
keep the write lock; the server ends its session after IDLE_SECONDS. So a lane stands still for LEASE_SECONDS and a look or two.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, Float, create_engine, event, literal_column, select, text, update
from sqlalchemy.exc import DBAPIError

from oracle.errors import ConfigRejected, StoreError
from oracle.relay.lane import hold_lane
from oracle.relay.schema import LEASE
from oracle.store import is_reading, open_database

LEASE_SECONDS = 4.0
RENEW_SECONDS = 1.0
TAKE_SECONDS = 0.5
IDLE_SECONDS = 3
LOCK_SECONDS = 2
WRITE_LOCK = 0x61666672  # "affr": held by whoever writes to the relay's database on PostgreSQL

_NOW: ColumnElement[float] = literal_column("extract(epoch from clock_timestamp())::float8", Float)


class LeaseLost(StoreError):
    """Another replica has the lease: this process must not write."""


class Holding(Protocol):
    """Whether this process may work the lane now."""

    @property
    def is_held(self) -> bool: ...


class Alone:
    """An SQLite database has one relay, which holds its file for as long as it runs."""

    is_held = True


def open_relay_database(url: str) -> Engine:
    """The relay's database, for the relay and the API: one writer at a time, on PostgreSQL too. Raises StoreError."""
    engine = open_database(url, "relay")
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _bound_locks)
        event.listen(engine, "begin", _lock_for_writing)
        engine.dispose()  # connections made before that
    return engine


@contextmanager
def hold(engine: Engine, holder: str) -> Iterator[Alone | Lease]:
    """This process's part in working the lane. `holder` tells people who it is.

    Raises ConfigRejected where an SQLite database has a relay already, or the database is of another kind.
    """
    if engine.dialect.name == "sqlite":
        with hold_lane(engine):
            yield Alone()
    elif engine.dialect.name == "postgresql":
        lease = Lease(engine, holder)
        try:
            yield lease
        finally:
            lease.release()
    else:
        raise ConfigRejected("relay database", "SQLite or PostgreSQL", engine.dialect.name)


class Lease:
    """This replica's hold on the lane, or its wait for it. From its making on, `engine` writes only while it is the newest holder."""

    def __init__(self, engine: Engine, holder: str, seconds: float = LEASE_SECONDS) -> None:
        self._holder, self._seconds = holder, seconds
        self._token: int | None = None
        self._renewed_at = float("-inf")
        # Its own connection: a renewal waits neither for the pool nor for the write lock.
        self._engine = create_engine(engine.url, hide_parameters=True, pool_pre_ping=True, pool_size=1, max_overflow=0)
        event.listen(self._engine, "connect", _bound_locks)
        event.listen(engine, "begin", self._require_newest)

    @property
    def is_held(self) -> bool:
        """Whether there is a point in trying: what is written is checked by the token, not by this."""
        return self._token is not None and time.monotonic() - self._renewed_at < self._seconds

    @property
    def token(self) -> int | None:
        return self._token

    def step(self) -> bool:
        """Renews the lease, or takes it where it is free; returns whether it was taken just now. Raises StoreError."""
        with _storing():
            if self._token is not None:
                self._renew(self._token)
                return False
            return self._take()

    def release(self) -> None:
        """Lets the next replica in at once, where the database can be told."""
        token, self._token = self._token, None
        try:
            if token is not None:
                with self._engine.begin() as connection:
                    connection.execute(update(LEASE).where(LEASE.c.token == token).values(expires=0))
        except DBAPIError:
            pass  # it ends by itself
        finally:
            self._engine.dispose()

    def _renew(self, token: int) -> None:
        started = time.monotonic()
        with self._engine.begin() as connection:
            renewed = connection.execute(update(LEASE).where(LEASE.c.token == token).values(expires=_NOW + self._seconds))
        if renewed.rowcount == 1:
            self._renewed_at = started
            return
        self._token = None
        raise LeaseLost("another replica took the lease") from None

    def _take(self) -> bool:
        started = time.monotonic()
        with self._engine.begin() as connection:
            if not connection.execute(select(LEASE.c.expires < _NOW)).scalar_one():
                return False
            _lock_for_writing(connection)
            free = update(LEASE).where(LEASE.c.expires < _NOW)
            taken = connection.execute(
                free.values(token=LEASE.c.token + 1, holder=self._holder, expires=_NOW + self._seconds).returning(LEASE.c.token)
            ).scalar_one_or_none()
        self._token, self._renewed_at = taken, started
        return taken is not None

    def _require_newest(self, connection: Connection) -> None:
        """Runs in every transaction that may write, when it has the write lock: nobody takes the lease before it ends."""
        if is_reading(connection):
            return
        if self._token is None or connection.execute(select(LEASE.c.token)).scalar_one() != self._token:
            raise LeaseLost("this replica does not hold the lease") from None


def _lock_for_writing(connection: Connection) -> None:
    if not is_reading(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITE_LOCK})


def _bound_locks(connection: Any, _record: object) -> None:
    """A process that is stopped within a transaction loses it, and with it the locks.

    Those of its threads that wait for the write lock must give up before that, or they would get it one after the other, for nothing.
    """
    connection.autocommit = True
    connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
    connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    connection.autocommit = False


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise StoreError("the lease's database does not answer") from error
