"""Saying that a fee is below what enough operators ask for: the relay has the nodes' refusals, and the asker would wait for nothing.

Nothing is ended early: others may deliver, and an operator may ask for less tomorrow. The words are the nodes' own, and nobody verified
them.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from oracle.encoding import unpack_policy
from oracle.records import Asked
from oracle.relay.claims import refusals_of
from oracle.relay.peers import is_about_the_fee
from oracle.relay.schema import EVENTS, RequestState
from oracle.relay.store import set_state, state_of

UNDERPAID = "underpaid"
"""The event."""


def find_underpaid(connection: Connection, asked: Asked, nodes: int) -> str | None:
    """Why the fee will not do, where so many of the relay's `nodes` refuse it that too few are left; None where enough are."""
    unpaid = [problem for problem in refusals_of(connection, asked.request_id) if is_about_the_fee(problem)]
    needed = max(1, unpack_policy(asked.request.policy).quorum)
    if nodes - len(unpaid) >= needed:
        return None
    said = "; ".join(dict.fromkeys(unpaid))
    counted = f"{len(unpaid)} of {nodes} nodes refuse it, and {needed} must answer"
    return f"the fee is below what enough operators ask for: {counted}. They say: {said}"[:1000]


def name_underpaid(connection: Connection, asked: Asked, nodes: int, now: datetime) -> None:
    """Gives a request that is collected its reason, with an event, once; in the transaction that added a refusal."""
    known = select(EVENTS.c.id).where(EVENTS.c.request_id == asked.request_id, EVENTS.c.kind == UNDERPAID).limit(1)
    if state_of(connection, asked.request_id) is not RequestState.COLLECTING or connection.execute(known).one_or_none() is not None:
        return
    if (reason := find_underpaid(connection, asked, nodes)) is not None:
        set_state(connection, asked.request_id, RequestState.COLLECTING, UNDERPAID, now, reason)
