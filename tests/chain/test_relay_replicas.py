"""Two relays on one real PostgreSQL database and one chain: one works, the other takes over, and the first does no harm when it returns."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text, update

from oracle.encoding import keccak256
from oracle.errors import ConfigRejected, StoreError
from oracle.pipeline.relay import make_lease_step
from oracle.records import Asked, RequestStatus
from oracle.relay import submit
from oracle.relay.lease import WRITE_LOCK, Lease, LeaseLost
from oracle.relay.schema import LEASE, RequestState
from oracle.relay.store import bind_deployment, current_terms, list_requests, publish_terms
from oracle.relay.terms import Terms
from oracle.seams import SystemClock
from oracle.store import open_database, reading
from tests.chain.conftest import World, account
from tests.chain.relay_rig import RELAY, TRUTH, Relay, make_relay
from tests.chain.test_relay_killed import CALLBACK_GAS, Place, check_everything, is_settled, placed

TAKEOVER_SECONDS = 10.0


# ---- taken apart: an old holder that wakes up between any two of its steps -------------------------------------------------------------
@pytest.fixture
def pair(world: World, tmp_path: Path, postgres_url: str) -> Iterator[tuple[Relay, Relay]]:
    first = make_relay(world, tmp_path, url=postgres_url)
    second = make_relay(world, tmp_path, url=postgres_url, log=first.log)
    yield first, second
    for relay in (first, second):
        relay.engine.dispose()


def take_over(relay: Relay) -> Lease:
    with reading(relay.engine) as connection:
        connection.execute(update(LEASE).values(expires=0))
    lease = Lease(relay.engine, "second")
    assert lease.step()
    return lease


@pytest.mark.parametrize("name", ["sign_transaction", "broadcast"])
def test_a_holder_that_stood_still_while_sending_gives_no_second_nonce(
    world: World, pair: tuple[Relay, Relay], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Before it stores what it signed, or before it sends what it stored, the other takes over and delivers; then the first goes on."""
    old, new = pair
    asked = world.ask_gate()
    assert Lease(old.engine, "first").step()
    old.follow()
    old.collect()
    real, leases = submit.__dict__[name], []

    def stand_still(*arguments: object) -> object:
        if not leases:
            leases.append(take_over(new))
            new.run(2)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(submit, name, stand_still)
        with pytest.raises(LeaseLost):
            old.tick()
    for step in (old.collect, old.tick):
        with pytest.raises(LeaseLost):
            step()
    new.run(1)
    assert new.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.status_of(asked.request_id).output_digest == keccak256(TRUTH)
    assert len(world.contracts._logs_since("Coprocessor", "InferenceDelivered", {"requestId": asked.request_id})) == 1
    assert world.contracts.nonce(account(RELAY).address, "latest") == len(new.slots()) == 1
    assert new.log.kinds() == ["receipt:mined", "receipt:final"]
    leases[0].release()


@contextmanager
def write_lock(url: str) -> Iterator[None]:
    """Somebody else writes, for long."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": WRITE_LOCK})
            yield
    finally:
        engine.dispose()


def test_terms_are_announced_again_where_the_database_was_busy_at_first(pair: tuple[Relay, Relay], postgres_url: str) -> None:
    """The replica that has just taken over must not end of it, nor forget what it has to say."""
    relay, announced = pair[0], list[str]()
    lease, terms, stack = Lease(relay.engine, "first"), Terms(minimum_fee_wei=7), ExitStack()

    def announce() -> None:
        if not announced:
            stack.enter_context(write_lock(postgres_url))
        announced.append("tried")
        publish_terms(relay.engine, terms, SystemClock().now())

    step = make_lease_step(lease, announce)
    with stack, pytest.raises(StoreError):
        step()
    assert lease.is_held
    assert current_terms(relay.engine) != terms
    step()
    step()
    assert current_terms(relay.engine) == terms
    assert len(announced) == 2, "once more, and then no more"
    lease.release()


def test_a_replica_starts_beside_one_that_writes(pair: tuple[Relay, Relay], postgres_url: str) -> None:
    relay = pair[1]
    with write_lock(postgres_url):
        bind_deployment(relay.engine, relay.world.deployment.domain)
        other = replace(relay.world.deployment.domain, chain_id=5)
        with pytest.raises(ConfigRejected, match="that of chain"):
            bind_deployment(relay.engine, other)


# ---- real processes --------------------------------------------------------------------------------------------------------------------
class Replicas:
    """Two processes, started and stopped by name."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.lives = {"a": 0, "b": 0}

    def start(self, name: str) -> None:
        self.processes[name] = self.place.start(name)
        self.lives[name] += 1

    def wait_started(self, name: str) -> None:
        wait_for(lambda: self.count(name, "started") >= self.lives[name], 60, f"{name} did not start")

    def count(self, name: str, event: str) -> int:
        return sum(line.get("event") == event for line in self.place.journal(name))

    def newest_token(self, name: str) -> int:
        """Of the leases it took; 0 where it took none."""
        return max((int(str(line["term"])) for line in self.place.journal(name) if line.get("event") == "took the lease"), default=0)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def send(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def wait_for_lease(self, name: str, times: int, seconds: float) -> None:
        wait_for(lambda: self.count(name, "took the lease") >= times, seconds, f"{name} did not take the lease")

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()


def wait_for(is_true: Callable[[], bool], seconds: float, problem: str) -> float:
    started = time.monotonic()
    while not is_true():
        assert time.monotonic() < started + seconds, problem
        time.sleep(0.05)
    return time.monotonic() - started


@pytest.fixture
def replicas(world: World, tmp_path: Path, postgres_url: str) -> Iterator[Replicas]:
    with placed(world, tmp_path, postgres_url) as place:
        both = Replicas(place)
        try:
            both.start("a")
            both.wait_for_lease("a", 1, 60)
            both.start("b")
            both.wait_started("b")
            yield both
        finally:
            both.end()


def is_final(place: Place, asked: Asked) -> bool:
    engine = open_database(place.database, "relay")
    try:
        return asked.request_id in {view.asked.request_id for view in list_requests(engine, RequestState.FINAL)}
    finally:
        engine.dispose()


def published_callback_gas(place: Place) -> int:
    engine = open_database(place.database, "relay")
    try:
        return current_terms(engine).max_callback_gas
    finally:
        engine.dispose()


def test_killed_and_stopped_holders_are_replaced_within_ten_seconds(world: World, replicas: Replicas) -> None:
    """kill -9 of the holder; SIGSTOP of the next one, which wakes up when the first is back at work, and finds that it may not write."""
    asked = [world.ask_gate(bytes([i])) for i in range(3)]
    wait_for(lambda: is_settled(replicas.place, asked), 30, "not delivered")
    assert replicas.count("b", "took the lease") == 0
    assert replicas.count("b", "will try again") == 0  # it does not even try
    assert published_callback_gas(replicas.place) == CALLBACK_GAS  # whoever works says its terms to the API

    replicas.kill("a")
    asked.append(world.ask_gate(b"after the kill"))
    seconds = wait_for(lambda: world.contracts.status_of(asked[-1].request_id).status is RequestStatus.FINAL, 30, "nobody took over")
    print(f"delivered {seconds:.1f} s after kill -9 of the holder")
    assert seconds < TAKEOVER_SECONDS
    replicas.start("a")
    replicas.wait_started("a")
    assert replicas.count("a", "took the lease") == 1  # stands by

    asked.append(world.ask_gate(b"before the stop"))
    time.sleep(0.2)
    replicas.send("b", signal.SIGSTOP)
    asked.append(world.ask_gate(b"after the stop"))
    seconds = wait_for(lambda: world.contracts.status_of(asked[-1].request_id).status is RequestStatus.FINAL, 30, "nobody took over")
    print(f"delivered {seconds:.1f} s after SIGSTOP of the holder")
    assert seconds < TAKEOVER_SECONDS
    replicas.send("b", signal.SIGCONT)
    wait_for(lambda: any("lease" in str(line.get("error")) for line in replicas.place.journal("b")), 20, "b does not know")
    wait_for(lambda: is_settled(replicas.place, asked), 30, "not delivered")
    assert replicas.processes["b"].poll() is None  # stands by from now on

    replicas.processes["a"].terminate()  # gives the lease back: no time is lost
    assert replicas.processes["a"].wait(30) == 0
    asked.append(world.ask_gate(b"after the end"))
    wait_for(lambda: is_final(replicas.place, asked[-1]), 10, "b did not come back")
    wait_for(lambda: is_settled(replicas.place, asked), 30, "not delivered")
    check_everything(world, replicas.place, asked)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_any_holder_stopped_or_killed_at_any_moment(world: World, replicas: Replicas, seed: int) -> None:
    chooser, asked, other = random.Random(seed), [], {"a": "b", "b": "a"}
    for life in range(8):
        asked += [world.ask_gate(bytes([life, i])) for i in range(3)]
        time.sleep(chooser.uniform(0, 0.7))
        name = max("ab", key=replicas.newest_token)
        taken = replicas.count(other[name], "took the lease")
        is_killed = chooser.random() < 0.5
        replicas.kill(name) if is_killed else replicas.send(name, signal.SIGSTOP)
        asked.append(world.ask_gate(bytes([life, 99])))
        wait_for(lambda: replicas.count(other[name], "took the lease") > taken, TAKEOVER_SECONDS, "nobody took over")  # noqa: B023
        if is_killed:
            replicas.start(name)
            replicas.wait_started(name)
        else:
            replicas.send(name, signal.SIGCONT)
    wait_for(lambda: is_settled(replicas.place, asked), 60, "requests were lost")
    check_everything(world, replicas.place, asked)
