"""C2SP tlog-cosignature: a witness's timed statement that a checkpoint is the largest it saw of a log.

    — witness.example/w1 <base64(key id ‖ timestamp, 8 bytes big-endian ‖ signature)>

    verifier key:     <name>+<key id>+<base64(type ‖ public key)>       type 0x04 Ed25519, 0x06 ML-DSA-44 (FIPS 204)
    key id:           SHA-256(<name> ‖ 0x0A ‖ type ‖ public key)[:4]

    signed, 0x04:     cosignature/v1
                      time 1679315147
                      example.org/affidavit             ┐
                      4711                              │ the text of the checkpoint
                      CsUYapGGPo4dkMgIAUqom/…           ┘

    signed, 0x06:     "subtree/v1\\n\\0" ‖ name ‖ timestamp ‖ origin ‖ 0 ‖ size ‖ root
                      name and origin after their length in one byte, numbers in eight bytes

Times are POSIX seconds, from 1 to 2^63 − 1. The message of 0x04 does not name the witness: such a key must never be used under two names.
That of 0x06 does, and covers no extension lines. Source: c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from oracle.audit.note import (
    NoteSignature,
    compute_key_id,
    decode_base64,
    encode_base64,
    parse,
    require_key_id,
    require_name,
    split_skey,
    split_vkey,
)
from oracle.audit.tree import HASH_BYTES, MAX_SIZE
from oracle.errors import NoteRejected

COSIGNATURE, COSIGNATURE_ML_DSA_44 = 0x04, 0x06
PUBLIC_BYTES = {COSIGNATURE: 32, COSIGNATURE_ML_DSA_44: 1312}
SIGNATURE_BYTES = {COSIGNATURE: 64, COSIGNATURE_ML_DSA_44: 2420}
SEED_BYTES = dict.fromkeys(PUBLIC_BYTES, 32)
MAX_TIME = (1 << 63) - 1
MAX_AHEAD_SECONDS = 300
"""How far a witness's clock may be ahead of ours."""
_SUBTREE = b"subtree/v1\n\0"


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The public half of a witness's key."""

    name: str
    public: bytes  # 32 or 1312 bytes
    kind: int = COSIGNATURE

    @property
    def key_id(self) -> bytes:
        return compute_key_id(self.name, self.public, self.kind)

    def is_signature(self, text: str, data: bytes) -> bool:
        """Whether `data` (timestamp ‖ signature) is this witness's statement about the checkpoint with this text."""
        time = int.from_bytes(data[:8], "big")
        if len(data) != 8 + SIGNATURE_BYTES[self.kind] or not 1 <= time <= MAX_TIME:
            return False
        try:
            if self.kind == COSIGNATURE:
                Ed25519PublicKey.from_public_bytes(self.public).verify(data[8:], compute_message(text, time))
            else:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(data[8:], compute_subtree_message(self.name, text, time))
        except (InvalidSignature, NoteRejected):
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.kind]) + self.public)}"


@dataclass(frozen=True, slots=True)
class WitnessSigner:
    """A witness's key. `seed` never appears in its repr; `encode` is the secret text for a key file."""

    name: str
    seed: bytes = field(repr=False)  # 32 bytes
    kind: int = COSIGNATURE

    @property
    def verifier(self) -> WitnessKey:
        if self.kind == COSIGNATURE:
            public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        else:
            public = MLDSA44PrivateKey.from_seed_bytes(self.seed).public_key().public_bytes_raw()
        return WitnessKey(self.name, public, self.kind)

    def cosign(self, text: str, time: int) -> NoteSignature:
        """The cosignature of the checkpoint with this text at a POSIX time. Raises NoteRejected for a time no cosignature may have."""
        if not 1 <= time <= MAX_TIME:
            raise NoteRejected("cosignature time", f"1 to {MAX_TIME}", time)
        if self.kind == COSIGNATURE:
            signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(compute_message(text, time))
        else:
            signature = MLDSA44PrivateKey.from_seed_bytes(self.seed).sign(compute_subtree_message(self.name, text, time))
        return NoteSignature(self.name, self.verifier.key_id, time.to_bytes(8, "big") + signature)

    def encode(self) -> str:
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{encode_base64(bytes([self.kind]) + self.seed)}"


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature."""

    key: WitnessKey
    time: int  # POSIX seconds, by the witness's clock
    signature: NoteSignature


def compute_message(text: str, time: int) -> bytes:
    """What an Ed25519 witness signs: the header, the time, and the whole text of the checkpoint."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def compute_subtree_message(name: str, text: str, time: int) -> bytes:
    """What an ML-DSA-44 witness signs: `cosigned_message` of the whole tree. Raises NoteRejected for a text that is no checkpoint."""
    lines = text.split("\n")
    if len(lines) < 4 or not (lines[1].isascii() and lines[1].isdigit() and len(lines[1]) <= 20 and int(lines[1]) <= MAX_SIZE):
        raise NoteRejected("cosigned text", "origin, size and root", ascii(text[:40]))
    root = decode_base64(lines[2], "checkpoint root")
    if len(root) != HASH_BYTES:
        raise NoteRejected("checkpoint root", f"{HASH_BYTES} bytes", f"{len(root)} bytes")
    numbers = [time.to_bytes(8, "big"), bytes(8), int(lines[1]).to_bytes(8, "big")]
    return b"".join([_SUBTREE, _prefixed(name), numbers[0], _prefixed(lines[0]), *numbers[1:], root])


def _prefixed(text: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= 255:
        raise NoteRejected("cosigned name", "1 to 255 bytes", len(data))
    return bytes([len(data)]) + data


def generate_witness_key(name: str, kind: int = COSIGNATURE) -> WitnessSigner:
    """A new key from the system's randomness. Raises NoteRejected for a name no key may have."""
    return WitnessSigner(require_name(name), secrets.token_bytes(SEED_BYTES[kind]), kind)


def parse_witness_vkey(text: str) -> WitnessKey:
    """Raises NoteRejected."""
    name, kind, public = split_vkey(text, PUBLIC_BYTES)
    return WitnessKey(name, public, kind)


def parse_witness_skey(text: str) -> WitnessSigner:
    """Raises NoteRejected, without any of the key in its message."""
    name, key_id, kind, seed = split_skey(text, SEED_BYTES)
    key = WitnessSigner(name, seed, kind)
    require_key_id(key.verifier, key_id)
    return key


def read_cosignatures(note: bytes, keys: Sequence[WitnessKey], now: float | None = None) -> list[Cosignature]:
    """The cosignatures of these witnesses on a note, one for each that has any; the newest where it has several.

    Signatures of other keys are ignored. `now` is POSIX seconds; None where there is no clock to hold times against. Raises
    NoteRejected for a malformed note, for a false signature under the key of one of these witnesses, and for a time more than
    MAX_AHEAD_SECONDS ahead.
    """
    known = {(key.name, key.key_id): key for key in keys}
    parsed, found = parse(note), dict[WitnessKey, Cosignature]()
    for signature in parsed.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        cosignature = open_cosignature(parsed.text, signature, key, now)
        if key not in found or found[key].time < cosignature.time:
            found[key] = cosignature
    return list(found.values())


def open_cosignature(text: str, signature: NoteSignature, key: WitnessKey, now: float | None = None) -> Cosignature:
    """A signature line of that witness's, verified. Raises NoteRejected."""
    if (signature.name, signature.key_id) != (key.name, key.key_id):
        raise NoteRejected("cosignature", f"one by {key}", f"one by {signature.name}+{signature.key_id.hex()}")
    if not key.is_signature(text, signature.data):
        raise NoteRejected("cosignature", f"a signature of its checkpoint by {key}", "a false one")
    time = int.from_bytes(signature.data[:8], "big")
    if now is not None and time > now + MAX_AHEAD_SECONDS:
        raise NoteRejected(f"cosignature time of {key.name}", f"at most {MAX_AHEAD_SECONDS} s ahead of {int(now)}", time)
    return Cosignature(key, time, signature)
