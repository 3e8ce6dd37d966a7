"""Entries this node owes the log: it answered without them, because its policy is open and the log was away. Written to it later, in order.

States and transitions stand in migrations/node/0004_owed.py. An entry is kept as the text it was given; what it says is the pipeline's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from oracle.errors import StoreError
from oracle.records import Appended, Bytes32, EntryKind
from oracle.store import reading

_owed = Table(
    "owed",
    MetaData(),
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("request_id", LargeBinary(32)),
    Column("kind", String(16)),
    Column("key", String(200)),
    Column("state", String(16)),
    Column("entry", Text),
    Column("index", BigInteger),
    Column("leaf_hash", LargeBinary(32)),
    Column("tree_size", BigInteger),
    Column("refusal", String(200)),
)


class OwedState(StrEnum):
    """See migrations/node/0004_owed.py."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class OwedEntry:
    sequence: int
    request_id: Bytes32
    kind: EntryKind
    key: str
    text: str


class OwedEntries:
    """Every method is one transaction, and raises StoreError when the database fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, request_id: Bytes32, kind: EntryKind, key: str, text: str) -> None:
        """Remembers an entry; the same key again changes nothing."""
        row = {"request_id": request_id, "kind": kind, "key": key, "state": OwedState.WAITING, "entry": text}
        with self._transaction() as connection:
            if connection.execute(select(_owed.c.sequence).where(_owed.c.key == key)).first() is None:
                connection.execute(insert(_owed).values(**row))

    def next(self) -> OwedEntry | None:
        """The oldest that waits."""
        waiting = select(_owed).where(_owed.c.state == OwedState.WAITING).order_by(_owed.c.sequence).limit(1)
        with self._reading() as connection:
            row = connection.execute(waiting).mappings().one_or_none()
        if row is None:
            return None
        return OwedEntry(row["sequence"], Bytes32(row["request_id"]), EntryKind(row["kind"]), row["key"], row["entry"])

    def mark_delivered(self, owed: OwedEntry, place: Appended) -> None:
        where = {"index": place.index, "leaf_hash": place.leaf_hash, "tree_size": place.tree_size}
        self._settle(owed, state=OwedState.DELIVERED, entry="", **where)

    def mark_refused(self, owed: OwedEntry, reason: Exception) -> None:
        """The log will never take it: a bug of ours, or a key that stands for something else. Kept, for a person to look at."""
        self._settle(owed, state=OwedState.REFUSED, refusal=f"{type(reason).__name__}: {reason}"[:200])

    def count(self) -> int:
        """Entries that wait."""
        with self._reading() as connection:
            return int(connection.execute(select(func.count()).where(_owed.c.state == OwedState.WAITING)).scalar_one())

    def has_intent(self, request_id: Bytes32) -> bool:
        """Whether an intent of the request was ever owed."""
        mine = (_owed.c.request_id == request_id) & (_owed.c.kind == EntryKind.INTENT)
        with self._reading() as connection:
            return connection.execute(select(_owed.c.sequence).where(mine).limit(1)).first() is not None

    def intent_of(self, request_id: Bytes32) -> Appended | None:
        """Where the request's owed intent was written in the end; None while it waits, or where none was owed. The newest, of several."""
        return self._place((_owed.c.request_id == request_id) & (_owed.c.kind == EntryKind.INTENT))

    def place_of(self, key: str) -> Appended | None:
        """Where an owed entry was written in the end; None while it waits, or where it was not owed."""
        return self._place(_owed.c.key == key)

    def places_of(self, keys: Sequence[str]) -> dict[str, Appended]:
        """As `place_of`, for those of them that were owed and are written."""
        found = select(_owed).where(_owed.c.key.in_(keys), _owed.c.state == OwedState.DELIVERED)
        with self._reading() as connection:
            rows = connection.execute(found).mappings().all()
        return {row["key"]: Appended(row["index"], Bytes32(row["leaf_hash"]), row["tree_size"]) for row in rows}

    def _place(self, which: ColumnElement[bool]) -> Appended | None:
        found = select(_owed).where(which, _owed.c.state == OwedState.DELIVERED).order_by(_owed.c.sequence.desc()).limit(1)
        with self._reading() as connection:
            row = connection.execute(found).mappings().one_or_none()
        return None if row is None else Appended(row["index"], Bytes32(row["leaf_hash"]), row["tree_size"])

    def _settle(self, owed: OwedEntry, **values: object) -> None:
        with self._transaction() as connection:
            connection.execute(update(_owed).where(_owed.c.sequence == owed.sequence).values(**values))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError("the node's database") from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with reading(self._engine) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError("the node's database") from error
