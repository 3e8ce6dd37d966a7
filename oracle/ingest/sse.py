"""Server-sent events, cut out of a stream of bytes wherever those were split, and kept as they came.

WHATWG HTML, 9.2.6: lines end with CR LF, LF or CR, an empty line ends an event. `raw` is what is passed on, to the byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oracle.errors import TooLarge

_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    raw: bytes
    data: bytes  # of all its data lines, joined by LF; empty for a comment


class EventSplitter:
    """Feed it bytes, get whole events. Raises TooLarge for an event above `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = b""

    def feed(self, data: bytes) -> list[ServerEvent]:
        self._buffer += data
        events = []
        while (end := self._find_end()) is not None:
            events.append(_event(self._buffer[:end]))
            self._buffer = self._buffer[end:]
        if len(self._buffer) > self._limit:
            raise TooLarge("server-sent event", f"at most {self._limit} bytes", len(self._buffer))
        return events

    def close(self) -> list[ServerEvent]:
        """What is left when the stream ends: an event without its empty line."""
        rest, self._buffer = self._buffer, b""
        return [_event(rest)] if rest else []

    def _find_end(self) -> int | None:
        """A CR at the end may be the first half of CR LF: wait for what follows."""
        match = _END.search(self._buffer)
        if match is None or (match.end() == len(self._buffer) and self._buffer.endswith(b"\r")):
            return None
        return match.end()


def _event(raw: bytes) -> ServerEvent:
    lines = _LINE_END.split(raw)
    values = [line[5:] for line in lines if line.startswith(b"data:")]
    return ServerEvent(raw, b"\n".join(value[1:] if value.startswith(b" ") else value for value in values))
