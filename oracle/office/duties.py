"""What people do with content: disclose it for a time, hold it, erase it, judge it. The rules beside the states of `oracle.office.cases`.

Raw content leaves in one place, `read_disclosed`: for the one who asked, within the time that another person approved, for the entries that
were named; and only after the log has a record of it. Keys are destroyed in one place, `_advance`: after the log has the erasure's record.
What a hold keeps is not destroyed, whenever it was placed: custody looks at the holds in the transaction that destroys.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Engine

from oracle import journal
from oracle.audit.content import Content, ContentState
from oracle.audit.custody import Hold
from oracle.errors import CaseRefused, CaseUnknown, ErasureHeld, Forbidden, PeerError, RecordUnknown, Rejected, StoreError
from oracle.office.cases import OFFICE, Case, CaseKind, Cases, CaseState
from oracle.office.entries import describe, read_entry
from oracle.records import Bytes32
from oracle.seams import Clock, EntryLog, format_time

MAX_INDICES = 256
"""Entries of one disclosure, erasure or sample: as many as one list of a record holds."""

MAX_MINUTES = 24 * 60
LOOKED_AT_ONCE = 256
"""Cases of which one round asks whether their words are still kept in the log."""

NOTHING = Content()


class ContentKeeper(Protocol):
    """What the office needs of `oracle.audit.custody.Custody`."""

    def state(self, index: int) -> ContentState: ...
    def states(self, indices: Collection[int]) -> dict[int, ContentState]: ...
    def content(self, index: int) -> Content | None: ...
    def find_subject(self, writer: str, reference: str) -> bytes | None: ...
    def records_of(self, subject: bytes) -> list[int]: ...
    def place_hold(self, hold: Hold) -> None: ...
    def release_hold(self, hold_id: str) -> None: ...
    def holds(self, index: int | None = None) -> list[Hold]: ...
    def destroy_records(self, indices: Sequence[int]) -> list[int]: ...
    def destroy_subject(self, subject: bytes) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class HoldScope:
    """What a hold keeps: every entry that fits all that is given. At least one thing is."""

    first_index: int | None = None
    last_index: int | None = None
    call_id: Bytes32 | None = None
    subject: bytes | None = None


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What a person is shown of one entry."""

    state: ContentState
    content: Content


class Duties:
    """Raises what `oracle.office.cases.Cases` raises, and RecordUnknown, Forbidden and ErasureHeld as each method says."""

    def __init__(self, engine: Engine, log: EntryLog, custody: ContentKeeper, clock: Clock, size: Callable[[], int]) -> None:
        self._log = log
        self._custody = custody
        self._clock = clock
        self._size = size  # of the log's newest checkpoint
        self._looked_at = 0  # number of the last case whose words were held against custody
        self._forgotten: set[int] = set()  # so that they are not written again in every round
        self.cases = Cases(engine, log, clock, describe, self._act)

    # ---- disclosures -----------------------------------------------------------------------------------------------------------------
    def request_disclosure(self, actor: str, indices: Sequence[int], reason: str, minutes: int) -> Case:
        """Raises RecordUnknown for an index beyond the log."""
        details = {"indices": self._known(indices), "reason": reason, "minutes": minutes}
        return self.cases.begin(CaseKind.DISCLOSURE, actor, details)

    def approve_disclosure(self, actor: str, case_id: str) -> Case:
        """The time begins to run now."""
        case = self.cases.get(CaseKind.DISCLOSURE, case_id)
        until = self._clock.now() + timedelta(minutes=int(case.details["minutes"]))
        return self.cases.take(CaseKind.DISCLOSURE, case_id, "approved", actor, until)

    def deny_disclosure(self, actor: str, case_id: str) -> Case:
        return self.cases.take(CaseKind.DISCLOSURE, case_id, "denied", actor)

    def close_disclosure(self, actor: str, case_id: str, is_approver: bool) -> Case:
        """By who asked for it, or by who may approve. To anybody else it does not exist."""
        case = self.cases.get(CaseKind.DISCLOSURE, case_id)
        if case.requester != actor and not is_approver:
            raise CaseUnknown("disclosure", "the id of one", case_id[:40])
        return self.cases.take(CaseKind.DISCLOSURE, case_id, "closed", actor)

    def read_disclosed(self, actor: str, case_id: str, index: int) -> Disclosed:
        """Sealed fields and bodies of one entry. Whatever stops this after the record, nothing was shown without one.

        Raises CaseUnknown for another person's disclosure, CaseRefused for one that is not open, Forbidden for an entry it does not name.
        """
        self._require_open(actor, case_id, index)
        state = self._custody.state(index)
        if state is not ContentState.PRESENT:
            return Disclosed(state, NOTHING)
        case = self.cases.get(CaseKind.DISCLOSURE, case_id)
        entry = read_entry(case, index, actor, format_time(self._clock.now()))
        self._log.append(entry, f"disclosure:{case_id}:read:{secrets.token_hex(16)}")
        self._require_open(actor, case_id, index)  # the log may have taken its time, and somebody may have closed it meanwhile
        content = self._custody.content(index)
        return Disclosed(ContentState.ERASED, NOTHING) if content is None else Disclosed(ContentState.PRESENT, content)

    def _require_open(self, actor: str, case_id: str, index: int) -> None:
        case = self.cases.get(CaseKind.DISCLOSURE, case_id)
        if case.requester != actor:
            raise CaseUnknown("disclosure", "the id of one", case_id[:40])
        if case.state is not CaseState.APPROVED or case.until is None:
            raise CaseRefused(f"disclosure {case_id}", "an approved one", case.state)
        if self._clock.now() >= datetime.fromisoformat(case.until):
            raise CaseRefused(f"disclosure {case_id}", f"a read before {case.until}", "a later one")
        if index not in case.details["indices"]:
            raise Forbidden(f"entry {index}", f"one that disclosure {case_id} names", "another")

    # ---- holds -----------------------------------------------------------------------------------------------------------------------
    def place_hold(self, actor: str, scope: HoldScope, reason: str) -> Case:
        details: dict[str, Any] = {
            "first_index": scope.first_index,
            "last_index": scope.last_index,
            "call_id": None if scope.call_id is None else "0x" + scope.call_id.hex(),
            "subject": None if scope.subject is None else "0x" + scope.subject.hex(),
        }
        return self.cases.begin(CaseKind.HOLD, actor, details | {"reason": reason})

    def request_release(self, actor: str, case_id: str) -> Case:
        return self.cases.take(CaseKind.HOLD, case_id, "release_requested", actor)

    def approve_release(self, actor: str, case_id: str) -> Case:
        """The hold ends, and with it the waiting of erasures that only it kept back."""
        case = self.cases.take(CaseKind.HOLD, case_id, "released", actor)
        self._advance_all()
        return case

    def deny_release(self, actor: str, case_id: str) -> Case:
        return self.cases.take(CaseKind.HOLD, case_id, "release_denied", actor)

    def _act(self, case: Case, step: str) -> None:
        """The effect of a hold's steps, between their record and their state."""
        if step == "placed":
            self._custody.place_hold(_hold_of(case))
        elif step == "released":
            self._custody.release_hold(case.id)

    # ---- erasures --------------------------------------------------------------------------------------------------------------------
    def request_erasure(self, actor: str, indices: Sequence[int], reason: str) -> Case:
        """Raises RecordUnknown for an index beyond the log."""
        return self.cases.begin(CaseKind.ERASURE, actor, {"indices": self._known(indices), "reason": reason})

    def request_subject_erasure(self, actor: str, writer: str, reference: str, reason: str) -> Case:
        """The reference is not kept: the case has the subject's random bytes. Raises RecordUnknown where no record is about them."""
        subject = self.find_subject(writer, reference)
        return self.cases.begin(CaseKind.ERASURE, actor, {"subject": "0x" + subject.hex(), "reason": reason})

    def find_subject(self, writer: str, reference: str) -> bytes:
        """Raises RecordUnknown."""
        subject = self._custody.find_subject(writer, reference)
        if subject is None:
            raise RecordUnknown("subject", f"a person that records of {writer} are about", "an unknown or erased one")
        return subject

    def approve_erasure(self, actor: str, case_id: str) -> Case:
        """Logs the erasure and destroys the keys. Raises ErasureHeld, having approved nothing, where a hold stands."""
        self._require_free(self.cases.get(CaseKind.ERASURE, case_id))
        case = self.cases.take(CaseKind.ERASURE, case_id, "approved", actor)
        return self._advance(case)

    def deny_erasure(self, actor: str, case_id: str) -> Case:
        return self.cases.take(CaseKind.ERASURE, case_id, "denied", actor)

    def _require_free(self, case: Case) -> None:
        for index in self.entries_of(case):
            if self._custody.holds(index):
                raise ErasureHeld(f"entry {index}", "no legal hold on it", "one")

    def entries_of(self, case: Case) -> list[int]:
        """The entries an erasure is of."""
        subject = case.details.get("subject")
        return list(case.details["indices"]) if subject is None else self._custody.records_of(_subject_bytes(subject))

    def _advance(self, case: Case) -> Case:
        """Approved → logged → destroyed. A hold that came meanwhile stops it where it is, until the hold is released."""
        try:
            if case.state is CaseState.APPROVED:
                self._require_free(case)
                case = self.cases.take(CaseKind.ERASURE, case.id, "erased", case.actor_of("approved") or OFFICE)
            if case.state is CaseState.LOGGED:
                self._destroy(case)
                case = self.cases.mark(case, CaseState.DESTROYED)
        except ErasureHeld as held:
            journal.get("office").warning("an erasure waits for a hold", case=case.id, reason=str(held))
            case = self.cases.mark(case, case.state, str(held))
        return case

    def _destroy(self, case: Case) -> None:
        subject, indices = case.details.get("subject"), self.entries_of(case)
        if subject is None:
            self._custody.destroy_records(indices)
        else:
            self._custody.destroy_subject(_subject_bytes(subject))
        self.cases.forget(indices)

    def _advance_all(self) -> None:
        for case in self.cases.unfinished_erasures():
            self._advance(case)

    # ---- judging ---------------------------------------------------------------------------------------------------------------------
    def review(self, actor: str, index: int, leaf_hash: str, outcome: str, note: str) -> Case:
        details = {"index": index, "leaf_hash": leaf_hash, "outcome": outcome, "note": note}
        return self.cases.begin(CaseKind.REVIEW, actor, details)

    def override(self, actor: str, details: dict[str, Any]) -> Case:
        """`details`: index, leaf_hash, action, reason, and the people who verified it, first and second, where there were any."""
        return self.cases.begin(CaseKind.OVERRIDE, actor, details)

    def file_sample(self, actor: str, details: dict[str, Any]) -> Case:
        """`details`: seed, population, population_digest, tree_size, root, indices, size, filter."""
        return self.cases.begin(CaseKind.SAMPLE, actor, details)

    # ---- what goes on by itself ------------------------------------------------------------------------------------------------------
    def run_once(self) -> None:
        """Takes what was intended and not finished, ends disclosures whose time is over, and erasures that were approved."""
        for case in self.cases.intended():
            self._try(case, lambda case: self.cases.resume(case))
        for case in self.cases.due(self._clock.now()):
            self._try(case, lambda case: self.cases.take(CaseKind.DISCLOSURE, case.id, "expired", OFFICE))
        for case in self.cases.unfinished_erasures():
            self._try(case, self._advance)
        self.forget_erased()

    def forget_erased(self) -> None:
        """Words whose record's content is gone, whoever destroyed it: the log does so by itself past its retention. Some cases a round."""
        found = self.cases.first_records(self._looked_at, LOOKED_AT_ONCE)
        states = self._custody.states([index for _, index in found])
        if gone := [index for _, index in found if states[index] is ContentState.ERASED and index not in self._forgotten]:
            self.cases.forget(gone)
            self._forgotten.update(gone)
        self._looked_at = found[-1][0] if found else 0

    def _try(self, case: Case, run: Callable[[Case], object]) -> None:
        """One case that cannot go on does not keep the others back; the next round tries again."""
        try:
            run(case)
        except (Rejected, PeerError, StoreError) as error:
            journal.get("office").warning("a case cannot go on now", kind=str(case.kind), case=case.id, reason=str(error))

    def _known(self, indices: Sequence[int]) -> list[int]:
        wanted, size = sorted(set(indices)), self._size()
        if not wanted or wanted[-1] >= size:
            raise RecordUnknown("entries", f"indices below the log's size {size}", wanted[-1] if wanted else "none")
        return wanted


def _hold_of(case: Case) -> Hold:
    scope = case.details
    call_id, subject = scope.get("call_id"), scope.get("subject")
    return Hold(
        id=case.id,
        first_index=scope.get("first_index"),
        last_index=scope.get("last_index"),
        call_id=None if call_id is None else Bytes32(bytes.fromhex(call_id[2:])),
        subject=None if subject is None else _subject_bytes(subject),
    )


def _subject_bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
