"""What tells AMD's generations of processors apart, and what a chip's certificate (VCEK) says.

A generation has its own root, its own layout of TCB_VERSION and its own length of a chip's id; to read one's bytes by the layout of another
would turn one firmware's version into another's. Sources: 56860 (SEV-SNP ABI 1.58), tables "TCB_VERSION" and "ATTESTATION_REPORT"; 57230
(VCEK and KDS), table of the certificate's extensions.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from oracle.attest.enclave.report import EnclaveRejected, Reason, SnpGeneration, SnpTcb

CHIP_ID_BYTES = 64
"""Of the report's field; a chip of Turin has an id of 8 bytes, with zeros behind it."""

_OLD = ("bootloader", "tee", "", "", "", "", "snp", "microcode")
TCB_LAYOUT: dict[SnpGeneration, tuple[str, ...]] = {
    SnpGeneration.MILAN: _OLD,
    SnpGeneration.GENOA: _OLD,
    SnpGeneration.TURIN: ("fmc", "bootloader", "tee", "snp", "", "", "", "microcode"),
}
"""Which part of SnpTcb each of the eight bytes of TCB_VERSION is; bytes without a name are reserved and zero."""

_HARDWARE_ID_BYTES = {SnpGeneration.MILAN: CHIP_ID_BYTES, SnpGeneration.GENOA: CHIP_ID_BYTES, SnpGeneration.TURIN: 8}
_STRUCT_VERSION = {SnpGeneration.MILAN: 0, SnpGeneration.GENOA: 0, SnpGeneration.TURIN: 1}
_MODELS = (  # CPUID: family, first and last model; the extended parts are added
    (0x19, 0x00, 0x0F, SnpGeneration.MILAN),
    (0x19, 0x10, 0x1F, SnpGeneration.GENOA),
    (0x19, 0xA0, 0xAF, SnpGeneration.GENOA),  # Bergamo, Siena
    (0x1A, 0x00, 0x11, SnpGeneration.TURIN),
)

_EXTENSION = "1.3.6.1.4.1.3704.1."
_SVN = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8", "fmc": "3.9"}


@dataclass(frozen=True, slots=True)
class Vcek:
    """What AMD certified: this chip, running these versions."""

    hardware_id: bytes  # CHIP_ID_BYTES, as a report names it
    tcb: SnpTcb


def tcb_parts(generation: SnpGeneration) -> tuple[str, ...]:
    """The names of the versions that a generation has, in the order of their bytes."""
    return tuple(name for name in TCB_LAYOUT[generation] if name)


def read_tcb(generation: SnpGeneration, version: bytes, what: str) -> SnpTcb:
    """The versions in the eight bytes of a TCB_VERSION. Raises EnclaveRejected where reserved ones are not zero."""
    named = list(zip(TCB_LAYOUT[generation], version, strict=True))
    if any(value for name, value in named if not name):
        raise EnclaveRejected(Reason.MALFORMED, what, f"reserved bytes of {generation}'s layout that are zero", version.hex())
    return SnpTcb(**{name: value for name, value in named if name})


def identify(family: int, model: int) -> SnpGeneration | None:
    """The generation of a processor by its CPUID family and model; None: none that is known here."""
    return next((g for of, first, last, g in _MODELS if of == family and first <= model <= last), None)


def read_vcek(certificate: x509.Certificate, generation: SnpGeneration) -> Vcek:
    """What a VCEK certifies, once its chain to the generation's root holds. Raises EnclaveRejected where it is of another generation."""
    values = {e.oid.dotted_string: e.value.value for e in certificate.extensions if isinstance(e.value, x509.UnrecognizedExtension)}

    def value_of(suffix: str) -> bytes:
        return values.get(_EXTENSION + suffix, b"")

    version = _integer(value_of("1"), "structure version")
    if version != _STRUCT_VERSION[generation]:
        raise EnclaveRejected(Reason.CERTIFICATE, f"structure version of the VCEK, for {generation}", _STRUCT_VERSION[generation], version)
    product = _product(value_of("2"))
    if product.split("-")[0] != generation:  # a stepping may follow: Milan-B0
        raise EnclaveRejected(Reason.CERTIFICATE, "product name of the VCEK", f"{generation}, as its root", product)
    return Vcek(
        hardware_id=_hardware_id(value_of("4"), generation),
        tcb=SnpTcb(**{name: _integer(value_of(_SVN[name]), f"{name} version") for name in tcb_parts(generation)}),
    )


def _hardware_id(value: bytes, generation: SnpGeneration) -> bytes:
    """The id itself, or a DER OCTET STRING of it: AMD has issued both, and their lengths differ."""
    size = _HARDWARE_ID_BYTES[generation]
    if len(value) == size + 2 and value[:2] == bytes([4, size]):
        value = value[2:]
    if len(value) != size:
        raise EnclaveRejected(Reason.CERTIFICATE, f"hardware id of the VCEK, for {generation}", f"{size} bytes", f"{len(value)} bytes")
    return value.ljust(CHIP_ID_BYTES, b"\0")


def _product(der: bytes) -> str:
    """A DER IA5String of at most 31 bytes."""
    if len(der) < 3 or der[0] != 0x16 or der[1] != len(der) - 2 or len(der) > 33 or not der[2:].isascii():
        raise EnclaveRejected(Reason.CERTIFICATE, "product name of the VCEK", "an IA5String", der.hex()[:64])
    return der[2:].decode("ascii")


def _integer(der: bytes, name: str) -> int:
    """A DER INTEGER of one byte, or of two where the first is zero."""
    if len(der) == 3 and der[:2] == b"\x02\x01" and der[2] < 0x80:
        return der[2]
    if len(der) == 4 and der[:3] == b"\x02\x02\x00" and der[3] >= 0x80:
        return der[3]
    raise EnclaveRejected(Reason.CERTIFICATE, f"{name} of the VCEK", "an integer from 0 to 255", der.hex()[:16])
