"""What the chain decided about a request, read from the chain: the event, the evidence in the transaction's calldata, the state now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oracle.encoding import QUORUM_ECDSA_SELECTOR, to_hex, unpack_quorum_evidence
from oracle.errors import ChainError, RequestUnknown
from oracle.records import Bytes32, Delivered, Evidence, OnChainStatus, Operator, TransactionReceipt
from oracle.seams import ChainReader, find_carried


@dataclass(frozen=True, slots=True)
class Settled:
    """`signers` is None where the transaction reached the Coprocessor through another contract, so its calldata is not the delivery's."""

    delivered: Delivered
    receipt: TransactionReceipt
    status: OnChainStatus
    signers: tuple[Operator, ...] | None


def read_settled(chain: ChainReader, request_id: Bytes32) -> Settled:
    """Raises RequestUnknown where nothing was delivered (yet), ChainError where the endpoint fails or contradicts itself."""
    receipt = chain.delivery_of(request_id)
    if receipt is None:
        raise RequestUnknown("receipt", f"a delivered answer to {to_hex(request_id)}", "none yet")
    delivered = next((d for d in receipt.delivered if d.request_id == request_id), None)
    if delivered is None:
        raise ChainError("the endpoint gave a receipt without the delivery it was asked for")
    return Settled(delivered, receipt, chain.status_of(request_id), _signers(chain, receipt, request_id))


def _signers(chain: ChainReader, receipt: TransactionReceipt, request_id: Bytes32) -> tuple[Operator, ...] | None:
    carried = find_carried(chain, receipt, request_id)
    return None if carried is None else quorum_signers(carried.evidence, chain.operators(receipt.block_number))


def quorum_signers(evidence: Sequence[Evidence], operators: Sequence[Operator]) -> tuple[Operator, ...]:
    """The operators whose bits are set, lowest index first. The contract has checked the signatures; an auditor checks them again."""
    by_index = {operator.index: operator for operator in operators}
    data = next((e.data for e in evidence if e.selector == QUORUM_ECDSA_SELECTOR), None)
    return () if data is None else tuple(by_index[i] for i in sorted(unpack_quorum_evidence(data)) if i in by_index)
