"""The contract Disputes as this side sees it: what it tells, as records, and what it can be told, as calls.

Beside `oracle.relay.contracts`, whose connection it uses. A deployment that was made before there were disputes has none: `find` is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from oracle.records import Address, Bytes32

NO_DIGEST = Bytes32(bytes(32))


class Outcome(IntEnum):
    """As IDisputes.sol numbers them."""

    NONE = 0
    OPEN = 1
    STANDS = 2
    REPLACED = 3
    NO_MAJORITY = 4
    LAPSED = 5

    @property
    def is_fall(self) -> bool:
        """Whether the delivered answer can only be taken away now."""
        return self in (Outcome.REPLACED, Outcome.NO_MAJORITY)

    @property
    def has_majority(self) -> bool:
        return self in (Outcome.STANDS, Outcome.REPLACED)


@dataclass(frozen=True, slots=True)
class Member:
    """One of a committee. `commitment` and `revealed` are zero until they are there."""

    operator: Address
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
    """A dispute or an audit of one answer. Times are chain seconds since 1970; those of the vote are 0 until the committee is drawn."""

    outcome: Outcome = Outcome.NONE
    output_digest: Bytes32 = NO_DIGEST  # of the majority, once there is one
    challenger: Address | None = None
    is_audit: bool = False
    opened_at: int = 0
    draw_block: int = 0  # whose hash draws
    draw_by: int = 0
    commit_by: int = 0
    reveal_by: int = 0
    members: tuple[Member, ...] = ()

    def is_committing(self, time: int) -> bool:
        """Whether commitments are taken: until the time for it is over, or all have committed."""
        return time < self.commit_by and not all(m.has_committed for m in self.members)

    @property
    def majority(self) -> tuple[Address, ...]:
        """Who voted as most did."""
        if not self.outcome.has_majority:
            return ()
        return tuple(m.operator for m in self.members if m.revealed == self.output_digest)

    @property
    def losers(self) -> tuple[Address, ...]:
        """Who can be made to pay: absent, or with a majority against them."""
        if self.outcome in (Outcome.NONE, Outcome.OPEN):
            return ()
        has_majority = self.outcome.has_majority
        return tuple(m.operator for m in self.members if not m.has_revealed or (has_majority and m.revealed != self.output_digest))


NO_DISPUTE = Dispute()
