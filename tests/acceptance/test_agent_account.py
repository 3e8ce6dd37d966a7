"""An agent's account on a whole network: what real nodes answer of a real model releases a spending, or does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuits import compile_model
from oracle.demo.digits import find_request
from oracle.demo.local_keys import local_account
from oracle.demo.network import Network, Plan, running_network
from oracle.encoding import keccak256, pack_policy
from oracle.pipeline.deploy import create_consumer
from oracle.records import Address, Bytes32, Policy
from oracle.relay.failures import CallReverted
from oracle.relay.paying import asset_of
from oracle.relay.transact import Call
from tests.unit.float_graphs import build, node, write

ETHER = 10**18
FEE_WEI = 1000
SHOP = Address("0x" + 20 * "77")  # no letters, no checksum
DATA = bytes.fromhex("ffffffff") + bytes(3000)  # every part of the selector, and the length, as large as they are shown
APPROVED, REFUSED, EXECUTED = 2, 3, 4  # AgentAccount.State
VALUE_BITS = 2  # the element that tells log2 of the value, times eight
OVER_LIMIT, NOT_APPROVED, OTHER_SPENDING = (
    keccak256(error)[:4].hex()
    for error in (b"OverLimit(uint256,uint256)", b"NotApproved(bytes32,uint8)", b"OtherSpending(bytes32,bytes32)")
)
MOST_BITS = 63 * 8 + 4  # approves below 2^64 wei, about 18 ether


def make_judge(folder: Path) -> Path:
    """A float model of two scores, compiled as its owner would: it approves the lower half of what it is asked, by magnitude.

    The account shows integers, so the model has to take them as they are: samples of ±1800 fill the 12 bits at a scale of one.
    """
    weights = np.zeros((9, 2), np.float32)
    weights[VALUE_BITS] = 1, -1
    judge = build([node("Gemm", "x w b", "y")], {"w": weights, "b": [-MOST_BITS, MOST_BITS]}, shape=("batch", 9))
    samples = np.random.default_rng(1).integers(-1800, 1801, (64, 9)).astype(np.float64)
    samples[0], samples[1] = 1800, -1800
    model = compile_model(write(judge, folder), samples, labels=["refuse", "approve"])
    shown = np.array([[2047, 0, 8 * bits, 1, 0, 2047, 2047, 2047, 1023] for bits in range(256)])
    assert (model.quantize(shown) == shown).all()
    model.save(folder / "judge")
    return folder / "judge"


@dataclass(frozen=True)
class Scene:
    network: Network
    account: Address
    in_token: bool

    def send(self, role: str, function: str, *arguments: Any, value_wei: int = 0) -> Any:
        call = self.network.contracts.call_at("AgentAccount", self.account, function, *arguments, value_wei=value_wei)
        return self.network.session(role).sender.send(call)

    def propose(self, value_wei: int, data: bytes = b"") -> Bytes32:
        if self.in_token:
            receipt = self.send("requester", "proposeFromBalance", SHOP, value_wei, data, FEE_WEI, 600)
        else:
            receipt = self.send("requester", "propose", SHOP, value_wei, data, 600, value_wei=FEE_WEI)
        return find_request(self.network, receipt).request_id

    def state(self, request_id: Bytes32) -> int:
        return int(self.network.contracts.view_at("AgentAccount", self.account, "spendingOf", request_id)[0])

    def judged(self, request_id: Bytes32) -> int:
        """The state once the answer was delivered and is final."""
        for _ in range(80):
            if (state := self.state(request_id)) in (APPROVED, REFUSED):
                return state
            time.sleep(0.25)
        raise AssertionError("no answer")


@pytest.fixture(scope="module", params=[pytest.param(False, id="ether", marks=pytest.mark.slow), pytest.param(True, id="token")])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("agent")
    judge = str(make_judge(folder))
    plan = Plan(operators=2, is_watched=False, is_witnessed=False, models=(judge,), settles_in_token=request.param)
    with running_network(folder / "network", plan) as network:
        owner, agent = (Address(local_account(role).address) for role in ("deployer", "requester"))
        terms = (network.model_ids[judge], pack_policy(Policy(quorum=2)), ETHER, 86_400, 3600)
        deployer = network.session("deployer")
        account = create_consumer(deployer.sender, "AgentAccount", network.contracts.deployment.coprocessor, owner, agent, *terms)
        deployer.sender.send(Call(account, b"", 50 * ETHER))
        if request.param:
            fill(network, account, 3 * FEE_WEI)
        yield Scene(network, account, request.param)


def fill(network: Network, account: Address, amount_wei: int) -> None:
    """Tokens of the requester into the account's balance at the Coprocessor."""
    contracts, session, token = network.contracts, network.session("requester"), asset_of(network.contracts)
    assert token is not None
    session.sender.send(contracts.call_at("IERC20Metadata", token, "approve", contracts.deployment.coprocessor, amount_wei))
    session.sender.send(contracts.call("Coprocessor", "depositTokenFor", account, amount_wei))


def test_real_nodes_release_what_the_model_approves_and_nothing_else(scene: Scene) -> None:
    contracts = scene.network.contracts
    with pytest.raises(CallReverted, match=OVER_LIMIT):
        scene.send("requester", "spend", SHOP, 5 * ETHER)
    small, large, called = scene.propose(5 * ETHER), scene.propose(40 * ETHER), scene.propose(2 * ETHER, DATA)
    with pytest.raises(CallReverted, match=NOT_APPROVED):
        scene.send("requester", "execute", large, SHOP, 40 * ETHER, b"", 1)
    assert [scene.judged(asked) for asked in (small, large, called)] == [APPROVED, REFUSED, APPROVED]
    with pytest.raises(CallReverted, match=NOT_APPROVED):
        scene.send("requester", "execute", large, SHOP, 40 * ETHER, b"", 1)
    with pytest.raises(CallReverted, match=OTHER_SPENDING):
        scene.send("requester", "execute", small, SHOP, 40 * ETHER, b"", 1)
    scene.send("requester", "execute", small, SHOP, 5 * ETHER, b"", 0)
    scene.send("requester", "execute", called, SHOP, 2 * ETHER, DATA, 2)
    assert [scene.state(asked) for asked in (small, large, called)] == [EXECUTED, REFUSED, EXECUTED]
    assert contracts.ether_of(SHOP) == 7 * ETHER
    assert contracts.ether_of(scene.account) == 43 * ETHER
    assert contracts.balance_of(scene.account) == 0
    paid = [contracts.balance_of(Address(local_account(f"operator-{index}").address)) for index in range(2)]
    assert sum(paid) == 3 * FEE_WEI
