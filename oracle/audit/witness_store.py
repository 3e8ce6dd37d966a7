"""What a log remembers of its witnesses, in the database of its checkpoint: never restored from a backup.

`cosigned`: for each witness the newest tree it cosigned. `witnessed`: the newest checkpoint whose cosignatures satisfied the policy.
Neither goes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Engine, LargeBinary, MetaData, String, Table, Text, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from oracle.errors import StoreError
from oracle.records import Bytes32, Checkpoint
from oracle.store import open_database

_metadata = MetaData()
_cosigned = Table(
    "cosigned",
    _metadata,
    Column("origin", String(512), primary_key=True),
    Column("witness", String(700), primary_key=True),
    Column("size", BigInteger),
    Column("root", LargeBinary(32)),
    Column("time", BigInteger),
)
_witnessed = Table(
    "witnessed",
    _metadata,
    Column("origin", String(512), primary_key=True),
    Column("size", BigInteger),
    Column("root", LargeBinary(32)),
    Column("note", Text),
)


@dataclass(frozen=True, slots=True)
class CosignedTree:
    """The newest tree of this log that a witness cosigned, as far as this log was told."""

    witness: str  # name and key id
    size: int
    root: Bytes32
    time: int  # POSIX seconds, by the witness's clock


class CosignedStore:
    """Safe to use from several threads. Raises StoreError when the database fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> CosignedStore:
        return cls(open_database(url, "cosigned"))

    def close(self) -> None:
        self._engine.dispose()

    def tree(self, origin: str, witness: str) -> CosignedTree | None:
        return next((tree for tree in self.trees(origin) if tree.witness == witness), None)

    def trees(self, origin: str) -> list[CosignedTree]:
        c = _cosigned.c
        query = select(c.witness, c.size, c.root, c.time).where(c.origin == origin)
        with self._transaction() as connection:
            return [CosignedTree(row[0], row[1], Bytes32(row[2]), row[3]) for row in connection.execute(query)]

    def remember(self, origin: str, tree: CosignedTree) -> None:
        """Keeps a cosigned tree, unless a larger one of that witness is kept."""
        place = (_cosigned.c.origin == origin, _cosigned.c.witness == tree.witness)
        columns = {"size": tree.size, "root": tree.root, "time": tree.time}
        with self._transaction() as connection:
            known = connection.execute(select(_cosigned.c.size).where(*place)).scalar_one_or_none()
            if known is None:
                connection.execute(insert(_cosigned), columns | {"origin": origin, "witness": tree.witness})
            elif known <= tree.size:
                connection.execute(update(_cosigned).where(*place).values(**columns))

    def witnessed(self, origin: str) -> Checkpoint | None:
        with self._transaction() as connection:
            row = connection.execute(select(_witnessed).where(_witnessed.c.origin == origin)).one_or_none()
        return Checkpoint(row[0], row[1], Bytes32(row[2]), row[3]) if row else None

    def witness(self, checkpoint: Checkpoint) -> None:
        """Keeps a checkpoint that satisfied the policy, unless a larger one is kept."""
        columns = {"size": checkpoint.size, "root": checkpoint.root, "note": checkpoint.note}
        place = _witnessed.c.origin == checkpoint.origin
        with self._transaction() as connection:
            known = connection.execute(select(_witnessed.c.size).where(place)).scalar_one_or_none()
            if known is None:
                connection.execute(insert(_witnessed), columns | {"origin": checkpoint.origin})
            elif known <= checkpoint.size:
                connection.execute(update(_witnessed).where(place).values(**columns))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError("the database of cosignatures failed") from error
