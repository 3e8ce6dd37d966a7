"""A transaction that waits is replaced under its nonce: by higher fees while it can still be of use, by a no-op when it came too late.

Both fees rise by at least an eighth, within what the jobs may cost, faster as their deadline nears. Everything signed for a nonce is kept,
and whichever of it is mined counts; so a replacement is stored before it is sent like every transaction, and a crash in between leaves a
slot that is SIGNED, which the next tick broadcasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from oracle import journal
from oracle.encoding import to_hex
from oracle.records import Block, Bytes32
from oracle.relay import outbox, settle
from oracle.relay.fees import FeeHistory, raise_fees
from oracle.relay.lane import Lane
from oracle.relay.outbox import Job, KeptTransaction, Slot
from oracle.relay.schema import EVENTS, REQUEST_TRANSITIONS, JobKind, JobState, RequestState
from oracle.relay.store import add_event, state_of
from oracle.relay.submit import broadcast, sign_no_op
from oracle.relay.transact import SignedTransaction, read_call, sign_transaction

TOO_LATE = "the deadline passed before the delivery was mined; a no-op took its place"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A nonce that is not mined: its newest transaction, everything signed for it, and the jobs that wait for it."""

    slot: Slot
    signed: tuple[KeptTransaction, ...]  # newest first
    jobs: tuple[Job, ...]

    @property
    def newest(self) -> KeptTransaction:
        return self.signed[0]

    def left_seconds(self, head: Block) -> int | None:
        """Until the first deadline of its deliveries that is not over; None where nothing has one."""
        deadlines = (job.asked.request.deadline for job in self.jobs if job.kind is JobKind.DELIVER)
        return min((deadline - head.timestamp for deadline in deadlines if deadline >= head.timestamp), default=None)

    def is_late(self, head: Block) -> bool:
        """Whether no later block can do any of its jobs: the contracts take a delivery in a block at its deadline, and none after."""
        is_over = [job.kind is JobKind.DELIVER and job.asked.request.deadline < head.timestamp for job in self.jobs]
        return bool(self.jobs) and all(is_over)


def replace_waiting(lane: Lane, latest: int, head: Block) -> int:
    """Looks at every nonce from `latest` on that waits; returns how many transactions were replaced. Raises ChainError."""
    with lane.engine.begin() as connection:
        slots = [slot for slot in outbox.read_slots(connection, outbox.UNMINED_SLOTS) if slot.nonce >= latest]
        waiting = [_read(connection, slot) for slot in slots]
    late = [one for one in waiting if one.is_late(head)]
    slow = [one for one in waiting if not one.is_late(head) and _is_slow(lane, one, head)]
    history = lane.chain.fee_history() if slow else None
    for one in late:
        _cancel(lane, one, head)
    raised = 0
    for one in slow:
        if history is not None and (one is waiting[0] or one.newest.fees.max_fee_wei < history.next_base_fee_wei):
            raised += _raise(lane, one, head, history)  # the others wait for those before them, and not for their fees
    return len(late) + raised


def _read(connection: Connection, slot: Slot) -> Waiting:
    jobs = [job for job in outbox.jobs_of_nonce(connection, slot.nonce) if job.state in (JobState.SIGNED, JobState.SENT)]
    return Waiting(slot, tuple(outbox.transactions_of(connection, slot.nonce)), tuple(jobs))


def _is_slow(lane: Lane, one: Waiting, head: Block) -> bool:
    """Whether its newest transaction has waited long enough, and a block has passed it over since it was signed."""
    waited_seconds = (lane.clock.now() - one.newest.time).total_seconds()
    return waited_seconds >= lane.fees.compute_wait_seconds(one.left_seconds(head)) and head.number > one.newest.head_number


# ---- higher fees -----------------------------------------------------------------------------------------------------------------------
def _raise(lane: Lane, one: Waiting, head: Block, history: FeeHistory) -> bool:
    """The same call and gas, at higher fees. False where the jobs may not cost more: what was sent then waits for cheaper gas.

    Nor more than the account holds, or no pool would take it.
    """
    most_fee_wei = min(lane.budget_of(one.jobs), lane.chain.ether_of(lane.signer.address)) // one.newest.gas
    fees = raise_fees(one.newest.fees, history, lane.fees.compute_step_permille(one.left_seconds(head)), most_fee_wei)
    if fees is None:
        _note_limit(lane, one, most_fee_wei)
        return False
    call, chain_id = read_call(one.newest.raw), lane.chain.domain.chain_id
    signed = sign_transaction(call, chain_id, one.slot.nonce, one.newest.gas, fees, lane.signer)
    journal.get("lane").warning("raising the fees of a transaction that waits", nonce=one.slot.nonce, max_fee_wei=fees.max_fee_wei)
    with lane.engine.begin() as connection:
        _keep(lane, connection, signed, one.newest.jobs, head)
        for job in one.jobs:
            add_event(connection, job.asked.request_id, "fees_raised", lane.clock.now(), **_told(signed))
    broadcast(lane, one.slot)
    return True


def _note_limit(lane: Lane, one: Waiting, most_fee_wei: int) -> None:
    """Told once in the history of each request."""
    detail = {"nonce": one.slot.nonce, "max_fee_wei": most_fee_wei}
    with lane.engine.begin() as connection:
        for job in one.jobs:
            if not _has_event(connection, job.asked.request_id, "fees_at_limit"):
                add_event(connection, job.asked.request_id, "fees_at_limit", lane.clock.now(), **detail)


def _has_event(connection: Connection, request_id: Bytes32, kind: str) -> bool:
    known = select(EVENTS.c.id).where(EVENTS.c.request_id == request_id, EVENTS.c.kind == kind).limit(1)
    return connection.execute(known).one_or_none() is not None


# ---- too late --------------------------------------------------------------------------------------------------------------------------
def _cancel(lane: Lane, one: Waiting, head: Block) -> None:
    """Replaces deliveries that would only be refused. Should they be mined after all, that counts: receipts are found by hash."""
    signed = sign_no_op(lane, one.slot.nonce, one.signed, lane.fees.bump_permille)
    journal.get("lane").warning("cancelling a delivery whose deadline is over", nonce=one.slot.nonce)
    with lane.engine.begin() as connection:
        _keep(lane, connection, signed, (), head)
        for job in one.jobs:
            add_event(connection, job.asked.request_id, "cancelled", lane.clock.now(), **_told(signed))
            outbox.set_job(connection, job, JobState.EXPIRED, nonce=None, reason=TOO_LATE)
            if RequestState.EXPIRED in REQUEST_TRANSITIONS[state_of(connection, job.asked.request_id)]:
                settle.expire(lane, connection, job.asked, TOO_LATE)
    broadcast(lane, one.slot)


# ---- both ------------------------------------------------------------------------------------------------------------------------------
def _keep(lane: Lane, connection: Connection, signed: SignedTransaction, jobs: Sequence[int], head: Block) -> None:
    outbox.require_sender(connection, lane.signer.address)
    outbox.keep_replacement(connection, signed, jobs, lane.clock.now(), head.number)


def _told(signed: SignedTransaction) -> dict[str, str | int]:
    return {
        "transaction": to_hex(signed.hash),
        "nonce": signed.nonce,
        "max_fee_wei": signed.fees.max_fee_wei,
        "priority_fee_wei": signed.fees.priority_fee_wei,
    }
