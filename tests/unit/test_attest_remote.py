"""A key behind HTTP: what a lying, broken or absent signer can do (nothing but delay), and what configurations are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from eth_account import Account

from oracle.attest.keys import LIGHT_SCRYPT_N, write_keystore
from oracle.attest.remote import RemoteSigner, open_signer
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.config import KeyConfig
from oracle.encoding import compute_claim_digest, keccak256
from oracle.errors import ConfigRejected, PeerError
from oracle.node.jobs import JobState
from oracle.pipeline.node import work_once
from oracle.records import Address, Bytes32, Claim, Domain, Policy
from oracle.relay.transact import Call, Fees, sign_transaction
from oracle.signatures import SECP256K1_ORDER, recover_signer
from tests.twins.api import served
from tests.twins.node_scene import digit_image, make_scene
from tests.twins.operators import account, operator_signer
from tests.twins.signer import ReferenceSigner

KEY, OTHER = (Account.from_key(keccak256(name)) for name in (b"remote", b"other"))
ADDRESS = Address(KEY.address)
DOMAIN = Domain(31337, ADDRESS)
OUTPUT = b"output"
CLAIM = Claim(*(Bytes32(keccak256(bytes([i]))) for i in range(3)), keccak256(OUTPUT))
PREIMAGE = b"\x19\x01" + bytes(64)

Change = Callable[[bytes], object]


def signature_of(account: object, preimage: bytes) -> bytes:
    return AccountSigner(account).sign_preimage(preimage)  # type: ignore[arg-type]


def signer_that(answers: Callable[[bytes], httpx.Response]) -> RemoteSigner:
    """A signer that lists the right key, and answers to a preimage as it likes."""
    twin = ReferenceSigner()
    name = twin.add(KEY)

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=[name])
        assert request.url.path == f"/api/v1/eth1/sign/{name}"
        return answers(bytes.fromhex(json.loads(request.content)["data"][2:]))

    return RemoteSigner("", ADDRESS, httpx.Client(base_url="http://signer.test", transport=httpx.MockTransport(handle)))


# ---- the real thing --------------------------------------------------------------------------------------------------------------------
def test_signs_claims_and_transactions_as_the_key_itself_does() -> None:
    twin = ReferenceSigner()
    twin.add(OTHER)
    twin.add(KEY)
    with served(twin.app()) as url:
        remote, local = RemoteSigner(url, ADDRESS), AccountSigner(KEY)
        assert sign_claim(CLAIM, OUTPUT, DOMAIN, remote) == sign_claim(CLAIM, OUTPUT, DOMAIN, local)
        arguments = (Call(ADDRESS, b"data"), 31337, 5, 50_000, Fees(3, 2))
        assert sign_transaction(*arguments, remote) == sign_transaction(*arguments, local)
        assert recover_signer(compute_claim_digest(CLAIM, DOMAIN), remote.sign_preimage(twin.signed[0])) == ADDRESS
        assert remote.address == ADDRESS
        twin.is_broken = True
        with pytest.raises(PeerError, match="500"):
            remote.sign_preimage(PREIMAGE)
        twin.is_broken = False
        twin.accounts.clear()
        with pytest.raises(PeerError, match="404"):
            remote.sign_preimage(PREIMAGE)
        with pytest.raises(ConfigRejected, match="one of the 0 keys"):
            RemoteSigner(url, ADDRESS)


def test_a_node_waits_for_its_signer_and_signs_once(tmp_path: Path) -> None:
    twin = ReferenceSigner()
    twin.add(account("operator 0"))
    with served(twin.app()) as url:
        scene = make_scene(tmp_path)
        node = replace(scene.node, signer=RemoteSigner(url, operator_signer(0).address))
        asked = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=2), fee_wei=5)
        node.store.enqueue(asked)
        twin.is_broken = True
        assert work_once(node, 0.0)
        assert node.store.guarded(asked.request_id, scene.chain.domain) is None
        assert node.store.job(asked.request_id).state is JobState.QUEUED
        twin.is_broken = False
        assert work_once(node, 1e9)
        guarded = node.store.guarded(asked.request_id, scene.chain.domain)
        assert guarded is not None
        assert guarded.signed.signer == operator_signer(0).address
        assert len(twin.signed) == 1


# ---- lies ------------------------------------------------------------------------------------------------------------------------------
def mirrored(signature: bytes) -> bytes:
    s = SECP256K1_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


LIES: dict[str, Change] = {
    "of another key": lambda p: signature_of(OTHER, p),
    "of another message": lambda p: signature_of(KEY, p + b"\0"),
    "of a prefixed message": lambda p: signature_of(KEY, b"\x19Ethereum Signed Message:\n66" + p),
    "with a high s": lambda p: mirrored(signature_of(KEY, p)),
    "with v of 0 or 1": lambda p: signature_of(KEY, p)[:64] + bytes([signature_of(KEY, p)[64] - 27]),
    "with the other v": lambda p: signature_of(KEY, p)[:64] + bytes([55 - signature_of(KEY, p)[64]]),
    "cut": lambda p: signature_of(KEY, p)[:64],
    "padded": lambda p: signature_of(KEY, p) + b"\0",
    "of zeros": lambda p: bytes(65),
    "empty": lambda p: b"",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_signature_that_is_not_the_key_s_over_exactly_this_is_never_used(lie: Callable[[bytes], bytes]) -> None:
    remote = signer_that(lambda preimage: httpx.Response(200, text="0x" + lie(preimage).hex()))
    with pytest.raises(PeerError):
        remote.sign_preimage(PREIMAGE)


@pytest.mark.parametrize("text", ["", "OK", "0x", "0xzz", "null", "{}", "0x" + "é" * 130], ids=repr)
def test_an_answer_that_is_no_signature_is_the_signer_s_fault(text: str) -> None:
    with pytest.raises(PeerError, match="no signature"):
        signer_that(lambda _: httpx.Response(200, text=text)).sign_preimage(PREIMAGE)


def test_a_signature_in_quotes_is_one() -> None:
    remote = signer_that(lambda preimage: httpx.Response(200, text=f'"0x{signature_of(KEY, preimage).hex()}"\n'))
    assert remote.sign_preimage(PREIMAGE) == signature_of(KEY, PREIMAGE)


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.ConnectTimeout, httpx.RemoteProtocolError])
def test_a_signer_that_does_not_answer_is_the_world_s_error(error: type[httpx.HTTPError]) -> None:
    def fail(_: bytes) -> httpx.Response:
        raise error("away")

    with pytest.raises(PeerError, match="does not answer") as caught:
        signer_that(fail).sign_preimage(PREIMAGE)
    assert isinstance(caught.value.__cause__, error)


@pytest.mark.parametrize("status", [201, 302, 400, 404, 500, 503])
def test_any_other_status_is_no_answer(status: int) -> None:
    with pytest.raises(PeerError, match=str(status)):
        signer_that(lambda preimage: httpx.Response(status, text="0x" + signature_of(KEY, preimage).hex())).sign_preimage(PREIMAGE)


@pytest.mark.parametrize("keys", ["[1]", "{}x", '"0x"', '["0x00"]', '[["0x"]]', "[null]", "5"])
def test_a_list_of_keys_that_is_none_is_the_signer_s_fault(keys: str) -> None:
    http = httpx.Client(base_url="http://signer.test", transport=httpx.MockTransport(lambda _: httpx.Response(200, text=keys)))
    with pytest.raises(PeerError, match="public keys"):
        RemoteSigner("", ADDRESS, http)


# ---- configuration -----------------------------------------------------------------------------------------------------------------------
def test_a_configuration_names_one_key(tmp_path: Path) -> None:
    password, keystore = tmp_path / "password", tmp_path / "key.json"
    password.write_text("a long password")
    password.chmod(0o600)
    write_keystore(KEY, keystore, password, LIGHT_SCRYPT_N)
    local = KeyConfig(keystore=keystore, password_file=password)
    assert open_signer(local, "relay").address == ADDRESS
    remote = KeyConfig(signer_url="http://127.0.0.1:9", signer_address=ADDRESS)
    refused = {
        "neither": KeyConfig(),
        "both": replace(local, signer_url="https://signer.test"),
        "password_file": replace(local, password_file=None),
        "signer_address: expected the address": replace(remote, signer_address=None),
        "signer_address: expected an Ethereum": replace(remote, signer_address="0x12"),
        "http:// on this machine": replace(remote, signer_url="http://signer.test:9000"),
        "got file:": replace(remote, signer_url="file:///etc/passwd"),
        "PEM": replace(remote, signer_ca_file=tmp_path / "none.pem"),
        "PEM files": replace(remote, signer_certificate_file=password),
    }
    for problem, config in refused.items():
        with pytest.raises(ConfigRejected, match=problem):
            open_signer(config, "relay")
    with pytest.raises(PeerError):  # nobody listens there
        open_signer(remote, "relay")
