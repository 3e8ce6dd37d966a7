"""Real evidence of four platforms: what it says, and that nothing near it passes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import dcap_qvl
import pytest

from oracle.attest.enclave import (
    MAX_COLLATERAL_BYTES,
    MAX_EVIDENCE_BYTES,
    STRICT,
    EnclavePolicy,
    EnclaveRejected,
    EnclaveReport,
    Platform,
    Reason,
    Relaxation,
    dcap,
    verify_quote,
)
from oracle.attest.enclave.nitro import PREFIX
from oracle.attest.enclave.report import Roots, SnpMinimum, SnpTcb, compute_measurement
from oracle.encoding import keccak256
from oracle.errors import InvariantBroken
from tests.unit.enclave_vectors import SNP_MINIMUM, Mutation, Vector, flip, mutations, read, vcek_pem, vectors

REAL = vectors()
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")


@pytest.fixture(params=sorted(REAL))
def vector(request: pytest.FixtureRequest) -> Vector:
    return REAL[request.param]


def refused(evidence: bytes, collateral: bytes, now: int, policy: EnclavePolicy) -> Reason:
    with pytest.raises(EnclaveRejected) as caught:
        verify_quote(evidence, collateral, now, policy)
    return caught.value.reason


def require_refused(mutation: Mutation) -> Reason:
    name, verify = mutation
    reason = reason_of(verify)
    assert reason is not None, f"accepted: {name}"
    assert not name.startswith("time") or reason is Reason.TIME, name
    return reason


def reason_of(verify: Callable[[], EnclaveReport]) -> Reason | None:
    try:
        verify()
    except EnclaveRejected as error:
        return error.reason
    return None


# ---- the truth ------------------------------------------------------------------------------------------------------------------------
def test_tdx_says_what_runs() -> None:
    report = REAL["tdx"].verify()
    assert (report.platform, report.tcb_status, report.advisories, report.expires_at) == (Platform.TDX, "UpToDate", (), 1752919235)
    assert [name for name, _ in report.measurements] == ["mrtd", "rtmr0", "rtmr1", "rtmr2"]
    assert report.measurement == keccak256(b"".join(value for _, value in report.measurements))
    assert not report.is_debug
    assert not report.is_simulated


def test_sgx_says_what_runs() -> None:
    report = REAL["sgx"].verify()
    assert (report.platform, report.tcb_status) == (Platform.SGX, "ConfigurationAndSWHardeningNeeded")
    assert report.advisories == ("INTEL-SA-00289", "INTEL-SA-00615")
    assert report.report_data == b"Hello, world!".ljust(64, b"\0")
    assert len(report.measurement) == 32


def test_nitro_says_what_runs() -> None:
    report = REAL["nitro"].verify()
    assert (report.platform, report.expires_at) == (Platform.NITRO, 1767483629)
    assert [name for name, _ in report.measurements] == ["pcr0", "pcr1", "pcr2"]
    assert report.report_data.hex().startswith("69553adc61d6e9fc")


def test_snp_says_what_runs() -> None:
    report = REAL["snp"].verify()
    assert (report.platform, report.is_debug) == (Platform.SEV_SNP, True)
    assert report.report_data == bytes([1, 2, 3, 4, 5]).ljust(64, b"\0")
    assert dict(report.measurements)["policy"].hex() == "00000000000b0000"


@pytest.mark.parametrize(
    ("name", "policy", "report_data", "expires_at"),
    [("snp_genoa", "000000000003001f", "b581f12e29a2d7d6", 1958523709), ("snp_turin", "0000000000030000", "e0fd0bdb6aa4030a", 1973696687)],
)
def test_snp_of_later_generations_says_what_runs(name: str, policy: str, report_data: str, expires_at: int) -> None:
    report = REAL[name].verify()
    assert (report.platform, report.is_debug, report.expires_at) == (Platform.SEV_SNP, False, expires_at)
    assert dict(report.measurements)["policy"].hex() == policy
    assert report.report_data.hex().startswith(report_data)


@pytest.mark.parametrize("name", ["tdx", "sgx"])
def test_our_offsets_are_those_of_the_library(name: str) -> None:
    """Slow truth beside fast twin: every register is also what dcap-qvl's parser finds."""
    report, parsed = REAL[name].verify(), dcap_qvl.Quote.parse(REAL[name].evidence).report
    theirs = {"rtmr0": "rt_mr0", "rtmr1": "rt_mr1", "rtmr2": "rt_mr2", "mrtd": "mr_td", "mrenclave": "mr_enclave", "mrsigner": "mr_signer"}
    for register, value in report.measurements:
        if register in theirs:
            assert value == getattr(parsed, theirs[register]), register
    assert report.report_data == parsed.report_data


def test_product_and_version_are_big_endian_in_the_measurement() -> None:
    body = bytearray(384)
    body[48], body[256:260] = 5, bytes([1, 2, 3, 4])
    measurements, _ = dcap._read_sgx(bytes(body))
    assert dict(measurements)["isv_prod_id"] == b"\2\1"
    assert dict(measurements)["isv_svn"] == b"\4\3"


# ---- strict, and what is relaxed by name ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tdx", Reason.PLATFORM),
        ("sgx", Reason.TCB),
        ("snp", Reason.COLLATERAL),
        ("snp_genoa", Reason.COLLATERAL),
        ("snp_turin", Reason.COLLATERAL),
    ],
)
def test_the_strict_policy_refuses_what_is_not_up_to_date(name: str, reason: Reason) -> None:
    real = REAL[name]
    assert refused(real.evidence, real.collateral, real.now, STRICT) is reason


@pytest.mark.parametrize("name", sorted(REAL))
def test_every_relaxation_that_a_vector_needs_is_needed(name: str) -> None:
    """Without any one of them it is refused."""
    real = REAL[name]
    for relaxation in real.policy.relaxations:
        less = dataclasses.replace(real.policy, relaxations=real.policy.relaxations - {relaxation})
        expected = {
            Relaxation.DEBUG: Reason.DEBUG,
            Relaxation.NO_REVOCATION_LIST: Reason.COLLATERAL,
            Relaxation.CONFIGURATION_AND_SW_HARDENING: Reason.TCB,
        }
        assert refused(real.evidence, real.collateral, real.now, less) is expected.get(relaxation, Reason.PLATFORM)


def test_other_statuses_do_not_stand_for_each_other() -> None:
    real = REAL["sgx"]
    others = EnclavePolicy(frozenset(Relaxation) - {Relaxation.CONFIGURATION_AND_SW_HARDENING})
    assert refused(real.evidence, real.collateral, real.now, others) is Reason.TCB


def test_an_advisory_can_be_refused() -> None:
    real = REAL["sgx"]
    policy = dataclasses.replace(real.policy, rejected_advisories=frozenset({"INTEL-SA-00615"}))
    assert refused(real.evidence, real.collateral, real.now, policy) is Reason.TCB
    other = dataclasses.replace(real.policy, rejected_advisories=frozenset({"INTEL-SA-99999"}))
    assert verify_quote(real.evidence, real.collateral, real.now, other).platform is Platform.SGX


def test_an_outdated_platform_is_refused_whatever_is_relaxed() -> None:
    everything = EnclavePolicy(frozenset(Relaxation))
    quote, collateral = read("tdx_quote_outdated"), read("tdx_quote_outdated_collateral.json")
    assert refused(quote, collateral, 1772000000, everything) is Reason.TCB
    assert refused(quote, collateral, 1750414563, everything) is Reason.TIME


@pytest.mark.parametrize(("name", "generation"), [("snp", "milan"), ("snp_genoa", "genoa"), ("snp_turin", "turin")])
def test_snp_needs_its_generations_minimum_and_reaches_it_in_every_part(name: str, generation: str) -> None:
    real, minimum = REAL[name], getattr(SNP_MINIMUM, generation)

    def demanding(tcb: SnpTcb | None) -> EnclavePolicy:
        return dataclasses.replace(real.policy, snp_minimum=dataclasses.replace(SNP_MINIMUM, **{generation: tcb}))

    for without in (demanding(None), dataclasses.replace(real.policy, snp_minimum=SnpMinimum())):
        assert refused(real.evidence, real.collateral, real.now, without) is Reason.TCB
    parts = [field.name for field in dataclasses.fields(minimum) if getattr(minimum, field.name) is not None]
    assert len(parts) == (5 if generation == "turin" else 4)
    for part in parts:
        higher = dataclasses.replace(minimum, **{part: getattr(minimum, part) + 1})
        assert refused(real.evidence, real.collateral, real.now, demanding(higher)) is Reason.TCB
    zero = dataclasses.replace(minimum, **dict.fromkeys(parts, 0))
    assert verify_quote(real.evidence, real.collateral, real.now, demanding(zero)).platform is Platform.SEV_SNP


def test_debugging_is_refused_from_the_bytes_too() -> None:
    """Behind dcap-qvl's own check, which no vector of ours reaches: no vendor signs a debug quote for a test."""
    sgx, tdx = bytearray(384), bytearray(584)
    sgx[48] = 5
    assert dcap._read_sgx(bytes(sgx))
    sgx[48] = 7
    with pytest.raises(EnclaveRejected, match="attributes") as caught:
        dcap._read_sgx(bytes(sgx))
    assert caught.value.reason is Reason.DEBUG
    sgx[48] = 4
    with pytest.raises(EnclaveRejected, match="initialised"):
        dcap._read_sgx(bytes(sgx))
    assert dcap._read_tdx(bytes(tdx))
    for bit in range(8):
        tdx[120] = 1 << bit
        with pytest.raises(EnclaveRejected) as caught:
            dcap._read_tdx(bytes(tdx))
        assert caught.value.reason is Reason.DEBUG


# ---- roots ----------------------------------------------------------------------------------------------------------------------------
def test_another_root_is_refused(vector: Vector) -> None:
    roots = Roots(*["00" * 32] * 5)
    assert refused(vector.evidence, vector.collateral, vector.now, dataclasses.replace(vector.policy, roots=roots)) is Reason.ROOT


@pytest.mark.parametrize("field", ["pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain"])
def test_a_root_in_the_collateral_is_the_pinned_one(field: str) -> None:
    real = REAL["tdx"]
    documents = json.loads(real.collateral)
    first, _ = documents[field].split("-----END CERTIFICATE-----\n", 1)
    intermediate = first + "-----END CERTIFICATE-----\n"
    for chain in (intermediate + intermediate, intermediate, documents[field] + intermediate, ""):
        mutated = json.dumps(documents | {field: chain}).encode()
        assert refused(real.evidence, mutated, real.now, real.policy) in (Reason.ROOT, Reason.CERTIFICATE, Reason.MALFORMED)


# ---- lies near the truth --------------------------------------------------------------------------------------------------------------
def test_a_sample_of_mutations_is_refused(vector: Vector) -> None:
    reasons = {require_refused(mutation) for mutation in mutations(vector, 150)}
    assert {Reason.SIGNATURE, Reason.TIME, Reason.MALFORMED} <= reasons


@pytest.mark.slow
def test_a_thousand_mutations_are_refused(vector: Vector) -> None:
    assert sum(1 for mutation in mutations(vector, 1_100, seed=7) if require_refused(mutation)) >= 1_000


@pytest.mark.slow
def test_every_single_bit_counts(vector: Vector) -> None:
    """All of them: no byte of evidence can change without a refusal."""
    for bit in range(vector.length * 8):
        require_refused((f"bit {bit}", lambda bit=bit: vector.verify(evidence=flip(vector.evidence, bit))))


def test_zeros_behind_a_quote_are_no_part_of_it() -> None:
    real = REAL["tdx"]
    report = real.verify()
    for size in (real.length, real.length + 1, len(real.evidence), len(real.evidence) + 100):
        assert real.verify(evidence=real.evidence[: real.length].ljust(size, b"\0")) == report
    assert refused(real.evidence[: real.length - 1], real.collateral, real.now, real.policy) is Reason.MALFORMED


def test_collateral_of_others_is_refused() -> None:
    for one in REAL.values():
        for other in REAL.values():
            if one.collateral != other.collateral:
                refused(one.evidence, other.collateral, one.now, one.policy)


def test_swapped_certificates_are_refused() -> None:
    """Every order but the right one, every one left out, every one twice, and other chains' certificates between."""
    real = REAL["snp"]
    vcek, (ask, ark) = vcek_pem(), _split(read("snp_ask_ark_milan.pem"))
    foreign = json.loads(REAL["tdx"].collateral)["pck_crl_issuer_chain"].encode()
    intel, intel_root = _split(foreign)
    certificates = {"vcek": vcek, "ask": ask, "ark": ark, "intel": intel, "intel_root": intel_root}
    tried = 0
    for a in certificates.values():
        for b in certificates.values():
            for c in ([], *[[c] for c in certificates.values()]):
                chain = b"".join([a, b, *c])
                if chain != real.collateral:
                    refused(real.evidence, chain, real.now, real.policy)
                    tried += 1
    assert tried == 149


def test_unused_bits_of_a_certificates_signature_are_refused() -> None:
    """Bit 7010 is the count of them in one whose signature ends with a zero bit: it parses and verifies with either."""
    real = REAL["tdx"]
    assert refused(real.evidence, flip(real.collateral, 7010), real.now, real.policy) is Reason.MALFORMED


def test_a_revocation_list_of_another_version_is_refused() -> None:
    real = REAL["tdx"]
    documents = json.loads(real.collateral)
    for name in ("root_ca_crl", "pck_crl"):
        at = documents[name].index("020101") + 4
        changed = documents[name][:at] + "11" + documents[name][at + 2 :]
        assert refused(real.evidence, json.dumps(documents | {name: changed}).encode(), real.now, real.policy) is Reason.COLLATERAL


def test_whitespace_around_certificates_is_refused() -> None:
    real = REAL["snp"]
    for changed in (b"\n" + real.collateral, real.collateral + b"\n", real.collateral.replace(b"\n", b"\r\n"), b"x" + real.collateral):
        assert refused(real.evidence, changed, real.now, real.policy) is Reason.MALFORMED


def test_swapped_fields_of_the_collateral_are_refused() -> None:
    real = REAL["tdx"]
    documents, others = json.loads(real.collateral), json.loads(REAL["sgx"].collateral)
    for name in documents:
        if documents[name] != others[name]:
            refused(real.evidence, json.dumps(documents | {name: others[name]}).encode(), real.now, real.policy)
        refused(real.evidence, json.dumps({k: v for k, v in documents.items() if k != name}).encode(), real.now, real.policy)
        refused(real.evidence, json.dumps(documents | {name: None}).encode(), real.now, real.policy)
    for name in ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"):
        refused(real.evidence, json.dumps(documents | {name: documents[name].upper()}).encode(), real.now, real.policy)
    assert refused(real.evidence, json.dumps(documents | {"more": ""}).encode(), real.now, real.policy) is Reason.COLLATERAL
    twice = real.collateral.rstrip().removesuffix(b"}") + b', "tcb_info": "{}"}'
    assert refused(real.evidence, twice, real.now, real.policy) is Reason.COLLATERAL
    assert refused(real.evidence, b"[" * 100_000, real.now, real.policy) is Reason.COLLATERAL


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_collateral_in_another_encoding_is_refused(encoding: str) -> None:
    real = REAL["tdx"]
    assert refused(real.evidence, real.collateral.decode().encode(encoding), real.now, real.policy) is Reason.COLLATERAL


PARTS = {"sgx": (48, 432, 436, 500, 564, 948, 1012), "tdx": (48, 632, 636, 700, 764), "snp": (56, 384, 416, 672, 744), "nitro": (8, 4384)}
"""Where the parts of the evidence begin: header, body, length, signature, key, and what certifies it."""


@pytest.mark.parametrize("name", PARTS)
def test_parts_that_are_left_out_doubled_or_swapped_are_refused(name: str) -> None:
    vector = REAL[name]
    data, cuts = vector.evidence[: vector.length], (0, *PARTS[name], vector.length)
    parts = [data[start:end] for start, end in pairwise(cuts)]
    lies = [b"".join(parts[:at] + parts[at + 1 :]) for at in range(len(parts))]
    lies += [b"".join(parts[: at + 1] + parts[at:]) for at in range(len(parts))]
    lies += [b"".join([*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]]) for at in range(len(parts) - 1)]
    lies += [data[:at] + length + data[at + 4 :] for at in cuts[:-1] for length in (b"\xff" * 4, b"\xff\xff\xff\x7f")]
    for lie in lies:
        refused(lie, vector.collateral, vector.now, vector.policy)


BOMBS = {
    "arrays in arrays": b"\x81" * 60_000,
    "maps in maps": b"\xa1\x00" * 30_000,
    "maps without end": b"\xbf" * 60_000,
    "an array of 2^64 - 1": b"\x9b" + b"\xff" * 8 + bytes(50_000),
    "a map of 2^64 - 1": b"\xbb" + b"\xff" * 8 + bytes(50_000),
    "bytes of 2^64 - 1": b"\x5b" + b"\xff" * 8 + bytes(50_000),
    "huge counts in each other": b"\x9a\x7f\xff\xff\xff" * 4 + b"\x80" * 50_000,
    "bignums": b"\xc2\x59\xff\xff" + b"\xff" * 60_000,
    "shared references": b"\xd8\x1c\x81\xd8\x1d\x00" * 9_000,
    "arrays of open length": b"\x9f" * 60_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_payload_that_is_a_bomb_is_refused_at_once(name: str) -> None:
    vector, began = REAL["nitro"], time.monotonic()
    bomb = PREFIX + len(BOMBS[name]).to_bytes(2, "big") + BOMBS[name] + vector.evidence[-98:]
    assert refused(bomb, b"", vector.now, vector.policy) is Reason.MALFORMED
    assert time.monotonic() - began < 1


def test_the_twin_of_a_signature_is_another_quote() -> None:
    """(r, n - s) verifies as (r, s) does: evidence is no name for what it says, so nothing may rely on its digest being seen once."""
    real = REAL["snp"]
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
    s = int.from_bytes(real.evidence[0x2E8:0x318], "little")
    twin = real.evidence[:0x2E8] + (order - s).to_bytes(48, "little") + real.evidence[0x318:]
    mine, its = real.verify(), real.verify(evidence=twin)
    assert mine.quote_digest != its.quote_digest
    assert dataclasses.replace(mine, quote_digest=its.quote_digest) == its


# ---- the edge -------------------------------------------------------------------------------------------------------------------------
def test_what_is_no_evidence_at_all_is_refused_with_a_name() -> None:
    for evidence in (
        b"",
        b"\0",
        b"\3\0",
        b"\4\0\2\0",
        b"\4\0\2\0\x81\0\0\0",
        b"\5\0\2\0\x81\0\0\0" + bytes(60),
        b"\2\0\0\0",
        b"hello" * 200,
    ):
        assert refused(evidence, b"", 1_750_000_000, STRICT) is Reason.MALFORMED


def test_nothing_is_read_beyond_a_limit(vector: Vector) -> None:
    assert refused(vector.evidence + bytes(MAX_EVIDENCE_BYTES), vector.collateral, vector.now, vector.policy) is Reason.MALFORMED
    assert refused(vector.evidence, bytes(MAX_COLLATERAL_BYTES + 1), vector.now, vector.policy) is Reason.MALFORMED


def test_registers_that_are_not_a_platforms_are_our_bug() -> None:
    with pytest.raises(InvariantBroken):
        compute_measurement(Platform.TDX, (("mrtd", bytes(48)), ("rtmr0", bytes(48)), ("rtmr1", bytes(48))))


def test_the_vectors_licences_are_beside_them() -> None:
    readme = (Path(__file__).parents[1] / "vectors" / "tee" / "README.md").read_text()
    for path in (Path(__file__).parents[1] / "vectors" / "tee").iterdir():
        assert path.name in readme or path.name == "README.md", path.name


def _split(pem: bytes) -> list[bytes]:
    end = b"-----END CERTIFICATE-----\n"
    return [part + end for part in pem.split(end) if part]
