"""How verified entries become rows of the index's database: gathered in memory, some thousand at a time, and written in one transaction.

    records, calls          rows to show
    postings                sets of records by term, a row for each term and block of 16,384 records (`oracle.audit.bits`)
    shards                  identifiers: for each block and first byte of the key, sorted 64-bit keys and where in the block they stand
    moments                 times of a block's records, to cut a period out of it
    volumes, latencies      counts of calls by hour and by day of their first record

What a call's records are found by (model, caller, outcome, verdict, evidence) changes while its records come in. A set then loses members
in one place and gains them in another, in blocks already written too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import floor, log
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, LargeBinary, MetaData, String, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite

from oracle.audit import bits
from oracle.audit.bits import BLOCK
from oracle.audit.callstate import CallState
from oracle.audit.prepared import Prepared
from oracle.audit.record import Record
from oracle.audit.terms import MAX_TERM
from oracle.encoding import parse_hex
from oracle.errors import MalformedInput
from oracle.records import Bytes32
from oracle.store import insert_all

metadata = MetaData()
followed = Table(
    "followed",
    metadata,
    Column("origin", String(512), primary_key=True),
    Column("size", BigInteger),
    Column("root", LargeBinary(32)),
    Column("note", Text),
    Column("secret", LargeBinary(16)),
    Column("ledger", LargeBinary),
)
records = Table(
    "records",
    metadata,
    Column("index", BigInteger, primary_key=True),
    Column("time", BigInteger),
    Column("kind", String(32)),
    Column("writer", String(64)),
    Column("call", BigInteger),
    Column("transaction", LargeBinary(32)),
    Column("is_sealed", Boolean),
)
calls = Table(
    "calls",
    metadata,
    Column("first", BigInteger, primary_key=True),
    Column("call_id", LargeBinary(32)),
    Column("time", BigInteger),
    Column("model", Text),
    Column("model_id", Text),
    Column("caller", Text),
    Column("outcome", String(16)),
    Column("verdict", String(16)),
    Column("evidence", String(16)),
    Column("latency_microseconds", BigInteger),
    Column("transaction", LargeBinary(32)),
    Column("records", BigInteger),
)
postings = Table(
    "postings",
    metadata,
    Column("term", Text, primary_key=True),
    Column("block", BigInteger, primary_key=True),
    Column("bits", LargeBinary),
)
shards = Table(
    "shards",
    metadata,
    Column("shard", Integer, primary_key=True),
    Column("block", BigInteger, primary_key=True),
    Column("keys", LargeBinary),
)
moments = Table(
    "moments",
    metadata,
    Column("block", BigInteger, primary_key=True),
    Column("earliest", BigInteger),
    Column("latest", BigInteger),
    Column("times", LargeBinary),
)
volumes = Table(
    "volumes",
    metadata,
    Column("unit", String(8), primary_key=True),
    Column("time", BigInteger, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("outcome", String(16), primary_key=True),
    Column("verdict", String(16), primary_key=True),
    Column("evidence", String(16), primary_key=True),
    Column("calls", BigInteger),
)
latencies = Table(
    "latencies",
    metadata,
    Column("unit", String(8), primary_key=True),
    Column("time", BigInteger, primary_key=True),
    Column("bin", Integer, primary_key=True),
    Column("calls", BigInteger),
)

UNITS = {"hour": 3_600_000_000, "day": 86_400_000_000}  # microseconds
_BIN = log(1.05)  # a bin's upper end is 5 % above its lower
_CHUNK = 500  # parameters a statement, well below what either database takes

Volume = tuple[int, str, str, str, str]
"""(hour's start, model, outcome, verdict, evidence)"""


def latency_bin(microseconds: int) -> int:
    return floor(log(max(microseconds, 1)) / _BIN)


def bin_middle(number: int) -> float:
    """Microseconds; within 2.5 % of whatever is in the bin."""
    return float(np.exp((number + 0.5) * _BIN))


def shown(text: str) -> str:
    """A text for a column: PostgreSQL takes no NUL, and nobody reads more."""
    return text.replace("\0", "\ufffd")[:MAX_TERM]


@dataclass(slots=True)
class Projection:
    """What one transaction will write. `states` are calls seen before, as they were read from the database or written by it."""

    states: dict[Bytes32, CallState | None]
    places: dict[int, list[int]] = field(default_factory=dict)  # of calls that are in `rows`: their records here, by first index
    rows: list[dict[str, Any]] = field(default_factory=list)
    touched: dict[Bytes32, CallState] = field(default_factory=dict)
    new_calls: set[Bytes32] = field(default_factory=set)
    added: dict[int, defaultdict[str, set[int]]] = field(default_factory=dict)  # by block and term
    removed: dict[int, defaultdict[str, set[int]]] = field(default_factory=dict)
    times: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # by block
    identifiers: defaultdict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))  # (key, position) by block
    volumes: Counter[Volume] = field(default_factory=Counter)
    latencies: Counter[tuple[int, int]] = field(default_factory=Counter)  # (hour's start, bin)

    def enter(self, entry: Prepared, earlier: Collection[int]) -> None:
        """The next record. `earlier` are the records of its call that are in the database already."""
        index, record, call_id = entry.index, entry.record, entry.call_id
        block, position = divmod(index, BLOCK)
        state = None if call_id is None else self._enter_call(index, call_id, record, entry.time, earlier)
        self._add(entry.terms if state is None else entry.terms | state.terms, block, position)
        self.times[block].append(entry.time)
        self.identifiers[block].extend((key, position) for key in entry.identifiers)
        self.rows.append(
            {
                "index": index,
                "time": entry.time,
                "kind": str(record.kind),
                "writer": record.writer,
                "call": None if state is None else state.first,
                "transaction": _transaction(record),
                "is_sealed": record.sealed is not None,
            }
        )

    def _enter_call(self, index: int, call_id: Bytes32, record: Record, time: int, earlier: Collection[int]) -> CallState:
        state = self.states.get(call_id)
        if state is None:
            state = self.states[call_id] = CallState(call_id, index, time)
            self.new_calls.add(call_id)
        else:
            self._count(state, -1)
        before = state.terms
        state.enter(record)
        self._count(state, 1)
        here = self.places.setdefault(state.first, [])
        if state.terms != before and state.records > 1:
            for member in (*earlier, *here):
                self._move(before - state.terms, state.terms - before, member)
        here.append(index)
        self.touched[call_id] = state
        return state

    def _count(self, state: CallState, calls: int) -> None:
        hour = state.time - state.time % UNITS["hour"]
        model = shown(state.model or state.model_id)
        self.volumes[hour, model, state.outcome, state.verdict, state.evidence] += calls
        if state.latency_microseconds is not None:
            self.latencies[hour, latency_bin(state.latency_microseconds)] += calls

    def _add(self, terms: Iterable[str], block: int, position: int) -> None:
        of_block = self.added.setdefault(block, defaultdict(set))
        for term in terms:
            of_block[term].add(position)

    def _move(self, old: Iterable[str], new: Iterable[str], index: int) -> None:
        block, position = divmod(index, BLOCK)
        added, removed = self.added.setdefault(block, defaultdict(set)), self.removed.setdefault(block, defaultdict(set))
        for term in old:
            if position in added[term]:
                added[term].discard(position)
            else:
                removed[term].add(position)
        for term in new:
            removed[term].discard(position)
            added[term].add(position)

    # ---- writing --------------------------------------------------------------------------------------------------------------------
    def write(self, connection: Connection, size: int) -> None:
        """Writes all of it onto an index of `size` records."""
        insert_rows(connection, records, self.rows)
        self._write_calls(connection)
        for block in sorted(self.added.keys() | self.removed.keys()):
            self._write_postings(connection, block, is_new=block * BLOCK >= size)
        for block, pairs in self.identifiers.items():
            _write_shards(connection, block, pairs, is_new=block * BLOCK >= size)
        for block, times in self.times.items():
            _write_moments(connection, block, times)
        self._write_counts(connection)

    def _write_calls(self, connection: Connection) -> None:
        insert_rows(connection, calls, [_call_row(self.touched[call_id]) for call_id in self.new_calls])
        if old := [_call_row(state) for call_id, state in self.touched.items() if call_id not in self.new_calls]:
            upsert(connection, calls, ("first",), old)

    def _write_postings(self, connection: Connection, block: int, is_new: bool) -> None:
        added: dict[str, set[int]] = self.added.get(block) or {}
        removed: dict[str, set[int]] = self.removed.get(block) or {}
        fresh = {term: members for term, members in added.items() if members}
        if is_new:
            insert_rows(connection, postings, [{"term": t, "block": block, "bits": bits.encode_positions(m)} for t, m in fresh.items()])
            return
        changed = fresh.keys() | {term for term, members in removed.items() if members}
        stored = read_postings(connection, sorted(changed), block, block)
        rows = []
        for term in changed:
            now = bits.decode(stored[term, block]) if (term, block) in stored else 0
            now = (now & ~_set(removed.get(term))) | _set(added.get(term))
            rows.append({"term": term, "block": block, "bits": bits.encode(now)})
        upsert(connection, postings, ("term", "block"), rows)

    def _write_counts(self, connection: Connection) -> None:
        for unit, length in UNITS.items():
            by_volume, by_bin = Counter[Volume](), Counter[tuple[int, int]]()
            for (hour, *names), count in self.volumes.items():
                by_volume[(hour - hour % length, *names)] += count  # type: ignore[index]
            for (hour, number), count in self.latencies.items():
                by_bin[hour - hour % length, number] += count
            names_of = ("time", "model", "outcome", "verdict", "evidence")
            rows = [dict(zip(names_of, key, strict=True)) | {"unit": unit, "calls": n} for key, n in by_volume.items() if n]
            upsert(connection, volumes, ("unit", *names_of), rows, adding="calls")
            bins = [{"unit": unit, "time": time, "bin": number, "calls": n} for (time, number), n in by_bin.items() if n]
            upsert(connection, latencies, ("unit", "time", "bin"), bins, adding="calls")


def _set(members: set[int] | None) -> int:
    return bits.from_positions(members) if members else 0


def _transaction(record: Record) -> bytes | None:
    for name in ("audit.transaction", "audit.request.transaction"):
        value = record.fields.get(name)
        if isinstance(value, str):
            try:
                return parse_hex(value, name, 32)
            except MalformedInput:
                continue
    return None


def _call_row(state: CallState) -> dict[str, Any]:
    return {
        "first": state.first,
        "call_id": state.call_id,
        "time": state.time,
        "model": shown(state.model),
        "model_id": shown(state.model_id),
        "caller": shown(state.caller),
        "outcome": state.outcome,
        "verdict": state.verdict,
        "evidence": state.evidence,
        "latency_microseconds": state.latency_microseconds,
        "transaction": state.transaction,
        "records": state.records,
    }


# ---- pieces of a block ------------------------------------------------------------------------------------------------------------------
def encode_shard(keys: np.ndarray, positions: np.ndarray) -> bytes:
    """Keys (uint64) in ascending order, then their positions (uint16)."""
    return keys.astype("<u8").tobytes() + positions.astype("<u2").tobytes()


def decode_shard(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    count = len(data) // 10
    return np.frombuffer(data, "<u8", count), np.frombuffer(data, "<u2", count, 8 * count)


def _write_shards(connection: Connection, block: int, pairs: Sequence[tuple[int, int]], is_new: bool) -> None:
    keys = np.fromiter((key for key, _ in pairs), np.uint64, len(pairs))
    positions = np.fromiter((position for _, position in pairs), np.uint16, len(pairs))
    of_shard = keys >> np.uint64(56)
    touched = np.unique(of_shard).tolist()
    stored: dict[int, bytes] = {}
    if not is_new:
        for part in chunks(touched):
            query = select(shards.c.shard, shards.c["keys"]).where(shards.c.block == block, shards.c.shard.in_(part))
            stored |= dict(list(connection.execute(query)))
    rows = []
    for number in touched:
        old_keys, old_positions = decode_shard(stored.get(number, b""))
        mine = of_shard == number
        merged = np.concatenate([old_keys, keys[mine]]), np.concatenate([old_positions, positions[mine]])
        order = np.argsort(merged[0], kind="stable")
        rows.append({"shard": number, "block": block, "keys": encode_shard(merged[0][order], merged[1][order])})
    (insert_rows(connection, shards, rows) if is_new else upsert(connection, shards, ("shard", "block"), rows))


def _write_moments(connection: Connection, block: int, times: Sequence[int]) -> None:
    stored = connection.execute(select(moments.c.times).where(moments.c.block == block)).scalar_one_or_none() or b""
    together = np.concatenate([np.frombuffer(stored, "<i8"), np.array(times, "<i8")])
    row = {"block": block, "earliest": int(together.min()), "latest": int(together.max()), "times": together.astype("<i8").tobytes()}
    upsert(connection, moments, ("block",), [row])


def read_postings(connection: Connection, terms: Sequence[str], first: int, last: int) -> dict[tuple[str, int], bytes]:
    """The stored sets of these terms in blocks first … last."""
    found: dict[tuple[str, int], bytes] = {}
    for part in chunks(terms):
        c = postings.c
        query = select(c.term, c.block, c.bits).where(c.term.in_(part), c.block.between(first, last))
        found |= {(term, block): data for term, block, data in connection.execute(query)}
    return found


# ---- statements -------------------------------------------------------------------------------------------------------------------------
def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Parts that fit into one statement's parameters."""
    return (items[at : at + _CHUNK] for at in range(0, len(items), _CHUNK))


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """New rows. PostgreSQL takes many of them by COPY, which is several times as fast as statements are."""
    if connection.dialect.name != "postgresql" or len(rows) < _CHUNK:
        insert_all(connection, table, rows)
        return
    names = list(rows[0])
    columns = ", ".join(f'"{name}"' for name in names)
    statement = f"COPY {table.name} ({columns}) FROM STDIN"
    with connection.connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
        for row in rows:
            copy.write_row([row[name] for name in names])


def insert_missing(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """The row, unless there is one under its key."""
    statement = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    connection.execute(statement.on_conflict_do_nothing(), row)


def upsert(connection: Connection, table: Table, key: Sequence[str], rows: Sequence[dict[str, Any]], adding: str = "") -> None:
    """New rows, or new values in old ones; what is in the column `adding` is added to what is there."""
    if not rows:
        return
    statement = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    values = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in key}
    if adding:
        values[adding] = table.c[adding] + statement.excluded[adding]
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values), rows)
