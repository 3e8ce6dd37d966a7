"""The `sh` blocks of the pages, run in order against a live network, as a reader with another terminal would."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from oracle.demo.network import Network
from tests.docs.test_snippets import PAGES, ROOT, blocks, name

WITH_DATABASES = {ROOT / "docs/running.md"}  # tests/docs/test_running.py runs it
ELSEWHERE = {"scripts/demo", "scripts/test"}  # tests/acceptance/test_demo.py runs the one, and this is the other


def script(page: Path) -> str:
    """Every block of a page, stopping at the first command that fails."""
    lines = [line for body in blocks(page, "sh") for line in body.splitlines() if line.split(" ")[0] not in ELSEWHERE]
    return "\n".join(["set -euo pipefail", *lines])


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "sh") and p not in WITH_DATABASES], ids=name)
def test_page(page: Path, network: Network, tmp_path: Path) -> None:
    (tmp_path / "seeds").symlink_to(ROOT / "seeds")
    paths = {"PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", script(page)],
        cwd=tmp_path,
        env=paths | network.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
