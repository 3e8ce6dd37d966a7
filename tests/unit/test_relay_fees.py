"""What a transaction may cost, by how much a replacement raises it, and when: numbers, without a chain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.errors import ConfigRejected
from oracle.records import Address, Bytes32, Request
from oracle.relay.fees import MINIMUM_PRIORITY_FEE_WEI, FeeHistory, FeePolicy, compute_fees, compute_fees_within, raise_fees
from oracle.relay.transact import Fees

GWEI = 10**9
SOMEWHERE = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
REQUEST = Request(SOMEWHERE, SOMEWHERE, Bytes32(bytes(32)), Bytes32(bytes(32)), Bytes32(bytes(32)), 10**15, 0, 1_000, 1)


@given(
    old=st.tuples(st.integers(0, 2**60), st.integers(0, 2**60)).map(lambda pair: Fees(max(pair), min(pair))),
    base_fee=st.integers(0, 2**60),
    reward=st.integers(0, 2**50),
    permille=st.integers(125, 1000),
    most=st.integers(0, 2**62),
)
def test_a_replacement_raises_both_fees_enough_and_stays_within_its_limit(
    old: Fees, base_fee: int, reward: int, permille: int, most: int
) -> None:
    history = FeeHistory(base_fee, (reward,))
    raised = raise_fees(old, history, permille, most)
    if raised is None:
        assert old.max_fee_wei * (1000 + permille) > (most - 1) * 1000 or base_fee > most
        return
    assert raised.max_fee_wei * 1000 >= old.max_fee_wei * (1000 + permille)
    assert raised.priority_fee_wei * 1000 >= old.priority_fee_wei * (1000 + permille)
    assert raised.priority_fee_wei <= raised.max_fee_wei <= most
    assert raised.max_fee_wei >= base_fee


def test_a_replacement_follows_the_market_when_that_is_higher() -> None:
    history = FeeHistory(50 * GWEI, (3 * GWEI,))
    assert raise_fees(Fees(2 * GWEI, GWEI), history, 125, 10**12) == compute_fees(history)
    assert raise_fees(Fees(2 * GWEI, GWEI), history, 125, 60 * GWEI) == Fees(60 * GWEI, 3 * GWEI)  # all that the limit allows
    assert raise_fees(Fees(2 * GWEI, GWEI), history, 125, 49 * GWEI) is None  # the next block would not take it


def test_the_first_fees_are_cut_to_the_limit_or_not_sent_at_all() -> None:
    history = FeeHistory(10 * GWEI, (GWEI,))
    assert compute_fees_within(history, 100 * GWEI) == Fees(21 * GWEI, GWEI)
    assert compute_fees_within(history, 11 * GWEI) == Fees(11 * GWEI, GWEI)
    assert compute_fees_within(history, 11 * GWEI - 1) is None
    assert compute_fees_within(FeeHistory(0, ()), MINIMUM_PRIORITY_FEE_WEI) == Fees(MINIMUM_PRIORITY_FEE_WEI, MINIMUM_PRIORITY_FEE_WEI)


def test_the_closer_the_deadline_the_sooner_and_the_more() -> None:
    policy = FeePolicy(bump_permille=130, bump_seconds=16)
    assert [policy.compute_wait_seconds(left) for left in (None, 1000, 128, 64, 8, 0, -5)] == [16, 16, 16, 8, 1, 1, 1]
    assert [policy.compute_step_permille(left) for left in (None, 128, 127, 64, 63, 0)] == [130, 130, 260, 260, 520, 520]
    assert FeePolicy(bump_permille=600).compute_step_permille(0) == 1000


def test_a_budget_is_the_relay_s_own_or_a_part_of_the_request_s_fee() -> None:
    assert FeePolicy(job_budget_wei=7).compute_budget_wei(REQUEST, True) == 7
    half = FeePolicy(job_budget_wei=10**18, budget_percent_of_fee=50)
    assert half.compute_budget_wei(REQUEST, True) == 5 * 10**14
    assert half.compute_budget_wei(REQUEST, False) == 10**18  # a refund pays nobody
    assert half.compute_budget_wei(replace(REQUEST, fee_wei=0), True) == 0
    assert replace(half, job_budget_wei=9).compute_budget_wei(REQUEST, True) == 9


@pytest.mark.parametrize(
    "values",
    [{"bump_permille": 124}, {"bump_permille": 1001}, {"bump_seconds": 0.0}, {"job_budget_wei": 0}, {"budget_percent_of_fee": -1}],
    ids=str,
)
def test_settings_that_no_pool_or_purse_could_follow_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigRejected, match=next(iter(values))):
        FeePolicy(**values)  # type: ignore[arg-type]
