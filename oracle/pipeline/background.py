"""Threads beside an HTTP server: each repeats one step; what fails in one stops the whole process, loudly.

A step returns the seconds to wait before the next. What the world does to it (WorldError) it handles itself or lets through here, where
it is logged and the step is tried again after a growing pause. Anything else is a bug: the process stops and `run` raises it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType

from fastapi import FastAPI

from oracle import journal
from oracle.errors import WorldError
from oracle.http import serve

Step = Callable[[], float]

MAX_PAUSE_SECONDS = 10.0
STOP_SECONDS = 30.0


def compute_pause(failures: int) -> float:
    """Seconds before the next try after so many failures in a row, however many."""
    return min(MAX_PAUSE_SECONDS, 0.1 * 2.0 ** min(failures, 16))


def end_by_exception() -> None:
    """From here on SIGTERM ends the process as SystemExit does, so that what a start has begun is undone. `Background.run` replaces it."""
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class Background:
    """The threads of one process."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def run(self, steps: Mapping[str, Step], app: FastAPI, listen: str, on_stopping: Callable[[], None] = lambda: None) -> None:
        """Runs the steps and serves `app` until SIGTERM or SIGINT; then lets each step in progress end. Raises what a step raised.

        `on_stopping` is called before they are waited for, and may hasten them.

        Must be called on the main thread. uvicorn raises the signal it stopped for again when it is done, hence the handlers.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for name, step in steps.items():
            self._start(name, step)
        try:
            serve(app, listen)
        finally:
            self._stopping.set()
            on_stopping()
            for thread in self._threads:
                thread.join(STOP_SECONDS)
        if self._failure is not None:
            raise self._failure

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping.set()

    def _start(self, name: str, step: Step) -> None:
        thread = threading.Thread(target=self._repeat, args=(name, step), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, name: str, step: Step) -> None:
        try:
            self._repeat_until_stopped(name, step)
        except BaseException as error:
            self._failure = error
            os.kill(os.getpid(), signal.SIGTERM)  # first: whatever fails now, no process goes on without one of its steps
            journal.get(name).error("stopping the process", error=repr(error), exc_info=error)
            raise

    def _repeat_until_stopped(self, name: str, step: Step) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                pause = step()
                failures = 0
            except WorldError as error:
                failures += 1
                pause = compute_pause(failures)
                journal.get(name).warning("will try again", error=str(error), cause=repr(error.__cause__), seconds=pause)
            self._stopping.wait(pause)
