"""Where an auditor reads a log: a directory or a URL. Everything that comes from here is untrusted bytes.

`find_entries` is a hint only: an index service may hide entries. Where none is offered, the auditor reads every bundle.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import httpx

from oracle.audit.tiles import MAX_ENTRY_BYTES, WIDTH, Tile
from oracle.encoding import parse_uint, to_hex
from oracle.errors import MalformedInput, PeerError, StoreError, TooLarge, Unauthorised
from oracle.records import Bytes32

MAX_ANSWER_BYTES = WIDTH * (MAX_ENTRY_BYTES + 2)


class LogSource(Protocol):
    """Reading one log. Methods raise StoreError or PeerError when the place does not answer."""

    def read_checkpoint(self) -> bytes: ...

    def read_tile(self, tile: Tile) -> bytes:
        """The bytes of that width; the front of the full tile where the partial one is gone. Raises MalformedInput where there is none."""
        ...

    def read_body(self, digest: Bytes32) -> bytes | None:
        """The bytes stored under a digest, None where this place has none or shows none."""
        ...

    def find_entries(self, request_id: Bytes32) -> Sequence[int] | None:
        """Indices of a call's entries, None where this place has no such index."""
        ...


def cut_tile(data: bytes, tile: Tile) -> bytes:
    """The front of a full tile's bytes, as the partial tile has it."""
    if tile.level >= 0:
        return data[: tile.width * 32]
    at = 0
    for _ in range(tile.width):
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    return data[:at]


class DirectorySource:
    """A log's directory: `checkpoint`, `tile/…`, and `bodies/<hex digest>` in an export."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _read(self, path: str) -> bytes | None:
        try:
            return (self.directory / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {path} of the log in {self.directory}") from error

    def read_checkpoint(self) -> bytes:
        data = self._read("checkpoint")
        if data is None:
            raise MalformedInput(f"log directory {self.directory}", "a file `checkpoint`", "none")
        return data

    def read_tile(self, tile: Tile) -> bytes:
        data = self._read(tile.path())
        if data is None and tile.width < WIDTH:
            full = self._read(tile.full.path())
            data = None if full is None else cut_tile(full, tile)
        if data is None:
            raise MalformedInput(f"log directory {self.directory}", f"a file {tile.path()}", "none")
        return data

    def read_body(self, digest: Bytes32) -> bytes | None:
        return self._read(f"bodies/{digest.hex()}")

    def find_entries(self, request_id: Bytes32) -> Sequence[int] | None:  # noqa: ARG002 - a directory has no index
        return None


class HttpSource:
    """A log served over HTTP. A reader's token opens bodies and the index of calls."""

    def __init__(
        self, url: str, token: str | None = None, timeout_seconds: float = 10.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._url = url.rstrip("/")
        self._has_token = token is not None
        self._http = httpx.Client(base_url=self._url, headers=headers, timeout=timeout_seconds, transport=transport)

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str) -> bytes | None:
        """The body of a 200, None for a 404. Stops reading at the size limit: a log must not fill an auditor's memory."""
        try:
            with self._http.stream("GET", path) as answer:
                if answer.status_code == 404:
                    return None
                if answer.status_code in (401, 403):
                    raise Unauthorised(f"{self._url}{path}", "a reader's token", answer.status_code)
                answer.raise_for_status()
                data = bytearray()
                for chunk in answer.iter_bytes():
                    data += chunk
                    if len(data) > MAX_ANSWER_BYTES:
                        raise TooLarge(f"{self._url}{path}", f"at most {MAX_ANSWER_BYTES} bytes", "more")
                return bytes(data)
        except httpx.HTTPError as error:
            raise PeerError(f"the log at {self._url} did not answer {path}") from error

    def read_checkpoint(self) -> bytes:
        data = self._get("/checkpoint")
        if data is None:
            raise MalformedInput(f"log at {self._url}", "a checkpoint", "none")
        return data

    def read_tile(self, tile: Tile) -> bytes:
        data = self._get("/" + tile.path())
        if data is None and tile.width < WIDTH:
            full = self._get("/" + tile.full.path())
            data = None if full is None else cut_tile(full, tile)
        if data is None:
            raise MalformedInput(f"log at {self._url}", tile.path(), "nothing")
        return data

    def read_body(self, digest: Bytes32) -> bytes | None:
        return self._get(f"/bodies/{to_hex(digest)}") if self._has_token else None

    def find_entries(self, request_id: Bytes32) -> Sequence[int] | None:
        if not self._has_token:
            return None
        data = self._get(f"/entries?request_id={to_hex(request_id)}")
        return None if data is None else _parse_entries(data)


def _parse_entries(data: bytes) -> list[int]:
    try:
        return [parse_uint(item["index"], "index", 53) for item in json.loads(data)["entries"]]
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedInput("the log's list of entries", '{"entries":[{"index":…}]}', str(error)[:80]) from error


def open_source(location: str, token: str | None = None) -> DirectorySource | HttpSource:
    """A directory's path or an http(s) URL."""
    return HttpSource(location, token) if location.startswith(("http://", "https://")) else DirectorySource(Path(location))
