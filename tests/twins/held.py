"""What an object keeps alive: the size of a process's state, told by Python's own references and not by resident memory."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence
from types import FrameType, FunctionType, MethodType, ModuleType
from weakref import ref

_BORDERS = (type, ModuleType, FunctionType, FrameType)
"""What leads to the whole program: classes, modules, and functions with their globals."""


def count_held(roots: Sequence[object], apart_from: Sequence[object] = ()) -> Counter[str]:
    """Objects that `roots` keep alive, by type; without what is reached through `apart_from`, the world's side of a test."""
    gc.collect()
    seen = {id(one) for one in apart_from}
    found: Counter[str] = Counter()
    waiting: list[object] = list(roots)
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _BORDERS):
            continue
        seen.add(id(one))
        if isinstance(one, ref) and one() is None:  # of closed cursors a connection of sqlite3 has up to 200 before it looks
            continue
        found[type(one).__qualname__] += 1
        waiting += [one.__self__] if isinstance(one, MethodType) else gc.get_referents(one)
    return found


def growth(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    """Of which types there are more, and how many."""
    return dict(after - before)
