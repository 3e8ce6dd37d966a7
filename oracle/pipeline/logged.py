"""The log's entries about one request, each with a proof that was verified before it is passed on.

The log is a process of ours, but nothing it says is believed: the checkpoint's signature, every inclusion proof and every record's form
are checked here as an auditor would. Sources: C2SP tlog-proof, tlog-tiles, RFC 6962.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.note import VerifierKey
from oracle.audit.proof import LogProof, verify_proof, write_proof
from oracle.audit.record import parse_record
from oracle.audit.source import LogSource
from oracle.audit.tiles import ENTRIES, WIDTH, parse_bundle, subtree_reader, tile_at
from oracle.audit.tree import compute_inclusion_from
from oracle.encoding import to_hex
from oracle.errors import EntryRejected, LogRefused, RequestUnknown
from oracle.records import Bytes32, Checkpoint, EntryKind

MAX_ENTRIES = 256
"""Most entries of one request that are looked up; a request of a network of 16 nodes has fewer than 40."""


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """A verified entry: its record, and the tlog-proof that carries it."""

    index: int
    kind: EntryKind
    record: dict[str, Any]
    proof: str


@dataclass(frozen=True, slots=True)
class Logged:
    request_id: Bytes32
    vkey: str
    checkpoint: Checkpoint
    entries: tuple[LoggedEntry, ...]


def read_logged(source: LogSource, key: VerifierKey, request_id: Bytes32) -> Logged:
    """Everything the log has about a request, oldest first.

    Raises RequestUnknown where it has nothing yet, LogRefused where its index does not answer, and NoteRejected, ProofRejected or
    EntryRejected where what it serves does not hold.
    """
    indices = source.find_entries(request_id)
    if indices is None:
        raise LogRefused("index of the log", "an answer to a reader's token", "none")
    checkpoint = open_checkpoint(source.read_checkpoint(), key)
    known = sorted(i for i in set(indices) if i < checkpoint.size)[:MAX_ENTRIES]
    if not known:
        raise RequestUnknown("log entries of the request", to_hex(request_id), "none yet")
    read = subtree_reader(checkpoint.size, source.read_tile)
    entries = []
    for index in known:
        bundle = tile_at(ENTRIES, index // WIDTH, checkpoint.size)
        record = parse_bundle(source.read_tile(bundle), bundle.width)[index % WIDTH]
        hashes = tuple(compute_inclusion_from(index, checkpoint.size, read))
        proof = write_proof(LogProof(index, hashes, checkpoint.note, record))
        verify_proof(proof, key)
        entries.append(_entry(index, record, proof, request_id))
    return Logged(request_id, str(key), checkpoint, tuple(entries))


def _entry(index: int, data: bytes, proof: bytes, request_id: Bytes32) -> LoggedEntry:
    record = parse_record(data)
    if record.request_id != request_id:
        raise EntryRejected(f"entry {index}", f"one about {to_hex(request_id)}", "one about something else")
    return LoggedEntry(index, record.kind, json.loads(data), proof.decode())
