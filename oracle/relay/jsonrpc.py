"""What JSON-RPC endpoints answer, read by hand: the few answers that are asked for with every request and block.

web3's general formatters take several times as long as the question itself. What is read here is as strict: of the wrong form raises
`WrongForm`, and nothing is guessed. Calls and events are decoded by web3's own codec, which is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector, get_abi_input_types, get_abi_output_types
from eth_utils.address import to_checksum_address

from oracle.encoding import to_hex
from oracle.records import Address, Block, Bytes32


class WrongForm(ValueError):
    """An answer that is none."""


class Codec(Protocol):
    """web3's `ABICodec`."""

    def encode(self, types: Any, args: Any) -> bytes: ...

    def decode(self, types: Any, data: bytes) -> Any: ...


_QUANTITY = re.compile("0x[0-9a-fA-F]{1,64}")


# ---- values ----------------------------------------------------------------------------------------------------------------------------
def quantity(value: object) -> int:
    """A number of up to 256 bits, as the JSON-RPC specification writes it; leading zeros are tolerated."""
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise WrongForm(f"no quantity: {value!r:.80}")
    return int(value[2:], 16)


def data(value: object, size: int | None = None) -> bytes:
    """Bytes; of this many, where that is known."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise WrongForm(f"no data: {value!r:.80}")
    try:
        found = bytes.fromhex(value[2:])
    except ValueError as error:
        raise WrongForm("data that is not hex") from error
    if 2 * len(found) + 2 != len(value):  # Python's own parser passes over spaces
        raise WrongForm("data with spaces in it")
    if size is not None and len(found) != size:
        raise WrongForm(f"{len(found)} bytes, not {size}")
    return found


def digest(value: object) -> Bytes32:
    return Bytes32(data(value, 32))


@lru_cache(maxsize=4096)
def checksummed(address: str) -> Address:
    return Address(to_checksum_address(address))


def address(value: object) -> Address:
    return checksummed("0x" + data(value, 20).hex())


class Fields(dict[str, Any]):
    """An object whose missing fields are the answer's fault."""

    def __missing__(self, name: str) -> Any:
        raise WrongForm(f"an object without {name}")


def fields(value: object) -> Fields:
    if not isinstance(value, dict):
        raise WrongForm(f"no object: {value!r:.80}")
    return Fields(value)


def listed(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise WrongForm(f"no list: {value!r:.80}")
    return value


# ---- blocks and receipts ---------------------------------------------------------------------------------------------------------------
def block(value: object) -> Block:
    f = fields(value)
    return Block(quantity(f["number"]), digest(f["hash"]), digest(f["parentHash"]), quantity(f["timestamp"]))


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction's receipt, its logs as they came."""

    transaction: Bytes32
    block_number: int
    block_hash: Bytes32
    is_success: bool
    gas_used: int
    created: Address | None
    logs: Sequence[Mapping[str, Any]]


def receipt(value: object) -> Receipt:
    f = fields(value)
    if (status := quantity(f["status"])) not in (0, 1):
        raise WrongForm("a receipt without a status")
    created = f.get("contractAddress")
    return Receipt(
        digest(f["transactionHash"]),
        quantity(f["blockNumber"]),
        digest(f["blockHash"]),
        status == 1,
        quantity(f["gasUsed"]),
        None if created is None else address(created),
        [fields(log) for log in listed(f["logs"])],
    )


# ---- calls and events ------------------------------------------------------------------------------------------------------------------
def normaliser(type_: str) -> Callable[[Any], Any] | None:
    """What makes a decoded value of a plain type or an array what web3 would: addresses with their checksum. None where it is already."""
    if type_ == "address":
        return checksummed
    if type_.startswith("address["):
        return lambda values: tuple(checksummed(one) for one in values)
    return None


def _tuple_normaliser(elements: Sequence[Mapping[str, Any]]) -> Callable[[Any], Any]:
    parts = [_normaliser_of(element) for element in elements]
    return lambda values: tuple(value if part is None else part(value) for part, value in zip(parts, values, strict=True))


def _normaliser_of(element: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    if element["type"] == "tuple":
        return _tuple_normaliser(element["components"])
    if element["type"].startswith("tuple["):
        one = _tuple_normaliser(element["components"])
        return lambda values: tuple(map(one, values))
    return normaliser(element["type"])


class View:
    """A function: its calldata, and what its answer means where it only reads, in values as web3 gives them: one alone, or a tuple."""

    def __init__(self, abi: Mapping[str, Any], codec: Codec) -> None:
        self._selector = bytes(function_abi_to_4byte_selector(abi))  # type: ignore[arg-type]
        self._inputs = get_abi_input_types(abi)  # type: ignore[arg-type]
        self._outputs = get_abi_output_types(abi)  # type: ignore[arg-type]
        self._normalise = _tuple_normaliser(abi["outputs"])
        self._codec = codec

    def encode(self, arguments: Sequence[Any]) -> str:
        return to_hex(self.calldata(arguments))

    def calldata(self, arguments: Sequence[Any]) -> bytes:
        return self._selector + self._codec.encode(self._inputs, arguments)

    def decode(self, answer: object) -> Any:
        values = self._normalise(self._codec.decode(self._outputs, data(answer)))
        return values[0] if len(values) == 1 else values


class Event:
    """An event without structs: its arguments by name."""

    def __init__(self, abi: Mapping[str, Any], codec: Codec) -> None:
        self.name = str(abi["name"])
        self.topic = bytes(event_abi_to_log_topic(abi))  # type: ignore[arg-type]
        self._indexed = [element for element in abi["inputs"] if element["indexed"]]
        self._rest = [element for element in abi["inputs"] if not element["indexed"]]
        self._types = [element["type"] for element in self._rest]
        self._codec = codec

    def decode(self, log: Mapping[str, Any]) -> dict[str, Any]:
        topics = listed(log["topics"])
        if len(topics) != 1 + len(self._indexed):
            raise WrongForm(f"a log of {self.name} with other topics")
        found = {e["name"]: self._codec.decode([e["type"]], data(t, 32))[0] for e, t in zip(self._indexed, topics[1:], strict=True)}
        found |= zip((e["name"] for e in self._rest), self._codec.decode(self._types, data(log["data"])), strict=True)
        for element in (*self._indexed, *self._rest):
            if (make := normaliser(element["type"])) is not None:
                found[element["name"]] = make(found[element["name"]])
        return found
