"""A header that holds a line of its own would be two headers, or a second request. Both transports must refuse to send it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from oracle.keepalive import KeepAliveTransport


@pytest.fixture
def url() -> Iterator[str]:
    """Answers every connection once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("name", "value"), [("x", "a\r\nX-Injected: 1"), ("x", "a\nb"), ("x\r\ny", "a"), ("x", "a\0b")], ids=["lines", "line", "name", "zero"]
)
@pytest.mark.parametrize("transport", [KeepAliveTransport, httpx.HTTPTransport])
def test_no_header_becomes_two(url: str, transport: type[httpx.BaseTransport], name: str, value: str) -> None:
    with httpx.Client(transport=transport()) as client, pytest.raises(httpx.LocalProtocolError):
        client.get(url, headers={name: value})
