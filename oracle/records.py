"""The nouns, frozen and without I/O. Field names are those of the Solidity structs, in snake case.

Units and ranges are in the names or beside the field; digests and ids are 32 raw bytes, addresses are checksummed hex strings.
How each becomes bytes is in `oracle.encoding`, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NewType

Bytes32 = NewType("Bytes32", bytes)
Address = NewType("Address", str)  # EIP-55 checksummed, "0x" and 40 hex digits

SIGNED_NONCE_START = 1 << 128
"""Nonces below are given by the contract, nonces from here on by the signer of an off-chain request."""


class ModelKind(IntEnum):
    """How a model is executed and what can be proven of it."""

    CANONICAL = 1  # integer network: one function on every machine, provable
    OPAQUE = 2  # any ONNX file, bound by digest, runtime, provider and optimisation level


@dataclass(frozen=True, slots=True)
class Domain:
    """The EIP-712 domain every request and claim lives in: one Coprocessor on one chain."""

    chain_id: int
    coprocessor: Address


@dataclass(frozen=True, slots=True)
class Policy:
    """The evidence a consumer demands. Packed in 32 bytes on chain (`encoding.pack_policy`)."""

    quorum: int = 0  # k of the registered operators, 0–255; 0 demands none
    proof: bool = False
    enclave: bool = False
    window_seconds: int = 0  # uint32; the callback waits that long
    simulated: bool = False  # a simulated enclave is good enough; only together with `enclave`
    disputable: bool = False  # within the window a committee of operators can be asked who is right; only with a window


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. Its EIP-712 digest is the request id, for requests from the chain and signed ones alike."""

    requester: Address
    refund_to: Address
    model_id: Bytes32
    input_digest: Bytes32
    policy: Bytes32
    fee_wei: int  # uint256
    callback_gas: int  # uint32
    deadline: int  # uint64, seconds since 1970
    nonce: int  # uint256; see SIGNED_NONCE_START

    @property
    def is_signed_off_chain(self) -> bool:
        return self.nonce >= SIGNED_NONCE_START


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with everything needed to answer and to deliver it.

    `signature` is empty for a request made on chain; there `block_number`, `block_hash` and `transaction` say where.
    """

    request_id: Bytes32
    request: Request
    input: bytes
    signature: bytes = b""
    block_number: int | None = None
    block_hash: Bytes32 | None = None
    transaction: Bytes32 | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """What computed an inference. Informative for canonical models, binding (through the manifest) for opaque ones."""

    name: str
    version: str
    provider: str
    optimisation: str


@dataclass(frozen=True, slots=True)
class Inference:
    """An output, with the digests of what went in and what made it."""

    model_id: Bytes32
    input_digest: Bytes32
    output_digest: Bytes32
    output: bytes
    runtime: Runtime
    seconds: float


@dataclass(frozen=True, slots=True)
class Claim:
    """The EIP-712 struct `InferenceClaim` that every kind of evidence is about."""

    request_id: Bytes32
    model_id: Bytes32
    input_digest: Bytes32
    output_digest: Bytes32


@dataclass(frozen=True, slots=True)
class SignedClaim:
    """A claim, the output it is about, and one operator's 65-byte signature r‖s‖v of its EIP-712 digest.

    `proof` is the data of proof evidence for the same claim (`encoding.pack_proof_evidence`), empty where the node made none.
    `enclave` is the 65-byte signature of the same digest by a key in the operator's enclave, empty where there is none. `bls` is the
    96-byte signature of it by the operator's BLS key, empty where there is none.
    """

    claim: Claim
    output: bytes
    signer: Address
    signature: bytes
    proof: bytes = b""
    enclave: bytes = b""
    bls: bytes = b""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence as the contract takes it: which verifier, and its data."""

    selector: bytes  # 4 bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Operator:
    """A row of the OperatorRegistry."""

    index: int  # 0–255, the operator's bit in quorum evidence
    operator: Address
    signer: Address
    stake_wei: int
    is_active: bool
    bls_key: bytes = b""  # 256 bytes, a point of G2 as EIP-2537 encodes it; empty where the operator has registered none for its seat


@dataclass(frozen=True, slots=True)
class EnclaveKey:
    """A row of the EnclaveRegistry: a key that operators found in attested hardware."""

    key: Address
    operator: Address
    platform: int  # 1 SGX, 2 TDX, 3 NITRO, 4 SEV_SNP, 255 SIMULATED
    is_revoked: bool
    expires_at: int  # seconds since 1970; the first at which it counts for nothing
    measurement: Bytes32
    runtime_digest: Bytes32
    quote_digest: Bytes32


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A row of the ModelRegistry."""

    model_id: Bytes32
    kind: ModelKind
    manifest_digest: Bytes32
    circuit_digest: Bytes32
    parameters: tuple[Bytes32, ...]  # digests of the parts of the commitments to its weights; none for opaque models
    owner: Address
    data_uri: str
    is_active: bool


class RequestStatus(IntEnum):
    """Coprocessor's state machine: NONE → REQUESTED → PENDING → FINAL, or REQUESTED → REFUNDED; signed requests also NONE → CANCELLED.

    A challenge takes a request from PENDING to FINAL with another output."""

    NONE = 0
    REQUESTED = 1
    PENDING = 2
    FINAL = 3
    REFUNDED = 4
    CANCELLED = 5  # a signed request, by its requester


class CallbackStatus(IntEnum):
    """What became of `onInference`."""

    NONE = 0
    SUCCEEDED = 1
    FAILED = 2
    RUNNING = 3  # seen only from inside the callback itself


class ResultCode(IntEnum):
    """What happened to one item of `deliverBatch` (libraries/Types.sol)."""

    NOT_ATTEMPTED = 0
    DELIVERED = 1
    DELIVERED_CALLBACK_FAILED = 2
    DELIVERED_PENDING = 3
    UNKNOWN_REQUEST = 4
    ALREADY_DELIVERED = 5
    CLOSED = 6
    EXPIRED = 7
    REFUSED = 8
    BAD_SIGNATURE = 9
    UNPAID = 10
    BAD_EVIDENCE = 11
    OUT_OF_GAS = 12

    @property
    def is_delivered(self) -> bool:
        return self in (ResultCode.DELIVERED, ResultCode.DELIVERED_CALLBACK_FAILED, ResultCode.DELIVERED_PENDING)


@dataclass(frozen=True, slots=True)
class OnChainStatus:
    """`Coprocessor.statusOf(requestId)`."""

    status: RequestStatus
    callback: CallbackStatus
    output_digest: Bytes32
    available_at: int  # seconds since 1970; 0 where there is no window


@dataclass(frozen=True, slots=True)
class Delivery:
    """The relay's durable job: one claim, its output and evidence, for one chain."""

    asked: Asked
    claim: Claim
    output: bytes
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A block header, as far as following a chain needs it."""

    number: int
    hash: Bytes32
    parent_hash: Bytes32
    timestamp: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The event `InferenceDelivered`, with `CallbackExecuted` of the same transaction where there was a callback."""

    request_id: Bytes32
    model_id: Bytes32
    requester: Address
    output_digest: Bytes32
    output: bytes
    beneficiaries: tuple[Address, ...]
    available_at: int
    callback: CallbackStatus


@dataclass(frozen=True, slots=True)
class Replaced:
    """The event `InferenceReplaced`: a proof or a committee put another output in the place of one that was pending."""

    request_id: Bytes32
    replaced_digest: Bytes32
    output_digest: Bytes32
    output: bytes
    beneficiaries: tuple[Address, ...]
    callback: CallbackStatus


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """A mined transaction, with the deliveries it made."""

    transaction: Bytes32
    block_number: int
    block_hash: Bytes32
    succeeded: bool
    gas_used: int
    delivered: tuple[Delivered, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    items: tuple[tuple[Bytes32, ResultCode], ...] = ()  # of a batch, all of them, in its order; none for a single delivery
    finalized: tuple[Bytes32, ...] = ()  # requests whose pending answers it made final

    @property
    def failed_items(self) -> tuple[tuple[Bytes32, ResultCode], ...]:
        """The batch items that were not delivered."""
        return tuple((request_id, code) for request_id, code in self.items if not code.is_delivered)

    def find_position(self, request_id: Bytes32) -> int:
        """Which of the deliveries in the transaction's calldata was accepted for a request. A batch may carry several, false ones too."""
        accepted = [at for at, (item, code) in enumerate(self.items) if item == request_id and code.is_delivered]
        return accepted[0] if accepted else 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chain decided about one delivery."""

    request_id: Bytes32
    transaction: Bytes32
    block_number: int
    block_hash: Bytes32
    output_digest: Bytes32
    callback: CallbackStatus
    gas_used: int  # of the whole transaction
    signers: tuple[Address, ...]


FieldValue = str | int | bool | list[str]
"""What a field of a log record may hold; integers below 2^53."""


class EntryKind(StrEnum):
    """Kinds of log records. Later kinds are added at the end; none is reused."""

    INTENT = "intent"
    RESULT = "result"
    ERROR = "error"
    RECEIPT = "receipt"
    ANCHOR = "anchor"
    CLOCK = "clock"
    CONFIG = "config"
    KEY_ROTATION = "key_rotation"
    OVERRIDE = "override"
    REVIEW = "review"
    DISCLOSURE = "disclosure"
    HOLD = "hold"
    ERASURE = "erasure"


@dataclass(frozen=True, slots=True)
class Entry:
    """A log record before it has an index: kind, moment, and flat fields (RFC 8785 JSON values without floats).

    `fields` stand in the record for everybody to read. `sealed` fields stand there as salted commitments only. `bodies` are the bytes
    whose digests stand in a field of the same name, public or sealed (input, output, signature …). Sealed fields and bodies are kept
    apart from the log, encrypted, and can be erased.
    """

    kind: EntryKind
    time: str  # RFC 3339, UTC, microseconds, "Z"
    fields: dict[str, FieldValue]
    bodies: dict[str, bytes] = field(default_factory=dict)
    sealed: dict[str, FieldValue] = field(default_factory=dict)
    subject: str = ""  # the writer's reference to the person it is about; kept as a keyed digest only
    retention: str = ""  # name of a retention class; the log's first where empty


@dataclass(frozen=True, slots=True)
class Appended:
    """An entry that is durable and covered by a signed checkpoint."""

    index: int
    leaf_hash: Bytes32
    tree_size: int  # of a signed checkpoint that covers it


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed tree head (C2SP tlog-checkpoint)."""

    origin: str
    size: int
    root: Bytes32
    note: str  # the whole signed note


@dataclass(frozen=True, slots=True)
class Asks:
    """The least share of a fee for which an operator gives each kind of evidence, in wei; None: it does not give it (IFeeQuotes)."""

    signature_wei: int | None
    proof_wei: int | None
    enclave_wei: int | None


@dataclass(frozen=True, slots=True)
class Quote:
    """What a question costs: `shares` times `share_wei`, one share for each piece of evidence (IFeeQuotes.quote)."""

    fee_wei: int
    share_wei: int
    shares: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """A tree head accepted by the AuditAnchor contract."""

    log_id: Bytes32
    size: int
    root: Bytes32
    block_number: int
    block_hash: Bytes32
    transaction: Bytes32
