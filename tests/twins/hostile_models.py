"""Opaque models that a node must survive. Each is an ordinary ONNX file that onnxruntime loads; what it does depends on its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from oracle.node.directory import ModelDirectory
from oracle.node.models import write_opaque_manifest
from oracle.tensors import encode_tensors, from_numpy

SMALLEST = -(1 << 63)


def integers_input(*values: int) -> bytes:
    return encode_tensors([from_numpy(np.array(values, dtype="<i8"))])


def _write(folder: Path, name: str, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], out: int) -> ModelDirectory:
    ports = [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"]), helper.make_tensor_value_info("y", out, None)]
    graph = helper.make_graph(nodes, name, ports[:1], ports[1:], constants)
    path = folder / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return write_opaque_manifest(path, folder / name, name)


def write_dividing(folder: Path) -> ModelDirectory:
    """x / −1: SMALLEST has no quotient, and the processor ends the process (SIGFPE)."""
    minus_one = helper.make_tensor("d", TensorProto.INT64, [1], [-1])
    return _write(folder, "dividing", [helper.make_node("Div", ["x", "d"], ["y"])], [minus_one], TensorProto.INT64)


def write_looping(folder: Path) -> ModelDirectory:
    """Counts from 0 to x[0]: 10 is nothing, SMALLEST's negation for ever."""
    body_in = [helper.make_tensor_value_info(n, t, []) for n, t in (("i", 7), ("c", 9), ("s", 7))]
    body_out = [helper.make_tensor_value_info(n, t, []) for n, t in (("c2", 9), ("s2", 7))]
    steps = [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["s", "one"], ["s2"])]
    body = helper.make_graph(steps, "body", body_in, body_out, [helper.make_tensor("one", TensorProto.INT64, [], [1])])
    zero, yes = helper.make_tensor("zero", TensorProto.INT64, [], [0]), helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    shape = helper.make_tensor("scalar", TensorProto.INT64, [0], [])
    nodes = [helper.make_node("Reshape", ["x", "scalar"], ["n"]), helper.make_node("Loop", ["n", "yes", "zero"], ["y"], body=body)]
    return _write(folder, "looping", nodes, [zero, yes, shape], TensorProto.INT64)


def write_hungry(folder: Path) -> ModelDirectory:
    """The sum of x[0] ones, all of them in memory at once."""
    one = helper.make_tensor("value", TensorProto.FLOAT, [1], [1])
    nodes = [helper.make_node("ConstantOfShape", ["x"], ["ones"], value=one), helper.make_node("ReduceSum", ["ones"], ["y"], keepdims=0)]
    return _write(folder, "hungry", nodes, [], TensorProto.FLOAT)
