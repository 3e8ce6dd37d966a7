"""Sign-in at an OpenID Connect provider: authorization code with PKCE, state and nonce.

    start()    → the provider's address to send the browser to; what must come back is stored under the digest of `state`
    finish()   ← state and code from the browser; the code is exchanged, the ID token verified, and the person is known

Checked, in this order: the state is ours, unused, younger than SIGN_IN_SECONDS, and of this browser (a cookie); `iss` of the answer
(RFC 9207); the ID token (OpenID Connect Core 1.0, 3.1.3.7): algorithm of the short list, signature by a key of the issuer's JWKS, `iss`,
`aud`, `azp`, `exp`, `nbf` and `iat` within LEEWAY_SECONDS, `nonce`. Discovery and keys are fetched at each sign-in, over https (http on the
loopback alone), and no redirect is followed. A role comes from one claim, through the mapping of the configuration; a value that is not in
the mapping gives nothing, and nobody without a role gets in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import jwt
from sqlalchemy import Engine, delete, insert, select

from oracle.audit.access import hash_token
from oracle.errors import ConfigRejected, PeerError, Unauthorised
from oracle.office.people import MAX_SUBJECT, PeopleFile, Role
from oracle.office.schema import SIGN_INS
from oracle.office.sessions import OIDC_PREFIX, Identity, identity_of, world
from oracle.seams import Clock

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Never `none`, and no HS…: a client secret is not a key that others' tokens should be made with."""

LEEWAY_SECONDS = 60
SIGN_IN_SECONDS = 600
TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 1 << 20
MAX_OPEN_SIGN_INS = 10_000
"""Anybody may begin to sign in; beyond so many at once the oldest are forgotten."""

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """What the provider and this office agreed on."""

    issuer: str
    client_id: str
    redirect_url: str  # ends with /audit/v1/oidc/callback
    client_secret: str | None = None  # None for a public client
    roles_claim: str = "roles"
    roles: Mapping[str, Role] | None = None  # value of the claim → role
    scopes: tuple[str, ...] = ("openid",)


@dataclass(frozen=True, slots=True)
class Started:
    """Where to send the browser, and what it must bring back in a cookie."""

    location: str
    browser: str


@dataclass(frozen=True, slots=True)
class _Pending:
    nonce: str
    verifier: str


class Oidc:
    """One provider. Raises PeerError where it does not answer as the standard says, Unauthorised where the sign-in does not hold."""

    def __init__(
        self, settings: OidcSettings, engine: Engine, people: PeopleFile, clock: Clock, transport: httpx.BaseTransport | None = None
    ) -> None:
        for what, url in (("issuer", settings.issuer), ("redirect_url", settings.redirect_url)):
            _require_safe(url, f"oidc: {what}")
        self._settings = settings
        self._engine = engine
        self._people = people
        self._clock = clock
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, transport=transport, follow_redirects=False)

    def close(self) -> None:
        self._http.close()

    # ---- the two halves of a sign-in -----------------------------------------------------------------------------------------------
    def start(self) -> Started:
        provider = self._discover()
        state, browser, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        self._remember(state, browser, _Pending(nonce, verifier))
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._settings.redirect_url,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        separator = "&" if urlsplit(provider["authorization_endpoint"]).query else "?"
        return Started(provider["authorization_endpoint"] + separator + urlencode(query), browser)

    def finish(self, answer: Mapping[str, str], browser: str | None) -> Identity:
        """`answer` is the query of the callback, `browser` the cookie's value."""
        pending = self._take(answer.get("state", ""), browser or "")
        if "error" in answer:
            raise Unauthorised("sign-in", "an authorization code", f"the provider's error {answer['error'][:60]!r}")
        provider = self._discover()
        self._check_issuer(answer.get("iss"), is_promised=provider.get("authorization_response_iss_parameter_supported") is True)
        token = self._exchange(provider["token_endpoint"], answer.get("code", ""), pending.verifier)
        claims = self._verify(token, self._fetch(provider["jwks_uri"]), pending.nonce)
        return self._identity(claims)

    # ---- what was begun --------------------------------------------------------------------------------------------------------------
    def _remember(self, state: str, browser: str, pending: _Pending) -> None:
        now = self._now()
        row = {
            "state_digest": hash_token(state),
            "browser_digest": hash_token(browser),
            "nonce": pending.nonce,
            "verifier": pending.verifier,
            "expires": now + SIGN_IN_SECONDS,
        }
        newest = select(SIGN_INS.c.state_digest).order_by(SIGN_INS.c.expires.desc()).limit(MAX_OPEN_SIGN_INS - 1)
        with world("remember a sign-in"), self._engine.begin() as connection:
            connection.execute(delete(SIGN_INS).where((SIGN_INS.c.expires <= now) | SIGN_INS.c.state_digest.not_in(newest)))
            connection.execute(insert(SIGN_INS), row)

    def _take(self, state: str, browser: str) -> _Pending:
        """Once only: whoever comes second with a state finds nothing."""
        digest = hash_token(state)
        with world("read a sign-in"), self._engine.begin() as connection:
            row = connection.execute(select(SIGN_INS).where(SIGN_INS.c.state_digest == digest)).one_or_none()
            taken = connection.execute(delete(SIGN_INS).where(SIGN_INS.c.state_digest == digest)).rowcount == 1
        if row is None or not taken or self._now() >= row.expires:
            raise Unauthorised("sign-in: state", "one that was given here, once", "an unknown, used or expired one")
        if not hmac.compare_digest(row.browser_digest, hash_token(browser)):
            raise Unauthorised("sign-in: state", "the browser that began", "another one")
        return _Pending(row.nonce, row.verifier)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())

    # ---- asking the provider ---------------------------------------------------------------------------------------------------------
    def _discover(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0, section 4: the document names the issuer it was asked of."""
        found = self._fetch(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self._settings.issuer:
            raise PeerError("the OpenID Connect issuer's document names another issuer") from ValueError(repr(found.get("issuer"))[:120])
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not isinstance(found.get(name), str) or not _is_safe(found[name]):
                raise PeerError(f"the OpenID Connect issuer names no safe {name}") from ValueError(repr(found.get(name))[:120])
        return found

    def _fetch(self, url: str) -> dict[str, Any]:
        return self._read(self._ask("GET", url), 200)

    def _exchange(self, url: str, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.redirect_url,
            "client_id": self._settings.client_id,
            "code_verifier": verifier,
        }
        secret = self._settings.client_secret
        answer = self._ask("POST", url, data=form, auth=None if secret is None else (self._settings.client_id, secret))
        if 400 <= answer.status_code < 500:
            raise Unauthorised("sign-in: code", "one that the provider takes", f"its answer {answer.status_code}")
        token = self._read(answer, 200).get("id_token")
        if not isinstance(token, str):
            raise Unauthorised("sign-in", "an ID token", "none")
        return token

    def _ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        try:
            return self._http.request(method, url, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PeerError("the OpenID Connect provider does not answer") from error

    def _read(self, answer: httpx.Response, status: int) -> dict[str, Any]:
        try:
            if answer.status_code != status or len(answer.content) > MAX_ANSWER_BYTES:
                raise ValueError(f"status {answer.status_code}, {len(answer.content)} bytes")
            value = answer.json()
            if not isinstance(value, dict):
                raise ValueError(type(value).__name__)
        except (ValueError, RecursionError) as error:
            raise PeerError("the OpenID Connect provider answers in another form") from error
        return value

    # ---- believing it ------------------------------------------------------------------------------------------------------------------
    def _check_issuer(self, named: str | None, *, is_promised: bool) -> None:
        """RFC 9207: an answer mixed up from another provider ends here."""
        if named is None and not is_promised:
            return
        if named != self._settings.issuer:
            raise Unauthorised("sign-in: iss of the answer", self._settings.issuer, repr(named)[:120])

    def _verify(self, token: str, keys: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in ALGORITHMS:
                raise Unauthorised("ID token: alg", "one of " + ", ".join(ALGORITHMS), repr(algorithm)[:40])
            claims: dict[str, Any] = jwt.decode(
                token,
                _find_key(keys.get("keys"), header.get("kid"), algorithm),
                algorithms=[algorithm],
                audience=self._settings.client_id,
                issuer=self._settings.issuer,
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise Unauthorised("ID token", "one that holds", str(error)[:120]) from error
        self._check_times(claims)
        self._check_parties(claims, nonce)
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        """By this office's own clock, which the library does not know."""
        now = self._clock.now()
        expires, issued = _time(claims, "exp"), _time(claims, "iat")
        if (now - expires).total_seconds() >= LEEWAY_SECONDS:
            raise Unauthorised("ID token: exp", f"a time after {now}", expires)
        starts = max(issued, _time(claims, "nbf")) if "nbf" in claims else issued
        if (starts - now).total_seconds() > LEEWAY_SECONDS:
            raise Unauthorised("ID token: nbf and iat", f"times up to {now}", starts)

    def _check_parties(self, claims: Mapping[str, Any], nonce: str) -> None:
        audience, party = claims["aud"], claims.get("azp")
        if party is None and isinstance(audience, list) and len(audience) > 1:
            raise Unauthorised("ID token: azp", "present beside several audiences", "none")
        if party is not None and party != self._settings.client_id:
            raise Unauthorised("ID token: azp", self._settings.client_id, repr(party)[:60])
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise Unauthorised("ID token: nonce", "the one of this sign-in", "another one")

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
            raise Unauthorised("ID token: sub", f"1 to {MAX_SUBJECT} characters", repr(subject)[:60])
        person = self._people.current().of_subject(subject)
        if person is not None:  # the people file knows them: its roles count, and a revocation there holds here
            identity = identity_of(person, "oidc")
        else:
            name = claims.get("name") or claims.get("preferred_username") or subject
            roles = map_roles(claims.get(self._settings.roles_claim), self._settings.roles or {})
            identity = Identity(f"{OIDC_PREFIX}{self._settings.issuer}#{subject}", str(name)[:120], roles, "oidc")
        if not identity.roles:
            raise Unauthorised("sign-in", "somebody with a role in this office", "somebody without one")
        return identity


def map_roles(claim: object, mapping: Mapping[str, Role]) -> frozenset[Role]:
    """A claim is a string or a list of strings; what is not in the mapping, or of another form, gives no role."""
    values: Sequence[object] = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return frozenset(mapping[value] for value in values if isinstance(value, str) and value in mapping)


def _find_key(keys: object, kid: object, algorithm: str) -> jwt.PyJWK:
    """The issuer's signing key of that id; without an id, its only one that suits. Raises Unauthorised."""
    wanted = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}[algorithm]
    suitable = [
        key
        for key in (keys if isinstance(keys, list) else [])
        if isinstance(key, dict) and key.get("kty") == wanted and key.get("use", "sig") == "sig" and (kid is None or key.get("kid") == kid)
    ]
    if len(suitable) != 1:
        raise Unauthorised("ID token: kid", "one key of the issuer's", f"{len(suitable)}")
    return jwt.PyJWK(suitable[0], algorithm=algorithm)


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims[name]
    try:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(type(value).__name__)
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Unauthorised(f"ID token: {name}", "seconds since 1970", repr(value)[:40]) from error


def _challenge(verifier: str) -> str:
    """RFC 7636, method S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _is_safe(url: str) -> bool:
    """https, or http to this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _require_safe(url: str, what: str) -> None:
    if not _is_safe(url):
        raise ConfigRejected(what, "an https address (http on the loopback alone)", url)
