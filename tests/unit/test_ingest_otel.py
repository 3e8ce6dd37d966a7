"""OpenTelemetry's real SDK, with spans as GenAI instrumentations make them: what is in the log when, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Status, StatusCode, Tracer

from oracle.audit.record import check_entry
from oracle.errors import LogRefused, PeerError
from oracle.ingest.otel import RecordingSpanExporter, RecordingSpanProcessor
from oracle.ingest.recorder import Recorder
from oracle.ingest.spool import Spool
from oracle.records import EntryKind
from tests.twins.log import LogTwin

INTENT, RESULT, ERROR = EntryKind.INTENT, EntryKind.RESULT, EntryKind.ERROR
SECRET = "Ada Lovelace asked"
START = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
MESSAGES = '[{"role": "user", "parts": [{"type": "text", "content": "Ada Lovelace asked"}]}]'


@pytest.fixture
def log() -> LogTwin:
    return LogTwin()


@pytest.fixture
def tracer(log: LogTwin) -> Iterator[Tracer]:
    provider = TracerProvider()
    provider.add_span_processor(RecordingSpanProcessor(Recorder(log, "app-1", "support", capture="span")))
    yield provider.get_tracer("test")
    provider.shutdown()


def closed_provider(log: LogTwin, **options: Any) -> tuple[TracerProvider, Recorder]:
    provider, recorder = TracerProvider(), Recorder(log, "app-1", capture="span", **options)
    provider.add_span_processor(RecordingSpanProcessor(recorder))
    return provider, recorder


# ---- what must not happen ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("state", ["is_down", "is_closed"])
def test_closed_a_span_without_its_intent_does_not_start(tracer: Tracer, log: LogTwin, state: str) -> None:
    setattr(log, state, True)
    with pytest.raises((PeerError, LogRefused)), tracer.start_as_current_span("chat gpt-4o", attributes=START):
        pytest.fail("the model ran")


def test_closed_a_span_without_its_result_does_not_end_in_silence(tracer: Tracer, log: LogTwin) -> None:
    with pytest.raises(PeerError), tracer.start_as_current_span("chat gpt-4o", attributes=START):
        log.is_down = True
    assert log.kinds() == [INTENT]


def test_other_spans_are_nobodys_business(tracer: Tracer, log: LogTwin) -> None:
    log.is_down = True
    for attributes in ({}, {"http.request.method": "GET"}, {"gen_ai.operation.name": "execute_tool"}, {"gen_ai.operation.name": 7}):
        with tracer.start_as_current_span("x", attributes=attributes):  # type: ignore[arg-type]
            pass
    assert not log.entries


def test_without_content_nothing_said_is_sent(log: LogTwin) -> None:
    provider, _ = closed_provider(log, content=False)
    with provider.get_tracer("t").start_as_current_span("chat", attributes=START | {"gen_ai.input.messages": MESSAGES}) as span:
        span.set_attributes({"gen_ai.output.messages": SECRET, "gen_ai.system_instructions": SECRET, "gen_ai.conversation.id": SECRET})
        span.set_attributes({"user.id": SECRET, "gen_ai.prompt": SECRET, "gen_ai.request.stop_sequences": [SECRET]})
        span.add_event("gen_ai.user.message", {"content": SECRET})
        span.add_event("gen_ai.client.inference.operation.details", {"gen_ai.output.messages": SECRET})
        span.set_status(Status(StatusCode.ERROR, SECRET))
    assert "Ada" not in repr(log.entries)
    assert not any(entry.sealed or entry.bodies for entry in log.entries)


def test_odd_attributes_are_left_out_and_keep_no_call_from_being_recorded(tracer: Tracer, log: LogTwin) -> None:
    odd: dict[str, Any] = {
        "gen_ai.request.Bad Name": 1,
        "gen_ai.request.top_p": float("nan"),
        "gen_ai.request.seed": 2**60,
        "gen_ai.request.note": "x" * 500,
        "gen_ai.request.list": [1, 2],
        "gen_ai.request.temperature": 0.5,
    }
    with tracer.start_as_current_span("chat", attributes=START | odd) as span:
        span.set_attributes({"gen_ai.response.id": "x" * 500, "gen_ai.usage.input_tokens": 5, "gen_ai.response.finish_reasons": ["stop"]})
        span.set_attributes({"gen_ai.usage.cost": 0.25, "gen_ai.response.matrix": [1.5, 2.5]})
    intent, result = log.entries
    for entry in log.entries:
        check_entry(entry)
    requested = {name: value for name, value in intent.fields.items() if name.startswith("gen_ai.request.")}
    expected = {"gen_ai.request.model": "gpt-4o", "gen_ai.request.seed": str(2**60), "gen_ai.request.temperature": "0.5"}
    assert requested == expected
    assert "gen_ai.response.id" not in result.fields
    assert (result.fields["gen_ai.usage.input_tokens"], result.fields["gen_ai.response.finish_reasons"]) == (5, ["stop"])


def test_a_sampler_that_drops_a_span_drops_the_record(log: LogTwin) -> None:
    """Known and documented: a span that is not recorded reaches no processor."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(RecordingSpanProcessor(Recorder(log, "app-1")))
    with provider.get_tracer("t").start_as_current_span("chat", attributes=START):
        pass
    assert not log.entries


# ---- the processor ----------------------------------------------------------------------------------------------------------------------
def test_intent_at_the_start_and_result_at_the_end(tracer: Tracer, log: LogTwin) -> None:
    with tracer.start_as_current_span("chat gpt-4o", attributes=START | {"gen_ai.request.temperature": 0.2}) as span:
        assert log.kinds() == [INTENT]
        span.set_attribute("gen_ai.input.messages", MESSAGES)
        span.set_attribute("gen_ai.output.messages", '[{"role": "assistant"}]')
        span.set_attributes({"gen_ai.usage.output_tokens": 7, "gen_ai.response.model": "gpt-4o-2026", "gen_ai.conversation.id": "c-1"})
    intent, result = log.entries
    context = span.get_span_context()
    assert (intent.fields["audit.trace_id"], intent.fields["audit.span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    expected = {"audit.capture": "span", "audit.system": "support", "gen_ai.request.temperature": "0.2", "gen_ai.provider.name": "openai"}
    assert expected.items() <= intent.fields.items()
    assert (result.fields["gen_ai.usage.output_tokens"], result.fields["audit.outcome"]) == (7, "ok")
    assert result.bodies["gen_ai.input.messages.digest"] == MESSAGES.encode(), "told after the start, so it comes with the result"
    assert result.bodies["gen_ai.output.messages.digest"] == b'[{"role": "assistant"}]'
    assert "audit.is_late" not in intent.fields | result.fields


def test_content_in_events(tracer: Tracer, log: LogTwin) -> None:
    with tracer.start_as_current_span("chat", attributes=START) as span:
        span.add_event("gen_ai.user.message", {"content": SECRET})
        span.add_event("gen_ai.choice", {"message": "yes", "index": 0})
    assert SECRET.encode() in log.entries[1].bodies["gen_ai.input.messages.digest"]
    assert b"yes" in log.entries[1].bodies["gen_ai.output.messages.digest"]
    with tracer.start_as_current_span("chat", attributes=START) as span:
        span.add_event("gen_ai.client.inference.operation.details", {"gen_ai.output.messages": "details"})
    assert log.entries[3].bodies["gen_ai.output.messages.digest"] == b"details"
    assert SECRET not in repr([entry.fields for entry in log.entries])


def test_errors(tracer: Tracer, log: LogTwin) -> None:
    with pytest.raises(ValueError, match="x"), tracer.start_as_current_span("chat", attributes=START):
        raise ValueError("x")
    with tracer.start_as_current_span("chat", attributes=START) as span:
        span.set_attribute("error.type", "timeout")
        span.set_status(Status(StatusCode.ERROR, SECRET))
    assert [entry.fields.get("error.type") for entry in log.entries] == [None, "ValueError", None, "timeout"]
    assert SECRET not in repr(log.entries)


def test_cancelled_which_opentelemetry_does_not_note(tracer: Tracer, log: LogTwin) -> None:
    async def ask() -> None:
        with tracer.start_as_current_span("chat", attributes=START):
            await asyncio.sleep(10)

    async def main() -> None:
        task = asyncio.create_task(ask())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (log.entries[1].kind, log.entries[1].fields["audit.outcome"]) == (ERROR, "cancelled")


def test_an_exception_that_is_being_handled_anyway_is_not_the_calls(tracer: Tracer, log: LogTwin) -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        with tracer.start_as_current_span("chat", attributes=START):
            pass
    assert log.kinds() == [INTENT, RESULT]


def test_a_span_that_tells_late_what_it_is_is_marked_late(tracer: Tracer, log: LogTwin) -> None:
    with tracer.start_as_current_span("something") as span:
        span.set_attributes(START)
    assert log.kinds() == [INTENT, RESULT]
    assert [entry.fields["audit.is_late"] for entry in log.entries] == [True, True]
    assert log.entries[1].fields["audit.intent.index"] == 0


def test_open_a_span_goes_on_and_is_told_later(log: LogTwin, tmp_path: Path) -> None:
    provider, recorder = closed_provider(log, on_failure="open", spool=Spool.open(tmp_path / "spool.sqlite", "token"))
    log.is_down = True
    with provider.get_tracer("t").start_as_current_span("chat", attributes=START):
        pass
    log.is_down = False
    recorder.close()
    Spool.open(tmp_path / "spool.sqlite", "token").deliver(log)
    assert [(entry.kind, entry.fields["audit.is_late"]) for entry in log.entries] == [(INTENT, True), (RESULT, True)]


# ---- the exporter -----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor])
def test_the_exporter_tells_after_the_fact_and_says_so(log: LogTwin, processor: Any) -> None:
    provider = TracerProvider()
    provider.add_span_processor(processor(RecordingSpanExporter(Recorder(log, "app-1", capture="exporter"))))
    with provider.get_tracer("t").start_as_current_span("chat", attributes=START | {"gen_ai.input.messages": MESSAGES}) as span:
        span.set_attribute("gen_ai.output.messages", "yes")
        assert not log.entries
    with provider.get_tracer("t").start_as_current_span("other"):
        pass
    provider.force_flush()
    intent, result = log.entries
    assert (intent.kind, result.kind, result.fields["audit.intent.index"]) == (INTENT, RESULT, 0)
    for entry in log.entries:
        check_entry(entry)
        assert (entry.fields["audit.is_late"], entry.fields["audit.capture"]) == (True, "exporter")
    assert intent.bodies["gen_ai.input.messages.digest"] == MESSAGES.encode()
    assert intent.time < result.time
    assert result.fields["audit.latency_microseconds"] > 0  # type: ignore[operator]


def test_an_export_that_fails_says_so_and_does_not_write_twice_when_it_is_repeated(log: LogTwin) -> None:
    spans: list[Any] = []

    class Keep(SimpleSpanProcessor):
        def on_end(self, span: Any) -> None:
            spans.append(span)

    exporter = RecordingSpanExporter(Recorder(log, "app-1", capture="exporter"))
    provider = TracerProvider()
    provider.add_span_processor(Keep(exporter))
    with provider.get_tracer("t").start_as_current_span("chat", attributes=START):
        pass
    log.is_down = True
    assert exporter.export(spans) is SpanExportResult.FAILURE
    log.is_down = False
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert log.kinds() == [INTENT, RESULT]
