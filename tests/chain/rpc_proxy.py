"""A misbehaving JSON-RPC endpoint: passes questions on to a real one, except as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

Twist = Callable[[str, list[Any], Callable[[], Any]], Any]
"""(method, params, ask the real endpoint) → the whole JSON-RPC response, or a Status, or None for a connection that breaks."""


class Status:
    def __init__(self, code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.code, self.headers, self.body = code, headers or {}, body


class RpcProxy:
    """`twist` decides; without one it is honest. `asked` counts by method."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.twist: Twist | None = None
        self.asked: list[str] = []
        self._http = httpx.Client(timeout=30)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = proxy.answer(question) if isinstance(question, dict) else proxy.answer_batch(question)
                if answer is None:
                    self.close_connection = True
                    return
                status = answer if isinstance(answer, Status) else Status(200, {}, json.dumps(answer).encode())
                try:
                    self.send_response(status.code)
                    for name, value in status.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(status.body)))
                    self.end_headers()
                    self.wfile.write(status.body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v3/0123456789abcdefSECRET"

    def answer(self, question: dict[str, Any]) -> Any:
        self.asked.append(question["method"])

        def ask() -> Any:
            return self._http.post(self.upstream, json=question).json()

        return ask() if self.twist is None else self.twist(question["method"], question["params"], ask)

    def answer_batch(self, questions: list[dict[str, Any]]) -> Any:
        """Each as if it had been asked alone; what breaks off one, or refuses it as a whole, does so with the batch."""
        answers = [self.answer(question) for question in questions]
        return next((one for one in answers if one is None or isinstance(one, Status)), answers)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def hangs(seconds: float) -> Twist:
    def twist(_method: str, _params: list[Any], ask: Callable[[], Any]) -> Any:
        time.sleep(seconds)
        return ask()

    return twist


def drops(_method: str, _params: list[Any], _ask: Callable[[], Any]) -> Any:
    return None


def doubles(_method: str, _params: list[Any], ask: Callable[[], Any]) -> Any:
    """Every question reaches the chain twice; the second answer is told."""
    ask()
    return ask()


def limits(_method: str, _params: list[Any], _ask: Callable[[], Any]) -> Any:
    return Status(429, {"Retry-After": "1"})


def swallows(method: str, _params: list[Any], ask: Callable[[], Any]) -> Any:
    """Takes a transaction, passes it on, and breaks the connection."""
    answer = ask()
    return None if method == "eth_sendRawTransaction" else answer


def on(method: str, change: Callable[[Any], Any]) -> Twist:
    """Changes the result of one method."""

    def twist(asked: str, _params: list[Any], ask: Callable[[], Any]) -> Any:
        answer = ask()
        if asked == method and "result" in answer:
            answer["result"] = change(answer["result"])
        return answer

    return twist


def is_on_chain(chain_id: int) -> Twist:
    return on("eth_chainId", lambda _: hex(chain_id))


def lies_about_nonces(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
    return on("eth_getTransactionCount", lambda value: hex(int(value, 16) + 9))(method, params, ask)


def hides_receipts(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
    return on("eth_getTransactionReceipt", lambda _: None)(method, params, ask)


def hides_events(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
    return on("eth_getLogs", lambda _: [])(method, params, ask)


def invents_receipts(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
    """A receipt for every transaction, of the newest block, which succeeded."""

    def invent(real: Any) -> Any:
        if real is not None:
            return {**real, "blockHash": "0x" + "ab" * 32}
        return {
            "transactionHash": params[0],
            "blockHash": "0x" + "ab" * 32,
            "blockNumber": "0x1",
            "status": "0x1",
            "gasUsed": "0x5208",
            "contractAddress": None,
            "logs": [],
        }

    return on("eth_getTransactionReceipt", invent)(method, params, ask)


def refuses_for_ever(method: str, _params: list[Any], ask: Callable[[], Any]) -> Any:
    """Says of every transaction that it can never be mined, and of every call that it reverts."""
    if method == "eth_sendRawTransaction":
        return {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "intrinsic gas too low"}}
    if method in ("eth_estimateGas", "eth_call"):
        return {"jsonrpc": "2.0", "id": None, "error": {"code": 3, "message": "execution reverted", "data": "0x"}}
    return ask()


def stays_behind(blocks: int) -> Twist:
    """Answers as a node so many blocks behind would: its newest block is an older one, and it has no receipts."""

    def twist(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        if method == "eth_blockNumber":
            answer = ask()
            return {**answer, "result": hex(max(int(answer["result"], 16) - blocks, 0))}
        return hides_receipts(method, params, ask)

    return twist
