"""A model call outside the chain, as records: an intent before the model runs, a result or an error before its answer is used.

    intent   audit.call_id, audit.actor, audit.system, gen_ai.request.model, parameters …      sealed: digest of the input, who asked
    result   audit.call_id, its intent, audit.outcome, tokens, latency …                       sealed: digest of the output
    error    audit.call_id, its intent, audit.outcome, error.type                              sealed: error.message

`audit.call_id` (32 random bytes) links them as a request's id links the records of a call of the chain. Content is sealed: the bytes are
bodies, their digests sealed fields, so that the public record holds nothing that can be guessed. Without content neither is in the entry.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from oracle.audit.entries import intent_link
from oracle.audit.record import MAX_BODY_BYTES
from oracle.encoding import canonical_json, keccak256, to_hex
from oracle.errors import EntryRejected, MalformedInput
from oracle.records import Appended, Bytes32, Entry, EntryKind, FieldValue
from oracle.seams import format_time

INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
INSTRUCTIONS, ARGUMENTS = "gen_ai.system_instructions", "gen_ai.tool.call.arguments"
REDACTIONS = "audit.redactions"

_MADE_HERE = {
    "audit.call_id",
    "audit.intent.index",
    "audit.intent.leaf_hash",
    "audit.caller.stream",
    "audit.caller.sequence",
    "audit.outcome",
    "audit.is_late",
    REDACTIONS,
}
"""Fields of which a caller may not give another account than the one that is made here."""

REPEATED = (
    "audit.actor",
    "audit.caller",
    "audit.capture",
    "audit.system",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
)
"""What stands in every record of a call, so that one record alone can be found and read."""

_DECIMALS = {"temperature", "top_p", "frequency_penalty", "presence_penalty"}
MAX_PARAMETER = 256  # characters
MAX_CONTENT_BYTES = 3 * MAX_BODY_BYTES // 2
"""All bodies of one record together, so that an append stays below what the log's door takes. What is beyond leaves its digest alone."""


class ContentMode(StrEnum):
    """What becomes of inputs, outputs and whatever names a person."""

    SEALED = "sealed"  # digests as sealed fields, bytes as bodies
    DIGESTS = "digests"  # digests as sealed fields; the bytes are never sent
    NONE = "none"  # neither bytes nor digests nor names are ever sent


class Outcome(StrEnum):
    OK = "ok"
    ERROR = "error"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class CallerPlace:
    """Where an intent stands among those of one start of the recording process: 1, 2, 3 … given before it is sent."""

    stream: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Told:
    """What a writer tells of one record of a call. `content` are bytes by name (`gen_ai.input.messages` …), sealed or left out by mode."""

    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    sealed: Mapping[str, FieldValue] = field(default_factory=dict)
    content: Mapping[str, bytes] = field(default_factory=dict)
    subject: str = ""
    retention: str = ""
    mode: ContentMode = ContentMode.SEALED


def new_call_id() -> Bytes32:
    return Bytes32(secrets.token_bytes(32))


def intent_key(call_id: Bytes32) -> str:
    """The idempotency key of a call's intent: an append that is repeated finds the first."""
    return f"call:{to_hex(call_id)}:intent"


def end_key(call_id: Bytes32) -> str:
    """The key of a call's result or error: a call ends once."""
    return f"call:{to_hex(call_id)}:end"


# ---- entries ------------------------------------------------------------------------------------------------------------------------
def call_intent_entry(call_id: Bytes32, told: Told, moment: datetime, place: CallerPlace | None = None) -> Entry:
    """Before the model runs. Raises EntryRejected for fields that are made here."""
    own: dict[str, FieldValue] = {"audit.call_id": to_hex(call_id)}
    if place is not None:
        own |= {"audit.caller.stream": place.stream, "audit.caller.sequence": place.sequence}
    return _entry(EntryKind.INTENT, told, own, moment)


def call_result_entry(call_id: Bytes32, intent: Appended | None, told: Told, moment: datetime) -> Entry:
    """Before the answer is used. `intent` is None where the link is added later (`oracle.audit.late`)."""
    return _entry(EntryKind.RESULT, told, _end_fields(call_id, intent, Outcome.OK), moment)


def call_error_entry(
    call_id: Bytes32, intent: Appended | None, told: Told, moment: datetime, error_type: str, outcome: Outcome = Outcome.ERROR
) -> Entry:
    """`error_type` is a short stable word; what a message says of content or people belongs into `told.sealed`."""
    own = _end_fields(call_id, intent, outcome) | {"error.type": error_type[:200]}
    return _entry(EntryKind.ERROR, told, own, moment)


def _end_fields(call_id: Bytes32, intent: Appended | None, outcome: Outcome) -> dict[str, FieldValue]:
    own: dict[str, FieldValue] = {"audit.call_id": to_hex(call_id), "audit.outcome": str(outcome)}
    return own if intent is None else own | intent_link(intent)


def _entry(kind: EntryKind, told: Told, own: dict[str, FieldValue], moment: datetime) -> Entry:
    if taken := (told.fields.keys() | told.sealed.keys()) & (_MADE_HERE | own.keys()):
        raise EntryRejected(f"field {sorted(taken)[0]}", "none that is made for the caller", "one")
    sealed, bodies, left_out = _seal(told)
    if left_out:
        own = own | {REDACTIONS: left_out}
    subject = told.subject if sealed else ""  # with nothing kept of a person there is nothing to erase
    return Entry(kind, format_time(moment), {**told.fields, **own}, bodies, sealed, subject, told.retention)


def _seal(told: Told) -> tuple[dict[str, FieldValue], dict[str, bytes], list[str]]:
    """Sealed fields, bodies, and what was left out, by name."""
    if told.mode is ContentMode.NONE:
        return {}, {}, []
    sealed, bodies, left_out, room = dict(told.sealed), dict[str, bytes](), list[str](), MAX_CONTENT_BYTES
    for name, data in told.content.items():
        sealed[f"{name}.digest"] = to_hex(keccak256(data))
        if told.mode is ContentMode.SEALED and len(data) <= min(room, MAX_BODY_BYTES):
            bodies[f"{name}.digest"], room = data, room - len(data)
        elif told.mode is ContentMode.SEALED:
            left_out.append(name)
    return sealed, bodies, sorted(left_out)


# ---- values --------------------------------------------------------------------------------------------------------------------------
def encode_content(value: object) -> bytes:
    """The bytes that stand for an input or output: bytes as they are, text as UTF-8, anything else as RFC 8785 JSON.

    Objects of pydantic (those of `openai` among them) are dumped first. Raises MalformedInput for what has no JSON form.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace")
    try:
        return canonical_json(plain(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedInput("content", "text, bytes or a JSON value", type(value).__name__) from error


def plain(value: Any) -> Any:
    """A value as JSON has it: objects of pydantic dumped, integers beyond 2^53 as text."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 53:
        return str(value)
    return value


def parameter_fields(parameters: Mapping[str, object]) -> dict[str, FieldValue]:
    """`gen_ai.request.*` fields: temperature and its like as decimal strings, whole numbers as they are. None is left out.

    Raises EntryRejected for a value that is no number, word or boolean: a parameter is no place for content.
    """
    fields: dict[str, FieldValue] = {}
    for name, value in parameters.items():
        if value is None:
            continue
        if not isinstance(value, str | int | float) or len(str(value)) > MAX_PARAMETER or value in (math.inf, -math.inf) or value != value:
            raise EntryRejected(f"parameter {name[:60]}", "a number, a short word or a boolean", type(value).__name__)
        if isinstance(value, int) and abs(value) < 1 << 53 and name not in _DECIMALS:
            fields[f"gen_ai.request.{name}"] = value
        else:
            fields[f"gen_ai.request.{name}"] = _decimal(value) if isinstance(value, float) else str(value)
    return fields


def _decimal(value: float) -> str:
    """The shortest decimal that means this number, without an exponent."""
    return format(Decimal(repr(value)), "f")
