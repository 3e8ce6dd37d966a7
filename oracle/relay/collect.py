"""Collecting claims: every node is asked about every request until it has answered; k equal claims, a proof, or both become a delivery.

Nodes are asked also after a quorum: a claim that contradicts it is a lie, and is stated to the log with its signature, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, func, select, update

from oracle import journal
from oracle.encoding import ENCLAVE_SELECTOR, PROOF_SELECTOR, to_hex, unpack_policy
from oracle.errors import ClaimRejected, EvidenceRejected, PeerError
from oracle.records import Address, Asked, Bytes32, Claim, Delivery, Evidence, OnChainStatus, Operator, SignedClaim
from oracle.relay import outbox
from oracle.relay.claims import (
    OBJECTS,
    REFUSED,
    claims_of,
    claims_of_all,
    nodes_answered,
    record_answers,
    record_new_claims,
    refusals_of,
    stop_watching,
    watched_by,
)
from oracle.relay.lane import Lane
from oracle.relay.outbox import Job, delivery_payload
from oracle.relay.peers import Answer, NodeAway, NodePeer
from oracle.relay.schema import EVENTS, JOBS, REQUESTS, JobKind, JobState, RequestState
from oracle.relay.settle import expire, follow_job, is_delivered, settle_unasked
from oracle.relay.statements import state_once
from oracle.relay.store import Move, RequestView, add_event, move_all, request_views, state_of, states_of, view_of
from oracle.relay.underpaid import name_underpaid

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
LONGEST_OUTAGE_PAUSE_SECONDS = 10.0
MOST_ASKED = 512
"""Questions to one node in one step: after these it is looked again at who is new."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """What the relay is handed to judge claims with; the functions are those of `oracle.attest.quorum`."""

    operators: Callable[[], Sequence[Operator]]  # the newest known list: called inside transactions, so it must not ask the chain
    check: Callable[[SignedClaim, Asked, Sequence[Operator]], Operator]  # raises ClaimRejected
    find_agreement: Callable[[Sequence[SignedClaim], int], tuple[SignedClaim, ...] | None]  # raises EvidenceRejected
    assemble: Callable[[Sequence[SignedClaim], int, Sequence[Operator]], Evidence]  # raises EvidenceRejected
    check_proof: Callable[[SignedClaim, Asked], None]  # asks the chain's verifier; raises ClaimRejected, ChainError
    check_enclave: Callable[[SignedClaim, Asked], None]  # as check_proof, for the signature of the operator's enclave
    check_bls: Callable[[SignedClaim, Operator], None]  # raises ClaimRejected


@dataclass(slots=True)
class Pauses:
    """When to ask again, in seconds of a monotonic clock. Lost on a restart, which only means asking at once."""

    due: dict[Bytes32, float] = field(default_factory=dict)
    length: dict[Bytes32, float] = field(default_factory=dict)
    objected: set[Bytes32] = field(default_factory=set)
    node_due: float = 0.0
    node_length: float = FIRST_PAUSE_SECONDS

    def later(self, request_id: Bytes32, moment: float) -> None:
        length = self.length.get(request_id, FIRST_PAUSE_SECONDS)
        self.due[request_id] = moment + length
        self.length[request_id] = min(2 * length, LONGEST_PAUSE_SECONDS)

    def away(self, moment: float) -> None:
        self.node_due = moment + self.node_length
        self.node_length = min(2 * self.node_length, LONGEST_OUTAGE_PAUSE_SECONDS)

    def is_news(self, request_id: Bytes32) -> bool:
        """Whether the node's objection to a request was not heard before: it repeats it as often as it is asked."""
        is_new = request_id not in self.objected
        self.objected.add(request_id)
        return is_new

    def forget(self, request_id: Bytes32) -> None:
        self.objected.discard(request_id)
        self.due.pop(request_id, None)
        self.length.pop(request_id, None)

    def take_turns(self, waiting: Sequence[Bytes32], moment: float) -> list[Bytes32]:
        """Who is to be asked about now: never asked before any other, then who has waited longest. Forgets who waits no more.

        Requests that a node never answers, which cost nobody anything to make, must not stand in the way of those after them.
        """
        if len(self.due) > len(waiting):
            still = set(waiting)
            for request_id in [known for known in self.due if known not in still]:
                self.forget(request_id)
        due = [(self.due.get(request_id, 0.0), request_id) for request_id in waiting]
        return [request_id for moment_due, request_id in sorted(due, key=lambda d: d[0]) if moment_due <= moment][:MOST_ASKED]


@dataclass(frozen=True, slots=True)
class _Agreed:
    """A delivery that everything is there for, and whose claims agree on it."""

    delivery: Delivery
    signers: tuple[Address, ...]

    @property
    def request_id(self) -> Bytes32:
        return self.delivery.asked.request_id

    @property
    def move(self) -> Move:
        detail = {"output_digest": to_hex(self.delivery.claim.output_digest), "signers": list(self.signers)}
        return Move(self.request_id, RequestState.QUEUED, "agreed", detail=detail)


class Collector:
    """Asks nodes and decides. Its state is in the database; what it keeps in memory is only when to ask again."""

    def __init__(self, lane: Lane, nodes: Sequence[NodePeer], attestation: Attestation) -> None:
        self._lane = lane
        self._nodes = nodes
        self._attestation = attestation
        self._pauses = {node.url: Pauses() for node in nodes}

    def step(self, moment: float) -> None:
        """Asks all nodes in parallel, once about each request that is due. `moment`: seconds of a monotonic clock."""
        with ThreadPoolExecutor(max(1, len(self._nodes))) as pool:
            for future in [pool.submit(self.step_node, node, moment) for node in self._nodes]:
                future.result()

    def step_node(self, node: NodePeer, moment: float) -> int:
        """Asks one node about every request that is due; returns how many it was asked about. Stops where the node does not answer."""
        pauses, asked_about = self._pauses[node.url], 0
        if pauses.node_due > moment:
            return 0
        waiting = watched_by(self._lane.engine, node.url)
        node.forget_others(waiting)
        turns = pauses.take_turns(waiting, moment)
        while turns:
            here, turns = turns[: node.most_at_once], turns[node.most_at_once :]
            asked_about += len(here)
            try:
                self._ask_about(node, here, pauses, moment)
                pauses.node_length = FIRST_PAUSE_SECONDS
            except NodeAway as error:
                pauses.away(moment)
                journal.get("collect").warning("a node does not answer", node=node.url, cause=repr(error.__cause__))
                break
        return asked_about

    def _ask_about(self, node: NodePeer, request_ids: Sequence[Bytes32], pauses: Pauses, moment: float) -> None:
        asked = [view.asked for view in request_views(self._lane.engine, request_ids)]
        answers = node.ask_all(asked)
        _tell_failures(node, answers.values())
        judged: list[tuple[Asked, Answer]] = []
        try:
            for one in asked:
                if (answer := self._judge(node, one, answers[one.request_id])) is None:
                    continue
                if answer.objection is None or pauses.is_news(one.request_id):
                    judged.append((one, answer))
        finally:  # where the chain is away, what could be judged without it is kept
            if judged:
                self._take_answers(node, judged)
            taken = {one.request_id for one, answer in judged if answer.objection is None}
            for request_id in request_ids:
                if request_id in taken:
                    pauses.forget(request_id)
                else:
                    pauses.later(request_id, moment)

    def _judge(self, node: NodePeer, asked: Asked, answer: Answer | PeerError) -> Answer | None:
        """The answer as it may be kept: a checked claim, a refusal or an objection; None where there is none yet. Raises ChainError."""
        if isinstance(answer, PeerError):
            return None
        if answer.claim is None:
            return None if answer == Answer() else answer
        try:
            operator = self._attestation.check(answer.claim, asked, self._attestation.operators())
            if answer.claim.proof:  # once, here: what is kept was accepted by the verifier
                self._attestation.check_proof(answer.claim, asked)
            if answer.claim.enclave:
                self._attestation.check_enclave(answer.claim, asked)
        except ClaimRejected as error:  # nothing anybody can be held to; perhaps an operator we have not heard of yet
            journal.get("collect").warning("a claim is not acceptable", node=node.url, error=str(error))
            return None
        return Answer(claim=self._with_true_bls(answer.claim, operator, node))

    def _take_answers(self, node: NodePeer, judged: Sequence[tuple[Asked, Answer]]) -> None:
        refused = {asked.request_id: (REFUSED, answer.refusal) for asked, answer in judged if answer.refusal is not None}
        refused |= {asked.request_id: (OBJECTS, answer.objection) for asked, answer in judged if answer.objection is not None}
        with self._lane.engine.begin() as connection:
            now = self._lane.clock.now()  # inside the transaction, so that times grow with ids
            if claims := [answer.claim for _, answer in judged if answer.claim is not None]:
                record_new_claims(connection, node.url, claims, now)
            new = record_answers(connection, node.url, refused) if refused else []
            for request_id in new:
                add_event(connection, request_id, "claim_refused", now, node=node.url, problem=refused[request_id][1])
            self.decide_all(connection, [asked for asked, _ in judged])
            for asked in (asked for asked, _ in judged if asked.request_id in new):
                name_underpaid(connection, asked, len(self._nodes), now)

    def _with_true_bls(self, signed: SignedClaim, operator: Operator, node: NodePeer) -> SignedClaim:
        """The claim without its BLS signature where that is none: the other one still counts."""
        if not signed.bls:
            return signed
        try:
            self._attestation.check_bls(signed, operator)
        except ClaimRejected as error:
            journal.get("collect").warning("a claim's BLS signature is left out", node=node.url, error=str(error))
            return replace(signed, bls=b"")
        return signed

    # ---- deciding ----------------------------------------------------------------------------------------------------------------------
    def decide(self, connection: Connection, asked: Asked) -> None:
        """What the claims so far mean, in the transaction that added one: a delivery, a lie, disagreement, or nothing yet."""
        self.decide_all(connection, [asked])

    def decide_all(self, connection: Connection, asked: Sequence[Asked]) -> None:
        """As `decide` for each. What is so for most, a first delivery or nothing yet, takes a few statements for all of them."""
        ids = [one.request_id for one in asked]
        claims, states = claims_of_all(connection, asked), states_of(connection, ids)
        jobs, answered = outbox.deliveries_of(connection, ids), nodes_answered(connection, ids)
        agreed: dict[Bytes32, Claim] = {i: job.delivery.claim for i, job in jobs.items()}
        new: list[_Agreed] = []
        for one in asked:
            if states[one.request_id] is not RequestState.COLLECTING:
                continue
            found = self._find_evidence(connection, one, claims[one.request_id])
            if found is None:
                continue
            if one.request_id in jobs:
                self._queue_again(connection, jobs[one.request_id], found)
                agreed[one.request_id] = outbox.read_job(connection, jobs[one.request_id].id).delivery.claim
            else:
                new.append(found)
                agreed[one.request_id] = found.delivery.claim
        outbox.enqueue_deliveries(connection, {found.request_id: delivery_payload(found.delivery) for found in new})
        move_all(connection, [found.move for found in new], states, self._lane.clock.now())
        for one in asked:
            if one.request_id in agreed:
                self._state_lies(connection, one, claims[one.request_id], agreed[one.request_id])
        if done := [i for i in ids if answered[i] >= {node.url for node in self._nodes}]:
            stop_watching(connection, done)

    def reconsider(self) -> None:
        """Decides again about requests whose evidence was refused, or that came back: operators may have changed since."""
        with self._lane.engine.begin() as connection:
            its_job = select(JOBS.c.id).where(JOBS.c.kind == JobKind.DELIVER, JOBS.c.request_id == REQUESTS.c.request_id)
            rows = connection.execute(
                select(REQUESTS).where(REQUESTS.c.state == RequestState.COLLECTING, its_job.exists()).limit(100)
            ).all()
            if rows:
                self.decide_all(connection, [view_of(row).asked for row in rows])

    def _find_evidence(self, connection: Connection, asked: Asked, claims: Sequence[SignedClaim]) -> _Agreed | None:
        """A delivery, when everything the policy demands is there: quorum, proof, an enclave's signature, all for one output."""
        policy = unpack_policy(asked.request.policy)
        agreed: Sequence[SignedClaim] = ()
        evidence: list[Evidence] = []
        if policy.quorum:
            found = self._find_agreement(connection, asked, claims, policy.quorum)
            if found is None:
                return None
            agreed = found
            evidence.append(self._attestation.assemble(agreed, policy.quorum, self._attestation.operators()))
        if policy.proof:
            # A proof was accepted by the verifier when it came, and no two outputs can be proven. Whoever made it need not sit any more.
            proven = next((c for c in claims if c.proof and (not agreed or c.claim == agreed[0].claim)), None)
            if proven is None:
                return None
            agreed = agreed or (proven,)
            evidence.append(Evidence(PROOF_SELECTOR, proven.proof))
        if policy.enclave:
            operators = self._attestation.operators()  # an enclave counts while its operator does
            fitting = (c for c in claims if c.enclave and (not agreed or c.claim == agreed[0].claim))
            attested = next((c for c in fitting if self._enclave_counts(c, asked, operators)), None)
            if attested is None:
                return None
            agreed = agreed or (attested,)
            evidence.append(Evidence(ENCLAVE_SELECTOR, attested.enclave))
        return _Agreed(Delivery(asked, agreed[0].claim, agreed[0].output, tuple(evidence)), tuple(sorted(c.signer for c in agreed)))

    def _find_agreement(
        self, connection: Connection, asked: Asked, claims: Sequence[SignedClaim], k: int
    ) -> tuple[SignedClaim, ...] | None:
        operators = self._attestation.operators()
        valid = [signed for signed in claims if self._still_counts(signed, asked, operators)]
        try:
            return self._attestation.find_agreement(valid, k)
        except EvidenceRejected as error:
            self._note_once(connection, asked, "disagreement", problem=str(error))
            return None

    def _still_counts(self, signed: SignedClaim, asked: Asked, operators: Sequence[Operator]) -> bool:
        """An operator may have left, or changed keys, since the claim was checked."""
        try:
            self._attestation.check(signed, asked, operators)
        except ClaimRejected:
            return False
        return True

    def _enclave_counts(self, signed: SignedClaim, asked: Asked, operators: Sequence[Operator]) -> bool:
        """Its operator may have left, and its key been revoked or expired."""
        try:
            self._attestation.check(signed, asked, operators)
            self._attestation.check_enclave(signed, asked)
        except ClaimRejected:
            return False
        return True

    def _queue_again(self, connection: Connection, job: Job, agreed: _Agreed) -> None:
        """Of a request that came back: a delivery that was refused is queued again only with other evidence."""
        payload, now = delivery_payload(agreed.delivery), self._lane.clock.now()
        if job.state is not JobState.FAILED:
            follow_job(connection, job, now)
        elif job.payload != payload:
            outbox.replace_payload(connection, job, payload)
            move_all(connection, [agreed.move], states_of(connection, [agreed.request_id]), now)

    def _state_lies(self, connection: Connection, asked: Asked, claims: Sequence[SignedClaim], agreed: Claim) -> None:
        for signed in claims:
            if signed.claim.output_digest == agreed.output_digest:
                continue
            key = f"lie:{to_hex(asked.request_id)}:{signed.signer}:{to_hex(signed.claim.output_digest)}"
            now = self._lane.clock.now()
            if state_once(connection, key, self._lane.entries.lie(asked, signed, agreed, now)):
                digest = to_hex(signed.claim.output_digest)
                journal.get("collect").error("an operator signed another output", request_id=asked.request_id, signer=signed.signer)
                add_event(connection, asked.request_id, "lie", now, signer=signed.signer, output_digest=digest)

    def _note_once(self, connection: Connection, asked: Asked, kind: str, **detail: object) -> None:
        known = select(EVENTS.c.id).where(EVENTS.c.request_id == asked.request_id, EVENTS.c.kind == kind).limit(1)
        if connection.execute(known).one_or_none() is None:
            add_event(connection, asked.request_id, kind, self._lane.clock.now(), **detail)


# ---- deadlines -------------------------------------------------------------------------------------------------------------------------
def _tell_failures(node: NodePeer, answers: Iterable[Answer | PeerError]) -> None:
    """Once for each kind of failure, however many requests were asked about together."""
    for (error, cause), count in Counter((str(a), repr(a.__cause__)) for a in answers if isinstance(a, PeerError)).items():
        journal.get("collect").warning("a node's answer is none", node=node.url, error=error, cause=cause, requests=count)


def expire_overdue(lane: Lane, limit: int = 100) -> int:
    """Ends requests without a delivery whose deadline is over by the chain's time; returns how many. Raises ChainError."""
    time = lane.chain.pending_time()
    is_refundable = (REQUESTS.c.state == RequestState.FAILED) & (func.length(REQUESTS.c.signature) == 0)
    ending = (REQUESTS.c.state == RequestState.COLLECTING) | is_refundable
    query = select(REQUESTS).where(ending, REQUESTS.c.deadline < time).order_by(REQUESTS.c.id).limit(limit)
    with lane.engine.begin() as connection:
        views = [view_of(row) for row in connection.execute(query)]
        over = update(REQUESTS).where(REQUESTS.c.is_watched, REQUESTS.c.deadline < time, REQUESTS.c.state != RequestState.COLLECTING)
        connection.execute(over.values(is_watched=False))
    for view in views:
        _end(lane, view, lane.chain.status_of(view.asked.request_id))
    return len(views)


def _end(lane: Lane, view: RequestView, status: OnChainStatus) -> None:
    asked = view.asked
    if is_delivered(status.status) and (view.state is RequestState.COLLECTING or not _had_quorum(lane, asked)):
        receipt = lane.chain.delivery_of(asked.request_id)
        output = next((d.output for d in receipt.delivered if d.request_id == asked.request_id), None) if receipt else None
        if output is None:
            return  # the endpoint knows the status but not the transaction yet: the next tick asks again
        with lane.engine.begin() as connection:
            settle_unasked(lane, connection, asked.request_id, output)
        return
    with lane.engine.begin() as connection:
        if state_of(connection, asked.request_id) is not view.state:
            return  # a quorum came at the last moment
        reason = view.reason or _describe(connection, asked)
        expire(lane, connection, asked, reason)


def _had_quorum(lane: Lane, asked: Asked) -> bool:
    with lane.engine.begin() as connection:
        return outbox.find_job(connection, JobKind.DELIVER, asked.request_id) is not None


def _describe(connection: Connection, asked: Asked) -> str:
    """Why there was no answer: how many signed what, and why others did not."""
    counts: dict[str, int] = {}
    for signed in claims_of(connection, asked):
        digest = to_hex(signed.claim.output_digest)
        counts[digest] = counts.get(digest, 0) + 1
    told = ", ".join(f"{count} for {digest}" for digest, count in sorted(counts.items())) or "none"
    policy = unpack_policy(asked.request.policy)
    wanted = [f"{policy.quorum} equal claims"] if policy.quorum else []
    wanted += ["proof"] if policy.proof else []
    wanted += ["enclave's signature"] if policy.enclave else []
    refusals = refusals_of(connection, asked.request_id)
    refused = f"; refused by {len(refusals)}: {'; '.join(dict.fromkeys(refusals))}"[:1000] if refusals else ""
    return f"no {' and '.join(wanted)} before the deadline: {told}{refused}"
