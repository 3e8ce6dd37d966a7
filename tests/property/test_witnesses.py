"""Witness and monitor beside naive twins, over random histories of honest and lying logs."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.cosigner import SubmissionRefused, Witness
from oracle.audit.monitor import Monitor
from oracle.audit.monitor_store import MonitorStore
from oracle.audit.note import SignerKey
from oracle.audit.submission import Submission, write_submission
from oracle.audit.tree import compute_consistency_proof, compute_root, hash_leaf
from tests.twins.logs import KEY, START
from tests.twins.paper_log import PaperLog, make_record
from tests.twins.witnesses import SIGNERS, SetClock

TRUE = [bytes(hash_leaf(b"true" + bytes([i]))) for i in range(64)]
FORK = [*TRUE[:9], *(bytes(hash_leaf(b"fork" + bytes([i]))) for i in range(9, 64))]
STRANGER = SignerKey("stranger.example/log", bytes(32))
FORGED = SignerKey(KEY.name, bytes(32))


class NaiveWitness:
    """The rules of c2sp.org/tlog-witness, word for word, on lists of leaves in the place of proofs."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def answer(self, old: int, leaves: list[bytes], proof_is_true: bool, key: SignerKey) -> int:
        if key is STRANGER:
            return 404
        if key is FORGED:
            return 403
        if old > len(leaves):
            return 400
        if old != len(self.seen):
            return 409
        if not proof_is_true or leaves[: len(self.seen)] != self.seen:
            return 422
        self.seen = leaves
        return 200


@pytest.mark.parametrize("seed", range(4))
def test_a_witness_beside_its_twin(tmp_path: Path, seed: int) -> None:
    r, twin = random.Random(seed), NaiveWitness()
    witness = Witness.open(f"sqlite:///{tmp_path}/w.sqlite", SIGNERS[0], [KEY.verifier], SetClock(START))
    statuses = set()
    for _ in range(250):
        leaves = r.choice([TRUE, TRUE, TRUE, FORK])[: min(64, max(0, len(twin.seen) + r.randint(-3, 4)))]
        old = r.choice([len(twin.seen)] * 4 + [0, r.randint(0, 64)])
        key = r.choice([KEY] * 12 + [STRANGER, FORGED])
        proof = list(compute_consistency_proof(leaves, old)) if 0 < old <= len(leaves) else []
        is_true = r.random() < 0.8
        if not is_true:
            proof.append(r.randbytes(32))
        note = sign_checkpoint(len(leaves), compute_root(leaves), key).note.encode()
        try:
            witness.add_checkpoint(write_submission(Submission(old, tuple(proof), note)))
            status = 200
        except SubmissionRefused as refusal:
            status = refusal.status
        assert status == twin.answer(old, leaves, is_true, key)
        statuses.add(status)
        head = witness.latest(KEY.name)
        assert (head.size, head.root) == (len(twin.seen), compute_root(twin.seen)) if head else not twin.seen
    assert statuses == {200, 400, 403, 404, 409, 422}
    assert {fork.size for fork in witness.forks()} <= set(range(65))
    witness.close()


def expected(believed: list[bytes], shown: list[bytes]) -> str | None:
    """What a monitor must say of a checkpoint, from the whole lists."""
    if len(shown) < len(believed):
        return "rollback"
    return None if shown[: len(believed)] == believed else "fork"


@pytest.mark.parametrize("seed", range(12))
def test_a_monitor_beside_its_twin(tmp_path: Path, seed: int) -> None:
    r = random.Random(seed)
    log, clock = PaperLog([make_record(n) for n in range(r.randint(0, 5))]), SetClock(START + timedelta(seconds=600))
    store = MonitorStore.open(f"sqlite:///{tmp_path}/m.sqlite")
    monitor = Monitor(log, KEY.verifier, store, clock)
    believed: list[bytes] = []
    told: set[str] = set()
    for _ in range(14):
        step = r.random()
        if step < 0.6:
            log.records = believed + [make_record(len(believed) + n) for n in range(r.randint(0, 3))]
        elif step < 0.8:
            log.records = believed[: r.randint(0, len(believed))]
        else:
            kept = believed[: r.randint(0, len(believed))]
            log.records = kept + [make_record(n, test__forked=True) for n in range(len(kept), len(believed) + r.randint(0, 2))]
        log.size = len(log.records)
        verdict = expected(believed, log.records)
        done = monitor.run_once()
        if verdict is None:
            believed = list(log.records)
        else:
            told.add(verdict)
        assert {str(alarm.kind) for alarm in done.alarms} == told
        assert (done.size, done.audited) == (len(believed), len(believed))
    assert {str(alarm.kind) for alarm in store.open_alarms(KEY.name)} == told
    store.close()
