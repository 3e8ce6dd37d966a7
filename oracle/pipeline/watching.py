"""A watcher's parts: its account, its models, its database, its operator; and what it tells Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy import Engine

from oracle import journal
from oracle.attest.prove import Prover
from oracle.errors import ChainError
from oracle.pipeline.rerunning import OpaqueRunner
from oracle.records import Address, Block, Bytes32
from oracle.relay import cases, hearings
from oracle.relay.contracts import Contracts
from oracle.relay.disputes import Disputes
from oracle.relay.metrics import StateCollector
from oracle.relay.sender import Sender


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
        self.registry.register(
            StateCollector("affidavit_watch_hearings", "Disputable answers by where they stand", lambda: hearings.count_by_state(engine))
        )
        votes = "Committees that this watcher's operator was drawn into and owes something, by what (docs/operators.md)"
        self.registry.register(StateCollector("affidavit_watch_votes_due", votes, lambda: hearings.count_by_duty(engine), "duty"))
        self.vote_deadline = Gauge(
            "affidavit_watch_vote_deadline_seconds", "Unix time by which the next vote must be sent; 0: none", registry=self.registry
        )
        self.vote_deadline.set_function(lambda: hearings.find_next_deadline(engine) or 0)
        self.dispute_acts = Counter("affidavit_watch_dispute_acts", "What this watcher did about disputes", ["act"], registry=self.registry)


@dataclass(frozen=True)
class Watcher:
    """The parts of a running watcher. `beneficiary` is named in its proofs, and gets their fees and rewards.

    `opaque` runs models that cannot be proven; `operator` is for whom it votes, with the sender's account, which must be the operator's or
    its signing key; `may_dispute` lets it put up bonds. Those and the rewards of disputes are the sender's.
    """

    engine: Engine
    chain: Contracts
    sender: Sender
    prover: Prover
    beneficiary: Address
    metrics: WatchMetrics
    confirmations: int = 0
    opaque: OpaqueRunner | None = None
    operator: Address | None = None
    may_dispute: bool = True
    logger: Any = field(default_factory=lambda: journal.get("watch"))

    @cached_property
    def disputes(self) -> Disputes:
        return Disputes(self.chain)

    def run(self, model_id: Bytes32, data: bytes) -> bytes:
        """The output that a model gives. Raises ModelUnknown, InputRejected, WorkGivenUp, or WorkerError where it may be tried again."""
        if self.opaque is not None and model_id in self.opaque:
            return self.opaque.run(model_id, data)
        return self.prover.run(model_id, data)


def read_head(chain: Contracts) -> Block:
    """The newest block."""
    head = chain.block("latest")
    if head is None:
        raise ChainError("the chain has no latest block")
    return head
