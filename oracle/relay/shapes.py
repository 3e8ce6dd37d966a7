"""Between our records and the tuples the contract ABI takes and gives. Pure; nothing is checked that the ABI has checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oracle.encoding import PROOF_SELECTOR, compute_request_id, keccak256, unpack_policy
from oracle.errors import ChainError, MalformedInput
from oracle.records import (
    Address,
    Asked,
    Block,
    Bytes32,
    CallbackStatus,
    Claim,
    Delivered,
    Delivery,
    Domain,
    Evidence,
    Replaced,
    Request,
    ResultCode,
)


def request_tuple(r: Request) -> tuple[Any, ...]:
    """A `Request` struct."""
    return (r.requester, r.refund_to, r.model_id, r.input_digest, r.policy, r.fee_wei, r.callback_gas, r.deadline, r.nonce)


def evidence_tuples(evidence: Sequence[Evidence]) -> list[tuple[bytes, bytes]]:
    """An `Evidence[]`."""
    return [(e.selector, e.data) for e in evidence]


def delivery_tuple(d: Delivery) -> tuple[Any, ...]:
    """A `Delivery` struct. The input is left out where neither a verifier nor the Coprocessor needs it."""
    data = d.asked.input if is_input_needed(d) else b""
    return (request_tuple(d.asked.request), d.asked.signature, data, d.output, evidence_tuples(d.evidence))


def is_input_needed(d: Delivery) -> bool:
    """A proof is verified against the input; a signed request's answer that can be challenged is delivered with what was asked."""
    is_shown = d.asked.request.is_signed_off_chain and unpack_policy(d.asked.request.policy).window_seconds != 0
    return is_shown or any(e.selector == PROOF_SELECTOR for e in d.evidence)


def request_of(fields: Mapping[str, Any]) -> Request:
    """The record of a decoded `Request` struct."""
    return Request(
        requester=Address(fields["requester"]),
        refund_to=Address(fields["refundTo"]),
        model_id=Bytes32(fields["modelId"]),
        input_digest=Bytes32(fields["inputDigest"]),
        policy=Bytes32(fields["policy"]),
        fee_wei=fields["feeWei"],
        callback_gas=fields["callbackGas"],
        deadline=fields["deadline"],
        nonce=fields["nonce"],
    )


def delivery_of(fields: Mapping[str, Any], domain: Domain) -> Delivery:
    """The record of a decoded delivery; its ids and digests are computed, since calldata carries none."""
    request = request_of(fields["request"])
    request_id = compute_request_id(request, domain)
    output = bytes(fields["output"])
    asked = Asked(request_id, request, bytes(fields["input"]), bytes(fields.get("signature", b"")))
    claim = Claim(request_id, request.model_id, request.input_digest, keccak256(output))
    return Delivery(asked, claim, output, tuple(Evidence(bytes(e["selector"]), bytes(e["data"])) for e in fields["evidence"]))


def asked_of(fields: Mapping[str, Any], log: Mapping[str, Any], domain: Domain) -> Asked:
    """The record of an `InferenceRequested` event. An endpoint whose event contradicts itself is not believed: ChainError."""
    request = request_of(fields["request"])
    request_id, data = Bytes32(fields["requestId"]), bytes(fields["input"])
    if compute_request_id(request, domain) != request_id or keccak256(data) != request.input_digest:
        raise ChainError(f"the endpoint gave an InferenceRequested event that does not have the id {request_id.hex()}")
    return Asked(
        request_id=request_id,
        request=request,
        input=data,
        block_number=log["blockNumber"],
        block_hash=Bytes32(bytes(log["blockHash"])),
        transaction=Bytes32(bytes(log["transactionHash"])),
    )


def block_of(fields: Mapping[str, Any]) -> Block:
    """The record of a block header."""
    return Block(fields["number"], Bytes32(bytes(fields["hash"])), Bytes32(bytes(fields["parentHash"])), fields["timestamp"])


def delivered_of(events: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Delivered, ...]:
    """The deliveries among one transaction's (name, arguments) events, each with the result of its callback."""
    callbacks = _callbacks(events)
    return tuple(_delivered(fields, callbacks) for name, fields in events if name == "InferenceDelivered")


def replaced_of(events: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Replaced, ...]:
    """The replacements among one transaction's events, each with the result of its callback."""
    callbacks = _callbacks(events)
    return tuple(_replaced(fields, callbacks) for name, fields in events if name == "InferenceReplaced")


def _callbacks(events: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[Bytes32, CallbackStatus]:
    results = {Bytes32(f["requestId"]): f["success"] for name, f in events if name == "CallbackExecuted"}
    return {request_id: CallbackStatus.SUCCEEDED if succeeded else CallbackStatus.FAILED for request_id, succeeded in results.items()}


def _require_own_output(fields: Mapping[str, Any]) -> None:
    if keccak256(bytes(fields["output"])) != bytes(fields["outputDigest"]):
        raise ChainError(f"the endpoint gave an event whose output is not that of its digest: {bytes(fields['requestId']).hex()}")


def _replaced(fields: Mapping[str, Any], callbacks: Mapping[Bytes32, CallbackStatus]) -> Replaced:
    _require_own_output(fields)
    return Replaced(
        request_id=Bytes32(fields["requestId"]),
        replaced_digest=Bytes32(fields["replacedOutputDigest"]),
        output_digest=Bytes32(fields["outputDigest"]),
        output=bytes(fields["output"]),
        beneficiaries=tuple(Address(a) for a in fields["beneficiaries"]),
        callback=callbacks.get(Bytes32(fields["requestId"]), CallbackStatus.NONE),
    )


def _delivered(fields: Mapping[str, Any], callbacks: Mapping[Bytes32, CallbackStatus]) -> Delivered:
    request_id = Bytes32(fields["requestId"])
    _require_own_output(fields)
    return Delivered(
        request_id=request_id,
        model_id=Bytes32(fields["modelId"]),
        requester=Address(fields["requester"]),
        output_digest=Bytes32(fields["outputDigest"]),
        output=bytes(fields["output"]),
        beneficiaries=tuple(Address(a) for a in fields["beneficiaries"]),
        available_at=fields["availableAt"],
        callback=callbacks.get(request_id, CallbackStatus.NONE),
    )


def finalized_of(events: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Bytes32, ...]:
    """The requests among one transaction's events whose pending answers became final."""
    return tuple(Bytes32(fields["requestId"]) for name, fields in events if name == "InferenceFinalized")


def items_of(events: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[tuple[Bytes32, ResultCode], ...]:
    """(request id, code) of every batch item, in the batch's order."""
    return tuple((Bytes32(fields["requestId"]), ResultCode(fields["code"])) for name, fields in events if name == "BatchItem")


def deliveries_of(name: str, fields: Mapping[str, Any], domain: Domain) -> list[Delivery]:
    """The deliveries of a decoded call. Raises MalformedInput for calls that deliver nothing."""
    if name == "deliverBatch":
        return [delivery_of(item, domain) for item in fields["deliveries"]]
    if name in ("deliver", "deliverSigned"):
        return [delivery_of({**fields, "request": fields["request_"]}, domain)]
    raise MalformedInput("calldata", "deliver, deliverSigned or deliverBatch", name)
