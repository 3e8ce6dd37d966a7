"""BLS signatures: what py_ecc computed is what this package computes, and every byte that is another is refused."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_keyfile.keyfile import create_keyfile_json
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point

from oracle.attest.bls import CLAIM_TAG, ORDER, POSSESSION_TAG, BlsSigner, aggregate, verify_aggregate, verify_possession
from oracle.attest.bls_keystore import create_bls_keystore, load_bls_signer, write_bls_keystore
from oracle.attest.bls_quorum import PAGE_GAS, QuorumGas, assemble_cheapest, check_bls, verify_any_quorum
from oracle.attest.keys import LIGHT_SCRYPT_N
from oracle.encoding import (
    QUORUM_BLS_SELECTOR,
    QUORUM_ECDSA_SELECTOR,
    compute_bls_possession_digest,
    compute_claim_digest,
    keccak256,
    pack_bls_quorum_evidence,
    parse_hex,
    unpack_bls_quorum_evidence,
    unpack_quorum_indices,
)
from oracle.errors import ClaimRejected, ConfigRejected, EvidenceRejected, InvariantBroken, MalformedInput
from oracle.pipeline.relay import measured_gas
from oracle.records import Address, Asked, Bytes32, ModelKind, Operator, Policy, SignedClaim
from oracle.wire import signed_claim_from_json, signed_claim_to_json
from tests.twins.chain import ChainTwin
from tests.twins.operators import operator_signer, signed_by

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/bls.json").read_text())
MODULUS = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
OUTPUT = b"seven"
DIGEST = keccak256(b"a claim")
PASSWORD = "correct horse battery"
ALWAYS = QuorumGas({1: 2, 128: 2_000_000}, {1: 1, 128: 1})
NEVER = QuorumGas({1: 1, 128: 1}, {1: 2, 128: 2})
RFC_9380 = {  # appendix J.9.1
    "": "052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1",
    "abc": "03567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903",
    "abcdef0123456789": "11e0b079dea29a68f0383ee94fed1b940995272407e3bb916bbf268c263ddd57a6a27200a784cbc248e84f357ce82d98",
}


def data(text: str) -> bytes:
    return parse_hex(text, "vector")


def bls_of(index: int) -> BlsSigner:
    return BlsSigner(int.from_bytes(keccak256(b"bls %d" % index), "big") % ORDER)


# ---- known answers ----------------------------------------------------------------------------------------------------------------------
def test_the_tags_are_those_of_the_draft() -> None:
    assert (CLAIM_TAG.decode(), POSSESSION_TAG.decode()) == (VECTORS["claimTag"], VECTORS["possessionTag"])


@pytest.mark.parametrize("row", VECTORS["rfc9380"], ids=lambda row: row["message"][:8])
def test_hashing_is_that_of_rfc_9380(row: dict[str, str]) -> None:
    point = G1Point.hash_to_curve(row["message"].encode(), b"QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_")
    assert bytes(point.to_xy_bytes_be()) == data(row["point"])
    assert row["message"] not in RFC_9380 or data(row["point"])[:48].hex() == RFC_9380[row["message"]]


@pytest.mark.parametrize("row", VECTORS["keys"], ids=range(len(VECTORS["keys"])))
def test_keys_and_possessions(row: dict[str, Any]) -> None:
    signer = BlsSigner(int(row["secret"], 16))
    assert signer.key == data(row["key"])
    digest = compute_bls_possession_digest(Address(row["operator"]), signer.key, int(row["chainId"]), Address(row["contract"]))
    assert digest == data(row["possessionDigest"])
    assert signer.prove_possession(digest) == data(row["possession"])
    verify_possession(signer.key, digest, data(row["possession"]))


@pytest.mark.parametrize("row", VECTORS["aggregates"], ids=lambda row: "-".join(map(str, row["signers"])))
def test_signatures_and_their_sums(row: dict[str, Any]) -> None:
    digest, signers = Bytes32(data(row["digest"])), [BlsSigner(int(VECTORS["keys"][i]["secret"], 16)) for i in row["signers"]]
    signatures = [signer.sign_digest(digest) for signer in signers]
    assert signatures == [data(s) for s in row["signatures"]]
    assert aggregate(signatures) == data(row["signature"])
    verify_aggregate([signer.key for signer in signers], digest, data(row["signature"]))


@settings(max_examples=20, deadline=None)
@given(secrets=st.lists(st.integers(1, ORDER - 1), min_size=1, max_size=6), digest=st.binary(min_size=32, max_size=32))
def test_whoever_signs_the_sum_is_verified(secrets: list[int], digest: bytes) -> None:
    signers = [BlsSigner(secret) for secret in secrets]
    total = aggregate([signer.sign_digest(Bytes32(digest)) for signer in signers])
    if any(total):  # else the secrets cancel out
        verify_aggregate([signer.key for signer in signers], Bytes32(digest), total)


# ---- what is no signature, and no key ---------------------------------------------------------------------------------------------------
SIGNATURE_LIES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda s: s[:95],
    "padded": lambda s: s + b"\0",
    "empty": lambda s: b"",
    "infinity": lambda s: bytes(96),
    "compressed": lambda s: bytes([s[0] | 0x80]) + s[1:48],
    "outside the group": lambda s: data(VECTORS["signatureOutsideTheGroup"]),
    "not on the curve": lambda s: (1).to_bytes(48, "big") * 2,
    "x above the modulus": lambda s: (int.from_bytes(s[:48], "big") + MODULUS).to_bytes(48, "big") + s[48:],
    "y above the modulus": lambda s: s[:48] + (int.from_bytes(s[48:], "big") + MODULUS).to_bytes(48, "big"),
    "negated": lambda s: s[:48] + (MODULUS - int.from_bytes(s[48:], "big")).to_bytes(48, "big"),
    "bit of x": lambda s: s[:47] + bytes([s[47] ^ 1]) + s[48:],
    "bit of y": lambda s: s[:95] + bytes([s[95] ^ 1]),
    "another's": lambda s: bls_of(9).sign_digest(DIGEST),
    "twice": lambda s: aggregate([s, s]),
    "the possession's": lambda s: bls_of(0).prove_possession(DIGEST),
}


@pytest.mark.parametrize("lie", SIGNATURE_LIES.values(), ids=SIGNATURE_LIES)
def test_a_mangled_signature_is_refused(lie: Callable[[bytes], bytes]) -> None:
    signer = bls_of(0)
    verify_aggregate([signer.key], DIGEST, signer.sign_digest(DIGEST))
    with pytest.raises(EvidenceRejected):
        verify_aggregate([signer.key], DIGEST, lie(signer.sign_digest(DIGEST)))


KEY_LIES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda k: k[:255],
    "infinity": lambda k: bytes(256),
    "outside the group": lambda k: data(VECTORS["keyOutsideTheGroup"]),
    "padding": lambda k: b"\1" + k[1:],
    "coordinates swapped": lambda k: k[64:128] + k[:64] + k[128:],
    "bit": lambda k: k[:255] + bytes([k[255] ^ 1]),
    "another's": lambda k: bls_of(9).key,
}


@pytest.mark.parametrize("lie", KEY_LIES.values(), ids=KEY_LIES)
def test_a_mangled_key_is_refused(lie: Callable[[bytes], bytes]) -> None:
    signer = bls_of(0)
    with pytest.raises(EvidenceRejected):
        verify_aggregate([lie(signer.key)], DIGEST, signer.sign_digest(DIGEST))
    with pytest.raises(EvidenceRejected):
        verify_possession(lie(signer.key), DIGEST, signer.prove_possession(DIGEST))


def test_keys_that_cancel_out_sign_nothing() -> None:
    secret = 12345
    keys = [BlsSigner(secret).key, BlsSigner(ORDER - secret).key]
    with pytest.raises(EvidenceRejected, match="finite"):
        verify_aggregate(keys, DIGEST, bytes(96))


def test_what_only_we_can_do_wrong() -> None:
    for secret in (0, ORDER):
        with pytest.raises(InvariantBroken):
            BlsSigner(secret)
    with pytest.raises(InvariantBroken):
        aggregate([])
    with pytest.raises(InvariantBroken):
        bls_of(0).sign_digest(Bytes32(b"short"))
    with pytest.raises(EvidenceRejected):
        verify_aggregate([], DIGEST, bls_of(0).sign_digest(DIGEST))
    assert bls_of(0).to_secret().hex() not in repr(bls_of(0))


# ---- keys at rest -----------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


def test_a_key_comes_back_and_is_never_overwritten(tmp_path: Path, password_file: Path) -> None:
    keystore = tmp_path / "deep/bls.json"
    key = create_bls_keystore(keystore, password_file)
    assert load_bls_signer(keystore, password_file).key == key
    document = json.loads(keystore.read_text())
    assert (document["version"], document["pubkey"], document["crypto"]["kdf"]["function"]) == (4, key.hex(), "scrypt")
    assert stat.S_IMODE(keystore.stat().st_mode) == 0o600
    with pytest.raises(ConfigRejected):
        create_bls_keystore(keystore, password_file)


def test_a_password_is_normalised_as_eip_2335_wants(tmp_path: Path, password_file: Path) -> None:
    """The password of the standard's own vector, one that has another form under NFKD."""
    password_file.write_text("\U0001d531\U0001d522\U0001d530\U0001d531\U0001d52d\U0001d51e\U0001d530\U0001d530🔑 word\n")
    write_bls_keystore(bls_of(1), tmp_path / "bls.json", password_file, LIGHT_SCRYPT_N)
    assert load_bls_signer(tmp_path / "bls.json", password_file).key == bls_of(1).key
    password_file.write_text("testpass🔑 word\n")
    assert load_bls_signer(tmp_path / "bls.json", password_file).key == bls_of(1).key


KEYSTORE_LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a validator's": lambda _: create_keyfile_json(bls_of(1).to_secret(), PASSWORD.encode(), 4, "scrypt", LIGHT_SCRYPT_N),
    "another version": lambda d: d | {"version": 3},
    "another public key": lambda d: d | {"pubkey": bls_of(2).key.hex()},
    "no crypto": lambda d: {"version": 4, "pubkey": d["pubkey"]},
    "a list": lambda d: [d],
    "a zero secret": lambda _: create_keyfile_json(bytes(31) + b"\1", PASSWORD.encode(), 4, "scrypt", LIGHT_SCRYPT_N) | {"pubkey": ""},
}


@pytest.mark.parametrize("lie", KEYSTORE_LIES.values(), ids=KEYSTORE_LIES)
def test_another_keystore_is_refused(tmp_path: Path, password_file: Path, lie: Callable[[dict[str, Any]], object]) -> None:
    keystore = tmp_path / "bls.json"
    write_bls_keystore(bls_of(1), keystore, password_file, LIGHT_SCRYPT_N)
    keystore.write_text(json.dumps(lie(json.loads(keystore.read_text()))))
    with pytest.raises(ConfigRejected, match=r"bls\.json"):
        load_bls_signer(keystore, password_file)


def test_a_wrong_password_says_nothing_of_the_secret(tmp_path: Path, password_file: Path) -> None:
    keystore = tmp_path / "bls.json"
    write_bls_keystore(bls_of(1), keystore, password_file, LIGHT_SCRYPT_N)
    password_file.write_text("another password\n")
    with pytest.raises(ConfigRejected, match="opens") as caught:
        load_bls_signer(keystore, password_file)
    assert caught.value.__suppress_context__
    with pytest.raises(ConfigRejected, match="readable"):
        load_bls_signer(tmp_path / "none.json", password_file)


# ---- quorums ----------------------------------------------------------------------------------------------------------------------------
class Scene:
    """Five operators, all but the last with a BLS key, and one request that all of them answer."""

    def __init__(self) -> None:
        self.chain = ChainTwin()
        for index in range(5):
            self.chain.register_operator(index, operator_signer(index).address)
        model = self.chain.register_model(ModelKind.OPAQUE, keccak256(b"manifest"))
        self.asked: Asked = self.chain.ask(model, b"image", Policy(quorum=3))
        self.operators = [replace(o, bls_key=bls_of(o.index).key if o.index != 4 else b"") for o in self.chain.operators()]
        self.claims = [self.claim(index) for index in range(5)]
        self.digest = compute_claim_digest(self.claims[0].claim, self.chain.domain)

    def claim(self, index: int) -> SignedClaim:
        signed = signed_by(index, self.asked, OUTPUT, self.chain.domain)
        return replace(signed, bls=bls_of(index).sign_digest(compute_claim_digest(signed.claim, self.chain.domain)))

    def verify(self, evidence: Any, k: int = 3, operators: list[Operator] | None = None) -> list[int]:
        return [o.index for o in verify_any_quorum(evidence, self.digest, operators or self.operators, k)]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def test_the_cheaper_evidence_is_assembled(scene: Scene) -> None:
    for gas, selector in ((ALWAYS, QUORUM_BLS_SELECTOR), (NEVER, QUORUM_ECDSA_SELECTOR)):
        evidence = assemble_cheapest(scene.claims, 3, scene.operators, scene.chain.domain, gas)
        assert evidence.selector == selector
        assert scene.verify(evidence) == [0, 1, 2]
        assert unpack_quorum_indices([evidence]) == (0, 1, 2)


def test_too_few_bls_signatures_are_a_quorum_of_the_others(scene: Scene) -> None:
    claims = [replace(claim, bls=b"" if claim.signer == scene.operators[0].signer else claim.bls) for claim in scene.claims]
    assert scene.verify(assemble_cheapest(claims, 3, scene.operators, scene.chain.domain, ALWAYS)) == [1, 2, 3]
    evidence = assemble_cheapest(claims, 4, scene.operators, scene.chain.domain, ALWAYS)  # operator 4 has no key
    assert evidence.selector == QUORUM_ECDSA_SELECTOR
    assert scene.verify(evidence, 4) == [0, 1, 2, 3]


def test_a_key_replaced_since_is_left_out(scene: Scene) -> None:
    replaced = [replace(o, bls_key=bls_of(50).key) if o.index == 1 else o for o in scene.operators]
    evidence = assemble_cheapest(scene.claims, 3, replaced, scene.chain.domain, ALWAYS)
    assert scene.verify(evidence, operators=replaced) == [0, 2, 3]
    both = [replace(o, bls_key=bls_of(50 + o.index).key) if o.index < 2 else o for o in scene.operators]
    assert assemble_cheapest(scene.claims, 3, both, scene.chain.domain, ALWAYS).selector == QUORUM_ECDSA_SELECTOR


def test_signers_on_few_pages_are_chosen(scene: Scene) -> None:
    far = [replace(o, index=16 * o.index) if o.index in (0, 1) else replace(o, index=32 + o.index) for o in scene.operators]
    evidence = assemble_cheapest(scene.claims, 2, far, scene.chain.domain, ALWAYS)
    assert unpack_bls_quorum_evidence(evidence.data)[0] == (34, 35)


EVIDENCE_LIES: dict[str, Callable[[bytes], bytes]] = {
    "another set": lambda d: (13).to_bytes(32, "big") + d[32:],
    "one more": lambda d: (15).to_bytes(32, "big") + d[32:],
    "without a key": lambda d: (7 | 16).to_bytes(32, "big") + d[32:],
    "a vacant seat": lambda d: (7 | 1 << 200).to_bytes(32, "big") + d[32:],
    "too few": lambda d: pack_bls_quorum_evidence([0, 1], d[32:]).data,
    "nobody": lambda d: bytes(32) + d[32:],
    "cut": lambda d: d[:-1],
    "longer": lambda d: d + b"\0",
    "bit of the signature": lambda d: d[:-1] + bytes([d[-1] ^ 1]),
    "infinity": lambda d: d[:32] + bytes(96),
}


@pytest.mark.parametrize("lie", EVIDENCE_LIES.values(), ids=EVIDENCE_LIES)
def test_other_evidence_is_refused(scene: Scene, lie: Callable[[bytes], bytes]) -> None:
    evidence = assemble_cheapest(scene.claims, 3, scene.operators, scene.chain.domain, ALWAYS)
    with pytest.raises(EvidenceRejected):
        scene.verify(replace(evidence, data=lie(evidence.data)))


def test_an_operator_who_is_not_active_does_not_count(scene: Scene) -> None:
    evidence = assemble_cheapest(scene.claims, 3, scene.operators, scene.chain.domain, ALWAYS)
    with pytest.raises(EvidenceRejected, match="bit 1"):
        scene.verify(evidence, operators=[replace(o, is_active=o.index != 1) for o in scene.operators])


def test_a_key_changed_in_the_deliverys_block_counts_as_before(scene: Scene) -> None:
    evidence = assemble_cheapest(scene.claims, 3, scene.operators, scene.chain.domain, ALWAYS)
    after = [replace(o, bls_key=bls_of(50).key) if o.index == 1 else o for o in scene.operators]
    assert scene.verify(evidence, operators=after + scene.operators) == [0, 1, 2]
    with pytest.raises(EvidenceRejected):
        scene.verify(evidence, operators=after)


def test_a_claims_bls_signature_is_its_operators(scene: Scene) -> None:
    check_bls(scene.claims[0], scene.operators[0], scene.chain.domain)
    with pytest.raises(ClaimRejected, match="BLS"):
        check_bls(scene.claims[0], scene.operators[1], scene.chain.domain)
    with pytest.raises(ClaimRejected, match="no key"):
        check_bls(scene.claims[4], scene.operators[4], scene.chain.domain)


def test_it_travels_beside_the_other(scene: Scene) -> None:
    signed = scene.claims[0]
    assert signed_claim_from_json(signed_claim_to_json(signed)) == signed
    assert "bls" not in signed_claim_to_json(replace(signed, bls=b""))
    with pytest.raises(MalformedInput, match="bls"):
        signed_claim_from_json(signed_claim_to_json(signed) | {"bls": "0x00"})


# ---- which is cheaper -------------------------------------------------------------------------------------------------------------------
def test_the_choice_is_that_of_the_measured_gas() -> None:
    """At every number of signers that forge measured; where BLS begins to pay is said in docs/costs.md."""
    measured = json.loads((Path(__file__).parents[2] / "contracts/snapshots/Quorums.json").read_text())
    gas = measured_gas()
    for name, spent in measured.items():
        if name.startswith("deliver, bls signers: "):
            signers = int(name.rsplit(" ", 1)[1])
            assert gas.is_bls_cheaper(range(signers)) == (int(spent) < int(measured[f"deliver, ecdsa signers: {signers}"])), name
    assert not gas.is_bls_cheaper(range(3))
    assert gas.is_bls_cheaper(range(64))
    assert gas.is_bls_cheaper(range(48))
    assert not gas.is_bls_cheaper([5 * i for i in range(48)])  # spread over fifteen pages


def test_pages_beyond_the_fewest_cost() -> None:
    gas = QuorumGas({1: 100 + PAGE_GAS, 32: 100 + PAGE_GAS}, {1: 100, 32: 100})
    assert gas.is_bls_cheaper([0, 1])
    assert not gas.is_bls_cheaper([0, 16])
    assert gas.is_bls_cheaper(range(32))
    with pytest.raises(InvariantBroken):
        QuorumGas.from_snapshots({})
