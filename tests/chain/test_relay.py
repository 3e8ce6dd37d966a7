"""The relay on a real chain: delivery, crashes between every two steps, liars, deadlines."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from oracle.encoding import keccak256
from oracle.records import CallbackStatus, RequestStatus
from oracle.relay.schema import JobKind, JobState, RequestState, SlotState
from oracle.relay.store import submit_signed
from oracle.seams import SystemClock
from tests.chain.conftest import FEE_WEI, World, account
from tests.chain.relay_rig import LIE, TRUTH, make_relay


def test_delivers_and_states_its_receipt_once(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    status = world.contracts.status_of(asked.request_id)
    assert (status.status, status.callback, status.output_digest) == (RequestStatus.FINAL, CallbackStatus.SUCCEEDED, keccak256(TRUTH))
    assert relay.log.kinds() == ["receipt:mined", "receipt:final"]
    kinds = relay.kinds(asked.request_id)
    assert [k for k in kinds if k != "claim"] == ["seen", "agreed", "signed", "sent", "mined", "final"]
    assert kinds.count("claim") == 3
    assert [slot.state for slot in relay.slots()] == [SlotState.FINAL]


def test_batches_many_requests(world: World, tmp_path: Path) -> None:
    asked = [world.ask(bytes([i])) for i in range(5)] + [world.ask_gate()]
    relay = make_relay(world, tmp_path, batch_size=4)
    relay.run(4)
    assert {relay.state(a.request_id) for a in asked} == {RequestState.FINAL}
    assert len(relay.slots()) == 2  # four in one transaction, two in the next


def test_delivers_signed_requests(world: World, tmp_path: Path) -> None:
    asked = world.signed_request(5)
    relay = make_relay(world, tmp_path)
    submit_signed(relay.engine, world.deployment.domain, asked, SystemClock().now())
    relay.run(2)
    assert relay.state(asked.request_id) is RequestState.QUEUED  # nothing deposited: waits, and costs nothing
    assert relay.slots() == []
    world.sender(6).send(world.contracts.call("Coprocessor", "deposit", value_wei=FEE_WEI))
    world.rpc_call("evm_increaseTime", 70)
    world.rpc_call("evm_mine")
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert submit_signed(relay.engine, world.deployment.domain, asked, SystemClock().now()) is RequestState.FINAL


def test_five_operators_one_lies_one_is_offline(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path, nodes=5)
    relay.nodes[1].output = LIE
    relay.nodes[4].is_offline = True
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.status_of(asked.request_id).output_digest == keccak256(TRUTH)
    assert sorted(relay.log.kinds()) == ["error:minority_claim", "receipt:final", "receipt:mined"]
    (lie,) = [e for e in relay.log.entries.values() if e.fields.get("error.type") == "minority_claim"]
    assert lie.fields["audit.signer"] == world.signers[1].address
    assert lie.bodies["audit.output_digest"] == LIE
    relay.nodes[4].is_offline = False
    relay.nodes[4].output = b"another lie"
    relay.run(2)  # nodes are asked also after the quorum
    assert relay.log.kinds().count("error:minority_claim") == 2


def test_two_liars_of_five_then_refund(world: World, tmp_path: Path) -> None:
    asked = world.ask(quorum=4)
    relay = make_relay(world, tmp_path, nodes=5)
    relay.nodes[0].output = relay.nodes[1].output = LIE
    relay.run(2)
    assert relay.state(asked.request_id) is RequestState.COLLECTING
    assert relay.slots() == []
    world.rpc_call("evm_increaseTime", 3600)
    before = world.contracts.balance_of(account(6).address)
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.REFUNDED
    assert world.contracts.balance_of(account(6).address) - before == FEE_WEI
    assert relay.log.kinds() == ["error:not_delivered"]
    (entry,) = relay.log.entries.values()
    assert "2 for" in str(entry.sealed["error.message"])
    assert "3 for" in str(entry.sealed["error.message"])


def test_two_outputs_with_a_quorum_each_deliver_nothing(world: World, tmp_path: Path) -> None:
    asked = world.ask(quorum=2)
    relay = make_relay(world, tmp_path, nodes=4)
    relay.nodes[2].output = relay.nodes[3].output = LIE
    # All four answers arrive before anybody decides, as they would after an outage of the relay.
    relay.follow()
    from oracle.relay.claims import record_claim

    with relay.engine.begin() as connection:
        for node in relay.nodes:
            record_claim(connection, f"http://node-{node.index}.test", node.sign(asked, node.output), SystemClock().now())
        relay.collector.decide(connection, asked)
    relay.tick()
    assert relay.state(asked.request_id) is RequestState.COLLECTING
    assert "disagreement" in relay.kinds(asked.request_id)
    assert relay.slots() == []


def test_window_then_finalize(world: World, tmp_path: Path) -> None:
    asked = world.ask(window_seconds=100)
    relay = make_relay(world, tmp_path)
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.PENDING
    world.rpc_call("evm_increaseTime", 200)
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.FINAL


@pytest.mark.parametrize("crash_after", range(12))
def test_crash_between_any_two_steps(world: World, tmp_path: Path, crash_after: int) -> None:
    """One crash after the n-th step, everything forgotten but the database."""
    asked = [world.ask_gate(), world.ask(b"other")]
    relay = make_relay(world, tmp_path)
    for count, step in enumerate(itertools.chain.from_iterable(relay.steps() for _ in range(4))):
        step()
        if count == crash_after:
            relay.crash()
    relay.run(3)
    assert {relay.state(a.request_id) for a in asked} == {RequestState.FINAL}
    assert len(relay.log.entries) == 4
    deliveries = [job for job in relay.jobs() if job.kind is JobKind.DELIVER]
    assert [job.state for job in deliveries] == [JobState.FINAL, JobState.FINAL]


def test_crash_after_signing_rebroadcasts_the_same_bytes(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the commit that allocated the nonce, before a byte was sent."""
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("oracle.relay.submit.broadcast", die)
        with pytest.raises(Killed):
            relay.tick()
    before = relay.raws()
    assert len(before) == 1
    assert [slot.state for slot in relay.slots()] == [SlotState.SIGNED]
    relay.crash()
    relay.run(3)
    assert relay.raws() == before
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.nonce(account(7).address, "latest") == relay.slots()[0].nonce + 1


def test_crash_after_sending_before_knowing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when the endpoint had the transaction, and mined it, but the state still says SIGNED."""
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()

    class Killed(BaseException):
        pass

    real = world.contracts.send_raw

    def send_and_die(raw: bytes) -> None:
        real(raw)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(world.contracts, "send_raw", send_and_die)
        with pytest.raises(Killed):
            relay.tick()
    assert [slot.state for slot in relay.slots()] == [SlotState.SIGNED]
    relay.crash()
    relay.run(3)
    assert len(relay.raws()) == 1
    assert relay.state(asked.request_id) is RequestState.FINAL


def test_log_outage_delays_statements_and_loses_none(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.log.is_down = True
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert relay.log.kinds() == []
    relay.log.is_down = False
    relay.crash()
    relay.write()
    assert relay.log.kinds() == ["receipt:mined", "receipt:final"]
