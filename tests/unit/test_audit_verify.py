"""The audit against a true history, and against every byte of it changed: each lie fails at its own step."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.attest.prove import Prover
from oracle.attest.quorum import verify_quorum
from oracle.audit.call import ClaimChecks
from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.entries import anchor_entry, error_entry, intent_entry
from oracle.audit.export import export_call
from oracle.audit.note import SignerKey
from oracle.audit.proof import verify_proof
from oracle.audit.record import encode_record, parse_record
from oracle.audit.report import AuditReport, AuditStep, StepStatus
from oracle.audit.source import DirectorySource
from oracle.audit.tiles import parse_bundle
from oracle.audit.tree import compute_root, hash_leaf
from oracle.audit.verify import verify_call
from oracle.audit.view import LogView
from oracle.audit.whole import verify_log
from oracle.encoding import compute_request_id, keccak256, to_hex
from oracle.errors import AuditFailed, ChainError, ConfigRejected, EntryRejected, NoteRejected
from oracle.pipeline.audit import Auditor
from oracle.records import (
    Address,
    Asked,
    Bytes32,
    CallbackStatus,
    Delivery,
    Entry,
    EntryKind,
    Evidence,
    Operator,
    RegisteredModel,
    TransactionReceipt,
)
from oracle.signatures import recover_signer
from tests.twins.audited import LOG_ID, History, tell
from tests.twins.logs import KEY, START, read_bundles
from tests.twins.operators import account, operator_signer, signed_by

CHECKS = ClaimChecks(recover_signer, verify_quorum, Prover(()).verify)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[History, list[Asked], Path]]:
    history = History(tmp_path_factory.mktemp("history"))
    calls = tell(history)
    yield history, calls, history.export(tmp_path_factory.mktemp("export") / "log")
    history.close()


Told = tuple[History, list[Asked], Path]


def view_of(directory: Path, key: SignerKey = KEY) -> LogView:
    return LogView(DirectorySource(directory), key.verifier)


def audit(view: LogView, chain: Any, subject: Bytes32 | int, **options: Any) -> AuditReport:
    return verify_call(view, chain, LOG_ID, subject, CHECKS, **options)


def statuses(report: AuditReport) -> dict[int, StepStatus]:
    return {step.number: step.status for step in report.steps}


ALL = dict.fromkeys(range(1, 8), StepStatus.PASSED)


# ---- truths -------------------------------------------------------------------------------------------------------------------------
def test_a_true_call_passes_every_step_in_order(told: Told) -> None:
    history, calls, export = told
    seen: list[AuditStep] = []
    report = audit(view_of(export), history.chain, calls[0].request_id, on_step=seen.append)
    assert statuses(report) == ALL
    assert [step.number for step in seen] == list(range(1, 8))
    assert report.is_complete
    assert "anchored in block" in report.steps[3].detail
    assert any("signed another output" in remark for remark in report.remarks)


def test_a_signed_call_passes(told: Told) -> None:
    history, calls, export = told
    assert statuses(audit(view_of(export), history.chain, calls[1].request_id)) == ALL


def test_an_undelivered_call_says_what_is_missing(told: Told) -> None:
    history, calls, export = told
    report = audit(view_of(export), history.chain, calls[2].request_id)
    assert statuses(report) == ALL | {6: StepStatus.ABSENT, 7: StepStatus.ABSENT}
    assert "REQUESTED" in report.steps[6].detail
    assert not report.is_complete


def test_a_call_by_entry_index_and_an_entry_of_no_call(told: Told) -> None:
    history, calls, export = told
    assert audit(view_of(export), history.chain, 3).subject == f"call {to_hex(calls[0].request_id)}"
    records = [json.loads(r) for r in read_bundles(export, view_of(export).size)]
    anchor = next(i for i, r in enumerate(records) if r["audit.kind"] == "anchor")
    assert list(statuses(audit(view_of(export), history.chain, anchor))) == [1, 2, 3, 4]


def test_the_live_log_with_its_index_says_the_same(told: Told) -> None:
    history, calls, _ = told
    assert statuses(audit(history.view(), history.chain, calls[0].request_id)) == ALL


def test_without_bodies_the_audit_says_so(told: Told, tmp_path: Path) -> None:
    history, calls, export = told
    shutil.copytree(export, tmp_path / "log")
    shutil.rmtree(tmp_path / "log/content")
    report = audit(view_of(tmp_path / "log"), history.chain, calls[0].request_id)
    assert statuses(report) == ALL
    assert any("bodies are not shown" in remark for remark in report.remarks)


def test_without_an_anchor_key_step_4_is_absent(told: Told) -> None:
    history, calls, export = told
    report = verify_call(view_of(export), history.chain, None, calls[0].request_id, CHECKS)
    assert statuses(report) == ALL | {4: StepStatus.ABSENT}


def test_step_8_runs_the_model_again(told: Told) -> None:
    history, calls, export = told

    def right(model_id: Bytes32, data: bytes) -> bytes:
        assert (model_id, data) == (history.model_id, b"first input")
        return b"right"

    report = audit(view_of(export), history.chain, calls[0].request_id, re_execute=right)
    assert statuses(report) == ALL | {8: StepStatus.PASSED}
    fails(8, "re-executed", view_of(export), history.chain, calls[0].request_id, re_execute=lambda _m, _d: b"wrong")


def test_the_whole_log_passes(told: Told) -> None:
    history, _, export = told
    progress: list[tuple[str, int, int]] = []
    report = verify_log(view_of(export), history.chain, LOG_ID, CHECKS, on_progress=lambda *p: progress.append(p))
    assert statuses(report) == ALL
    assert [step.number for step in report.steps] == list(range(1, 8))
    assert progress[-1] == ("calls", 3, 3)
    assert "2 calls; 1 with nothing to check yet" in report.steps[5].detail


def test_an_exported_call_verifies_offline(told: Told, tmp_path: Path) -> None:
    _, calls, export = told
    records = export_call(view_of(export), calls[0].request_id, tmp_path / "call")
    for logged in records:
        data = (tmp_path / "call/proofs" / f"{logged.index}.tlog-proof").read_bytes()
        assert verify_proof(data, KEY.verifier)[0].index == logged.index
    assert to_hex(b"first input") in (tmp_path / "call/content" / f"{records[0].index}.json").read_text()
    with pytest.raises(ConfigRejected):
        export_call(view_of(export), calls[0].request_id, tmp_path / "call")


# ---- changed bytes --------------------------------------------------------------------------------------------------------------------
def fails(step: int, what: str, view: LogView, chain: Any, subject: Bytes32 | int, **options: Any) -> None:
    with pytest.raises(AuditFailed, match=what) as caught:
        audit(view, chain, subject, **options)
    assert caught.value.step == step, str(caught.value)


def change(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new, 1))


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def bundle(log: Path) -> Path:
    return next((log / "tile/entries").rglob("[0-9]*.p/*"))


def tile(log: Path) -> Path:
    return next((log / "tile/0").rglob("[0-9]*.p/*"))


def change_content(log: Path, old: bytes) -> None:
    """The first of the shown bodies that is `old` becomes another one."""
    path = next(p for p in sorted((log / "content").iterdir(), key=lambda p: int(p.stem)) if old.hex().encode() in p.read_bytes())
    change(path, old.hex().encode(), (b"\0" * len(old)).hex().encode())


CHANGES: dict[str, tuple[int, Callable[[Path], None]]] = {
    "a digit in a record": (1, lambda log: change(bundle(log), b'"audit.latency_microseconds":1200', b'"audit.latency_microseconds":1201')),
    "a record in another form": (1, lambda log: change(bundle(log), b'"audit.actor":"node-0"', b'"audit.actor": "node0"')),
    "a record that is no JSON": (1, lambda log: change(bundle(log), b'{"audit.actor"', b'["audit.actor"')),
    "the length before a record": (1, lambda log: flip(bundle(log), 1)),
    "a bundle cut short": (1, lambda log: bundle(log).write_bytes(bundle(log).read_bytes()[:-1])),
    "a bundle with more": (1, lambda log: bundle(log).write_bytes(bundle(log).read_bytes() + b"\0\0")),
    "a missing bundle": (1, lambda log: bundle(log).unlink()),
    "the leaf hash of the entry in its tile": (2, lambda log: flip(tile(log), 5)),
    "the leaf hash of another entry": (2, lambda log: flip(tile(log), -1)),
    "a tile cut short": (2, lambda log: tile(log).write_bytes(tile(log).read_bytes()[:-1])),
    "a missing tile": (2, lambda log: tile(log).unlink()),
    "the root in the checkpoint": (3, lambda log: flip(log / "checkpoint", len(KEY.name) + 5)),
    "the size in the checkpoint": (3, lambda log: change(log / "checkpoint", b"\n1", b"\n2")),
    "the origin in the checkpoint": (3, lambda log: change(log / "checkpoint", b"log.example", b"log.exemple")),
    "the signature of the checkpoint": (3, lambda log: flip(log / "checkpoint", -5)),
    "an empty checkpoint": (3, lambda log: (log / "checkpoint").write_bytes(b"")),
    "a missing checkpoint": (3, lambda log: (log / "checkpoint").unlink()),
    "an input": (1, lambda log: change_content(log, b"first input")),
    "an output": (1, lambda log: change_content(log, b"right")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_byte_fails_at_its_step(told: Told, tmp_path: Path, name: str) -> None:
    history, calls, export = told
    shutil.copytree(export, tmp_path / "log")
    step, changing = CHANGES[name]
    changing(tmp_path / "log")
    with pytest.raises(AuditFailed) as caught:
        audit(view_of(tmp_path / "log"), history.chain, calls[0].request_id)
    assert caught.value.step == step, str(caught.value)
    with pytest.raises(AuditFailed) as caught:
        verify_log(view_of(tmp_path / "log"), history.chain, LOG_ID, CHECKS)
    assert caught.value.step == step, str(caught.value)


@pytest.mark.parametrize("seed", range(3))
def test_any_changed_byte_of_the_log_fails_the_whole_audit(told: Told, tmp_path: Path, seed: int) -> None:
    """Bits at random places of every file; whatever it is, it does not pass."""
    history, _, export = told
    rng = random.Random(seed)
    files = [path for path in export.rglob("*") if path.is_file()]
    for path in files:
        log = tmp_path / "log"
        shutil.copytree(export, log)
        flip(log / path.relative_to(export), rng.randrange(path.stat().st_size))
        with pytest.raises(AuditFailed):
            verify_log(view_of(log), history.chain, LOG_ID, CHECKS)
        shutil.rmtree(log)


# ---- a lying log ------------------------------------------------------------------------------------------------------------------------
def forge(log: Path, records: list[bytes], key: SignerKey = KEY) -> LogView:
    """A log with these records, everything in it computed anew and signed by its own key: what only the log itself can do."""
    shutil.rmtree(log / "tile")
    leaves = [bytes(hash_leaf(r)) for r in records]
    (log / "tile/0/000.p").mkdir(parents=True)
    (log / "tile/entries/000.p").mkdir(parents=True)
    (log / f"tile/0/000.p/{len(leaves)}").write_bytes(b"".join(leaves))
    (log / f"tile/entries/000.p/{len(leaves)}").write_bytes(b"".join(len(r).to_bytes(2, "big") + r for r in records))
    (log / "checkpoint").write_text(sign_checkpoint(len(leaves), compute_root(leaves), key).note)
    return view_of(log, key)


@pytest.fixture
def copy(told: Told, tmp_path: Path) -> Path:
    shutil.copytree(told[2], tmp_path / "log")
    return tmp_path / "log"


def records_of(log: Path) -> list[bytes]:
    return read_bundles(log, view_of(log).size)


def test_a_fork_fails_at_the_anchor(told: Told, copy: Path) -> None:
    """One record replaced, everything signed again, same size, another root."""
    records = records_of(copy)
    records[1] = records[1].replace(b'"audit.latency_microseconds":1200', b'"audit.latency_microseconds":1201')
    fails(4, "consistency|root", forge(copy, relink(records)), told[0].chain, told[1][2].request_id)


def relink(records: list[bytes]) -> list[bytes]:
    """Sets the links between records of a call anew, after one of them was changed."""
    last: dict[str, tuple[int, bytes]] = {}
    made = []
    for index, data in enumerate(records):
        value = json.loads(data)
        call = value.get("audit.request_id")
        if call in last:
            value["audit.call.previous_index"], value["audit.call.previous_leaf"] = last[call][0], to_hex(last[call][1])
        if "audit.intent.index" in value:
            value["audit.intent.leaf_hash"] = to_hex(hash_leaf(made[value["audit.intent.index"]]))
        made.append(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
        if call:
            last[call] = (index, hash_leaf(made[-1]))
    return made


def test_nobody_else_tells_of_the_logs_anchors(told: Told, copy: Path) -> None:
    """A writer whose false anchor stood in the log would spoil every audit of the whole log, for ever."""
    history, *_ = told
    anchor = replace(history.chain.anchors(LOG_ID)[0], root=Bytes32(bytes(32)))
    entry = anchor_entry(anchor, history.domain, "node-1", START)
    with pytest.raises(EntryRejected, match="by the log itself"):
        history.write("node-1", entry)
    records = records_of(copy)
    sequence = sum(parse_record(data).writer == "node-1" for data in records) + 1
    log_time = parse_record(records[-1]).log_time
    view = forge(copy, [*records, encode_record(entry, "node-1", sequence, log_time, None)])
    report = verify_log(view, history.chain, LOG_ID, CHECKS)
    assert (
        f"entry {len(records)} tells of an anchor and is by node-1: what others than the log say of anchors does not count"
        in report.remarks
    )


def test_a_truncated_log_fails_at_the_anchor(told: Told, copy: Path) -> None:
    records = records_of(copy)
    fails(4, "at least the", forge(copy, records[:8]), told[0].chain, told[1][0].request_id)


def test_a_log_that_grew_while_it_was_read_is_no_rollback(told: Told, copy: Path) -> None:
    """The chain is read after the checkpoint: an anchor beyond it is held against the log as it then is."""
    history, calls, export = told
    records = records_of(copy)
    view = forge(copy, records[:8])
    shutil.copytree(export, copy, dirs_exist_ok=True)
    assert statuses(audit(view, history.chain, calls[0].request_id))[4] is StepStatus.PASSED

    def grow(log_id: Bytes32) -> Any:
        forge(copy, [records[0] + b" ", *records[1:]])  # and is not what it was
        return history.chain.anchors(log_id)

    fails(4, "consistency", forge(copy, records[:8]), Altered(history.chain, anchors=grow), calls[0].request_id)


def test_a_stale_checkpoint_before_the_call_does_not_hold_the_call(told: Told, copy: Path) -> None:
    fails(1, "none in this log", forge(copy, records_of(copy)[:8]), told[0].chain, told[1][1].request_id)


def test_kept_checkpoints_catch_a_fork_and_a_rollback_without_a_chain(told: Told, copy: Path) -> None:
    history, kept = told[0], (copy / "checkpoint").read_bytes()
    records = records_of(copy)
    auditor = Auditor(view_of(copy), history.chain, None)
    assert auditor.verify_extends(kept).size == len(records)
    for size in (0, 1, 8):
        leaves = [hash_leaf(r) for r in records[:size]]
        auditor.verify_extends(sign_checkpoint(size, compute_root(leaves), KEY).note.encode())
    for forged in (records[:-1], [records[0] + b" ", *records[1:]], [*records[:-1], records[-1] + b" "]):
        liar = Auditor(forge(copy, forged), history.chain, None)
        with pytest.raises(AuditFailed) as caught:
            liar.verify_extends(kept)
        assert caught.value.step == 4
    with pytest.raises(NoteRejected):
        auditor.verify_extends(kept.replace(b"log.example", b"log.exemple"))


def test_a_removed_record_fails_at_the_link(told: Told, copy: Path) -> None:
    records = records_of(copy)
    fails(1, "before entry", forge(copy, records[:2] + records[3:]), told[0].chain, told[1][0].request_id)


def test_an_index_that_hides_a_record_is_found_out(told: Told, copy: Path) -> None:
    class Hiding(DirectorySource):
        def find_entries(self, _request_id: Bytes32) -> list[int]:
            return [0, 1, 3, 4]

    fails(1, "before entry 3", LogView(Hiding(copy), KEY.verifier), told[0].chain, told[1][0].request_id)


@pytest.mark.parametrize("indices", [[], [99], [-1], [0, 1, 2, 3, 4, 5, 6, 7, 8]])
def test_an_index_that_names_other_entries(told: Told, copy: Path, indices: list[int]) -> None:
    class Confused(DirectorySource):
        def find_entries(self, _request_id: Bytes32) -> list[int]:
            return indices

    fails(1, "entry", LogView(Confused(copy), KEY.verifier), told[0].chain, told[1][0].request_id)


def test_another_logs_checkpoint_or_key(told: Told, copy: Path) -> None:
    records, stranger = records_of(copy), SignerKey(KEY.name, bytes(32))
    forge(copy, records, stranger)
    with pytest.raises(AuditFailed) as caught:
        view_of(copy)
    assert caught.value.step == 3
    forge(copy, records, SignerKey("log.example/other", KEY.seed))
    with pytest.raises(AuditFailed) as caught:
        view_of(copy)
    assert caught.value.step == 3


def test_a_gap_in_a_writers_sequence_fails_the_whole_audit(told: Told, copy: Path) -> None:
    records = [r.replace(b'"audit.sequence.writer":2,', b'"audit.sequence.writer":3,') for r in records_of(copy)]
    with pytest.raises(AuditFailed, match="sequence number") as caught:
        verify_log(forge(copy, relink(records)), told[0].chain, LOG_ID, CHECKS)
    assert caught.value.step == 1


def test_tiles_that_agree_with_changed_entries_fail_at_inclusion(told: Told, copy: Path) -> None:
    """The server changes entry and tile alike, and cannot sign: the root is what catches it."""
    note = (copy / "checkpoint").read_bytes()
    records = records_of(copy)
    records[-1] = records[-1].replace(b'"audit.log.time":"2026', b'"audit.log.time":"2027')
    forge(copy, records)
    (copy / "checkpoint").write_bytes(note)
    with pytest.raises(AuditFailed, match="root over all entries") as caught:
        verify_log(view_of(copy), told[0].chain, LOG_ID, CHECKS)
    assert caught.value.step == 2
    fails(2, "inclusion", view_of(copy), told[0].chain, len(records) - 1)


# ---- records that lied from the start -------------------------------------------------------------------------------------------------
def lied(tmp_path: Path, kind: EntryKind, fields: dict[str, Any], bodies: dict[str, bytes]) -> tuple[History, Asked]:
    """A history in which every record of a kind says something else."""

    def lie(entry: Entry) -> Entry:
        if entry.kind is not kind:
            return entry
        return Entry(entry.kind, entry.time, {**entry.fields, **fields}, {**entry.bodies, **bodies})

    history = History(tmp_path / "lied", lie)
    asked = history.ask(b"first input")
    history.deliver(asked, [history.answer(0, asked, b"right"), history.answer(1, asked, b"right")])
    return history, asked


OTHER = to_hex(keccak256(b"other"))
STRANGER = Address(account("stranger").address)
FOREIGN_SIGNATURE = account("stranger").unsafe_sign_hash(keccak256(b"x")).signature

LIES: dict[str, tuple[int, EntryKind, dict[str, Any], dict[str, bytes]]] = {
    "chain": (5, EntryKind.INTENT, {"audit.chain_id": 1}, {}),
    "contract": (5, EntryKind.RESULT, {"audit.coprocessor": STRANGER}, {}),
    "requester": (5, EntryKind.INTENT, {"audit.request.requester": STRANGER}, {}),
    "fee": (5, EntryKind.INTENT, {"audit.request.fee_wei": "7"}, {}),
    "fee with zeroes": (5, EntryKind.INTENT, {"audit.request.fee_wei": "00"}, {}),
    "deadline": (5, EntryKind.INTENT, {"audit.request.deadline": "1"}, {}),
    "nonce": (5, EntryKind.INTENT, {"audit.request.nonce": "99"}, {}),
    "policy": (5, EntryKind.INTENT, {"audit.policy": "0x0101" + "00" * 30}, {}),
    "policy of a result": (5, EntryKind.RESULT, {"audit.model_id": OTHER}, {}),
    "block": (5, EntryKind.INTENT, {"audit.request.block_number": 1}, {}),
    "block hash": (5, EntryKind.INTENT, {"audit.request.block_hash": OTHER}, {}),
    "claim digest": (5, EntryKind.RESULT, {"audit.claim_digest": OTHER}, {}),
    "output": (5, EntryKind.RESULT, {"audit.output_digest": to_hex(keccak256(b"wrong"))}, {"audit.output_digest": b"wrong"}),
    "intent": (5, EntryKind.RESULT, {"audit.intent.index": 7}, {}),
    "intent leaf": (5, EntryKind.RESULT, {"audit.intent.leaf_hash": OTHER}, {}),
    "claim in the receipt": (5, EntryKind.RECEIPT, {"audit.claim_digest": OTHER}, {}),
    "signer": (6, EntryKind.RESULT, {"audit.signer": STRANGER}, {}),
    "signature": (
        6,
        EntryKind.RESULT,
        {"audit.signature_digest": to_hex(keccak256(FOREIGN_SIGNATURE))},
        {"audit.signature_digest": bytes(FOREIGN_SIGNATURE)},
    ),
    "short signature": (6, EntryKind.RESULT, {"audit.signature_digest": to_hex(keccak256(b""))}, {"audit.signature_digest": b""}),
    "policy word of a result": (5, EntryKind.RESULT, {"audit.policy": "0x0103" + "00" * 30}, {}),
    "policy word of the receipt": (5, EntryKind.RECEIPT, {"audit.policy": "0x0103" + "00" * 30}, {}),
    "source": (5, EntryKind.INTENT, {"audit.request.source": "signed"}, {}),
    "transaction of the request": (5, EntryKind.INTENT, {"audit.request.transaction": OTHER}, {}),
    "evidence in the receipt": (6, EntryKind.RECEIPT, {"audit.evidence_digests": [OTHER]}, {"audit.evidence_digests[0]": b"other"}),
    "selectors in the receipt": (6, EntryKind.RECEIPT, {"audit.evidence_selectors": ["0x00000000"]}, {}),
    "signers in the receipt": (6, EntryKind.RECEIPT, {"audit.signers": [STRANGER]}, {}),
    "transaction": (7, EntryKind.RECEIPT, {"audit.transaction": OTHER}, {}),
    "block of the delivery": (7, EntryKind.RECEIPT, {"audit.block_hash": OTHER}, {}),
    "number of the delivery": (7, EntryKind.RECEIPT, {"audit.block_number": 1}, {}),
    "callback": (7, EntryKind.RECEIPT, {"audit.callback": "failed"}, {}),
    "gas": (7, EntryKind.RECEIPT, {"audit.gas_used": 1}, {}),
}


@pytest.mark.parametrize("name", LIES)
def test_a_record_that_lied_from_the_start_fails_at_its_step(tmp_path: Path, name: str) -> None:
    step, kind, fields, bodies = LIES[name]
    history, asked = lied(tmp_path, kind, fields, bodies)
    with pytest.raises(AuditFailed) as caught:
        audit(history.view(), history.chain, asked.request_id)
    assert caught.value.step == step, str(caught.value)
    with pytest.raises(AuditFailed) as caught:
        verify_log(history.view(), history.chain, LOG_ID, CHECKS)
    assert caught.value.step == step, str(caught.value)
    history.close()


def test_a_result_without_a_signature(tmp_path: Path) -> None:
    def lie(entry: Entry) -> Entry:
        return replace(entry, fields={n: v for n, v in entry.fields.items() if n != "audit.signature_digest"}, bodies={})

    history = History(tmp_path, lambda entry: lie(entry) if entry.kind is EntryKind.RESULT else entry)
    asked = history.ask(b"x")
    history.deliver(asked, [history.answer(0, asked, b"y"), history.answer(1, asked, b"y")])
    fails(6, "signature_digest", history.view(), history.chain, asked.request_id)
    history.close()


@pytest.mark.parametrize("agreed", [b"y", b"z"])
def test_an_honest_operator_is_not_accused(tmp_path: Path, agreed: bytes) -> None:
    """A minority claim that is the majority's, or about a majority that never was."""
    history = History(tmp_path)
    asked = history.ask(b"x")
    claims = [history.answer(0, asked, b"y"), history.answer(1, asked, b"y")]
    history.deliver(asked, claims)
    history.log_lie(asked, claims[1], replace(claims[1].claim, output_digest=keccak256(agreed)))
    fails(6 if agreed == b"y" else 7, "minority claim|agreed output", history.view(), history.chain, asked.request_id)
    history.close()


def test_keys_of_no_operator_count_for_nothing(tmp_path: Path) -> None:
    """Claims by made-up keys, with true signatures of them: they are no operator's, and not enough for a delivered output."""
    history = History(tmp_path)
    asked = history.ask(b"x")
    history.answer(7, asked, b"y")
    report = audit(history.view(), history.chain, asked.request_id)
    assert "0 logged claims" in report.steps[5].detail
    assert any("never an operator's key" in remark for remark in report.remarks)
    history.deliver(asked, [signed_by(index, asked, b"y", history.domain) for index in (0, 1)])
    fails(7, "operator's result record", history.view(), history.chain, asked.request_id)
    history.close()


def test_results_written_after_the_receipt_are_too_late(tmp_path: Path) -> None:
    history = History(tmp_path)
    asked = history.ask(b"x")
    history.answer(2, asked, b"another")
    history.deliver(asked, [signed_by(index, asked, b"y", history.domain) for index in (0, 1)])
    history.answer(0, asked, b"y")
    fails(7, "before the receipt", history.view(), history.chain, asked.request_id)
    history.close()


def test_an_error_closes_no_intent_but_its_own(tmp_path: Path) -> None:
    history = History(tmp_path)
    begun, other = history.ask(b"begun"), history.ask(b"other")
    open_intent = history.write("node-0", intent_entry(begun, history.domain, "node-0", "digits", START))
    stray = error_entry(other, history.domain, "node-1", "Crash", "no", START, open_intent)
    history.write("node-1", Entry(stray.kind, stray.time, {n: v for n, v in stray.fields.items() if n != "audit.request_id"}))
    report = verify_log(history.view(), history.chain, LOG_ID, CHECKS)
    assert any("intent 0" in remark and "neither result nor error" in remark for remark in report.remarks)
    history.write("node-1", error_entry(begun, history.domain, "node-1", "Crash", "no", START, open_intent))  # another's intent
    fails(5, "same writer", history.view(), history.chain, begun.request_id)
    history.close()


def test_a_receipt_of_a_vanished_block_is_told_of_and_a_final_one_fails(tmp_path: Path) -> None:
    def early(entry: Entry) -> Entry:
        return replace(entry, fields=entry.fields | {"audit.finality": "mined"}) if entry.kind is EntryKind.RECEIPT else entry

    for name, lie, is_failure in (("mined", early, False), ("final", lambda entry: entry, True)):
        history = History(tmp_path / name, lie)
        asked = history.ask(b"x")
        claims = [history.answer(0, asked, b"y"), history.answer(1, asked, b"y")]
        history.deliver(asked, claims)
        history.chain.reorg(1)
        if is_failure:
            fails(7, "delivery on chain", history.view(), history.chain, asked.request_id)
        else:
            report = audit(history.view(), history.chain, asked.request_id)
            assert statuses(report)[7] is StepStatus.ABSENT
            assert any("reorganised away" in remark for remark in report.remarks)
        history.deliver(asked, claims)
        if is_failure:
            fails(7, "of receipt record", history.view(), history.chain, asked.request_id)
        else:
            assert statuses(audit(history.view(), history.chain, asked.request_id))[7] is StepStatus.PASSED
        history.close()


def test_a_delivery_through_another_contract_is_no_failure_and_no_pass(tmp_path: Path) -> None:
    def bare(entry: Entry) -> Entry:
        """What a relay writes that found no evidence in the calldata."""
        nothing: dict[str, Any] = {"audit.signers": [], "audit.evidence_digests": [], "audit.evidence_selectors": []}
        return replace(entry, fields=entry.fields | nothing, bodies={}) if entry.kind is EntryKind.RECEIPT else entry

    history = History(tmp_path, bare)
    asked = history.ask(b"x")
    history.deliver(asked, [history.answer(0, asked, b"y"), history.answer(1, asked, b"y")])
    for to in (STRANGER, None):
        chain = Altered(history.chain, transaction_data=lambda t, to=to: (to, history.chain.transaction_data(t)[1]))  # type: ignore[misc]
        report = audit(history.view(), chain, asked.request_id)
        assert statuses(report) == ALL | {4: StepStatus.ABSENT, 6: StepStatus.ABSENT}
    history.close()


def test_a_delivery_nobody_logged(tmp_path: Path) -> None:
    history = History(tmp_path)
    asked = history.ask(b"x")
    history.deliver(asked, [history.answer(0, asked, b"y"), history.answer(1, asked, b"y")], is_logged=False)
    fails(7, "receipt record", history.view(), history.chain, asked.request_id)
    history.close()


def test_a_delivered_output_no_operator_logged(tmp_path: Path) -> None:
    history = History(tmp_path)
    asked = history.ask(b"x")
    history.answer(0, asked, b"logged")
    history.deliver(asked, [signed_by(index, asked, b"secret", history.domain) for index in (1, 2)])
    fails(7, "result record", history.view(), history.chain, asked.request_id)
    history.close()


def test_a_call_without_an_intent(tmp_path: Path) -> None:
    history = History(tmp_path)
    asked = history.ask(b"x")
    history.write("node-0", error_entry(asked, history.domain, "node-0", "InputRejected", "no", START))
    fails(5, "intent record", history.view(), history.chain, asked.request_id)
    history.close()


def test_a_fabricated_intent_for_a_request_nobody_made(tmp_path: Path) -> None:
    history = History(tmp_path)
    asked = history.ask(b"x")
    history.answer(0, asked, b"y")
    history.chain.reorg(1)  # the request is gone from the chain
    fails(5, "canonical block", history.view(), history.chain, asked.request_id)
    history.close()


# ---- a chain that says something else ---------------------------------------------------------------------------------------------------
class Altered:
    """The chain, with some answers replaced."""

    def __init__(self, chain: Any, **answers: Callable[..., Any]) -> None:
        self._chain, self._answers = chain, answers

    def __getattr__(self, name: str) -> Any:
        return self._answers.get(name) or getattr(self._chain, name)


def with_delivered(receipt: TransactionReceipt | None, **changes: Any) -> TransactionReceipt | None:
    assert receipt is not None
    return replace(receipt, delivered=tuple(replace(d, **changes) for d in receipt.delivered))


def on_chain(history: History) -> dict[str, tuple[int, Altered]]:
    chain = history.chain

    def model(model_id: Bytes32) -> RegisteredModel | None:
        found = chain.model(model_id)
        return replace(found, manifest_digest=keccak256(b"another")) if found else None

    def operators(number: int | None = None) -> list[Operator]:
        return [replace(o, is_active=o.index != 1) for o in chain.operators(number)]

    def others(number: int | None = None) -> list[Operator]:
        return [replace(o, signer=Address(operator_signer(o.index + 1).address)) for o in chain.operators(number)]

    def evidence(*pieces: Evidence) -> Callable[[bytes], list[Delivery]]:
        return lambda calldata: [replace(d, evidence=pieces) for d in chain.deliveries_in(calldata)]

    one = Evidence(bytes.fromhex("00000000"), b"")

    def flipped(calldata: bytes) -> list[Delivery]:
        made = []
        for d in chain.deliveries_in(calldata):
            data = bytearray(d.evidence[0].data)
            data[40] ^= 1
            made.append(replace(d, evidence=(replace(d.evidence[0], data=bytes(data)),)))
        return made

    def delivered(**changes: Any) -> Altered:
        return Altered(chain, delivery_of=lambda i: with_delivered(chain.delivery_of(i), **changes))

    return {
        "no such model": (5, Altered(chain, model=lambda _: None)),
        "another manifest": (5, Altered(chain, model=model)),
        "no event of the request": (5, Altered(chain, requested_in=lambda _: [])),
        "an operator was not active": (6, Altered(chain, operators=operators)),
        "operators had other keys": (6, Altered(chain, operators=others)),
        "nobody was registered": (6, Altered(chain, operators=lambda _=None: [])),
        "no evidence": (6, Altered(chain, deliveries_in=evidence())),
        "evidence of another kind": (6, Altered(chain, deliveries_in=evidence(one))),
        "evidence twice": (6, Altered(chain, deliveries_in=evidence(one, one))),
        "a flipped signature": (6, Altered(chain, deliveries_in=flipped)),
        "calldata of another call": (6, Altered(chain, deliveries_in=lambda _: [])),
        "sent to another contract": (6, Altered(chain, transaction_data=lambda t: (STRANGER, chain.transaction_data(t)[1]))),
        "no delivery": (7, Altered(chain, delivery_of=lambda _: None)),
        "a reverted transaction": (7, Altered(chain, delivery_of=lambda i: replace(chain.delivery_of(i), succeeded=False))),
        "a block that is not canonical": (
            7,
            Altered(chain, delivery_of=lambda i: replace(chain.delivery_of(i), block_hash=keccak256(b"x"))),
        ),
        "an event with another digest": (7, delivered(output_digest=keccak256(b"x"))),
        "an event of another model": (7, delivered(model_id=keccak256(b"x"))),
        "an event for somebody else": (7, delivered(requester=STRANGER)),
        "a failed callback": (7, delivered(callback=CallbackStatus.FAILED)),
        "other gas": (7, Altered(chain, delivery_of=lambda i: replace(chain.delivery_of(i), gas_used=1))),
        "another output in the contract": (
            7,
            Altered(chain, status_of=lambda i: replace(chain.status_of(i), output_digest=keccak256(b"x"))),
        ),
        "an anchor of another tree": (4, Altered(chain, anchors=lambda i: [replace(chain.anchors(i)[0], root=keccak256(b"x"))])),
        "an anchor beyond the log": (4, Altered(chain, anchors=lambda i: [replace(chain.anchors(i)[0], size=99)])),
    }


@pytest.mark.parametrize("name", [
    "no such model", "another manifest", "no event of the request", "an operator was not active", "operators had other keys",
    "nobody was registered", "no evidence", "evidence of another kind", "evidence twice", "a flipped signature", "calldata of another call",
    "sent to another contract", "no delivery", "a reverted transaction", "a block that is not canonical",
    "an event with another digest", "an event of another model", "an event for somebody else", "a failed callback", "other gas",
    "another output in the contract", "an anchor of another tree", "an anchor beyond the log",
])  # fmt: skip
def test_a_chain_that_does_not_say_what_was_logged(told: Told, name: str) -> None:
    history, calls, export = told
    answers = on_chain(history)
    assert len(answers) == 23
    step, chain = answers[name]
    fails(step, f"step {step}", view_of(export), chain, calls[0].request_id)


@pytest.mark.parametrize("is_delivered", [True, False])
def test_a_false_signature_of_an_off_chain_request(tmp_path: Path, is_delivered: bool) -> None:
    history = History(tmp_path)
    asked = history.ask_signed(b"x")
    false = replace(asked, signature=asked.signature[:40] + bytes([asked.signature[40] ^ 1]) + asked.signature[41:])
    claims = [history.answer(0, asked, b"y"), history.answer(1, false, b"y")]
    if is_delivered:
        history.deliver(asked, claims)
    fails(5, "signature of the request", history.view(), history.chain, asked.request_id)
    history.close()


@pytest.mark.parametrize("is_delivered", [True, False])
def test_a_wallet_that_changes_its_mind_fails_no_audit(tmp_path: Path, is_delivered: bool) -> None:
    """Whoever owns a contract account decides what it accepts as its signature, and whether it answers at all: also afterwards."""
    history = History(tmp_path)
    request = replace(history.ask_signed(b"x").request, requester=STRANGER, refund_to=STRANGER)
    request_id, signature = compute_request_id(request, history.domain), b"whatever the wallet takes"
    asked = Asked(request_id, request, b"x", signature)
    history.chain.deploy_wallet(STRANGER, frozenset({(request_id, signature)}))
    claims = [history.answer(0, asked, b"y"), history.answer(1, asked, b"y")]
    if is_delivered:
        history.deliver(asked, claims)
    history.chain.deploy_wallet(STRANGER, frozenset())

    def hang(*_: Any) -> bool:
        raise ChainError("out of gas")

    report = audit(history.view(), Altered(history.chain, is_valid_signature=hang), request_id)
    assert statuses(report)[5] is StepStatus.PASSED
    assert any("cannot be told" in remark for remark in report.remarks) is not is_delivered
    history.close()


def test_an_operator_who_left_in_the_block_of_the_delivery_still_counts(tmp_path: Path) -> None:
    history = History(tmp_path)
    asked = history.ask(b"x")
    claims = [history.answer(0, asked, b"y"), history.answer(1, asked, b"y")]
    history.deliver(asked, claims)
    delivered_in = history.chain.head.block.number

    def operators(number: int | None = None) -> list[Operator]:
        return [replace(o, is_active=number != delivered_in or o.index != 1) for o in history.chain.operators(number)]

    assert statuses(audit(history.view(), Altered(history.chain, operators=operators), asked.request_id))[6] is StepStatus.PASSED
    history.close()


def test_an_operator_who_changed_keys_in_the_block_of_the_delivery_still_counts(tmp_path: Path) -> None:
    history = History(tmp_path)
    asked = history.ask(b"x")
    history.deliver(asked, [history.answer(0, asked, b"y"), history.answer(1, asked, b"y")])
    delivered_in = history.chain.head.block.number

    def rotated(since: int) -> Altered:
        def operators(number: int | None = None) -> list[Operator]:
            is_new = number is None or number >= since
            return [replace(o, signer=STRANGER) if is_new and o.index == 1 else o for o in history.chain.operators(number)]

        return Altered(history.chain, operators=operators)

    assert statuses(audit(history.view(), rotated(delivered_in), asked.request_id))[6] is StepStatus.PASSED
    fails(6, "operator 1", history.view(), rotated(delivered_in - 1), asked.request_id)
    history.close()


def test_a_dead_chain_is_not_a_failed_audit(told: Told) -> None:
    history, calls, export = told

    def dead(*_: Any) -> None:
        raise ChainError("no answer")

    for name in ("anchors", "model", "operators", "delivery_of", "block"):
        with pytest.raises(ChainError):
            audit(view_of(export), Altered(history.chain, **{name: dead}), calls[0].request_id)
    with pytest.raises(ChainError):  # knows the receipt and not its transaction: contradicts itself
        audit(view_of(export), Altered(history.chain, transaction_data=lambda _: None), calls[0].request_id)


def test_bundles_of_the_export_parse(told: Told) -> None:
    data = bundle(told[2]).read_bytes()
    assert len(parse_bundle(data, view_of(told[2]).size)) == told[0].log.checkpoint.size


def test_a_copy_may_be_older_than_the_chain(told: Told, tmp_path: Path) -> None:
    """Only where the auditor says that it is one, and with a note; a forged copy fails as before."""
    history, calls, export = told
    records = read_bundles(export, view_of(export).size)
    forged = forge_directory(export, tmp_path / "log", records[:8])
    fails(4, "at least the", LogView(DirectorySource(forged), KEY.verifier), history.chain, calls[0].request_id)
    report = verify_log(LogView(DirectorySource(forged), KEY.verifier, is_copy=True), history.chain, LOG_ID, CHECKS)
    assert any("newer anchors" in remark and "ends at 8 entries" in remark for remark in report.remarks)
    false = [*records[:2], records[3], records[2], *records[4:8]]
    with pytest.raises(AuditFailed):
        verify_log(
            LogView(DirectorySource(forge_directory(export, tmp_path / "false", false)), KEY.verifier, is_copy=True),
            history.chain,
            LOG_ID,
            CHECKS,
        )


def forge_directory(export: Path, directory: Path, records: list[bytes]) -> Path:
    shutil.copytree(export, directory)
    forge(directory, records)
    return directory
