"""The page for applications, run: Python and curl against a real log in its own process, the proxy before a twin of the service."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.config import load_proxy_config
from tests.docs.test_snippets import ROOT, blocks
from tests.twins.log_process import LogProcess
from tests.twins.logs import full_check
from tests.twins.openai_upstream import Upstream
from tests.twins.proxy_service import ProxyService

PAGE = ROOT / "docs/recording.md"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogProcess]:
    with LogProcess(tmp_path / "log", "application") as running:
        monkeypatch.setenv("AFFIDAVIT_LOG", running.url)
        monkeypatch.setenv("AFFIDAVIT_WRITER_TOKEN_FILE", str(running.write_token("application")))
        monkeypatch.chdir(tmp_path)
        yield running


def test_python(log: LogProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Upstream() as upstream, ProxyService(tmp_path / "proxy", upstream.url, log.url, log.tokens["application"]) as proxy:
        monkeypatch.setenv("PROXY", proxy.url)
        namespace: dict[str, Any] = {"__name__": "snippet"}
        for body in blocks(PAGE, "python"):
            exec(compile(body, str(PAGE), "exec"), namespace)
    records = full_check(tmp_path / "log")
    assert [record["audit.kind"] for record in records] == ["intent", "result", "override", *["intent", "result"] * 5]
    assert {record["audit.capture"] for record in records if record["audit.kind"] != "override"} == {"sdk", "proxy", "span"}
    assert "hello" not in json.dumps(records).lower()


def test_curl(log: LogProcess, tmp_path: Path) -> None:
    script = "\n".join(["set -euo pipefail", *blocks(PAGE, "sh")])
    done = subprocess.run(["bash", "-c", script], env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.replace("}{", "}\n{").splitlines()]
    shown = json.loads(blocks(PAGE, "json")[0])
    assert [set(answer) for answer in answers] == [set(shown)] * 2
    kinds = [(record["audit.kind"], record["audit.capture"]) for record in full_check(tmp_path / "log")]
    assert kinds == [("intent", "http"), ("result", "http"), ("intent", "http"), ("error", "http")]


def test_the_proxys_settings(tmp_path: Path) -> None:
    (body,) = [body for body in blocks(PAGE, "toml") if "proxy" in tomllib.loads(body)]
    (tmp_path / "proxy.toml").write_text(body)
    assert load_proxy_config(tmp_path / "proxy.toml").content == "sealed"
