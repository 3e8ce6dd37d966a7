"""Prices: what an operator posts in the contract FeeQuotes, and what a question costs at the operators there are.

Amounts are in the smallest unit of the deployment's asset. Everything is read from the chain, of which the caller names the endpoint.
"""

from __future__ import annotations

from typing import Any

from oracle.encoding import to_hex
from oracle.errors import RequestRejected
from oracle.pipeline.session import Session
from oracle.records import Asks, Bytes32, Quote
from oracle.relay.contracts import NOT_SERVED_WEI

EVERY_MODEL = Bytes32(bytes(32))
"""What is posted for it holds for every model that nothing else was posted for."""


def post_asks(session: Session, model_id: Bytes32, asks: Asks) -> None:
    """Posts, or replaces, what the account asks for. Raises RequestRejected for an amount that does not fit, CallReverted for strangers."""
    session.sender.send(session.contracts.call("FeeQuotes", "post", model_id, *map(_to_contract, _fields(asks))))


def retract_asks(session: Session, model_id: Bytes32) -> None:
    """Takes back what was posted for the model; the default holds for it again."""
    session.sender.send(session.contracts.call("FeeQuotes", "retract", model_id))


def asks_to_json(asks: Asks | None) -> dict[str, Any]:
    """Decimal strings; null for a kind of evidence that is not given."""
    fields = (None, None, None) if asks is None else _fields(asks)
    names = ("signature_wei", "proof_wei", "enclave_wei")
    return {"posted": asks is not None} | {name: None if value is None else str(value) for name, value in zip(names, fields, strict=True)}


def quote_to_json(model_id: Bytes32, policy: Bytes32, quote: Quote) -> dict[str, str | int]:
    return {
        "model_id": to_hex(model_id),
        "policy": to_hex(policy),
        "fee_wei": str(quote.fee_wei),
        "share_wei": str(quote.share_wei),
        "shares": quote.shares,
    }


def _fields(asks: Asks) -> tuple[int | None, int | None, int | None]:
    return asks.signature_wei, asks.proof_wei, asks.enclave_wei


def _to_contract(wei: int | None) -> int:
    if wei is None:
        return NOT_SERVED_WEI
    if not 0 <= wei < NOT_SERVED_WEI:
        raise RequestRejected("ask", f"0 to {NOT_SERVED_WEI - 1}", wei)
    return wei
