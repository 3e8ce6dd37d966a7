"""The audit on a real chain: anchors that the contract checks, a call verified end to end, and the log's own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from oracle.attest.keys import write_keystore
from oracle.attest.quorum import assemble_quorum
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.audit.anchor import Anchorer
from oracle.audit.client import LogClient
from oracle.audit.entries import intent_entry, receipt_entry, result_entry
from oracle.audit.log import LocalWriter, Log
from oracle.audit.report import StepStatus
from oracle.audit.source import DirectorySource
from oracle.audit.view import LogView
from oracle.config import read_secret
from oracle.encoding import compute_log_id, keccak256
from oracle.errors import AuditFailed, ChainError, LogRefused
from oracle.pipeline.audit import Auditor, open_auditor
from oracle.pipeline.keys import new_log
from oracle.pipeline.log import ContractAnchors
from oracle.records import Address, Asked, Claim, Delivery, Evidence, Inference, Receipt, Runtime, SignedClaim
from oracle.relay.deployment import write_deployment
from oracle.relay.failures import CallReverted
from oracle.relay.sender import AnchorSender
from tests.chain.conftest import World, account
from tests.twins.api import served
from tests.twins.audited import ShownSource
from tests.twins.logs import KEY, START, TickingClock, entry, open_log
from tests.twins.signer import ReferenceRpcSigner

ANCHOR = AccountSigner(account(8))
LOG_ID = compute_log_id(KEY.name, ANCHOR.address)
RUNTIME = Runtime("onnxruntime", "1.31.1", "CPUExecutionProvider", "all")
OUTPUT = b"".join((1000 if i == 7 else 0).to_bytes(2, "big") for i in range(10))


def anchorer_of(world: World, log: Log, directory: Path) -> Anchorer:
    chain = ContractAnchors(world.contracts, AnchorSender(world.contracts, ANCHOR))
    return Anchorer(log, DirectorySource(directory / "log"), chain, ANCHOR, TickingClock())


def answer_and_deliver(
    world: World,
    log: Log,
    asked: Asked,
    is_logged: bool = True,
    assemble: Callable[[Sequence[SignedClaim]], Evidence] | None = None,
    told: Sequence[Address] = (),
) -> None:
    """Three operators answer, the relay delivers; everybody logs. `assemble` makes other evidence of the claims; `told`: its signers."""
    domain, claims = world.contracts.domain, []
    for index in range(3):
        writer, name = LocalWriter(log, f"node-{index}"), f"node-{index}"
        intent = writer.append(intent_entry(asked, domain, name, "digits", START))
        claim = Claim(asked.request_id, world.model_id, asked.request.input_digest, keccak256(OUTPUT))
        signed = sign_claim(claim, OUTPUT, domain, world.signers[index])
        inference = Inference(world.model_id, asked.request.input_digest, keccak256(OUTPUT), OUTPUT, RUNTIME, 0.001)
        writer.append(result_entry(intent, asked, domain, signed, inference, name, "digits", START))
        claims.append(signed)
    evidence = assemble_quorum(claims, 3, world.contracts.operators()) if assemble is None else assemble(claims)
    delivery = Delivery(asked, claims[0].claim, OUTPUT, (evidence,))
    sent = world.sender(7).send(world.contracts.deliver_call([delivery]))
    event = sent.delivered[0]
    signers = tuple(told) or tuple(c.signer for c in claims)
    where = (sent.transaction, sent.block_number, sent.block_hash)
    receipt = Receipt(asked.request_id, *where, event.output_digest, event.callback, sent.gas_used, signers)
    if is_logged:
        LocalWriter(log, "relay").append(receipt_entry(receipt, delivery, domain, "relay", START))


def test_a_call_of_a_contract_verifies_end_to_end(world: World, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    anchorer = anchorer_of(world, log, tmp_path)
    asked = world.ask_gate()
    answer_and_deliver(world, log, asked)
    first = anchorer.run_once()
    assert first is not None
    assert anchorer.run_once() is None
    signed = world.signed_request(nonce=1)
    world.sender(6).send(world.contracts.call("Coprocessor", "deposit", value_wei=10**16))
    answer_and_deliver(world, log, signed)
    second = anchorer.run_once()
    assert second is not None
    assert world.contracts.latest_anchor(LOG_ID) == (second.size, second.root)
    assert [a.size for a in world.contracts.anchors(LOG_ID)] == [first.size, second.size]
    auditor = Auditor(LogView(ShownSource(tmp_path / "log", log), KEY.verifier), world.contracts, LOG_ID)
    for request_id in (asked.request_id, signed.request_id):
        report = auditor.verify_call(request_id)
        assert [(s.number, s.status) for s in report.steps] == [(n, StepStatus.PASSED) for n in range(1, 8)]
    assert auditor.verify_log().is_complete
    log.close()


def test_the_contract_takes_every_growth_and_no_fork(world: World, tmp_path: Path) -> None:
    log = open_log(tmp_path / "a")
    anchorer = anchorer_of(world, log, tmp_path / "a")
    for count in (1, 2, 5, 30):
        [f.result() for f in [log.submit("w", entry(i)) for i in range(count)]]
        assert anchorer.run_once() is not None
    log.close()
    fork = open_log(tmp_path / "b")
    [f.result() for f in [fork.submit("w", entry(1000 + i)) for i in range(60)]]
    forger = anchorer_of(world, fork, tmp_path / "b")
    anchored = world.contracts.latest_anchor(LOG_ID)[0]
    with pytest.raises(ChainError) as refused:  # what a log would do that does not check itself
        forger._submit(anchored, fork.checkpoint)
    assert isinstance(refused.value.__cause__, CallReverted)
    assert refused.value.__cause__.error == "RootMismatch"
    with pytest.raises(LogRefused, match="another log"):
        forger.run_once()
    view = LogView(DirectorySource(tmp_path / "b/log"), KEY.verifier)
    with pytest.raises(AuditFailed) as caught:
        Auditor(view, world.contracts, LOG_ID).verify_log()
    assert caught.value.step == 4
    fork.close()


def test_a_reorganised_delivery_fails_at_the_receipt(world: World, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    asked = world.ask_gate()
    before = world.rpc_call("evm_snapshot")
    answer_and_deliver(world, log, asked)
    auditor = Auditor(LogView(ShownSource(tmp_path / "log", log), KEY.verifier), world.contracts, LOG_ID)
    auditor.verify_call(asked.request_id)
    world.rpc_call("evm_revert", before)
    with pytest.raises(AuditFailed) as caught:
        auditor.verify_call(asked.request_id)
    assert caught.value.step == 7
    log.close()


# ---- the process ------------------------------------------------------------------------------------------------------------------------
PORT_WAIT_SECONDS = 30.0


class LogProcess:
    """`affidavit log serve` in a directory, on a free port."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world, self.directory = world, directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        password = directory / "password"
        password.write_text("a password for tests\n")
        password.chmod(0o600)
        self.made = new_log(directory / "keys", "log.example/affidavit", password, ["node-1"], ["auditor"])
        write_keystore(account(8), directory / "anchor.json", password)
        write_deployment(world.deployment, directory / "deployment.json")
        self.config = directory / "log.toml"
        self.config.write_text(f"""
[chain]
rpc = "{world.rpc}"
deployment = "deployment.json"
[log]
listen = "127.0.0.1:{self.port}"
origin = "log.example/affidavit"
directory = "log"
database = "sqlite:///{{dir}}/entries.sqlite"
checkpoint_database = "sqlite:///{{dir}}/checkpoint.sqlite"
custody_database = "sqlite:///{{dir}}/custody.sqlite"
custody_key_file = "keys/custody-key.json"
custody_password_file = "password"
key_file = "keys/log-key.json"
password_file = "password"
tokens_file = "keys/tokens.json"
anchor_keystore = "anchor.json"
anchor_seconds = 0.2
""")

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", "oracle.cli", "log", "serve", "--config", str(self.config)])
        deadline = time.monotonic() + PORT_WAIT_SECONDS
        while time.monotonic() < deadline:
            assert process.poll() is None, "the log's process ended"
            try:
                if httpx.get(self.url + "/ready").status_code == 200:
                    return process
            except httpx.TransportError:
                time.sleep(0.05)
        process.kill()
        raise AssertionError("the log did not start")

    def client(self) -> LogClient:
        return LogClient(self.url, read_secret(self.made.token_files["node-1"]))

    def auditor(self) -> Auditor:
        token = read_secret(self.made.token_files["auditor"])
        anchor_key = Address(account(8).address)
        return open_auditor(self.url, self.made.vkey, self.world.rpc, self.directory / "deployment.json", anchor_key, token)


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for_anchor(process: LogProcess, size: int) -> None:
    log_id = compute_log_id("log.example/affidavit", Address(account(8).address))
    deadline = time.monotonic() + PORT_WAIT_SECONDS
    while process.world.contracts.latest_anchor(log_id)[0] < size:
        assert time.monotonic() < deadline, "the log did not anchor"
        time.sleep(0.1)


def test_the_process_serves_anchors_survives_kill_and_is_audited(world: World, tmp_path: Path) -> None:
    log = LogProcess(world, tmp_path)
    process = log.start()
    try:
        client = log.client()
        places = [client.append(entry(i), f"k{i}").index for i in range(3)]  # the log itself writes of its clock, some time
        assert places == sorted(places)
        wait_for_anchor(log, places[-1] + 1)
        process.kill()
        process.wait()
        process = log.start()
        assert client.append(entry(1), "k1").index == places[1]
        grown = client.append(entry(9), "k9").index
        wait_for_anchor(log, grown + 1)
        report = log.auditor().verify_log()
        statuses: dict[int, Any] = {step.number: step.status for step in report.steps}
        assert statuses == dict.fromkeys(range(1, 5), StepStatus.PASSED)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


def test_the_process_anchors_with_a_key_that_lives_elsewhere(world: World, tmp_path: Path) -> None:
    log, twin = LogProcess(world, tmp_path), ReferenceRpcSigner()
    twin.add(account(8))
    (tmp_path / "anchor.json").unlink()
    with served(twin.app()) as url:
        keys = f'signer_url = "{url}"\nsigner_api = "eth"\nsigner_address = "{account(8).address}"\n'
        log.config.write_text(log.config.read_text().replace('anchor_keystore = "anchor.json"\n', keys))
        process = log.start()
        try:
            wait_for_anchor(log, log.client().append(entry(0)).index + 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    assert {shown.get("primaryType", "transaction") for shown in twin.signed} == {"Anchor", "transaction"}


def test_a_restored_process_does_not_start(world: World, tmp_path: Path) -> None:
    import shutil

    log = LogProcess(world, tmp_path)
    process = log.start()
    log.client().append(entry(1))
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    names = ["log", "entries.sqlite", "checkpoint.sqlite"]
    backup = tmp_path / "backup"
    backup.mkdir()
    for name in names:
        (shutil.copytree if (tmp_path / name).is_dir() else shutil.copy)(tmp_path / name, backup / name)
    process = log.start()
    size = log.client().append(entry(2)).index + 1
    wait_for_anchor(log, size)
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    for name in names:
        shutil.rmtree(tmp_path / name) if (tmp_path / name).is_dir() else (tmp_path / name).unlink()
        (shutil.copytree if (backup / name).is_dir() else shutil.copy)(backup / name, tmp_path / name)
    command = [sys.executable, "-m", "oracle.cli", "log", "serve", "--config", str(log.config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "restored from a backup" in ended.stderr
