"""What the compiler did, for people and for programs: every number here is computed from the integer network itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from circuits.compiler.accuracy import Accuracy
from circuits.compiler.floats import FloatLayer
from circuits.layers.linear import Linear, LinearWeights, compute_accumulator_range, compute_accumulators
from circuits.layers.rescale import compute_bound, compute_shifted
from circuits.model import CanonicalModel
from circuits.tensors import Format, Integers


@dataclass(frozen=True)
class LayerReport:
    """One layer. Exponents: real = integer · 2^-exponent. Accumulators: the worst case over all inputs, not over the samples."""

    name: str
    positions: int
    in_features: int
    out_features: int
    format: str
    shift: int
    weight_exponent: int
    output_exponent: int
    weight_range: tuple[int, int]
    bias_range: tuple[int, int]
    accumulator_range: tuple[int, int]
    accumulator_bound: int
    saturated: int
    values: int


@dataclass(frozen=True)
class CompileReport:
    """Saturation counts are over the calibration samples; accuracy is over the held-back ones, None where none were given."""

    name: str
    model_id: str
    parameters: int
    calibration_samples: int
    input_exponent: int | None
    input_saturated: int
    layers: tuple[LayerReport, ...]
    calibration_error: float
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


def _layer_table(layers: tuple[LayerReport, ...]) -> Table:
    table = Table(title="layers (exponent e: real = integer · 2^-e; bounds are worst cases over every input)", title_justify="left")
    for heading in ("layer", "shape", "format", "s", "e w", "e y", "|w|", "|bias|", "|acc| of bound", "saturated"):
        table.add_column(heading, overflow="fold")
    for layer in layers:
        table.add_row(
            layer.name,
            ("" if layer.positions == 1 else f"{layer.positions}×") + f"{layer.in_features}→{layer.out_features}",
            layer.format,
            str(layer.shift),
            str(layer.weight_exponent),
            str(layer.output_exponent),
            str(_largest(layer.weight_range)),
            str(_largest(layer.bias_range)),
            f"{_largest(layer.accumulator_range) / layer.accumulator_bound:.2%}",
            f"{layer.saturated}/{layer.values}",
        )
    return table


def _largest(ends: tuple[int, int]) -> int:
    return max(abs(ends[0]), abs(ends[1]))


def _describe_quality(report: CompileReport) -> str:
    text = f"distance from the float model on the calibration samples: {report.calibration_error:.5f}"
    if (accuracy := report.accuracy) is not None:
        text += f"\n{accuracy.samples} held-back samples: float {accuracy.float_right:.4f}, integer {accuracy.integer_right:.4f} right"
        text += f", same class on {accuracy.agreement:.4f}"
    return text


def count_input_saturations(model: CanonicalModel, quantized: Integers) -> int:
    """How many input integers lie at an end of the range, where a saturated value ends up."""
    return int(np.count_nonzero((quantized == model.input.format.low) | (quantized == model.input.format.high)))


def describe_layers(
    model: CanonicalModel, floats: tuple[FloatLayer, ...], exponents: tuple[int, ...], quantized: Integers
) -> tuple[LayerReport, ...]:
    """One report per layer; `exponents` has the input's first, `quantized` is (n, size) calibration inputs."""
    tensors, reports, shapes, formats = [quantized], [], model.network.shapes, model.network.formats
    for index, (operator, numbers) in enumerate(model.parameters.pair_with(model.network.operators)):
        assert isinstance(operator, Linear) and numbers is not None
        acc = compute_accumulators(operator, numbers, tensors, shapes)
        shifted = compute_shifted(acc, operator.shift)
        tensors.append(np.clip(shifted, operator.format.low, operator.format.high))
        weight_exponent = exponents[index + 1] + operator.shift - exponents[floats[index].operand]
        ends = compute_accumulator_range(operator, numbers, formats, shapes)
        reports.append(_describe_layer(floats[index], operator, numbers, ends, weight_exponent, exponents[index + 1], shifted))
    return tuple(reports)


def _describe_layer(
    layer: FloatLayer,
    linear: Linear,
    numbers: LinearWeights,
    ends: tuple[Integers, Integers],
    weight_exponent: int,
    exponent: int,
    shifted: Integers,
) -> LayerReport:
    weights, bias = numbers.weights[0], numbers.bias
    assert bias is not None
    return LayerReport(
        name=layer.name,
        positions=layer.positions,
        in_features=layer.weights.shape[1],
        out_features=layer.weights.shape[0],
        format=linear.format.label,
        shift=linear.shift,
        weight_exponent=weight_exponent,
        output_exponent=exponent,
        weight_range=(int(weights.min()), int(weights.max())),
        bias_range=(int(bias.min()), int(bias.max())),
        accumulator_range=(int(ends[0].min()), int(ends[1].max())),
        accumulator_bound=compute_bound(linear.shift),
        saturated=_count_saturations(shifted, linear.format),
        values=shifted.size,
    )


def _count_saturations(shifted: Integers, result: Format) -> int:
    """Below zero a rectified tensor is doing its work, not saturating."""
    too_low = 0 if result is Format.RECTIFIED else int(np.count_nonzero(shifted < result.low))
    return too_low + int(np.count_nonzero(shifted > result.high))
