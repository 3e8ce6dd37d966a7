"""What a person wants, in the units people think in, and what becomes of it: input bytes, a request, typed data to sign.

Sources: EIP-712 for the typed data; the input encodings are those of docs/protocol.md (canonical) and docs/tensors.md (opaque).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from oracle.encoding import COPROCESSOR_DOMAIN_NAME, REQUEST_TYPE, compute_request_id, keccak256, pack_policy, to_hex, typed_document
from oracle.errors import RequestExpired, RequestRejected
from oracle.pipeline.catalogue import DescribedModel
from oracle.pipeline.inputs import WantedInput, encode_input
from oracle.records import SIGNED_NONCE_START, Address, Bytes32, Domain, Policy, Request


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request before it has bytes. `nonce` None: one is drawn at random."""

    model_id: Bytes32
    input: WantedInput
    policy: Policy
    fee_wei: int
    callback_gas: int
    deadline: int
    requester: Address
    refund_to: Address
    nonce: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready to be signed (`request`, `request_id`) or sent as a transaction (`coprocessor`, `calldata`, `value_wei`)."""

    request: Request
    request_id: Bytes32
    input: bytes
    saturated: int  # elements of a real-valued input that lay outside the range and were moved to its end
    typed_data: Mapping[str, Any]
    coprocessor: Address
    calldata: bytes
    value_wei: int  # of that transaction: the fee, or nothing where a token pays it out of the requester's balance


def draw_nonce() -> int:
    """A random nonce of the signed space: at least 2^128, with 127 random bits so that two never meet."""
    return SIGNED_NONCE_START + secrets.randbits(127)


def build_request(wanted: Wanted, model: DescribedModel, domain: Domain, now: datetime) -> tuple[Request, Bytes32, bytes]:
    """The request, its id and its input bytes. Raises InputRejected, PolicyRejected, RequestExpired or RequestRejected."""
    data = encode_input(model, wanted.input)
    check_deadline(wanted.deadline, now)
    nonce = draw_nonce() if wanted.nonce is None else wanted.nonce
    request = Request(
        requester=wanted.requester,
        refund_to=wanted.refund_to,
        model_id=wanted.model_id,
        input_digest=keccak256(data),
        policy=pack_policy(wanted.policy),
        fee_wei=wanted.fee_wei,
        callback_gas=wanted.callback_gas,
        deadline=wanted.deadline,
        nonce=nonce,
    )
    check_nonce_space(request)
    return request, compute_request_id(request, domain), data


def check_deadline(deadline: int, now: datetime) -> None:
    """Raises RequestExpired unless `deadline` lies ahead."""
    if deadline <= int(now.timestamp()):
        raise RequestExpired("request.deadline", f"a moment after {int(now.timestamp())}", deadline)


def check_nonce_space(request: Request) -> None:
    """Raises RequestRejected for a nonce that only the contract may give."""
    if not request.is_signed_off_chain:
        raise RequestRejected("request.nonce", "at least 2^128 for a signed request", request.nonce)


def typed_data(request: Request, domain: Domain) -> dict[str, Any]:
    """EIP-712 typed data for `eth_signTypedData_v4`; integers as decimal strings, which every wallet takes."""
    message = {
        "requester": request.requester,
        "refundTo": request.refund_to,
        "modelId": to_hex(request.model_id),
        "inputDigest": to_hex(request.input_digest),
        "policy": to_hex(request.policy),
        "feeWei": str(request.fee_wei),
        "callbackGas": str(request.callback_gas),
        "deadline": str(request.deadline),
        "nonce": str(request.nonce),
    }
    return typed_document(REQUEST_TYPE, message, COPROCESSOR_DOMAIN_NAME, domain.chain_id, domain.coprocessor)
