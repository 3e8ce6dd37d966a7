"""The OpenAPI document: every example in it is executed, every status documented, every answer of the declared form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from oracle.encoding import pack_int16, to_hex
from oracle.http import STATUS_OF
from oracle.records import Bytes32
from oracle.wire import asked_to_json
from tests.twins.api import DIGITS, ROOT, Network, network

ROUTES = {
    ("get", "/v1/models"),
    ("get", "/v1/models/{model_id}"),
    ("post", "/v1/requests"),
    ("get", "/v1/requests"),
    ("post", "/v1/requests/prepare"),
    ("get", "/v1/quote"),
    ("get", "/v1/requests/{request_id}"),
    ("get", "/v1/requests/{request_id}/events"),
    ("get", "/v1/requests/{request_id}/receipt"),
    ("get", "/v1/requests/{request_id}/proof"),
    ("get", "/health"),
    ("get", "/ready"),
    ("get", "/metrics"),
}


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    with network(tmp_path) as made:
        yield made


@pytest.fixture
def document(net: Network) -> dict[str, Any]:
    answer = TestClient(net.app).get("/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json())


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, o) for path, item in document["paths"].items() for method, o in item.items()]


def test_routes_are_these(document: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(document)} == ROUTES


def test_the_page_lists_every_route_and_every_error() -> None:
    page = (ROOT / "docs/api.md").read_text()
    assert set(re.findall(r"^\| `(GET|POST) (/[^`]*)` \|", page, re.MULTILINE)) == {(m.upper(), p) for m, p in ROUTES}
    rows = re.findall(r"^\| (\d{3}) \| ([^|]+) \|", page, re.MULTILINE)
    listed = {(int(status), title) for status, titles in rows for title in re.findall(r"`(\w+)`", titles)}
    not_of_the_table = {(422, "MalformedInput"), (500, "InternalError"), (500, "InvariantBroken")}
    assert listed - not_of_the_table == {(status, kind.__name__) for kind, status in STATUS_OF.items()}


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert operation["tags"], (method, path)
        assert "413" in operation["responses"], (method, path)
    assert document["info"]["version"]
    assert document["info"]["license"]["identifier"] == "Apache-2.0"


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    schemas = document["components"]["schemas"]
    references = set(walk(document))
    assert "#/components/schemas/Problem" in references
    assert all(r.removeprefix("#/components/schemas/") in schemas for r in references), references


def test_every_example_works(net: Network, document: dict[str, Any]) -> None:
    """In the order a caller would go: ask, then what became of it once two operators answered."""
    client = TestClient(net.app)
    paths = document["paths"]

    def body(path: str) -> Any:
        return paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"]["example"]["value"]

    prepared = client.post("/v1/requests/prepare", json=body("/v1/requests/prepare"))
    assert prepared.status_code == 200, prepared.text
    signed = body("/v1/requests")
    assert prepared.json()["signed"]["request"] == signed["request"]
    assert prepared.json()["input"] == signed["input"]
    posted = client.post("/v1/requests", json=signed)
    assert posted.status_code == 202, posted.text
    settle(net, posted.json()["request_id"])
    executed = 0
    for method, path, operation in operations(document):
        if method == "get":
            values = {p["name"]: p["example"] for p in operation.get("parameters", []) if "example" in p}
            query = {p["name"]: p["example"] for p in operation.get("parameters", []) if p["in"] == "query" and "example" in p}
            answer = client.get(path.format(**values), params=query)
            assert answer.status_code == 200, (path, answer.text)
            executed += 1
    assert executed == len(ROUTES) - 2
    assert client.get("/v1/requests").json()["requests"][0]["request_id"] == posted.json()["request_id"]


def settle(net: Network, request_id: str) -> None:
    """What nodes, relay and log do."""
    from oracle.relay import store
    from oracle.relay.schema import RequestState

    asked = net.desk.view(Bytes32(bytes.fromhex(request_id[2:]))).asked
    net.log_intent(asked)
    net.deliver(asked, pack_int16(range(10)))
    for state in (RequestState.QUEUED, RequestState.SENT, RequestState.MINED, RequestState.FINAL):
        with net.desk.engine.begin() as connection:
            store.set_state(connection, asked.request_id, state, str(state), net.desk.now())


def test_the_example_holds_all_day(net: Network) -> None:
    client = TestClient(net.app)
    first = client.get("/openapi.json").json()
    net.chain.mine(seconds=3600)
    again = client.get("/openapi.json").json()
    assert net.chain.time // 86_400 == (net.chain.time - 3600) // 86_400, "the twin starts at 08:00"
    assert again == first
    net.chain.mine(seconds=86_400)
    assert client.get("/openapi.json").json() != first


def test_a_document_without_a_canonical_model_has_no_examples_but_stands(tmp_path: Path) -> None:
    with network(tmp_path, models=(DIGITS.parents[1] / "digits-cnn/opaque",)) as net:
        document = TestClient(net.app).get("/openapi.json").json()
        assert "examples" not in document["paths"]["/v1/requests"]["post"]["requestBody"]["content"]["application/json"]
        model = TestClient(net.app).get("/v1/models").json()["models"][0]
        shown = TestClient(net.app).get(f"/v1/models/{model['model_id']}").json()
        assert (shown["kind"], shown["input"]["encoding"]) == ("opaque", "AFT1")


def test_the_journal_has_one_line_without_bodies_or_secrets(net: Network) -> None:
    asked = net.asked()
    with capture_logs() as lines:
        answer = TestClient(net.app).post(
            "/v1/requests?token=swordfish", json=asked_to_json(asked), headers={"authorization": "Bearer swordfish"}
        )
        TestClient(net.app).get(f"/v1/requests/{to_hex(asked.request_id)}")
    answered = [line for line in lines if line["event"] == "answered"]
    assert [(line["method"], line["path"], line["status"]) for line in answered] == [
        ("POST", "/v1/requests", 202),
        ("GET", f"/v1/requests/{to_hex(asked.request_id)}", 200),
    ]
    assert answered[0]["http_id"] == answer.headers["x-request-id"]
    assert answered[1]["request_id"] == to_hex(asked.request_id)
    assert all(line["ms"] > 0 for line in answered)
    text = str(lines)
    assert "swordfish" not in text
    assert to_hex(asked.signature) not in text
    assert to_hex(asked.input) not in text


def test_metrics_count_by_template_and_not_by_path(net: Network) -> None:
    client = TestClient(net.app)
    client.post("/v1/requests", json=asked_to_json(net.asked()))
    client.post("/v1/requests", json=asked_to_json(net.asked(fee_wei=1 << 255)))
    client.get("/v1/requests/0x" + "12" * 32)
    client.get("/nowhere/at/all")
    client.request("BREW", "/v1/models")
    text = client.get("/metrics").text
    assert 'affidavit_api_answered_total{method="GET",route="/v1/requests/{request_id}",status="404"} 1.0' in text
    assert 'affidavit_api_answered_total{method="any",route="unmatched",status="404"} 1.0' in text
    assert "affidavit_api_accepted_requests_total 1.0" in text
    assert 'affidavit_api_refused_requests_total{error="RequestUnpaid"} 1.0' in text
    assert 'affidavit_api_requests{state="collecting"} 1.0' in text
    assert "nowhere" not in text
    assert "BREW" not in text


def test_pages_of_any_origin_may_ask(net: Network) -> None:
    client = TestClient(net.app)
    preflight = {
        "origin": "https://dapp.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    assert client.options("/v1/requests", headers=preflight).headers["access-control-allow-origin"] == "*"
    answer = client.get("/v1/models", headers={"origin": "https://dapp.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_an_answer_never_shows_our_insides(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(type(net.desk), "models", fail)
    client = TestClient(net.app, raise_server_exceptions=False)
    answer = client.get("/v1/models")
    assert (answer.status_code, answer.json()["detail"]) == (500, "internal error")
    monkeypatch.undo()
    assert 'status="500"} 1.0' in client.get("/metrics").text
