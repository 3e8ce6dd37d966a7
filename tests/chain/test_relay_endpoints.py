"""A relay behind three endpoints of one real chain, of which one (and sometimes two) misbehave: no double delivery, no lost request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.errors import ChainError, ConfigRejected
from oracle.records import Asked, RequestStatus
from oracle.relay.contracts import Contracts
from oracle.relay.endpoints import Endpoints, Pauses
from oracle.relay.schema import RequestState
from tests.chain import rpc_proxy
from tests.chain.conftest import World, account
from tests.chain.relay_rig import RELAY, Relay, make_relay
from tests.chain.rpc_proxy import RpcProxy, Twist

QUICK = Pauses(check=0.2, absence=0.3, confirm=0.1)


@pytest.fixture
def proxies(world: World) -> Iterator[list[RpcProxy]]:
    made = [RpcProxy(world.rpc) for _ in range(3)]
    yield made
    for proxy in made:
        proxy.stop()


def behind(world: World, proxies: list[RpcProxy], **options: int) -> World:
    """The same world, read and written through the proxies."""
    endpoints = Endpoints(
        [proxy.url for proxy in proxies],
        world.deployment.chain_id,
        pauses=QUICK,
        timeout_seconds=1.0,
        lag_blocks=options.get("lag_blocks", 2),
    )
    return replace(world, contracts=Contracts(endpoints, world.deployment))


def run_patiently(relay: Relay, asked: list[Asked], seconds: float = 20.0) -> int:
    """Steps until everything is final, as the process does: what the world does to a step is tried again. Returns the failures."""
    limit, failures = time.monotonic() + seconds, 0
    while time.monotonic() < limit:
        for step in relay.steps():
            try:
                step()
            except ChainError:
                failures += 1
                time.sleep(0.1)
        if relay.jobs() and all(relay.state(one.request_id) is RequestState.FINAL for one in asked):
            return failures
    raise AssertionError([relay.kinds(one.request_id) for one in asked if one.request_id])


def require_delivered_once(world: World, relay: Relay, asked: list[Asked]) -> None:
    for one in asked:
        logs = world.contracts._logs_since("Coprocessor", "InferenceDelivered", {"requestId": one.request_id})
        assert len(logs) == 1
        assert world.contracts.status_of(one.request_id).status is RequestStatus.FINAL
    used = world.contracts.nonce(account(RELAY).address, "latest")
    assert [slot.nonce for slot in relay.slots()] == list(range(used - len(relay.slots()), used))


TWISTS: dict[str, Twist] = {
    "hangs": rpc_proxy.hangs(3.0),
    "drops": rpc_proxy.drops,
    "doubles": rpc_proxy.doubles,
    "limits": rpc_proxy.limits,
    "swallows": rpc_proxy.swallows,
    "is on another chain": rpc_proxy.is_on_chain(5),
    "lies about nonces": rpc_proxy.lies_about_nonces,
    "hides receipts": rpc_proxy.hides_receipts,
    "invents receipts": rpc_proxy.invents_receipts,
    "hides events": rpc_proxy.hides_events,
    "refuses for ever": rpc_proxy.refuses_for_ever,
    "lags": rpc_proxy.stays_behind(6),
}

USUAL = ("hangs", "lies about nonces", "hides receipts", "hides events")
"""Those of every run; the others take as long again."""


@pytest.mark.parametrize(
    "twist", [pytest.param(twist, id=name, marks=() if name in USUAL else pytest.mark.slow) for name, twist in TWISTS.items()]
)
def test_one_of_three_misbehaves(world: World, proxies: list[RpcProxy], tmp_path: Path, twist: Twist) -> None:
    proxies[0].twist = twist
    many = behind(world, proxies)
    relay = make_relay(many, tmp_path)
    asked = [world.ask_gate(bytes([i]) * 128) for i in range(3)]
    run_patiently(relay, asked)
    require_delivered_once(world, relay, asked)
    assert all(relay.jobs())


def test_all_swallow_what_they_are_sent(world: World, proxies: list[RpcProxy], tmp_path: Path) -> None:
    """No answer from anybody: the transaction is looked up, and never signed again."""
    for proxy in proxies:
        proxy.twist = rpc_proxy.swallows
    relay = make_relay(behind(world, proxies), tmp_path)
    asked = [world.ask_gate()]
    run_patiently(relay, asked)
    require_delivered_once(world, relay, asked)
    assert len(relay.raws()) == 1


def test_misbehaviour_that_moves_around(world: World, proxies: list[RpcProxy], tmp_path: Path) -> None:
    """Each endpoint in turn, a crash in between, requests coming in all the time."""
    relay, asked = make_relay(behind(world, proxies), tmp_path), []
    for turn, twist in enumerate([rpc_proxy.drops, rpc_proxy.invents_receipts, rpc_proxy.lies_about_nonces, rpc_proxy.swallows]):
        for at, proxy in enumerate(proxies):
            proxy.twist = twist if at == turn % 3 else None
        asked.append(world.ask_gate(bytes([turn]) * 128))
        for step in relay.steps():
            try:
                step()
            except ChainError:
                time.sleep(0.1)
        relay.crash()
    run_patiently(relay, asked)
    require_delivered_once(world, relay, asked)


def test_two_dead_of_three_stop_and_nothing_is_lost(world: World, proxies: list[RpcProxy], tmp_path: Path) -> None:
    relay = make_relay(behind(world, proxies), tmp_path)
    asked = [world.ask_gate()]
    proxies[0].twist = proxies[1].twist = rpc_proxy.drops
    with pytest.raises(AssertionError):
        run_patiently(relay, asked, seconds=2.0)
    assert world.contracts.status_of(asked[0].request_id).status is RequestStatus.REQUESTED
    proxies[0].twist = None
    began = time.monotonic()
    run_patiently(relay, asked)
    assert time.monotonic() - began < 12
    require_delivered_once(world, relay, asked)


def test_liars_and_strangers_are_told_of(world: World, proxies: list[RpcProxy], tmp_path: Path) -> None:
    proxies[0].twist, proxies[1].twist = rpc_proxy.lies_about_nonces, None
    many = behind(world, proxies)
    limit = time.monotonic() + 5
    while not many.contracts.endpoints.snapshot()[0].outvoted:
        assert many.contracts.nonce(account(RELAY).address, "latest") == world.contracts.nonce(account(RELAY).address, "latest")
        assert time.monotonic() < limit
        time.sleep(0.02)
    proxies[2].twist = rpc_proxy.is_on_chain(5)
    while many.contracts.endpoints.snapshot()[2].state != "wrong_chain":
        many.contracts.endpoints._check_due()
        assert time.monotonic() < limit
        time.sleep(0.02)
    with pytest.raises(ChainError):
        many.contracts.nonce(account(RELAY).address, "latest")


def test_a_deployment_is_checked_at_several_endpoints(world: World, proxies: list[RpcProxy]) -> None:
    behind(world, proxies).contracts.check_deployment()
    proxies[0].twist = rpc_proxy.is_on_chain(5)
    behind(world, proxies).contracts.check_deployment()
    proxies[1].twist = rpc_proxy.is_on_chain(5)
    with pytest.raises(ConfigRejected, match="chain id"):
        behind(world, proxies).contracts.check_deployment()
