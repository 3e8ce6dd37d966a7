"""What the command line repeats of others: it is shown, whatever it is, and no terminal obeys it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from oracle import cli as door
from oracle.cli import console
from oracle.errors import MalformedInput
from oracle.pipeline import client
from oracle.pipeline.client import ApiClient, parse_events, read_lines
from tests.unit.cli_runner import Cli

HOSTILE = "\x1b]0;yours\x07 \x9b2J \u202e[/x] [bold]"
REQUEST = "0x" + "11" * 32


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def is_obeyed(text: str) -> bool:
    return any(not c.isprintable() and c != "\n" for c in text)


def test_no_cell_pair_note_or_error_is_obeyed_or_is_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console.write_table("Names", ("name",), [[HOSTILE]])
    console.write_pairs([("name", HOSTILE)])
    console.write_note(HOSTILE)
    with pytest.raises(SystemExit):
        door._fail(HOSTILE, 2)
    out, err = capsys.readouterr()
    for text in (out, err):
        assert not is_obeyed(text)
        assert text.count("[/x] [bold]") == 2


def lying(answers: dict[str, Any], status: int = 200) -> type[ApiClient]:
    """A client whose API says these things, by the end of the path that is asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        said = answers.get(request.url.path.rsplit("/", 1)[-1], {"is_final": True})
        return httpx.Response(status, content=said if isinstance(said, bytes) else json.dumps(said).encode())

    class Lied(ApiClient):
        def __init__(self, base_url: str) -> None:
            super().__init__(base_url, httpx.MockTransport(answer))

    return Lied


EVENT = b"id: 1\nevent: seen\ndata: "


@pytest.mark.parametrize(
    "answers",
    [
        {"events": EVENT + json.dumps({"time": HOSTILE, "detail": {HOSTILE: HOSTILE}}).encode() + b"\n\n"},
        {"events": EVENT + b'{"time": [], "detail": [7]}\n\n'},
        {"events": EVENT + b'{"time": null, "detail": "no"}\n\n', "receipt": {"decoded": 7, "replaced": 7}},
        {"events": b"", "receipt": {"decoded": {"labels": [1], "real": "x"}, "replaced": {"x": HOSTILE}, "signers": HOSTILE}},
        {"events": b"", "receipt": {"decoded": {"labels": ["a", "b"], "real": [{}, []]}}},
    ],
)
def test_an_api_says_what_it_likes_and_following_it_ends_well(answers: dict[str, Any], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ApiClient", lying(answers))
    assert not is_obeyed(cli.ok("follow", REQUEST, "--api", "http://api.test").out)


def test_a_refusal_of_an_api_is_one_line_that_nobody_obeys(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {REQUEST: {"title": "InputRejected", "detail": HOSTILE}}
    monkeypatch.setattr(client, "ApiClient", lying(said, 422))
    told = cli.refused(2, "follow", REQUEST, "--api", "http://api.test")
    assert not is_obeyed(told)
    assert "[/x] [bold]" in told


# ---- events -----------------------------------------------------------------------------------------------------------------------------
def test_lines_are_read_whatever_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"data: {}\r\n\nid: \xc3\xa9\xff\n" + b"cut"
    expected = ["data: {}", "", "id: \u00e9\ufffd"]
    for size in (1, 2, 3, 100):
        assert list(read_lines(text[at : at + size] for at in range(0, len(text), size))) == expected
    monkeypatch.setattr(client, "MAX_LINE_BYTES", 8)
    assert list(read_lines([b"12345678\n"])) == ["12345678"]
    for pieces in ([b"123456789\n"], [b"1234", b"56789"], [b"\n12345", b"6789\n"]):
        with pytest.raises(MalformedInput, match="at most 8 bytes"):
            list(read_lines(pieces))


def test_an_event_with_fields_without_number_is_not_kept() -> None:
    with pytest.raises(MalformedInput, match="at most 8 fields"):
        list(parse_events([*(f"field{number}: x" for number in range(1000)), ""]))
