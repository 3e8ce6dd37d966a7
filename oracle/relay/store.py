"""Requests and their history in the database: written by the relay, and by the API for signed requests; read by both.

Functions that take a `Connection` are parts of a larger transaction; those that take an `Engine` are transactions of their own. Every
change of a request's state adds an event in the same transaction, so the history is complete by construction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select, update

from oracle.encoding import compute_request_id, keccak256, to_hex
from oracle.errors import ConfigRejected, InputRejected, InvariantBroken, RequestRejected, RequestUnknown
from oracle.records import Address, Asked, Block, Bytes32, Domain
from oracle.relay.schema import DEPLOYMENT, EVENTS, REQUEST_TRANSITIONS, REQUESTS, RequestState, require_transition
from oracle.relay.terms import Terms, read_terms, write_terms
from oracle.seams import format_time
from oracle.store import count_by, reading
from oracle.wire import request_from_text, request_to_json

END_OF_TIME = (1 << 63) - 1
OPEN_STATES = (RequestState.COLLECTING, RequestState.QUEUED, RequestState.SENT, RequestState.MINED, RequestState.PENDING)
FINAL_STATES = (RequestState.FINAL, RequestState.REFUNDED, RequestState.CONFLICT)


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One step of a request's history. `id` grows over all requests: a follower resumes after the last one it saw.

    Kinds: seen, claim, claim_refused, underpaid, disagreement, agreed, delivery_refused, signed, sent, fees_raised, fees_at_limit,
    cancelled, mined, unmined, nonce_lost, pending, final, expired, refund_queued, refunded, failed, conflict, dropped, seen_again, lie,
    not_done, again, adopted, delivered_elsewhere, replaced, refund_mined, finalize_mined, refund_failed, finalize_failed, and still_… when
    a request that came back meets its job.
    """

    id: int
    request_id: Bytes32
    time: str  # RFC 3339
    kind: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RequestView:
    """What the relay knows of one request."""

    id: int  # grows with the order of arrival; the cursor of `list_requests`
    asked: Asked
    state: RequestState
    reason: str | None
    updated: str  # RFC 3339
    is_watched: bool

    @property
    def is_settled(self) -> bool:
        """Whether nothing will ever happen to it again."""
        ends = self.state in (RequestState.EXPIRED, RequestState.FAILED) and self.asked.request.is_signed_off_chain
        return self.state in FINAL_STATES or ends


def bind_deployment(engine: Engine, domain: Domain) -> None:
    """Raises ConfigRejected where the database belongs to another deployment: its ids and nonces would mean something else."""
    with reading(engine) as connection:  # beside whoever writes: a replica or an API starts while another relay works
        row = connection.execute(select(DEPLOYMENT)).one_or_none()
    if row is None:
        with engine.begin() as connection:
            row = connection.execute(select(DEPLOYMENT)).one_or_none()
            if row is None:
                connection.execute(insert(DEPLOYMENT).values(chain_id=domain.chain_id, coprocessor=domain.coprocessor))
                return
    if (row.chain_id, row.coprocessor) != (domain.chain_id, domain.coprocessor):
        got = f"chain {domain.chain_id}, Coprocessor {domain.coprocessor}"
        raise ConfigRejected("relay database", f"that of chain {row.chain_id}, Coprocessor {row.coprocessor}", got)


# ---- terms -------------------------------------------------------------------------------------------------------------------------
def publish_terms(engine: Engine, terms: Terms, now: datetime) -> list[Bytes32]:
    """Makes these the relay's terms, for the API too, and fails the requests taken in under others that do not meet them.

    Returns their ids. Those with a quorum already are looked at again before they are signed; what was signed is seen through.
    """
    refused = []
    with engine.begin() as connection:
        write_terms(connection, terms)
        query = select(REQUESTS.c.request_id, REQUESTS.c.request).where(REQUESTS.c.state == RequestState.COLLECTING)
        for request_id, text in connection.execute(query).all():
            if (problem := terms.find_problem(request_from_text(text))) is not None:
                _refuse(connection, Bytes32(request_id), problem, now)
                refused.append(Bytes32(request_id))
    return refused


def current_terms(engine: Engine) -> Terms:
    with reading(engine) as connection:
        return read_terms(connection)


def _apply_terms(connection: Connection, asked: Asked, now: datetime) -> None:
    """Fails a request just taken in that does not meet the relay's terms: no node is asked about it, no transaction paid for it."""
    if (problem := read_terms(connection).find_problem(asked.request)) is not None:
        _refuse(connection, asked.request_id, problem, now)


def _refuse(connection: Connection, request_id: Bytes32, problem: str, now: datetime) -> None:
    set_state(connection, request_id, RequestState.FAILED, "failed", now, problem)
    connection.execute(update(REQUESTS).where(REQUESTS.c.request_id == request_id).values(is_watched=False))


# ---- arriving ----------------------------------------------------------------------------------------------------------------------
def submit_signed(
    engine: Engine, domain: Domain, asked: Asked, now: datetime, admit: Callable[[int], None] = lambda _promised_wei: None
) -> RequestState:
    """Takes in a request signed off chain; durable when this returns. Again with the same request: no change, its state is returned.

    The caller has checked signature and model against the chain; what can be checked without it is checked here too, among it the relay's
    terms, in the transaction that stores. There a request that is new is also put to `admit`, with what its requester promised before
    (`promised_wei`); what that raises ends it. Raises RequestRejected, RequestUnpaid or InputRejected naming the field.
    """
    if not asked.request.is_signed_off_chain or not asked.signature:
        raise RequestRejected("request.nonce", "2^128 or more, with a signature", asked.request.nonce)
    if (request_id := compute_request_id(asked.request, domain)) != asked.request_id:
        raise RequestRejected("request id", to_hex(request_id), to_hex(asked.request_id))
    if (digest := keccak256(asked.input)) != asked.request.input_digest:
        raise InputRejected("request.input_digest", to_hex(digest), to_hex(asked.request.input_digest))
    with engine.begin() as connection:
        row = _row(connection, asked.request_id)
        if row is None:
            read_terms(connection).check(asked.request)
            admit(promised_wei(connection, asked.request.requester))
            insert_request(connection, asked, now)
            return RequestState.COLLECTING
        return RequestState(row.state)


def insert_request(connection: Connection, asked: Asked, now: datetime) -> None:
    connection.execute(
        insert(REQUESTS).values(
            request_id=asked.request_id,
            requester=asked.request.requester,
            request=json.dumps(request_to_json(asked.request)),
            owed_wei=str(asked.request.fee_wei) if asked.request.is_signed_off_chain else None,
            input=asked.input,
            signature=asked.signature,
            deadline=min(asked.request.deadline, END_OF_TIME),
            state=RequestState.COLLECTING,
            is_watched=True,
            updated=format_time(now),
            **_place(asked),
        )
    )
    origin = "signed" if asked.request.is_signed_off_chain else "chain"
    add_event(connection, asked.request_id, "seen", now, origin=origin, **_place_json(asked))


def take_block(connection: Connection, asked: Sequence[Asked], now: datetime) -> None:
    """The requests of a newly followed block, in the transaction that moves the trail. Those that miss the relay's terms are FAILED."""
    for one in asked:
        row = _row(connection, one.request_id)
        if row is None:
            insert_request(connection, one, now)
            _apply_terms(connection, one, now)
        elif row.state == RequestState.DROPPED:
            connection.execute(update(REQUESTS).where(REQUESTS.c.request_id == one.request_id).values(is_watched=True, **_place(one)))
            set_state(connection, one.request_id, RequestState.COLLECTING, "seen_again", now, **_place_json(one))
            _apply_terms(connection, one, now)
        else:  # mined again in another block before the first one was seen to vanish
            connection.execute(update(REQUESTS).where(REQUESTS.c.request_id == one.request_id).values(**_place(one)))


def undo_block(connection: Connection, block: Block, now: datetime) -> list[Bytes32]:
    """The requests of a block that vanished are DROPPED, unless the chain had settled them for good. Returns their ids."""
    rows = connection.execute(select(REQUESTS.c.request_id, REQUESTS.c.state).where(REQUESTS.c.block_hash == block.hash)).all()
    dropped = []
    for request_id, state in rows:
        if RequestState.DROPPED in REQUEST_TRANSITIONS[RequestState(state)]:
            set_state(connection, Bytes32(request_id), RequestState.DROPPED, "dropped", now, block_hash=to_hex(block.hash))
            dropped.append(Bytes32(request_id))
    return dropped


# ---- changing ----------------------------------------------------------------------------------------------------------------------
def set_state(
    connection: Connection, request_id: Bytes32, state: RequestState, event: str, now: datetime, reason: str | None = None, **detail: Any
) -> None:
    """Moves a request along the table in `schema` and adds the event. Raises InvariantBroken for a transition that is not there."""
    row = _row(connection, request_id)
    if row is None:
        raise InvariantBroken(f"no request {to_hex(request_id)} to make {state}")
    require_transition(REQUEST_TRANSITIONS, RequestState(row.state), state)
    changed = update(REQUESTS).where(REQUESTS.c.request_id == request_id)
    connection.execute(changed.values(state=state, reason=reason, updated=format_time(now)))
    add_event(connection, request_id, event, now, **(detail if reason is None else {**detail, "reason": reason}))


@dataclass(frozen=True, slots=True)
class Move:
    """What happened to one request: an event, and the state it leads to; None where it leads nowhere."""

    request_id: Bytes32
    state: RequestState | None
    event: str
    reason: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, Any]:
        return dict(self.detail) if self.reason is None else {**self.detail, "reason": self.reason}


def move_all(connection: Connection, moves: Sequence[Move], states: Mapping[Bytes32, RequestState], now: datetime) -> None:
    """As `set_state` and `add_event` for each, in this order, with one statement for each table. `states`: of all of them, read in this
    transaction. Raises InvariantBroken."""
    current, changed = dict(states), {}
    for move in moves:
        if move.state is not None:
            require_transition(REQUEST_TRANSITIONS, current[move.request_id], move.state)
            current[move.request_id] = move.state
            changed[move.request_id] = {"of": move.request_id, "state": move.state, "reason": move.reason, "updated": format_time(now)}
    if changed:
        connection.execute(_ONE_OF_MANY, list(changed.values()))
    if moves:
        connection.execute(insert(EVENTS), [event_row(move.request_id, move.event, now, move.told) for move in moves])


_ONE_OF_MANY = update(REQUESTS).where(REQUESTS.c.request_id == bindparam("of"))


def states_of(connection: Connection, request_ids: Iterable[Bytes32]) -> dict[Bytes32, RequestState]:
    """The states of requests that are known to exist."""
    wanted = set(request_ids)
    rows = (
        connection.execute(select(REQUESTS.c.request_id, REQUESTS.c.state).where(REQUESTS.c.request_id.in_(wanted))).all() if wanted else ()
    )
    states = {Bytes32(request_id): RequestState(state) for request_id, state in rows}
    if missing := wanted - states.keys():
        raise InvariantBroken(f"no request {to_hex(missing.pop())}")
    return states


def state_of(connection: Connection, request_id: Bytes32) -> RequestState:
    """The state of a request that is known to exist."""
    return states_of(connection, [request_id])[request_id]


def add_event(connection: Connection, request_id: Bytes32, kind: str, now: datetime, **detail: Any) -> None:
    connection.execute(insert(EVENTS).values(**event_row(request_id, kind, now, detail)))


def event_row(request_id: Bytes32, kind: str, now: datetime, detail: Mapping[str, Any]) -> dict[str, Any]:
    """A row of EVENTS."""
    return {"request_id": request_id, "time": format_time(now), "kind": kind, "detail": json.dumps(dict(detail))}


# ---- reading -----------------------------------------------------------------------------------------------------------------------
def request_view(engine: Engine, request_id: Bytes32) -> RequestView:
    """Raises RequestUnknown."""
    with reading(engine) as connection:
        row = _row(connection, request_id)
    if row is None:
        raise RequestUnknown("request", "one this relay has seen", to_hex(request_id))
    return view_of(row)


def find_state(engine: Engine, request_id: Bytes32) -> RequestState | None:
    """None where this relay has not seen it."""
    with reading(engine) as connection:
        return _find_state(connection, request_id)


def find_state_and_terms(engine: Engine, request_id: Bytes32) -> tuple[RequestState | None, Terms]:
    """As `find_state`, and the relay's terms, read together."""
    with reading(engine) as connection:
        return _find_state(connection, request_id), read_terms(connection)


def _find_state(connection: Connection, request_id: Bytes32) -> RequestState | None:
    state = connection.execute(select(REQUESTS.c.state).where(REQUESTS.c.request_id == request_id)).scalar_one_or_none()
    return None if state is None else RequestState(state)


def request_views(engine: Engine, request_ids: Sequence[Bytes32]) -> list[RequestView]:
    """Of those of them that are known, in their order."""
    with reading(engine) as connection:
        rows = connection.execute(select(REQUESTS).where(REQUESTS.c.request_id.in_(request_ids))).all()
    views = {view.asked.request_id: view for view in map(view_of, rows)}
    return [views[request_id] for request_id in request_ids if request_id in views]


def list_requests(engine: Engine, state: RequestState | None = None, limit: int = 100, before_id: int | None = None) -> list[RequestView]:
    """Newest first. The next page is asked for with the smallest `id` of this one as `before_id`."""
    query = select(REQUESTS).order_by(REQUESTS.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(REQUESTS.c.state == state)
    if before_id is not None:
        query = query.where(REQUESTS.c.id < before_id)
    with reading(engine) as connection:
        return [view_of(row) for row in connection.execute(query)]


def events_since(engine: Engine, request_id: Bytes32, after_id: int = 0, limit: int = 1000) -> list[RequestEvent]:
    """The history of a request after an event id, oldest first; empty for an unknown request."""
    query = select(EVENTS).where(EVENTS.c.request_id == request_id, EVENTS.c.id > after_id).order_by(EVENTS.c.id).limit(limit)
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return [RequestEvent(row.id, Bytes32(row.request_id), row.time, row.kind, json.loads(row.detail)) for row in rows]


_PROMISED = (
    select(REQUESTS.c.owed_wei, func.count())
    .where(
        REQUESTS.c.requester == bindparam("by"),
        REQUESTS.c.state.in_([RequestState.COLLECTING, RequestState.QUEUED, RequestState.SENT]),
        REQUESTS.c.owed_wei.is_not(None),
    )
    .group_by(REQUESTS.c.owed_wei)
)
"""Fees have more than 64 bits, which no SUM takes: the database counts equal ones, all of it in one index."""


def promised_wei(connection: Connection, requester: Address) -> int:
    """Fees of the requester's signed requests that are still open: owed out of the deposit, but not taken yet."""
    return sum(int(owed_wei) * count for owed_wei, count in connection.execute(_PROMISED, {"by": requester}))


def count_by_state(engine: Engine) -> dict[RequestState, int]:
    """How many requests are in each state; every state is there."""
    with reading(engine) as connection:
        return count_by(connection, REQUESTS.c.state, RequestState)


def view_of(row: Row[Any]) -> RequestView:
    """The view of a row of REQUESTS."""
    asked = Asked(
        request_id=Bytes32(row.request_id),
        request=request_from_text(row.request),
        input=row.input,
        signature=row.signature,
        block_number=row.block_number,
        block_hash=row.block_hash,
        transaction=row.transaction,
    )
    return RequestView(row.id, asked, RequestState(row.state), row.reason, row.updated, row.is_watched)


def _row(connection: Connection, request_id: Bytes32) -> Row[Any] | None:
    return connection.execute(select(REQUESTS).where(REQUESTS.c.request_id == request_id)).one_or_none()


def _place(asked: Asked) -> dict[str, Any]:
    return {"block_number": asked.block_number, "block_hash": asked.block_hash, "transaction": asked.transaction}


def _place_json(asked: Asked) -> dict[str, Any]:
    if asked.block_hash is None or asked.transaction is None:
        return {}
    return {"block_number": asked.block_number, "block_hash": to_hex(asked.block_hash), "transaction": to_hex(asked.transaction)}
