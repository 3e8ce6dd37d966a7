"""One measurement, one fresh process: its result, and limits that end it. Linux: memory is read from /proc."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLL_S = 0.05
Result = dict[str, Any]


class Stopped(Exception):
    """A step that gave no figure; the text says why, and stands in the table instead."""


@dataclass(frozen=True)
class Limits:
    """Of one process."""

    memory_bytes: float
    seconds: float


def run_step(command: Sequence[str], limits: Limits, environment: Mapping[str, str] | None = None) -> Result:
    """The JSON object on the process's last line. Raises Stopped where it exceeds a limit or fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        try:
            _watch(process, limits)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise Stopped(_explain(process.returncode, _read(err)))
        result: Result = json.loads(_read(out).splitlines()[-1])
        return result


def _watch(process: subprocess.Popen[bytes], limits: Limits) -> None:
    """Until it ends by itself."""
    started = time.monotonic()
    while process.poll() is None:
        if read_resident_bytes(process.pid) > limits.memory_bytes:
            raise Stopped(f"killed above {limits.memory_bytes / 1e9:.1f} GB")
        if time.monotonic() - started > limits.seconds:
            raise Stopped(f"over {limits.seconds:.0f} s")
        time.sleep(POLL_S)


def _read(stream: Any) -> str:
    stream.seek(0)
    return bytes(stream.read()).decode(errors="replace").strip()


def _explain(code: int, errors: str) -> str:
    if code < 0:
        return f"ended by signal {-code}"
    return errors.splitlines()[-1] if errors else f"exit code {code}"


def read_resident_bytes(pid: int) -> int:
    """What the process holds in memory now; 0 once it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def read_peak_bytes() -> int:
    """The most this process ever held. Not rusage's figure: that begins with what its parent held when it was forked."""
    return _read_kilobytes("/proc/self/status", "VmHWM")


def read_available_bytes() -> int:
    """What this machine can still give without swapping."""
    return _read_kilobytes("/proc/meminfo", "MemAvailable")


def _read_kilobytes(path: str, name: str) -> int:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise ValueError(f"{path} has no {name}")
