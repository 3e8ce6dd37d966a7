"""Transactions as bytes: EIP-1559 (type 2), signed through the `PreimageSigner` seam, so the key may live anywhere.

Gas rules that a limit must respect whatever an estimate says: the calldata floor (EIP-7623) and the cap per transaction (EIP-7825).
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from oracle.encoding import encode_rlp, keccak256, parse_address, parse_hex, to_hex
from oracle.errors import InvariantBroken
from oracle.records import Address, Bytes32
from oracle.seams import PreimageSigner, Shown

TRANSACTION_GAS_CAP = 16_777_216
"""EIP-7825: no transaction may have a higher gas limit."""

TRANSFER_GAS = 21_000
TYPE_2 = b"\x02"


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


def transaction_preimage(call: Call, chain_id: int, nonce: int, gas: int, fees: Fees) -> bytes:
    """What is hashed and signed (EIP-1559): 0x02 ‖ RLP of the nine fields, with an empty access list."""
    return TYPE_2 + encode_rlp(_fields(call, chain_id, nonce, gas, fees))


def sign_transaction(call: Call, chain_id: int, nonce: int, gas: int, fees: Fees, signer: PreimageSigner) -> SignedTransaction:
    """Signs a type 2 transaction without access list. A gas limit above EIP-7825's cap is InvariantBroken: callers split before."""
    if not TRANSFER_GAS <= gas <= TRANSACTION_GAS_CAP:
        raise InvariantBroken(f"gas limit {gas} outside {TRANSFER_GAS} to {TRANSACTION_GAS_CAP}")
    parts = (call, chain_id, nonce, gas, fees)
    signature = signer.sign_preimage(transaction_preimage(*parts), lambda: Shown(transaction=_shown(*parts)))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    raw = TYPE_2 + encode_rlp([*_fields(call, chain_id, nonce, gas, fees), signature[64] - 27, r, s])
    return SignedTransaction(keccak256(raw), raw, nonce, gas, fees)


def read_call(raw: bytes) -> Call:
    """The call that signed bytes of ours carry."""
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    to = bytes(fields["to"])
    return Call(parse_address(to_hex(to), "recipient") if to else None, bytes(fields["data"]), int(fields["value"]))


def _shown(call: Call, chain_id: int, nonce: int, gas: int, fees: Fees) -> dict[str, str]:
    """As eth_signTransaction takes them."""
    numbers = {
        "chainId": chain_id,
        "nonce": nonce,
        "maxPriorityFeePerGas": fees.priority_fee_wei,
        "maxFeePerGas": fees.max_fee_wei,
        "gas": gas,
        "value": call.value_wei,
    }
    to = {} if call.to is None else {"to": call.to}
    return {name: hex(value) for name, value in numbers.items()} | to | {"data": to_hex(call.data)}


def _fields(call: Call, chain_id: int, nonce: int, gas: int, fees: Fees) -> list[int | bytes | list[int | bytes]]:
    to = b"" if call.to is None else parse_hex(call.to, "recipient of a transaction", 20)
    return [chain_id, nonce, fees.priority_fee_wei, fees.max_fee_wei, gas, to, call.value_wei, call.data, []]
