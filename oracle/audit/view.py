"""A log as an auditor sees it: a verified checkpoint, and untrusted bytes held against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.content import Content, check_content
from oracle.audit.note import VerifierKey
from oracle.audit.policy import Policy
from oracle.audit.record import Previous, Record, parse_record
from oracle.audit.report import CHECKPOINT, ENTRY, INCLUSION, failing_at
from oracle.audit.source import LogSource
from oracle.audit.tiles import ENTRIES, WIDTH, parse_bundle, subtree_reader, tile_at
from oracle.audit.tree import (
    compute_consistency_from,
    compute_inclusion_from,
    compute_root_from,
    hash_leaf,
    verify_consistency,
    verify_inclusion,
)
from oracle.audit.witnessed import WitnessVerdict, judge_witnesses
from oracle.errors import AuditFailed, EntryRejected, ProofRejected
from oracle.records import Anchor, Bytes32, Checkpoint

_BODY_FIELDS = (
    "audit.input_digest",
    "audit.output_digest",
    "audit.signature_digest",
    "audit.request.signature_digest",
    "audit.proof_digest",
)
_BODY_LISTS = ("audit.evidence_digests",)


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record with its place."""

    index: int
    leaf_hash: Bytes32
    record: Record

    @property
    def place(self) -> Previous:
        return Previous(self.index, self.leaf_hash)


class LogView:
    """One checkpoint of one log. Opening it is step 3: nothing else can be read without its size and root.

    `is_copy` is for the auditor to say: the source is a copy that was taken some time ago, and the chain may be ahead of it. Newer anchors
    are then a remark; of the log itself they are a rollback.
    """

    def __init__(
        self, source: LogSource, key: VerifierKey, policy: Policy | None = None, now: float | None = None, is_copy: bool = False
    ) -> None:
        """With a policy its witnesses are judged, at the time `now` in POSIX seconds. Raises AuditFailed (step 3)."""
        self.source = source
        self.is_copy = is_copy
        self.key = key
        with failing_at(CHECKPOINT):
            self.checkpoint = open_checkpoint(source.read_checkpoint(), key)
        self.size = self.checkpoint.size
        self.subtree = subtree_reader(self.size, source.read_tile)
        self.bundle = lru_cache(maxsize=64)(self._read_bundle)
        self._contents: dict[int, Content | None] = {}
        with failing_at(CHECKPOINT, "witnesses"):
            self.witnesses: WitnessVerdict | None = None if policy is None else judge_witnesses(self, policy, now)

    def _read_bundle(self, number: int) -> list[bytes]:
        tile = tile_at(ENTRIES, number, self.size)
        return parse_bundle(self.source.read_tile(tile), tile.width)

    def read_bytes(self, index: int) -> bytes:
        """The leaf's bytes. Raises EntryRejected for an index beyond the checkpoint or a malformed bundle."""
        if not 0 <= index < self.size:
            raise EntryRejected("entry index", f"one below the size {self.size}", index)
        return self.bundle(index // WIDTH)[index % WIDTH]

    def read(self, index: int) -> LoggedRecord:
        """Step 1 for one record, without its call: it parses, and is what the tree says. Raises AuditFailed."""
        with failing_at(ENTRY, f"entry {index}"):
            data = self.read_bytes(index)
            leaf_hash = hash_leaf(data)
            self._hold_against_tile(index, leaf_hash)
            return LoggedRecord(index, leaf_hash, parse_record(data))

    def parse(self, index: int) -> LoggedRecord:
        """One record as it stands in its bundle, not held against the tree: for those who have checked the whole, or will."""
        data = self.read_bytes(index)
        return LoggedRecord(index, hash_leaf(data), parse_record(data))

    def _hold_against_tile(self, index: int, leaf_hash: Bytes32) -> None:
        """Where bundle and tile disagree, the root says which of them was changed."""
        with failing_at(INCLUSION, f"entry {index}"):
            in_tile = self.subtree(0, index)
        if in_tile == leaf_hash:
            return
        try:
            self.verify_inclusion(index, leaf_hash)
        except ProofRejected as error:
            raise EntryRejected(f"leaf hash of entry {index}", in_tile.hex(), leaf_hash.hex()) from error
        raise AuditFailed(INCLUSION, f"step {INCLUSION}, inclusion, entry {index}: leaf hash in its tile", leaf_hash.hex(), in_tile.hex())

    def verify_inclusion(self, index: int, leaf_hash: Bytes32) -> None:
        """Raises ProofRejected."""
        proof = compute_inclusion_from(index, self.size, self.subtree)
        verify_inclusion(leaf_hash, index, self.size, proof, self.checkpoint.root)

    def reaching(self, size: int) -> LogView:
        """A view of at least `size` entries: this one, or the log as it is now, which may have grown since this one was read.

        Raises AuditFailed (step 3) for a checkpoint that is not the log's, ProofRejected where it does not extend this view's, or where
        the log still ends before `size`: it was rolled back.
        """
        if size <= self.size:
            return self
        current = LogView(self.source, self.key)
        if current.size < size:
            raise ProofRejected("log", f"at least the {size} entries it is known to have had", current.size)
        current.verify_extends(self.checkpoint)
        return current

    def verify_anchor(self, anchor: Anchor) -> None:
        """The tree extends the anchored head. Raises ProofRejected: a truncated, rewound or forked log."""
        if anchor.size > self.size:
            raise ProofRejected("log", f"at least the {anchor.size} entries anchored in block {anchor.block_number}", self.size)
        proof = compute_consistency_from(anchor.size, self.size, self.subtree)
        verify_consistency(anchor.size, self.size, proof, anchor.root, self.checkpoint.root)

    def verify_extends(self, older: Checkpoint) -> None:
        """The tree extends one this log signed before, and that somebody kept. Raises ProofRejected: proof of a fork or a rollback."""
        if older.size > self.size:
            raise ProofRejected("log", f"at least the {older.size} entries of an older checkpoint", self.size)
        if older.size == 0:  # every log extends the empty one; its root was checked when the checkpoint was read
            return
        proof = compute_consistency_from(older.size, self.size, self.subtree)
        verify_consistency(older.size, self.size, proof, older.root, self.checkpoint.root)

    def root_at(self, size: int) -> Bytes32:
        """The root of the first `size` leaves, by the tiles."""
        return compute_root_from(size, self.subtree)

    def contents(self, records: Sequence[LoggedRecord]) -> dict[int, Content]:
        """What the log shows of the content of neighbouring records, by index, held against them.

        Raises EntryRejected or MalformedInput for content that is not what a record commits to.
        """
        kept = {logged.index: logged.record for logged in records if logged.record.retention is not None}
        if not kept:
            return {}
        shown = self.source.read_contents(min(kept), max(kept) + 1)
        for index, content in shown.items():
            if index in kept:
                check_shown(content, kept[index], index)
        return {index: content for index, content in shown.items() if index in kept}

    def content(self, logged: LoggedRecord) -> Content | None:
        """What the log shows of one record's content, None where it shows none. Asked for once. Raises as `contents`."""
        if logged.index not in self._contents:
            self._contents[logged.index] = self.contents([logged]).get(logged.index)
        return self._contents[logged.index]

    def body(self, logged: LoggedRecord, name: str) -> bytes | None:
        """The body whose digest stands in a field of a record, None where the log does not show it. Raises as `contents`."""
        content = self.content(logged)
        return None if content is None else content.bodies.get(name)


def check_shown(content: Content, record: Record, index: int) -> None:
    """Returns where the content is what the record of that index commits to. Raises EntryRejected."""
    try:
        check_content(content, record.fields, record.sealed)
    except EntryRejected as error:
        raise EntryRejected(f"entry {index}: {error.what}", error.expected, error.got) from error


def count_hidden(record: Record, content: Content | None) -> int:
    """How many bodies, and sealed fields taken as one, a record commits to that are not shown."""
    if record.retention is None:
        return 0
    shown = set() if content is None else set(content.bodies)
    is_unopened = record.sealed is not None and (content is None or content.sealed is None)
    return sum(name not in shown for name in body_names(record)) + is_unopened


def body_names(record: Record) -> list[str]:
    """The public fields that a record may keep a body to ("name[i]" in a list)."""
    names = [name for name in _BODY_FIELDS if name in record.fields]
    for name in _BODY_LISTS:
        items = record.fields.get(name)
        names += [f"{name}[{position}]" for position in range(len(items) if isinstance(items, list) else 0)]
    return names
