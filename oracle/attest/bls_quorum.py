"""Quorum evidence in one aggregated BLS signature: checking a node's part, choosing the cheaper kind of evidence, and verifying it.

A claim's BLS signature comes beside its ECDSA signature, never in its place: where fewer than k came, or where it costs more gas, the
quorum is one of ECDSA signatures. Which costs less follows from what forge measured (`contracts/snapshots/Quorums.json`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from oracle.attest.bls import aggregate, verify_aggregate
from oracle.attest.quorum import assemble_quorum, operator_of, verify_quorum
from oracle.encoding import (
    QUORUM_BLS_SELECTOR,
    compute_claim_digest,
    pack_bls_quorum_evidence,
    unpack_bls_quorum_evidence,
)
from oracle.errors import ClaimRejected, EvidenceRejected, InvariantBroken
from oracle.records import Bytes32, Domain, Evidence, Operator, SignedClaim

PAGE_SEATS = 16
"""Neighbouring seats whose keys BlsKeys.sol keeps in one piece."""
PAGE_GAS = 4_800
"""Finding and opening one: a cold storage slot and a cold account."""
_ECDSA, _BLS = "deliver, ecdsa signers: ", "deliver, bls signers: "
_MOST_STATES = 64
"""Combinations of keys to try, where keys changed in the very block of a delivery."""


@dataclass(frozen=True, slots=True)
class QuorumGas:
    """Gas of a whole delivery by the number of signers, as measured for some numbers, those in between on a line."""

    ecdsa: Mapping[int, int]
    bls: Mapping[int, int]  # with signers on as few pages as they fit

    @classmethod
    def from_snapshots(cls, measured: Mapping[str, int]) -> QuorumGas:
        """Of the group "Quorums" of `contracts/snapshots`."""
        tables = ({int(name.removeprefix(kind)): gas for name, gas in measured.items() if name.startswith(kind)} for kind in (_ECDSA, _BLS))
        gas = cls(*tables)
        if len(gas.ecdsa) < 2 or len(gas.bls) < 2:
            raise InvariantBroken("the package's gas.json lacks the gas of quorums")
        return gas

    def is_bls_cheaper(self, indices: Sequence[int]) -> bool:
        """Whether one BLS signature of the operators with these indices costs less than one ECDSA signature of each."""
        signers, pages = len(indices), len({index // PAGE_SEATS for index in indices})
        surplus_pages = pages + -signers // PAGE_SEATS
        return _at(self.bls, signers) + PAGE_GAS * surplus_pages < _at(self.ecdsa, signers)


def _at(measured: Mapping[int, int], signers: int) -> int:
    """On the line through the two measurements around, or nearest."""
    counts = sorted(measured)
    right = min(max(bisect_left(counts, signers), 1), len(counts) - 1)
    low, high = counts[right - 1], counts[right]
    return measured[low] + (measured[high] - measured[low]) * (signers - low) // (high - low)


def check_bls(signed: SignedClaim, operator: Operator, domain: Domain) -> None:
    """Raises ClaimRejected unless the claim's BLS signature is by its operator's registered key."""
    if not operator.bls_key:
        raise ClaimRejected("BLS signature of the claim", "none, the operator has registered no key", "one")
    try:
        verify_aggregate([operator.bls_key], compute_claim_digest(signed.claim, domain), signed.bls)
    except EvidenceRejected as error:
        raise ClaimRejected("BLS signature of the claim", f"one by the key of operator {operator.index}", str(error)[:200]) from error


def assemble_cheapest(claims: Sequence[SignedClaim], k: int, operators: Sequence[Operator], domain: Domain, gas: QuorumGas) -> Evidence:
    """As `assemble_quorum`, from checked claims that agree; in one BLS signature where k came with one and that costs less."""
    ecdsa = assemble_quorum(claims, k, operators)
    signed = {o.index: (o.bls_key, c.bls) for c in claims if c.bls and (o := operator_of(c.signer, operators)).bls_key}
    chosen = _choose(signed, k)
    if len(chosen) < k or not gas.is_bls_cheaper(chosen):
        return ecdsa
    digest = compute_claim_digest(claims[0].claim, domain)
    if not _is_signed(signed, chosen, digest):  # a key was replaced since a claim was checked
        valid = {index: of for index, of in signed.items() if _is_signed({index: of}, [index], digest)}
        signed, chosen = valid, _choose(valid, k)
        if len(chosen) < k or not gas.is_bls_cheaper(chosen):
            return ecdsa
    return pack_bls_quorum_evidence(chosen, aggregate([signed[index][1] for index in chosen]))


def _choose(signed: Iterable[int], k: int) -> list[int]:
    """k of the indices, or all: those whose pages hold most of them first, as opening a page costs more than reading a key."""
    indices = list(signed)
    on_page = Counter(index // PAGE_SEATS for index in indices)
    return sorted(sorted(indices, key=lambda i: (-on_page[i // PAGE_SEATS], i))[:k])


def _is_signed(signed: Mapping[int, tuple[bytes, bytes]], chosen: Sequence[int], digest: Bytes32) -> bool:
    try:
        verify_aggregate([signed[i][0] for i in chosen], digest, aggregate([signed[i][1] for i in chosen]))
    except EvidenceRejected:
        return False
    return True


def verify_any_quorum(evidence: Evidence, claim_digest: Bytes32, operators: Sequence[Operator], k: int) -> tuple[Operator, ...]:
    """The operators whose quorum the evidence is, of either kind, lowest index first. As `verify_quorum`. Raises EvidenceRejected."""
    if evidence.selector != QUORUM_BLS_SELECTOR:
        return verify_quorum(evidence, claim_digest, operators, k)
    indices, signature = unpack_bls_quorum_evidence(evidence.data)
    if len(indices) < max(k, 1):
        raise EvidenceRejected("quorum evidence", f"at least {max(k, 1)} signers", len(indices))
    seated = [_with_keys(index, operators) for index in indices]
    problem: EvidenceRejected | None = None
    for chosen in islice(product(*seated), _MOST_STATES):
        try:
            verify_aggregate([o.bls_key for o in chosen], claim_digest, signature)
            return chosen
        except EvidenceRejected as error:
            problem = error
    raise EvidenceRejected("BLS quorum evidence", f"the signature of operators {', '.join(map(str, indices))}", str(problem)) from problem


def _with_keys(index: int, operators: Sequence[Operator]) -> list[Operator]:
    """The active operators with that index, one for each key."""
    found = {o.bls_key: o for o in operators if o.index == index and o.is_active and o.bls_key}
    if not found:
        raise EvidenceRejected(f"quorum evidence, bit {index}", "an active operator with a BLS key", "none with that index")
    return list(found.values())
