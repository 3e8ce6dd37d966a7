"""The books of what could be missing from a log: numbers, links and clocks, kept while the entries go by in their order.

Integrity does not give completeness: a record that was never written leaves no hash. Against that stand the sequence numbers of writers and
of the applications that record, intents and what ended them, clocks, anchors, calls of the chain and their receipts. A `Ledger` is small
whatever the size of the log, is taken up again where it was left, and judges nothing (`oracle.audit.completeness` does). What goes in was
held against the tree before.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from oracle.audit.record import CALL_ID, Record
from oracle.encoding import to_hex
from oracle.records import EntryKind

MAX_EXAMPLES = 20
_SECOND = 1_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LEAST_CLOCK_GAP = 600 * _SECOND
_ENDS = (EntryKind.RESULT, EntryKind.ERROR)


def micros(text: str) -> int:
    """A record's time as microseconds since 1970."""
    return micros_of(datetime.fromisoformat(text))


def micros_of(moment: datetime) -> int:
    """An aware moment as microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(time: int) -> str:
    """And back to the record's form, also in years of three digits, which `strftime` does not pad."""
    return (_EPOCH + time * _MICROSECOND).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Noted:
    """How often something was seen, and where first."""

    count: int = 0
    examples: list[int] = field(default_factory=list)  # entry indices

    def note(self, index: int) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(index)


@dataclass(slots=True)
class Stream:
    """The calls one run of a recording application numbered before it sent them. They may arrive in another order."""

    last: int = 0
    missing: list[list[int]] = field(default_factory=list)  # ranges [first, last] below `last`, ascending
    repeated: int = 0
    index: int = 0  # of its newest record

    def enter(self, number: int, index: int) -> None:
        self.index = index
        if number > self.last:
            if number > self.last + 1:
                self.missing.append([self.last + 1, number - 1])
            self.last = number
        elif not self._fill(number):
            self.repeated += 1

    def _fill(self, number: int) -> bool:
        at = bisect_right(self.missing, number, key=lambda gap: gap[0]) - 1
        if at < 0 or not self.missing[at][0] <= number <= self.missing[at][1]:
            return False
        first, last = self.missing[at]
        self.missing[at : at + 1] = [[a, b] for a, b in ((first, number - 1), (number + 1, last)) if a <= b]
        return True

    @property
    def missing_count(self) -> int:
        return sum(last - first + 1 for first, last in self.missing)


@dataclass(slots=True)
class Writer:
    """One writer's numbers and clock."""

    sequence: int = 0
    clock_time: int | None = None  # of its newest clock record
    clock_count: int = 0
    clock_gaps: list[list[int]] = field(default_factory=list)  # [index, microseconds] of the longest
    ahead: list[int] = field(default_factory=lambda: [0, 0])  # [microseconds, index]: its time is after the log's
    behind: list[int] = field(default_factory=lambda: [0, 0])  # its time is before the log's, in records that are not late

    def enter_clock(self, index: int, time: int) -> None:
        if self.clock_time is not None and time - self.clock_time >= _LEAST_CLOCK_GAP:
            self.clock_gaps = sorted([*self.clock_gaps, [index, time - self.clock_time]], key=lambda gap: -gap[1])[:MAX_EXAMPLES]
        self.clock_time = time
        self.clock_count += 1

    def enter_skew(self, index: int, skew: int) -> None:
        """`skew` is the log's time less the writer's."""
        if -skew > self.ahead[0]:
            self.ahead = [-skew, index]
        if skew > self.behind[0]:
            self.behind = [skew, index]


@dataclass(slots=True)
class OpenIntent:
    """An intent that nothing has ended yet."""

    call: str  # id, hex
    leaf: str  # hash, hex
    time: int


@dataclass(slots=True)
class Ledger:
    """The books. `enter` takes the entries in their order, each once."""

    size: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    writers: dict[str, Writer] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)  # by "<writer> <stream>"
    intents: int = 0
    unnumbered: Noted = field(default_factory=Noted)  # intents outside the chain, without a caller's number
    open_intents: dict[int, OpenIntent] = field(default_factory=dict)
    sequence_gaps: Noted = field(default_factory=Noted)
    strays: Noted = field(default_factory=Noted)  # results and errors that name no open intent of their call
    late: Noted = field(default_factory=Noted)
    unsynchronised: Noted = field(default_factory=Noted)
    anchors: list[list[Any]] = field(default_factory=list)  # [index, size, root]
    undelivered: dict[str, int] = field(default_factory=dict)  # calls of the chain without a receipt: id and first index
    last_time: int = 0  # the log's, of the newest entry

    def enter(self, index: int, leaf_hash: bytes, record: Record, time: int, log_time: int) -> None:
        """The next entry; `time` and `log_time` are the record's, in microseconds since 1970."""
        self.size, self.last_time = index + 1, log_time
        self.kinds[record.kind] = self.kinds.get(record.kind, 0) + 1
        writer = self.writers.setdefault(record.writer, Writer())
        if record.sequence != writer.sequence + 1:
            self.sequence_gaps.note(index)
        writer.sequence = record.sequence
        if record.fields.get("audit.is_late") is True:
            self.late.note(index)
        else:
            writer.enter_skew(index, log_time - time)
        self._enter_kind(index, leaf_hash, record, time, writer)

    def _enter_kind(self, index: int, leaf_hash: bytes, record: Record, time: int, writer: Writer) -> None:
        call = record.call_id
        if record.kind is EntryKind.CLOCK:
            writer.enter_clock(index, time)
            if record.fields.get("audit.clock.is_synchronised") is False:
                self.unsynchronised.note(index)
        elif record.kind is EntryKind.ANCHOR:
            self.anchors.append([index, record.fields.get("audit.anchor.size"), record.fields.get("audit.anchor.root")])
        elif call is not None:
            if CALL_ID not in record.fields:
                self._enter_chain_call(index, record, to_hex(call))
            if record.kind is EntryKind.INTENT:
                self._enter_intent(index, leaf_hash, record, to_hex(call), time)
            elif record.kind in _ENDS and (record.kind is EntryKind.RESULT or "audit.intent.index" in record.fields):
                self._enter_end(index, record, to_hex(call))

    def _enter_chain_call(self, index: int, record: Record, call: str) -> None:
        if record.kind is EntryKind.RECEIPT:
            self.undelivered.pop(call, None)
        elif record.previous is None:
            self.undelivered[call] = index

    def _enter_intent(self, index: int, leaf_hash: bytes, record: Record, call: str, time: int) -> None:
        self.intents += 1
        self.open_intents[index] = OpenIntent(call, to_hex(leaf_hash), time)
        stream, number = record.fields.get("audit.caller.stream"), record.fields.get("audit.caller.sequence")
        if isinstance(stream, str) and type(number) is int and number > 0:
            self.streams.setdefault(f"{record.writer} {stream}", Stream()).enter(number, index)
        elif CALL_ID in record.fields:
            self.unnumbered.note(index)

    def _enter_end(self, index: int, record: Record, call: str) -> None:
        """Ends the intent it names, if that is one of its own call and still open."""
        named = record.fields.get("audit.intent.index")
        intent = self.open_intents.get(named) if type(named) is int else None
        if intent is None or intent.call != call or record.fields.get("audit.intent.leaf_hash", intent.leaf) != intent.leaf:
            self.strays.note(index)
        else:
            del self.open_intents[named]  # type: ignore[arg-type]

    # ---- kept between two readings ------------------------------------------------------------------------------------------------
    def dump(self) -> bytes:
        """Streams without names for their values: an application that is started for every call has one for every call."""
        value: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        value |= {name: asdict(getattr(self, name)) for name in _NOTED}
        value["writers"] = {name: asdict(writer) for name, writer in self.writers.items()}
        value["streams"] = {name: [s.last, s.missing, s.repeated, s.index] for name, s in self.streams.items()}
        value["open_intents"] = {index: [i.call, i.leaf, i.time] for index, i in self.open_intents.items()}
        return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)

    @classmethod
    def load(cls, data: bytes) -> Ledger:
        value: dict[str, Any] = json.loads(zlib.decompress(data))
        for name in _NOTED:
            value[name] = Noted(**value[name])
        value["writers"] = {name: Writer(**writer) for name, writer in value["writers"].items()}
        value["streams"] = {name: Stream(*stream) for name, stream in value["streams"].items()}
        value["open_intents"] = {int(index): OpenIntent(*intent) for index, intent in value["open_intents"].items()}
        return cls(**value)


_PLAIN = ("size", "kinds", "intents", "anchors", "undelivered", "last_time")
_NOTED = ("unnumbered", "sequence_gaps", "strays", "late", "unsynchronised")
