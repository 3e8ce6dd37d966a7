"""A real anvil with the real contracts on it. `world` is deployed once a session; each test gets it back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from oracle.attest.sign import AccountSigner
from oracle.encoding import compute_request_id, keccak256, pack_policy
from oracle.pipeline.deploy import DeploymentPlan, DisputeTerms, create_consumer, deploy, register_model, register_operator
from oracle.records import Address, Asked, Bytes32, ModelKind, Policy, Request, TransactionReceipt
from oracle.relay.anvil import EmbeddedChain, start_chain
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import Deployment
from oracle.relay.endpoint import Endpoint
from oracle.relay.sender import Sender
from oracle.relay.transact import Call

MNEMONIC = "test test test test test test test test test test test junk"
OPERATORS = 5
STAKE_WEI = 10**18
FEE_WEI = 10**15
DIGITS_MODEL = b"a canonical model's circuit"
DIGITS_PARTS = (bytes(24_480), b"points" * 32)


def account(index: int) -> LocalAccount:
    """One of anvil's funded accounts: 0 deploys and owns models, 1–5 are operators, 6 asks, 7 relays, 8 anchors, 9 is a stranger."""
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")


@dataclass
class World:
    """A deployment with five operators, one canonical model, and a DigitGate under quorum 3."""

    rpc: str
    contracts: Contracts
    deployment: Deployment
    model_id: Bytes32
    gate: Address
    signers: list[AccountSigner]
    senders: dict[int, Sender] = field(default_factory=dict)
    known: dict[Bytes32, Asked] = field(default_factory=dict)  # everything asked on chain, for the nodes' twins
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    def sender(self, index: int) -> Sender:
        return self.senders.setdefault(index, Sender(self.contracts, AccountSigner(account(index))))

    def rpc_call(self, method: str, *params: Any) -> Any:
        """anvil's own methods: mining, reorganisations, time."""
        answer = self.http.post(self.rpc, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).json()
        assert "error" not in answer, answer
        return answer["result"]

    def policy(self, quorum: int = 3, window_seconds: int = 0) -> Bytes32:
        return pack_policy(Policy(quorum=quorum, window_seconds=window_seconds))

    def now(self) -> int:
        return self.contracts.pending_time()

    def ask_gate(self, image: bytes = bytes(128), patience_seconds: int = 600) -> Asked:
        """A request of the consumer contract; the fee is FEE_WEI."""
        call = self.contracts.call_at("DigitGate", self.gate, "ask", image, patience_seconds, value_wei=FEE_WEI)
        return self.asked_in(self.sender(6).send(call))

    def ask(self, data: bytes = bytes(128), quorum: int = 3, patience_seconds: int = 600, window_seconds: int = 0) -> Asked:
        """A request of an account without code: no callback."""
        policy, deadline = self.policy(quorum, window_seconds), self.now() + patience_seconds
        arguments = (self.model_id, data, policy, 0, deadline, account(6).address)
        return self.asked_in(self.sender(6).send(self.contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI)))

    def asked_in(self, receipt: TransactionReceipt) -> Asked:
        asked = self.contracts.requested_in(receipt.block_hash)[-1]
        self.known[asked.request_id] = asked
        return asked

    def signed_request(self, nonce: int, data: bytes = bytes(128), quorum: int = 3, patience_seconds: int = 600) -> Asked:
        """A request signed off chain by account 6, who has deposited enough for it."""
        requester = Address(account(6).address)
        request = Request(
            requester=requester,
            refund_to=requester,
            model_id=self.model_id,
            input_digest=keccak256(data),
            policy=self.policy(quorum),
            fee_wei=FEE_WEI,
            callback_gas=0,
            deadline=self.now() + patience_seconds,
            nonce=(1 << 128) + nonce,
        )
        request_id = compute_request_id(request, self.deployment.domain)
        return Asked(request_id, request, data, AccountSigner(account(6)).sign_digest(request_id))


def deploy_world(rpc: str, disputes: DisputeTerms = DisputeTerms()) -> World:  # noqa: B008, frozen
    """Deploys everything on a fresh chain with the fixed accounts above."""
    deployer = Sender(Endpoint(rpc), AccountSigner(account(0)))
    owner = Address(account(0).address)
    deployment = deploy(deployer, DeploymentPlan(guardian=owner, proposers=(owner,), disputes=disputes))
    contracts = Contracts(rpc, deployment)
    contracts.check_deployment()
    model = (ModelKind.CANONICAL, keccak256(b"manifest"), DIGITS_MODEL, DIGITS_PARTS)
    model_id = register_model(contracts, deployer, *model, "ipfs://digits").model_id
    signers = [AccountSigner(Account.from_key(keccak256(b"operator key %d" % i))) for i in range(OPERATORS)]
    for index, signer in enumerate(signers):
        register_operator(contracts, Sender(contracts, AccountSigner(account(index + 1))), signer, index, STAKE_WEI)
    gate = create_consumer(deployer, "DigitGate", deployment.coprocessor, model_id, pack_policy(Policy(quorum=3)))
    return World(rpc, contracts, deployment, model_id, gate, signers)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedChain]:
    """Set back before every test to its first blocks, whose states are old by then: it keeps all of them."""
    chain = start_chain(states=None, options=("--cache-path", str(tmp_path_factory.mktemp("states"))))
    yield chain
    chain.stop()


@pytest.fixture(scope="session")
def deployed(chain: EmbeddedChain) -> World:
    return deploy_world(chain.rpc)


@pytest.fixture
def world(deployed: World) -> Iterator[World]:
    """The deployed world; what a test does to the chain is undone after it."""
    snapshot = deployed.rpc_call("evm_snapshot")
    yield deployed
    deployed.rpc_call("evm_setAutomine", True)
    assert deployed.rpc_call("evm_revert", snapshot)


def plain_call(to: str, value_wei: int = 0) -> Call:
    return Call(Address(to), b"", value_wei)
