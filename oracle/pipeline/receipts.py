"""COSE receipts for an auditor: fetched from a log, and held against the entry itself before they are believed."""

from __future__ import annotations

from pathlib import Path

import httpx

from oracle.audit.cose import MAX_RECEIPT_BYTES, Receipt, verify_inclusion_receipt
from oracle.audit.note import parse_vkey
from oracle.audit.source import open_source
from oracle.audit.tree import hash_leaf
from oracle.audit.view import LogView
from oracle.errors import ConfigRejected, PeerError, ProofRejected
from oracle.reading import read_bounded

_TIMEOUT_SECONDS = 10.0


def fetch_receipt(log: str, vkey: str, index: int, out: Path, record: Path | None = None) -> Receipt:
    """Writes the receipt of an entry to a new file. Raises ProofRejected for a false one, PeerError where the log gives none."""
    data = _get(log, index)
    receipt = _verify(data, log, vkey, index, record)
    try:
        with out.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise ConfigRejected(f"receipt {out}", "a path for a new file", error.strerror) from error
    return receipt


def verify_receipt(log: str, vkey: str, index: int, file: Path, record: Path | None = None) -> Receipt:
    """The receipt in a file, held against the entry in another file, or as the log shows it. Raises ProofRejected."""
    return _verify(_read(file, "receipt"), log, vkey, index, record)


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigRejected(f"{what} {file}", "a readable file", error.strerror) from error


def _verify(data: bytes, log: str, vkey: str, index: int, record: Path | None) -> Receipt:
    key = parse_vkey(vkey)
    entry = _read(record, "entry") if record is not None else LogView(open_source(log), key).read_bytes(index)
    receipt = verify_inclusion_receipt(data, hash_leaf(entry), key)
    if receipt.numbers[1] != index:
        raise ProofRejected("receipt", f"one for entry {index}", f"one for entry {receipt.numbers[1]}")
    return receipt


def _get(log: str, index: int) -> bytes:
    if not log.startswith(("http://", "https://")):
        raise ConfigRejected("log", "a URL: receipts are signed when they are asked for", log)
    try:
        with httpx.stream("GET", f"{log.rstrip('/')}/receipt/{index}", timeout=_TIMEOUT_SECONDS) as answer:
            data = read_bounded(answer, f"the log at {log}", MAX_RECEIPT_BYTES, _TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        raise PeerError(f"the log at {log} did not answer") from error
    if answer.status_code != 200:
        raise PeerError(f"the log at {log} gave no receipt for entry {index}: {answer.status_code} {data[:200]!r}")
    return data
