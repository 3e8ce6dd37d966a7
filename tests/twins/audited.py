"""A small true history: requests on a chain twin, answered by operators, delivered, logged and anchored; and its export as files.

What operators and the relay write is made with the same builders they use. With `lie` a test changes what is written before it is logged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from oracle.attest.quorum import assemble_quorum
from oracle.audit.content import Content
from oracle.audit.entries import anchor_entry, intent_entry, lie_entry, receipt_entry, result_entry
from oracle.audit.export import export_log
from oracle.audit.log import LocalWriter, Log
from oracle.audit.source import DirectorySource
from oracle.audit.view import LogView
from oracle.encoding import compute_log_id, keccak256, pack_policy, pack_proof_evidence, unpack_policy
from oracle.records import (
    Address,
    Anchor,
    Appended,
    Asked,
    Claim,
    Delivery,
    Domain,
    Entry,
    Inference,
    ModelKind,
    Policy,
    Receipt,
    Request,
    Runtime,
    SignedClaim,
)
from oracle.seams import EntryLog
from tests.twins.chain import ChainTwin
from tests.twins.coprocessor import delivery_call, fake_proof
from tests.twins.logs import KEY, START, open_log
from tests.twins.operators import account, operator_signer, sign_request, signed_by

ANCHOR_KEY = Address(account("anchor key").address)
LOG_ID = compute_log_id(KEY.name, ANCHOR_KEY)
RELAY = Address(account("relay").address)
PROVER = Address(account("prover").address)
REQUESTER = account("requester")
RUNTIME = Runtime("onnxruntime", "1.31.1", "CPUExecutionProvider", "all")
QUORUM = Policy(quorum=2)

Lie = Callable[[Entry], Entry]


def truth(entry: Entry) -> Entry:
    return entry


class ShownSource(DirectorySource):
    """The log's directory, with content from its custody: what a reader's token shows."""

    def __init__(self, directory: Path, log: Log) -> None:
        super().__init__(directory)
        self.log = log

    def read_contents(self, first: int, end: int) -> dict[int, Content]:
        found = ((index, self.log.custody.content(index)) for index in range(first, end))
        return {index: content for index, content in found if content is not None}


class History:
    """A chain, a log, three operators and one model."""

    def __init__(self, directory: Path, lie: Lie = truth) -> None:
        self.directory = directory
        self.chain = ChainTwin()
        self.log = open_log(directory)
        self.lie = lie
        for index in range(3):
            self.chain.register_operator(index, signer=operator_signer(index).address)
        self.chain.deploy_consumer()
        self.model_id = self.chain.register_model(ModelKind.OPAQUE, keccak256(b"manifest"))

    @property
    def domain(self) -> Domain:
        return self.chain.domain

    def writer(self, name: str) -> EntryLog:
        return LocalWriter(self.log, name)

    def write(self, name: str, entry: Entry) -> Appended:
        return self.writer(name).append(self.lie(entry))

    # ---- what happens in a call ---------------------------------------------------------------------------------------------------
    def ask(self, data: bytes, policy: Policy = QUORUM) -> Asked:
        return self.chain.ask(self.model_id, data, policy=policy, callback_gas=100_000)

    def ask_signed(self, data: bytes) -> Asked:
        requester = Address(REQUESTER.address)
        request = Request(
            requester, requester, self.model_id, keccak256(data), pack_policy(QUORUM), 0, 0, self.chain.time + 3600, (1 << 128) + len(data)
        )
        return sign_request(request, data, REQUESTER, self.domain)

    def answer(self, index: int, asked: Asked, output: bytes) -> SignedClaim:
        """Operator `index` logs its intent, answers, logs its result."""
        node = f"node-{index}"
        intent = self.write(node, intent_entry(asked, self.domain, node, "digits", START))
        signed = signed_by(index, asked, output, self.domain)
        inference = Inference(self.model_id, asked.request.input_digest, keccak256(output), output, RUNTIME, 0.0012)
        self.write(node, result_entry(intent, asked, self.domain, signed, inference, node, "digits", START))
        return signed

    def deliver(self, asked: Asked, claims: list[SignedClaim], is_logged: bool = True) -> Receipt:
        """With what the policy demands: signatures of two, and a proof that the twin's verifier takes, in PROVER's name."""
        claim, output, policy = claims[0].claim, claims[0].output, unpack_policy(asked.request.policy)
        evidence = [assemble_quorum(claims, 2, self.chain.operators())] if policy.quorum else []
        evidence += [pack_proof_evidence(PROVER, fake_proof(claim, PROVER))] if policy.proof else []
        bare = replace(asked, block_number=None, block_hash=None, transaction=None)
        delivery = Delivery(bare, claim, output, tuple(evidence))
        transaction = self.chain.send(RELAY, delivery_call(delivery))
        self.chain.mine()
        mined = self.chain.receipt(transaction)
        assert mined is not None
        assert mined.succeeded
        signers = tuple(c.signer for c in claims[:2]) if policy.quorum else ()
        receipt = Receipt(
            asked.request_id,
            transaction,
            mined.block_number,
            mined.block_hash,
            claim.output_digest,
            mined.delivered[0].callback,
            mined.gas_used,
            signers,
        )
        if is_logged:
            self.write("relay", receipt_entry(receipt, delivery, self.domain, "relay", START))
        return receipt

    def log_lie(self, asked: Asked, signed: SignedClaim, agreed: Claim) -> None:
        self.write("relay", lie_entry(asked, self.domain, "relay", signed, agreed, START))

    def anchor(self) -> Anchor:
        checkpoint = self.log.checkpoint
        anchor = self.chain.anchor(LOG_ID, checkpoint.size, checkpoint.root)
        self.write("log", anchor_entry(anchor, self.domain, "log", START))
        return anchor

    # ---- what an auditor gets -------------------------------------------------------------------------------------------------------
    def view(self) -> LogView:
        return LogView(ShownSource(self.directory / "log", self.log), KEY.verifier)

    def export(self, directory: Path) -> Path:
        export_log(self.view(), directory)
        return directory

    def close(self) -> None:
        self.log.close()


def tell(history: History) -> list[Asked]:
    """Three calls: one by two honest operators and a liar, one signed off chain, one answered and never delivered. Two anchors."""
    first = history.ask(b"first input")
    claims = [history.answer(0, first, b"right"), history.answer(1, first, b"right")]
    liar = history.answer(2, first, b"wrong")
    history.deliver(first, claims)
    history.log_lie(first, liar, claims[0].claim)
    history.anchor()
    second = history.ask_signed(b"second input")
    history.deliver(second, [history.answer(index, second, b"another") for index in (0, 2)])
    third = history.ask(b"third input")
    history.answer(1, third, b"late")
    history.anchor()
    return [first, second, third]
