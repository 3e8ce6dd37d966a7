"""Legal holds: placed by one person, released by two."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from oracle.encoding import parse_bytes32, parse_hex
from oracle.office.cases import CaseKind
from oracle.office.desk import Office
from oracle.office.duties import HoldScope
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.routes.answering import ASKED, Before, CaseId, Limit, next_of, refusals, views_for
from oracle.office.sessions import Caller
from oracle.office.wire import HoldIn, HoldOut, HoldScopeIn, HoldsOut, Nothing

router = APIRouter(prefix=f"{PREFIX}/holds", tags=["office"])

SUBJECT_BYTES = 16
MaySee = Annotated[Caller, Depends(needs(Right.SEE_HOLDS))]
MayPlace = Annotated[Caller, Depends(needs(Right.PLACE_HOLD))]
MayApprove = Annotated[Caller, Depends(needs(Right.APPROVE_RELEASE))]


@router.get("", summary="Holds", responses=refusals(401, 403, 422, 503))
def holds(caller: MaySee, office: TheOffice, before: Before = None, limit: Limit = 50) -> HoldsOut:
    """Newest first, released ones too."""
    cases = office.duties.cases.page(CaseKind.HOLD, limit, before)
    views = views_for(office, caller)
    return HoldsOut(items=[views.hold(case) for case in cases], next=next_of(cases, limit))


@router.post("", summary="Place a hold", status_code=201, responses=refusals(*ASKED, 404, 409))
def place(sent: HoldIn, caller: MayPlace, office: TheOffice) -> HoldOut:
    """From now on nothing that fits the scope is erased or pruned. The reason is sealed in the log."""
    case = office.duties.place_hold(caller.actor, scope_of(sent.scope, office), sent.reason)
    return views_for(office, caller).hold(case)


@router.post("/{case_id}/release", summary="Ask for a release", responses=refusals(*ASKED, 404, 409))
def release(case_id: CaseId, _sent: Nothing, caller: MayPlace, office: TheOffice) -> HoldOut:
    """The hold stands until another person approves."""
    return views_for(office, caller).hold(office.duties.request_release(caller.actor, case_id))


@router.post("/{case_id}/approve", summary="Approve a release", responses=refusals(*ASKED, 404, 409))
def approve(case_id: CaseId, _sent: Nothing, caller: MayApprove, office: TheOffice) -> HoldOut:
    """By another person than who asked for the release. Erasures that waited for this hold go on."""
    return views_for(office, caller).hold(office.duties.approve_release(caller.actor, case_id))


@router.post("/{case_id}/deny", summary="Deny a release", responses=refusals(*ASKED, 404, 409))
def deny(case_id: CaseId, _sent: Nothing, caller: MayApprove, office: TheOffice) -> HoldOut:
    """By another person than who asked for the release. The hold stands, and its release may be asked for again."""
    return views_for(office, caller).hold(office.duties.deny_release(caller.actor, case_id))


def scope_of(sent: HoldScopeIn, office: Office) -> HoldScope:
    """Raises RecordUnknown for a person that no record is about."""
    subject = None if sent.subject is None else parse_hex(sent.subject, "scope.subject", SUBJECT_BYTES)
    if sent.writer is not None and sent.subject_reference is not None:
        subject = office.duties.find_subject(sent.writer, sent.subject_reference)
    return HoldScope(
        first_index=sent.first if sent.index is None else sent.index,
        last_index=sent.last if sent.index is None else sent.index,
        call_id=None if sent.call_id is None else parse_bytes32(sent.call_id, "scope.call_id"),
        subject=subject,
    )
