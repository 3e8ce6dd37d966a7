"""Who asks for what: the provisions that a report is mapped to, what their text asks, what this log shows for it, and what it does not.

`asks` keeps to the text and says no more than it; `source` is where the text stands. Whether a provision applies is not for a log to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oracle.audit.completeness import Severity
from oracle.office.report import ReportData
from oracle.office.wording import count, duration, listed

AI_ACT = "https://eur-lex.europa.eu/eli/reg/2024/1689/oj"
DORA_RTS = "https://eur-lex.europa.eu/eli/reg_del/2024/1774/oj"
SEC = "https://www.ecfr.gov/current/title-17/section-240.17a-4"
HIPAA = "https://www.ecfr.gov/current/title-45/section-164.312"
GDPR = "https://eur-lex.europa.eu/eli/reg/2016/679/oj"


@dataclass(frozen=True, slots=True)
class Provision:
    """One provision."""

    name: str
    asks: str
    shows: Callable[[ReportData], str]
    does_not: str
    source: str


def _events(data: ReportData) -> str:
    return (
        f"{count(data.records, 'record')} in the period, written by the systems themselves: an intent before a model runs, a result or "
        f"an error after it. {count(data.calls, 'call')}, {data.failures} of which did not end well; "
        f"{count(len(data.changes), 'change')} of configuration or keys."
    )


def _biometric(data: ReportData) -> str:
    databases = f"reference data named: {listed(data.reference_data)}" if data.reference_data else "no reference data was named"
    return (
        f"The time of each intent and of what ended it is the period of each use; {databases}. Inputs, and the people who verified a "
        "result, stand in the records as sealed fields: they are opened one by one, to who may see them."
    )


def _kept(data: ReportData) -> str:
    classes = f" Retention classes of content: {listed(data.retention)}." if data.retention else ""
    return (
        f"Records are never deleted: the tree has {count(data.notary.checkpoint.size, 'record')} since the log began. "
        f"{count(len(data.holds), 'record')} of legal holds in the period.{classes}"
    )


def _monitoring(data: ReportData) -> str:
    latency = (
        f"; half of the calls answered within {duration(data.latency.p50_ms)}, 95 % within {duration(data.latency.p95_ms)}"
        if data.latency
        else ""
    )
    return (
        f"Volume, outcomes, errors, guardrails and latency by model and time{latency}. {count(len(data.samples), 'random sample')} "
        f"drawn, {count(len(data.reviews), 'review')} signed off, {count(len(data.overrides), 'override')} by people."
    )


def _incidents(data: ReportData) -> str:
    if not data.incidents:
        return "No incident was recorded in the period."
    overdue = sum(incident.is_overdue(data.made) for incident in data.incidents)
    return (
        f"{count(len(data.incidents), 'incident')} with the latest moment for each report; {overdue} reported late or not yet although due."
    )


def _dora(data: ReportData) -> str:
    gaps = [f for f in data.completeness.findings if f.severity is Severity.GAP]
    clocks = sum(writer.clocks for writer in data.writers)
    return (
        f"(d) Records stand in a tree whose head is signed{' and recorded on a public chain' if data.anchors.rows else ''}; a change or "
        "deletion breaks every later proof. Content is encrypted and every read of it is a record. (e) Numbers and links show what is "
        f"missing: {count(len(gaps), 'gap')} found. (f) {count(clocks, 'clock record')} say what the writers' clocks were held against."
    )


def _sec(data: ReportData) -> str:
    acts = len(data.overrides) + len(data.erasures) + len(data.holds) + len(data.changes)
    return (
        "Every record is time-stamped, by its writer and by the log, and names who acted; nothing is modified, later records say what "
        f"changed: {count(acts, 'override, erasure, hold or change')} in the period."
    )


def _hipaa(data: ReportData) -> str:
    return (
        f"Recorded: {count(data.calls, 'call')}, {count(len(data.readings), 'read')} of content by people and programs. Examined: "
        f"{count(len(data.samples), 'sample')}, {count(len(data.reviews), 'review')}, and this report."
    )


def _gdpr(data: ReportData) -> str:
    return (
        f"{count(len(data.erasures), 'record')} of erasures in the period. An erasure destroys keys and salts: what was sealed cannot "
        "be read or guessed any more, and the proofs of all other records still hold. A hold blocks it."
    )


PROVISIONS: tuple[Provision, ...] = (
    Provision(
        "Regulation (EU) 2024/1689 (AI Act), Article 12(1) and (2)",
        "High-risk AI systems shall technically allow for the automatic recording of events (logs) over their lifetime, such as are "
        "relevant for identifying risks and substantial modifications, for post-market monitoring, and for monitoring by deployers.",
        _events,
        "Article 12 does not ask for tamper evidence: signatures, proofs and anchors here go beyond it. That every event relevant for "
        "a risk is recorded depends on what the system was made to record.",
        AI_ACT,
    ),
    Provision(
        "AI Act, Article 12(3)",
        "For remote biometric identification (Annex III, point 1(a)), at least: the period of each use, the reference database, the "
        "input data for which the search has led to a match, and the natural persons who verified the results (Article 14(5)).",
        _biometric,
        "For other systems Article 12(3) asks nothing. That two people verified a result (Article 14(5)) is shown only where the "
        "system records it.",
        AI_ACT,
    ),
    Provision(
        "AI Act, Articles 19(1) and 26(6)",
        "Providers, and deployers, of high-risk AI systems shall keep the automatically generated logs that are under their control "
        "for a period appropriate to the intended purpose, of at least six months, unless other law, in particular on personal data, "
        "provides otherwise.",
        _kept,
        "How long content has to be kept is a decision of who keeps it; the classes here say what was decided, not that it is enough.",
        AI_ACT,
    ),
    Provision(
        "AI Act, Article 72",
        "Providers shall actively and systematically collect, document and analyse relevant data on the performance of high-risk AI "
        "systems throughout their lifetime, in a post-market monitoring system that is based on a plan.",
        _monitoring,
        "The plan, and the analysis of what the numbers mean for people, are not in a log.",
        AI_ACT,
    ),
    Provision(
        "AI Act, Article 73",
        "A serious incident shall be reported at once when a causal link is established or reasonably likely, and not later than 15 "
        "days after becoming aware of it (paragraph 2); not later than 10 days where a person died (4); not later than two days for a "
        "widespread infringement or a serious and irreversible disruption of critical infrastructure (3).",
        _incidents,
        "Whether something is a serious incident, and which clock runs, is decided by people and only recorded here. The clocks here "
        "are so many times 24 hours from awareness; the law's own count of days does not end before.",
        AI_ACT,
    ),
    Provision(
        "Delegated Regulation (EU) 2024/1774 (DORA), Article 12(2)(d) to (f)",
        "Logging procedures, protocols and tools shall contain measures to protect logging systems and log information against "
        "tampering, deletion and unauthorised access at rest, in transit and, where relevant, in use; measures to detect a failure of "
        "logging systems; and the synchronisation of clocks upon a documented reliable reference time source.",
        _dora,
        "This report covers the events of AI systems only, not the access control, capacity, change and network events that paragraph "
        "2(c) lists for all ICT systems. That a clock's source is documented and reliable is for its owner to show.",
        DORA_RTS,
    ),
    Provision(
        "17 CFR 240.17a-4(f)(2)(i)(A) (SEC, audit-trail alternative)",
        "To preserve a record so that a complete time-stamped audit trail is maintained: all modifications and deletions, the date and "
        "time of actions that create, modify or delete it, if applicable the identity of the individual, and what else is needed so "
        "that the original can be re-created.",
        _sec,
        "Content whose keys were destroyed cannot be re-created: within a retention period it must not be erased, and a hold prevents "
        "it. Which records are required records, and that they can be furnished at once, is for the firm to show. People stand here by "
        "pseudonyms.",
        SEC,
    ),
    Provision(
        "45 CFR 164.312(b) (HIPAA, audit controls)",
        "Implement hardware, software, and/or procedural mechanisms that record and examine activity in information systems that "
        "contain or use electronic protected health information.",
        _hipaa,
        "Other information systems of the entity are not covered, nor how often anybody has to examine: the text sets no interval.",
        HIPAA,
    ),
    Provision(
        "Regulation (EU) 2016/679 (GDPR), Article 17",
        "The data subject's right to have personal data erased without undue delay where one of the grounds of paragraph 1 applies, "
        "except as far as processing is necessary for what paragraph 3 lists, such as a legal obligation or legal claims.",
        _gdpr,
        "Whether a ground or an exception applies is decided by people. What a writer put into a public field cannot be erased; the "
        "log refuses known personal fields in the clear.",
        GDPR,
    ),
)
