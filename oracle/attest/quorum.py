"""Quorum evidence: checking the nodes' claims, seeing who disagrees, and packing k signatures as `QuorumVerifier` takes them.

The relay's side (check, group, assemble) and the auditor's side (verify) share nothing but `recover_signer` and the layout in
`oracle.encoding`, so a mistake in assembling is seen in verifying.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from oracle.encoding import (
    QUORUM_ECDSA_SELECTOR,
    compute_claim_digest,
    compute_request_id,
    keccak256,
    pack_quorum_evidence,
    to_hex,
    unpack_quorum_evidence,
)
from oracle.errors import ClaimRejected, EvidenceRejected, InvariantBroken
from oracle.records import Address, Asked, Bytes32, Domain, Evidence, Operator, SignedClaim
from oracle.signatures import recover_signer


def check_signed_claim(signed: SignedClaim, asked: Asked, domain: Domain, operators: Sequence[Operator]) -> Operator:
    """The active operator who signed this claim about this request. Raises ClaimRejected naming the field that is wrong."""
    if compute_request_id(asked.request, domain) != asked.request_id:
        raise InvariantBroken("a request whose id does not belong to it reached the claims")
    claim = signed.claim
    for name, expected, got in (
        ("claim.request_id", asked.request_id, claim.request_id),
        ("claim.model_id", asked.request.model_id, claim.model_id),
        ("claim.input_digest", asked.request.input_digest, claim.input_digest),
        ("claim.output_digest", keccak256(signed.output), claim.output_digest),
    ):
        if expected != got:
            raise ClaimRejected(name, to_hex(expected), to_hex(got))
    recovered = recover_signer(compute_claim_digest(claim, domain), signed.signature)
    if recovered != signed.signer:
        raise ClaimRejected("signer of the claim", signed.signer, recovered)
    return operator_of(recovered, operators)


def operator_of(signer: Address, operators: Sequence[Operator]) -> Operator:
    """The active operator with this signing key. Raises ClaimRejected."""
    for operator in operators:
        if operator.signer == signer:
            if not operator.is_active:
                raise ClaimRejected("signer of the claim", "an active operator", f"{signer}, operator {operator.index}, who is not active")
            return operator
    raise ClaimRejected("signer of the claim", "a registered operator", signer)


def group_by_output(claims: Iterable[SignedClaim]) -> dict[Bytes32, tuple[SignedClaim, ...]]:
    """Checked claims about one request by output digest, each signer once per digest. More than one key means that somebody is wrong."""
    groups: dict[Bytes32, dict[Address, SignedClaim]] = {}
    for signed in claims:
        groups.setdefault(signed.claim.output_digest, {}).setdefault(signed.signer, signed)
    return {digest: tuple(by_signer.values()) for digest, by_signer in groups.items()}


def find_equivocators(claims: Iterable[SignedClaim]) -> frozenset[Address]:
    """Signers of more than one output for one request."""
    outputs: dict[Address, set[Bytes32]] = {}
    for signed in claims:
        outputs.setdefault(signed.signer, set()).add(signed.claim.output_digest)
    return frozenset(signer for signer, digests in outputs.items() if len(digests) > 1)


def find_agreement(claims: Sequence[SignedClaim], k: int) -> tuple[SignedClaim, ...] | None:
    """The claims of at least k signers on one output, or None while there are none.

    Whoever signed two outputs counts for neither. Where two outputs have k signers each, nobody can say which is true: raises
    EvidenceRejected, and nothing may be delivered.
    """
    liars = find_equivocators(claims)
    groups = group_by_output(signed for signed in claims if signed.signer not in liars)
    agreed = [group for group in groups.values() if len(group) >= k]
    if len(agreed) > 1:
        raise EvidenceRejected("claims", f"one output with {k} signers", f"{len(agreed)} such outputs")
    return agreed[0] if agreed else None


def assemble_quorum(claims: Sequence[SignedClaim], k: int, operators: Sequence[Operator]) -> Evidence:
    """Evidence with exactly k signatures, those of the lowest operator indices, from checked claims that agree.

    Raises EvidenceRejected when the claims differ or fewer than k distinct active operators signed.
    """
    if len({signed.claim for signed in claims}) > 1:
        raise EvidenceRejected("claims of a quorum", "the same claim from every signer", "different claims")
    signatures = {operator_of(signed.signer, operators).index: signed.signature for signed in claims}
    if not 1 <= k <= len(signatures):
        raise EvidenceRejected("claims of a quorum", f"{k} distinct operators (at least one)", len(signatures))
    return pack_quorum_evidence({index: signatures[index] for index in sorted(signatures)[:k]})


def verify_quorum(evidence: Evidence, claim_digest: Bytes32, operators: Sequence[Operator], k: int) -> tuple[Operator, ...]:
    """The operators whose signatures the evidence holds, lowest index first. `operators` are those of the delivery's block.

    As `QuorumVerifier` does: at least k signatures, each by the active operator whose bit is set. An index may come twice, where it is not
    known which of two states of its seat counted. Raises EvidenceRejected.
    """
    if evidence.selector != QUORUM_ECDSA_SELECTOR:
        raise EvidenceRejected("evidence selector", to_hex(QUORUM_ECDSA_SELECTOR), to_hex(evidence.selector))
    signatures = unpack_quorum_evidence(evidence.data)
    if len(signatures) < max(k, 1):
        raise EvidenceRejected("quorum evidence", f"at least {max(k, 1)} signatures", len(signatures))
    active = [operator for operator in operators if operator.is_active]
    return tuple(_signer_at(index, claim_digest, data, [o for o in active if o.index == index]) for index, data in signatures.items())


def _signer_at(index: int, claim_digest: Bytes32, signature: bytes, seated: Sequence[Operator]) -> Operator:
    if not seated:
        raise EvidenceRejected(f"quorum evidence, bit {index}", "an active operator", "none with that index")
    try:
        recovered = recover_signer(claim_digest, signature)
    except ClaimRejected as error:
        raise EvidenceRejected(f"quorum evidence, signature of operator {index}", error.expected, error.got) from error
    for operator in seated:
        if recovered == operator.signer:
            return operator
    raise EvidenceRejected(f"quorum evidence, signature of operator {index}", seated[0].signer, recovered)
