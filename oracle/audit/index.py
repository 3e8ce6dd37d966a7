"""Finding records: an index that is a projection of the log, in a database of its own, and believes nobody.

It is built from the tiles alone, holding every entry against the signed root before it takes it in; deleted, it is built again and says
the same. It remembers the checkpoint it is built to, and refuses to follow a log that does not extend it. What a search finds is what the
records say; that they are true is for `oracle.audit.verify` to say.

A search is answered from sets of records (`oracle.audit.projection`): every filter is one or a few of them, and filters together are their
intersection, block by block from the newest. That costs the same whether a word stands in every record or in none.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, and_, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from oracle.audit import bits
from oracle.audit.bits import BLOCK
from oracle.audit.callstate import CallState
from oracle.audit.ledger import Ledger, micros_of, moment_of
from oracle.audit.note import VerifierKey
from oracle.audit.overview import Overview, read_overview
from oracle.audit.parallel import Workers
from oracle.audit.prepared import Prepared, prepare_entries
from oracle.audit.projection import (
    Projection,
    calls,
    chunks,
    decode_shard,
    followed,
    insert_missing,
    moments,
    read_postings,
    records,
    shards,
)
from oracle.audit.source import LogSource
from oracle.audit.terms import KEY_BYTES, Keys, facet, hex_term, read_hex, word_terms
from oracle.audit.tiles import WIDTH
from oracle.audit.tree import EMPTY_ROOT, Frontier
from oracle.audit.verified import VerifiedTiles
from oracle.audit.view import LogView
from oracle.encoding import to_hex
from oracle.errors import LogRefused, MalformedInput, ProofRejected, StoreError
from oracle.records import Bytes32, Checkpoint
from oracle.store import open_database, reading

MAX_PAGE = 500
MAX_WORDS = 16
MAX_COUNTED = 256  # blocks, about four million records: beyond them a page has no total
_GROUP = 64  # blocks that are looked at together
_BATCH = BLOCK  # entries a transaction
_MAX_STATES = 1 << 12  # calls, 1.5 KiB each: a call's records come together, and the state of one of before is read again
_WORTH_PROCESSES = 1 << 14  # entries: below, starting processes takes longer than they save

OnProgress = Callable[[str, int, int], None]
"""(what, done, of how many)"""


def _no_progress(_what: str, _done: int, _total: int) -> None:
    """For callers that show none."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What records must have; all of it together. Left out is any.

    `hash` is any digest, id or address in the record or its own leaf hash, `text` words that all stand in its public text, `start` and
    `end` its own time (`audit.time`), from … and before. Model, caller, outcome, verdict and evidence are those of the record's call.
    """

    kind: str | None = None
    writer: str | None = None
    model: str | None = None  # name or id
    caller: str | None = None
    outcome: str | None = None
    verdict: str | None = None
    evidence: str | None = None
    call_id: str | None = None
    hash: str | None = None
    transaction: str | None = None
    text: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def to_json(self) -> dict[str, str]:
        """What is asked for, by name; times as records write them."""
        value = {name: item for name, item in asdict(self).items() if item is not None}
        return {name: moment_of(_micros_of(item)) if isinstance(item, datetime) else item for name, item in value.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """One record as a search shows it. What belongs to a call is as of the newest record of that call."""

    index: int
    time: str
    kind: str
    writer: str
    is_sealed: bool
    call_id: str | None = None
    model: str | None = None
    caller: str | None = None
    outcome: str | None = None
    verdict: str | None = None
    evidence: str | None = None
    transaction: str | None = None
    latency_microseconds: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `next` is what to give as `before` for the page after, None on the last; `total` is None where not counted."""

    items: tuple[Found, ...]
    next: int | None
    total: int | None


@dataclass(frozen=True, slots=True)
class _Query:
    """A filter, as what to look up."""

    terms: tuple[str, ...]
    keys: tuple[int, ...]
    either: tuple[tuple[str, int], ...]  # a term or a key: hex that may be indexed as the one or the other
    start: int | None  # microseconds since 1970
    end: int | None

    @property
    def is_everything(self) -> bool:
        return not (self.terms or self.keys or self.either or self.start is not None or self.end is not None)


def _micros_of(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise MalformedInput("time", "one with its zone", moment.isoformat())
    return micros_of(moment)


def _make_query(wanted: Filter, keys: Keys) -> _Query:
    """Raises MalformedInput for a hash that is none, or more words than anybody needs."""
    terms = [facet(n, v) for n in ("kind", "writer", "model", "caller", "outcome", "verdict", "evidence") if (v := getattr(wanted, n))]
    identifiers = list[int]()
    if wanted.text:
        words, names = word_terms(wanted.text)
        if len(words) + len(names) > MAX_WORDS or not (words or names):
            raise MalformedInput("words to search for", f"1 to {MAX_WORDS}", len(words) + len(names))
        terms += words
        identifiers += [keys.of_word(name) for name in names]
    if wanted.transaction:
        identifiers.append(keys.of_transaction(_require_hex(wanted.transaction, "transaction")))
    hexes = [_require_hex(value, what) for value, what in ((wanted.hash, "hash"), (wanted.call_id, "call id")) if value]
    either = tuple((hex_term(digits), keys.of_hex(digits)) for digits in hexes)
    start, end = (None if moment is None else _micros_of(moment) for moment in (wanted.start, wanted.end))
    return _Query(tuple(dict.fromkeys(terms)), tuple(dict.fromkeys(identifiers)), either, start, end)


def _require_hex(text: str, what: str) -> str:
    digits = read_hex(text)
    if digits is None:
        raise MalformedInput(what, "16 to 128 hex digits", text[:80])
    return digits


@contextmanager
def _world(what: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"cannot {what} the index") from error


class Index:
    """One log's index. Raises StoreError when its database fails. Several processes may share one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._states: dict[Bytes32, CallState | None] = {}  # of the calls of the newest records, in the order of their last
        self._ledger = Ledger()  # as of the last batch of this process: of use where no other wrote one since
        self._following = Lock()  # one thread of this process at a time

    @classmethod
    def open(cls, url: str) -> Index:
        return cls(open_database(url, "index"))

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _world("read"), reading(self._engine) as connection:
            yield connection

    # ---- following the log ----------------------------------------------------------------------------------------------------------
    @property
    def checkpoint(self) -> Checkpoint | None:
        """What it is built to; None before the first entry."""
        with self._reading() as connection:
            row = _read_followed(connection)
        return None if row is None else Checkpoint(row.origin, row.size, Bytes32(row.root), row.note)

    @property
    def size(self) -> int:
        built = self.checkpoint
        return 0 if built is None else built.size

    def ledger(self) -> Ledger:
        """The books of completeness, up to `checkpoint`."""
        return self.books()[1]

    def books(self) -> tuple[Checkpoint | None, Ledger]:
        """The books of completeness with the checkpoint they are kept to, read together. In the middle of following, its note is empty."""
        with self._reading() as connection:
            row = _read_followed(connection)
        if row is None:
            return None, Ledger()
        return Checkpoint(row.origin, row.size, Bytes32(row.root), row.note), Ledger.load(row.ledger)

    def refresh(self, source: LogSource, key: VerifierKey) -> LogView:
        """Reads the log's checkpoint and follows it; returns the view of it. For several processes on one index: as `follow` raises,
        but not where another process followed a newer checkpoint in the meantime."""
        known = self.size
        view = LogView(source, key)
        self.follow(view, known=known)
        return view

    def follow(self, view: LogView, on_progress: OnProgress = _no_progress, known: int | None = None, processes: int = 1) -> int:
        """Takes in what the view has beyond the index; returns how many entries that were. `known` is the index's size from before the
        view's checkpoint was read, where others write to it too. Many entries are parsed by several processes (`oracle.audit.parallel`).

        Raises LogRefused where the view's log is not the one that was followed, or does not extend it; AuditFailed for entries that are
        not in its tree or do not parse. What was taken in before stays.
        """
        with self._following:
            size, secret = self._begin(view, known)
            if (before := size) >= view.size:
                return 0
            tiles = VerifiedTiles(view)
            heads = _Heads(tiles)
            with Workers(processes if view.size - size >= _WORTH_PROCESSES else 1) as workers:
                while size < view.size:  # again where another process was faster
                    entries = prepare_entries(tiles, size, secret, workers)
                    for reached in self._take_in(view, heads, size, entries):
                        size = reached
                        on_progress("entries", min(size, view.size), view.size)
            return view.size - before

    def _begin(self, view: LogView, known: int | None) -> tuple[int, bytes]:
        """Holds the view against what was followed so far; returns its size, and the index's secret."""
        checkpoint = view.checkpoint
        first = {"origin": checkpoint.origin, "size": 0, "root": EMPTY_ROOT, "note": "", "ledger": Ledger().dump()}
        with _world("write"), self._engine.begin() as connection:
            if (row := _read_followed(connection)) is None:
                insert_missing(connection, followed, first | {"secret": secrets.token_bytes(KEY_BYTES)})
                row = connection.execute(select(followed)).one()
        if row.origin != checkpoint.origin:
            raise LogRefused("log of this index", row.origin, checkpoint.origin)
        if known is not None and known <= view.size < row.size:
            return int(row.size), bytes(row.secret)
        try:
            view.verify_extends(Checkpoint(row.origin, row.size, Bytes32(row.root), row.note))
        except ProofRejected as error:
            raise LogRefused(
                f"log {checkpoint.origin}", f"one that extends size {row.size} and root {row.root.hex()}", str(error)
            ) from error
        return int(row.size), bytes(row.secret)

    def _take_in(self, view: LogView, heads: _Heads, size: int, entries: Iterator[Prepared]) -> Iterator[int]:
        """Batch by batch, each in one transaction, up to the view's end; gives the size after each. Ends where another process was here."""
        while size < view.size:
            end = min(view.size, (size // _BATCH + 1) * _BATCH)
            batch = list(islice(entries, end - size))
            try:
                with _world("write"), self._engine.begin() as connection:
                    row = connection.execute(select(followed).with_for_update()).one()
                    if row.size == size:
                        ledger = self._ledger if self._ledger.size == size else Ledger.load(row.ledger)
                        self._project(connection, ledger, batch, size)
                        root, note = (view.checkpoint.root, view.checkpoint.note) if end == view.size else (heads.root_at(end), "")
                        connection.execute(update(followed).values(size=end, root=root, note=note, ledger=ledger.dump()))
            except BaseException:
                self._forget()
                raise
            if row.size != size:
                self._forget()
                yield int(row.size)
                return
            self._ledger, size = ledger, end
            yield size

    def _forget(self) -> None:
        """What this process keeps in memory is no longer what is in the database."""
        self._states.clear()
        self._ledger = Ledger()

    def _project(self, connection: Connection, ledger: Ledger, batch: Sequence[Prepared], size: int) -> None:
        earlier = self._load_states(connection, {entry.call_id for entry in batch if entry.call_id is not None})
        projection = Projection(self._states)
        for entry in batch:
            projection.enter(entry, () if entry.call_id is None else earlier.get(entry.call_id, ()))
            ledger.enter(entry.index, entry.leaf_hash, entry.record, entry.time, entry.log_time)
        projection.write(connection, size)
        for call_id in list(islice(self._states, max(0, len(self._states) - _MAX_STATES))):
            del self._states[call_id]

    def _load_states(self, connection: Connection, call_ids: set[Bytes32]) -> dict[Bytes32, list[int]]:
        """Sees to it that the states of these calls are known; returns where the records of those lie that are in the database."""
        self._states |= {call_id: self._states.pop(call_id) for call_id in call_ids if call_id in self._states}  # the last to be forgotten
        for part in chunks([call_id for call_id in call_ids if call_id not in self._states]):
            self._states |= dict.fromkeys(part)
            for row in connection.execute(select(calls).where(calls.c.call_id.in_(part))):
                self._states[Bytes32(row.call_id)] = _state_of(row)
        by_first = {state.first: call_id for call_id in call_ids if (state := self._states[call_id]) is not None}
        places: dict[Bytes32, list[int]] = {}
        for part in chunks(sorted(by_first)):
            query = select(records.c.call, records.c.index).where(records.c.call.in_(part)).order_by(records.c.index)
            for first, index in connection.execute(query):
                places.setdefault(by_first[first], []).append(index)
        return places

    # ---- searching ------------------------------------------------------------------------------------------------------------------
    def search(self, wanted: Filter, before: int | None = None, limit: int = 50) -> Page:
        """A page of the records that match, newest first: those below index `before`. Raises MalformedInput for what no record can have."""
        if not 1 <= limit <= MAX_PAGE:
            raise MalformedInput("limit", f"1 to {MAX_PAGE}", limit)
        with self._reading() as connection:
            row = _read_followed(connection)
            if row is None:
                return Page((), None, 0)
            bound = row.size if before is None else min(before, row.size)
            query = _make_query(wanted, Keys(row.secret))
            found, total = _find(connection, query, int(row.size), bound, limit + 1)
            items = _show(connection, found[:limit])
        return Page(tuple(items), found[limit - 1] if len(found) > limit else None, total)

    def matching(self, wanted: Filter) -> np.ndarray:
        """The indices of all records that match, ascending, as int64."""
        with self._reading() as connection:
            row = _read_followed(connection)
            if row is None:
                return np.zeros(0, np.int64)
            query, size = _make_query(wanted, Keys(row.secret)), int(row.size)
            parts = [bits.positions(found) + block * BLOCK for block, found in _blocks(connection, query, size)]
        return np.concatenate(parts[::-1]) if parts else np.zeros(0, np.int64)

    def show(self, indices: Sequence[int]) -> list[Found]:
        """These records, in this order, without those that are not there."""
        with self._reading() as connection:
            return _show(connection, indices)

    def overview(self, start: datetime, end: datetime) -> Overview:
        """Counts of the calls that began in a period."""
        with self._reading() as connection:
            return read_overview(connection, _micros_of(start), _micros_of(end))

    def records_of(self, call_id: Bytes32) -> list[int]:
        """Where a call's records are, oldest first."""
        query = select(records.c.index).join(calls, records.c.call == calls.c.first).where(calls.c.call_id == call_id)
        with self._reading() as connection:
            return list(connection.execute(query.order_by(records.c.index)).scalars())


def _read_followed(connection: Connection) -> Row[tuple[str, int, bytes, str, bytes, bytes]] | None:
    return connection.execute(select(followed)).one_or_none()


class _Heads:
    """Roots of the tree at ends of full bundles, asked for in ascending order."""

    def __init__(self, tiles: VerifiedTiles) -> None:
        self._tiles = tiles
        self._bundles = Frontier()  # its leaves are the hashes over full bundles

    def root_at(self, size: int) -> Bytes32:
        for number in range(self._bundles.size, size // WIDTH):
            self._bundles.append(self._tiles.subtree_root(number))
        return self._bundles.root()


def _state_of(row: Row[tuple[object, ...]]) -> CallState:
    value = dict(row._mapping)
    state = CallState(Bytes32(value["call_id"]), value["first"], value["time"])
    for name in ("model", "model_id", "caller", "outcome", "verdict", "evidence", "latency_microseconds", "transaction", "records"):
        setattr(state, name, value[name])
    state.terms = state.find_terms()
    return state


# ---- sets of records, block by block --------------------------------------------------------------------------------------------------
def _find(connection: Connection, query: _Query, size: int, bound: int, limit: int) -> tuple[list[int], int | None]:
    """The newest `limit` matching indices below `bound`, and how many match in all, None where that was not counted."""
    if query.is_everything:
        return list(range(bound - 1, max(bound - 1 - limit, -1), -1)), size
    found: list[int] = []
    total = 0
    for looked_at, (block, matching) in enumerate(_blocks(connection, query, size)):
        if looked_at >= MAX_COUNTED and len(found) == limit:
            return found, None
        total += matching.bit_count()
        here = matching & bits.full(min(max(bound - block * BLOCK, 0), BLOCK))
        found += (block * BLOCK + position for position in islice(bits.descending(here), limit - len(found)))
    return found, total


def _blocks(connection: Connection, query: _Query, size: int) -> Iterator[tuple[int, int]]:
    """(block, the set of its records that match), newest block first."""
    last = (size - 1) // BLOCK
    while last >= 0:
        first = max(0, last - _GROUP + 1)
        group = _Group(connection, query, first, last)
        for block in range(last, first - 1, -1):
            yield block, group.match(block, min(BLOCK, size - block * BLOCK))
        last = first - 1


class _Group:
    """What the database has on a query in some blocks, read at once."""

    def __init__(self, connection: Connection, query: _Query, first: int, last: int) -> None:
        self._query = query
        terms = [*query.terms, *(term for term, _ in query.either)]
        self._postings = read_postings(connection, terms, first, last) if terms else {}
        self._shards = _read_shards(connection, [*query.keys, *(key for _, key in query.either)], first, last)
        self._periods = _read_periods(connection, query, first, last)

    def match(self, block: int, count: int) -> int:
        matching = bits.full(count)
        for part in self._parts(block):
            matching &= part
            if not matching:
                break
        return matching

    def _parts(self, block: int) -> Iterator[int]:
        if self._periods is not None:
            yield self._periods.get(block, 0)
        for key in self._query.keys:
            yield self._of_key(key, block)
        for term, key in self._query.either:
            yield self._of_term(term, block) | self._of_key(key, block)
        for term in self._query.terms:
            yield self._of_term(term, block)

    def _of_term(self, term: str, block: int) -> int:
        data = self._postings.get((term, block))
        return 0 if data is None else bits.decode(data)

    def _of_key(self, key: int, block: int) -> int:
        data = self._shards.get((key >> 56, block))
        if data is None:
            return 0
        keys, positions = decode_shard(data)
        low, high = np.searchsorted(keys, np.uint64(key), "left"), np.searchsorted(keys, np.uint64(key), "right")
        return bits.from_positions(positions[low:high].tolist()) if high > low else 0


def _read_shards(connection: Connection, keys: Iterable[int], first: int, last: int) -> dict[tuple[int, int], bytes]:
    numbers = {key >> 56 for key in keys}
    if not numbers:
        return {}
    c = shards.c
    query = select(c.shard, c.block, c["keys"]).where(c.shard.in_(numbers), c.block.between(first, last))
    return {(shard, block): data for shard, block, data in connection.execute(query)}


def _read_periods(connection: Connection, query: _Query, first: int, last: int) -> dict[int, int] | None:
    """By block, the records within the query's period; None where it has none. Only blocks on its edges are read."""
    if query.start is None and query.end is None:
        return None
    start = -(1 << 62) if query.start is None else query.start
    end = 1 << 62 if query.end is None else query.end
    c = moments.c
    overlap = and_(c.block.between(first, last), c.earliest < end, c.latest >= start)
    inside = and_(overlap, c.earliest >= start, c.latest < end)
    found = {block: bits.full(BLOCK) for block in connection.execute(select(c.block).where(inside)).scalars()}
    edges = select(c.block, c.times).where(overlap, (c.earliest < start) | (c.latest >= end))
    for block, data in connection.execute(edges):
        times = np.frombuffer(data, "<i8")
        found[block] = bits.from_positions(np.flatnonzero((times >= start) & (times < end)).tolist())
    return found


# ---- rows -----------------------------------------------------------------------------------------------------------------------------
def _show(connection: Connection, indices: Sequence[int]) -> list[Found]:
    """Rows of these records, in this order."""
    r, c = records.c, calls.c
    rows: dict[int, Found] = {}
    for part in chunks(list(indices)):
        wanted = select(
            r.index, r.time, r.kind, r.writer, r.is_sealed, c.call_id, c.model, c.model_id, c.caller, c.outcome, c.verdict, c.evidence
        )
        query = wanted.add_columns(func.coalesce(r.transaction, c.transaction), c.latency_microseconds)
        for row in connection.execute(query.outerjoin_from(records, calls, r.call == c.first).where(r.index.in_(part))):
            rows[row[0]] = _found(tuple(row))
    return [rows[index] for index in indices if index in rows]


def _found(row: tuple[Any, ...]) -> Found:
    index, time, kind, writer, is_sealed, call_id, model, model_id, caller, outcome, verdict, evidence, transaction, latency = row
    return Found(
        index,
        moment_of(time),
        kind,
        writer,
        bool(is_sealed),
        _hex(call_id),
        model or model_id or None,
        caller or None,
        outcome,
        verdict,
        evidence,
        _hex(transaction),
        latency,
    )


def _hex(data: bytes | None) -> str | None:
    return None if data is None else to_hex(data)
