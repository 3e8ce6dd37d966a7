"""A secret in a file, encrypted with a password (scrypt, RFC 7914; AES-256-GCM, SP 800-38D).

    {"format": "affidavit/log-key@1", "name": "…", "scrypt": {"n": 131072, "p": 1, "r": 8, "salt": "0x…"}, "nonce": "0x…", "sealed": "0x…"}

The name is in the clear and bound as associated data: a file whose name was changed does not open.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from oracle.config import write_secret
from oracle.encoding import parse_hex, parse_uint, to_hex
from oracle.errors import ConfigRejected, MalformedInput
from oracle.wire import require_fields

_N, _R, _P = 1 << 17, 8, 1  # 128 MiB and about half a second a guess


def write_sealed_file(path: Path, what: str, form: str, name: str, secret: bytes, password: str) -> None:
    """A new file of mode 0600. Raises ConfigRejected where one is there already: a key is never overwritten."""
    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = AESGCM(_derive(password, salt, _N)).encrypt(nonce, secret, _bound(form, name))
    document = {
        "format": form,
        "name": name,
        "scrypt": {"n": _N, "r": _R, "p": _P, "salt": to_hex(salt)},
        "nonce": to_hex(nonce),
        "sealed": to_hex(sealed),
    }
    write_secret(path, what, json.dumps(document, indent=2) + "\n")


def read_sealed_file(path: Path, what: str, form: str, password: str) -> tuple[str, bytes]:
    """(name, secret). Raises ConfigRejected for a missing or malformed file, or a wrong password."""
    document = read_sealed_document(path, what, form)
    try:
        scrypt = require_fields(document["scrypt"], f"{what} scrypt", {"n", "r", "p", "salt"})
        n = parse_uint(scrypt["n"], f"{what} scrypt.n", 21)
        if (scrypt["r"], scrypt["p"]) != (_R, _P):
            raise MalformedInput(f"{what} scrypt", f"r = {_R} and p = {_P}", "others")
        key = _derive(password, parse_hex(scrypt["salt"], f"{what} salt", 16), n)
        nonce, sealed = parse_hex(document["nonce"], f"{what} nonce", 12), parse_hex(document["sealed"], what)
        return document["name"], AESGCM(key).decrypt(nonce, sealed, _bound(form, document["name"]))
    except (MalformedInput, ValueError) as error:
        raise ConfigRejected(f"{what} {path}", "a key file of this format", str(error)) from error
    except InvalidTag as error:
        raise ConfigRejected(f"{what} {path}", "the right password", "another one") from error


def read_sealed_document(path: Path, what: str, form: str) -> dict[str, Any]:
    """What stands in the clear in such a file. Raises ConfigRejected."""
    try:
        fields = require_fields(json.loads(path.read_text()), what, {"format", "name", "scrypt", "nonce", "sealed"})
    except OSError as error:
        raise ConfigRejected(f"{what} {path}", "a readable file", error.strerror) from error
    except (ValueError, RecursionError, MalformedInput) as error:
        raise ConfigRejected(f"{what} {path}", "a key file of this format", str(error)) from error
    if fields["format"] != form or not isinstance(fields["name"], str):
        raise ConfigRejected(f"{what} {path}", form, repr(fields["format"])[:40])
    return dict(fields)


def _bound(form: str, name: str) -> bytes:
    return form.encode() + b"\x00" + name.encode()


def _derive(password: str, salt: bytes, n: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=_R, p=_P).derive(password.encode())
