"""Recording model calls of a Python application: the intent is in the log before the model runs, the end before the answer is used.

    with recorder.call(model="gpt-4o", input=messages, user="u-17") as call:
        answer = client.chat.completions.create(model="gpt-4o", messages=messages)
        call.output(answer)

`with` for threads, `async with` for asyncio. Leaving the block writes the result; an exception that leaves it writes an error record
(outcome `cancelled` for CancelledError, KeyboardInterrupt and the like) and goes on. Fails closed unless told otherwise: an intent that
cannot be logged raises before the block runs, a result that cannot be logged raises instead of letting the answer through.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from oracle import journal
from oracle.audit.calls import (
    INPUT,
    INSTRUCTIONS,
    OUTPUT,
    REPEATED,
    ContentMode,
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
    plain,
)
from oracle.audit.client import LogClient
from oracle.audit.late import LogPolicy, late
from oracle.audit.overrides import Decision, override_entry
from oracle.audit.record import check_entry
from oracle.config import read_secret
from oracle.encoding import to_hex
from oracle.errors import AffidavitError, ConfigRejected, EntryRejected, InvariantBroken, MalformedInput, TooLarge
from oracle.ingest.delivery import NOT_NOW, Alarm, Delivery
from oracle.ingest.metrics import RecorderMetrics
from oracle.ingest.openai_wire import Answering, describe
from oracle.ingest.spool import Spool
from oracle.ingest.stream import CallerStream
from oracle.records import Appended, Bytes32, Entry, EntryKind, FieldValue
from oracle.seams import Clock, EntryLog, SystemClock

CANCELLING = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
_ABOUT_THE_ENTRY = (EntryRejected, MalformedInput, TooLarge)
_ANY_INTENT: dict[str, FieldValue] = {"audit.intent.index": 0, "audit.intent.leaf_hash": "0x" + 64 * "0"}  # where the link comes later
UNRECORDABLE = "Unrecordable"


class Recorder:
    """One application's recorder. Safe for threads; keep one for the life of the process.

    `actor` names the process, `system` the AI system it is part of. `content=True` seals inputs and outputs in the log, `False` never sends
    them nor their digests; a ContentMode says it more finely. `error_messages` says whether the text of an exception is sealed with a
    record: it may quote content or keys, so it is not unless you know better.
    """

    def __init__(
        self,
        log: EntryLog,
        actor: str,
        system: str = "",
        *,
        content: bool | ContentMode = True,
        on_failure: str | LogPolicy = LogPolicy.CLOSED,
        spool: Spool | None = None,
        on_alarm: Callable[[Alarm], None] | None = None,
        error_messages: bool = False,
        capture: str = "sdk",
        metrics: RecorderMetrics | None = None,
        clock: Clock | None = None,
    ) -> None:
        if LogPolicy(on_failure) is LogPolicy.OPEN and spool is None:
            raise ConfigRejected("recorder: on_failure", "a spool beside `open`: what is not logged must be kept somewhere", "none")
        self.actor, self.system, self.error_messages, self.capture = actor, system, error_messages, capture
        self.mode = content if isinstance(content, ContentMode) else ContentMode.SEALED if content else ContentMode.NONE
        self.metrics = metrics or RecorderMetrics()
        self.clock: Clock = clock or SystemClock()
        self.delivery = Delivery(log, LogPolicy(on_failure), spool, self.metrics, on_alarm)
        self.stream = CallerStream()

    @classmethod
    def open(
        cls,
        url: str,
        token_file: Path | str,
        actor: str,
        system: str = "",
        *,
        spool: Path | str | None = None,
        timeout_seconds: float = 5.0,
        **options: Any,
    ) -> Recorder:
        """A recorder for the log at `url`, as the writer whose token is in the file. Raises ConfigRejected, StoreError."""
        token = read_secret(Path(token_file))
        kept = None if spool is None else Spool.open(Path(spool), token)
        return cls(LogClient(url, token, timeout_seconds), actor, system, spool=kept, **options)

    def call(
        self,
        model: str,
        input: object = None,
        *,
        system: str = "",
        operation: str = "chat",
        provider: str = "",
        instructions: object = None,
        content_parts: Mapping[str, bytes] | None = None,
        parameters: Mapping[str, object] | None = None,
        user: str = "",
        subject: str = "",
        session: str = "",
        retention: str = "",
        content: bool | ContentMode | None = None,
        fields: Mapping[str, FieldValue] | None = None,
        sealed: Mapping[str, FieldValue] | None = None,
        call_id: Bytes32 | None = None,
    ) -> Call:
        """A call to be made inside `with`. `user` asked, `subject` is the person it is about (the user, where not given).

        `content_parts` are bytes that were encoded already, by the name of their field. `call_id` is for calls that have an id elsewhere.
        """
        mode = (
            self.mode
            if content is None
            else content
            if isinstance(content, ContentMode)
            else ContentMode.SEALED
            if content
            else ContentMode.NONE
        )
        public = _given({"gen_ai.provider.name": provider, "audit.system": system or self.system})
        public |= {
            "audit.actor": self.actor,
            "audit.capture": self.capture,
            "gen_ai.operation.name": operation,
            "gen_ai.request.model": model,
        }
        public |= parameter_fields(parameters or {}) | dict(fields or {})
        hidden = _given({"audit.user": user, "gen_ai.conversation.id": session}) | dict(sealed or {})
        kept = _content({INPUT: input, INSTRUCTIONS: instructions, **(content_parts or {})}, mode)
        told = Told(public, hidden, kept, subject or user, retention, mode)
        return Call(self, told, call_id)

    def override(
        self, call: Call, decision: Decision | str, reason: str = "", *, verifiers: Sequence[str], record: Appended | None = None
    ) -> Appended:
        """A person confirmed, overrode or disregarded what a call answered: its result, or another record of it. Durable on return.

        `verifiers` are the one or two people who did; they and the reason are sealed, for the person the call is about. Raises
        EntryRejected for a call that has not ended, or no such people, and what an append raises: it never falls back on the spool.
        """
        subject = record or call.end
        if subject is None:
            raise EntryRejected("override", "a call that has ended", "one that has not")
        moment, person = self.clock.now(), call.subject
        entry = override_entry(call.call_id, subject, self.actor, Decision(decision), reason, verifiers, moment, person)
        return self.delivery.append_now(entry, f"override:{to_hex(call.call_id)}:{secrets.token_hex(8)}")

    def deliver(self) -> int:
        """Delivers now what waits in the spool. Returns how many records. Raises as an append does."""
        return self.delivery.deliver()

    def close(self) -> None:
        self.delivery.close()


def _given(fields: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    return {name: value for name, value in fields.items() if value != ""}


def _content(values: Mapping[str, object], mode: ContentMode) -> dict[str, bytes]:
    if mode is ContentMode.NONE:
        return {}
    return {name: encode_content(value) for name, value in values.items() if value is not None}


class Call:
    """One call, from its intent to its end. `call_id`, `intent` and `end` tell where it is in the log."""

    def __init__(self, recorder: Recorder, told: Told, call_id: Bytes32 | None = None) -> None:
        self.call_id = call_id or new_call_id()
        self.intent: Appended | None = None
        self.end: Appended | None = None
        self._recorder = recorder
        self._told = told
        repeated = {name: told.fields[name] for name in REPEATED if name in told.fields}
        self._ending = Told(repeated, subject=told.subject, retention=told.retention, mode=told.mode)
        self._intent_entry: Entry | None = None
        self._started = 0.0
        self._is_over = False
        self._outcome, self._error_type = Outcome.OK, ""

    @property
    def subject(self) -> str:
        """The person the call is about, as the application refers to them; empty for nobody."""
        return self._told.subject

    @property
    def content_names(self) -> frozenset[str]:
        """What of its content the intent has."""
        return frozenset(self._told.content)

    # ---- what the application tells ---------------------------------------------------------------------------------------------
    def output(
        self,
        value: object = None,
        *,
        model: str = "",
        response_id: str = "",
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        finish_reasons: list[str] | None = None,
        tool_names: list[str] | None = None,
        content_parts: Mapping[str, bytes] | None = None,
        fields: Mapping[str, FieldValue] | None = None,
        sealed: Mapping[str, FieldValue] | None = None,
    ) -> None:
        """What the model answered, to be written when the block is left."""
        told: dict[str, FieldValue | None] = {
            "gen_ai.response.model": model or None,
            "gen_ai.response.id": response_id or None,
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.output_tokens": output_tokens,
            "gen_ai.response.finish_reasons": finish_reasons,
            "audit.tool_names": tool_names,
        }
        public = {name: v for name, v in told.items() if v is not None} | dict(fields or {})
        kept = _content({OUTPUT: value, **(content_parts or {})}, self._told.mode)
        ending = self._ending
        self._ending = replace(
            ending, fields={**ending.fields, **public}, sealed={**ending.sealed, **(sealed or {})}, content={**ending.content, **kept}
        )

    def response(self, answer: object) -> None:
        """As `output`, for an answer of OpenAI's API, an object of its package or its JSON: it tells model, tokens, reasons and tools."""
        document = plain(answer)
        told = describe(document) if isinstance(document, dict) else Answering({}, encode_content(answer))
        self.output(told.output, fields=told.fields)

    def fail(self, error_type: str, outcome: Outcome = Outcome.ERROR) -> None:
        """The call did not give an answer, though no exception says so: `refused` for a guard that stopped it."""
        self._outcome, self._error_type = outcome, error_type

    # ---- the block ------------------------------------------------------------------------------------------------------------
    def begin(self) -> None:
        """Writes the intent. Raises as an append does, and EntryRejected for fields the log does not take."""
        if self._intent_entry is not None:
            raise InvariantBroken("a call begins once: make another for another run of the model")
        moment = self._recorder.clock.now()
        check_entry(call_intent_entry(self.call_id, self._told, moment))  # before a number is given: what is refused here leaves no gap
        self._intent_entry = call_intent_entry(self.call_id, self._told, moment, self._recorder.stream.next())
        self._started = time.perf_counter()
        try:
            self.intent = self._append(self._intent_entry, intent_key(self.call_id))
        except NOT_NOW:
            self._keep_refusal()
            raise
        self._started = time.perf_counter()

    def _keep_refusal(self) -> None:
        """The intent was not logged, so the model does not run. Once the log is back both are told, and no number is missing."""
        entry = call_error_entry(self.call_id, None, self._ending, self._recorder.clock.now(), "LogUnavailable", Outcome.REFUSED)
        self._recorder.delivery.keep(self.call_id, entry, end_key(self.call_id))
        self._is_over = True

    def finish(self, error: BaseException | None = None) -> None:
        """Writes how it ended, once; a second time changes nothing. Raises as an append does."""
        if self._is_over or self._intent_entry is None:
            return
        self._is_over = True
        latency: dict[str, FieldValue] = {"audit.latency_microseconds": round((time.perf_counter() - self._started) * 1_000_000)}
        self._append_end(replace(self._ending, fields=latency | dict(self._ending.fields)), error)

    def tell(self, started: datetime, ended: datetime) -> None:
        """Writes a call that is over already, both records marked late. Raises as an append does."""
        place = self._recorder.stream.next()
        self._intent_entry = late(call_intent_entry(self.call_id, self._told, started, place))
        self._is_over = True
        latency: dict[str, FieldValue] = {"audit.latency_microseconds": max(0, round((ended - started).total_seconds() * 1_000_000))}
        ending = replace(self._ending, fields=latency | dict(self._ending.fields))
        failure: AffidavitError | None = None
        try:
            self.intent = self._append(self._intent_entry, intent_key(self.call_id))
        except NOT_NOW as error:
            failure = error
        self.end = self._append(late(self._end_entry(ending, None, ended)), end_key(self.call_id))
        if failure is not None:
            raise failure

    def abandon(self, error: BaseException) -> None:
        """As `finish`, where `begin` was interrupted and may have written the intent: written again under its key, it tells its place."""
        if self._intent_entry is not None and self.intent is None and not self._is_over:
            self.intent = self._append(self._intent_entry, intent_key(self.call_id))
        self.finish(error)

    def _append_end(self, ending: Told, error: BaseException | None) -> None:
        try:
            entry = self._end_entry(ending, error, self._recorder.clock.now())
            check_entry(entry if self.intent is not None else replace(entry, fields=entry.fields | _ANY_INTENT))
            self.end = self._append(entry, end_key(self.call_id))
        except _ABOUT_THE_ENTRY as refusal:
            self._append_unrecordable(type(refusal).__name__)
            if self._recorder.delivery.policy is LogPolicy.CLOSED:
                raise

    def _end_entry(self, ending: Told, error: BaseException | None, moment: datetime) -> Entry:
        if error is not None:
            outcome = Outcome.CANCELLED if isinstance(error, CANCELLING) else Outcome.ERROR
            if self._recorder.error_messages and str(error):
                ending = replace(ending, sealed={**ending.sealed, "error.message": str(error)[:1000]})
            return call_error_entry(self.call_id, self.intent, ending, moment, _name_of(error), outcome)
        if self._outcome is not Outcome.OK:
            return call_error_entry(self.call_id, self.intent, ending, moment, self._error_type, self._outcome)
        return call_result_entry(self.call_id, self.intent, ending, moment)

    def _append_unrecordable(self, reason: str) -> None:
        """The model ran, and the log does not take what was told of it: at least that is on record."""
        fields = {name: self._told.fields[name] for name in REPEATED if name in self._told.fields}
        told = Told({**fields, "audit.refusal": reason})
        journal.get("recorder").critical("not recordable", call_id=self.call_id, reason=reason)
        entry = call_error_entry(self.call_id, self.intent, told, self._recorder.clock.now(), UNRECORDABLE)
        self.end = self._append(entry, end_key(self.call_id))

    def _append(self, entry: Entry, key: str) -> Appended | None:
        is_behind = entry.kind is not EntryKind.INTENT and self.intent is None
        return self._recorder.delivery.append(self.call_id, entry, key, is_behind)

    def __enter__(self) -> Call:
        try:
            self.begin()
        except CANCELLING as error:
            self.abandon(error)
            raise
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        self.finish(error)

    async def __aenter__(self) -> Call:
        try:
            await _in_thread(self.begin)
        except asyncio.CancelledError as error:
            await _in_thread(self.abandon, error)
            raise
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        await _in_thread(self.finish, error)


async def _in_thread(step: Callable[..., None], *arguments: object) -> None:
    """Runs `step` beside the loop, to its end: whoever is cancelled meanwhile leaves no record half written."""
    task = asyncio.create_task(asyncio.to_thread(step, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            await asyncio.wait({task})
        if (failure := task.exception()) is not None:
            journal.get("recorder").error("not recorded, and cancelled", error=repr(failure))
        raise


def _name_of(error: BaseException) -> str:
    """As OpenTelemetry's `error.type`: the class with its module, without what Python itself provides."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
