"""AMD's generations: each has its root, its layout and its minimum, and nothing of one passes for another's."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from oracle.attest.enclave import EnclavePolicy, EnclaveRejected, EnclaveReport, Reason, Relaxation, verify_quote
from oracle.attest.enclave.amd import identify, read_tcb, read_vcek
from oracle.attest.enclave.report import Roots, SnpGeneration, SnpMinimum, SnpTcb
from tests.unit.enclave_forger import (
    CHIP_ID,
    DAY,
    EXTENSION,
    NOW,
    TURIN_ID,
    SnpReport,
    Svn,
    der_integer,
    digest_of,
    key,
    pem,
    revocation_list,
    snp_chain,
    snp_extensions,
)
from tests.unit.enclave_vectors import REAL_CHAINS, SNP_MINIMUM, flip, read

MILAN, GENOA, TURIN = SnpGeneration.MILAN, SnpGeneration.GENOA, SnpGeneration.TURIN
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

Extensions = tuple[tuple[str, bytes, bool], ...]


@dataclass(frozen=True)
class Line:
    """An honest chip of a generation, in our own words."""

    generation: SnpGeneration
    product: str
    cpuid: tuple[int, int, int]
    svn: Svn
    hardware_id: bytes = CHIP_ID
    structure: int = 0

    def extensions(self) -> Extensions:
        return snp_extensions(self.hardware_id, self.svn, self.product, self.structure)

    def report(self) -> SnpReport:
        return SnpReport(version=5, tcb=self.svn, cpuid=self.cpuid, chip_id=self.hardware_id.ljust(64, b"\0"))

    def minimum(self) -> SnpMinimum:
        fields = ("bootloader", "tee", "snp", "microcode", "fmc")[: len(self.svn)]
        return SnpMinimum(**{self.generation.name.lower(): SnpTcb(**dict(zip(fields, self.svn, strict=True)))})


LINES = {
    MILAN: Line(MILAN, "Milan-B0", (0x19, 0x01, 0x01), (3, 0, 20, 209)),
    GENOA: Line(GENOA, "Genoa", (0x19, 0x11, 0x01), (10, 0, 23, 84)),
    TURIN: Line(TURIN, "Turin", (0x1A, 0x02, 0x01), (3, 2, 6, 117, 1), TURIN_ID, 1),
}


@pytest.fixture(params=list(SnpGeneration))
def line(request: pytest.FixtureRequest) -> Line:
    return LINES[request.param]


def verify(
    line: Line,
    report: SnpReport | None = None,
    more: Extensions | None = None,
    under: SnpGeneration | None = None,
    revoked: tuple[int, ...] = (),
) -> EnclaveReport:
    """The line's report and certificate, each as given instead; `under`: the generation whose root signed; `revoked`: serials."""
    chain = snp_chain(line.extensions() if more is None else more)
    built = [certificate.build() for certificate in chain]
    root = f"amd_{(under or line.generation).name.lower()}"
    policy = EnclavePolicy(snp_minimum=LINES[under or line.generation].minimum(), roots=Roots(**{root: digest_of(built[0])}))
    collateral = pem(*reversed(built)) + revocation_list(chain[0], revoked)
    return verify_quote((report or line.report()).sign(chain[-1].key), collateral, NOW, policy)


def refusal(
    line: Line, report: SnpReport | None = None, more: Extensions | None = None, under: SnpGeneration | None = None
) -> EnclaveRejected:
    with pytest.raises(EnclaveRejected) as caught:
        verify(line, report, more, under)
    return caught.value


def replaced(line: Line, suffix: str, value: bytes | None) -> Extensions:
    """The line's extensions with one of another value; None: without it."""
    others = tuple(e for e in line.extensions() if e[0] != EXTENSION + suffix)
    assert len(others) == len(line.extensions()) - 1
    return others if value is None else (*others, (EXTENSION + suffix, value, False))


# ---- roots ------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("generation", list(SnpGeneration))
def test_the_pinned_roots_are_amds(generation: SnpGeneration) -> None:
    """The certificates are those of three repositories (tests/vectors/tee/README.md); here: what they are."""
    ask, ark = x509.load_pem_x509_certificates(REAL_CHAINS[generation.name.lower()])[-2:]
    assert Roots().amd(generation) == ark.fingerprint(SHA256()).hex()
    assert f"CN=ARK-{generation}," in ark.subject.rfc4514_string()
    assert f"CN=SEV-{generation}," in ask.subject.rfc4514_string()
    for certificate in (ark, ask):
        certificate.verify_directly_issued_by(ark)
        public, parameters = certificate.public_key(), certificate.signature_algorithm_parameters
        assert isinstance(public, rsa.RSAPublicKey)
        assert (public.key_size, public.public_numbers().e) == (4096, 65537)
        assert isinstance(parameters, padding.PSS)
        assert isinstance(certificate.signature_hash_algorithm, SHA384)


def test_three_roots_are_three() -> None:
    assert len({Roots().amd(generation) for generation in SnpGeneration}) == 3


def test_an_unknown_root_is_refused_with_those_that_are_known() -> None:
    chain = snp_chain()
    built = [certificate.build() for certificate in chain]
    with pytest.raises(EnclaveRejected) as caught:
        verify_quote(SnpReport().sign(chain[-1].key), pem(*reversed(built)), NOW, EnclavePolicy())
    assert caught.value.reason is Reason.ROOT
    for named in (*(Roots().amd(generation) for generation in SnpGeneration), digest_of(built[0])):
        assert named in str(caught.value)


# ---- the truth --------------------------------------------------------------------------------------------------------------------------
def test_an_honest_report_of_every_generation_is_accepted_by_the_strict_policy(line: Line) -> None:
    report = verify(line)
    assert (report.is_debug, report.expires_at) == (False, NOW + DAY)


@pytest.mark.parametrize(
    ("generation", "family", "models"),
    [(MILAN, 0x19, (0x00, 0x01, 0x0F)), (GENOA, 0x19, (0x10, 0x11, 0x1F, 0xA0, 0xA1, 0xAF)), (TURIN, 0x1A, (0x00, 0x02, 0x11))],
)
def test_processors_of_a_generation(generation: SnpGeneration, family: int, models: tuple[int, ...]) -> None:
    for model in models:
        assert identify(family, model) is generation
        line = LINES[generation]
        assert verify(line, dataclasses.replace(line.report(), cpuid=(family, model, 0)))


def test_no_other_processor_is_known() -> None:
    known = {(0x19, m): MILAN for m in range(0x10)}
    known |= {(0x19, m): GENOA for m in (*range(0x10, 0x20), *range(0xA0, 0xB0))}
    known |= {(0x1A, m): TURIN for m in range(0x12)}
    for family in range(256):
        for model in range(256):
            assert identify(family, model) is known.get((family, model))


def test_versions_read_as_amds_own_address_names_them() -> None:
    """The VCEK of the vector was fetched for ucodeSPL=71, snpSPL=2, teeSPL=0, blSPL=1, fmcSPL=0 and chip 3b42092f69c656d3."""
    evidence = read("snp_turin_attestation.bin")
    expected = SnpTcb(bootloader=1, tee=0, snp=2, microcode=71, fmc=0)
    assert read_tcb(TURIN, evidence[0x180:0x188], "TCB") == expected
    vcek = read_vcek(x509.load_pem_x509_certificates(REAL_CHAINS["turin"])[0], TURIN)
    assert (vcek.tcb, vcek.hardware_id) == (expected, bytes.fromhex("3b42092f69c656d3").ljust(64, b"\0"))


def test_a_report_of_turin_has_no_meaning_in_the_old_layout() -> None:
    for older in (MILAN, GENOA):
        with pytest.raises(EnclaveRejected, match=f"reserved bytes of {older}"):
            read_tcb(older, read("snp_turin_attestation.bin")[0x180:0x188], "TCB")


# ---- one generation for another ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("under", list(SnpGeneration))
@pytest.mark.parametrize("product", ["Milan-B0", "Milan", "Genoa", "Genoa-B1", "Turin", "Turin-B1"])
def test_the_product_is_the_roots(under: SnpGeneration, product: str) -> None:
    line = dataclasses.replace(LINES[under], product=product)
    if product.startswith(under):
        assert verify(line)
    else:
        error = refusal(line)
        assert error.reason is Reason.CERTIFICATE
        assert under in str(error)
        assert product in str(error)


@pytest.mark.parametrize("other", list(SnpGeneration))
def test_the_processor_is_the_roots(line: Line, other: SnpGeneration) -> None:
    report = dataclasses.replace(line.report(), cpuid=LINES[other].cpuid)
    for version in (3, 4, 5):
        if other is line.generation:
            assert verify(line, dataclasses.replace(report, version=version))
        else:
            error = refusal(line, dataclasses.replace(report, version=version))
            assert (error.reason, "processor" in str(error)) == (Reason.CERTIFICATE, True)
    unknown = refusal(line, dataclasses.replace(line.report(), cpuid=(0x1A, 0x50, 0)))
    assert unknown.reason is Reason.CERTIFICATE
    assert "0x1a" in str(unknown)
    assert "0x50" in str(unknown)


def test_an_old_report_names_no_processor_and_turin_has_none() -> None:
    for generation in (MILAN, GENOA):
        assert verify(LINES[generation], dataclasses.replace(LINES[generation].report(), version=2))
    error = refusal(LINES[TURIN], dataclasses.replace(LINES[TURIN].report(), version=2))
    assert error.reason is Reason.MALFORMED
    assert "version" in str(error)


def test_a_whole_chip_of_one_generation_under_the_root_of_another(line: Line) -> None:
    for under in SnpGeneration:
        if under is not line.generation:
            assert refusal(line, under=under).reason in (Reason.MALFORMED, Reason.CERTIFICATE)


def test_the_structure_of_the_certificate_is_the_generations(line: Line) -> None:
    error = refusal(line, more=replaced(line, "1", der_integer(1 - line.structure)))
    assert (error.reason, "structure version" in str(error)) == (Reason.CERTIFICATE, True)


# ---- the certificate's extensions -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"Turin",
        b"\x0c\x05Turin",  # UTF8String
        b"\x16\x04Turin",
        b"\x16\x06Turin",
        b"\x16\x05Turin\0",
        b"\x16\x00",
        b"\x16\x05turin",
        b"\x16\x06Turin ",
        b"\x16\x06\xc3\xa9urin",
        b"\x16\x05Venic",
        b"\x16\x21Turin-" + b"B" * 27,
    ],
    ids=repr,
)
def test_a_product_is_an_ia5string_of_a_name_that_is_known(der: bytes) -> None:
    error = refusal(LINES[TURIN], more=replaced(LINES[TURIN], "2", der))
    assert (error.reason, "product name" in str(error)) == (Reason.CERTIFICATE, True)


def test_no_extension_can_be_missing(line: Line) -> None:
    for oid, _, _ in line.extensions():
        assert refusal(line, more=replaced(line, oid.removeprefix(EXTENSION), None)).reason is Reason.CERTIFICATE


def test_a_hardware_id_is_raw_or_in_an_octet_string(line: Line) -> None:
    chip = line.hardware_id
    assert verify(line, more=replaced(line, "4", bytes([4, len(chip)]) + chip))
    lies = [b"", chip[:-1], chip + b"\0", bytes([3, len(chip)]) + chip, bytes([4, len(chip) + 1]) + chip, chip[::-1], bytes(len(chip))]
    lies += [chip.ljust(64, b"\0"), b"\4\x40" + chip.ljust(64, b"\0")] if line.generation is TURIN else [chip[:8], b"\4\x08" + chip[:8]]
    for value in lies:
        error = refusal(line, more=replaced(line, "4", value))
        assert (error.reason, "hardware id" in str(error)) == (Reason.CERTIFICATE, True), value.hex()


def test_behind_a_chip_id_of_turin_are_zeros() -> None:
    line = LINES[TURIN]
    for at in range(64):
        lie = flip(line.report().chip_id, at * 8)
        assert refusal(line, dataclasses.replace(line.report(), chip_id=lie)).reason is Reason.CERTIFICATE


def test_a_chip_without_an_id_is_refused(line: Line) -> None:
    """A masked id would be zero, and so is that of a certificate for no chip."""
    nothing = dataclasses.replace(line, hardware_id=bytes(len(line.hardware_id)))
    assert refusal(nothing).reason is Reason.CERTIFICATE


# ---- versions ---------------------------------------------------------------------------------------------------------------------------
def test_every_version_is_the_certificates(line: Line) -> None:
    for part, value in enumerate(line.svn):
        changed = (*line.svn[:part], value + 1, *line.svn[part + 1 :])
        error = refusal(line, dataclasses.replace(line.report(), tcb=changed, current=changed))
        assert (error.reason, "TCB of the VCEK" in str(error)) == (Reason.TCB, True)


def test_every_version_reaches_the_minimum_now_and_as_reported(line: Line) -> None:
    for part, value in enumerate(line.svn):
        if value == 0:
            continue
        lower = (*line.svn[:part], value - 1, *line.svn[part + 1 :])
        error = refusal(line, dataclasses.replace(line.report(), current=lower))
        assert (error.reason, str(error).startswith("current TCB")) == (Reason.TCB, True)
        certified = dataclasses.replace(line, svn=lower)
        error = refusal(line, dataclasses.replace(certified.report(), current=line.svn), certified.extensions())
        assert (error.reason, str(error).startswith("reported TCB")) == (Reason.TCB, True)


def test_reserved_bytes_of_a_version_are_zero(line: Line) -> None:
    reserved = (4, 5, 6) if line.generation is TURIN else (2, 3, 4, 5)
    evidence = line.report().sign(key("vcek"))
    for at in reserved:
        raw = flip(evidence[0x180:0x188], at * 8)
        for lie in (dataclasses.replace(line.report(), raw_tcb=raw), dataclasses.replace(line.report(), raw_current=raw)):
            error = refusal(line, lie)
            assert (error.reason, "reserved" in str(error)) == (Reason.MALFORMED, True)


def test_a_minimum_is_for_one_generation() -> None:
    """High numbers for the others do not help, and those of one with other parts are never reached."""
    zero, turin = SnpTcb(0, 0, 0, 0), SnpTcb(0, 0, 0, 0, fmc=0)
    for tcb, minimum in ((SnpTcb(255, 255, 255, 255), turin), (SnpTcb(255, 255, 255, 255, fmc=255), zero)):
        assert not tcb.reaches(minimum)
    assert SnpTcb(0, 0, 0, 0, fmc=1).reaches(turin)
    assert not turin.reaches(SnpTcb(0, 0, 0, 0, fmc=1))
    whole = SnpMinimum(milan=zero, genoa=zero, turin=turin)
    for generation in SnpGeneration:
        without = dataclasses.replace(whole, **{generation.name.lower(): None})
        assert without.of(generation) is None
        assert all(without.of(other) is whole.of(other) is not None for other in SnpGeneration if other is not generation)


def test_a_generation_without_a_minimum_is_refused_whatever_the_others_have(line: Line) -> None:
    chain = snp_chain(line.extensions())
    built = [certificate.build() for certificate in chain]
    name = line.generation.name.lower()
    others = SnpMinimum(SnpTcb(0, 0, 0, 0), SnpTcb(0, 0, 0, 0), SnpTcb(0, 0, 0, 0, fmc=0))
    policy = EnclavePolicy(snp_minimum=dataclasses.replace(others, **{name: None}), roots=Roots(**{f"amd_{name}": digest_of(built[0])}))
    with pytest.raises(EnclaveRejected, match=line.generation) as caught:
        verify_quote(line.report().sign(chain[-1].key), pem(*reversed(built)) + revocation_list(chain[0]), NOW, policy)
    assert caught.value.reason is Reason.TCB


# ---- revocation -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("serials", "reason"), [((2,), Reason.REVOKED), ((3,), Reason.REVOKED), ((9,), None)])
def test_a_list_revokes_in_every_generation(line: Line, serials: tuple[int, ...], reason: Reason | None) -> None:
    if reason is None:
        assert verify(line, revoked=serials)
    else:
        with pytest.raises(EnclaveRejected) as caught:
            verify(line, revoked=serials)
        assert caught.value.reason is reason


LISTED_AT = 1760000000
LISTED = {"milan": ("snp_attestation.bin", 1778544000), "genoa": ("snp_genoa_attestation.bin", 1762131600)}


def listed(generation: str, lists: bytes, now: int = LISTED_AT) -> EnclaveReport:
    """The real report with AMD's real list: nothing is relaxed but what its guest asked for."""
    policy = EnclavePolicy(frozenset({Relaxation.SMT, Relaxation.DEBUG}), snp_minimum=SNP_MINIMUM)
    return verify_quote(read(LISTED[generation][0]), REAL_CHAINS[generation] + lists, now, policy)


@pytest.mark.parametrize("generation", list(LISTED))
def test_amds_own_lists_hold_until_they_end(generation: str) -> None:
    lists, end = read(f"snp_{generation}_revocations.pem"), LISTED[generation][1]
    assert listed(generation, lists).expires_at == end
    assert listed(generation, lists, end - 1).expires_at == end
    other = next(read(f"snp_{name}_revocations.pem") for name in LISTED if name != generation)
    for lie, now, reason in ((lists, end, Reason.TIME), (b"", LISTED_AT, Reason.COLLATERAL), (other, LISTED_AT, Reason.COLLATERAL)):
        with pytest.raises(EnclaveRejected) as caught:
            listed(generation, lie, now)
        assert caught.value.reason is reason


@pytest.mark.parametrize("generation", list(LISTED))
def test_no_bit_of_amds_own_lists_can_change(generation: str) -> None:
    lists = read(f"snp_{generation}_revocations.pem")
    for bit in random.Random(11).sample(range(len(lists) * 8), 150):
        with pytest.raises(EnclaveRejected):
            listed(generation, flip(lists, bit))


def test_amds_list_names_an_intermediate_that_it_withdrew() -> None:
    """Serial 20001h was Genoa's first ASK; the one in use has 20002h."""
    revoked = x509.load_pem_x509_crl(read("snp_genoa_revocations.pem"))
    assert [entry.serial_number for entry in revoked] == [0x20001]
    assert x509.load_pem_x509_certificates(REAL_CHAINS["genoa"])[1].serial_number == 0x20002


# ---- whose key --------------------------------------------------------------------------------------------------------------------------
def vlek(evidence: bytes, now: int = 1760000000) -> EnclaveRejected:
    relaxed = EnclavePolicy(frozenset(Relaxation), snp_minimum=SnpMinimum(milan=SnpTcb(0, 0, 0, 0)))
    with pytest.raises(EnclaveRejected) as caught:
        verify_quote(evidence, read("snp_vlek_chain.pem"), now, relaxed)
    return caught.value


def test_a_real_report_of_a_providers_key_is_refused_by_name_whatever_is_relaxed() -> None:
    evidence = read("snp_vlek_attestation.bin")
    error = vlek(evidence)
    assert error.reason is Reason.PLATFORM
    assert "signing key" in str(error)
    assert "VLEK" in str(error)
    assert vlek(flip(evidence, 0x90 * 8)).reason is Reason.SIGNATURE  # so chain and signature are what did hold
    assert vlek(evidence, 1800000000).reason is Reason.TIME


@pytest.mark.parametrize(("signer", "name"), [(1, "VLEK"), (2, "reserved value 2"), (6, "reserved value 6"), (7, "none")])
def test_who_signed_is_named(line: Line, signer: int, name: str) -> None:
    error = refusal(line, dataclasses.replace(line.report(), flags=signer << 2))
    assert (error.reason, name in str(error)) == (Reason.PLATFORM, True)


def test_a_masked_chip_key_is_refused(line: Line) -> None:
    error = refusal(line, dataclasses.replace(line.report(), flags=2))
    assert (error.reason, "masked" in str(error)) == (Reason.PLATFORM, True)


def test_a_providers_certificate_is_no_chips(line: Line) -> None:
    """A VLEK has no hardware id but names its provider; a report that claims to be a VCEK's does not pass with it."""
    provider = b"CN=cc-us-east-2.amazonaws.com"
    more = (*replaced(line, "4", None), (EXTENSION + "5", bytes([0x16, len(provider)]) + provider, False))
    assert refusal(line, more=more).reason is Reason.CERTIFICATE
    assert refusal(line, dataclasses.replace(line.report(), chip_id=bytes(64)), more).reason is Reason.CERTIFICATE
