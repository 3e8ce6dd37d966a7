"""What the chain decided and what the log holds about it."""

from __future__ import annotations

from fastapi import APIRouter

from oracle.api.desk import RequestId, TheDesk, problems
from oracle.api.views import view_proof, view_receipt
from oracle.api.wire import ProofOut, ReceiptOut
from oracle.encoding import parse_bytes32

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["requests"])


@router.get("/receipt", summary="What the chain decided", responses=problems(400, 404, 422, 503))
def receipt(request_id: RequestId, desk: TheDesk) -> ReceiptOut:
    """Transaction, block, signers, callback and output, read from the chain; 404 until the answer is delivered."""
    settled = desk.receipt(parse_bytes32(request_id, "request_id"))
    return view_receipt(settled, desk.catalogue.get(settled.delivered.model_id))


@router.get("/proof", summary="What the log holds", responses=problems(400, 404, 409, 422, 503))
def proof(request_id: RequestId, desk: TheDesk) -> ProofOut:
    """The log entries of the request, each with a proof that verifies offline; 404 while there are none."""
    return view_proof(desk.proof(parse_bytes32(request_id, "request_id")))
