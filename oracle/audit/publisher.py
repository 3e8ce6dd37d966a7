"""From sequenced records to a signed, published checkpoint, in an order that survives a crash between any two steps:

    1. entry bundles and tiles      immutable files, durable
    2. the checkpoint database      compare-and-swap from the last checkpoint to the new one: the moment the log is bound to it
    3. the file `checkpoint`        what the world reads
    4. partial tiles of full ones   removed: only space

`Publisher.load` reads the right edge of the tree back from the files and holds it against the checkpoint database; running the steps
again for what is sequenced and not yet published is the whole of recovery. A publisher that failed in the middle is thrown away and
loaded again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from oracle.audit.checkpoint import open_checkpoint, sign_checkpoint
from oracle.audit.files import remove_partials, replace_file, write_immutable
from oracle.audit.note import SignerKey
from oracle.audit.source import DirectorySource
from oracle.audit.store import CheckpointStore
from oracle.audit.tiles import (
    ENTRIES,
    HEIGHT,
    WIDTH,
    Tile,
    compute_tile_root,
    encode_bundle,
    parse_bundle,
    parse_tile,
    subtree_reader,
    tile_at,
)
from oracle.audit.tree import EMPTY_ROOT, Frontier, compute_root_from, hash_leaf
from oracle.errors import EntryRejected, LogRefused, MalformedInput, NoteRejected, ProofRejected
from oracle.records import Checkpoint


class Edge:
    """The right edge of a growing log: the unfinished bundle, the unfinished tile of each level, and the frontier for the root."""

    def __init__(self) -> None:
        self.frontier = Frontier()
        self.records: list[bytes] = []
        self.hashes: list[list[bytes]] = [[]]

    @property
    def size(self) -> int:
        return self.frontier.size

    def extend(self, records: Sequence[bytes]) -> tuple[dict[str, bytes], list[Tile]]:
        """Appends; returns the files this makes, by path, and the tiles among them that became full."""
        files: dict[str, bytes] = {}
        full: list[Tile] = []
        touched: set[int] = set()
        for record in records:
            self._append(record, files, full, touched)
        if self.records:
            tile = Tile(ENTRIES, self.size // WIDTH, len(self.records))
            files[tile.path()] = encode_bundle(self.records)
        for level in touched:
            if hashes := self.hashes[level]:
                tile = tile_at(level, (self.size >> HEIGHT * level) // WIDTH, self.size)
                files[tile.path()] = b"".join(hashes)
        return files, full

    def _append(self, record: bytes, files: dict[str, bytes], full: list[Tile], touched: set[int]) -> None:
        index = self.size
        carried: bytes = hash_leaf(record)
        self.frontier.append(carried)
        self.records.append(record)
        if len(self.records) == WIDTH:
            bundle = Tile(ENTRIES, index // WIDTH)
            files[bundle.path()] = encode_bundle(self.records)
            full.append(bundle)
            self.records = []
        level = 0
        while True:
            if level == len(self.hashes):
                self.hashes.append([])
            self.hashes[level].append(carried)
            touched.add(level)
            if len(self.hashes[level]) < WIDTH:
                return
            tile = Tile(level, index >> HEIGHT * (level + 1))
            files[tile.path()] = b"".join(self.hashes[level])
            full.append(tile)
            carried = compute_tile_root(self.hashes[level])
            self.hashes[level] = []
            level += 1


class Publisher:
    """Owns the log's directory and its place in the checkpoint database. Used by one thread of one process, but for `attach`."""

    def __init__(self, directory: Path, checkpoints: CheckpointStore, signer: SignerKey, edge: Edge, checkpoint: Checkpoint) -> None:
        self._directory = directory
        self._checkpoints = checkpoints
        self._signer = signer
        self._edge = edge
        self._naming = threading.Lock()  # of the file `checkpoint`
        self._is_usable = True
        self.checkpoint = checkpoint

    @classmethod
    def load(cls, directory: Path, checkpoints: CheckpointStore, signer: SignerKey) -> Publisher:
        """Raises LogRefused when files, checkpoint database and published checkpoint do not tell of one log."""
        published = _read_published(directory, signer)
        signed = checkpoints.load(signer.name)
        if signed is None:
            if published is not None:
                raise LogRefused("checkpoint database", f"the checkpoint of size {published.size} that was published", "nothing")
            signed = sign_checkpoint(0, EMPTY_ROOT, signer)
            checkpoints.create(signed)
        if published is not None and published.size > signed.size:
            raise LogRefused("last signed checkpoint", f"at least the published size {published.size}", signed.size)
        if published is not None and published.size == signed.size and published.root != signed.root:
            raise LogRefused("last signed checkpoint", f"the published root {published.root.hex()}", signed.root.hex())
        edge = _read_edge(directory, signed)
        if published is None or published.size < signed.size:
            replace_file(directory / "checkpoint", signed.note.encode())
            return cls(directory, checkpoints, signer, edge, signed)
        return cls(directory, checkpoints, signer, edge, published)  # the same head, perhaps with its witnesses' cosignatures

    def read_last_hashes(self) -> list[bytes]:
        """The leaf hashes of the rightmost tile, from its file; empty for an empty log."""
        if not (size := self._edge.size):
            return []
        tile = tile_at(0, (size - 1) // WIDTH, size)
        return parse_tile(DirectorySource(self._directory).read_tile(tile), tile.width)

    def publish(self, records: Sequence[bytes]) -> Checkpoint:
        """Publishes records that follow the last checkpoint. Any error leaves this object unusable: load another."""
        if not records:
            return self.checkpoint
        with self._naming:
            self._is_usable = False
        files, full = self._edge.extend(records)
        write_immutable(self._directory, files)
        new = sign_checkpoint(self._edge.size, self._edge.frontier.root(), self._signer)
        self._checkpoints.advance(self.checkpoint, new)
        with self._naming:
            self.checkpoint = new
            replace_file(self._directory / "checkpoint", new.note.encode())
            self._is_usable = True
        remove_partials(self._directory, [tile.path() for tile in full])
        return new

    def attach(self, cosigned: Checkpoint) -> bool:
        """Publishes the last checkpoint again, with more signatures. For any thread.

        False where it is not the last one any more, or will not be in a moment, and where a write failed: others may have published since.
        """
        with self._naming:
            is_last = (cosigned.size, cosigned.root) == (self.checkpoint.size, self.checkpoint.root)
            if not is_last or not self._is_usable:
                return False
            replace_file(self._directory / "checkpoint", cosigned.note.encode())
            self.checkpoint = cosigned
            return True


def _read_published(directory: Path, signer: SignerKey) -> Checkpoint | None:
    if not (directory / "checkpoint").exists():
        return None
    try:
        return open_checkpoint(DirectorySource(directory).read_checkpoint(), signer.verifier)
    except NoteRejected as error:
        raise LogRefused("published checkpoint", "one signed by this log's key", str(error)) from error


def _read_edge(directory: Path, checkpoint: Checkpoint) -> Edge:
    """The edge of the tree of that checkpoint, read from its tiles and held against its root."""
    source, size, edge = DirectorySource(directory), checkpoint.size, Edge()
    try:
        read = subtree_reader(size, source.read_tile)
        if compute_root_from(size, read) != checkpoint.root:
            raise LogRefused("tiles of the log", f"the root {checkpoint.root.hex()} of its last checkpoint", "another root")
        edge.hashes = [_read_partial(source, level, size) for level in range(max(1, -(-size.bit_length() // HEIGHT)))]
        if width := size % WIDTH:
            edge.records = parse_bundle(source.read_tile(Tile(ENTRIES, size // WIDTH, width)), width)
    except (MalformedInput, EntryRejected, ProofRejected) as error:
        raise LogRefused("files of the log", f"every tile of size {size}", str(error)) from error
    if [hash_leaf(record) for record in edge.records] != edge.hashes[0]:
        raise LogRefused("last entry bundle", "the entries its tile hashes", "others")
    edge.frontier = Frontier.of(size, read)
    return edge


def _read_partial(source: DirectorySource, level: int, size: int) -> list[bytes]:
    count = size >> HEIGHT * level
    if count % WIDTH == 0:
        return []
    tile = tile_at(level, count // WIDTH, size)
    return parse_tile(source.read_tile(tile), tile.width)
