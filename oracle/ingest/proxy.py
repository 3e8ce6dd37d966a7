"""A recording proxy in front of an OpenAI-compatible service: every call it forwards is in the log, before and after.

    caller ──▶ proxy: intent in the log ──▶ upstream ──▶ proxy: result in the log ──▶ the (end of the) answer

An answer in one piece leaves when its result is in the log. Of a stream the pieces flow, and the event that ends it is held back until
then. The upstream is one base URL, redirects are not followed, headers pass by a list, and no credential is ever in a record, the spool
or the journal.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest

from oracle import journal
from oracle.audit.access import Access
from oracle.audit.calls import Outcome, encode_content
from oracle.audit.calls_door import parse_strict_json
from oracle.audit.late import LogPolicy
from oracle.encoding import to_hex
from oracle.errors import AffidavitError, EntryRejected, MalformedInput, RateLimited, RequestUnknown, TooLarge
from oracle.http import PROBLEM, STATUS_OF, BodyLimit
from oracle.ingest.exchange import StreamAnswer, StreamRelay, record_bug, record_end
from oracle.ingest.openai_wire import ENDPOINTS, Answering, Asking, Endpoint, read_answer, read_asking
from oracle.ingest.recorder import Call, Recorder
from oracle.records import FieldValue

CALLER_HEADER = "x-affidavit-caller"
CALL_HEADER = "x-affidavit-call-id"
PREFIX = "/v1/"
_ANSWER_HEADERS = re.compile(r"content-type|cache-control|retry-after|x-request-id|openai-[a-z-]+|x-ratelimit-[a-z-]+")
_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.:-]+)*")
_OTHER = Endpoint("", "other", "", "")
T = TypeVar("T")
_SAFE = {"GET", "HEAD"}
"""Methods that ask no model anything: forwarded, where other paths are, without a record."""


@dataclass(frozen=True)
class Proxy:
    """The parts of a running proxy. `callers` is None where anyone who reaches it may call, with a key of their own."""

    recorder: Recorder
    upstream: httpx.AsyncClient
    is_log_ready: Callable[[], bool]
    pseudonym_key: bytes
    provider: str = "openai"
    retention: str = ""
    callers: Access | None = None
    upstream_key: str | None = None
    forwards_others: bool = False
    forward_headers: tuple[str, ...] = ()
    max_body_bytes: int = 4 << 20
    max_answer_bytes: int = 16 << 20
    max_open_calls: int = 256
    open_calls: set[asyncio.Task[Any]] = field(default_factory=set)
    calls: Counter = field(init=False)

    def __post_init__(self) -> None:
        counter = Counter(
            "affidavit_proxy_calls", "Calls by operation and outcome", ["operation", "outcome"], registry=self.recorder.metrics.registry
        )
        object.__setattr__(self, "calls", counter)

    def start(self, step: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """In a task of its own, waited for when the process stops."""
        task = asyncio.create_task(step)
        self.open_calls.add(task)
        task.add_done_callback(self.open_calls.discard)
        return task


@dataclass(frozen=True)
class Caller:
    """Who asked: a pseudonym for the record, and, where nothing but the address is known, that address, to be sealed."""

    pseudonym: str
    address: str = ""


@dataclass(frozen=True)
class Forwarding:
    """One request that passed the door. `asking` is None for a path that is forwarded without being understood."""

    path: str
    method: str
    query: bytes
    headers: dict[str, str]
    body: bytes
    endpoint: Endpoint
    asking: Asking | None
    caller: Caller


def make_app(proxy: Proxy) -> FastAPI:
    """The application of one running proxy."""

    @asynccontextmanager
    async def until_all_is_recorded(_app: FastAPI) -> AsyncIterator[None]:
        yield
        while proxy.open_calls:
            await asyncio.wait(set(proxy.open_calls))
        await proxy.upstream.aclose()

    app = FastAPI(
        title="Affidavit recording proxy", version="1", docs_url=None, redoc_url=None, openapi_url=None, lifespan=until_all_is_recorded
    )
    app.add_middleware(BodyLimit, limit=proxy.max_body_bytes)
    _add_operations(app, proxy)

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    async def forward(request: Request) -> Response:
        try:
            forwarding = await _read(proxy, request)
            if len(proxy.open_calls) >= proxy.max_open_calls:
                raise RateLimited("open calls", f"fewer than {proxy.max_open_calls}", "that many")
        except AffidavitError as error:
            return _problem(_status_of(error), type(error).__name__, str(error))
        exchange = proxy.start(_exchange(proxy, forwarding))
        try:
            return await asyncio.shield(exchange)
        except asyncio.CancelledError:
            exchange.add_done_callback(_hang_up)
            raise

    return app


def _hang_up(exchange: asyncio.Task[Response]) -> None:
    if not exchange.cancelled() and exchange.exception() is None and isinstance(answer := exchange.result(), StreamAnswer):
        answer.hang_up()


# ---- the door -----------------------------------------------------------------------------------------------------------------------
async def _read(proxy: Proxy, request: Request) -> Forwarding:
    """Untrusted bytes become a Forwarding here, once. Raises Rejected."""
    path = _read_path(request)
    endpoint = ENDPOINTS.get(path)
    if (endpoint is None or request.method != "POST") and not proxy.forwards_others:
        raise RequestUnknown("path", "POST to one of " + ", ".join(PREFIX + known for known in ENDPOINTS), "another")
    caller, headers = _read_caller(proxy, request), _read_headers(proxy, request)
    body = await request.body()
    if endpoint is None or request.method != "POST":
        return Forwarding(path, request.method, _query(request), headers, body, _OTHER, None, caller)
    asking = read_asking(endpoint, parse_strict_json(body))
    headers["content-type"] = "application/json"
    return Forwarding(path, "POST", _query(request), headers, body, endpoint, asking, caller)


def _read_path(request: Request) -> str:
    """What stands behind /v1/, plain: no dots that climb, nothing encoded, no second slash. Raises RequestUnknown."""
    raw = request.scope["raw_path"].split(b"?")[0].decode("latin-1")
    rest = str(raw).removeprefix(PREFIX)
    if rest == raw or not _PATH.fullmatch(rest) or ".." in rest:
        raise RequestUnknown("path", f"one below {PREFIX}", "another")
    return rest


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


def _read_caller(proxy: Proxy, request: Request) -> Caller:
    """By its token, or by its address. Raises Unauthorised."""
    if any(len(request.headers.getlist(name)) > 1 for name in ("authorization", CALLER_HEADER, "content-type")):
        raise MalformedInput("headers", "each once", "one twice")
    if proxy.callers is None:
        return _read_address(proxy.pseudonym_key, request.client.host if request.client else "")
    if proxy.upstream_key is None:
        return Caller(proxy.callers.writer(f"Bearer {request.headers.get(CALLER_HEADER, '')}"))
    return Caller(proxy.callers.writer(request.headers.get("authorization")))


def _read_address(key: bytes, text: str) -> Caller:
    """An address tells of a person, so what is public is a keyed digest of it. A proxy in front of this one names the address in a
    header, in which a caller could write anything: what is no address is unknown."""
    try:
        address = str(ip_address(text))
    except ValueError:
        return Caller("unknown")
    return Caller("address-" + hmac.digest(key, address.encode(), "sha256").hex()[:16], address)


def _read_headers(proxy: Proxy, request: Request) -> dict[str, str]:
    """What the upstream sees of the caller's headers. `accept-encoding` is ours: a stream is to be read on its way."""
    kept = {name: value for name in ("accept", "content-type", *proxy.forward_headers) if (value := request.headers.get(name)) is not None}
    authorization = request.headers.get("authorization") if proxy.upstream_key is None else f"Bearer {proxy.upstream_key}"
    if authorization is not None:
        kept["authorization"] = authorization
    return kept | {"accept-encoding": "identity", "user-agent": "affidavit-proxy"}


# ---- one exchange ---------------------------------------------------------------------------------------------------------------------
async def _exchange(proxy: Proxy, forwarding: Forwarding) -> Response:
    if forwarding.asking is None and forwarding.method in _SAFE:
        return await _pass_through(proxy, forwarding)
    try:
        call = _call_of(proxy, forwarding)
        await run_in_threadpool(call.begin)
    except (EntryRejected, MalformedInput, TooLarge) as error:
        return _problem(_status_of(error), type(error).__name__, str(error))
    except AffidavitError as error:
        return _unlogged(error, "nothing was asked of the model")
    try:
        return await _forward(proxy, forwarding, call)
    except AffidavitError as error:
        return _unlogged(error, "its answer may not leave")
    except Exception as error:
        await record_bug(call, error)
        raise


async def _forward(proxy: Proxy, forwarding: Forwarding, call: Call) -> Response:
    """The intent is in the log. Raises as an append does where the end could not be written."""
    started = time.perf_counter()
    try:
        upstream = await proxy.upstream.send(_request_to(proxy, forwarding), stream=True)
    except httpx.HTTPError as error:
        return await _fail(proxy, forwarding, call, error)
    if forwarding.asking is not None and forwarding.asking.is_stream and _is_event_stream(upstream):
        return _begin_stream(proxy, forwarding, call, upstream, started)
    try:
        body = await _read_whole(upstream, proxy.max_answer_bytes)
    except (httpx.HTTPError, TooLarge) as error:
        return await _fail(proxy, forwarding, call, error)
    return await _answer(proxy, forwarding, call, upstream, body)


def _call_of(proxy: Proxy, forwarding: Forwarding) -> Call:
    fields: dict[str, FieldValue] = {"audit.caller": forwarding.caller.pseudonym}
    sealed = {"audit.caller.address": forwarding.caller.address} if forwarding.caller.address else {}
    told: dict[str, Any] = {"provider": proxy.provider, "retention": proxy.retention, "fields": fields, "sealed": sealed}
    asking = forwarding.asking
    if asking is None:
        fields |= {"audit.http.method": forwarding.method, "audit.http.path": PREFIX + forwarding.path}
        return proxy.recorder.call("unknown", forwarding.body, operation="other", **told)
    return proxy.recorder.call(
        asking.model, content_parts=asking.content, operation=asking.operation, parameters=asking.parameters, user=asking.user, **told
    )


def _request_to(proxy: Proxy, forwarding: Forwarding) -> httpx.Request:
    url = httpx.URL(str(proxy.upstream.base_url).rstrip("/") + "/" + forwarding.path, query=forwarding.query or None)
    body = None if forwarding.method in _SAFE else forwarding.body  # with which a lenient service would be asked, and nobody records it
    return proxy.upstream.build_request(forwarding.method, url, headers=forwarding.headers, content=body or None)


def _is_event_stream(upstream: httpx.Response) -> bool:
    return upstream.status_code == 200 and upstream.headers.get("content-type", "").startswith("text/event-stream")


def _begin_stream(proxy: Proxy, forwarding: Forwarding, call: Call, upstream: httpx.Response, started: float) -> Response:
    choices = forwarding.asking.choices if forwarding.asking else 1

    def on_end(outcome: str) -> None:
        proxy.calls.labels(forwarding.endpoint.operation, outcome).inc()

    relay = StreamRelay(upstream, call, forwarding.endpoint, choices, proxy.max_answer_bytes, started, on_end, _error_event)
    proxy.start(relay.run())
    return StreamAnswer(relay, upstream.status_code, _answer_headers(upstream, call))


async def _read_whole(upstream: httpx.Response, limit: int) -> bytes:
    """Raises TooLarge, and httpx.HTTPError where the upstream breaks off."""
    body = bytearray()
    try:
        async for data in upstream.aiter_bytes():
            body += data
            if len(body) > limit:
                raise TooLarge("answer of the upstream", f"at most {limit} bytes", "more")
    finally:
        await upstream.aclose()
    return bytes(body)


async def _answer(proxy: Proxy, forwarding: Forwarding, call: Call, upstream: httpx.Response, body: bytes) -> Response:
    """The result, and then the answer. What an upstream says with an error is passed on and not recorded: it may quote the key."""
    if upstream.is_success:
        answering = read_answer(forwarding.endpoint, body) if forwarding.asking else Answering({}, encode_content(body))
        await record_end(call, answering)
    else:
        await record_end(call, Answering({"audit.http.status": upstream.status_code}), f"UpstreamStatus{upstream.status_code}")
    proxy.calls.labels(forwarding.endpoint.operation, "ok" if upstream.is_success else "error").inc()
    return Response(body, upstream.status_code, _answer_headers(upstream, call))


async def _fail(proxy: Proxy, forwarding: Forwarding, call: Call, error: Exception) -> Response:
    """The upstream did not answer, or not to the end."""
    kind = f"Upstream{type(error).__name__}"
    await record_end(call, Answering(), kind)
    proxy.calls.labels(forwarding.endpoint.operation, str(Outcome.ERROR)).inc()
    journal.get("proxy").warning("the upstream failed", call_id=call.call_id, error=kind)
    is_late = isinstance(error, httpx.TimeoutException)
    refusal = _problem(504 if is_late else 502, kind, "the model's service did not answer" + (" in time" if is_late else ""))
    refusal.headers[CALL_HEADER] = to_hex(call.call_id)
    return refusal


async def _pass_through(proxy: Proxy, forwarding: Forwarding) -> Response:
    try:
        upstream = await proxy.upstream.send(_request_to(proxy, forwarding), stream=True)
        body = await _read_whole(upstream, proxy.max_answer_bytes)
    except (httpx.HTTPError, TooLarge) as error:
        return _problem(502, f"Upstream{type(error).__name__}", "the model's service did not answer")
    return Response(body, upstream.status_code, _answer_headers(upstream))


def _answer_headers(upstream: httpx.Response, call: Call | None = None) -> dict[str, str]:
    """Those of the upstream that pass, and by which id the call is found in the log."""
    headers = {name: value for name, value in upstream.headers.items() if _ANSWER_HEADERS.fullmatch(name)}
    return headers if call is None else headers | {CALL_HEADER: to_hex(call.call_id)}


# ---- refusals -------------------------------------------------------------------------------------------------------------------------
def _status_of(error: AffidavitError) -> int:
    return next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)


def _unlogged(error: AffidavitError, consequence: str) -> Response:
    journal.get("proxy").critical("a call fails closed", error=type(error).__name__)
    return _problem(503, "LogUnavailable", f"the audit log does not take the record of this call: {consequence}")


def _problem(status: int, kind: str, detail: str) -> Response:
    """An RFC 9457 problem document that is an error of OpenAI's form too. Not to be tried again at once: the model may have run."""
    detail = detail.encode("utf-8", "backslashreplace").decode()
    told = {"type": f"urn:affidavit:error:{kind}", "title": kind, "status": status, "detail": detail}
    return JSONResponse(
        told | {"error": _openai_error(status, kind, detail)}, status, headers={"x-should-retry": "false"}, media_type=PROBLEM
    )


def _openai_error(status: int, kind: str, detail: str) -> dict[str, str | None]:
    return {"message": detail, "type": "server_error" if status >= 500 else "invalid_request_error", "param": None, "code": kind}


def _error_event(kind: str, detail: str) -> bytes:
    """The same, inside a stream that has begun: clients take one that merely ends for whole."""
    return b"data: " + json.dumps({"error": _openai_error(500, kind, detail)}).encode() + b"\n\n"


# ---- operations -----------------------------------------------------------------------------------------------------------------------
def _add_operations(app: FastAPI, proxy: Proxy) -> None:
    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready")
    def ready() -> JSONResponse:
        """200 while calls are answered: with the policy open also without the log, and then degraded."""
        has_log, is_open = proxy.is_log_ready(), proxy.recorder.delivery.policy is LogPolicy.OPEN
        told = {"ready": has_log or is_open, "log": has_log, "degraded": not has_log or proxy.recorder.delivery.count_waiting() > 0}
        return JSONResponse(told, 200 if told["ready"] else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(proxy.recorder.metrics.registry), media_type=CONTENT_TYPE_LATEST)
