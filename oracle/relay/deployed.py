"""One deployment behind endpoints: its contracts by name, their views, their events, and calls to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from eth_utils.abi import event_abi_to_log_topic
from hexbytes import HexBytes
from web3 import Web3
from web3.contract import Contract
from web3.types import BlockIdentifier, EventData, LogReceipt

from oracle.encoding import ANCHOR_DOMAIN_NAME, COPROCESSOR_DOMAIN_NAME, domain_separator, parse_hex, to_hex
from oracle.errors import ChainError, ConfigRejected
from oracle.limits import ZERO_ADDRESS
from oracle.records import Address, Bytes32, Domain
from oracle.relay import jsonrpc
from oracle.relay.artifacts import load_artifact
from oracle.relay.deployment import CONTRACTS, Deployment
from oracle.relay.endpoint import CODEC, RPC_TIMEOUT_SECONDS, Endpoint, asking
from oracle.relay.endpoints import Endpoints
from oracle.relay.failures import CallReverted
from oracle.relay.links import links_of, routes_of
from oracle.relay.transact import Call

LOG_PAGE_BLOCKS = 10_000
_EVENTS_OF_DELIVERIES = frozenset({"InferenceDelivered", "InferenceFinalized", "InferenceReplaced", "CallbackExecuted", "BatchItem"})


class Deployed(Endpoint):
    """The contracts of a deployment, by the names of their sources. Raises as `Endpoint` does; ConfigRejected for one that it has not."""

    def __init__(self, rpc: str | Sequence[str] | Endpoints, deployment: Deployment, timeout_seconds: float = RPC_TIMEOUT_SECONDS) -> None:
        super().__init__(
            rpc if isinstance(rpc, Endpoints) else Endpoints(rpc, deployment.chain_id, timeout_seconds=timeout_seconds), timeout_seconds
        )
        self.deployment = deployment
        at = {name: getattr(deployment, field) for name, field in CONTRACTS.items()}
        self._contracts = {name: _contract(self._web3, name, address) for name, address in at.items() if address is not None}
        self._views: dict[tuple[str, str], jsonrpc.View] = {}

    @property
    def domain(self) -> Domain:
        return self.deployment.domain

    @property
    def has_disputes(self) -> bool:
        return self.deployment.disputes is not None

    def check_deployment(self) -> None:
        """Raises ConfigRejected unless the endpoint is on the deployment's chain, the contracts there are ours, and name each other as the
        deployment file does."""
        self.endpoints.require_chain(self.deployment.chain_id)
        if (chain_id := self.chain_id()) != self.deployment.chain_id:
            raise ConfigRejected("chain id of the endpoint", self.deployment.chain_id, chain_id)
        for name in self._contracts:
            if not self._code(self._contracts[name].address):
                raise ConfigRejected(f"{name} of the deployment", "a contract on this chain", f"no code at {self._contracts[name].address}")
        separator = bytes(self._view("Coprocessor", "DOMAIN_SEPARATOR"))
        expected = domain_separator(COPROCESSOR_DOMAIN_NAME, self.domain.chain_id, self.domain.coprocessor)
        if separator != expected:
            raise ConfigRejected("EIP-712 domain of the Coprocessor", to_hex(expected), to_hex(separator))
        self._check_links()

    def _check_links(self) -> None:
        """Raises ConfigRejected where the contracts name others than the deployment file does (`oracle.relay.links`)."""
        for link, stated in links_of(self.deployment):
            self._require_named(f"{link.contract}.{link.view} of the deployment", stated, link.contract, link.view)
        for name, selector, stated in routes_of(self.deployment):
            self._require_named(f"{name} of the deployment's router", stated, "VerifierRouter", "routeOf", selector)
        anchor = self._view("AuditAnchor", "eip712Domain")
        if (name := str(anchor[1])) != ANCHOR_DOMAIN_NAME:
            raise ConfigRejected("EIP-712 domain of the AuditAnchor", ANCHOR_DOMAIN_NAME, name)

    def _require_named(self, what: str, stated: Address, contract: str, view: str, *arguments: Any) -> None:
        """A contract that has no such view names nothing."""
        try:
            answer = self._view(contract, view, *arguments)
        except CallReverted:
            answer = ZERO_ADDRESS
        named = Address(answer[0] if isinstance(answer, tuple | list) else answer)
        if named.lower() != stated.lower():
            raise ConfigRejected(what, stated, named)

    def call(self, contract: str, function: str, *arguments: Any, value_wei: int = 0) -> Call:
        """Calldata for any function of the deployment's contracts, by name."""
        handle = self._handle(contract)
        return Call(Address(handle.address), bytes.fromhex(handle.encode_abi(function, list(arguments))[2:]), value_wei)

    def call_at(self, name: str, address: Address, function: str, *arguments: Any, value_wei: int = 0) -> Call:
        """Calldata for a packaged contract that is not part of the deployment, such as a consumer."""
        handle = _contract(self._web3, name, address)
        return Call(address, bytes.fromhex(handle.encode_abi(function, list(arguments))[2:]), value_wei)

    def view_at(self, name: str, address: Address, function: str, *arguments: Any, block: int | None = None) -> Any:
        """What a view of such a contract returns, now or in the state of a block."""
        with asking(f"{name}.{function}"):
            bound = _contract(self._web3, name, address).get_function_by_name(function)(*arguments)
            return bound.call(block_identifier="latest" if block is None else cast(BlockIdentifier, block))

    def view(self, contract: str, function: str, *arguments: Any) -> Any:
        """What a view of one of the deployment's contracts returns now, by name."""
        return self._view(contract, function, *arguments)

    def requests_named_in_each(self, contract: str, block_hashes: Sequence[Bytes32]) -> list[list[Bytes32]]:
        """The requests that a contract's events in each of exactly these blocks are about, each once. Of a contract whose events all name
        one."""
        address = self._handle(contract).address
        each = self._raw_logs(contract, address, [{"address": address, "blockHash": to_hex(one)} for one in block_hashes])
        return [list(dict.fromkeys(Bytes32(bytes(log["topics"][1])) for log in logs if len(log["topics"]) > 1)) for logs in each]

    def requests_named_by(self, contract: str, event: str) -> list[Bytes32]:
        """The requests that events of a contract were ever about, oldest first, each once."""
        return list(dict.fromkeys(Bytes32(log["args"]["requestId"]) for log in self._logs_since(contract, event, {})))

    def _handle(self, name: str) -> Contract:
        if name not in self._contracts:
            raise ConfigRejected(f"{name} of the deployment", "an address", "none: it was deployed before there was one")
        return self._contracts[name]

    # ---- inside -------------------------------------------------------------------------------------------------------------------------
    def _view(self, contract: str, function: str, *arguments: Any, block: int | None = None) -> Any:
        with asking(f"{contract}.{function}"):
            handle, view = self._handle(contract), self._view_of(contract, function)
            call = {"to": handle.address, "data": view.encode(arguments)}
            return view.decode(self._ask("eth_call", call, "latest" if block is None else hex(block)))

    def _view_of(self, contract: str, function: str) -> jsonrpc.View:
        if (contract, function) not in self._views:
            self._views[contract, function] = jsonrpc.View(self._handle(contract).get_function_by_name(function).abi, CODEC)
        return self._views[contract, function]

    def _coprocessor_event(self, log: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
        """(name, arguments) of a log of the Coprocessor that tells of deliveries; None for all others."""
        if jsonrpc.address(log["address"]) != Address(self._contracts["Coprocessor"].address) or not jsonrpc.listed(log["topics"]):
            return None
        event = self._coprocessor_events.get(jsonrpc.digest(log["topics"][0]))
        return None if event is None else (event.name, event.decode(log))

    @cached_property
    def _coprocessor_events(self) -> dict[bytes, jsonrpc.Event]:
        abis = [e for e in load_artifact("Coprocessor").abi if e["type"] == "event" and e["name"] in _EVENTS_OF_DELIVERIES]
        return {event.topic: event for event in (jsonrpc.Event(abi, CODEC) for abi in abis)}

    def _logs(self, contract: str, event: str, where: Mapping[str, Any]) -> list[EventData]:
        return self._logs_each(contract, event, [where])[0]

    def _logs_in_each(self, contract: str, event: str, block_hashes: Sequence[Bytes32]) -> list[list[EventData]]:
        """Events of each of exactly these blocks."""
        return self._logs_each(contract, event, [{"blockHash": to_hex(one)} for one in block_hashes])

    def _logs_each(self, contract: str, event: str, wheres: Sequence[Mapping[str, Any]]) -> list[list[EventData]]:
        handle = self._handle(contract).get_event_by_name(event)()
        every = {"address": handle.address, "topics": [to_hex(event_abi_to_log_topic(handle.abi))]}
        each = self._raw_logs(event, str(handle.address), [{**every, **where} for where in wheres])
        with asking(f"{event} events"):
            return [[handle.process_log(log) for log in logs] for logs in each]

    def _raw_logs(self, what: str, address: str, criteria: Sequence[Mapping[str, Any]]) -> list[list[LogReceipt]]:
        """Of one contract, for each of the criteria. Raises ChainError for what does not meet them."""
        questions = [(_plain_criteria(one),) for one in criteria]
        with asking(f"{what} events"):
            responses = self.endpoints.request_each("eth_getLogs", questions)
            found = [jsonrpc.listed(self._result("eth_getLogs", q, r)) for q, r in zip(questions, responses, strict=True)]
            each = [[_log(one) for one in logs] for logs in found]
        for logs, where in zip(each, criteria, strict=True):
            block_hash = where.get("blockHash")
            if any(str(log["address"]) != address or log.get("removed") for log in logs):
                raise ChainError(f"the endpoint gave {what} events of another contract, or removed ones")
            if block_hash is not None and any(to_hex(log["blockHash"]) != block_hash for log in logs):
                raise ChainError(f"the endpoint gave {what} events of another block")
        return each

    def _logs_between(self, contract: str, event: str, indexed: Mapping[str, Bytes32], first: int, last: int) -> Iterator[EventData]:
        """Events of a range, page by page, oldest first. `indexed`: the first indexed argument, where one is asked for."""
        handle = self._handle(contract).get_event_by_name(event)()
        topics = [to_hex(event_abi_to_log_topic(handle.abi)), *(to_hex(v) for v in indexed.values())]
        for start in range(first, last + 1, LOG_PAGE_BLOCKS):
            end = min(last, start + LOG_PAGE_BLOCKS - 1)
            yield from self._logs(contract, event, {"fromBlock": start, "toBlock": end, "topics": topics})

    def _logs_since(self, contract: str, event: str, indexed: Mapping[str, Bytes32]) -> list[EventData]:
        head = self.block("latest")
        if head is None:
            raise ChainError("the chain has no latest block")
        return list(self._logs_between(contract, event, indexed, self.deployment.block_number, head.number))


def _contract(web3: Web3, name: str, address: str) -> Contract:
    return web3.eth.contract(Web3.to_checksum_address(address), abi=load_artifact(name).abi)


def creation_call(name: str, *arguments: Any) -> Call:
    """The transaction that creates a packaged contract with these constructor arguments."""
    artifact = load_artifact(name)
    factory = Web3().eth.contract(abi=artifact.abi, bytecode=to_hex(artifact.bytecode))
    return Call(None, parse_hex(factory.constructor(*arguments).data_in_transaction, "creation code"))


def call_at(name: str, address: Address, function: str, *arguments: Any) -> Call:
    """Calldata for a packaged contract on a chain where no deployment is yet."""
    return Call(address, bytes.fromhex(_contract(Web3(), name, address).encode_abi(function, list(arguments))[2:]))


def _plain_criteria(criteria: Mapping[str, Any]) -> dict[str, Any]:
    """A filter as it is sent."""
    return {name: hex(value) if isinstance(value, int) else value for name, value in criteria.items()}


def _log(value: object) -> LogReceipt:
    """A log as web3's events read it."""
    f = jsonrpc.fields(value)
    return cast(
        LogReceipt,
        {
            "address": jsonrpc.address(f["address"]),
            "topics": [HexBytes(jsonrpc.digest(topic)) for topic in jsonrpc.listed(f["topics"])],
            "data": HexBytes(jsonrpc.data(f["data"])),
            "blockNumber": jsonrpc.quantity(f["blockNumber"]),
            "blockHash": HexBytes(jsonrpc.digest(f["blockHash"])),
            "transactionHash": HexBytes(jsonrpc.digest(f["transactionHash"])),
            "transactionIndex": jsonrpc.quantity(f["transactionIndex"]),
            "logIndex": jsonrpc.quantity(f["logIndex"]),
            "removed": f.get("removed", False),
        },
    )
