"""A call told in plain words, from its records and nothing else: what was asked, of which model, how it ended, how it was verified, when.

What writers wrote is shown with its control characters escaped: a terminal must not obey a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from oracle.audit.content import Content
from oracle.audit.index import Found
from oracle.audit.record import Record
from oracle.audit.view import LoggedRecord
from oracle.encoding import to_hex
from oracle.printing import printable
from oracle.records import EntryKind, FieldValue

Pair = tuple[str, str]

VERDICTS = {
    "unverified": "by nobody: the answer is the writer's word alone",
    "signed": "operators signed it, and the contract took their signatures",
    "attested": "an enclave attested it",
    "proven": "a proof shows that the model gives this answer",
    "rejected": "verification failed: this answer is not the model's",
    "replaced": "the first answer was proven wrong within its time, and another stands",
}
OUTCOMES = {
    "open": "neither a result nor an error was logged",
    "ok": "answered",
    "error": "failed",
    "refused": "the model refused",
    "cancelled": "cancelled before it was answered",
}
_KINDS = {
    EntryKind.INTENT: "what was asked",
    EntryKind.RESULT: "what was answered",
    EntryKind.ERROR: "what went wrong",
    EntryKind.RECEIPT: "what the chain decided",
    EntryKind.ANCHOR: "a head of this log, anchored on chain",
    EntryKind.CLOCK: "what a clock is worth",
    EntryKind.OVERRIDE: "a person decided otherwise",
    EntryKind.REVIEW: "somebody looked at records",
    EntryKind.DISCLOSURE: "content was asked for or shown",
    EntryKind.HOLD: "content must be kept",
    EntryKind.ERASURE: "content was destroyed",
}
_CONTEXT = ("audit.system", "audit.system.version", "audit.tenant", "audit.purpose", "audit.risk_class")


def tell_call(found: Found, records: Sequence[LoggedRecord]) -> Iterator[Pair]:
    """Name and words, line by line, of the call that these records are all of; of a record of no call, what that is."""
    ordered = sorted(records, key=lambda logged: logged.index)
    if found.call_id is None:
        yield "record", f"{found.index}: {describe_kind(ordered[0].record)}"
        return
    yield "call", found.call_id
    yield "asked", printable(_asked(found, ordered[0].record))
    yield "ended", _ended(found)
    yield "verified", f"{found.verdict}: {VERDICTS.get(str(found.verdict), 'a word this version does not know')}"
    if found.transaction:
        yield "on chain", f"transaction {found.transaction}"
    for logged in ordered:
        yield f"record {logged.index}", f"{logged.record.time}  {describe_kind(logged.record)}, by {logged.record.writer}"


def _asked(found: Found, first: Record) -> str:
    who = found.caller or "somebody the record does not name"
    context = ", ".join(f"{name.removeprefix('audit.')} {first.fields[name]}" for name in _CONTEXT if name in first.fields)
    return f"{found.model or 'a model the record does not name'}, by {who}" + (f" ({context})" if context else "")


def _ended(found: Found) -> str:
    words = f"{found.outcome}: {OUTCOMES.get(str(found.outcome), 'a word this version does not know')}"
    return words if found.latency_microseconds is None else f"{words}, after {found.latency_microseconds / 1_000_000:.3f} s"


def describe_kind(record: Record) -> str:
    """A record's kind with what that means."""
    words = _KINDS.get(record.kind)
    return str(record.kind) if words is None else f"{record.kind}: {words}"


def tell_record(logged: LoggedRecord, content: Content | None) -> Iterator[Pair]:
    """One record: its place, its times, every public field; sealed fields and bodies as far as they are shown."""
    record = logged.record
    yield "leaf", to_hex(logged.leaf_hash)
    yield "writer", f"{record.writer}, its record {record.sequence}"
    yield "time", f"{record.time} by the writer, {_later(record.time, record.log_time)} logged"
    for name, value in sorted(record.fields.items()):
        yield name, _show(value)
    if record.sealed is not None and (content is None or content.sealed is None):
        yield "sealed fields", "not shown here, or erased"
    if content is not None and content.sealed is not None:
        for name, sealed in sorted(content.sealed.values.items()):
            yield f"{name} (sealed)", _show(sealed)
    for name, body in sorted(({} if content is None else content.bodies).items()):
        yield f"{name} (body)", _show_body(body)


def _later(before: str, after: str) -> str:
    seconds = (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()
    return f"{seconds:.3f} s later" if seconds >= 0 else f"{-seconds:.3f} s before that"


def _show(value: FieldValue) -> str:
    return printable(", ".join(value) if isinstance(value, list) else str(value))


def _show_body(body: bytes) -> str:
    """Text where it is text, else hex."""
    try:
        return printable(body.decode(), keep="\n")
    except UnicodeDecodeError:
        return to_hex(body)
