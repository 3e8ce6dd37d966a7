"""The log on both databases: the same appends, keys, crashes, custody and pruning; and what only a server can do, go away."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from oracle.audit.content import ContentState
from oracle.audit.log import Log, Places
from oracle.audit.retention import prune_once
from oracle.bench.postgres import PostgresServer, find_binaries
from oracle.errors import LogRefused, StoreError
from tests.twins.logs import KEEPER, KEY, START, TickingClock, check_secret, entry, full_check, secret_entry
from tests.twins.logs import open_log as open_plain
from tests.twins.postgres import NewDatabase

OpenLog = Callable[[], Log]


@pytest.fixture
def open_log(tmp_path: Path, new_database: NewDatabase) -> Iterator[OpenLog]:
    places = Places(tmp_path / "log", new_database(), new_database(), new_database())
    opened: list[Log] = []

    def open_again() -> Log:
        for log in opened:
            log.close()
        opened[:] = [Log.open(places, KEY, KEEPER, TickingClock())]
        return opened[0]

    yield open_again
    for log in opened:
        log.close()


def test_appends_keys_and_content_survive_a_restart(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log()
    futures = [log.submit("w", secret_entry(i, call=i % 7, person=f"p{i % 5}"), f"k{i}") for i in range(300)]
    assert [f.result().index for f in futures] == list(range(300))
    log = open_log()
    assert log.append("w", secret_entry(5, call=5, person="p0"), "k5").index == 5
    with pytest.raises(LogRefused, match="another entry"):
        log.append("w", secret_entry(6, call=5), "k5")
    for index in (0, 137, 299):
        check_secret(log, index, index)
    subject = log.custody.find_subject("w", "p3")
    assert subject is not None
    assert log.custody.destroy_subject(subject) == list(range(3, 300, 5))
    assert log.custody.state(3) is ContentState.ERASED
    check_secret(log, 4, 4)
    assert [r["test.number"] for r in full_check(tmp_path)] == list(range(300))


def test_a_batch_stands_together(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log()
    log.append("w", entry(0), "taken")
    places = log.submit_batch("w", [(secret_entry(i), f"k{i}") for i in range(1, 4)]).result()
    assert [p.index for p in places] == [1, 2, 3]
    with pytest.raises(LogRefused, match="key taken"):
        log.submit_batch("w", [(entry(4), "k4"), (entry(5), "taken"), (entry(6), "k6")]).result()
    assert [r["test.number"] for r in full_check(tmp_path)] == [0, 1, 2, 3, 4, 6], "the others of the batch are written"


def test_a_sealed_field_cannot_be_changed_under_its_key(open_log: OpenLog) -> None:
    log = open_log()
    first = secret_entry(1)
    log.append("w", first, "k")
    first.sealed["error.message"] = "another secret"
    with pytest.raises(LogRefused, match="another entry"):
        log.append("w", first, "k")
    with pytest.raises(LogRefused, match="another entry"):
        log.submit_batch("w", [(secret_entry(2), "twice"), (first, "twice")]).result()


def test_content_is_pruned_at_its_time(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log()
    for number in range(6):
        log.append("w", secret_entry(number, retention="brief" if number % 2 else ""))

    class Later:
        moment = START + timedelta(days=2)

        def now(self) -> object:
            return self.moment

    assert prune_once(log, Later()) == [1, 3, 5]  # type: ignore[arg-type]
    assert prune_once(log, Later()) == []  # type: ignore[arg-type]
    told = full_check(tmp_path)[-1]
    assert (told["audit.kind"], told["audit.erasure.cause"], told["audit.erasure.indices"]) == ("erasure", "retention", ["1", "3", "5"])
    assert [log.custody.state(i) is ContentState.ERASED for i in range(6)] == [False, True] * 3


def test_a_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """Appends fail loudly while it is gone, nothing acknowledged is lost, and the log goes on without a restart."""
    if find_binaries() is None:
        pytest.skip("the PostgreSQL server's programs (initdb, pg_ctl) are not installed")
    with PostgresServer(is_durable=True) as server:
        places = Places(tmp_path / "log", server.new_database(), server.new_database(), server.new_database())
        log = Log.open(places, KEY, KEEPER, TickingClock())
        for number in range(3):
            log.append("w", secret_entry(number), f"k{number}")
        server.stop()
        with pytest.raises(StoreError):
            log.append("w", secret_entry(3), "k3")
        server.start()
        assert append_until_taken(log, 3) == 3
        for number in range(4):
            check_secret(log, number, number)
        log.close()
    assert [r["test.number"] for r in full_check(tmp_path)] == [0, 1, 2, 3]


def append_until_taken(log: Log, number: int) -> int:
    """As a client retries: connections of the pool are found dead one by one."""
    for _ in range(10):
        try:
            return log.append("w", secret_entry(number), f"k{number}").index
        except StoreError:
            continue
    raise AssertionError("the log did not recover")


def test_a_restored_custody_database_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """The log goes on: its records are whole. That content of theirs is lost is said loudly."""
    log = open_plain(tmp_path)
    log.append("w", secret_entry(0))
    log.close()
    shutil.copy(tmp_path / "custody.sqlite", tmp_path / "backup")
    log = open_plain(tmp_path)
    log.append("w", secret_entry(1))
    log.append("w", entry(2))
    log.close()
    assert "custody" not in capsys.readouterr().out
    for name in ("custody.sqlite-wal", "custody.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup", tmp_path / "custody.sqlite")
    log = open_plain(tmp_path)
    said = capsys.readouterr().out + caplog.text
    assert "restored from a backup" in said
    assert "[1]" in said
    check_secret(log, 0, 0)
    assert log.custody.content(1) is None
    log.append("w", secret_entry(3))
    check_secret(log, 3, 3)
    log.close()
