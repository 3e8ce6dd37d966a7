"""Child processes with names: started, waited for until ready, killed, started again, stopped in reverse order."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from oracle.errors import PeerError
from oracle.relay.anvil import die_with_parent

READY_SECONDS = 60.0
STOP_SECONDS = 15.0


def find_free_port() -> int:
    """A port of the loopback that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Processes:
    """Runs `affidavit …` commands, each with its output in `<directory>/<name>.log`. A context manager that leaves none behind.

    On Linux they also die with the thread that started them, so that a killed owner leaves none behind either.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, Sequence[str]] = {}
        self._urls: dict[str, str] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop_all()

    def start(self, name: str, arguments: Sequence[str], url: str) -> None:
        """Starts `affidavit <arguments>`; `url` is where it answers `/ready`."""
        self._commands[name], self._urls[name] = arguments, url
        with (self._directory / f"{name}.log").open("ab") as output:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "oracle.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C goes to the owner, who then stops everything in order
                preexec_fn=die_with_parent,
            )

    def restart(self, name: str) -> None:
        """Starts a process that ended or was killed again, as it was started before."""
        self.start(name, self._commands[name], self._urls[name])

    def wait_ready(self, *names: str, seconds: float = READY_SECONDS) -> None:
        """Returns when each (by default all) answers 200 at /ready. Raises PeerError with the end of its output when one does not."""
        deadline = time.monotonic() + seconds
        for name in names or tuple(self._running):
            self._wait_for(name, lambda name=name: is_ready(self._urls[name]), deadline)  # type: ignore[misc]

    def _wait_for(self, name: str, is_done: Callable[[], bool], deadline: float) -> None:
        while not is_done():
            if self._running[name].poll() is not None:
                raise PeerError(f"{name} ended with exit code {self._running[name].returncode}: {self.tail(name)}")
            if time.monotonic() > deadline:
                raise PeerError(f"{name} is not ready at {self._urls[name]}: {self.tail(name)}")
            time.sleep(0.1)

    def tail(self, name: str, characters: int = 2000) -> str:
        """The end of a process's output."""
        return (self._directory / f"{name}.log").read_text(errors="replace")[-characters:]

    def names(self) -> tuple[str, ...]:
        return tuple(self._running)

    def url(self, name: str) -> str:
        return self._urls[name]

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def kill(self, name: str) -> None:
        """SIGKILL, at once: what a crash looks like."""
        self._running[name].kill()
        self._running[name].wait()

    def stop(self, name: str) -> int:
        """SIGTERM, then SIGKILL if it does not end in time. Returns the exit code."""
        process = self._running[name]
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def stop_all(self) -> None:
        """Asks all to end at once, then waits for each, newest first."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for name in reversed(self._running):
            self.stop(name)


def is_ready(url: str) -> bool:
    """Whether a process answers 200 at /ready."""
    try:
        return httpx.get(f"{url}/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
