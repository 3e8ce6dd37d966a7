"""Calibration: choosing every exponent and shift.

Start where nothing saturates on the calibration samples, then change one number at a time while the integer network
comes closer to the float one: a higher exponent resolves more and saturates more. Shift 12 everywhere first, because a
model without shift 24 is cheaper to prove; 24 is taken only where it pays. Deterministic: near ties keep what is there,
so the last bits of a float sum decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuits.compiler.floats import FloatLayer, FloatNetwork
from circuits.compiler.quantise import Choice, quantise_layer
from circuits.compiler.scale_input import apply_scaling, compute_exponent, find_scaling
from circuits.errors import CompileError
from circuits.layers.rescale import SHIFTS
from circuits.layers.term import Shape
from circuits.network import Network, Parameters, run_network
from circuits.scaling import InputScaling, quantize
from circuits.tensors import MAX_EXPONENT, Format, Reals, TensorType

SEARCH_SAMPLES = 1024
SEARCH_PASSES = 3
STEPS = (1, -1, 2)
NEAR_TIE = 1e-6
LOST_BITS = 6  # a layer whose numbers only fit with this much less resolution than calibration wants is refused
FINE_ERROR = 0.004  # below it, neither shift 24 nor a scaling per element is worth its price
LARGE_GAIN = 0.7


@dataclass(frozen=True)
class Plan:
    """The numbers chosen: of the input, and of every layer; and the error they give."""

    input_exponent: int
    scaling: InputScaling | None
    choices: tuple[Choice, ...]
    error: float


class Search:
    """Candidates are judged on (n, size) real samples by the output's distance from the float network's."""

    def __init__(self, network: FloatNetwork, samples: Reals, is_classifier: bool) -> None:
        stride = max(1, len(samples) // SEARCH_SAMPLES)
        self.network = network
        self.samples = samples
        self.judged = samples[::stride]
        self.is_classifier = is_classifier
        self.tensors = network.run(samples)
        self.reference = self.tensors[-1][::stride]

    def run(self) -> Plan:
        """The best plan found. Raises CompileError or BoundError, naming the layer, if no exponents fit."""
        scaling = find_scaling(self.samples, self.network)
        try:
            plan = self._improve(self._start(None))
        except CompileError:
            if scaling is None:
                raise
            plan = self._improve(self._start(scaling))
        else:
            if plan.error > FINE_ERROR and scaling is not None:
                plan = _better(plan, self._improve(self._start(scaling)))
        if plan.error > FINE_ERROR:
            plan = _better(plan, self._widen(plan))
        return self._accept(plan)

    def _accept(self, plan: Plan) -> Plan:
        if not np.isfinite(plan.error):
            raise CompileError("the output's values on the calibration samples", f"an exponent within ±{MAX_EXPONENT}")
        return plan

    def build(self, plan: Plan) -> tuple[Network, Parameters]:
        """The integer network of a plan. Raises CompileError if a layer does not fit."""
        source = TensorType(self.network.input_shape, Format.SIGNED, plan.input_exponent)
        exponents, formats, shapes, built = [source.exponent], [source.format], [source.shape], []
        for layer, choice in zip(self._scaled(plan.scaling).layers, plan.choices, strict=True):
            built.append(quantise_layer(layer, exponents[layer.operand], formats[layer.operand], shapes[layer.operand], choice))
            exponents.append(choice.exponent)
            formats.append(built[-1][0].format)
            shapes.append(built[-1][0].shape)
        result = TensorType(self.network.output_shape, formats[-1], exponents[-1])
        network = Network(source, tuple(linear for linear, _ in built), len(built), result)
        return network, Parameters(tuple(numbers for _, numbers in built))

    def _scaled(self, scaling: InputScaling | None) -> FloatNetwork:
        return self.network if scaling is None else apply_scaling(self.network, scaling)

    def _start(self, scaling: InputScaling | None) -> Plan:
        """No saturation on the samples, lowered where a layer's numbers would not fit."""
        first = 0 if scaling else _fit_exponent(self.samples, Format.SIGNED)
        exponents, formats, shapes, choices = [first], [Format.SIGNED], [self.network.input_shape], []
        for layer, values in zip(self._scaled(scaling).layers, self.tensors[1:], strict=True):
            formats.append(Format.RECTIFIED if layer.is_rectified else Format.SIGNED)
            wanted = Choice(_fit_exponent(values, formats[-1]), SHIFTS[0])
            choice, shape = _lower_until_fit(layer, exponents[layer.operand], formats[layer.operand], shapes[layer.operand], wanted)
            shapes.append(shape)
            exponents.append(choice.exponent)
            choices.append(choice)
        return self._judge(Plan(first, scaling, tuple(choices), float("inf")))

    def _judge(self, plan: Plan) -> Plan:
        """The plan with its error, infinite if it does not fit: relative distance of outputs, plus the share of other winners."""
        try:
            network, parameters = self.build(plan)
            if problem := network.output.problem() or network.input.problem():
                raise CompileError(problem)
        except CompileError:
            return replace(plan, error=float("inf"))
        x = quantize(self.judged, replace(network.input, shape=(network.input.size,)), plan.scaling)
        y = np.ldexp(run_network(network, parameters, x)[-1].astype(np.float64), -network.output.exponent)
        error = _relative_distance(y, self.reference)
        return replace(plan, error=error + self._disagreement(y))

    def _disagreement(self, y: Reals) -> float:
        if not self.is_classifier:
            return 0.0
        if y.shape[1] == 1:
            return float(np.mean((y > 0) != (self.reference > 0)))
        return float(np.mean(y.argmax(axis=1) != self.reference.argmax(axis=1)))

    def _improve(self, plan: Plan) -> Plan:
        """Coordinate descent over the exponents."""
        for _ in range(SEARCH_PASSES):
            before = plan.error
            for position in range(-1, len(plan.choices)):
                for step in STEPS:
                    plan = _closer(plan, self._judge(_move(plan, position, step)))
            if not plan.error < before * (1 - NEAR_TIE):
                break
        return plan

    def _widen(self, plan: Plan) -> Plan:
        """Shift 24 for one layer after the other, wherever it comes closer."""
        for position in range(len(plan.choices)):
            wide = _replace_choice(plan, position, replace(plan.choices[position], shift=SHIFTS[1]))
            for step in (0, -1, 1):
                plan = _closer(plan, self._judge(_move(wide, position, step)))
        return self._improve(plan)


def _lower_until_fit(layer: FloatLayer, operand_exponent: int, operand: Format, shape: Shape, wanted: Choice) -> tuple[Choice, Shape]:
    """Give up resolution, one bit at a time, until the layer's numbers fit. The choice, and the result's shape."""
    for lost in range(LOST_BITS):
        choice = replace(wanted, exponent=wanted.exponent - lost)
        try:
            return choice, quantise_layer(layer, operand_exponent, operand, shape, choice)[0].shape
        except CompileError:
            continue
    last = replace(wanted, exponent=wanted.exponent - LOST_BITS)
    return last, quantise_layer(layer, operand_exponent, operand, shape, last)[0].shape


def _fit_exponent(values: Reals, result: Format) -> int:
    return compute_exponent(float(min(values.min(), 0.0)), float(max(values.max(), 0.0)), result)


def _relative_distance(y: Reals, reference: Reals) -> float:
    """Root mean square of the difference over that of the reference's spread."""
    spread = float(np.sqrt(np.mean((reference - reference.mean()) ** 2)))
    return float(np.sqrt(np.mean((y - reference) ** 2))) / (spread if spread > 0 else 1.0)


def _move(plan: Plan, position: int, step: int) -> Plan:
    """One exponent changed; position -1 is the input, which a scaling per element leaves alone."""
    if position < 0:
        return plan if plan.scaling else replace(plan, input_exponent=plan.input_exponent + step)
    choice = plan.choices[position]
    return _replace_choice(plan, position, replace(choice, exponent=choice.exponent + step))


def _replace_choice(plan: Plan, position: int, choice: Choice) -> Plan:
    return replace(plan, choices=(*plan.choices[:position], choice, *plan.choices[position + 1 :]))


def _closer(plan: Plan, candidate: Plan) -> Plan:
    return candidate if candidate.error < plan.error * (1 - NEAR_TIE) else plan


def _better(plan: Plan, candidate: Plan) -> Plan:
    """A costlier plan has to be much better."""
    return candidate if candidate.error < plan.error * LARGE_GAIN else plan
