"""The bench's tables: medians, ratios, and which targets the figures meet. Every cell comes from a measurement or says why not."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from circuits import engine
from circuits.bench.models import BenchModel
from circuits.bench.ours import FLOOR_PARTS, Ours, find_median
from circuits.bench.process import Limits, read_available_bytes
from circuits.bench.rival import Theirs

NOTHING = "–"
Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """`notes` stand under it."""

    title: str
    columns: Row
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """One model; `theirs` is None where ezkl was left out."""

    model: BenchModel
    ours: Ours
    theirs: Theirs | None = None

    @property
    def ezkl_s(self) -> float | None:
        return find_median([proof["prove_s"] for proof in self.theirs.proofs]) if self.theirs else None

    @property
    def ezkl_cpu_s(self) -> float | None:
        return find_median([proof["prove_cpu_s"] for proof in self.theirs.proofs]) if self.theirs else None

    @property
    def ratio(self) -> float | None:
        """How many of our proofs take the time of one of ezkl's."""
        return _divide(self.ezkl_s, self.ours.prove_s)


# ---- the machine -------------------------------------------------------------------------------------------------------------------


def describe_machine(ezkl: str | None, limits: Limits) -> Table:
    """The header: without it no figure means anything."""
    names = ("numpy", "onnx", "onnxruntime", *(["affidavit-kernel"] if engine.NAME == "kernel" else []))
    rows = [
        ("processor", f"{os.cpu_count()} cores {platform.machine()}, {_read_processor()}"),
        ("memory", f"{_bytes(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))}, {_bytes(read_available_bytes())} available"),
        ("load", ", ".join(f"{load:.1f}" for load in os.getloadavg()) + " (1, 5, 15 minutes)"),
        ("Python", f"{platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names)),
        ("engine", "kernel (Rust)" if engine.NAME == "kernel" else "twin (plain Python): build the kernel to measure what proofs cost"),
    ]
    if ezkl:
        rows.append(
            ("ezkl", f"{ezkl}: at most {_bytes(limits.memory_bytes)} and {limits.seconds:.0f} s a step, powers made here (insecure)")
        )
    return Table("Measured on", ("what", "which"), tuple(rows))


def _read_processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor unknown")


# ---- the models --------------------------------------------------------------------------------------------------------------------


def make_tables(measured: Sequence[Measured]) -> Iterator[Table]:
    """All that is about the models."""
    yield make_times(measured)
    yield make_sizes(measured)
    yield make_preparations(measured)
    yield make_floor(measured)
    yield make_targets(measured)


def make_times(measured: Sequence[Measured]) -> Table:
    rows = tuple(
        (
            m.model.name,
            _count(m.ours, "parameters"),
            _count(m.ours, "activations"),
            _seconds(m.ours.cold_s),
            _seconds(m.ours.prove_s),
            _seconds(m.ezkl_s),
            _ratio(m.ratio),
            _seconds(m.ours.cpu_s),
            _seconds(m.ezkl_cpu_s),
            _ratio(_divide(m.ezkl_cpu_s, m.ours.cpu_s)),
        )
        for m in measured
    )
    notes = (
        "first: loading the model and the ceremony's points, then one proof. CPU: all cores together, which neighbours change less.",
        "ezkl reads its key for every proof, as it does everywhere; its witness is not counted.",
        *_list_stops(measured),
    )
    columns = ("model", "parameters", "activations", "first", "ours", "ezkl", "ours/ezkl", "ours, CPU", "ezkl, CPU", "ours/ezkl")
    return Table("One proof (median)", columns, rows, notes)


def _list_stops(measured: Sequence[Measured]) -> list[str]:
    """Every step that gave no figure."""
    mine = [f"{m.model.name}, ours: {m.ours.stopped}" for m in measured if m.ours.stopped]
    return mine + [f"{m.model.name}, ezkl: {m.theirs.stopped}" for m in measured if m.theirs and m.theirs.stopped]


def make_sizes(measured: Sequence[Measured]) -> Table:
    rows = []
    for m in measured:
        proofs, verified = (m.theirs.proofs, m.theirs.verified) if m.theirs else ((), ())
        rows.append(
            (
                m.model.name,
                _bytes(m.ours.peak_bytes),
                _bytes(max((proof["peak_bytes"] for proof in proofs), default=None)),
                _bytes(m.ours.proofs[0]["proof_bytes"] if m.ours.proofs else None),
                _bytes(proofs[0]["proof_bytes"] if proofs else None),
                _seconds(m.ours.verify_s),
                _seconds(find_median([result["verify_s"] for result in verified])),
            )
        )
    columns = ("model", "peak", "ezkl", "proof", "ezkl", "verify", "ezkl")
    return Table("Peak memory of the process that proves, size of a proof, verification (median)", columns, tuple(rows))


def make_preparations(measured: Sequence[Measured]) -> Table:
    rows = []
    for m in measured:
        registered, keys = m.ours.registered or {}, (m.theirs.keys if m.theirs else None) or {}
        rows.append(
            (
                m.model.name,
                _seconds(registered.get("registration_s")),
                _seconds(registered.get("commit_s")),
                _bytes(registered.get("peak_bytes")),
                _seconds(keys.get("setup_s")),
                _bytes(keys.get("peak_bytes")),
                _bytes(keys.get("proving_key_bytes")),
                _bytes(keys.get("verifying_key_bytes")),
            )
        )
    columns = ("model", "register", "of it commit", "peak", "ezkl set-up", "peak", "proving key", "verifying key")
    return Table("Once a model: ours compiles and commits, ezkl makes keys (its calibration is not counted)", columns, tuple(rows))


def make_floor(measured: Sequence[Measured]) -> Table:
    rows = []
    for m in measured:
        parts = [_seconds(m.ours.floor.get(part)) for part in FLOOR_PARTS]
        sums = _seconds(m.ours.floor_s), _seconds(m.ours.prove_s), _times(_divide(m.ours.prove_s, m.ours.floor_s))
        of_cpu = _seconds(m.ours.floor_cpu_s), _seconds(m.ours.cpu_s), _times(_divide(m.ours.cpu_s, m.ours.floor_cpu_s))
        rows.append((m.model.name, *parts, *sums, *of_cpu))
    columns = ("model", "A, B", "quotient", "H", "weights", "floor", "proof", "ratio", "floor, CPU", "proof, CPU", "ratio")
    notes = ("Full-width sums that the protocol cannot avoid, and one multiplication a weight: each measured apart, on random numbers.",)
    return Table("Distance from the floor (medians)", columns, tuple(rows), notes)


# ---- the targets -------------------------------------------------------------------------------------------------------------------


def make_targets(measured: Sequence[Measured]) -> Table:
    rows = tuple(row for m in measured for row in list_targets(m))
    return Table("Targets", ("model", "what", "at most", "measured", "met"), rows)


def list_targets(m: Measured) -> Iterator[Row]:
    """A row for every target of a model; met is "yes", "no", or why nobody knows."""
    target, name = m.model.target, m.model.name
    if target.ratio:
        met = _is_met(None if m.ratio is None else 1 / m.ratio, 1 / target.ratio)
        yield name, "proof, share of ezkl's", f"1/{target.ratio}", _ratio(m.ratio), met
    if target.prove_s:
        yield name, "proof", _seconds(target.prove_s), _seconds(m.ours.prove_s), _is_met(m.ours.prove_s, target.prove_s)
    if target.peak_bytes:
        yield name, "peak memory", _bytes(target.peak_bytes), _bytes(m.ours.peak_bytes), _is_met(m.ours.peak_bytes, target.peak_bytes)
    if target.verify_s:
        yield name, "verification", _seconds(target.verify_s), _seconds(m.ours.verify_s), _is_met(m.ours.verify_s, target.verify_s)
    if target.registration_s:
        took = (m.ours.registered or {}).get("registration_s")
        yield name, "registration", _seconds(target.registration_s), _seconds(took), _is_met(took, target.registration_s)


def _is_met(measured: float | None, most: float) -> str:
    if measured is None:
        return "not measured"
    return "yes" if measured <= most else "no"


# ---- the sweeps --------------------------------------------------------------------------------------------------------------------


def make_sweep(name: str, measured: Sequence[Measured]) -> Table:
    """How the cost grows along one axis, with the slope of the straight line through the figures."""
    grows = "parameters" if name == "sweep-widths" else "activations"
    rows = tuple(
        (
            m.model.name,
            _count(m.ours, "parameters"),
            _count(m.ours, "activations"),
            _seconds(m.ours.prove_s),
            _seconds(m.ours.cpu_s),
            _times(_divide(m.ours.cpu_s, m.ours.floor_cpu_s)),
            _bytes(m.ours.peak_bytes),
            _bytes(m.ours.proofs[0]["proof_bytes"] if m.ours.proofs else None),
            _seconds(m.ours.verify_s),
        )
        for m in measured
    )
    columns = ("model", "parameters", "activations", "proof", "CPU", "CPU/floor", "peak", "bytes", "verify")
    known = [(m.ours.registered[grows], m.ours.prove_s, m.ours.cpu_s) for m in measured if m.ours.registered]
    lines = [
        _fit_line(grows, "proof", [(count, wall) for count, wall, _ in known if wall]),
        _fit_line(grows, "CPU", [(count, cpu) for count, _, cpu in known if cpu]),
    ]
    return Table(f"How cost grows with {grows}", columns, rows, (*lines, *_list_stops(measured)))


def _fit_line(grows: str, what: str, points: Sequence[tuple[int, float]]) -> str:
    if len(points) < 2:
        return f"{what}: too few figures for a line"
    counts, seconds = np.array(points, dtype=np.float64).T
    slope, start = np.polyfit(counts, seconds, 1)
    unit, of = (1e6, "million parameters") if grows == "parameters" else (1e4, "ten thousand activations")
    return f"{what}, least squares: {start * 1e3:.0f} ms, and {slope * unit * 1e3:.0f} ms for every {of}"


# ---- cells -------------------------------------------------------------------------------------------------------------------------


def _count(ours: Ours, name: str) -> str:
    return f"{ours.registered[name]:,}" if ours.registered else NOTHING


def _seconds(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value * 1e3:.1f} ms" if value < 0.1 else f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.1f} s"


def _bytes(value: float | None) -> str:
    """Decimal units."""
    if value is None:
        return NOTHING
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 999.5 * size else f"{value / size:,.0f} {unit}"
    return f"{value:.0f} B"


def _divide(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a / b


def _times(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    """Rounded so that it never says more than was measured."""
    return NOTHING if value is None else f"1/{int(value)}"
