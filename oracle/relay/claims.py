"""The nodes' claims in the database: who was asked, who answered, and what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, insert, select, update

from oracle.encoding import to_hex
from oracle.records import Asked, Bytes32, Claim, SignedClaim
from oracle.relay.schema import ANSWERS, CLAIMS, REQUESTS
from oracle.relay.store import add_event
from oracle.seams import format_time


def watched_by(engine: Engine, node: str) -> list[Bytes32]:
    """Ids of the requests about which this node has not answered yet, oldest first: all, or old ones could hide new ones."""
    answered = select(ANSWERS.c.request_id).where(ANSWERS.c.node == node, ANSWERS.c.request_id == REQUESTS.c.request_id)
    query = select(REQUESTS.c.request_id).where(REQUESTS.c.is_watched, ~answered.exists()).order_by(REQUESTS.c.id)
    with engine.begin() as connection:
        return list(connection.execute(query).scalars())


def record_claim(connection: Connection, node: str, signed: SignedClaim, now: datetime) -> bool:
    """Keeps a checked claim and that this node has answered. Returns whether the claim is new."""
    c, claim = CLAIMS.c, signed.claim
    is_same = (c.request_id == claim.request_id) & (c.signer == signed.signer) & (c.output_digest == claim.output_digest)
    record_answer(connection, claim.request_id, node, "claim", signed.signer)
    known = connection.execute(select(c.proof, c.enclave, c.bls).where(is_same)).one_or_none()
    if known is not None:  # from another node of the same operator
        more = {"proof": signed.proof} if signed.proof and not known.proof else {}
        more |= {"enclave": signed.enclave} if signed.enclave and not known.enclave else {}
        more |= {"bls": signed.bls} if signed.bls and not known.bls else {}
        if more:
            connection.execute(update(CLAIMS).where(is_same).values(**more))
        return False
    connection.execute(
        insert(CLAIMS).values(
            request_id=claim.request_id,
            signer=signed.signer,
            output_digest=claim.output_digest,
            node=node,
            output=signed.output,
            signature=signed.signature,
            proof=signed.proof,
            enclave=signed.enclave,
            bls=signed.bls,
            time=format_time(now),
        )
    )
    detail = {"signer": signed.signer, "output_digest": to_hex(claim.output_digest)}
    add_event(connection, claim.request_id, "claim", now, **detail, **({"proof_bytes": len(signed.proof)} if signed.proof else {}))
    return True


def record_answer(connection: Connection, request_id: Bytes32, node: str, answer: str, detail: str) -> None:
    """This node need not be asked again about this request."""
    known = select(ANSWERS.c.node).where(ANSWERS.c.request_id == request_id, ANSWERS.c.node == node)
    if connection.execute(known).one_or_none() is None:
        connection.execute(insert(ANSWERS).values(request_id=request_id, node=node, answer=answer, detail=detail))


def nodes_answered(connection: Connection, request_id: Bytes32) -> set[str]:
    return set(connection.execute(select(ANSWERS.c.node).where(ANSWERS.c.request_id == request_id)).scalars())


def stop_watching(connection: Connection, request_ids: Sequence[Bytes32]) -> None:
    """No node is asked about these any more."""
    connection.execute(update(REQUESTS).where(REQUESTS.c.request_id.in_(request_ids)).values(is_watched=False))


def claims_of(connection: Connection, asked: Asked) -> list[SignedClaim]:
    """The checked claims about a request, in the order of their signers."""
    rows = connection.execute(select(CLAIMS).where(CLAIMS.c.request_id == asked.request_id).order_by(CLAIMS.c.signer)).all()
    r = asked.request
    claims = (Claim(asked.request_id, r.model_id, r.input_digest, Bytes32(row.output_digest)) for row in rows)
    more = ((row.output, row.signer, row.signature, row.proof, row.enclave, row.bls) for row in rows)
    return [SignedClaim(claim, *values) for claim, values in zip(claims, more, strict=True)]
