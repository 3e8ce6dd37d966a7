"""AWS Nitro Enclaves: a COSE_Sign1 attestation document (ES384) whose certificates lead to the AWS Nitro root.

Source: AWS Nitro Enclaves "Verifying the root of trust" and the NSM API's attestation process; RFC 9052 section 4.4 for what is signed.
AWS tells verifiers to look at no revocation list: leaves live for three hours. Only the encoding that the NSM writes is accepted.
"""

from __future__ import annotations

from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from oracle.attest.enclave.chain import parse_der, verify_chain
from oracle.attest.enclave.report import EnclavePolicy, EnclaveRejected, EnclaveReport, Platform, Reason, Relaxation, compute_measurement
from oracle.encoding import keccak256

PROTECTED = bytes.fromhex("a1013822")
"""{1: -35}: ES384."""
PREFIX = bytes([0x84, 0x44]) + PROTECTED + bytes([0xA0, 0x59])
"""An untagged array of four: the protected header, no unprotected one, and a payload with a two-byte length."""
SIGNATURE_HEAD = bytes([0x58, 0x60])
SIGNATURE_BYTES = 96
PCR_BYTES = 48
MAX_CLOCK_SKEW_SECONDS = 60
"""How far ahead of ours the enclave's clock may be."""
MAX_DEPTH = 4
NULL, OPEN_MAP, BREAK = 0xF6, 0xBF, b"\xff"
_FIELDS = {"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce"}


def is_document(evidence: bytes) -> bool:
    return evidence.startswith(PREFIX)


def verify(evidence: bytes, now: int, policy: EnclavePolicy) -> EnclaveReport:
    """Steps: the frame, the payload's shape, the chain, the signature, the time, the PCRs. Raises EnclaveRejected."""
    payload, signature = _split(evidence)
    document = _parse(payload)
    leaf = parse_der(document["certificate"], "certificate of the document")
    bundle = [parse_der(der, "certificate of the document's bundle") for der in document["cabundle"]]
    expires_at = verify_chain([leaf, *reversed(bundle)], policy.roots.aws, now, "the Nitro document")
    _require_signed(leaf.public_key(), payload, signature)
    if document["timestamp"] // 1000 > now + MAX_CLOCK_SKEW_SECONDS:
        raise EnclaveRejected(Reason.TIME, "timestamp of the document", f"at most {now + MAX_CLOCK_SKEW_SECONDS} s", document["timestamp"])
    pcrs = document["pcrs"]
    is_debug = not (any(pcrs[0]) and any(pcrs[1]) and any(pcrs[2]))
    if is_debug and not policy.allows(Relaxation.DEBUG):
        raise EnclaveRejected(Reason.DEBUG, "PCR0 to PCR2", "an enclave that is measured", "zeros: started for debugging")
    wanted = (0, 1, 2, 8) if any(pcrs.get(8, b"")) else (0, 1, 2)
    measurements = tuple((f"pcr{index}", pcrs[index]) for index in wanted)
    return EnclaveReport(
        platform=Platform.NITRO,
        measurements=measurements,
        measurement=compute_measurement(Platform.NITRO, measurements),
        report_data=document["user_data"] or b"",
        tcb_status="Managed",
        advisories=(),
        expires_at=expires_at,
        quote_digest=keccak256(evidence),
        is_debug=is_debug,
    )


def _split(evidence: bytes) -> tuple[bytes, bytes]:
    start = len(PREFIX) + 2
    length = int.from_bytes(evidence[len(PREFIX) : start], "big")
    payload, rest = evidence[start : start + length], evidence[start + length :]
    if len(rest) != len(SIGNATURE_HEAD) + SIGNATURE_BYTES or rest[: len(SIGNATURE_HEAD)] != SIGNATURE_HEAD or length < 256:
        raise EnclaveRejected(Reason.MALFORMED, "Nitro document", "a payload and 96 bytes of signature", f"{len(evidence)} bytes")
    return payload, rest[len(SIGNATURE_HEAD) :]


def _require_signed(key: object, payload: bytes, signature: bytes) -> None:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EnclaveRejected(Reason.CERTIFICATE, "key of the document's certificate", "one on P-384", type(key).__name__)
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    signed: bytes = cbor2.dumps(["Signature1", PROTECTED, b"", payload])
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA384()))
    except InvalidSignature as error:
        raise EnclaveRejected(Reason.SIGNATURE, "signature of the Nitro document", "one that its certificate's key made") from error


def _parse(payload: bytes) -> dict[str, Any]:
    """The document's fields, each of the type and size that the NSM API states."""
    if _end_of_item(payload, 0, 0) != len(payload):
        raise EnclaveRejected(Reason.MALFORMED, "Nitro payload", "one CBOR item", "more bytes after it")
    try:
        document = cbor2.loads(payload)
    except (cbor2.CBORDecodeError, ValueError, TypeError) as error:
        raise EnclaveRejected(Reason.MALFORMED, "Nitro payload", "CBOR", str(error)[:120]) from error
    if not isinstance(document, dict) or set(document) != _FIELDS:
        raise EnclaveRejected(Reason.MALFORMED, "Nitro payload", f"a map of {sorted(_FIELDS)}", type(document).__name__)
    pcrs, bundle = document["pcrs"], document["cabundle"]
    optional = (document[name] for name in ("public_key", "user_data", "nonce"))
    is_sound = (
        document["digest"] == "SHA384"
        and _is_int(document["timestamp"])
        and isinstance(document["certificate"], bytes)
        and isinstance(bundle, list)
        and all(isinstance(der, bytes) for der in bundle)
        and isinstance(pcrs, dict)
        and all(_is_int(index) and index < 32 and isinstance(value, bytes) and len(value) == PCR_BYTES for index, value in pcrs.items())
        and {0, 1, 2} <= set(pcrs)
        and all(value is None or isinstance(value, bytes) for value in optional)
    )
    if not is_sound:
        raise EnclaveRejected(Reason.MALFORMED, "Nitro payload", "SHA-384 PCRs, certificates in DER, a timestamp", "fields of other types")
    return document


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _end_of_item(data: bytes, at: int, depth: int) -> int:
    """Where the CBOR item at `at` ends. Only unsigned integers, byte and text strings, arrays, maps and null, all but maps of definite
    length: what is decoded before its signature is known to hold shall not be able to do more.
    """
    if at >= len(data) or depth > MAX_DEPTH:
        raise EnclaveRejected(Reason.MALFORMED, "Nitro payload", f"whole CBOR, at most {MAX_DEPTH} deep", f"an end at byte {at}")
    if data[at] == NULL:
        return at + 1
    if data[at] == OPEN_MAP:
        return _end_of_open_map(data, at + 1, depth)
    major, info = data[at] >> 5, data[at] & 0x1F
    width = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
    if major not in (0, 2, 3, 4, 5) or (info > 23 and not width):
        raise EnclaveRejected(Reason.MALFORMED, "Nitro payload", "plain CBOR", f"a byte {data[at]:#04x} at {at}")
    count = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else info
    end = at + 1 + width + (count if major in (2, 3) else 0)
    for _ in range(count * (major - 3) if major in (4, 5) else 0):
        end = _end_of_item(data, end, depth + 1)
    if end > len(data):
        raise EnclaveRejected(Reason.MALFORMED, "Nitro payload", "whole CBOR", f"a length beyond its end at byte {at}")
    return end


def _end_of_open_map(data: bytes, at: int, depth: int) -> int:
    while data[at : at + 1] != BREAK:
        at = _end_of_item(data, _end_of_item(data, at, depth + 1), depth + 1)
    return at + 1
