"""What is posted on chain about Intel's platforms, taken apart; and a vendor of our own that the verifier off chain believes."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from oracle.attest.enclave import EnclavePolicy, EnclaveRejected, Platform, Reason, Relaxation, verify_quote
from oracle.attest.enclave.intel import INTEL_ROOT, RELAXATION_BITS, relaxation_bits, take_apart
from oracle.attest.enclave.report import Roots
from oracle.pipeline.direct import measure
from tests.unit.dcap_vendor import Machine, Vendor
from tests.unit.enclave_vectors import read, vectors

NOW = 1_800_000_000


def policy_of(vendor: Vendor, *relaxations: Relaxation) -> EnclavePolicy:
    return EnclavePolicy(frozenset(relaxations), roots=Roots(intel=hashlib.sha256(vendor.root_der).hexdigest()))


def test_the_root_is_the_pinned_one() -> None:
    assert hashlib.sha256(INTEL_ROOT).hexdigest() == Roots().intel


@pytest.mark.parametrize(("name", "is_tdx", "fmspc"), [("sgx", False, "00a067110000"), ("tdx", True, "b0c06f000000")])
def test_real_collateral_is_taken_apart(name: str, is_tdx: bool, fmspc: str) -> None:
    taken = take_apart(read(f"{name}_quote_collateral.json"))
    documents = json.loads(read(f"{name}_quote_collateral.json"))
    assert (taken.tcb_info.is_tdx, taken.qe_identity.is_tdx, taken.tcb_info.fmspc.hex()) == (is_tdx, is_tdx, fmspc)
    assert (taken.tcb_info.evaluation, taken.qe_identity.fmspc) == (17, b"")
    assert taken.tcb_info.text == documents["tcb_info"].encode()
    assert taken.root_list.this_update == 1742469717
    assert taken.tcb_info.signer == taken.qe_identity.signer
    assert read(f"{name}_quote").rstrip(b"\0").endswith(taken.authority)


@pytest.mark.parametrize("name", ["tcb_info", "qe_identity", "root_ca_crl", "pck_crl", "tcb_info_issuer_chain"])
def test_collateral_that_is_none_is_refused_by_name(name: str) -> None:
    documents = json.loads(read("tdx_quote_collateral.json"))
    for lie in ("[]", "00", '{"id":"TDX"}'):
        with pytest.raises(EnclaveRejected, match=name):
            take_apart(json.dumps(documents | {name: lie}).encode())


def test_a_quote_says_what_it_runs() -> None:
    real = vectors()["tdx"]
    found = measure(real.evidence)
    assert (found.platform, found.measurement) == (Platform.TDX, real.verify().measurement)
    with pytest.raises(EnclaveRejected):
        measure(read("nitro_attestation.bin"))


def test_relaxations_are_bits() -> None:
    assert relaxation_bits(frozenset()) == 0
    assert relaxation_bits(frozenset(RELAXATION_BITS)) == 63
    with pytest.raises(KeyError):
        relaxation_bits(frozenset({Relaxation.SIMULATED}))


@pytest.mark.parametrize("is_tdx", [False, True])
def test_our_vendor_is_believed_off_chain_under_its_own_root_alone(is_tdx: bool) -> None:
    vendor = Vendor(NOW)
    quote, collateral = vendor.quote(is_tdx, b"d" * 64), vendor.collateral(is_tdx)
    report = verify_quote(quote, collateral, NOW, policy_of(vendor))
    assert (report.report_data, report.tcb_status) == (b"d" * 64, "UpToDate")
    assert report.measurement == measure(quote).measurement
    with pytest.raises(EnclaveRejected) as caught:
        verify_quote(quote, collateral, NOW, EnclavePolicy())
    assert caught.value.reason is Reason.ROOT


def test_our_vendors_lies_are_told_apart_off_chain() -> None:
    """A revoked certificate is, in the words of dcap-qvl, a chain that does not verify."""
    vendor = Vendor(NOW)
    lies = {
        Reason.DEBUG: (vendor.quote(True, bytes(64), debug=True), vendor.collateral(True)),
        Reason.CERTIFICATE: (vendor.quote(True, bytes(64)), vendor.later(revoked=(14,)).collateral(True)),
        Reason.TCB: (vendor.quote(True, bytes(64)), vendor.later(statuses=("SWHardeningNeeded", "OutOfDate")).collateral(True)),
    }
    smt = dataclasses.replace(vendor, machine=Machine(flags=(False, False, True)))
    lies[Reason.PLATFORM] = (smt.quote(True, bytes(64)), smt.collateral(True))
    for reason, (quote, collateral) in lies.items():
        with pytest.raises(EnclaveRejected) as caught:
            verify_quote(quote, collateral, NOW, policy_of(vendor))
        assert caught.value.reason is reason
    verify_quote(*lies[Reason.PLATFORM], NOW, policy_of(vendor, Relaxation.SMT))
