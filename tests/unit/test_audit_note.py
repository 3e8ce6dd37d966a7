"""Signed notes and checkpoints: published examples of others, and every way of being malformed."""

from __future__ import annotations

import base64

import pytest

from oracle.audit.checkpoint import open_checkpoint, parse_checkpoint, sign_checkpoint
from oracle.audit.note import (
    MAX_NOTE_BYTES,
    Note,
    NoteSignature,
    SignerKey,
    compute_key_id,
    generate_key,
    parse,
    parse_skey,
    parse_vkey,
    require_name,
    sign,
    verify,
)
from oracle.audit.tree import EMPTY_ROOT, sha256
from oracle.errors import NoteRejected
from oracle.records import Bytes32

# The example in the package comment of golang.org/x/mod/sumdb/note.
GO_SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
GO_NOTE = (GO_TEXT + "\n" + GO_LINE).encode()

KEY = SignerKey("example.org/log", bytes(range(32)))
ROOT = Bytes32(sha256(b"root"))


def test_go_example_is_signed_and_verified_to_the_byte() -> None:
    key = parse_skey(GO_SKEY)
    assert str(key.verifier) == GO_VKEY
    assert key.encode() == GO_SKEY
    assert sign(GO_TEXT, [key]).encode() == GO_NOTE
    assert verify(GO_NOTE, [parse_vkey(GO_VKEY)]).text == GO_TEXT


def test_the_seed_is_in_no_repr() -> None:
    assert bytes(range(32)).hex() not in repr(KEY)
    assert repr(bytes(range(32))) not in repr(KEY)


def test_text_may_hold_empty_lines_and_what_looks_like_a_signature() -> None:
    text = "a\n\n— example.org/log AAAAAAAA\n\nb\n"
    assert verify(sign(text, [KEY]).encode(), [KEY.verifier]).text == text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        GO_TEXT.encode(),
        GO_TEXT.encode() + b"\n",
        GO_NOTE[:-1],
        GO_NOTE + b"\n",
        GO_NOTE.replace(b"\n\n", b"\n"),
        GO_NOTE.replace("—".encode(), b"-"),
        GO_NOTE.replace("— ".encode(), "—".encode()),
        GO_NOTE.replace(b"think", b"th\x00nk"),
        GO_NOTE.replace(b"think", b"th\tnk"),
        GO_NOTE.replace(b"think", b"th\rnk"),
        GO_NOTE.replace(b"think", b"th\xffnk"),
        GO_NOTE.replace(b"think", b"th\xed\xa0\x80nk"),
        GO_NOTE.replace(b"PeterNeumann", b""),
        GO_NOTE.replace(b"PeterNeumann", b"Peter+Neumann"),
        GO_NOTE.replace(b"PeterNeumann", "Peter\u00a0Neumann".encode()),
        GO_NOTE.replace(b"PeterNeumann", "Peter\u2028Neumann".encode()),
        GO_NOTE.replace(b"JnAM=", b"JnAM"),
        GO_NOTE.replace(b"JnAM=", b"JnAN="),  # other base64 of the same bytes
        GO_NOTE.replace(b"JnAM=", b"JnAM= "),
        GO_NOTE.replace(b"JnAM=", b"JnAM=="),
        GO_NOTE.replace(b"JnAM=", b"Jn*M="),
        GO_NOTE.replace(b"/", b"_"),
        (GO_TEXT + "\n— PeterNeumann x08gow==\n").encode(),  # key id and nothing else
        (GO_TEXT + "\n— PeterNeumann \n").encode(),
        (GO_TEXT + "\n— PeterNeumann\n").encode(),
        (GO_TEXT + "\n" + GO_LINE * 101).encode(),
        (GO_TEXT + "\n" + GO_LINE + "more\n").encode(),
        b"x" * MAX_NOTE_BYTES + GO_NOTE,
    ],
)
def test_malformed_notes_are_refused(data: bytes) -> None:
    with pytest.raises(NoteRejected):
        parse(data)
    with pytest.raises(NoteRejected):
        verify(data, [parse_vkey(GO_VKEY)])


def test_every_flipped_bit_is_refused() -> None:
    """Nowhere in a note is there a bit that does not matter, but in the name of an unknown key, which is not there."""
    note = sign_checkpoint(17, ROOT, KEY).note.encode()
    for position in range(len(note)):
        for bit in range(8):
            changed = bytearray(note)
            changed[position] ^= 1 << bit
            with pytest.raises(NoteRejected):
                open_checkpoint(bytes(changed), KEY.verifier)


def test_signatures_of_unknown_keys_are_ignored_but_must_be_well_formed() -> None:
    stranger = SignerKey("witness.example", bytes(32))
    both = sign("text\n", [stranger, KEY]).encode()
    assert [s.name for s in verify(both, [KEY.verifier]).signatures] == [KEY.name]
    assert len(verify(both, [KEY.verifier, stranger.verifier]).signatures) == 2
    with pytest.raises(NoteRejected, match="a signature by"):
        verify(sign("text\n", [stranger]).encode(), [KEY.verifier])


def test_one_false_signature_of_a_known_key_spoils_the_note() -> None:
    false = NoteSignature(KEY.name, KEY.verifier.key_id, bytes(64))
    true = KEY.sign("text\n")
    for order in ((false, true), (true, false)):
        with pytest.raises(NoteRejected, match="false"):
            verify(Note("text\n", order).encode(), [KEY.verifier])


def test_same_name_with_another_key_is_a_stranger() -> None:
    other = SignerKey(KEY.name, bytes(32))
    with pytest.raises(NoteRejected, match="none"):
        verify(sign("text\n", [other]).encode(), [KEY.verifier])


def test_up_to_100_signatures() -> None:
    others = [NoteSignature(f"w{i}", bytes(4), bytes(72)) for i in range(99)]
    assert verify(sign("text\n", [KEY], others).encode(), [KEY.verifier]).text == "text\n"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x1fb", "\u00a0"])
def test_names_no_key_may_have(name: str) -> None:
    with pytest.raises(NoteRejected):
        require_name(name)
    with pytest.raises(NoteRejected):
        generate_key(name)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        GO_VKEY.replace("c74f20a3", "c74f20a4"),
        GO_VKEY.replace("c74f20a3", "C74F20A3"),
        GO_VKEY.replace("Peter", "Petra"),
        GO_VKEY[:-4],
        GO_VKEY + "====",
        "PeterNeumann+c74f20a3+" + base64.b64encode(b"\x02" + bytes(32)).decode(),
        GO_SKEY,
    ],
)
def test_malformed_verifier_keys(vkey: str) -> None:
    with pytest.raises(NoteRejected):
        parse_vkey(vkey)


def test_malformed_signer_keys_do_not_leak() -> None:
    for text in (GO_SKEY[:-1], GO_SKEY.replace("c74f", "c74e"), "PRIVATE+KEY", GO_SKEY.replace("PRIVATE", "private")):
        with pytest.raises(NoteRejected) as caught:
            parse_skey(text)
        assert "AYEKFALVFGy" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "nul\x00\n"])
def test_texts_that_are_not_signed(text: str) -> None:
    with pytest.raises(NoteRejected):
        sign(text, [KEY])


def test_key_id_has_the_type_byte() -> None:
    public = KEY.verifier.public
    assert compute_key_id("example.org/log", public) == sha256(b"example.org/log\n\x01" + public)[:4]


# ---- checkpoints --------------------------------------------------------------------------------------------------------------------
def test_checkpoint_round_trip() -> None:
    checkpoint = sign_checkpoint(4711, ROOT, KEY)
    assert open_checkpoint(checkpoint.note.encode(), KEY.verifier) == checkpoint
    assert checkpoint.note.split("\n")[:3] == ["example.org/log", "4711", base64.b64encode(ROOT).decode()]


def test_c2sp_example_parses() -> None:
    """The example of c2sp.org/tlog-checkpoint."""
    data = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    checkpoint = parse_checkpoint(data.encode())
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)


B64 = base64.b64encode(ROOT).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"example.org/log\n17\n{B64}\n\nextension after an empty line\n",
        "example.org/log\n17\n",
        f"\n17\n{B64}\n",
        f"example.org/log\n017\n{B64}\n",
        f"example.org/log\n-17\n{B64}\n",
        f"example.org/log\n+17\n{B64}\n",
        f"example.org/log\n 17\n{B64}\n",
        f"example.org/log\n１７\n{B64}\n",
        f"example.org/log\n0x11\n{B64}\n",
        f"example.org/log\n1e3\n{B64}\n",
        f"example.org/log\n{1 << 64}\n{B64}\n",
        f"example.org/log\n17\n{B64[:-1]}\n",
        f"example.org/log\n17\n{B64} \n",
        "example.org/log\n17\n" + base64.b64encode(ROOT[:31]).decode() + "\n",
        "example.org/log\n17\n" + base64.b64encode(ROOT + b"\0").decode() + "\n",
        f"example.org/log\n0\n{B64}\n",
        f"example.org/other\n17\n{B64}\n",
    ],
)
def test_malformed_checkpoints_are_refused_even_signed(text: str) -> None:
    with pytest.raises(NoteRejected):
        open_checkpoint(sign(text, [KEY]).encode(), KEY.verifier)


def test_extension_lines_are_read_over() -> None:
    text = f"example.org/log\n17\n{B64}\nextension\n"
    assert open_checkpoint(sign(text, [KEY]).encode(), KEY.verifier).size == 17


def test_empty_log() -> None:
    assert open_checkpoint(sign_checkpoint(0, EMPTY_ROOT, KEY).note.encode(), KEY.verifier).size == 0
