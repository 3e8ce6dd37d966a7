"""Reading what others answer over HTTP: so many bytes, for so long, and no more."""

from __future__ import annotations

import time

import httpx

from oracle.errors import PeerError


def read_bounded(answer: httpx.Response, who: str, most_bytes: int, most_seconds: float) -> bytes:
    """The body of an answer that is being streamed. Raises PeerError naming `who` where it is longer, or takes longer."""
    deadline, data = time.monotonic() + most_seconds, bytearray()
    for piece in answer.iter_bytes():
        data += piece
        if len(data) > most_bytes or time.monotonic() > deadline:
            raise PeerError(f"{who} sent more than {most_bytes} bytes, or for longer than {most_seconds:g} seconds")
    return bytes(data)
