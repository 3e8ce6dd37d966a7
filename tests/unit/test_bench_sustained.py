"""What the table of a steady load says of memory: enough points to see whether it stays flat."""

from __future__ import annotations

from oracle.bench.sustained import LONG_SECONDS, Load, Outcome, Usage


def test_a_long_run_looks_at_memory_every_tenth_and_a_short_one_in_the_middle() -> None:
    assert Load(8, 3600).looks == frozenset(range(2880, 28_800, 2880))
    assert Load(50, LONG_SECONDS).looks == frozenset(range(1500, 15_000, 1500))
    assert Load(10, 20).looks == {100}


def test_no_look_is_taken_of_what_is_never_asked() -> None:
    load = Load(0.1, 20)
    assert load.count == 2
    assert load.looks <= set(range(load.count))


def test_the_table_gives_memory_at_every_look_of_whoever_was_there() -> None:
    looks = [{"api": Usage(seconds, mib), "relay": Usage(seconds, 90.0)} for seconds, mib in ((2.0, 181.2), (3.0, 183.0), (4.0, 182.6))]
    del looks[1]["relay"]  # killed and started again
    outcome = Outcome(Load(2, 5), late=[0.5] * 10, took_seconds=5.0, before=looks[0], between=looks[1:2], after=looks[2])
    rows = dict(outcome.rows())
    assert rows["2/s for 5 s: api"] == "200.0 ms for each request, 0.40 cores, 181 → 183 → 183 MiB"
    assert rows["2/s for 5 s: relay"].endswith("90 → 90 MiB")
