"""The log's two databases.

`EntryStore`: entries in their order, and the ciphertexts of what custody keeps of them. An entry's states, without a column of their own:

    SEQUENCED    its row is committed; index ≥ size of the last signed checkpoint. It has its place for ever, nobody was told yet.
    PUBLISHED    index < size of the last signed checkpoint. Whoever appended it may be told.

`CheckpointStore`: the last signed checkpoint, alone in a database of its own that is never restored from a backup, advanced by
compare-and-swap. It is what makes a restored or forked log notice that it is one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from oracle.errors import LogRefused, StoreError
from oracle.records import Bytes32, Checkpoint
from oracle.store import insert_all, open_database

_metadata = MetaData()
_entries = Table(
    "entries",
    _metadata,
    Column("index", BigInteger, primary_key=True),
    Column("leaf_hash", LargeBinary(32)),
    Column("record", LargeBinary),
    Column("kind", String(32)),
    Column("call_id", LargeBinary(32)),
    Column("writer", String(64)),
    Column("sequence", BigInteger),
    Column("key", String(200)),
    Column("content_digest", LargeBinary(32)),
)
content = Table(
    "content",
    _metadata,
    Column("index", BigInteger, primary_key=True),
    Column("name", String(110), primary_key=True),
    Column("ciphertext", LargeBinary),
)
"""What `oracle.audit.custody` encrypts; nothing here can be read without it."""
_checkpoints = Table(
    "checkpoints",
    _metadata,
    Column("origin", String(512), primary_key=True),
    Column("size", BigInteger),
    Column("root", LargeBinary(32)),
    Column("note", Text),
)


@dataclass(frozen=True, slots=True)
class Row:
    """An entry with its place."""

    index: int
    leaf_hash: Bytes32
    record: bytes
    kind: str
    call_id: Bytes32 | None
    writer: str
    sequence: int
    key: str
    content_digest: Bytes32

    def columns(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Failures of the database as StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"cannot {what}") from error


class EntryStore:
    """Entries and ciphertexts. Raises StoreError when the database fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> EntryStore:
        return cls(open_database(url, "log"))

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction with the write lock; everything in it is durable when it ends."""
        with storing("write to the log's database"), self._engine.begin() as connection:
            yield connection

    def size(self) -> int:
        with self.transaction() as connection:
            return int(connection.execute(select(func.coalesce(func.max(_entries.c.index), -1))).scalar_one()) + 1

    def sequences(self) -> dict[str, int]:
        """The last sequence number of each writer."""
        query = select(_entries.c.writer, func.max(_entries.c.sequence)).group_by(_entries.c.writer)
        with self.transaction() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(query)}

    def find_keys(self, connection: Connection, writers: Collection[str], keys: Collection[str]) -> dict[tuple[str, str], Row]:
        """Entries under these idempotency keys, by (writer, key)."""
        if not keys:
            return {}
        query = select(_entries).where(_entries.c.key.in_(keys), _entries.c.writer.in_(writers))
        rows = [Row(*row) for row in connection.execute(query)]
        return {(row.writer, row.key): row for row in rows}

    def last_of_calls(self, connection: Connection, call_ids: Collection[Bytes32]) -> dict[Bytes32, tuple[int, Bytes32]]:
        """Index and leaf hash of the last entry of each call that has one."""
        newest = select(func.max(_entries.c.index)).where(_entries.c.call_id.in_(call_ids)).group_by(_entries.c.call_id)
        query = select(_entries.c.call_id, _entries.c.index, _entries.c.leaf_hash).where(_entries.c.index.in_(newest))
        return {call_id: (index, leaf_hash) for call_id, index, leaf_hash in connection.execute(query)}

    def owners_of_calls(self, connection: Connection, call_ids: Collection[Bytes32]) -> dict[Bytes32, str]:
        """Who wrote the first entry of each call that has one."""
        oldest = select(func.min(_entries.c.index)).where(_entries.c.call_id.in_(call_ids)).group_by(_entries.c.call_id)
        query = select(_entries.c.call_id, _entries.c.writer).where(_entries.c.index.in_(oldest))
        return {row.call_id: row.writer for row in connection.execute(query)}

    def insert(self, connection: Connection, rows: Sequence[Row], ciphertexts: Sequence[dict[str, Any]]) -> None:
        """New entries, and the rows of `content` that `Custody.keep` gave for them."""
        insert_all(connection, _entries, [row.columns() for row in rows])
        insert_all(connection, content, ciphertexts)

    def read(self, start: int, end: int) -> list[Row]:
        """Entries start … end − 1, as far as there are any."""
        query = select(_entries).where(and_(_entries.c.index >= start, _entries.c.index < end)).order_by(_entries.c.index)
        with self.transaction() as connection:
            return [Row(*row) for row in connection.execute(query)]

    def entries_of(self, call_id: Bytes32, end: int) -> list[tuple[int, Bytes32]]:
        """Index and leaf hash of every entry of a call below index `end`, oldest first."""
        query = select(_entries.c.index, _entries.c.leaf_hash).where(_entries.c.call_id == call_id, _entries.c.index < end)
        with self.transaction() as connection:
            return [(index, leaf_hash) for index, leaf_hash in connection.execute(query.order_by(_entries.c.index))]

    def last_config(self, end: int) -> Row | None:
        """The newest record of the log's configuration below index `end`."""
        is_config = text("kind = 'config'")  # to the letter as in its partial index: with a parameter that would not be used
        query = select(_entries).where(is_config, _entries.c.index < end).order_by(_entries.c.index.desc()).limit(1)
        with self.transaction() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Row(*row)

    def last_index_of_other_kind(self, kind: str, end: int) -> int | None:
        """The highest index below `end` of an entry that is not of this kind."""
        query = select(func.max(_entries.c.index)).where(_entries.c.kind != kind, _entries.c.index < end)
        with self.transaction() as connection:
            found: int | None = connection.execute(query).scalar_one_or_none()
        return found


class CheckpointStore:
    """The last signed checkpoint. Raises StoreError when the database fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> CheckpointStore:
        return cls(open_database(url, "checkpoint"))

    def close(self) -> None:
        self._engine.dispose()

    def load(self, origin: str) -> Checkpoint | None:
        with storing("read the checkpoint database"), self._engine.begin() as connection:
            row = connection.execute(select(_checkpoints).where(_checkpoints.c.origin == origin)).one_or_none()
        return Checkpoint(row[0], row[1], Bytes32(row[2]), row[3]) if row else None

    def create(self, first: Checkpoint) -> None:
        """Raises LogRefused where the log has a checkpoint already."""
        with storing("write the checkpoint database"):
            try:
                with self._engine.begin() as connection:
                    connection.execute(insert(_checkpoints), _columns(first))
            except IntegrityError as error:
                raise LogRefused(f"checkpoint of {first.origin}", "none before the first", "one") from error

    def advance(self, old: Checkpoint, new: Checkpoint) -> None:
        """Compare-and-swap. Raises LogRefused when the last checkpoint is not `old`: another sequencer is at work."""
        c = _checkpoints.c
        statement = update(_checkpoints).where(c.origin == old.origin, c.size == old.size, c.root == old.root).values(**_columns(new))
        with storing("write the checkpoint database"), self._engine.begin() as connection:
            if connection.execute(statement).rowcount != 1:
                raise LogRefused("last signed checkpoint", f"size {old.size} and root {old.root.hex()}", "another: a second sequencer?")


def _columns(checkpoint: Checkpoint) -> dict[str, object]:
    return {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root, "note": checkpoint.note}
