"""C2SP tlog-tiles: where each piece of the tree and of the entries lies, and its bytes.

    tile/<level>/<index>[.p/<width>]      hashes, 32 bytes each; level 0 holds leaf hashes, level n the roots of full tiles below
    tile/entries/<index>[.p/<width>]      entries, each with a big-endian uint16 length before it

A tile holds 256 hashes or entries; the rightmost of each level may be partial. Index 1234067 is written `x001/x234/067`.
Source: c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from oracle.audit.tree import HASH_BYTES, SubtreeReader, hash_children, read_leaves
from oracle.errors import EntryRejected, InvariantBroken, MalformedInput, ProofRejected

WIDTH = 256
HEIGHT = 8
ENTRIES = -1  # the "level" of entry bundles
MAX_ENTRY_BYTES = 0xFFFF

_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One tile or entry bundle: level −1 … 63, index from 0, width 1 … 256."""

    level: int
    index: int
    width: int = WIDTH

    def path(self) -> str:
        """The path below the log's prefix."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        suffix = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{encode_index(self.index)}{suffix}"

    @property
    def full(self) -> Tile:
        return Tile(self.level, self.index)


def encode_index(index: int) -> str:
    """Three digits a path element, all but the last after an "x"."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    return "/".join(["x" + group for group in groups[:-1]] + groups[-1:])


def parse_path(path: str) -> Tile:
    """The tile a path names. Raises MalformedInput for any path `Tile.path` would not write."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise MalformedInput("tile path", "tile/<level>/<index>[.p/<width>]", path[:80])
    level, groups, last, width = match.groups()
    digits = groups.replace("x", "").replace("/", "") + last
    tile = Tile(ENTRIES if level == "entries" else int(level), int(digits), int(width) if width else WIDTH)
    if tile.level > 63 or tile.path() != path:
        raise MalformedInput("tile path", "the one path of a tile", path[:80])
    return tile


def tile_at(level: int, index: int, size: int) -> Tile:
    """The tile of that level and index in a tree of `size` leaves. Raises InvariantBroken where there is none."""
    width = min(WIDTH, (size >> HEIGHT * max(level, 0)) - index * WIDTH)
    if width < 1:
        raise InvariantBroken(f"a tree of {size} has no tile {index} at level {level}")
    return Tile(level, index, width)


def tiles_of(size: int) -> Iterator[Tile]:
    """Every bundle and tile of a tree of `size` leaves: bundles first, then level by level."""
    level = ENTRIES
    while level == ENTRIES or size >> HEIGHT * level:
        for index in range(-(-(size >> HEIGHT * max(level, 0)) // WIDTH)):
            yield tile_at(level, index, size)
        level += 1


def encode_bundle(records: Sequence[bytes]) -> bytes:
    """Raises InvariantBroken for a record that does not fit: the door lets none in."""
    if any(len(record) > MAX_ENTRY_BYTES for record in records):
        raise InvariantBroken(f"a log entry has at most {MAX_ENTRY_BYTES} bytes")
    return b"".join(len(record).to_bytes(2, "big") + record for record in records)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle. Raises EntryRejected for a cut, padded or otherwise wrong bundle."""
    records: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        record = data[at + 2 : at + 2 + length]
        if at + 2 > len(data) or len(record) != length:
            raise EntryRejected("entry bundle", f"{length} bytes in entry {len(records)}", len(record))
        records.append(record)
        at += 2 + length
    if len(records) != width:
        raise EntryRejected("entry bundle", f"{width} entries", len(records))
    return records


def parse_tile(data: bytes, width: int) -> list[bytes]:
    """The `width` hashes of a tile. Raises ProofRejected for another length."""
    if len(data) != width * HASH_BYTES:
        raise ProofRejected("tile", f"{width * HASH_BYTES} bytes", len(data))
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]


TileReader = Callable[[Tile], bytes]
"""The bytes of a tile of exactly that width."""


def subtree_reader(size: int, read_tile: TileReader) -> SubtreeReader:
    """The complete subtrees of a tree of `size` leaves, read from its tiles; each tile is read once.

    Nothing read is trusted: what is computed from it must be held against a root.
    """

    @cache
    def tile_subtrees(level: int, index: int) -> SubtreeReader:
        tile = tile_at(level, index, size)
        return read_leaves(parse_tile(read_tile(tile), tile.width))

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        first = index << height  # among the hashes of that tile level
        return tile_subtrees(tile_level, first // WIDTH)(height, first % WIDTH >> height)

    return read


def compute_tile_root(hashes: Sequence[bytes]) -> bytes:
    """The hash that stands for a full tile one level up."""
    if len(hashes) != WIDTH:
        raise InvariantBroken(f"only full tiles are hashed into the level above, not {len(hashes)}")
    row = list(hashes)
    while len(row) > 1:  # 256 is a power of two: level by level, without looking for splits
        row = [hash_children(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]
