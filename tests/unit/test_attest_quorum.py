"""Claims and quorums: every field, encoding and bit that is wrong is refused, by the part of it that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from oracle.attest.quorum import assemble_quorum, check_signed_claim, find_agreement, find_equivocators, group_by_output, verify_quorum
from oracle.attest.sign import sign_claim
from oracle.encoding import compute_claim_digest, keccak256, unpack_quorum_evidence
from oracle.errors import ClaimRejected, EvidenceRejected, InvariantBroken
from oracle.records import Asked, Bytes32, Delivery, Domain, Evidence, ModelKind, Operator, Policy, RequestStatus, SignedClaim
from oracle.seams import Show
from oracle.signatures import SECP256K1_ORDER, recover_signer
from tests.twins.chain import ChainTwin
from tests.twins.coprocessor import delivery_call
from tests.twins.operators import address_of, claim_for, operator_signer, signed_by

OUTPUT, LIE = b"seven", b"eight"


@pytest.fixture(scope="module")
def chain() -> ChainTwin:
    chain = ChainTwin()
    for index in range(5):
        chain.register_operator(index, operator_signer(index).address, is_active=index != 4)
    chain.register_model(ModelKind.OPAQUE, keccak256(b"manifest"))
    return chain


@pytest.fixture(scope="module")
def asked(chain: ChainTwin) -> Asked:
    return chain.ask(next(iter(chain.world.models)), b"image", Policy(quorum=3))


def mangle_high_s(signature: bytes) -> bytes:
    s = SECP256K1_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


SIGNATURE_LIES: dict[str, Callable[[bytes], bytes]] = {
    "high s": mangle_high_s,
    "v 0 or 1": lambda s: s[:64] + bytes([s[64] - 27]),
    "v 29": lambda s: s[:64] + bytes([29]),
    "other v": lambda s: s[:64] + bytes([55 - s[64]]),
    "cut": lambda s: s[:64],
    "padded": lambda s: s + b"\0",
    "empty": lambda s: b"",
    "zeros": lambda s: bytes(65),
    "r zero": lambda s: bytes(32) + s[32:],
    "r of the group order": lambda s: SECP256K1_ORDER.to_bytes(32, "big") + s[32:],
    "s zero": lambda s: s[:32] + bytes(32) + s[64:],
    "r without a point": lambda s: b"\xff" * 15 + bytes(17) + s[32:],
    "bit of r": lambda s: bytes([s[0] ^ 1]) + s[1:],
    "bit of s": lambda s: s[:63] + bytes([s[63] ^ 1]) + s[64:],
}


@pytest.mark.parametrize("lie", SIGNATURE_LIES.values(), ids=SIGNATURE_LIES)
def test_a_mangled_signature_is_refused(chain: ChainTwin, asked: Asked, lie: Callable[[bytes], bytes]) -> None:
    signed = signed_by(0, asked, OUTPUT, chain.domain)
    with pytest.raises(ClaimRejected):
        check_signed_claim(replace(signed, signature=lie(signed.signature)), asked, chain.domain, chain.operators())


@pytest.mark.parametrize("field", ["request_id", "model_id", "input_digest", "output_digest"])
def test_a_claim_about_something_else_is_refused_by_its_field(chain: ChainTwin, asked: Asked, field: str) -> None:
    claim = replace(claim_for(asked, OUTPUT), **{field: Bytes32(b"\x07" * 32)})
    digest = compute_claim_digest(claim, chain.domain)
    signed = SignedClaim(claim, OUTPUT, operator_signer(0).address, operator_signer(0).sign_digest(digest))  # honestly signed
    with pytest.raises(ClaimRejected, match=field):
        check_signed_claim(signed, asked, chain.domain, chain.operators())


def test_an_id_that_is_not_its_requests_is_our_bug(chain: ChainTwin, asked: Asked) -> None:
    """Every field of the claim agrees with the request; only the digest of the request does not give its id."""
    other = replace(asked, request=replace(asked.request, fee_wei=asked.request.fee_wei + 1))
    signed = signed_by(0, other, OUTPUT, chain.domain)
    with pytest.raises(InvariantBroken, match="id does not belong"):
        check_signed_claim(signed, other, chain.domain, chain.operators())


def test_a_true_claim_names_its_operator(chain: ChainTwin, asked: Asked) -> None:
    assert check_signed_claim(signed_by(2, asked, OUTPUT, chain.domain), asked, chain.domain, chain.operators()).index == 2


@pytest.mark.parametrize("index", [4, 9], ids=["inactive", "unregistered"])
def test_only_active_operators_count(chain: ChainTwin, asked: Asked, index: int) -> None:
    with pytest.raises(ClaimRejected, match="operator"):
        check_signed_claim(signed_by(index, asked, OUTPUT, chain.domain), asked, chain.domain, chain.operators())


@pytest.mark.parametrize("is_other_chain", [True, False], ids=["chain", "contract"])
def test_a_claim_for_another_chain_or_contract_is_refused(chain: ChainTwin, asked: Asked, is_other_chain: bool) -> None:
    ours = chain.domain
    other = Domain(1, ours.coprocessor) if is_other_chain else Domain(ours.chain_id, address_of("another contract"))
    with pytest.raises(ClaimRejected, match="signer"):
        check_signed_claim(signed_by(0, asked, OUTPUT, other), asked, chain.domain, chain.operators())


def test_the_output_must_be_the_one_claimed(chain: ChainTwin, asked: Asked) -> None:
    with pytest.raises(ClaimRejected, match="output_digest"):
        check_signed_claim(replace(signed_by(0, asked, OUTPUT, chain.domain), output=LIE), asked, chain.domain, chain.operators())


def test_another_operators_name_on_a_claim_is_refused(chain: ChainTwin, asked: Asked) -> None:
    signed = replace(signed_by(0, asked, OUTPUT, chain.domain), signer=operator_signer(1).address)
    with pytest.raises(ClaimRejected, match="signer"):
        check_signed_claim(signed, asked, chain.domain, chain.operators())


def test_signing_for_another_output_than_claimed_is_our_bug(chain: ChainTwin, asked: Asked) -> None:
    with pytest.raises(InvariantBroken):
        sign_claim(claim_for(asked, OUTPUT), LIE, chain.domain, operator_signer(0))


class WrongSigner:
    """A signer whose device signs with another key than it says."""

    address = operator_signer(0).address

    def sign_preimage(self, preimage: bytes, show: Show | None = None) -> bytes:
        return operator_signer(1).sign_preimage(preimage)


def test_a_signer_that_signs_with_another_key_is_seen_before_it_leaves(chain: ChainTwin, asked: Asked) -> None:
    with pytest.raises(InvariantBroken):
        sign_claim(claim_for(asked, OUTPUT), OUTPUT, chain.domain, WrongSigner())


def test_signatures_are_low_s_with_v_27_or_28(chain: ChainTwin) -> None:
    for index in range(40):
        signature = operator_signer(0).sign_digest(keccak256(bytes([index])))
        assert signature[64] in (27, 28)
        assert 0 < int.from_bytes(signature[32:64], "big") <= SECP256K1_ORDER // 2
        assert recover_signer(keccak256(bytes([index])), signature) == operator_signer(0).address


def claims(chain: ChainTwin, asked: Asked, answers: dict[int, bytes]) -> list[SignedClaim]:
    return [signed_by(index, asked, output, chain.domain) for index, output in answers.items()]


def test_evidence_has_the_k_lowest_operators_and_the_contract_takes_it(chain: ChainTwin, asked: Asked) -> None:
    agreed = claims(chain, asked, {3: OUTPUT, 1: OUTPUT, 0: OUTPUT, 2: OUTPUT})
    evidence = assemble_quorum(agreed, 3, chain.operators())
    assert list(unpack_quorum_evidence(evidence.data)) == [0, 1, 2]
    signers = verify_quorum(evidence, compute_claim_digest(agreed[0].claim, chain.domain), chain.operators(), 3)
    assert [operator.index for operator in signers] == [0, 1, 2]
    transaction = chain.send(address_of("relay"), delivery_call(Delivery(asked, agreed[0].claim, OUTPUT, (evidence,))))
    chain.mine()
    receipt = chain.receipt(transaction)
    assert receipt is not None
    assert receipt.succeeded
    assert chain.status_of(asked.request_id).status is RequestStatus.FINAL


def test_one_operator_three_times_is_one(chain: ChainTwin, asked: Asked) -> None:
    with pytest.raises(EvidenceRejected):
        assemble_quorum(claims(chain, asked, {0: OUTPUT}) * 3, 3, chain.operators())


def test_claims_that_differ_are_never_assembled(chain: ChainTwin, asked: Asked) -> None:
    with pytest.raises(EvidenceRejected):
        assemble_quorum(claims(chain, asked, {0: OUTPUT, 1: LIE}), 2, chain.operators())


@pytest.mark.parametrize("k", [0, -1, 3])
def test_a_quorum_nobody_can_give_is_refused(chain: ChainTwin, asked: Asked, k: int) -> None:
    with pytest.raises(EvidenceRejected):
        assemble_quorum(claims(chain, asked, {0: OUTPUT, 1: OUTPUT}), k, chain.operators())


def test_agreement_among_liars_and_the_absent(chain: ChainTwin, asked: Asked) -> None:
    answers = claims(chain, asked, {0: OUTPUT, 1: LIE, 2: OUTPUT})
    assert find_agreement(answers, 3) is None
    agreed = find_agreement([*answers, *claims(chain, asked, {3: OUTPUT})], 3)
    assert agreed is not None
    assert {signed.signer for signed in agreed} == {operator_signer(i).address for i in (0, 2, 3)}
    assert {digest: len(group) for digest, group in group_by_output(answers).items()} == {keccak256(OUTPUT): 2, keccak256(LIE): 1}


def test_two_outputs_with_a_quorum_each_deliver_nothing(chain: ChainTwin, asked: Asked) -> None:
    with pytest.raises(EvidenceRejected):
        find_agreement(claims(chain, asked, {0: OUTPUT, 1: LIE}), 1)


def test_who_signs_twice_counts_for_neither(chain: ChainTwin, asked: Asked) -> None:
    both = [*claims(chain, asked, {0: OUTPUT, 1: OUTPUT}), *claims(chain, asked, {0: LIE})]
    assert find_equivocators(both) == {operator_signer(0).address}
    assert find_agreement(both, 2) is None


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def test_every_changed_byte_of_evidence_is_refused_here_and_by_the_contract(chain: ChainTwin) -> None:
    asked = chain.ask(next(iter(chain.world.models)), b"another image", Policy(quorum=2))
    agreed = claims(chain, asked, {0: OUTPUT, 2: OUTPUT})
    evidence = assemble_quorum(agreed, 2, chain.operators())
    digest = compute_claim_digest(agreed[0].claim, chain.domain)
    lies = [flipped(evidence.data, position) for position in range(len(evidence.data))]
    lies += [evidence.data[:-1], evidence.data + b"\0", evidence.data[:32], b"", evidence.data[32:], evidence.data + evidence.data[-65:]]
    for lie in lies:
        with pytest.raises(EvidenceRejected):
            verify_quorum(Evidence(evidence.selector, lie), digest, chain.operators(), 2)
    for lie in lies[::7]:
        delivery = Delivery(asked, agreed[0].claim, OUTPUT, (Evidence(evidence.selector, lie),))
        transaction = chain.send(address_of("relay"), delivery_call(delivery))
        chain.mine()
        receipt = chain.receipt(transaction)
        assert receipt is not None
        assert not receipt.succeeded


def test_evidence_of_another_verifier_claim_or_size_is_refused(chain: ChainTwin, asked: Asked) -> None:
    agreed = claims(chain, asked, {0: OUTPUT, 2: OUTPUT})
    evidence = assemble_quorum(agreed, 2, chain.operators())
    digest = compute_claim_digest(agreed[0].claim, chain.domain)
    operators: list[Operator] = chain.operators()
    for wrong_evidence, wrong_digest, k in (
        (Evidence(b"\1\2\3\4", evidence.data), digest, 2),
        (evidence, keccak256(b"another claim"), 2),
        (evidence, digest, 3),
    ):
        with pytest.raises(EvidenceRejected):
            verify_quorum(wrong_evidence, wrong_digest, operators, k)
    with pytest.raises(EvidenceRejected):
        verify_quorum(evidence, digest, [replace(o, is_active=o.index != 2) for o in operators], 2)
