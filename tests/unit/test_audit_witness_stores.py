"""The databases of witness, log and monitor on SQLite and on PostgreSQL, and what an auditor is told of witnesses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.cosigner import OtherSize, SubmissionRefused, Witness
from oracle.audit.monitor import Beside, Monitor
from oracle.audit.monitor_store import MonitorStore
from oracle.audit.note import Note, SignerKey, parse
from oracle.audit.policy import Policy, parse_policy
from oracle.audit.report import StepStatus
from oracle.audit.source import DirectorySource
from oracle.audit.submission import Submission, write_submission
from oracle.audit.tree import compute_consistency_proof, compute_root, hash_leaf
from oracle.audit.verify import verify_call
from oracle.audit.view import LogView
from oracle.audit.webhook import Webhook
from oracle.audit.witness_store import CosignedStore, CosignedTree
from oracle.audit.witnessed import judge_witnesses
from oracle.errors import AuditFailed, ProofRejected, StoreError
from oracle.pipeline.audit import CHECKS
from oracle.records import Bytes32
from tests.twins.audited import History
from tests.twins.logs import KEY, START, entry
from tests.twins.paper_log import PaperLog, make_record
from tests.twins.witnesses import SIGNERS, SetClock

NewDatabase = Callable[[], str]
LEAVES = [bytes(hash_leaf(i.to_bytes(2, "big"))) for i in range(300)]


def submission(old: int, size: int, leaves: list[bytes] = LEAVES) -> bytes:
    proof = tuple(compute_consistency_proof(leaves[:size], old)) if old else ()
    return write_submission(Submission(old, proof, sign_checkpoint(size, compute_root(leaves[:size]), KEY).note.encode()))


def open_witness(url: str) -> Witness:
    return Witness.open(url, SIGNERS[0], [KEY.verifier], SetClock(START))


# ---- on both databases ----------------------------------------------------------------------------------------------------------------
def test_a_witness(new_database: NewDatabase) -> None:
    url = new_database()
    witness = open_witness(url)
    for old, new in ((0, 3), (3, 3), (3, 100)):
        assert witness.add_checkpoint(submission(old, new)).startswith("— w1.example ")
    with pytest.raises(OtherSize) as conflict:
        witness.add_checkpoint(submission(3, 101))
    assert conflict.value.known == 100
    for _ in range(2):
        with pytest.raises(SubmissionRefused) as refused:
            witness.add_checkpoint(submission(100, 100, [*LEAVES[:99], bytes(32)]))
        assert refused.value.status == 422
    assert len(witness.forks()) == 1
    witness.close()
    again = open_witness(url)
    head = again.latest(KEY.name)
    assert head is not None
    assert head.size == 100
    again.close()


def test_two_processes_of_one_witness(new_database: NewDatabase) -> None:
    """From every size at most one checkpoint is cosigned, whichever connection asks."""
    url = new_database()
    witnesses = [open_witness(url) for _ in range(3)]
    witnesses[0].add_checkpoint(submission(0, 1))
    given: list[tuple[int, int]] = []

    def offer(witness: Witness, step: int) -> None:
        known = 1
        for _ in range(15):
            try:
                witness.add_checkpoint(submission(known, known + step))
            except OtherSize as refusal:
                known = refusal.known
            except (SubmissionRefused, StoreError):
                continue
            else:
                given.append((known, known + step))
                known += step

    threads = [threading.Thread(target=offer, args=(witness, step)) for step, witness in enumerate(witnesses, start=1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given.sort()
    assert given
    assert given[0][0] == 1
    assert all(before[1] == after[0] for before, after in pairwise(given)), given
    for witness in witnesses:
        witness.close()


def test_what_a_log_remembers(new_database: NewDatabase) -> None:
    store = CosignedStore.open(new_database())
    assert store.trees(KEY.name) == []
    assert store.witnessed(KEY.name) is None
    for size in (5, 9, 7):
        store.remember(KEY.name, CosignedTree("w", size, Bytes32(bytes([size]) * 32), size))
        store.witness(sign_checkpoint(size, Bytes32(bytes([size]) * 32), KEY))
    assert store.tree(KEY.name, "w") == CosignedTree("w", 9, Bytes32(b"\x09" * 32), 9)
    witnessed = store.witnessed(KEY.name)
    assert witnessed is not None
    assert witnessed.size == 9
    assert store.trees("other") == []
    store.close()


def test_a_monitor(new_database: NewDatabase) -> None:
    store, log, clock = MonitorStore.open(new_database()), PaperLog.of(10), SetClock(START + timedelta(seconds=60))
    monitor = Monitor(log, KEY.verifier, store, clock, Beside(anchors=list))
    assert monitor.run_once().alarms == ()
    log.size = 5
    [alarm] = monitor.run_once().alarms
    log.size = 10
    log.records.append(make_record(10, sequence=13))
    log.size = 11
    assert sorted(a.kind for a in monitor.run_once().alarms) == ["gap", "rollback"]
    assert store.acknowledge(alarm.id, 7) is not None
    assert store.count_messages() == 3
    assert Webhook("http://127.0.0.1:9", store, clock).deliver_once() is False
    assert store.count_messages() == 3
    assert store.load(KEY.name).writers["w"].sequence == 13
    store.close()


# ---- what an audit says ---------------------------------------------------------------------------------------------------------------
def policy(quorum: str) -> Policy:
    lines = [f"witness w{i} {SIGNERS[i].verifier}" for i in range(2)] + ["group both all w0 w1", f"quorum {quorum}", ""]
    return parse_policy("\n".join(lines).encode())


def cosign(note: str, *signers: int) -> str:
    parsed = parse(note.encode())
    lines = tuple(SIGNERS[i].cosign(parsed.text, 1000) for i in signers)
    return Note(parsed.text, (*parsed.signatures, *lines)).encode().decode()


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path)
    made.log.append("w", entry(1))
    made.log.append("w", entry(2))
    return made


def test_the_words_of_step_three(history: History, tmp_path: Path) -> None:
    file = tmp_path / "log/checkpoint"
    plain = file.read_text()

    def audit(rule: Policy | None) -> tuple[str, tuple[str, ...], bool | None, bool]:
        view = LogView(DirectorySource(history.directory / "log"), KEY.verifier, rule, 2000.0)
        report = verify_call(view, history.chain, None, 1, CHECKS)
        step = next(s for s in report.steps if s.number == 3)
        assert step.status is StepStatus.PASSED
        return step.detail, report.remarks, report.is_witnessed, report.is_complete

    assert audit(None)[1:3] == ((), None)
    assert "witness quorum NOT met: cosigned by nobody; no cosignature of w0, w1" in audit(policy("both"))[1]
    assert audit(policy("both"))[2:] == (False, False)
    file.write_text(cosign(plain, 0))
    assert "no cosignature of w1" in audit(policy("both"))[1][0]
    assert "witness quorum met by w0 for all entries" in audit(policy("w0"))[0]
    assert audit(policy("none"))[2] is True
    assert "1 more signatures on the checkpoint were not checked" in audit(None)[1][0]
    file.write_text(cosign(plain, 0, 1))
    detail, remarks, is_witnessed, _ = audit(policy("both"))
    assert "witness quorum met by w0, w1 for all entries" in detail
    assert (remarks, is_witnessed) == ((), True)


def test_the_witnessed_checkpoint_is_looked_at_where_the_newest_is_not_enough(history: History, tmp_path: Path) -> None:
    older = (tmp_path / "log/checkpoint").read_text()
    history.log.append("w", entry(3))
    (tmp_path / "log/witnessed").write_text(cosign(older, 0, 1))
    verdict = LogView(DirectorySource(history.directory / "log"), KEY.verifier, policy("both"), 2000.0).witnesses
    assert verdict is not None
    assert (verdict.is_met, verdict.size, verdict.log_size) == (True, 2, 3)
    (tmp_path / "log/witnessed").write_text(cosign(older, 0))
    verdict = LogView(DirectorySource(history.directory / "log"), KEY.verifier, policy("both"), 2000.0).witnesses
    assert verdict is not None
    assert (verdict.is_met, verdict.size) == (False, 0)
    forked = sign_checkpoint(2, Bytes32(bytes(32)), KEY).note
    (tmp_path / "log/witnessed").write_text(cosign(forked, 0, 1))
    with pytest.raises(AuditFailed, match="consistency"):
        LogView(DirectorySource(history.directory / "log"), KEY.verifier, policy("both"), 2000.0)


def test_a_checkpoint_witnessed_after_the_view_was_read(history: History, tmp_path: Path) -> None:
    """It covers all of the view, where the log extends both; a log that tells of more than it shows was rolled back."""
    view = LogView(DirectorySource(history.directory / "log"), KEY.verifier)
    older = (tmp_path / "log/checkpoint").read_text()
    history.log.append("w", entry(3))
    newer = (tmp_path / "log/checkpoint").read_text()
    (tmp_path / "log/witnessed").write_text(cosign(newer, 0, 1))
    verdict = judge_witnesses(view, policy("both"), 2000.0)
    assert (verdict.is_met, verdict.size, verdict.log_size) == (True, 2, 2)
    (tmp_path / "log/checkpoint").write_text(older)
    with pytest.raises(ProofRejected, match="at least the 3 entries"):
        judge_witnesses(view, policy("both"), 2000.0)
    copied = LogView(DirectorySource(history.directory / "log"), KEY.verifier, is_copy=True)
    assert not judge_witnesses(copied, policy("both"), 2000.0).is_met


def test_a_policy_for_another_log(history: History) -> None:
    other = SignerKey("other.example/log", bytes(32)).verifier
    rule = parse_policy(f"log {other}\nquorum none\n".encode())
    with pytest.raises(AuditFailed, match="a line for the log"):
        LogView(DirectorySource(history.directory / "log"), KEY.verifier, rule, 2000.0)
