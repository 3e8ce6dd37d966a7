"""No field is written that an auditor cannot look up."""

from __future__ import annotations

import re
from pathlib import Path

from oracle.audit.vocabulary import PUBLIC_NAMES, SEALED_NAMES, render_page

ROOT = Path(__file__).parents[2]
NAME = re.compile(r'"((?:audit|gen_ai|error)\.[a-z0-9_.]*[a-z0-9_])"')
WRITERS = ("audit", "ingest", "node", "office", "pipeline", "relay")
NO_FIELDS = {
    "audit.erasure",  # beginnings of names
    "audit.erasure.requested",
    "gen_ai.input.messages",  # names of bodies; their digests are fields
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
}
READ_ELSEWHERE = {"otel.py", "openai_wire.py", "vocabulary.py"}  # names of OpenTelemetry's events, read and not written


def test_every_field_that_is_written_has_a_meaning() -> None:
    files = [file for name in WRITERS for file in (ROOT / "oracle" / name).rglob("*.py") if file.name not in READ_ELSEWHERE]
    written = {name for file in files for name in NAME.findall(file.read_text())}
    assert len(written) > 100
    assert written - PUBLIC_NAMES.keys() - SEALED_NAMES.keys() - NO_FIELDS == set()


def test_a_name_is_public_or_sealed_and_in_its_place() -> None:
    assert not PUBLIC_NAMES.keys() & SEALED_NAMES.keys()
    assert list(PUBLIC_NAMES) == sorted(PUBLIC_NAMES)
    assert list(SEALED_NAMES) == sorted(SEALED_NAMES)


def test_the_page_is_the_vocabulary() -> None:
    assert (ROOT / "docs/fields.md").read_text() == render_page()
