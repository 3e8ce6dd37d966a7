"""Everything at once, by a seeded draw: reorganisations, lost, doubled and stolen transactions, fee spikes, outages, crashes at any commit.

Asserted when the storm is over: what is on chain is delivered, once, or refunded after its deadline; what is not is dropped; no nonce was
signed for two payloads; no gap is left; and the log has each final receipt once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from oracle.encoding import keccak256, to_hex
from oracle.errors import AmbiguousSend, ChainError, Rejected
from oracle.records import Asked, Bytes32, RequestStatus
from oracle.relay import outbox
from oracle.relay.contracts import Contracts
from oracle.relay.fees import FeePolicy
from oracle.relay.schema import RequestState, SlotState
from tests.chain.conftest import World, account
from tests.chain.relay_rig import RELAY, TRUTH, Relay, make_relay
from tests.chain.test_relay_chaos import deliveries, mine, steal_nonce
from tests.chain.test_relay_replaced import GWEI, Crashes, Killed, spike

DEEPEST = 6
FINAL_BLOCKS = 8


class Storm:
    """One run: what may happen to a relay, drawn from a seed."""

    def __init__(self, world: World, relay: Relay, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.relay, self.chooser = world, relay, random.Random(seed)
        self.patch = monkeypatch
        self.asked: dict[Bytes32, Asked] = {}
        self.crashes = Crashes(relay, 0)

    def events(self) -> list[Callable[[], object]]:
        return [
            self.ask,
            self.ask,
            self.wait,
            self.reorganise,
            self.drop,
            self.double,
            self.steal,
            self.spike,
            self.hang,
            self.crash,
            self.log_down,
        ]

    def step(self) -> None:
        """A step of the relay; what the world did to it is tried again later, as its process does."""
        for one in (self.relay.follow, self.relay.collect, self.relay.tick, self.relay.write):
            with suppress(ChainError):
                self.crashes(one)

    # ---- what happens --------------------------------------------------------------------------------------------------------------
    def ask(self) -> None:
        self.world.rpc_call("evm_setAutomine", True)
        made = self.world.ask_gate(self.chooser.randbytes(8), self.chooser.choice([60, 50_000]))
        self.asked[made.request_id] = made
        self.world.rpc_call("evm_setAutomine", False)

    def wait(self) -> None:
        """Some deadlines pass."""
        self.world.rpc_call("evm_increaseTime", self.chooser.randint(5, 40))

    def reorganise(self) -> None:
        self.world.rpc_call("anvil_reorg", self.chooser.randint(1, DEEPEST), [])
        if not self.world.contracts.has_code(self.world.gate):
            pytest.skip("this anvil went back behind the deployment, which is deeper than it was asked to")

    def drop(self) -> None:
        if raws := self.relay.raws():
            self.world.rpc_call("anvil_dropTransaction", to_hex(keccak256(self.chooser.choice(raws))))

    def double(self) -> None:
        """Anything that was ever signed is sent once more, by anybody."""
        for raw in self.chooser.sample(self.relay.raws(), min(3, len(self.relay.raws()))):
            with suppress(ChainError, Rejected):
                self.world.contracts.send_raw(raw)

    def steal(self) -> None:
        with suppress(ChainError):
            steal_nonce(self.world, self.world.contracts.nonce(account(RELAY).address, "latest"))

    def spike(self) -> None:
        spike(self.world, self.chooser.randint(2, 40) * GWEI)

    def hang(self) -> None:
        """The endpoint takes the next transaction and does not answer, or does not answer and does not take it."""
        real, is_taken = Contracts.send_raw, self.chooser.random() < 0.5

        def hang(contracts: Contracts, raw: bytes) -> None:
            if is_taken:
                real(contracts, raw)
            raise AmbiguousSend("hung") from TimeoutError()

        with self.patch.context() as patch:
            patch.setattr(Contracts, "send_raw", hang)
            self.step()

    def crash(self) -> None:
        self.crashes.left = self.chooser.randint(1, 15)
        self.step()

    def log_down(self) -> None:
        self.relay.log.is_down = not self.relay.log.is_down

    # ---- and after it --------------------------------------------------------------------------------------------------------------
    def calm_down(self) -> None:
        self.relay.log.is_down = False
        self.crashes.left = 0
        for _ in range(60):
            mine(self.world, 2)
            self.world.rpc_call("evm_increaseTime", 15)
            self.step()
            if all(self.is_settled(one) for one in self.asked.values()) and all(s.state is SlotState.FINAL for s in self.relay.slots()):
                return

    def is_settled(self, asked: Asked) -> bool:
        ends = {
            RequestStatus.NONE: RequestState.DROPPED,
            RequestStatus.FINAL: RequestState.FINAL,
            RequestStatus.REFUNDED: RequestState.REFUNDED,
        }
        return self.relay.state(asked.request_id) is ends.get(self.world.contracts.status_of(asked.request_id).status)

    def check(self) -> None:
        final = [one for one in self.asked.values() if self.world.contracts.status_of(one.request_id).status is RequestStatus.FINAL]
        for one in self.asked.values():
            assert self.is_settled(one), (self.relay.state(one.request_id), self.relay.kinds(one.request_id), self.relay.slots())
            assert deliveries(self.world, one) == (one in final)
        for one in final:
            assert self.world.contracts.status_of(one.request_id).output_digest == keccak256(TRUTH)
        assert all(slot.state is SlotState.FINAL for slot in self.relay.slots())
        assert self.world.contracts.nonce(account(RELAY).address, "latest") > max((s.nonce for s in self.relay.slots()), default=-1)
        keys = [key for key in self.relay.log.entries if key.startswith("receipt:final")]
        assert len(keys) == len({key.split(":")[2] for key in keys}) == len(final)
        for slot in self.relay.slots():
            with self.relay.engine.begin() as connection:
                signed = outbox.transactions_of(connection, slot.nonce)
            assert len({t.jobs for t in signed if t.jobs}) <= 1, "two payloads under one nonce"


@pytest.fixture(autouse=True)
def calm(world: World) -> Iterator[None]:
    """Gas costs one gwei before and after: anvil's base fee is not part of what a snapshot brings back."""
    spike(world, GWEI)
    mine(world, 2 * DEEPEST)
    yield
    world.rpc_call("anvil_dropAllTransactions")
    spike(world, GWEI)


def live_through(world: World, directory: Path, monkeypatch: pytest.MonkeyPatch, seed: int, length: int) -> None:
    policy = FeePolicy(bump_seconds=0.001, job_budget_wei=10**18)
    relay = make_relay(world, directory, batch_size=2, final_blocks=FINAL_BLOCKS, fees=policy)
    world.rpc_call("evm_setAutomine", False)
    storm = Storm(world, relay, seed, monkeypatch)
    for _ in range(length):
        with suppress(Killed):
            storm.chooser.choice(storm.events())()
        storm.step()
        if storm.chooser.random() < 0.6:
            mine(world)
    storm.calm_down()
    storm.check()


def test_a_storm(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live_through(world, tmp_path, monkeypatch, 0, 25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_many_storms(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    live_through(world, tmp_path, monkeypatch, seed, 60)
