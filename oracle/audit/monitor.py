"""Following a log that may lie: each round holds the newest checkpoint against everything that was kept of the log before.

    1. the chain's anchors and the witnesses' own checkpoints are read first: an honest log is never behind them afterwards
    2. the checkpoint: signed by the log's key, not smaller than the last, the same root at the same size, and a tree that extends it
    3. every new entry: in the tree, its leaf tile the hash of it, a record, its writer's next number, its times possible
    4. anchors: each is a head of this tree, and none is late
    5. witnesses: what they cosigned is this tree, and enough of them did
    6. the log still writes

What is wrong is a finding, and becomes an alarm (`oracle.audit.alarms`). A log that was proven false is not believed further: the head that
was believed before stays. The world's errors are no findings but silence: a monitor that cannot see says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from oracle import journal
from oracle.audit.alarms import Alarm, AlarmKind, Finding, Severity
from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.content import Content
from oracle.audit.late import is_late
from oracle.audit.monitor_store import THE_LOG, LogState, MonitorStore, WriterState
from oracle.audit.note import MAX_NOTE_BYTES, VerifierKey
from oracle.audit.policy import Policy
from oracle.audit.record import Record, parse_record
from oracle.audit.source import LogSource
from oracle.audit.tiles import WIDTH, Tile, tile_at
from oracle.audit.tree import compute_root_from
from oracle.audit.verified import VerifiedTiles
from oracle.audit.view import LogView
from oracle.audit.witness import WitnessClient
from oracle.audit.witnessed import judge_witnesses
from oracle.errors import EntryRejected, MalformedInput, NoteRejected, PeerError, Rejected, WorldError
from oracle.records import Anchor, Bytes32, Checkpoint, EntryKind
from oracle.seams import Clock

SAVE_EVERY = 64
"""Bundles read between two saves of how far the monitor came."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on something is late, in seconds."""

    silence_seconds: int = 60  # a log that does not answer, or refuses
    stale_seconds: int = 7200  # a log that writes nothing: an hourly record of its clock is the least
    anchor_seconds: int = 3600  # an entry without an anchor
    witness_seconds: int = 300  # an entry that not enough witnesses cosigned
    skew_seconds: int = 5  # a record's own time against the log's, and the log's against ours


@dataclass(frozen=True, slots=True)
class Beside:
    """What the log is held against. Each may be left out; what is left out is not judged."""

    anchors: Callable[[], Sequence[Anchor]] | None = None  # raises ChainError
    policy: Policy | None = None
    witnesses: Sequence[WitnessClient] = ()
    read_refusal: Callable[[], str | None] | None = None  # why the log refuses to go on, by its own word; raises PeerError


@dataclass(frozen=True, slots=True)
class MonitorRound:
    """What one round came to."""

    size: int  # of the head that is believed now
    audited: int
    changed: tuple[Alarm, ...]
    alarms: tuple[Alarm, ...]  # all that stand
    unseen: tuple[str, ...]  # what did not answer

    @property
    def is_seen(self) -> bool:
        return not self.unseen


class _Pinned:
    """A source whose checkpoint is the one that was read."""

    def __init__(self, source: LogSource, note: bytes) -> None:
        self._source = source
        self._note = note

    def read_checkpoint(self) -> bytes:
        return self._note

    def read_witnessed(self) -> bytes | None:
        return self._source.read_witnessed()

    def read_tile(self, tile: Tile) -> bytes:
        return self._source.read_tile(tile)

    def read_contents(self, first: int, end: int) -> Mapping[int, Content]:
        return self._source.read_contents(first, end)

    def find_entries(self, request_id: Bytes32) -> Sequence[int] | None:
        return self._source.find_entries(request_id)


@dataclass(slots=True)
class _Looked:
    """One round in progress."""

    now: int
    state: LogState
    findings: list[Finding] = field(default_factory=list)
    looked_at: set[AlarmKind] = field(default_factory=set)
    unseen: list[str] = field(default_factory=list)
    changed: list[Alarm] = field(default_factory=list)

    def find(self, kind: AlarmKind, subject: str, text: str, evidence: Mapping[str, str] | None = None, grace_seconds: int = 0) -> None:
        is_warning = kind in (AlarmKind.LATE_ANCHOR, AlarmKind.WITNESS, AlarmKind.CLOCK)
        severity = Severity.WARNING if is_warning else Severity.CRITICAL
        self.findings.append(Finding(kind, severity, _plain(subject)[:700], _plain(text), evidence or {}, grace_seconds))


class _Disbelieved(Exception):
    """The checkpoint is not believed; what is wrong with it is among the findings."""


class Monitor:
    """One log, followed. Used by one thread."""

    def __init__(
        self,
        source: LogSource,
        key: VerifierKey,
        store: MonitorStore,
        clock: Clock,
        beside: Beside | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.origin = key.name
        self._source = source
        self._key = key
        self._store = store
        self._clock = clock
        self._beside = beside or Beside()
        self._limits = limits or Limits()
        self._journal = journal.get("monitor")

    def run_once(self) -> MonitorRound:
        """Looks once. Raises StoreError when the monitor's own database fails; all else becomes findings."""
        looked = _Looked(int(self._clock.now().timestamp()), self._store.load(self.origin))
        try:
            self._look(looked)
        except _Disbelieved:
            pass
        except PeerError as error:
            looked.unseen.append(str(error))
        except Rejected as error:  # what was true at one look and is not at the next
            looked.find(AlarmKind.FALSE, "answers", f"the log answers one thing and then another: {error}")
        self._judge_silence(looked)
        return self._finish(looked)

    def _finish(self, looked: _Looked) -> MonitorRound:
        self._save(looked, sorted(looked.looked_at))
        head = looked.state.head
        standing = tuple(self._store.open_alarms(self.origin))
        return MonitorRound(head.size if head else 0, looked.state.audited, tuple(looked.changed), standing, tuple(looked.unseen))

    def _save(self, looked: _Looked, looked_at: Sequence[AlarmKind]) -> None:
        looked.changed += self._store.save(self.origin, looked.state, looked.findings, looked_at, looked.now)

    # ---- one round ----------------------------------------------------------------------------------------------------------------------
    def _look(self, looked: _Looked) -> None:
        anchors, shown = self._read_anchors(looked), self._read_witnesses()
        note = self._read_checkpoint(looked)
        evidence = {"checkpoint": note.decode("utf-8", "replace")} if len(note) <= MAX_NOTE_BYTES else {}
        with _disbelieving(looked, AlarmKind.FALSE, "checkpoint", evidence):
            view = LogView(_Pinned(self._source, note), self._key)
        with _disbelieving(looked, AlarmKind.FALSE, "tiles"):
            tiles = VerifiedTiles(view)
        self._require_extension(looked, view, tiles)
        looked.state.head = view.checkpoint
        self._audit_entries(looked, view, tiles)
        if anchors is not None:
            self._judge_anchors(looked, view, tiles, anchors)
        self._judge_shown(looked, view, tiles, shown)
        self._judge_witnesses(looked, view, tiles)
        self._judge_clocks(looked)

    def _read_checkpoint(self, looked: _Looked) -> bytes:
        try:
            return self._source.read_checkpoint()
        except (WorldError, Rejected) as error:  # also what answers, and not with a checkpoint
            looked.unseen.append(str(error))
            raise _Disbelieved from error

    def _require_extension(self, looked: _Looked, view: LogView, tiles: VerifiedTiles) -> None:
        """The new checkpoint is of the log that was believed until now."""
        head, new = looked.state.head, view.checkpoint
        if head is None or head.size == 0:
            return
        evidence = {"kept": head.note, "shown": new.note}
        if new.size < head.size:
            looked.find(AlarmKind.ROLLBACK, "checkpoint", f"the log shows {new.size} entries, and has shown {head.size}", evidence)
            raise _Disbelieved
        with _disbelieving(looked, AlarmKind.FALSE, "tiles"):
            root = compute_root_from(head.size, tiles.subtree)
        if root != head.root:
            text = f"the tree of size {new.size} does not extend the one of size {head.size} that was signed before"
            looked.find(AlarmKind.FORK, f"checkpoint of size {head.size}", text, evidence)
            raise _Disbelieved

    # ---- entries ------------------------------------------------------------------------------------------------------------------------
    def _audit_entries(self, looked: _Looked, view: LogView, tiles: VerifiedTiles) -> None:
        start = looked.state.audited
        for position, number in enumerate(range(start // WIDTH, -(-view.size // WIDTH)), start=1):
            with _disbelieving(looked, AlarmKind.FALSE, f"entry bundle {number}"):
                leaves = tiles.bundle(number)
            self._check_tile(looked, view, number, [leaf_hash for leaf_hash, _ in leaves])
            for offset, (_, data) in enumerate(leaves):
                if number * WIDTH + offset >= looked.state.audited:
                    self._audit_entry(looked, number * WIDTH + offset, data)
                    looked.state.audited = number * WIDTH + offset + 1
            if position % SAVE_EVERY == 0:  # what was found so far goes with how far it was read
                self._save(looked, ())

    def _check_tile(self, looked: _Looked, view: LogView, number: int, leaf_hashes: Sequence[bytes]) -> None:
        tile = tile_at(0, number, view.size)
        try:
            is_true = view.source.read_tile(tile) == b"".join(leaf_hashes)
        except MalformedInput:
            is_true = False
        if not is_true:
            looked.find(AlarmKind.FALSE, tile.path(), f"{tile.path()} is not the hashes of its entries, or is missing")

    def _audit_entry(self, looked: _Looked, index: int, data: bytes) -> None:
        try:
            record = parse_record(data)
        except EntryRejected as error:
            looked.find(AlarmKind.FALSE, f"entry {index}", f"entry {index} is no record: {error}")
            return
        writer = looked.state.writers.setdefault(record.writer, WriterState())
        if record.sequence != writer.sequence + 1:
            text = f"entry {index} is number {record.sequence} of {record.writer}, after number {writer.sequence}"
            looked.find(AlarmKind.GAP, f"{record.writer} before entry {index}", text)
        writer.sequence = record.sequence
        self._note_times(looked, index, record, writer)

    def _note_times(self, looked: _Looked, index: int, record: Record, writer: WriterState) -> None:
        """What is wrong with a clock stands until a record of that clock is right again."""
        limit, log_time = self._limits.skew_seconds, _seconds(record.log_time)
        skew = _seconds(record.time) - log_time
        is_skewed = skew > limit or (skew < -limit and not is_late(record.fields))
        writer.skew = f"entry {index} of {record.writer} has a time {skew:+.1f} s from the log's" if is_skewed else ""
        own = looked.state.writers.setdefault(THE_LOG, WriterState())
        own.skew = ""
        if record.log_time < looked.state.log_time:
            own.skew = f"entry {index} was logged at {record.log_time}, before the one ahead of it at {looked.state.log_time}"
        elif log_time > looked.now + limit:
            own.skew = f"entry {index} was logged at {record.log_time}, {log_time - looked.now:.1f} s in the future"
        looked.state.log_time = max(looked.state.log_time, record.log_time)
        if record.kind is EntryKind.CLOCK:
            is_loose = record.fields.get("audit.clock.is_synchronised") is False
            writer.discipline = f"entry {index}: nobody disciplines the clock of {record.writer}" if is_loose else ""

    def _judge_clocks(self, looked: _Looked) -> None:
        looked.looked_at.add(AlarmKind.CLOCK)
        for name, writer in looked.state.writers.items():
            for aspect, text in (("skew", writer.skew), ("discipline", writer.discipline)):
                if text:
                    looked.find(AlarmKind.CLOCK, f"{aspect} of {name or 'the log'}", text)

    # ---- anchors ------------------------------------------------------------------------------------------------------------------------
    def _read_anchors(self, looked: _Looked) -> Sequence[Anchor] | None:
        if self._beside.anchors is None:
            return None
        try:
            return self._beside.anchors()
        except WorldError as error:
            looked.unseen.append(str(error))
            return None

    def _judge_anchors(self, looked: _Looked, view: LogView, tiles: VerifiedTiles, anchors: Sequence[Anchor]) -> None:
        for anchor in sorted(anchors, key=lambda a: a.size):
            subject = f"anchor of size {anchor.size}"
            told = f"the chain has an anchor of size {anchor.size} in block {anchor.block_number}"
            evidence = {"shown": view.checkpoint.note}
            if anchor.size > view.size:
                looked.find(AlarmKind.ROLLBACK, subject, f"{told}; the log shows {view.size} entries", evidence)
            elif anchor.size > looked.state.anchored:
                if compute_root_from(anchor.size, tiles.subtree) != anchor.root:
                    looked.find(AlarmKind.FORK, subject, f"{told} with another root than the log's tree", evidence)
                    continue
                looked.state.anchored = anchor.size
        looked.looked_at.add(AlarmKind.LATE_ANCHOR)
        covered = max((anchor.size for anchor in anchors), default=0)
        waiting = self._oldest(tiles, covered, view.size)
        if waiting is not None and looked.now - waiting[1] > self._limits.anchor_seconds:
            text = f"entry {waiting[0]} waits for an anchor since {looked.now - int(waiting[1])} s; the newest anchor is of size {covered}"
            looked.find(AlarmKind.LATE_ANCHOR, "anchor", text)

    def _oldest(self, tiles: VerifiedTiles, start: int, end: int) -> tuple[int, float] | None:
        """The first entry from `start` on that is no anchor, and when it was logged. What does not parse was found before."""
        for index, _, data in tiles.leaves(start, end) if start < end else ():
            try:
                record = parse_record(data)
            except EntryRejected:
                continue
            if record.kind is not EntryKind.ANCHOR:
                return index, _seconds(record.log_time)
        return None

    # ---- witnesses ----------------------------------------------------------------------------------------------------------------------
    def _read_witnesses(self) -> dict[str, Checkpoint]:
        """What each witness shows of this log, as far as it is signed by the log. A witness that does not answer is a quorum's matter."""
        shown: dict[str, Checkpoint] = {}
        for client in self._beside.witnesses:
            try:
                note = client.read_checkpoint(self.origin)
                if note is not None:
                    shown[client.witness.name] = open_checkpoint(note, self._key)
            except (PeerError, NoteRejected) as error:
                self._journal.warning("a witness shows nothing of the log", witness=client.witness.name, reason=str(error))
        return shown

    def _judge_shown(self, looked: _Looked, view: LogView, tiles: VerifiedTiles, shown: Mapping[str, Checkpoint]) -> None:
        """Two checkpoints of one log that do not fit together are proof of a split view, whoever shows them."""
        for name, checkpoint in shown.items():
            evidence = {"shown by the witness": checkpoint.note, "shown": view.checkpoint.note}
            if checkpoint.size > view.size:
                text = f"witness {name} has {checkpoint.size} entries by the log's own signature; the log shows {view.size}"
                looked.find(AlarmKind.ROLLBACK, f"witness {name}", text, evidence)
            elif checkpoint.size and compute_root_from(checkpoint.size, tiles.subtree) != checkpoint.root:
                text = f"witness {name} was shown another tree of size {checkpoint.size}, signed by the log"
                looked.find(AlarmKind.FORK, f"witness {name} at size {checkpoint.size}", text, evidence)

    def _judge_witnesses(self, looked: _Looked, view: LogView, tiles: VerifiedTiles) -> None:
        if self._beside.policy is None:
            return
        try:
            verdict = judge_witnesses(view, self._beside.policy, looked.now)
        except Rejected as error:
            looked.find(AlarmKind.FALSE, "cosignatures", str(error), {"checkpoint": view.checkpoint.note})
            return
        looked.looked_at.add(AlarmKind.WITNESS)
        waiting = None if verdict.is_met and not verdict.names else self._oldest(tiles, verdict.size, view.size)
        if waiting is not None and looked.now - waiting[1] > self._limits.witness_seconds:
            looked.find(AlarmKind.WITNESS, "quorum", f"entry {waiting[0]} waits since {looked.now - int(waiting[1])} s; {verdict.text}")

    # ---- silence ------------------------------------------------------------------------------------------------------------------------
    def _judge_silence(self, looked: _Looked) -> None:
        looked.looked_at.add(AlarmKind.SILENCE)
        for number, text in enumerate(looked.unseen):
            looked.find(AlarmKind.SILENCE, f"answer {number}" if number else "answer", text, grace_seconds=self._limits.silence_seconds)
        refusal = self._read_refusal(looked)
        if refusal is not None:
            looked.find(AlarmKind.SILENCE, "refusal", f"the log refuses to go on: {refusal}", grace_seconds=self._limits.silence_seconds)
        newest = looked.state.log_time
        if newest and looked.now - _seconds(newest) > self._limits.stale_seconds:
            looked.find(AlarmKind.SILENCE, "stale", f"the newest entry was logged at {newest}, {looked.now - int(_seconds(newest))} s ago")

    def _read_refusal(self, looked: _Looked) -> str | None:
        if self._beside.read_refusal is None or looked.unseen:
            return None
        try:
            return self._beside.read_refusal()
        except PeerError as error:
            looked.unseen.append(str(error))
            return None


def _plain(text: str) -> str:
    """What may be quoted from the log or a policy, as text that UTF-8 can write."""
    return text.encode("utf-8", "backslashreplace").decode()


def _seconds(text: str) -> float:
    """A record's time as POSIX seconds."""
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def _disbelieving(looked: _Looked, kind: AlarmKind, subject: str, evidence: Mapping[str, str] | None = None) -> Iterator[None]:
    """Whatever is rejected inside is a finding, and the end of the round. The world's errors pass through."""
    try:
        yield
    except Rejected as error:
        looked.find(kind, subject, str(error), evidence)
        raise _Disbelieved from error
