"""What the chain's decisions mean for jobs and requests: mined, vanished, final, delivered by somebody else, too late.

Each function is one database transaction (or a part of one), says what there is to say to the log in it, and may run any number of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from oracle import journal
from oracle.encoding import keccak256, parse_hex, to_hex
from oracle.errors import ChainError
from oracle.records import Address, Asked, Bytes32, Delivered, Delivery, Entry, Receipt, RequestStatus, TransactionReceipt
from oracle.relay import outbox
from oracle.relay.claims import stop_watching
from oracle.relay.lane import Lane
from oracle.relay.outbox import Job, KeptTransaction, Slot
from oracle.relay.schema import REQUEST_TRANSITIONS, JobKind, JobState, RequestState, SlotState
from oracle.relay.statements import FINAL, MINED, state_all_once, state_once
from oracle.relay.store import Move, add_event, move_all, set_state, state_of, states_of
from oracle.seams import find_carried

RETRY_SECONDS = 5
MOST_ATTEMPTS = 8
"""How often a transaction of one job may be reverted or an item of it skipped before it counts as FAILED."""
AUDIT_FORCED = "AUDIT_FORCED"
"""A finalization that was mined and finalized nothing: the lot fell on the answer, and a committee looks at it first."""


def move_request(
    lane: Lane, connection: Connection, job: Job, state: RequestState, event: str, reason: str | None = None, **detail: object
) -> None:
    """Moves the job's request where the table allows it, and else only adds the event: a DROPPED or FINAL request stays what it is."""
    changes = Changes()
    changes.move(job, state, event, reason, **detail)
    changes.write(lane, connection)


@dataclass(slots=True)
class Changes:
    """What one transaction makes of many jobs and their requests: gathered first, then written with a few statements for all of them."""

    jobs: list[tuple[Job, JobState, Mapping[str, Any]]] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    finalizing: list[tuple[Job, dict[str, Any], int]] = field(default_factory=list)  # with payload and time

    def set_job(self, job: Job, state: JobState, **values: Any) -> None:
        """As `outbox.set_job`."""
        self.jobs.append((job, state, values))

    def move(self, job: Job, state: RequestState | None, event: str, reason: str | None = None, **detail: object) -> None:
        """As `move_request`; to no other state where there is None."""
        self.moves.append(Move(job.asked.request_id, state, event, reason, detail))

    def write(self, lane: Lane, connection: Connection) -> None:
        outbox.set_jobs(connection, self.jobs)
        states = states_of(connection, (move.request_id for move in self.moves))
        move_all(connection, _allowed(self.moves, states), states, lane.clock.now())
        state_all_once(connection, self.entries)
        for job, payload, not_before in self.finalizing:
            outbox.enqueue(connection, JobKind.FINALIZE, job.asked.request_id, payload, not_before)


def _allowed(moves: Sequence[Move], states: Mapping[Bytes32, RequestState]) -> list[Move]:
    """Each move where the table allows it, and else only its event."""
    current, allowed = dict(states), []
    for move in moves:
        old = current[move.request_id]
        if move.state in (RequestState.PENDING, RequestState.FINAL) and RequestState.MINED in REQUEST_TRANSITIONS[old]:
            allowed.append(Move(move.request_id, RequestState.MINED, "still_mined"))  # it had fallen behind its job
            old = RequestState.MINED
        is_moving = move.state is not None and move.state is not old and move.state in REQUEST_TRANSITIONS[old]
        allowed.append(move if is_moving else replace(move, state=None))
        current[move.request_id] = move.state if is_moving and move.state is not None else old
    return allowed


def follow_job(connection: Connection, job: Job, now: datetime) -> None:
    """Brings a request that came back (COLLECTING again) to where its job already is."""
    path = {
        JobState.QUEUED: [RequestState.QUEUED],
        JobState.SIGNED: [RequestState.QUEUED],
        JobState.SENT: [RequestState.QUEUED, RequestState.SENT],
        JobState.MINED: [RequestState.MINED],
        JobState.FINAL: [RequestState.MINED, RequestState.FINAL],
    }
    for state in path.get(job.state, []):
        set_state(connection, job.asked.request_id, state, f"still_{state}", now)


# ---- our own transactions ----------------------------------------------------------------------------------------------------------------
def take_receipt(lane: Lane, slot: Slot, kept: KeptTransaction, receipt: TransactionReceipt) -> None:
    """A transaction of ours is in a block. Jobs that it did become MINED; those it did not wait, unsettled, for the block's depth."""
    if slot.state is SlotState.MINED and (slot.transaction, slot.block_hash) == (kept.hash, receipt.block_hash):
        return
    with lane.engine.begin() as connection:
        place = {"transaction": kept.hash, "block_number": receipt.block_number, "block_hash": receipt.block_hash}
        outbox.set_slot(connection, slot.nonce, SlotState.MINED, **place)
        changes, delivered = Changes(), {d.request_id: d for d in receipt.delivered}
        for job in outbox.read_jobs(connection, kept.jobs):
            if job.state is JobState.FINAL or (job.state is JobState.MINED and job.transaction not in (None, kept.hash)):
                continue  # done by another transaction already
            _take_job(lane, changes, job, receipt, delivered.get(job.asked.request_id), slot.nonce)
        changes.write(lane, connection)
        for job in outbox.jobs_of_nonce(connection, slot.nonce):
            if job.state in (JobState.SIGNED, JobState.SENT) and job.id not in kept.jobs:  # a no-op took the place of what did it before
                requeue(lane, connection, job, "nonce_lost", "its nonce was used by a no-op")


def _take_job(lane: Lane, changes: Changes, job: Job, receipt: TransactionReceipt, delivered: Delivered | None, nonce: int) -> None:
    if job.kind is JobKind.DELIVER and receipt.succeeded and delivered is not None:
        delivery = job.delivery
        if delivered.output_digest != delivery.claim.output_digest:
            raise ChainError("the endpoint's receipt has another output than the transaction delivered")
        mark_delivered(lane, changes, job, receipt, delivered, delivery, nonce)
    elif job.kind is JobKind.FINALIZE and receipt.succeeded and job.asked.request_id not in receipt.finalized:
        if job.nonce == nonce:
            changes.set_job(job, JobState.MINED, transaction=None, reason=AUDIT_FORCED)
            changes.move(job, None, "audit_forced", **_where(receipt))
    elif job.kind is not JobKind.DELIVER and receipt.succeeded:
        changes.set_job(job, JobState.MINED, transaction=receipt.transaction, nonce=nonce, reason=None)
        changes.move(job, None, f"{job.kind}_mined", **_where(receipt))
    elif job.nonce == nonce:
        code = next((code.name for request_id, code in receipt.failed_items if request_id == job.asked.request_id), "REVERTED")
        changes.set_job(job, JobState.MINED, transaction=None, reason=code)
        changes.move(job, None, "not_done", code=code, **_where(receipt))


def mark_delivered(
    lane: Lane, changes: Changes, job: Job, receipt: TransactionReceipt, delivered: Delivered, delivery: Delivery, nonce: int | None
) -> None:
    """The delivery is in a block: `delivery` is what that block's transaction carried. States it to the log."""
    changes.set_job(job, JobState.MINED, transaction=receipt.transaction, nonce=nonce, reason=None)
    detail = {"callback": delivered.callback.name.lower(), "output_digest": to_hex(delivered.output_digest), **_where(receipt)}
    changes.move(job, RequestState.MINED, "mined", **detail)
    _state_receipt(lane, changes, receipt, delivered, delivery, MINED)


def _state_receipt(lane: Lane, changes: Changes, receipt: TransactionReceipt, delivered: Delivered, delivery: Delivery, stage: str) -> None:
    said = Receipt(
        request_id=delivered.request_id,
        transaction=receipt.transaction,
        block_number=receipt.block_number,
        block_hash=receipt.block_hash,
        output_digest=delivered.output_digest,
        callback=delivered.callback,
        gas_used=receipt.gas_used,
        signers=lane.signers_of(delivery, delivered),
    )
    key = f"receipt:{stage}:{to_hex(said.request_id)}:{to_hex(said.block_hash)}"
    changes.entries.setdefault(key, lane.entries.receipt(said, delivery, stage, lane.clock.now()))


def undo_receipt(lane: Lane, slot: Slot) -> None:
    """The block of a MINED transaction vanished: back to SENT, to be broadcast again."""
    with lane.engine.begin() as connection:
        outbox.set_slot(connection, slot.nonce, SlotState.SENT, transaction=None, block_number=None, block_hash=None)
        for job in outbox.jobs_of_nonce(connection, slot.nonce):
            if job.state is JobState.MINED:
                outbox.set_job(connection, job, JobState.SENT, transaction=None, reason=None)
                move_request(lane, connection, job, RequestState.SENT, "unmined", nonce=slot.nonce)


def lose_nonce(lane: Lane, slot: Slot) -> None:
    """A transaction that is not ours used the nonce: its jobs are QUEUED again and will get another."""
    journal.get("lane").error("a nonce was used by a foreign transaction: is the key used elsewhere?", nonce=slot.nonce)
    with lane.engine.begin() as connection:
        outbox.set_slot(connection, slot.nonce, SlotState.FOREIGN, transaction=None, block_number=None, block_hash=None)
        for job in outbox.jobs_of_nonce(connection, slot.nonce):
            if job.state in (JobState.SIGNED, JobState.SENT):
                requeue(lane, connection, job, "nonce_lost", "its nonce was used by a foreign transaction")


def requeue(lane: Lane, connection: Connection, job: Job, event: str, reason: str) -> None:
    """Back to QUEUED, without a nonce."""
    values = {"nonce": None, "transaction": None, "reason": reason, "not_before": 0, "attempts": job.attempts + 1}
    outbox.set_job(connection, job, JobState.QUEUED, **values)
    move_request(lane, connection, job, RequestState.QUEUED, event, reason)


def finish_slot(lane: Lane, slot: Slot, receipt: TransactionReceipt | None) -> None:
    """A slot's block is at depth. What was done is FINAL; what was reverted is prepared anew, which finds out why."""
    with lane.engine.begin() as connection:
        outbox.set_slot(connection, slot.nonce, SlotState.FINAL)
        changes = Changes()
        jobs = [job for job in outbox.jobs_of_nonce(connection, slot.nonce) if job.state is JobState.MINED]
        done = [job for job in jobs if job.transaction is not None and receipt is not None]
        if receipt is not None:
            delivered = {d.request_id: d for d in receipt.delivered}
            for job in done:
                of_job = delivered.get(job.asked.request_id)
                finish_job(lane, changes, job, receipt, of_job, job.delivery if job.kind is JobKind.DELIVER else None)
        changes.write(lane, connection)
        for job in (job for job in jobs if job not in done):
            if job.attempts >= MOST_ATTEMPTS and job.reason != AUDIT_FORCED:
                fail(lane, connection, job, f"not done by {job.attempts} transactions: {job.reason}")
            else:
                requeue(lane, connection, job, "again", f"not done by a transaction: {job.reason}")


def finish_job(
    lane: Lane, changes: Changes, job: Job, receipt: TransactionReceipt, delivered: Delivered | None, delivery: Delivery | None
) -> None:
    """What a job did is at depth. `delivered` is what the receipt tells of its request, `delivery` what the transaction carried: both for a
    DELIVER job."""
    changes.set_job(job, JobState.FINAL)
    if job.kind is JobKind.REFUND:
        changes.move(job, RequestState.REFUNDED, "refunded", **_where(receipt))
        return
    if job.kind is JobKind.FINALIZE:
        changes.move(job, RequestState.FINAL, "final", **_where(receipt))
        return
    if delivered is None or delivery is None:
        raise ChainError("the endpoint's receipt lost a delivery that it had before")
    _state_receipt(lane, changes, receipt, delivered, delivery, FINAL)
    if delivered.available_at:
        changes.move(job, RequestState.PENDING, "pending", available_at=delivered.available_at)
        payload = {"output": to_hex(delivered.output), "beneficiaries": list(delivered.beneficiaries)}
        changes.finalizing.append((job, payload, delivered.available_at))
    else:
        changes.move(job, RequestState.FINAL, "final", **_where(receipt))


# ---- other people's transactions --------------------------------------------------------------------------------------------------------
def adopt_delivery(lane: Lane, job: Job) -> None:
    """Somebody else delivered this request. With our output that is success; with another it is an alarm.

    Raises ChainError where the endpoint knows the status but not the transaction (yet).
    """
    receipt = lane.chain.delivery_of(job.asked.request_id)
    delivered = next((d for d in receipt.delivered if d.request_id == job.asked.request_id), None) if receipt else None
    if receipt is None or delivered is None:
        raise ChainError("the endpoint says delivered, but does not know by which transaction")
    if delivered.output_digest != job.delivery.claim.output_digest:
        _raise_alarm(lane, job, receipt, delivered)
        return
    delivery = read_delivery(lane, receipt, job)
    with lane.engine.begin() as connection:
        changes = Changes()
        changes.move(job, None, "adopted", **_where(receipt))
        mark_delivered(lane, changes, job, receipt, delivered, delivery, None)
        changes.write(lane, connection)


def _raise_alarm(lane: Lane, job: Job, receipt: TransactionReceipt, delivered: Delivered) -> None:
    asked, digest = job.asked, to_hex(delivered.output_digest)
    journal.get("lane").error("ALARM: another output than the quorum's was delivered", request_id=asked.request_id, output_digest=digest)
    message = f"the chain accepted {digest}, our quorum signed {to_hex(job.delivery.claim.output_digest)}"
    with lane.engine.begin() as connection:
        outbox.set_job(connection, job, JobState.FAILED, reason=message, nonce=None)
        move_request(lane, connection, job, RequestState.CONFLICT, "conflict", message, **_where(receipt))
        entry = lane.entries.failure(asked, "conflicting_delivery", message, lane.clock.now())
        state_once(connection, f"conflict:{to_hex(asked.request_id)}", entry)


def read_delivery(lane: Lane, receipt: TransactionReceipt, job: Job) -> Delivery:
    """What a transaction of somebody else carried for this job's request, with the output we know to be the same.

    Its evidence is in its calldata, unless it came through another contract: then there is none to tell of.
    """
    carried = find_carried(lane.chain, receipt, job.asked.request_id)
    return Delivery(job.asked, job.delivery.claim, job.delivery.output, () if carried is None else carried.evidence)


def settle_unasked(lane: Lane, connection: Connection, asked_id: Bytes32, output: bytes) -> None:
    """Prepares a request that somebody else delivered before we had a quorum: the ordinary job then adopts the delivery."""
    payload: dict[str, Any] = {"output": to_hex(output), "evidence": []}
    job = outbox.find_job(connection, JobKind.DELIVER, asked_id)
    if job is None:
        outbox.enqueue(connection, JobKind.DELIVER, asked_id, payload)
    elif job.state is JobState.FAILED:
        outbox.replace_payload(connection, job, payload)
    if state_of(connection, asked_id) in (RequestState.COLLECTING, RequestState.FAILED):
        set_state(
            connection, asked_id, RequestState.QUEUED, "delivered_elsewhere", lane.clock.now(), output_digest=to_hex(keccak256(output))
        )


def finish_elsewhere(lane: Lane, job: Job) -> None:
    """A refund or finalize that somebody else made. The status is final by the contract's own rules; no receipt of ours tells of it."""
    with lane.engine.begin() as connection:
        outbox.set_job(connection, job, JobState.MINED, nonce=None, transaction=None, reason=None)
        outbox.set_job(connection, job, JobState.FINAL)
        state = RequestState.REFUNDED if job.kind is JobKind.REFUND else RequestState.FINAL
        move_request(lane, connection, job, state, "refunded" if job.kind is JobKind.REFUND else "final", elsewhere=True)


def take_replacement(lane: Lane, job: Job) -> None:
    """A proof or a committee put another output in the place of the delivered one: final, an alarm, and not ours to finalize."""
    asked = job.asked
    receipt = lane.chain.replacement_of(asked.request_id)
    replaced = next((r for r in receipt.replaced if r.request_id == asked.request_id), None) if receipt else None
    if receipt is None or replaced is None:
        raise ChainError("the endpoint says replaced, but does not know by which transaction")
    message = f"a challenge or a committee put {to_hex(replaced.output_digest)} in the place of {to_hex(replaced.replaced_digest)}"
    journal.get("lane").error("ALARM: a delivered output was wrong and was replaced", request_id=asked.request_id, problem=message)
    detail = {"output_digest": to_hex(replaced.output_digest), "replaced_digest": to_hex(replaced.replaced_digest), **_where(receipt)}
    with lane.engine.begin() as connection:
        now = lane.clock.now()
        add_event(connection, asked.request_id, "replaced", now, **detail)
        state_once(connection, f"replaced:{to_hex(asked.request_id)}", lane.entries.failure(asked, "replaced_output", message, now))
    finish_elsewhere(lane, job)


def take_withdrawal(lane: Lane, job: Job) -> None:
    """A committee looked at the delivered output and agreed on none: the fee went back to the asker. An alarm, and nothing to finalize."""
    message = "a committee found no majority for any output: the answer was withdrawn and the fee given back"
    journal.get("lane").error("ALARM: a delivered output was withdrawn", request_id=job.asked.request_id, problem=message)
    with lane.engine.begin() as connection:
        now = lane.clock.now()
        entry = lane.entries.failure(job.asked, "withdrawn_output", message, now)
        state_once(connection, f"withdrawn:{to_hex(job.asked.request_id)}", entry)
        outbox.set_job(connection, job, JobState.MINED, nonce=None, transaction=None, reason=None)
        outbox.set_job(connection, job, JobState.FINAL)
        move_request(lane, connection, job, RequestState.REFUNDED, "refunded", message, elsewhere=True)


# ---- ends ------------------------------------------------------------------------------------------------------------------------------
def fail(lane: Lane, connection: Connection, job: Job, reason: str) -> None:
    """The job cannot be done."""
    outbox.set_job(connection, job, JobState.FAILED, reason=reason, nonce=None)
    if job.kind is JobKind.DELIVER:
        move_request(lane, connection, job, RequestState.FAILED, "failed", reason)
    else:
        add_event(connection, job.asked.request_id, f"{job.kind}_failed", lane.clock.now(), reason=reason)


def expire(lane: Lane, connection: Connection, asked: Asked, reason: str) -> None:
    """The deadline is over and nothing was delivered: EXPIRED, said to the log, and the refund of an on-chain request is queued."""
    now, asked_id = lane.clock.now(), asked.request_id
    set_state(connection, asked_id, RequestState.EXPIRED, "expired", now, reason)
    stop_watching(connection, [asked_id])
    state_once(connection, f"expired:{to_hex(asked_id)}", lane.entries.failure(asked, "not_delivered", reason, now))
    refund = outbox.find_job(connection, JobKind.REFUND, asked_id)
    if refund is not None and refund.state is JobState.FINAL:  # while a delivery of it was under way
        set_state(connection, asked_id, RequestState.REFUNDED, "refunded", now)
    elif not asked.request.is_signed_off_chain and lane.is_refunding and _queue_refund(connection, asked_id, refund):
        add_event(connection, asked_id, "refund_queued", now)


def _queue_refund(connection: Connection, asked_id: Bytes32, job: Job | None) -> bool:
    """Also again, after one that was refused because of a delivery that vanished since."""
    if job is None or job.state is not JobState.FAILED:
        return outbox.enqueue(connection, JobKind.REFUND, asked_id, {})
    outbox.replace_payload(connection, job, {})
    return True


def is_delivered(status: RequestStatus) -> bool:
    return status in (RequestStatus.PENDING, RequestStatus.FINAL)


def _where(receipt: TransactionReceipt) -> dict[str, Any]:
    return {
        "transaction": to_hex(receipt.transaction),
        "block_number": receipt.block_number,
        "block_hash": to_hex(receipt.block_hash),
        "gas_used": receipt.gas_used,
    }


def output_of(job: Job) -> bytes:
    """The output a DELIVER or FINALIZE job is about."""
    return parse_hex(job.payload["output"], "job.output")


def beneficiaries_of(job: Job) -> list[Address]:
    """Those a FINALIZE job pays, as the event told them."""
    return [Address(a) for a in job.payload["beneficiaries"]]
