"""`oracle.seams.EntryLog` over HTTP: what a node or relay holds of the log.

An append that timed out is repeated under the same key, so it is written once; after `attempts` tries the caller gets PeerError and
owns what happens next.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

import httpx

from oracle.audit.record import check_entry, entry_to_json
from oracle.encoding import parse_bytes32, parse_uint
from oracle.errors import EntryRejected, LogRefused, MalformedInput, OutOfScope, PeerError, Rejected, TooLarge, Unauthorised
from oracle.records import Appended, Entry
from oracle.wire import require_fields

_REFUSALS: dict[str, type[Rejected]] = {
    "EntryRejected": EntryRejected,
    "Forbidden": OutOfScope,
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
        answer = self._post("/append", _to_item(entry, key))
        return self._read_appended(self._open(answer))

    def append_batch(self, items: Sequence[tuple[Entry, str | None]]) -> list[Appended]:
        """Up to 1,024 entries with their keys, which stand one after the other. Raises as `append`, for the first that is refused."""
        value = self._open(self._post("/batch", {"items": [_to_item(entry, key) for entry, key in items]}))
        try:
            places = [self._read_appended(place) for place in require_fields(value, "the log's answer", {"items"})["items"]]
        except (TypeError, MalformedInput) as error:
            raise PeerError(f"the log at {self._url} answered a batch in another form") from error
        if len(places) != len(items):
            raise PeerError(f"the log at {self._url} answered {len(places)} places for {len(items)} entries")
        return places

    def _post(self, path: str, body: object) -> httpx.Response:
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(self._pause_seconds * 2 ** (attempt - 1))
            try:
                answer = self._http.post(path, json=body)
            except httpx.TransportError as error:
                failure: Exception = error
                continue
            if answer.status_code < 500:
                return answer
            failure = httpx.HTTPStatusError(f"status {answer.status_code}", request=answer.request, response=answer)
        raise PeerError(f"the log at {self._url} did not answer {path} in {self._attempts} attempts") from failure

    def is_ready(self) -> bool:
        """Whether the log takes entries now."""
        try:
            return self._http.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _open(self, answer: httpx.Response) -> object:
        """What the log decided. An answer of another form is the peer's fault, never the caller's."""
        try:
            value: object = answer.json()
            if answer.status_code == 200:
                return value
            if not isinstance(value, dict):
                raise TypeError("no problem document")
            refusal: Rejected = _REFUSALS[value["title"]](str(value["detail"])[:300])
        except (ValueError, KeyError, TypeError, RecursionError, MalformedInput) as error:
            raise PeerError(f"the log at {self._url} answered {answer.status_code} in another form") from error
        raise refusal

    def _read_appended(self, value: object) -> Appended:
        try:
            fields = require_fields(value, "the log's answer", {"index", "leaf_hash", "tree_size"})
            index, size = parse_uint(fields["index"], "index", 53), parse_uint(fields["tree_size"], "tree_size", 53)
            if index >= size:
                raise MalformedInput("index of the entry", f"one below the tree's size {size}", index)
            return Appended(index, parse_bytes32(fields["leaf_hash"], "leaf_hash"), size)
        except MalformedInput as error:
            raise PeerError(f"the log at {self._url} answered in another form") from error


def _to_item(entry: Entry, key: str | None) -> dict[str, Any]:
    """Checked here first: what the log would refuse does not travel. Raises as `check_entry`."""
    check_entry(entry)
    return {"key": key or "client:" + secrets.token_hex(16), "entry": entry_to_json(entry)}
