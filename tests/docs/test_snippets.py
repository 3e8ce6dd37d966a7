"""Words run: every fenced block of the README and of docs/ is executed, parsed or found in the source it quotes.

* `python`: run in order, one namespace a page.
* `solidity`: stands to the letter in a file under contracts/src.
* `json`, `toml`: parse; a toml with a [chain] table is a configuration and must load.
* `sh`: run in order against a live network by tests/acceptance/test_shell_snippets.py.
* `text`, `http`: shown, not run; anything else is refused, so that nothing escapes by its label.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from oracle.config import load_config

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "seeds/README.md", ROOT / "contracts/README.md"]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_A_LOG = {ROOT / "docs/recording.md"}  # their Python needs one that runs: tests/docs/test_recording.py
LABELS = {"python", "solidity", "json", "toml", "sh", "text", "http"}


def blocks(page: Path, label: str) -> list[str]:
    return [body for name, body in FENCE.findall(page.read_text()) if name.strip() == label]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_labels_are_known(page: Path) -> None:
    assert {label.strip() for label, _ in FENCE.findall(page.read_text())} <= LABELS


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python") and p not in WITH_A_LOG], ids=name)
def test_python(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    namespace: dict[str, Any] = {"__name__": "snippet"}
    for body in blocks(page, "python"):
        exec(compile(body, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "solidity")], ids=name)
def test_solidity_is_quoted_from_the_source(page: Path) -> None:
    sources = [path.read_text() for path in (ROOT / "contracts/src").rglob("*.sol")]
    for body in blocks(page, "solidity"):
        assert any(body.strip("\n") in source for source in sources), body


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "json")], ids=name)
def test_json_parses(page: Path) -> None:
    for body in blocks(page, "json"):
        json.loads(body)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "toml")], ids=name)
def test_toml_loads(page: Path, tmp_path: Path) -> None:
    for body in blocks(page, "toml"):
        if "chain" in tomllib.loads(body):
            (tmp_path / "affidavit.toml").write_text(body)
            load_config(tmp_path / "affidavit.toml")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
