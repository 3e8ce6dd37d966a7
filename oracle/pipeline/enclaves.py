"""Registering an enclave's key: its operator begins, the enclave makes a quote, other operators attest, its operator registers.

What passes between them are files: a registration, a quote with its collateral, and one attestation of each operator. Nothing in them is
secret and nothing in them is trusted: each step checks them against the chain again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oracle.attest.enclave.accept import AcceptancePolicy, accept_quote
from oracle.attest.enclave.binding import (
    EnclaveAttestation,
    Registration,
    compute_attestation_digest,
    compute_report_data,
    compute_revocation_digest,
)
from oracle.attest.enclave.report import Platform
from oracle.attest.enclave.simulated import SimulatedEnclave
from oracle.attest.quorum import operator_of
from oracle.encoding import pack_quorum_evidence, parse_address, parse_bytes32, parse_hex, parse_uint, to_hex
from oracle.errors import ClaimRejected, ConfigRejected, EvidenceRejected, MalformedInput, RequestRejected
from oracle.pipeline.session import Session
from oracle.records import Address, Bytes32, EnclaveKey
from oracle.relay.contracts import Contracts
from oracle.seams import Signer
from oracle.signatures import recover_signer
from oracle.wire import require_fields


@dataclass(frozen=True, slots=True)
class SignedAttestation:
    """What one operator found, with its signature by its claim-signing key."""

    attestation: EnclaveAttestation
    signer: Address
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedRevocation:
    """One operator's signature, by its claim-signing key, that a key must not count any more."""

    key: Address
    reason: Bytes32
    signer: Address
    signature: bytes


# ---- the steps, in order ----------------------------------------------------------------------------------------------------------------
def begin_registration(session: Session, key: Address, runtime_digest: Bytes32) -> Registration:
    """Draws the nonce that the quote is bound to. What was begun before counts for nothing from here on."""
    contracts = session.contracts
    session.sender.send(contracts.call("EnclaveRegistry", "begin"))
    nonce, _ = contracts.enclave_nonce(session.account)
    return Registration(contracts.domain.chain_id, registry_of(contracts), session.account, key, runtime_digest, nonce)


def simulate_quote(enclave: SimulatedEnclave, registration: Registration, image: Bytes32, now: int, seconds: int) -> bytes:
    """The quote that a simulated enclave with this image makes for a registration."""
    return enclave.quote(image, compute_report_data(registration), now, now + seconds)


def attest(
    contracts: Contracts,
    signer: Signer,
    registration: Registration,
    quote: tuple[bytes, bytes],
    policy: AcceptancePolicy,
    now: int,
    expires_at: int | None = None,
) -> SignedAttestation:
    """Verifies somebody's quote and signs what it says. `quote`: evidence and collateral; `now`: POSIX seconds.

    Raises EnclaveRejected with the reason, RequestRejected where the registration is not the one that is begun on this chain,
    ClaimRejected where `signer` is no active operator's key.
    """
    require_begun(contracts, registration)
    mine = operator_of(signer.address, contracts.operators())
    if mine.operator == registration.operator:
        raise RequestRejected("operator of the enclave", "another than who attests", registration.operator)
    attestation = accept_quote(*quote, now, registration, policy, expires_at)
    digest = compute_attestation_digest(attestation, contracts.domain.chain_id, registry_of(contracts))
    return SignedAttestation(attestation, signer.address, signer.sign_digest(digest))


def register(session: Session, signed: Sequence[SignedAttestation]) -> EnclaveKey:
    """Registers the key on the attestations of enough operators. Raises EvidenceRejected where they do not fit together."""
    contracts = session.contracts
    attestation = signed[0].attestation if signed else None
    if attestation is None or any(one.attestation != attestation for one in signed):
        raise EvidenceRejected("attestations", "the same from every operator", f"{len({one.attestation for one in signed})} different ones")
    evidence = assemble_attestations(contracts, attestation, signed)
    a = attestation
    fields = (a.key, a.operator, int(a.platform), a.measurement, a.runtime_digest, a.quote_digest, a.expires_at, a.nonce)
    session.sender.send(contracts.call("EnclaveRegistry", "register", fields, evidence))
    return find_key(contracts, attestation.key)


def assemble_attestations(contracts: Contracts, attestation: EnclaveAttestation, signed: Sequence[SignedAttestation]) -> bytes:
    """Their signatures as the registry's verifier takes them. Raises ClaimRejected and EvidenceRejected as `assemble_signatures` does."""
    digest = compute_attestation_digest(attestation, contracts.domain.chain_id, registry_of(contracts))
    return assemble_signatures(contracts, "attestation", digest, {one.signer: one.signature for one in signed})


def assemble_signatures(contracts: Contracts, what: str, digest: Bytes32, signed: Mapping[Address, bytes]) -> bytes:
    """As many signatures as the registry demands, those of the lowest operator indices.

    Raises ClaimRejected for a signature that is not its signer's, or not an active operator's; EvidenceRejected where they are too few.
    """
    operators = contracts.operators()
    signatures: dict[int, bytes] = {}
    for signer, signature in signed.items():
        if recover_signer(digest, signature) != signer:
            raise ClaimRejected(f"signer of the {what}", signer, "another")
        signatures[operator_of(signer, operators).index] = signature
    wanted = contracts.enclave_quorum()
    if len(signatures) < wanted:
        raise EvidenceRejected(f"{what}s", f"those of {wanted} operators", len(signatures))
    return pack_quorum_evidence({index: signatures[index] for index in sorted(signatures)[:wanted]}).data


def revoke(session: Session, key: Address, reason: Bytes32) -> EnclaveKey:
    """Revokes the account's own key, for ever. Raises CallReverted where it is another operator's."""
    session.sender.send(session.contracts.call("EnclaveRegistry", "revoke", key, reason))
    return find_key(session.contracts, key)


# ---- revoking what is another's ---------------------------------------------------------------------------------------------------------
def sign_revocation(contracts: Contracts, signer: Signer, key: Address, reason: Bytes32) -> SignedRevocation:
    """One operator's word that a key must not count any more. `reason`: keccak256 of a text.

    Raises EvidenceRejected for a key that is not registered or is revoked, ClaimRejected where `signer` is no active operator's key.
    """
    if find_key(contracts, key).is_revoked:
        raise EvidenceRejected("enclave's key", "one that is not revoked", key)
    operator_of(signer.address, contracts.operators())
    return SignedRevocation(key, reason, signer.address, signer.sign_digest(_revocation_digest(contracts, key, reason)))


def revoke_together(session: Session, signed: Sequence[SignedRevocation]) -> EnclaveKey:
    """Revokes anybody's key, for ever, on the signatures of enough operators; any account may send them.

    Raises EvidenceRejected where they are of different keys or reasons, or too few; ClaimRejected where one is false.
    """
    meant = {(one.key, one.reason) for one in signed}
    if len(meant) != 1:
        raise EvidenceRejected("revocations", "one key and one reason in all of them", f"{len(meant)} different ones")
    key, reason = meant.pop()
    contracts = session.contracts
    signatures = {one.signer: one.signature for one in signed}
    evidence = assemble_signatures(contracts, "revocation", _revocation_digest(contracts, key, reason), signatures)
    session.sender.send(contracts.call("EnclaveRegistry", "revokeByQuorum", key, reason, evidence))
    return find_key(contracts, key)


def _revocation_digest(contracts: Contracts, key: Address, reason: Bytes32) -> Bytes32:
    return compute_revocation_digest(key, reason, contracts.domain.chain_id, registry_of(contracts))


# ---- reading ----------------------------------------------------------------------------------------------------------------------------
def find_key(contracts: Contracts, key: Address) -> EnclaveKey:
    """Raises EvidenceRejected for a key that was never registered."""
    found = contracts.enclave_key(key)
    if found is None:
        raise EvidenceRejected("enclave's key", "a registered one", key)
    return found


def describe_state(contracts: Contracts, key: EnclaveKey, now: int) -> str:
    """Whether the key counts at `now`, in one word: valid, expired, revoked, inactive where its operator is, or withdrawn where operators
    took back the approval on which it was registered directly."""
    if key.is_revoked:
        return "revoked"
    if now >= key.expires_at:
        return "expired"
    if _is_withdrawn(contracts, key):
        return "withdrawn"
    operator = next((o for o in contracts.operators() if o.operator == key.operator), None)
    return "valid" if operator is not None and operator.is_active else "inactive"


def _is_withdrawn(contracts: Contracts, key: EnclaveKey) -> bool:
    if contracts.deployment.dcap_verifier is None or not contracts.view("EnclaveRegistry", "isDirect", key.key):
        return False
    is_approved, _ = contracts.view("EnclaveRegistry", "approvalOf", key.platform, key.measurement, key.runtime_digest)
    return not is_approved


def require_begun(contracts: Contracts, registration: Registration) -> None:
    """The registration is of this chain and registry, its operator is active, and its nonce is the one drawn last."""
    here = (contracts.domain.chain_id, registry_of(contracts))
    if (registration.chain_id, registration.registry) != here:
        raise RequestRejected("registration", f"chain {here[0]}, registry {here[1]}", f"{registration.chain_id}, {registration.registry}")
    if not any(o.operator == registration.operator and o.is_active for o in contracts.operators()):
        raise RequestRejected("operator of the enclave", "an active one", registration.operator)
    nonce, until = contracts.enclave_nonce(registration.operator)
    if nonce != registration.nonce or contracts.pending_time() > until:
        raise RequestRejected("nonce of the registration", f"{to_hex(nonce)}, until {until}", to_hex(registration.nonce))


def registry_of(contracts: Contracts) -> Address:
    """Raises ConfigRejected where the deployment has none."""
    registry = contracts.deployment.enclave_registry
    if registry is None:
        raise ConfigRejected("EnclaveRegistry of the deployment", "an address", "none: it was deployed before there was one")
    return registry


# ---- files ------------------------------------------------------------------------------------------------------------------------------
def registration_to_json(r: Registration) -> dict[str, str | int]:
    """`report_data` is for the enclave: the 64 bytes it puts into its quote."""
    fields: dict[str, str | int] = {"chain_id": r.chain_id, "registry": r.registry, "operator": r.operator, "key": r.key}
    digests = {"runtime_digest": to_hex(r.runtime_digest), "nonce": to_hex(r.nonce), "report_data": to_hex(compute_report_data(r))}
    return fields | digests


def read_registration(path: Path) -> Registration:
    """Raises ConfigRejected naming the file and what is wrong with it."""
    f = _read(path, "registration", {"chain_id", "registry", "operator", "key", "runtime_digest", "nonce", "report_data"})
    try:
        registration = Registration(
            chain_id=parse_uint(f["chain_id"], "chain_id", 64),
            registry=parse_address(f["registry"], "registry"),
            operator=parse_address(f["operator"], "operator"),
            key=parse_address(f["key"], "key"),
            runtime_digest=parse_bytes32(f["runtime_digest"], "runtime_digest"),
            nonce=parse_bytes32(f["nonce"], "nonce"),
        )
    except MalformedInput as error:
        raise ConfigRejected(f"registration {path}", "what `affidavit enclave begin` writes", str(error)) from error
    if f["report_data"] != to_hex(compute_report_data(registration)):
        raise ConfigRejected(f"registration {path}", "the report_data of its fields", "another")
    return registration


_DIGESTS = ("measurement", "runtime_digest", "quote_digest", "nonce")


def attestation_to_json(signed: SignedAttestation) -> dict[str, str | int]:
    a = signed.attestation
    fields: dict[str, str | int] = {"key": a.key, "operator": a.operator, "platform": int(a.platform), "expires_at": a.expires_at}
    return fields | {n: to_hex(getattr(a, n)) for n in _DIGESTS} | {"signer": signed.signer, "signature": to_hex(signed.signature)}


def read_attestation(path: Path) -> SignedAttestation:
    """Raises ConfigRejected naming the file and what is wrong with it."""
    f = _read(path, "attestation", {"key", "operator", "platform", "expires_at", *_DIGESTS, "signer", "signature"})
    try:
        attestation = EnclaveAttestation(
            key=parse_address(f["key"], "key"),
            operator=parse_address(f["operator"], "operator"),
            platform=Platform(parse_uint(f["platform"], "platform", 8)),
            expires_at=parse_uint(f["expires_at"], "expires_at", 64),
            **{name: parse_bytes32(f[name], name) for name in _DIGESTS},
        )
        return SignedAttestation(attestation, parse_address(f["signer"], "signer"), parse_hex(f["signature"], "signature", 65))
    except (MalformedInput, ValueError) as error:
        raise ConfigRejected(f"attestation {path}", "what `affidavit enclave attest` writes", str(error)) from error


def revocation_to_json(signed: SignedRevocation) -> dict[str, str]:
    return {"key": signed.key, "reason": to_hex(signed.reason), "signer": signed.signer, "signature": to_hex(signed.signature)}


def read_revocation(path: Path) -> SignedRevocation:
    """Raises ConfigRejected naming the file and what is wrong with it."""
    f = _read(path, "revocation", {"key", "reason", "signer", "signature"})
    try:
        return SignedRevocation(
            key=parse_address(f["key"], "key"),
            reason=parse_bytes32(f["reason"], "reason"),
            signer=parse_address(f["signer"], "signer"),
            signature=parse_hex(f["signature"], "signature", 65),
        )
    except MalformedInput as error:
        raise ConfigRejected(f"revocation {path}", "what `affidavit enclave sign-revocation` writes", str(error)) from error


def _read(path: Path, what: str, names: set[str]) -> Mapping[str, Any]:
    try:
        return require_fields(json.loads(path.read_text()), what, names)
    except OSError as error:
        raise ConfigRejected(f"{what} {path}", "a readable file", error.strerror) from error
    except (ValueError, RecursionError, MalformedInput) as error:
        raise ConfigRejected(f"{what} {path}", "a JSON object", str(error)[:200]) from error
