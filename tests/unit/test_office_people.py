"""Who may come in: the people file, the table of rights, and sessions."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from oracle.audit.access import hash_token
from oracle.encoding import to_hex
from oracle.errors import ConfigRejected, EntryRejected, Unauthorised
from oracle.office.people import RIGHTS, PeopleFile, Right, Role, add_person, load_people, revoke_person, rights_of
from oracle.office.schema import ACTORS, SESSIONS
from oracle.office.sessions import IDLE_SECONDS, LIFETIME_SECONDS, Identity, Sessions, csrf_of
from oracle.store import open_database
from tests.twins.clock import MovedClock
from tests.twins.postgres import NewDatabase


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return tmp_path / "people.json"


@pytest.fixture
def sessions(new_database: NewDatabase, people: Path, clock: MovedClock) -> Iterator[Sessions]:
    add_person(people, "nobody", [])
    engine = open_database(new_database(), "office")
    yield Sessions(engine, PeopleFile(people), clock)
    engine.dispose()


# ---- rights ------------------------------------------------------------------------------------------------------------------------------
def test_every_right_is_in_the_table_and_somebody_has_it() -> None:
    assert set(RIGHTS) == set(Right)
    assert all(RIGHTS.values())
    assert rights_of([]) == frozenset()


def test_no_role_alone_can_ask_and_approve_an_erasure() -> None:
    assert not RIGHTS[Right.REQUEST_ERASURE] & RIGHTS[Right.APPROVE_ERASURE]


def test_an_operator_sees_no_content() -> None:
    assert Right.REQUEST_DISCLOSURE not in rights_of([Role.OPERATOR])


# ---- the file ----------------------------------------------------------------------------------------------------------------------------
def test_a_token_is_shown_once_and_kept_as_a_digest(people: Path) -> None:
    token = add_person(people, "ada", [Role.AUDITOR])
    assert token is not None
    assert token not in people.read_text()
    assert to_hex(hash_token(token)) in people.read_text()
    assert stat.S_IMODE(people.stat().st_mode) == 0o600


def test_a_revoked_token_opens_nothing_and_the_name_stays_taken(people: Path, clock: MovedClock) -> None:
    token = add_person(people, "ada", [Role.AUDITOR])
    assert token is not None
    file = PeopleFile(people)
    assert file.current().of_token(token, clock.now()) is not None
    revoke_person(people, "ada")
    assert file.current().of_token(token, clock.now()) is None
    with pytest.raises(ConfigRejected, match="never given"):
        add_person(people, "ada", [Role.AUDITOR])
    with pytest.raises(ConfigRejected, match="one of the people file"):
        revoke_person(people, "bob")


def test_an_expired_token_opens_nothing(people: Path, clock: MovedClock) -> None:
    token = add_person(people, "ada", [Role.AUDITOR], expires=clock.now() + timedelta(seconds=10))
    assert token is not None
    file = PeopleFile(people)
    assert file.current().of_token(token, clock.now()) is not None
    clock.forward(10)
    assert file.current().of_token(token, clock.now()) is None


def test_people_added_at_once_are_all_there(people: Path) -> None:
    threads = [threading.Thread(target=add_person, args=(people, f"person-{number}", [Role.AUDITOR])) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load_people(people).by_name) == 20


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "null",
        '{"ada": {}}',
        '{"ada": {"roles": "auditor"}}',
        '{"ada": {"roles": ["king"]}}',
        '{"ada": {"roles": [["auditor"]]}}',
        '{"ada": {"roles": [], "token": "secret"}}',
        '{"ada": {"roles": [], "expires": "tomorrow"}}',
        '{"ada": {"roles": [], "expires": "2026-11-22T10:00:00"}}',
        '{"ada": {"roles": [], "subject": ""}}',
        '{"ada": {"roles": [], "is_admin": true}}',
        '{"Ada Lovelace": {"roles": []}}',
        '{"oidc:x#y": {"roles": []}}',
        '{"ada": {"roles": [], "subject": "1"}, "bob": {"roles": [], "subject": "1"}}',
        json.dumps({name: {"roles": [], "token": "0x" + "11" * 32} for name in ("ada", "bob")}),
    ],
)
def test_a_malformed_file_is_refused(people: Path, document: str) -> None:
    people.write_text(document)
    with pytest.raises(ConfigRejected):
        load_people(people)


def test_a_name_that_is_none_is_refused_and_the_file_stays(people: Path) -> None:
    add_person(people, "ada", [Role.AUDITOR])
    before = people.read_bytes()
    with pytest.raises(EntryRejected):
        add_person(people, "Ada Lovelace", [])
    assert people.read_bytes() == before


# ---- sessions ----------------------------------------------------------------------------------------------------------------------------
def opened(sessions: Sessions, people: Path, **more: Any) -> tuple[str, str]:
    token = add_person(people, "ada", [Role.AUDITOR], **more)
    assert token is not None
    return token, sessions.open(sessions.identify(token))


def test_a_session_is_stored_as_a_digest(sessions: Sessions, people: Path) -> None:
    _token, cookie = opened(sessions, people)
    with sessions._engine.connect() as connection:
        row = connection.execute(select(SESSIONS)).one()
    assert row.digest == hash_token(cookie)
    assert cookie not in str(row)
    assert csrf_of(cookie) not in str(row)


def test_a_session_knows_its_person(sessions: Sessions, people: Path) -> None:
    token, cookie = opened(sessions, people)
    caller = sessions.caller_of_cookie(cookie)
    assert (caller.identity.name, caller.identity.via, caller.csrf) == ("ada", "token", csrf_of(cookie))
    assert caller.actor == sessions.caller_of_token(token).actor
    assert sessions.name_of(caller.actor) == "ada"
    assert caller.actor.startswith("person-")


def test_an_unknown_or_closed_session_opens_nothing(sessions: Sessions, people: Path) -> None:
    _token, cookie = opened(sessions, people)
    for wrong in ("", "x", cookie[:-1], cookie + "x"):
        with pytest.raises(Unauthorised):
            sessions.caller_of_cookie(wrong)
    sessions.close(cookie)
    with pytest.raises(Unauthorised):
        sessions.caller_of_cookie(cookie)


def test_a_session_ends_when_idle(sessions: Sessions, people: Path, clock: MovedClock) -> None:
    _token, cookie = opened(sessions, people)
    for _ in range(3):
        clock.forward(IDLE_SECONDS - 1)
        sessions.caller_of_cookie(cookie)
    clock.forward(IDLE_SECONDS)
    with pytest.raises(Unauthorised):
        sessions.caller_of_cookie(cookie)


def test_a_session_ends_however_busy(sessions: Sessions, people: Path, clock: MovedClock) -> None:
    _token, cookie = opened(sessions, people)
    for _ in range(LIFETIME_SECONDS // 1200 - 1):
        clock.forward(1200)
        sessions.caller_of_cookie(cookie)
    clock.forward(1200)
    with pytest.raises(Unauthorised):
        sessions.caller_of_cookie(cookie)


def test_a_session_ends_with_its_token(sessions: Sessions, people: Path, clock: MovedClock) -> None:
    _token, cookie = opened(sessions, people, expires=clock.now() + timedelta(seconds=60))
    clock.forward(60)
    with pytest.raises(Unauthorised, match="session"):
        sessions.caller_of_cookie(cookie)


def test_a_session_ends_with_a_revocation(sessions: Sessions, people: Path) -> None:
    _token, cookie = opened(sessions, people)
    revoke_person(people, "ada")
    with pytest.raises(Unauthorised, match="session"):
        sessions.caller_of_cookie(cookie)


def test_a_session_has_the_roles_of_the_moment(sessions: Sessions, people: Path) -> None:
    _token, cookie = opened(sessions, people)
    document = json.loads(people.read_text())
    document["ada"]["roles"] = ["operator"]
    people.write_text(json.dumps(document))
    os.utime(people, ns=(1, 1))
    assert sessions.caller_of_cookie(cookie).identity.roles == {Role.OPERATOR}


def test_who_became_a_person_of_the_file_must_sign_in_again(sessions: Sessions, people: Path) -> None:
    """Else one human could be two persons, and approve an own request."""
    cookie = sessions.open(Identity("oidc:https://id.example.org#ada-at-id", "Ada", frozenset({Role.DPO}), "oidc"))
    assert sessions.caller_of_cookie(cookie).identity.roles == {Role.DPO}
    add_person(people, "ada", [Role.AUDITOR], subject="ada-at-id")
    with pytest.raises(Unauthorised):
        sessions.caller_of_cookie(cookie)


def test_pseudonyms_are_random_and_stay(sessions: Sessions) -> None:
    first, second = sessions.actor_of("ada"), sessions.actor_of("bob")
    assert first != second
    assert sessions.actor_of("ada") == first
    with sessions._engine.connect() as connection:
        assert len(connection.execute(select(ACTORS)).all()) == 2
