"""/health of node, API and the others says how each endpoint of the chain is, and nothing of a URL that could be a secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from oracle.api.app import create_app
from oracle.errors import ChainError
from oracle.node.service import Door
from oracle.node.service import make_app as make_node_app
from oracle.relay.endpoint import Endpoint
from oracle.relay.endpoints import Endpoints, Pauses
from oracle.relay.metrics import make_app as make_relay_app
from tests.twins.api import network
from tests.twins.node_scene import make_scene

KEY, USER, PASSWORD = "0123456789abcdefSECRET", "someone", "theirpassword"
URLS = [f"https://{USER}:{PASSWORD}@one.test/v3/{KEY}", f"https://two.test/?apikey={KEY}", f"http://three.test:8545/{KEY}"]
SECRETS = (KEY, USER, PASSWORD, "/v3", "apikey")


def failing() -> Endpoints:
    """Endpoints whose providers quote the URL, key and all, in what they answer; each was asked some times."""

    def quote(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, text=f"no plan for {request.url} with {request.headers.get('authorization')}, {USER}:{PASSWORD}")

    endpoints = Endpoints(URLS, 1, pauses=Pauses(0.01, 0.01, 0.01), transport=httpx.MockTransport(quote))
    for _ in range(4):
        with pytest.raises(ChainError):
            Endpoint(endpoints).chain_id()
    return endpoints


def node(tmp_path: Path, endpoints: Endpoints) -> FastAPI:
    of = make_scene(tmp_path).node
    door = Door(of.name, of.store, of.chain, of.library, of.terms, of.metrics, {}, of.bell.set, endpoints=endpoints.describe)
    return make_node_app(door)


def relay(_: Path, endpoints: Endpoints) -> FastAPI:
    class Metrics:
        registry = CollectorRegistry()

    return make_relay_app(Metrics(), {}, endpoints=endpoints)


def check(client: TestClient) -> None:
    told = client.get("/health")
    body = told.json()
    assert told.status_code == 200
    assert body["quorum"] == 2
    assert [one["name"] for one in body["endpoints"]] == ["https://one.test", "https://two.test", "http://three.test:8545"]
    assert all(one["state"] != "ready" and one["faults"] for one in body["endpoints"])
    said = told.text + client.get("/metrics").text + client.get("/ready").text
    assert [secret for secret in SECRETS if secret in said] == []


@pytest.mark.parametrize("make", [node, relay])
def test_a_process_tells_of_its_endpoints_and_of_no_key(make: Callable[[Path, Endpoints], FastAPI], tmp_path: Path) -> None:
    check(TestClient(make(tmp_path, failing())))


def test_the_api_tells_of_its_endpoints_and_of_no_key(tmp_path: Path) -> None:
    with network(tmp_path) as net:
        client = TestClient(create_app(replace(net.desk, endpoints=failing())))
        check(client)
        assert 'affidavit_chain_endpoint_state{endpoint="https://one.test",state="ready"} 0.0' in client.get("/metrics").text
        assert TestClient(net.app).get("/health").json()["endpoints"] == []
