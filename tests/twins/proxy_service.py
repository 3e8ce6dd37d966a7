"""A recording proxy behind its real HTTP door, on a free port, in a thread."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from oracle.config import ProxyConfig
from oracle.ingest.proxy import Proxy, make_app
from oracle.ingest.proxy_process import open_proxy


def write_token(path: Path, token: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(token)
    return path


class ProxyService:
    """`with ProxyService(directory, upstream, log_url, token, **settings) as proxy:` serves at `proxy.url`, which ends in /v1."""

    def __init__(self, directory: Path, upstream: str, log_url: str, token: str, **settings: Any) -> None:
        token_file = write_token(directory / "proxy.token", token)
        self.config = ProxyConfig(listen="", upstream=upstream, log_url=log_url, log_token_file=token_file, **settings)
        self.url = ""

    def __enter__(self) -> ProxyService:
        self.proxy: Proxy = open_proxy(self.config)
        config = uvicorn.Config(make_app(self.proxy), host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.proxy.recorder.close()
