"""What runs in a process of its own, on ezkl's side: `python ezkl_steps.py STEP FOLDER SRS`.

Runs in ezkl's environment, where nothing of ours is: the standard library and ezkl alone. Each step prints one JSON object:
times in seconds, sizes in bytes, and the peak of the process's memory.

ezkl as its own documents use it: input and output public, weights fixed in the circuit (its default, and the nearest to what
our proofs bind), calibrated for the least resources.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Result = dict[str, Any]
ezkl = import_module("ezkl")


def calibrate(folder: Path, _srs: Path) -> Result:
    """Settings and circuit."""
    started = time.perf_counter()
    require(ezkl.gen_settings(name(folder, "model.onnx"), name(folder, "settings.json")), "gen_settings")
    files = [name(folder, file) for file in ("input.json", "model.onnx", "settings.json")]
    require(ezkl.calibrate_settings(*files, "resources"), "calibrate_settings")
    files = [name(folder, file) for file in ("model.onnx", "circuit.ezkl", "settings.json")]
    require(ezkl.compile_circuit(*files), "compile_circuit")
    settings = json.loads((folder / "settings.json").read_text())
    return {"calibrate_s": time.perf_counter() - started, "log_rows": settings["run_args"]["logrows"]}


def make_srs(folder: Path, srs: Path) -> Result:
    """A set-up of our own: worthless for security, the same for timing, and nothing is downloaded."""
    log_rows = json.loads((folder / "settings.json").read_text())["run_args"]["logrows"]
    started = time.perf_counter()
    unfinished = srs.with_suffix(".unfinished")
    ezkl.gen_srs(str(unfinished), log_rows)
    unfinished.rename(srs)
    return {"srs_s": time.perf_counter() - started}


def set_up(folder: Path, srs: Path) -> Result:
    """The keys."""
    started = time.perf_counter()
    require(ezkl.setup(*(name(folder, file) for file in ("circuit.ezkl", "verifying.key", "proving.key")), str(srs)), "setup")
    seconds = time.perf_counter() - started
    sizes = {f"{kind}_key_bytes": (folder / f"{kind}.key").stat().st_size for kind in ("proving", "verifying")}
    return {"setup_s": seconds, **sizes}


def prove(folder: Path, srs: Path) -> Result:
    """One proof, keys read from their files as ezkl always does; the witness apart."""
    started = time.perf_counter()
    ezkl.gen_witness(*(name(folder, file) for file in ("input.json", "circuit.ezkl", "witness.json")))
    witness_s = time.perf_counter() - started
    started, cpu_started = time.perf_counter(), time.process_time()
    ezkl.prove(*(name(folder, file) for file in ("witness.json", "circuit.ezkl", "proving.key", "proof.json")), str(srs))
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    return {"witness_s": witness_s, "prove_s": seconds, "prove_cpu_s": cpu_s, "proof_bytes": count_proof_bytes(folder)}


def count_proof_bytes(folder: Path) -> int:
    """The proof alone, not the JSON around it."""
    proof = json.loads((folder / "proof.json").read_text())["proof"]
    return (len(proof) - 2) // 2 if isinstance(proof, str) else len(proof)


def verify(folder: Path, srs: Path) -> Result:
    started = time.perf_counter()
    require(ezkl.verify(*(name(folder, file) for file in ("proof.json", "settings.json", "verifying.key")), str(srs)), "verify")
    return {"verify_s": time.perf_counter() - started}


def name(folder: Path, file: str) -> str:
    return str(folder / file)


def require(outcome: Any, what: str) -> None:
    if outcome is not True:
        sys.exit(f"ezkl.{what} gives {outcome!r}")


def read_peak_bytes() -> int:
    """As circuits/bench/process.py, which cannot be imported here."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


STEPS: dict[str, Callable[[Path, Path], Result]] = {
    "calibrate": calibrate,
    "srs": make_srs,
    "setup": set_up,
    "prove": prove,
    "verify": verify,
}


if __name__ == "__main__":
    result = STEPS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
    print(json.dumps(result | {"peak_bytes": read_peak_bytes()}))
