"""A log with everything a report tells of: calls as applications make them, clocks, people's decisions, incidents; some of it hostile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from oracle.audit.completeness import Completeness, Limits, judge
from oracle.audit.incidents import Gravity, IncidentStep, incident_entry
from oracle.audit.index import Index
from oracle.bench.traffic import START as TRAFFIC_START
from oracle.bench.traffic import stamped
from oracle.office.report import Anchors, Period, ReportData
from oracle.office.report_collect import Asked, collect
from oracle.records import EntryKind
from tests.twins.plain_log import START, PlainLog

MADE = datetime(2026, 12, 24, 9, 30, tzinfo=UTC)
HOSTILE = '<script>alert("1")</script>'
LONG = "unbreakable" * 40
RTL = "שלום \u202edesrever\u202c עולם"
GREEK = "Αθήνα"
CYRILLIC = "Москва"


def period_of(log: PlainLog) -> Period:
    return Period(TRAFFIC_START - timedelta(days=1), datetime(2026, 12, 31, tzinfo=UTC))


def traffic_log(directory: Path, count: int = 3000, pace_seconds: float = 600.0) -> PlainLog:
    """Calls over about three weeks."""
    return PlainLog(directory).extend(entry.record for entry in stamped(count, 1, pace_seconds))


def add_people(log: PlainLog) -> None:
    """What people did, from START on."""
    log.clock(10, audit__clock__max_error_microseconds=900)
    log.clock(20, audit__clock__is_synchronised=False)
    seconds = 100.0
    for kind, fields in _ACTS:
        named: dict[str, Any] = {"audit__actor": "p-6f1c", **fields}
        log.add(kind, seconds, writer="office", **named)
        seconds += 3600
    _add_incidents(log)
    log.add(EntryKind.ANCHOR, 9000, writer="log", **_ANCHOR)


_ACTS: list[tuple[EntryKind, dict[str, Any]]] = [
    (
        EntryKind.REVIEW,
        {
            "audit__review__action": "sample",
            "audit__review__id": "s-1",
            "audit__sample__seed": "0x" + "5e" * 32,
            "audit__sample__population": 2950,
            "audit__sample__population_digest": "0x" + "d1" * 32,
            "audit__sample__indices": [str(i * 7) for i in range(40)],
        },
    ),
    (EntryKind.REVIEW, {"audit__review__action": "review", "audit__review__index": 21, "audit__review__outcome": "accepted"}),
    (EntryKind.REVIEW, {"audit__review__action": "review", "audit__review__index": 28, "audit__review__outcome": "escalated"}),
    (EntryKind.OVERRIDE, {"audit__override__action": "answer replaced by a person", "audit__subject__index": 28}),
    (
        EntryKind.DISCLOSURE,
        {"audit__disclosure__action": "requested", "audit__disclosure__indices": ["21", "28"], "audit__disclosure__minutes": 60},
    ),
    (EntryKind.DISCLOSURE, {"audit__disclosure__action": "approved", "audit__disclosure__indices": ["21", "28"], "audit__actor": "p-99aa"}),
    (EntryKind.DISCLOSURE, {"audit__disclosure__action": "read", "audit__disclosure__indices": ["28"]}),
    (
        EntryKind.HOLD,
        {"audit__hold__action": "placed", "audit__hold__first_index": 20, "audit__hold__last_index": 40, "audit__hold__id": "h-1"},
    ),
    (
        EntryKind.ERASURE,
        {
            "audit__erasure__action": "erased",
            "audit__erasure__cause": "request",
            "audit__erasure__indices": ["3"],
            "audit__erasure__id": "e-1",
        },
    ),
    (EntryKind.CONFIG, {"audit__config__file": "office.toml", "audit__config__digest": "0x" + "c0" * 32}),
]
_ANCHOR: dict[str, Any] = {
    "audit__anchor__size": 3000,
    "audit__anchor__root": "0x" + "ab" * 32,
    "audit__block_number": 19_000_001,
    "audit__transaction": "0x" + "cd" * 32,
    "audit__log_id": "0x" + "ef" * 32,
}


def _add_incidents(log: PlainLog) -> None:
    for name, gravity, aware, steps in (
        ("INC-7", Gravity.SERIOUS, START, (("opened", 2), ("reported", 200))),
        ("INC-8", Gravity.DEATH, START + timedelta(days=1), (("opened", 30),)),
        ("INC-9", Gravity.CRITICAL_INFRASTRUCTURE, START + timedelta(days=2), (("opened", 50), ("reported", 120), ("closed", 300))),
    ):
        for step, hours in steps:
            moment = START + timedelta(hours=hours)
            entry = incident_entry(name, IncidentStep(step), gravity, aware, "p-6f1c", moment, (21, 28))
            fields = {key.replace(".", "__"): value for key, value in entry.fields.items()}
            log.add(entry.kind, hours * 3600, writer="office", **fields)


def add_hostile(log: PlainLog) -> None:
    """Calls whose every free field is an attack on a page."""
    for number, text in enumerate(
        (HOSTILE, LONG, RTL, GREEK, CYRILLIC, "", "\u0000\u0007\u001b[31m", "{{ 7*7 }}", "</td></table>", "&amp;")
    ):
        fields = {"audit__tenant": text, "audit__system": text, "audit__purpose": text, "gen_ai__request__model": text or "m"}
        intent = log.intent(9000 + number, 300.0 + number, **fields)
        log.result(9000 + number, intent, 301.0 + number, audit__guardrails=[text], audit__latency_microseconds=900)
        log.add(EntryKind.CONFIG, 400.0 + number, writer="office", audit__config__note=text, audit__actor=text[:60])


def completeness_of(index: Index, made: datetime = MADE) -> Completeness:
    checkpoint = index.checkpoint
    assert checkpoint is not None
    return judge(index.ledger(), checkpoint, made, Limits())


def report_of(
    log: PlainLog,
    url: str,
    period: Period | None = None,
    anchors: Anchors | None = None,
    made: datetime = MADE,
    organisation: str = "North Bank",
) -> ReportData:
    """A report of a published log, through an index of its own."""
    index = Index.open(url)
    view = log.view()
    index.follow(view)
    data = collect(Asked(period or period_of(log), made, organisation), view, index, completeness_of(index, made), anchors)
    index.close()
    return data
