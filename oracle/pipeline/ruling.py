"""What a watcher does next about a disputable answer: one pure function of what the chain shows and what it knows itself.

    nobody disputes it     wrong here, no proof ──▶ OPEN (with the bond)        the lot fell on it ──▶ AUDIT
    disputed, not drawn    the block that decides is there ──▶ DRAW             the challenger at once, others after PATIENCE_SECONDS
    drawn                  our operator is a member ──▶ COMMIT, then REVEAL     what it cannot do is a duty that is IMPOSSIBLE or MISSED
    disputed, and true     it can be proven here ──▶ UPHOLD                     an audit only where the committee does not
    decided                the answer falls ──▶ APPLY                           then PUNISH who signed it, was absent or outvoted
    a bond is ours         ──▶ SETTLE                                           final, all done ──▶ CLOSE, everything else ──▶ WAIT

Nothing here is remembered, sent or read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oracle.encoding import compute_vote_commitment
from oracle.records import Address, Bytes32, OnChainStatus, RequestStatus
from oracle.relay.disputes import Ballot, Dispute, Outcome, Phase
from oracle.relay.hearings import Duty, HearingState, Vote

SOON_SECONDS = 2
"""Between two looks while something is about to happen."""
LONG_SECONDS = 3_600
"""While nothing is: events wake a hearing (`hearings.wake`), so that this is only a net below them."""
OUTPUT_SECONDS = 86_400
"""Coprocessor.sol: after so long an output that nobody showed is given up, and the request refunded."""
PATIENCE_SECONDS = 60
"""What anybody may do is left to who disputes for so long, so that not every watcher pays for trying it."""


class Verdict(StrEnum):
    """What this watcher thinks of the delivered output."""

    JUDGING = "judging"  # not yet run again
    TRUE = "true"
    PROVING = "proving"  # wrong; a proof is made or sent, and needs no committee
    WRONG = "wrong"  # and nothing but a committee helps
    UNKNOWN = "unknown"  # model or input not at hand


class Act(StrEnum):
    WAIT = "wait"
    OPEN = "open"
    AUDIT = "audit"
    DRAW = "draw"
    COMMIT = "commit"
    REVEAL = "reveal"
    UPHOLD = "uphold"
    APPLY = "apply"
    PUNISH = "punish"
    SETTLE = "settle"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision rests on. `time` and `head` are the chain's: seconds since 1970, and a block number."""

    time: int
    head: int
    delivered_digest: Bytes32
    beneficiaries: tuple[Address, ...]
    status: OnChainStatus
    dispute: Dispute
    verdict: Verdict
    true_digest: Bytes32 | None  # of what the model gives here
    me: Address  # the account that sends
    operator: Address | None  # for whom it votes
    vote: Vote | None  # kept for that operator
    ballot: Ballot  # what the chain has of it
    may_dispute: bool  # the owner of this watcher lets it put up bonds
    is_drawn_for_audit: bool = False  # the lot fell on it, as far as blocks can say
    lot_block: int = 0  # whose hash is the lot, of an answer nobody disputes
    is_anybody_punishable: bool = False
    is_bond_ours: bool = False  # by the outcome, and not credited yet
    opened_at: int = 0  # of the dispute
    is_provable: bool = False  # the model of the answer can be proven here
    revealed: tuple[Bytes32, ...] = ()  # what members voted for so far


@dataclass(frozen=True, slots=True)
class Move:
    """What to do, in which state the hearing is, what our operator owes until when, and for how long nothing else is to be done."""

    act: Act
    state: HearingState
    seconds: int = 0
    duty: Duty = Duty.NONE
    duty_until: int = 0
    problem: str | None = None


def decide(s: Situation) -> Move:
    """The next move. An open dispute comes first, whatever became of the answer: its members are judged by their votes."""
    if s.dispute.outcome is Outcome.OPEN:
        return _decide_open(s)
    if s.dispute.outcome is not Outcome.NONE:
        return _decide_ruled(s)
    if s.status.status is not RequestStatus.PENDING or s.status.output_digest != s.delivered_digest:
        return Move(Act.CLOSE, HearingState.HELD)
    return _decide_held(s)


# ---- nobody disputes it ----------------------------------------------------------------------------------------------------------------
def _decide_held(s: Situation) -> Move:
    if s.verdict is Verdict.JUDGING:
        return _wait(HearingState.HELD, SOON_SECONDS)
    is_window_open = s.time < s.status.available_at
    if s.verdict is Verdict.WRONG and is_window_open:
        obstacle = _find_obstacle(s)
        if obstacle is None:
            return Move(Act.OPEN, HearingState.HELD)
        return _wait(HearingState.HELD, _until_available(s), obstacle)
    if s.is_drawn_for_audit:
        return Move(Act.AUDIT, HearingState.HELD)
    if s.head <= s.lot_block or s.verdict is Verdict.PROVING:
        return _wait(HearingState.HELD, SOON_SECONDS)
    return _wait(HearingState.HELD, _until_available(s))


def _find_obstacle(s: Situation) -> str | None:
    """Why this watcher does not dispute an answer that it takes for wrong."""
    if not s.may_dispute:
        return "wrong, but `dispute` is off: no bond is put up"
    if s.me in s.beneficiaries or s.operator in s.beneficiaries:
        return "wrong, but signed by this watcher's own operator, who may not dispute it"
    return None


def _until_available(s: Situation) -> int:
    """Till it can be finalized; from then on, till it is. Events tell of everything else."""
    return min(LONG_SECONDS, max(PATIENCE_SECONDS, s.status.available_at - s.time))


# ---- disputed --------------------------------------------------------------------------------------------------------------------------
def _decide_open(s: Situation) -> Move:
    """What our operator owes comes first: a proof that is refused must cost no vote."""
    owed = _decide_open_by_votes(s)
    return Move(Act.UPHOLD, HearingState.DISPUTED) if owed.act is Act.WAIT and _is_to_be_upheld(s) else owed


def _is_to_be_upheld(s: Situation) -> bool:
    """A proof that the disputed answer is the right one takes the bond. In an audit it pays nothing, and members are to be tried: there it
    comes only over votes that are wrong, or when the votes are over without a majority for the truth."""
    is_ours_to_prove = s.is_provable and s.verdict is Verdict.TRUE
    if not is_ours_to_prove or s.status.status is not RequestStatus.PENDING or s.status.output_digest != s.delivered_digest:
        return False
    if not s.dispute.is_audit:
        return True
    for_it = sum(digest == s.delivered_digest for digest in s.revealed)
    is_in_danger = for_it < len(s.revealed) or s.dispute.phase is Phase.CLOSED
    return is_in_danger and 2 * for_it <= len(s.dispute.members)


def _decide_open_by_votes(s: Situation) -> Move:
    d = s.dispute
    if not d.members:
        return _decide_draw(s)
    if s.operator not in d.members or s.ballot.has_revealed:
        return _wait(HearingState.DISPUTED, SOON_SECONDS)
    is_committing = d.phase is Phase.COMMITTING and s.time < d.commit_ends_at  # views lag behind the time until the next block
    return _decide_commit(s) if is_committing else _decide_reveal(s)


def _decide_draw(s: Situation) -> Move:
    d = s.dispute
    if s.time >= d.draw_ends_at or s.head < d.seed_block:  # its hash can be read in the block after it
        return _wait(HearingState.DISPUTED, SOON_SECONDS)
    if d.challenger in (s.me, s.operator) or s.time >= s.opened_at + PATIENCE_SECONDS:
        return Move(Act.DRAW, HearingState.DISPUTED)
    return _wait(HearingState.DISPUTED, SOON_SECONDS)


def _decide_commit(s: Situation) -> Move:
    until = s.dispute.commit_ends_at
    if s.ballot.has_committed:
        if not _is_ours(s):
            return _owe(Duty.IMPOSSIBLE, until, "committed for this operator, but not from this database: only who did can reveal it")
        return _wait(HearingState.DISPUTED, SOON_SECONDS)
    if s.vote is None and s.verdict is Verdict.JUDGING:
        return _owe(Duty.COMMIT, until)
    if s.vote is None and s.true_digest is None:
        return _owe(Duty.IMPOSSIBLE, until, "drawn, but the model or the input is not at hand here")
    return Move(Act.COMMIT, HearingState.DISPUTED, duty=Duty.COMMIT, duty_until=until)


def _decide_reveal(s: Situation) -> Move:
    until = s.dispute.reveal_ends_at
    if not s.ballot.has_committed:
        return _owe(Duty.MISSED, until, "drawn, and the time to commit is over")
    if not _is_ours(s):
        return _owe(Duty.IMPOSSIBLE, until, "committed, but the salt is not in this database")
    return Move(Act.REVEAL, HearingState.DISPUTED, duty=Duty.REVEAL, duty_until=until)


def _is_ours(s: Situation) -> bool:
    """Whether the commitment on chain is that of the vote kept here."""
    if s.vote is None:
        return False
    return s.ballot.commitment == compute_vote_commitment(s.vote.request_id, s.vote.member, s.vote.output_digest, s.vote.salt)


def _owe(duty: Duty, until: int, problem: str | None = None) -> Move:
    return Move(Act.WAIT, HearingState.DISPUTED, SOON_SECONDS, duty, until, problem)


# ---- decided ---------------------------------------------------------------------------------------------------------------------------
def _decide_ruled(s: Situation) -> Move:
    d, is_pending = s.dispute, s.status.status is RequestStatus.PENDING
    if is_pending and d.outcome.is_fall:
        is_ours = d.challenger in (s.me, s.operator) or s.operator in d.majority
        is_able = d.outcome is Outcome.NO_MAJORITY or s.true_digest == d.output_digest
        if s.time >= d.closed_at + OUTPUT_SECONDS or (is_able and (is_ours or s.time >= d.closed_at + PATIENCE_SECONDS)):
            return Move(Act.APPLY, HearingState.RULED)
    if s.is_anybody_punishable:
        return Move(Act.PUNISH, HearingState.RULED)
    if s.is_bond_ours:
        return Move(Act.SETTLE, HearingState.RULED)
    if is_pending:
        problem = None
        if d.outcome is Outcome.REPLACED and s.true_digest != d.output_digest:
            problem = "the committee found an output that this watcher cannot show; somebody who has it must apply the ruling"
        return _wait(HearingState.RULED, SOON_SECONDS if d.outcome.is_fall else _until_available(s), problem)
    return Move(Act.CLOSE, HearingState.RULED)


def _wait(state: HearingState, seconds: int, problem: str | None = None) -> Move:
    return Move(Act.WAIT, state, seconds, problem=problem)
