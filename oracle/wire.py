"""JSON forms of the nouns that travel between our processes and over the public API: strict both ways.

Byte strings are "0x" hex, uint256 values are decimal strings, smaller integers are JSON numbers. Unknown and missing fields are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from oracle.encoding import BLS_SIGNATURE_BYTES, parse_address, parse_bytes32, parse_hex, parse_uint, to_hex
from oracle.errors import MalformedInput
from oracle.records import Asked, Claim, Request, SignedClaim


def require_fields(value: object, what: str, required: set[str], optional: set[str] | None = None) -> Mapping[str, Any]:
    """`value` as an object with exactly these fields. Raises MalformedInput naming the missing or unknown ones."""
    if not isinstance(value, Mapping):
        raise MalformedInput(what, "a JSON object", type(value).__name__)
    if missing := required - value.keys():
        raise MalformedInput(what, f"the field {sorted(missing)[0]!r}", "nothing")
    if unknown := value.keys() - required - (optional or set()):
        raise MalformedInput(what, "no other fields", repr(sorted(map(str, unknown))[0])[:60])
    return value


def request_to_json(r: Request) -> dict[str, str | int]:
    return {
        "requester": r.requester,
        "refund_to": r.refund_to,
        "model_id": to_hex(r.model_id),
        "input_digest": to_hex(r.input_digest),
        "policy": to_hex(r.policy),
        "fee_wei": str(r.fee_wei),
        "callback_gas": r.callback_gas,
        "deadline": r.deadline,
        "nonce": str(r.nonce),
    }


def request_from_json(value: object) -> Request:
    """Raises MalformedInput naming the field that is wrong."""
    names = {
        "requester",
        "refund_to",
        "model_id",
        "input_digest",
        "policy",
        "fee_wei",
        "callback_gas",
        "deadline",
        "nonce",
    }
    f = require_fields(value, "request", names)
    return Request(
        requester=parse_address(f["requester"], "request.requester"),
        refund_to=parse_address(f["refund_to"], "request.refund_to"),
        model_id=parse_bytes32(f["model_id"], "request.model_id"),
        input_digest=parse_bytes32(f["input_digest"], "request.input_digest"),
        policy=parse_bytes32(f["policy"], "request.policy"),
        fee_wei=parse_uint(f["fee_wei"], "request.fee_wei", 256),
        callback_gas=parse_uint(f["callback_gas"], "request.callback_gas", 32),
        deadline=parse_uint(f["deadline"], "request.deadline", 64),
        nonce=parse_uint(f["nonce"], "request.nonce", 256),
    )


def request_from_text(text: str) -> Request:
    """As `request_from_json`, of JSON that we stored ourselves: a row is read many times while its request is on its way."""
    return request_from_json(json.loads(text))


def asked_to_json(asked: Asked) -> dict[str, Any]:
    """A signed off-chain request as it is posted: request, signature and input."""
    return {
        "request": request_to_json(asked.request),
        "signature": to_hex(asked.signature),
        "input": to_hex(asked.input),
    }


def claim_to_json(claim: Claim) -> dict[str, str]:
    return {
        "request_id": to_hex(claim.request_id),
        "model_id": to_hex(claim.model_id),
        "input_digest": to_hex(claim.input_digest),
        "output_digest": to_hex(claim.output_digest),
    }


def claim_from_json(value: object) -> Claim:
    """Raises MalformedInput naming the field that is wrong."""
    f = require_fields(value, "claim", {"request_id", "model_id", "input_digest", "output_digest"})
    return Claim(**{name: parse_bytes32(f[name], f"claim.{name}") for name in f})


def signed_claim_to_json(signed: SignedClaim) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "claim": claim_to_json(signed.claim),
        "output": to_hex(signed.output),
        "signer": signed.signer,
        "signature": to_hex(signed.signature),
    }
    more = {"proof": signed.proof, "enclave": signed.enclave, "bls": signed.bls}
    return fields | {name: to_hex(data) for name, data in more.items() if data}


def signed_claim_from_json(value: object) -> SignedClaim:
    """Raises MalformedInput naming the field that is wrong. Says nothing about the truth of signatures and proof."""
    f = require_fields(value, "signed claim", {"claim", "output", "signer", "signature"}, {"proof", "enclave", "bls"})
    return SignedClaim(
        claim=claim_from_json(f["claim"]),
        output=parse_hex(f["output"], "signed claim.output"),
        signer=parse_address(f["signer"], "signed claim.signer"),
        signature=parse_hex(f["signature"], "signed claim.signature", 65),
        proof=parse_hex(f["proof"], "signed claim.proof") if "proof" in f else b"",
        enclave=parse_hex(f["enclave"], "signed claim.enclave", 65) if "enclave" in f else b"",
        bls=parse_hex(f["bls"], "signed claim.bls", BLS_SIGNATURE_BYTES) if "bls" in f else b"",
    )
