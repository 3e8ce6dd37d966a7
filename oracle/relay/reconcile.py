"""Every tick: what the outbox believes against what the chain says, by nonce. Recovery after a crash is this, and nothing else.

The nonce is read before the receipts: a nonce that was used has the receipt of the transaction that used it, so "used, and by none of ours"
is a fact about the account and not a race.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from oracle import journal
from oracle.errors import ChainError
from oracle.records import Block, Bytes32, TransactionReceipt
from oracle.relay import outbox, settle
from oracle.relay.lane import Lane
from oracle.relay.outbox import Job, KeptTransaction, Slot
from oracle.relay.replace import replace_waiting
from oracle.relay.schema import SlotState
from oracle.relay.submit import broadcast, fill_nonce


@dataclass(frozen=True, slots=True)
class Nonces:
    """The account's transaction counts: in the latest block, with what waits, and at the depth that counts as final."""

    latest: int
    pending: int
    final: int
    final_block: int  # number of the newest block at depth; -1 while there is none
    head: Block


def reconcile(lane: Lane) -> Nonces:
    """One tick over every nonce that is not final. Raises ChainError when the endpoint fails; the next tick goes on from what is stored."""
    nonces = read_nonces(lane)
    with lane.engine.begin() as connection:
        outbox.require_sender(connection, lane.signer.address)
        slots = outbox.read_slots(connection)
    for slot in slots:
        if slot.nonce < nonces.latest:
            _take_used(lane, slot, nonces)
        else:
            _take_unused(lane, slot)
    _fill_gaps(lane, nonces)
    replace_waiting(lane, nonces.latest, nonces.head)
    _follow_adopted(lane, nonces)
    return nonces


def read_nonces(lane: Lane) -> Nonces:
    """Raises ChainError for counts that contradict each other: an endpoint behind a balancer, answering from two different heads."""
    head = lane.chain.block("latest")
    if head is None:
        raise ChainError("the chain has no latest block")
    account, final_block = lane.signer.address, head.number - lane.final_blocks
    final = lane.chain.nonce(account, final_block) if final_block >= 0 else 0
    latest, pending = lane.chain.nonce(account, "latest"), lane.chain.nonce(account, "pending")
    if not final <= latest <= pending:
        raise ChainError(f"the endpoint's nonces contradict each other: {final} at depth, {latest} latest, {pending} pending")
    return Nonces(latest, pending, final, final_block, head)


# ---- nonces the chain has used ---------------------------------------------------------------------------------------------------------
def _take_used(lane: Lane, slot: Slot, nonces: Nonces) -> None:
    kept, receipt = _find_receipt(lane, slot)
    if kept is None or receipt is None:
        if not _is_receipt_late(lane, slot, nonces):
            _take_foreign(lane, slot, nonces)
        return
    if slot.state is SlotState.MINED and slot.transaction != kept.hash:  # another of ours took its place: what the first did is undone
        settle.undo_receipt(lane, slot)
        slot = replace(slot, state=SlotState.SENT, transaction=None)
    settle.take_receipt(lane, slot, kept, receipt)
    if slot.nonce < nonces.final and receipt.block_number <= nonces.final_block:
        settle.finish_slot(lane, slot, receipt)


def _find_receipt(lane: Lane, slot: Slot) -> tuple[KeptTransaction | None, TransactionReceipt | None]:
    """Which of everything signed for this nonce is in a block. Newest first: it is the likeliest."""
    with lane.engine.begin() as connection:
        signed = outbox.transactions_of(connection, slot.nonce)
    for kept in signed:
        receipt = lane.chain.receipt(kept.hash)
        if receipt is not None:
            return kept, receipt
    return None, None


def _is_receipt_late(lane: Lane, slot: Slot, nonces: Nonces) -> bool:
    """Endpoints count a nonce as used before they have the receipt of what used it. One that knows ours still will have it; at depth, where
    that means anything, all of them do."""
    is_at_depth = lane.final_blocks > 0 and slot.nonce < nonces.final
    return slot.state is SlotState.SENT and not is_at_depth and lane.chain.is_known(_newest(lane, slot))


def _take_foreign(lane: Lane, slot: Slot, nonces: Nonces) -> None:
    """Used, and by none of ours. If the foreign transaction vanishes before its block is at depth, the nonce is filled again."""
    if slot.state is SlotState.MINED:  # ours was mined, that block vanished, and another transaction came in its place
        settle.undo_receipt(lane, slot)
    if slot.state is not SlotState.FOREIGN:
        settle.lose_nonce(lane, slot)
    if slot.nonce < nonces.final:
        settle.finish_slot(lane, slot, None)


# ---- nonces the chain has not used -----------------------------------------------------------------------------------------------------
def _take_unused(lane: Lane, slot: Slot) -> None:
    if slot.state is SlotState.FOREIGN:
        fill_nonce(lane, slot.nonce)
        return
    if slot.state is SlotState.MINED:
        journal.get("lane").warning("a mined transaction vanished", nonce=slot.nonce, block_hash=slot.block_hash)
        settle.undo_receipt(lane, slot)
    if slot.state is SlotState.SIGNED or not lane.chain.is_known(_newest(lane, slot)):
        broadcast(lane, slot)


def _newest(lane: Lane, slot: Slot) -> Bytes32:
    with lane.engine.begin() as connection:
        return outbox.transactions_of(connection, slot.nonce)[0].hash


def _fill_gaps(lane: Lane, nonces: Nonces) -> None:
    """Nonces below one of ours that nobody signed for, here or in the endpoint's pool: nothing of ours could be mined past them."""
    with lane.engine.begin() as connection:
        known = outbox.known_nonces(connection, nonces.latest)
    if known:
        for nonce in sorted(set(range(nonces.pending, known[-1])) - set(known)):
            fill_nonce(lane, nonce)


# ---- what somebody else delivered ------------------------------------------------------------------------------------------------------
def _follow_adopted(lane: Lane, nonces: Nonces) -> None:
    with lane.engine.begin() as connection:
        jobs = outbox.adopted_jobs(connection)
    for job in jobs:
        _follow_one(lane, job, nonces)


def _follow_one(lane: Lane, job: Job, nonces: Nonces) -> None:
    receipt = lane.chain.receipt(job.transaction) if job.transaction is not None else None
    delivery = settle.read_delivery(lane, receipt, job) if receipt is not None else None
    with lane.engine.begin() as connection:
        if receipt is None:
            settle.requeue(lane, connection, job, "unmined", "somebody else's delivery vanished")
        elif receipt.block_number <= nonces.final_block:
            changes = settle.Changes()
            delivered = next((d for d in receipt.delivered if d.request_id == job.asked.request_id), None)
            settle.finish_job(lane, changes, job, receipt, delivered, delivery)
            changes.write(lane, connection)
