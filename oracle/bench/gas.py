"""Gas of a delivery, as whole transactions on a chain with Osaka's rules: by number of signers, by batch size."""

from __future__ import annotations

import time
from collections.abc import Sequence

from eth_account import Account

from oracle.attest.sign import AccountSigner, sign_claim
from oracle.encoding import keccak256, pack_policy, pack_quorum_evidence
from oracle.errors import ChainError
from oracle.pipeline.deploy import DeploymentPlan, create_consumer, deploy, register_model, register_operator
from oracle.records import Address, Asked, CallbackStatus, Claim, Delivery, Evidence, ModelKind, Policy, TransactionReceipt
from oracle.relay.anvil import running_chain
from oracle.relay.contracts import Contracts, Endpoint
from oracle.relay.sender import Sender
from oracle.relay.transact import TRANSACTION_GAS_CAP, Call

MNEMONIC = "test test test test test test test test test test test junk"  # public: every local development chain funds it
SIGNERS = (1, 2, 3, 5, 8, 16)
BATCHES = (1, 2, 4, 8, 16)
INPUT, OUTPUT = bytes(2 * 64), bytes(2 * 10)  # an 8×8 digit and its ten scores
STAKE_WEI = 10**18

Row = tuple[str, ...]


class Bench:
    """A deployment with operators on seats 0 to n-1 and a consumer for every quorum."""

    def __init__(self, rpc: str, operators: int) -> None:
        Account.enable_unaudited_hdwallet_features()
        self._accounts = [AccountSigner(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{i}")) for i in range(operators + 1)]
        owner = Sender(Endpoint(rpc), self._accounts[0])
        deployment = deploy(owner, DeploymentPlan(self._accounts[0].address, (self._accounts[0].address,)))
        self.contracts = Contracts(rpc, deployment)
        self.sender = Sender(self.contracts, self._accounts[0])
        self.model_id = register_model(self.contracts, self.sender, ModelKind.OPAQUE, keccak256(b"bench"), b"", (), "bench:").model_id
        self._keys = [AccountSigner(Account.create()) for _ in range(operators)]
        for index, (operator, key) in enumerate(zip(self._accounts[1:], self._keys, strict=True)):
            register_operator(self.contracts, Sender(self.contracts, operator), key, index, STAKE_WEI)
        self._gates: dict[int, Address] = {}

    def delivery(self, k: int, *, with_callback: bool, fee_wei: int = 10**12) -> Delivery:
        """A fresh request under quorum k, with the evidence that answers it."""
        receipt = self.sender.send(self._ask(k, with_callback, fee_wei))
        asked = next(a for a in self.contracts.requested_in(receipt.block_hash) if a.transaction == receipt.transaction)
        return Delivery(asked, *self._claim(asked, k))

    def _claim(self, asked: Asked, k: int) -> tuple[Claim, bytes, tuple[Evidence, ...]]:
        claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(OUTPUT))
        signed = {i: sign_claim(claim, OUTPUT, self.contracts.domain, key).signature for i, key in enumerate(self._keys[:k])}
        return claim, OUTPUT, (pack_quorum_evidence(signed),)

    def _ask(self, k: int, with_callback: bool, fee_wei: int) -> Call:
        policy = pack_policy(Policy(quorum=k))
        if with_callback:
            if k not in self._gates:
                self._gates[k] = create_consumer(self.sender, "DigitGate", self.contracts.domain.coprocessor, self.model_id, policy)
            return self.contracts.call_at("DigitGate", self._gates[k], "ask", INPUT, 3600, value_wei=fee_wei)
        deadline = int(time.time()) + 3600
        arguments = (self.model_id, INPUT, policy, 0, deadline, self.sender.address)
        return self.contracts.call("Coprocessor", "request", *arguments, value_wei=fee_wei)

    def deliver(self, deliveries: Sequence[Delivery]) -> TransactionReceipt:
        """One transaction; raises ChainError unless every item was delivered and no callback failed."""
        # An estimate would be too low: a batch whose items ran out of gas succeeds as a transaction.
        gas = None if len(deliveries) == 1 else min(TRANSACTION_GAS_CAP, 100_000 + 300_000 * len(deliveries))
        receipt = self.sender.send(self.contracts.deliver_call(deliveries), gas)
        mined = self.contracts.receipt(receipt.transaction)
        if mined is None or len(mined.delivered) != len(deliveries):
            raise ChainError("a delivery of the benchmark failed")
        if any(d.callback is CallbackStatus.FAILED for d in mined.delivered):
            raise ChainError("a callback of the benchmark failed")
        return mined


def measure() -> tuple[list[Row], list[Row]]:
    """Rows (signers, plain, with callback), and rows (batch size, per item, ratio to one alone)."""
    with running_chain(options=("--accounts", str(max(SIGNERS) + 1))) as chain:
        bench = Bench(chain.rpc, max(SIGNERS))
        for k in (1, max(SIGNERS)):  # balances and slots that are zero the first time cost more once; not what is measured
            bench.deliver([bench.delivery(k, with_callback=False)])
        by_signers = [(str(k), *(f"{_gas(bench, k, callback):,}" for callback in (False, True))) for k in SIGNERS]
        alone = _gas(bench, 2, False)
        by_batch = [_batch_row(bench, size, alone) for size in BATCHES]
    return by_signers, by_batch


def _gas(bench: Bench, k: int, with_callback: bool) -> int:
    return bench.deliver([bench.delivery(k, with_callback=with_callback)]).gas_used


def _batch_row(bench: Bench, size: int, alone: int) -> Row:
    gas = bench.deliver([bench.delivery(2, with_callback=False) for _ in range(size)]).gas_used
    return str(size), f"{gas:,}", f"{gas // size:,}", f"{gas / size / alone:.2f}"
