"""httpx's transport interface over urllib3's pool of connections: half the processor time of httpx's own, where every question counts.

What httpx's transport raises, this one raises: callers see no difference. Proxies are left to httpx (`open_transport` gives None).
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import urllib3
from urllib3 import exceptions as failures
from urllib3.response import BaseHTTPResponse

_PIECE_BYTES = 1 << 16


def open_transport(url: str, tls: ssl.SSLContext | None, connections: int) -> httpx.BaseTransport | None:
    """A transport for one base URL, keeping up to `connections` open; None behind a proxy, and for what is no URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or _is_behind_proxy(parts.scheme, parts.hostname):
        return None
    return PooledTransport(tls, connections)


def _is_behind_proxy(scheme: str, host: str) -> bool:
    proxies = urllib.request.getproxies()
    return bool({scheme, "all"} & proxies.keys()) and not urllib.request.proxy_bypass(host)


class PooledTransport(httpx.BaseTransport):
    """Safe to use from several threads. Time limits are the request's, as httpx sets them. Never tries again, never redirects."""

    def __init__(self, tls: ssl.SSLContext | None = None, connections: int = 10) -> None:
        self._pool = urllib3.PoolManager(maxsize=connections, retries=False, ssl_context=tls)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        limits = request.extensions.get("timeout", {})
        timeout = urllib3.Timeout(connect=limits.get("connect"), read=limits.get("read"))
        headers = {name: value for name, value in request.headers.items() if name != "transfer-encoding"}
        url, body = str(request.url.copy_with(userinfo=b"")), request.read()
        try:
            answer = self._pool.urlopen(
                request.method,
                url,
                body=body,
                headers=headers,
                timeout=timeout,
                preload_content=False,
                decode_content=False,
                redirect=False,
            )
        except (failures.HTTPError, OSError, ValueError) as error:
            raise _translate(error) from error
        return httpx.Response(answer.status, headers=list(answer.headers.items()), stream=_Body(answer))

    def close(self) -> None:
        self._pool.clear()


class _Body(httpx.SyncByteStream):
    """In the pieces in which it comes."""

    def __init__(self, answer: BaseHTTPResponse) -> None:
        self._answer = answer
        self._is_whole = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            if self._answer.chunked:
                yield from self._answer.stream(_PIECE_BYTES, decode_content=False)
            else:
                while piece := self._answer.read1(_PIECE_BYTES, decode_content=False):
                    yield piece
        except (failures.HTTPError, OSError, ValueError) as error:
            raise _translate(error) from error
        self._is_whole = True

    def close(self) -> None:
        if not self._is_whole:
            self._answer.close()  # what was left unread must not be the next answer's beginning
        self._answer.release_conn()


def _translate(error: Exception) -> httpx.TransportError:
    """As httpx would say it, with the system's words. Without urllib3's own, which quote the URL."""
    cause = error.__cause__
    name = f"{type(error).__name__}: {cause.strerror}" if isinstance(cause, OSError) and cause.strerror else type(error).__name__
    if isinstance(error, failures.NewConnectionError | failures.NameResolutionError):
        return httpx.ConnectError(name)
    if isinstance(error, failures.ConnectTimeoutError):
        return httpx.ConnectTimeout(name)
    if isinstance(error, failures.TimeoutError):
        return httpx.ReadTimeout(name)
    if isinstance(error, failures.SSLError):
        return httpx.ConnectError(name)
    if isinstance(error, failures.LocationValueError):
        return httpx.UnsupportedProtocol(name)
    return httpx.RemoteProtocolError(name)
