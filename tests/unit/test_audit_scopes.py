"""What a writer may write about: tokens with scopes, and calls that belong to whoever began them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from oracle.audit.access import Access, load_access, new_token, write_tokens
from oracle.audit.client import LogClient
from oracle.audit.scopes import Scope, scopes_of
from oracle.encoding import to_hex
from oracle.errors import ConfigRejected, EntryRejected
from oracle.pipeline.keys import new_log
from oracle.records import Entry, EntryKind
from tests.twins.log_service import LogService
from tests.twins.logs import entry, full_check, open_log

TIME = "2026-11-22T10:00:00.000000Z"
OUTSIDE = {"audit.actor": "a", "audit.call_id": to_hex(b"\x05" * 32)}
INTENT = Entry(EntryKind.INTENT, TIME, {**OUTSIDE, "gen_ai.operation.name": "chat"})
RESULT = Entry(EntryKind.RESULT, TIME, {**OUTSIDE, "audit.intent.index": 0, "audit.outcome": "ok"})
ERROR = Entry(EntryKind.ERROR, TIME, {**OUTSIDE, "error.type": "x"})
OVERRIDE = Entry(EntryKind.OVERRIDE, TIME, {**OUTSIDE, "audit.subject.index": 0})
REVIEW = Entry(EntryKind.REVIEW, TIME, {"audit.actor": "a", "audit.review.action": "reviewed"})
CLOCK = Entry(EntryKind.CLOCK, TIME, {"audit.actor": "a", "audit.clock.source": "ntp"})
ON_CHAIN = entry(1, call=7)

ALLOWED = {
    Scope.CHAIN: [ON_CHAIN, CLOCK],
    Scope.CALLS: [INTENT, RESULT, ERROR, OVERRIDE, CLOCK, entry(2)],
    Scope.OFFICE: [REVIEW, OVERRIDE, CLOCK],
}
ENTRIES = [ON_CHAIN, CLOCK, INTENT, RESULT, ERROR, OVERRIDE, entry(2), REVIEW]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LogService]:
    made = LogService(tmp_path, "chain", "calls", "office", "both")
    scopes = {"chain": {Scope.CHAIN}, "calls": {Scope.CALLS}, "office": {Scope.OFFICE}, "both": {Scope.CHAIN, Scope.OFFICE}}
    made.access.may.update({name: frozenset(words) for name, words in scopes.items()})  # type: ignore[attr-defined]
    with made as running:
        yield running


# ---- scopes -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("number", range(len(ENTRIES)))
def test_each_scope_takes_what_is_its_own(service: LogService, scope: Scope, number: int) -> None:
    written, headers = ENTRIES[number], {"authorization": f"Bearer {service.tokens[str(scope)]}"}
    client = LogClient(service.url, service.tokens[str(scope)])
    if written in ALLOWED[scope]:
        assert client.append(written).index == 0
        return
    with pytest.raises(EntryRejected, match="scope"):
        client.append(written)
    with pytest.raises(EntryRejected, match="scope"):
        client.append_batch([(CLOCK, None), (written, None)])
    assert service.log.checkpoint.size == 0, "nothing of a batch with one that is refused"
    assert httpx.post(service.url + "/append", json={}, headers=headers).status_code == 400


def test_the_door_for_calls_needs_their_scope(service: LogService) -> None:
    for name, status in (("office", 403), ("chain", 403), ("calls", 201), ("writer", 201)):
        headers = {"authorization": f"Bearer {service.tokens[name]}"}
        assert httpx.post(service.url + "/calls", json={"model": "m"}, headers=headers).status_code == status, name


def test_several_scopes_and_none() -> None:
    access = Access({}, {}, {"both": frozenset({Scope.CHAIN, Scope.OFFICE})})
    access.require_scope("both", ON_CHAIN)
    access.require_scope("both", REVIEW)
    for written in ENTRIES:
        access.require_scope("anybody", written)
    assert scopes_of(CLOCK) == frozenset()


def test_the_tokens_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    write_tokens(path, {"node-1": new_token(), "app": new_token()}, {}, {"node-1": {Scope.CHAIN}})
    assert load_access(path).may == {"node-1": frozenset({Scope.CHAIN})}
    document = json.loads(path.read_text())
    for may in ({"nobody": ["chain"]}, {"app": []}, {"app": ["everything"]}, {"app": "chain"}, {"app": [7]}, {"app": None}, []):
        path.write_text(json.dumps(document | {"may": may}))
        with pytest.raises(ConfigRejected):
            load_access(path)


def test_a_new_logs_writers(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("a password for tests\n")
    password.chmod(0o600)
    made = new_log(tmp_path / "keys", "log.example/a", password, ["node-1:chain", "qa:calls+office", "old"], ["auditor"])
    assert set(made.token_files) == {"node-1", "qa", "old", "auditor"}
    assert load_access(made.tokens_file).may == {"node-1": frozenset({Scope.CHAIN}), "qa": frozenset({Scope.CALLS, Scope.OFFICE})}
    for number, writers in enumerate((["a:everything"], ["a:chain", "a:calls"], ["a", "auditor"], ["a:"])):
        if writers == ["a:"]:
            continue  # as without a scope
        with pytest.raises(ConfigRejected):
            new_log(tmp_path / str(number), "log.example/a", password, writers, ["auditor"])


# ---- whose call it is ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("attack", [INTENT, RESULT, ERROR], ids=["another intent", "a result", "an error"])
def test_nobody_else_tells_a_call(tmp_path: Path, attack: Entry) -> None:
    log = open_log(tmp_path)
    log.append("app", INTENT)
    with pytest.raises(EntryRejected, match="the writer that began it"):
        log.append("other", attack)
    with pytest.raises(EntryRejected, match="the writer that began it"):
        log.submit_batch("other", [(entry(1), None), (attack, None)]).result()
    assert log.append("app", RESULT).index == 2
    assert log.append("office", OVERRIDE).index == 3, "people's decisions may be others'"
    log.close()
    log = open_log(tmp_path)
    with pytest.raises(EntryRejected):
        log.append("other", attack)
    log.close()
    assert [r["audit.writer"] for r in full_check(tmp_path)] == ["app", "other", "app", "office"]


def test_two_who_begin_the_same_call_in_one_batch(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    futures = [log.submit(name, replace(INTENT)) for name in ("one", "two")]
    outcomes = [future.exception() is None for future in futures]
    assert outcomes == [True, False]
    log.close()
    assert len(full_check(tmp_path)) == 1
