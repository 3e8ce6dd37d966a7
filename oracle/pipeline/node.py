"""The node: from a request to a signed claim, proven where that is demanded, that is in the log; and the process that does it.

The order is the product: checked before work, intent in the log before the model runs, guard before the signature exists, result in the log
before anybody sees the answer. A crash between any two leaves a job that is simply run again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.exc import SQLAlchemyError

from oracle import journal
from oracle.attest.bls import BlsSigner
from oracle.attest.bls_keystore import load_bls_signer
from oracle.attest.keys import load_account
from oracle.attest.prove import Prover
from oracle.attest.remote import open_signer
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.audit.client import LogClient
from oracle.audit.entries import error_entry, intent_entry, result_entry
from oracle.audit.late import LogPolicy
from oracle.audit.record import MAX_BODY_BYTES
from oracle.config import ChainConfig, Config, NodeConfig, read_address, read_secret
from oracle.encoding import keccak256, to_hex, unpack_policy
from oracle.errors import (
    AffidavitError,
    ChainError,
    ConfigRejected,
    Equivocation,
    PeerError,
    Rejected,
    RequestUnknown,
    StoreError,
    WorldError,
)
from oracle.node import jobs
from oracle.node.executor import Workplace
from oracle.node.infer import infer
from oracle.node.intake import CheckedJob, Terms, check
from oracle.node.jobs import Guarded, Job, JobStore
from oracle.node.metrics import NodeMetrics
from oracle.node.models import CanonicalServed, ModelLibrary, ServedModel
from oracle.node.recent import RecentChain
from oracle.node.service import Door, make_app
from oracle.node.work import infer_elsewhere
from oracle.pipeline.background import Background, Step, end_by_exception
from oracle.pipeline.ledger import Ledger, make_deliver_step
from oracle.pipeline.session import connect
from oracle.pipeline.work import DistantProver, load_models, open_loading, open_workplace
from oracle.records import Address, Appended, Asked, Block, Bytes32, Claim, Inference, SignedClaim
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import load_deployment
from oracle.relay.follow import Follower, SqlTrail, trail_table
from oracle.relay.metrics import EndpointCollector
from oracle.seams import ChainReader, Clock, EntryLog, PreimageSigner, Signer, SystemClock
from oracle.store import open_database

IDLE_SECONDS = 0.25
"""How long a worker waits for the bell before it looks by itself: put-off jobs ring none."""
MAX_BACKOFF_SECONDS = jobs.LONGEST_PAUSE_SECONDS


@dataclass(frozen=True)
class Proving:
    """How a node that proves does it. `beneficiary` is named in every proof, and paid."""

    prover: Prover | DistantProver
    beneficiary: Callable[[], Address]  # asked when a proof is made: an operator may register after the node's start


@dataclass(frozen=True)
class Node:
    """The parts of a running node. `bell` is rung when there may be a new job; `stranded` are jobs whose worker lost the database."""

    name: str
    store: JobStore
    chain: ChainReader
    log: EntryLog
    library: ModelLibrary
    terms: Terms
    signer: PreimageSigner
    metrics: NodeMetrics
    clock: Clock
    proving: Proving | None = None
    bell: threading.Event = field(default_factory=threading.Event)
    stranded: set[Bytes32] = field(default_factory=set)
    log_policy: LogPolicy = LogPolicy.CLOSED
    workplace: Workplace | None = None  # where opaque models run; in this process where there is none
    recent: ChainReader | None = None  # what checks read, shared by door and workers; `chain` where there is none
    enclave: Signer | None = None  # the key in this node's enclave
    bls: BlsSigner | None = None  # signs claims beside `signer`
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ledger", Ledger(self.log, self.store.owed, self.log_policy, self.metrics))


# ---- the line, in order ---------------------------------------------------------------------------------------------
def answer(job: Job, node: Node) -> None:
    """Takes one job to its claim: check, intent, infer, guard and sign, result; then, and only then, the claim is visible.

    What was signed before a crash is not computed again. Raises Rejected for a request that will not do, WorldError when log, chain or
    database fail: the job is then as if this call had not been made, except that what is durable stays and is found again.
    """
    request_id = job.asked.request_id
    guarded = node.store.guarded(request_id, node.chain.domain) or _compute_claim(job, node)
    proof = job.proof or _prove_claim(guarded, job.asked, node)
    append_result(guarded, job.asked, proof, node)
    node.store.mark_answered(request_id)


def _compute_claim(job: Job, node: Node) -> Guarded:
    asked = job.asked
    owed_wei = node.store.compute_owed_wei(asked.request.requester, besides=asked.request_id) if asked.request.is_signed_off_chain else 0
    checked = check(asked, node.recent or node.chain, node.library, node.terms, owed_wei)
    intent = job.intent or append_intent(checked, node)
    inference = _run_model(checked.model, asked.input, node)
    node.metrics.inference_seconds.labels(checked.model.directory.name).observe(inference.seconds)
    claim = Claim(asked.request_id, inference.model_id, inference.input_digest, inference.output_digest)

    def sign(claim: Claim, output: bytes) -> SignedClaim:
        return sign_claim(claim, output, checked.domain, node.signer)

    return node.store.sign_once(claim, inference, intent, checked.domain, sign)


def _run_model(model: ServedModel, data: bytes, node: Node) -> Inference:
    """Canonical models here: their graph is the one this package writes for a checked descriptor, with no operation that can end a process
    and the same work for every input. Opaque ones where what they do ends nothing but their own process."""
    if node.workplace is None or isinstance(model, CanonicalServed):
        return infer(model, data)
    return infer_elsewhere(model, data, node.workplace)


def _prove_claim(guarded: Guarded, asked: Asked, node: Node) -> bytes:
    """The data of proof evidence for the signed claim, kept with the job; empty where none is demanded or this node makes none."""
    claim = guarded.signed.claim
    if node.proving is None or not unpack_policy(asked.request.policy).proof or claim.model_id not in node.proving.prover:
        return b""
    started = time.perf_counter()
    proof = node.proving.prover.prove(claim, asked.input, node.proving.beneficiary()).data
    node.metrics.proving_seconds.labels(node.library.get(claim.model_id).directory.name).observe(time.perf_counter() - started)
    node.store.record_proof(claim.request_id, proof)
    return proof


def append_intent(checked: CheckedJob, node: Node) -> Appended | None:
    """Says in the log, before the model runs, that it will; None where that is owed. The key makes a repeated append find the first.

    The key holds where the request came from: after a reorganisation the same request comes from another block, which is another intent.
    """
    asked = checked.asked
    source = asked.block_hash if asked.block_hash is not None else keccak256(asked.signature)
    key = f"intent:{to_hex(asked.request_id)}:{to_hex(source)}"
    entry = intent_entry(asked, checked.domain, node.name, checked.model.directory.name, node.clock.now())
    intent = node.ledger.append(asked.request_id, entry, key)
    if intent is not None:
        node.store.record_intent(asked.request_id, intent)
    return intent


def append_result(guarded: Guarded, asked: Asked, proof: bytes, node: Node) -> Appended | None:
    """Says in the log what was signed and proven, before it leaves; None where that is owed. Made of what is kept alone: a repetition is
    the same entry."""
    intent = guarded.intent or node.store.owed.intent_of(asked.request_id)
    model_name = node.library.get(asked.request.model_id).directory.name
    parts = (intent, asked, node.chain.domain, replace(guarded.signed, proof=proof), guarded.inference)
    entry = result_entry(*parts, node.name, model_name, node.clock.now())
    return node.ledger.append(asked.request_id, entry, f"result:{to_hex(asked.request_id)}", is_behind=intent is None)


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


# ---- one attempt, with its consequences -------------------------------------------------------------------------------
def work_once(node: Node, now: float) -> bool:
    """Takes the next due job and answers it, puts it off, or refuses it. False where nothing is due.

    Raises what is our own fault, after marking the job; and WorldError when the database fails, which leaves the job to the next call.
    """
    for request_id in tuple(node.stranded):
        node.store.release(request_id)
        node.stranded.discard(request_id)
    job = node.store.take_next(now)
    if job is None:
        return False
    try:
        _work(job, node, now)
    except WorldError:
        node.stranded.add(job.asked.request_id)
        raise
    except Exception as error:  # of any kind: met again after a restart, it would stop the node again
        node.store.mark_broken(job.asked.request_id, error)
        raise
    return True


def _work(job: Job, node: Node, now: float) -> None:
    request_id = job.asked.request_id
    try:
        answer(job, node)
    except (WorldError, RequestUnknown) as error:
        # RequestUnknown: the follower saw the request and the endpoint does not, so one of them lags; the follower decides.
        _postpone(job, error, node, now)
    except Rejected as error:
        _refuse(job, error, node, now)
    else:
        journal.get("node").info("answered", request_id=request_id)


def _postpone(job: Job, error: AffidavitError, node: Node, now: float) -> None:
    pause = compute_backoff_seconds(job.attempts, random.random())  # noqa: S311, spreads load, guards nothing
    node.store.postpone(job.asked.request_id, now + pause, error)
    node.metrics.postponed.labels(type(error).__name__).inc()
    fields = {"request_id": job.asked.request_id, "error": str(error), "cause": repr(error.__cause__), "seconds": pause}
    journal.get("node").warning("put off", **fields)


def compute_backoff_seconds(attempts: int, jitter: float) -> float:
    """Doubles from 0.1 s up to MAX_BACKOFF_SECONDS; `jitter` in [0, 1) takes away up to half, so that nodes do not return as one."""
    return float(min(MAX_BACKOFF_SECONDS, 0.05 * 2 ** min(attempts, 16)) * (1 - jitter / 2))


def _refuse(job: Job, error: Rejected, node: Node, now: float) -> None:
    logger = journal.get("node")
    if isinstance(error, Equivocation):
        node.metrics.equivocations.inc()
        logger.error("a second output was not signed", request_id=job.asked.request_id, error=str(error))
    try:
        append_failure(job, error, node)
    except WorldError as failure:
        _postpone(job, failure, node, now)
        return
    node.store.refuse(job.asked.request_id, error)
    node.metrics.refused.labels(type(error).__name__).inc()
    logger.info("refused", request_id=job.asked.request_id, error=str(error))


# ---- the process ----------------------------------------------------------------------------------------------------------
def make_follower(engine: Engine, node: Node, first_block: int, confirmations: int) -> Follower:
    """Turns requests of the chain into jobs, each in the transaction that remembers its block."""

    def on_take(connection: Connection, _block: Block, asked: Sequence[Asked]) -> None:
        for one in asked:
            jobs.enqueue(connection, one)
            node.bell.set()  # whoever wakes waits for this transaction's lock before looking

    def on_undo(connection: Connection, block: Block) -> None:
        dropped = jobs.drop_block(connection, block.hash)
        journal.get("follow").warning("block vanished", number=block.number, jobs_dropped=dropped)

    return Follower(node.chain, SqlTrail(engine, trail_table(MetaData()), on_take, on_undo), first_block, confirmations)


def make_follow_step(follower: Follower, metrics: NodeMetrics, poll_seconds: float) -> Step:
    def step() -> float:
        try:
            done = follower.step()
        except SQLAlchemyError as error:
            raise StoreError("the node's database") from error
        if done.taken:
            metrics.head_lag.set(done.head.number - done.taken[-1].number)
        return 0.0 if len(done.taken) > 1 else poll_seconds

    return step


def make_work_step(node: Node) -> Step:
    def step() -> float:
        if not work_once(node, time.time()):
            node.bell.wait(IDLE_SECONDS)
            node.bell.clear()
        return 0.0

    return step


def run_node(config: Config) -> None:
    """`affidavit node`: follows, answers and serves until SIGTERM. Raises ConfigRejected, ModelRejected or ChainError at the start."""
    if config.node is None:
        raise ConfigRejected("configuration", "a table [node]", "none")
    end_by_exception()  # the children of a start that is broken off, and where they are reached, must not stay
    journal.configure(f"node {config.node.name}")
    engine = open_database(config.node.database, jobs.SCHEMA)
    chain, first_block = _open_chain(config.chain)
    log = LogClient(config.node.log_url, read_secret(config.node.log_token_file))
    node = open_node(config.node, engine, chain, log)
    node.metrics.registry.register(EndpointCollector(chain.endpoints))
    try:
        _serve(config, config.node, node, engine, log, first_block)
    finally:
        _stop_work(node)
    journal.get("node").info("stopped")


def _stop_work(node: Node) -> None:
    if node.workplace is not None:
        node.workplace.stop()


def _serve(config: Config, settings: NodeConfig, node: Node, engine: Engine, log: LogClient, first_block: int) -> None:
    node.store.requeue_all()
    follower = make_follower(engine, node, first_block, config.chain.confirmations)
    steps = {"follow": make_follow_step(follower, node.metrics, config.chain.poll_seconds)}
    steps |= {f"worker {number}": make_work_step(node) for number in range(settings.workers)}
    steps["owed"] = make_deliver_step(node.ledger)
    _warn_unless_registered(node)
    journal.get("node").info("started", signer=node.signer.address, models=[m.directory.name for m in node.library])
    Background().run(steps, make_app(_door(node, log)), settings.listen, lambda: _stop_work(node))


def _open_chain(config: ChainConfig) -> tuple[Contracts, int]:
    deployment = load_deployment(config.deployment)
    chain = connect(config)
    chain.check_deployment()
    return chain, deployment.block_number


def _warn_unless_registered(node: Node) -> None:
    """Not an error: an operator may register after the start. But nobody counts the claims of a signer that is not."""
    if not any(o.signer == node.signer.address and o.is_active for o in node.chain.operators()):
        journal.get("node").warning("the signer of this node is not an active operator", signer=node.signer.address)


def open_node(config: NodeConfig, engine: Engine, chain: ChainReader, log: EntryLog) -> Node:
    """The parts of a node. Raises ConfigRejected naming a setting, ModelRejected naming a model that cannot be served here."""
    if not 0 < config.max_input_bytes <= MAX_BODY_BYTES:
        raise ConfigRejected("node: max_input_bytes", f"1 to {MAX_BODY_BYTES}, what the log keeps", config.max_input_bytes)
    if config.log_policy not in set(LogPolicy):
        raise ConfigRejected("node: log_policy", "one of " + ", ".join(LogPolicy), config.log_policy)
    if config.workers < 1:
        raise ConfigRejected("node: workers", "at least 1", config.workers)
    store = JobStore(engine)
    store.bind(chain.domain)
    metrics = NodeMetrics(store)
    workplace = open_workplace(config, metrics.observer())
    try:
        return _assemble(config, chain, log, store, metrics, workplace)
    except BaseException:
        workplace.stop(0)
        raise


def _assemble(config: NodeConfig, chain: ChainReader, log: EntryLog, store: JobStore, metrics: NodeMetrics, workplace: Workplace) -> Node:
    metrics.watch(workplace)
    with open_loading(config, workplace) as loading:
        library, prover = load_models(config.models, workplace, loading)
    signer = open_signer(config, "node")
    named = None if config.beneficiary is None else read_address(config.beneficiary, "node: beneficiary")

    def beneficiary() -> Address:
        return named or chain.operator_of(signer.address) or signer.address

    return Node(
        name=config.name,
        store=store,
        chain=chain,
        log=log,
        library=library,
        terms=Terms(
            config.minimum_fee_wei,
            config.max_input_bytes,
            config.prove,
            config.minimum_proof_fee_wei,
            signer=signer.address if config.heed_posted_asks else None,
            gives_enclave=config.enclave_keystore is not None,
        ),
        signer=signer,
        metrics=metrics,
        clock=SystemClock(),
        proving=Proving(prover, beneficiary) if config.prove else None,
        log_policy=LogPolicy(config.log_policy),
        workplace=workplace,
        recent=cast(ChainReader, RecentChain(chain)),
        enclave=_open_enclave(config),
        bls=_open_bls(config),
    )


def _open_enclave(config: NodeConfig) -> Signer | None:
    if config.enclave_keystore is None:
        return None
    if config.enclave_password_file is None:
        raise ConfigRejected("node: enclave_password_file", "the password of the enclave's keystore", "nothing")
    return AccountSigner(load_account(config.enclave_keystore, config.enclave_password_file))


def _open_bls(config: NodeConfig) -> BlsSigner | None:
    if config.bls_keystore is None:
        return None
    password_file = config.bls_password_file or config.password_file
    if password_file is None:
        raise ConfigRejected("node: bls_password_file", "the password of the BLS keystore", "nothing")
    return load_bls_signer(config.bls_keystore, password_file)


def _door(node: Node, log: LogClient) -> Door:
    def require_chain() -> None:
        if node.chain.block("latest") is None:
            raise ChainError("the chain has no latest block")

    def require_log() -> None:
        if not log.is_ready():
            raise PeerError("the log is not ready")

    def require_models() -> None:
        if not list(node.library):
            raise ConfigRejected("node: models", "at least one", "none")

    def on_accepted() -> None:
        node.bell.set()

    readiness = {"chain": require_chain, "log": require_log, "models": require_models}
    tolerated = frozenset({"log"} if node.log_policy is LogPolicy.OPEN else ())
    parts = (node.name, node.store, node.recent or node.chain, node.library, node.terms, node.metrics)
    return Door(*parts, readiness, on_accepted, tolerated, node.enclave, None if node.bls is None else node.bls.sign_digest)
