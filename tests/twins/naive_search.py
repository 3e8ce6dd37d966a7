"""Searching a log word for word as the documentation says it, by reading every record: the slow truth beside `oracle.audit.index`."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from hashlib import sha256
from typing import Any

from oracle.audit.index import Filter

OUTCOMES = ["open", "cancelled", "error", "refused", "ok"]
VERDICTS = ["unverified", "signed", "attested", "proven", "rejected", "replaced"]
EVIDENCE = ["none", "quorum", "enclave", "proof", "quorum+proof"]
QUORUM, PROOF = "0xc18e95f1", "0xe82f86f5"  # keccak256 of "affidavit.verifier.quorum-ecdsa.v1" and "….proof.v1", four bytes


def texts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Every string in a record that may be searched, with its field's name."""
    found = []
    for name, value in record.items():
        if name in ("audit.record", "audit.time", "audit.log.time"):
            continue
        found += [(name, text) for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    return found


def is_hex(text: str) -> bool:
    return re.fullmatch("(0x)?[0-9a-fA-F]{16,128}", text) is not None


def digits(text: str) -> str:
    return text.lower().removeprefix("0x")


def words(text: str) -> set[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda match: match[0].replace("-", ""), folded)
    return set(re.findall(r"\w+", plain))


class NaiveSearch:
    """Over records (bytes) in their order."""

    def __init__(self, records: list[dict[str, Any]], data: list[bytes]) -> None:
        self.records = records
        self.leaves = [sha256(b"\x00" + item).hexdigest() for item in data]
        self.calls: dict[str, list[int]] = {}
        for index, record in enumerate(records):
            if call := self.call_id(record):
                self.calls.setdefault(call, []).append(index)

    @staticmethod
    def call_id(record: dict[str, Any]) -> str | None:
        return record.get("audit.request_id") or record.get("audit.call_id")

    def state(self, index: int) -> dict[str, Any]:
        """What the call of a record says, of all its records; nothing for a record of no call."""
        call = self.call_id(self.records[index])
        return {} if call is None else summarise([self.records[i] for i in self.calls[call]])

    def matches(self, index: int, wanted: Filter) -> bool:
        record, state = self.records[index], self.state(index)
        strings = texts(record)
        own = {"kind": record["audit.kind"], "writer": record["audit.writer"]}
        for name in ("kind", "writer", "caller", "outcome", "verdict", "evidence"):
            if (value := getattr(wanted, name)) and (own | state).get(name) != value:
                return False
        if wanted.model and wanted.model not in (state.get("model"), state.get("model_id")):
            return False
        hexes = {digits(text) for _, text in strings if is_hex(text)} | {self.leaves[index]}
        if any(value and digits(value) not in hexes for value in (wanted.hash, wanted.call_id)):
            return False
        transactions = {digits(t) for name, t in strings if name in ("audit.transaction", "audit.request.transaction") and is_hex(t)}
        if wanted.transaction and digits(wanted.transaction) not in transactions:
            return False
        found = set().union(*(words(text) for _, text in strings if not is_hex(text)))
        if wanted.text and not words(wanted.text) <= found:
            return False
        time = datetime.fromisoformat(record["audit.time"])
        return not (wanted.start and time < wanted.start) and not (wanted.end and time >= wanted.end)

    def search(self, wanted: Filter) -> list[int]:
        """Newest first."""
        return [index for index in reversed(range(len(self.records))) if self.matches(index, wanted)]


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    def first(*names: str) -> str:
        found = (record[name] for record in records for name in names if isinstance(record.get(name), str) and record[name])
        return next(found, "")

    outcomes, verdicts, evidence = ["open"], ["unverified"], ["none"]
    for record in records:
        kind = record["audit.kind"]
        if kind == "result":
            outcomes.append(record.get("audit.outcome", "ok"))
        elif kind == "error" and record.get("error.type") != "minority_claim":
            outcomes.append(record.get("audit.outcome", "error"))
        verdicts.append(record.get("audit.verdict", ""))
        if kind == "receipt":
            outcomes.append("ok")
            selectors = record.get("audit.evidence_selectors", [])
            kinds = [name for name, selector in (("quorum", QUORUM), ("proof", PROOF)) if selector in selectors]
            evidence.append("+".join(kinds))
            verdicts.append("proven" if "proof" in kinds else "signed" if kinds else "")
    return {
        "model": first("gen_ai.request.model", "gen_ai.response.model"),
        "model_id": first("audit.model_id"),
        "caller": first("audit.caller", "audit.request.requester"),
        "outcome": max((word for word in outcomes if word in OUTCOMES), key=OUTCOMES.index),
        "verdict": max((word for word in verdicts if word in VERDICTS), key=VERDICTS.index),
        "evidence": max((word for word in evidence if word in EVIDENCE), key=EVIDENCE.index),
        "latency": next((r["audit.latency_microseconds"] for r in records if "audit.latency_microseconds" in r), None),
    }
