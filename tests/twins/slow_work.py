"""Calls for a worker that take long enough to kill the worker in the middle. Imports little: children import it too."""

from __future__ import annotations

import time
from pathlib import Path

from oracle.node.directory import Bundle
from oracle.node.executor import Missing
from oracle.node.work import infer_there
from oracle.pipeline.work import prove_there
from oracle.records import Address, Bytes32, Claim, Inference


def infer_slowly(model_id: Bytes32, bundle: Bundle | None, data: bytes) -> Inference | Missing:
    time.sleep(0.3)
    return infer_there(model_id, bundle, data)


def prove_slowly(
    model_id: Bytes32, bundle: Bundle | None, claim: Claim, data: bytes, beneficiary: Address, notes: str, seconds: float
) -> bytes | Missing:
    """Leaves its process id in the folder `notes` when it has the model and begins, and a mark when it has its proof."""
    import os

    made = prove_there(model_id, bundle, claim, data, beneficiary)
    if isinstance(made, Missing):
        return made
    (Path(notes) / f"began-{os.getpid()}").touch()
    time.sleep(seconds)
    (Path(notes) / f"ended-{os.getpid()}").touch()
    return made
