"""What every request leaves behind: one line in the journal and two metrics. Never bodies, query strings or headers."""

from __future__ import annotations

import secrets
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oracle import journal

KNOWN_METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
"""Other methods, like unknown paths, share one label: strangers must not make metrics grow."""

BUCKETS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The API's own registry, so that several apps in one process do not share counters."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answered = Counter(
            "affidavit_api_answered", "Answers, by route and status.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "affidavit_api_seconds",
            "Time to the end of an answer; event streams are left out.",
            ["route"],
            buckets=BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.accepted = Counter("affidavit_api_accepted_requests", "Signed requests stored.", registry=self.registry)
        self.refused = Counter("affidavit_api_refused_requests", "Signed requests refused, by error.", ["error"], registry=self.registry)
        self.requests = Gauge("affidavit_api_requests", "Requests known to the relay, by state.", ["state"], registry=self.registry)
        self.streams = Gauge("affidavit_api_open_streams", "Event streams being followed.", registry=self.registry)


class Observe:
    """ASGI middleware. Gives every answer an X-Request-Id, which is also on its journal line."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self.logger = journal.get("api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        http_id, status, streamed, started = secrets.token_hex(8), 500, False, perf_counter()

        async def observed(message: Message) -> None:
            nonlocal status, streamed
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                streamed = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
                message["headers"] = [*headers, (b"x-request-id", http_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            self._record(scope, http_id, status, perf_counter() - started, streamed)

    def _record(self, scope: Scope, http_id: str, status: int, seconds: float, streamed: bool) -> None:
        route = route_of(scope)
        method = scope["method"] if scope["method"] in KNOWN_METHODS and route != "unmatched" else "any"
        self.metrics.answered.labels(method, route, str(status)).inc()
        if not streamed:
            self.metrics.seconds.labels(route).observe(seconds)
        self.logger.info(
            "answered",
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 3),
            http_id=http_id,
            request_id=scope.get("path_params", {}).get("request_id"),
        )


def route_of(scope: Scope) -> str:
    """The template of the matched route, "unmatched" where there is none."""
    route: Any = scope.get("route")
    return getattr(route, "path", "unmatched")
