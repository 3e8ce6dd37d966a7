"""The Python client disputes answers: on a real chain, where other people's watchers vote."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from oracle.attest.sign import AccountSigner
from oracle.client import AsyncClient, Client, DisputeOutcome, Phase
from oracle.encoding import compute_request_id, keccak256, pack_policy
from oracle.errors import AffidavitError, ConfigRejected, PolicyRejected, RequestRejected, RequestUnknown
from oracle.node.executor import Limits
from oracle.pipeline.rerunning import OpaqueRunner, open_rerunning
from oracle.records import SIGNED_NONCE_START, Address, Asked, Bytes32, Policy
from oracle.relay.contracts import Contracts
from oracle.relay.failures import CallReverted
from tests.chain.conftest import FEE_WEI, World, account
from tests.chain.dispute_rig import CHALLENGER, LIE, TRUTH, VOTERS, WINDOW, Court, Party, address_of
from tests.chain.test_disputes import TERMS, deploy_court, model

__all__ = ["model"]  # the fixture

ASKER, STRANGER = 6, 9
BOND_WEI = TERMS.bond_wei


@pytest.fixture(scope="module")
def opaque(model: Path) -> Iterator[OpaqueRunner]:
    _prover, runner = open_rerunning([model], Limits())
    yield runner
    runner.workplace.stop(0)


@pytest.fixture(scope="module")
def deployed_court(model: Path) -> Iterator[tuple[World, Bytes32]]:
    yield from deploy_court(model, TERMS)


@pytest.fixture
def court(deployed_court: tuple[World, Bytes32], opaque: OpaqueRunner, tmp_path: Path) -> Iterator[Court]:
    """Voters, and nobody but the client who disputes."""
    world, model_id = deployed_court
    snapshot = world.rpc_call("evm_snapshot")
    parties = {n: Party(world, tmp_path, n, address_of(n), opaque, may_dispute=False) for n in VOTERS}
    yield Court(world, model_id, parties)
    for party in parties.values():
        party.stop()
    assert world.rpc_call("evm_revert", snapshot)


def client_of(court: Court, number: int = STRANGER) -> Client:
    return Client(rpc=court.world.rpc, deployment=court.world.deployment, signer=AccountSigner(account(number)))


def judge(court: Court, asked: Asked) -> None:
    """Others draw only after a while."""
    court.mine(3)
    court.pass_seconds(70)
    court.run(12, until=asked)


def test_who_disputes_draws_the_committee_at_once(court: Court) -> None:
    client, asked = client_of(court), court.answer(LIE)
    client.dispute(asked.request_id, BOND_WEI)
    with pytest.raises(CallReverted, match="SeedNotThere"):
        client.draw(asked.request_id)
    court.mine(3)
    drawn = client.draw(asked.request_id)
    assert (drawn.phase, len(drawn.members)) == (Phase.COMMITTING, 3)
    with pytest.raises(CallReverted, match="WrongPhase"):
        client.draw(asked.request_id)


def answer_signed(court: Court, output: bytes) -> Asked:
    """A signed request, whose fields nothing but the calldata of its delivery shows."""
    world, asker = court.world, Address(account(ASKER).address)
    sample = court.ask().request
    changes = {"nonce": SIGNED_NONCE_START + 5, "requester": asker, "refund_to": asker, "callback_gas": 0}
    request = replace(sample, **changes)  # type: ignore[arg-type]
    world.sender(ASKER).send(world.contracts.call("Coprocessor", "deposit", value_wei=FEE_WEI))
    request_id = compute_request_id(request, world.deployment.domain)
    data = world.contracts.asked_of(compute_request_id(sample, world.deployment.domain))
    assert data is not None
    asked = Asked(request_id, request, data.input, AccountSigner(account(ASKER)).sign_digest(request_id))
    world.sender(7).send(world.contracts.deliver_call([court.delivery(asked, output)]))
    return asked


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_lie_is_disputed_and_the_bond_taken_back(court: Court, is_signed: bool) -> None:
    client, asked = client_of(court), answer_signed(court, LIE) if is_signed else court.answer(LIE)
    assert client.bond_wei == BOND_WEI
    opened = client.dispute(asked.request_id, BOND_WEI)
    assert (opened.outcome, opened.phase, opened.challenger) == (DisputeOutcome.OPEN, Phase.DRAWING, address_of(STRANGER))
    assert client.take_bond(asked.request_id) == 0
    judge(court, asked)
    ruling = client.ruling(asked.request_id)
    assert (ruling.outcome, ruling.output_digest) == (DisputeOutcome.REPLACED, keccak256(TRUTH))
    assert client.verify(asked.request_id).output == TRUTH
    assert client.take_bond(asked.request_id, address_of(CHALLENGER)) == BOND_WEI
    assert client.take_bond(asked.request_id) == 0


def test_an_honest_answer_stands_and_the_bond_is_gone(court: Court) -> None:
    async def story() -> tuple[DisputeOutcome, int]:
        client = AsyncClient(client_of(court))
        asked = court.answer(TRUTH)
        await client.dispute(asked.request_id, BOND_WEI)
        judge(court, asked)
        ruling = await client.ruling(asked.request_id)
        assert sorted(ruling.majority) == sorted(ruling.members)
        return ruling.outcome, await client.take_bond(asked.request_id)

    assert asyncio.run(story()) == (DisputeOutcome.STANDS, 0)


def test_nothing_is_put_up_where_a_dispute_cannot_be_won(court: Court) -> None:
    client, world = client_of(court), court.world
    waiting, plain = court.ask(), court.ask()
    pending = court.answer(LIE)
    policy = pack_policy(Policy(1, window_seconds=WINDOW))
    terms = (court.model_id, plain.input, policy, 0, world.now() + 600, account(ASKER).address)
    plain = world.asked_in(world.sender(ASKER).send(world.contracts.call("Coprocessor", "request", *terms, value_wei=FEE_WEI)))
    world.sender(7).send(world.contracts.deliver_call([court.delivery(plain, LIE)]))
    ether = world.contracts.ether_of(address_of(STRANGER))

    def refused(error: type[AffidavitError], words: str, request_id: Bytes32, bond_wei: int = BOND_WEI, by: Client = client) -> None:
        with pytest.raises(error, match=words):
            by.dispute(request_id, bond_wei)

    refused(RequestUnknown, "answer: expected one to 0x", waiting.request_id)
    refused(RequestUnknown, "none on chain", keccak256(b"nothing"))
    refused(PolicyRejected, "a disputable one", plain.request_id)
    refused(RequestRejected, f"bond: expected {BOND_WEI} wei, got {BOND_WEI - 1} wei", pending.request_id, BOND_WEI - 1)
    refused(CallReverted, "OwnAnswer", pending.request_id, by=client_of(court, 1))
    with patch.object(Contracts, "check_deployment"):  # this chain's Coprocessor names one; that of an older deployment does not
        older = Client(rpc=world.rpc, deployment=replace(world.deployment, disputes=None), signer=AccountSigner(account(STRANGER)))
    refused(RequestRejected, "contract Disputes", pending.request_id, by=older)
    unsigned = Client(rpc=world.rpc, deployment=world.deployment)
    refused(ConfigRejected, "signer", pending.request_id, by=unsigned)
    with pytest.raises(RequestUnknown, match="dispute"):
        unsigned.ruling(pending.request_id)
    assert world.contracts.ether_of(address_of(STRANGER)) == ether
    client.dispute(pending.request_id, BOND_WEI)
    assert unsigned.ruling(pending.request_id).outcome is DisputeOutcome.OPEN
    refused(RequestRejected, f"none before it, got one by {address_of(STRANGER)}", pending.request_id)
    late = court.answer(LIE)
    court.pass_seconds(WINDOW)
    refused(RequestRejected, "when the window ends", late.request_id)
    court.finalize(late)
    refused(RequestRejected, "expected PENDING, got FINAL", late.request_id)
