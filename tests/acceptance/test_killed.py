"""Any process killed at any moment, and started again: nothing is lost, nothing happens twice."""

from __future__ import annotations

import random
import time

import pytest

from oracle.demo import digits
from oracle.demo.auditing import open_network_auditor, wait_anchored
from oracle.demo.network import Network
from oracle.errors import AuditFailed
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
    ids = [one.request_id for one in everything]
    assert len(set(ids)) == len(ids)
    for one in everything:
        receipt = network.contracts.delivery_of(one.request_id)
        assert receipt is not None
        assert [d.request_id for d in receipt.delivered].count(one.request_id) == 1
    audit_when_settled(network)
    wait_anchored(network, 0)
