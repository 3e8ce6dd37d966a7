"""`model.onnx`: a canonical network as an ONNX file, a function of descriptor and weights byte for byte.

Only float64 and int64 operators, and every intermediate value is an integer below 2^53, so any runtime computes the
same bits whatever its threads, its optimisation level or its order of summation. Per linear operator:

    Reshape → MatMul (float64) → Add (bias + half + 2^(s+25)) → Cast int64 → Div 2^s → Sub 2^25 → Clip → Cast float64 …

The 2^(s+25) makes the dividend positive (the static bound keeps |acc| below 2^(s+24) + 2^(s+11)), and integer division
of positive numbers is the floor, which ONNX's truncating Div is not for negative ones. Field numbers are those of
onnx.proto3. Needs no onnx package.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.layers.linear import Linear, LinearWeights
from circuits.layers.rescale import compute_half
from circuits.network import Network
from circuits.protobuf import data, integer, text
from circuits.tensors import TensorType

IR_VERSION = 8
OPSET = 17
INT64, FLOAT64 = 7, 11
LIFT_BITS = 25
BATCH = "batch"


def encode_onnx(network: Network, parameters: tuple[LinearWeights, ...], input_name: str, output_name: str) -> bytes:
    """ModelProto bytes. Input and output are int64 with a symbolic batch axis in front of the shapes of the descriptor."""
    graph = _Graph(_choose_prefix(input_name, output_name))
    tensors = [input_name]
    for index, (operator, numbers) in enumerate(zip(network.operators, parameters, strict=True), start=1):
        tensors.append(_emit_linear(graph, f"{graph.prefix}{index}", tensors[operator.operand], operator, numbers))
    shape = graph.constant(f"{graph.prefix}output_shape", np.array([0, *network.output.shape], np.int64))
    graph.node("Reshape", [tensors[network.output_operand], shape], output_name)
    body = b"".join(graph.nodes) + text(2, "affidavit") + b"".join(graph.initializers)
    body += data(11, _value_info(input_name, network.input)) + data(12, _value_info(output_name, network.output))
    opset = data(8, integer(2, OPSET))
    return integer(1, IR_VERSION) + text(2, "affidavit") + data(7, body) + opset


def _emit_linear(graph: _Graph, name: str, operand: str, layer: Linear, numbers: LinearWeights) -> str:
    """Append one linear operator; returns the name of its int64 activations, shaped (batch, positions, out_features)."""
    lift = compute_half(layer.shift) + (1 << (layer.shift + LIFT_BITS))
    shape = graph.constant(f"{name}_shape", np.array([0, layer.positions, layer.in_features], np.int64))
    weights = graph.constant(f"{name}_weights", numbers.weights.T.astype(np.float64))
    bias = graph.constant(f"{name}_bias", (numbers.bias + lift).astype(np.float64))
    divisor = graph.constant(f"{name}_divisor", np.array(1 << layer.shift, np.int64))
    zero = graph.constant(f"{name}_zero", np.array(1 << LIFT_BITS, np.int64))
    low = graph.constant(f"{name}_low", np.array(layer.format.low, np.int64))
    high = graph.constant(f"{name}_high", np.array(layer.format.high, np.int64))
    real = graph.cast(graph.node("Reshape", [operand, shape], f"{name}_rows"), f"{name}_operand", FLOAT64)
    product = graph.node("MatMul", [real, weights], f"{name}_product")
    lifted = graph.cast(graph.node("Add", [product, bias], f"{name}_sum"), f"{name}_lifted", INT64)
    shifted = graph.node("Sub", [graph.node("Div", [lifted, divisor], f"{name}_quotient"), zero], f"{name}_shifted")
    return graph.node("Clip", [shifted, low, high], name)


def _choose_prefix(input_name: str, output_name: str) -> str:
    """Of the names inside, so that none is the input's or the output's, whatever the source model called them."""
    prefix = "layer_"
    while input_name.startswith(prefix) or output_name.startswith(prefix):
        prefix = "_" + prefix
    return prefix


class _Graph:
    """NodeProto and initializer fields of a GraphProto, in the order they were added."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[bytes] = []
        self.initializers: list[bytes] = []

    def node(self, operator: str, inputs: list[str], output: str, attributes: bytes = b"") -> str:
        names = b"".join(text(1, name) for name in inputs) + text(2, output) + text(3, output)
        self.nodes.append(data(1, names + text(4, operator) + attributes))
        return output

    def cast(self, operand: str, output: str, to: int) -> str:
        attribute = text(1, "to") + integer(3, to) + integer(20, 2)
        return self.node("Cast", [operand], output, data(5, attribute))

    def constant(self, name: str, values: NDArray[np.float64] | NDArray[np.int64]) -> str:
        little_endian = values.astype(values.dtype.newbyteorder("<"))
        kind = FLOAT64 if values.dtype.kind == "f" else INT64
        dims = b"".join(integer(1, d) for d in values.shape)
        self.initializers.append(data(5, dims + integer(2, kind) + text(8, name) + data(9, little_endian.tobytes())))
        return name


def _value_info(name: str, tensor: TensorType) -> bytes:
    """A ValueInfoProto of an int64 tensor with the batch axis in front."""
    dims = data(1, text(2, BATCH)) + b"".join(data(1, integer(1, d)) for d in tensor.shape)
    return text(1, name) + data(2, data(1, integer(1, INT64) + data(2, dims)))
