"""The log as the office reads it: the newest checkpoint, verified, and content from custody instead of over HTTP.

Verifying a call needs bodies (a signature, an input), and shows none: they are held against their digests here and do not leave, so no
record tells of it. What people are shown goes through `oracle.office.duties.Duties.read_disclosed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from oracle.audit.call import ClaimChecks
from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.content import Content, ContentState
from oracle.audit.note import VerifierKey
from oracle.audit.proof import LogProof, write_proof
from oracle.audit.report import NAMES, AuditReport, AuditStep
from oracle.audit.source import LogSource
from oracle.audit.tiles import Tile, subtree_reader
from oracle.audit.tree import compute_inclusion_from
from oracle.audit.verify import verify_call
from oracle.audit.view import LoggedRecord, LogView
from oracle.errors import AuditFailed, RecordUnknown
from oracle.records import Bytes32, Checkpoint
from oracle.seams import ChainReader


class Contents(Protocol):
    """What this needs of custody."""

    def state(self, index: int) -> ContentState: ...
    def content(self, index: int) -> Content | None: ...


class CustodySource:
    """A log's files from one place, its content from another."""

    def __init__(self, files: LogSource, custody: Contents) -> None:
        self._files = files
        self._custody = custody

    def read_checkpoint(self) -> bytes:
        return self._files.read_checkpoint()

    def read_witnessed(self) -> bytes | None:
        return self._files.read_witnessed()

    def read_tile(self, tile: Tile) -> bytes:
        return self._files.read_tile(tile)

    def read_contents(self, first: int, end: int) -> Mapping[int, Content]:
        found = ((index, self._custody.content(index)) for index in range(first, end))
        return {index: content for index, content in found if content is not None}

    def find_entries(self, request_id: Bytes32) -> Sequence[int] | None:
        return self._files.find_entries(request_id)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an audit. `failed` is the step that does not hold."""

    steps: tuple[AuditStep, ...]
    remarks: tuple[str, ...]
    failed: AuditFailed | None

    @property
    def text(self) -> str:
        """In plain words."""
        if self.failed is not None:
            return f"Does not hold: step {self.failed.step}, {NAMES[self.failed.step]}."
        absent = [step.name for step in self.steps if step.status.value == "absent"]
        if absent:
            return "Every step that could be checked holds; nothing to check for: " + ", ".join(absent) + "."
        return "Every step holds."

    def to_json(self) -> dict[str, Any]:
        steps = [{"number": s.number, "name": s.name, "status": str(s.status), "detail": s.detail} for s in self.steps]
        if self.failed is not None:
            number = self.failed.step
            steps.append({"number": number, "name": NAMES[number], "status": "failed", "detail": str(self.failed)})
        return {"holds": self.failed is None, "verdict": self.text, "steps": steps, "remarks": list(self.remarks)}


class LogReader:
    """Views of one log. Safe to use from several threads. Raises AuditFailed (step 3) where the checkpoint is not the log's."""

    def __init__(self, source: LogSource, key: VerifierKey) -> None:
        self.source = source
        self.key = key
        self._lock = Lock()
        self._newest: tuple[bytes, LogView] | None = None

    def view(self) -> LogView:
        """At the newest checkpoint; the one of before, with what it has read, while that has not changed."""
        note = self.source.read_checkpoint()
        with self._lock:
            if self._newest is None or self._newest[0] != note:
                self._newest = (note, LogView(self.source, self.key))
            return self._newest[1]

    def size(self) -> int:
        return self.view().size

    def read(self, index: int) -> tuple[LogView, LoggedRecord, bytes]:
        """An entry with the bytes of its leaf. Raises RecordUnknown beyond the newest checkpoint."""
        view = self.view()
        if not 0 <= index < view.size:
            raise RecordUnknown("entry", f"an index below the log's size {view.size}", index)
        logged = view.read(index)
        return view, logged, view.read_bytes(index)

    def call_of(self, view: LogView, logged: LoggedRecord) -> list[LoggedRecord]:
        """Every record of an entry's call, itself among them; itself alone where it belongs to none."""
        call_id = logged.record.call_id
        found = None if call_id is None else self.source.find_entries(call_id)
        indices = {logged.index, *(index for index in found or () if index < view.size)}
        return [view.read(index) for index in sorted(indices)]

    def proof(self, view: LogView, index: int) -> str:
        """The entry's `.tlog-proof`; to the newest checkpoint that witnesses cosigned, where that covers it."""
        checkpoint, subtree = view.checkpoint, view.subtree
        witnessed = self.witnessed()
        if witnessed is not None and index < witnessed.size:
            checkpoint, subtree = witnessed, subtree_reader(witnessed.size, self.source.read_tile)
        hashes = compute_inclusion_from(index, checkpoint.size, subtree)
        return write_proof(LogProof(index, tuple(hashes), checkpoint.note, view.read_bytes(index))).decode()

    def witnessed(self) -> Checkpoint | None:
        """What the log says that enough witnesses cosigned; signed by it in any case. Raises NoteRejected."""
        note = self.source.read_witnessed()
        return None if note is None else open_checkpoint(note, self.key)

    def verify(self, chain: ChainReader, log_id: Bytes32 | None, subject: int, checks: ClaimChecks) -> Verdict:
        """The numbered steps of `oracle.audit.report` for an entry's call. Raises RecordUnknown; the world's errors pass through."""
        steps: list[AuditStep] = []
        view = self.view()
        if not 0 <= subject < view.size:
            raise RecordUnknown("entry", f"an index below the log's size {view.size}", subject)
        try:
            report: AuditReport = verify_call(view, chain, log_id, subject, checks, steps.append)
        except AuditFailed as failure:
            return Verdict(tuple(steps), (), failure)
        return Verdict(report.steps, report.remarks, None)
