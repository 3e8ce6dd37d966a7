"""Judging records: reviews of one, samples of many."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from oracle.encoding import to_hex
from oracle.office.cases import CaseKind
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.routes.answering import ASKED, Before, Limit, next_of, refusals, views_for
from oracle.office.sessions import Caller
from oracle.office.wire import ReviewIn, ReviewOut, ReviewsOut

router = APIRouter(prefix=PREFIX, tags=["office"])

MaySee = Annotated[Caller, Depends(needs(Right.SEE_REVIEWS))]
MayReview = Annotated[Caller, Depends(needs(Right.REVIEW))]


@router.get("/reviews", summary="Reviews", responses=refusals(401, 403, 422, 503))
def reviews(caller: MaySee, office: TheOffice, before: Before = None, limit: Limit = 50) -> ReviewsOut:
    """Newest first."""
    cases = office.duties.cases.page(CaseKind.REVIEW, limit, before)
    views = views_for(office, caller)
    return ReviewsOut(items=[views.review(case) for case in cases], next=next_of(cases, limit))


@router.post("/reviews", summary="Sign off a record", status_code=201, responses=refusals(*ASKED, 404, 409))
def review(sent: ReviewIn, caller: MayReview, office: TheOffice) -> ReviewOut:
    """The judgement is in the log, with the leaf it is about; the note is sealed there."""
    _view, logged, _data = office.reader.read(sent.index)
    case = office.duties.review(caller.actor, sent.index, to_hex(logged.leaf_hash), sent.outcome, sent.note)
    return views_for(office, caller).review(case)
