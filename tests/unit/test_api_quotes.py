"""What a question costs, as the API tells it: the operators' posted prices, and the relay's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from oracle.api.app import create_app
from oracle.encoding import pack_policy, parse_hex, to_hex
from oracle.pipeline.api import encode_request
from oracle.records import SIGNED_NONCE_START, Address, Asks, Policy
from oracle.relay import store
from oracle.relay.terms import Terms
from oracle.wire import asked_to_json
from tests.twins.api import REQUESTER, Network, network, offline_contracts

TOKEN = Address("0x" + "77" * 20)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    with network(tmp_path) as made:
        yield made


@pytest.fixture
def client(net: Network) -> TestClient:
    return TestClient(net.app)


def post(net: Network, *asks: Asks) -> None:
    for seat, one in zip(net.chain.operators(), asks, strict=False):
        net.chain.world.asks[seat.operator, net.digits] = one
    net.chain.mine()  # another head: what was said of the one before is forgotten


def test_the_operators_price_and_the_relays(net: Network, client: TestClient) -> None:
    post(net, Asks(30, None, None), Asks(10, 100, None), Asks(None, 90, None))
    for policy, share_wei, shares in (("quorum 1", 10, 1), ("quorum 2", 30, 2), ("proof", 90, 1), ("quorum 2 proof", 90, 3)):
        told = client.get("/v1/quote", params={"model": to_hex(net.digits), "policy": policy}).json()
        assert (told["share_wei"], told["shares"], told["operators_fee_wei"]) == (str(share_wei), shares, str(share_wei * shares))
        assert (told["fee_wei"], told["relay_fee_wei"], told["asset"]) == (told["operators_fee_wei"], "0", None)
    word = to_hex(pack_policy(Policy(quorum=2)))
    assert client.get("/v1/quote", params={"model": to_hex(net.digits), "policy": word}).json()["policy"] == word


def test_where_too_few_posted_a_price_the_relays_is_told(net: Network, client: TestClient) -> None:
    store.publish_terms(net.desk.engine, Terms(minimum_fee_wei=7, minimum_proof_fee_wei=5), net.desk.now())
    post(net, Asks(1, None, None))
    for policy, fee, operators in (("quorum 1", "7", "1"), ("quorum 2", "7", None), ("proof", "12", None)):
        told = client.get("/v1/quote", params={"model": to_hex(net.digits), "policy": policy}).json()
        assert (told["fee_wei"], told["operators_fee_wei"]) == (fee, operators)


@pytest.mark.parametrize(
    ("model", "policy", "status"),
    [("0x" + "11" * 32, "quorum 1", 404), (None, "quorum", 422), (None, "0x" + "00" * 32, 422), ("0x11", "quorum 1", 422)],
)
def test_what_cannot_be_quoted(net: Network, client: TestClient, model: str | None, policy: str, status: int) -> None:
    assert client.get("/v1/quote", params={"model": model or to_hex(net.digits), "policy": policy}).status_code == status


def test_where_a_token_pays_the_transaction_carries_no_ether(net: Network) -> None:
    contracts = offline_contracts(net.chain)
    desk = replace(net.desk, asset=TOKEN, encode_request=lambda request, data: encode_request(contracts, request, data, TOKEN))
    wanted = {
        "model_id": to_hex(net.digits),
        "input": {"hex": to_hex(bytes(128))},
        "policy": {"quorum": 1},
        "fee_wei": "1000",
        "deadline": net.chain.time + 600,
        "requester": REQUESTER.address,
    }
    on_chain = TestClient(create_app(desk)).post("/v1/requests/prepare", json=wanted).json()["on_chain"]
    assert on_chain["value_wei"] == "0"
    terms = (pack_policy(Policy(quorum=1)), 1000, 0, wanted["deadline"], REQUESTER.address)
    expected = contracts.call("Coprocessor", "requestFromBalance", net.digits, bytes(128), *terms)
    assert parse_hex(on_chain["data"], "data") == expected.data
    told = TestClient(create_app(desk)).get("/v1/quote", params={"model": to_hex(net.digits), "policy": "quorum 1"}).json()
    assert told["asset"] == TOKEN


# ---- fees that nobody answers for ------------------------------------------------------------------------------------------------------
def ask(net: Network, client: TestClient, fee_wei: int, policy: Policy = Policy(quorum=2)) -> Response:  # noqa: B008, frozen
    asked = net.asked(fee_wei=fee_wei, policy=pack_policy(policy), nonce=SIGNED_NONCE_START + fee_wei)
    return client.post("/v1/requests", json=asked_to_json(asked))


def prepare(net: Network, client: TestClient, fee_wei: int, policy: dict[str, object]) -> Response:
    wanted = {
        "model_id": to_hex(net.digits),
        "input": {"hex": to_hex(bytes(128))},
        "policy": policy,
        "fee_wei": str(fee_wei),
        "deadline": net.chain.time + 600,
        "requester": REQUESTER.address,
    }
    return client.post("/v1/requests/prepare", json=wanted)


def test_a_fee_for_which_too_few_would_answer_is_refused_with_what_it_takes(net: Network, client: TestClient) -> None:
    post(net, Asks(30, None, None), Asks(10, None, None), Asks(50, None, None))
    for answer in (ask(net, client, 59), prepare(net, client, 59, {"quorum": 2})):
        assert (answer.status_code, answer.json()["title"]) == (402, "RequestUnpaid")
        expected = "at least 60 wei, by what operators posted in FeeQuotes: 2 shares of 30 wei, got 59 wei"
        assert answer.json()["detail"] == f"request.fee_wei: expected {expected}"
    assert net.counts() == (0, 0)
    assert (ask(net, client, 60).status_code, prepare(net, client, 60, {"quorum": 2}).status_code) == (202, 200)


def test_who_posted_nothing_may_answer_for_anything(net: Network, client: TestClient) -> None:
    """Nodes of operators without a posted price go by their own terms, which the API does not know."""
    post(net, Asks(30, None, None), Asks(10, None, None))
    assert ask(net, client, 19).status_code == 402
    assert ask(net, client, 20).status_code == 202  # the second, and the third who posted nothing
    net.chain.world.asks.clear()
    net.chain.mine()
    assert ask(net, client, 0).status_code == 202


def test_an_operator_who_left_answers_nothing(net: Network, client: TestClient) -> None:
    post(net, Asks(30, None, None), Asks(10, None, None), Asks(5, None, None))
    assert ask(net, client, 20).status_code == 202
    net.chain.set_operator_active(2, False)
    assert ask(net, client, 21).status_code == 402


def test_a_proof_costs_its_share_too(net: Network, client: TestClient) -> None:
    post(net, Asks(1, 100, None), Asks(1, None, None), Asks(1, 90, None))
    both = Policy(quorum=2, proof=True)
    assert "3 shares of 90 wei" in ask(net, client, 269, both).json()["detail"]
    assert ask(net, client, 270, both).status_code == 202


def test_what_nobody_gives_is_refused_for_any_fee(net: Network, client: TestClient) -> None:
    post(net, Asks(1, None, None), Asks(1, None, None), Asks(None, None, None))
    for answer in (ask(net, client, 10**15, Policy(proof=True)), prepare(net, client, 10**15, {"proof": True})):
        assert (answer.status_code, answer.json()["title"]) == (422, "PolicyRejected")
        assert answer.json()["detail"] == "policy proof: expected 1 active operator who gives it, got 0, by what they posted in FeeQuotes"
    refused = ask(net, client, 10**15, Policy(quorum=3))
    assert "policy quorum: expected 3 active operators who give it, got 2" in refused.json()["detail"]
