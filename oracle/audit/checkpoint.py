"""C2SP checkpoints: a signed note whose text is origin, tree size and root.

    example.org/affidavit
    4711
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — example.org/affidavit Az3grlgtzPICa5OS8npVmf1Myq/5…

Source: c2sp.org/tlog-checkpoint. The key's name is the origin; extension lines are read and not interpreted, and never written.
"""

from __future__ import annotations

from oracle.audit.note import Note, SignerKey, VerifierKey, decode_base64, encode_base64, parse, sign, verify
from oracle.audit.tree import EMPTY_ROOT, HASH_BYTES, MAX_SIZE
from oracle.errors import NoteRejected
from oracle.records import Bytes32, Checkpoint


def sign_checkpoint(size: int, root: Bytes32, signer: SignerKey) -> Checkpoint:
    """A checkpoint of the log whose origin is the key's name."""
    text = f"{signer.name}\n{size}\n{encode_base64(root)}\n"
    return Checkpoint(signer.name, size, root, sign(text, [signer]).encode().decode())


def open_checkpoint(data: bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint of these bytes, signed by the log whose origin is the key's name. Raises NoteRejected."""
    checkpoint = _read(verify(data, [key]), data)
    if checkpoint.origin != key.name:
        raise NoteRejected("checkpoint origin", key.name, checkpoint.origin[:80])
    return checkpoint


def parse_checkpoint(data: bytes) -> Checkpoint:
    """The checkpoint of these bytes, whoever signed it. Raises NoteRejected for a malformed one."""
    return _read(parse(data), data)


def _read(note: Note, data: bytes) -> Checkpoint:
    lines = note.text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise NoteRejected("checkpoint", "at least three non-empty lines", f"{len(lines)} lines")
    origin, size_text, root_text = lines[:3]
    root = decode_base64(root_text, "checkpoint root")
    if len(root) != HASH_BYTES:
        raise NoteRejected("checkpoint root", f"{HASH_BYTES} bytes", f"{len(root)} bytes")
    size = _read_size(size_text)
    if size == 0 and root != EMPTY_ROOT:
        raise NoteRejected("checkpoint root of an empty log", EMPTY_ROOT.hex(), root.hex())
    return Checkpoint(origin, size, Bytes32(root), data.decode())


def _read_size(text: str) -> int:
    is_decimal = text.isascii() and text.isdigit() and len(text) <= 20 and (text == "0" or text[0] != "0")
    if not is_decimal or int(text) > MAX_SIZE:
        raise NoteRejected("checkpoint size", "a decimal below 2^64 without leading zeroes", repr(text[:24]))
    return int(text)
