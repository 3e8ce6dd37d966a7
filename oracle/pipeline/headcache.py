"""Answers of the chain that cannot change while its head stays the same block: asked once a block, not once a request."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

from oracle.records import Bytes32

MOST_KEPT = 4096
"""Values at one head. Strangers choose some of the keys, and the head of a chain that stands still stays the same."""

T = TypeVar("T")


class HeadCache:
    """Values by key at the newest block seen, MOST_KEPT at most. Exact: another head, also one of the same height, forgets everything."""

    def __init__(self) -> None:
        self._head: Bytes32 | None = None
        self._values: dict[Hashable, Any] = {}
        self._asking: dict[Hashable, Lock] = {}
        self._lock = Lock()

    def get(self, head: Bytes32, key: Hashable, ask: Callable[[], T]) -> T:
        """The value of `key` at `head`. Who wants it while another asks for it waits for that answer; who wants another key does not."""
        with self._lock:
            if self._head != head or (key not in self._asking and len(self._asking) >= MOST_KEPT):
                self._head, self._values, self._asking = head, {}, {}
            if key in self._values:
                known: T = self._values[key]
                return known
            asking = self._asking.setdefault(key, Lock())
        with asking:
            with self._lock:
                if self._head == head and key in self._values:
                    answered: T = self._values[key]
                    return answered
            value = ask()
            with self._lock:
                if self._head == head and key in self._asking:
                    self._values[key] = value
        return value
