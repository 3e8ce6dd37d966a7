"""The recorder: what is in the log before the model runs and before its answer is used, and what becomes of both when the log is away."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from oracle.audit.calls import ContentMode
from oracle.encoding import keccak256, to_hex
from oracle.errors import ConfigRejected, EntryRejected, InvariantBroken, LogRefused, MalformedInput, PeerError
from oracle.ingest.delivery import Alarm
from oracle.ingest.recorder import UNRECORDABLE, Recorder
from oracle.ingest.spool import Spool
from oracle.records import Entry, EntryKind
from tests.twins.log import LogTwin

INTENT, RESULT, ERROR = EntryKind.INTENT, EntryKind.RESULT, EntryKind.ERROR
SECRET = "the patient is called Ada Lovelace"
TOKEN = "writer-token-of-the-recorder"


@pytest.fixture
def log() -> LogTwin:
    return LogTwin()


@pytest.fixture
def recorder(log: LogTwin) -> Iterator[Recorder]:
    made = Recorder(log, "billing-1", "support")
    yield made
    made.close()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "spool.sqlite", TOKEN)


def opened(log: LogTwin, spool: Spool, **options: Any) -> Recorder:
    return Recorder(log, "billing-1", "support", on_failure="open", spool=spool, **options)


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = threading.Event()
    for _ in range(1000):
        if condition():
            return
        give_up.wait(0.01)
    raise AssertionError("it did not happen")


def everything_written(log: LogTwin) -> str:
    return repr(log.entries)


# ---- attacks and accidents first ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name", ["audit.call_id", "audit.caller.sequence", "audit.caller.stream", "audit.is_late", "audit.intent.index", "audit.outcome"]
)
def test_what_the_recorder_writes_cannot_be_given(recorder: Recorder, log: LogTwin, name: str) -> None:
    for where in ("fields", "sealed"):
        with pytest.raises(EntryRejected), recorder.call("m", "x", **{where: {name: "0x" + 64 * "1"}}):
            pytest.fail("the model ran")
    assert not log.entries


@pytest.mark.parametrize(
    "name", ["audit.writer", "audit.record", "audit.sequence.writer", "audit.call.previous_index", "audit.log.time", "audit.kind"]
)
def test_stamps_of_the_log_cannot_be_given(recorder: Recorder, log: LogTwin, name: str) -> None:
    with pytest.raises(EntryRejected), recorder.call("m", "x", fields={name: "forged"}):
        pytest.fail("the model ran")
    with pytest.raises(EntryRejected), recorder.call("m") as call:
        call.output("y", fields={name: "forged"})
    assert [entry.fields.get("error.type") for entry in log.entries] == [None, UNRECORDABLE]


@pytest.mark.parametrize(
    "told",
    [
        {"model": "m" * 9000},
        {"model": "\ud800"},
        {"model": "m", "fields": {"Bad Name": 1}},
        {"model": "m", "fields": {"a.b": 1.5}},
        {"model": "m", "fields": {"a.b": 2**60}},
        {"model": "m", "fields": {f"a.b{i}": 1 for i in range(200)}},
        {"model": "m", "sealed": {f"a.b{i}": 1 for i in range(20)}},
        {"model": "m", "parameters": {"temperature": [1]}},
        {"model": "m", "parameters": {"stop": "x" * 300}},
        {"model": "m", "parameters": {"Temperature": 1}},
        {"model": "m", "fields": {"audit.user": "ada"}},
        {"model": "m", "retention": "for ever"},
        {"model": "m", "subject": "x" * 100_000},
    ],
)
def test_what_the_log_would_refuse_fails_before_the_model_and_takes_no_number(
    recorder: Recorder, log: LogTwin, told: dict[str, Any]
) -> None:
    with pytest.raises(EntryRejected if "sealed" not in told else Exception), recorder.call(input="x", **told):
        pytest.fail("the model ran")
    with recorder.call("m"):
        pass
    assert log.entries[0].fields["audit.caller.sequence"] == 1


def test_content_without_a_form_is_refused_before_the_model(recorder: Recorder) -> None:
    for content in (object(), {"a": float("nan")}, {1: {2, 3}}):
        with pytest.raises(MalformedInput):
            recorder.call("m", content)


def test_an_output_that_is_not_recordable_is_on_record_as_that(recorder: Recorder, log: LogTwin) -> None:
    with pytest.raises(EntryRejected), recorder.call("m", SECRET) as call:
        call.output("fine", fields={"audit.note": "x" * 10_000})
    assert log.kinds() == [INTENT, ERROR]
    assert (log.entries[1].fields["error.type"], log.entries[1].fields["audit.refusal"]) == (UNRECORDABLE, "EntryRejected")


@pytest.mark.parametrize("mode", [False, ContentMode.NONE])
def test_without_content_nothing_that_was_said_leaves_the_process(log: LogTwin, mode: bool | ContentMode) -> None:
    recorder = Recorder(log, "billing-1", content=mode, error_messages=True)
    with recorder.call("m", SECRET, instructions=SECRET, user=SECRET, session=SECRET, sealed={"audit.note.text": SECRET}) as call:
        call.output(SECRET, sealed={"audit.note.text": SECRET})
    with pytest.raises(ValueError, match="Ada"), recorder.call("m", SECRET):
        raise ValueError(SECRET)
    text = everything_written(log)
    assert SECRET not in text
    assert "Ada" not in text
    assert to_hex(keccak256(SECRET.encode())) not in text
    assert all(not (entry.sealed or entry.bodies or entry.subject) for entry in log.entries)


def test_digests_alone_where_only_they_are_asked_for(log: LogTwin) -> None:
    recorder = Recorder(log, "billing-1", content=ContentMode.DIGESTS)
    with recorder.call("m", SECRET) as call:
        call.output("yes")
    assert log.entries[0].sealed == {"gen_ai.input.messages.digest": to_hex(keccak256(SECRET.encode()))}
    assert SECRET not in everything_written(log)
    assert not any(entry.bodies for entry in log.entries)


def test_an_exceptions_words_are_not_recorded_unless_asked_for(log: LogTwin) -> None:
    for is_told in (False, True):
        recorder = Recorder(log, "billing-1", error_messages=is_told)
        with pytest.raises(ConnectionError), recorder.call("m"):
            raise ConnectionError("https://user:hunter2@host/?key=sk-123")
    assert "sealed={}" in repr(log.entries[1])
    assert log.entries[1].fields["error.type"] == "ConnectionError"
    assert log.entries[3].sealed["error.message"] == "https://user:hunter2@host/?key=sk-123"
    assert "hunter2" not in repr([entry.fields for entry in log.entries])


# ---- the order --------------------------------------------------------------------------------------------------------------------------
def test_intent_before_the_model_and_result_before_the_answer(recorder: Recorder, log: LogTwin) -> None:
    messages = [{"role": "user", "content": SECRET}]
    with recorder.call("gpt-4o", messages, user="u-17", parameters={"temperature": 0.2, "max_tokens": 5, "seed": 2**60}) as call:
        assert log.kinds() == [INTENT]
        call.output("hello", model="gpt-4o-2024", input_tokens=3, output_tokens=1, finish_reasons=["stop"])
        assert log.kinds() == [INTENT]
    intent, result = log.entries
    assert (call.intent and call.intent.index, call.end and call.end.index) == (0, 1)
    assert intent.fields | {"audit.caller.stream": ""} == {
        "audit.actor": "billing-1",
        "audit.call_id": to_hex(call.call_id),
        "audit.caller.sequence": 1,
        "audit.caller.stream": "",
        "audit.capture": "sdk",
        "audit.system": "support",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.seed": str(2**60),
        "gen_ai.request.temperature": "0.2",
    }
    assert intent.bodies["gen_ai.input.messages.digest"] == b'[{"content":"the patient is called Ada Lovelace","role":"user"}]'
    assert (intent.sealed["audit.user"], intent.subject) == ("u-17", "u-17")
    assert result.fields["audit.intent.leaf_hash"] == to_hex(call.intent.leaf_hash)  # type: ignore[union-attr]
    assert (result.fields["audit.outcome"], result.fields["gen_ai.usage.input_tokens"]) == ("ok", 3)
    assert (result.bodies["gen_ai.output.messages.digest"], result.subject) == (b"hello", "u-17")
    assert SECRET not in repr(intent.fields | result.fields)


def test_an_answer_of_openais_api_tells_everything_itself(recorder: Recorder, log: LogTwin) -> None:
    from openai.types.chat import ChatCompletion

    from tests.twins.openai_upstream import _whole

    whole = _whole("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "one two"}]})
    for answer in (whole, ChatCompletion.model_validate(whole)):
        with recorder.call("m") as call:
            call.response(answer)
        result = log.entries[-1]
        expected = {"gen_ai.response.model": "m-2026", "gen_ai.usage.output_tokens": 3, "gen_ai.response.finish_reasons": ["stop"]}
        assert expected.items() <= result.fields.items()
        assert b"two one" in result.bodies["gen_ai.output.messages.digest"]
    for odd in ("text", {"a": 1}, [1], {"object": "list"}):
        with recorder.call("m") as call:
            call.response(odd)
    assert log.kinds() == [INTENT, RESULT] * 6


@pytest.mark.parametrize(
    ("error", "outcome", "name"),
    [
        (ValueError("x"), "error", "ValueError"),
        (KeyboardInterrupt(), "cancelled", "KeyboardInterrupt"),
        (SystemExit(3), "cancelled", "SystemExit"),
        (asyncio.CancelledError(), "cancelled", "asyncio.exceptions.CancelledError"),
        (GeneratorExit(), "cancelled", "GeneratorExit"),
    ],
)
def test_however_the_block_is_left(recorder: Recorder, log: LogTwin, error: BaseException, outcome: str, name: str) -> None:
    def ask() -> None:
        with recorder.call("m", "x") as call:
            call.output("half an answer")
            raise error

    with pytest.raises(type(error)):
        ask()
    assert log.kinds() == [INTENT, ERROR]
    assert (log.entries[1].fields["audit.outcome"], log.entries[1].fields["error.type"]) == (outcome, name)
    assert log.entries[1].bodies["gen_ai.output.messages.digest"] == b"half an answer"


def test_a_guard_that_stops_the_call(recorder: Recorder, log: LogTwin) -> None:
    from oracle.audit.calls import Outcome

    with recorder.call("m", "x") as call:
        call.fail("blocked_by_policy", Outcome.REFUSED)
    assert (log.entries[1].kind, log.entries[1].fields["audit.outcome"]) == (ERROR, "refused")


def test_an_interrupt_while_the_intent_is_written_leaves_it_closed(recorder: Recorder, log: LogTwin) -> None:
    """Control-C arrives in the append itself: the entry is in the log, and nobody was told."""
    log.append(Entry(ERROR, "2026-11-22T10:00:00.000000Z", {"audit.actor": "x", "error.type": "y"}))
    real, calls = log._place, []

    def interrupted(entry: Entry, key: str | None) -> Any:
        placed = real(entry, key)
        calls.append(key)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return placed

    log._place = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt), recorder.call("m", "x"):
        pytest.fail("the model ran")
    assert log.kinds()[1:] == [INTENT, ERROR]
    assert (log.entries[2].fields["audit.outcome"], log.entries[2].fields["audit.intent.index"]) == ("cancelled", 1)


def test_numbers_without_gaps_from_many_threads(recorder: Recorder, log: LogTwin) -> None:
    def work() -> None:
        for _ in range(20):
            with recorder.call("m"):
                pass

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    intents = [entry for entry in log.entries if entry.kind is INTENT]
    assert sorted(int(str(entry.fields["audit.caller.sequence"])) for entry in intents) == list(range(1, 101))
    assert len({entry.fields["audit.caller.stream"] for entry in intents}) == 1
    assert not any("audit.caller.sequence" in entry.fields for entry in log.entries if entry.kind is not INTENT)


def test_a_forked_process_counts_in_a_stream_of_its_own(recorder: Recorder) -> None:
    first, (reader, writer) = recorder.stream.next(), os.pipe()
    child = os.fork()
    if child == 0:
        place = recorder.stream.next()
        os.write(writer, f"{place.stream} {place.sequence}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    stream, sequence = os.read(reader, 200).decode().split()
    assert stream != first.stream
    assert sequence == "1"
    assert (recorder.stream.next().stream, recorder.stream.next().sequence) == (first.stream, 3)


def test_a_call_is_made_once(recorder: Recorder) -> None:
    call = recorder.call("m")
    with call:
        pass
    with pytest.raises(InvariantBroken), call:
        pass


# ---- asyncio -----------------------------------------------------------------------------------------------------------------------------
def test_async_calls(recorder: Recorder, log: LogTwin) -> None:
    async def work() -> None:
        async with recorder.call("m", "x") as call:
            assert log.kinds() == [INTENT]
            await asyncio.sleep(0)
            call.output("y")

    asyncio.run(work())
    assert log.kinds() == [INTENT, RESULT]


@pytest.mark.parametrize("when", ["intent", "block", "result"])
def test_cancelled_at_any_moment_nothing_is_left_open(recorder: Recorder, log: LogTwin, when: str) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(entry: Entry) -> None:
        if entry.kind is {"intent": INTENT, "result": RESULT}.get(when):
            entered.set()
            go_on.wait(5)

    log.before = slow

    async def work() -> None:
        async with recorder.call("m", "x"):
            if when == "block":
                entered.set()
                await asyncio.sleep(10)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.to_thread(entered.wait, 5)
        task.cancel()
        await asyncio.sleep(0.02)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log.kinds() == [INTENT, RESULT if when == "result" else ERROR]
    if when != "result":
        assert log.entries[1].fields["audit.outcome"] == "cancelled"


# ---- closed ------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("state", ["is_down", "is_closed"])
def test_closed_nothing_runs_without_its_intent_and_no_answer_leaves_without_its_result(
    recorder: Recorder, log: LogTwin, state: str
) -> None:
    setattr(log, state, True)
    with pytest.raises((PeerError, LogRefused)), recorder.call("m", "x"):
        pytest.fail("the model ran")
    setattr(log, state, False)
    with pytest.raises((PeerError, LogRefused)), recorder.call("m", "x"):
        setattr(log, state, True)
    assert log.kinds() == [INTENT]
    assert recorder.metrics.lost._value.get() == 0, "a call that fails loses nothing"
    assert recorder.metrics.records.labels("intent", "refused")._value.get() == 1


def test_closed_with_a_spool_what_was_not_run_is_told_later_and_no_number_is_missing(log: LogTwin, spool: Spool) -> None:
    recorder = Recorder(log, "billing-1", spool=spool)
    log.is_down = True
    with pytest.raises(PeerError), recorder.call("m", "x"):
        pytest.fail("the model ran")
    log.is_down = False
    with recorder.call("m"):
        pass
    wait_for(lambda: len(log.entries) == 4)
    by_number = {entry.fields["audit.caller.sequence"]: entry for entry in log.entries if entry.kind is INTENT}
    assert (by_number[1].fields.get("audit.is_late"), by_number[2].fields.get("audit.is_late")) == (True, None)
    ends = [entry for entry in log.entries if entry.fields["audit.call_id"] == by_number[1].fields["audit.call_id"]]
    assert [(e.kind, e.fields.get("audit.outcome"), e.fields.get("error.type")) for e in ends] == [
        (INTENT, None, None),
        (ERROR, "refused", "LogUnavailable"),
    ]
    recorder.close()


# ---- open --------------------------------------------------------------------------------------------------------------------------------
def test_open_needs_a_place_for_what_is_not_logged(log: LogTwin) -> None:
    with pytest.raises(ConfigRejected, match="spool"):
        Recorder(log, "x", on_failure="open")
    with pytest.raises(ValueError, match="ajar"):
        Recorder(log, "x", on_failure="ajar")


def test_open_the_call_goes_on_with_an_alarm_and_is_told_later_in_order(log: LogTwin, spool: Spool) -> None:
    alarms: list[Alarm] = []
    recorder = opened(log, spool, on_alarm=alarms.append)
    log.is_down = True
    for number in range(3):
        with recorder.call("m", f"question {number}", user="u-1") as call:
            call.output(f"answer {number}")
    assert [(alarm.kind, alarm.is_lost) for alarm in alarms] == [("intent", False), ("result", False)] * 3
    assert recorder.metrics.alarms.labels("PeerError")._value.get() == 6
    assert recorder.metrics.records.labels("intent", "spooled")._value.get() == 3
    assert spool.count() == 6
    log.is_down = False
    wait_for(lambda: len(log.entries) == 6)
    wait_for(lambda: spool.count() == 0)
    assert log.kinds() == [INTENT, RESULT] * 3
    for intent, result in zip(log.entries[::2], log.entries[1::2], strict=True):
        assert intent.fields["audit.is_late"] is result.fields["audit.is_late"] is True
        assert log.entries[int(str(result.fields["audit.intent.index"]))] is intent
    assert [entry.fields["audit.caller.sequence"] for entry in log.entries[::2]] == [1, 2, 3]
    assert log.entries[0].bodies["gen_ai.input.messages.digest"] == b"question 0"
    assert (log.entries[0].subject, log.entries[0].sealed["audit.user"]) == ("u-1", "u-1")
    recorder.close()


def test_open_a_log_that_swallows_connections_costs_its_timeout_once(log: LogTwin, spool: Spool) -> None:
    asked: list[str] = []

    class Swallowing:
        def append(self, entry: Entry, key: str | None = None) -> Any:
            asked.append(threading.current_thread().name)
            raise PeerError("no answer in time")

    recorder = opened(Swallowing(), spool)  # type: ignore[arg-type]
    for _ in range(20):
        with recorder.call("m") as call:
            call.output("y")
    assert asked.count(threading.current_thread().name) == 1
    assert spool.count() == 40
    recorder.close()


def test_open_only_the_result_is_late_when_the_log_goes_in_the_middle(log: LogTwin, spool: Spool) -> None:
    recorder = opened(log, spool)
    with recorder.call("m", "x") as call:
        log.is_down = True
        call.output("y")
    assert call.intent is not None
    log.is_down = False
    wait_for(lambda: log.kinds() == [INTENT, RESULT])
    assert "audit.is_late" not in log.entries[0].fields
    assert log.entries[1].fields["audit.is_late"] is True
    assert log.entries[1].fields["audit.intent.index"] == call.intent.index
    recorder.close()


def test_open_an_answer_of_the_log_that_was_lost_does_not_write_twice(log: LogTwin, spool: Spool) -> None:
    recorder = opened(log, spool)
    log.loses_answers = 1
    with recorder.call("m", "x") as call:
        call.output("y")
    wait_for(lambda: log.kinds() == [INTENT, RESULT])
    assert "audit.is_late" not in log.entries[0].fields
    assert log.entries[1].fields["audit.intent.index"] == 0
    recorder.close()


def test_what_a_killed_process_spooled_the_next_one_delivers(log: LogTwin, spool: Spool, tmp_path: Path) -> None:
    recorder = opened(log, spool)
    log.is_down = True
    with recorder.call("m", SECRET) as call:
        call.output("y")
    recorder.close()
    log.is_down = False
    again = opened(log, Spool.open(tmp_path / "spool.sqlite", TOKEN))
    wait_for(lambda: log.kinds() == [INTENT, RESULT])
    assert SECRET.encode() in log.entries[0].bodies.values()
    again.close()


def test_a_full_spool_loses_records_loudly_and_the_call_goes_on(log: LogTwin, tmp_path: Path) -> None:
    alarms: list[Alarm] = []
    recorder = opened(log, Spool.open(tmp_path / "small.sqlite", TOKEN, max_bytes=2000), on_alarm=alarms.append)
    log.is_down = True
    for _ in range(5):
        with recorder.call("m", "x" * 300) as call:
            call.output("y")
    assert {alarm.is_lost for alarm in alarms} == {False, True}
    assert recorder.metrics.lost._value.get() == sum(alarm.is_lost for alarm in alarms)
    recorder.close()


# ---- the spool ---------------------------------------------------------------------------------------------------------------------------
def test_the_spool_is_private_and_shows_no_content(log: LogTwin, spool: Spool, tmp_path: Path) -> None:
    recorder = opened(log, spool, error_messages=True)
    log.is_down = True
    with recorder.call("m", SECRET, user="Ada", subject="Lovelace") as call:
        call.output(SECRET)
    with pytest.raises(ValueError, match="Ada"), recorder.call("m"):
        raise ValueError(SECRET)
    recorder.close()
    files = sorted(tmp_path.glob("spool.sqlite*"))
    assert files
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        data = file.read_bytes()
        for secret in (SECRET, "Ada", "Lovelace", TOKEN, keccak256(SECRET.encode()).hex()):
            assert secret.encode() not in data, (file, secret)


def test_a_spool_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").touch(mode=0o644)
    with pytest.raises(ConfigRejected, match="0600"):
        Spool.open(tmp_path / "spool.sqlite", TOKEN)


def test_after_the_token_was_replaced_the_record_comes_without_its_content_and_says_so(log: LogTwin, spool: Spool, tmp_path: Path) -> None:
    recorder = opened(log, spool)
    log.is_down = True
    with recorder.call("m", SECRET) as call:
        call.output("y")
    recorder.close()
    log.is_down = False
    assert Spool.open(tmp_path / "spool.sqlite", "another token").deliver(log) == 2
    assert log.entries[0].fields["audit.redactions"] == ["spooled content"]
    assert (log.entries[0].sealed, log.entries[0].bodies) == ({}, {})


def test_an_altered_spool_does_not_alter_content(log: LogTwin, spool: Spool, tmp_path: Path) -> None:
    """Ciphertexts of two records are exchanged: each is bound to its own key."""
    recorder = opened(log, spool)
    log.is_down = True
    for text in ("first", "other"):
        with recorder.call("m", text):
            pass
    recorder.close()
    with sqlite3.connect(tmp_path / "spool.sqlite") as connection:
        one, two = connection.execute("SELECT id, sealed FROM spooled WHERE key LIKE '%intent' ORDER BY id").fetchall()
        connection.execute("UPDATE spooled SET sealed = ? WHERE id = ?", (two[1], one[0]))
    log.is_down = False
    Spool.open(tmp_path / "spool.sqlite", TOKEN).deliver(log)
    intents = [entry for entry in log.entries if entry.kind is INTENT]
    assert [list(entry.bodies.values()) for entry in intents] == [[], [b"other"]]


def test_an_entry_the_log_will_never_take_does_not_block_those_behind_it(log: LogTwin, spool: Spool) -> None:
    recorder = opened(log, spool)
    log.is_down = True
    for _ in range(2):
        with recorder.call("m"):
            pass
    recorder.close()
    log.is_down = False

    def refuse(entry: Entry) -> None:
        if entry.fields.get("audit.caller.sequence") == 1:
            raise EntryRejected("entry", "another")

    log.before = refuse
    spool.deliver(log)
    assert log.kinds() == [INTENT, RESULT]
    assert len(spool.refusals()) == 2, "the intent, and its result, which has no intent to point to"
    assert spool.count() == 0


def test_content_too_large_leaves_its_digest_and_says_so(recorder: Recorder, log: LogTwin) -> None:
    big = b"x" * (1 << 20)
    with recorder.call("m", big, instructions=big + b"y") as call:
        call.output("y")
    intent = log.entries[0]
    assert intent.fields["audit.redactions"] == ["gen_ai.system_instructions"]
    assert list(intent.bodies) == ["gen_ai.input.messages.digest"]
    assert intent.sealed["gen_ai.system_instructions.digest"] == to_hex(keccak256(big + b"y"))


def test_times_are_those_of_the_moment(log: LogTwin) -> None:
    with Recorder(log, "x").call("m"):
        pass
    one, two = (datetime.fromisoformat(entry.time) for entry in log.entries)
    assert one <= two
