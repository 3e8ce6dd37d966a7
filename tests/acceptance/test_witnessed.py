"""A network's log beside its witness and its anchors, as an auditor and a monitor see it. The witness dies, and comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog

from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.client import LogClient
from oracle.audit.cosign import generate_witness_key, read_cosignatures
from oracle.audit.note import parse_vkey
from oracle.audit.policy import load_policy
from oracle.audit.proof import verify_proof
from oracle.demo.auditing import wait_anchored
from oracle.demo.local_keys import local_account
from oracle.demo.network import Network, Plan, running_network
from oracle.records import Checkpoint
from tests.twins.logs import entry
from tests.unit.cli_runner import Cli


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    yield Cli(monkeypatch, capsys)
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One operator, anchored every second; this module stops its witness."""
    plan = Plan(operators=1, provers=0, is_watched=False, models=("digits-mlp/canonical",), anchor_seconds=1)
    with running_network(tmp_path_factory.mktemp("small"), plan) as running:
        yield running


def write(network: Network, count: int) -> Checkpoint:
    """Entries of an application; the checkpoint that covers them."""
    client = LogClient(network.log_url, (network.directory / "log-keys/application.token").read_text().strip())
    for number in range(count):
        client.append(entry(number))
    client.close()
    return open_checkpoint(httpx.get(f"{network.log_url}/checkpoint").content, parse_vkey(network.vkey))


def wait_witnessed(network: Network, size: int, seconds: float = 60) -> bytes:
    deadline = time.monotonic() + seconds
    while True:
        answer = httpx.get(f"{network.log_url}/witnessed")
        if answer.status_code == 200 and open_checkpoint(answer.content, parse_vkey(network.vkey)).size >= size:
            return answer.content
        assert time.monotonic() < deadline
        time.sleep(0.1)


def monitor(network: Network, database: Path, *more: object) -> list[object]:
    place = ["--log", network.log_url, "--vkey", network.vkey, "--database", f"sqlite:///{database}", "--policy", network.policy_file]
    chain = ["--rpc", network.chain.rpc, "--deployment", network.deployment_file, "--anchor-key", local_account("log").address]
    return ["audit", "monitor", "--once", "--json", *place, *chain, *more]


def test_what_was_logged_is_witnessed_and_proofs_carry_it(small: Network) -> None:
    checkpoint = write(small, 3)
    note = wait_witnessed(small, checkpoint.size)
    keys = load_policy(small.policy_file).keys
    assert [c.key for c in read_cosignatures(note, keys, time.time())] == keys
    file = httpx.get(f"{small.log_url}/proof/{checkpoint.size - 1}").content
    proven = verify_proof(file, parse_vkey(small.vkey))[1]
    assert len(read_cosignatures(proven.note.encode(), keys, time.time())) == 1


def test_an_audit_by_the_policy(cli: Cli, small: Network, tmp_path: Path) -> None:
    size = write(small, 1).size
    wait_witnessed(small, size)
    wait_anchored(small, size - 2)  # the entry just written: the last may be an anchor's own
    place = ["--log", small.log_url, "--vkey", small.vkey, "--rpc", small.chain.rpc, "--deployment", small.deployment_file]
    audited = cli.ok("audit", "verify", size - 1, *place, "--policy", small.policy_file, "--json").json()
    assert audited["is_witnessed"] is True
    assert "witness quorum met by local" in next(step["detail"] for step in audited["steps"] if step["number"] == 3)
    asked = tmp_path / "policy"
    asked.write_text(
        small.policy_file.read_text().replace("quorum local", "")
        + f"witness x {generate_witness_key('stranger.example').verifier}\ngroup g all local x\nquorum g\n"
    )
    unmet = cli("audit", "verify", size - 1, *place, "--policy", asked)
    assert unmet.code == 2
    assert "witness quorum NOT met: cosigned by local; no cosignature of x" in unmet.out


def test_a_monitor_sees_nothing_wrong(cli: Cli, small: Network, tmp_path: Path) -> None:
    size = write(small, 2).size
    wait_witnessed(small, size)
    for _ in range(2):  # a machine whose clock nobody disciplines says so, and is right to; the twin's entries have a fixed time
        seen = json.loads(cli(*monitor(small, tmp_path / "m.sqlite")).out)
        assert {alarm["kind"] for alarm in seen["alarms"]} <= {"clock"}
        assert seen["audited"] == seen["size"] >= size
        assert seen["unseen"] == []


def test_the_log_goes_on_without_its_witness_and_says_so(cli: Cli, small: Network, tmp_path: Path) -> None:
    small.processes.kill("witness")
    size = write(small, 2).size
    deadline = time.monotonic() + 60
    while "affidavit_log_witness_quorum_met 0.0" not in (text := httpx.get(f"{small.log_url}/metrics").text):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    assert 'affidavit_log_witness_failures_total{witness="local"}' in text
    time.sleep(1.1)  # the monitor counts whole seconds
    late = json.loads(cli(*monitor(small, tmp_path / "m.sqlite", "--late-witness", 0)).out)
    assert "witness" in {alarm["kind"] for alarm in late["alarms"]}
    small.processes.restart("witness")
    small.processes.wait_ready("witness")
    wait_witnessed(small, size, 90)
    again = json.loads(cli(*monitor(small, tmp_path / "m.sqlite")).out)
    assert {alarm["kind"] for alarm in again["alarms"]} <= {"clock"}
