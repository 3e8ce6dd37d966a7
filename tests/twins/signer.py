"""A reference signer: Web3Signer's eth1 interface over real keys. It really signs, and refuses as that does."""

from __future__ import annotations

from dataclasses import dataclass, field

from eth_account.signers.local import LocalAccount
from eth_keys import keys
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel

from oracle.encoding import keccak256


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
