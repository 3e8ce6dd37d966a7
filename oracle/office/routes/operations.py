"""How the network is doing: nodes, the relay's queue, operators' stake, anchors."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Annotated

import httpx
from fastapi import APIRouter, Depends
from sqlalchemy import func, select

from oracle.encoding import to_hex
from oracle.office.desk import Office
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.routes.answering import refusals
from oracle.office.sessions import Caller, world
from oracle.office.wire import AnchorOut, NodeOut, OperationsOut, OperatorOut, RelayOut
from oracle.relay.schema import REQUESTS, RequestState
from oracle.store import reading

router = APIRouter(prefix=PREFIX, tags=["office"])

NODE_SECONDS = 2.0
MAX_ANCHORS = 50
_OPEN = (RequestState.COLLECTING, RequestState.QUEUED, RequestState.SENT, RequestState.MINED)
MaySee = Annotated[Caller, Depends(needs(Right.SEE_OPERATIONS))]


@router.get("/operations", summary="Operations", responses=refusals(401, 403, 503))
def operations(_caller: MaySee, office: TheOffice) -> OperationsOut:
    """As each of them says at this moment; anchors newest first."""
    operators = office.desk.chain.operators()
    anchors = list(office.anchors())[: -MAX_ANCHORS - 1 : -1]
    return OperationsOut(
        nodes=ask_nodes(office.nodes, office.transport),
        relay=RelayOut(states={str(s): n for s, n in office.desk.count_by_state().items()}, oldest_seconds=_oldest_seconds(office)),
        operators=[
            OperatorOut(index=o.index, address=o.operator, signer=o.signer, stake_wei=str(o.stake_wei), is_active=o.is_active)
            for o in operators
        ],
        anchors=[
            AnchorOut(size=a.size, root=to_hex(a.root), block_number=a.block_number, transaction=to_hex(a.transaction)) for a in anchors
        ],
    )


def ask_nodes(urls: Sequence[str], transport: httpx.BaseTransport | None = None) -> list[NodeOut]:
    """Whether each is ready, all at once: one that hangs costs NODE_SECONDS, not so much for each."""
    if not urls:
        return []
    with httpx.Client(timeout=NODE_SECONDS, transport=transport) as client, ThreadPoolExecutor(min(16, len(urls))) as pool:
        return list(pool.map(lambda url: _ask_node(client, url), urls))


def _ask_node(client: httpx.Client, url: str) -> NodeOut:
    try:
        with client.stream("GET", url.rstrip("/") + "/ready") as answer:  # its status says it; nobody reads its words
            status = answer.status_code
    except httpx.HTTPError as error:
        return NodeOut(url=url, is_ready=False, detail=type(error).__name__)
    return NodeOut(url=url, is_ready=status == 200, detail="ready" if status == 200 else f"answers {status}")


def _oldest_seconds(office: Office) -> int | None:
    query = select(func.min(REQUESTS.c.updated)).where(REQUESTS.c.state.in_([str(state) for state in _OPEN]))
    with world("read the relay's queue"), reading(office.desk.engine) as connection:
        oldest: str | None = connection.execute(query).scalar_one_or_none()
    if oldest is None:
        return None
    return max(0, int((office.desk.clock.now() - datetime.fromisoformat(oldest)).total_seconds()))
