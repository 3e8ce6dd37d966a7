"""Answers kept while the chain's head stays the same block: asked once, whoever asks at once, and never for another head."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from oracle.encoding import keccak256
from oracle.errors import ChainError
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
