"""What runs in a process of its own, on our side: `python -m circuits.bench.worker STEP FOLDER COUNT`.

The folder holds a model's ONNX file and inputs (circuits/bench/models.py); `register` adds the canonical model, `prove` the
proofs that `verify` reads. Each prints one JSON object: times in seconds, and the peak of the process's memory.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from circuits import CanonicalModel, engine, prove, verify
from circuits.bench import MODEL_FILE, SAMPLES_FILE
from circuits.bench.process import Result, read_peak_bytes
from circuits.engine import Integers, Vector
from circuits.field import MODULUS
from circuits.layout import Layer, Lookup, Space
from circuits.model import compute_parts
from circuits.setup import load_ceremony
from circuits.trace import pad_axes

CANONICAL, PROOFS = "canonical", "proofs.npz"
FLOOR_SEED = 7
P = ParamSpec("P")
T = TypeVar("T")


def register(folder: Path, _count: int) -> Result:
    """Compile (which commits) and save; then commit once more, to know its share."""
    from circuits import compile_model  # no other step pays for what it imports

    samples = np.load(folder / SAMPLES_FILE)
    model, registration_s = measure(compile_model, folder / MODEL_FILE, samples)
    _, commit_s = measure(compute_parts, model.network, model.parameters)
    model.save(folder / CANONICAL)
    layout = model.committed.layout
    return {
        "registration_s": registration_s,
        "commit_s": commit_s,
        "parameters": model.parameters.count,
        "activations": sum(operator.size for operator in model.network.operators),
        "commitments": len(layout.parameter_chunks),
        "rows": layout.rows.live,
        "columns": len(layout.columns),
    }


def prove_some(folder: Path, count: int) -> Result:
    """`count` proofs of different inputs, in one process; loading apart."""
    model, load_s = measure(load, folder)
    loaded_peak = read_peak_bytes()
    inputs = model.quantize(np.load(folder / SAMPLES_FILE))[:count]
    contexts = [number.to_bytes(32, "big") for number in range(len(inputs))]
    proofs, prove_s, prove_cpu_s = [], [], []
    for x, context in zip(inputs, contexts, strict=True):
        cpu_started = time.process_time()
        proof, seconds = measure(prove, model, x, context)
        prove_cpu_s.append(time.process_time() - cpu_started)
        prove_s.append(seconds)
        proofs.append(np.frombuffer(proof, np.uint8))
    np.savez(folder / PROOFS, x=inputs, y=model.run(inputs), proofs=np.array(proofs))
    return {
        "load_s": load_s,
        "prove_s": prove_s,
        "prove_cpu_s": prove_cpu_s,
        "proof_bytes": len(proofs[0]),
        "loaded_peak_bytes": loaded_peak,
    }


def load(folder: Path) -> CanonicalModel:
    """All that is done once, before a first proof: files read and checked, the ceremony's powers multiplied."""
    model = CanonicalModel.load(folder / CANONICAL)
    assert load_ceremony().powers, "computed once"
    assert model.committed.chunks, "laid out once"
    return model


def verify_some(folder: Path, _count: int) -> Result:
    """Every proof the last `prove` left. Raises ProofError if one is refused."""
    model = CanonicalModel.load(folder / CANONICAL)
    _, commitments_s = measure(getattr, model, "verifying")
    verify_s = []
    with np.load(folder / PROOFS, allow_pickle=False) as saved:
        for number, (x, y, proof) in enumerate(zip(saved["x"], saved["y"], saved["proofs"], strict=True)):
            verify_s.append(measure(verify, model, x, y, proof.tobytes(), number.to_bytes(32, "big"))[1])
    return {"commitments_s": commitments_s, "verify_s": verify_s}


def measure_floor(folder: Path, count: int) -> Result:
    """What no prover of this protocol can leave out: full-width sums of 4096 points for A, B and the quotient, those of H over its
    true rows, and one pass over the weights. On random numbers, each apart from everything else."""
    model = load(folder)
    layout, powers = model.committed.layout, load_ceremony().powers
    a, b, quotient = (draw(1 << layout.chunk_bits) for _ in range(3))
    helpers = draw_helpers(model)
    weights = [array for numbers in model.parameters.layers for array in numbers.weights]
    points = [draw(array.shape[-1]) for array in weights]
    parts: dict[str, Callable[[], object]] = {
        "parts": lambda: powers.commit_many([a, b]),
        "quotient": lambda: powers.commit(quotient),
        "helpers": lambda: powers.commit_many(helpers),
        "weights": lambda: read_once(weights, points),
    }
    return {key: value for name, action in parts.items() for key, value in measure_often(name, count, action).items()}


def draw(length: int) -> Vector:
    """Elements of the field as wide as any, the same in every run."""
    rng = np.random.default_rng(FLOOR_SEED)
    return engine.from_scalars([int.from_bytes(rng.bytes(32), "big") % MODULUS for _ in range(length)])


def draw_helpers(model: CanonicalModel) -> list[Vector]:
    """The chunks of H, random on true rows: those of padding are all alike, and a sum of theirs could be had for less."""
    layout = model.committed.layout
    vector = np.zeros(((max(layout.helper_chunks) + 1) << layout.chunk_bits, 4), np.uint64)
    blocks: dict[str, tuple[Space, Sequence[Layer | Lookup]]] = {
        "rows": (layout.rows, layout.layers),
        "look": (layout.look, layout.lookups),
    }
    for name, start in layout.helper_starts.items():
        space, operators = blocks[name]
        for block in operators:
            is_true = pad_axes(block.operator.shape, np.ones(block.operator.size, dtype=np.int64)) == 1
            first = start + space.starts[block.index]
            vector[first : first + len(is_true)][is_true] = draw(block.operator.size)
    return [
        np.ascontiguousarray(vector[number << layout.chunk_bits : (number + 1) << layout.chunk_bits]) for number in layout.helper_chunks
    ]


def read_once(weights: Sequence[Integers], points: Sequence[Vector]) -> None:
    """Every weight times one element of the field."""
    for array, point in zip(weights, points, strict=True):
        engine.contract(np.ascontiguousarray(array.reshape(-1)), (array.size // len(point), len(point), 1), point)


def measure(action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """The result, and the seconds it took."""
    started = time.perf_counter()
    value = action(*args, **kwargs)
    return value, time.perf_counter() - started


def measure_often(name: str, count: int, action: Callable[[], object]) -> Result:
    """Medians of time, and of time of all cores together."""
    seconds, cpu_seconds = [], []
    for _ in range(count):
        cpu_started = time.process_time()
        seconds.append(measure(action)[1])
        cpu_seconds.append(time.process_time() - cpu_started)
    return {f"{name}_s": statistics.median(seconds), f"{name}_cpu_s": statistics.median(cpu_seconds)}


STEPS: dict[str, Callable[[Path, int], Result]] = {
    "register": register,
    "prove": prove_some,
    "verify": verify_some,
    "floor": measure_floor,
}


if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3])) | {"peak_bytes": read_peak_bytes()}))
