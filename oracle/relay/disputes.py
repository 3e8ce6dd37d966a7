"""The contract Disputes as this side sees it: what it tells, as records, and what it and its neighbours can be told, as calls.

Beside `oracle.relay.contracts`, whose connection it uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from oracle.records import Address, Asked, Bytes32, Claim, Request
from oracle.relay import shapes
from oracle.relay.contracts import Contracts
from oracle.relay.failures import CallReverted
from oracle.relay.transact import Call

NO_DIGEST = Bytes32(bytes(32))


class Outcome(IntEnum):
    """As IDisputes.sol numbers them."""

    NONE = 0
    OPEN = 1
    STANDS = 2
    REPLACED = 3
    NO_MAJORITY = 4
    LAPSED = 5
    SUPERSEDED = 6

    @property
    def is_fall(self) -> bool:
        """Whether a committee took the delivered answer away."""
        return self in (Outcome.REPLACED, Outcome.NO_MAJORITY)


class Phase(IntEnum):
    """As IDisputes.sol numbers them."""

    NONE = 0
    DRAWING = 1
    COMMITTING = 2
    REVEALING = 3
    CLOSED = 4


@dataclass(frozen=True, slots=True)
class Terms:
    """What a deployment's disputes take, for ever. `bond_wei` is of the chain's own coin; `audit_one_in` 0: no audits."""

    bond_wei: int
    committee_size: int
    draw_seconds: int
    commit_seconds: int
    reveal_seconds: int
    audit_one_in: int


@dataclass(frozen=True, slots=True)
class Ballot:
    """What the chain has of a member's vote; zeros until it is there."""

    commitment: Bytes32 = NO_DIGEST
    revealed: Bytes32 = NO_DIGEST

    @property
    def has_committed(self) -> bool:
        return self.commitment != NO_DIGEST

    @property
    def has_revealed(self) -> bool:
        return self.revealed != NO_DIGEST


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute or an audit of one answer, and its ruling. Times are chain seconds since 1970, in each the first that is too late."""

    outcome: Outcome = Outcome.NONE
    phase: Phase = Phase.NONE
    output_digest: Bytes32 = NO_DIGEST  # what holds, where a majority said so
    challenger: Address | None = None
    is_audit: bool = False
    seed_block: int = 0  # the first whose hash can draw the committee
    draw_ends_at: int = 0
    commit_ends_at: int = 0  # 0 before the draw, as the next
    reveal_ends_at: int = 0
    closed_at: int = 0
    members: tuple[Address, ...] = ()  # operators' accounts
    majority: tuple[Address, ...] = ()  # who voted for `output_digest`


NO_DISPUTE = Dispute()


class Disputes:
    """The contract of one deployment. Raises ChainError where the endpoint fails."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._at = contracts.deployment.disputes

    @property
    def is_there(self) -> bool:
        """Whether the deployment has the contract: one made earlier has not."""
        return self._at is not None

    @cached_property
    def terms(self) -> Terms:
        names = ("BOND_WEI", "COMMITTEE_SIZE", "DRAW_SECONDS", "COMMIT_SECONDS", "REVEAL_SECONDS", "AUDIT_ONE_IN")
        return Terms(*(int(self._contracts.view("Disputes", name)) for name in names))

    # ---- reading ----------------------------------------------------------------------------------------------------------------------
    def dispute_of(self, request_id: Bytes32) -> Dispute:
        """NO_DISPUTE where there is none."""
        outcome, digest, challenger, majority, closed_at = self._contracts.view("Disputes", "rulingOf", request_id)
        if outcome == Outcome.NONE:
            return NO_DISPUTE
        info = self._contracts.view("Disputes", "infoOf", request_id)
        phase, is_audit, _challenger, _disputed, seed_block, draw_ends_at, commit_ends_at, reveal_ends_at, members = info
        return Dispute(
            outcome=Outcome(outcome),
            phase=Phase(phase),
            output_digest=Bytes32(digest),
            challenger=Address(challenger),
            is_audit=is_audit,
            seed_block=seed_block,
            draw_ends_at=draw_ends_at,
            commit_ends_at=commit_ends_at,
            reveal_ends_at=reveal_ends_at,
            closed_at=closed_at,
            members=tuple(Address(m) for m in members),
            majority=tuple(Address(m) for m in majority),
        )

    def ballot_of(self, request_id: Bytes32, member: Address) -> Ballot:
        commitment, digest = self._contracts.view("Disputes", "voteOf", request_id, member)
        return Ballot(Bytes32(commitment), Bytes32(digest))

    def is_faulty(self, request_id: Bytes32, member: Address) -> bool:
        """Whether a member was absent, or voted against a majority."""
        return bool(self._contracts.view("Disputes", "isFaulty", request_id, member))

    def was_fined(self, request_id: Bytes32, member: Address) -> bool:
        return bool(self._contracts.view("FraudProofs", "wasFined", request_id, member))

    def is_audit_due(self, request_id: Bytes32) -> bool:
        return bool(self._contracts.view("Disputes", "isAuditDue", request_id))

    def owed_to(self, account: Address) -> int:
        """Wei of bonds that were credited to an account and not withdrawn."""
        return int(self._contracts.view("Disputes", "owedTo", account))

    def is_bond_unsettled(self, request_id: Bytes32, asker: Address) -> bool:
        """Whether `settleBond` would do anything."""
        try:
            self._contracts.estimate_gas(self.settle_bond_call(request_id), asker)
        except CallReverted:
            return False
        return True

    def opened(self) -> list[Bytes32]:
        """The requests whose answers were ever disputed or audited, oldest first."""
        return self._contracts.requests_named_by("Disputes", "DisputeOpened") if self.is_there else []

    def touched_in_each(self, block_hashes: Sequence[Bytes32]) -> list[list[Bytes32]]:
        """The requests about whose disputes each of exactly these blocks tells something, each once."""
        return self._contracts.requests_named_in_each("Disputes", block_hashes) if self.is_there else [[] for _ in block_hashes]

    # ---- calls to send ----------------------------------------------------------------------------------------------------------------
    def open_call(self, request: Request, beneficiaries: Sequence[Address]) -> Call:
        """With the bond."""
        arguments = (shapes.request_tuple(request), list(beneficiaries))
        return self._contracts.call("Disputes", "open", *arguments, value_wei=self.terms.bond_wei)

    def open_audit_call(self, request: Request, beneficiaries: Sequence[Address]) -> Call:
        return self._contracts.call("Disputes", "openAudit", shapes.request_tuple(request), list(beneficiaries))

    def draw_call(self, request_id: Bytes32) -> Call:
        return self._contracts.call("Disputes", "draw", request_id)

    def commit_call(self, request_id: Bytes32, commitment: Bytes32) -> Call:
        return self._contracts.call("Disputes", "commitVote", request_id, commitment)

    def reveal_call(self, request_id: Bytes32, output_digest: Bytes32, salt: Bytes32) -> Call:
        return self._contracts.call("Disputes", "revealVote", request_id, output_digest, salt)

    def settle_bond_call(self, request_id: Bytes32) -> Call:
        return self._contracts.call("Disputes", "settleBond", request_id)

    def withdraw_call(self, to: Address) -> Call:
        return self._contracts.call("Disputes", "withdraw", to)

    def apply_call(self, request: Request, output: bytes) -> Call:
        """Carries a ruling out; the output of a majority, nothing where there is none."""
        return self._contracts.call("Coprocessor", "applyRuling", shapes.request_tuple(request), output)

    def outvoted_call(self, asked: Asked, claim: Claim, signatures: Sequence[bytes]) -> Call:
        """Slashes who signed an output that a committee replaced."""
        request = shapes.request_tuple(asked.request)
        return self._contracts.call("FraudProofs", "proveOutvoted", request, claim.output_digest, list(signatures))

    def outvoted_together_call(self, asked: Asked, claim: Claim, keys: Sequence[bytes], signature: bytes) -> Call:
        """As `outvoted_call`, for a claim that was signed with BLS keys together."""
        request = shapes.request_tuple(asked.request)
        return self._contracts.call("FraudProofs", "proveOutvotedTogether", request, claim.output_digest, (list(keys), signature))

    def penalize_call(self, request_id: Bytes32, member: Address) -> Call:
        return self._contracts.call("FraudProofs", "penalizeVoter", request_id, member)
