"""Tile paths, bundles, files that survive, and tlog-proofs."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracle.audit import files
from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.note import SignerKey
from oracle.audit.proof import LogProof, read_proof, verify_proof, write_proof
from oracle.audit.tiles import (
    ENTRIES,
    Tile,
    encode_bundle,
    parse_bundle,
    parse_path,
    parse_tile,
    subtree_reader,
    tile_at,
    tiles_of,
)
from oracle.audit.tree import compute_inclusion_from, compute_inclusion_proof, compute_root, hash_leaf, read_leaves
from oracle.errors import EntryRejected, InvariantBroken, LogRefused, MalformedInput, NoteRejected, ProofRejected, StoreError

KEY = SignerKey("example.org/log", bytes(range(32)))


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 999), "tile/0/999"),
        (Tile(1, 1000, 17), "tile/1/x001/000.p/17"),
        (Tile(ENTRIES, 1234067), "tile/entries/x001/x234/067"),
        (Tile(63, 0, 255), "tile/63/000.p/255"),
        (Tile(ENTRIES, 0, 1), "tile/entries/000.p/1"),
    ],
)
def test_paths_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path() == path
    assert parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/entries/../../checkpoint",
        "tile/0/../0/000",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "checkpoint",
        "tile/0/000.tmp",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(MalformedInput):
        parse_path(path)


def test_tiles_of_70_000_as_the_specification_counts_them() -> None:
    tiles = [t for t in tiles_of(70_000) if t.level >= 0]
    assert sum(t.level == 0 and t.width == 256 for t in tiles) == 273
    assert [t for t in tiles if t.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_of(256)) == [Tile(ENTRIES, 0), Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []


def test_tile_beyond_the_tree_is_ours() -> None:
    with pytest.raises(InvariantBroken):
        tile_at(0, 1, 256)


def test_bundle_round_trip_and_every_cut() -> None:
    records = [b"", b"a", bytes(65535)]
    data = encode_bundle(records)
    assert parse_bundle(data, 3) == records
    for cut in (1, 2, 3, 4, 5, len(data) - 1):
        with pytest.raises(EntryRejected):
            parse_bundle(data[:cut], 3)
    for width in (0, 2, 4):
        with pytest.raises(EntryRejected):
            parse_bundle(data, width)
    with pytest.raises(EntryRejected):
        parse_bundle(data + b"\0", 3)
    with pytest.raises(InvariantBroken):
        encode_bundle([bytes(65536)])


def test_tile_of_another_length() -> None:
    for length in (0, 31, 33, 63, 96):
        with pytest.raises(ProofRejected):
            parse_tile(bytes(length), 2)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700, 65_537])
def test_subtrees_read_from_tiles_are_those_of_the_leaves(size: int) -> None:
    leaves = [bytes(hash_leaf(i.to_bytes(4, "big"))) for i in range(size)]
    whole = read_leaves(leaves)

    def read_tile(tile: Tile) -> bytes:
        level = 8 * tile.level
        return b"".join(whole(level, i) for i in range(tile.index * 256, tile.index * 256 + tile.width))

    read = subtree_reader(size, read_tile)
    for index in {0, 1, size // 2, size - 1} & set(range(size)):
        assert compute_inclusion_from(index, size, read) == compute_inclusion_proof(leaves, index)


# ---- files --------------------------------------------------------------------------------------------------------------------------
def test_immutable_files_are_written_once(tmp_path: Path) -> None:
    files.write_immutable(tmp_path, {"tile/0/000": b"one", "tile/1/x001/000": b"two"})
    files.write_immutable(tmp_path, {"tile/0/000": b"one"})
    with pytest.raises(LogRefused):
        files.write_immutable(tmp_path, {"tile/0/000": b"another"})
    assert (tmp_path / "tile/0/000").read_bytes() == b"one"
    assert not list(tmp_path.rglob("*.tmp"))


def test_data_is_synced_before_it_is_named_and_the_directory_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of system calls is the promise: recorded as they are made."""
    import os
    import stat

    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        calls.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> None:
        calls.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    (tmp_path / "tile/0").mkdir(parents=True)
    files.write_immutable(tmp_path, {"tile/0/000": b"x"})
    assert calls == ["sync file", "rename", "sync directory"]


def test_a_failing_disk_is_the_worlds(tmp_path: Path) -> None:
    (tmp_path / "tile").write_bytes(b"a file where a directory should be")
    with pytest.raises(StoreError) as caught:
        files.write_immutable(tmp_path, {"tile/0/000": b"x"})
    assert isinstance(caught.value.__cause__, OSError)


# ---- tlog-proofs --------------------------------------------------------------------------------------------------------------------
RECORDS = [bytes([65 + i]) * (i + 1) for i in range(7)]
LEAVES = [bytes(hash_leaf(r)) for r in RECORDS]
NOTE = sign_checkpoint(7, compute_root(LEAVES), KEY).note
PROOF = LogProof(4, tuple(compute_inclusion_proof(LEAVES, 4)), NOTE, RECORDS[4])
FILE = write_proof(PROOF)


def test_proof_file_layout() -> None:
    lines = FILE.decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra RUVFRUU="
    assert lines[2] == "index 4"
    assert lines[3 + len(PROOF.hashes)] == ""
    assert FILE.decode().endswith("\n\n" + NOTE)


def test_proof_verifies_offline() -> None:
    assert read_proof(FILE) == PROOF
    assert verify_proof(FILE, KEY.verifier)[2] == RECORDS[4]
    bare = write_proof(LogProof(4, PROOF.hashes, NOTE))
    assert verify_proof(bare, KEY.verifier, RECORDS[4])[1].size == 7
    with pytest.raises(ProofRejected, match="a record"):
        verify_proof(bare, KEY.verifier)
    with pytest.raises(ProofRejected):
        verify_proof(FILE, KEY.verifier, RECORDS[5])


def test_every_flipped_bit_of_a_proof_is_refused() -> None:
    for position in range(len(FILE)):
        for bit in range(8):
            changed = bytearray(FILE)
            changed[position] ^= 1 << bit
            with pytest.raises((ProofRejected, NoteRejected)):
                verify_proof(bytes(changed), KEY.verifier)


def test_every_cut_of_a_proof_is_refused() -> None:
    for length in range(len(FILE)):
        with pytest.raises((ProofRejected, NoteRejected)):
            verify_proof(FILE[:length], KEY.verifier)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("index 4", "index 04"),
        ("index 4", "index -4"),
        ("index 4", "index 4 "),
        ("index 4", "Index 4"),
        ("index 4", f"index {1 << 64}"),
        ("index 4", "index 4\nindex 4"),
        ("extra RUVFRUU=", "extra RUVFRUV="),
        ("extra RUVFRUU=", "extra"),
        ("extra RUVFRUU=\n", "extra RUVFRUU=\nextra RUVFRUU=\n"),
        ("@v1", "@v2"),
        ("@v1\n", "@v1\r\n"),
    ],
)
def test_other_spellings_are_refused(old: str, new: str) -> None:
    assert old in FILE.decode()
    with pytest.raises((ProofRejected, NoteRejected)):
        verify_proof(FILE.decode().replace(old, new).encode(), KEY.verifier)
