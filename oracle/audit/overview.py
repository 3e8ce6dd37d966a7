"""Counts of calls over a period, from the hours and days that the index keeps: how many, how they ended, what verified them, how long.

A call counts in the hour of its first record, with what its records say by now. Periods are widened to whole hours, beyond a week to
whole days (UTC). Latencies are kept in classes that grow by 5 %, so a quantile is within 2.5 % of the true one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from oracle.audit.ledger import moment_of
from oracle.audit.projection import UNITS, bin_middle, latencies, volumes

_FINEST = 7 * UNITS["day"]  # up to here by the hour
_FAILED = ("error", "cancelled")


@dataclass(frozen=True, slots=True)
class Volume:
    """Calls that began in an hour or a day; `time` is its beginning."""

    time: str
    calls: int
    errors: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of the calls that began in an hour or a day, in milliseconds."""

    time: str
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Overview:
    """A period, from `start` and before `end`, as it was widened. `unit` is "hour" or "day"."""

    start: str
    end: str
    unit: str
    calls: int
    volume: tuple[Volume, ...]
    outcomes: dict[str, int]
    verdicts: dict[str, int]
    evidence: dict[str, int]
    models: dict[str, int]  # most used first; "" for calls that name none
    p50_ms: float | None
    p95_ms: float | None
    latency: tuple[Latency, ...]


def read_overview(connection: Connection, start: int, end: int) -> Overview:
    """`start` and `end` in microseconds since 1970."""
    unit = "hour" if end - start <= _FINEST else "day"
    length = UNITS[unit]
    start, end = start - start % length, end + -end % length
    c = volumes.c
    period = (c.unit == unit, c.time >= start, c.time < end)
    groups = select(c.time, c.model, c.outcome, c.verdict, c.evidence, c.calls).where(*period, c.calls > 0)
    calls, errors = Counter[int](), Counter[int]()
    models, outcomes, verdicts, evidence = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for time, model, outcome, verdict, kind, count in connection.execute(groups):
        calls[time] += count
        errors[time] += count if outcome in _FAILED else 0
        models[model] += count
        outcomes[outcome] += count
        verdicts[verdict] += count
        evidence[kind] += count
    by_time = _read_latencies(connection, unit, start, end)
    together = sum(by_time.values(), Counter[int]())
    return Overview(
        moment_of(start),
        moment_of(end),
        unit,
        calls.total(),
        tuple(Volume(moment_of(time), calls[time], errors[time]) for time in sorted(calls)),
        dict(outcomes.most_common()),
        dict(verdicts.most_common()),
        dict(evidence.most_common()),
        dict(models.most_common()),
        _quantile_ms(together, 0.5),
        _quantile_ms(together, 0.95),
        tuple(_latency(time, bins) for time, bins in sorted(by_time.items())),
    )


def _read_latencies(connection: Connection, unit: str, start: int, end: int) -> dict[int, Counter[int]]:
    c = latencies.c
    query = select(c.time, c.bin, c.calls).where(c.unit == unit, c.time >= start, c.time < end, c.calls > 0)
    found: dict[int, Counter[int]] = {}
    for time, number, count in connection.execute(query):
        found.setdefault(time, Counter())[number] = count
    return found


def _latency(time: int, bins: Mapping[int, int]) -> Latency:
    return Latency(moment_of(time), _quantile_ms(bins, 0.5) or 0.0, _quantile_ms(bins, 0.95) or 0.0)


def _quantile_ms(bins: Mapping[int, int], fraction: float) -> float | None:
    """The middle of the class that this fraction of the calls does not exceed; None without calls."""
    left = fraction * sum(bins.values())
    for number in sorted(bins):
        left -= bins[number]
        if left <= 0:
            return round(bin_middle(number) / 1000, 3)
    return None
