"""A term's coordinates: which challenge stands for which bit of its operand and of its weights.

σ is where the zero-check ended (the bits of the result's block), ρ where the linear sumcheck ended (the term's own
variables, low to high: shared, contracted, kernel axes), θ where the maps ended (the operand's mapped axes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from circuits.field import MODULUS
from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode
from circuits.layers.term import Shape, Term, Weights
from circuits.layout import Layer, Layout, count_bits, count_shape_bits, slice_axes
from circuits.multilinear import compute_eq, compute_eq_table, compute_prefix_mask, split_bits

Point = Sequence[int]


@dataclass(frozen=True)
class TermPlan:
    """Term `number` of a layer, with its operand's shape, and its weights tensor's where it has one."""

    layer: Layer
    number: int
    term: Term
    operand_shape: Shape
    tensor_shape: Shape
    is_input_public: bool

    @property
    def result(self) -> Shape:
        return self.layer.operator.shape

    # ---- the term's own variables -----------------------------------------------------------------------------------------------------

    @cached_property
    def summed_axes(self) -> tuple[tuple[str, int], ...]:
        """("kernel" or "axis", operand axis), in the order of the weights' axes: kernels, contracted, shared."""
        term = self.term
        kernels = [("kernel", a) for a in term.find_kernels()]
        return (*kernels, *(("axis", a) for a in (*term.find_axes(Mode.CONTRACT), *term.find_axes(Mode.SHARED))))

    @cached_property
    def summed_shape(self) -> Shape:
        sizes = {"kernel": lambda a: self.term.axes[a].kernel_size, "axis": lambda a: self.operand_shape[a]}
        return tuple(sizes[kind](a) for kind, a in self.summed_axes)

    @property
    def variables(self) -> int:
        """Of the linear sumcheck."""
        return count_shape_bits(self.summed_shape)

    @cached_property
    def shared_bits(self) -> int:
        """The lowest variables, which the weights share with the result."""
        return sum(count_bits(self.operand_shape[a]) for a in self.term.find_axes(Mode.SHARED))

    def split_rho(self, rho: Point) -> dict[tuple[str, int], Point]:
        return {key: rho[bits] for key, bits in zip(self.summed_axes, slice_axes(self.summed_shape), strict=True)}

    # ---- the operand ------------------------------------------------------------------------------------------------------------------

    @cached_property
    def mapped_axes(self) -> tuple[int, ...]:
        return tuple(a for a, axis in enumerate(self.term.axes) if axis.is_mapped)

    @cached_property
    def mapped_shape(self) -> Shape:
        return tuple(self.operand_shape[a] for a in self.mapped_axes)

    @property
    def map_bits(self) -> int:
        return count_shape_bits(self.mapped_shape)

    @property
    def is_public(self) -> bool:
        """Whether the operand is the network's input, in the open."""
        return self.term.operand == 0 and self.is_input_public

    @property
    def is_weights_public(self) -> bool:
        return self.term.weights is Weights.TENSOR and self.term.tensor == 0 and self.is_input_public

    def split_sigma(self, sigma: Point) -> list[Point]:
        """The coordinates of each result axis."""
        return [sigma[bits] for bits in slice_axes(self.result)]

    def find_operand_point(self, sigma: Point, rho: Point, theta: Point) -> list[int]:
        """Where the operand is read in the end, a coordinate a bit of its block."""
        of_result, of_sum = self.split_sigma(sigma), self.split_rho(rho)
        of_map = {a: theta[bits] for a, bits in zip(self.mapped_axes, slice_axes(self.mapped_shape), strict=True)}
        point: list[int] = []
        for a in reversed(range(len(self.term.axes))):
            axis = self.term.axes[a]
            match axis.mode:
                case Mode.DIRECT:
                    point += of_result[axis.result]
                case Mode.CONTRACT | Mode.SHARED:
                    point += of_sum["axis", a]
                case Mode.FIXED:
                    point += split_bits(axis.offset, count_bits(self.operand_shape[a]))
                case _:
                    point += of_map[a]
        return point

    def find_weights_point(self, sigma: Point, rho: Point) -> list[int]:
        """Where the weights are read: free result axes in the low bits of parameters, whatever order a tensor has."""
        of_result = self.split_sigma(sigma)
        if self.term.weights is Weights.PARAMETERS:
            free = [coordinate for o in reversed(self.term.find_free(self.result)) for coordinate in of_result[o]]
            return [*free, *rho[: self.variables]]
        of_sum = self.split_rho(rho)
        point: list[int] = []
        shared = {self.term.axes[a].result: a for a in self.term.find_axes(Mode.SHARED)}
        for axis, size in reversed(list(zip(self.term.tensor_axes, self.tensor_shape, strict=True))):
            match axis.mode:
                case Mode.DIRECT:
                    point += of_result[axis.axis]
                case Mode.CONTRACT:
                    point += of_sum["axis", axis.axis]
                case Mode.SHARED:
                    point += of_sum["axis", shared[axis.axis]]
                case _:
                    point += split_bits(axis.index, count_bits(size))
        return point

    # ---- public factors -----------------------------------------------------------------------------------------------------------------

    def compute_factor(self, sigma: Point) -> int:
        """The coefficient, masked to true positions along axes the term repeats over."""
        of_result = self.split_sigma(sigma)
        factor = self.term.coefficient
        for o in self.term.find_broadcast(self.result):
            factor = factor * compute_prefix_mask(of_result[o], self.result[o]) % MODULUS
        return factor % MODULUS

    def find_shared_sigma(self, sigma: Point) -> list[int]:
        """The coordinates of σ that the shared axes have, in the order of the term's lowest variables."""
        of_result = self.split_sigma(sigma)
        return [coordinate for a in reversed(self.term.find_axes(Mode.SHARED)) for coordinate in of_result[self.term.axes[a].result]]

    def compute_shared_eq(self, sigma: Point, rho: Point) -> int:
        """eq(σ, ρ) over the shared axes."""
        return compute_eq(self.find_shared_sigma(sigma), rho[: self.shared_bits])

    def compute_axis_weights(self, a: int, sigma: Point, kernel: Sequence[int] | None) -> list[int]:
        """How often each entry q of mapped axis `a` counts: Σ p̂[p]·k̂[k] over the (p, k) that lead to it; for MERGE over
        both axes, flat. `kernel` is k̂ where the kernel is an axis of the weights."""
        axis, of_result = self.term.axes[a], self.split_sigma(sigma)
        if axis.mode is Mode.MERGE:
            count = self.operand_shape[a] * self.operand_shape[a + 1]
            return compute_eq_table(of_result[axis.result])[:count]
        positions = [1] if axis.result == NO_AXIS else compute_eq_table(of_result[axis.result])
        taps = self._compute_taps(axis, of_result, kernel)
        weights = [0] * self.operand_shape[a]
        for p, row in enumerate(axis.compute_indices(self.result).tolist()):
            for k, q in enumerate(row):
                if 0 <= q < len(weights) and taps[k]:
                    weights[q] = (weights[q] + positions[p] * taps[k]) % MODULUS
        return weights

    def _compute_taps(self, axis: Axis, of_result: list[Point], kernel: Sequence[int] | None) -> list[int]:
        if axis.kernel is Kernel.WEIGHTED:
            assert kernel is not None
            return list(kernel)
        if axis.kernel is Kernel.RESULT:
            return compute_eq_table(of_result[axis.kernel_result])
        return [1] * axis.kernel_size

    def compute_map(self, sigma: Point, rho: Point, theta: Point) -> int:
        """A(θ): the product over the mapped axes."""
        of_sum = self.split_rho(rho)
        of_map = {a: theta[bits] for a, bits in zip(self.mapped_axes, slice_axes(self.mapped_shape), strict=True)}
        result = 1
        for a in self.mapped_axes:
            axis = self.term.axes[a]
            if axis.mode is Mode.MERGED:
                continue
            kernel = None
            if axis.kernel is Kernel.WEIGHTED:
                kernel = compute_eq_table(of_sum["kernel", a])[: axis.kernel_size]
            weights = self.compute_axis_weights(a, sigma, kernel)
            at = compute_eq_table(of_map[a])[: self.operand_shape[a]]
            if axis.mode is Mode.MERGE:
                inner = compute_eq_table(of_map[a + 1])[: self.operand_shape[a + 1]]
                at = [outer * v % MODULUS for outer in at for v in inner]
            result = result * sum(w * v for w, v in zip(weights, at, strict=True)) % MODULUS
        return result


@dataclass(frozen=True)
class Terms:
    """The terms of a layout, sorted by what is sent about them."""

    plans: tuple[TermPlan, ...]

    @classmethod
    def of(cls, layout: Layout) -> Terms:
        return cls(tuple(_plan(layout)))

    @property
    def variables(self) -> int:
        """Rounds of the linear sumcheck."""
        return max(plan.variables for plan in self.plans)

    @property
    def degree(self) -> int:
        """Of the linear sumcheck: 3 where some term has a factor eq."""
        return 3 if any(plan.shared_bits for plan in self.plans) else 2

    @property
    def weighted(self) -> list[TermPlan]:
        """Terms with weights that are sent."""
        return [plan for plan in self.plans if plan.term.weights is not Weights.NONE and not plan.is_weights_public]

    @property
    def sent(self) -> list[TermPlan]:
        """Terms whose operand is sent after the linear sumcheck."""
        return [plan for plan in self.plans if plan.term.is_mapped or not plan.is_public]

    @property
    def mapped(self) -> list[TermPlan]:
        """Terms whose operand goes through a map."""
        return [plan for plan in self.plans if plan.term.is_mapped]

    @property
    def map_variables(self) -> int:
        return max((plan.map_bits for plan in self.mapped), default=0)

    @property
    def sent_after_maps(self) -> list[TermPlan]:
        return [plan for plan in self.mapped if not plan.is_public]


def _plan(layout: Layout) -> list[TermPlan]:
    """Every term, in the order of operators and terms."""
    plans = []
    for layer in layout.layers:
        for number, term in enumerate(layer.operator.terms):
            tensor = layout.shapes[term.tensor] if term.weights is Weights.TENSOR else ()
            plans.append(TermPlan(layer, number, term, layout.shapes[term.operand], tensor, not layout.network.is_input_committed))
    return plans
