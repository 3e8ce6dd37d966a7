"""What a machine's clock is worth: what the kernel says of it, put into the log now and then.

Linux keeps, for the daemon that disciplines the clock (chrony, ntpd, systemd-timesyncd, ptp4l), whether it is synchronised and a bound
on its error: adjtimex(2), struct timex of <linux/timex.h>. Where the kernel cannot be asked the record says `unknown`, which an auditor
reads as not synchronised.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from datetime import datetime

from oracle.records import Entry, EntryKind, FieldValue
from oracle.seams import format_time

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """struct timex up to `esterror` and what is read of it; the kernel writes 208 bytes on 64-bit Linux."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("_rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class ClockState:
    """`max_error_microseconds` is the kernel's bound, None where the kernel could not be asked."""

    source: str  # "kernel" or "unknown"
    is_synchronised: bool
    max_error_microseconds: int | None


def read_clock_state() -> ClockState:
    """Asks the kernel, changing nothing."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        return ClockState("unknown", False, None)
    return ClockState("kernel", state != _TIME_ERROR and not timex.status & _STA_UNSYNC, int(timex.maxerror))


def clock_entry(state: ClockState, actor: str, moment: datetime) -> Entry:
    fields: dict[str, FieldValue] = {
        "audit.actor": actor,
        "audit.clock.is_synchronised": state.is_synchronised,
        "audit.clock.source": state.source,
    }
    if state.max_error_microseconds is not None:
        fields["audit.clock.max_error_microseconds"] = state.max_error_microseconds
    return Entry(EntryKind.CLOCK, format_time(moment), fields)
