"""JSON nested a hundred thousand deep is refused, and does not kill the process that reads it."""

from __future__ import annotations

import subprocess
import sys

import pytest

READ = """
import json, threading
import {module}
def read():
    try:
        json.loads("[" * 100_000)
    except RecursionError:
        print("refused")
read()
thread = threading.Thread(target=read); thread.start(); thread.join()
"""


@pytest.mark.parametrize(
    "module", ["oracle.http", "oracle.wire", "oracle.pipeline.node", "oracle.audit.client", "eth_account, oracle.http"]
)
def test_deeply_nested_json_raises(module: str) -> None:
    """In a process of its own: without the limit it ends with a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", READ.format(module=module)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\nrefused\n"), done.stderr[-500:]
