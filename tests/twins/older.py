"""A database as an older version left it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, create_engine


@contextmanager
def older_database(url: str, schema: str, revision: str) -> Iterator[Connection]:
    """The tables of `oracle/migrations/<schema>` at `revision`; what is written to them is kept."""
    migrations = files("oracle") / "migrations"
    config = AlembicConfig()
    for name, value in {"script_location": migrations, "version_locations": migrations / schema, "path_separator": "os"}.items():
        config.set_main_option(name, str(value))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes |= {"connection": connection, "version_table": f"{schema}_version"}
        command.upgrade(config, revision)
        yield connection
    engine.dispose()
