"""What an enclave's key is bound to, and what operators sign about it. The same values as `EnclaveRegistry.sol`.

report_data = keccak256(abi.encode(keccak256("affidavit.enclave.report-data.v1"), chainId, registry, operator, key, runtimeDigest, nonce))
followed by 32 zero bytes. The nonce is the one that the registry drew for this registration, so a quote is of no use for another chain,
registry, operator, key, runtime or registration, and was made after the registration was begun.
"""

from __future__ import annotations

from dataclasses import dataclass

from oracle.attest.enclave.report import Platform
from oracle.encoding import domain_separator, keccak256, type_hash, typed_data_digest
from oracle.records import Address, Bytes32, Runtime

REPORT_DATA_DOMAIN = keccak256(b"affidavit.enclave.report-data.v1")
RUNTIME_DOMAIN = keccak256(b"affidavit.enclave.runtime.v1")
ENCLAVES_DOMAIN_NAME = "AffidavitEnclaves"
ATTESTATION_TYPE = (
    "EnclaveAttestation(address key,address operator,uint8 platform,bytes32 measurement,bytes32 runtimeDigest,"
    "bytes32 quoteDigest,uint64 expiresAt,bytes32 nonce)"
)
REVOCATION_TYPE = "EnclaveRevocation(address key,bytes32 reason)"
DECISION_TYPE = "MeasurementDecision(uint8 platform,bytes32 measurement,bytes32 runtimeDigest,bool isApproved,uint64 decision)"
_DECISION_TYPE_HASH = type_hash(DECISION_TYPE)
_ATTESTATION_TYPE_HASH, _REVOCATION_TYPE_HASH = type_hash(ATTESTATION_TYPE), type_hash(REVOCATION_TYPE)


@dataclass(frozen=True, slots=True)
class Registration:
    """One registration, begun on chain: whose key, for which runtime, in which registry, under which nonce of the registry's."""

    chain_id: int
    registry: Address
    operator: Address
    key: Address
    runtime_digest: Bytes32
    nonce: Bytes32


@dataclass(frozen=True, slots=True)
class EnclaveAttestation:
    """The EIP-712 struct that a quorum of operators signs about an enclave's key."""

    key: Address
    operator: Address
    platform: Platform
    measurement: Bytes32
    runtime_digest: Bytes32
    quote_digest: Bytes32
    expires_at: int  # uint64, seconds since 1970
    nonce: Bytes32


@dataclass(frozen=True, slots=True)
class MeasurementDecision:
    """The EIP-712 struct that a quorum signs to approve what runs in an enclave for direct registration, or to withdraw that."""

    platform: Platform
    measurement: Bytes32
    runtime_digest: Bytes32
    is_approved: bool
    decision: int  # how many decisions about it there were before this one


def compute_report_data(registration: Registration) -> bytes:
    """The 64 bytes that the enclave puts into its quote."""
    r = registration
    words = (REPORT_DATA_DOMAIN, _word(r.chain_id), _address(r.registry), _address(r.operator), _address(r.key), r.runtime_digest, r.nonce)
    return keccak256(b"".join(words)) + bytes(32)


def compute_runtime_digest(runtime: Runtime) -> Bytes32:
    """keccak256 of a domain and the keccak256 of each of name, version, provider and optimisation level."""
    parts = (runtime.name, runtime.version, runtime.provider, runtime.optimisation)
    return keccak256(RUNTIME_DOMAIN + b"".join(keccak256(part.encode()) for part in parts))


def compute_attestation_digest(attestation: EnclaveAttestation, chain_id: int, registry: Address) -> Bytes32:
    """What operators sign to register an enclave's key."""
    a = attestation
    head = (_ATTESTATION_TYPE_HASH, _address(a.key), _address(a.operator), _word(int(a.platform)), a.measurement, a.runtime_digest)
    struct_hash = keccak256(b"".join((*head, a.quote_digest, _word(a.expires_at), a.nonce)))
    return typed_data_digest(domain_separator(ENCLAVES_DOMAIN_NAME, chain_id, registry), struct_hash)


def compute_revocation_digest(key: Address, reason: Bytes32, chain_id: int, registry: Address) -> Bytes32:
    """What operators sign to revoke an enclave's key. `reason`: keccak256 of a text, or zeros."""
    struct_hash = keccak256(_REVOCATION_TYPE_HASH + _address(key) + reason)
    return typed_data_digest(domain_separator(ENCLAVES_DOMAIN_NAME, chain_id, registry), struct_hash)


def compute_decision_digest(decision: MeasurementDecision, chain_id: int, registry: Address) -> Bytes32:
    """What operators sign about a measurement."""
    d = decision
    head = (_DECISION_TYPE_HASH, _word(int(d.platform)), d.measurement, d.runtime_digest)
    struct_hash = keccak256(b"".join((*head, _word(int(d.is_approved)), _word(d.decision))))
    return typed_data_digest(domain_separator(ENCLAVES_DOMAIN_NAME, chain_id, registry), struct_hash)


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address(address: Address) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")
