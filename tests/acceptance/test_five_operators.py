"""Five operators under quorum 3: what one liar, and then two, can do."""

from __future__ import annotations

import time
from collections.abc import Callable

from oracle.audit.source import HttpSource
from oracle.config import read_secret
from oracle.demo import digits
from oracle.demo.auditing import open_network_auditor
from oracle.demo.network import Network
from oracle.pipeline.settled import read_settled
from oracle.records import Bytes32, EntryKind, Policy, RequestStatus
from tests.acceptance.liar import LIE, lying_node

FEE_WEI = 10**15
THREE = Policy(quorum=3)


def wait_until(is_done: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def logged_errors(network: Network, request_id: Bytes32) -> list[dict[str, object]]:
    source = HttpSource(network.log_url, read_secret(network.auditor_token_file))
    view = open_network_auditor(network).view
    records = [view.read(i).record for i in source.find_entries(request_id) or () if i < view.size]
    return [dict(record.fields) for record in records if record.kind is EntryKind.ERROR]


def test_one_liar_and_one_offline_change_nothing_and_the_lie_is_logged(five: Network) -> None:
    gate, image = digits.deploy_gate(five, THREE), digits.load_images(1, start=10)[0]
    five.processes.stop(five.node(3))
    try:
        with lying_node(five, 4) as liar:
            asked = gate.ask(image, FEE_WEI)
            liar.tell(asked)
            wait_until(lambda: five.contracts.status_of(asked.request_id).status is RequestStatus.FINAL, five.processes.tail("relay"))
            settled = read_settled(five.contracts, asked.request_id)
            assert {o.index for o in settled.signers or ()} == {0, 1, 2}
            assert settled.delivered.output != LIE
            assert gate.digit(asked.request_id) is not None
            wait_until(lambda: bool(logged_errors(five, asked.request_id)), five.processes.tail("relay"), 30)
            assert liar.told > 0
        lies = logged_errors(five, asked.request_id)
        signer = {o.index: o.signer for o in five.contracts.operators()}[4]
        assert len(lies) == 1
        assert signer in str(lies[0])
    finally:
        five.processes.restart(five.node(3))
        five.processes.wait_ready(five.node(3))
    report = open_network_auditor(five).verify_call(asked.request_id)
    assert report.is_complete


def test_two_liars_and_one_offline_deliver_nothing_and_the_fee_comes_back(five: Network) -> None:
    gate, image = digits.deploy_gate(five, THREE), digits.load_images(1, start=11)[0]
    requester = five.session("requester").account
    before_wei = five.contracts.balance_of(requester)
    five.processes.stop(five.node(2))
    try:
        with lying_node(five, 3) as one, lying_node(five, 4) as other:
            asked = gate.ask(image, FEE_WEI, patience_seconds=12)
            one.tell(asked)
            other.tell(asked)
            wait_until(lambda: one.told > 0 and other.told > 0, five.processes.tail("relay"), 30)
            status = lambda: five.contracts.status_of(asked.request_id).status  # noqa: E731
            wait_until(lambda: status() is not RequestStatus.REQUESTED, five.processes.tail("relay"), 60)
            assert status() is RequestStatus.REFUNDED
        assert five.contracts.delivery_of(asked.request_id) is None
        assert five.contracts.balance_of(requester) == before_wei + FEE_WEI
        assert gate.digit(asked.request_id) is None
    finally:
        five.processes.restart(five.node(2))
        five.processes.wait_ready(five.node(2))
