"""The log itself: one sequencer that turns concurrent appends into batches with indices without gaps.

Order of durability for a batch, each step durable before the next begins:

    keys in the custody database  →  rows in the log's database (SEQUENCED)
    →  publisher: bundles and tiles → checkpoint database → `checkpoint` file (PUBLISHED)  →  the appenders are told

After a failure of the disk or a database the sequencer forgets what it holds in memory and runs recovery, which is the start-up path:
load the publisher, publish what is sequenced and not yet published. After a refusal (`LogRefused`) it stops for good: a log behind
its own checkpoint, or with a second sequencer beside it, signs nothing more.
"""

from __future__ import annotations

import fcntl
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import Any

from oracle import journal
from oracle.audit.access import OWN_WRITER
from oracle.audit.content import Content
from oracle.audit.custody import Custody, Keeping
from oracle.audit.custodykey import CustodyKey
from oracle.audit.incidents import check_incident
from oracle.audit.note import SignerKey
from oracle.audit.publisher import Publisher
from oracle.audit.record import CALL_ID, Previous, check_entry, encode_record, parse_record, read_call_id, require_writer
from oracle.audit.retention import Retention
from oracle.audit.seal import NOISE_BYTES, Sealed
from oracle.audit.store import CheckpointStore, EntryStore, Row
from oracle.audit.tree import hash_leaf
from oracle.errors import AffidavitError, EntryRejected, InvariantBroken, LogRefused, StoreError, TooLarge
from oracle.records import Appended, Bytes32, Checkpoint, Entry, EntryKind
from oracle.seams import Clock, format_time

MAX_BATCH = 1024
MAX_KEY = 200
_RECOVERY_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Places:
    """Where a log keeps what."""

    directory: Path  # tiles and checkpoint
    database: str  # SQLAlchemy URL: entries and ciphertexts
    checkpoint_database: str  # SQLAlchemy URL: never restored from a backup
    custody_database: str  # SQLAlchemy URL: keys; its backups are short-lived


@dataclass(frozen=True, slots=True)
class Keeper:
    """What decides over content: the custody key, and how long each class is kept."""

    key: CustodyKey
    retention: Retention


@dataclass(slots=True)
class _Submission:
    writer: str
    entry: Entry
    key: str | None
    content_digest: Bytes32
    content: Content
    retention: str
    call_id: Bytes32 | None


@dataclass(slots=True)
class _Group:
    """Entries that were handed over together: they are placed one after the other, in one batch, and answered together."""

    submissions: list[_Submission]
    future: Future[Any] = field(default_factory=Future)
    is_one: bool = False  # asked for as a single entry, and so answered

    def settle(self, answers: Sequence[Appended | AffidavitError]) -> None:
        refusals = [answer for answer in answers if isinstance(answer, AffidavitError)]
        if refusals:
            self.future.set_exception(refusals[0])
        else:
            self.future.set_result(answers[0] if self.is_one else list(answers))


class Log:
    """A running log. `append` may be called from any thread; one thread of its own does all writing."""

    def __init__(
        self, places: Places, signer: SignerKey, keeper: Keeper, clock: Clock, on_batch: Callable[[int, float], None] | None = None
    ) -> None:
        self.origin = signer.name
        self.retention = keeper.retention
        self._places = places
        self._signer = signer
        self._clock = clock
        self._on_batch = on_batch
        self._queue: queue.Queue[_Group | None] = queue.Queue()
        self._journal = journal.get("log")
        self._refusal: LogRefused | None = None
        self._drawn, self._unnamed = secrets.token_hex(16), count()
        self._publisher: Publisher | None = None
        self._replacing = threading.Lock()  # of the publisher: what is attached goes to the present one
        self.witnessed: Checkpoint | None = None  # the newest that enough witnesses cosigned
        self._sequences: dict[str, int] = {}
        self._gate = threading.Lock()
        self._lock = _lock_directory(places.directory)
        try:
            self.entries = EntryStore.open(places.database)
            self.custody = Custody.open(places.database, places.custody_database, keeper.key)
            self._checkpoints = CheckpointStore.open(places.checkpoint_database)
            self._recover()
        except BaseException:
            os.close(self._lock)
            raise
        self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)

    @classmethod
    def open(
        cls, places: Places, signer: SignerKey, keeper: Keeper, clock: Clock, on_batch: Callable[[int, float], None] | None = None
    ) -> Log:
        """Recovers and starts sequencing. Raises LogRefused for a log that is behind its own checkpoint, altered, or open elsewhere."""
        log = cls(places, signer, keeper, clock, on_batch)
        log._thread.start()
        return log

    # ---- for any thread -----------------------------------------------------------------------------------------------------------
    @property
    def checkpoint(self) -> Checkpoint:
        """The last published checkpoint."""
        publisher = self._publisher
        if publisher is None:
            raise StoreError("the log is recovering from a failed write")
        return publisher.checkpoint

    def attach(self, cosigned: Checkpoint) -> bool:
        """Publishes the last checkpoint again, with its witnesses' cosignatures. False where a newer one was published meanwhile."""
        with self._replacing:
            return self._publisher is not None and self._publisher.attach(cosigned)

    def checkpoint_for(self, index: int) -> Checkpoint:
        """What a proof of that entry leads to: a checkpoint that enough witnesses cosigned, where one covers it."""
        witnessed = self.witnessed
        return witnessed if witnessed is not None and index < witnessed.size else self.checkpoint

    @property
    def refusal(self) -> LogRefused | None:
        """Why the log signs nothing more, None while it does."""
        return self._refusal

    def submit(self, writer: str, entry: Entry, key: str | None = None) -> Future[Appended]:
        """Checks an entry and queues it. The future ends when a published checkpoint covers it, or with StoreError or LogRefused.

        Raises EntryRejected, MalformedInput, TooLarge or LogRefused at once.
        """
        return self._queue_group(_Group([self._check(require_writer(writer), entry, key)], is_one=True))

    def submit_batch(self, writer: str, items: Sequence[tuple[Entry, str | None]]) -> Future[list[Appended]]:
        """As `submit`, for up to MAX_BATCH entries with their keys: they stand one after the other, and are durable together.

        Raises for the first that is refused, and has then queued none. The future ends with the first that is refused its place, by a key
        used before for another entry or as a record of another writer's call; the others of the batch are then written.
        """
        require_writer(writer)
        if not 0 < len(items) <= MAX_BATCH:
            raise TooLarge("batch", f"1 to {MAX_BATCH} entries", len(items))
        noise = secrets.token_bytes(NOISE_BYTES * len(items))
        drawn = (noise[start : start + NOISE_BYTES] for start in range(0, len(noise), NOISE_BYTES))
        return self._queue_group(_Group([self._check(writer, entry, key, next(drawn)) for entry, key in items]))

    def _check(self, writer: str, entry: Entry, key: str | None, noise: bytes | None = None) -> _Submission:
        content_digest = check_entry(entry)
        if entry.kind is EntryKind.ANCHOR and writer != OWN_WRITER:  # told falsely, it would spoil every audit of the whole log
            raise EntryRejected("anchor entry", "one by the log itself", f"one by {writer}")
        check_incident(entry)
        if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
            raise EntryRejected("idempotency key", f"1 to {MAX_KEY} printable ASCII characters", repr(key)[:40])
        content = Content(Sealed.of(entry.sealed, noise) if entry.sealed else None, entry.bodies)
        retention = self.retention.class_of(entry.retention)
        return _Submission(writer, entry, key, content_digest, content, retention, read_call_id(entry.fields))

    def _queue_group(self, group: _Group) -> Future[Any]:
        group.future.set_running_or_notify_cancel()  # whoever stops waiting must not stop the sequencer
        with self._gate:  # so that nothing is queued after the sequencer looked at the queue for the last time
            if self._refusal is not None:
                raise self._refusal
            self._queue.put(group)
        return group.future

    def append(self, writer: str, entry: Entry, key: str | None = None) -> Appended:
        """As `submit`, and waits."""
        return self.submit(writer, entry, key).result()

    def now(self) -> datetime:
        """The log's own clock."""
        return self._clock.now()

    def refuse(self, reason: LogRefused) -> None:
        """Stops signing for good. Loudly: whoever appends from now on gets the reason."""
        if self._refusal is None:
            self._refusal = reason
            self._journal.critical("the log refuses to go on", reason=str(reason))

    def close(self) -> None:
        """Finishes what is queued and gives the directory back."""
        self._queue.put(None)
        self._thread.join()
        self.entries.close()
        self.custody.close()
        self._checkpoints.close()
        os.close(self._lock)

    # ---- the sequencer's thread -----------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            self._sequence_until_closed()
        finally:
            with self._gate:
                self._refusal = self._refusal or LogRefused("log", "open", "closed")
            self._fail_queued(self._refusal)

    def _fail_queued(self, refusal: LogRefused) -> None:
        while not self._queue.empty():
            if (group := self._queue.get_nowait()) is not None:
                group.future.set_exception(refusal)

    def _sequence_until_closed(self) -> None:
        while (first := self._queue.get()) is not None:
            groups, is_last = self._gather(first)
            started = time.perf_counter()
            self._settle(groups)
            if self._on_batch is not None:
                self._on_batch(sum(len(group.submissions) for group in groups), time.perf_counter() - started)
            if is_last:
                return

    def _gather(self, first: _Group) -> tuple[list[_Group], bool]:
        """What queued up while the last batch was written: under load batches grow by themselves, and nobody waits for a timer."""
        groups, size = [first], len(first.submissions)
        while size < MAX_BATCH:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return groups, True
            groups.append(item)
            size += len(item.submissions)
        return groups, False

    def _settle(self, groups: list[_Group]) -> None:
        """Every future of the batch ends here, in one way or another."""
        try:
            places = self._sequence_and_publish([s for group in groups for s in group.submissions])
        except LogRefused as refusal:
            self.refuse(refusal)
            _fail(groups, refusal)
        except StoreError as error:
            with self._replacing:
                self._publisher = None
            self._journal.error("a write failed; the log will recover", error=str(error), cause=repr(error.__cause__))
            _fail(groups, error)
        except BaseException as error:
            self.refuse(LogRefused("sequencer", "to work", f"a bug: {type(error).__name__}"))
            _fail(groups, error)
            raise
        else:
            answers = iter(places)
            for group in groups:
                group.settle(list(islice(answers, len(group.submissions))))

    def _sequence_and_publish(self, batch: list[_Submission]) -> list[Appended | AffidavitError]:
        if self._refusal is not None:
            raise self._refusal
        if self._publisher is None:
            self._recover()
        publisher = self._publisher
        if publisher is None:
            raise InvariantBroken("a recovered log has a publisher")
        rows, answers = self._sequence(batch, publisher.checkpoint.size)
        checkpoint = publisher.publish([row.record for row in rows])
        for row in rows:
            self._sequences[row.writer] = row.sequence
        return [a if isinstance(a, AffidavitError) else Appended(a.index, a.leaf_hash, checkpoint.size) for a in answers]

    def _sequence(self, batch: list[_Submission], size: int) -> tuple[list[Row], list[Row | AffidavitError]]:
        """Gives every new entry its place, durably. The second list has one answer for each submission."""
        with self.entries.transaction() as connection:
            known = self.entries.find_keys(connection, {s.writer for s in batch}, {s.key for s in batch if s.key is not None})
            ids = {s.call_id for s in batch if s.call_id is not None}
            calls = {i: Previous(*place) for i, place in self.entries.last_of_calls(connection, ids).items()} if ids else {}
            outside = {s.call_id for s in batch if s.call_id is not None and CALL_ID in s.entry.fields}
            owners = self.entries.owners_of_calls(connection, outside) if outside else {}
            placing = self._place(batch, size, known, calls, owners)
            if placing.rows:
                self.entries.insert(connection, placing.rows, self.custody.keep(placing.kept))
        return placing.rows, placing.answers

    def _place(
        self,
        batch: list[_Submission],
        size: int,
        known: dict[tuple[str, str], Row],
        calls: dict[Bytes32, Previous],
        owners: dict[Bytes32, str],
    ) -> _Placing:
        sequences, placing = dict(self._sequences), _Placing()
        fresh: dict[tuple[str, str], _Submission] = {}
        moment = self._clock.now()
        for s in batch:
            row = None if s.key is None else known.get((s.writer, s.key))
            if row is None and (refusal := _refuse_stranger(s, owners)) is not None:
                placing.answers.append(refusal)
                continue
            if row is None:
                sequences[s.writer] = sequences.get(s.writer, 0) + 1
                row = _make_row(s, self._key_of(s), size + len(placing.rows), sequences[s.writer], format_time(moment), calls)
                known[s.writer, row.key], fresh[s.writer, row.key] = row, s
                placing.rows.append(row)
                if not s.content.is_empty:
                    expires = self.retention.expires(s.retention, moment)
                    placing.kept.append(Keeping(row.index, s.writer, s.entry.subject, row.call_id, expires, s.content))
            is_same = row.content_digest == s.content_digest and self._seals_the_same(s, fresh.get((s.writer, row.key)), row)
            placing.answers.append(row if is_same else LogRefused(f"key {s.key}", "the entry it was first used for", "another entry"))
        return placing

    def _key_of(self, s: _Submission) -> str:
        """Where the writer gave none, one that nobody can have given: it begins with what is drawn at every start."""
        return f"random:{self._drawn}-{next(self._unnamed)}" if s.key is None else s.key

    def _seals_the_same(self, s: _Submission, first: _Submission | None, row: Row) -> bool:
        """Whether what is sealed is what the key's first entry sealed, as far as that is still kept."""
        if first is not None:
            return s.entry.sealed == first.entry.sealed
        content = self.custody.content(row.index)
        return content is None or s.entry.sealed == (content.sealed.values if content.sealed else {})

    def _recover(self) -> None:
        """The start-up path: hold the databases and files against each other, publish what is sequenced and not yet published."""
        publisher = Publisher.load(self._places.directory, self._checkpoints, self._signer)
        signed, size = publisher.checkpoint.size, self.entries.size()
        if size < signed:
            raise LogRefused("log database", f"the {signed} entries of the last signed checkpoint", f"{size}: restored from a backup?")
        self._check_last_entries(publisher)
        for start in range(signed, size, _RECOVERY_BATCH):
            publisher.publish([row.record for row in self.entries.read(start, min(size, start + _RECOVERY_BATCH))])
        self._sequences = self.entries.sequences()
        self._publisher = publisher

    def _check_last_entries(self, publisher: Publisher) -> None:
        """The last tile must be of what the database has: with the database of another log this one would go on as a fork."""
        hashes, size = publisher.read_last_hashes(), publisher.checkpoint.size
        rows = self.entries.read(size - len(hashes), size)
        if [hash_leaf(row.record) for row in rows] != hashes or [row.leaf_hash for row in rows] != hashes:
            raise LogRefused("log database", "the entries of the last tile", "others")
        kept = [row.index for row in rows if parse_record(row.record).retention is not None]
        if lost := self.custody.without_keys(kept):
            # The log itself is whole and goes on; that content cannot be read any more is for people to know, now.
            self._journal.critical("the custody database has no keys of entries it kept: restored from a backup?", entries=lost)


@dataclass(slots=True)
class _Placing:
    """What became of a batch: new rows, what custody keeps of them, and an answer for each submission."""

    rows: list[Row] = field(default_factory=list)
    kept: list[Keeping] = field(default_factory=list)
    answers: list[Row | AffidavitError] = field(default_factory=list)


def _refuse_stranger(s: _Submission, owners: dict[Bytes32, str]) -> EntryRejected | None:
    """A call outside the chain is told by whoever began it: nobody else can end it, or begin it again. Decisions of people are others'."""
    if s.call_id is None or CALL_ID not in s.entry.fields or s.entry.kind is EntryKind.OVERRIDE:
        return None
    if owners.setdefault(s.call_id, s.writer) == s.writer:
        return None
    return EntryRejected(f"{s.entry.kind} of a call", "the writer that began it", "another one")


def _make_row(s: _Submission, key: str, index: int, sequence: int, log_time: str, calls: dict[Bytes32, Previous]) -> Row:
    call_id = s.call_id
    previous = calls.get(call_id) if call_id is not None else None
    sealed, retention = s.content.sealed.root if s.content.sealed else None, None if s.content.is_empty else s.retention
    record = encode_record(s.entry, s.writer, sequence, log_time, previous, sealed, retention)
    leaf_hash = hash_leaf(record)
    if call_id is not None:
        calls[call_id] = Previous(index, leaf_hash)
    return Row(index, leaf_hash, record, str(s.entry.kind), call_id, s.writer, sequence, key, s.content_digest)


def _fail(groups: list[_Group], error: BaseException) -> None:
    for group in groups:
        group.future.set_exception(error)


def _lock_directory(directory: Path) -> int:
    """One sequencer on one directory: an advisory lock the kernel drops when the process ends, however it ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "sequencer.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"cannot open the log's directory {directory}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise LogRefused(f"log directory {directory}", "no other sequencer", "another process that holds its lock") from error
    return descriptor


class LocalWriter:
    """`oracle.seams.EntryLog` on a log in the same process."""

    def __init__(self, log: Log, writer: str) -> None:
        self._log = log
        self._writer = require_writer(writer)

    def append_batch(self, items: Sequence[tuple[Entry, str | None]]) -> list[Appended]:
        return self._log.submit_batch(self._writer, items).result()

    def append(self, entry: Entry, key: str | None = None) -> Appended:
        return self._log.append(self._writer, entry, key)
