"""A whole network that settles in an ERC-20 token: staked in it, asked and paid in it, by both clients."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from oracle.attest.sign import AccountSigner
from oracle.client import Client, Reals, Terms
from oracle.demo.local_keys import find_seeds, local_account
from oracle.demo.network import STAKE_WEI, TOKENS_WEI, Network, Plan, running_network
from oracle.encoding import pack_policy, to_hex
from oracle.errors import RequestUnpaid
from oracle.pipeline.quoting import EVERY_MODEL, post_asks
from oracle.pipeline.requesting import deposit
from oracle.pipeline.seat import read_seat
from oracle.records import Address, Asked, Asks, Bytes32, Policy
from oracle.relay.paying import asset_of, tokens_of
from oracle.relay.peers import NodePeer
from tests.clients.test_typescript import bundle, run_node

SAMPLE = json.loads((find_seeds() / "requests/digits-mlp.json").read_text())["samples"][3]
TERMS = Terms(Policy(quorum=2), fee_wei=1001, callback_gas=0, patience_seconds=600)
REQUESTER = Address(local_account("requester").address)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    plan = Plan(operators=2, is_watched=False, is_witnessed=False, models=("digits-mlp/canonical",), settles_in_token=True)
    with running_network(tmp_path_factory.mktemp("token"), plan) as running:
        yield running


def test_a_question_is_paid_in_the_token_by_transaction_and_by_signature(network: Network) -> None:
    token = asset_of(network.contracts)
    assert token is not None
    client = Client(
        rpc=network.chain.rpc, deployment=network.deployment_file, api=network.api_url, signer=AccountSigner(local_account("requester"))
    )
    model, wanted = client.model(network.model_ids["digits-mlp/canonical"]), Reals(tuple(SAMPLE["input"]))
    with pytest.raises(RequestUnpaid, match="affidavit deposit"):
        client.ask(model, wanted, TERMS)
    assert client.deposit(2002) == 2002
    by_transaction = client.ask(model, wanted, TERMS)
    by_signature = client.ask_signed(model, wanted, TERMS)
    for asked in (by_transaction, by_signature):
        assert [event.kind for event in client.follow(asked.request_id)][-1] == "final"
        assert len(client.verify(asked.request_id, policy=TERMS.policy, require_complete=True).signers) == 2
    assert network.contracts.balance_of(REQUESTER) == 0
    assert tokens_of(network.contracts, token, REQUESTER) == TOKENS_WEI - 2002
    for index in range(2):
        session = network.session(f"operator-{index}")
        seat = read_seat(network.contracts, session.account)
        assert (seat.fees_wei, seat.quality.delivered) == (2 * (501 - index), 2)
        assert tokens_of(network.contracts, token, session.account) == TOKENS_WEI - STAKE_WEI


def test_a_node_takes_what_its_operator_asks_for_and_nothing_less(network: Network) -> None:
    model_id = network.model_ids["digits-mlp/canonical"]
    client = Client(
        rpc=network.chain.rpc, deployment=network.deployment_file, api=network.api_url, signer=AccountSigner(local_account("requester"))
    )
    for index, wei in enumerate((300, 500)):
        post_asks(network.session(f"operator-{index}"), EVERY_MODEL, Asks(wei, 700, None))
    quote = client.quote(model_id, TERMS.policy)
    assert (quote.fee_wei, quote.share_wei, quote.shares) == (1000, 500, 2)
    told = httpx.get(f"{network.api_url}/v1/quote", params={"model": to_hex(model_id), "policy": "quorum 2"}).json()
    assert (told["fee_wei"], told["asset"]) == ("1000", asset_of(network.contracts))
    client.deposit(1000)
    asked = client.ask(client.model(model_id), Reals(tuple(SAMPLE["input"])), replace(TERMS, fee_wei=quote.fee_wei))
    assert [event.kind for event in client.follow(asked.request_id)][-1] == "final"
    client.deposit(999)
    with pytest.raises(RequestUnpaid, match="at least 1000 wei"):
        client.ask(client.model(model_id), Reals(tuple(SAMPLE["input"])), replace(TERMS, fee_wei=999))
    on_chain = ask_by_contract(network, model_id, 999)
    with NodePeer(network.node_urls[1]) as node:
        assert (refusal := wait_for_refusal(node, on_chain)) is not None
        assert "a share of at least 500 for a signature, got 499" in refusal


def ask_by_contract(network: Network, model_id: Bytes32, fee_wei: int) -> Asked:
    """As a contract asks, or anybody who does not look at what operators posted."""
    contracts, session = network.contracts, network.session("requester")
    deadline = contracts.pending_time() + 600
    terms = (pack_policy(TERMS.policy), fee_wei, 0, deadline, session.account)
    receipt = session.sender.send(contracts.call("Coprocessor", "requestFromBalance", model_id, bytes(128), *terms))
    return next(a for a in contracts.requested_in(receipt.block_hash) if a.transaction == receipt.transaction)


def wait_for_refusal(node: NodePeer, asked: Asked) -> str | None:
    for _ in range(40):
        answer = node.ask(asked)
        assert answer.claim is None
        if answer.refusal is not None:
            return answer.refusal
        time.sleep(0.25)
    return None


def test_the_typescript_client_does_the_same(network: Network, tmp_path: Path) -> None:
    session = network.session("requester")
    deposit(session, 1000)  # its test asks on chain before it deposits
    key = tmp_path / "requester.hex"  # of a publicly known account of local chains
    key.write_text(to_hex(bytes(local_account("requester").key)))
    model_id = to_hex(network.model_ids["digits-mlp/canonical"])
    run_node(bundle("network.test", tmp_path), **network.environment(), AFFIDAVIT_TEST_KEY_FILE=str(key), AFFIDAVIT_MODEL_ID=model_id)
