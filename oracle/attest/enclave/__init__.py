"""Enclave evidence: what a machine's own hardware says about the software that runs on it, verified offline at a time that is given.

`verify_quote` says what runs and in which state the platform is; `oracle.attest.enclave.accept` decides whether that may answer requests,
and for whom. Formats, policies and what is trusted: docs/enclaves.md.
"""

from __future__ import annotations

from oracle.attest.enclave import dcap, nitro, simulated, snp
from oracle.attest.enclave.report import STRICT, EnclavePolicy, EnclaveRejected, EnclaveReport, Platform, Reason, Relaxation

__all__ = ["STRICT", "EnclavePolicy", "EnclaveRejected", "EnclaveReport", "Platform", "Reason", "Relaxation", "verify_quote"]

MAX_EVIDENCE_BYTES = 64 * 1024
MAX_COLLATERAL_BYTES = 1024 * 1024
MAX_TIME = 1 << 40
"""POSIX seconds in 34,000 years; beyond it, times are somebody's milliseconds."""


def verify_quote(evidence: bytes, collateral: bytes, now: int, policy: EnclavePolicy = STRICT) -> EnclaveReport:
    """The report of a quote (SGX, TDX, SIMULATED), document (Nitro) or attestation report (SEV-SNP), told apart by its first bytes.

    `collateral`: for SGX and TDX the JSON of a PCCS client; for SEV-SNP certificates and revocation list in PEM; else nothing.
    `now`: POSIX seconds; nothing here reads a clock. Raises EnclaveRejected, whose `reason` says which question was answered with no.
    """
    if not 0 <= now < MAX_TIME:
        raise EnclaveRejected(Reason.TIME, "time of verification", f"POSIX seconds below {MAX_TIME}", now)
    for what, data, limit in (("evidence", evidence, MAX_EVIDENCE_BYTES), ("collateral", collateral, MAX_COLLATERAL_BYTES)):
        if len(data) > limit:
            raise EnclaveRejected(Reason.MALFORMED, what, f"at most {limit} bytes", len(data))
    if dcap.is_quote(evidence):
        report = dcap.verify(evidence, collateral, now, policy)
    elif snp.is_report(evidence):
        report = snp.verify(evidence, collateral, now, policy)
    elif collateral:
        raise EnclaveRejected(Reason.COLLATERAL, "collateral", "none for this platform", f"{len(collateral)} bytes")
    elif nitro.is_document(evidence):
        report = nitro.verify(evidence, now, policy)
    elif simulated.is_quote(evidence):
        report = simulated.verify(evidence, now, policy)
    else:
        raise EnclaveRejected(Reason.MALFORMED, "evidence", "a quote, document or report of a known platform", evidence[:8].hex())
    if refused := policy.rejected_advisories & set(report.advisories):
        raise EnclaveRejected(Reason.TCB, "advisories of the platform", "none that the policy rejects", sorted(refused))
    if now >= report.expires_at:
        raise EnclaveRejected(Reason.TIME, "evidence", f"a time before {report.expires_at}", now)
    return report
