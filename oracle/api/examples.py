"""Examples in the OpenAPI document that hold: made for this deployment's chain and models, valid until the end of tomorrow.

They are signed with a key everybody knows, offer no more than the relay demands and ask for no callback. Where it demands nothing, posting
one costs its reader nothing, and it is the same request however often it is posted; where it demands a fee, there is no example to post,
because nobody deposits for that key. A test executes every one of them.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

from eth_account import Account

from oracle.api.wire import Problem
from oracle.encoding import compute_request_id, keccak256, pack_int16, pack_policy, to_hex
from oracle.pipeline.api import Desk
from oracle.pipeline.catalogue import DescribedModel
from oracle.records import SIGNED_NONCE_START, Address, Asked, ModelKind, Policy, Request
from oracle.wire import asked_to_json

_EXAMPLE_ACCOUNT = Account.from_key(keccak256(b"affidavit: the requester of the examples"))
"""Public on purpose: it owns nothing and never will."""

_DAY_SECONDS = 86_400
_NO_VALUE = 0


def document(plain: dict[str, Any], desk: Desk) -> dict[str, Any]:
    """FastAPI's document with the problem schema and, where a canonical model is served, working examples."""
    full = copy.deepcopy(plain)
    full.setdefault("components", {}).setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    model = next((m for m in desk.models() if m.kind is ModelKind.CANONICAL), None)
    if model is not None:
        _fill(full["paths"], model, example_asked(model, desk))
    return full


def example_asked(model: DescribedModel, desk: Desk) -> Asked:
    """A complete signed request for this deployment; the same until the end of the day (UTC)."""
    data = pack_int16([_NO_VALUE] * model.input.size)
    requester = Address(_EXAMPLE_ACCOUNT.address)
    request = Request(
        requester=requester,
        refund_to=requester,
        model_id=model.model_id,
        input_digest=keccak256(data),
        policy=pack_policy(Policy(quorum=1)),
        fee_wei=desk.relay_terms().compute_least_fee_wei(0),
        callback_gas=0,
        deadline=example_deadline(desk.now()),
        nonce=SIGNED_NONCE_START,
    )
    request_id = compute_request_id(request, desk.domain)
    return Asked(request_id, request, data, bytes(_EXAMPLE_ACCOUNT.unsafe_sign_hash(request_id).signature))


def example_deadline(now: datetime) -> int:
    """The end of tomorrow, UTC, in seconds since 1970."""
    return (int(now.timestamp()) // _DAY_SECONDS + 2) * _DAY_SECONDS


def example_wanted(model: DescribedModel, asked: Asked) -> dict[str, Any]:
    """The body of /v1/requests/prepare that gives `asked`."""
    return {
        "model_id": to_hex(model.model_id),
        "input": {"integers": [_NO_VALUE] * model.input.size},
        "policy": {"quorum": 1},
        "fee_wei": str(asked.request.fee_wei),
        "callback_gas": 0,
        "deadline": asked.request.deadline,
        "requester": asked.request.requester,
        "nonce": str(asked.request.nonce),
    }


def _fill(paths: dict[str, Any], model: DescribedModel, asked: Asked) -> None:
    bodies = {"/v1/requests/prepare": example_wanted(model, asked)}
    if asked.request.fee_wei == 0:
        bodies["/v1/requests"] = asked_to_json(asked)
    for path, body in bodies.items():
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        content["examples"] = {"example": {"summary": "Works on this deployment", "value": body}}
    values = {"model_id": to_hex(model.model_id), "request_id": to_hex(asked.request_id), "limit": 10}
    values |= {"model": to_hex(model.model_id), "policy": "quorum 1"}
    for operations in paths.values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in values:
                    parameter["example"] = values[parameter["name"]]
