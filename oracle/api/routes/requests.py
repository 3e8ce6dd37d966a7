"""Asking, and looking at what was asked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import StringConstraints
from pydantic.json_schema import SkipJsonSchema

from oracle.api.desk import RequestId, TheDesk, TheMetrics, problems
from oracle.api.reading import asked_of, wanted_of
from oracle.api.views import links_of, view_page, view_prepared, view_request
from oracle.api.wire import AcceptedOut, PreparedOut, PrepareIn, RequestOut, RequestsOut, SignedRequestIn
from oracle.encoding import parse_bytes32, to_hex
from oracle.errors import Rejected
from oracle.pipeline.api import RequestState

Cursor = Annotated[str, StringConstraints(pattern="^[0-9]{1,18}$")]

router = APIRouter(prefix="/v1/requests", tags=["requests"])


@router.post("/prepare", summary="Prepare a request", responses=problems(400, 402, 404, 410, 422, 503))
def prepare(wanted: PrepareIn, desk: TheDesk) -> PreparedOut:
    """Encodes the input and gives both forms: typed data to sign and post here, and a transaction to send. Stores nothing."""
    return view_prepared(desk.prepare(wanted_of(wanted)))


@router.post("", status_code=202, summary="Ask with a signature", responses=problems(400, 402, 404, 410, 422, 429, 503))
def submit(signed: SignedRequestIn, desk: TheDesk, metrics: TheMetrics) -> AcceptedOut:
    """Checks a signed request completely and stores it durably before answering. The same request again gives the same answer."""
    try:
        submitted = desk.submit(asked_of(signed, desk.domain))
    except Rejected as error:
        metrics.refused.labels(type(error).__name__).inc()
        raise
    if submitted.is_new:
        metrics.accepted.inc()
    request_id = submitted.request_id
    return AcceptedOut(request_id=to_hex(request_id), state=submitted.state, links=links_of(request_id))


@router.get("", summary="Requests, newest first", responses=problems(400, 422, 503))
def page(
    desk: TheDesk,
    state: Annotated[RequestState | SkipJsonSchema[None], Query(description="Only requests in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[Cursor | SkipJsonSchema[None], Query(description="`cursor` of the page before.")] = None,
) -> RequestsOut:
    """From the chain and signed ones alike."""
    return view_page(desk.page(state, limit, None if cursor is None else int(cursor)), limit)


@router.get("/{request_id}", summary="State and history", responses=problems(400, 404, 422, 503))
def show(request_id: RequestId, desk: TheDesk) -> RequestOut:
    """Where a request stands, and every step so far."""
    wanted = parse_bytes32(request_id, "request_id")
    return view_request(desk.view(wanted), desk.events_since(wanted, 0))
