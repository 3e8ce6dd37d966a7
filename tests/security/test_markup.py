"""Words of strangers become text on our pages and never markup: the ways around that are not used anywhere (XSS)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for path in (ROOT / "web/src").rglob("*") if path.suffix in (".ts", ".tsx", ".html"))
SINKS = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|srcdoc|srcDoc|DOMParser|createContextualFragment)\b"
    r"|\bdocument\.write|\beval\(|\bnew Function\b|\bsetAttribute\(\s*[\"'](?:on|href|src)|javascript:"
)
OURS = re.compile(r"^(href\(|fileUrl\(|part\.href$|`\$\{API|link$|trust\.explorer\.replace\()")
"""Makers of addresses within our pages; a chart's part or link, made by one of them; and the explorer of the office's own settings."""


def links(source: str) -> list[str]:
    """What stands between the braces of every href and src that is no constant."""
    return [found.strip() for found in re.findall(r"\b(?:href|src|formAction)=\{([^}]*(?:\{[^}]*\}[^}]*)*)\}", source)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "web/src")))
def test_no_text_becomes_markup(path: Path) -> None:
    assert SINKS.findall(path.read_text()) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "web/src")))
def test_no_address_of_a_stranger_becomes_a_link(path: Path) -> None:
    assert [link for link in links(path.read_text()) if not OURS.match(link)] == []


@pytest.mark.parametrize(
    "line", ["<p dangerouslySetInnerHTML={{ __html: text }} />", "node.innerHTML = text", "eval(text)", 'a.setAttribute("href", uri)']
)
def test_a_way_around_would_be_seen(line: str) -> None:
    assert SINKS.search(line)


@pytest.mark.parametrize("line", ["<a href={model.dataUri}>", "<img src={record.url} />", "<a href={uri ?? href(x)}>"])
def test_a_strangers_link_would_be_seen(line: str) -> None:
    assert [link for link in links(line) if not OURS.match(link)]
