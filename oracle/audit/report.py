"""The numbered steps of an audit, as they are printed and handed on.

| # | Step                  | Holds when                                                                                       |
|---|-----------------------|--------------------------------------------------------------------------------------------------|
| 1 | entry                 | the record is canonical, is what its leaf hash says, is linked to its call, its bodies have their digests |
| 2 | inclusion             | the leaf is in the tree of the checkpoint                                                         |
| 3 | checkpoint signature  | the checkpoint is signed by the log's key                                                         |
| 4 | anchors               | the tree extends every head of this log that the chain accepted                                   |
| 5 | claim                 | request id, model id and claim digest are those of the recomputed structs; the request was really made |
| 6 | signatures            | the evidence in the delivery's calldata satisfies the policy, with operators registered at that block |
| 7 | on-chain receipt      | the canonical chain has the delivery, with the digest, block and callback result that were logged |
| 8 | re-execution          | the model's files give the same output again (only when they are at hand)                         |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from oracle.errors import AuditFailed, Rejected

ENTRY, INCLUSION, CHECKPOINT, ANCHORS, CLAIM, SIGNATURES, RECEIPT, EXECUTION = range(1, 9)

NAMES = {
    ENTRY: "entry",
    INCLUSION: "inclusion",
    CHECKPOINT: "checkpoint signature",
    ANCHORS: "anchors",
    CLAIM: "claim",
    SIGNATURES: "signatures",
    RECEIPT: "on-chain receipt",
    EXECUTION: "re-execution",
}


class StepStatus(StrEnum):
    """A step that does not hold is not here: it raises AuditFailed."""

    PASSED = "passed"
    ABSENT = "absent"  # nothing there to check, and `detail` says what is missing: not a pass


@dataclass(frozen=True, slots=True)
class AuditStep:
    """One step that was gone through."""

    number: int
    name: str
    status: StepStatus
    detail: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was audited, step by step. `remarks` are things an auditor should know that are no failure."""

    subject: str
    steps: tuple[AuditStep, ...]
    remarks: tuple[str, ...] = ()
    is_witnessed: bool | None = None  # whether the quorum of a witness policy is met; None where none was given

    @property
    def is_complete(self) -> bool:
        """Whether every step found something to check, and enough witnesses cosigned where a policy asks for them."""
        return all(step.status is StepStatus.PASSED for step in self.steps) and self.is_witnessed is not False


OnStep = Callable[[AuditStep], None]


class StepRecorder:
    """Collects steps, and tells of each as it is done."""

    def __init__(self, on_step: OnStep | None = None) -> None:
        self.steps: list[AuditStep] = []
        self.remarks: list[str] = []
        self.is_witnessed: bool | None = None
        self._on_step = on_step

    def passed(self, number: int, detail: str) -> None:
        self._add(AuditStep(number, NAMES[number], StepStatus.PASSED, detail))

    def absent(self, number: int, detail: str) -> None:
        self._add(AuditStep(number, NAMES[number], StepStatus.ABSENT, detail))

    def remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    def _add(self, step: AuditStep) -> None:
        self.steps.append(step)
        if self._on_step is not None:
            self._on_step(step)

    def report(self, subject: str) -> AuditReport:
        return AuditReport(subject, tuple(self.steps), tuple(self.remarks), self.is_witnessed)


@contextmanager
def failing_at(number: int, subject: str = "") -> Iterator[None]:
    """Whatever is rejected inside fails the audit at this step. The world's errors pass through: a dead RPC is not a failed audit."""
    prefix = f"step {number}, {NAMES[number]}" + (f", {subject}" if subject else "")
    try:
        yield
    except AuditFailed:
        raise
    except Rejected as error:
        raise AuditFailed(number, f"{prefix}: {error.what}", error.expected, error.got) from error


def require_equal(what: str, expected: object, got: object) -> None:
    """Raises Rejected, to be given its step by `failing_at`."""
    if expected != got:
        raise Rejected(what, _show(expected), _show(got))


def _show(value: object) -> object:
    if value is None:
        return "none"
    return "0x" + value.hex() if isinstance(value, bytes) else value
