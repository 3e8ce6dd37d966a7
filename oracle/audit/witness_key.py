"""A witness's key on disk: the signer key of `oracle.audit.cosign` in a sealed file, whose name is the verifier key."""

from __future__ import annotations

from pathlib import Path

from oracle.audit.cosign import WitnessKey, WitnessSigner, parse_witness_skey, parse_witness_vkey
from oracle.audit.sealedfile import read_sealed_document, read_sealed_file, write_sealed_file
from oracle.errors import ConfigRejected, NoteRejected

FORMAT = "affidavit/witness-key@1"
_WHAT = "witness key"


def write_witness_key(path: Path, key: WitnessSigner, password: str) -> None:
    """A new file of mode 0600. Raises ConfigRejected where one is there already."""
    write_sealed_file(path, _WHAT, FORMAT, str(key.verifier), key.encode().encode(), password)


def read_witness_key(path: Path, password: str) -> WitnessSigner:
    """Raises ConfigRejected for a missing or malformed file, or a wrong password."""
    _name, secret = read_sealed_file(path, _WHAT, FORMAT, password)
    try:
        return parse_witness_skey(secret.decode())
    except (NoteRejected, ValueError) as error:
        raise ConfigRejected(f"{_WHAT} {path}", "a key file of this format", str(error)) from error


def read_witness_vkey(path: Path) -> WitnessKey:
    """The verifier key that stands in the clear in a key file. Raises ConfigRejected."""
    try:
        return parse_witness_vkey(read_sealed_document(path, _WHAT, FORMAT)["name"])
    except NoteRejected as error:
        raise ConfigRejected(f"{_WHAT} {path}", "a verifier key", str(error)) from error
