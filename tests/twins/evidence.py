"""A true history on a real chain, told by its log: what evidence bundles are made from.

Two calls of the chain (one asked by a contract, one signed off chain), one call outside it with sealed content, a record of no call, two
anchors. The first delivery is the second transaction of its block, so that its gas stands between two receipts.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oracle.attest.quorum import assemble_quorum
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.audit.anchor import Anchorer
from oracle.audit.blocks import RpcBlocks
from oracle.audit.bundle import Disclosed, Place, make_bundle
from oracle.audit.calls import Told, call_intent_entry, call_result_entry
from oracle.audit.entries import intent_entry, receipt_entry, result_entry
from oracle.audit.log import LocalWriter, Log
from oracle.audit.source import DirectorySource
from oracle.audit.view import LogView
from oracle.encoding import keccak256
from oracle.pipeline.log import ContractAnchors
from oracle.records import Asked, Bytes32, Claim, Delivery, Inference, Receipt, Runtime, TransactionReceipt
from oracle.relay.sender import AnchorSender
from tests.chain.conftest import World, account
from tests.twins.audited import ShownSource
from tests.twins.logs import KEY, START, TickingClock, entry, open_log

ANCHOR = AccountSigner(account(8))
RUNTIME = Runtime("onnxruntime", "1.31.1", "CPUExecutionProvider", "all")
OUTPUT = b"".join((1000 if i == 7 else 0).to_bytes(2, "big") for i in range(10))
OUTSIDE = Bytes32(keccak256(b"a call outside the chain"))
QUESTION = b'[{"role":"user","parts":[{"type":"text","content":"Is 7 a prime?"}]}]'


@dataclass
class Scene:
    """The log and the chain, with the subjects of four bundles."""

    world: World
    directory: Path
    log: Log
    asked: Asked
    signed: Asked
    alone: int  # index of a record of no call

    @property
    def place(self) -> Place:
        view = LogView(ShownSource(self.directory / "log", self.log), KEY.verifier)
        anchored_at = self.world.deployment.audit_anchor
        return Place(view, self.world.contracts, RpcBlocks(self.world.rpc), anchored_at, ANCHOR.address)

    def bundle(self, subject: Bytes32 | int, with_content: bool = True, *names: str) -> dict[str, bytes]:
        return make_bundle(self.place, subject, Disclosed(with_content, frozenset(names)))


def tell_on_chain(world: World, directory: Path) -> Scene:
    log = open_log(directory)
    chain = ContractAnchors(world.contracts, AnchorSender(world.contracts, ANCHOR))
    anchorer = Anchorer(log, DirectorySource(directory / "log"), chain, ANCHOR, TickingClock())
    for number in range(5):
        LocalWriter(log, "other").append(entry(number, call=number))
    asked = world.ask_gate()
    answer_and_deliver(world, log, asked, is_second=True)
    anchorer.run_once()
    signed = world.signed_request(nonce=77)
    world.sender(6).send(world.contracts.call("Coprocessor", "deposit", value_wei=10**16))
    answer_and_deliver(world, log, signed)
    _call_outside(log)
    alone = LocalWriter(log, "other").append(entry(99)).index
    anchorer.run_once()
    LocalWriter(log, "other").append(entry(100))
    return Scene(world, directory, log, asked, signed, alone)


def answer_and_deliver(world: World, log: Log, asked: Asked, is_second: bool = False) -> None:
    """Three operators answer, the relay delivers; everybody logs."""
    delivery = _answer(world, log, asked)
    if is_second:
        _queue_another(world)
    sent = world.sender(7).send(world.contracts.deliver_call([delivery]))
    if is_second:
        world.rpc_call("evm_setAutomine", True)
    _log_receipts(world, log, sent, [delivery])


def deliver_batch(world: World, log: Log, asked: Sequence[Asked]) -> None:
    """All in one transaction; everybody logs."""
    deliveries = [_answer(world, log, each) for each in asked]
    _log_receipts(world, log, world.sender(7).send(world.contracts.deliver_call(deliveries), gas=5_000_000), deliveries)


def _answer(world: World, log: Log, asked: Asked) -> Delivery:
    domain, claims = world.contracts.domain, []
    for index in range(3):
        writer, name = LocalWriter(log, f"node-{index}"), f"node-{index}"
        intent = writer.append(intent_entry(asked, domain, name, "digits", START))
        claim = Claim(asked.request_id, world.model_id, asked.request.input_digest, keccak256(OUTPUT))
        signed = sign_claim(claim, OUTPUT, domain, world.signers[index])
        inference = Inference(world.model_id, asked.request.input_digest, keccak256(OUTPUT), OUTPUT, RUNTIME, 0.001)
        writer.append(result_entry(intent, asked, domain, signed, inference, name, "digits", START))
        claims.append(signed)
    return Delivery(asked, claims[0].claim, OUTPUT, (assemble_quorum(claims, 3, world.contracts.operators()),))


def _log_receipts(world: World, log: Log, sent: TransactionReceipt, deliveries: Sequence[Delivery]) -> None:
    where, signers = (sent.transaction, sent.block_number, sent.block_hash), tuple(signer.address for signer in world.signers[:3])
    for delivery in deliveries:
        event = next(e for e in sent.delivered if e.request_id == delivery.asked.request_id)
        receipt = Receipt(event.request_id, *where, event.output_digest, event.callback, sent.gas_used, signers)
        LocalWriter(log, "relay").append(receipt_entry(receipt, delivery, world.contracts.domain, "relay", START))


def _queue_another(world: World) -> None:
    """A transaction that pays more and so comes first in the block, which is mined a moment from now."""
    world.rpc_call("evm_setAutomine", False)
    stranger = account(9).address
    payment = {"from": stranger, "to": stranger, "value": "0x1", "maxPriorityFeePerGas": hex(10**11), "maxFeePerGas": hex(10**12)}
    world.rpc_call("eth_sendTransaction", payment)
    threading.Timer(1.0, world.rpc_call, ("evm_mine",)).start()


def _call_outside(log: Log) -> None:
    writer = LocalWriter(log, "assistant")
    fields = {"audit.actor": "assistant", "gen_ai.operation.name": "chat", "gen_ai.request.model": "small"}
    told = Told(fields, {"audit.user": "user-17"}, {"gen_ai.input.messages": QUESTION}, subject="user-17")
    intent = writer.append(call_intent_entry(OUTSIDE, told, START))
    answer = Told({"audit.actor": "assistant"}, {}, {"gen_ai.output.messages": b'["Yes."]'}, subject="user-17")
    writer.append(call_result_entry(OUTSIDE, intent, answer, START))
