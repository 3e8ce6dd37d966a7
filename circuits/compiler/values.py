"""What a name in the ONNX graph stands for while it is lowered: a constant, a float tensor, or something the caller computes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from circuits.compiler.floats import Affine, Matrix, Rectify, Step
from circuits.compiler.source import Constant
from circuits.errors import CompileError
from circuits.tensors import MAX_ELEMENTS


@dataclass(frozen=True)
class Tensor:
    """A tensor of the float network: index of its step (0 is the input) and its shape, batch axis written as 1."""

    index: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Left:
    """Left to the caller: a postprocess (see manifest.POSTPROCESSES) of the float tensor `core`, in a shape `like` the
    result's.

    `core_name` is the ONNX name of that tensor where it has one. `is_label` marks class labels, `is_index` those that count from
    0 in the order of the scores (a classifier's own labels need not), `classes` their names in order.
    """

    core: Tensor
    core_name: str
    postprocess: str
    like: tuple[int, ...]
    is_label: bool = False
    is_index: bool = False
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Fixed:
    """A constant."""

    array: Constant


Value = Tensor | Left | Fixed


class Lowering:
    """The float network under construction: an append-only list of steps, and the meaning of every name so far."""

    def __init__(self, input_name: str, input_shape: tuple[int, ...], constants: dict[str, Constant], opset: int) -> None:
        self.opset = opset
        self.steps: list[Step] = []
        self.values: dict[str, Value] = {name: Fixed(array) for name, array in constants.items()}
        self.values[input_name] = Tensor(0, input_shape)
        self.has_merged_scores = False

    def append(self, step: Affine | Matrix | Rectify, shape: tuple[int, ...]) -> Tensor:
        """Add a step whose result has `shape`. Raises CompileError above the cap on elements."""
        if prod(shape) > MAX_ELEMENTS:
            raise CompileError(f"'{step.origin[-1]}' gives {prod(shape)} elements", f"at most {MAX_ELEMENTS}")
        self.steps.append(step)
        return Tensor(len(self.steps), shape)
