"""What people do over HTTP: find and read records, disclose with four eyes, hold, erase, review; the log's files; the pages."""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from oracle.audit.note import parse_vkey
from oracle.audit.proof import verify_proof
from oracle.audit.sample import draw_places
from oracle.audit.seal import opening_from_json, verify_opening
from oracle.audit.tree import hash_leaf
from oracle.encoding import parse_bytes32, to_hex
from oracle.errors import ErasureHeld
from oracle.http import PROBLEM
from oracle.office.desk import compute_index_pause
from oracle.office.gate import COOKIE, CSRF_HEADER
from oracle.office.oidc import OidcSettings
from oracle.office.pages import content_security_policy
from oracle.office.people import Role
from tests.twins.office_api import PERSON, SECRET, OfficeNetwork, office_network
from tests.twins.oidc import SECRET as CLIENT_SECRET
from tests.twins.oidc import real_provider, sign_in

BASE = "/audit/v1"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[OfficeNetwork]:
    with office_network(tmp_path) as made:
        yield made


def posted(client: Any, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    answer = client.post(BASE + path, json=body or {})
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def got(client: Any, path: str) -> dict[str, Any]:
    answer = client.get(BASE + path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


# ---- records ---------------------------------------------------------------------------------------------------------------------------
def test_records_are_found_and_filtered(office: OfficeNetwork) -> None:
    calls = [office.log_call(number) for number in range(3)]
    client = office.client("operator")
    page = got(client, "/records?limit=2")
    assert [item["index"] for item in page["items"]] == [calls[2][1], calls[2][0]]
    assert page["total"] == 6
    rest = got(client, f"/records?limit=10&before={page['next']}")
    assert [item["index"] for item in rest["items"]] == [3, 2, 1, 0]
    assert rest["next"] is None
    intents = got(client, "/records?kind=intent&model=example-1&q=chat")["items"]
    assert [item["index"] for item in intents] == [4, 2, 0]
    assert intents[0]["content"] == "present"
    assert got(client, "/records?kind=result")["items"][0]["content"] == "none"
    assert got(client, "/records?from=2100-01-01")["items"] == []
    assert got(client, "/records?to=2100-01-01&outcome=ok")["total"] == 6


@pytest.mark.parametrize(
    "query", ["from=tomorrow", "hash=xyz", "limit=0", "limit=201", "before=-1", "before=x", "transaction=0x", "to=99999-01-01"]
)
def test_a_query_that_is_none_is_refused(office: OfficeNetwork, query: str) -> None:
    office.log_call()
    answer = office.client("operator").get(f"{BASE}/records?{query}")
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == PROBLEM


def test_a_record_comes_with_its_proof_and_without_its_content(office: OfficeNetwork) -> None:
    intent, result = office.log_call()
    answer = office.client("auditor").get(f"{BASE}/records/{intent}")
    shown = answer.json()
    _, checkpoint, record = verify_proof(shown["proof"].encode(), parse_vkey(got(office.client(), "/settings")["vkey"]))
    assert base64.b64decode(shown["record_base64"]) == record
    assert checkpoint.size == 2
    assert [place["index"] for place in shown["call"]] == [intent, result]
    assert shown["content"] == {"state": "present", "bodies": [], "sealed": True}
    assert shown["retention"]["class"] == "standard"
    assert shown["retention"]["until"] > shown["record"]["audit.time"]
    assert SECRET not in answer.text
    assert PERSON not in answer.text


def test_a_record_beyond_the_log_is_not_there(office: OfficeNetwork) -> None:
    office.log_call()
    client = office.client("auditor")
    for path in ("/records/2", f"/records/{(1 << 53) - 1}"):
        assert client.get(BASE + path).status_code == 404
        assert client.post(f"{BASE}{path}/verify", json={}).status_code == 404
    for path in ("/records/-1", "/records/x", f"/records/{1 << 53}"):
        assert client.get(BASE + path).status_code == 422


def test_a_record_is_verified_in_numbered_steps(office: OfficeNetwork) -> None:
    intent, _ = office.log_call()
    verdict = posted(office.client("authority"), f"/records/{intent}/verify")
    assert verdict["holds"] is True
    assert [(step["number"], step["status"]) for step in verdict["steps"]][:3] == [(1, "passed"), (2, "passed"), (3, "passed")]
    assert "nothing to check" in verdict["verdict"]
    assert office.records("disclosure") == []


def test_completeness_is_a_report(office: OfficeNetwork) -> None:
    office.log_call()
    report = got(office.client("auditor"), "/completeness")
    assert report["size"] == 2
    assert report["intents"] == {"count": 1, "open": 0}


def test_the_overview_counts_what_the_log_has(office: OfficeNetwork) -> None:
    for number in range(3):
        office.log_call(number)
    shown = got(office.client("operator"), "/overview")
    assert shown["log"]["size"] == 6
    assert sum(point["calls"] for point in shown["volume"]) == 3
    assert shown["outcomes"] == {"ok": 3}
    assert shown["models"] == [{"model": "example-1", "calls": 3}]
    assert shown["latency"]["p50_ms"] == pytest.approx(1.5, rel=0.03)
    assert shown["anchors"] == {"count": 0, "last": None, "lag_entries": 6, "is_late": False}
    assert shown["witnesses"]["quorum_met"] is None
    assert got(office.client("operator"), "/overview?from=2000-01-01&to=2000-02-01")["volume"] == []


@pytest.mark.parametrize(
    "query", ["from=x", "to=x", "from=2026-01-02&to=2026-01-01", "from=1900-01-01&to=2026-01-01", "to=0001-01-01", "to=1970-01-01"]
)
def test_a_period_that_is_none_is_refused(office: OfficeNetwork, query: str) -> None:
    answer = office.client("operator").get(f"{BASE}/overview?{query}")
    assert answer.status_code in (400, 422), answer.text


def test_an_alarm_when_the_log_takes_no_records(office: OfficeNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    office.log_call()
    assert "logging_failure" not in {alarm["kind"] for alarm in got(office.client("auditor"), "/overview")["alarms"]}
    monkeypatch.setattr(office.office.log, "is_ready", lambda: False)
    assert got(office.client("auditor"), "/overview")["alarms"][0]["kind"] == "logging_failure"


def test_a_bundle_verifies_offline_with_the_script_inside(office: OfficeNetwork, tmp_path: Path) -> None:
    index, _ = office.log_call()
    client = office.client("authority")
    answer = client.get(f"{BASE}/bundle?index={index}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path / "bundle")
    assert SECRET.encode() not in answer.content
    run = subprocess.run([sys.executable, "verify.py"], cwd=tmp_path / "bundle", capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    call_id = got(client, f"/records/{index}")["record"]["audit.call_id"]
    assert client.get(f"{BASE}/bundle?call_id={call_id}").content == answer.content
    for query, status in (
        (f"call_id=0x{'00' * 32}", 404),
        ("index=99", 404),
        ("", 400),
        (f"index=0&call_id={call_id}", 400),
        ("call_id=0x", 422),
    ):
        assert client.get(f"{BASE}/bundle?{query}").status_code == status, query


def test_a_table_of_what_was_found(office: OfficeNetwork) -> None:
    for number in range(3):
        office.log_call(number)
    client = office.client("dpo")
    lines = client.get(f"{BASE}/export?format=jsonl&kind=intent").text.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["index"] for row in rows] == [0, 2, 4]
    assert to_hex(hash_leaf(rows[0]["record"].encode())) == rows[0]["leaf_hash"]
    table = client.get(f"{BASE}/export?format=csv")
    assert table.headers["content-disposition"] == 'attachment; filename="records.csv"'
    assert len(list(csv.reader(io.StringIO(table.text)))) == 7
    assert client.get(f"{BASE}/export?format=parquet").content[:4] == b"PAR1"
    assert SECRET not in table.text
    for query in ("", "format=xml", "format=csv&from=x"):
        assert client.get(f"{BASE}/export?{query}").status_code in (400, 422)


@pytest.mark.parametrize(("format", "start"), [("html", b"<!doctype html>"), ("pdf", b"%PDF-")])
def test_a_report_on_a_period(office: OfficeNetwork, format: str, start: bytes) -> None:
    office.log_call()
    answer = office.client("authority").get(f"{BASE}/reports?format={format}")
    assert answer.status_code == 200, answer.text[:500]
    assert answer.content.lower()[:20].startswith(start.lower())
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-disposition"].startswith("attachment")
    assert SECRET.encode() not in answer.content
    assert office.client("authority").get(f"{BASE}/reports?format=docx").status_code == 422
    assert office.client("authority").get(f"{BASE}/reports?from=2026-02-01&to=2026-01-01").status_code == 400


def test_an_empty_log_is_shown_as_one(office: OfficeNetwork) -> None:
    office.add_person("everything", *Role)
    client = office.client("everything")
    for path in ("overview", "records", "completeness", "readers", "reviews", "samples", "operations", "export?format=csv", "reports"):
        answer = client.get(f"{BASE}/{path}")
        assert answer.status_code == 200, (path, answer.text[:300])
    assert client.get(f"{BASE}/records/0").status_code == 404
    assert client.post(f"{BASE}/samples", json={"size": 1}).status_code in (201, 409)


def test_an_index_that_is_ahead_of_a_view_is_no_fork(office: OfficeNetwork) -> None:
    office.log_call(1)
    old = office.office.reader.view()
    office.log_call(2)
    office.office.catch_up(old)
    assert office.office.index.size == 4
    assert got(office.client("auditor"), "/completeness")["size"] == 4


# ---- four eyes -------------------------------------------------------------------------------------------------------------------------
def test_a_disclosure_from_request_to_reading(office: OfficeNetwork) -> None:
    index, _ = office.log_call()
    auditor, dpo = office.browser("auditor"), office.browser("dpo")
    case = posted(auditor, "/disclosures", {"indices": [index], "reason": "a complaint", "minutes": 10}, 201)
    assert (case["state"], case["may_decide"], case["may_open"], case["by"]) == ("requested", False, False, "auditor")
    assert auditor.get(f"{BASE}/disclosures/{case['id']}/records/{index}").status_code == 409
    [seen] = got(dpo, "/disclosures")["items"]
    assert (seen["may_decide"], seen["reason"]) == (True, "a complaint")
    approved = posted(dpo, f"/disclosures/{case['id']}/approve")
    assert (approved["state"], approved["decided_by"], approved["may_open"]) == ("approved", "dpo", False)
    assert got(auditor, "/disclosures")["items"][0]["may_open"] is True
    answer = auditor.get(f"{BASE}/disclosures/{case['id']}/records/{index}")
    assert answer.headers["cache-control"] == "no-store"
    opened = answer.json()
    assert opened["bodies"][0]["text"] == f"{SECRET} 1"
    assert {field["name"]: field["value"] for field in opened["sealed"]}["audit.user"] == PERSON
    root = parse_bytes32(got(auditor, f"/records/{index}")["record"]["audit.sealed"], "root")
    for field in opened["sealed"]:
        verify_opening(opening_from_json(field), root)
    office.clock.forward(10 * 60)
    assert auditor.get(f"{BASE}/disclosures/{case['id']}/records/{index}").status_code == 409
    assert got(auditor, "/disclosures")["items"][0]["state"] == "expired"
    actions = [fields["audit.disclosure.action"] for fields in office.records("disclosure")]
    assert actions == ["requested", "approved", "read"]
    assert "complaint" not in str(office.records("disclosure"))


def test_who_read_what_is_told_from_the_log(office: OfficeNetwork) -> None:
    index, _ = office.log_call()
    auditor = office.client("auditor")
    case = posted(auditor, "/disclosures", {"indices": [index], "reason": "a complaint", "minutes": 1}, 201)
    posted(office.client("dpo"), f"/disclosures/{case['id']}/approve")
    got(auditor, f"/disclosures/{case['id']}/records/{index}")
    office.net.desk.log.read_contents(index, index + 1)  # a program with a reader's token
    office.follow()
    items = got(office.client("authority"), "/readers")["items"]
    assert [(item["reader"], item["action"], item["indices"]) for item in items] == [
        ("api", "read", [index]),
        ("auditor", "read", [index]),
        ("dpo", "approved", [index]),
        ("auditor", "requested", [index]),
    ]
    assert items[1]["disclosure"] == case["id"]


def test_one_person_with_both_roles_is_not_two(office: OfficeNetwork) -> None:
    index, _ = office.log_call()
    office.add_person("both", *Role)
    client = office.client("both")
    case = posted(client, "/disclosures", {"indices": [index], "reason": "mine", "minutes": 5}, 201)
    erasure = posted(client, "/erasures", {"scope": {"indices": [index]}, "reason": "mine"}, 201)
    hold = posted(client, "/holds", {"scope": {"index": index}, "reason": "mine"}, 201)
    posted(client, f"/holds/{hold['id']}/release")
    for path in (f"/disclosures/{case['id']}", f"/erasures/{erasure['id']}", f"/holds/{hold['id']}"):
        for step in ("approve", "deny"):
            answer = client.post(f"{BASE}{path}/{step}", json={})
            expected = 409 if "erasures" in path and step == "approve" else 403  # the hold is looked at first
            assert answer.status_code == expected, (path, step, answer.text)
    assert office.office.custody.holds(index)


def test_a_hold_blocks_an_erasure_until_two_people_release_it(office: OfficeNetwork) -> None:
    index, _ = office.log_call()
    dpo, custodian, authority = (office.client(name) for name in ("dpo", "custodian", "authority"))
    hold = posted(authority, "/holds", {"scope": {"index": index}, "reason": "a law suit"}, 201)
    assert hold["scope"] == {"index": index}
    erasure = posted(dpo, "/erasures", {"scope": {"indices": [index]}, "reason": "asked to be forgotten"}, 201)
    assert custodian.post(f"{BASE}/erasures/{erasure['id']}/approve", json={}).status_code == 409
    posted(authority, f"/holds/{hold['id']}/release")
    [seen] = got(custodian, "/holds")["items"]
    assert (seen["state"], seen["may_approve"], seen["release_requested_by"]) == ("release_requested", True, "authority")
    assert posted(custodian, f"/holds/{hold['id']}/approve")["state"] == "released"
    done = posted(custodian, f"/erasures/{erasure['id']}/approve")
    assert (done["state"], done["erased"], done["decided_by"]) == ("done", [index], "custodian")
    shown = got(dpo, f"/records/{index}")
    assert shown["content"]["state"] == "erased"
    verify_proof(shown["proof"].encode(), parse_vkey(office.office.public.vkey))
    verdict = posted(office.client("auditor"), f"/records/{index}/verify")
    assert verdict["holds"] is True
    assert any("erased" in remark for remark in verdict["remarks"])


def test_what_people_wrote_goes_with_its_record(office: OfficeNetwork) -> None:
    """A review's note is sealed in the log and kept by the office too: erased there, it is gone here."""
    index, _ = office.log_call()
    auditor, dpo = office.client("auditor"), office.client("dpo")
    review = posted(auditor, "/reviews", {"index": index, "outcome": "rejected", "note": "mary was here"}, 201)
    case = posted(dpo, "/erasures", {"scope": {"indices": [review["record"]]}, "reason": "names somebody"}, 201)
    posted(office.client("custodian"), f"/erasures/{case['id']}/approve")
    assert got(auditor, "/reviews")["items"] == [review | {"note": None}]


def test_a_person_is_erased_by_the_writers_reference(office: OfficeNetwork) -> None:
    first, _ = office.log_call(1)
    other, _ = office.log_call(2, "paul@example.org")
    dpo, custodian = office.client("dpo"), office.client("custodian")
    scope = {"writer": "node-1", "subject_reference": PERSON}
    hold = posted(dpo, "/holds", {"scope": scope, "reason": "a law suit"}, 201)
    assert list(hold["scope"]) == ["subject"]
    case = posted(dpo, "/erasures", {"scope": scope, "reason": "asked to be forgotten"}, 201)
    assert office.office.custody.states([first, other, 99]) == {first: "present", other: "present", 99: "none"}
    assert custodian.post(f"{BASE}/erasures/{case['id']}/approve", json={}).status_code == 409
    posted(dpo, f"/holds/{hold['id']}/release")
    posted(custodian, f"/holds/{hold['id']}/approve")
    assert posted(custodian, f"/erasures/{case['id']}/approve")["erased"] == [first]
    assert got(dpo, f"/records/{other}")["content"]["state"] == "present"
    assert office.office.custody.states([first, other, 99]) == {first: "erased", other: "present", 99: "none"}
    assert PERSON not in str(got(dpo, "/erasures")) + str(office.records("erasure")) + str(office.records("hold"))
    assert dpo.post(f"{BASE}/erasures", json={"scope": scope, "reason": "again"}).status_code == 404


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"from": 5, "to": 4},
        {"index": 1, "from": 1},
        {"writer": "node-1"},
        {"subject_reference": "mary"},
        {"subject": "0x" + "00" * 16, "writer": "node-1", "subject_reference": "mary"},
        {"subject": "0x00"},
        {"call_id": "0x00"},
        {"index": -1},
        {"index": "1"},
        {"index": True},
        {"index": 1 << 53},
        {"everything": True},
    ],
    ids=str,
)
def test_a_scope_that_is_none_is_refused(office: OfficeNetwork, scope: dict[str, Any]) -> None:
    answer = office.client("dpo").post(f"{BASE}/holds", json={"scope": scope, "reason": "why"})
    assert answer.status_code == 422, answer.text
    assert office.records("hold") == []


@pytest.mark.parametrize(
    "body",
    [
        {"indices": [], "reason": "why", "minutes": 5},
        {"indices": list(range(257)), "reason": "why", "minutes": 5},
        {"indices": [0], "reason": "", "minutes": 5},
        {"indices": [0], "reason": "x" * 4001, "minutes": 5},
        {"indices": [0], "reason": "why", "minutes": 0},
        {"indices": [0], "reason": "why", "minutes": 1441},
        {"indices": [0.5], "reason": "why", "minutes": 5},
        {"indices": 0, "reason": "why", "minutes": 5},
        {"indices": [0], "reason": "why", "minutes": 5, "state": "approved"},
        [],
        None,
    ],
    ids=lambda body: str(body)[:40],
)
def test_a_disclosure_that_is_none_is_refused(office: OfficeNetwork, body: Any) -> None:
    office.log_call()
    assert office.client("auditor").post(f"{BASE}/disclosures", json=body).status_code == 422
    assert office.records("disclosure") == []


def test_words_of_any_kind_are_taken_or_refused_and_never_fail(office: OfficeNetwork) -> None:
    office.log_call()
    client = office.client("auditor")
    for text in ("\0", "\u202e", "<script>", "\U0001f9d1", "a\nb", " "):
        posted(client, "/disclosures", {"indices": [0], "reason": text, "minutes": 5}, 201)
    raw = b'{"indices": [0], "reason": "\\ud800", "minutes": 5}'
    answer = client.post(f"{BASE}/disclosures", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert got(client, "/disclosures")["items"][0]["reason"] == " "


# ---- judging ---------------------------------------------------------------------------------------------------------------------------
def test_a_review_is_in_the_log_with_the_leaf_it_is_about(office: OfficeNetwork) -> None:
    index, _ = office.log_call()
    auditor = office.client("auditor")
    review = posted(auditor, "/reviews", {"index": index, "outcome": "rejected", "note": "not what was asked"}, 201)
    [fields] = office.records("review")
    assert fields["audit.review.leaf_hash"] == got(auditor, f"/records/{index}")["leaf_hash"]
    assert fields["audit.review.outcome"] == "rejected"
    assert "asked" not in str(fields)
    assert got(auditor, "/reviews")["items"] == [review]
    assert got(auditor, f"/records/{index}")["reviews"] == [review]
    assert auditor.post(f"{BASE}/reviews", json={"index": 99, "outcome": "accepted", "note": ""}).status_code == 404
    assert auditor.post(f"{BASE}/reviews", json={"index": 0, "outcome": "fine", "note": ""}).status_code == 422


def test_an_override_is_a_statement_whose_people_are_sealed(office: OfficeNetwork) -> None:
    index, _ = office.log_call()
    operator = office.client("operator")
    said = {"index": index, "action": "replaced", "reason": "the applicant is known", "first": "Ada", "second": "Grace"}
    made = posted(operator, "/overrides", said, 201)
    [fields] = office.records("override")
    assert (fields["audit.subject.index"], fields["audit.override.action"]) == (index, "replaced")
    assert not any(word in str(fields) for word in ("Ada", "Grace", "known"))
    content = office.office.custody.content(made["record"])
    assert content is not None
    assert content.sealed is not None
    assert content.sealed.values == {
        "audit.override.reason": "the applicant is known",
        "audit.verifier.first": "Ada",
        "audit.verifier.second": "Grace",
    }
    assert got(office.client("auditor"), "/overrides")["items"] == [made]
    assert operator.post(f"{BASE}/overrides", json=said | {"index": 99}).status_code == 404


def test_a_sample_is_drawn_by_a_seed_and_anybody_can_draw_it_again(office: OfficeNetwork) -> None:
    for number in range(8):
        office.log_call(number)
    auditor = office.client("auditor")
    wanted = {"size": 3, "seed": "0x" + "07" * 32, "filter": {"kind": "intent"}}
    sample = posted(auditor, "/samples", wanted, 201)
    assert sample["population"] == 8
    assert len(set(sample["indices"])) == 3
    assert all(index % 2 == 0 for index in sample["indices"])
    size, root = office.office.index.checkpoint.size, to_hex(office.office.index.checkpoint.root)  # type: ignore[union-attr]
    assert (sample["tree_size"], sample["root"]) == (size, root)
    places = draw_places(bytes([7] * 32), bytes.fromhex(sample["population_digest"][2:]), 8, 3)
    assert sample["indices"] == [2 * place for place in places]
    [fields] = office.records("review")
    assert (fields["audit.review.action"], fields["audit.sample.seed"]) == ("sample", "0x" + "07" * 32)
    assert fields["audit.sample.indices"] == [str(index) for index in sample["indices"]]
    assert "intent" not in str(fields)
    assert got(auditor, f"/samples/{sample['id']}") == got(auditor, "/samples")["items"][0] == sample
    again = posted(auditor, "/samples", wanted | {"seed": None}, 201)
    assert again["seed"] != sample["seed"]
    assert office.client("auditor").get(f"{BASE}/samples/{'0' * 32}").status_code == 404


def test_a_sample_of_nothing_is_empty_and_logged(office: OfficeNetwork) -> None:
    office.log_call()
    sample = posted(office.client("auditor"), "/samples", {"size": 5, "filter": {"model": "none"}}, 201)
    assert (sample["population"], sample["indices"]) == (0, [])
    assert len(office.records("review")) == 1


def test_pages_of_cases_go_on(office: OfficeNetwork) -> None:
    office.log_call()
    auditor = office.client("auditor")
    made = [posted(auditor, "/reviews", {"index": 0, "outcome": "accepted"}, 201)["id"] for _ in range(3)]
    first = got(auditor, "/reviews?limit=2")
    second = got(auditor, f"/reviews?limit=2&before={first['next']}")
    assert [item["id"] for item in first["items"] + second["items"]] == made[::-1]
    assert second["next"] is None


# ---- operations ------------------------------------------------------------------------------------------------------------------------
def test_operations_say_how_the_network_is_doing(office: OfficeNetwork) -> None:
    shown = got(office.client("operator"), "/operations")
    assert [(o["index"], o["is_active"]) for o in shown["operators"]] == [(0, True), (1, True), (2, True)]
    assert shown["relay"]["oldest_seconds"] is None
    office.net.desk.submit(office.net.asked())
    assert got(office.client("operator"), "/operations")["relay"] == {
        "states": {**dict.fromkeys(shown["relay"]["states"], 0), "collecting": 1},
        "oldest_seconds": 0,
    }


def test_metrics_tell_of_what_waits(office: OfficeNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    index, _ = office.log_call()
    erasure = posted(office.client("dpo"), "/erasures", {"scope": {"indices": [index]}, "reason": "asked"}, 201)

    def held(_indices: Any) -> list[int]:
        raise ErasureHeld("entry 0", "no legal hold on it", "one")

    monkeypatch.setattr(office.office.custody, "destroy_records", held)
    waiting = posted(office.client("custodian"), f"/erasures/{erasure['id']}/approve")
    assert (waiting["state"], waiting["erased"]) == ("held", [])
    text = office.client().get("/metrics").text
    assert "affidavit_office_pending_steps 0.0" in text
    assert "affidavit_office_waiting_erasures 1.0" in text
    assert "affidavit_office_indexed_entries 2.0" in text
    monkeypatch.undo()
    office.office.duties.run_once()
    assert got(office.client("dpo"), "/erasures")["items"][0]["state"] == "done"
    assert "affidavit_office_waiting_erasures 0.0" in office.client().get("/metrics").text


# ---- the log's files -------------------------------------------------------------------------------------------------------------------
def test_the_logs_files_are_forwarded_as_they_are(office: OfficeNetwork) -> None:
    office.log_call()
    client = office.client()
    assert client.get("/log/checkpoint").content == office.net.desk.log.read_checkpoint()
    bundle = client.get("/log/tile/entries/000.p/2")
    assert bundle.status_code == 200
    assert "immutable" in bundle.headers["cache-control"]
    assert client.get("/log/witnessed").status_code == 404


@pytest.mark.parametrize(
    "path", ["tile/0/001", "tile/0/../checkpoint", "tile/../../../etc/passwd", "tile/0/000.p/300", "tile/%2e%2e/x", "tile/", "key"]
)
def test_no_other_file_is(office: OfficeNetwork, path: str) -> None:
    office.log_call()
    assert office.client().get(f"/log/{path}").status_code == 404


# ---- the pages -------------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def built(tmp_path: Path) -> Iterator[OfficeNetwork]:
    pages = tmp_path / "web"
    (pages / "assets").mkdir(parents=True)
    (pages / "index.html").write_text("<!doctype html><title>pages</title>")
    (pages / "assets/app-1A2B.js").write_text("export {}")
    (tmp_path / "secret").write_text("a secret")
    with office_network(tmp_path, pages=pages) as made:
        yield made


def test_pages_are_served_with_narrow_headers(built: OfficeNetwork) -> None:
    client = built.client()
    for path in ("/audit", "/audit/", "/audit/records/7?q=x", "/audit/v2"):
        answer = client.get(path)
        assert answer.text == "<!doctype html><title>pages</title>", path
        assert answer.headers["cache-control"] == "no-cache"
        policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["connect-src"].split()[:2] == ["'self'", "https://rpc.example.org"]
        assert "unsafe" not in str(policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    asset = client.get("/audit/assets/app-1A2B.js")
    assert asset.headers["content-type"].startswith("text/javascript")
    assert "immutable" in asset.headers["cache-control"]
    assert client.get("/", follow_redirects=False).headers["location"] == "/audit"


@pytest.mark.parametrize(
    "path",
    [
        "/audit/assets/none.js",
        "/audit/assets/../index.html",
        "/audit/assets/..%2f..%2fsecret",
        "/audit/assets/%2e%2e/%2e%2e/secret",
        "/audit/assets/",
        "/audit/assets/x%00y",
        "/audit/assets//etc/passwd",
        "/audit/assets/" + "x" * 5000,
    ],
)
def test_nothing_outside_the_assets_is_served(built: OfficeNetwork, path: str) -> None:
    answer = built.client().get(path)
    assert "a secret" not in answer.text
    assert answer.status_code == 404 or answer.text.startswith("<!doctype html>"), answer.text


def test_the_api_is_not_behind_the_pages(built: OfficeNetwork) -> None:
    client = built.client()
    assert client.get("/audit/v1/nowhere").headers["content-type"] == PROBLEM
    assert client.get("/v1/models").status_code == 200
    assert "content-security-policy" not in client.get("/v1/models").headers
    assert client.get("/audit/v1/settings").headers["cache-control"] == "no-store"
    assert client.post("/audit", json={}).status_code == 405


def test_pages_that_are_not_built_say_so(office: OfficeNetwork) -> None:
    assert "bootstrap" in office.client().get("/audit").json()["detail"]


def test_the_policy_names_origins_and_no_keys() -> None:
    assert "secret" not in content_security_policy("https://rpc.example.org/v1/secret")


# ---- sign-in elsewhere -----------------------------------------------------------------------------------------------------------------
REDIRECT = "http://testserver/audit/v1/oidc/callback"


def test_a_sign_in_at_the_certified_provider(tmp_path: Path) -> None:
    redirect = REDIRECT.replace("testserver", "127.0.0.1")
    with real_provider(redirect, {"grace": ["auditors"]}) as issuer:
        settings = OidcSettings(issuer, "affidavit", redirect, CLIENT_SECRET, "groups", {"auditors": Role.AUDITOR})
        with office_network(tmp_path, oidc=settings) as office:
            browser, stranger = office.client(), office.client()
            assert got(browser, "/settings")["has_oidc"] is True
            started = browser.get(f"{BASE}/oidc/start", follow_redirects=False)
            assert started.status_code == 303
            assert "HttpOnly" in started.headers["set-cookie"]
            answer = sign_in(started.headers["location"], "grace", redirect)
            assert stranger.get(f"{BASE}/oidc/callback", params=answer).status_code == 401
            # The state was used up by the stranger's try: begin again.
            answer = sign_in(browser.get(f"{BASE}/oidc/start", follow_redirects=False).headers["location"], "grace", redirect)
            done = browser.get(f"{BASE}/oidc/callback", params=answer, follow_redirects=False)
            assert (done.status_code, urlsplit(done.headers["location"]).path) == (303, "/audit")
            assert COOKIE in browser.cookies
            me = got(browser, "/me")
            assert (me["name"], me["roles"], me["via"]) == ("grace of the tests", ["auditor"], "oidc")
            browser.headers[CSRF_HEADER] = me["csrf"]
            index, _ = office.log_call()
            case = posted(browser, "/disclosures", {"indices": [index], "reason": "why", "minutes": 5}, 201)
            assert case["by"] == "grace at 127.0.0.1"
            assert "grace" not in str(office.records("disclosure"))


def test_without_a_provider_there_is_no_such_door(office: OfficeNetwork) -> None:
    for path in ("/oidc/start", "/oidc/callback?state=x&code=y"):
        assert office.client().get(BASE + path).status_code == 404


def test_ids_in_addresses_are_checked(office: OfficeNetwork) -> None:
    client = office.client("dpo")
    for case_id in ("x", "0" * 31, "0" * 33, "0" * 31 + "G", "..", to_hex(bytes(16))):
        assert client.post(f"{BASE}/disclosures/{case_id}/approve", json={}).status_code in (404, 405, 422)


@pytest.mark.parametrize(("took_seconds", "pause_seconds"), [(0.0, 1.0), (0.05, 1.0), (0.2, 4.0), (3.0, 10.0)])
def test_the_index_follows_for_a_small_share_of_the_time_and_is_never_far_behind(took_seconds: float, pause_seconds: float) -> None:
    assert compute_index_pause(took_seconds) == pause_seconds
