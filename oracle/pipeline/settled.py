"""What the chain decided about a request, read from the chain: the event, the evidence in the transaction's calldata, the state now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oracle.encoding import PROOF_SELECTOR, to_hex, unpack_proof_evidence, unpack_quorum_indices
from oracle.errors import ChainError, RequestUnknown
from oracle.records import Address, Bytes32, Delivered, Evidence, OnChainStatus, Operator, Replaced, RequestStatus, TransactionReceipt
from oracle.seams import ChainReader, find_carried


@dataclass(frozen=True, slots=True)
class Settled:
    """`signers` is None where the transaction reached the Coprocessor through another contract, so its calldata is not the delivery's.

    Where `status` says REFUNDED a committee took the answer back, and nothing counts any more.

    `prover` is whom the proof names, where there is one. `replaced` says what a challenge put in the delivered output's place, and
    `replacement` in which transaction.
    """

    delivered: Delivered
    receipt: TransactionReceipt
    status: OnChainStatus
    signers: tuple[Operator, ...] | None
    prover: Address | None = None
    replaced: Replaced | None = None  # by a proof, or by a committee's ruling
    replacement: TransactionReceipt | None = None

    @property
    def output(self) -> bytes:
        """What counts now."""
        return self.delivered.output if self.replaced is None else self.replaced.output


def read_settled(chain: ChainReader, request_id: Bytes32) -> Settled:
    """Raises RequestUnknown where nothing was delivered (yet), ChainError where the endpoint fails or contradicts itself."""
    receipt = chain.delivery_of(request_id)
    if receipt is None:
        raise RequestUnknown("receipt", f"a delivered answer to {to_hex(request_id)}", "none yet")
    delivered = next((d for d in receipt.delivered if d.request_id == request_id), None)
    if delivered is None:
        raise ChainError("the endpoint gave a receipt without the delivery it was asked for")
    carried, status = find_carried(chain, receipt, request_id), chain.status_of(request_id)
    signers = None if carried is None else quorum_signers(carried.evidence, chain.operators(receipt.block_number))
    prover = None if carried is None else proof_beneficiary(carried.evidence)
    if status.output_digest == delivered.output_digest or status.status is RequestStatus.REFUNDED:  # by a committee without a majority
        return Settled(delivered, receipt, status, signers, prover)
    replacement = chain.replacement_of(request_id)
    replaced = next((r for r in replacement.replaced if r.request_id == request_id), None) if replacement else None
    if replaced is None or replaced.output_digest != status.output_digest:
        raise ChainError("the endpoint tells of an output that was neither delivered nor put in its place")
    return Settled(delivered, receipt, status, signers, prover, replaced, replacement)


def proof_beneficiary(evidence: Sequence[Evidence]) -> Address | None:
    """Whom the proof among the evidence names; the contract has verified it."""
    data = next((e.data for e in evidence if e.selector == PROOF_SELECTOR), None)
    return None if data is None else unpack_proof_evidence(data)[0]


def quorum_signers(evidence: Sequence[Evidence], operators: Sequence[Operator]) -> tuple[Operator, ...]:
    """The operators whose bits are set, lowest index first. The contract has checked the signatures; an auditor checks them again."""
    by_index = {operator.index: operator for operator in operators}
    return tuple(by_index[i] for i in unpack_quorum_indices(evidence) if i in by_index)
