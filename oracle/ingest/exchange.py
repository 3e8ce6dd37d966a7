"""One recorded exchange: the upstream's answer on its way to the caller, with the result in the log before its end leaves.

Runs in a task of its own, which outlives the caller's connection: whoever hangs up does not keep the end of the call from being written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from oracle import journal
from oracle.audit.calls import Outcome
from oracle.errors import AffidavitError, TooLarge
from oracle.ingest.openai_wire import Answering, Endpoint, Transcript
from oracle.ingest.recorder import Call
from oracle.ingest.sse import EventSplitter

QUEUE_EVENTS = 64
"""How far the upstream may run ahead of a slow caller."""


async def record_end(call: Call, answering: Answering, failure: str = "", outcome: Outcome = Outcome.ERROR) -> None:
    """Writes how a call ended. Raises as an append does."""
    call.output(answering.output, fields=answering.fields)
    if failure:
        call.fail(failure, outcome)
    await run_in_threadpool(call.finish)


async def record_bug(call: Call, error: Exception) -> None:
    """A mistake of ours showed on this call. Its intent is not left open for it."""
    journal.get("proxy").error("a bug", call_id=call.call_id, exc_info=error)
    await run_in_threadpool(call.finish, error)


@dataclass
class StreamRelay:
    """Server-sent events from the upstream to one caller. What ends the answer is held back until the result is in the log."""

    upstream: httpx.Response
    call: Call
    endpoint: Endpoint
    choices: int
    max_bytes: int
    started: float
    on_end: Callable[[str], None]
    error_event: Callable[[str, str], bytes]
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_EVENTS))
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    held: list[bytes] = field(default_factory=list)
    first_token_microseconds: int | None = None

    async def run(self) -> None:
        """To the end, whatever the end is. Raises nothing that is not a bug."""
        try:
            await self._run()
        except Exception as error:
            await record_bug(self.call, error)
            raise
        finally:
            await self._pass_on(None)

    async def _run(self) -> None:
        transcript = Transcript(self.endpoint, self.choices)
        failure, outcome = await self._relay(transcript)
        if failure and not transcript.failure:  # else the upstream said so itself, and its words pass
            self.held = [self.error_event(failure, "the model's service broke off its answer")]
        answering = transcript.answer()
        if self.first_token_microseconds is not None:
            answering.fields["audit.first_token_microseconds"] = self.first_token_microseconds
        try:
            await record_end(self.call, answering, failure, outcome)
        except AffidavitError as error:
            journal.get("proxy").critical("the end of an answer is held back", call_id=self.call.call_id, error=str(error))
            self.held = [self.error_event("LogUnavailable", "the record of this answer could not be written")]
            failure = "LogUnavailable"
        self.on_end(str(outcome) if failure else str(Outcome.OK))
        for raw in self.held:
            await self._pass_on(raw)

    async def _relay(self, transcript: Transcript) -> tuple[str, Outcome]:
        """Why the answer is not whole, empty where it is, and the outcome of that."""
        reading, hanging = asyncio.create_task(self._read(transcript)), asyncio.create_task(self.gone.wait())
        await asyncio.wait({reading, hanging}, return_when=asyncio.FIRST_COMPLETED)
        hanging.cancel()
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})
        await self.upstream.aclose()
        if reading.cancelled():
            return "CallerHungUp", Outcome.CANCELLED
        error = reading.exception()
        if isinstance(error, httpx.HTTPError | TooLarge):
            return f"Upstream{type(error).__name__}", Outcome.ERROR
        if error is not None:
            raise error
        failure = transcript.failure or ("" if transcript.is_complete else "UpstreamTruncated")
        return failure, Outcome.ERROR

    async def _read(self, transcript: Transcript) -> None:
        splitter, total = EventSplitter(self.max_bytes), 0
        async for data in self.upstream.aiter_bytes():
            total += len(data)
            if total > self.max_bytes:
                raise TooLarge("answer", f"at most {self.max_bytes} bytes", total)
            for event in splitter.feed(data):
                await self._take(event.raw, event.data, transcript)
        for event in splitter.close():
            await self._take(event.raw, event.data, transcript)

    async def _take(self, raw: bytes, data: bytes, transcript: Transcript) -> None:
        if data and self.first_token_microseconds is None:
            self.first_token_microseconds = round((time.perf_counter() - self.started) * 1_000_000)
        if data:
            transcript.add(data)
        if self.held or transcript.is_complete:
            self.held.append(raw)
        else:
            await self.queue.put(raw)

    async def _pass_on(self, raw: bytes | None) -> None:
        """To the caller, unless it is gone: nobody empties the queue then."""
        putting, hanging = asyncio.create_task(self.queue.put(raw)), asyncio.create_task(self.gone.wait())
        await asyncio.wait({putting, hanging}, return_when=asyncio.FIRST_COMPLETED)
        for task in (putting, hanging):
            task.cancel()

    async def events(self) -> AsyncIterator[bytes]:
        while (raw := await self.queue.get()) is not None:
            yield raw


class StreamAnswer(Response):
    """Sends what a relay passes on, and tells it when the caller hangs up, which it looks for all the time."""

    def __init__(self, relay: StreamRelay, status: int, headers: dict[str, str]) -> None:
        super().__init__(None, status, headers)
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        self._relay = relay

    def hang_up(self) -> None:
        """Nobody will send this: the caller went away before."""
        self._relay.gone.set()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        sending, watching = asyncio.create_task(self._send(send)), asyncio.create_task(_hung_up(receive))
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, watching):
                task.cancel()
            self.hang_up()
        if sending.done() and not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for raw in self._relay.events():
            await send({"type": "http.response.body", "body": raw, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
