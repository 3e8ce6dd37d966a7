"""Following one request: server-sent events (WHATWG HTML, section 9.2).

Each step of the history is one event with its id; a client that reconnects with `Last-Event-ID` gets only what it has not seen. A comment
line is sent every 15 seconds so that proxies keep the connection. The stream ends after the event that made the request final.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from oracle.api.desk import RequestId, TheDesk, TheMetrics, TheSeats, problems
from oracle.api.observe import Metrics
from oracle.api.seats import Seats
from oracle.api.views import view_event
from oracle.api.wire import EventOut
from oracle.encoding import parse_bytes32
from oracle.pipeline.api import Desk
from oracle.records import Bytes32
from oracle.relay.store import RequestEvent

router = APIRouter(prefix="/v1/requests", tags=["requests"])

POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 15
STOP_SECONDS = 2
MAX_STREAM_SECONDS = 3600
"""A longer wait is a new connection with Last-Event-ID, so that forgotten clients do not pile up."""

ENDINGS = frozenset({"final", "still_final", "refunded", "conflict", "expired", "failed"})
"""Events that can be the last one of a final request."""

EVENT = {
    "type": "object",
    "description": "One server-sent event.",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string", "description": "The kind of step."},
        "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": EventOut.model_json_schema()},
    },
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events until the request is final.", "content": {"text/event-stream": {"schema": EVENT}}}
}


@router.get(
    "/{request_id}/events", summary="Follow", response_class=EventSourceResponse, responses={**STREAM, **problems(400, 404, 422, 429, 503)}
)
async def follow(
    request_id: RequestId,
    desk: TheDesk,
    metrics: TheMetrics,
    seats: TheSeats,
    last_event_id: Annotated[str, Header(pattern="^[0-9]{1,18}$", description="Id of the last event already seen.")] = "0",
) -> EventSourceResponse:
    """Server-sent events: `event` is the kind of step, `data` its JSON, `id` what to resume from."""
    wanted = parse_bytes32(request_id, "request_id")
    await run_in_threadpool(desk.view, wanted)  # an unknown request is a 404, not an empty stream
    stopping = anyio.Event()  # set when this process is asked to end: the stream then closes properly, and clients reconnect
    events = _events(desk, metrics, wanted, int(last_event_id), stopping)
    return SeatedStream(seats, events, ping=HEARTBEAT_SECONDS, shutdown_event=stopping, shutdown_grace_period=STOP_SECONDS)


class SeatedStream(EventSourceResponse):
    """Takes its seat when it begins to be served, so that a client who left before that holds none."""

    def __init__(self, seats: Seats, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._seats = seats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises RateLimited, before anything is sent, where no seat is free."""
        with self._seats.take():
            await super().__call__(scope, receive, send)


async def _events(desk: Desk, metrics: Metrics, request_id: Bytes32, after: int, stopping: anyio.Event) -> AsyncIterator[dict[str, str]]:
    metrics.streams.inc()
    ends = monotonic() + MAX_STREAM_SECONDS
    try:
        while monotonic() < ends and not stopping.is_set():
            # The state is read before the events: whatever made it final is then among them.
            is_final = (await run_in_threadpool(desk.view, request_id)).is_settled
            for event in await run_in_threadpool(_read_to_the_end if is_final else _read, desk, request_id, after):
                after = event.id
                yield {"id": str(event.id), "event": event.kind, "data": json.dumps(view_event(event).model_dump())}
            if is_final:
                return
            await asyncio.sleep(POLL_SECONDS)
    finally:
        metrics.streams.dec()


def _read(desk: Desk, request_id: Bytes32, after: int) -> list[RequestEvent]:
    return desk.events_since(request_id, after)


def _read_to_the_end(desk: Desk, request_id: Bytes32, after: int) -> list[RequestEvent]:
    """Of a final request: not what came behind the event that made it final, such as the claim of an operator who was late."""
    every = desk.events_since(request_id, 0)
    end = max((event.id for event in every if event.kind in ENDINGS), default=every[-1].id)
    return [event for event in every if after < event.id <= end]
