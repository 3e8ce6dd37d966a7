"""What the relay has to say to the audit log, kept until the log has it: exactly once, whatever crashes.

An entry is stored whole, with its time, in the transaction of whatever it tells of; its key is unique here and at the log. So nothing is
said twice, nothing that happened is left unsaid, and a second attempt sends the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Row, bindparam, insert, select, update

from oracle import journal
from oracle.encoding import parse_hex, to_hex
from oracle.errors import EntryRejected, LogRefused, MalformedInput, OutOfScope, PeerError, TooLarge, Unauthorised
from oracle.records import Appended, Asked, Claim, Delivery, Entry, EntryKind, Receipt, SignedClaim
from oracle.relay.schema import ENTRIES
from oracle.store import reading

MINED, FINAL = "mined", "final"
"""The two moments at which a receipt is stated: in a block, and that block at the configured depth."""


class KeyedLog(Protocol):
    """The log, with idempotency keys: the same key with the same entry is appended once."""

    def append(self, entry: Entry, key: str) -> Appended: ...

    def append_batch(self, items: Sequence[tuple[Entry, str | None]]) -> list[Appended]: ...


class EntryBuilder(Protocol):
    """Makes the log's entries from our records; handed in, since the formats are the audit log's."""

    def receipt(self, receipt: Receipt, delivery: Delivery, stage: str, now: datetime) -> Entry: ...

    def lie(self, asked: Asked, signed: SignedClaim, agreed: Claim, now: datetime) -> Entry: ...

    def failure(self, asked: Asked, error_type: str, message: str, now: datetime) -> Entry: ...


def state_once(connection: Connection, key: str, entry: Entry) -> bool:
    """Keeps an entry to be written, unless one with this key was kept before. Returns whether it is new."""
    if connection.execute(select(ENTRIES.c.id).where(ENTRIES.c.key == key)).one_or_none() is not None:
        return False
    connection.execute(insert(ENTRIES).values(key=key, entry=_to_json(entry)))
    return True


def state_all_once(connection: Connection, entries: Mapping[str, Entry]) -> None:
    """As `state_once` for each entry under its key, in this order."""
    known = set(connection.execute(select(ENTRIES.c.key).where(ENTRIES.c.key.in_(list(entries)))).scalars()) if entries else set()
    rows = [{"key": key, "entry": _to_json(entry)} for key, entry in entries.items() if key not in known]
    if rows:
        connection.execute(insert(ENTRIES), rows)


def write_waiting(engine: Engine, log: KeyedLog, limit: int = 64) -> int:
    """Writes waiting entries, oldest first, and returns how many the log took. Stops at the first that it does not answer.

    An entry that the log refuses for its form is set aside with the reason and reported: it is a fault of ours, and must not hold up the
    others.
    """
    query = select(ENTRIES).where(ENTRIES.c.index.is_(None), ENTRIES.c.refusal.is_(None)).order_by(ENTRIES.c.id).limit(limit)
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    if len(rows) > 1 and _write_together(engine, log, rows):
        return len(rows)
    written = 0
    for row in rows:
        try:
            appended = log.append(_from_json(row.entry), row.key)
        except (PeerError, LogRefused, Unauthorised, OutOfScope) as error:  # the last two: a token that is not ours, until it is mended
            journal.get("statements").warning("the log did not take an entry", key=row.key, error=str(error))
            break
        except (EntryRejected, MalformedInput, TooLarge) as error:
            journal.get("statements").error("the log refuses an entry", key=row.key, error=str(error))
            _update(engine, row.id, refusal=str(error))
            continue
        _update(engine, row.id, index=appended.index, leaf_hash=appended.leaf_hash)
        written += 1
    return written


def _write_together(engine: Engine, log: KeyedLog, rows: Sequence[Row[Any]]) -> bool:
    """All in one question. False where the log does not take them all: which one is at fault is found by asking about each."""
    try:
        places = log.append_batch([(_from_json(row.entry), row.key) for row in rows])
    except (PeerError, LogRefused, Unauthorised, EntryRejected, MalformedInput, TooLarge):
        return False
    found = [{"of": row.id, "index": place.index, "leaf_hash": place.leaf_hash} for row, place in zip(rows, places, strict=True)]
    with engine.begin() as connection:
        connection.execute(_ONE_OF_MANY, found)
    return True


_ONE_OF_MANY = update(ENTRIES).where(ENTRIES.c.id == bindparam("of"))


def count_waiting(engine: Engine) -> int:
    """How many entries the log does not have yet, without those it refused."""
    with reading(engine) as connection:  # asked of replicas that stand by, too
        query = select(ENTRIES.c.id).where(ENTRIES.c.index.is_(None), ENTRIES.c.refusal.is_(None))
        return len(connection.execute(query).all())


def _update(engine: Engine, row_id: int, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(update(ENTRIES).where(ENTRIES.c.id == row_id).values(**values))


def _to_json(entry: Entry) -> str:
    bodies = {name: to_hex(body) for name, body in entry.bodies.items()}
    kept = {"sealed": entry.sealed, "subject": entry.subject, "retention": entry.retention}
    return json.dumps({"kind": entry.kind, "time": entry.time, "fields": entry.fields, "bodies": bodies} | kept)


def _from_json(text: str) -> Entry:
    document = json.loads(text)
    bodies = {name: parse_hex(body, name) for name, body in document["bodies"].items()}
    entry = Entry(EntryKind(document["kind"]), document["time"], document["fields"], bodies)
    kept = {name: document[name] for name in ("sealed", "subject", "retention") if name in document}  # rows of before have none
    return replace(entry, **kept)
