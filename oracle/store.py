"""Opening a database: SQLite durable to the disk by default, PostgreSQL by address, schema brought up to date by Alembic."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.resources import files
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import ColumnElement, Connection, Engine, Table, column, create_engine, event, func, insert, inspect, select, text
from sqlalchemy import table as sql_table
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from oracle.errors import ConfigRejected, StoreError

CONNECTIONS_KEPT = 5
"""Of one engine while nobody needs more; ten more come and go with the load."""
STATEMENTS_KEPT = 128
"""Of one SQLite connection, compiled: up to 15 KiB each for the longest lists of ids. What is not used for longest goes first."""
PAGES_KIB = 2000
"""Of one SQLite connection's database file in memory."""

_READING = "affidavit_reading"
_WAL_SECONDS = 10.0
_MIGRATING = 0x61666664  # "affd": the advisory lock of whoever makes or changes tables, so that processes may start at once


def _set_sqlite_pragmas(connection: Any, _record: Any) -> None:
    """WAL for readers beside the writer; FULL so that a commit survives a power cut; a bounded wait for the write lock.

    The driver's own transaction handling is switched off: it would begin transactions late and as readers, and two writers that
    both read first would then fail instead of waiting (see `_begin`).
    """
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout=10000")
    _enter_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", f"cache_size=-{PAGES_KIB}"):
        connection.execute(f"PRAGMA {pragma}")


class _SameFile:
    """Holds an engine to the file that it opened first.

    SQLite goes on with a file that was deleted or replaced under it: what is then promised is in no file that anybody will open again, and
    a connection made later has the other one. So nothing more is begun until the process is started anew, or the file is back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._opened: tuple[int, int] | None = None

    def on_connect(self, _connection: Any, _record: Any) -> None:
        self.require()

    def on_begin(self, _connection: Connection) -> None:
        self.require()

    def require(self) -> None:
        """Raises OperationalError, as for any other file that cannot be used."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise _gone(self._path, f"cannot be found ({error.strerror})") from error
        found = (status.st_dev, status.st_ino)
        self._opened = self._opened or found
        if found != self._opened:
            raise _gone(self._path, "was replaced while it was in use")


def _gone(path: Path, what: str) -> OperationalError:
    cause = sqlite3.OperationalError(f"{path} {what}: nothing is read or written until this process is started again")
    return OperationalError("BEGIN", None, cause)


def _enter_wal(connection: Any) -> None:
    """Of processes that open a new file at once one changes its journal mode; SQLite tells the others that it is locked without waiting."""
    deadline = time.monotonic() + _WAL_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if is_reading(connection) else "BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def is_reading(connection: Connection) -> bool:
    """Whether a transaction was begun by `reading`."""
    return bool(connection.get_execution_options().get(_READING, False))


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: one snapshot, beside the writer instead of behind it. Writing in it can fail as locked.

    PostgreSQL would otherwise take a new snapshot for every statement.
    """
    options: dict[str, Any] = {_READING: True}
    if engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    with engine.connect() as connection, connection.execution_options(**options).begin():
        yield connection


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows that all have every column of the table, of types the driver takes as they are.

    SQLite's driver is given them directly: the pass over every value that SQLAlchemy makes for it costs more than the insertion.
    """
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(insert(table), rows)
        return
    statement = str(insert(table).compile(dialect=connection.dialect))
    connection.exec_driver_sql(statement, list(map(itemgetter(*table.columns.keys()), rows)))


Kind = TypeVar("Kind", bound=StrEnum)


def count_by(
    connection: Connection, of: ColumnElement[Any], kinds: type[Kind], where: ColumnElement[bool] | None = None
) -> dict[Kind, int]:
    """How many rows have each kind in that column, of all or of those `where`; every kind is there."""
    query = select(of, func.count()).group_by(of)
    counted = {kinds(kind): int(count) for kind, count in connection.execute(query if where is None else query.where(where))}
    return {kind: counted.get(kind, 0) for kind in kinds}


def overwrite_what_is_deleted(engine: Engine) -> None:
    """SQLite: what is deleted or overwritten from now on does not lie in free pages of the file."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_secure_delete)
        engine.dispose()  # connections made before that


def _set_secure_delete(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA secure_delete=ON")


def truncate_journal(engine: Engine) -> None:
    """SQLite: old pages lie in the write-ahead log until it is truncated. A reader may keep that back: the next one does it then."""
    if engine.dialect.name != "sqlite":
        return
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        raw.close()


def open_database(url: str, schema: str) -> Engine:
    """An engine on `url` whose tables are at the newest revision of `oracle/migrations/<schema>`.

    Every transaction on SQLite takes the write lock when it begins, so a read followed by a write in one transaction is atomic;
    `reading` is the exception.
    Raises StoreError when the database cannot be opened or brought up to date.
    """
    try:
        # Errors are logged, and what a statement carried is not the journal's. A server may have gone and come back: a pooled connection
        # is tried before it is used.
        is_sqlite = url.startswith("sqlite")
        arguments = {"cached_statements": STATEMENTS_KEPT} if is_sqlite else {}
        engine = create_engine(url, hide_parameters=True, pool_pre_ping=not is_sqlite, pool_size=CONNECTIONS_KEPT, connect_args=arguments)
        if engine.dialect.name == "sqlite":
            if engine.url.database and engine.url.database != ":memory:":
                file = _SameFile(Path(engine.url.database))
                Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
                event.listen(engine, "connect", file.on_connect)
                event.listen(engine, "begin", file.on_begin)
            event.listen(engine, "connect", _set_sqlite_pragmas)
            event.listen(engine, "begin", _begin)
        _upgrade(engine, schema)
    except (SQLAlchemyError, CommandError, OSError) as error:
        raise StoreError(f"cannot open the {schema} database") from error
    return engine


def open_to_read(url: str, schema: str) -> Engine:
    """An engine for who only looks: nothing is made, changed or brought up to date, whoever works on the database.

    Raises ConfigRejected where there is none, or its tables are of another version than this program's, StoreError where it is not
    readable.
    """
    try:
        engine = create_engine(url, hide_parameters=True)
        if engine.dialect.name == "sqlite":
            if not Path(engine.url.database or "").is_file():
                raise ConfigRejected(f"{schema} database", "one that is there", f"no file {engine.url.database}")
            event.listen(engine, "connect", _set_reading_pragmas)
            event.listen(engine, "begin", _begin_reading)
        _require_readable(engine, schema)
    except (SQLAlchemyError, CommandError, OSError) as error:
        raise StoreError(f"cannot read the {schema} database") from error
    return engine


def _set_reading_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout=10000")
    connection.execute("PRAGMA query_only=ON")


def _require_readable(engine: Engine, schema: str) -> None:
    try:
        _require_version(engine, schema)
    except BaseException:
        engine.dispose()
        raise


def _require_version(engine: Engine, schema: str) -> None:
    mine = ScriptDirectory.from_config(_migrations_of(schema)).get_current_head()
    with reading(engine) as connection:
        table = f"{schema}_version"
        found = (
            connection.execute(select(column("version_num")).select_from(sql_table(table))).scalar_one_or_none()
            if inspect(connection).has_table(table)
            else None
        )
    if found != mine:
        raise ConfigRejected(f"{schema} database", f"tables of version {mine}", "none" if found is None else found)


def _migrations_of(schema: str) -> AlembicConfig:
    config = AlembicConfig()
    # "%" begins an interpolation in Alembic's configuration, and may stand in a path.
    config.set_main_option("script_location", str(files("oracle") / "migrations").replace("%", "%%"))
    config.set_main_option("version_locations", str(files("oracle") / "migrations" / schema).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(engine: Engine, schema: str) -> None:
    """Runs the migrations of one schema; its version is kept in `<schema>_version`, so schemas may share a database."""
    config = _migrations_of(schema)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # SQLite's transactions have the write lock from the start
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
        config.attributes["connection"] = connection
        config.attributes["version_table"] = f"{schema}_version"
        command.upgrade(config, "head")
