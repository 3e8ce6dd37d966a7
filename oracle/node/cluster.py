"""The same work on other machines: an executor over a Dask cluster. The only module that imports distributed, which is an optional extra.

    dask scheduler --port 8786 --tls-ca-file ca.pem --tls-cert scheduler.pem --tls-key scheduler.key
    dask worker tls://scheduler:8786 --nworkers 4 --nthreads 1 --memory-limit 4GiB --tls-ca-file …

Workers have this package in this version, and one thread each: what ends a worker is then known to be the call it ran. Dask gives a call
whose worker died to another one, up to its own `allowed-failures`. Bytes of models travel in the call, so that the scheduler has them for
the next worker: as data of the cluster they would die with the worker that holds them.

Scheduler and workers are the operator's own, and are trusted as the node's machine is: Dask's messages can carry code. Hence TLS with
certificates on both sides, everywhere but on one machine.
"""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import wait as wait_for_all
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from oracle import journal
from oracle.errors import ConfigRejected, WorkerError
from oracle.node.executor import Fate, Limits, WorkerBusy, WorkerLost, WorkStopped

P = ParamSpec("P")
R = TypeVar("R")

CONNECT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""How long a cluster may take to find a free worker and to bring it a model's bytes, on top of a call's own time."""


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """`tcp://host:port` or, with the three files of a certificate, `tls://host:port`."""

    url: str
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def check(self) -> None:
        """Raises ConfigRejected for what is no address, and for one half of TLS."""
        parts = urlsplit(self.url)
        files = (self.ca_file, self.cert_file, self.key_file)
        if parts.scheme not in ("tcp", "tls") or not parts.hostname or parts.port is None:
            raise ConfigRejected("node: executor", '"processes", "tls://host:port" or "tcp://host:port"', self.url)
        if (parts.scheme == "tls") != all(files) or (parts.scheme == "tcp") != (not any(files)):
            raise ConfigRejected("node: executor", "tls:// with ca, certificate and key, or tcp:// with none of them", self.url)
        if parts.scheme == "tcp" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            journal.get("work").warning("the cluster is asked without TLS: whoever is on the way can run code at both ends", url=self.url)


def run_limited(seconds: float, fn: Callable[..., R], *arguments: object) -> R:
    """Runs a call in a worker, which ends when it takes too long: by a thread that needs no lock of the interpreter.

    Raises WorkerError in a worker with several threads, which would end with its neighbours' calls.
    """
    from distributed import get_worker

    if (threads := get_worker().state.nthreads) != 1:
        raise WorkerError(f"a worker has {threads} threads: start it with --nthreads 1")
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        return fn(*arguments)
    finally:
        faulthandler.cancel_dump_traceback_later()


class ClusterExecutor(Executor):
    """Submits to a Dask scheduler. Safe to use from several threads; connects again where the connection was lost.

    Futures raise WorkerLost when every worker that Dask tried died or ran out of memory, and WorkerError where the cluster drops a call.
    """

    def __init__(self, address: ClusterAddress, limits: Limits) -> None:
        address.check()
        self._address = address
        self._limits = limits
        self._connecting, self._lock = threading.Lock(), threading.Lock()
        self._client: Any = None
        self._open: set[Future[Any]] = set()
        self._is_stopping = False

    def connect(self) -> Any:
        """A client that is connected. Raises WorkerError where the scheduler does not answer, ConfigRejected without distributed."""
        with self._connecting:
            if self._client is None or self._client.status not in ("running", "connecting"):
                self._client = _connect(self._address)
            return self._client

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        outer: Future[R] = Future()
        with self._lock:
            if self._is_stopping:
                raise WorkStopped("the node is stopping")
            if len(self._open) >= self._limits.waiting:
                raise WorkerBusy(f"{self._limits.waiting} calls are at the cluster already")
            self._open.add(outer)
        outer.add_done_callback(self._forget)
        try:
            inner = self._send(fn, args, kwargs)
        except BaseException:
            outer.cancel()
            raise
        outer.add_done_callback(lambda future: inner.cancel() if future.cancelled() else None)
        inner.add_done_callback(lambda future: _pass_on(future, outer))
        return outer

    def _send(self, fn: Callable[..., R], arguments: tuple[Any, ...], named: dict[str, Any]) -> Future[R]:
        client = self.connect()
        try:
            inner: Future[R] = client.get_executor(pure=False).submit(run_limited, self._limits.seconds, fn, *arguments, **named)
        except (OSError, TimeoutError, CancelledError) as error:
            raise WorkerError(f"the cluster at {self._address.url} does not answer") from error
        return inner

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._open.discard(future)

    @property
    def waiting(self) -> int:
        """Always 0: who waits at the cluster is the scheduler's business, and on its page."""
        return 0

    @property
    def running(self) -> int:
        with self._lock:
            return len(self._open)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `Executor.shutdown`. What is cancelled is dropped by the scheduler, also where it runs: nobody gets its result."""
        with self._lock:
            self._is_stopping, open_now = True, list(self._open)
        if cancel_futures:
            for future in open_now:
                future.cancel()
        if wait:
            wait_for_all(open_now)
            with self._connecting:
                if self._client is not None:
                    self._client.close(timeout=CONNECT_SECONDS)

    def stop(self, seconds: float) -> None:
        """As `WorkExecutor.stop`; a call that runs on ends at its own limit."""
        with self._lock:
            self._is_stopping, open_now = True, list(self._open)
        wait_for_all(open_now, seconds)
        self.shutdown(wait=True, cancel_futures=True)


def _connect(address: ClusterAddress) -> Any:
    try:
        from distributed import Client, Security
    except ImportError as error:
        raise ConfigRejected("node: executor", 'the extra "cluster" of this package installed', "no distributed") from error
    security = None
    if address.ca_file:
        files = {"tls_ca_file": address.ca_file, "tls_client_cert": address.cert_file, "tls_client_key": address.key_file}
        security = Security(require_encryption=True, **{name: str(path) for name, path in files.items()})  # type: ignore[no-untyped-call]
    try:
        return Client(address.url, security=security, timeout=CONNECT_SECONDS, set_as_default=False, name="affidavit-node")  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise WorkerError(f"the cluster at {address.url} does not answer") from error


def _pass_on(inner: Future[R], outer: Future[R]) -> None:
    """What Dask says of a call, in our words."""
    from distributed.scheduler import KilledWorker

    if not outer.set_running_or_notify_cancel():
        return
    error: BaseException | None
    try:
        error = inner.exception()
    except CancelledError:
        error = WorkerError("the cluster dropped a call: its scheduler went away")
    if isinstance(error, KilledWorker):
        text = f"its process ended on {error.allowed_failures + 1} workers, lastly {error.last_worker.address}"
        outer.set_exception(WorkerLost(Fate.DIED, text, is_final=True))
    elif isinstance(error, MemoryError):
        outer.set_exception(WorkerLost(Fate.MEMORY, f"it does not get by with the memory of a worker: {error}"))
    elif error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(inner.result())
