"""Step 4: the accumulators of all layers, one sumcheck.

With w_l = eq(position of block l, high bits of σ), the definition of the virtual limb r0 reads

    r0(σ) − rest − Σ_l w_l·(half_l + 2^s·o_l) = Σ_l w_l Σ_t factor_t · Σ_j eq(σ, j)·W_t(σ, j)·X_t(j)
    rest = Σ_l w_l·( b_l(σ)·mask_l(σ) − 2^s·(4096·h + u)(σ) − [s = 24]·4096·r1(σ) )

where j runs over a term's own variables (kernels, contracted and shared axes), eq over its shared axes alone, W_t is the
weights at σ on the free axes, and X_t the operand read through its index maps. mask_l is 1 on true positions of the axes
the bias does not run along: rows of padded positions have none. It ends at ρ, with W_t and X_t there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits import engine
from circuits.engine import Integers, Operand, Vector
from circuits.errors import InvariantBroken
from circuits.field import MODULUS
from circuits.layers.axes import Kernel, Mode
from circuits.layers.term import Weights
from circuits.layout import LIMB_SHIFT, Layer, Layout, count_bits, slice_axes
from circuits.multilinear import compute_prefix_mask
from circuits.plan import TermPlan, Terms
from circuits.proof_error import require
from circuits.protocols import sumcheck
from circuits.protocols.rows import compute_block_weights
from circuits.tensors import VALUE_BITS
from circuits.transcript import Transcript

Key = tuple[int, int]  # operator index, term number


@dataclass(frozen=True)
class Config:
    """Shapes of the step, for one layout."""

    layout: Layout
    terms: Terms

    @property
    def sumcheck(self) -> sumcheck.Config:
        return sumcheck.Config(self.terms.variables, self.terms.degree, "linear")

    def compute_factors(self, sigma: Sequence[int]) -> list[int]:
        """w_l·factor_t for every term."""
        blocks = dict(zip((layer.index for layer in self.layout.layers), compute_block_weights(self.layout, sigma), strict=True))
        return [blocks[plan.layer.index] * plan.compute_factor(sigma) % MODULUS for plan in self.terms.plans]


def find_key(plan: TermPlan) -> Key:
    return plan.layer.index, plan.number


def find_bias_point(layer: Layer, sigma: Sequence[int]) -> Sequence[int]:
    """The coordinates of σ on the axis the bias runs along."""
    if layer.operator.bias_axis is None:
        raise InvariantBroken(f"layer {layer.index} has no bias")
    return sigma[slice_axes(layer.operator.shape)[layer.operator.bias_axis]]


def compute_bias_mask(layer: Layer, sigma: Sequence[int]) -> int:
    """mask_l(σ): the sum of eq over the true positions of the other axes."""
    result = 1
    for axis, (bits, size) in enumerate(zip(slice_axes(layer.operator.shape), layer.operator.shape, strict=True)):
        if axis != layer.operator.bias_axis:
            result = result * compute_prefix_mask(sigma[bits], size) % MODULUS
    return result


def compute_rest_coefficients(layer: Layer, sigma: Sequence[int]) -> dict[str, int]:
    """What the bias and each column of one layer's block count in `rest`, before the block's weight w_l."""
    shift = layer.operator.shift
    bias = {} if layer.operator.bias_axis is None else {"bias": compute_bias_mask(layer, sigma)}
    columns = {"h": -(1 << (shift + VALUE_BITS)), "u": -(1 << shift)}
    return bias | columns | ({"r1": -(1 << VALUE_BITS)} if shift == LIMB_SHIFT else {})


# ---- prove: tables over a term's own variables ------------------------------------------------------------------------------------


@dataclass
class Reading:
    """A tensor on the way to a table: `values` flat over `sizes`, one size an axis (1 where it was summed away)."""

    values: Operand
    sizes: list[int]

    def contract(self, axis: int, weights: Vector) -> None:
        """Sum an axis away."""
        self.values = self._sum(axis, weights)
        self.sizes[axis] = 1

    def expand(self, axis: int, rows: Sequence[Vector]) -> None:
        """Replace an axis by one with an entry for each row of weights."""
        outer, inner = prod(self.sizes[:axis]), prod(self.sizes[axis + 1 :])
        parts = [self._sum(axis, row).reshape(outer, 1, inner, 4) for row in rows]
        self.values = np.ascontiguousarray(np.concatenate(parts, axis=1).reshape(-1, 4))
        self.sizes[axis] = len(rows)

    def take(self, axis: int, index: int) -> None:
        """One entry of an axis."""
        shaped = self._shape()
        self.values = self._flatten(np.take(shaped, [index], axis=axis))
        self.sizes[axis] = 1

    def arrange(self, axes: Sequence[int]) -> Operand:
        """Flat, with these axes in this order, each padded to a power of two; all others must have one entry."""
        if prod(self.sizes) != prod(self.sizes[a] for a in axes):
            raise InvariantBroken("an axis was neither summed nor kept")
        others = [a for a in range(len(self.sizes)) if a not in axes]
        extra = [len(self.sizes)] if self.values.ndim == 2 else []
        ordered = self._shape().transpose([*others, *axes, *extra])
        ordered = ordered.reshape([self.sizes[a] for a in axes] + ([4] if extra else []))
        padding = [(0, (1 << count_bits(self.sizes[a])) - self.sizes[a]) for a in axes] + ([(0, 0)] if extra else [])
        return self._flatten(np.pad(ordered, padding) if axes else ordered)

    def _sum(self, axis: int, weights: Vector) -> Vector:
        shape = prod(self.sizes[:axis]), self.sizes[axis], prod(self.sizes[axis + 1 :])
        return engine.contract(self.values, shape, weights)

    def _shape(self) -> NDArray[Any]:
        return self.values.reshape(*self.sizes, 4) if self.values.ndim == 2 else self.values.reshape(self.sizes)

    def _flatten(self, shaped: NDArray[Any]) -> Operand:
        flat: Operand = np.ascontiguousarray(shaped.reshape(-1, 4) if self.values.ndim == 2 else shaped.reshape(-1))
        return flat


def compute_eq_weights(point: Sequence[int], count: int) -> Vector:
    """eq(point, i) for i < count."""
    return engine.eq_table(point)[:count]


def compute_operand_table(plan: TermPlan, sigma: Sequence[int], x: Integers) -> Operand:
    """X_t over the term's own variables; x flat, true elements."""
    reading, of_result = Reading(x, list(plan.operand_shape)), plan.split_sigma(sigma)
    for a, axis in enumerate(plan.term.axes):
        match axis.mode:
            case Mode.DIRECT:
                reading.contract(a, compute_eq_weights(of_result[axis.result], plan.operand_shape[a]))
            case Mode.FIXED:
                reading.take(a, axis.offset)
            case Mode.MERGE:
                reading.sizes[a : a + 2] = [reading.sizes[a] * reading.sizes[a + 1], 1]
                reading.contract(a, engine.from_scalars(plan.compute_axis_weights(a, sigma, None)))
            case Mode.AFFINE if axis.kernel is Kernel.WEIGHTED:
                taps = ([int(k == number) for k in range(axis.kernel_size)] for number in range(axis.kernel_size))
                reading.expand(a, [engine.from_scalars(plan.compute_axis_weights(a, sigma, one)) for one in taps])
            case Mode.AFFINE:
                reading.contract(a, engine.from_scalars(plan.compute_axis_weights(a, sigma, None)))
    return reading.arrange([a for _, a in plan.summed_axes])


def compute_weights_table(plan: TermPlan, sigma: Sequence[int], numbers: Integers | None, tensor: Integers | None) -> Operand:
    """W_t(σ, ·) over the term's own variables: one multiply-add for every weight, with a small integer."""
    of_result = plan.split_sigma(sigma)
    if plan.term.weights is Weights.NONE:
        return np.ones(1, dtype=np.int64)
    if plan.term.weights is Weights.PARAMETERS:
        assert numbers is not None
        reading, kept = Reading(np.ascontiguousarray(numbers.reshape(-1)), list(numbers.shape)), len(plan.summed_axes)
        for axis, o in reversed(list(enumerate(plan.term.find_free(plan.result), start=kept))):
            reading.contract(axis, compute_eq_weights(of_result[o], plan.result[o]))
        return reading.arrange(range(kept))
    assert tensor is not None
    reading = Reading(tensor, list(plan.tensor_shape))
    found: dict[tuple[Mode, int], int] = {}
    for number, read in enumerate(plan.term.tensor_axes):
        if read.mode is Mode.DIRECT:
            reading.contract(number, compute_eq_weights(of_result[read.axis], plan.tensor_shape[number]))
        elif read.mode is Mode.FIXED:
            reading.take(number, read.index)
        else:
            found[read.mode, read.axis] = number
    modes = ((plan.term.axes[a], a) for _, a in plan.summed_axes)
    return reading.arrange([found[axis.mode, axis.result if axis.mode is Mode.SHARED else a] for axis, a in modes])


def compute_eq_of_term(plan: TermPlan, sigma: Sequence[int]) -> Vector | None:
    """eq(σ, ·) over the shared axes, repeated over the other variables; None where there are none."""
    if not plan.shared_bits:
        return None
    table = engine.eq_table(plan.find_shared_sigma(sigma))
    return np.ascontiguousarray(np.tile(table, (1 << (plan.variables - plan.shared_bits), 1)))


@dataclass(frozen=True)
class Numbers:
    """What the prover knows: parameters by (operator index, term number), tensors by operator id, flat."""

    weights: Mapping[Key, Integers]
    tensors: Sequence[Integers]


def prove(
    config: Config, transcript: Transcript, sigma: Sequence[int], numbers: Numbers
) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Messages, ρ, and for every term W_t and X_t there."""
    products = []
    for plan, factor in zip(config.terms.plans, config.compute_factors(sigma), strict=True):
        tensor = numbers.tensors[plan.term.tensor] if plan.term.weights is Weights.TENSOR else None
        a = compute_weights_table(plan, sigma, numbers.weights.get(find_key(plan)), tensor)
        b = compute_operand_table(plan, sigma, numbers.tensors[plan.term.operand])
        products.append(sumcheck.Product(factor, compute_eq_of_term(plan, sigma), a, b, plan.variables))
    return sumcheck.prove(config.sumcheck, transcript, products)


# ---- verify -------------------------------------------------------------------------------------------------------------------------


def compute_claim(config: Config, sigma: Sequence[int], r0: int, rest: int) -> int:
    """The left side: what the sum over all terms must be."""
    weights = compute_block_weights(config.layout, sigma)
    constant = sum(w * layer.constant for w, layer in zip(weights, config.layout.layers, strict=True))
    return (r0 - rest - constant) % MODULUS


def verify(config: Config, transcript: Transcript, claim: int, messages: Sequence[int]) -> tuple[list[int], int]:
    """ρ, and what the values there must add up to."""
    return sumcheck.verify(config.sumcheck, transcript, claim, messages)


def check_end(
    config: Config, points: tuple[Sequence[int], Sequence[int]], claim: int, weights: Mapping[Key, int], operands: Mapping[Key, int]
) -> None:
    """Raise ProofError unless Σ w_l·factor·scale·eq(σ, ρ)·W_t·X_t is the claim. `points` are σ, ρ; terms without weights have 1."""
    sigma, rho = points
    total = 0
    for plan, factor in zip(config.terms.plans, config.compute_factors(sigma), strict=True):
        key = find_key(plan)
        term = factor * config.sumcheck.scale(plan.variables) % MODULUS * plan.compute_shared_eq(sigma, rho) % MODULUS
        total += term * weights.get(key, 1) % MODULUS * operands[key]
    require((total - claim) % MODULUS == 0, "linear layers")
