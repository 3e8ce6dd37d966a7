"""The relay: from claims to a delivery on chain and its receipt in the log, and the process that does it.

Four loops over one database: *follow* takes requests from blocks, *collect* (one for each node) asks for claims, *lane* sends and
reconciles, *statements* writes to the log. None waits for another; each may be killed anywhere, and starting again is going on.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from oracle import journal
from oracle.attest.bls_quorum import QuorumGas, assemble_cheapest, check_bls
from oracle.attest.quorum import check_signed_claim, find_agreement
from oracle.attest.remote import open_signer
from oracle.audit.client import LogClient
from oracle.audit.entries import error_entry, lie_entry, receipt_entry
from oracle.config import Config, RelayConfig, read_secret
from oracle.encoding import (
    ENCLAVE_SELECTOR,
    PROOF_SELECTOR,
    QUORUM_BLS_SELECTOR,
    QUORUM_ECDSA_SELECTOR,
    compute_claim_digest,
    to_hex,
    unpack_bls_quorum_evidence,
    unpack_policy,
    unpack_quorum_evidence,
)
from oracle.errors import ClaimRejected, ConfigRejected, InvariantBroken, PeerError, StoreError
from oracle.pipeline.background import Background, Step
from oracle.pipeline.session import connect
from oracle.records import (
    Address,
    Asked,
    Block,
    Bytes32,
    Claim,
    Delivered,
    Delivery,
    Domain,
    Entry,
    Evidence,
    Operator,
    Receipt,
    SignedClaim,
)
from oracle.relay.artifacts import load_gas
from oracle.relay.collect import Attestation, Collector, expire_overdue
from oracle.relay.contracts import Contracts
from oracle.relay.failures import CallReverted
from oracle.relay.fees import FeePolicy
from oracle.relay.follow import Follower, SqlTrail
from oracle.relay.lane import Lane, Ledger
from oracle.relay.lease import RENEW_SECONDS, TAKE_SECONDS, Alone, Holding, Lease, hold, open_relay_database
from oracle.relay.metrics import RelayMetrics, make_app
from oracle.relay.paying import asset_of
from oracle.relay.peers import NodePeer
from oracle.relay.reconcile import reconcile
from oracle.relay.schema import FOLLOWED_BLOCKS
from oracle.relay.statements import KeyedLog, write_waiting
from oracle.relay.store import bind_deployment, publish_terms, take_block, undo_block
from oracle.relay.submit import submit_due
from oracle.relay.terms import Terms
from oracle.seams import Clock, PreimageSigner, SystemClock
from oracle.signatures import recover_signer

ACTOR = "relay"
OPERATORS_SECONDS = 2.0
LOW_BALANCE_WEI = 10**16
STANDBY_SECONDS = 0.1


# ---- the seams the relay is handed -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AuditEntries:
    """`oracle.relay.statements.EntryBuilder` in the audit log's formats."""

    domain: Domain

    def receipt(self, receipt: Receipt, delivery: Delivery, stage: str, now: datetime) -> Entry:
        entry = receipt_entry(receipt, delivery, self.domain, ACTOR, now)
        return replace(entry, fields=entry.fields | {"audit.finality": stage})

    def lie(self, asked: Asked, signed: SignedClaim, agreed: Claim, now: datetime) -> Entry:
        return lie_entry(asked, self.domain, ACTOR, signed, agreed, now)

    def failure(self, asked: Asked, error_type: str, message: str, now: datetime) -> Entry:
        return error_entry(asked, self.domain, ACTOR, error_type, message, now)


def read_signers(delivery: Delivery, delivered: Delivered, domain: Domain) -> tuple[Address, ...]:
    """Who signed a delivery's quorum evidence, lowest operator index first: signing keys, recovered from ECDSA signatures.

    A BLS signature shows no address; the accounts of its operators are the first that the contract paid.
    """
    digest, signers = compute_claim_digest(delivery.claim, domain), []
    for piece in delivery.evidence:
        if piece.selector == QUORUM_ECDSA_SELECTOR:
            signers += [recover_signer(digest, signature) for signature in unpack_quorum_evidence(piece.data).values()]
        elif piece.selector == QUORUM_BLS_SELECTOR:
            signers += delivered.beneficiaries[: len(unpack_bls_quorum_evidence(piece.data)[0])]
    return tuple(signers)


class KnownOperators:
    """The operators as last read from the chain: what is called inside database transactions must not wait for an endpoint."""

    def __init__(self, chain: Ledger) -> None:
        self._chain = chain
        self._operators: Sequence[Operator] = ()
        self._read_at = float("-inf")

    def refresh(self, moment: float) -> None:
        """Reads them again when they are older than OPERATORS_SECONDS. Raises ChainError."""
        if moment - self._read_at >= OPERATORS_SECONDS:
            self._operators, self._read_at = self._chain.operators(), moment

    def __call__(self) -> Sequence[Operator]:
        return self._operators


VerifyProof = Callable[[Claim, bytes, bytes, Evidence], Sequence[Address]]
"""(claim, input, output, evidence) → whom it names. Raises CallReverted."""


VerifyEnclave = Callable[[Claim, Bytes32, Evidence], Sequence[Address]]
"""(claim, policy word, evidence) → the operator whose enclave signed. Raises CallReverted."""


def measured_gas() -> QuorumGas:
    """What either kind of quorum evidence costs, as forge measured it for the contracts of this package."""
    return QuorumGas.from_snapshots(load_gas()["Quorums"])


def make_attestation(
    domain: Domain,
    operators: Callable[[], Sequence[Operator]],
    verify_proof: VerifyProof,
    verify_enclave: VerifyEnclave,
    gas: QuorumGas | None = None,
) -> Attestation:
    """Evidence of all kinds for the collector. `verify_proof` is `Contracts.check_proof`: the relay has no models, the chain has;
    `verify_enclave` is `Contracts.check_enclave`: which keys are valid, the chain knows. `gas` decides between the kinds of quorum
    evidence; `measured_gas` where not given.
    """
    gas = gas or measured_gas()

    def check_proof(signed: SignedClaim, asked: Asked) -> None:
        try:
            verify_proof(signed.claim, asked.input, signed.output, Evidence(PROOF_SELECTOR, signed.proof))
        except CallReverted as error:
            raise ClaimRejected("proof of a claim", "one that the verifier accepts", str(error)[:300]) from error

    def check_enclave(signed: SignedClaim, asked: Asked) -> None:
        if not unpack_policy(asked.request.policy).enclave:
            return  # nobody asked for it, and nobody will look at it
        try:
            named = verify_enclave(signed.claim, asked.request.policy, Evidence(ENCLAVE_SELECTOR, signed.enclave))
        except CallReverted as error:
            raise ClaimRejected("enclave's signature of a claim", "one that the verifier accepts", str(error)[:300]) from error
        operator = check_signed_claim(signed, asked, domain, operators()).operator
        if tuple(named) != (operator,):
            raise ClaimRejected("enclave's signature of a claim", f"one of {operator}'s enclave", ", ".join(named))

    def check(signed: SignedClaim, asked: Asked, known: Sequence[Operator]) -> Operator:
        return check_signed_claim(signed, asked, domain, known)

    def assemble(claims: Sequence[SignedClaim], k: int, known: Sequence[Operator]) -> Evidence:
        return assemble_cheapest(claims, k, known, domain, gas)

    def check_its_bls(signed: SignedClaim, operator: Operator) -> None:
        check_bls(signed, operator, domain)

    return Attestation(operators, check, find_agreement, assemble, check_proof, check_enclave, check_its_bls)


def make_lane(engine: Engine, chain: Ledger, signer: PreimageSigner, clock: Clock, **settings: Any) -> Lane:
    """A lane with the real log formats. `settings`: batch_size, final_blocks, is_refunding, most_unmined, fees."""
    domain = chain.domain
    return Lane(engine, chain, signer, clock, AuditEntries(domain), lambda d, delivered: read_signers(d, delivered, domain), **settings)


def make_follower(engine: Engine, chain: Ledger, clock: Clock, first_block: int, confirmations: int) -> Follower:
    """Takes requests from blocks, each in the transaction that remembers its block."""

    def on_take(connection: Connection, _block: Block, asked: Sequence[Asked]) -> None:
        take_block(connection, asked, clock.now())

    def on_undo(connection: Connection, block: Block) -> None:
        dropped = undo_block(connection, block, clock.now())
        journal.get("follow").warning("block vanished", number=block.number, requests_dropped=[to_hex(r) for r in dropped])

    return Follower(chain, SqlTrail(engine, FOLLOWED_BLOCKS, on_take, on_undo), first_block, confirmations)


# ---- the loops ------------------------------------------------------------------------------------------------------------------------
def run_lane_once(lane: Lane) -> int:
    """One tick: what the chain says, then what is due, then what is too late. Returns how many transactions were sent."""
    reconcile(lane)
    sent = submit_due(lane)
    expire_overdue(lane)
    return sent


def _lane_step(lane: Lane, collector: Collector, operators: KnownOperators, metrics: RelayMetrics, pause_seconds: float) -> Step:
    def step() -> float:
        operators.refresh(time.monotonic())
        collector.reconsider()
        with metrics.tick_seconds.time():
            sent = run_lane_once(lane)
        return 0.0 if sent else pause_seconds

    return step


def _follow_step(follower: Follower, metrics: RelayMetrics, pause_seconds: float) -> Step:
    def step() -> float:
        done = follower.step()
        if done.taken:
            metrics.head_lag.set(done.head.number - done.taken[-1].number)
        return 0.0 if len(done.taken) > 1 else pause_seconds

    return step


def _collect_step(collector: Collector, node: NodePeer, operators: KnownOperators, pause_seconds: float) -> Step:
    def step() -> float:
        if operators():  # until they are known, no claim can be judged
            collector.step_node(node, time.monotonic())
        return pause_seconds

    return step


def _statement_step(engine: Engine, log: KeyedLog, pause_seconds: float) -> Step:
    def step() -> float:
        return 0.0 if write_waiting(engine, log) else pause_seconds

    return step


@contextmanager
def _database() -> Iterator[None]:
    """A database that does not answer is the world's fault, and tried again; any other database error is ours.

    InternalError: the server ended a transaction in which this process stood still (`oracle.relay.lease`).
    """
    try:
        yield
    except (OperationalError, InternalError, PoolTimeout) as error:
        raise StoreError("the relay's database does not answer") from error


def _storing(step: Step) -> Step:
    def guarded() -> float:
        with _database():
            return step()

    return guarded


def _holding(holding: Holding, step: Step) -> Step:
    """A replica without the lease waits."""

    def guarded() -> float:
        return step() if holding.is_held else STANDBY_SECONDS

    return guarded


def make_lease_step(lease: Lease, on_taken: Callable[[], None]) -> Step:
    """`on_taken` is done once for every lease that is taken, and tried again where the database does not answer meanwhile: the moment in
    which all threads of a replica begin to write is its busiest."""
    done_for: int | None = None

    def step() -> float:
        nonlocal done_for
        if lease.step():
            journal.get("lease").info("took the lease", term=lease.token)  # "token" is hidden by the journal
        if lease.is_held and lease.token != done_for:
            on_taken()
            done_for = lease.token
        return RENEW_SECONDS if lease.is_held else TAKE_SECONDS

    return _storing(step)


# ---- the process -----------------------------------------------------------------------------------------------------------------------
def check_budget(percent_of_fee: int, asset: Address | None) -> None:
    """Raises ConfigRejected where gas, which is paid in ether, would be measured by a fee that is paid in a token."""
    if asset is not None and percent_of_fee:
        raise ConfigRejected("relay: budget_percent_of_fee", f"0 where fees are paid in a token ({asset})", percent_of_fee)


def run_relay(config: Config) -> None:
    """`affidavit relay`: runs until SIGTERM. Raises ConfigRejected, StoreError or ChainError at the start, and what is our own fault."""
    if config.relay is None:
        raise ConfigRejected("configuration", "a table [relay]", "none")
    relay = config.relay
    if not relay.nodes or relay.batch_size < 1:
        raise ConfigRejected("relay: nodes, batch_size", "at least one of each", f"{len(relay.nodes)}, {relay.batch_size}")
    terms = Terms(relay.minimum_fee_wei, relay.minimum_fee_per_callback_gas_wei, relay.max_callback_gas, relay.minimum_proof_fee_wei)
    journal.configure("relay")
    chain = connect(config.chain)
    chain.check_deployment()
    check_budget(relay.budget_percent_of_fee, asset_of(chain))
    signer = open_signer(relay, "relay")
    with ExitStack() as stack:
        engine = open_relay_database(relay.database)
        stack.callback(engine.dispose)
        with _database():
            bind_deployment(engine, chain.domain)
        holding = stack.enter_context(hold(engine, f"{socket.gethostname()}:{os.getpid()}"))
        log = LogClient(relay.log_url, read_secret(relay.log_token_file))
        stack.callback(log.close)
        nodes = [stack.enter_context(NodePeer(url)) for url in relay.nodes]
        _run(config, relay, engine, holding, terms, chain, signer, log, nodes)


def _run(
    config: Config,
    relay: RelayConfig,
    engine: Engine,
    holding: Alone | Lease,
    terms: Terms,
    chain: Contracts,
    signer: PreimageSigner,
    log: LogClient,
    nodes: Sequence[NodePeer],
) -> None:
    clock = SystemClock()
    operators, metrics = KnownOperators(chain), RelayMetrics(engine, clock)
    final_blocks = config.chain.confirmations if relay.final_blocks is None else relay.final_blocks
    settings = {"batch_size": relay.batch_size, "final_blocks": final_blocks, "is_refunding": relay.refund_expired}
    fees = FeePolicy(relay.bump_permille, relay.bump_seconds, relay.job_budget_wei, relay.budget_percent_of_fee)
    lane = make_lane(engine, chain, signer, clock, **settings, fees=fees)
    collector = Collector(lane, nodes, make_attestation(chain.domain, operators, chain.check_proof, chain.check_enclave))
    follower = make_follower(engine, chain, clock, chain.deployment.block_number, config.chain.confirmations)
    pause = config.chain.poll_seconds
    steps = {
        "follow": _follow_step(follower, metrics, pause),
        "lane": _lane_step(lane, collector, operators, metrics, pause),
        "statements": _statement_step(engine, log, pause),
    }
    steps |= {f"collect {node.url}": _collect_step(collector, node, operators, relay.collect_seconds) for node in nodes}
    steps = {name: _holding(holding, _storing(step)) for name, step in steps.items()}
    if isinstance(holding, Lease):
        steps["lease"] = make_lease_step(holding, lambda: _announce(engine, terms))
    else:
        with _database():
            _announce(engine, terms)
    metrics.is_holder.set_function(lambda: float(holding.is_held))
    readiness = {"chain": lambda: _check_chain(chain, signer.address, metrics), "log": lambda: _check_log(log)}
    _warn_when_poor(chain, signer.address)
    journal.get("relay").info("started", account=signer.address, nodes=list(relay.nodes))
    Background().run(steps, make_app(metrics, readiness, endpoints=chain.endpoints), relay.listen)
    journal.get("relay").info("stopped")


def _announce(engine: Engine, terms: Terms) -> None:
    refused = publish_terms(engine, terms, SystemClock().now())
    if refused:
        journal.get("relay").warning("requests taken in before do not meet the terms", requests=[to_hex(r) for r in refused])
    if not terms.compute_least_fee_wei(0):
        journal.get("relay").warning("minimum_fee_wei is 0: this relay pays gas for anybody, which is for local chains only")


def _check_chain(chain: Contracts, account: Address, metrics: RelayMetrics) -> None:
    if chain.chain_id() != chain.domain.chain_id:
        raise InvariantBroken("the endpoint changed its chain")
    metrics.balance_wei.set(chain.ether_of(account))


def _check_log(log: LogClient) -> None:
    if not log.is_ready():
        raise PeerError("the log is not ready")


def _warn_when_poor(chain: Contracts, account: Address) -> None:
    if (balance_wei := chain.ether_of(account)) < LOW_BALANCE_WEI:
        journal.get("relay").warning("the relay's account can hardly pay for gas", account=account, balance_wei=balance_wei)
