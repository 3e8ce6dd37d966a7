"""Model calls over HTTP, as an application in Go or JavaScript would record them, and as somebody hostile would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from oracle.encoding import keccak256, to_hex
from tests.twins.log_service import LogService
from tests.twins.logs import full_check

SECRET = "the patient is called Ada Lovelace"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LogService]:
    with LogService(tmp_path, "app", "other") as running:
        yield running


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogService]:
    with LogService(tmp_path_factory.mktemp("log"), "app", "other") as running:
        begun = post(running, "/calls", {"model": "m"}).json()
        running.call_id = begun["call_id"]  # type: ignore[attr-defined]
        yield running


def post(service: LogService, path: str, body: Any, writer: str = "app", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(service.url + path, content=content, headers={"authorization": f"Bearer {service.tokens[writer]}"} | headers)


def content_of(service: LogService, index: int) -> dict[str, bytes]:
    content = service.log.custody.content(index)
    return {} if content is None else dict(content.bodies)


# ---- attacks ---------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 50_000, 400),
        (b'{"model":"m"}'.decode().encode("utf-16"), 400),
        (b'{"model":"\xff"}', 400),
        (b'{"model":"m","model":"n"}', 400),
        (b'{"model":"m","input":NaN}', 400),
        (b'{"model":"m","input":Infinity}', 400),
        (b"x" * (5 << 20), 413),
        ([], 400),
        ({}, 400),
        ({"model": 7}, 400),
        ({"model": "m", "modle": "typing error"}, 400),
        ({"model": "\ud800"}, 422),
        ({"model": "m" * 9000}, 422),
        ({"model": "m", "parameters": []}, 400),
        ({"model": "m", "parameters": {"temperature": [1]}}, 422),
        ({"model": "m", "parameters": {"a b": 1}}, 422),
        ({"model": "m", "fields": {"audit.writer": "other"}}, 422),
        ({"model": "m", "fields": {"audit.sequence.writer": 1}}, 422),
        ({"model": "m", "fields": {"audit.call.previous_index": 0}}, 422),
        ({"model": "m", "fields": {"audit.call_id": "0x" + 64 * "1"}}, 422),
        ({"model": "m", "fields": {"audit.caller.stream": "0x" + 32 * "1"}}, 422),
        ({"model": "m", "fields": {"audit.capture": "proxy"}}, 422),
        ({"model": "m", "fields": {"audit.actor": "somebody else"}}, 422),
        ({"model": "m", "fields": {"audit.is_late": True}}, 422),
        ({"model": "m", "fields": {"audit.user": "ada"}}, 422),
        ({"model": "m", "fields": {"audit.request_id": "0x" + 64 * "1"}}, 400),
        ({"model": "m", "sealed": {"audit.intent.index": 3}}, 422),
        ({"model": "m", "caller": {"stream": "mine", "sequence": 1}}, 400),
        ({"model": "m", "caller": {"stream": "0x" + 32 * "1", "sequence": 0}}, 400),
        ({"model": "m", "caller": {"stream": "0x" + 32 * "1", "sequence": 2**53}}, 400),
        ({"model": "m", "caller": {"stream": "0x" + 32 * "1", "sequence": True}}, 400),
        ({"model": "m", "time": "yesterday"}, 400),
        ({"model": "m", "time": "2026-11-22T10:00:00"}, 400),
        ({"model": "m", "time": 1764000000}, 400),
        ({"model": "m", "time": "0001-01-01T00:00:00+23:59"}, 400),
        ({"model": "m", "time": "9999-12-31T23:59:59-23:59"}, 400),
        ({"model": "m", "retention": "for ever"}, 422),
        ({"model": "m", "subject": ["ada"]}, 400),
    ],
)
def test_what_cannot_be_begun(empty: LogService, body: Any, status: int) -> None:
    size = empty.log.entries.size()
    answer = post(empty, "/calls", body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert empty.log.entries.size() == size


@pytest.mark.parametrize(
    ("path", "body", "writer", "status"),
    [
        ("/calls/0x12/result", {}, "app", 400),
        (f"/calls/0x{64 * '9'}/result", {"output": "x"}, "app", 404),
        ("/calls/CALL/result", {"output": "x"}, "other", 404),
        ("/calls/CALL/error", {"type": "x"}, "other", 404),
        ("/calls/CALL/error", {}, "app", 400),
        ("/calls/CALL/error", {"type": "x", "outcome": "ok"}, "app", 400),
        ("/calls/CALL/error", {"type": 7}, "app", 400),
        ("/calls/CALL/result", {"usage": {"input_tokens": -1}}, "app", 400),
        ("/calls/CALL/result", {"usage": {"input_tokens": 1.5}}, "app", 400),
        ("/calls/CALL/result", {"usage": 7}, "app", 400),
        ("/calls/CALL/result", {"finish_reasons": "stop"}, "app", 400),
        ("/calls/CALL/result", {"fields": {"audit.intent.index": 0}}, "app", 422),
        ("/calls/CALL/result", {"fields": {"audit.caller.sequence": 9}}, "app", 422),
        ("/calls/CALL/result", {"fields": {"gen_ai.request.model": "another"}}, "app", 422),
    ],
)
def test_what_cannot_be_ended(empty: LogService, path: str, body: Any, writer: str, status: int) -> None:
    size = empty.log.entries.size()
    answer = post(empty, path.replace("CALL", empty.call_id), body, writer)  # type: ignore[attr-defined]
    assert answer.status_code == status, answer.text
    assert empty.log.entries.size() == size


def test_only_writers(empty: LogService) -> None:
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": f"Bearer {empty.reader_token}"}):
        for path in ("/calls", f"/calls/{empty.call_id}/result"):  # type: ignore[attr-defined]
            assert httpx.post(empty.url + path, json={"model": "m"}, headers=headers).status_code == 401


def test_the_same_key_begins_one_call_and_other_content_is_refused(service: LogService) -> None:
    first = post(service, "/calls", {"model": "m", "input": "x"}, **{"idempotency-key": "order-17"})
    again = post(service, "/calls", {"model": "m", "input": "x"}, **{"idempotency-key": "order-17"})
    assert first.json()["call_id"] == again.json()["call_id"]
    assert first.json()["index"] == again.json()["index"]
    for other in ({"model": "n", "input": "x"}, {"model": "m", "input": "y"}, {"model": "m"}):
        answer = post(service, "/calls", other, **{"idempotency-key": "order-17"})
        assert (answer.status_code, answer.json()["title"]) == (409, "LogRefused")
    theirs = post(service, "/calls", {"model": "m", "input": "x"}, "other", **{"idempotency-key": "order-17"})
    assert theirs.json()["call_id"] != first.json()["call_id"]
    assert service.log.entries.size() == 2
    for bad in ("", "x" * 129, "a b"):
        assert post(service, "/calls", {"model": "m"}, **{"idempotency-key": bad}).status_code == 400


def test_a_call_ends_once(service: LogService) -> None:
    path = post(service, "/calls", {"model": "m"}).headers["location"]
    first = post(service, path + "/result", {"output": "yes"})
    assert post(service, path + "/result", {"output": "yes"}).json()["index"] == first.json()["index"]
    assert post(service, path + "/result", {"output": "no"}).status_code == 409
    assert post(service, path + "/error", {"type": "regret"}).status_code == 409
    assert service.log.entries.size() == 2


# ---- as it should be ------------------------------------------------------------------------------------------------------------------
def test_a_call_from_begin_to_end(service: LogService, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": SECRET}]
    began = post(
        service,
        "/calls",
        {
            "model": "gpt-4o",
            "system": "support",
            "provider": "openai",
            "input": messages,
            "instructions": "be kind",
            "parameters": {"temperature": 1e-5, "max_tokens": 7},
            "user": "ada@example.org",
            "session": "s-1",
            "caller": {"stream": "0x" + 32 * "a", "sequence": 1},
            "fields": {"audit.purpose": "triage"},
            "time": "2026-11-22T11:00:00+01:00",
        },
    )
    assert (began.status_code, began.json()["index"]) == (201, 0)
    path = began.headers["location"]
    ended = post(
        service,
        path + "/result",
        {
            "output": "yes",
            "usage": {"input_tokens": 11, "output_tokens": 1},
            "finish_reasons": ["stop"],
            "model": "gpt-4o-2024",
            "response_id": "r-1",
            "latency_microseconds": 1200,
        },
    )
    assert ended.json()["index"] == 1
    intent, result = full_check(tmp_path)
    assert intent["audit.time"] == "2026-11-22T10:00:00.000000Z"
    expected = {"gen_ai.request.temperature": "0.00001", "gen_ai.request.max_tokens": 7, "audit.purpose": "triage", "audit.actor": "app"}
    assert expected.items() <= intent.items()
    assert (intent["audit.caller.sequence"], intent["audit.capture"], intent["audit.writer"]) == (1, "http", "app")
    assert (result["audit.intent.index"], result["audit.intent.leaf_hash"]) == (0, began.json()["leaf_hash"])
    assert (result["audit.outcome"], result["gen_ai.request.model"], result["audit.latency_microseconds"]) == ("ok", "gpt-4o", 1200)
    assert content_of(service, 0)["gen_ai.input.messages.digest"] == b'[{"content":"the patient is called Ada Lovelace","role":"user"}]'
    assert content_of(service, 1) == {"gen_ai.output.messages.digest": b"yes"}
    sealed = service.log.custody.content(0).sealed.values  # type: ignore[union-attr]
    assert (sealed["audit.user"], sealed["gen_ai.conversation.id"]) == ("ada@example.org", "s-1")
    public = json.dumps([intent, result])
    for secret in ("Ada", "ada@example.org", "s-1", "be kind", keccak256(b"yes").hex()):
        assert secret not in public


def test_an_error_with_its_words_sealed(service: LogService, tmp_path: Path) -> None:
    path = post(service, "/calls", {"model": "m"}).headers["location"]
    assert post(service, path + "/error", {"type": "timeout", "message": SECRET, "outcome": "cancelled"}).status_code == 201
    error = full_check(tmp_path)[1]
    assert (error["audit.kind"], error["error.type"], error["audit.outcome"]) == ("error", "timeout", "cancelled")
    assert SECRET not in json.dumps(error)


def test_digests_alone(service: LogService) -> None:
    sealed = {"gen_ai.input.messages.digest": to_hex(keccak256(b"x"))}
    assert post(service, "/calls", {"model": "m", "sealed": sealed}).status_code == 201
    assert content_of(service, 0) == {}
