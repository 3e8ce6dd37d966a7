"""A log beside its witnesses: what it gains from them, what it refuses because of them, and what no witness can do to it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from oracle.audit.checkpoint import open_checkpoint, sign_checkpoint
from oracle.audit.cosign import read_cosignatures
from oracle.audit.export import export_log
from oracle.audit.log import Log
from oracle.audit.note import SignerKey, parse
from oracle.audit.proof import verify_proof
from oracle.audit.server import make_proof
from oracle.audit.source import DirectorySource
from oracle.audit.store import CheckpointStore
from oracle.audit.submission import SIZE_TYPE
from oracle.audit.tiles import Tile
from oracle.audit.tree import compute_root, hash_leaf
from oracle.audit.view import LogView
from oracle.audit.witness import REFRESH_SECONDS, Witnessing
from oracle.audit.witness_store import CosignedStore, CosignedTree
from oracle.errors import LogRefused, PeerError, StoreError
from oracle.records import Bytes32, Checkpoint
from tests.twins.logs import KEY, START, entry, full_check, open_log, places
from tests.twins.witnesses import SIGNERS, SetClock, WitnessTwin, client_maker, policy_of, say


class Scene:
    """A log in a directory, witnesses beside it, and what brings the two together. `reopen` is a restart."""

    def __init__(self, directory: Path, threshold: str = "2", count: int = 3) -> None:
        self.directory = directory
        self.clock = SetClock(START)
        self.twins = [WitnessTwin(directory, signer, [KEY.verifier], self.clock) for signer in SIGNERS[:count]]
        self.policy = policy_of(self.twins, threshold, KEY.verifier)
        self.number = 0
        self.open()

    def open(self) -> None:
        self.log: Log = open_log(self.directory)
        self.source = DirectorySource(self.directory / "log")
        self.store = CosignedStore.open(places(self.directory).checkpoint_database)
        self.witnessing = Witnessing(
            self.log,
            self.source,
            self.directory / "log",
            KEY.verifier,
            self.policy,
            self.store,
            self.clock,
            client_maker(self.twins),
        )

    def close(self) -> None:
        self.witnessing.close()
        self.store.close()
        self.log.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def append(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.log.append("w", entry(self.number))

    def published(self) -> bytes:
        return self.source.read_checkpoint()

    def signed_by(self, note: bytes | None) -> list[str]:
        return sorted(c.key.name for c in read_cosignatures(note or b"", [s.verifier for s in SIGNERS]))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()
    for twin in made.twins:
        twin.close()


NAMES = [signer.name for signer in SIGNERS[:3]]


# ---- what it gains ----------------------------------------------------------------------------------------------------------------------
def test_an_empty_log_has_nothing_to_witness(scene: Scene) -> None:
    assert scene.witnessing.run_once() is None
    assert not any(twin.requests for twin in scene.twins)


def test_the_published_checkpoint_gains_the_cosignatures(scene: Scene) -> None:
    scene.append(3)
    done = scene.witnessing.run_once()
    assert done is not None
    assert (done.names, done.is_met, dict(done.failures)) == (tuple(NAMES), True, {})
    assert scene.signed_by(scene.published()) == NAMES
    assert open_checkpoint(scene.published(), KEY.verifier).size == 3
    assert scene.source.read_witnessed() == scene.published()
    full_check(scene.directory)


def test_only_the_logs_own_signature_is_sent_and_proofs_are_from_the_last_size(scene: Scene) -> None:
    scene.append(3)
    scene.witnessing.run_once()
    scene.append(4)
    scene.witnessing.run_once()
    assert scene.twins[0].requests == [(0, 0), (3, 4)]  # RFC 6962: PROOF(3, D[7]) = [c, d, g, l]


def test_nothing_is_asked_again_until_it_is_old(scene: Scene) -> None:
    scene.append(1)
    scene.witnessing.run_once()
    assert scene.witnessing.run_once() is None
    scene.clock.moment += timedelta(seconds=REFRESH_SECONDS)
    again = scene.witnessing.run_once()
    assert again is not None
    assert {c.time for c in read_cosignatures(scene.published(), [s.verifier for s in SIGNERS])} == {int(scene.clock.moment.timestamp())}


def test_a_proof_leads_to_the_witnessed_checkpoint(scene: Scene) -> None:
    scene.append(3)
    scene.witnessing.run_once()
    scene.append(1)
    old, new = make_proof(scene.log, scene.source, 1), make_proof(scene.log, scene.source, 3)
    assert verify_proof(old, KEY.verifier)[1].size == 3
    assert scene.signed_by(verify_proof(old, KEY.verifier)[1].note.encode()) == NAMES
    assert verify_proof(new, KEY.verifier)[1].size == 4
    assert scene.signed_by(verify_proof(new, KEY.verifier)[1].note.encode()) == []


def test_a_restart_keeps_what_was_gained(scene: Scene) -> None:
    scene.append(3)
    scene.witnessing.run_once()
    before = scene.published()
    scene.reopen()
    assert scene.published() == before
    (scene.directory / "log/witnessed").unlink()
    scene.witnessing.check()
    assert scene.source.read_witnessed() == before
    assert scene.log.witnessed is not None
    scene.append(2)
    scene.witnessing.run_once()
    assert scene.twins[0].requests[-1][0] == 3
    full_check(scene.directory)


def test_one_witness_down_and_the_quorum_is_met_or_not(scene: Scene) -> None:
    scene.append(2)
    scene.twins[0].is_down = True
    done = scene.witnessing.run_once()
    assert done is not None
    assert (done.names, done.is_met, list(done.failures)) == ((NAMES[1], NAMES[2]), True, [NAMES[0]])
    scene.twins[1].is_down = True
    scene.append(1)
    done = scene.witnessing.run_once()
    assert done is not None
    assert not done.is_met
    assert scene.signed_by(scene.published()) == [NAMES[2]]  # told as far as it goes
    assert open_checkpoint(scene.source.read_witnessed() or b"", KEY.verifier).size == 2
    scene.twins[1].is_down = False
    scene.clock.moment += timedelta(seconds=120)
    done = scene.witnessing.run_once()
    assert done is not None
    assert done.is_met
    assert scene.signed_by(scene.published()) == [NAMES[1], NAMES[2]]


def test_a_witness_that_is_down_is_left_alone_for_a_while(scene: Scene) -> None:
    scene.append(1)
    scene.twins[0].is_down = True
    scene.witnessing.run_once()
    scene.twins[0].is_down = False
    assert scene.witnessing.run_once() is None
    scene.clock.moment += timedelta(seconds=3)
    assert scene.witnessing.run_once() is not None
    assert scene.signed_by(scene.published()) == NAMES


def test_a_witness_that_is_down_for_days(scene: Scene) -> None:
    scene.append(1)
    scene.twins[0].is_down = True
    for peer in scene.witnessing._peers:
        peer.failures = 5000
    scene.witnessing.run_once()
    scene.twins[0].is_down = False
    scene.clock.moment += timedelta(seconds=61)
    scene.witnessing.run_once()
    assert scene.signed_by(scene.published()) == NAMES


def test_a_newer_checkpoint_is_not_overwritten_by_an_older_cosigned_one(scene: Scene) -> None:
    scene.append(3)

    def grow_first(request: httpx.Request) -> httpx.Response:
        scene.twins[0].answer = None
        scene.append(1)
        return scene.twins[0].honest(request)

    scene.twins[0].answer = grow_first
    scene.witnessing.run_once()
    assert open_checkpoint(scene.published(), KEY.verifier).size == 4
    assert scene.signed_by(scene.published()) == []
    assert open_checkpoint(scene.source.read_witnessed() or b"", KEY.verifier).size == 3
    scene.witnessing.run_once()
    assert scene.signed_by(scene.published()) == NAMES


def test_the_log_forgot_and_the_witness_says_where_it_is(scene: Scene) -> None:
    """The process ended between the witness's commit and ours: 409, the size it has, and a proof from there."""
    scene.append(3)
    for twin in scene.twins:
        twin.witness.add_checkpoint(b"old 0\n\n" + scene.published())
    scene.append(2)
    done = scene.witnessing.run_once()
    assert done is not None
    assert done.is_met
    assert [size for size, _ in scene.twins[0].requests] == [0, 3]


def test_a_witness_that_lost_its_memory_begins_again(scene: Scene, tmp_path: Path) -> None:
    scene.append(3)
    scene.witnessing.run_once()
    (tmp_path / "new").mkdir()
    fresh = WitnessTwin(tmp_path / "new", SIGNERS[0], [KEY.verifier], scene.clock)
    scene.twins[0].witness.close()
    scene.twins[0] = fresh
    scene.reopen()
    scene.append(1)
    done = scene.witnessing.run_once()
    assert done is not None
    assert done.names == tuple(NAMES)
    assert [size for size, _ in fresh.requests] == [3, 0]


def test_under_load_every_published_checkpoint_is_whole(scene: Scene) -> None:
    stop = threading.Event()

    def write(name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            scene.log.append(name, entry(number))

    scene.append(1)
    writers = [threading.Thread(target=write, args=(f"writer-{i}",)) for i in range(3)]
    for writer in writers:
        writer.start()
    seen = 0
    try:
        for _ in range(25):
            scene.witnessing.run_once()
            published = open_checkpoint(scene.published(), KEY.verifier)
            witnessed = open_checkpoint(scene.source.read_witnessed() or b"", KEY.verifier)
            assert seen <= witnessed.size <= published.size
            assert scene.signed_by(witnessed.note.encode()) == NAMES
            seen = witnessed.size
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    scene.witnessing.run_once()
    assert scene.signed_by(scene.published()) == NAMES
    full_check(scene.directory)


def test_what_failed_in_the_middle_publishes_nothing_more(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher whose write failed was replaced by another: a cosignature that comes in late must not bring its older checkpoint back."""
    scene.append(3)
    older, publisher = scene.log.checkpoint, scene.log._publisher
    assert publisher is not None
    advance = CheckpointStore.advance

    def commit_and_fail(store: CheckpointStore, old: Checkpoint, new: Checkpoint) -> None:
        advance(store, old, new)
        raise StoreError("the answer was lost") from OSError("twin")

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointStore, "advance", commit_and_fail)
        with pytest.raises(StoreError):
            scene.append(1)
    assert not publisher.attach(older)
    scene.append(1)
    assert not publisher.attach(older)
    assert not scene.log.attach(older)
    assert open_checkpoint(scene.published(), KEY.verifier).size == 5
    scene.witnessing.run_once()
    assert scene.signed_by(scene.published()) == NAMES


# ---- what it refuses ---------------------------------------------------------------------------------------------------------------------
def copy(scene: Scene, target: Path) -> None:
    """A backup of everything the log has: files, entries, checkpoints, keys."""
    shutil.copytree(scene.directory, target, ignore=shutil.ignore_patterns("w?.example.*", "backup"))


def restore(scene: Scene, backup: Path) -> None:
    shutil.rmtree(scene.directory / "log")
    for file in scene.directory.glob("*.sqlite*"):
        if not file.name.startswith("w"):
            file.unlink()
    shutil.copytree(backup, scene.directory, dirs_exist_ok=True)


def test_everything_was_restored_from_a_backup_and_the_witness_is_ahead(scene: Scene) -> None:
    """Even the database that must never be restored was: only the witness can tell."""
    scene.append(3)
    scene.witnessing.run_once()
    scene.close()
    copy(scene, scene.directory / "backup")
    scene.open()
    scene.append(4)
    scene.witnessing.run_once()
    scene.close()
    restore(scene, scene.directory / "backup")
    scene.open()
    scene.witnessing.check()  # nothing that the log itself has is wrong
    scene.append(1)
    with pytest.raises(LogRefused, match="own signature"):
        scene.witnessing.run_once()
    with pytest.raises(LogRefused):
        scene.log.append("w", entry(99))
    with pytest.raises(LogRefused):
        scene.witnessing.run_once()


def test_a_restored_log_that_grew_past_its_witness_is_a_fork(scene: Scene) -> None:
    scene.append(3)
    scene.witnessing.run_once()
    scene.close()
    copy(scene, scene.directory / "backup")
    scene.open()
    scene.append(2)
    scene.witnessing.run_once()
    scene.close()
    restore(scene, scene.directory / "backup")
    scene.open()
    scene.number = 1000  # other entries in the same places
    scene.append(6)
    with pytest.raises(LogRefused, match="no extension"):
        scene.witnessing.run_once()
    assert scene.log.refusal is not None


def test_a_fork_of_the_same_size(scene: Scene) -> None:
    scene.append(3)
    forged = sign_checkpoint(3, compute_root([hash_leaf(b"x"), hash_leaf(b"y"), hash_leaf(b"z")]), KEY)
    scene.twins[1].witness.add_checkpoint(b"old 0\n\n" + forged.note.encode())
    with pytest.raises(LogRefused, match="no extension"):
        scene.witnessing.run_once()


def test_only_the_entries_were_restored(scene: Scene) -> None:
    """The tree a witness cosigned is in the database of the checkpoint: found before anything is asked."""
    scene.append(3)
    scene.store.remember(KEY.name, CosignedTree(str(SIGNERS[0].verifier), 9, Bytes32(bytes(32)), 1))
    with pytest.raises(LogRefused, match="at least the 9 entries"):
        scene.witnessing.check()
    assert scene.log.refusal is not None


def test_another_tree_at_the_cosigned_size(scene: Scene) -> None:
    scene.append(3)
    scene.store.remember(KEY.name, CosignedTree(str(SIGNERS[0].verifier), 2, Bytes32(bytes(32)), 1))
    with pytest.raises(LogRefused, match="another log"):
        scene.witnessing.check()


def test_what_is_remembered_does_not_go_back(scene: Scene) -> None:
    scene.store.remember(KEY.name, CosignedTree("w", 9, Bytes32(bytes(32)), 1))
    scene.store.remember(KEY.name, CosignedTree("w", 5, Bytes32(bytes(32)), 2))
    assert [tree.size for tree in scene.store.trees(KEY.name)] == [9]
    scene.store.witness(sign_checkpoint(9, Bytes32(bytes(32)), KEY))
    scene.store.witness(sign_checkpoint(5, Bytes32(bytes(32)), KEY))
    assert scene.store.witnessed(KEY.name).size == 9  # type: ignore[union-attr]


def test_a_witness_ahead_by_its_word_alone(scene: Scene) -> None:
    scene.append(3)
    scene.twins[0].answer = say(409, "77\n", SIZE_TYPE)
    with pytest.raises(LogRefused, match="by its word"):
        scene.witnessing.run_once()


# ---- what no witness can do to it --------------------------------------------------------------------------------------------------------
TEXT = "text/plain"
NONSENSE = {
    "not known": say(404, "who?"),
    "forbidden": say(403, "no"),
    "malformed": say(400, "what?"),
    "too large": say(413, "less"),
    "too often": say(429, "later"),
    "its own trouble": say(500, "sorry"),
    "redirect": say(302, ""),
    "nothing": say(200, ""),
    "no line": say(200, "hello\n"),
    "no newline": say(200, SIGNERS[0].cosign("x\n", 5).line().rstrip("\n")),
    "of another text": say(200, SIGNERS[0].cosign("x\n", 5).line()),
    "of another witness": say(200, SIGNERS[4].cosign("x\n", 5).line()),
    "a 409 of another type": say(409, "77\n", TEXT),
    "a 409 without number": say(409, "many\n", SIZE_TYPE),
    "a 409 with zeroes": say(409, "077\n", SIZE_TYPE),
    "a negative 409": say(409, "-1\n", SIZE_TYPE),
    "a 409 beyond any tree": say(409, f"{1 << 63}\n", SIZE_TYPE),
    "the same smaller size for ever": say(409, "1\n", SIZE_TYPE),
    "bytes without end": say(200, b"x" * (1 << 21)),
    "a proof it does not like from nothing": say(422, "no"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_a_failure_of_that_witness_alone(scene: Scene, name: str) -> None:
    scene.append(3)
    scene.twins[0].answer = NONSENSE[name]
    done = scene.witnessing.run_once()
    assert done is not None
    assert done.names == (NAMES[1], NAMES[2])
    assert list(done.failures) == [NAMES[0]]
    assert done.failures[NAMES[0]]
    assert scene.log.refusal is None
    scene.append(1)
    assert scene.signed_by(scene.source.read_witnessed()) == [NAMES[1], NAMES[2]]


def test_a_cosignature_from_the_future(scene: Scene) -> None:
    scene.append(3)
    text = parse(scene.published()).text
    scene.twins[0].answer = say(200, SIGNERS[0].cosign(text, int(START.timestamp()) + 3600).line())
    done = scene.witnessing.run_once()
    assert done is not None
    assert "ahead" in done.failures[NAMES[0]]


def test_a_cosignature_of_another_origin(scene: Scene) -> None:
    scene.append(3)
    root = scene.log.checkpoint.root
    other = sign_checkpoint(3, root, SignerKey("other.example/log", bytes(32)))
    scene.twins[0].answer = say(200, SIGNERS[0].cosign(parse(other.note.encode()).text, int(START.timestamp())).line())
    done = scene.witnessing.run_once()
    assert done is not None
    assert "false" in done.failures[NAMES[0]]


def test_a_witness_that_denies_what_it_cosigned_stops_nobody(scene: Scene) -> None:
    scene.append(3)
    scene.witnessing.run_once()
    scene.append(1)
    scene.twins[0].answer = say(422, "I never saw that")
    done = scene.witnessing.run_once()
    assert done is not None
    assert list(done.failures) == [NAMES[0]]
    assert scene.log.refusal is None
    assert done.is_met


def test_strange_lines_beside_the_cosignature_are_left_out(scene: Scene) -> None:
    scene.append(3)
    text = parse(scene.published()).text
    time = int(START.timestamp())
    scene.twins[0].answer = say(200, SIGNERS[4].cosign(text, time).line() + SIGNERS[0].cosign(text, time).line())
    scene.witnessing.run_once()
    assert scene.signed_by(scene.published()) == NAMES


def test_a_failing_database_is_the_worlds(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.append(3)

    def fail(*_arguments: object) -> None:
        raise PeerError("gone")

    monkeypatch.setattr(scene.store, "remember", fail)
    done = scene.witnessing.run_once()
    assert done is not None
    assert not done.names
    assert scene.signed_by(scene.published()) == []


# ---- copies -----------------------------------------------------------------------------------------------------------------------------
def test_a_copy_has_what_was_witnessed_though_showing_its_content_makes_the_log_go_on(scene: Scene, tmp_path: Path) -> None:
    class Growing(DirectorySource):
        """Whatever is read for the copy is a record itself, and witnessed at once."""

        is_copying = False

        def read_tile(self, tile: Tile) -> bytes:
            found = super().read_tile(tile)
            if self.is_copying:
                scene.append(1)
                scene.witnessing.run_once()
            return found

    scene.append(3)
    scene.witnessing.run_once()
    source = Growing(scene.directory / "log")
    view, source.is_copying = LogView(source, KEY.verifier), True
    assert export_log(view, tmp_path / "copy") == 3
    assert open_checkpoint(source.read_witnessed() or b"", KEY.verifier).size > 3
    kept = DirectorySource(tmp_path / "copy").read_witnessed()
    assert open_checkpoint(kept or b"", KEY.verifier).size == 3
    assert scene.signed_by(kept) == NAMES
