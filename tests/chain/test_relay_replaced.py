"""Transactions that wait: fee spikes, budgets, deadlines, no-ops, and a crash between every two states of a replacement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, select

from oracle.encoding import keccak256
from oracle.records import Asked, Bytes32, RequestStatus
from oracle.relay import outbox
from oracle.relay.fees import FeePolicy
from oracle.relay.outbox import KeptTransaction
from oracle.relay.reconcile import reconcile
from oracle.relay.schema import JOBS, JobKind, JobState, RequestState, SlotState
from oracle.relay.submit import TOO_DEAR, fill_nonce
from tests.chain.conftest import FEE_WEI, World, account
from tests.chain.relay_rig import RELAY, TRUTH, Relay, make_relay

GWEI = 10**9
AT_ONCE = FeePolicy(bump_seconds=0.001)


def mine(world: World, count: int = 1) -> None:
    for _ in range(count):
        world.rpc_call("evm_mine")


def spike(world: World, base_fee_wei: int) -> None:
    """A block at this base fee: whoever offers less is passed over."""
    world.rpc_call("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
    mine(world)


@pytest.fixture(autouse=True)
def calm(world: World) -> Iterator[None]:
    """Gas costs one gwei before and after: anvil's base fee is not part of what a snapshot brings back."""
    spike(world, GWEI)
    yield
    spike(world, GWEI)


def send(world: World, relay: Relay) -> Asked:
    """A request whose delivery waits in the pool."""
    asked = world.ask_gate()
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    relay.tick()
    assert relay.state(asked.request_id) is RequestState.SENT
    return asked


def signed(relay: Relay) -> list[KeptTransaction]:
    """Everything signed for the only nonce, oldest first."""
    nonce = relay.slots()[0].nonce
    with relay.engine.begin() as connection:
        return outbox.transactions_of(connection, nonce)[::-1]


def deliveries(world: World, asked: Asked) -> int:
    return len(world.contracts._logs_since("Coprocessor", "InferenceDelivered", {"requestId": asked.request_id}))


def is_done(world: World, relay: Relay, asked: Asked) -> bool:
    status = world.contracts.status_of(asked.request_id)
    return relay.state(asked.request_id) is RequestState.FINAL and status.output_digest == keccak256(TRUTH)


def paid_wei(world: World, transaction: Bytes32) -> int:
    receipt = world.rpc_call("eth_getTransactionReceipt", "0x" + transaction.hex())
    return int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)


# ---- higher fees -----------------------------------------------------------------------------------------------------------------------
def test_a_fee_spike_is_followed(world: World, tmp_path: Path) -> None:
    relay = make_relay(world, tmp_path, fees=AT_ONCE)
    asked = send(world, relay)
    spike(world, 50 * GWEI)
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.REQUESTED
    relay.tick()
    first, second = signed(relay)
    assert second.fees.max_fee_wei >= first.fees.max_fee_wei * 1125 / 1000
    assert second.fees.priority_fee_wei >= first.fees.priority_fee_wei * 1125 / 1000
    assert (second.nonce, second.gas, second.jobs) == (first.nonce, first.gas, first.jobs)
    assert relay.state(asked.request_id) is RequestState.SENT
    relay.tick()
    assert len(signed(relay)) == 2  # no block has passed the second over yet
    mine(world)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert deliveries(world, asked) == 1
    assert relay.slots()[0].transaction == second.hash
    assert relay.kinds(asked.request_id).count("fees_raised") == 1


def test_nothing_is_raised_before_its_time(world: World, tmp_path: Path) -> None:
    relay = make_relay(world, tmp_path, fees=FeePolicy(bump_seconds=3600))
    send(world, relay)
    spike(world, 50 * GWEI)
    relay.tick()
    assert len(signed(relay)) == 1


def test_near_its_deadline_a_transaction_is_raised_sooner_and_by_more(world: World, tmp_path: Path) -> None:
    relay = make_relay(world, tmp_path, fees=FeePolicy(bump_seconds=3600))
    asked = send(world, relay)
    pass_deadline(world, asked, -5)
    relay.tick()
    assert len(signed(relay)) == 1  # at least a second is waited
    time.sleep(1.1)
    relay.tick()
    first, second = signed(relay)
    assert second.fees.priority_fee_wei == first.fees.priority_fee_wei * 1500 // 1000  # four steps of 12.5 %


def test_a_pool_s_refusal_of_the_replacement_leaves_the_first_to_be_mined(world: World, tmp_path: Path) -> None:
    """The replaced transaction is the one that is mined: any hash of the nonce counts, and the request is not sent again."""
    relay = make_relay(world, tmp_path, fees=AT_ONCE)
    asked = send(world, relay)
    spike(world, 3 * GWEI)
    relay.tick()
    first, second = signed(relay)
    world.rpc_call("anvil_dropTransaction", "0x" + second.hash.hex())
    world.rpc_call("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    world.contracts.send_raw(first.raw)
    mine(world)
    relay.crash()
    relay.run(2)
    assert is_done(world, relay, asked)
    assert relay.slots()[0].transaction == first.hash
    assert deliveries(world, asked) == 1


def test_no_replacement_costs_more_than_the_job_may(world: World, tmp_path: Path) -> None:
    relay = make_relay(world, tmp_path, fees=FeePolicy(bump_seconds=0.001, job_budget_wei=10**15))
    asked = send(world, relay)
    for base_fee in (4 * GWEI, 40 * GWEI, 40 * GWEI):
        spike(world, base_fee)
        relay.tick()
    kept = signed(relay)
    assert all(t.gas * t.fees.max_fee_wei <= 10**15 for t in kept)
    assert relay.kinds(asked.request_id).count("fees_at_limit") == 1
    for _ in range(40):  # the base fee falls by an eighth a block
        mine(world)
        relay.tick()
    relay.run(1)
    assert is_done(world, relay, asked)
    (slot,) = relay.slots()
    assert slot.transaction is not None
    assert paid_wei(world, slot.transaction) <= 10**15


def test_a_job_too_dear_is_not_sent_until_gas_is_cheaper(world: World, tmp_path: Path) -> None:
    """Measured by the request's own fee (10^15 wei): its half buys no delivery at 40 gwei, and does at 1."""
    relay = make_relay(world, tmp_path, fees=FeePolicy(budget_percent_of_fee=50))
    spike(world, 40 * GWEI)
    asked = world.ask_gate()
    assert asked.request.fee_wei == FEE_WEI
    relay.run(1)
    assert relay.slots() == []
    assert TOO_DEAR in str(relay.jobs()[0].reason)
    mine(world, 40)
    world.rpc_call("evm_increaseTime", 70)
    mine(world)
    relay.run(2)
    assert is_done(world, relay, asked)


def test_only_the_first_of_a_queue_is_raised_where_fees_are_not_the_reason(world: World, tmp_path: Path) -> None:
    """Those behind it wait for it; where their own fees are too low for a block, they are raised too."""
    asked = [world.ask(bytes([i])) for i in range(3)]
    relay = make_relay(world, tmp_path, batch_size=1, fees=AT_ONCE)
    relay.follow()
    relay.collect()
    world.rpc_call("evm_setAutomine", False)
    relay.tick()
    relay.tick()
    assert len(relay.raws()) == 3
    for raw in relay.raws():
        world.rpc_call("anvil_dropTransaction", "0x" + keccak256(raw).hex())
    mine(world)
    relay.tick()  # lost from the pool, and a block passed
    assert len(relay.raws()) == 4
    spike(world, 100 * GWEI)
    relay.tick()
    assert len(relay.raws()) == 7
    mine(world)
    relay.run(2)
    assert all(is_done(world, relay, one) for one in asked)


def test_an_account_that_cannot_pay_for_more_raises_nothing(world: World, tmp_path: Path) -> None:
    relay = make_relay(world, tmp_path, fees=AT_ONCE)
    asked = send(world, relay)
    (first,) = signed(relay)
    world.rpc_call("anvil_setBalance", account(RELAY).address, hex(first.gas * first.fees.max_fee_wei))
    spike(world, 50 * GWEI)
    relay.tick()
    assert len(signed(relay)) == 1
    assert "fees_at_limit" in relay.kinds(asked.request_id)


# ---- too late --------------------------------------------------------------------------------------------------------------------------
def pass_deadline(world: World, asked: Asked, seconds: int = 1) -> None:
    """A block after the deadline that takes nothing of ours."""
    world.rpc_call("evm_setNextBlockTimestamp", asked.request.deadline + seconds)
    spike(world, 50 * GWEI)


def put_in_place_of_the_head(world: World, raw: bytes) -> None:
    """The newest block vanishes, and a transaction is mined in the next one, which is in time again."""
    world.rpc_call("anvil_dropAllTransactions")
    world.rpc_call("anvil_reorg", 1, [])
    world.rpc_call("anvil_dropAllTransactions")
    world.rpc_call("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    world.contracts.send_raw(raw)
    mine(world)


def test_a_delivery_too_late_is_cancelled_and_refunded(world: World, tmp_path: Path) -> None:
    relay = make_relay(world, tmp_path, fees=FeePolicy(bump_seconds=3600))
    asked = send(world, relay)
    before = world.contracts.balance_of(account(6).address)
    pass_deadline(world, asked)
    relay.tick()
    delivery, no_op = signed(relay)
    assert no_op.jobs == ()
    assert no_op.gas == 21_000
    assert no_op.fees.max_fee_wei >= delivery.fees.max_fee_wei * 1125 / 1000
    for _ in range(3):
        relay.crash()
        relay.run(1)
        mine(world)
    relay.run(1)
    assert relay.state(asked.request_id) is RequestState.REFUNDED
    assert deliveries(world, asked) == 0
    assert world.contracts.balance_of(account(6).address) - before == FEE_WEI
    assert relay.slots()[0].transaction == no_op.hash
    assert all(slot.state is SlotState.FINAL for slot in relay.slots())
    assert relay.log.kinds() == ["error:not_delivered"]
    assert "cancelled" in relay.kinds(asked.request_id)


def test_a_block_at_the_deadline_is_not_after_it(world: World, tmp_path: Path) -> None:
    """The contracts would still take the delivery in it."""
    relay = make_relay(world, tmp_path, fees=FeePolicy(bump_seconds=3600))
    asked = send(world, relay)
    pass_deadline(world, asked, 0)
    relay.tick()
    assert len(signed(relay)) == 1
    assert "cancelled" not in relay.kinds(asked.request_id)


def test_a_no_op_replaces_whatever_waits_under_its_nonce(world: World, tmp_path: Path) -> None:
    """And what it took the place of is done under another."""
    relay = make_relay(world, tmp_path)
    asked = send(world, relay)
    fill_nonce(relay.lane, relay.slots()[0].nonce)
    first, no_op = signed(relay)
    assert no_op.fees.max_fee_wei >= first.fees.max_fee_wei * 1125 / 1000
    assert no_op.fees.priority_fee_wei >= first.fees.priority_fee_wei * 1125 / 1000
    for _ in range(3):
        mine(world)
        relay.run(1)
    assert is_done(world, relay, asked)
    assert relay.slots()[0].transaction == no_op.hash
    assert "nonce_lost" in relay.kinds(asked.request_id)
    assert deliveries(world, asked) == 1


def test_a_cancelled_delivery_that_is_mined_after_all_counts(world: World, tmp_path: Path) -> None:
    """The block after the deadline vanishes, and one in time takes the delivery; the refund that was queued finds out."""
    relay = make_relay(world, tmp_path, fees=FeePolicy(bump_seconds=3600), final_blocks=3)
    asked = send(world, relay)
    (delivery,) = signed(relay)
    pass_deadline(world, asked)
    relay.tick()
    assert relay.state(asked.request_id) is RequestState.EXPIRED
    put_in_place_of_the_head(world, delivery.raw)
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.FINAL
    for _ in range(3):
        relay.run(1)
        mine(world, 2)
    relay.run(2)
    assert is_done(world, relay, asked)
    assert deliveries(world, asked) == 1
    assert relay.slots()[0].transaction == delivery.hash
    assert world.contracts.nonce(account(RELAY).address, "latest") == max(slot.nonce for slot in relay.slots()) + 1


def test_a_cancelled_delivery_mined_and_lost_again_is_refunded(world: World, tmp_path: Path) -> None:
    """Mined in time, then reorganised away for the no-op: nobody is left waiting, and the refund is asked for again."""
    relay = make_relay(world, tmp_path, fees=FeePolicy(bump_seconds=3600), final_blocks=3)
    asked = send(world, relay)
    (delivery,) = signed(relay)
    pass_deadline(world, asked)
    relay.tick()
    for raw in (delivery.raw, signed(relay)[1].raw):  # one chain takes the delivery, the next one the no-op
        put_in_place_of_the_head(world, raw)
        relay.tick()
    world.rpc_call("evm_setNextBlockTimestamp", asked.request.deadline + 100)
    for _ in range(9):
        mine(world, 2)
        relay.run(1)
        world.rpc_call("evm_increaseTime", 30)
    relay.run(1)
    assert deliveries(world, asked) == 0
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.REFUNDED
    assert relay.state(asked.request_id) is RequestState.REFUNDED


def test_a_cancelled_delivery_that_is_mined_and_refused_changes_nothing(world: World, tmp_path: Path) -> None:
    relay = make_relay(world, tmp_path, fees=FeePolicy(bump_seconds=3600))
    asked = send(world, relay)
    (delivery,) = signed(relay)
    pass_deadline(world, asked)
    reconcile(relay.lane)
    world.rpc_call("anvil_dropAllTransactions")
    world.rpc_call("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    world.contracts.send_raw(delivery.raw)
    mine(world)
    reconcile(relay.lane)
    assert relay.slots()[0].transaction == delivery.hash
    assert [job.state for job in relay.jobs()] == [JobState.EXPIRED, JobState.QUEUED]
    relay.run(1)
    mine(world)
    relay.run(1)
    assert relay.state(asked.request_id) is RequestState.REFUNDED


def test_a_refund_refused_for_a_delivery_that_vanished_is_asked_for_again(world: World, tmp_path: Path) -> None:
    """Cancelled; delivered after all, so that the refund fails; and that block vanishes for one with the no-op."""
    relay = make_relay(world, tmp_path, fees=FeePolicy(bump_seconds=3600), final_blocks=6)
    asked = send(world, relay)
    (delivery,) = signed(relay)
    pass_deadline(world, asked)
    reconcile(relay.lane)  # the refund is looked at only when the delivery is there
    assert relay.state(asked.request_id) is RequestState.EXPIRED
    no_op = signed(relay)[1]
    put_in_place_of_the_head(world, delivery.raw)
    relay.tick()
    assert [job.state for job in relay.jobs()] == [JobState.MINED, JobState.FAILED]
    put_in_place_of_the_head(world, no_op.raw)
    world.rpc_call("evm_setNextBlockTimestamp", asked.request.deadline + 100)
    for _ in range(9):
        mine(world, 2)
        relay.run(1)
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.REFUNDED
    assert relay.state(asked.request_id) is RequestState.REFUNDED
    assert deliveries(world, asked) == 0


# ---- crashes ---------------------------------------------------------------------------------------------------------------------------
class Killed(BaseException):
    pass


class Crashes:
    """Kills the relay at its n-th commit from now on, before it happens; what was done outside of the database is done."""

    def __init__(self, relay: Relay, at: int) -> None:
        self.relay, self.left, self.seen = relay, at, 0
        self._listen()

    def _listen(self) -> None:
        event.listen(self.relay.engine, "commit", self._on_commit)

    def _on_commit(self, _connection: Connection) -> None:
        self.seen += 1
        self.left -= 1
        if self.left == 0:
            raise Killed

    def __call__(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Killed:
            self.relay.crash()
            self._listen()
            step()


def live_through_a_spike(world: World, directory: Path, at: int) -> int:
    """One request's delivery is raised, another's cancelled, with a crash at one commit. Returns how many commits there were."""
    relay = make_relay(world, directory, fees=AT_ONCE)
    asked = world.ask_gate()
    relay.follow()  # not counted: it takes as many blocks as there are
    crashes = Crashes(relay, at)
    step = crashes.__call__
    step(relay.collect)
    world.rpc_call("evm_setAutomine", False)
    step(relay.tick)
    spike(world, 50 * GWEI)
    step(relay.tick)
    mine(world)
    step(relay.tick)
    assert deliveries(world, asked) == 1
    world.rpc_call("evm_setAutomine", True)
    late = world.ask_gate(b"\x07")
    world.rpc_call("evm_setAutomine", False)
    for one in (relay.follow, relay.collect, relay.tick):
        step(one)
    pass_deadline(world, late)
    step(relay.tick)
    for _ in range(3):
        mine(world)
        step(relay.tick)
    step(relay.write)
    crashes.left = 0
    assert is_done(world, relay, asked)
    assert relay.state(late.request_id) is RequestState.REFUNDED
    assert (deliveries(world, asked), deliveries(world, late)) == (1, 0)
    nonces = [slot.nonce for slot in relay.slots()]
    assert nonces == list(range(nonces[0], nonces[0] + 3))
    assert sorted(relay.log.kinds()) == ["error:not_delivered", "receipt:final", "receipt:mined"]
    with relay.engine.begin() as connection:
        kinds = {
            JobKind(row.kind): JobState(row.state) for row in connection.execute(select(JOBS).where(JOBS.c.request_id == late.request_id))
        }
    assert kinds == {JobKind.DELIVER: JobState.EXPIRED, JobKind.REFUND: JobState.FINAL}
    return crashes.seen


def check_crashes(world: World, directory: Path, points: Iterable[int]) -> None:
    for at in points:
        snapshot = world.rpc_call("evm_snapshot")
        (directory / str(at)).mkdir()
        assert live_through_a_spike(world, directory / str(at), at) < MOST_COMMITS
        world.rpc_call("evm_setAutomine", True)
        assert world.rpc_call("evm_revert", snapshot)
        spike(world, GWEI)


MOST_COMMITS = 130


def test_a_crash_at_some_commits_of_a_replacement(world: World, tmp_path: Path) -> None:
    check_crashes(world, tmp_path, range(11, MOST_COMMITS, 21))


@pytest.mark.slow
def test_a_crash_at_every_commit_of_a_replacement(world: World, tmp_path: Path) -> None:
    check_crashes(world, tmp_path, range(1, MOST_COMMITS))
