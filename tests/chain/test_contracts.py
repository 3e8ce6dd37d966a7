"""The chain adapter against the real contracts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from oracle.attest.quorum import assemble_quorum
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.demo.local_keys import find_seeds
from oracle.encoding import compute_anchor_digest, compute_log_id, keccak256, pack_policy
from oracle.errors import ChainError, ConfigRejected, InputRejected, MalformedInput, PolicyRejected, RequestRejected, RequestUnpaid
from oracle.limits import ZERO_ADDRESS
from oracle.pipeline.catalogue import describe_directory
from oracle.pipeline.inputs import Integers
from oracle.pipeline.quoting import EVERY_MODEL, post_asks
from oracle.pipeline.requesting import Terms, ask_on_chain, sign_request
from oracle.pipeline.session import Session
from oracle.records import Asked, Asks, Bytes32, CallbackStatus, Claim, Delivery, Policy, RequestStatus, ResultCode
from oracle.relay.contracts import Contracts
from oracle.relay.failures import CallReverted
from oracle.relay.sender import AnchorSender
from tests.chain.conftest import FEE_WEI, STAKE_WEI, World, account

OUTPUT = b"".join((1000 if i == 7 else 0).to_bytes(2, "big") for i in range(10))


def delivery(world: World, asked: Asked, output: bytes = OUTPUT, signers: range = range(3)) -> Delivery:
    claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(output))
    signed = [sign_claim(claim, output, world.deployment.domain, world.signers[i]) for i in signers]
    return Delivery(asked, claim, output, (assemble_quorum(signed, len(signers), world.contracts.operators()),))


def test_reads_models_and_operators(world: World) -> None:
    model = world.contracts.model(world.model_id)
    assert model is not None
    assert model.is_active
    assert model.data_uri == "ipfs://digits"
    assert world.contracts.circuit(world.model_id) == b"a canonical model's circuit"
    assert world.contracts.model(keccak256(b"no such model")) is None
    operators = world.contracts.operators()
    assert [(o.index, o.signer, o.stake_wei, o.is_active) for o in operators] == [
        (i, s.address, STAKE_WEI, True) for i, s in enumerate(world.signers)
    ]
    assert world.contracts.operators(world.deployment.block_number) == []


def test_delivers_to_the_consumer(world: World) -> None:
    asked = world.ask_gate()
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.REQUESTED
    made = delivery(world, asked)
    receipt = world.sender(7).send(world.contracts.deliver_call([made]))
    (delivered,) = receipt.delivered
    assert delivered.output == OUTPUT
    assert delivered.callback is CallbackStatus.SUCCEEDED
    assert delivered.beneficiaries == tuple(account(i + 1).address for i in range(3))
    status = world.contracts.status_of(asked.request_id)
    assert (status.status, status.callback, status.output_digest) == (RequestStatus.FINAL, CallbackStatus.SUCCEEDED, keccak256(OUTPUT))
    assert world.contracts.view_at("DigitGate", world.gate, "readingOf", asked.request_id)[2] == 7
    assert world.contracts.delivery_of(asked.request_id) == receipt
    data = world.contracts.transaction_data(receipt.transaction)
    assert data is not None
    assert data[0] == world.deployment.coprocessor
    (decoded,) = world.contracts.deliveries_in(data[1])
    assert (decoded.asked.request, decoded.output, decoded.evidence) == (asked.request, made.output, made.evidence)
    assert sum(world.contracts.balance_of(account(i + 1).address) for i in range(3)) == FEE_WEI
    with pytest.raises(CallReverted, match="AlreadyDelivered"):
        world.contracts.estimate_gas(world.contracts.deliver_call([made]), account(7).address)


def test_batch_has_a_code_per_item(world: World) -> None:
    first, second, third = world.ask(), world.ask_gate(), world.ask(b"third!")
    good, weak = delivery(world, first), delivery(world, second, signers=range(2))
    other = delivery(world, third)
    receipt = world.sender(7).send(world.contracts.deliver_call([good, weak, other]), gas=5_000_000)
    assert [d.request_id for d in receipt.delivered] == [first.request_id, third.request_id]
    assert receipt.failed_items == ((second.request_id, ResultCode.BAD_EVIDENCE),)
    assert world.contracts.deliveries_in(world.contracts.transaction_data(receipt.transaction)[1])[1].evidence == weak.evidence
    again = world.sender(7).send(world.contracts.deliver_call([good, other]), gas=5_000_000)
    assert {code for _, code in again.failed_items} == {ResultCode.ALREADY_DELIVERED}


def test_delivers_signed_requests(world: World) -> None:
    asked = world.signed_request(1)
    with pytest.raises(CallReverted, match="Unpaid"):
        world.sender(7).send(world.contracts.deliver_call([delivery(world, asked)]))
    world.sender(6).send(world.contracts.call("Coprocessor", "deposit", value_wei=FEE_WEI))
    assert world.contracts.is_valid_signature(asked.request, asked.signature)
    assert not world.contracts.is_valid_signature(asked.request, asked.signature[:-1] + bytes([asked.signature[64] ^ 7]))
    world.sender(7).send(world.contracts.deliver_call([delivery(world, asked)]))
    assert world.contracts.status_of(asked.request_id).status is RequestStatus.FINAL


def test_names_the_solidity_error(world: World) -> None:
    asked = world.ask()
    with pytest.raises(CallReverted, match=r"NotExpired\(\d+\)") as raised:
        world.contracts.estimate_gas(world.contracts.refund_call(asked.request), account(7).address)
    assert raised.value.error == "NotExpired"
    with pytest.raises(CallReverted, match="QuorumNotMet"):
        world.contracts.estimate_gas(world.contracts.deliver_call([delivery(world, asked, signers=range(2))]), account(7).address)


def test_many_blocks_are_read_together_as_one_by_one(world: World) -> None:
    asked = [world.ask(bytes([number])) for number in range(3)]
    numbers = [one.block_number for one in asked] + [0, 10**6]
    blocks = world.contracts.blocks(numbers)
    assert blocks == [world.contracts.block(number) for number in numbers]
    assert blocks[-1] is None
    hashes = [block.hash for block in blocks if block is not None]
    each = world.contracts.requested_in_each(hashes)
    assert each == [world.contracts.requested_in(one) for one in hashes]
    assert [[a.request_id for a in found] for found in each] == [[a.request_id] for a in asked] + [[]]


@pytest.mark.parametrize(
    ("altered", "message"),
    [
        ({"blockHash": "0x" + "11" * 32}, "events of another block"),
        ({"address": "0x" + "11" * 20}, "of another contract, or removed ones"),
        ({"removed": True}, "of another contract, or removed ones"),
    ],
)
def test_events_that_were_not_asked_for_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, altered: dict[str, Any], message: str
) -> None:
    first, second = world.ask(b"first"), world.ask(b"second")
    real = world.contracts.endpoints.request_each

    def lie(method: str, each: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        responses = real(method, each)
        responses[-1] = {**responses[-1], "result": [{**log, **altered} for log in responses[-1]["result"]]}
        return responses

    monkeypatch.setattr(world.contracts.endpoints, "request_each", lie)
    with pytest.raises(ChainError, match=message):
        world.contracts.requested_in_each([one.block_hash for one in (first, second) if one.block_hash])


def test_unknown_things_are_none_and_malformed_ones_errors(world: World) -> None:
    assert world.contracts.block(10**6) is None
    assert world.contracts.receipt(keccak256(b"x")) is None
    assert world.contracts.transaction_data(keccak256(b"x")) is None
    assert world.contracts.delivery_of(keccak256(b"x")) is None
    with pytest.raises(ChainError):
        world.contracts.requested_in(keccak256(b"no such block"))
    for calldata in (b"", b"\x01\x02\x03", bytes(4), world.contracts.refund_call(world.ask().request).data):
        with pytest.raises(MalformedInput):
            world.contracts.deliveries_in(calldata)
    whole = world.contracts.deliver_call([delivery(world, world.ask())]).data
    for cut in (5, 100, len(whole) - 64):
        with pytest.raises(MalformedInput):
            world.contracts.deliveries_in(whole[:cut])


def test_refuses_a_wrong_deployment(world: World) -> None:
    with pytest.raises(ConfigRejected, match="chain id"):
        Contracts(world.rpc, replace(world.deployment, chain_id=1)).check_deployment()
    swapped = replace(world.deployment, coprocessor=world.deployment.model_registry)
    with pytest.raises((ConfigRejected, CallReverted)):
        Contracts(world.rpc, swapped).check_deployment()
    with pytest.raises(ConfigRejected, match="no code"):
        Contracts(world.rpc, replace(world.deployment, audit_anchor=account(9).address)).check_deployment()


@pytest.mark.parametrize(
    ("field", "of", "link"),
    [
        ("model_registry", "operator_registry", "Coprocessor.MODELS"),
        ("verifier_router", "model_registry", "Coprocessor.ROUTER"),
        ("disputes", "fraud_proofs", "Coprocessor.DISPUTES"),
        ("disputes", None, "Coprocessor.DISPUTES"),
        ("operator_registry", "model_registry", "QuorumVerifier.OPERATORS"),
        ("fraud_proofs", "disputes", "OperatorRegistry.slasher"),
        ("timelock", "coprocessor", "OperatorRegistry.owner"),
        ("quorum_verifier", "proof_verifier", "QuorumVerifier"),
        ("proof_verifier", "quorum_verifier", "ProofVerifier"),
        ("enclave_registry", "operator_registry", "EnclaveVerifier.ENCLAVES"),
        ("enclave_registry", None, "EnclaveVerifier.ENCLAVES"),
        ("enclave_verifier", "quorum_verifier", "EnclaveVerifier"),
        ("bls_keys", "enclave_registry", "BlsQuorumVerifier.KEYS"),
        ("bls_keys", None, "BlsQuorumVerifier.KEYS"),
        ("bls_quorum_verifier", "quorum_verifier", "BlsQuorumVerifier"),
        ("fee_quotes", "audit_anchor", "FeeQuotes.OPERATORS"),
        ("audit_anchor", "coprocessor", "AuditAnchor: expected Affidavit Anchor, got Affidavit"),
    ],
)
def test_a_file_that_names_one_contract_for_another_is_refused(world: World, field: str, of: str | None, link: str) -> None:
    """Each is a contract with code on this chain, some of the very deployment: an address alone says nothing."""
    false = replace(world.deployment, **{field: None if of is None else getattr(world.deployment, of)})
    with pytest.raises(ConfigRejected, match=link):
        Contracts(world.rpc, false).check_deployment()


@pytest.mark.parametrize(
    ("contract", "view"),
    [
        ("Coprocessor", "MODELS"),
        ("Coprocessor", "ROUTER"),
        ("Coprocessor", "DISPUTES"),
        ("QuorumVerifier", "OPERATORS"),
        ("OperatorRegistry", "slasher"),
        ("OperatorRegistry", "owner"),
        ("VerifierRouter", "owner"),
        ("ProofVerifier", "MODELS"),
        ("FraudProofs", "COPROCESSOR"),
        ("FraudProofs", "ROUTER"),
        ("FraudProofs", "OPERATORS"),
        ("FraudProofs", "DISPUTES"),
        ("Disputes", "COPROCESSOR"),
        ("Disputes", "OPERATORS"),
        ("EnclaveVerifier", "ENCLAVES"),
        ("EnclaveRegistry", "OPERATORS"),
        ("EnclaveRegistry", "QUORUM_VERIFIER"),
        ("BlsQuorumVerifier", "KEYS"),
        ("BlsKeys", "OPERATORS"),
        ("FeeQuotes", "OPERATORS"),
    ],
)
@pytest.mark.parametrize("said", [ZERO_ADDRESS, account(9).address, None], ids=["zero", "another", "no such view"])
def test_one_contract_that_names_another_is_refused(world: World, contract: str, view: str, said: str | None) -> None:
    class OneLies(Contracts):
        def _view(self, name: str, function: str, *arguments: Any, block: int | None = None) -> Any:
            if (name, function) != (contract, view):
                return super()._view(name, function, *arguments, block=block)
            if said is None:
                raise CallReverted("", "")
            return said

    with pytest.raises(ConfigRejected, match=f"{contract}.{view} of the deployment: expected 0x.*, got {said or ZERO_ADDRESS}"):
        OneLies(world.rpc, world.deployment).check_deployment()


def test_a_file_older_than_its_verifiers_is_still_one(world: World) -> None:
    """The timelock adds verifiers to a router; a file that does not know them names nothing false."""
    later = {"enclave_registry": None, "enclave_verifier": None, "bls_keys": None, "bls_quorum_verifier": None, "fee_quotes": None}
    Contracts(world.rpc, replace(world.deployment, **later)).check_deployment()


def test_dead_endpoint_is_a_chain_error(world: World) -> None:
    dead = Contracts("http://127.0.0.1:9", world.deployment, timeout_seconds=2)
    for ask in (lambda: dead.block("latest"), lambda: dead.status_of(keccak256(b"x")), lambda: dead.nonce(account(7).address, "latest")):
        with pytest.raises(ChainError):
            ask()


def test_anchor_that_somebody_else_submitted_is_the_same_anchor(world: World) -> None:
    signer, origin = world.signers[0], "example.org/log"
    log_id = compute_log_id(origin, signer.address)
    root, other = keccak256(b"root"), keccak256(b"other")

    def sign(size: int, of: Bytes32) -> bytes:
        domain = world.deployment
        return signer.sign_digest(compute_anchor_digest(log_id, size, of, domain.chain_id, domain.audit_anchor))

    assert world.contracts.latest_anchor(log_id) == (0, bytes(32))
    arguments = (keccak256(origin.encode()), signer.address, 5, root, [], sign(5, root))
    first = AnchorSender(world.contracts, AccountSigner(account(9))).submit_anchor(*arguments)
    assert AnchorSender(world.contracts, AccountSigner(account(8))).submit_anchor(*arguments) == first
    assert list(world.contracts.anchors(log_id)) == [first]
    assert world.contracts.latest_anchor(log_id) == (5, root)
    with pytest.raises(ChainError, match="SizeNotIncreasing"):
        AnchorSender(world.contracts, AccountSigner(account(8))).submit_anchor(*arguments[:3], other, [], sign(5, other))
    with pytest.raises(ChainError, match="BadAnchorSignature"):
        AnchorSender(world.contracts, AccountSigner(account(8))).submit_anchor(*arguments[:2], 6, root, [], sign(7, root))


def test_disputes_are_not_asked_of_a_deployment_without_them(world: World) -> None:
    """Nothing is sent, and nothing signed: the contract would refuse it, with less to say."""
    assert world.contracts.has_disputes
    older = Contracts(world.rpc, replace(world.deployment, disputes=None))
    session = Session(older, AccountSigner(account(6)), world.sender(6))
    model = describe_directory(find_seeds() / "models/digits-mlp/canonical")
    wanted = (model, Integers((0,) * 64), Terms(Policy(1, window_seconds=600, disputable=True), FEE_WEI, 0, 600))
    nonce = older.nonce(session.account, "latest")
    for ask in (ask_on_chain, sign_request):
        with pytest.raises(PolicyRejected, match="policy disputable: expected a deployment with the contract Disputes"):
            ask(session, *wanted)
    assert older.nonce(session.account, "latest") == nonce
    assert sign_request(replace(session, contracts=world.contracts), *wanted).signature


def test_what_the_contract_cannot_take_is_refused_in_words(world: World) -> None:
    session = Session(world.contracts, AccountSigner(account(6)), world.sender(6))
    model = describe_directory(find_seeds() / "models/digits-mlp/canonical")
    for terms, error, words in (
        (Terms(Policy(0), FEE_WEI, 0, 600), PolicyRejected, "policy: expected a demand for a quorum or a proof, got none"),
        (Terms(Policy(1, window_seconds=604_801), FEE_WEI, 0, 600), PolicyRejected, "policy window: expected at most 604800"),
        (Terms(Policy(1), FEE_WEI, 5_000_001, 600), RequestRejected, "callback_gas: expected at most 5000000, got 5000001"),
        (Terms(Policy(1), FEE_WEI, 0, 31 * 86_400), RequestRejected, "deadline: expected at most"),
        (Terms(Policy(1), FEE_WEI, 0, 10**90), RequestRejected, "deadline: expected at most"),
    ):
        with pytest.raises(error, match=words):
            ask_on_chain(session, model, Integers((0,) * 64), terms)
    with pytest.raises(InputRejected):
        ask_on_chain(session, model, Integers((0,) * 63), Terms(Policy(1), FEE_WEI, 0, 600))


def test_a_fee_that_nobody_answers_for_is_not_locked_up(world: World) -> None:
    for index in range(1, 6):
        operator = AccountSigner(account(index))
        post_asks(
            Session(world.contracts, operator, world.sender(index)),
            EVERY_MODEL,
            Asks(signature_wei=100 * index, proof_wei=None, enclave_wei=None),
        )
    session = Session(world.contracts, AccountSigner(account(6)), world.sender(6))
    wanted = (describe_directory(find_seeds() / "models/digits-mlp/canonical"), Integers((0,) * 64))
    nonce = world.contracts.nonce(session.account, "latest")
    with pytest.raises(RequestUnpaid, match=r"at least 400 wei, .* 2 shares of 200 wei, got 399 wei"):
        ask_on_chain(session, *wanted, Terms(Policy(2), 399, 0, 600))
    with pytest.raises(PolicyRejected, match="policy proof: expected 1 active operator who gives it, got 0"):
        ask_on_chain(session, *wanted, Terms(Policy(proof=True), 10**6, 0, 600))
    with pytest.raises(PolicyRejected, match="policy proof: expected 1 active operators who posted a price for it, got none"):
        world.contracts.quote(wanted[0].model_id, pack_policy(Policy(proof=True)))
    assert world.contracts.nonce(session.account, "latest") == nonce
    with pytest.raises(CallReverted, match="Model"):  # what is enough gets as far as the contract, where this model is not registered
        ask_on_chain(session, *wanted, Terms(Policy(2), 400, 0, 600))
