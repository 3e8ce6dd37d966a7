"""JSON forms: a round trip for what is right, a named field for what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from oracle import wire
from oracle.errors import MalformedInput
from oracle.records import Address, Bytes32, Claim, Request, SignedClaim

A = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
W = Bytes32(bytes(range(32)))
REQUEST = Request(A, A, W, W, W, 2**256 - 1, 2**32 - 1, 2**64 - 1, 2**128)
SIGNED = SignedClaim(Claim(W, W, W, W), b"\x00\x01", A, bytes(65))


def test_round_trips() -> None:
    assert wire.request_from_json(wire.request_to_json(REQUEST)) == REQUEST
    assert wire.signed_claim_from_json(wire.signed_claim_to_json(SIGNED)) == SIGNED


@pytest.mark.parametrize("name", list(wire.request_to_json(REQUEST)))
@pytest.mark.parametrize("value", [None, "", "0x", -1, 1.5, True, [], {}, "0x" + "f" * 63, 2**256, "-1", "1e3"])
def test_every_request_field_is_checked_by_name(name: str, value: Any) -> None:
    with pytest.raises(MalformedInput, match=name):
        wire.request_from_json(wire.request_to_json(REQUEST) | {name: value})


@pytest.mark.parametrize("name", list(wire.request_to_json(REQUEST)))
def test_missing_fields_are_named(name: str) -> None:
    body = wire.request_to_json(REQUEST)
    del body[name]
    with pytest.raises(MalformedInput, match=name):
        wire.request_from_json(body)


@pytest.mark.parametrize("value", [None, [], "x", 1, {**wire.request_to_json(REQUEST), "more": 1}])
def test_other_shapes_and_unknown_fields(value: Any) -> None:
    with pytest.raises(MalformedInput, match="request"):
        wire.request_from_json(value)


@pytest.mark.parametrize("size", [0, 64, 66])
def test_signature_length(size: int) -> None:
    with pytest.raises(MalformedInput, match="signature"):
        wire.signed_claim_from_json(wire.signed_claim_to_json(SIGNED) | {"signature": "0x" + "00" * size})
