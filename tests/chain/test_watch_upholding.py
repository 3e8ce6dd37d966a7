"""A watcher with a model that can be proven, under policies that are disputable: its proofs come over any dispute, either way."""

from __future__ import annotations

import pytest

from oracle.attest.prove import Prover
from oracle.encoding import keccak256
from oracle.pipeline.hearing import hear_next
from oracle.records import Address, Asked, Bytes32, Policy, RequestStatus
from oracle.relay import hearings
from oracle.relay.cases import CaseState
from oracle.relay.disputes import Disputes, Outcome
from oracle.relay.hearings import HearingState
from tests.chain.conftest import STAKE_WEI, World, account
from tests.chain.test_watch import LIE, WATCHER, WINDOW, Scene, digits, prover, scene

__all__ = ["digits", "prover", "scene"]  # fixtures of the module beside this one
CHALLENGER = 9


def hear(scene: Scene, steps: int = 10) -> None:
    """Follows and judges, then takes every hearing on until none is due."""
    scene.watch()
    for _ in range(steps):
        scene.moment += 10_000
        hear_next(scene.watcher, scene.moment)
        scene.world.rpc_call("evm_mine")
        scene.watch()


def answered(scene: Scene, output: bytes) -> Asked:
    asked = scene.ask(Policy(quorum=1, window_seconds=WINDOW, disputable=True))
    scene.deliver(scene.delivery(asked, output, 1))
    return asked


def dispute_by_hand(world: World, asked: Asked) -> Disputes:
    disputes, receipt = Disputes(world.contracts), world.contracts.delivery_of(asked.request_id)
    assert receipt is not None
    world.sender(CHALLENGER).send(disputes.open_call(asked.request, receipt.delivered[0].beneficiaries))
    assert disputes.dispute_of(asked.request_id).outcome is Outcome.OPEN
    return disputes


def test_a_true_answer_that_is_disputed_is_proven_right_and_the_bond_is_the_watcher_s(scene: Scene) -> None:
    asked, me = answered(scene, scene.truth), Address(account(WATCHER).address)
    disputes = dispute_by_hand(scene.world, asked)
    hear(scene)
    assert scene.case(asked) is CaseState.TRUE
    assert disputes.dispute_of(asked.request_id).outcome is Outcome.SUPERSEDED
    assert disputes.owed_to(me) == disputes.terms.bond_wei
    assert scene.stakes() == [STAKE_WEI] * 5
    status = scene.world.contracts.status_of(asked.request_id)
    assert (status.status, status.output_digest) == (RequestStatus.PENDING, keccak256(scene.truth))
    scene.world.rpc_call("evm_increaseTime", WINDOW)
    receipt = scene.world.contracts.delivery_of(asked.request_id)
    assert receipt is not None
    call = scene.world.contracts.finalize_call(asked.request, scene.truth, receipt.delivered[0].beneficiaries)
    scene.world.sender(7).send(call)
    assert scene.world.contracts.status_of(asked.request_id).status is RequestStatus.FINAL
    hear(scene)
    hearing = hearings.find_hearing(scene.watcher.engine, asked.request_id)
    assert hearing is not None
    assert hearing.state is HearingState.CLOSED


def test_without_the_model_nothing_is_upheld(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answered(scene, scene.truth)
    disputes = dispute_by_hand(scene.world, asked)
    monkeypatch.setattr(scene, "prover", Prover([]))
    scene.start()
    hear(scene)
    assert scene.case(asked) is CaseState.UNCHECKED
    assert disputes.dispute_of(asked.request_id).outcome is Outcome.OPEN


def test_a_lie_is_replaced_by_a_proof_after_its_window_while_a_dispute_is_open(scene: Scene) -> None:
    asked = answered(scene, LIE)
    disputes = dispute_by_hand(scene.world, asked)
    scene.world.rpc_call("evm_increaseTime", WINDOW + 1)
    scene.world.rpc_call("evm_mine")
    hear(scene)
    status = scene.world.contracts.status_of(asked.request_id)
    assert (status.status, status.output_digest) == (RequestStatus.FINAL, keccak256(scene.truth))
    assert disputes.dispute_of(asked.request_id).outcome is Outcome.SUPERSEDED
    assert scene.stakes() == [0, *[STAKE_WEI] * 4]
    assert scene.case(asked) is CaseState.DONE


def test_a_lie_whose_window_is_over_stays_where_nobody_disputed_it(scene: Scene) -> None:
    asked = answered(scene, LIE)
    scene.world.rpc_call("evm_increaseTime", WINDOW + 1)
    scene.world.rpc_call("evm_mine")
    hear(scene)
    assert scene.world.contracts.status_of(asked.request_id).output_digest == Bytes32(keccak256(LIE))
    assert scene.stakes()[0] == 0, "its signer is slashed all the same"
