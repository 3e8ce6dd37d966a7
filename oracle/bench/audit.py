"""How fast the audit log is, on SQLite and on PostgreSQL: taking records, giving proofs, starting again, being searched and verified.

Every figure stands beside its target. `Sizes` makes a small run of a minute or a full one; only the full one is worth telling.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

from oracle.audit.client import LogClient
from oracle.audit.index import Filter, Index
from oracle.audit.log import Places
from oracle.audit.parallel import usable_processes
from oracle.audit.source import DirectorySource
from oracle.audit.view import LogView
from oracle.audit.whole import verify_log
from oracle.bench import search
from oracle.bench.appending import (
    CLIENTS,
    CONNECTIONS,
    KEY,
    TOKEN,
    InProcess,
    append_concurrently,
    append_paced,
    fill,
    open_log,
    place,
    receive,
    serving,
)
from oracle.bench.postgres import PostgresServer, find_binaries
from oracle.bench.search import quantile
from oracle.bench.traffic import PlannedCall, Traffic

Row = tuple[str, ...]
Note = Callable[[str], None]
COLUMNS = ("what", "target", "SQLite", "PostgreSQL")
RATE = 200  # entries a second where waits are measured


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done. `records` is the size of the log that is filled, started again, searched and verified."""

    records: int = 1_000_000
    singles: int = 20_000
    paced_seconds: int = 30
    receipts: int = 500
    searches: int = 20  # times each kind

    @classmethod
    def of(cls, records: int) -> Sizes:
        """All of it in proportion."""
        share = min(1.0, records / 1_000_000)
        return cls(records, max(500, int(20_000 * share)), max(3, int(30 * share)), max(20, int(500 * share)), max(2, int(20 * share)))


@dataclass(slots=True)
class _Figures:
    """What was measured on one database, by row."""

    values: dict[str, str] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)

    def tell(self, what: str, target: str, value: str) -> None:
        self.targets[what], self.values[what] = target, value


def measure(sizes: Sizes, note: Note) -> list[Row]:
    """Rows (what, target, on SQLite, on PostgreSQL); "not installed" where PostgreSQL's server is not."""
    figures = {}
    for name, databases in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        if name == "PostgreSQL" and find_binaries() is None:
            continue
        note(f"{name}: {sizes.records} records")
        with tempfile.TemporaryDirectory(prefix="affidavit-bench-") as folder, databases(Path(folder)) as new_database:
            figures[name] = _measure_one(Path(folder), new_database, sizes, note)
    first = figures["SQLite"]
    other = figures.get("PostgreSQL", _Figures())
    return [(what, first.targets[what], value, other.values.get(what, "not installed")) for what, value in first.values.items()]


@contextmanager
def _sqlite(folder: Path) -> Iterator[Callable[[str], str]]:
    numbers = count(1)
    yield lambda name: f"sqlite:///{folder}/{name}-{next(numbers)}.sqlite"


@contextmanager
def _postgres(_folder: Path) -> Iterator[Callable[[str], str]]:
    with PostgresServer(is_durable=True, settings={"shared_buffers": "256MB", "max_wal_size": "4GB"}) as server:
        yield lambda _name: server.new_database()


def _measure_one(folder: Path, new_database: Callable[[str], str], sizes: Sizes, note: Note) -> _Figures:
    figures, places, traffic = _Figures(), place(folder, new_database), Traffic()
    _measure_taking(figures, places, traffic, sizes, note)
    note("the log in a process of its own")
    with serving(places) as url:
        _measure_serving(figures, url, traffic, sizes)
    note("starting again")
    _measure_recovery(figures, places)
    note("searching")
    _measure_search(figures, places, new_database("index"), sizes)
    note("verifying")
    _measure_verifying(figures, places)
    return figures


def _calls(traffic: Traffic, number: int) -> list[PlannedCall]:
    return [traffic.next_call() for _ in range(number)]


def _per_second(value: float) -> str:
    return f"{value:,.0f}/s"


def _milliseconds(values: list[float], fraction: float) -> str:
    return f"{quantile(values, fraction) * 1000:.1f} ms"


def _measure_taking(figures: _Figures, places: Places, traffic: Traffic, sizes: Sizes, note: Note) -> None:
    log = open_log(places)
    note("batches")
    bare = fill(log, sizes.records // 10, traffic, is_sealed=False)
    figures.tell("records in batches of 1,024, nothing sealed", "10,000/s", _per_second(bare))
    figures.tell("records in batches of 1,024, a sealed field in each", "10,000/s", _per_second(fill(log, sizes.records, traffic)))
    note("single appends")
    rate = append_concurrently(InProcess(log), _calls(traffic, sizes.singles), CLIENTS)
    figures.tell(f"single appends, {CLIENTS} at once", "2,000/s", _per_second(rate))
    waits = append_paced(InProcess(log), _calls(traffic, RATE * sizes.paced_seconds), RATE)
    figures.tell(f"single append at {RATE}/s, 99th percentile", "50 ms", _milliseconds(waits, 0.99))
    log.close()


def _measure_serving(figures: _Figures, url: str, traffic: Traffic, sizes: Sizes) -> None:
    client = LogClient(url, TOKEN, timeout_seconds=60)
    rate = append_concurrently(client, _calls(traffic, sizes.singles // 4), CONNECTIONS)
    figures.tell(f"the same over HTTP, {CONNECTIONS} connections at once", "", _per_second(rate))
    waits = append_paced(client, _calls(traffic, RATE * sizes.paced_seconds), RATE)
    figures.tell(f"append over HTTP at {RATE}/s, 99th percentile", "50 ms", _milliseconds(waits, 0.99))
    client.close()
    receipts = receive(url, _calls(traffic, sizes.receipts))
    figures.tell("from sending an entry to its verified proof, 99th percentile", "1 s", _milliseconds(receipts, 0.99))


def _measure_recovery(figures: _Figures, places: Places) -> None:
    started = time.perf_counter()
    log = open_log(places)
    seconds, size = time.perf_counter() - started, log.checkpoint.size
    log.close()
    figures.tell(f"starting a log of {size:,} records", "10 s", f"{seconds:.2f} s")


def _measure_search(figures: _Figures, places: Places, database: str, sizes: Sizes) -> None:
    view = LogView(DirectorySource(places.directory), KEY.verifier)
    index = Index.open(database)
    started = time.perf_counter()
    index.follow(view)
    figures.tell("building an index", "", _per_second(view.size / (time.perf_counter() - started)))
    index.search(Filter())
    samples = search.measure(index, sizes.searches)
    times = [seconds for _, seconds, _ in samples]
    kinds = {kind for kind, _, _ in samples}
    figures.tell(f"a page of a search, {len(kinds)} kinds, 95th percentile", "200 ms", _milliseconds(times, 0.95))
    slowest = max(kinds, key=lambda kind: quantile([t for k, t, _ in samples if k == kind], 0.95))
    value = _milliseconds([t for k, t, _ in samples if k == slowest], 0.95)
    figures.tell("the slowest kind, 95th percentile", "200 ms", f"{value} ({slowest})")
    index.close()


def _measure_verifying(figures: _Figures, places: Places) -> None:
    """From the tiles alone: which database the log has is of no matter, so both columns measure the same."""
    view = LogView(DirectorySource(places.directory), KEY.verifier)
    processes = usable_processes()
    nothing = cast(Any, None)  # no call of this log is on chain
    started = time.perf_counter()
    verify_log(view, nothing, None, nothing, processes=processes)
    seconds = time.perf_counter() - started
    figures.tell(f"verifying {view.size:,} records from tiles, {processes} processes", "60 s", f"{seconds:.1f} s")
    shutil.rmtree(places.directory, ignore_errors=True)
