"""Intake: every kind of bad request is refused with its own error, before any work; nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.attest.quorum import assemble_quorum
from oracle.encoding import compute_request_id, keccak256, pack_policy
from oracle.errors import (
    AffidavitError,
    ChainError,
    InputRejected,
    ModelRejected,
    ModelUnknown,
    PolicyRejected,
    RequestExpired,
    RequestRejected,
    RequestUnknown,
    RequestUnpaid,
    TooLarge,
)
from oracle.node.intake import MAX_CALLBACK_GAS, MAX_HORIZON_SECONDS, MAX_WINDOW_SECONDS, CheckedJob, Terms, _check_asks, check
from oracle.records import SIGNED_NONCE_START, Asked, Asks, Bytes32, Delivery, Domain, ModelKind, Policy
from tests.twins import coprocessor
from tests.twins.chain import CONSUMER, DEPLOYER
from tests.twins.coprocessor import delivery_call, encode_call, request_tuple
from tests.twins.node_scene import SEEDS, Scene, digit_image, make_scene, vector
from tests.twins.operators import account, address_of, sign_request, signed_by


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


def checked(scene: Scene, asked: Asked, owed_wei: int = 0) -> CheckedJob:
    return check(asked, scene.chain, scene.node.library, scene.node.terms, owed_wei)


def ask(scene: Scene, data: bytes, fee_wei: int = 5, model_id: Bytes32 | None = None) -> Asked:
    return scene.chain.ask(model_id or scene.digits.model_id, data, Policy(quorum=2), fee_wei)


def rehashed(scene: Scene, asked: Asked, **changes: object) -> Asked:
    """The request changed, with the id that belongs to it."""
    request = replace(asked.request, **changes)  # type: ignore[arg-type]
    return replace(asked, request=request, request_id=compute_request_id(request, scene.chain.domain))


def test_good_requests_pass_from_both_sides(scene: Scene) -> None:
    for asked in (ask(scene, digit_image()), scene.sign(digit_image()), ask(scene, vector(1), model_id=scene.scale.model_id)):
        job = checked(scene, asked)
        assert job.asked is asked
        assert job.model.directory.model_id == asked.request.model_id


def refuse_operators(scene: Scene) -> None:
    for index in (1, 2):
        scene.chain.set_operator_active(index, False)


FROM_CHAIN: dict[str, tuple[Callable[[Scene], Asked], type[AffidavitError], str]] = {
    "input too large": (lambda s: ask(s, bytes(4097)), TooLarge, "input"),
    "input of another request": (lambda s: replace(ask(s, digit_image()), input=digit_image(1)), RequestRejected, "input_digest"),
    "other request id": (lambda s: replace(ask(s, digit_image()), request_id=keccak256(b"x")), RequestRejected, "request id"),
    "other fee than in its id": (
        lambda s: (lambda a: replace(a, request=replace(a.request, fee_wei=10**18)))(ask(s, digit_image())),
        RequestRejected,
        "request id",
    ),
    "signed nonce from a block": (
        lambda s: rehashed(s, ask(s, digit_image()), nonce=SIGNED_NONCE_START),
        RequestRejected,
        "nonce",
    ),
    "signature on a request from a block": (
        lambda s: replace(ask(s, digit_image()), signature=bytes(65)),
        RequestRejected,
        "signature",
    ),
    "model nobody serves": (
        lambda s: ask(s, b"", model_id=s.chain.register_model(ModelKind.OPAQUE, keccak256(b"other"))),
        ModelUnknown,
        "serves",
    ),
    "input too short": (lambda s: ask(s, digit_image()[:-2]), InputRejected, "128 bytes"),
    "input out of range": (lambda s: ask(s, b"\x7f\xff" * 64), InputRejected, "element 0"),
    "input of another encoding": (lambda s: ask(s, digit_image(), model_id=s.scale.model_id), InputRejected, "AFT1"),
    "fee too small": (lambda s: ask(s, digit_image(), fee_wei=2), RequestUnpaid, "at least 3"),
    "never asked": (lambda s: rehashed(s, ask(s, digit_image()), callback_gas=1), RequestUnknown, "on chain"),
}


@pytest.mark.parametrize(("make", "error", "names"), FROM_CHAIN.values(), ids=FROM_CHAIN)
def test_requests_from_the_chain(scene: Scene, make: Callable[[Scene], Asked], error: type[AffidavitError], names: str) -> None:
    asked = make(scene)
    with pytest.raises(error, match=names):
        checked(scene, asked)


def resigned_for(scene: Scene, domain: Domain) -> Asked:
    """Signed for another chain or contract, posted here: the id is of this domain, the signature is not."""
    foreign = sign_request(scene.sign(digit_image()).request, digit_image(), account("alice"), domain)
    return replace(foreign, request_id=compute_request_id(foreign.request, scene.chain.domain))


SIGNED: dict[str, tuple[Callable[[Scene], Asked], type[AffidavitError], str]] = {
    "contract's nonce": (lambda s: s.sign(digit_image(), nonce=SIGNED_NONCE_START - 1), RequestRejected, "nonce"),
    "no signature": (lambda s: replace(s.sign(digit_image()), signature=b""), RequestRejected, "signature"),
    "somebody else's signature": (lambda s: s.sign(digit_image(), signer="mallory"), RequestRejected, "signature"),
    "cut signature": (lambda s: replace(s.sign(digit_image()), signature=bytes(64)), RequestRejected, "signature"),
    "signed for another chain": (lambda s: resigned_for(s, Domain(1, s.chain.domain.coprocessor)), RequestRejected, "signature"),
    "signed for another contract": (lambda s: resigned_for(s, Domain(31337, address_of("x"))), RequestRejected, "signature"),
    "id of another chain": (
        lambda s: sign_request(s.sign(digit_image()).request, digit_image(), account("alice"), Domain(1, s.chain.domain.coprocessor)),
        RequestRejected,
        "request id on chain 31337",
    ),
    "malformed policy": (lambda s: s.sign(digit_image(), policy=Bytes32(b"\2" + bytes(31))), PolicyRejected, "policy"),
    "policy without evidence": (lambda s: s.sign(digit_image(), policy=Bytes32(b"\1" + bytes(31))), PolicyRejected, "policy"),
    "proof": (lambda s: s.sign(digit_image(), policy=pack_policy(Policy(proof=True))), PolicyRejected, "does not prove"),
    "enclave": (lambda s: s.sign(digit_image(), policy=Bytes32(b"\1\0\2" + bytes(29))), PolicyRejected, "policy"),
    "a proof and an enclave": (
        lambda s: s.sign(digit_image(), policy=pack_policy(Policy(proof=True, enclave=True))),
        PolicyRejected,
        "does not prove",
    ),
    "more than all operators": (lambda s: s.sign(digit_image(), policy=pack_policy(Policy(quorum=4))), PolicyRejected, "at most 3"),
    "window": (
        lambda s: s.sign(digit_image(), policy=pack_policy(Policy(quorum=1, window_seconds=MAX_WINDOW_SECONDS + 1))),
        PolicyRejected,
        "window",
    ),
    "expired": (lambda s: s.sign(digit_image(), deadline=s.chain.time - 1), RequestExpired, "deadline"),
    "too far": (lambda s: s.sign(digit_image(), deadline=s.chain.time + MAX_HORIZON_SECONDS + 1), RequestRejected, "deadline"),
    "callback gas": (lambda s: s.sign(digit_image(), callback_gas=5_000_001), RequestRejected, "callback_gas"),
    "no refund address": (lambda s: s.sign(digit_image(), refund_to="0x" + "00" * 20), RequestRejected, "refund_to"),
    "fee too small": (lambda s: s.sign(digit_image(), fee_wei=2), RequestUnpaid, "at least 3"),
    "deposit too small": (lambda s: s.sign(digit_image(), fee_wei=101), RequestUnpaid, "deposit"),
}


@pytest.mark.parametrize(("make", "error", "names"), SIGNED.values(), ids=SIGNED)
def test_signed_requests(scene: Scene, make: Callable[[Scene], Asked], error: type[AffidavitError], names: str) -> None:
    asked = make(scene)
    with pytest.raises(error, match=names):
        checked(scene, asked)


DISPUTABLE = Policy(quorum=1, window_seconds=600, disputable=True)


def test_disputes_are_not_worked_for_where_there_are_none(scene: Scene) -> None:
    asked = scene.sign(digit_image(), policy=pack_policy(DISPUTABLE))
    assert checked(scene, asked).policy == DISPUTABLE
    scene.chain.has_disputes = False
    with pytest.raises(PolicyRejected, match="policy disputable: expected a deployment with the contract Disputes, got one without it"):
        checked(scene, asked)
    checked(scene, scene.sign(digit_image(), policy=pack_policy(replace(DISPUTABLE, disputable=False))))


def test_a_deposit_is_not_promised_twice(scene: Scene) -> None:
    asked = scene.sign(digit_image(), fee_wei=60)
    checked(scene, asked, owed_wei=40)
    with pytest.raises(RequestUnpaid, match="101"):
        checked(scene, asked, owed_wei=41)


def test_the_chain_decides_when_a_deadline_has_passed(scene: Scene) -> None:
    asked = ask(scene, digit_image())
    scene.chain.mine(seconds=asked.request.deadline - scene.chain.time)
    checked(scene, asked)
    scene.chain.mine(seconds=1)
    with pytest.raises(RequestExpired):
        checked(scene, asked)


def test_a_deprecated_model_answers_only_what_was_asked_before(scene: Scene) -> None:
    asked = ask(scene, digit_image())
    scene.chain.deprecate_model(scene.digits.model_id)
    checked(scene, asked)
    with pytest.raises(ModelRejected, match="deprecated"):
        checked(scene, scene.sign(digit_image()))


def test_operators_who_left_cannot_make_a_quorum(scene: Scene) -> None:
    asked = ask(scene, digit_image())
    refuse_operators(scene)
    with pytest.raises(PolicyRejected, match="at most 1"):
        checked(scene, asked)


def deliver(scene: Scene, asked: Asked) -> None:
    claims = [signed_by(index, asked, b"answer", scene.chain.domain) for index in (0, 1)]
    evidence = assemble_quorum(claims, 2, scene.chain.operators())
    scene.chain.send(DEPLOYER, delivery_call(Delivery(asked, claims[0].claim, b"answer", (evidence,))))
    scene.chain.mine()


def test_what_was_delivered_refunded_or_cancelled_is_not_worked_on(scene: Scene) -> None:
    from_chain, signed = ask(scene, digit_image()), scene.sign(digit_image(1))
    refunded, cancelled = ask(scene, digit_image(2)), scene.sign(digit_image(3), nonce=SIGNED_NONCE_START + 1)
    deliver(scene, from_chain)
    deliver(scene, signed)
    scene.chain.send(address_of("alice"), encode_call("cancelSigned", request_tuple(cancelled.request)))
    for asked, state in ((from_chain, "FINAL"), (signed, "FINAL")):
        with pytest.raises(RequestRejected, match=f"got {state}"):
            checked(scene, asked)
    scene.chain.mine()
    with pytest.raises(RequestRejected, match="got CANCELLED"):
        checked(scene, cancelled)
    scene.chain.mine(seconds=10_000)
    scene.chain.send(CONSUMER, encode_call("refund", request_tuple(refunded.request)))
    scene.chain.mine()
    with pytest.raises(RequestExpired):
        checked(scene, refunded)


def test_a_wallet_contract_signs_in_its_own_way(scene: Scene) -> None:
    wallet = address_of("wallet contract")
    asked = scene.sign(digit_image(), requester=wallet, signer="whoever")
    scene.chain.deposit(wallet, 100)
    with pytest.raises(RequestRejected, match="signature"):
        checked(scene, asked)
    scene.chain.deploy_wallet(wallet, frozenset({(asked.request_id, b"yes")}))
    checked(scene, replace(asked, signature=b"yes"))


def test_a_chain_that_does_not_answer_is_not_a_reason_to_refuse(scene: Scene) -> None:
    asked = ask(scene, digit_image())
    scene.chain.is_down = True
    with pytest.raises(ChainError):
        checked(scene, asked)


def test_limits_are_the_contracts() -> None:
    source = (SEEDS.parent / "contracts/src/Coprocessor.sol").read_text()
    assert f"MAX_CALLBACK_GAS = {MAX_CALLBACK_GAS:_};" in source
    assert f"MAX_HORIZON_SECONDS = {MAX_HORIZON_SECONDS // 86_400} days;" in source
    assert f"MAX_WINDOW_SECONDS = {MAX_WINDOW_SECONDS // 86_400} days;" in source
    for name, value in (("MAX_INPUT_BYTES", coprocessor.MAX_INPUT_BYTES), ("MAX_CALLBACK_GAS", coprocessor.MAX_CALLBACK_GAS)):
        assert f"{name} = {value:_};" in source


def test_a_model_that_is_served_but_not_registered_is_unknown(scene: Scene) -> None:
    asked = scene.sign(digit_image())
    del scene.chain.world.models[scene.digits.model_id]
    with pytest.raises(ModelUnknown, match="a registered model"):
        check(asked, scene.chain, scene.node.library, scene.node.terms)


# ---- proofs --------------------------------------------------------------------------------------------------------------------
PROVES = Terms(minimum_fee_wei=3, max_input_bytes=4096, proves=True)


def test_a_proof_alone_needs_a_node_that_proves(scene: Scene) -> None:
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(proof=True), fee_wei=5)
    with pytest.raises(PolicyRejected, match="does not prove"):
        checked(scene, asked)
    assert check(asked, scene.chain, scene.node.library, PROVES).policy == Policy(proof=True)


def test_beside_a_quorum_a_node_that_does_not_prove_signs(scene: Scene) -> None:
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=2, proof=True, window_seconds=60), fee_wei=5)
    assert checked(scene, asked).policy == Policy(quorum=2, proof=True, window_seconds=60)


@pytest.mark.parametrize("quorum", [0, 2])
def test_an_opaque_model_cannot_be_proven(scene: Scene, quorum: int) -> None:
    asked = scene.chain.ask(scene.scale.model_id, vector(1.0), Policy(quorum=quorum, proof=True), fee_wei=5)
    with pytest.raises(PolicyRejected, match="canonical"):
        check(asked, scene.chain, scene.node.library, PROVES)


def test_a_proof_costs_what_the_node_wants_for_it(scene: Scene) -> None:
    dear = Terms(minimum_fee_wei=3, max_input_bytes=4096, proves=True, minimum_proof_fee_wei=10)
    cheap = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=1, proof=True), fee_wei=12)
    with pytest.raises(RequestUnpaid, match="at least 13"):
        check(cheap, scene.chain, scene.node.library, dear)
    check(cheap, scene.chain, scene.node.library, Terms(3, 4096, proves=False, minimum_proof_fee_wei=10))  # signs, and proves nothing
    paid = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=1, proof=True), fee_wei=13)
    assert check(paid, scene.chain, scene.node.library, dear).policy.proof
    unproven = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=1), fee_wei=3)
    assert not check(unproven, scene.chain, scene.node.library, dear).policy.proof


# ---- what the operator posted on chain ---------------------------------------------------------------------------------------------------
ASKING = Asks(signature_wei=10, proof_wei=40, enclave_wei=None)


def own_terms(scene: Scene, proves: bool = True, gives_enclave: bool = False) -> Terms:
    return Terms(0, 4096, proves=proves, signer=scene.node.signer.address, gives_enclave=gives_enclave)


@pytest.mark.parametrize(
    ("policy", "fee_wei", "proves", "problem"),
    [
        (Policy(quorum=2), 20, True, None),
        (Policy(quorum=2), 19, True, "a share of at least 10 for a signature, got 9"),
        (Policy(proof=True), 40, True, None),
        (Policy(proof=True), 39, True, "40 for a proof"),
        (Policy(quorum=2, proof=True), 120, True, None),
        (Policy(quorum=2, proof=True), 119, True, "40 for a proof, got 39"),
        (Policy(quorum=2, proof=True), 30, False, None),  # another one proves
        (Policy(quorum=2, proof=True), 29, False, "10 for a signature, got 9"),
    ],
)
def test_what_pays_less_than_the_operator_posted_is_refused(
    scene: Scene, policy: Policy, fee_wei: int, proves: bool, problem: str | None
) -> None:
    operator = next(o.operator for o in scene.chain.operators() if o.signer == scene.node.signer.address)
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), policy, fee_wei)
    terms = own_terms(scene, proves)
    check(asked, scene.chain, scene.node.library, terms)  # nothing is posted yet
    scene.chain.world.asks[operator, scene.digits.model_id] = ASKING
    check(asked, scene.chain, scene.node.library, replace(terms, signer=None))  # its configuration says: not to be heeded
    if problem is None:
        check(asked, scene.chain, scene.node.library, terms)
    else:
        with pytest.raises(RequestUnpaid, match=problem):
            check(asked, scene.chain, scene.node.library, terms)


def test_no_fee_is_enough_for_what_the_operator_does_not_give(scene: Scene) -> None:
    operator = next(o.operator for o in scene.chain.operators() if o.signer == scene.node.signer.address)
    scene.chain.world.asks[operator, scene.digits.model_id] = ASKING
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=1), 10**18)
    both = replace(asked, request=replace(asked.request, policy=pack_policy(Policy(quorum=1, enclave=True))))
    _check_asks(both.request, scene.chain, own_terms(scene), Policy(quorum=1, enclave=True))  # another one's enclave does the rest
    with pytest.raises(RequestUnpaid, match="more than any fee for an enclave"):
        _check_asks(both.request, scene.chain, own_terms(scene, gives_enclave=True), Policy(quorum=1, enclave=True))


def test_a_key_of_no_operator_asks_for_nothing(scene: Scene) -> None:
    asked = scene.chain.ask(scene.digits.model_id, digit_image(), Policy(quorum=1), 0)
    check(asked, scene.chain, scene.node.library, replace(own_terms(scene), signer=address_of("nobody")))
