"""Our side of the bench: every step of a model in a process of its own."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from circuits.bench.process import Limits, Result, Stopped, run_step


@dataclass(frozen=True)
class Effort:
    """Fresh processes, and in each of them proofs after the first, which warms it up."""

    processes: int = 3
    proofs: int = 5


@dataclass(frozen=True)
class Ours:
    """What every step gave, in their order; `stopped` says which step gave nothing and why, and all after it are missing."""

    registered: Result | None = None
    proofs: tuple[Result, ...] = ()
    verified: tuple[Result, ...] = ()
    floor: Result | None = None
    stopped: str = ""

    @property
    def prove_s(self) -> float | None:
        """Median of all proofs but the first of each process."""
        return find_median(self._list_warm())

    @property
    def fastest_s(self) -> float | None:
        return min(self._list_warm(), default=None)

    def _list_warm(self) -> list[float]:
        return [seconds for result in self.proofs for seconds in result["prove_s"][1:]]

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
    def floor_s(self) -> float | None:
        return sum(seconds for name, seconds in self.floor.items() if name.endswith("_s")) if self.floor else None


def find_median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def measure(folder: Path, limits: Limits, effort: Effort) -> Ours:
    """Everything about the model in `folder` (circuits/bench/models.py)."""
    ours, step, proofs = Ours(), "registration", effort.proofs + 1
    try:
        ours = replace(ours, registered=_run("register", folder, 1, limits))
        for _ in range(effort.processes):
            step = "proof"
            ours = replace(ours, proofs=(*ours.proofs, _run("prove", folder, proofs, limits)))
            step = "verification"
            ours = replace(ours, verified=(*ours.verified, _run("verify", folder, proofs, limits)))
        step = "floor"
        return replace(ours, floor=_run("floor", folder, proofs, limits))
    except Stopped as stopped:
        return replace(ours, stopped=f"{step}: {stopped}")


def _run(step: str, folder: Path, count: int, limits: Limits) -> Result:
    return run_step([sys.executable, "-m", "circuits.bench.worker", step, str(folder), str(count)], limits)
