"""The benchmark of the audit log, small: every row is measured on both databases, and its traffic is what a log takes."""

from __future__ import annotations

from oracle.audit.record import check_entry, parse_record
from oracle.bench import audit
from oracle.bench.postgres import find_binaries
from oracle.bench.search import quantile
from oracle.bench.traffic import Traffic, stamped


def test_every_row_has_a_figure_for_both_databases() -> None:
    notes: list[str] = []
    rows = audit.measure(audit.Sizes(2000, singles=128, paced_seconds=1, receipts=3, searches=1), notes.append)
    assert len(rows) == 12
    assert {len(row) for row in rows} == {len(audit.COLUMNS)}
    missing = [row for row in rows if row[3] == "not installed"]
    assert missing == ([] if find_binaries() else rows)
    assert notes[0] == "SQLite: 2000 records"


def test_sizes_are_in_proportion() -> None:
    assert audit.Sizes.of(1_000_000) == audit.Sizes()
    assert audit.Sizes.of(10_000).searches == 2


def test_traffic_is_what_a_log_takes_and_the_same_each_time() -> None:
    call = Traffic().next_call()
    check_entry(call.asking_entry())
    first, again = list(stamped(6000)), list(stamped(6000))
    assert first == again
    kinds = {str(parse_record(entry.record).kind) for entry in first}
    assert kinds == {"intent", "result", "error", "clock"}
    assert [entry.index for entry in first] == list(range(6000))
    assert [entry.record for entry in stamped(50, seed=2)] != [entry.record for entry in first[:50]]


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100)]
    assert (quantile(values, 0.5), quantile(values, 0.95), quantile(values, 1.0), quantile([7.0], 0.95)) == (50.0, 95.0, 99.0, 7.0)
