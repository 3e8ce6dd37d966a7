"""Bytes that no HTTP client would send, at the real doors of API, node and log: a refusal, at once, and the door stays open for others."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from oracle.node.service import Door, make_app
from tests.twins.api import network, served
from tests.twins.log_service import LogService
from tests.twins.node_scene import make_scene

SECONDS = 5
HALF_OPEN = 200
DOORS = {"api": ("/v1/requests", ""), "node": ("/v1/requests", ""), "log": ("/append", "writer")}

BODIES = {
    "deep lists": b"[" * 15_000,
    "deep objects": b'{"a":' * 3000,
    "an integer beyond Python's limit": b'{"nonce":' + b"9" * 6000 + b"}",
    "a float beyond any": b'{"fee_wei":1e999999999}',
    "NaN": b'{"fee_wei":NaN}',
    "half a surrogate": b'{"\\ud800":"\\udfff"}',
    "a zero byte": b'{"\\u0000":"\\u0000"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "no UTF-8": b"\xff\xfe\x00",
    "a key twice": b'{"request":1,"request":2}',
    "null": b"null",
    "nothing": b"",
}
HEADERS = {
    "a length of 5000 digits": ["Content-Length: " + "9" * 5000],
    "a negative length": ["Content-Length: -1"],
    "a length with a sign": ["Content-Length: +2"],
    "two lengths": ["Content-Length: 1", "Content-Length: 2"],
    "a length and chunks": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "two thousand headers": [f"X-{number}: {'a' * 100}" for number in range(2000)],
    "a zero byte in a header": ["X-Name: \0"],
    "another charset": ["Content-Type: application/json; charset=utf-7"],
    "a token that is no text": ["Authorization: Bearer \xff\xfe"],
}
PATHS = ["%00", "%ff", "..%2f..%2fetc%2fpasswd", "9" * 5000, "-1", "0x" + "ff" * 32 + "%00", "%D9%A1", "1%0a", "0X" + "00" * 32]


@pytest.fixture(scope="module", params=sorted(DOORS))
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """(URL, path that takes bodies, token)."""
    directory: Path = tmp_path_factory.mktemp(request.param)
    path, writer = DOORS[request.param]
    with ExitStack() as stack:
        if request.param == "log":
            log = stack.enter_context(LogService(directory))
            yield log.url, path, log.tokens[writer]
        elif request.param == "api":
            yield stack.enter_context(served(stack.enter_context(network(directory)).app)), path, ""
        else:
            node = make_scene(directory).node
            app = make_app(Door(node.name, node.store, node.chain, node.library, node.terms, node.metrics, {}, node.bell.set))
            yield stack.enter_context(served(app)), path, ""


def exchange(url: str, head: list[str], body: bytes) -> int:
    """The status of what comes back for exactly these bytes; 0 where the door hung up without a word."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        try:
            connection.sendall("\r\n".join([*head, "Host: x", "Connection: close", "", ""]).encode("latin-1") + body)
            answer = connection.recv(65536)
        except ConnectionError:
            return 0
    return int(answer.split(b" ")[1]) if answer else 0


def post(door: tuple[str, str, str], headers: list[str], body: bytes) -> int:
    url, path, token = door
    if not any(header.startswith(("Content-Length", "Transfer")) for header in headers):
        headers = [*headers, f"Content-Length: {len(body)}"]
    if token and not any(header.startswith("Authorization") for header in headers):
        headers = [*headers, f"Authorization: Bearer {token}"]
    return exchange(url, [f"POST {path} HTTP/1.1", *headers], body)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_none_is_refused_at_once(door: tuple[str, str, str], body: bytes) -> None:
    began = time.monotonic()
    assert 400 <= post(door, ["Content-Type: application/json"], body) < 500
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_a_head_that_is_none_is_refused_at_once(door: tuple[str, str, str], headers: list[str]) -> None:
    status = post(door, headers, b"{}")
    assert status == 0 or 400 <= status < 500


@pytest.mark.parametrize("part", PATHS)
def test_an_address_that_is_none_is_refused(door: tuple[str, str, str], part: str) -> None:
    url, path, token = door
    for before in (path, "/v1/claims", "/v1/models", "/tile", "/proof", "/receipt"):
        head = [f"GET {before}/{part} HTTP/1.1", *([f"Authorization: Bearer {token}"] if token else [])]
        assert 400 <= exchange(url, head, b"") < 500, before


def test_who_never_finishes_a_request_keeps_nobody_out(door: tuple[str, str, str]) -> None:
    url, path, _token = door
    host, port = url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        for number in range(HALF_OPEN):
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=SECONDS))
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode())
            if number % 2:
                connection.sendall(b"Content-Length: 1000\r\n\r\n{")
        assert httpx.get(url + "/health", timeout=SECONDS).status_code == 200
