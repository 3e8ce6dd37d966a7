"""Making what a network's processes are given: encrypted keys, the log's key, and the tokens of its writers and readers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oracle.attest.keys import create_keystore, load_account
from oracle.audit.access import hash_token, new_token
from oracle.audit.keys import write_key_file
from oracle.audit.note import generate_key
from oracle.audit.record import require_writer
from oracle.config import read_secret
from oracle.encoding import to_hex
from oracle.errors import ConfigRejected
from oracle.records import Address

MINIMUM_PASSWORD_LENGTH = 12


@dataclass(frozen=True, slots=True)
class NewLog:
    """What was written for a new log. Token files are by name, one secret each."""

    vkey: str
    key_file: Path
    tokens_file: Path
    token_files: dict[str, Path]


def new_keystore(path: Path, password_file: Path) -> Address:
    """Raises ConfigRejected where the file is there already or the password is not acceptable."""
    return create_keystore(path, password_file)


def address_of(path: Path, password_file: Path) -> Address:
    """Raises ConfigRejected where the keystore does not open."""
    return Address(load_account(path, password_file).address)


def new_log(directory: Path, origin: str, password_file: Path, writers: Sequence[str], readers: Sequence[str]) -> NewLog:
    """A log's key, encrypted, a token of its own for every writer and reader, and the file of their digests.

    Nothing that exists is overwritten. Raises ConfigRejected, NoteRejected for the origin, EntryRejected for a name.
    """
    names = [*map(require_writer, writers), *map(require_writer, readers)]
    if len(set(names)) != len(names):
        raise ConfigRejected("names of writers and readers", "each once", "a repeated one")
    password = read_secret(password_file)
    if len(password) < MINIMUM_PASSWORD_LENGTH:
        raise ConfigRejected(f"password in {password_file}", f"at least {MINIMUM_PASSWORD_LENGTH} characters", len(password))
    directory.mkdir(parents=True, exist_ok=True)
    key, key_file = generate_key(origin), directory / "log-key.json"
    write_key_file(key_file, key, password)
    tokens = {name: new_token() for name in names}
    token_files = {name: directory / f"{name}.token" for name in names}
    for name, path in token_files.items():
        _write_new(path, tokens[name] + "\n")
    sides = {"writers": writers, "readers": readers}
    digests = {side: {name: to_hex(hash_token(tokens[name])) for name in of_side} for side, of_side in sides.items()}
    _write_new(directory / "tokens.json", json.dumps(digests, indent=2) + "\n")
    return NewLog(str(key.verifier), key_file, directory / "tokens.json", token_files)


def _write_new(path: Path, text: str) -> None:
    """A new file of mode 0600, on the disk before this returns."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigRejected(f"file {path}", "a place for a new file", error.strerror) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
