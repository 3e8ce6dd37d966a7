"""A block, byte for byte: what an auditor takes away from a chain so that it can be verified without it.

`BlockReader` gives the header, all transactions and all receipts of a block as the chain hashes them. `RpcBlocks` asks a JSON-RPC endpoint:
the standard methods answer in JSON, so the bytes are encoded here, and nothing is believed whose hash is not the block's. What standard
JSON does not tell, such as a rollup's own kind of transaction, cannot be encoded: `BlockNotKnown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from oracle import journal
from oracle.audit.trie import Item, Trie, encode_number, encode_rlp
from oracle.encoding import keccak256, parse_hex, to_hex
from oracle.errors import ChainError, MalformedInput
from oracle.journal import hide_urls_of_http_client, redact_url
from oracle.records import Bytes32

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RawBlock:
    """A block whose header has its hash, and whose tries have the header's roots."""

    hash: Bytes32
    header: bytes
    transactions: Trie
    receipts: Trie
    hashes: tuple[Bytes32, ...]  # of its transactions, in order


class BlockNotKnown(ChainError):
    """A block whose bytes cannot be had from this endpoint, or have a form that is not known here."""


class BlockReader(Protocol):
    """Reading whole blocks. Raises ChainError when the endpoint fails, BlockNotKnown where its answer is not the block."""

    def read_block(self, block_hash: Bytes32) -> RawBlock: ...


class RpcBlocks:
    """Blocks by JSON-RPC, from one endpoint or from the first of several that has the block: its hash says whether it is."""

    def __init__(
        self, rpc: str | Sequence[str], timeout_seconds: float = TIMEOUT_SECONDS, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._rpcs = [rpc] if isinstance(rpc, str) else list(rpc)
        self._rpc = self._rpcs[0]  # the one asked now
        hide_urls_of_http_client()
        self._http = httpx.Client(timeout=timeout_seconds, transport=transport)

    def read_block(self, block_hash: Bytes32) -> RawBlock:
        for rpc in self._rpcs[:-1]:
            try:
                return self._read_from(rpc, block_hash)
            except ChainError as error:
                journal.get("blocks").warning("the next endpoint is asked", endpoint=redact_url(rpc), error=str(error))
        return self._read_from(self._rpcs[-1], block_hash)

    def _read_from(self, rpc: str, block_hash: Bytes32) -> RawBlock:
        self._rpc = rpc
        block = self._ask("eth_getBlockByHash", to_hex(block_hash), True)
        try:
            listed = [Bytes32(parse_hex(item["hash"], "hash", 32)) for item in block["transactions"]]
            receipts = [_encode_receipt(item) for item in self._receipts(block_hash, listed)]
            transactions = [encode_transaction(item) for item in block["transactions"]]
            return _require_whole(block_hash, _encode_header(block), transactions, receipts, block, tuple(listed))
        except (AttributeError, KeyError, TypeError, ValueError, MalformedInput) as error:
            raise BlockNotKnown(f"block {to_hex(block_hash)} of the endpoint has a form that is not known here") from error

    def _receipts(self, block_hash: Bytes32, transactions: Sequence[Bytes32]) -> Sequence[Any]:
        """By the method for a whole block; one by one where the endpoint does not have it."""
        try:
            found: Sequence[Any] = self._ask("eth_getBlockReceipts", to_hex(block_hash))
        except ChainError:
            found = [self._ask("eth_getTransactionReceipt", to_hex(transaction)) for transaction in transactions]
        return found

    def _ask(self, method: str, *parameters: object) -> Any:
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        try:
            answer = self._http.post(self._rpc, json=question).raise_for_status().json()
            result = answer["result"]
        except (httpx.HTTPError, httpx.InvalidURL) as error:  # without its text, which quotes a URL that may hold an API key
            failure = OSError(f"{redact_url(self._rpc)}: {type(error).__name__}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ChainError(f"the endpoint does not answer {method}") from error
        else:
            return self._require_some(method, result, parameters)
        raise ChainError(f"the endpoint does not answer {method}") from failure

    def _require_some(self, method: str, result: Any, parameters: Sequence[object]) -> Any:
        if result is None:
            raise ChainError(f"the endpoint has nothing for {method}") from LookupError(str(parameters[0]))
        return result


def _require_whole(
    block_hash: Bytes32, header: bytes, transactions: list[bytes], receipts: list[bytes], block: Any, hashes: tuple[Bytes32, ...]
) -> RawBlock:
    """Nothing of it is another block's. Raises MalformedInput."""
    raw = RawBlock(block_hash, header, Trie.of(transactions), Trie.of(receipts), hashes)
    for what, expected, got in (
        ("hash of the header", block_hash, keccak256(header)),
        ("hashes of its transactions", hashes, tuple(keccak256(transaction) for transaction in transactions)),
        ("root over its transactions", parse_hex(block["transactionsRoot"], "transactionsRoot", 32), raw.transactions.root),
        ("root over its receipts", parse_hex(block["receiptsRoot"], "receiptsRoot", 32), raw.receipts.root),
    ):
        if expected != got:
            raise MalformedInput(what, "what the block's hash says", "another")
    return raw


# ---- from JSON to bytes (execution-apis; EIP-2718 and the EIP of each type) --------------------------------------------------------
def _data(value: Any) -> bytes:
    return parse_hex(value, "data")


def _number(value: Any) -> bytes:
    return encode_number(int(value, 16))


_HEADER = (
    ("parentHash", _data),
    ("sha3Uncles", _data),
    ("miner", _data),
    ("stateRoot", _data),
    ("transactionsRoot", _data),
    ("receiptsRoot", _data),
    ("logsBloom", _data),
    ("difficulty", _number),
    ("number", _number),
    ("gasLimit", _number),
    ("gasUsed", _number),
    ("timestamp", _number),
    ("extraData", _data),
    ("mixHash", _data),
    ("nonce", _data),
)
_LATER = (  # each fork appended: EIP-1559, 4895, 4844 (two), 4788, 7685
    ("baseFeePerGas", _number),
    ("withdrawalsRoot", _data),
    ("blobGasUsed", _number),
    ("excessBlobGas", _number),
    ("parentBeaconBlockRoot", _data),
    ("requestsHash", _data),
)


def _encode_header(block: Any) -> bytes:
    later = [read(block[name]) for name, read in _LATER if block.get(name) is not None]
    return encode_rlp([*(read(block[name]) for name, read in _HEADER), *later])


_FEES = {
    0: ("nonce", "gasPrice", "gas"),
    1: ("chainId", "nonce", "gasPrice", "gas"),
    2: ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas"),
}
_FEES |= {3: _FEES[2], 4: _FEES[2]}


def encode_transaction(transaction: Any) -> bytes:
    """Types 0 to 4 (legacy, EIP-2930, 1559, 4844, 7702). Raises KeyError for another."""
    kind = int(transaction.get("type", "0x0"), 16)
    fields: list[Item] = [_number(transaction[name]) for name in _FEES[kind]]
    fields += [_data(transaction["to"] or "0x"), _number(transaction["value"]), _data(transaction["input"])]
    if kind:
        fields.append([[_data(entry["address"]), [_data(key) for key in entry["storageKeys"]]] for entry in transaction["accessList"]])
    if kind == 3:
        fields += [_number(transaction["maxFeePerBlobGas"]), [_data(digest) for digest in transaction["blobVersionedHashes"]]]
    if kind == 4:
        fields.append([_encode_authorisation(item) for item in transaction["authorizationList"]])
    fields += [_number(transaction["yParity"] if kind and "yParity" in transaction else transaction["v"])]
    fields += [_number(transaction[name]) for name in ("r", "s")]
    return (bytes([kind]) if kind else b"") + encode_rlp(fields)


def _encode_authorisation(item: Any) -> Item:
    head = [_number(item["chainId"]), _data(item["address"]), _number(item["nonce"])]
    return [*head, _number(item["yParity"]), _number(item["r"]), _number(item["s"])]


def _encode_receipt(receipt: Any) -> bytes:
    kind = int(receipt.get("type", "0x0"), 16)
    logs: list[Item] = [[_data(log["address"]), [_data(topic) for topic in log["topics"]], _data(log["data"])] for log in receipt["logs"]]
    body = encode_rlp([_number(receipt["status"]), _number(receipt["cumulativeGasUsed"]), _data(receipt["logsBloom"]), logs])
    return (bytes([kind]) if kind else b"") + body
