"""The client believes its own endpoint and its own keys: every lie of an API, and evidence that does not hold, is found."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from fastapi.testclient import TestClient

from oracle.audit.note import VerifierKey, generate_key
from oracle.client.evidence import verify_logged
from oracle.client.verifying import Question, Verified, compare_receipt, require_answers, verify_on_chain
from oracle.encoding import QUORUM_ECDSA_SELECTOR, compute_claim_digest, keccak256, pack_int16, pack_policy, to_hex
from oracle.errors import EvidenceRejected, Rejected, RequestUnknown
from oracle.records import Address, Asked, Block, Bytes32, Claim, OnChainStatus, Operator, Policy, RequestStatus
from oracle.seams import BlockTag
from tests.twins.api import OPERATORS, Network, network
from tests.twins.chain import ChainTwin

OUTPUT = pack_int16([-2048, -5, 0, 1, 2, 3, 4, 5, 6, 2047])


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    with network(tmp_path) as made:
        yield made


def no_proof(question: Question) -> tuple[Address, ...]:
    raise LookupError("nobody to ask in these tests")


def delivered(net: Network, **changes: Any) -> Asked:
    asked = net.asked(**changes)
    net.desk.submit(asked)
    net.deliver(asked, OUTPUT)
    return asked


class Told(ChainTwin):
    """The chain as an endpoint tells it: what a test overrides is told in place of the truth."""

    def __init__(self, chain: ChainTwin) -> None:
        self.__dict__ = dict(chain.__dict__)
        self.status: Callable[[OnChainStatus], OnChainStatus] = lambda status: status
        self.seats: Callable[[list[Operator]], list[Operator]] = lambda seats: seats
        self.hash: Callable[[Block], Block] = lambda block: block
        self.calldata: Callable[[bytes], bytes] = lambda data: data

    def status_of(self, request_id: Bytes32) -> OnChainStatus:
        return self.status(super().status_of(request_id))

    def operators(self, block_number: int | None = None) -> list[Operator]:
        return self.seats(super().operators(block_number))

    def block(self, which: int | BlockTag) -> Block | None:
        found = super().block(which)
        return None if found is None else self.hash(found)

    def transaction_data(self, transaction: Bytes32) -> tuple[Address | None, bytes] | None:
        found = super().transaction_data(transaction)
        return None if found is None else (found[0], self.calldata(found[1]))


# ---- from the chain --------------------------------------------------------------------------------------------------------------------
def test_a_delivered_answer_is_verified_to_the_signatures(net: Network) -> None:
    asked = delivered(net)
    verified = verify_on_chain(net.chain, asked.request_id, no_proof)
    assert (verified.output, verified.model_id, verified.requester) == (OUTPUT, net.digits, asked.request.requester)
    assert verified.policy == Policy(quorum=2)
    assert [o.signer for o in verified.signers] == [o.address for o in OPERATORS[:2]]
    claim = Claim(asked.request_id, net.digits, asked.request.input_digest, keccak256(OUTPUT))
    assert verified.claim_digest == compute_claim_digest(claim, net.chain.domain)
    assert (verified.checked, verified.unchecked, verified.is_complete) == (("quorum",), (), True)


def test_what_was_not_delivered_is_no_answer(net: Network) -> None:
    asked = net.asked()
    net.desk.submit(asked)
    with pytest.raises(RequestUnknown, match="delivered"):
        verify_on_chain(net.chain, asked.request_id, no_proof)


def test_a_pending_answer_is_none_yet(net: Network) -> None:
    asked = delivered(net, policy=pack_policy(Policy(2, window_seconds=600)))
    with pytest.raises(EvidenceRejected, match="expected FINAL, got PENDING, pending until"):
        verify_on_chain(net.chain, asked.request_id, no_proof)


def test_depth_counts(net: Network) -> None:
    asked = delivered(net)
    with pytest.raises(EvidenceRejected, match="3 blocks deep"):
        verify_on_chain(net.chain, asked.request_id, no_proof, confirmations=3)
    net.chain.mine(3)
    assert verify_on_chain(net.chain, asked.request_id, no_proof, confirmations=3).output == OUTPUT


def test_a_delivery_whose_block_is_not_the_chains_is_none(net: Network) -> None:
    asked, told = delivered(net), Told(net.chain)
    told.hash = lambda block: replace(block, hash=Bytes32(keccak256(block.hash)))
    with pytest.raises(EvidenceRejected, match="reorganised"):
        verify_on_chain(told, asked.request_id, no_proof)


def test_signatures_count_only_from_the_seats_of_that_block(net: Network) -> None:
    asked, told = delivered(net), Told(net.chain)
    stranger = Address(Account.create().address)
    for lie, why in (
        (lambda seats: [replace(o, signer=stranger) if o.index == 1 else o for o in seats], "signature of operator 1"),
        (lambda seats: [replace(o, is_active=False) if o.index == 1 else o for o in seats], "an active operator"),
        (lambda seats: [o for o in seats if o.index != 0], "an active operator"),
    ):
        told.seats = lie
        with pytest.raises(EvidenceRejected, match=why):
            verify_on_chain(told, asked.request_id, no_proof)


def test_every_byte_of_the_signatures_counts(net: Network) -> None:
    """Whatever byte of the two signatures is changed: the quorum is not there any more."""
    asked, told = delivered(net), Told(net.chain)
    honest = net.chain.transaction_data(net.chain.delivery_of(asked.request_id).transaction)  # type: ignore[union-attr]
    assert honest is not None
    (carried,) = net.chain.deliveries_in(honest[1])
    data = carried.evidence[0].data
    for at in range(32, len(data), 13):
        wrong = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        told.calldata = lambda calldata, wrong=wrong: calldata.replace(data, wrong)
        with pytest.raises(EvidenceRejected):
            verify_on_chain(told, asked.request_id, no_proof)


def test_calldata_of_another_request_shows_nothing_and_is_said(net: Network) -> None:
    """Then only the Coprocessor's word is left, and the answer is not complete."""
    asked, told = delivered(net), Told(net.chain)
    fee = asked.request.fee_wei.to_bytes(32, "big")
    told.calldata = lambda calldata: calldata.replace(fee, (asked.request.fee_wei + 1).to_bytes(32, "big"))
    verified = verify_on_chain(told, asked.request_id, no_proof)
    assert (verified.checked, verified.is_complete, verified.policy) == ((), False, None)
    assert "another contract" in verified.unchecked[0]
    with pytest.raises(EvidenceRejected, match="policy of the answer"):
        require_answers(verified, None, Policy(quorum=2))


def test_evidence_of_another_kind_is_shown_to_the_deployments_own_verifier(net: Network) -> None:
    """Asked as the Coprocessor asked it, in the state of that block; a refusal is one, and a verifier that is gone leaves it unchecked."""
    asked, told = delivered(net), Told(net.chain)
    other, seen = bytes.fromhex("aabbccdd"), []
    told.calldata = lambda calldata: calldata.replace(QUORUM_ECDSA_SELECTOR, other)

    def accept(question: Question) -> tuple[Address, ...]:
        seen.append(question)
        return (net.chain.operators()[1].operator,)

    verified = verify_on_chain(told, asked.request_id, accept)
    assert (verified.checked, verified.is_complete) == (("quorum",), True)
    assert [o.index for o in verified.signers] == [1]
    (question,) = seen
    assert (question.kind, question.evidence.selector, question.policy) == (1, other, asked.request.policy)
    assert (question.output, question.block_number) == (OUTPUT, verified.block_number)
    assert question.claim == Claim(asked.request_id, net.digits, asked.request.input_digest, keccak256(OUTPUT))

    def refuse(question: Question) -> tuple[Address, ...]:
        raise EvidenceRejected("evidence", "some that holds", "this")

    with pytest.raises(EvidenceRejected, match="some that holds"):
        verify_on_chain(told, asked.request_id, refuse)
    gone = verify_on_chain(told, asked.request_id, no_proof)
    assert (gone.checked, gone.is_complete, gone.unchecked) == ((), False, ("quorum: nobody to ask in these tests",))


def test_the_contracts_digest_counts(net: Network) -> None:
    asked, told = delivered(net), Told(net.chain)
    told.status = lambda status: replace(status, status=RequestStatus.REFUNDED)
    with pytest.raises(EvidenceRejected, match="REFUNDED"):
        verify_on_chain(told, asked.request_id, no_proof)


def test_an_answer_of_another_model_or_policy_is_not_the_one_asked_for(net: Network) -> None:
    verified = verify_on_chain(net.chain, delivered(net).request_id, no_proof)
    require_answers(verified, net.digits, Policy(quorum=2))
    with pytest.raises(EvidenceRejected, match="model of the answer"):
        require_answers(verified, keccak256(b"another"), None)
    with pytest.raises(EvidenceRejected, match="policy of the answer"):
        require_answers(verified, None, Policy(quorum=1))


# ---- what the API says ------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def told(net: Network) -> tuple[Verified, dict[str, Any]]:
    asked = delivered(net)
    receipt: dict[str, Any] = TestClient(net.app).get(f"/v1/requests/{to_hex(asked.request_id)}/receipt").json()
    return verify_on_chain(net.chain, asked.request_id, no_proof), receipt


def test_a_true_receipt_is_what_was_verified(told: tuple[Verified, dict[str, Any]]) -> None:
    compare_receipt(*told)


LIES: dict[str, Any] = {
    "request_id": "0x" + "11" * 32,
    "model_id": "0x" + "11" * 32,
    "transaction": "0x" + "11" * 32,
    "block_number": 1,
    "block_hash": "0x" + "11" * 32,
    "status": "PENDING",
    "callback": "SUCCEEDED",
    "output": "0x0000",
    "output_digest": "0x" + "11" * 32,
    "signers": [],
    "prover": "0x" + "11" * 20,
    "replaced": {"transaction": "0x" + "11" * 32},
}


@pytest.mark.parametrize("name", LIES)
def test_every_lie_of_a_receipt_is_found_by_name(name: str, told: tuple[Verified, dict[str, Any]]) -> None:
    verified, receipt = told
    with pytest.raises(EvidenceRejected, match=f"receipt of the API, {name}"):
        compare_receipt(verified, receipt | {name: LIES[name]})
    absent = {"replaced": 1, "prover": "0x"}  # where nothing was proven or replaced, a field that is not there says so as well
    with pytest.raises(EvidenceRejected, match="receipt of the API"):
        compare_receipt(verified, {k: v for k, v in receipt.items() if k != name} | ({name: absent[name]} if name in absent else {}))


@pytest.mark.parametrize("field", ["index", "operator", "signer"])
def test_every_word_about_a_signer_is_held_against_the_registry(field: str, told: tuple[Verified, dict[str, Any]]) -> None:
    verified, receipt = told
    first, *others = receipt["signers"]
    with pytest.raises(EvidenceRejected, match="receipt of the API, signers"):
        compare_receipt(verified, receipt | {"signers": [first | {field: 77 if field == "index" else "0x" + "11" * 20}, *others]})


# ---- what the log says ------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def logged(net: Network) -> tuple[Bytes32, dict[str, Any], VerifierKey]:
    asked = net.asked()
    net.desk.submit(asked)
    net.log_intent(asked)
    net.log_intent(net.asked(nonce=(1 << 128) + 99))
    answer: dict[str, Any] = TestClient(net.app).get(f"/v1/requests/{to_hex(asked.request_id)}/proof").json()
    return asked.request_id, answer, net.desk.log_key


def test_entries_are_proven_under_the_logs_own_key(logged: tuple[Bytes32, dict[str, Any], VerifierKey]) -> None:
    request_id, answer, key = logged
    evidence = verify_logged(request_id, answer, key)
    (entry,) = evidence.entries
    assert (entry.kind, entry.record.request_id) == ("intent", request_id)
    assert evidence.checkpoint.size == 2


def _change(answer: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    changed = copy.deepcopy(answer)
    change(changed)
    return changed


LOG_LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "another request": lambda a: a.update(request_id="0x" + "11" * 32),
    "another index": lambda a: a["entries"][0].update(index=1),
    "another kind": lambda a: a["entries"][0].update(kind="result"),
    "another record": lambda a: a["entries"][0]["record"].update(time="2020-01-01T00:00:00.000000Z"),
    "a record more": lambda a: a["entries"].append(a["entries"][0]),
    "another signature": lambda a: a.update(checkpoint=a["checkpoint"][:-4] + "AAA\n"),
    "another root": lambda a: a.update(checkpoint=a["checkpoint"].replace("\n2\n", "\n3\n")),
    "a proof of another tree": lambda a: a["entries"][0].update(tlog_proof=a["entries"][0]["tlog_proof"].replace("index 0", "index 1")),
    "no proof": lambda a: a["entries"][0].update(tlog_proof=""),
    "a proof that is no text": lambda a: a["entries"][0].update(tlog_proof=7),
    "a field more": lambda a: a.update(more=1),
    "no entries": lambda a: a.update(entries=None),
}


@pytest.mark.parametrize("lie", LOG_LIES)
def test_every_lie_about_the_log_is_found(lie: str, logged: tuple[Bytes32, dict[str, Any], VerifierKey]) -> None:
    request_id, answer, key = logged
    with pytest.raises(Rejected):
        verify_logged(request_id, _change(answer, LOG_LIES[lie]), key)


def test_another_logs_key_and_another_request_are_refused(logged: tuple[Bytes32, dict[str, Any], VerifierKey]) -> None:
    request_id, answer, key = logged
    with pytest.raises(Rejected):
        verify_logged(request_id, answer, generate_key(key.name).verifier)
    with pytest.raises(Rejected):
        verify_logged(keccak256(b"another"), answer | {"request_id": to_hex(keccak256(b"another"))}, key)
