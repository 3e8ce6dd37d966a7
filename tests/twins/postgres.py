"""A real PostgreSQL server for tests, one a session, and a new database on it for whoever asks.

`new_database` is what most tests take: it runs them once on SQLite and once on PostgreSQL, and each call of it gives the URL of an empty
database. Nothing is skipped but PostgreSQL's half on a machine where its server is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from oracle.bench.postgres import PostgresServer, find_binaries

NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's server."""
    if find_binaries() is None:
        pytest.skip("the PostgreSQL server's programs (initdb, pg_ctl) are not installed")
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database on the session's server."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """Gives the URL of an empty database at every call; the test runs on both kinds."""
    if request.param == "sqlite":
        numbers = count(1)
        yield lambda: f"sqlite:///{tmp_path}/{next(numbers)}.sqlite"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    made: list[str] = []

    def new() -> str:
        made.append(server.new_database())
        return made[-1]

    yield new
    for url in made:
        server.drop_database(url)
