"""A delivery with an enclave's signature, audited: accepted as it was, and refused for every other state of its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.attest.quorum import assemble_quorum
from oracle.attest.sign import sign_claim
from oracle.audit.entries import intent_entry, receipt_entry, result_entry
from oracle.audit.log import LocalWriter, Log
from oracle.audit.view import LogView
from oracle.encoding import ENCLAVE_SELECTOR, PROOF_SELECTOR, compute_claim_digest, keccak256
from oracle.errors import AuditFailed
from oracle.pipeline.audit import Auditor
from oracle.records import Address, Asked, Claim, Delivery, EnclaveKey, Evidence, Inference, Operator, Receipt
from tests.chain.conftest import World, account
from tests.chain.test_audit import LOG_ID, OUTPUT, RUNTIME, anchorer_of
from tests.chain.test_enclaves import QUORUM_AND_SIMULATED, address_of, ask, enclave_signs, register
from tests.twins.audited import ShownSource
from tests.twins.logs import KEY, START, open_log

Change = Callable[[EnclaveKey], EnclaveKey | None]


def answer_and_deliver(world: World, log: Log, asked: Asked) -> None:
    """Two operators answer, the second's enclave signs as well; everybody logs."""
    domain, claims = world.contracts.domain, []
    for index in range(2):
        writer, name = LocalWriter(log, f"node-{index}"), f"node-{index}"
        intent = writer.append(intent_entry(asked, domain, name, "digits", START))
        claim = Claim(asked.request_id, world.model_id, asked.request.input_digest, keccak256(OUTPUT))
        signed = sign_claim(claim, OUTPUT, domain, world.signers[index])
        inference = Inference(world.model_id, asked.request.input_digest, keccak256(OUTPUT), OUTPUT, RUNTIME, 0.001)
        writer.append(result_entry(intent, asked, domain, signed, inference, name, "digits", START))
        claims.append(signed)
    signature = enclave_signs(1)(compute_claim_digest(claims[0].claim, domain))
    evidence = (assemble_quorum(claims, 2, world.contracts.operators()), Evidence(ENCLAVE_SELECTOR, signature))
    delivery = Delivery(asked, claims[0].claim, OUTPUT, evidence)
    sent = world.sender(7).send(world.contracts.deliver_call([delivery]))
    event = sent.delivered[0]
    where = (sent.transaction, sent.block_number, sent.block_hash)
    receipt = Receipt(asked.request_id, *where, event.output_digest, event.callback, sent.gas_used, tuple(c.signer for c in claims))
    LocalWriter(log, "relay").append(receipt_entry(receipt, delivery, domain, "relay", START))


class Altered:
    """The chain, but for what it says of enclave keys, of operators, or of what was delivered."""

    def __init__(self, world: World, change: Change = lambda key: key, active: bool = True, selector: bytes | None = None) -> None:
        self._chain, self._change, self._active, self._selector = world.contracts, change, active, selector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def enclave_key(self, key: Address, block_number: int | None = None) -> EnclaveKey | None:
        found = self._chain.enclave_key(key, block_number)
        return None if found is None else self._change(found)

    def operators(self, block_number: int | None = None) -> list[Operator]:
        """Without the enclave's operator, who here is none of the signers, unless all are shown."""
        return [o for o in self._chain.operators(block_number) if self._active or o.operator != account(4).address]

    def deliveries_in(self, calldata: bytes) -> list[Delivery]:
        found = self._chain.deliveries_in(calldata)
        if self._selector is None:
            return found
        return [replace(d, evidence=(*d.evidence[:-1], replace(d.evidence[-1], selector=self._selector))) for d in found]


def audit(world: World, directory: Path, log: Log, asked: Asked, chain: Altered) -> str:
    """What step 6 says."""
    report = Auditor(LogView(ShownSource(directory / "log", log), KEY.verifier), chain, LOG_ID).verify_call(asked.request_id)  # type: ignore[arg-type]
    return next(step.detail for step in report.steps if step.number == 6)


def test_an_enclaves_signature_is_audited(world: World, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    register(world, 1)
    asked = ask(world, QUORUM_AND_SIMULATED)
    answer_and_deliver(world, log, asked)
    anchorer_of(world, log, tmp_path).run_once()
    told = audit(world, tmp_path, log, asked, Altered(world))
    assert f"a SIMULATED enclave of {account(2).address}, key {address_of(1)}" in told
    in_hardware = audit(world, tmp_path, log, asked, Altered(world, lambda key: replace(key, platform=2)))
    assert f"an enclave of {account(2).address}" in in_hardware

    block = world.contracts.delivery_of(asked.request_id)
    assert block is not None
    delivered = world.contracts.block(block.block_number)
    assert delivered is not None
    changes: dict[str, Change] = {
        "registered": lambda _key: None,
        "not revoked": lambda key: replace(key, is_revoked=True),
        "used before": lambda key: replace(key, expires_at=delivered.timestamp),
        "an active one": lambda key: replace(key, operator=Address(account(9).address)),
    }
    for words, change in changes.items():
        with pytest.raises(AuditFailed, match=words) as caught:
            audit(world, tmp_path, log, asked, Altered(world, change))
        assert caught.value.step == 6
    assert audit(world, tmp_path, log, asked, Altered(world, lambda key: replace(key, expires_at=delivered.timestamp + 1)))
    of_another = Altered(world, lambda key: replace(key, operator=Address(account(4).address)), active=False)
    with pytest.raises(AuditFailed, match="an active one"):
        audit(world, tmp_path, log, asked, of_another)
    with pytest.raises(AuditFailed):
        audit(world, tmp_path, log, asked, Altered(world, selector=PROOF_SELECTOR))
    log.close()


def test_a_key_revoked_after_the_delivery_had_counted(world: World, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    register(world, 1)
    asked = ask(world, QUORUM_AND_SIMULATED)
    answer_and_deliver(world, log, asked)
    anchorer_of(world, log, tmp_path).run_once()
    world.sender(2).send(world.contracts.call("EnclaveRegistry", "revoke", address_of(1), keccak256(b"")))
    assert "SIMULATED" in audit(world, tmp_path, log, asked, Altered(world))
    log.close()
