"""Quotes that the chain verifies itself: a vendor of our own in Intel's place, from the collateral to the registered key, by commands."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from oracle.attest.enclave import EnclavePolicy, EnclaveRejected, Platform, Relaxation, verify_quote
from oracle.attest.enclave.binding import MeasurementDecision, compute_decision_digest
from oracle.attest.enclave.intel import relaxation_bits, take_apart
from oracle.attest.enclave.report import Roots
from oracle.attest.keys import LIGHT_SCRYPT_N, write_keystore
from oracle.attest.sign import AccountSigner
from oracle.encoding import keccak256, parse_hex, to_hex
from oracle.errors import ConfigRejected
from oracle.pipeline import direct
from oracle.pipeline.deploy import create_consumer
from oracle.pipeline.session import Session
from oracle.records import Address, Bytes32
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import Deployment, load_deployment, write_deployment
from oracle.relay.failures import CallReverted
from tests.chain.conftest import World, account
from tests.unit.cli_runner import Cli
from tests.unit.dcap_vendor import Machine, Vendor
from tests.unit.enclave_vectors import flip

RUNTIME = "onnxruntime,1.31.0,CPUExecutionProvider,all"
Run = Callable[..., Any]


def key_of(index: int) -> Address:
    return Address(Account.from_key(keccak256(b"direct key %d" % index)).address)


@pytest.fixture
def vendor(world: World) -> Vendor:
    return Vendor(world.now() - 60)


def deploy_for(world: World, vendor: Vendor, *relaxations: Relaxation) -> Deployment:
    """The world's deployment, but for a registry that believes `vendor` in Intel's place, and that no verifier asks yet."""
    sender, d = world.sender(0), world.deployment
    certificates = create_consumer(sender, "DcapCertificates", vendor.root_der)
    collateral = create_consumer(sender, "DcapCollateral", certificates)
    verifier = create_consumer(sender, "DcapVerifier", collateral, relaxation_bits(frozenset(relaxations)))
    registry = create_consumer(sender, "EnclaveRegistry", d.operator_registry, d.quorum_verifier, 2, verifier)
    dcap = {"dcap_certificates": certificates, "dcap_collateral": collateral, "dcap_verifier": verifier}
    return replace(d, **dcap, enclave_registry=registry, enclave_verifier=None)


class Commands:
    """`affidavit enclave` with files of one folder."""

    def __init__(self, cli: Cli, world: World, folder: Path, deployment: Deployment) -> None:
        self.cli, self.world, self.folder = cli, world, folder
        (folder / "password").write_text("a long enough password\n")
        (folder / "password").chmod(0o600)
        write_deployment(deployment, folder / "deployment.json")
        self.chain = ["--rpc", world.rpc, "--deployment", str(folder / "deployment.json")]

    def keys(self, name: str, holder: LocalAccount) -> list[str]:
        path = self.folder / name
        if not path.exists():
            write_keystore(holder, path, self.folder / "password", LIGHT_SCRYPT_N)
        return ["--keystore", str(path), "--password-file", str(self.folder / "password")]

    def file(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def run(self, command: str, *arguments: str) -> Any:
        return self.cli.ok("enclave", command, *arguments).json()

    def refused(self, code: int, command: str, *arguments: str) -> str:
        return str(self.cli.refused(code, "enclave", command, *arguments))

    def post(self, collateral: bytes) -> dict[str, int]:
        stranger = self.keys("stranger", account(9))
        posted: dict[str, int] = self.run("post-collateral", *self.chain, *stranger, "--collateral", self.file("collateral", collateral))
        return posted

    def begin(self, index: int) -> tuple[list[str], bytes]:
        mine = self.keys(f"account {index}", account(index + 1))
        begun = self.run("begin", *self.chain, *mine, "--key", key_of(index), "--runtime", RUNTIME)
        registration = self.file("registration", json.dumps(begun).encode())
        return [*self.chain, *mine, "--registration", registration], parse_hex(begun["report_data"], "report_data", 64)

    def decide(self, measured: dict[str, str], *more: str) -> Any:
        files: list[str] = []
        for index in (1, 2):
            signer = self.keys(f"signer {index}", Account.from_key(keccak256(b"operator key %d" % index)))
            about = ["--platform", measured["platform"], "--measurement", measured["measurement"], "--runtime", RUNTIME, *more]
            said = self.run("sign-measurement", *self.chain, *signer, *about)
            files += ["--decision", self.file(f"decision {index}", json.dumps(said).encode())]
        return self.run("decide-together", *self.chain, *self.keys("stranger", account(9)), *files)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def test_the_whole_way_by_commands(world: World, tmp_path: Path, cli: Cli, vendor: Vendor) -> None:
    commands = Commands(cli, world, tmp_path, deploy_for(world, vendor))
    posted = commands.post(vendor.collateral(True))
    assert all(gas > 0 for gas in posted.values()), posted
    assert set(commands.post(vendor.collateral(True)).values()) == {0}
    both = commands.post(vendor.collateral(False))
    assert [what for what, gas in both.items() if gas] == ["TCB info", "QE identity"]
    later = commands.post(vendor.later().collateral(True))
    assert [what for what, gas in later.items() if not gas] == ["authority", "signer"]

    begun, report_data = commands.begin(0)
    quote = commands.file("quote", vendor.quote(True, report_data) + bytes(7))
    registering = [*begun, "--quote", quote, "--json"]
    assert "MeasurementNotApproved" in commands.refused(2, "register-direct", *registering)
    measured = commands.run("measure", "--quote", quote)
    assert (measured["platform"], measured["registers"]["mrtd"]) == ("tdx", to_hex(b"T" * 48))
    assert commands.decide(measured)["approved"] is True
    registered = commands.run("register-direct", *registering)
    assert (registered["platform"], registered["state"], registered["measurement"]) == ("TDX", "valid", measured["measurement"])
    assert registered["expires_at"] == vendor.now + 30 * 86_400

    # A second operator's needs nobody; made for another registration, nobody's helps.
    begun, report_data = commands.begin(1)
    assert "report_data" in commands.refused(2, "register-direct", *begun, "--quote", quote)
    fresh = commands.file("second", vendor.quote(True, report_data))
    assert commands.run("register-direct", *begun, "--quote", fresh, "--json")["state"] == "valid"

    assert commands.decide(measured, "--withdraw")["approved"] is False
    shown = commands.run("show", *commands.chain, "--key", key_of(1), "--json")
    assert shown["state"] == "withdrawn"


def test_what_the_chain_does_not_believe_is_named(world: World, tmp_path: Path, cli: Cli, vendor: Vendor) -> None:
    commands = Commands(cli, world, tmp_path, deploy_for(world, vendor))
    other = Vendor(vendor.now)
    assert "AnotherRoot" in commands.refused(
        2,
        "post-collateral",
        *commands.chain,
        *commands.keys("stranger", account(9)),
        "--collateral",
        commands.file("other", dict_without_lists(other, vendor)),
    )
    commands.post(vendor.collateral(True))
    begun, report_data = commands.begin(0)

    def refused(made: Vendor, name: str, **how: bool) -> None:
        quote = commands.file("quote", made.quote(True, report_data, **how))
        assert name in commands.refused(2, "register-direct", *begun, "--quote", quote)

    refused(other, "CollateralMissing")
    refused(vendor, "no debugging", debug=True)  # before anything is sent
    refused(replace(vendor, machine=Machine(flags=(False, False, True))), "PlatformNotAccepted")
    refused(replace(vendor, machine=Machine(component=4)), "TcbNotAccepted")
    commands.post(vendor.later(revoked=(14,)).collateral(True))
    refused(vendor, "Revoked")


def dict_without_lists(other: Vendor, vendor: Vendor) -> bytes:
    """Somebody else's collateral, with the real root's list of revocations in front."""
    document = json.loads(other.collateral(True))
    return json.dumps(document | {"root_ca_crl": json.loads(vendor.collateral(True))["root_ca_crl"]}).encode()


@pytest.mark.parametrize("is_tdx", [False, True])
def test_the_chain_and_the_verifier_off_chain_agree(world: World, vendor: Vendor, is_tdx: bool) -> None:
    """On the truth, on lies of every kind, and on a hundred flipped bits: accepted by both, or by neither."""
    smt = replace(vendor, machine=Machine(flags=(False, False, True)))
    old = replace(vendor, machine=Machine(component=4))
    quote = vendor.quote(is_tdx, b"d" * 64)
    draw = random.Random(8)
    flips = [flip(quote, bit) for bit in draw.sample(range(len(quote) * 8), 100)]
    lies = [vendor.quote(is_tdx, bytes(64), debug=True), smt.quote(is_tdx, bytes(64)), old.quote(is_tdx, bytes(64)), quote[:-1]]
    for relaxations in ((), (Relaxation.SMT,)):
        contracts = Contracts(world.rpc, deploy_for(world, vendor, *relaxations))
        session = Session(contracts, AccountSigner(account(9)), world.sender(9))
        direct.post_collateral(session, take_apart(vendor.collateral(is_tdx)))
        policy = EnclavePolicy(frozenset(relaxations), roots=Roots(intel=hashlib.sha256(vendor.root_der).hexdigest()))
        for candidate in (quote, *lies, *(flips if not relaxations else [])):
            assert on_chain(contracts, candidate) == off_chain(candidate, vendor.collateral(is_tdx), world.now(), policy)
    assert on_chain(contracts, quote) is not None


Said = tuple[int, bytes, bytes, bytes, int]


def on_chain(contracts: Contracts, quote: bytes) -> Said | None:
    try:
        platform, measurement, head, tail, digest, expires_at = contracts.view("DcapVerifier", "verify", quote)
    except CallReverted:
        return None
    return platform, bytes(measurement), bytes(head) + bytes(tail), bytes(digest), expires_at


def off_chain(quote: bytes, collateral: bytes, now: int, policy: EnclavePolicy) -> Said | None:
    try:
        report = verify_quote(quote, collateral, now, policy)
    except EnclaveRejected:
        return None
    return int(report.platform), report.measurement, report.report_data, report.quote_digest, report.expires_at


def test_digests_are_the_contracts(world: World) -> None:
    about = (2, keccak256(b"measured"), keccak256(b"runtime"), True)
    decision = MeasurementDecision(Platform.TDX, about[1], about[2], True, 0)
    registry = world.deployment.enclave_registry
    assert registry is not None
    digest = Bytes32(world.contracts.view("EnclaveRegistry", "computeDecisionDigest", *about))
    assert digest == compute_decision_digest(decision, world.deployment.chain_id, registry)


def test_a_deployment_without_a_verifier_says_so(world: World, tmp_path: Path) -> None:
    names = ("dcap_certificates", "dcap_collateral", "dcap_verifier")
    older = replace(world.deployment, **dict.fromkeys(names))
    write_deployment(older, tmp_path / "deployment.json")
    assert load_deployment(tmp_path / "deployment.json") == older
    with pytest.raises(ConfigRejected, match="DcapVerifier"):
        direct.require_direct(Contracts(world.rpc, older))
    another = replace(world.deployment, dcap_verifier=world.deployment.quorum_verifier)
    with pytest.raises(ConfigRejected, match="DcapVerifier"):
        direct.require_direct(Contracts(world.rpc, another))
    assert direct.require_direct(world.contracts) == world.deployment.dcap_verifier
