"""The numbers a recording application gives its calls: 1, 2, 3 … in a stream of random name, a new one for each start of the process.

They are given before an intent is sent. So a record that never reached the log shows as a missing number, whoever kept it away.
"""

from __future__ import annotations

import os
import secrets
import threading

from oracle.audit.calls import CallerPlace


class CallerStream:
    """Safe for threads, and for `fork`: a child process begins a stream of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._process, self._name, self._last = os.getpid(), "0x" + secrets.token_hex(16), 0

    def next(self) -> CallerPlace:
        with self._lock:
            if os.getpid() != self._process:
                self._begin()
            self._last += 1
            return CallerPlace(self._name, self._last)
