"""The server that other tests rely on: it is real, databases on it are apart, and what was committed survives its crash."""

from __future__ import annotations

from sqlalchemy import create_engine, text

from oracle.bench.postgres import PostgresServer
from oracle.store import open_database, reading
from tests.twins.postgres import NewDatabase


def test_databases_are_apart_and_go_through_our_migrations(new_database: NewDatabase) -> None:
    first, second = new_database(), new_database()
    assert first != second
    for url in (first, second):
        engine = open_database(url, "log")
        with engine.begin() as connection:
            connection.execute(text('INSERT INTO content ("index", name, ciphertext) VALUES (1, :n, :b)'), {"n": "", "b": b"body"})
            assert connection.execute(text("SELECT count(*) FROM content")).scalar_one() == 1
        engine.dispose()


def test_what_was_committed_survives_a_crash() -> None:
    with PostgresServer(is_durable=True) as server:
        url = server.new_database()
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept (n int)"))
            connection.execute(text("INSERT INTO kept VALUES (7)"))
        engine.dispose()
        server.stop()
        server.start()
        with create_engine(url).connect() as connection:
            assert connection.execute(text("SELECT n FROM kept")).scalar_one() == 7


def test_a_reader_sees_one_state_of_the_database(new_database: NewDatabase) -> None:
    """Whatever is committed beside it meanwhile."""
    engine = open_database(new_database(), "checkpoint")
    count = text("SELECT count(*) FROM checkpoints")
    with reading(engine) as reader:
        assert reader.execute(count).scalar_one() == 0
        with engine.begin() as writer:
            writer.execute(text("INSERT INTO checkpoints (origin, size, root, note) VALUES ('a', 1, :r, 'n')"), {"r": b"\x01" * 32})
        assert reader.execute(count).scalar_one() == 0
    with reading(engine) as reader:
        assert reader.execute(count).scalar_one() == 1
    engine.dispose()
