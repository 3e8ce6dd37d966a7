"""The audit: a log, a chain and the auditor's own copies of the keys, composed into `verify_call` and `verify_log`.

Nothing is taken from the operator but addresses to read from. What an auditor must have from elsewhere: the log's verifier key, the
anchor key's address, and the deployment (chain id and contracts).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oracle.attest.bls_quorum import verify_any_quorum
from oracle.attest.prove import Prover
from oracle.audit import export
from oracle.audit.call import ClaimChecks
from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.note import parse_vkey
from oracle.audit.onchain import ReExecute
from oracle.audit.parallel import usable_processes
from oracle.audit.policy import load_policy
from oracle.audit.report import ANCHORS, AuditReport, OnStep, failing_at
from oracle.audit.source import open_source
from oracle.audit.verify import verify_call
from oracle.audit.view import LogView
from oracle.audit.whole import OnProgress, verify_log
from oracle.encoding import compute_log_id
from oracle.node.infer import infer
from oracle.pipeline.models import load_provable_library
from oracle.records import Address, Bytes32, Checkpoint
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import load_deployment
from oracle.seams import ChainReader
from oracle.signatures import recover_signer

CHECKS = ClaimChecks(recover_signer, verify_any_quorum, Prover(()).verify)
"""Without any model at hand: proofs are not verified, and the audit says so."""


@dataclass(frozen=True, slots=True)
class Auditor:
    """One checkpoint of one log, beside one chain."""

    view: LogView
    chain: ChainReader
    log_id: Bytes32 | None  # None where no anchor key was given
    checks: ClaimChecks = CHECKS

    def verify_call(self, subject: Bytes32 | int, on_step: OnStep | None = None, re_execute: ReExecute | None = None) -> AuditReport:
        """Audits the call of a request id or entry index. Raises AuditFailed at the first step that does not hold."""
        return verify_call(self.view, self.chain, self.log_id, subject, self.checks, on_step, re_execute)

    def verify_log(self, on_step: OnStep | None = None, on_progress: OnProgress | None = None) -> AuditReport:
        """Audits every entry, tile, anchor and call. Raises AuditFailed at the first thing that does not hold."""
        told = on_progress or (lambda _what, _done, _total: None)
        return verify_log(self.view, self.chain, self.log_id, self.checks, on_step, told, usable_processes())

    def verify_extends(self, note: bytes) -> Checkpoint:
        """Holds the log against a checkpoint of it that was kept; returns that one.

        Raises NoteRejected where it is not this log's, AuditFailed (step 4) where this log does not extend it.
        """
        older = open_checkpoint(note, self.view.key)
        with failing_at(ANCHORS, f"kept checkpoint of size {older.size}"):
            self.view.verify_extends(older)
        return older

    def export_log(self, directory: Path) -> int:
        """A copy of the log that verifies offline; returns its number of entries."""
        return export.export_log(self.view, directory)

    def export_call(self, request_id: Bytes32, directory: Path) -> int:
        """Proofs and bodies of one call; returns the number of its records."""
        return len(export.export_call(self.view, request_id, directory))


def open_auditor(
    log: str,
    vkey: str,
    rpc: str | Sequence[str],
    deployment: Path,
    anchor_key: Address | None = None,
    token: str | None = None,
    checks: ClaimChecks = CHECKS,
    policy: Path | None = None,
    is_copy: bool = False,
) -> Auditor:
    """`log` is a URL or an exported directory, `token` a reader's, to see bodies. `checks`: with models at hand, those of `load_models`.
    `policy` is a file that says which witnesses must have cosigned. `is_copy`: the chain may be ahead of it (`LogView`).

    Raises NoteRejected for a malformed key, AuditFailed (step 3) for a checkpoint that is not the log's, ConfigRejected or ChainError for
    the deployment.
    """
    key = parse_vkey(vkey)
    contracts = Contracts(rpc, load_deployment(deployment))
    contracts.check_deployment()
    log_id = None if anchor_key is None else compute_log_id(key.name, anchor_key)
    witnesses = None if policy is None else load_policy(policy)
    return Auditor(LogView(open_source(log, token), key, witnesses, time.time(), is_copy), contracts, log_id, checks)


def load_models(directories: Sequence[Path]) -> tuple[ReExecute, ClaimChecks]:
    """Step 8 and the proofs of step 6 with these model directories. Raises ModelRejected for one that does not hold.

    What is not among them is ModelUnknown to both.
    """
    library, prover = load_provable_library(directories)

    def re_execute(model_id: Bytes32, data: bytes) -> bytes:
        return infer(library.get(model_id), data).output

    return re_execute, replace(CHECKS, verify_proof=prover.verify)
