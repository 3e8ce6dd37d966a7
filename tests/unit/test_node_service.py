"""The node's door: what it shows and when, and every malformed call answered with a precise problem."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from oracle.encoding import to_hex
from oracle.errors import ChainError, InputRejected, InvariantBroken, PeerError
from oracle.node import service
from oracle.node.jobs import JobState
from oracle.node.service import Door, make_app
from oracle.pipeline.node import work_once
from oracle.records import SIGNED_NONCE_START, Asked
from oracle.wire import asked_to_json, signed_claim_from_json
from tests.twins.node_scene import Scene, digit_image, make_scene

FAR = 1e12


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


@pytest.fixture
def door(scene: Scene) -> Door:
    def require_log() -> None:
        if not scene.log.is_ready():
            raise PeerError("the log is not ready")

    def require_chain() -> None:
        if scene.chain.block("latest") is None:
            raise ChainError("no latest block")

    node = scene.node
    readiness = {"chain": require_chain, "log": require_log}
    return Door(node.name, node.store, node.chain, node.library, node.terms, node.metrics, readiness, node.bell.set)


@pytest.fixture
def client(door: Door) -> TestClient:
    return TestClient(make_app(door), raise_server_exceptions=False)


def post(client: TestClient, asked: Asked, **changes: Any) -> httpx.Response:
    answer: httpx.Response = client.post("/v1/requests", json=asked_to_json(asked) | changes)
    return answer


def assert_problem(answer: httpx.Response, status: int, kind: str, names: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == kind
    assert names in answer.json()["detail"]


def test_from_a_posted_request_to_its_claim(scene: Scene, client: TestClient) -> None:
    asked = scene.sign(digit_image())
    url = f"/v1/claims/{to_hex(asked.request_id)}"
    assert_problem(client.get(url), 404, "RequestUnknown")
    accepted = {"request_id": to_hex(asked.request_id), "state": "queued"}
    for _ in range(2):
        answer = post(client, asked)
        assert (answer.status_code, answer.json()) == (202, accepted)
    assert scene.node.bell.is_set()
    assert (client.get(url).status_code, client.get(url).json()) == (202, {"state": "queued"})
    assert work_once(scene.node, FAR)
    answer = client.get(url)
    assert answer.status_code == 200
    signed = signed_claim_from_json(answer.json())
    assert signed == scene.store.require_guarded(asked.request_id, scene.chain.domain).signed
    assert (post(client, asked).status_code, post(client, asked).json()["state"]) == (202, "answered")
    assert not work_once(scene.node, FAR)


def test_a_claim_that_is_signed_but_not_in_the_log_is_not_shown(scene: Scene, client: TestClient) -> None:
    asked = scene.sign(digit_image())
    post(client, asked)
    scene.log.before = lambda entry: setattr(scene.log, "is_closed", True)  # the intent is written, then the log closes
    work_once(scene.node, FAR)
    assert scene.store.guarded(asked.request_id, scene.chain.domain) is not None
    answer = client.get(f"/v1/claims/{to_hex(asked.request_id)}")
    assert (answer.status_code, answer.json()) == (202, {"state": "queued"})


def test_a_refused_request_says_why(scene: Scene, client: TestClient) -> None:
    asked = scene.chain.ask(scene.digits.model_id, b"short", fee_wei=5)
    scene.store.enqueue(asked)
    work_once(scene.node, FAR)
    answer = client.get(f"/v1/claims/{to_hex(asked.request_id)}")
    assert_problem(answer, 422, "InputRejected", "128 bytes")
    assert answer.json()["state"] == "refused"


def test_a_request_we_failed_on_says_only_that(scene: Scene, client: TestClient) -> None:
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), fee_wei=5)
    scene.store.enqueue(asked)
    assert scene.store.take_next(FAR) is not None
    scene.store.mark_broken(asked.request_id, InvariantBroken("inner detail"))
    answer = client.get(f"/v1/claims/{to_hex(asked.request_id)}")
    assert_problem(answer, 500, "InternalError")
    assert "inner detail" not in answer.text


def test_a_refused_post_leaves_nothing_behind(scene: Scene, client: TestClient) -> None:
    asked = scene.sign(digit_image(), signer="mallory")
    assert_problem(post(client, asked), 422, "RequestRejected", "signature")
    assert scene.store.find(asked.request_id) is None
    assert sum(scene.store.count_by_state().values()) == 0


POSTS: dict[str, tuple[Callable[[Scene], Any], int, str, str]] = {
    "no JSON": (lambda s: b"{", 400, "MalformedInput", "JSON"),
    "not UTF-8": (lambda s: b"\xff\xfe\xfd", 400, "MalformedInput", "JSON"),
    "nested": (lambda s: b"[" * 8000, 400, "MalformedInput", "JSON"),
    "a list": (lambda s: b"[]", 400, "MalformedInput", "object"),
    "null": (lambda s: b"null", 400, "MalformedInput", "object"),
    "empty": (lambda s: b"", 400, "MalformedInput", "JSON"),
    "a field twice": (lambda s: twice(s, "input"), 400, "MalformedInput", "'input' twice"),
    "no name twice": (lambda s: b'{"": 1, "": 2}', 400, "MalformedInput", "'' twice"),
    "a field missing": (lambda s: without(s, "signature"), 400, "MalformedInput", "signature"),
    "a field more": (lambda s: asked_to_json(s.sign(digit_image())) | {"x": 1}, 400, "MalformedInput", "other fields"),
    "bad hex": (lambda s: asked_to_json(s.sign(digit_image())) | {"input": "0xzz"}, 400, "MalformedInput", "input"),
    "text UTF-8 cannot write": (lambda s: asked_to_json(s.sign(digit_image())) | {"input": "\ud800"}, 400, "MalformedInput", "input"),
    "no address": (lambda s: with_requester(s, "\ud800"), 400, "MalformedInput", "request.requester"),
    "input no text": (lambda s: asked_to_json(s.sign(digit_image())) | {"input": 7}, 400, "MalformedInput", "input"),
    "contract's nonce": (lambda s: asked_to_json(s.sign(digit_image(), nonce=1)), 422, "RequestRejected", "nonce"),
    "unpaid": (lambda s: asked_to_json(s.sign(digit_image(), fee_wei=2)), 402, "RequestUnpaid", "fee_wei"),
    "expired": (lambda s: asked_to_json(s.sign(digit_image(), deadline=1)), 410, "RequestExpired", "deadline"),
    "model": (lambda s: asked_to_json(s.sign(digit_image(), model_id=bytes(32))), 404, "ModelUnknown", "model"),
    "input": (lambda s: asked_to_json(s.sign(b"x")), 422, "InputRejected", "bytes"),
    "policy": (lambda s: asked_to_json(s.sign(digit_image(), policy=bytes(32))), 422, "PolicyRejected", "policy"),
    "input too large": (lambda s: asked_to_json(s.sign(bytes(4097))), 413, "TooLarge", "4096"),
    "body too large": (lambda s: b" " * 20_000, 413, "TooLarge", "body"),
}


def without(scene: Scene, field: str) -> dict[str, Any]:
    body = asked_to_json(scene.sign(digit_image()))
    del body[field]
    return body


def twice(scene: Scene, field: str) -> bytes:
    body = asked_to_json(scene.sign(digit_image()))
    return json.dumps({field: "0x"} | {"x": 0}).replace('"x": 0', json.dumps(body)[1:-1]).encode()


def with_requester(scene: Scene, text: str) -> dict[str, Any]:
    body = asked_to_json(scene.sign(digit_image()))
    body["request"]["requester"] = text
    return body


@pytest.mark.parametrize(("make", "status", "kind", "names"), POSTS.values(), ids=POSTS)
def test_bad_posts(scene: Scene, client: TestClient, make: Callable[[Scene], Any], status: int, kind: str, names: str) -> None:
    body = make(scene)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert_problem(client.post("/v1/requests", content=content), status, kind, names)
    assert sum(scene.store.count_by_state().values()) == 0


@pytest.mark.parametrize("path", ["zz", "0x00", "0x" + "g" * 64, "0x" + "00" * 33])
def test_bad_request_ids(client: TestClient, path: str) -> None:
    assert_problem(client.get(f"/v1/claims/{path}"), 400, "MalformedInput", "request id")


def test_the_chain_being_away_is_nobodys_fault(scene: Scene, client: TestClient) -> None:
    asked = scene.sign(digit_image())
    scene.chain.is_down = True
    assert_problem(post(client, asked), 503, "ChainError")


def test_a_deposit_is_not_promised_to_two_requests(scene: Scene, client: TestClient) -> None:
    first, second = (scene.sign(digit_image(), nonce=SIGNED_NONCE_START + n, fee_wei=60) for n in (0, 1))
    assert post(client, first).status_code == 202
    assert_problem(post(client, second), 402, "RequestUnpaid", "deposit")


def test_a_full_queue_takes_no_more_signed_requests(scene: Scene, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_OPEN_JOBS", 1)
    assert post(client, scene.sign(digit_image())).status_code == 202
    assert_problem(post(client, scene.sign(digit_image(), nonce=SIGNED_NONCE_START + 1)), 429, "RateLimited")


def test_a_request_refused_before_may_be_posted_again_when_it_is_good(scene: Scene, client: TestClient) -> None:
    asked = scene.sign(digit_image())
    scene.store.enqueue(asked)
    assert scene.store.take_next(FAR) is not None
    scene.store.refuse(asked.request_id, InputRejected("deposit"))
    assert post(client, asked).json()["state"] == JobState.QUEUED.value


def test_models_are_listed_with_what_they_cost(scene: Scene, client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert listed["minimum_fee_wei"] == "3"
    assert {model["model_id"]: (model["kind"], model["name"]) for model in listed["models"]} == {
        to_hex(scene.digits.model_id): ("canonical", "digits-mlp"),
        to_hex(scene.scale.model_id): ("opaque", "scale"),
    }


def test_readiness_names_what_is_missing(scene: Scene, door: Door, client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "alive", "node": "node-0"}
    assert (client.get("/ready").status_code, client.get("/ready").json()) == (
        200,
        {"ready": True, "degraded": False, "chain": True, "log": True},
    )
    scene.log.is_down = True
    assert (client.get("/ready").status_code, client.get("/ready").json()) == (
        503,
        {"ready": False, "degraded": False, "chain": True, "log": False},
    )
    scene.chain.is_down = True
    assert client.get("/ready").json()["chain"] is False
    assert client.get("/health").status_code == 200

    def fail() -> None:
        raise InvariantBroken("bug")

    broken = TestClient(make_app(replace(door, readiness={"x": fail})), raise_server_exceptions=False)
    assert_problem(broken.get("/ready"), 500, "InvariantBroken", "internal error")


def test_metrics_count_what_happened(scene: Scene, client: TestClient) -> None:
    post(client, scene.sign(digit_image()))
    scene.store.enqueue(scene.chain.ask(scene.digits.model_id, b"short", fee_wei=5))
    while work_once(scene.node, FAR):
        pass
    text = client.get("/metrics").text
    for line in (
        'affidavit_node_jobs{state="answered"} 1.0',
        'affidavit_node_jobs{state="refused"} 1.0',
        'affidavit_node_inference_seconds_count{model="digits-mlp"} 1.0',
        'affidavit_node_refused_total{error="InputRejected"} 1.0',
        "affidavit_node_equivocations_prevented_total 0.0",
        "affidavit_node_head_lag_blocks 0.0",
    ):
        assert line in text.splitlines()


# ---- several at once -----------------------------------------------------------------------------------------------------
def test_several_are_answered_as_each_alone(scene: Scene, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, refused, queued = (
        scene.sign(digit_image()),
        scene.chain.ask(scene.digits.model_id, b"short", fee_wei=5),
        scene.sign(digit_image(1), nonce=1 + (1 << 128)),
    )
    post(client, answered)
    scene.store.enqueue(refused)
    while work_once(scene.node, FAR):
        pass
    post(client, queued)
    ids = [to_hex(a.request_id) for a in (answered, refused, queued)] + ["0x" + "ab" * 32]
    alone = {one: client.get(f"/v1/claims/{one}") for one in ids}
    assert [answer.status_code for answer in alone.values()] == [200, 422, 202, 404]
    assert alone[ids[0]].headers[service.BATCH_HEADER] == str(service.MOST_ASKED_AT_ONCE)
    together = client.post("/v1/claims", json={"request_ids": ids})
    assert together.status_code == 200
    items = together.json()["claims"]
    assert [items[one]["status"] for one in ids] == [200, 422, 202, 404]
    assert all(items[one]["body"] == alone[one].json() for one in ids[:3])
    monkeypatch.setattr(service, "MAX_BATCH_BYTES", 1)
    assert list(client.post("/v1/claims", json={"request_ids": ids}).json()["claims"]) == ids[:1]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"request_ids": []},
        {"request_ids": "0x"},
        {"request_ids": ["0x12"]},
        {"request_ids": [1]},
        [],
        {"request_ids": ["0x" + "00" * 32] * 65},
    ],
)
def test_no_list_of_ids_is_refused(client: TestClient, body: Any) -> None:
    assert_problem(client.post("/v1/claims", json=body), 400, "MalformedInput")


# ---- several requests -------------------------------------------------------------------------------------------------------------
def post_many(client: TestClient, *items: Any) -> dict[str, Any]:
    answer = client.post("/v1/requests/many", json={"requests": list(items)})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()["requests"]
    return found


def test_several_are_taken_as_each_alone(scene: Scene, client: TestClient) -> None:
    asked = [scene.sign(digit_image(n), nonce=SIGNED_NONCE_START + n, fee_wei=fee) for n, fee in enumerate((30, 1, 40, 40))]
    nonsense = {"request": 1}
    found = post_many(client, *(asked_to_json(one) for one in asked), nonsense)
    assert [found[to_hex(one.request_id)]["status"] for one in asked] == [202, 402, 202, 402]  # of a deposit of 100
    assert found.keys() == {to_hex(one.request_id) for one in asked}
    alone = post(client, asked[1])
    assert found[to_hex(asked[1].request_id)] == {"status": alone.status_code, "body": alone.json()}
    assert found[to_hex(asked[0].request_id)]["body"] == post(client, asked[0]).json()
    assert [scene.store.find(one.request_id) is not None for one in asked] == [True, False, True, False]
    assert work_once(scene.node, FAR, 4)
    again = post_many(client, *(asked_to_json(one) for one in asked))
    assert again[to_hex(asked[0].request_id)]["body"]["state"] == JobState.ANSWERED.value


def test_several_fill_the_queue_no_further_than_one_by_one(scene: Scene, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_OPEN_JOBS", 2)
    asked = [scene.sign(digit_image(n), nonce=SIGNED_NONCE_START + n) for n in range(3)]
    found = post_many(client, *map(asked_to_json, asked))
    assert [found[to_hex(one.request_id)]["status"] for one in asked] == [202, 202, 429]


def test_several_have_a_limit_of_their_own(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_problem(client.post("/v1/requests/many", content=b" " * 20_000), 400, "MalformedInput")  # too large for one alone
    assert_problem(client.post("/v1/requests/many", content=b" " * (service.MAX_BATCH_BYTES + 1)), 413, "TooLarge")
    for body in ({}, [], {"requests": []}, {"requests": [{}] * 65}, {"requests": {}}):
        assert_problem(client.post("/v1/requests/many", json=body), 400, "MalformedInput")


def test_several_when_the_chain_is_away(scene: Scene, client: TestClient) -> None:
    scene.chain.is_down = True
    asked = [scene.sign(digit_image(n), nonce=SIGNED_NONCE_START + n) for n in range(2)]
    found = post_many(client, *map(asked_to_json, asked))
    assert {item["status"] for item in found.values()} == {503}
    assert scene.store.count_open() == 0
