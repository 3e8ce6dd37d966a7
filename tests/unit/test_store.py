"""The database as every process opens it: durable, atomic between processes, readers beside the writer, and its failures named."""

from __future__ import annotations

import gc
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError

from oracle.errors import StoreError
from oracle.relay.schema import REQUESTS
from oracle.store import CONNECTIONS_KEPT, PAGES_KIB, STATEMENTS_KEPT, open_database, reading


def counter(folder: Path) -> tuple[Engine, Engine]:
    """Two engines, as two processes would have them, on one database with a counter."""
    url = f"sqlite:///{folder}/deep/er/counter.sqlite"
    one, other = open_database(url, "relay"), open_database(url, "relay")
    with one.begin() as connection:
        connection.execute(text("create table counter (n integer)"))
        connection.execute(text("insert into counter values (0)"))
    return one, other


def read(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.execute(text("select n from counter")).scalar_one())


def test_commits_reach_the_disk(tmp_path: Path) -> None:
    engine, _ = counter(tmp_path)
    with engine.connect() as connection:
        assert connection.execute(text("pragma synchronous")).scalar_one() == 2  # FULL
        assert connection.execute(text("pragma journal_mode")).scalar_one() == "wal"


def test_a_file_that_is_replaced_under_a_process_is_used_no_more(tmp_path: Path) -> None:
    """Restoring a copy while a process still has the old file would have it promise things that nobody ever reads again."""
    engine, other = counter(tmp_path)
    file, kept = tmp_path / "deep/er/counter.sqlite", tmp_path / "kept.sqlite"
    with sqlite3.connect(file) as source, sqlite3.connect(tmp_path / "copy.sqlite") as copy:
        source.backup(copy)
    file.rename(kept)
    with pytest.raises(OperationalError, match="cannot be found"):
        read(engine)
    (tmp_path / "copy.sqlite").rename(file)
    with pytest.raises(OperationalError, match="was replaced while it was in use"):
        read(engine)
    engine.pool.dispose()
    with pytest.raises(OperationalError, match="was replaced while it was in use"):
        read(engine)  # by a connection that is made only now, and has the other file
    with pytest.raises(OperationalError, match="started again"), other.begin() as connection:
        connection.execute(text("update counter set n = 7"))
    assert read(open_database(f"sqlite:///{file}", "relay")) == 0
    kept.rename(file)
    assert read(engine) == 0


def test_a_read_and_the_write_after_it_are_one(tmp_path: Path) -> None:
    engines = counter(tmp_path)

    def add(engine: Engine) -> None:
        for _ in range(50):
            with engine.begin() as connection:
                n = connection.execute(text("select n from counter")).scalar_one()
                connection.execute(text("update counter set n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=add, args=(engine,)) for engine in engines * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(engines[0]) == 200


def test_readers_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    one, other = counter(tmp_path)
    with one.begin() as connection:
        connection.execute(text("update counter set n = 7"))
        assert read(other) == 0  # not blocked, and a snapshot from before
    assert read(other) == 7


def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    one, other = counter(tmp_path)
    with reading(one) as connection:
        before = connection.execute(text("select n from counter")).scalar_one()
        with other.begin() as writer:
            writer.execute(text("update counter set n = 9"))
        assert connection.execute(text("select n from counter")).scalar_one() == before
        with pytest.raises(OperationalError):
            connection.execute(text("update counter set n = 1"))
    assert read(one) == 9


def test_what_connections_keep_in_memory_has_a_bound(tmp_path: Path) -> None:
    """However many threads there were, and however many statements: lists of ids make one for every length."""
    engine = open_database(f"sqlite:///{tmp_path}/kept.sqlite", "relay")
    threads, before = 12, count_statements()
    together = threading.Barrier(threads)

    def ask(number: int) -> None:
        for length in range(1, 2 * STATEMENTS_KEPT):
            ids = [bytes([number]) * 32] * length
            with reading(engine) as connection:
                if length == 1:
                    together.wait(10)  # as many connections as threads
                connection.execute(select(REQUESTS.c.id).where(REQUESTS.c.request_id.in_(ids))).all()

    workers = [threading.Thread(target=ask, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert engine.pool.checkedin() == CONNECTIONS_KEPT  # type: ignore[attr-defined]
    assert STATEMENTS_KEPT < count_statements() - before <= CONNECTIONS_KEPT * STATEMENTS_KEPT
    with engine.connect() as connection:
        assert connection.execute(text("pragma cache_size")).scalar_one() == -PAGES_KIB


def count_statements() -> int:
    """Compiled SQLite statements in this process."""
    gc.collect()
    return sum(type(one).__name__ == "Statement" and type(one).__module__ == "sqlite3" for one in gc.get_objects())


@pytest.mark.parametrize("url", ["sqlite:////proc/nothing/here.sqlite", "nonsense", "sqlite+unknown:///x", "sqlite:////"])
def test_what_cannot_be_opened_is_the_world_s_fault(url: str) -> None:
    with pytest.raises(StoreError, match="relay database"):
        open_database(url, "relay")


def test_a_database_from_the_future_is_refused(tmp_path: Path) -> None:
    engine, _ = counter(tmp_path)
    with engine.begin() as connection:
        connection.execute(text("update relay_version set version_num = '9999'"))
    with pytest.raises(StoreError, match="relay database"):
        open_database(str(engine.url), "relay")


_OPEN = """
import sys
from oracle.store import open_database
print("ready", flush=True)
sys.stdin.readline()
open_database(sys.argv[1], sys.argv[2]).dispose()
"""


@pytest.mark.parametrize("schema", ["log", "office"])
def test_processes_that_start_at_once_make_the_tables_once(new_database: Callable[[], str], schema: str) -> None:
    """The log and the office open the same databases, and may be started in the same moment."""
    url = new_database()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen([sys.executable, "-c", _OPEN, url, schema], **pipes, text=True) for _ in range(4)]  # type: ignore[call-overload]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
    for process in processes:
        process.stdin.write("now\n")
        process.stdin.flush()
    assert [process.communicate()[1] for process in processes] == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
