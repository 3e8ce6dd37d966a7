"""What a model does to its process it does to that process alone, and no process is left behind, however the node ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from circuits import CanonicalModel
from oracle.attest.prove import Prover
from oracle.config import NodeConfig
from oracle.encoding import PROOF_SELECTOR, keccak256
from oracle.errors import ConfigRejected, InputRejected, InvariantBroken, ModelRejected, WorkerError, WorkGivenUp
from oracle.node.directory import Bundle, ModelDirectory, make_bundle, open_bundle, read_directory
from oracle.node.executor import Fate, Limits, Missing, Observer, ProcessExecutor, WorkerBusy, WorkerLost, Workplace, WorkStopped
from oracle.node.jobs import JobState
from oracle.node.models import CanonicalServed, ModelLibrary, OpaqueServed, load_model
from oracle.node.work import infer_elsewhere, infer_there, serve_elsewhere
from oracle.pipeline.node import work_once
from oracle.pipeline.work import DistantProver, open_workplace, prove_there
from oracle.records import Address, Bytes32, Claim, EntryKind, Evidence, Inference, Policy
from oracle.tensors import decode_tensors, to_numpy
from tests.twins.hostile_models import SMALLEST, integers_input, write_dividing, write_hungry, write_looping
from tests.twins.node_scene import DIGITS, Scene, digit_image, make_scene, vector
from tests.twins.slow_work import infer_slowly

FAR = 1e12
PAID = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
SHORT = Limits(seconds=0.5, memory_bytes=512 << 20, tries=2, waiting=4)


class Seen:
    """Observer that counts."""

    def __init__(self) -> None:
        self.lost: Counter[tuple[str, Fate]] = Counter()
        self.done: list[tuple[str, float]] = []
        self.observer = Observer(lambda kind, fate: self.lost.update([(kind, fate)]), lambda *done: self.done.append(done))


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    made = ProcessExecutor(1, SHORT, ["oracle.pipeline.work"])
    yield made
    made.stop(0)


@pytest.fixture
def workplace(executor: ProcessExecutor, seen: Seen) -> Workplace:
    return Workplace(executor, SHORT.tries, seen.observer)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(done: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def value_of(inference: Inference) -> list[Any]:
    return to_numpy(decode_tensors(inference.output)[0]).tolist()


# ---- what models do to their process ----------------------------------------------------------------------------------------------------
def test_in_the_node_the_division_would_end_it(tmp_path: Path) -> None:
    """What the rest of this page is for. If this fails, onnxruntime has learnt to divide: find another model that ends a process."""
    folder = write_dividing(tmp_path).path
    code = (
        "import sys; from pathlib import Path; from oracle.node.infer import infer; from oracle.node.models import load_model;"
        "infer(load_model(Path(sys.argv[1])), bytes.fromhex(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    assert subprocess.run([*command, integers_input(6).hex()]).returncode == 0
    assert subprocess.run([*command, integers_input(SMALLEST).hex()]).returncode == -signal.SIGFPE


def test_a_model_that_ends_its_process_is_given_up_and_others_go_on(tmp_path: Path, workplace: Workplace, seen: Seen) -> None:
    model = serve_elsewhere(write_dividing(tmp_path), workplace)
    assert value_of(infer_elsewhere(model, integers_input(6), workplace)) == [-6]
    with pytest.raises(WorkGivenUp, match=r"inference with model 0x.*its process ended \(SIGFPE\), 2 times"):
        infer_elsewhere(model, integers_input(SMALLEST), workplace)
    assert seen.lost == {("inference", Fate.DIED): SHORT.tries}
    assert value_of(infer_elsewhere(model, integers_input(7), workplace)) == [-7]


def test_a_model_that_never_ends_is_ended(tmp_path: Path, workplace: Workplace, executor: ProcessExecutor, seen: Seen) -> None:
    model = serve_elsewhere(write_looping(tmp_path), workplace)
    assert value_of(infer_elsewhere(model, integers_input(10), workplace)) == 10
    pid = executor.submit(os.getpid).result()
    started = time.monotonic()
    with pytest.raises(WorkGivenUp, match=r"it took longer than 0\.5 seconds, 2 times"):
        infer_elsewhere(model, integers_input((1 << 63) - 1), workplace)
    assert 1 <= time.monotonic() - started < 5
    assert seen.lost == {("inference", Fate.TIME): SHORT.tries}
    assert not is_alive(pid)
    assert value_of(infer_elsewhere(model, integers_input(11), workplace)) == 11


def test_a_model_that_wants_all_memory_gets_none_of_the_nodes(
    tmp_path: Path, workplace: Workplace, executor: ProcessExecutor, seen: Seen
) -> None:
    model = serve_elsewhere(write_hungry(tmp_path), workplace)
    assert value_of(infer_elsewhere(model, integers_input(1 << 20), workplace)) == 1 << 20
    pid = executor.submit(os.getpid).result()
    with pytest.raises(WorkGivenUp, match=f"it does not get by with {SHORT.memory_bytes} bytes of memory"):
        infer_elsewhere(model, integers_input(1 << 28), workplace)  # a gigabyte
    assert seen.lost == {("inference", Fate.MEMORY): SHORT.tries}
    assert not is_alive(pid)
    assert value_of(infer_elsewhere(model, integers_input(1 << 20), workplace)) == 1 << 20


def test_a_process_that_dies_once_is_made_again_and_the_call_too(tmp_path: Path, seen: Seen) -> None:
    executor = ProcessExecutor(1, Limits(seconds=30))
    workplace = Workplace(executor, 2, seen.observer)
    try:
        model = serve_elsewhere(write_looping(tmp_path), workplace)
        workplace.call("inference", Inference, infer_slowly, model.directory.model_id, integers_input(10))
        pid = executor.submit(os.getpid).result()
        threading.Timer(0.15, os.kill, (pid, signal.SIGKILL)).start()
        result = workplace.call("inference", Inference, infer_slowly, model.directory.model_id, integers_input(10))
    finally:
        executor.stop(0)
    assert value_of(result) == 10
    assert seen.lost == {("inference", Fate.DIED): 1}
    assert not is_alive(pid)


def test_a_process_that_dies_at_rest_costs_no_try(tmp_path: Path, executor: ProcessExecutor, seen: Seen) -> None:
    workplace = Workplace(executor, 1, seen.observer)
    model = serve_elsewhere(write_dividing(tmp_path), workplace)
    os.kill(executor.submit(os.getpid).result(), signal.SIGKILL)
    time.sleep(0.3)
    assert value_of(infer_elsewhere(model, integers_input(6), workplace)) == [-6]
    assert not seen.lost


def test_what_a_model_refuses_is_refused_and_costs_no_process(tmp_path: Path, workplace: Workplace, seen: Seen) -> None:
    model = serve_elsewhere(write_looping(tmp_path), workplace)
    with pytest.raises(InputRejected, match="the model can run on"):
        infer_elsewhere(model, integers_input(1, 2), workplace)  # cannot be reshaped to one number
    assert not seen.lost


# ---- models travel by digest -----------------------------------------------------------------------------------------------------------
def test_bytes_make_the_directory_they_came_from() -> None:
    directory = read_directory(DIGITS)
    opened = open_bundle(make_bundle(directory), directory.model_id)
    assert replace(opened, path=directory.path) == directory


def spoil(directory: ModelDirectory) -> dict[str, Bundle]:
    good = make_bundle(directory)
    name = sorted(good.files)[-1]
    content = good.files[name]
    return {
        "a bit of a file": replace(good, files={**good.files, name: content[:-1] + bytes([content[-1] ^ 1])}),
        "a file cut": replace(good, files={**good.files, name: content[:-1]}),
        "a file gone": replace(good, files={k: v for k, v in good.files.items() if k != name}),
        "a file more": replace(good, files={**good.files, "extra": b""}),
        "a bit of the manifest": replace(good, manifest=good.manifest.replace(b'"name":"', b'"name":"x')),
        "no manifest": replace(good, manifest=b""),
    }


@pytest.mark.parametrize("what", spoil(read_directory(DIGITS)))
def test_a_worker_takes_no_bytes_but_the_models(what: str) -> None:
    directory = read_directory(DIGITS)
    with pytest.raises(ModelRejected):
        open_bundle(spoil(directory)[what], directory.model_id)
    with pytest.raises(ModelRejected):
        prove_there(directory.model_id, spoil(directory)[what], *some_proof()[:3])


def test_a_model_under_another_id_is_not_taken(tmp_path: Path) -> None:
    first, second = write_dividing(tmp_path), write_looping(tmp_path)
    with pytest.raises(ModelRejected, match="id of the bytes"):
        open_bundle(make_bundle(second), first.model_id)
    with pytest.raises(WorkerError, match="does not take the model"):
        infer_there(first.model_id, make_bundle(second), integers_input(1))


def test_bytes_are_sent_once_to_each_process(tmp_path: Path, executor: ProcessExecutor) -> None:
    sent = []
    workplace = Workplace(executor, 3, Observer())
    directory = write_dividing(tmp_path)
    workplace.add(directory.model_id, lambda: sent.append(1) or make_bundle(directory))
    for value in range(5):
        workplace.call("inference", Inference, infer_there, directory.model_id, integers_input(value))
    assert len(sent) == 1
    os.kill(executor.submit(os.getpid).result(), signal.SIGKILL)
    workplace.call("inference", Inference, infer_there, directory.model_id, integers_input(1))
    assert len(sent) == 2


# ---- queue, stop, orphans --------------------------------------------------------------------------------------------------------------
def test_it_is_an_executor_with_a_bounded_queue(executor: ProcessExecutor) -> None:
    assert isinstance(executor, Executor)
    futures = [executor.submit(time.sleep, 0.3)]
    wait_for(lambda: executor.running == 1)
    futures += [executor.submit(abs, -n) for n in range(SHORT.waiting)]
    assert (executor.running, executor.waiting) == (1, SHORT.waiting)
    with pytest.raises(WorkerBusy, match="4 calls wait"):
        executor.submit(abs, 1)
    assert futures[2].cancel()
    assert executor.submit(abs, -9).result() == 9
    assert [f.result() for n, f in enumerate(futures) if n not in (0, 2)] == [0, 2, 3]
    assert (executor.running, executor.waiting) == (0, 0)


def test_stopping_kills_what_runs_after_its_grace_and_drops_what_waits(executor: ProcessExecutor) -> None:
    pid = executor.submit(os.getpid).result()
    running = executor.submit(time.sleep, 0.4)
    wait_for(lambda: executor.running == 1)
    waiting = executor.submit(abs, 1)
    started = time.monotonic()
    executor.stop(0.1)
    assert time.monotonic() - started < 5
    assert isinstance(running.exception(), WorkStopped)
    assert waiting.cancelled()
    assert not is_alive(pid)
    with pytest.raises(WorkStopped):
        executor.submit(abs, 1)


def test_stopping_lets_what_is_nearly_done_end(executor: ProcessExecutor) -> None:
    executor.submit(abs, 1).result()
    running = executor.submit(time.sleep, 0.2)
    wait_for(lambda: executor.running == 1)
    executor.stop(5)
    assert running.exception() is None


PARENT = """
import os, sys, time
from oracle.node.executor import Limits, ProcessExecutor
if __name__ == "__main__":
    executor = ProcessExecutor(2, Limits())
    futures = [executor.submit(os.getpid) for _ in range(2)]
    executor.submit(time.sleep, 50)
    time.sleep(0.3)
    print(*{f.result() for f in futures}, executor.submit(os.getppid).result(), flush=True)
    time.sleep(50)
"""


def test_children_end_with_a_node_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) >= 2
    assert all(map(is_alive, pids))
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(map(is_alive, pids)))


def test_children_have_no_core_dumps_and_leave_signals_to_the_node(executor: ProcessExecutor) -> None:
    pid = executor.submit(os.getpid).result()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert next(line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")) == ["0", "0"]
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert executor.submit(os.getpid).result() == pid


# ---- what comes back is checked --------------------------------------------------------------------------------------------------------
class Lying(Executor):
    """Answers with what the test says."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.waiting = self.running = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        elif answer is not None:
            future.set_result(answer)
        return future

    def stop(self, seconds: float) -> None: ...


def lying(*answers: object, patience: float | None = None) -> Workplace:
    return Workplace(Lying(*answers), 3, Observer(), patience)


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> OpaqueServed:
    model = load_model(make_scene(tmp_path_factory.mktemp("scale")).scale.path)
    assert isinstance(model, OpaqueServed)
    return model


def lies(model: OpaqueServed) -> dict[str, object]:
    good = infer_there(model.directory.model_id, make_bundle(model.directory), vector(1.0))
    assert isinstance(good, Inference)

    def output(data: bytes) -> Inference:
        return replace(good, output=data, output_digest=keccak256(data))

    return {
        "another model": replace(good, model_id=Bytes32(bytes(32))),
        "another input": replace(good, input_digest=Bytes32(bytes(32))),
        "another output": replace(good, output=vector(9.0)),
        "another runtime": replace(good, runtime=replace(good.runtime, version="0")),
        "no tensors": output(b"none"),
        "another type": output(integers_input(1)),
        "too many tensors": output(b"".join([good.output, good.output])),
        "too long": output(bytes(98_305)),
        "no inference": "an answer",
        "missing again": Missing(model.directory.model_id),
    }


@pytest.mark.parametrize(
    "what",
    [
        "another model",
        "another input",
        "another output",
        "another runtime",
        "no tensors",
        "another type",
        "too many tensors",
        "too long",
        "no inference",
        "missing again",
    ],
)
def test_an_answer_that_cannot_be_is_not_signed(scale: OpaqueServed, what: str) -> None:
    workplace = lying(Missing(scale.directory.model_id), lies(scale)[what])
    workplace.add(scale.directory.model_id, lambda: make_bundle(scale.directory))
    with pytest.raises(WorkerError):
        infer_elsewhere(scale, vector(1.0), workplace)


def test_a_bug_in_a_child_is_ours_and_one_on_another_machine_is_not(scale: OpaqueServed) -> None:
    with pytest.raises(TypeError):
        infer_elsewhere(scale, vector(1.0), lying(TypeError("a bug")))
    for error in (TypeError("a bug"), InvariantBroken("theirs"), ModelRejected("model", "this", "that")):
        with pytest.raises(WorkerError, match="a worker fails"):
            infer_elsewhere(scale, vector(1.0), lying(error, patience=1.0))
    with pytest.raises(InputRejected):
        infer_elsewhere(scale, vector(1.0), lying(InputRejected("input"), patience=1.0))
    with pytest.raises(WorkerError, match=r"no worker answered within 0\.1 seconds"):
        infer_elsewhere(scale, vector(1.0), lying(None, patience=0.1))


def test_an_executor_that_tried_often_enough_is_not_asked_again(scale: OpaqueServed) -> None:
    with pytest.raises(WorkGivenUp, match="on 4 workers"):
        infer_elsewhere(scale, vector(1.0), lying(WorkerLost(Fate.DIED, "its process ended on 4 workers", is_final=True)))


# ---- proofs ----------------------------------------------------------------------------------------------------------------------------
def some_proof(position: int = 0) -> tuple[Claim, bytes, Address, bytes]:
    """A true claim of the digits model, its input, who is paid, and the output."""
    model = CanonicalModel.load(DIGITS)
    data = digit_image(position)
    prover = Prover([model])
    output = prover.run(Bytes32(model.model_id), data)
    claim = Claim(Bytes32(b"r" * 32), Bytes32(model.model_id), keccak256(data), keccak256(output))
    return claim, data, PAID, output


@pytest.fixture(scope="module")
def verifier() -> Prover:
    return Prover([CanonicalModel.load(DIGITS)])


def test_a_proof_is_made_in_a_child_and_holds(verifier: Prover, seen: Seen) -> None:
    executor = ProcessExecutor(1, Limits(), ["oracle.pipeline.work"])
    workplace = Workplace(executor, 3, seen.observer)
    workplace.add(read_directory(DIGITS).model_id, lambda: make_bundle(read_directory(DIGITS)))
    claim, data, paid, output = some_proof()
    try:
        evidence = DistantProver(workplace, verifier).prove(claim, data, paid)
    finally:
        executor.stop(0)
    assert verifier.verify(claim, data, output, evidence) == PAID
    assert [kind for kind, _ in seen.done] == ["proof"]


def test_a_proof_that_does_not_hold_is_not_taken(verifier: Prover) -> None:
    claim, data, paid, _ = some_proof()
    good = verifier.prove(claim, data, paid).data
    other = verifier.prove(replace(claim, request_id=Bytes32(b"s" * 32)), data, paid).data
    wrong_payee = verifier.prove(claim, data, Address("0x" + "11" * 20)).data
    for bad in (b"", good[:-1], good + b"\0", good[:40] + bytes([good[40] ^ 1]) + good[41:], other, wrong_payee, "a text"):
        with pytest.raises(WorkerError):
            DistantProver(lying(bad), verifier).prove(claim, data, paid)
    assert DistantProver(lying(good), verifier).prove(claim, data, paid) == Evidence(PROOF_SELECTOR, good)


def test_what_is_not_true_is_not_even_tried(verifier: Prover) -> None:
    claim, data, paid, _ = some_proof()
    with pytest.raises(InvariantBroken, match="not what the model gives"):
        DistantProver(lying(), verifier).prove(replace(claim, output_digest=Bytes32(bytes(32))), data, paid)


# ---- settings --------------------------------------------------------------------------------------------------------------------------
WRONG: dict[str, dict[str, Any]] = {
    "node: executor": {"executor": "threads"},
    "with ca, certificate and key": {"executor": "tls://127.0.0.1:1"},
    "executor_key_file": {"executor_key_file": Path("key")},
    "job_seconds": {"job_seconds": 0.0},
    "job_memory_mib": {"job_memory_mib": 255},
    "job_tries": {"job_tries": 0},
    "job_queue": {"job_queue": 0},
}


@pytest.mark.parametrize("names", WRONG)
def test_settings_that_will_not_do_are_named(names: str, tmp_path: Path) -> None:
    places = {"name": "node", "listen": "127.0.0.1:1", "database": "sqlite://", "models": (), "log_url": "http://127.0.0.1:1"}
    config = NodeConfig(**places, log_token_file=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ConfigRejected, match=names):
        open_workplace(replace(config, **WRONG[names]), Observer())


# ---- in the line -----------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def scene(tmp_path: Path, workplace: Workplace) -> Scene:
    """A node that serves the digits model and one that ends its process, which lives elsewhere."""
    made = make_scene(tmp_path)
    opaque = serve_elsewhere(write_dividing(tmp_path), workplace)
    made.chain.register_model(opaque.directory.kind, opaque.directory.manifest_digest, b"", ())
    library = ModelLibrary([load_model(DIGITS), opaque])
    return replace(made, scale=opaque.directory, node=replace(made.node, library=library, workplace=workplace))


def test_a_request_that_ends_every_process_is_refused_and_the_log_says_why(scene: Scene) -> None:
    bad = scene.chain.ask(scene.scale.model_id, integers_input(SMALLEST), Policy(quorum=2), fee_wei=5)
    good = scene.chain.ask(scene.scale.model_id, integers_input(8), Policy(quorum=2), fee_wei=5)
    for asked in (bad, good):
        scene.store.enqueue(asked)
        assert work_once(scene.node, FAR)
    job = scene.store.job(bad.request_id)
    assert (job.state, job.problem) == (JobState.REFUSED, "WorkGivenUp")
    assert "its process ended (SIGFPE), 2 times" in (job.problem_detail or "")
    assert scene.log.kinds() == [EntryKind.INTENT, EntryKind.ERROR, EntryKind.INTENT, EntryKind.RESULT]
    assert scene.store.guarded(bad.request_id, scene.chain.domain) is None
    assert scene.store.job(good.request_id).state is JobState.ANSWERED


def test_what_a_stop_ends_waits_for_the_next_start(scene: Scene, executor: ProcessExecutor) -> None:
    asked = scene.chain.ask(scene.scale.model_id, integers_input(8), Policy(quorum=2), fee_wei=5)
    scene.store.enqueue(asked)
    executor.stop(0)
    assert work_once(scene.node, 1.0)
    assert scene.store.job(asked.request_id).state is JobState.QUEUED


def test_canonical_models_need_no_other_process(scene: Scene, executor: ProcessExecutor) -> None:
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=2), fee_wei=5)
    scene.store.enqueue(asked)
    executor.stop(0)
    work_once(scene.node, FAR)
    assert scene.store.job(asked.request_id).state is JobState.ANSWERED
    assert isinstance(scene.node.library.get(scene.digits.model_id), CanonicalServed)


def test_the_metrics_tell_of_lost_workers_and_of_the_queue(scene: Scene, executor: ProcessExecutor) -> None:
    metrics = scene.node.metrics
    workplace = Workplace(executor, 2, metrics.observer())
    metrics.watch(workplace)
    directory = scene.scale
    workplace.add(directory.model_id, lambda: make_bundle(directory))
    workplace.call("inference", Inference, infer_there, directory.model_id, integers_input(8))
    with pytest.raises(WorkGivenUp):
        workplace.call("inference", Inference, infer_there, directory.model_id, integers_input(SMALLEST))

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"affidavit_node_{name}", labels)

    assert value("workers_lost_total", kind="inference", fate="died") == 2
    assert value("work_seconds_count", kind="inference") == 1
    assert (value("work_waiting"), value("work_running")) == (0, 0)
    slow = executor.submit(time.sleep, 0.3)
    wait_for(lambda: value("work_running") == 1)
    executor.submit(abs, 1)
    assert value("work_waiting") == 1
    slow.result()
