"""A delivery as the chain has it, and whom it accuses: what was asked, what was answered, and who signed that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oracle import journal
from oracle.attest.bls_quorum import verify_any_quorum
from oracle.encoding import (
    QUORUM_BLS_SELECTOR,
    QUORUM_ECDSA_SELECTOR,
    compute_claim_digest,
    keccak256,
    unpack_bls_quorum_evidence,
    unpack_quorum_evidence,
)
from oracle.errors import ChainError, ClaimRejected, EvidenceRejected
from oracle.records import Address, Asked, Bytes32, Claim, Delivered, Delivery, Evidence, Operator, SignedClaim
from oracle.relay.cases import Case
from oracle.relay.contracts import Contracts
from oracle.seams import find_carried
from oracle.signatures import recover_signer

SIGNATURES_A_TRANSACTION = 64
"""Slashing a signer takes about 90,000 gas; with the proof, well below what one transaction may have."""


@dataclass(frozen=True, slots=True)
class SignedTogether:
    """Who signed with BLS keys, as of the delivery's block, and the sum of their signatures."""

    operators: tuple[Operator, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Accusation:
    """A delivery as the chain has it: what was asked, what was answered, and the signatures that its calldata shows."""

    asked: Asked
    claim: Claim
    signed: tuple[SignedClaim, ...]
    together: SignedTogether | None = None
    block_number: int = 0  # of the delivery


# ---- reading a delivery ---------------------------------------------------------------------------------------------------------------
def read_delivery(chain: Contracts, case: Case) -> tuple[Delivered, Accusation | None]:
    """The delivery of a case, and what it takes to accuse it: None where its input is nowhere on chain. Raises ChainError."""
    receipt = chain.receipt(case.transaction)
    delivered = next((d for d in receipt.delivered if d.request_id == case.request_id), None) if receipt else None
    if receipt is None or delivered is None:
        raise ChainError("the endpoint does not show a delivery that it showed before")
    carried = find_carried(chain, receipt, case.request_id)
    asked = chain.asked_of(case.request_id) or _asked_in(carried)
    if asked is None:
        return delivered, None
    claim = Claim(case.request_id, delivered.model_id, asked.request.input_digest, delivered.output_digest)
    if carried is None:
        return delivered, Accusation(asked, claim, (), block_number=receipt.block_number)
    signed = read_signatures(chain, claim, delivered.output, carried.evidence)
    together = read_together(chain, claim, carried.evidence, receipt.block_number)
    return delivered, Accusation(asked, claim, signed, together, receipt.block_number)


def _asked_in(carried: Delivery | None) -> Asked | None:
    """A signed request with its input, as the delivery's calldata shows them."""
    if carried is None or keccak256(carried.asked.input) != carried.asked.request.input_digest:
        return None
    return carried.asked


def read_signatures(chain: Contracts, claim: Claim, output: bytes, evidence: Sequence[Evidence]) -> tuple[SignedClaim, ...]:
    """The signatures of a delivery's quorum evidence, each with who made it.

    The contract has checked them; what reads otherwise here (calldata that is written in a strange way) is left out, and said.
    """
    digest, signed = compute_claim_digest(claim, chain.domain), []
    try:
        for signature in (s for e in evidence if e.selector == QUORUM_ECDSA_SELECTOR for s in unpack_quorum_evidence(e.data).values()):
            signed.append(SignedClaim(claim, output, recover_signer(digest, signature), signature))
    except (ClaimRejected, EvidenceRejected) as error:
        journal.get("watch").warning("evidence in calldata is not readable", request_id=claim.request_id, error=str(error))
    return tuple(signed)


def read_together(chain: Contracts, claim: Claim, evidence: Sequence[Evidence], block_number: int) -> SignedTogether | None:
    """Whose BLS signature a delivery's quorum evidence is; None where it is of another kind. As `read_signatures`."""
    piece = next((e for e in evidence if e.selector == QUORUM_BLS_SELECTOR), None)
    if piece is None:
        return None
    around = chain.operators(block_number) + chain.operators(block_number - 1)  # one who changes keys in the block counted as before
    try:
        signers = verify_any_quorum(piece, compute_claim_digest(claim, chain.domain), around, 1)
        return SignedTogether(signers, unpack_bls_quorum_evidence(piece.data)[1])
    except EvidenceRejected as error:
        journal.get("watch").warning("evidence in calldata is not readable", request_id=claim.request_id, error=str(error))
        return None


# ---- who has something to lose ---------------------------------------------------------------------------------------------------
def is_slashable(chain: Contracts, request_id: Bytes32, signer: Address) -> bool:
    """Whether a key is an operator's who still has something to lose for what it signed about a request."""
    operator = chain.operator_of(signer)
    return operator is not None and has_stake(chain, request_id, operator)


def has_stake(chain: Contracts, request_id: Bytes32, operator: Address) -> bool:
    """Whether an operator still has something to lose for what it signed about a request."""
    return chain.stake_of(operator) > 0 and not chain.slashed_for(request_id, operator)
