"""The recording proxy between the real `openai` client and an upstream that speaks its wire format: as it should be, and attacked."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from oracle.audit.access import hash_token
from oracle.config import ProxyConfig
from oracle.encoding import to_hex
from oracle.errors import ConfigRejected, PeerError
from oracle.ingest.callers import new_callers
from oracle.ingest.proxy_process import open_proxy
from oracle.records import Appended, Entry
from tests.twins.log_process import LogProcess
from tests.twins.log_service import LogService
from tests.twins.logs import full_check
from tests.twins.openai_upstream import Behaviour, Upstream, answer_to, stream_events
from tests.twins.proxy_service import ProxyService, write_token

KEY = "sk-upstream-0123456789abcdef"
QUESTION = "Ada Lovelace has a confidential question"
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": QUESTION}]}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogService]:
    with LogService(tmp_path, "proxy") as running:
        yield running


@pytest.fixture
def proxy(tmp_path: Path, upstream: Upstream, log: LogService) -> Iterator[ProxyService]:
    with ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"], system="support") as running:
        yield running


@dataclass
class Line:
    """Proxy, upstream and log that several tests share."""

    proxy: ProxyService
    upstream: Upstream
    log: LogService


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    directory = tmp_path_factory.mktemp("line")
    with ExitStack() as stack:
        upstream, log = stack.enter_context(Upstream()), stack.enter_context(LogService(directory, "proxy"))
        service = ProxyService(directory, upstream.url, log.url, log.tokens["proxy"], other_paths="forward")
        yield Line(stack.enter_context(service), upstream, log)


def client_of(proxy: ProxyService, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=proxy.url, api_key=KEY, **({"max_retries": 0} | options))


def records_of(directory: Path) -> list[dict[str, Any]]:
    return full_check(directory)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def body_of(log: LogService, index: int, name: str) -> Any:
    content = log.log.custody.content(index)
    assert content is not None
    return json.loads(content.bodies[f"{name}.digest"])


def post(proxy: ProxyService, body: Any, path: str = "/chat/completions", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(proxy.url + path, content=content, headers={"authorization": f"Bearer {KEY}"} | headers, timeout=30)


# ---- attacks ----------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe{}", 400),
        (json.dumps(ASK).encode("utf-16"), 400),
        (b'{"model":"a","model":"b","messages":[]}', 400),
        (b'{"model":"m","messages":[],"temperature":NaN}', 400),
        (b'{"model":"m","messages":[],"temperature":1e999}', 422),
        (b"[" * 100_000, 400),
        ([], 400),
        ({"messages": []}, 400),
        (ASK | {"model": 7}, 400),
        (ASK | {"model": "the patient is called Ada"}, 400),
        (ASK | {"model": "m" * 300}, 400),
        (ASK | {"temperature": "Ada"}, 400),
        (ASK | {"max_tokens": [1]}, 400),
        (ASK | {"seed": True}, 400),
        (ASK | {"stream": "yes"}, 400),
        (ASK | {"user": {"name": "Ada"}}, 400),
        (ASK | {"user": "x" * 1000}, 400),
        (ASK | {"background": True}, 400),
        (b"x" * (5 << 20), 413),
    ],
)
def test_what_is_not_forwarded(line: Line, body: Any, status: int) -> None:
    asked, size = len(line.upstream.seen), line.log.log.entries.size()
    answer = post(line.proxy, body)
    assert answer.status_code == status, answer.text
    if status != 413:
        assert answer.json()["error"]["message"]
        assert answer.headers["content-type"] == "application/problem+json"
    assert (len(line.upstream.seen), line.log.log.entries.size()) == (asked, size)


@pytest.mark.parametrize(
    "target",
    [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/..%2fadmin",
        "/v1//evil.example/x",
        "/v1/http://evil.example/x",
        "http://evil.example/v1/chat/completions/",
        "//evil.example/v1/models",
        "/v1/@evil.example",
        "/v1/chat%0d%0acompletions",
        "/v2/chat/completions",
        "/chat/completions",
    ],
)
def test_no_path_leads_elsewhere(line: Line, target: str) -> None:
    asked = len(line.upstream.seen)
    request = f"POST {target} HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    assert (answer := raw(line.proxy, request)).split(b" ")[1] in (b"404", b"400"), answer
    assert len(line.upstream.seen) == asked


def raw(proxy: ProxyService, request: str | bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        connection.sendall(request.encode() if isinstance(request, str) else request)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


SMUGGLED = 'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{"model":"smuggled"}'


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        "Content-Length: 2\r\nContent-Length: 90\r\n\r\n{}" + SMUGGLED,
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        "Content-Length: -1\r\n\r\n{}",
        "Content-Length : 2\r\n\r\n{}",
        "X-A: b\r\n Content-Length: 2\r\n\r\n{}",
        "X-A: \x00\r\nContent-Length: 2\r\n\r\n{}",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_nothing_is_smuggled(line: Line, head: str) -> None:
    asked = len(line.upstream.seen)
    answer = raw(line.proxy, f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}")
    assert answer.split(b" ")[1] in (b"400", b"413", b"404"), answer
    assert len(line.upstream.seen) == asked


def test_headers_pass_by_a_list_and_the_upstreams_come_back_by_one(proxy: ProxyService, upstream: Upstream) -> None:
    mixed = {"set-cookie": "session=other", "x-request-id": "r-1", "x-evil": "1", "openai-version": "2020"}
    upstream.behaviour.headers = tuple((name.encode(), value.encode()) for name, value in mixed.items())
    hostile = {"cookie": "a=b", "x-forwarded-for": "8.8.8.8", "x-real-ip": "1.1.1.1", "x-audit-writer": "me"}
    hostile["openai-organization"] = "org-1"
    answer = post(proxy, ASK, **hostile)
    assert (answer.headers["x-request-id"], answer.headers["openai-version"]) == ("r-1", "2020")
    assert not {"set-cookie", "x-evil"} & answer.headers.keys()
    post(proxy, ASK)
    for seen in upstream.seen:
        names = {name for name, _ in seen.headers}
        ours = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length"}
        assert names <= ours | {"authorization", "openai-organization"}
        assert seen.header("authorization") == f"Bearer {KEY}"


def test_a_redirect_is_not_followed(proxy: ProxyService, upstream: Upstream, log: LogService, tmp_path: Path) -> None:
    upstream.behaviour = Behaviour(status=307, body=b"", headers=((b"location", b"http://127.0.0.1:9/v1/steal"),))
    answer = post(proxy, ASK)
    assert (answer.status_code, "location" in answer.headers) == (307, False)
    assert records_of(tmp_path)[1]["error.type"] == "UpstreamStatus307"


def test_an_upstreams_error_passes_and_its_words_are_not_recorded(proxy: ProxyService, upstream: Upstream, tmp_path: Path) -> None:
    upstream.behaviour = Behaviour(status=401)
    with pytest.raises(openai.AuthenticationError, match="sk-leaked"):
        client_of(proxy).chat.completions.create(**ASK)
    _intent, error = records_of(tmp_path)
    assert (error["audit.kind"], error["error.type"], error["audit.http.status"]) == ("error", "UpstreamStatus401", 401)
    assert error["audit.outcome"] == "error"
    assert "audit.sealed" not in error


def test_secrets_are_nowhere(tmp_path: Path, upstream: Upstream, capfd: pytest.CaptureFixture[str]) -> None:
    """Keys in headers and in the query, a caller's token, what was said: searched for in everything that was written."""
    secrets = {"key": KEY, "query": "query-secret-4711"}
    with LogProcess(tmp_path / "log", "proxy") as log:
        settings = {"spool": tmp_path / "spool.sqlite", "log_policy": "open"}
        with ProxyService(tmp_path / "proxy", upstream.url, log.url, log.tokens["proxy"], **settings) as proxy:
            for number in range(4):
                if number == 2:
                    log.kill()
                assert post(proxy, ASK | {"user": "countess@example.org"}, f"/chat/completions?key={secrets['query']}").status_code == 200
            upstream.behaviour = Behaviour(status=500)
            post(proxy, ASK)
            upstream.behaviour = Behaviour(stop_after=2)
            post(proxy, ASK | {"stream": True})
    assert [seen.query for seen in upstream.seen[:4]] == ["key=" + secrets["query"]] * 4
    printed = capfd.readouterr()
    for secret in (*secrets.values(), "countess", "Lovelace", "sk-leaked", log.tokens["proxy"]):
        assert secret not in printed.out + printed.err
        for file in tmp_path.rglob("*"):
            if file.is_file() and file.name != "proxy.token":
                assert secret.encode() not in file.read_bytes(), (secret, file)


@pytest.mark.parametrize("is_stream", [False, True])
def test_without_content_nothing_said_reaches_the_log(tmp_path: Path, upstream: Upstream, log: LogService, is_stream: bool) -> None:
    with ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"], content="none") as proxy:
        tools = [{"type": "function", "function": {"name": "look_up", "description": QUESTION}}]
        post(proxy, ASK | {"user": "countess", "stream": is_stream, "tools": tools, "stop": QUESTION, "metadata": {"a": QUESTION}})
    records = records_of(tmp_path)
    assert [record["audit.kind"] for record in records] == ["intent", "result"]
    assert not any("audit.sealed" in record for record in records)
    assert not {"Ada", "Lovelace", "countess", "confidential"} & set(json.dumps(records).replace('"', " ").split())
    assert log.log.custody.content(0) is log.log.custody.content(1) is None


def test_an_upstream_that_lies_is_recorded_as_far_as_it_makes_sense(proxy: ProxyService, upstream: Upstream, tmp_path: Path) -> None:
    lies = {
        "id": "x" * 10_000,
        "model": {"a": 1},
        "choices": [{"finish_reason": "Ada Lovelace was here", "message": {"tool_calls": [{"function": {"name": "a b"}}, 7]}}, 3, None],
        "usage": {"prompt_tokens": -1, "completion_tokens": 2**70, "prompt_tokens_details": []},
    }
    for body in (json.dumps(lies).encode(), b"not json", b"", b"[1]", b'{"choices":' + b"[" * 5000, b"\xff"):
        upstream.behaviour = Behaviour(body=body)
        assert post(proxy, ASK).content == body
    records = records_of(tmp_path)
    assert [record["audit.kind"] for record in records] == ["intent", "result"] * 6
    extra = {name for record in records[1::2] for name in record if name.startswith(("gen_ai.response", "gen_ai.usage", "audit.tool"))}
    assert extra == set()


def test_an_answer_above_the_limit_is_not_passed_on(tmp_path: Path, upstream: Upstream, log: LogService) -> None:
    with ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"], max_answer_bytes=1000) as proxy:
        upstream.behaviour = Behaviour(body=b"x" * 2000)
        assert post(proxy, ASK).status_code == 502
        upstream.behaviour = Behaviour()
        long = ASK | {"messages": [{"role": "user", "content": "word " * 100}]}
        assert b"[DONE]" not in post(proxy, long | {"stream": True}).content
    assert [r.get("error.type") for r in records_of(tmp_path)] == [None, "UpstreamTooLarge"] * 2


# ---- streams ---------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("pieces", [0, 1, 2, 3, 7, 64, 100_000])
def test_streams_cut_anywhere_come_through_to_the_byte(line: Line, pieces: int, line_end: bytes) -> None:
    line.upstream.behaviour = Behaviour(pieces=pieces, line_end=line_end)
    ask = ASK | {"stream": True, "messages": [{"role": "user", "content": "naïve Straße 漢字 🙂 end"}]}
    answer = post(line.proxy, ask)
    line.upstream.behaviour = Behaviour()
    assert answer.content == b"".join(stream_events("/v1/chat/completions", ask)).replace(b"\n", line_end)
    result = records_of(line.log.directory)[-1]
    assert (result["audit.kind"], result["gen_ai.response.finish_reasons"]) == ("result", ["stop"])


class SlowLog:
    """A log whose results take long; what was received until one was written is looked at meanwhile."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.go_on, self.asked = inner, threading.Event(), threading.Event()

    def append(self, entry: Entry, key: str | None = None) -> Appended:
        if entry.kind != "intent":
            self.asked.set()
            assert self.go_on.wait(10)
        return self.inner.append(entry, key)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "ask", "final"),
    [
        ("/chat/completions", ASK, [b'"stop"', b"[DONE]"]),
        ("/chat/completions", ASK | {"stream_options": {"include_usage": True}}, [b'"stop"', b'"usage"', b"[DONE]"]),
        ("/completions", {"model": "m", "prompt": "one two three"}, [b'"stop"', b"[DONE]"]),
        ("/responses", {"model": "m", "input": "one two three"}, [b"response.completed"]),
    ],
)
def test_the_end_of_a_stream_is_held_back_until_its_result_is_in_the_log(
    proxy: ProxyService, path: str, ask: dict[str, Any], final: list[bytes]
) -> None:
    slow = SlowLog(proxy.proxy.recorder.delivery._log)
    proxy.proxy.recorder.delivery._log = slow
    received = bytearray()

    def read() -> None:
        with httpx.stream("POST", proxy.url + path, json=ask | {"stream": True}, timeout=30) as answer:
            for data in answer.iter_bytes():
                received.extend(data)

    thread = threading.Thread(target=read)
    thread.start()
    assert slow.asked.wait(10)
    time.sleep(0.2)
    assert b"one" in received or b"Ada" in received, "the pieces before flow"
    assert not any(word in received for word in final)
    slow.go_on.set()
    thread.join()
    assert all(word in received for word in final)


def test_a_caller_that_hangs_up_is_on_record_and_the_upstream_is_let_go(proxy: ProxyService, upstream: Upstream, tmp_path: Path) -> None:
    upstream.behaviour = Behaviour(pause=0.1)
    ask = ASK | {"messages": [{"role": "user", "content": "word " * 300}]}
    with client_of(proxy).chat.completions.create(stream=True, **ask) as stream:
        for _ in range(3):
            next(stream)
    wait_for(lambda: len(records_of(tmp_path)) == 2)
    error = records_of(tmp_path)[1]
    assert (error["error.type"], error["audit.outcome"]) == ("CallerHungUp", "cancelled")
    assert upstream.is_hung_up_on.wait(5)
    wait_for(lambda: not proxy.proxy.open_calls)


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (Behaviour(stop_after=3), "UpstreamRemoteProtocolError"),
        (Behaviour(never_finishes=True), "UpstreamTruncated"),
        (Behaviour(stop_after=0), "UpstreamRemoteProtocolError"),
        (Behaviour(stop_after=-1), "UpstreamRemoteProtocolError"),
    ],
)
def test_a_stream_that_breaks_off_is_an_error_and_looks_like_one(
    proxy: ProxyService, upstream: Upstream, log: LogService, tmp_path: Path, behaviour: Behaviour, kind: str
) -> None:
    upstream.behaviour = behaviour
    stream = client_of(proxy).chat.completions.create(stream=True, **ASK)
    with pytest.raises(openai.APIError, match="broke off"):
        assert not [chunk for chunk in stream if chunk.choices[0].finish_reason]
    error = records_of(tmp_path)[1]
    assert (error["audit.kind"], error["error.type"]) == ("error", kind)
    if behaviour.stop_after == 3:
        assert body_of(log, 1, "gen_ai.output.messages")[0]["message"]["content"].startswith("question")


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_bug_of_ours_leaves_no_intent_open(proxy: ProxyService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_stream: bool) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("oracle.ingest.exchange.Transcript.add" if is_stream else "oracle.ingest.proxy.read_answer", fail)
    answer = post(proxy, ASK | {"stream": is_stream})
    assert b"[DONE]" not in answer.content
    assert (answer.status_code, "a bug" in answer.text) == (200 if is_stream else 500, False)
    assert [r.get("error.type") for r in records_of(tmp_path)] == [None, "ZeroDivisionError"]


# ---- when the log is away ---------------------------------------------------------------------------------------------------------------
class Broken:
    """A log that takes intents, or not even those."""

    def __init__(self, inner: Any, takes_intents: bool) -> None:
        self.inner, self.takes_intents = inner, takes_intents

    def append(self, entry: Entry, key: str | None = None) -> Appended:
        if self.takes_intents and entry.kind == "intent":
            return self.inner.append(entry, key)  # type: ignore[no-any-return]
        raise PeerError("away")


def test_closed_nothing_is_forwarded_without_its_intent(proxy: ProxyService, upstream: Upstream) -> None:
    proxy.proxy.recorder.delivery._log = Broken(None, False)
    for is_stream in (False, True):
        with pytest.raises(openai.InternalServerError, match="audit log"):
            client_of(proxy, max_retries=2).chat.completions.create(stream=is_stream, **ASK)
    answer = post(proxy, ASK)
    assert (answer.status_code, answer.json()["title"], answer.json()["error"]["code"]) == (503, "LogUnavailable", "LogUnavailable")
    assert not upstream.seen


def test_closed_no_answer_leaves_without_its_result(proxy: ProxyService, upstream: Upstream) -> None:
    proxy.proxy.recorder.delivery._log = Broken(proxy.proxy.recorder.delivery._log, True)
    with pytest.raises(openai.InternalServerError, match="may not leave"):
        client_of(proxy, max_retries=2).chat.completions.create(**ASK)
    assert len(upstream.seen) == 1, "the model is not asked again and again"
    stream = client_of(proxy).chat.completions.create(stream=True, **ASK)
    reasons = []
    with pytest.raises(openai.APIError, match="could not be written"):
        reasons.extend(choice.finish_reason for chunk in stream for choice in chunk.choices)
    assert not any(reasons)


def test_open_calls_go_on_and_are_told_when_a_killed_log_is_back(tmp_path: Path, upstream: Upstream) -> None:
    with LogProcess(tmp_path / "log", "proxy") as log:
        settings = {"spool": tmp_path / "spool.sqlite", "log_policy": "open"}
        with ProxyService(tmp_path / "proxy", upstream.url, log.url, log.tokens["proxy"], **settings) as proxy:
            client = client_of(proxy)
            client.chat.completions.create(**ASK)
            log.kill()
            assert httpx.get(proxy.url[:-2] + "ready").json() == {"ready": True, "log": False, "degraded": True}
            client.chat.completions.create(**ASK)
            assert len(list(client.chat.completions.create(stream=True, **ASK))) > 3
            assert "affidavit_recorder_alarms_total" in httpx.get(proxy.url[:-2] + "metrics").text
            log.start()
            wait_for(lambda: proxy.proxy.recorder.delivery.count_waiting() == 0)
            assert httpx.get(proxy.url[:-2] + "ready").json() == {"ready": True, "log": True, "degraded": False}
    records = records_of(tmp_path / "log")
    assert [(r["audit.kind"], r.get("audit.is_late")) for r in records] == [
        ("intent", None),
        ("result", None),
        ("intent", True),
        ("result", True),
        ("intent", True),
        ("result", True),
    ]


def test_closed_and_without_a_log_the_proxy_is_not_ready(proxy: ProxyService, log: LogService) -> None:
    base = proxy.url[:-2]
    assert httpx.get(base + "ready").status_code == 200
    assert httpx.get(base + "health").json() == {"status": "alive"}
    object.__setattr__(proxy.proxy, "is_log_ready", lambda: False)
    assert httpx.get(base + "ready").status_code == 503


@pytest.mark.parametrize("is_stream", [False, True])
def test_no_upstream(tmp_path: Path, log: LogService, is_stream: bool) -> None:
    with ProxyService(tmp_path, "http://127.0.0.1:9/v1", log.url, log.tokens["proxy"]) as proxy:
        answer = post(proxy, ASK | {"stream": is_stream})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "UpstreamConnectError")
    assert records_of(tmp_path)[1]["error.type"] == "UpstreamConnectError"


def test_an_upstream_that_never_answers(tmp_path: Path, upstream: Upstream, log: LogService) -> None:
    upstream.behaviour = Behaviour(stall=True)
    with ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"], upstream_timeout_seconds=0.3) as proxy:
        assert post(proxy, ASK).status_code == 504
    assert records_of(tmp_path)[1]["error.type"] == "UpstreamReadTimeout"


def test_too_many_at_once_are_refused(tmp_path: Path, upstream: Upstream, log: LogService) -> None:
    with ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"], max_open_calls=0) as proxy:
        assert post(proxy, ASK).status_code == 429
    assert not upstream.seen


# ---- as it should be, with the real client ---------------------------------------------------------------------------------------------
def test_other_paths_are_refused_unless_said_otherwise(proxy: ProxyService, upstream: Upstream, log: LogService) -> None:
    answers = [httpx.get(proxy.url + "/models"), post(proxy, ASK, "/audio/speech"), httpx.get(proxy.url + "/chat/completions")]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert not upstream.seen
    assert log.log.entries.size() == 0


def test_a_chat(proxy: ProxyService, upstream: Upstream, log: LogService, tmp_path: Path) -> None:
    answer = client_of(proxy).chat.completions.create(**ASK, temperature=0.25, max_completion_tokens=50, seed=7, user="countess")
    assert answer.choices[0].message.content == answer_to(ASK)
    assert json.loads(upstream.seen[0].body) == ASK | {"temperature": 0.25, "max_completion_tokens": 50, "seed": 7, "user": "countess"}
    intent, result = records_of(tmp_path)
    expected = {
        "audit.actor": "proxy",
        "audit.caller.sequence": 1,
        "audit.capture": "proxy",
        "audit.system": "support",
        "audit.writer": "proxy",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.seed": 7,
        "gen_ai.request.temperature": "0.25",
    }
    assert expected.items() <= intent.items()
    assert re.fullmatch("address-[0-9a-f]{16}", intent["audit.caller"])
    assert "127.0.0.1" not in json.dumps([intent, result])
    expected = {
        "audit.outcome": "ok",
        "audit.intent.index": 0,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4o-2026",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 1,
    }
    assert expected.items() <= result.items()
    assert result["audit.latency_microseconds"] > 0
    assert body_of(log, 0, "gen_ai.input.messages") == ASK["messages"]
    assert body_of(log, 1, "gen_ai.output.messages")[0]["message"]["content"] == answer_to(ASK)
    sealed = log.log.custody.content(0).sealed.values  # type: ignore[union-attr]
    assert (sealed["audit.user"], sealed["audit.caller.address"]) == ("countess", "127.0.0.1")


def test_a_streamed_chat(proxy: ProxyService, log: LogService, tmp_path: Path) -> None:
    options = {"include_usage": True}
    chunks = list(client_of(proxy).chat.completions.create(stream=True, stream_options=options, **ASK))  # type: ignore[call-overload]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.split() == answer_to(ASK).split()
    intent, result = records_of(tmp_path)
    assert intent["gen_ai.request.stream"] is True
    assert (result["gen_ai.usage.output_tokens"], result["gen_ai.response.finish_reasons"]) == (3, ["stop"])
    assert 0 < result["audit.first_token_microseconds"] <= result["audit.latency_microseconds"]
    assert body_of(log, 1, "gen_ai.output.messages")[0]["message"] == {"role": "assistant", "content": text}


@pytest.mark.parametrize("is_stream", [False, True])
def test_tools_by_name(proxy: ProxyService, log: LogService, tmp_path: Path, is_stream: bool) -> None:
    tools = [{"type": "function", "function": {"name": "weather_at", "parameters": {"type": "object"}}}]
    answer = client_of(proxy).chat.completions.create(stream=is_stream, tools=tools, **ASK)
    if is_stream:
        list(answer)
    assert records_of(tmp_path)[1]["audit.tool_names"] == ["weather_at"]
    call = body_of(log, 1, "gen_ai.output.messages")[0]["message"]["tool_calls"][0]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather_at", {"place": "Rome"})
    assert body_of(log, 0, "gen_ai.tool.definitions") == tools


def test_the_other_endpoints(proxy: ProxyService, log: LogService, tmp_path: Path) -> None:
    client = client_of(proxy)
    assert client.completions.create(model="m", prompt="one two").choices[0].text == "two one"
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(model="m", prompt="one two", stream=True))
    assert text == "two one "
    assert client.embeddings.create(model="e", input="one", encoding_format="float").data[0].embedding == [0.25, -1.5]
    assert client.responses.create(model="r", input="one two", instructions="be brief").output_text == "two one"
    events = list(client.responses.create(model="r", input="one two", stream=True))
    assert events[-1].type == "response.completed"
    records = records_of(tmp_path)
    assert [r["gen_ai.operation.name"] for r in records] == [
        name for name in ("text_completion", "text_completion", "embeddings", "chat", "chat") for _ in range(2)
    ]
    assert {r["audit.outcome"] for r in records[1::2]} == {"ok"}
    assert records[-1]["gen_ai.usage.cache_read.input_tokens"] == 2
    assert records[-1]["gen_ai.response.finish_reasons"] == ["completed"]
    assert body_of(log, 3, "gen_ai.output.messages")[0]["text"] == "two one "
    assert body_of(log, 9, "gen_ai.output.messages")[0]["content"][0]["text"] == "two one "
    assert log.log.custody.content(6).bodies["gen_ai.system_instructions.digest"] == b"be brief"  # type: ignore[union-attr]


def test_other_paths_by_setting_and_recorded_unless_they_only_read(tmp_path: Path, upstream: Upstream, log: LogService) -> None:
    upstream.behaviour = Behaviour(body=b'{"data":[]}')
    with ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"], other_paths="forward") as proxy:
        assert httpx.get(proxy.url + "/models").json() == {"data": []}
        assert post(proxy, b"audio bytes", "/audio/transcriptions", **{"content-type": "audio/wav"}).status_code == 200
    assert [seen.path for seen in upstream.seen] == ["/v1/models", "/v1/audio/transcriptions"]
    intent, result = records_of(tmp_path)
    assert (intent["gen_ai.operation.name"], intent["audit.http.path"]) == ("other", "/v1/audio/transcriptions")
    assert result["audit.outcome"] == "ok"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_not_recorded_carries_no_question(tmp_path: Path, upstream: Upstream, log: LogService, method: str) -> None:
    """A lenient service would answer the body of a GET; and what it says is bounded as any answer is."""
    upstream.behaviour = Behaviour(body=b"x" * 2000)
    service = ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"], other_paths="forward", max_answer_bytes=1000)
    with service as proxy:
        answer = httpx.request(method, proxy.url + "/chat/completions", content=json.dumps(ASK).encode())
    assert [seen.body for seen in upstream.seen] == [b""]
    assert answer.status_code == (502 if method == "GET" else 200)
    assert records_of(tmp_path) == []


# ---- who calls ------------------------------------------------------------------------------------------------------------------------
def test_callers_by_token_and_the_upstreams_key_from_a_file(tmp_path: Path, upstream: Upstream, log: LogService) -> None:
    files = new_callers(tmp_path / "callers", ["billing", "triage"])
    key_file = write_token(tmp_path / "upstream.key", "sk-the-companys-own")
    settings = {"callers_file": tmp_path / "callers/callers.json", "upstream_key_file": key_file}
    with ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"], **settings) as proxy:
        for name in ("billing", "triage"):
            client = openai.OpenAI(base_url=proxy.url, api_key=files[name].read_text().strip(), max_retries=0)
            client.chat.completions.create(**ASK)
        for wrong in ("x", "sk-the-companys-own", log.tokens["proxy"]):
            answer = httpx.post(proxy.url + "/chat/completions", json=ASK, headers={"authorization": f"Bearer {wrong}"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "Unauthorised")
    assert [r["audit.caller"] for r in records_of(tmp_path)] == ["billing", "billing", "triage", "triage"]
    assert [seen.header("authorization") for seen in upstream.seen] == ["Bearer sk-the-companys-own"] * 2
    for file in (tmp_path / "log").rglob("*"):
        assert file.is_dir() or b"sk-the-companys-own" not in file.read_bytes()


def test_callers_who_bring_their_own_key_name_themselves_in_a_header(tmp_path: Path, upstream: Upstream, log: LogService) -> None:
    files = new_callers(tmp_path / "callers", ["billing"])
    token = files["billing"].read_text().strip()
    with ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"], callers_file=tmp_path / "callers/callers.json") as proxy:
        client_of(proxy, default_headers={"x-affidavit-caller": token}).chat.completions.create(**ASK)
        assert post(proxy, ASK).status_code == 401
    assert records_of(tmp_path)[0]["audit.caller"] == "billing"
    assert upstream.seen[0].header("authorization") == f"Bearer {KEY}"
    assert upstream.seen[0].header("x-affidavit-caller") is None
    assert json.loads((tmp_path / "callers/callers.json").read_text())["writers"] == {"billing": to_hex(hash_token(token))}


def test_a_forged_address_is_none(proxy: ProxyService, tmp_path: Path) -> None:
    post(proxy, ASK, **{"x-forwarded-for": "Ada Lovelace, of London"})
    assert records_of(tmp_path)[0]["audit.caller"] == "unknown"


# ---- settings -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"content": "some"}, "content"),
        ({"log_policy": "ajar"}, "log_policy"),
        ({"log_policy": "open"}, "spool"),
        ({"other_paths": "maybe"}, "other_paths"),
        ({"upstream": "file:///etc/passwd"}, "upstream"),
        ({"upstream": "https://user:pw@host/v1"}, "upstream"),
        ({"upstream": "https://host/v1?key=1"}, "upstream"),
        ({"upstream": "host/v1"}, "upstream"),
        ({"upstream_key_file": Path("x")}, "callers_file"),
        ({"forward_headers": ("Authorization",)}, "forward_headers"),
        ({"forward_headers": ("cookie",)}, "forward_headers"),
    ],
)
def test_settings_that_are_refused_by_name(tmp_path: Path, settings: dict[str, Any], named: str) -> None:
    good = {
        "listen": "",
        "upstream": "http://127.0.0.1:9/v1",
        "log_url": "http://127.0.0.1:9",
        "log_token_file": write_token(tmp_path / "t", "t"),
    }
    with pytest.raises(ConfigRejected, match=named) as caught:
        open_proxy(ProxyConfig(**(good | settings)))
    assert "pw" not in str(caught.value)
