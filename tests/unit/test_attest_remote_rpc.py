"""A key behind a signer that speaks JSON-RPC: it is shown all that it signs, and what comes back is believed in nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from eth_account import Account

from oracle.attest import remote_http
from oracle.attest.remote import open_signer
from oracle.attest.remote_rpc import METHODS, RpcSigner
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.config import KeyConfig
from oracle.encoding import anchor_preimage, anchor_typed_data, claim_preimage, claim_typed_data, encode_rlp, keccak256, to_hex
from oracle.errors import ConfigRejected, InvariantBroken, PeerError
from oracle.records import Address, Bytes32, Claim, Domain
from oracle.relay.transact import Call, Fees, sign_transaction
from oracle.seams import Show, Shown
from oracle.signatures import SECP256K1_ORDER
from tests.twins.api import served
from tests.twins.signer import Fields, ReferenceRpcSigner

KEY, OTHER = (Account.from_key(keccak256(name)) for name in (b"remote", b"other"))
ADDRESS, ELSEWHERE = Address(KEY.address), Address(OTHER.address)
DOMAIN = Domain(31337, ADDRESS)
OUTPUT = b"output"
CLAIM = Claim(*(Bytes32(keccak256(bytes([i]))) for i in range(3)), keccak256(OUTPUT))
TRANSACTION = (Call(ELSEWHERE, b"\x12\x34", 7), 31337, 5, 50_000, Fees(3_000, 2_000))


@pytest.fixture(params=["eth", "clef"])
def twin(request: pytest.FixtureRequest) -> ReferenceRpcSigner:
    made = ReferenceRpcSigner(is_clef=request.param == "clef")
    made.add(OTHER)
    made.add(KEY)
    return made


@pytest.fixture
def remote(twin: ReferenceRpcSigner) -> Iterator[RpcSigner]:
    with served(twin.app()) as url:
        api = "clef" if twin.is_clef else "eth"
        signer = open_signer(KeyConfig(signer_url=url, signer_api=api, signer_address=ADDRESS), "relay")
        assert isinstance(signer, RpcSigner)
        yield signer


# ---- the real thing --------------------------------------------------------------------------------------------------------------------
def test_signs_claims_anchors_and_transactions_as_the_key_itself_does(twin: ReferenceRpcSigner, remote: RpcSigner) -> None:
    local = AccountSigner(KEY)
    assert sign_claim(CLAIM, OUTPUT, DOMAIN, remote) == sign_claim(CLAIM, OUTPUT, DOMAIN, local)
    assert sign_transaction(*TRANSACTION, remote) == sign_transaction(*TRANSACTION, local)
    anchor = (CLAIM.model_id, 2**40, CLAIM.request_id, 31337, ADDRESS)
    signature = remote.sign_preimage(anchor_preimage(*anchor), lambda: Shown(typed_data=anchor_typed_data(*anchor)))
    assert signature == local.sign_preimage(anchor_preimage(*anchor))
    assert [shown.get("primaryType", "transaction") for shown in twin.signed] == ["InferenceClaim", "transaction", "Anchor"]
    assert twin.signed[1]["to"] == ELSEWHERE


def test_an_account_that_is_not_there_is_refused_at_the_start(twin: ReferenceRpcSigner) -> None:
    del twin.accounts[ADDRESS.lower()]
    with served(twin.app()) as url, pytest.raises(ConfigRejected, match="one of the 1 accounts"):
        RpcSigner(ADDRESS, httpx.Client(base_url=url), METHODS["clef" if twin.is_clef else "eth"])


def test_nothing_is_signed_that_is_not_shown(remote: RpcSigner) -> None:
    for show in (None, lambda: Shown(), lambda: Shown({}, {})):
        with pytest.raises(InvariantBroken, match="shown"):
            remote.sign_preimage(b"\x19\x01" + bytes(64), show)


def test_the_interface_is_one_that_is_known() -> None:
    with pytest.raises(ConfigRejected, match="relay: signer_api: expected web3signer, eth, clef, got parity"):
        open_signer(KeyConfig(signer_url="http://127.0.0.1:9", signer_address=ADDRESS, signer_api="parity"), "relay")


# ---- lies ------------------------------------------------------------------------------------------------------------------------------
CHANGES: dict[str, tuple[Callable[[Fields], Fields], str]] = {
    "chainId": (lambda f: f | {"chainId": "0x1"}, "chainId is 0x1, not 0x7a69"),
    "nonce": (lambda f: f | {"nonce": "0x6"}, "nonce is 0x6, not 0x5"),
    "fee": (lambda f: f | {"maxFeePerGas": "0xffffffff"}, "maxFeePerGas is 0xffffffff"),
    "tip": (lambda f: f | {"maxPriorityFeePerGas": "0xbb8"}, "maxPriorityFeePerGas is 0xbb8"),
    "gas": (lambda f: f | {"gas": "0xffffff"}, "gas is 0xffffff"),
    "to": (lambda f: f | {"to": ADDRESS}, f"to is {ADDRESS.lower()}"),
    "value": (lambda f: f | {"value": "0x8"}, "value is 0x8, not 0x7"),
    "data": (lambda f: f | {"data": "0x1235"}, "data is 0x1235, not 0x1234"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_a_transaction_that_is_not_ours_is_never_used(
    change: Callable[[Fields], Fields], words: str, twin: ReferenceRpcSigner, remote: RpcSigner
) -> None:
    twin.change = change
    with pytest.raises(PeerError, match=f"signed another transaction: {words}"):
        sign_transaction(*TRANSACTION, remote)


def test_another_key_is_never_used(twin: ReferenceRpcSigner, remote: RpcSigner) -> None:
    twin.instead = OTHER
    for ask in (lambda: sign_transaction(*TRANSACTION, remote), lambda: sign_claim(CLAIM, OUTPUT, DOMAIN, remote)):
        with pytest.raises(PeerError, match=f"signed as {ELSEWHERE}"):
            ask()


def raw_with(parity: int, r: int, s: int) -> str:
    """Our transaction with any signature."""
    call, chain_id, nonce, gas, fees = TRANSACTION
    fields = [chain_id, nonce, fees.priority_fee_wei, fees.max_fee_wei, gas, bytes.fromhex(ELSEWHERE[2:]), call.value_wei, call.data]
    return to_hex(b"\x02" + encode_rlp([*fields, [], parity, r, s]))


class Keeping(AccountSigner):
    """The key itself, and what it signed last."""

    last = b""

    def sign_preimage(self, preimage: bytes, show: Show | None = None) -> bytes:
        Keeping.last = super().sign_preimage(preimage)
        return Keeping.last


def test_the_other_signature_of_the_same_transaction_is_refused(twin: ReferenceRpcSigner, remote: RpcSigner) -> None:
    true = sign_transaction(*TRANSACTION, Keeping(KEY))
    parity, r, s = Keeping.last[64] - 27, int.from_bytes(Keeping.last[:32], "big"), int.from_bytes(Keeping.last[32:64], "big")
    lies = {
        raw_with(1 - parity, r, SECP256K1_ORDER - s): "lower half",
        raw_with(1 - parity, r, s): "signed as|no signature",
        raw_with(parity, 0, s): "signature r|no transaction",
        raw_with(parity, r, 0): "signature s|no transaction",
    }
    for raw, words in lies.items():
        twin.answer = lambda _, raw=raw: {"raw": raw} if twin.is_clef else raw
        with pytest.raises(PeerError, match=words):
            sign_transaction(*TRANSACTION, remote)
    twin.answer = lambda _: {"raw": raw_with(parity, r, s)} if twin.is_clef else raw_with(parity, r, s)
    assert sign_transaction(*TRANSACTION, remote) == true


def test_an_access_list_that_nobody_asked_for_is_refused(twin: ReferenceRpcSigner, remote: RpcSigner) -> None:
    """Signed by the right key: of all fields it is the one that is not shown."""
    listed = {"accessList": [{"address": ADDRESS, "storageKeys": []}]}
    fields = {"type": 2, "chainId": 31337, "nonce": 5, "maxPriorityFeePerGas": 2_000, "maxFeePerGas": 3_000, "gas": 50_000}
    raw = to_hex(bytes(KEY.sign_transaction(fields | {"to": ELSEWHERE, "value": 7, "data": "0x1234"} | listed).raw_transaction))
    twin.answer = lambda _: {"raw": raw} if twin.is_clef else raw
    with pytest.raises(PeerError, match="or something else"):
        sign_transaction(*TRANSACTION, remote)


def mirrored(signature: bytes) -> bytes:
    s = SECP256K1_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def test_typed_data_that_is_not_ours_is_never_used(twin: ReferenceRpcSigner, remote: RpcSigner) -> None:
    document = claim_typed_data(CLAIM, DOMAIN)
    others = [
        claim_typed_data(replace(CLAIM, output_digest=CLAIM.model_id), DOMAIN),
        claim_typed_data(CLAIM, Domain(1, ADDRESS)),
        claim_typed_data(CLAIM, Domain(31337, ELSEWHERE)),
    ]
    true = bytes(KEY.sign_typed_data(full_message=document).signature)
    signatures = [bytes(KEY.sign_typed_data(full_message=other).signature) for other in others]
    signatures += [mirrored(true), true[:64] + bytes([true[64] - 27]), true[:64], true + b"\0", bytes(65), b""]
    for signature in signatures:
        twin.answer = lambda _, signature=signature: to_hex(signature)
        with pytest.raises(PeerError):
            remote.sign_preimage(claim_preimage(CLAIM, DOMAIN), lambda: Shown(typed_data=document))


NONSENSE: list[Any] = [None, 5, "", "0x", "0x02", "0x02c0", "0x01c0", {}, {"raw": 5}, {"raw": None}, ["0x02"], "0x" + "02" * 5000, "zz"]


def test_an_answer_that_is_none_is_the_signers_fault(twin: ReferenceRpcSigner, remote: RpcSigner) -> None:
    for result in NONSENSE:
        twin.answer = lambda _, result=result: result
        for ask in (lambda: sign_transaction(*TRANSACTION, remote), lambda: sign_claim(CLAIM, OUTPUT, DOMAIN, remote)):
            with pytest.raises(PeerError):
                ask()


def answering(body: str | httpx.SyncByteStream) -> httpx.Client:
    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=body) if isinstance(body, str) else httpx.Response(200, stream=body)

    return httpx.Client(base_url="http://signer.test", transport=httpx.MockTransport(handle))


@pytest.mark.parametrize("accounts", ["null", "5", "{}", '["x"]', "[5]", "[{}]", "[null]", "[[]]"])
def test_a_list_of_accounts_that_is_none(accounts: str) -> None:
    with pytest.raises(PeerError, match="list of accounts"):
        RpcSigner(ADDRESS, answering(f'{{"id": 1, "result": {accounts}}}'), METHODS["clef"])


@pytest.mark.parametrize(
    "body",
    ['{"id": 1}', '{"id": 2, "result": []}', "[]", "{", '{"id": 1, "error": {"code": -32000, "message": "denied"}}', "[" * 100_000],
    ids=lambda b: b[:20],
)
def test_an_envelope_that_is_none(body: str) -> None:
    with pytest.raises(PeerError):
        RpcSigner(ADDRESS, answering(body), METHODS["eth"])


def test_a_refusal_says_why(twin: ReferenceRpcSigner, remote: RpcSigner) -> None:
    twin.accounts.clear()
    with pytest.raises(PeerError, match=r"refuses .*KeyError"):
        sign_claim(CLAIM, OUTPUT, DOMAIN, remote)


def test_a_signer_that_hangs_holds_nobody_up(twin: ReferenceRpcSigner) -> None:
    with served(twin.app()) as url:
        signer = RpcSigner(ADDRESS, httpx.Client(base_url=url, timeout=0.5), METHODS["clef" if twin.is_clef else "eth"])
        twin.hangs_seconds, started = 2.0, time.monotonic()
        with pytest.raises(PeerError, match="does not answer"):
            sign_claim(CLAIM, OUTPUT, DOMAIN, signer)
        assert time.monotonic() - started < 1.9


def test_a_signer_that_floods_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_http, "MAX_ANSWER_BYTES", 10_000)

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b" " * 1000

    with pytest.raises(PeerError, match="10000 bytes"):
        RpcSigner(ADDRESS, answering(Endless()), METHODS["eth"])
