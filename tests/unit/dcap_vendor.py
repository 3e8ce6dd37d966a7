"""A vendor of our own in Intel's place: root, CA, signer, machine, lists, statements and quotes, in the formats of the real ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

HOUR, DAY = 3600, 86_400
FMSPC = bytes.fromhex("00906ED50000")
SGX_OID = "1.2.840.113741.1.13.1"
QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
QE_SIGNER = bytes(31) + b"\xaa"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def tlv(tag: int, value: bytes) -> bytes:
    size = len(value)
    head = bytes([size]) if size < 0x80 else bytes([0x81, size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + head + value


def _member(tail: bytes, value: bytes) -> bytes:
    return tlv(0x30, tlv(0x06, bytes.fromhex("2a864886f84d010d01") + tail) + value)


def _integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


@dataclass(frozen=True)
class Machine:
    component: int = 5
    pce_svn: int = 10
    flags: tuple[bool, bool, bool] | None = None  # dynamic platform, cached keys, SMT

    @property
    def extension(self) -> bytes:
        svns = b"".join(_member(bytes([2, i]), _integer(self.component)) for i in range(1, 17))
        svns += _member(b"\x02\x11", _integer(self.pce_svn)) + _member(b"\x02\x12", tlv(0x04, bytes([self.component] * 16)))
        members = _member(b"\x01", tlv(0x04, bytes(16))) + _member(b"\x02", tlv(0x30, svns)) + _member(b"\x03", tlv(0x04, bytes(2)))
        members += _member(b"\x04", tlv(0x04, FMSPC)) + _member(b"\x05", b"\x0a\x01\x00")
        if self.flags is not None:
            flags = b"".join(_member(bytes([7, i + 1]), tlv(0x01, b"\xff" if on else b"\0")) for i, on in enumerate(self.flags))
            members += _member(b"\x06", tlv(0x04, bytes(16))) + _member(b"\x07", tlv(0x30, flags))
        return tlv(0x30, members)


@dataclass(frozen=True)
class Vendor:
    """Everything is valid for a day before and thirty after `now`, the certificates for a year."""

    now: int
    machine: Machine = Machine()
    statuses: tuple[str, str] = ("UpToDate", "OutOfDate")
    revoked: tuple[int, ...] = ()
    issued_before: int = HOUR  # how long before `now` lists and statements were issued
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(
        default_factory=lambda: {name: new_key() for name in ("root", "CA", "signer", "platform", "attestation")}
    )

    # ---- certificates -------------------------------------------------------------------------------------------------------------------
    def certificate(self, name: str, issuer: str, serial: int, is_ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(self.keys[name].public_key())
            .serial_number(serial)
            .not_valid_before(_at(self.now - DAY))
            .not_valid_after(_at(self.now + 365 * DAY))
            .add_extension(x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False), critical=True)
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        )
        if name == "platform":
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX_OID), self.machine.extension), critical=False
            )
        return builder.sign(self.keys[issuer], SHA256(), ecdsa_deterministic=True)  # so that a vendor changed keeps its root

    @cached_property
    def root(self) -> x509.Certificate:
        return self.certificate("root", "root", 11, True)

    @cached_property
    def authority(self) -> x509.Certificate:
        return self.certificate("CA", "root", 12, True)

    @cached_property
    def platform(self) -> x509.Certificate:
        return self.certificate("platform", "CA", 14, False)

    @property
    def root_der(self) -> bytes:
        return self.root.public_bytes(Encoding.DER)

    def _list(self, issuer: str, serials: tuple[int, ...]) -> str:
        start = _at(self.now - self.issued_before)
        builder = x509.CertificateRevocationListBuilder().issuer_name(_name(issuer)).last_update(start)
        builder = builder.next_update(_at(self.now + 30 * DAY)).add_extension(x509.CRLNumber(1), critical=False)
        for serial in serials:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(start).build())
        return builder.sign(self.keys[issuer], SHA256()).public_bytes(Encoding.DER).hex()

    # ---- statements ---------------------------------------------------------------------------------------------------------------------
    def _head(self, name: str, version: int) -> dict[str, object]:
        dates = {"issueDate": _iso(self.now - self.issued_before), "nextUpdate": _iso(self.now + 30 * DAY)}
        return {"id": name, "version": version, **dates}

    def tcb_info(self, is_tdx: bool) -> str:
        info = self._head("TDX" if is_tdx else "SGX", 3)
        info |= {"fmspc": FMSPC.hex().upper(), "pceId": "0000", "tcbType": 0, "tcbEvaluationDataNumber": 17}
        module = {"mrsigner": "0" * 96, "attributes": "0" * 16, "attributesMask": "F" * 16}
        if is_tdx:
            info |= {
                "tdxModule": module,
                "tdxModuleIdentities": [{"id": "TDX_01", **module, "tcbLevels": [_level({"isvsvn": 4}, "UpToDate")]}],
            }
        levels = []
        for svn, tdx_svn, status in ((5, 1, self.statuses[0]), (4, 0, self.statuses[1])):
            tcb: dict[str, object] = {"sgxtcbcomponents": [{"svn": svn}] * 16, "pcesvn": 10}
            levels.append(_level(tcb | ({"tdxtcbcomponents": [{"svn": tdx_svn}] * 16} if is_tdx else {}), status))
        return _text(info | {"tcbLevels": levels})

    def qe_identity(self, is_tdx: bool) -> str:
        identity = self._head("TD_QE" if is_tdx else "QE", 2) | {"tcbEvaluationDataNumber": 17}
        identity |= {"miscselect": "0" * 8, "miscselectMask": "F" * 8, "attributes": "11" + "0" * 30}
        identity |= {"attributesMask": "FBFFFFFFFFFFFFFF" + "0" * 16, "mrsigner": QE_SIGNER.hex().upper(), "isvprodid": 2 if is_tdx else 1}
        return _text(identity | {"tcbLevels": [_level({"isvsvn": 8}, "UpToDate"), _level({"isvsvn": 6}, "OutOfDate")]})

    def collateral(self, is_tdx: bool) -> bytes:
        """The JSON of a PCCS client."""
        signer = _pem(self.certificate("signer", "root", 13, False), self.root).decode()
        info, identity = self.tcb_info(is_tdx), self.qe_identity(is_tdx)
        documents = {
            "pck_crl_issuer_chain": _pem(self.authority, self.root).decode(),
            "root_ca_crl": self._list("root", ()),
            "pck_crl": self._list("CA", self.revoked),
            "tcb_info_issuer_chain": signer,
            "tcb_info": info,
            "tcb_info_signature": raw_signature(self.keys["signer"], info.encode()).hex(),
            "qe_identity_issuer_chain": signer,
            "qe_identity": identity,
            "qe_identity_signature": raw_signature(self.keys["signer"], identity.encode()).hex(),
        }
        return json.dumps(documents).encode()

    def later(self, **changed: object) -> Vendor:
        """The same vendor, whose lists and statements were issued a little later, and say something else."""
        return replace(self, issued_before=self.issued_before - 60, **changed)  # type: ignore[arg-type]

    # ---- quotes -------------------------------------------------------------------------------------------------------------------------
    def quote(self, is_tdx: bool, report_data: bytes, debug: bool = False) -> bytes:
        header = (
            (4 if is_tdx else 3).to_bytes(2, "little") + b"\x02\x00" + (b"\x81" if is_tdx else b"\0") + bytes(7) + QE_VENDOR + bytes(20)
        )
        body = _tdx_body(report_data, debug) if is_tdx else _report(7 if debug else 5, b"S" * 32, 3, 4, report_data)
        auth, key = bytes(range(32)), point(self.keys["attestation"])
        qe_report = _report(0x11, QE_SIGNER, 2 if is_tdx else 1, 8, sha256(key + auth).digest() + bytes(32))
        chain = _pem(self.platform, self.authority, self.root)
        inner = qe_report + raw_signature(self.keys["platform"], qe_report) + len(auth).to_bytes(2, "little") + auth
        inner += b"\x05\x00" + len(chain).to_bytes(4, "little") + chain
        if is_tdx:
            inner = b"\x06\x00" + len(inner).to_bytes(4, "little") + inner
        tail = raw_signature(self.keys["attestation"], header + body) + key + inner
        return header + body + len(tail).to_bytes(4, "little") + tail


def _report(flags: int, signer: bytes, product: int, svn: int, report_data: bytes) -> bytes:
    head = bytes(48) + bytes([flags]) + bytes(15) + b"E" * 32 + bytes(32) + signer + bytes(96)
    return head + product.to_bytes(2, "little") + svn.to_bytes(2, "little") + bytes(60) + report_data


def _tdx_body(report_data: bytes, debug: bool) -> bytes:
    head = b"\x04\x01" + b"\x05" * 14 + bytes(104) + bytes([debug, 0, 0, 0x10, 0, 0, 0, 0]) + bytes(8)
    return head + b"T" * 48 + bytes(144) + b"0" * 48 + b"1" * 48 + b"2" * 48 + bytes(48) + report_data


def _level(tcb: dict[str, object], status: str) -> dict[str, object]:
    return {"tcb": tcb, "tcbDate": "2026-03-13T00:00:00Z", "tcbStatus": status}


def _text(document: dict[str, object]) -> str:
    return json.dumps(document, separators=(",", ":"))


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _iso(seconds: int) -> str:
    return _at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")
