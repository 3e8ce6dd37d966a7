"""The log's Ed25519 key on disk: the C2SP signer key, encrypted with a password (scrypt, RFC 7914; AES-256-GCM, SP 800-38D).

    {"format": "affidavit/log-key@1", "vkey": "…", "scrypt": {"n": 131072, "p": 1, "r": 8, "salt": "0x…"}, "nonce": "0x…", "sealed": "0x…"}

The verifier key is in the clear and bound as associated data: a file whose name was changed does not open.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from oracle.audit.note import SignerKey, VerifierKey, parse_skey, parse_vkey
from oracle.config import write_secret
from oracle.encoding import parse_hex, parse_uint, to_hex
from oracle.errors import ConfigRejected, MalformedInput, NoteRejected
from oracle.wire import require_fields

FORMAT = "affidavit/log-key@1"
_N, _R, _P = 1 << 17, 8, 1  # 128 MiB and about half a second a guess


def write_key_file(path: Path, key: SignerKey, password: str) -> None:
    """A new file of mode 0600. Raises ConfigRejected where one is there already: a log's key is never overwritten."""
    salt, nonce, vkey = os.urandom(16), os.urandom(12), str(key.verifier)
    sealed = AESGCM(_derive(password, salt, _N)).encrypt(nonce, key.encode().encode(), vkey.encode())
    document = {
        "format": FORMAT,
        "vkey": vkey,
        "scrypt": {"n": _N, "r": _R, "p": _P, "salt": to_hex(salt)},
        "nonce": to_hex(nonce),
        "sealed": to_hex(sealed),
    }
    write_secret(path, "log key", json.dumps(document, indent=2) + "\n")


def read_key_file(path: Path, password: str) -> SignerKey:
    """Raises ConfigRejected for a missing or malformed file, or a wrong password."""
    document = _read_document(path)
    try:
        scrypt = require_fields(document["scrypt"], "log key scrypt", {"n", "r", "p", "salt"})
        n = parse_uint(scrypt["n"], "log key scrypt.n", 21)
        if (scrypt["r"], scrypt["p"]) != (_R, _P):
            raise MalformedInput("log key scrypt", f"r = {_R} and p = {_P}", "others")
        secret = _derive(password, parse_hex(scrypt["salt"], "log key salt", 16), n)
        nonce, sealed = parse_hex(document["nonce"], "log key nonce", 12), parse_hex(document["sealed"], "log key")
        key = parse_skey(AESGCM(secret).decrypt(nonce, sealed, document["vkey"].encode()).decode())
    except (MalformedInput, NoteRejected, ValueError) as error:
        raise ConfigRejected(f"log key {path}", "a key file of this format", str(error)) from error
    except InvalidTag as error:
        raise ConfigRejected(f"log key {path}", "the right password", "another one") from error
    return key


def read_vkey(path: Path) -> VerifierKey:
    """The verifier key that stands in the clear in a key file. Raises ConfigRejected."""
    try:
        return parse_vkey(_read_document(path)["vkey"])
    except NoteRejected as error:
        raise ConfigRejected(f"log key {path}", "a verifier key", str(error)) from error


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
        fields = require_fields(document, "log key", {"format", "vkey", "scrypt", "nonce", "sealed"})
    except OSError as error:
        raise ConfigRejected(f"log key {path}", "a readable file", error.strerror) from error
    except (ValueError, MalformedInput) as error:
        raise ConfigRejected(f"log key {path}", "a key file of this format", str(error)) from error
    if fields["format"] != FORMAT or not isinstance(fields["vkey"], str):
        raise ConfigRejected(f"log key {path}", FORMAT, repr(fields["format"])[:40])
    return dict(fields)


def _derive(password: str, salt: bytes, n: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=_R, p=_P).derive(password.encode())
