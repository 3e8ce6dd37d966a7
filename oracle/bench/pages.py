"""How long an auditor's pages take over a large log, in a real browser, on the whole network: log, index, office, chain.

The network's own log is filled while it does not serve; then the office's index follows it, and Chromium opens one page after another.
A time is from asking for an address, in a browser that has the program but nothing of that page, until its last row stands there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from oracle.bench.appending import fill
from oracle.bench.search import quantile
from oracle.bench.traffic import Traffic
from oracle.config import load_config, read_secret
from oracle.demo.network import Network, Plan, running_network
from oracle.errors import ConfigRejected, PeerError
from oracle.office.people import Role
from oracle.pipeline.log import open_idle_log

Row = tuple[str, ...]
COLUMNS = ("page", "target", "median", "95th percentile")
TARGET = "1 s"
TIMES = 20
PATIENCE_SECONDS = 1800
SCRIPT = Path(__file__).parents[2] / "web/bench/pages.mjs"
PATHS = {
    "results, no filter": "/audit/records",
    "results, one kind": "/audit/records?kind=error",
    "results, two words": "/audit/records?q=fraud+review",
    "results, outcome and word": "/audit/records?outcome=refused&q=hospital",
    "a record, with the browser's own verification": "/audit/records/{middle}",
    "overview": "/audit",
    "completeness": "/audit/completeness",
}


def find_chromium() -> str:
    """Raises ConfigRejected where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise ConfigRejected("browser", "the program chromium (scripts/test-tools installs it)", "none")
    return found


def measure(records: int) -> list[Row]:
    """Rows (page, target, median, 95th percentile). Raises ConfigRejected without a browser, PeerError where the index does not follow."""
    chromium = find_chromium()
    plan = Plan(operators=1, provers=0, is_watched=False)
    with tempfile.TemporaryDirectory(prefix="affidavit-bench-") as folder, running_network(Path(folder), plan) as network:
        _fill_log(network, records)
        token = read_secret(network.person_token_file(Role.AUDITOR))
        _wait_indexed(network, records)
        paths = {name: path.format(middle=records // 2) for name, path in PATHS.items()}
        times = _time_pages(network, chromium, token, paths)
    return [(name, TARGET, _seconds(times[name], 0.5), _seconds(times[name], 0.95)) for name in paths]


def _fill_log(network: Network, records: int) -> None:
    network.processes.stop("log")
    log = open_idle_log(load_config(network.directory / "log.toml"))
    try:
        fill(log, records, Traffic())
    finally:
        log.close()
    network.processes.restart("log")
    network.processes.wait_ready("log")


def _wait_indexed(network: Network, records: int) -> None:
    """Until the office's index has them all. Raises PeerError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _indexed(network) < records:
        if time.monotonic() > deadline:
            raise PeerError(f"the index did not follow: {network.processes.tail('api')}")
        time.sleep(1)


def _indexed(network: Network) -> int:
    lines = httpx.get(f"{network.api_url}/metrics", timeout=60).raise_for_status().text.splitlines()
    return next((int(float(line.split()[1])) for line in lines if line.startswith("affidavit_office_indexed_entries ")), 0)


def _time_pages(network: Network, chromium: str, token: str, paths: dict[str, str]) -> dict[str, list[float]]:
    """Seconds by name."""
    scene = {"base": network.api_url, "chromium": chromium, "token": token, "paths": paths, "times": TIMES}
    run = subprocess.run(["node", str(SCRIPT)], input=json.dumps(scene), env=os.environ, capture_output=True, text=True, check=False)
    if run.returncode:
        raise PeerError(f"the browser stopped: {run.stderr[-2000:]}")
    times: dict[str, list[float]] = json.loads(run.stdout)
    return times


def _seconds(values: list[float], fraction: float) -> str:
    return f"{quantile(values, fraction):.2f} s"
