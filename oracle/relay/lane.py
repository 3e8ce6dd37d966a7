"""A lane: one account that sends transactions for one deployment, and everything the steps of sending are handed.

Exactly one process works a lane at a time (`hold_lane`); its steps run one after the other in one thread, so nonces have one giver.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from oracle.errors import ConfigRejected
from oracle.records import Address, Bytes32, Delivered, Delivery, Request
from oracle.relay.failures import CallReverted, EndpointRefused
from oracle.relay.fees import FeeHistory, FeePolicy
from oracle.relay.outbox import Job
from oracle.relay.schema import JobKind
from oracle.relay.statements import EntryBuilder
from oracle.relay.transact import Call
from oracle.seams import ChainReader, Clock, PreimageSigner, StateTag


class Ledger(ChainReader, Protocol):
    """The chain as the relay needs it: reading, and the sending side of `oracle.relay.contracts.Contracts`."""

    def pending_time(self) -> int: ...

    def nonce(self, account: Address, tag: str | int) -> int: ...

    def fee_history(self) -> FeeHistory: ...

    def ether_of(self, account: Address) -> int: ...

    def estimate_gas_each(self, calls: Sequence[Call], sender: Address, state: StateTag) -> list[int | CallReverted | EndpointRefused]: ...

    def send_raw(self, raw: bytes) -> None: ...

    def is_known(self, transaction: Bytes32) -> bool: ...

    def deliver_call(self, deliveries: Sequence[Delivery]) -> Call: ...

    def refund_call(self, request: Request) -> Call: ...

    def finalize_call(self, request: Request, output: bytes, beneficiaries: Sequence[Address]) -> Call: ...


@dataclass(frozen=True, slots=True)
class Lane:
    """What the steps of `submit`, `reconcile` and `settle` work with."""

    engine: Engine
    chain: Ledger
    signer: PreimageSigner
    clock: Clock
    entries: EntryBuilder
    signers_of: Callable[[Delivery, Delivered], tuple[Address, ...]]  # whose signatures a delivery's evidence holds
    batch_size: int = 16  # deliveries in one transaction, at most
    final_blocks: int = 0  # blocks on top of a block before what it says is final
    is_refunding: bool = True  # whether the relay asks for the refund of expired on-chain requests, at its own cost
    most_unmined: int = 16  # transactions waiting at once
    fees: FeePolicy = FeePolicy()  # noqa: RUF009, frozen

    def budget_of(self, jobs: Sequence[Job]) -> int:
        """Wei that a transaction with these jobs may cost; one without jobs fills a nonce, and may cost what one job may."""
        if not jobs:
            return self.fees.job_budget_wei
        return sum(self.fees.compute_budget_wei(job.asked.request, job.kind is JobKind.DELIVER) for job in jobs)


@contextmanager
def hold_lane(engine: Engine) -> Iterator[None]:
    """Holds the lane of an SQLite database for this process, by a lock the kernel gives back however the process ends.

    Raises ConfigRejected where another process holds it: two relays on one database would sign two payloads for one nonce.
    """
    database = engine.url.database
    if engine.dialect.name != "sqlite" or not database or database == ":memory:":
        raise ConfigRejected("relay database", "an SQLite file", str(engine.dialect.name))
    descriptor = os.open(Path(f"{database}.lane"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigRejected("relay database", "one that no other relay works on", database) from error
    try:
        yield
    finally:
        os.close(descriptor)
