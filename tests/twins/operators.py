"""Deterministic keys and claims for tests: operator i signs with the key keccak256("operator i")."""

from __future__ import annotations

from eth_account import Account
from eth_account.signers.local import LocalAccount

from oracle.attest.sign import AccountSigner, sign_claim
from oracle.encoding import compute_request_id, keccak256
from oracle.records import Address, Asked, Claim, Domain, Request, SignedClaim


def account(name: str) -> LocalAccount:
    made: LocalAccount = Account.from_key(keccak256(name.encode()))
    return made


def address_of(name: str) -> Address:
    return Address(account(name).address)


def operator_signer(index: int) -> AccountSigner:
    return AccountSigner(account(f"operator {index}"))


def claim_for(asked: Asked, output: bytes) -> Claim:
    return Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(output))


def signed_by(index: int, asked: Asked, output: bytes, domain: Domain) -> SignedClaim:
    """What operator `index` would answer, truthful or not."""
    return sign_claim(claim_for(asked, output), output, domain, operator_signer(index))


def sign_request(request: Request, data: bytes, requester: LocalAccount, domain: Domain) -> Asked:
    """A request signed off chain by `requester`."""
    request_id = compute_request_id(request, domain)
    return Asked(request_id, request, data, AccountSigner(requester).sign_digest(request_id))
