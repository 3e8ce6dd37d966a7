"""What the log's door refuses of sealed fields, persons and retention, and what a reader refuses of content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.audit.content import Content, check_content
from oracle.audit.record import MAX_SUBJECT, check_entry
from oracle.audit.retention import MAX_DAYS, parse_retention
from oracle.audit.seal import Sealed
from oracle.errors import ConfigRejected, EntryRejected, MalformedInput, TooLarge
from tests.twins.logs import entry, open_log, secret_entry

GOOD = secret_entry(1, call=7)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"fields": GOOD.fields | {"audit.user": "ann"}}, EntryRejected),  # a name that may only be sealed
        ({"fields": GOOD.fields | {"a.b": 1}, "sealed": {"a.b": 1}}, EntryRejected),
        ({"sealed": {"audit.sealed": "0x00"}}, EntryRejected),
        ({"sealed": {"audit.writer": "other"}}, EntryRejected),
        ({"fields": GOOD.fields | {"audit.retention.class": "x"}}, EntryRejected),
        ({"sealed": {"A b": 1}}, EntryRejected),
        ({"sealed": {"a.b": {}}}, EntryRejected),
        ({"sealed": {f"a.b{i}": i for i in range(17)}, "bodies": {}}, TooLarge),
        ({"subject": "x" * (MAX_SUBJECT + 1)}, EntryRejected),
        ({"subject": "\ud800"}, EntryRejected),
        ({"subject": 7}, EntryRejected),
        ({"retention": "A B"}, EntryRejected),
        ({"bodies": {"gen_ai.input.messages.digest": b"other"}}, EntryRejected),
        ({"fields": GOOD.fields | {"audit.call_id": "0x" + "07" * 32}}, MalformedInput),  # of two calls at once
    ],
)
def test_what_is_refused(change: Any, error: type[Exception]) -> None:
    check_entry(GOOD)
    with pytest.raises(error):
        check_entry(replace(GOOD, **change))


def test_a_class_that_the_log_does_not_have(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with pytest.raises(EntryRejected, match="standard, brief"):
        log.append("w", replace(GOOD, retention="another"))
    log.close()


@pytest.mark.parametrize(
    "classes", [[], ["a"], ["a:0"], ["a:-1"], [f"a:{MAX_DAYS + 1}"], ["a:1", "a:2"], ["A B:1"], ["a:1.5"], [":1"], ["a:²"]]
)
def test_malformed_classes(classes: list[str]) -> None:
    with pytest.raises(ConfigRejected):
        parse_retention(classes)


def test_content_that_is_not_the_records() -> None:
    sealed, other = Sealed.of({"a.b": "x"}), Sealed.of({"a.b": "x"})
    check_content(Content(sealed), {}, sealed.root)
    for content, fields, root in (
        (Content(other), {}, sealed.root),
        (Content(sealed), {}, None),
        (Content(None, {"a.c": b"body"}), {}, None),
        (Content(None, {"a.c": b"body"}), {"a.c": "0x" + "00" * 32}, None),
        (Content(sealed, {"a.b": b"x"}), {}, sealed.root),
    ):
        with pytest.raises(EntryRejected):
            check_content(content, fields, root)


def test_public_entries_need_none_of_it() -> None:
    check_entry(entry(1))
