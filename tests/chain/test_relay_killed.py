"""The relay's real process, killed with SIGKILL at random moments and started again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from oracle.attest.keys import LIGHT_SCRYPT_N, write_keystore
from oracle.audit.source import HttpSource
from oracle.errors import RequestUnknown
from oracle.pipeline.logged import read_logged
from oracle.records import Asked, RequestStatus
from oracle.relay.deployment import write_deployment
from oracle.relay.schema import RequestState
from oracle.relay.store import events_since, list_requests
from oracle.store import open_database
from tests.chain.conftest import World, account
from tests.chain.relay_rig import RELAY, NodeTwin
from tests.twins.api import running_log, served

SEED = 20261122
CALLBACK_GAS = 900_000


def node_app(twin: NodeTwin) -> FastAPI:
    """The twin behind a real HTTP door."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def door(path: str, request: Request) -> Response:
        answer = twin.handle(httpx.Request(request.method, f"http://node/{path}", content=await request.body()))
        return Response(answer.content, answer.status_code, media_type="application/json")

    return app


@dataclass
class Place:
    """Everything around the process."""

    directory: Path
    database: str
    log_url: str
    log_key: object

    def start(self, name: str = "journal") -> subprocess.Popen[bytes]:
        """The command, as an operator would run it; its journal goes to a file."""
        code = "import sys, pathlib; from oracle.config import load_config; from oracle.pipeline.relay import run_relay; "
        code += "run_relay(load_config(pathlib.Path(sys.argv[1])))"
        with (self.directory / f"{name}.jsonl").open("ab") as journal:
            return subprocess.Popen([sys.executable, "-c", code, str(self.directory / "relay.toml")], stderr=journal)

    def journal(self, name: str = "journal") -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.directory / f"{name}.jsonl").read_text().splitlines() if line.endswith("}")]


@contextmanager
def placed(world: World, tmp_path: Path, database: str) -> Iterator[Place]:
    """A log, three nodes, and a relay's configuration over a database."""
    with ExitStack() as stack:
        log_url, log_key = stack.enter_context(running_log(tmp_path / "log"))
        twins = [NodeTwin(i, world.signers[i], world.deployment.domain, world.known) for i in range(3)]
        nodes = [stack.enter_context(served(node_app(twin))) for twin in twins]
        for name, text in (("password", "a long password"), ("token", "writer-token")):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o600)
        write_keystore(account(RELAY), tmp_path / "relay.json", tmp_path / "password", LIGHT_SCRYPT_N)
        write_deployment(world.deployment, tmp_path / "deployment.json")
        (tmp_path / "relay.toml").write_text(
            f'[chain]\nrpc = "{world.rpc}"\ndeployment = "deployment.json"\npoll_seconds = 0.05\n'
            f'[relay]\nlisten = "127.0.0.1:0"\ndatabase = "{database}"\nkeystore = "relay.json"\n'
            f'password_file = "password"\nnodes = {json.dumps(nodes)}\nlog_url = "{log_url}"\nlog_token_file = "token"\n'
            f"batch_size = 3\ncollect_seconds = 0.05\nmax_callback_gas = {CALLBACK_GAS}\n"
        )
        yield Place(tmp_path, database, log_url, log_key)


@pytest.fixture
def place(world: World, tmp_path: Path) -> Iterator[Place]:
    with placed(world, tmp_path, f"sqlite:///{tmp_path}/relay.sqlite") as place:
        yield place


def wait_started(process: subprocess.Popen[bytes], place: Place, lives: int) -> None:
    deadline = time.monotonic() + 60
    while sum(line.get("event") == "started" for line in place.journal()) < lives:
        assert process.poll() is None, place.journal()[-3:]
        assert time.monotonic() < deadline, "the relay did not start"
        time.sleep(0.02)


def is_settled(place: Place, asked: list[Asked]) -> bool:
    engine = open_database(place.database, "relay")
    try:
        final = {view.asked.request_id for view in list_requests(engine, RequestState.FINAL)}
    finally:
        engine.dispose()
    return final >= {one.request_id for one in asked} and all(count_receipts(place, one) == 2 for one in asked)


def count_receipts(place: Place, asked: Asked) -> int:
    """Receipts of a request in the log, every one with a verified proof."""
    source = HttpSource(place.log_url, "reader-token")
    try:
        entries = read_logged(source, place.log_key, asked.request_id).entries  # type: ignore[arg-type]
    except RequestUnknown:
        return 0
    finally:
        source.close()
    assert [entry.record["audit.finality"] for entry in entries] == ["mined", "final"][: len(entries)]
    return len(entries)


def check_everything(world: World, place: Place, asked: list[Asked]) -> None:
    engine = open_database(place.database, "relay")
    for one in asked:
        logs = world.contracts._logs_since("Coprocessor", "InferenceDelivered", {"requestId": one.request_id})
        assert len(logs) == 1, "delivered more than once"
        assert world.contracts.status_of(one.request_id).status is RequestStatus.FINAL
        kinds = [event.kind for event in events_since(engine, one.request_id)]
        assert kinds.count("mined") == kinds.count("final") == 1
        assert "nonce_lost" not in kinds
        assert "not_done" not in kinds, "paid for a delivery that did nothing"
    engine.dispose()


def kill_and_restart(world: World, place: Place, kills: int, seed: int) -> None:
    chooser, asked, process = random.Random(seed), [], None
    try:
        for life in range(1, kills + 2):
            asked += [world.ask_gate(bytes([life, i])) for i in range(2)]
            process = place.start()
            wait_started(process, place, life)
            if life <= kills:
                time.sleep(chooser.uniform(0, 0.6))
                process.send_signal(signal.SIGKILL)
                process.wait()
        deadline = time.monotonic() + 60
        while not is_settled(place, asked):
            assert time.monotonic() < deadline, "requests were lost"
            assert process is not None
            assert process.poll() is None
            time.sleep(0.2)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
    check_everything(world, place, asked)


def test_killed_and_restarted(world: World, place: Place) -> None:
    kill_and_restart(world, place, kills=4, seed=SEED)
    text = (place.directory / "journal.jsonl").read_text()
    assert "a long password" not in text
    assert "writer-token" not in text
    assert bytes(account(RELAY).key).hex() not in text


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_many_times(world: World, place: Place, seed: int) -> None:
    kill_and_restart(world, place, kills=20, seed=seed)


def test_two_relays_on_one_database_are_refused(world: World, place: Place) -> None:
    first = place.start()
    try:
        wait_started(first, place, 1)
        second = place.start()
        assert second.wait(60) != 0
        assert first.poll() is None
        os.kill(first.pid, signal.SIGTERM)
        assert first.wait(30) == 0
    finally:
        for process in (first, second):
            if process.poll() is None:
                process.kill()
                process.wait()
