"""Where a node's models run and its proofs are made: in child processes, or on a cluster; and proving there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from circuits import CanonicalModel
from oracle.attest.prove import Prover
from oracle.config import NodeConfig
from oracle.encoding import PROOF_SELECTOR, keccak256, to_hex
from oracle.errors import ConfigRejected, EvidenceRejected, InvariantBroken, WorkerError
from oracle.node.cluster import PATIENCE_SECONDS, ClusterAddress, ClusterExecutor
from oracle.node.directory import Bundle, ModelDirectory, make_bundle, write_directory
from oracle.node.executor import Limits, Missing, Observer, ProcessExecutor, Workplace
from oracle.node.models import ModelLibrary
from oracle.node.work import OpenModels, serve_elsewhere
from oracle.pipeline.models import load_provable_library
from oracle.records import Address, Bytes32, Claim, Evidence

LOCAL = "processes"
MODULE = "oracle.pipeline.work"


# ---- in the worker ---------------------------------------------------------------------------------------------------------------------
def _open_prover(directory: ModelDirectory) -> Prover:
    """Of bytes that were digested already; the loader reads files, and digests them once more."""
    with tempfile.TemporaryDirectory(prefix="affidavit-") as folder:
        path = Path(folder) / "model"
        path.mkdir()
        write_directory(path, directory.manifest, directory.files)
        return Prover([CanonicalModel.load(path, directory.model_id)])


_provers = OpenModels(_open_prover)


def prove_there(model_id: Bytes32, bundle: Bundle | None, claim: Claim, data: bytes, beneficiary: Address) -> bytes | Missing:
    """As `Prover.prove`: the data of the evidence."""
    prover = _provers.find(model_id, bundle)
    return prover if isinstance(prover, Missing) else prover.prove(claim, data, beneficiary).data


# ---- at the node -----------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class DistantProver:
    """Proves in a workplace, and lets nothing pass that does not verify here."""

    workplace: Workplace
    verifier: Prover

    def __contains__(self, model_id: Bytes32) -> bool:
        return model_id in self.verifier

    def prove(self, claim: Claim, data: bytes, beneficiary: Address) -> Evidence:
        """As `Prover.prove`. Raises as `Workplace.call` does too, and WorkerError for a proof that does not hold."""
        output = self.verifier.run(claim.model_id, data)
        if keccak256(output) != claim.output_digest:
            raise InvariantBroken(f"a claim to prove about request {to_hex(claim.request_id)} is not what the model gives")
        made = self.workplace.call("proof", bytes, prove_there, claim.model_id, claim, data, beneficiary)
        evidence = Evidence(PROOF_SELECTOR, made)
        try:
            named = self.verifier.verify(claim, data, output, evidence)
        except EvidenceRejected as error:
            raise WorkerError("a worker gives a proof that does not hold") from error
        if named != beneficiary:
            raise WorkerError(f"a worker gives a proof that pays {named}, not {beneficiary}")
        return evidence


def load_models(paths: Sequence[Path], workplace: Workplace, loading: Workplace) -> tuple[ModelLibrary, DistantProver]:
    """A node's models, checked: canonical ones are at hand and proven in `workplace`; opaque ones run there, and are loaded in `loading`.

    Raises ModelRejected; WorkGivenUp where loading a model ends its process.
    """
    library, prover = load_provable_library(paths, lambda directory: serve_elsewhere(directory, loading))
    for model in library:
        workplace.add(model.directory.model_id, partial(make_bundle, model.directory))
    return library, DistantProver(workplace, prover)


def open_workplace(config: NodeConfig, observer: Observer) -> Workplace:
    """What `[node] executor` names. Raises ConfigRejected, and WorkerError where a cluster does not answer."""
    limits = read_limits(config)
    if config.executor == LOCAL:
        if any((config.executor_ca_file, config.executor_cert_file, config.executor_key_file)):
            raise ConfigRejected("node: executor_ca_file, executor_cert_file, executor_key_file", "none without a cluster", "one")
        processes = min(config.workers, os.cpu_count() or 1)  # a worker waits for log, chain and disk most of its time
        return Workplace(ProcessExecutor(processes, limits, [MODULE]), limits.tries, observer)
    files = (config.executor_ca_file, config.executor_cert_file, config.executor_key_file)
    executor = ClusterExecutor(ClusterAddress(config.executor, *files), limits)
    executor.connect()
    return Workplace(executor, limits.tries, observer, patience_seconds=(1 + limits.tries) * limits.seconds + PATIENCE_SECONDS)


@contextmanager
def open_loading(config: NodeConfig, workplace: Workplace) -> Iterator[Workplace]:
    """Where models are loaded at the start: the node's own processes, and one for the purpose beside a cluster.

    So a node starts, and refuses a bad model, whatever its cluster does.
    """
    if config.executor == LOCAL:
        yield workplace
        return
    limits = read_limits(config)
    executor = ProcessExecutor(1, limits)
    try:
        yield Workplace(executor, limits.tries, Observer())
    finally:
        executor.stop(0)


def read_limits(config: NodeConfig) -> Limits:
    """Raises ConfigRejected."""
    for name, value, least in (
        ("job_seconds", config.job_seconds, 0.001),
        ("job_memory_mib", config.job_memory_mib, 256),
        ("job_tries", config.job_tries, 1),
        ("job_queue", config.job_queue, 1),
    ):
        if value < least:
            raise ConfigRejected(f"node: {name}", f"at least {least}", value)
    return Limits(config.job_seconds, config.job_memory_mib << 20, config.job_tries, config.job_queue)
