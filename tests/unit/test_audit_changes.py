"""What is told of the running of a log: its configuration once for each change, and what people decided about a model's answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oracle.audit.changes import Running, tell_running
from oracle.audit.log import LocalWriter
from oracle.audit.overrides import Decision
from oracle.audit.record import Record, parse_record
from oracle.errors import EntryRejected
from oracle.ingest.recorder import Recorder
from oracle.records import EntryKind
from tests.twins.logs import entry, full_check, open_log

ONE = Running("0.1.0", ["node-1", "app"], ["auditor"], ["standard:1096"], b"a policy", "0x00000000000000000000000000000000000000aA")


def read(directory: Path, index: int) -> Record:
    log = open_log(directory)
    try:
        return parse_record(log.entries.read(index, index + 1)[0].record)
    finally:
        log.close()


def test_a_configuration_is_told_when_it_changes(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    first = tell_running(log, ONE)
    assert first is not None
    assert tell_running(log, replace(ONE, writers=["app", "node-1"])) is None, "the order of names is no change"
    log.append("w", entry(1))
    changed = tell_running(log, replace(ONE, readers=["auditor", "another"], witness_policy=b""))
    again = tell_running(log, ONE)
    assert [place and place.index for place in (changed, again)] == [2, 3], "going back is a change"
    log.close()
    told = [r for r in full_check(tmp_path) if r["audit.kind"] == "config"]
    assert [r["audit.config.readers"] for r in told] == [["auditor"], ["another", "auditor"], ["auditor"]]
    assert "audit.config.witness_policy_digest" not in told[1]
    assert all(r["audit.config.action"] == "changed" for r in told)


def test_people_override_an_answer(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with Recorder(LocalWriter(log, "app"), "app", "credit").call(model="scores", input="who", user="ann") as call:
        call.output("refused")
    recorder = Recorder(LocalWriter(log, "app"), "app", "credit")
    place = recorder.override(call, "overridden", "the income was read wrongly", verifiers=["carol", "dan"])
    assert call.end is not None
    content = log.custody.content(place.index)
    assert content is not None
    assert content.sealed is not None
    assert content.sealed.values == {
        "audit.verifier.first": "carol",
        "audit.verifier.second": "dan",
        "audit.override.reason": "the income was read wrongly",
    }
    assert log.custody.subject_of(place.index) == log.custody.find_subject("app", "ann"), "it goes with the person it is about"
    log.close()
    told = read(tmp_path, place.index)
    assert (told.kind, told.call_id, told.previous and told.previous.index) == (EntryKind.OVERRIDE, call.call_id, call.end.index)
    assert (told.fields["audit.override.action"], told.fields["audit.subject.index"]) == ("overridden", call.end.index)
    assert "carol" not in str(told.fields)


@pytest.mark.parametrize("verifiers", [[], ["carol", "carol"], ["a", "b", "c"], [""]])
def test_who_verified_is_one_or_two_people(tmp_path: Path, verifiers: list[str]) -> None:
    log = open_log(tmp_path)
    recorder = Recorder(LocalWriter(log, "app"), "app")
    with recorder.call(model="scores") as call:
        call.output("yes")
    with pytest.raises(EntryRejected, match="different people"):
        recorder.override(call, Decision.CONFIRMED, verifiers=verifiers)
    with pytest.raises(EntryRejected, match="a call that has ended"):
        recorder.override(recorder.call(model="scores"), Decision.CONFIRMED, verifiers=["carol"])
    log.close()
