"""The first page: what was asked, how it ended, how the log stands, and what a person must look at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from oracle.audit.completeness import Completeness, Severity
from oracle.audit.ledger import moment_of
from oracle.audit.overview import Overview
from oracle.audit.view import LogView
from oracle.encoding import to_hex
from oracle.errors import MalformedInput
from oracle.office.desk import Office
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.routes.answering import ASKED, refusals
from oracle.office.routes.records import parse_time
from oracle.office.sessions import Caller
from oracle.office.wire import (
    AlarmOut,
    AnchorsOut,
    LastAnchorOut,
    LatencyOut,
    LatencyPointOut,
    LogOut,
    ModelCallsOut,
    OverviewOut,
    VolumeOut,
    WitnessesOut,
)
from oracle.records import Anchor
from oracle.seams import format_time

router = APIRouter(prefix=PREFIX, tags=["office"])

DEFAULT_PERIOD = timedelta(days=7)
MAX_PERIOD = timedelta(days=10 * 366)
MAX_MODELS = 20
LATE_ANCHOR = "late_anchor"
MayRead = Annotated[Caller, Depends(needs(Right.READ_RECORDS))]


@router.get("/overview", summary="Overview", responses=refusals(*ASKED, 409))
def overview(
    _caller: MayRead,
    office: TheOffice,
    start: Annotated[str | None, Query(alias="from", max_length=40, description="RFC 3339; a week before `to` where left out.")] = None,
    end: Annotated[str | None, Query(alias="to", max_length=40, description="RFC 3339; now where left out.")] = None,
) -> OverviewOut:
    """Counts over a period, which is widened to whole hours, beyond a week to whole days; the log, its anchors and witnesses as of now."""
    first, last = period_of(start, end, office.clock.now())
    view = office.reader.view()
    report = office.judging.report(office)
    counts = office.index.overview(first, last)
    anchors, witnesses = _anchors(office, view, report), _witnesses(office)
    return OverviewOut(
        log=LogOut(origin=view.checkpoint.origin, size=view.size, root=to_hex(view.checkpoint.root), time=_newest_time(report)),
        anchors=anchors,
        witnesses=witnesses,
        volume=[VolumeOut(time=v.time, calls=v.calls, errors=v.errors) for v in counts.volume],
        verdicts=counts.verdicts,
        outcomes=counts.outcomes,
        evidence=counts.evidence,
        latency=_latency(counts),
        models=[ModelCallsOut(model=name, calls=calls) for name, calls in list(counts.models.items())[:MAX_MODELS]],
        alarms=list(_alarms(office, report, anchors, witnesses)),
    )


def period_of(start: str | None, end: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Raises MalformedInput for times that are none, or a period that is empty or longer than ten years."""
    last = parse_time(end, "to") or now
    try:
        first = parse_time(start, "from") or last - DEFAULT_PERIOD
    except OverflowError as error:
        raise MalformedInput("to", "a moment with a week before it", end) from error
    if not timedelta(0) < last - first <= MAX_PERIOD:
        raise MalformedInput("from and to", "a period of up to ten years", f"{first} to {last}")
    if first < datetime(1970, 1, 2, tzinfo=UTC) or last > datetime(9999, 12, 30, tzinfo=UTC):
        raise MalformedInput("from and to", "moments from 1970 to 9999", f"{first} to {last}")
    return first, last


def _newest_time(report: Completeness) -> str | None:
    return moment_of(report.ledger.last_time) if report.ledger.size else None


def _latency(counts: Overview) -> LatencyOut:
    series = [LatencyPointOut(time=point.time, p50_ms=point.p50_ms, p95_ms=point.p95_ms) for point in counts.latency]
    return LatencyOut(p50_ms=counts.p50_ms, p95_ms=counts.p95_ms, series=series)


def _anchors(office: Office, view: LogView, report: Completeness) -> AnchorsOut:
    anchors = office.anchors()
    last = anchors[-1] if anchors else None
    return AnchorsOut(
        count=len(anchors),
        last=None if last is None else _last(office, last),
        lag_entries=view.size - (0 if last is None else min(last.size, view.size)),
        is_late=any(finding.kind == LATE_ANCHOR for finding in report.findings),
    )


def _last(office: Office, anchor: Anchor) -> LastAnchorOut:
    time = office.time_of_block(anchor.block_number)
    return LastAnchorOut(
        size=anchor.size,
        block_number=anchor.block_number,
        transaction=to_hex(anchor.transaction),
        time=None if time is None else format_time(time),
    )


def _witnesses(office: Office) -> WitnessesOut:
    verdict = office.witnesses()
    if verdict is None:
        return WitnessesOut(quorum_met=None, text="No witness policy is configured here.", names=[])
    return WitnessesOut(quorum_met=verdict.is_met, text=_sentence(verdict.text), names=list(verdict.names))


def _alarms(office: Office, report: Completeness, anchors: AnchorsOut, witnesses: WitnessesOut) -> Iterator[AlarmOut]:
    """What should not wait. `since` is null where no record says it."""
    if not office.log.is_ready():
        yield AlarmOut(kind="logging_failure", severity="critical", since=None, text="The log takes no records now.")
    if witnesses.quorum_met is False:
        yield AlarmOut(kind="witness_refusal", severity="critical", since=None, text=witnesses.text)
    for finding in report.findings:
        if finding.severity is Severity.GAP:
            is_critical = finding.kind == LATE_ANCHOR and anchors.is_late
            yield AlarmOut(kind=finding.kind, severity="critical" if is_critical else "warning", since=None, text=_sentence(finding.text))
        elif finding.kind.startswith("clock_"):
            yield AlarmOut(kind=finding.kind, severity="warning", since=None, text=_sentence(finding.text))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
