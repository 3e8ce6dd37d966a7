"""What every HTTP door of ours does the same way: one table from errors to statuses, RFC 9457 problem bodies, body limits, server start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oracle import errors, journal
from oracle.config import parse_listen

PROBLEM = "application/problem+json"

STATUS_OF: dict[type[errors.AffidavitError], int] = {
    errors.MalformedInput: 400,
    errors.PolicyRejected: 422,
    errors.ModelRejected: 422,
    errors.InputRejected: 422,
    errors.WorkGivenUp: 422,
    errors.RequestRejected: 422,
    errors.ClaimRejected: 422,
    errors.EvidenceRejected: 422,
    errors.ProofRejected: 422,
    errors.NoteRejected: 422,
    errors.EntryRejected: 422,
    errors.AuditFailed: 422,
    errors.RequestUnpaid: 402,
    errors.Unauthorised: 401,
    errors.Forbidden: 403,
    errors.OutOfScope: 403,
    errors.ModelUnknown: 404,
    errors.RequestUnknown: 404,
    errors.RecordUnknown: 404,
    errors.CaseUnknown: 404,
    errors.Equivocation: 409,
    errors.LogRefused: 409,
    errors.CaseRefused: 409,
    errors.ErasureHeld: 409,
    errors.RequestExpired: 410,
    errors.TooLarge: 413,
    errors.RateLimited: 429,
    errors.ConfigRejected: 500,
    errors.PeerError: 503,
    errors.ChainError: 503,
    errors.AmbiguousSend: 503,
    errors.StoreError: 503,
    errors.WorkerError: 503,
}
"""Every documented error has its status here; a test holds the table complete."""


def problem(status: int, kind: str, detail: str, **more: Any) -> JSONResponse:
    """An RFC 9457 problem document. A detail may quote what was sent, also text that UTF-8 cannot write: that is escaped."""
    return JSONResponse(problem_document(status, kind, detail) | more, status, media_type=PROBLEM)


def problem_document(status: int, kind: str, detail: str) -> dict[str, Any]:
    """The fields of a problem document."""
    detail = detail.encode("utf-8", "backslashreplace").decode()
    return {"type": f"urn:affidavit:error:{kind}", "title": kind, "status": status, "detail": detail}


def status_of(error: BaseException) -> int:
    """By the table above; 500 for what is not in it."""
    return next((STATUS_OF[k] for k in type(error).__mro__ if k in STATUS_OF), 500)


class BodyLimit:
    """ASGI middleware: answers 413 as soon as a request's body passes `limit` bytes, declared or not. `larger`: limits of other paths."""

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.limit = limit
        self.larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.larger.get(scope["path"], self.limit)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            await problem(413, "TooLarge", f"body: expected at most {limit} bytes")(scope, receive, send)
            return
        body, more = b"", True
        while more:  # bodies are small: read whole, so that the limit holds before any handler runs
            message = await receive()
            if message["type"] != "http.request":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > limit:
                await problem(413, "TooLarge", f"body: expected at most {limit} bytes")(scope, receive, send)
                return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


def install_errors(app: FastAPI) -> None:
    """Maps errors to problem documents. Anything unknown is ours: 500, with no detail."""
    logger = journal.get("http")

    async def on_affidavit_error(request: Request, error: Exception) -> JSONResponse:
        status = status_of(error)
        if status >= 500:
            logger.error("request failed", path=request.url.path, error=str(error), cause=repr(error.__cause__))
        detail = str(error) if status != 500 else "internal error"
        return problem(status, type(error).__name__, detail)

    async def on_validation_error(_request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, RequestValidationError):
            raise error
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(422 if first["type"] != "json_invalid" else 400, "MalformedInput", f"{where}: {first['msg']}")

    async def on_http_error(_request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, HTTPException):
            raise error
        return JSONResponse(problem_body(error), error.status_code, headers=dict(error.headers or {}), media_type=PROBLEM)

    async def on_anything(request: Request, error: Exception) -> JSONResponse:
        logger.error("internal error", path=request.url.path, exc_info=error)
        return problem(500, "InternalError", "internal error")

    app.add_exception_handler(errors.AffidavitError, on_affidavit_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_anything)


def problem_body(error: HTTPException) -> dict[str, Any]:
    return {"type": "about:blank", "title": str(error.detail), "status": error.status_code, "detail": str(error.detail)}


def serve(app: FastAPI, listen: str) -> None:
    """Serves until SIGINT or SIGTERM. Raises ConfigRejected for an address that is not host:port."""
    host, port = parse_listen(listen)
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5)
