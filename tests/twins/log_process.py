"""A log in a process of its own, behind its real HTTP door, to be killed in the middle and started again on the same port.

`python -m tests.twins.log_process DIRECTORY PORT`: the tokens are read from DIRECTORY/tokens.json.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import httpx

from oracle.audit.access import new_token, write_tokens

ROOT = Path(__file__).parents[2]


class LogProcess:
    """`with LogProcess(directory, "app") as log:` serves at `log.url` until it is killed; `start` brings it back."""

    def __init__(self, directory: Path, *writers: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.tokens = {name: new_token() for name in writers}
        self.reader_token = new_token()
        write_tokens(directory / "tokens.json", self.tokens, {"auditor": self.reader_token})
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.twins.log_process", str(self.directory), str(self.port)]
        with (self.directory / "journal.txt").open("ab") as journal:
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=journal, stdout=journal)
        for _ in range(600):
            try:
                if httpx.get(self.url + "/ready").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError((self.directory / "journal.txt").read_text()[-2000:])

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def write_token(self, name: str) -> Path:
        """The token file of a writer, as it gets it."""
        path = self.directory / f"{name}.token"
        path.touch(mode=0o600)
        path.write_text(self.tokens[name])
        return path

    def __enter__(self) -> LogProcess:
        self.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self.kill()


def main() -> None:
    from oracle.audit.access import load_access
    from oracle.audit.metrics import LogMetrics
    from oracle.audit.server import make_app
    from oracle.audit.source import DirectorySource
    from oracle.http import serve
    from tests.twins.logs import open_log

    directory, port = Path(sys.argv[1]), sys.argv[2]
    log = open_log(directory)
    app = make_app(log, DirectorySource(directory / "log"), load_access(directory / "tokens.json"), LogMetrics())
    serve(app, f"127.0.0.1:{port}")


if __name__ == "__main__":
    main()
