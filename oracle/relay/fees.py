"""What to pay for gas: EIP-1559 fees from the recent blocks' history. Raising the fee of a waiting transaction uses the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from oracle.relay.transact import Fees

MINIMUM_PRIORITY_FEE_WEI = 1_000_000
"""A tip of zero is mined last or never; this one costs 10^-12 ether for a delivery of a million gas."""

HISTORY_BLOCKS = 10
REWARD_PERCENTILE = 50.0


@dataclass(frozen=True, slots=True)
class FeeHistory:
    """`eth_feeHistory` of the last blocks: base fee of the next block, and one reward per block at REWARD_PERCENTILE."""

    next_base_fee_wei: int
    rewards_wei: tuple[int, ...]


def compute_fees(history: FeeHistory) -> Fees:
    """Twice the next base fee (it rises by at most 12.5 % a block: enough for six full blocks) plus the usual tip."""
    priority = max(_usual_reward(history.rewards_wei), MINIMUM_PRIORITY_FEE_WEI)
    return Fees(2 * history.next_base_fee_wei + priority, priority)


def _usual_reward(rewards_wei: Sequence[int]) -> int:
    return median_low(rewards_wei) if rewards_wei else 0
