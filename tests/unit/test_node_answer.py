"""The node's half of the line: its order, what is durable after each step, and what becomes of a job when a part fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from circuits import CanonicalModel
from oracle.attest.prove import Prover
from oracle.attest.quorum import check_signed_claim
from oracle.attest.sign import sign_claim
from oracle.encoding import PROOF_SELECTOR, canonical_json, keccak256, pack_int16, pack_policy, to_hex
from oracle.errors import (
    ChainError,
    EntryRejected,
    InputRejected,
    InvariantBroken,
    ModelRejected,
    OutOfScope,
    PeerError,
    StoreError,
    Unauthorised,
)
from oracle.node.directory import digest_of
from oracle.node.jobs import Guarded, JobState, JobStore
from oracle.node.models import ModelLibrary, ServedModel, load_model, write_opaque_manifest
from oracle.pipeline import answering
from oracle.pipeline.models import load_checked_library
from oracle.pipeline.node import MAX_BACKOFF_SECONDS, Node, Proving, compute_backoff_seconds, make_follower, work_once
from oracle.records import (
    SIGNED_NONCE_START,
    Address,
    Appended,
    Asked,
    Bytes32,
    Claim,
    Entry,
    EntryKind,
    Evidence,
    Inference,
    Policy,
    Runtime,
    SignedClaim,
)
from tests.twins.node_scene import DIGITS, Scene, digit_image, integers, make_node, make_scene, vector, write_scale_model
from tests.twins.operators import operator_signer

FAR = 1e12  # later than any pause


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


def ask(scene: Scene, position: int = 0) -> Asked:
    asked = scene.chain.ask(scene.digits.model_id, digit_image(position), Policy(quorum=2), fee_wei=5)
    scene.store.enqueue(asked)
    return asked


def answer_of(scene: Scene, asked: Asked) -> SignedClaim:
    """What the door would show."""
    assert scene.store.job(asked.request_id).state is JobState.ANSWERED
    return scene.store.require_guarded(asked.request_id, scene.chain.domain).signed


def test_a_request_becomes_a_claim_an_operator_signed(scene: Scene) -> None:
    asked = ask(scene)
    assert work_once(scene.node, FAR)
    signed = answer_of(scene, asked)
    assert check_signed_claim(signed, asked, scene.chain.domain, scene.chain.operators()).index == 0
    expected = CanonicalModel.load(DIGITS).run(integers(asked.input))
    assert signed.output == pack_int16(expected.ravel().tolist())
    assert not work_once(scene.node, FAR)


def test_intent_comes_before_the_model_and_result_before_the_answer(scene: Scene) -> None:
    asked, seen = ask(scene), []

    def look(entry: Entry) -> None:
        guarded = scene.store.guarded(asked.request_id, scene.chain.domain)
        seen.append((entry.kind, guarded is not None, scene.store.job(asked.request_id).state))

    scene.log.before = look
    work_once(scene.node, FAR)
    assert seen == [(EntryKind.INTENT, False, JobState.RUNNING), (EntryKind.RESULT, True, JobState.RUNNING)]
    signed = answer_of(scene, asked)
    intent, result = scene.log.entries
    assert intent.bodies["audit.input_digest"] == asked.input
    assert result.fields["audit.output_digest"] == to_hex(signed.claim.output_digest)
    assert result.fields["audit.intent.index"] == 0
    assert result.bodies["audit.signature_digest"] == signed.signature


def test_a_signed_request_is_answered_the_same_way(scene: Scene) -> None:
    asked = scene.sign(digit_image())
    scene.store.enqueue(asked)
    work_once(scene.node, FAR)
    assert check_signed_claim(answer_of(scene, asked), asked, scene.chain.domain, scene.chain.operators()).index == 0
    assert scene.log.entries[0].fields["audit.request.source"] == "signed"


# ---- what fails is tried again ------------------------------------------------------------------------------------------
def test_without_the_log_nothing_runs_and_nothing_is_lost(scene: Scene) -> None:
    asked = ask(scene)
    for attempt, broken in enumerate(("is_down", "is_closed"), start=1):
        setattr(scene.log, broken, True)
        assert work_once(scene.node, attempt * FAR)
        job = scene.store.job(asked.request_id)
        assert (job.state, job.problem) == (JobState.QUEUED, "PeerError")
        assert scene.store.guarded(asked.request_id, scene.chain.domain) is None
        scene.log.is_down = scene.log.is_closed = False
    work_once(scene.node, 3 * FAR)
    answer_of(scene, asked)
    assert scene.log.kinds() == [EntryKind.INTENT, EntryKind.RESULT]


def test_without_the_chain_a_job_waits(scene: Scene) -> None:
    asked = ask(scene)
    scene.chain.is_down = True
    work_once(scene.node, FAR)
    assert scene.store.job(asked.request_id).state is JobState.QUEUED
    scene.chain.is_down = False
    work_once(scene.node, 2 * FAR)
    answer_of(scene, asked)


@pytest.mark.parametrize("lost", [1, 2])
def test_an_answer_of_the_log_that_gets_lost_writes_no_entry_twice(scene: Scene, lost: int) -> None:
    asked = ask(scene)
    if lost == 1:
        scene.log.loses_answers = 1
    else:
        scene.log.before = lambda entry: setattr(scene.log, "loses_answers", int(entry.kind is EntryKind.RESULT))
    work_once(scene.node, FAR)
    assert scene.store.job(asked.request_id).state is JobState.QUEUED
    scene.log.before, scene.log.loses_answers = lambda entry: None, 0
    work_once(scene.node, 2 * FAR)
    answer_of(scene, asked)
    assert scene.log.kinds() == [EntryKind.INTENT, EntryKind.RESULT]


class Died(BaseException):
    """The process ends here: nothing of ours may catch it."""


@pytest.mark.parametrize("method", ["record_intents", "sign_all_once", "mark_all_answered"])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_process_that_dies_between_two_steps(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, is_after: bool
) -> None:
    """Everything but the database and the log is forgotten; a new process finishes, with one intent, one result and one signature."""
    asked = ask(scene)
    real: Callable[..., object] = getattr(scene.store, method)

    def die(*arguments: object, **named: object) -> None:
        if is_after:
            real(*arguments, **named)
        raise Died

    monkeypatch.setattr(scene.store, method, die)
    with pytest.raises(Died):
        work_once(scene.node, FAR)
    kept = make_node(scene.chain, scene.log, scene.node.library, tmp_path / "node.sqlite").store.guarded(
        asked.request_id, scene.chain.domain
    )
    reborn = make_node(scene.chain, scene.log, scene.node.library, tmp_path / "node.sqlite")
    reborn.store.requeue_all()
    while work_once(reborn, FAR):
        pass
    assert scene.log.kinds() == [EntryKind.INTENT, EntryKind.RESULT]
    assert reborn.store.job(asked.request_id).state is JobState.ANSWERED
    signed = reborn.store.require_guarded(asked.request_id, scene.chain.domain)
    assert kept is None or kept == signed
    check_signed_claim(signed.signed, asked, scene.chain.domain, scene.chain.operators())


def test_pauses_grow_to_a_limit_and_spread() -> None:
    pauses = [compute_backoff_seconds(attempts, 0.0) for attempts in range(1, 40)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.1)
    assert pauses[-1] == MAX_BACKOFF_SECONDS
    assert compute_backoff_seconds(40, 0.999) > MAX_BACKOFF_SECONDS / 2 - 1


# ---- what will not do is refused ----------------------------------------------------------------------------------------
def test_a_request_that_breaks_a_rule_is_refused_and_leaves_no_entry(scene: Scene) -> None:
    asked = scene.chain.ask(scene.digits.model_id, b"short", Policy(quorum=2), fee_wei=5)
    scene.store.enqueue(asked)
    work_once(scene.node, FAR)
    job = scene.store.job(asked.request_id)
    assert (job.state, job.problem) == (JobState.REFUSED, "InputRejected")
    assert scene.log.entries == []
    assert not work_once(scene.node, 2 * FAR)


def test_an_expired_request_is_refused(scene: Scene) -> None:
    asked = ask(scene)
    scene.chain.mine(seconds=4000)
    work_once(scene.node, FAR)
    assert scene.store.job(asked.request_id).problem == "RequestExpired"


def failing_model(folder: Path) -> Path:
    """Runs for every vector but those of other lengths than 3: a mistake that shows only when it runs."""
    three = helper.make_tensor("three", TensorProto.FLOAT, [3], [1, 2, 3])
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "three"], ["y"])], "g", ports[:1], ports[1:], [three])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "m.onnx")
    return write_opaque_manifest(folder / "m.onnx", folder / "failing", "failing").path


def test_an_intent_whose_model_fails_is_closed_by_an_error_entry(scene: Scene, tmp_path: Path) -> None:
    model = load_model(failing_model(tmp_path))
    scene.chain.register_model(model.directory.kind, model.directory.manifest_digest)
    node = replace(scene.node, library=ModelLibrary([model]))
    asked = scene.chain.ask(model.directory.model_id, vector(1, 2), fee_wei=5)
    scene.store.enqueue(asked)
    scene.log.before = lambda entry: setattr(scene.log, "is_down", entry.kind is EntryKind.INTENT)
    work_once(node, FAR)  # the log goes away after the intent: the error entry cannot be written, so the job is not refused yet
    assert scene.store.job(asked.request_id).state is JobState.QUEUED
    scene.log.is_down, scene.log.before = False, lambda entry: None
    work_once(node, 2 * FAR)
    assert scene.store.job(asked.request_id).problem == "InputRejected"
    intent, error = scene.log.entries
    assert (intent.kind, error.kind) == (EntryKind.INTENT, EntryKind.ERROR)
    assert (error.fields["error.type"], error.fields["audit.intent.index"]) == ("InputRejected", 0)


# ---- two outputs ----------------------------------------------------------------------------------------------------------
def test_a_node_whose_model_answers_otherwise_signs_nothing_more(scene: Scene, tmp_path: Path) -> None:
    """Two nodes on one database and one key: the second has another output ready when the first has just signed."""
    asked = ask(scene)
    job = scene.store.take_next(FAR)
    assert job is not None
    liar = make_node(scene.chain, scene.log, scene.node.library, tmp_path / "node.sqlite")
    first = scene.store.guarded_all

    def sign_elsewhere_meanwhile(*arguments: object) -> dict[Bytes32, Guarded]:
        """Between the look at the guard and the signature, another process signs something else."""
        assert first([asked.request_id], scene.chain.domain) == {}
        sign_lie(liar, asked)
        return {}

    scene.store.guarded_all = sign_elsewhere_meanwhile  # type: ignore[method-assign]
    scene.store.postpone(asked.request_id, 0.0, ChainError("again"))
    assert work_once(scene.node, FAR)
    job = liar.store.job(asked.request_id)
    assert (job.state, job.problem) == (JobState.REFUSED, "Equivocation")
    assert scene.node.metrics.equivocations._value.get() == 1
    kept = liar.store.require_guarded(asked.request_id, scene.chain.domain)
    assert kept.signed.output == b"a lie"
    assert [entry.fields.get("error.type") for entry in scene.log.entries if entry.kind is EntryKind.ERROR] == ["Equivocation"]


def sign_lie(node: Node, asked: Asked) -> None:
    digest = keccak256(b"a lie")
    claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, digest)
    inference = Inference(claim.model_id, claim.input_digest, digest, b"a lie", Runtime("x", "1", "y", "all"), 0.1)
    intent = Appended(0, Bytes32(bytes(32)), 1)
    domain = node.chain.domain
    node.store.sign_once(claim, inference, intent, domain, lambda c, o: sign_claim(c, o, domain, operator_signer(0)))


def test_a_log_that_refuses_our_entry_is_our_bug_and_stops_the_worker(scene: Scene) -> None:
    asked = ask(scene)

    def refuse(entry: Entry) -> None:
        raise EntryRejected("entry", "another", "this")

    scene.log.before = refuse
    with pytest.raises(InvariantBroken, match="refuses the intent entry"):
        work_once(scene.node, FAR)
    assert scene.store.job(asked.request_id).state is JobState.BROKEN
    assert not work_once(scene.node, 2 * FAR)


@pytest.mark.parametrize("failure", [Unauthorised("authorization", "a token", "another"), OutOfScope("intent", "chain", "calls")])
def test_a_token_that_is_not_a_nodes_is_no_bug_of_ours_and_can_be_mended(scene: Scene, failure: Exception) -> None:
    """Whoever runs the log gives tokens: with a wrong one nothing is answered, and nothing is lost."""
    asked = ask(scene)

    def refuse(entry: Entry) -> None:
        raise failure

    scene.log.before = refuse
    assert work_once(scene.node, FAR)
    assert scene.store.job(asked.request_id).state is JobState.QUEUED
    scene.log.before = lambda entry: None
    while work_once(scene.node, 2 * FAR):
        pass
    assert scene.store.job(asked.request_id).state is JobState.ANSWERED


# ---- following ----------------------------------------------------------------------------------------------------------------
def test_requests_are_followed_into_jobs_and_survive_a_reorganisation(scene: Scene) -> None:
    follower = make_follower(scene.store._engine, scene.node, first_block=0, confirmations=0)
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), fee_wei=5)
    other = scene.chain.ask(scene.digits.model_id, digit_image(1), fee_wei=5)
    follower.step()
    assert scene.store.count_by_state()[JobState.QUEUED] == 2
    scene.chain.reorg(2, keep_transactions=True)
    follower.step()
    found = scene.store.job(asked.request_id)
    assert found.state is JobState.QUEUED
    assert found.asked.block_hash != asked.block_hash
    assert found.asked.block_hash == scene.chain.requested_in(found.asked.block_hash or keccak256(b""))[0].block_hash
    while work_once(scene.node, FAR):
        pass
    assert {scene.store.job(a.request_id).state for a in (asked, other)} == {JobState.ANSWERED}


def test_a_request_that_vanished_with_its_block_is_not_worked_on(scene: Scene) -> None:
    follower = make_follower(scene.store._engine, scene.node, first_block=0, confirmations=0)
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), fee_wei=5)
    follower.step()
    scene.chain.reorg(1)
    work_once(scene.node, FAR)  # the follower has not seen it yet: the endpoint does not know the request, so it waits
    assert scene.store.job(asked.request_id).problem == "RequestUnknown"
    follower.step()
    assert scene.store.job(asked.request_id).state is JobState.DROPPED
    assert not work_once(scene.node, FAR)
    assert scene.log.entries == []


def test_the_intent_of_a_request_that_moved_to_another_block_is_another_intent(scene: Scene) -> None:
    follower = make_follower(scene.store._engine, scene.node, first_block=0, confirmations=0)
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), fee_wei=5)
    follower.step()
    scene.log.before = lambda entry: setattr(scene.log, "is_down", entry.kind is EntryKind.INTENT)
    sign_all_once = scene.store.sign_all_once
    scene.store.sign_all_once = lambda *a: (_ for _ in ()).throw(PeerError("the key's device is away"))  # type: ignore[method-assign]
    work_once(scene.node, FAR)
    scene.store.sign_all_once, scene.log.before, scene.log.is_down = sign_all_once, lambda entry: None, False  # type: ignore[method-assign]
    scene.chain.reorg(1, keep_transactions=True)
    follower.step()
    work_once(scene.node, 2 * FAR)
    assert scene.store.job(asked.request_id).state is JobState.ANSWERED
    assert scene.log.kinds() == [EntryKind.INTENT, EntryKind.INTENT, EntryKind.RESULT]
    assert scene.log.entries[2].fields["audit.intent.index"] == 1


# ---- a lie, made the only way there is -----------------------------------------------------------------------------------------
def test_a_node_with_another_model_in_its_directory_cannot_answer_for_the_first(scene: Scene, tmp_path: Path) -> None:
    """Swapping the file changes the id, so the request's model is simply not served; lying takes a key and a will (sign_lie)."""
    swapped = write_opaque_manifest(write_scale_model(tmp_path / "s.onnx", factor=3.0), tmp_path / "swapped", "scale")
    node = replace(scene.node, library=ModelLibrary([load_model(swapped.path)]))
    asked = ask(scene)
    work_once(node, FAR)
    assert scene.store.job(asked.request_id).problem == "ModelUnknown"


def test_a_bug_of_any_kind_marks_the_job_before_it_stops_the_node(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the node would meet it again after every start."""
    asked = ask(scene)

    def fail(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(answering, "infer", fail)
    with pytest.raises(TypeError, match="a bug"):
        work_once(scene.node, FAR)
    assert scene.store.job(asked.request_id).state is JobState.BROKEN


def test_a_bug_while_refusing_marks_the_job_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask(scene)

    def refuse_input(*_: object) -> None:
        raise InputRejected("input", "another", "this")

    def refuse_entry(entry: Entry) -> None:
        if entry.kind is EntryKind.ERROR:
            raise EntryRejected("entry", "another", "this")

    monkeypatch.setattr(answering, "infer", refuse_input)
    scene.log.before = refuse_entry
    with pytest.raises(InvariantBroken, match="refuses the error entry"):
        work_once(scene.node, FAR)
    assert scene.store.job(asked.request_id).state is JobState.BROKEN


@pytest.mark.parametrize("method", ["mark_all_answered", "postpone", "refuse", "record_intents"])
def test_a_job_whose_worker_lost_the_database_is_taken_again_without_a_restart(
    scene: Scene, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=2), fee_wei=1 if method == "refuse" else 5)
    scene.store.enqueue(asked)
    scene.log.is_down = method == "postpone"

    def fail(*_: object, **__: object) -> None:
        raise StoreError("disk full") from OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(JobStore, method, fail)
        patch.setattr(JobStore, "postpone", fail)
        with pytest.raises(StoreError):
            work_once(scene.node, 100.0)
        assert scene.store.job(asked.request_id).state is JobState.RUNNING
    scene.log.is_down = False
    assert work_once(scene.node, 100.0)
    assert scene.store.job(asked.request_id).state is (JobState.REFUSED if method == "refuse" else JobState.ANSWERED)
    assert not scene.node.stranded


def test_a_canonical_model_that_is_not_what_its_circuit_says_is_not_served(tmp_path: Path) -> None:
    """Every digest is true and onnxruntime loads it, but another network runs."""
    folder = Path(shutil.copytree(DIGITS, tmp_path / "digits"))
    assert [m.directory.model_id for m in load_checked_library([folder])] == [load_model(DIGITS).directory.model_id]
    model = onnx.load(folder / "model.onnx")
    bias = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("_bias"))
    bias.raw_data = bias.raw_data[:-8] + bytes(8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["model.onnx"] = digest_of((folder / "model.onnx").read_bytes())
    (folder / "manifest.json").write_bytes(canonical_json(manifest))
    load_model(folder)
    with pytest.raises(ModelRejected, match=r"model\.onnx: not the file that circuit\.bin and weights\.bin give"):
        load_checked_library([folder])


# ---- proofs ----------------------------------------------------------------------------------------------------------------
PAID = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


def proving(scene: Scene, tmp_path: Path) -> Scene:
    """The same scene with a node that proves."""
    prover = Prover([CanonicalModel.load(DIGITS)])
    library = ModelLibrary([load_model(DIGITS)])
    node = make_node(scene.chain, scene.log, library, tmp_path / "proving.sqlite", proving=Proving(prover, lambda: PAID))
    return replace(scene, node=node)


def ask_proof(scene: Scene, policy: Policy) -> Asked:
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), policy, fee_wei=5)
    scene.node.store.enqueue(asked)
    return asked


@pytest.mark.parametrize("quorum", [0, 2])
def test_a_node_that_proves_answers_with_a_proof_that_holds(scene: Scene, tmp_path: Path, quorum: int) -> None:
    scene = proving(scene, tmp_path)
    asked = ask_proof(scene, Policy(quorum=quorum, proof=True))
    work_once(scene.node, FAR)
    job = scene.node.store.job(asked.request_id)
    assert job.state is JobState.ANSWERED
    signed = scene.node.store.require_guarded(asked.request_id, scene.chain.domain).signed
    assert scene.node.proving is not None
    evidence = Evidence(PROOF_SELECTOR, job.proof)
    assert scene.node.proving.prover.verify(signed.claim, asked.input, signed.output, evidence) == PAID
    result = scene.log.entries[-1]
    assert result.fields["audit.proof_digest"] == to_hex(keccak256(job.proof))
    assert result.bodies["audit.proof_digest"] == job.proof


def test_nothing_is_proven_that_nobody_demands(scene: Scene, tmp_path: Path) -> None:
    scene = proving(scene, tmp_path)
    asked = ask_proof(scene, Policy(quorum=2))
    work_once(scene.node, FAR)
    assert scene.node.store.job(asked.request_id).proof == b""
    assert "audit.proof_digest" not in scene.log.entries[-1].fields


def test_a_node_that_does_not_prove_signs_beside_one_that_does(scene: Scene) -> None:
    asked = ask_proof(scene, Policy(quorum=2, proof=True))
    work_once(scene.node, FAR)
    assert scene.store.job(asked.request_id).state is JobState.ANSWERED
    assert scene.store.job(asked.request_id).proof == b""


def test_a_proof_is_made_once_whatever_fails_after_it(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = proving(scene, tmp_path)
    asked, proofs = ask_proof(scene, Policy(proof=True)), []
    assert scene.node.proving is not None
    real = scene.node.proving.prover.prove

    def counted(*arguments: Any) -> Evidence:
        proofs.append(real(*arguments))
        scene.log.is_down = len(proofs) == 1  # the log fails when the first proof is made, before its result
        return proofs[-1]

    monkeypatch.setattr(scene.node.proving.prover, "prove", counted)
    work_once(scene.node, FAR)
    assert scene.node.store.job(asked.request_id).state is JobState.QUEUED
    scene.log.is_down = False
    work_once(scene.node, 2 * FAR)
    assert scene.node.store.job(asked.request_id).state is JobState.ANSWERED
    assert [p.data for p in proofs] == [scene.node.store.job(asked.request_id).proof]


def test_a_crash_between_signature_and_proof_is_made_good(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = proving(scene, tmp_path)
    asked = ask_proof(scene, Policy(proof=True))
    assert scene.node.proving is not None

    def die(*_: Any) -> Evidence:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(scene.node.proving.prover, "prove", die)
        with pytest.raises(KeyboardInterrupt):
            work_once(scene.node, FAR)
    signed = scene.node.store.require_guarded(asked.request_id, scene.chain.domain).signed
    assert scene.node.store.requeue_all() == 1
    work_once(scene.node, FAR)
    job = scene.node.store.job(asked.request_id)
    assert job.state is JobState.ANSWERED
    assert job.proof
    assert scene.node.store.require_guarded(asked.request_id, scene.chain.domain).signed == signed


def test_a_model_whose_commitments_are_not_those_of_its_weights_is_not_served(tmp_path: Path) -> None:
    """Its id is another one, which somebody may have registered: whoever signs for it can be proven wrong."""
    folder = tmp_path / "hostile"
    shutil.copytree(DIGITS, folder)
    content = (folder / "commitments.bin").read_bytes()
    hostile = content[96:192] + content[:96]
    (folder / "commitments.bin").write_bytes(hostile)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["commitments.bin"] = digest_of(hostile)
    (folder / "manifest.json").write_bytes(canonical_json(manifest))
    with pytest.raises(ModelRejected, match="commitments"):
        load_checked_library([folder])


# ---- several at once ------------------------------------------------------------------------------------------------------------
MANY = 8


def ask_many(scene: Scene, **of: dict[str, object]) -> list[Asked]:
    """Signed requests, as many as are worked on together; `of` names a number and what its request has of its own."""
    asked = [scene.sign(digit_image(n), SIGNED_NONCE_START + n, **of.get(f"number_{n}", {})) for n in range(MANY)]
    for one in asked:
        scene.store.enqueue(one)
    return asked


def states(scene: Scene, asked: Sequence[Asked]) -> list[JobState]:
    return [scene.store.job(one.request_id).state for one in asked]


def test_several_are_answered_in_one_walk_down_the_line(scene: Scene) -> None:
    asked = ask_many(scene)
    questions: list[int] = []
    first = scene.log.append_batch
    scene.log.append_batch = lambda items: (questions.append(len(items)), first(items))[1]  # type: ignore[method-assign]
    assert work_once(scene.node, FAR, MANY)
    assert questions == [MANY, MANY]
    assert scene.log.kinds() == [EntryKind.INTENT] * MANY + [EntryKind.RESULT] * MANY
    assert states(scene, asked) == [JobState.ANSWERED] * MANY
    for number, one in enumerate(asked):
        guarded = scene.store.require_guarded(one.request_id, scene.chain.domain)
        check_signed_claim(guarded.signed, one, scene.chain.domain, scene.chain.operators())
        result = scene.log.entries[MANY + number]
        assert result.fields["audit.request_id"] == to_hex(one.request_id)
        assert result.fields["audit.intent.index"] == number
        assert scene.store.job(one.request_id).intent == guarded.intent


def test_a_deposit_pays_for_no_more_than_it_holds_however_many_come_together(scene: Scene) -> None:
    """100 wei, and eight that cost 20: what the others will cost counts for each, as it does one by one."""
    asked = ask_many(scene, **{f"number_{n}": {"fee_wei": 20} for n in range(MANY)})
    assert work_once(scene.node, FAR, MANY)
    assert {job.problem for job in map(scene.store.job, (one.request_id for one in asked))} == {"RequestUnpaid"}


def test_what_befalls_one_stops_no_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    unpaid, expired = {"fee_wei": 1}, {"deadline": scene.chain.time - 1}
    asked = ask_many(scene, number_1=unpaid, number_4=expired)
    real = answering.infer

    def refuse_third(model: ServedModel, data: bytes) -> Inference:
        if data == asked[2].input:
            raise InputRejected("input", "another", "this")
        return real(model, data)

    monkeypatch.setattr(answering, "infer", refuse_third)
    sign_lie(scene.node, asked[6])
    assert work_once(scene.node, FAR, MANY)
    found = [scene.store.job(one.request_id) for one in asked]
    assert [job.problem for job in found] == [None, "RequestUnpaid", "InputRejected", None, "RequestExpired", None, None, None]
    answered = [job.state is JobState.ANSWERED for job in found]
    assert answered == [True, False, False, True, False, True, True, True]  # the seventh: what it signed before is what it says


def test_a_bug_that_shows_on_one_of_several_breaks_that_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask_many(scene)
    real = answering.infer

    def fail_on_fourth(model: ServedModel, data: bytes) -> Inference:
        if data == asked[3].input:
            raise ZeroDivisionError
        return real(model, data)

    monkeypatch.setattr(answering, "infer", fail_on_fourth)
    with pytest.raises(ZeroDivisionError):
        work_once(scene.node, FAR, MANY)
    assert states(scene, asked)[:4] == [JobState.ANSWERED] * 3 + [JobState.BROKEN]
    while work_once(scene.node, FAR, MANY):
        pass
    assert states(scene, asked) == [JobState.ANSWERED] * 3 + [JobState.BROKEN] + [JobState.ANSWERED] * (MANY - 4)


def test_an_entry_that_the_log_refuses_is_found_among_several(scene: Scene) -> None:
    asked = ask_many(scene)

    def refuse(entry: Entry) -> None:
        if entry.kind is EntryKind.RESULT and entry.fields["audit.request_id"] == to_hex(asked[5].request_id):
            raise EntryRejected("entry", "another", "this")

    scene.log.before = refuse
    with pytest.raises(InvariantBroken, match="refuses the result entry"):
        work_once(scene.node, FAR, MANY)
    while work_once(scene.node, FAR, MANY):
        pass
    assert states(scene, asked) == [JobState.BROKEN if n == 5 else JobState.ANSWERED for n in range(MANY)]


@pytest.mark.parametrize("kind", [EntryKind.INTENT, EntryKind.RESULT])
def test_a_log_that_goes_away_between_them_loses_and_repeats_none(scene: Scene, kind: EntryKind) -> None:
    asked = ask_many(scene)
    seen: list[Entry] = []

    def leave(entry: Entry) -> None:
        seen.append(entry)
        if entry.kind is kind and sum(one.kind is kind for one in seen) == 3:
            scene.log.is_down = True
            raise PeerError("the log did not answer")

    scene.log.before = leave
    assert work_once(scene.node, FAR, MANY)
    assert states(scene, asked) == [JobState.QUEUED] * MANY
    scene.log.is_down, scene.log.before = False, lambda entry: None
    assert work_once(scene.node, 2 * FAR, MANY)
    assert states(scene, asked) == [JobState.ANSWERED] * MANY
    kinds = scene.log.kinds()
    assert (kinds.count(EntryKind.INTENT), kinds.count(EntryKind.RESULT)) == (MANY, MANY)


@pytest.mark.parametrize("method", ["record_intents", "sign_all_once", "mark_all_answered"])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_process_that_dies_with_several_in_hand(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, is_after: bool
) -> None:
    asked = ask_many(scene)
    real: Callable[..., object] = getattr(scene.store, method)

    def die(*arguments: object) -> None:
        if is_after:
            real(*arguments)
        raise Died

    monkeypatch.setattr(scene.store, method, die)
    with pytest.raises(Died):
        work_once(scene.node, FAR, MANY)
    ids = [one.request_id for one in asked]
    reborn = make_node(scene.chain, scene.log, scene.node.library, tmp_path / "node.sqlite")
    kept = reborn.store.guarded_all(ids, scene.chain.domain)
    reborn.store.requeue_all()
    while work_once(reborn, FAR, MANY):
        pass
    assert scene.log.kinds() == [EntryKind.INTENT] * MANY + [EntryKind.RESULT] * MANY
    assert states(scene, asked) == [JobState.ANSWERED] * MANY
    assert reborn.store.guarded_all(ids, scene.chain.domain) | kept == reborn.store.guarded_all(ids, scene.chain.domain)


def test_slow_ones_are_worked_on_alone(scene: Scene) -> None:
    """An opaque model that runs elsewhere, or a proof, must not hold up those that take no time."""
    asked = ask_many(scene, number_2={"model_id": scene.scale.model_id, "policy": pack_policy(Policy(quorum=1))})
    taken = scene.store.take_due(FAR, MANY, lambda job, before: answering.may_go_together(job, before, scene.node))
    assert [job.asked for job in taken] == asked[:2]
    taken = scene.store.take_due(FAR, MANY, lambda job, before: answering.may_go_together(job, before, scene.node))
    assert [job.asked for job in taken] == asked[2:3]


def test_policies_that_are_none_are_refused_among_several(scene: Scene) -> None:
    """Such as those of contracts that are newer than this node."""
    asked = ask_many(scene, number_0={"policy": Bytes32(b"\xff" * 32)}, number_3={"policy": Bytes32(b"\xff" * 32)})
    assert work_once(scene.node, FAR, MANY)
    assert [scene.store.job(one.request_id).problem for one in asked] == ["PolicyRejected", None, None, "PolicyRejected", *[None] * 4]
