"""How many event streams are open at once: each holds a connection and asks the database four times a second, for up to an hour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oracle.errors import RateLimited


class Seats:
    """At most `limit` at once. For one event loop, like the process it counts for: nothing is awaited between looking and taking."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """One seat until the end of the block. Raises RateLimited where all are taken."""
        if self._taken >= self._limit:
            raise RateLimited("event streams", f"at most {self._limit} at once", "one more; try again, or ask for the state instead")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
