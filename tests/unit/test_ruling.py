"""What a watcher does next about a disputable answer: every decision, and none of them twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oracle.encoding import compute_vote_commitment
from oracle.pipeline.ruling import LONG_SECONDS, OUTPUT_SECONDS, PATIENCE_SECONDS, SOON_SECONDS, Act, Situation, Verdict, decide
from oracle.records import Address, Bytes32, CallbackStatus, OnChainStatus, RequestStatus
from oracle.relay.disputes import NO_DISPUTE, Ballot, Dispute, Outcome, Phase
from oracle.relay.hearings import Duty, HearingState, Vote

REQUEST, LIE, TRUTH, OTHER = (Bytes32(bytes([n]) * 32) for n in (1, 2, 3, 4))
ME, MINE, SIGNER, ELSE, FAR = (Address(f"0x{n:040x}") for n in (1, 2, 3, 4, 5))
NOW, WINDOW_ENDS = 1_000, 2_000
VOTE = Vote(REQUEST, MINE, TRUTH, Bytes32(b"s" * 32))
COMMITTED = Ballot(compute_vote_commitment(REQUEST, MINE, TRUTH, VOTE.salt))
REVEALED = replace(COMMITTED, revealed=TRUTH)

HELD = Situation(
    time=NOW,
    head=100,
    delivered_digest=LIE,
    beneficiaries=(SIGNER,),
    status=OnChainStatus(RequestStatus.PENDING, CallbackStatus.NONE, LIE, WINDOW_ENDS),
    dispute=NO_DISPUTE,
    verdict=Verdict.WRONG,
    true_digest=TRUTH,
    me=ME,
    operator=MINE,
    vote=None,
    ballot=Ballot(),
    may_dispute=True,
    lot_block=92,
    opened_at=NOW - 10,
)
UNDRAWN = Dispute(Outcome.OPEN, Phase.DRAWING, challenger=ELSE, seed_block=100, draw_ends_at=NOW + 500)
DRAWN = replace(UNDRAWN, phase=Phase.COMMITTING, commit_ends_at=NOW + 100, reveal_ends_at=NOW + 200, members=(MINE, ELSE, FAR))
REVEALING = replace(DRAWN, phase=Phase.REVEALING, commit_ends_at=NOW)
REPLACED = replace(
    REVEALING,
    outcome=Outcome.REPLACED,
    phase=Phase.CLOSED,
    output_digest=TRUTH,
    majority=(MINE, ELSE),
    closed_at=NOW,
)
FINAL = OnChainStatus(RequestStatus.FINAL, CallbackStatus.NONE, LIE, WINDOW_ENDS)


def in_dispute(dispute: Dispute, **changes: object) -> Situation:
    return replace(HELD, dispute=dispute, **changes)  # type: ignore[arg-type]


# ---- nobody disputes it ----------------------------------------------------------------------------------------------------------------
def test_a_lie_that_nothing_else_helps_against_is_disputed() -> None:
    assert decide(HELD).act is Act.OPEN


@pytest.mark.parametrize("verdict", [Verdict.JUDGING, Verdict.PROVING, Verdict.TRUE, Verdict.UNKNOWN])
def test_nothing_else_is_disputed(verdict: Verdict) -> None:
    move = decide(replace(HELD, verdict=verdict, true_digest=None))
    assert (move.act, move.state, move.problem) == (Act.WAIT, HearingState.HELD, None)


def test_a_window_that_is_over_is_no_time_to_dispute() -> None:
    assert decide(replace(HELD, time=WINDOW_ENDS - 1)).act is Act.OPEN
    late = decide(replace(HELD, time=WINDOW_ENDS))
    assert (late.act, late.seconds) == (Act.WAIT, PATIENCE_SECONDS)


def test_no_bond_is_put_up_against_the_owner_s_will() -> None:
    move = decide(replace(HELD, may_dispute=False))
    assert move.act is Act.WAIT
    assert move.problem is not None
    assert "no bond" in move.problem


@pytest.mark.parametrize("own", [ME, MINE])
def test_an_operator_does_not_dispute_what_it_signed(own: Address) -> None:
    move = decide(replace(HELD, beneficiaries=(SIGNER, own)))
    assert move.act is Act.WAIT
    assert move.problem is not None
    assert "own operator" in move.problem


def test_a_watcher_without_an_operator_disputes_too() -> None:
    assert decide(replace(HELD, operator=None)).act is Act.OPEN


def test_the_lot_makes_an_audit_of_a_true_answer_and_of_one_that_cannot_be_judged() -> None:
    for verdict in (Verdict.TRUE, Verdict.UNKNOWN):
        drawn = replace(HELD, verdict=verdict, is_drawn_for_audit=True)
        assert decide(drawn).act is Act.AUDIT
        assert decide(replace(drawn, time=WINDOW_ENDS + 1)).act is Act.AUDIT  # finalizing would force it anyway


def test_until_the_lot_can_be_known_it_is_looked_at_often() -> None:
    waiting = replace(HELD, verdict=Verdict.TRUE, lot_block=100)
    assert decide(waiting).seconds == SOON_SECONDS
    assert decide(replace(waiting, head=101)).seconds == WINDOW_ENDS - NOW
    far = replace(waiting, head=101, status=replace(waiting.status, available_at=NOW + 10 * LONG_SECONDS))
    assert decide(far).seconds == LONG_SECONDS


@pytest.mark.parametrize("status", [RequestStatus.FINAL, RequestStatus.REFUNDED, RequestStatus.NONE, RequestStatus.REQUESTED])
def test_what_is_decided_without_a_dispute_is_closed(status: RequestStatus) -> None:
    assert decide(replace(HELD, status=replace(HELD.status, status=status))).act is Act.CLOSE


def test_another_answer_in_its_place_is_not_ours_to_dispute() -> None:
    assert decide(replace(HELD, status=replace(HELD.status, output_digest=OTHER))).act is Act.CLOSE


# ---- the draw --------------------------------------------------------------------------------------------------------------------------
def test_the_challenger_draws_as_soon_as_the_block_is_there() -> None:
    for challenger in (ME, MINE):
        mine = in_dispute(replace(UNDRAWN, challenger=challenger))
        assert decide(mine).act is Act.DRAW
        assert decide(replace(mine, head=99)).act is Act.WAIT


def test_others_draw_when_the_challenger_does_not() -> None:
    assert decide(in_dispute(UNDRAWN)).act is Act.WAIT
    assert decide(in_dispute(UNDRAWN, opened_at=NOW - PATIENCE_SECONDS)).act is Act.DRAW


def test_nobody_draws_too_late() -> None:
    assert decide(in_dispute(replace(UNDRAWN, challenger=ME), time=UNDRAWN.draw_ends_at)).act is Act.WAIT


# ---- the vote --------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("verdict", [Verdict.WRONG, Verdict.TRUE, Verdict.PROVING])
def test_a_member_commits_to_what_its_model_gives(verdict: Verdict) -> None:
    move = decide(in_dispute(DRAWN, verdict=verdict))
    assert (move.act, move.duty, move.duty_until) == (Act.COMMIT, Duty.COMMIT, DRAWN.commit_ends_at)


def test_a_vote_that_was_kept_is_committed_to_again_after_a_crash() -> None:
    """Kept, perhaps sent, not on chain: whatever the model gives now, or whether it is at hand at all."""
    assert decide(in_dispute(DRAWN, vote=VOTE, verdict=Verdict.UNKNOWN, true_digest=None)).act is Act.COMMIT


def test_a_member_whose_watcher_is_still_judging_owes_its_vote() -> None:
    move = decide(in_dispute(DRAWN, verdict=Verdict.JUDGING, true_digest=None))
    assert (move.act, move.duty, move.duty_until) == (Act.WAIT, Duty.COMMIT, DRAWN.commit_ends_at)


def test_a_member_without_the_model_cannot_vote_and_that_is_said() -> None:
    move = decide(in_dispute(DRAWN, verdict=Verdict.UNKNOWN, true_digest=None))
    assert (move.act, move.duty) == (Act.WAIT, Duty.IMPOSSIBLE)
    assert move.problem is not None
    assert "not at hand" in move.problem


@pytest.mark.parametrize("operator", [None, SIGNER])
def test_who_is_not_a_member_only_looks_on(operator: Address | None) -> None:
    for dispute in (DRAWN, REVEALING):
        move = decide(in_dispute(dispute, operator=operator))
        assert (move.act, move.duty, move.state) == (Act.WAIT, Duty.NONE, HearingState.DISPUTED)


def test_who_has_committed_waits_for_the_others() -> None:
    move = decide(in_dispute(DRAWN, vote=VOTE, ballot=COMMITTED))
    assert (move.act, move.duty) == (Act.WAIT, Duty.NONE)


@pytest.mark.parametrize("vote", [None, replace(VOTE, salt=OTHER), replace(VOTE, output_digest=LIE)])
def test_a_commitment_that_is_not_ours_cannot_be_revealed_and_that_is_said(vote: Vote | None) -> None:
    for dispute in (DRAWN, REVEALING):
        move = decide(in_dispute(dispute, vote=vote, ballot=COMMITTED))
        assert (move.act, move.duty) == (Act.WAIT, Duty.IMPOSSIBLE)


def test_votes_are_shown_when_all_have_committed_or_the_time_for_it_is_over() -> None:
    early = decide(in_dispute(REVEALING, vote=VOTE, ballot=COMMITTED))
    assert (early.act, early.duty, early.duty_until) == (Act.REVEAL, Duty.REVEAL, REVEALING.reveal_ends_at)
    lagging = in_dispute(DRAWN, vote=VOTE, ballot=COMMITTED)  # the latest block is older than the time to commit
    assert decide(replace(lagging, time=DRAWN.commit_ends_at - 1)).act is Act.WAIT
    assert decide(replace(lagging, time=DRAWN.commit_ends_at)).act is Act.REVEAL


def test_a_vote_is_shown_once() -> None:
    move = decide(in_dispute(REVEALING, vote=VOTE, ballot=REVEALED))
    assert (move.act, move.duty) == (Act.WAIT, Duty.NONE)


def test_who_did_not_commit_in_time_has_missed_it() -> None:
    move = decide(in_dispute(DRAWN, time=DRAWN.commit_ends_at, vote=VOTE))
    assert (move.act, move.duty, move.duty_until) == (Act.WAIT, Duty.MISSED, DRAWN.reveal_ends_at)
    assert decide(in_dispute(REVEALING, vote=VOTE)).duty is Duty.MISSED


def test_a_member_votes_on_whatever_became_of_the_answer() -> None:
    assert decide(in_dispute(DRAWN, status=FINAL)).act is Act.COMMIT
    assert decide(in_dispute(REVEALING, status=FINAL, vote=VOTE, ballot=COMMITTED)).act is Act.REVEAL


# ---- the ruling ------------------------------------------------------------------------------------------------------------------------
def test_a_ruling_is_applied_by_who_disputed_or_won() -> None:
    assert decide(in_dispute(REPLACED)).act is Act.APPLY  # our operator is of the majority
    mine = replace(REPLACED, challenger=ME)
    assert decide(in_dispute(mine, operator=None)).act is Act.APPLY


def test_others_apply_it_when_they_do_not() -> None:
    assert decide(in_dispute(REPLACED, operator=None)).act is Act.WAIT
    assert decide(in_dispute(REPLACED, operator=None, time=REPLACED.closed_at + PATIENCE_SECONDS)).act is Act.APPLY


def test_only_who_has_the_output_applies_it() -> None:
    move = decide(in_dispute(replace(REPLACED, output_digest=OTHER, challenger=ME)))
    assert move.act is Act.WAIT
    assert move.problem is not None
    assert "cannot show" in move.problem


def test_an_output_that_nobody_shows_is_given_up_after_a_day() -> None:
    withheld = in_dispute(replace(REPLACED, output_digest=OTHER), verdict=Verdict.UNKNOWN, true_digest=None, operator=None)
    assert decide(replace(withheld, time=REPLACED.closed_at + OUTPUT_SECONDS - 1)).act is Act.WAIT
    assert decide(replace(withheld, time=REPLACED.closed_at + OUTPUT_SECONDS)).act is Act.APPLY


def test_without_a_majority_nothing_needs_to_be_shown() -> None:
    fallen = replace(REPLACED, outcome=Outcome.NO_MAJORITY, output_digest=Bytes32(bytes(32)), challenger=ME)
    assert decide(in_dispute(fallen, verdict=Verdict.UNKNOWN, true_digest=None)).act is Act.APPLY


def test_the_answer_is_mended_before_anybody_is_punished() -> None:
    assert decide(in_dispute(REPLACED, is_anybody_punishable=True)).act is Act.APPLY
    applied = in_dispute(REPLACED, is_anybody_punishable=True, status=replace(FINAL, output_digest=TRUTH))
    assert decide(applied).act is Act.PUNISH
    assert decide(replace(applied, is_anybody_punishable=False)).act is Act.CLOSE


@pytest.mark.parametrize("outcome", [Outcome.STANDS, Outcome.LAPSED])
def test_an_answer_that_stands_waits_to_be_finalized(outcome: Outcome) -> None:
    stands = in_dispute(replace(REPLACED, outcome=outcome, output_digest=LIE))
    assert decide(stands).act is Act.WAIT
    assert decide(replace(stands, is_anybody_punishable=True)).act is Act.PUNISH
    assert decide(replace(stands, status=FINAL)).act is Act.CLOSE


@pytest.mark.parametrize("outcome", [Outcome.STANDS, Outcome.REPLACED, Outcome.NO_MAJORITY, Outcome.SUPERSEDED])
def test_a_bond_that_is_ours_is_settled_last(outcome: Outcome) -> None:
    over = in_dispute(replace(REPLACED, outcome=outcome), status=FINAL, is_bond_ours=True)
    assert decide(over).act is Act.SETTLE
    assert decide(replace(over, is_anybody_punishable=True)).act is Act.PUNISH
    assert decide(replace(over, is_bond_ours=False)).act is Act.CLOSE


# ---- a true answer that can be proven --------------------------------------------------------------------------------------------------
def provable(dispute: Dispute, **changes: object) -> Situation:
    fits = {"verdict": Verdict.TRUE, "true_digest": LIE, "is_provable": True, "operator": None}
    return in_dispute(dispute, **(fits | changes))


@pytest.mark.parametrize("dispute", [UNDRAWN, DRAWN, REVEALING, replace(REVEALING, phase=Phase.CLOSED)])
def test_a_disputed_answer_that_is_proven_right_is_upheld_for_the_bond(dispute: Dispute) -> None:
    assert decide(provable(dispute)).act is Act.UPHOLD


@pytest.mark.parametrize(
    "changes",
    [
        {"is_provable": False},
        {"verdict": Verdict.UNKNOWN, "true_digest": None},
        {"verdict": Verdict.JUDGING, "true_digest": None},
        {"verdict": Verdict.PROVING, "true_digest": TRUTH},
        {"status": FINAL},
        {"status": replace(HELD.status, output_digest=OTHER)},
    ],
)
def test_what_is_not_known_to_be_right_and_pending_is_not_upheld(changes: dict[str, object]) -> None:
    assert decide(provable(DRAWN, **changes)).act is Act.WAIT


def test_a_vote_that_is_owed_comes_before_the_proof() -> None:
    """Or a proof that is refused again and again would cost the operator its vote."""
    mine = {"operator": MINE, "vote": None}
    assert decide(provable(DRAWN, **mine)).act is Act.COMMIT
    vote = replace(VOTE, output_digest=LIE)
    committed = Ballot(compute_vote_commitment(REQUEST, MINE, LIE, VOTE.salt))
    assert decide(provable(DRAWN, operator=MINE, vote=vote, ballot=committed)).act is Act.UPHOLD
    assert decide(provable(REVEALING, operator=MINE, vote=vote, ballot=committed)).act is Act.REVEAL


@pytest.mark.parametrize(
    ("phase", "revealed", "act"),
    [
        (Phase.COMMITTING, (), Act.WAIT),
        (Phase.REVEALING, (LIE,), Act.WAIT),
        (Phase.REVEALING, (TRUTH,), Act.UPHOLD),  # whatever is not what the model gives here: LIE is the delivered, true one
        (Phase.REVEALING, (LIE, TRUTH), Act.UPHOLD),
        (Phase.REVEALING, (LIE, LIE, TRUTH), Act.WAIT),
        (Phase.CLOSED, (LIE, LIE), Act.WAIT),
        (Phase.CLOSED, (LIE,), Act.UPHOLD),
        (Phase.CLOSED, (), Act.UPHOLD),
    ],
)
def test_an_audit_is_ended_by_a_proof_only_where_its_committee_fails(phase: Phase, revealed: tuple[Bytes32, ...], act: Act) -> None:
    audit = replace(REVEALING, phase=phase, is_audit=True)
    assert decide(provable(audit, revealed=revealed)).act is act
