"""From an ONNX graph to float steps: every node is read once, in the file's order (which the checker has held to be topological)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx

from circuits.compiler.floats import Grid, Step
from circuits.compiler.lowerings import LOWERINGS, describe_need
from circuits.compiler.lowerings.constants import compute_constant
from circuits.compiler.lowerings.node import Node, read_node
from circuits.compiler.lowerings.tail import as_function, as_left, continue_left, is_continued
from circuits.compiler.source import SourceGraph
from circuits.compiler.values import Fixed, Left, Lowering, Tensor, Value, make_copy
from circuits.compiler.views import put_in_order
from circuits.errors import CompileError
from circuits.manifest import POSTPROCESSES


@dataclass(frozen=True)
class LoweredGraph:
    """Steps 1, 2, … on input 0; `index` is the step whose elements are the output's, `result` what the caller does with it.

    `quantum` is the scale of the output's own quanta where the file is quantised up to its end.
    """

    steps: tuple[Step, ...]
    index: int
    quantum: float | None
    result: Left
    left_to_caller: tuple[str, ...]
    output_name: str


def lower_graph(source: SourceGraph) -> LoweredGraph:
    """Raises CompileError naming the first node that cannot be lowered."""
    lowering = Lowering(source.input_name, source.input_shape, source.has_batch, source.constants, source.opset)
    left_to_caller: list[str] = []
    for proto in find_needed_nodes(source.model.graph, {value.name for value in source.model.graph.output}):
        node = read_node(proto, lowering)
        values = _lower_node(node, lowering)
        lowering.values.update(zip(node.output_names, values, strict=False))
        if any(isinstance(value, Left) for value in values):
            left_to_caller.append(f"{node.operator} '{node.name}'")
    name, result = _choose_output(source, lowering)
    core = lowering.resolve(put_in_order(lowering, result.core, name), name)
    index = core.index or lowering.append(make_copy(0, lowering.shapes[0], (name,), grid=Grid(like=(0,))))
    waiting = result.core.function
    is_quantised = result.core.index in lowering.integers and waiting is not None and waiting.affine is not None
    quantum = abs(waiting.affine[0]) if is_quantised and waiting is not None and waiting.affine is not None else None
    return LoweredGraph(tuple(lowering.steps), index, quantum, result, tuple(left_to_caller), name)


def find_needed_nodes(graph: onnx.GraphProto, names: set[str]) -> list[onnx.NodeProto]:
    """The nodes that `names` depend on, in the file's order. What is in a file beside them is neither read nor run."""
    needed, nodes = set(names), []
    for proto in reversed(graph.node):
        if needed.intersection(proto.output):
            needed.update(proto.input)
            nodes.append(proto)
    return nodes[::-1]


def _lower_node(node: Node, lowering: Lowering) -> list[Value]:
    if is_continued(node):
        return continue_left(node)
    node = replace(node, inputs=tuple(as_function(node, v, lowering) if isinstance(v, Left) else v for v in node.inputs))
    if (node.inputs and all(v is None or isinstance(v, Fixed) for v in node.inputs)) or node.operator == "Constant":
        return [compute_constant(node)]
    if node.operator not in LOWERINGS:
        raise node.refuse(f"does not compile. It needs {describe_need(node.operator)}")
    try:
        return LOWERINGS[node.operator](node, lowering)
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:  # attributes and constants are the file's, in any shape
        raise node.refuse(f"has attributes or constants that do not fit ({error})") from error


def _choose_output(source: SourceGraph, lowering: Lowering) -> tuple[str, Left]:
    """All graph outputs must come from one tensor; scores describe it better than a label made of them."""
    found: list[tuple[str, Left]] = []
    for output in source.model.graph.output:
        value = lowering.values.get(output.name)
        if not isinstance(value, (Tensor, Left)):
            raise CompileError(f"graph output '{output.name}'", "a tensor computed from the input")
        found.append((output.name, as_left(value, output.name)))
    if len({left.core for _, left in found}) != 1:
        raise CompileError("graph outputs", "outputs that come from one tensor", [name for name, _ in found])
    name, chosen = next(((n, left) for n, left in found if not left.is_label), found[0])
    if chosen.postprocess not in POSTPROCESSES:
        raise CompileError(f"graph output '{name}'", "one of " + ", ".join(POSTPROCESSES), chosen.postprocess)
    classes = next((left.classes for _, left in found if left.classes is not None), None)
    return name, replace(chosen, classes=classes)
