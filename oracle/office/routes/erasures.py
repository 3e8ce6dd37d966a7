"""Erasures: asked for by the data protection officer, carried out by the key custodian's approval, refused where a hold stands."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from oracle.office.cases import CaseKind
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.routes.answering import ASKED, Before, CaseId, Limit, next_of, refusals, views_for
from oracle.office.sessions import Caller
from oracle.office.wire import ErasureIn, ErasureOut, ErasuresOut, IndicesScope, Nothing

router = APIRouter(prefix=f"{PREFIX}/erasures", tags=["office"])

MaySee = Annotated[Caller, Depends(needs(Right.SEE_ERASURES))]
MayAsk = Annotated[Caller, Depends(needs(Right.REQUEST_ERASURE))]
MayApprove = Annotated[Caller, Depends(needs(Right.APPROVE_ERASURE))]


@router.get("", summary="Erasures", responses=refusals(401, 403, 422, 503))
def erasures(caller: MaySee, office: TheOffice, before: Before = None, limit: Limit = 50) -> ErasuresOut:
    """Newest first."""
    cases = office.duties.cases.page(CaseKind.ERASURE, limit, before)
    views = views_for(office, caller)
    return ErasuresOut(items=[views.erasure(case, office.duties.entries_of) for case in cases], next=next_of(cases, limit))


@router.post("", summary="Ask for an erasure", status_code=201, responses=refusals(*ASKED, 404, 409))
def request(sent: ErasureIn, caller: MayAsk, office: TheOffice) -> ErasureOut:
    """Of some entries' content, or of everything about one person. Records and proofs stay."""
    if isinstance(sent.scope, IndicesScope):
        case = office.duties.request_erasure(caller.actor, sent.scope.indices, sent.reason)
    else:
        case = office.duties.request_subject_erasure(caller.actor, sent.scope.writer, sent.scope.subject_reference, sent.reason)
    return views_for(office, caller).erasure(case, office.duties.entries_of)


@router.post("/{case_id}/approve", summary="Approve an erasure", responses=refusals(*ASKED, 404, 409))
def approve(case_id: CaseId, _sent: Nothing, caller: MayApprove, office: TheOffice) -> ErasureOut:
    """By another person than who asked. The erasure is logged, then the keys are destroyed: there is no way back."""
    case = office.duties.approve_erasure(caller.actor, case_id)
    return views_for(office, caller).erasure(case, office.duties.entries_of)


@router.post("/{case_id}/deny", summary="Deny an erasure", responses=refusals(*ASKED, 404, 409))
def deny(case_id: CaseId, _sent: Nothing, caller: MayApprove, office: TheOffice) -> ErasureOut:
    """By another person than who asked."""
    case = office.duties.deny_erasure(caller.actor, case_id)
    return views_for(office, caller).erasure(case, office.duties.entries_of)
