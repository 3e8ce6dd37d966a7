"""How often one requester may ask: a sliding minute, in memory.

In memory on purpose: it protects this process, costs nothing to lose at a restart, and several API processes each have their own allowance.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from threading import Lock

from oracle.errors import RateLimited
from oracle.records import Address

WINDOW_SECONDS = 60.0
MAX_REQUESTERS = 100_000


class RateLimit:
    """At most `per_minute` takes by one requester in any 60 seconds."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._taken: OrderedDict[Address, deque[float]] = OrderedDict()
        self._lock = Lock()

    def take(self, requester: Address, now_seconds: float) -> None:
        """Counts one request. Raises RateLimited, and then counts nothing."""
        with self._lock:
            times = self._taken.setdefault(requester, deque())
            self._taken.move_to_end(requester)
            while times and times[0] <= now_seconds - WINDOW_SECONDS:
                times.popleft()
            if len(times) >= self._per_minute:
                wait = times[0] + WINDOW_SECONDS - now_seconds if times else WINDOW_SECONDS
                raise RateLimited(
                    f"requests of {requester}", f"at most {self._per_minute} a minute", f"one more; try again in {wait:.0f} seconds"
                )
            times.append(now_seconds)
            self._forget_silent(now_seconds)
            if len(self._taken) > MAX_REQUESTERS:  # the one silent for longest is forgotten
                self._taken.popitem(last=False)

    def _forget_silent(self, now_seconds: float) -> None:
        """Whoever asked for the last time a minute ago or longer, from those silent for longest on: their moments count no more."""
        while (times := next(iter(self._taken.values()))) and times[-1] <= now_seconds - WINDOW_SECONDS:
            self._taken.popitem(last=False)
