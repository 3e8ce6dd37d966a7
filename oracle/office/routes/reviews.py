"""Judging records: reviews of one, samples of many, and what people decided otherwise."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends

from oracle.audit.index import Filter
from oracle.audit.sample import Drawn, draw
from oracle.encoding import parse_bytes32, to_hex
from oracle.errors import LogRefused
from oracle.office.cases import CaseKind
from oracle.office.desk import Office
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.routes.answering import ASKED, Before, CaseId, Limit, next_of, refusals, views_for
from oracle.office.routes.records import parse_time
from oracle.office.sessions import Caller
from oracle.office.wire import (
    FilterIn,
    OverrideIn,
    OverrideOut,
    OverridesOut,
    ReviewIn,
    ReviewOut,
    ReviewsOut,
    SampleIn,
    SampleOut,
    SamplesOut,
)
from oracle.records import Bytes32

router = APIRouter(prefix=PREFIX, tags=["office"])

MaySee = Annotated[Caller, Depends(needs(Right.SEE_REVIEWS))]
MayReview = Annotated[Caller, Depends(needs(Right.REVIEW))]
MayOverride = Annotated[Caller, Depends(needs(Right.OVERRIDE))]


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


# ---- overrides -------------------------------------------------------------------------------------------------------------------------
@router.get("/overrides", summary="Overrides", responses=refusals(401, 403, 422, 503))
def overrides(caller: MaySee, office: TheOffice, before: Before = None, limit: Limit = 50) -> OverridesOut:
    """Newest first."""
    cases = office.duties.cases.page(CaseKind.OVERRIDE, limit, before)
    views = views_for(office, caller)
    return OverridesOut(items=[views.override(case) for case in cases], next=next_of(cases, limit))


@router.post("/overrides", summary="Decide otherwise", status_code=201, responses=refusals(*ASKED, 404, 409))
def override(sent: OverrideIn, caller: MayOverride, office: TheOffice) -> OverrideOut:
    """Records that a person decided otherwise than a model, or upheld it after looking. Reason and people are sealed in the log."""
    _view, logged, _data = office.reader.read(sent.index)
    details = sent.model_dump(exclude_none=True) | {"leaf_hash": to_hex(logged.leaf_hash)}
    return views_for(office, caller).override(office.duties.override(caller.actor, details))


# ---- samples ---------------------------------------------------------------------------------------------------------------------------
DRAW_ATTEMPTS = 5


@router.get("/samples", summary="Samples", responses=refusals(401, 403, 422, 503))
def samples(caller: MaySee, office: TheOffice, before: Before = None, limit: Limit = 50) -> SamplesOut:
    """Newest first."""
    cases = office.duties.cases.page(CaseKind.SAMPLE, limit, before)
    views = views_for(office, caller)
    return SamplesOut(items=[views.sample(case) for case in cases], next=next_of(cases, limit))


@router.get("/samples/{case_id}", summary="One sample", responses=refusals(401, 403, 404, 422, 503))
def sample(case_id: CaseId, caller: MaySee, office: TheOffice) -> SampleOut:
    """With all it takes to draw it again."""
    return views_for(office, caller).sample(office.duties.cases.get(CaseKind.SAMPLE, case_id))


@router.post("/samples", summary="Draw a sample", status_code=201, responses=refusals(*ASKED, 404, 409))
def draw_sample(sent: SampleIn, caller: MayReview, office: TheOffice) -> SampleOut:
    """Which entries are looked at is decided by the seed. Seed, population and entries are in the log before they are answered.

    Who gives a seed may have tried others before, without a record: the log says whether it was given, or drawn here.
    """
    seed = Bytes32(secrets.token_bytes(32)) if sent.seed is None else parse_bytes32(sent.seed, "seed")
    drawn = _draw(office, filter_of(sent.filter), sent.size, seed)
    told = drawn.to_json()
    details = {name: told[name] for name in ("seed", "population", "population_digest", "root", "indices", "filter")}
    more = {"tree_size": told["size"], "size": sent.size, "is_seed_given": sent.seed is not None}
    case = office.duties.file_sample(caller.actor, details | more)
    return views_for(office, caller).sample(case)


def filter_of(sent: FilterIn) -> Filter:
    """Raises MalformedInput for a time that is none."""
    given = {name: value or None for name, value in sent.model_dump().items() if name not in ("q", "start", "end")}
    return Filter(**given, text=sent.q or None, start=parse_time(sent.start, "filter.from"), end=parse_time(sent.end, "filter.to"))


def _draw(office: Office, wanted: Filter, size: int, seed: Bytes32) -> Drawn:
    """From the newest checkpoint. The index may be taken further meanwhile: then again."""
    for attempt in range(DRAW_ATTEMPTS):
        office.catch_up(office.reader.view())
        try:
            return draw(office.index, wanted, size, seed)
        except LogRefused:
            if attempt == DRAW_ATTEMPTS - 1:
                raise
    raise LogRefused("index", "one that stays while a sample is drawn", "another checkpoint")
