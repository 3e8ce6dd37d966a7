"""Making what a network's processes are given: encrypted keys, the log's key, and the tokens of its writers and readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oracle.attest.bls_keystore import create_bls_keystore, load_bls_signer
from oracle.attest.keys import create_keystore, load_account
from oracle.audit.access import new_token, write_tokens
from oracle.audit.custodykey import CustodyKey, write_custody_key
from oracle.audit.keys import write_key_file
from oracle.audit.note import generate_key
from oracle.audit.record import require_writer
from oracle.audit.scopes import Scope
from oracle.config import read_new_password, write_secret
from oracle.errors import ConfigRejected
from oracle.records import Address


@dataclass(frozen=True, slots=True)
class NewLog:
    """What was written for a new log. Token files are by name, one secret each."""

    vkey: str
    key_file: Path
    custody_key_file: Path
    tokens_file: Path
    token_files: dict[str, Path]


def new_keystore(path: Path, password_file: Path) -> Address:
    """Raises ConfigRejected where the file is there already or the password is not acceptable."""
    return create_keystore(path, password_file)


def address_of(path: Path, password_file: Path) -> Address:
    """Raises ConfigRejected where the keystore does not open."""
    return Address(load_account(path, password_file).address)


def new_bls_keystore(path: Path, password_file: Path) -> bytes:
    """A new BLS key's public part, 256 bytes. Raises as `new_keystore`."""
    return create_bls_keystore(path, password_file)


def bls_key_of(path: Path, password_file: Path) -> bytes:
    """Raises ConfigRejected where the keystore does not open."""
    return load_bls_signer(path, password_file).key


def new_log(
    directory: Path,
    origin: str,
    password_file: Path,
    writers: Sequence[str],
    readers: Sequence[str],
    custody_password_file: Path | None = None,
) -> NewLog:
    """A log's key and its custody key, each encrypted, a token of its own for every writer and reader, and the file of their digests.

    Whoever has the password of the custody key can read what the log keeps encrypted: it should be another person's than the log's.

    A writer is given as its name, or as name:scope+scope with what it may write about (`oracle.audit.scopes`); without, everything.
    Nothing that exists is overwritten. Raises ConfigRejected, NoteRejected for the origin, EntryRejected for a name.
    """
    may = dict(map(_read_writer, writers))
    names = [*may, *map(require_writer, readers)]
    if len(may) != len(writers) or len(set(names)) != len(names):
        raise ConfigRejected("names of writers and readers", "each once", "a repeated one")
    password = read_new_password(password_file)
    custody_password = read_new_password(custody_password_file or password_file)
    directory.mkdir(parents=True, exist_ok=True)
    key, key_file, custody_key_file = generate_key(origin), directory / "log-key.json", directory / "custody-key.json"
    write_key_file(key_file, key, password)
    write_custody_key(custody_key_file, CustodyKey.generate(), custody_password)
    tokens = {name: new_token() for name in names}
    token_files = {name: directory / f"{name}.token" for name in names}
    for name, path in token_files.items():
        write_secret(path, "token file", tokens[name] + "\n")
    scoped = {name: scopes for name, scopes in may.items() if scopes}
    write_tokens(directory / "tokens.json", {name: tokens[name] for name in may}, {name: tokens[name] for name in readers}, scoped)
    return NewLog(str(key.verifier), key_file, custody_key_file, directory / "tokens.json", token_files)


def _read_writer(text: str) -> tuple[str, tuple[Scope, ...]]:
    name, _, words = text.partition(":")
    scopes = tuple(words.split("+")) if words else ()
    if unknown := [word for word in scopes if word not in set(Scope)]:
        raise ConfigRejected(f"scope of the writer {name}", "one of " + ", ".join(Scope), unknown[0])
    return require_writer(name), tuple(map(Scope, scopes))
