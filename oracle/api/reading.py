"""From what clients sent to our nouns. Pydantic has checked shapes; what needs arithmetic or hashing is checked here."""

from __future__ import annotations

from oracle.api.wire import HexInput, IntegerInput, PrepareIn, RealInput, SignedRequestIn
from oracle.encoding import compute_request_id, parse_address, parse_bytes32, parse_hex, parse_uint
from oracle.pipeline.asking import Wanted
from oracle.pipeline.inputs import Integers, Raw, Reals, Tensors, WantedInput
from oracle.pipeline.typed import WantedTensor
from oracle.records import Asked, Domain, Policy
from oracle.wire import request_from_json


def asked_of(signed: SignedRequestIn, domain: Domain) -> Asked:
    """A signed request with the id it has on this chain. Raises MalformedInput naming the field."""
    request = request_from_json(signed.request.model_dump())
    return Asked(
        request_id=compute_request_id(request, domain),
        request=request,
        input=parse_hex(signed.input, "input"),
        signature=parse_hex(signed.signature, "signature"),
    )


def wanted_of(sent: PrepareIn) -> Wanted:
    """Raises MalformedInput naming the field."""
    requester = parse_address(sent.requester, "requester")
    return Wanted(
        model_id=parse_bytes32(sent.model_id, "model_id"),
        input=_input_of(sent),
        policy=Policy(**sent.policy.model_dump()),
        fee_wei=parse_uint(sent.fee_wei, "fee_wei", 256),
        callback_gas=sent.callback_gas,
        deadline=sent.deadline,
        requester=requester,
        refund_to=requester if sent.refund_to is None else parse_address(sent.refund_to, "refund_to"),
        nonce=None if sent.nonce is None else parse_uint(sent.nonce, "nonce", 256),
    )


def _input_of(sent: PrepareIn) -> WantedInput:
    given = sent.input
    if isinstance(given, HexInput):
        return Raw(parse_hex(given.hex, "input.hex"))
    if isinstance(given, RealInput):
        return Reals(tuple(given.real))
    if isinstance(given, IntegerInput):
        return Integers(tuple(given.integers))
    return Tensors({name: WantedTensor(tuple(t.shape), tuple(t.values)) for name, t in given.tensors.items()})
