"""What a chain does to a relay: reorganisations, lost and duplicated transactions, stolen nonces, gaps, endpoints that hang, rivals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.attest.quorum import assemble_quorum
from oracle.encoding import QUORUM_ECDSA_SELECTOR, keccak256
from oracle.errors import AmbiguousSend, ChainError, InvariantBroken
from oracle.pipeline.relay import make_lane
from oracle.records import Address, Asked, Claim, Delivery, Evidence, RequestStatus, ResultCode
from oracle.relay.contracts import Contracts
from oracle.relay.failures import CallReverted, EndpointRefused
from oracle.relay.reconcile import reconcile
from oracle.relay.schema import JobKind, RequestState, SlotState
from oracle.relay.sender import Sender
from oracle.relay.store import submit_signed
from oracle.relay.submit import fill_nonce
from oracle.relay.transact import TRANSFER_GAS, Call, Fees, sign_transaction
from oracle.seams import StateTag, SystemClock
from tests.chain.conftest import FEE_WEI, World, account, plain_call
from tests.chain.relay_rig import LIE, RELAY, TRUTH, Relay, make_relay

GWEI = 10**9


def mine(world: World, count: int = 1) -> None:
    for _ in range(count):
        world.rpc_call("evm_mine")


def steal_nonce(world: World, nonce: int) -> str:
    """Somebody else sends from the relay's account, with a higher fee. Returns the transaction's hash."""
    signer = world.sender(RELAY)._signer
    fees = Fees(100 * GWEI, 50 * GWEI)
    signed = sign_transaction(plain_call(account(9).address, 1), 31337, nonce, TRANSFER_GAS, fees, signer)
    world.contracts.send_raw(signed.raw)
    return "0x" + signed.hash.hex()


def is_done(world: World, relay: Relay, asked: Asked) -> bool:
    status = world.contracts.status_of(asked.request_id)
    return relay.state(asked.request_id) is RequestState.FINAL and status.output_digest == keccak256(TRUTH)


def deliveries(world: World, asked: Asked) -> int:
    """How often the request's delivery event is on the canonical chain."""
    return len(world.contracts._logs_since("Coprocessor", "InferenceDelivered", {"requestId": asked.request_id}))


# ---- reorganisations -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_reorganised_delivery_is_delivered_again(world: World, tmp_path: Path, depth: int) -> None:
    asked = world.ask_gate()
    mine(world, 3)
    relay = make_relay(world, tmp_path, final_blocks=5)
    relay.run(2)
    assert relay.state(asked.request_id) is RequestState.MINED
    mine(world, depth - 1)
    world.rpc_call("anvil_reorg", depth, [])
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.REQUESTED
    relay.run(2)
    assert relay.state(asked.request_id) is RequestState.MINED
    mine(world, 6)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert deliveries(world, asked) == 1
    assert "unmined" in relay.kinds(asked.request_id)
    assert len(relay.raws()) == 1  # the same bytes, never another nonce
    kinds = relay.log.kinds()
    assert kinds.count("receipt:final") == 1
    assert kinds.count("receipt:mined") == 2  # two blocks, two statements


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_vanished_request_is_not_delivered(world: World, tmp_path: Path, depth: int) -> None:
    asked = world.ask_gate()
    mine(world, depth - 1)
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    assert relay.state(asked.request_id) is RequestState.QUEUED
    world.rpc_call("anvil_reorg", depth, [])
    relay.tick()  # before the follower has seen it
    relay.run(2)
    assert relay.state(asked.request_id) is RequestState.DROPPED
    assert relay.slots() == []
    again = world.ask_gate()  # the same nonce of the contract, the same request if the second is the same
    relay.run(2)
    if again.request_id != asked.request_id:
        assert relay.state(again.request_id) is RequestState.FINAL


def test_request_that_comes_back_is_delivered(world: World, tmp_path: Path) -> None:
    """The block vanishes and its transaction is mined again in another one: the same request, once more."""
    deadline = world.now() + 600
    arguments = (world.model_id, b"x", world.policy(), 0, deadline, account(6).address)
    call = world.contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI)
    asked = world.asked_in(world.sender(6).send(call))
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    world.rpc_call("anvil_reorg", 1, [])
    relay.follow()
    assert relay.state(asked.request_id) is RequestState.DROPPED
    again = world.asked_in(Sender(world.contracts, world.sender(6)._signer).send(call))
    assert again.request_id == asked.request_id
    assert again.block_hash != asked.block_hash
    relay.run(3)
    world.rpc_call("evm_increaseTime", 10)
    mine(world)
    relay.run(3)
    assert is_done(world, relay, asked)


def test_reorganisation_while_down(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path, final_blocks=5)
    relay.run(2)
    world.rpc_call("anvil_reorg", 1, [])
    relay.crash()
    relay.run(2)
    mine(world, 6)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert deliveries(world, asked) == 1


# ---- the pool --------------------------------------------------------------------------------------------------------------------------
def test_dropped_transaction_is_sent_again(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    relay.tick()
    assert relay.state(asked.request_id) is RequestState.SENT
    first = relay.raws()
    world.rpc_call("anvil_dropTransaction", "0x" + keccak256(first[0]).hex())
    mine(world)
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.REQUESTED
    relay.tick()
    mine(world)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert relay.raws() == first


def test_duplicated_broadcast_is_harmless(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    relay.tick()
    for _ in range(3):
        world.contracts.send_raw(relay.raws()[0])
    mine(world)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert deliveries(world, asked) == 1


def test_many_transactions_wait_at_once_each_under_its_own_nonce(world: World, tmp_path: Path) -> None:
    asked = [world.ask(bytes([i])) for i in range(5)]
    relay = make_relay(world, tmp_path, batch_size=1)
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    start = world.contracts.nonce(account(RELAY).address, "latest")
    for _ in range(3):
        relay.tick()
        relay.crash()
    assert [slot.nonce for slot in relay.slots()] == list(range(start, start + 5))
    assert len(relay.raws()) == 5
    for raw in relay.raws()[1:]:
        world.rpc_call("anvil_dropTransaction", "0x" + keccak256(raw).hex())  # the endpoint's counts fall back below ours
    relay.tick()
    mine(world, 2)
    relay.run(2)
    assert all(is_done(world, relay, one) for one in asked)
    assert [slot.nonce for slot in relay.slots()] == list(range(start, start + 5))


def test_stolen_nonce_requeues_the_payload(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    relay.tick()
    (slot,) = relay.slots()
    steal_nonce(world, slot.nonce)
    mine(world)
    relay.tick()
    relay.crash()
    mine(world)
    relay.run(2)
    mine(world)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert "nonce_lost" in relay.kinds(asked.request_id)
    assert [s.nonce for s in relay.slots()] == [slot.nonce, slot.nonce + 1]
    assert [job.kind for job in relay.jobs()] == [JobKind.DELIVER]
    assert deliveries(world, asked) == 1


def test_foreign_transaction_that_vanishes_leaves_no_gap(world: World, tmp_path: Path) -> None:
    """The thief's block is reorganised away: the nonce is free again, and what was signed after it must not wait for ever."""
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path, final_blocks=4)
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    relay.tick()
    steal_nonce(world, relay.slots()[0].nonce)
    mine(world)
    relay.tick()
    assert [s.state for s in relay.slots()] == [SlotState.FOREIGN, SlotState.SENT]
    world.rpc_call("anvil_dropAllTransactions")
    world.rpc_call("anvil_reorg", 1, [])
    for _ in range(4):
        relay.tick()
        mine(world, 2)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert deliveries(world, asked) == 1
    assert all(s.state is SlotState.FINAL for s in relay.slots())


def test_gap_is_filled_by_a_no_op(world: World, tmp_path: Path) -> None:
    """A foreign transaction waits in the pool when a nonce is given, and is then dropped: nothing of ours could ever be mined."""
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    start = world.contracts.nonce(account(RELAY).address, "latest")
    thief = steal_nonce(world, start)
    relay.tick()
    assert [s.nonce for s in relay.slots()] == [start + 1]
    world.rpc_call("anvil_dropTransaction", thief)
    mine(world)
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.REQUESTED
    relay.tick()
    assert [s.nonce for s in relay.slots()] == [start, start + 1]
    mine(world, 2)
    relay.run(2)
    assert is_done(world, relay, asked)


# ---- endpoints -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("final_blocks", [0, 2])
def test_a_receipt_that_comes_late_is_no_foreign_transaction(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, final_blocks: int
) -> None:
    """An endpoint counts a nonce as used before it has the receipt of what used it: nothing is lost, and nothing is sent twice."""
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path, final_blocks=final_blocks)
    relay.follow()
    relay.collect()
    relay.tick()
    mine(world)
    with monkeypatch.context() as late:
        late.setattr(world.contracts, "receipt", lambda _transaction: None)
        relay.tick()
        relay.tick()
        assert [s.state for s in relay.slots()] == [SlotState.SENT]
    mine(world, 2)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert "nonce_lost" not in relay.kinds(asked.request_id)
    assert [s.state for s in relay.slots()] == [SlotState.FINAL]


def test_no_answer_after_sending_is_not_renonced(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    real = world.contracts.send_raw

    def send_and_hang(raw: bytes) -> None:
        real(raw)
        raise AmbiguousSend("hung") from TimeoutError()

    with monkeypatch.context() as patch:
        patch.setattr(world.contracts, "send_raw", send_and_hang)
        relay.tick()
    relay.run(2)
    assert is_done(world, relay, asked)
    assert len(relay.raws()) == 1


def test_never_sent_but_ambiguous_is_sent_again(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()

    def swallow(raw: bytes) -> None:
        raise AmbiguousSend("hung") from TimeoutError()

    with monkeypatch.context() as patch:
        patch.setattr(world.contracts, "send_raw", swallow)
        relay.tick()
    assert relay.state(asked.request_id) is RequestState.SENT
    relay.run(2)
    assert is_done(world, relay, asked)
    assert len(relay.raws()) == 1


def test_contradicting_nonces_stop_the_tick(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.run(1)
    monkeypatch.setattr(Contracts, "nonce", lambda _self, _account, tag: {"latest": 0, "pending": 0}.get(str(tag), 9))
    with pytest.raises(ChainError, match="contradict"):
        reconcile(relay.lane)


def test_another_key_on_the_same_database_is_refused(world: World, tmp_path: Path) -> None:
    world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.run(2)
    other = make_lane(relay.engine, world.contracts, world.sender(8)._signer, SystemClock())
    with pytest.raises(InvariantBroken, match="nonces of"):
        reconcile(other)


def test_question_the_endpoint_cannot_answer_holds_up_no_other_job(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = world.ask(b"bad"), world.ask(b"good")
    relay = make_relay(world, tmp_path)
    real = Contracts.estimate_gas_each

    def estimate(self: Contracts, calls: Sequence[Call], sender: Address, state: StateTag) -> list[int | CallReverted | EndpointRefused]:
        bad_call = self.deliver_call([relay.jobs()[0].delivery])
        found = zip(calls, real(self, calls, sender, state), strict=True)
        return [EndpointRefused("the endpoint failed: gas estimate") if call == bad_call else estimate for call, estimate in found]

    with monkeypatch.context() as patch:
        patch.setattr(Contracts, "estimate_gas_each", estimate)
        relay.run(3)
    assert is_done(world, relay, good)
    assert relay.state(bad.request_id) is RequestState.QUEUED
    world.rpc_call("evm_increaseTime", 70)
    mine(world)
    relay.run(2)
    assert is_done(world, relay, bad)


def test_the_pending_block_is_asked_about_only_while_nothing_of_ours_waits_in_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint may make it up anew for each question, by running all that waits."""
    asked, signed = world.ask_gate(), world.signed_request(5)
    world.sender(6).send(world.contracts.call("Coprocessor", "deposit", value_wei=FEE_WEI))
    relay, states = make_relay(world, tmp_path), list[StateTag]()
    relay.follow()
    relay.collect()
    real = Contracts.estimate_gas_each

    def estimate(self: Contracts, calls: Sequence[Call], sender: Address, state: StateTag) -> list[int | CallReverted | EndpointRefused]:
        states.append(state)
        return real(self, calls, sender, state)

    monkeypatch.setattr(Contracts, "estimate_gas_each", estimate)
    world.rpc_call("evm_setAutomine", False)
    relay.tick()
    submit_signed(relay.engine, world.deployment.domain, signed, SystemClock().now())
    relay.collect()
    relay.tick()
    assert states == ["pending", "latest"]
    assert len(relay.raws()) == 2, "the second did not wait for the first to be mined"
    mine(world)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert is_done(world, relay, signed)


# ---- others ------------------------------------------------------------------------------------------------------------------------------
def rival_delivery(world: World, relay: Relay, asked: Asked, output: bytes) -> Delivery:
    claims = [node.sign(asked, output) for node in relay.nodes[:3]]
    claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(output))
    return Delivery(asked, claim, output, (assemble_quorum(claims, 3, world.contracts.operators()),))


def rival_delivers(world: World, relay: Relay, asked: Asked, output: bytes) -> None:
    world.sender(9).send(world.contracts.deliver_call([rival_delivery(world, relay, asked, output)]))


def test_rival_with_the_same_output_is_success(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    rival_delivers(world, relay, asked, TRUTH)
    relay.run(3)
    assert is_done(world, relay, asked)
    assert relay.slots() == []
    assert relay.log.kinds() == ["receipt:mined", "receipt:final"]
    assert all(e.fields["audit.signers"] for e in relay.log.entries.values())


def test_rival_in_the_same_block_costs_one_revert(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path, final_blocks=1)
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    relay.tick()
    assert relay.state(asked.request_id) is RequestState.SENT
    raw = relay.raws()[0]
    world.rpc_call("anvil_dropTransaction", "0x" + keccak256(raw).hex())
    world.rpc_call("evm_setAutomine", True)
    rival_delivers(world, relay, asked, TRUTH)
    world.contracts.send_raw(raw)  # ours is mined after the rival's, and reverts
    for _ in range(3):
        mine(world, 2)
        world.rpc_call("evm_increaseTime", 10)
        relay.run(2)
    assert is_done(world, relay, asked)
    assert "not_done" in relay.kinds(asked.request_id)
    assert "adopted" in relay.kinds(asked.request_id)
    assert deliveries(world, asked) == 1


def test_rival_with_another_output_is_an_alarm(world: World, tmp_path: Path) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    rival_delivers(world, relay, asked, LIE)
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.CONFLICT
    assert relay.log.kinds() == ["error:conflicting_delivery"]
    assert relay.slots() == []


def deliver_after_a_decoy(world: World, asked: Asked, delivery: Delivery) -> None:
    """A batch whose first item names the same request and output with evidence that is none."""
    junk = Evidence(QUORUM_ECDSA_SELECTOR, b"\x00" * 31 + b"\x01" + b"\xff" * 65)
    batch = [replace(delivery, evidence=(junk,)), delivery]
    receipt = world.sender(9).send(world.contracts.deliver_call(batch), gas=2_000_000)
    assert [code for _, code in receipt.items] == [ResultCode.BAD_EVIDENCE, ResultCode.DELIVERED]


def deliver_from_a_constructor(world: World, asked: Asked, delivery: Delivery) -> None:
    """A transaction that creates a contract: it copies the calldata behind its 45 bytes, calls, and reverts where that fails."""
    call = world.contracts.deliver_call([delivery])
    assert call.to is not None
    size, target = len(call.data).to_bytes(3, "big").hex(), call.to[2:]
    code = bytes.fromhex(f"62{size}80602d5f395f5f825f5f73{target}5af1602b575f5ffd5b00")
    assert len(code) == 45
    world.sender(9).send(Call(None, code + call.data))


def deliver_in_sloppy_calldata(world: World, asked: Asked, delivery: Delivery) -> None:
    """Padding of the output that is not zero: the contract does not look at it, a strict decoder refuses it."""
    call = world.contracts.deliver_call([delivery])
    at = call.data.index(delivery.output) + len(delivery.output)
    assert call.data[at] == 0
    world.sender(9).send(replace(call, data=call.data[:at] + b"\x01" + call.data[at + 1 :]))


@pytest.mark.parametrize("way", [deliver_after_a_decoy, deliver_from_a_constructor, deliver_in_sloppy_calldata])
def test_a_rival_that_delivers_in_an_odd_way_stops_nothing(
    world: World, tmp_path: Path, way: Callable[[World, Asked, Delivery], None]
) -> None:
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    way(world, asked, rival_delivery(world, relay, asked, TRUTH))
    relay.run(3)
    assert is_done(world, relay, asked)
    assert relay.log.kinds() == ["receipt:mined", "receipt:final"]
    is_carried = way is deliver_after_a_decoy
    assert all(len(e.fields["audit.signers"]) == (3 if is_carried else 0) for e in relay.log.entries.values())


def test_somebody_else_refunds(world: World, tmp_path: Path) -> None:
    asked = world.ask()
    relay = make_relay(world, tmp_path, nodes=2)
    relay.run(1)
    world.rpc_call("evm_increaseTime", 3600)
    mine(world)
    world.sender(9).send(world.contracts.refund_call(asked.request))
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.REFUNDED
    assert relay.slots() == []


def test_operator_leaves_between_quorum_and_delivery(world: World, tmp_path: Path) -> None:
    """The evidence is refused; with another operator's claim it is assembled anew."""
    asked = world.ask_gate()
    relay = make_relay(world, tmp_path, nodes=4)
    relay.nodes[3].is_offline = True
    relay.follow()
    relay.collect()
    assert relay.state(asked.request_id) is RequestState.QUEUED
    world.sender(1).send(world.contracts.call("OperatorRegistry", "beginExit"))
    with pytest.raises(CallReverted, match="OperatorInactive"):
        world.contracts.estimate_gas(world.contracts.deliver_call([relay.jobs()[0].delivery]), account(RELAY).address)
    relay.tick()
    assert relay.state(asked.request_id) is RequestState.COLLECTING
    relay.crash()
    relay.nodes[3].is_offline = False
    relay.run(3)
    assert is_done(world, relay, asked)
    assert world.contracts.balance_of(account(1).address) == 0
    assert world.contracts.balance_of(account(4).address) > 0


def test_bad_item_does_not_sink_its_batch(world: World, tmp_path: Path) -> None:
    """One of three is delivered by a rival after the batch was signed: the batch is mined, the two others in it are done."""
    asked = [world.ask(bytes([i])) for i in range(3)]
    relay = make_relay(world, tmp_path)
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    relay.tick()
    raw = relay.raws()[0]
    world.rpc_call("anvil_dropTransaction", "0x" + keccak256(raw).hex())
    world.rpc_call("evm_setAutomine", True)
    rival_delivers(world, relay, asked[1], TRUTH)
    world.contracts.send_raw(raw)
    for _ in range(3):
        relay.run(1)
        world.rpc_call("evm_increaseTime", 10)
        mine(world)
    assert all(is_done(world, relay, one) for one in asked)
    assert [deliveries(world, one) for one in asked] == [1, 1, 1]
    assert len(relay.raws()) == 1


def test_no_op_fills_any_nonce(world: World, tmp_path: Path) -> None:
    relay = make_relay(world, tmp_path)
    nonce = world.contracts.nonce(account(RELAY).address, "latest")
    fill_nonce(relay.lane, nonce)
    relay.tick()
    assert [(slot.nonce, slot.state) for slot in relay.slots()] == [(nonce, SlotState.FINAL)]
