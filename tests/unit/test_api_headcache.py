"""Answers kept while the chain's head stays the same block: asked once, whoever asks at once, and never for another head."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from oracle.encoding import keccak256
from oracle.errors import ChainError
from oracle.pipeline import headcache
from oracle.pipeline.headcache import HeadCache

FIRST, SECOND = keccak256(b"first"), keccak256(b"second")


def test_another_head_forgets() -> None:
    cache, asked = HeadCache(), []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    assert [cache.get(head, "key", ask) for head in (FIRST, FIRST, SECOND, SECOND, FIRST)] == [1, 1, 2, 2, 3]


def test_many_at_once_ask_once() -> None:
    cache, asked, release = HeadCache(), threading.Semaphore(0), threading.Event()

    def ask() -> int:
        asked.release()
        assert release.wait(10)
        return 7

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(cache.get, FIRST, "key", ask) for _ in range(8)]
        assert asked.acquire(timeout=10)
        assert cache.get(FIRST, "another key", lambda: 8) == 8  # waits for nobody
        assert cache.get(SECOND, "key", lambda: 9) == 9  # nor does whoever is ahead
        release.set()
        assert {answer.result(10) for answer in answers} == {7}
    assert cache.get(SECOND, "key", lambda: 0) == 9


def test_a_failure_is_nobody_else_s() -> None:
    cache = HeadCache()

    def fail() -> int:
        raise ChainError("away")

    with pytest.raises(ChainError):
        cache.get(FIRST, "key", fail)
    assert cache.get(FIRST, "key", lambda: 3) == 3


def test_what_strangers_ask_for_at_one_head_does_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head of a chain that stands still stays the same for hours, and a price may be asked for under any policy."""
    monkeypatch.setattr(headcache, "MOST_KEPT", 8)
    cache = HeadCache()
    for number in range(100):
        assert cache.get(FIRST, number, lambda number=number: number) == number  # type: ignore[misc]
        assert max(len(cache._values), len(cache._asking)) <= 8
    assert cache.get(FIRST, 99, lambda: -1) == 99  # the newest are still there


def test_what_fails_at_one_head_does_not_pile_up_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headcache, "MOST_KEPT", 8)
    cache = HeadCache()

    def fail() -> int:
        raise ChainError("down")

    for number in range(100):
        with pytest.raises(ChainError):
            cache.get(FIRST, number, fail)
    assert len(cache._asking) <= 8
