"""A quorum that lies, on a whole network: the relay delivers what k operators signed, and a watcher, who was away, undoes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oracle.demo import digits
from oracle.demo.auditing import log_indices, open_network_auditor
from oracle.demo.local_keys import local_account
from oracle.demo.network import STAKE_WEI, WATCHER, Network, Plan, operator_address, running_network
from oracle.encoding import keccak256
from oracle.errors import AuditFailed
from oracle.pipeline.client import ApiClient
from oracle.records import Address, Policy, RequestStatus
from tests.acceptance.liar import LIE, lying_node
from tests.acceptance.test_five_operators import wait_until

FEE_WEI = 10**15


@pytest.fixture
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Of its own: its operators lose their stake."""
    with running_network(tmp_path_factory.mktemp("watched"), Plan(models=("digits-mlp/canonical",), anchor_seconds=2)) as running:
        yield running


def test_a_lying_quorum_is_slashed_and_its_answer_replaced(network: Network) -> None:
    gate = digits.deploy_gate(network, Policy(quorum=2, window_seconds=600))
    image, contracts = digits.load_images(1, start=1)[0], network.contracts
    network.processes.stop("watch")
    with lying_node(network, 0) as one, lying_node(network, 1) as other:
        asked = gate.ask(image, FEE_WEI)
        log_indices(network, asked.request_id, at_least=2)  # the honest node has spoken, and is the minority
        one.tell(asked)
        other.tell(asked)
        status = lambda: contracts.status_of(asked.request_id)  # noqa: E731
        wait_until(lambda: status().status is RequestStatus.PENDING, network.processes.tail("relay"))
        assert status().output_digest == keccak256(LIE)
        assert gate.digit(asked.request_id) is None
        network.processes.restart("watch")
        wait_until(lambda: status().status is RequestStatus.FINAL, network.processes.tail("watch"))
        wait_until(lambda: not any(contracts.stake_of(operator_address(i)) for i in (0, 1)), network.processes.tail("watch"))
    assert status().output_digest != keccak256(LIE)
    assert gate.digit(asked.request_id) == image.label
    assert contracts.stake_of(operator_address(2)) == STAKE_WEI
    assert contracts.balance_of(Address(local_account(WATCHER).address)) == FEE_WEI
    assert not any(contracts.balance_of(operator_address(i)) for i in range(3))
    receipt = ApiClient(network.api_url).receipt(asked.request_id)
    assert (receipt["status"], receipt["replaced"]["wrong_output"]) == ("FINAL", "0x" + LIE.hex())
    assert receipt["beneficiaries"] == [local_account(WATCHER).address]

    # The liars logged nothing of what they signed, and the audit says so.
    with pytest.raises(AuditFailed, match="an operator's result record with the delivered output"):
        open_network_auditor(network).verify_call(asked.request_id)
