"""The node as its own process, on a real chain with the real contracts and a real log: answering, stopping, being killed."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from circuits import CanonicalModel
from oracle.attest.keys import write_keystore
from oracle.attest.quorum import check_signed_claim
from oracle.audit.source import DirectorySource
from oracle.audit.tiles import ENTRIES, Tile, parse_bundle
from oracle.config import load_config
from oracle.encoding import keccak256, pack_int16, pack_policy, to_hex
from oracle.errors import ConfigRejected, ModelRejected, Rejected
from oracle.node.directory import ModelDirectory, read_directory
from oracle.node.models import write_opaque_manifest
from oracle.pipeline.deploy import register_model
from oracle.pipeline.node import run_node
from oracle.records import Asked, Bytes32, Policy
from oracle.relay.deployment import write_deployment
from oracle.wire import asked_to_json, signed_claim_from_json
from tests.chain.conftest import FEE_WEI, World, account
from tests.twins.hostile_models import SMALLEST, integers_input, write_dividing, write_looping
from tests.twins.log_process import LogProcess
from tests.twins.log_service import LogService
from tests.twins.logs import full_check
from tests.twins.node_scene import DIGITS, digit_image, integers, vector, write_scale_model
from tests.twins.operators import sign_request

PASSWORD = "a password for tests only"
ROOT = Path(__file__).parents[2]


def wait_for(done: Callable[[], bool], what: Callable[[], str] = str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"waited too long{what()}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@dataclass
class NodeProcess:
    """`affidavit node` with its files in `folder`; may be started again after it ended."""

    folder: Path
    url: str
    process: subprocess.Popen[bytes] | None = None
    journals: list[Path] = field(default_factory=list)

    def start(self) -> None:
        self.journals.append(self.folder / f"journal-{len(self.journals)}")
        command = [sys.executable, "-m", "oracle.cli", "node", "--config", str(self.folder / "node.toml")]
        with self.journals[-1].open("wb") as journal:
            self.process = subprocess.Popen(command, stderr=journal, stdout=journal, cwd=ROOT)

    def wait_ready(self) -> None:
        wait_for(self.is_ready, self.tail)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.journals[-1].read_text()[-3000:]
        try:
            return httpx.get(self.url + "/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def tail(self) -> str:
        return ": " + self.journals[-1].read_text()[-3000:]

    def claim(self, asked: Asked) -> httpx.Response:
        return httpx.get(f"{self.url}/v1/claims/{to_hex(asked.request_id)}")

    def has_answered(self, asked: Asked) -> bool:
        try:
            return self.claim(asked).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogService]:
    with LogService(tmp_path / "log", "node-0") as running:
        yield running


@pytest.fixture
def digits(world: World) -> Bytes32:
    directory = read_directory(DIGITS)
    register = (directory.kind, directory.manifest_digest, directory.circuit, directory.parts, "seed:digits-mlp")
    model_id = register_model(world.contracts, world.sender(0), *register).model_id
    assert model_id == directory.model_id
    return model_id


@pytest.fixture
def node(tmp_path: Path, world: World, log: LogService, digits: Bytes32) -> Iterator[NodeProcess]:
    folder, port = tmp_path / "node", free_port()
    folder.mkdir()
    for name, secret in (("password", PASSWORD), ("token", log.tokens["node-0"])):
        (folder / name).write_text(secret + "\n")
        (folder / name).chmod(0o600)
    write_keystore(world.signers[0]._account, folder / "key.json", folder / "password")
    write_deployment(world.deployment, folder / "deployment.json")
    (folder / "node.toml").write_text(
        f"""
[chain]
rpc = "{world.rpc}"
deployment = "deployment.json"
poll_seconds = 0.1

[node]
name = "node-0"
listen = "127.0.0.1:{port}"
database = "sqlite:///{{dir}}/node.sqlite"
keystore = "key.json"
password_file = "password"
models = ["{DIGITS}"]
log_url = "{log.url}"
log_token_file = "token"
minimum_fee_wei = 1
"""
    )
    process = NodeProcess(folder, f"http://127.0.0.1:{port}")
    yield process
    if process.process is not None and process.process.poll() is None:
        process.stop(signal.SIGKILL)


def ask(world: World, model_id: Bytes32, position: int) -> Asked:
    policy, deadline = pack_policy(Policy(quorum=1)), world.now() + 600
    arguments = (model_id, digit_image(position), policy, 0, deadline, account(6).address)
    return world.asked_in(world.sender(6).send(world.contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI)))


def records_of(log: LogService) -> list[dict[str, object]]:
    size = log.log.checkpoint.size
    assert size <= 256
    return [json.loads(record) for record in parse_bundle(DirectorySource(log.directory / "log").read_tile(Tile(ENTRIES, 0, size)), size)]


def check_answer(node: NodeProcess, world: World, asked: Asked) -> None:
    signed = signed_claim_from_json(node.claim(asked).json())
    assert check_signed_claim(signed, asked, world.contracts.domain, world.contracts.operators()).index == 0
    assert signed.output == pack_int16(CanonicalModel.load(DIGITS).run(integers(asked.input)).ravel().tolist())


def test_a_node_answers_chain_and_signed_requests_and_stops_when_told(
    world: World, digits: Bytes32, node: NodeProcess, log: LogService
) -> None:
    early = ask(world, digits, 0)  # before the node starts: it catches up
    node.start()
    node.wait_ready()
    later = ask(world, digits, 1)
    requester = world.sender(6)
    requester.send(world.contracts.call("Coprocessor", "deposit", value_wei=FEE_WEI))
    template = world.signed_request(1, digit_image(2), quorum=1)
    request = type(template.request)(**{f: getattr(template.request, f) for f in template.request.__slots__} | {"model_id": digits})
    signed = sign_request(request, digit_image(2), account(6), world.contracts.domain)
    assert httpx.post(node.url + "/v1/requests", json=asked_to_json(signed)).status_code == 202
    for asked in (early, later, signed):
        wait_for(lambda asked=asked: node.has_answered(asked), node.tail)  # type: ignore[misc]
        check_answer(node, world, asked)
    kinds = [(r["audit.request_id"], r["audit.kind"]) for r in records_of(log)]
    for asked in (early, later, signed):
        assert [kind for request_id, kind in kinds if request_id == to_hex(asked.request_id)] == ["intent", "result"]
    assert 'affidavit_node_jobs{state="answered"} 3.0' in httpx.get(node.url + "/metrics").text
    assert node.stop() == 0
    text = node.journals[-1].read_text()
    assert '"event": "stopped"' in text
    for secret in (PASSWORD, log.tokens["node-0"], bytes(world.signers[0]._account.key).hex()):
        assert secret not in text


def test_a_node_killed_again_and_again_answers_each_request_once(world: World, digits: Bytes32, node: NodeProcess, log: LogService) -> None:
    rng, asked = random.Random(int(os.environ.get("AFFIDAVIT_TEST_SEED", "7"))), []
    for round_number in range(3):
        asked += [ask(world, digits, 10 * round_number + position) for position in range(4)]
        node.start()
        if round_number < 2:
            time.sleep(rng.uniform(1.5, 3.0))  # most of it is starting
            node.stop(signal.SIGKILL)
    wait_for(lambda: all(map(node.has_answered, asked)), node.tail)
    for one in asked:
        check_answer(node, world, one)
    records = records_of(log)
    for one in asked:
        mine = [r for r in records if r["audit.request_id"] == to_hex(one.request_id)]
        assert [r["audit.kind"] for r in mine] == ["intent", "result"]
        assert mine[1]["audit.output_digest"] == to_hex(keccak256(signed_claim_from_json(node.claim(one).json()).output))
    assert node.stop() == 0


def test_a_node_that_lost_its_log_goes_on_when_it_is_back(world: World, digits: Bytes32, node: NodeProcess, tmp_path: Path) -> None:
    """Without the log no model runs and nothing is answered; the request is not lost."""
    port = free_port()
    text = (node.folder / "node.toml").read_text()
    lines = [f'log_url = "http://127.0.0.1:{port}"' if line.startswith("log_url") else line for line in text.splitlines()]
    (node.folder / "node.toml").write_text("\n".join(lines))
    asked = ask(world, digits, 3)
    node.start()
    wait_for(lambda: "put off" in node.journals[-1].read_text(), node.tail)
    assert httpx.get(node.url + "/ready").json() == {
        "ready": False,
        "degraded": False,
        "chain": True,
        "log": False,
        "models": True,
    }
    assert node.claim(asked).status_code == 202
    assert "affidavit_node_inference_seconds_count{" not in httpx.get(node.url + "/metrics").text
    with LogService(tmp_path / "log-2", "node-0") as late:
        (node.folder / "token").write_text(late.tokens["node-0"] + "\n")
        node.stop()
        restored = [f'log_url = "{late.url}"' if line.startswith("log_url") else line for line in lines]
        (node.folder / "node.toml").write_text("\n".join(restored))
        node.start()
        wait_for(lambda: node.has_answered(asked), node.tail)
        check_answer(node, world, asked)


def test_an_open_node_answers_while_its_log_is_killed_and_the_records_are_there_when_it_is_back(
    world: World, digits: Bytes32, node: NodeProcess, tmp_path: Path
) -> None:
    """Both are killed, the node while it owes: a call is answered without the log, and after both are back the log has it, late."""
    with LogProcess(tmp_path / "log-2", "node-0") as log:
        (node.folder / "token").write_text(log.tokens["node-0"] + "\n")
        lines = (node.folder / "node.toml").read_text().splitlines()
        lines = [f'log_url = "{log.url}"' if line.startswith("log_url") else line for line in lines]
        (node.folder / "node.toml").write_text("\n".join([*lines, 'log_policy = "open"']))
        before = ask(world, digits, 3)
        node.start()
        wait_for(lambda: node.has_answered(before), node.tail)
        log.kill()
        during = ask(world, digits, 4)
        wait_for(lambda: node.has_answered(during), node.tail)
        check_answer(node, world, during)
        told = httpx.get(node.url + "/ready")
        assert (told.status_code, told.json()["ready"], told.json()["degraded"], told.json()["log"]) == (200, True, True, False)
        assert "affidavit_node_owed_entries 2.0" in httpx.get(node.url + "/metrics").text
        assert '"level": "critical"' in node.journals[-1].read_text()
        node.stop(signal.SIGKILL)
        log.start()
        node.start()
        wait_for(lambda: node.is_ready() and not httpx.get(node.url + "/ready").json()["degraded"], node.tail)
        assert node.stop() == 0
    records = full_check(tmp_path / "log-2")
    assert [(r["audit.kind"], r.get("audit.is_late", False)) for r in records] == [
        ("intent", False),
        ("result", False),
        ("intent", True),
        ("result", True),
    ]
    assert records[3]["audit.request_id"] == to_hex(during.request_id)


def children_of(pid: int) -> list[int]:
    """Processes below `pid`, at any depth."""
    parents = {int(p.name): int((p / "stat").read_text().rsplit(")", 1)[1].split()[1]) for p in Path("/proc").iterdir() if is_process(p)}
    found, layer = [], [pid]
    while layer:
        layer = [child for child, parent in parents.items() if parent in layer]
        found += layer
    return found


def is_process(path: Path) -> bool:
    return path.name.isdigit() and (path / "stat").exists()


def register_opaque(world: World, directory: ModelDirectory) -> Bytes32:
    return register_model(world.contracts, world.sender(0), directory.kind, directory.manifest_digest, b"", (), "test").model_id


def ask_opaque(world: World, model_id: Bytes32, value: int) -> Asked:
    policy, deadline = pack_policy(Policy(quorum=1)), world.now() + 600
    arguments = (model_id, integers_input(value), policy, 0, deadline, account(6).address)
    return world.asked_in(world.sender(6).send(world.contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI)))


@pytest.mark.slow
def test_no_model_takes_the_node_with_it_and_no_process_is_left_behind(
    world: World, digits: Bytes32, node: NodeProcess, tmp_path: Path
) -> None:
    """One model divides what cannot be divided, one never ends: their requests are refused, all others answered, by the same process."""
    dividing, looping = write_dividing(tmp_path), write_looping(tmp_path)
    names = f'models = ["{DIGITS}", "{dividing.path}", "{looping.path}"]'
    lines = [names if line.startswith("models") else line for line in (node.folder / "node.toml").read_text().splitlines()]
    (node.folder / "node.toml").write_text("\n".join([*lines, "job_seconds = 4", "job_tries = 2", "workers = 2", "prove = true"]))
    ids = [register_opaque(world, directory) for directory in (dividing, looping)]
    node.start()
    assert node.process is not None
    killer, endless = ask_opaque(world, ids[0], SMALLEST), ask_opaque(world, ids[1], (1 << 63) - 1)
    good = [ask_opaque(world, ids[0], 5), ask_opaque(world, ids[1], 5), ask(world, digits, 8)]
    policy, deadline = pack_policy(Policy(proof=True)), world.now() + 600
    arguments = (digits, digit_image(9), policy, 0, deadline, account(6).address)
    proven = world.asked_in(world.sender(6).send(world.contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI)))
    wait_for(lambda: all(map(node.has_answered, [*good, proven])), node.tail, 60)
    assert signed_claim_from_json(node.claim(proven).json()).proof
    for asked, how in ((killer, "SIGFPE"), (endless, "longer than 4 seconds, 2 times")):
        wait_for(lambda asked=asked: node.claim(asked).status_code == 422, node.tail)  # type: ignore[misc]
        assert node.claim(asked).json()["title"] == "WorkGivenUp"
        assert how in node.claim(asked).json()["detail"]
    assert node.process.poll() is None
    metrics = httpx.get(node.url + "/metrics").text
    assert 'affidavit_node_workers_lost_total{fate="died",kind="inference"} 2.0' in metrics
    assert 'affidavit_node_workers_lost_total{fate="time",kind="inference"} 2.0' in metrics
    below = children_of(node.process.pid)
    assert len(below) >= 3  # the fork server, and a child for each worker
    node.stop(signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    node.start()
    node.wait_ready()
    below = children_of(node.process.pid)
    endless = ask_opaque(world, ids[1], (1 << 63) - 2)
    wait_for(lambda: "affidavit_node_work_running 1.0" in httpx.get(node.url + "/metrics").text, node.tail)
    assert node.stop() == 0
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))


@pytest.mark.parametrize(
    ("old", "new", "error", "names"),
    [
        ("minimum_fee_wei = 1", 'executor = "threads"', ConfigRejected, "node: executor"),
        ('keystore = "key.json"', 'keystore = "none.json"', ConfigRejected, "none.json"),
        ("minimum_fee_wei = 1", "minimum_fee = 1", ConfigRejected, "minimum_fee"),
        ("minimum_fee_wei = 1", "workers = 0", ConfigRejected, "workers"),
        ("minimum_fee_wei = 1", "max_input_bytes = 2097152", ConfigRejected, "max_input_bytes"),
        (str(DIGITS), str(DIGITS.parent), ModelRejected, "manifest.json"),
    ],
)
def test_what_keeps_a_node_from_starting(node: NodeProcess, old: str, new: str, error: type[Rejected], names: str) -> None:
    path = node.folder / "node.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(error, match=names):
        run_node(load_config(path))


def test_a_node_that_cannot_start_says_why_in_one_line(node: NodeProcess) -> None:
    (node.folder / "key.json").unlink()
    node.start()
    assert node.process is not None
    assert node.process.wait(30) == 2
    text = node.journals[-1].read_text()
    assert "key.json" in text
    assert "Traceback" not in text


def resident_mib(pid: int) -> float:
    """Anonymous memory of a process and everything below it; what they share with the fork server is counted once."""
    total = 0.0
    for one in (pid, *children_of(pid)):
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss_Anon:")) / 1024
    return total


@pytest.mark.slow
def test_memory_stays_flat_over_thousands_of_requests(world: World, digits: Bytes32, node: NodeProcess, tmp_path: Path) -> None:
    """Of the node and of its children: half of the requests run in the one, half in the others. Leaks of 3 KiB a request are seen."""
    scale = write_opaque_manifest(write_scale_model(tmp_path / "scale.onnx"), tmp_path / "scale", "scale")
    names = f'models = ["{DIGITS}", "{scale.path}"]'
    lines = [names if line.startswith("models") else line for line in (node.folder / "node.toml").read_text().splitlines()]
    (node.folder / "node.toml").write_text("\n".join([*lines, "workers = 2"]))
    scale_id = register_opaque(world, scale)
    total, rounds = 0, [1000, 1000, 1000]
    world.sender(6).send(world.contracts.call("Coprocessor", "deposit", value_wei=FEE_WEI * 2 * sum(rounds)))
    template = world.signed_request(0, digit_image(0), quorum=1).request
    node.start()
    node.wait_ready()
    assert node.process is not None
    figures = []
    with httpx.Client() as http:
        for count in rounds:
            asked = []
            for number in range(total, total + count):
                model_id, data = (digits, digit_image(number)) if number % 2 else (scale_id, vector(1.0, float(number)))
                request = replace(template, model_id=model_id, input_digest=keccak256(data), nonce=template.nonce + number)
                asked.append(sign_request(request, data, account(6), world.contracts.domain))
                assert http.post(node.url + "/v1/requests", json=asked_to_json(asked[-1])).status_code == 202
            total += count
            wait_for(lambda: f'jobs{{state="answered"}} {total}.0' in http.get(node.url + "/metrics").text, node.tail)  # noqa: B023
            assert all(http.get(f"{node.url}/v1/claims/{to_hex(one.request_id)}").status_code == 200 for one in asked)
            figures.append(resident_mib(node.process.pid))
    assert figures[-1] - figures[0] < 5, figures
    assert node.stop() == 0
