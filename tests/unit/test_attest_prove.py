"""Proof evidence with real proofs: true for one claim and one beneficiary, worth nothing for anything else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from circuits import CanonicalModel
from oracle.attest.prove import Prover
from oracle.encoding import PROOF_SELECTOR, keccak256, pack_int16, pack_proof_evidence, unpack_int16, unpack_proof_evidence
from oracle.errors import EvidenceRejected, InputRejected, InvariantBroken, ModelUnknown
from oracle.records import Address, Bytes32, Claim, Evidence
from tests.twins.node_scene import DIGITS, digit_image

PAID = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
THIEF = Address("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
INPUT = digit_image()


@pytest.fixture(scope="module")
def prover() -> Prover:
    return Prover([CanonicalModel.load(DIGITS)])


@pytest.fixture(scope="module")
def model_id() -> Bytes32:
    return Bytes32(CanonicalModel.load(DIGITS).model_id)


@pytest.fixture(scope="module")
def output(prover: Prover, model_id: Bytes32) -> bytes:
    return prover.run(model_id, INPUT)


@pytest.fixture(scope="module")
def claim(model_id: Bytes32, output: bytes) -> Claim:
    return Claim(keccak256(b"request"), model_id, keccak256(INPUT), keccak256(output))


@pytest.fixture(scope="module")
def evidence(prover: Prover, claim: Claim) -> Evidence:
    return prover.prove(claim, INPUT, PAID)


def test_what_was_proven_verifies_and_names_who_is_paid(prover: Prover, claim: Claim, output: bytes, evidence: Evidence) -> None:
    assert evidence.selector == PROOF_SELECTOR
    assert unpack_proof_evidence(evidence.data)[0] == PAID
    assert prover.verify(claim, INPUT, output, evidence) == PAID
    assert prover.prove(claim, INPUT, PAID) == evidence  # deterministic: a repetition is the same log entry


def test_it_is_worth_nothing_for_another_request_or_beneficiary(prover: Prover, claim: Claim, output: bytes, evidence: Evidence) -> None:
    stolen = pack_proof_evidence(THIEF, unpack_proof_evidence(evidence.data)[1])
    for wrong_claim, wrong in ((replace(claim, request_id=keccak256(b"another")), evidence), (claim, stolen)):
        with pytest.raises(EvidenceRejected, match="proof"):
            prover.verify(wrong_claim, INPUT, output, wrong)


def test_it_is_worth_nothing_for_another_input_or_output(prover: Prover, claim: Claim, output: bytes, evidence: Evidence) -> None:
    values = unpack_int16(output)
    lie = pack_int16([values[0] - 1, *values[1:]])
    lies = [
        (replace(claim, output_digest=keccak256(lie)), INPUT, lie),
        (replace(claim, input_digest=keccak256(digit_image(1))), digit_image(1), output),
        (claim, INPUT, lie),
        (claim, b"", output),
        (replace(claim, output_digest=keccak256(output + b"\0\0")), INPUT, output + b"\0\0"),
        (replace(claim, output_digest=keccak256(output[:-1])), INPUT, output[:-1]),
    ]
    for wrong_claim, data, wrong_output in lies:
        with pytest.raises(EvidenceRejected):
            prover.verify(wrong_claim, data, wrong_output, evidence)


def test_a_changed_proof_does_not_hold(prover: Prover, claim: Claim, output: bytes, evidence: Evidence) -> None:
    data = evidence.data
    changed = [data[:-1], data + b"\0", data[:20], b"", data[:40] + bytes([data[40] ^ 1]) + data[41:]]
    for other in (*(Evidence(PROOF_SELECTOR, d) for d in changed), Evidence(bytes(4), data)):
        with pytest.raises(EvidenceRejected):
            prover.verify(claim, INPUT, output, other)


def test_a_lie_is_not_proven(prover: Prover, claim: Claim) -> None:
    with pytest.raises(InvariantBroken):
        prover.prove(replace(claim, output_digest=keccak256(b"lie")), INPUT, PAID)
    with pytest.raises(InputRejected):
        prover.prove(claim, INPUT[:-2], PAID)


def test_a_model_that_is_not_at_hand_is_unknown(prover: Prover, claim: Claim, output: bytes, evidence: Evidence) -> None:
    other = replace(claim, model_id=keccak256(b"another model"))
    with pytest.raises(ModelUnknown):
        prover.verify(other, INPUT, output, evidence)
    with pytest.raises(ModelUnknown):
        prover.prove(other, INPUT, PAID)
    assert claim.model_id in prover
    assert other.model_id not in prover
