"""COSE receipts: what RFC 9942 says of their bytes, and everything else refused."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oracle.audit.cose import (
    MAX_RECEIPT_BYTES,
    TREE_SIZE,
    make_consistency_receipt,
    make_inclusion_receipt,
    parse_receipt,
    verify_consistency_receipt,
    verify_inclusion_receipt,
)
from oracle.audit.note import SignerKey
from oracle.audit.tree import compute_consistency_proof, compute_inclusion_proof, compute_root, hash_leaf
from oracle.errors import InvariantBroken, ProofRejected
from tests.twins.mutations import BYTES, mutations

KEY = SignerKey("log.example/affidavit", bytes(range(32)))
LEAVES = [bytes(hash_leaf(bytes([i]))) for i in range(40)]


def inclusion(index: int, size: int, key: SignerKey = KEY) -> bytes:
    leaves = LEAVES[:size]
    return make_inclusion_receipt(key, leaves[index], index, size, compute_inclusion_proof(leaves, index), compute_root(leaves))


def consistency(size1: int, size2: int) -> bytes:
    path = compute_consistency_proof(LEAVES[:size2], size1)
    return make_consistency_receipt(KEY, size1, compute_root(LEAVES[:size1]), size2, compute_root(LEAVES[:size2]), path)


RECEIPT = inclusion(4, 7)


def test_every_entry_of_every_small_tree() -> None:
    for size in range(2, 20):
        for index in range(size):
            receipt = verify_inclusion_receipt(inclusion(index, size), LEAVES[index], KEY.verifier)
            assert (receipt.size, receipt.numbers, receipt.origin) == (size, (size, index), KEY.name)
            for other in {0, size // 2, size - 1} - {index}:
                with pytest.raises(ProofRejected):
                    verify_inclusion_receipt(inclusion(index, size), LEAVES[other], KEY.verifier)


def test_every_pair_of_small_trees() -> None:
    for size2 in range(2, 14):
        for size1 in range(1, size2):
            data, root1 = consistency(size1, size2), compute_root(LEAVES[:size1])
            assert verify_consistency_receipt(data, size1, root1, KEY.verifier).numbers == (size1, size2)
            with pytest.raises(ProofRejected):
                verify_consistency_receipt(data, size1, bytes(32), KEY.verifier)
            with pytest.raises(ProofRejected):
                verify_consistency_receipt(data, size1 + 1, root1, KEY.verifier)
            with pytest.raises(ProofRejected):
                verify_consistency_receipt(data, 0, root1, KEY.verifier)


def test_its_bytes_are_those_of_the_standard() -> None:
    """Taken apart with nothing of ours: tag 18, headers 1, 395 and 396, the detached payload, RFC 9052's Sig_structure."""
    message = cbor2.loads(RECEIPT)
    assert message.tag == 18
    protected, unprotected, payload, signature = message.value
    header = cbor2.loads(protected)
    assert (header[1], header[395], header[15]) == (-8, 1, {1: KEY.name})
    assert header[4] == KEY.verifier.key_id
    assert payload is None
    [proof] = unprotected[396][-1]
    assert cbor2.loads(proof) == [7, 4, compute_inclusion_proof(LEAVES[:7], 4)]
    to_sign = cbor2.dumps(["Signature1", protected, b"", compute_root(LEAVES[:7])])
    Ed25519PublicKey.from_public_bytes(KEY.verifier.public).verify(signature, to_sign)
    consistent = cbor2.loads(consistency(3, 7)).value[1][396]
    assert list(consistent) == [-2]
    assert cbor2.loads(consistent[-2][0])[:2] == [3, 7]


def test_no_receipt_of_a_tree_of_one() -> None:
    with pytest.raises(ProofRejected, match="at least one hash"):
        inclusion(0, 1)
    with pytest.raises(ProofRejected):
        consistency(3, 3)


def test_a_false_proof_is_never_signed() -> None:
    with pytest.raises(InvariantBroken):
        make_inclusion_receipt(KEY, LEAVES[1], 4, 7, compute_inclusion_proof(LEAVES[:7], 4), compute_root(LEAVES[:7]))
    with pytest.raises(InvariantBroken):
        make_consistency_receipt(KEY, 3, compute_root(LEAVES[:3]), 7, bytes(32), compute_consistency_proof(LEAVES[:7], 3))


def test_another_logs_key() -> None:
    for other in (SignerKey("other.example/log", KEY.seed), SignerKey(KEY.name, bytes(32))):
        with pytest.raises(ProofRejected, match="one by"):
            verify_inclusion_receipt(RECEIPT, LEAVES[4], other.verifier)
        with pytest.raises(ProofRejected):
            verify_inclusion_receipt(inclusion(4, 7, other), LEAVES[4], KEY.verifier)


def test_one_kind_is_not_the_other() -> None:
    with pytest.raises(ProofRejected, match="inclusion"):
        verify_inclusion_receipt(consistency(3, 7), LEAVES[4], KEY.verifier)
    with pytest.raises(ProofRejected, match="consistency"):
        verify_consistency_receipt(RECEIPT, 4, compute_root(LEAVES[:4]), KEY.verifier)


# ---- forged by somebody who can count -----------------------------------------------------------------------------------------------
WHOLE = cbor2.loads(RECEIPT[1:])


def forge(protected: object = None, proofs: object = None, value: object = None, tag: int = 18, sign: bool = True) -> bytes:
    """A receipt with parts replaced, signed again by the log's key where that is possible: only the form is wrong then."""
    whole = WHOLE
    header = cbor2.loads(whole[0]) | (protected if isinstance(protected, dict) else {})
    header = {label: item for label, item in header.items() if item is not ...}
    encoded = protected if isinstance(protected, bytes) else cbor2.dumps(header, canonical=True)
    to_sign = cbor2.dumps(["Signature1", encoded, b"", compute_root(LEAVES[:7])])
    signature = Ed25519PrivateKey.from_private_bytes(KEY.seed).sign(to_sign) if sign else whole[3]
    unprotected = whole[1] if proofs is None else proofs
    return cbor2.dumps(cbor2.CBORTag(tag, [encoded, unprotected, None, signature] if value is None else value), canonical=True)


PATH = compute_inclusion_proof(LEAVES[:7], 4)


def proof(*items: object) -> dict[int, object]:
    return {396: {-1: [cbor2.dumps(list(items), canonical=True)]}}


FORGERIES = {
    "another tag": forge(tag=17),
    "no tag": cbor2.dumps(WHOLE, canonical=True),
    "tagged twice": cbor2.dumps(cbor2.CBORTag(18, cbor2.CBORTag(18, WHOLE)), canonical=True),
    "three items": forge(value=WHOLE[:3]),
    "five items": forge(value=[*WHOLE, None]),
    "an attached payload": forge(value=[*WHOLE[:2], compute_root(LEAVES[:7]), WHOLE[3]]),
    "an empty payload": forge(value=[*WHOLE[:2], b"", WHOLE[3]]),
    "a cut signature": forge(value=[*WHOLE[:3], WHOLE[3][:63]]),
    "a longer signature": forge(value=[*WHOLE[:3], WHOLE[3] + b"\0"]),
    "a header that is no map": forge(protected=cbor2.dumps([1])),
    "an empty header": forge(protected=b""),
    "no algorithm": forge(protected={1: ...}),
    "another algorithm": forge(protected={1: -7}),
    "an algorithm by name": forge(protected={1: "EdDSA"}),
    "an algorithm that is a float": forge(protected={1: -8.0}),
    "another structure": forge(protected={395: 2}),
    "a structure that is a boolean": forge(protected={395: True}),
    "no structure": forge(protected={395: ...}),
    "no key id": forge(protected={4: ...}),
    "a short key id": forge(protected={4: b"abc"}),
    "no issuer": forge(protected={15: {}}),
    "an issuer that is bytes": forge(protected={15: {1: b"log"}}),
    "more claims": forge(protected={15: {1: KEY.name, 2: "x"}}),
    "a critical header": forge(protected={2: [395]}),
    "one header more": forge(protected={99: 1}),
    "no signed size": forge(protected={TREE_SIZE: ...}),
    "another signed size": forge(protected={TREE_SIZE: 8}),
    "a signed size that is text": forge(protected={TREE_SIZE: "7"}),
    "another size in the proof": forge(proofs=proof(8, 4, PATH)),
    "another index": forge(proofs=proof(7, 5, PATH)),
    "an index beyond": forge(proofs=proof(7, 7, PATH)),
    "a negative index": forge(proofs=proof(7, -1, PATH)),
    "an index of 65 bits": forge(proofs=proof(7, 1 << 64, PATH)),
    "an index that is a boolean": forge(proofs=proof(7, True, PATH)),
    "an index that is a float": forge(proofs=proof(7, 4.0, PATH)),
    "no path": forge(proofs=proof(7, 4, [])),
    "a shorter path": forge(proofs=proof(7, 4, PATH[:-1])),
    "a longer path": forge(proofs=proof(7, 4, [*PATH, bytes(32)])),
    "a turned path": forge(proofs=proof(7, 4, PATH[::-1])),
    "a short hash": forge(proofs=proof(7, 4, [PATH[0][:31], *PATH[1:]])),
    "a hash that is text": forge(proofs=proof(7, 4, ["x" * 32, *PATH[1:]])),
    "sixty-five hashes": forge(proofs=proof(7, 4, [bytes(32)] * 65)),
    "four items in the proof": forge(proofs=proof(7, 4, PATH, 1)),
    "a proof that is not encoded": forge(proofs={396: {-1: [[7, 4, PATH]]}}),
    "two proofs": forge(proofs={396: {-1: WHOLE[1][396][-1] * 2}}),
    "no proof": forge(proofs={396: {-1: []}}),
    "both kinds": forge(proofs={396: WHOLE[1][396] | {-2: WHOLE[1][396][-1]}}),
    "an unknown kind": forge(proofs={396: {-3: WHOLE[1][396][-1]}}),
    "no proofs": forge(proofs={}),
    "one unprotected header more": forge(proofs=WHOLE[1] | {4: b"abcd"}),
    "protected parts unprotected": forge(proofs=WHOLE[1] | {395: 1}),
    "two receipts": RECEIPT + RECEIPT,
    "a byte after it": RECEIPT + b"\x00",
    "nothing": b"",
    "an array without end": b"\xd2\x9f" + RECEIPT[2:] + b"\xff",
    "a number in nine bytes": RECEIPT.replace(b"\xd2\x84", b"\xdb\x00\x00\x00\x00\x00\x00\x00\x12\x84"),
    "a bomb": b"\x81" * 10_000,
    "a shared reference to itself": bytes.fromhex("d81c81d81d00"),
    "a date": cbor2.dumps(cbor2.CBORTag(0, "2026-11-22T10:00:00Z")),
    "a regular expression": cbor2.dumps(cbor2.CBORTag(35, "(")),
    "too long": RECEIPT + bytes(MAX_RECEIPT_BYTES),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries(name: str) -> None:
    with pytest.raises(ProofRejected) as caught:
        verify_inclusion_receipt(FORGERIES[name], LEAVES[4], KEY.verifier)
    assert str(caught.value)


def test_the_forger_can_forge_nothing_that_is_true() -> None:
    assert forge() == RECEIPT


def test_a_size_whose_proofs_have_the_same_form_is_refused() -> None:
    """Entry 0 of 3 and of 4 has two hashes either way, and RFC 9942 signs the root alone: the signed size tells them apart."""
    leaves = LEAVES[:3]
    path = compute_inclusion_proof(leaves, 0)
    true = cbor2.loads(make_inclusion_receipt(KEY, leaves[0], 0, 3, path, compute_root(leaves))[1:])
    for size, index in ((4, 0), (3, 1)):
        changed = [true[0], {396: {-1: [cbor2.dumps([size, index, path], canonical=True)]}}, None, true[3]]
        with pytest.raises(ProofRejected):
            verify_inclusion_receipt(cbor2.dumps(cbor2.CBORTag(18, changed), canonical=True), leaves[0], KEY.verifier)


# ---- by the thousand ------------------------------------------------------------------------------------------------------------------
def test_every_flipped_bit() -> None:
    for data, verify in (
        (RECEIPT, lambda changed: verify_inclusion_receipt(changed, LEAVES[4], KEY.verifier)),
        (consistency(3, 7), lambda changed: verify_consistency_receipt(changed, 3, compute_root(LEAVES[:3]), KEY.verifier)),
    ):
        verify(data)
        for position in range(len(data)):
            for bit in range(8):
                changed = bytearray(data)
                changed[position] ^= 1 << bit
                with pytest.raises(ProofRejected) as caught:
                    verify(bytes(changed))
                assert str(caught.value)


def test_four_thousand_mutations_of_each_kind() -> None:
    for data, verify in (
        (RECEIPT, lambda changed: verify_inclusion_receipt(changed, LEAVES[4], KEY.verifier)),
        (consistency(3, 7), lambda changed: verify_consistency_receipt(changed, 3, compute_root(LEAVES[:3]), KEY.verifier)),
    ):
        for name, changed in mutations(data, 4000, damages=BYTES):
            with pytest.raises(ProofRejected) as caught:
                verify(changed)
            assert str(caught.value), name


def test_parsing_alone_says_nothing_about_truth() -> None:
    receipt = parse_receipt(forge(sign=False))
    assert receipt.numbers == (7, 4)
