"""What can go wrong between the relay and a chain, as four classes that each call for something else.

| class      | what it means                                           | what is done                                             |
|------------|---------------------------------------------------------|----------------------------------------------------------|
| PAYLOAD    | the contracts refuse this call, and would again          | the job fails, or is assembled anew; the nonce is reused |
| NONCE      | the nonce was used by another transaction                | reconcile finds out by which; the payload gets a new one |
| PROVIDER   | the endpoint is unwell, or the account short of gas money | the same bytes again later                               |
| AMBIGUOUS  | no answer after sending: accepted or not                 | looked up by hash and sent again, never re-nonced        |
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from oracle.errors import AmbiguousSend, ChainError, InvariantBroken, Rejected


class FailureKind(StrEnum):
    PAYLOAD = "payload"
    NONCE = "nonce"
    PROVIDER = "provider"
    AMBIGUOUS = "ambiguous"


class CallReverted(Rejected):
    """The contracts refuse a call. `error` is the Solidity error's name, "Error" for a text, "" where nothing was given; `arguments` are
    its own, empty where they cannot be read."""

    def __init__(self, error: str, detail: str, arguments: tuple[Any, ...] = ()) -> None:
        self.error, self.arguments = error, arguments
        super().__init__("call of the contracts", "one they accept", f"{error or 'a bare revert'}{detail}")


class TransactionInvalid(Rejected):
    """The endpoint says that this transaction can never be mined: too little gas for its own data, too large, too much gas."""


class EndpointRefused(ChainError):
    """The endpoint answered with an error of its own. It is reachable: perhaps only this one question is bad."""


class NoQuorum(EndpointRefused):
    """Too few of several endpoints give the same answer: nothing is believed. Perhaps only about this one question."""


class NonceUsed(ChainError):
    """The endpoint says that another transaction has this nonce."""


def classify_failure(error: Exception) -> FailureKind:
    """The class of an error raised by the chain adapter. Raises InvariantBroken for errors that are not of that kind."""
    if isinstance(error, CallReverted | TransactionInvalid):
        return FailureKind.PAYLOAD
    if isinstance(error, NonceUsed):
        return FailureKind.NONCE
    if isinstance(error, AmbiguousSend):
        return FailureKind.AMBIGUOUS
    if isinstance(error, ChainError):
        return FailureKind.PROVIDER
    raise InvariantBroken("an error that is not the chain's was taken for one") from error


_KNOWN = ("already known", "already imported", "already in mempool", "known transaction")
_NONCE = ("nonce too low", "nonce is too low", "replacement transaction underpriced", "invalid nonce", "oldnonce")
_NEVER = (
    "intrinsic gas too low",
    "exceeds block gas limit",
    "gas limit too high",
    "gas limit is greater",
    "exceeds maximum",
    "oversized data",
    "invalid sender",
    "gas floor",
    "call gas cost exceeds",
    "tx gas limit",
)


_RATE = ("rate limit", "ratelimit", "too many requests", "request limit", "requests per second", "compute units per second", "throughput")


def is_revert(error: Mapping[str, Any]) -> bool:
    """Whether a JSON-RPC error is the contracts' refusal of a call, which all honest endpoints give, and not an endpoint's own trouble."""
    text = str(error.get("message", "")).lower()
    return error.get("code") == 3 or "execution reverted" in text or "vm execution error" in text or "vm exception" in text


def is_rate_limit(error: Mapping[str, Any]) -> bool:
    """Whether a JSON-RPC error says that too much was asked. By its text: the code -32005 also stands for "too many events"."""
    return error.get("code") == 429 or any(known in str(error.get("message", "")).lower() for known in _RATE)


def is_already_known(message: str) -> bool:
    """Whether an endpoint's refusal means that it has the transaction already, which is what was wanted."""
    return any(text in message.lower() for text in _KNOWN)


def refusal_of(message: str) -> Exception:
    """The error for an endpoint's refusal of a raw transaction.

    There is no standard for these texts (execution-apis gives codes to few of them): those of geth, reth, Nethermind, Erigon, Besu and
    anvil that say something definite are listed above, everything else counts as the endpoint's own trouble and is tried again.
    """
    text = message.lower()
    if any(known in text for known in _NONCE):
        return NonceUsed(f"the endpoint refused the nonce: {message[:200]}")
    if any(known in text for known in _NEVER):
        return TransactionInvalid("transaction", "one that can be mined", message[:200])
    return ChainError(f"the endpoint refused the transaction: {message[:200]}")
