"""Witnesses, composed: the step that brings a log's checkpoints to them, and the process of a witness of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oracle import journal
from oracle.audit.cosign import COSIGNATURE, COSIGNATURE_ML_DSA_44, generate_witness_key
from oracle.audit.cosigner import Witness
from oracle.audit.log import Log
from oracle.audit.metrics import LogMetrics
from oracle.audit.note import VerifierKey, parse_vkey
from oracle.audit.policy import Policy, load_policy
from oracle.audit.source import DirectorySource
from oracle.audit.witness import Witnessing
from oracle.audit.witness_key import read_witness_key, write_witness_key
from oracle.audit.witness_server import make_app
from oracle.audit.witness_store import CosignedStore
from oracle.config import LogConfig, read_new_password, read_secret
from oracle.errors import ConfigRejected, LogRefused
from oracle.pipeline.background import Background, Step
from oracle.seams import Clock, SystemClock


# ---- beside a log ---------------------------------------------------------------------------------------------------------------------
def open_witnessing(log: Log, source: DirectorySource, settings: LogConfig, key: VerifierKey, clock: Clock) -> Witnessing:
    """The witnesses of a log's policy file. Raises ConfigRejected for a policy that is not for this log, or names nobody to ask."""
    if settings.witnesses is None:
        raise ConfigRejected("log: witnesses", "a policy file", "none")
    policy = load_policy(settings.witnesses)
    _check_policy(policy, settings.witnesses, key)
    store = CosignedStore.open(settings.checkpoint_database)
    return Witnessing(log, source, settings.directory, key, policy, store, clock)


def _check_policy(policy: Policy, path: Path, key: VerifierKey) -> None:
    if policy.logs and key not in [log.key for log in policy.logs]:
        raise ConfigRejected(f"witness policy {path}", f"a line for the log {key}", "others")
    asked = {witness.name for witness in policy.witnesses if witness.url is not None}
    if not asked or not policy.is_met(asked):
        raise ConfigRejected(f"witness policy {path}", "URLs of witnesses that together meet its quorum", f"those of {len(asked)}")


def make_witness_step(witnessing: Witnessing, metrics: LogMetrics, pause_seconds: float) -> Step:
    """One round. What a witness does wrong is a number; where one of them knows better, the log refuses, with the door open for readers."""

    def step() -> float:
        try:
            done = witnessing.run_once()
        except LogRefused as refusal:  # told once already, by whoever refused
            metrics.witness_quorum_met.set(0)
            journal.get("witness").critical("not cosigned", reason=str(refusal))
            return max(pause_seconds, 60.0)
        if done is not None:
            metrics.witness_quorum_met.set(done.is_met)
            metrics.witness_cosignatures.set(len(done.names))
            for name in done.failures:
                metrics.witness_failures.labels(name).inc()
            if done.is_met:
                metrics.witnessed.set(done.checkpoint.size)
        return pause_seconds

    return step


# ---- a witness of our own -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class NewWitness:
    """What was written for a new witness."""

    vkey: str
    key_file: Path


def new_witness(directory: Path, name: str, password_file: Path, is_quantum_safe: bool = False) -> NewWitness:
    """A witness's key, encrypted. Raises ConfigRejected where one is there already, NoteRejected for a name no key may have."""
    kind = COSIGNATURE_ML_DSA_44 if is_quantum_safe else COSIGNATURE
    password, key = read_new_password(password_file), generate_witness_key(name, kind)
    directory.mkdir(parents=True, exist_ok=True)
    write_witness_key(directory / "witness-key.json", key, password)
    return NewWitness(str(key.verifier), directory / "witness-key.json")


def run_witness(listen: str, database: str, key_file: Path, password_file: Path, logs: Sequence[str]) -> None:
    """`affidavit witness serve`: until SIGTERM. Raises ConfigRejected, NoteRejected for a log's key, or StoreError."""
    journal.configure("witness")
    if not logs:
        raise ConfigRejected("witness", "at least one log", "none")
    keys = [parse_vkey(text) for text in logs]
    witness = Witness.open(database, read_witness_key(key_file, read_secret(password_file)), keys, SystemClock())
    try:
        journal.get("witness").info("started", vkey=str(witness.signer.verifier), logs=sorted(witness.logs))
        Background().run({}, make_app(witness), listen)
    finally:
        witness.close()
    journal.get("witness").info("stopped")
