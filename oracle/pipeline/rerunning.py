"""Opaque models run again for a watcher: in a process of its own, with limits, since such a model is a stranger's program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from oracle.attest.prove import Prover
from oracle.errors import ModelUnknown
from oracle.node.directory import make_bundle
from oracle.node.executor import Limits, Observer, ProcessExecutor, Workplace
from oracle.node.models import ModelLibrary, OpaqueModel
from oracle.node.work import infer_elsewhere, serve_elsewhere
from oracle.pipeline.models import load_provable_library
from oracle.records import Bytes32


@dataclass(frozen=True, slots=True)
class OpaqueRunner:
    """The opaque models that can be run again here. Safe to use from several threads."""

    library: ModelLibrary
    workplace: Workplace

    def __contains__(self, model_id: Bytes32) -> bool:
        try:
            return isinstance(self.library.get(model_id), OpaqueModel)
        except ModelUnknown:
            return False

    def run(self, model_id: Bytes32, data: bytes) -> bytes:
        """The output that the model gives. Raises ModelUnknown, InputRejected, WorkGivenUp and WorkerError as `Workplace.call`."""
        model = self.library.get(model_id)
        if not isinstance(model, OpaqueModel):
            raise ModelUnknown("opaque model", "one at hand", model.directory.name)
        return infer_elsewhere(model, data, self.workplace).output


def open_rerunning(paths: Sequence[Path], limits: Limits) -> tuple[Prover, OpaqueRunner]:
    """The models of a watcher: canonical ones, which it proves, and opaque ones, which it can only run. Raises ModelRejected.

    The caller stops `OpaqueRunner.workplace` at the end.
    """
    workplace = Workplace(ProcessExecutor(1, limits), limits.tries, Observer())
    try:
        library, prover = load_provable_library(paths, partial(serve_elsewhere, workplace=workplace))
    except BaseException:
        workplace.stop(0)
        raise
    for model in library:
        workplace.add(model.directory.model_id, partial(make_bundle, model.directory))
    return prover, OpaqueRunner(library, workplace)
