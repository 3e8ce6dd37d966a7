"""Services run for months: what a process holds after so many requests, it held after half of them. Whatever has a bound is full then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from oracle import store
from oracle.audit.access import Access, hash_token
from oracle.audit.entries import intent_entry
from oracle.audit.log import Log, Places
from oracle.audit.metrics import LogMetrics
from oracle.audit.note import generate_key
from oracle.audit.record import entry_to_json
from oracle.audit.server import make_app as make_log_app
from oracle.audit.source import DirectorySource
from oracle.encoding import keccak256, pack_policy, to_hex
from oracle.node import recent
from oracle.node.recent import RecentChain
from oracle.node.service import Door, make_app
from oracle.pipeline import headcache
from oracle.pipeline.node import work_once
from oracle.records import SIGNED_NONCE_START, ModelKind, Policy
from oracle.seams import ChainReader, SystemClock
from oracle.wire import asked_to_json
from tests.twins.api import network
from tests.twins.chain import ChainTwin
from tests.twins.held import count_held, growth
from tests.twins.logs import KEEPER
from tests.twins.node_scene import digit_image, make_scene
from tests.twins.operators import address_of

ROUNDS, EACH = 3, 10
SLACK = EACH // 2
"""Of any type: less than one for each request of a round, let alone of all of them."""


def grown(work: Callable[[int], None], held: Callable[[], Counter[str]]) -> dict[str, int]:
    """Of which types there are more after 2 × ROUNDS rounds than after ROUNDS."""
    for number in range(ROUNDS):
        work(number)
    before = held()
    for number in range(ROUNDS, 2 * ROUNDS):
        work(number)
    return {name: more for name, more in growth(before, held()).items() if more > SLACK}


@pytest.fixture(autouse=True)
def few_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "STATEMENTS_KEPT", 8)


def test_a_list_of_requests_would_be_seen() -> None:
    """The control: what these tests look for is found."""
    kept: list[list[int]] = []
    assert grown(lambda number: kept.extend([number] for _ in range(EACH)), lambda: count_held([kept]))["list"] == ROUNDS * EACH


def test_a_node_holds_nothing_of_what_it_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST_KEPT", EACH)
    scene = make_scene(tmp_path)
    scene.chain.deposit(address_of("alice"), 10**6)
    chain = cast(ChainReader, RecentChain(scene.chain))
    node = replace(scene.node, recent=chain)
    door = Door(node.name, node.store, chain, node.library, node.terms, node.metrics, {}, node.bell.set)
    app = make_app(door)
    client = TestClient(app)

    def work(number: int) -> None:
        asked = [scene.sign(digit_image(), SIGNED_NONCE_START + number * EACH + k) for k in range(EACH)]
        told = client.post("/v1/requests/many", json={"requests": [asked_to_json(one) for one in asked]}).json()
        assert {one["status"] for one in told["requests"].values()} == {202}
        while work_once(node, 1e12, EACH):
            pass
        claims = client.post("/v1/claims", json={"request_ids": [to_hex(one.request_id) for one in asked]}).json()
        assert {one["status"] for one in claims["claims"].values()} == {200}
        assert client.get("/metrics").status_code == 200

    assert grown(work, lambda: count_held([node, door, app], [scene.chain, scene.log])) == {}


def test_the_api_holds_nothing_of_what_it_took_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not of prices that strangers ask for under other policies, on a chain that stands still."""
    monkeypatch.setattr(headcache, "MOST_KEPT", EACH)
    with network(tmp_path) as net:
        client = TestClient(net.app)

        def work(number: int) -> None:
            for k in range(EACH):
                asked = net.asked(nonce=SIGNED_NONCE_START + number * EACH + k, fee_wei=10**12)
                assert client.post("/v1/requests", json=asked_to_json(asked)).status_code == 202
                assert client.get(f"/v1/requests/{to_hex(asked.request_id)}").status_code == 200
                client.get(f"/nowhere/{number}/{k}")
                policy = to_hex(pack_policy(Policy(quorum=1, window_seconds=1 + number * EACH + k)))
                assert client.get("/v1/quote", params={"model": to_hex(net.digits), "policy": policy}).status_code == 200

        moments: Any = net.desk.rate._taken  # those of the last minute, which is the bound; `test_api_rate` holds it
        assert grown(work, lambda: count_held([net.desk, net.app], [net.chain, moments])) == {}


def test_a_log_holds_nothing_of_what_it_logged(tmp_path: Path) -> None:
    places = Places(tmp_path / "tiles", *(f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("log", "checkpoint", "custody")))
    log = Log.open(places, generate_key("example.org/affidavit/tests"), KEEPER, SystemClock())
    access = Access({hash_token("writer-token"): "node-1"}, {hash_token("reader-token"): "api"})
    app = make_log_app(log, DirectorySource(places.directory), access, LogMetrics())
    client = TestClient(app, headers={"Authorization": "Bearer writer-token"})
    chain = ChainTwin()
    model = chain.register_model(ModelKind.OPAQUE, keccak256(b"manifest"))

    def work(number: int) -> None:
        for k in range(EACH):
            asked = chain.ask(model, f"{number} {k}".encode(), Policy(quorum=1), fee_wei=1)
            entry = intent_entry(asked, chain.domain, "node-1", "digits", SystemClock().now())
            answer = client.post("/append", json={"key": f"{number}:{k}", "entry": entry_to_json(entry)})
            assert answer.status_code == 200, answer.text

    publisher: Any = log._publisher
    edge = [publisher._edge.records, publisher._edge.hashes]  # of the unfinished bundle and tiles: up to 256 each
    try:
        assert grown(work, lambda: count_held([log, app], edge)) == {}
    finally:
        log.close()
