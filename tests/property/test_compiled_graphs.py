"""Random float graphs: what compiles is the file's function (the compiler compares with onnxruntime), and exported so to the bit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuits import CompileError, compile_model
from circuits.onnx_file import encode_onnx
from tests.unit.float_graphs import build, node, write

MOST_ELEMENTS = 400
FAULTS = ("differs from the file", "do not fit")  # twelve bits may be too few for a product of products, but this would be ours
ELEMENTWISE = ["Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSwish", "Softplus", "Neg", "Abs", "Elu"]


class Drawing:
    """A graph under construction: its last tensor, the shape of it, and earlier tensors by shape."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.shape: tuple[int, ...] = (1, int(rng.integers(1, 4)), int(rng.integers(1, 7)), int(rng.integers(1, 7)))
        self.source = self.shape
        self.name = "x"
        self.known: dict[tuple[int, ...], list[str]] = {self.shape: ["x"]}

    def add(self, operator: str, inputs: str, shape: tuple[int, ...], **attributes: Any) -> None:
        if np.prod(shape) > MOST_ELEMENTS or min(shape) < 1:
            return
        self.name = f"t{len(self.nodes)}"
        self.nodes.append(node(operator, inputs, self.name, **attributes))
        self.shape = shape
        self.known.setdefault(shape, []).append(self.name)

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(values) if np.asarray(values).dtype.kind == "i" else np.asarray(values, np.float32)
        return name

    def draw_window(self, size: int) -> tuple[int, int, int, int, int, int]:
        """Kernel, stride, dilation, pads, and how many outputs."""
        kernel, stride, dilation = (int(self.rng.integers(1, 4)) for _ in range(3))
        dilation = 1 if kernel == 1 else dilation
        before, after = (int(self.rng.integers(0, kernel)) for _ in range(2))
        return kernel, stride, dilation, before, after, (size + before + after - dilation * (kernel - 1) - 1) // stride + 1

    def windows(self) -> tuple[dict[str, list[int]], tuple[int, ...]]:
        drawn = [self.draw_window(size) for size in self.shape[2:]]
        kernel, stride, dilation, before, after, outputs = zip(*drawn, strict=True)
        attributes = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": (*before, *after)}
        return {name: list(values) for name, values in attributes.items()}, outputs

    def convolution(self) -> None:
        attributes, outputs = self.windows()
        channels = self.shape[1]
        group = channels if self.rng.integers(2) else 1
        count = group * int(self.rng.integers(1, 3))
        weights = self.rng.normal(size=(count, channels // group, *attributes["kernel_shape"])) / 2
        inputs = f"{self.name} {self.constant(weights)}" + (
            f" {self.constant(self.rng.normal(size=count))}" if self.rng.integers(2) else ""
        )
        self.add("Conv", inputs, (1, count, *outputs), group=group, **attributes)

    def pool(self) -> None:
        attributes, outputs = self.windows()
        operator = str(self.rng.choice(["MaxPool", "AveragePool"]))
        if operator == "AveragePool":
            del attributes["dilations"]
            sizes = zip(
                self.shape[2:], attributes["kernel_shape"], attributes["strides"], *np.split(np.array(attributes["pads"]), 2), strict=True
            )
            outputs = tuple((n + a + b - k) // s + 1 for n, k, s, a, b in sizes)
            self.add(operator, self.name, (*self.shape[:2], *outputs), count_include_pad=int(self.rng.integers(2)), **attributes)
        else:
            self.add(operator, self.name, (*self.shape[:2], *outputs), **attributes)

    def elementwise(self) -> None:
        self.add(str(self.rng.choice(ELEMENTWISE)), self.name, self.shape)

    def normalisation(self) -> None:
        c = self.shape[1]
        numbers = [self.rng.normal(size=c), self.rng.normal(size=c), self.rng.normal(size=c), self.rng.random(c) + 0.5]
        self.add("BatchNormalization", " ".join([self.name, *map(self.constant, numbers)]), self.shape)

    def pair(self) -> None:
        other = str(self.rng.choice(self.known[self.shape]))
        self.add(str(self.rng.choice(["Add", "Sub", "Mul", "Max", "Min"])), f"{self.name} {other}", self.shape)

    def with_constant(self) -> None:
        shape = [size if self.rng.integers(2) else 1 for size in self.shape]
        constant = self.constant(self.rng.normal(size=shape))
        self.add(str(self.rng.choice(["Add", "Sub", "Mul"])), f"{self.name} {constant}", self.shape)

    def transposition(self) -> None:
        order = [0, *(1 + self.rng.permutation(3)).tolist()]
        self.add("Transpose", self.name, tuple(self.shape[a] for a in order), perm=order)

    def reshape(self) -> None:
        size, parts = int(np.prod(self.shape)), []
        for _ in range(2):
            divisors = [d for d in range(1, size + 1) if size % d == 0]
            parts.append(int(self.rng.choice(divisors)))
            size //= parts[-1]
        shape = (1, *parts, size)
        self.add("Reshape", f"{self.name} {self.constant(np.array(shape, np.int64))}", shape)

    def piece(self) -> None:
        axis = int(self.rng.integers(1, 4))
        size = self.shape[axis]
        start, step = int(self.rng.integers(size)), int(self.rng.choice([1, 2, -1]))
        end = size if step > 0 else -size - 1
        count = len(range(size)[slice(start, end if step > 0 else None, step)])
        names = [self.constant(np.array([v], np.int64)) for v in (start, end, axis, step)]
        self.add("Slice", " ".join([self.name, *names]), (*self.shape[:axis], count, *self.shape[axis + 1 :]))

    def concatenation(self) -> None:
        axis = int(self.rng.integers(1, 4))
        rest = (*self.shape[:axis], *self.shape[axis + 1 :])
        alike = [name for shape, names in self.known.items() if (*shape[:axis], *shape[axis + 1 :]) == rest for name in names]
        other = str(self.rng.choice(alike))
        size = next(shape[axis] for shape, names in self.known.items() if other in names)
        self.add("Concat", f"{self.name} {other}", (*self.shape[:axis], self.shape[axis] + size, *self.shape[axis + 1 :]), axis=axis)

    def reduction(self) -> None:
        axis = int(self.rng.integers(1, 4))
        shape = (*self.shape[:axis], 1, *self.shape[axis + 1 :])
        self.add(str(self.rng.choice(["ReduceMean", "ReduceMax"])), self.name, shape, axes=[axis])

    def matrix(self) -> None:
        outputs = int(self.rng.integers(1, 5))
        weights = self.rng.normal(size=(self.shape[-1], outputs))
        self.add("MatMul", f"{self.name} {self.constant(weights)}", (*self.shape[:-1], outputs))

    def padding(self) -> None:
        pads = [0, 0, *self.rng.integers(0, 3, 2).tolist(), 0, 0, *self.rng.integers(0, 3, 2).tolist()]
        shape = (*self.shape[:2], *(n + pads[i] + pads[i + 4] for i, n in enumerate(self.shape[2:], start=2)))
        self.add("Pad", f"{self.name} {self.constant(np.array(pads, np.int64))}", shape)


TOOLS = ("__init__", "add", "constant", "draw_window", "windows")
KINDS = [name for name, value in vars(Drawing).items() if callable(value) and name not in TOOLS]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """One to six operators behind one another, reaching back to earlier tensors."""
    drawing = Drawing(np.random.default_rng(draw(st.integers(0, 2**32))))
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6)):
        getattr(drawing, kind)()
    if not drawing.nodes:
        drawing.elementwise()
    operator, inputs, _, attributes = drawing.nodes[-1]
    drawing.nodes[-1] = (operator, inputs, ["y"], attributes)
    return build(drawing.nodes, drawing.constants, shape=("batch", *drawing.source[1:])), drawing.source[1:]


def check_graph(case: tuple[onnx.ModelProto, tuple[int, ...]]) -> None:
    model, shape = case
    x = np.random.default_rng(0).normal(size=(12, *shape))
    with tempfile.TemporaryDirectory() as folder:
        try:
            compiled = compile_model(write(model, Path(folder)), x)
        except CompileError as refusal:
            if any(text in str(refusal) for text in FAULTS):
                raise
            return
    low, high = compiled.input.format.low, compiled.input.format.high
    inputs = np.concatenate([compiled.quantize(x), np.random.default_rng(1).choice([low, high, 0], (4, *shape))])
    session = onnxruntime.InferenceSession(encode_onnx(compiled.network, compiled.parameters, "x", "y"), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"x": inputs})[0], compiled.run(inputs))


@given(graphs())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_graph_compiles_to_itself(case: tuple[onnx.ModelProto, tuple[int, ...]]) -> None:
    check_graph(case)


@pytest.mark.slow
@given(graphs())
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_graph_compiles_to_itself_at_length(case: tuple[onnx.ModelProto, tuple[int, ...]]) -> None:
    check_graph(case)
