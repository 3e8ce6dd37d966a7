"""Disputes as people look at them: which there are, how each stands, who owes a vote, and the bonds that wait to be withdrawn."""

from __future__ import annotations

from dataclasses import dataclass

from oracle.encoding import to_hex
from oracle.errors import RequestRejected, RequestUnknown
from oracle.pipeline.seat import format_moment
from oracle.pipeline.session import Session
from oracle.records import Address, Bytes32
from oracle.relay.contracts import Contracts
from oracle.relay.disputes import Ballot, Dispute, Disputes, Outcome, Phase


@dataclass(frozen=True, slots=True)
class DisputeRow:
    """A dispute, and each member's vote as far as the chain shows it."""

    request_id: Bytes32
    dispute: Dispute
    ballots: tuple[tuple[Address, Ballot], ...]

    def describe_vote(self, member: Address) -> str:
        """In a word: what a member did, or owes."""
        ballot = dict(self.ballots)[member]
        if ballot.has_revealed:
            return to_hex(ballot.revealed)
        if self.dispute.phase is Phase.COMMITTING:
            return "committed" if ballot.has_committed else "owes a commitment"
        if self.dispute.phase is Phase.REVEALING and ballot.has_committed:
            return "owes a reveal"
        return "absent"

    def to_json(self) -> dict[str, object]:
        d = self.dispute
        ends_at = {Phase.DRAWING: d.draw_ends_at, Phase.COMMITTING: d.commit_ends_at, Phase.REVEALING: d.reveal_ends_at}.get(d.phase, 0)
        return {
            "request_id": to_hex(self.request_id),
            "phase": d.phase.name.lower(),
            "phase_ends_at": format_moment(ends_at) if ends_at else None,
            "outcome": d.outcome.name.lower(),
            "output_digest": to_hex(d.output_digest) if d.majority else None,
            "is_audit": d.is_audit,
            "challenger": d.challenger,
            "votes": {member: self.describe_vote(member) for member in d.members},
        }


def read_dispute(contracts: Contracts, request_id: Bytes32) -> DisputeRow:
    """Raises RequestUnknown where nobody disputed the request's answer, RequestRejected where the deployment has no disputes."""
    disputes = _open(contracts)
    dispute = disputes.dispute_of(request_id)
    if dispute.outcome is Outcome.NONE:
        raise RequestUnknown("dispute", f"one about {to_hex(request_id)}", "none")
    return DisputeRow(request_id, dispute, tuple((m, disputes.ballot_of(request_id, m)) for m in dispute.members))


def list_disputes(contracts: Contracts, operator: Address | None, is_open_only: bool) -> list[DisputeRow]:
    """Oldest first; with an operator those whose committees it is a member of."""
    rows = [read_dispute(contracts, request_id) for request_id in _open(contracts).opened()]
    return [
        row
        for row in rows
        if (operator is None or operator in row.dispute.members) and (not is_open_only or row.dispute.outcome is Outcome.OPEN)
    ]


def withdraw_bonds(session: Session, to: Address) -> int:
    """Pays out what bonds were credited to the account, in wei of the chain's coin; 0 where there is nothing."""
    disputes = _open(session.contracts)
    owed_wei = disputes.owed_to(session.account)
    if owed_wei:
        session.sender.send(disputes.withdraw_call(to))
    return owed_wei


def _open(contracts: Contracts) -> Disputes:
    disputes = Disputes(contracts)
    if not disputes.is_there:
        raise RequestRejected("deployment", "one with the contract Disputes", "an older one")
    return disputes
