"""A lying server against the verifiers: what it shows is false in one way each time, and is refused with the reason.

First the lies about a log as a whole, told over real HTTP to the client that auditors use; then malformed bytes of every format by the
thousand. (Policies and receipts by the thousand are with their own tests; the monitor's lies with the monitor's.)
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator

import httpx
import pytest

from oracle.audit.checkpoint import open_checkpoint, parse_checkpoint, sign_checkpoint
from oracle.audit.cosign import WitnessSigner, read_cosignatures
from oracle.audit.note import Note, NoteSignature, SignerKey, encode_base64, parse, parse_vkey, sign, verify
from oracle.audit.policy import parse_policy
from oracle.audit.proof import LogProof, verify_proof, write_proof
from oracle.audit.record import parse_record
from oracle.audit.source import MAX_ANSWER_BYTES, HttpSource
from oracle.audit.submission import Submission, parse_cosignature_lines, parse_submission, write_submission
from oracle.audit.tiles import encode_bundle, parse_bundle, parse_path, parse_tile, tiles_of
from oracle.audit.tree import (
    EMPTY_ROOT,
    compute_consistency_proof,
    compute_inclusion_proof,
    compute_root,
    fold_consistency,
    hash_leaf,
    verify_consistency,
    verify_inclusion,
)
from oracle.audit.verified import VerifiedTiles
from oracle.audit.view import LogView
from oracle.errors import AuditFailed, EntryRejected, MalformedInput, NoteRejected, PeerError, ProofRejected, Rejected
from oracle.records import Anchor, Bytes32, Checkpoint
from tests.twins.logs import KEY
from tests.twins.mutations import BYTES, LINES, mutations
from tests.twins.paper_log import PaperLog, make_record

OTHER = SignerKey("other.example/log", KEY.seed)
WITNESS = WitnessSigner("witness.example/w", bytes(range(50, 82)))
POLICY = parse_policy(f"witness w {WITNESS.verifier}\nquorum w\n".encode())


def serve(log: PaperLog, **answers: httpx.Response) -> HttpSource:
    """A log on paper behind the client auditors use. `answers` replace single paths."""

    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.path.lstrip("/")
        if path in answers:
            return answers[path]
        try:
            if path == "checkpoint":
                return httpx.Response(200, content=log.read_checkpoint())
            if path == "witnessed":
                return httpx.Response(200, content=log.witnessed) if log.witnessed else httpx.Response(404)
            return httpx.Response(200, content=log.read_tile(parse_path(path)))
        except (Rejected, IndexError):
            return httpx.Response(404)

    return HttpSource("http://log.example", transport=httpx.MockTransport(handle))


def read_all(source: HttpSource) -> int:
    """As an auditor: opens the checkpoint, and reads every entry, each held against it."""
    view = LogView(source, KEY.verifier)
    return sum(parse_record(data) is not None for _, _, data in VerifiedTiles(view).leaves(0))


def forked(size: int, same: int) -> PaperLog:
    """A log that is another from entry `same` on."""
    return PaperLog([make_record(n) if n < same else make_record(n, test__forked=True) for n in range(size)])


# ---- the log as a whole ---------------------------------------------------------------------------------------------------------------
def test_the_honest_one_is_believed() -> None:
    log = PaperLog.of(300)
    assert read_all(serve(log)) == 300
    view = LogView(serve(log), KEY.verifier)
    for size in (0, 1, 128, 256, 299, 300):
        view.verify_extends(parse_checkpoint(log.note(size)))


KEPT = PaperLog.of(300)


def kept(size: int) -> Checkpoint:
    return parse_checkpoint(KEPT.note(size))


def shown(records: list[bytes], size: int) -> PaperLog:
    log = PaperLog(records)
    log.size = size
    return log


LIES: dict[str, tuple[PaperLog, int]] = {
    "fork of its last entry": (forked(300, 299), 300),
    "fork of its first entry": (forked(300, 0), 300),
    "fork that grew": (forked(500, 150), 300),
    "fork at a tile's edge": (forked(512, 256), 300),
    "rollback": (shown(KEPT.records, 299), 300),
    "rollback to nothing": (PaperLog([]), 300),
    "truncated tail": (PaperLog(KEPT.records[:256]), 300),
    "truncated tail with others in its place": (PaperLog(forked(300, 256).records), 300),
    "same size with another root": (forked(300, 150), 300),
    "two entries exchanged": (PaperLog([*KEPT.records[:10], KEPT.records[11], KEPT.records[10], *KEPT.records[12:]]), 300),
    "one entry left out": (PaperLog([*KEPT.records[:10], *KEPT.records[11:], make_record(300)]), 299),
    "one entry twice": (PaperLog([*KEPT.records[:10], KEPT.records[9], *KEPT.records[10:]]), 300),
}


@pytest.mark.parametrize("name", LIES)
def test_against_a_kept_checkpoint(name: str) -> None:
    log, size = LIES[name]
    view = LogView(serve(log), KEY.verifier)
    with pytest.raises(ProofRejected) as caught:
        view.verify_extends(kept(size))
    assert str(caught.value)


@pytest.mark.parametrize("name", LIES)
def test_against_an_anchor(name: str) -> None:
    log, size = LIES[name]
    view = LogView(serve(log), KEY.verifier)
    anchor = Anchor(Bytes32(bytes(32)), size, kept(size).root, 7, Bytes32(bytes(32)), Bytes32(bytes(32)))
    with pytest.raises(ProofRejected):
        view.verify_anchor(anchor)


def test_a_stale_checkpoint_of_the_witnesses() -> None:
    """What the log calls witnessed is true and old: the verdict says how far it reaches, and no further."""
    log = PaperLog.of(300)
    note = log.note(100)
    log.witnessed = note + WITNESS.cosign(parse(note).text, 1000).line().encode()
    verdict = LogView(serve(log), KEY.verifier, POLICY, 2000.0).witnesses
    assert verdict is not None
    assert (verdict.is_met, verdict.size, verdict.time) == (True, 100, 1000)
    assert "the newest 200 are not witnessed yet" in verdict.text


def cosigned(log: PaperLog, size: int, of: bytes | None = None, time: int = 1000) -> bytes:
    return log.note(size) + WITNESS.cosign(parse(of or log.note(size)).text, time).line().encode()


@pytest.mark.parametrize("place", ["checkpoint", "witnessed"])
@pytest.mark.parametrize("lie", ["of another size", "of another origin", "of another root", "of the future", "plain", "malleable"])
def test_false_cosignatures(place: str, lie: str) -> None:
    log = PaperLog.of(30)
    note = {
        "of another size": lambda: cosigned(log, 30, log.note(29)),
        "of another origin": lambda: cosigned(log, 30, PaperLog(log.records, OTHER).note()),
        "of another root": lambda: cosigned(log, 30, forked(30, 5).note()),
        "of the future": lambda: cosigned(log, 30, time=1 << 40),
        "plain": lambda: log.note() + _plain_line(log.note()),
        "malleable": lambda: _malleable(cosigned(log, 30)),
    }[lie]()
    if place == "checkpoint":
        log.answers["checkpoint"] = note
    else:
        log.witnessed = note
    with pytest.raises(AuditFailed) as caught:
        LogView(serve(log), KEY.verifier, POLICY, 2000.0)
    assert caught.value.step == 3
    assert "cosignature" in str(caught.value)


def _plain_line(note: bytes) -> bytes:
    plain = SignerKey(WITNESS.name, WITNESS.seed).sign(parse(note).text)
    return NoteSignature(WITNESS.name, WITNESS.verifier.key_id, (1000).to_bytes(8, "big") + plain.data).line().encode()


def _malleable(note: bytes) -> bytes:
    """s + L in the place of s."""
    whole = parse(note)
    line = whole.signatures[1]
    order = (1 << 252) + 27742317777372353535851937790883648493
    s = (int.from_bytes(line.data[40:], "little") + order).to_bytes(32, "little")
    return Note(whole.text, (whole.signatures[0], NoteSignature(line.name, line.key_id, line.data[:40] + s))).encode()


def test_the_logs_own_malleable_signature() -> None:
    log = PaperLog.of(3)
    whole = parse(log.note())
    order = (1 << 252) + 27742317777372353535851937790883648493
    data = whole.signatures[0].data
    changed = data[:32] + (int.from_bytes(data[32:], "little") + order).to_bytes(32, "little")
    log.answers["checkpoint"] = Note(whole.text, (NoteSignature(KEY.name, KEY.verifier.key_id, changed),)).encode()
    with pytest.raises(AuditFailed, match="false"):
        LogView(serve(log), KEY.verifier)


WRONG_CHECKPOINTS: dict[str, Callable[[], bytes]] = {
    "wrong origin, the log's key": lambda: PaperLog(KEPT.records, OTHER).note(),
    "wrong origin under the right name": lambda: sign(parse(PaperLog(KEPT.records, OTHER).note()).text, [KEY]).encode(),
    "another key under the right name": lambda: PaperLog(KEPT.records, SignerKey(KEY.name, bytes(32))).note(),
    "unsigned": lambda: (parse(KEPT.note()).text + "\n").encode(),
    "size with a leading zero": lambda: sign(parse(KEPT.note()).text.replace("\n300\n", "\n0300\n"), [KEY]).encode(),
    "size with a sign": lambda: sign(parse(KEPT.note()).text.replace("\n300\n", "\n+300\n"), [KEY]).encode(),
    "size in other digits": lambda: sign(parse(KEPT.note()).text.replace("\n300\n", "\n٣٠٠\n"), [KEY]).encode(),
    "root in other base64": lambda: sign(_loose_root(parse(KEPT.note()).text), [KEY]).encode(),
    "root without padding": lambda: sign(parse(KEPT.note()).text.replace("=\n", "\n"), [KEY]).encode(),
    "root of 31 bytes": lambda: sign(f"{KEY.name}\n300\n{encode_base64(bytes(31))}\n", [KEY]).encode(),
    "two lines": lambda: sign(f"{KEY.name}\n300\n", [KEY]).encode(),
    "an empty line": lambda: sign(f"{KEY.name}\n300\n{encode_base64(bytes(32))}\n\nx\n", [KEY]).encode(),
    "carriage returns": lambda: KEPT.note().replace(b"\n", b"\r\n"),
    "a byte order mark": lambda: b"\xef\xbb\xbf" + KEPT.note(),
    "a root of the empty tree with another root": lambda: sign_checkpoint(0, Bytes32(bytes(32)), KEY).note.encode(),
}


def _loose_root(text: str) -> str:
    """The same bytes in base64 that is not canonical: the last bits before the padding are not zero."""
    lines = text.split("\n")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet[alphabet.index(lines[2][-2]) + 1]
    loose = lines[2][:-2] + last + "="
    assert base64.b64decode(loose) == base64.b64decode(lines[2])
    return "\n".join([*lines[:2], loose, *lines[3:]])


@pytest.mark.parametrize("name", WRONG_CHECKPOINTS)
def test_wrong_checkpoints(name: str) -> None:
    log = PaperLog.of(300)
    log.answers["checkpoint"] = WRONG_CHECKPOINTS[name]()
    with pytest.raises(AuditFailed) as caught:
        LogView(serve(log), KEY.verifier)
    assert caught.value.step == 3
    assert "checkpoint" in str(caught.value) or "note" in str(caught.value)


def test_every_single_file_of_a_log_changed_cut_padded_or_missing() -> None:
    """Nothing that a log serves can be other than it is without the auditor's noticing."""
    log = PaperLog.of(700)
    names = [tile.path() for tile in tiles_of(700)]
    assert len(names) == 7
    for name in names:
        data = log.read_tile(parse_path(name))
        for lie in (data[:-1], data + b"\0", b"", bytes([data[0] ^ 1]) + data[1:], data[:-1] + bytes([data[-1] ^ 1]), data[::-1]):
            log.answers = {name: lie}
            if name.startswith("tile/0/") and name != "tile/0/002.p/188":
                _expect_leaf_tile_refused(log, name)
                continue
            with pytest.raises(AuditFailed) as caught:
                read_all(serve(log))
            assert str(caught.value), name
        log.answers = {name: MalformedInput("gone")}
        if not name.startswith("tile/0/") or name == "tile/0/002.p/188":
            with pytest.raises(AuditFailed):
                read_all(serve(log))


def _expect_leaf_tile_refused(log: PaperLog, name: str) -> None:
    """Full leaf tiles are not needed to read entries; who asks for a proof needs them."""
    view = LogView(serve(log), KEY.verifier)
    index = parse_path(name).index * 256
    with pytest.raises(Rejected):
        [view.verify_inclusion(place, hash_leaf(log.records[place])) for place in (index, index + 255)]


ANSWERS: dict[str, httpx.Response] = {
    "an error": httpx.Response(500, content=b"sorry"),
    "a redirect": httpx.Response(302, headers={"location": "http://elsewhere.example"}),
    "a bomb": httpx.Response(200, content=b"x" * (MAX_ANSWER_BYTES + 1)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_are_none(name: str) -> None:
    with pytest.raises((PeerError, AuditFailed)):
        LogView(serve(PaperLog.of(3), checkpoint=ANSWERS[name]), KEY.verifier)


# ---- nothing is proven from nothing ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("root", [EMPTY_ROOT, bytes(32), b""])
@pytest.mark.parametrize("leaf", [EMPTY_ROOT, hash_leaf(b""), bytes(32), b""])
def test_the_empty_tree_holds_nothing(root: bytes, leaf: bytes) -> None:
    for index in (0, 1):
        for proof in ([], [EMPTY_ROOT], [leaf]):
            with pytest.raises(ProofRejected):
                verify_inclusion(leaf, index, 0, proof, root)


@pytest.mark.parametrize("size2", [0, 1, 2, 7])
@pytest.mark.parametrize("root1", [EMPTY_ROOT, bytes(32)])
def test_nothing_is_consistent_with_size_zero(size2: int, root1: bytes) -> None:
    root2 = compute_root(KEPT.leaves[:size2])
    for proof in ([], [root2], [EMPTY_ROOT, root2], compute_consistency_proof(KEPT.leaves[:size2], 1) if size2 else []):
        with pytest.raises(ProofRejected):
            verify_consistency(0, size2, proof, root1, root2)
        with pytest.raises(ProofRejected):
            fold_consistency(0, size2, proof, root1)


# ---- malformed by the thousand --------------------------------------------------------------------------------------------------------
THOUSANDS = 3000
NOTE = parse(KEPT.note())
COSIGNED = Note(NOTE.text, (*NOTE.signatures, WITNESS.cosign(NOTE.text, 1000))).encode()


def refused(read: Callable[[bytes], object], data: bytes, kinds: tuple[type[Rejected], ...], name: str) -> None:
    with pytest.raises(kinds) as caught:
        read(data)
    assert str(caught.value), name


def refused_or_repeated(
    read: Callable[[bytes], object], true: bytes, kinds: tuple[type[Rejected], ...], whole: Iterator[tuple[str, bytes]]
) -> None:
    """As `refused`, but where every true line still stands and only repeats or strangers' lines were added: signed-note allows it."""
    accepted = 0
    lines = true.split(b"\n")
    for name, data in whole:
        try:
            read(data)
        except kinds as error:
            if not str(error):
                raise AssertionError(name) from error
        else:
            accepted += 1
            signatures = [line for line in data.split(b"\n") if line not in lines]
            assert all(line in data.split(b"\n") for line in lines), name
            assert all(line.startswith("— ".encode()) for line in signatures), name
    assert accepted < THOUSANDS // 10


def test_notes() -> None:
    refused_or_repeated(lambda data: verify(data, [KEY.verifier]), KEPT.note(), (NoteRejected,), mutations(KEPT.note(), THOUSANDS))


def test_checkpoints() -> None:
    changed = mutations(KEPT.note(), THOUSANDS, seed=5)
    refused_or_repeated(lambda data: open_checkpoint(data, KEY.verifier), KEPT.note(), (NoteRejected,), changed)


def test_cosigned_checkpoints() -> None:
    """Both signatures or a refusal: a note of which one signature was taken away is judged elsewhere, as an unmet quorum."""

    def read(data: bytes) -> None:
        if verify(data, [KEY.verifier]).text != NOTE.text or not read_cosignatures(data, [WITNESS.verifier], 2000.0):
            raise NoteRejected("cosignature", "one", "none")

    read(COSIGNED)
    refused_or_repeated(read, b"\n".join(sorted(COSIGNED.split(b"\n"))), (NoteRejected,), mutations(COSIGNED, THOUSANDS))


def test_verifier_keys() -> None:
    for name, data in mutations(str(KEY.verifier).encode(), THOUSANDS, damages=BYTES):
        refused(lambda changed: parse_vkey(changed.decode("utf-8", "surrogateescape")), data, (NoteRejected,), name)


def test_proofs() -> None:
    leaves = KEPT.leaves
    file = write_proof(LogProof(17, tuple(compute_inclusion_proof(leaves, 17)), KEPT.note().decode(), KEPT.records[17]))
    assert verify_proof(file, KEY.verifier)[2] == KEPT.records[17]
    kinds = (ProofRejected, NoteRejected)
    refused_or_repeated(lambda changed: verify_proof(changed, KEY.verifier), file, kinds, mutations(file, THOUSANDS))


def test_tiles() -> None:
    """A tile is 256 hashes: only its length can be malformed. Whether its bytes are true, the root says."""
    tile = b"".join(KEPT.leaves[:256])
    root = compute_root(KEPT.leaves[:256])

    def read(data: bytes) -> None:
        hashes = parse_tile(data, 256)
        if compute_root(hashes) != root:
            raise ProofRejected("tile", root.hex(), compute_root(hashes).hex())

    for name, data in mutations(tile, 1000, damages=BYTES):
        refused(read, data, (ProofRejected,), name)


def test_bundles() -> None:
    """Changed lengths are malformed; changed bytes of an entry are another entry, which is in no tree."""
    records = KEPT.records[:40]
    leaves = [hash_leaf(record) for record in records]

    def read(data: bytes) -> None:
        for number, record in enumerate(parse_bundle(data, 40)):
            if hash_leaf(record) != leaves[number]:
                raise EntryRejected(f"entry {number}", leaves[number].hex(), hash_leaf(record).hex())

    for name, data in mutations(encode_bundle(records), THOUSANDS, damages=BYTES):
        refused(read, data, (EntryRejected,), name)


def test_records() -> None:
    """What a changed record may still be is another record in canonical form; nothing else parses, and nothing else is raised."""
    whole, parsed = KEPT.records[7], 0
    for name, data in mutations(whole, THOUSANDS, damages=BYTES + LINES):
        try:
            parse_record(data)
        except EntryRejected as error:
            if not str(error):
                raise AssertionError(name) from error
        else:
            parsed += 1
            assert hash_leaf(data) != hash_leaf(whole)
    assert parsed < THOUSANDS // 4


def test_inclusion_proofs() -> None:
    r, leaves = random.Random(8), KEPT.leaves
    for _ in range(THOUSANDS):
        size = r.randint(2, 300)
        index = r.randrange(size)
        proof, root = compute_inclusion_proof(leaves[:size], index), compute_root(leaves[:size])
        wrong = _damage(r, proof)
        with pytest.raises(ProofRejected) as caught:
            verify_inclusion(leaves[index], index, size, wrong, root)
        assert str(caught.value)


def test_consistency_proofs() -> None:
    r, leaves = random.Random(9), KEPT.leaves
    for _ in range(1500):
        size2 = r.randint(2, 300)
        size1 = r.randint(1, size2 - 1)
        proof = compute_consistency_proof(leaves[:size2], size1)
        with pytest.raises(ProofRejected) as caught:
            verify_consistency(size1, size2, _damage(r, proof), compute_root(leaves[:size1]), compute_root(leaves[:size2]))
        assert str(caught.value)


def _damage(r: random.Random, proof: list[bytes]) -> list[bytes]:
    """Another proof: one hash changed, left out, repeated, added, cut, or two exchanged."""
    at, other = r.randrange(len(proof)), r.randrange(len(proof))
    flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
    ways = [
        [*proof[:at], flipped, *proof[at + 1 :]],
        [*proof[:at], *proof[at + 1 :]],
        [*proof[: at + 1], *proof[at:]],
        [*proof[:at], r.randbytes(32), *proof[at:]],
        [*proof[:at], proof[at][:31], *proof[at + 1 :]],
        [*proof[:at], b"", *proof[at + 1 :]],
    ]
    if at != other:
        swapped = list(proof)
        swapped[at], swapped[other] = swapped[other], swapped[at]
        ways.append(swapped)
    return r.choice(ways)


def test_submissions() -> None:
    """A changed request is malformed, or its proof is false, or its note is: as a witness goes through it."""
    root = compute_root(KEPT.leaves[:77])
    whole = write_submission(Submission(77, tuple(compute_consistency_proof(KEPT.leaves, 77)), KEPT.note()))

    def read(changed: bytes) -> None:
        parsed = parse_submission(changed)
        checkpoint = open_checkpoint(parsed.note, KEY.verifier)
        if parsed.old_size != 77:
            raise MalformedInput("old size", 77, parsed.old_size)
        verify_consistency(parsed.old_size, checkpoint.size, parsed.proof, root, checkpoint.root)

    refused_or_repeated(read, whole, (MalformedInput, NoteRejected, ProofRejected), mutations(whole, THOUSANDS))


def test_witnesses_answers() -> None:
    line = WITNESS.cosign(NOTE.text, 1000).line().encode()

    def read(data: bytes) -> None:
        found = [s for s in parse_cosignature_lines(NOTE.text, data) if (s.name, s.key_id) == (WITNESS.name, WITNESS.verifier.key_id)]
        if not found or not WITNESS.verifier.is_signature(NOTE.text, found[0].data):
            raise NoteRejected("cosignature", "one that is true", "none or another")

    read(line)
    refused_or_repeated(read, line, (MalformedInput, NoteRejected), mutations(line, THOUSANDS))
