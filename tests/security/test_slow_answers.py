"""Answers that are never over although each byte comes in time: in a head, between chunks, behind the last one. Whoever is asked so may
cost the one who asks its patience, and not its memory or its thread.

By the two that ask strangers: the relay its nodes (httpx), and its endpoints (oracle/relay/pooled.py).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from oracle.errors import PeerError
from oracle.relay import peers
from oracle.relay.upstream import Upstream
from tests.twins.raw_server import RawServer

LASTS_SECONDS = 2.0
PATIENCE_SECONDS = 0.3
MOST_SECONDS = 1.5
MOST_BYTES = 12 << 20
ENOUGH_BYTES = 6 << 20
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = CHUNKED + b"2\r\n{}\r\n0\r\n"

DRIPS = {
    "the name of a header": (OK, b"a"),
    "headers": (OK, b"A: b\r\n"),
    "other words in between": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "an extension of a chunk": (CHUNKED + b"2;", b"a"),
    "headers behind the last chunk": (LAST_CHUNK, b"A: b\r\n"),
    "a body": (CHUNKED, b"1\r\n \r\n"),
}
FLOODS = {
    "headers": (OK, b"A: b\r\n" * 10_000),
    "an extension of a chunk": (CHUNKED + b"2;", b"a" * 60_000),
    "headers behind the last chunk": (LAST_CHUNK, b"A: b\r\n" * 10_000),
    "one header behind the last chunk": (LAST_CHUNK + b"A: ", b"b" * 60_000),
}
HOLDS = {"the name of a header", "headers", "other words in between", "an extension of a chunk", "headers behind the last chunk"}
HELD = pytest.mark.xfail(strict=True, reason="time is looked at between pieces of a body alone, and no piece comes")
READ_ON = pytest.mark.xfail(strict=True, reason="thrown away, but for as long as they come")


class Sender(RawServer):
    """Says `first`, then `more` again and again: for LASTS_SECONDS, or MOST_BYTES."""

    def __init__(self, first: bytes, more: bytes, pause_seconds: float) -> None:
        self._first, self._more, self._pause = first, more, pause_seconds
        self.taken = 0
        super().__init__(self._say)

    def _say(self, connection: socket.socket) -> None:
        ends = time.monotonic() + LASTS_SECONDS
        connection.sendall(self._first)
        while time.monotonic() < ends and self.taken < MOST_BYTES:
            connection.sendall(self._more)
            self.taken += len(self._more)
            time.sleep(self._pause)


@pytest.fixture
def sending() -> Iterator[Callable[[bytes, bytes, float], Sender]]:
    opened: list[Sender] = []

    def start(first: bytes, more: bytes, pause_seconds: float) -> Sender:
        opened.append(Sender(first, more, pause_seconds))
        return opened[-1]

    yield start
    for sender in opened:
        sender.close()


def ask_node(url: str) -> None:
    with peers.NodePeer(url) as peer, pytest.raises(PeerError):
        peer._exchange("GET", "/v1/claims/0x00")


def ask_endpoint(url: str) -> None:
    assert Upstream(url, "endpoint", PATIENCE_SECONDS, None, time.monotonic).ask("eth_chainId", []).fault is not None


SLOW = [pytest.param(*case, id=name, marks=[HELD] if name in HOLDS else []) for name, case in DRIPS.items()]
FLOODING = [
    pytest.param(
        *case, ask, id=f"{name}, {ask.__name__}", marks=[READ_ON] if ask is ask_endpoint and name == "headers behind the last chunk" else []
    )
    for name, case in FLOODS.items()
    for ask in (ask_node, ask_endpoint)
]


@pytest.mark.parametrize(("first", "more"), SLOW)
def test_what_drips_holds_nobody(
    sending: Callable[[bytes, bytes, float], Sender], monkeypatch: pytest.MonkeyPatch, first: bytes, more: bytes
) -> None:
    monkeypatch.setattr(peers, "MAX_ANSWER_SECONDS", PATIENCE_SECONDS)
    sender = sending(first, more, 0.02)
    for ask in (ask_node, ask_endpoint):
        began = time.monotonic()
        ask(sender.url)
        assert time.monotonic() - began < MOST_SECONDS


@pytest.mark.parametrize(("first", "more", "ask"), FLOODING)
def test_what_floods_fills_nobody(
    sending: Callable[[bytes, bytes, float], Sender], monkeypatch: pytest.MonkeyPatch, first: bytes, more: bytes, ask: Callable[[str], None]
) -> None:
    monkeypatch.setattr(peers, "MAX_ANSWER_SECONDS", LASTS_SECONDS)
    sender = sending(first, more, 0)
    ask(sender.url)
    assert sender.taken < ENOUGH_BYTES, f"read {sender.taken >> 20} MiB that are no answer"
