"""One JSON-RPC endpoint of several: asked over HTTP, with a circuit breaker, and without ever saying its address.

    closed ──FAULTS_TO_OPEN faults in a row, or one "too many requests"──▶ open ──after a pause──▶ half-open: one probe
      ▲                                                                     ▲                          │
      └───────────────────────────── any answer ────────────────────────────┼──────────────────────────┤
                                                                            └── fault: pause doubled ──┘

A fault is a timeout, a broken connection, a status of 5xx or 429, or an answer that is none. What the chain answers (a revert, a nonce too
low, too little money) is an answer, however unwelcome. `Retry-After` is honoured. The URL may hold an API key: outside this module an
endpoint is its scheme and host, and what an endpoint answers is searched for pieces of the URL before anybody sees it.
"""

from __future__ import annotations

import itertools
import json
import re
import ssl
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from oracle.errors import ConfigRejected, MalformedInput
from oracle.journal import hide_urls_of_http_client, redact_url
from oracle.relay.agreement import Vote, vote_of
from oracle.relay.failures import is_rate_limit
from oracle.relay.pooled import open_transport

FAULTS_TO_OPEN = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0
LONGEST_RETRY_AFTER_SECONDS = 3600.0
MOST_IN_FLIGHT = 64
MOST_ANSWER_BYTES = 256 << 20
SHORTEST_SECRET = 6
_LATENCY_WEIGHT = 0.2
_OUTVOTED_SECONDS = 600.0


class FaultKind(StrEnum):
    TIMEOUT = "timeout"
    TRANSPORT = "transport"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    MALFORMED = "malformed"
    BUSY = "busy"  # ours: as many questions as it may have are waiting already


class Fault(OSError):
    """An endpoint gave no answer that is one. `is_unsent`: it certainly did not take what it was asked to do."""

    def __init__(self, endpoint: str, kind: FaultKind, detail: str, retry_after: float | None = None, is_unsent: bool = False) -> None:
        self.kind = kind
        self.retry_after = retry_after
        self.is_unsent = is_unsent
        super().__init__(f"{endpoint}: {kind.replace('_', ' ')} ({detail})")


class Circuit(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass
class Breaker:
    """Whether an endpoint is asked. Times are seconds of one monotonic clock. Not safe for threads: its owner holds a lock."""

    circuit: Circuit = Circuit.CLOSED
    faults: int = 0  # in a row
    until: float = 0.0  # when open: not before
    is_withheld: bool = False  # it said itself until when
    pause_seconds: float = FIRST_PAUSE_SECONDS

    def take_answer(self, now: float) -> None:
        if self.is_withheld and now < self.until:  # of a question asked before it said so
            return
        self.circuit, self.faults, self.pause_seconds, self.is_withheld = Circuit.CLOSED, 0, FIRST_PAUSE_SECONDS, False

    def take_fault(self, now: float, is_limit: bool, retry_after: float | None) -> None:
        self.faults += 1
        if self.circuit is Circuit.OPEN and not is_limit:  # of a question asked before it opened: no new pause
            return
        if self.circuit is not Circuit.HALF_OPEN and not is_limit and self.faults < FAULTS_TO_OPEN:
            return
        pause = self.pause_seconds if retry_after is None else retry_after
        self.until = max(self.until, now + pause) if self.circuit is Circuit.OPEN else now + pause
        self.circuit, self.is_withheld = Circuit.OPEN, self.is_withheld or retry_after is not None
        self.pause_seconds = min(2 * self.pause_seconds, LONGEST_PAUSE_SECONDS)

    def is_probe_due(self, now: float) -> bool:
        return self.circuit is Circuit.OPEN and now >= self.until

    def begin_probe(self) -> None:
        self.circuit, self.is_withheld = Circuit.HALF_OPEN, False

    def end_probe(self, now: float) -> None:
        """Where the probe brought neither answer nor fault, the next one is due after a pause."""
        if self.circuit is Circuit.HALF_OPEN:
            self.circuit, self.until = Circuit.OPEN, now + self.pause_seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question to one endpoint: a response with its vote (None for an error of its own), or a fault."""

    upstream: Upstream
    response: Mapping[str, Any] | None
    vote: Vote | None
    fault: Fault | None

    @property
    def error(self) -> Mapping[str, Any] | None:
        """The endpoint's own JSON-RPC error; not a revert."""
        return self.response["error"] if self.response is not None and self.vote is None else None


@dataclass
class Record:
    """What is known of an endpoint. Written under its lock."""

    chain_id: int | None = None
    head: int | None = None
    is_behind: bool = False
    reason: str = ""  # of the last fault, or of a check that failed
    latency_seconds: float | None = None  # moving average
    answers: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outvoted: Counter[str] = field(default_factory=Counter)  # by method
    outvoted_at: float = float("-inf")


class Upstream:
    """One endpoint. Safe to use from several threads."""

    def __init__(
        self, url: str, name: str, timeout_seconds: float, transport: httpx.BaseTransport | None, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.record = Record()
        self.breaker = Breaker()
        self.lock = threading.Lock()
        self._url = url
        self._secrets = _secrets_of(url)
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._ids = itertools.count(1)
        self._knows_batches = True  # until it shows that it does not
        self._in_flight = threading.BoundedSemaphore(MOST_IN_FLIGHT)
        tls = _tls() if urlsplit(url).scheme == "https" and transport is None else None
        limits = httpx.Limits(max_connections=MOST_IN_FLIGHT, max_keepalive_connections=MOST_IN_FLIGHT)
        self._transport = transport or open_transport(url, tls, MOST_IN_FLIGHT)
        self._http = httpx.Client(timeout=timeout_seconds, verify=tls or False, limits=limits, follow_redirects=False)
        self._target, self._headers = _target_of(url)
        self._limits = {"timeout": httpx.Timeout(timeout_seconds).as_dict()}
        hide_urls_of_http_client()

    def __repr__(self) -> str:
        return f"Upstream({self.name!r})"

    def ask(self, method: str, params: Sequence[Any], is_voting: bool = True) -> Answer:
        """One question, once. Never raises Fault: it is in the answer, and in the breaker. Without a vote the form is not looked at."""
        if (refusal := self._refuse()) is not None:
            return Answer(self, None, None, refusal)
        began = self._clock()
        try:
            response = self._post(method, params)
            vote = self._vote(method, params, response) if is_voting else None
        except Fault as fault:
            self._take_fault(fault)
            return Answer(self, None, None, fault)
        finally:
            self._in_flight.release()
        self._take_answer(began)
        return Answer(self, response, vote, None)

    def ask_many(self, method: str, each: Sequence[Sequence[Any]]) -> list[Mapping[str, Any]] | Fault:
        """One question with many parameters, in one exchange (a JSON-RPC batch): the responses in the order of the questions.

        Without a vote. Where the endpoint knows no batches, it is asked one by one, now and from now on.
        """
        responses: list[Mapping[str, Any]] = []
        if self._knows_batches:
            answer = self._ask_batch(method, each)
            if answer is not None:
                return answer
            self._knows_batches = False
        for params in each:
            one = self.ask(method, params, is_voting=False)
            if one.response is None:
                return one.fault or Fault(self.name, FaultKind.MALFORMED, "neither an answer nor a fault")
            responses.append(one.response)
        return responses

    def _ask_batch(self, method: str, each: Sequence[Sequence[Any]]) -> list[Mapping[str, Any]] | Fault | None:
        """None where the answer is no list: such an endpoint refuses a batch as a whole."""
        if (refusal := self._refuse()) is not None:
            return refusal
        began = self._clock()
        try:
            responses = self._post_batch(method, each)
        except Fault as fault:
            self._take_fault(fault)
            return fault
        finally:
            self._in_flight.release()
        self._take_answer(began)
        return responses

    def _post_batch(self, method: str, each: Sequence[Sequence[Any]]) -> list[Mapping[str, Any]] | None:
        numbers = [next(self._ids) for _ in each]
        questions = [{"jsonrpc": "2.0", "id": n, "method": method, "params": list(params)} for n, params in zip(numbers, each, strict=True)]
        body, status = self._post_checked(json.dumps(questions).encode())
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise Fault(self.name, FaultKind.MALFORMED, f"HTTP {status} without JSON") from None
        if not isinstance(found, list):
            return None
        by_number = {item["id"]: item for item in found if isinstance(item, dict) and type(item.get("id")) is int}
        if len(found) != len(each) or by_number.keys() != set(numbers):
            raise Fault(self.name, FaultKind.MALFORMED, "answers to other questions than those of a batch")
        return [self._read(by_number[number], number, status) for number in numbers]

    def outvote(self, method: str) -> bool:
        """Remembers that the others agreed on something else. Returns whether it is worth saying again."""
        with self.lock:
            now, before = self._clock(), self.record.outvoted_at
            self.record.outvoted[method] += 1
            self.record.outvoted_at = now
        return now - before >= 60

    def badness(self) -> tuple[int, bool, float]:
        """For sorting: the healthiest first."""
        with self.lock:
            record, was_outvoted = self.record, self._clock() - self.record.outvoted_at < _OUTVOTED_SECONDS
            return self.breaker.faults, was_outvoted, record.latency_seconds or 0.0

    # ---- inside ----------------------------------------------------------------------------------------------------------------------
    def _refuse(self) -> Fault | None:
        with self.lock:
            waits = self.breaker.until - self._clock() if self.breaker.is_withheld else 0.0
        if waits > 0:
            return Fault(self.name, FaultKind.RATE_LIMITED, f"not to be asked for {waits:.1f} s more", is_unsent=True)
        if not self._in_flight.acquire(blocking=False):
            return Fault(self.name, FaultKind.BUSY, f"{MOST_IN_FLIGHT} questions wait already", is_unsent=True)
        return None

    def _post(self, method: str, params: Sequence[Any]) -> Mapping[str, Any]:
        number = next(self._ids)
        question = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}).encode()
        body, status = self._post_checked(question)
        try:
            response = json.loads(body)
        except (ValueError, RecursionError):
            raise Fault(self.name, FaultKind.MALFORMED, f"HTTP {status} without JSON") from None
        return self._read(response, number, status)

    def _post_checked(self, question: bytes) -> tuple[bytes, int]:
        """(body, status) of an answer that may be one."""
        status, headers, body = self._exchange(question)
        if status == 429:
            raise Fault(self.name, FaultKind.RATE_LIMITED, "HTTP 429", read_retry_after(headers.get("retry-after")), is_unsent=True)
        if status >= 500:
            raise Fault(self.name, FaultKind.SERVER_ERROR, f"HTTP {status}")
        return body, status

    def _exchange(self, question: bytes) -> tuple[int, httpx.Headers, bytes]:
        """(status, headers, body). What fails is told without the cause: the HTTP client's errors quote the URL."""
        deadline, body = time.monotonic() + self._timeout_seconds, bytearray()
        try:
            with closing(self._post_bytes(question)) as answer:
                for piece in answer.iter_bytes():
                    body += piece
                    if time.monotonic() > deadline:
                        raise Fault(self.name, FaultKind.TIMEOUT, "an answer without an end")
                    if len(body) > MOST_ANSWER_BYTES:
                        raise Fault(self.name, FaultKind.MALFORMED, f"more than {MOST_ANSWER_BYTES} bytes")
                return answer.status_code, answer.headers, bytes(body)
        except httpx.TimeoutException as error:
            failure = Fault(self.name, FaultKind.TIMEOUT, self._tell(error), is_unsent=isinstance(error, httpx.ConnectTimeout))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = Fault(self.name, FaultKind.TRANSPORT, self._tell(error), is_unsent=isinstance(error, httpx.ConnectError))
        raise failure

    def _post_bytes(self, question: bytes) -> httpx.Response:
        """The answer, whose body was not read yet. Past httpx's client where that can be: it takes twice the exchange's time."""
        if self._transport is None:
            request = self._http.build_request("POST", self._url, content=question, headers=self._headers)
            return self._http.send(request, stream=True)
        return self._transport.handle_request(
            httpx.Request("POST", self._target, headers=self._headers, content=question, extensions=self._limits)
        )

    def _read(self, response: object, number: int, status: int) -> Mapping[str, Any]:
        """The response. Statuses of 4xx may carry one; without it they are faults."""
        if not isinstance(response, dict) or response.get("id") not in (number, None):
            raise Fault(self.name, FaultKind.MALFORMED, f"HTTP {status} with JSON that answers no question of ours")
        error = response.get("error")
        if error is not None:
            if not isinstance(error, dict) or not isinstance(error.get("message"), str):
                raise Fault(self.name, FaultKind.MALFORMED, "an error without a message")
            if is_rate_limit(error):
                raise Fault(self.name, FaultKind.RATE_LIMITED, f"error {error.get('code')}", is_unsent=True)
            clean = {**error, "message": self.redact(error["message"])}
            if isinstance(error.get("data"), str):
                clean["data"] = self.redact(error["data"])
            return {"jsonrpc": "2.0", "id": number, "error": clean}
        if "result" not in response or response.get("id") != number:
            raise Fault(self.name, FaultKind.MALFORMED, f"HTTP {status} with neither result nor error")
        return {"jsonrpc": "2.0", "id": number, "result": response["result"]}

    def _vote(self, method: str, params: Sequence[Any], response: Mapping[str, Any]) -> Vote | None:
        try:
            return vote_of(method, params, response)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, MalformedInput):
            raise Fault(self.name, FaultKind.MALFORMED, f"{method}: an answer of the wrong form") from None

    def _tell(self, error: Exception) -> str:
        """The HTTP client's error, such as "ConnectError: [Errno 111] Connection refused", without the URL."""
        text = self.redact(str(error).replace(self._url, self.name))
        return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__

    def redact(self, text: str) -> str:
        """A text of the endpoint's without pieces of its own URL."""
        return self._secrets.sub("[hidden]", text) if self._secrets else text

    def _take_fault(self, fault: Fault) -> None:
        with self.lock:
            self.breaker.take_fault(self._clock(), fault.kind is FaultKind.RATE_LIMITED, fault.retry_after)
            self.record.faults[fault.kind] += 1
            self.record.reason = str(fault)

    def _take_answer(self, began: float) -> None:
        with self.lock:
            now, record = self._clock(), self.record
            self.breaker.take_answer(now)
            record.answers += 1
            last = now - began if record.latency_seconds is None else record.latency_seconds
            record.latency_seconds = last + _LATENCY_WEIGHT * (now - began - last)


def _target_of(url: str) -> tuple[httpx.URL | str, httpx.Headers]:
    """What every question to an endpoint begins with. A URL that httpx cannot read stays as it is: asking then fails."""
    headers = {"Content-Type": "application/json"}
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL:
        return url, httpx.Headers(headers)
    headers = {"Host": target.netloc.decode("ascii")} | headers
    if target.userinfo:
        pair = f"{target.username}:{target.password}".encode()
        headers["Authorization"] = "Basic " + b64encode(pair).decode("ascii")
    return target, httpx.Headers(headers)


def name_endpoints(urls: Sequence[str]) -> list[str]:
    """Scheme, host and port of each; several of one host are told apart by number. Raises ConfigRejected for what is no URL."""
    names: list[str] = []
    for url in urls:
        name = redact_url(url)
        if not name.startswith(("http://", "https://")):
            raise ConfigRejected("rpc", "http:// or https:// URLs", name)
        names.append(name)
    seen = Counter(names)
    return [name if seen[name] == 1 else f"{name}#{names[: at + 1].count(name)}" for at, name in enumerate(names)]


def read_retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), which may be a date; None where there is none, or none that can be read."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return min(float(value), LONGEST_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_RETRY_AFTER_SECONDS)


def _secrets_of(url: str) -> re.Pattern[str] | None:
    """Everything of a URL but scheme, host and port that is long enough to be a key, as it is written and unquoted."""
    parts = urlsplit(url)
    pieces = re.split(r"[/?&=;:@]", "/".join((parts.path, parts.query, parts.fragment, parts.username or "", parts.password or "")))
    found = {p for piece in pieces for p in (piece, unquote(piece)) if len(p) >= SHORTEST_SECRET}
    return re.compile("|".join(re.escape(p) for p in sorted(found, key=len, reverse=True)), re.IGNORECASE) if found else None


@cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the authorities' certificates takes longer than most questions."""
    return httpx.create_ssl_context()
