"""Sending one transaction and waiting for it: for what a person starts (deploy, register, deposit, request) and for anchors.

Deliveries do not go this way; they need the durable outbox. What is sent here is either started again by whoever started it, or cannot
happen twice by the contracts' own rules.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from oracle.encoding import keccak256, to_hex
from oracle.errors import AmbiguousSend, ChainError, RequestUnpaid
from oracle.records import Address, Anchor, Bytes32, TransactionReceipt
from oracle.relay.contracts import Contracts
from oracle.relay.endpoint import Endpoint
from oracle.relay.failures import CallReverted
from oracle.relay.fees import compute_fees
from oracle.relay.transact import TRANSACTION_GAS_CAP, Call, compute_calldata_floor_gas, sign_transaction
from oracle.seams import PreimageSigner

WAIT_SECONDS = 120.0
GAS_MARGIN_PERCENT = 20


class Sender:
    """One account that sends through one endpoint. Not safe for two threads at once: they would take the same nonce."""

    def __init__(self, endpoint: Endpoint, signer: PreimageSigner, wait_seconds: float = WAIT_SECONDS) -> None:
        self.endpoint = endpoint
        self._signer = signer
        self._wait_seconds = wait_seconds

    @property
    def address(self) -> Address:
        return self._signer.address

    def send(self, call: Call, gas: int | None = None) -> TransactionReceipt:
        """Signs, sends, and waits until mined. `gas` replaces the estimate.

        Raises CallReverted where the contracts refuse the call (before sending, or in the block), AmbiguousSend when the transaction
        was sent but not seen mined in time.
        """
        gas = gas or self._gas_for(call)
        fees = compute_fees(self.endpoint.fee_history())
        nonce = self.endpoint.nonce(self.address, "pending")
        signed = sign_transaction(call, self.endpoint.chain_id(), nonce, gas, fees, self._signer)
        self.endpoint.send_raw(signed.raw)
        receipt = self._wait(signed.hash)
        if not receipt.succeeded:
            raise CallReverted("", f" in transaction {to_hex(signed.hash)}")
        return receipt

    def _gas_for(self, call: Call) -> int:
        estimate = self.endpoint.estimate_gas(call, self.address)
        return min(max(estimate + estimate * GAS_MARGIN_PERCENT // 100, compute_calldata_floor_gas(call.data)), TRANSACTION_GAS_CAP)

    def _wait(self, transaction: Bytes32) -> TransactionReceipt:
        deadline = time.monotonic() + self._wait_seconds
        failure: ChainError | None = None
        while True:
            try:
                if (receipt := self.endpoint.receipt(transaction)) is not None:
                    return receipt
                failure = None
            except ChainError as error:  # it was sent: an endpoint that fails, or is a block ahead of the others, ends no waiting
                failure = error
            if time.monotonic() > deadline:
                raise AmbiguousSend(
                    f"transaction {to_hex(transaction)} was not seen mined within {self._wait_seconds:.0f} seconds"
                ) from failure
            time.sleep(0.05)


class PersonalSender(Sender):
    """As `Sender`, for a person who waits: an account that cannot pay is told so. Processes go on and try again, so theirs is the other."""

    def send(self, call: Call, gas: int | None = None) -> TransactionReceipt:
        """As `Sender.send`. Raises RequestUnpaid where the account holds too little ether for the value and its gas."""
        try:
            return super().send(call, gas)
        except AmbiguousSend:
            raise
        except ChainError as error:
            held_wei = self.endpoint.ether_of(self.address)
            if held_wei < call.value_wei or "insufficient funds" in f"{error} {error.__cause__}".lower():
                raise RequestUnpaid(f"ether of {self.address}", f"{call.value_wei} wei and what gas costs", f"{held_wei} wei") from error
            raise


class AnchorSender:
    """Puts tree heads on chain for the log's process."""

    def __init__(self, contracts: Contracts, signer: PreimageSigner, wait_seconds: float = WAIT_SECONDS) -> None:
        self._contracts = contracts
        self._sender = Sender(contracts, signer, wait_seconds)

    def submit_anchor(
        self, origin_digest: Bytes32, anchor_key: Address, size: int, root: Bytes32, proof: Sequence[Bytes32], signature: bytes
    ) -> Anchor:
        """Anchors a tree head and returns it as the chain has it. Sent twice it cannot count twice: sizes must grow.

        Anyone may submit a signed anchor that is seen waiting: where somebody did, theirs is returned. Raises ChainError where
        AuditAnchor refuses, with the refusal as its cause.
        """
        log_id = keccak256(bytes(origin_digest) + bytes(12) + bytes.fromhex(anchor_key[2:]))
        call = self._contracts.call("AuditAnchor", "anchor", origin_digest, anchor_key, size, root, list(proof), signature)
        try:
            receipt = self._sender.send(call)
        except CallReverted as error:
            for anchor in self._contracts.anchors(log_id):
                if (anchor.size, anchor.root) == (size, root):
                    return anchor
            raise ChainError(f"AuditAnchor refuses the tree of {size}: {error}") from error
        return Anchor(log_id, size, root, receipt.block_number, receipt.block_hash, receipt.transaction)

    def latest_anchor(self, log_id: Bytes32) -> tuple[int, Bytes32]:
        return self._contracts.latest_anchor(log_id)
