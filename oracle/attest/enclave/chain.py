"""Certificate chains of the vendors: one encoding, one pinned root, every signature, every validity.

Not the web's rules (names, key usages of servers) but RFC 5280 section 6.1 as far as these chains need it: validity at the moment given,
signature and name of the issuer, basic constraints with path length, keyCertSign, and no critical extension that is not understood.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from oracle.attest.enclave.report import EnclaveRejected, Reason

MAX_CHAIN = 6
UNPARSEABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)
"""What `cryptography` raises for bytes that are no certificate, or for a part of one when it is looked at."""
_UNDERSTOOD = {x509.BasicConstraints.oid, x509.KeyUsage.oid}


def parse_pem_chain(pem: bytes, what: str) -> tuple[x509.Certificate, ...]:
    """The certificates of PEM bytes that are exactly their encoding: nothing before, between or after them."""
    try:
        chain = tuple(x509.load_pem_x509_certificates(pem))
        canonical = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    except UNPARSEABLE as error:
        raise EnclaveRejected(Reason.MALFORMED, what, "certificates in PEM", str(error)[:120]) from error
    if canonical != pem:
        raise EnclaveRejected(Reason.MALFORMED, what, "certificates in their one PEM encoding", "other bytes")
    return chain


def parse_der(der: bytes, what: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except UNPARSEABLE as error:
        raise EnclaveRejected(Reason.MALFORMED, what, "a certificate in DER", str(error)[:120]) from error


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate's DER, in hex: as `Roots` pins them."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def require_root(root: x509.Certificate, digest: str, what: str) -> None:
    """The last certificate of a chain is the pinned one, byte for byte."""
    got = fingerprint(root)
    if got != digest:
        raise EnclaveRejected(Reason.ROOT, f"root of {what}", digest, got)


def verify_chain(chain: Sequence[x509.Certificate], digest: str, now: int, what: str, cas_below: int = 0) -> int:
    """Verifies `chain`, leaf first, root last, at `now`. Returns the first POSIX second at which one of them has expired.

    `cas_below`: 1 where the first certificate is itself a CA.
    """
    if not 2 <= len(chain) <= MAX_CHAIN:
        raise EnclaveRejected(Reason.CERTIFICATE, f"chain of {what}", f"2 to {MAX_CHAIN} certificates", len(chain))
    require_root(chain[-1], digest, what)
    for depth, (certificate, issuer) in enumerate(zip(chain, [*chain[1:], chain[-1]], strict=True)):
        name = f"certificate {depth} of {what}"
        _require_extensions(certificate, depth + cas_below, name)
        _require_issued(certificate, issuer, name)
    return min(_require_valid(certificate, now, f"certificate {depth} of {what}") for depth, certificate in enumerate(chain))


def verify_list(revoked: x509.CertificateRevocationList, issuer: x509.Certificate, now: int, what: str) -> int:
    """The revocation list is the issuer's and valid at `now`. Returns the first POSIX second at which it has expired."""
    _require_whole(revoked, what)
    key = issuer.public_key()
    try:
        is_signed = isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) and revoked.is_signature_valid(key)
        start, end = revoked.last_update_utc, revoked.next_update_utc
    except UNPARSEABLE as error:
        raise EnclaveRejected(Reason.COLLATERAL, what, "a revocation list", str(error)[:120]) from error
    if not is_signed or revoked.issuer != issuer.subject:
        raise EnclaveRejected(Reason.COLLATERAL, what, f"one that {issuer.subject.rfc4514_string()} signed", "another")
    if end is None or not posix(start) <= now < posix(end):
        raise EnclaveRejected(Reason.TIME, what, f"a time from {start} to before {end}", now)
    return posix(end)


def posix(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp())


def _require_valid(certificate: x509.Certificate, now: int, what: str) -> int:
    start, end = posix(certificate.not_valid_before_utc), posix(certificate.not_valid_after_utc)
    if not start <= now <= end:
        raise EnclaveRejected(Reason.TIME, what, f"a time from {start} to {end}", now)
    return end + 1


def _require_whole(signed: x509.Certificate | x509.CertificateRevocationList, what: str) -> None:
    """The signature at the end has no unused bits: a count of them that is not zero parses, and verifies."""
    if not signed.public_bytes(Encoding.DER).endswith(b"\0" + signed.signature):
        raise EnclaveRejected(Reason.MALFORMED, what, "a signature of whole bytes", "unused bits")


def _require_issued(certificate: x509.Certificate, issuer: x509.Certificate, what: str) -> None:
    _require_whole(certificate, what)
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNPARSEABLE) as error:
        raise EnclaveRejected(Reason.CERTIFICATE, what, "one that the next in the chain signed", type(error).__name__) from error


def _require_extensions(certificate: x509.Certificate, depth: int, what: str) -> None:
    """`depth` 0 is the leaf, which may not sign others; a CA at depth d has d - 1 CAs below it."""
    try:
        extensions = certificate.extensions
    except UNPARSEABLE as error:
        raise EnclaveRejected(Reason.CERTIFICATE, what, "extensions that parse", str(error)[:120]) from error
    if unknown := [e.oid.dotted_string for e in extensions if e.critical and e.oid not in _UNDERSTOOD]:
        raise EnclaveRejected(Reason.CERTIFICATE, what, "critical extensions that are understood", unknown)
    constraints = next((e.value for e in extensions if isinstance(e.value, x509.BasicConstraints)), None)
    usage = next((e.value for e in extensions if isinstance(e.value, x509.KeyUsage)), None)
    is_ca = constraints is not None and constraints.ca
    if is_ca != (depth > 0):
        raise EnclaveRejected(Reason.CERTIFICATE, what, "a CA" if depth else "no CA", "a CA" if is_ca else "none")
    if depth == 0:
        return
    if usage is None or not usage.key_cert_sign:
        raise EnclaveRejected(Reason.CERTIFICATE, what, "a key that may sign certificates", "one that may not")
    if constraints is not None and constraints.path_length is not None and constraints.path_length < depth - 1:
        raise EnclaveRejected(Reason.CERTIFICATE, what, f"at most {constraints.path_length} CAs below it", depth - 1)
