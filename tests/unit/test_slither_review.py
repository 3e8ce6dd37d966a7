"""The list of what slither said, and the script that holds slither against it (`contracts/tools/slither`), without slither itself."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "contracts/tools"
REVIEW = runpy.run_path(str(TOOLS / "slither_review.py"))
REASON = "It was looked at, and is none."


def element(contract: str, function: str) -> dict[str, Any]:
    parent = {"type": "contract", "name": contract}
    return {"type": "function", "name": function, "type_specific_fields": {"parent": parent}}


def reported(*places: tuple[str, str, str]) -> dict[str, Any]:
    found = [
        {"check": check, "elements": [element(contract, function)], "description": f"{check}!"} for check, contract, function in places
    ]
    return {"success": True, "results": {"detectors": found}}


def listed(findings: dict[str, int], reason: str = REASON, check: str = "timestamp") -> dict[str, Any]:
    return {"reviewed": [{"check": check, "findings": findings, "reason": reason}]}


def differences(report: dict[str, Any], reviewed: dict[str, Any]) -> list[str]:
    lines: list[str] = REVIEW["differences"](report, reviewed)
    return lines


@pytest.mark.parametrize(
    ("places", "findings", "line"),
    [
        ([("timestamp", "A", "f"), ("timestamp", "A", "g")], {"A.f": 1}, "timestamp in A.g: reviewed 0, found 1"),
        ([("timestamp", "A", "f"), ("timestamp", "A", "f")], {"A.f": 1}, "timestamp in A.f: reviewed 1, found 2"),
        ([("timestamp", "B", "f")], {"A.f": 1}, "timestamp in A.f: reviewed 1, found 0"),
        ([("weak-prng", "A", "f")], {"A.f": 1}, "weak-prng in A.f: reviewed 0, found 1"),
    ],
    ids=["another function", "a second in the same", "one that is gone", "another detector"],
)
def test_what_was_not_reviewed_is_told(places: list[tuple[str, str, str]], findings: dict[str, int], line: str) -> None:
    assert line in differences(reported(*places), listed(findings))


def test_what_was_reviewed_is_not() -> None:
    assert differences(reported(("timestamp", "A", "f")), listed({"A.f": 1})) == []


def test_a_variable_is_found_in_its_function() -> None:
    variable = {"type": "variable", "name": "x", "type_specific_fields": {"parent": element("A", "f")}}
    report = {"success": True, "results": {"detectors": [{"check": "timestamp", "elements": [variable], "description": ""}]}}
    assert differences(report, listed({"A.f": 1})) == []


def test_a_run_that_failed_is_not_a_run_that_found_nothing() -> None:
    with pytest.raises(ValueError, match="slither failed"):
        differences({"success": False, "error": "no compiler", "results": {}}, {"reviewed": []})


@pytest.mark.parametrize(
    ("findings", "reason"), [({"A.f": 1}, ""), ({"A.f": 1}, "fine"), ({"A.f": 0}, REASON)], ids=["none", "short", "of nothing"]
)
def test_an_entry_has_a_reason(findings: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        differences(reported(), listed(findings, reason))


def test_an_entry_stands_once() -> None:
    twice = {"reviewed": listed({"A.f": 1})["reviewed"] * 2}
    with pytest.raises(ValueError, match="once"):
        differences(reported(), twice)


def test_it_ends_with_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, known = tmp_path / "found.json", tmp_path / "known.toml"
    known.write_text(f'[[reviewed]]\ncheck = "timestamp"\nfindings = {{ "A.f" = 1 }}\nreason = "{REASON}"\n')
    for places, code in (([("timestamp", "A", "f")], 0), ([("timestamp", "A", "g")], 1)):
        found.write_text(json.dumps(reported(*places)))
        assert REVIEW["main"]([str(found), str(known)]) == code
    assert "timestamp in A.g: reviewed 0, found 1" in capsys.readouterr().err


def test_the_list_names_functions_that_are_there() -> None:
    """Without slither: what is excused still exists, so that the list does not outlive what it is about."""
    reviewed = tomllib.loads((TOOLS / "slither-reviewed.toml").read_text())
    sources = {path.stem: path.read_text() for path in (ROOT / "contracts/src").rglob("*.sol")}
    for _, place in REVIEW["count_reviewed"](reviewed):
        contract, function = place.split(".")
        pattern = r"\bconstructor\s*\(" if function == "constructor" else rf"\bfunction {re.escape(function)}\s*\("
        assert re.search(pattern, sources[contract]), place
