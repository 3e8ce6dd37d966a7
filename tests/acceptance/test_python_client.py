"""The Python client against a running network: asks in both ways, follows, believes the chain and not the API, and fetches evidence."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from oracle.attest.sign import AccountSigner
from oracle.client import AsyncClient, Client, Reals, Terms
from oracle.demo.auditing import open_network_auditor
from oracle.demo.local_keys import find_seeds, local_account
from oracle.demo.network import Network
from oracle.encoding import to_hex
from oracle.errors import ConfigRejected, EvidenceRejected, NoteRejected, PolicyRejected, RequestUnknown
from oracle.pipeline.catalogue import describe_directory
from oracle.records import Bytes32, EntryKind, Policy

DIGITS = find_seeds() / "models/digits-mlp/canonical"
SAMPLE = json.loads((find_seeds() / "requests/digits-mlp.json").read_text())["samples"][3]
QUORUM, PROOF = Policy(quorum=2), Policy(proof=True)


def terms(policy: Policy) -> Terms:
    return Terms(policy, fee_wei=1000, callback_gas=0, patience_seconds=600)


@pytest.fixture(scope="module")
def client(network: Network) -> Client:
    return Client(
        rpc=network.chain.rpc,
        deployment=network.deployment_file,
        api=network.api_url,
        signer=AccountSigner(local_account("requester")),
        log_vkey=network.vkey,
    )


def wait_for_receipt_entry(client: Client, request_id: Bytes32) -> Any:
    """The relay logs its receipt within moments of the delivery."""
    for _ in range(60):
        evidence = client.evidence(request_id)
        if evidence.of_kind(EntryKind.RECEIPT):
            return evidence
        time.sleep(0.5)
    raise AssertionError("no receipt in the log")


def test_asking_on_chain_following_and_believing(client: Client, network: Network) -> None:
    model = client.model(network.model_ids["digits-mlp/canonical"])
    asked = client.ask(model, Reals(tuple(SAMPLE["input"])), terms(QUORUM))
    with pytest.raises((RequestUnknown, EvidenceRejected)):
        client.verify(Bytes32(bytes(32)))
    kinds = [event.kind for event in client.follow(asked.request_id)]
    assert kinds[-1] == "final"
    verified = client.verify(asked.request_id, model_id=model.model_id, policy=QUORUM, require_complete=True)
    assert len(verified.signers) == 2
    assert client.receipt(asked.request_id)["output"] == to_hex(verified.output)
    with pytest.raises(EvidenceRejected, match="policy"):
        client.verify(asked.request_id, policy=Policy(quorum=3))
    evidence = wait_for_receipt_entry(client, asked.request_id)
    assert len(evidence.of_kind(EntryKind.INTENT)) >= 2
    assert evidence.of_kind(EntryKind.RECEIPT)[-1].record.digest("audit.transaction") == verified.transaction


def test_a_proof_is_verified_by_files_and_by_the_chain(client: Client, network: Network) -> None:
    client.deposit(1_000_000)
    asked = client.ask_signed(describe_directory(DIGITS), Reals(tuple(SAMPLE["input"])), terms(PROOF))
    for _ in client.follow(asked.request_id):
        pass
    by_chain = client.verify(asked.request_id, policy=PROOF, require_complete=True)
    at_hand = Client(rpc=network.chain.rpc, deployment=network.deployment_file, models=[DIGITS])
    by_files = at_hand.verify(asked.request_id, policy=PROOF, require_complete=True)
    assert (by_chain.checked, by_chain.prover) == (("proof",), by_files.prover)
    assert by_chain == by_files


def test_an_enclave_beside_a_quorum(client: Client, network: Network) -> None:
    """One that is simulated counts where the policy says so, and only there."""
    policy = Policy(quorum=2, enclave=True)
    client.deposit(1_000_000)
    with pytest.raises(PolicyRejected, match="simulated"):
        client.ask_signed(describe_directory(DIGITS), Reals(tuple(SAMPLE["input"])), terms(policy))
    simulated = replace(policy, simulated=True)
    asked = client.ask_signed(describe_directory(DIGITS), Reals(tuple(SAMPLE["input"])), terms(simulated))
    assert [event.kind for event in client.follow(asked.request_id)][-1] == "final"
    verified = client.verify(asked.request_id, policy=simulated, require_complete=True)
    assert set(verified.checked) == {"quorum", "enclave"}
    report = open_network_auditor(network).verify_call(asked.request_id)
    assert "a SIMULATED enclave of" in next(step.detail for step in report.steps if step.number == 6)


class LyingApi:
    """Passes everything on, and says something else of every receipt and record."""

    def __init__(self, base_url: str) -> None:
        self._honest = httpx.Client(base_url=base_url)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = self._honest.get(request.url.raw_path.decode()).json()
        if request.url.path.endswith("/receipt"):
            body["output"] = "0x" + "00" * 20
        if request.url.path.endswith("/proof"):
            body["entries"][0]["record"]["time"] = "2020-01-01T00:00:00.000000Z"
        return httpx.Response(200, json=body)


@pytest.fixture
def lied_to(client: Client, network: Network, monkeypatch: pytest.MonkeyPatch) -> Client:
    from oracle.pipeline.client import ApiClient

    monkeypatch.setattr(client, "_api", ApiClient(network.api_url, httpx.MockTransport(LyingApi(network.api_url))))
    return client


def test_an_api_that_lies_is_caught(lied_to: Client, network: Network) -> None:
    newest = httpx.get(f"{network.api_url}/v1/requests?state=final&limit=1").json()["requests"][0]["request_id"]
    request_id = Bytes32(bytes.fromhex(newest[2:]))
    with pytest.raises(EvidenceRejected, match="receipt of the API, output"):
        lied_to.receipt(request_id)
    with pytest.raises(Exception, match="that are proven"):
        lied_to.evidence(request_id)
    assert lied_to.verify(request_id).is_complete, "the chain is not asked through the API"


def test_the_same_awaited(client: Client, network: Network) -> None:
    async def story() -> tuple[str, int]:
        aio = AsyncClient(client)
        model = await aio.model(network.model_ids["digits-mlp/canonical"])
        asked = await aio.ask(model, Reals(tuple(SAMPLE["input"])), terms(QUORUM))
        kinds = [event.kind async for event in aio.follow(asked.request_id)]
        verified = await aio.verify(asked.request_id, policy=QUORUM, require_complete=True)
        told = await aio.receipt(asked.request_id)
        assert told["output_digest"] == to_hex(verified.output_digest)
        return kinds[-1], len(verified.signers)

    assert asyncio.run(story()) == ("final", 2)


def test_what_is_missing_is_named(network: Network) -> None:
    bare = Client(rpc=network.chain.rpc, deployment=network.deployment_file)
    model = describe_directory(DIGITS)
    with pytest.raises(ConfigRejected, match="api"):
        bare.model(Bytes32(bytes(32)))
    with pytest.raises(ConfigRejected, match="signer"):
        bare.ask(model, Reals(tuple(SAMPLE["input"])), terms(QUORUM))
    with pytest.raises(ConfigRejected, match="log_vkey"):
        bare.evidence(Bytes32(bytes(32)))
    with pytest.raises(NoteRejected):
        Client(rpc=network.chain.rpc, deployment=network.deployment_file, log_vkey="no key")
    opaque = describe_directory(find_seeds() / "models/digits-cnn/opaque")
    signing = Client(rpc=network.chain.rpc, deployment=network.deployment_file, signer=AccountSigner(local_account("requester")))
    with pytest.raises(PolicyRejected, match="canonical"):
        signing.ask(opaque, Reals(()), terms(PROOF))
