"""What a question costs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from oracle.api.desk import HEX32, TheDesk, problems
from oracle.api.wire import QuoteOut
from oracle.encoding import pack_policy, parse_bytes32, to_hex
from oracle.pipeline.explaining import parse_policy

router = APIRouter(prefix="/v1/quote", tags=["requests"])


@router.get("", summary="What a question costs", responses=problems(400, 404, 422, 503))
def quote(
    desk: TheDesk,
    model: Annotated[str, Query(pattern=HEX32, description="The model's id.")],
    policy: Annotated[str, Query(max_length=200, description='The 32-byte word (0x…), or words: "quorum 2", "proof".')],
) -> QuoteOut:
    """The least fee with which enough active operators are content, by what they posted on chain; the relay's where too few did.

    A price, not a promise.
    """
    model_id, wanted = parse_bytes32(model, "model"), parse_policy(policy)
    found, relay_wei = desk.quote(model_id, wanted)
    return QuoteOut(
        model_id=to_hex(model_id),
        policy=to_hex(pack_policy(wanted)),
        fee_wei=str(relay_wei if found is None else max(found.fee_wei, relay_wei)),
        operators_fee_wei=None if found is None else str(found.fee_wei),
        share_wei=None if found is None else str(found.share_wei),
        shares=None if found is None else found.shares,
        relay_fee_wei=str(relay_wei),
        asset=desk.asset,
    )
