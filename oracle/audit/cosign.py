"""C2SP tlog-cosignature, Ed25519 (signature type 0x04): a witness's timed statement that a checkpoint is the largest it saw of a log.

    — witness.example/w1 <base64(key id ‖ timestamp, 8 bytes big-endian ‖ Ed25519 signature, 64 bytes)>

    signed message:   cosignature/v1
                      time 1679315147
                      example.org/affidavit             ┐
                      4711                              │ the text of the checkpoint
                      CsUYapGGPo4dkMgIAUqom/…           ┘
    verifier key:     <name>+<key id>+<base64(0x04 ‖ public key)>
    key id:           SHA-256(<name> ‖ 0x0A ‖ 0x04 ‖ public key)[:4]

Times are POSIX seconds, from 1 to 2^63 − 1. The message does not name the witness: a key must never be used under two names.
Source: c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oracle.audit.note import (
    NoteSignature,
    compute_key_id,
    encode_base64,
    parse,
    require_key_id,
    require_name,
    split_skey,
    split_vkey,
)
from oracle.errors import NoteRejected

COSIGNATURE = 0x04
MAX_TIME = (1 << 63) - 1
MAX_AHEAD_SECONDS = 300
"""How far a witness's clock may be ahead of ours."""
_SIGNATURE_BYTES = 72


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The public half of a witness's key."""

    name: str
    public: bytes  # 32 bytes

    @property
    def key_id(self) -> bytes:
        return compute_key_id(self.name, self.public, COSIGNATURE)

    def is_signature(self, text: str, data: bytes) -> bool:
        """Whether `data` (timestamp ‖ signature) is this witness's statement about the checkpoint with this text."""
        if len(data) != _SIGNATURE_BYTES or not 1 <= int.from_bytes(data[:8], "big") <= MAX_TIME:
            return False
        message = compute_message(text, int.from_bytes(data[:8], "big"))
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(data[8:], message)
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([COSIGNATURE]) + self.public)}"


@dataclass(frozen=True, slots=True)
class WitnessSigner:
    """A witness's key. `seed` never appears in its repr; `encode` is the secret text for a key file."""

    name: str
    seed: bytes = field(repr=False)  # 32 bytes

    @property
    def verifier(self) -> WitnessKey:
        return WitnessKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def cosign(self, text: str, time: int) -> NoteSignature:
        """The cosignature of the checkpoint with this text at a POSIX time. Raises NoteRejected for a time no cosignature may have."""
        if not 1 <= time <= MAX_TIME:
            raise NoteRejected("cosignature time", f"1 to {MAX_TIME}", time)
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(compute_message(text, time))
        return NoteSignature(self.name, self.verifier.key_id, time.to_bytes(8, "big") + signature)

    def encode(self) -> str:
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{encode_base64(bytes([COSIGNATURE]) + self.seed)}"


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature."""

    key: WitnessKey
    time: int  # POSIX seconds, by the witness's clock
    signature: NoteSignature


def compute_message(text: str, time: int) -> bytes:
    """What a witness signs: the header, the time, and the whole text of the checkpoint."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def generate_witness_key(name: str) -> WitnessSigner:
    """A new key from the system's randomness. Raises NoteRejected for a name no key may have."""
    return WitnessSigner(require_name(name), Ed25519PrivateKey.generate().private_bytes_raw())


def parse_witness_vkey(text: str) -> WitnessKey:
    """Raises NoteRejected."""
    return WitnessKey(*split_vkey(text, COSIGNATURE))


def parse_witness_skey(text: str) -> WitnessSigner:
    """Raises NoteRejected, without any of the key in its message."""
    name, key_id, seed = split_skey(text, COSIGNATURE)
    key = WitnessSigner(name, seed)
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
