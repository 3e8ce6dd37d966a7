"""JSON of the public API, strict: unknown fields, wrong lengths and implicit conversions are refused before anything else looks.

Byte strings are "0x" hex, uint256 values are decimal strings, smaller integers are JSON numbers, moments are seconds since 1970
or RFC 3339 text.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from oracle.pipeline.api import RequestState

Hex = Annotated[str, StringConstraints(pattern=r"^0x([0-9a-fA-F]{2})*$")]
HexDigest = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$")]
HexAddress = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
DecimalUint = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,77})$")]
Uint32 = Annotated[int, Field(ge=0, lt=1 << 32)]
Uint64 = Annotated[int, Field(ge=0, lt=1 << 64)]
FiniteNumber = Annotated[float, Field(allow_inf_nan=False)]

MAX_ELEMENTS = 1 << 20
"""Most elements of one list of numbers; the body limit is usually met first."""


class Strict(BaseModel):
    """Base of everything a client sends."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Sent(BaseModel):
    """Base of everything we answer."""

    model_config = ConfigDict(frozen=True)


# ---- what clients send -------------------------------------------------------------------------------------------------------------
class RequestIn(Strict):
    """The EIP-712 struct InferenceRequest."""

    requester: HexAddress = Field(description="Who asks, signs and pays; also gets the callback if it has code.")
    refund_to: HexAddress = Field(description="Who gets the fee back if no answer is delivered in time.")
    model_id: HexDigest
    input_digest: HexDigest = Field(description="keccak-256 of the input bytes.")
    policy: HexDigest = Field(description="Packed policy: version 1, quorum, flags, window seconds.")
    fee_wei: DecimalUint = Field(description="uint256, taken from the requester's deposit when the answer is delivered.")
    callback_gas: Uint32
    deadline: Uint64 = Field(description="Seconds since 1970; no delivery after it.")
    nonce: DecimalUint = Field(description="uint256, at least 2^128, chosen by the requester, used once.")


class SignedRequestIn(Strict):
    """A request signed off chain, with the input its digest is of."""

    request: RequestIn
    signature: Hex = Field(
        max_length=2 + 2 * 4096, description="65 bytes r‖s‖v over the request id, or what the requester's ERC-1271 contract takes."
    )
    input: Hex = Field(description="Input bytes: packed big-endian int16 (canonical) or AFT1 tensors (opaque).")


class RealInput(Strict):
    """Real numbers in the model's own units; quantised by the manifest's exponent, refused where out of range."""

    real: list[FiniteNumber] = Field(max_length=MAX_ELEMENTS)


class IntegerInput(Strict):
    """Integers as the canonical model takes them."""

    integers: list[Annotated[int, Field(ge=-32768, le=32767)]] = Field(max_length=MAX_ELEMENTS)


class HexInput(Strict):
    """Input bytes as they are."""

    hex: Hex


class TensorIn(Strict):
    """One tensor, its elements row by row; the element type is the model's."""

    shape: list[Uint32] = Field(max_length=32)
    values: list[FiniteNumber | bool | str | int] = Field(max_length=MAX_ELEMENTS)


class TensorsInput(Strict):
    """Tensors of an opaque model by input name."""

    tensors: dict[str, TensorIn] = Field(max_length=256)


AnyInput = RealInput | IntegerInput | HexInput | TensorsInput


class PolicyIn(Strict):
    """The evidence demanded: a quorum or a proof, and what else."""

    quorum: int = Field(default=0, ge=0, le=255, description="How many operators must have signed the same answer.")
    proof: bool = False
    enclave: bool = Field(default=False, description="The signature of a key in an operator's attested enclave as well.")
    simulated: bool = Field(default=False, description="A simulated enclave is good enough, which proves nothing; for development.")
    window_seconds: Uint32 = Field(default=0, description="The callback waits this long after delivery.")
    disputable: bool = Field(default=False, description="Within the window anyone may ask a committee of operators; only with a window.")


class PrepareIn(Strict):
    """What is wanted, in the units people think in."""

    model_id: HexDigest
    input: AnyInput
    policy: PolicyIn
    fee_wei: DecimalUint
    callback_gas: Uint32 = 0
    deadline: Uint64
    requester: HexAddress
    refund_to: HexAddress | None = Field(default=None, description="The requester where left out.")
    nonce: DecimalUint | None = Field(default=None, description="For the signed form; drawn at random where left out.")


# ---- what we answer ------------------------------------------------------------------------------------------------------------------
class Problem(Sent):
    """RFC 9457 problem. `title` is the class of the error, `detail` says what was looked at, what was expected and what was got."""

    type: str
    title: str
    status: int
    detail: str


class TensorOut(Sent):
    name: str
    dtype: str
    shape: list[int | str] = Field(description="Symbolic dimensions by name.")


class PayloadOut(Sent):
    """What the bytes of an input or output are."""

    encoding: str = Field(description='"int16-be" (packed big-endian int16) or "AFT1" (typed tensors).')
    tensors: list[TensorOut]
    exponent: int | None = Field(default=None, description="Canonical models: real value = integer · 2^-exponent.")
    range: tuple[int, int] | None = Field(default=None, description="Canonical models: least and greatest integer.")
    how: str = Field(description="How to make or read the bytes.")


class OnChainModel(Sent):
    is_active: bool
    owner: str
    data_uri: str


class ModelSummary(Sent):
    model_id: str
    name: str
    kind: str = Field(description='"canonical" or "opaque".')
    on_chain: OnChainModel | None = Field(description="null where the model is not registered.")


class ModelOut(ModelSummary):
    manifest: dict[str, Any]
    parameters: list[str] = Field(description="Digests of the parts of the commitments to the weights; none for an opaque model.")
    input: PayloadOut
    output: PayloadOut
    labels: list[str] | None
    postprocess: str | None = Field(description="What is left to the caller, such as softmax or argmax.")


class ModelsOut(Sent):
    models: list[ModelSummary]


class Links(Sent):
    self: str
    events: str
    receipt: str
    proof: str


class AcceptedOut(Sent):
    request_id: str
    state: RequestState
    links: Links


class SignedForm(Sent):
    """To sign and post to /v1/requests."""

    request_id: str = Field(description="Also the 32 bytes that are signed.")
    request: dict[str, str | int]
    typed_data: dict[str, Any] = Field(description="For eth_signTypedData_v4.")


class OnChainForm(Sent):
    """To send as a transaction from the requester. The request id is known once it is mined: the contract gives the nonce."""

    to: str
    value_wei: str
    data: str


class QuoteOut(Sent):
    fee_wei: str = Field(description="The higher of operators_fee_wei and relay_fee_wei: what to offer.")
    model_id: str
    policy: str
    operators_fee_wei: str | None = Field(description="shares times share_wei; null where too few operators posted a price.")
    share_wei: str | None = Field(description="The least share with which enough active operators are content.")
    shares: int | None = Field(description="One for each piece of evidence that the policy demands.")
    relay_fee_wei: str = Field(description="The least that the relay behind this API works for, without a callback.")
    asset: str | None = Field(description="The ERC-20 token that fees are paid in; null for the chain's own coin.")


class PreparedOut(Sent):
    input: str
    input_digest: str
    policy: str
    saturated: int = Field(description="Elements of a real-valued input that lay outside the input's range and were moved to its end.")
    signed: SignedForm
    on_chain: OnChainForm


class EventOut(Sent):
    """One step of a request's history."""

    id: int
    kind: str
    time: str
    detail: dict[str, Any]


class RequestSummary(Sent):
    request_id: str
    model_id: str
    requester: str
    origin: str = Field(description='"chain" or "signed".')
    state: RequestState
    is_final: bool = Field(description="Nothing will ever happen to it again.")
    reason: str | None = Field(
        description="Why it failed or expired; while it is collected, why it will come to nothing: unverified words of nodes."
    )
    updated: str = Field(description="RFC 3339.")


class RequestOut(RequestSummary):
    request: dict[str, str | int]
    transaction: str | None = Field(description="Of the request itself, where it was made on chain.")
    history: list[EventOut]
    links: Links


class RequestsOut(Sent):
    requests: list[RequestSummary]
    cursor: str | None = Field(description="Pass on to get the next page; null on the last.")


class DecodedTensor(Sent):
    name: str
    dtype: str
    shape: list[int]
    values: list[int | float | bool | str]


class DecodedOutput(Sent):
    """The output bytes as the manifest reads them."""

    integers: list[int] | None = Field(default=None, description="Canonical models.")
    real: list[float] | None = Field(default=None, description="Canonical models: integers · 2^-exponent.")
    tensors: list[DecodedTensor] | None = Field(default=None, description="Opaque models.")
    labels: list[str] | None = None
    postprocess: str | None = None


class SignerOut(Sent):
    index: int
    operator: str
    signer: str


class ReplacedOut(Sent):
    """The delivered output was proven wrong within its window, or a committee ruled against it, and another is in its place."""

    transaction: str = Field(description="Of the challenge, or of the ruling that was carried out.")
    block_number: int
    wrong_output: str
    wrong_output_digest: str


class ReceiptOut(Sent):
    """What the chain decided, read from the chain and not from our database."""

    request_id: str
    model_id: str
    transaction: str
    block_number: int
    block_hash: str
    gas_used: int = Field(description="Of the whole transaction, which may carry several deliveries.")
    status: str = Field(description='"PENDING" inside a window, "FINAL" after; "REFUNDED" where a committee took the answer back.')
    available_at: int = Field(description="Seconds since 1970; 0 where there is no window.")
    callback: str
    signers: list[SignerOut] | None = Field(
        description="Operators whose signatures the evidence holds; null where the delivery went through another contract."
    )
    prover: str | None = Field(description="Whom the proof names; null where the policy demands none.")
    beneficiaries: list[str]
    output: str = Field(description="What counts now: after a challenge the proven output.")
    output_digest: str
    replaced: ReplacedOut | None = Field(description="What was delivered first, where a challenge replaced it.")
    decoded: DecodedOutput | None = Field(description="The output as the manifest reads it.")
    decoding_problem: str | None = Field(description="Why `decoded` is null.")


class EntryProof(Sent):
    index: int
    kind: str
    record: dict[str, Any]
    tlog_proof: str = Field(description="C2SP tlog-proof: verifies offline against the log's verifier key.")


class ProofOut(Sent):
    request_id: str
    log_vkey: str
    checkpoint: str = Field(description="The log's newest signed checkpoint (C2SP signed note).")
    entries: list[EntryProof]


class EndpointOut(Sent):
    name: str = Field(description="Scheme and host: nothing else of its URL.")
    state: str = Field(description="ready, open, half_open, unchecked, wrong_chain or lagging.")
    reason: str = Field(description="Of the last fault; empty where there was none.")
    chain_id: int | None
    head: int | None
    latency_seconds: float | None
    answers: int
    faults: dict[str, int]
    outvoted: dict[str, int]


class Alive(Sent):
    status: str
    version: str
    quorum: int | None = Field(None, description="How many of the chain's endpoints must agree.")
    endpoints: list[EndpointOut] = Field([], description="The chain's endpoints, as this process last saw them.")


class ReadyOut(Sent):
    ready: bool
    checks: dict[str, str] = Field(description='"ok", or what is wrong.')
