"""Threads share a few heaps, unless whoever runs the process has said otherwise. Told by glibc itself, malloc_info(3)."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oracle import cli, heaps
from oracle.heaps import MOST_HEAPS

THREADS = 8
IS_GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
PROGRAM = f"""
import ctypes, sys, threading
from oracle.heaps import limit_heaps
print(limit_heaps() if sys.argv[1] == "limited" else None)
there, done = threading.Barrier({THREADS + 1}), threading.Barrier({THREADS + 1})
def work():
    kept = [bytes(2000) for _ in range(100)]
    there.wait()
    done.wait()
threads = [threading.Thread(target=work) for _ in range({THREADS})]
for thread in threads: thread.start()
there.wait()
library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
library.malloc_info.argtypes, library.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
told = library.fopen(sys.argv[2].encode(), b"w")
library.malloc_info(0, told)
library.fclose(told)
done.wait()
"""


def count_heaps(folder: Path, how: str, **environment: str) -> tuple[str, int]:
    """(what `limit_heaps` returned, heaps of a process whose threads all hold memory)."""
    mine = {name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")} | environment
    command = [sys.executable, "-c", PROGRAM, how, str(folder / "told")]
    said = subprocess.run(command, env=mine, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    return said, (folder / "told").read_text().count("<heap nr=")


@pytest.mark.skipif(not IS_GLIBC, reason="another C library")
def test_threads_share_few_heaps(tmp_path: Path) -> None:
    assert count_heaps(tmp_path, "as it was")[1] > MOST_HEAPS
    said, found = count_heaps(tmp_path, "limited")
    assert (said, found <= MOST_HEAPS) == ("True", True)


@pytest.mark.skipif(not IS_GLIBC, reason="another C library")
@pytest.mark.parametrize("given", [{"MALLOC_ARENA_MAX": "5"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=5"}])
def test_who_runs_the_process_knows_better(tmp_path: Path, given: dict[str, str]) -> None:
    said, found = count_heaps(tmp_path, "limited", **given)
    assert (said, MOST_HEAPS < found <= 5) == ("False", True)


def test_every_command_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(heaps, "limit_heaps", lambda: calls.append("limited"))
    monkeypatch.setattr(sys, "argv", ["affidavit", "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, calls) == (0, ["limited"])
