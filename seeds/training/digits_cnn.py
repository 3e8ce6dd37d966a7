"""Handwritten digits as 1×8×8 images: two convolutions, one max pool, one fully connected layer. Run as an opaque model."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from sklearn.datasets import load_digits

from seeds.training.descent import Parameters, fit, initialise
from seeds.training.partition import split, write_source

NAME = "digits-cnn"
SHAPES = [(8, 1, 3, 3), (16, 8, 3, 3), (10, 16 * 4 * 4)]
PIXEL_MAX = 16.0


def network(parameters: Parameters, x: jax.Array) -> jax.Array:
    for weights, bias in parameters[:2]:
        x = jax.lax.conv_general_dilated(x, weights, (1, 1), "SAME") + bias[:, None, None]
        x = jax.nn.relu(x)
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    weights, bias = parameters[2]
    return x.reshape(len(x), -1) @ weights.T + bias


def export(parameters: Parameters) -> bytes:
    names = ["conv1", "conv2", "fc"]
    constants = [numpy_helper.from_array(np.float32(1 / PIXEL_MAX), "pixel_scale")]
    for name, (weights, bias) in zip(names, parameters, strict=True):
        constants.append(numpy_helper.from_array(np.asarray(weights, np.float32), f"{name}.weight"))
        constants.append(numpy_helper.from_array(np.asarray(bias, np.float32), f"{name}.bias"))
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Mul", ["image", "pixel_scale"], ["x0"]),
        helper.make_node("Conv", ["x0", "conv1.weight", "conv1.bias"], ["c1"], **same),
        helper.make_node("Relu", ["c1"], ["x1"]),
        helper.make_node("Conv", ["x1", "conv2.weight", "conv2.bias"], ["c2"], **same),
        helper.make_node("Relu", ["c2"], ["x2"]),
        helper.make_node("MaxPool", ["x2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], transB=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, NAME, [image], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def main() -> None:
    part = split(load_digits())
    images = part.x_train.reshape(-1, 1, 8, 8) / PIXEL_MAX
    parameters = fit(network, initialise(jax.random.key(2), SHAPES), images, part.y_train, epochs=25)
    write_source(NAME, export(parameters), part, (1, 8, 8))


if __name__ == "__main__":
    main()
