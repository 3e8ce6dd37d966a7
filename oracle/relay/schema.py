"""What the relay must not forget: its tables, their states, and the transitions between them. Migrations make the same tables.

A **request** is what somebody waits for:

    COLLECTING ──evidence──▶ QUEUED ──sent──▶ SENT ──mined──▶ MINED ──depth──▶ FINAL
        ▲  ▲                         │ ▲              │               │  └──depth, window──▶ PENDING ──finalized, depth──▶ FINAL
        │  └─evidence refused────────┘ └──nonce lost──┴──reorganised──┘
        │                                                       (MINED ──block vanished──▶ SENT)   PENDING ──no majority──▶ REFUNDED
        ├──deadline──▶ EXPIRED ──refund at depth──▶ REFUNDED         (on-chain requests only are refunded)
        ├──refused for good, or the relay's terms not met──▶ FAILED ──deadline──▶ EXPIRED
        │                                                      └──deadline, delivered by somebody else──▶ QUEUED, to adopt it
        ├──delivered by somebody else with another output than our quorum's──▶ CONFLICT (an alarm)
        └──its own block vanished──▶ DROPPED ──seen again──▶ COLLECTING

A **job** is one thing to do on chain for one request (deliver, finalize, refund):

    QUEUED ──nonce allocated, signed──▶ SIGNED ──handed to an endpoint──▶ SENT ──receipt──▶ MINED ──depth──▶ FINAL
       ▲                                   │                               │                  │ └─reverted at depth─▶ QUEUED, FAILED
       └──────nonce used by another────────┴───────────────────────────────┘                  └──receipt vanished──▶ SENT
    QUEUED ──▶ FAILED (the contracts refuse it)      QUEUED ──▶ EXPIRED (its deadline is over)
    SIGNED, SENT ──its deadline is over, a no-op is signed for its nonce──▶ EXPIRED ──mined after all──▶ MINED

A **slot** is a nonce of the relay's account; every transaction ever signed for it is kept, and any of them counts when it is mined:

    SIGNED ──▶ SENT ──▶ MINED ──▶ FINAL        SENT ◀── MINED (receipt vanished)
    SIGNED, SENT ──replaced: by higher fees, or by a no-op──▶ SIGNED
    SIGNED, SENT ──nonce used by a transaction that is not ours──▶ FOREIGN ──depth──▶ FINAL
    FOREIGN ──that one vanished──▶ SIGNED (a no-op fills the gap), or MINED (ours came back)

A nonce and the signed bytes are stored in one transaction, before anything is broadcast. Nothing of a transaction is ever computed twice.

The **lease** says which of several replicas works all this (`oracle.relay.lease`): its token grows with every holder, and a transaction of
an older one changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from oracle.errors import InvariantBroken
from oracle.relay.follow import trail_table


class RequestState(StrEnum):
    COLLECTING = "collecting"
    QUEUED = "queued"
    SENT = "sent"
    MINED = "mined"
    PENDING = "pending"
    FINAL = "final"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    FAILED = "failed"
    DROPPED = "dropped"
    CONFLICT = "conflict"


class JobKind(StrEnum):
    DELIVER = "deliver"
    FINALIZE = "finalize"
    REFUND = "refund"


class JobState(StrEnum):
    QUEUED = "queued"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    FAILED = "failed"
    EXPIRED = "expired"


class SlotState(StrEnum):
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    FOREIGN = "foreign"


_R = RequestState
REQUEST_TRANSITIONS: dict[RequestState, frozenset[RequestState]] = {
    _R.COLLECTING: frozenset({_R.QUEUED, _R.EXPIRED, _R.FAILED, _R.DROPPED, _R.MINED, _R.CONFLICT}),
    _R.QUEUED: frozenset({_R.COLLECTING, _R.SENT, _R.MINED, _R.EXPIRED, _R.FAILED, _R.DROPPED, _R.CONFLICT}),
    _R.SENT: frozenset({_R.QUEUED, _R.MINED, _R.EXPIRED, _R.FAILED, _R.DROPPED}),
    _R.MINED: frozenset({_R.SENT, _R.QUEUED, _R.COLLECTING, _R.PENDING, _R.FINAL, _R.FAILED, _R.DROPPED}),
    _R.PENDING: frozenset({_R.FINAL, _R.FAILED, _R.REFUNDED}),  # refunded where a committee agreed on nothing
    _R.FINAL: frozenset(),
    _R.EXPIRED: frozenset({_R.REFUNDED, _R.MINED, _R.DROPPED}),
    _R.REFUNDED: frozenset(),
    _R.FAILED: frozenset({_R.EXPIRED, _R.DROPPED, _R.QUEUED}),
    _R.DROPPED: frozenset({_R.COLLECTING}),
    _R.CONFLICT: frozenset(),
}

_J = JobState
JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _J.QUEUED: frozenset({_J.SIGNED, _J.MINED, _J.FAILED, _J.EXPIRED}),
    _J.SIGNED: frozenset({_J.SENT, _J.MINED, _J.QUEUED, _J.FAILED, _J.EXPIRED}),
    _J.SENT: frozenset({_J.MINED, _J.QUEUED, _J.FAILED, _J.EXPIRED}),
    _J.MINED: frozenset({_J.SENT, _J.QUEUED, _J.FINAL, _J.FAILED, _J.EXPIRED}),
    _J.FINAL: frozenset(),
    _J.FAILED: frozenset({_J.QUEUED, _J.MINED}),  # assembled anew, with other evidence; or somebody else delivered
    _J.EXPIRED: frozenset({_J.MINED}),
}

_S = SlotState
SLOT_TRANSITIONS: dict[SlotState, frozenset[SlotState]] = {
    _S.SIGNED: frozenset({_S.SENT, _S.MINED, _S.FOREIGN}),
    _S.SENT: frozenset({_S.SIGNED, _S.MINED, _S.FOREIGN}),
    _S.MINED: frozenset({_S.SENT, _S.FINAL}),
    _S.FINAL: frozenset(),
    _S.FOREIGN: frozenset({_S.SIGNED, _S.MINED, _S.FINAL}),
}


T = TypeVar("T", bound=StrEnum)


def require_transition(table: dict[T, frozenset[T]], old: T, new: T) -> None:
    """Raises InvariantBroken for a transition that is not in the table. Staying is always allowed."""
    if new is not old and new not in table[old]:
        raise InvariantBroken(f"{type(old).__name__} {old} does not become {new}")


METADATA = MetaData()
_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only in INTEGER columns
_DIGEST = LargeBinary(32)

DEPLOYMENT = Table(
    "deployment",
    METADATA,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("coprocessor", String(42), nullable=False),
)
"""One row: a request id belongs to one chain and one Coprocessor, and so does everything in this database."""

TERMS = Table(
    "terms",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1
    Column("minimum_fee_wei", Text, nullable=False),  # decimal: more than 64 bits
    Column("minimum_fee_per_callback_gas_wei", Text, nullable=False),
    Column("max_callback_gas", Text, nullable=False),
    Column("minimum_proof_fee_wei", Text, nullable=False),
)
"""One row, `oracle.relay.terms`: the relay's newest terms, by which it and the API take requests in."""

FOLLOWED_BLOCKS = trail_table(METADATA)

REQUESTS = Table(
    "requests",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("request_id", _DIGEST, nullable=False, unique=True),
    Column("requester", String(42), nullable=False),
    Column("request", Text, nullable=False),  # JSON, oracle.wire
    Column("owed_wei", Text),  # decimal: the fee, where it comes out of a deposit on delivery; empty where it was paid on chain
    Column("input", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),  # empty for on-chain requests
    Column("deadline", BigInteger, nullable=False),  # seconds since 1970
    Column("block_number", BigInteger),
    Column("block_hash", _DIGEST),
    Column("transaction", _DIGEST),
    Column("state", String(16), nullable=False),
    Column("reason", Text),  # why FAILED or EXPIRED, or why COLLECTING will come to nothing
    Column("is_watched", Boolean, nullable=False),  # nodes are still asked: also after a quorum, until every node has answered
    Column("updated", String(32), nullable=False),  # RFC 3339
    Index("requests_state", "state", "id"),
    Index("requests_watched", "is_watched", "id"),
    Index("requests_requester", "requester", "state", "owed_wei"),  # a sum over them reads nothing else
    Index("requests_block", "block_hash"),
)

CLAIMS = Table(
    "claims",
    METADATA,
    Column("request_id", _DIGEST, ForeignKey("requests.request_id"), primary_key=True),
    Column("signer", String(42), primary_key=True),
    Column("output_digest", _DIGEST, primary_key=True),
    Column("node", Text, nullable=False),
    Column("output", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("time", String(32), nullable=False),
    Column("proof", LargeBinary, nullable=False),  # data of proof evidence; empty where none came with it
    Column("bls", LargeBinary, nullable=False),  # the same digest signed with the operator's BLS key; empty where it was not
    Column("enclave", LargeBinary, nullable=False),  # the signature of the operator's enclave; empty where none came with it
)
"""Checked claims. A signer with two outputs for one request has two rows: both are kept as evidence."""

ANSWERS = Table(
    "answers",
    METADATA,
    Column("request_id", _DIGEST, ForeignKey("requests.request_id"), primary_key=True),
    Column("node", Text, primary_key=True),
    Column("answer", String(16), nullable=False),  # claim, refused, objects
    Column("detail", Text, nullable=False),
)
"""What nodes answered about a request. Who answered need not be asked again, unless it only objects to the fee."""

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("request_id", _DIGEST, ForeignKey("requests.request_id"), nullable=False),
    Column("payload", Text, nullable=False),  # JSON: output and evidence, or beneficiaries
    Column("state", String(16), nullable=False),
    Column("nonce", BigInteger),  # of the slot that carries it now
    Column("transaction", _DIGEST),  # that did it, once mined; may be somebody else's
    Column("attempts", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),  # seconds since 1970
    Column("reason", Text),
    UniqueConstraint("kind", "request_id", name="jobs_once"),
    Index("jobs_state", "state", "not_before"),
)

SLOTS = Table(
    "slots",
    METADATA,
    Column("nonce", BigInteger, primary_key=True, autoincrement=False),
    Column("sender", String(42), nullable=False),
    Column("state", String(16), nullable=False),
    Column("transaction", _DIGEST),  # that used the nonce, where it is one of ours
    Column("block_number", BigInteger),
    Column("block_hash", _DIGEST),
    Index("slots_state", "state"),
)

TRANSACTIONS = Table(
    "transactions",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("hash", _DIGEST, nullable=False, unique=True),
    Column("nonce", BigInteger, ForeignKey("slots.nonce"), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("gas", BigInteger, nullable=False),
    Column("max_fee_wei", BigInteger, nullable=False),
    Column("priority_fee_wei", BigInteger, nullable=False),
    Column("jobs", Text, nullable=False),  # JSON array of job ids; empty for a no-op
    Column("time", String(32), nullable=False),
    Column("head_number", BigInteger),  # the newest block when it was signed: only later ones can have passed it over
    Index("transactions_nonce", "nonce"),
)

LEASE = Table(
    "lease",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1
    Column("token", BigInteger, nullable=False),  # grows by one with every holder
    Column("holder", String(64), nullable=False),  # whoever it is, for people
    Column("expires", Float(53), nullable=False),  # seconds since 1970 by the database's clock
)
"""One row, `oracle.relay.lease`."""

EVENTS = Table(
    "events",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("request_id", _DIGEST, nullable=False),
    Column("time", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    Index("events_request", "request_id", "id"),
    sqlite_autoincrement=True,  # an id is never given twice, even after a deletion: followers resume from ids
)
"""The history of every request, only ever added to."""

ENTRIES = Table(
    "log_entries",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False, unique=True),
    Column("entry", Text, nullable=False),  # JSON: the whole entry with its time, so that a second attempt sends the same bytes
    Column("index", BigInteger),  # in the log, once it is there
    Column("leaf_hash", _DIGEST),
    Column("refusal", Text),  # why the log will never take it
    Index("log_entries_waiting", "index", "id"),
)
