"""Several processes say what one says, in its order, and a dead one is not taken for an empty log."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.audit import whole
from oracle.audit.parallel import Workers, usable_processes
from oracle.audit.report import AuditReport
from oracle.audit.tiles import ENTRIES, Tile, encode_bundle, parse_bundle
from oracle.audit.whole import verify_log
from oracle.bench.traffic import stamped
from oracle.errors import AuditFailed, MalformedInput, StoreError
from tests.twins.plain_log import PlainLog


def double(number: int) -> int:
    return 2 * number


def die(_number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def tasks(bad: int) -> Iterator[int]:
    for number in range(100):
        if number == bad:
            raise MalformedInput("task", "another", number)
        yield number


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_and_before_the_error_that_comes_after_them(processes: int) -> None:
    seen: list[int] = []
    with Workers(processes) as workers:
        assert list(workers.map(double, range(100))) == list(range(0, 200, 2))
        with pytest.raises(MalformedInput):
            seen.extend(iter_into(seen, workers.map(double, tasks(bad=37))))
    assert seen == list(range(0, 74, 2))


def iter_into(seen: list[int], results: Iterator[int]) -> list[int]:
    for result in results:
        seen.append(result)
    return []


def test_a_worker_that_was_killed_is_the_worlds_fault() -> None:
    with Workers(2) as workers, pytest.raises(StoreError, match="ended from outside"):
        list(workers.map(die, range(3)))


def test_the_processors_this_process_may_use() -> None:
    assert 1 <= usable_processes() <= (os.cpu_count() or 1)


# ---- whole logs -----------------------------------------------------------------------------------------------------------------------
def changed(log: PlainLog) -> None:
    """Bundle 1 has another byte in it, bundle 2 is cut: the first of the two is what is told."""
    path = log.directory / Tile(ENTRIES, 1).path()
    entries = parse_bundle(path.read_bytes(), 256)
    entries[7] = entries[7].replace(b"audit.actor", b"audit.actaa", 1)
    path.write_bytes(encode_bundle(entries))
    edge = log.directory / Tile(ENTRIES, 2, 88).path()
    edge.write_bytes(edge.read_bytes()[:-1])


def no_record(log: PlainLog) -> None:
    log.extend([b'{"audit.kind":"intent"}'])


def gap(log: PlainLog) -> None:
    log.add(whole.EntryKind.CLOCK, writer="node-9", sequence=2, audit__clock__source="kernel")
    log.publish()


def cut(log: PlainLog) -> None:
    edge = log.directory / Tile(ENTRIES, 2, 88).path()
    edge.write_bytes(edge.read_bytes()[:-1])


def leaf(log: PlainLog) -> None:
    path = log.directory / Tile(0, 1).path()
    path.write_bytes(bytes(32) + path.read_bytes()[32:])


def told(log: PlainLog, processes: int) -> tuple[Any, ...]:
    chain: Any = None
    try:
        report: AuditReport = verify_log(log.view(), chain, None, chain, processes=processes)
    except AuditFailed as failure:
        return failure.step, str(failure)
    return report.steps, report.remarks


@pytest.mark.parametrize("lie", [changed, no_record, gap, cut, leaf, lambda _log: None])
def test_an_audit_by_several_processes_says_what_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: Callable[[PlainLog], None]
) -> None:
    monkeypatch.setattr(whole, "_WORTH_PROCESSES", 0)
    log = PlainLog(tmp_path / "log").extend(entry.record for entry in stamped(600))
    lie(log)
    assert told(log, 2) == told(log, 1)
