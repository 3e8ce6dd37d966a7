"""A relay holds nothing of what it delivered, and nothing of what expired. As `tests/unit/test_flat.py`, on a real chain."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import httpx
import pytest

from oracle import store
from oracle.pipeline.relay import run_lane_once
from oracle.relay.metrics import RelayMetrics, make_app
from oracle.relay.schema import RequestState
from oracle.relay.store import submit_signed
from oracle.seams import SystemClock
from tests.chain.conftest import FEE_WEI, World
from tests.chain.relay_rig import Relay, make_relay
from tests.twins.held import count_held, growth

ROUNDS, EACH = 3, 5


def deliver_some(world: World, relay: Relay, number: int) -> None:
    asked = [world.signed_request(1 + number * EACH + k) for k in range(EACH)]
    for one in asked:
        submit_signed(relay.engine, world.deployment.domain, one, SystemClock().now())
    relay.run(4)
    assert {relay.state(one.request_id) for one in asked} == {RequestState.FINAL}


def test_a_relay_holds_nothing_of_what_it_delivered(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "STATEMENTS_KEPT", 8)
    world.sender(6).send(world.contracts.call("Coprocessor", "deposit", value_wei=FEE_WEI * EACH * ROUNDS * 4))
    relay = make_relay(world, tmp_path)
    app = make_app(RelayMetrics(relay.engine, SystemClock()), {}, endpoints=world.contracts.endpoints)

    def held() -> Counter[str]:
        parts = [relay.lane, relay.collector, relay.follower, relay.operators, world.contracts, relay.engine, app]
        return count_held(parts, [*relay.nodes, relay.log, world])

    for number in range(ROUNDS):
        deliver_some(world, relay, number)
    before = held()
    for number in range(ROUNDS, 2 * ROUNDS):
        deliver_some(world, relay, number)
    assert {name: more for name, more in growth(before, held()).items() if more > EACH // 2} == {}


def test_a_relay_holds_nothing_of_what_expired(world: World, tmp_path: Path) -> None:
    """No node ever has more to say than "later"."""
    relay = make_relay(world, tmp_path)
    for node in relay.nodes:
        node.handle = lambda _: httpx.Response(202, json={"state": "queued"})  # type: ignore[method-assign]
    relay.start()  # with peers of that mind
    for k in range(EACH):
        submit_signed(relay.engine, world.deployment.domain, world.signed_request(100 + k, patience_seconds=60), SystemClock().now())
    relay.collect()
    assert [len(peer._told) for peer in relay.collector._nodes] == [EACH] * 3
    world.rpc_call("evm_increaseTime", 70)
    world.rpc_call("evm_mine")
    run_lane_once(relay.lane)
    relay.collect()
    assert [len(peer._told) for peer in relay.collector._nodes] == [0] * 3
    assert [len(one.due) + len(one.length) for one in relay.collector._pauses.values()] == [0] * 3
