"""What a question costs, as the API tells it: the operators' posted prices, and the relay's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from oracle.api.app import create_app
from oracle.encoding import pack_policy, parse_hex, to_hex
from oracle.pipeline.api import encode_request
from oracle.records import Address, Asks, Policy
from oracle.relay import store
from oracle.relay.terms import Terms
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
