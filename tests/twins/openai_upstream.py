"""A service that speaks OpenAI's wire format over real HTTP and streams word by word: the outside's twin for the recording proxy.

It answers with the words of the question, backwards, or with what `speak` says: a real model (`tests.twins.titler`). What it does wrong
is said by `behaviour`, and what it was sent is kept.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import uvicorn

USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 1}}


@dataclass
class Seen:
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


@dataclass
class Behaviour:
    """`pieces` is how many bytes of a stream are sent at a time, 0 for whole events; `stop_after` events the connection breaks."""

    pieces: int = 0
    pause: float = 0.0
    stop_after: int | None = None
    never_finishes: bool = False
    status: int = 200
    body: bytes | None = None
    content_type: str = "application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stall: bool = False
    line_end: bytes = b"\n"


@dataclass
class Upstream:
    """`with Upstream() as upstream:` serves at `upstream.url`, a base URL that ends in /v1."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    seen: list[Seen] = field(default_factory=list)
    is_hung_up_on: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    speak: Callable[[str], Iterator[str]] | None = None

    def __enter__(self) -> Upstream:
        config = uvicorn.Config(
            self._app, host="127.0.0.1", port=0, log_config=None, lifespan="off", interface="asgi3", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        self.seen.append(Seen(scope["method"], scope["path"], scope["query_string"].decode(), headers, body))
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._answer(scope["path"], body, send)
        finally:
            watcher.cancel()

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.is_hung_up_on.set()

    async def _answer(self, path: str, body: bytes, send: Any) -> None:
        b = self.behaviour
        if b.stall:
            await asyncio.sleep(30)
        if b.body is not None or b.status != 200:
            data = b.body if b.body is not None else b'{"error":{"message":"You sent key sk-leaked","type":"x","code":"y"}}'
            await _send(send, b.status, b.content_type, data, b.headers)
            return
        asked = json.loads(body) if body else {}
        if self.speak is not None:
            await self._speak(asked, send)
            return
        if not asked.get("stream"):
            await _send(send, 200, "application/json", json.dumps(_whole(path, asked)).encode(), b.headers)
            return
        start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/event-stream; charset=utf-8"), *b.headers],
        }
        await send(start)
        async for piece in self._pieces(path, asked):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(b.pause)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _speak(self, asked: dict[str, Any], send: Any) -> None:
        """A chat with a real model: each piece leaves when the model has made it."""
        assert self.speak is not None
        pieces = self.speak(asked["messages"][-1]["content"])
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "".join(pieces)}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            await _send(send, 200, "application/json", json.dumps(head | {"object": "chat.completion", "choices": choices}).encode(), ())
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            await send({"type": "http.response.body", "body": _event(_chunk(head, True, piece, None)), "more_body": True})
        end = _event(_chunk(head, True, None, "stop")) + b"data: [DONE]\n\n"
        await send({"type": "http.response.body", "body": end, "more_body": False})

    async def _pieces(self, path: str, asked: dict[str, Any]) -> AsyncIterator[bytes]:
        b = self.behaviour
        events = [event.replace(b"\n", b.line_end) for event in stream_events(path, asked)]
        if b.never_finishes:
            events = [event for event in events if not any(word in event for word in (b'"stop"', b"[DONE]", b"response.completed"))]
        if b.stop_after is not None:
            events = events[: b.stop_after]
        if not b.pieces:
            for event in events:
                yield event
        else:
            whole = b"".join(events)
            for start in range(0, len(whole), b.pieces):
                yield whole[start : start + b.pieces]
        if b.stop_after is not None:
            raise ConnectionError("the upstream breaks off")


async def _send(send: Any, status: int, content_type: str, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    told = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body, "more_body": False})


# ---- what it says -------------------------------------------------------------------------------------------------------------------
def answer_to(asked: dict[str, Any]) -> str:
    """The words of the last thing that was said, backwards."""
    said = asked.get("messages") or asked.get("prompt") or asked.get("input") or ""
    if isinstance(said, list):
        said = said[-1]["content"] if said and isinstance(said[-1], dict) else str(said)
    return " ".join(reversed(str(said).split()))


def _whole(path: str, asked: dict[str, Any]) -> dict[str, Any]:
    text, model = answer_to(asked), f"{asked.get('model')}-2026"
    if path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, -1.5]}]
        return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    if path.endswith("/responses"):
        return _response(asked, "completed", text)
    if path.endswith("/chat/completions"):
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if asked.get("tools"):
            name = asked["tools"][0]["function"]["name"]
            call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"place": "Rome"}'}}
            message |= {"content": None, "tool_calls": [call]}
        reason = "tool_calls" if asked.get("tools") else "stop"
        choices = [{"index": i, "message": message, "finish_reason": reason, "logprobs": None} for i in range(asked.get("n") or 1)]
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "choices": choices, "usage": USAGE}
    choices = [{"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}]
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": model, "choices": choices, "usage": USAGE}


def _response(asked: dict[str, Any], status: str, text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    output = [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}]
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8, "output_tokens_details": {"reasoning_tokens": 1}}
    usage |= {"input_tokens_details": {"cached_tokens": 2}}
    told = {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": f"{asked.get('model')}-2026"}
    more = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "error": None, "incomplete_details": None}
    is_done = status == "completed"
    return told | more | {"output": output if is_done else [], "usage": usage if is_done else None}


def stream_events(path: str, asked: dict[str, Any]) -> list[bytes]:
    """The answer as server-sent events, a word in each."""
    words = [word + " " for word in answer_to(asked).split()]
    if path.endswith("/responses"):
        return _response_events(asked, words)
    is_chat = path.endswith("/chat/completions")
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk" if is_chat else "text_completion", "created": 1}
    head |= {"model": f"{asked.get('model')}-2026"}
    chunks = [_chunk(head, is_chat, word, None) for word in words]
    if is_chat:
        chunks.insert(0, head | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
        for start in ("", '{"place":', ' "Rome"}') if asked.get("tools") else ():
            name = {"name": asked["tools"][0]["function"]["name"]} if not start else {}
            call = {"index": 0, "function": name | {"arguments": start}} | ({"id": "call_1", "type": "function"} if not start else {})
            chunks.append(head | {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]})
    chunks.append(_chunk(head, is_chat, None, "stop"))
    if (asked.get("stream_options") or {}).get("include_usage"):
        chunks.append(head | {"choices": [], "usage": USAGE})
    events = [b": keep-alive\n\n", *map(_event, chunks)]
    return [*events, b"data: [DONE]\n\n"]


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def _chunk(head: dict[str, Any], is_chat: bool, word: str | None, reason: str | None) -> dict[str, Any]:
    said = {"delta": {} if word is None else {"content": word}} if is_chat else {"text": word or ""}
    return head | {"choices": [{"index": 0, "finish_reason": reason, **said}]}


def _response_events(asked: dict[str, Any], words: list[str]) -> list[bytes]:
    told: list[dict[str, Any]] = [{"type": "response.created", "response": _response(asked, "in_progress", "")}]
    delta = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0}
    told += [delta | {"delta": word, "logprobs": []} for word in words]
    told.append({"type": "response.completed", "response": _response(asked, "completed", "".join(words))})
    numbered = [event | {"sequence_number": number} for number, event in enumerate(told)]
    return [f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in numbered]
