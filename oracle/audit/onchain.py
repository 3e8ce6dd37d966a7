"""Steps 5 to 8 of an audit: what the records of a call say, held against the chain and recomputed.

The stages that sign and check signatures are handed in (`ClaimChecks`), so that the audit uses the very functions whose results it
explains, and this stage imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oracle.audit.entries import read_claim, read_request
from oracle.audit.record import Record
from oracle.audit.report import CLAIM, EXECUTION, RECEIPT, SIGNATURES, StepRecorder, failing_at, require_equal
from oracle.audit.view import LoggedRecord, LogView
from oracle.encoding import compute_claim_digest, compute_model_id, compute_request_id, keccak256, parse_uint, to_hex, unpack_policy
from oracle.errors import EntryRejected, EvidenceRejected, InvariantBroken, Rejected
from oracle.records import (
    Address,
    Asked,
    Bytes32,
    Claim,
    Delivered,
    Delivery,
    EntryKind,
    Evidence,
    Operator,
    Request,
    RequestStatus,
    TransactionReceipt,
)
from oracle.seams import ChainReader

ReExecute = Callable[[Bytes32, bytes], bytes]
"""(model id, input) → output. Raises ModelUnknown where the model's files are not at hand."""


@dataclass(frozen=True, slots=True)
class ClaimChecks:
    """How signatures are judged. Both raise a Rejected (ClaimRejected, EvidenceRejected)."""

    recover_signer: Callable[[Bytes32, bytes], Address]
    verify_quorum: Callable[[Evidence, Bytes32, Sequence[Operator], int], tuple[Operator, ...]]


@dataclass(frozen=True, slots=True)
class _Call:
    """A call's records, with the request they are about."""

    view: LogView
    chain: ChainReader
    request_id: Bytes32
    request: Request
    records: Sequence[LoggedRecord]

    def of_kind(self, kind: EntryKind) -> list[LoggedRecord]:
        return [logged for logged in self.records if logged.record.kind is kind]


@dataclass(frozen=True, slots=True)
class _OnChain:
    """The delivery of a call, as the chain has it."""

    receipt: TransactionReceipt
    event: Delivered
    delivery: Delivery


def audit_on_chain(
    view: LogView,
    steps: StepRecorder,
    chain: ChainReader,
    records: Sequence[LoggedRecord],
    checks: ClaimChecks,
    re_execute: ReExecute | None = None,
) -> None:
    """Steps 5 to 7, and 8 when `re_execute` is given. Raises AuditFailed."""
    with failing_at(CLAIM):
        call = _read_call(view, chain, records)
        steps_detail = _audit_claim(call, steps)
    steps.passed(CLAIM, steps_detail)
    with failing_at(SIGNATURES):
        found = _find_delivery(call)
        _audit_signatures(call, found, steps, checks)
    with failing_at(RECEIPT):
        _audit_receipt(call, found, steps)
    if re_execute is not None:
        with failing_at(EXECUTION):
            _audit_execution(call, found, steps, re_execute)


# ---- step 5 -----------------------------------------------------------------------------------------------------------------------
def _read_call(view: LogView, chain: ChainReader, records: Sequence[LoggedRecord]) -> _Call:
    intents = [logged for logged in records if logged.record.kind is EntryKind.INTENT]
    if not intents:
        raise EntryRejected("call", "an intent record before anything else", "none")
    request_id = intents[0].record.request_id
    if request_id is None:
        raise InvariantBroken("a call without a request id")
    return _Call(view, chain, request_id, read_request(intents[0].record), records)


def _audit_claim(call: _Call, steps: StepRecorder) -> str:
    domain, request = call.chain.domain, call.request
    for logged in call.records:
        _audit_domain(call, logged)
    for logged in call.of_kind(EntryKind.INTENT):
        require_equal(f"request id of entry {logged.index}", call.request_id, compute_request_id(read_request(logged.record), domain))
    _audit_model(call)
    claims = [logged for logged in call.records if "audit.claim_digest" in logged.record.fields]
    for logged in claims:
        _audit_claim_of(call, logged)
    for logged in call.of_kind(EntryKind.RESULT):
        _audit_intent_link(call, logged)
    where = _audit_signed_request(call, steps) if request.is_signed_off_chain else _audit_chain_request(call)
    return f"request {where}; model {to_hex(request.model_id)} is registered; {len(claims)} claim digests recomputed"


def _audit_domain(call: _Call, logged: LoggedRecord) -> None:
    domain = call.chain.domain
    if "audit.chain_id" in logged.record.fields:
        require_equal(f"chain id of entry {logged.index}", domain.chain_id, logged.record.integer("audit.chain_id"))
        require_equal(f"coprocessor of entry {logged.index}", domain.coprocessor, logged.record.text("audit.coprocessor"))


def _audit_model(call: _Call) -> None:
    model_id = call.request.model_id
    model = call.chain.model(model_id)
    if model is None:
        raise Rejected(f"model {to_hex(model_id)}", "a registered model", "none on chain")
    require_equal("model id", model_id, compute_model_id(model.kind, model.manifest_digest, model.circuit_digest))


def _audit_claim_of(call: _Call, logged: LoggedRecord) -> None:
    claim, request = read_claim(logged.record), call.request
    expected = Claim(call.request_id, request.model_id, request.input_digest, claim.output_digest)
    require_equal(f"claim of entry {logged.index}", expected, claim)
    digest = compute_claim_digest(claim, call.chain.domain)
    require_equal(f"claim digest of entry {logged.index}", digest, logged.record.digest("audit.claim_digest"))


def _audit_intent_link(call: _Call, logged: LoggedRecord) -> None:
    index, leaf_hash = logged.record.integer("audit.intent.index"), logged.record.digest("audit.intent.leaf_hash")
    intents = {i.index: i for i in call.of_kind(EntryKind.INTENT)}
    intent = intents.get(index)
    if intent is None or intent.leaf_hash != leaf_hash or index > logged.index or intent.record.writer != logged.record.writer:
        raise EntryRejected(f"intent of entry {logged.index}", "an earlier intent record of this call by the same writer", f"entry {index}")


def _audit_chain_request(call: _Call) -> str:
    """At least one intent names a canonical block with the request; others may have seen a block that was reorganised away."""
    for logged in call.of_kind(EntryKind.INTENT):
        number, block_hash = _asked_in_block(logged), logged.record.digest("audit.request.block_hash")
        block = call.chain.block(number)
        if block is not None and block.hash == block_hash:
            if any(a.request_id == call.request_id and a.request == call.request for a in call.chain.requested_in(block_hash)):
                return f"made on chain in block {number}"
            raise EntryRejected(f"block {number} of entry {logged.index}", "the event of this request", "none")
    raise EntryRejected("request on chain", "a canonical block in an intent record", "none")


def _audit_signed_request(call: _Call, steps: StepRecorder) -> str:
    signature = _request_signature(call)
    if signature is None:
        steps.remark("the requester's signature is neither shown by the log nor in a delivery: it was not checked")
        return "signed off chain (signature not shown)"
    if not call.chain.is_valid_signature(call.request, signature):
        raise EntryRejected("signature of the request", f"one by {call.request.requester}", "another")
    return f"signed by {call.request.requester}"


def _request_signature(call: _Call) -> bytes | None:
    for logged in call.of_kind(EntryKind.INTENT):
        body = call.view.body(logged.record.digest("audit.request.signature_digest"))
        if body is not None:
            return body
    found = _find_delivery(call)
    return found.delivery.asked.signature if found else None


# ---- step 6 -----------------------------------------------------------------------------------------------------------------------
def _find_delivery(call: _Call) -> _OnChain | None:
    """The delivery in the chain, with the item of its calldata that the event came from. Raises Rejected where they contradict."""
    receipt = call.chain.delivery_of(call.request_id)
    if receipt is None:
        return None
    events = [event for event in receipt.delivered if event.request_id == call.request_id]
    sent = call.chain.transaction_data(receipt.transaction)
    if len(events) != 1 or sent is None:
        raise EvidenceRejected(f"transaction {to_hex(receipt.transaction)}", "one delivery of this request", len(events))
    require_equal("contract the delivery was sent to", call.chain.domain.coprocessor, sent[0])
    items = [d for d in call.chain.deliveries_in(sent[1]) if d.asked.request_id == call.request_id and d.output == events[0].output]
    if not items:
        raise EvidenceRejected("calldata of the delivery", "this request with the delivered output", "none")
    return _OnChain(receipt, events[0], items[0])


def _audit_signatures(call: _Call, found: _OnChain | None, steps: StepRecorder, checks: ClaimChecks) -> None:
    recovered = _audit_logged_signatures(call, steps, checks)
    if found is None:
        steps.absent(SIGNATURES, f"not delivered on chain; {recovered} logged claims have their operator's signature")
        return
    digest = compute_claim_digest(found.delivery.claim, call.chain.domain)
    signers = _audit_evidence(call, found, checks, digest)
    for logged in call.of_kind(EntryKind.RECEIPT)[-1:]:
        _audit_logged_signers(logged.record, signers)
    names = ", ".join(f"{operator.index} {operator.signer}" for operator in signers)
    steps.passed(SIGNATURES, f"policy satisfied by operators {names}; {recovered} logged claims have their operator's signature")


def _audit_logged_signatures(call: _Call, steps: StepRecorder, checks: ClaimChecks) -> int:
    """Every claim that was logged with a signature was signed by the signer it names."""
    recovered = 0
    for logged in call.records:
        if "audit.signature_digest" not in logged.record.fields:
            continue
        signature = call.view.body(logged.record.digest("audit.signature_digest"))
        if signature is None:
            continue
        signer = checks.recover_signer(logged.record.digest("audit.claim_digest"), signature)
        require_equal(f"signer of entry {logged.index}", logged.record.text("audit.signer"), signer)
        recovered += 1
        if logged.record.kind is EntryKind.ERROR:
            steps.remark(f"entry {logged.index}: {signer} signed another output than the quorum")
    return recovered


def _audit_evidence(call: _Call, found: _OnChain, checks: ClaimChecks, digest: Bytes32) -> tuple[Operator, ...]:
    policy, evidence = unpack_policy(call.request.policy), found.delivery.evidence
    require_equal("pieces of evidence", bool(policy.quorum) + policy.proof + policy.enclave, len(evidence))
    if policy.proof or policy.enclave:
        kind = "proof" if policy.proof else "enclave"
        raise EvidenceRejected(f"evidence of kind {kind}", "a kind this version can verify", kind)
    return checks.verify_quorum(evidence[0], digest, _operators_around(call.chain, found.receipt.block_number), policy.quorum)


def _operators_around(chain: ChainReader, block_number: int) -> list[Operator]:
    """Operators active in the delivery's block or just before it: one who leaves later in the same block was still one."""
    after = {operator.index: operator for operator in chain.operators(block_number)}
    before = {operator.index: operator for operator in chain.operators(block_number - 1)} if block_number else {}
    return [_active_of(before.get(index), after.get(index)) for index in sorted(before.keys() | after.keys())]


def _active_of(before: Operator | None, after: Operator | None) -> Operator:
    candidates = [operator for operator in (after, before) if operator is not None]
    return next((operator for operator in candidates if operator.is_active), candidates[0])


def _audit_logged_signers(record: Record, signers: tuple[Operator, ...]) -> None:
    logged = record.fields.get("audit.signers")
    require_equal(
        "signers in the receipt record", sorted(o.signer for o in signers), sorted(logged) if isinstance(logged, list) else logged
    )


# ---- step 7 -----------------------------------------------------------------------------------------------------------------------
def _audit_receipt(call: _Call, found: _OnChain | None, steps: StepRecorder) -> None:
    receipts, status = call.of_kind(EntryKind.RECEIPT), call.chain.status_of(call.request_id)
    if found is None:
        if receipts or status.status in (RequestStatus.PENDING, RequestStatus.FINAL):
            raise EntryRejected("delivery on chain", "one, as logged or as the contract says", "none")
        steps.absent(RECEIPT, f"not delivered; the contract says {status.status.name}")
        return
    if not receipts:
        raise EntryRejected("records of a delivered call", "a receipt record", "none")
    _audit_event(call, found)
    require_equal("output digest in the contract", found.event.output_digest, status.output_digest)
    _audit_receipt_record(receipts[-1], found)
    event, receipt = found.event, found.receipt
    where = f"transaction {to_hex(receipt.transaction)} in block {receipt.block_number}"
    steps.passed(RECEIPT, f"{where}; callback {event.callback.name.lower()}; the contract says {status.status.name}")


def _audit_event(call: _Call, found: _OnChain) -> None:
    block = call.chain.block(found.receipt.block_number)
    require_equal("canonical block of the delivery", found.receipt.block_hash, block.hash if block else None)
    require_equal("success of the delivery's transaction", True, found.receipt.succeeded)
    require_equal("output digest in the event", keccak256(found.event.output), found.event.output_digest)
    require_equal("claim delivered", found.event.output_digest, found.delivery.claim.output_digest)
    require_equal("model in the event", call.request.model_id, found.event.model_id)
    require_equal("requester in the event", call.request.requester, found.event.requester)
    digests = {logged.record.digest("audit.output_digest") for logged in call.of_kind(EntryKind.RESULT)}
    require_equal("a result record with the delivered output", True, found.event.output_digest in digests)


def _audit_receipt_record(logged: LoggedRecord, found: _OnChain) -> None:
    record, where = logged.record, f"of receipt record {logged.index}"
    require_equal(f"transaction {where}", found.receipt.transaction, record.digest("audit.transaction"))
    require_equal(f"block {where}", found.receipt.block_hash, record.digest("audit.block_hash"))
    require_equal(f"block number {where}", found.receipt.block_number, record.integer("audit.block_number"))
    require_equal(f"output digest {where}", found.event.output_digest, record.digest("audit.output_digest"))
    require_equal(f"callback {where}", found.event.callback.name.lower(), record.text("audit.callback"))
    require_equal(f"gas {where}", found.receipt.gas_used, record.integer("audit.gas_used"))


# ---- step 8 -----------------------------------------------------------------------------------------------------------------------
def _audit_execution(call: _Call, found: _OnChain | None, steps: StepRecorder, re_execute: ReExecute) -> None:
    data = _find_input(call, found)
    if data is None:
        steps.absent(EXECUTION, "the input is neither shown by the log nor on chain")
        return
    results = call.of_kind(EntryKind.RESULT)
    if found is None and not results:
        steps.absent(EXECUTION, "no output was logged or delivered to compare with")
        return
    expected = found.event.output_digest if found else results[-1].record.digest("audit.output_digest")
    digest = keccak256(re_execute(call.request.model_id, data))
    require_equal("output of the re-executed model", expected, digest)
    steps.passed(EXECUTION, f"the model gives the output with digest {to_hex(digest)} again")


def _find_input(call: _Call, found: _OnChain | None) -> bytes | None:
    """The input, from wherever it is shown: the digest in the request decides what counts."""
    wanted = call.request.input_digest
    body = call.view.body(wanted)
    if body is not None:
        return body
    if found is not None and keccak256(found.delivery.asked.input) == wanted:
        return found.delivery.asked.input
    asked = [a for a in _asked_on_chain(call) if a.request_id == call.request_id]
    return asked[0].input if asked else None


def _asked_on_chain(call: _Call) -> list[Asked]:
    if call.request.is_signed_off_chain:
        return []
    block = call.chain.block(_asked_in_block(call.of_kind(EntryKind.INTENT)[0]))
    return call.chain.requested_in(block.hash) if block is not None else []


def _asked_in_block(intent: LoggedRecord) -> int:
    return parse_uint(intent.record.integer("audit.request.block_number"), f"block number of entry {intent.index}", 64)
