"""Small float ONNX graphs for the compiler's tests, written as lists of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference

NodeText = tuple[str, Sequence[str], Sequence[str], Mapping[str, Any]]


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> NodeText:
    """`inputs` and `outputs` are names separated by spaces; "-" stands for an input left out."""
    return operator, ["" if name == "-" else name for name in inputs.split()], outputs.split(), attributes


def build(
    nodes: Sequence[NodeText],
    constants: Mapping[str, Any] | None = None,
    shape: Sequence[Any] = ("batch", 4),
    outputs: str = "y",
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
) -> ModelProto:
    """A model with input x and the outputs named; constants as float32 unless they are arrays."""
    protos = []
    for operator, inputs, results, attributes in nodes:
        domain, _, name = operator.rpartition(".")
        protos.append(helper.make_node(name, inputs, results, name=f"{name}_{results[0]}", domain=domain, **attributes))
    tensors = []
    for name, value in (constants or {}).items():
        array = value if isinstance(value, np.ndarray) else np.array(value, np.float32)
        tensors.append(numpy_helper.from_array(array, name))
    source = helper.make_tensor_value_info("x", dtype, shape)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(protos, "graph", [source], [], tensors)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    inferred = {value.name: value for value in shape_inference.infer_shapes(model).graph.value_info}
    unknown = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "n"]) for name in outputs.split()]
    model.graph.output.extend(inferred.get(value.name, value) for value in unknown)
    return model


def write(model: ModelProto, folder: Path) -> Path:
    """The model as a file."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def run_float(model: ModelProto, x: Any) -> list[Any]:
    """All outputs on onnxruntime, one statement at a time, stacked."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    fixed = [1 if isinstance(d, str) else d for d in session.get_inputs()[0].shape]
    dtype = np.float64 if "double" in session.get_inputs()[0].type else np.float32
    rows = [session.run(None, {"x": np.asarray(sample, dtype).reshape(fixed)}) for sample in x]
    return [np.stack([np.asarray(row[i]).reshape(-1) for row in rows]) for i in range(len(rows[0]))]
