"""The watcher's part in disputes: looks at each hearing, decides (`oracle.pipeline.ruling`), and does that one thing.

What is done is read from the chain at the next look and never remembered, but for the salts of votes, which are on the disk before a
commitment is sent. Whatever the contracts refuse is looked at again: often somebody else was faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from oracle.encoding import compute_vote_commitment, keccak256, to_hex
from oracle.errors import ChainError, InvariantBroken, PeerError
from oracle.pipeline.accusing import SIGNATURES_A_TRANSACTION, Accusation, has_stake, is_slashable, read_delivery
from oracle.pipeline.ruling import SOON_SECONDS, Act, Move, Situation, Verdict, decide
from oracle.pipeline.watching import Watcher, read_head
from oracle.records import Address, Bytes32, Delivered
from oracle.relay import cases, hearings
from oracle.relay.cases import Case, CaseState
from oracle.relay.disputes import Ballot, Dispute, Disputes, Outcome
from oracle.relay.failures import CallReverted
from oracle.relay.hearings import Duty, Hearing, HearingState
from oracle.relay.transact import Call

LOT_DELAY_BLOCKS = 2
"""ChainLot.sol: from what fixes a lot to the block whose hash it is."""
CHAIN_PAUSE_SECONDS = 5.0
MOST_BACKOFF_SECONDS = 60.0
MOST_ATTEMPTS = 12
"""How often the contracts may refuse what is left to do about a decided dispute before the hearing is FAILED."""


def hear_next(watcher: Watcher, now: float) -> bool:
    """Takes the most urgent hearing one step on; False where none is due. Raises ChainError when the endpoint fails, PeerError
    when a remote signer does; nothing is lost."""
    hearing = hearings.next_hearing(watcher.engine, now) if watcher.disputes.is_there else None
    if hearing is None:
        return False
    try:
        hear(watcher, hearing, now)
    except (ChainError, PeerError) as error:  # perhaps about this one alone: the others must not wait for it
        state, problem = hearing.state, str(error)[:500]
        hearings.move(watcher.engine, hearing, state, now + CHAIN_PAUSE_SECONDS, problem=problem)
        raise
    return True


def hear(watcher: Watcher, hearing: Hearing, now: float) -> None:
    """One look, and at most one thing done."""
    case = cases.find_case(watcher.engine, hearing.request_id)
    if case is None:  # its block vanished since, and this hearing with it
        hearings.move(watcher.engine, hearing, hearing.state, now + SOON_SECONDS)
        return
    delivered, accusation = read_delivery(watcher.chain, case)
    if accusation is None:
        raise ChainError("the endpoint no longer shows the input of a delivery it showed before")
    situation = look(watcher, case, delivered, accusation)
    move = decide(situation)
    _say_duty(watcher, hearing, move)
    try:
        act(watcher, case, delivered, accusation, situation, move)
    except CallReverted as reverted:
        _take_refusal(watcher, hearing, move, reverted, now)
        return
    if move.act is Act.CLOSE:
        _close(watcher, hearing, move, now)
        return
    pause = float(move.seconds) if move.act is Act.WAIT else 0.0
    values = {"duty": move.duty, "duty_until": move.duty_until, "problem": move.problem, "attempts": 0, "settled_block": None}
    hearings.move(watcher.engine, hearing, move.state, now + pause, **values)


# ---- looking ---------------------------------------------------------------------------------------------------------------------------
def look(watcher: Watcher, case: Case, delivered: Delivered, accusation: Accusation) -> Situation:
    """What the chain shows about a hearing, and what this watcher knows. Raises ChainError."""
    chain, disputes, request_id = watcher.chain, watcher.disputes, case.request_id
    dispute = disputes.dispute_of(request_id)
    verdict, true_digest = judge(case, delivered)
    operator, is_member = watcher.operator, watcher.operator in dispute.members
    situation = Situation(
        time=chain.pending_time(),
        head=read_head(chain).number,
        delivered_digest=delivered.output_digest,
        beneficiaries=delivered.beneficiaries,
        status=chain.status_of(request_id),
        dispute=dispute,
        verdict=verdict,
        true_digest=true_digest,
        me=watcher.sender.address,
        operator=operator,
        vote=hearings.find_vote(watcher.engine, request_id, operator) if operator and is_member else None,
        ballot=disputes.ballot_of(request_id, operator) if operator and is_member else Ballot(),
        may_dispute=watcher.may_dispute,
        lot_block=accusation.block_number + LOT_DELAY_BLOCKS if disputes.terms.audit_one_in else 0,
        opened_at=dispute.draw_ends_at - disputes.terms.draw_seconds,
        is_provable=delivered.model_id in watcher.prover,
    )
    if dispute.outcome is Outcome.NONE:
        is_there = situation.lot_block and situation.head > situation.lot_block
        return replace(situation, is_drawn_for_audit=bool(is_there) and disputes.is_audit_due(request_id))
    if dispute.outcome is Outcome.OPEN:
        return replace(situation, revealed=_read_revealed(disputes, request_id, dispute)) if situation.is_provable else situation
    is_punishable = next(_punishments(watcher, case, accusation, dispute), None) is not None
    return replace(situation, is_anybody_punishable=is_punishable, is_bond_ours=_is_bond_ours(watcher, disputes, request_id, dispute))


def _read_revealed(disputes: Disputes, request_id: Bytes32, dispute: Dispute) -> tuple[Bytes32, ...]:
    ballots = (disputes.ballot_of(request_id, member) for member in dispute.members)
    return tuple(ballot.revealed for ballot in ballots if ballot.has_revealed)


def judge(case: Case, delivered: Delivered) -> tuple[Verdict, Bytes32 | None]:
    """What the case found, as a member of a committee would vote: the digest of what the model gives, where that is known."""
    if case.state is CaseState.SEEN:
        return Verdict.JUDGING, None
    if case.state is CaseState.UNCHECKED:
        return Verdict.UNKNOWN, None
    if case.state is CaseState.TRUE:
        return Verdict.TRUE, delivered.output_digest
    is_helpless = case.state in (CaseState.UNPROVABLE, CaseState.FAILED)
    return Verdict.WRONG if is_helpless else Verdict.PROVING, keccak256(case.output)


def _is_bond_ours(watcher: Watcher, disputes: Disputes, request_id: Bytes32, dispute: Dispute) -> bool:
    if dispute.is_audit or dispute.outcome is Outcome.LAPSED:
        return False
    ours = (watcher.sender.address, watcher.operator)
    is_due = any(m in ours for m in dispute.majority) if dispute.outcome is Outcome.STANDS else dispute.challenger in ours
    return is_due and disputes.is_bond_unsettled(request_id, watcher.sender.address)


# ---- acting ----------------------------------------------------------------------------------------------------------------------------
def act(watcher: Watcher, case: Case, delivered: Delivered, accusation: Accusation, situation: Situation, move: Move) -> None:
    """Sends what a move is, and waits until it is mined. Raises CallReverted, ChainError."""
    disputes, request_id, request = watcher.disputes, case.request_id, accusation.asked.request
    if move.act is Act.OPEN:
        _send(watcher, move, disputes.open_call(request, delivered.beneficiaries), request_id, bond_wei=disputes.terms.bond_wei)
    elif move.act is Act.AUDIT:
        _send(watcher, move, disputes.open_audit_call(request, delivered.beneficiaries), request_id)
    elif move.act is Act.DRAW:
        _send(watcher, move, disputes.draw_call(request_id), request_id)
    elif move.act is Act.COMMIT:
        _send(watcher, move, _commit_call(watcher, request_id, situation), request_id)
    elif move.act is Act.REVEAL and situation.vote is not None:
        vote = situation.vote
        _send(watcher, move, disputes.reveal_call(request_id, vote.output_digest, vote.salt), request_id, voted=to_hex(vote.output_digest))
    elif move.act is Act.UPHOLD:
        evidence = watcher.prover.prove(accusation.claim, accusation.asked.input, watcher.beneficiary)
        _send(watcher, move, watcher.chain.challenge_call(accusation.asked, delivered.output, evidence), request_id)
    elif move.act is Act.APPLY:
        is_shown = situation.dispute.outcome is Outcome.REPLACED and situation.true_digest == situation.dispute.output_digest
        _send(watcher, move, disputes.apply_call(request, case.output if is_shown else b""), request_id)
    elif move.act is Act.PUNISH:
        _punish(watcher, case, move, list(_punishments(watcher, case, accusation, situation.dispute)))
    elif move.act is Act.SETTLE:
        _send(watcher, move, disputes.settle_bond_call(request_id), request_id)


def _punish(watcher: Watcher, case: Case, move: Move, calls: Sequence[Call]) -> None:
    """All of them: one that is refused saves none of the others. Raises the last refusal."""
    refused: CallReverted | None = None
    for call in calls:
        try:
            _send(watcher, move, call, case.request_id)
        except CallReverted as reverted:
            refused = reverted
    if refused is not None:
        raise refused


def _commit_call(watcher: Watcher, request_id: Bytes32, situation: Situation) -> Call:
    """Of the vote that is kept; what is not kept yet is kept first."""
    digest = situation.true_digest or (situation.vote.output_digest if situation.vote else None)
    if situation.operator is None or digest is None:
        raise InvariantBroken("a vote without an operator or an output")
    vote = hearings.keep_vote(watcher.engine, request_id, situation.operator, digest)
    commitment = compute_vote_commitment(request_id, vote.member, vote.output_digest, vote.salt)
    return watcher.disputes.commit_call(request_id, commitment)


def _send(watcher: Watcher, move: Move, call: Call, request_id: Bytes32, **more: object) -> None:
    receipt = watcher.sender.send(call)
    watcher.metrics.dispute_acts.labels(move.act.value).inc()
    fields = {"request_id": request_id, "transaction": to_hex(receipt.transaction), "gas_used": receipt.gas_used, **more}
    watcher.logger.warning(f"dispute: {move.act.value}", **fields)


def _punishments(watcher: Watcher, case: Case, accusation: Accusation, dispute: Dispute) -> Iterator[Call]:
    """What is left to do to who signed what a committee replaced, and to members who were absent or outvoted."""
    chain, disputes, request_id = watcher.chain, watcher.disputes, case.request_id
    if dispute.outcome is Outcome.REPLACED and accusation.claim.output_digest != dispute.output_digest:
        guilty = [s.signature for s in accusation.signed if is_slashable(chain, request_id, s.signer)]
        for start in range(0, len(guilty), SIGNATURES_A_TRANSACTION):
            yield disputes.outvoted_call(accusation.asked, accusation.claim, guilty[start : start + SIGNATURES_A_TRANSACTION])
        together = accusation.together
        if together is not None and any(has_stake(chain, request_id, o.operator) for o in together.operators):
            keys = [o.bls_key for o in together.operators]
            yield disputes.outvoted_together_call(accusation.asked, accusation.claim, keys, together.signature)
    for member in dispute.members:
        if _is_finable(watcher, request_id, member):
            yield disputes.penalize_call(request_id, member)


def _is_finable(watcher: Watcher, request_id: Bytes32, member: Address) -> bool:
    """Our own operator's fine is left to others."""
    if member == watcher.operator or not watcher.disputes.is_faulty(request_id, member):
        return False
    return watcher.chain.stake_of(member) > 0 and not watcher.disputes.was_fined(request_id, member)


# ---- afterwards ------------------------------------------------------------------------------------------------------------------------
def _close(watcher: Watcher, hearing: Hearing, move: Move, now: float) -> None:
    """Nothing is left to do; at depth that is the end."""
    head = read_head(watcher.chain).number
    cleared = {"duty": Duty.NONE, "duty_until": 0, "problem": None, "attempts": 0}
    if hearing.settled_block is None:
        hearings.move(watcher.engine, hearing, move.state, now, settled_block=head, **cleared)
    elif head < hearing.settled_block + watcher.confirmations:
        hearings.move(watcher.engine, hearing, move.state, now + SOON_SECONDS, **cleared)
    else:
        hearings.move(watcher.engine, hearing, HearingState.CLOSED, now, **cleared)
        watcher.logger.info("heard", request_id=hearing.request_id)


def _take_refusal(watcher: Watcher, hearing: Hearing, move: Move, reverted: CallReverted, now: float) -> None:
    """Never the end of a duty, nor of an answer that is pending: those are tried for as long as they last."""
    attempts, problem = hearing.attempts + 1, str(reverted)[:500]
    values = {"attempts": attempts, "problem": problem, "duty": move.duty, "duty_until": move.duty_until}
    if move.act in (Act.PUNISH, Act.SETTLE) and attempts >= MOST_ATTEMPTS:
        watcher.logger.error("ALARM: the contracts refuse what a ruling allows", request_id=hearing.request_id, problem=problem)
        hearings.move(watcher.engine, hearing, HearingState.FAILED, now, **values)
        return
    most = MOST_BACKOFF_SECONDS if move.duty is Duty.NONE else 4 * SOON_SECONDS
    pause = min(most, 0.5 * 2.0 ** min(attempts, 16))
    watcher.logger.warning("refused, looking again", request_id=hearing.request_id, act=move.act.value, problem=problem, seconds=pause)
    hearings.move(watcher.engine, hearing, move.state, now + pause, **values)


def _say_duty(watcher: Watcher, hearing: Hearing, move: Move) -> None:
    """Once for each change: who must act reads it in the log, and in the metrics for as long as it lasts."""
    if move.duty is hearing.duty or move.duty is Duty.NONE:
        return
    fields = {"request_id": hearing.request_id, "operator": watcher.operator, "until": move.duty_until, "problem": move.problem}
    if move.duty in (Duty.IMPOSSIBLE, Duty.MISSED):
        watcher.logger.error("ALARM: drawn into a committee, and not voting", duty=move.duty.value, **fields)
    else:
        watcher.logger.warning("drawn into a committee", duty=move.duty.value, **fields)
