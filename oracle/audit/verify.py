"""Auditing one call: steps 1 to 8 of `oracle.audit.report`, in order, stopping loudly at the first that does not hold.

Nobody is trusted: the log's key and the chain are given by the auditor, everything else is recomputed. What an index service says about
where a call's records are is checked against the links between them; records after the last one it shows cannot be missed that way,
so an auditor who needs that reads the whole log (`oracle.audit.whole`), as is done here where no index is offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from oracle.audit.call import ClaimChecks
from oracle.audit.late import is_late
from oracle.audit.note import parse
from oracle.audit.onchain import ReExecute, audit_on_chain
from oracle.audit.record import parse_record
from oracle.audit.report import ANCHORS, CHECKPOINT, ENTRY, INCLUSION, AuditReport, OnStep, StepRecorder, failing_at, require_equal
from oracle.audit.view import LoggedRecord, LogView, count_hidden
from oracle.encoding import to_hex
from oracle.errors import EntryRejected
from oracle.records import Anchor, Bytes32
from oracle.seams import ChainReader


def verify_call(
    view: LogView,
    chain: ChainReader,
    log_id: Bytes32 | None,
    subject: Bytes32 | int,
    checks: ClaimChecks,
    on_step: OnStep | None = None,
    re_execute: ReExecute | None = None,
) -> AuditReport:
    """Audits the call with a request id, or the call of the record at an index (of a record of no call: steps 1 to 4).

    `log_id` is AuditAnchor's id of this log (origin and anchor key); without it no anchor can be looked up, and step 4 says so.
    Raises AuditFailed at the first step that does not hold; ChainError, PeerError or StoreError when the world does not answer.
    """
    steps = StepRecorder(on_step)
    request_id, records = _find_call(view, subject)
    _audit_entries(view, steps, records)
    _audit_inclusion(view, steps, records)
    audit_checkpoint(view, steps)
    audit_anchors(view, steps, None if log_id is None else chain.anchors(log_id), records[-1].index)
    if request_id is None:
        return steps.report(f"entry {records[0].index}")
    audit_on_chain(view, steps, chain, records, checks, re_execute)
    return steps.report(f"call {to_hex(request_id)}")


def _find_call(view: LogView, subject: Bytes32 | int) -> tuple[Bytes32 | None, list[LoggedRecord]]:
    if isinstance(subject, int):
        named = view.read(subject)
        request_id = named.record.request_id
        if request_id is None:
            return None, [named]
        records = read_call(view, request_id)
        with failing_at(ENTRY):
            require_equal(f"entry {subject} among the records of its call", True, named in records)
        return request_id, records
    return subject, read_call(view, subject)


def read_call(view: LogView, request_id: Bytes32) -> list[LoggedRecord]:
    """Every record of a call, oldest first, each held against the tree, and linked. Raises AuditFailed."""
    with failing_at(ENTRY, f"call {to_hex(request_id)}"):
        found = view.source.find_entries(request_id)
        indices = sorted(set(found)) if found is not None else _scan(view, request_id)
        if not indices:
            raise EntryRejected("records of the call", "at least one", "none in this log")
    records = [view.read(index) for index in indices]
    with failing_at(ENTRY, f"call {to_hex(request_id)}"):
        require_linked(request_id, records)
    return records


def _scan(view: LogView, request_id: Bytes32) -> list[int]:
    """Where the records of a call are, from the bundles themselves. The text is looked for first: parsing is what takes the time."""
    needle = to_hex(request_id).encode()
    candidates = (i for i in range(view.size) if needle in view.read_bytes(i))
    return [i for i in candidates if parse_record(view.read_bytes(i)).call_id == request_id]


def require_linked(request_id: Bytes32, records: Sequence[LoggedRecord]) -> None:
    """Each record names the one before it, the first none: no record between two shown ones was left out. Raises Rejected."""
    for logged in records:
        require_equal(f"request id of entry {logged.index}", request_id, logged.record.call_id)
    require_equal(f"record of the call before entry {records[0].index}", None, records[0].record.previous)
    for before, after in pairwise(records):
        require_equal(f"record of the call before entry {after.index}", before.place, after.record.previous)


def _audit_entries(view: LogView, steps: StepRecorder, records: Sequence[LoggedRecord]) -> None:
    shown = hidden = 0
    for logged in records:
        with failing_at(ENTRY, f"entry {logged.index}"):
            content = view.content(logged)
        hidden += count_hidden(logged.record, content)
        shown += 0 if content is None else len(content.bodies) + (content.sealed is not None)
    if late := [str(logged.index) for logged in records if is_late(logged.record.fields)]:
        steps.remark(f"entries {', '.join(late)} were written after the fact: the log did not answer, and their writer went on without it")
    if hidden:
        steps.remark(f"{hidden} bodies are not shown by this log location, or erased: only their digests were checked")
    kinds = ", ".join(f"{logged.index} {logged.record.kind} by {logged.record.writer}" for logged in records)
    steps.passed(ENTRY, f"{len(records)} records ({kinds}); {shown} bodies have their digests")


def _audit_inclusion(view: LogView, steps: StepRecorder, records: Sequence[LoggedRecord]) -> None:
    for logged in records:
        with failing_at(INCLUSION, f"entry {logged.index}"):
            view.verify_inclusion(logged.index, logged.leaf_hash)
    steps.passed(INCLUSION, f"{len(records)} leaves are in the tree of {view.size} with root {view.checkpoint.root.hex()}")


def audit_checkpoint(view: LogView, steps: StepRecorder) -> None:
    """Verified when the view was opened; told here, in its place."""
    signed = f"size {view.size} signed by {view.key.name}+{view.key.key_id.hex()}"
    verdict = view.witnesses
    if verdict is None:
        steps.passed(CHECKPOINT, signed)
        if others := len(parse(view.checkpoint.note.encode()).signatures) - 1:
            steps.remark(f"{others} more signatures on the checkpoint were not checked: no witness policy was given")
        return
    steps.is_witnessed = verdict.is_met
    steps.passed(CHECKPOINT, f"{signed}; {verdict.text}" if verdict.is_met else signed)
    if not verdict.is_met:
        steps.remark(verdict.text)


def audit_anchors(view: LogView, steps: StepRecorder, anchors: Sequence[Anchor] | None, last_index: int) -> None:
    """Step 4, against every anchor of this log on chain; None when it is not known which are this log's."""
    if anchors is None:
        steps.absent(ANCHORS, "no anchor key was given: which anchors are of this log is not known")
        return
    if view.is_copy and (newer := [anchor for anchor in anchors if anchor.size > view.size]):
        anchors = [anchor for anchor in anchors if anchor.size <= view.size]
        last = f"the last of size {newer[-1].size} in block {newer[-1].block_number}"
        steps.remark(f"the chain has {len(newer)} newer anchors, {last}: this copy ends at {view.size} entries and shows no later ones")
    current = view
    for anchor in anchors:
        with failing_at(ANCHORS, f"anchor of size {anchor.size} in block {anchor.block_number}"):
            current = current.reaching(anchor.size)
            current.verify_anchor(anchor)
    if not anchors:
        steps.absent(ANCHORS, f"the chain has no anchor of this {'copy' if view.is_copy else 'log yet'}")
        return
    newest = anchors[-1]
    if last_index < newest.size:
        cover = next(anchor for anchor in anchors if last_index < anchor.size)
        steps.passed(ANCHORS, f"consistent with {len(anchors)} anchors; entry {last_index} was anchored in block {cover.block_number}")
    else:
        steps.passed(ANCHORS, f"consistent with {len(anchors)} anchors; entry {last_index} is newer than the last, of size {newest.size}")
