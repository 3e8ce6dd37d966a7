"""`affidavit relay status`: what a relay has open, who leads, what it spends, and how its endpoints are; read beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from oracle import journal
from oracle.config import Config, RelayConfig, read_address
from oracle.encoding import to_hex
from oracle.errors import ChainError, ConfigRejected
from oracle.pipeline.session import connect
from oracle.records import Address, Block, Bytes32
from oracle.relay.contracts import Contracts
from oracle.relay.status import Stored, read_stored
from oracle.seams import Clock, SystemClock
from oracle.store import open_to_read


@dataclass(frozen=True, slots=True)
class Spent:
    """What the newest of our mined transactions cost."""

    transactions: int
    gas_used: int
    wei: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the endpoints say. `problem`: why the rest is missing, where it is."""

    endpoints: dict[str, Any]
    head: Block | None = None
    balance_wei: int | None = None
    owed_wei: int | None = None  # in the Coprocessor
    spent: Spent | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    account: Address | None  # None where nothing was sent yet and the key is in a keystore, which is not opened for this
    stored: Stored
    seen: Seen

    def to_json(self) -> dict[str, Any]:
        """Wei as decimal strings; nothing of an endpoint's URL but scheme and host."""
        stored, seen = self.stored, self.seen
        followed, head = stored.followed, seen.head
        oldest = None if stored.oldest is None else asdict(stored.oldest) | {"request_id": to_hex(stored.oldest.request_id)}
        return {
            "account": self.account,
            "leading": asdict(stored.leading),
            "requests": stored.requests,
            "oldest_unanswered": oldest,
            "jobs": stored.jobs,
            "nonces": stored.nonces,
            "replaced": stored.replaced,
            "unmined_seconds": stored.unmined_seconds,
            "log_entries_waiting": stored.log_entries_waiting,
            "followed": None if followed is None else {"number": followed[0], "hash": followed[1]},
            "head": None if head is None else {"number": head.number, "hash": to_hex(head.hash), "time": head.timestamp},
            "lag_blocks": None if head is None or followed is None else head.number - followed[0],
            "balance_wei": None if seen.balance_wei is None else str(seen.balance_wei),
            "coprocessor_balance_wei": None if seen.owed_wei is None else str(seen.owed_wei),
            "spent": None if seen.spent is None else asdict(seen.spent) | {"wei": str(seen.spent.wei)},
            "chain_problem": seen.problem,
            **seen.endpoints,
        }


def read_status(config: Config, clock: Clock | None = None) -> Status:
    """Raises ConfigRejected where there is no such relay, StoreError where its database does not answer; what the chain does not say is
    missing, with the reason."""
    if config.relay is None:
        raise ConfigRejected("configuration", "a table [relay]", "none")
    journal.configure("relay status")  # on standard error: the result is the command's
    engine = open_to_read(config.relay.database, "relay")
    try:
        stored = read_stored(engine, (clock or SystemClock()).now().astimezone(UTC))
    finally:
        engine.dispose()
    account = _account_of(config.relay, stored)
    return Status(account, stored, look_at_chain(connect(config.chain), account, stored.mined))


def _account_of(relay: RelayConfig, stored: Stored) -> Address | None:
    return stored.sender if relay.signer_address is None else read_address(relay.signer_address, "relay: signer_address")


def look_at_chain(chain: Contracts, account: Address | None, mined: Sequence[Bytes32]) -> Seen:
    """Asked as the relay asks: what decides, by a quorum of the endpoints."""
    try:
        chain.check_deployment()
        head = chain.block("latest")
        balance_wei = None if account is None else chain.ether_of(account)
        owed_wei = None if account is None else chain.balance_of(account)
        costs = [cost for transaction in mined if (cost := chain.cost_of(transaction)) is not None]
    except (ChainError, ConfigRejected) as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        return Seen(chain.endpoints.describe(), problem=f"{error}{cause}"[:500])
    spent = Spent(len(costs), sum(gas for gas, _ in costs), sum(wei for _, wei in costs))
    return Seen(chain.endpoints.describe(), head, balance_wei, owed_wei, spent)


def when(seconds: int) -> str:
    """A moment in seconds since 1970, for people; the number itself where no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return str(seconds)
