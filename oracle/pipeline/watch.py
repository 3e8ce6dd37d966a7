"""The watcher: runs again what was delivered on chain, and where that gives another output, proves it and lets the contracts act.

Two loops over one database: *follow* opens a case for every delivery, in the transaction that remembers its block; *judge* takes the case
whose window ends first, re-executes it, and on a lie proves the right output once, challenges the pending answer and slashes its signers.
Killed anywhere, it goes on: what is still to be done is read from the chain (`oracle.relay.cases`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from oracle import journal
from oracle.attest.bls_quorum import verify_any_quorum
from oracle.attest.keys import load_account
from oracle.attest.prove import Prover
from oracle.attest.sign import AccountSigner
from oracle.config import Config, read_address
from oracle.encoding import (
    PROOF_SELECTOR,
    QUORUM_BLS_SELECTOR,
    QUORUM_ECDSA_SELECTOR,
    compute_claim_digest,
    keccak256,
    to_hex,
    unpack_bls_quorum_evidence,
    unpack_quorum_evidence,
)
from oracle.errors import ChainError, ClaimRejected, ConfigRejected, EvidenceRejected, InputRejected, ModelUnknown, StoreError
from oracle.pipeline.background import Background, Step
from oracle.pipeline.models import load_provable_library
from oracle.pipeline.session import connect
from oracle.records import (
    Address,
    Asked,
    Block,
    Bytes32,
    Claim,
    Delivered,
    Delivery,
    Evidence,
    Operator,
    RequestStatus,
    SignedClaim,
    TransactionReceipt,
)
from oracle.relay import cases
from oracle.relay.cases import Case, CaseState
from oracle.relay.contracts import Contracts
from oracle.relay.failures import CallReverted
from oracle.relay.follow import Follower, SqlTrail
from oracle.relay.metrics import StateCollector, make_app
from oracle.relay.sender import Sender
from oracle.seams import find_carried
from oracle.signatures import recover_signer
from oracle.store import open_database

IDLE_SECONDS = 0.25
SETTLE_SECONDS = 1.0
"""Between two looks at a case whose consequences are on chain, but not yet at depth."""
CHAIN_PAUSE_SECONDS = 5.0
MOST_BACKOFF_SECONDS = 60.0
SIGNATURES_A_TRANSACTION = 64
"""Slashing a signer takes about 90,000 gas; with the proof, well below what one transaction may have."""


class WatchMetrics:
    """Everything under /metrics."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(
            StateCollector("affidavit_watch_cases", "Deliveries by what the watcher found", lambda: cases.count_by_state(engine))
        )
        self.head_lag = Gauge("affidavit_watch_head_lag_blocks", "Blocks from the last one followed to the head", registry=self.registry)
        self.balance_wei = Gauge("affidavit_watch_balance_wei", "What the account can pay gas with", registry=self.registry)
        self.proving_seconds = Histogram("affidavit_watch_proving_seconds", "Time a proof took", registry=self.registry)
        self.lies = Counter("affidavit_watch_lies", "Deliveries whose output the model does not give", registry=self.registry)
        self.challenges = Counter("affidavit_watch_challenges", "Pending answers replaced by this watcher", registry=self.registry)
        self.slashings = Counter("affidavit_watch_slashings", "Operators slashed by this watcher", registry=self.registry)


@dataclass(frozen=True)
class Watcher:
    """The parts of a running watcher. `beneficiary` is named in its proofs, and gets the fees and rewards."""

    engine: Engine
    chain: Contracts
    sender: Sender
    prover: Prover
    beneficiary: Address
    metrics: WatchMetrics
    confirmations: int = 0
    logger: Any = field(default_factory=lambda: journal.get("watch"))


@dataclass(frozen=True, slots=True)
class SignedTogether:
    """Who signed with BLS keys, as of the delivery's block, and the sum of their signatures."""

    operators: tuple[Operator, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Accusation:
    """A delivery as the chain has it: what was asked, what was answered, and the signatures that its calldata shows."""

    asked: Asked
    claim: Claim
    signed: tuple[SignedClaim, ...]
    together: SignedTogether | None = None


# ---- one case -----------------------------------------------------------------------------------------------------------------------
def judge_next(watcher: Watcher, now: float) -> bool:
    """Takes the most urgent case one step on; False where nothing is due. Raises ChainError when the endpoint fails; nothing is lost."""
    case = cases.next_case(watcher.engine, now)
    if case is None:
        return False
    try:
        if case.state is CaseState.SEEN:
            judge(watcher, case)
        elif case.state is CaseState.WRONG:
            prove(watcher, case)
        else:
            act(watcher, case, now)
    except ChainError as error:  # perhaps about this one alone: the others must not wait for it
        cases.postpone(watcher.engine, case, now + CHAIN_PAUSE_SECONDS, problem=str(error)[:500])
        raise
    return True


def judge(watcher: Watcher, case: Case) -> None:
    """SEEN → TRUE, WRONG or UNCHECKED: runs the model again."""
    delivered, accusation = read_delivery(watcher.chain, case)
    if accusation is None:
        _leave_unchecked(watcher, case, "the input is not on chain")
        return
    try:
        output = watcher.prover.run(delivered.model_id, accusation.asked.input)
    except (ModelUnknown, InputRejected) as error:
        _leave_unchecked(watcher, case, str(error))
        return
    if output == delivered.output:
        cases.move(watcher.engine, case, CaseState.TRUE)
        watcher.logger.info("true", request_id=case.request_id)
        return
    watcher.metrics.lies.inc()
    digests = {"output_digest": to_hex(delivered.output_digest), "true_digest": to_hex(keccak256(output))}
    signers = [signed.signer for signed in accusation.signed]
    watcher.logger.error("LIE: the model does not give what was delivered", request_id=case.request_id, signers=signers, **digests)
    cases.move(watcher.engine, case, CaseState.WRONG, output=output, not_before=0.0)


def _leave_unchecked(watcher: Watcher, case: Case, problem: str) -> None:
    cases.move(watcher.engine, case, CaseState.UNCHECKED, problem=problem[:500])
    watcher.logger.info("not checked", request_id=case.request_id, problem=problem)


def prove(watcher: Watcher, case: Case) -> None:
    """WRONG → PROVEN: one proof, kept, serves the challenge and every slashing."""
    delivered, accusation = read_delivery(watcher.chain, case)
    if accusation is None:
        raise ChainError("the endpoint no longer shows the input of a delivery it showed before")
    claim = Claim(case.request_id, delivered.model_id, accusation.claim.input_digest, keccak256(case.output))
    with watcher.metrics.proving_seconds.time():
        evidence = watcher.prover.prove(claim, accusation.asked.input, watcher.beneficiary)
    cases.move(watcher.engine, case, CaseState.PROVEN, proof=evidence.data, not_before=0.0)


def act(watcher: Watcher, case: Case, now: float) -> None:
    """PROVEN → DONE: whatever of the consequences the chain does not show yet; the challenge first, it has a deadline."""
    delivered, accusation = read_delivery(watcher.chain, case)
    if accusation is None:
        raise ChainError("the endpoint no longer shows the input of a delivery it showed before")
    evidence = Evidence(PROOF_SELECTOR, case.proof)
    try:
        is_waiting = challenge(watcher, case, delivered, accusation, evidence)
        is_waiting |= slash(watcher, case, accusation, evidence)
    except CallReverted as reverted:
        _take_refusal(watcher, case, reverted, now)
        return
    head = _head(watcher.chain).number
    if is_waiting or case.settled_block is None:
        cases.postpone(watcher.engine, case, 0.0, settled_block=None if is_waiting else head)
    elif head < case.settled_block + watcher.confirmations:
        cases.postpone(watcher.engine, case, now + SETTLE_SECONDS)
    else:
        cases.move(watcher.engine, case, CaseState.DONE)
        watcher.logger.info("settled", request_id=case.request_id)


def challenge(watcher: Watcher, case: Case, delivered: Delivered, accusation: Accusation, evidence: Evidence) -> bool:
    """Replaces the answer where it is still pending and wrong; returns whether anything was sent."""
    status = watcher.chain.status_of(case.request_id)
    is_open = status.status is RequestStatus.PENDING and watcher.chain.pending_time() < status.available_at
    if not is_open or status.output_digest != delivered.output_digest:
        return False
    receipt = watcher.sender.send(watcher.chain.challenge_call(accusation.asked, case.output, evidence))
    watcher.metrics.challenges.inc()
    watcher.logger.warning("challenged", request_id=case.request_id, transaction=to_hex(receipt.transaction), gas_used=receipt.gas_used)
    return True


def slash(watcher: Watcher, case: Case, accusation: Accusation, evidence: Evidence) -> bool:
    """Slashes those of the signers who still have something to lose; returns whether anything was sent."""
    guilty = [signed for signed in accusation.signed if _is_slashable(watcher.chain, case.request_id, signed.signer)]
    for start in range(0, len(guilty), SIGNATURES_A_TRANSACTION):
        part = guilty[start : start + SIGNATURES_A_TRANSACTION]
        receipt = watcher.sender.send(watcher.chain.prove_wrong_call(part, accusation.asked.input, case.output, evidence))
        watcher.metrics.slashings.inc(len(part))
        signers = [signed.signer for signed in part]
        watcher.logger.warning("slashed", request_id=case.request_id, signers=signers, transaction=to_hex(receipt.transaction))
    return slash_together(watcher, case, accusation, evidence) or bool(guilty)


def slash_together(watcher: Watcher, case: Case, accusation: Accusation, evidence: Evidence) -> bool:
    """The same for those who signed with BLS keys: one call, whoever of them has something to lose."""
    signed = accusation.together
    if signed is None or not any(_has_stake(watcher.chain, case.request_id, o.operator) for o in signed.operators):
        return False
    keys, data = [o.bls_key for o in signed.operators], accusation.asked.input
    call = watcher.chain.prove_wrong_together_call(accusation.claim, keys, signed.signature, data, case.output, evidence)
    receipt = watcher.sender.send(call)
    watcher.metrics.slashings.inc(len(keys))
    operators = [o.operator for o in signed.operators]
    watcher.logger.warning("slashed", request_id=case.request_id, operators=operators, transaction=to_hex(receipt.transaction))
    return True


def _is_slashable(chain: Contracts, request_id: Bytes32, signer: Address) -> bool:
    operator = chain.operator_of(signer)
    return operator is not None and _has_stake(chain, request_id, operator)


def _has_stake(chain: Contracts, request_id: Bytes32, operator: Address) -> bool:
    """Whether an operator still has something to lose for what it signed about a request."""
    return chain.stake_of(operator) > 0 and not chain.slashed_for(request_id, operator)


def _take_refusal(watcher: Watcher, case: Case, reverted: CallReverted, now: float) -> None:
    """Often somebody else was faster, and the next look at the chain shows it."""
    attempts = case.attempts + 1
    if attempts >= cases.MOST_ATTEMPTS:
        watcher.logger.error("ALARM: the contracts refuse a true proof", request_id=case.request_id, problem=str(reverted))
        cases.move(watcher.engine, case, CaseState.FAILED, problem=str(reverted)[:500])
        return
    pause = min(MOST_BACKOFF_SECONDS, 0.5 * 2.0 ** min(attempts, 16))
    watcher.logger.warning("refused, looking again", request_id=case.request_id, problem=str(reverted), seconds=pause)
    cases.postpone(watcher.engine, case, now + pause, attempts=attempts, problem=str(reverted)[:500])


# ---- reading a delivery ---------------------------------------------------------------------------------------------------------------
def read_delivery(chain: Contracts, case: Case) -> tuple[Delivered, Accusation | None]:
    """The delivery of a case, and what it takes to accuse it: None where its input is nowhere on chain. Raises ChainError."""
    receipt = chain.receipt(case.transaction)
    delivered = next((d for d in receipt.delivered if d.request_id == case.request_id), None) if receipt else None
    if receipt is None or delivered is None:
        raise ChainError("the endpoint does not show a delivery that it showed before")
    carried = find_carried(chain, receipt, case.request_id)
    asked = chain.asked_of(case.request_id) or _asked_in(carried)
    if asked is None:
        return delivered, None
    claim = Claim(case.request_id, delivered.model_id, asked.request.input_digest, delivered.output_digest)
    if carried is None:
        return delivered, Accusation(asked, claim, ())
    signed = read_signatures(chain, claim, delivered.output, carried.evidence)
    return delivered, Accusation(asked, claim, signed, read_together(chain, claim, carried.evidence, receipt.block_number))


def _asked_in(carried: Delivery | None) -> Asked | None:
    """A signed request with its input, as the delivery's calldata shows them."""
    if carried is None or keccak256(carried.asked.input) != carried.asked.request.input_digest:
        return None
    return carried.asked


def read_signatures(chain: Contracts, claim: Claim, output: bytes, evidence: Sequence[Evidence]) -> tuple[SignedClaim, ...]:
    """The signatures of a delivery's quorum evidence, each with who made it.

    The contract has checked them; what reads otherwise here (calldata that is written in a strange way) is left out, and said.
    """
    digest, signed = compute_claim_digest(claim, chain.domain), []
    try:
        for signature in (s for e in evidence if e.selector == QUORUM_ECDSA_SELECTOR for s in unpack_quorum_evidence(e.data).values()):
            signed.append(SignedClaim(claim, output, recover_signer(digest, signature), signature))
    except (ClaimRejected, EvidenceRejected) as error:
        journal.get("watch").warning("evidence in calldata is not readable", request_id=claim.request_id, error=str(error))
    return tuple(signed)


def read_together(chain: Contracts, claim: Claim, evidence: Sequence[Evidence], block_number: int) -> SignedTogether | None:
    """Whose BLS signature a delivery's quorum evidence is; None where it is of another kind. As `read_signatures`."""
    piece = next((e for e in evidence if e.selector == QUORUM_BLS_SELECTOR), None)
    if piece is None:
        return None
    around = chain.operators(block_number) + chain.operators(block_number - 1)  # one who changes keys in the block counted as before
    try:
        signers = verify_any_quorum(piece, compute_claim_digest(claim, chain.domain), around, 1)
        return SignedTogether(signers, unpack_bls_quorum_evidence(piece.data)[1])
    except EvidenceRejected as error:
        journal.get("watch").warning("evidence in calldata is not readable", request_id=claim.request_id, error=str(error))
        return None


def _head(chain: Contracts) -> Block:
    head = chain.block("latest")
    if head is None:
        raise ChainError("the chain has no latest block")
    return head


# ---- the loops ------------------------------------------------------------------------------------------------------------------------
def make_follower(engine: Engine, chain: Contracts, first_block: int, confirmations: int) -> Follower:
    """Opens a case for every delivery, in the transaction that remembers its block."""

    def on_take(connection: Connection, _block: Block, receipts: Sequence[TransactionReceipt]) -> None:
        for receipt in receipts:
            cases.open_cases(connection, receipt)

    def on_undo(connection: Connection, block: Block) -> None:
        dropped = cases.drop_block(connection, block.hash)
        journal.get("follow").warning("block vanished", number=block.number, cases_dropped=dropped)

    trail = SqlTrail(engine, cases.FOLLOWED_BLOCKS, on_take, on_undo)
    return Follower(chain, trail, first_block, confirmations, lambda block_hash: read_receipts(chain, block_hash))


def read_receipts(chain: Contracts, block_hash: Bytes32) -> list[TransactionReceipt]:
    """The transactions of exactly that block that delivered anything. Raises ChainError where the chain moves meanwhile."""
    receipts = []
    for transaction in chain.deliveries_made_in(block_hash):
        receipt = chain.receipt(transaction)
        if receipt is None or receipt.block_hash != block_hash:
            raise ChainError("a delivery moved to another block while it was read")
        receipts.append(receipt)
    return receipts


def make_follow_step(follower: Follower, metrics: WatchMetrics, poll_seconds: float) -> Step:
    def step() -> float:
        done = follower.step()
        if done.taken:
            metrics.head_lag.set(done.head.number - done.taken[-1].number)
        return 0.0 if len(done.taken) > 1 else poll_seconds

    return _storing(step)


def make_judge_step(watcher: Watcher) -> Step:
    def step() -> float:
        return 0.0 if judge_next(watcher, time.time()) else IDLE_SECONDS

    return _storing(step)


def _storing(step: Step) -> Step:
    """A database that does not answer is the world's fault, and tried again; any other database error is ours."""

    def guarded() -> float:
        try:
            return step()
        except OperationalError as error:
            raise StoreError("the watcher's database does not answer") from error

    return guarded


# ---- the process -----------------------------------------------------------------------------------------------------------------------
def run_watch(config: Config) -> None:
    """`affidavit watch`: runs until SIGTERM. Raises ConfigRejected, ModelRejected, StoreError or ChainError at the start."""
    if config.watch is None:
        raise ConfigRejected("configuration", "a table [watch]", "none")
    watch = config.watch
    journal.configure("watch")
    chain = connect(config.chain)
    chain.check_deployment()
    _library, prover = load_provable_library(watch.models)
    signer = AccountSigner(load_account(watch.keystore, watch.password_file))
    engine = open_database(watch.database, cases.SCHEMA)
    try:
        cases.bind(engine, chain.domain)
        cases.reconsider_unchecked(engine)
        metrics, confirmations = WatchMetrics(engine), config.chain.confirmations
        beneficiary = signer.address if watch.beneficiary is None else read_address(watch.beneficiary, "watch: beneficiary")
        watcher = Watcher(engine, chain, Sender(chain, signer), prover, beneficiary, metrics, confirmations)
        follower = make_follower(engine, chain, chain.deployment.block_number, confirmations)
        steps = {"follow": make_follow_step(follower, metrics, config.chain.poll_seconds), "judge": make_judge_step(watcher)}
        readiness = {"chain": lambda: metrics.balance_wei.set(chain.ether_of(signer.address))}
        watcher.logger.info("started", account=signer.address, beneficiary=beneficiary)
        Background().run(steps, make_app(metrics, readiness, "watch", chain.endpoints), watch.listen)
        watcher.logger.info("stopped")
    finally:
        engine.dispose()
