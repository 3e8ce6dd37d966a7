"""A clock that a test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class MovedClock:
    """`oracle.seams.Clock`, standing still between two calls of `forward`."""

    def __init__(self, start: datetime = datetime(2026, 11, 22, 10, tzinfo=UTC)) -> None:
        self.moment = start

    def now(self) -> datetime:
        return self.moment

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
