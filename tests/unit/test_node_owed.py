"""A node whose policy is open: the log goes away in the middle of its work, it answers all the same, and tells everything late."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from fastapi.testclient import TestClient

from oracle.attest.prove import Prover
from oracle.attest.quorum import verify_quorum
from oracle.audit.call import ClaimChecks
from oracle.audit.late import LogPolicy
from oracle.audit.verify import verify_call
from oracle.audit.view import LogView
from oracle.config import NodeConfig
from oracle.errors import ConfigRejected, EntryRejected, InvariantBroken, OutOfScope, PeerError
from oracle.node import jobs
from oracle.node.jobs import JobState, JobStore
from oracle.node.models import load_model
from oracle.node.service import Door, make_app
from oracle.pipeline.node import Node, open_node, work_once
from oracle.records import Asked, Entry, EntryKind, Policy
from oracle.signatures import recover_signer
from oracle.store import open_database
from tests.twins.audited import LOG_ID, ShownSource
from tests.twins.log_process import LogProcess
from tests.twins.logs import KEY, open_log
from tests.twins.node_scene import Scene, digit_image, make_node, make_scene, vector
from tests.twins.older import older_database
from tests.twins.postgres import NewDatabase
from tests.unit.test_node_answer import failing_model

FAR = 1e12
INTENT, RESULT, ERROR = EntryKind.INTENT, EntryKind.RESULT, EntryKind.ERROR


def open_scene(folder: Path) -> Scene:
    scene = make_scene(folder)
    scene.node = replace(scene.node, log_policy=LogPolicy.OPEN)
    return scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return open_scene(tmp_path)


def ask(scene: Scene, position: int = 0) -> Asked:
    asked = scene.chain.ask(scene.digits.model_id, digit_image(position), Policy(quorum=1), fee_wei=5)
    scene.store.enqueue(asked)
    return asked


def state_of(scene: Scene, asked: Asked) -> JobState:
    return scene.store.job(asked.request_id).state


def lateness(scene: Scene) -> list[tuple[EntryKind, bool]]:
    return [(entry.kind, entry.fields.get("audit.is_late") is True) for entry in scene.log.entries]


# ---- it answers, and tells later ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("broken", ["is_down", "is_closed"])
def test_without_the_log_it_answers_and_remembers_what_it_owes(scene: Scene, broken: str) -> None:
    asked = [ask(scene, position) for position in range(3)]
    setattr(scene.log, broken, True)
    while work_once(scene.node, FAR):
        pass
    assert {state_of(scene, one) for one in asked} == {JobState.ANSWERED}
    assert (scene.log.entries, scene.store.owed.count()) == ([], 6)
    assert scene.node.metrics.log_failures._value.get() == 1, "one alarm for one outage, not one for each entry"
    with pytest.raises(PeerError):
        scene.node.ledger.deliver()
    setattr(scene.log, broken, False)
    assert scene.node.ledger.deliver() == 6
    assert lateness(scene) == [(INTENT, True), (RESULT, True)] * 3
    for number, one in enumerate(asked):
        result = scene.log.entries[2 * number + 1]
        assert result.fields["audit.intent.index"] == 2 * number
        assert result.fields["audit.request_id"] == "0x" + one.request_id.hex()
    ask(scene, 3)
    work_once(scene.node, FAR)
    assert lateness(scene)[6:] == [(INTENT, False), (RESULT, False)]


def test_only_the_result_is_late_when_the_log_goes_while_the_model_runs(scene: Scene) -> None:
    asked = ask(scene)
    scene.log.before = lambda entry: setattr(scene.log, "is_down", entry.kind is INTENT)
    work_once(scene.node, FAR)
    assert state_of(scene, asked) is JobState.ANSWERED
    scene.log.is_down, scene.log.before = False, lambda entry: None
    scene.node.ledger.deliver()
    assert lateness(scene) == [(INTENT, False), (RESULT, True)]
    assert scene.log.entries[1].fields["audit.intent.index"] == 0


@pytest.mark.parametrize("lost", [1, 2])
def test_an_answer_of_the_log_that_was_lost_writes_no_entry_twice(scene: Scene, lost: int) -> None:
    ask(scene)
    if lost == 1:
        scene.log.loses_answers = 1
    else:
        scene.log.before = lambda entry: setattr(scene.log, "loses_answers", int(entry.kind is RESULT))
    work_once(scene.node, FAR)
    scene.log.before, scene.log.loses_answers = lambda entry: None, 0
    scene.node.ledger.deliver()
    assert [kind for kind, _ in lateness(scene)] == [INTENT, RESULT]
    assert scene.log.entries[1].fields["audit.intent.index"] == 0


def test_nothing_new_overtakes_what_is_owed(scene: Scene) -> None:
    ask(scene)
    scene.log.is_down = True
    work_once(scene.node, FAR)
    scene.log.is_down = False
    ask(scene, 1)
    work_once(scene.node, FAR)
    assert scene.log.entries == []
    scene.node.ledger.deliver()
    assert lateness(scene) == [(INTENT, True), (RESULT, True)] * 2


def test_an_intent_whose_model_fails_is_closed_late_too(scene: Scene, tmp_path: Path) -> None:
    from oracle.node.models import ModelLibrary

    model = load_model(failing_model(tmp_path))
    scene.chain.register_model(model.directory.kind, model.directory.manifest_digest)
    node = replace(scene.node, library=ModelLibrary([model]))
    asked = scene.chain.ask(model.directory.model_id, vector(1, 2), fee_wei=5)
    scene.store.enqueue(asked)
    scene.log.is_down = True
    work_once(node, FAR)
    assert scene.store.job(asked.request_id).problem == "InputRejected"
    scene.log.is_down = False
    node.ledger.deliver()
    assert lateness(scene) == [(INTENT, True), (ERROR, True)]
    assert scene.log.entries[1].fields["audit.intent.index"] == 0


# ---- crashes ---------------------------------------------------------------------------------------------------------------------------
class Died(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("method", ["add", "sign_all_once", "mark_all_answered", "mark_delivered"])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("is_back", [False, True], ids=["away", "back"])
def test_a_process_that_dies_between_two_steps(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, is_after: bool, is_back: bool
) -> None:
    """A new process finishes, whether the log is back by then or not: one intent, one result, one signature."""
    asked = ask(scene)
    holder: Any = scene.store.owed if method in ("add", "mark_delivered") else scene.store
    real = getattr(holder, method)

    def die(*arguments: object, **named: object) -> None:
        if is_after:
            real(*arguments, **named)
        raise Died

    monkeypatch.setattr(holder, method, die)
    scene.log.is_down = True
    if method == "mark_delivered":
        work_once(scene.node, FAR)
        scene.log.is_down = False
        with pytest.raises(Died):
            scene.node.ledger.deliver()
    else:
        with pytest.raises(Died):
            work_once(scene.node, FAR)
    scene.log.is_down = not is_back
    reborn = replace(
        make_node(scene.chain, scene.log, scene.node.library, tmp_path / "node.sqlite"),  # type: ignore[arg-type]
        log_policy=LogPolicy.OPEN,
    )
    reborn.store.requeue_all()
    while work_once(reborn, FAR):
        pass
    assert reborn.store.job(asked.request_id).state is JobState.ANSWERED
    scene.log.is_down = False
    reborn.ledger.deliver()
    assert [kind for kind, _ in lateness(scene)] == [INTENT, RESULT]
    assert scene.log.entries[1].fields["audit.intent.index"] == 0
    assert reborn.store.owed.count() == 0


def test_a_node_that_is_closed_again_delivers_what_it_owes_from_before(scene: Scene, tmp_path: Path) -> None:
    asked = ask(scene)
    scene.log.is_down = True
    real = scene.store.mark_all_answered
    scene.store.mark_all_answered = lambda _: (_ for _ in ()).throw(PeerError("away"))  # type: ignore[method-assign]
    work_once(scene.node, FAR)
    scene.store.mark_all_answered = real  # type: ignore[method-assign]
    scene.log.is_down = False
    closed = make_node(scene.chain, scene.log, scene.node.library, tmp_path / "node.sqlite")
    work_once(closed, 2 * FAR)
    assert state_of(scene, asked) is JobState.QUEUED, "closed, and its intent is not in the log"
    closed.ledger.deliver()
    work_once(closed, 3 * FAR)
    assert state_of(scene, asked) is JobState.ANSWERED
    assert [kind for kind, _ in lateness(scene)] == [INTENT, RESULT]


def test_an_entry_the_log_never_takes_is_kept_for_a_person_and_blocks_nothing(scene: Scene) -> None:
    ask(scene)
    ask(scene, 1)
    scene.log.is_down = True
    while work_once(scene.node, FAR):
        pass
    scene.log.is_down = False
    seen: list[Entry] = []

    def refuse_first(entry: Entry) -> None:
        seen.append(entry)
        if len(seen) == 1:
            raise EntryRejected("entry", "another")

    scene.log.before = refuse_first
    scene.node.ledger.deliver()
    assert scene.store.owed.count() == 0
    assert lateness(scene)[-2:] == [(INTENT, True), (RESULT, True)]


def test_open_what_another_token_could_write_is_still_owed(scene: Scene) -> None:
    ask(scene)
    scene.log.is_down = True
    while work_once(scene.node, FAR):
        pass
    scene.log.is_down = False
    owed = scene.store.owed.count()

    def refuse(entry: Entry) -> None:
        raise OutOfScope("intent", "chain", "calls")

    scene.log.before = refuse
    with pytest.raises(PeerError, match="takes no entry of this node"):
        scene.node.ledger.deliver()
    assert scene.store.owed.count() == owed > 0


def test_open_a_bug_of_ours_still_stops_the_worker(scene: Scene) -> None:
    ask(scene)

    def refuse(entry: Entry) -> None:
        raise EntryRejected("entry", "another", "this")

    scene.log.before = refuse
    with pytest.raises(InvariantBroken):
        work_once(scene.node, FAR)


def test_the_guard_is_still_for_ever(scene: Scene) -> None:
    """Its table was made anew by a migration, and so were its triggers."""
    ask(scene)
    work_once(scene.node, FAR)
    for statement in ("UPDATE guard SET output_digest = x'00'", "DELETE FROM guard"):
        with pytest.raises(sqlalchemy.exc.IntegrityError, match="never changed"), scene.store._engine.begin() as connection:
            connection.exec_driver_sql(statement)


# ---- what an operator sees --------------------------------------------------------------------------------------------------------------
def door_of(scene: Scene, node: Node, tolerated: frozenset[str]) -> TestClient:
    def require_log() -> None:
        if not scene.log.is_ready():
            raise PeerError("the log is not ready")

    parts = (node.name, node.store, node.chain, node.library, node.terms, node.metrics, {"log": require_log})
    return TestClient(make_app(Door(*parts, lambda: None, tolerated)))


def test_ready_says_degraded_and_metrics_tell(scene: Scene) -> None:
    client = door_of(scene, scene.node, frozenset({"log"}))
    assert client.get("/ready").json() == {"ready": True, "degraded": False, "log": True}
    scene.log.is_down = True
    ask(scene)
    work_once(scene.node, FAR)
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "degraded": True, "log": False})
    text = client.get("/metrics").text
    assert "affidavit_node_owed_entries 2.0" in text
    assert "affidavit_node_log_failures_total 1.0" in text
    scene.log.is_down = False
    assert client.get("/ready").json()["degraded"] is True, "until everything is told"
    scene.node.ledger.deliver()
    assert client.get("/ready").json() == {"ready": True, "degraded": False, "log": True}


def test_a_policy_that_is_none_is_refused(tmp_path: Path, scene: Scene) -> None:
    settings: dict[str, Any] = {"name": "n", "listen": "", "database": "", "keystore": tmp_path, "password_file": tmp_path, "models": ()}
    config = NodeConfig(**settings, log_url="", log_token_file=tmp_path, log_policy="ajar")
    with pytest.raises(ConfigRejected, match="log_policy"):
        open_node(config, scene.store._engine, scene.chain, scene.log)


# ---- with a real log that is killed, and an audit ---------------------------------------------------------------------------------------
def test_a_log_killed_and_back_and_the_audit_of_the_call_holds_with_a_remark(tmp_path: Path) -> None:
    from oracle.audit.client import LogClient

    scene = open_scene(tmp_path / "scene")
    with LogProcess(tmp_path, "node-0") as log:
        client = LogClient(log.url, log.tokens["node-0"], pause_seconds=0.01)
        node = replace(scene.node, log=client)
        before, during = ask(scene), ask(scene, 1)
        work_once(node, FAR)
        log.kill()
        work_once(node, FAR)
        assert state_of(scene, during) is JobState.ANSWERED
        log.start()
        assert node.ledger.deliver() == 2
        client.close()
    reopened = open_log(tmp_path)
    try:
        view = LogView(ShownSource(tmp_path / "log", reopened), KEY.verifier)
        checks = ClaimChecks(recover_signer, verify_quorum, Prover(()).verify)
        in_time = verify_call(view, scene.chain, LOG_ID, before.request_id, checks)
        late = verify_call(view, scene.chain, LOG_ID, during.request_id, checks)
    finally:
        reopened.close()
    assert not any("after the fact" in remark for remark in in_time.remarks)
    assert any("entries 2, 3 were written after the fact" in remark for remark in late.remarks)
    assert [step.status for step in late.steps] == [step.status for step in in_time.steps]


# ---- on other databases, and older ones -------------------------------------------------------------------------------------------------
def test_owing_on_every_kind_of_database(scene: Scene, new_database: NewDatabase) -> None:
    node = replace(scene.node, store=JobStore(open_database(new_database(), jobs.SCHEMA)))
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=1), fee_wei=5)
    node.store.enqueue(asked)
    scene.log.is_down = True
    work_once(node, FAR)
    guarded = node.store.require_guarded(asked.request_id, scene.chain.domain)
    assert (guarded.intent, node.store.owed.count()) == (None, 2)
    scene.log.is_down = False
    assert node.ledger.deliver() == 2
    assert lateness(scene) == [(INTENT, True), (RESULT, True)]


def test_a_guard_from_before_keeps_its_rows(tmp_path: Path) -> None:
    """The table is made anew on SQLite: what was signed once stays, and stays unchangeable."""
    url = f"sqlite:///{tmp_path}/node.sqlite"
    values = {"chain_id": "1", "coprocessor": "0x" + 40 * "1", "signer": "0x" + 40 * "2", "runtime": "{}", "microseconds": 1}
    values |= {"intent_index": 7, "intent_tree_size": 8, "output": b"o", "signature": bytes(65), "intent_leaf_hash": bytes(32)}
    values |= dict.fromkeys(("request_id", "model_id", "input_digest", "output_digest"), bytes(32))
    with older_database(url, jobs.SCHEMA, "node_0003") as connection:
        names = ", ".join(values)
        connection.execute(sqlalchemy.text(f"INSERT INTO guard ({names}) VALUES (:{', :'.join(values)})"), values)
    upgraded = open_database(url, jobs.SCHEMA)
    with upgraded.begin() as connection:
        row = connection.execute(sqlalchemy.text("SELECT * FROM guard")).mappings().one()
    assert dict(row) == values
    with pytest.raises(sqlalchemy.exc.IntegrityError, match="never changed"), upgraded.begin() as connection:
        connection.exec_driver_sql("UPDATE guard SET intent_index = 9")
