"""Intel SGX and TDX: DCAP quotes, verified by `dcap-qvl` under its strict policy, with what it leaves open closed here.

The library checks the quoting enclave, the PCK chain, revocation, and Intel's signed statements about the platform (TCB info and QE
identity) at `now`. Added: the roots of all four chains are the pinned certificate, and every part has one encoding, so that no byte of a
quote or of its collateral can change without a refusal, but for white space between the parts of the collateral's JSON; debugging is
refused a second time, from the bytes.

Source: Intel SGX DCAP Quote Generation Library (quote 3), Intel TDX DCAP Quoting Library API (quotes 4 and 5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dcap_qvl
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from oracle.attest.enclave.chain import UNPARSEABLE, parse_pem_chain, verify_chain, verify_list
from oracle.attest.enclave.report import (
    EnclavePolicy,
    EnclaveRejected,
    EnclaveReport,
    Measurements,
    Platform,
    Reason,
    Relaxation,
    compute_measurement,
)
from oracle.encoding import keccak256

HEADER_BYTES = 48
SGX_BODY_BYTES = 384
TDX_BODY_BYTES = {2: 584, 3: 648}
"""By the body type of a quote 5: TD report 1.0 and 1.5."""
SGX_TEE, TDX_TEE = 0, 0x81
QE_REPORT_DATA, PCK_CHAIN_DATA = 6, 5
"""Types of certification data."""

SGX_DEBUG = 1 << 1
SGX_FLAGS = 1 << 0 | 1 << 2  # initialised, 64 bit
TDX_UNDER_DEBUG = 0xFF  # the first byte of the attributes: anything there puts the guest at the host's mercy

_CHAINS = ("pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain")
_HEX = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")
_TEXT = ("tcb_info", "qe_identity")
_HEX_TEXT = re.compile(r"(?:[0-9a-f]{2})+")

_STATUSES = {
    Relaxation.SW_HARDENING: "SWHardeningNeeded",
    Relaxation.CONFIGURATION: "ConfigurationNeeded",
    Relaxation.CONFIGURATION_AND_SW_HARDENING: "ConfigurationAndSWHardeningNeeded",
}
_REASONS = (
    ("debug", Reason.DEBUG),
    ("not allowed by policy", Reason.PLATFORM),
    ("tcb status", Reason.TCB),
    ("advisory", Reason.TCB),
    ("tcb level", Reason.TCB),
    ("issue date", Reason.TIME),
    ("expired", Reason.TIME),
    ("notvalidyet", Reason.TIME),
    ("revoked", Reason.REVOKED),
    ("signature", Reason.SIGNATURE),
    ("crl", Reason.COLLATERAL),
    ("tcb", Reason.COLLATERAL),
    ("identity", Reason.COLLATERAL),
    ("certificate", Reason.CERTIFICATE),
)
"""What the library's text is about, by the first word found in it."""


@dataclass(frozen=True, slots=True)
class _Quote:
    platform: Platform
    body: bytes
    pck: bytes  # the certificates of the platform's key, in PEM
    raw: bytes  # without padding


def is_quote(evidence: bytes) -> bool:
    return int.from_bytes(evidence[:2], "little") in (3, 4, 5) and evidence[2:4] == b"\x02\x00"


def verify(evidence: bytes, collateral: bytes, now: int, policy: EnclavePolicy) -> EnclaveReport:
    """`collateral`: the JSON that a PCCS client such as dcap-qvl's own writes for the quote. Raises EnclaveRejected."""
    quote = _split(evidence)
    documents = parse_collateral(collateral)
    root = _require_chains(quote, documents, policy.roots.intel, now)
    claims = _verify(quote, documents, root, now, policy)
    measurements, report_data = _read_sgx(quote.body) if quote.platform is Platform.SGX else _read_tdx(quote.body)
    advisories = tuple(sorted(str(a) for a in claims["tcb"]["advisory_ids"]))
    expiries = (claims["earliest_expiration_date"], claims["qe_iden_earliest_expiration_date"])
    return EnclaveReport(
        platform=quote.platform,
        measurements=measurements,
        measurement=compute_measurement(quote.platform, measurements),
        report_data=report_data,
        tcb_status=str(claims["tcb"]["status"]),
        advisories=advisories,
        expires_at=int(min(expiries)),
        quote_digest=keccak256(quote.raw),
    )


def read_measurements(evidence: bytes) -> tuple[Platform, Measurements, bytes]:
    """What a quote says that it runs, and the quote without padding. Verifies NOTHING: for who makes quotes, not for who is shown them."""
    quote = _split(evidence)
    measurements, _ = _read_sgx(quote.body) if quote.platform is Platform.SGX else _read_tdx(quote.body)
    return quote.platform, measurements, quote.raw


# ---- the library ------------------------------------------------------------------------------------------------------------------------
def _verify(quote: _Quote, documents: Mapping[str, str], root: bytes, now: int, policy: EnclavePolicy) -> dict[str, Any]:
    try:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(json.dumps(dict(documents)))
        claims = dcap_qvl.QuoteVerifier(root).verify_with_policy(quote.raw, collateral, now, _policy(policy, now))
        parsed: dict[str, Any] = json.loads(claims.to_json())
    except ValueError as error:
        raise EnclaveRejected(_reason_of(str(error)), "quote", "one that verifies", str(error)[:200]) from error
    return parsed


def _policy(policy: EnclavePolicy, now: int) -> dcap_qvl.QuotePolicy:
    strict = dcap_qvl.QuotePolicy.strict(now)
    for relaxation, status in _STATUSES.items():
        if policy.allows(relaxation):
            strict = strict.allow_status(status)
    return (
        strict.allow_dynamic_platform(policy.allows(Relaxation.DYNAMIC_PLATFORM))
        .allow_cached_keys(policy.allows(Relaxation.CACHED_KEYS))
        .allow_smt(policy.allows(Relaxation.SMT))
        .reject_advisories(sorted(policy.rejected_advisories))
    )


def _reason_of(text: str) -> Reason:
    lower = text.lower()
    return next((reason for word, reason in _REASONS if word in lower), Reason.MALFORMED)


# ---- the quote's bytes ----------------------------------------------------------------------------------------------------------------
def _split(evidence: bytes) -> _Quote:
    """The body, and the quote without the zeros that a quoting service may leave behind it."""
    version, tee = int.from_bytes(evidence[:2], "little"), int.from_bytes(evidence[4:8], "little")
    if (version, tee) == (3, SGX_TEE) or (version, tee) == (4, SGX_TEE):
        platform, start, size = Platform.SGX, HEADER_BYTES, SGX_BODY_BYTES
    elif (version, tee) == (4, TDX_TEE):
        platform, start, size = Platform.TDX, HEADER_BYTES, TDX_BODY_BYTES[2]
    elif (version, tee) == (5, TDX_TEE):
        kind = int.from_bytes(evidence[HEADER_BYTES : HEADER_BYTES + 2], "little")
        declared = int.from_bytes(evidence[HEADER_BYTES + 2 : HEADER_BYTES + 6], "little")
        platform, start, size = Platform.TDX, HEADER_BYTES + 6, TDX_BODY_BYTES.get(kind, 0)
        if not size or declared != size:
            raise EnclaveRejected(Reason.MALFORMED, "body of the quote", "a TD report 1.0 or 1.5", f"type {kind}, {declared} bytes")
    else:
        raise EnclaveRejected(Reason.MALFORMED, "quote", "SGX 3 or 4, or TDX 4 or 5", f"version {version}, TEE {tee:#x}")
    at = start + size
    end = at + 4 + int.from_bytes(evidence[at : at + 4], "little")
    if len(evidence) < end or any(evidence[end:]):
        raise EnclaveRejected(Reason.MALFORMED, "quote", f"{end} bytes, and nothing but zeros after them", f"{len(evidence)} bytes")
    return _Quote(platform, evidence[start:at], _pck_of(evidence[at + 4 : end], version), evidence[:end])


def _pck_of(signatures: bytes, version: int) -> bytes:
    """The PCK certificates at the end of a quote's signature data, every type and length before them being the only possible one.

    Signature (64) ‖ attestation key (64) ‖ in quotes 4 and 5: type 6, length ‖ QE report (384) ‖ its signature (64) ‖ length, QE
    authentication data ‖ type 5, length, certificates. A zero byte may end them.
    """
    at = 128
    heads = []
    if version > 3:
        heads.append((signatures[at : at + 6], QE_REPORT_DATA, len(signatures) - at - 6))
        at += 6
    at += 384 + 64
    at += 2 + int.from_bytes(signatures[at : at + 2], "little")
    heads.append((signatures[at : at + 6], PCK_CHAIN_DATA, len(signatures) - at - 6))
    for head, kind, size in heads:
        if size <= 0 or head != kind.to_bytes(2, "little") + size.to_bytes(4, "little"):
            raise EnclaveRejected(Reason.MALFORMED, "signature data of the quote", f"{size} bytes of type {kind}", head.hex())
    return signatures[at + 6 :].removesuffix(b"\0")


def _read_sgx(body: bytes) -> tuple[Measurements, bytes]:
    flags = int.from_bytes(body[48:56], "little")
    if flags & SGX_DEBUG:
        raise EnclaveRejected(Reason.DEBUG, "attributes of the enclave", "no debugging", f"{flags:#x}")
    if flags & SGX_FLAGS != SGX_FLAGS:
        raise EnclaveRejected(Reason.PLATFORM, "attributes of the enclave", "an initialised 64-bit enclave", f"{flags:#x}")
    product, version = body[257:255:-1], body[259:257:-1]  # little-endian there, big-endian here
    return (("mrenclave", body[64:96]), ("mrsigner", body[128:160]), ("isv_prod_id", product), ("isv_svn", version)), body[320:384]


def _read_tdx(body: bytes) -> tuple[Measurements, bytes]:
    if body[120] & TDX_UNDER_DEBUG:
        raise EnclaveRejected(Reason.DEBUG, "attributes of the trust domain", "no debugging", f"{body[120]:#x}")
    registers = ("mrtd", body[136:184]), ("rtmr0", body[328:376]), ("rtmr1", body[376:424]), ("rtmr2", body[424:472])
    return registers, body[520:584]


# ---- collateral and chains ------------------------------------------------------------------------------------------------------------
def parse_collateral(collateral: bytes) -> dict[str, str]:
    """The documents of the JSON that a PCCS client writes, by name: exactly those there must be. Raises EnclaveRejected."""
    try:  # as the library reads it: UTF-8 alone, where Python would take UTF-16, UTF-32 and a byte order mark as well
        documents = json.loads(collateral.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise EnclaveRejected(Reason.COLLATERAL, "quote collateral", "JSON", str(error)[:120]) from error
    names = {*_CHAINS, *_HEX, *_TEXT}
    if not isinstance(documents, dict) or set(documents) != names or not all(isinstance(v, str) for v in documents.values()):
        raise EnclaveRejected(Reason.COLLATERAL, "quote collateral", f"an object of the strings {sorted(names)}", "another")
    for name in _HEX:
        if not _HEX_TEXT.fullmatch(documents[name]):
            raise EnclaveRejected(Reason.COLLATERAL, f"{name} of the collateral", "bytes in lower-case hex", "something else")
    return documents


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def _require_chains(quote: _Quote, documents: Mapping[str, str], digest: str, now: int) -> bytes:
    """Returns the pinned root in DER.

    The library takes the issuer of the PCK's revocation list from the quote and never looks at the collateral's: here they are one.
    """
    leaf, authority, root = _chain(quote.pck, 3, "PCK certificates of the quote")
    verify_chain((leaf, authority, root), digest, now, "the quote")
    for name in _CHAINS:
        what = f"{name} of the collateral"
        issuers = _chain(documents[name].encode("utf-8", "backslashreplace"), 2, what)
        verify_chain(issuers, digest, now, what, cas_below=int(name == _CHAINS[0]))
        if name == _CHAINS[0] and issuers[0].public_key() != authority.public_key():
            raise EnclaveRejected(Reason.COLLATERAL, what, "the CA that issued the quote's certificate", "another")
    for name, issuer in (("root_ca_crl", root), ("pck_crl", authority)):
        verify_list(_list(documents[name], name), issuer, now, f"{name} of the collateral")
    return root.public_bytes(Encoding.DER)


def _chain(pem: bytes, count: int, what: str) -> tuple[x509.Certificate, ...]:
    chain = parse_pem_chain(pem, what)
    if len(chain) != count:
        raise EnclaveRejected(Reason.CERTIFICATE, what, f"{count} certificates", len(chain))
    return chain


def _list(text: str, name: str) -> x509.CertificateRevocationList:
    try:
        return x509.load_der_x509_crl(bytes.fromhex(text))
    except UNPARSEABLE as error:
        raise EnclaveRejected(Reason.COLLATERAL, f"{name} of the collateral", "a revocation list in DER", str(error)[:120]) from error
