"""One ONNX node, with its inputs already lowered: what every lowering is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from circuits.compiler.source import Constant, read_tensor
from circuits.compiler.values import Fixed, Lowering, Tensor, Value
from circuits.errors import CompileError
from circuits.tensors import Reals


@dataclass(frozen=True)
class Node:
    """`inputs` has None where an optional input is left out."""

    name: str
    operator: str
    opset: int
    inputs: tuple[Value | None, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    attributes: dict[str, Any]

    def refuse(self, problem: str, needed: object = None, got: object = None) -> CompileError:
        """The error to raise about this node."""
        return CompileError(problem, needed, got, node=self.name, operator=self.operator)

    def rename(self, operator: str) -> Node:
        """The same node read as another operator."""
        return replace(self, operator=operator)

    def constant_array(self, position: int) -> Constant:
        """The numbers at `position` as the file has them, which must be a constant."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if not isinstance(value, Fixed) or value.array.dtype.kind not in "fiub":
            raise self.refuse(f"input {position} is not a constant of numbers", "a constant")
        return value.array

    def tensor(self, position: int = 0) -> Tensor:
        """The input at `position`, which must be a computed tensor."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if not isinstance(value, Tensor):
            raise self.refuse(f"input {position} is a constant or missing", "a computed tensor")
        return value

    def constant(self, position: int, default: Reals | None = None) -> Reals:
        """The numbers at `position` as float64, which must be a constant; `default` where the input is left out."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None and default is not None:
            return default
        if not isinstance(value, Fixed) or value.array.dtype.kind not in "fiu":
            raise self.refuse(f"input {position} is not a constant of numbers", "constant weights")
        return value.array.astype(np.float64)

    def integers(self, position: int) -> list[int]:
        """A constant list of integers, such as a shape or axes."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if not isinstance(value, Fixed) or value.array.dtype.kind not in "iu":
            raise self.refuse(f"input {position} is not a constant list of integers", "a fixed shape; dynamic shapes are not supported")
        return [int(v) for v in value.array.reshape(-1)]


Lower = Callable[[Node, Lowering], list[Value]]


def read_node(proto: onnx.NodeProto, lowering: Lowering) -> Node:
    """Resolve names. The checker has held topological order, so a missing name is an input of a form we do not read."""
    domain = "" if proto.domain in ("", "ai.onnx") else f"{proto.domain}."
    operator, name = domain + proto.op_type, proto.name or (proto.output[0] if proto.output else "")
    for used in proto.input:
        if used and used not in lowering.values:
            raise CompileError(f"input '{used}' is not a tensor", node=name, operator=operator)
    attributes = {a.name: read_tensor(a.t) if a.HasField("t") else helper.get_attribute_value(a) for a in proto.attribute}
    return Node(
        name=name,
        operator=operator,
        opset=lowering.opset,
        inputs=tuple(lowering.values[used] if used else None for used in proto.input),
        input_names=tuple(proto.input),
        output_names=tuple(proto.output),
        attributes=attributes,
    )
