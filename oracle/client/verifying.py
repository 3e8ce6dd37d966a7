"""A receipt without its teller: what the chain decided about a request, checked with nothing but an endpoint and a deployment of one's own.

What is checked, in this order: the contract's state says FINAL; the delivery's event is in a canonical block deep enough; the calldata of
its transaction holds a request that hashes to this id, and the output that the event tells; each demanded piece of evidence holds (the
signatures against the registry as it was in that block, the proof with the model's files, anything else by the deployment's own verifier in
the state of that block). Then whatever an API said is held against that, field by field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oracle.attest.quorum import verify_quorum
from oracle.encoding import (
    PROOF_SELECTOR,
    QUORUM_ECDSA_SELECTOR,
    compute_claim_digest,
    compute_request_id,
    keccak256,
    to_hex,
    unpack_policy,
)
from oracle.errors import EvidenceRejected, ModelUnknown
from oracle.pipeline.settled import Settled, read_settled
from oracle.records import (
    Address,
    Bytes32,
    CallbackStatus,
    Claim,
    Delivery,
    Evidence,
    Operator,
    Policy,
    RequestStatus,
)
from oracle.seams import ChainReader, find_carried

CheckProof = Callable[[Claim, bytes, bytes, Evidence], Address]
"""(claim, input, output, evidence) → whom the proof names. Raises EvidenceRejected, or ModelUnknown where the model is not at hand."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a deployment's verifier is asked: whether a piece of evidence holds, in the state of the delivery's block."""

    kind: int  # libraries/Types.sol, EvidenceKind
    claim: Claim
    policy: Bytes32
    input: bytes
    output: bytes
    evidence: Evidence
    block_number: int


AskVerifier = Callable[[Question], tuple[Address, ...]]
"""Who is paid for the evidence. Raises EvidenceRejected, or LookupError where that verifier is not there any more."""

QUORUM, PROOF, ENCLAVE, CHALLENGE = "quorum", "proof", "enclave", "challenge"
KINDS = {QUORUM: 1, PROOF: 2, ENCLAVE: 3}


@dataclass(frozen=True, slots=True)
class Verified:
    """A final answer. `checked` names the evidence verified here; `unchecked` what was left to the contract, and why.

    `output` is what counts: after a challenge the proven one. `signers` are of the delivered answer.
    """

    request_id: Bytes32
    model_id: Bytes32
    requester: Address
    policy: Policy | None  # None where the delivery went through another contract, so that nothing shows the request
    output: bytes
    output_digest: Bytes32
    claim_digest: Bytes32 | None
    transaction: Bytes32
    block_number: int
    block_hash: Bytes32
    callback: CallbackStatus
    signers: tuple[Operator, ...]
    prover: Address | None
    is_replaced: bool
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every demanded piece of evidence was verified here, and nothing left to the contract's word."""
        return not self.unchecked


def verify_on_chain(
    chain: ChainReader, request_id: Bytes32, ask_verifier: AskVerifier, check_proof: CheckProof | None = None, confirmations: int = 0
) -> Verified:
    """The final answer to a request, from the chain alone. `check_proof`: with models at hand, before the deployment is asked.

    Raises RequestUnknown where nothing was delivered, EvidenceRejected where it is not final (or not as deep as asked) or the evidence
    does not hold, ChainError where the endpoint fails or contradicts itself.
    """
    settled = read_settled(chain, request_id)
    _require_final(settled)
    _require_canonical(chain, settled, confirmations)
    carried = find_carried(chain, settled.receipt, request_id)
    delivered, status = settled.delivered, settled.status
    checks = _Checks() if carried is None else _check_carried(chain, settled, carried, _Judges(ask_verifier, check_proof))
    if settled.replaced is not None:
        checks.unchecked.append(f"{CHALLENGE}: what replaced the answer, a proof or a committee's vote, was judged by the contract")
    if carried is None:
        checks.unchecked.append(
            "evidence: delivered through another contract, whose calldata does not show it; the Coprocessor accepted it"
        )
    return Verified(
        request_id=request_id,
        model_id=delivered.model_id,
        requester=delivered.requester,
        policy=None if carried is None else unpack_policy(carried.asked.request.policy),
        output=settled.output,
        output_digest=status.output_digest,
        claim_digest=None if carried is None else compute_claim_digest(carried.claim, chain.domain),
        transaction=settled.receipt.transaction,
        block_number=settled.receipt.block_number,
        block_hash=settled.receipt.block_hash,
        callback=status.callback,
        signers=checks.signers,
        prover=checks.prover,
        is_replaced=settled.replaced is not None,
        checked=tuple(checks.checked),
        unchecked=tuple(checks.unchecked),
    )


@dataclass(frozen=True, slots=True)
class _Judges:
    ask_verifier: AskVerifier
    check_proof: CheckProof | None


class _Checks:
    """What was checked so far."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.unchecked: list[str] = []
        self.signers: tuple[Operator, ...] = ()
        self.prover: Address | None = None


def _require_final(settled: Settled) -> None:
    status = settled.status
    if status.status is not RequestStatus.FINAL:
        until = f", pending until {status.available_at}" if status.status is RequestStatus.PENDING else ""
        raise EvidenceRejected("state of the request", "FINAL", f"{status.status.name}{until}")
    if keccak256(settled.output) != status.output_digest:
        raise EvidenceRejected("output digest in the contract", to_hex(keccak256(settled.output)), to_hex(status.output_digest))


def _require_canonical(chain: ChainReader, settled: Settled, confirmations: int) -> None:
    """The blocks of the delivery, and of the challenge where there was one, are the chain's, and deep enough."""
    head = chain.block("latest")
    for receipt in filter(None, (settled.receipt, settled.replacement)):
        block = chain.block(receipt.block_number)
        if block is None or block.hash != receipt.block_hash or not receipt.succeeded:
            raise EvidenceRejected("block of the delivery", to_hex(receipt.block_hash), "another, or none: reorganised away")
        depth = 0 if head is None else head.number - receipt.block_number
        if depth < confirmations:
            raise EvidenceRejected("delivery", f"one {confirmations} blocks deep", f"one {depth} blocks deep")


def _check_carried(chain: ChainReader, settled: Settled, carried: Delivery, judges: _Judges) -> _Checks:
    request, delivered = carried.asked.request, settled.delivered
    for what, expected, got in (
        ("request id", settled.delivered.request_id, compute_request_id(request, chain.domain)),
        ("output digest of the delivery", delivered.output_digest, keccak256(carried.output)),
        ("model of the delivery", delivered.model_id, request.model_id),
    ):
        if expected != got:
            raise EvidenceRejected(what, to_hex(expected), to_hex(got))
    if request.requester != delivered.requester:
        raise EvidenceRejected("requester of the delivery", delivered.requester, request.requester)
    policy = unpack_policy(request.policy)
    demanded = bool(policy.quorum) + policy.proof + policy.enclave
    if len(carried.evidence) != demanded:
        raise EvidenceRejected("pieces of evidence", demanded, len(carried.evidence))
    claim = Claim(delivered.request_id, request.model_id, request.input_digest, delivered.output_digest)
    return _check_evidence(chain, settled.receipt.block_number, policy, claim, carried, judges)


def _check_evidence(chain: ChainReader, block_number: int, policy: Policy, claim: Claim, carried: Delivery, judges: _Judges) -> _Checks:
    """In the order of the evidence array: quorum, proof, enclave."""
    checks, pieces = _Checks(), iter(carried.evidence)

    def ask(kind: str, evidence: Evidence) -> tuple[Address, ...]:
        request = carried.asked.request
        question = Question(KINDS[kind], claim, request.policy, carried.asked.input, carried.output, evidence, block_number)
        try:
            named = judges.ask_verifier(question)
        except LookupError as error:
            checks.unchecked.append(f"{kind}: {error}")
            return ()
        checks.checked.append(kind)
        return named

    if policy.quorum:
        evidence = next(pieces)
        if evidence.selector == QUORUM_ECDSA_SELECTOR:
            operators = _operators_around(chain, block_number)
            checks.signers = verify_quorum(evidence, compute_claim_digest(claim, chain.domain), operators, policy.quorum)
            checks.checked.append(QUORUM)
        else:
            checks.signers = _seated(_operators_around(chain, block_number), ask(QUORUM, evidence))
    if policy.proof:
        checks.prover = _check_proof(claim, carried, next(pieces), judges, ask, checks)
    if policy.enclave:
        ask(ENCLAVE, next(pieces))
    return checks


def _seated(operators: Sequence[Operator], named: Sequence[Address]) -> tuple[Operator, ...]:
    """The seats of the operators that a verifier names."""
    by_operator = {o.operator: o for o in reversed(operators)}
    return tuple(by_operator[name] for name in named if name in by_operator)


def _operators_around(chain: ChainReader, block_number: int) -> list[Operator]:
    """Operators in the delivery's block and just before it: one who leaves or changes keys later in the same block counted as before."""
    return chain.operators(block_number) + (chain.operators(block_number - 1) if block_number else [])


def _check_proof(
    claim: Claim,
    carried: Delivery,
    evidence: Evidence,
    judges: _Judges,
    ask: Callable[[str, Evidence], tuple[Address, ...]],
    checks: _Checks,
) -> Address | None:
    """Whom the proof names: by the model's files where they are at hand, else by the deployment's verifier."""
    data = carried.asked.input
    if keccak256(data) != claim.input_digest:
        raise EvidenceRejected("input of the delivery", to_hex(claim.input_digest), to_hex(keccak256(data)))
    if judges.check_proof is not None and evidence.selector == PROOF_SELECTOR:
        try:
            prover = judges.check_proof(claim, data, carried.output, evidence)
        except ModelUnknown:
            pass
        else:
            checks.checked.append(PROOF)
            return prover
    named = ask(PROOF, evidence)
    if len(named) > 1:
        raise EvidenceRejected("proof", "one that names who is paid", f"{len(named)} names")
    return named[0] if named else None


# ---- what an API says ------------------------------------------------------------------------------------------------------------------
def compare_receipt(verified: Verified, told: Mapping[str, Any]) -> None:
    """Holds an API's receipt against what was verified: request, model, transaction, block, state, callback, output, who signed or proved.

    Raises EvidenceRejected naming the first field that says something else. Gas, beneficiaries, times and the decoding are the API's words.
    """
    for name, expected in _fields_of(verified).items():
        if told.get(name) != expected:
            raise EvidenceRejected(f"receipt of the API, {name}", expected, str(told.get(name))[:80])
    if QUORUM in verified.checked:
        expected_signers = [{"index": o.index, "operator": o.operator, "signer": o.signer} for o in verified.signers]
        if told.get("signers") != expected_signers:
            raise EvidenceRejected("receipt of the API, signers", expected_signers, str(told.get("signers"))[:200])
    if (PROOF in verified.checked or (verified.policy is not None and not verified.policy.proof)) and told.get("prover") != verified.prover:
        raise EvidenceRejected("receipt of the API, prover", verified.prover, str(told.get("prover"))[:80])
    if bool(told.get("replaced")) != verified.is_replaced:
        raise EvidenceRejected("receipt of the API, replaced", verified.is_replaced, bool(told.get("replaced")))


def _fields_of(verified: Verified) -> dict[str, Any]:
    return {
        "request_id": to_hex(verified.request_id),
        "model_id": to_hex(verified.model_id),
        "transaction": to_hex(verified.transaction),
        "block_number": verified.block_number,
        "block_hash": to_hex(verified.block_hash),
        "status": RequestStatus.FINAL.name,
        "callback": verified.callback.name,
        "output": to_hex(verified.output),
        "output_digest": to_hex(verified.output_digest),
    }


def require_answers(verified: Verified, model_id: Bytes32 | None, policy: Policy | None) -> None:
    """Raises EvidenceRejected unless the answer is one of this model, under this policy. None asks for nothing."""
    if model_id is not None and verified.model_id != model_id:
        raise EvidenceRejected("model of the answer", to_hex(model_id), to_hex(verified.model_id))
    if policy is not None and verified.policy != policy:
        raise EvidenceRejected("policy of the answer", policy, verified.policy or "unknown: delivered through another contract")
