"""A log against a naive twin: appends, batches, crashes in the middle, restarts, erasures, holds and pruning in any order."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oracle.audit.content import ContentState
from oracle.audit.custody import Hold
from oracle.audit.log import Log
from oracle.audit.retention import prune_once
from oracle.errors import ErasureHeld, LogRefused, StoreError
from oracle.records import Entry
from tests.twins.logs import START, check_secret, entry, full_check, open_log, secret_entry
from tests.twins.saboteur import Saboteur

PEOPLE = ("", "ann", "bob")
DAY = timedelta(days=1)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment


@dataclass
class Told:
    """What the twin knows of one entry that the log acknowledged."""

    number: int
    person: str | None  # None: it has no content
    expires: datetime
    is_erased: bool = False
    subject: bytes | None = None


@dataclass
class Twin:
    by_index: dict[int, Told] = field(default_factory=dict)
    holds: dict[str, tuple[int, int]] = field(default_factory=dict)

    def is_held(self, index: int) -> bool:
        return any(first <= index <= last for first, last in self.holds.values())

    def written(self) -> list[int]:
        """Indices of what this test appended; the others are the log's own, of pruning."""
        return sorted(index for index, told in self.by_index.items() if told.number >= 0)

    def kept(self) -> dict[int, Told]:
        return {i: told for i, told in self.by_index.items() if told.person is not None and not told.is_erased}


class LogMachine(RuleBasedStateMachine):
    """Numbers are given once; each is the idempotency key of its entry, so that whatever became of an append can be asked again."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="affidavit-model-"))
        self.clock, self.twin, self.numbers = HandClock(), Twin(), 0
        self.log: Log = open_log(self.directory, clock=self.clock)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            self.check_at_rest()
            shutil.rmtree(self.directory)

    # ---- writing ------------------------------------------------------------------------------------------------------------------
    def make(self, person: str | None, is_brief: bool) -> tuple[Entry, Told]:
        number, self.numbers = self.numbers, self.numbers + 1
        if person is None:
            return entry(number, call=number % 3), Told(number, None, self.clock.moment)
        days = 1 if is_brief else 1096
        made = secret_entry(number, call=number % 3, person=person, retention="brief" if is_brief else "")
        return made, Told(number, person, self.clock.moment + days * DAY)

    def note(self, index: int, told: Told) -> None:
        assert index not in self.twin.by_index
        told.subject = self.log.custody.subject_of(index)
        self.twin.by_index[index] = told

    @rule(person=st.sampled_from([None, *PEOPLE]), is_brief=st.booleans())
    def append(self, person: str | None, is_brief: bool) -> None:
        made, told = self.make(person, is_brief)
        self.note(self.log.append("w", made, f"k{told.number}").index, told)

    @rule(people=st.lists(st.sampled_from([None, *PEOPLE]), min_size=1, max_size=5))
    def append_batch(self, people: list[str | None]) -> None:
        made = [self.make(person, False) for person in people]
        places = self.log.submit_batch("w", [(e, f"k{told.number}") for e, told in made]).result()
        assert [p.index for p in places] == list(range(places[0].index, places[0].index + len(made)))
        for place, (_, told) in zip(places, made, strict=True):
            self.note(place.index, told)

    @precondition(lambda self: self.twin.written())
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        """The same key has the same place, whatever was erased since; another entry under it is refused."""
        index = data.draw(st.sampled_from(self.twin.written()))
        told = self.twin.by_index[index]
        again = entry(told.number, call=told.number % 3) if told.person is None else secret_entry(told.number, call=told.number % 3)
        assert self.log.append("w", again, f"k{told.number}").index == index
        with pytest.raises(LogRefused):
            self.log.append("w", entry(told.number + 1_000_000), f"k{told.number}")

    # ---- crashes ------------------------------------------------------------------------------------------------------------------
    @rule()
    def restart(self) -> None:
        self.log.close()
        self.log = open_log(self.directory, clock=self.clock)

    @rule(person=st.sampled_from([None, *PEOPLE]), fail_at=st.integers(1, 5) | st.integers(1, 40))
    def crash(self, person: str | None, fail_at: int) -> None:
        """From one effect on everything fails, and the process is gone. The entry is there or not; asked again, it is there once."""
        made, told = self.make(person, False)
        with pytest.MonkeyPatch.context() as patch:
            saboteur = Saboteur(patch, fail_at, for_good=True)
            saboteur.is_armed = True
            try:
                with suppress(StoreError):
                    self.log.append("w", made, f"k{told.number}")
            finally:
                saboteur.is_armed = False
                saboteur.leave()
        abandon(self.log)
        self.log = open_log(self.directory, clock=self.clock)
        self.note(self.log.append("w", made, f"k{told.number}").index, told)

    # ---- erasing, holding, pruning --------------------------------------------------------------------------------------------------
    @precondition(lambda self: self.twin.kept())
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        indices = data.draw(st.lists(st.sampled_from(sorted(self.twin.kept())), min_size=1, max_size=3, unique=True))
        self.expect_erased(indices, lambda: self.log.custody.destroy_records(indices))

    @rule(person=st.sampled_from(PEOPLE[1:]))
    def erase_person(self, person: str) -> None:
        subject = self.log.custody.find_subject("w", person)
        wanted = sorted(i for i, told in self.twin.by_index.items() if told.person == person and told.subject == subject)
        if subject is None:
            assert not any(told.person == person for told in self.twin.kept().values())
        else:
            left = [i for i in wanted if not self.twin.by_index[i].is_erased]
            self.expect_erased(left, lambda: self.log.custody.destroy_subject(subject), also_held=wanted)

    def expect_erased(self, indices: list[int], erase: Any, also_held: list[int] | None = None) -> None:
        if any(map(self.twin.is_held, also_held or indices)):
            with pytest.raises(ErasureHeld):
                erase()
            return
        assert erase() == sorted(indices)
        for index in indices:
            self.twin.by_index[index].is_erased = True

    @rule(name=st.sampled_from("xyz"), first=st.integers(0, 20), length=st.integers(0, 10))
    def hold(self, name: str, first: int, length: int) -> None:
        if name not in self.twin.holds:
            self.log.custody.place_hold(Hold(name, first, first + length))
            self.twin.holds[name] = (first, first + length)

    @rule(name=st.sampled_from("xyz"))
    def release(self, name: str) -> None:
        self.log.custody.release_hold(name)
        self.twin.holds.pop(name, None)

    @rule(days=st.sampled_from([1, 2, 1097]))
    def let_time_pass_and_prune(self, days: int) -> None:
        self.clock.moment += days * DAY
        size = self.log.checkpoint.size
        due = sorted(i for i, told in self.twin.kept().items() if told.expires <= self.clock.moment and not self.twin.is_held(i))
        assert prune_once(self.log, self.clock) == due
        for index in due:
            self.twin.by_index[index].is_erased = True
        if due:
            self.twin.by_index[size] = Told(-1, None, self.clock.moment)  # the record of it

    # ---- what must hold always --------------------------------------------------------------------------------------------------------
    @invariant()
    def places_are_without_gaps(self) -> None:
        if hasattr(self, "log"):
            assert sorted(self.twin.by_index) == list(range(self.log.checkpoint.size))

    @invariant()
    def content_is_what_it_should_be(self) -> None:
        for index, told in getattr(self, "twin", Twin()).by_index.items():
            if told.person is None:
                assert self.log.custody.state(index) is ContentState.NONE
            elif told.is_erased:
                assert self.log.custody.state(index) is ContentState.ERASED
                assert self.log.custody.content(index) is None
            else:
                check_secret(self.log, index, told.number)

    def check_at_rest(self) -> None:
        records = full_check(self.directory)
        assert [record.get("test.number", -1) for record in records] == [told.number for _, told in sorted(self.twin.by_index.items())]


def abandon(log: Log) -> None:
    """What the end of a process does: the lock is dropped, connections are closed, nothing is finished."""
    log._queue.put(None)
    log._thread.join()
    log.entries.close()
    log.custody.close()
    log._checkpoints.close()
    with suppress(OSError):
        os.close(log._lock)


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
