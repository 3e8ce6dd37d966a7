"""BLS keys on the real contracts: registered, signed with, delivered in one signature, verified again; and a lie slashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracle.attest.bls import ORDER, BlsSigner
from oracle.attest.bls_quorum import QuorumGas, verify_any_quorum
from oracle.attest.sign import AccountSigner
from oracle.encoding import QUORUM_BLS_SELECTOR, QUORUM_ECDSA_SELECTOR, compute_claim_digest, keccak256
from oracle.pipeline.accusing import read_together
from oracle.pipeline.seat import set_bls_key
from oracle.pipeline.session import Session
from oracle.pipeline.settled import read_settled
from oracle.records import Delivery
from oracle.relay.failures import CallReverted
from oracle.relay.schema import RequestState
from oracle.seams import find_carried
from tests.chain.conftest import World, account
from tests.chain.relay_rig import Relay, make_relay

BLS_ALWAYS = QuorumGas({1: 2, 128: 2_000_000}, {1: 1, 128: 1})


def bls_of(index: int) -> BlsSigner:
    return BlsSigner(int.from_bytes(keccak256(b"bls %d" % index), "big") % ORDER)


def session_of(world: World, index: int) -> Session:
    return Session(world.contracts, AccountSigner(account(index + 1)), world.sender(index + 1))


def relay_with_keys(world: World, directory: Path, keys: int) -> Relay:
    for index in range(keys):
        assert set_bls_key(session_of(world, index), bls_of(index)).bls_key == bls_of(index).key
    relay = make_relay(world, directory)
    relay.gas = BLS_ALWAYS
    for node in relay.nodes[:keys]:
        node.bls = bls_of(node.index)
    relay.crash()
    return relay


def carried_of(world: World, request_id: bytes) -> Delivery:
    receipt = world.contracts.delivery_of(request_id)  # type: ignore[arg-type]
    assert receipt is not None
    carried = find_carried(world.contracts, receipt, receipt.delivered[0].request_id)
    assert carried is not None
    return carried


def test_a_delivery_goes_out_in_one_signature(world: World, tmp_path: Path) -> None:
    relay, asked = relay_with_keys(world, tmp_path, 3), world.ask()
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    carried = carried_of(world, asked.request_id)
    assert [e.selector for e in carried.evidence] == [QUORUM_BLS_SELECTOR]
    digest, operators = compute_claim_digest(carried.claim, world.deployment.domain), world.contracts.operators()
    assert [o.index for o in verify_any_quorum(carried.evidence[0], digest, operators, 3)] == [0, 1, 2]
    settled = read_settled(world.contracts, asked.request_id)
    assert settled.signers is not None
    assert [o.index for o in settled.signers] == [0, 1, 2]
    together = read_together(world.contracts, carried.claim, carried.evidence, settled.receipt.block_number)
    assert together is not None
    assert [o.bls_key for o in together.operators] == [bls_of(i).key for i in range(3)]
    told = next(e for e in relay.log.entries.values() if e.fields.get("audit.finality") == "final")
    assert told.fields["audit.signers"] == [account(i + 1).address for i in range(3)]


def test_too_few_keys_are_a_quorum_of_the_other_signatures(world: World, tmp_path: Path) -> None:
    relay, asked = relay_with_keys(world, tmp_path, 2), world.ask()
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert [e.selector for e in carried_of(world, asked.request_id).evidence] == [QUORUM_ECDSA_SELECTOR]


def test_a_false_bls_signature_is_left_out(world: World, tmp_path: Path) -> None:
    relay, asked = relay_with_keys(world, tmp_path, 3), world.ask()
    relay.nodes[0].bls = bls_of(9)
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert [e.selector for e in carried_of(world, asked.request_id).evidence] == [QUORUM_ECDSA_SELECTOR]


def test_a_key_is_one_operators(world: World) -> None:
    set_bls_key(session_of(world, 0), bls_of(0))
    set_bls_key(session_of(world, 0), bls_of(0))  # again: nothing is sent
    with pytest.raises(CallReverted, match="KeyUsed"):
        set_bls_key(session_of(world, 1), bls_of(0))
