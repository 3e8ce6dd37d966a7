"""The office by command: people, and two of them deciding, over HTTP as in production."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from oracle.config import write_secret
from oracle.office.people import Role
from tests.twins.api import served
from tests.twins.office_api import PERSON, SECRET, OfficeNetwork, office_network
from tests.unit.cli_runner import Cli


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OfficeNetwork]:
    """Served, with every person's token in a file of that name."""
    with office_network(tmp_path) as made, served(made.app) as url:
        for name, token in made.tokens.items():
            write_secret(tmp_path / name, "token file", token + "\n")
        monkeypatch.setenv("AFFIDAVIT_OFFICE", url)
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
        )  # the server's journal is not the command's
        yield made
        structlog.reset_defaults()


# ---- people ----------------------------------------------------------------------------------------------------------------------------
def test_a_person_from_first_to_last(cli: Cli, tmp_path: Path) -> None:
    people, token = tmp_path / "people.json", tmp_path / "ada.token"
    told = cli.ok("people", "add", "ada", "--people-file", people, "--role", "auditor", "--role", "dpo", "--days", 1, "--token-file", token)
    secret = token.read_text().strip()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert secret not in told.out + told.err + people.read_text()
    [shown] = cli.ok("people", "list", "--people-file", people, "--json").json()
    assert (shown["name"], shown["roles"], shown["has_token"], shown["subject"]) == ("ada", ["auditor", "dpo"], True, None)
    assert "ada" in cli.ok("people", "list", "--people-file", people).out
    cli.ok("people", "revoke", "ada", "--people-file", people)
    assert cli.ok("people", "list", "--people-file", people, "--json").json()[0]["roles"] == []
    assert "never given" in cli.refused(2, "people", "add", "ada", "--people-file", people, "--role", "auditor", "--subject", "x")


def test_a_person_of_the_provider_has_no_token(cli: Cli, tmp_path: Path) -> None:
    people = tmp_path / "people.json"
    cli.ok("people", "add", "grace", "--people-file", people, "--role", "custodian", "--subject", "grace-at-id")
    [shown] = cli.ok("people", "list", "--people-file", people, "--json").json()
    assert (shown["has_token"], shown["subject"]) == (False, "grace-at-id")


def test_what_is_no_person_is_refused(cli: Cli, tmp_path: Path) -> None:
    people, token = tmp_path / "people.json", tmp_path / "token"
    assert "neither" in cli.refused(2, "people", "add", "ada", "--people-file", people, "--role", "auditor")
    assert "king" in cli.refused(2, "people", "add", "ada", "--people-file", people, "--role", "king", "--token-file", token)
    assert "writer name" in cli.refused(2, "people", "add", "A B", "--people-file", people, "--role", "dpo", "--token-file", token)
    assert not token.exists()
    token.write_text("mine")
    assert "existing file" in cli.refused(2, "people", "add", "ada", "--people-file", people, "--role", "dpo", "--token-file", token)
    assert not people.exists()
    assert "readable file" in cli.refused(2, "people", "list", "--people-file", people)


# ---- cases -----------------------------------------------------------------------------------------------------------------------------
def test_a_disclosure_by_two_people(cli: Cli, office: OfficeNetwork, tmp_path: Path) -> None:
    index, _ = office.log_call()
    ada, bob = ("--token-file", tmp_path / "auditor"), ("--token-file", tmp_path / "dpo")
    case = cli.ok("audit", "disclose", "request", index, "--reason", "a complaint", "--minutes", 5, *ada, "--json").json()["id"]
    assert "right" in cli.refused(2, "audit", "disclose", "approve", case, *ada)
    assert "approved one" in cli.refused(2, "audit", "disclose", "read", case, index, *ada)
    assert cli.ok("audit", "disclose", "approve", case, *bob).out == f"{case}  approved\n"
    shown = cli.ok("audit", "disclose", "read", case, index, *ada).out
    assert f"{SECRET} 1" in shown
    assert f"audit.user: {PERSON}" in shown
    assert "disclosure" in cli.refused(2, "audit", "disclose", "read", case, index, *bob)
    assert case in cli.ok("audit", "disclose", "list", *bob, "--json").out
    assert cli.ok("audit", "disclose", "close", case, *ada).out == f"{case}  closed\n"


def test_a_hold_and_an_erasure(cli: Cli, office: OfficeNetwork, tmp_path: Path) -> None:
    index, _ = office.log_call()
    dpo, custodian = ("--token-file", tmp_path / "dpo"), ("--token-file", tmp_path / "custodian")
    write_secret(tmp_path / "person", "person", PERSON + "\n")
    whom = ("--writer", "node-1", "--person-file", tmp_path / "person")
    hold = cli.ok("audit", "hold", "place", "--index", index, "--reason", "a law suit", *dpo, "--json").json()["id"]
    erasure = cli.ok("audit", "erase", "request", *whom, "--reason", "asked", *dpo, "--json").json()["id"]
    assert "hold" in cli.refused(2, "audit", "erase", "approve", erasure, *custodian)
    cli.ok("audit", "hold", "release", hold, *dpo)
    assert "another person" in cli.refused(2, "audit", "hold", "approve", hold, *dpo)
    assert cli.ok("audit", "hold", "deny", hold, *custodian).out == f"{hold}  active\n"
    cli.ok("audit", "hold", "release", hold, *dpo)
    assert cli.ok("audit", "hold", "approve", hold, *custodian).out == f"{hold}  released\n"
    assert cli.ok("audit", "erase", "approve", erasure, *custodian, "--json").json()["erased"] == [index]
    assert hold in cli.ok("audit", "hold", "list", *dpo, "--json").out
    assert erasure in cli.ok("audit", "erase", "list", *dpo, "--json").out
    assert "together" in cli.refused(2, "audit", "hold", "place", "--writer", "node-1", "--reason", "x", *dpo)
    for scope in ((), ("--index", 0, *whom)):
        assert "--index" in cli.refused(2, "audit", "erase", "request", *scope, "--reason", "x", *dpo)


def test_a_review(cli: Cli, office: OfficeNetwork, tmp_path: Path) -> None:
    index, _ = office.log_call()
    ada = ("--token-file", tmp_path / "auditor")
    assert "accepted" in cli.ok("audit", "review", "sign", index, "--outcome", "accepted", "--note", "fine", *ada).out
    assert cli.ok("audit", "review", "list", *ada, "--json").json()[0]["note"] == "fine"
    assert "fine" in cli.ok("audit", "review", "list", *ada).out
    assert "outcome" in cli.refused(2, "audit", "review", "sign", index, "--outcome", "perhaps", *ada)


def test_an_office_that_is_not_there_is_the_worlds_fault(cli: Cli, tmp_path: Path) -> None:
    write_secret(tmp_path / "token", "token file", "x\n")
    where = ("--office", "http://127.0.0.1:9", "--token-file", tmp_path / "token")
    assert "does not answer" in cli.refused(3, "audit", "hold", "list", *where)


def test_every_role_is_in_the_help(cli: Cli) -> None:
    text = cli.ok("people", "add", "--help").out
    assert all(str(role) in text for role in Role)
