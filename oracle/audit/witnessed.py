"""What the witnesses of a policy say of a log, in one judgement: who cosigned, up to where, and whether that is enough.

A log's newest checkpoint is often a moment ahead of its witnesses, so two are looked at: the newest, and the one the log calls witnessed.
The second counts as far as the newest provably extends it. An unmet quorum is told, not raised: what to make of it is for people. What is
false is raised: a false cosignature under the key of a witness of the policy, or a witnessed checkpoint that the log does not extend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.cosign import Cosignature, read_cosignatures
from oracle.audit.note import VerifierKey
from oracle.audit.policy import NONE, Policy
from oracle.audit.source import LogSource
from oracle.errors import NoteRejected
from oracle.records import Checkpoint


class CheckedView(Protocol):
    """The part of `oracle.audit.view.LogView` that is needed here."""

    source: LogSource
    key: VerifierKey
    checkpoint: Checkpoint
    is_copy: bool

    def verify_extends(self, older: Checkpoint) -> None:
        """Raises ProofRejected."""
        ...

    def reaching(self, size: int) -> CheckedView:
        """This view, or a later one of the same log that extends it. Raises ProofRejected."""
        ...


@dataclass(frozen=True, slots=True)
class WitnessVerdict:
    """The judgement. `size`: how many of the log's entries the newest checkpoint with enough cosignatures covers, 0 where there is none."""

    is_met: bool
    size: int
    log_size: int
    names: tuple[str, ...]  # of the policy's witnesses: who cosigned that checkpoint, or the one of the two with more cosignatures
    missing: tuple[str, ...]
    time: int | None  # POSIX seconds: the oldest of these cosignatures, by its witness's clock

    @property
    def text(self) -> str:
        """In plain words."""
        if self.is_met and not self.names:
            return "the policy asks for no witness"
        by = ", ".join(self.names) or "nobody"
        if not self.is_met:
            return f"witness quorum NOT met: cosigned by {by}; no cosignature of {', '.join(self.missing)}"
        newer = self.log_size - self.size
        covered = "all entries" if not newer else f"the first {self.size} entries; the newest {newer} are not witnessed yet"
        return f"witness quorum met by {by} for {covered}"


def judge_witnesses(view: CheckedView, policy: Policy, now: float | None) -> WitnessVerdict:
    """`now` is POSIX seconds, to hold cosignatures' times against. Raises NoteRejected or ProofRejected where something is false."""
    if policy.logs and view.key not in [log.key for log in policy.logs]:
        raise NoteRejected("witness policy", f"a line for the log {view.key}", "others")
    newest = judge_checkpoint(view.checkpoint, view.checkpoint.size, policy, now)
    if newest.is_met:
        return newest
    note = view.source.read_witnessed()
    if note is None:
        return newest
    witnessed = open_checkpoint(note, view.key)
    if view.is_copy and witnessed.size > view.checkpoint.size:  # taken while the log grew: what it has not is not judged
        return newest
    view.reaching(witnessed.size).verify_extends(witnessed)
    older = judge_checkpoint(witnessed, view.checkpoint.size, policy, now)
    return older if older.is_met or len(older.names) > len(newest.names) else newest


def judge_checkpoint(checkpoint: Checkpoint, log_size: int, policy: Policy, now: float | None) -> WitnessVerdict:
    """What one checkpoint, whose log signature was verified, says by itself. Raises NoteRejected for a false cosignature."""
    found = read_cosignatures(checkpoint.note.encode(), policy.keys, now)
    names = _names(policy, found)
    is_met = policy.is_met(names)
    missing = tuple(sorted(witness.name for witness in policy.witnesses if witness.name not in names))
    if policy.quorum == NONE:
        names, missing = (), ()
    covered = min(checkpoint.size, log_size) if is_met else 0
    return WitnessVerdict(is_met, covered, log_size, names, missing, min((c.time for c in found), default=None))


def _names(policy: Policy, found: Sequence[Cosignature]) -> tuple[str, ...]:
    return tuple(sorted(policy.name_of(cosignature.key) for cosignature in found))
