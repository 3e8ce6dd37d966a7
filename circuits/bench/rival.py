"""ezkl on the same files: its environment, made on first use, and its steps, each in a process of its own under limits.

Its package has no licence, so it is a dependency of nothing here: it lives in `.venv-ezkl` beside our own environment, at the
version and with the hashes of ezkl.lock (made as requirements.lock is, see CONTRIBUTING.md). After that nothing is downloaded:
the set-up file of powers, which ezkl would fetch, is made here for each size it wants, and kept in the same folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from circuits.bench import SAMPLES_FILE
from circuits.bench.process import Limits, Result, Stopped, run_step
from circuits.errors import CircuitError

LOCK = Path(__file__).with_name("ezkl.lock")
STEPS = Path(__file__).with_name("ezkl_steps.py")
ENVIRONMENT = Path(sys.prefix).parent / ".venv-ezkl"
ENOUGH_S = 120  # no further proof once those so far took that long together
SRS_SECONDS = 3600  # part of nothing measured, and made once


@dataclass(frozen=True)
class Theirs:
    """What every step gave, in their order; `stopped` says which step gave nothing and why, and all after it are missing."""

    calibrated: Result | None = None
    srs: Path = ENVIRONMENT
    keys: Result | None = None
    proofs: tuple[Result, ...] = ()
    verified: tuple[Result, ...] = ()
    stopped: str = ""


def read_version() -> str:
    """The pinned one."""
    return LOCK.read_text().split()[0].partition("==")[2]


def ensure_environment() -> None:
    """Install ezkl where it is not yet. Raises CircuitError where that fails."""
    stamp, wanted = ENVIRONMENT / ".stamp", f"{LOCK.read_text()}{sys.version}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    install = [str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
    for command in ([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], [*install, "-r", str(LOCK)]):
        finished = subprocess.run(command, capture_output=True, text=True)
        if finished.returncode:
            raise CircuitError("ezkl's environment (--without-ezkl leaves it out)", got=(finished.stderr.strip().splitlines() or ["?"])[-1])
    stamp.write_text(wanted)


def set_up(folder: Path, limits: Limits) -> Theirs:
    """Settings, circuit and keys of the model in `folder`, which needs room for them."""
    samples = np.load(folder / SAMPLES_FILE)
    (folder / "input.json").write_text(json.dumps({"input_data": [samples[0].reshape(-1).tolist()]}))
    theirs, step = Theirs(), "calibration"
    try:
        theirs = replace(theirs, calibrated=_run("calibrate", folder, folder, limits))
        step = "set-up file"
        theirs = replace(theirs, srs=_ensure_srs(folder, theirs, limits))
        step = "set-up"
        return replace(theirs, keys=_run("setup", folder, theirs.srs, limits))
    except Stopped as stopped:
        return replace(theirs, stopped=f"{step}: {stopped}")


def add_round(theirs: Theirs, folder: Path, limits: Limits) -> Theirs:
    """One proof and its verification, unless those so far took long enough."""
    if theirs.stopped or sum(proof["prove_s"] for proof in theirs.proofs) > ENOUGH_S:
        return theirs
    step = "proof"
    try:
        theirs = replace(theirs, proofs=(*theirs.proofs, _run("prove", folder, theirs.srs, limits)))
        step = "verification"
        return replace(theirs, verified=(*theirs.verified, _run("verify", folder, theirs.srs, limits)))
    except Stopped as stopped:
        return replace(theirs, stopped=f"{step}: {stopped}")


def _ensure_srs(folder: Path, theirs: Theirs, limits: Limits) -> Path:
    assert theirs.calibrated is not None
    srs = ENVIRONMENT / f"insecure-{theirs.calibrated['log_rows']}.srs"
    if not srs.is_file():
        _run("srs", folder, srs, replace(limits, seconds=SRS_SECONDS))
    return srs


def _run(step: str, folder: Path, srs: Path, limits: Limits) -> Result:
    python = str(ENVIRONMENT / "bin/python")
    return run_step([python, "-I", str(STEPS), step, str(folder), str(srs)], limits, {"HOME": str(ENVIRONMENT), "PATH": "/usr/bin:/bin"})
