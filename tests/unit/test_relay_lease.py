"""Replicas on one real PostgreSQL database: who holds the lease, what an old holder can still write (nothing), and who waits for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import InternalError, OperationalError

from oracle.errors import ConfigRejected, StoreError
from oracle.relay import lease as leases
from oracle.relay.lease import IDLE_SECONDS, LEASE_SECONDS, Alone, Lease, LeaseLost, hold, open_relay_database
from oracle.relay.metrics import RelayMetrics, make_app
from oracle.relay.schema import LEASE, TERMS
from oracle.seams import SystemClock
from oracle.store import reading


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_relay_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def replicas(postgres_url: str) -> Iterator[tuple[Engine, Engine]]:
    with opened(postgres_url) as one, opened(postgres_url) as other:
        yield one, other


def write(engine: Engine, value: str) -> None:
    with engine.begin() as connection:
        connection.execute(update(TERMS).values(minimum_fee_wei=value))


def read(engine: Engine) -> str:
    with reading(engine) as connection:
        return str(connection.execute(select(TERMS.c.minimum_fee_wei)).scalar_one())


def address_of(engine: Engine) -> str:
    """As libpq takes it."""
    return engine.url.render_as_string(hide_password=False).replace("+psycopg", "")


def expire(engine: Engine) -> None:
    with reading(engine) as connection:
        connection.execute(update(LEASE).values(expires=0))


def test_one_holds_and_the_other_waits(replicas: tuple[Engine, Engine]) -> None:
    one, other = (Lease(engine, name) for engine, name in zip(replicas, "ab", strict=True))
    assert one.step()
    assert one.is_held
    assert not other.step()
    assert not other.is_held
    assert not one.step()  # renewed, not taken
    write(replicas[0], "1")
    with pytest.raises(LeaseLost):
        write(replicas[1], "2")
    assert read(replicas[1]) == "1"  # reading needs no lease
    one.release()
    assert other.step()  # let in at once
    assert other.token == 2
    other.release()


def test_a_replica_that_stands_by_tells_its_metrics(replicas: tuple[Engine, Engine]) -> None:
    """Whether exactly one works is the sum over all of them."""
    one, other = (Lease(engine, name) for engine, name in zip(replicas, "ab", strict=True))
    assert one.step()
    assert not other.step()
    for engine in replicas:
        answer = TestClient(make_app(RelayMetrics(engine, SystemClock()), {})).get("/metrics")
        assert answer.status_code == 200
        assert "affidavit_relay_log_entries_waiting 0.0" in answer.text
        assert "affidavit_relay_is_holder" in answer.text
    one.release()


def test_an_old_holder_writes_nothing_and_learns_of_it(replicas: tuple[Engine, Engine]) -> None:
    """The heart of it: whatever the old one believes, and whatever time it is."""
    old, new = (Lease(engine, name) for engine, name in zip(replicas, "ab", strict=True))
    assert old.step()
    expire(replicas[0])
    write(replicas[0], "1")  # its time is over, but nobody else's came: it is still the newest
    assert new.step()
    assert old.is_held  # it does not know yet
    with pytest.raises(LeaseLost):
        write(replicas[0], "stale")
    write(replicas[1], "2")
    assert read(replicas[0]) == "2"
    with pytest.raises(LeaseLost):
        old.step()
    assert not old.is_held
    assert not old.step()
    with pytest.raises(LeaseLost):
        write(replicas[0], "stale")
    old.release()  # of nothing: the new one's stays
    assert not new.step()
    write(replicas[1], "3")
    new.release()


def test_an_old_holder_that_ends_leaves_the_newest_one_s_lease_alone(replicas: tuple[Engine, Engine]) -> None:
    old, new, third = (Lease(engine, name) for engine, name in zip((*replicas, replicas[0]), "abc", strict=True))
    assert old.step()
    expire(replicas[0])
    assert new.step()
    old.release()  # it still believes that it holds
    assert not third.step()
    new.release()


def test_of_two_that_see_a_free_lease_at_once_one_takes_it(replicas: tuple[Engine, Engine]) -> None:
    """Both have looked; the one that gets the write lock second looks again."""
    one, other = (Lease(engine, name) for engine, name in zip(replicas, "ab", strict=True))
    with psycopg.connect(address_of(replicas[0])) as raw:
        raw.execute(f"SELECT pg_advisory_xact_lock({leases.WRITE_LOCK})")
        threads = [threading.Thread(target=lease.step) for lease in (one, other)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)  # both wait for the lock
    for thread in threads:
        thread.join()
    assert sorted((one.token, other.token), key=str) == [1, None]
    one.release()
    other.release()


def test_tokens_only_grow(replicas: tuple[Engine, Engine]) -> None:
    seen = []
    for engine in (*replicas, *replicas):
        one = Lease(engine, "x")
        assert one.step()
        seen.append(one.token)
        one.release()
    assert seen == [1, 2, 3, 4]


def test_the_lease_is_taken_only_between_transactions_of_its_holder(replicas: tuple[Engine, Engine]) -> None:
    old, new = (Lease(engine, name) for engine, name in zip(replicas, "ab", strict=True))
    assert old.step()
    with replicas[0].begin() as connection:
        connection.execute(update(TERMS).values(minimum_fee_wei="5"))
        expire(replicas[1])
        taking = threading.Thread(target=new.step)
        taking.start()
        taking.join(0.3)
        assert taking.is_alive()
        assert new.token is None
    taking.join(5)
    assert new.token == 2
    assert read(replicas[1]) == "5"
    new.release()
    old.release()


def test_a_holder_that_stands_still_within_a_transaction_loses_it(replicas: tuple[Engine, Engine]) -> None:
    old, new = (Lease(engine, name) for engine, name in zip(replicas, "ab", strict=True))
    assert old.step()
    stale = update(TERMS).values(minimum_fee_wei="stale")
    connection = replicas[0].connect()
    connection.execute(stale)
    expire(replicas[1])
    started, taken = time.monotonic(), False
    while not taken and time.monotonic() < started + 10:
        with suppress(StoreError):  # the write lock was not free within two seconds
            taken = new.step()
    assert taken
    assert time.monotonic() - started < IDLE_SECONDS + 1.5
    write(replicas[1], "6")
    with pytest.raises((OperationalError, InternalError)):
        connection.execute(stale)
    connection.invalidate()
    assert read(replicas[1]) == "6"
    new.release()
    old.release()


def test_threads_of_a_stopped_holder_do_not_get_the_lock_one_after_the_other(replicas: tuple[Engine, Engine]) -> None:
    """Their sessions wait for the write lock at the server, whatever the process does; each would keep it until the server ends it."""
    old, new = (Lease(engine, name) for engine, name in zip(replicas, "ab", strict=True))
    assert old.step()
    stopped, waiting = replicas[0].connect(), []
    stopped.execute(update(TERMS).values(minimum_fee_wei="stale"))
    for _ in range(4):
        raw = psycopg.connect(address_of(replicas[0]))
        leases._bound_locks(raw, None)
        waiting.append(threading.Thread(target=wait_for_lock, args=(raw,)))
        waiting[-1].start()
    expire(replicas[1])
    started, taken = time.monotonic(), False
    while not taken and time.monotonic() < started + 20:
        with suppress(StoreError):
            taken = new.step()
    assert time.monotonic() - started < IDLE_SECONDS + 1.5
    for thread in waiting:
        thread.join()
    stopped.invalidate()
    new.release()


def wait_for_lock(raw: psycopg.Connection) -> None:
    """Asks for the write lock, and stands still with it."""
    with suppress(psycopg.Error):
        raw.execute(f"SELECT pg_advisory_xact_lock({leases.WRITE_LOCK})")
        time.sleep(IDLE_SECONDS + 2)
    raw.close()


def test_writers_take_turns(replicas: tuple[Engine, Engine]) -> None:
    """Reading and then writing is one step, on PostgreSQL as on SQLite: the API and the relay's threads share these tables."""

    def count_up(engine: Engine) -> None:
        for _ in range(50):
            with engine.begin() as connection:
                value = int(connection.execute(select(TERMS.c.minimum_fee_wei)).scalar_one())
                connection.execute(update(TERMS).values(minimum_fee_wei=str(value + 1)))

    threads = [threading.Thread(target=count_up, args=(engine,)) for engine in (*replicas, *replicas)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(replicas[0]) == "200"


def test_a_lease_that_cannot_be_renewed_ends_by_itself(replicas: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    one = Lease(replicas[0], "a", seconds=0.2)
    assert one.step()
    time.sleep(0.25)
    assert not one.is_held
    assert not one.step()  # renewed: nobody else had come
    assert one.is_held
    one.release()
    assert LEASE_SECONDS + IDLE_SECONDS + 2 < 10  # what the relay promises


def test_sqlite_has_one_relay_and_other_databases_none(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    engine = open_relay_database(f"sqlite:///{tmp_path}/relay.sqlite")
    with hold(engine, "a") as holding:
        assert isinstance(holding, Alone)
        assert holding.is_held
        with pytest.raises(ConfigRejected, match="no other relay"), hold(engine, "b"):
            pass
    monkeypatch.setattr(engine.dialect, "name", "mysql")
    with pytest.raises(ConfigRejected, match="SQLite or PostgreSQL"), hold(engine, "a"):
        pass


def test_the_api_writes_without_a_lease(postgres_url: str) -> None:
    with opened(postgres_url) as relay, opened(postgres_url) as api:
        lease = Lease(relay, "a")
        write(api, "7")
        assert read(api) == "7"
        lease.release()
