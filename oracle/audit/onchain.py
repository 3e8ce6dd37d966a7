"""Steps 5 to 8 of an audit: what the records of a call say, held against the chain and recomputed.

The stages that sign and check signatures are handed in (`ClaimChecks`), so that the audit uses the very functions whose results it
explains, and this stage imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oracle.audit.call import Call, ClaimChecks, OnChain, find_delivery, open_call, read_block_number
from oracle.audit.claimed import audit_claim
from oracle.audit.late import is_late
from oracle.audit.record import Record
from oracle.audit.report import CLAIM, EXECUTION, RECEIPT, SIGNATURES, StepRecorder, failing_at, require_equal
from oracle.audit.view import LoggedRecord, LogView
from oracle.encoding import (
    ENCLAVE_SELECTOR,
    QUORUM_BLS_SELECTOR,
    compute_claim_digest,
    keccak256,
    parse_address,
    to_hex,
    unpack_policy,
)
from oracle.errors import EntryRejected, EvidenceRejected, ModelUnknown
from oracle.records import (
    Address,
    Asked,
    Bytes32,
    Delivery,
    EntryKind,
    Evidence,
    Operator,
    RequestStatus,
)
from oracle.seams import ChainReader

SIMULATED_PLATFORM = 255
"""EnclaveRegistry.sol"""

ReExecute = Callable[[Bytes32, bytes], bytes]
"""(model id, input) → output. Raises ModelUnknown where the model's files are not at hand."""


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
        call = open_call(view, chain, records)
        steps_detail = audit_claim(call, steps, checks)
    steps.passed(CLAIM, steps_detail)
    with failing_at(SIGNATURES):
        found = find_delivery(call)
        _audit_signatures(call, found, steps, checks)
    with failing_at(RECEIPT):
        _audit_receipt(call, found, steps)
    if re_execute is not None:
        with failing_at(EXECUTION):
            _audit_execution(call, found, steps, re_execute)


# ---- step 6 -----------------------------------------------------------------------------------------------------------------------
def _audit_signatures(call: Call, found: OnChain | None, steps: StepRecorder, checks: ClaimChecks) -> None:
    recovered = _audit_logged_signatures(call, steps, checks)
    if found is None:
        steps.absent(SIGNATURES, f"not delivered on chain; {recovered} logged claims have their operator's signature")
        return
    signers = _audit_quorum(call, found, found.delivery, checks) if found.delivery else ()
    for logged in call.of_kind(EntryKind.RECEIPT)[-1:]:
        _audit_logged_evidence(logged.record, signers, found.delivery.evidence if found.delivery else ())
    if found.delivery is None:
        steps.absent(SIGNATURES, "delivered through another contract: the Coprocessor accepted its evidence, its calldata does not show it")
        return
    by = [f"operators {', '.join(f'{operator.index} {operator.signer}' for operator in signers)}"] if signers else []
    logged_claims = f"{recovered} logged claims have their operator's signature"
    if unpack_policy(call.request.policy).proof:
        prover = _audit_proof(call, found, found.delivery, checks)
        if prover is None:
            told = f"; satisfied by {by[0]}" if by else ""
            steps.absent(SIGNATURES, f"the proof was NOT verified here: it needs the model's files and the input{told}; {logged_claims}")
            return
        by.append(f"a proof made for {prover}, verified again here")
    if unpack_policy(call.request.policy).enclave:
        by.append(_audit_enclave(call, found, found.delivery, checks))
    steps.passed(SIGNATURES, f"policy satisfied by {' and '.join(by)}; {logged_claims}")


def _audit_logged_signatures(call: Call, steps: StepRecorder, checks: ClaimChecks) -> int:
    """Every claim that was logged with a signature was signed by the signer it names. Returns how many of them are operators'."""
    recovered = 0
    for logged in call.records:
        if logged.record.kind is not EntryKind.RESULT and "audit.signature_digest" not in logged.record.fields:
            continue
        if logged.record.kind is EntryKind.ERROR:
            _audit_minority(logged)
        logged.record.digest("audit.signature_digest")  # a claim without one is malformed
        signature = call.view.body(logged, "audit.signature_digest")
        signer = _signer_of(logged)
        if signature is not None:
            require_equal(
                f"signer of entry {logged.index}", signer, checks.recover_signer(logged.record.digest("audit.claim_digest"), signature)
            )
        if call.chain.operator_of(signer) is None:
            steps.remark(f"entry {logged.index}: {signer} was never an operator's key, its claim counts for nothing")
        elif signature is not None:
            recovered += 1
            if logged.record.kind is EntryKind.ERROR:
                steps.remark(f"entry {logged.index}: {signer} signed another output than the quorum")
    return recovered


def _signer_of(logged: LoggedRecord) -> Address:
    return parse_address(logged.record.fields.get("audit.signer"), f"signer of entry {logged.index}")


def _audit_minority(logged: LoggedRecord) -> None:
    """An accusation is about another output than the one that was agreed on. That this one was delivered is for step 7."""
    signed, agreed = logged.record.digest("audit.output_digest"), logged.record.digest("audit.agreed_output_digest")
    if signed == agreed:
        raise EntryRejected(f"minority claim of entry {logged.index}", "another output than the agreed one", to_hex(signed))


def _audit_quorum(call: Call, found: OnChain, delivery: Delivery, checks: ClaimChecks) -> tuple[Operator, ...]:
    """The signers, where a quorum is demanded; that there are exactly the demanded pieces is checked always."""
    policy, evidence = unpack_policy(call.request.policy), delivery.evidence
    digest = compute_claim_digest(delivery.claim, call.chain.domain)
    require_equal("pieces of evidence", bool(policy.quorum) + policy.proof + policy.enclave, len(evidence))
    if not policy.quorum:
        return ()
    return checks.verify_quorum(evidence[0], digest, _operators_around(call.chain, found.receipt.block_number), policy.quorum)


def _audit_proof(call: Call, found: OnChain, delivery: Delivery, checks: ClaimChecks) -> Address | None:
    """Whom the proof names, once it was verified here; None where that takes files or an input that are not at hand."""
    data = _find_input(call, found)
    if data is None:
        return None
    try:
        return checks.verify_proof(delivery.claim, data, delivery.output, delivery.evidence[-1])
    except ModelUnknown:
        return None


def _audit_enclave(call: Call, found: OnChain, delivery: Delivery, checks: ClaimChecks) -> str:
    """Whose enclave signed, in words: by a key that was registered, not expired and not revoked, of an operator who was active.

    The registry is read in the delivery's block and just before it, as the operators are. That the hardware was genuine, operators attested
    to when the key was registered; the chain keeps their finding and not their evidence.
    """
    evidence, number = delivery.evidence[-1], found.receipt.block_number
    if evidence.selector != ENCLAVE_SELECTOR:
        raise EvidenceRejected("evidence selector", to_hex(ENCLAVE_SELECTOR), to_hex(evidence.selector))
    address = checks.recover_signer(compute_claim_digest(delivery.claim, call.chain.domain), evidence.data)
    states = [call.chain.enclave_key(address, at) for at in ((number, number - 1) if number else (number,))]
    valid = next((key for key in states if key is not None and not key.is_revoked), None)
    if valid is None:
        raise EvidenceRejected("key of the enclave", "one that is registered and not revoked", address)
    block = call.chain.block(number)
    if block is None or block.timestamp >= valid.expires_at:
        raise EvidenceRejected("key of the enclave", f"one used before {valid.expires_at}", f"block {number}")
    if not any(o.operator == valid.operator and o.is_active for o in _operators_around(call.chain, number)):
        raise EvidenceRejected("operator of the enclave", "an active one", valid.operator)
    is_simulated = valid.platform == SIMULATED_PLATFORM
    if is_simulated and not unpack_policy(call.request.policy).simulated:
        raise EvidenceRejected("enclave", "one in hardware, as the policy demands", "a simulated one")
    return f"{'a SIMULATED' if is_simulated else 'an'} enclave of {valid.operator}, key {address}"


def _operators_around(chain: ChainReader, block_number: int) -> list[Operator]:
    """Operators in the delivery's block and just before it: one who leaves or changes keys later in the same block counted as before."""
    return chain.operators(block_number) + (chain.operators(block_number - 1) if block_number else [])


def _audit_logged_evidence(record: Record, signers: tuple[Operator, ...], evidence: Sequence[Evidence]) -> None:
    logged = record.fields.get("audit.signers")
    require_equal(
        "signers in the receipt record", sorted(_names(signers, evidence)), sorted(logged) if isinstance(logged, list) else logged
    )
    digests, selectors = [to_hex(keccak256(e.data)) for e in evidence], [to_hex(e.selector) for e in evidence]
    require_equal("evidence in the receipt record", digests, record.fields.get("audit.evidence_digests"))
    require_equal("selectors in the receipt record", selectors, record.fields.get("audit.evidence_selectors"))


def _names(signers: tuple[Operator, ...], evidence: Sequence[Evidence]) -> list[Address]:
    """How the relay names signers: by their signing keys, which ECDSA shows; by their accounts, where a BLS signature shows no address."""
    is_bls = any(e.selector == QUORUM_BLS_SELECTOR for e in evidence)
    return [o.operator if is_bls else o.signer for o in signers]


# ---- step 7 -----------------------------------------------------------------------------------------------------------------------
def _audit_receipt(call: Call, found: OnChain | None, steps: StepRecorder) -> None:
    receipts, status = call.of_kind(EntryKind.RECEIPT), call.chain.status_of(call.request_id)
    if found is None:
        if any(_is_final(logged) for logged in receipts) or status.status in (RequestStatus.PENDING, RequestStatus.FINAL):
            raise EntryRejected("delivery on chain", "one, as logged or as the contract says", "none")
        _remark_vanished(steps, receipts)
        steps.absent(RECEIPT, f"not delivered; the contract says {status.status.name}")
        return
    if not receipts:
        raise EntryRejected("records of a delivered call", "a receipt record", "none")
    _audit_event(call, found, receipts[-1].index)
    if found.replaced is not None:
        require_equal("output that a challenge replaced", found.event.output_digest, found.replaced.replaced_digest)
        steps.remark(f"a challenge or a committee put {to_hex(found.replaced.output_digest)} in the place of the delivered output")
    if status.status is RequestStatus.REFUNDED:  # of a delivered request: by a committee that agreed on nothing
        require_equal("output digest in the contract", Bytes32(bytes(32)), status.output_digest)
        steps.remark("a committee took the delivered output back, and the fee with it: nothing counts")
    else:
        require_equal("output digest in the contract", found.output_digest, status.output_digest)
    stale = [r for r in receipts[:-1] if not _is_final(r) and r.record.digest("audit.block_hash") != found.receipt.block_hash]
    for logged in receipts:
        if logged not in stale:
            _audit_receipt_record(logged, found)
    _remark_vanished(steps, stale)
    event, receipt = found.event, found.receipt
    where = f"transaction {to_hex(receipt.transaction)} in block {receipt.block_number}"
    steps.passed(RECEIPT, f"{where}; callback {event.callback.name.lower()}; the contract says {status.status.name}")


def _is_final(receipt: LoggedRecord) -> bool:
    """Whether a receipt record is held to be true for ever. One written as soon as the block was seen may tell of a block that vanished."""
    return receipt.record.fields.get("audit.finality") != "mined"


def _remark_vanished(steps: StepRecorder, receipts: Sequence[LoggedRecord]) -> None:
    for logged in receipts:
        steps.remark(f"entry {logged.index} tells of a delivery in a block that the chain does not have (reorganised away?)")


def _audit_event(call: Call, found: OnChain, receipt_index: int) -> None:
    block = call.chain.block(found.receipt.block_number)
    require_equal("canonical block of the delivery", found.receipt.block_hash, block.hash if block else None)
    require_equal("success of the delivery's transaction", True, found.receipt.succeeded)
    require_equal("output digest in the event", keccak256(found.event.output), found.event.output_digest)
    if found.delivery is not None:
        require_equal("claim delivered", found.event.output_digest, found.delivery.claim.output_digest)
    require_equal("model in the event", call.request.model_id, found.event.model_id)
    require_equal("requester in the event", call.request.requester, found.event.requester)
    for logged in call.records:
        if "audit.agreed_output_digest" in logged.record.fields:
            agreed = logged.record.digest("audit.agreed_output_digest")
            require_equal(f"agreed output of entry {logged.index}", found.event.output_digest, agreed)
    results = call.of_kind(EntryKind.RESULT)
    before = [logged for logged in results if logged.index < receipt_index or is_late(logged.record.fields)]  # late ones are remarked on
    same = [logged for logged in before if logged.record.digest("audit.output_digest") == found.event.output_digest]
    is_logged = any(call.chain.operator_of(_signer_of(logged)) is not None for logged in same)
    require_equal("an operator's result record with the delivered output before the receipt", True, is_logged)


def _audit_receipt_record(logged: LoggedRecord, found: OnChain) -> None:
    record, where = logged.record, f"of receipt record {logged.index}"
    require_equal(f"transaction {where}", found.receipt.transaction, record.digest("audit.transaction"))
    require_equal(f"block {where}", found.receipt.block_hash, record.digest("audit.block_hash"))
    require_equal(f"block number {where}", found.receipt.block_number, record.integer("audit.block_number"))
    require_equal(f"output digest {where}", found.event.output_digest, record.digest("audit.output_digest"))
    require_equal(f"callback {where}", found.event.callback.name.lower(), record.text("audit.callback"))
    require_equal(f"gas {where}", found.receipt.gas_used, record.integer("audit.gas_used"))


# ---- step 8 -----------------------------------------------------------------------------------------------------------------------
def _audit_execution(call: Call, found: OnChain | None, steps: StepRecorder, re_execute: ReExecute) -> None:
    data = _find_input(call, found)
    if data is None:
        steps.absent(EXECUTION, "the input is neither shown by the log nor on chain")
        return
    results = call.of_kind(EntryKind.RESULT)
    if found is None and not results:
        steps.absent(EXECUTION, "no output was logged or delivered to compare with")
        return
    expected = found.output_digest if found else results[-1].record.digest("audit.output_digest")
    digest = keccak256(re_execute(call.request.model_id, data))
    require_equal("output of the re-executed model", expected, digest)
    steps.passed(EXECUTION, f"the model gives the output with digest {to_hex(digest)} again")


def _find_input(call: Call, found: OnChain | None) -> bytes | None:
    """The input, from wherever it is shown: the digest in the request decides what counts."""
    wanted = call.request.input_digest
    shown = (call.view.body(logged, "audit.input_digest") for logged in call.of_kind(EntryKind.INTENT))
    body = next((body for body in shown if body is not None and keccak256(body) == wanted), None)
    if body is not None:
        return body
    if found is not None and found.delivery is not None and keccak256(found.delivery.asked.input) == wanted:
        return found.delivery.asked.input
    asked = [a for a in _asked_on_chain(call) if a.request_id == call.request_id]
    return asked[0].input if asked else None


def _asked_on_chain(call: Call) -> list[Asked]:
    if call.request.is_signed_off_chain:
        return []
    block = call.chain.block(read_block_number(call.of_kind(EntryKind.INTENT)[0]))
    return call.chain.requested_in(block.hash) if block is not None else []
