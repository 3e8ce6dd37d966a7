"""Where an auditor reads a log: a directory or a URL. Everything that comes from here is untrusted bytes.

`find_entries` is a hint only: an index service may hide entries. Where none is offered, the auditor reads every bundle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import httpx

from oracle.audit.content import Content, content_from_json
from oracle.audit.tiles import MAX_ENTRY_BYTES, WIDTH, Tile
from oracle.encoding import parse_uint, to_hex
from oracle.errors import MalformedInput, PeerError, StoreError, TooLarge, Unauthorised
from oracle.records import Bytes32
from oracle.wire import require_fields

MAX_ANSWER_BYTES = WIDTH * (MAX_ENTRY_BYTES + 2)


class LogSource(Protocol):
    """Reading one log. Methods raise StoreError or PeerError when the place does not answer."""

    def read_checkpoint(self) -> bytes: ...

    def read_witnessed(self) -> bytes | None:
        """The newest checkpoint that enough witnesses cosigned, by the log's word; None where there is none."""
        ...

    def read_tile(self, tile: Tile) -> bytes:
        """The bytes of that width; the front of the full tile where the partial one is gone. Raises MalformedInput where there is none."""
        ...

    def read_contents(self, first: int, end: int) -> Mapping[int, Content]:
        """The content of entries first … end − 1, of those that this place has and shows. Raises MalformedInput for other forms."""
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
    """A log's directory: `checkpoint`, `tile/…`, and `content/<index>.json` in an export."""

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

    def read_witnessed(self) -> bytes | None:
        return self._read("witnessed")

    def read_tile(self, tile: Tile) -> bytes:
        data = self._read(tile.path())
        if data is None and tile.width < WIDTH:
            full = self._read(tile.full.path())
            data = None if full is None else cut_tile(full, tile)
        if data is None:
            raise MalformedInput(f"log directory {self.directory}", f"a file {tile.path()}", "none")
        return data

    def read_contents(self, first: int, end: int) -> Mapping[int, Content]:
        if not (self.directory / "content").is_dir():
            return {}
        found = ((index, self._read(f"content/{index}.json")) for index in range(first, end))
        return {index: _parse_content(data) for index, data in found if data is not None}

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

    def read_witnessed(self) -> bytes | None:
        return self._get("/witnessed")

    def read_tile(self, tile: Tile) -> bytes:
        data = self._get("/" + tile.path())
        if data is None and tile.width < WIDTH:
            full = self._get("/" + tile.full.path())
            data = None if full is None else cut_tile(full, tile)
        if data is None:
            raise MalformedInput(f"log at {self._url}", tile.path(), "nothing")
        return data

    def read_contents(self, first: int, end: int) -> Mapping[int, Content]:
        found: dict[int, Content] = {}
        while self._has_token and first < end:
            data = self._get(f"/content?first={first}&end={end}")
            if data is None:
                raise MalformedInput(f"log at {self._url}", "the content of entries", "nothing")
            contents, after = _parse_contents(data, first, end)
            found |= contents
            first = after
        return found

    def find_entries(self, request_id: Bytes32) -> Sequence[int] | None:
        if not self._has_token:
            return None
        data = self._get(f"/entries?request_id={to_hex(request_id)}")
        return None if data is None else _parse_entries(data)


def _parse_content(data: bytes) -> Content:
    try:
        return content_from_json(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise MalformedInput("content of an entry", "JSON", str(error)[:80]) from error


def _parse_contents(data: bytes, first: int, end: int) -> tuple[dict[int, Content], int]:
    """Contents by index, and where the answer ends: at least one entry further on, or a log could keep an auditor asking for ever."""
    try:
        document = require_fields(json.loads(data), "contents", {"contents", "next"})
        after = parse_uint(document["next"], "contents.next", 53)
        contents = {int(index): content_from_json(item) for index, item in document["contents"].items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise MalformedInput("contents", "an object of contents by index", str(error)[:80]) from error
    if not first < after <= end or any(not first <= index < after for index in contents):
        raise MalformedInput("contents", f"those of entries {first} to {end - 1}", f"others, or next = {after}")
    return contents, after


def _parse_entries(data: bytes) -> list[int]:
    try:
        return [parse_uint(item["index"], "index", 53) for item in json.loads(data)["entries"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedInput("the log's list of entries", '{"entries":[{"index":…}]}', str(error)[:80]) from error


def open_source(location: str, token: str | None = None) -> DirectorySource | HttpSource:
    """A directory's path or an http(s) URL."""
    return HttpSource(location, token) if location.startswith(("http://", "https://")) else DirectorySource(Path(location))
