"""Calibration: choosing every exponent and shift.

Start where nothing saturates on the calibration samples, then change one number at a time while the integer network
comes closer to the float one: a higher exponent resolves more and saturates more. Shift 12 everywhere first, because a
model without shift 24 is cheaper to prove; 24 is taken only where it pays. Deterministic: near ties keep what is there,
so the last bits of a float sum decide nothing. How many samples judge, and how often, follows from the size of the
network, so that large ones take seconds too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuits.compiler.floats import FloatNetwork
from circuits.compiler.integers import Builder
from circuits.compiler.quantise import Choice, Known, choose_shift, compute_exponent, find_exponent, find_format, quantise_layer
from circuits.compiler.scale_input import apply_scaling, find_scaling
from circuits.errors import CompileError
from circuits.layers.rescale import SHIFTS
from circuits.network import Network, Parameters
from circuits.scaling import InputScaling, quantize
from circuits.tensors import MAX_EXPONENT, Format, Reals

# (samples, passes), from the most thorough to the quickest; the first that stays within BUDGET is taken.
EFFORTS = ((1024, 3), (256, 3), (128, 2), (64, 1), (32, 1), (32, 0), (8, 0))
BUDGET = 6e9  # products, a second or two for each 10^9
WEIGHT_COST = 60  # products that rounding and bounding one weight takes
LAYER_COST = 150_000  # products that a layer takes whatever its size
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


def choose_effort(network: FloatNetwork) -> tuple[int, int]:
    """Samples that judge, and passes over all exponents."""
    for samples, passes in EFFORTS:
        evaluations = max(1, passes * len(STEPS) * (len(network.layers) + 1))
        each = samples * network.count_products() + WEIGHT_COST * network.count_weights() + LAYER_COST * len(network.layers)
        if evaluations * each <= BUDGET:
            return samples, passes
    return EFFORTS[-1]


class Search:
    """Candidates are judged on (n, size) real samples by the output's distance from the float network's.

    `samples` give the input's ranges; `used` are those of them that calibrate the layers, `tensors` their float values.
    """

    def __init__(self, network: FloatNetwork, samples: Reals, used: Reals, tensors: list[Reals], is_classifier: bool) -> None:
        count, self.passes = choose_effort(network)
        stride = max(1, len(used) // count)
        self.network = network
        self.samples = samples
        self.judged = used[::stride]
        self.is_classifier = is_classifier
        self.tensors = tensors
        self.reference = tensors[-1][::stride]
        self._builders: dict[bool, Builder] = {}

    def run(self) -> Plan:
        """The best plan found. Raises CompileError or BoundError, naming the layer, if no exponents fit."""
        scaling = find_scaling(self.samples, self.network)
        scaled = apply_scaling(self.network, scaling) if scaling is not None else None
        self._builders = {False: Builder(self.network)} | ({True: Builder(scaled)} if scaled is not None else {})
        scaling = scaling if scaled is not None else None
        try:
            plan = self._improve(self._start(None))
        except CompileError:
            if scaling is None:
                raise
            plan = self._improve(self._start(scaling))
        else:
            if plan.error > FINE_ERROR and scaling is not None and self.passes:
                plan = _better(plan, self._improve(self._start(scaling)))
        if plan.error > FINE_ERROR:
            plan = _better(plan, self._widen(plan) if self.passes > 1 else self._widen_all(plan))
        return self._accept(plan)

    def _accept(self, plan: Plan) -> Plan:
        if not np.isfinite(plan.error):
            self.build(plan)  # raises what does not fit
            raise CompileError("the output's values on the calibration samples", f"an exponent within ±{MAX_EXPONENT}")
        return plan

    def build(self, plan: Plan) -> tuple[Network, Parameters]:
        """The integer network of a plan. Raises CompileError if a layer does not fit."""
        return self._builders[plan.scaling is not None].build(plan.input_exponent, plan.choices)

    def list_exponents(self, plan: Plan) -> tuple[int, ...]:
        """Of every tensor, the input's first."""
        return self._builders[plan.scaling is not None].list_exponents(plan.input_exponent, plan.choices)

    def _start(self, scaling: InputScaling | None) -> Plan:
        """No saturation on the samples, lowered where a layer's numbers would not fit."""
        network = self._builders[scaling is not None].network
        first = 0 if scaling else _fit_exponent(self.samples, Format.SIGNED)
        known, choices = Known([first], [Format.SIGNED], [network.input_shape]), []
        for layer, values in zip(network.layers, self.tensors[1:], strict=True):
            exponent = find_exponent(layer, known, Choice(_fit_exponent(values, find_format(layer, known)), SHIFTS[0]))
            choice, result = exponent, find_format(layer, known)
            for lost in range(LOST_BITS + 1):
                choice = exponent - lost
                try:
                    built = quantise_layer(layer, known, Choice(choice, choose_shift(layer, known, choice)))
                    break
                except CompileError:
                    if lost == LOST_BITS or not layer.grid.is_free:
                        raise
            choices.append(Choice(choice, choose_shift(layer, known, choice)))
            known.exponents.append(built.exponent)
            known.formats.append(result)
            known.shapes.append(layer.shape)
        return self._judge(Plan(first, scaling, tuple(choices), float("inf")))

    def _judge(self, plan: Plan) -> Plan:
        """The plan with its error, infinite if it does not fit: relative distance of outputs, plus the share of other winners."""
        builder = self._builders[plan.scaling is not None]
        try:
            source = builder.make_input(plan.input_exponent)
            if problem := source.problem():
                raise CompileError(problem)
            x = quantize(self.judged, replace(source, shape=(source.size,)), plan.scaling)
            exponent, integers = builder.run(plan.input_exponent, plan.choices, x)
        except CompileError:
            return replace(plan, error=float("inf"))
        y = np.ldexp(integers.astype(np.float64), -exponent)
        return replace(plan, error=_relative_distance(y, self.reference) + self._disagreement(y))

    def _disagreement(self, y: Reals) -> float:
        if not self.is_classifier:
            return 0.0
        if y.shape[1] == 1:
            return float(np.mean((y > 0) != (self.reference > 0)))
        return float(np.mean(y.argmax(axis=1) != self.reference.argmax(axis=1)))

    def _improve(self, plan: Plan) -> Plan:
        """Coordinate descent over the exponents that are free."""
        for _ in range(self.passes):
            before = plan.error
            for position in range(-1, len(plan.choices)):
                if position < 0 or self.network.layers[position].grid.is_free:
                    for step in STEPS:
                        plan = _closer(plan, self._judge(_move(plan, position, step)))
            if not plan.error < before * (1 - NEAR_TIE):
                break
        return plan

    def _widen(self, plan: Plan) -> Plan:
        """Shift 24 for one layer after the other, wherever it comes closer."""
        for position in range(len(plan.choices)):
            wide = _replace_choice(plan, position, replace(plan.choices[position], shift=SHIFTS[1]))
            for step in (0, -1, 1) if self.network.layers[position].grid.is_free else (0,):
                plan = _closer(plan, self._judge(_move(wide, position, step)))
        return self._improve(plan)

    def _widen_all(self, plan: Plan) -> Plan:
        """Shift 24 everywhere at once."""
        return self._judge(replace(plan, choices=tuple(replace(choice, shift=SHIFTS[1]) for choice in plan.choices)))


def _fit_exponent(values: Reals, result: Format) -> int:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0
    return compute_exponent(float(min(finite.min(), 0.0)), float(max(finite.max(), 0.0)), result)


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
