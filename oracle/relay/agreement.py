"""What several endpoints must agree on, and when they do. Pure: JSON-RPC answers in, votes and counts out.

| rule   | asked                                                              | what is believed                                        |
|--------|--------------------------------------------------------------------|---------------------------------------------------------|
| SAME   | receipts, nonces, blocks, code, events, views of contracts         | what `quorum` endpoints say alike                       |
| KNOWN  | a transaction by its hash                                          | the same; with fewer than `quorum` who have it, nothing |
| RANKED | gas estimates, fees, and what waits (pending nonce, pending time)  | the quorum-th highest: neither too high nor too low     |
|        |                                                                    | while fewer than that lie                               |
| ANY    | balances, the rest                                                 | the healthiest endpoint, then the next                  |

Only what decides is compared: clients add fields of their own to receipts and blocks. A refusal by the contracts (a revert) is an answer
like any other; an error of the endpoint's own is no vote. "There is none" is a vote too, but one that lagging endpoints cast in good
faith: it carries no block, and whoever counts looks first whether the voter can have seen the block that others speak of.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from oracle.encoding import keccak256, parse_hex, to_hex
from oracle.relay.failures import is_already_known, is_revert

SEND = "eth_sendRawTransaction"
CHAIN_ID = "eth_chainId"
HEAD = "eth_blockNumber"


class Rule(StrEnum):
    SAME = "same"
    KNOWN = "known"
    RANKED = "ranked"
    ANY = "any"


_SAME = frozenset(
    {"eth_getTransactionReceipt", "eth_getTransactionCount", "eth_getBlockByNumber", "eth_getCode", "eth_getLogs", "eth_call"}
)
_RANKED = frozenset({"eth_feeHistory", "eth_estimateGas"})
_BLOCK_AT = {"eth_getTransactionCount": 1, "eth_getCode": 1, "eth_call": 1, "eth_getBlockByNumber": 0}
"""Which parameter names the block a question is about."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What one answer says. Equal keys agree."""

    key: str
    is_absent: bool = False  # "there is none": no receipt, no block, no events
    block_number: int | None = None  # the newest block the answer speaks of, where it speaks of one
    rank: int | None = None  # for RANKED
    is_revert: bool = False


def rule_of(method: str, params: Sequence[Any]) -> Rule:
    if method in _RANKED or (method in ("eth_getTransactionCount", "eth_getBlockByNumber") and _block_of(method, params) == "pending"):
        return Rule.RANKED
    if method == "eth_getTransactionByHash":
        return Rule.KNOWN
    return Rule.SAME if method in _SAME else Rule.ANY


def _block_of(method: str, params: Sequence[Any]) -> Any:
    position = _BLOCK_AT.get(method, len(params))
    return params[position] if position < len(params) else None


def is_at_head(method: str, params: Sequence[Any]) -> bool:
    """Whether the question is about the newest block, which is another one for each endpoint."""
    return bool(_block_of(method, params) == "latest")


def pin(method: str, params: Sequence[Any], number: int) -> list[Any]:
    """The same question about a block by number. Questions that are not about the newest block are left as they are."""
    pinned = list(params)
    if is_at_head(method, params):
        pinned[_BLOCK_AT[method]] = hex(number)
    return pinned


# ---- from answers to votes -------------------------------------------------------------------------------------------------------------
def vote_of(method: str, params: Sequence[Any], answer: Mapping[str, Any]) -> Vote | None:
    """None for an endpoint's own error. Raises KeyError, TypeError, ValueError, AttributeError or MalformedInput for a wrong form."""
    if "error" in answer:
        return _vote_of_error(method, answer["error"])
    result = answer["result"]
    if method == SEND:
        return _vote_of_sent(params, result)
    if result is None:
        return Vote("none", is_absent=True)
    if method == "eth_getLogs":
        return _vote_of_logs(result)
    rank = _rank_of(method, result) if rule_of(method, params) is Rule.RANKED else None
    return Vote(_key_of(method, result), block_number=_number_of(method, result), rank=rank)


def _vote_of_error(method: str, error: Mapping[str, Any]) -> Vote | None:
    if method == SEND:
        return Vote("sent") if is_already_known(str(error["message"])) else None
    return Vote(f"reverts {error.get('data') or ''}".lower(), is_revert=True) if is_revert(error) else None


def _vote_of_sent(params: Sequence[Any], result: Any) -> Vote:
    if result.lower() != to_hex(keccak256(parse_hex(params[0], "raw transaction"))):
        raise ValueError("the hash of another transaction")
    return Vote("sent")


def _vote_of_logs(result: Any) -> Vote:
    if not isinstance(result, list):
        raise TypeError("events that are no list")
    if not result:
        return Vote("none", is_absent=True)
    return Vote(_text([_log(log) for log in result]), block_number=max(_quantity(log["blockNumber"]) for log in result))


def _key_of(method: str, result: Any) -> str:
    if method == "eth_getTransactionReceipt":
        fields = ("transactionHash", "blockHash", "blockNumber", "status", "gasUsed")
        return _text(
            [*(result[name].lower() for name in fields), _lower(result.get("contractAddress")), [_log(log) for log in result["logs"]]]
        )
    if method == "eth_getBlockByNumber":
        # A block that is being made has no hash yet, and every endpoint makes another.
        return _text([_lower(result["hash"]), *(result[name].lower() for name in ("parentHash", "number", "timestamp") if result[name])])
    if method == "eth_getTransactionByHash":
        return _text([result["hash"].lower(), _lower(result.get("to")), result["input"].lower()])
    if method in ("eth_getTransactionCount", "eth_estimateGas", CHAIN_ID, HEAD):
        return str(_quantity(result))
    if method in ("eth_call", "eth_getCode"):
        return str(to_hex(parse_hex(result, "answer")))
    return _text(result)


def _number_of(method: str, result: Any) -> int | None:
    if method == "eth_getTransactionReceipt":
        return _quantity(result["blockNumber"])
    if method == "eth_getBlockByNumber" and result["number"] is not None:
        return _quantity(result["number"])
    return None


def _rank_of(method: str, result: Any) -> int:
    if method == "eth_feeHistory":
        return _quantity(result["baseFeePerGas"][-1])
    return _quantity(result["timestamp"] if method == "eth_getBlockByNumber" else result)


def _log(log: Any) -> list[Any]:
    fields = ("address", "data", "blockHash", "transactionHash", "logIndex")
    return [*(log[name].lower() for name in fields), [topic.lower() for topic in log["topics"]], bool(log.get("removed"))]


def _quantity(value: Any) -> int:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError("a quantity that is not hex")
    return int(value, 16)


def _lower(value: Any) -> str | None:
    return None if value is None else value.lower()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


# ---- counting --------------------------------------------------------------------------------------------------------------------------
def count_agreed(votes: Iterable[Vote], quorum: int) -> Vote | None:
    """What at least `quorum` votes say alike; None where none do, or where two camps are equally strong."""
    votes = list(votes)
    ranked = Counter(vote.key for vote in votes).most_common(2)
    if not ranked or ranked[0][1] < quorum or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return next(vote for vote in votes if vote.key == ranked[0][0])


def find_attested(values: Iterable[int], quorum: int) -> int | None:
    """The highest value that at least `quorum` of them reach: of heads, the newest block so many have. None for fewer values."""
    ordered = sorted(values, reverse=True)
    return ordered[quorum - 1] if len(ordered) >= quorum else None
