"""The whole line on one machine: signed requests through the API, three nodes (one proves), the relay, the log, a local chain."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from oracle.bench import sustained
from oracle.bench.sustained import Load
from oracle.demo.digits import digit_model, load_images
from oracle.demo.network import Network, Plan, running_network
from oracle.errors import PeerError
from oracle.pipeline.client import ApiClient
from oracle.pipeline.inputs import Reals
from oracle.pipeline.requesting import Terms, deposit, sign_request
from oracle.records import Asked, Bytes32, Policy, RequestStatus

BURST = 200
ONE_BY_ONE = 20
PROVEN = 10
QUORUM, PROOF = Policy(quorum=2), Policy(proof=True)
CLIENTS = 8
FEE_WEI = 10**12
PATIENCE_SECONDS = 300
LOAD_STATES = 16
"""Nobody asks for older ones here."""
DONE = (RequestStatus.FINAL, RequestStatus.PENDING)

LOADED_CHAIN = ("--slots-in-an-epoch", "1")
"""Blocks by the clock alone, one a second, as chains make them: what a block costs anvil grows with the whole state, however few
transactions are in it."""

Row = tuple[str, ...]


def measure_load(load: Load, progress: Callable[[str], None] = lambda _text: None) -> list[Row]:
    """Rows (what, figure) of a steady load on the whole line, quorum 2, on a chain with a block a second."""
    plan = Plan(
        operators=3,
        anchor_seconds=60,
        is_watched=False,
        requests_per_minute=100_000,
        workers=4,
        block_seconds=1.0,
        chain_options=LOADED_CHAIN,
        chain_states=LOAD_STATES,
    )
    with tempfile.TemporaryDirectory() as folder, running_network(Path(folder), plan) as network:
        deposit(network.session("requester"), 2 * FEE_WEI * (load.count + 1))
        return sustained.run(network, load, QUORUM, FEE_WEI, progress).rows()


def measure() -> list[Row]:
    """Rows (what, figure)."""
    plan = Plan(operators=3, anchor_seconds=60, is_watched=False)
    with tempfile.TemporaryDirectory() as folder, running_network(Path(folder), plan) as network:
        # Twice what it takes: a fee counts as promised until the relay has seen its delivery, and is gone from the deposit before.
        deposit(network.session("requester"), 2 * FEE_WEI * (BURST + ONE_BY_ONE + PROVEN + 1))
        asked, proven = _sign(network, BURST + ONE_BY_ONE, QUORUM), _sign(network, PROVEN + 1, PROOF)
        api = ApiClient(network.api_url)
        _follow_one(network, api, proven[0])  # the first makes the chain load the ceremony
        proving = [_follow_one(network, api, one) for one in proven[1:]]
        latencies = [_follow_one(network, api, one) for one in asked[:ONE_BY_ONE]]
        accepted, delivered = _burst(network, api, asked[ONE_BY_ONE:])
    ordered = sorted(latencies)
    return [
        (f"a proof, one at a time: median of {PROVEN} from request to delivery", f"{statistics.median(proving):.2f} s"),
        ("one at a time: median from request to delivery", f"{statistics.median(ordered):.2f} s"),
        ("one at a time: slowest of 20", f"{ordered[-1]:.2f} s"),
        (f"burst of {BURST}: accepted by the API", f"{BURST / accepted:.0f} requests/s"),
        (f"burst of {BURST}: delivered on chain", f"{BURST / delivered:.1f} requests/s"),
    ]


def _sign(network: Network, count: int, policy: Policy) -> list[Asked]:
    session, model = network.session("requester"), digit_model()
    terms = Terms(policy, FEE_WEI, 0, PATIENCE_SECONDS)
    images = load_images(count)
    return [sign_request(session, model, Reals(images[i % len(images)].pixels), terms) for i in range(count)]


def _follow_one(network: Network, api: ApiClient, asked: Asked) -> float:
    started = time.perf_counter()
    api.submit(asked)
    _wait_delivered(network, [asked.request_id])
    return time.perf_counter() - started


def _burst(network: Network, api: ApiClient, asked: Sequence[Asked]) -> tuple[float, float]:
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(api.submit, asked))
    accepted = time.perf_counter() - started
    _wait_delivered(network, [one.request_id for one in asked])
    return accepted, time.perf_counter() - started


def _wait_delivered(network: Network, request_ids: Sequence[Bytes32]) -> None:
    """Returns when the chain says that every request is answered. Raises PeerError when one is not in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for request_id in request_ids:
        while network.contracts.status_of(request_id).status not in DONE:
            if time.monotonic() > deadline:
                raise PeerError(f"request {request_id.hex()} was not delivered in time: {network.processes.tail('relay')}")
            time.sleep(0.02)
