"""What routes share: the statuses of refusals, ids in paths, and pages of cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Path, Query, Request

from oracle.office.cases import Case
from oracle.office.desk import Office
from oracle.office.sessions import Caller
from oracle.office.views import CaseViews
from oracle.office.wire import MAX_INDEX

CaseId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The case's id.")]
EntryIndex = Annotated[int, Path(ge=0, le=MAX_INDEX, description="Index of an entry of the log.")]
Before = Annotated[int | None, Query(ge=0, le=MAX_INDEX, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items of a page.")]

_MEANINGS = {
    400: "Not JSON, or a value that does not parse.",
    401: "No token or session, or one that is unknown, expired or revoked.",
    403: "Known here, without the right; or the second pair of eyes is the first; or a change by cookie without its header.",
    404: "Unknown here, or not shown to who asks.",
    409: "A step that the case cannot take, a hold that stands, or a log that refuses.",
    422: "A field that breaks a rule; `detail` names it, what was expected and what was got.",
    503: "The log, the chain, a database or the identity provider does not answer.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, object]]:
    """OpenAPI responses for these statuses."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}


ASKED = (400, 401, 403, 422, 503)
"""Refusals of every route that needs a person and takes something."""


def views_for(office: Office, caller: Caller) -> CaseViews:
    return CaseViews(office.sessions, caller, office.clock.now())


def next_of(cases: Sequence[Case], limit: int) -> int | None:
    """A page that is full has a next one, which may be empty."""
    return cases[-1].number if len(cases) == limit else None


def query_of(request: Request) -> dict[str, str]:
    """The query as the provider sent it; of a name that is there twice, the last."""
    return dict(request.query_params)
