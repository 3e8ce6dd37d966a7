"""The node: attempts on jobs with their consequences, and the process that makes them. What an attempt does is `answering`'s.

The order is the product: checked before work, intent in the log before the model runs, guard before the signature exists, result in the log
before anybody sees the answer. A crash between any two leaves a job that is simply run again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.exc import SQLAlchemyError

from oracle import journal
from oracle.attest.bls import BlsSigner
from oracle.attest.bls_keystore import load_bls_signer
from oracle.attest.keys import load_account
from oracle.attest.prove import Prover
from oracle.attest.remote import open_signer
from oracle.attest.sign import AccountSigner
from oracle.audit.client import LogClient
from oracle.audit.late import LogPolicy
from oracle.audit.record import MAX_BODY_BYTES
from oracle.config import ChainConfig, Config, NodeConfig, read_address, read_secret
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
from oracle.node.intake import Terms
from oracle.node.jobs import Job, JobStore
from oracle.node.metrics import NodeMetrics
from oracle.node.models import ModelLibrary
from oracle.node.recent import RecentChain
from oracle.node.service import Door, make_app
from oracle.pipeline.answering import MOST_TOGETHER, Problem, answer, append_failure, may_go_together
from oracle.pipeline.background import Background, Step, end_by_exception
from oracle.pipeline.ledger import Ledger, make_deliver_step
from oracle.pipeline.session import connect
from oracle.pipeline.work import DistantProver, load_models, open_loading, open_workplace
from oracle.records import Address, Asked, Block, Bytes32
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import load_deployment
from oracle.relay.endpoints import Endpoints
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


# ---- one attempt, with its consequences -------------------------------------------------------------------------------
def work_once(node: Node, now: float, most: int = 1) -> bool:
    """Takes the next due jobs, `most` at most, and answers them, puts them off, or refuses them. False where nothing is due.

    Raises what is our own fault, after marking the job; and WorldError when the database fails, which leaves the jobs to the next call.
    """
    for request_id in tuple(node.stranded):
        node.store.release(request_id)
        node.stranded.discard(request_id)
    taken = node.store.take_due(now, most, lambda job, before: may_go_together(job, before, node))
    if not taken:
        return False
    try:
        _work(taken, node, now)
    except WorldError:
        node.stranded.update(job.asked.request_id for job in taken)
        raise
    except Exception as error:  # of any kind: met again after a restart, it would stop the node again
        if len(taken) == 1:
            node.store.mark_broken(taken[0].asked.request_id, error)
            raise
        _work_on_each(taken, node, now)
    return True


def _work_on_each(taken: Sequence[Job], node: Node, now: float) -> None:
    """After a bug showed on several jobs together: one by one, what is done is found done, and the one at fault is found."""
    for number, job in enumerate(taken):
        try:
            _work([job], node, now)
        except Exception as error:
            left = taken[number:] if isinstance(error, WorldError) else taken[number + 1 :]
            node.stranded.update(one.asked.request_id for one in left)
            if not isinstance(error, WorldError):
                node.store.mark_broken(job.asked.request_id, error)
            raise


def _work(taken: Sequence[Job], node: Node, now: float) -> None:
    try:
        problems: Mapping[Bytes32, Problem] = answer(taken, node)
    except WorldError as error:
        problems = {job.asked.request_id: error for job in taken}
    for job in taken:
        problem = problems.get(job.asked.request_id)
        if problem is None:
            journal.get("node").info("answered", request_id=job.asked.request_id)
        elif isinstance(problem, WorldError | RequestUnknown):
            # RequestUnknown: the follower saw the request and the endpoint does not, so one of them lags; the follower decides.
            _postpone(job, problem, node, now)
        else:
            _refuse(job, problem, node, now)


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

    def on_undo(connection: Connection, block: Block) -> None:
        dropped = jobs.drop_block(connection, block.hash)
        journal.get("follow").warning("block vanished", number=block.number, jobs_dropped=dropped)

    return Follower(node.chain, SqlTrail(engine, trail_table(MetaData()), on_take, on_undo), first_block, confirmations)


def make_follow_step(follower: Follower, node: Node, poll_seconds: float) -> Step:
    def step() -> float:
        try:
            done = follower.step()
        except SQLAlchemyError as error:
            raise StoreError("the node's database") from error
        if done.taken:
            node.bell.set()
            node.metrics.head_lag.set(done.head.number - done.taken[-1].number)
        return 0.0 if len(done.taken) > 1 else poll_seconds

    return step


def make_work_step(node: Node, listening: threading.Lock) -> Step:
    def step() -> float:
        if not work_once(node, time.time(), MOST_TOGETHER):
            with listening:  # one worker waits for the bell, the others for their turn to: a bell wakes no crowd
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
        _serve(config, config.node, node, engine, log, first_block, chain.endpoints)
    finally:
        _stop_work(node)
    journal.get("node").info("stopped")


def _stop_work(node: Node) -> None:
    if node.workplace is not None:
        node.workplace.stop()


def _serve(
    config: Config, settings: NodeConfig, node: Node, engine: Engine, log: LogClient, first_block: int, endpoints: Endpoints
) -> None:
    node.store.requeue_all()
    follower = make_follower(engine, node, first_block, config.chain.confirmations)
    steps = {"follow": make_follow_step(follower, node, config.chain.poll_seconds)}
    listening = threading.Lock()
    steps |= {f"worker {number}": make_work_step(node, listening) for number in range(settings.workers)}
    steps["owed"] = make_deliver_step(node.ledger)
    _warn_unless_registered(node)
    journal.get("node").info("started", signer=node.signer.address, models=[m.directory.name for m in node.library])
    Background().run(steps, make_app(_door(node, log, endpoints)), settings.listen, lambda: _stop_work(node))


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


def _door(node: Node, log: LogClient, endpoints: Endpoints) -> Door:
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
    sign_bls = None if node.bls is None else node.bls.sign_digest
    return Door(*parts, readiness, on_accepted, tolerated, node.enclave, sign_bls, endpoints.describe)
