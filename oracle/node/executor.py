"""Where models run and proofs are made: in processes that may die of it, so that the node does not.

A model that an operator serves is a stranger's program in all but name: it may divide by zero, loop for ever or ask for all memory. Every
call runs in a child that runs nothing beside it, so what ends the child is known to be that call. `ProcessExecutor` is a
`concurrent.futures.Executor`; `oracle.node.cluster` has the one for other machines; `Workplace` is what a node asks, over either.

Children are made by a fork server, which holds neither the node's keys nor its connections; they end with the node, however it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import wait as wait_for_any
from typing import Any, ParamSpec, Protocol, TypeVar

from oracle import journal
from oracle.encoding import to_hex
from oracle.errors import InputRejected, WorkerError, WorkGivenUp
from oracle.node.directory import Bundle
from oracle.records import Bytes32

P = ParamSpec("P")
R = TypeVar("R")

START_SECONDS = 60.0
"""A child imports its libraries before its first call; that is not the call's time."""
STOP_SECONDS = 10.0
"""What runs when the node stops has this long to end."""


class Fate(StrEnum):
    """How a call may end its worker, or be ended."""

    DIED = "died"
    TIME = "time"
    MEMORY = "memory"


class WorkerLost(WorkerError):
    """The process of a call is gone, and its call with it. `is_final`: the executor tried it often enough itself."""

    def __init__(self, fate: Fate, text: str, is_final: bool = False) -> None:
        super().__init__(text)
        self.fate = fate
        self.is_final = is_final


class WorkerBusy(WorkerError):
    """As many calls wait as may."""


class WorkStopped(WorkerError):
    """The node is stopping; the call is made again after its next start."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may use. `memory_bytes` is of its process, with its libraries and its models; `waiting` calls may wait at once."""

    seconds: float = 60.0
    memory_bytes: int = 4 << 30
    tries: int = 3
    waiting: int = 64


@dataclass(frozen=True, slots=True)
class Missing:
    """A worker has no model of that id, and is to be given its bytes."""

    model_id: Bytes32


class WorkExecutor(Protocol):
    """A `concurrent.futures.Executor` with what a node watches and needs at its end. Futures raise WorkerError for what the world did."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...

    def stop(self, seconds: float) -> None:
        """Takes nothing new, lets what runs end for so long, and ends the rest."""
        ...

    @property
    def waiting(self) -> int: ...

    @property
    def running(self) -> int: ...


# ---- in the child ----------------------------------------------------------------------------------------------------------------------
def _begin(memory_bytes: int) -> None:
    """The first thing a child does. Signals of a terminal or a supervisor are for the node, which ends its children itself."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold inputs, which may be sealed
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
    os._exit(1)


# ---- one child, from the node's side ---------------------------------------------------------------------------------------------------
class _Child:
    """A process that runs one call at a time, and is made again after it was lost. Used by one thread at a time; `kill` by any."""

    def __init__(self, limits: Limits, context: multiprocessing.context.BaseContext) -> None:
        self._limits = limits
        self._context = context
        self._pool: ProcessPoolExecutor | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    def run(self, fn: Callable[..., R], arguments: tuple[Any, ...], named: dict[str, Any]) -> R:
        """Raises what the call raises, and WorkerLost."""
        try:
            future = self._submit(fn, arguments, named)
            done, _ = wait([future], self._limits.seconds)
            if not done:
                self.kill()
                self._discard()
                raise WorkerLost(Fate.TIME, f"it took longer than {self._limits.seconds:g} seconds")
            return future.result()
        except BrokenProcessPool as error:
            raise WorkerLost(Fate.DIED, f"its process ended ({self._discard()})") from error
        except MemoryError as error:
            self.kill()
            self._discard()  # what it holds is not given back, and the next call would pay for it
            raise WorkerLost(Fate.MEMORY, f"it does not get by with {self._limits.memory_bytes} bytes of memory") from error

    def _submit(self, fn: Callable[..., R], arguments: tuple[Any, ...], named: dict[str, Any]) -> Future[R]:
        """To the child there is, or to a new one where that was lost while it had nothing to do."""
        try:
            return (self._pool or self._start()).submit(fn, *arguments, **named)
        except BrokenProcessPool:
            self._discard()
        return self._start().submit(fn, *arguments, **named)

    def _start(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(1, self._context, _begin, (self._limits.memory_bytes,))
        try:
            pid = pool.submit(os.getpid).result(START_SECONDS)
        except (BrokenProcessPool, TimeoutError, OSError) as error:
            pool.shutdown(wait=False, cancel_futures=True)
            raise WorkerError("a process for models could not be started") from error
        self._process = next((p for p in multiprocessing.active_children() if p.pid == pid), None)
        self._pool = pool
        return pool

    def _discard(self) -> str:
        """Forgets a child that ended, and says how it did."""
        pool, process, self._pool, self._process = self._pool, self._process, None, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)  # its own thread collects the exit code
        code = None if process is None else process.exitcode
        return _describe_exit(code)

    def kill(self) -> None:
        """Ends the process now, whatever it does."""
        process = self._process
        if process is not None and process.pid is not None and process.is_alive():
            process.kill()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def _describe_exit(code: int | None) -> str:
    if code is None:
        return "nobody saw how"
    try:
        return f"exit status {code}" if code >= 0 else signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


# ---- the pool --------------------------------------------------------------------------------------------------------------------------
class ProcessExecutor(Executor):
    """`processes` children, each made at its first call. Safe to use from several threads.

    Futures raise WorkerLost when a call lost its process, and WorkStopped when the executor was stopped under it; `submit` raises
    WorkerBusy above `limits.waiting`, and WorkStopped. `preload` names modules that children are to find imported.
    """

    def __init__(self, processes: int, limits: Limits, preload: Iterable[str] = ()) -> None:
        self._limits = limits
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["oracle.node.work", *preload])
        self._children = [_Child(limits, context) for _ in range(processes)]
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()  # the last one used has the models and the caches warm
        for child in reversed(self._children):
            self._idle.put(child)
        self._threads = ThreadPoolExecutor(processes, "work")
        self._lock = threading.Lock()
        self._open = self._running = 0
        self._is_stopping = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        with self._lock:
            if self._is_stopping:
                raise WorkStopped("the node is stopping")
            if self._open - self._running >= self._limits.waiting:
                raise WorkerBusy(f"{self._limits.waiting} calls wait for a process already")
            self._open += 1
        future = self._threads.submit(self._run, fn, args, kwargs)
        future.add_done_callback(self._count_done)
        return future

    def _count_done(self, _future: Future[Any]) -> None:
        with self._lock:
            self._open -= 1

    def _run(self, fn: Callable[..., R], arguments: tuple[Any, ...], named: dict[str, Any]) -> R:
        child = self._idle.get_nowait()  # there are as many as threads
        with self._lock:
            self._running += 1
        try:
            return child.run(fn, arguments, named)
        except WorkerLost as error:
            if self._is_stopping:
                raise WorkStopped("the node is stopping") from error
            raise
        finally:
            with self._lock:
                self._running -= 1
            self._idle.put(child)

    @property
    def waiting(self) -> int:
        with self._lock:
            return self._open - self._running

    @property
    def running(self) -> int:
        with self._lock:
            return self._running

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `Executor.shutdown`: with `wait` every call that was taken ends first. `stop` is the one with a time limit."""
        with self._lock:
            self._is_stopping = True
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            for child in self._children:
                child.close()

    def stop(self, seconds: float) -> None:
        """Drops what waits, lets what runs end for so long, and then kills it. No child is left when this returns."""
        self.shutdown(wait=False, cancel_futures=True)
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:
            time.sleep(0.01)
        while self.running:  # one that was being made has no process yet
            for child in self._children:
                child.kill()
            time.sleep(0.01)
        self.shutdown(wait=True)


# ---- what a node asks ------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Observer:
    """Whom a workplace tells what happens: `(kind, fate)` of a lost worker, `(kind, seconds)` of a call that gave its result."""

    on_lost: Callable[[str, Fate], None] = lambda _kind, _fate: None
    on_done: Callable[[str, float], None] = lambda _kind, _seconds: None


class Workplace:
    """An executor, the models it may be given, and how often a call that loses its worker is tried.

    A worker is named a model by its id and given its bytes when it has none of that id; it digests them itself.
    """

    def __init__(self, executor: WorkExecutor, tries: int, observer: Observer, patience_seconds: float | None = None) -> None:
        """`patience_seconds`: given for an executor on other machines, which may never answer."""
        self._executor = executor
        self._tries = tries
        self._observer = observer
        self._patience_seconds = patience_seconds
        self._bundles: dict[Bytes32, Callable[[], Bundle]] = {}

    def add(self, model_id: Bytes32, bundle: Callable[[], Bundle]) -> None:
        """Where the bytes of a model are found when a worker wants them."""
        self._bundles[model_id] = bundle

    def call(self, kind: str, gives: type[R], job: Callable[..., R | Missing], model_id: Bytes32, *arguments: object) -> R:
        """What `job(model_id, bundle or None, *arguments)` gives in a worker: a `gives`.

        Raises InputRejected where the job does; WorkGivenUp when every try lost its worker; WorkerError when no worker is to be had, or one
        fails as no worker of this version with these models does; and what is our own fault.
        """
        lost: list[WorkerLost] = []
        while len(lost) < self._tries and not (lost and lost[-1].is_final):
            started = time.perf_counter()
            try:
                result = self._try(gives, job, model_id, arguments)
            except WorkerLost as error:
                lost.append(error)
                self._observer.on_lost(kind, error.fate)
                fields = {"kind": kind, "model": model_id, "error": str(error), "cause": repr(error.__cause__)}
                journal.get("work").warning("a worker was lost", **fields)
            else:
                self._observer.on_done(kind, time.perf_counter() - started)
                return result
        times = Counter(str(error) for error in lost)
        got = "; ".join(f"{text}, {count} times" if count > 1 else text for text, count in times.items())
        raise WorkGivenUp(f"{kind} with model {to_hex(model_id)}", "one that leaves its process alive", got) from lost[-1]

    def _try(self, gives: type[R], job: Callable[..., R | Missing], model_id: Bytes32, arguments: tuple[object, ...]) -> R:
        result = self._run(job, model_id, None, *arguments)
        if isinstance(result, Missing):
            result = self._run(job, model_id, self._bundles[model_id](), *arguments)
        if not isinstance(result, gives):
            raise WorkerError(f"a worker gives a {type(result).__name__}, not a {gives.__name__}")
        return result

    def _run(self, job: Callable[..., R | Missing], *arguments: object) -> R | Missing:
        future = self._executor.submit(job, *arguments)
        try:
            return future.result(self._patience_seconds)
        except CancelledError as error:
            raise WorkStopped("a call was cancelled") from error
        except TimeoutError as error:
            if future.done():
                raise
            future.cancel()
            raise WorkerError(f"no worker answered within {self._patience_seconds:g} seconds") from error
        except (WorkerError, InputRejected):
            raise
        except Exception as error:
            if self._patience_seconds is None:
                raise
            # What another machine raises is not our bug: it may have another version, other packages, or bad memory.
            raise WorkerError(f"a worker fails: {type(error).__name__}: {str(error)[:200]}") from error

    @property
    def waiting(self) -> int:
        return self._executor.waiting

    @property
    def running(self) -> int:
        return self._executor.running

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        self._executor.stop(seconds)
