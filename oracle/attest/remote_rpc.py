"""A key behind a signer that speaks JSON-RPC: what it signs is shown to it in full, so that it can have rules of its own.

| `signer_api` | accounts | transactions | typed data (EIP-712) |
|---|---|---|---|
| `eth`, as Web3Signer | `eth_accounts` | `eth_signTransaction [fields]` → raw | `eth_signTypedData [address, text of JSON]` |
| `clef` | `account_list` | `account_signTransaction [fields]` → `{raw, tx}` | `account_signTypedData [address, JSON]` |

Nothing that comes back is passed on: the signature is taken out of it, and used only where the expected address made it over exactly the
bytes that we made. Sources: docs.web3signer.consensys.io/reference/api/json-rpc; geth.ethereum.org/docs/clef/apis.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from oracle.attest.remote_http import ask
from oracle.encoding import keccak256, parse_address, parse_hex, to_hex
from oracle.errors import ClaimRejected, ConfigRejected, InvariantBroken, MalformedInput, PeerError
from oracle.records import Address
from oracle.seams import Show
from oracle.signatures import recover_signer

TYPE_2 = b"\x02"
NUMBERS = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "value")


@dataclass(frozen=True, slots=True)
class Methods:
    """How a product calls its methods. `takes_text`: typed data is handed over as the text of a JSON document."""

    accounts: str
    transaction: str
    typed_data: str
    takes_text: bool


METHODS = {
    "eth": Methods("eth_accounts", "eth_signTransaction", "eth_signTypedData", takes_text=True),
    "clef": Methods("account_list", "account_signTransaction", "account_signTypedData", takes_text=False),
}


class RpcSigner:
    """`oracle.seams.PreimageSigner` over JSON-RPC. Safe to use from several threads."""

    def __init__(self, address: Address, http: httpx.Client, methods: Methods) -> None:
        self._http = http
        self._address = address
        self._methods = methods
        self._ids = count(1)
        self._require_account()

    def __repr__(self) -> str:
        return f"RpcSigner({self._address})"

    @property
    def address(self) -> Address:
        return self._address

    def sign_preimage(self, preimage: bytes, show: Show | None = None) -> bytes:
        """65 bytes r‖s‖v over keccak256(preimage), checked. Raises PeerError where the signer does not answer, or with anything else."""
        shown = None if show is None else show()
        if shown is None or (shown.transaction is None) == (shown.typed_data is None):
            raise InvariantBroken("a signer that speaks JSON-RPC must be shown a transaction or typed data")
        if shown.transaction is not None:
            answer = self._call(self._methods.transaction, [{"from": self._address, **shown.transaction}])
            signature = _read_transaction(answer, shown.transaction)
        else:
            document = json.dumps(shown.typed_data) if self._methods.takes_text else shown.typed_data
            signature = _read_signature(self._call(self._methods.typed_data, [self._address, document]))
        try:
            signer = recover_signer(keccak256(preimage), signature)
        except ClaimRejected as error:
            raise PeerError(f"the remote signer's answer is no signature: {error}") from error
        if signer != self._address:
            raise PeerError(f"the remote signer signed as {signer}, not as {self._address}, or something else") from None
        return signature

    def _require_account(self) -> None:
        """Raises ConfigRejected where the signer does not have our key."""
        told = self._call(self._methods.accounts, [])
        try:
            entries = list(told) if isinstance(told, list) else [told]
            addresses = {parse_address(one.get("address") if isinstance(one, dict) else one, "account") for one in entries}
        except MalformedInput as error:
            raise PeerError("the remote signer's list of accounts is none") from error
        if self._address not in addresses:
            raise ConfigRejected("signer_address", f"one of the {len(addresses)} accounts of the remote signer", self._address)

    def _call(self, method: str, params: list[Any]) -> Any:
        question = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            answer = json.loads(ask(self._http, "POST", "", question))
        except (ValueError, RecursionError) as error:
            raise PeerError("the remote signer answered with something that is not JSON") from error
        if not isinstance(answer, dict) or answer.get("id") != question["id"]:
            raise PeerError("the remote signer answered another question")
        if answer.get("error") is not None or "result" not in answer:
            raise PeerError(f"the remote signer refuses {method}: {str(answer.get('error'))[:200]}")
        return answer["result"]


def _read_signature(answer: object) -> bytes:
    try:
        return parse_hex(answer, "signature of the remote signer", 65)
    except MalformedInput as error:
        raise PeerError(f"the remote signer's answer is no signature: {error}") from error


def _read_transaction(answer: object, wanted: Mapping[str, str]) -> bytes:
    """The signature in a signed transaction, which must have the fields that were shown. Raises PeerError naming the one that differs."""
    raw = answer.get("raw") if isinstance(answer, dict) else answer
    try:
        data = parse_hex(raw, "transaction of the remote signer")
        if data[:1] != TYPE_2:
            raise MalformedInput("transaction of the remote signer", "one of type 2", to_hex(data[:1]))
        fields = TypedTransaction.from_bytes(HexBytes(data)).as_dict()
        got = {name: hex(int(fields[name])) for name in NUMBERS}
        got |= {"to": to_hex(bytes(fields["to"])), "data": to_hex(bytes(fields["data"]))}
        r, s, v = (int(fields[name]) for name in ("r", "s", "v"))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v % 27 + 27])
    except MalformedInput as error:
        raise PeerError(f"the remote signer's answer is no transaction: {error}") from error
    except Exception as error:  # the decoder of eth_account raises what it likes for bytes that are none
        raise PeerError(f"the remote signer's answer is no transaction: {str(error)[:100]}") from error
    for name, value in wanted.items():
        if got[name].lower() != value.lower():
            raise PeerError(f"the remote signer signed another transaction: {name} is {got[name][:100]}, not {value[:100]}") from None
    return signature
