"""What a worker does for a node: it runs in a child or on another machine, and trusts no path and no bytes it did not digest.

Models are kept open per process, the latest MOST_OPEN of them. A function that is asked for a model it does not have answers `Missing`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from oracle.encoding import keccak256, to_hex
from oracle.errors import MalformedInput, ModelRejected, TooLarge, WorkerError
from oracle.node.directory import Bundle, ModelDirectory, make_bundle, open_bundle
from oracle.node.executor import Missing, Workplace
from oracle.node.infer import RuntimeFailed, infer
from oracle.node.models import MAX_OUTPUT_BYTES, OpaqueModel, OpaqueServed, Port, require_runtime, serve_model
from oracle.records import Bytes32, Inference
from oracle.tensors import decode_tensors

MOST_OPEN = 16

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Ports:
    """Inputs and outputs of a model that loaded."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


class OpenModels(Generic[M]):
    """Models by id, opened once for each process; the one not used for longest goes first."""

    def __init__(self, open_model: Callable[[ModelDirectory], M]) -> None:
        self._open_model = open_model
        self._models: OrderedDict[Bytes32, M] = OrderedDict()

    def find(self, model_id: Bytes32, bundle: Bundle | None) -> M | Missing:
        """Raises WorkerError where the bytes are not that model's, or it does not load here."""
        if (known := self._models.get(model_id)) is not None:
            self._models.move_to_end(model_id)
            return known
        if bundle is None:
            return Missing(model_id)
        model = self._open_model(open_bundle(bundle, model_id))
        self._models[model_id] = model
        if len(self._models) > MOST_OPEN:
            self._models.popitem(last=False)
        return model


def _serve_opaque(directory: ModelDirectory) -> OpaqueServed:
    model = serve_model(directory)
    if not isinstance(model, OpaqueServed):
        raise ModelRejected(f"{directory.path}", "an opaque model", directory.kind.name)
    return model


_opaque = OpenModels(_serve_opaque)


# ---- in the worker ---------------------------------------------------------------------------------------------------------------------
def infer_there(model_id: Bytes32, bundle: Bundle | None, data: bytes) -> Inference | Missing:
    """As `infer`, of an opaque model. Raises MemoryError where that has RuntimeFailed: the limit is this process's own."""
    try:
        model = _opaque.find(model_id, bundle)
    except ModelRejected as error:  # the node serves it, so it is this process that is not as it should be
        raise WorkerError(f"a worker does not take the model: {error}") from error
    if isinstance(model, Missing):
        return model
    try:
        return infer(model, data)
    except RuntimeFailed as error:
        raise MemoryError(str(error)) from error


def describe_there(model_id: Bytes32, bundle: Bundle | None) -> Ports | Missing:
    """Inputs and outputs of an opaque model, which loads and is what its manifest says. Raises ModelRejected."""
    model = _opaque.find(model_id, bundle)
    return model if isinstance(model, Missing) else Ports(model.inputs, model.outputs)


# ---- at the node -----------------------------------------------------------------------------------------------------------------------
def serve_elsewhere(directory: ModelDirectory, workplace: Workplace) -> OpaqueModel:
    """An opaque model, loaded once in a process of `workplace` to see that it can be.

    Raises ModelRejected as `load_model` does, and where loading it ends the process.
    """
    runtime = require_runtime(directory)
    workplace.add(directory.model_id, lambda: make_bundle(directory))
    ports = workplace.call("load", Ports, describe_there, directory.model_id)
    return OpaqueModel(directory, ports.inputs, ports.outputs, runtime)


def infer_elsewhere(model: OpaqueModel, data: bytes, workplace: Workplace) -> Inference:
    """As `infer`, in a process of `workplace`. Raises as `Workplace.call` does.

    What comes back is checked for everything but the one thing that only running the model again would tell: that this output is the
    model's. For that the worker is trusted, as the processor is.
    """
    inference = workplace.call("inference", Inference, infer_there, model.directory.model_id, data)
    expected = (model.directory.model_id, keccak256(data), keccak256(inference.output), model.runtime)
    got = (inference.model_id, inference.input_digest, inference.output_digest, inference.runtime)
    for what, wanted, found in zip(("model", "input digest", "output digest", "runtime"), expected, got, strict=True):
        if wanted != found:
            raise WorkerError(f"a worker answers with another {what}: {_show(found)}, not {_show(wanted)}")
    _check_output(model, inference.output)
    return inference


def _check_output(model: OpaqueModel, output: bytes) -> None:
    """The size, the encoding and the types. (Shapes of outputs are what the model makes them: a file's own words on them bind nobody.)"""
    name = model.directory.name
    if len(output) > MAX_OUTPUT_BYTES:
        raise WorkerError(f"a worker answers for {name} with {len(output)} bytes")
    try:
        tensors = decode_tensors(output)
    except (MalformedInput, TooLarge) as error:
        raise WorkerError(f"a worker answers for {name} with no tensors") from error
    if [t.type for t in tensors] != [port.type for port in model.outputs]:
        raise WorkerError(f"a worker answers for {name} with tensors of other types")


def _show(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)
