"""How the contracts of one deployment name each other on chain, and what of a deployment file that contradicts.

Whoever is given a false file would trust, pay or accuse the wrong contract. The Coprocessor's address is what a file is about; from there
every contract that another one relies on is reached by a link that is held here. Nothing on chain names the AuditAnchor and the FeeQuotes:
of them only what they say about themselves is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oracle.encoding import ENCLAVE_SELECTOR, PROOF_SELECTOR, QUORUM_BLS_SELECTOR, QUORUM_ECDSA_SELECTOR
from oracle.limits import ZERO_ADDRESS
from oracle.records import Address
from oracle.relay.deployment import CONTRACTS, Deployment


@dataclass(frozen=True, slots=True)
class Link:
    """`contract`'s view `view` gives the address that the field `names` of the file states.

    `always`: where the file states none, the chain must have none either. Otherwise such a file says nothing that could be wrong.
    """

    contract: str
    view: str
    names: str
    always: bool = False


LINKS = (
    Link("Coprocessor", "MODELS", "model_registry"),
    Link("Coprocessor", "ROUTER", "verifier_router"),
    Link("Coprocessor", "DISPUTES", "disputes", always=True),
    Link("QuorumVerifier", "OPERATORS", "operator_registry"),
    Link("OperatorRegistry", "slasher", "fraud_proofs"),
    Link("OperatorRegistry", "owner", "timelock"),
    Link("VerifierRouter", "owner", "timelock"),
    Link("ProofVerifier", "MODELS", "model_registry"),
    Link("FraudProofs", "COPROCESSOR", "coprocessor"),
    Link("FraudProofs", "ROUTER", "verifier_router"),
    Link("FraudProofs", "OPERATORS", "operator_registry"),
    Link("FraudProofs", "DISPUTES", "disputes", always=True),
    Link("Disputes", "COPROCESSOR", "coprocessor"),
    Link("Disputes", "OPERATORS", "operator_registry"),
    Link("EnclaveVerifier", "ENCLAVES", "enclave_registry", always=True),
    Link("EnclaveRegistry", "OPERATORS", "operator_registry"),
    Link("EnclaveRegistry", "QUORUM_VERIFIER", "quorum_verifier"),
    Link("EnclaveRegistry", "DCAP", "dcap_verifier"),
    Link("DcapVerifier", "CERTIFICATES", "dcap_certificates"),
    Link("DcapVerifier", "COLLATERAL", "dcap_collateral"),
    Link("DcapCollateral", "CERTIFICATES", "dcap_certificates"),
    Link("BlsQuorumVerifier", "KEYS", "bls_keys", always=True),
    Link("BlsKeys", "OPERATORS", "operator_registry"),
    Link("FeeQuotes", "OPERATORS", "operator_registry"),
)
"""Immutable, but for the slasher and the owners: the timelock can replace those, and the file then needs another line."""

ROUTES = {
    "QuorumVerifier": QUORUM_ECDSA_SELECTOR,
    "ProofVerifier": PROOF_SELECTOR,
    "EnclaveVerifier": ENCLAVE_SELECTOR,
    "BlsQuorumVerifier": QUORUM_BLS_SELECTOR,
}
"""Which verifier the router has under a selector is for ever, also when it is stopped or removed. A file may be older than a route."""


def links_of(deployment: Deployment) -> Iterator[tuple[Link, Address]]:
    """The links between the contracts that a file states, and where each must lead."""
    for link in LINKS:
        expected: Address | None = getattr(deployment, link.names)
        if getattr(deployment, CONTRACTS[link.contract]) is not None and (expected is not None or link.always):
            yield link, expected or ZERO_ADDRESS


def routes_of(deployment: Deployment) -> Iterator[tuple[str, bytes, Address]]:
    """(verifier, its selector, where the router must have it) of the verifiers that a file states."""
    for name, selector in ROUTES.items():
        if (stated := getattr(deployment, CONTRACTS[name])) is not None:
            yield name, selector, stated
