"""Audits of calls with proofs (verified again where the model is at hand, else said to be unverified) and of answers that were replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.attest.prove import Prover
from oracle.attest.quorum import verify_quorum
from oracle.audit.call import ClaimChecks
from oracle.audit.report import AuditReport, StepStatus
from oracle.audit.verify import verify_call
from oracle.encoding import keccak256, to_hex
from oracle.errors import AuditFailed, EvidenceRejected
from oracle.records import (
    Address,
    Asked,
    Bytes32,
    CallbackStatus,
    Claim,
    Evidence,
    OnChainStatus,
    Policy,
    Replaced,
    RequestStatus,
    TransactionReceipt,
)
from oracle.signatures import recover_signer
from tests.twins.audited import LOG_ID, PROVER, History
from tests.twins.coprocessor import Revert

TRUTH = b"what the model gives"


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path)
    yield history
    history.close()


def verifying(history: History) -> ClaimChecks:
    """With the model at hand: the twin's verifier, asked here."""

    def verify_proof(claim: Claim, data: bytes, output: bytes, evidence: Evidence) -> Address:
        try:
            return history.chain.world.verify_proof(claim, data, output, evidence)
        except Revert as error:
            raise EvidenceRejected("proof", "one that holds", str(error)) from error

    return ClaimChecks(recover_signer, verify_quorum, verify_proof)


WITHOUT_MODEL = ClaimChecks(recover_signer, verify_quorum, Prover(()).verify)


def tell(history: History, policy: Policy) -> Asked:
    asked = history.ask(b"input", policy)
    history.deliver(asked, [history.answer(index, asked, TRUTH) for index in range(2)])
    history.anchor()
    return asked


def audit(history: History, chain: Any, asked: Asked, checks: ClaimChecks, **options: Any) -> AuditReport:
    return verify_call(history.view(), chain, LOG_ID, asked.request_id, checks, **options)


@pytest.mark.parametrize("policy", [Policy(proof=True), Policy(quorum=2, proof=True)])
def test_a_proof_is_verified_again_where_the_model_is_at_hand(history: History, policy: Policy) -> None:
    asked = tell(history, policy)
    report = audit(history, history.chain, asked, verifying(history))
    assert report.steps[5].status is StepStatus.PASSED
    assert f"a proof made for {PROVER}, verified again here" in report.steps[5].detail
    assert ("operators 0" in report.steps[5].detail) == bool(policy.quorum)
    assert report.is_complete


@pytest.mark.parametrize("policy", [Policy(proof=True), Policy(quorum=2, proof=True)])
def test_without_the_model_the_audit_says_that_the_proof_was_not_verified(history: History, policy: Policy) -> None:
    asked = tell(history, policy)
    report = audit(history, history.chain, asked, WITHOUT_MODEL)
    assert report.steps[5].status is StepStatus.ABSENT
    assert "NOT verified" in report.steps[5].detail
    assert not report.is_complete


def test_a_proof_that_does_not_hold_fails_the_audit(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract accepted it, perhaps through a verifier that was broken: this tool has its own."""
    asked = tell(history, Policy(proof=True))

    def refuse(*_: Any) -> Address:
        raise EvidenceRejected("proof", "one that holds", "another")

    with pytest.raises(AuditFailed) as failure:
        audit(history, history.chain, asked, replace(verifying(history), verify_proof=refuse))
    assert failure.value.step == 6


# ---- replaced answers --------------------------------------------------------------------------------------------------------------
class ReplacedChain:
    """The twin's chain after a challenge put `output` in the place of a request's answer."""

    def __init__(self, history: History, asked: Asked, output: bytes, replaced_digest: Bytes32 | None = None) -> None:
        self._chain, self._asked = history.chain, asked
        delivered = history.chain.status_of(asked.request_id).output_digest
        digest = keccak256(output)
        event = Replaced(asked.request_id, replaced_digest or delivered, digest, output, (PROVER,), CallbackStatus.SUCCEEDED)
        head = history.chain.block("latest")
        assert head is not None
        self._receipt = TransactionReceipt(keccak256(b"challenge"), head.number, head.hash, True, 500_000, replaced=(event,))

    def replacement_of(self, request_id: Bytes32) -> TransactionReceipt | None:
        return self._receipt if request_id == self._asked.request_id else None

    def status_of(self, request_id: Bytes32) -> OnChainStatus:
        status = self._chain.status_of(request_id)
        return replace(status, output_digest=self._receipt.replaced[0].output_digest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)


def test_a_replaced_answer_is_told_and_the_new_one_held_against_the_model(history: History) -> None:
    asked = tell(history, Policy(quorum=2))
    chain = ReplacedChain(history, asked, b"proven")
    report = audit(history, chain, asked, WITHOUT_MODEL, re_execute=lambda _model, _data: b"proven")
    assert report.is_complete
    assert any(to_hex(keccak256(b"proven")) in remark and "challenge" in remark for remark in report.remarks)
    with pytest.raises(AuditFailed) as failure:
        audit(history, chain, asked, WITHOUT_MODEL, re_execute=lambda _model, _data: TRUTH)
    assert failure.value.step == 8


def test_a_replacement_of_something_that_was_not_delivered_fails(history: History) -> None:
    asked = tell(history, Policy(quorum=2))
    with pytest.raises(AuditFailed, match="output that a challenge replaced") as failure:
        audit(history, ReplacedChain(history, asked, b"proven", keccak256(b"never delivered")), asked, WITHOUT_MODEL)
    assert failure.value.step == 7


def test_an_output_in_the_contract_that_nobody_delivered_or_proved_fails(history: History) -> None:
    asked = tell(history, Policy(quorum=2))
    chain = ReplacedChain(history, asked, b"proven")
    chain.replacement_of = lambda _: None  # type: ignore[method-assign]
    with pytest.raises(AuditFailed, match="output digest in the contract"):
        audit(history, chain, asked, WITHOUT_MODEL)


class WithdrawnChain:
    """The twin's chain after a committee took a delivered answer back; `left` is what the contract still has of it."""

    def __init__(self, history: History, left: Bytes32) -> None:
        self._chain, self._left = history.chain, left

    def status_of(self, request_id: Bytes32) -> OnChainStatus:
        status = self._chain.status_of(request_id)
        return replace(status, status=RequestStatus.REFUNDED, output_digest=self._left)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)


def test_an_answer_that_a_committee_took_back_is_told(history: History) -> None:
    asked = tell(history, Policy(quorum=2))
    report = audit(history, WithdrawnChain(history, Bytes32(bytes(32))), asked, WITHOUT_MODEL)
    assert any("took the delivered output back" in remark for remark in report.remarks)
    delivered = history.chain.status_of(asked.request_id).output_digest
    with pytest.raises(AuditFailed, match="output digest in the contract"):
        audit(history, WithdrawnChain(history, delivered), asked, WITHOUT_MODEL)
