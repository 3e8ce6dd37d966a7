"""C2SP signed notes: text signed by one or more keys. Ed25519 only (type 0x01; those of witnesses are in `oracle.audit.cosign`).

    example.org/affidavit            text, ends in a newline
    …
                                     an empty line
    — example.org/affidavit 7f3a…=   em dash, space, key name, space, base64(key id ‖ signature), newline

    verifier key:  <name>+<key id, 8 hex digits>+<base64(0x01 ‖ 32-byte public key)>
    signer key:    PRIVATE+KEY+<name>+<key id>+<base64(0x01 ‖ 32-byte seed)>
    key id:        SHA-256(<name> ‖ 0x0A ‖ 0x01 ‖ public key)[:4]

Sources: c2sp.org/signed-note, golang.org/x/mod/sumdb/note, RFC 8032. Stricter than both in one point: base64 must be the canonical
encoding of its bytes, so that one note has one text.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oracle.audit.tree import sha256
from oracle.errors import NoteRejected

ED25519 = 0x01
MAX_NOTE_BYTES = 1 << 19  # 100 signatures of the largest kind in use, with room
MAX_SIGNATURES = 100
_DASH = "— "


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line, verified or not."""

    name: str
    key_id: bytes  # 4 bytes
    data: bytes

    def line(self) -> str:
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.data)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """The text, with its final newline, and its signatures."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> bytes:
        return (self.text + "\n" + "".join(s.line() for s in self.signatures)).encode()


class NoteKey(Protocol):
    """Whoever may sign a note: a log, or a witness (`oracle.audit.cosign.WitnessKey`)."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    def is_signature(self, text: str, data: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a note key."""

    name: str
    public: bytes  # 32 bytes

    @property
    def key_id(self) -> bytes:
        return compute_key_id(self.name, self.public)

    def is_signature(self, text: str, data: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(data, text.encode())
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([ED25519]) + self.public)}"


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A note key that signs. `seed` never appears in its repr; `encode` is the secret text for a key file."""

    name: str
    seed: bytes = field(repr=False)  # 32 bytes

    @property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def sign(self, text: str) -> NoteSignature:
        data = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        return NoteSignature(self.name, self.verifier.key_id, data)

    def encode(self) -> str:
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{encode_base64(bytes([ED25519]) + self.seed)}"


def compute_key_id(name: str, public: bytes, kind: int = ED25519) -> bytes:
    """SHA-256(name ‖ newline ‖ type ‖ public key)[:4]: an identifier, not a strong hash."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public)[:4]


def generate_key(name: str) -> SignerKey:
    """A new key from the system's randomness. Raises NoteRejected for a name no key may have."""
    require_name(name)
    return SignerKey(name, Ed25519PrivateKey.generate().private_bytes_raw())


def parse_vkey(text: str) -> VerifierKey:
    """Raises NoteRejected."""
    name, _kind, public = split_vkey(text, {ED25519: 32})
    return VerifierKey(name, public)


def split_vkey(text: str, kinds: Mapping[int, int]) -> tuple[str, int, bytes]:
    """Name, signature type and public key of a verifier key, its key id checked. Raises NoteRejected.

    `kinds` are the signature types that are read, each with the bytes of its public keys.
    """
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteRejected("verifier key", "<name>+<key id>+<base64 key>", text[:80])
    name, key_id, encoded = parts
    kind, public = _key_material(encoded, "verifier key", kinds)
    if (expected := compute_key_id(require_name(name), public, kind).hex()) != key_id:
        raise NoteRejected("verifier key id", expected, key_id[:16])
    return name, kind, public


def parse_skey(text: str) -> SignerKey:
    """Raises NoteRejected, without any of the key in its message."""
    name, key_id, _kind, seed = split_skey(text, {ED25519: 32})
    key = SignerKey(name, seed)
    require_key_id(key.verifier, key_id)
    return key


def split_skey(text: str, kinds: Mapping[int, int]) -> tuple[str, str, int, bytes]:
    """Name, key id (not checked yet), signature type and seed of a signer key. Raises NoteRejected, without any of the key."""
    parts = text.split("+", 4)
    if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"]:
        raise NoteRejected("signer key", "PRIVATE+KEY+<name>+<key id>+<base64 key>", "another text")
    return require_name(parts[2]), parts[3], *_key_material(parts[4], "signer key", kinds)


def require_key_id(key: NoteKey, key_id: str) -> None:
    if key.key_id.hex() != key_id:
        raise NoteRejected("signer key id", key.key_id.hex(), key_id[:16])


def _key_material(encoded: str, what: str, kinds: Mapping[int, int]) -> tuple[int, bytes]:
    data = decode_base64(encoded, what)
    if not data or kinds.get(data[0]) != len(data) - 1:
        expected = " or ".join(f"the type byte {kind:#04x} and {length} bytes" for kind, length in kinds.items())
        raise NoteRejected(what, expected, f"{len(data)} bytes")
    return data[0], data[1:]


def require_name(name: str) -> str:
    """Key names are non-empty, in UTF-8, without Unicode spaces, control characters and plus signs. Raises NoteRejected."""
    if not name or "+" in name or any(c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name):
        raise NoteRejected("key name", "a name without spaces and plus signs", repr(name)[:80])
    return name


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode_base64(text: str, what: str) -> bytes:
    """RFC 4648 section 4 with padding, exactly as `encode_base64` writes it. Raises NoteRejected naming `what`.

    The text itself is not in the message: it may be a secret key.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise NoteRejected(what, "base64", f"{len(text)} other characters") from error
    if encode_base64(data) != text:
        raise NoteRejected(what, "canonical base64", f"{len(text)} other characters")
    return data


def parse(data: bytes) -> Note:
    """The note of these bytes; says nothing about the truth of its signatures. Raises NoteRejected."""
    if len(data) > MAX_NOTE_BYTES:
        raise NoteRejected("note", f"at most {MAX_NOTE_BYTES} bytes", len(data))
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise NoteRejected("note", "UTF-8", f"byte {data[error.start]:#04x}") from error
    if control := next((c for c in whole if c < " " and c != "\n"), None):
        raise NoteRejected("note", "no control characters but newline", f"U+{ord(control):04X}")
    split = whole.rfind("\n\n")
    if split < 0 or not whole.endswith("\n") or split + 2 == len(whole):
        raise NoteRejected("note", "a text, an empty line and signature lines", "another form")
    lines = whole[split + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteRejected("note", f"at most {MAX_SIGNATURES} signatures", len(lines))
    return Note(whole[: split + 1], tuple(_parse_signature(line) for line in lines))


def _parse_signature(line: str) -> NoteSignature:
    if not line.startswith(_DASH):
        raise NoteRejected("note signature line", "an em dash and a space", repr(line[:20]))
    name, _, encoded = line[len(_DASH) :].partition(" ")
    data = decode_base64(encoded, "note signature")
    if len(data) < 5:
        raise NoteRejected("note signature", "a key id and a signature", f"{len(data)} bytes")
    return NoteSignature(require_name(name), data[:4], data[4:])


def verify(data: bytes, keys: Sequence[NoteKey]) -> Note:
    """The note, with only the signatures of `keys`, each of which was verified.

    Signatures of other keys are ignored. Raises NoteRejected for a malformed note, a false signature under a known key, or when none
    of `keys` signed.
    """
    known = {(key.name, key.key_id): key for key in keys}
    if len(known) != len(keys):
        raise NoteRejected("verifier keys", "different names and key ids", "a repeated one")
    note = parse(data)
    verified = []
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not key.is_signature(note.text, signature.data):
            raise NoteRejected("note signature", f"a signature of its text by {key}", "a false one")
        verified.append(signature)
    if not verified:
        raise NoteRejected("note", "a signature by " + " or ".join(map(str, keys)), "none")
    return Note(note.text, tuple(verified))


def sign(text: str, signers: Sequence[SignerKey], others: Sequence[NoteSignature] = ()) -> Note:
    """The note of `text`, signed by `signers` after the signatures it already has. Raises NoteRejected for a text no note may have."""
    note = Note(text, (*others, *(signer.sign(text) for signer in signers)))
    if not text.endswith("\n") or parse(note.encode()) != note:
        raise NoteRejected("note text", "text that ends in a newline, without control characters", repr(text[:40]))
    return note
