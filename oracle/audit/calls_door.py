"""Recording model calls over HTTP, for applications in any language: begin before the model runs, end before its answer is used.

POST /calls                     {"model", "input", …}                         201 {"call_id", "index", "leaf_hash", "tree_size"}
POST /calls/{call_id}/result    {"output", "usage", …}                        201, the same
POST /calls/{call_id}/error     {"type", "outcome", …}                        201, the same

A writer's token, as for `POST /append`; each answer comes when a signed checkpoint covers the record. `Idempotency-Key` on the first
makes a repeated request begin the call once; a call ends once, so its end needs no key. What was sent is sealed (`oracle.audit.calls`).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from oracle.audit.access import Access
from oracle.audit.calls import (
    INPUT,
    INSTRUCTIONS,
    OUTPUT,
    REPEATED,
    CallerPlace,
    Outcome,
    Told,
    call_error_entry,
    call_intent_entry,
    call_result_entry,
    encode_content,
    end_key,
    intent_key,
    new_call_id,
    parameter_fields,
)
from oracle.audit.log import Log
from oracle.audit.metrics import LogMetrics
from oracle.audit.record import Record, parse_record
from oracle.encoding import keccak256, parse_bytes32, parse_uint, to_hex
from oracle.errors import AffidavitError, EntryRejected, MalformedInput, RequestUnknown
from oracle.records import Appended, Bytes32, Entry, FieldValue
from oracle.wire import require_fields

_EITHER = {"subject", "retention", "fields", "sealed", "time"}
_BEGIN = _EITHER | {"operation", "provider", "system", "actor", "input", "instructions", "parameters", "user", "session", "caller"}
_END = _EITHER | {"output", "model", "response_id", "usage", "finish_reasons", "tool_names", "latency_microseconds"}
_STREAM = re.compile(r"0x[0-9a-f]{16,64}")
_KEY = re.compile(r"[\x21-\x7e]{1,128}")

Authorization = Annotated[str | None, Header(include_in_schema=False)]


def add_calls(app: FastAPI, log: Log, access: Access, metrics: LogMetrics) -> None:
    """The three routes, on the log's application."""

    async def append(writer: str, entry: Entry, key: str) -> Appended:
        access.require_scope(writer, entry)
        try:
            appended = await asyncio.wrap_future(log.submit(writer, entry, key))
        except AffidavitError as error:
            metrics.appends.labels(entry.kind, type(error).__name__).inc()
            raise
        metrics.appends.labels(entry.kind, "ok").inc()
        return appended

    @app.post("/calls", status_code=201)
    async def begin(
        request: Request, authorization: Authorization = None, idempotency_key: Annotated[str | None, Header()] = None
    ) -> JSONResponse:
        """Says that a model is about to be asked. Answers when that is in the log: ask the model only then."""
        writer = access.writer(authorization)
        told = require_fields(parse_strict_json(await request.body()), "call", {"model"}, _BEGIN)
        call_id = new_call_id() if idempotency_key is None else _named_call(writer, idempotency_key)
        entry = call_intent_entry(call_id, _read_begin(told, writer), _moment(told), _read_caller(told))
        return _placed(call_id, await append(writer, entry, intent_key(call_id)))

    @app.post("/calls/{call_id}/result", status_code=201)
    async def result(call_id: str, request: Request, authorization: Authorization = None) -> JSONResponse:
        """Says what the model answered. Use the answer only after this one."""
        writer = access.writer(authorization)
        told = require_fields(parse_strict_json(await request.body()), "result", set(), _END)
        wanted = parse_bytes32(call_id, "call id")
        place, intent = await run_in_threadpool(_find_intent, log, writer, wanted)
        entry = call_result_entry(wanted, place, _read_end(told, intent), _moment(told))
        return _placed(wanted, await append(writer, entry, end_key(wanted)))

    @app.post("/calls/{call_id}/error", status_code=201)
    async def error(call_id: str, request: Request, authorization: Authorization = None) -> JSONResponse:
        """Says that there was no answer, and why."""
        writer = access.writer(authorization)
        told = require_fields(parse_strict_json(await request.body()), "error", {"type"}, _END | {"outcome", "message"})
        wanted = parse_bytes32(call_id, "call id")
        place, intent = await run_in_threadpool(_find_intent, log, writer, wanted)
        outcome = _word(told.get("outcome", "error"), "outcome", {Outcome.ERROR, Outcome.REFUSED, Outcome.CANCELLED})
        ending = _read_end(told, intent)
        entry = call_error_entry(wanted, place, ending, _moment(told), _text(told["type"], "type"), Outcome(outcome))
        return _placed(wanted, await append(writer, entry, end_key(wanted)))


def _named_call(writer: str, key: str) -> Bytes32:
    if not _KEY.fullmatch(key):
        raise MalformedInput("Idempotency-Key", "1 to 128 printable ASCII characters", repr(key)[:40])
    return keccak256(f"call of {writer}: {key}".encode())


def _placed(call_id: Bytes32, place: Appended) -> JSONResponse:
    answer = {"call_id": to_hex(call_id), "index": place.index, "leaf_hash": to_hex(place.leaf_hash), "tree_size": place.tree_size}
    return JSONResponse(answer, 201, headers={"location": f"/calls/{to_hex(call_id)}"})


def _find_intent(log: Log, writer: str, call_id: Bytes32) -> tuple[Appended, Record]:
    """The intent of this writer's call. Raises RequestUnknown, also for a call of somebody else."""
    with log.entries.transaction() as connection:
        row = log.entries.find_keys(connection, {writer}, {intent_key(call_id)}).get((writer, intent_key(call_id)))
    if row is None:
        raise RequestUnknown("call", "one that this writer began", to_hex(call_id))
    return Appended(row.index, row.leaf_hash, row.index + 1), parse_record(row.record)


# ---- bodies -----------------------------------------------------------------------------------------------------------------------------
def parse_strict_json(data: bytes) -> object:
    """UTF-8 alone, every field once, no NaN: whoever reads the same bytes elsewhere reads the same. Raises MalformedInput."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedInput("body", "JSON in UTF-8", type(error).__name__) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise MalformedInput("body", "every field once", f"{twice!r:.60} twice")
    return fields


def _no_constant(name: str) -> object:
    raise MalformedInput("body", "JSON numbers", name)


def _read_begin(told: Mapping[str, Any], writer: str) -> Told:
    texts = {
        "audit.actor": _text(told.get("actor", writer), "actor"),
        "audit.system": _text(told.get("system", ""), "system"),
        "gen_ai.operation.name": _text(told.get("operation", "chat"), "operation"),
        "gen_ai.provider.name": _text(told.get("provider", ""), "provider"),
        "gen_ai.request.model": _text(told["model"], "model"),
    }
    people = {"audit.user": _text(told.get("user", ""), "user"), "gen_ai.conversation.id": _text(told.get("session", ""), "session")}
    fields = _unless_empty(texts) | {"audit.capture": "http"} | parameter_fields(_table(told, "parameters"))
    content = _content(told, {"input": INPUT, "instructions": INSTRUCTIONS})
    subject = _text(told.get("subject", people["audit.user"]), "subject")
    retention = _text(told.get("retention", ""), "retention")
    return Told(_merged(fields, told, "fields"), _merged(_unless_empty(people), told, "sealed"), content, subject, retention)


def _read_end(told: Mapping[str, Any], intent: Record) -> Told:
    usage = require_fields(told.get("usage", {}), "usage", set(), {"input_tokens", "output_tokens"})
    fields: dict[str, FieldValue] = {name: intent.fields[name] for name in REPEATED if name in intent.fields}
    texts = {"gen_ai.response.model": _text(told.get("model", ""), "model"), "gen_ai.response.id": _text(told.get("response_id", ""), "id")}
    fields |= _unless_empty(texts) | {f"gen_ai.usage.{name}": parse_uint(value, name, 53) for name, value in usage.items()}
    for name, field in (("finish_reasons", "gen_ai.response.finish_reasons"), ("tool_names", "audit.tool_names")):
        if name in told:
            fields[field] = _texts(told[name], name)
    if "latency_microseconds" in told:
        fields["audit.latency_microseconds"] = parse_uint(told["latency_microseconds"], "latency_microseconds", 53)
    message = _unless_empty({"error.message": _text(told.get("message", ""), "message")[:1000]})
    retention = _text(told.get("retention", intent.retention or ""), "retention")
    content = _content(told, {"output": OUTPUT})
    subject = _text(told.get("subject", ""), "subject")
    return Told(_merged(fields, told, "fields"), _merged(message, told, "sealed"), content, subject, retention)


def _read_caller(told: Mapping[str, Any]) -> CallerPlace | None:
    if "caller" not in told:
        return None
    caller = require_fields(told["caller"], "caller", {"stream", "sequence"})
    if not isinstance(caller["stream"], str) or not _STREAM.fullmatch(caller["stream"]):
        raise MalformedInput("caller.stream", "0x and 16 to 64 hexadecimal digits, random for each start of the process", "another form")
    sequence = parse_uint(caller["sequence"], "caller.sequence", 53)
    if sequence == 0:
        raise MalformedInput("caller.sequence", "1, 2, 3 …", 0)
    return CallerPlace(caller["stream"], sequence)


def _moment(told: Mapping[str, Any]) -> datetime:
    """When it happened, as the application says; now, where it does not. Raises MalformedInput."""
    if "time" not in told:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(told["time"])
        in_utc = moment.astimezone(UTC)  # which the calendar may not have, for a time at one of its ends
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedInput("time", "RFC 3339", repr(told["time"])[:40]) from error
    if moment.tzinfo is None:
        raise MalformedInput("time", "RFC 3339 with an offset", repr(told["time"])[:40])
    return in_utc


def _content(told: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, bytes]:
    return {field: encode_content(told[name]) for name, field in names.items() if told.get(name) is not None}


def _merged(fields: Mapping[str, FieldValue], told: Mapping[str, Any], name: str) -> dict[str, FieldValue]:
    """The caller's own fields beside ours. Raises EntryRejected where one would take the place of ours."""
    own = _table(told, name)
    if twice := own.keys() & fields.keys():
        raise EntryRejected(f"{name}: {sorted(twice)[0]}", "none that this door writes", "one")
    return {**fields, **own}


def _table(told: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = told.get(name, {})
    if not isinstance(value, dict):
        raise MalformedInput(name, "an object", type(value).__name__)
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise MalformedInput(what, "text", type(value).__name__)
    return value


def _texts(value: object, what: str) -> list[str]:
    if not isinstance(value, list):
        raise MalformedInput(what, "a list of texts", type(value).__name__)
    return [_text(item, what) for item in value]


def _word(value: object, what: str, words: set[Outcome]) -> str:
    if not isinstance(value, str) or value not in words:
        raise MalformedInput(what, "one of " + ", ".join(sorted(words)), repr(value)[:40])
    return value


def _unless_empty(texts: Mapping[str, str]) -> dict[str, FieldValue]:
    return {name: text for name, text in texts.items() if text}
