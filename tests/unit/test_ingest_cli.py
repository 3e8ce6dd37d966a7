"""`affidavit proxy` as a person runs it: a process of its own, stopped by SIGTERM while an answer is on its way."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from oracle.audit.access import load_access
from tests.twins.log_process import ROOT
from tests.twins.log_service import LogService
from tests.twins.logs import full_check
from tests.twins.openai_upstream import Behaviour, Upstream
from tests.twins.proxy_service import write_token
from tests.unit.cli_runner import Cli

ASK = {"model": "m", "messages": [{"role": "user", "content": "word " * 40}]}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def test_new_callers(cli: Cli, tmp_path: Path) -> None:
    made = cli.ok("proxy", "new-callers", tmp_path / "callers", "--caller", "billing", "--caller", "triage", "--json").json()
    access = load_access(Path(made["callers_file"]))
    for name, path in made["token_files"].items():
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        token = Path(path).read_text().strip()
        assert token not in Path(made["callers_file"]).read_text()
        assert access.writer(f"Bearer {token}") == name
    assert "new file" in cli.refused(2, "proxy", "new-callers", tmp_path / "callers", "--caller", "billing")
    assert "once" in cli.refused(2, "proxy", "new-callers", tmp_path / "other", "--caller", "a", "--caller", "a")
    assert cli.refused(2, "proxy", "new-callers", tmp_path / "other", "--caller", "A B")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", r"\[proxy\]"),
        ('[proxy]\nlisten = "x"', "upstream"),
        ('[proxy]\nlisten = "x"\nupstream = "u"\nlog_url = "l"\nlog_token_file = "t"\ncolour = "red"', "colour"),
        ('[proxy]\nlisten = "x"\nupstream = "u"\nlog_url = "l"\nlog_token_file = "t"\n[node]', "node|chain"),
        ('[proxy]\nlisten = "x"\nupstream = "u"\nlog_url = "l"\nlog_token_file = "t"', "upstream"),
    ],
)
def test_settings_that_will_not_do(cli: Cli, tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "proxy.toml").write_text(text)
    line = cli.refused(2, "proxy", "serve", "--config", tmp_path / "proxy.toml")
    assert any(word in line for word in named.replace("\\", "").split("|")), line


def test_a_process_that_is_stopped_finishes_what_it_began(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with Upstream() as upstream, LogService(tmp_path, "proxy") as log:
        upstream.behaviour = Behaviour(pause=0.03)
        write_token(tmp_path / "token", log.tokens["proxy"])
        (tmp_path / "proxy.toml").write_text(
            f'[proxy]\nlisten = "127.0.0.1:{port}"\nupstream = "{upstream.url}"\nlog_url = "{log.url}"\nlog_token_file = "token"\n'
        )
        command = [sys.executable, "-m", "oracle.cli", "proxy", "serve", "--config", str(tmp_path / "proxy.toml")]
        with (tmp_path / "journal").open("wb") as journal:
            process = subprocess.Popen(command, cwd=ROOT, stderr=journal, stdout=journal)
        url, received = f"http://127.0.0.1:{port}", bytearray()
        for _ in range(400):
            try:
                if httpx.get(url + "/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)

        def read() -> None:
            with httpx.stream("POST", url + "/v1/chat/completions", json=ASK | {"stream": True}, timeout=30) as answer:
                for data in answer.iter_bytes():
                    received.extend(data)

        thread = threading.Thread(target=read)
        thread.start()
        while not received:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "journal").read_text()
        thread.join()
    assert b"[DONE]" in received
    assert [record["audit.kind"] for record in full_check(tmp_path)] == ["intent", "result"]
    lines = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["started", "stopped"]
