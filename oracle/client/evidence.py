"""What the audit log says about a request, held against the log's own key: each record is in a tree whose head the log signed.

Nothing of the API's answer is believed but what a proof carries: the record is taken out of the proof itself, and what stands beside it
must say the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.note import VerifierKey
from oracle.audit.proof import verify_proof
from oracle.audit.record import Record, parse_record
from oracle.encoding import to_hex
from oracle.errors import EntryRejected, MalformedInput, ProofRejected
from oracle.records import Bytes32, Checkpoint, EntryKind
from oracle.wire import require_fields


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry whose inclusion was verified. `proof` is the tlog-proof, which verifies again offline."""

    index: int
    kind: EntryKind
    record: Record
    proof: str


@dataclass(frozen=True, slots=True)
class LoggedEvidence:
    """Everything an API showed of a request's entries. That it showed all of them is not proven: an audit says that."""

    request_id: Bytes32
    checkpoint: Checkpoint
    entries: tuple[ProvenEntry, ...]

    def of_kind(self, kind: EntryKind) -> tuple[ProvenEntry, ...]:
        return tuple(entry for entry in self.entries if entry.kind is kind)


def verify_logged(request_id: Bytes32, answer: Mapping[str, Any], key: VerifierKey) -> LoggedEvidence:
    """The entries in an API's answer, each verified. Raises MalformedInput, NoteRejected, ProofRejected or EntryRejected."""
    fields = require_fields(answer, "log proof of the API", {"request_id", "log_vkey", "checkpoint", "entries"})
    if fields["request_id"] != to_hex(request_id):
        raise EntryRejected("log proof of the API", f"one about {to_hex(request_id)}", str(fields["request_id"])[:80])
    if not isinstance(fields["checkpoint"], str) or not isinstance(fields["entries"], list):
        raise MalformedInput("log proof of the API", "a checkpoint and a list of entries", "other things")
    checkpoint = open_checkpoint(fields["checkpoint"].encode(), key)
    entries = tuple(_verify_entry(request_id, told, key, checkpoint) for told in fields["entries"])
    indices = [entry.index for entry in entries]
    if indices != sorted(set(indices)):
        raise EntryRejected("entries of the API", "each once, oldest first", indices[:20])
    return LoggedEvidence(request_id, checkpoint, entries)


def _verify_entry(request_id: Bytes32, told: Any, key: VerifierKey, checkpoint: Checkpoint) -> ProvenEntry:
    fields = require_fields(told, "entry of the API", {"index", "kind", "record", "tlog_proof"})
    if not isinstance(fields["tlog_proof"], str):
        raise MalformedInput("entry of the API", "a tlog-proof", type(fields["tlog_proof"]).__name__)
    proof, tree, data = verify_proof(fields["tlog_proof"].encode(), key)
    if (tree.size, tree.root) != (checkpoint.size, checkpoint.root):
        raise ProofRejected(f"proof of entry {proof.index}", f"one in the tree of {checkpoint.size}", f"one in a tree of {tree.size}")
    record = parse_record(data)
    if record.request_id != request_id:
        raise EntryRejected(f"entry {proof.index}", f"one about {to_hex(request_id)}", "one about something else")
    if (fields["index"], fields["kind"], fields["record"]) != (proof.index, record.kind.value, json.loads(data)):
        raise EntryRejected(f"entry {proof.index} of the API", "index, kind and record that are proven", "others")
    return ProvenEntry(proof.index, record.kind, record, fields["tlog_proof"])
