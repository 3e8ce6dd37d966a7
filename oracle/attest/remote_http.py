"""One question to a remote signer over HTTP: bounded in bytes and time, and nothing but 200 is an answer."""

from __future__ import annotations

import httpx

from oracle.errors import PeerError
from oracle.reading import read_bounded

TIMEOUT_SECONDS = 5.0  # for connecting, and between two pieces of an answer
MAX_ANSWER_SECONDS = 10.0
MAX_ANSWER_BYTES = 4 << 20
"""A signed transaction in hex, with its fields beside it; or the list of all keys."""


def ask(http: httpx.Client, method: str, path: str, body: object = None) -> bytes:
    """The body of the answer. Raises PeerError."""
    try:
        with http.stream(method, path, json=body) as answer:
            if answer.status_code != 200:
                raise PeerError(f"the remote signer answered {answer.status_code}") from None
            return read_bounded(answer, "the remote signer", MAX_ANSWER_BYTES, MAX_ANSWER_SECONDS)
    except httpx.HTTPError as error:
        raise PeerError("the remote signer does not answer") from error
