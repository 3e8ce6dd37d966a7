"""The leaf's form: the fast canonical writer against the RFC 8785 one, and records against everything that is not quite one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from oracle.audit.record import Previous, check_entry, encode_record, parse_record
from oracle.encoding import canonical_flat_json
from oracle.errors import EntryRejected, MalformedInput
from oracle.records import Bytes32, Entry, EntryKind
from tests.twins.logs import entry

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES = st.one_of(TEXT, st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.lists(TEXT, max_size=5))
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}(\.[a-z0-9_]{1,8}){1,3}", fullmatch=True)
ANY_ASCII = st.text(st.characters(max_codepoint=127), max_size=20)


@given(st.dictionaries(ANY_ASCII, VALUES, max_size=20))
def test_flat_json_is_rfc_8785(value: dict[str, Any]) -> None:
    assert canonical_flat_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("bad", [{"é": 1}, {"a": 1.5}, {"a": None}, {"a": 2**53}, {"a": {}}, {"a": "\ud800"}, {"\ud800": 1}])
def test_what_flat_json_refuses(bad: dict[str, Any]) -> None:
    with pytest.raises(MalformedInput):
        canonical_flat_json(bad)


@given(st.dictionaries(NAMES.map(lambda n: "test." + n), VALUES, max_size=20), st.integers(1, 2**53 - 1), st.booleans())
def test_records_round_trip(fields: dict[str, Any], sequence: int, is_linked: bool) -> None:
    made = entry(1, **fields)
    check_entry(made)
    previous = Previous(sequence, Bytes32(bytes(32))) if is_linked else None
    data = encode_record(made, "node-1", sequence, "2026-11-22T10:00:00.000001Z", previous)
    record = parse_record(data)
    assert record.fields == made.fields
    assert (record.kind, record.time, record.writer, record.sequence, record.previous) == (
        EntryKind.ERROR,
        made.time,
        "node-1",
        sequence,
        previous,
    )


RECORD = encode_record(entry(1, call=1), "node-1", 1, "2026-11-22T10:00:00.000001Z", Previous(0, Bytes32(bytes(32))))


@given(st.data())
def test_no_changed_byte_gives_the_same_record(data: st.DataObject) -> None:
    """A changed record is refused or is another one; no two byte strings are one record."""
    changed = bytearray(RECORD)
    position = data.draw(st.integers(0, len(RECORD) - 1))
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        assert parse_record(bytes(changed)) != parse_record(RECORD)
    except EntryRejected:
        return


@pytest.mark.parametrize("length", range(0, len(RECORD), 7))
def test_cut_records_are_refused(length: int) -> None:
    with pytest.raises(EntryRejected):
        parse_record(RECORD[:length])


def altered(**changes: Any) -> bytes:
    value = json.loads(RECORD)
    for name, new in changes.items():
        if new is ...:
            del value[name]
        else:
            value[name] = new
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b"[" * 70_000,
        b"\xff" + RECORD,
        RECORD + b"\n",
        b" " + RECORD,
        b"\xef\xbb\xbf" + RECORD,
        RECORD.replace(b":1,", b":1.0,"),
        RECORD.replace(b":1,", b":1e0,"),
        RECORD.replace(b'"tester"', b'"\\u0074ester"'),
        RECORD.replace(b'"audit.actor":"tester",', b'"audit.actor":"tester","audit.actor":"tester",'),
        RECORD.replace(b'"audit.actor":"tester",', b"") + b"",
        altered(**{"audit.record": "affidavit/record@1"}),
        altered(**{"audit.record": "affidavit/record@3"}),
        altered(**{"audit.sealed": "0x00"}),
        altered(**{"audit.sealed": 7}),
        altered(**{"audit.retention.class": "A B"}),
        altered(**{"audit.retention.class": 7}),
        altered(**{"audit.record": ...}),
        altered(**{"audit.kind": "gossip"}),
        altered(**{"audit.kind": ["error"]}),
        altered(**{"audit.kind": 7}),
        altered(**{"audit.kind": "result"}),
        altered(**{"audit.time": "now"}),
        altered(**{"audit.log.time": 7}),
        altered(**{"audit.writer": "A B"}),
        altered(**{"audit.writer": 7.5}),
        altered(**{"audit.sequence.writer": 0}),
        altered(**{"audit.sequence.writer": True}),
        altered(**{"audit.sequence.writer": "1"}),
        altered(**{"audit.call.previous_index": ...}),
        altered(**{"audit.call.previous_leaf": ...}),
        altered(**{"audit.call.previous_leaf": "0x00"}),
        altered(**{"audit.call.previous_index": -1}),
        altered(**{"audit.nested": {"a": 1}}),
        altered(**{"audit.none": None}),
        altered(**{"audit.big": 2**60}),
        altered(**{"audit.nan": float("nan")}),
        altered(**{"Audit.upper": 1}),
    ],
)
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(EntryRejected):
        parse_record(data)


def test_bodies_are_no_part_of_the_record() -> None:
    made = Entry(EntryKind.ERROR, entry(1).time, entry(1).fields, {})
    assert encode_record(made, "w", 1, made.time, None) == encode_record(entry(1), "w", 1, made.time, None)
