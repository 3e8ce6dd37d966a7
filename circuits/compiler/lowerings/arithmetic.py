"""Add, Sub, Mul, Div, Max, Min, Pow, Sum and Mean of any number of operands, computed or constant."""

from __future__ import annotations

from functools import reduce

import numpy as np

from circuits.compiler.functions import make_affine
from circuits.compiler.lowerings.affine import lower_with_constant
from circuits.compiler.lowerings.broadcast import lower_two
from circuits.compiler.lowerings.node import Node
from circuits.compiler.values import Fixed, Lowering, Tensor, Value


def lower_arithmetic(node: Node, lowering: Lowering) -> list[Value]:
    """Two operands, at least one of them computed."""
    if len(node.inputs) != 2:
        raise node.refuse("number of operands", 2, len(node.inputs))
    a, b = node.inputs
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return [lower_two(node, lowering, node.operator, a, b)]
    tensor_first = isinstance(a, Tensor)
    return lower_with_constant(node, lowering, node.tensor(0 if tensor_first else 1), node.constant(1 if tensor_first else 0), tensor_first)


def lower_many(node: Node, lowering: Lowering) -> list[Value]:
    """Max, Min, Sum and Mean: one operand after the other."""
    operator = {"Sum": "Add", "Mean": "Add"}.get(node.operator, node.operator)
    pair = node.rename(operator)
    tensors = [value for value in node.inputs if isinstance(value, Tensor)]
    result = reduce(lambda a, b: lower_two(pair, lowering, operator, a, b), tensors)
    for value in node.inputs:
        if isinstance(value, Fixed):
            (lowered,) = lower_with_constant(pair, lowering, result, np.asarray(value.array, np.float64), True)
            assert isinstance(lowered, Tensor)
            result = lowered
    if node.operator == "Mean":
        result = lowering.apply(result, make_affine(1.0 / len(node.inputs), 0.0), node.name)
    return [result]
