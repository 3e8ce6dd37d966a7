"""The models of the proof bench: float ONNX files with fixed seeds, so that every machine measures the same numbers.

Weights are drawn as for training (He, 2015): with them activations keep their size from layer to layer, as in a trained
network, and neither side meets numbers it would never see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from circuits.bench import MODEL_FILE, SAMPLES_FILE

SEED = 20261126
SAMPLES = 128
OPSET, IR_VERSION = 17, 8
Shape = tuple[int, ...]
Build = Callable[["Graph"], None]


@dataclass(frozen=True)
class Target:
    """At most: the proof's time as a share 1/ratio of ezkl's, and in seconds; peak memory; verification; registration."""

    ratio: int | None = None
    prove_s: float | None = None
    peak_bytes: float | None = None
    verify_s: float | None = None
    registration_s: float | None = None


@dataclass(frozen=True)
class BenchModel:
    """`shape` of one input, without its batch axis of 1."""

    name: str
    shape: Shape
    build: Build
    target: Target = Target()

    def write(self, folder: Path) -> None:
        """The model, and real inputs to calibrate and to prove with, both sides the same."""
        rng = np.random.default_rng(SEED)
        graph = Graph(self.shape, rng)
        self.build(graph)
        (folder / MODEL_FILE).write_bytes(graph.encode(self.name))
        np.save(folder / SAMPLES_FILE, rng.uniform(0, 1, (SAMPLES, *self.shape)).astype(np.float32))


@dataclass
class Graph:
    """A chain of nodes from x; `shape` is the last result's, without the batch axis."""

    shape: Shape
    rng: np.random.Generator
    nodes: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = self.shape

    def dense(self, outputs: int) -> None:
        (inputs,) = self.shape
        self._append("Gemm", (outputs,), self._draw((inputs, outputs), inputs), self._draw((outputs,), inputs))

    def conv(self, channels: int, kernel: int, pad: int) -> None:
        inputs, height, width = self.shape
        fan_in, grown = inputs * kernel * kernel, 2 * pad - kernel + 1
        parameters = self._draw((channels, inputs, kernel, kernel), fan_in), self._draw((channels,), fan_in)
        self._append(
            "Conv", (channels, height + grown, width + grown), *parameters, kernel_shape=[kernel] * 2, strides=[1, 1], pads=[pad] * 4
        )

    def relu(self) -> None:
        self._append("Relu", self.shape)

    def max_pool(self) -> None:
        """Halves both axes."""
        channels, height, width = self.shape
        self._append("MaxPool", (channels, height // 2, width // 2), kernel_shape=[2, 2], strides=[2, 2])

    def global_average_pool(self) -> None:
        self._append("GlobalAveragePool", (self.shape[0], 1, 1))

    def flatten(self) -> None:
        self._append("Flatten", (int(np.prod(self.shape)),))

    def encode(self, name: str) -> bytes:
        """The ONNX file."""
        source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *self.source])
        result = helper.make_tensor_value_info(self._last(), TensorProto.FLOAT, [1, *self.shape])
        graph = helper.make_graph(self.nodes, name, [source], [result], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString()
        return content

    def _last(self) -> str:
        return self.nodes[-1].output[0] if self.nodes else "x"

    def _append(self, operator: str, shape: Shape, *parameters: NDArray[np.float32], **attributes: Any) -> None:
        names = [f"{operator}{len(self.nodes)}_{number}" for number in range(len(parameters))]
        self.tensors += [numpy_helper.from_array(array, name) for array, name in zip(parameters, names, strict=True)]
        self.nodes.append(helper.make_node(operator, [self._last(), *names], [f"t{len(self.nodes)}"], **attributes))
        self.shape = shape

    def _draw(self, shape: Shape, fan_in: int) -> NDArray[np.float32]:
        return np.asarray(self.rng.standard_normal(shape) * np.sqrt(2 / fan_in), np.float32)


def build_mlp(*sizes: int) -> Build:
    """Dense layers of those sizes, Relu between them."""

    def build(graph: Graph) -> None:
        for size in sizes[:-1]:
            graph.dense(size)
            graph.relu()
        graph.dense(sizes[-1])

    return build


def build_cnn(convolutions: list[tuple[int, int, int]], *sizes: int) -> Build:
    """Convolutions (channels, kernel, padding), each with Relu and a MaxPool that halves; then an MLP."""

    def build(graph: Graph) -> None:
        for convolution in convolutions:
            graph.conv(*convolution)
            graph.relu()
            graph.max_pool()
        graph.flatten()
        build_mlp(*sizes)(graph)

    return build


def build_image_sweep(graph: Graph) -> None:
    """The same 898 parameters for every image size."""
    for _ in range(2):
        graph.conv(8, 3, 1)
        graph.relu()
    graph.global_average_pool()
    graph.flatten()
    graph.dense(10)


VERIFY_S = 0.020
MODELS = (
    BenchModel("mlp-784-128-10", (784,), build_mlp(128, 10), Target(ratio=150, peak_bytes=0.2e9, verify_s=VERIFY_S)),
    BenchModel(
        "lenet-5", (1, 28, 28), build_cnn([(6, 5, 2), (16, 5, 0)], 120, 84, 10), Target(ratio=300, peak_bytes=0.3e9, verify_s=VERIFY_S)
    ),
    BenchModel("mlp-784-1024-256-10", (784,), build_mlp(1024, 256, 10), Target(ratio=700, peak_bytes=0.4e9, verify_s=VERIFY_S)),
    BenchModel("mlp-1024-2048-1024-10", (1024,), build_mlp(2048, 1024, 10), Target(prove_s=0.6, peak_bytes=0.6e9, registration_s=30)),
    BenchModel("cnn-264k", (3, 32, 32), build_cnn([(16, 3, 1), (32, 3, 1), (64, 3, 1)], 232, 10), Target(prove_s=1.5)),
)
WIDTHS = (128, 512, 1024, 2048, 4096)
WIDTH_SWEEP = tuple(BenchModel(f"mlp-784-{width}-10", (784,), build_mlp(width, 10)) for width in WIDTHS)
IMAGE_SIZES = (8, 16, 32, 64)
IMAGE_SWEEP = tuple(BenchModel(f"conv-{size}x{size}", (3, size, size), build_image_sweep) for size in IMAGE_SIZES)
