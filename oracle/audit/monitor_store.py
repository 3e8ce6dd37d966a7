"""What a monitor remembers of a log: the head it believes, how far it read, each writer's last number and what its clock is worth.

Alarms are in the same database (`oracle.audit.alarms`), so that what was read and what was found of it are saved together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import BigInteger, Column, Connection, Engine, LargeBinary, String, Table, Text, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from oracle.audit import alarms
from oracle.audit.alarms import Alarm, AlarmKind, Finding
from oracle.errors import StoreError
from oracle.records import Bytes32, Checkpoint
from oracle.store import open_database

_logs = Table(
    "monitor_logs",
    alarms.metadata,
    Column("origin", String(512), primary_key=True),
    Column("size", BigInteger),
    Column("root", LargeBinary(32)),
    Column("note", Text),
    Column("audited", BigInteger),
    Column("anchored", BigInteger),
    Column("log_time", String(32)),
)
_writers = Table(
    "monitor_writers",
    alarms.metadata,
    Column("origin", String(512), primary_key=True),
    Column("writer", String(64), primary_key=True),
    Column("sequence", BigInteger),
    Column("skew", Text),
    Column("discipline", Text),
)

THE_LOG = ""
"""Where the log's own clock stands among the writers: no writer has this name."""


@dataclass(slots=True)
class WriterState:
    """One writer as of the last record that was read. The two texts say what is wrong with its clock now; empty where nothing is."""

    sequence: int = 0
    skew: str = ""
    discipline: str = ""


@dataclass(slots=True)
class LogState:
    """A log as of the last round."""

    head: Checkpoint | None = None
    audited: int = 0  # entries that were read
    anchored: int = 0  # size of the newest anchor that was held against the tree
    log_time: str = ""  # the largest that was read
    writers: dict[str, WriterState] = field(default_factory=dict)


class MonitorStore:
    """Raises StoreError when the database fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> MonitorStore:
        return cls(open_database(url, "monitor"))

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError("the monitor's database failed") from error

    def load(self, origin: str) -> LogState:
        with self.transaction() as connection:
            row = connection.execute(select(_logs).where(_logs.c.origin == origin)).one_or_none()
            c = _writers.c
            found = connection.execute(select(c.writer, c.sequence, c.skew, c.discipline).where(c.origin == origin))
            writers = {writer: WriterState(*state) for writer, *state in found}
        if row is None:
            return LogState(writers=writers)
        return LogState(Checkpoint(row[0], row[1], Bytes32(row[2]), row[3]), row[4], row[5], row[6], writers)

    def save(self, origin: str, state: LogState, findings: Sequence[Finding], looked_at: Sequence[AlarmKind], now: int) -> list[Alarm]:
        """State and findings, in one transaction. Returns the alarms that were raised or resolved."""
        with self.transaction() as connection:
            if state.head is not None:
                self._save_log(connection, origin, state, state.head)
            return alarms.record_findings(connection, origin, findings, looked_at, now)

    def _save_log(self, connection: Connection, origin: str, state: LogState, head: Checkpoint) -> None:
        columns = {"size": head.size, "root": head.root, "note": head.note}
        columns |= {"audited": state.audited, "anchored": state.anchored, "log_time": state.log_time}
        if connection.execute(update(_logs).where(_logs.c.origin == origin).values(**columns)).rowcount == 0:
            connection.execute(insert(_logs), columns | {"origin": origin})
        connection.execute(delete(_writers).where(_writers.c.origin == origin))
        if state.writers:
            names = ("sequence", "skew", "discipline")
            rows = [{name: getattr(writer, name) for name in names} | {"writer": key} for key, writer in state.writers.items()]
            connection.execute(insert(_writers), [row | {"origin": origin} for row in rows])

    def open_alarms(self, origin: str) -> list[Alarm]:
        with self.transaction() as connection:
            return alarms.open_alarms(connection, origin)

    def acknowledge(self, id: str, now: int) -> Alarm | None:
        with self.transaction() as connection:
            return alarms.acknowledge(connection, id, now)

    def count_messages(self) -> int:
        with self.transaction() as connection:
            return alarms.count_messages(connection)
