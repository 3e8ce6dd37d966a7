"""Threads beside a server: what the world does is tried again, what we do wrong ends the process, SIGTERM lets a step finish."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from oracle.pipeline.background import MAX_PAUSE_SECONDS, compute_pause

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys, time
from fastapi import FastAPI
from oracle import journal
from oracle.errors import ChainError, InvariantBroken
from oracle.pipeline.background import Background
journal.configure("test")
count = 0

def world():
    global count
    count += 1
    print("step", count, flush=True)
    if count < 3:
        raise ChainError("away") from TimeoutError()
    if sys.argv[1] == "breaks" and count == 4:
        raise InvariantBroken("cannot happen")
    if sys.argv[1] == "slow" and count == 3:
        print("working", flush=True)
        time.sleep(1)
        print("worked", flush=True)
    return 0.01

Background().run({"world": world}, FastAPI(), "127.0.0.1:0")
print("ended", flush=True)
"""


def launch(mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
    )


def test_pauses_grow_and_stay_finite() -> None:
    assert [compute_pause(failures) for failures in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert compute_pause(7) == compute_pause(5000) == MAX_PAUSE_SECONDS, "a day of failures is no reason to end"


def test_a_bug_in_a_thread_ends_the_process_and_a_timeout_does_not() -> None:
    out, err = launch("breaks").communicate(timeout=60)
    assert out.splitlines() == ["step 1", "step 2", "step 3", "step 4"]
    assert "will try again" in err
    assert err.strip().splitlines()[-1] == "oracle.errors.InvariantBroken: cannot happen"


def test_a_bug_ends_the_process_also_where_nothing_can_be_written() -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, "breaks"], stdout=subprocess.PIPE, stderr=full, text=True, cwd=ROOT)
        out, _ = process.communicate(timeout=60)
    assert out.splitlines() == ["step 1", "step 2", "step 3", "step 4"]
    assert process.returncode != 0


def test_sigterm_lets_the_step_in_progress_finish() -> None:
    process = launch("slow")
    assert process.stdout is not None
    for line in process.stdout:
        if line == "working\n":
            break
    time.sleep(0.3)  # the server is up, or about to be: either way the signal is ours
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert out.splitlines()[-2:] == ["worked", "ended"], err
    assert process.returncode == 0


STARTING = """
import os, time
from oracle.node.executor import Limits, ProcessExecutor
from oracle.pipeline.background import end_by_exception

def main():
    end_by_exception()
    executor = ProcessExecutor(1, Limits())
    executor.submit(os.getpid).result()
    print("begun", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    main()
"""


def test_a_start_that_is_broken_off_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither a child nor the socket by which children are made."""
    (tmp_path / "start.py").write_text(STARTING)
    with TemporaryDirectory() as place:  # a socket's path has 107 characters at most, and pytest's own are long
        environment = os.environ | {"TMPDIR": place, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen([sys.executable, tmp_path / "start.py"], env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            assert os.listdir(place) != []
            process.terminate()
            assert process.wait(30) == 128 + signal.SIGTERM
        assert os.listdir(place) == []
