"""Builders: from the nouns of a call to the entry the log keeps of it. One function for each thing that happens.

Amounts and nonces (uint256) are decimal strings, digests and addresses hex, everything else an integer or a word. Bodies travel with
the entry and are stored apart, addressed by the keccak-256 digest that stands in the field of the same name.
"""

from __future__ import annotations

from datetime import datetime

from oracle.audit.record import Field, Record
from oracle.encoding import compute_claim_digest, keccak256, parse_address, parse_uint, to_hex
from oracle.errors import EntryRejected, MalformedInput
from oracle.records import (
    Anchor,
    Appended,
    Asked,
    Claim,
    Delivery,
    Domain,
    Entry,
    EntryKind,
    Inference,
    Receipt,
    Request,
    SignedClaim,
)
from oracle.seams import format_time

OPERATION = "inference"
PROVIDER = "affidavit"


def _call_fields(asked: Asked, domain: Domain, actor: str) -> dict[str, Field]:
    """What every record of a call carries."""
    request = asked.request
    return {
        "audit.actor": actor,
        "audit.chain_id": domain.chain_id,
        "audit.coprocessor": domain.coprocessor,
        "audit.input_digest": to_hex(request.input_digest),
        "audit.model_id": to_hex(request.model_id),
        "audit.policy": to_hex(request.policy),
        "audit.request_id": to_hex(asked.request_id),
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": PROVIDER,
    }


def intent_entry(asked: Asked, domain: Domain, actor: str, model_name: str, moment: datetime) -> Entry:
    """Before the model runs: the whole request, so that its id can be recomputed from the record alone. Bodies: input, signature."""
    request = asked.request
    fields = _call_fields(asked, domain, actor) | {
        "audit.request.callback_gas": request.callback_gas,
        "audit.request.deadline": str(request.deadline),
        "audit.request.fee_wei": str(request.fee_wei),
        "audit.request.nonce": str(request.nonce),
        "audit.request.refund_to": request.refund_to,
        "audit.request.requester": request.requester,
        "audit.request.source": "signed" if request.is_signed_off_chain else "chain",
        "gen_ai.request.model": model_name,
    }
    bodies = {"audit.input_digest": asked.input}
    if request.is_signed_off_chain:
        fields["audit.request.signature_digest"] = to_hex(keccak256(asked.signature))
        bodies["audit.request.signature_digest"] = asked.signature
    else:
        fields |= _where_asked(asked)
    return Entry(EntryKind.INTENT, format_time(moment), fields, bodies)


def _where_asked(asked: Asked) -> dict[str, Field]:
    if asked.block_number is None or asked.block_hash is None or asked.transaction is None:
        raise EntryRejected("request made on chain", "its block and transaction", "none")
    return {
        "audit.request.block_hash": to_hex(asked.block_hash),
        "audit.request.block_number": asked.block_number,
        "audit.request.transaction": to_hex(asked.transaction),
    }


def intent_link(intent: Appended) -> dict[str, Field]:
    return {"audit.intent.index": intent.index, "audit.intent.leaf_hash": to_hex(intent.leaf_hash)}


def _claim_fields(signed: SignedClaim, domain: Domain) -> dict[str, Field]:
    return {
        "audit.claim_digest": to_hex(compute_claim_digest(signed.claim, domain)),
        "audit.output_digest": to_hex(signed.claim.output_digest),
        "audit.signature_digest": to_hex(keccak256(signed.signature)),
        "audit.signer": signed.signer,
    }


def _claim_bodies(signed: SignedClaim) -> dict[str, bytes]:
    return {"audit.output_digest": signed.output, "audit.signature_digest": signed.signature}


def result_entry(
    intent: Appended | None,
    asked: Asked,
    domain: Domain,
    signed: SignedClaim,
    inference: Inference,
    actor: str,
    model_name: str,
    moment: datetime,
) -> Entry:
    """Before the answer leaves: the claim, who signed it and what computed it. Bodies: output, signature, and the proof if one was made.

    `intent` is None where it is not in the log yet (`oracle.audit.late`): the link is added when it is.
    """
    runtime = inference.runtime
    fields = _call_fields(asked, domain, actor) | _claim_fields(signed, domain) | ({} if intent is None else intent_link(intent))
    bodies = _claim_bodies(signed)
    if signed.proof:
        fields["audit.proof_digest"] = to_hex(keccak256(signed.proof))
        bodies["audit.proof_digest"] = signed.proof
    fields |= {
        "audit.latency_microseconds": round(inference.seconds * 1_000_000),
        "audit.runtime.name": runtime.name,
        "audit.runtime.optimisation": runtime.optimisation,
        "audit.runtime.provider": runtime.provider,
        "audit.runtime.version": runtime.version,
        "gen_ai.response.id": fields["audit.claim_digest"],
        "gen_ai.response.model": model_name,
    }
    return Entry(EntryKind.RESULT, format_time(moment), fields, bodies)


def error_entry(
    asked: Asked, domain: Domain, actor: str, error_type: str, message: str, moment: datetime, intent: Appended | None = None
) -> Entry:
    """A call that failed: `error_type` is a short stable word (a class name), `message` says what, without secrets."""
    fields = _call_fields(asked, domain, actor) | {"error.type": error_type}
    if intent is not None:
        fields |= intent_link(intent)
    return Entry(EntryKind.ERROR, format_time(moment), fields, sealed={"error.message": message[:1000]})


def lie_entry(asked: Asked, domain: Domain, actor: str, signed: SignedClaim, agreed: Claim, moment: datetime) -> Entry:
    """An operator signed another output than the quorum: the signed claim is kept as the evidence against it. Bodies: output, signature."""
    fields = _call_fields(asked, domain, actor) | _claim_fields(signed, domain)
    fields |= {
        "audit.agreed_output_digest": to_hex(agreed.output_digest),
        "error.type": "minority_claim",
    }
    sealed: dict[str, Field] = {"error.message": f"{signed.signer} signed another output than the quorum"}
    return Entry(EntryKind.ERROR, format_time(moment), fields, _claim_bodies(signed), sealed)


def receipt_entry(receipt: Receipt, delivery: Delivery, domain: Domain, actor: str, moment: datetime) -> Entry:
    """What the chain decided. The evidence itself is in the transaction's calldata; its digests are here, its bytes among the bodies."""
    digests = [to_hex(keccak256(e.data)) for e in delivery.evidence]
    fields = _call_fields(delivery.asked, domain, actor) | {
        "audit.block_hash": to_hex(receipt.block_hash),
        "audit.block_number": receipt.block_number,
        "audit.callback": receipt.callback.name.lower(),
        "audit.claim_digest": to_hex(compute_claim_digest(delivery.claim, domain)),
        "audit.evidence_digests": digests,
        "audit.evidence_selectors": [to_hex(e.selector) for e in delivery.evidence],
        "audit.gas_used": receipt.gas_used,
        "audit.output_digest": to_hex(receipt.output_digest),
        "audit.signers": list(receipt.signers),
        "audit.transaction": to_hex(receipt.transaction),
    }
    bodies = {f"audit.evidence_digests[{i}]": e.data for i, e in enumerate(delivery.evidence)}
    return Entry(EntryKind.RECEIPT, format_time(moment), fields, bodies)


def anchor_entry(anchor: Anchor, domain: Domain, actor: str, moment: datetime) -> Entry:
    """A head of this log that the AuditAnchor contract accepted."""
    fields: dict[str, Field] = {
        "audit.actor": actor,
        "audit.anchor.root": to_hex(anchor.root),
        "audit.anchor.size": anchor.size,
        "audit.block_hash": to_hex(anchor.block_hash),
        "audit.block_number": anchor.block_number,
        "audit.chain_id": domain.chain_id,
        "audit.log_id": to_hex(anchor.log_id),
        "audit.transaction": to_hex(anchor.transaction),
    }
    return Entry(EntryKind.ANCHOR, format_time(moment), fields)


# ---- and back ---------------------------------------------------------------------------------------------------------------------
def read_request(record: Record) -> Request:
    """The request an intent record tells of. Raises EntryRejected naming the field that is wrong."""
    try:
        return Request(
            requester=parse_address(record.text("audit.request.requester"), "audit.request.requester"),
            refund_to=parse_address(record.text("audit.request.refund_to"), "audit.request.refund_to"),
            model_id=record.digest("audit.model_id"),
            input_digest=record.digest("audit.input_digest"),
            policy=record.digest("audit.policy"),
            fee_wei=parse_uint(record.text("audit.request.fee_wei"), "audit.request.fee_wei", 256),
            callback_gas=parse_uint(record.integer("audit.request.callback_gas"), "audit.request.callback_gas", 32),
            deadline=parse_uint(record.text("audit.request.deadline"), "audit.request.deadline", 64),
            nonce=parse_uint(record.text("audit.request.nonce"), "audit.request.nonce", 256),
        )
    except MalformedInput as error:
        raise EntryRejected(f"intent record: {error.what}", error.expected, error.got) from error


def read_claim(record: Record) -> Claim:
    """The claim a result, receipt or minority-claim record tells of. Raises EntryRejected."""
    names = ("audit.request_id", "audit.model_id", "audit.input_digest", "audit.output_digest")
    return Claim(*(record.digest(name) for name in names))
