"""Disputes as people meet them: opened by hand, how each stands, who owes a vote, and the bonds that wait to be withdrawn."""

from __future__ import annotations

from dataclasses import dataclass

from oracle.encoding import to_hex, unpack_policy
from oracle.errors import PolicyRejected, RequestRejected, RequestUnknown
from oracle.pipeline.seat import format_moment
from oracle.pipeline.session import Session
from oracle.records import Address, Bytes32, Delivered, Request, RequestStatus
from oracle.relay.contracts import Contracts
from oracle.relay.disputes import Ballot, Dispute, Disputes, Outcome, Phase
from oracle.seams import find_carried


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
    disputes = open_disputes(contracts)
    dispute = disputes.dispute_of(request_id)
    if dispute.outcome is Outcome.NONE:
        raise RequestUnknown("dispute", f"one about {to_hex(request_id)}", "none")
    return DisputeRow(request_id, dispute, tuple((m, disputes.ballot_of(request_id, m)) for m in dispute.members))


def open_dispute(session: Session, request_id: Bytes32, bond_wei: int) -> Dispute:
    """Disputes a pending answer with a bond of the chain's coin, which is lost where a committee finds the answer right.

    `bond_wei` is what the caller knows to put up: exactly the deployment's. Raises RequestUnknown where nothing was delivered,
    PolicyRejected where its policy has no disputes, RequestRejected where it cannot be disputed now, CallReverted where the contract
    refuses (an own answer, too few others to judge), ChainError.
    """
    disputes, request, delivered = _read_disputable(session.contracts, request_id)
    if bond_wei != disputes.terms.bond_wei:
        raise RequestRejected("bond", f"{disputes.terms.bond_wei} wei", f"{bond_wei} wei")
    session.sender.send(disputes.open_call(request, delivered.beneficiaries))
    return disputes.dispute_of(request_id)


def _read_disputable(contracts: Contracts, request_id: Bytes32) -> tuple[Disputes, Request, Delivered]:
    disputes, receipt = open_disputes(contracts), contracts.delivery_of(request_id)
    if receipt is None:
        raise RequestUnknown("answer", f"one to {to_hex(request_id)}", "none on chain")
    carried = find_carried(contracts, receipt, request_id)
    asked = contracts.asked_of(request_id) or (carried.asked if carried else None)
    if asked is None:
        raise RequestRejected("request", "one that the chain shows", "one signed, and delivered through another contract")
    if not unpack_policy(asked.request.policy).disputable:
        raise PolicyRejected("policy of the request", "a disputable one", to_hex(asked.request.policy))
    status = contracts.status_of(request_id)
    if status.status is not RequestStatus.PENDING:
        raise RequestRejected("state of the request", "PENDING", status.status.name)
    if (now := contracts.pending_time()) >= status.available_at:
        raise RequestRejected("time of the dispute", f"before {status.available_at}, when the window ends", now)
    if (known := disputes.dispute_of(request_id)).outcome is not Outcome.NONE:
        raise RequestRejected("dispute", "none before it", f"one by {known.challenger}")
    return disputes, asked.request, next(d for d in receipt.delivered if d.request_id == request_id)


def take_bond(session: Session, request_id: Bytes32, to: Address) -> int:
    """Settles the bond of a ruling, unless somebody has, and pays out what the account is owed of this one and any other, in wei."""
    disputes = open_disputes(session.contracts)
    if disputes.is_bond_unsettled(request_id, session.account):
        session.sender.send(disputes.settle_bond_call(request_id))
    return withdraw_bonds(session, to)


def list_disputes(contracts: Contracts, operator: Address | None, is_open_only: bool) -> list[DisputeRow]:
    """Oldest first; with an operator those whose committees it is a member of."""
    rows = [read_dispute(contracts, request_id) for request_id in open_disputes(contracts).opened()]
    return [
        row
        for row in rows
        if (operator is None or operator in row.dispute.members) and (not is_open_only or row.dispute.outcome is Outcome.OPEN)
    ]


def withdraw_bonds(session: Session, to: Address) -> int:
    """Pays out what bonds were credited to the account, in wei of the chain's coin; 0 where there is nothing."""
    disputes = open_disputes(session.contracts)
    owed_wei = disputes.owed_to(session.account)
    if owed_wei:
        session.sender.send(disputes.withdraw_call(to))
    return owed_wei


def open_disputes(contracts: Contracts) -> Disputes:
    """Raises RequestRejected where the deployment has none."""
    disputes = Disputes(contracts)
    if not disputes.is_there:
        raise RequestRejected("deployment", "one with the contract Disputes", "an older one")
    return disputes
