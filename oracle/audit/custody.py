"""Custody: sealed fields and bodies, encrypted so that they can be read while somebody must and destroyed when nobody may.

    custody key (custodykey.py)  ─wraps→  key of a subject  ─wraps→  key of a record  ─encrypts→  its sealed fields, each of its bodies

Ciphertexts lie in the log's database. Wrapped keys lie in the custody database, alone, so that its backups can be kept for days while
those of the log are kept for years: what is destroyed here and gone from its backups is gone from theirs too. A subject is the person a
record is about, known here by a keyed digest of the writer's reference to them; records that name nobody belong to their writer's
nameless subject.

Erasing destroys the keys of records, or the key of a subject, in one transaction that also looks at the holds; after it, ciphertexts
are removed, which only frees space. The leaf with its commitments stays, and with it every proof.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    delete,
    false,
    insert,
    or_,
    select,
    text,
    true,
    update,
)

from oracle.audit.content import Content, ContentState
from oracle.audit.custodykey import CustodyKey, decrypt, encrypt
from oracle.audit.seal import sealed_from_json, sealed_to_json
from oracle.audit.store import content as _content
from oracle.audit.store import storing
from oracle.errors import ConfigRejected, EntryRejected, ErasureHeld
from oracle.records import Bytes32
from oracle.store import insert_all, open_database, overwrite_what_is_deleted, reading, truncate_journal

_metadata = MetaData()
_secrets = Table(
    "custody_secrets",
    _metadata,
    Column("name", String(32), primary_key=True),
    Column("key_id", LargeBinary(8)),
    Column("wrapped", LargeBinary),
)
_subjects = Table(
    "subjects",
    _metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("tag", LargeBinary(32)),  # keyed digest of writer and reference; gone with the key
    Column("wrapped_key", LargeBinary),
)
_keys = Table(
    "record_keys",
    _metadata,
    Column("index", BigInteger, primary_key=True),
    Column("subject", LargeBinary(16)),
    Column("call_id", LargeBinary(32)),
    Column("expires", BigInteger),  # seconds since 1970
    Column("wrapped_key", LargeBinary),  # none once it is destroyed
)
_holds = Table(
    "holds",
    _metadata,
    Column("id", String(64), primary_key=True),
    Column("first_index", BigInteger),
    Column("last_index", BigInteger),
    Column("call_id", LargeBinary(32)),
    Column("subject", LargeBinary(16)),
)

SEALED = ""
"""The name under which a record's sealed fields are kept among its bodies."""
_TAGS = "subject-tags"
_CHUNK = 500  # values in one IN (…)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What custody is to keep of one new record."""

    index: int
    writer: str
    reference: str  # the writer's, to the person it is about; empty for nobody
    call_id: Bytes32 | None
    expires: int  # seconds since 1970
    content: Content


@dataclass(frozen=True, slots=True)
class Hold:
    """What must not be destroyed: every record that fits all that is given here; nothing given holds everything."""

    id: str
    first_index: int | None = None
    last_index: int | None = None  # inclusive
    call_id: Bytes32 | None = None
    subject: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Subject:
    id: bytes
    key: bytes


class Custody:
    """Custody of one log. Safe to use from several threads and processes. Raises StoreError when a database fails."""

    def __init__(self, log: Engine, custody: Engine, key: CustodyKey, tag_key: bytes) -> None:
        self._log = log
        self._custody = custody
        self._key = key
        self._tag_key = tag_key

    @classmethod
    def open(cls, database: str, custody_database: str, key: CustodyKey) -> Custody:
        """Raises ConfigRejected where custody was begun with another key, StoreError where a database does not open."""
        log, custody = open_database(database, "log"), open_database(custody_database, "custody")
        overwrite_what_is_deleted(custody)
        with storing("open custody"), custody.begin() as connection:
            _lock(connection)
            tag_key = _load_tag_key(connection, key)
        return cls(log, custody, key, tag_key)

    def close(self) -> None:
        self._log.dispose()
        self._custody.dispose()

    # ---- keeping ------------------------------------------------------------------------------------------------------------------
    def keep(self, items: Sequence[Keeping]) -> list[dict[str, Any]]:
        """Makes keys for new records, durably, and returns the rows of ciphertexts that go into the log's database.

        In this order, so that no ciphertext is ever without its key. `items` stand in the order of their indices. Keys that are there at
        or between these are of rows that were never committed, and go.
        """
        if not items:
            return []
        noise = secrets.token_bytes(32 * len(items))
        record_keys = [noise[start : start + 32] for start in range(0, len(noise), 32)]
        with storing("write to the custody database"), self._custody.begin() as connection:
            subjects = self._subjects_of(connection, {(item.writer, item.reference) for item in items})
            rows = [_key_row(item, subjects[item.writer, item.reference], key) for item, key in zip(items, record_keys, strict=True)]
            connection.execute(delete(_keys).where(_keys.c.index.between(items[0].index, items[-1].index)))
            insert_all(connection, _keys, rows)
        return [row for item, key in zip(items, record_keys, strict=True) for row in _encrypt_content(item, key)]

    def _subjects_of(self, connection: Connection, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], _Subject]:
        tags = {self._tag(writer, reference): (writer, reference) for writer, reference in wanted}
        found: dict[tuple[str, str], _Subject] = {}
        for chunk in _chunks(list(tags)):
            query = select(_subjects.c.tag, _subjects.c.id, _subjects.c.wrapped_key).where(_subjects.c.tag.in_(chunk))
            for tag, subject, wrapped in connection.execute(query.with_for_update(read=True)):  # whoever destroys one waits
                found[tags[tag]] = _Subject(subject, self._key.unwrap(wrapped, subject))
        for tag, pair in tags.items():
            if pair not in found:
                found[pair] = subject = _Subject(secrets.token_bytes(16), secrets.token_bytes(32))
                wrapped = self._key.wrap(subject.key, subject.id)
                connection.execute(insert(_subjects), {"id": subject.id, "tag": tag, "wrapped_key": wrapped})
        return found

    def _tag(self, writer: str, reference: str) -> bytes:
        name = writer.encode()
        return hmac.new(self._tag_key, len(name).to_bytes(2, "big") + name + reference.encode(), hashlib.sha256).digest()

    # ---- reading ------------------------------------------------------------------------------------------------------------------
    def state(self, index: int) -> ContentState:
        with storing("read the custody database"), reading(self._custody) as connection:
            row = connection.execute(select(_keys.c.wrapped_key).where(_keys.c.index == index)).one_or_none()
        return ContentState.NONE if row is None else ContentState.PRESENT if row[0] is not None else ContentState.ERASED

    def states(self, indices: Collection[int]) -> dict[int, ContentState]:
        """`state` of several records, from one look."""
        found = dict.fromkeys(indices, ContentState.NONE)
        with storing("read the custody database"), reading(self._custody) as connection:
            for chunk in _chunks(list(found)):
                query = select(_keys.c.index, _keys.c.wrapped_key.is_not(None)).where(_keys.c.index.in_(chunk))
                for index, is_present in connection.execute(query):
                    found[index] = ContentState.PRESENT if is_present else ContentState.ERASED
        return found

    def content(self, index: int) -> Content | None:
        """Sealed fields and bodies of a record, None where it never had any or they were erased."""
        query = select(_keys.c.subject, _keys.c.wrapped_key, _subjects.c.wrapped_key).join(_subjects, _subjects.c.id == _keys.c.subject)
        with storing("read the custody database"), reading(self._custody) as connection:
            row = connection.execute(query.where(_keys.c.index == index)).one_or_none()
        if row is None or row[1] is None or row[2] is None:
            return None
        subject, wrapped, wrapped_subject = row
        key = decrypt(self._key.unwrap(wrapped_subject, subject), wrapped, _record_bound(subject, index))
        query_content = select(_content.c.name, _content.c.ciphertext).where(_content.c.index == index).order_by(_content.c.name)
        with storing("read the log's database"), reading(self._log) as connection:
            parts = {name: decrypt(key, data, _part_bound(index, name)) for name, data in connection.execute(query_content)}
        if not parts:  # they were removed after the keys were read: whoever has a key here had content
            return None
        sealed = parts.pop(SEALED, None)
        return Content(None if sealed is None else sealed_from_json(json.loads(sealed)), parts)

    def expires(self, index: int) -> datetime | None:
        """Until when a record's content is kept, where no hold keeps it longer; None where it never had any."""
        with storing("read the custody database"), reading(self._custody) as connection:
            found: int | None = connection.execute(select(_keys.c.expires).where(_keys.c.index == index)).scalar_one_or_none()
        return None if found is None else datetime.fromtimestamp(found, UTC)

    def subject_of(self, index: int) -> bytes | None:
        """The 16 random bytes that stand for the person a record is about, None where custody keeps nothing of it."""
        with storing("read the custody database"), reading(self._custody) as connection:
            found: bytes | None = connection.execute(select(_keys.c.subject).where(_keys.c.index == index)).scalar_one_or_none()
        return found

    def find_subject(self, writer: str, reference: str) -> bytes | None:
        """The subject a writer refers to, None where no record is about them or they were erased. Raises EntryRejected for nobody."""
        if not reference:
            raise EntryRejected("subject", "a writer's reference to a person", "nothing")
        with storing("read the custody database"), reading(self._custody) as connection:
            query = select(_subjects.c.id).where(_subjects.c.tag == self._tag(writer, reference))
            found: bytes | None = connection.execute(query).scalar_one_or_none()
        return found

    def records_of(self, subject: bytes) -> list[int]:
        """Indices of every record about a subject, erased ones too, ascending."""
        with storing("read the custody database"), reading(self._custody) as connection:
            query = select(_keys.c.index).where(_keys.c.subject == subject).order_by(_keys.c.index)
            return list(connection.execute(query).scalars())

    def without_keys(self, indices: Sequence[int]) -> list[int]:
        """Which of these records custody knows nothing of, not even that they were erased."""
        with storing("read the custody database"), reading(self._custody) as connection:
            known = {i for c in _chunks(indices) for i in connection.execute(select(_keys.c.index).where(_keys.c.index.in_(c))).scalars()}
        return [index for index in indices if index not in known]

    # ---- holds --------------------------------------------------------------------------------------------------------------------
    def place_hold(self, hold: Hold) -> None:
        """Durable when it returns; the same hold placed again changes nothing."""
        columns = {name: getattr(hold, name) for name in Hold.__slots__}
        with storing("place a hold"), self._custody.begin() as connection:
            _lock(connection)
            if connection.execute(select(_holds.c.id).where(_holds.c.id == hold.id)).one_or_none() is None:
                connection.execute(insert(_holds), columns)

    def release_hold(self, hold_id: str) -> None:
        """A hold that is not there is released already."""
        with storing("release a hold"), self._custody.begin() as connection:
            _lock(connection)
            connection.execute(delete(_holds).where(_holds.c.id == hold_id))

    def holds(self, index: int | None = None) -> list[Hold]:
        """All holds, or those that keep one record."""
        with storing("read the custody database"), reading(self._custody) as connection:
            holds = _read_holds(connection)
            if index is None:
                return holds
            row = connection.execute(select(_keys.c.call_id, _keys.c.subject).where(_keys.c.index == index)).one_or_none()
        return [] if row is None else [hold for hold in holds if _is_held(hold, index, row[0], row[1])]

    # ---- destroying ---------------------------------------------------------------------------------------------------------------
    def destroy_records(self, indices: Collection[int]) -> list[int]:
        """Destroys the keys of these records; returns those that had one. Raises ErasureHeld, having destroyed nothing."""
        wanted = sorted(set(indices))
        with storing("destroy keys"), self._custody.begin() as connection:
            _lock(connection)
            _require_free(connection, wanted)
            destroyed = [i for chunk in _chunks(wanted) for i in _destroy(connection, _keys.c.index.in_(chunk))]
        self._forget(destroyed)
        return destroyed

    def destroy_subject(self, subject: bytes) -> list[int]:
        """Destroys a subject's key, the keys of all its records, and what links it to a person. Raises ErasureHeld as above."""
        with storing("destroy keys"), self._custody.begin() as connection:
            _lock(connection)
            connection.execute(select(_subjects.c.id).where(_subjects.c.id == subject).with_for_update())  # and no new record comes between
            indices = list(connection.execute(select(_keys.c.index).where(_keys.c.subject == subject).order_by(_keys.c.index)).scalars())
            _require_free(connection, indices)
            destroyed = _destroy(connection, _keys.c.subject == subject)
            connection.execute(update(_subjects).where(_subjects.c.id == subject).values(tag=None, wrapped_key=None))
        self._forget(destroyed)
        return destroyed

    def expired(self, now: datetime, limit: int = 256) -> list[int]:
        """Records beyond their retention that still have content and no hold, ascending."""
        with storing("read the custody database"), reading(self._custody) as connection:
            free = and_(_keys.c.wrapped_key.is_not(None), _keys.c.expires <= int(now.timestamp()))
            for hold in _read_holds(connection):
                free = and_(free, ~_fits(hold))
            return list(connection.execute(select(_keys.c.index).where(free).order_by(_keys.c.index).limit(limit)).scalars())

    def sweep(self) -> int:
        """Removes ciphertexts whose keys are gone, as a crash may have left; returns how many records they were of."""
        with storing("read the custody database"), reading(self._custody) as connection:
            gone = list(connection.execute(select(_keys.c.index).where(_keys.c.wrapped_key.is_(None))).scalars())
        with storing("read the log's database"), reading(self._log) as connection:
            left = [i for c in _chunks(gone) for i in connection.execute(select(_content.c.index).where(_content.c.index.in_(c))).scalars()]
        self._forget(sorted(set(left)))
        return len(set(left))

    def _forget(self, indices: Sequence[int]) -> None:
        truncate_journal(self._custody)
        for chunk in _chunks(indices):
            with storing("remove ciphertexts"), self._log.begin() as connection:
                connection.execute(delete(_content).where(_content.c.index.in_(chunk)))

    # ---- rotating -----------------------------------------------------------------------------------------------------------------
    def rotate(self, new: CustodyKey) -> int:
        """Wraps every subject's key with another custody key, in one transaction; returns how many. This object then uses the new one."""
        with storing("rotate the custody key"), self._custody.begin() as connection:
            _lock(connection)
            subjects = list(connection.execute(select(_subjects.c.id, _subjects.c.wrapped_key).where(_subjects.c.wrapped_key.is_not(None))))
            for subject, wrapped in subjects:
                again = new.wrap(self._key.unwrap(wrapped, subject), subject)
                connection.execute(update(_subjects).where(_subjects.c.id == subject).values(wrapped_key=again))
            values = {"key_id": new.id, "wrapped": new.wrap(self._tag_key, _TAGS.encode())}
            connection.execute(update(_secrets).where(_secrets.c.name == _TAGS).values(**values))
        self._key = new
        return len(subjects)


# ---- keys of records ------------------------------------------------------------------------------------------------------------------
def _key_row(item: Keeping, subject: _Subject, key: bytes) -> dict[str, Any]:
    wrapped = encrypt(subject.key, key, _record_bound(subject.id, item.index))
    return {"index": item.index, "subject": subject.id, "call_id": item.call_id, "expires": item.expires, "wrapped_key": wrapped}


def _encrypt_content(item: Keeping, key: bytes) -> Iterator[dict[str, Any]]:
    parts = dict(item.content.bodies)
    if item.content.sealed is not None:
        parts[SEALED] = orjson.dumps(sealed_to_json(item.content.sealed))
    for name, data in parts.items():
        yield {"index": item.index, "name": name, "ciphertext": encrypt(key, data, _part_bound(item.index, name))}


def _record_bound(subject: bytes, index: int) -> bytes:
    return b"record" + subject + index.to_bytes(8, "big")


def _part_bound(index: int, name: str) -> bytes:
    return b"part" + index.to_bytes(8, "big") + name.encode()


def _destroy(connection: Connection, which: ColumnElement[bool]) -> list[int]:
    alive = and_(which, _keys.c.wrapped_key.is_not(None))
    indices = list(connection.execute(select(_keys.c.index).where(alive).order_by(_keys.c.index)).scalars())
    connection.execute(update(_keys).where(alive).values(wrapped_key=None))
    return indices


# ---- holds ------------------------------------------------------------------------------------------------------------------------------
def _read_holds(connection: Connection) -> list[Hold]:
    return [Hold(*row) for row in connection.execute(select(_holds).order_by(_holds.c.id))]


def _is_held(hold: Hold, index: int, call_id: bytes | None, subject: bytes) -> bool:
    return (
        (hold.first_index is None or index >= hold.first_index)
        and (hold.last_index is None or index <= hold.last_index)
        and (hold.call_id is None or call_id == hold.call_id)
        and (hold.subject is None or subject == hold.subject)
    )


def _fits(hold: Hold) -> ColumnElement[bool]:
    """`_is_held`, as the database asks it."""
    condition: ColumnElement[bool] = true()
    if hold.first_index is not None:
        condition = and_(condition, _keys.c.index >= hold.first_index)
    if hold.last_index is not None:
        condition = and_(condition, _keys.c.index <= hold.last_index)
    if hold.call_id is not None:  # NULL is no call, and must not turn the answer into NULL
        condition = and_(condition, _keys.c.call_id.is_not(None), _keys.c.call_id == hold.call_id)
    if hold.subject is not None:
        condition = and_(condition, _keys.c.subject == hold.subject)
    return condition


def _require_free(connection: Connection, indices: Sequence[int]) -> None:
    held_by: ColumnElement[bool] = false()
    for hold in _read_holds(connection):
        held_by = or_(held_by, _fits(hold))
    for chunk in _chunks(indices):
        held = connection.execute(select(_keys.c.index).where(_keys.c.index.in_(chunk), held_by).limit(1)).scalar_one_or_none()
        if held is not None:
            raise ErasureHeld(f"entry {held}", "no legal hold on it", "one")


# ---- the databases --------------------------------------------------------------------------------------------------------------------
def _chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def _lock(connection: Connection) -> None:
    """Whoever destroys and whoever places a hold wait for each other. SQLite's transactions have the write lock from the start."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE holds IN SHARE ROW EXCLUSIVE MODE"))


def _load_tag_key(connection: Connection, key: CustodyKey) -> bytes:
    row = connection.execute(select(_secrets.c.key_id, _secrets.c.wrapped).where(_secrets.c.name == _TAGS)).one_or_none()
    if row is None:
        tag_key = secrets.token_bytes(32)
        connection.execute(insert(_secrets), {"name": _TAGS, "key_id": key.id, "wrapped": key.wrap(tag_key, _TAGS.encode())})
        return tag_key
    if row[0] != key.id:
        raise ConfigRejected("custody key", f"the key {row[0].hex()} that custody was begun with", key.id.hex())
    return key.unwrap(row[1], _TAGS.encode())
