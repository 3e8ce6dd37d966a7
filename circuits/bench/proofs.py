"""The proof bench: what a proof costs on this machine, beside ezkl on the same files, and how far from the floor it is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from circuits.bench import ours, report, rival
from circuits.bench.models import IMAGE_SWEEP, MODELS, WIDTH_SWEEP, BenchModel
from circuits.bench.process import Limits, read_available_bytes
from circuits.bench.report import Measured, Table
from circuits.errors import CircuitError

STEP_SECONDS = 900
MEMORY_SHARE = 0.9  # of what is available: beyond it the machine would end some process, and not always the right one
SWEEPS = {"sweep-widths": WIDTH_SWEEP, "sweep-images": IMAGE_SWEEP}
NAMES = (*(model.name for model in MODELS), *SWEEPS)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """Rounds of fresh processes, and in each of them proofs after the first, which warms it up."""

    rounds: int = 3
    proofs: int = 5


SWEEP_EFFORT = Effort(rounds=1, proofs=9)


def run(only: Sequence[str], with_ezkl: bool, tell: Tell) -> Iterator[Table]:
    """Tables in their order, each as soon as it is known; `only` names models and sweeps, all where it is empty. Raises
    CircuitError for a name that is none, or where ezkl cannot be installed."""
    if unknown := sorted(set(only) - set(NAMES)):
        raise CircuitError("--only", f"one of {', '.join(NAMES)}", ", ".join(unknown))
    if with_ezkl:
        tell(f"ezkl {rival.read_version()} in {rival.ENVIRONMENT}")
        rival.ensure_environment()
    models = [model for model in MODELS if not only or model.name in only]
    measured = [measure(model, Effort(), with_ezkl, tell) for model in models]
    yield report.describe_machine(rival.read_version() if with_ezkl else None, make_limits())
    if measured:
        yield from report.make_tables(measured)
    for name, sweep in SWEEPS.items():
        if not only or name in only:
            yield report.make_sweep(name, [measure(model, SWEEP_EFFORT, False, tell) for model in sweep])


def make_limits() -> Limits:
    """For one process, now."""
    return Limits(MEMORY_SHARE * read_available_bytes(), STEP_SECONDS)


def measure(model: BenchModel, effort: Effort, with_ezkl: bool, tell: Tell) -> Measured:
    """Both sides of one model in turn, so that a machine which others use is as slow for one as for the other. In a folder that is
    gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="affidavit-bench-") as name:
        folder = Path(name)
        model.write(folder)
        tell(f"{model.name}: registration")
        mine = ours.register(folder, make_limits())
        theirs = None
        if with_ezkl:
            tell(f"{model.name}: ezkl's set-up")
            theirs = rival.set_up(folder, make_limits())
        for number in range(effort.rounds):
            tell(f"{model.name}: proofs, round {number + 1} of {effort.rounds}")
            mine = ours.add_round(mine, folder, make_limits(), effort.proofs)
            theirs = theirs and rival.add_round(theirs, folder, make_limits())
        return Measured(model, mine, theirs)
