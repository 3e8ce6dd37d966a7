"""Following a chain: block by block, by hash, with a parent check, rewinding to the common ancestor after a reorganisation.

A consumer (relay, node) keeps a *trail* of the blocks it took, newest last, in the same database and the same transaction as what it took
from each block. So a crash at any point leaves trail and consequences equal, and recovery is the next ordinary step. Two rules:

1. a block is taken only when its parent is the newest block of the trail;
2. a block that is no longer canonical is undone, newest first, before anything else is taken.

With `confirmations` n, a block is taken when n blocks lie on top of it; reorganisations of up to n blocks are then never seen at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, LargeBinary, MetaData, Table, delete, insert, select

from oracle.errors import ChainError
from oracle.records import Block, Bytes32
from oracle.seams import ChainReader

TRAIL_BLOCKS = 1024
"""How many blocks of trail are kept: the deepest reorganisation that can be undone. Ethereum finalises after 64 to 96 blocks."""

TOGETHER = 16
"""Blocks asked for in one exchange while catching up. A full block of requests is a few megabytes of events."""

Take = Callable[[Connection, Block, Sequence[Any]], None]
Read = Callable[[Sequence[Bytes32]], Sequence[Sequence[Any]]]
"""(block hashes) → what a consumer takes from each of exactly these blocks: its requests, unless it asks for something else."""
Undo = Callable[[Connection, Block], None]


class Trail(Protocol):
    """The blocks taken so far, and what taking and undoing one means."""

    def newest(self) -> Block | None: ...

    def at(self, number: int) -> Block | None: ...

    def take(self, block: Block, read: Sequence[Any]) -> None:
        """Stores the block and everything it carries, in one transaction."""
        ...

    def undo_newest(self) -> Block:
        """Removes the newest block and undoes what was taken from it, in one transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did."""

    taken: tuple[Block, ...]
    undone: tuple[Block, ...]  # newest first
    head: Block


class Follower:
    """Moves a trail along the canonical chain. Holds no state of its own."""

    def __init__(self, chain: ChainReader, trail: Trail, first_block: int, confirmations: int = 0, read: Read | None = None) -> None:
        self._chain = chain
        self._read = read or chain.requested_in_each
        self._trail = trail
        self._first_block = first_block
        self._confirmations = confirmations

    def step(self, most_blocks: int = 256) -> Step:
        """Undoes what is no longer canonical, then takes up to `most_blocks` new blocks.

        Raises ChainError when the RPC fails or the chain moves while it is read; the trail is then whole and the next step goes on.
        """
        head = self._chain.block("latest")
        if head is None:
            raise ChainError("the chain has no latest block")
        undone = self._rewind(head)
        return Step(tuple(self._advance(head, most_blocks)), tuple(undone), head)

    def _rewind(self, head: Block) -> list[Block]:
        """Undoes blocks down to the newest one that is still canonical.

        An endpoint whose head is below the trail but on it is only lagging (or about to reorganise): nothing is undone until a block of
        another hash is seen at a height of the trail.
        """
        newest = self._trail.newest()
        if newest is None:
            return []
        height = min(newest.number, head.number)
        ancestor = self._trail.at(height)
        if ancestor is None:
            raise ChainError(f"the chain's head {head.number} is below every block that was followed")
        while ancestor is not None and not self._is_canonical(ancestor):
            ancestor = self._trail.at(ancestor.number - 1)
        if ancestor is not None and ancestor.number == height:
            return []
        if ancestor is None and self._trail.at(self._first_block) is None:
            raise ChainError(f"the chain shares none of the last {TRAIL_BLOCKS} blocks that were followed")
        return self._undo_above(-1 if ancestor is None else ancestor.number)

    def _is_canonical(self, block: Block) -> bool:
        canonical = self._chain.block(block.number)
        return canonical is not None and canonical.hash == block.hash

    def _undo_above(self, number: int) -> list[Block]:
        undone = []
        while (newest := self._trail.newest()) is not None and newest.number > number:
            undone.append(self._trail.undo_newest())
        return undone

    def _advance(self, head: Block, most_blocks: int) -> list[Block]:
        taken: list[Block] = []
        newest = self._trail.newest()
        first = self._first_block if newest is None else newest.number + 1
        end = min(head.number - self._confirmations + 1, first + most_blocks)
        for start in range(first, end, TOGETHER):
            numbers = range(start, min(start + TOGETHER, end))
            blocks = list(_find_linked(newest, self._chain.blocks(numbers)))
            for block, read in zip(blocks, self._read([block.hash for block in blocks]) if blocks else (), strict=True):
                self._trail.take(block, read)
            taken += blocks
            if len(blocks) < len(numbers):
                break  # the chain moved under us: the next step rewinds
            newest = blocks[-1]
        return taken


def _find_linked(newest: Block | None, found: Sequence[Block | None]) -> Iterator[Block]:
    """The blocks up to the first that is missing, or is no child of the one before it."""
    for block in found:
        if block is None or (newest is not None and block.parent_hash != newest.hash):
            return
        yield block
        newest = block


def trail_table(metadata: MetaData) -> Table:
    """The table `followed_blocks`. Its migration must create the same columns."""
    return Table(
        "followed_blocks",
        metadata,
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
        Column("hash", LargeBinary(32), nullable=False),
        Column("parent_hash", LargeBinary(32), nullable=False),
        Column("timestamp", BigInteger, nullable=False),
    )


class SqlTrail:
    """A trail in a table made by `trail_table`. `on_take` and `on_undo` write in the transaction that moves the trail."""

    def __init__(self, engine: Engine, table: Table, on_take: Take, on_undo: Undo) -> None:
        self._engine = engine
        self._table = table
        self._on_take = on_take
        self._on_undo = on_undo

    def newest(self) -> Block | None:
        with self._engine.begin() as connection:
            return self._newest(connection)

    def at(self, number: int) -> Block | None:
        with self._engine.begin() as connection:
            row = connection.execute(select(self._table).where(self._table.c.number == number)).one_or_none()
        return _block(row) if row else None

    def take(self, block: Block, read: Sequence[Any]) -> None:
        t = self._table
        with self._engine.begin() as connection:
            connection.execute(
                insert(t).values(number=block.number, hash=block.hash, parent_hash=block.parent_hash, timestamp=block.timestamp)
            )
            connection.execute(delete(t).where(t.c.number <= block.number - TRAIL_BLOCKS))
            self._on_take(connection, block, read)

    def undo_newest(self) -> Block:
        with self._engine.begin() as connection:
            block = self._newest(connection)
            if block is None:
                raise ChainError("there is no followed block left to undo")
            connection.execute(delete(self._table).where(self._table.c.number == block.number))
            self._on_undo(connection, block)
        return block

    def _newest(self, connection: Connection) -> Block | None:
        row = connection.execute(select(self._table).order_by(self._table.c.number.desc()).limit(1)).one_or_none()
        return _block(row) if row else None


def _block(row: object) -> Block:
    number, block_hash, parent_hash, timestamp = tuple(row)  # type: ignore[arg-type, var-annotated]
    return Block(number, Bytes32(block_hash), Bytes32(parent_hash), timestamp)
