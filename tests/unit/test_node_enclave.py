"""A node with an enclave: its key signs the claim that the node signed, where the request demands it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from fastapi.testclient import TestClient

from oracle.attest.keys import LIGHT_SCRYPT_N, write_keystore
from oracle.attest.sign import AccountSigner
from oracle.config import NodeConfig
from oracle.encoding import compute_claim_digest, keccak256, pack_policy, to_hex
from oracle.errors import ConfigRejected
from oracle.node.service import Door, make_app
from oracle.pipeline.node import _open_enclave, work_once
from oracle.records import Policy, SignedClaim
from oracle.seams import Signer
from oracle.signatures import recover_signer
from oracle.wire import asked_to_json, signed_claim_from_json
from tests.twins.node_scene import Scene, digit_image, make_scene

ENCLAVE = AccountSigner(Account.from_key(keccak256(b"the key in the enclave")))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


def answer(scene: Scene, policy: Policy, enclave: Signer | None) -> tuple[SignedClaim, SignedClaim]:
    """The claim as the door shows it, asked twice."""
    node = scene.node
    door = Door(node.name, node.store, node.chain, node.library, node.terms, node.metrics, {}, node.bell.set, frozenset(), enclave)
    client, asked = TestClient(make_app(door)), scene.sign(digit_image(), policy=pack_policy(policy))
    assert client.post("/v1/requests", json=asked_to_json(asked)).status_code == 202
    assert work_once(node, 1e12)
    shown = [signed_claim_from_json(client.get(f"/v1/claims/{to_hex(asked.request_id)}").json()) for _ in range(2)]
    return shown[0], shown[1]


def test_the_enclave_signs_the_claim_where_the_policy_demands_it(scene: Scene) -> None:
    signed, again = answer(scene, Policy(quorum=1, enclave=True), ENCLAVE)
    assert signed == again
    digest = compute_claim_digest(signed.claim, scene.chain.domain)
    assert recover_signer(digest, signed.enclave) == ENCLAVE.address
    assert recover_signer(digest, signed.signature) == scene.node.signer.address


def test_it_signs_nothing_that_was_not_asked_for(scene: Scene) -> None:
    signed, _ = answer(scene, Policy(quorum=1), ENCLAVE)
    assert signed.enclave == b""


def test_a_node_without_an_enclave_answers_all_the_same(scene: Scene) -> None:
    signed, _ = answer(scene, Policy(quorum=1, enclave=True), None)
    assert signed.enclave == b""


def test_the_key_is_opened_at_the_start(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("a long enough password\n")
    password.chmod(0o600)
    write_keystore(Account.from_key(keccak256(b"the key in the enclave")), tmp_path / "key", password, LIGHT_SCRYPT_N)
    config = NodeConfig(name="n", listen="127.0.0.1:1", database="", models=(), log_url="", log_token_file=tmp_path / "token")
    assert _open_enclave(config) is None
    named = replace(config, enclave_keystore=tmp_path / "key")
    with pytest.raises(ConfigRejected, match="enclave_password_file"):
        _open_enclave(named)
    opened = _open_enclave(replace(named, enclave_password_file=password))
    assert opened is not None
    assert opened.address == ENCLAVE.address
