"""`affidavit witness`, `audit receipt` and `audit monitor`, as a person runs them, against a log and a witness of their own processes."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import structlog

from oracle.audit.checkpoint import parse_checkpoint, sign_checkpoint
from oracle.audit.client import LogClient
from oracle.audit.cosign import WitnessKey, read_cosignatures
from oracle.audit.note import parse
from oracle.audit.submission import Submission, write_submission
from oracle.audit.tree import compute_consistency_proof, compute_root, hash_leaf
from oracle.audit.witness_key import read_witness_key
from oracle.demo.processes import find_free_port
from oracle.errors import LogRefused
from oracle.pipeline.keys import new_log
from tests.twins.log_service import LogService
from tests.twins.logs import KEY, entry
from tests.unit.cli_runner import Cli

ROOT = Path(__file__).parents[2]
VKEY = str(KEY.verifier)
LEAVES = [bytes(hash_leaf(i.to_bytes(4, "big"))) for i in range(1000)]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    yield Cli(monkeypatch, capsys)
    structlog.reset_defaults()  # a process's journal would go on writing to this test's standard error


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text("correct horse battery staple\n")
    return path


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LogService]:
    with LogService(tmp_path / "live") as running:
        for number in range(3):
            running.log.append("w", entry(number))
        yield running


# ---- witness --------------------------------------------------------------------------------------------------------------------------
def test_a_new_witness(cli: Cli, tmp_path: Path, password: Path) -> None:
    made = cli.ok("witness", "new", tmp_path / "w", "--name", "witness.example/w", "--password-file", password, "--json").json()
    key = read_witness_key(Path(made["key_file"]), password.read_text().strip())
    assert str(key.verifier) == made["vkey"]
    assert stat.S_IMODE(Path(made["key_file"]).stat().st_mode) == 0o600
    assert key.encode() not in Path(made["key_file"]).read_text()
    safe = cli.ok("witness", "new", tmp_path / "q", "--name", "q.example", "--password-file", password, "--ml-dsa", "--json").json()
    assert str(read_witness_key(Path(safe["key_file"]), password.read_text().strip()).verifier) == safe["vkey"]
    assert len(safe["vkey"]) > 1700
    assert "existing file" in cli.refused(2, "witness", "new", tmp_path / "w", "--name", "witness.example/w", "--password-file", password)
    assert "key name" in cli.refused(2, "witness", "new", tmp_path / "v", "--name", "two words", "--password-file", password)


def test_what_a_witness_does_not_start_with(cli: Cli, tmp_path: Path, password: Path) -> None:
    made = cli.ok("witness", "new", tmp_path / "w", "--name", "witness.example/w", "--password-file", password, "--json").json()
    common = ["--key-file", made["key_file"], "--password-file", password, "--database", f"sqlite:///{tmp_path}/w.sqlite"]
    assert "verifier key" in cli.refused(2, "witness", "serve", *common, "--log", made["vkey"])
    missing = ["--key-file", tmp_path / "none", *common[2:]]
    assert "readable" in cli.refused(2, "witness", "serve", *missing, "--log", VKEY)


class WitnessProcess:
    """`affidavit witness serve` as a process that can be killed."""

    def __init__(self, directory: Path, password: Path, cli: Cli, start: bool = True) -> None:
        made = cli.ok("witness", "new", directory / "keys", "--name", "witness.example/w", "--password-file", password, "--json").json()
        self.key: WitnessKey = read_witness_key(Path(made["key_file"]), password.read_text().strip()).verifier
        self.url = f"http://127.0.0.1:{find_free_port()}"
        self.database = directory / "witness.sqlite"
        keys = ["--key-file", made["key_file"], "--password-file", str(password)]
        place = ["--database", f"sqlite:///{self.database}", "--listen", self.url.removeprefix("http://")]
        self._command = [sys.executable, "-m", "oracle.cli", "witness", "serve", *keys, *place]
        if start:
            self.start()

    def start(self, vkey: str = VKEY) -> None:
        command = [*self._command, "--log", vkey]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self._is_ready():
            assert self._process.poll() is None, "the witness ended"
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(30)

    def offer(self, old: int, size: int, leaves: list[bytes] = LEAVES) -> httpx.Response:
        note = sign_checkpoint(size, compute_root(leaves[:size]), KEY).note.encode()
        proof = tuple(compute_consistency_proof(leaves[:size], old)) if old else ()
        return httpx.post(f"{self.url}/add-checkpoint", content=write_submission(Submission(old, proof, note)), timeout=20)


@pytest.fixture
def witness(tmp_path: Path, password: Path, cli: Cli) -> Iterator[WitnessProcess]:
    running = WitnessProcess(tmp_path, password, cli)
    yield running
    running.kill()


def test_a_witness_is_killed_in_a_loop_and_forgets_nothing(witness: WitnessProcess) -> None:
    """Four writers offer ever larger trees; whatever was cosigned when it was killed is the least that it knows afterwards."""
    r, most = random.Random(3), {"size": 0}
    given: dict[int, str] = {}
    assert witness.offer(0, 1).status_code == 200
    most["size"] = 1
    for _ in range(3):
        stop, before = threading.Event(), len(given)

        def offer(stop: threading.Event = stop) -> None:
            known = most["size"]
            for step in itertools.count(1):
                if stop.is_set() or known > 900:
                    return
                try:
                    answer = witness.offer(known, known + step % 3 + 1)
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    known += step % 3 + 1
                    given[known] = answer.text
                    most["size"] = max(most["size"], known)
                elif answer.status_code == 409:
                    known = int(answer.text)

        writers = [threading.Thread(target=offer) for _ in range(4)]
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + 30
        while len(given) < before + 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(r.uniform(0, 0.05))
        witness.kill()
        stop.set()
        for writer in writers:
            writer.join()
        witness.start()
        conflict = witness.offer(0, 1000)
        assert conflict.status_code == 409
        assert int(conflict.text) >= most["size"]
        most["size"] = int(conflict.text)
        forked = [*LEAVES[: most["size"] - 1], bytes(32), *LEAVES[most["size"] :]]
        assert witness.offer(most["size"], most["size"], forked).status_code == 422
        assert witness.offer(most["size"], most["size"] + 7, forked).status_code == 422
    assert len(given) >= 12
    for size, line in given.items():
        text = parse(sign_checkpoint(size, compute_root(LEAVES[:size]), KEY).note.encode()).text
        assert len(read_cosignatures((text + "\n" + line).encode(), [witness.key])) == 1
    assert witness.stop() == 0


# ---- a log and its witness ------------------------------------------------------------------------------------------------------------
class LogServe:
    """`affidavit log serve` with one witness, in a directory that can be copied and put back whole."""

    def __init__(self, directory: Path, password: Path, witness: WitnessProcess) -> None:
        made = new_log(directory / "keys", KEY.name, password, ["app"], [])
        (directory / "policy").write_text(f"witness w {witness.key} {witness.url}\nquorum w\n")
        self.directory, self.vkey = directory, made.vkey
        self.token = made.token_files["app"].read_text().strip()
        self.url = f"http://127.0.0.1:{find_free_port()}"
        databases = "".join(
            f'{name} = "sqlite:///{directory}/{name}.sqlite"\n' for name in ("database", "checkpoint_database", "custody_database")
        )
        (directory / "log.toml").write_text(
            f"""[chain]
rpc = "http://127.0.0.1:1"
deployment = "none"
[log]
listen = "{self.url.removeprefix("http://")}"
origin = "{KEY.name}"
directory = "files"
{databases}custody_key_file = "{made.custody_key_file}"
custody_password_file = "{password}"
key_file = "{made.key_file}"
password_file = "{password}"
tokens_file = "{made.tokens_file}"
witnesses = "policy"
witness_seconds = 0.1
"""
        )

    def start(self) -> int:
        """The status of /ready once the door is open."""
        command = [sys.executable, "-m", "oracle.cli", "log", "serve", "--config", str(self.directory / "log.toml")]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 90
        while True:
            try:
                return httpx.get(f"{self.url}/ready", timeout=5).status_code
            except httpx.HTTPError:
                assert self._process.poll() is None, "the log ended"
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def append(self, count: int) -> None:
        client = LogClient(self.url, self.token)
        for number in range(count):
            client.append(entry(number))
        client.close()

    def wait_witnessed(self) -> int:
        size, deadline = parse_checkpoint(httpx.get(f"{self.url}/checkpoint").content).size, time.monotonic() + 60
        while True:
            answer = httpx.get(f"{self.url}/witnessed")
            if answer.status_code == 200 and parse_checkpoint(answer.content).size >= size:
                return size
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_restored_backup_stops_loudly(tmp_path: Path, password: Path, cli: Cli) -> None:
    """Everything of a log is put back as it was, its checkpoint database too: only its witness knows that there was more."""
    (tmp_path / "live").mkdir()
    witness = WitnessProcess(tmp_path, password, cli, start=False)
    log = LogServe(tmp_path / "live", password, witness)
    witness.start(log.vkey)
    try:
        assert log.start() == 200
        log.append(3)
        log.wait_witnessed()
        log.stop()
        backup = shutil.copytree(tmp_path / "live", tmp_path / "backup")
        assert log.start() == 200
        log.append(4)
        size = log.wait_witnessed()
        log.stop()
        shutil.rmtree(tmp_path / "live")
        shutil.copytree(backup, tmp_path / "live")
        assert log.start() == 409
        reason = httpx.get(f"{log.url}/ready").json()["detail"]
        assert f"at least the {size} entries that witness w has, by this log's own signature" in reason
        with pytest.raises(LogRefused):
            log.append(1)
        assert parse_checkpoint(httpx.get(f"{log.url}/checkpoint").content).size < size
        log.stop()
    finally:
        witness.kill()


# ---- receipt --------------------------------------------------------------------------------------------------------------------------
def test_receipts(cli: Cli, service: LogService, tmp_path: Path) -> None:
    log = ["--log", service.url, "--vkey", VKEY]
    file = tmp_path / "receipt"
    assert "entry 1 is in the tree of 3 entries" in cli.ok("audit", "receipt", 1, *log, "--out", file).err
    cli.ok("audit", "receipt", 1, *log, "--verify", file)
    (tmp_path / "entry").write_bytes(service.log.entries.read(1, 2)[0].record)
    cli.ok("audit", "receipt", 1, "--log", tmp_path / "nowhere", "--vkey", VKEY, "--verify", file, "--record", tmp_path / "entry")
    assert "receipt" in cli.refused(2, "audit", "receipt", 2, *log, "--verify", file)
    assert "new file" in cli.refused(2, "audit", "receipt", 1, *log, "--out", file)
    assert "404" in cli.refused(3, "audit", "receipt", 7, *log, "--out", tmp_path / "other")
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    assert "false" in cli.refused(2, "audit", "receipt", 1, *log, "--verify", file)
    assert "readable" in cli.refused(2, "audit", "receipt", 1, *log, "--verify", tmp_path / "none")
    assert cli("audit", "receipt", 1, *log).code == 2
    service.log.refuse(LogRefused("log", "its witness", "a larger tree"))
    assert "409" in cli.refused(3, "audit", "receipt", 1, *log, "--out", tmp_path / "refused")


# ---- monitor --------------------------------------------------------------------------------------------------------------------------
def watch(service: LogService, tmp_path: Path, *more: object) -> list[object]:
    """The twin's clock stands in 2026-11-22, so nothing is stale to a monitor that is told to wait for long."""
    years = 1 << 40
    limits = ["--stale", years, "--skew", years, "--late-witness", years, "--late-anchor", years]
    return [
        "audit",
        "monitor",
        "--log",
        service.url,
        "--vkey",
        VKEY,
        "--database",
        f"sqlite:///{tmp_path}/m.sqlite",
        "--once",
        *limits,
        *more,
    ]


def test_exit_codes_of_the_monitor(cli: Cli, service: LogService, tmp_path: Path) -> None:
    fine = cli.ok(*watch(service, tmp_path))
    assert fine.out == "3 entries audited of a log of 3; 0 alarms stand\n"
    service.log.append("w", entry(3))
    assert cli.ok(*watch(service, tmp_path, "--json")).json() == {"size": 4, "audited": 4, "alarms": [], "unseen": []}
    other = [*watch(service, tmp_path)]
    other[3] = f"http://127.0.0.1:{find_free_port()}"
    unseen = cli(*other)
    assert (unseen.code, "not seen" in unseen.err) == (3, True)
    cli.ok(*watch(service, tmp_path))


def test_a_rollback_ends_with_two_until_somebody_looked(cli: Cli, service: LogService, tmp_path: Path) -> None:
    cli.ok(*watch(service, tmp_path))
    shown = shutil.copytree(tmp_path / "live/log", tmp_path / "old")
    (shown / "checkpoint").write_text(sign_checkpoint(2, compute_root(_leaves(service)[:2]), KEY).note)
    lie = [*watch(service, tmp_path)]
    lie[3] = str(shown)
    ran = cli(*lie)
    assert ran.code == 2
    assert "critical rollback" in ran.out
    [alarm] = json.loads(cli(*lie, "--json").out)["alarms"]
    assert parse_checkpoint(alarm["evidence"]["shown"].encode()).size == 2
    assert cli(*watch(service, tmp_path)).code == 2
    cli.ok(*watch(service, tmp_path), "--acknowledge", alarm["id"])
    cli.ok(*watch(service, tmp_path))
    assert "alarm" in cli.refused(2, *watch(service, tmp_path), "--acknowledge", alarm["id"])


def _leaves(service: LogService) -> list[bytes]:
    return [bytes(row.leaf_hash) for row in service.log.entries.read(0, service.log.checkpoint.size)]


def test_the_webhook_of_one_round(cli: Cli, service: LogService, tmp_path: Path) -> None:
    told: list[dict[str, object]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hook = ["--webhook", f"http://127.0.0.1:{server.server_port}"]
        late = watch(service, tmp_path, *hook)
        late[late.index("--stale") + 1] = 1
        assert cli(*late).code == 2
        server.shutdown()
    assert {body["kind"] for body in told} == {"silence"}


def test_a_policy_that_is_not_met(cli: Cli, service: LogService, tmp_path: Path, witness: WitnessProcess) -> None:
    policy = tmp_path / "policy"
    policy.write_text(f"log {VKEY}\nwitness w {witness.key} {witness.url}\nquorum w\n")
    arguments = [*watch(service, tmp_path, "--policy", policy)]
    arguments[arguments.index("--late-witness") + 1] = 0
    ran = cli(*arguments)
    assert ran.code == 2
    assert "witness quorum NOT met: cosigned by nobody; no cosignature of w" in ran.out
    note = service.log.checkpoint
    answer = httpx.post(f"{witness.url}/add-checkpoint", content=write_submission(Submission(0, (), note.note.encode())))
    (tmp_path / "live/log/witnessed").write_text(note.note + answer.text)
    cli.ok(*arguments)


def test_the_monitor_as_a_process(service: LogService, tmp_path: Path) -> None:
    listen = f"127.0.0.1:{find_free_port()}"
    arguments = [str(a) for a in watch(service, tmp_path, "--listen", listen, "--pause", "0.2") if a != "--once"]
    process = subprocess.Popen([sys.executable, "-m", "oracle.cli", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                text = httpx.get(f"http://{listen}/metrics", timeout=5).text
            except httpx.HTTPError:
                text = ""
            if "affidavit_monitor_audited_entries 3.0" in text:
                break
            assert process.poll() is None
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        assert 'affidavit_monitor_rounds_total{outcome="seen"}' in text
        assert httpx.get(f"http://{listen}/alarms").json() == {"alarms": []}
    finally:
        process.terminate()
        assert process.wait(30) == 0
    with sqlite3.connect(tmp_path / "m.sqlite") as connection:
        assert connection.execute("SELECT audited FROM monitor_logs").fetchone() == (3,)


def test_half_a_chain_is_refused(cli: Cli, service: LogService, tmp_path: Path) -> None:
    assert "none of them" in cli.refused(2, *watch(service, tmp_path, "--anchor-key", "0x000000000000000000000000000000000000dEaD"))
    assert os.environ.get("AFFIDAVIT_RPC") is None
