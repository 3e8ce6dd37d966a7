"""Relu: fused into the rescale of the layer before it by fold.py."""

from __future__ import annotations

from circuits.compiler.floats import Rectify
from circuits.compiler.lowerings.node import Node
from circuits.compiler.values import Lowering, Value


def lower_relu(node: Node, lowering: Lowering) -> list[Value]:
    x = node.tensor()
    return [lowering.append(Rectify(x.index, x.size, (node.name,)), x.shape)]
