"""A bounded place on disk for what could not be logged in time, so that a crash of the application does not lose it.

One SQLite file of mode 0600. Public fields lie in it as they will stand in the log. Everything else (sealed fields, bodies, the person's
reference) is encrypted with AES-256-GCM under a key derived from the writer's token (HKDF-SHA256), which lies in another file: a copy of
the spool alone shows no content. After the token was replaced what is spooled is delivered without its content, and says so.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from oracle.audit.calls import REDACTIONS
from oracle.audit.entries import intent_link
from oracle.audit.late import append_late
from oracle.encoding import parse_bytes32, parse_hex, to_hex
from oracle.errors import ConfigRejected, EntryRejected, MalformedInput, StoreError, TooLarge
from oracle.records import Appended, Bytes32, Entry, EntryKind
from oracle.seams import EntryLog
from oracle.store import open_database, reading

SCHEMA = "spool"
DEFAULT_MAX_BYTES = 64 << 20

_table = Table(
    "spooled",
    MetaData(),
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("key", String(200)),
    Column("call_id", LargeBinary(32)),
    Column("state", String(16)),
    Column("entry", Text),
    Column("sealed", LargeBinary),
    Column("bytes", BigInteger),
    Column("place", Text),
    Column("refusal", String(200)),
)


class SpoolState(StrEnum):
    """See migrations/spool/0001_spool.py."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Spooled:
    id: int
    key: str
    call_id: Bytes32
    entry: Entry


def derive_key(token: str, purpose: bytes) -> bytes:
    """32 bytes for one purpose alone, from a writer's token: whoever has them cannot write to the log."""
    return HKDF(SHA256(), 32, None, purpose).derive(token.encode())


class Spool:
    """Safe for several threads and processes. Every method is one transaction, and raises StoreError when the disk fails."""

    def __init__(self, engine: Engine, key: bytes, max_bytes: int) -> None:
        self._engine = engine
        self._cipher = AESGCM(key)
        self._max_bytes = max_bytes

    @classmethod
    def open(cls, path: Path, token: str, max_bytes: int = DEFAULT_MAX_BYTES) -> Spool:
        """The spool in a file, made where there is none. Raises ConfigRejected where others may read it, StoreError for a bad disk."""
        _make_private(path)
        return cls(open_database(f"sqlite:///{path}", SCHEMA), derive_key(token, b"affidavit recorder spool"), max_bytes)

    def close(self) -> None:
        self._engine.dispose()

    def add(self, call_id: Bytes32, entry: Entry, key: str) -> None:
        """Keeps an entry; the same key again changes nothing. Raises TooLarge when the spool is full."""
        public = json.dumps({"kind": str(entry.kind), "time": entry.time, "fields": entry.fields, "retention": entry.retention})
        sealed = self._encrypt(entry, key)
        row = {"key": key, "call_id": call_id, "state": SpoolState.WAITING, "entry": public, "sealed": sealed}
        size = len(public) + len(sealed)
        with self._transaction() as connection:
            if connection.execute(select(_table.c.id).where(_table.c.key == key)).first() is not None:
                return
            used = connection.execute(select(func.coalesce(func.sum(_table.c.bytes), 0))).scalar_one()
            if used + size > self._max_bytes:
                raise TooLarge("spool", f"at most {self._max_bytes} bytes", used + size)
            connection.execute(insert(_table).values(**row, bytes=size))

    def count(self) -> int:
        """Entries that wait."""
        with self._reading() as connection:
            waiting = select(func.count()).where(_table.c.state == SpoolState.WAITING)
            return int(connection.execute(waiting).scalar_one())

    def deliver(self, log: EntryLog) -> int:
        """Appends everything that waits, oldest first, marked late. Returns how many.

        Raises as `EntryLog.append` does when the log does not take entries now; what was delivered before stays delivered. An entry that
        the log will never take is marked refused and passed over.
        """
        delivered = 0
        while (found := self._next()) is not None:
            try:
                self._mark_delivered(found, append_late(log, found.entry, found.key))
                delivered += 1
            except (EntryRejected, MalformedInput, TooLarge) as refusal:
                self._mark_refused(found, refusal)
        return delivered

    def refusals(self) -> list[str]:
        """Why entries were refused for good, oldest first."""
        with self._reading() as connection:
            refused = select(_table.c.refusal).where(_table.c.state == SpoolState.REFUSED).order_by(_table.c.id)
            return [str(text) for text in connection.execute(refused).scalars()]

    # ---- rows ---------------------------------------------------------------------------------------------------------------------
    def _next(self) -> Spooled | None:
        with self._reading() as connection:
            waiting = select(_table).where(_table.c.state == SpoolState.WAITING).order_by(_table.c.id).limit(1)
            row = connection.execute(waiting).mappings().one_or_none()
            if row is None:
                return None
            entry = self._decrypt(row["entry"], row["sealed"], row["key"])
            intent = _find_intent(connection, row["call_id"])
        if entry.kind is not EntryKind.INTENT and intent is not None:
            entry = replace(entry, fields=entry.fields | intent_link(intent))
        return Spooled(row["id"], row["key"], Bytes32(row["call_id"]), entry)

    def _mark_delivered(self, spooled: Spooled, place: Appended) -> None:
        text = json.dumps([place.index, to_hex(place.leaf_hash), place.tree_size])
        values = {"state": SpoolState.DELIVERED, "place": text, "entry": str(spooled.entry.kind), "sealed": b"", "bytes": 0}
        with self._transaction() as connection:
            if spooled.entry.kind is EntryKind.INTENT:
                connection.execute(update(_table).where(_table.c.id == spooled.id).values(**values))
            else:
                connection.execute(delete(_table).where(_table.c.call_id == spooled.call_id, _table.c.state != SpoolState.REFUSED))

    def _mark_refused(self, spooled: Spooled, refusal: Exception) -> None:
        values = {"state": SpoolState.REFUSED, "refusal": f"{type(refusal).__name__}: {refusal}"[:200], "sealed": b"", "bytes": 0}
        with self._transaction() as connection:
            connection.execute(update(_table).where(_table.c.id == spooled.id).values(**values))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError("the recorder's spool") from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with reading(self._engine) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError("the recorder's spool") from error

    # ---- content ------------------------------------------------------------------------------------------------------------------
    def _encrypt(self, entry: Entry, key: str) -> bytes:
        if not (entry.sealed or entry.bodies or entry.subject):
            return b""
        bodies = {name: to_hex(body) for name, body in entry.bodies.items()}
        plain = json.dumps({"sealed": entry.sealed, "bodies": bodies, "subject": entry.subject}).encode()
        nonce = secrets.token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, plain, key.encode())

    def _decrypt(self, public: str, sealed: bytes, key: str) -> Entry:
        p = json.loads(public)
        entry = Entry(EntryKind(p["kind"]), p["time"], p["fields"], retention=p["retention"])
        if not sealed:
            return entry
        try:
            content = json.loads(self._cipher.decrypt(sealed[:12], sealed[12:], key.encode()))
        except InvalidTag:  # the token was replaced, or the file altered: what is public is told, and that something is missing
            told = entry.fields.get(REDACTIONS)
            left_out = [*(told if isinstance(told, list) else []), "spooled content"]
            return replace(entry, fields=entry.fields | {REDACTIONS: left_out})
        bodies = {name: parse_hex(text, "spooled body") for name, text in content["bodies"].items()}
        return replace(entry, bodies=bodies, sealed=content["sealed"], subject=content["subject"])


def _find_intent(connection: Connection, call_id: bytes) -> Appended | None:
    """Where the call's intent was delivered, if it went through this spool."""
    here = (_table.c.call_id == call_id) & (_table.c.state == SpoolState.DELIVERED) & (_table.c.entry == str(EntryKind.INTENT))
    text = connection.execute(select(_table.c.place).where(here)).scalars().first()
    if text is None:
        return None
    index, leaf_hash, size = json.loads(text)
    return Appended(index, parse_bytes32(leaf_hash, "spooled place"), size)


def _make_private(path: Path) -> None:
    """An empty file of mode 0600, which SQLite's own files beside it take over. Raises ConfigRejected for one others may read."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise StoreError(f"cannot open the spool {path}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigRejected(f"spool {path}", "mode 0600", oct(mode))
