"""The custody key: 32 bytes that wrap the keys of subjects, in a file only the key custodian's password opens.

Without it nothing that the log keeps encrypted can be read, by anybody, the log's own operator included.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from oracle.audit.sealedfile import read_sealed_file, write_sealed_file
from oracle.audit.tree import sha256
from oracle.encoding import parse_hex
from oracle.errors import ConfigRejected, InvariantBroken, MalformedInput

FORMAT = "affidavit/custody-key@1"
KEY_BYTES = 32
_NONCE_BYTES = 12


def encrypt(key: bytes, data: bytes, bound: bytes) -> bytes:
    """AES-256-GCM (SP 800-38D) under a random nonce: nonce ‖ ciphertext ‖ tag. `bound` is authenticated with it."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, bound)


def decrypt(key: bytes, data: bytes, bound: bytes) -> bytes:
    """The inverse of `encrypt`. Raises InvariantBroken where key, bytes or what they are bound to are not those of `encrypt`."""
    try:
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound)
    except InvalidTag as error:
        raise InvariantBroken("what custody keeps does not decrypt: another key, or changed bytes") from error


@dataclass(frozen=True, slots=True)
class CustodyKey:
    """The key with the id that stands beside everything it wraps."""

    secret: bytes

    @classmethod
    def generate(cls) -> CustodyKey:
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def id(self) -> bytes:
        """8 bytes that name the key and tell nothing of it."""
        return sha256(b"affidavit/custody-key-id" + self.secret)[:8]

    def wrap(self, secret: bytes, bound: bytes) -> bytes:
        return encrypt(self.secret, secret, b"custody" + bound)

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        return decrypt(self.secret, wrapped, b"custody" + bound)


def write_custody_key(path: Path, key: CustodyKey, password: str) -> None:
    """A new file of mode 0600. Raises ConfigRejected where one is there."""
    write_sealed_file(path, "custody key", FORMAT, key.id.hex(), key.secret, password)


def read_custody_key(path: Path, password: str) -> CustodyKey:
    """Raises ConfigRejected for a missing or malformed file, or a wrong password."""
    name, secret = read_sealed_file(path, "custody key", FORMAT, password)
    try:
        key = CustodyKey(parse_hex("0x" + secret.hex(), "custody key", KEY_BYTES))
    except MalformedInput as error:
        raise ConfigRejected(f"custody key {path}", error.expected, error.got) from error
    if key.id.hex() != name:
        raise ConfigRejected(f"custody key {path}", f"the key {name}", key.id.hex())
    return key
