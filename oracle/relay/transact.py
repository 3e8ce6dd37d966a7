"""Transactions as bytes: EIP-1559 (type 2), signed through the `Signer` seam, so the key may live anywhere.

Gas rules that a limit must respect whatever an estimate says: the calldata floor (EIP-7623) and the cap per transaction (EIP-7825).
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_account.typed_transactions.typed_transaction import TypedTransaction

from oracle.encoding import keccak256, to_hex
from oracle.errors import InvariantBroken
from oracle.records import Address, Bytes32
from oracle.seams import Signer

TRANSACTION_GAS_CAP = 16_777_216
"""EIP-7825: no transaction may have a higher gas limit."""

TRANSFER_GAS = 21_000


@dataclass(frozen=True, slots=True)
class Call:
    """Calldata for a contract; `to` None creates one."""

    to: Address | None
    data: bytes
    value_wei: int = 0


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees per gas, in wei."""

    max_fee_wei: int
    priority_fee_wei: int


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A signed transaction: these bytes, and no others, are what is broadcast."""

    hash: Bytes32
    raw: bytes
    nonce: int
    gas: int
    fees: Fees


def compute_calldata_floor_gas(data: bytes) -> int:
    """EIP-7623: 21,000 plus 10 per token, where a zero byte is one token and any other byte four."""
    zeros = data.count(0)
    return TRANSFER_GAS + 10 * (zeros + 4 * (len(data) - zeros))


def sign_transaction(call: Call, chain_id: int, nonce: int, gas: int, fees: Fees, signer: Signer) -> SignedTransaction:
    """Signs a type 2 transaction without access list. A gas limit above EIP-7825's cap is InvariantBroken: callers split before."""
    if not TRANSFER_GAS <= gas <= TRANSACTION_GAS_CAP:
        raise InvariantBroken(f"gas limit {gas} outside {TRANSFER_GAS} to {TRANSACTION_GAS_CAP}")
    fields: dict[str, object] = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "gas": gas,
        "maxFeePerGas": fees.max_fee_wei,
        "maxPriorityFeePerGas": fees.priority_fee_wei,
        "value": call.value_wei,
        "data": to_hex(call.data),
        "accessList": [],
    }
    if call.to is not None:
        fields["to"] = call.to
    signature = signer.sign_digest(Bytes32(TypedTransaction.from_dict(fields).hash()))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    raw = TypedTransaction.from_dict({**fields, "v": signature[64] - 27, "r": r, "s": s}).encode()
    return SignedTransaction(keccak256(raw), raw, nonce, gas, fees)
