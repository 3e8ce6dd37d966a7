"""The gate: who makes a request, and whether they may. Every route of the office names a right, or says that it needs none.

    Authorization: Bearer <token>          a program, or a person at a shell
    Cookie: affidavit_session=…            a browser; what changes something needs `x-affidavit-csrf` too, with the value of `/me`

A route without a declaration does not start: `require_declared` is called when the application is made.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.routing import iter_route_contexts

from oracle.errors import Forbidden, InvariantBroken, Unauthorised
from oracle.office.desk import Office
from oracle.office.people import Right
from oracle.office.sessions import LIFETIME_SECONDS, Caller

COOKIE = "affidavit_session"
CSRF_HEADER = "x-affidavit-csrf"
PREFIX = "/audit/v1"

ANYBODY = "anybody"
"""Declared by the few routes that come before signing in."""

SIGNED_IN = "signed in"
"""Declared by those that need a person and no right."""

_SAFE = {"GET", "HEAD", "OPTIONS"}
_LOOPBACK = {"127.0.0.1", "localhost", "::1", "testserver"}


def office_of(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


TheOffice = Annotated[Office, Depends(office_of)]


def authenticate(request: Request) -> Caller:
    """Who makes this request. Raises Unauthorised; Forbidden for a change by cookie alone."""
    office = office_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme or token:
        if scheme.lower() != "bearer" or not token:
            raise Unauthorised("authorization", "a bearer token", "another scheme")
        return office.sessions.caller_of_token(token)
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise Unauthorised("authorization", "a person's token or session", "none")
    caller = office.sessions.caller_of_cookie(cookie)
    if request.method not in _SAFE:
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), (caller.csrf or "").encode()):
            raise Forbidden("a change by session", f"the header {CSRF_HEADER} with the value of /me", "another or none")
    return caller


def anybody() -> None:
    """The declaration of a route that comes before signing in."""


anybody.needs = ANYBODY  # type: ignore[attr-defined]


def signed_in(request: Request) -> Caller:
    """The declaration of a route that needs a person, and no right."""
    return authenticate(request)


signed_in.needs = SIGNED_IN  # type: ignore[attr-defined]


def needs(right: Right) -> Callable[[Request], Caller]:
    """The declaration of a route that needs a right. Raises Unauthorised, or Forbidden for somebody without it."""

    def allowed(request: Request) -> Caller:
        caller = authenticate(request)
        if right not in caller.rights:
            raise Forbidden(f"{request.method} {request.url.path}", f"the right {right}", "a role without it")
        return caller

    allowed.needs = right  # type: ignore[attr-defined]
    return allowed


@dataclass(frozen=True, slots=True)
class Declared:
    """A route of the office, with what it declares that it needs."""

    method: str
    path: str
    needs: tuple[Right | str, ...]


def declarations(app: FastAPI) -> list[Declared]:
    """Every route below PREFIX, whatever router it came from."""
    found = []
    for route in iter_route_contexts(app.routes):
        if route.path is not None and route.path.startswith(PREFIX):
            calls = (dependency.call for dependency in _walk(route.dependant))
            needs: tuple[Right | str, ...] = tuple(call.needs for call in calls if hasattr(call, "needs"))
            found += [Declared(method, route.path, needs) for method in sorted(route.methods or ())]
    return found


def _walk(dependant: Any) -> Iterator[Any]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _walk(inner)


def require_declared(app: FastAPI) -> None:
    """Raises InvariantBroken where a route of the office does not say, once, who may use it; or where there is none at all."""
    found = declarations(app)
    wrong = [route for route in found if len(route.needs) != 1]
    if wrong or not found:
        raise InvariantBroken(f"{wrong[0].path if wrong else PREFIX} does not declare exactly one right")


# ---- the cookie ----------------------------------------------------------------------------------------------------------------------
def is_loopback(request: Request) -> bool:
    """Whether a browser speaks to this machine itself. A proxy may forget to pass on the name, and often tells of itself."""
    forwarded = {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"} & set(request.headers.keys())
    return request.url.hostname in _LOOPBACK and request.url.scheme == "http" and not forwarded


def set_session(request: Request, response: Response, cookie: str) -> None:
    """Not readable by scripts, never sent by another site's pages, over https alone where this is not the loopback."""
    response.set_cookie(
        COOKIE, cookie, max_age=LIFETIME_SECONDS, path="/", secure=not is_loopback(request), httponly=True, samesite="strict"
    )


def end_session(request: Request, response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", secure=not is_loopback(request), httponly=True, samesite="strict")


Anybody = Depends(anybody)
SignedIn = Annotated[Caller, Depends(signed_in)]
