"""The entries of a checkpoint in their order, each held against its root before it is handed out, reading every bundle once.

The right edge of the tiles gives the root, so it is true or the root is another. From there trust goes down: a full tile is true when the
hash over it stands in the tile above, a bundle when its leaves do. What a lying server answers is refused before anybody parses it, and the
leaf tiles need not be read at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from oracle.audit.report import ENTRY, INCLUSION, failing_at
from oracle.audit.tiles import ENTRIES, HEIGHT, WIDTH, Tile, compute_tile_root, parse_bundle, parse_tile, tile_at
from oracle.audit.tree import SubtreeReader, compute_root_from, hash_leaf, read_leaves
from oracle.audit.view import LogView
from oracle.errors import EntryRejected, ProofRejected
from oracle.records import Bytes32

Leaf = tuple[Bytes32, bytes]
"""(leaf hash, record)"""


class VerifiedTiles:
    """Raises AuditFailed (step 2) where the tiles do not give the checkpoint's root; PeerError or StoreError when nobody answers."""

    def __init__(self, view: LogView) -> None:
        self._view = view
        self.size = view.size
        self._tile = lru_cache(maxsize=32)(self._read_full_tile)
        with failing_at(INCLUSION):
            self._edge = self._read_edge()

    def bundle(self, number: int) -> list[Leaf]:
        """The entries 256·number … of the checkpoint. Raises AuditFailed (step 1) for any that are not in the tree."""
        tile = tile_at(ENTRIES, number, self.size)
        with failing_at(ENTRY, f"entry bundle {number}"):
            records = parse_bundle(self._view.source.read_tile(tile), tile.width)
            leaves = [hash_leaf(record) for record in records]
            self._require_in_tree(number, leaves)
        return list(zip(leaves, records, strict=True))

    def leaves(self, start: int, end: int | None = None) -> Iterator[tuple[int, Bytes32, bytes]]:
        """(index, leaf hash, record) for start ≤ index < end, the checkpoint's size where it is left out."""
        end = self.size if end is None else end
        for number in range(start // WIDTH, -(-end // WIDTH)):
            for offset, (leaf_hash, record) in enumerate(self.bundle(number)):
                index = number * WIDTH + offset
                if start <= index < end:
                    yield index, leaf_hash, record

    def subtree_root(self, number: int) -> bytes:
        """The hash over the 256 leaves of a full bundle. Raises AuditFailed."""
        with failing_at(INCLUSION, f"entry bundle {number}"):
            return self._hash(1, number)

    def subtree(self, level: int, index: int) -> bytes:
        """As `LogView.subtree`, of hashes that were verified. Raises AuditFailed."""
        tile_level, height = divmod(level, HEIGHT)
        number, position = divmod(index << height, WIDTH)
        with failing_at(INCLUSION):
            is_edge = number == self.size >> HEIGHT * tile_level >> HEIGHT
            hashes = self._edge[tile_level] if is_edge else self._tile(tile_level, number)
        return read_leaves(hashes)(height, position >> height)

    def _require_in_tree(self, number: int, leaves: list[Bytes32]) -> None:
        is_true = compute_tile_root(leaves) == self._hash(1, number) if len(leaves) == WIDTH else leaves == self._edge[0]
        if not is_true:
            raise EntryRejected(f"entries {number * WIDTH} to {number * WIDTH + len(leaves) - 1}", "those in the tree", "others")

    def _hash(self, level: int, index: int) -> bytes:
        """A hash of a tile, verified."""
        number, position = divmod(index, WIDTH)
        is_edge = number == self.size >> HEIGHT * level >> HEIGHT
        return self._edge[level][position] if is_edge else self._tile(level, number)[position]

    def _read_full_tile(self, level: int, number: int) -> list[bytes]:
        hashes = parse_tile(self._view.source.read_tile(Tile(level, number)), WIDTH)
        if (root := compute_tile_root(hashes)) != (above := self._hash(level + 1, number)):
            raise ProofRejected(f"tile {Tile(level, number).path()}", f"one with the root {above.hex()}", root.hex())
        return hashes

    def _read_edge(self) -> dict[int, list[bytes]]:
        """The partial tile of each level that has one. Every hash in them goes into the root, so all of them are true or none need be."""
        edge: dict[int, list[bytes]] = {}
        level = 0
        while count := self.size >> HEIGHT * level:
            if count % WIDTH:
                tile = tile_at(level, count // WIDTH, self.size)
                edge[level] = parse_tile(self._view.source.read_tile(tile), tile.width)
            level += 1
        if (root := compute_root_from(self.size, _edge_reader(edge))) != self._view.checkpoint.root:
            raise ProofRejected("root over the tiles", self._view.checkpoint.root.hex(), root.hex())
        return edge


def _edge_reader(edge: dict[int, list[bytes]]) -> SubtreeReader:
    """The complete subtrees that the root is made of: each lies within one partial tile."""
    tiles = {level: read_leaves(hashes) for level, hashes in edge.items()}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        return tiles[tile_level](height, (index << height) % WIDTH >> height)

    return read
