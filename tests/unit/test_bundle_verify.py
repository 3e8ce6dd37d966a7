"""The bundle's script shares no code with the project: each piece of it is held against the project's own, and standards' vectors."""

from __future__ import annotations

import ast
import json
import random
import re
import stat
import zipfile
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from oracle.attest.sign import AccountSigner
from oracle.audit import bundle_verify as script
from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.note import SignerKey, encode_base64
from oracle.audit.proof import LogProof, write_proof
from oracle.audit.seal import Sealed, opening_to_json
from oracle.audit.tree import compute_consistency_proof, compute_inclusion_proof, compute_root, hash_leaf
from oracle.audit.trie import Trie, encode_number, encode_rlp
from oracle.encoding import canonical_json, compute_claim_digest, compute_log_id, compute_request_id, keccak256, to_hex
from oracle.errors import ClaimRejected
from oracle.records import Address, Asked, Bytes32, Claim, Delivery, Domain, Evidence, Request
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import Deployment
from oracle.signatures import SECP256K1_ORDER, recover_signer
from tests.twins.logs import KEY

SOURCE = Path(script.__file__)
ZERO = Address("0x" + "00" * 20)
DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))


def refuted(reason: str) -> Any:
    return pytest.raises(script.Refuted, match=reason)


# ---- what it is made of ---------------------------------------------------------------------------------------------------------------
def test_it_is_python_3_9_and_imports_the_standard_library_and_cryptography_alone() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    tops = {name.split(".")[0] for name in names}
    standard = {"argparse", "base64", "binascii", "collections", "hashlib", "json", "os", "pathlib", "re", "stat", "sys", "time", "typing"}
    assert tops - standard == {"__future__", "zipfile", "cryptography"}


def test_it_names_the_numbered_steps_as_the_audit_does() -> None:
    from oracle.audit.report import NAMES

    assert dict(enumerate(script.STEPS[1:], start=1)) == NAMES


def test_an_anchor_key_that_is_given_is_compared_also_without_evidence_of_an_anchor() -> None:
    verification = script.Verification({}, script.Given(anchor_key=b"\x01" * 20))
    verification.roles = []
    for own in ("01", "02"):
        verification.manifest = {"log": {"anchor_key": "0x" + own * 20}}
        with nullcontext() if own == "01" else refuted("the anchor key, as you gave it"):
            verification._verify_anchors()
    assert verification.unchecked[4]


# ---- hashes and signatures -------------------------------------------------------------------------------------------------------------
def test_keccak_is_ethereums() -> None:
    rng = random.Random(1)
    for length in [*range(20), *range(130, 142), 271, 272, 273, 1000, 5000]:
        data = rng.randbytes(length)
        assert script.keccak256(data) == keccak256(data)


def test_a_signer_is_recovered_as_the_project_does() -> None:
    rng = random.Random(2)
    for _ in range(60):
        key = Account.from_key(rng.randbytes(32))
        digest = Bytes32(rng.randbytes(32))
        signature = AccountSigner(key).sign_digest(digest)
        assert "0x" + script.recover_signer(digest, signature).hex() == key.address.lower()


def test_malformed_and_mutated_signatures_get_the_projects_verdict() -> None:
    rng = random.Random(3)
    digest = Bytes32(rng.randbytes(32))
    good = AccountSigner(Account.from_key(rng.randbytes(32))).sign_digest(digest)
    r, s, v = good[:32], good[32:64], good[64:]
    high = (SECP256K1_ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    bad = [
        b"",
        good[:-1],
        good + b"\0",
        r + high + v,
        bytes(32) + s + v,
        r + bytes(32) + v,
        r + s + b"\0",
        r + s + b"\x1d",
        b"\xff" * 64 + v,
    ]
    bad += [_flip(good, rng) for _ in range(200)]
    for signature in bad:
        try:
            expected = recover_signer(digest, signature).lower()
        except ClaimRejected:
            with pytest.raises(script.Refuted):
                script.recover_signer(digest, signature)
        else:
            assert "0x" + script.recover_signer(digest, signature).hex() == expected


def _flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def test_digests_are_the_projects() -> None:
    rng = random.Random(4)
    contract = bytes.fromhex(DOMAIN.coprocessor[2:])
    claim = Claim(*(Bytes32(rng.randbytes(32)) for _ in range(4)))
    words = claim.request_id + claim.model_id + claim.input_digest + claim.output_digest
    assert script.typed_digest(31337, contract, script.keccak256(script._CLAIM) + words) == compute_claim_digest(claim, DOMAIN)
    request = some_request()
    assert script.typed_digest(31337, contract, script.keccak256(script._REQUEST) + request_words(request)) == compute_request_id(
        request, DOMAIN
    )
    assert script.log_id("log.example/affidavit", contract) == compute_log_id("log.example/affidavit", DOMAIN.coprocessor)


def some_request(nonce: int = 1 << 128) -> Request:
    return Request(
        DOMAIN.coprocessor, ZERO, Bytes32(b"m" * 32), keccak256(b"input"), Bytes32(bytes([1, 3]) + bytes(30)), 10**18, 9, 8, nonce
    )


def request_words(request: Request) -> bytes:
    accounts = [bytes.fromhex(a[2:]).rjust(32, b"\0") for a in (request.requester, request.refund_to)]
    digests = [request.model_id, request.input_digest, request.policy]
    numbers = [n.to_bytes(32, "big") for n in (request.fee_wei, request.callback_gas, request.deadline, request.nonce)]
    return b"".join([*accounts, *digests, *numbers])


# ---- trees ----------------------------------------------------------------------------------------------------------------------------
def test_the_tree_verifiers_give_the_vectors_verdicts() -> None:
    vectors = json.loads((Path(__file__).parents[1] / "vectors/log_proofs.json").read_text())
    for case in vectors["inclusion"]:
        leaf, root, *proof = (bytes.fromhex(h[2:]) for h in (case["leafHash"], case["root"], *case["proof"]))
        _expect(case["valid"], partial(script.verify_inclusion, leaf, int(case["index"]), int(case["size"]), proof, root))
    for case in vectors["consistency"]:
        root1, root2, *proof = (bytes.fromhex(h[2:]) for h in (case["root1"], case["root2"], *case["proof"]))
        _expect(case["valid"], partial(script.verify_consistency, int(case["size1"]), root1, int(case["size2"]), root2, proof))


def _expect(is_valid: bool, check: Callable[[], None]) -> None:
    if is_valid:
        check()
    else:
        with pytest.raises(script.Refuted):
            check()


def test_a_trie_is_that_of_the_standard() -> None:
    """ethereum/tests, TrieTests/trieanyorder.json (`dogs`), and the root of the empty trie."""
    items = {b"do": b"verb", b"horse": b"stallion", b"doge": b"coin", b"dog": b"puppy"}
    trie = Trie.over(items)
    assert trie.root.hex() == "5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84"
    assert Trie.of([]).root.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    for key, value in items.items():
        assert script.trie_value(trie.root, key, trie.prove_key(key)) == value


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 127, 128, 129, 130, 256, 300])
def test_every_item_of_a_trie_is_proven_and_no_other(size: int) -> None:
    rng = random.Random(size)
    items = [rng.randbytes(rng.randrange(33, 120)) for _ in range(size)]  # as receipts are: too long to stand in their parent
    trie = Trie.of(items)
    for index, item in enumerate(items):
        proof = trie.prove(index)
        assert script.trie_value(trie.root, script.rlp_index(index), proof) == item
        for wrong in (proof[:-1], proof[1:], [*proof, proof[-1]], proof[::-1] if len(proof) > 1 else []):
            with pytest.raises(script.Refuted):
                script.trie_value(trie.root, script.rlp_index(index), wrong)
        with pytest.raises(script.Refuted):
            script.trie_value(trie.root, script.rlp_index(index + 1 if index + 1 < size else index + 1000), proof)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("8100", "small byte"),
        ("b800", "not minimal"),
        ("b80161", "not minimal"),
        ("f800", "not minimal"),
        ("b90037" + "61" * 55, "not minimal"),
        ("83616", "cut off"),
        ("c261", "cut off"),
        ("6161", "after the item"),
        ("", "cut off"),
        ("c1" * 40 + "c0", "too deep|cut off|after"),
    ],
)
def test_rlp_has_one_encoding(data: str, reason: str) -> None:
    with refuted(reason):
        script.rlp_decode(bytes.fromhex(data if len(data) % 2 == 0 else data + "0"))


def test_rlp_comes_back() -> None:
    rng = random.Random(5)

    def some(depth: int) -> Any:
        if depth and rng.random() < 0.5:
            return [some(depth - 1) for _ in range(rng.randrange(6))]
        return rng.randbytes(rng.choice([0, 1, 2, 55, 56, 300]))

    for _ in range(300):
        item = some(4)
        assert script.rlp_decode(encode_rlp(item)) == item
    for index in (0, 1, 127, 128, 255, 256, 70_000):
        assert script.rlp_index(index) == encode_rlp(encode_number(index))


# ---- the ABI ---------------------------------------------------------------------------------------------------------------------------
def contracts() -> Contracts:
    """Encodes calls; asks nobody."""
    return Contracts("http://127.0.0.1:1", Deployment(31337, 0, *[DOMAIN.coprocessor] * 9))


def test_deliveries_in_calldata_are_read_as_the_contract_reads_them() -> None:
    evidence = (Evidence(b"\x01\x02\x03\x04", b"e" * 97), Evidence(b"\x05\x06\x07\x08", b""))
    for nonces in ([7], [1 << 128], [7, 1 << 128, 9]):
        deliveries = []
        for number, nonce in enumerate(nonces):
            request = some_request(nonce)
            request_id = compute_request_id(request, DOMAIN)
            output = b"o" * (31 + number)
            claim = Claim(request_id, request.model_id, request.input_digest, keccak256(output))
            signature = b"s" * 65 if request.is_signed_off_chain else b""
            deliveries.append(Delivery(Asked(request_id, request, b"input", signature), claim, output, evidence))
        carried = script.read_deliveries(contracts().deliver_call(deliveries).data)
        assert [c.request for c in carried] == [request_words(d.asked.request) for d in deliveries]
        assert [c.output for c in carried] == [d.output for d in deliveries]
        assert [c.evidence for c in carried] == [[(e.selector, e.data) for e in evidence]] * len(nonces)
    assert script.read_deliveries(contracts().call("Coprocessor", "deposit").data) == []


def test_cut_calldata_is_refused() -> None:
    request = some_request(7)
    claim = Claim(Bytes32(bytes(32)), request.model_id, request.input_digest, keccak256(b"o"))
    delivery = Delivery(Asked(Bytes32(bytes(32)), request, b"", b""), claim, b"o", (Evidence(b"abcd", b"e" * 97),))
    for batch in ([delivery], [delivery, delivery]):
        data = contracts().deliver_call(batch).data
        for length in range(4, len(data) - 31, 7):
            with pytest.raises(script.Refuted):
                script.read_deliveries(data[:length])


# ---- notes, proofs, openings -----------------------------------------------------------------------------------------------------------
def test_a_checkpoint_and_a_proof_are_read_as_the_project_writes_them() -> None:
    leaves = [hash_leaf(bytes([i])) for i in range(11)]
    checkpoint = sign_checkpoint(11, compute_root(leaves), KEY)
    note = script.parse_note(checkpoint.note.encode())
    script.verify_log_signature(note, script.parse_key(str(KEY.verifier)))
    assert script.read_checkpoint(note) == (KEY.name, 11, checkpoint.root)
    file = write_proof(LogProof(4, tuple(compute_inclusion_proof(leaves, 4)), checkpoint.note, bytes([4])))
    hashes = script.open_proof(file, 4, bytes([4]), checkpoint.note.encode())
    script.verify_inclusion(leaves[4], 4, 11, hashes, checkpoint.root)
    script.verify_consistency(5, compute_root(leaves[:5]), 11, checkpoint.root, compute_consistency_proof(leaves, 5))


def test_another_key_of_the_same_name_did_not_sign() -> None:
    checkpoint = sign_checkpoint(1, hash_leaf(b""), KEY)
    other = SignerKey(KEY.name, bytes(32))
    with refuted("not signed by"):
        script.verify_log_signature(script.parse_note(checkpoint.note.encode()), script.parse_key(str(other.verifier)))


def test_a_cosignature_is_verified_and_its_time_told() -> None:
    """C2SP tlog-cosignature: the key's type byte is 0x04, the message `cosignature/v1`, the time, and the note's text."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    checkpoint = sign_checkpoint(1, hash_leaf(b""), KEY)
    text = script.parse_note(checkpoint.note.encode()).text
    key = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
    public = b"\x04" + key.public_key().public_bytes_raw()
    key_id = script.sha256(b"witness.example\n" + public)[:4]
    signature = (1_700_000_000).to_bytes(8, "big") + key.sign(f"cosignature/v1\ntime 1700000000\n{text}".encode())
    note = checkpoint.note + f"— witness.example {encode_base64(key_id + signature)}\n"
    witness = script.parse_key(f"witness.example+{key_id.hex()}+{encode_base64(public)}")
    assert script.verify_cosignature(script.parse_note(note.encode()), witness) == 1_700_000_000
    earlier = checkpoint.note + f"— witness.example {encode_base64(key_id + bytes(8) + signature[8:])}\n"
    with refuted("false"):
        script.verify_cosignature(script.parse_note(earlier.encode()), witness)
    with refuted("did not sign"):
        script.verify_cosignature(script.parse_note(checkpoint.note.encode()), witness)


def test_openings_are_those_of_the_seal() -> None:
    sealed = Sealed.of({"audit.user": "Zoë <b>", "audit.reason": "because", "audit.places": ["a", "b"], "audit.count": 7})
    fields = {"audit.sealed": to_hex(sealed.root)}
    record = script.Record(0, bytes(32), fields, {})
    openings = json.loads(canonical_json([opening_to_json(sealed.open(name)) for name in sealed.values]))
    assert script.open_fields(record, openings).opened == sealed.values
    for lie in (
        [openings[0] | {"value": "somebody else"}],
        [openings[0] | {"name": "audit.reason"}],
        [openings[0] | {"salt": "0x" + "00" * 16}],
        [openings[0] | {"index": (openings[0]["index"] + 1) % 16}],
        [openings[0] | {"path": openings[0]["path"][:3]}],
        [openings[0], openings[0]],
        [],
        [openings[0] | {"more": 1}],
        [openings[0] | {"value": 1.5}],
    ):
        with pytest.raises(script.Refuted):
            script.open_fields(record, lie)
    with pytest.raises(script.Refuted):
        script.open_fields(script.Record(0, bytes(32), {}, {}), openings)


# ---- containers ------------------------------------------------------------------------------------------------------------------------
def unusable(reason: str) -> Any:
    return pytest.raises(script.Unusable, match=reason)


def make_zip(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../checkpoint",
        "/etc/passwd",
        "records/../checkpoint",
        "records/1.json/",
        "C:\\checkpoint",
        "records\\1.json",
        "extra",
        "records/x.json",
        "bodies/" + "A" * 64,
        "checkpoint ",
        "CHECKPOINT",
        "records/1.json\n",
        "./checkpoint",
        "records//1.json",
        "records/١.json",
    ],
)
def test_a_zip_with_another_path_is_refused(tmp_path: Path, name: str) -> None:
    with unusable("does not belong|is a folder|twice"):
        script.read_bundle(make_zip(tmp_path / "b.zip", ("checkpoint", b""), (name, b"x")))


def test_a_link_a_device_and_a_repeated_file_in_a_zip_are_refused(tmp_path: Path) -> None:
    for number, mode in enumerate((stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO)):
        info = zipfile.ZipInfo("checkpoint")
        info.external_attr = (mode | 0o777) << 16
        with unusable("a folder, a link"):
            script.read_bundle(make_zip(tmp_path / f"{number}.zip", (info, b"/etc/passwd")))
    with pytest.warns(UserWarning, match="Duplicate"):
        double = make_zip(tmp_path / "double.zip", ("checkpoint", b"a"), ("checkpoint", b"b"))
    with unusable("there twice"):
        script.read_bundle(double)


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    bomb = make_zip(tmp_path / "bomb.zip", ("checkpoint", bytes(script.MAX_FILE_BYTES + 1)))
    assert bomb.stat().st_size < 100_000
    with unusable("larger than"):
        script.read_bundle(bomb)
    many = make_zip(tmp_path / "many.zip", *[(f"bodies/{i:064x}", bytes(script.MAX_FILE_BYTES)) for i in range(9)])
    with unusable("larger than"):
        script.read_bundle(many)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/checkpoint").write_bytes(bytes(script.MAX_FILE_BYTES + 1))
    with unusable("larger than"):
        script.read_bundle(tmp_path / "bundle")


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    good = make_zip(tmp_path / "good.zip", ("checkpoint", b"a note" * 1000)).read_bytes()
    rng = random.Random(6)
    for number in range(400):
        data = _flip(good, rng) if number % 2 else good[: rng.randrange(len(good))]
        (tmp_path / "bad.zip").write_bytes(data)
        with suppress(script.Unusable):
            assert script.read_bundle(tmp_path / "bad.zip").keys() <= {"checkpoint"}
    with unusable("neither"):
        script.read_bundle(tmp_path / "nowhere")
    with unusable("cannot be read as a zip"):
        script.read_bundle(Path(__file__))


def test_links_and_surplus_files_in_a_directory_are_refused(tmp_path: Path) -> None:
    for name, make in (
        ("link", lambda place: (place / "checkpoint").symlink_to("/etc/passwd")),
        ("linked-folder", lambda place: (place / "records").symlink_to("/etc")),
        ("surplus", lambda place: (place / "notes.txt").write_text("")),
        ("hidden", lambda place: (place / ".DS_Store").write_text("")),
        ("nested", lambda place: ((place / "records/deep").mkdir(parents=True), (place / "records/deep/1.json").write_text(""))),
    ):
        place = tmp_path / name
        place.mkdir()
        make(place)
        with unusable("is a link|does not belong"):
            script.read_bundle(place)


# ---- the command line ------------------------------------------------------------------------------------------------------------------
def run(*arguments: object) -> tuple[int, str]:
    lines: list[str] = []
    code = script.main([str(a) for a in arguments], lines.append)
    return code, "".join(lines)


def test_exit_codes_of_what_is_no_bundle(tmp_path: Path) -> None:
    assert run(tmp_path)[0] == script.UNUSABLE
    assert "no manifest.json" in run(tmp_path)[1]
    (tmp_path / "manifest.json").write_text('{"format":"affidavit/bundle@2"}')
    assert run(tmp_path)[0] == script.UNUSABLE
    (tmp_path / "manifest.json").write_text('{"format":"affidavit/bundle@1"}')
    code, text = run(tmp_path)
    assert (code, "VERDICT: FALSE" in text) == (script.FALSE, True)
    for wrong in (["--anchor-key", "0x12"], ["--block-hash", "12"], ["--nonsense"]):
        with pytest.raises(SystemExit) as caught:
            run(tmp_path, *wrong)
        assert caught.value.code == script.UNUSABLE


def test_what_is_printed_is_one_line_of_printable_text() -> None:
    shown = script.show("a\x1b[31m\n\u202e\x00" + "b" * 500)
    assert re.fullmatch(r"[^\x00-\x1f\u202e]{1,200}", shown)


def test_requests_of_other_nonces_are_other_requests() -> None:
    request = some_request()
    assert request_words(request) != request_words(replace(request, nonce=request.nonce + 1))
