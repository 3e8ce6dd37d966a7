"""The watcher: runs again what was delivered on chain, and where that gives another output, proves it and lets the contracts act.

Two loops over one database: *follow* opens a case for every delivery, in the transaction that remembers its block; *judge* takes the case
whose window ends first, re-executes it, and on a lie proves the right output once, challenges the pending answer and slashes its signers.
Where nothing can be proven and the policy allows it, it disputes, and votes for its operator on what others dispute (`hearing`).
Killed anywhere, it goes on: what is still to be done is read from the chain (`oracle.relay.cases`, `oracle.relay.hearings`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from oracle import journal
from oracle.attest.prove import Prover
from oracle.attest.remote import open_signer
from oracle.config import Config, WatchConfig, read_address
from oracle.encoding import PROOF_SELECTOR, keccak256, to_hex, unpack_policy
from oracle.errors import ChainError, ConfigRejected, InputRejected, ModelUnknown, PeerError, StoreError, WorkerError, WorkGivenUp
from oracle.node.executor import Limits
from oracle.pipeline.accusing import SIGNATURES_A_TRANSACTION, Accusation, has_stake, is_slashable, read_delivery
from oracle.pipeline.background import Background, Step, end_by_exception
from oracle.pipeline.hearing import hear_next
from oracle.pipeline.rerunning import OpaqueRunner, open_rerunning
from oracle.pipeline.session import connect
from oracle.pipeline.watching import Watcher, WatchMetrics, read_head
from oracle.records import Address, Block, Bytes32, Claim, Delivered, Evidence, RequestStatus, TransactionReceipt
from oracle.relay import cases, hearings
from oracle.relay.cases import Case, CaseState
from oracle.relay.contracts import Contracts
from oracle.relay.disputes import Disputes, Outcome
from oracle.relay.failures import CallReverted
from oracle.relay.follow import Follower, SqlTrail
from oracle.relay.metrics import make_app
from oracle.relay.sender import Sender
from oracle.seams import PreimageSigner
from oracle.store import open_database

IDLE_SECONDS = 0.25
SETTLE_SECONDS = 1.0
"""Between two looks at a case whose consequences are on chain, but not yet at depth."""
CHAIN_PAUSE_SECONDS = 5.0
MOST_BACKOFF_SECONDS = 60.0


# ---- one case -----------------------------------------------------------------------------------------------------------------------
def judge_next(watcher: Watcher, now: float) -> bool:
    """Takes the most urgent case one step on; False where nothing is due. Raises ChainError when the endpoint fails, PeerError when a
    remote signer does; nothing is lost."""
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
    except (ChainError, PeerError, WorkerError) as error:  # perhaps about this one alone: the others must not wait for it
        cases.postpone(watcher.engine, case, now + CHAIN_PAUSE_SECONDS, problem=str(error)[:500])
        raise
    return True


def judge(watcher: Watcher, case: Case) -> None:
    """SEEN → TRUE, WRONG, UNPROVABLE or UNCHECKED: runs the model again. A hearing is opened first: votes are owed whatever comes of it."""
    delivered, accusation = read_delivery(watcher.chain, case)
    if accusation is None:
        _leave_unchecked(watcher, case, "the input is not on chain")
        return
    if unpack_policy(accusation.asked.request.policy).disputable:
        hearings.open_hearing(watcher.engine, case)
    try:
        output = watcher.run(delivered.model_id, accusation.asked.input)
    except (ModelUnknown, InputRejected, WorkGivenUp) as error:
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
    state = CaseState.WRONG if delivered.model_id in watcher.prover else CaseState.UNPROVABLE
    cases.move(watcher.engine, case, state, output=output, not_before=0.0)


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
    head = read_head(watcher.chain).number
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
    is_open = status.status is RequestStatus.PENDING and (watcher.chain.pending_time() < status.available_at or _is_disputed(watcher, case))
    if not is_open or status.output_digest != delivered.output_digest:
        return False
    receipt = watcher.sender.send(watcher.chain.challenge_call(accusation.asked, case.output, evidence))
    watcher.metrics.challenges.inc()
    watcher.logger.warning("challenged", request_id=case.request_id, transaction=to_hex(receipt.transaction), gas_used=receipt.gas_used)
    return True


def _is_disputed(watcher: Watcher, case: Case) -> bool:
    """As long as a dispute is open a proof replaces the answer, also when the window is over."""
    return watcher.disputes.is_there and watcher.disputes.dispute_of(case.request_id).outcome is Outcome.OPEN


def slash(watcher: Watcher, case: Case, accusation: Accusation, evidence: Evidence) -> bool:
    """Slashes those of the signers who still have something to lose; returns whether anything was sent."""
    guilty = [signed for signed in accusation.signed if is_slashable(watcher.chain, case.request_id, signed.signer)]
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
    if signed is None or not any(has_stake(watcher.chain, case.request_id, o.operator) for o in signed.operators):
        return False
    keys, data = [o.bls_key for o in signed.operators], accusation.asked.input
    call = watcher.chain.prove_wrong_together_call(accusation.claim, keys, signed.signature, data, case.output, evidence)
    receipt = watcher.sender.send(call)
    watcher.metrics.slashings.inc(len(keys))
    operators = [o.operator for o in signed.operators]
    watcher.logger.warning("slashed", request_id=case.request_id, operators=operators, transaction=to_hex(receipt.transaction))
    return True


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


# ---- the loops ------------------------------------------------------------------------------------------------------------------------
def make_follower(engine: Engine, chain: Contracts, first_block: int, confirmations: int) -> Follower:
    """Opens a case for every delivery and wakes hearings about which something happened, in the transaction that remembers the block."""
    disputes = Disputes(chain)

    def on_take(connection: Connection, _block: Block, seen: Sequence[TransactionReceipt | Bytes32]) -> None:
        for one in seen:
            if isinstance(one, TransactionReceipt):
                cases.open_cases(connection, one)
            else:
                hearings.wake(connection, one)

    def on_undo(connection: Connection, block: Block) -> None:
        hearings.drop_block(connection, block.hash)
        dropped = cases.drop_block(connection, block.hash)
        journal.get("follow").warning("block vanished", number=block.number, cases_dropped=dropped)

    def read(block_hashes: Sequence[Bytes32]) -> Sequence[Sequence[TransactionReceipt | Bytes32]]:
        each = zip(block_hashes, chain.deliveries_made_in_each(block_hashes), disputes.touched_in_each(block_hashes), strict=True)
        return [[*read_receipts(chain, block_hash, transactions), *touched] for block_hash, transactions, touched in each]

    trail = SqlTrail(engine, cases.FOLLOWED_BLOCKS, on_take, on_undo)
    return Follower(chain, trail, first_block, confirmations, read)


def read_receipts(chain: Contracts, block_hash: Bytes32, transactions: Sequence[Bytes32]) -> list[TransactionReceipt]:
    """Of transactions of exactly that block. Raises ChainError where the chain moves meanwhile."""
    receipts = []
    for transaction in transactions:
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
        """Votes first: they are judged by the clock. Both loops send from one account, so they are one."""
        is_busy = hear_next(watcher, time.time())
        is_busy |= judge_next(watcher, time.time())
        return 0.0 if is_busy else IDLE_SECONDS

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
    end_by_exception()  # the child that runs opaque models must not stay
    journal.configure("watch")
    chain = connect(config.chain)
    chain.check_deployment()
    signer = open_signer(watch, "watch")
    operator = read_voter(watch, chain, signer.address)
    prover, opaque = open_rerunning(watch.models, read_limits(watch))
    try:
        _run(config, watch, chain, Parts(signer, operator, prover, opaque))
    finally:
        opaque.workplace.stop()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a watcher is made of before it has a database."""

    signer: PreimageSigner
    operator: Address | None
    prover: Prover
    opaque: OpaqueRunner


def _run(config: Config, watch: WatchConfig, chain: Contracts, parts: Parts) -> None:
    engine = open_database(watch.database, cases.SCHEMA)
    try:
        cases.bind(engine, chain.domain)
        cases.reconsider_unchecked(engine)
        hearings.wake_all(engine)
        metrics, confirmations, signer = WatchMetrics(engine), config.chain.confirmations, parts.signer
        beneficiary = signer.address if watch.beneficiary is None else read_address(watch.beneficiary, "watch: beneficiary")
        more = (parts.opaque, parts.operator, watch.dispute)
        watcher = Watcher(engine, chain, Sender(chain, signer), parts.prover, beneficiary, metrics, confirmations, *more)
        follower = make_follower(engine, chain, chain.deployment.block_number, confirmations)
        steps = {"follow": make_follow_step(follower, metrics, config.chain.poll_seconds), "judge": make_judge_step(watcher)}
        readiness = {"chain": lambda: metrics.balance_wei.set(chain.ether_of(signer.address))}
        watcher.logger.info("started", account=signer.address, beneficiary=beneficiary, operator=parts.operator)
        Background().run(steps, make_app(metrics, readiness, "watch", chain.endpoints), watch.listen, parts.opaque.workplace.stop)
        watcher.logger.info("stopped")
    finally:
        engine.dispose()


def read_voter(watch: WatchConfig, chain: Contracts, account: Address) -> Address | None:
    """The operator a watcher votes for. Raises ConfigRejected unless its account is the operator's, or its signing key of now."""
    if watch.operator is None:
        return None
    operator = read_address(watch.operator, "watch: operator")
    if account != operator and chain.operator_of(account) != operator:
        raise ConfigRejected("watch: keystore, signer_address", f"the account of operator {operator}, or its signing key", account)
    return operator


def read_limits(watch: WatchConfig) -> Limits:
    """Raises ConfigRejected."""
    if watch.job_seconds <= 0:
        raise ConfigRejected("watch: job_seconds", "more than 0", watch.job_seconds)
    if watch.job_memory_mib < 256:
        raise ConfigRejected("watch: job_memory_mib", "at least 256", watch.job_memory_mib)
    return Limits(watch.job_seconds, watch.job_memory_mib << 20)
