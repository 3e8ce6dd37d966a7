"""docs/threats.md: every threat names the tests that try it, and every test it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.test_snippets import ROOT

PAGE = ROOT / "docs/threats.md"
NAMED = re.compile(r"`([\w/.]+\.(?:t\.sol|py|mjs))::([^`]+)`")
ROW = re.compile(r"^\| (?!Threat \||---)(.+)\|$", re.MULTILINE)
AWAITED = re.compile(r"<!-- disputes -->.*<!-- /disputes -->", re.DOTALL)
"""What the page says of committees. Their tests are looked up from contracts/src/Disputes.sol on, and not where there is none yet."""


def place(file: str) -> Path:
    """Of a Solidity test by its name, of others below tests/."""
    return ROOT / "contracts/test" / file if file.endswith(".sol") else ROOT / "tests" / file


@cache
def names_in(path: Path) -> frozenset[str]:
    text = path.read_text()
    if path.suffix == ".sol":
        return frozenset(re.findall(r"function ((?:test|invariant)\w*)\s*\(", text))
    if path.suffix == ".mjs":
        return frozenset(re.findall(r'^\s*test\("([^"]+)"', text, re.MULTILINE))
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def missing_in(page: str) -> list[str]:
    if not (ROOT / "contracts/src/Disputes.sol").exists():
        page = AWAITED.sub("", page)
    named = NAMED.findall(page)
    return [f"{file}::{test}" for file, test in named if not place(file).exists() or test not in names_in(place(file))]


def test_every_test_that_is_named_is_there() -> None:
    assert missing_in(PAGE.read_text()) == []


def test_every_threat_names_a_test() -> None:
    rows = ROW.findall(PAGE.read_text().split("\n## Signatures and replay")[1])
    assert len(rows) > 40
    assert [row for row in rows if not NAMED.search(row)] == []


@pytest.mark.parametrize(
    "named",
    [
        "Deliver.t.sol::test_NothingOfTheKind",
        "NoSuchFile.t.sol::test_A",
        "unit/test_http.py::test_nothing_of_the_kind",
        "unit/no.py::test_a",
    ],
)
def test_a_test_that_is_not_there_is_told(named: str) -> None:
    assert missing_in(f"| a threat | nothing | `{named}` |") == [named]


def test_what_shows_a_weakness_is_told_of_as_one() -> None:
    """Tests that show what an attacker can do are in the last table; what is marked as failing is there, too."""
    weak = PAGE.read_text().split("## What is left")[1]
    shown = {f"Threats.t.sol::{test}" for test in names_in(place("Threats.t.sol")) if test.startswith("test_Known")}
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path != Path(__file__) and "xfail(strict=True" in path.read_text():
            shown |= {f"{path.relative_to(ROOT / 'tests')}::{test}" for test in failing_in(path)}
    assert shown
    assert shown <= {f"{file}::{test}" for file, test in NAMED.findall(weak)}


def failing_in(path: Path) -> set[str]:
    """Tests of a file that have such a mark, or a parameter with it."""
    tree = ast.parse(path.read_text())
    marks = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and "xfail(strict=True" in ast.unparse(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    marks |= {  # lists of parameters that use one of them
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and any(mark in ast.unparse(node.value) for mark in marks)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            words = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
            if "xfail(strict=True" in words or any(re.search(rf"\b{mark}\b", words) for mark in marks):
                found.add(node.name)
    return found
