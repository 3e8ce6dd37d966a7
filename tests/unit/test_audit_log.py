"""The sequencer: order, idempotence, recovery after every failure, and every reason to refuse."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.content import Content
from oracle.audit.log import Log
from oracle.audit.note import SignerKey
from oracle.audit.store import CheckpointStore
from oracle.audit.tree import hash_leaf, sha256
from oracle.encoding import keccak256, to_hex
from oracle.errors import EntryRejected, LogRefused, MalformedInput, StoreError, TooLarge
from oracle.records import Bytes32, Entry, EntryKind
from tests.twins.logs import KEEPER, KEY, check_secret, entry, full_check, open_log, places, read_bundles, secret_entry
from tests.twins.saboteur import Saboteur


def test_an_acknowledged_entry_is_in_the_published_tree(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    first, second = log.append("node-1", entry(1)), log.append("node-2", entry(2))
    assert (first.index, first.tree_size, second.index, second.tree_size) == (0, 1, 1, 2)
    records = full_check(tmp_path)  # before close: published means on disk now
    assert [r["test.number"] for r in records] == [1, 2]
    assert hash_leaf(read_bundles(tmp_path / "log", 2)[1]) == second.leaf_hash
    log.close()


def test_records_carry_the_logs_stamps(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append("node-1", entry(1))
    log.append("node-1", entry(2))
    log.close()
    one, two = full_check(tmp_path)
    assert one["audit.writer"] == two["audit.writer"] == "node-1"
    assert (one["audit.sequence.writer"], two["audit.sequence.writer"]) == (1, 2)
    assert one["audit.record"] == "affidavit/record@2"
    assert one["audit.log.time"] < two["audit.log.time"]


def test_records_of_a_call_are_linked_also_within_a_batch(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    futures = [log.submit("node-1", entry(i, call=i % 2)) for i in range(6)]
    places_of = [f.result() for f in futures]
    log.close()
    records = full_check(tmp_path)
    for i in (0, 1):
        assert "audit.call.previous_index" not in records[i]
    for i in range(2, 6):
        assert records[i]["audit.call.previous_index"] == i - 2
        assert records[i]["audit.call.previous_leaf"] == to_hex(places_of[i - 2].leaf_hash)


def test_indices_have_no_gaps_under_many_writers(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    found: dict[tuple[int, int], int] = {}

    def write(writer: int) -> None:
        for number in range(40):
            found[writer, number] = log.append(f"w{writer}", entry(number)).index

    threads = [threading.Thread(target=write, args=(w,)) for w in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(found.values()) == list(range(320))
    records = full_check(tmp_path)
    assert all(records[index]["test.number"] == number for (_, number), index in found.items())
    assert not (tmp_path / "log/tile/0/000.p").exists()  # partial tiles of a full one are gone


def test_whoever_stops_waiting_does_not_stop_the_log(tmp_path: Path) -> None:
    """A client that hangs up has its request cancelled; its entry was taken and stays, and the sequencer goes on."""
    log = open_log(tmp_path)
    futures = [log.submit("w", entry(i)) for i in range(50)]
    assert not any(f.cancel() for f in futures)
    assert log.append("w", entry(50)).index == 50
    log.close()


# ---- idempotence --------------------------------------------------------------------------------------------------------------------
def test_one_key_is_one_entry(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    first = log.append("node-1", entry(1), "receipt:1")
    again = log.append("node-1", replace(entry(1), time="2026-11-22T11:00:00.000000Z"), "receipt:1")
    assert (again.index, again.leaf_hash) == (first.index, first.leaf_hash)
    with pytest.raises(LogRefused, match="receipt:1"):
        log.append("node-1", entry(2), "receipt:1")
    assert log.append("node-2", entry(1), "receipt:1").index == 1  # another writer's key is another key
    log.close()
    log = open_log(tmp_path)
    assert log.append("node-1", entry(1), "receipt:1").index == 0
    log.close()
    assert len(full_check(tmp_path)) == 2


def test_one_key_in_one_batch(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    futures = [log.submit("node-1", entry(1), "k") for _ in range(50)] + [log.submit("node-1", entry(2), "k")]
    assert {f.result().index for f in futures[:-1]} == {0}
    with pytest.raises(LogRefused):
        futures[-1].result()
    assert log.append("node-1", entry(3)).index == 1  # a refused entry does not stop the log
    log.close()
    assert len(full_check(tmp_path)) == 2


# ---- the door -----------------------------------------------------------------------------------------------------------------------
GOOD = entry(1)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (replace(GOOD, time="yesterday"), EntryRejected),
        (replace(GOOD, time="2026-11-22T10:00:00Z"), EntryRejected),
        (replace(GOOD, time="2026-13-22T10:00:00.000000Z"), EntryRejected),
        (replace(GOOD, time="2026-02-30T10:00:00.000000Z"), EntryRejected),
        (replace(GOOD, fields={}), EntryRejected),
        (entry(1, **{"audit.writer": "node-2"}), EntryRejected),
        (entry(1, **{"audit.sequence.writer": 7}), EntryRejected),
        (entry(1, **{"audit.call.previous_index": 7}), EntryRejected),
        (entry(1, **{"audit.log.time": "x"}), EntryRejected),
        (entry(1, **{"Upper.case": 1}), EntryRejected),
        (entry(1, nodots=1), EntryRejected),
        (entry(1, **{"a.b": 1.5}), EntryRejected),
        (entry(1, **{"a.b": None}), EntryRejected),
        (entry(1, **{"a.b": {"nested": 1}}), EntryRejected),
        (entry(1, **{"a.b": [1]}), EntryRejected),
        (entry(1, **{"a.b": [["x"]]}), EntryRejected),
        (entry(1, **{"a.b": 1 << 53}), EntryRejected),
        (entry(1, **{"a.b": "\ud800"}), EntryRejected),
        (entry(1, **{"a.b": "x" * 8193}), EntryRejected),
        (entry(1, **{f"a.b{i}": 1 for i in range(130)}), EntryRejected),
        (entry(1, **{f"a.b{i}": "x" * 8000 for i in range(9)}), TooLarge),
        (entry(1, **{"audit.request_id": "0x12"}), MalformedInput),
        (entry(1, **{"audit.request_id": 7}), MalformedInput),
        (replace(GOOD, kind=EntryKind.RESULT), EntryRejected),
        (replace(GOOD, bodies={"audit.input_digest": b"x"}), EntryRejected),
        (
            entry(1) and Entry(EntryKind.ERROR, GOOD.time, GOOD.fields | {"a.digest": to_hex(keccak256(b"y"))}, {"a.digest": b"x"}),
            EntryRejected,
        ),
        (Entry(EntryKind.ERROR, GOOD.time, GOOD.fields | {"a.digest": to_hex(keccak256(b""))}, {"a.digest": bytes(1 << 21)}), TooLarge),
        (replace(GOOD, bodies={f"a.b{i}": b"" for i in range(17)}), TooLarge),
    ],
)
def test_bad_entries_leave_nothing(tmp_path: Path, bad: Entry, error: type[Exception]) -> None:
    log = open_log(tmp_path)
    with pytest.raises(error):
        log.append("node-1", bad)
    assert log.entries.size() == 0
    log.close()


@pytest.mark.parametrize(
    ("writer", "key"), [("", None), ("a b", None), ("A", None), ("x" * 65, None), ("w", ""), ("w", "x" * 201), ("w", "é")]
)
def test_bad_names_and_keys(tmp_path: Path, writer: str, key: str | None) -> None:
    log = open_log(tmp_path)
    with pytest.raises(EntryRejected):
        log.append(writer, entry(1), key)
    log.close()


def test_bodies_are_kept_encrypted_beside_their_record(tmp_path: Path) -> None:
    body, digests = b"a confidential input", [to_hex(keccak256(b"e0")), to_hex(keccak256(b"e1"))]
    fields: dict[str, Any] = GOOD.fields | {"audit.input_digest": to_hex(keccak256(body)), "audit.evidence_digests": digests}
    log = open_log(tmp_path)
    for _ in range(2):
        log.append("w", Entry(EntryKind.ERROR, GOOD.time, fields, {"audit.input_digest": body, "audit.evidence_digests[1]": b"e1"}))
    for index in range(2):
        assert log.custody.content(index) == Content(None, {"audit.input_digest": body, "audit.evidence_digests[1]": b"e1"})
    log.close()
    assert body not in read_bundles(tmp_path / "log", 1)[0]
    assert not any(body in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()), "only ciphertexts lie on the disk"


# ---- failures of the world ------------------------------------------------------------------------------------------------------------
def prepare(directory: Path) -> None:
    """A log of 254 entries: two more fill its first tile, where most files are written."""
    log = open_log(directory)
    [f.result() for f in [log.submit("w", entry(i), f"k{i}") for i in range(254)]]
    log.close()


def sabotage(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int | None) -> int:
    """Appends three entries one by one with a failure at one effect, retrying as a client would; checks everything."""
    shutil.copytree(prepared, tmp_path)
    log = open_log(tmp_path)
    with monkeypatch.context() as patch:
        saboteur = Saboteur(patch, fail_at)
        try:
            saboteur.is_armed = True
            failures = 0
            for number in range(254, 257):
                made = secret_entry(number, person="a person")
                try:
                    log.append("w", made, f"k{number}")
                except StoreError:
                    failures += 1
                    assert log.append("w", made, f"k{number}").index == number
            saboteur.is_armed = False
            log.append("w", entry(257), "k257")
        finally:
            saboteur.leave()
            log.close()
    assert failures == (0 if fail_at is None else 1)
    assert [r["test.number"] for r in full_check(tmp_path)] == list(range(258))
    log = open_log(tmp_path)
    assert log.checkpoint.size == 258
    for number in range(254, 257):
        check_secret(log, number, number)
    log.close()
    return saboteur.count


def test_a_fault_at_every_effect_of_an_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each open, write, fsync, rename and commit fails once: the append fails loudly, its retry finds its place, nothing is lost."""
    prepare(tmp_path / "prepared")
    effects = sabotage(tmp_path / "prepared", tmp_path / "whole", monkeypatch, None)
    assert effects > 30
    for fail_at in range(1, effects + 1):
        directory = tmp_path / str(fail_at)
        try:
            sabotage(tmp_path / "prepared", directory, monkeypatch, fail_at)
        except AssertionError as error:
            raise AssertionError(f"fault at effect {fail_at} of {effects}: {error}") from error
        shutil.rmtree(directory)


# ---- refusals -----------------------------------------------------------------------------------------------------------------------
def fill(directory: Path, count: int = 3) -> None:
    log = open_log(directory)
    [f.result() for f in [log.submit("w", entry(i)) for i in range(count)]]
    log.close()


def refuses(directory: Path, what: str, key: SignerKey = KEY) -> None:
    with pytest.raises(LogRefused, match=what):
        open_log(directory, key)


def test_a_second_sequencer_on_the_same_directory(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    refuses(tmp_path, "another process")
    log.append("w", entry(1))
    log.close()
    open_log(tmp_path).close()


def test_a_second_sequencer_on_a_copy_of_the_directory(tmp_path: Path) -> None:
    """The lock is another, the checkpoint database is the same: the compare-and-swap lets one of them go on."""
    fill(tmp_path)
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    shutil.copy(tmp_path / "entries.sqlite", tmp_path / "copy.sqlite")
    one = open_log(tmp_path)
    there = replace(places(tmp_path), directory=tmp_path / "copy", database=f"sqlite:///{tmp_path}/copy.sqlite")
    two = Log.open(there, KEY, KEEPER, one._clock)
    one.append("w", entry(10))
    with pytest.raises(LogRefused, match="second sequencer"):
        two.append("w", entry(20))
    with pytest.raises(LogRefused, match="second sequencer"):  # and for good
        two.append("w", entry(21))
    assert two.refusal is not None
    one.append("w", entry(11))
    one.close()
    two.close()
    assert [r["test.number"] for r in full_check(tmp_path)] == [0, 1, 2, 10, 11]


def test_a_restored_backup_stops_loudly(tmp_path: Path) -> None:
    fill(tmp_path)
    backup = tmp_path / "backup"
    backup.mkdir()
    shutil.copy(tmp_path / "entries.sqlite", backup)
    shutil.copytree(tmp_path / "log", backup / "log")
    fill(tmp_path)
    shutil.copy(backup / "entries.sqlite", tmp_path)
    refuses(tmp_path, "backup")
    shutil.rmtree(tmp_path / "log")
    shutil.copytree(backup / "log", tmp_path / "log")
    refuses(tmp_path, "tile|files")


def test_a_restored_checkpoint_database_is_behind_what_was_published(tmp_path: Path) -> None:
    fill(tmp_path)
    shutil.copy(tmp_path / "checkpoint.sqlite", tmp_path / "old")
    fill(tmp_path)
    shutil.copy(tmp_path / "old", tmp_path / "checkpoint.sqlite")
    refuses(tmp_path, "published")
    (tmp_path / "checkpoint.sqlite").unlink()
    refuses(tmp_path, "published")


def test_a_database_of_another_log(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    log = open_log(tmp_path / "b")
    [log.append("w", entry(100 + i)) for i in range(3)]
    log.close()
    shutil.copy(tmp_path / "b/entries.sqlite", tmp_path / "a/entries.sqlite")
    refuses(tmp_path / "a", "entries of the last tile")


def test_another_key_or_root(tmp_path: Path) -> None:
    fill(tmp_path)
    refuses(tmp_path, "this log's key", SignerKey(KEY.name, bytes(32)))
    store = CheckpointStore.open(places(tmp_path).checkpoint_database)
    last = store.load(KEY.name)
    assert last is not None
    store.advance(last, sign_checkpoint(3, Bytes32(sha256(b"fork")), KEY))
    store.close()
    refuses(tmp_path, "root")


@pytest.mark.parametrize("path", ["tile/0/000.p/3", "tile/entries/000.p/3"])
def test_a_changed_or_missing_file_of_the_edge(tmp_path: Path, path: str) -> None:
    fill(tmp_path)
    file = tmp_path / "log" / path
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refuses(tmp_path, "root|entries|tile|bundle")
    file.unlink()
    refuses(tmp_path, "tile")
    file.write_bytes(data)
    open_log(tmp_path).close()


def test_a_tile_that_is_there_with_other_bytes_stops_the_log(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append("w", entry(0))
    (tmp_path / "log/tile/0/000.p/2").write_bytes(bytes(64))
    with pytest.raises(LogRefused, match="once written"):
        log.append("w", entry(1))
    with pytest.raises(LogRefused):
        log.append("w", entry(2))
    log.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_was_sequenced_and_not_published_is_published_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    log.append("w", entry(0))

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt  # the process ends between the database and the tiles

    monkeypatch.setattr("oracle.audit.publisher.Publisher.publish", stop)
    with pytest.raises(BaseException):  # noqa: B017, PT011
        log.append("w", entry(1), "k")
    monkeypatch.undo()
    log.close()
    assert len(full_check(tmp_path)) == 1
    log = open_log(tmp_path)
    assert len(full_check(tmp_path)) == 2
    assert log.append("w", entry(1), "k").index == 1
    log.close()


def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.close()
    with pytest.raises(LogRefused, match="closed"):
        log.append("w", entry(1))
