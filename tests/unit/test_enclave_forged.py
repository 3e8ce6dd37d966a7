"""Lies that are well signed: chains, Nitro documents and SEV-SNP reports of a vendor of our own, each wrong in one thing."""

from __future__ import annotations

import dataclasses
from typing import Any

import cbor2
import pytest
from cryptography import x509

from oracle.attest.enclave import EnclavePolicy, EnclaveRejected, EnclaveReport, Platform, Reason, Relaxation, verify_quote
from oracle.attest.enclave.report import Roots, SnpMinimum, SnpTcb
from tests.unit.enclave_forger import (
    CHIP_ID,
    DAY,
    NOW,
    Certificate,
    PrivateKey,
    SnpReport,
    digest_of,
    key,
    nitro_chain,
    nitro_document,
    nitro_fields,
    pem,
    revocation_list,
    snp_chain,
    snp_extensions,
)


def reason_of(evidence: bytes, collateral: bytes, policy: EnclavePolicy, now: int = NOW) -> Reason:
    with pytest.raises(EnclaveRejected) as caught:
        verify_quote(evidence, collateral, now, policy)
    return caught.value.reason


# ---- Nitro ----------------------------------------------------------------------------------------------------------------------------
def nitro_evidence(chain: list[Certificate] | None = None, signer: PrivateKey | None = None, **changed: Any) -> tuple[bytes, EnclavePolicy]:
    chain = chain or nitro_chain()
    built = [certificate.build() for certificate in chain]
    payload = cbor2.dumps(nitro_fields(built, **changed))
    return nitro_document(payload, signer or chain[-1].key), EnclavePolicy(roots=Roots(aws=digest_of(built[0])))


def test_an_honest_document_of_ours_is_accepted() -> None:
    evidence, policy = nitro_evidence()
    report = verify_quote(evidence, b"", NOW, policy)
    assert (report.platform, report.expires_at) == (Platform.NITRO, NOW + DAY + 1)
    assert report.report_data == b"u" * 64


def test_a_signed_image_is_measured_with_its_signer() -> None:
    def measured(pcr8: bytes) -> EnclaveReport:
        pcrs = {0: b"a" * 48, 1: b"b" * 48, 2: b"c" * 48, 8: pcr8}
        evidence, policy = nitro_evidence(pcrs=pcrs)
        return verify_quote(evidence, b"", NOW, policy)

    assert [name for name, _ in measured(b"d" * 48).measurements] == ["pcr0", "pcr1", "pcr2", "pcr8"]
    assert measured(b"d" * 48).measurement != measured(b"e" * 48).measurement != measured(bytes(48)).measurement


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_a_debugged_enclave_is_refused(zero: int) -> None:
    pcrs = {index: bytes(48) if index == zero else b"x" * 48 for index in range(3)}
    evidence, policy = nitro_evidence(pcrs=pcrs)
    assert reason_of(evidence, b"", policy) is Reason.DEBUG
    relaxed = dataclasses.replace(policy, relaxations=frozenset({Relaxation.DEBUG}))
    assert verify_quote(evidence, b"", NOW, relaxed).is_debug


def test_times_of_a_document() -> None:
    for ahead, is_fine in ((0, True), (60, True), (61, False), (DAY, False)):
        evidence, policy = nitro_evidence(timestamp=(NOW + ahead) * 1000)
        if is_fine:
            assert verify_quote(evidence, b"", NOW, policy)
        else:
            assert reason_of(evidence, b"", policy) is Reason.TIME
    evidence, policy = nitro_evidence()
    assert verify_quote(evidence, b"", NOW + DAY, policy)
    for now in (NOW + DAY + 1, NOW - DAY - 1):
        assert reason_of(evidence, b"", policy, now) is Reason.TIME


def test_a_document_signed_by_another_key_is_refused() -> None:
    evidence, policy = nitro_evidence(signer=key("somebody"))
    assert reason_of(evidence, b"", policy) is Reason.SIGNATURE
    evidence, policy = nitro_evidence(signer=nitro_chain()[1].key)
    assert reason_of(evidence, b"", policy) is Reason.SIGNATURE


def test_a_leaf_on_another_curve_is_refused() -> None:
    root, authority, leaf = nitro_chain()
    small = dataclasses.replace(leaf, key=key("small", "p256"))
    evidence, policy = nitro_evidence([root, authority, small])
    assert reason_of(evidence, b"", policy) is Reason.CERTIFICATE


@pytest.mark.parametrize(
    "changed",
    [
        {"digest": "SHA256"},
        {"digest": "left out"},
        {"timestamp": "1"},
        {"timestamp": None},
        {"pcrs": {0: b"a" * 48, 1: b"a" * 48}},
        {"pcrs": {0: b"a" * 32, 1: b"a" * 48, 2: b"a" * 48}},
        {"pcrs": {0: b"a" * 48, 1: b"a" * 48, 2: b"a" * 48, 32: b"a" * 48}},
        {"pcrs": {0: b"a" * 48, 1: b"a" * 48, 2: b"a" * 48, "8": b"a" * 48}},
        {"pcrs": []},
        {"cabundle": {}},
        {"cabundle": ["x"]},
        {"certificate": None},
        {"certificate": b"x"},
        {"user_data": "text"},
        {"user_data": 5},
        {"more": 1},
        {"nonce": True},
        {"nonce": 1.5},
        {"nonce": cbor2.CBORTag(2, b"x")},
        {"nonce": [[[[[b"x"]]]]]},
    ],
    ids=str,
)
def test_fields_of_another_shape_are_refused(changed: dict[str, Any]) -> None:
    evidence, policy = nitro_evidence(**changed)
    assert reason_of(evidence, b"", policy) is Reason.MALFORMED


def test_payloads_that_are_no_document_are_refused() -> None:
    _, policy = nitro_evidence()
    whole = cbor2.dumps(nitro_fields([c.build() for c in nitro_chain()]))
    lies = [
        whole + b"\0",
        whole[:-1],
        cbor2.dumps(["a" * 300]),
        b"\x9b" + b"\xff" * 8 + bytes(300),  # an array of 2^64 - 1
        b"\x5b" + b"\xff" * 8 + bytes(300),  # a string of 2^64 - 1
        b"\x81" * 300,
        b"\xbf" * 300,
        b"\xbf" + whole[1:],  # an open map that is not closed
        b"\xc2" + bytes(300),
        b"\x1c" + bytes(300),
        b"\xff" * 300,
    ]
    for payload in lies:
        assert reason_of(nitro_document(payload, key("nitro leaf")), b"", policy) is Reason.MALFORMED, payload[:16].hex()


# ---- chains, through Nitro ---------------------------------------------------------------------------------------------------------------
def chain_reason(chain: list[Certificate], now: int = NOW) -> Reason:
    evidence, policy = nitro_evidence(chain)
    return reason_of(evidence, b"", policy, now)


def test_a_certificate_that_its_issuer_did_not_sign() -> None:
    root, authority, leaf = nitro_chain()
    for position in (1, 2):
        chain = [root, authority, leaf]
        chain[position] = dataclasses.replace(chain[position], signer=key("mallory"))
        assert chain_reason(chain) is Reason.CERTIFICATE
    assert chain_reason([root, authority, dataclasses.replace(leaf, issued_by="somebody else")]) is Reason.CERTIFICATE


def test_a_root_that_did_not_sign_itself_is_refused_although_pinned() -> None:
    root, authority, leaf = nitro_chain()
    assert chain_reason([dataclasses.replace(root, signer=key("mallory")), authority, leaf]) is Reason.CERTIFICATE


def test_who_is_no_ca_certifies_nobody() -> None:
    root, authority, leaf = nitro_chain()
    rogue = Certificate("rogue", key("rogue"), leaf, is_ca=False)
    assert chain_reason([root, authority, leaf, rogue]) is Reason.CERTIFICATE
    assert chain_reason([root, dataclasses.replace(authority, may_sign=False), leaf]) is Reason.CERTIFICATE
    assert chain_reason([root, authority, dataclasses.replace(leaf, is_ca=True)]) is Reason.CERTIFICATE


def test_a_path_longer_than_a_ca_allows() -> None:
    root, authority, _ = nitro_chain()
    second = Certificate("second", key("second"), authority)
    chain = [root, authority, second, Certificate("leaf", key("nitro leaf"), second, is_ca=False)]
    assert chain_reason(chain) is Reason.CERTIFICATE
    wider = dataclasses.replace(authority, path_length=1)
    second = dataclasses.replace(second, issuer=wider)
    evidence, policy = nitro_evidence([root, wider, second, Certificate("leaf", key("nitro leaf"), second, is_ca=False)])
    assert verify_quote(evidence, b"", NOW, policy)


def test_a_critical_extension_that_nobody_here_understands() -> None:
    root, authority, leaf = nitro_chain()
    assert chain_reason([root, authority, dataclasses.replace(leaf, more=(("1.2.3.4", b"x", True),))]) is Reason.CERTIFICATE
    evidence, policy = nitro_evidence([root, authority, dataclasses.replace(leaf, more=(("1.2.3.4", b"x", False),))])
    assert verify_quote(evidence, b"", NOW, policy)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_each_certificates_validity_counts(position: int) -> None:
    for lie in ({"end": NOW - 1}, {"start": NOW + 1}):
        chain = nitro_chain()
        chain[position] = dataclasses.replace(chain[position], **lie)
        assert chain_reason(chain) is Reason.TIME
    chain = nitro_chain()
    chain[position] = dataclasses.replace(chain[position], end=NOW + 5)
    evidence, policy = nitro_evidence(chain)
    assert verify_quote(evidence, b"", NOW, policy).expires_at == NOW + 6


def test_chains_too_short_and_too_long() -> None:
    root, *_ = nitro_chain()
    assert chain_reason([root]) is Reason.CERTIFICATE
    chain = [Certificate("root", key("nitro root"))]
    for number in range(6):
        chain.append(Certificate(f"ca {number}", key(f"ca {number}"), chain[-1]))
    assert chain_reason([*chain, Certificate("leaf", key("nitro leaf"), chain[-1], is_ca=False)]) is Reason.CERTIFICATE


# ---- SEV-SNP --------------------------------------------------------------------------------------------------------------------------
MINIMUM = SnpMinimum(milan=SnpTcb(bootloader=3, tee=0, snp=20, microcode=209))


def snp_collateral(chain: list[Certificate], revoked: bytes | None = None) -> tuple[bytes, EnclavePolicy]:
    built: list[x509.Certificate] = [certificate.build() for certificate in chain]
    lists = revocation_list(chain[0]) if revoked is None else revoked
    return pem(*reversed(built)) + lists, EnclavePolicy(snp_minimum=MINIMUM, roots=Roots(amd_milan=digest_of(built[0])))


def snp_reason(report: SnpReport | None = None, chain: list[Certificate] | None = None, revoked: bytes | None = None) -> Reason:
    chain = chain or snp_chain()
    collateral, policy = snp_collateral(chain, revoked)
    return reason_of((report or SnpReport()).sign(chain[-1].key), collateral, policy)


def test_an_honest_report_of_ours_is_accepted_by_the_strict_policy() -> None:
    collateral, policy = snp_collateral(snp_chain())
    for version in (2, 3, 4, 5):
        report = verify_quote(SnpReport(version=version).sign(key("vcek")), collateral, NOW, policy)
        assert (report.platform, report.is_debug, report.expires_at) == (Platform.SEV_SNP, False, NOW + DAY)
        assert report.measurements[2] == ("policy", (1 << 17).to_bytes(8, "big"))


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"policy": 1 << 17 | 1 << 19}, Reason.DEBUG),
        ({"policy": 1 << 17 | 1 << 18}, Reason.PLATFORM),
        ({"policy": 1 << 17 | 1 << 16}, Reason.PLATFORM),
        ({"policy": 0}, Reason.MALFORMED),
        ({"vmpl": 1}, Reason.PLATFORM),
        ({"algorithm": 0}, Reason.MALFORMED),
        ({"flags": 2}, Reason.PLATFORM),  # the chip's key is masked
        ({"flags": 4}, Reason.PLATFORM),  # VLEK
        ({"flags": 28}, Reason.PLATFORM),  # signed by nothing
        ({"chip_id": bytes(64)}, Reason.CERTIFICATE),
        ({"chip_id": CHIP_ID[::-1]}, Reason.CERTIFICATE),
        ({"tcb": (4, 0, 20, 209)}, Reason.TCB),
        ({"tcb": (3, 0, 21, 209)}, Reason.TCB),
        ({"current": (2, 0, 20, 209)}, Reason.TCB),
        ({"current": (3, 0, 20, 208)}, Reason.TCB),
    ],
    ids=str,
)
def test_what_a_report_says_is_judged(lie: dict[str, Any], reason: Reason) -> None:
    assert snp_reason(dataclasses.replace(SnpReport(), **lie)) is reason


def test_an_author_key_is_no_lie() -> None:
    collateral, policy = snp_collateral(snp_chain())
    assert verify_quote(SnpReport(flags=1).sign(key("vcek")), collateral, NOW, policy)


def test_a_chip_certified_below_the_minimum_is_refused() -> None:
    ark, ask, vcek = snp_chain()
    old = dataclasses.replace(vcek, more=snp_extensions(svn=(3, 0, 20, 208)))
    assert snp_reason(SnpReport(tcb=(3, 0, 20, 208), current=(3, 0, 20, 209)), [ark, ask, old]) is Reason.TCB


def test_a_certificate_of_another_chip_or_without_its_extensions() -> None:
    ark, ask, vcek = snp_chain()
    assert snp_reason(chain=[ark, ask, dataclasses.replace(vcek, more=snp_extensions(chip_id=bytes(64)))]) is Reason.CERTIFICATE
    assert snp_reason(chain=[ark, ask, dataclasses.replace(vcek, more=())]) is Reason.CERTIFICATE
    whole = snp_extensions()
    for missing in range(len(whole)):
        lie = dataclasses.replace(vcek, more=whole[:missing] + whole[missing + 1 :])
        assert snp_reason(chain=[ark, ask, lie]) is Reason.CERTIFICATE
    for der in (b"", b"\2\1\x80", b"\2\2\0\x03", b"\2\2\1\0", b"\4\1\3", b"\2\1\3\0"):
        lie = dataclasses.replace(vcek, more=((whole[0][0], der, False), *whole[1:]))
        assert snp_reason(chain=[ark, ask, lie]) is Reason.CERTIFICATE


def test_a_vcek_on_another_curve_is_refused() -> None:
    ark, ask, vcek = snp_chain()
    collateral, policy = snp_collateral([ark, ask, dataclasses.replace(vcek, key=key("small", "p256"))])
    assert reason_of(SnpReport().sign(key("vcek")), collateral, policy) is Reason.CERTIFICATE


def test_a_report_signed_by_another_chip_is_refused() -> None:
    collateral, policy = snp_collateral(snp_chain())
    assert reason_of(SnpReport().sign(key("another chip")), collateral, policy) is Reason.SIGNATURE


@pytest.mark.parametrize(("serials", "reason"), [((3,), Reason.REVOKED), ((2,), Reason.REVOKED), ((9,), None)])
def test_the_roots_list_revokes(serials: tuple[int, ...], reason: Reason | None) -> None:
    chain = snp_chain()
    collateral, policy = snp_collateral(chain, revocation_list(chain[0], serials))
    evidence = SnpReport().sign(key("vcek"))
    if reason is None:
        assert verify_quote(evidence, collateral, NOW, policy)
    else:
        assert reason_of(evidence, collateral, policy) is reason


def test_revocation_lists_that_are_not_the_roots_or_not_of_now() -> None:
    ark, ask, _ = snp_chain()
    mallory = dataclasses.replace(ark, key=key("mallory", "rsa"))
    assert snp_reason(revoked=revocation_list(ask)) is Reason.COLLATERAL
    assert snp_reason(revoked=revocation_list(mallory)) is Reason.COLLATERAL
    assert snp_reason(revoked=revocation_list(ark, end=NOW)) is Reason.TIME
    assert snp_reason(revoked=revocation_list(ark, start=NOW + 1)) is Reason.TIME
    assert snp_reason(revoked=revocation_list(ark) + b"\n") is Reason.MALFORMED
    assert snp_reason(revoked=revocation_list(ark) * 2) is Reason.MALFORMED
    assert snp_reason(revoked=b"-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----\n") is Reason.COLLATERAL
    assert snp_reason(revoked=b"") is Reason.COLLATERAL


def test_a_list_that_is_there_counts_also_where_none_is_demanded() -> None:
    chain = snp_chain()
    collateral, policy = snp_collateral(chain, revocation_list(chain[0], (3,)))
    relaxed = dataclasses.replace(policy, relaxations=frozenset({Relaxation.NO_REVOCATION_LIST}))
    assert reason_of(SnpReport().sign(key("vcek")), collateral, relaxed) is Reason.REVOKED
