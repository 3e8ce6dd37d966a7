"""Intel's root certificate, and its statements taken apart as the contracts take them (contracts/src/enclave).

The contracts verify what is posted; nothing here is trusted to. What it gives is one document each, with what says how new it is.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from oracle.attest.enclave.chain import UNPARSEABLE, parse_pem_chain, posix
from oracle.attest.enclave.dcap import parse_collateral
from oracle.attest.enclave.report import EnclaveRejected, Reason, Relaxation
from oracle.encoding import keccak256
from oracle.records import Bytes32

INTEL_ROOT = base64.b64decode(
    "MIICjzCCAjSgAwIBAgIUImUM1lqdNInzg7SVUr9QGzknBqwwCgYIKoZIzj0EAwIwaDEaMBgGA1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNV"
    "BAoMEUludGVsIENvcnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNVBAYTAlVTMB4XDTE4MDUyMTEwNDUx"
    "MFoXDTQ5MTIzMTIzNTk1OVowaDEaMBgGA1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENvcnBvcmF0aW9uMRQwEgYDVQQH"
    "DAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNVBAYTAlVTMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC6nEwMDIYZOj/iPWsCzaEKi7"
    "1OiOSLRFhWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJBK5zlKOBuzCBuDAfBgNVHSMEGDAWgBQiZQzWWp00ifODtJVSv1AbOScG"
    "rDBSBgNVHR8ESzBJMEegRaBDhkFodHRwczovL2NlcnRpZmljYXRlcy50cnVzdGVkc2VydmljZXMuaW50ZWwuY29tL0ludGVsU0dYUm9vdENBLmRl"
    "cjAdBgNVHQ4EFgQUImUM1lqdNInzg7SVUr9QGzknBqwwDgYDVR0PAQH/BAQDAgEGMBIGA1UdEwEB/wQIMAYBAf8CAQEwCgYIKoZIzj0EAwIDSQAw"
    "RgIhAOW/5QkR+S9CiSDcNoowLuPRLsWGf/Yi7GSX94BgwTwgAiEA4J0lrHoMs+Xo5o/sX6O9QWxHRAvZUGOdRQ7cvqRXaqI="
)
"""DER of "Intel SGX Root CA", valid until 2049: the one whose SHA-256 is `Roots.intel`."""

RELAXATION_BITS: dict[Relaxation, int] = {
    Relaxation.SW_HARDENING: 1,
    Relaxation.CONFIGURATION: 2,
    Relaxation.CONFIGURATION_AND_SW_HARDENING: 4,
    Relaxation.DYNAMIC_PLATFORM: 8,
    Relaxation.CACHED_KEYS: 16,
    Relaxation.SMT: 32,
}
"""What a DcapVerifier may be built to allow, as its constructor takes it."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A revocation list in DER. `this_update`: POSIX seconds."""

    der: bytes
    this_update: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A TCB info or the identity of a quoting enclave: the text that is signed, and r ‖ s. `fmspc` is empty for an identity."""

    text: bytes
    signature: bytes
    signer: bytes  # the certificate in DER
    is_tdx: bool
    fmspc: bytes
    issued_at: int  # POSIX seconds
    evaluation: int

    @property
    def signer_digest(self) -> Bytes32:
        return keccak256(self.signer)


@dataclass(frozen=True, slots=True)
class Postable:
    """The collateral of a quote, as the contracts take it."""

    authority: bytes  # the PCK CA's certificate and the root's, in PEM
    root_list: RevocationList
    authority_list: RevocationList
    tcb_info: Statement
    qe_identity: Statement

    @property
    def chain_digest(self) -> Bytes32:
        """What the contracts know the PCK CA by."""
        return keccak256(self.authority)


def relaxation_bits(names: frozenset[Relaxation]) -> int:
    """Raises KeyError for one that is not about Intel's platforms."""
    return sum(RELAXATION_BITS[name] for name in names)


def take_apart(collateral: bytes) -> Postable:
    """`collateral`: the JSON of a PCCS client such as dcap-qvl's own. Verifies nothing. Raises EnclaveRejected where it is not that."""
    documents = parse_collateral(collateral)
    info = _statement(documents, "tcb_info", "TDX")
    return Postable(
        authority=documents["pck_crl_issuer_chain"].encode(),
        root_list=_list(documents["root_ca_crl"], "root_ca_crl"),
        authority_list=_list(documents["pck_crl"], "pck_crl"),
        tcb_info=info,
        qe_identity=_statement(documents, "qe_identity", "TD_QE"),
    )


def _statement(documents: dict[str, str], name: str, tdx_id: str) -> Statement:
    text = documents[name]
    chain = parse_pem_chain(documents[f"{name}_issuer_chain"].encode(), f"{name}_issuer_chain of the collateral")
    try:
        said = json.loads(text)
        return Statement(
            text=text.encode(),
            signature=bytes.fromhex(documents[f"{name}_signature"]),
            signer=chain[0].public_bytes(Encoding.DER),
            is_tdx=said["id"] == tdx_id,
            fmspc=bytes.fromhex(said.get("fmspc", "")),
            issued_at=posix(datetime.strptime(said["issueDate"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)),
            evaluation=int(said["tcbEvaluationDataNumber"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise EnclaveRejected(Reason.COLLATERAL, f"{name} of the collateral", "a statement of Intel's", repr(error)[:120]) from error


def _list(text: str, name: str) -> RevocationList:
    der = bytes.fromhex(text)
    try:
        return RevocationList(der, posix(x509.load_der_x509_crl(der).last_update_utc))
    except UNPARSEABLE as error:
        raise EnclaveRejected(Reason.COLLATERAL, f"{name} of the collateral", "a revocation list in DER", str(error)[:120]) from error
