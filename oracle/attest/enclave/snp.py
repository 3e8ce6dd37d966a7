"""AMD SEV-SNP: an attestation report signed by a chip's VCEK, which AMD certifies (VCEK → ASK → ARK).

Source: SEV Secure Nested Paging Firmware ABI Specification (56860), table "ATTESTATION_REPORT"; Versioned Chip Endorsement Key Certificate
and KDS Interface Specification (57230) for the certificate's extensions. Processors of the generation Milan, whose root is pinned; other
generations have other roots, and Turin another layout of the TCB version.
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

from oracle.attest.enclave.chain import UNPARSEABLE, parse_pem_chain, verify_chain, verify_list
from oracle.attest.enclave.report import (
    EnclavePolicy,
    EnclaveRejected,
    EnclaveReport,
    Platform,
    Reason,
    Relaxation,
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

_EXTENSION = "1.3.6.1.4.1.3704.1."
_HARDWARE_ID = _EXTENSION + "4"
_SVN = {"bootloader": _EXTENSION + "3.1", "tee": _EXTENSION + "3.2", "snp": _EXTENSION + "3.3", "microcode": _EXTENSION + "3.8"}


@dataclass(frozen=True, slots=True)
class _Report:
    """The fields that are looked at, at the offsets of the ABI's table."""

    policy: int
    vmpl: int
    signature_algorithm: int
    current_tcb: SnpTcb
    key_flags: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    reported_tcb: SnpTcb
    chip_id: bytes
    r: int
    s: int


def is_report(evidence: bytes) -> bool:
    return len(evidence) >= 4 and int.from_bytes(evidence[:4], "little") in VERSIONS


def verify(evidence: bytes, collateral: bytes, now: int, policy: EnclavePolicy) -> EnclaveReport:
    """Steps: layout, chain, revocation, signature, that the certificate is this chip's at this TCB, the TCB, the guest's policy.

    `collateral`: VCEK, ASK and ARK in PEM, and the ARK's revocation list in PEM after them. Raises EnclaveRejected.
    """
    report = _parse(evidence)
    certificates, lists = _split(collateral)
    chain = parse_pem_chain(certificates, "SEV-SNP collateral")
    if len(chain) != 3:
        raise EnclaveRejected(Reason.COLLATERAL, "SEV-SNP collateral", "VCEK, ASK and ARK", f"{len(chain)} certificates")
    expires_at = verify_chain(chain, policy.roots.amd, now, "the SEV-SNP report")
    expires_at = min(expires_at, _require_not_revoked(lists, chain, now, policy))
    _require_signed(chain[0], evidence, report)
    _require_chip(chain[0], report)
    _require_tcb(report, policy)
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


def _parse(evidence: bytes) -> _Report:
    if len(evidence) != REPORT_BYTES:
        raise EnclaveRejected(Reason.MALFORMED, "SEV-SNP report", f"{REPORT_BYTES} bytes", len(evidence))
    r, s, rest = evidence[0x2A0:0x2E8], evidence[0x2E8:0x330], evidence[0x330:]
    if any(r[48:]) or any(s[48:]) or any(rest):
        raise EnclaveRejected(Reason.MALFORMED, "SEV-SNP report", "zeros around its signature", "other bytes")
    return _Report(
        policy=_little(evidence, 0x08, 8),
        vmpl=_little(evidence, 0x30, 4),
        signature_algorithm=_little(evidence, 0x34, 4),
        current_tcb=_tcb(evidence[0x38:0x40]),
        key_flags=_little(evidence, 0x48, 4),
        report_data=evidence[0x50:0x90],
        measurement=evidence[0x90:0xC0],
        host_data=evidence[0xC0:0xE0],
        reported_tcb=_tcb(evidence[0x180:0x188]),
        chip_id=evidence[0x1A0:0x1E0],
        r=int.from_bytes(r, "little"),
        s=int.from_bytes(s, "little"),
    )


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _tcb(version: bytes) -> SnpTcb:
    """TCB_VERSION of Milan and Genoa: bytes 0, 1, 6 and 7; those between are reserved."""
    return SnpTcb(bootloader=version[0], tee=version[1], snp=version[6], microcode=version[7])


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


def _require_signed(vcek: x509.Certificate, evidence: bytes, report: _Report) -> None:
    key = vcek.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EnclaveRejected(Reason.CERTIFICATE, "key of the VCEK", "one on P-384", type(key).__name__)
    if report.signature_algorithm != ECDSA_P384_SHA384:
        raise EnclaveRejected(Reason.MALFORMED, "signature algorithm of the report", ECDSA_P384_SHA384, report.signature_algorithm)
    try:
        key.verify(encode_dss_signature(report.r, report.s), evidence[:SIGNED_BYTES], ec.ECDSA(SHA384()))
    except InvalidSignature as error:
        raise EnclaveRejected(Reason.SIGNATURE, "signature of the SEV-SNP report", "one that the VCEK made") from error


def _require_chip(vcek: x509.Certificate, report: _Report) -> None:
    """The certificate is of the chip and of the TCB that the report names."""
    if report.key_flags & 0b11110:  # MASK_CHIP_KEY, SIGNING_KEY other than VCEK
        raise EnclaveRejected(Reason.PLATFORM, "key of the report", "the chip's own VCEK", f"flags {report.key_flags:#x}")
    values = {e.oid.dotted_string: e.value.value for e in vcek.extensions if isinstance(e.value, x509.UnrecognizedExtension)}
    if values.get(_HARDWARE_ID) != report.chip_id or not any(report.chip_id):
        raise EnclaveRejected(Reason.CERTIFICATE, "hardware id of the VCEK", report.chip_id.hex()[:16], "another")
    certified = SnpTcb(**{name: _svn(values.get(oid, b""), name) for name, oid in _SVN.items()})
    if certified != report.reported_tcb:
        raise EnclaveRejected(Reason.TCB, "TCB of the VCEK", report.reported_tcb, certified)


def _svn(der: bytes, name: str) -> int:
    """A DER INTEGER of one byte, or of two where the first is zero."""
    if len(der) == 3 and der[:2] == b"\x02\x01" and der[2] < 0x80:
        return der[2]
    if len(der) == 4 and der[:3] == b"\x02\x02\x00" and der[3] >= 0x80:
        return der[3]
    raise EnclaveRejected(Reason.CERTIFICATE, f"{name} version of the VCEK", "an integer from 0 to 255", der.hex()[:16])


def _require_tcb(report: _Report, policy: EnclavePolicy) -> None:
    if policy.snp_minimum is None:
        raise EnclaveRejected(Reason.TCB, "TCB of the SEV-SNP report", "a minimum in the policy", "none: AMD publishes no status")
    for name, tcb in (("reported", report.reported_tcb), ("current", report.current_tcb)):
        if not tcb.reaches(policy.snp_minimum):
            raise EnclaveRejected(Reason.TCB, f"{name} TCB of the SEV-SNP report", f"at least {policy.snp_minimum}", tcb)


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
