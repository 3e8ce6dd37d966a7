"""Sign-in at a provider: every check of it broken by name, and the certified provider of npm in a process of its own."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from oracle.errors import ConfigRejected, PeerError, Unauthorised
from oracle.office.oidc import LEEWAY_SECONDS, SIGN_IN_SECONDS, Oidc, OidcSettings, map_roles
from oracle.office.people import PeopleFile, Role, add_person, revoke_person
from oracle.office.sessions import Identity
from oracle.seams import SystemClock
from oracle.store import open_database
from tests.twins.clock import MovedClock
from tests.twins.oidc import SECRET, LyingProvider, real_provider, sign_in

REDIRECT = "http://127.0.0.1:9/audit/v1/oidc/callback"
ROLES = {"auditors": Role.AUDITOR, "privacy": Role.DPO}


class Scene:
    """An office beside a provider that lies."""

    def __init__(self, directory: Path) -> None:
        self.clock = MovedClock()
        self.people = directory / "people.json"
        add_person(self.people, "nobody", [])
        self.provider = LyingProvider(lambda: int(self.clock.now().timestamp()))
        settings = OidcSettings(self.provider.issuer, "affidavit", REDIRECT, SECRET, "groups", ROLES)
        engine = open_database(f"sqlite:///{directory}/office.sqlite", "office")
        self.oidc = Oidc(settings, engine, PeopleFile(self.people), self.clock, self.provider.transport())
        self.state = self.browser = ""

    def start(self) -> None:
        started = self.oidc.start()
        query = parse_qs(urlsplit(started.location).query)
        self.state, self.browser, self.provider.nonce = query["state"][0], started.browser, query["nonce"][0]

    def finish(self, **changes: str) -> Identity:
        return self.oidc.finish({"code": "code", "state": self.state} | changes, self.browser)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.start()
    return made


def test_an_honest_sign_in(scene: Scene) -> None:
    identity = scene.finish()
    assert identity.person == "oidc:https://id.example.org#ada-at-id"
    assert identity.roles == {Role.AUDITOR}
    form = scene.provider.forms[0]
    assert form["grant_type"] == ["authorization_code"]
    assert len(form["code_verifier"][0]) >= 43


@pytest.mark.parametrize(
    ("key", "algorithm"), [(ec.generate_private_key(ec.SECP256R1()), "ES256"), (ed25519.Ed25519PrivateKey.generate(), "EdDSA")]
)
def test_other_algorithms_of_the_list(scene: Scene, key: Any, algorithm: str) -> None:
    scene.provider.key, scene.provider.algorithm = key, algorithm
    assert scene.finish().roles == {Role.AUDITOR}


# ---- lies in the ID token ----------------------------------------------------------------------------------------------------------------
CLAIM_LIES: dict[str, tuple[dict[str, Any], str]] = {
    "wrong issuer": ({"iss": "https://evil.example.org"}, "issuer"),
    "issuer with a slash": ({"iss": "https://id.example.org/"}, "issuer"),
    "wrong audience": ({"aud": "another client"}, "Audience"),
    "audience in a list of others": ({"aud": ["another client"]}, "Audience"),
    "several audiences without azp": ({"aud": ["affidavit", "another"]}, "azp"),
    "azp of another": ({"azp": "another"}, "azp"),
    "azp of another beside several audiences": ({"aud": ["affidavit", "another"], "azp": "another"}, "azp"),
    "wrong nonce": ({"nonce": "another"}, "nonce"),
    "nonce of another type": ({"nonce": 1}, "nonce"),
    "empty subject": ({"sub": ""}, "sub"),
    "long subject": ({"sub": "x" * 256}, "sub"),
    "subject of another type": ({"sub": 1}, "ID token"),
    "expiry as text": ({"exp": "soon"}, "ID token"),
    "expiry true": ({"exp": True}, "ID token"),
    "expiry beyond time": ({"exp": 1e300}, "exp"),
    "no role": ({"groups": []}, "role"),
    "roles nobody mapped": ({"groups": ["admin", "root", "auditor"]}, "role"),
    "roles of another form": ({"groups": {"auditors": True}}, "role"),
}


@pytest.mark.parametrize("name", CLAIM_LIES)
def test_a_lie_in_the_claims(scene: Scene, name: str) -> None:
    scene.provider.changes, reason = CLAIM_LIES[name]
    with pytest.raises(Unauthorised, match=reason):
        scene.finish()


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "iat", "nonce", "groups"])
def test_a_missing_claim(scene: Scene, name: str) -> None:
    scene.provider.removed = {name}
    with pytest.raises(Unauthorised):
        scene.finish()


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({"exp": -LEEWAY_SECONDS + 1}, True),
        ({"exp": -LEEWAY_SECONDS}, False),
        ({"nbf": LEEWAY_SECONDS}, True),
        ({"nbf": LEEWAY_SECONDS + 1}, False),
        ({"iat": LEEWAY_SECONDS + 1}, False),
    ],
)
def test_times_with_their_leeway(scene: Scene, changes: dict[str, int], holds: bool) -> None:
    now = scene.provider.now()
    scene.provider.changes = {name: now + seconds for name, seconds in changes.items()}
    if holds:
        scene.finish()
        return
    with pytest.raises(Unauthorised, match=next(iter(changes))):
        scene.finish()


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none")


def with_the_client_secret(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, SECRET.ljust(32), "HS256", headers={"kid": "one"})


def by_another_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": "one"})


def changed_after_signing(claims: dict[str, Any]) -> str:
    key = rsa.generate_private_key(65537, 2048)
    head, _body, signature = jwt.encode(claims, key, "RS256", headers={"kid": "one"}).split(".")
    body = encoded(json.dumps(claims | {"sub": "bob"}).encode())
    return f"{head}.{body}.{signature}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def mixed_case_none(claims: dict[str, Any]) -> str:
    parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "nOnE", "typ": "JWT"}, claims)]
    return ".".join([*parts, ""])


def no_token(_claims: dict[str, Any]) -> str:
    return "not a token"


@pytest.mark.parametrize("sign", [unsigned, with_the_client_secret, by_another_key, changed_after_signing, mixed_case_none, no_token])
def test_a_lie_in_the_signature(scene: Scene, sign: Callable[[dict[str, Any]], str]) -> None:
    scene.provider.sign = sign
    with pytest.raises(Unauthorised, match="ID token"):
        scene.finish()


def test_the_public_key_is_no_secret_of_an_hmac(scene: Scene) -> None:
    """The classic confusion: an HS256 token whose key is the issuer's public key."""
    public = scene.provider.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(claims: dict[str, Any]) -> str:
        parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT", "kid": "one"}, claims)]
        return ".".join([*parts, encoded(hmac.digest(public, ".".join(parts).encode(), "sha256"))])

    scene.provider.sign = sign
    with pytest.raises(Unauthorised, match="alg"):
        scene.finish()


@pytest.mark.parametrize("header", [{"kid": "two"}, {"kid": ""}])
def test_a_key_the_issuer_does_not_have(scene: Scene, header: dict[str, Any]) -> None:
    scene.provider.header = header
    with pytest.raises(Unauthorised, match=r"kid"):
        scene.finish()


def test_a_key_for_encryption_verifies_nothing(scene: Scene) -> None:
    plain = scene.provider.jwk()
    scene.provider.jwk = lambda: plain | {"use": "enc"}  # type: ignore[method-assign]
    with pytest.raises(Unauthorised, match="kid"):
        scene.finish()


# ---- lies around it ----------------------------------------------------------------------------------------------------------------------
def test_a_state_counts_once(scene: Scene) -> None:
    scene.finish()
    with pytest.raises(Unauthorised, match="state"):
        scene.finish()


def test_a_state_counts_once_also_after_a_failure(scene: Scene) -> None:
    scene.provider.changes = {"nonce": "another"}
    with pytest.raises(Unauthorised, match="nonce"):
        scene.finish()
    scene.provider.changes = {}
    with pytest.raises(Unauthorised, match="state"):
        scene.finish()


@pytest.mark.parametrize("state", ["", "another", "\ud800".encode("utf-8", "replace").decode()])
def test_a_state_nobody_gave(scene: Scene, state: str) -> None:
    with pytest.raises(Unauthorised, match="state"):
        scene.finish(state=state)


def test_a_state_of_another_browser(scene: Scene) -> None:
    """Sign-in CSRF: a victim's browser led to the callback with the attacker's own code."""
    scene.browser = "another"
    with pytest.raises(Unauthorised, match="browser"):
        scene.finish()


def test_a_state_too_old(scene: Scene) -> None:
    scene.clock.forward(SIGN_IN_SECONDS)
    with pytest.raises(Unauthorised, match="state"):
        scene.finish()


def test_a_nonce_of_another_sign_in(scene: Scene) -> None:
    first = scene.provider.nonce
    scene.start()
    scene.provider.nonce = first
    with pytest.raises(Unauthorised, match="nonce"):
        scene.finish()


def test_a_code_the_provider_does_not_take(scene: Scene) -> None:
    scene.provider.token_status = 400
    with pytest.raises(Unauthorised, match="code"):
        scene.finish()


def test_an_answer_of_another_issuer(scene: Scene) -> None:
    with pytest.raises(Unauthorised, match="iss"):
        scene.finish(iss="https://evil.example.org")


def test_an_answer_without_the_issuer_it_promised(scene: Scene) -> None:
    scene.provider.document = {"authorization_response_iss_parameter_supported": True}
    with pytest.raises(Unauthorised, match="iss"):
        scene.finish()


def test_an_error_of_the_provider(scene: Scene) -> None:
    with pytest.raises(Unauthorised, match="access_denied"):
        scene.finish(error="access_denied")


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example.org"},
        {"issuer": None},
        {"token_endpoint": "http://id.example.org/token"},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
def test_a_document_that_is_not_safe(scene: Scene, document: dict[str, Any]) -> None:
    scene.provider.document = document
    with pytest.raises(PeerError):
        scene.finish()


@pytest.mark.parametrize("field", ["issuer", "redirect_url"])
def test_an_unsafe_setting_is_refused(tmp_path: Path, field: str) -> None:
    given = {"issuer": "https://id.example.org", "client_id": "affidavit", "redirect_url": REDIRECT} | {field: "http://id.example.org"}
    with pytest.raises(ConfigRejected, match=field):
        Oidc(OidcSettings(**given), open_database("sqlite://", "office"), PeopleFile(tmp_path), SystemClock())


# ---- roles -------------------------------------------------------------------------------------------------------------------------------
def test_roles_come_from_the_mapping_alone() -> None:
    assert map_roles("auditors", ROLES) == {Role.AUDITOR}
    assert map_roles(["auditors", "privacy", "auditor", 1, None], ROLES) == {Role.AUDITOR, Role.DPO}
    for nothing in (None, 1, {"auditors": 1}, [], "auditor", ["admin"]):
        assert map_roles(nothing, ROLES) == frozenset()


def test_a_person_of_the_file_is_the_same_person(scene: Scene) -> None:
    add_person(scene.people, "ada", [Role.CUSTODIAN], subject="ada-at-id")
    identity = scene.finish()
    assert (identity.person, identity.roles) == ("ada", {Role.CUSTODIAN})


def test_a_revoked_person_does_not_come_in_by_the_provider(scene: Scene) -> None:
    add_person(scene.people, "ada", [Role.CUSTODIAN], subject="ada-at-id")
    revoke_person(scene.people, "ada")
    with pytest.raises(Unauthorised, match="role"):
        scene.finish()


# ---- the certified provider --------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with real_provider(REDIRECT, {"ada": ["auditors"], "eve": ["strangers"]}) as address:
        yield address


def office(issuer: str, directory: Path, client_id: str = "affidavit", secret: str | None = SECRET) -> Oidc:
    add_person(directory / "people.json", "nobody", [])
    settings = OidcSettings(issuer, client_id, REDIRECT, secret, "groups", ROLES)
    engine = open_database(f"sqlite:///{directory}/office.sqlite", "office")
    return Oidc(settings, engine, PeopleFile(directory / "people.json"), SystemClock())


def test_the_certified_provider(issuer: str, tmp_path: Path) -> None:
    oidc = office(issuer, tmp_path)
    started = oidc.start()
    identity = oidc.finish(sign_in(started.location, "ada", REDIRECT), started.browser)
    assert (identity.person, identity.name, identity.roles) == (f"oidc:{issuer}#ada", "ada of the tests", {Role.AUDITOR})


def test_the_certified_provider_with_a_public_client(issuer: str, tmp_path: Path) -> None:
    oidc = office(issuer, tmp_path, "public", None)
    started = oidc.start()
    assert oidc.finish(sign_in(started.location, "ada", REDIRECT), started.browser).roles == {Role.AUDITOR}


def test_somebody_without_a_role_there_stays_outside(issuer: str, tmp_path: Path) -> None:
    oidc = office(issuer, tmp_path)
    started = oidc.start()
    with pytest.raises(Unauthorised, match="role"):
        oidc.finish(sign_in(started.location, "eve", REDIRECT), started.browser)


def test_a_code_of_another_sign_in_at_the_certified_provider(issuer: str, tmp_path: Path) -> None:
    """With a state and browser of its own, so that only PKCE stands against it."""
    oidc = office(issuer, tmp_path)
    first, second = oidc.start(), oidc.start()
    answer = sign_in(first.location, "ada", REDIRECT)
    state = parse_qs(urlsplit(second.location).query)["state"][0]
    with pytest.raises(Unauthorised, match="code"):
        oidc.finish(answer | {"state": state}, second.browser)


def test_a_code_replayed_at_the_certified_provider(issuer: str, tmp_path: Path) -> None:
    """Everything of the first exchange again, to the letter; a state that counted once ends it here before it gets there."""
    seen: list[httpx.Request] = []

    class Recording(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return super().handle_request(request)

    oidc = office(issuer, tmp_path)
    oidc._http = httpx.Client(transport=Recording())
    started = oidc.start()
    answer = sign_in(started.location, "ada", REDIRECT)
    assert oidc.finish(answer, started.browser).name == "ada of the tests"
    with pytest.raises(Unauthorised, match="state"):
        oidc.finish(answer, started.browser)
    exchange = next(request for request in seen if request.method == "POST")
    replayed = httpx.post(exchange.url, content=exchange.content, headers=exchange.headers)
    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")


def test_a_wrong_secret_at_the_certified_provider(issuer: str, tmp_path: Path) -> None:
    oidc = office(issuer, tmp_path, secret="another secret")
    started = oidc.start()
    with pytest.raises(Unauthorised, match="code"):
        oidc.finish(sign_in(started.location, "ada", REDIRECT), started.browser)


def test_a_provider_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PeerError):
        office("http://127.0.0.1:9", tmp_path).start()


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    elsewhere = httpx.MockTransport(lambda _request: httpx.Response(302, headers={"location": "http://169.254.169.254/"}))
    add_person(tmp_path / "people.json", "nobody", [])
    settings = OidcSettings("https://id.example.org", "affidavit", REDIRECT)
    engine = open_database(f"sqlite:///{tmp_path}/office.sqlite", "office")
    with pytest.raises(PeerError):
        Oidc(settings, engine, PeopleFile(tmp_path / "people.json"), SystemClock(), elsewhere).start()
