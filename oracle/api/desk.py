"""How routes get at the desk, and the ids in their paths."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request

from oracle.api.observe import Metrics
from oracle.api.seats import Seats
from oracle.pipeline.api import Desk

HEX32 = r"^0x[0-9a-fA-F]{64}$"


# Asynchronous, though they wait for nothing: others are called in a thread of their own, which takes longer than all they do.
async def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def metrics_of(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


async def seats_of(request: Request) -> Seats:
    seats: Seats = request.app.state.seats
    return seats


TheDesk = Annotated[Desk, Depends(desk_of)]
TheMetrics = Annotated[Metrics, Depends(metrics_of)]
TheSeats = Annotated[Seats, Depends(seats_of)]
RequestId = Annotated[str, Path(pattern=HEX32, description="The request's EIP-712 digest.")]
ModelId = Annotated[str, Path(pattern=HEX32, description="The model's id.")]

_MEANINGS = {
    400: "Not JSON, or a value that does not parse.",
    401: "No token or session, or one that is unknown, expired or revoked.",
    402: "The fee is below the relay's terms or what enough operators ask for, or the deposit does not cover it.",
    403: "Known here, without the right; or the second pair of eyes is the first.",
    404: "Unknown here.",
    409: "The log refuses to go on, or the case cannot take this step, or a hold stands.",
    410: "The deadline has passed.",
    413: "A body above the limit.",
    422: "A field that breaks a rule; `detail` names it, what was expected and what was got.",
    429: "Too many accepted requests in a minute from this requester, or too many event streams at once.",
    503: "The chain, the log or the database does not answer.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    """OpenAPI responses for these statuses."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}
