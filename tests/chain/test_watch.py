"""A watcher against the real contracts and the real proof verifier: quorums that lie lose their stake, and their answers are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account

from oracle.attest.prove import Prover
from oracle.attest.quorum import assemble_quorum
from oracle.attest.remote import open_signer
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.config import KeyConfig
from oracle.encoding import compute_request_id, keccak256, pack_int16, pack_policy
from oracle.errors import ChainError, PeerError
from oracle.node.directory import read_directory
from oracle.pipeline.models import load_canonical
from oracle.pipeline.registering import register_directory
from oracle.pipeline.seat import rotate_signer
from oracle.pipeline.session import Session
from oracle.pipeline.settled import read_settled
from oracle.pipeline.watch import judge_next, make_follower
from oracle.pipeline.watching import Watcher, WatchMetrics
from oracle.records import Address, Asked, Bytes32, Claim, Delivery, Evidence, Policy, Request, RequestStatus
from oracle.relay import cases
from oracle.relay.cases import CaseState
from oracle.relay.failures import CallReverted
from oracle.relay.sender import Sender
from oracle.store import open_database
from tests.chain.conftest import FEE_WEI, STAKE_WEI, World, account
from tests.twins.api import served
from tests.twins.node_scene import DIGITS, digit_image
from tests.twins.signer import ReferenceRpcSigner, unchanged

INPUT = digit_image()
LIE = pack_int16([2047, *[-2048] * 9])
WATCHER = 8  # anvil's account
WINDOW = 3600
FAR = 1e12


@pytest.fixture(scope="module")
def prover() -> Prover:
    return Prover([load_canonical(DIGITS, read_directory(DIGITS).model_id)])


@pytest.fixture
def digits(world: World) -> Bytes32:
    owner = AccountSigner(account(0))
    done = register_directory(Session(world.contracts, owner, world.sender(0)), DIGITS, "seed:digits-mlp")
    assert done.model_id == read_directory(DIGITS).model_id
    return done.model_id


class Scene:
    """A deployment with the digits model, and a watcher whose steps are called one by one."""

    def __init__(self, world: World, model_id: Bytes32, prover: Prover, folder: Path) -> None:
        self.world, self.model_id, self.prover, self.folder = world, model_id, prover, folder
        self.truth = prover.run(model_id, INPUT)
        self.moment = FAR
        self.start()

    def start(self, confirmations: int = 0) -> None:
        """As the process does it, again and again on one database."""
        engine, chain = open_database(f"sqlite:///{self.folder}/watch.sqlite", cases.SCHEMA), self.world.contracts
        cases.bind(engine, chain.domain)
        cases.reconsider_unchecked(engine)
        signer = AccountSigner(account(WATCHER))
        sender, me = Sender(chain, signer), Address(signer.address)
        self.watcher = Watcher(engine, chain, sender, self.prover, me, WatchMetrics(engine), confirmations)
        self.follower = make_follower(engine, chain, self.world.deployment.block_number, confirmations)

    def watch(self, steps: int = 20) -> None:
        """Follows to the head, then judges until nothing is left to do."""
        while len(self.follower.step().taken) > 1:
            pass
        for _ in range(steps):
            self.moment += 1000  # longer than any pause
            if not judge_next(self.watcher, self.moment):
                return

    def ask(self, policy: Policy, data: bytes = INPUT) -> Asked:
        world, deadline = self.world, self.world.now() + 600
        arguments = (self.model_id, data, pack_policy(policy), 0, deadline, account(6).address)
        return world.asked_in(world.sender(6).send(world.contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI)))

    def delivery(self, asked: Asked, output: bytes, signers: int = 3) -> Delivery:
        claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(output))
        signed = [sign_claim(claim, output, self.world.deployment.domain, self.world.signers[i]) for i in range(signers)]
        return Delivery(asked, claim, output, (assemble_quorum(signed, signers, self.world.contracts.operators()),))

    def deliver(self, *deliveries: Delivery) -> None:
        gas = 3_000_000 if len(deliveries) > 1 else None
        self.world.sender(7).send(self.world.contracts.deliver_call(deliveries), gas)

    def lie(self, window_seconds: int = WINDOW, signers: int = 3) -> Asked:
        asked = self.ask(Policy(quorum=signers, window_seconds=window_seconds))
        self.deliver(self.delivery(asked, LIE, signers))
        return asked

    def case(self, asked: Asked) -> CaseState:
        found = cases.find_case(self.watcher.engine, asked.request_id)
        assert found is not None
        return found.state

    def stakes(self) -> list[int]:
        return [self.world.contracts.stake_of(Address(account(i + 1).address)) for i in range(5)]

    @property
    def reward_wei(self) -> int:
        return int(self.world.contracts._view("OperatorRegistry", "owedTo", account(WATCHER).address))


@pytest.fixture
def scene(world: World, digits: Bytes32, prover: Prover, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(world, digits, prover, tmp_path)
    yield scene
    scene.watcher.engine.dispose()


def test_a_lying_quorum_is_slashed_and_its_answer_replaced(scene: Scene) -> None:
    asked = scene.lie()
    scene.watch()
    status = scene.world.contracts.status_of(asked.request_id)
    assert (status.status, status.output_digest) == (RequestStatus.FINAL, keccak256(scene.truth))
    assert scene.stakes() == [0, 0, 0, STAKE_WEI, STAKE_WEI]
    assert scene.reward_wei == 3 * STAKE_WEI // 2
    assert scene.world.contracts.balance_of(Address(account(WATCHER).address)) == FEE_WEI
    assert scene.world.contracts.balance_of(Address(account(1).address)) == 0
    assert scene.case(asked) is CaseState.DONE
    settled = read_settled(scene.world.contracts, asked.request_id)
    assert (settled.delivered.output, settled.output) == (LIE, scene.truth)
    assert settled.replaced is not None
    assert settled.replaced.beneficiaries == (account(WATCHER).address,)


def test_a_key_that_lives_elsewhere_challenges_and_slashes(scene: Scene) -> None:
    """While its signer is away, or signs something else, nothing is sent and the case waits."""
    twin, chain = ReferenceRpcSigner(), scene.world.contracts
    twin.add(account(WATCHER))
    asked = scene.lie()
    with served(twin.app()) as url:
        signer = open_signer(KeyConfig(signer_url=url, signer_api="eth", signer_address=account(WATCHER).address), "watch")
        scene.watcher = replace(scene.watcher, sender=Sender(chain, signer))
        twin.change = lambda fields: fields | {"to": account(9).address}
        with pytest.raises(PeerError, match="signed another transaction: to is"):
            scene.watch()
        assert scene.case(asked) is CaseState.PROVEN
        assert chain.nonce(Address(account(WATCHER).address), "pending") == chain.nonce(Address(account(WATCHER).address), "latest")
        twin.change = unchanged
        scene.watch()
    assert scene.case(asked) is CaseState.DONE
    assert scene.stakes()[:3] == [0, 0, 0]
    assert all(fields["to"] in (chain.deployment.coprocessor, chain.deployment.fraud_proofs) for fields in twin.signed)


def test_an_answer_that_is_final_already_still_costs_its_signers_the_stake(scene: Scene) -> None:
    asked = scene.lie(window_seconds=0)
    scene.watch()
    assert scene.world.contracts.status_of(asked.request_id).output_digest == keccak256(LIE)
    assert scene.stakes()[:3] == [0, 0, 0]
    assert scene.case(asked) is CaseState.DONE


def test_true_answers_are_left_alone(scene: Scene) -> None:
    asked = scene.ask(Policy(quorum=2, window_seconds=WINDOW))
    scene.deliver(scene.delivery(asked, scene.truth, 2))
    scene.watch()
    assert scene.case(asked) is CaseState.TRUE
    assert scene.stakes() == [STAKE_WEI] * 5
    assert scene.world.contracts.status_of(asked.request_id).status is RequestStatus.PENDING


def test_a_lie_in_a_batch_is_found_by_its_own_signatures(scene: Scene) -> None:
    honest, lied = scene.ask(Policy(quorum=2, window_seconds=WINDOW)), scene.ask(Policy(quorum=1, window_seconds=WINDOW))
    scene.deliver(scene.delivery(honest, scene.truth, 2), scene.delivery(lied, LIE, 1))
    scene.watch()
    assert (scene.case(honest), scene.case(lied)) == (CaseState.TRUE, CaseState.DONE)
    assert scene.stakes() == [0, *[STAKE_WEI] * 4]


def test_a_lie_about_a_signed_question_is_found_in_its_delivery(scene: Scene) -> None:
    world, requester = scene.world, Address(account(6).address)
    world.sender(6).send(world.contracts.call("Coprocessor", "deposit", value_wei=FEE_WEI))
    policy = pack_policy(Policy(quorum=2, window_seconds=WINDOW))
    deadline = world.now() + 600
    request = Request(requester, requester, scene.model_id, keccak256(INPUT), policy, FEE_WEI, 0, deadline, (1 << 128) + 7)
    request_id = compute_request_id(request, world.deployment.domain)
    asked = Asked(request_id, request, INPUT, AccountSigner(account(6)).sign_digest(request_id))
    scene.deliver(scene.delivery(asked, LIE, 2))
    scene.watch()
    assert world.contracts.status_of(request_id).output_digest == keccak256(scene.truth)
    assert scene.stakes()[:3] == [0, 0, STAKE_WEI]


def test_somebody_else_may_be_faster(scene: Scene) -> None:
    """Between proof and transaction another watcher did it all: nothing is sent, and nobody is slashed twice."""
    asked = scene.lie(signers=1)
    while len(scene.follower.step().taken) > 1:
        pass
    for _ in range(2):  # judged and proven, not yet acted upon
        judge_next(scene.watcher, FAR)
    assert scene.case(asked) is CaseState.PROVEN
    other = Address(account(9).address)
    claim = Claim(asked.request_id, scene.model_id, keccak256(INPUT), keccak256(scene.truth))
    evidence, contracts = scene.prover.prove(claim, INPUT, other), scene.world.contracts
    scene.world.sender(9).send(contracts.challenge_call(asked, scene.truth, evidence))
    lied = Claim(asked.request_id, scene.model_id, keccak256(INPUT), keccak256(LIE))
    signed = sign_claim(lied, LIE, scene.world.deployment.domain, scene.world.signers[0])
    scene.world.sender(9).send(contracts.prove_wrong_call([signed], INPUT, scene.truth, evidence))
    nonce = contracts.nonce(Address(account(WATCHER).address), "latest")
    scene.watch()
    assert scene.case(asked) is CaseState.DONE
    assert contracts.nonce(Address(account(WATCHER).address), "latest") == nonce
    assert contracts.balance_of(other) == FEE_WEI


@pytest.mark.parametrize("looks", range(6))
def test_a_crash_after_every_step_loses_nothing_and_repeats_nothing(scene: Scene, looks: int) -> None:
    asked = scene.lie(signers=2)
    scene.watch(looks)
    scene.start()
    scene.watch()
    assert scene.case(asked) is CaseState.DONE
    assert scene.stakes()[:3] == [0, 0, STAKE_WEI]
    assert scene.reward_wei == STAKE_WEI
    assert scene.world.contracts.nonce(Address(account(WATCHER).address), "latest") == 2


def test_a_delivery_waits_for_its_confirmations(scene: Scene) -> None:
    scene.start(confirmations=3)
    asked = scene.lie()
    scene.watch()
    assert cases.find_case(scene.watcher.engine, asked.request_id) is None
    scene.world.rpc_call("anvil_mine", "0x3")
    scene.watch(steps=6)
    assert scene.stakes()[:3] == [0, 0, 0]
    assert scene.case(asked) is CaseState.PROVEN  # done, but not yet at depth
    scene.world.rpc_call("anvil_mine", "0x3")
    scene.watch()
    assert scene.case(asked) is CaseState.DONE


def test_a_reorganisation_that_drops_what_was_sent_is_made_good(scene: Scene) -> None:
    asked = scene.lie()
    scene.start(confirmations=1)
    scene.world.rpc_call("anvil_mine", "0x1")
    scene.watch(steps=4)  # challenged and slashed, not at depth
    assert scene.stakes()[:3] == [0, 0, 0]
    scene.world.rpc_call("anvil_reorg", 2, [])
    if scene.stakes()[0] == 0:
        pytest.skip("this anvil kept the transactions in the reorganised blocks")
    scene.watch(steps=12)
    scene.world.rpc_call("anvil_mine", "0x3")
    scene.watch()
    assert scene.stakes()[:3] == [0, 0, 0]
    assert scene.world.contracts.status_of(asked.request_id).output_digest == keccak256(scene.truth)


def test_a_delivery_that_a_reorganisation_dropped_is_forgotten(scene: Scene) -> None:
    asked = scene.ask(Policy(quorum=1, window_seconds=WINDOW))
    scene.deliver(scene.delivery(asked, scene.truth, 1))
    scene.watch()
    scene.world.rpc_call("anvil_reorg", 1, [])
    scene.world.rpc_call("anvil_mine", "0x1")
    while len(scene.follower.step().taken) > 1:
        pass
    is_delivered = scene.world.contracts.status_of(asked.request_id).status is RequestStatus.PENDING
    assert (cases.find_case(scene.watcher.engine, asked.request_id) is not None) == is_delivered


def test_what_cannot_be_executed_again_is_said_and_looked_at_again(scene: Scene) -> None:
    unknown = scene.world.ask()  # a model of which there are no files
    scene.deliver(scene.delivery(unknown, LIE, 3))
    other = scene.ask(Policy(quorum=1), data=b"\x7f\xff" * 64)  # out of the input's range: nobody can prove anything about it
    scene.deliver(scene.delivery(other, LIE, 1))
    scene.watch()
    assert (scene.case(unknown), scene.case(other)) == (CaseState.UNCHECKED, CaseState.UNCHECKED)
    assert scene.stakes() == [STAKE_WEI] * 5
    assert cases.reconsider_unchecked(scene.watcher.engine) == 2


def test_rotated_and_leaving_operators_pay_all_the_same(scene: Scene) -> None:
    asked = scene.lie(signers=2)
    world = scene.world
    key = AccountSigner(Account.create())
    rotate_signer(Session(world.contracts, AccountSigner(account(1)), world.sender(1)), key)
    world.sender(2).send(world.contracts.call("OperatorRegistry", "beginExit"))
    scene.watch()
    assert scene.case(asked) is CaseState.DONE
    assert scene.stakes()[:2] == [0, 0]


def test_the_endpoint_failing_puts_a_case_off_and_no_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scene.lie(signers=1)
    while len(scene.follower.step().taken) > 1:
        pass

    def fail(_: Bytes32) -> None:
        raise ChainError("the endpoint does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(scene.world.contracts, "receipt", fail)
        with pytest.raises(ChainError):
            judge_next(scene.watcher, 1000.0)
        assert not judge_next(scene.watcher, 1001.0)  # put off, so that it is in nobody's way
    scene.watch()
    assert scene.case(asked) is CaseState.DONE


def test_a_proof_the_contracts_refuse_is_an_alarm_in_the_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scene.lie(signers=1)
    broken = Evidence(bytes.fromhex("00000000"), b"")
    monkeypatch.setattr(scene.prover, "prove", lambda *_: broken)
    scene.watch(steps=3 + cases.MOST_ATTEMPTS)
    assert scene.case(asked) is CaseState.FAILED
    assert scene.stakes() == [STAKE_WEI] * 5


# ---- proof evidence on a real chain --------------------------------------------------------------------------------------------
def prove_delivery(scene: Scene, asked: Asked, paid: int = 9) -> Delivery:
    claim = Claim(asked.request_id, scene.model_id, asked.request.input_digest, keccak256(scene.truth))
    return Delivery(asked, claim, scene.truth, (scene.prover.prove(claim, INPUT, Address(account(paid).address)),))


def test_a_proof_alone_is_delivered_and_pays_its_prover(scene: Scene) -> None:
    asked = scene.ask(Policy(proof=True))
    delivery = prove_delivery(scene, asked)
    contracts = scene.world.contracts
    assert contracts.check_proof(delivery.claim, INPUT, scene.truth, delivery.evidence[0]) == (account(9).address,)
    scene.deliver(delivery)
    assert contracts.balance_of(Address(account(9).address)) == FEE_WEI
    assert read_settled(contracts, asked.request_id).prover == account(9).address


def test_a_proof_of_one_request_is_refused_for_another_and_for_a_lie(scene: Scene) -> None:
    first, second = scene.ask(Policy(proof=True)), scene.ask(Policy(proof=True))
    evidence = prove_delivery(scene, first).evidence
    claim = Claim(second.request_id, scene.model_id, second.request.input_digest, keccak256(scene.truth))
    lie = Claim(first.request_id, scene.model_id, first.request.input_digest, keccak256(LIE))
    for asked, wrong, output in ((second, claim, scene.truth), (first, lie, LIE)):
        with pytest.raises(CallReverted):
            scene.deliver(Delivery(asked, wrong, output, evidence))
        with pytest.raises(CallReverted):
            scene.world.contracts.check_proof(wrong, INPUT, output, evidence[0])
