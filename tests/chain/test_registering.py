"""Registering models whose commitments need several transactions: in order, resumed after a crash, and only what is missing."""

from __future__ import annotations

import pytest

from oracle.attest.sign import AccountSigner
from oracle.encoding import PART_BYTES, compute_model_id, compute_part_digest, keccak256
from oracle.errors import AmbiguousSend, ModelRejected
from oracle.pipeline.deploy import Registration, register_model
from oracle.pipeline.registering import register_directory
from oracle.pipeline.session import Session
from oracle.records import ModelKind, TransactionReceipt
from oracle.relay.sender import Sender
from oracle.relay.transact import Call
from tests.chain.conftest import World, account
from tests.twins.node_scene import DIGITS

PARTS = (b"\1" * PART_BYTES, b"\2" * PART_BYTES, b"\3" * 96)
CIRCUIT = b"a large model's circuit"
MANIFEST = keccak256(b"a large model's manifest")


class DyingSender(Sender):
    """Dies after so many transactions, as a process that is killed does: what was sent is mined, nobody hears of it."""

    left = 0

    def send(self, call: Call, gas: int | None = None) -> TransactionReceipt:
        receipt = super().send(call, gas)
        self.left -= 1
        if self.left < 0:
            raise AmbiguousSend("killed")
        return receipt


def register(world: World, sender: Sender, parts: tuple[bytes, ...] = PARTS) -> Registration:
    return register_model(world.contracts, sender, ModelKind.CANONICAL, MANIFEST, CIRCUIT, parts, "ipfs://large")


def test_every_part_is_stored_and_the_model_binds_them(world: World) -> None:
    seen: list[tuple[int, int]] = []
    parts = (ModelKind.CANONICAL, MANIFEST, CIRCUIT, PARTS)
    done = register_model(world.contracts, world.sender(0), *parts, "ipfs://large", lambda part, all_: seen.append((part, all_)))
    digests = tuple(compute_part_digest(part) for part in PARTS)
    assert done.model_id == compute_model_id(ModelKind.CANONICAL, MANIFEST, keccak256(CIRCUIT), digests)
    assert (done.parts, done.stored) == (3, 3)
    assert done.gas_used > 2 * 5_000_000
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert not done.is_prepared, "that circuit is no descriptor"
    model = world.contracts.model(done.model_id)
    assert model is not None
    assert model.parameters == digests
    pointers = world.contracts._view("ModelRegistry", "parametersOf", done.model_id)
    assert [world.contracts._code(pointer) for pointer in pointers] == [b"\0" + part for part in PARTS]


@pytest.mark.parametrize("after", range(4))
def test_a_registration_that_was_interrupted_goes_on(world: World, after: int) -> None:
    dying = DyingSender(world.contracts, AccountSigner(account(0)))
    dying.left = after
    with pytest.raises(AmbiguousSend):
        register(world, dying)
    again = register(world, world.sender(0))
    assert again.stored == max(0, 2 - after)  # the one it died at was mined, too
    assert register(world, world.sender(0)) == Registration(again.model_id, 3, 0, 0, is_prepared=False)


def test_a_model_is_prepared_for_the_verifier_once(world: World) -> None:
    session = Session(world.contracts, AccountSigner(account(0)), world.sender(0))
    done = register_directory(session, DIGITS, "seed:digits-mlp")
    assert done.is_prepared
    assert world.contracts.is_prepared(done.model_id)
    again = register_directory(session, DIGITS, "seed:digits-mlp")
    assert (again.is_prepared, again.gas_used) == (True, 0)


def test_parts_of_another_model_are_not_stored_again(world: World) -> None:
    register(world, world.sender(0))
    parts = (*PARTS[:2], b"\4" * 96)
    other = register(world, world.sender(1), parts)
    assert (other.parts, other.stored) == (3, 1)


@pytest.mark.parametrize(("kind", "circuit", "parts"), [(1, CIRCUIT, ()), (1, b"", PARTS), (2, CIRCUIT, ()), (2, b"", PARTS)])
def test_what_does_not_fit_is_refused_before_anything_is_paid(world: World, kind: int, circuit: bytes, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(ModelRejected):
        register_model(world.contracts, world.sender(0), ModelKind(kind), MANIFEST, circuit, parts, "")
