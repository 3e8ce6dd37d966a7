"""The journal: one JSON object a line, the process on each of them, nothing secret in any."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from oracle import journal


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_every_thread_names_its_process(capsys: pytest.CaptureFixture[str]) -> None:
    journal.configure("node node-0")
    journal.get("main").info("one", request_id=b"\x01\x02")
    thread = threading.Thread(target=lambda: journal.get("worker").info("two"))
    thread.start()
    thread.join()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["process"], line["part"], line["event"]) for line in lines] == [
        ("node node-0", "main", "one"),
        ("node node-0", "worker", "two"),
    ]
    assert lines[0]["request_id"] == "0x0102"


@pytest.mark.parametrize("name", ["password", "log_token", "private_key", "Authorization", "mnemonic"])
def test_what_sounds_secret_is_hidden(capsys: pytest.CaptureFixture[str], name: str) -> None:
    journal.configure("test")
    journal.get("x").warning("event", **{name: "hunter2"})
    assert "hunter2" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Max retries exceeded with url: /v3/KEYKEYKEYKEYKEYKEYKEYKEYKEY12345 (Caused by NewConnectionError())", "Caused by"),
        ("401 Client Error for url: https://rpc.example.org/v2/KEYKEYKEYKEYKEYKEYKEYKEYKEY12345", "https://rpc.example.org/v2/[hidden]"),
        ("wss://rpc.example.org/?apikey=KEYKEYKEYKEYKEYKEYKEYKEYKEY12345", "wss://rpc.example.org/?apikey="),
        ("postgresql://node:KEYKEY@db.example.org/node", "postgresql://[hidden]@db.example.org/node"),
        (f"http://127.0.0.1:7001/v1/claims/0x{'ab' * 32}", "ab" * 32),
    ],
)
def test_keys_in_addresses_are_hidden(capsys: pytest.CaptureFixture[str], text: str, kept: str) -> None:
    """As an error's text, as a cause, and inside a traceback."""
    journal.configure("test")
    error = ConnectionError(text)
    journal.get("x").warning("event", error=text, cause=repr(error), exc_info=error)
    line = capsys.readouterr().err
    assert "KEYKEY" not in line
    assert line.count(kept) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_below_the_journal_stops_nobody() -> None:
    """What the journal cannot write is lost; whoever wrote it goes on. The log's sequencer once ended by telling that the disk was full."""
    code = "from oracle import journal; journal.configure('test'); [journal.get('part').error('told') for _ in range(3)]; print('went on')"
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True, timeout=60, check=False)
    assert ended.stdout == "went on\n"
