"""Every digest against values made by other people's code (tests/vectors/make_protocol.py), and every parser against hostile text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from oracle import encoding
from oracle.errors import EvidenceRejected, MalformedInput, PolicyRejected
from oracle.records import Address, Bytes32, Claim, Domain, ModelKind, Policy, Request

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parents[1] / "vectors/protocol.json").read_text())


def word(text: str) -> Any:
    return encoding.parse_bytes32(text, "vector")


def domain(v: dict[str, Any]) -> Domain:
    return Domain(int(v["chainId"]), Address(v["coprocessor"]))


@pytest.mark.parametrize("v", VECTORS["parts"])
def test_part_digests(v: dict[str, Any]) -> None:
    assert encoding.compute_part_digest(encoding.parse_hex(v["points"], "points")) == word(v["digest"])


@pytest.mark.parametrize("v", VECTORS["contexts"])
def test_proof_contexts(v: dict[str, Any]) -> None:
    assert encoding.compute_proof_context(word(v["requestId"]), v["beneficiary"]) == word(v["context"])


@pytest.mark.parametrize(("points", "sizes"), [(1, [96]), (255, [24_480]), (256, [24_480, 96]), (511, [24_480, 24_480, 96])])
def test_commitments_are_cut_into_full_parts_and_a_rest(points: int, sizes: list[int]) -> None:
    content = bytes(range(96)) * points
    parts = encoding.split_commitments(content)
    assert [len(part) for part in parts] == sizes
    assert b"".join(parts) == content


@pytest.mark.parametrize("size", [0, 1, 95, 97])
def test_commitments_are_whole_points(size: int) -> None:
    with pytest.raises(MalformedInput, match="commitments"):
        encoding.split_commitments(bytes(size))


def test_proof_evidence_names_who_is_paid_and_holds_a_proof() -> None:
    evidence = encoding.pack_proof_evidence(Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"), b"proof")
    assert evidence.selector.hex() == keccak(b"affidavit.verifier.proof.v1")[:4].hex()
    assert encoding.unpack_proof_evidence(evidence.data) == ("0x70997970C51812dc3A010C7d01b50e0d17dc79C8", b"proof")
    for size in (0, 19, 20):
        with pytest.raises(EvidenceRejected):
            encoding.unpack_proof_evidence(bytes(size))


@pytest.mark.parametrize(
    ("nonce", "created"),  # of 0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0, a much cited example; the rest by eth_utils and rlp
    [(0, "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"), (1, "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8")],
)
def test_addresses_of_contracts_to_come(nonce: int, created: str) -> None:
    creator = Address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
    assert encoding.compute_created_address(creator, nonce) == created


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32])
def test_addresses_of_contracts_to_come_for_every_length_of_nonce(nonce: int) -> None:
    creator = bytes(range(20))
    expected = to_checksum_address(keccak(rlp.encode([creator, nonce]))[12:])
    assert encoding.compute_created_address(Address("0x" + creator.hex()), nonce) == expected


@pytest.mark.parametrize("v", VECTORS["requests"])
def test_request_id(v: dict[str, Any]) -> None:
    request = Request(
        requester=v["requester"],
        refund_to=v["refundTo"],
        model_id=word(v["modelId"]),
        input_digest=word(v["inputDigest"]),
        policy=word(v["policy"]),
        fee_wei=int(v["feeWei"]),
        callback_gas=int(v["callbackGas"]),
        deadline=int(v["deadline"]),
        nonce=int(v["nonce"]),
    )
    assert encoding.compute_request_id(request, domain(v)) == word(v["requestId"])


@pytest.mark.parametrize("v", VECTORS["claims"])
def test_claim_digest_and_quorum_evidence(v: dict[str, Any]) -> None:
    claim = Claim(word(v["requestId"]), word(v["modelId"]), word(v["inputDigest"]), word(v["outputDigest"]))
    assert encoding.compute_claim_digest(claim, domain(v)) == word(v["digest"])
    data = encoding.parse_hex(v["quorumData"], "quorum")
    signatures = encoding.unpack_quorum_evidence(data)
    assert sorted(signatures) == v["indices"]
    assert encoding.pack_quorum_evidence(signatures).data == data


@pytest.mark.parametrize("v", VECTORS["models"])
def test_model_id(v: dict[str, Any]) -> None:
    digests = (word(v["manifestDigest"]), word(v["circuitDigest"]), [word(p) for p in v["parameters"]])
    assert encoding.compute_model_id(ModelKind(v["kind"]), *digests) == word(v["modelId"])


@pytest.mark.parametrize("v", VECTORS["policies"], ids=lambda v: v["name"])
def test_policy(v: dict[str, Any]) -> None:
    if not v["valid"]:
        with pytest.raises(PolicyRejected):
            encoding.unpack_policy(word(v["word"]))
        return
    policy = Policy(v["quorum"], v["proof"], v["enclave"], v["windowSeconds"], disputable=v["disputable"])
    assert encoding.unpack_policy(word(v["word"])) == policy
    assert encoding.pack_policy(policy) == word(v["word"])


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(window_seconds=9),
        Policy(enclave=True),
        Policy(1, simulated=True),
        Policy(1, disputable=True),
        Policy(window_seconds=9, disputable=True),
        Policy(enclave=True, window_seconds=9, disputable=True),
        Policy(256),
        Policy(-1),
        Policy(1, window_seconds=2**32),
    ],
)
def test_a_policy_that_cannot_be_packed(policy: Policy) -> None:
    with pytest.raises(PolicyRejected):
        encoding.pack_policy(policy)


@pytest.mark.parametrize("v", VECTORS["possessions"])
def test_possession_digest(v: dict[str, Any]) -> None:
    got = encoding.compute_possession_digest(v["operator"], v["signer"], int(v["chainId"]), v["registry"])
    assert got == word(v["digest"])


@pytest.mark.parametrize("v", VECTORS["anchors"])
def test_anchor_digest(v: dict[str, Any]) -> None:
    log_id = encoding.compute_log_id(v["origin"], v["anchorKey"])
    assert log_id == word(v["logId"])
    assert encoding.compute_anchor_digest(log_id, int(v["size"]), word(v["root"]), int(v["chainId"]), v["contract"]) == word(v["digest"])


def test_vectors_are_what_their_script_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.vectors import make_protocol

    monkeypatch.setattr(make_protocol, "OUT", tmp_path / "protocol.json")
    monkeypatch.setattr(make_protocol, "rng", make_protocol.random.Random(712))
    make_protocol.main()
    assert json.loads((tmp_path / "protocol.json").read_text()) == VECTORS


@pytest.mark.parametrize(
    "data", [b"", bytes(31), bytes(32), bytes(31) + b"\x01", bytes(31) + b"\x01" + bytes(64), bytes(31) + b"\x01" + bytes(66)]
)
def test_quorum_evidence_of_the_wrong_length(data: bytes) -> None:
    with pytest.raises(EvidenceRejected):
        encoding.unpack_quorum_evidence(data)


@pytest.mark.parametrize(
    "text", ["", "00", "0X00", "0x0", "0x0g", "0x 0", "0x" + "00" * 31, "0x" + "00" * 33, None, 5, b"0x00", "0x" + "٠" * 64]
)
def test_hostile_hex(text: object) -> None:
    with pytest.raises(MalformedInput, match="thing"):
        encoding.parse_bytes32(text, "thing")


@pytest.mark.parametrize("value", [-1, 256, True, False, 1.0, "01", "-1", "+1", "1 ", " 1", "1_0", "0x1", "", "١", None, "9" * 5000, [1]])
def test_hostile_integers(value: object) -> None:
    with pytest.raises(MalformedInput, match="thing"):
        encoding.parse_uint(value, "thing", 8)


@pytest.mark.parametrize(
    "text",
    ["0x" + "00" * 19, "0x" + "00" * 21, "00" * 20, "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96046", None, 1, "vitalik.eth"],
)
def test_hostile_addresses(text: object) -> None:
    with pytest.raises(MalformedInput, match="thing"):
        encoding.parse_address(text, "thing")


@pytest.mark.parametrize("value", [[0, 1, -1, 4095, -2048, 32767, -32768], []])
def test_int16_round_trip(value: list[int]) -> None:
    assert encoding.unpack_int16(encoding.pack_int16(value)) == value


def test_int16_known_bytes() -> None:
    assert encoding.pack_int16([1, -1, 4095, -2048]) == bytes.fromhex("0001ffff0ffff800")


@pytest.mark.parametrize("values", [[32768], [-32769]])
def test_int16_out_of_range(values: list[int]) -> None:
    with pytest.raises(MalformedInput):
        encoding.pack_int16(values)


def test_int16_of_odd_length() -> None:
    with pytest.raises(MalformedInput):
        encoding.unpack_int16(b"\x00")


def test_canonical_json_is_rfc_8785() -> None:
    assert encoding.canonical_json({"b": 1, "a": "é\n", "€": [True, None]}) == '{"a":"é\\n","b":1,"€":[true,null]}'.encode()
    with pytest.raises(MalformedInput):
        encoding.canonical_json({"a": 2**53})


# ---- the request by hand ------------------------------------------------------------------------------------------------------------
@given(
    accounts=st.tuples(st.binary(min_size=20, max_size=20), st.binary(min_size=20, max_size=20)),
    digests=st.tuples(*[st.binary(min_size=32, max_size=32)] * 3),
    numbers=st.tuples(*(st.integers(0, (1 << bits) - 1) for bits in (256, 32, 64, 256))),
)
def test_a_request_by_hand_is_what_the_encoder_makes(accounts: Any, digests: Any, numbers: Any) -> None:
    request = Request(*(to_checksum_address(account) for account in accounts), *map(Bytes32, digests), *numbers)
    assert encoding._words_of(request) == by_encoder(request)


def by_encoder(r: Request) -> bytes:
    types = ["bytes32", "address", "address", "bytes32", "bytes32", "bytes32", "uint256", "uint32", "uint64", "uint256"]
    values = (encoding._REQUEST_TYPE_HASH, r.requester, r.refund_to, r.model_id, r.input_digest, r.policy)
    return encoding.abi_encode(types, [*values, r.fee_wei, r.callback_gas, r.deadline, r.nonce])


@pytest.mark.parametrize(
    "changes",
    [
        {"fee_wei": 1 << 256},
        {"callback_gas": 1 << 32},
        {"deadline": 1 << 64},
        {"nonce": 1 << 256},
        {"fee_wei": -1},
        {"requester": "0x12"},
        {"refund_to": "0x" + "zz" * 20},
        {"nonce": 1.5},
    ],
)
def test_a_request_that_does_not_fit_has_no_id(changes: dict[str, Any]) -> None:
    account = to_checksum_address("0x" + "11" * 20)
    request = Request(account, account, *[Bytes32(bytes(32))] * 3, 1, 2, 3, 4)
    with pytest.raises(Exception, match=r"."):
        encoding.request_struct_hash(replace(request, **changes))


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, {"a": ["x\ud83d"]}])
def test_half_a_character_is_no_json(value: object) -> None:
    """JSON can spell a lone surrogate; RFC 8785 writes UTF-8, which cannot."""
    with pytest.raises(MalformedInput):
        encoding.canonical_json(value)


def test_what_is_too_deep_is_no_json() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(MalformedInput):
        encoding.canonical_json(deep)
