"""Handwritten digits, 8×8 pixels of 0…16: a 64-64-32-10 perceptron exported as PyTorch would (Gemm with transB, Relu, Softmax)."""

from __future__ import annotations

import jax
import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from sklearn.datasets import load_digits

from seeds.training.descent import Parameters, fit, initialise
from seeds.training.partition import split, write_source

NAME = "digits-mlp"
WIDTHS = (64, 64, 32, 10)
PIXEL_MAX = 16.0


def network(parameters: Parameters, x: jax.Array) -> jax.Array:
    for weights, bias in parameters[:-1]:
        x = jax.nn.relu(x @ weights.T + bias)
    weights, bias = parameters[-1]
    return x @ weights.T + bias


def export(parameters: Parameters) -> bytes:
    nodes = [helper.make_node("Mul", ["pixels", "pixel_scale"], ["x0"], name="scale_pixels")]
    constants = [numpy_helper.from_array(np.float32(1 / PIXEL_MAX), "pixel_scale")]
    for i, (weights, bias) in enumerate(parameters, start=1):
        last = i == len(parameters)
        constants.append(numpy_helper.from_array(np.asarray(weights, np.float32), f"fc{i}.weight"))
        constants.append(numpy_helper.from_array(np.asarray(bias, np.float32), f"fc{i}.bias"))
        out = "logits" if last else f"a{i}"
        nodes.append(helper.make_node("Gemm", [f"x{i - 1}", f"fc{i}.weight", f"fc{i}.bias"], [out], name=f"fc{i}", transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"x{i}"], name=f"relu{i}"))
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=-1))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 64])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, NAME, [pixels], [probabilities], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def main() -> None:
    part = split(load_digits())
    start = initialise(jax.random.key(1), list(zip(WIDTHS[1:], WIDTHS, strict=False)))
    parameters = fit(network, start, part.x_train / PIXEL_MAX, part.y_train, epochs=60)
    write_source(NAME, export(parameters), part, (64,))


if __name__ == "__main__":
    main()
