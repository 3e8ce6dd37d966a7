"""JSON of the office: what people send, strictly, and what they are answered. Times are RFC 3339, ids and digests hex."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from oracle.office.duties import MAX_INDICES, MAX_MINUTES

MAX_INDEX = (1 << 53) - 1
MAX_TEXT = 4000

Index = Annotated[int, Field(ge=0, le=MAX_INDEX)]
HexDigest = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$")]
HexSubject = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{32}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
WriterName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Indices = Annotated[list[Index], Field(min_length=1, max_length=MAX_INDICES)]


class Strict(BaseModel):
    """Base of everything that is sent: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Answer(BaseModel):
    """Base of everything that is answered."""

    model_config = ConfigDict(frozen=True)


# ---- what people send ----------------------------------------------------------------------------------------------------------------
class Nothing(Strict):
    """A step that needs no words."""


class SessionIn(Strict):
    token: Annotated[str, StringConstraints(min_length=1, max_length=512)]


class ReviewIn(Strict):
    index: Index
    outcome: Literal["accepted", "rejected", "escalated"]
    note: Annotated[str, StringConstraints(max_length=MAX_TEXT)] = ""


class OverrideIn(Strict):
    """A person decided otherwise than the model."""

    index: Index
    action: Literal["replaced", "withdrawn", "upheld"]
    reason: Text
    first: Annotated[str, StringConstraints(max_length=200)] | None = Field(default=None, description="Who verified the answer.")
    second: Annotated[str, StringConstraints(max_length=200)] | None = Field(default=None, description="And who else.")


class DisclosureIn(Strict):
    indices: Indices
    reason: Text
    minutes: Annotated[int, Field(ge=1, le=MAX_MINUTES)]


class HoldScopeIn(Strict):
    """What is kept: the entries that fit everything given. `index` is short for `from` and `to` that are the same."""

    index: Index | None = None
    first: Annotated[Index | None, Field(alias="from")] = None
    last: Annotated[Index | None, Field(alias="to", description="Inclusive.")] = None
    call_id: HexDigest | None = None
    subject: HexSubject | None = None
    writer: WriterName | None = Field(default=None, description="With `subject_reference`.")
    subject_reference: Reference | None = Field(default=None, description="The writer's reference to a person; not kept.")

    @model_validator(mode="after")
    def _is_whole(self) -> HoldScopeIn:
        if (self.writer is None) != (self.subject_reference is None):
            raise ValueError("writer and subject_reference go together")
        if self.subject is not None and self.subject_reference is not None:
            raise ValueError("a subject, or a writer's reference to one, not both")
        if self.index is not None and (self.first is not None or self.last is not None):
            raise ValueError("an index, or a range, not both")
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError("a range that is not empty")
        if all(getattr(self, name) is None for name in ("index", "first", "last", "call_id", "subject", "subject_reference")):
            raise ValueError("something to hold")
        return self


class HoldIn(Strict):
    scope: HoldScopeIn
    reason: Text


class IndicesScope(Strict):
    indices: Indices


class PersonScope(Strict):
    """Everything about one person, as a writer refers to them. The reference is not kept."""

    writer: WriterName
    subject_reference: Reference


class ErasureIn(Strict):
    scope: IndicesScope | PersonScope
    reason: Text


class FilterIn(Strict):
    """Narrows what a sample is drawn from; as the query of /records."""

    kind: Annotated[str, StringConstraints(max_length=32)] | None = None
    writer: Annotated[str, StringConstraints(max_length=64)] | None = None
    model: Annotated[str, StringConstraints(max_length=200)] | None = None
    caller: Annotated[str, StringConstraints(max_length=200)] | None = None
    outcome: Annotated[str, StringConstraints(max_length=32)] | None = None
    verdict: Annotated[str, StringConstraints(max_length=32)] | None = None
    q: Annotated[str, StringConstraints(max_length=200)] | None = None
    start: Annotated[str | None, Field(alias="from", max_length=40, description="RFC 3339.")] = None
    end: Annotated[str | None, Field(alias="to", max_length=40, description="RFC 3339; before it.")] = None


class SampleIn(Strict):
    size: Annotated[int, Field(ge=1, le=MAX_INDICES)]
    seed: HexDigest | None = Field(default=None, description="Drawn at random where null.")
    filter: FilterIn = FilterIn()


# ---- what they are answered ------------------------------------------------------------------------------------------------------------
class SettingsOut(Answer):
    """What a browser needs to verify by itself. An auditor holds it against what came from elsewhere."""

    origin: str
    vkey: str
    chain_id: int
    rpc_url: str
    audit_anchor: str
    log_id: str | None
    anchor_key: str | None
    log_base: str
    witness_policy: str | None
    has_oidc: bool


class MeOut(Answer):
    name: str
    roles: list[str]
    rights: list[str]
    via: Literal["token", "oidc"]
    csrf: str | None = Field(description="For the header x-affidavit-csrf; null where no cookie was used.")


class TakenOut(Answer):
    """A step of a case, with the place of its record in the log."""

    step: str
    by: str
    time: str
    index: int | None


class CaseOut(Answer):
    id: str
    by: str
    is_pending: bool = Field(description="A step was begun, and the log has not confirmed it yet.")
    history: list[TakenOut]


class DisclosureOut(CaseOut):
    indices: list[int]
    reason: str
    minutes: int
    state: Literal["requested", "approved", "denied", "closed", "expired"]
    decided_by: str | None
    requested_at: str
    decided_at: str | None
    expires_at: str | None
    may_decide: bool
    may_open: bool


class HoldOut(CaseOut):
    scope: dict[str, Any]
    reason: str
    placed_at: str
    state: Literal["active", "release_requested", "released"]
    release_requested_by: str | None
    may_approve: bool


class ErasureOut(CaseOut):
    scope: dict[str, Any]
    reason: str
    requested_at: str
    state: Literal["requested", "approved", "denied", "held", "done"]
    problem: str | None = Field(description="What an approved erasure waits for.")
    decided_by: str | None
    decided_at: str | None
    erased: list[int]
    may_decide: bool


class ReviewOut(Answer):
    id: str
    index: int
    outcome: Literal["accepted", "rejected", "escalated"]
    note: str | None
    by: str
    time: str
    record: int | None


class OverrideOut(Answer):
    id: str
    index: int
    action: Literal["replaced", "withdrawn", "upheld"]
    reason: str
    by: str
    time: str
    record: int | None


class SampleOut(Answer):
    id: str
    seed: str
    population: int
    population_digest: str
    tree_size: int = Field(description="Of the checkpoint that was drawn from.")
    root: str
    size: int
    indices: list[int]
    filter: dict[str, str]
    by: str
    time: str
    index: int | None = Field(description="Of its record in the log.")


class DisclosuresOut(Answer):
    items: list[DisclosureOut]
    next: int | None = Field(description="Pass on as `before` for the next page; null on the last.")


class HoldsOut(Answer):
    items: list[HoldOut]
    next: int | None


class ErasuresOut(Answer):
    items: list[ErasureOut]
    next: int | None


class ReviewsOut(Answer):
    items: list[ReviewOut]
    next: int | None


class OverridesOut(Answer):
    items: list[OverrideOut]
    next: int | None


class SamplesOut(Answer):
    items: list[SampleOut]
    next: int | None


class OpenedField(Answer):
    name: str
    value: Any
    salt: str
    index: int
    path: list[str]


class OpenedBody(Answer):
    name: str
    text: str | None = Field(description="null where it is not UTF-8.")
    hex: str


class OpenedOut(Answer):
    """What was disclosed. The log had a record of this before it was answered."""

    state: Literal["none", "present", "erased"]
    sealed: list[OpenedField]
    bodies: list[OpenedBody]


class RecordRow(Answer):
    index: int
    time: str
    kind: str
    writer: str
    model: str | None
    call_id: str | None
    caller: str | None
    outcome: str | None
    verdict: str | None
    transaction: str | None
    latency_microseconds: int | None
    content: Literal["none", "present", "erased"]


class RecordsOut(Answer):
    items: list[RecordRow]
    next: int | None
    total: int | None = Field(description="null where counting would take too long.")


class CallPlaceOut(Answer):
    index: int
    kind: str
    time: str
    writer: str


class ContentOut(Answer):
    state: Literal["none", "present", "erased"]
    bodies: list[str] = Field(description="Fields that hold the digest of a body.")
    sealed: bool


class RetentionOut(Answer):
    model_config = ConfigDict(frozen=True, populate_by_name=True)
    name: Annotated[str, Field(alias="class")]
    until: str | None


class RecordOut(Answer):
    index: int
    leaf_hash: str
    record: dict[str, Any]
    record_base64: str
    proof: str = Field(description="C2SP tlog-proof: verifies offline against the log's verifier key.")
    call: list[CallPlaceOut]
    content: ContentOut
    retention: RetentionOut | None
    holds: list[HoldOut]
    reviews: list[ReviewOut]
    disclosures: list[DisclosureOut]


class StepOut(Answer):
    number: int
    name: str
    status: Literal["passed", "absent", "failed"]
    detail: str


class VerdictOut(Answer):
    holds: bool
    verdict: str
    steps: list[StepOut]
    remarks: list[str]


class ReadingOut(Answer):
    """A record of somebody who was shown content, or asked for it."""

    index: int
    time: str
    reader: str
    action: str
    indices: list[int]
    disclosure: str | None
    reason: str | None


class ReadersOut(Answer):
    items: list[ReadingOut]
    next: int | None


class NodeOut(Answer):
    url: str
    is_ready: bool
    detail: str


class RelayOut(Answer):
    states: dict[str, int]
    oldest_seconds: int | None = Field(description="Since the oldest request that is not at its end was last moved.")


class OperatorOut(Answer):
    index: int
    address: str
    signer: str
    stake_wei: str
    is_active: bool


class AnchorOut(Answer):
    size: int
    root: str
    block_number: int
    transaction: str


class OperationsOut(Answer):
    nodes: list[NodeOut]
    relay: RelayOut
    operators: list[OperatorOut]
    anchors: list[AnchorOut]


class LogOut(Answer):
    origin: str
    size: int
    root: str
    time: str | None = Field(description="When the newest record was logged.")


class LastAnchorOut(Answer):
    size: int
    block_number: int
    transaction: str
    time: str | None = Field(description="Of its block.")


class AnchorsOut(Answer):
    count: int
    last: LastAnchorOut | None
    lag_entries: int
    is_late: bool


class WitnessesOut(Answer):
    quorum_met: bool | None = Field(description="null where no policy is configured.")
    text: str
    names: list[str]


class VolumeOut(Answer):
    time: str
    calls: int
    errors: int


class LatencyPointOut(Answer):
    time: str
    p50_ms: float | None
    p95_ms: float | None


class LatencyOut(Answer):
    """Quantiles within 2.5 %."""

    p50_ms: float | None
    p95_ms: float | None
    series: list[LatencyPointOut]


class ModelCallsOut(Answer):
    model: str
    calls: int


class AlarmOut(Answer):
    kind: str
    severity: Literal["warning", "critical"]
    since: str | None
    text: str


class OverviewOut(Answer):
    log: LogOut
    anchors: AnchorsOut
    witnesses: WitnessesOut
    volume: list[VolumeOut]
    verdicts: dict[str, int]
    outcomes: dict[str, int]
    evidence: dict[str, int]
    latency: LatencyOut
    models: list[ModelCallsOut]
    alarms: list[AlarmOut]
