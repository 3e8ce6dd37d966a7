"""From a log, its index and its chain to `ReportData`.

The index says where the records of the period are; each of them is then read from its bundle and held against the signed tree before it is
counted. What is said of a whole call (its model, outcome, verdict, latency) is as of the newest record of that call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from math import ceil

from oracle.audit.completeness import Completeness
from oracle.audit.incidents import Incident, read_incidents
from oracle.audit.index import Filter, Found, Index
from oracle.audit.ledger import Ledger
from oracle.audit.note import parse
from oracle.audit.proof import LogProof, write_proof
from oracle.audit.record import Record, parse_record
from oracle.audit.report import ENTRY, failing_at
from oracle.audit.tiles import WIDTH
from oracle.audit.tree import compute_inclusion_from
from oracle.audit.verified import VerifiedTiles
from oracle.audit.view import LogView
from oracle.encoding import to_hex
from oracle.office.report import (
    AnchorRow,
    Anchors,
    Bin,
    Latency,
    ModelRow,
    Notary,
    Period,
    ProofRow,
    ReportData,
    SystemRow,
    WriterRow,
)
from oracle.office.report_counting import Counts, integer_of, text_of
from oracle.records import Address, Anchor, EntryKind
from oracle.seams import ChainReader

MAX_PROOFS = 24
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is asked for. `made` is the moment that stands in it; `witnesses` a sentence on a policy, where one was checked."""

    period: Period
    made: datetime
    organisation: str = ""
    witnesses: str | None = None


def collect(asked: Asked, view: LogView, index: Index, completeness: Completeness, anchors: Anchors | None = None) -> ReportData:
    """`index` follows `view` and may be ahead of it; `anchors` are those of the chain, None where none was asked.

    Raises AuditFailed where a record is not in the signed tree; PeerError or StoreError when nobody answers.
    """
    counts = Counts()
    period = asked.period
    indices = [int(i) for i in index.matching(Filter(start=period.start, end=period.end)) if i < view.size]
    for number, record in _read_records(view, indices):
        counts.enter(number, record)
    calls = list(_calls(index, counts.firsts))
    incidents = tuple(_read_all_incidents(view, index, counts))
    latencies = sorted(call.latency_microseconds for call in calls if call.latency_microseconds is not None)
    return ReportData(
        organisation=asked.organisation,
        period=period,
        made=asked.made,
        notary=_notary(view, asked.witnesses),
        completeness=completeness,
        anchors=_logged_anchors(counts) if anchors is None else anchors,
        records=counts.records,
        kinds=_ordered(counts.kinds),
        calls=len(calls),
        systems=tuple(SystemRow(*key, calls=number) for key, number in sorted(counts.systems.items(), key=lambda i: (-i[1], i[0]))),
        models=_models(calls),
        bins=_bins(period, calls),
        verdicts=_ordered(Counter(call.verdict or "unverified" for call in calls)),
        evidence=_ordered(Counter(call.evidence or "none" for call in calls)),
        outcomes=_ordered(Counter(call.outcome or "open" for call in calls)),
        error_types=_ordered(counts.error_types),
        guardrails=_ordered(counts.guardrails),
        latency=_latency(latencies),
        tokens=dict(sorted(counts.tokens.items())),
        costs=dict(sorted(counts.costs.items())),
        disclosed_calls=counts.disclosed_calls,
        reference_data=_ordered(counts.reference_data),
        retention=_ordered(counts.retention),
        redactions=_ordered(counts.redactions),
        writers=_writers(completeness.ledger, counts),
        samples=tuple(counts.samples),
        reviews=tuple(counts.actions.get(EntryKind.REVIEW, ())),
        overrides=tuple(counts.actions.get(EntryKind.OVERRIDE, ())),
        disclosures=tuple(counts.actions.get(EntryKind.DISCLOSURE, ())),
        readings=tuple(counts.readings),
        holds=tuple(counts.actions.get(EntryKind.HOLD, ())),
        erasures=tuple(counts.actions.get(EntryKind.ERASURE, ())),
        changes=tuple(counts.actions.get(EntryKind.CONFIG, ())) + tuple(counts.actions.get(EntryKind.KEY_ROTATION, ())),
        incidents=incidents,
        first_index=indices[0] if indices else None,
        last_index=indices[-1] if indices else None,
        proofs=tuple(_proofs(view, indices, counts, incidents)),
    )


def _read_records(view: LogView, indices: Sequence[int]) -> Iterator[tuple[int, Record]]:
    """These records, ascending, each held against the tree. A bundle is read once."""
    tiles = VerifiedTiles(view)
    for number, group in groupby(indices, key=lambda i: i // WIDTH):
        leaves = tiles.bundle(number)
        for index in group:
            with failing_at(ENTRY, f"entry {index}"):
                record = parse_record(leaves[index % WIDTH][1])
            yield index, record


def _calls(index: Index, firsts: Sequence[int]) -> Iterator[Found]:
    for start in range(0, len(firsts), _PAGE):
        yield from index.show(firsts[start : start + _PAGE])


def _read_all_incidents(view: LogView, index: Index, counts: Counts) -> list[Incident]:
    """Incidents that have a record in the period, by all their records: one may be opened in one period and reported in the next."""
    if not counts.incidents:
        return []
    names = {text_of(record, "audit.incident.id") for _, record in counts.incidents}
    told = [int(i) for i in index.matching(Filter(kind=str(EntryKind.REVIEW))) if i < view.size]
    found = ((i, record) for i, record in _read_records(view, told) if text_of(record, "audit.incident.id") in names)
    return read_incidents(found)


def _notary(view: LogView, witnesses: str | None) -> Notary:
    note = parse(view.checkpoint.note.encode())
    names = sorted({s.name for s in note.signatures if (s.name, s.key_id) != (view.key.name, view.key.key_id)})
    return Notary(str(view.key), view.checkpoint, tuple(names), witnesses)


def _ordered(counter: Counter[str]) -> dict[str, int]:
    """The most frequent first, equal ones by name."""
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


# ---- calls -----------------------------------------------------------------------------------------------------------------------------
def _milliseconds(ordered: Sequence[int], share: float) -> float:
    """The value below which that share of an ordered, non-empty list lies, by nearest rank."""
    return ordered[ceil(share * len(ordered)) - 1] / 1000


def _latency(ordered: Sequence[int]) -> Latency | None:
    if not ordered:
        return None
    p50, p95, p99 = (_milliseconds(ordered, share) for share in (0.5, 0.95, 0.99))
    return Latency(len(ordered), p50, p95, p99, ordered[-1] / 1000)


def _is_failure(call: Found) -> bool:
    return (call.outcome or "open") not in ("ok", "open")


def _models(calls: Iterable[Found]) -> tuple[ModelRow, ...]:
    by_model: dict[str, list[Found]] = {}
    for call in calls:
        by_model.setdefault(call.model or "", []).append(call)
    return tuple(_model(name, found) for name, found in sorted(by_model.items(), key=lambda item: (-len(item[1]), item[0])))


def _model(name: str, calls: Sequence[Found]) -> ModelRow:
    ordered = sorted(call.latency_microseconds for call in calls if call.latency_microseconds is not None)
    p50, p95 = (_milliseconds(ordered, share) if ordered else None for share in (0.5, 0.95))
    return ModelRow(name, len(calls), sum(map(_is_failure, calls)), p50, p95)


def _bins(period: Period, calls: Iterable[Found]) -> tuple[Bin, ...]:
    width, starts = period.bins()
    by_bin: dict[int, list[Found]] = {}
    for call in calls:
        by_bin.setdefault((datetime.fromisoformat(call.time) - starts[0]) // width, []).append(call)
    return tuple(_bin(start, by_bin.get(number, [])) for number, start in enumerate(starts))


def _bin(start: datetime, calls: Sequence[Found]) -> Bin:
    row = _model("", calls)
    return Bin(start, row.calls, row.failures, row.p50_ms, row.p95_ms)


# ---- the log itself --------------------------------------------------------------------------------------------------------------------
def _writers(ledger: Ledger, counts: Counts) -> tuple[WriterRow, ...]:
    rows = []
    for name, writer in sorted(ledger.writers.items()):
        sources = tuple(sorted(counts.clock_sources.get(name, ())))
        unsynchronised = counts.unsynchronised[name]
        rows.append(WriterRow(name, writer.sequence, writer.clock_count, sources, unsynchronised, writer.ahead[0], writer.behind[0]))
    return tuple(rows)


def _logged_anchors(counts: Counts) -> Anchors:
    rows = []
    for record in counts.anchors:
        size, block = integer_of(record, "audit.anchor.size") or 0, integer_of(record, "audit.block_number") or 0
        rows.append(AnchorRow(size, text_of(record, "audit.anchor.root"), block, text_of(record, "audit.transaction"), None))
    return Anchors(tuple(rows), is_from_chain=False)


def chain_anchors(chain: ChainReader, found: Sequence[Anchor], contract: Address, period: Period) -> Anchors:
    """The anchors of the period by their blocks' times, and the first one after it, which covers its last records. Raises ChainError."""
    rows: list[AnchorRow] = []
    for anchor in found:
        block = chain.block(anchor.block_number)
        time = None if block is None else datetime.fromtimestamp(block.timestamp, UTC)
        if time is not None and time < period.start:
            continue
        rows.append(AnchorRow(anchor.size, to_hex(anchor.root), anchor.block_number, to_hex(anchor.transaction), time))
        if time is not None and time >= period.end:
            break
    return Anchors(tuple(rows), True, chain.domain.chain_id, contract)


def _proofs(view: LogView, indices: Sequence[int], counts: Counts, incidents: Sequence[Incident]) -> Iterator[ProofRow]:
    """Of what bounds the period, and of what people decided in it."""
    edges = {indices[0]: "first record of the period", indices[-1]: "last record of the period"} if indices else {}
    cited = {action.index: f"{kind}: {action.action}" for kind, actions in sorted(counts.actions.items()) for action in actions}
    cited |= {sample.index: f"sample {sample.id}" for sample in counts.samples}
    cited |= {index: f"incident {incident.id}" for incident in incidents for index in incident.told_at if index < view.size}
    chosen = dict(sorted(cited.items())[: MAX_PROOFS - len(edges)]) | edges
    for index in sorted(chosen):
        record = view.read_bytes(index)
        hashes = tuple(compute_inclusion_from(index, view.size, view.subtree))
        yield ProofRow(index, chosen[index], write_proof(LogProof(index, hashes, view.checkpoint.note, record)).decode())
