"""The leaf: one flat JSON object in RFC 8785 form, made from a writer's entry and the log's stamps, and read back by an auditor.

    {"audit.call.previous_index":40,"audit.call.previous_leaf":"0x…","audit.kind":"result","audit.log.time":"2026-11-22T10:00:00.004211Z",
     "audit.record":"affidavit/record@2","audit.request_id":"0x…", … ,"audit.sequence.writer":17,"audit.time":"…","audit.writer":"node-1"}

Stamped by the log: `audit.record`, `audit.kind` and `audit.time` (from the entry), `audit.log.time`, `audit.writer`,
`audit.sequence.writer` (1, 2, 3 … for each writer, so that a gap shows), and the link to the previous record of the same call.
Where the entry seals fields, `audit.sealed` is the root over them (`oracle.audit.seal`); where it has content at all,
`audit.retention.class` says how long that is kept. Everything else is the writer's (`oracle.audit.vocabulary`). Names follow
OpenTelemetry (`gen_ai.*`, `error.*`) where one exists. Values are strings, integers
below 2^53, booleans, or lists of strings. Field names sort as RFC 8785 says; a record has exactly one encoding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from oracle.audit.content import find_body_digest
from oracle.audit.seal import PLACES
from oracle.audit.tiles import MAX_ENTRY_BYTES
from oracle.audit.tree import sha256
from oracle.audit.vocabulary import SEALED_NAMES
from oracle.encoding import canonical_flat_json, keccak256, parse_bytes32, parse_hex, parse_uint, to_hex
from oracle.errors import EntryRejected, InvariantBroken, MalformedInput, TooLarge
from oracle.records import Bytes32, Entry, EntryKind, FieldValue

FORMAT = "affidavit/record@2"
MAX_FIELDS = 128
MAX_STRING = 8192  # characters
MAX_LIST = 256
MAX_BODY_BYTES = 1 << 20
MAX_BODIES = 16
MAX_SUBJECT = 512  # characters
_STAMP_BYTES = 1024  # room the stamps may need

REQUEST_ID = "audit.request_id"
CALL_ID = "audit.call_id"

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
_TIME = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z")
_WRITER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

_STAMPS = {"audit.record", "audit.kind", "audit.time", "audit.log.time", "audit.writer", "audit.sequence.writer"}
_LINK = {"audit.call.previous_index", "audit.call.previous_leaf"}
_KEPT = {"audit.sealed", "audit.retention.class"}

_STAMPED = _STAMPS | _LINK | _KEPT
_KINDS = frozenset(EntryKind)
_CALL = (REQUEST_ID, "audit.model_id", "audit.input_digest", "audit.policy", "audit.chain_id", "audit.coprocessor")
REQUIRED: dict[EntryKind, tuple[str, ...]] = {
    EntryKind.INTENT: (*_CALL, "audit.actor", "audit.request.requester", "audit.request.nonce", "audit.request.source"),
    EntryKind.RESULT: (*_CALL, "audit.actor", "audit.output_digest", "audit.claim_digest", "audit.signer", "audit.intent.index"),
    EntryKind.ERROR: ("audit.actor", "error.type"),
    EntryKind.RECEIPT: (*_CALL, "audit.actor", "audit.output_digest", "audit.claim_digest", "audit.transaction", "audit.block_hash"),
    EntryKind.ANCHOR: ("audit.actor", "audit.log_id", "audit.anchor.size", "audit.anchor.root", "audit.transaction"),
}
REQUIRED |= {
    EntryKind.OVERRIDE: ("audit.actor", "audit.subject.index"),
    EntryKind.REVIEW: ("audit.actor", "audit.review.action"),
    EntryKind.DISCLOSURE: ("audit.actor", "audit.disclosure.action"),
    EntryKind.HOLD: ("audit.actor", "audit.hold.id", "audit.hold.action"),
    EntryKind.ERASURE: ("audit.actor", "audit.erasure.id", "audit.erasure.cause"),
    EntryKind.CLOCK: ("audit.actor", "audit.clock.source"),
    EntryKind.CONFIG: ("audit.actor",),
    EntryKind.KEY_ROTATION: ("audit.actor",),
}
REQUIRED_OUTSIDE: dict[EntryKind, tuple[str, ...]] = {
    EntryKind.INTENT: ("audit.actor", "gen_ai.operation.name"),
    EntryKind.RESULT: ("audit.actor", "audit.intent.index", "audit.outcome"),
    EntryKind.ERROR: ("audit.actor", "error.type"),
}
"""The same for calls outside the chain, those with an `audit.call_id`."""

Field = FieldValue


@dataclass(frozen=True, slots=True)
class Previous:
    """The record of the same call before this one."""

    index: int
    leaf_hash: Bytes32

    def __str__(self) -> str:
        return f"entry {self.index} with leaf {to_hex(self.leaf_hash)}"


@dataclass(frozen=True, slots=True)
class Record:
    """A leaf, parsed. `fields` are the writer's, without the stamps."""

    kind: EntryKind
    time: str
    log_time: str
    writer: str
    sequence: int
    previous: Previous | None
    fields: dict[str, Field]
    sealed: Bytes32 | None = None  # the root over its sealed fields
    retention: str | None = None  # the class its content is kept by

    @property
    def call_id(self) -> Bytes32 | None:
        """The call this record belongs to, on chain or not, if any."""
        return read_call_id(self.fields)

    @property
    def request_id(self) -> Bytes32 | None:
        """The call on chain this record belongs to, if any."""
        return None if REQUEST_ID not in self.fields else read_call_id(self.fields)

    def text(self, name: str) -> str:
        """A string field. Raises EntryRejected where it is missing or something else."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise EntryRejected(f"{self.kind} record: {name}", "a string", _describe(value))
        return value

    def integer(self, name: str) -> int:
        """An integer field. Raises EntryRejected where it is missing or something else."""
        value = self.fields.get(name)
        if type(value) is not int:
            raise EntryRejected(f"{self.kind} record: {name}", "an integer", _describe(value))
        return value

    def digest(self, name: str) -> Bytes32:
        """A field of 32 bytes in hex. Raises EntryRejected."""
        try:
            return parse_bytes32(self.fields.get(name), name)
        except MalformedInput as error:
            raise EntryRejected(f"{self.kind} record: {name}", error.expected, error.got) from error


def _describe(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def read_call_id(fields: Mapping[str, Field]) -> Bytes32 | None:
    """The id of the call that fields belong to: of a request on chain, or the one its recorder gave it. Raises MalformedInput."""
    names = [name for name in (REQUEST_ID, CALL_ID) if name in fields]
    if len(names) == 2:
        raise MalformedInput("entry fields", f"one of {REQUEST_ID} and {CALL_ID}", "both")
    return parse_bytes32(fields[names[0]], names[0]) if names else None


def require_writer(name: str) -> str:
    """Writer names are short and plain. Raises EntryRejected."""
    if not _WRITER.fullmatch(name):
        raise EntryRejected("writer name", "up to 64 of a–z, 0–9, dot, dash, underscore", repr(name)[:80])
    return name


def require_retention(name: object) -> str:
    """Names of retention classes are short and plain. Raises EntryRejected."""
    if not isinstance(name, str) or not _WRITER.fullmatch(name):
        raise EntryRejected("retention class", "up to 64 of a–z, 0–9, dot, dash, underscore", repr(name)[:80])
    return name


def required_fields(kind: EntryKind, fields: Mapping[str, Field]) -> tuple[str, ...]:
    """Without which a record of that kind would tell an auditor nothing; of a call outside the chain other ones."""
    required = REQUIRED.get(kind, ())
    return REQUIRED_OUTSIDE.get(kind, required) if CALL_ID in fields else required


# ---- at the log's door ------------------------------------------------------------------------------------------------------------
def check_entry(entry: Entry) -> Bytes32:
    """Raises EntryRejected, MalformedInput or TooLarge for an entry the log does not take.

    Returns what an idempotency key stands for in the clear, a digest of kind and public fields. The time is not in it, a retry has its
    own. Sealed fields are not either: a digest of them would outlive their erasure. Those are held against each other while they are
    kept.
    """
    _check_time(entry.time, "entry time")
    _check_fields(entry.fields)
    _check_sealed(entry)
    if taken := (entry.fields.keys() | entry.sealed.keys()) & (_STAMPS | _LINK | _KEPT):
        raise EntryRejected("entry fields", "none that the log stamps", sorted(taken)[0])
    if open_names := entry.fields.keys() & SEALED_NAMES.keys():
        raise EntryRejected(f"field {sorted(open_names)[0]}", "a sealed field", "one in the clear")
    read_call_id(entry.fields)
    if missing := [name for name in required_fields(entry.kind, entry.fields) if name not in entry.fields]:
        raise EntryRejected(f"{entry.kind} entry", f"the field {missing[0]}", "nothing")
    _check_bodies(entry)
    data = canonical_flat_json({"kind": str(entry.kind)} | entry.fields)
    if len(data) > MAX_ENTRY_BYTES - _STAMP_BYTES:
        raise TooLarge("entry", f"at most {MAX_ENTRY_BYTES - _STAMP_BYTES} bytes", len(data))
    return sha256(data)


def _check_time(value: object, what: str) -> None:
    if not isinstance(value, str) or not _TIME.fullmatch(value) or not _is_date(value):
        raise EntryRejected(what, "RFC 3339 in UTC with microseconds", repr(value)[:40])


def _is_date(text: str) -> bool:
    """Whether the calendar has it: the form alone lets 30 February through."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_fields(fields: object) -> None:
    if not isinstance(fields, dict) or len(fields) > MAX_FIELDS:
        raise EntryRejected("entry fields", f"an object of at most {MAX_FIELDS} fields", type(fields).__name__)
    for name, value in fields.items():
        if not isinstance(name, str) or not _is_name(name):
            raise EntryRejected("field name", "dotted lower-case words", repr(name)[:120])
        if not _is_value(value):
            raise EntryRejected(f"field {name}", "a short string, an integer below 2^53, a boolean or a list of strings", repr(value)[:60])


@lru_cache(4096)
def _is_name(name: str) -> bool:
    return len(name) <= 100 and _NAME.fullmatch(name) is not None


def _is_value(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_STRING and _is_unicode(value)
    if isinstance(value, list):
        return len(value) <= MAX_LIST and all(isinstance(item, str) and _is_value(item) for item in value)
    return isinstance(value, int) and abs(value) < 1 << 53


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can write it: lone surrogates, which JSON can spell, it cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_sealed(entry: Entry) -> None:
    _check_fields(entry.sealed)
    if len(entry.sealed) > PLACES:
        raise TooLarge("sealed fields", f"at most {PLACES}", len(entry.sealed))
    if twice := entry.sealed.keys() & entry.fields.keys():
        raise EntryRejected("sealed fields", "names that are not public fields too", sorted(twice)[0])
    if not isinstance(entry.subject, str) or len(entry.subject) > MAX_SUBJECT or not _is_unicode(entry.subject):
        raise EntryRejected("subject", f"text of at most {MAX_SUBJECT} characters", repr(entry.subject)[:40])
    if entry.retention:
        require_retention(entry.retention)


def _check_bodies(entry: Entry) -> None:
    if len(entry.bodies) > MAX_BODIES:
        raise TooLarge("entry bodies", f"at most {MAX_BODIES}", len(entry.bodies))
    for name, body in entry.bodies.items():
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"body {name}", f"at most {MAX_BODY_BYTES} bytes", len(body))
        if (expected := find_body_digest(entry.fields | entry.sealed, name)) != to_hex(keccak256(body)):
            raise EntryRejected(f"body {name}", f"bytes with the digest {expected}", to_hex(keccak256(body)))


# ---- stamping and reading -----------------------------------------------------------------------------------------------------------
def encode_record(
    entry: Entry,
    writer: str,
    sequence: int,
    log_time: str,
    previous: Previous | None,
    sealed: Bytes32 | None = None,
    retention: str | None = None,
) -> bytes:
    """The leaf of a checked entry. `sealed` is the root over its sealed fields, `retention` the class of what is kept beside it."""
    stamps: dict[str, Field] = {
        "audit.record": FORMAT,
        "audit.kind": str(entry.kind),
        "audit.time": entry.time,
        "audit.log.time": log_time,
        "audit.writer": writer,
        "audit.sequence.writer": sequence,
    }
    if previous is not None:
        stamps |= {"audit.call.previous_index": previous.index, "audit.call.previous_leaf": to_hex(previous.leaf_hash)}
    if sealed is not None:
        stamps["audit.sealed"] = to_hex(sealed)
    if retention is not None:
        stamps["audit.retention.class"] = retention
    data = canonical_flat_json(entry.fields | stamps)
    if len(data) > MAX_ENTRY_BYTES:
        raise InvariantBroken(f"a checked entry became a record of {len(data)} bytes")
    return data


def parse_record(data: bytes) -> Record:
    """The record of a leaf. Raises EntryRejected for anything `encode_record` would not write."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise EntryRejected("record", "a JSON object", str(error)[:80]) from error
    _check_fields(value)
    if canonical_flat_json(value) != data:
        raise EntryRejected("record", "a JSON object in RFC 8785 form", "another form")
    return _read_record(value)


def _read_record(value: dict[str, Any]) -> Record:
    if missing := _STAMPS - value.keys():
        raise EntryRejected("record", f"the field {sorted(missing)[0]}", "nothing")
    if value["audit.record"] != FORMAT:
        raise EntryRejected("record format", FORMAT, value["audit.record"])
    if not isinstance(value["audit.kind"], str) or value["audit.kind"] not in _KINDS:
        raise EntryRejected("record kind", "a known kind", value["audit.kind"])
    _check_time(value["audit.time"], "record time")
    _check_time(value["audit.log.time"], "record log time")
    sequence = value["audit.sequence.writer"]
    if type(sequence) is not int or sequence < 1:
        raise EntryRejected("record sequence", "an integer from 1", repr(sequence)[:40])
    fields = {name: v for name, v in value.items() if name not in _STAMPED}
    kind = EntryKind(value["audit.kind"])
    if lacking := [name for name in required_fields(kind, fields) if name not in fields]:
        raise EntryRejected(f"{kind} record", f"the field {lacking[0]}", "nothing")
    writer = require_writer(str(value["audit.writer"]))
    sealed, retention = _read_kept(value)
    return Record(kind, value["audit.time"], value["audit.log.time"], writer, sequence, _read_previous(value), fields, sealed, retention)


def _read_kept(value: dict[str, Any]) -> tuple[Bytes32 | None, str | None]:
    retention = value.get("audit.retention.class")
    if retention is not None:
        require_retention(retention)
    try:
        return None if "audit.sealed" not in value else parse_bytes32(value["audit.sealed"], "audit.sealed"), retention
    except MalformedInput as error:
        raise EntryRejected(error.what, error.expected, error.got) from error


def _read_previous(value: dict[str, Any]) -> Previous | None:
    if not _LINK & value.keys():
        return None
    try:
        index = parse_uint(value.get("audit.call.previous_index"), "audit.call.previous_index", 53)
        return Previous(index, parse_bytes32(value.get("audit.call.previous_leaf"), "audit.call.previous_leaf"))
    except MalformedInput as error:
        raise EntryRejected(error.what, error.expected, error.got) from error


# ---- JSON form of an entry, between client and server ---------------------------------------------------------------------------------
def entry_to_json(entry: Entry) -> dict[str, Any]:
    value: dict[str, Any] = {"kind": str(entry.kind), "time": entry.time, "fields": entry.fields}
    value["bodies"] = {name: to_hex(body) for name, body in entry.bodies.items()}
    optional = {"sealed": entry.sealed, "subject": entry.subject, "retention": entry.retention}
    return value | {name: item for name, item in optional.items() if item}


def entry_from_json(value: Mapping[str, Any]) -> Entry:
    """Raises EntryRejected or MalformedInput. What it returns still has to pass `check_entry`."""
    if not isinstance(value["kind"], str) or value["kind"] not in _KINDS:
        raise EntryRejected("entry kind", "one of " + ", ".join(EntryKind), repr(value["kind"])[:40])
    sealed = value.get("sealed", {})
    if not isinstance(value["fields"], dict) or not isinstance(value["bodies"], dict) or not isinstance(sealed, dict):
        raise EntryRejected("entry", "objects `fields`, `bodies` and `sealed`", "another form")
    subject, retention = value.get("subject", ""), value.get("retention", "")
    bodies = {str(name): parse_hex(text, f"body {str(name)[:60]}") for name, text in value["bodies"].items()}
    return Entry(EntryKind(value["kind"]), value["time"], value["fields"], bodies, sealed, subject, retention)
