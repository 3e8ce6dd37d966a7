"""Disclosures, holds and erasures: the wrong person, the wrong state, the wrong time, and a crash between each two steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from oracle.audit.content import ContentState
from oracle.audit.custody import Hold
from oracle.errors import CaseRefused, CaseUnknown, EntryRejected, ErasureHeld, Forbidden, PeerError, RecordUnknown
from oracle.office.cases import STEPS, Case, CaseKind, CaseState
from oracle.office.duties import Duties, HoldScope
from oracle.records import Entry
from tests.twins.office import SIZE, OfficeScene
from tests.twins.postgres import NewDatabase

ADA, BOB, EVE = (f"person-{letter * 32}" for letter in "abe")


@pytest.fixture
def scene(new_database: NewDatabase) -> Iterator[OfficeScene]:
    made = OfficeScene(new_database)
    yield made
    made.close()


class Crash(BaseException):
    """The process ends here."""


def asked(scene: OfficeScene, *indices: int) -> Case:
    return scene.duties.request_disclosure(ADA, indices or (7,), "a complaint", 30)


def opened(scene: OfficeScene, *indices: int) -> Case:
    return scene.duties.approve_disclosure(BOB, asked(scene, *indices).id)


# ---- disclosures -------------------------------------------------------------------------------------------------------------------------
def test_nobody_approves_an_own_request(scene: OfficeScene) -> None:
    case = asked(scene)
    for step in (scene.duties.approve_disclosure, scene.duties.deny_disclosure):
        with pytest.raises(Forbidden, match="another person"):
            step(ADA, case.id)
    assert scene.duties.cases.get(CaseKind.DISCLOSURE, case.id) == case
    assert scene.actions("audit.disclosure.action") == ["requested"]


def test_content_is_shown_to_nobody_before_it_is_approved(scene: OfficeScene) -> None:
    scene.keep(7)
    case = asked(scene)
    with pytest.raises(CaseRefused, match="approved"):
        scene.duties.read_disclosed(ADA, case.id, 7)
    scene.duties.deny_disclosure(BOB, case.id)
    with pytest.raises(CaseRefused, match="approved"):
        scene.duties.read_disclosed(ADA, case.id, 7)


@pytest.mark.parametrize("reader", [BOB, EVE, ""])
def test_another_persons_disclosure_does_not_exist(scene: OfficeScene, reader: str) -> None:
    """Also for who approved it."""
    scene.keep(7)
    case = opened(scene)
    with pytest.raises(CaseUnknown):
        scene.duties.read_disclosed(reader, case.id, 7)
    with pytest.raises(CaseUnknown):
        scene.duties.close_disclosure(reader, case.id, is_approver=False)


def test_an_entry_the_disclosure_does_not_name_is_not_shown(scene: OfficeScene) -> None:
    scene.keep(8)
    with pytest.raises(Forbidden, match="entry 8"):
        scene.duties.read_disclosed(ADA, opened(scene, 7).id, 8)


def test_the_time_is_over_to_the_second(scene: OfficeScene) -> None:
    scene.keep(7)
    case = opened(scene)
    scene.clock.forward(30 * 60 - 1)
    assert scene.duties.read_disclosed(ADA, case.id, 7).state is ContentState.PRESENT
    scene.clock.forward(1)
    with pytest.raises(CaseRefused, match="before"):
        scene.duties.read_disclosed(ADA, case.id, 7)
    scene.duties.run_once()
    assert scene.duties.cases.get(CaseKind.DISCLOSURE, case.id).state is CaseState.EXPIRED
    assert scene.actions("audit.disclosure.action") == ["requested", "approved", "read", "expired"]


def test_time_that_passes_while_the_log_is_written_counts(scene: OfficeScene) -> None:
    scene.keep(7)
    case = opened(scene)
    scene.log.before = lambda entry: scene.clock.forward(31 * 60)
    with pytest.raises(CaseRefused, match="before"):
        scene.duties.read_disclosed(ADA, case.id, 7)


def test_a_disclosure_closed_while_the_log_is_written_shows_nothing(scene: OfficeScene) -> None:
    scene.keep(7)
    case = opened(scene)

    def close(entry: Entry) -> None:
        scene.log.before = lambda entry: None
        scene.duties.close_disclosure(BOB, case.id, is_approver=True)

    scene.log.before = close
    with pytest.raises(CaseRefused, match="approved"):
        scene.duties.read_disclosed(ADA, case.id, 7)


def test_nothing_is_shown_that_is_not_in_the_log_first(scene: OfficeScene) -> None:
    scene.keep(7)
    case = opened(scene)
    scene.log.is_down = True
    with pytest.raises(PeerError):
        scene.duties.read_disclosed(ADA, case.id, 7)
    scene.log.is_down = False
    shown = scene.duties.read_disclosed(ADA, case.id, 7)
    assert shown.content.bodies == {"gen_ai.input.messages.digest": b"a secret"}
    assert shown.content.sealed is not None
    assert shown.content.sealed.values == {"audit.user": "a secret"}
    scene.duties.read_disclosed(ADA, case.id, 7)
    reads = [e for e in scene.entries("disclosure") if e.fields["audit.disclosure.action"] == "read"]
    assert [(e.fields["audit.actor"], e.fields["audit.disclosure.indices"]) for e in reads] == [(ADA, ["7"])] * 2


def test_what_was_erased_is_not_shown(scene: OfficeScene) -> None:
    scene.keep(7)
    case = opened(scene)
    scene.custody.destroy_records([7])
    assert scene.duties.read_disclosed(ADA, case.id, 7).state is ContentState.ERASED


@pytest.mark.parametrize("indices", [[SIZE], [0, SIZE], []])
def test_entries_beyond_the_log_are_refused(scene: OfficeScene, indices: list[int]) -> None:
    with pytest.raises(RecordUnknown):
        scene.duties.request_disclosure(ADA, indices, "why", 1)
    with pytest.raises(RecordUnknown):
        scene.duties.request_erasure(ADA, indices, "why")
    assert scene.log.entries == []


@pytest.mark.parametrize("end", ["deny", "close"])
def test_what_has_ended_stays_ended(scene: OfficeScene, end: str) -> None:
    case = asked(scene)
    if end == "deny":
        scene.duties.deny_disclosure(BOB, case.id)
    else:
        scene.duties.close_disclosure(ADA, case.id, is_approver=False)
    before = len(scene.log.entries)
    for step in ("approved", "denied", "closed", "expired"):
        with pytest.raises(CaseRefused):
            scene.duties.cases.take(CaseKind.DISCLOSURE, case.id, step, BOB)
    assert len(scene.log.entries) == before


def test_a_case_of_another_kind_is_none(scene: OfficeScene) -> None:
    case = asked(scene)
    for kind in CaseKind:
        if kind is not CaseKind.DISCLOSURE:
            with pytest.raises(CaseUnknown):
                scene.duties.cases.get(kind, case.id)
    with pytest.raises(CaseUnknown):
        scene.duties.approve_erasure(BOB, case.id)


# ---- what stands in records --------------------------------------------------------------------------------------------------------------
def test_reasons_are_sealed_and_people_are_pseudonyms(scene: OfficeScene) -> None:
    opened(scene)
    first, second = scene.log.entries
    assert first.sealed == {"audit.reason": "a complaint"}
    assert "complaint" not in str(first.fields)
    assert (first.fields["audit.actor"], second.fields["audit.actor"]) == (ADA, BOB)
    assert second.sealed == {}
    assert second.fields["audit.disclosure.until"] == "2026-11-22T10:30:00.000000Z"


def test_a_request_to_erase_is_no_erasure_in_the_log(scene: OfficeScene) -> None:
    """Whoever explains missing content by the log reads `audit.erasure.indices`: only the erasure itself may have them."""
    scene.keep(7)
    case = scene.duties.request_erasure(ADA, [7], "asked to be forgotten")
    assert "audit.erasure.indices" not in scene.log.entries[0].fields
    scene.duties.approve_erasure(BOB, case.id)
    assert [("audit.erasure.indices" in e.fields, e.fields["audit.erasure.action"]) for e in scene.log.entries] == [
        (False, "requested"),
        (False, "approved"),
        (True, "erased"),
    ]


def test_a_person_is_erased_by_random_bytes_and_never_named(scene: OfficeScene) -> None:
    scene.keep(7, reference="mary@example.org")
    scene.keep(9, reference="mary@example.org")
    scene.keep(8, reference="paul@example.org")
    case = scene.duties.request_subject_erasure(ADA, "app", "mary@example.org", "asked to be forgotten")
    case = scene.duties.approve_erasure(BOB, case.id)
    assert case.state is CaseState.DESTROYED
    assert [scene.custody.state(i) for i in (7, 8, 9)] == [ContentState.ERASED, ContentState.PRESENT, ContentState.ERASED]
    assert "mary" not in str(scene.log.entries)
    assert "mary" not in str(case)
    assert scene.log.entries[-1].fields["audit.erasure.subject"] == case.details["subject"]
    with pytest.raises(RecordUnknown):
        scene.duties.request_subject_erasure(ADA, "app", "mary@example.org", "again")


# ---- holds and erasures ------------------------------------------------------------------------------------------------------------------
SCOPES: dict[str, HoldScope] = {
    "its index": HoldScope(first_index=7, last_index=7),
    "a range": HoldScope(first_index=0, last_index=100),
    "from an index on": HoldScope(first_index=7),
    "its call": HoldScope(call_id=b"c" * 32),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", SCOPES)
def test_a_hold_blocks_an_erasure_until_it_is_released(scene: OfficeScene, name: str) -> None:
    scene.keep(7, call_id=b"c" * 32)
    hold = scene.duties.place_hold(ADA, SCOPES[name], "a law suit")
    case = scene.duties.request_erasure(ADA, [7], "asked to be forgotten")
    with pytest.raises(ErasureHeld):
        scene.duties.approve_erasure(BOB, case.id)
    assert scene.duties.cases.get(CaseKind.ERASURE, case.id).state is CaseState.REQUESTED
    assert scene.custody.state(7) is ContentState.PRESENT
    scene.duties.request_release(ADA, hold.id)
    with pytest.raises(ErasureHeld):
        scene.duties.approve_erasure(BOB, case.id)
    with pytest.raises(Forbidden):
        scene.duties.approve_release(ADA, hold.id)
    scene.duties.approve_release(BOB, hold.id)
    assert scene.duties.approve_erasure(BOB, case.id).state is CaseState.DESTROYED
    assert scene.custody.content(7) is None


def test_a_hold_on_a_person_keeps_all_their_records(scene: OfficeScene) -> None:
    scene.keep(7, reference="mary")
    subject = scene.duties.find_subject("app", "mary")
    scene.duties.place_hold(ADA, HoldScope(subject=subject), "a law suit")
    for case in (scene.duties.request_erasure(ADA, [7], ""), scene.duties.request_subject_erasure(ADA, "app", "mary", "")):
        with pytest.raises(ErasureHeld):
            scene.duties.approve_erasure(BOB, case.id)


def test_a_hold_elsewhere_blocks_nothing(scene: OfficeScene) -> None:
    scene.keep(7)
    scene.duties.place_hold(ADA, HoldScope(first_index=8), "a law suit")
    case = scene.duties.request_erasure(ADA, [7], "")
    assert scene.duties.approve_erasure(BOB, case.id).state is CaseState.DESTROYED


def test_a_hold_that_comes_between_record_and_destruction_is_stronger(scene: OfficeScene) -> None:
    scene.keep(7)
    case = scene.duties.request_erasure(ADA, [7], "")
    hold: list[Case] = []

    def place(entry: Entry) -> None:
        if entry.fields.get("audit.erasure.action") == "erased":
            scene.custody.place_hold(Hold("another", first_index=7, last_index=7))

    scene.log.before = place
    case = scene.duties.approve_erasure(BOB, case.id)
    assert (case.state, case.problem) == (CaseState.LOGGED, "entry 7: expected no legal hold on it, got one")
    assert scene.custody.state(7) is ContentState.PRESENT
    scene.duties.run_once()
    assert scene.custody.state(7) is ContentState.PRESENT
    scene.log.before = lambda entry: None
    scene.custody.release_hold("another")
    hold.append(scene.duties.place_hold(ADA, HoldScope(first_index=7, last_index=7), ""))
    scene.duties.run_once()
    assert scene.custody.state(7) is ContentState.PRESENT
    scene.duties.request_release(ADA, hold[0].id)
    scene.duties.approve_release(BOB, hold[0].id)
    case = scene.duties.cases.get(CaseKind.ERASURE, case.id)
    assert (case.state, case.problem, scene.custody.state(7)) == (CaseState.DESTROYED, None, ContentState.ERASED)


def test_a_release_that_is_denied_keeps_the_hold_and_may_be_asked_again(scene: OfficeScene) -> None:
    scene.keep(7)
    hold = scene.duties.place_hold(ADA, HoldScope(first_index=7, last_index=7), "")
    for _ in range(2):
        scene.duties.request_release(ADA, hold.id)
        with pytest.raises(Forbidden):
            scene.duties.deny_release(ADA, hold.id)
        assert scene.duties.deny_release(BOB, hold.id).state is CaseState.PLACED
    assert scene.custody.holds(7)
    scene.duties.request_release(BOB, hold.id)
    with pytest.raises(Forbidden):
        scene.duties.approve_release(BOB, hold.id)
    assert scene.duties.approve_release(ADA, hold.id).state is CaseState.RELEASED
    assert not scene.custody.holds(7)
    assert len(scene.actions("audit.hold.action")) == 7


def test_holds_and_erasures_at_once_never_erase_what_is_held(scene: OfficeScene) -> None:
    """Whoever comes first wins; what is held when both are done is present, and every hold that came first held."""
    for index in range(20):
        scene.keep(index)
        erasure = scene.duties.request_erasure(ADA, [index], "")
        was_present = hold_while(scene, index, lambda case_id=erasure.id: scene.duties.approve_erasure(BOB, case_id))  # type: ignore[misc]
        is_present = scene.custody.state(index) is ContentState.PRESENT
        assert is_present == was_present, "a record that was present under a hold was destroyed"


def hold_while(scene: OfficeScene, index: int, erase: Callable[[], object]) -> bool:
    """Places a hold while something else erases; whether the content was there once the hold stood."""
    gate, seen = threading.Barrier(2), list[bool]()

    def place() -> None:
        gate.wait()
        scene.duties.place_hold(ADA, HoldScope(first_index=index, last_index=index), "")
        seen.append(scene.custody.state(index) is ContentState.PRESENT)

    thread = threading.Thread(target=place)
    thread.start()
    gate.wait()
    with suppress(ErasureHeld):
        erase()
    thread.join()
    return seen[0]


def test_nobody_approves_an_own_erasure(scene: OfficeScene) -> None:
    scene.keep(7)
    case = scene.duties.request_erasure(ADA, [7], "")
    with pytest.raises(Forbidden):
        scene.duties.approve_erasure(ADA, case.id)
    with pytest.raises(Forbidden):
        scene.duties.deny_erasure(ADA, case.id)
    assert scene.custody.state(7) is ContentState.PRESENT


def test_two_people_deciding_at_once_decide_once(scene: OfficeScene) -> None:
    case = asked(scene)
    outcomes: list[Any] = []

    def decide(step: Callable[[str, str], Case], actor: str) -> None:
        try:
            outcomes.append(step(actor, case.id).state)
        except CaseRefused as refused:
            outcomes.append(refused)

    threads = [
        threading.Thread(target=decide, args=(scene.duties.approve_disclosure, BOB)),
        threading.Thread(target=decide, args=(scene.duties.deny_disclosure, EVE)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([o for o in outcomes if isinstance(o, CaseRefused)]) == 1
    assert len(scene.actions("audit.disclosure.action")) == 2


# ---- crashes -----------------------------------------------------------------------------------------------------------------------------
def crash_before_the_record(scene: OfficeScene) -> None:
    def crash(entry: Entry) -> None:
        raise Crash

    scene.log.before = crash


def crash_after_the_record(scene: OfficeScene) -> None:
    scene.log.loses_answers = 1


def crash_after_the_effect(scene: OfficeScene) -> None:
    effect = scene.duties.cases._effect

    def crash(case: Case, step: str) -> None:
        effect(case, step)
        raise Crash

    scene.duties.cases._effect = crash


CRASHES = [crash_before_the_record, crash_after_the_record, crash_after_the_effect]
STORY: dict[str, Callable[[Duties, str], Case]] = {
    "disclosure requested": lambda d, _id: d.request_disclosure(ADA, [7], "why", 5),
    "disclosure approved": lambda d, i: d.approve_disclosure(BOB, i),
    "disclosure closed": lambda d, i: d.close_disclosure(ADA, i, is_approver=False),
    "hold placed": lambda d, _id: d.place_hold(ADA, HoldScope(first_index=7), "why"),
    "hold release_requested": lambda d, i: d.request_release(ADA, i),
    "hold release_denied": lambda d, i: d.deny_release(BOB, i),
    "hold release_requested again": lambda d, i: d.request_release(ADA, i),
    "hold released": lambda d, i: d.approve_release(BOB, i),
    "erasure requested": lambda d, _id: d.request_erasure(ADA, [7], "why"),
    "erasure approved": lambda d, i: d.approve_erasure(BOB, i),
    "review reviewed": lambda d, _id: d.review(ADA, 7, "0x" + "00" * 32, "accepted", "fine"),
    "override overridden": lambda d, _id: d.override(ADA, {"index": 7, "leaf_hash": "0x00", "action": "upheld", "reason": "why"}),
    "sample drawn": lambda d, _id: d.file_sample(ADA, SAMPLE),
}
SAMPLE = {
    "seed": "0x00",
    "population": 9,
    "population_digest": "0x00",
    "tree_size": 9,
    "root": "0x00",
    "indices": [7],
    "size": 1,
    "filter": {"kind": "result"},
}


def tell(scene: OfficeScene, crash: Callable[[OfficeScene], None] | None, at: str) -> list[object]:
    """The whole story, with a crash and a restart at one step; the states at the end, and every action in the log."""
    scene.keep(7)
    ids: dict[str, str] = {}
    for name, step in STORY.items():
        kind = name.split()[0]
        if crash is None or name != at:
            ids[kind] = step(scene.duties, ids.get(kind, "")).id
            continue
        crash(scene)
        with pytest.raises((Crash, PeerError)):
            step(scene.duties, ids.get(kind, ""))
        scene.log.before = lambda entry: None
        scene.restart().run_once()
        ids.setdefault(kind, scene.duties.cases.page(CaseKind(kind), 1)[0].id)
    states = [(kind, scene.duties.cases.get(CaseKind(kind), i).state) for kind, i in ids.items()]
    assert scene.duties.cases.intended() == []
    actions = [str(v) for e in scene.log.entries for n, v in e.fields.items() if n.endswith(".action")]
    return [states, actions, scene.custody.state(7), scene.custody.holds()]


def test_the_story_has_every_step_a_person_takes() -> None:
    told = {tuple(name.split()[:2]) for name in STORY}
    automatic = {("disclosure", "expired"), ("erasure", "erased")}
    denials = {("disclosure", "denied"), ("erasure", "denied")}
    assert {(str(kind), name) for kind, steps in STEPS.items() for name in steps} == told | automatic | denials


@pytest.mark.parametrize("crash", CRASHES, ids=lambda c: c.__name__)
@pytest.mark.parametrize("at", STORY)
def test_a_crash_changes_nothing_of_the_story(tmp_path: Path, crash: Callable[[OfficeScene], None], at: str) -> None:
    numbers = count()
    undisturbed, disturbed = (OfficeScene(lambda: f"sqlite:///{tmp_path}/{next(numbers)}.sqlite") for _ in range(2))
    assert tell(disturbed, crash, at) == tell(undisturbed, None, at)
    for scene in (undisturbed, disturbed):
        scene.close()


@pytest.mark.parametrize("is_done", [False, True])
def test_a_crash_at_the_destruction_itself(scene: OfficeScene, monkeypatch: pytest.MonkeyPatch, is_done: bool) -> None:
    scene.keep(7)
    case = scene.duties.request_erasure(ADA, [7], "")
    destroy = scene.custody.destroy_records

    def crash(indices: Any) -> list[int]:
        if is_done:
            destroy(indices)
        raise Crash

    monkeypatch.setattr(scene.custody, "destroy_records", crash)
    with pytest.raises(Crash):
        scene.duties.approve_erasure(BOB, case.id)
    monkeypatch.undo()
    duties = scene.restart()
    assert duties.cases.get(CaseKind.ERASURE, case.id).state is CaseState.LOGGED
    duties.run_once()
    assert duties.cases.get(CaseKind.ERASURE, case.id).state is CaseState.DESTROYED
    assert scene.custody.state(7) is ContentState.ERASED
    assert scene.actions("audit.erasure.action") == ["requested", "approved", "erased"]


def test_an_expiry_that_was_not_logged_is_tried_again(scene: OfficeScene) -> None:
    case = opened(scene)
    scene.clock.forward(3600)
    scene.log.is_down = True
    scene.duties.run_once()
    scene.log.is_down = False
    scene.duties.run_once()
    assert scene.duties.cases.get(CaseKind.DISCLOSURE, case.id).state is CaseState.EXPIRED


def test_a_record_the_log_will_never_take_leaves_nothing(scene: OfficeScene) -> None:
    def refuse(entry: Entry) -> None:
        raise EntryRejected("entry", "another", "this")

    case = asked(scene)
    scene.log.before = refuse
    with pytest.raises(EntryRejected):
        asked(scene)
    with pytest.raises(EntryRejected):
        scene.duties.approve_disclosure(BOB, case.id)
    scene.log.before = lambda entry: None
    assert scene.duties.cases.page(CaseKind.DISCLOSURE, 10) == [case]
    assert scene.duties.approve_disclosure(EVE, case.id).state is CaseState.APPROVED


def test_a_step_still_intended_comes_before_the_next(scene: OfficeScene) -> None:
    case = asked(scene)
    scene.log.loses_answers = 1
    with pytest.raises(PeerError):
        scene.duties.approve_disclosure(BOB, case.id)
    with pytest.raises(CaseRefused, match="approved"):
        scene.duties.deny_disclosure(EVE, case.id)
    assert scene.duties.cases.get(CaseKind.DISCLOSURE, case.id).actor_of("approved") == BOB


def test_pages_are_newest_first(scene: OfficeScene) -> None:
    made = [asked(scene, i) for i in range(5)]
    first = scene.duties.cases.page(CaseKind.DISCLOSURE, 2)
    assert [c.id for c in first] == [made[4].id, made[3].id]
    assert [c.id for c in scene.duties.cases.page(CaseKind.DISCLOSURE, 9, before=first[-1].number)] == [c.id for c in made[2::-1]]
    assert scene.duties.cases.page(CaseKind.DISCLOSURE, 9, requester=BOB) == []
    assert scene.duties.cases.count(CaseKind.DISCLOSURE) == 5
