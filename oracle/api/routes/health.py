"""Is the process alive, can it do its work, and how is it doing."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from oracle.api.desk import TheDesk, TheMetrics, problems
from oracle.api.wire import Alive, ReadyOut

router = APIRouter(tags=["operations"])


@router.get("/health", summary="Alive")
async def health(desk: TheDesk) -> Alive:
    """The process answers. Asks nobody anything; of the chain's endpoints it says what it last saw of them."""
    told = {} if desk.endpoints is None else desk.endpoints.describe()
    return Alive(status="ok", version=version("affidavit"), **told)


@router.get(
    "/ready", summary="Ready", responses={503: {"model": ReadyOut, "description": "Something this API depends on does not answer."}}
)
def ready(desk: TheDesk, response: Response) -> ReadyOut:
    """Database, chain and log answer."""
    checks = desk.readiness()
    is_ready = all(state == "ok" for state in checks.values())
    response.status_code = 200 if is_ready else 503
    return ReadyOut(ready=is_ready, checks=checks)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(503)},
)
def metrics(measured: TheMetrics, desk: TheDesk) -> Response:
    """Prometheus text format."""
    for state, count in desk.count_by_state().items():
        measured.requests.labels(state).set(count)
    return Response(generate_latest(measured.registry), media_type=CONTENT_TYPE_LATEST)
