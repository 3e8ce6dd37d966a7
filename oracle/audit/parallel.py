"""Work on a log's bundles done by several processes, handed back in order.

Hashing and parsing is most of what reading a whole log takes, and no record needs another for it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import TypeVar

from oracle.errors import Rejected, StoreError

_AHEAD = 8  # tasks in flight for each process: enough that none waits, and no more of the log in memory than that
Task = TypeVar("Task")
Done = TypeVar("Done")


def usable_processes() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """`with Workers(2) as workers: workers.map(…)`; with 1, the work is done where it is asked for.

    New processes are started (not forked: a server has threads), and import the main module, which must do nothing when imported.
    Functions, tasks and results are pickled.
    """

    def __init__(self, processes: int) -> None:
        self._ahead = processes * _AHEAD
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn")) if processes > 1 else None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[[Task], Done], tasks: Iterable[Task]) -> Iterator[Done]:
        """As the built-in, also in which error comes first. Raises StoreError when one of the processes was killed."""
        return map(function, tasks) if self._pool is None else self._map_ahead(self._pool, function, tasks)

    def _map_ahead(self, pool: ProcessPoolExecutor, function: Callable[[Task], Done], tasks: Iterable[Task]) -> Iterator[Done]:
        waiting: deque[Future[Done]] = deque()
        try:
            try:
                for task in tasks:
                    waiting.append(pool.submit(function, task))
                    if len(waiting) >= self._ahead:
                        yield waiting.popleft().result()
            except Rejected:  # tasks are read ahead: what comes before the one that failed is told before it
                yield from _results(waiting)
                raise
            yield from _results(waiting)
        except BrokenProcessPool as error:
            raise StoreError("a process that reads the log's entries was ended from outside") from error


def _results(waiting: deque[Future[Done]]) -> Iterator[Done]:
    while waiting:
        yield waiting.popleft().result()
