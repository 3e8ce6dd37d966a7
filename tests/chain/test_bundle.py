"""Evidence bundles of calls on a real chain: they hold, they are the same twice, and what is changed in them is refused with its reason.

A mutated bundle is resealed: the forger rewrites manifest.json to fit. The reader knows the log's key, the anchor key, the contracts and
the hashes of the blocks from elsewhere, so that either the script finds the change, or the change has no effect on a single line it prints.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cryptography
import httpx
import pytest

from oracle.audit import bundle_verify as script
from oracle.audit.blocks import BlockNotKnown, RpcBlocks, encode_transaction
from oracle.audit.bundle import Disclosed, make_bundle, require_holds, write_directory, write_zip
from oracle.audit.export import export_log
from oracle.audit.note import SignerKey
from oracle.audit.trie import Trie, encode_number, encode_rlp
from oracle.audit.view import LogView
from oracle.encoding import canonical_json, keccak256, to_hex
from oracle.errors import AuditFailed, ChainError, ConfigRejected
from oracle.records import Bytes32
from oracle.relay.deployment import write_deployment
from oracle.signatures import recover_signer
from tests.chain.conftest import World, account
from tests.twins.audited import ShownSource
from tests.twins.evidence import ANCHOR, OUTSIDE, QUESTION, Scene, deliver_batch, tell_on_chain
from tests.twins.logs import KEY, open_log
from tests.unit.cli_runner import Cli

MUTATIONS = 1000
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def scene(deployed: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    snapshot = deployed.rpc_call("evm_snapshot")
    scene = tell_on_chain(deployed, tmp_path_factory.mktemp("scene"))
    yield scene
    scene.log.close()
    deployed.rpc_call("evm_revert", snapshot)


@pytest.fixture(scope="module")
def bundles(scene: Scene) -> dict[str, Files]:
    subjects: dict[str, Bytes32 | int] = {
        "asked": scene.asked.request_id,
        "signed": scene.signed.request_id,
        "outside": OUTSIDE,
        "alone": scene.alone,
    }
    return {name: scene.bundle(subject) for name, subject in subjects.items()}


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's own hash and curve in the place of the script's, which are slow; tests/unit holds the two pairs equal."""

    @cache
    def recover(digest: bytes, signature: bytes) -> bytes:
        try:
            return bytes.fromhex(recover_signer(Bytes32(digest), signature)[2:])
        except Exception as error:
            raise script.Refuted(str(error)) from error

    monkeypatch.setattr(script, "keccak256", cache(lambda data: bytes(keccak256(data))))
    monkeypatch.setattr(script, "recover_signer", recover)


# ---- verdicts --------------------------------------------------------------------------------------------------------------------------
def blocks_of(files: Files) -> tuple[bytes, ...]:
    headers = [json.loads(data)["header"] for path, data in files.items() if path.startswith("chain/")]
    return tuple(sorted({keccak256(bytes.fromhex(header[2:])) for header in headers}))


def informed(scene: Scene, files: Files) -> script.Given:
    """A reader who knows everything that can be known from elsewhere."""
    deployment = scene.world.deployment
    contracts = [bytes.fromhex(a[2:]) for a in (deployment.coprocessor, deployment.audit_anchor)]
    return script.Given(str(KEY.verifier), bytes.fromhex(ANCHOR.address[2:]), blocks_of(files), *contracts)


def judge(files: Files, given: script.Given) -> tuple[str | None, list[str]]:
    """(the reason of a refusal or None, what is printed)."""
    verification = script.Verification(dict(files), given)
    try:
        verification.run()
    except (script.Refuted, script.Unusable) as error:
        return str(error) or "no reason", verification.lines()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:  # as main() does
        return f"malformed ({type(error).__name__})", verification.lines()
    return None, verification.lines() + verification.depends + verification.manifest["remarks"]


def reseal(files: Files) -> Files:
    """What a forger does last: manifest.json lists the files as they are now."""
    manifest = json.loads(files["manifest.json"])
    listed = sorted(set(files) - {"manifest.json"})
    manifest["files"] = [{"path": p, "bytes": len(files[p]), "sha256": hashlib.sha256(files[p]).hexdigest()} for p in listed]
    return files | {"manifest.json": canonical_json(manifest)}


def changed(files: Files, path: str, **fields: Any) -> Files:
    """With other fields in one of its JSON files, resealed."""
    return reseal(files | {path: canonical_json(json.loads(files[path]) | fields)})


def edited(files: Files, path: str, edit: Callable[[Any], Any]) -> Files:
    document = json.loads(files[path])
    return reseal(files | {path: canonical_json(edit(document) or document)})


def only(files: Files, prefix: str) -> list[str]:
    return sorted(path for path in files if path.startswith(prefix))


# ---- truths ----------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["asked", "signed", "outside", "alone"])
def test_a_bundle_holds_for_a_reader_who_knows_everything(scene: Scene, bundles: dict[str, Files], name: str) -> None:
    reason, lines = judge(bundles[name], informed(scene, bundles[name]))
    assert reason is None
    assert not any("compare" in line for line in lines)
    text = "\n".join(lines)
    assert ("the delivered claim is signed by operators 0" in text) == (name in ("asked", "signed"))
    assert "was made by transaction" in text if name == "asked" else "was made by transaction" not in text
    assert ("the request was signed by" in text) == (name == "signed")
    assert ("sealed fields opened" in text) == (name == "outside")


def test_without_knowing_anything_it_says_what_to_compare(bundles: dict[str, Files]) -> None:
    reason, lines = judge(bundles["asked"], script.Given())
    assert reason is None
    hashes = [block.hex() for block in blocks_of(bundles["asked"])]
    assert len(hashes) == 4
    for needle in (*hashes, str(KEY.verifier), ANCHOR.address.lower(), "Coprocessor is", "AuditAnchor is"):
        assert any(needle in line for line in lines), needle


def test_a_reader_who_knows_better_is_told(scene: Scene, bundles: dict[str, Files]) -> None:
    known = informed(scene, bundles["asked"])
    for field, other in (
        ("vkey", str(SignerKey(KEY.name, bytes(32)).verifier)),
        ("anchor_key", bytes(20)),
        ("blocks", (bytes(32),)),
        ("coprocessor", bytes(20)),
        ("audit_anchor", bytes(20)),
    ):
        assert judge(bundles["asked"], known._replace(**{field: other}))[0], field


def test_content_is_in_it_only_where_it_was_asked_for(scene: Scene) -> None:
    bare, whole = scene.bundle(OUTSIDE, with_content=False), scene.bundle(OUTSIDE)
    assert not only(bare, "bodies/")
    assert not only(bare, "openings/")
    assert QUESTION in whole.values()
    assert not any(b"user-17" in data or QUESTION in data for data in bare.values())
    chosen = scene.bundle(OUTSIDE, True, "audit.user")
    assert b"user-17" in b"".join(chosen[path] for path in only(chosen, "openings/"))
    assert not any(QUESTION in data for data in chosen.values())


def test_a_record_of_a_call_stands_for_its_call(scene: Scene, bundles: dict[str, Files]) -> None:
    first = int(only(bundles["asked"], "records/")[0][8:-5])
    assert scene.bundle(first) == bundles["asked"]


def test_the_same_twice_as_files_and_as_zips(scene: Scene, bundles: dict[str, Files], tmp_path: Path) -> None:
    again = scene.bundle(scene.asked.request_id)
    assert again == bundles["asked"]
    write_zip(again, tmp_path / "a.zip")
    write_zip(dict(reversed(again.items())), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    write_directory(again, tmp_path / "bundle")
    assert script.read_bundle(tmp_path / "bundle") == script.read_bundle(tmp_path / "a.zip") == again
    with pytest.raises(ConfigRejected):
        write_zip(again, tmp_path / "a.zip")
    with pytest.raises(ConfigRejected):
        write_directory(again, tmp_path / "bundle")


def test_what_does_not_hold_is_not_made(scene: Scene, bundles: dict[str, Files]) -> None:
    with pytest.raises(AuditFailed) as caught:
        require_holds(reseal(bundles["alone"] | {"checkpoint": bundles["alone"]["checkpoint"].replace(b"\n2", b"\n3")}))
    assert caught.value.step == 3
    with pytest.raises(AuditFailed):
        make_bundle(scene.place, Bytes32(b"n" * 32), Disclosed())


# ---- blocks ----------------------------------------------------------------------------------------------------------------------------
def test_a_lying_endpoint_is_not_believed(scene: Scene) -> None:
    """Every field of its JSON that goes into the block's bytes is changed, one at a time."""
    rpc, block_hash = scene.world.rpc, scene.place.chain.block("latest").hash  # type: ignore[union-attr]
    block = scene.world.rpc_call("eth_getBlockByHash", to_hex(block_hash), True)
    receipts = scene.world.rpc_call("eth_getBlockReceipts", to_hex(block_hash))
    assert RpcBlocks(rpc).read_block(block_hash).hash == block_hash
    lies: list[tuple[Any, Any]] = []
    for name in ("parentHash", "stateRoot", "receiptsRoot", "transactionsRoot", "gasUsed", "timestamp", "extraData", "logsBloom"):
        lies.append((block | {name: _other_hex(block[name])}, receipts))
    for name in ("nonce", "value", "input", "to", "gas", "r", "s"):
        lies.append((block | {"transactions": [block["transactions"][0] | {name: _other_hex(block["transactions"][0][name])}]}, receipts))
    for name in ("cumulativeGasUsed", "status", "logsBloom"):
        lies.append((block, [receipts[0] | {name: _other_hex(receipts[0][name])}]))
    lies += [
        (block, []),
        (block, [receipts[0] | {"logs": []}]),
        (block, "nonsense"),
        ({}, receipts),
        (block | {"transactions": []}, receipts),
    ]
    for told_block, told_receipts in lies:
        answers = {"eth_getBlockByHash": told_block, "eth_getBlockReceipts": told_receipts}

        def answer(request: httpx.Request, answers: Any = answers) -> httpx.Response:
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": answers[json.loads(request.content)["method"]]})

        with pytest.raises(BlockNotKnown):
            RpcBlocks(rpc, transport=httpx.MockTransport(answer)).read_block(block_hash)


def _other_hex(text: str) -> str:
    digit = "0" if text[-1] != "0" else "1"
    return text[:-1] + digit if len(text) > 2 else "0x01"


def test_every_kind_of_transaction_becomes_its_bytes(scene: Scene) -> None:
    """A block of legacy, EIP-2930, EIP-1559 and EIP-7702 transactions, and one that creates a contract."""
    world, stranger = scene.world, account(9).address
    fees = {"maxFeePerGas": 10**12, "maxPriorityFeePerGas": 10**9}
    listed = [{"address": stranger, "storageKeys": ["0x" + "00" * 32, "0x" + "11" * 32]}]
    makers: list[dict[str, Any]] = [
        {"gasPrice": 10**12, "to": stranger},
        {"gasPrice": 10**12, "to": stranger, "type": 1, "accessList": listed},
        {**fees, "to": stranger, "type": 2, "accessList": listed, "data": "0x1234"},
        {**fees, "to": stranger, "type": 4, "authorizationList": []},
        {**fees, "to": "", "type": 2, "data": "0x00"},
    ]
    world.rpc_call("evm_setAutomine", False)
    try:
        for index, fields in enumerate(makers):
            signer = account(index)
            nonce = int(world.rpc_call("eth_getTransactionCount", signer.address, "latest"), 16)
            if "authorizationList" in fields:
                named = {"chainId": world.deployment.chain_id, "address": stranger, "nonce": 7}
                fields["authorizationList"] = [account(8).sign_authorization(named)]
            whole = {"nonce": nonce, "value": index, "gas": 200_000, "chainId": world.deployment.chain_id, **fields}
            world.rpc_call("eth_sendRawTransaction", to_hex(bytes(signer.sign_transaction(whole).raw_transaction)))
        world.rpc_call("evm_mine")
    finally:
        world.rpc_call("evm_setAutomine", True)
    block = world.rpc_call("eth_getBlockByNumber", "latest", True)
    assert sorted(t["type"] for t in block["transactions"]) == ["0x0", "0x1", "0x2", "0x2", "0x4"]
    raw = RpcBlocks(world.rpc).read_block(Bytes32(bytes.fromhex(block["hash"][2:])))
    for index, transaction in enumerate(block["transactions"]):
        document = {
            "header": to_hex(raw.header),
            "transaction_index": index,
            "transaction_proof": [to_hex(node) for node in raw.transactions.prove(index)],
            "receipt_proof": [to_hex(node) for node in raw.receipts.prove(index)],
            "previous_receipt_proof": [to_hex(node) for node in raw.receipts.prove(index - 1)] if index else None,
        }
        mined = script.open_mined(document)
        assert (to_hex(mined.transaction), to_hex(mined.calldata)) == (transaction["hash"], transaction["input"])
        assert mined.to == bytes.fromhex((transaction["to"] or "0x")[2:])
        receipt = world.rpc_call("eth_getTransactionReceipt", transaction["hash"])
        assert mined.gas_used == int(receipt["gasUsed"], 16)


def test_a_blob_transaction_becomes_its_bytes() -> None:
    """EIP-4844, without the blobs themselves. The hash is that of the transaction as eth_account signed it."""
    transaction = {
        "type": "0x3", "chainId": "0x7a69", "nonce": "0x0", "gas": "0x30d40", "maxFeePerGas": "0xe8d4a51000",
        "maxPriorityFeePerGas": "0x3b9aca00", "to": "0xa0ee7a142d267c1f36714e4a8f75612f20a79720", "value": "0x4", "accessList": [],
        "blobVersionedHashes": ["0x010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014"], "maxFeePerBlobGas": "0x2540be400",
        "input": "0x", "yParity": "0x0", "v": "0x0", "r": "0x10d88f860b6a368a66a496fc0a7275121c4b7f9265f9ceda2bfd1ac82f7b6b74",
        "s": "0x8846e03e3b2f963a0709424491a9dbebf343d76ec12327d6251b83a21fd04f3",
    }  # fmt: skip
    encoded = encode_transaction(transaction)
    assert to_hex(keccak256(encoded)) == "0x51bcb3411951c8f41cb48c90dd7d8567c7a6fbfa1ef51c4441e380ca60359735"
    assert script._read_transaction(encoded) == (bytes.fromhex(transaction["to"][2:]), b"")  # type: ignore[index]


def test_an_endpoint_without_whole_receipts_is_asked_for_each(scene: Scene) -> None:
    block_hash = scene.place.chain.block("latest").hash  # type: ignore[union-attr]

    def answer(request: httpx.Request) -> httpx.Response:
        question = json.loads(request.content)
        if question["method"] == "eth_getBlockReceipts":
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "not found"}})
        result = scene.world.rpc_call(question["method"], *question["params"])
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": result})

    assert RpcBlocks(scene.world.rpc, transport=httpx.MockTransport(answer)).read_block(block_hash).hash == block_hash
    down = httpx.MockTransport(lambda _: httpx.Response(500))
    with pytest.raises(ChainError):
        RpcBlocks(scene.world.rpc, transport=down).read_block(block_hash)


def test_a_block_that_cannot_be_had_leaves_a_remark_and_not_a_failure(scene: Scene) -> None:
    class Unknown:
        def read_block(self, block_hash: Bytes32) -> Any:
            raise BlockNotKnown("a rollup's own transaction") from KeyError("0x7e")

    place = scene.place
    files = make_bundle(type(place)(place.view, place.chain, Unknown(), place.audit_anchor, place.anchor_key), scene.asked.request_id)
    reason, lines = judge(files, script.Given())
    assert reason is None
    assert not only(files, "chain/")
    assert any("a rollup's own transaction" in line for line in lines)
    assert any("no delivery of this call" in line for line in lines)


# ---- lies ------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("fast")
def test_every_single_lie_is_refused_with_its_reason(scene: Scene, bundles: dict[str, Files]) -> None:
    asked, signed, outside = bundles["asked"], bundles["signed"], bundles["outside"]
    records, chain = only(asked, "records/"), only(asked, "chain/")
    other = only(signed, "records/")[0]
    openings = only(outside, "openings/")[0]
    lies: dict[str, Files] = {
        "records": reseal(asked | {records[0]: asked[records[0]].replace(b"digits", b"digest")}),
        "a record that is another": reseal(asked | {records[0]: signed[other]}),
        "a record is left out between": reseal(
            without(asked, records[2], records[2].replace("records", "proofs").replace(".json", ".tlog-proof"))
        ),
        "a body of another": reseal(asked | {only(asked, "bodies/")[0]: b"another"}),
        "a body that nothing names": reseal(asked | {"bodies/" + keccak256(b"x").hex(): b"x"}),
        "another checkpoint": reseal(asked | {"checkpoint": bundles["alone"]["checkpoint"].replace(b"log.example", b"log.exampl2")}),
        "an anchor's root": changed(asked, only(asked, "anchors/")[0], root="0x" + "11" * 32),
        "an anchor's size": changed(asked, only(asked, "anchors/")[0], size=11),
        "an anchor without its proof": changed(asked, only(asked, "anchors/")[0], consistency=[]),
        "an anchor is left out": reseal(without(asked, only(asked, "anchors/")[0])),
        "a transaction of another index": changed(asked, chain[0], transaction_index=3),
        "no receipt before": edited(asked, delivery_path(scene, asked), lambda d: d | {"previous_receipt_proof": None}),
        "another call's delivery": with_role(asked, signed, scene, "delivery"),
        "the delivery as a request": edited(asked, "manifest.json", lambda m: m["evidence"][1].update(role="request")),
        "another operator": edited(asked, "manifest.json", lambda m: m["operators"][0].update(signer="0x" + "22" * 20)),
        "another chain": edited(asked, "manifest.json", lambda m: m["chain"].update(chain_id=1)),
        "another anchor key": edited(asked, "manifest.json", lambda m: m["log"].update(anchor_key="0x" + "33" * 20)),
        "another subject": edited(asked, "manifest.json", lambda m: m["subject"].update(id=to_hex(OUTSIDE))),
        "a call as no call of the chain": edited(asked, "manifest.json", lambda m: m["subject"].update(kind="outside_call")),
        "another value": edited(outside, openings, lambda o: o[0].update(value="somebody else")),
        "a public field opened": edited(outside, openings, lambda o: o[0].update(name="audit.actor")),
        "openings of another record": swapped(outside, *only(outside, "openings/")),
    }
    for name, files in lies.items():
        source = outside if "another value" in name or "open" in name else asked
        reason, _ = judge(files, informed(scene, source))
        assert reason, name
        assert "malformed (" not in reason, (name, reason)


def without(files: Files, *paths: str) -> Files:
    return {path: data for path, data in files.items() if path not in paths}


def swapped(files: Files, first: str, second: str) -> Files:
    return reseal(files | {first: files[second], second: files[first]})


def delivery_path(scene: Scene, files: Files) -> str:
    roles = {r["role"]: r["transaction"] for r in json.loads(files["manifest.json"])["evidence"]}
    return f"chain/{roles['delivery'][2:]}.json"


def with_role(files: Files, source: Files, scene: Scene, role: str) -> Files:
    """With the evidence that another bundle has in a role."""
    path, own = delivery_path(scene, source), delivery_path(scene, files)
    files = without(files, own) | {path: source[path]}

    def edit(manifest: Any) -> None:
        next(r for r in manifest["evidence"] if r["role"] == role)["transaction"] = "0x" + path[6:-5]

    return edited(files, "manifest.json", edit)


# ---- other ways to deliver ------------------------------------------------------------------------------------------------------------
def mined_with(events: list[tuple[bytes, list[bytes], bytes]], to: bytes, calldata: bytes) -> tuple[bytes, dict[str, Any]]:
    """(transaction hash, chain evidence) of a block that nobody mined: one transaction with these events."""
    transaction = b"\x02" + encode_rlp([b"\x01", b"", b"", b"", b"", to, b"", calldata, [], b"", b"\x01", b"\x01"])
    receipt = b"\x02" + encode_rlp([b"\x01", encode_number(50_000), bytes(256), [[a, topics, data] for a, topics, data in events]])
    transactions, receipts = Trie.of([transaction]), Trie.of([receipt])
    header = [
        bytes(32),
        bytes(32),
        bytes(20),
        bytes(32),
        transactions.root,
        receipts.root,
        bytes(256),
        b"",
        b"\x63",
        b"",
        b"",
        b"\x64",
        b"",
        b"",
        b"",
    ]
    document = {
        "header": to_hex(encode_rlp(header)),
        "transaction_index": 0,
        "transaction_proof": [to_hex(node) for node in transactions.prove(0)],
        "receipt_proof": [to_hex(node) for node in receipts.prove(0)],
        "previous_receipt_proof": None,
    }
    return keccak256(transaction), document


def with_mined(files: Files, role: str, transaction: bytes, document: dict[str, Any]) -> Files:
    files = files | {f"chain/{transaction.hex()}.json": canonical_json(document)}
    return edited(files, "manifest.json", lambda m: m["evidence"].append({"role": role, "transaction": to_hex(transaction)}))


@pytest.mark.usefixtures("fast")
def test_a_replaced_answer_is_told_and_must_be_the_delivered_one(scene: Scene, bundles: dict[str, Files]) -> None:
    files = bundles["asked"]
    contract = bytes.fromhex(scene.world.deployment.coprocessor[2:])
    topics = [keccak256(b"InferenceReplaced(bytes32,bytes32,bytes32,bytes,address[])"), scene.asked.request_id]
    delivered = json.loads(next(data for path, data in files.items() if path.startswith("records/") and b'"receipt"' in data))
    digest = bytes.fromhex(delivered["audit.output_digest"][2:])
    for replaced, is_true in ((digest, True), (bytes(32), False)):
        mined = mined_with([(contract, list(topics), replaced + b"n" * 32 + bytes(96))], contract, b"")
        forged = with_mined(files, "replacement", *mined)
        reason, lines = judge(forged, informed(scene, forged))
        assert (reason is None) == is_true, reason
        assert any("a challenge replaced the answer by the output with digest 0x6e6e" in line for line in lines) == is_true


@pytest.mark.usefixtures("fast")
def test_evidence_of_a_failed_or_of_another_contracts_transaction_is_refused(scene: Scene, bundles: dict[str, Files]) -> None:
    files, contract = bundles["asked"], bytes.fromhex(scene.world.deployment.coprocessor[2:])
    other = mined_with([(bytes(20), [keccak256(b"x")], b"")], contract, b"")
    forged = with_mined(files, "replacement", *other)
    assert "the replacement is not one" in str(judge(forged, informed(scene, forged))[0])
    forged = with_mined(files, "anchor", *other)
    assert "anchored nothing of this log" in str(judge(forged, informed(scene, forged))[0])


def test_a_batch_and_a_delivery_whose_calldata_is_hidden(scene: Scene, tmp_path: Path) -> None:
    world = scene.world
    log = open_log(tmp_path)
    asked = [world.ask(bytes([i]) * 128) for i in range(2)]
    deliver_batch(world, log, asked)
    view = LogView(ShownSource(tmp_path / "log", log), KEY.verifier)
    place = replace(scene.place, view=view, anchor_key=None)
    for each in asked:
        files = make_bundle(place, each.request_id, Disclosed())
        reason, lines = judge(files, script.Given())
        assert reason is None
        assert any("the delivered claim is signed by operators 0" in line for line in lines)
        assert any("the signatures of 3 logged claims" in line for line in lines)
        hidden = script.Verification(dict(files), script.Given())
        hidden._carried = list  # type: ignore[method-assign, assignment]
        hidden.run()
        assert any("through another contract" in line for line in hidden.lines())
    log.close()


def test_a_signed_request_is_verified_without_content_from_the_delivery(scene: Scene) -> None:
    reason, lines = judge(scene.bundle(scene.signed.request_id, with_content=False), script.Given())
    assert reason is None
    assert any("the request was signed by" in line for line in lines)


# ---- a thousand mutations of every kind of file ----------------------------------------------------------------------------------------
def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    at, kind = rng.randrange(len(data)), rng.randrange(6)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + data[at + rng.randrange(1, 5) :]
    if kind == 2:
        return data[:at] + rng.randbytes(rng.randrange(1, 5)) + data[at:]
    if kind == 3:
        return data[:at]
    end = min(len(data), at + rng.randrange(1, 64))
    if kind == 4:
        return data[:end] + data[at:end] + data[end:]
    return data[:at] + bytes(rng.randrange(256) for _ in range(end - at)) + data[end:]


def mutate_value(value: Any, rng: random.Random) -> Any:
    """One place of a JSON document changed, so that it is still canonical JSON: these lies get past the parser."""
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        if rng.random() < 0.05:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: mutate_value(value[key], rng)}
    if isinstance(value, list) and value:
        at, kind = rng.randrange(len(value)), rng.random()
        if kind < 0.1:
            return value[:at] + value[at + 1 :]
        if kind < 0.2:
            return value[: at + 1] + value[at:]
        if kind < 0.25:
            return value[::-1]
        return [*value[:at], mutate_value(value[at], rng), *value[at + 1 :]]
    return _mutate_leaf(value, rng)


def _mutate_leaf(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool) or value is None:
        return rng.choice([True, False, None, 0, "0x"])
    if isinstance(value, int):
        return rng.choice([value + 1, value - 1, -value, value ^ 1 << rng.randrange(40), str(value), [], None, True])
    if isinstance(value, str) and value.startswith("0x") and len(value) > 2 and rng.random() < 0.9:
        data = bytes.fromhex(value[2:])
        return "0x" + mutate_bytes(data, rng).hex()
    if isinstance(value, str) and value:
        at = rng.randrange(len(value))
        return rng.choice(
            [value[:at] + rng.choice("a0Z\x7f\u202eé") + value[at + 1 :], value[:at], value + "0", "", value.upper(), [value]]
        )
    return rng.choice(["0x00", 0, [0], "x", {"x": 1}])


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    return canonical_json(mutate_value(json.loads(data), rng))


def mutate_rlp(item: Any, rng: random.Random) -> Any:
    """One place of a decoded header, node, transaction or receipt changed."""
    if isinstance(item, list) and item:
        at = rng.randrange(len(item))
        return [*item[:at], mutate_rlp(item[at], rng), *item[at + 1 :]]
    return mutate_bytes(item, rng) if item else b"\x01"


def mutate_header(data: bytes, rng: random.Random) -> bytes:
    document = json.loads(data)
    header = script.rlp_decode(bytes.fromhex(document["header"][2:]))
    return canonical_json(document | {"header": to_hex(encode_rlp(mutate_rlp(header, rng)))})


def mutate_proof(name: str) -> Callable[[bytes, random.Random], bytes]:
    def mutate(data: bytes, rng: random.Random) -> bytes:
        document = json.loads(data)
        proof = document[name]
        if proof is None or rng.random() < 0.3:
            return canonical_json(document | {name: mutate_value(proof, rng)})
        at = rng.randrange(len(proof))
        node = to_hex(encode_rlp(mutate_rlp(script.rlp_decode(bytes.fromhex(proof[at][2:])), rng)))
        return canonical_json(document | {name: [*proof[:at], node, *proof[at + 1 :]]})

    return mutate


def mutate_either(data: bytes, rng: random.Random) -> bytes:
    return mutate_json(data, rng) if rng.random() < 0.7 else mutate_bytes(data, rng)


KINDS: dict[str, tuple[str, str, Callable[[bytes, random.Random], bytes]]] = {
    "records": ("asked", "records/", mutate_either),
    "proofs": ("asked", "proofs/", mutate_bytes),
    "checkpoint": ("alone", "checkpoint", mutate_bytes),
    "anchors": ("asked", "anchors/", mutate_either),
    "headers": ("asked", "chain/", mutate_header),
    "transaction proofs": ("asked", "chain/", mutate_proof("transaction_proof")),
    "receipt proofs": ("asked", "chain/", mutate_proof("receipt_proof")),
    "receipts before": ("asked", "chain/", mutate_proof("previous_receipt_proof")),
    "chain documents": ("signed", "chain/", mutate_either),
    "openings": ("outside", "openings/", mutate_either),
    "bodies": ("outside", "bodies/", mutate_bytes),
    "manifests": ("asked", "manifest.json", mutate_either),
}


def is_fewer_openings(data: bytes, truth: bytes, kind: str) -> bool:
    """Whoever passes a bundle on may open less than was opened to him: each opening stands for itself."""
    return kind == "openings" and all(opening in json.loads(truth) for opening in json.loads(data))


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_mutations_of_each_kind_of_file(scene: Scene, bundles: dict[str, Files], kind: str) -> None:
    name, prefix, mutate = KINDS[kind]
    files, rng = bundles[name], random.Random(kind)
    given, paths = informed(scene, files), only(files, prefix)
    truth = judge(files, given)
    done = without_effect = 0
    while done < MUTATIONS:
        path = rng.choice(paths)
        data = mutate(files[path], rng)
        if data == files[path]:
            continue
        done += 1
        mutated = files | {path: data}
        reason, lines = judge(mutated if path == "manifest.json" else reseal(mutated), given)
        without_effect += reason is None
        assert reason is not None or (None, lines) == truth or is_fewer_openings(data, files[path], kind), (kind, path, done)
    allowed = {"manifests": MUTATIONS // 4, "receipts before": MUTATIONS // 20, "openings": MUTATIONS // 5}.get(kind, 0)
    assert without_effect <= allowed, f"{without_effect} of {done} mutations have no effect"


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("name", ["asked", "outside"])
def test_a_thousand_mutations_that_are_not_resealed(scene: Scene, bundles: dict[str, Files], name: str) -> None:
    files, rng = bundles[name], random.Random(name)
    for _ in range(MUTATIONS):
        path = rng.choice(sorted(set(files) - {"manifest.json"}))
        data = mutate_bytes(files[path], rng) if files[path] else b"x"
        if data != files[path]:
            reason, _lines = judge(files | {path: data}, script.Given())
            assert reason
            assert "is not the file that manifest.json lists" in reason


# ---- as an auditor runs it -------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has `cryptography`, what that needs, and nothing else."""
    home = tmp_path_factory.mktemp("python") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next(home.glob("lib/python3*/site-packages"))
    ours = Path(cryptography.__file__).parents[1]
    for pattern in ("cryptography", "cryptography-*", "cffi", "cffi-*", "_cffi_backend*", "pycparser"):
        for found in ours.glob(pattern):
            os.symlink(found, site / found.name)
    return home / "bin/python"


def run_script(python: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-I", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/", env={})


def test_the_script_runs_alone(scene: Scene, bundles: dict[str, Files], bare_python: Path, tmp_path: Path) -> None:
    assert run_script(bare_python, "-c", "import eth_hash").returncode == 1
    for name, files in bundles.items():
        write_directory(files, tmp_path / name)
        done = run_script(bare_python, tmp_path / name / "verify.py")
        assert (done.returncode, done.stderr) == (0, "")
        assert "VERDICT: HOLDS" in done.stdout
    write_zip(bundles["asked"], tmp_path / "asked.zip")
    known = ["--vkey", KEY.verifier, "--anchor-key", ANCHOR.address, "--coprocessor", scene.world.deployment.coprocessor]
    known += ["--audit-anchor", scene.world.deployment.audit_anchor]
    known += [part for block in blocks_of(bundles["asked"]) for part in ("--block-hash", to_hex(block))]
    done = run_script(bare_python, tmp_path / "asked/verify.py", tmp_path / "asked.zip", *known)
    assert done.returncode == 0
    assert "with the keys, blocks and contracts that you gave" in done.stdout
    wrong = run_script(bare_python, tmp_path / "asked/verify.py", tmp_path / "asked.zip", "--block-hash", "0x" + "00" * 32)
    assert wrong.returncode == 2
    assert "VERDICT: FALSE. step 7" in wrong.stdout


def test_the_script_refuses_alone(bundles: dict[str, Files], bare_python: Path, tmp_path: Path) -> None:
    """The same lies as above, through its own hash and curve."""
    rng = random.Random(9)
    own = tmp_path / "verify.py"
    own.write_bytes(bundles["asked"]["verify.py"])
    for number, kind in enumerate(["records", "checkpoint", "headers", "receipt proofs", "openings"]):
        name, prefix, mutate = KINDS[kind]
        path = rng.choice(only(bundles[name], prefix))
        files = reseal(bundles[name] | {path: mutate(bundles[name][path], rng)})
        write_zip(files, tmp_path / f"{number}.zip")
        done = run_script(bare_python, own, tmp_path / f"{number}.zip")
        if kind == "headers" and done.returncode == 0:  # an anchor's: then another block hash is what the reader has to compare
            assert all(to_hex(block) in done.stdout for block in blocks_of(files))
            continue
        assert (done.returncode, "VERDICT: FALSE" in done.stdout) == (2, True), kind
    (tmp_path / "empty").mkdir()
    assert run_script(bare_python, own, tmp_path / "empty").returncode == 3
    assert run_script(bare_python, own, tmp_path / "nothing.zip").returncode == 3


def test_without_its_one_package_the_script_says_so(tmp_path: Path) -> None:
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    done = run_script(home / "bin/python", Path(script.__file__), tmp_path)
    assert done.returncode == 3
    assert "`cryptography` is needed" in done.stdout


# ---- as it is made ---------------------------------------------------------------------------------------------------------------------
def test_the_command_writes_what_the_function_makes(
    scene: Scene, bundles: dict[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(monkeypatch, capsys)
    export_log(scene.place.view, tmp_path / "log")
    write_deployment(scene.world.deployment, tmp_path / "deployment.json")
    where = ["--log", tmp_path / "log", "--vkey", KEY.verifier, "--rpc", scene.world.rpc, "--deployment", tmp_path / "deployment.json"]
    where += ["--anchor-key", ANCHOR.address]
    ran = cli.ok("audit", "bundle", to_hex(scene.asked.request_id), "--out", tmp_path / "asked.zip", "--with-content", *where)
    assert "verify.py" in ran.err
    assert script.read_bundle(tmp_path / "asked.zip") == bundles["asked"]
    cli.ok("audit", "bundle", scene.alone, "--out", tmp_path / "alone", *where)
    assert script.read_bundle(tmp_path / "alone") == scene.bundle(scene.alone, with_content=False)
    cli.ok("audit", "bundle", to_hex(OUTSIDE), "--out", tmp_path / "some", "--only", "audit.user", *where)
    assert script.read_bundle(tmp_path / "some") == scene.bundle(OUTSIDE, True, "audit.user")
    assert "a new one" in cli.refused(2, "audit", "bundle", scene.alone, "--out", tmp_path / "asked.zip", *where)
    assert "none in this log" in cli.refused(2, "audit", "bundle", "0x" + "77" * 32, "--out", tmp_path / "none", *where)
    assert not (tmp_path / "none").exists()
