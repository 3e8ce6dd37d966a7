"""A call as an audit looks at it: its records with the request they are about, and its delivery as the chain has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oracle.audit.entries import read_request
from oracle.audit.view import LoggedRecord, LogView
from oracle.encoding import parse_uint, to_hex
from oracle.errors import EntryRejected, EvidenceRejected, InvariantBroken
from oracle.records import (
    Address,
    Bytes32,
    Claim,
    Delivered,
    Delivery,
    EntryKind,
    Evidence,
    Operator,
    Replaced,
    Request,
    TransactionReceipt,
)
from oracle.seams import ChainReader, find_carried

VerifyProof = Callable[[Claim, bytes, bytes, Evidence], Address]
"""(claim, input, output, evidence) → whom it names. Raises EvidenceRejected, ModelUnknown where the model's files are not at hand."""


@dataclass(frozen=True, slots=True)
class ClaimChecks:
    """How signatures and proofs are judged. All raise a Rejected (ClaimRejected, EvidenceRejected)."""

    recover_signer: Callable[[Bytes32, bytes], Address]
    verify_quorum: Callable[[Evidence, Bytes32, Sequence[Operator], int], tuple[Operator, ...]]
    verify_proof: VerifyProof


@dataclass(frozen=True, slots=True)
class Call:
    """A call's records, with the request they are about."""

    view: LogView
    chain: ChainReader
    request_id: Bytes32
    request: Request
    records: Sequence[LoggedRecord]

    def of_kind(self, kind: EntryKind) -> list[LoggedRecord]:
        return [logged for logged in self.records if logged.record.kind is kind]


@dataclass(frozen=True, slots=True)
class OnChain:
    """The delivery of a call, as the chain has it."""

    receipt: TransactionReceipt
    event: Delivered
    delivery: Delivery | None  # None where its calldata does not hold it: delivered through another contract
    replaced: Replaced | None = None  # what a challenge put in its place

    @property
    def output_digest(self) -> Bytes32:
        """What counts now."""
        return self.event.output_digest if self.replaced is None else self.replaced.output_digest


def open_call(view: LogView, chain: ChainReader, records: Sequence[LoggedRecord]) -> Call:
    """Raises EntryRejected where no intent says what was asked."""
    intents = [logged for logged in records if logged.record.kind is EntryKind.INTENT]
    if not intents:
        raise EntryRejected("call", "an intent record before anything else", "none")
    request_id = intents[0].record.request_id
    if request_id is None:
        raise InvariantBroken("a call without a request id")
    return Call(view, chain, request_id, read_request(intents[0].record), records)


def find_delivery(call: Call) -> OnChain | None:
    """The delivery in the chain, with the item of its calldata that the event came from. Raises Rejected where they contradict."""
    receipt = call.chain.delivery_of(call.request_id)
    if receipt is None:
        return None
    events = [event for event in receipt.delivered if event.request_id == call.request_id]
    if len(events) != 1:
        raise EvidenceRejected(f"transaction {to_hex(receipt.transaction)}", "one delivery of this request", len(events))
    return OnChain(receipt, events[0], find_carried(call.chain, receipt, call.request_id), _find_replaced(call))


def _find_replaced(call: Call) -> Replaced | None:
    receipt = call.chain.replacement_of(call.request_id)
    if receipt is None:
        return None
    events = [event for event in receipt.replaced if event.request_id == call.request_id]
    if len(events) != 1:
        raise EvidenceRejected(f"transaction {to_hex(receipt.transaction)}", "one replacement of this request's answer", len(events))
    return events[0]


def read_block_number(intent: LoggedRecord) -> int:
    """Of the block that an intent record says the request was made in. Raises Rejected."""
    return parse_uint(intent.record.integer("audit.request.block_number"), f"block number of entry {intent.index}", 64)
