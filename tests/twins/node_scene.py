"""A node on a chain and a log in memory, with real models: what tests of the node start from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from oracle.encoding import keccak256, pack_policy
from oracle.node import jobs
from oracle.node.directory import ModelDirectory
from oracle.node.intake import Terms
from oracle.node.jobs import JobStore
from oracle.node.metrics import NodeMetrics
from oracle.node.models import ModelLibrary, load_model, write_opaque_manifest
from oracle.pipeline.node import Node, Proving
from oracle.records import SIGNED_NONCE_START, Asked, Policy, Request
from oracle.seams import SystemClock
from oracle.store import open_database
from oracle.tensors import encode_tensors, from_numpy
from tests.twins.chain import ChainTwin
from tests.twins.log import LogTwin
from tests.twins.operators import account, address_of, operator_signer, sign_request

SEEDS = Path(__file__).parents[2] / "seeds"
DIGITS = SEEDS / "models/digits-mlp/canonical"


@dataclass
class Scene:
    chain: ChainTwin
    log: LogTwin
    node: Node
    digits: ModelDirectory
    scale: ModelDirectory

    @property
    def store(self) -> JobStore:
        return self.node.store

    def sign(self, data: bytes, nonce: int = SIGNED_NONCE_START, signer: str = "alice", **changes: object) -> Asked:
        """A signed request for the digits model by an account with a deposit; `changes` are fields of the request."""
        request = Request(
            requester=address_of("alice"),
            refund_to=address_of("alice"),
            model_id=self.digits.model_id,
            input_digest=keccak256(data),
            policy=pack_policy(Policy(quorum=1)),
            fee_wei=5,
            callback_gas=0,
            deadline=self.chain.time + 600,
            nonce=nonce,
        )
        request = replace(request, **changes)  # type: ignore[arg-type]
        return sign_request(request, data, account(signer), self.chain.domain)


def digit_image(position: int = 0) -> bytes:
    """Input bytes of the digits model, within its range, different for each position."""
    values = (np.arange(64) * 7 + position * 13) % 1024
    return values.astype(">i2").tobytes()


def vector(*values: float) -> bytes:
    return encode_tensors([from_numpy(np.array(values, dtype="<f4"))])


def write_scale_model(path: Path, factor: float = 2.0) -> Path:
    """An ONNX file: float vector in, `factor` times it out."""
    weights = helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])
    shape = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Mul", ["x", "factor"], ["y"])], "scale", shape[:1], shape[1:], [weights])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def make_node(
    chain: ChainTwin, log: LogTwin, library: ModelLibrary, database: Path, operator: int = 0, proving: Proving | None = None
) -> Node:
    store = JobStore(open_database(f"sqlite:///{database}", jobs.SCHEMA))
    terms = Terms(minimum_fee_wei=3, max_input_bytes=4096, proves=proving is not None)
    return Node("node-0", store, chain, log, library, terms, operator_signer(operator), NodeMetrics(store), SystemClock(), proving)


def make_scene(folder: Path) -> Scene:
    chain, log = ChainTwin(), LogTwin()
    scale = write_opaque_manifest(write_scale_model(folder / "scale.onnx"), folder / "scale", "scale")
    library = ModelLibrary([load_model(DIGITS), load_model(scale.path)])
    digits = next(model.directory for model in library if model.directory.name != "scale")
    for directory in (digits, scale):
        assert chain.register_model(directory.kind, directory.manifest_digest, directory.circuit, directory.parts) == directory.model_id
    for index in range(3):
        chain.register_operator(index, operator_signer(index).address)
    chain.deposit(address_of("alice"), 100)
    return Scene(chain, log, make_node(chain, log, library, folder / "node.sqlite"), digits, scale)


def integers(output: bytes) -> npt.NDArray[np.int64]:
    return np.frombuffer(output, dtype=">i2").astype(np.int64)
