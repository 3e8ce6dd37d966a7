"""BLS keys at rest: keystores of EIP-2335 (scrypt, AES-128-CTR, SHA-256), their passwords in files of their own.

`pubkey` is the 256-byte key of the operator, in G2: a validator's keystore, whose key lies in G1, is refused, so that no key serves both.
"""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from oracle.attest.bls import ORDER, SECRET_BYTES, BlsSigner
from oracle.attest.keys import SCRYPT_N
from oracle.config import read_new_password, read_secret, write_secret
from oracle.errors import ConfigRejected

DESCRIPTION = "Affidavit operator, signatures in G1"


def create_bls_keystore(path: Path, password_file: Path) -> bytes:
    """Writes a new random key, encrypted, to `path` (mode 0600) and returns its public key, 256 bytes.

    Raises ConfigRejected where the file exists already (a key is never overwritten), the password file is not acceptable
    (`oracle.config.read_secret`) or the password is shorter than 12 characters.
    """
    return write_bls_keystore(BlsSigner.generate(), path, password_file)


def write_bls_keystore(signer: BlsSigner, path: Path, password_file: Path, scrypt_n: int = SCRYPT_N) -> bytes:
    """As `create_bls_keystore`, for a key that exists already."""
    password = _clean(read_new_password(password_file))
    keystore = create_keyfile_json(signer.to_secret(), password, 4, "scrypt", scrypt_n, description=DESCRIPTION)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_secret(path, "keystore", json.dumps(keystore | {"pubkey": signer.key.hex()}) + "\n")
    return signer.key


def load_bls_signer(path: Path, password_file: Path) -> BlsSigner:
    """The key of a keystore. Raises ConfigRejected naming the file where it is missing, malformed, another kind of key or the password is
    wrong."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ConfigRejected(f"keystore {path}", "a readable file", error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise ConfigRejected(f"keystore {path}", "JSON", "something else") from error
    if not isinstance(content, dict) or content.get("version") != 4:
        raise ConfigRejected(f"keystore {path}", "a BLS keystore, version 4", "another file")
    signer = BlsSigner(_open(content, path, password_file))
    if content.get("pubkey") != signer.key.hex():
        raise ConfigRejected(f"keystore {path}", "the public key of an operator's secret, in G2", "another one")
    return signer


def _open(content: dict[str, object], path: Path, password_file: Path) -> int:
    password = _clean(read_secret(password_file))
    try:
        secret = decode_keyfile_json(content, password)
    except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError):
        # The cause is dropped: its text may quote what was decrypted.
        raise ConfigRejected(f"keystore {path}", f"one that the password in {password_file} opens", "a failure to open it") from None
    number = int.from_bytes(secret, "big")
    if len(secret) != SECRET_BYTES or not 0 < number < ORDER:
        raise ConfigRejected(f"keystore {path}", "a secret below the group's order", "another one")
    return number


def _clean(password: str) -> bytes:
    """As EIP-2335 wants it: NFKD, without control characters. The library does it where it encrypts only."""
    return "".join(c for c in normalize("NFKD", password) if not (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0)).encode()
