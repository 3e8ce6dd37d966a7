"""Anybody may register a model, and name in its data URI what is no text. Who reads models must not fall over that.

The first to register a model is its owner, also of somebody else's: one transaction, sent before the publisher's, would take the model
away from every node, relay and auditor.
"""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from oracle.encoding import compute_model_id, keccak256
from oracle.records import Bytes32, ModelKind
from oracle.relay.transact import Call
from tests.chain.conftest import World

REGISTER = keccak256(b"register(uint8,bytes32,bytes,bytes32[],string)")[:4]


def register(world: World, uri: bytes) -> Bytes32:
    """A model whose data URI is these bytes, by a stranger."""
    manifest = keccak256(b"somebody's manifest" + uri)
    data = REGISTER + encode(["uint8", "bytes32", "bytes", "bytes32[]", "bytes"], [int(ModelKind.OPAQUE), manifest, b"", [], uri])
    world.sender(9).send(Call(world.deployment.model_registry, data))
    return compute_model_id(ModelKind.OPAQUE, manifest, Bytes32(bytes(32)), ())


@pytest.mark.parametrize(
    "uri", [b"", b"\0", b"'; drop table models; --", b"http://169.254.169.254/latest", "\u202e\U0001f9d1".encode(), b"x" * 10_000]
)
def test_a_data_uri_of_any_text_is_read_as_it_is(world: World, uri: bytes) -> None:
    model = world.contracts.model(register(world, uri))
    assert model is not None
    assert model.data_uri == uri.decode()


@pytest.mark.parametrize("uri", [b"\xff", b"\xed\xa0\x80", b"ipfs://\x80"])
def test_a_data_uri_that_is_no_text_hides_no_model(world: World, uri: bytes) -> None:
    model = world.contracts.model(register(world, uri))
    assert model is not None
    assert model.is_active
    assert model.data_uri == uri.decode(errors="replace")
