"""How much of ONNX compiles: the node cases of onnx.backend.test, each through compile_model, as a table.

`python -m circuits.compiler.coverage [operator …]` prints it. A case is one node. Its first float input is the model's (of
operators on 8-bit integers the first of those, behind a QuantizeLinear of scale 1), the others become initializers. It is
calibrated on its own input and on random ones of the same range, and compiled once for each output. It agrees where no
output is further from the expected one than TOLERANCE of that one's range.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.backend.test import loader

from circuits.compiler.compile import compile_model
from circuits.errors import CircuitError
from circuits.model import CanonicalModel
from circuits.tensors import Reals

TOLERANCE = 0.01
CALIBRATION = 64
# fmt: off
OPERATORS = (
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Celu", "Clip", "Concat", "Constant", "Conv", "ConvInteger",
    "DequantizeLinear", "Div", "Dropout", "Elu", "Erf", "Exp", "Expand", "Flatten", "Gather", "Gelu", "Gemm",
    "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "MatMul", "MatMulInteger",
    "Max", "MaxPool", "Mean", "Min", "Mish", "Mul", "Neg", "Pad", "Pow", "PRelu", "QLinearConv", "QLinearMatMul",
    "QuantizeLinear", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
    "ReduceSumSquare", "Relu", "Reshape", "Selu", "Sigmoid", "Slice", "Softplus", "Softsign", "Split", "Sqrt", "Squeeze", "Sub",
    "Sum", "Tanh", "Tile", "Transpose", "Unsqueeze",
)
# fmt: on
QUANTISED = ("ConvInteger", "DequantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul")


@dataclass(frozen=True)
class Case:
    """One node with its inputs and the outputs expected."""

    name: str
    operator: str
    model: onnx.ModelProto
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


@dataclass
class Row:
    """What became of the cases of one operator. `refused` counts reasons; `unsuited` cases are no float models of one input."""

    cases: int = 0
    unsuited: int = 0
    compiled: int = 0
    agree: int = 0
    worst: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)


def list_cases(operators: Sequence[str] = OPERATORS) -> Iterator[Case]:
    """The cases of one node, one of these operators, on tensors; without those that spell a function out."""
    for case in loader.load_model_tests(kind="node"):
        folder = Path(str(case.model_dir))
        model = onnx.load(folder / "model.onnx")
        nodes = model.graph.node
        values = [*model.graph.input, *model.graph.output]
        is_plain = len(nodes) == 1 and "_expanded" not in case.name and all(v.type.HasField("tensor_type") for v in values)
        if is_plain and nodes[0].op_type in operators and nodes[0].domain == "":
            yield _read_case(case.name, folder / "test_data_set_0", model)


def _read_case(name: str, folder: Path, model: onnx.ModelProto) -> Case:
    inputs = _read_tensors(folder, "input", [value.name for value in model.graph.input])
    outputs = _read_tensors(folder, "output", [value.name for value in model.graph.output])
    return Case(name, model.graph.node[0].op_type, model, inputs, outputs)


def _read_tensors(folder: Path, kind: str, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    tensors = {}
    for number, name in enumerate(names):
        proto = onnx.TensorProto()
        proto.ParseFromString((folder / f"{kind}_{number}.pb").read_bytes())
        tensors[name] = np.asarray(numpy_helper.to_array(proto))
    return tensors


class Unsuited(Exception):
    """A case that is no float model of one input; the reason."""


def measure_case(case: Case) -> float:
    """The largest error, relative to the range of the output. Raises CircuitError or Unsuited where it does not compile."""
    name = next((name for name, array in case.inputs.items() if is_computable(case, array)), None)
    if name is None:
        raise Unsuited("no input of float32 or float64")
    if not case.inputs[name].size or not case.inputs[name].ndim:
        raise Unsuited("an input without elements or without an axis")
    if not np.isfinite(case.inputs[name].astype(np.float64) * 2).all():
        raise Unsuited("an input of NaN, infinity or the largest numbers there are")
    worst = 0.0
    for output, expected in case.outputs.items():
        model = compile_case(case, name, output)
        got = apply_postprocess(model, model.dequantize(model.run(model.quantize(case.inputs[name].reshape(model.input.shape)))))
        worst = max(worst, compute_error(got, expected))
    return worst


def is_computable(case: Case, array: NDArray[Any]) -> bool:
    """Whether an input can be the model's: floats, and 8-bit integers of operators made for them."""
    if case.operator in QUANTISED:
        return array.dtype in (np.uint8, np.int8)
    return array.dtype in (np.float32, np.float64)


def quantise_input(model: onnx.ModelProto, name: str, array: NDArray[Any]) -> None:
    """A float input in place of one of integers: QuantizeLinear with scale 1 makes them of it."""
    value = model.graph.input[0]
    value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    value.name = f"{name}_real"
    constants = {f"{name}_one": np.ones((), np.float32), f"{name}_nil": np.zeros((), array.dtype)}
    model.graph.initializer.extend(numpy_helper.from_array(constant, other) for other, constant in constants.items())
    model.graph.node.insert(0, onnx.helper.make_node("QuantizeLinear", [value.name, *constants], [name], name="integers"))


def compile_case(case: Case, name: str, output: str) -> CanonicalModel:
    """One input computed, the others constants, one output."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    kept = [value for value in model.graph.input if value.name == name]
    chosen = [value for value in model.graph.output if value.name == output]
    del model.graph.input[:], model.graph.output[:]
    model.graph.input.extend(kept)
    model.graph.output.extend(chosen)
    others = [numpy_helper.from_array(array, other) for other, array in case.inputs.items() if other != name]
    model.graph.initializer.extend(others)
    if case.operator in QUANTISED:
        quantise_input(model, name, case.inputs[name])
    for position, used in enumerate(model.graph.node[-1].output):
        if used != output:  # a second output nobody asks for
            model.graph.node[-1].output[position] = used if used in case.outputs else ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.onnx"
        path.write_bytes(model.SerializeToString())
        return compile_model(path, draw_calibration(case.inputs[name]))


def draw_calibration(x: NDArray[Any]) -> Reals:
    """(n, *shape of one statement): the case's own input first, then random ones of its range."""
    real = x.astype(np.float64)
    statement = real.reshape(real.shape[1:]) if real.ndim > 1 and real.shape[0] == 1 else real
    rng = np.random.default_rng(0)
    drawn = rng.uniform(real.min(), real.max(), (CALIBRATION, *statement.shape))
    return np.concatenate([statement[None], drawn])


def apply_postprocess(model: CanonicalModel, y: Reals) -> Reals:
    """A final Sigmoid is left to the caller, who is here."""
    return 1 / (1 + np.exp(-y)) if model.manifest.postprocess == "sigmoid" else y


def compute_error(got: Reals, expected: NDArray[Any]) -> float:
    """Largest distance over the range of the expected output, zero included; where that is NaN or infinite, nothing is asked."""
    wanted = expected.astype(np.float64).reshape(-1)
    finite = np.isfinite(wanted)
    if not finite.any():
        return 0.0
    span = max(float(wanted[finite].max()), 0.0) - min(float(wanted[finite].min()), 0.0)
    return float(np.abs(got.reshape(-1) - wanted)[finite].max()) / (span or 1.0)


def measure(cases: Iterable[Case]) -> dict[str, Row]:
    """A row for each operator."""
    rows: dict[str, Row] = {}
    for case in cases:
        row = rows.setdefault(case.operator, Row())
        row.cases += 1
        try:
            error = measure_case(case)
        except Unsuited:
            row.unsuited += 1
            continue
        except CircuitError as refusal:
            row.refused[shorten(str(refusal))] += 1
            continue
        row.compiled += 1
        row.agree += error <= TOLERANCE
        row.worst = max(row.worst, error)
    return dict(sorted(rows.items()))


def shorten(reason: str) -> str:
    """A reason without the node's name and the numbers of the case."""
    text = reason.split("node '", 1)[-1].split("': ", 1)[-1].removeprefix("tensor 'y_zero_point' ").removeprefix("tensor 'y' ")
    return text.split(", got ", 1)[0].split(": [", 1)[0][:110].replace("|", "/")


def format_table(rows: dict[str, Row]) -> str:
    """Markdown."""
    lines = ["| Operator | Cases | Of other types | Compiled | Agree | Largest error | Refused |", "|---|---|---|---|---|---|---|"]
    for operator, row in rows.items():
        reasons = "; ".join(f"{count}× {reason}" for reason, count in row.refused.most_common())
        worst = f"{row.worst:.3%}" if row.compiled else ""
        lines.append(f"| {operator} | {row.cases} | {row.unsuited or ''} | {row.compiled} | {row.agree} | {worst} | {reasons} |")
    total = [sum(getattr(row, name) for row in rows.values()) for name in ("cases", "unsuited", "compiled", "agree")]
    lines.append(f"| **all** | {' | '.join(map(str, total))} | | |")
    return "\n".join(lines)


def main() -> None:
    sys.stdout.write(format_table(measure(list_cases(sys.argv[1:] or OPERATORS))) + "\n")


if __name__ == "__main__":
    main()
