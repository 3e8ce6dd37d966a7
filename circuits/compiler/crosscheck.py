"""The lowered float network against the file itself, on onnxruntime: a reading of ONNX that differs from the runtime's
must not become a model.

Compared at the tensor the canonical output stands for, on a few calibration samples, one statement at a time.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from circuits.compiler.lower import find_needed_nodes
from circuits.compiler.source import SourceGraph
from circuits.compiler.values import Left
from circuits.errors import CompileError
from circuits.tensors import Reals

SAMPLES = 16
TOLERANCE = 1e-3  # of the largest magnitude: float32 sums against float64 ones, after a scaler that subtracts large numbers
QUIET = 4
RUNTIME_REFUSALS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)


def check_against_runtime(source: SourceGraph, result: Left, samples: Reals, lowered: Reals) -> None:
    """Raise CompileError unless onnxruntime computes `lowered` (n, size) from `samples` (n, size)."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, SAMPLES).astype(int))
    try:
        computed = _run(source, result, samples[chosen])
    except RUNTIME_REFUSALS as error:
        raise CompileError(f"onnxruntime {onnxruntime.__version__} refuses the model: {str(error).splitlines()[0]}") from error
    if computed.shape != lowered[chosen].shape:
        raise CompileError("the size of the output on onnxruntime", lowered.shape[1], computed.shape[1])
    largest = float(np.abs(lowered[chosen]).max())
    distance = float(np.abs(computed - lowered[chosen]).max())
    if not distance <= TOLERANCE * max(largest, 1e-30):
        problem = "the lowered network differs from the file on onnxruntime (a file whose float32 sums cancel does so too)"
        raise CompileError(problem, f"within {TOLERANCE} of {largest:.6g}", f"{distance:.6g}")


def _run(source: SourceGraph, result: Left, samples: Reals) -> Reals:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = QUIET
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
