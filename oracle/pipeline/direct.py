"""Registering an enclave's key on a quote that the chain verifies itself: collateral, a decision on a measurement, and the key.

Intel's collateral is posted by anybody, for everybody. A quorum of operators decides once on what may run in an enclave; then an operator
needs nobody for a key. The contracts check everything (contracts/src/enclave); here it is put into their form, and sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oracle.attest.enclave.accept import MAX_LIFETIME_SECONDS
from oracle.attest.enclave.binding import MeasurementDecision, Registration, compute_decision_digest, compute_report_data
from oracle.attest.enclave.dcap import read_measurements
from oracle.attest.enclave.intel import Postable, RevocationList, Statement
from oracle.attest.enclave.report import Measurements, Platform, compute_measurement
from oracle.attest.quorum import operator_of
from oracle.encoding import keccak256, parse_address, parse_bytes32, parse_hex, parse_uint, to_hex
from oracle.errors import ConfigRejected, EvidenceRejected, MalformedInput, RequestRejected
from oracle.limits import ZERO_ADDRESS
from oracle.pipeline.enclaves import assemble_signatures, find_key, registry_of, require_begun
from oracle.pipeline.session import Session
from oracle.records import Address, Bytes32, EnclaveKey
from oracle.relay.contracts import Contracts
from oracle.seams import Signer
from oracle.wire import require_fields

VERIFIED_DATA, VERIFIED_EXPIRY = slice(2, 4), 5
"""Places in what DcapVerifier.verify returns."""


@dataclass(frozen=True, slots=True)
class Posted:
    """One document of the collateral. `gas_used` is 0 where the chain had it, or a newer one, already."""

    what: str
    gas_used: int


@dataclass(frozen=True, slots=True)
class SignedDecision:
    """One operator's signature, by its claim-signing key, that a measurement may be registered directly, or may not any more."""

    decision: MeasurementDecision
    signer: Address
    signature: bytes


@dataclass(frozen=True, slots=True)
class Measured:
    """What a quote says that it runs. Nothing of it is verified."""

    platform: Platform
    registers: Measurements
    measurement: Bytes32


# ---- collateral -------------------------------------------------------------------------------------------------------------------------
def post_collateral(session: Session, collateral: Postable) -> list[Posted]:
    """Posts what the chain does not have yet, in the order in which it is needed. Raises CallReverted where a contract refuses a document.

    Any account may: it is all signed by Intel, and only what is newer replaces what is there.
    """
    contracts = session.contracts
    root_issuer = Bytes32(contracts.view("DcapCertificates", "rootIssuer"))
    chain, info, identity = collateral.chain_digest, collateral.tcb_info, collateral.qe_identity
    root_list, authority_list = collateral.root_list, collateral.authority_list
    posted = [
        _post(session, "root revocations", _list_known(contracts, root_issuer, root_list), "postRootRevocations", root_list.der),
        _post(session, "authority", _is_authority(contracts, chain), "postAuthority", collateral.authority),
    ]
    is_known = _list_known(contracts, _issuer_of(contracts, chain), authority_list)
    posted.append(_post(session, "authority's revocations", is_known, "postRevocations", chain, authority_list.der))
    for signer in dict.fromkeys((info.signer, identity.signer)):
        posted.append(_post(session, "signer", _is_signer(contracts, signer), "postSigner", signer))
    posted.append(_state(session, "TCB info", info, contracts.view("DcapCollateral", "tcbInfoOf", info.is_tdx, info.fmspc), "postTcbInfo"))
    known = contracts.view("DcapCollateral", "qeIdentityOf", identity.is_tdx)
    posted.append(_state(session, "QE identity", identity, known, "postQeIdentity"))
    return posted


def _post(session: Session, what: str, is_known: bool, function: str, *arguments: object) -> Posted:
    if is_known:
        return Posted(what, 0)
    return Posted(what, session.sender.send(session.contracts.call("DcapCertificates", function, *arguments)).gas_used)


def _state(session: Session, what: str, statement: Statement, known: Sequence[object], function: str) -> Posted:
    """`known`: the contract's record: where it is kept, when it was issued, and its evaluation's number."""
    _, issued_at, evaluation, *_ = known
    if (int(str(issued_at)), int(str(evaluation))) == (statement.issued_at, statement.evaluation):
        return Posted(what, 0)
    arguments = (statement.signer_digest, statement.text, statement.signature)
    return Posted(what, session.sender.send(session.contracts.call("DcapCollateral", function, *arguments)).gas_used)


def _is_authority(contracts: Contracts, chain_digest: Bytes32) -> bool:
    return bool(contracts.view("DcapCertificates", "authorityOf", chain_digest)[3])


def _is_signer(contracts: Contracts, certificate: bytes) -> bool:
    return bool(contracts.view("DcapCertificates", "signerOf", keccak256(certificate))[3])


def _issuer_of(contracts: Contracts, chain_digest: Bytes32) -> Bytes32:
    name, x, y, *_ = contracts.view("DcapCertificates", "authorityOf", chain_digest)
    return keccak256(bytes(name) + bytes(x) + bytes(y))


def _list_known(contracts: Contracts, issuer: Bytes32, revoked: RevocationList) -> bool:
    this_update, *_ = contracts.view("DcapCertificates", "revocationsOf", issuer)
    return int(this_update) >= revoked.this_update


# ---- which measurements -----------------------------------------------------------------------------------------------------------------
def measure(evidence: bytes) -> Measured:
    """The registers of one's own quote, and their digest. Raises EnclaveRejected where it is none of Intel's."""
    platform, registers, _ = read_measurements(evidence)
    return Measured(platform, registers, compute_measurement(platform, registers))


def sign_decision(
    contracts: Contracts, signer: Signer, platform: Platform, measurement: Bytes32, runtime_digest: Bytes32, is_approved: bool
) -> SignedDecision:
    """One operator's word on a measurement: the next decision about it. Raises ClaimRejected where `signer` is no active operator's key."""
    require_direct(contracts)
    operator_of(signer.address, contracts.operators())
    _, decisions = contracts.view("EnclaveRegistry", "approvalOf", int(platform), measurement, runtime_digest)
    decision = MeasurementDecision(platform, measurement, runtime_digest, is_approved, int(decisions))
    return SignedDecision(decision, signer.address, signer.sign_digest(_decision_digest(contracts, decision)))


def decide_together(session: Session, signed: Sequence[SignedDecision]) -> MeasurementDecision:
    """Carries a decision out, on the signatures of enough operators; any account may send them.

    Raises EvidenceRejected where they are of different decisions, or too few; ClaimRejected where one is false.
    """
    contracts = session.contracts
    meant = {one.decision for one in signed}
    if len(meant) != 1:
        raise EvidenceRejected("decisions", "the same in all of them", f"{len(meant)} different ones")
    decision = meant.pop()
    signatures = {one.signer: one.signature for one in signed}
    evidence = assemble_signatures(contracts, "decision", _decision_digest(contracts, decision), signatures)
    d = decision
    fields = (int(d.platform), d.measurement, d.runtime_digest, d.is_approved)
    session.sender.send(contracts.call("EnclaveRegistry", "decideMeasurement", *fields, evidence))
    return decision


def _decision_digest(contracts: Contracts, decision: MeasurementDecision) -> Bytes32:
    return compute_decision_digest(decision, contracts.domain.chain_id, registry_of(contracts))


# ---- the key ----------------------------------------------------------------------------------------------------------------------------
def register_direct(session: Session, registration: Registration, evidence: bytes, expires_at: int | None = None) -> EnclaveKey:
    """Registers the account's enclave key on its quote alone. `expires_at`: POSIX seconds; as late as allowed where left out.

    Raises EnclaveRejected where the quote is none of Intel's, RequestRejected where the registration is not the account's, or the quote not
    for it, CallReverted where the contracts refuse the quote, with the name of the reason.
    """
    contracts = session.contracts
    require_direct(contracts)
    if registration.operator != session.account:
        raise RequestRejected("operator of the registration", session.account, registration.operator)
    require_begun(contracts, registration)
    _, _, quote = read_measurements(evidence)
    verified = contracts.view("DcapVerifier", "verify", quote)
    bound = b"".join(bytes(half) for half in verified[VERIFIED_DATA])
    if bound != compute_report_data(registration):
        raise RequestRejected("report_data of the quote", to_hex(compute_report_data(registration)), to_hex(bound))
    latest = min(int(verified[VERIFIED_EXPIRY]), contracts.pending_time() + MAX_LIFETIME_SECONDS)
    fields = (registration.key, registration.runtime_digest, latest if expires_at is None else expires_at, registration.nonce)
    session.sender.send(contracts.call("EnclaveRegistry", "registerDirect", fields, quote))
    return find_key(contracts, registration.key)


def require_direct(contracts: Contracts) -> Address:
    """The verifier that the registry asks. Raises ConfigRejected where the deployment has none, or its file names another."""
    verifier = contracts.deployment.dcap_verifier
    if verifier is None:
        raise ConfigRejected("DcapVerifier of the deployment", "an address", "none: its chain verifies no quotes")
    asked = Address(contracts.view("EnclaveRegistry", "DCAP"))
    if asked != verifier or asked == ZERO_ADDRESS:
        raise ConfigRejected("DcapVerifier of the deployment", asked, verifier)
    return verifier


# ---- files ------------------------------------------------------------------------------------------------------------------------------
def decision_to_json(signed: SignedDecision) -> dict[str, str | int | bool]:
    d = signed.decision
    fields: dict[str, str | int | bool] = {"platform": int(d.platform), "is_approved": d.is_approved, "decision": d.decision}
    digests = {"measurement": to_hex(d.measurement), "runtime_digest": to_hex(d.runtime_digest)}
    return fields | digests | {"signer": signed.signer, "signature": to_hex(signed.signature)}


def read_decision(path: Path) -> SignedDecision:
    """Raises ConfigRejected naming the file and what is wrong with it."""
    names = {"platform", "is_approved", "decision", "measurement", "runtime_digest", "signer", "signature"}
    try:
        f = require_fields(json.loads(path.read_text()), "decision", names)
        if not isinstance(f["is_approved"], bool):
            raise MalformedInput("is_approved", "true or false", str(f["is_approved"])[:20])
        decision = MeasurementDecision(
            platform=Platform(parse_uint(f["platform"], "platform", 8)),
            measurement=parse_bytes32(f["measurement"], "measurement"),
            runtime_digest=parse_bytes32(f["runtime_digest"], "runtime_digest"),
            is_approved=f["is_approved"],
            decision=parse_uint(f["decision"], "decision", 64),
        )
        return SignedDecision(decision, parse_address(f["signer"], "signer"), parse_hex(f["signature"], "signature", 65))
    except OSError as error:
        raise ConfigRejected(f"decision {path}", "a readable file", error.strerror) from error
    except (MalformedInput, ValueError, RecursionError) as error:
        raise ConfigRejected(f"decision {path}", "what `affidavit enclave sign-measurement` writes", str(error)[:200]) from error
