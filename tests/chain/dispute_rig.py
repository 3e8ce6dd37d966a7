"""Watchers that dispute and vote, on a real chain with the real contracts, running a real opaque model in a process of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oracle.attest.prove import Prover
from oracle.attest.quorum import assemble_quorum
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.encoding import keccak256, pack_policy
from oracle.pipeline.hearing import hear_next
from oracle.pipeline.rerunning import OpaqueRunner
from oracle.pipeline.watch import judge_next, make_follower
from oracle.pipeline.watching import Watcher, WatchMetrics
from oracle.records import Address, Asked, Bytes32, Claim, Delivery, Policy
from oracle.relay import cases, hearings
from oracle.relay.disputes import Dispute, Disputes
from oracle.relay.follow import Follower
from oracle.relay.hearings import Hearing, HearingState
from oracle.relay.sender import Sender
from oracle.store import open_database
from tests.chain.conftest import FEE_WEI, World, account
from tests.twins.node_scene import vector

INPUT = vector(1.0, 2.0, 3.0)
TRUTH, LIE = vector(2.0, 4.0, 6.0), vector(2.0, 4.0, 7.0)
WINDOW = 3_600
CHALLENGER = 8  # anvil's account: watches, without a seat
VOTERS = (2, 3, 4, 5)  # operators' accounts; 1 is the one who answers


def address_of(index: int) -> Address:
    return Address(account(index).address)


@dataclass
class Party:
    """One watcher, whose steps are called one by one; made again on its database by `start`."""

    world: World
    folder: Path
    number: int  # anvil's account
    operator: Address | None
    opaque: OpaqueRunner | None
    may_dispute: bool = True
    confirmations: int = 0
    moment: float = 1e12
    watcher: Watcher = field(init=False)
    follower: Follower = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """As the process does it."""
        engine, chain = open_database(f"sqlite:///{self.folder}/watch-{self.number}.sqlite", cases.SCHEMA), self.world.contracts
        cases.bind(engine, chain.domain)
        cases.reconsider_unchecked(engine)
        hearings.wake_all(engine)
        sender, me = Sender(chain, AccountSigner(account(self.number))), address_of(self.number)
        more = (self.confirmations, self.opaque, self.operator, self.may_dispute)
        self.watcher = Watcher(engine, chain, sender, Prover([]), me, WatchMetrics(engine), *more)
        self.follower = make_follower(engine, chain, self.world.deployment.block_number, self.confirmations)

    def step(self) -> bool:
        """One look at the chain, one hearing, one case."""
        while len(self.follower.step().taken) > 1:
            pass
        self.moment += 10_000  # longer than any pause
        is_busy = hear_next(self.watcher, self.moment)
        return judge_next(self.watcher, self.moment) or is_busy

    def hearing(self, asked: Asked) -> Hearing:
        found = hearings.find_hearing(self.watcher.engine, asked.request_id)
        assert found is not None
        return found

    def has_closed(self, asked: Asked) -> bool:
        found = hearings.find_hearing(self.watcher.engine, asked.request_id)
        return found is not None and found.state is HearingState.CLOSED

    def stop(self) -> None:
        self.watcher.engine.dispose()


@dataclass
class Court:
    """A deployment, its opaque model, and everybody's watchers."""

    world: World
    model_id: Bytes32
    parties: dict[int, Party]

    def ask(self, quorum: int = 1, window_seconds: int = WINDOW) -> Asked:
        world, deadline = self.world, self.world.now() + 600
        policy = pack_policy(Policy(quorum, window_seconds=window_seconds, disputable=True))
        arguments = (self.model_id, INPUT, policy, 0, deadline, account(6).address)
        return world.asked_in(world.sender(6).send(world.contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI)))

    def delivery(self, asked: Asked, output: bytes, signers: int = 1) -> Delivery:
        claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(output))
        signed = [sign_claim(claim, output, self.world.deployment.domain, self.world.signers[i]) for i in range(signers)]
        return Delivery(asked, claim, output, (assemble_quorum(signed, signers, self.world.contracts.operators()),))

    def answer(self, output: bytes, signers: int = 1, window_seconds: int = WINDOW) -> Asked:
        """A delivered answer, as operators' accounts 1, 2 … signed it."""
        asked = self.ask(signers, window_seconds)
        self.world.sender(7).send(self.world.contracts.deliver_call([self.delivery(asked, output, signers)]))
        return asked

    def run(self, rounds: int = 12, only: Sequence[int] | None = None, until: Asked | None = None) -> None:
        """Everybody takes a step, a block passes, again and again; or until everybody has closed the hearing of `until`."""
        for _ in range(rounds):
            if until is not None and all(party.has_closed(until) for party in self.parties.values()):
                return
            for number in self.parties if only is None else only:
                self.parties[number].step()
            self.mine()

    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            self.world.rpc_call("evm_mine")

    def pass_seconds(self, seconds: int) -> None:
        self.world.rpc_call("evm_increaseTime", seconds)
        self.mine()

    def finalize(self, asked: Asked) -> None:
        receipt = self.world.contracts.delivery_of(asked.request_id)
        assert receipt is not None
        (delivered,) = receipt.delivered
        call = self.world.contracts.finalize_call(asked.request, delivered.output, delivered.beneficiaries)
        self.world.sender(7).send(call)

    def challenge_by_hand(self, asked: Asked, number: int = 9) -> None:
        """Somebody without a watcher disputes an answer, true or not."""
        receipt = self.world.contracts.delivery_of(asked.request_id)
        assert receipt is not None
        call = self.disputes.open_call(asked.request, receipt.delivered[0].beneficiaries)
        self.world.sender(number).send(call)

    @property
    def disputes(self) -> Disputes:
        return Disputes(self.world.contracts)

    def dispute(self, asked: Asked) -> Dispute:
        return self.disputes.dispute_of(asked.request_id)

    def stake_of(self, number: int) -> int:
        return self.world.contracts.stake_of(address_of(number))

    def fee_of(self, number: int) -> int:
        return self.world.contracts.balance_of(address_of(number))

    def members(self, asked: Asked) -> list[int]:
        """Account numbers of a committee."""
        by_address = {address_of(n): n for n in range(1, 6)}
        return [by_address[m] for m in self.dispute(asked).members]
