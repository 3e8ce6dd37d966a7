"""Latency of one inference on a node: input bytes in, output bytes and digests out, on onnxruntime."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np

from oracle.demo.local_keys import find_seeds
from oracle.node.infer import infer
from oracle.node.models import ServedModel, load_library
from oracle.pipeline.catalogue import describe_directory
from oracle.pipeline.inputs import Reals, Tensors, WantedInput, encode_input
from oracle.pipeline.typed import WantedTensor
from oracle.records import ModelKind

ROUNDS = 2000
WARM_UP = 50

Row = tuple[str, ...]


def measure() -> list[Row]:
    """Rows (model, kind, median, 99th percentile), in microseconds, over ROUNDS held-back inputs in turn."""
    return [_measure_one(path) for path in sorted((find_seeds() / "models").glob("*/*/manifest.json"))]


def _measure_one(manifest: Path) -> Row:
    directory = manifest.parent
    model = load_library((directory,)).get(describe_directory(directory).model_id)
    inputs = _inputs(directory)
    for data in inputs[:WARM_UP]:
        infer(model, data)
    micros = sorted(_time(model, inputs[i % len(inputs)]) for i in range(ROUNDS))
    median, tail = statistics.median(micros), micros[int(0.99 * ROUNDS)]
    return directory.parent.name, model.directory.kind.name.lower(), f"{median:.0f}", f"{tail:.0f}"


def _time(model: ServedModel, data: bytes) -> float:
    started = time.perf_counter()
    infer(model, data)
    return (time.perf_counter() - started) * 1e6


def _inputs(directory: Path) -> list[bytes]:
    described = describe_directory(directory)
    with np.load(find_seeds() / f"data/{directory.parent.name}.npz", allow_pickle=False) as data:
        samples = data["x_held_back"]
    return [encode_input(described, _wanted(described.kind, described.input.tensors[0].name, sample)) for sample in samples]


def _wanted(kind: ModelKind, name: str, sample: np.ndarray) -> WantedInput:
    values = tuple(map(float, sample.ravel()))
    return Reals(values) if kind is ModelKind.CANONICAL else Tensors({name: WantedTensor((1, *sample.shape), values)})
