"""Numbers, times and lists as people read them, the same in every format of a report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

_PLURALS = {"override, erasure, hold or change": "overrides, erasures, holds or changes"}


def count(number: int, noun: str) -> str:
    """ "1 call", "12 calls"."""
    return f"{thousands(number)} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"


def thousands(number: int) -> str:
    """With thin spaces from five digits on: 12 345, 1234."""
    return f"{number:,}".replace(",", "\u202f") if abs(number) >= 10_000 else str(number)


def duration(milliseconds: float) -> str:
    """Three digits: 0.85 ms, 12.3 ms, 740 ms, 1.27 s, 83.0 s."""
    if milliseconds < 1000:
        return f"{_three(milliseconds)} ms"
    return f"{_three(milliseconds / 1000)} s"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def moment(time: datetime) -> str:
    """To the second, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(time: datetime) -> str:
    """Without the time where that is midnight."""
    utc = time.astimezone(UTC)
    is_midnight = (utc.hour, utc.minute, utc.second, utc.microsecond) == (0, 0, 0, 0)
    return utc.strftime("%Y-%m-%d") if is_midnight else moment(utc)


def share(part: int, whole: int) -> str:
    """In percent; "0" and "100" only where it is exactly that."""
    if whole == 0:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def money(micros: int, currency: str) -> str:
    return f"{micros / 1_000_000:,.2f} {currency}".replace(",", "\u202f")


def listed(counts: Mapping[str, int], most: int = 8) -> str:
    """ "quorum 12, none 3 and 4 more"."""
    shown = ", ".join(f"{name or 'unnamed'} {thousands(number)}" for name, number in list(counts.items())[:most])
    return shown + (f" and {len(counts) - most} more" if len(counts) > most else "")
