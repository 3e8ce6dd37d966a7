"""Every kind of gap made by hand, and found; and a log without any, which is called complete and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.audit.completeness import Completeness, Limits, OfChain, Verdict, describe, judge
from oracle.audit.entries import anchor_entry
from oracle.audit.index import Index
from oracle.audit.ledger import Ledger, Stream, micros, moment_of
from oracle.audit.record import parse_record
from oracle.audit.tree import hash_leaf
from oracle.encoding import to_hex
from oracle.errors import ChainError, InvariantBroken
from oracle.records import Bytes32, EntryKind
from tests.twins.audited import LOG_ID, History
from tests.twins.plain_log import START, PlainLog, call

LIMITS = Limits()
LATER = START + timedelta(hours=1, minutes=30)


def books(log: PlainLog) -> Ledger:
    """Kept in two sittings, as an index keeps them."""
    ledger = Ledger()
    for index, data in enumerate(log.data):
        record = parse_record(data)
        ledger.enter(index, hash_leaf(data), record, micros(record.time), micros(record.log_time))
        if index == len(log.data) // 2:
            ledger = Ledger.load(ledger.dump())
    return ledger


def judged(log: PlainLog, chain: OfChain | None = None, limits: Limits = LIMITS, moment: Any = LATER) -> Completeness:
    return judge(books(log), log.publish().view().checkpoint, moment, limits, chain)


def kinds(report: Completeness) -> dict[str, int]:
    return {finding.kind: finding.count for finding in report.findings}


@pytest.fixture
def log(tmp_path: Path) -> PlainLog:
    """Three numbered calls, two of them in another order than they were numbered, and a clock."""
    made = PlainLog(tmp_path / "log")
    made.clock()
    for number, sequence in ((1, 1), (2, 3), (3, 2)):
        made.result(number, made.intent(number, at=number, stream=7, sequence=sequence), at=number + 0.5)
    return made


class Quiet:
    """A chain on which nothing of this log happened."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return {"anchors": lambda _id: (), "delivery_of": lambda _id: None, "block": lambda _n: None}[name]


def quiet(log: PlainLog) -> OfChain:
    chain: Any = Quiet()
    return OfChain(chain, LOG_ID, lambda index: micros(log.records[index]["audit.log.time"]))


# ---- gaps -------------------------------------------------------------------------------------------------------------------------------
def skip_sequence(log: PlainLog) -> int:
    return log.clock(at=9, sequence=99)


def repeat_sequence(log: PlainLog) -> int:
    return log.clock(at=9, sequence=1)


def skip_number(log: PlainLog) -> int:
    return log.result(4, log.intent(4, at=9, stream=7, sequence=5)) - 1


def repeat_number(log: PlainLog) -> int:
    return log.result(4, log.intent(4, at=9, stream=7, sequence=2)) - 1


def leave_open(log: PlainLog) -> int:
    return log.intent(4, at=9, stream=7, sequence=4)


def end_nothing(log: PlainLog) -> int:
    return log.result(9, 0)


def end_anothers(log: PlainLog) -> int:
    intent = log.intent(4, at=9, stream=7, sequence=4)
    stray = log.result(5, intent)
    log.result(4, intent)
    return stray


def end_twice(log: PlainLog) -> int:
    intent = log.intent(4, at=9, stream=7, sequence=4)
    log.result(4, intent)
    return log.result(4, intent)


def end_another_leaf(log: PlainLog) -> int:
    intent = log.intent(4, at=9, stream=7, sequence=4)
    stray = log.result(4, intent, audit__intent__leaf_hash="0x" + "11" * 32)
    log.result(4, intent)
    return stray


GAPS: dict[Callable[[PlainLog], int], str] = {
    skip_sequence: "writer_sequence",
    repeat_sequence: "writer_sequence",
    skip_number: "caller_sequence",
    repeat_number: "caller_repeated",
    leave_open: "open_intent",
    end_nothing: "stray_end",
    end_anothers: "stray_end",
    end_twice: "stray_end",
    end_another_leaf: "stray_end",
}


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.__name__)
def test_a_gap_is_found_where_it_is(log: PlainLog, gap: Callable[[PlainLog], int]) -> None:
    index = gap(log)
    report = judged(log, quiet(log), replace(LIMITS, anchor_seconds=10**9))
    assert kinds(report) == {GAPS[gap]: 1}
    assert report.findings[0].examples == (index,)
    assert report.verdict is Verdict.GAPS
    assert next(describe(report)).startswith("gaps:")


def test_a_stream_that_starts_late_lacks_its_beginning(log: PlainLog) -> None:
    log.result(4, log.intent(4, at=9, stream=8, sequence=4))
    report = judged(log)
    assert kinds(report)["caller_sequence"] == 3
    assert any(f"{8:032x}: 1–3" in finding.text for finding in report.findings)


def test_an_intent_that_is_young_is_no_gap(log: PlainLog) -> None:
    log.intent(4, at=9, stream=7, sequence=4)
    report = judged(log, moment=START + timedelta(seconds=60))
    assert report.verdict is Verdict.UNKNOWN
    assert report.to_json()["intents"] == {"count": 4, "open": 1}


# ---- doubts -----------------------------------------------------------------------------------------------------------------------------
def late(log: PlainLog) -> None:
    log.clock(at=0, logged_after=900, audit__is_late=True)


def unnumbered(log: PlainLog) -> None:
    log.result(4, log.intent(4))


def unsynchronised(log: PlainLog) -> None:
    log.clock(at=9, audit__clock__is_synchronised=False)


def clock_gap(log: PlainLog) -> None:
    log.clock(at=7300)


def silent(log: PlainLog) -> None:
    log.add(EntryKind.CONFIG, at=7300)


def ahead(log: PlainLog) -> None:
    log.clock(at=70, logged_after=-60)


def behind(log: PlainLog) -> None:
    log.clock(at=70, logged_after=60)


DOUBTS: dict[Callable[[PlainLog], None], str] = {
    late: "late",
    unnumbered: "unnumbered",
    unsynchronised: "clock_unsynchronised",
    clock_gap: "clock_gap",
    silent: "clock_silent",
    ahead: "clock_skew",
    behind: "clock_skew",
}


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: doubt.__name__)
def test_a_doubt_is_told_and_is_no_gap(log: PlainLog, doubt: Callable[[PlainLog], None]) -> None:
    doubt(log)
    report = judged(log, quiet(log), replace(LIMITS, anchor_seconds=10**9))
    assert kinds(report) == {DOUBTS[doubt]: 1}
    assert report.verdict is Verdict.UNKNOWN
    assert next(describe(report)).startswith("could not tell")


def test_without_a_chain_an_anchor_key_or_clocks_the_report_says_so(log: PlainLog, tmp_path: Path) -> None:
    assert kinds(judged(log)) == {"no_chain": 1}
    assert kinds(judged(log, replace(quiet(log), log_id=None))) == {"no_anchor_key": 1}
    timeless = PlainLog(tmp_path / "timeless")
    timeless.result(1, timeless.intent(1, stream=1, sequence=1))
    assert kinds(judged(timeless, quiet(timeless), replace(LIMITS, anchor_seconds=10**9))) == {"no_clock": 1}


def test_nothing_missing_is_complete(log: PlainLog) -> None:
    report = judged(log, quiet(log), replace(LIMITS, anchor_seconds=10**9))
    assert report.findings == ()
    assert report.verdict is Verdict.COMPLETE
    value = report.to_json()
    assert value["verdict"] == "complete"
    assert value["streams"] == {"count": 1, "numbers": 3, "missing": 0}
    assert value["writers"][0] == {"writer": "node-1", "last": 7, "clocks": 1, "ahead_microseconds": 0, "behind_microseconds": 4000}
    assert [line for line in describe(report) if line.startswith(("gap", "doubt"))] == []


def test_an_empty_log_lacks_nothing(tmp_path: Path) -> None:
    empty = PlainLog(tmp_path / "log")
    assert judged(empty, quiet(empty)).verdict is Verdict.COMPLETE


def test_books_of_another_size_are_our_own_fault(log: PlainLog) -> None:
    checkpoint = log.publish().view().checkpoint
    with pytest.raises(InvariantBroken):
        judge(Ledger(), checkpoint, LATER, LIMITS)


# ---- the chain --------------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path)
    yield made
    made.close()


def judged_history(history: History, after_seconds: float, **limits: int) -> Completeness:
    """As of a time after the chain's."""
    view = history.view()
    ledger = Ledger()
    for index in range(view.size):
        logged = view.read(index)
        ledger.enter(index, logged.leaf_hash, logged.record, micros(logged.record.time), micros(logged.record.log_time))
    moment = moment_at(history.chain.time + after_seconds)
    chain = OfChain(history.chain, LOG_ID, lambda index: micros(view.read(index).record.log_time))
    return judge(ledger, view.checkpoint, moment, replace(LIMITS, **limits), chain)


def moment_at(seconds: float) -> Any:
    return START.__class__.fromtimestamp(seconds, START.tzinfo)


def found(report: Completeness) -> dict[str, int]:
    """Without what this history's writers never told of."""
    return {kind: count for kind, count in kinds(report).items() if kind not in ("no_clock", "clock_skew")}


def test_a_delivery_without_a_receipt_record_is_a_gap(history: History) -> None:
    asked = history.ask(b"input")
    claims = [history.answer(0, asked, b"output"), history.answer(1, asked, b"output")]
    history.deliver(asked, claims, is_logged=False)
    never = history.ask(b"another")
    history.answer(0, never, b"output")
    history.anchor()
    assert "no_receipt" not in found(judged_history(history, 60, anchor_seconds=10**9))
    report = judged_history(history, 700, anchor_seconds=10**9)
    assert found(report) == {"no_receipt": 1}
    assert report.findings[-1].examples == (0,)


def test_a_delivery_with_its_receipt_is_none(history: History) -> None:
    asked = history.ask(b"input")
    history.deliver(asked, [history.answer(0, asked, b"output"), history.answer(1, asked, b"output")])
    history.anchor()
    assert found(judged_history(history, 700, anchor_seconds=10**9)) == {}


def test_an_anchor_that_is_late_missing_or_never_was(history: History) -> None:
    asked = history.ask(b"input")
    history.answer(0, asked, b"output")
    history.anchor()
    history.answer(1, asked, b"output")
    view = history.view()
    waited = history.chain.time - micros(view.read(3).record.log_time) / 1_000_000
    assert "late_anchor" not in found(judged_history(history, 0, anchor_seconds=int(waited) + 60))
    late = judged_history(history, 4000, anchor_seconds=int(waited) + 60)
    assert found(late)["late_anchor"] == 1
    assert next(f for f in late.findings if f.kind == "late_anchor").examples == (3,)
    checkpoint = history.log.checkpoint
    history.chain.anchor(LOG_ID, checkpoint.size, checkpoint.root)  # and nobody logs it
    history.answer(2, asked, b"output")
    history.anchor()
    assert found(judged_history(history, 0, anchor_seconds=10**9)) == {"unlogged_anchor": 1}


def test_an_anchor_record_of_nothing_on_chain_is_a_doubt(history: History) -> None:
    asked = history.ask(b"input")
    history.answer(0, asked, b"output")
    anchor = history.anchor()
    history.write("log", anchor_entry(replace(anchor, root=Bytes32(bytes(32))), history.domain, "log", START))
    report = judged_history(history, 0, anchor_seconds=10**9)
    assert found(report) == {"vanished_anchor": 1}
    assert report.findings[-1].examples == (3,)


@pytest.mark.parametrize("wrong", [{"audit.anchor.root": ["0x00"]}, {"audit.anchor.size": ["1"]}, {"audit.anchor.size": "1"}])
def test_an_anchor_record_of_another_form_is_a_doubt(history: History, wrong: dict[str, Any]) -> None:
    asked = history.ask(b"input")
    history.answer(0, asked, b"output")
    entry = anchor_entry(history.anchor(), history.domain, "log", START)
    history.write("log", replace(entry, fields=entry.fields | wrong))
    assert found(judged_history(history, 0, anchor_seconds=10**9)) == {"vanished_anchor": 1}


def test_an_anchor_of_more_entries_than_are_shown_is_no_completeness(history: History) -> None:
    """A log that went back behind an anchor has numbers and links without a gap."""
    asked = history.ask(b"input")
    history.deliver(asked, [history.answer(0, asked, b"output"), history.answer(1, asked, b"output")])
    anchor = history.anchor()
    history.chain.anchor(LOG_ID, anchor.size + 100, Bytes32(bytes(32)))
    report = judged_history(history, 0, anchor_seconds=10**9)
    assert found(report) == {"larger_anchor": 1}
    assert report.verdict is Verdict.UNKNOWN


def test_a_node_without_the_blocks_cannot_tell(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither how long an entry waited for its anchor, nor since when a delivery has no receipt."""
    asked = history.ask(b"input")
    history.deliver(asked, [history.answer(0, asked, b"output"), history.answer(1, asked, b"output")], is_logged=False)
    history.anchor()
    monkeypatch.setattr(history.chain, "block", lambda _number: None)
    report = judged_history(history, 700, anchor_seconds=10**9)
    assert found(report) == {"no_block": 1, "no_anchor_block": 1}
    assert report.verdict is Verdict.UNKNOWN


def test_a_dead_chain_is_the_worlds_fault(history: History) -> None:
    class Dead(Quiet):
        def __getattr__(self, name: str) -> Callable[..., Any]:
            raise ChainError("no answer") from ConnectionRefusedError()

    dead: Any = Dead()
    checkpoint = history.view().checkpoint
    with pytest.raises(ChainError):
        judge(Ledger(), checkpoint, LATER, LIMITS, OfChain(dead, LOG_ID, lambda _index: 0))


# ---- numbers of a stream --------------------------------------------------------------------------------------------------------------
@given(st.lists(st.integers(1, 30), max_size=60))
def test_a_stream_knows_what_it_lacks_in_whatever_order_it_came(numbers: list[int]) -> None:
    stream = Stream()
    for index, number in enumerate(numbers):
        stream.enter(number, index)
    missing = [n for first, last in stream.missing for n in range(first, last + 1)]
    assert missing == [n for n in range(1, max(numbers, default=0)) if n not in numbers]
    assert stream.missing_count == len(missing)
    assert stream.repeated == len(numbers) - len(set(numbers))


def test_a_number_that_leaps_far_costs_nothing() -> None:
    stream = Stream()
    stream.enter(1 << 52, 0)
    assert stream.missing_count == (1 << 52) - 1
    stream.enter(5, 1)
    assert stream.missing == [[1, 4], [6, (1 << 52) - 1]]


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_times_are_read_and_written_to_the_microsecond(time: int) -> None:
    assert micros(moment_of(time)) == time


def test_an_index_keeps_the_same_books(log: PlainLog, tmp_path: Path) -> None:
    log.intent(4, stream=7, sequence=9)
    index = Index.open(f"sqlite:///{tmp_path}/index.sqlite")
    index.follow(log.publish().view())
    checkpoint, ledger = index.books()
    assert ledger == books(log)
    assert checkpoint is not None
    assert ledger.size == checkpoint.size
    assert ledger.open_intents.keys() == {7}
    assert ledger.open_intents[7].call == call(4)
    assert ledger.open_intents[7].leaf == to_hex(hash_leaf(log.data[7]))
