"""Work on a real Dask scheduler with real workers: killed in the middle, hung, lying in wait; and a node that finds it again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from circuits import CanonicalModel
from oracle.attest.prove import Prover
from oracle.encoding import PROOF_SELECTOR
from oracle.errors import ConfigRejected, WorkerError, WorkGivenUp
from oracle.node.cluster import ClusterAddress, ClusterExecutor
from oracle.node.directory import make_bundle, read_directory
from oracle.node.executor import Fate, Limits, Observer, WorkerBusy, Workplace, WorkStopped
from oracle.node.models import OpaqueModel, OpaqueServed, load_model
from oracle.node.work import infer_elsewhere
from oracle.pipeline.work import DistantProver
from oracle.records import Evidence
from tests.twins.hostile_models import SMALLEST, integers_input, write_dividing, write_looping
from tests.twins.node_scene import DIGITS
from tests.twins.slow_work import prove_slowly
from tests.unit.test_node_executor import some_proof, value_of, wait_for

pytest.importorskip("distributed")
LIMITS = Limits(seconds=20.0, tries=3, waiting=4)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@dataclass
class Cluster:
    """`dask scheduler` and `dask worker` processes, one thread a worker. Workers have a nanny, which starts them again."""

    folder: Path
    scheme: str = "tcp"
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def run(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:], *self.options]
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    def start_scheduler(self) -> None:
        self.scheduler = self.run(
            "scheduler", "dask_scheduler", "--host", f"{self.scheme}://127.0.0.1", "--port", str(self.port), "--no-dashboard"
        )

    def start_worker(self, *more: str) -> None:
        common = ["--nthreads", "1", "--no-dashboard", "--memory-limit", "0", "--local-directory", str(self.folder)]
        self.workers.append(self.run(f"worker-{len(self.workers)}", "dask_worker", self.url, *common, *more))

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            if process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def log(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers."""
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    running.start_scheduler()
    for _ in range(2):
        running.start_worker()
    try:
        yield running
    finally:
        running.stop()


def connect(cluster: Cluster, limits: Limits = LIMITS) -> ClusterExecutor:
    executor = ClusterExecutor(ClusterAddress(cluster.url), limits)
    executor.connect()
    return executor


@pytest.fixture
def executor(cluster: Cluster) -> Iterator[ClusterExecutor]:
    executor = connect(cluster)
    executor.connect().wait_for_workers(2, timeout=30)
    yield executor
    executor.stop(0)


def workplace_for(executor: ClusterExecutor, *models: OpaqueServed | OpaqueModel, observer: Observer | None = None) -> Workplace:
    made = Workplace(executor, LIMITS.tries, observer or Observer(), patience_seconds=60.0)
    for model in models:
        made.add(model.directory.model_id, lambda model=model: make_bundle(model.directory))
    return made


@pytest.fixture(scope="module")
def dividing(tmp_path_factory: pytest.TempPathFactory) -> OpaqueServed:
    model = load_model(write_dividing(tmp_path_factory.mktemp("dividing")).path)
    assert isinstance(model, OpaqueServed)
    return model


@pytest.fixture(scope="module")
def looping(tmp_path_factory: pytest.TempPathFactory) -> OpaqueServed:
    model = load_model(write_looping(tmp_path_factory.mktemp("looping")).path)
    assert isinstance(model, OpaqueServed)
    return model


@pytest.fixture(scope="module")
def verifier() -> Prover:
    return Prover([CanonicalModel.load(DIGITS)])


def test_models_run_on_workers_that_have_only_their_bytes(executor: ClusterExecutor, dividing: OpaqueServed) -> None:
    workplace = workplace_for(executor, dividing)
    for value in range(6):
        assert value_of(infer_elsewhere(dividing, integers_input(value), workplace)) == [-value]
    assert (executor.running, executor.waiting) == (0, 0)


def test_a_worker_killed_in_the_middle_of_a_proof_costs_the_proof_nothing(
    executor: ClusterExecutor, verifier: Prover, tmp_path: Path
) -> None:
    """SIGKILL while it proves: Dask gives the proof to the other worker, the node verifies what comes back."""
    workplace = workplace_for(executor)
    workplace.add(read_directory(DIGITS).model_id, lambda: make_bundle(read_directory(DIGITS)))
    claim, data, paid, output = some_proof()
    killed: list[int] = []

    def kill_first() -> None:
        wait_for(lambda: bool(list(tmp_path.glob("began-*"))), 60)
        killed.append(int(next(tmp_path.glob("began-*")).name.removeprefix("began-")))
        os.kill(killed[0], signal.SIGKILL)

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_first)
        made = workplace.call("proof", bytes, prove_slowly, claim.model_id, claim, data, paid, str(tmp_path), 1.0)
        killing.result()
    assert not (tmp_path / f"ended-{killed[0]}").exists()
    assert len(list(tmp_path.glob("ended-*"))) == 1
    assert verifier.verify(claim, data, output, Evidence(PROOF_SELECTOR, made)) == paid
    evidence = DistantProver(workplace, verifier).prove(claim, data, paid)
    assert verifier.verify(claim, data, output, evidence) == paid


def test_a_model_that_ends_every_worker_is_given_up_and_the_workers_come_back(executor: ClusterExecutor, dividing: OpaqueServed) -> None:
    lost: Counter[Fate] = Counter()
    workplace = workplace_for(executor, dividing, observer=Observer(on_lost=lambda _kind, fate: lost.update([fate])))
    with pytest.raises(WorkGivenUp, match="its process ended on 2 workers"):
        infer_elsewhere(dividing, integers_input(SMALLEST), workplace)
    assert lost == {Fate.DIED: 1}
    assert value_of(infer_elsewhere(dividing, integers_input(5), workplace)) == [-5]


def test_a_model_that_never_ends_is_ended_by_its_worker(cluster: Cluster, looping: OpaqueServed) -> None:
    executor = connect(cluster, replace(LIMITS, seconds=1.0))
    try:
        workplace = workplace_for(executor, looping)
        with pytest.raises(WorkGivenUp):
            infer_elsewhere(looping, integers_input((1 << 63) - 1), workplace)
        assert value_of(infer_elsewhere(looping, integers_input(5), workplace)) == 5
    finally:
        executor.stop(0)


def test_the_queue_is_bounded_and_a_stop_drops_it(cluster: Cluster) -> None:
    executor = connect(cluster)
    futures = [executor.submit(time.sleep, 5) for _ in range(LIMITS.waiting)]
    with pytest.raises(WorkerBusy):
        executor.submit(abs, 1)
    assert futures[-1].cancel()
    wait_for(lambda: executor.running == LIMITS.waiting - 1)
    executor.stop(0.1)
    assert all(future.cancelled() for future in futures)
    with pytest.raises(WorkStopped):
        executor.submit(abs, 1)


@pytest.mark.slow
def test_a_worker_with_several_threads_is_not_used(tmp_path: Path, dividing: OpaqueServed) -> None:
    one = Cluster(tmp_path)
    one.start_scheduler()
    one.workers.append(one.run("worker", "dask_worker", one.url, "--nthreads", "2", "--no-dashboard", "--local-directory", str(tmp_path)))
    executor = connect(one)
    try:
        with pytest.raises(WorkerError, match="2 threads"):
            infer_elsewhere(dividing, integers_input(1), workplace_for(executor, dividing))
    finally:
        executor.stop(0)
        one.stop()


@pytest.mark.slow
def test_a_cluster_that_is_away_is_the_worlds_fault_and_found_again(tmp_path: Path, dividing: OpaqueServed) -> None:
    one = Cluster(tmp_path)
    nowhere = ClusterExecutor(ClusterAddress(one.url), LIMITS)
    with pytest.raises(WorkerError, match="does not answer"):
        nowhere.connect()
    one.start_scheduler()
    executor = connect(one)
    try:
        patient = Workplace(executor, 3, Observer(), patience_seconds=1.0)
        patient.add(dividing.directory.model_id, lambda: make_bundle(dividing.directory))
        with pytest.raises(WorkerError, match="no worker answered"):
            infer_elsewhere(dividing, integers_input(1), patient)
        assert one.scheduler is not None
        os.killpg(one.scheduler.pid, signal.SIGKILL)
        one.scheduler.wait()
        with pytest.raises(WorkerError):
            infer_elsewhere(dividing, integers_input(1), patient)
        one.start_scheduler()
        one.start_worker()

        def is_back() -> bool:
            try:
                return value_of(infer_elsewhere(dividing, integers_input(1), patient)) == [-1]
            except WorkerError:
                return False

        wait_for(is_back, 60)
    finally:
        executor.stop(0)
        one.stop()


@pytest.mark.slow
def test_a_scheduler_that_disappears_in_the_middle_puts_the_call_off(tmp_path: Path) -> None:
    """The call is over at once, as the world's fault; nobody waits for a worker that has nobody to tell."""
    one = Cluster(tmp_path)
    one.start_scheduler()
    one.start_worker()
    executor = connect(one)
    try:
        executor.connect().wait_for_workers(1, timeout=30)
        running = executor.submit(time.sleep, 15)
        time.sleep(1)
        assert one.scheduler is not None
        os.killpg(one.scheduler.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="scheduler went away"):
            running.result(timeout=12)
        began = time.monotonic()
        executor.stop(0)
        assert time.monotonic() - began < 10
        assert executor.running == 0
    finally:
        one.stop()


# ---- TLS -------------------------------------------------------------------------------------------------------------------------------
def write_certificates(folder: Path, name: str) -> tuple[Path, Path]:
    """(certificate and its own authority, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate, private


def test_over_tls_only_who_has_a_certificate_of_the_cluster(tmp_path: Path, dividing: OpaqueServed) -> None:
    ours, key = write_certificates(tmp_path, "ours")
    others, others_key = write_certificates(tmp_path, "others")
    one = Cluster(tmp_path, "tls", ("--tls-ca-file", str(ours), "--tls-cert", str(ours), "--tls-key", str(key)))
    one.start_scheduler()
    one.start_worker()
    executor = ClusterExecutor(ClusterAddress(one.url, ours, ours, key), LIMITS)
    try:
        assert value_of(infer_elsewhere(dividing, integers_input(2), workplace_for(executor, dividing))) == [-2]
        for stranger in (ClusterAddress(one.url, others, others, others_key), ClusterAddress(one.url, ours, others, others_key)):
            with pytest.raises(WorkerError, match="does not answer"):
                ClusterExecutor(stranger, LIMITS).connect()
    finally:
        executor.stop(0)
        one.stop()


@pytest.mark.parametrize(
    ("url", "has_files"),
    [("tls://a:1", False), ("tcp://a:1", True), ("a:1", False), ("http://a:1", False), ("tcp://a", False), ("", False), ("process", False)],
)
def test_an_address_is_whole_or_refused(url: str, has_files: bool, tmp_path: Path) -> None:
    files = (tmp_path, tmp_path, tmp_path) if has_files else ()
    with pytest.raises(ConfigRejected, match="node: executor"):
        ClusterExecutor(ClusterAddress(url, *files), LIMITS)
