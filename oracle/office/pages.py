"""The pages of `web/`, as files: assets under names with their digests are cached for ever, the one HTML file never.

ASGI middleware instead of a route: a route that takes every path would take those of others as well. Where a path below /audit is no file,
the HTML file answers it: the pages read their own addresses.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oracle.http import problem

BASE = "/audit"
_API = "/audit/v1"
_ASSETS = "/audit/assets/"
_IMMUTABLE = "public, max-age=31536000, immutable"
_LOOPBACK = ("http://127.0.0.1:*", "http://localhost:*")
"""An auditor's own node may be on the auditor's own machine."""


def content_security_policy(rpc_url: str) -> str:
    """Scripts and styles of this origin alone; connections to it, to the chain's endpoint, and to the reader's own machine."""
    parts = urlsplit(rpc_url)
    connect = " ".join(dict.fromkeys(["'self'", f"{parts.scheme}://{parts.netloc}", *_LOOPBACK]))
    rules = {
        "default-src": "'self'",
        "connect-src": connect,
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


class Pages:
    """Serves what lies below BASE, and gives every answer of the office the headers that keep a browser narrow."""

    def __init__(self, app: ASGIApp, directory: Path, rpc_url: str) -> None:
        self.app = app
        self._directory = directory.resolve()
        self._policy = content_security_policy(rpc_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_ours(scope["path"]):
            await self.app(scope, receive, send)
            return

        async def narrowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._narrow(MutableHeaders(scope=message))
            await send(message)

        if _is_page(scope["path"]):
            await self._answer(Request(scope))(scope, receive, narrowed)
        else:
            await self.app(scope, receive, narrowed)

    def _narrow(self, headers: MutableHeaders) -> None:
        headers.setdefault("content-security-policy", self._policy)  # a report has a narrower one of its own
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "no-referrer"
        headers["cross-origin-opener-policy"] = "same-origin"
        headers["cross-origin-resource-policy"] = "same-origin"
        headers.setdefault("cache-control", "no-store")

    def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return problem(405, "MethodNotAllowed", f"{request.method} of a page")
        path = request.url.path
        if path == "/":
            return RedirectResponse(BASE, 307)
        if path.startswith(_ASSETS):
            return self._asset(path.removeprefix(BASE + "/"))
        index = self._directory / "index.html"
        if not index.is_file():
            return problem(404, "NotFound", "the pages are not built: run scripts/bootstrap")
        return FileResponse(index, media_type="text/html; charset=utf-8", headers={"cache-control": "no-cache"})

    def _asset(self, path: str) -> Response:
        """A file inside the directory, whatever the path says."""
        try:
            file = (self._directory / path).resolve()
            if file.is_relative_to(self._directory / "assets") and file.is_file():
                return FileResponse(file, headers={"cache-control": _IMMUTABLE})
        except (OSError, ValueError):  # a name no file can have
            pass
        return problem(404, "NotFound", "no such file")


def _is_ours(path: str) -> bool:
    return path == "/" or path == BASE or path.startswith((BASE + "/", "/log/"))


def _is_page(path: str) -> bool:
    return (path == "/" or path == BASE or path.startswith(BASE + "/")) and path != _API and not path.startswith(_API + "/")
