"""Witnesses: the cosignature to the byte, a witness that is lied to, and two that race."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from oracle.audit.checkpoint import sign_checkpoint
from oracle.audit.cosign import (
    COSIGNATURE_ML_DSA_44,
    MAX_AHEAD_SECONDS,
    MAX_TIME,
    WitnessKey,
    WitnessSigner,
    compute_message,
    compute_subtree_message,
    generate_witness_key,
    open_cosignature,
    parse_witness_skey,
    parse_witness_vkey,
    read_cosignatures,
)
from oracle.audit.cosigner import OtherSize, SubmissionRefused, Witness
from oracle.audit.note import Note, NoteSignature, SignerKey, encode_base64, parse, sign
from oracle.audit.submission import Submission, parse_cosignature_lines, parse_known_size, parse_submission, write_submission
from oracle.audit.tree import EMPTY_ROOT, compute_consistency_proof, compute_root, hash_leaf, sha256
from oracle.audit.witness_key import read_witness_key, read_witness_vkey, write_witness_key
from oracle.audit.witness_server import make_app
from oracle.errors import ConfigRejected, MalformedInput, NoteRejected
from oracle.records import Bytes32

LOG = SignerKey("log.example/affidavit", bytes(range(32)))
OTHER_LOG = SignerKey("other.example/log", bytes(range(1, 33)))
SIGNER = WitnessSigner("witness.example/w1", bytes(range(32, 64)))
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
LEAVES = [bytes(hash_leaf(i.to_bytes(2, "big"))) for i in range(300)]
GROUP_ORDER = (1 << 252) + 27742317777372353535851937790883648493  # of Ed25519


class FixedClock:
    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment


def checkpoint(size: int, key: SignerKey = LOG, leaves: list[bytes] = LEAVES) -> bytes:
    return sign_checkpoint(size, compute_root(leaves[:size]), key).note.encode()


def submission(old: int, size: int, leaves: list[bytes] = LEAVES) -> bytes:
    proof = tuple(compute_consistency_proof(leaves[:size], old)) if old else ()
    return write_submission(Submission(old, proof, checkpoint(size, leaves=leaves)))


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    opened = Witness.open(f"sqlite:///{tmp_path}/witness.sqlite", SIGNER, [LOG.verifier], FixedClock())
    yield opened
    opened.close()


# ---- the cosignature ------------------------------------------------------------------------------------------------------------------
def test_the_example_of_the_specification() -> None:
    """c2sp.org/tlog-cosignature: its checkpoint, its key name and key id, its time."""
    data = "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
    line = f"— witness.example.com/w1 {data}\n"
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    signature = parse((text + "\n" + line).encode()).signatures[0]
    assert (signature.key_id.hex(), int.from_bytes(signature.data[:8], "big"), len(signature.data)) == ("8d66cf3f", 1679315147, 72)
    assert compute_message(text, 1679315147) == ("cosignature/v1\ntime 1679315147\n" + text).encode()


def test_round_trip() -> None:
    key = parse_witness_vkey(str(SIGNER.verifier))
    assert key == SIGNER.verifier
    assert parse_witness_skey(SIGNER.encode()) == SIGNER
    assert key.key_id == sha256(b"witness.example/w1\n\x04" + key.public)[:4]
    note = parse(checkpoint(3))
    cosigned = Note(note.text, (*note.signatures, SIGNER.cosign(note.text, 1000)))
    assert [(c.key, c.time) for c in read_cosignatures(cosigned.encode(), [key])] == [(key, 1000)]
    assert SIGNER.seed.hex() not in repr(SIGNER)
    assert generate_witness_key("w").seed != generate_witness_key("w").seed


def test_a_logs_key_is_no_witnesss_and_the_reverse() -> None:
    for text in (str(LOG.verifier), LOG.encode()):
        with pytest.raises(NoteRejected):
            parse_witness_vkey(text)
    with pytest.raises(NoteRejected) as caught:
        parse_witness_skey(LOG.encode())
    assert encode_base64(b"\x01" + LOG.seed)[4:20] not in str(caught.value)


def cosigned_by(text: str, line: NoteSignature) -> bytes:
    note = parse(checkpoint(3))
    return Note(note.text, (*note.signatures, line)).encode()


def test_a_cosignature_is_of_its_own_text_only() -> None:
    """Of another checkpoint, another log's, another size: each is another text."""
    key = SIGNER.verifier
    for other in (checkpoint(4), checkpoint(3, OTHER_LOG), checkpoint(2)):
        line = SIGNER.cosign(parse(other).text, 1000)
        with pytest.raises(NoteRejected, match="false"):
            read_cosignatures(cosigned_by("", line), [key])


def test_a_cosignature_is_no_signature_of_the_log() -> None:
    """The log's own key under the type of a witness, and a plain note signature under the witness's key id: both are false."""
    text = parse(checkpoint(3)).text
    plain = SignerKey(SIGNER.name, SIGNER.seed).sign(text)
    for data in (plain.data, (1000).to_bytes(8, "big") + plain.data):
        with pytest.raises(NoteRejected, match="false"):
            open_cosignature(text, NoteSignature(SIGNER.name, SIGNER.verifier.key_id, data), SIGNER.verifier)


def test_a_malleable_signature_is_false() -> None:
    """s + L signs the same under the equation; RFC 8032 demands s < L."""
    text = parse(checkpoint(3)).text
    line = SIGNER.cosign(text, 1000)
    s = int.from_bytes(line.data[40:], "little") + GROUP_ORDER
    data = line.data[:40] + s.to_bytes(32, "little")
    with pytest.raises(NoteRejected, match="false"):
        open_cosignature(text, NoteSignature(line.name, line.key_id, data), SIGNER.verifier)


def test_times() -> None:
    text, key = parse(checkpoint(3)).text, SIGNER.verifier
    now = NOW.timestamp()
    open_cosignature(text, SIGNER.cosign(text, int(now) + MAX_AHEAD_SECONDS), key, now)
    open_cosignature(text, SIGNER.cosign(text, MAX_TIME), key)  # where there is no clock to hold it against
    with pytest.raises(NoteRejected, match="ahead"):
        open_cosignature(text, SIGNER.cosign(text, int(now) + MAX_AHEAD_SECONDS + 1), key, now)
    for time in (0, -1, MAX_TIME + 1):
        with pytest.raises(NoteRejected):
            SIGNER.cosign(text, time)
    line = SIGNER.cosign(text, 1000)
    for changed in (0, 999, 1001, MAX_TIME + 1, (1 << 64) - 1):
        data = changed.to_bytes(8, "big") + line.data[8:]
        assert not key.is_signature(text, data)


def test_every_flipped_bit_and_every_length_is_false() -> None:
    text, key = parse(checkpoint(3)).text, SIGNER.verifier
    data = SIGNER.cosign(text, 1679315147).data
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            assert not key.is_signature(text, bytes(changed))
    for length in range(len(data)):
        assert not key.is_signature(text, data[:length])
    assert not key.is_signature(text, data + b"\x00")


def test_of_several_by_one_witness_the_newest_counts() -> None:
    note = parse(checkpoint(3))
    lines = [SIGNER.cosign(note.text, time) for time in (5, 9, 7)]
    found = read_cosignatures(Note(note.text, (*note.signatures, *lines)).encode(), [SIGNER.verifier])
    assert [c.time for c in found] == [9]


def test_a_witness_that_is_safe_from_quantum_computers() -> None:
    """ML-DSA-44: the specification's `cosigned_message`, which names the witness and covers origin, size and root."""
    signer = WitnessSigner("witness.example/w1", SIGNER.seed, COSIGNATURE_ML_DSA_44)
    key = parse_witness_vkey(str(signer.verifier))
    assert (key, len(key.public), key.key_id) == (signer.verifier, 1312, sha256(b"witness.example/w1\n\x06" + key.public)[:4])
    assert parse_witness_skey(signer.encode()) == signer
    text = parse(checkpoint(3)).text
    root = compute_root(LEAVES[:3])
    message = b"subtree/v1\n\0\x12witness.example/w1" + (1000).to_bytes(8, "big") + b"\x15log.example/affidavit"
    assert compute_subtree_message(signer.name, text, 1000) == message + bytes(8) + (3).to_bytes(8, "big") + root
    line = signer.cosign(text, 1000)
    assert len(line.data) == 8 + 2420
    assert open_cosignature(text, line, key).time == 1000
    for other in (checkpoint(4), checkpoint(3, OTHER_LOG), b"x\n"):
        with pytest.raises(NoteRejected, match="false"):
            open_cosignature(other.decode().split("\n\n")[0] + "\n", line, key)
    renamed = WitnessSigner("witness.example/w2", SIGNER.seed, COSIGNATURE_ML_DSA_44)
    assert not renamed.verifier.is_signature(text, line.data)
    for changed in (line.data[:-1], line.data + b"\0", bytes([line.data[0] ^ 1]) + line.data[1:], line.data[:9] + b"?" + line.data[10:]):
        assert not key.is_signature(text, changed)
    assert not key.is_signature(text, SIGNER.cosign(text, 1000).data)
    for malformed in (
        "",
        "x\n",
        "x\ny\nz\n",
        f"x\n{10**30}\n{encode_base64(bytes(32))}\n",
        f"{'x' * 256}\n1\n{encode_base64(bytes(32))}\n",
    ):
        assert not key.is_signature(malformed, line.data)


def test_same_name_and_another_key_is_a_stranger() -> None:
    note = parse(checkpoint(3))
    stranger = WitnessSigner(SIGNER.name, bytes(32)).cosign(note.text, 5)
    assert read_cosignatures(Note(note.text, (*note.signatures, stranger)).encode(), [SIGNER.verifier]) == []


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "w+00000000+BA==",
        str(SIGNER.verifier).replace("w1", "w2"),
        str(SIGNER.verifier)[:-1],
        str(SIGNER.verifier) + "=",
        f"w+{'0' * 8}+{encode_base64(bytes([6]) + bytes(32))}",
    ],
)
def test_malformed_witness_keys(vkey: str) -> None:
    with pytest.raises(NoteRejected):
        parse_witness_vkey(vkey)


def test_key_file(tmp_path: Path) -> None:
    write_witness_key(tmp_path / "key.json", SIGNER, "correct horse battery")
    assert read_witness_key(tmp_path / "key.json", "correct horse battery") == SIGNER
    assert read_witness_vkey(tmp_path / "key.json") == SIGNER.verifier
    with pytest.raises(ConfigRejected):
        read_witness_key(tmp_path / "key.json", "another one entirely")
    with pytest.raises(ConfigRejected):
        write_witness_key(tmp_path / "key.json", SIGNER, "correct horse battery")


# ---- the request ------------------------------------------------------------------------------------------------------------------------
def test_request_round_trip() -> None:
    data = submission(3, 8)
    parsed = parse_submission(data)
    assert write_submission(parsed) == data
    assert data.startswith(b"old 3\n")
    assert parsed.note == checkpoint(8)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"old 3", b"old 03"),
        (b"old 3", b"old -3"),
        (b"old 3", b"old  3"),
        (b"old 3", b"old 3 "),
        (b"old 3", b"Old 3"),
        (b"old 3", b"3"),
        (b"old 3", b"old " + str(1 << 63).encode()),
        (b"old 3", b"old \xd9\xa3"),
        (b"old 3\n", b"old 3\r\n"),
        (b"old 3\n", b"old 3\nAAAA\n"),
        (b"old 3\n", b"old 3\n" + 61 * (encode_base64(bytes(32)).encode() + b"\n")),
        (b"\n\n", b"\n"),
    ],
)
def test_malformed_requests(old: bytes, new: bytes) -> None:
    data = submission(3, 8)
    assert old in data
    with pytest.raises(MalformedInput):
        parse_submission(data.replace(old, new, 1) if new != b"\n" else data.replace(old, new))


@pytest.mark.parametrize("data", [b"", b"3", b"03\n", b"3\n\n", b"-1\n", b"x\n", b"\xff\n", b"9223372036854775808\n"])
def test_malformed_sizes(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse_known_size(data)
    assert parse_known_size(b"42\n") == 42


def test_malformed_answers() -> None:
    text = parse(checkpoint(3)).text
    for data in (b"", b"\n", b"no line\n", SIGNER.cosign(text, 5).line().encode()[:-1], b"x\n\n" + SIGNER.cosign(text, 5).line().encode()):
        with pytest.raises(MalformedInput):
            parse_cosignature_lines(text, data)


# ---- the witness that is lied to ------------------------------------------------------------------------------------------------------
def refused(witness: Witness, body: bytes, status: int) -> SubmissionRefused:
    with pytest.raises(SubmissionRefused) as caught:
        witness.add_checkpoint(body)
    assert caught.value.status == status
    assert str(caught.value)
    return caught.value


def test_it_cosigns_what_extends(witness: Witness) -> None:
    for old, new in ((0, 3), (3, 3), (3, 8), (8, 257)):
        line = witness.add_checkpoint(submission(old, new))
        [signature] = parse_cosignature_lines(parse(checkpoint(new)).text, line.encode())
        assert open_cosignature(parse(checkpoint(new)).text, signature, SIGNER.verifier, NOW.timestamp()).time == NOW.timestamp()
    head = witness.latest(LOG.name)
    assert head is not None
    assert head.size == 257
    assert len(read_cosignatures(head.note.encode(), [SIGNER.verifier])) == 1


def test_a_rollback(witness: Witness) -> None:
    witness.add_checkpoint(submission(0, 8))
    refused(witness, submission(8, 8).replace(b"old 8", b"old 9"), 400)
    conflict = refused(witness, submission(0, 3), 409)
    assert isinstance(conflict, OtherSize)
    assert conflict.known == 8
    refused(witness, write_submission(Submission(8, (), checkpoint(3))), 400)  # old size beyond the checkpoint's
    assert witness.latest(LOG.name).size == 8  # type: ignore[union-attr]


def test_a_fork(witness: Witness, tmp_path: Path) -> None:
    witness.add_checkpoint(submission(0, 8))
    other = [*LEAVES[:7], bytes(32), *LEAVES[8:]]
    refused(witness, submission(8, 20, other), 422)
    refused(witness, submission(8, 8, other), 422)
    assert witness.latest(LOG.name).root == compute_root(LEAVES[:8])  # type: ignore[union-attr]
    witness.add_checkpoint(submission(8, 9))
    [fork] = witness.forks()
    assert fork.size == 8
    assert parse(fork.submitted.encode()).text != parse(fork.cosigned.encode()).text
    refused(witness, submission(9, 9, other), 422)
    assert len(witness.forks()) == 2


def test_the_same_fork_is_kept_once(witness: Witness) -> None:
    witness.add_checkpoint(submission(0, 8))
    for _ in range(3):
        refused(witness, submission(8, 8, [*LEAVES[:7], bytes(32)]), 422)
    assert len(witness.forks()) == 1


def test_from_size_zero(witness: Witness) -> None:
    refused(witness, write_submission(Submission(0, (bytes(32),), checkpoint(8))), 422)
    text = f"{LOG.name}\n0\n{encode_base64(bytes(32))}\n"
    refused(witness, write_submission(Submission(0, (), sign(text, [LOG]).encode())), 422)
    assert witness.latest(LOG.name) is None
    empty = sign_checkpoint(0, EMPTY_ROOT, LOG).note.encode()
    witness.add_checkpoint(write_submission(Submission(0, (), empty)))
    assert witness.latest(LOG.name).size == 0  # type: ignore[union-attr]
    refused(witness, write_submission(Submission(0, (bytes(32),), checkpoint(8))), 422)
    witness.add_checkpoint(submission(0, 8))
    refused(witness, submission(0, 9), 409)


def test_whose_checkpoint_it_is(witness: Witness) -> None:
    refused(witness, write_submission(Submission(0, (), checkpoint(3, OTHER_LOG))), 404)
    forged = SignerKey(LOG.name, bytes(32))
    refused(witness, write_submission(Submission(0, (), checkpoint(3, forged))), 403)
    false = NoteSignature(LOG.name, LOG.verifier.key_id, bytes(64))
    refused(witness, write_submission(Submission(0, (), Note(parse(checkpoint(3)).text, (false,)).encode())), 403)
    renamed = SignerKey("other.example/log", LOG.seed)  # the log's key under a name it does not have
    refused(witness, write_submission(Submission(0, (), checkpoint(3, renamed))), 404)
    text = parse(checkpoint(3, OTHER_LOG)).text  # a checkpoint of another origin under the known log's signature
    refused(witness, write_submission(Submission(0, (), sign(text, [LOG]).encode())), 404)


def test_malformed(witness: Witness) -> None:
    for body in (b"", b"old 0\n\n", b"old 0\n\nx\n", submission(0, 3)[:-1], submission(0, 3).replace(b"old", b"new")):
        refused(witness, body, 400)
    refused(witness, write_submission(Submission(0, (), sign(f"{LOG.name}\n3\n", [LOG]).encode())), 400)
    huge = f"{LOG.name}\n{1 << 63}\n{encode_base64(bytes(32))}\n"
    refused(witness, write_submission(Submission(0, (), sign(huge, [LOG]).encode())), 400)


def test_extension_lines_are_part_of_what_is_signed(witness: Witness) -> None:
    text = parse(checkpoint(3)).text + "extension\n"
    line = witness.add_checkpoint(write_submission(Submission(0, (), sign(text, [LOG]).encode())))
    [signature] = parse_cosignature_lines(text, line.encode())
    open_cosignature(text, signature, SIGNER.verifier)
    with pytest.raises(NoteRejected):
        open_cosignature(parse(checkpoint(3)).text, signature, SIGNER.verifier)


def test_two_keys_of_one_log_are_one_log(tmp_path: Path) -> None:
    second = SignerKey(LOG.name, bytes(range(64, 96)))
    witness = Witness.open(f"sqlite:///{tmp_path}/w.sqlite", SIGNER, [LOG.verifier, second.verifier], FixedClock())
    witness.add_checkpoint(submission(0, 3))
    proof = tuple(compute_consistency_proof(LEAVES[:8], 3))
    witness.add_checkpoint(write_submission(Submission(3, proof, checkpoint(8, second))))
    assert witness.latest(LOG.name).size == 8  # type: ignore[union-attr]
    witness.close()


def test_its_memory_survives_it(tmp_path: Path) -> None:
    for old, new in ((0, 3), (3, 8)):
        witness = Witness.open(f"sqlite:///{tmp_path}/w.sqlite", SIGNER, [LOG.verifier], FixedClock())
        witness.add_checkpoint(submission(old, new))
        witness.close()
    again = Witness.open(f"sqlite:///{tmp_path}/w.sqlite", SIGNER, [LOG.verifier], FixedClock())
    assert again.latest(LOG.name).size == 8  # type: ignore[union-attr]
    again.close()


def test_forty_at_once_end_in_one_line_of_trees(tmp_path: Path) -> None:
    """Two processes on one database, each with threads that offer every size: whatever was cosigned is one chain, sizes only grow."""
    url = f"sqlite:///{tmp_path}/w.sqlite"
    two = [Witness.open(url, SIGNER, [LOG.verifier], FixedClock()) for _ in range(2)]
    other = [*LEAVES[:5], bytes(32), *LEAVES[6:]]
    given: list[tuple[int, int, bool]] = []
    refusals: set[int] = set()

    def offer(witness: Witness, leaves: list[bytes]) -> None:
        for _ in range(12):
            old = witness.latest(LOG.name)
            size = old.size if old else 0
            try:
                witness.add_checkpoint(submission(size, size + 3, leaves))
            except SubmissionRefused as refusal:
                refusals.add(refusal.status)
            else:
                given.append((size, size + 3, leaves is other))

    threads = [threading.Thread(target=offer, args=(w, leaves)) for w in two for leaves in (LEAVES, LEAVES, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    starts = [start for start, _, _ in given]
    assert len(starts) == len(set(starts)), "two checkpoints were cosigned from the same size"
    assert given
    assert refusals <= {409, 422}
    late = {forked for _, size, forked in given if size > 5}
    assert len(late) <= 1, "trees of both sides were cosigned after they had parted"
    for witness in two:
        witness.close()


# ---- its door -----------------------------------------------------------------------------------------------------------------------
def test_http(witness: Witness) -> None:
    with TestClient(make_app(witness)) as client:
        path = f"/{sha256(LOG.name.encode()).hex()}/checkpoint"
        assert client.get(path).status_code == 404
        answer = client.post("/add-checkpoint", content=submission(0, 8))
        assert answer.status_code == 200
        assert answer.text.startswith("— witness.example/w1 ")
        conflict = client.post("/add-checkpoint", content=submission(0, 9))
        assert (conflict.status_code, conflict.text, conflict.headers["content-type"]) == (409, "8\n", "text/x.tlog.size")
        for body, status in ((b"", 400), (submission(8, 20, [bytes(32)] * 20), 422), (submission(0, 3), 409)):
            assert client.post("/add-checkpoint", content=body).status_code == status
        assert client.post("/add-checkpoint", content=b"x" * (1 << 21)).status_code == 413
        found = client.get(path)
        assert found.status_code == 200
        assert len(read_cosignatures(found.content, [SIGNER.verifier])) == 1
        assert client.get(f"/{'0' * 64}/checkpoint").status_code == 404
        assert client.get("/x/checkpoint").status_code == 404
        assert client.get("/ready").json()["vkey"] == str(SIGNER.verifier)
        assert 'affidavit_witness_answers_total{status="409"} 2.0' in client.get("/metrics").text


def test_keys_are_compared_by_all_they_are() -> None:
    assert WitnessKey("a", bytes(32)) != WitnessKey("b", bytes(32))
    assert Bytes32(bytes(32)) == bytes(32)
