"""C2SP tlog-proof: one file that proves, offline, that a record is in the log.

    c2sp.org/tlog-proof@v1
    extra <base64>                       optional; here the record itself, so that the file alone tells what was logged
    index 17
    <base64 hash>                        the inclusion proof, leaf's side first
    …
                                         an empty line
    <the checkpoint, verbatim>

Source: c2sp.org/tlog-proof. Extra data is not authenticated by the format; `verify_proof` hashes it and holds the hash against the
tree, so a record it returns was logged.
"""

from __future__ import annotations

from dataclasses import dataclass

from oracle.audit.checkpoint import open_checkpoint, parse_checkpoint
from oracle.audit.note import VerifierKey, decode_base64, encode_base64
from oracle.audit.tree import HASH_BYTES, MAX_SIZE, hash_leaf, verify_inclusion
from oracle.errors import NoteRejected, ProofRejected
from oracle.records import Checkpoint

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LogProof:
    """An inclusion proof with the checkpoint it leads to."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str  # the signed note
    extra: bytes | None = None


def write_proof(proof: LogProof) -> bytes:
    lines = [HEADER]
    if proof.extra is not None:
        lines.append(f"extra {encode_base64(proof.extra)}")
    lines.append(f"index {proof.index}")
    lines.extend(encode_base64(h) for h in proof.hashes)
    return ("\n".join(lines) + "\n\n" + proof.checkpoint).encode()


def read_proof(data: bytes) -> LogProof:
    """Parses; verifies nothing. Raises ProofRejected, or NoteRejected for its checkpoint."""
    if len(data) > MAX_PROOF_BYTES:
        raise ProofRejected("tlog-proof", f"at most {MAX_PROOF_BYTES} bytes", len(data))
    head, separator, checkpoint = data.partition(b"\n\n")
    if not separator or not head.isascii():
        raise ProofRejected("tlog-proof", "a header, an empty line and a checkpoint", "another form")
    lines = head.decode().split("\n")
    if lines.pop(0) != HEADER:
        raise ProofRejected("tlog-proof", HEADER, "another first line")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _decode(lines.pop(0)[6:], "tlog-proof extra")
    index = _read_index(lines.pop(0) if lines else "")
    hashes = tuple(_read_hash(line) for line in lines)
    return LogProof(index, hashes, parse_checkpoint(checkpoint).note, extra)


def _read_index(line: str) -> int:
    text = line.removeprefix("index ")
    if text == line or not text.isdigit() or len(text) > 20 or (text != "0" and text[0] == "0") or int(text) > MAX_SIZE:
        raise ProofRejected("tlog-proof", "a line `index <decimal>`", repr(line[:40]))
    return int(text)


def _read_hash(line: str) -> bytes:
    data = _decode(line, "tlog-proof hash")
    if len(data) != HASH_BYTES:
        raise ProofRejected("tlog-proof hash", f"{HASH_BYTES} bytes", len(data))
    return data


def _decode(text: str, what: str) -> bytes:
    try:
        return decode_base64(text, what)
    except NoteRejected as error:
        raise ProofRejected(error.what, error.expected, error.got) from error


def verify_proof(data: bytes, key: VerifierKey, record: bytes | None = None) -> tuple[LogProof, Checkpoint, bytes]:
    """The proof, its verified checkpoint and the record it proves: `record`, or the proof's extra data when none is given.

    Raises ProofRejected, or NoteRejected when the checkpoint is not the log's.
    """
    proof = read_proof(data)
    checkpoint = open_checkpoint(proof.checkpoint.encode(), key)
    logged = record if record is not None else proof.extra
    if logged is None:
        raise ProofRejected("tlog-proof", "a record, given or as extra data", "none")
    verify_inclusion(hash_leaf(logged), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return proof, checkpoint, logged
