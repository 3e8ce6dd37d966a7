"""What a relay's terms keep it from paying for, on a real chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oracle.encoding import compute_request_id
from oracle.records import Asked, RequestStatus
from oracle.relay.schema import JobKind, JobState, RequestState
from oracle.relay.store import publish_terms, request_view, submit_signed
from oracle.relay.terms import Terms
from oracle.seams import SystemClock
from tests.chain.conftest import FEE_WEI, World
from tests.chain.relay_rig import Relay, make_relay
from tests.chain.test_contracts import OUTPUT, delivery

TOO_DEAR = Terms(minimum_fee_wei=FEE_WEI + 1)


def priced(relay: Relay, terms: Terms = TOO_DEAR) -> None:
    publish_terms(relay.engine, terms, SystemClock().now())


def test_nothing_is_ever_paid_for_a_request_below_the_terms(world: World, tmp_path: Path) -> None:
    """Also after restarts, and by a relay with the price of today over signed requests stored before there was one."""
    relay = make_relay(world, tmp_path)
    signed = replace(world.signed_request(3).request, fee_wei=0, callback_gas=1_000_000)
    request_id = compute_request_id(signed, world.deployment.domain)
    asked = Asked(request_id, signed, bytes(128), world.signers[0].sign_digest(request_id))
    submit_signed(relay.engine, world.deployment.domain, asked, SystemClock().now())
    priced(relay)
    on_chain = world.ask()
    nonce = world.contracts.nonce(relay.lane.signer.address, "latest")
    for _ in range(3):
        relay.run(2)
        relay.crash()
        priced(relay)
    for one in (asked, on_chain):
        assert relay.state(one.request_id) is RequestState.FAILED
        assert "at least" in (request_view(relay.engine, one.request_id).reason or "")
    assert (relay.jobs(), relay.slots(), relay.raws()) == ([], [], [])
    assert [node.asked_times for node in relay.nodes] == [0, 0, 0]
    assert world.contracts.nonce(relay.lane.signer.address, "latest") == nonce


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_quorum_made_under_other_terms_is_not_paid_for(is_restarted: bool, world: World, tmp_path: Path) -> None:
    asked = world.ask()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    assert relay.state(asked.request_id) is RequestState.QUEUED
    priced(relay)
    if is_restarted:
        relay.crash()
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.FAILED
    (job,) = relay.jobs()
    assert (job.kind, job.state) == (JobKind.DELIVER, JobState.FAILED)
    assert relay.raws() == []


def test_after_the_deadline_it_is_refunded_as_any_other(world: World, tmp_path: Path) -> None:
    relay = make_relay(world, tmp_path)
    priced(relay)
    asked = world.ask()
    relay.run(2)
    assert relay.state(asked.request_id) is RequestState.FAILED
    world.rpc_call("evm_increaseTime", 3600)
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.REFUNDED
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.REFUNDED
    assert relay.log.kinds() == ["error:not_delivered"]
    assert [job.kind for job in relay.jobs()] == [JobKind.REFUND]


def test_one_that_another_relay_delivered_is_not_called_undelivered(world: World, tmp_path: Path) -> None:
    """The other relay has other terms. The log must not say that nobody delivered; and nothing is sent."""
    relay = make_relay(world, tmp_path)
    priced(relay)
    asked = world.ask()
    relay.run(1)
    world.sender(8).send(world.contracts.deliver_call([delivery(world, asked)]))
    relay.run(2)
    assert relay.state(asked.request_id) is RequestState.FAILED
    world.rpc_call("evm_increaseTime", 3600)
    world.rpc_call("evm_mine")
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert relay.log.kinds() == ["receipt:mined", "receipt:final"]
    assert relay.raws() == []
    assert world.contracts.delivery_of(asked.request_id).delivered[0].output == OUTPUT  # type: ignore[union-attr]
