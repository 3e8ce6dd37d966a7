"""Any process killed at any moment and started again, and a disk that takes nothing for a while: nothing is lost or happens twice."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from oracle.bench import restarts
from oracle.demo import digits
from oracle.demo.auditing import open_network_auditor, wait_anchored
from oracle.demo.network import Network
from oracle.errors import AuditFailed, PeerError
from oracle.pipeline.client import ApiClient
from oracle.pipeline.inputs import Reals
from oracle.pipeline.requesting import Terms, deposit, sign_request
from oracle.records import Asked, Policy, RequestStatus

FEE_WEI = 10**12
ROUNDS = 4


def ask_some(network: Network, gate: digits.Gate, start: int) -> list[Asked]:
    """Two requests from a contract and two signed ones."""
    images = digits.load_images(4, start=start)
    asked = [gate.ask(image, FEE_WEI) for image in images[:2]]
    terms = Terms(Policy(quorum=2), FEE_WEI, 0, 300)
    signed = [sign_request(network.session("requester"), gate.model, Reals(image.pixels), terms) for image in images[2:]]
    for one in signed:
        ApiClient(network.api_url).submit(one)
    return asked + signed


def wait_final(network: Network, asked: list[Asked]) -> None:
    deadline = time.monotonic() + 120
    for one in asked:
        while network.contracts.status_of(one.request_id).status is not RequestStatus.FINAL:
            assert time.monotonic() < deadline, network.processes.tail("relay")
            time.sleep(0.1)


def check_delivered_once(network: Network, asked: list[Asked]) -> None:
    ids = [one.request_id for one in asked]
    assert len(set(ids)) == len(ids)
    for request_id in ids:
        receipt = network.contracts.delivery_of(request_id)
        assert receipt is not None
        assert [d.request_id for d in receipt.delivered].count(request_id) == 1


def audit_when_settled(network: Network) -> None:
    """The whole log, once the log has caught up with the chain: an audit in between sees receipts that are still to be written."""
    deadline = time.monotonic() + 60
    while True:
        try:
            assert open_network_auditor(network).verify_log().is_complete
            return
        except (AuditFailed, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


@pytest.mark.parametrize("name", ["relay", "node-0", "log", "api"])
def test_a_process_is_killed_and_started_again(network: Network, name: str) -> None:
    rng = random.Random(name)
    gate = digits.deploy_gate(network, Policy(quorum=2))
    deposit(network.session("requester"), 10 * ROUNDS * FEE_WEI)
    everything: list[Asked] = []
    for round_number in range(ROUNDS):
        everything += ask_some(network, gate, start=20 + 4 * round_number)
        time.sleep(rng.uniform(0, 1.5))
        network.processes.kill(name)
        network.processes.restart(name)
        network.processes.wait_ready(name)
    wait_final(network, everything)
    check_delivered_once(network, everything)
    audit_when_settled(network)
    wait_anchored(network, 0)


@pytest.mark.parametrize("name", ["witness", "watch"])
def test_what_nobody_waits_for_is_killed_and_comes_back(network: Network, name: str) -> None:
    deposit(network.session("requester"), 10 * FEE_WEI)
    before = network.processes.pid(name)
    ready_seconds, final_seconds = restarts.kill(network, name)
    assert network.processes.pid(name) != before
    assert 0 < ready_seconds < restarts.PATIENCE_SECONDS
    assert 0 < final_seconds < restarts.PATIENCE_SECONDS


@contextmanager
def full_disk(network: Network, names: tuple[str, ...]) -> Iterator[None]:
    """No process of these can write to any file: database, journal or tile."""
    pids = [network.processes.pid(name) for name in names]
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_takes_nothing_for_a_while_costs_time_alone(network: Network) -> None:
    gate = digits.deploy_gate(network, Policy(quorum=2))
    deposit(network.session("requester"), 20 * FEE_WEI)
    everything = ask_some(network, gate, start=60)
    names = ("relay", "node-0", "node-1", "node-2", "log", "api", "witness")
    pids = [network.processes.pid(name) for name in names]
    with full_disk(network, names):
        everything += [gate.ask(image, FEE_WEI) for image in digits.load_images(2, start=64)]
        refused = sign_request(
            network.session("requester"), gate.model, Reals(digits.load_images(1)[0].pixels), Terms(Policy(quorum=2), FEE_WEI, 0, 300)
        )
        with pytest.raises(PeerError, match="503: the database does not answer"):
            ApiClient(network.api_url).submit(refused)
        time.sleep(5)
    ApiClient(network.api_url).submit(refused)
    everything += [refused, *ask_some(network, gate, start=66)]
    wait_final(network, everything)
    check_delivered_once(network, everything)
    audit_when_settled(network)
    wait_anchored(network, 0)
    assert [network.processes.pid(name) for name in names] == pids, "each recovered by itself"
