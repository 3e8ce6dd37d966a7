"""OpenTelemetry's GenAI spans as records: semantic conventions for generative AI, as of opentelemetry-semantic-conventions 0.66.

`RecordingSpanProcessor` writes the intent when a span starts and its end when it ends, on the thread that starts and ends it, and raises
there when the log does not take it: the model is not asked, the answer is not used. That needs an instrumentation which names the operation
when it creates the span, as the conventions ask, and a sampler that drops no such span.

`RecordingSpanExporter` sees spans when they are over. Its records are marked late, which they are: they tell, they prevent nothing.
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from oracle import journal
from oracle.audit.calls import ARGUMENTS, INPUT, INSTRUCTIONS, OUTPUT, Outcome, encode_content
from oracle.encoding import keccak256
from oracle.errors import AffidavitError
from oracle.ingest.recorder import CANCELLING, Call, Recorder
from oracle.records import Bytes32, FieldValue

OPERATION = "gen_ai.operation.name"
OPERATIONS = frozenset({"chat", "generate_content", "text_completion", "embeddings"})
"""Operations that ask a model. Tools and agents are spans around those."""
TOOLS = "gen_ai.tool.definitions"
MAX_TEXT = 256  # characters of a public field

_REQUEST = "gen_ai.request."
_PARAMETER = re.compile(r"gen_ai\.request(\.[a-z0-9_]+){1,4}")
_NO_PARAMETER = {"gen_ai.request.model", "gen_ai.request.stop_sequences"}  # the one has a field of its own, the other is content
_AT_END = re.compile(r"gen_ai\.(response|usage)(\.[a-z0-9_]+){1,4}")
_DEPRECATED = {"gen_ai.prompt": INPUT, "gen_ai.completion": OUTPUT}
_DETAILS = "gen_ai.client.inference.operation.details"
_SAID, _ANSWERED = ("gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message"), "gen_ai.choice"
_Attributes = Mapping[str, Any]


class RecordingSpanProcessor(SpanProcessor):
    """`provider.add_span_processor(RecordingSpanProcessor(recorder))`. Fails closed or open as its recorder does."""

    def __init__(self, recorder: Recorder, operations: frozenset[str] = OPERATIONS) -> None:
        self._recorder, self._operations = recorder, operations
        self._open: dict[Bytes32, tuple[Call, BaseException | None]] = {}
        self._lock = threading.Lock()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002, the SDK's name
        """Writes the intent, before whoever starts the span goes on. Raises as an append does."""
        attributes = span.attributes or {}
        if attributes.get(OPERATION) not in self._operations:
            return
        call = _call_of(self._recorder, span, attributes)
        call.begin()
        with self._lock:
            self._open[call.call_id] = (call, sys.exc_info()[1])

    def on_end(self, span: ReadableSpan) -> None:
        """Writes the end. A span that told only later that it asks a model is written whole, and late. Raises as an append does."""
        attributes = _all_attributes(span)
        if attributes.get(OPERATION) not in self._operations:
            return
        with self._lock:
            call, before = self._open.pop(_id_of(span), (None, None))
        if call is None:
            _tell(self._recorder, span, attributes)
            return
        _finish_told(call, span, attributes, is_begun=True)
        leaving = sys.exc_info()[1]
        is_cancelled = leaving is not before and isinstance(leaving, CANCELLING)  # of which OpenTelemetry notes nothing
        call.finish(leaving if is_cancelled else None)


class RecordingSpanExporter(SpanExporter):
    """For spans that are over: behind a batch processor, or read from elsewhere. Every record it writes is marked late."""

    def __init__(self, recorder: Recorder, operations: frozenset[str] = OPERATIONS) -> None:
        self._recorder, self._operations = recorder, operations

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """FAILURE when any record could not be written, also where it waits in the spool. Goes through all spans in any case."""
        result = SpanExportResult.SUCCESS
        for span in spans:
            attributes = _all_attributes(span)
            if attributes.get(OPERATION) not in self._operations:
                continue
            try:
                _tell(self._recorder, span, attributes)
            except AffidavitError as error:
                journal.get("recorder").critical("a span is not recorded", error=type(error).__name__)
                result = SpanExportResult.FAILURE
        return result


def _tell(recorder: Recorder, span: ReadableSpan, attributes: _Attributes) -> None:
    call = _call_of(recorder, span, attributes)
    _finish_told(call, span, attributes, is_begun=False)
    call.tell(_moment(span.start_time), _moment(span.end_time))


# ---- spans as calls --------------------------------------------------------------------------------------------------------------------
def _call_of(recorder: Recorder, span: ReadableSpan, attributes: _Attributes) -> Call:
    context = span.get_span_context()
    fields: dict[str, FieldValue] = {}
    if context is not None:
        fields |= {"audit.trace_id": f"{context.trace_id:032x}", "audit.span_id": f"{context.span_id:016x}"}
    parameters = {name.removeprefix(_REQUEST): value for name, value in attributes.items() if _is_parameter(name, value)}
    return recorder.call(
        _text(attributes.get("gen_ai.request.model")),
        operation=str(attributes[OPERATION]),
        provider=_text(attributes.get("gen_ai.provider.name") or attributes.get("gen_ai.system")),
        parameters=parameters,
        user=_text(attributes.get("user.id") or attributes.get("enduser.id")),
        session=_text(attributes.get("gen_ai.conversation.id")),
        content_parts=_content(attributes, (INPUT, INSTRUCTIONS, TOOLS)),
        fields=fields,
        call_id=_id_of(span),
    )


def _is_parameter(name: str, value: object) -> bool:
    is_number = isinstance(value, int | float) and math.isfinite(value)
    is_plain = is_number or (isinstance(value, str) and len(value) <= MAX_TEXT)
    return bool(_PARAMETER.fullmatch(name)) and name not in _NO_PARAMETER and is_plain


def _finish_told(call: Call, span: ReadableSpan, attributes: _Attributes, is_begun: bool) -> None:
    """What is known at the end. Content that was not there when the intent was written comes with the result."""
    fields = {name: told for name, value in attributes.items() if _AT_END.fullmatch(name) and (told := _public(value)) is not None}
    late_names = (INPUT, INSTRUCTIONS, TOOLS) if is_begun else ()
    missing = tuple(name for name in late_names if name not in call.content_names)
    call.output(fields=fields, content_parts=_content(attributes, (*missing, OUTPUT, ARGUMENTS)))
    if span.status.status_code is StatusCode.ERROR or attributes.get("error.type"):
        call.fail(_text(attributes.get("error.type")) or _exception_of(span) or "_OTHER", Outcome.ERROR)


def _exception_of(span: ReadableSpan) -> str:
    for event in span.events:
        if event.name == "exception":
            return _text((event.attributes or {}).get("exception.type"))
    return ""


def _all_attributes(span: ReadableSpan) -> dict[str, Any]:
    """The span's attributes, with what events tell of its content in the place it has today."""
    attributes = dict(span.attributes or {})
    said = [_message(event.name, event.attributes or {}) for event in span.events if event.name in _SAID]
    answered = [_message(event.name, event.attributes or {}) for event in span.events if event.name == _ANSWERED]
    for event in span.events:
        if event.name == _DETAILS:
            attributes = {**(event.attributes or {}), **attributes}
    for name, messages in ((INPUT, said), (OUTPUT, answered)):
        if messages:
            attributes.setdefault(name, json.dumps(messages, ensure_ascii=False, default=list))
    return {_DEPRECATED.get(name, name): value for name, value in attributes.items()}


def _message(name: str, attributes: _Attributes) -> dict[str, Any]:
    return {"event": name, **attributes}


def _content(attributes: _Attributes, names: Sequence[str]) -> dict[str, bytes]:
    return {name: encode_content(value) for name in names if (value := attributes.get(name)) is not None}


def _public(value: object) -> FieldValue | None:
    """A value for a public field; None for what is too long, or of another form."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else None
    if isinstance(value, list | tuple) and all(isinstance(item, str) and len(item) <= MAX_TEXT for item in value):
        return list(value)[:64]
    return None


def _text(value: object) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _id_of(span: ReadableSpan) -> Bytes32:
    """The same span is the same call, however often it is exported."""
    context = span.get_span_context()
    ids = b"" if context is None else context.trace_id.to_bytes(16, "big") + context.span_id.to_bytes(8, "big")
    return keccak256(b"OpenTelemetry span " + ids)


def _moment(nanoseconds: int | None) -> datetime:
    return datetime.fromtimestamp((nanoseconds or 0) / 1e9, UTC)
