"""Our side of the bench: every step of a model in a process of its own."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from circuits.bench.process import Limits, Result, Stopped, run_step

FLOOR_PARTS = ("parts", "quotient", "helpers", "weights")


@dataclass(frozen=True)
class Ours:
    """What every step gave, a result a process; `stopped` says which step gave nothing and why, and all after it are missing."""

    registered: Result | None = None
    proofs: tuple[Result, ...] = ()
    verified: tuple[Result, ...] = ()
    floors: tuple[Result, ...] = ()
    stopped: str = ""

    @property
    def prove_s(self) -> float | None:
        """Median of all proofs but the first of each process."""
        return find_median([seconds for result in self.proofs for seconds in result["prove_s"][1:]])

    @property
    def cpu_s(self) -> float | None:
        """The same in time of all cores together, which neighbours on the machine change less."""
        return find_median([seconds for result in self.proofs for seconds in result["prove_cpu_s"][1:]])

    @property
    def cold_s(self) -> float | None:
        """From a model on disk to its first proof, the interpreter's start apart: median over processes."""
        return find_median([result["load_s"] + result["prove_s"][0] for result in self.proofs])

    @property
    def verify_s(self) -> float | None:
        """Median of all verifications, the model's commitments known."""
        return find_median([seconds for result in self.verified for seconds in result["verify_s"]])

    @property
    def peak_bytes(self) -> int | None:
        """Of a process that loads the model and proves."""
        return max((result["peak_bytes"] for result in self.proofs), default=None)

    @property
    def floor(self) -> dict[str, float]:
        """Median of each part; empty where none was measured."""
        return self._find_floor("s")

    @property
    def floor_s(self) -> float | None:
        return sum(self.floor.values()) if self.floors else None

    @property
    def floor_cpu_s(self) -> float | None:
        return sum(self._find_floor("cpu_s").values()) if self.floors else None

    def _find_floor(self, unit: str) -> dict[str, float]:
        if not self.floors:
            return {}
        return {part: statistics.median(result[f"{part}_{unit}"] for result in self.floors) for part in FLOOR_PARTS}


def find_median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def register(folder: Path, limits: Limits) -> Ours:
    """Compiles and commits to the model in `folder`."""
    try:
        return Ours(registered=_run("register", folder, 1, limits))
    except Stopped as stopped:
        return Ours(stopped=f"registration: {stopped}")


def add_round(ours: Ours, folder: Path, limits: Limits, proofs: int) -> Ours:
    """A fresh process each for proofs (one more than `proofs`), their verification, and the floor."""
    if ours.stopped:
        return ours
    step, count = "proof", proofs + 1
    try:
        ours = replace(ours, proofs=(*ours.proofs, _run("prove", folder, count, limits)))
        step = "verification"
        ours = replace(ours, verified=(*ours.verified, _run("verify", folder, count, limits)))
        step = "floor"
        return replace(ours, floors=(*ours.floors, _run("floor", folder, count, limits)))
    except Stopped as stopped:
        return replace(ours, stopped=f"{step}: {stopped}")


def _run(step: str, folder: Path, count: int, limits: Limits) -> Result:
    return run_step([sys.executable, "-m", "circuits.bench.worker", step, str(folder), str(count)], limits)
