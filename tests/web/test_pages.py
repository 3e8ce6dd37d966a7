"""The pages in a real browser, before a real network: one test for each file of `browser/`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.web.conftest import Desk

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["lies", "work", "cases", "provider", "looks"])
def test_in_a_browser(desk: Desk, name: str) -> None:
    script = f"tests/web/browser/{name}.test.mjs"
    environment = os.environ | {"AFFIDAVIT_DESK": str(desk.file)}
    run = subprocess.run(
        ["node", "--test", "--test-reporter=spec", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout[-20000:] + run.stderr[-2000:]
