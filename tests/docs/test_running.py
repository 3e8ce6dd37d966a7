"""The commands of docs/running.md, run on databases of a relay, and the alert rules, held against what the processes really tell."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select

from oracle.bench.postgres import PostgresServer, find_binaries
from oracle.pipeline.relay import RelayMetrics
from oracle.pipeline.watching import WatchMetrics
from oracle.relay.lease import open_relay_database
from oracle.relay.metrics import make_app
from oracle.relay.schema import LEASE
from oracle.seams import SystemClock
from oracle.store import open_database
from tests.docs.test_snippets import ROOT, blocks
from tests.twins.api import served

PAGE = ROOT / "docs/running.md"
RULES = sorted((ROOT / "docs/alerts").glob("*.yml"))
SUFFIXES = re.compile(r"_(total|bucket|sum|count)$")


def test_every_command_of_the_page(tmp_path: Path, postgres: PostgresServer) -> None:
    url, empty = postgres.new_database(), postgres.new_database()
    engine = open_relay_database(url)
    open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay").dispose()
    (tmp_path / "password").touch(0o600)
    binaries = find_binaries()
    with served(make_app(RelayMetrics(engine, SystemClock()), {})) as relay_url:
        environment = {
            "PATH": f"{ROOT / '.venv/bin'}:{binaries}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "RELAY_DATABASE": url.replace("+psycopg", ""),
            "EMPTY_DATABASE": empty.replace("+psycopg", ""),
            "RELAY_URL": relay_url,
        }
        script = "\n".join(["set -euo pipefail", *blocks(PAGE, "sh")])
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    engine.dispose()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "ok" in done.stdout.splitlines()
    restored = open_relay_database(empty)  # it is whole, at the newest revision, and works
    with restored.begin() as connection:
        assert connection.execute(select(LEASE.c.token)).scalar_one() == 0
    restored.dispose()


def rules(path: Path) -> list[dict[str, object]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_alert_rules_ask_for_metrics_that_exist_and_name_their_page(path: Path) -> None:
    source = "\n".join(file.read_text() for file in (ROOT / "oracle").rglob("*.py"))
    exist = set(re.findall(r'"(affidavit_[a-z_]+)"', source))
    names = [str(rule["alert"]) for rule in rules(path)]
    assert len(set(names)) == len(names) > 0
    for rule in rules(path):
        asked = re.findall(r"affidavit_[a-z_]+", str(rule["expr"]))
        assert asked
        assert {SUFFIXES.sub("", name) for name in asked} <= {SUFFIXES.sub("", name) for name in exist}, rule["alert"]
        assert str(rule["expr"]).count("(") == str(rule["expr"]).count(")")
        assert rule["labels"]["severity"] in ("warning", "critical")  # type: ignore[index]
        page = ROOT / str(rule["annotations"]["runbook"])  # type: ignore[index]
        assert all(SUFFIXES.sub("", name) in page.read_text() for name in asked), f"{rule['alert']}: its page does not tell what to do"


def test_relay_s_rules_ask_with_labels_that_it_tells(tmp_path: Path) -> None:
    """Each selector of docs/alerts/relay.yml against what a relay's /metrics really has."""
    from prometheus_client import generate_latest

    engine = open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay")
    told = generate_latest(RelayMetrics(engine, SystemClock()).registry).decode()
    engine.dispose()
    for rule in rules(ROOT / "docs/alerts/relay.yml"):
        for name in re.findall(r"affidavit_[a-z_]+", str(rule["expr"])):
            assert f"# TYPE {SUFFIXES.sub('', name)} " in told, name
    assert 'affidavit_relay_requests{state="conflict"}' in told
    assert 'affidavit_relay_requests{state="failed"}' in told


def test_a_watcher_s_rules_ask_with_labels_that_it_tells(tmp_path: Path) -> None:
    from prometheus_client import generate_latest

    engine = open_database(f"sqlite:///{tmp_path}/watch.sqlite", "watch")
    told = generate_latest(WatchMetrics(engine).registry).decode()
    engine.dispose()
    selectors = re.findall(r'(affidavit_[a-z_]+)\{([a-z]+)=~?"([a-z|]+)"', (ROOT / "docs/alerts/watch.yml").read_text())
    assert len(selectors) >= 4
    for name, label, values in selectors:
        for value in values.split("|"):
            assert f'{name}{{{label}="{value}"}}' in told
    assert "affidavit_watch_vote_deadline_seconds 0.0" in told
