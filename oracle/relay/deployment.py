"""Where the contracts of one deployment are: the file `deployment.json` that every process is given."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from oracle.encoding import parse_address, parse_uint
from oracle.errors import ConfigRejected, MalformedInput
from oracle.records import Address, Domain
from oracle.wire import require_fields

CONTRACTS = {
    "Coprocessor": "coprocessor",
    "ModelRegistry": "model_registry",
    "OperatorRegistry": "operator_registry",
    "VerifierRouter": "verifier_router",
    "QuorumVerifier": "quorum_verifier",
    "ProofVerifier": "proof_verifier",
    "FraudProofs": "fraud_proofs",
    "AuditAnchor": "audit_anchor",
    "EnclaveRegistry": "enclave_registry",
    "EnclaveVerifier": "enclave_verifier",
    "DcapCertificates": "dcap_certificates",
    "DcapCollateral": "dcap_collateral",
    "DcapVerifier": "dcap_verifier",
    "BlsKeys": "bls_keys",
    "BlsQuorumVerifier": "bls_quorum_verifier",
    "Disputes": "disputes",
    "FeeQuotes": "fee_quotes",
}
"""Names of sources, and the fields of a deployment that say where each is."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The contracts of one deployment. `block_number` is the first block in which any of them can have emitted an event.

    Those that may be None came later: a deployment made before has none, and its file does not name it.
    """

    chain_id: int
    block_number: int
    coprocessor: Address
    model_registry: Address
    operator_registry: Address
    verifier_router: Address
    quorum_verifier: Address
    proof_verifier: Address
    fraud_proofs: Address
    audit_anchor: Address
    timelock: Address
    enclave_registry: Address | None = None
    enclave_verifier: Address | None = None
    bls_keys: Address | None = None
    bls_quorum_verifier: Address | None = None
    disputes: Address | None = None
    fee_quotes: Address | None = None
    dcap_certificates: Address | None = None
    dcap_collateral: Address | None = None
    dcap_verifier: Address | None = None

    @property
    def domain(self) -> Domain:
        return Domain(self.chain_id, self.coprocessor)


def load_deployment(path: Path) -> Deployment:
    """Raises ConfigRejected naming the file and what is wrong with it."""
    names = [f.name for f in fields(Deployment)]
    later = {f.name for f in fields(Deployment) if f.default is None}
    try:
        document = require_fields(json.loads(path.read_text()), "deployment", set(names) - later, later)
        numbers = {name: parse_uint(document[name], f"deployment.{name}", 64) for name in names[:2]}
        addresses = {name: parse_address(document[name], f"deployment.{name}") for name in names[2:] if name in document}
        return Deployment(**cast(Any, numbers | addresses))
    except OSError as error:
        raise ConfigRejected(f"deployment {path}", "a readable file", error.strerror) from error
    except (ValueError, RecursionError, MalformedInput) as error:
        raise ConfigRejected(f"deployment {path}", "what `affidavit deploy` writes", str(error)) from error


def write_deployment(deployment: Deployment, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {name: value for name, value in asdict(deployment).items() if value is not None}
    path.write_text(json.dumps(named, indent=2) + "\n")
