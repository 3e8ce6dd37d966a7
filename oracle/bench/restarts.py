"""kill -9 of each process of a running network, and how long until it serves again: until it says that it is ready, and until a request
that was made while it was dead is final on chain. The policy takes every node's signature, so that one dead node is missed."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from oracle.bench.line import FEE_WEI
from oracle.demo.digits import digit_model, load_images
from oracle.demo.network import Network, Plan, running_network
from oracle.demo.processes import is_ready
from oracle.errors import PeerError
from oracle.pipeline.client import ApiClient
from oracle.pipeline.inputs import Reals
from oracle.pipeline.requesting import Terms, deposit, sign_request
from oracle.records import Asked, Policy, RequestStatus

ROUNDS = 5
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.02
COLUMNS = ("killed", "ready again: median", "slowest", "request made meanwhile final: median", "slowest")
Row = tuple[str, ...]


def measure(progress: Callable[[str], None] = lambda _text: None) -> list[Row]:
    """A row for each process, ROUNDS kills each."""
    with tempfile.TemporaryDirectory() as folder, running_network(Path(folder), Plan(operators=3)) as network:
        names = network.processes.names()
        deposit(network.session("requester"), 2 * FEE_WEI * (ROUNDS * len(names) + 1))
        _serve(network)  # the first inference loads the model everywhere
        return [_row(network, name, progress) for name in names]


def _row(network: Network, name: str, progress: Callable[[str], None]) -> Row:
    progress(f"kill -9 of {name}, {ROUNDS} times")
    ready, served = zip(*(kill(network, name) for _ in range(ROUNDS)), strict=True)
    return (name, *(f"{seconds:.1f} s" for seconds in (statistics.median(ready), max(ready), statistics.median(served), max(served))))


def kill(network: Network, name: str) -> tuple[float, float]:
    """Seconds from the kill to ready, and to the end of a request that was made in between."""
    url, asked = network.processes.url(name), _sign(network)
    killed = time.perf_counter()
    network.processes.kill(name)
    network.processes.restart(name)
    is_taken, ready = _is_taken(network, asked), None
    while ready is None or not is_taken or network.contracts.status_of(asked.request_id).status is not RequestStatus.FINAL:
        is_taken = is_taken or _is_taken(network, asked)
        if ready is None and is_ready(url):
            ready = time.perf_counter() - killed
        if time.perf_counter() - killed > PATIENCE_SECONDS:
            raise PeerError(f"no service {PATIENCE_SECONDS:.0f} s after {name} was killed: {network.processes.tail(name)}")
        time.sleep(LOOK_SECONDS)
    return ready, time.perf_counter() - killed


def _serve(network: Network) -> None:
    asked = _sign(network)
    ApiClient(network.api_url).submit(asked)
    while network.contracts.status_of(asked.request_id).status is not RequestStatus.FINAL:
        time.sleep(LOOK_SECONDS)


def _sign(network: Network) -> Asked:
    terms = Terms(Policy(quorum=network.plan.operators), FEE_WEI, 0, int(2 * PATIENCE_SECONDS))
    return sign_request(network.session("requester"), digit_model(), Reals(load_images(1)[0].pixels), terms)


def _is_taken(network: Network, asked: Asked) -> bool:
    """Posted; what was posted twice is the same request."""
    try:
        ApiClient(network.api_url).submit(asked)
    except PeerError:
        return False
    return True
