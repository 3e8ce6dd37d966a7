"""Putting the contracts on a chain, and registering models and operators: the steps of contracts/README.md, in their order.

Registering is safe to start again: what is registered already is found and returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from oracle.attest.enclave.intel import INTEL_ROOT, relaxation_bits
from oracle.attest.enclave.report import Relaxation
from oracle.encoding import compute_created_address, compute_model_id, compute_part_digest, compute_possession_digest, keccak256, to_hex
from oracle.errors import ChainError, ConfigRejected, ModelRejected, RequestRejected
from oracle.limits import MAX_WINDOW_SECONDS, ZERO_ADDRESS
from oracle.records import Address, Bytes32, ModelKind, Operator
from oracle.relay.contracts import Contracts
from oracle.relay.deployed import creation_call
from oracle.relay.deployment import Deployment
from oracle.relay.failures import CallReverted
from oracle.relay.paying import plan_payment
from oracle.relay.sender import Sender
from oracle.seams import Signer

NO_CIRCUIT = Bytes32(bytes(32))
DAY_SECONDS = 86_400
CEREMONY_CHUNK_BITS = 12
"""Commitments are to chunks of 4096 entries: the powers of the Ethereum KZG ceremony."""
CONTRACTS_BEFORE_THE_SLASHER = 9
"""OperatorRegistry, which is told where its slasher will be, up to the one before FraudProofs."""

HOUR_SECONDS = 3_600

Progress = Callable[[str, Address], None]


@dataclass(frozen=True, slots=True)
class DisputeTerms:
    """What a dispute takes, how long its parts last, and how often an audit is forced (contracts/src/interfaces/IDisputes.sol).

    `committee_size` is odd, 3 to 31; `audit_one_in` is 0 for no audits. The seconds are none of them 0.
    """

    bond_wei: int = 10**17
    committee_size: int = 5
    draw_seconds: int = 1 * HOUR_SECONDS
    commit_seconds: int = 2 * HOUR_SECONDS
    reveal_seconds: int = 1 * HOUR_SECONDS
    audit_one_in: int = 50


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """What is decided once, at deployment. `guardian` can stop a verifier at once; `proposers` act through the timelock.

    The unbonding outlasts the longest window, a dispute opened in its last second, and a day to act on the ruling: Disputes
    refuses to be created otherwise. The timelock outlasts the unbonding, so that operators can leave before a change of the
    owner's acts on their stake.
    """

    guardian: Address
    proposers: tuple[Address, ...]
    timelock_seconds: int = 10 * DAY_SECONDS
    unbonding_seconds: int = 9 * DAY_SECONDS  # above 7 days of window, 4 hours of dispute, and 1 day
    minimum_stake_wei: int = 10**18
    admitter: Address | None = None  # None: anyone may register as an operator
    asset: Address | None = None  # the token fees and stakes are paid in; None: the chain's own coin
    enclave_quorum: int = 2  # how many operators, besides its own, attest to an enclave's key
    disputes: DisputeTerms = DisputeTerms()
    dcap_root: bytes | None = INTEL_ROOT  # whose quotes the chain verifies itself; None where it has no P256VERIFY (EIP-7951)
    dcap_relaxations: frozenset[Relaxation] = frozenset()  # for ever; those of `oracle.attest.enclave.intel.RELAXATION_BITS`


def deploy(sender: Sender, plan: DeploymentPlan, progress: Progress = lambda _name, _address: None) -> Deployment:
    """Creates every contract and checks that the result is one deployment. Raises ChainError, CallReverted or ConfigRejected."""
    _check_plan(sender, plan)
    block = sender.endpoint.block("latest")
    if block is None:
        raise ChainError("the chain has no latest block")

    def create(name: str, *arguments: Any) -> Address:
        receipt = sender.send(creation_call(name, *arguments))
        address = sender.endpoint.created_contract(receipt.transaction)
        progress(name, address)
        return address

    proposers = list(plan.proposers)
    timelock = create("TimelockController", plan.timelock_seconds, proposers, proposers, ZERO_ADDRESS)
    models = create("ModelRegistry")
    dcap = _create_dcap(create, plan)
    admitter, asset = plan.admitter or ZERO_ADDRESS, plan.asset or ZERO_ADDRESS
    slasher_nonce = sender.endpoint.nonce(sender.address, "pending") + CONTRACTS_BEFORE_THE_SLASHER
    slasher = compute_created_address(sender.address, slasher_nonce)
    operators = create("OperatorRegistry", timelock, plan.minimum_stake_wei, plan.unbonding_seconds, admitter, slasher, asset)
    quorum, proof = create("QuorumVerifier", operators), create("ProofVerifier", models, CEREMONY_CHUNK_BITS, b"")
    enclaves = create("EnclaveRegistry", operators, quorum, plan.enclave_quorum, dcap.get("dcap_verifier", ZERO_ADDRESS))
    enclave = create("EnclaveVerifier", enclaves)
    bls_keys = create("BlsKeys", operators)
    bls_quorum = create("BlsQuorumVerifier", bls_keys)
    router = create("VerifierRouter", timelock, plan.guardian, [quorum, proof, enclave, bls_quorum])
    coprocessor = create("Coprocessor", models, router, compute_created_address(sender.address, slasher_nonce + 1), asset)
    frauds = create("FraudProofs", coprocessor, router, operators)  # refuses to be anywhere but at `slasher`
    disputes = create("Disputes", coprocessor, operators, astuple(plan.disputes))  # refuses likewise
    anchor, quotes = create("AuditAnchor"), create("FeeQuotes", operators)
    return Deployment(
        chain_id=sender.endpoint.chain_id(),
        block_number=block.number + 1,
        coprocessor=coprocessor,
        model_registry=models,
        operator_registry=operators,
        verifier_router=router,
        quorum_verifier=quorum,
        proof_verifier=proof,
        fraud_proofs=frauds,
        audit_anchor=anchor,
        timelock=timelock,
        enclave_registry=enclaves,
        enclave_verifier=enclave,
        bls_keys=bls_keys,
        bls_quorum_verifier=bls_quorum,
        disputes=disputes,
        fee_quotes=quotes,
        **dcap,
    )


def _check_plan(sender: Sender, plan: DeploymentPlan) -> None:
    """What constructors in the middle would refuse is refused before the first is paid for: the unbonding, by the rule of Disputes, and
    what OperatorRegistry takes, an asset that is no token above all."""
    terms = plan.disputes
    longest = MAX_WINDOW_SECONDS + terms.draw_seconds + terms.commit_seconds + terms.reveal_seconds + DAY_SECONDS
    if plan.unbonding_seconds <= longest:
        raise ConfigRejected("unbonding", f"more than {longest} seconds: window, dispute and a day", plan.unbonding_seconds)
    me, asset = sender.address, plan.asset or ZERO_ADDRESS
    sender.endpoint.estimate_gas(
        creation_call("OperatorRegistry", me, plan.minimum_stake_wei, plan.unbonding_seconds, plan.admitter or ZERO_ADDRESS, me, asset), me
    )


def _create_dcap(create: Callable[..., Address], plan: DeploymentPlan) -> dict[str, Address]:
    """What verifies Intel's quotes on chain: fields of the deployment, none where the plan has no root."""
    if plan.dcap_root is None:
        return {}
    certificates = create("DcapCertificates", plan.dcap_root)
    collateral = create("DcapCollateral", certificates)
    verifier = create("DcapVerifier", collateral, relaxation_bits(plan.dcap_relaxations))
    return {"dcap_certificates": certificates, "dcap_collateral": collateral, "dcap_verifier": verifier}


def create_consumer(sender: Sender, name: str, *arguments: Any) -> Address:
    """Creates any packaged contract, such as the example consumer DigitGate, and returns its address."""
    return sender.endpoint.created_contract(sender.send(creation_call(name, *arguments)).transaction)


@dataclass(frozen=True, slots=True)
class Registration:
    """What registering a model took. `stored` counts the parts of its commitments that were not there before.

    `is_prepared`: the proof verifier keeps what it needs of the model, which makes every proof cheaper (docs/costs.md).
    """

    model_id: Bytes32
    parts: int
    stored: int
    gas_used: int
    is_prepared: bool

    def to_json(self) -> dict[str, str | int]:
        return {
            "model_id": to_hex(self.model_id),
            "parts": self.parts,
            "parts_stored": self.stored,
            "gas_used": self.gas_used,
            "prepared": self.is_prepared,
        }


OnPart = Callable[[int, int], None]
"""(done, all) parts."""


def register_model(
    contracts: Contracts,
    sender: Sender,
    kind: ModelKind,
    manifest_digest: Bytes32,
    circuit: bytes,
    parts: Sequence[bytes],
    data_uri: str,
    on_part: OnPart = lambda _done, _all: None,
) -> Registration:
    """Registers a model, unless it is registered: first the parts of its commitments that are not stored, one a transaction.

    Started again after a crash it goes on where it was. Raises ModelRejected where kind, circuit and parts do not fit.
    """
    if (kind is ModelKind.CANONICAL) != bool(circuit) or (kind is ModelKind.CANONICAL) != bool(parts):
        raise ModelRejected(
            "circuit and commitments", "bytes for a canonical model, none for an opaque one", f"{len(circuit)} bytes and {len(parts)} parts"
        )
    digests = [compute_part_digest(part) for part in parts]
    model_id = compute_model_id(kind, manifest_digest, keccak256(circuit) if circuit else NO_CIRCUIT, digests)
    gas_used = stored = 0
    if contracts.model(model_id) is None:
        for number, part in enumerate(parts):
            on_part(number, len(parts))
            if not contracts.is_part_stored(part):
                gas_used += sender.send(contracts.call("ModelRegistry", "storeParameters", part)).gas_used
                stored += 1
        on_part(len(parts), len(parts))
        call = contracts.call("ModelRegistry", "register", int(kind), manifest_digest, circuit, digests, data_uri)
        gas_used += sender.send(call).gas_used
    registered = contracts.model(model_id)
    if registered is None or registered.manifest_digest != manifest_digest:
        raise ChainError("a model that was just registered is not there")
    if kind is ModelKind.CANONICAL:
        gas_used += _prepare(contracts, sender, model_id)
    is_prepared = kind is ModelKind.CANONICAL and contracts.is_prepared(model_id)
    return Registration(model_id, len(parts), stored, gas_used, is_prepared)


def _prepare(contracts: Contracts, sender: Sender, model_id: Bytes32) -> int:
    """Gas used; 0 where it was done before, or the verifier will not. Of a large model, every call keeps two more pieces."""
    gas_used = 0
    try:
        while not contracts.is_prepared(model_id):
            gas_used += sender.send(contracts.call("ProofVerifier", "prepare", model_id)).gas_used
    except CallReverted:
        return gas_used
    return gas_used


def register_operator(contracts: Contracts, sender: Sender, signer: Signer, index: int, stake_wei: int) -> Operator:
    """Seats the sender's account on `index` with `signer` as its signing key, unless it sits there already.

    Raises RequestRejected where the account sits elsewhere or with another key, CallReverted where the registry refuses.
    """
    seat = next((o for o in contracts.operators() if o.operator == sender.address), None)
    if seat is None:
        registry = contracts.deployment.operator_registry
        digest = compute_possession_digest(sender.address, signer.address, contracts.domain.chain_id, registry)
        possession = signer.sign_digest(digest)
        terms = (index, signer.address, possession)
        plan_payment(contracts, sender.address, "OperatorRegistry", "register", *terms, amount_wei=stake_wei).send(sender)
        seat = next((o for o in contracts.operators() if o.operator == sender.address), None)
    if seat is None:
        raise ChainError("an operator who was just registered is not there")
    if (seat.index, seat.signer) != (index, signer.address):
        raise RequestRejected("operator's seat", f"{index} with {signer.address}", f"{seat.index} with {seat.signer}")
    return seat
