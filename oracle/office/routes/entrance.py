"""Coming in: by token or at the identity provider; who one is; going out."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Cookie, Request, Response
from fastapi.responses import RedirectResponse

from oracle.errors import CaseUnknown, Unauthorised
from oracle.office.desk import Office, public_to_json
from oracle.office.gate import COOKIE, PREFIX, Anybody, SignedIn, TheOffice, end_session, is_loopback, set_session
from oracle.office.oidc import SIGN_IN_SECONDS, Oidc
from oracle.office.routes.answering import query_of, refusals
from oracle.office.sessions import Caller
from oracle.office.wire import MeOut, SessionIn, SettingsOut

BROWSER_COOKIE = "affidavit_sign_in"
_OIDC_PATH = f"{PREFIX}/oidc"
_HOME = "/audit"

router = APIRouter(prefix=PREFIX, tags=["office"])


@router.get("/settings", summary="What a browser needs", dependencies=[Anybody])
def settings(office: TheOffice) -> SettingsOut:
    """Keys and places for a browser's own verification. Public; hold it against what you were given elsewhere."""
    return SettingsOut(**public_to_json(office.public, office.oidc is not None))  # type: ignore[arg-type]


@router.get("/me", summary="Who I am", responses=refusals(401, 403, 503))
def me(caller: SignedIn) -> MeOut:
    """Name, roles and rights of who asks, and the value that changes by cookie must carry."""
    return view_me(caller)


@router.post("/session", summary="Sign in by token", dependencies=[Anybody], responses=refusals(400, 401, 422, 503))
def open_session(sent: SessionIn, office: TheOffice, request: Request, response: Response) -> MeOut:
    """Opens a session for a browser, in a cookie that scripts cannot read."""
    cookie = office.sessions.open(office.sessions.identify(sent.token))
    set_session(request, response, cookie)
    return view_me(office.sessions.caller_of_cookie(cookie))


@router.delete("/session", summary="Sign out", status_code=204, responses=refusals(401, 403, 503))
def close_session(
    _caller: SignedIn,
    office: TheOffice,
    request: Request,
    cookie: Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)] = None,
) -> Response:
    """Ends the session; with a token there is none to end."""
    response = Response(status_code=204)
    if cookie is not None:
        office.sessions.close(cookie)
        end_session(request, response)
    return response


def view_me(caller: Caller) -> MeOut:
    who = caller.identity
    return MeOut(name=who.name, roles=sorted(who.roles), rights=sorted(caller.rights), via=who.via, csrf=caller.csrf)


# ---- OpenID Connect --------------------------------------------------------------------------------------------------------------------
@router.get(
    "/oidc/start",
    summary="Sign in elsewhere",
    status_code=303,
    dependencies=[Anybody],
    response_class=Response,
    responses=refusals(404, 503),
)
def start(office: TheOffice, request: Request) -> Response:
    """Sends the browser to the identity provider."""
    started = oidc_of(office).start()
    response = RedirectResponse(started.location, 303)
    # Lax: the provider's page sends the browser back here, and a Strict cookie would stay behind.
    response.set_cookie(
        BROWSER_COOKIE,
        started.browser,
        max_age=SIGN_IN_SECONDS,
        path=_OIDC_PATH,
        secure=not is_loopback(request),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get(
    "/oidc/callback",
    summary="Back from there",
    status_code=303,
    dependencies=[Anybody],
    response_class=Response,
    responses=refusals(401, 404, 503),
)
def callback(
    office: TheOffice,
    request: Request,
    browser: Annotated[str | None, Cookie(alias=BROWSER_COOKIE, include_in_schema=False)] = None,
) -> Response:
    """Verifies what the provider says, and opens a session."""
    try:
        identity = oidc_of(office).finish(query_of(request), browser)
    except Unauthorised as error:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        return RedirectResponse(f"{_HOME}?{urlencode({'problem': str(error)})}", 303)  # a person is told on the page they came from
    response = RedirectResponse(_HOME, 303)
    set_session(request, response, office.sessions.open(identity))
    response.delete_cookie(BROWSER_COOKIE, path=_OIDC_PATH)
    return response


def oidc_of(office: Office) -> Oidc:
    if office.oidc is None:
        raise CaseUnknown("sign-in by OpenID Connect", "a configured provider", "none")
    return office.oidc
