"""The nodes' claims in the database: who was asked, who answered, and what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from oracle.encoding import to_hex
from oracle.records import Asked, Bytes32, Claim, SignedClaim
from oracle.relay.schema import ANSWERS, CLAIMS, EVENTS, REQUESTS
from oracle.relay.store import event_row
from oracle.seams import format_time

CLAIM, REFUSED, OBJECTS = "claim", "refused", "objects"
"""What a node answered: a claim, a refusal for good, or that the fee of a signed request is too low for it."""


def watched_by(engine: Engine, node: str) -> list[Bytes32]:
    """Ids of the requests about which this node has not answered yet, oldest first: all, or old ones could hide new ones."""
    mine = (ANSWERS.c.node == node) & (ANSWERS.c.request_id == REQUESTS.c.request_id)
    answered = select(ANSWERS.c.request_id).where(mine, ANSWERS.c.answer != OBJECTS)
    query = select(REQUESTS.c.request_id).where(REQUESTS.c.is_watched, ~answered.exists()).order_by(REQUESTS.c.id)
    with engine.begin() as connection:  # a replica that lost the lease asks nobody
        return list(connection.execute(query).scalars())


def record_claim(connection: Connection, node: str, signed: SignedClaim, now: datetime) -> bool:
    """Keeps a checked claim and that this node has answered. Returns whether the claim is new."""
    c, claim = CLAIMS.c, signed.claim
    is_same = (c.request_id == claim.request_id) & (c.signer == signed.signer) & (c.output_digest == claim.output_digest)
    record_answer(connection, claim.request_id, node, CLAIM, signed.signer)
    known = connection.execute(select(c.proof, c.enclave, c.bls).where(is_same)).one_or_none()
    if known is not None:  # from another node of the same operator
        more = {"proof": signed.proof} if signed.proof and not known.proof else {}
        more |= {"enclave": signed.enclave} if signed.enclave and not known.enclave else {}
        more |= {"bls": signed.bls} if signed.bls and not known.bls else {}
        if more:
            connection.execute(update(CLAIMS).where(is_same).values(**more))
        return False
    connection.execute(insert(CLAIMS).values(**_claim_row(node, signed, now)))
    connection.execute(insert(EVENTS).values(**_claim_event(signed, now)))
    return True


def record_answer(connection: Connection, request_id: Bytes32, node: str, answer: str, detail: str) -> None:
    """This node need not be asked again about this request."""
    record_answers(connection, node, {request_id: (answer, detail)})


def record_new_claims(connection: Connection, node: str, claims: Sequence[SignedClaim], now: datetime) -> None:
    """As `record_claim` for each; at most one about each request."""
    ids = [signed.claim.request_id for signed in claims]
    known = connection.execute(select(CLAIMS.c.request_id, CLAIMS.c.signer).where(CLAIMS.c.request_id.in_(ids))).all()
    of_one_operator = {(row.request_id, row.signer) for row in known}
    fresh = [signed for signed in claims if (signed.claim.request_id, signed.signer) not in of_one_operator]
    for signed in claims:
        if (signed.claim.request_id, signed.signer) in of_one_operator:  # another output, or from another node of the same operator
            record_claim(connection, node, signed, now)
    if not fresh:
        return
    record_answers(connection, node, {signed.claim.request_id: (CLAIM, signed.signer) for signed in fresh})
    connection.execute(insert(CLAIMS), [_claim_row(node, signed, now) for signed in fresh])
    connection.execute(insert(EVENTS), [_claim_event(signed, now) for signed in fresh])


def _claim_row(node: str, signed: SignedClaim, now: datetime) -> dict[str, Any]:
    return {
        "request_id": signed.claim.request_id,
        "signer": signed.signer,
        "output_digest": signed.claim.output_digest,
        "node": node,
        "output": signed.output,
        "signature": signed.signature,
        "proof": signed.proof,
        "enclave": signed.enclave,
        "bls": signed.bls,
        "time": format_time(now),
    }


def _claim_event(signed: SignedClaim, now: datetime) -> dict[str, Any]:
    detail: dict[str, Any] = {"signer": signed.signer, "output_digest": to_hex(signed.claim.output_digest)}
    detail |= {"proof_bytes": len(signed.proof)} if signed.proof else {}
    return event_row(signed.claim.request_id, "claim", now, detail)


def record_answers(connection: Connection, node: str, answers: Mapping[Bytes32, tuple[str, str]]) -> list[Bytes32]:
    """As `record_answer` for each request, with what was answered and its detail. Returns about which the node had not answered yet.

    An objection (OBJECTS) is an answer that any other takes the place of: the node is asked again.
    """
    of_node = (ANSWERS.c.node == node) & ANSWERS.c.request_id.in_(list(answers))
    known = {
        Bytes32(request_id): answer
        for request_id, answer in connection.execute(select(ANSWERS.c.request_id, ANSWERS.c.answer).where(of_node))
    }
    new = [
        request_id
        for request_id, (answer, _) in answers.items()
        if known.get(request_id, OBJECTS) == OBJECTS and (request_id not in known or answer != OBJECTS)
    ]
    if changed := [request_id for request_id in new if request_id in known]:
        connection.execute(delete(ANSWERS).where(ANSWERS.c.node == node, ANSWERS.c.request_id.in_(changed)))
    if new:
        rows = [{"request_id": i, "node": node, "answer": answers[i][0], "detail": answers[i][1]} for i in new]
        connection.execute(insert(ANSWERS), rows)
    return new


def refusals_of(connection: Connection, request_id: Bytes32) -> list[str]:
    """What the nodes that do not work on a request say, in a fixed order: one for each of them."""
    said = select(ANSWERS.c.detail).where(ANSWERS.c.request_id == request_id, ANSWERS.c.answer.in_((REFUSED, OBJECTS)))
    return list(connection.execute(said.order_by(ANSWERS.c.detail)).scalars())


def nodes_answered(connection: Connection, request_ids: Sequence[Bytes32]) -> dict[Bytes32, set[str]]:
    """Who has answered about each, and is not asked again."""
    answered: dict[Bytes32, set[str]] = {request_id: set() for request_id in request_ids}
    query = select(ANSWERS.c.request_id, ANSWERS.c.node).where(ANSWERS.c.request_id.in_(request_ids), ANSWERS.c.answer != OBJECTS)
    for request_id, node in connection.execute(query):
        answered[Bytes32(request_id)].add(node)
    return answered


def stop_watching(connection: Connection, request_ids: Sequence[Bytes32]) -> None:
    """No node is asked about these any more."""
    connection.execute(update(REQUESTS).where(REQUESTS.c.request_id.in_(request_ids)).values(is_watched=False))


def claims_of(connection: Connection, asked: Asked) -> list[SignedClaim]:
    """The checked claims about a request, in the order of their signers."""
    return claims_of_all(connection, [asked])[asked.request_id]


def claims_of_all(connection: Connection, asked: Sequence[Asked]) -> dict[Bytes32, list[SignedClaim]]:
    """As `claims_of` for each."""
    of = {one.request_id: one.request for one in asked}
    found: dict[Bytes32, list[SignedClaim]] = {request_id: [] for request_id in of}
    for row in connection.execute(select(CLAIMS).where(CLAIMS.c.request_id.in_(list(of))).order_by(CLAIMS.c.signer)):
        r = of[row.request_id]
        claim = Claim(Bytes32(row.request_id), r.model_id, r.input_digest, Bytes32(row.output_digest))
        found[claim.request_id].append(SignedClaim(claim, row.output, row.signer, row.signature, row.proof, row.enclave, row.bls))
    return found
