"""One term of a linear operator: coefficient·Σ W(…)·x(…), its rules, its bytes, its value.

The weights are nothing (the coefficient alone), committed parameters, or another tensor. Parameters have one axis for each
kernel, each contracted and each shared axis of the operand, then one for each result axis that no axis of the operand
names; row-major, so the last ones have the low bits of an index.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from string import ascii_letters

import numpy as np

from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode, WeightsAxis, decode_axis, decode_weights_axis
from circuits.tensors import MAX_ELEMENTS, MAX_RANK, Format, Integers, Reals

CODE = 0x11
MAX_COEFFICIENT = 1 << 23
MAX_WEIGHTS = 1 << 24
FAR = 1 << 59
Shape = tuple[int, ...]


class Weights(IntEnum):
    """Where a term's weights come from. The number is the one written in the descriptor."""

    NONE = 0
    PARAMETERS = 1
    TENSOR = 2


@dataclass(frozen=True)
class Term:
    """`axes`: one an axis of the operand. `tensor` and `tensor_axes` only where the weights are a tensor."""

    operand: int
    axes: tuple[Axis, ...]
    weights: Weights = Weights.NONE
    coefficient: int = 1
    tensor: int = 0
    tensor_axes: tuple[WeightsAxis, ...] = ()

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.operand, self.tensor) if self.weights is Weights.TENSOR else (self.operand,)

    @property
    def is_mapped(self) -> bool:
        return any(axis.is_mapped for axis in self.axes)

    def find_axes(self, mode: Mode) -> list[int]:
        return [index for index, axis in enumerate(self.axes) if axis.mode is mode]

    def find_kernels(self) -> list[int]:
        """Operand axes whose kernel is an axis of the weights."""
        return [index for index, axis in enumerate(self.axes) if axis.kernel is Kernel.WEIGHTED]

    def find_free(self, result: Shape) -> list[int]:
        """Result axes that no axis of the operand names."""
        named = {number for axis in self.axes for number in axis.list_results()}
        return [number for number in range(len(result)) if number not in named]

    def find_broadcast(self, result: Shape) -> list[int]:
        """Result axes along which the term repeats: neither the operand nor the weights have them."""
        if self.weights is Weights.PARAMETERS:
            return []
        return [o for o in self.find_free(result) if WeightsAxis(Mode.DIRECT, o) not in self.tensor_axes]

    def count_summed(self) -> int:
        """Entries of the operand that one result sums with weight 1."""
        return prod(axis.kernel_size for axis in self.axes if axis.kernel is Kernel.SUMMED)

    def weights_shape(self, operand: Shape, result: Shape) -> Shape:
        """Of the parameters."""
        kernels = [self.axes[a].kernel_size for a in self.find_kernels()]
        summed = [operand[a] for a in (*self.find_axes(Mode.CONTRACT), *self.find_axes(Mode.SHARED))]
        return (*kernels, *summed, *(result[o] for o in self.find_free(result)))

    # ---- rules --------------------------------------------------------------------------------------------------------------------

    def problem(self, operand: Shape, tensor: Shape, result: Shape) -> str | None:
        """Why this term cannot stand in an operator of that result, or None."""
        if len(self.axes) != len(operand):
            return f"{len(self.axes)} axes for an operand of shape {list(operand)}"
        for number, (axis, size) in enumerate(zip(self.axes, operand, strict=True)):
            if problem := axis.problem(size, result):
                return f"axis {number}: {problem}"
        named = [number for axis in self.axes for number in axis.list_results()]
        if len(named) != len(set(named)):
            return "two axes name one result axis"
        return self._merge_problem(operand, result) or self._weights_problem(operand, tensor, result)

    def _merge_problem(self, operand: Shape, result: Shape) -> str | None:
        modes = [axis.mode for axis in self.axes]
        for number, mode in enumerate(modes):
            follows = modes[number + 1] if number + 1 < len(modes) else None
            if (mode is Mode.MERGE) != (follows is Mode.MERGED):
                return f"axis {number}: a merge needs exactly the axis after it"
            if mode is Mode.MERGE and operand[number] * operand[number + 1] != result[self.axes[number].result]:
                return f"axis {number}: {operand[number]}·{operand[number + 1]} entries merged into {result[self.axes[number].result]}"
        return "the first axis cannot be merged into one before it" if modes and modes[0] is Mode.MERGED else None

    def _weights_problem(self, operand: Shape, tensor: Shape, result: Shape) -> str | None:
        needs = self.find_axes(Mode.CONTRACT) or self.find_axes(Mode.SHARED) or self.find_kernels()
        if self.count_summed() > MAX_ELEMENTS or (self.count_summed() > 1 and self.weights is Weights.PARAMETERS):
            return f"windows of {self.count_summed()} summed entries, or summed windows beside parameters"
        if not -MAX_COEFFICIENT < self.coefficient < MAX_COEFFICIENT or self.coefficient == 0:
            return f"coefficient {self.coefficient} is zero or not below 2^23"
        if self.weights is not Weights.TENSOR and (self.tensor or self.tensor_axes):
            return "a weights tensor where the weights are none"
        if self.weights is Weights.NONE:
            return "axes that need weights, and none" if needs else None
        if self.weights is Weights.PARAMETERS:
            if self.coefficient != 1:
                return "a coefficient beside parameters"
            size = prod(self.weights_shape(operand, result))
            return f"above {MAX_WEIGHTS} weights" if size > MAX_WEIGHTS else None
        return self._tensor_problem(operand, tensor, result)

    def _tensor_problem(self, operand: Shape, tensor: Shape, result: Shape) -> str | None:
        if self.find_kernels():
            return "a kernel against a tensor"
        if len(self.tensor_axes) != len(tensor):
            return f"{len(self.tensor_axes)} axes for a weights tensor of shape {list(tensor)}"
        wanted = {(Mode.CONTRACT, a) for a in self.find_axes(Mode.CONTRACT)}
        wanted |= {(Mode.SHARED, self.axes[a].result) for a in self.find_axes(Mode.SHARED)}
        free = {(Mode.DIRECT, o) for o in self.find_free(result)}
        found = [(axis.mode, axis.axis) for axis in self.tensor_axes if axis.mode is not Mode.FIXED]
        if len(found) != len(set(found)) or not wanted <= set(found) or not set(found) <= wanted | free:
            return "the axes of the weights tensor are not those the operand and the result ask for"
        for axis, size in zip(self.tensor_axes, tensor, strict=True):
            if axis.mode is Mode.FIXED:
                if axis.axis != NO_AXIS or not 0 <= axis.index < size:
                    return f"index {axis.index} of {size} entries of the weights tensor"
            elif axis.index or size != (operand if axis.mode is Mode.CONTRACT else result)[axis.axis]:
                return f"{size} entries of the weights tensor against axis {axis.axis}"
        return None

    # ---- bytes --------------------------------------------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """The term's word, then a word an axis."""
        ranks = (len(self.axes), len(self.tensor_axes))
        head = struct.pack(">BBBBIIi16x", CODE, self.weights, *ranks, self.operand, self.tensor, self.coefficient)
        return head + b"".join([axis.encode() for axis in self.axes] + [axis.encode() for axis in self.tensor_axes])

    # ---- values -------------------------------------------------------------------------------------------------------------------

    def compute(self, x: Reals, numbers: Integers | None, tensor: Reals | None, result: Shape) -> Reals:
        """(batch, *operand) to (batch, *result), in float64. Exact while every partial sum is an integer below 2^53 (check_bound)."""
        labels = iter(ascii_letters[1:])
        of_result = [next(labels) for _ in result]
        gathered, names, kernels, contracted = self._gather(x, of_result, labels, result)
        free = [of_result[o] for o in self.find_free(result)]
        if self.weights is Weights.NONE:
            return self._spread(gathered, names, of_result, result) * self.coefficient
        if self.weights is Weights.PARAMETERS:
            shared = [of_result[self.axes[a].result] for a in self.find_axes(Mode.SHARED)]
            weights_names = "".join([*kernels, *(contracted[a] for a in self.find_axes(Mode.CONTRACT)), *shared, *free])
            assert numbers is not None
            weights: Reals = numbers.astype(np.float64)
            batched = weights_names
        else:
            assert tensor is not None
            weights, batched = self._read_tensor(tensor, of_result, contracted)
        kept = [name for name in of_result if name in names or name in batched]
        # One sample is not worth the linear algebra library: its threads spin on after it, and slow the prover's own.
        product = np.einsum(f"a{names},{batched}->a{''.join(kept)}", gathered, weights, optimize=len(x) > 1)
        return self._spread(product, "".join(kept), of_result, result) * self.coefficient

    def _gather(self, x: Reals, of_result: list[str], labels: object, result: Shape) -> tuple[Reals, str, list[str], dict[int, str]]:
        """x with every axis turned into result, kernel and contracted axes, and their names."""
        names: list[str] = []
        kernels: list[str] = []
        contracted: dict[int, str] = {}
        at = 1  # axis of x that stands for axes[number]; 0 is the batch
        for number, axis in enumerate(self.axes):
            match axis.mode:
                case Mode.DIRECT | Mode.SHARED:
                    names.append(of_result[axis.result])
                case Mode.CONTRACT:
                    contracted[number] = next(labels)  # type: ignore[call-overload]
                    names.append(contracted[number])
                case Mode.FIXED:
                    x = np.take(x, axis.offset, axis=at)
                    continue
                case Mode.MERGE:
                    x = x.reshape(*x.shape[:at], -1, *x.shape[at + 2 :])
                    names.append(of_result[axis.result])
                case Mode.MERGED:
                    continue
                case Mode.AFFINE:
                    x, added = self._gather_affine(x, at, axis, result)
                    parts = [of_result[axis.result]] if axis.result != NO_AXIS else []
                    if axis.kernel is Kernel.WEIGHTED:
                        kernels.append(next(labels))  # type: ignore[call-overload]
                        parts.append(kernels[-1])
                    elif axis.kernel is Kernel.RESULT:
                        parts.append(of_result[axis.kernel_result])
                    names += parts
                    at += added
                    continue
            at += 1
        return x, "".join(names), kernels, contracted

    def _gather_affine(self, x: Reals, at: int, axis: Axis, result: Shape) -> tuple[Reals, int]:
        """Axis `at` replaced by [positions] [kernel]; how many axes that is. What lies outside the operand is zero."""
        indices, size = axis.compute_indices(result), x.shape[at]
        padded = np.concatenate([x, np.zeros_like(np.take(x, [0], axis=at))], axis=at)
        taken: Reals = np.take(padded, np.where((indices >= 0) & (indices < size), indices, size), axis=at)
        if axis.kernel in (Kernel.NONE, Kernel.SUMMED):
            taken = taken.sum(axis=at + 1)
        added = 2 if axis.kernel in (Kernel.WEIGHTED, Kernel.RESULT) else 1
        if axis.result == NO_AXIS:
            taken, added = taken.reshape(*taken.shape[:at], *taken.shape[at + 1 :]), added - 1
        return taken, added

    def _read_tensor(self, tensor: Reals, of_result: list[str], contracted: dict[int, str]) -> tuple[Reals, str]:
        names = ["a"]
        for axis in reversed(self.tensor_axes):
            if axis.mode is Mode.CONTRACT:
                names.insert(1, contracted[axis.axis])
            elif axis.mode is not Mode.FIXED:
                names.insert(1, of_result[axis.axis])
        for number in reversed(range(len(self.tensor_axes))):
            if self.tensor_axes[number].mode is Mode.FIXED:
                tensor = np.take(tensor, self.tensor_axes[number].index, axis=number + 1)
        return tensor, "".join(names)

    def _spread(self, values: Reals, names: str, of_result: list[str], result: Shape) -> Reals:
        """Axes in the result's order, and repeated along those the term does not have."""
        kept = [name for name in of_result if name in names]
        ordered = values.transpose(0, *(1 + names.index(name) for name in kept))
        sizes = [result[o] if name in names else 1 for o, name in enumerate(of_result)]
        return np.broadcast_to(ordered.reshape(len(values), *sizes), (len(values), *result))

    # ---- bounds -------------------------------------------------------------------------------------------------------------------

    def compute_range(
        self, operand: Format, tensor: Format | None, numbers: Integers | None, shape: Shape, result: Shape
    ) -> tuple[Integers, Integers]:
        """Lowest and highest value over all operands in their format, broadcastable to `result`.

        Both formats contain zero, so what falls outside a window, and every partial sum in any order, lies in the range too.
        """
        taps = self.count_summed()
        ends = np.array([operand.low, operand.high], dtype=object)
        if self.weights is Weights.PARAMETERS:
            return self._range_of_parameters(operand, numbers, result)
        if self.weights is Weights.TENSOR:
            assert tensor is not None
            ends = np.outer(ends, np.array([tensor.low, tensor.high], dtype=object)).reshape(-1)
            taps *= prod(shape[a] for a in self.find_axes(Mode.CONTRACT))
        values = [int(end) * self.coefficient * taps for end in ends] + [0]
        return _as_result(min(values), result), _as_result(max(values), result)

    def _range_of_parameters(self, operand: Format, numbers: Integers | None, result: Shape) -> tuple[Integers, Integers]:
        assert numbers is not None
        at_low, at_high = numbers * operand.low, numbers * operand.high
        summed = tuple(range(len(self.find_kernels()) + len(self.find_axes(Mode.CONTRACT))))
        lowest, highest = np.minimum(at_low, at_high).sum(axis=summed), np.maximum(at_low, at_high).sum(axis=summed)
        kept = [*(self.axes[a].result for a in self.find_axes(Mode.SHARED)), *self.find_free(result)]
        order = np.argsort(kept)
        sizes = [result[o] if o in kept else 1 for o in range(len(result))]
        return lowest.transpose(order).reshape(sizes), highest.transpose(order).reshape(sizes)


def _as_result(value: int, result: Shape) -> Integers:
    """Clamped far beyond every bound, so that int64 sums of a few cannot wrap."""
    return np.full((1,) * len(result), max(-FAR, min(FAR, value)), dtype=np.int64)


def decode_term(words: list[bytes], position: int) -> tuple[Term, int]:
    """The term that begins at words[position], and the position after it. Raises ValueError or IndexError."""
    code, weights, rank, tensor_rank, operand, tensor, coefficient = struct.unpack(">BBBBIIi16x", words[position])
    if code != CODE:
        raise ValueError(f"code 0x{code:02x} where a term must be")
    if max(rank, tensor_rank) > MAX_RANK or len(words) < position + 1 + rank + tensor_rank:
        raise ValueError("a term of too many axes, or cut off")
    axes = tuple(decode_axis(word) for word in words[position + 1 : position + 1 + rank])
    end = position + 1 + rank + tensor_rank
    tensor_axes = tuple(decode_weights_axis(word) for word in words[position + 1 + rank : end])
    return Term(operand, axes, Weights(weights), coefficient, tensor, tensor_axes), end
