"""HTTP/1.1 to our own processes and to endpoints in the clear: as httpx's own transport, for a quarter of its processor time.

Connections are kept open and used by one exchange at a time. What httpx's transport raises, this one raises: callers see no difference.
TLS and proxies are left to httpx (`open_transport` gives None).
"""

from __future__ import annotations

import re
import select
import socket
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from httptools import HttpResponseParser

MOST_IDLE = 64
MAX_IDLE_BYTES = 1 << 16
"""Of an answer's head, and of what is no body between two pieces of it or behind the last: ten times what a server of ours ever sends."""
WHOLE = "affidavit.whole"
"""A request's extension: seconds for its whole answer, beside the limits that httpx sets for single steps."""
_PIECE_BYTES = 1 << 16
_LINE_ENDS = re.compile(rb"[\x00\r\n]")


def open_transport(url: str) -> httpx.BaseTransport | None:
    """A transport for one base URL; None where httpx's own must be used: for https, behind a proxy, and where there is no parser."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or _is_behind_proxy(parts.hostname):
        return None
    try:
        import httptools  # noqa: F401, uvicorn takes it too; not on Windows
    except ImportError:
        return None
    return KeepAliveTransport()


def _is_behind_proxy(host: str) -> bool:
    proxies = urllib.request.getproxies()
    return bool({"http", "all"} & proxies.keys()) and not urllib.request.proxy_bypass(host)


class KeepAliveTransport(httpx.BaseTransport):
    """Safe to use from several threads. The time limits are those of the request, as httpx sets them."""

    def __init__(self) -> None:
        self._idle: deque[tuple[tuple[str, int], socket.socket]] = deque()
        self._is_closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        limits, data = request.extensions.get("timeout", {}), _encode_request(request)
        connection = self._connect(request, limits.get("connect"))
        exchange = _Exchange(self, connection, limits.get("read"), request.extensions.get(WHOLE), is_without_body=request.method == "HEAD")
        try:
            _send(connection[1], data, limits.get("write"))
            exchange.read_head()
        except BaseException:
            exchange.close()
            raise
        return httpx.Response(exchange.status, headers=exchange.headers, stream=exchange)

    def close(self) -> None:
        self._is_closed = True
        while self._idle:
            self._idle.pop()[1].close()

    def give_back(self, connection: tuple[tuple[str, int], socket.socket]) -> None:
        """A connection whose exchange is over, for the next one."""
        if self._is_closed or len(self._idle) >= MOST_IDLE:
            connection[1].close()
        else:
            self._idle.append(connection)

    def _connect(self, request: httpx.Request, seconds: float | None) -> tuple[tuple[str, int], socket.socket]:
        if request.url.scheme != "http":
            raise httpx.UnsupportedProtocol(f"{request.url.scheme!r} is not for this transport", request=request)
        address = (request.url.host, request.url.port or 80)
        while self._idle:
            try:
                there, kept = self._idle.pop()
            except IndexError:  # another thread took it
                break
            if there == address and not _is_readable(kept):
                return there, kept
            kept.close()  # of another host, or closed by the peer meanwhile
        try:
            fresh = socket.create_connection(address, seconds)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error), request=request) from error
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return address, fresh


class _Exchange(httpx.SyncByteStream):
    """The answer to one request: its head, then its body in the pieces in which it comes."""

    def __init__(
        self,
        owner: KeepAliveTransport,
        connection: tuple[tuple[str, int], socket.socket],
        seconds: float | None,
        whole_seconds: float | None,
        is_without_body: bool,
    ) -> None:
        from httptools import HttpResponseParser

        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._owner, self._connection, self._seconds, self._is_without_body = owner, connection, seconds, is_without_body
        self._ends = None if whole_seconds is None else time.monotonic() + whole_seconds
        self._idle_bytes = 0  # since the last piece of the body
        self._pieces: deque[bytes] = deque()
        self._has_head = self._is_whole = self._is_closed = self._may_stay = False
        self._parser: HttpResponseParser = HttpResponseParser(self)

    # ---- what the parser calls ------------------------------------------------------------------------------------------------------
    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._has_head = self.status >= 200

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._is_whole, self._may_stay = True, bool(self._parser.should_keep_alive())
        else:  # of 100 Continue or another word in between
            self.headers.clear()

    # ---- reading --------------------------------------------------------------------------------------------------------------------
    def read_head(self) -> None:
        self._connection[1].settimeout(self._seconds)
        while not self._has_head:
            self._read_some()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if self._is_whole or self._is_without_body:
                return
            self._read_some()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._may_stay:
            self._owner.give_back(self._connection)
        else:
            self._connection[1].close()

    def _read_some(self) -> None:
        if self._idle_bytes > MAX_IDLE_BYTES:
            raise httpx.RemoteProtocolError("an answer that goes on without saying anything")
        try:
            self._limit_time()
            data = self._connection[1].recv(_PIECE_BYTES)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        if data:
            self._idle_bytes += len(data)
            self._parse(data)
            if self._pieces:
                self._idle_bytes = 0
        else:
            self._end()

    def _limit_time(self) -> None:
        """The next step may take as long as any, and no longer than what is left for all."""
        if self._ends is None:
            return
        if (left := self._ends - time.monotonic()) <= 0:
            raise TimeoutError("an answer without an end")
        self._connection[1].settimeout(left if self._seconds is None else min(self._seconds, left))

    def _parse(self, data: bytes) -> None:
        from httptools import HttpParserError

        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    def _end(self) -> None:
        """The peer closed the connection: that ends a body whose length was not told, and breaks off everything else."""
        told = {name.lower() for name, _ in self.headers}
        if not self._has_head or told & {b"content-length", b"transfer-encoding"}:
            raise httpx.RemoteProtocolError("the server closed the connection in the middle of an answer")
        self._is_without_body = True


def _encode_request(request: httpx.Request) -> bytes:
    """The bytes of a request; a body of unknown length is read first, and told."""
    for name, value in request.headers.raw:  # two lines would be two headers, or another request
        if _LINE_ENDS.search(name) or _LINE_ENDS.search(value) or not name or b":" in name or b" " in name:
            raise httpx.LocalProtocolError(f"a header {name!r:.40} that is not one line", request=request)
    body = b"".join(piece for piece in request.stream)  # type: ignore[union-attr]
    head = [b"%s %s HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)]
    head += [b"%s: %s\r\n" % header for header in request.headers.raw if header[0].lower() != b"transfer-encoding"]
    if b"transfer-encoding" in {name.lower() for name, _ in request.headers.raw}:
        head.append(b"Content-Length: %d\r\n" % len(body))
    return b"".join((*head, b"\r\n", body))


def _send(connection: socket.socket, data: bytes, seconds: float | None) -> None:
    connection.settimeout(seconds)
    try:
        connection.sendall(data)
    except TimeoutError as error:
        raise httpx.WriteTimeout(str(error)) from error
    except OSError:
        pass  # a server may refuse a request before it is read, and close; what it said is read next


def _is_readable(connection: socket.socket) -> bool:
    """Whether anything is there to be read: the end, since nothing was asked."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
