"""Load on the whole line at a steady rate, for as long as is asked: what is lost, how late it is, what each process takes for it.

Open loop: a request is sent when it is due, however late the ones before it are, and its time runs from when it was due. A delivery counts
when the chain has it at the relay's depth of finality, seen by reading every block.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from oracle.demo.digits import digit_model, load_images
from oracle.demo.network import Network
from oracle.encoding import compute_request_id
from oracle.pipeline.client import ApiClient
from oracle.pipeline.inputs import Reals
from oracle.pipeline.requesting import Terms, sign_request
from oracle.records import Asked, Bytes32, Policy

CLIENTS = 16
PATIENCE_SECONDS = 600
LONG_SECONDS = 300.0
DRAIN_SECONDS = 120.0
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
TICKS = os.sysconf("SC_CLK_TCK")
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """`rate` requests a second for `seconds`."""

    rate: float
    seconds: float

    @property
    def count(self) -> int:
        return int(self.rate * self.seconds)

    @property
    def looks(self) -> frozenset[int]:
        """Before which requests memory is looked at: the middle one, or every tenth of a long run, which shows whether it stays flat."""
        parts = 10 if self.seconds >= LONG_SECONDS else 2
        return frozenset(self.count * part // parts for part in range(1, parts))


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process with its children: processor time in seconds, and memory that is resident."""

    seconds: float
    resident_mib: float


@dataclass(slots=True)
class Outcome:
    """Seconds from when each request was due to when the chain had it; what was never delivered; how long the last took to drain."""

    load: Load
    refused: int = 0
    late: list[float] = field(default_factory=list)
    took_seconds: float = 0.0
    before: dict[str, Usage] = field(default_factory=dict)
    between: list[dict[str, Usage]] = field(default_factory=list)
    after: dict[str, Usage] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return self.load.count - len(self.late)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.late)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    def rows(self) -> list[Row]:
        load, name = self.load, f"{self.load.rate:g}/s for {self.load.seconds:g} s"
        return [
            (f"{name}: delivered", f"{len(self.late)} of {load.count} ({self.refused} refused)"),
            (f"{name}: sustained, to the last delivery", f"{len(self.late) / self.took_seconds:.1f} requests/s"),
            (f"{name}: request to final delivery, median", f"{self.percentile(0.5):.2f} s"),
            (f"{name}: request to final delivery, 95th percentile", f"{self.percentile(0.95):.2f} s"),
            (f"{name}: slowest", f"{self.percentile(1.0):.2f} s"),
            (f"{name}: processor time for each request, all processes", f"{sum(map(self._request_ms, self.after)):.1f} ms"),
            *((f"{name}: {who}", self._usage(who)) for who in sorted(self.after)),
        ]

    def _request_ms(self, who: str) -> float:
        """Of one process: what a request took of it on average, which says the same on a busy machine as on an idle one."""
        return 1000 * (self.after[who].seconds - self.before[who].seconds) / max(1, len(self.late))

    def _usage(self, who: str) -> str:
        before, after = self.before[who], self.after[who]
        cores = (after.seconds - before.seconds) / self.took_seconds
        looks = (look[who] for look in (self.before, *self.between, self.after) if who in look)
        memory = " → ".join(f"{usage.resident_mib:.0f}" for usage in looks)
        return f"{self._request_ms(who):.1f} ms for each request, {cores:.2f} cores, {memory} MiB"


class Signer:
    """Signed requests like a first one, each with its own nonce and deadline; asks nobody."""

    def __init__(self, network: Network, policy: Policy, fee_wei: int) -> None:
        self._session = network.session("requester")
        self._first = sign_request(
            self._session, digit_model(), Reals(load_images(1)[0].pixels), Terms(policy, fee_wei, 0, PATIENCE_SECONDS)
        )
        self._offset = self._first.request.deadline - int(time.time())

    def sign(self, number: int) -> Asked:
        deadline = int(time.time()) + self._offset
        request = replace(self._first.request, nonce=self._first.request.nonce + 1 + number, deadline=deadline)
        request_id = compute_request_id(request, self._session.contracts.domain)
        return Asked(request_id, request, self._first.input, self._session.signer.sign_digest(request_id))


class Deliveries:
    """Reads every block as it comes, in a thread of its own; `seen` says when each request's delivery was there."""

    def __init__(self, network: Network) -> None:
        self._contracts = network.contracts
        self.seen: dict[Bytes32, float] = {}
        self._stop = threading.Event()
        head = self._contracts.block("latest")
        self._next = head.number + 1 if head else 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self._watch)
            try:
                yield
            finally:
                self._stop.set()
                done.result()

    def _watch(self) -> None:
        while not self._stop.is_set():
            block = self._contracts.block(self._next)
            if block is None:
                self._stop.wait(0.05)
                continue
            now = time.perf_counter()
            for transaction in self._contracts.deliveries_made_in(block.hash):
                receipt = self._contracts.receipt(transaction)
                for delivered in receipt.delivered if receipt else ():
                    self.seen[delivered.request_id] = now
            self._next += 1


def run(network: Network, load: Load, policy: Policy, fee_wei: int, progress: Callable[[str], None] = lambda _text: None) -> Outcome:
    """Puts the load on a running network. The requester's deposit must cover `load.count` fees twice over."""
    outcome, signer, deliveries = Outcome(load, before=read_usage(network)), Signer(network, policy, fee_wei), Deliveries(network)
    due: dict[Bytes32, float] = {}
    local = threading.local()

    def ask(number: int, moment: float) -> None:
        if not hasattr(local, "api"):
            local.api = ApiClient(network.api_url)
        asked = signer.sign(number)
        due[asked.request_id] = moment
        local.api.submit(asked)

    with deliveries.watching(), ThreadPoolExecutor(CLIENTS) as pool:
        started = time.perf_counter()
        sent = [_send_when_due(pool, ask, number, started + number / load.rate, outcome, network) for number in range(load.count)]
        outcome.refused = sum(1 for future in sent if future.exception() is not None)
        failures = {repr(future.exception()) for future in sent if future.exception() is not None}
        for failure in sorted(failures)[:3]:
            progress(failure)
        end = time.perf_counter() + DRAIN_SECONDS
        while len(deliveries.seen) < load.count - outcome.refused and time.perf_counter() < end:
            time.sleep(0.1)
    outcome.took_seconds = max(deliveries.seen.values(), default=time.perf_counter()) - started
    outcome.late = [seen - due[request_id] for request_id, seen in deliveries.seen.items() if request_id in due]
    outcome.after = read_usage(network)
    return outcome


def _send_when_due(
    pool: ThreadPoolExecutor, ask: Callable[[int, float], None], number: int, moment: float, outcome: Outcome, network: Network
) -> Future[None]:
    if number in outcome.load.looks:
        outcome.between.append(read_usage(network))
    time.sleep(max(0.0, moment - time.perf_counter()))
    return pool.submit(ask, number, moment)


# ---- what processes take ---------------------------------------------------------------------------------------------------------------
def read_usage(network: Network) -> dict[str, Usage]:
    """Of every process of a network, and of its chain, from /proc; nothing where there is none."""
    pids = {name: network.processes.pid(name) for name in network.processes.names()} | {"chain": network.chain.process.pid}
    return {name: usage for name, pid in pids.items() if (usage := _usage_of(pid)) is not None}


def _usage_of(pid: int) -> Usage | None:
    total = Usage(0.0, 0.0)
    for one in (pid, *_children_of(pid)):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        cpu, resident = (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * PAGE_KIB / 1024
        total = Usage(total.seconds + cpu, total.resident_mib + resident)
    return total if total.seconds else None


def _children_of(pid: int) -> Sequence[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        mine = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return ()
    return [pid for child in mine for pid in (child, *_children_of(child))]
