"""Whether anything is missing from a log, as far as its numbers, its links and the chain can tell.

A **gap** is something known to be missing or late, or that contradicts. A **doubt** is something that this log, or what was given to
whoever asks, cannot answer. With a gap the verdict is `gaps`, else with a doubt `unknown`, else `complete`: complete as far as numbers
reach. Who never numbered a call and never sent it is not found by any of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from oracle.audit.ledger import MAX_EXAMPLES, Ledger, Noted, moment_of
from oracle.encoding import parse_bytes32, to_hex
from oracle.errors import InvariantBroken
from oracle.records import Anchor, Bytes32, Checkpoint
from oracle.seams import ChainReader, format_time

_SECOND = 1_000_000


class Severity(StrEnum):
    GAP = "gap"
    DOUBT = "doubt"


class Verdict(StrEnum):
    COMPLETE = "complete"
    GAPS = "gaps"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on something counts as missing or late, in seconds."""

    intent_seconds: int = 3600  # an intent without an end
    receipt_seconds: int = 600  # a delivery without a receipt record
    anchor_seconds: int = 3600  # an entry without an anchor
    clock_seconds: int = 7200  # between two clock records of a writer that writes any
    skew_seconds: int = 5  # between a record's own time and the log's


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is missing, late or not known. `examples` are entry indices, the first few."""

    kind: str
    severity: Severity
    count: int
    text: str
    examples: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OfChain:
    """What the chain adds: whose anchors to look for, and when an entry was logged (microseconds since 1970), by its index."""

    reader: ChainReader
    log_id: Bytes32 | None
    log_time: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Completeness:
    """The report."""

    checkpoint: Checkpoint
    moment: datetime
    limits: Limits
    ledger: Ledger
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        severities = {finding.severity for finding in self.findings}
        if Severity.GAP in severities:
            return Verdict.GAPS
        return Verdict.UNKNOWN if severities else Verdict.COMPLETE

    def to_json(self) -> dict[str, Any]:
        ledger = self.ledger
        streams = ledger.streams.values()
        return {
            "verdict": str(self.verdict),
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": to_hex(self.checkpoint.root),
            "time": format_time(self.moment),
            "limits": asdict(self.limits),
            "findings": [asdict(finding) for finding in self.findings],
            "kinds": dict(sorted(ledger.kinds.items())),
            "writers": [_writer_json(ledger, name) for name in sorted(ledger.writers)],
            "streams": {"count": len(streams), "numbers": sum(s.last for s in streams), "missing": sum(s.missing_count for s in streams)},
            "intents": {"count": ledger.intents, "open": len(ledger.open_intents)},
        }


def _writer_json(ledger: Ledger, name: str) -> dict[str, Any]:
    writer = ledger.writers[name]
    return {
        "writer": name,
        "last": writer.sequence,
        "clocks": writer.clock_count,
        "ahead_microseconds": writer.ahead[0],
        "behind_microseconds": writer.behind[0],
    }


def judge(ledger: Ledger, checkpoint: Checkpoint, moment: datetime, limits: Limits, chain: OfChain | None = None) -> Completeness:
    """The report of a log whose entries up to `checkpoint` are in `ledger`, as of `moment`.

    Raises ChainError where the chain does not answer.
    """
    if ledger.size != checkpoint.size:
        raise InvariantBroken(f"books of {ledger.size} entries for a checkpoint of {checkpoint.size}")
    now = round(moment.timestamp() * _SECOND)
    found = [*_judge_numbers(ledger), *_judge_intents(ledger, now, limits), *_judge_clocks(ledger, limits)]
    if chain is None:
        found.append(Finding("no_chain", Severity.DOUBT, 1, "no chain was given: anchors and deliveries were not looked at"))
    else:
        found += [*_judge_deliveries(ledger, chain.reader, now, limits), *_judge_anchors(ledger, chain, now, limits)]
    return Completeness(checkpoint, moment, limits, ledger, tuple(found))


def _noted(kind: str, severity: Severity, noted: Noted, text: str) -> Iterator[Finding]:
    if noted.count:
        yield Finding(kind, severity, noted.count, f"{noted.count} {text}", tuple(noted.examples))


def _indices(kind: str, severity: Severity, indices: Sequence[int], text: str) -> Iterator[Finding]:
    if indices:
        yield Finding(kind, severity, len(indices), f"{len(indices)} {text}", tuple(indices[:MAX_EXAMPLES]))


# ---- numbers and links ----------------------------------------------------------------------------------------------------------------
def _judge_numbers(ledger: Ledger) -> Iterator[Finding]:
    yield from _noted("writer_sequence", Severity.GAP, ledger.sequence_gaps, "records whose writer's sequence number does not follow")
    broken = {name: stream for name, stream in ledger.streams.items() if stream.missing}
    if missing := sum(stream.missing_count for stream in broken.values()):
        told = "; ".join(f"{name}: {_ranges(stream.missing)}" for name, stream in islice(sorted(broken.items()), 5))
        text = f"{missing} calls were numbered by the application and never logged ({told}{'; …' if len(broken) > 5 else ''})"
        yield Finding("caller_sequence", Severity.GAP, missing, text, tuple(s.index for s in islice(broken.values(), MAX_EXAMPLES)))
    repeated = {name: stream for name, stream in ledger.streams.items() if stream.repeated}
    if repeated:
        count = sum(stream.repeated for stream in repeated.values())
        text = f"{count} calls have a number that another call of their stream had"
        yield Finding("caller_repeated", Severity.GAP, count, text, tuple(s.index for s in islice(repeated.values(), MAX_EXAMPLES)))
    yield from _noted(
        "unnumbered", Severity.DOUBT, ledger.unnumbered, "calls were not numbered by the application: others may never have come"
    )


def _ranges(ranges: list[list[int]]) -> str:
    shown = ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in ranges[:5])
    return shown + (", …" if len(ranges) > 5 else "")


def _judge_intents(ledger: Ledger, now: int, limits: Limits) -> Iterator[Finding]:
    overdue = [index for index, intent in ledger.open_intents.items() if now - intent.time > limits.intent_seconds * _SECOND]
    yield from _indices("open_intent", Severity.GAP, overdue, f"intents have neither result nor error after {limits.intent_seconds} s")
    yield from _noted("stray_end", Severity.GAP, ledger.strays, "results or errors name no intent of their call that was open")
    yield from _noted("late", Severity.DOUBT, ledger.late, "records were written after the fact: their times are the writer's word alone")


# ---- clocks ---------------------------------------------------------------------------------------------------------------------------
def _judge_clocks(ledger: Ledger, limits: Limits) -> Iterator[Finding]:
    limit, skew = limits.clock_seconds * _SECOND, limits.skew_seconds * _SECOND
    gaps = [index for writer in ledger.writers.values() for index, length in writer.clock_gaps if length > limit]
    yield from _indices(
        "clock_gap", Severity.DOUBT, sorted(gaps), f"times a writer told nothing of its clock for more than {limits.clock_seconds} s"
    )
    silent = [n for n, w in ledger.writers.items() if w.clock_time is not None and ledger.last_time - w.clock_time > limit]
    if silent:
        text = f"writers stopped telling of their clocks: {', '.join(sorted(silent)[:5])}"
        yield Finding("clock_silent", Severity.DOUBT, len(silent), f"{len(silent)} {text}")
    if ledger.size and not any(writer.clock_count for writer in ledger.writers.values()):
        yield Finding("no_clock", Severity.DOUBT, 1, "no writer ever told of its clock")
    yield from _noted(
        "clock_unsynchronised", Severity.DOUBT, ledger.unsynchronised, "clock records tell of a clock that was not synchronised"
    )
    for name, writer in sorted(ledger.writers.items()):
        for word, (length, index) in (("ahead of", writer.ahead), ("behind", writer.behind)):
            if length > skew:
                text = f"the clock of {name} was up to {length / _SECOND:.1f} s {word} the log's"
                yield Finding("clock_skew", Severity.DOUBT, 1, text, (index,))


# ---- the chain ------------------------------------------------------------------------------------------------------------------------
def _judge_deliveries(ledger: Ledger, chain: ChainReader, now: int, limits: Limits) -> Iterator[Finding]:
    missing, untold = [], []
    for call, index in ledger.undelivered.items():
        receipt = chain.delivery_of(parse_bytes32(call, "request id"))
        if receipt is None:
            continue
        block = chain.block(receipt.block_number)
        if block is None:
            untold.append(index)
        elif now - block.timestamp * _SECOND > limits.receipt_seconds * _SECOND:
            missing.append(index)
    yield from _indices("no_receipt", Severity.GAP, missing, "calls were delivered on chain and have no receipt record")
    yield from _indices("no_block", Severity.DOUBT, untold, "deliveries are in blocks that this chain's node does not have")


def _judge_anchors(ledger: Ledger, chain: OfChain, now: int, limits: Limits) -> Iterator[Finding]:
    if chain.log_id is None:
        yield Finding("no_anchor_key", Severity.DOUBT, 1, "no anchor key was given: which anchors are of this log is not known")
        return
    found = chain.reader.anchors(chain.log_id)
    anchors = [anchor for anchor in found if anchor.size <= ledger.size]
    if larger := len(found) - len(anchors):
        text = f"{larger} anchors on chain are of more entries than the {ledger.size} looked at: there are, or were, others behind them"
        yield Finding("larger_anchor", Severity.DOUBT, larger, text)
    ends = [(anchor.size, _block_time(chain.reader, anchor)) for anchor in anchors]
    if unknown := [size for size, time in ends if not time]:
        text = f"{len(unknown)} anchors are in blocks that this chain's node does not have: how long entries waited is not known"
        yield Finding("no_anchor_block", Severity.DOUBT, len(unknown), text)
    late = [size for size, waited in _waits(ledger, chain, ends, now) if waited > limits.anchor_seconds * _SECOND]
    yield from _indices("late_anchor", Severity.GAP, late, f"times an entry waited more than {limits.anchor_seconds} s for its anchor")
    told = [(index, size, root if isinstance(root, str) else "") for index, size, root in ledger.anchors]  # a record may say anything
    logged = {(size, root) for _, size, root in told if type(size) is int}
    newest = anchors[-1].size if anchors else 0
    missing = [a.size for a in anchors if (a.size, to_hex(a.root)) not in logged and a.size < newest]
    yield from _indices("unlogged_anchor", Severity.GAP, missing, "anchors on chain were never logged; the entries at those sizes follow")
    on_chain = {(a.size, to_hex(a.root)) for a in anchors}
    vanished = [index for index, size, root in told if type(size) is not int or (size, root) not in on_chain]
    yield from _indices(
        "vanished_anchor", Severity.DOUBT, vanished, "anchor records tell of anchors of another log, or that the chain does not have"
    )


def _waits(ledger: Ledger, chain: OfChain, ends: Sequence[tuple[int, int]], now: int) -> Iterator[tuple[int, int]]:
    """(index, microseconds) of the first entry after each anchor until the next. Records of anchors need none themselves.

    `ends` are sizes that were anchored, and when.
    """
    of_anchors = {index for index, _, _ in ledger.anchors}
    start = 0
    for size, anchored_at in [*ends, (ledger.size, now)]:
        first = next((index for index in range(start, size) if index not in of_anchors), None)
        if first is not None:
            yield first, anchored_at - chain.log_time(first)
        start = max(start, size)


def _block_time(chain: ChainReader, anchor: Anchor) -> int:
    """Microseconds since 1970; 0 for a block that the chain's node does not have."""
    block = chain.block(anchor.block_number)
    return 0 if block is None else block.timestamp * _SECOND


def describe(report: Completeness) -> Iterator[str]:
    """Lines for people: the verdict first, then what was counted, then what was found, gaps before doubts."""
    words = {
        Verdict.COMPLETE: "complete: nothing is missing, as far as numbers, links and the chain tell",
        Verdict.GAPS: "gaps: something is missing or late",
        Verdict.UNKNOWN: "could not tell: no gap was found, but not everything could be looked at",
    }
    ledger, streams = report.ledger, report.ledger.streams.values()
    yield words[report.verdict]
    yield f"{report.checkpoint.size} entries, the newest logged {moment_of(ledger.last_time) if ledger.size else 'never'}"
    yield f"{len(ledger.writers)} writers; {len(streams)} caller streams with {sum(s.last for s in streams)} numbered calls"
    yield f"{ledger.intents} intents, {len(ledger.open_intents)} of them without result or error so far"
    for severity in Severity:
        for finding in report.findings:
            if finding.severity is severity:
                where = (
                    f" (entries {', '.join(map(str, finding.examples[:5]))}{', …' if finding.count > 5 else ''})"
                    if finding.examples
                    else ""
                )
                yield f"{severity}: {finding.text}{where}"
