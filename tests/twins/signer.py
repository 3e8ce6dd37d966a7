"""Reference signers over real keys: Web3Signer's eth1 HTTP interface, and JSON-RPC as Web3Signer and clef speak it. They really sign."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_keys import keys
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel

from oracle.encoding import keccak256, to_hex


class ToSign(BaseModel):
    data: str


@dataclass
class ReferenceSigner:
    """Keys by their name in the interface: 0x and 128 hex digits of the public key."""

    accounts: dict[str, LocalAccount] = field(default_factory=dict)
    is_broken: bool = False
    signed: list[bytes] = field(default_factory=list)  # preimages, as they were asked for

    def add(self, account: LocalAccount) -> str:
        name = "0x" + keys.PrivateKey(bytes(account.key)).public_key.to_bytes().hex()
        self.accounts[name] = account
        return name

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/api/v1/eth1/publicKeys")
        def get_public_keys() -> list[str]:
            return list(self.accounts)

        @app.post("/api/v1/eth1/sign/{identifier}")
        def post_sign(identifier: str, body: ToSign) -> Response:
            if self.is_broken:
                raise HTTPException(500)
            name = identifier.lower() if identifier.startswith("0x") else f"0x{identifier.lower()}"
            if name not in self.accounts:
                raise HTTPException(404)
            try:
                preimage = bytes.fromhex(body.data.removeprefix("0x"))
            except ValueError as error:
                raise HTTPException(400) from error
            self.signed.append(preimage)
            signature = self.accounts[name].unsafe_sign_hash(keccak256(preimage)).signature
            return Response("0x" + bytes(signature).hex(), media_type="text/plain; charset=utf-8")

        @app.get("/upcheck")
        def get_upcheck() -> Response:
            return Response("OK", media_type="text/plain; charset=utf-8")

        return app


Fields = dict[str, Any]


def unchanged(told: Any) -> Any:
    return told


@dataclass
class ReferenceRpcSigner:
    """Accounts by address, behind `eth_…` or clef's `account_…`. `change` is what a lying one makes of a transaction before it signs it."""

    is_clef: bool = False
    accounts: dict[str, LocalAccount] = field(default_factory=dict)
    instead: LocalAccount | None = None  # signs in the place of who was asked for
    change: Callable[[Fields], Fields] = unchanged
    answer: Callable[[Any], Any] = unchanged
    hangs_seconds: float = 0.0
    signed: list[Any] = field(default_factory=list)  # what was asked for: transactions, and typed data

    def add(self, account: LocalAccount) -> None:
        self.accounts[account.address.lower()] = account

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/")
        def post(question: dict[str, Any]) -> dict[str, Any]:
            time.sleep(self.hangs_seconds)
            try:
                told: dict[str, Any] = {"result": self.answer(self._answer(question["method"], question["params"]))}
            except (KeyError, ValueError, TypeError) as error:
                told = {"error": {"code": -32000, "message": repr(error)}}
            return {"jsonrpc": "2.0", "id": question["id"]} | told

        return app

    def _answer(self, method: str, params: list[Any]) -> Any:
        if method == ("account_list" if self.is_clef else "eth_accounts"):
            return [{"address": a} for a in self.accounts] if self.is_clef else list(self.accounts)
        if method == ("account_signTransaction" if self.is_clef else "eth_signTransaction"):
            return self._sign_transaction(dict(params[0]))
        if method == ("account_signTypedData" if self.is_clef else "eth_signTypedData"):
            document = params[1] if self.is_clef else json.loads(params[1])
            self.signed.append(document)
            return to_hex(bytes(self._account(params[0]).sign_typed_data(full_message=document).signature))
        raise KeyError(method)

    def _sign_transaction(self, fields: Fields) -> Any:
        account = self._account(fields.pop("from"))
        self.signed.append(fields)
        made = self.change(dict(fields))
        numbers = {name: int(value, 16) for name, value in made.items() if name not in ("to", "data")}
        raw = to_hex(bytes(account.sign_transaction({"type": 2, "to": made["to"], "data": made["data"]} | numbers).raw_transaction))
        return {"raw": raw, "tx": made} if self.is_clef else raw

    def _account(self, address: str) -> LocalAccount:
        own = self.accounts[address.lower()]
        return self.instead or own
