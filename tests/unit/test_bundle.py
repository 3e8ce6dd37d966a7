"""Which head of a log a bundle is made under: the cosigned one, where that covers what the bundle is about."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.audit import bundle_verify as script
from oracle.audit.blocks import BlockNotKnown, RawBlock
from oracle.audit.bundle import MAX_ANCHORS, Disclosed, Place, choose_head, make_bundle
from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.cosign import COSIGNATURE, COSIGNATURE_ML_DSA_44, WitnessSigner
from oracle.audit.note import SignerKey
from oracle.audit.tree import compute_root, hash_leaf
from oracle.errors import NoteRejected, ProofRejected
from oracle.records import Address, Anchor, Bytes32, EntryKind
from tests.twins.chain import ChainTwin
from tests.twins.logs import KEY
from tests.twins.plain_log import PlainLog

WITNESS = WitnessSigner("witness.example/one", bytes(range(50, 82)))
ADDRESS = Address("0x" + "aa" * 20)


def log_of(directory: Path, count: int) -> PlainLog:
    log = PlainLog(directory)
    for number in range(count):
        log.add(EntryKind.ERROR, float(number), error__type="test")
    return log.publish()


def witness(log: PlainLog, size: int, key: SignerKey = KEY) -> None:
    """What the log publishes when a witness has signed a head of `size`."""
    checkpoint = sign_checkpoint(size, compute_root([hash_leaf(data) for data in log.data[:size]]), key)
    text = checkpoint.note.partition("\n\n")[0] + "\n"
    (log.directory / "witnessed").write_text(checkpoint.note + WITNESS.cosign(text, 1_700_000_000).line())


def place_of(log: PlainLog, anchors: list[Anchor] | None = None) -> Place:
    chain: Any = ChainTwin()
    if anchors is not None:
        chain.anchors = lambda _log_id: anchors
    blocks: Any = None
    return Place(log.view(), chain, blocks, ADDRESS, None if anchors is None else ADDRESS)


def anchor(log: PlainLog, size: int) -> Anchor:
    root = compute_root([hash_leaf(data) for data in log.data[:size]])
    return Anchor(Bytes32(bytes(32)), size, root, 1, Bytes32(bytes(32)), Bytes32(bytes(32)))


def test_a_false_cosigned_head_is_refused(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log", 9)
    witness(log, 7, SignerKey(KEY.name, bytes(32)))
    with pytest.raises(Exception, match="checkpoint signature") as caught:
        choose_head(place_of(log), 0)
    assert isinstance(caught.value.__cause__, NoteRejected)
    fork = log_of(tmp_path / "fork", 3)
    fork.add(EntryKind.ERROR, 99.0, error__type="another")
    fork.publish()
    witness(fork, 4)
    (log.directory / "witnessed").write_bytes((fork.directory / "witnessed").read_bytes())
    with pytest.raises(ProofRejected):
        choose_head(place_of(log), 0)


@pytest.mark.parametrize(("size", "chosen"), [(4, 9), (5, 5), (9, 9)])
def test_the_cosigned_head_is_taken_where_it_covers_the_record(tmp_path: Path, size: int, chosen: int) -> None:
    log = log_of(tmp_path, 9)
    witness(log, size)
    files = make_bundle(place_of(log), 4, Disclosed())
    assert files["checkpoint"].decode().split("\n")[1] == str(chosen)
    given = script.Given(str(KEY.verifier), witnesses=(str(WITNESS.verifier),))
    verification = script.Verification(dict(files), given)
    if size == 4:
        with pytest.raises(script.Refuted, match="did not sign"):
            verification.run()
        return
    verification.run()
    assert any("the witness witness.example/one signed this checkpoint" in line for line in verification.lines())
    stranger = WitnessSigner("witness.example/two", bytes(range(32)))
    with pytest.raises(script.Refuted, match="did not sign"):
        script.Verification(dict(files), given._replace(witnesses=(str(stranger.verifier),))).run()
    unasked = script.Verification(dict(files), script.Given())
    unasked.run()
    assert any("1 other signature under the checkpoint" in line for line in unasked.lines())


@pytest.mark.parametrize("kind", [COSIGNATURE, COSIGNATURE_ML_DSA_44])
def test_both_kinds_of_witnesses_are_verified(tmp_path: Path, kind: int) -> None:
    log = log_of(tmp_path, 5)
    key = WitnessSigner("witness.example/both", bytes(range(7, 39)), kind)
    note = log.view().checkpoint.note
    line = key.cosign(note.partition("\n\n")[0] + "\n", 1_700_000_000).line()
    parsed = script.parse_key(str(key.verifier))
    assert script.verify_cosignature(script.parse_note((note + line).encode()), parsed) == 1_700_000_000
    name, _, encoded = line[2:-1].partition(" ")
    data = b64decode(encoded)
    for at in (4, 11, 12, 50, len(data) - 1):
        false = f"— {name} {b64encode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]).decode()}\n"
        with pytest.raises(script.Refuted, match="is false"):
            script.verify_cosignature(script.parse_note((note + false).encode()), parsed)


def test_a_key_that_the_reader_mistyped_is_not_the_bundles_fault(tmp_path: Path) -> None:
    files = make_bundle(place_of(log_of(tmp_path, 5)), 4, Disclosed())
    for given in (script.Given("log.example"), script.Given(witnesses=("nonsense",)), script.Given(witnesses=(str(KEY.verifier),))):
        with pytest.raises(script.Unusable, match="is no key that can be used here"):
            script.Verification(dict(files), given).run()


def test_an_anchor_that_only_the_newest_head_reaches_decides_for_it(tmp_path: Path) -> None:
    log = log_of(tmp_path, 9)
    witness(log, 6)
    assert choose_head(place_of(log, []), 4).size == 6
    assert choose_head(place_of(log, [anchor(log, 3)]), 4).size == 6
    assert choose_head(place_of(log, [anchor(log, 3), anchor(log, 8)]), 4).size == 9
    assert choose_head(place_of(log, [anchor(log, 5), anchor(log, 8)]), 4).size == 6


def test_without_a_cosigned_head_the_newest_is_taken(tmp_path: Path) -> None:
    assert choose_head(place_of(log_of(tmp_path, 9)), 4).size == 9


def test_of_very_many_anchors_the_covering_one_and_the_newest_are_taken(tmp_path: Path) -> None:
    class NoBlocks:
        def read_block(self, block_hash: Bytes32) -> RawBlock:
            raise BlockNotKnown("not here") from KeyError(block_hash.hex())

    log = log_of(tmp_path, 400)
    place = replace(place_of(log, [anchor(log, size) for size in range(1, 400)]), blocks=NoBlocks())
    files = make_bundle(place, 4, Disclosed())
    sizes = {int(path[8:-5]) for path in files if path.startswith("anchors/")}
    assert sizes == {5, *range(400 - (MAX_ANCHORS - 1), 400)}
    verification = script.Verification(dict(files), script.Given())
    verification.run()
    assert f"the log has {399 - MAX_ANCHORS} older anchors, which are not in this bundle" in verification.manifest["remarks"]
