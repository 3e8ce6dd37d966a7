"""The sliding minute of the API: who asks too often is told, and who is silent is forgotten."""

from __future__ import annotations

import pytest

from oracle.errors import RateLimited
from oracle.pipeline import rate
from oracle.pipeline.rate import WINDOW_SECONDS, RateLimit
from tests.twins.operators import address_of


def kept(limit: RateLimit) -> int:
    """Moments in memory."""
    return sum(map(len, limit._taken.values()))


def test_a_minute_slides() -> None:
    limit, alice, bob = RateLimit(2), address_of("alice"), address_of("bob")
    limit.take(alice, 0.0)
    limit.take(alice, 30.0)
    with pytest.raises(RateLimited, match="try again in 10 seconds"):
        limit.take(alice, 50.0)
    limit.take(bob, 50.0)
    limit.take(alice, WINDOW_SECONDS)
    with pytest.raises(RateLimited):
        limit.take(alice, WINDOW_SECONDS + 1)


def test_who_was_silent_for_a_minute_is_forgotten() -> None:
    """Each may have hundreds of moments in memory; all who ever asked must not have them for ever."""
    limit = RateLimit(5)
    for number in range(100):
        for moment in range(5):
            limit.take(address_of(f"requester-{number}"), number * 10.0 + moment)
    assert len(limit._taken) <= 1 + WINDOW_SECONDS / 10
    limit.take(address_of("the last"), 10_000.0)
    assert kept(limit) == 1


def test_who_is_refused_is_not_forgotten_for_it() -> None:
    limit, alice = RateLimit(1), address_of("alice")
    limit.take(alice, 0.0)
    for moment in (10.0, 59.0):
        with pytest.raises(RateLimited):
            limit.take(alice, moment)
    with pytest.raises(RateLimited):
        limit.take(alice, 59.9)
    limit.take(alice, 61.0)


def test_a_clock_that_is_set_back_forgets_nobody_too_early() -> None:
    limit, alice, bob = RateLimit(1), address_of("alice"), address_of("bob")
    limit.take(alice, 100.0)
    limit.take(bob, 10.0)
    with pytest.raises(RateLimited):
        limit.take(alice, 110.0)


def test_no_more_requesters_are_kept_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "MAX_REQUESTERS", 3)
    limit = RateLimit(1)
    for number in range(10):
        limit.take(address_of(f"requester-{number}"), 0.0)
    assert len(limit._taken) == 3
