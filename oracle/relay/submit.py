"""From QUEUED to SENT: looks whether each job is still wanted, estimates it, groups, signs under a new nonce, broadcasts.

No job is sent for more than it may cost (`oracle.relay.fees.FeePolicy`); what waits too long is replaced by `oracle.relay.replace`.

Every job is looked at on chain right before it is signed, one by one: a bad one is found before it costs anything, and never takes others
with it. A batch's gas is the sum of its items' estimates, never an estimate of the batch, which does not revert when an item is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oracle import journal
from oracle.encoding import keccak256, to_hex
from oracle.errors import AmbiguousSend, ChainError, InvariantBroken
from oracle.records import OnChainStatus, RequestStatus
from oracle.relay import outbox, settle
from oracle.relay.failures import CallReverted, EndpointRefused, NonceUsed, TransactionInvalid
from oracle.relay.fees import MINIMUM_BUMP_PERMILLE, FeeHistory, compute_fees, compute_fees_within, raise_fees
from oracle.relay.lane import Lane
from oracle.relay.outbox import Job, KeptTransaction, Slot
from oracle.relay.schema import JobKind, JobState, RequestState, SlotState
from oracle.relay.settle import move_request
from oracle.relay.store import current_terms
from oracle.relay.terms import Terms
from oracle.relay.transact import (
    TRANSACTION_GAS_CAP,
    TRANSFER_GAS,
    Call,
    Fees,
    SignedTransaction,
    compute_calldata_floor_gas,
    sign_transaction,
)

GAS_MARGIN_PERCENT = 15
BATCH_ITEM_GAS = 40_000
"""Added per item of a batch: its own call, its event, the copy of its arguments, and what deliverBatch keeps back (6,000)."""

MAX_TRANSACTION_BYTES = 120_000
"""Public nodes relay no transaction above 128 KiB."""

RECOLLECT = frozenset(
    {"OperatorInactive", "QuorumNotMet", "WrongSigner", "EvidenceCount", "SelectorUnknown", "SelectorRemoved", "SelectorStopped"}
    | {"NoBlsKey", "WrongAggregate", "KeyRevoked", "KeyExpired", "OperatorNotActive"}
)
"""Errors that other evidence can mend: an operator left or changed keys, an enclave's key ended, a verifier was stopped, meanwhile."""

LATER = frozenset(
    {"Unpaid", "NotExpired", "WindowOpen", "InsufficientGas", "Expired", "AlreadyDelivered", "RequestClosed", "UnknownRequest"}
    | {"DisputeOpen", "LotteryOpen", "RuledOtherwise"}  # a committee is at work, or has ruled and nobody has carried it out yet
)
"""Errors that time mends, or that the next look at the status explains."""


ANY_FEE_WEI = 1 << 62
"""No limit: a nonce must be closed, and 21,000 gas are a fraction of what any job was allowed."""

TOO_DEAR = "gas costs more than the job may"


@dataclass(frozen=True, slots=True)
class Ready:
    """A job that the contracts accept now, with the gas it needs in a transaction of its own."""

    job: Job
    call: Call
    gas: int


def submit_due(lane: Lane) -> int:
    """Signs and broadcasts what is due; returns how many transactions. Raises ChainError when the endpoint fails; nothing is lost."""
    time = lane.chain.pending_time()
    with lane.engine.begin() as connection:
        unmined = len(outbox.read_slots(connection, outbox.UNMINED_SLOTS))
        free = lane.most_unmined - unmined
        jobs = outbox.due_jobs(connection, time, 2 * lane.batch_size) if free > 0 else []
    if not jobs:
        return 0
    statuses, terms = lane.chain.statuses_of([job.asked.request_id for job in jobs]), current_terms(lane.engine)
    wanted = [job for job, status in zip(jobs, statuses, strict=True) if _is_due(lane, job, status, terms, time)]
    if not wanted:
        return 0
    calls = [_call_of(lane, job) for job in wanted]
    # An endpoint may make up the pending block anew for each question. With nothing of ours in it that costs nothing, and has today's time
    # where no block was made for long; with our transactions in it a block is on its way, and each question would run them all.
    estimates = lane.chain.estimate_gas_each(calls, lane.signer.address, "latest" if unmined else "pending")
    found = (prepare(lane, *one, time) for one in zip(wanted, calls, estimates, strict=True))
    ready = [one for one in found if one is not None]
    if not ready:
        return 0
    history = lane.chain.fee_history()
    ready = [one for one in ready if _is_affordable(lane, one, history, time)]
    groups = group(ready, lane.batch_size)[: max(free, 0)]
    return sum(sign_group(lane, one, history) for one in groups)


# ---- one job ---------------------------------------------------------------------------------------------------------------------------
def _is_due(lane: Lane, job: Job, status: OnChainStatus, terms: Terms, time: int) -> bool:
    """Whether the job is still to be done, or else settled, failed or postponed now. `status` is what the chain says."""
    if job.request.state is RequestState.DROPPED:
        _wait_for_request(lane, job, time)
        return False
    if not _is_wanted(lane, job, status, time):
        return False
    if job.kind is JobKind.DELIVER and (problem := terms.find_problem(job.asked.request)) is not None:
        with lane.engine.begin() as connection:  # taken in under other terms
            settle.fail(lane, connection, job, problem)
        return False
    return True


def prepare(lane: Lane, job: Job, call: Call, estimate: int | CallReverted | EndpointRefused, time: int) -> Ready | None:
    """The job as a call with its gas, or None after it was failed or postponed. `estimate` is what the chain says of the call."""
    if isinstance(estimate, CallReverted):
        _take_refusal(lane, job, estimate, time)
        return None
    if isinstance(estimate, EndpointRefused):  # such as running out of its own gas limit: must not hold up the other jobs
        _postpone(lane, job, time, _later_seconds(job), f"{estimate}: {estimate.__cause__}"[:500])
        return None
    gas = max(estimate + estimate * GAS_MARGIN_PERCENT // 100, compute_calldata_floor_gas(call.data))
    if estimate > TRANSACTION_GAS_CAP or len(call.data) > MAX_TRANSACTION_BYTES:
        with lane.engine.begin() as connection:
            settle.fail(lane, connection, job, f"needs {estimate} gas and {len(call.data)} bytes, more than one transaction may have")
        return None
    return Ready(job, call, min(gas, TRANSACTION_GAS_CAP))


def _is_affordable(lane: Lane, ready: Ready, history: FeeHistory, time: int) -> bool:
    """Whether the next block would take the job for what it may cost; one that is too dear waits for cheaper gas, until its deadline."""
    gas, budget_wei = ready.gas + BATCH_ITEM_GAS, lane.budget_of([ready.job])
    if compute_fees_within(history, budget_wei // gas) is not None:
        return True
    cost_wei = gas * (history.next_base_fee_wei + compute_fees(history).priority_fee_wei)
    _postpone(lane, ready.job, time, settle.RETRY_SECONDS, f"{TOO_DEAR}: {cost_wei} wei of {budget_wei}")
    return False


def _wait_for_request(lane: Lane, job: Job, time: int) -> None:
    """Its request's block vanished: the same request may come again, until its deadline."""
    if time <= job.asked.request.deadline:
        _postpone(lane, job, time, settle.RETRY_SECONDS, "its request's block vanished")
        return
    with lane.engine.begin() as connection:
        outbox.set_job(connection, job, JobState.EXPIRED, reason="its request's block vanished")


def _is_wanted(lane: Lane, job: Job, status: OnChainStatus, time: int) -> bool:
    """Whether the chain still waits for this job; settles it where it does not."""
    wanted = RequestStatus.PENDING if job.kind is JobKind.FINALIZE else RequestStatus.REQUESTED
    if job.kind is JobKind.DELIVER and job.asked.request.is_signed_off_chain:
        wanted = RequestStatus.NONE
    if status.status is wanted:
        return job.kind is not JobKind.DELIVER or not _expire(lane, job, time)
    if job.kind is JobKind.DELIVER:
        _settle_delivery(lane, job, status, time)
    elif job.kind is JobKind.REFUND:
        _settle_refund(lane, job, status, time)
    elif status.status is RequestStatus.FINAL and status.output_digest != keccak256(settle.output_of(job)):
        settle.take_replacement(lane, job)
    elif status.status is RequestStatus.FINAL:
        settle.finish_elsewhere(lane, job)
    elif status.status is RequestStatus.REFUNDED:
        settle.take_withdrawal(lane, job)
    else:
        _postpone(lane, job, time, settle.RETRY_SECONDS, f"to finalize, but {status.status.name}")
    return False


def _settle_delivery(lane: Lane, job: Job, status: OnChainStatus, time: int) -> None:
    if settle.is_delivered(status.status):
        settle.adopt_delivery(lane, job)
    elif status.status in (RequestStatus.REFUNDED, RequestStatus.CANCELLED):
        with lane.engine.begin() as connection:
            settle.fail(lane, connection, job, f"the request is {status.status.name} on chain")
    elif not _expire(lane, job, time):  # no such request here (yet): reorganised away, or the endpoint lags behind
        _postpone(lane, job, time, settle.RETRY_SECONDS, f"to deliver, but {status.status.name}")


def _settle_refund(lane: Lane, job: Job, status: OnChainStatus, time: int) -> None:
    if status.status is RequestStatus.REFUNDED:
        settle.finish_elsewhere(lane, job)
    elif settle.is_delivered(status.status):
        with lane.engine.begin() as connection:
            settle.fail(lane, connection, job, "delivered in time after all")
    else:
        _postpone(lane, job, time, settle.RETRY_SECONDS, f"to refund, but {status.status.name}")


def _expire(lane: Lane, job: Job, time: int) -> bool:
    """Ends a delivery whose deadline is over."""
    if time <= job.asked.request.deadline:
        return False
    reason = "the deadline passed before the delivery was mined"
    with lane.engine.begin() as connection:
        outbox.set_job(connection, job, JobState.EXPIRED, reason=reason)
        if job.request.state is not RequestState.EXPIRED:
            settle.expire(lane, connection, job.asked, reason)
    return True


def _call_of(lane: Lane, job: Job) -> Call:
    if job.kind is JobKind.DELIVER:
        return lane.chain.deliver_call([job.delivery])
    if job.kind is JobKind.REFUND:
        return lane.chain.refund_call(job.asked.request)
    return lane.chain.finalize_call(job.asked.request, settle.output_of(job), settle.beneficiaries_of(job))


def _take_refusal(lane: Lane, job: Job, reverted: CallReverted, time: int) -> None:
    """PAYLOAD: postponed where time can mend it, back to the claims where other evidence can, else failed."""
    reason = str(reverted)
    if reverted.error in LATER:
        _postpone(lane, job, time, _later_seconds(job), reason)
        return
    with lane.engine.begin() as connection:
        if job.kind is JobKind.DELIVER and reverted.error in RECOLLECT:
            outbox.set_job(connection, job, JobState.FAILED, reason=reason)
            move_request(lane, connection, job, RequestState.COLLECTING, "delivery_refused", reason)
        else:
            settle.fail(lane, connection, job, reason)


def _later_seconds(job: Job) -> int:
    return min(settle.RETRY_SECONDS << min(job.attempts, 4), 60)


def _postpone(lane: Lane, job: Job, time: int, seconds: int, reason: str) -> None:
    with lane.engine.begin() as connection:
        outbox.postpone(connection, job, time + seconds, reason)


# ---- groups ----------------------------------------------------------------------------------------------------------------------------
def group(ready: Sequence[Ready], batch_size: int) -> list[list[Ready]]:
    """Deliveries together up to the batch size, the gas cap and the size limit; everything else alone. Order is kept within each."""
    groups: list[list[Ready]] = []
    batch: list[Ready] = []
    for one in ready:
        if one.job.kind is not JobKind.DELIVER:
            groups.append([one])
        elif batch and len(batch) < batch_size and _fits([*batch, one]):
            batch.append(one)
        else:
            batch = [one]
            groups.append(batch)
    return groups


def compute_batch_gas(ready: Sequence[Ready]) -> int:
    """Gas limit of one transaction with these jobs: each estimate holds a transaction's own 21,000, so the sum is on the safe side."""
    return sum(r.gas for r in ready) + (BATCH_ITEM_GAS * len(ready) if len(ready) > 1 else 0)


def _fits(ready: Sequence[Ready]) -> bool:
    return compute_batch_gas(ready) <= TRANSACTION_GAS_CAP and sum(len(r.call.data) for r in ready) <= MAX_TRANSACTION_BYTES


def sign_group(lane: Lane, ready: Sequence[Ready], history: FeeHistory) -> bool:
    """Signs one transaction, stores it with its nonce and its jobs' states in one database transaction, then broadcasts it.

    False where gas is too dear for them together: they stay QUEUED.
    """
    jobs = [r.job for r in ready]
    call = ready[0].call if len(ready) == 1 else lane.chain.deliver_call([job.delivery for job in jobs])
    gas = min(max(compute_batch_gas(ready), compute_calldata_floor_gas(call.data)), TRANSACTION_GAS_CAP)
    fees = compute_fees_within(history, lane.budget_of(jobs) // gas)
    if fees is None:
        return False
    latest, pending = (lane.chain.nonce(lane.signer.address, tag) for tag in ("latest", "pending"))
    head_number, now = read_head_number(lane), lane.clock.now()
    with lane.engine.begin() as connection:
        outbox.require_sender(connection, lane.signer.address)
        nonce = outbox.next_nonce(connection, latest, pending)
    # Signed outside of the transaction, since a signer may be far away. What is not stored is never sent, so a crash here loses nothing.
    signed = sign_transaction(call, lane.chain.domain.chain_id, nonce, gas, fees, lane.signer)
    with lane.engine.begin() as connection:
        if outbox.next_nonce(connection, latest, pending) != nonce:
            raise InvariantBroken(f"nonce {nonce} was given to another transaction by the same lane")
        outbox.keep_signed(connection, signed, lane.signer.address, jobs, now, head_number)
        changes = settle.Changes()
        for job in jobs:
            changes.move(job, RequestState.QUEUED, "signed", transaction=to_hex(signed.hash), nonce=nonce)
        changes.write(lane, connection)
        slot = outbox.find_slot(connection, nonce)
    if slot is not None:
        broadcast(lane, slot)
    return True


def fill_nonce(lane: Lane, nonce: int) -> None:
    """Uses up a nonce with a no-op, so that the nonces after it can be mined."""
    journal.get("lane").warning("filling a nonce with a no-op", nonce=nonce)
    with lane.engine.begin() as connection:
        outbox.require_sender(connection, lane.signer.address)
        before = outbox.transactions_of(connection, nonce)
    signed, head_number = sign_no_op(lane, nonce, before), read_head_number(lane)
    with lane.engine.begin() as connection:
        outbox.keep_signed(connection, signed, lane.signer.address, [], lane.clock.now(), head_number)
        slot = outbox.find_slot(connection, nonce)
    if slot is not None:
        broadcast(lane, slot)


def sign_no_op(lane: Lane, nonce: int, before: Sequence[KeptTransaction], permille: int = MINIMUM_BUMP_PERMILLE) -> SignedTransaction:
    """Nothing, sent to ourselves, at fees that replace whatever of ours waits under this nonce (`before`)."""
    history = lane.chain.fee_history()
    fees = compute_fees(history)
    if before:
        old = Fees(max(t.fees.max_fee_wei for t in before), max(t.fees.priority_fee_wei for t in before))
        fees = raise_fees(old, history, permille, ANY_FEE_WEI) or fees
    return sign_transaction(Call(lane.signer.address, b""), lane.chain.domain.chain_id, nonce, TRANSFER_GAS, fees, lane.signer)


def read_head_number(lane: Lane) -> int:
    head = lane.chain.block("latest")
    if head is None:
        raise ChainError("the chain has no latest block")
    return head.number


# ---- broadcasting ----------------------------------------------------------------------------------------------------------------------
def broadcast(lane: Lane, slot: Slot) -> None:
    """Hands the slot's newest transaction to the endpoint: always the stored bytes. No answer counts as sent: it may have been."""
    with lane.engine.begin() as connection:
        newest = outbox.transactions_of(connection, slot.nonce)[0]
    try:
        lane.chain.send_raw(newest.raw)
    except NonceUsed as error:
        journal.get("lane").warning("nonce refused", nonce=slot.nonce, error=str(error))
        return  # reconcile sees by whom it was used
    except TransactionInvalid as error:
        _drop_payload(lane, slot, str(error))
        return
    except AmbiguousSend as error:
        journal.get("lane").warning("no answer after sending", nonce=slot.nonce, error=str(error))
    except ChainError as error:
        journal.get("lane").warning("the endpoint refused to send", nonce=slot.nonce, error=str(error))
        return  # stays SIGNED, or SENT, and is broadcast again
    with lane.engine.begin() as connection:
        outbox.set_slot(connection, slot.nonce, SlotState.SENT)
        changes = settle.Changes()
        for job in outbox.jobs_of_nonce(connection, slot.nonce):
            if job.state is JobState.SIGNED:
                changes.set_job(job, JobState.SENT)
                changes.move(job, RequestState.SENT, "sent", transaction=to_hex(newest.hash), nonce=slot.nonce)
        changes.write(lane, connection)


def _drop_payload(lane: Lane, slot: Slot, reason: str) -> None:
    """A transaction that can never be mined: its jobs fail, and a no-op takes its nonce."""
    with lane.engine.begin() as connection:
        jobs = [j for j in outbox.jobs_of_nonce(connection, slot.nonce) if j.state in (JobState.SIGNED, JobState.SENT)]
        for job in jobs:
            settle.fail(lane, connection, job, reason)
    if jobs:  # a no-op that is refused is the endpoint's trouble, and is sent again as it is
        fill_nonce(lane, slot.nonce)
