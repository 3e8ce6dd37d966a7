"""What an operator signs about somebody's enclave: nothing but what its policy names, and nothing made for something else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data

from oracle.attest.enclave import EnclavePolicy, EnclaveRejected, Platform, Reason, Relaxation, verify_quote
from oracle.attest.enclave.accept import AcceptancePolicy, accept_quote, load_policy, parse_policy
from oracle.attest.enclave.binding import (
    ATTESTATION_TYPE,
    EnclaveAttestation,
    Registration,
    compute_attestation_digest,
    compute_report_data,
    compute_revocation_digest,
    compute_runtime_digest,
)
from oracle.attest.enclave.report import SnpMinimum, SnpTcb, compute_measurement
from oracle.attest.enclave.simulated import QUOTE_BYTES, SimulatedEnclave
from oracle.encoding import keccak256, pack_policy, to_hex, type_hash, unpack_policy
from oracle.errors import ConfigRejected, InvariantBroken, MalformedInput, PolicyRejected
from oracle.records import Address, Policy, Runtime
from tests.unit.enclave_forger import NOW, SnpReport, digest_of, key, pem, revocation_list, snp_chain
from tests.unit.enclave_vectors import flip

ENCLAVE = SimulatedEnclave.generate()
IMAGE = keccak256(b"the image")
LIFETIME = 7 * 86_400


def address(number: int) -> Address:
    return Address(Account.from_key(number.to_bytes(32, "big")).address)


RUNTIME = compute_runtime_digest(Runtime("onnxruntime", "1.31.0", "CPUExecutionProvider", "all"))
REGISTRATION = Registration(31337, address(1), address(2), address(3), RUNTIME, keccak256(b"nonce"))
SIMULATED = EnclavePolicy(frozenset({Relaxation.SIMULATED}), simulated_roots=frozenset({ENCLAVE.root_digest}))
POLICY = AcceptancePolicy(
    SIMULATED,
    frozenset({(Platform.SIMULATED, compute_measurement(Platform.SIMULATED, (("image", IMAGE),)))}),
    frozenset({RUNTIME}),
    LIFETIME,
)


def quote(image: bytes = IMAGE, registration: Registration = REGISTRATION, start: int = NOW, end: int = NOW + 30 * 86_400) -> bytes:
    return ENCLAVE.quote(image, compute_report_data(registration), start, end)


def reason(evidence: bytes, registration: Registration = REGISTRATION, policy: AcceptancePolicy = POLICY, now: int = NOW) -> Reason:
    with pytest.raises(EnclaveRejected) as caught:
        accept_quote(evidence, b"", now, registration, policy)
    return caught.value.reason


# ---- binding ---------------------------------------------------------------------------------------------------------------------------
def test_report_data_is_what_the_specification_says() -> None:
    r = REGISTRATION
    values = [keccak256(b"affidavit.enclave.report-data.v1"), r.chain_id, r.registry, r.operator, r.key, r.runtime_digest, r.nonce]
    encoded = encode(["bytes32", "uint256", "address", "address", "address", "bytes32", "bytes32"], values)
    assert compute_report_data(r) == keccak256(encoded) + bytes(32)


def test_an_honest_quote_is_accepted() -> None:
    attestation = accept_quote(quote(), b"", NOW, REGISTRATION, POLICY)
    assert attestation.platform is Platform.SIMULATED
    assert (attestation.key, attestation.operator, attestation.nonce) == (REGISTRATION.key, REGISTRATION.operator, REGISTRATION.nonce)
    assert attestation.expires_at == NOW + LIFETIME
    assert attestation.quote_digest == keccak256(quote())


def test_nothing_lasts_longer_than_its_evidence() -> None:
    short = quote(end=NOW + 100)
    assert accept_quote(short, b"", NOW, REGISTRATION, POLICY).expires_at == NOW + 100


def test_who_attests_later_is_given_the_firsts_expiry() -> None:
    first = accept_quote(quote(), b"", NOW, REGISTRATION, POLICY)
    later = accept_quote(quote(), b"", NOW + 60, REGISTRATION, POLICY, first.expires_at)
    assert later == first
    for expires_at in (NOW + LIFETIME + 1, NOW, NOW - 1, 0):
        with pytest.raises(EnclaveRejected) as caught:
            accept_quote(quote(), b"", NOW, REGISTRATION, POLICY, expires_at)
        assert caught.value.reason is Reason.TIME
    with pytest.raises(EnclaveRejected):
        accept_quote(quote(end=NOW + 100), b"", NOW, REGISTRATION, POLICY, NOW + 101)


@pytest.mark.parametrize(
    "other",
    [
        {"chain_id": 1},
        {"registry": address(9)},
        {"operator": address(9)},
        {"key": address(9)},
        {"nonce": keccak256(b"another nonce")},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_quote_made_for_something_else_is_refused(other: dict[str, Any]) -> None:
    made_for = dataclasses.replace(REGISTRATION, **other)
    assert reason(quote(registration=made_for)) is Reason.BINDING


def test_a_quote_made_for_another_runtime_is_refused() -> None:
    another = compute_runtime_digest(Runtime("onnxruntime", "1.31.1", "CPUExecutionProvider", "all"))
    both = dataclasses.replace(POLICY, runtimes=frozenset({RUNTIME, another}))
    made_for = dataclasses.replace(REGISTRATION, runtime_digest=another)
    assert reason(quote(registration=made_for), policy=both) is Reason.BINDING
    assert reason(quote(registration=made_for), made_for) is Reason.RUNTIME
    assert accept_quote(quote(registration=made_for), b"", NOW, made_for, both).runtime_digest == another


def test_report_data_is_compared_whole() -> None:
    expected = compute_report_data(REGISTRATION)
    for bit in range(0, 512, 7):
        assert reason(ENCLAVE.quote(IMAGE, flip(expected, bit), NOW, NOW + 100)) is Reason.BINDING


def test_runtimes_differ_in_every_part() -> None:
    parts = ("a", "b", "c", "d")
    digests = {compute_runtime_digest(Runtime(*(p + "x" * (i == at) for i, p in enumerate(parts)))) for at in range(5)}
    assert len(digests) == 5
    assert compute_runtime_digest(Runtime("ab", "", "", "")) != compute_runtime_digest(Runtime("a", "b", "", ""))


# ---- what may be signed -----------------------------------------------------------------------------------------------------------------
def test_another_image_is_refused() -> None:
    assert reason(quote(image=keccak256(b"another image"))) is Reason.MEASUREMENT
    assert reason(quote(), policy=dataclasses.replace(POLICY, measurements=frozenset())) is Reason.MEASUREMENT


def test_a_measurement_is_of_one_platform() -> None:
    (_, digest) = next(iter(POLICY.measurements))
    elsewhere = dataclasses.replace(POLICY, measurements=frozenset({(Platform.SGX, digest)}))
    assert reason(quote(), policy=elsewhere) is Reason.MEASUREMENT


def test_a_debugged_guest_is_never_signed_for_whatever_is_relaxed() -> None:
    ark, ask, vcek = (certificate.build() for certificate in snp_chain())
    report = SnpReport(policy=1 << 17 | 1 << 19, report_data=compute_report_data(REGISTRATION))
    evidence, collateral = report.sign(key("vcek")), pem(vcek, ask, ark) + revocation_list(snp_chain()[0])
    roots = dataclasses.replace(EnclavePolicy().roots, amd_milan=digest_of(ark))
    verification = EnclavePolicy(frozenset(Relaxation), snp_minimum=SnpMinimum(milan=SnpTcb(0, 0, 0, 0)), roots=roots)
    read = verify_quote(evidence, collateral, NOW, verification)
    policy = AcceptancePolicy(verification, frozenset({(read.platform, read.measurement)}), frozenset({RUNTIME}), LIFETIME)
    with pytest.raises(EnclaveRejected) as caught:
        accept_quote(evidence, collateral, NOW, REGISTRATION, policy)
    assert caught.value.reason is Reason.DEBUG


# ---- simulated --------------------------------------------------------------------------------------------------------------------------
def test_a_simulated_quote_is_refused_unless_named() -> None:
    def reason_under(policy: EnclavePolicy) -> Reason:
        with pytest.raises(EnclaveRejected) as caught:
            verify_quote(quote(), b"", NOW, policy)
        return caught.value.reason

    assert reason_under(EnclavePolicy()) is Reason.SIMULATED
    assert reason_under(EnclavePolicy(frozenset(Relaxation) - {Relaxation.SIMULATED})) is Reason.SIMULATED
    assert reason_under(dataclasses.replace(SIMULATED, relaxations=frozenset())) is Reason.SIMULATED
    assert reason_under(dataclasses.replace(SIMULATED, simulated_roots=frozenset())) is Reason.ROOT
    other = frozenset({SimulatedEnclave.generate().root_digest})
    assert reason_under(dataclasses.replace(SIMULATED, simulated_roots=other)) is Reason.ROOT


def test_a_simulated_report_says_so() -> None:
    report = verify_quote(quote(), b"", NOW, SIMULATED)
    assert (report.is_simulated, report.tcb_status, report.platform) == (True, "Simulated", 255)


def test_every_bit_of_a_simulated_quote_counts() -> None:
    whole = quote()
    assert len(whole) == QUOTE_BYTES
    for bit in range(len(whole) * 8):
        assert reason(flip(whole, bit)) in (Reason.MALFORMED, Reason.ROOT, Reason.SIGNATURE)
    for size in range(len(whole)):
        assert reason(whole[:size]) is Reason.MALFORMED
    assert reason(whole + b"\0") is Reason.MALFORMED


def test_times_of_a_simulated_quote() -> None:
    for now in (NOW - 1, NOW + 30 * 86_400, NOW + 40 * 86_400, 0):
        assert reason(quote(), now=now) is Reason.TIME
    assert accept_quote(quote(), b"", NOW + 30 * 86_400 - 1, REGISTRATION, POLICY)


def test_a_simulated_quote_takes_no_collateral() -> None:
    with pytest.raises(EnclaveRejected) as caught:
        accept_quote(quote(), b"x", NOW, REGISTRATION, POLICY)
    assert caught.value.reason is Reason.COLLATERAL


def test_a_root_is_kept_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "root"
    ENCLAVE.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SimulatedEnclave.load(path).root_digest == ENCLAVE.root_digest
    with pytest.raises(ConfigRejected, match="existing"):
        ENCLAVE.save(path)
    assert ENCLAVE.root_digest.hex() in repr(ENCLAVE)
    assert path.read_text().strip() not in repr(ENCLAVE)
    for text in ("zz", "00" * 31):
        path.write_text(text)
        with pytest.raises(ConfigRejected, match="32 bytes"):
            SimulatedEnclave.load(path)
    path.chmod(0o644)
    with pytest.raises(ConfigRejected, match="0600"):
        SimulatedEnclave.load(path)


def test_a_quote_of_other_sizes_is_our_bug() -> None:
    for image, data in ((b"x", bytes(64)), (bytes(32), bytes(63))):
        with pytest.raises(InvariantBroken):
            ENCLAVE.quote(image, data, NOW, NOW + 1)


# ---- EIP-712 ---------------------------------------------------------------------------------------------------------------------------
def test_the_attestation_is_eip_712() -> None:
    """Against eth-account's own encoder."""
    a = EnclaveAttestation(address(3), address(2), Platform.TDX, keccak256(b"m"), RUNTIME, keccak256(b"q"), 1_800_000_123, keccak256(b"n"))
    fields = [f.split(" ") for f in ATTESTATION_TYPE[len("EnclaveAttestation(") : -1].split(",")]
    typed = {
        "types": {"EnclaveAttestation": [{"type": t, "name": n} for t, n in fields]},
        "primaryType": "EnclaveAttestation",
        "domain": {"name": "AffidavitEnclaves", "version": "1", "chainId": 31337, "verifyingContract": address(1)},
        "message": {
            "key": a.key,
            "operator": a.operator,
            "platform": 2,
            "measurement": a.measurement,
            "runtimeDigest": a.runtime_digest,
            "quoteDigest": a.quote_digest,
            "expiresAt": a.expires_at,
            "nonce": a.nonce,
        },
    }
    encoded = encode_typed_data(domain_data=typed["domain"], message_types=typed["types"], message_data=typed["message"])
    expected = keccak256(b"\x19" + encoded.version + encoded.header + encoded.body)
    assert compute_attestation_digest(a, 31337, address(1)) == expected


def test_an_attestation_differs_in_every_field() -> None:
    a = EnclaveAttestation(address(3), address(2), Platform.TDX, keccak256(b"m"), RUNTIME, keccak256(b"q"), 5, keccak256(b"n"))
    changes: list[dict[str, Any]] = [{"key": address(4)}, {"operator": address(4)}, {"platform": Platform.SGX}, {"expires_at": 6}]
    changes += [{name: keccak256(b"x")} for name in ("measurement", "runtime_digest", "quote_digest", "nonce")]
    digests = {compute_attestation_digest(dataclasses.replace(a, **c), 1, address(1)) for c in [{}, *changes]}
    digests |= {compute_attestation_digest(a, 2, address(1)), compute_attestation_digest(a, 1, address(2))}
    assert len(digests) == 11


def test_a_revocation_is_another_statement() -> None:
    digests = {
        compute_revocation_digest(address(k), keccak256(why), chain, address(9)) for k in (1, 2) for why in (b"", b"x") for chain in (1, 2)
    }
    assert len(digests) == 8
    assert type_hash("EnclaveRevocation(address key,bytes32 reason)") not in digests


# ---- the policy's file ------------------------------------------------------------------------------------------------------------------
WHOLE: dict[str, Any] = {
    "measurements": [
        {"platform": "tdx", "mrtd": "0x" + "01" * 48, "rtmr0": "0x" + "02" * 48, "rtmr1": "0x" + "03" * 48, "rtmr2": "0x" + "04" * 48},
        {"platform": "nitro", "pcr0": "0x" + "01" * 48, "pcr1": "0x" + "02" * 48, "pcr2": "0x" + "03" * 48},
        {"platform": "simulated", "image": to_hex(IMAGE)},
    ],
    "runtimes": [to_hex(RUNTIME)],
    "lifetime_seconds": LIFETIME,
    "relaxations": ["tcb.sw-hardening-needed", "simulated"],
    "rejected_advisories": ["INTEL-SA-00837"],
    "snp_minimum": {
        "milan": {"bootloader": 3, "tee": 0, "snp": 20, "microcode": 209},
        "turin": {"fmc": 1, "bootloader": 3, "tee": 2, "snp": 6, "microcode": 117},
    },
    "simulated_roots": [to_hex(ENCLAVE.root_digest)],
}


def test_a_policys_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(WHOLE))
    policy = load_policy(path)
    assert policy.verification.relaxations == {Relaxation.SW_HARDENING, Relaxation.SIMULATED}
    assert policy.verification.snp_minimum == SnpMinimum(milan=SnpTcb(3, 0, 20, 209), turin=SnpTcb(3, 2, 6, 117, fmc=1))
    assert policy.verification.rejected_advisories == {"INTEL-SA-00837"}
    tdx = keccak256(b"".join(bytes([n]) * 48 for n in (1, 2, 3, 4)))
    assert (Platform.TDX, tdx) in policy.measurements
    assert len(policy.measurements) == 3
    assert accept_quote(quote(), b"", NOW, REGISTRATION, policy)


def test_the_shortest_policy_is_strict() -> None:
    policy = parse_policy({"measurements": [], "runtimes": [], "lifetime_seconds": 1})
    assert policy.verification == EnclavePolicy()


@pytest.mark.parametrize(
    "change",
    [
        {"measurements": [{"platform": "tdx", "mrtd": "0x" + "01" * 48, "rtmr3": "0x" + "02" * 48}]},
        {"measurements": [{"platform": "tdx", "mrtd": "0x" + "01" * 48, "rtmr0": "0x" + "02" * 48, "rtmr1": "0x" + "03" * 48}]},
        {"measurements": [{"platform": "sgx", "mrenclave": "0x" + "01" * 32}]},
        {"measurements": [{"platform": "simulated", "image": "0x" + "01" * 31}]},
        {"measurements": [{"platform": "arm", "image": "0x" + "01" * 32}]},
        {"measurements": ["x"]},
        {"measurements": {}},
        {"runtimes": ["0x01"]},
        {"runtimes": None},
        {"lifetime_seconds": 0},
        {"lifetime_seconds": 30 * 86_400 + 1},
        {"lifetime_seconds": "soon"},
        {"relaxations": ["simulated", "everything"]},
        {"relaxations": ["tcb.out-of-date", "simulated"]},
        {"relaxations": [5]},
        {"relaxations": []},  # with simulated roots
        {"simulated_roots": []},  # with the relaxation
        {"snp_minimum": {"bootloader": 3, "tee": 0, "snp": 20, "microcode": 1}},  # of which generation?
        {"snp_minimum": {"milan": {"bootloader": 3, "tee": 0, "snp": 20}}},
        {"snp_minimum": {"milan": {"bootloader": 256, "tee": 0, "snp": 20, "microcode": 1}}},
        {"snp_minimum": {"genoa": {"fmc": 0, "bootloader": 3, "tee": 0, "snp": 20, "microcode": 1}}},
        {"snp_minimum": {"turin": {"bootloader": 3, "tee": 0, "snp": 20, "microcode": 1}}},
        {"snp_minimum": {"venice": {"bootloader": 3, "tee": 0, "snp": 20, "microcode": 1}}},
        {"snp_minimum": {"turin": None}},
        {"snp_minimum": None},
        {"rejected_advisories": [1]},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_policy_that_says_less_or_other_than_it_should_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedInput):
        parse_policy(WHOLE | change)


@pytest.mark.parametrize("name", ["measurements", "runtimes", "lifetime_seconds"])
def test_a_policy_without_what_it_needs_is_refused(name: str) -> None:
    with pytest.raises(MalformedInput):
        parse_policy({k: v for k, v in WHOLE.items() if k != name})


def test_a_policys_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigRejected, match="policy"):
        load_policy(tmp_path / "none")
    for text in ("", "{", "[]", "[" * 100_000):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(ConfigRejected, match="bad"):
            load_policy(tmp_path / "bad")


# ---- the consumer's word ----------------------------------------------------------------------------------------------------------------
def test_a_policy_names_simulated_enclaves_only_with_an_enclave() -> None:
    assert pack_policy(Policy(2, enclave=True)).hex()[:6] == "010202"
    assert pack_policy(Policy(2, enclave=True, simulated=True)).hex()[:6] == "010206"
    assert unpack_policy(bytes([1, 2, 6]) + bytes(29)) == Policy(2, enclave=True, simulated=True)
    with pytest.raises(PolicyRejected):
        pack_policy(Policy(2, simulated=True))
    for flags in (4, 5, 8, 14):
        with pytest.raises(PolicyRejected):
            unpack_policy(bytes([1, 2, flags]) + bytes(29))
