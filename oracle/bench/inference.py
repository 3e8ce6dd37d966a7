"""Latency of one inference on a node: input bytes in, output bytes and digests out, on onnxruntime.

In the asking process, as canonical models run; and in a child, as opaque ones do, with the way there and back and the check of what came.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from oracle.demo.local_keys import find_seeds
from oracle.node.executor import Limits, Observer, ProcessExecutor, Workplace
from oracle.node.infer import infer
from oracle.node.models import OpaqueModel, load_library
from oracle.node.work import infer_elsewhere, serve_elsewhere
from oracle.pipeline.catalogue import describe_directory
from oracle.pipeline.inputs import Reals, Tensors, WantedInput, encode_input
from oracle.pipeline.typed import WantedTensor
from oracle.records import ModelKind

ROUNDS = 2000
WARM_UP = 50

Row = tuple[str, ...]


COLUMNS = ("model", "kind", "median µs", "99th percentile µs", "in a child: median µs", "99th percentile µs", "ratio of medians")


def measure() -> list[Row]:
    """Rows of COLUMNS, over ROUNDS held-back inputs in turn."""
    executor = ProcessExecutor(1, Limits())
    try:
        workplace = Workplace(executor, 1, Observer())
        return [_measure_one(path, workplace) for path in sorted((find_seeds() / "models").glob("*/*/manifest.json"))]
    finally:
        executor.stop(0)


def _measure_one(manifest: Path, workplace: Workplace) -> Row:
    directory = manifest.parent
    model = load_library((directory,)).get(describe_directory(directory).model_id)
    inputs = _inputs(directory)
    here = _time(lambda data: infer(model, data), inputs)
    row = (directory.parent.name, model.directory.kind.name.lower(), f"{here[0]:.0f}", f"{here[1]:.0f}")
    if not isinstance(model, OpaqueModel):
        return (*row, "", "", "")
    elsewhere = serve_elsewhere(model.directory, workplace)
    there = _time(lambda data: infer_elsewhere(elsewhere, data, workplace), inputs)
    return (*row, f"{there[0]:.0f}", f"{there[1]:.0f}", f"{there[0] / here[0]:.1f}")


def _time(run: Callable[[bytes], object], inputs: Sequence[bytes]) -> tuple[float, float]:
    """(median, 99th percentile) in microseconds."""
    for data in inputs[:WARM_UP]:
        run(data)
    micros = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        run(inputs[number % len(inputs)])
        micros.append((time.perf_counter() - started) * 1e6)
    return statistics.median(micros), sorted(micros)[int(0.99 * ROUNDS)]


def _inputs(directory: Path) -> list[bytes]:
    described = describe_directory(directory)
    with np.load(find_seeds() / f"data/{directory.parent.name}.npz", allow_pickle=False) as data:
        samples = data["x_held_back"]
    return [encode_input(described, _wanted(described.kind, described.input.tensors[0].name, sample)) for sample in samples]


def _wanted(kind: ModelKind, name: str, sample: np.ndarray) -> WantedInput:
    values = tuple(map(float, sample.ravel()))
    return Reals(values) if kind is ModelKind.CANONICAL else Tensors({name: WantedTensor((1, *sample.shape), values)})
