"""What a report tells: everything it needs to know, read and counted before anybody thinks about pages.

Counted from records that were held against the signed tree; nothing sealed is in it, so a report can be passed on. `made` is a parameter:
the same log, period and moment give the same report, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from oracle.audit.completeness import Completeness
from oracle.audit.incidents import Incident
from oracle.errors import MalformedInput
from oracle.records import Checkpoint


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to, and without, `end`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None or self.start >= self.end:
            raise MalformedInput("period", "a start before its end, both with their zone", f"{self.start} to {self.end}")

    def bins(self) -> tuple[timedelta, list[datetime]]:
        """(width, starts) of the bins that charts have: hours, days or weeks, at most about a hundred."""
        length = self.end - self.start
        days = 1 if length <= timedelta(days=100) else -(-length.days // 100)
        width = timedelta(hours=1) if length <= timedelta(days=3) else timedelta(days=days)
        first = self.start.astimezone(UTC)
        first = first.replace(minute=0, second=0, microsecond=0, hour=first.hour if width < timedelta(days=1) else 0)
        starts = []
        while first < self.end:
            starts.append(first)
            first += width
        return width, starts


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One system that asked models, as its records name it; empty where they do not."""

    tenant: str
    system: str
    version: str
    purpose: str
    risk_class: str
    calls: int


@dataclass(frozen=True, slots=True)
class ModelRow:
    name: str
    calls: int
    failures: int
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """What happened in one hour, day or week of the period."""

    start: datetime
    calls: int = 0
    failures: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Action:
    """One thing somebody did: a review, disclosure, hold, erasure, override or change, as its record says it."""

    index: int
    time: str
    actor: str
    action: str
    about: str


@dataclass(frozen=True, slots=True)
class SampleRow:
    index: int
    time: str
    actor: str
    id: str
    seed: str
    population: int
    population_digest: str
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnchorRow:
    """`time` is the block's, None where only the log's own record was asked."""

    size: int
    root: str
    block_number: int
    transaction: str
    time: datetime | None


@dataclass(frozen=True, slots=True)
class WriterRow:
    """A writer and its clock, over the whole log. Microseconds ahead of and behind the log's clock at worst."""

    name: str
    records: int
    clocks: int
    sources: tuple[str, ...]
    unsynchronised: int
    ahead_microseconds: int
    behind_microseconds: int


@dataclass(frozen=True, slots=True)
class ProofRow:
    """A C2SP tlog-proof of one record, and why the report has it."""

    index: int
    why: str
    text: str


@dataclass(frozen=True, slots=True)
class Anchors:
    rows: tuple[AnchorRow, ...]
    is_from_chain: bool
    chain_id: int | None = None
    contract: str | None = None


@dataclass(frozen=True, slots=True)
class Notary:
    """Whose log this is, and who else signed its head. `witnesses`: a sentence on a policy that was checked, None where none was given."""

    vkey: str
    checkpoint: Checkpoint
    cosigners: tuple[str, ...]
    witnesses: str | None = None


@dataclass(frozen=True)
class ReportData:
    """A report, before it is laid out."""

    organisation: str
    period: Period
    made: datetime
    notary: Notary
    completeness: Completeness
    anchors: Anchors
    records: int  # in the period
    kinds: dict[str, int]
    calls: int
    systems: tuple[SystemRow, ...]
    models: tuple[ModelRow, ...]
    bins: tuple[Bin, ...]
    verdicts: dict[str, int]
    evidence: dict[str, int]
    outcomes: dict[str, int]
    error_types: dict[str, int]
    guardrails: dict[str, int]
    latency: Latency | None
    tokens: dict[str, int]
    costs: dict[str, int]  # micros by currency
    disclosed_calls: int  # whose result says that the person was told a model answers
    reference_data: dict[str, int]
    retention: dict[str, int]
    redactions: dict[str, int]
    writers: tuple[WriterRow, ...]
    samples: tuple[SampleRow, ...]
    reviews: tuple[Action, ...]
    overrides: tuple[Action, ...]
    disclosures: tuple[Action, ...]
    readings: tuple[Action, ...]
    holds: tuple[Action, ...]
    erasures: tuple[Action, ...]
    changes: tuple[Action, ...]
    incidents: tuple[Incident, ...]
    first_index: int | None
    last_index: int | None
    proofs: tuple[ProofRow, ...]
    remarks: tuple[str, ...] = field(default=())

    @property
    def failures(self) -> int:
        """Calls that ended otherwise than well."""
        return sum(number for outcome, number in self.outcomes.items() if outcome not in ("ok", "open"))
