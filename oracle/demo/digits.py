"""The digit reader as a dApp sees it: real held-back images, the consumer contract DigitGate, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oracle.demo.local_keys import find_seeds
from oracle.demo.network import Network
from oracle.encoding import pack_policy
from oracle.errors import ChainError
from oracle.pipeline.catalogue import DescribedModel, describe_directory
from oracle.pipeline.deploy import create_consumer
from oracle.pipeline.inputs import Reals, encode_input
from oracle.records import Address, Asked, Bytes32, Policy, TransactionReceipt

MODEL = "digits-mlp/canonical"
PATIENCE_SECONDS = 600
READ = 2  # DigitGate.State
SHADES = " .:-=+*#%@"


@dataclass(frozen=True, slots=True)
class Image:
    """One held-back image of the digits data set: 8×8 pixels from 0 to 16, and what it shows."""

    pixels: tuple[float, ...]
    label: int

    def draw(self) -> list[str]:
        """Eight lines of text, two characters a pixel."""
        rows = np.asarray(self.pixels).reshape(8, 8)
        return ["".join(2 * SHADES[min(9, int(p * 10 / 17))] for p in row) for row in rows]


def load_images(count: int, start: int = 0) -> list[Image]:
    """Held-back images, in the order of the data set; never seen in training or calibration."""
    with np.load(find_seeds() / "data/digits-mlp.npz", allow_pickle=False) as data:
        pixels, labels = data["x_held_back"][start : start + count], data["y_held_back"][start : start + count]
    return [Image(tuple(map(float, x)), int(y)) for x, y in zip(pixels, labels, strict=True)]


def digit_model() -> DescribedModel:
    return describe_directory(find_seeds() / "models" / MODEL)


@dataclass(frozen=True, slots=True)
class Gate:
    """A deployed DigitGate and who asks through it."""

    network: Network
    address: Address
    model: DescribedModel
    role: str = "requester"

    def ask(self, image: Image, fee_wei: int, patience_seconds: int = PATIENCE_SECONDS) -> Asked:
        """Shows an image to the contract, which asks the Coprocessor. Returns the request as it stands in the chain's event."""
        data = encode_input(self.model, Reals(image.pixels))
        contracts = self.network.contracts
        call = contracts.call_at("DigitGate", self.address, "ask", data, patience_seconds, value_wei=fee_wei)
        receipt = self.network.session(self.role).sender.send(call)
        return find_request(self.network, receipt)

    def digit(self, request_id: Bytes32) -> int | None:
        """What the contract read; None while it waits for its callback."""
        _asker, state, digit = self.network.contracts.view_at("DigitGate", self.address, "readingOf", request_id)
        return int(digit) if state == READ else None


def find_request(network: Network, receipt: TransactionReceipt) -> Asked:
    """The request that a transaction made."""
    asked = next((a for a in network.contracts.requested_in(receipt.block_hash) if a.transaction == receipt.transaction), None)
    if asked is None:
        raise ChainError("the transaction made no request")
    return asked


def deploy_gate(network: Network, policy: Policy, role: str = "requester") -> Gate:
    """The example consumer, demanding `policy` for every reading."""
    model = digit_model()
    arguments = (network.contracts.deployment.coprocessor, model.model_id, pack_policy(policy))
    return Gate(network, create_consumer(network.session(role).sender, "DigitGate", *arguments), model, role)
