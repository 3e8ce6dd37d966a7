"""Taking evidence away: a copy of a log, or of one call, that verifies offline.

    DIR/checkpoint, DIR/tile/…       the log as it was at that checkpoint; `affidavit audit verify --log DIR` reads it
    DIR/content/<index>.json         sealed fields and bodies, of the records whose content the source showed
    DIR/proofs/<index>.tlog-proof    for the records of one call

What is copied is held against the checkpoint first: an export is evidence, so it is not a copy of something false.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.content import Content, content_to_json
from oracle.audit.files import replace_file
from oracle.audit.proof import LogProof, write_proof
from oracle.audit.tiles import WIDTH, tiles_of
from oracle.audit.tree import compute_inclusion_from
from oracle.audit.verify import read_call
from oracle.audit.view import LoggedRecord, LogView
from oracle.errors import ConfigRejected, ProofRejected
from oracle.records import Bytes32


def export_log(view: LogView, directory: Path) -> int:
    """Copies the whole log, the content its source shows, and the checkpoint it calls witnessed; returns the number of entries.

    Whether that one's cosignatures are enough, a policy says.
    Raises ConfigRejected for a directory that is not empty, ProofRejected where the tiles do not give the checkpoint's root.
    """
    _require_empty(directory)
    # Before the content: showing it is in the log, too, which then goes on and may be witnessed behind what is copied.
    note = view.source.read_witnessed()
    if note is not None:
        witnessed = open_checkpoint(note, view.key)
        view = view.reaching(witnessed.size)
        view.verify_extends(witnessed)
        replace_file(directory / "witnessed", note)
    if view.root_at(view.size) != view.checkpoint.root:
        raise ProofRejected("tiles of the log", view.checkpoint.root.hex(), view.root_at(view.size).hex())
    for tile in tiles_of(view.size):
        replace_file(directory / tile.path(), view.source.read_tile(tile))
    for start in range(0, view.size, WIDTH):
        records = [view.parse(index) for index in range(start, min(start + WIDTH, view.size))]
        _export_contents(view.contents(records), directory)
    replace_file(directory / "checkpoint", view.checkpoint.note.encode())
    return view.size


def export_call(view: LogView, request_id: Bytes32, directory: Path) -> Sequence[LoggedRecord]:
    """One `.tlog-proof` for each record of a call, with the record as extra data, and its content.

    Raises as `read_call` and `export_log` do.
    """
    _require_empty(directory)
    records = read_call(view, request_id)
    for logged in records:
        view.verify_inclusion(logged.index, logged.leaf_hash)
        hashes = tuple(compute_inclusion_from(logged.index, view.size, view.subtree))
        proof = LogProof(logged.index, hashes, view.checkpoint.note, view.read_bytes(logged.index))
        replace_file(directory / "proofs" / f"{logged.index}.tlog-proof", write_proof(proof))
    _export_contents({logged.index: content for logged in records if (content := view.content(logged))}, directory)
    return records


def _export_contents(contents: Mapping[int, Content], directory: Path) -> None:
    for index, content in contents.items():
        replace_file(directory / "content" / f"{index}.json", json.dumps(content_to_json(content)).encode())


def _require_empty(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigRejected(f"directory {directory}", "a new or empty one", "one with files, or a file")
