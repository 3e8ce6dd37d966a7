"""AMD SEV-SNP: an attestation report signed by a chip's VCEK, which AMD certifies (VCEK → ASK → ARK).

Source: SEV Secure Nested Paging Firmware ABI Specification (56860), table "ATTESTATION_REPORT"; Versioned Chip Endorsement Key Certificate
and KDS Interface Specification (57230) for the certificate's extensions. The generation (Milan, Genoa with Bergamo and Siena, Turin) is the
one whose pinned root the chain ends in; certificate and report must agree with it (`oracle.attest.enclave.amd`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from oracle.attest.enclave.amd import identify, read_tcb, read_vcek
from oracle.attest.enclave.chain import UNPARSEABLE, fingerprint, parse_pem_chain, verify_chain, verify_list
from oracle.attest.enclave.report import (
    EnclavePolicy,
    EnclaveRejected,
    EnclaveReport,
    Platform,
    Reason,
    Relaxation,
    Roots,
    SnpGeneration,
    SnpTcb,
    compute_measurement,
)
from oracle.encoding import keccak256

REPORT_BYTES = 0x4A0
SIGNED_BYTES = 0x2A0
VERSIONS = (2, 3, 4, 5)
ECDSA_P384_SHA384 = 1
CRL_BEGIN = b"-----BEGIN X509 CRL-----"

POLICY_SMT = 1 << 16
POLICY_RESERVED_ONE = 1 << 17
POLICY_MIGRATION_AGENT = 1 << 18
POLICY_DEBUG = 1 << 19

CPUID_SINCE = 3
"""The first version of a report that says which processor made it."""

MASK_CHIP_KEY = 1 << 1
_SIGNING_KEYS = {0: "VCEK", 1: "VLEK, which a cloud provider uses on many machines", 7: "none"}


@dataclass(frozen=True, slots=True)
class _Report:
    """The fields that are looked at, at the offsets of the ABI's table."""

    version: int
    policy: int
    vmpl: int
    current_tcb: SnpTcb
    key_flags: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    reported_tcb: SnpTcb
    family: int  # CPUID; zero before version 3
    model: int
    chip_id: bytes


def is_report(evidence: bytes) -> bool:
    return len(evidence) >= 4 and int.from_bytes(evidence[:4], "little") in VERSIONS


def verify(evidence: bytes, collateral: bytes, now: int, policy: EnclavePolicy) -> EnclaveReport:
    """Steps: layout, chain, revocation, signature, signing key, generation, chip and its TCB, minimum, guest policy.

    `collateral`: VCEK, ASK and ARK in PEM, and the ARK's revocation list in PEM after them. Raises EnclaveRejected.
    """
    _require_layout(evidence)
    certificates, lists = _split(collateral)
    chain = parse_pem_chain(certificates, "SEV-SNP collateral")
    if len(chain) != 3:
        raise EnclaveRejected(Reason.COLLATERAL, "SEV-SNP collateral", "VCEK, ASK and ARK", f"{len(chain)} certificates")
    generation = _generation_of(chain[-1], policy.roots)
    expires_at = verify_chain(chain, policy.roots.amd(generation), now, "the SEV-SNP report")
    expires_at = min(expires_at, _require_not_revoked(lists, chain, now, policy))
    _require_signed(chain[0], evidence)
    report = _read(evidence, generation)
    _require_vcek_signed(report)
    _require_generation(report, generation)
    _require_chip(chain[0], report, generation)
    _require_tcb(report, generation, policy)
    is_debug = _require_guest_policy(report, policy)
    measurements = (("measurement", report.measurement), ("host_data", report.host_data), ("policy", report.policy.to_bytes(8, "big")))
    return EnclaveReport(
        platform=Platform.SEV_SNP,
        measurements=measurements,
        measurement=compute_measurement(Platform.SEV_SNP, measurements),
        report_data=report.report_data,
        tcb_status="MeetsMinimum",
        advisories=(),
        expires_at=expires_at,
        quote_digest=keccak256(evidence),
        is_debug=is_debug,
    )


def _require_layout(evidence: bytes) -> None:
    if len(evidence) != REPORT_BYTES:
        raise EnclaveRejected(Reason.MALFORMED, "SEV-SNP report", f"{REPORT_BYTES} bytes", len(evidence))
    r, s, rest = evidence[0x2A0:0x2E8], evidence[0x2E8:0x330], evidence[0x330:]
    if any(r[48:]) or any(s[48:]) or any(rest):
        raise EnclaveRejected(Reason.MALFORMED, "SEV-SNP report", "zeros around its signature", "other bytes")


def _generation_of(root: x509.Certificate, roots: Roots) -> SnpGeneration:
    got = fingerprint(root)
    found = next((generation for generation in SnpGeneration if roots.amd(generation) == got), None)
    if found is None:
        expected = ", ".join(f"{roots.amd(generation)} ({generation})" for generation in SnpGeneration)
        raise EnclaveRejected(Reason.ROOT, "root of the SEV-SNP report", f"one of {expected}", got)
    return found


def _read(evidence: bytes, generation: SnpGeneration) -> _Report:
    return _Report(
        version=_little(evidence, 0x00, 4),
        policy=_little(evidence, 0x08, 8),
        vmpl=_little(evidence, 0x30, 4),
        current_tcb=read_tcb(generation, evidence[0x38:0x40], "current TCB of the SEV-SNP report"),
        key_flags=_little(evidence, 0x48, 4),
        report_data=evidence[0x50:0x90],
        measurement=evidence[0x90:0xC0],
        host_data=evidence[0xC0:0xE0],
        reported_tcb=read_tcb(generation, evidence[0x180:0x188], "reported TCB of the SEV-SNP report"),
        family=evidence[0x188],
        model=evidence[0x189],
        chip_id=evidence[0x1A0:0x1E0],
    )


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _split(collateral: bytes) -> tuple[bytes, bytes]:
    at = collateral.find(CRL_BEGIN)
    return (collateral, b"") if at < 0 else (collateral[:at], collateral[at:])


def _require_not_revoked(pem: bytes, chain: Sequence[x509.Certificate], now: int, policy: EnclavePolicy) -> int:
    """Returns when the list expires. The ARK's list names revoked ASKs and, by AMD's practice, revoked VCEKs."""
    if not pem:
        if policy.allows(Relaxation.NO_REVOCATION_LIST):
            return 1 << 62
        raise EnclaveRejected(Reason.COLLATERAL, "SEV-SNP collateral", "the root's revocation list after the certificates", "none")
    try:
        revoked = x509.load_pem_x509_crl(pem)
        is_canonical = revoked.public_bytes(Encoding.PEM) == pem
    except UNPARSEABLE as error:
        raise EnclaveRejected(Reason.COLLATERAL, "revocation list", "one in PEM", str(error)[:120]) from error
    if not is_canonical:
        raise EnclaveRejected(Reason.MALFORMED, "revocation list", "its one PEM encoding", "other bytes")
    expires_at = verify_list(revoked, chain[-1], now, "revocation list of the ARK")
    for certificate in chain:
        if revoked.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise EnclaveRejected(Reason.REVOKED, "SEV-SNP certificate", "one that is not revoked", certificate.subject.rfc4514_string())
    return expires_at


def _require_signed(vcek: x509.Certificate, evidence: bytes) -> None:
    key, algorithm = vcek.public_key(), _little(evidence, 0x34, 4)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EnclaveRejected(Reason.CERTIFICATE, "key of the VCEK", "one on P-384", type(key).__name__)
    if algorithm != ECDSA_P384_SHA384:
        raise EnclaveRejected(Reason.MALFORMED, "signature algorithm of the report", ECDSA_P384_SHA384, algorithm)
    r, s = _little(evidence, 0x2A0, 72), _little(evidence, 0x2E8, 72)
    try:
        key.verify(encode_dss_signature(r, s), evidence[:SIGNED_BYTES], ec.ECDSA(SHA384()))
    except InvalidSignature as error:
        raise EnclaveRejected(Reason.SIGNATURE, "signature of the SEV-SNP report", "one that the VCEK made") from error


def _require_vcek_signed(report: _Report) -> None:
    """A VLEK names no chip, and its provider could put it on any machine: nothing here could say whose it may be."""
    signer = report.key_flags >> 2 & 0b111
    if signer != 0:
        named = _SIGNING_KEYS.get(signer, f"reserved value {signer}")
        raise EnclaveRejected(Reason.PLATFORM, "signing key of the SEV-SNP report", "the chip's own VCEK", named)
    if report.key_flags & MASK_CHIP_KEY:
        raise EnclaveRejected(Reason.PLATFORM, "key of the SEV-SNP report", "the chip's own VCEK", f"masked: flags {report.key_flags:#x}")


def _require_generation(report: _Report, generation: SnpGeneration) -> None:
    """The processor that a report names is one of the root's generation. Turin's reports have always named it."""
    if report.version < CPUID_SINCE:
        if generation is SnpGeneration.TURIN:
            raise EnclaveRejected(Reason.MALFORMED, f"version of a report of {generation}", f"at least {CPUID_SINCE}", report.version)
    elif identify(report.family, report.model) is not generation:
        got = f"CPUID family {report.family:#x}, model {report.model:#x}"
        raise EnclaveRejected(Reason.CERTIFICATE, "processor of the SEV-SNP report", f"one of {generation}, as its root", got)


def _require_chip(certificate: x509.Certificate, report: _Report, generation: SnpGeneration) -> None:
    """The certificate is of the chip and of the TCB that the report names."""
    vcek = read_vcek(certificate, generation)
    if vcek.hardware_id != report.chip_id or not any(report.chip_id):
        got = vcek.hardware_id.hex()
        raise EnclaveRejected(Reason.CERTIFICATE, "hardware id of the VCEK", f"the report's, {report.chip_id.hex()}, not zero", got)
    if vcek.tcb != report.reported_tcb:
        raise EnclaveRejected(Reason.TCB, "TCB of the VCEK", report.reported_tcb, vcek.tcb)


def _require_tcb(report: _Report, generation: SnpGeneration, policy: EnclavePolicy) -> None:
    minimum = policy.snp_minimum.of(generation)
    if minimum is None:
        what = f"TCB of the SEV-SNP report, of {generation}"
        raise EnclaveRejected(Reason.TCB, what, "a minimum for that generation in the policy", "none: AMD publishes no status")
    for name, tcb in (("reported", report.reported_tcb), ("current", report.current_tcb)):
        if not tcb.reaches(minimum):
            raise EnclaveRejected(Reason.TCB, f"{name} TCB of the SEV-SNP report, of {generation}", f"at least {minimum}", tcb)


def _require_guest_policy(report: _Report, policy: EnclavePolicy) -> bool:
    """Returns whether the guest may be debugged."""
    if not report.policy & POLICY_RESERVED_ONE:
        raise EnclaveRejected(Reason.MALFORMED, "guest policy", "bit 17 set", f"{report.policy:#x}")
    if report.vmpl != 0:
        raise EnclaveRejected(Reason.PLATFORM, "privilege level of the report", "VMPL 0", report.vmpl)
    if report.policy & POLICY_MIGRATION_AGENT:
        raise EnclaveRejected(Reason.PLATFORM, "guest policy", "no migration agent", f"{report.policy:#x}")
    if report.policy & POLICY_SMT and not policy.allows(Relaxation.SMT):
        raise EnclaveRejected(Reason.PLATFORM, "guest policy", f"no SMT (relaxation {Relaxation.SMT})", f"{report.policy:#x}")
    is_debug = bool(report.policy & POLICY_DEBUG)
    if is_debug and not policy.allows(Relaxation.DEBUG):
        raise EnclaveRejected(Reason.DEBUG, "guest policy", "no debugging", f"{report.policy:#x}")
    return is_debug
