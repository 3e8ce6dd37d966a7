"""A node's line, for several requests at once: check, intent, infer, guard and sign, prove, result; then, and only then, claims show.

The order is the product, and each step is durable for all requests before the next begins. What one request runs into is its own; the
others go on. A crash between any two steps leaves jobs that are simply run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from oracle.attest.sign import sign_claim
from oracle.audit.entries import error_entry, intent_entry, result_entry
from oracle.encoding import keccak256, to_hex, unpack_policy
from oracle.errors import InvariantBroken, PolicyRejected, Rejected, WorldError
from oracle.node.infer import infer
from oracle.node.intake import CheckedJob, check
from oracle.node.jobs import Guarded, Job, ToSign
from oracle.node.models import CanonicalServed, ServedModel
from oracle.node.recent import RecentChain
from oracle.node.work import infer_elsewhere
from oracle.pipeline.ledger import Statement
from oracle.records import Appended, Bytes32, Claim, Inference, SignedClaim

if TYPE_CHECKING:
    from oracle.pipeline.node import Node

MOST_TOGETHER = 64
MOST_BYTES_TOGETHER = 1 << 20
"""Of inputs: the log takes no question of any size."""

Problem = Rejected | WorldError


@dataclass(slots=True)
class _Work:
    """One job on its way down the line."""

    job: Job
    problem: Problem | None = None  # what it ran into: it goes no further
    checked: CheckedJob | None = None
    intent: Appended | None = None
    inference: Inference | None = None
    guarded: Guarded | None = None
    proof: bytes = b""

    @property
    def request_id(self) -> Bytes32:
        return self.job.asked.request_id


def may_go_together(job: Job, before: Sequence[Job], node: Node) -> bool:
    """Whether a job may be taken beside those before it: none waits for another's proof, or for a model that runs elsewhere."""
    if any(_is_slow(one, node) for one in (before[0], job)):
        return False
    return sum(len(one.asked.input) for one in (*before, job)) <= MOST_BYTES_TOGETHER


def _is_slow(job: Job, node: Node) -> bool:
    request = job.asked.request
    try:
        demands_proof = unpack_policy(request.policy).proof
    except PolicyRejected:  # the check says so, in no time
        demands_proof = False
    return demands_proof or not node.library.is_quick(request.model_id)


def answer(jobs: Sequence[Job], node: Node) -> dict[Bytes32, Problem]:
    """Takes jobs to their claims. What some ran into is returned: Rejected for a request that will not do, WorldError where log, chain or
    database fail; the job is then as if this call had not been made, except that what is durable stays and is found again.

    What was signed before a crash is not computed again. Raises WorldError where it befell all of them.
    """
    signed = node.store.guarded_all([job.asked.request_id for job in jobs], node.chain.domain)
    works = [_Work(job, intent=job.intent, guarded=signed.get(job.asked.request_id), proof=job.proof) for job in jobs]
    fresh = [work for work in works if work.guarded is None]
    if fresh:
        _check(fresh, node)
        append_intents(list(_going(fresh)), node)
        _infer(list(_going(fresh)), node)
        _sign(list(_going(fresh)), node)
    for work in _going(works):
        _prove(work, node)
    append_results(list(_going(works)), node)
    node.store.mark_all_answered([work.request_id for work in _going(works)])
    return {work.request_id: work.problem for work in works if work.problem is not None}


def _going(works: Sequence[_Work]) -> Iterator[_Work]:
    """Those that ran into nothing yet."""
    return (work for work in works if work.problem is None)


def _check(works: Sequence[_Work], node: Node) -> None:
    signed = [work.job.asked for work in works if work.job.asked.request.is_signed_off_chain]
    owed = node.store.fees_owed(list({asked.request.requester for asked in signed})) if signed else {}
    totals = {requester: sum(fees.values()) for requester, fees in owed.items()}
    chain = node.recent or node.chain
    if isinstance(chain, RecentChain) and len(works) > 1:
        chain.foresee([work.request_id for work in works])
    for work in works:
        asked = work.job.asked
        requester = asked.request.requester
        owed_wei = totals.get(requester, 0) - owed.get(requester, {}).get(asked.request_id, 0)
        try:
            work.checked = check(asked, chain, node.library, node.terms, owed_wei)
        except (Rejected, WorldError) as error:
            work.problem = error


def append_intents(works: Sequence[_Work], node: Node) -> None:
    """Says in the log, before the model runs, that it will; not where that is owed. The key makes a repeated append find the first.

    The key holds where the request came from: after a reorganisation the same request comes from another block, which is another intent.
    """
    new = [(work, _intent_statement(work, node)) for work in works if work.intent is None]
    if not new:
        return
    for (work, _), place in zip(new, node.ledger.append_all([statement for _, statement in new]), strict=True):
        if isinstance(place, WorldError):
            work.problem = place
        else:
            work.intent = place
    node.store.record_intents({work.request_id: work.intent for work, _ in new if work.problem is None and work.intent is not None})


def _intent_statement(work: _Work, node: Node) -> Statement:
    asked, checked = work.job.asked, _there(work.checked)
    source = asked.block_hash if asked.block_hash is not None else keccak256(asked.signature)
    key = f"intent:{to_hex(asked.request_id)}:{to_hex(source)}"
    entry = intent_entry(asked, checked.domain, node.name, checked.model.directory.name, node.clock.now())
    return Statement(asked.request_id, entry, key)


def _infer(works: Sequence[_Work], node: Node) -> None:
    for work in works:
        checked = _there(work.checked)
        try:
            work.inference = _run_model(checked.model, work.job.asked.input, node)
        except (Rejected, WorldError) as error:
            work.problem = error
        else:
            node.metrics.inference_seconds.labels(checked.model.directory.name).observe(work.inference.seconds)


def _run_model(model: ServedModel, data: bytes, node: Node) -> Inference:
    """Canonical models here: their graph is the one this package writes for a checked descriptor, with no operation that can end a process
    and the same work for every input. Opaque ones where what they do ends nothing but their own process."""
    if node.workplace is None or isinstance(model, CanonicalServed):
        return infer(model, data)
    return infer_elsewhere(model, data, node.workplace)


def _sign(works: Sequence[_Work], node: Node) -> None:
    domain = node.chain.domain

    def sign(claim: Claim, output: bytes) -> SignedClaim:
        return sign_claim(claim, output, domain, node.signer)

    claims = []
    for work in works:
        made = _there(work.inference)
        claim = Claim(work.request_id, made.model_id, made.input_digest, made.output_digest)
        claims.append(ToSign(claim, made, work.intent))
    signed = node.store.sign_all_once(claims, domain, sign) if claims else {}
    for work in works:
        outcome = signed[work.request_id]
        if isinstance(outcome, Guarded):
            work.guarded = outcome
        else:
            work.problem = outcome


def _prove(work: _Work, node: Node) -> None:
    """The data of proof evidence for the signed claim, kept with the job; none where none is demanded or this node makes none."""
    asked, claim = work.job.asked, _there(work.guarded).signed.claim
    if work.proof or node.proving is None or not unpack_policy(asked.request.policy).proof or claim.model_id not in node.proving.prover:
        return
    started = time.perf_counter()
    try:
        work.proof = node.proving.prover.prove(claim, asked.input, node.proving.beneficiary()).data
    except (Rejected, WorldError) as error:
        work.problem = error
        return
    node.metrics.proving_seconds.labels(node.library.get(claim.model_id).directory.name).observe(time.perf_counter() - started)
    node.store.record_proof(claim.request_id, work.proof)


def append_results(works: Sequence[_Work], node: Node) -> None:
    """Says in the log what was signed and proven, before it leaves; not where that is owed. Made of what is kept alone: a repetition is the
    same entry."""
    if not works:
        return
    for work, place in zip(works, node.ledger.append_all([_result_statement(work, node) for work in works]), strict=True):
        if isinstance(place, WorldError):
            work.problem = place


def _result_statement(work: _Work, node: Node) -> Statement:
    guarded, asked = _there(work.guarded), work.job.asked
    intent = guarded.intent or node.store.owed.intent_of(asked.request_id)
    model_name = node.library.get(asked.request.model_id).directory.name
    parts = (intent, asked, node.chain.domain, replace(guarded.signed, proof=work.proof), guarded.inference)
    entry = result_entry(*parts, node.name, model_name, node.clock.now())
    return Statement(asked.request_id, entry, f"result:{to_hex(asked.request_id)}", is_behind=intent is None)


def append_failure(job: Job, reason: Rejected, node: Node) -> None:
    """Closes an intent that has no result: an auditor must not be left to guess."""
    request_id, owed = job.asked.request_id, node.store.owed
    logged, was_owed = node.store.job(request_id).intent, owed.has_intent(request_id)
    if logged is None and not was_owed:
        return
    intent = logged or owed.intent_of(request_id)
    kind = type(reason).__name__
    entry = error_entry(job.asked, node.chain.domain, node.name, kind, str(reason), node.clock.now(), intent)
    key = f"error:{to_hex(request_id)}:{'owed' if logged is None else logged.index}:{kind}"
    node.ledger.append(request_id, entry, key, is_behind=intent is None)


T = TypeVar("T")


def _there(value: T | None) -> T:
    """What an earlier step of the line made."""
    if value is None:
        raise InvariantBroken("a step of the line before another one")
    return value
