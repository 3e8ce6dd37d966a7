"""Edges: ends of the input's range, the smallest and the deepest networks, bounds just kept, files that ask for too much."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import circuits
from circuits import BoundError, CanonicalModel, CircuitError, CompileError, compile_model
from circuits.layers.linear import Linear, compute_accumulator_range
from circuits.layers.rescale import compute_bound
from circuits.layers.table import Table
from tests.unit.float_graphs import build, node, run_float, write

RNG = np.random.default_rng(5)
CONTEXT = bytes(range(32))


def draw(*shape: int) -> Any:
    return (RNG.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def compile_graph(model: onnx.ModelProto, folder: Path, samples: Any = None) -> CanonicalModel:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    x = np.random.default_rng(9).normal(size=(60, *shape)) if samples is None else samples
    return compile_model(write(model, folder), x)


def check_everywhere(model: CanonicalModel, folder: Path) -> None:
    """Inputs at the ends of the range: the engine, the exported file, and a proof."""
    low, high = model.input.format.low, model.input.format.high
    rng = np.random.default_rng(3)
    ends = [np.full(model.input.shape, value) for value in (low, high, 0, -1, 1)]
    x = np.array([*ends, *rng.choice([low, high], (5, *model.input.shape)), *rng.integers(low, high + 1, (5, *model.input.shape))])
    model.save(folder / "saved")
    session = onnxruntime.InferenceSession(folder / "saved" / "model.onnx", providers=["CPUExecutionProvider"])
    expected = model.run(x)
    assert np.array_equal(session.run(None, {model.manifest.input_name: x})[0], expected)
    for sample, y in zip(x[:7], expected, strict=False):
        circuits.verify(model, sample, y, circuits.prove(model, sample, CONTEXT), CONTEXT)


EDGES = {
    "one neuron": build([node("Gemm", "x w b", "y")], {"w": draw(1, 1), "b": draw(1)}, shape=("batch", 1)),
    "one neuron and a table": build([node("Mul", "x w", "h"), node("Tanh", "h", "y")], {"w": 0.5}, shape=("batch", 1)),
    "one pixel": build([node("Conv", "x w", "y")], {"w": draw(1, 1, 1, 1)}, shape=("batch", 1, 1, 1)),
    "one channel of one row": build([node("Conv", "x w", "y", pads=[1, 1])], {"w": draw(1, 1, 3)}, shape=("batch", 1, 7)),
    "no powers of two": build(
        [node("Conv", "x w b", "h", strides=[2, 3], pads=[1, 2, 0, 1]), node("Relu", "h", "r"),
         node("MaxPool", "r", "m", kernel_shape=[3, 1]), node("Flatten", "m", "f"), node("Gemm", "f v", "y")],
        {"w": draw(5, 3, 3, 2), "b": draw(5), "v": draw(25, 11)},
        shape=("batch", 3, 7, 13),
    ),
    "maxima of signed numbers with padding": build(
        [node("Neg", "x", "n"), node("MaxPool", "n", "y", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])], shape=("batch", 2, 5, 5)
    ),
    "a window that is mostly padding": build(
        [node("MaxPool", "x", "m", kernel_shape=[3, 3], pads=[2] * 4), node("AveragePool", "m", "y", kernel_shape=[3, 3], pads=[2] * 4)],
        shape=("batch", 1, 3, 3),
    ),
    "everything broadcast": build(
        [node("ReduceMean", "x", "m", axes=[1]), node("Sub", "x m", "c"), node("Mul", "c c", "s"), node("ReduceMean", "s", "v", axes=[1]),
         node("Add", "v e", "w"), node("Sqrt", "w", "r"), node("Div", "c r", "y")],
        {"e": 0.5},
        shape=("batch", 9),
    ),
    "a constant beside": build([node("Max", "x c", "m"), node("Concat", "m d", "y", axis=1)], {"c": draw(1, 4), "d": draw(1, 3)}),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_ends_of_the_range(name: str, tmp_path: Path) -> None:
    check_everywhere(compile_graph(EDGES[name], tmp_path), tmp_path)


def test_a_hundred_layers(tmp_path: Path) -> None:
    names = ["x", *(f"t{i}" for i in range(1, 199)), "y"]
    nodes = [node("Relu", a, b) if i % 2 else node("MatMul", f"{a} w{i}", b) for i, (a, b) in enumerate(itertools.pairwise(names))]
    turns = {f"w{i}": np.linalg.qr(RNG.normal(size=(6, 6)))[0].astype(np.float32) * 1.35 for i in range(0, 199, 2)}
    compiled = compile_graph(build(nodes, turns, shape=("batch", 6)), tmp_path)
    assert len(compiled.network.operators) == 100
    check_everywhere(compiled, tmp_path)


def test_as_many_layers_as_a_descriptor_holds(tmp_path: Path) -> None:
    """254 alternating sums and tables; one more is refused."""
    for count, fits in ((127, True), (128, False)):
        nodes = [node("MatMul", f"{'x' if i == 0 else f'a{i}'} w", f"h{i}") for i in range(count)]
        nodes += [node("Tanh", f"h{i}", "y" if i == count - 1 else f"a{i + 1}") for i in range(count)]
        ordered = [n for pair in zip(nodes[:count], nodes[count:], strict=True) for n in pair]
        model = build(ordered, {"w": np.eye(2, dtype=np.float32)}, shape=("batch", 2))
        if fits:
            compiled = compile_graph(model, tmp_path)
            assert len(compiled.network.operators) == 254
        else:
            with pytest.raises(CompileError, match="at most 254"):
                compile_graph(model, tmp_path)


def test_tables_are_shared_and_counted(tmp_path: Path) -> None:
    slopes = [node("LeakyRelu", f"{'x' if i == 0 else f'h{i - 1}'}", "y" if i == 17 else f"h{i}", alpha=0.1 + i / 50) for i in range(18)]
    branches = [node("LeakyRelu", "x", f"h{i}", alpha=0.1 + i / 50) for i in range(18)]
    joined = [node("Concat", " ".join(f"h{i}" for i in range(18)), "y", axis=1)]
    assert compile_graph(build(slopes), tmp_path).network.table_count == 1  # one function of the input after all
    with pytest.raises(CompileError, match="at most 15"):
        compile_graph(build([*branches, *joined]), tmp_path)
    twice = [
        node("Tanh", "x", "a"),
        node("Neg", "x", "n"),
        node("Neg", "n", "m"),
        node("Tanh", "m", "b"),
        node("Concat", "a b", "y", axis=1),
    ]
    compiled = compile_graph(build(twice), tmp_path)
    assert compiled.network.table_count == 1
    assert sum(isinstance(operator, Table) for operator in compiled.network.operators) == 2


def cancel(count: int, folder: Path) -> CanonicalModel:
    """Large weights that cancel on the samples, and nowhere else."""
    weights = np.where(np.arange(count) % 2, 1.0, -1.0).astype(np.float32)[:, None] * 40
    x = np.repeat(np.random.default_rng(1).normal(size=(50, count // 2)), 2, axis=1)
    x[:, 0] += np.random.default_rng(2).normal(size=50) * 0.01
    return compile_graph(build([node("MatMul", "x w", "y")], {"w": weights}, shape=("batch", count)), folder, x)


def test_sums_near_their_bound_are_kept_within(tmp_path: Path) -> None:
    """The exponent gives way until the worst case fits; where that is too much, the layer is refused."""
    compiled = cancel(2000, tmp_path)
    (layer,) = compiled.network.operators
    assert isinstance(layer, Linear)
    numbers = compiled.parameters.layers[0]
    lowest, highest = compute_accumulator_range(layer, numbers, compiled.network.formats, compiled.network.shapes)
    assert highest.max() - lowest.min() > compute_bound(layer.shift) // 64
    assert highest.max() < compute_bound(layer.shift)
    check_everywhere(compiled, tmp_path)
    with pytest.raises(BoundError, match="layer 'MatMul_y' can break"):
        cancel(20000, tmp_path)


HOSTILE = {
    "huge pads of a conv": [node("Conv", "x w", "y", pads=[2**40, 0])],
    "huge pads of a pool": [node("AveragePool", "x", "y", kernel_shape=[2], pads=[2**30, 2**30])],
    "huge stride": [node("Conv", "x w", "y", strides=[2**40])],
    "huge dilation": [node("Conv", "x w", "y", dilations=[2**40])],
    "huge kernel": [node("MaxPool", "x", "y", kernel_shape=[2**40])],
    "negative pads": [node("Conv", "x w", "y", pads=[-1, 0])],
    "no stride": [node("Conv", "x w", "y", strides=[0])],
    "no groups": [node("Conv", "x w", "y", group=0)],
    "odd pads": [node("Conv", "x w", "y", pads=[1])],
    "unknown auto_pad": [node("Conv", "x w", "y", auto_pad="SOME", strides=[1])],
    "huge pad": [node("Pad", "x p", "y")],
    "huge pad by the edge": [node("Pad", "x p", "y", mode="edge")],
    "huge expansion": [node("Expand", "x e", "y")],
    "huge tile": [node("Tile", "x t", "y")],
    "huge gather": [node("Gather", "x i", "g", axis=2), node("Gather", "g i", "h", axis=2), node("Gather", "h i", "y", axis=1)],
    "axis": [node("Concat", "x x", "y", axis=7)],
    "axes": [node("ReduceMean", "x", "y", axes=[9])],
    "permutation": [node("Transpose", "x", "y", perm=[0, 1, 1])],
    "splits": [node("Split", "x", "y", axis=2, split=[3])],
    "slices": [node("Slice", "x p", "y")],
}
CONSTANTS = {
    "w": draw(2, 3, 2),
    "p": ints(0, 0, 2**40, 0, 0, 2**40),
    "e": ints(2**20, 3, 2**20),
    "t": ints(1, 2**20, 2**20),
    "i": np.zeros(3000, np.int64),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_attributes_that_ask_for_too_much_are_refused_at_once(name: str, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(build([], CONSTANTS, shape=("batch", 3, 8)))
    for operator, inputs, outputs, attributes in HOSTILE[name]:
        model.graph.node.append(onnx.helper.make_node(operator, inputs, outputs, **attributes))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n"]))
    path, started = write(model, tmp_path), time.monotonic()
    with pytest.raises(CompileError):
        compile_model(path, np.zeros((2, 3, 8)))
    assert time.monotonic() - started < 10


TOO_LARGE = {
    "rows": (
        build([node("Conv", "x w", "y", pads=[1] * 4)], {"w": draw(60, 3, 3, 3)}, shape=("batch", 3, 300, 200)),
        "'Conv_y' has 8388608",
    ),
    "lookups": (
        build([node("Concat", "x x x", "h", axis=1), node("Tanh", "h", "t"), node("Exp", "t", "e"), node("Add", "h e", "y")],
              shape=("batch", 3, 600, 700)),
        "rows of the proof",
    ),
    "a reduced axis": (build([node("ReduceMean", "x", "y", axes=[1])], shape=("batch", 5000)), "4096 entries"),
    "a kernel": (build([node("Conv", "x w", "y", pads=[1, 1])], {"w": draw(1, 1, 5000)}, shape=("batch", 1, 6000)), "4096 entries"),
    "weights": (build([node("MatMul", "x w", "h"), node("MatMul", "h v", "y")], {"w": np.ones((1, 3000), np.float32),
                "v": np.ones((3000, 6000), np.float32)}, shape=("batch", 1)), "weights|elements"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_no_proof_could_show_is_refused_before_it_is_calibrated(name: str, tmp_path: Path) -> None:
    model, message = TOO_LARGE[name]
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    with pytest.raises(CompileError, match=message):
        compile_model(write(model, tmp_path), np.zeros((1, *shape)))


def test_any_changed_byte_of_a_convolutional_file_compiles_or_is_refused(tmp_path: Path) -> None:
    """A CircuitError or a model, never anything else."""
    content, rng = EDGES["no powers of two"].SerializeToString(), np.random.default_rng(4)
    x, outcomes = rng.normal(size=(8, 3, 7, 13)), set()
    for _ in range(150):
        changed = bytearray(content)
        for _ in range(int(rng.integers(1, 3))):
            changed[int(rng.integers(len(content)))] = int(rng.choice([0, 1, 2, 127, 255]))
        (tmp_path / "model.onnx").write_bytes(bytes(changed))
        try:
            compile_model(tmp_path / "model.onnx", x)
            outcomes.add("compiled")
        except CircuitError:
            outcomes.add("refused")
    assert outcomes == {"compiled", "refused"}


def test_a_deep_network_keeps_its_answers(tmp_path: Path) -> None:
    """Twenty residual blocks of convolutions: what twelve bits lose does not grow without end."""
    nodes: list[Any] = []
    constants: dict[str, Any] = {}
    x = "x"
    for i in range(20):
        constants |= {f"w{i}": draw(4, 4, 3, 3) * 0.5, f"b{i}": draw(4) * 0.1}
        nodes += [node("Conv", f"{x} w{i} b{i}", f"c{i}", pads=[1] * 4), node("Relu", f"c{i}", f"r{i}"), node("Add", f"{x} r{i}", f"s{i}")]
        x = f"s{i}"
    nodes.append(node("GlobalAveragePool", x, "y"))
    model = build(nodes, constants, shape=("batch", 4, 6, 6))
    compiled = compile_graph(model, tmp_path)
    fresh = np.random.default_rng(8).normal(size=(20, 4, 6, 6)) * 0.8
    expected = run_float(model, fresh)[0]
    got = compiled.dequantize(compiled.run(compiled.quantize(fresh))).reshape(20, -1)
    assert np.abs(got - expected).max() < 0.03 * np.abs(expected).max()
    check_everywhere(compiled, tmp_path)
