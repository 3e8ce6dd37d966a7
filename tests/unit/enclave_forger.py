"""A vendor of our own: chains, documents and reports that are signed as the real ones are, and say what a test wants said.

The real evidence cannot lie well: whoever changes it breaks its signature. Here everything is signed by roots that the policy names, so
that each check stands alone between a lie and its acceptance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from oracle.attest.enclave import nitro

NOW = 1_800_000_000
DAY = 86_400

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def key(name: str, kind: str = "p384") -> PrivateKey:
    """One key by name, the same throughout a run."""
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP384R1())


@dataclass(frozen=True)
class Certificate:
    """What to certify. `issuer` None: self-signed."""

    name: str
    key: PrivateKey
    issuer: Certificate | None = None
    is_ca: bool = True
    path_length: int | None = None
    may_sign: bool = True
    start: int = NOW - DAY
    end: int = NOW + DAY
    serial: int = 7
    more: tuple[tuple[str, bytes, bool], ...] = ()
    signer: PrivateKey | None = None  # somebody else than the issuer
    issued_by: str | None = None  # another name than the issuer's

    def build(self) -> x509.Certificate:
        issuer = self.issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(self.name))
            .issuer_name(_name(self.issued_by or issuer.name))
            .public_key(self.key.public_key())
            .serial_number(self.serial)
            .not_valid_before(_at(self.start))
            .not_valid_after(_at(self.end))
        )
        if self.is_ca:
            builder = builder.add_extension(x509.BasicConstraints(True, self.path_length), critical=True)
        usage = x509.KeyUsage(not self.is_ca, False, False, False, False, self.is_ca and self.may_sign, False, False, False)
        builder = builder.add_extension(usage, critical=True)
        for oid, value, critical in self.more:
            builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical)
        signer = self.signer or issuer.key
        if isinstance(signer, rsa.RSAPrivateKey):
            pss = padding.PSS(mgf=padding.MGF1(SHA384()), salt_length=48)
            return builder.sign(signer, SHA384(), rsa_padding=pss)
        return builder.sign(signer, SHA384())

    @property
    def der(self) -> bytes:
        return self.build().public_bytes(Encoding.DER)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)


def digest_of(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(SHA256()).hex()


def revocation_list(issuer: Certificate, serials: tuple[int, ...] = (), start: int = NOW - DAY, end: int = NOW + DAY) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(_name(issuer.name)).last_update(_at(start)).next_update(_at(end))
    for serial in serials:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_at(start)).build()
        )
    return builder.sign(issuer.key, SHA384()).public_bytes(Encoding.PEM)


# ---- Nitro ----------------------------------------------------------------------------------------------------------------------------
def nitro_chain() -> list[Certificate]:
    """Root, CA, leaf: as `nitro_document` takes them."""
    root = Certificate("root", key("nitro root"))
    authority = Certificate("authority", key("nitro authority"), root, path_length=0)
    return [root, authority, Certificate("leaf", key("nitro leaf"), authority, is_ca=False)]


def nitro_fields(chain: list[x509.Certificate], **changed: Any) -> dict[str, Any]:
    *bundle, leaf = chain
    fields = {
        "module_id": "i-1",
        "digest": "SHA384",
        "timestamp": NOW * 1000,
        "pcrs": {index: bytes([index + 1]) * 48 if index < 3 else bytes(48) for index in range(16)},
        "certificate": leaf.public_bytes(Encoding.DER),
        "cabundle": [c.public_bytes(Encoding.DER) for c in bundle],
        "public_key": None,
        "user_data": b"u" * 64,
        "nonce": None,
    }
    return {name: value for name, value in (fields | changed).items() if value != "left out"}


def nitro_document(payload: bytes, signer: PrivateKey, hash_: type[SHA384] | type[SHA256] = SHA384) -> bytes:
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    size = signer.curve.key_size // 8
    to_sign = cbor2.dumps(["Signature1", nitro.PROTECTED, b"", payload])
    r, s = decode_dss_signature(signer.sign(to_sign, ec.ECDSA(hash_())))
    signature = (r.to_bytes(size, "big") + s.to_bytes(size, "big")).ljust(96, b"\0")
    return nitro.PREFIX + len(payload).to_bytes(2, "big") + payload + nitro.SIGNATURE_HEAD + signature


# ---- SEV-SNP --------------------------------------------------------------------------------------------------------------------------
EXTENSION = "1.3.6.1.4.1.3704.1."
CHIP_ID = bytes(range(64))
TURIN_ID = bytes(range(1, 9))

Svn = tuple[int, ...]
"""Bootloader, TEE, SNP, microcode; Turin's FMC is a fifth, at the end."""


def der_integer(value: int) -> bytes:
    return bytes([2, 1, value]) if value < 0x80 else bytes([2, 2, 0, value])


def snp_extensions(
    chip_id: bytes = CHIP_ID, svn: Svn = (3, 0, 20, 209), product: str = "Milan-B0", structure: int = 0
) -> tuple[tuple[str, bytes, bool], ...]:
    oids = ("3.1", "3.2", "3.3", "3.8", "3.9")[: len(svn)]
    parts = tuple((EXTENSION + oid, der_integer(value), False) for oid, value in zip(oids, svn, strict=True))
    name = bytes([0x16, len(product)]) + product.encode()
    return (*parts, (EXTENSION + "4", chip_id, False), (EXTENSION + "2", name, False), (EXTENSION + "1", der_integer(structure), False))


def snp_chain(more: tuple[tuple[str, bytes, bool], ...] | None = None) -> list[Certificate]:
    """ARK, ASK, VCEK."""
    ark = Certificate("ARK", key("ark", "rsa"), serial=1)
    ask = Certificate("ASK", key("ask", "rsa"), ark, path_length=0, serial=2)
    more = snp_extensions() if more is None else more
    return [ark, ask, Certificate("VCEK", key("vcek"), ask, is_ca=False, serial=3, more=more)]


@dataclass(frozen=True)
class SnpReport:
    """Fields of a report, as a production guest's chip would write them."""

    version: int = 2
    policy: int = 1 << 17
    vmpl: int = 0
    algorithm: int = 1
    tcb: Svn = (3, 0, 20, 209)
    current: Svn | None = None
    raw_tcb: bytes | None = None  # the eight bytes of the reported one, whatever `tcb` says
    raw_current: bytes | None = None
    cpuid: tuple[int, int, int] = (0x19, 0x01, 0x01)  # family, model, stepping; not in version 2
    flags: int = 0
    report_data: bytes = b"d" * 64
    measurement: bytes = b"m" * 48
    host_data: bytes = bytes(32)
    chip_id: bytes = CHIP_ID

    def sign(self, signer: PrivateKey) -> bytes:
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        out = bytearray(0x2A0)

        def put(at: int, data: bytes) -> None:
            out[at : at + len(data)] = data

        def version_of(tcb: Svn) -> bytes:
            if len(tcb) == 5:  # Turin
                return bytes([tcb[4], tcb[0], tcb[1], tcb[2], 0, 0, 0, tcb[3]])
            return bytes([tcb[0], tcb[1], 0, 0, 0, 0, tcb[2], tcb[3]])

        put(0, self.version.to_bytes(4, "little"))
        put(0x08, self.policy.to_bytes(8, "little"))
        put(0x30, self.vmpl.to_bytes(4, "little"))
        put(0x34, self.algorithm.to_bytes(4, "little"))
        put(0x38, self.raw_current or version_of(self.current or self.tcb))
        put(0x48, self.flags.to_bytes(4, "little"))
        put(0x50, self.report_data)
        put(0x90, self.measurement)
        put(0xC0, self.host_data)
        put(0x180, self.raw_tcb or version_of(self.tcb))
        if self.version >= 3:
            put(0x188, bytes(self.cpuid))
        put(0x1A0, self.chip_id)
        r, s = decode_dss_signature(signer.sign(bytes(out), ec.ECDSA(SHA384())))
        signature = r.to_bytes(72, "little") + s.to_bytes(72, "little")
        return bytes(out) + signature.ljust(0x4A0 - 0x2A0, b"\0")


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _at(seconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
