"""What the records of a call together say: which model, who asked, how it ended, how it was verified. As the log tells it, not verified.

Each of these is said once or moves one way only, so that a writer who goes on appending to a call changes its state a few times at most:

    model, caller, latency   of the first record that says it
    outcome     open → cancelled → error → refused → ok         a call that one node failed and another answered was answered
    verdict     unverified → signed → attested → proven → rejected → replaced
"""

from __future__ import annotations

from dataclasses import dataclass, field

from oracle.audit.record import Record
from oracle.audit.terms import facet
from oracle.encoding import PROOF_SELECTOR, QUORUM_BLS_SELECTOR, QUORUM_ECDSA_SELECTOR, parse_bytes32, to_hex, unpack_policy
from oracle.errors import MalformedInput, PolicyRejected
from oracle.records import Bytes32, EntryKind

OUTCOMES = ("open", "cancelled", "error", "refused", "ok")
VERDICTS = ("unverified", "signed", "attested", "proven", "rejected", "replaced")
EVIDENCE = ("none", "quorum", "enclave", "proof", "quorum+proof")
_QUORUMS, _PROOF = {to_hex(QUORUM_ECDSA_SELECTOR), to_hex(QUORUM_BLS_SELECTOR)}, to_hex(PROOF_SELECTOR)


@dataclass(slots=True)
class CallState:
    """One call, as of the records entered so far."""

    call_id: Bytes32
    first: int  # index of its first record
    time: int  # of its first record, microseconds since 1970
    model: str = ""
    model_id: str = ""
    caller: str = ""
    outcome: str = OUTCOMES[0]
    verdict: str = VERDICTS[0]
    evidence: str = EVIDENCE[0]
    latency_microseconds: int | None = None
    transaction: Bytes32 | None = None
    records: int = 0
    terms: frozenset[str] = field(default_factory=frozenset, compare=False)

    def enter(self, record: Record) -> None:
        """Takes in the call's next record; `terms` is then what every record of the call is found by."""
        fields = record.fields
        self.records += 1
        self.model = self.model or _text(fields.get("gen_ai.request.model")) or _text(fields.get("gen_ai.response.model"))
        self.model_id = self.model_id or _text(fields.get("audit.model_id"))
        self.caller = self.caller or _text(fields.get("audit.caller")) or _text(fields.get("audit.request.requester"))
        if self.latency_microseconds is None:
            latency = fields.get("audit.latency_microseconds")
            self.latency_microseconds = latency if type(latency) is int and latency >= 0 else None
        self.outcome = _later(OUTCOMES, self.outcome, _outcome(record))
        self.verdict = _later(VERDICTS, self.verdict, _text(fields.get("audit.verdict")))
        if record.kind is EntryKind.RECEIPT:
            self._enter_receipt(record)
        self.terms = self.find_terms()

    def _enter_receipt(self, record: Record) -> None:
        found = _read_evidence(record)
        self.evidence = _later(EVIDENCE, self.evidence, found)
        verdict = "proven" if "proof" in found else "attested" if found == "enclave" else "signed" if found == "quorum" else ""
        self.verdict = _later(VERDICTS, self.verdict, verdict)
        try:
            self.transaction = parse_bytes32(record.fields.get("audit.transaction"), "audit.transaction")
        except MalformedInput:
            self.transaction = self.transaction or None

    def find_terms(self) -> frozenset[str]:
        terms = [facet("outcome", self.outcome), facet("verdict", self.verdict), facet("evidence", self.evidence)]
        terms += [facet("model", name) for name in (self.model, self.model_id) if name]
        terms += [facet("caller", self.caller)] if self.caller else []
        return frozenset(terms)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _later(words: tuple[str, ...], old: str, new: str) -> str:
    """The one further on; a word that is not one of them moves nothing."""
    return new if new in words and words.index(new) > words.index(old) else old


def _outcome(record: Record) -> str:
    """What one record says of how the call ended. Another output than the quorum's is no failure of the call."""
    said = _text(record.fields.get("audit.outcome"))
    if record.kind is EntryKind.RESULT:
        return said or "ok"
    if record.kind is EntryKind.ERROR and record.fields.get("error.type") != "minority_claim":
        return said or "error"
    return "ok" if record.kind is EntryKind.RECEIPT else ""


def _read_evidence(record: Record) -> str:
    """Which kinds of evidence a receipt tells of; where it shows none, those that its policy demands: the contract took nothing less."""
    selectors = record.fields.get("audit.evidence_selectors")
    if isinstance(selectors, list) and selectors:
        kinds = [name for name, known in (("quorum", _QUORUMS), ("proof", {_PROOF})) if not known.isdisjoint(map(str, selectors))]
        return "+".join(kinds) or "none"
    try:
        policy = unpack_policy(parse_bytes32(record.fields.get("audit.policy"), "audit.policy"))
    except (MalformedInput, PolicyRejected):
        return "none"
    return "+".join([name for name, is_demanded in (("quorum", policy.quorum), ("proof", policy.proof)) if is_demanded]) or "enclave"
