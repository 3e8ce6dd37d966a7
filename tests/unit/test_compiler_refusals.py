"""What does not compile is refused with the place and the reason: operators, hostile files, bad samples."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from circuits import BoundError, CalibrationError, CircuitError, CompileError, compile_model
from circuits.compiler import load_calibration
from circuits.compiler import source as source_module
from tests.unit.float_graphs import build, node, write

W = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
SAMPLES = np.random.default_rng(1).normal(size=(20, 4))
GOOD = build([node("MatMul", "x w", "y")], {"w": W})
SEED = Path(__file__).parents[2] / "seeds" / "models"


def compile_here(model: onnx.ModelProto, folder: Path, samples: Any = SAMPLES) -> Any:
    return compile_model(write(model, folder), samples)


def gemm_then(*more: Any, outputs: str = "y", **constants: Any) -> onnx.ModelProto:
    return build([node("MatMul", "x w", "h"), *more], {"w": W} | constants, outputs=outputs)


UNSUPPORTED = {
    "ConvTranspose": (build([node("ConvTranspose", "x w", "y")], {"w": W.reshape(1, 4, 3)}, shape=("batch", 1, 4)), "spreads an entry"),
    "LayerNormalization": (gemm_then(node("LayerNormalization", "h g", "y"), g=W[0]), "integer square root"),
    "LSTM": (build([node("LSTM", "x w r", "y", hidden_size=1)], {"w": W.T[None, :1], "r": W[None, :, :1]}, shape=(2, 1, 3)), "a lowering"),
    "TopK": (gemm_then(node("TopK", "h k", "y i"), k=np.array([1])), "a lowering to integer layers"),
    "MatMul": (gemm_then(node("MatMul", "h x", "y")), "do not multiply"),
    "Add": (gemm_then(node("Add", "h x", "y")), "do not broadcast"),
    "Pow": (gemm_then(node("Softplus", "x", "s"), node("MatMul", "s w", "t"), node("Pow", "h t", "y")), "a constant exponent"),
    "Conv groups": (build([node("Conv", "x k", "y", group=3)], {"k": W[:, :1, None]}, shape=("batch", 4, 5)), "in 3 groups"),
    "MaxPool": (build([node("MaxPool", "x", "y i", kernel_shape=[2])], shape=("batch", 2, 4)), "indices of the maxima"),
    "AveragePool": (build([node("AveragePool", "x", "y", kernel_shape=[9])], shape=("batch", 2, 4)), "within the padded axis"),
    "BatchNormalization": (
        build(
            [node("BatchNormalization", "x g g g v", "y")],
            {"g": np.ones(4, np.float32), "v": -np.ones(4, np.float32)},
        ),
        "not positive",
    ),
    "Slice": (gemm_then(node("Slice", "h a b", "y"), a=np.array([0, 2]), b=np.array([1, 2])), "or none"),
    "Split": (gemm_then(node("Split", "h p", "y z", axis=1), p=np.array([1, 1])), "add up to"),
    "Concat": (gemm_then(node("Concat", "h c", "y", axis=1), c=W), "the same shape"),
    "Gather": (gemm_then(node("Gather", "h i", "y", axis=1), i=np.array([3])), "not there"),
    "Dropout": (gemm_then(node("Dropout", "h r t", "y"), r=0.5, t=np.array(True)), "training mode"),
    "QuantizeLinear": (gemm_then(node("QuantizeLinear", "h s z", "y"), s=0.1, z=np.array(0, np.int16)), "12 bits"),
    "Cast": (gemm_then(node("Cast", "h", "y", to=TensorProto.INT32)), "INT32"),
    "MatMul behind Softmax": (gemm_then(node("Softmax", "h", "p", axis=-1), node("MatMul", "p v", "y"), v=W[:3]), "only at the end"),
    "Relu behind Softmax": (gemm_then(node("Softmax", "h", "p", axis=-1), node("Relu", "p", "y")), "only at the end"),
    "Softmax axis": (gemm_then(node("Softmax", "h", "y", axis=0)), "the last of"),
    "ArgMax": (gemm_then(node("ArgMax", "h", "y", axis=0)), "the last of"),
    "ArgMax last": (gemm_then(node("ArgMax", "h", "y", axis=1, select_last_index=1)), "last of equal maxima"),
    "Reshape": (gemm_then(node("Reshape", "h s", "y"), s=np.array([7])), "another number of elements"),
    "Div by zero": (gemm_then(node("Div", "h c", "y"), c=np.array([1, 0, 2], np.float32)), "constant zero"),
    "MatMul of a stack": (build([node("MatMul", "x w", "y")], {"w": np.ones((2, 5, 3), np.float32)}), "do not multiply"),
    "ai.onnx.ml.LinearClassifier": (
        build([node("ai.onnx.ml.LinearClassifier", "x", "l y", coefficients=[1.0] * 4, intercepts=[0.0], classlabels_ints=[1])]),
        "two or more",
    ),
    "ai.onnx.ml.LinearClassifier probit": (
        build(
            [
                node(
                    "ai.onnx.ml.LinearClassifier",
                    "x",
                    "l y",
                    coefficients=[1.0] * 8,
                    intercepts=[0.0] * 2,
                    classlabels_ints=[1, 2],
                    post_transform="PROBIT",
                )
            ]
        ),
        "PROBIT",
    ),
    "ai.onnx.ml.LinearRegressor": (
        build([node("ai.onnx.ml.LinearRegressor", "x", "y", coefficients=[1.0] * 3, intercepts=[0.0])]),
        "coefficients",
    ),
    "ai.onnx.ml.Scaler": (build([node("ai.onnx.ml.Scaler", "x", "y", offset=[1.0] * 3, scale=[1.0] * 4)]), "offset"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_operator_that_does_not_compile_is_named_with_what_it_needs(name: str, tmp_path: Path) -> None:
    model, message = UNSUPPORTED[name]
    with pytest.raises(CompileError, match=message) as refusal:
        compile_here(model, tmp_path)
    assert refusal.value.operator == name.split()[0]
    assert refusal.value.node.startswith(name.split()[0].split(".")[-1] + "_")
    assert f"'{refusal.value.node}'" in str(refusal.value)


def test_a_forest_is_refused_by_operator() -> None:
    with pytest.raises(CompileError, match="opaque") as refusal:
        compile_model(SEED / "breast-cancer-forest" / "source.onnx", SAMPLES)
    assert refusal.value.operator == "ai.onnx.ml.TreeEnsembleClassifier"


def edit(change: Callable[[onnx.ModelProto], Any], model: onnx.ModelProto = GOOD) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    change(changed)
    return changed


def set_weights(**fields: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        for name, value in fields.items():
            if name == "dims":
                del tensor.dims[:]
                tensor.dims.extend(value)
            else:
                setattr(tensor, name, value)

    return change


def weights_with(value: float) -> onnx.ModelProto:
    w = W.copy()
    w[1, 1] = value
    return build([node("MatMul", "x w", "y")], {"w": w})


def set_dims(*dims: Any) -> Callable[[onnx.ModelProto], None]:
    return lambda m: m.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, dims))


def add_cycle(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Add", ["x", "y"], ["z"]))
    model.graph.node[1].input[0] = "z"


def add_function(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("own", 1))
    body = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))


def add_sparse(model: onnx.ModelProto) -> None:
    values, indices = numpy_helper.from_array(np.ones(1, np.float32), "v"), numpy_helper.from_array(np.zeros(1, np.int64), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def deep_network(layers: int) -> onnx.ModelProto:
    names = ["x", *(f"t{i}" for i in range(1, 2 * layers)), "y"]
    nodes = [node("Relu", f"{a}", b) if i % 2 else node("MatMul", f"{a} w", b) for i, (a, b) in enumerate(itertools.pairwise(names))]
    return build(nodes, {"w": np.eye(4, dtype=np.float32)})


HOSTILE = {
    "no graph": (edit(lambda m: m.ClearField("graph")), "no graph"),
    "no nodes": (edit(lambda m: m.graph.ClearField("node")), "no graph"),
    "nan": (weights_with(np.nan), "NaN"),
    "infinity": (weights_with(-np.inf), "infinity"),
    "dims beyond the data": (edit(set_weights(dims=[4, 4])), "valid ONNX|cannot be read"),
    "huge dims": (edit(set_weights(dims=[1 << 31, 1 << 31])), "valid ONNX|dimensions"),
    "negative dims": (edit(set_weights(dims=[-4, -3])), "valid ONNX|dimensions"),
    "too many dims": (edit(set_weights(dims=[1] * 10 + [4, 3])), "dimensions"),
    "unknown data type": (edit(set_weights(data_type=99)), "valid ONNX|data type"),
    "complex": (edit(set_weights(data_type=TensorProto.COMPLEX64)), "valid ONNX|data type"),
    "weights of text": (build([node("MatMul", "x w", "y")], {"w": np.array(["a", "b"], dtype=object)}), "constant"),
    "duplicate names": (edit(lambda m: m.graph.node.append(m.graph.node[0])), "valid ONNX"),
    "duplicate initializers": (edit(lambda m: m.graph.initializer.append(m.graph.initializer[0])), "valid ONNX|twice"),
    "cycle": (edit(add_cycle), "valid ONNX"),
    "missing name": (edit(lambda m: m.graph.node[0].input.__setitem__(1, "nowhere")), "valid ONNX"),
    "unknown operator": (edit(lambda m: setattr(m.graph.node[0], "op_type", "Magic")), "valid ONNX"),
    "unknown domain": (edit(lambda m: setattr(m.graph.node[0], "domain", "com.magic")), "valid ONNX|does not compile"),
    "unknown opset": (edit(lambda m: setattr(m.opset_import[0], "version", 10_000)), "valid ONNX|runtime"),
    "old opset": (edit(lambda m: setattr(m.opset_import[0], "version", 6)), "at least 7"),
    "two opsets": (edit(lambda m: m.opset_import.append(helper.make_opsetid("", 13))), "exactly one version"),
    "no opset": (edit(lambda m: m.ClearField("opset_import")), "valid ONNX|exactly one version"),
    "new ir": (edit(lambda m: setattr(m, "ir_version", 10_000)), "valid ONNX"),
    "function": (edit(add_function), "local functions"),
    "sparse": (edit(add_sparse), "sparse|valid ONNX"),
    "two inputs": (edit(lambda m: m.graph.input.append(helper.make_tensor_value_info("z", 1, [4]))), "exactly one"),
    "no input": (edit(lambda m: m.graph.ClearField("input")), "valid ONNX|exactly one"),
    "integer input": (edit(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.INT64)), "float32 or float64"),
    "input without shape": (edit(lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")), "valid ONNX|a shape"),
    "symbolic features": (edit(set_dims("batch", "features")), "symbolic"),
    "only a batch axis": (edit(set_dims("batch")), "only a symbolic"),
    "no features": (edit(set_dims("batch", 0)), "elements"),
    "huge input": (edit(set_dims("batch", 1 << 40)), "elements"),
    "too many axes": (edit(set_dims("batch", 1, 1, 1, 1, 1, 4)), "dimensions"),
    "no output": (edit(lambda m: m.graph.ClearField("output")), "graph outputs"),
    "output is a constant": (edit(lambda m: setattr(m.graph.output[0], "name", "w")), "computed from the input"),
    "two different outputs": (gemm_then(node("Relu", "h", "y"), outputs="h y"), "one tensor"),
    "complement alone": (gemm_then(node("Sigmoid", "h", "p"), node("Sub", "one p", "y"), one=1.0), "complement"),
    "huge constant arithmetic": (
        build(
            [node("Add", "a b", "c"), node("MatMul", "x c", "y")],
            {"a": np.ones((1 << 14, 1), np.float32), "b": np.ones((1, 1 << 14), np.float32)},
        ),
        "too large",
    ),
    "huge gather": (
        build(
            [node("Gather", "a i", "c", axis=1), node("MatMul", "x c", "y")],
            {"a": np.ones((1 << 14, 1), np.float32), "i": np.zeros(1 << 14, np.int64)},
        ),
        "too large",
    ),
    "infinite constant": (build([node("Div", "a z", "c"), node("MatMul", "x c", "y")], {"a": W, "z": 0.0}), "constant zero"),
    "overflowing constant": (build([node("Mul", "a a", "c"), node("MatMul", "x c", "y")], {"a": W + np.float32(1e38)}), "NaN or infinity"),
    "loop on constants": (
        build([node("ConstantOfShape", "s", "c"), node("MatMul", "x c", "y")], {"s": np.array([1 << 40, 3])}),
        "not computed on constants",
    ),
    "index of constants": (
        build([node("Gather", "w i", "c"), node("MatMul", "x c", "y")], {"w": W, "i": np.array([0, 1, 2, 99])}),
        "cannot be computed",
    ),
    "huge product": (
        build([node("MatMul", "x w", "y")], {"w": np.ones((1, 1 << 20), np.float32)}, shape=("batch", 1 << 20, 1)),
        "elements",
    ),
    "too many layers": (deep_network(300), "at most 254"),
    "rank of the output": (
        build([node("MatMul", "x w", "h"), node("Reshape", "h s", "y")], {"w": W, "s": np.array([1] * 7 + [3])}),
        "rank",
    ),
    "inner dimensions": (build([node("MatMul", "x w", "y")], {"w": np.ones((5, 3), np.float32)}), "inner dimensions"),
    "huge weights": (weights_with(1e30), "layer 'MatMul_y': largest weight"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name: str, tmp_path: Path) -> None:
    model, message = HOSTILE[name]
    with pytest.raises(CompileError, match=message):
        compile_here(model, tmp_path)


def test_any_cut_or_changed_file_compiles_or_is_refused(tmp_path: Path) -> None:
    """Every prefix, and every byte replaced in turn: a CompileError or a model, never anything else."""
    content = GOOD.SerializeToString()
    variants = [content[:n] for n in range(len(content))]
    variants += [content[:i] + bytes([b]) + content[i + 1 :] for i in range(len(content)) for b in (0x00, 0x7F, 0xFF)]
    refused, path = 0, tmp_path / "model.onnx"
    for variant in variants:
        path.write_bytes(variant)
        try:
            compile_model(path, SAMPLES)
        except CircuitError:
            refused += 1
    assert refused > len(content)


def test_a_file_that_is_no_onnx_file(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 not a model", os.urandom(1000), b"\x00" * 1000):
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(CompileError, match=r"model\.onnx"):
            compile_model(tmp_path / "model.onnx", SAMPLES)
    with pytest.raises(FileNotFoundError):
        compile_model(tmp_path / "absent.onnx", SAMPLES)


def test_a_file_above_the_cap_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "MAX_FILE_BYTES", 100)
    with pytest.raises(CompileError, match="too large"):
        compile_here(GOOD, tmp_path)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../secret", "leave the model's folder"),
        ("sub/../../secret", "leave the model's folder"),
        ("/etc/passwd", "relative"),
        ("", "relative"),
        ("nul\0", "relative|valid"),
        ("link", "leave the model's folder"),
        ("absent", "missing"),
        (".", "leave the model's folder"),
        ("sub", "missing"),
    ],
)
def test_external_data_never_leaves_the_folder(location: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(W.tobytes())
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "secret")

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.append(onnx.StringStringEntryProto(key="location", value=location))

    with pytest.raises(CompileError, match=message):
        compile_here(edit(change), folder)


@pytest.mark.parametrize(("offset", "length"), [("0", "49"), ("1", "48"), ("-1", "4"), ("0", "-1"), ("x", "4"), ("0", "44")])
def test_external_data_lies_inside_its_file(offset: str, length: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(W.tobytes())

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "data"), ("offset", offset), ("length", length)):
            tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))

    with pytest.raises(CompileError, match=r"external data|cannot be read|valid ONNX"):
        compile_here(edit(change), tmp_path)


def test_a_layer_that_can_break_its_bound_is_named(tmp_path: Path) -> None:
    """Outputs near zero on the samples, by cancellation, far from it in the worst case: twice a large number less itself."""
    x = np.repeat(np.random.default_rng(4).normal(size=(50, 1)), 4096, axis=1)
    w = np.ones((4096, 1))
    w[1::2] = -1 + 1e-6
    model = build([node("MatMul", "x w", "y")], {"w": w}, shape=("batch", 4096), dtype=TensorProto.DOUBLE)
    with pytest.raises(BoundError, match=r"layer 'MatMul_y'.*accumulators from") as refusal:
        compile_model(write(model, tmp_path), x)
    assert refusal.value.layer == "MatMul_y"


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((0, 4)), "at least one sample"),
        (np.zeros((5, 3)), "shape"),
        (np.zeros(4), "shape"),
        (np.zeros((2, 2, 4)), "shape"),
        (np.float64(3), "at least one sample"),
        (np.full((5, 4), np.nan), "finite"),
        (np.full((5, 4), np.inf), "finite"),
        (np.full((5, 4), "a"), "array of numbers"),
        ([[None] * 4], "array of numbers"),
    ],
)
def test_bad_calibration_samples_are_refused(samples: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=message):
        compile_here(GOOD, tmp_path, samples)
    with pytest.raises(CalibrationError, match=message):
        compile_model(write(GOOD, tmp_path), SAMPLES, held_back=(samples, [0] * 5))


@pytest.mark.parametrize("labels", [[3] * 20, [-1] * 20, [0.5] * 20, [0] * 19, ["x"] * 20, [[0, 1]] * 20])
def test_bad_held_back_labels_are_refused(labels: Any, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="held-back labels"):
        compile_model(write(GOOD, tmp_path), SAMPLES, held_back=(SAMPLES, labels))


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "a", "b"], ["a", "b", ""], ["a", "b", "c\n"], ["a", "b", "\ud800"]])
def test_bad_label_names_are_refused(labels: list[str], tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="label"):
        compile_model(write(GOOD, tmp_path), SAMPLES, labels=labels)


def test_calibration_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_calibration=SAMPLES, y=np.zeros(20))
    np.savez(tmp_path / "b.npz", only=SAMPLES)
    np.save(tmp_path / "c.npy", SAMPLES)
    np.savetxt(tmp_path / "d.csv", SAMPLES, delimiter=",", header="a,b,c,d", comments="", fmt="%.18g")
    np.savetxt(tmp_path / "e.csv", SAMPLES, delimiter=",", fmt="%.18g")
    for file in sorted(tmp_path.iterdir()):
        assert np.array_equal(load_calibration(file), SAMPLES), file
    path = write(GOOD, tmp_path)
    ids = {compile_model(path, tmp_path / name).model_id for name in ("a.npz", "c.npy", "e.csv")}
    assert len(ids) == 1


def test_bad_calibration_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=SAMPLES, b=SAMPLES)
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], dtype=object))
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "plain.npy", SAMPLES)
    (tmp_path / "named.npz").write_bytes((tmp_path / "plain.npy").read_bytes())
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:200])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "plain.npy").read_bytes()[:-5])
    (tmp_path / "junk.npy").write_bytes(b"junk")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "ragged.csv").write_text("1,2\n3\n")
    (tmp_path / "words.csv").write_text("1,2\nx,y\n")
    (tmp_path / "nan.csv").write_text("1,nan\n")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "samples.txt").write_text("1,2\n")
    files = sorted(set(tmp_path.iterdir()) - {tmp_path / "plain.npy"})
    assert len(files) == 14
    for file in files:
        with pytest.raises(CalibrationError):
            load_calibration(file)


def test_the_compiler_needs_no_training_package(tmp_path: Path) -> None:
    path = write(GOOD, tmp_path)
    program = """
import sys
for name in ("sklearn", "jax", "skl2onnx", "pandas"):
    sys.modules[name] = None
import numpy as np
from circuits import compile_model
compile_model(sys.argv[1], np.ones((3, 4)))
"""
    subprocess.run([sys.executable, "-c", program, path], check=True, cwd=SEED.parents[1])


def typed(nodes: list[Any], outputs: Mapping[str, int], strings: dict[str, bytes] | None = None, **constants: Any) -> onnx.ModelProto:
    """A graph whose outputs are declared by hand: inference would compute the constants first."""
    protos = [helper.make_node(o.rpartition(".")[2], i, r, name=r[0], domain=o.rpartition(".")[0], **a) for o, i, r, a in nodes]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    tensors += [
        TensorProto(name=name, data_type=TensorProto.STRING, dims=[1], string_data=[text]) for name, text in (strings or {}).items()
    ]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    results = [helper.make_tensor_value_info(name, kind, ["batch", "n"]) for name, kind in outputs.items()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(helper.make_graph(protos, "graph", [source], results, tensors), opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(
    ("nodes", "to"),
    [
        ([node("Softmax", "h", "p"), node("Cast", "p", "y", to=TensorProto.INT64)], TensorProto.INT64),
        ([node("Sigmoid", "h", "p"), node("Cast", "p", "y", to=TensorProto.FLOAT16)], TensorProto.FLOAT16),
        ([node("ArgMax", "h", "p", axis=1), node("Cast", "p", "y", to=TensorProto.BOOL)], TensorProto.BOOL),
    ],
)
def test_a_cast_that_changes_what_is_left_to_the_caller_is_refused(nodes: list[Any], to: int, tmp_path: Path) -> None:
    """The file answers zeros and ones; a manifest that says softmax or argmax would say otherwise."""
    with pytest.raises(CompileError, match=f"Cast node 'y': casts (scores|labels) to data type {to}"):
        compile_here(typed([node("MatMul", "x w", "h"), *nodes], {"y": to}, w=W), tmp_path)


CLASSIFIER = node(
    "ai.onnx.ml.LinearClassifier", "x", "l s", coefficients=W.ravel().tolist(), intercepts=[0.0] * 3, classlabels_ints=[2, 0, 1]
)
PICK = node("ai.onnx.ml.ArrayFeatureExtractor", "names l", "y")


@pytest.mark.parametrize(
    "nodes",
    [
        [CLASSIFIER, PICK],
        [
            node("MatMul", "x w", "s"),
            node("ArgMax", "s", "i", axis=1),
            node("ai.onnx.ml.ArrayFeatureExtractor", "order i", "l"),
            PICK,
        ],
    ],
    ids=["a classifier's labels", "names of names"],
)
def test_labels_that_are_no_positions_do_not_name_classes_by_position(nodes: list[Any], tmp_path: Path) -> None:
    outputs = {"y": TensorProto.INT64, "s": TensorProto.FLOAT}
    constants: dict[str, Any] = {"names": np.array([7, 8, 9]), "order": np.array([2, 0, 1])} | ({"w": W} if nodes[0][0] == "MatMul" else {})
    with pytest.raises(CompileError, match="ArrayFeatureExtractor node 'y'"):
        compile_here(typed(nodes, outputs, **constants), tmp_path)


def doubled(operator: str, times: int, **attributes: Any) -> list[Any]:
    steps = [node(operator, f"c{i} c{i}", f"c{i + 1}", **attributes) for i in range(times)]
    return [*steps, node("Cast", f"c{times}", "g", to=TensorProto.FLOAT), node("Add", "x g", "y")]


def test_constants_do_not_double_without_end(tmp_path: Path) -> None:
    y = {"y": TensorProto.FLOAT}
    with pytest.raises(CompileError, match="too large a constant"):
        compile_here(typed(doubled("Concat", 40, axis=0), y, c0=np.zeros(8, np.float32)), tmp_path)
    with pytest.raises(CompileError, match="no numbers"):
        compile_here(typed(doubled("Add", 40), y, {"c0": b"a" * 64}), tmp_path)
    squares = [node("Cast", "n", "c0", to=TensorProto.STRING), *doubled("Mul", 40)]
    with pytest.raises(CompileError, match="casts a constant to data type 8"):
        compile_here(typed(squares, y, n=np.array([3])), tmp_path)


def test_a_constant_cast_out_of_range_is_refused(tmp_path: Path) -> None:
    """Processors differ in what they make of it, and the model id must not."""
    nodes = [node("Cast", "big", "k", to=TensorProto.INT32), node("Cast", "k", "g", to=TensorProto.FLOAT), node("Add", "x g", "y")]
    with pytest.raises(CompileError, match="Cast node 'k'"):
        compile_here(typed(nodes, {"y": TensorProto.FLOAT}, big=np.array([1e30], np.float32)), tmp_path)
