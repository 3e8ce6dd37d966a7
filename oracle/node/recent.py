"""What a node's checks read of the chain, kept for a moment.

A request is checked at the door and again by its worker, usually within milliseconds, and most of what is read (operators, the model, the
head) is the same for all requests of a moment. A check may therefore see the chain as it was up to RECENT_SECONDS ago. It could always have
been made that much earlier: nothing that it finds is certain to hold when the answer is delivered, and the contracts check everything then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from oracle.errors import ChainError
from oracle.records import Address, Asks, Block, Bytes32, OnChainStatus, Operator, RegisteredModel
from oracle.seams import BlockTag, ChainReader

RECENT_SECONDS = 0.5
MOST_KEPT = 4096

R = TypeVar("R")


class RecentChain:
    """A `ChainReader` for checks; what is not named here is passed through. Safe to use from several threads: at worst two ask at once."""

    def __init__(self, chain: ChainReader, clock: Callable[[], float] = time.monotonic, seconds: float = RECENT_SECONDS) -> None:
        self._chain = chain
        self._clock = clock
        self._seconds = seconds
        self._kept: dict[Hashable, tuple[float, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def block(self, which: int | BlockTag) -> Block | None:
        return self._recent(("block", which), lambda: self._chain.block(which))

    def operators(self, block_number: int | None = None) -> list[Operator]:
        return list(self._recent(("operators", block_number), lambda: self._chain.operators(block_number)))

    def model(self, model_id: Bytes32) -> RegisteredModel | None:
        return self._recent(("model", model_id), lambda: self._chain.model(model_id))

    def status_of(self, request_id: Bytes32) -> OnChainStatus:
        return self._recent(("status", request_id), lambda: self._chain.status_of(request_id))

    def foresee(self, request_ids: Sequence[Bytes32]) -> None:
        """Reads the status of several at once, of those that were not read a moment ago. A failure is met again by who asks for one."""
        now = self._clock()
        keys = [("status", one) for one in request_ids]
        unknown = [key for key in keys if now - self._kept.get(key, (float("-inf"), None))[0] > self._seconds]
        if not unknown:
            return
        try:
            found = self._chain.statuses_of([request_id for _, request_id in unknown])
        except ChainError:
            return
        if len(self._kept) + len(found) > MOST_KEPT:
            self._kept.clear()
        self._kept |= {key: (now, status) for key, status in zip(unknown, found, strict=True)}

    def balance_of(self, account: Address) -> int:
        return self._recent(("balance", account), lambda: self._chain.balance_of(account))

    def asks_of(self, operator: Address, model_id: Bytes32) -> Asks | None:
        return self._recent(("asks", operator, model_id), lambda: (self._chain.asks_of(operator, model_id),))[0]

    def _recent(self, key: Hashable, read: Callable[[], R]) -> R:
        """What was read for `key` a moment ago, else what `read` gives. A failure is not kept, nor is the absence of something."""
        now = self._clock()
        read_at, value = self._kept.get(key, (float("-inf"), None))
        if now - read_at <= self._seconds:
            kept: R = value
            return kept
        found = read()
        if found is not None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = (now, found)
        return found
