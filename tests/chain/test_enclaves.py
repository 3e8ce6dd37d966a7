"""Enclaves on the real contracts: a key is attested to and registered, the relay delivers its signature, and what is false is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from oracle.attest.enclave import EnclaveRejected, Platform, Reason
from oracle.attest.enclave.accept import AcceptancePolicy, parse_policy
from oracle.attest.enclave.binding import (
    EnclaveAttestation,
    Registration,
    compute_attestation_digest,
    compute_report_data,
    compute_revocation_digest,
    compute_runtime_digest,
)
from oracle.attest.enclave.simulated import SimulatedEnclave
from oracle.attest.keys import LIGHT_SCRYPT_N, write_keystore
from oracle.attest.sign import AccountSigner
from oracle.encoding import ENCLAVE_SELECTOR, QUORUM_ECDSA_SELECTOR, compute_claim_digest, keccak256, to_hex
from oracle.errors import ClaimRejected, ConfigRejected, EvidenceRejected, RequestRejected
from oracle.pipeline import enclaves
from oracle.pipeline.session import Session
from oracle.records import Address, Asked, Bytes32, Evidence, RequestStatus, Runtime, SignedClaim
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import write_deployment
from oracle.relay.failures import CallReverted
from oracle.relay.schema import RequestState
from tests.chain.conftest import FEE_WEI, World, account
from tests.chain.relay_rig import TRUTH, NodeTwin, Relay, make_relay
from tests.unit.cli_runner import Cli

IMAGE = keccak256(b"image")
RUNTIME = compute_runtime_digest(Runtime("onnxruntime", "1.31.0", "CPUExecutionProvider", "all"))
ENCLAVE = SimulatedEnclave.generate()
POLICY_FILE: dict[str, Any] = {
    "measurements": [{"platform": "simulated", "image": to_hex(IMAGE)}],
    "runtimes": [to_hex(RUNTIME)],
    "lifetime_seconds": 86_400,
    "relaxations": ["simulated"],
    "simulated_roots": [to_hex(ENCLAVE.root_digest)],
}
POLICY: AcceptancePolicy = parse_policy(POLICY_FILE)
QUORUM_AND_ENCLAVE = Bytes32(bytes([1, 2, 2]) + bytes(29))
QUORUM_AND_SIMULATED = Bytes32(bytes([1, 2, 6]) + bytes(29))
Quote = tuple[bytes, bytes]


def key_of(index: int) -> LocalAccount:
    """The key in the enclave of operator `index`."""
    return Account.from_key(keccak256(b"enclave key %d" % index))


def address_of(index: int) -> Address:
    return Address(key_of(index).address)


def session_of(world: World, index: int) -> Session:
    """Operator `index` with its account."""
    return Session(world.contracts, AccountSigner(account(index + 1)), world.sender(index + 1))


def begin(world: World, index: int) -> Registration:
    return enclaves.begin_registration(session_of(world, index), address_of(index), RUNTIME)


def quote_of(world: World, registration: Registration, image: Bytes32 = IMAGE) -> Quote:
    return enclaves.simulate_quote(ENCLAVE, registration, image, world.now() - 60, 86_400), b""


def attest(world: World, by: int, registration: Registration, quote: Quote, expires_at: int | None = None) -> enclaves.SignedAttestation:
    return enclaves.attest(world.contracts, world.signers[by], registration, quote, POLICY, world.now(), expires_at)


def register(world: World, index: int) -> None:
    """The whole way, with a simulated enclave, attested to by the two operators after this one."""
    registration = begin(world, index)
    quote = quote_of(world, registration)
    first = attest(world, (index + 1) % 5, registration, quote)
    second = attest(world, (index + 2) % 5, registration, quote, first.attestation.expires_at)
    enclaves.register(session_of(world, index), [first, second])


def register_as(world: World, index: int, platform: Platform, signers: tuple[int, ...] = (3, 4)) -> Address:
    """A key that operators signed for as if it were in other hardware: what a test cannot get a quote of."""
    registration = begin(world, index)
    r, expires_at = registration, world.now() + 3600
    found = EnclaveAttestation(r.key, r.operator, platform, keccak256(b"m"), RUNTIME, keccak256(b"q"), expires_at, r.nonce)
    digest = compute_attestation_digest(found, r.chain_id, r.registry)
    signed = [enclaves.SignedAttestation(found, world.signers[i].address, world.signers[i].sign_digest(digest)) for i in signers]
    return enclaves.register(session_of(world, index), signed).key


# ---- registering ------------------------------------------------------------------------------------------------------------------------
def test_a_simulated_enclave_is_registered_and_marked(world: World) -> None:
    register(world, 0)
    key = enclaves.find_key(world.contracts, address_of(0))
    assert (key.platform, key.operator, key.is_revoked) == (Platform.SIMULATED, account(1).address, False)
    assert (key.runtime_digest, key.measurement) == (RUNTIME, keccak256(IMAGE))
    assert enclaves.describe_state(world.contracts, key, world.now()) == "valid"
    assert enclaves.describe_state(world.contracts, key, key.expires_at) == "expired"
    assert [k.key for k in world.contracts.enclave_keys()] == [address_of(0)]


def test_both_sides_compute_the_same(world: World) -> None:
    """report_data and both EIP-712 digests, by Python and by the contract."""
    contracts, registration = world.contracts, begin(world, 0)
    registry, r = enclaves.registry_of(contracts), registration
    ours = compute_report_data(registration)
    theirs = contracts.view_at("EnclaveRegistry", registry, "computeReportData", r.operator, r.key, r.runtime_digest, r.nonce)
    assert ours == bytes(theirs) + bytes(32)
    a = attest(world, 1, registration, quote_of(world, registration)).attestation
    fields = (a.key, a.operator, int(a.platform), a.measurement, a.runtime_digest, a.quote_digest, a.expires_at, a.nonce)
    digest = contracts.view_at("EnclaveRegistry", registry, "computeAttestationDigest", fields)
    assert compute_attestation_digest(a, r.chain_id, registry) == bytes(digest)
    digest = contracts.view_at("EnclaveRegistry", registry, "computeRevocationDigest", a.key, keccak256(b"why"))
    assert compute_revocation_digest(a.key, keccak256(b"why"), r.chain_id, registry) == bytes(digest)


def test_an_operator_refuses_what_is_not_begun_here(world: World) -> None:
    old = begin(world, 0)
    quote = quote_of(world, old)
    current = begin(world, 0)
    with pytest.raises(RequestRejected, match="nonce"):
        attest(world, 1, old, quote)
    with pytest.raises(EnclaveRejected) as caught:
        attest(world, 1, current, quote)
    assert caught.value.reason is Reason.BINDING
    fresh = quote_of(world, current)
    for lie in ({"chain_id": 1}, {"registry": address_of(7)}):
        with pytest.raises(RequestRejected, match="chain"):
            attest(world, 1, replace(current, **lie), fresh)
    with pytest.raises(RequestRejected, match="operator"):
        attest(world, 1, replace(current, operator=address_of(7)), fresh)
    assert attest(world, 1, current, fresh)


def test_who_attests_is_another_operator(world: World) -> None:
    registration = begin(world, 0)
    quote = quote_of(world, registration)
    with pytest.raises(RequestRejected, match="another than who attests"):
        attest(world, 0, registration, quote)
    stranger = AccountSigner(account(9))
    with pytest.raises(ClaimRejected, match="registered operator"):
        enclaves.attest(world.contracts, stranger, registration, quote, POLICY, world.now())


def test_another_image_is_not_attested_to(world: World) -> None:
    registration = begin(world, 0)
    with pytest.raises(EnclaveRejected) as caught:
        attest(world, 1, registration, quote_of(world, registration, keccak256(b"another image")))
    assert caught.value.reason is Reason.MEASUREMENT


def test_attestations_must_be_the_same_enough_and_signed(world: World) -> None:
    registration, mine = begin(world, 0), session_of(world, 0)
    quote = quote_of(world, registration)
    first = attest(world, 1, registration, quote)
    second = attest(world, 2, registration, quote, first.attestation.expires_at - 1)
    for few in ([], [first], [first, first]):
        with pytest.raises(EvidenceRejected):
            enclaves.register(mine, few)
    with pytest.raises(EvidenceRejected, match="same from every operator"):
        enclaves.register(mine, [first, second])
    with pytest.raises(ClaimRejected, match="signer of the attestation"):
        enclaves.register(mine, [first, replace(first, signer=world.signers[2].address)])
    both = [first, attest(world, 2, registration, quote, first.attestation.expires_at)]
    with pytest.raises(CallReverted, match="NotTheOperator"):
        enclaves.register(session_of(world, 1), both)


def test_revocation_by_the_operator_and_by_a_quorum(world: World) -> None:
    register(world, 0)
    register(world, 3)
    revoked = enclaves.revoke(session_of(world, 0), address_of(0), keccak256(b"lost"))
    assert enclaves.describe_state(world.contracts, revoked, world.now()) == "revoked"
    with pytest.raises(CallReverted, match="NotTheOperator"):
        enclaves.revoke(session_of(world, 0), address_of(3), keccak256(b""))
    signed = [enclaves.sign_revocation(world.contracts, world.signers[i], address_of(3), keccak256(b"x")) for i in (1, 2)]
    stranger = Session(world.contracts, AccountSigner(account(9)), world.sender(9))
    with pytest.raises(EvidenceRejected, match="2 operators"):
        enclaves.revoke_together(stranger, [signed[0], signed[0]])
    with pytest.raises(EvidenceRejected, match="one key and one reason"):
        enclaves.revoke_together(stranger, [signed[0], replace(signed[1], reason=keccak256(b"y"))])
    with pytest.raises(ClaimRejected, match="signer of the revocation"):
        enclaves.revoke_together(stranger, [signed[0], replace(signed[1], signature=signed[0].signature)])
    with pytest.raises(ClaimRejected):  # an account that is no operator's signing key
        enclaves.sign_revocation(world.contracts, stranger.signer, address_of(3), keccak256(b"x"))
    assert enclaves.revoke_together(stranger, signed).is_revoked
    for key, words in ((address_of(3), "not revoked"), (address_of(4), "registered")):
        with pytest.raises(EvidenceRejected, match=words):
            enclaves.sign_revocation(world.contracts, world.signers[1], key, keccak256(b"x"))


def test_a_deployment_without_a_registry_says_so(world: World) -> None:
    older = Contracts(world.rpc, replace(world.deployment, enclave_registry=None, enclave_verifier=None))
    older.check_deployment()
    with pytest.raises(ConfigRejected, match="EnclaveRegistry"):
        older.enclave_keys()
    with pytest.raises(ConfigRejected, match="EnclaveRegistry"):
        enclaves.registry_of(older)


# ---- delivering -------------------------------------------------------------------------------------------------------------------------
Sign = Callable[[Bytes32], bytes]


@dataclass
class EnclavedTwin(NodeTwin):
    """A node whose claims carry what `enclave` makes of their digest."""

    enclave: Sign = lambda _digest: b""

    def sign(self, asked: Asked, output: bytes) -> SignedClaim:
        signed = super().sign(asked, output)
        return replace(signed, enclave=self.enclave(compute_claim_digest(signed.claim, self.domain)))


def enclave_signs(index: int) -> Sign:
    return lambda digest: AccountSigner(key_of(index)).sign_digest(digest)


def ask(world: World, policy: Bytes32) -> Asked:
    arguments = (world.model_id, bytes(128), policy, 0, world.now() + 600, account(6).address)
    return world.asked_in(world.sender(6).send(world.contracts.call("Coprocessor", "request", *arguments, value_wei=FEE_WEI)))


def relay_of(world: World, directory: Path, *signs: Sign) -> Relay:
    relay = make_relay(world, directory, nodes=0)
    for index, sign in enumerate(signs):
        relay.nodes.append(EnclavedTwin(index, world.signers[index], world.deployment.domain, world.known, TRUTH, enclave=sign))
    relay.crash()
    return relay


def nothing(_digest: Bytes32) -> bytes:
    return b""


def test_a_quorum_and_an_enclave_are_delivered_together(world: World, tmp_path: Path) -> None:
    register_as(world, 1, Platform.TDX)
    asked = ask(world, QUORUM_AND_ENCLAVE)
    relay = relay_of(world, tmp_path, nothing, enclave_signs(1), nothing)
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.status_of(asked.request_id).output_digest == keccak256(TRUTH)
    receipt = next(e for e in relay.log.entries.values() if e.fields.get("audit.finality") == "final")
    assert receipt.fields["audit.evidence_selectors"] == [to_hex(QUORUM_ECDSA_SELECTOR), to_hex(ENCLAVE_SELECTOR)]
    balances = [world.contracts.balance_of(Address(account(i + 1).address)) for i in range(3)]
    assert sum(balances) == FEE_WEI
    assert balances[1] > 0


def test_a_simulated_enclave_is_enough_where_the_policy_names_it(world: World, tmp_path: Path) -> None:
    """The whole way: begun, quoted, attested to by two operators, registered, and delivered by the relay beside a quorum of two."""
    register(world, 1)
    asked = ask(world, QUORUM_AND_SIMULATED)
    relay = relay_of(world, tmp_path, nothing, enclave_signs(1), nothing)
    relay.run(4)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.status_of(asked.request_id).output_digest == keccak256(TRUTH)
    receipt = next(e for e in relay.log.entries.values() if e.fields.get("audit.finality") == "final")
    assert receipt.fields["audit.evidence_selectors"] == [to_hex(QUORUM_ECDSA_SELECTOR), to_hex(ENCLAVE_SELECTOR)]


@pytest.mark.parametrize(
    "sign",
    [
        pytest.param(nothing, id="none"),
        pytest.param(lambda digest: AccountSigner(account(9)).sign_digest(digest), id="somebody's key"),
        pytest.param(lambda digest: AccountSigner(key_of(1)).sign_digest(keccak256(digest)), id="of something else"),
        pytest.param(lambda digest: enclave_signs(2)(digest), id="of another operator's enclave"),
        pytest.param(lambda digest: bytes(65), id="zeros"),
    ],
)
def test_a_signature_that_is_not_its_enclaves_delivers_nothing(world: World, tmp_path: Path, sign: Sign) -> None:
    register_as(world, 1, Platform.TDX)
    register_as(world, 2, Platform.TDX)
    asked = ask(world, QUORUM_AND_ENCLAVE)
    relay = relay_of(world, tmp_path, nothing, sign, nothing)
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.COLLECTING
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.REQUESTED


def test_a_simulated_enclave_is_not_enough_where_the_policy_does_not_name_it(world: World, tmp_path: Path) -> None:
    register(world, 1)
    asked = ask(world, QUORUM_AND_ENCLAVE)
    relay = relay_of(world, tmp_path, nothing, enclave_signs(1), nothing)
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.COLLECTING


def test_a_revoked_key_delivers_nothing(world: World, tmp_path: Path) -> None:
    register_as(world, 1, Platform.TDX)
    asked = ask(world, QUORUM_AND_ENCLAVE)
    enclaves.revoke(session_of(world, 1), address_of(1), keccak256(b""))
    relay = relay_of(world, tmp_path, nothing, enclave_signs(1), nothing)
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.COLLECTING


def test_a_key_that_is_revoked_before_the_delivery_gives_way_to_another_enclaves(world: World, tmp_path: Path) -> None:
    register_as(world, 1, Platform.TDX)
    register_as(world, 2, Platform.TDX)
    asked = ask(world, QUORUM_AND_ENCLAVE)
    relay = relay_of(world, tmp_path, nothing, enclave_signs(1), enclave_signs(2))
    relay.follow()
    relay.collect()
    assert relay.state(asked.request_id) is RequestState.QUEUED
    enclaves.revoke(session_of(world, 1), address_of(1), keccak256(b""))
    relay.run(5)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.balance_of(Address(account(3).address)) > 0


def test_the_chain_judges_one_signature(world: World) -> None:
    register_as(world, 1, Platform.TDX)
    asked = ask(world, QUORUM_AND_ENCLAVE)
    twin = EnclavedTwin(1, world.signers[1], world.deployment.domain, world.known, TRUTH, enclave=enclave_signs(1))
    signed = twin.sign(asked, TRUTH)

    def judge(claim: SignedClaim, policy: Bytes32 = QUORUM_AND_ENCLAVE) -> tuple[Address, ...]:
        return world.contracts.check_enclave(claim.claim, policy, Evidence(ENCLAVE_SELECTOR, claim.enclave))

    assert judge(signed) == (account(2).address,)
    with pytest.raises(CallReverted, match="NoEnclaveDemanded"):
        judge(signed, world.policy(2))
    other = replace(signed, claim=replace(signed.claim, output_digest=keccak256(b"another")))
    with pytest.raises(CallReverted, match=r"KeyUnknown|BadSignature"):
        judge(other)
    world.rpc_call("anvil_setNextBlockTimestamp", hex(world.now() + 3700))
    world.rpc_call("anvil_mine", "0x1")
    with pytest.raises(CallReverted, match="KeyExpired"):
        judge(signed)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


# ---- the command line -------------------------------------------------------------------------------------------------------------------
def test_the_whole_way_by_commands(world: World, tmp_path: Path, cli: Cli) -> None:
    password = tmp_path / "password"
    password.write_text("a long enough password\n")
    password.chmod(0o600)
    write_deployment(world.deployment, tmp_path / "deployment.json")
    (tmp_path / "policy.json").write_text(json.dumps(POLICY_FILE))

    def keys(name: str, holder: LocalAccount) -> list[str]:
        if not (tmp_path / name).exists():
            write_keystore(holder, tmp_path / name, password, LIGHT_SCRYPT_N)
        return ["--keystore", str(tmp_path / name), "--password-file", str(password)]

    def run(*arguments: str) -> Any:
        return cli.ok("enclave", *arguments).json()

    chain = ["--rpc", world.rpc, "--deployment", str(tmp_path / "deployment.json")]
    mine = keys("account", account(1))
    root = run("simulate-root", "--root", str(tmp_path / "root"))
    policy = POLICY_FILE | {"simulated_roots": [root["digest"]]}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    runtime = "onnxruntime,1.31.0,CPUExecutionProvider,all"

    def register_by_commands(key: Address) -> Any:
        begun = run("begin", *chain, *mine, "--key", key, "--runtime", runtime)
        assert begun["runtime_digest"] == to_hex(RUNTIME)
        (tmp_path / "registration.json").write_text(json.dumps(begun))
        files = ["--registration", str(tmp_path / "registration.json")]
        run("simulate", "--root", str(tmp_path / "root"), *files, "--image", to_hex(IMAGE), "--out", str(tmp_path / "quote"))
        judged = [*files, "--quote", str(tmp_path / "quote"), "--policy", str(tmp_path / "policy.json")]
        for index in (1, 2):
            like = ["--like", str(tmp_path / "1.json")] if index == 2 else []
            found = run("attest", *chain, *keys(f"signer {index}", Account.from_key(keccak256(b"operator key %d" % index))), *judged, *like)
            (tmp_path / f"{index}.json").write_text(json.dumps(found))
        both = [part for index in (1, 2) for part in ("--attestation", str(tmp_path / f"{index}.json"))]
        registered = run("register", *chain, *mine, *both, "--json")
        assert (registered["platform"], registered["state"]) == ("SIMULATED", "valid")
        return registered

    registered = register_by_commands(address_of(0))
    assert run("show", *chain, "--json") == [run("show", *chain, "--key", address_of(0), "--json")]
    meant = ["--key", address_of(0), "--reason", "lost"]
    for index in (1, 2):
        signer = ["--keystore", str(tmp_path / f"signer {index}"), "--password-file", str(password)]
        (tmp_path / f"{index}.revocation").write_text(json.dumps(run("sign-revocation", *chain, *signer, *meant)))
    (tmp_path / "bad").write_text(json.dumps({"key": address_of(0), "reason": "lost", "signer": "", "signature": ""}))
    stranger = keys("stranger", account(9))
    assert "sign-revocation" in cli.refused(2, "enclave", "revoke-together", *chain, *stranger, "--revocation", tmp_path / "bad")
    both = [part for index in (1, 2) for part in ("--revocation", str(tmp_path / f"{index}.revocation"))]
    assert run("revoke-together", *chain, *stranger, *both, "--json")["state"] == "revoked"
    register_by_commands(address_of(1))
    meant = ["--key", address_of(1), "--reason", "lost"]
    assert "NotTheOperator" in cli.refused(2, "enclave", "revoke", *chain, *stranger, *meant)
    assert run("revoke", *chain, *mine, *meant, "--json")["state"] == "revoked"
    assert abs(registered["expires_at"] - time.time()) < 2 * 86_400
