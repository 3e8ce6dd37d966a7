"""Finding records, reading one, verifying it; whether any are missing, and who read what."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from oracle.audit.access import OWN_WRITER
from oracle.audit.content import ContentState
from oracle.audit.index import Filter, Found
from oracle.audit.view import LoggedRecord, body_names
from oracle.encoding import to_hex
from oracle.errors import CaseUnknown, MalformedInput
from oracle.office.cases import OFFICE, CaseKind
from oracle.office.desk import Office
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.routes.answering import ASKED, Before, EntryIndex, Limit, refusals, views_for
from oracle.office.sessions import Caller
from oracle.office.views import CaseViews
from oracle.office.wire import (
    CallPlaceOut,
    ContentOut,
    HoldOut,
    ReadersOut,
    ReadingOut,
    RecordOut,
    RecordRow,
    RecordsOut,
    RetentionOut,
    VerdictOut,
)
from oracle.records import EntryKind
from oracle.seams import format_time

router = APIRouter(prefix=PREFIX, tags=["office"])

MAX_SHOWN = 50  # reviews and disclosures beside a record
MayRead = Annotated[Caller, Depends(needs(Right.READ_RECORDS))]
MaySeeReaders = Annotated[Caller, Depends(needs(Right.SEE_READERS))]
Short = Annotated[str | None, Query(max_length=200)]


def filter_of(
    q: Annotated[str | None, Query(max_length=200, description="Words, all of which stand in the record's public text.")] = None,
    kind: Short = None,
    model: Annotated[str | None, Query(max_length=200, description="Name or id.")] = None,
    caller: Short = None,
    outcome: Short = None,
    verdict: Short = None,
    evidence: Short = None,
    call_id: Short = None,
    hash: Annotated[str | None, Query(max_length=200, description="Any digest, id or address in the record.")] = None,
    transaction: Short = None,
    writer: Short = None,
    start: Annotated[str | None, Query(alias="from", max_length=40, description="RFC 3339.")] = None,
    end: Annotated[str | None, Query(alias="to", max_length=40, description="RFC 3339; before it.")] = None,
) -> Filter:
    """Raises MalformedInput for a time that is none."""
    return Filter(
        kind=kind or None,
        writer=writer or None,
        model=model or None,
        caller=caller or None,
        outcome=outcome or None,
        verdict=verdict or None,
        evidence=evidence or None,
        call_id=call_id or None,
        hash=hash or None,
        transaction=transaction or None,
        text=q or None,
        start=parse_time(start, "from"),
        end=parse_time(end, "to"),
    )


TheFilter = Annotated[Filter, Depends(filter_of)]


def parse_time(text: str | None, what: str) -> datetime | None:
    """A day is its beginning in UTC. Raises MalformedInput."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise MalformedInput(what, "RFC 3339", text[:40]) from error
    return moment


# ---- finding ---------------------------------------------------------------------------------------------------------------------------
@router.get("/records", summary="Find records", responses=refusals(*ASKED, 409))
def records(_caller: MayRead, office: TheOffice, wanted: TheFilter, before: Before = None, limit: Limit = 50) -> RecordsOut:
    """Newest first; filters together narrow. What is found is what records say: their pages verify it."""
    page = office.index.search(wanted, before, limit)
    states = office.custody.states([found.index for found in page.items])
    return RecordsOut(items=[_row(found, states[found.index]) for found in page.items], next=page.next, total=page.total)


def _row(found: Found, state: ContentState) -> RecordRow:
    return RecordRow(
        index=found.index,
        time=found.time,
        kind=found.kind,
        writer=found.writer,
        model=found.model,
        call_id=found.call_id,
        caller=found.caller,
        outcome=found.outcome,
        verdict=found.verdict,
        transaction=found.transaction,
        latency_microseconds=found.latency_microseconds,
        content=str(state),  # type: ignore[arg-type]
    )


# ---- one record ------------------------------------------------------------------------------------------------------------------------
@router.get("/records/{index}", summary="One record", responses=refusals(401, 403, 404, 409, 422, 503))
def record(index: EntryIndex, caller: MayRead, office: TheOffice) -> RecordOut:
    """The record's own bytes with their proof, its call, and what became of its content. Raw content is not here."""
    view, logged, data = office.reader.read(index)
    views, cases = views_for(office, caller), office.duties.cases
    may_see_all = Right.APPROVE_DISCLOSURE in caller.rights
    disclosures = cases.about(CaseKind.DISCLOSURE, index, MAX_SHOWN) if Right.SEE_DISCLOSURES in caller.rights else []
    reviews = cases.about(CaseKind.REVIEW, index, MAX_SHOWN) if Right.SEE_REVIEWS in caller.rights else []
    return RecordOut(
        index=index,
        leaf_hash=to_hex(logged.leaf_hash),
        record=json.loads(data),
        record_base64=base64.b64encode(data).decode(),
        proof=office.reader.proof(view, index),
        call=[_place(other) for other in office.reader.call_of(view, logged)],
        content=_content(office, logged),
        retention=_retention(office, logged),
        holds=_holds(office, index, views) if Right.SEE_HOLDS in caller.rights else [],
        reviews=[views.review(case) for case in reviews],
        disclosures=[views.disclosure(case) for case in disclosures if may_see_all or case.requester == caller.actor],
    )


def _place(logged: LoggedRecord) -> CallPlaceOut:
    record = logged.record
    return CallPlaceOut(index=logged.index, kind=str(record.kind), time=record.time, writer=record.writer)


def _content(office: Office, logged: LoggedRecord) -> ContentOut:
    state = office.custody.state(logged.index)
    bodies = body_names(logged.record) if state is ContentState.PRESENT else []
    return ContentOut(state=str(state), bodies=bodies, sealed=logged.record.sealed is not None)  # type: ignore[arg-type]


def _retention(office: Office, logged: LoggedRecord) -> RetentionOut | None:
    name = logged.record.retention
    if name is None:
        return None
    until = office.custody.expires(logged.index)
    return RetentionOut(name=name, until=None if until is None else format_time(until))


def _holds(office: Office, index: int, views: CaseViews) -> list[HoldOut]:
    """Those that keep it now. A hold that was not placed here is custody's own business, and not shown."""
    found = []
    for hold in office.custody.holds(index):
        try:
            found.append(views.hold(office.duties.cases.get(CaseKind.HOLD, hold.id)))
        except CaseUnknown:
            continue
    return found


@router.post("/records/{index}/verify", summary="Verify a record and its call", responses=refusals(401, 403, 404, 409, 422, 503))
def verify(index: EntryIndex, _caller: MayRead, office: TheOffice) -> VerdictOut:
    """The numbered steps of docs/audit-log.md, gone through by this server. A browser does its own."""
    verdict = office.reader.verify(office.desk.chain, office.public.log_id, index, office.checks)
    return VerdictOut(**verdict.to_json())


# ---- the whole -------------------------------------------------------------------------------------------------------------------------
@router.get("/completeness", summary="Whether anything is missing", responses=refusals(401, 403, 409, 422, 503))
def completeness(_caller: MayRead, office: TheOffice) -> dict[str, Any]:
    """Gaps in numbers, intents without results, clocks, anchors and deliveries, up to the entries the index has taken in."""
    return office.judging.report(office).to_json()


# ---- who read what ---------------------------------------------------------------------------------------------------------------------
@router.get("/readers", summary="Who read what", responses=refusals(*ASKED, 409))
def readers(caller: MaySeeReaders, office: TheOffice, before: Before = None, limit: Limit = 50) -> ReadersOut:
    """From the log's own records of disclosure: of people here, and of programs with a reader's token. Newest first."""
    page = office.index.search(Filter(kind=str(EntryKind.DISCLOSURE)), before, limit)
    view, views = office.reader.view(), views_for(office, caller)
    shown = [view.read(found.index) for found in page.items if found.index < view.size]
    return ReadersOut(items=[_reading(logged, views) for logged in shown], next=page.next)


def _reading(logged: LoggedRecord, views: CaseViews) -> ReadingOut:
    """Log and office know whom they showed something; any other writer can write what it likes, and is named with it."""
    fields, writer = logged.record.fields, logged.record.writer
    actor = str(fields["audit.actor"])
    indices, case_id = fields.get("audit.disclosure.indices"), fields.get("audit.disclosure.id")
    return ReadingOut(
        index=logged.index,
        time=logged.record.time,
        reader=views.name(actor) if writer in (OWN_WRITER, OFFICE) else f"{actor}, as {writer} says",
        action=str(fields["audit.disclosure.action"]),
        indices=_integers(indices if isinstance(indices, list) else []),
        disclosure=case_id if isinstance(case_id, str) else None,
        reason=None,
    )


def _integers(texts: Sequence[str]) -> list[int]:
    return [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= 16]
