"""Gas of whole transactions under Osaka's rules: deliveries by signers and batch size; proofs, challenges, slashing, registering."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from eth_account import Account

from oracle.attest.prove import Prover
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.demo.local_keys import find_seeds
from oracle.encoding import compute_claim_digest, keccak256, pack_policy, pack_quorum_evidence
from oracle.errors import ChainError
from oracle.pipeline.catalogue import describe_directory
from oracle.pipeline.deploy import DeploymentPlan, DisputeTerms, create_consumer, deploy, register_model, register_operator
from oracle.pipeline.inputs import Reals, encode_input
from oracle.pipeline.models import load_canonical
from oracle.pipeline.registering import register_directory
from oracle.pipeline.session import Session
from oracle.records import Address, Asked, CallbackStatus, Claim, Delivery, Evidence, ModelKind, Policy, TransactionReceipt
from oracle.relay.anvil import running_chain
from oracle.relay.contracts import Contracts
from oracle.relay.endpoint import Endpoint
from oracle.relay.sender import Sender
from oracle.relay.transact import TRANSACTION_GAS_CAP, Call

MNEMONIC = "test test test test test test test test test test test junk"  # public: every local development chain funds it
SIGNERS = (1, 2, 3, 5, 8, 16)
BATCHES = (1, 2, 4, 8, 16)
INPUT, OUTPUT = bytes(2 * 64), bytes(2 * 10)  # an 8×8 digit and its ten scores
STAKE_WEI = 10**18
RPC_SECONDS = 180.0
"""For anvil's first proof, before which it loads the ceremony."""

Row = tuple[str, ...]


class Bench:
    """A deployment with operators on seats 0 to n-1 and a consumer for every quorum."""

    def __init__(self, rpc: str, operators: int) -> None:
        Account.enable_unaudited_hdwallet_features()
        self._accounts = [AccountSigner(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{i}")) for i in range(operators + 1)]
        owner = Sender(Endpoint(rpc), self._accounts[0])
        plan = DeploymentPlan(self._accounts[0].address, (self._accounts[0].address,), disputes=DisputeTerms(audit_one_in=0))
        deployment = deploy(owner, plan)
        self.contracts = Contracts(rpc, deployment, RPC_SECONDS)
        self.sender = Sender(self.contracts, self._accounts[0])
        self.model_id = register_model(self.contracts, self.sender, ModelKind.OPAQUE, keccak256(b"bench"), b"", (), "bench:").model_id
        self._keys = [AccountSigner(Account.create()) for _ in range(operators)]
        for index, (operator, key) in enumerate(zip(self._accounts[1:], self._keys, strict=True)):
            register_operator(self.contracts, Sender(self.contracts, operator), key, index, STAKE_WEI)
        self._gates: dict[int, Address] = {}

    def account(self, index: int) -> AccountSigner:
        """The deployer's, 0, or that of operator `index - 1`."""
        return self._accounts[index]

    def key(self, index: int) -> AccountSigner:
        """The signing key of operator `index`."""
        return self._keys[index]

    def delivery(self, k: int, *, with_callback: bool, fee_wei: int = 10**12) -> Delivery:
        """A fresh request under quorum k, with the evidence that answers it."""
        receipt = self.sender.send(self._ask(k, with_callback, fee_wei))
        asked = next(a for a in self.contracts.requested_in(receipt.block_hash) if a.transaction == receipt.transaction)
        return Delivery(asked, *self._claim(asked, k))

    def _claim(self, asked: Asked, k: int) -> tuple[Claim, bytes, tuple[Evidence, ...]]:
        claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(OUTPUT))
        signed = {i: sign_claim(claim, OUTPUT, self.contracts.domain, key).signature for i, key in enumerate(self._keys[:k])}
        return claim, OUTPUT, (pack_quorum_evidence(signed),)

    def quorum_evidence(self, claim: Claim, k: int) -> Evidence:
        """Signatures of the first k operators; only the claim's digests matter."""
        return self._signed_by(claim, range(k))[0]

    def quorum_evidence_of_last(self, claim: Claim, k: int) -> tuple[Evidence, list[AccountSigner]]:
        """Signatures of the last k operators who still have a stake."""
        active = [o.index for o in self.contracts.operators() if o.is_active]
        return self._signed_by(claim, active[-k:])

    def _signed_by(self, claim: Claim, indices: Sequence[int]) -> tuple[Evidence, list[AccountSigner]]:
        digest = compute_claim_digest(claim, self.contracts.domain)
        keys = [self._keys[i] for i in indices]
        return pack_quorum_evidence({i: self._keys[i].sign_digest(digest) for i in indices}), keys

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


class ProofBench:
    """The seeds' digit model, proven: every figure is a transaction that the contracts accepted."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        path = find_seeds() / "models/digits-mlp/canonical"
        signer = AccountSigner(Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/0"))
        self._session = Session(bench.contracts, signer, bench.sender)
        self.registration = register_directory(self._session, path, "bench:")
        self._model_id = self.registration.model_id
        self._prover = Prover([load_canonical(path, self._model_id)])
        with np.load(find_seeds() / "data/digits-mlp.npz", allow_pickle=False) as data:
            pixels = tuple(map(float, data["x_held_back"][1]))
        self._input = encode_input(describe_directory(path), Reals(pixels))
        self._output = self._prover.run(self._model_id, self._input)
        self._paid = bench.sender.address

    def _ask(self, policy: Policy) -> Asked:
        arguments = (self._model_id, self._input, pack_policy(policy), 0, int(time.time()) + 3600, self._paid)
        receipt = self._bench.sender.send(self._bench.contracts.call("Coprocessor", "request", *arguments, value_wei=10**12))
        return next(a for a in self._bench.contracts.requested_in(receipt.block_hash) if a.transaction == receipt.transaction)

    def _claim(self, asked: Asked, output: bytes) -> Claim:
        return Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(output))

    def _prove(self, asked: Asked) -> Evidence:
        return self._prover.prove(self._claim(asked, self._output), self._input, self._paid)

    def delivery_gas(self, k: int) -> int:
        """A proof, beside k signatures."""
        asked = self._ask(Policy(quorum=k, proof=True))
        evidence = [self._bench.quorum_evidence(self._claim(asked, self._output), k)] if k else []
        evidence.append(self._prove(asked))
        return self._bench.deliver([Delivery(asked, self._claim(asked, self._output), self._output, tuple(evidence))]).gas_used

    def fraud_gas(self, k: int) -> tuple[int, int]:
        """(challenge, slashing) of a lie that k operators signed: the last k of those with a stake."""
        asked, contracts = self._ask(Policy(quorum=k, window_seconds=600)), self._bench.contracts
        lie = bytes([self._output[0] ^ 1]) + self._output[1:]
        claim = self._claim(asked, lie)
        evidence, keys = self._bench.quorum_evidence_of_last(claim, k)
        self._bench.deliver([Delivery(asked, claim, lie, (evidence,))])
        proof = self._prove(asked)
        challenged = self._bench.sender.send(contracts.challenge_call(asked, self._output, proof))
        signed = [sign_claim(claim, lie, contracts.domain, key) for key in keys]
        slashed = self._bench.sender.send(contracts.prove_wrong_call(signed, self._input, self._output, proof))
        return challenged.gas_used, slashed.gas_used


def measure_proofs() -> list[Row]:
    """Rows (what, gas)."""
    with running_chain(options=("--accounts", str(max(SIGNERS) + 1))) as chain:
        bench = Bench(chain.rpc, max(SIGNERS))
        proofs = ProofBench(bench)
        proofs.delivery_gas(0)  # the first credit of a balance costs more
        rows = [("register digits-mlp, with its commitments", proofs.registration.gas_used)]
        rows += [(f"deliver a proof{f' and {k} signatures' if k else ''}", proofs.delivery_gas(k)) for k in (0, 2)]
        one, three = proofs.fraud_gas(1), proofs.fraud_gas(3)
        rows += [("challenge a pending answer", one[0]), ("slash 1 signer", one[1]), ("slash 3 signers", three[1])]
    return [(what, f"{gas:,}") for what, gas in rows]


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
