"""One seam per outside thing: chain, clock, log, signer. Stages take these as parameters; `oracle.pipeline` hands in the real ones.

The chain's one implementation is `oracle.relay.contracts`; only it and what it stands on import web3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from oracle.errors import ChainError, MalformedInput
from oracle.records import (
    Address,
    Anchor,
    Appended,
    Asked,
    Asks,
    Block,
    Bytes32,
    Delivery,
    Domain,
    EnclaveKey,
    Entry,
    OnChainStatus,
    Operator,
    Quote,
    RegisteredModel,
    Request,
    TransactionReceipt,
)

BlockTag = Literal["latest", "safe", "finalized"]
StateTag = Literal["latest", "pending"]


class Clock(Protocol):
    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds and "Z"."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class EntryLog(Protocol):
    """Where entries go. `append` returns only when the entry is durable and a signed checkpoint covers it."""

    def append_batch(self, items: Sequence[tuple[Entry, str | None]]) -> list[Appended]:
        """As `append` for each entry with its key, up to 1,024, durable together. Raises as it does, for the first that is refused: some of
        the others may be written then."""
        ...

    def append(self, entry: Entry, key: str | None = None) -> Appended:
        """Raises PeerError when the log does not answer, LogRefused or EntryRejected when it refuses.

        `key` names the event the entry tells of, such as "receipt:0x…": a second append by the same writer under the same key, also
        after a crash, writes nothing and returns the first one's place; under another kind or other fields it is refused (the time may
        differ). Without a key every call writes an entry, once.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What a preimage says, in words that a signer with rules of its own can read. One of the two."""

    transaction: Mapping[str, str] | None = None  # fields of eth_signTransaction (EIP-1559), numbers in hex, without `from`
    typed_data: Mapping[str, Any] | None = None  # the document of eth_signTypedData (EIP-712)


Show = Callable[[], Shown]


class PreimageSigner(Protocol):
    """A secp256k1 key that is shown what it signs: all that a remote signer offers, since it hashes by itself."""

    @property
    def address(self) -> Address: ...

    def sign_preimage(self, preimage: bytes, show: Show | None = None) -> bytes:
        """65 bytes r‖s‖v over keccak256(preimage), low s, v 27 or 28. Raises PeerError where a remote signer does not give that.

        `show` says what the preimage is; some remote signers need it, and make the preimage of it by themselves.
        """
        ...


class Signer(PreimageSigner, Protocol):
    """A secp256k1 key at hand, which signs 32-byte digests too."""

    def sign_digest(self, digest: Bytes32) -> bytes:
        """65 bytes r‖s‖v, low s, v 27 or 28."""
        ...


class ChainReader(Protocol):
    """Reading one chain. Every method raises ChainError when the RPC fails, never returns a stand-in."""

    @property
    def domain(self) -> Domain: ...

    @property
    def has_disputes(self) -> bool:
        """Whether the deployment has the contract Disputes: an earlier one refuses every request that may be disputed."""
        ...

    def block(self, which: int | BlockTag) -> Block | None:
        """The canonical block of that number or tag, None beyond the head."""
        ...

    def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """`block` of each, asked for together."""
        ...

    def requested_in(self, block_hash: Bytes32) -> list[Asked]:
        """`InferenceRequested` events of our Coprocessor in exactly that block, in log order, ids recomputed and checked."""
        ...

    def requested_in_each(self, block_hashes: Sequence[Bytes32]) -> list[list[Asked]]:
        """`requested_in` of each, asked for together."""
        ...

    def status_of(self, request_id: Bytes32) -> OnChainStatus: ...

    def statuses_of(self, request_ids: Sequence[Bytes32]) -> list[OnChainStatus]:
        """As `status_of` for each, in as few questions as the endpoint allows."""
        ...

    def balance_of(self, account: Address) -> int:
        """Wei deposited in the Coprocessor."""
        ...

    def is_valid_signature(self, request: Request, signature: bytes) -> bool:
        """Whether `requester` signed: ECDSA for an account without code, ERC-1271 for a contract."""
        ...

    def has_code(self, account: Address) -> bool:
        """Whether the account is a contract now, so that what it accepts as its signature may change."""
        ...

    def operator_of(self, signer: Address) -> Address | None:
        """The operator who ever registered this signing key, also if it was rotated away since; None for a key never registered."""
        ...

    def asks_of(self, operator: Address, model_id: Bytes32) -> Asks | None:
        """What an operator posted that it asks for; None where it posted nothing, or there is nowhere to post."""
        ...

    def asks_of_all(self, operators: Sequence[Address], model_id: Bytes32) -> list[Asks | None]:
        """As `asks_of` for each, in as few questions as the endpoint allows."""
        ...

    def quote(self, model_id: Bytes32, policy: Bytes32) -> Quote:
        """What a question costs under a policy word. Raises PolicyRejected where too few operators posted a price."""
        ...

    def operators(self, block_number: int | None = None) -> list[Operator]:
        """All registered operators, at a block or now."""
        ...

    def enclave_key(self, key: Address, block_number: int | None = None) -> EnclaveKey | None:
        """What the registry of enclaves knows of a key, at a block or now; None for a key never registered."""
        ...

    def enclave_keys(self) -> list[EnclaveKey]:
        """Every key that was ever registered there, oldest first. Raises ConfigRejected where the deployment has no such registry."""
        ...

    def model(self, model_id: Bytes32) -> RegisteredModel | None: ...

    def circuit(self, model_id: Bytes32) -> bytes:
        """The circuit bytes a canonical model was registered with; empty for opaque ones."""
        ...

    def receipt(self, transaction: Bytes32) -> TransactionReceipt | None:
        """None while not mined on the canonical chain."""
        ...

    def transaction_data(self, transaction: Bytes32) -> tuple[Address | None, bytes] | None:
        """(to, calldata) of a transaction; `to` is None for one that creates a contract. None where unknown."""
        ...

    def deliveries_in(self, calldata: bytes) -> list[Delivery]:
        """The deliveries that calldata of deliver, deliverSigned or deliverBatch carries. Raises MalformedInput for other calls."""
        ...

    def delivery_of(self, request_id: Bytes32) -> TransactionReceipt | None:
        """The transaction that delivered a request, None where it was not delivered."""
        ...

    def replacement_of(self, request_id: Bytes32) -> TransactionReceipt | None:
        """The transaction in which a challenge replaced a request's answer, None where none did."""
        ...

    def anchors(self, log_id: Bytes32) -> Sequence[Anchor]:
        """Every accepted anchor of a log, oldest first."""
        ...


def find_carried(chain: ChainReader, receipt: TransactionReceipt, request_id: Bytes32) -> Delivery | None:
    """The delivery that a transaction made for a request, as its calldata carries it, evidence included.

    None where the transaction called another contract (or created one) that called the Coprocessor, or wrote its calldata as no strict
    decoder reads it: anyone may deliver, in any way. Raises ChainError where the endpoint does not know the receipt's transaction.
    """
    found = chain.transaction_data(receipt.transaction)
    if found is None:
        raise ChainError("the endpoint does not know the transaction of its own receipt")
    to, calldata = found
    try:
        carried = chain.deliveries_in(calldata) if to == chain.domain.coprocessor else []
    except MalformedInput:
        return None
    here = carried[receipt.find_position(request_id) :][:1]
    return next((delivery for delivery in here if delivery.asked.request_id == request_id), None)
