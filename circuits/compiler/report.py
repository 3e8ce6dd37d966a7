"""What the compiler did, for people and for programs: every number here is computed from the integer network itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from circuits.compiler.accuracy import Accuracy
from circuits.compiler.crosscheck import Difference
from circuits.compiler.floats import FloatNetwork
from circuits.layers import table
from circuits.layers.linear import Linear, LinearWeights, compute_accumulator_range, compute_accumulators
from circuits.layers.rescale import compute_bound, compute_shifted
from circuits.layers.table import Table
from circuits.model import CanonicalModel
from circuits.network import Network
from circuits.tensors import Format, Integers


@dataclass(frozen=True)
class LayerReport:
    """One layer. Exponents: real = integer · 2^-exponent. Accumulators: the worst case over all inputs, not over the samples.

    Fields that a table has not (`kind` "table") are None; so are weights and biases where a layer has none.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    format: str
    output_exponent: int
    products: int
    shift: int | None = None
    weights: int = 0
    weight_range: tuple[int, int] | None = None
    bias_range: tuple[int, int] | None = None
    accumulator_range: tuple[int, int] | None = None
    accumulator_bound: int | None = None
    saturated: int = 0
    values: int = 0


@dataclass(frozen=True)
class CompileReport:
    """Saturation counts are over `layer_samples` calibration samples; the difference from onnxruntime is over some of those;
    accuracy is over the held-back ones, None where none were given."""

    name: str
    model_id: str
    parameters: int
    calibration_samples: int
    layer_samples: int
    input_exponent: int | None
    input_saturated: int
    layers: tuple[LayerReport, ...]
    calibration_error: float
    difference: Difference
    accuracy: Accuracy | None
    folded: tuple[str, ...]
    left_to_caller: tuple[str, ...]
    postprocess: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object, fields as above."""
        return asdict(self)

    def __rich__(self) -> RenderableType:
        """For rich's print: a table of the layers and the lines around it."""
        lines = [f"{self.name}  {self.model_id}  {self.parameters} parameters", f"left to the caller: {self.postprocess}"]
        lines += [f"folded: {line}" for line in self.folded]
        scaling = "an exponent and zero point per element" if self.input_exponent is None else f"exponent {self.input_exponent}"
        lines.append(f"input: {scaling}, {self.input_saturated} saturated in {self.calibration_samples} calibration samples")
        return Group(Text("\n".join(lines)), _layer_table(self.layers), Text(_describe_quality(self)))


def _layer_table(layers: tuple[LayerReport, ...]) -> Grid:
    grid = Grid(title="layers (exponent e: real = integer · 2^-e; bounds are worst cases over every input)", title_justify="left")
    for heading in ("layer", "result", "format", "s", "e y", "weights", "|w|", "|bias|", "|acc| of bound", "saturated"):
        grid.add_column(heading, overflow="fold")
    for layer in layers:
        bound = layer.accumulator_bound
        grid.add_row(
            layer.name,
            "×".join(map(str, layer.shape)),
            layer.format,
            layer.kind if layer.shift is None else str(layer.shift),
            str(layer.output_exponent),
            str(layer.weights or ""),
            _largest(layer.weight_range),
            _largest(layer.bias_range),
            "" if bound is None or layer.accumulator_range is None else f"{max(map(abs, layer.accumulator_range)) / bound:.2%}",
            f"{layer.saturated}/{layer.values}",
        )
    return grid


def _largest(ends: tuple[int, int] | None) -> str:
    return "" if ends is None else str(max(map(abs, ends)))


def _describe_quality(report: CompileReport) -> str:
    text = f"distance from the float model on the calibration samples: {report.calibration_error:.5f}"
    d = report.difference
    text += f"\ndifference from onnxruntime on {d.samples} of them: mean {d.mean_quanta:.2f}, largest {d.largest_quanta:.2f}"
    text += f" steps of {d.step:.6g} ({d.mean_relative:.3%} and {d.largest_relative:.3%} of its largest value)"
    if (accuracy := report.accuracy) is not None:
        text += f"\n{accuracy.samples} held-back samples: float {accuracy.float_right:.4f}, integer {accuracy.integer_right:.4f} right"
        text += f", same class on {accuracy.agreement:.4f}"
    return text


def count_input_saturations(model: CanonicalModel, quantized: Integers) -> int:
    """How many input integers lie at an end of the range, where a saturated value ends up."""
    return int(np.count_nonzero((quantized == model.input.format.low) | (quantized == model.input.format.high)))


def describe_layers(
    model: CanonicalModel, floats: FloatNetwork, exponents: tuple[int, ...], quantized: Integers
) -> tuple[LayerReport, ...]:
    """One report per layer; `exponents` has the input's first, `quantized` is (n, size) calibration inputs."""
    network, step = model.network, floats.choose_batch()
    saturated = np.zeros(len(network.operators), np.int64)
    for start in range(0, len(quantized), step):
        saturated += _count_batch(model, quantized[start : start + step])
    reports = []
    for index, (operator, numbers) in enumerate(model.parameters.pair_with(network.operators)):
        layer = floats.layers[index]
        report = LayerReport(
            name=layer.origin[-1],
            kind="table" if isinstance(operator, Table) else "linear",
            shape=operator.shape,
            format=operator.format.label,
            output_exponent=exponents[index + 1],
            products=layer.count_products(),
            saturated=int(saturated[index]),
            values=operator.size * len(quantized),
        )
        if isinstance(operator, Linear) and numbers is not None:
            report = _add_linear(report, operator, numbers, network)
        reports.append(report)
    return tuple(reports)


def _add_linear(report: LayerReport, linear: Linear, numbers: LinearWeights, network: Network) -> LayerReport:
    lowest, highest = compute_accumulator_range(linear, numbers, network.formats, network.shapes)
    bias, arrays = numbers.bias, numbers.weights
    return replace(
        report,
        shift=linear.shift,
        weights=sum(array.size for array in arrays),
        weight_range=(min(int(a.min()) for a in arrays), max(int(a.max()) for a in arrays)) if arrays else None,
        bias_range=None if bias is None else (int(bias.min()), int(bias.max())),
        accumulator_range=(int(lowest.min()), int(highest.max())),
        accumulator_bound=compute_bound(linear.shift),
    )


def _count_batch(model: CanonicalModel, x: Integers) -> NDArray[np.int64]:
    """Saturations of every layer."""
    network, tensors, counts = model.network, [x], []
    shapes, formats = network.shapes, network.formats
    for operator, numbers in model.parameters.pair_with(network.operators):
        if isinstance(operator, Table):
            entries = model.parameters.tables[operator.number]
            tensors.append(table.run(entries, tensors[operator.operand], formats[operator.operand]))
            counts.append(0)
            continue
        assert numbers is not None
        shifted = compute_shifted(compute_accumulators(operator, numbers, tensors, shapes), operator.shift)
        tensors.append(np.clip(shifted, operator.format.low, operator.format.high))
        counts.append(_count_saturations(shifted, operator.format))
    return np.array(counts, np.int64)


def _count_saturations(shifted: Integers, result: Format) -> int:
    """Below zero a rectified tensor is doing its work, not saturating."""
    too_low = 0 if result is Format.RECTIFIED else int(np.count_nonzero(shifted < result.low))
    return too_low + int(np.count_nonzero(shifted > result.high))
