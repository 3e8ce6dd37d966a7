"""Access, route by route and role by role, from the application's own list of routes. Attacks first: nobody, strangers, the wrong role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from structlog.testing import capture_logs

from oracle.errors import InvariantBroken
from oracle.office.gate import ANYBODY, COOKIE, CSRF_HEADER, PREFIX, SIGNED_IN, declarations, require_declared
from oracle.office.people import RIGHTS, Right, Role, revoke_person
from oracle.office.sessions import IDLE_SECONDS
from tests.twins.office_api import PERSON, SECRET, OfficeNetwork, office_network

UNKNOWN_CASE = "0" * 32


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficeNetwork]:
    with office_network(tmp_path_factory.mktemp("office")) as made:
        made.log_call()
        yield made


@pytest.fixture
def office(tmp_path: Path) -> Iterator[OfficeNetwork]:
    with office_network(tmp_path) as made:
        yield made


def routes(app: FastAPI) -> list[tuple[str, str, Right | str]]:
    """(method, path, what it declares) of every route of the office."""
    return [(route.method, route.path, route.needs[0]) for route in declarations(app)]


def ask(client: Any, method: str, path: str) -> int:
    """A request that gets as far as access decides: what it asks for need not be there or well formed."""
    filled = path.format(case_id=UNKNOWN_CASE, index=0, sample_id=UNKNOWN_CASE)
    return int(client.request(method, filled, json={} if method == "POST" else None, follow_redirects=False).status_code)


def test_every_route_declares_what_it_needs(shared: OfficeNetwork) -> None:
    found = routes(shared.app)
    assert len(found) > 20
    assert {declared for _, _, declared in found} == set(Right) | {ANYBODY, SIGNED_IN}


def test_a_route_without_a_declaration_does_not_start() -> None:
    app, router = FastAPI(), APIRouter(prefix=PREFIX)
    router.add_api_route("/open", lambda: None, methods=["GET"])
    app.include_router(router)
    with pytest.raises(InvariantBroken, match="/open"):
        require_declared(app)


def test_what_anybody_may_use_is_this_and_no_more(shared: OfficeNetwork) -> None:
    assert {(m, p) for m, p, declared in routes(shared.app) if declared == ANYBODY} == {
        ("GET", "/audit/v1/settings"),
        ("POST", "/audit/v1/session"),
        ("GET", "/audit/v1/oidc/start"),
        ("GET", "/audit/v1/oidc/callback"),
    }
    assert {(m, p) for m, p, declared in routes(shared.app) if declared == SIGNED_IN} == {
        ("GET", "/audit/v1/me"),
        ("DELETE", "/audit/v1/session"),
    }


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer not-a-token"},
        {"authorization": "Basic YWRhOmFkYQ=="},
        {"authorization": "bearer\ttoken"},
        {"cookie": f"{COOKIE}="},
        {"cookie": f"{COOKIE}=not-a-session"},
    ],
    ids=str,
)
def test_nobody_gets_in(shared: OfficeNetwork, headers: dict[str, str]) -> None:
    client = shared.client()
    client.headers.update(headers)
    for method, path, declared in routes(shared.app):
        if declared != ANYBODY:
            assert ask(client, method, path) == 401, (method, path)


@pytest.mark.parametrize("way", ["token", "session"])
@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_exactly_what_the_table_says(shared: OfficeNetwork, role: Role, way: str) -> None:
    client = shared.client(str(role)) if way == "token" else shared.browser(str(role))
    for method, path, declared in routes(shared.app):
        if isinstance(declared, Right):
            status = ask(client, method, path)
            assert status not in (401, 500), (method, path)
            assert (status == 403) == (role not in RIGHTS[declared]), (method, path, status)


def test_a_change_by_cookie_alone_is_refused(shared: OfficeNetwork) -> None:
    """What another site's page can do: send the cookie, and no header it does not know."""
    for role in Role:
        client = shared.browser(str(role))
        for value in (None, "", "0" * 64):
            client.headers.pop(CSRF_HEADER, None)
            if value is not None:
                client.headers[CSRF_HEADER] = value
            for method, path, declared in routes(shared.app):
                if declared != ANYBODY and method != "GET":
                    assert ask(client, method, path) == 403, (method, path, value)


def test_the_csrf_value_of_another_session_is_refused(shared: OfficeNetwork) -> None:
    first, second = shared.browser("dpo"), shared.browser("dpo")
    first.headers[CSRF_HEADER] = second.headers[CSRF_HEADER]
    assert first.post("/audit/v1/holds", json={"scope": {"index": 0}, "reason": "x"}).status_code == 403


def test_a_revoked_token_opens_nothing(office: OfficeNetwork) -> None:
    client, browser = office.client("auditor"), office.browser("auditor")
    assert client.get("/audit/v1/me").status_code == browser.get("/audit/v1/me").status_code == 200
    revoke_person(office.people, "auditor")
    for somebody in (client, browser):
        assert all(ask(somebody, m, p) == 401 for m, p, declared in routes(office.app) if declared != ANYBODY)
    assert office.client().post("/audit/v1/session", json={"token": office.tokens["auditor"]}).status_code == 401


def test_an_expired_token_opens_nothing(office: OfficeNetwork) -> None:
    office.add_person("guest", Role.AUDITOR, expires=office.clock.now() + timedelta(minutes=1))
    client, browser = office.client("guest"), office.browser("guest")
    assert client.get("/audit/v1/me").status_code == 200
    office.clock.forward(60)
    assert client.get("/audit/v1/me").status_code == browser.get("/audit/v1/me").status_code == 401


def test_a_session_ends_by_itself_and_by_signing_out(office: OfficeNetwork) -> None:
    browser, other = office.browser("auditor"), office.browser("auditor")
    stolen = dict(other.cookies)
    assert other.delete("/audit/v1/session").status_code == 204
    assert COOKIE not in other.cookies
    other.cookies.update(stolen)
    assert other.get("/audit/v1/me").status_code == 401
    office.clock.forward(IDLE_SECONDS)
    assert browser.get("/audit/v1/me").status_code == 401


def test_the_cookie_is_narrow(office: OfficeNetwork) -> None:
    for base, is_secure in (("http://127.0.0.1", False), ("http://office.example.org", True)):
        client = office.client()
        client.base_url = base
        header = client.post("/audit/v1/session", json={"token": office.tokens["auditor"]}).headers["set-cookie"]
        assert "HttpOnly" in header
        assert "SameSite=strict" in header
        assert ("Secure" in header) == is_secure


def test_me_says_who_and_what(office: OfficeNetwork) -> None:
    me = office.client("dpo").get("/audit/v1/me").json()
    assert (me["name"], me["roles"], me["via"], me["csrf"]) == ("dpo", ["dpo"], "token", None)
    assert me["rights"] == sorted(right for right, roles in RIGHTS.items() if Role.DPO in roles)
    browser = office.browser("dpo")
    assert browser.get("/audit/v1/me").json()["csrf"] == browser.headers[CSRF_HEADER]


def test_somebody_without_a_role_is_known_and_may_nothing(office: OfficeNetwork) -> None:
    office.add_person("visitor")
    client = office.client("visitor")
    assert client.get("/audit/v1/me").json()["rights"] == []
    assert all(ask(client, m, p) == 403 for m, p, declared in routes(office.app) if isinstance(declared, Right))


def test_settings_are_public_and_hold_no_secret(office: OfficeNetwork) -> None:
    answer = office.client().get("/audit/v1/settings")
    assert answer.status_code == 200
    assert answer.json()["vkey"] == office.office.public.vkey
    assert answer.json()["log_base"] == "/log"
    assert not any(token in answer.text for token in office.tokens.values())


# ---- what belongs to somebody else -------------------------------------------------------------------------------------------------------
def test_another_persons_disclosure_is_not_there(office: OfficeNetwork) -> None:
    index, _ = office.log_call()
    office.add_person("second", Role.AUDITOR)
    mine, other, approver = office.client("auditor"), office.client("second"), office.client("dpo")
    case = mine.post("/audit/v1/disclosures", json={"indices": [index], "reason": "a complaint", "minutes": 5}).json()
    assert approver.post(f"/audit/v1/disclosures/{case['id']}/approve", json={}).status_code == 200
    for client in (other, approver, office.client("authority")):
        assert client.get(f"/audit/v1/disclosures/{case['id']}/records/{index}").status_code == 404
    assert other.post(f"/audit/v1/disclosures/{case['id']}/close", json={}).status_code == 404
    assert other.get("/audit/v1/disclosures").json()["items"] == []
    assert other.get(f"/audit/v1/records/{index}").json()["disclosures"] == []
    assert [item["id"] for item in approver.get("/audit/v1/disclosures").json()["items"]] == [case["id"]]
    assert mine.get(f"/audit/v1/disclosures/{case['id']}/records/{index}").status_code == 200
    assert mine.get(f"/audit/v1/disclosures/{case['id']}/records/{index + 1}").status_code == 403


def test_a_role_does_not_see_what_it_may_not_beside_a_record(office: OfficeNetwork) -> None:
    index, _ = office.log_call()
    assert office.client("dpo").post("/audit/v1/holds", json={"scope": {"index": index}, "reason": "a law suit"}).status_code == 201
    review = {"index": index, "outcome": "accepted", "note": "a note"}
    assert office.client("auditor").post("/audit/v1/reviews", json=review).status_code == 201
    seen = {role: office.client(str(role)).get(f"/audit/v1/records/{index}").json() for role in Role}
    assert {role for role in Role if seen[role]["holds"]} == RIGHTS[Right.SEE_HOLDS]
    assert {role for role in Role if seen[role]["reviews"]} == RIGHTS[Right.SEE_REVIEWS]


def test_content_leaves_by_one_route_alone(office: OfficeNetwork) -> None:
    """Everything that can be read by somebody with every role, beside an open disclosure: only its own route shows what is sealed."""
    index, _ = office.log_call()
    office.add_person("everything", *Role)
    client = office.client("everything")
    case = client.post(f"{PREFIX}/disclosures", json={"indices": [index], "reason": "a complaint", "minutes": 5}).json()["id"]
    office.client("dpo").post(f"{PREFIX}/disclosures/{case}/approve", json={})
    shown = []
    for method, path, _needs in routes(office.app):
        if method == "GET" and "oidc" not in path:
            query = {"format": "jsonl"} if path.endswith("/export") else {"index": index} if path.endswith("/bundle") else {}
            answer = client.get(path.format(case_id=case, index=index), params=query)
            assert answer.status_code in (200, 404), (path, answer.text)
            if SECRET.encode() in answer.content or PERSON.encode() in answer.content:
                shown.append(path)
    assert shown == [f"{PREFIX}/disclosures/{{case_id}}/records/{{index}}"]


def test_the_journal_has_no_tokens_and_no_words(office: OfficeNetwork) -> None:
    office.log_call()
    with capture_logs() as lines:
        office.client().post(f"{PREFIX}/session", json={"token": office.tokens["auditor"]})
        browser = office.browser("auditor")
        browser.get(f"{PREFIX}/records?q=swordfish")
        case = browser.post(f"{PREFIX}/disclosures", json={"indices": [0], "reason": "swordfish", "minutes": 5}).json()["id"]
        office.client("dpo").post(f"{PREFIX}/disclosures/{case}/approve", json={})
        browser.get(f"{PREFIX}/disclosures/{case}/records/0")
        office.client().get(f"{PREFIX}/me", headers={"authorization": "Bearer swordfish"})
    text = str(lines)
    secrets = ["swordfish", SECRET, PERSON, str(browser.cookies[COOKIE]), browser.headers[CSRF_HEADER], *office.tokens.values()]
    assert len(lines) > 5
    assert [secret for secret in secrets if secret in text] == []


# ---- the page ----------------------------------------------------------------------------------------------------------------------------
def test_the_page_has_the_table_of_rights_and_every_route(shared: OfficeNetwork) -> None:
    page = (Path(__file__).parents[2] / "docs/office.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|((?: (?:yes )?\|){5})$", page, re.MULTILINE)
    table = {Right(name): {role for role, cell in zip(Role, cells.split("|"), strict=False) if cell.strip()} for name, cells in rows}
    assert table == {right: set(roles) for right, roles in RIGHTS.items()}
    listed = re.findall(r"^\| `(GET|POST|DELETE) (/audit/v1/[^`]*)` \| `?([a-z_ ]+?)`? \|$", page, re.MULTILINE)
    assert {(method, path): need for method, path, need in listed} == {(m, p): str(need) for m, p, need in routes(shared.app)}
