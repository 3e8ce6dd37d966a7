"""`oracle.seams.EntryLog` over HTTP: what a node or relay holds of the log.

An append that timed out is repeated under the same key, so it is written once; after `attempts` tries the caller gets PeerError and
owns what happens next.
"""

from __future__ import annotations

import secrets
import time

import httpx

from oracle.audit.record import check_entry, entry_to_json
from oracle.encoding import parse_bytes32, parse_uint
from oracle.errors import EntryRejected, LogRefused, MalformedInput, PeerError, Rejected, TooLarge, Unauthorised
from oracle.records import Appended, Entry
from oracle.wire import require_fields

_REFUSALS: dict[str, type[Rejected]] = {
    "EntryRejected": EntryRejected,
    "LogRefused": LogRefused,
    "MalformedInput": MalformedInput,
    "TooLarge": TooLarge,
    "Unauthorised": Unauthorised,
}


class LogClient:
    """One writer's connection to a log. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        token: str,
        timeout_seconds: float = 5.0,
        attempts: int = 3,
        pause_seconds: float = 0.1,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._attempts = attempts
        self._pause_seconds = pause_seconds
        headers = {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=self._url, headers=headers, timeout=timeout_seconds, transport=transport)

    def close(self) -> None:
        self._http.close()

    def append(self, entry: Entry, key: str | None = None) -> Appended:
        """Raises PeerError when the log does not answer; LogRefused, EntryRejected, TooLarge or Unauthorised when it refuses."""
        check_entry(entry)
        body = {"key": key or "client:" + secrets.token_hex(16), "entry": entry_to_json(entry)}
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(self._pause_seconds * 2 ** (attempt - 1))
            try:
                answer = self._http.post("/append", json=body)
            except httpx.TransportError as error:
                failure: Exception = error
                continue
            if answer.status_code < 500:
                return self._read(answer)
            failure = httpx.HTTPStatusError(f"status {answer.status_code}", request=answer.request, response=answer)
        raise PeerError(f"the log at {self._url} did not take an entry in {self._attempts} attempts") from failure

    def is_ready(self) -> bool:
        """Whether the log takes entries now."""
        try:
            return self._http.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _read(self, answer: httpx.Response) -> Appended:
        """What the log decided. An answer of another form is the peer's fault, never the caller's."""
        try:
            value = answer.json()
            if answer.status_code != 200:
                refusal: Rejected = _REFUSALS[value["title"]](str(value["detail"])[:300])
            else:
                return _read_appended(value)
        except (ValueError, KeyError, TypeError, MalformedInput) as error:
            raise PeerError(f"the log at {self._url} answered {answer.status_code} in another form") from error
        raise refusal


def _read_appended(value: object) -> Appended:
    fields = require_fields(value, "the log's answer", {"index", "leaf_hash", "tree_size"})
    index, size = parse_uint(fields["index"], "index", 53), parse_uint(fields["tree_size"], "tree_size", 53)
    if index >= size:
        raise MalformedInput("index of the entry", f"one below the tree's size {size}", index)
    return Appended(index, parse_bytes32(fields["leaf_hash"], "leaf_hash"), size)
