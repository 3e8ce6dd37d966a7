"""What to pay for gas: EIP-1559 fees from the recent blocks' history, raised while a transaction waits, within what its jobs may cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from oracle.errors import ConfigRejected
from oracle.records import Request
from oracle.relay.transact import Fees

MINIMUM_PRIORITY_FEE_WEI = 1_000_000
"""A tip of zero is mined last or never; this one costs 10^-12 ether for a delivery of a million gas."""

MINIMUM_BUMP_PERMILLE = 125
"""Pools refuse a replacement that raises either fee by less: 10 % at most of them, 12.5 % at the strictest."""

MOST_BUMP_PERMILLE = 1_000
HISTORY_BLOCKS = 10
REWARD_PERCENTILE = 50.0


@dataclass(frozen=True, slots=True)
class FeeHistory:
    """`eth_feeHistory` of the last blocks: base fee of the next block, and one reward per block at REWARD_PERCENTILE."""

    next_base_fee_wei: int
    rewards_wei: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """How much, and how soon. Raises ConfigRejected for values that no pool or purse could follow."""

    bump_permille: int = MINIMUM_BUMP_PERMILLE  # added to both fees by a replacement
    bump_seconds: float = 15.0  # how long a transaction may wait before it is replaced
    job_budget_wei: int = 50_000_000_000_000_000  # what one job may cost in gas, at most
    budget_percent_of_fee: int = 0  # and no more than this part of the request's own fee, for deliveries; 0: its fee is no measure

    def __post_init__(self) -> None:
        if not MINIMUM_BUMP_PERMILLE <= self.bump_permille <= MOST_BUMP_PERMILLE:
            raise ConfigRejected("relay: bump_permille", f"{MINIMUM_BUMP_PERMILLE} to {MOST_BUMP_PERMILLE}", self.bump_permille)
        if self.bump_seconds <= 0:
            raise ConfigRejected("relay: bump_seconds", "more than 0", self.bump_seconds)
        if self.job_budget_wei <= 0 or self.budget_percent_of_fee < 0:
            got = f"{self.job_budget_wei}, {self.budget_percent_of_fee}"
            raise ConfigRejected("relay: job_budget_wei, budget_percent_of_fee", "more than 0; 0 or more", got)

    def compute_budget_wei(self, request: Request, is_delivery: bool) -> int:
        """The most that one job may cost in gas. A refund or finalization is measured by `job_budget_wei` alone."""
        if not is_delivery or not self.budget_percent_of_fee:
            return self.job_budget_wei
        return min(self.job_budget_wei, request.fee_wei * self.budget_percent_of_fee // 100)

    def compute_wait_seconds(self, left_seconds: float | None) -> float:
        """How long a transaction waits before it is replaced: an eighth of what is left until its deadline where that is less."""
        return self.bump_seconds if left_seconds is None else min(self.bump_seconds, max(1.0, left_seconds / 8))

    def compute_step_permille(self, left_seconds: float | None) -> int:
        """What a replacement adds: twice as much from eight waits before the deadline, four times from four."""
        if left_seconds is None or left_seconds >= 8 * self.bump_seconds:
            return self.bump_permille
        return min(MOST_BUMP_PERMILLE, self.bump_permille * (2 if left_seconds >= 4 * self.bump_seconds else 4))


def compute_fees(history: FeeHistory) -> Fees:
    """Twice the next base fee (it rises by at most 12.5 % a block: enough for six full blocks) plus the usual tip."""
    priority = max(_usual_reward(history.rewards_wei), MINIMUM_PRIORITY_FEE_WEI)
    return Fees(2 * history.next_base_fee_wei + priority, priority)


def compute_fees_within(history: FeeHistory, most_fee_wei: int) -> Fees | None:
    """As `compute_fees`, at most `most_fee_wei` for each gas; None where that would not be mined in the next block."""
    fees = compute_fees(history)
    if history.next_base_fee_wei + fees.priority_fee_wei > most_fee_wei:
        return None
    return Fees(min(fees.max_fee_wei, most_fee_wei), fees.priority_fee_wei)


def raise_fees(old: Fees, history: FeeHistory, permille: int, most_fee_wei: int) -> Fees | None:
    """Fees of a replacement: both raised by `permille`, or to today's where those are higher, at most `most_fee_wei` for each gas.

    None where that limit allows no replacement, or none that the next block could take: raising would then be for nothing.
    """
    market, least = compute_fees(history), Fees(_raise_up(old.max_fee_wei, permille), _raise_up(old.priority_fee_wei, permille))
    if max(least.max_fee_wei, history.next_base_fee_wei) > most_fee_wei:
        return None
    max_fee = min(max(least.max_fee_wei, market.max_fee_wei), most_fee_wei)
    return Fees(max_fee, min(max(least.priority_fee_wei, market.priority_fee_wei), max_fee))


def _raise_up(fee_wei: int, permille: int) -> int:
    return fee_wei + -(-fee_wei * permille // 1000)


def _usual_reward(rewards_wei: Sequence[int]) -> int:
    return median_low(rewards_wei) if rewards_wei else 0
