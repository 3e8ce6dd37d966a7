"""Attacks on the office that no single part of it can see: what else the same origin serves, a log that goes back, records of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oracle.audit.incidents import Gravity, IncidentStep, incident_entry
from oracle.errors import EntryRejected, LogRefused, MalformedInput
from oracle.office.cases import Case
from oracle.office.people import Role
from oracle.office.reading import CustodySource, LogReader
from oracle.office.sessions import Identity
from oracle.records import Entry, EntryKind
from tests.twins.logs import KEY
from tests.twins.office import OfficeScene
from tests.twins.office_api import OfficeNetwork, office_network
from tests.twins.paper_log import PaperLog, make_record
from tests.twins.postgres import NewDatabase


@pytest.fixture
def office(tmp_path: Path) -> Iterator[OfficeNetwork]:
    with office_network(tmp_path) as made:
        yield made


def test_no_page_of_this_origin_takes_scripts_from_elsewhere(office: OfficeNetwork) -> None:
    """Whatever runs on the office's origin can ask for an auditor's CSRF value, and act."""
    client = office.client()
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "<script" not in answer.text, path
    assert client.get("/openapi.json").status_code == 200


@pytest.mark.parametrize(
    ("headers", "is_secure"),
    [
        ({"host": "127.0.0.1:8080"}, False),
        ({"host": "office.example.org"}, True),
        ({"host": "127.0.0.1:8080", "x-forwarded-for": "192.0.2.7"}, True),
        ({"host": "127.0.0.1:8080", "x-forwarded-proto": "https"}, True),
    ],
)
def test_a_proxy_that_forgets_the_name_does_not_open_the_cookie(office: OfficeNetwork, headers: dict[str, str], is_secure: bool) -> None:
    answer = office.client().post("/audit/v1/session", json={"token": office.tokens["auditor"]}, headers=headers)
    assert ("Secure" in answer.headers["set-cookie"]) is is_secure


# ---- one person, twice -----------------------------------------------------------------------------------------------------------------
def test_who_asked_before_the_people_file_had_them_does_not_approve_after(office: OfficeNetwork) -> None:
    """First by the issuer's word alone, then under a name of the file with the same subject: still one person."""
    index, _ = office.log_call()
    sessions = office.office.sessions
    before = Identity("oidc:https://id.example.org#bob_7", "Bob", frozenset({Role.DPO}), "oidc")
    case = office.office.duties.request_erasure(sessions.actor_of(before.person), [index], "mine")
    office.add_person("another", Role.CUSTODIAN, subject="bobx7")
    office.add_person("bob", Role.CUSTODIAN, subject="bob_7")
    answer = office.client("bob").post(f"/audit/v1/erasures/{case.id}/approve", json={})
    assert (answer.status_code, answer.json()["title"]) == (403, "Forbidden")
    assert office.client("another").post(f"/audit/v1/erasures/{case.id}/approve", json={}).json()["state"] == "done"


@pytest.mark.parametrize("subject", ["auditor", "x#auditor"])
def test_a_subject_at_the_issuer_takes_no_name_of_the_people_file(office: OfficeNetwork, subject: str) -> None:
    """Who decides over a request must see whose it is."""
    index, _ = office.log_call()
    actor = office.office.sessions.actor_of(f"oidc:https://id.example.org/tenant#{subject}")
    office.office.duties.request_disclosure(actor, [index], "a reason", 5)
    [shown] = office.client("dpo").get("/audit/v1/disclosures").json()["items"]
    assert shown["by"] == f"{subject} at id.example.org"


# ---- a log that goes back ------------------------------------------------------------------------------------------------------------
def show(office: OfficeNetwork, log: PaperLog) -> None:
    """From now on the log's files are those of another one, signed by the same key."""
    reader = LogReader(CustodySource(log, office.office.custody), KEY.verifier)
    object.__setattr__(office.office, "reader", reader)


@pytest.mark.parametrize(("size", "same"), [(300, 0), (300, 299), (299, 299), (1, 1)])
def test_a_log_that_went_back_or_forked_is_refused_by_the_office(office: OfficeNetwork, size: int, same: int) -> None:
    """Also at the size that was followed already, and below it: nothing that is shown then is of the log that is searched."""
    show(office, PaperLog.of(300))
    office.office.catch_up(office.office.reader.view())
    show(office, PaperLog([make_record(n) if n < same else make_record(n, test__forked=True) for n in range(size)]))
    with pytest.raises(LogRefused):
        office.office.catch_up(office.office.reader.view())
    auditor = office.client("auditor")
    for path in ("completeness", "export?format=jsonl", "reports"):
        assert auditor.get(f"/audit/v1/{path}").status_code == 409, path
    assert office.office.index.size == 300


# ---- records of others -----------------------------------------------------------------------------------------------------------------
def test_a_writer_that_forges_readings_is_named_with_them(office: OfficeNetwork) -> None:
    """Pseudonyms and ids of disclosures are public: whoever has a writer's token can write that somebody read something."""
    index, _ = office.log_call()
    auditor, dpo = office.client("auditor"), office.client("dpo")
    asked = auditor.post("/audit/v1/disclosures", json={"indices": [index], "reason": "a complaint", "minutes": 5}).json()
    dpo.post(f"/audit/v1/disclosures/{asked['id']}/approve", json={})
    auditor.get(f"/audit/v1/disclosures/{asked['id']}/records/{index}")
    true = next(fields for fields in office.records("disclosure") if fields["audit.disclosure.action"] == "read")
    endless = {"audit.disclosure.indices": [str(index), "9" * 8000]}
    office.net.log.append(Entry(EntryKind.DISCLOSURE, "2026-11-22T10:00:00.000000Z", true | endless))
    office.follow()
    forged, *honest = dpo.get("/audit/v1/readers").json()["items"]
    assert forged["reader"] == f"{true['audit.actor']}, as node-1 says"
    assert forged["indices"] == [index]
    assert {reading["reader"] for reading in honest} == {"auditor", "dpo"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"audit.incident.step": None},
        {"audit.incident.gravity": "mild"},
        {"audit.incident.aware": "9999-12-31T00:00:00.000000Z"},
        {"audit.incident.indices": ["9" * 8000]},
        {"audit.incident.id": 7},
    ],
)
def test_no_writer_ends_the_reports_on_a_period(office: OfficeNetwork, wrong: dict[str, Any]) -> None:
    """The log takes an incident that can be read, and no other."""
    now = datetime.now(UTC)
    entry = incident_entry("INC-1", IncidentStep.OPENED, Gravity.SERIOUS, now, "app", now, [0])
    office.net.log.append(entry)
    fields = {name: value for name, value in (entry.fields | wrong).items() if value is not None}
    with pytest.raises((EntryRejected, MalformedInput)):
        office.net.log.append(replace(entry, fields=fields))
    office.follow()
    assert office.client("auditor").get("/audit/v1/reports").status_code == 200


def test_a_seed_that_was_tried_out_before_is_told_from_one_that_was_drawn(office: OfficeNetwork) -> None:
    """Whoever gives a seed can look for one that leaves a record out: populations are public, and draw again for everybody."""
    for number in range(4):
        office.log_call(number)
    auditor = office.client("auditor")
    for body in ({"size": 1, "seed": "0x" + "07" * 32}, {"size": 1}):
        assert auditor.post("/audit/v1/samples", json=body).status_code == 201
    assert [fields["audit.sample.seed_is_given"] for fields in office.records("review")] == [True, False]


# ---- words that were erased ------------------------------------------------------------------------------------------------------------
WORD = "marywashere"


def write_words(scene: OfficeScene) -> list[Case]:
    """A review and a sample that name somebody, and the content of their records."""
    shown = {"seed": "0x00", "population": 1, "population_digest": "0x00", "tree_size": 9, "root": "0x00", "indices": [1], "size": 1}
    cases = [
        scene.duties.review("person-a", 1, "0x00", "accepted", f"{WORD} " * 20),
        scene.duties.file_sample("person-a", shown | {"filter": {"text": WORD, "caller": WORD}}),
    ]
    for case in cases:
        scene.keep(case.history[0].index or 0, WORD)
    return cases


def test_words_go_from_the_office_whoever_erased_their_record(new_database: NewDatabase) -> None:
    """The log prunes by itself what is past its retention; nobody asks the office."""
    scene = OfficeScene(new_database)
    cases = write_words(scene)
    scene.duties.run_once()
    assert all(WORD in str(scene.duties.cases.get(case.kind, case.id).details) for case in cases)
    scene.custody.destroy_records([case.history[0].index or 0 for case in cases])
    scene.restart().run_once()
    for case in cases:
        left = scene.duties.cases.get(case.kind, case.id).details
        assert WORD not in str(left)
        assert left.keys() == case.details.keys()
    scene.close()


def test_erased_words_lie_in_no_file_of_the_office(tmp_path: Path) -> None:
    """Neither in free pages nor in the write-ahead log, while it runs."""
    numbers = iter(range(9))
    scene = OfficeScene(lambda: f"sqlite:///{tmp_path}/{next(numbers)}.sqlite")
    cases = write_words(scene)
    assert any(WORD.encode() in file.read_bytes() for file in tmp_path.iterdir())
    scene.custody.destroy_records([case.history[0].index or 0 for case in cases])
    scene.duties.run_once()
    assert [file.name for file in tmp_path.iterdir() if WORD.encode() in file.read_bytes()] == []
    scene.close()
