"""C2SP tlog-witness, the bytes of `POST <prefix>/add-checkpoint`: what a log sends to a witness, and what it gets back.

    old 3                                            size of the last checkpoint this witness cosigned; 0 for none
    8BLHL8z1…=                                       the consistency proof from there, at most 63 hashes
    …
                                                     an empty line
    <the checkpoint, signed by the log>

200: one or more note signature lines. 409, `text/x.tlog.size`: the size the witness has, and a newline. Source: c2sp.org/tlog-witness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oracle.audit.note import MAX_NOTE_BYTES, NoteSignature, decode_base64, encode_base64, parse
from oracle.audit.tree import HASH_BYTES
from oracle.errors import MalformedInput, NoteRejected

MAX_PROOF_HASHES = 63
MAX_SUBMISSION_BYTES = MAX_NOTE_BYTES + (1 << 12)
MAX_TREE_SIZE = (1 << 63) - 1  # of the sizes the format allows, those that every database holds
SIZE_TYPE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class Submission:
    """A parsed request. The checkpoint is not looked at yet."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes


def write_submission(submission: Submission) -> bytes:
    lines = [f"old {submission.old_size}", *(encode_base64(h) for h in submission.proof)]
    return ("\n".join(lines) + "\n\n").encode() + submission.note


def parse_submission(data: bytes) -> Submission:
    """Raises MalformedInput."""
    if len(data) > MAX_SUBMISSION_BYTES:
        raise MalformedInput("add-checkpoint", f"at most {MAX_SUBMISSION_BYTES} bytes", len(data))
    head, separator, note = data.partition(b"\n\n")
    if not separator or not head.isascii():
        raise MalformedInput("add-checkpoint", "an old size, a proof, an empty line and a checkpoint", "another form")
    first, *rest = head.decode().split("\n")
    if not first.startswith("old "):
        raise MalformedInput("add-checkpoint", "a first line `old <size>`", ascii(first)[:40])
    if len(rest) > MAX_PROOF_HASHES:
        raise MalformedInput("add-checkpoint", f"at most {MAX_PROOF_HASHES} proof lines", len(rest))
    return Submission(read_size(first[4:]), tuple(_read_hash(line) for line in rest), note)


def read_size(text: str) -> int:
    """A tree size in decimal without leading zeroes. Raises MalformedInput."""
    is_decimal = text.isascii() and text.isdigit() and len(text) <= 19 and (text == "0" or text[0] != "0")
    if not is_decimal or int(text) > MAX_TREE_SIZE:
        raise MalformedInput("tree size", "a decimal below 2^63 without leading zeroes", ascii(text)[:30])
    return int(text)


def parse_known_size(data: bytes) -> int:
    """The body of a 409. Raises MalformedInput."""
    if not data.endswith(b"\n") or not data.isascii():
        raise MalformedInput("the witness's size", "a decimal and a newline", repr(data[:40]))
    return read_size(data[:-1].decode())


def parse_cosignature_lines(text: str, data: bytes) -> Sequence[NoteSignature]:
    """The signature lines of a 200, for the checkpoint with this text; none of them verified. Raises MalformedInput."""
    try:
        note = parse((text + "\n").encode() + data)
    except NoteRejected as error:
        raise MalformedInput(f"the witness's answer: {error.what}", error.expected, error.got) from error
    if note.text != text:
        raise MalformedInput("the witness's answer", "signature lines alone", "an empty line among them")
    return note.signatures


def _read_hash(line: str) -> bytes:
    try:
        data = decode_base64(line, "proof line")
    except NoteRejected as error:
        raise MalformedInput(error.what, error.expected, error.got) from error
    if len(data) != HASH_BYTES:
        raise MalformedInput("proof line", f"{HASH_BYTES} bytes", len(data))
    return data
