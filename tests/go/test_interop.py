"""Other people's programs read our log: Go's sumdb/note and sumdb/tlog, torchwood, go-cose; and litewitness cosigns our checkpoints.

Built once into tests/go/build (ignored by git), again when go.mod, go.sum, the sources or the compiler changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.audit.checkpoint import open_checkpoint, sign_checkpoint
from oracle.audit.cosign import COSIGNATURE_ML_DSA_44, WitnessKey, WitnessSigner, parse_witness_vkey, read_cosignatures
from oracle.audit.log import Log
from oracle.audit.note import SignerKey
from oracle.audit.policy import parse_policy
from oracle.audit.receipts import make_receipt
from oracle.audit.server import make_proof
from oracle.audit.source import DirectorySource
from oracle.audit.tree import compute_root, hash_leaf
from oracle.audit.witness import Witnessing
from oracle.audit.witness_store import CosignedStore
from oracle.errors import LogRefused
from oracle.seams import SystemClock
from tests.twins.logs import KEY, entry, open_log, places, read_bundles
from tests.twins.witnesses import SIGNERS, WitnessTwin, client_maker, policy_of

HERE = Path(__file__).parent
BUILD = HERE / "build"
LITEWITNESS = "filippo.io/torchwood/cmd/litewitness"
SIZES = (1, 2, 255, 256, 257, 300)
SIZE = 600
VKEY = str(KEY.verifier)


def compute_stamp(version: str) -> str:
    files = [HERE / "go.mod", HERE / "go.sum", *sorted((HERE / "interop").glob("*.go"))]
    return hashlib.sha256(b"\0".join([version.encode(), *(path.read_bytes() for path in files)])).hexdigest()


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the programs. Skips where there is no Go of at least 1.25."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed: tiles, proofs and cosignatures are not held against Go's programs here")
    version = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout.strip()
    found = re.search(r"go1\.(\d+)", version)
    if found is None or int(found[1]) < 25:
        pytest.skip(f"{version}: Go 1.25 or newer is needed")
    stamp = BUILD / "stamp"
    if not stamp.exists() or stamp.read_text() != compute_stamp(version):
        command = ["go", "build", "-mod=readonly", "-trimpath", "-o", f"{BUILD}/", "./interop", LITEWITNESS]
        built = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr
        stamp.write_text(compute_stamp(version))
    return BUILD


class Interop:
    """Runs the program of tests/go/interop."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def __call__(self, *arguments: object) -> dict[str, Any]:
        done = self._run(*arguments)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def refuses(self, *arguments: object) -> str:
        done = self._run(*arguments)
        assert done.returncode == 1, (done.stdout, done.stderr)
        return done.stderr

    def _run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="session")
def interop(tools: Path) -> Interop:
    return Interop(tools / "interop")


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Log, dict[int, bytes]]]:
    """A log of 600 entries, and its checkpoints at some sizes on the way there."""
    directory = tmp_path_factory.mktemp("grown")
    log, kept = open_log(directory), dict[int, bytes]()
    for size in (*SIZES, SIZE):
        pending = [log.submit("w", entry(number)) for number in range(log.checkpoint.size, size)]
        for future in pending:
            future.result()
        kept[size] = (directory / "log/checkpoint").read_bytes()
    yield directory / "log", log, kept
    log.close()


# ---- tiles, checkpoints, proofs -------------------------------------------------------------------------------------------------------
def test_go_authenticates_every_tile_and_entry(interop: Interop, grown: tuple[Path, Log, dict[int, bytes]]) -> None:
    assert interop("tiles", grown[0], VKEY) == {"origin": KEY.name, "size": SIZE, "entries": SIZE}


@pytest.mark.parametrize(
    "path", ["checkpoint", "tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/001", "tile/entries/002.p/88"]
)
def test_go_notices_any_changed_file(interop: Interop, grown: tuple[Path, Log, dict[int, bytes]], path: str, tmp_path: Path) -> None:
    changed = tmp_path / "log"
    shutil.copytree(grown[0], changed)
    data = bytearray((changed / path).read_bytes())
    data[len(data) // 3] ^= 1
    (changed / path).write_bytes(bytes(data))
    assert interop.refuses("tiles", changed, VKEY)


def test_go_proves_consistency_from_every_kept_checkpoint(
    interop: Interop, grown: tuple[Path, Log, dict[int, bytes]], tmp_path: Path
) -> None:
    for size, note in grown[2].items():
        (tmp_path / "kept").write_bytes(note)
        answer = interop("consistency", tmp_path / "kept", grown[0], VKEY)
        assert (answer["from"], answer["to"]) == (size, SIZE)
    forked = sign_checkpoint(300, compute_root([hash_leaf(b"x")] * 300), KEY)
    (tmp_path / "kept").write_text(forked.note)
    assert "proof" in interop.refuses("consistency", tmp_path / "kept", grown[0], VKEY)
    other = SignerKey("other.example/log", KEY.seed)
    assert interop.refuses("consistency", tmp_path / "kept", grown[0], other.verifier)


def test_go_checks_our_tlog_proofs(interop: Interop, grown: tuple[Path, Log, dict[int, bytes]], tmp_path: Path) -> None:
    directory, log, _ = grown
    records = read_bundles(directory, SIZE)
    for index in (0, 1, 255, 256, 511, 512, SIZE - 1):
        (tmp_path / "file").write_bytes(make_proof(log, DirectorySource(directory), index))
        answer = interop("proof", tmp_path / "file", VKEY)
        assert (answer["index"], answer["size"], answer["record"].encode()) == (index, SIZE, records[index])
    data = (tmp_path / "file").read_bytes()
    for old, new in ((b"index 599", b"index 598"), (b"\nindex", b"\nindex "), (b"\n600\n", b"\n601\n")):
        (tmp_path / "file").write_bytes(data.replace(old, new))
        assert interop.refuses("proof", tmp_path / "file", VKEY)


# ---- receipts ---------------------------------------------------------------------------------------------------------------------------
def test_go_cose_verifies_our_receipts(interop: Interop, grown: tuple[Path, Log, dict[int, bytes]], tmp_path: Path) -> None:
    directory, log, _ = grown
    records = read_bundles(directory, SIZE)
    for index in (0, 1, 255, 256, 512, SIZE - 1):
        (tmp_path / "receipt").write_bytes(make_receipt(log, DirectorySource(directory), KEY, index))
        (tmp_path / "entry").write_bytes(records[index])
        assert interop("receipt", tmp_path / "receipt", VKEY, tmp_path / "entry") == {"size": SIZE, "index": index}
        (tmp_path / "entry").write_bytes(records[index - 1])
        assert interop.refuses("receipt", tmp_path / "receipt", VKEY, tmp_path / "entry")
    stranger = SignerKey(KEY.name, bytes(32)).verifier
    (tmp_path / "entry").write_bytes(records[index])
    assert "verification" in interop.refuses("receipt", tmp_path / "receipt", stranger, tmp_path / "entry")


# ---- cosignatures -----------------------------------------------------------------------------------------------------------------------
def test_others_verify_our_witnesses(interop: Interop, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append("w", entry(1))
    quantum_safe = WitnessSigner("q.example", bytes(range(9, 41)), COSIGNATURE_ML_DSA_44)
    twins = [WitnessTwin(tmp_path, signer, [KEY.verifier], SystemClock()) for signer in (*SIGNERS[:2], quantum_safe)]
    store, source = CosignedStore.open(places(tmp_path).checkpoint_database), DirectorySource(tmp_path / "log")
    policy = policy_of(twins, "all", KEY.verifier)
    witnessing = Witnessing(log, source, tmp_path / "log", KEY.verifier, policy, store, SystemClock(), client_maker(twins))
    witnessing.run_once()
    log.append("w", entry(2))
    (tmp_path / "proof").write_bytes(make_proof(log, source, 0))
    keys = [twin.signer.verifier for twin in twins]
    assert set(interop("proof", tmp_path / "proof", VKEY, *keys)["times"]) == {key.name for key in keys}
    answer = interop("cosigned", tmp_path / "log/witnessed", VKEY, *keys)
    assert answer["size"] == 1
    assert all(abs(stamp - time.time()) < 60 for stamp in answer["times"].values())
    assert interop.refuses("cosigned", tmp_path / "log/witnessed", VKEY, SIGNERS[3].verifier)
    data = (tmp_path / "log/witnessed").read_bytes()
    (tmp_path / "false").write_bytes(data.replace(b"\n1\n", b"\n2\n"))
    assert interop.refuses("cosigned", tmp_path / "false", VKEY, *keys)
    for closing in (witnessing, store, log, *twins):
        closing.close()


class Litewitness:
    """The witness of torchwood, with its key in an agent, on a free port."""

    def __init__(self, tools: Path, directory: Path, name: str = "lite.example/w", seed: bytes = bytes(range(7, 39))) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.key: WitnessKey = WitnessSigner(name, seed).verifier
        self._database = directory / "litewitness.sqlite"
        agent = directory / "agent.sock"
        self._agent = subprocess.Popen([tools / "interop", "agent", agent, seed.hex()], stdout=subprocess.PIPE, text=True)
        assert self._agent.stdout is not None
        fingerprint = self._agent.stdout.readline().strip()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        arguments = ["-name", name, "-db", self._database, "-ssh-agent", agent, "-key", fingerprint, "-listen", f"127.0.0.1:{port}"]
        self._log = (directory / "litewitness.log").open("w+b")
        self._process = subprocess.Popen([tools / "litewitness", *arguments], stderr=self._log, stdout=self._log)
        self._wait(port)

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, os.fspath(self._log.name)
                assert time.monotonic() < deadline, os.fspath(self._log.name)
                time.sleep(0.05)

    def add_log(self, vkey: str) -> None:
        """What `witnessctl add-log` and `add-key` write: a new log begins at size zero, with the hash of the empty tree."""
        origin = vkey.split("+")[0]
        with sqlite3.connect(self._database, timeout=10) as connection:
            empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
            connection.execute("INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", (origin, empty))
            connection.execute("INSERT INTO key (origin, key) VALUES (?, ?)", (origin, vkey))

    @property
    def told_vkey(self) -> str:
        self._log.flush()
        found = re.search(r"vkey=(\S+)", Path(self._log.name).read_text())
        assert found is not None
        return found[1]

    def close(self) -> None:
        for process in (self._process, self._agent):
            process.terminate()
            process.wait(10)
        self._log.close()


@pytest.fixture
def litewitness(tools: Path, tmp_path: Path) -> Iterator[Litewitness]:
    made = Litewitness(tools, tmp_path / "lite")
    yield made
    made.close()


def open_witnessed(directory: Path, witness: Litewitness) -> tuple[Log, Witnessing]:
    log = open_log(directory)
    policy = parse_policy(f"log {VKEY}\nwitness lite {witness.key} {witness.url}\nquorum lite\n".encode())
    store = CosignedStore.open(places(directory).checkpoint_database)
    return log, Witnessing(log, DirectorySource(directory / "log"), directory / "log", KEY.verifier, policy, store, SystemClock())


def test_litewitness_cosigns_our_checkpoints(interop: Interop, litewitness: Litewitness, tmp_path: Path) -> None:
    assert parse_witness_vkey(litewitness.told_vkey) == litewitness.key
    litewitness.add_log(VKEY)
    log, witnessing = open_witnessed(tmp_path, litewitness)
    for size in (1, 2, 7, 260):
        for number in range(log.checkpoint.size, size):
            log.append("w", entry(number))
        done = witnessing.run_once()
        assert done is not None
        assert done.is_met, done.failures
        published = (tmp_path / "log/checkpoint").read_bytes()
        assert open_checkpoint(published, KEY.verifier).size == size
        assert len(read_cosignatures(published, [litewitness.key], time.time())) == 1
        assert interop("cosigned", tmp_path / "log/checkpoint", VKEY, litewitness.key)["size"] == size
    witnessing.close()
    log.close()


def test_litewitness_knows_better_than_a_restored_log(litewitness: Litewitness, tmp_path: Path) -> None:
    litewitness.add_log(VKEY)
    log, witnessing = open_witnessed(tmp_path / "live", litewitness)
    log.append("w", entry(1))
    witnessing.run_once()
    log.close()
    shutil.copytree(tmp_path / "live", tmp_path / "backup")
    log, witnessing = open_witnessed(tmp_path / "live", litewitness)
    for number in (2, 3):
        log.append("w", entry(number))
    witnessing.run_once()
    log.close()
    log, witnessing = open_witnessed(tmp_path / "backup", litewitness)
    with pytest.raises(LogRefused, match="at least the 3 entries"):
        witnessing.run_once()
    log.close()
    log, witnessing = open_witnessed(tmp_path / "backup", litewitness)
    for number in range(50, 54):  # it grew past its witness before it was asked
        log.append("w", entry(number))
    with pytest.raises(LogRefused, match="no extension"):
        witnessing.run_once()
    log.close()


def test_litewitness_does_not_know_the_log(litewitness: Litewitness, tmp_path: Path) -> None:
    log, witnessing = open_witnessed(tmp_path, litewitness)
    log.append("w", entry(1))
    done = witnessing.run_once()
    assert done is not None
    assert (done.is_met, done.names) == (False, ())
    assert "403" in done.failures["lite"]
    assert log.refusal is None
    log.close()
