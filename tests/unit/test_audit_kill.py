"""kill -9 in a loop: whatever was acknowledged is there, at its place, and the log goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oracle.audit.tree import hash_leaf
from tests.twins.logs import check_secret, full_check, open_log, read_bundles

ROOT = Path(__file__).parents[2]


def run_and_kill(directory: Path, first: int, seconds: float) -> list[tuple[int, int, str]]:
    """Starts the writer, kills it `seconds` after its first acknowledgement, returns what it said was acknowledged."""
    command = [sys.executable, "-m", "tests.twins.log_writer", str(directory), str(first)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(seconds)
    process.kill()
    lines += process.stdout.readlines()
    process.wait()
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [(int(number), int(index), leaf_hash) for number, index, leaf_hash in whole]


def kill_in_a_loop(directory: Path, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    acknowledged: dict[int, tuple[int, str]] = {}
    for round_number in range(rounds):
        first = 1_000_000 * round_number
        said = run_and_kill(directory, first, rng.uniform(0.0, 0.15))
        assert said, "the writer acknowledged something before it was killed"
        acknowledged |= {number: (index, leaf_hash) for number, index, leaf_hash in said}
    log = open_log(directory)  # recovers
    for number, (index, _) in acknowledged.items():
        if number % 2:
            check_secret(log, index, number)
    log.close()
    records = full_check(directory)
    raw = read_bundles(directory / "log", len(records))
    for number, (index, leaf_hash) in acknowledged.items():
        assert records[index]["test.number"] == number
        assert hash_leaf(raw[index]).hex() == leaf_hash
    assert len({r["test.number"] for r in records}) == len(records), "no entry is there twice"


def test_killed_a_few_times(tmp_path: Path) -> None:
    kill_in_a_loop(tmp_path, rounds=4, seed=1)


@pytest.mark.slow
def test_killed_many_times(tmp_path: Path) -> None:
    kill_in_a_loop(tmp_path, rounds=60, seed=2)
