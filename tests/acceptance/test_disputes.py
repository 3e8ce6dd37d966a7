"""Disputes about an opaque model on a whole network: watchers, each a process of its own, open them, vote, and make liars pay."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from oracle.demo import digits
from oracle.demo.local_keys import find_seeds, local_account
from oracle.demo.network import STAKE_WEI, WATCHER, Network, Plan, operator_address, running_network
from oracle.encoding import keccak256, to_hex
from oracle.pipeline.catalogue import describe_directory
from oracle.pipeline.client import ApiClient
from oracle.pipeline.deploy import DisputeTerms
from oracle.pipeline.inputs import Tensors, encode_input
from oracle.pipeline.requesting import Terms, ask_on_chain
from oracle.pipeline.typed import WantedTensor
from oracle.records import Address, Asked, Policy, RequestStatus
from oracle.relay.disputes import Dispute, Disputes, Outcome
from oracle.tensors import decode_tensors, encode_tensors, from_numpy, to_numpy
from tests.acceptance.liar import lying_node
from tests.acceptance.test_five_operators import wait_until
from tests.clients.test_typescript import bundle, run_node
from tests.docs.test_snippets import ROOT, blocks

CNN = find_seeds() / "models/digits-cnn/opaque"
POLICY = Policy(quorum=1, window_seconds=600, disputable=True)
TERMS = DisputeTerms(audit_one_in=0)  # the lot would open an audit, sometimes, where these tests want a dispute
BLOCK_SECONDS = 0.25
"""What is waited for is blocks. Each takes a second of the chain's time, which so runs four times as fast: windows outlast the tests."""
FEE_WEI = 10**15
IMAGE = digits.load_images(1, start=3)[0]
INPUT = Tensors({"image": WantedTensor((1, 1, 8, 8), IMAGE.pixels)})
LIE = encode_tensors([from_numpy(np.eye(10, dtype=np.float32)[[(IMAGE.label + 1) % 10]])])
VOTERS = [operator_address(i) for i in (1, 2, 3)]
LIAR, CHALLENGER = operator_address(0), Address(local_account(WATCHER).address)


@contextmanager
def running_court(directory: Path) -> Iterator[Network]:
    """One operator with a node, three who vote, and a watcher without a seat who puts up bonds."""
    models, blocks = ("digits-cnn/opaque",), BLOCK_SECONDS
    plan = Plan(operators=1, voters=3, provers=0, is_witnessed=False, models=models, block_seconds=blocks, disputes=TERMS)
    with running_network(directory, plan) as network:
        yield network


def ask(network: Network) -> Asked:
    """What the image shows, of an opaque model."""
    outcome = ask_on_chain(network.session("requester"), describe_directory(CNN), INPUT, Terms(POLICY, FEE_WEI, 0, 600))
    asked = network.contracts.asked_of(outcome.request_id)
    assert asked is not None
    return asked


def disputes_of(network: Network) -> Disputes:
    return Disputes(network.contracts)


def tails(network: Network) -> str:
    return "\n".join(network.processes.tail(name, 1000) for name in ("relay", "watch", *network.voters))


def wait_ruled(network: Network, asked: Asked) -> Dispute:
    """Until the liar has nothing left, which is the last that a ruling leads to."""
    wait_until(lambda: network.contracts.stake_of(LIAR) == 0, tails(network))
    return disputes_of(network).dispute_of(asked.request_id)


def check_replaced(network: Network, asked: Asked, dispute: Dispute, paid_before: Mapping[Address, int]) -> None:
    """What the model gives is in the lie's place; the voters and the challenger are paid, and nobody else lost anything."""
    contracts, voters = network.contracts, VOTERS
    assert (dispute.outcome, dispute.challenger) == (Outcome.REPLACED, CHALLENGER)
    assert sorted(dispute.members) == sorted(dispute.majority) == sorted(voters)
    receipt = ApiClient(network.api_url).receipt(asked.request_id)
    assert (receipt["status"], receipt["replaced"]["wrong_output"]) == ("FINAL", "0x" + LIE.hex())
    output = bytes.fromhex(receipt["output"][2:])
    assert keccak256(output) == dispute.output_digest
    assert int(np.argmax(to_numpy(decode_tensors(output)[0]))) == IMAGE.label
    assert [contracts.stake_of(voter) for voter in voters] == [STAKE_WEI] * 3
    assert contracts.view("OperatorRegistry", "owedTo", CHALLENGER) == STAKE_WEI // 2
    fees = {one: contracts.balance_of(one) - paid_wei for one, paid_wei in paid_before.items()}
    assert sum(fees.values()) == FEE_WEI
    assert fees.pop(LIAR) == 0
    assert all(fees.values())


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Of the tests below, in their order: the last leaves nobody to answer."""
    with running_court(tmp_path_factory.mktemp("court")) as network:
        yield network


def test_the_typescript_client_disputes(court: Network, tmp_path: Path) -> None:
    """clients/typescript/test/disputes.test.ts."""
    key = tmp_path / "requester.hex"  # of a publicly known account of local chains
    key.write_text(to_hex(bytes(local_account("requester").key)))
    run_node(
        bundle("disputes.test", tmp_path),
        **court.environment(),
        AFFIDAVIT_TEST_KEY_FILE=str(key),
        AFFIDAVIT_MODEL_ID=to_hex(court.model_ids["digits-cnn/opaque"]),
        AFFIDAVIT_INPUT=to_hex(encode_input(describe_directory(CNN), INPUT)),
    )


def test_the_example_of_the_page_disputes(court: Network) -> None:
    """What docs/clients.md shows, word for word, about an honest answer."""
    (example,) = [block for block in blocks(ROOT / "docs/clients.md", "text") if "client.dispute(" in block]
    asked = ask(court)
    wait_until(lambda: court.contracts.status_of(asked.request_id).status is RequestStatus.PENDING, tails(court))
    environment = os.environ | court.environment() | {"REQUEST_ID": to_hex(asked.request_id)}
    done = subprocess.run([sys.executable, "-c", example], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + tails(court)
    assert done.stdout.splitlines()[-1] == "STANDS 3 of 3, 0 wei back"


def test_a_lie_is_disputed_voted_on_replaced_and_paid_for(court: Network) -> None:
    paid_before = {one: court.contracts.balance_of(one) for one in (LIAR, CHALLENGER, *VOTERS)}
    with lying_node(court, 0, LIE, returns=False) as liar:
        asked = ask(court)
        liar.tell(asked)
        dispute = wait_ruled(court, asked)
    check_replaced(court, asked, dispute, paid_before)
    wait_until(lambda: disputes_of(court).owed_to(CHALLENGER) == TERMS.bond_wei, tails(court))


@pytest.mark.slow
def test_a_voter_killed_between_its_two_votes_reveals_the_first_when_it_is_back(tmp_path: Path) -> None:
    """One of the three is away, so that nobody can reveal yet; then another is killed, whose salt is nowhere but in its database."""
    with running_court(tmp_path) as network:
        (killed, away), disputes, processes = network.voters[:2], disputes_of(network), network.processes
        member = operator_address(1)
        processes.stop(away)
        with lying_node(network, 0, LIE, returns=False) as liar:
            asked = ask(network)
            liar.tell(asked)
            wait_until(lambda: disputes.ballot_of(asked.request_id, member).has_committed, tails(network))
            processes.kill(killed)
            committed = disputes.ballot_of(asked.request_id, member)
            processes.restart(away)
            others = [operator_address(i) for i in (2, 3)]
            wait_until(lambda: all(disputes.ballot_of(asked.request_id, o).has_revealed for o in others), tails(network))
            assert disputes.dispute_of(asked.request_id).outcome is Outcome.OPEN
            assert disputes.ballot_of(asked.request_id, member) == committed
            assert not committed.has_revealed
            processes.restart(killed)
            dispute = wait_ruled(network, asked)
        ballot = disputes.ballot_of(asked.request_id, member)
        assert (ballot.commitment, ballot.revealed) == (committed.commitment, dispute.output_digest)
        check_replaced(network, asked, dispute, dict.fromkeys((LIAR, CHALLENGER, *VOTERS), 0))
        assert network.contracts.status_of(asked.request_id).status is RequestStatus.FINAL
