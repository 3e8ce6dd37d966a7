"""A PostgreSQL server of our own for as long as something runs: benchmarks and tests hold both databases to the same.

Its data lies in a temporary directory, it listens on a Unix socket in it and nowhere else, and both go when it stops. `initdb` refuses to
run as root; a root process runs the server as the user `postgres`, which the Debian package makes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from sqlalchemy import URL, create_engine, text

from oracle.errors import StoreError

_DEBIAN = Path("/usr/lib/postgresql")
_ACCOUNT = "postgres"
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def find_binaries() -> Path | None:
    """The directory of `initdb` and `pg_ctl`: the newest of Debian's, or that on the PATH; None where the server is not installed."""
    versions = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists() and path.parent.name.isdigit()]
    if versions:
        return max(versions, key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class PostgresServer:
    """`with PostgresServer() as server: server.new_database()`; `is_durable` as in production, else as fast as it goes.

    Raises StoreError where it is not installed or does not start.
    """

    def __init__(self, is_durable: bool = False, settings: dict[str, str] | None = None) -> None:
        binaries = find_binaries()
        if binaries is None:
            raise StoreError("PostgreSQL's server is not installed") from FileNotFoundError("initdb")
        self._binaries = binaries
        self._settings = ({} if is_durable else _FAST) | (settings or {})
        self._account = _ACCOUNT if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="affidavit-pg-"))
        if self._account:
            shutil.chown(self._directory, self._account)

    def __enter__(self) -> PostgresServer:
        try:
            self._run("initdb", "-D", str(self._data), "-U", _ACCOUNT, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
            self.start()
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        try:
            if (self._data / "postmaster.pid").exists():
                self.stop()
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = "test_" + secrets.token_hex(6)
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name)

    def drop_database(self, url: str) -> None:
        """Also where something is still connected to it."""
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {url.rpartition('/')[2].partition('?')[0]} WITH (FORCE)"))
        engine.dispose()

    def start(self) -> None:
        """The server, also again after `stop`: with what was durable."""
        settings = {"listen_addresses": "", "unix_socket_directories": str(self._directory), "max_connections": "200"} | self._settings
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._directory / "log"), "-o", options, "-w", "-t", "60", "start")

    def stop(self) -> None:
        """Ends it at once, without a checkpoint, as a crash would."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def _url(self, database: str) -> str:
        url = URL.create("postgresql+psycopg", _ACCOUNT, database=database, query={"host": str(self._directory)})
        return url.render_as_string(hide_password=False)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        try:
            nothing = subprocess.DEVNULL
            # The server inherits its standard streams: a pipe would stay open, and be waited for, as long as it runs.
            with (self._directory / f"{program}.out").open("wb") as out:
                subprocess.run(command, user=self._account, cwd=self._directory, stdout=out, stderr=out, stdin=nothing, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            told = (self._directory / f"{program}.out").read_text(errors="replace")[-300:]
            raise StoreError(f"PostgreSQL's {program} failed: {' '.join(told.split())}") from error
