"""The lowered float network against the file itself, on onnxruntime: a reading of ONNX that differs from the runtime's
must not become a model.

Compared at the tensor the canonical output stands for, on a few calibration samples, one statement at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from circuits.compiler.lower import find_needed_nodes
from circuits.compiler.source import SourceGraph
from circuits.compiler.values import Left
from circuits.errors import CompileError
from circuits.tensors import Integers, Reals

SAMPLES = 16
TOLERANCE = 1e-3  # of the largest magnitude: float32 sums against float64 ones, after a scaler that subtracts large numbers
QUANTISED_TOLERANCE = 0.1  # where the source rounds to 8 bits itself: a sum near a tie falls on either side, and what follows feels it
MOST_DIFFERENCE = 0.1  # of the largest magnitude, on average: an integer network further from the file than this is refused
QUIET = 4
RUNTIME_REFUSALS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
    UnicodeDecodeError,
)


@dataclass(frozen=True)
class Difference:
    """Between the dequantised integer outputs and onnxruntime's, on `samples`: in steps, and of the largest magnitude.

    A step is 2^-exponent of the output, or the scale of the output's own quanta where the file is quantised.
    """

    samples: int
    step: float
    largest_quanta: float
    mean_quanta: float
    largest_relative: float
    mean_relative: float


def choose_samples(count: int) -> NDArray[np.int64]:
    """Which of the calibration samples are compared."""
    return np.unique(np.linspace(0, count - 1, SAMPLES).astype(np.int64))


def run_on_runtime(source: SourceGraph, result: Left, samples: Reals) -> Reals:
    """(n, size) outputs on onnxruntime for samples (n, size). Raises CompileError if it refuses the model."""
    try:
        return _run(source, result, samples)
    except RUNTIME_REFUSALS as error:
        raise CompileError(f"onnxruntime {onnxruntime.__version__} refuses the model: {str(error).splitlines()[0]}") from error


def check_against_runtime(computed: Reals, lowered: Reals, *, is_quantised: bool) -> None:
    """Raise CompileError unless the float network's outputs `lowered` (n, size) are onnxruntime's `computed`."""
    if computed.shape != lowered.shape:
        raise CompileError("the size of the output on onnxruntime", lowered.shape[1], computed.shape[1])
    largest = float(np.abs(lowered).max())
    distance = float(np.abs(computed - lowered).max())
    tolerance = QUANTISED_TOLERANCE if is_quantised else TOLERANCE
    if not distance <= tolerance * max(largest, 1e-30):
        problem = "the lowered network differs from the file on onnxruntime (a file whose float32 sums cancel does so too)"
        raise CompileError(problem, f"within {tolerance} of {largest:.6g}", f"{distance:.6g}")


def measure_difference(computed: Reals, integers: Integers, exponent: int, quantum: float | None) -> Difference:
    """Raise CompileError where the integer network is too far from the file to stand for it."""
    distance = np.abs(np.ldexp(integers.astype(np.float64), -exponent) - computed)
    largest = max(float(np.abs(computed).max()), 1e-30)
    relative = float(distance.mean()) / largest
    if not relative <= MOST_DIFFERENCE:
        problem = "the integer network is too far from the file on onnxruntime; other calibration samples or another model are needed"
        raise CompileError(problem, f"on average within {MOST_DIFFERENCE} of {largest:.6g}", f"{distance.mean():.6g}")
    step = quantum if quantum is not None else float(np.ldexp(1.0, -exponent))
    quanta = distance / step
    return Difference(len(computed), step, float(quanta.max()), float(quanta.mean()), float(distance.max()) / largest, relative)


def _run(source: SourceGraph, result: Left, samples: Reals) -> Reals:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = QUIET
    # As the file says: optimised, onnxruntime 1.31.1 makes a Pad and a MaxPool one, and loses the padding's zeros.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = _expose(source.model, result.core_name).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    dtype = np.float64 if source.input_is_double else np.float32
    outputs = []
    for sample in samples:
        fed = {source.input_name: sample.astype(dtype).reshape(source.input_shape)}
        outputs.append(np.asarray(session.run([result.core_name], fed)[0], np.float64).reshape(-1))
    return np.array(outputs)


def _expose(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The same model with tensor `name` as its only output, and only the nodes it depends on.

    A classifier that applies its own transform hands out raw scores instead.
    """
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    nodes = find_needed_nodes(exposed.graph, {name})
    del exposed.graph.output[:], exposed.graph.node[:]
    exposed.graph.node.extend(nodes)
    exposed.graph.output.append(onnx.ValueInfoProto(name=name))
    for node in exposed.graph.node:
        if name in node.output and node.op_type == "LinearClassifier":
            for attribute in node.attribute:
                if attribute.name == "post_transform":
                    attribute.s = b"NONE"
    return exposed
