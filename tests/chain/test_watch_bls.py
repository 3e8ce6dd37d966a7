"""A quorum in one BLS signature that lies to the real contracts: a watcher slashes every signer of it, and an audit verifies a true one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from oracle.attest.bls import aggregate
from oracle.audit.report import StepStatus
from oracle.audit.view import LogView
from oracle.encoding import compute_claim_digest, keccak256, pack_bls_quorum_evidence
from oracle.errors import AuditFailed
from oracle.pipeline.audit import Auditor
from oracle.pipeline.seat import set_bls_key
from oracle.records import Address, Asked, Claim, Delivery, Domain, Evidence, Policy, RequestStatus, SignedClaim
from oracle.relay.cases import CaseState
from tests.chain.conftest import STAKE_WEI, World, account
from tests.chain.test_audit import LOG_ID, anchorer_of, answer_and_deliver
from tests.chain.test_bls import bls_of, session_of
from tests.chain.test_watch import LIE, WINDOW, Scene, digits, prover, scene
from tests.twins.audited import ShownSource
from tests.twins.logs import KEY, open_log

__all__ = ["digits", "prover", "scene"]


def set_keys(world: World, count: int) -> None:
    for index in range(count):
        set_bls_key(session_of(world, index), bls_of(index))


def signed_together(claim: Claim, domain: Domain, indices: Sequence[int]) -> Evidence:
    digest = compute_claim_digest(claim, domain)
    return pack_bls_quorum_evidence(indices, aggregate([bls_of(i).sign_digest(digest) for i in indices]))


def deliver(scene: Scene, asked: Asked, output: bytes, indices: Sequence[int]) -> None:
    claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(output))
    scene.deliver(Delivery(asked, claim, output, (signed_together(claim, scene.world.deployment.domain, indices),)))


def test_everybody_who_signed_a_lie_together_is_slashed(scene: Scene) -> None:
    set_keys(scene.world, 4)
    asked = scene.ask(Policy(quorum=3, window_seconds=WINDOW))
    deliver(scene, asked, LIE, (0, 1, 3))
    scene.watch()
    status = scene.world.contracts.status_of(asked.request_id)
    assert (status.status, status.output_digest) == (RequestStatus.FINAL, keccak256(scene.truth))
    assert scene.stakes() == [0, 0, STAKE_WEI, 0, STAKE_WEI]
    assert scene.reward_wei == 3 * STAKE_WEI // 2
    assert scene.case(asked) is CaseState.DONE


def test_a_key_that_was_replaced_since_still_accounts_for_the_lie(scene: Scene) -> None:
    set_keys(scene.world, 2)
    asked = scene.ask(Policy(quorum=2, window_seconds=WINDOW))
    deliver(scene, asked, LIE, (0, 1))
    set_bls_key(session_of(scene.world, 0), bls_of(7))
    scene.watch()
    assert scene.stakes()[:2] == [0, 0]


def test_the_truth_signed_together_is_left_alone(scene: Scene) -> None:
    set_keys(scene.world, 2)
    asked = scene.ask(Policy(quorum=2, window_seconds=WINDOW))
    deliver(scene, asked, scene.truth, (0, 1))
    scene.watch()
    assert scene.case(asked) is CaseState.TRUE
    assert scene.stakes() == [STAKE_WEI] * 5


@pytest.mark.parametrize(("logged", "is_true"), [((0, 1, 2), True), ((0, 1, 3), False)])
def test_a_delivery_in_one_signature_is_audited(world: World, tmp_path: Path, logged: tuple[int, ...], is_true: bool) -> None:
    """And the log's receipt must name those who signed it."""
    set_keys(world, 4)
    log, asked, told = open_log(tmp_path), world.ask_gate(), [Address(account(i + 1).address) for i in logged]

    def assemble(claims: Sequence[SignedClaim]) -> Evidence:
        return signed_together(claims[0].claim, world.contracts.domain, (0, 1, 2))

    answer_and_deliver(world, log, asked, assemble=assemble, told=told)
    anchorer_of(world, log, tmp_path).run_once()
    auditor = Auditor(LogView(ShownSource(tmp_path / "log", log), KEY.verifier), world.contracts, LOG_ID)
    if is_true:
        assert [step.status for step in auditor.verify_call(asked.request_id).steps] == [StepStatus.PASSED] * 7
    else:
        with pytest.raises(AuditFailed, match="signers"):
            auditor.verify_call(asked.request_id)
    log.close()
