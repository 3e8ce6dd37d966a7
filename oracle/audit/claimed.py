"""Step 5 of an audit: request id, model id and claim digests are those of the recomputed structs, and the request was really made."""

from __future__ import annotations

from oracle.audit.call import Call, ClaimChecks, find_delivery, read_block_number
from oracle.audit.entries import read_claim, read_request
from oracle.audit.report import StepRecorder, require_equal
from oracle.audit.view import LoggedRecord
from oracle.encoding import compute_claim_digest, compute_model_id, compute_request_id, to_hex
from oracle.errors import EntryRejected, Rejected
from oracle.records import Address, Bytes32, Claim, EntryKind, Request


def audit_claim(call: Call, steps: StepRecorder, checks: ClaimChecks) -> str:
    """What step 5 found, in words. Raises Rejected."""
    domain, request = call.chain.domain, call.request
    for logged in call.records:
        _audit_call_fields(call, logged)
    for logged in call.of_kind(EntryKind.INTENT):
        _audit_source(logged, request)
        require_equal(f"request id of entry {logged.index}", call.request_id, compute_request_id(read_request(logged.record), domain))
    _audit_model(call)
    claims = [logged for logged in call.records if "audit.claim_digest" in logged.record.fields]
    for logged in claims:
        _audit_claim_of(call, logged)
    for logged in call.records:
        if logged.record.kind is EntryKind.RESULT or "audit.intent.index" in logged.record.fields:
            _audit_intent_link(call, logged)
    where = _audit_signed_request(call, steps, checks) if request.is_signed_off_chain else _audit_chain_request(call)
    return f"request {where}; model {to_hex(request.model_id)} is registered; {len(claims)} claim digests recomputed"


def _audit_call_fields(call: Call, logged: LoggedRecord) -> None:
    """What every record of a call repeats is the same in each: a reader of one record alone is told the truth."""
    domain, request = call.chain.domain, call.request
    expected = {
        "audit.chain_id": domain.chain_id,
        "audit.coprocessor": domain.coprocessor,
        "audit.model_id": to_hex(request.model_id),
        "audit.input_digest": to_hex(request.input_digest),
        "audit.policy": to_hex(request.policy),
    }
    for name in expected.keys() & logged.record.fields.keys():
        require_equal(f"{name} of entry {logged.index}", expected[name], logged.record.fields[name])


def _audit_source(intent: LoggedRecord, request: Request) -> None:
    source = "signed" if request.is_signed_off_chain else "chain"
    require_equal(f"source of entry {intent.index}", source, intent.record.text("audit.request.source"))


def _audit_model(call: Call) -> None:
    model_id = call.request.model_id
    model = call.chain.model(model_id)
    if model is None:
        raise Rejected(f"model {to_hex(model_id)}", "a registered model", "none on chain")
    require_equal("model id", model_id, compute_model_id(model.kind, model.manifest_digest, model.circuit_digest, model.parameters))


def _audit_claim_of(call: Call, logged: LoggedRecord) -> None:
    claim, request = read_claim(logged.record), call.request
    expected = Claim(call.request_id, request.model_id, request.input_digest, claim.output_digest)
    require_equal(f"claim of entry {logged.index}", expected, claim)
    digest = compute_claim_digest(claim, call.chain.domain)
    require_equal(f"claim digest of entry {logged.index}", digest, logged.record.digest("audit.claim_digest"))


def _audit_intent_link(call: Call, logged: LoggedRecord) -> None:
    index, leaf_hash = logged.record.integer("audit.intent.index"), logged.record.digest("audit.intent.leaf_hash")
    intents = {i.index: i for i in call.of_kind(EntryKind.INTENT)}
    intent = intents.get(index)
    if intent is None or intent.leaf_hash != leaf_hash or index > logged.index or intent.record.writer != logged.record.writer:
        raise EntryRejected(f"intent of entry {logged.index}", "an earlier intent record of this call by the same writer", f"entry {index}")


def _audit_chain_request(call: Call) -> str:
    """At least one intent names a canonical block with the request; others may have seen a block that was reorganised away."""
    places = []
    for logged in call.of_kind(EntryKind.INTENT):
        number, block_hash = read_block_number(logged), logged.record.digest("audit.request.block_hash")
        block = call.chain.block(number)
        if block is not None and block.hash == block_hash:
            places.append(_audit_asked_in(call, logged, number, block_hash))
    if places:
        return places[0]
    raise EntryRejected("request on chain", "a canonical block in an intent record", "none")


def _audit_asked_in(call: Call, intent: LoggedRecord, number: int, block_hash: Bytes32) -> str:
    events = [a for a in call.chain.requested_in(block_hash) if a.request_id == call.request_id and a.request == call.request]
    if not events:
        raise EntryRejected(f"block {number} of entry {intent.index}", "the event of this request", "none")
    require_equal(f"transaction of entry {intent.index}", events[0].transaction, intent.record.digest("audit.request.transaction"))
    return f"made on chain in block {number}"


def _audit_signed_request(call: Call, steps: StepRecorder, checks: ClaimChecks) -> str:
    """By the requester's key, or as the contract found when it accepted the delivery.

    A contract account is not asked: what it accepts now says nothing about then, and whoever owns it could make audits fail, or hang.
    """
    requester, found = call.request.requester, find_delivery(call)
    accepted = found.delivery.asked.signature if found and found.delivery else None
    shown = _shown_signatures(call)
    if any(signature != accepted and not _is_signed_by(checks, requester, call.request_id, signature) for signature in shown):
        if not call.chain.has_code(requester):
            raise EntryRejected("signature of the request", f"one by {requester}", "another")
        steps.remark(f"the requester {requester} is a contract: whether it accepted the logged signature then cannot be told now")
        return f"accepted on chain as {requester}'s" if found else "signed off chain (by a contract: not checked)"
    if found or shown:
        return f"signed by {requester}"
    steps.remark("the requester's signature is neither shown by the log nor in a delivery: it was not checked")
    return "signed off chain (signature not shown)"


def _is_signed_by(checks: ClaimChecks, account: Address, digest: Bytes32, signature: bytes) -> bool:
    try:
        return checks.recover_signer(digest, signature) == account
    except Rejected:
        return False


def _shown_signatures(call: Call) -> list[bytes]:
    intents, name = call.of_kind(EntryKind.INTENT), "audit.request.signature_digest"
    for logged in intents:
        logged.record.digest(name)  # an intent of a signed request without one is malformed
    return sorted({body for logged in intents if (body := call.view.body(logged, name)) is not None})
