"""The log's Ed25519 key on disk: the C2SP signer key in a sealed file, whose name is the verifier key."""

from __future__ import annotations

from pathlib import Path

from oracle.audit.note import SignerKey, VerifierKey, parse_skey, parse_vkey
from oracle.audit.sealedfile import read_sealed_document, read_sealed_file, write_sealed_file
from oracle.errors import ConfigRejected, NoteRejected

FORMAT = "affidavit/log-key@2"
_WHAT = "log key"


def write_key_file(path: Path, key: SignerKey, password: str) -> None:
    """A new file of mode 0600. Raises ConfigRejected where one is there already: a log's key is never overwritten."""
    write_sealed_file(path, _WHAT, FORMAT, str(key.verifier), key.encode().encode(), password)


def read_key_file(path: Path, password: str) -> SignerKey:
    """Raises ConfigRejected for a missing or malformed file, or a wrong password."""
    _name, secret = read_sealed_file(path, _WHAT, FORMAT, password)
    try:
        return parse_skey(secret.decode())
    except (NoteRejected, ValueError) as error:
        raise ConfigRejected(f"{_WHAT} {path}", "a key file of this format", str(error)) from error


def read_vkey(path: Path) -> VerifierKey:
    """The verifier key that stands in the clear in a key file. Raises ConfigRejected."""
    try:
        return parse_vkey(read_sealed_document(path, _WHAT, FORMAT)["name"])
    except NoteRejected as error:
        raise ConfigRejected(f"{_WHAT} {path}", "a verifier key", str(error)) from error
