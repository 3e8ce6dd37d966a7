"""How many heaps this process's allocator spreads its memory over.

glibc gives every thread a heap of its own, up to eight for each processor. What one thread frees stays in its heap, where the others do not
find it: twelve threads that read a database (SQLite frees its pages whenever another connection wrote) keep up to twelve times what one of
them needs at most. Threads that run Python take turns anyway, so they gain nothing by it.
"""

from __future__ import annotations

import ctypes
import os

MOST_HEAPS = 2
"""One for the thread that runs Python, one for another that is in the database meanwhile."""
_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
_TUNABLE = "glibc.malloc.arena_max"


def limit_heaps() -> bool:
    """From here on new threads share MOST_HEAPS heaps; for the beginning of a process, before there are threads.

    False, and nothing is changed, where whoever runs the process has said how many (MALLOC_ARENA_MAX, or glibc.malloc.arena_max in
    GLIBC_TUNABLES: mallopt(3)), and where the C library is not glibc.
    """
    if "MALLOC_ARENA_MAX" in os.environ or _TUNABLE in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    library = ctypes.CDLL(None)
    return hasattr(library, "gnu_get_libc_version") and bool(library.mallopt(_ARENA_MAX, MOST_HEAPS))
