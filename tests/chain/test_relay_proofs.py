"""The relay with proofs, on the real contracts: nodes that prove and nodes that pretend to; an answer that a challenge replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from oracle.attest.prove import Prover
from oracle.attest.sign import AccountSigner
from oracle.encoding import PROOF_SELECTOR, keccak256, pack_policy, to_hex
from oracle.node.directory import read_directory
from oracle.pipeline.models import load_canonical
from oracle.pipeline.registering import register_directory
from oracle.pipeline.session import Session
from oracle.records import Address, Asked, Bytes32, Claim, Policy, RequestStatus, SignedClaim
from oracle.relay.schema import JobKind, JobState, RequestState
from tests.chain.conftest import FEE_WEI, World, account
from tests.chain.relay_rig import LIE, NodeTwin, Relay, make_relay
from tests.twins.node_scene import DIGITS, digit_image

INPUT = digit_image()
PROVER = 9  # anvil's account that is named in proofs
Make = Callable[[Asked, Claim], bytes]


@pytest.fixture(scope="module")
def prover() -> Prover:
    return Prover([load_canonical(DIGITS, read_directory(DIGITS).model_id)])


@pytest.fixture
def digits(world: World) -> Bytes32:
    owner = Session(world.contracts, AccountSigner(account(0)), world.sender(0))
    return register_directory(owner, DIGITS, "seed:digits-mlp").model_id


@dataclass
class ProvingTwin(NodeTwin):
    """A node that sends what `make` gives as the proof."""

    make: Make = lambda _asked, _claim: b""

    def sign(self, asked: Asked, output: bytes) -> SignedClaim:
        signed = super().sign(asked, output)
        return replace(signed, proof=self.make(asked, signed.claim))


def ask(world: World, model_id: Bytes32, policy: Policy) -> Asked:
    deadline = world.now() + 600
    arguments = (model_id, INPUT, pack_policy(policy), 0, deadline, account(6).address)
    return world.asked_in(world.sender(6).send(world.contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI)))


def relay_of(world: World, directory: Path, truth: bytes, *makes: Make) -> Relay:
    """A relay over nodes that answer the truth, one for each way of proving."""
    relay = make_relay(world, directory, nodes=0)
    for index, make in enumerate(makes):
        relay.nodes.append(ProvingTwin(index, world.signers[index], world.deployment.domain, world.known, truth, make=make))
    relay.crash()
    return relay


def test_a_proof_is_delivered_with_the_input_and_pays_its_prover(world: World, digits: Bytes32, prover: Prover, tmp_path: Path) -> None:
    asked, truth, paid = ask(world, digits, Policy(proof=True)), prover.run(digits, INPUT), Address(account(PROVER).address)

    def prove(asked: Asked, claim: Claim) -> bytes:
        return prover.prove(claim, asked.input, paid).data

    def steal(asked: Asked, claim: Claim) -> bytes:
        """Somebody else's proof under one's own name."""
        return bytes.fromhex(account(8).address[2:]) + prove(asked, claim)[20:]

    def other(asked: Asked, claim: Claim) -> bytes:
        return prove(asked, replace(claim, request_id=keccak256(b"another request")))

    relay = relay_of(world, tmp_path, truth, lambda *_: b"", steal, other, prove)
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.balance_of(paid) == FEE_WEI
    assert world.contracts.status_of(asked.request_id).output_digest == keccak256(truth)
    receipt = next(e for e in relay.log.entries.values() if e.fields.get("audit.finality") == "final")
    assert receipt.fields["audit.evidence_selectors"] == [to_hex(PROOF_SELECTOR)]
    assert receipt.fields["audit.signers"] == []


def test_proofs_share_a_transaction(world: World, digits: Bytes32, prover: Prover, tmp_path: Path) -> None:
    """Each with its input, within the gas that the items need alone; the batch's estimate is never asked for."""
    asked = [ask(world, digits, Policy(proof=True)) for _ in range(3)]
    prove = lambda asked, claim: prover.prove(claim, asked.input, Address(account(PROVER).address)).data  # noqa: E731
    relay = relay_of(world, tmp_path, prover.run(digits, INPUT), prove)
    relay.run(4)
    assert {relay.state(a.request_id) for a in asked} == {RequestState.FINAL}
    assert len(relay.slots()) == 1
    assert world.contracts.balance_of(Address(account(PROVER).address)) == 3 * FEE_WEI


def test_a_quorum_and_a_proof_go_together(world: World, digits: Bytes32, prover: Prover, tmp_path: Path) -> None:
    asked, truth = ask(world, digits, Policy(quorum=2, proof=True)), prover.run(digits, INPUT)
    prove = lambda asked, claim: prover.prove(claim, asked.input, Address(account(PROVER).address)).data  # noqa: E731
    relay = relay_of(world, tmp_path, truth, lambda *_: b"", lambda *_: b"", prove)
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    shares = [world.contracts.balance_of(Address(account(i).address)) for i in (1, 2, PROVER)]
    assert sum(shares) == FEE_WEI
    assert min(shares) == FEE_WEI // 3


def test_without_a_proof_it_expires_and_says_why(world: World, digits: Bytes32, prover: Prover, tmp_path: Path) -> None:
    asked = ask(world, digits, Policy(proof=True))
    relay = relay_of(world, tmp_path, prover.run(digits, INPUT), lambda *_: b"")
    relay.run(2)
    assert relay.state(asked.request_id) is RequestState.COLLECTING
    world.rpc_call("evm_increaseTime", 700)
    world.rpc_call("evm_mine")
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.REFUNDED
    expired = next(e for e in relay.events(asked.request_id) if e.kind == "expired")
    assert "no proof before the deadline" in expired.detail["reason"]


def test_an_answer_that_was_replaced_is_final_with_an_alarm(world: World, digits: Bytes32, prover: Prover, tmp_path: Path) -> None:
    asked, truth, watcher = ask(world, digits, Policy(quorum=2, window_seconds=100)), prover.run(digits, INPUT), account(PROVER)
    relay = relay_of(world, tmp_path, LIE, lambda *_: b"", lambda *_: b"")
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.PENDING
    claim = Claim(asked.request_id, digits, asked.request.input_digest, keccak256(truth))
    evidence = prover.prove(claim, INPUT, Address(watcher.address))
    world.sender(PROVER).send(world.contracts.challenge_call(asked, truth, evidence))
    world.rpc_call("evm_increaseTime", 110)
    world.rpc_call("evm_mine")
    for _ in range(2):  # again after a crash: said once
        relay.run(3)
        relay.crash()
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.FINAL
    replaced = [e for e in relay.events(asked.request_id) if e.kind == "replaced"]
    assert [e.detail["output_digest"] for e in replaced] == [to_hex(keccak256(truth))]
    assert relay.log.kinds().count("error:replaced_output") == 1
    assert {(job.kind, job.state) for job in relay.jobs()} == {(JobKind.DELIVER, JobState.FINAL), (JobKind.FINALIZE, JobState.FINAL)}
