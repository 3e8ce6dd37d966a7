"""How long a search takes: every filter alone and together, common and rare, what is in no record, and pages far back."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from oracle.audit.index import Filter, Index
from oracle.bench.traffic import ERRORS, MODELS, PURPOSES, TENANTS

PAGE = 50
Sample = tuple[str, float, int]
"""(kind of search, seconds, how many records match)"""


def searches(index: Index, seed: int = 1) -> Iterator[tuple[str, Filter, int | None]]:
    """Named searches without end, each with where its page begins."""
    rng = random.Random(seed)
    size = index.size
    while True:
        item = index.show([rng.randrange(size)])[0]
        model, moment = rng.choice(MODELS), datetime.fromisoformat(item.time)
        day = Filter(start=moment, end=moment + timedelta(days=1))
        yield "everything", Filter(), None
        yield "kind", Filter(kind=rng.choice(("intent", "result", "error", "clock"))), None
        yield "model", Filter(model=model), None
        yield "caller", Filter(caller=f"caller-{rng.randrange(5000):04d}"), None
        yield "outcome", Filter(outcome=rng.choice(("ok", "error", "refused", "cancelled"))), None
        yield "verdict", Filter(verdict=rng.choice(("unverified", "signed", "proven", "rejected"))), None
        yield "call id", Filter(call_id=item.call_id or "0x" + "00" * 32), None
        yield "a digest that no record has", Filter(hash="0x" + rng.randbytes(32).hex()), None
        yield "an hour", replace(day, end=moment + timedelta(hours=1)), None
        yield "a day", day, None
        yield "a word in every call", Filter(text="chat"), None
        yield "a word in few records", Filter(text=rng.choice(ERRORS)), None
        yield "a word in no record", Filter(text=f"nowhere{rng.randrange(100)}"), None
        yield "common and rare words", Filter(text=f"chat {rng.choice(TENANTS)} caller {rng.randrange(5000):04d}"), None
        yield "common words never together", Filter(text=f"{rng.choice(PURPOSES)} lookup_account refused"), None
        yield "model, verdict and word", Filter(model=model, verdict="signed", text=rng.choice(PURPOSES)), None
        yield "model, outcome and a week", Filter(model=model, outcome="error", start=moment, end=moment + timedelta(days=7)), None
        together = Filter("result", "recorder-1", model, outcome="ok", verdict="proven", text="chat", start=moment)
        yield "seven filters", together, None
        yield "a page far back", Filter(text="chat"), rng.randrange(size)
        yield "a page far back, few match", Filter(verdict="rejected", outcome="ok"), rng.randrange(size)


def measure(index: Index, rounds: int, seed: int = 1) -> list[Sample]:
    """One page for each of `rounds` times every kind of search."""
    samples: list[Sample] = []
    wanted = searches(index, seed)
    first = None
    while True:
        name, filters, before = next(wanted)
        if name == first and len(samples) >= rounds * len({sample[0] for sample in samples}):
            return samples
        first = first or name
        started = time.perf_counter()
        page = index.search(filters, before, PAGE)
        samples.append((name, time.perf_counter() - started, page.total if page.total is not None else -1))


def quantile(values: list[float], fraction: float) -> float:
    """The value that a fraction of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]
