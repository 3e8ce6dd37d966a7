"""Simulated enclaves for a local network: attested to and registered in the steps of docs/enclaves.md, and marked as simulated on chain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from oracle.attest.enclave.accept import parse_policy
from oracle.attest.enclave.binding import compute_runtime_digest
from oracle.attest.enclave.simulated import SimulatedEnclave
from oracle.encoding import keccak256, to_hex
from oracle.errors import ConfigRejected
from oracle.pipeline import enclaves
from oracle.pipeline.session import Session
from oracle.records import EnclaveKey, Runtime
from oracle.seams import Signer

IMAGE = keccak256(b"an image of the local network")
LIFETIME_SECONDS = 7 * 86_400


def register_simulated(session: Session, key: Signer, model: Path, attesting: Sequence[Signer]) -> EnclaveKey:
    """Registers `key` as that of an enclave of the session's operator. Raises what the steps raise.

    `attesting`: other operators' keys; `model`: an opaque model's folder, whose runtime the enclave is said to have.
    """
    contracts, runtime = session.contracts, compute_runtime_digest(_read_runtime(model))
    registration = enclaves.begin_registration(session, key.address, runtime)
    simulator, now = SimulatedEnclave.generate(), contracts.pending_time()
    policy = parse_policy(
        {
            "measurements": [{"platform": "simulated", "image": to_hex(IMAGE)}],
            "runtimes": [to_hex(runtime)],
            "lifetime_seconds": LIFETIME_SECONDS,
            "relaxations": ["simulated"],
            "simulated_roots": [to_hex(simulator.root_digest)],
        }
    )
    quote = (enclaves.simulate_quote(simulator, registration, IMAGE, now, LIFETIME_SECONDS), b"")
    signed: list[enclaves.SignedAttestation] = []
    for signer in attesting:
        expires_at = signed[0].attestation.expires_at if signed else None
        signed.append(enclaves.attest(contracts, signer, registration, quote, policy, now, expires_at))
    return enclaves.register(session, signed)


def _read_runtime(model: Path) -> Runtime:
    """Raises ConfigRejected for a model that binds none."""
    described = json.loads((model / "manifest.json").read_text()).get("runtime")
    if described is None:
        raise ConfigRejected(f"model {model}", "an opaque one, which binds a runtime", "none")
    return Runtime(**described)
