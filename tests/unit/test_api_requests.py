"""Asking over HTTP: every kind of bad input by its name, no half state, and what a good request gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from circuits import CanonicalModel
from oracle.attest.sign import AccountSigner
from oracle.encoding import compute_request_id, keccak256, pack_int16, pack_policy, to_hex, type_hash
from oracle.errors import PolicyRejected, RequestUnpaid
from oracle.http import PROBLEM
from oracle.pipeline import accepting
from oracle.pipeline.accepting import check_provable
from oracle.pipeline.api import Desk
from oracle.pipeline.catalogue import DescribedModel, Payload
from oracle.records import SIGNED_NONCE_START, Address, Asked, Bytes32, Domain, EnclaveKey, ModelKind, Policy
from oracle.relay import store
from oracle.relay.terms import Terms
from oracle.wire import asked_to_json, request_from_json
from tests.twins.api import DEPOSIT_WEI, DIGITS, REQUESTER, ROOT, WINE, Network, network
from tests.twins.coprocessor import SELECTORS

STRANGER = Account.from_key(keccak256(b"a stranger"))


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    with network(tmp_path) as made:
        yield made


@pytest.fixture
def client(net: Network) -> TestClient:
    return TestClient(net.app, raise_server_exceptions=False)


def post(client: TestClient, asked: Asked) -> Any:
    return client.post("/v1/requests", json=asked_to_json(asked))


# ---- good requests -------------------------------------------------------------------------------------------------------------------
def test_a_signed_request_is_durable_before_the_answer_and_the_same_again(net: Network, client: TestClient) -> None:
    asked = net.asked()
    first = post(client, asked)
    assert first.status_code == 202, first.text
    assert first.json()["request_id"] == to_hex(asked.request_id)
    assert first.json()["state"] == "collecting"
    assert store.request_view(net.desk.engine, asked.request_id).asked == asked
    counts = net.counts()
    assert post(client, asked).json() == first.json()
    assert net.counts() == counts == (1, 1)


def test_a_contract_signs_by_erc_1271(net: Network, client: TestClient) -> None:
    wallet = Address("0x" + "77" * 20)
    asked = net.asked(requester=wallet, fee_wei=0)
    asked = replace(asked, signature=b"any bytes the wallet takes")
    assert post(client, asked).json()["title"] == "RequestRejected"
    net.chain.deploy_wallet(wallet, frozenset({(asked.request_id, asked.signature)}))
    assert post(client, asked).status_code == 202


def test_a_repeat_is_answered_even_when_it_could_not_be_accepted_any_more(net: Network, client: TestClient) -> None:
    asked = net.asked()
    assert post(client, asked).status_code == 202
    net.chain.deprecate_model(net.digits)
    assert post(client, asked).status_code == 202
    assert post(client, net.asked(nonce=SIGNED_NONCE_START + 8)).status_code == 422


# ---- bad requests, each by its name ---------------------------------------------------------------------------------------------------
def elsewhere(net: Network, domain: Domain) -> Asked:
    """Signed for another chain or contract."""
    asked = net.asked()
    return replace(asked, signature=AccountSigner(REQUESTER).sign_digest(compute_request_id(asked.request, domain)))


BAD: dict[str, tuple[Any, int, str, str]] = {
    "unknown model": (lambda n: n.asked(model_id=keccak256(b"?")), 404, "ModelUnknown", "model"),
    "wrong shape": (lambda n: n.asked(bytes(126)), 422, "InputRejected", "128 bytes"),
    "empty input": (lambda n: n.asked(b""), 422, "InputRejected", "128 bytes"),
    "out of range": (lambda n: n.asked(pack_int16([0] * 63 + [2048])), 422, "InputRejected", "element 63"),
    "expired": (lambda n: n.asked(deadline=n.chain.time), 410, "RequestExpired", "deadline"),
    "deadline zero": (lambda n: n.asked(deadline=0), 410, "RequestExpired", "deadline"),
    "deadline too far": (lambda n: n.asked(deadline=n.chain.time + 31 * 86_400), 422, "RequestRejected", "30 days"),
    "deadline at the end of uint64": (lambda n: n.asked(deadline=(1 << 64) - 1), 422, "RequestRejected", "30 days"),
    "unpaid": (lambda n: n.asked(fee_wei=DEPOSIT_WEI + 1), 402, "RequestUnpaid", "deposit"),
    "fee at the end of uint256": (lambda n: n.asked(fee_wei=(1 << 256) - 1), 402, "RequestUnpaid", "deposit"),
    "no deposit": (lambda n: n.asked(signer=STRANGER, requester=Address(STRANGER.address)), 402, "RequestUnpaid", "deposit"),
    "wrong chain": (lambda n: elsewhere(n, replace(n.chain.domain, chain_id=1)), 422, "RequestRejected", "chain 31337"),
    "wrong contract": (lambda n: elsewhere(n, Domain(31337, Address(STRANGER.address))), 422, "RequestRejected", "Coprocessor 0x"),
    "another signer": (lambda n: n.asked(signer=STRANGER), 422, "RequestRejected", "signature"),
    "no signature": (lambda n: replace(n.asked(), signature=b""), 422, "RequestRejected", "signature"),
    "short signature": (lambda n: replace(n.asked(), signature=bytes(64)), 422, "RequestRejected", "signature"),
    "wrong input digest": (lambda n: replace(n.asked(), input=pack_int16([1] * 64)), 422, "InputRejected", "input_digest"),
    "a nonce of the contract's": (lambda n: n.asked(nonce=SIGNED_NONCE_START - 1), 422, "RequestRejected", "2^128"),
    "too much callback gas": (lambda n: n.asked(callback_gas=5_000_001), 422, "RequestRejected", "callback_gas"),
    "refund to zero": (lambda n: n.asked(refund_to=Address("0x" + "00" * 20)), 422, "RequestRejected", "refund_to"),
    "policy that demands nothing": (lambda n: n.asked(policy=b"\1" + bytes(31)), 422, "PolicyRejected", "a quorum or a proof"),
    "policy of another version": (lambda n: n.asked(policy=b"\2\1" + bytes(30)), 422, "PolicyRejected", "version 1"),
    "policy with padding": (lambda n: n.asked(policy=b"\1\1" + bytes(29) + b"\1"), 422, "PolicyRejected", "padding"),
    "more than all operators": (lambda n: n.asked(policy=pack_policy(Policy(quorum=4))), 422, "PolicyRejected", "at most 3"),
    "proof and enclave": (lambda n: n.asked(policy=pack_policy(Policy(proof=True, enclave=True))), 422, "PolicyRejected", "enclave"),
    "enclave": (lambda n: n.asked(policy=pack_policy(Policy(1, enclave=True))), 422, "PolicyRejected", "enclave"),
    "enclave alone": (lambda n: n.asked(policy=b"\1\0\2" + bytes(29)), 422, "PolicyRejected", "an enclave alone"),
    "window too long": (lambda n: n.asked(policy=pack_policy(Policy(1, window_seconds=604_801))), 422, "PolicyRejected", "window"),
}


SIMULATED, HARDWARE = 255, 2
ENCLAVE, EVEN_SIMULATED = Policy(2, enclave=True), Policy(2, enclave=True, simulated=True)


@pytest.mark.parametrize(
    ("policy", "changes", "found"),
    [
        (ENCLAVE, {"platform": HARDWARE}, None),
        (EVEN_SIMULATED, {"platform": HARDWARE}, None),
        (EVEN_SIMULATED, {}, None),
        (ENCLAVE, {}, "got simulated enclaves alone"),
        (EVEN_SIMULATED, {"is_revoked": True}, "got none"),
        (EVEN_SIMULATED, {"expires_at": 0}, "got none"),
        (EVEN_SIMULATED, {"operator": Address(STRANGER.address)}, "got none"),
    ],
)
def test_an_enclave_is_demanded_where_one_could_sign(
    policy: Policy, changes: dict[str, Any], found: str | None, net: Network, client: TestClient
) -> None:
    """Expired means: at the head's time, to the second."""
    now, zero = net.chain.time, Bytes32(bytes(32))
    operator = net.chain.operators()[0].operator
    key = EnclaveKey(Address(STRANGER.address), operator, SIMULATED, False, now + 1, zero, zero, zero)
    changes = changes | ({"expires_at": now} if "expires_at" in changes else {})
    net.chain.enclaves[key.key] = replace(key, **changes)
    answer = post(client, net.asked(policy=pack_policy(policy)))
    demanded = {"quorum": 2, "enclave": True, "simulated": policy.simulated}
    prepared = client.post("/v1/requests/prepare", json=wanted(net, policy=demanded))
    if found is None:
        assert (answer.status_code, prepared.status_code) == (202, 200)
        return
    for refused in (answer, prepared):
        assert (refused.status_code, refused.json()["title"]) == (422, "PolicyRejected")
        assert found in refused.json()["detail"]


@pytest.mark.parametrize("is_served", [True, False])
def test_disputes_are_demanded_where_there_are_some(is_served: bool, net: Network, client: TestClient) -> None:
    """A deployment made before the contract Disputes would refuse the request only when it is delivered."""
    net.chain.has_disputes = is_served
    policy = Policy(1, window_seconds=600, disputable=True)
    answer = post(client, net.asked(policy=pack_policy(policy)))
    demanded = {"quorum": 1, "window_seconds": 600, "disputable": True}
    prepared = client.post("/v1/requests/prepare", json=wanted(net, policy=demanded))
    if is_served:
        assert (answer.status_code, prepared.status_code) == (202, 200)
        return
    for refused in (answer, prepared):
        assert (refused.status_code, refused.json()["title"]) == (422, "PolicyRejected")
        assert refused.json()["detail"] == "policy disputable: expected a deployment with the contract Disputes, got one without it"
    assert net.counts() == (0, 0)
    assert post(client, net.asked(policy=pack_policy(replace(policy, disputable=False)))).status_code == 202


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_its_own_error_and_leaves_nothing(name: str, net: Network, client: TestClient) -> None:
    make, status, title, detail = BAD[name]
    before = net.counts()
    answer = post(client, make(net))
    assert (answer.status_code, answer.json()["title"]) == (status, title), answer.text
    assert detail in answer.json()["detail"]
    assert answer.headers["content-type"] == PROBLEM
    assert net.counts() == before == (0, 0)


@pytest.mark.parametrize(
    ("path", "value", "status"),
    [
        (("request", "requester"), "0x" + "11" * 19, 422),
        (("request", "requester"), "0x5FbDB2315678afecb367f032d93F642f64180aA3", 400),  # a wrong EIP-55 checksum
        (("request", "model_id"), "0x12", 422),
        (("request", "model_id"), 7, 422),
        (("request", "fee_wei"), 1000, 422),
        (("request", "fee_wei"), "01", 422),
        (("request", "fee_wei"), "-1", 422),
        (("request", "fee_wei"), "9" * 78, 400),  # decimal, but not below 2^256
        (("request", "fee_wei"), "१", 422),
        (("request", "callback_gas"), "5", 422),
        (("request", "callback_gas"), 1 << 32, 422),
        (("request", "callback_gas"), True, 422),
        (("request", "callback_gas"), 1.0, 422),
        (("request", "deadline"), 1 << 64, 422),
        (("request", "deadline"), None, 422),
        (("request", "surprise"), 1, 422),
        (("request",), [], 422),
        (("signature",), "0x123", 422),
        (("signature",), "0x" + "ab" * 4097, 422),
        (("signature",), "zz", 422),
        (("input",), "0xabc", 422),
        (("input",), "00", 422),
        (("surprise",), 1, 422),
    ],
)
def test_a_malformed_field_is_named(path: tuple[str, ...], value: Any, status: int, net: Network, client: TestClient) -> None:
    body = asked_to_json(net.asked())
    target = body
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    answer = client.post("/v1/requests", json=body)
    assert (answer.status_code, answer.json()["title"]) == (status, "MalformedInput"), answer.text
    assert path[-1] in answer.json()["detail"]
    assert net.counts() == (0, 0)


@pytest.mark.parametrize("gone", ["request", "signature", "input"])
def test_a_missing_field_is_named(gone: str, net: Network, client: TestClient) -> None:
    body = asked_to_json(net.asked())
    del body[gone]
    answer = client.post("/v1/requests", json=body)
    assert answer.status_code == 422
    assert gone in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"x"', b'{"request": NaN}', b"[" * 100_000])
def test_malformed_json(body: bytes, net: Network, client: TestClient) -> None:
    answer = client.post("/v1/requests", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert net.counts() == (0, 0)


def test_an_oversized_body(tmp_path: Path) -> None:
    with network(tmp_path, max_body_bytes=2000) as net:
        client = TestClient(net.app)
        assert post(client, net.asked()).status_code == 202
        answer = client.post("/v1/requests", content=b" " * 2001)
        assert (answer.status_code, answer.json()["title"]) == (413, "TooLarge")


def test_a_model_that_is_not_registered_or_deprecated(net: Network, client: TestClient) -> None:
    net.chain.deprecate_model(net.digits)
    answer = post(client, net.asked())
    assert (answer.status_code, answer.json()["title"]) == (422, "ModelRejected")
    net.chain.act(lambda world: world.models.__delitem__(net.digits))
    answer = post(client, net.asked())
    assert (answer.status_code, answer.json()["title"]) == (404, "ModelUnknown")
    assert net.counts() == (0, 0)


def test_a_request_used_on_chain_already(net: Network, client: TestClient) -> None:
    asked = net.asked()
    net.deliver(asked, bytes(20))
    answer = post(client, asked)
    assert (answer.status_code, answer.json()["title"]) == (422, "RequestRejected")
    assert "FINAL" in answer.json()["detail"]


def test_a_deposit_counts_once(net: Network, client: TestClient) -> None:
    """Two requests that each could be paid, but not both."""
    assert post(client, net.asked(fee_wei=DEPOSIT_WEI)).status_code == 202
    answer = post(client, net.asked(fee_wei=1, nonce=SIGNED_NONCE_START + 8))
    assert answer.status_code == 402
    assert str(DEPOSIT_WEI) in answer.json()["detail"]
    assert net.counts() == (1, 1)


@pytest.mark.parametrize("processes", [1, 16])
def test_a_deposit_counts_once_also_at_the_same_moment(net: Network, processes: int) -> None:
    """Sixteen requests at once, of which the deposit pays four: the database decides, so that several APIs may stand on it."""
    desks = [replace(net.desk, _submitting=Lock()) for _ in range(processes)]

    def submit(number: int) -> str:
        try:
            desks[number % processes].submit(net.asked(fee_wei=DEPOSIT_WEI // 4, nonce=SIGNED_NONCE_START + number))
        except RequestUnpaid:
            return "unpaid"
        return "accepted"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(submit, range(16)))
    assert answers.count("accepted") == 4
    assert net.counts() == (4, 4)


def test_one_request_posted_many_times_at_once_is_stored_once(net: Network) -> None:
    with ThreadPoolExecutor(16) as pool:
        submitted = list(pool.map(lambda _: net.desk.submit(net.asked(fee_wei=DEPOSIT_WEI)), range(16)))
    assert net.counts() == (1, 1)
    assert [s.is_new for s in submitted].count(True) == 1


def test_a_requester_who_asks_too_often(tmp_path: Path) -> None:
    with network(tmp_path, per_minute=2) as net:
        client = TestClient(net.app)
        answers = [post(client, net.asked(nonce=SIGNED_NONCE_START + i)) for i in range(3)]
        assert [a.status_code for a in answers] == [202, 202, 429]
        assert answers[2].json()["title"] == "RateLimited"
        assert net.counts() == (2, 2)
        assert post(client, net.asked(nonce=SIGNED_NONCE_START)).status_code == 202  # a repeat costs nothing
        net.chain.mine(seconds=61)
        assert post(client, net.asked(nonce=SIGNED_NONCE_START + 3)).status_code == 202


# ---- the relay's terms ---------------------------------------------------------------------------------------------------------------
PRICED = Terms(minimum_fee_wei=1000, minimum_fee_per_callback_gas_wei=7, max_callback_gas=100)
BELOW_TERMS: dict[str, tuple[dict[str, Any], int, str, str, str]] = {
    "no fee": ({"fee_wei": 0}, 402, "RequestUnpaid", "at least 1000 wei", "got 0 wei"),
    "fee of the callback missing": ({"fee_wei": 1699, "callback_gas": 100}, 402, "RequestUnpaid", "at least 1700 wei", "got 1699 wei"),
    "too much callback gas": ({"fee_wei": 10**15, "callback_gas": 101}, 422, "RequestRejected", "at most 100", "got 101"),
}


@pytest.mark.parametrize("name", BELOW_TERMS)
def test_below_the_relays_terms(name: str, net: Network, client: TestClient) -> None:
    """Fresh keys get no further: the terms hold for each request, and nothing of a refused one is stored."""
    changes, status, title, expected, got = BELOW_TERMS[name]
    store.publish_terms(net.desk.engine, PRICED, net.desk.now())
    for number in range(3):
        fresh = Account.from_key(keccak256(b"fresh %d" % number))
        net.chain.deposit(Address(fresh.address), DEPOSIT_WEI)
        answer = post(client, net.asked(signer=fresh, requester=Address(fresh.address), **changes))
        assert (answer.status_code, answer.json()["title"]) == (status, title)
        assert expected in answer.json()["detail"]
        assert got in answer.json()["detail"]
    assert net.counts() == (0, 0)


def test_exactly_the_relays_terms(net: Network, client: TestClient) -> None:
    store.publish_terms(net.desk.engine, PRICED, net.desk.now())
    assert post(client, net.asked(fee_wei=1700, callback_gas=100)).status_code == 202


def test_terms_that_change_while_a_request_is_checked(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look is in the transaction that stores."""
    monkeypatch.setattr(Desk, "relay_terms", lambda self: Terms())
    store.publish_terms(net.desk.engine, PRICED, net.desk.now())
    with pytest.raises(RequestUnpaid, match="at least 1000 wei"):
        net.desk.submit(net.asked(fee_wei=999))
    assert net.counts() == (0, 0)


def test_terms_hold_for_prepare_and_for_the_examples(net: Network, client: TestClient) -> None:
    free = client.get("/openapi.json").json()["paths"]["/v1/requests/prepare"]["post"]
    body = free["requestBody"]["content"]["application/json"]["examples"]["example"]["value"]
    assert client.post("/v1/requests/prepare", json=body).status_code == 200
    store.publish_terms(net.desk.engine, PRICED, net.desk.now())
    assert client.post("/v1/requests/prepare", json=body).status_code == 402
    net.app.openapi_schema = None
    paths = client.get("/openapi.json").json()["paths"]
    priced = paths["/v1/requests/prepare"]["post"]["requestBody"]["content"]["application/json"]["examples"]["example"]["value"]
    assert priced["fee_wei"] == "1000"
    assert client.post("/v1/requests/prepare", json=priced).status_code == 200
    assert "examples" not in paths["/v1/requests"]["post"]["requestBody"]["content"]["application/json"]


# ---- the world ------------------------------------------------------------------------------------------------------------------------
def test_a_chain_that_does_not_answer(net: Network, client: TestClient) -> None:
    net.chain.is_down = True
    answer = post(client, net.asked())
    assert (answer.status_code, answer.json()["title"]) == (503, "ChainError")
    assert client.get("/ready").status_code == 503
    assert "RPC" in client.get("/ready").json()["checks"]["chain"]
    assert client.get("/health").status_code == 200
    assert net.counts() == (0, 0)


def test_a_database_that_does_not_answer(net: Network, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("select", {}, Exception("disk I/O error"))

    monkeypatch.setattr(store, "reading", fail)
    answer = post(client, net.asked())
    assert (answer.status_code, answer.json()["title"]) == (503, "StoreError")
    assert "disk" not in answer.text
    assert client.get("/ready").json()["checks"]["database"] != "ok"


# ---- prepare ------------------------------------------------------------------------------------------------------------------------
def wanted(net: Network, **changes: Any) -> dict[str, Any]:
    body = {
        "model_id": to_hex(net.digits),
        "input": {"real": [0.0] * 64},
        "policy": {"quorum": 2},
        "fee_wei": "1000",
        "deadline": net.chain.time + 600,
        "requester": REQUESTER.address,
    }
    return body | changes


def test_what_is_prepared_can_be_signed_by_a_wallet_and_posted(net: Network, client: TestClient) -> None:
    image = [float(k % 17) for k in range(64)]
    prepared = client.post("/v1/requests/prepare", json=wanted(net, input={"real": image}))
    assert prepared.status_code == 200, prepared.text
    body = prepared.json()
    expected = CanonicalModel.load(DIGITS).quantize(image).tolist()
    assert body["input"] == to_hex(pack_int16(expected))
    assert body["input_digest"] == to_hex(keccak256(pack_int16(expected)))
    signature = Account.sign_message(encode_typed_data(full_message=body["signed"]["typed_data"]), REQUESTER.key).signature
    posted = client.post(
        "/v1/requests", json={"request": body["signed"]["request"], "signature": to_hex(signature), "input": body["input"]}
    )
    assert posted.status_code == 202, posted.text
    assert posted.json()["request_id"] == body["signed"]["request_id"]


def test_what_is_prepared_can_be_sent_as_a_transaction(net: Network, client: TestClient) -> None:
    on_chain = client.post("/v1/requests/prepare", json=wanted(net, refund_to=STRANGER.address)).json()["on_chain"]
    data = bytes.fromhex(on_chain["data"][2:])
    assert SELECTORS[data[:4]] == "request"
    assert on_chain["to"] == net.chain.domain.coprocessor
    net.chain.send(Address(REQUESTER.address), data, int(on_chain["value_wei"]))
    net.chain.mine()
    asked = net.chain.head.asked[0]
    assert asked.request.model_id == net.digits
    assert (asked.request.refund_to, asked.request.fee_wei) == (STRANGER.address, 1000)
    assert asked.input == bytes(128)


def test_preparing_stores_nothing_and_draws_nonces_nobody_guesses(net: Network, client: TestClient) -> None:
    nonces = {client.post("/v1/requests/prepare", json=wanted(net)).json()["signed"]["request"]["nonce"] for _ in range(5)}
    assert len(nonces) == 5
    assert all(SIGNED_NONCE_START <= int(n) < 1 << 256 for n in nonces)
    assert net.counts() == (0, 0)


def test_saturation_is_said(net: Network, client: TestClient) -> None:
    body = client.post("/v1/requests/prepare", json=wanted(net, input={"real": [1e9, *[0.0] * 63]})).json()
    assert body["saturated"] == 1


@pytest.mark.parametrize(
    ("changes", "status", "title", "detail"),
    [
        ({"model_id": "0x" + "12" * 32}, 404, "ModelUnknown", "model"),
        ({"input": {"real": [0.0] * 63}}, 422, "InputRejected", "64 elements"),
        ({"input": {"integers": [2048] * 64}}, 422, "InputRejected", "element 0"),
        ({"input": {"hex": "0x00"}}, 422, "InputRejected", "128 bytes"),
        ({"input": {"tensors": {}}}, 422, "InputRejected", "canonical"),
        ({"input": {}}, 422, "MalformedInput", "input"),
        ({"input": {"real": [0.0] * 64, "hex": "0x"}}, 422, "MalformedInput", "input"),
        ({"input": {"real": ["0"] * 64}}, 422, "MalformedInput", "input"),
        ({"input": {"real": [True] * 64}}, 422, "MalformedInput", "input"),
        ({"policy": {}}, 422, "PolicyRejected", "a quorum or a proof"),
        ({"policy": {"quorum": 256}}, 422, "MalformedInput", "quorum"),
        ({"policy": {"proof": True, "enclave": True}}, 422, "PolicyRejected", "enclave"),
        ({"deadline": 1}, 410, "RequestExpired", "deadline"),
        ({"nonce": "5"}, 422, "RequestRejected", "2^128"),
        ({"callback_gas": 6_000_000}, 422, "RequestRejected", "callback_gas"),
        ({"requester": "0x5FbDB2315678afecb367f032d93F642f64180aA3"}, 400, "MalformedInput", "requester"),
    ],
)
def test_what_cannot_be_prepared_is_named(
    changes: dict[str, Any], status: int, title: str, detail: str, net: Network, client: TestClient
) -> None:
    answer = client.post("/v1/requests/prepare", json=wanted(net, **changes))
    assert (answer.status_code, answer.json()["title"]) == (status, title), answer.text
    assert detail in answer.json()["detail"]


def test_infinity_is_refused(net: Network, client: TestClient) -> None:
    body = json.dumps(wanted(net, input={"real": [float("inf")] + [0.0] * 63}))
    answer = client.post("/v1/requests/prepare", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["title"] == "MalformedInput"


# ---- models ---------------------------------------------------------------------------------------------------------------------------
def test_models_are_described(net: Network, client: TestClient) -> None:
    listed = client.get("/v1/models").json()["models"]
    assert {m["name"] for m in listed} == {"digits-mlp", "wine-mlp"}
    assert all(m["on_chain"]["is_active"] for m in listed)
    shown = client.get(f"/v1/models/{to_hex(net.digits)}").json()
    assert shown["manifest"] == json.loads((DIGITS / "manifest.json").read_text())
    assert shown["input"]["tensors"] == [{"name": shown["manifest"]["input"]["name"], "dtype": "int16", "shape": [64]}]
    assert client.get("/v1/models/0x" + "00" * 32).status_code == 404
    assert client.get("/v1/models/0x00").status_code == 422
    assert WINE.exists()


def test_limits_are_those_of_the_contract() -> None:
    source = (ROOT / "contracts/src/Coprocessor.sol").read_text()
    assert f"MAX_CALLBACK_GAS = {accepting.MAX_CALLBACK_GAS:_}" in source
    assert accepting.MAX_HORIZON_SECONDS == 30 * 86_400
    assert "MAX_HORIZON_SECONDS = 30 days" in source
    assert accepting.MAX_WINDOW_SECONDS == 7 * 86_400
    assert "MAX_WINDOW_SECONDS = 7 days" in source


def test_the_typed_data_is_the_request_that_is_hashed(net: Network, client: TestClient) -> None:
    body = client.post("/v1/requests/prepare", json=wanted(net)).json()["signed"]
    request = request_from_json(body["request"])
    assert to_hex(compute_request_id(request, net.chain.domain)) == body["request_id"]
    members = ",".join(f"{m['type']} {m['name']}" for m in body["typed_data"]["types"]["InferenceRequest"])
    assert type_hash(f"InferenceRequest({members})") == type_hash(
        "InferenceRequest(address requester,address refundTo,bytes32 modelId,bytes32 inputDigest,bytes32 policy,"
        "uint256 feeWei,uint32 callbackGas,uint64 deadline,uint256 nonce)"
    )


def test_what_is_remembered_of_the_chain_ends_with_its_head(net: Network) -> None:
    """The number of operators is asked once a block, and never believed for longer."""
    net.desk.submit(net.asked(fee_wei=0, policy=pack_policy(Policy(quorum=3))))
    net.chain.set_operator_active(0, False)
    with pytest.raises(PolicyRejected, match="at most 2"):
        net.desk.submit(net.asked(fee_wei=0, policy=pack_policy(Policy(quorum=3)), nonce=SIGNED_NONCE_START + 8))
    net.chain.reorg(1)
    net.chain.mine()
    net.desk.submit(net.asked(fee_wei=0, policy=pack_policy(Policy(quorum=3)), nonce=SIGNED_NONCE_START + 9))


def test_a_deposit_is_asked_once_a_block_and_never_believed_for_longer(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = list[Address](), net.chain.balance_of
    monkeypatch.setattr(net.chain, "balance_of", lambda account: (asked.append(account), real(account))[1])
    for number in range(3):
        net.desk.submit(net.asked(fee_wei=1, nonce=SIGNED_NONCE_START + number))
    assert len(asked) == 1
    monkeypatch.setattr(net.chain, "balance_of", lambda _account: 3)  # withdrawn
    net.chain.mine()
    with pytest.raises(RequestUnpaid, match="3 wei for requests before it"):
        net.desk.submit(net.asked(fee_wei=1, nonce=SIGNED_NONCE_START + 3))


# ---- proofs --------------------------------------------------------------------------------------------------------------------
def test_a_proof_can_be_demanded_of_a_canonical_model(net: Network, client: TestClient) -> None:
    asked = net.asked(policy=pack_policy(Policy(proof=True, window_seconds=60)))
    assert post(client, asked).status_code == 202
    answer = client.post("/v1/requests/prepare", json=wanted(net, policy={"proof": True, "quorum": 2})).json()
    assert answer["signed"]["request"]["policy"] == to_hex(pack_policy(Policy(quorum=2, proof=True)))


def test_a_proof_of_an_opaque_model_cannot_be_demanded() -> None:
    opaque = DescribedModel(Bytes32(bytes(32)), ModelKind.OPAQUE, "opaque", {}, Payload("AFT1", ()), Payload("AFT1", ()), None, None)
    check_provable(Policy(quorum=2), opaque)
    with pytest.raises(PolicyRejected, match="canonical"):
        check_provable(Policy(quorum=2, proof=True), opaque)
