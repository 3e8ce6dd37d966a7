"""Gas of one delivery under each kind of policy, and of making it final: the seeds' digit model, its real proof, a registered key of an
enclave (simulated: the contract's work is the same), no callback. Whole transactions, with every balance and slot touched before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from eth_account import Account

from oracle.attest.prove import Prover
from oracle.attest.sign import AccountSigner
from oracle.bench.gas import Bench
from oracle.demo.enclaves import register_simulated
from oracle.demo.local_keys import find_seeds
from oracle.encoding import ENCLAVE_SELECTOR, compute_claim_digest, keccak256, pack_policy
from oracle.errors import ChainError
from oracle.pipeline.catalogue import describe_directory
from oracle.pipeline.inputs import Reals, encode_input
from oracle.pipeline.models import load_canonical
from oracle.pipeline.registering import register_directory
from oracle.pipeline.session import Session
from oracle.records import Asked, Claim, Delivery, Evidence, Policy, RequestStatus
from oracle.relay.anvil import running_chain
from oracle.relay.sender import Sender

OPERATORS = 5
WINDOW_SECONDS, PATIENCE_SECONDS = 600, 3600
FEE_WEI = 10**12
POLICIES = {
    "quorum 1": Policy(1),
    "quorum 2": Policy(2),
    "quorum 3": Policy(3),
    "quorum 1, window": Policy(1, window_seconds=WINDOW_SECONDS),
    "quorum 2, window": Policy(2, window_seconds=WINDOW_SECONDS),
    "quorum 1, window, disputable": Policy(1, window_seconds=WINDOW_SECONDS, disputable=True),
    "quorum 1 and enclave": Policy(1, enclave=True, simulated=True),
    "quorum 2 and enclave": Policy(2, enclave=True, simulated=True),
    "proof": Policy(0, proof=True),
    "proof and enclave": Policy(0, proof=True, enclave=True, simulated=True),
    "quorum 2 and proof": Policy(2, proof=True),
    "quorum 2, proof, enclave, window, disputable": Policy(2, True, True, WINDOW_SECONDS, True, True),
}

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gas:
    """`finalize`: None where the delivery itself is final."""

    deliver: int
    finalize: int | None


class PolicyBench:
    """A deployment with operators, an enclave's key of the first of them, and the digit model."""

    def __init__(self, rpc: str) -> None:
        self._bench = bench = Bench(rpc, OPERATORS)
        path = find_seeds() / "models/digits-mlp/canonical"
        self._model_id = register_directory(Session(bench.contracts, bench.account(0), bench.sender), path, "bench:").model_id
        self._prover = Prover([load_canonical(path, self._model_id)])
        with np.load(find_seeds() / "data/digits-mlp.npz", allow_pickle=False) as data:
            self._input = encode_input(describe_directory(path), Reals(tuple(map(float, data["x_held_back"][1]))))
        self._output = self._prover.run(self._model_id, self._input)
        self._enclave = AccountSigner(Account.create())
        operator = Session(bench.contracts, bench.account(1), Sender(bench.contracts, bench.account(1)))
        register_simulated(operator, self._enclave, find_seeds() / "models/digits-cnn/opaque", [bench.key(1), bench.key(2)])

    def measure(self, policy: Policy) -> Gas:
        asked, contracts = self._ask(policy), self._bench.contracts
        claim = Claim(asked.request_id, self._model_id, asked.request.input_digest, keccak256(self._output))
        mined = self._bench.deliver([Delivery(asked, claim, self._output, self._evidence(claim, policy))])
        if not policy.window_seconds:
            return Gas(mined.gas_used, None)
        for method, parameters in (("evm_increaseTime", [WINDOW_SECONDS]), ("evm_mine", [])):
            contracts.endpoints.request(method, parameters)
        final = self._bench.sender.send(contracts.finalize_call(asked.request, self._output, mined.delivered[0].beneficiaries))
        if contracts.status_of(asked.request_id).status is not RequestStatus.FINAL:
            raise ChainError("a finalization of the benchmark failed")
        return Gas(mined.gas_used, final.gas_used)

    def _ask(self, policy: Policy) -> Asked:
        contracts, sender = self._bench.contracts, self._bench.sender
        deadline = contracts.pending_time() + PATIENCE_SECONDS
        arguments = (self._model_id, self._input, pack_policy(policy), 0, deadline, sender.address)
        receipt = sender.send(contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI))
        return next(a for a in contracts.requested_in(receipt.block_hash) if a.transaction == receipt.transaction)

    def _evidence(self, claim: Claim, policy: Policy) -> tuple[Evidence, ...]:
        """In the order in which contracts take it: quorum, proof, enclave."""
        evidence = [self._bench.quorum_evidence(claim, policy.quorum)] if policy.quorum else []
        if policy.proof:
            evidence.append(self._prover.prove(claim, self._input, self._bench.sender.address))
        if policy.enclave:
            digest = compute_claim_digest(claim, self._bench.contracts.domain)
            evidence.append(Evidence(ENCLAVE_SELECTOR, self._enclave.sign_digest(digest)))
        return tuple(evidence)


def measure_policies() -> list[Row]:
    """Rows (policy, gas of delivering, gas of making final, both)."""
    with running_chain(options=("--accounts", str(OPERATORS + 1))) as chain:
        bench = PolicyBench(chain.rpc)
        # The first credit of a balance costs more once; not what is measured.
        bench.measure(Policy(3))
        bench.measure(replace(POLICIES["proof and enclave"], window_seconds=WINDOW_SECONDS))
        return [_row(name, bench.measure(policy)) for name, policy in POLICIES.items()]


def _row(name: str, gas: Gas) -> Row:
    final = gas.finalize or 0
    return name, f"{gas.deliver:,}", f"{final:,}" if final else "", f"{gas.deliver + final:,}"
