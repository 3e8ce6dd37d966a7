"""From `ReportData` to sections: which words, tables and charts, in which order. Nothing here knows HTML or PDF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from oracle.audit.completeness import Severity, Verdict
from oracle.encoding import to_hex
from oracle.office.report import Action, ReportData
from oracle.office.report_articles import PROVISIONS
from oracle.office.report_blocks import Bars, Block, Code, Facts, Lines, Notice, Section, Shares, Table, Text
from oracle.office.wording import count, day, duration, listed, moment, money, share, thousands

MAX_ROWS = 100
MAX_SYSTEMS = 25

_VERDICTS = {
    "unverified": "no evidence but the record itself",
    "signed": "operators' signatures satisfied the policy",
    "proven": "a proof of the computation was verified",
    "attested": "an enclave's quote was verified",
    "replaced": "a challenge put another output in its place",
    "rejected": "the evidence did not hold",
}
_COMPLETENESS = {
    Verdict.COMPLETE: "Nothing is missing, as far as numbers, links and the chain tell.",
    Verdict.GAPS: "Something is missing or late.",
    Verdict.UNKNOWN: "No gap was found, but not everything could be looked at.",
}


def make_sections(data: ReportData) -> list[Section]:
    """The whole report."""
    makers: tuple[tuple[str, str, Callable[[ReportData], Iterator[Block]]], ...] = (
        ("summary", "Summary", _summary),
        ("systems", "Systems and models", _systems),
        ("volume", "Volume and outcomes", _volume),
        ("verification", "Verification of answers", _verification),
        ("latency", "Latency", _latency),
        ("completeness", "Completeness", _completeness),
        ("clocks", "Clocks", _clocks),
        ("people", "Samples, reviews and overrides", _people),
        ("incidents", "Incidents", _incidents),
        ("disclosures", "Disclosures, readers, holds and erasures", _content),
        ("changes", "Changes of configuration and keys", _changes),
        ("anchors", "Anchors and witnesses", _anchors),
        ("provisions", "What the law asks, and what this log shows", _provisions),
        ("proofs", "Proof material", _proofs),
    )
    return [Section(anchor, title, tuple(make(data))) for anchor, title, make in makers]


def title_of(data: ReportData) -> str:
    """Of the document."""
    return f"Audit report {day(data.period.start)} to {day(data.period.end)}"


def subtitle_of(data: ReportData) -> str:
    who = f"{data.organisation} · " if data.organisation else ""
    return f"{who}{data.notary.checkpoint.origin}"


# ---- what happened -------------------------------------------------------------------------------------------------------------------
def _summary(data: ReportData) -> Iterator[Block]:
    yield Facts(
        (
            ("Period", f"{moment(data.period.start)} up to, and without, {moment(data.period.end)}"),
            ("Log", data.notary.checkpoint.origin),
            ("Signed tree", f"{thousands(data.notary.checkpoint.size)} records, root {data.notary.checkpoint.root.hex()}"),
            ("Records in the period", _range(data)),
            ("Model calls", f"{thousands(data.calls)}, of which {thousands(data.failures)} did not end well"),
            ("Completeness", _COMPLETENESS[data.completeness.verdict]),
            ("Incidents", _incident_words(data)),
            ("Made", moment(data.made)),
        )
    )
    for text, is_alarm in _alarms(data):
        yield Notice(text, is_alarm)
    yield Text(
        "The records of the period were read from the log and held against its signed tree. What is said of whole calls (how they ended, "
        "verdict, latency) and of completeness comes from an index that was built from such records. Fields that are sealed, such as names "
        "of people, reasons, inputs and outputs, are not in this report. Times are those of the records."
    )


def _range(data: ReportData) -> str:
    if data.first_index is None:
        return "none"
    return f"{thousands(data.records)}, between entry {data.first_index} and entry {data.last_index}"


def _incident_words(data: ReportData) -> str:
    if not data.incidents:
        return "none recorded"
    overdue = sum(incident.is_overdue(data.made) for incident in data.incidents)
    return f"{len(data.incidents)}, {overdue} of them reported late or overdue"


def _alarms(data: ReportData) -> Iterator[tuple[str, bool]]:
    gaps = [f for f in data.completeness.findings if f.severity is Severity.GAP]
    if gaps:
        yield f"{count(len(gaps), 'gap')} in the log: {'; '.join(f.text for f in gaps[:3])}{' …' if len(gaps) > 3 else ''}.", True
    for incident in data.incidents:
        if incident.is_overdue(data.made):
            state = f"reported {moment(incident.reported)}" if incident.reported else "not reported yet"
            yield f"Incident {incident.id}: the latest moment for a report was {moment(incident.due)}; {state}.", True
    if not data.anchors.rows:
        yield "No anchor falls into the period: that the log was not rewritten since rests on its key and its witnesses alone.", True
    if not data.anchors.is_from_chain:
        yield "The chain was not asked: anchors are told as the log's own records have them.", False
    for remark in data.remarks:
        yield remark, False


def _systems(data: ReportData) -> Iterator[Block]:
    head = ("Tenant", "System", "Version", "Purpose", "Risk class", "Calls")
    rows = [(r.tenant, r.system, r.version, r.purpose, r.risk_class, thousands(r.calls)) for r in data.systems]
    yield _table("Systems that asked, as their records name them", head, ("text",) * 5 + ("number",), rows, MAX_SYSTEMS)
    yield _table(
        "Models",
        ("Model", "Calls", "Failures", "Median", "95 %"),
        ("text", "number", "number", "number", "number"),
        [(m.name or "not named", thousands(m.calls), thousands(m.failures), _ms(m.p50_ms), _ms(m.p95_ms)) for m in data.models],
    )
    spent = [(f"{name} tokens", thousands(number)) for name, number in data.tokens.items() if number]
    spent += [("cost", money(micros, currency)) for currency, micros in data.costs.items()]
    if spent:
        yield Facts(tuple(spent))


def _volume(data: ReportData) -> Iterator[Block]:
    labels = _labels(data)
    good = tuple(float(b.calls - b.failures) for b in data.bins)
    bad = tuple(float(b.failures) for b in data.bins)
    yield Bars(f"Calls by {_bin_word(data)}", labels, (("ended well, or open", good), ("failed", bad)), "calls")
    yield Shares("How calls ended", tuple(data.outcomes.items()))
    if data.error_types:
        yield _counts("Errors by type", "Type", data.error_types)
    yield _counts("Records by kind", "Kind", data.kinds)
    if data.guardrails:
        yield _counts("Decisions of guardrails", "Decision", data.guardrails)
    yield Text(f"In {count(data.disclosed_calls, 'result')} the record says that the person was told that a model answers.")
    if data.redactions:
        yield Text(f"Taken out before the record was made: {listed(data.redactions)}.")


def _verification(data: ReportData) -> Iterator[Block]:
    yield Shares("Verdicts", tuple(data.verdicts.items()))
    rows = [
        (verdict, _VERDICTS.get(verdict, ""), thousands(number), share(number, data.calls)) for verdict, number in data.verdicts.items()
    ]
    yield _table("What the verdicts mean", ("Verdict", "Meaning", "Calls", "Share"), ("text", "text", "number", "number"), rows)
    yield _counts("Evidence delivered on chain", "Kind", data.evidence)
    yield Text(
        "Verdicts are those that the log's records tell. The command affidavit audit verify goes through the evidence of any call, and an "
        "evidence bundle lets others do so offline."
    )


def _latency(data: ReportData) -> Iterator[Block]:
    if data.latency is None:
        yield Text("No record of the period tells how long a model took.")
        return
    rest = data.latency
    yield Facts(
        (
            ("Calls with a latency", thousands(rest.count)),
            ("Half within", duration(rest.p50_ms)),
            ("95 % within", duration(rest.p95_ms)),
            ("99 % within", duration(rest.p99_ms)),
            ("Longest", duration(rest.max_ms)),
        )
    )
    p50, p95 = tuple(b.p50_ms for b in data.bins), tuple(b.p95_ms for b in data.bins)
    yield Lines(f"Latency by {_bin_word(data)}", _labels(data), (("median", p50), ("95 %", p95)), "ms")


# ---- what the log can say of itself ----------------------------------------------------------------------------------------------------
def _completeness(data: ReportData) -> Iterator[Block]:
    report = data.completeness
    ledger = report.ledger
    streams = ledger.streams.values()
    yield Notice(_COMPLETENESS[report.verdict], report.verdict is Verdict.GAPS)
    yield Facts(
        (
            ("Looked at", f"all {thousands(report.checkpoint.size)} records of the log, as of {moment(report.moment)}"),
            ("Writers", thousands(len(ledger.writers))),
            ("Caller streams", f"{thousands(len(streams))} with {thousands(sum(s.last for s in streams))} numbered calls"),
            ("Numbers that never came", thousands(sum(s.missing_count for s in streams))),
            ("Intents", f"{thousands(ledger.intents)}, {thousands(len(ledger.open_intents))} without result or error so far"),
            ("Records written late", thousands(ledger.late.count)),
        )
    )
    rows = [
        (str(f.severity), f.text, ", ".join(map(str, f.examples[:8])) + (" …" if len(f.examples) > 8 else ""))
        for severity in Severity
        for f in report.findings
        if f.severity is severity
    ]
    if rows:
        yield _table(
            "Findings: a gap is missing or late, a doubt could not be told", ("Severity", "What", "Entries"), ("text", "text", "code"), rows
        )
    yield Text("A call that was never numbered and never sent to the log is not found by this.")


def _clocks(data: ReportData) -> Iterator[Block]:
    head = ("Writer", "Records", "Clock records", "Sources", "Not synchronised", "Ahead of the log", "Behind the log")
    kinds = ("text", "number", "number", "text", "number", "number", "number")
    rows = [
        (
            w.name,
            thousands(w.records),
            thousands(w.clocks),
            ", ".join(w.sources) or "–",
            thousands(w.unsynchronised),
            duration(w.ahead_microseconds / 1000),
            duration(w.behind_microseconds / 1000),
        )
        for w in data.writers
    ]
    yield _table("Writers and their clocks: records and offsets over the whole log, sources in the period", head, kinds, rows)
    yield Text(
        "An offset is the most that a record's own time differed from the log's; of records behind, the way to the log is a part of it."
    )


# ---- what people did -------------------------------------------------------------------------------------------------------------------
def _people(data: ReportData) -> Iterator[Block]:
    rows = [
        (str(s.index), _when(s.time), s.actor, s.seed, thousands(s.population), s.population_digest, _numbers(s.indices))
        for s in data.samples
    ]
    yield _table(
        "Samples drawn: from seed and population anybody draws the same again with affidavit audit sample",
        ("Entry", "Time", "By", "Seed", "Population", "Digest of the population", "Entries drawn"),
        ("number", "time", "code", "code", "number", "code", "code"),
        rows,
    )
    yield _actions("Reviews and sign-offs", data.reviews)
    yield _actions("Overrides", data.overrides)
    yield Text("What reviewers wrote, and why somebody decided otherwise than the model, is sealed in these records.")


def _incidents(data: ReportData) -> Iterator[Block]:
    if not data.incidents:
        yield Text("No incident was recorded in the period.")
        return
    rows = [
        (
            i.id,
            str(i.gravity).replace("_", " "),
            _minute(i.aware),
            _minute(i.due),
            _minute(i.reported) if i.reported else "–",
            "LATE" if i.is_overdue(data.made) else "in time" if i.reported else f"due in {_span(i.due - data.made)}",
            _numbers(i.told_at + i.indices),
        )
        for i in data.incidents
    ]
    yield _table(
        "Incidents and their clocks (AI Act, Article 73)",
        ("Incident", "Gravity", "Aware (UTC)", "Report not later than", "Reported", "State", "Entries"),
        ("text", "text", "time", "time", "time", "text", "code"),
        rows,
    )
    yield Text(
        "The report is due at once when a causal link is established or reasonably likely (for the death of a person: as soon as it is "
        "suspected), and not later than the moment given: 15 days after awareness, 10 where a person died, 2 for a widespread "
        "infringement or a serious and irreversible disruption of critical infrastructure. An incomplete report may come first."
    )


def _content(data: ReportData) -> Iterator[Block]:
    yield _actions("Disclosures: asked for, approved by another person, closed", data.disclosures)
    yield _actions("Readers: every read of content, by people and by programs", data.readings)
    yield _actions("Legal holds", data.holds)
    yield _actions("Erasures", data.erasures)
    yield Text("People are named by pseudonyms. Reasons are sealed in these records.")


def _changes(data: ReportData) -> Iterator[Block]:
    yield _actions("Changes", data.changes)


# ---- proof -----------------------------------------------------------------------------------------------------------------------------
def _anchors(data: ReportData) -> Iterator[Block]:
    anchors = data.anchors
    if anchors.contract is not None:
        yield Facts((("Chain", str(anchors.chain_id)), ("AuditAnchor", anchors.contract)))
    rows = [(thousands(a.size), a.root, str(a.block_number), _minute(a.time) if a.time else "–", a.transaction) for a in anchors.rows]
    source = "as the chain has them" if anchors.is_from_chain else "as the log's own records have them; the chain was not asked"
    yield _table(
        f"Heads of this log that were anchored in the period, {source}",
        ("Size", "Root", "Block", "Block's time (UTC)", "Transaction"),
        ("number", "code", "number", "time", "code"),
        rows,
    )
    notary = data.notary
    if notary.witnesses is not None:
        yield Text(f"Witnesses: {notary.witnesses}")
    elif notary.cosigners:
        yield Text(f"Other signatures under the checkpoint, which were not verified for this report: {', '.join(notary.cosigners)}.")
    else:
        yield Text("No witness signed this checkpoint.")


def _provisions(data: ReportData) -> Iterator[Block]:
    yield Text(
        "For each provision: what its text asks, what this log shows for it, and what it does not show. Whether a provision applies, "
        "and whether it is met, is for people to decide; no log can."
    )
    for provision in PROVISIONS:
        yield Facts(
            (
                ("Asks", provision.asks),
                ("This log shows", provision.shows(data)),
                ("It does not show", provision.does_not),
                ("Text", provision.source),
            ),
            provision.name,
        )


def _proofs(data: ReportData) -> Iterator[Block]:
    notary = data.notary
    yield Text(
        "All of this report rests on the signed tree head below. Who has the log's verifier key from a source that is not the log can "
        "check it, and check that records are in its tree, with any implementation of the C2SP formats."
    )
    yield Facts((("Verifier key", notary.vkey), ("Tree size", str(notary.checkpoint.size)), ("Root", to_hex(notary.checkpoint.root))))
    yield Code("Checkpoint (C2SP tlog-checkpoint)", notary.checkpoint.note)
    yield Code(
        "To verify the whole log, its anchors and every call; and to take away the evidence of one of them",
        f"affidavit audit verify --log URL --vkey {notary.vkey} --anchor-key ADDRESS --rpc URL --deployment deployment.json\naffidavit "
        f"audit bundle REQUEST_ID --log URL --vkey {notary.vkey} --rpc URL --deployment deployment.json --out evidence.zip",
    )
    for proof in data.proofs:
        yield Code(f"Proof of entry {proof.index}, {proof.why} (C2SP tlog-proof; the line `extra` is the record)", proof.text)


# ---- small things ----------------------------------------------------------------------------------------------------------------------
def _table(caption: str, head: tuple[str, ...], kinds: tuple[str, ...], rows: Sequence[tuple[str, ...]], most: int = MAX_ROWS) -> Table:
    return Table(caption, head, kinds, tuple(rows[:most]), max(0, len(rows) - most))


def _counts(caption: str, name: str, counts: Mapping[str, int]) -> Table:
    rows = [(key or "not named", thousands(number)) for key, number in counts.items()]
    return _table(caption, (name, "Number"), ("text", "number"), rows)


def _actions(caption: str, actions: Sequence[Action]) -> Block:
    if not actions:
        return Text(f"{caption.partition(':')[0]}: none in the period.")
    rows = [(str(a.index), _when(a.time), a.actor, a.action, a.about) for a in actions]
    return _table(caption, ("Entry", "Time", "By", "What", "About"), ("number", "time", "code", "text", "text"), rows)


def _numbers(indices: Sequence[int]) -> str:
    return ", ".join(map(str, indices[:12])) + (f" and {len(indices) - 12} more" if len(indices) > 12 else "")


def _minute(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _when(time: str) -> str:
    """A record's time, to the second."""
    return time[:19].replace("T", " ")


def _ms(value: float | None) -> str:
    return "–" if value is None else duration(value)


def _span(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    return f"{hours // 24} days {hours % 24} h" if hours >= 24 else f"{hours} h"


def _bin_word(data: ReportData) -> str:
    width, _ = data.period.bins()
    days = width.days
    return "hour (UTC)" if width < timedelta(days=1) else "day (UTC)" if days == 1 else f"{days} days (UTC)"


def _labels(data: ReportData) -> tuple[str, ...]:
    width, starts = data.period.bins()
    return tuple(start.strftime("%m-%d %H:00" if width < timedelta(days=1) else "%Y-%m-%d") for start in starts)
