"""How fast a log takes records: in batches, one at a time from many at once, and how long one waits for its place and for its proof.

The log is durable as in production (SQLite at synchronous=FULL, PostgreSQL with fsync). Entries are those of recording applications
(`oracle.bench.traffic`), each with a sealed digest, so custody makes and wraps a key for every one. Over HTTP the log runs in a process of
its own, as `affidavit log serve` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import httpx

from oracle.audit.client import LogClient
from oracle.audit.custodykey import CustodyKey
from oracle.audit.log import MAX_BATCH, Keeper, Log, Places
from oracle.audit.note import SignerKey
from oracle.audit.proof import verify_proof
from oracle.audit.record import Previous
from oracle.audit.retention import parse_retention
from oracle.bench.traffic import PlannedCall, Traffic
from oracle.errors import PeerError
from oracle.records import Appended, Entry
from oracle.seams import SystemClock

KEY = SignerKey("bench.example/log", bytes(range(32)))
KEEPER = Keeper(CustodyKey(bytes(32)), parse_retention(["standard:1096"]))
WRITER, TOKEN = "recorder-0", "a token of a log that holds nothing"
CLIENTS = 64
CONNECTIONS = 16
_PLANNED = 5 * MAX_BATCH


class Appender(Protocol):
    def append(self, entry: Entry) -> Appended: ...


def open_log(places: Places) -> Log:
    return Log.open(places, KEY, KEEPER, SystemClock())


def fill(log: Log, count: int, traffic: Traffic, is_sealed: bool = True) -> float:
    """Appends `count` entries in batches of MAX_BATCH, intents and their results; returns entries a second. Planning is not timed."""
    keep = (lambda entry: entry) if is_sealed else _without_content
    appended, seconds = 0, 0.0
    while appended < count:
        calls = [traffic.next_call() for _ in range(min(_PLANNED, -(-(count - appended) // 2)))]
        intents = [keep(call.asking_entry()) for call in calls]
        started = time.perf_counter()
        places = _submit(log, intents)
        _submit(log, [keep(call.ending_entry(Previous(p.index, p.leaf_hash))) for call, p in zip(calls, places, strict=True)])
        seconds += time.perf_counter() - started
        appended += 2 * len(calls)
    return appended / seconds


def _without_content(entry: Entry) -> Entry:
    return replace(entry, sealed={})


def _submit(log: Log, entries: Sequence[Entry]) -> list[Appended]:
    parts = [entries[at : at + MAX_BATCH] for at in range(0, len(entries), MAX_BATCH)]
    futures = [log.submit_batch(WRITER, [(entry, None) for entry in part]) for part in parts]
    return [place for future in futures for place in future.result()]


class InProcess:
    """A log, appended to where it runs."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def append(self, entry: Entry) -> Appended:
        return self._log.append(WRITER, entry)


def append_concurrently(appender: Appender, calls: Sequence[PlannedCall], clients: int) -> float:
    """Each of `clients` appends one entry after another, waiting for each; returns entries a second, of all together."""
    entries = [call.asking_entry() for call in calls]
    shares = [entries[number::clients] for number in range(clients)]

    def append_share(share: list[Entry]) -> None:
        for entry in share:
            appender.append(entry)

    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        done = [pool.submit(append_share, share) for share in shares]
        wait(done)
        seconds = time.perf_counter() - started
    for future in done:
        future.result()
    return len(entries) / seconds


def append_paced(appender: Appender, calls: Sequence[PlannedCall], rate: float) -> list[float]:
    """Entries come at a steady rate, whether or not earlier ones have their place; returns how long each waited, in seconds.

    A wait is counted from when the entry should have come, so what queues up in front of it counts.
    """
    waits: list[float] = []
    lock = threading.Lock()
    start = time.perf_counter() + 0.1

    def append_at(due: float, entry: Entry) -> None:
        appender.append(entry)
        with lock:
            waits.append(time.perf_counter() - due)

    with ThreadPoolExecutor(CLIENTS) as pool:
        futures: list[Future[None]] = []
        for number, call in enumerate(calls):
            due = start + number / rate
            if (ahead := due - time.perf_counter()) > 0:
                time.sleep(ahead)
            futures.append(pool.submit(append_at, due, call.asking_entry()))
    for future in futures:
        future.result()
    return waits


def receive(url: str, calls: Sequence[PlannedCall]) -> list[float]:
    """From sending an entry until a proof of its place verifies offline, in seconds, one at a time."""
    client, waits = LogClient(url, TOKEN), []
    with httpx.Client(base_url=url) as reader:
        for call in calls:
            started = time.perf_counter()
            appended = client.append(call.asking_entry())
            proof, _, _ = verify_proof(reader.get(f"/proof/{appended.index}").content, KEY.verifier)
            waits.append(time.perf_counter() - started)
            if proof.index != appended.index:
                raise PeerError(f"the log proved entry {proof.index} instead of {appended.index}") from ValueError()
    client.close()
    return waits


# ---- the log in a process of its own ----------------------------------------------------------------------------------------------------
@contextmanager
def serving(places: Places) -> Iterator[str]:
    """A log behind its HTTP door in another process; gives its URL."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(places, theirs), daemon=True)
    process.start()
    try:
        if not ours.poll(120):
            raise PeerError("the log did not start in time") from TimeoutError()
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        ours.send("stop")
        process.join(30)
        if process.is_alive():
            process.terminate()


def _serve(places: Places, parent: Connection[str, int]) -> None:
    import uvicorn

    from oracle.audit.access import Access, hash_token
    from oracle.audit.metrics import LogMetrics
    from oracle.audit.server import make_app
    from oracle.audit.source import DirectorySource

    log = open_log(places)
    app = make_app(log, DirectorySource(places.directory), Access({hash_token(TOKEN): WRITER}, {}), LogMetrics())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    parent.send(server.servers[0].sockets[0].getsockname()[1])
    parent.recv()
    server.should_exit = True
    thread.join()
    log.close()


def place(directory: Path, new_database: Callable[[str], str]) -> Places:
    """A log's places: files below `directory`, three databases."""
    return Places(directory / "log", new_database("entries"), new_database("checkpoint"), new_database("custody"))
