"""Disclosures: asked for by one person, approved by another, open for a time, every read in the log first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from oracle.office.cases import CaseKind
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.routes.answering import ASKED, Before, CaseId, EntryIndex, Limit, next_of, refusals, views_for
from oracle.office.sessions import Caller
from oracle.office.views import view_opened
from oracle.office.wire import DisclosureIn, DisclosureOut, DisclosuresOut, Nothing, OpenedOut

router = APIRouter(prefix=f"{PREFIX}/disclosures", tags=["office"])

MaySee = Annotated[Caller, Depends(needs(Right.SEE_DISCLOSURES))]
MayAsk = Annotated[Caller, Depends(needs(Right.REQUEST_DISCLOSURE))]
MayApprove = Annotated[Caller, Depends(needs(Right.APPROVE_DISCLOSURE))]


@router.get("", summary="Disclosures", responses=refusals(401, 403, 422, 503))
def disclosures(caller: MaySee, office: TheOffice, before: Before = None, limit: Limit = 50) -> DisclosuresOut:
    """Newest first: one's own, or everybody's for who may approve."""
    own = None if Right.APPROVE_DISCLOSURE in caller.rights else caller.actor
    cases = office.duties.cases.page(CaseKind.DISCLOSURE, limit, before, requester=own)
    views = views_for(office, caller)
    return DisclosuresOut(items=[views.disclosure(case) for case in cases], next=next_of(cases, limit))


@router.post("", summary="Ask for a disclosure", status_code=201, responses=refusals(*ASKED, 404, 409))
def request(sent: DisclosureIn, caller: MayAsk, office: TheOffice) -> DisclosureOut:
    """Asks to be shown the content of some entries, for some minutes from the approval on. The reason is sealed in the log."""
    case = office.duties.request_disclosure(caller.actor, sent.indices, sent.reason, sent.minutes)
    return views_for(office, caller).disclosure(case)


@router.post("/{case_id}/approve", summary="Approve a disclosure", responses=refusals(*ASKED, 404, 409))
def approve(case_id: CaseId, _sent: Nothing, caller: MayApprove, office: TheOffice) -> DisclosureOut:
    """By another person than who asked. The time runs from now."""
    return views_for(office, caller).disclosure(office.duties.approve_disclosure(caller.actor, case_id))


@router.post("/{case_id}/deny", summary="Deny a disclosure", responses=refusals(*ASKED, 404, 409))
def deny(case_id: CaseId, _sent: Nothing, caller: MayApprove, office: TheOffice) -> DisclosureOut:
    """By another person than who asked."""
    return views_for(office, caller).disclosure(office.duties.deny_disclosure(caller.actor, case_id))


@router.post("/{case_id}/close", summary="Close a disclosure", responses=refusals(*ASKED, 404, 409))
def close(case_id: CaseId, _sent: Nothing, caller: MaySee, office: TheOffice) -> DisclosureOut:
    """Before its time, by who asked for it or who may approve."""
    case = office.duties.close_disclosure(caller.actor, case_id, Right.APPROVE_DISCLOSURE in caller.rights)
    return views_for(office, caller).disclosure(case)


@router.get("/{case_id}/records/{index}", summary="Read what was disclosed", responses=refusals(401, 403, 404, 409, 422, 503))
def read(case_id: CaseId, index: EntryIndex, caller: MayAsk, office: TheOffice, response: Response) -> OpenedOut:
    """Sealed fields, each with what proves it, and bodies. The log has a record of this read before it is answered."""
    response.headers["cache-control"] = "no-store"
    return view_opened(office.duties.read_disclosed(caller.actor, case_id, index))
