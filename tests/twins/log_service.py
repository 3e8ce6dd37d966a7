"""A log behind its real HTTP door, on a free port of the loopback, in a thread."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

import uvicorn

from oracle.audit.access import Access, hash_token, new_token
from oracle.audit.log import Log
from oracle.audit.metrics import LogMetrics
from oracle.audit.receipts import add_receipts
from oracle.audit.server import make_app
from oracle.audit.source import DirectorySource
from tests.twins.logs import KEY, open_log


class LogService:
    """`with LogService(directory) as service:` serves at `service.url`; tokens are made anew each time."""

    def __init__(self, directory: Path, *writers: str) -> None:
        self.tokens = {name: new_token() for name in (*writers, "writer")}
        self.reader_token = new_token()
        self.access = Access({hash_token(t): name for name, t in self.tokens.items()}, {hash_token(self.reader_token): "auditor"})
        self.directory = directory
        self.log: Log = open_log(directory)
        app = make_app(self.log, DirectorySource(directory / "log"), self.access, LogMetrics())
        add_receipts(app, self.log, DirectorySource(directory / "log"), KEY)
        self.url = ""
        # The server opens its own socket, as in production: one that is handed in would be without TCP_NODELAY, and each answer 40 ms late.
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> LogService:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.log.close()
