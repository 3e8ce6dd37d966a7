"""The log's HTTP door. Reading is the static files of C2SP tlog-tiles; writing is one route.

POST /append, /batch             writer's token; answers when a signed checkpoint covers the entry, or all of a batch
POST /calls, /calls/{id}/…       writer's token; model calls of other people's applications (`calls_door`)
GET  /checkpoint, /tile/…        everybody; tiles never change and may be cached for ever
GET  /witnessed                  everybody; the newest checkpoint that enough witnesses cosigned
GET  /proof/{index}              everybody; a `.tlog-proof` with the record as extra data
GET  /entries?request_id=0x…     reader's token; where the records of a call are (a hint: an auditor checks the links)
GET  /content?first=&end=        reader's token; sealed fields and bodies of entries. Who read what is a record before it leaves
GET  /health /ready /metrics     everybody
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Path, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from oracle.audit.access import OWN_WRITER, Access
from oracle.audit.calls_door import add_calls
from oracle.audit.content import Content, ContentState, content_to_json
from oracle.audit.log import Log
from oracle.audit.metrics import LogMetrics
from oracle.audit.proof import LogProof, write_proof
from oracle.audit.record import MAX_BODY_BYTES, entry_from_json
from oracle.audit.source import DirectorySource
from oracle.audit.tiles import ENTRIES, WIDTH, parse_bundle, parse_path, subtree_reader, tile_at
from oracle.audit.tree import compute_inclusion_from
from oracle.encoding import parse_bytes32, to_hex
from oracle.errors import AffidavitError, LogRefused, MalformedInput
from oracle.http import BodyLimit, install_errors
from oracle.records import Appended, Entry, EntryKind, FieldValue
from oracle.seams import format_time
from oracle.wire import require_fields

MAX_REQUEST_BYTES = 4 * MAX_BODY_BYTES
MAX_CONTENT_BYTES = 8 * MAX_BODY_BYTES
_IMMUTABLE = "public, max-age=31536000, immutable"
Authorization = Annotated[str | None, Header(include_in_schema=False)]


def appended_to_json(appended: Appended) -> dict[str, Any]:
    return {"index": appended.index, "leaf_hash": to_hex(appended.leaf_hash), "tree_size": appended.tree_size}


def make_app(log: Log, directory: DirectorySource, access: Access, metrics: LogMetrics) -> FastAPI:
    """The application of one running log."""
    app = FastAPI(title="Affidavit audit log", version="1", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, limit=MAX_REQUEST_BYTES)
    install_errors(app)
    _add_writing(app, log, access, metrics)
    add_calls(app, log, access, metrics)
    _add_static(app, directory)
    _add_reading(app, log, directory, access)
    _add_operations(app, log, metrics)
    return app


def _add_writing(app: FastAPI, log: Log, access: Access, metrics: LogMetrics) -> None:
    @app.post("/append")
    async def append(request: Request, authorization: Authorization = None) -> dict[str, Any]:
        """Body: {"key": string or null, "entry": {"kind", "time", "fields", "bodies", …}}. A repeated key answers with the first place."""
        writer = access.writer(authorization)
        entry, key = _read_item(_parse_json(await request.body()), "append")
        access.require_scope(writer, entry)
        try:
            appended = await asyncio.wrap_future(log.submit(writer, entry, key))
        except AffidavitError as error:
            metrics.appends.labels(entry.kind, type(error).__name__).inc()
            raise
        metrics.appends.labels(entry.kind, "ok").inc()
        return appended_to_json(appended)

    @app.post("/batch")
    async def batch(request: Request, authorization: Authorization = None) -> dict[str, Any]:
        """Body: {"items": [{"key", "entry"}, …]}, 1 to 1,024 of them. They stand one after the other and are durable together.

        Where one is refused for what it is, none is written; where a key was used for another entry, the others are.
        """
        writer = access.writer(authorization)
        body = require_fields(_parse_json(await request.body()), "batch", {"items"})
        if not isinstance(body["items"], list):
            raise MalformedInput("batch.items", "a list", type(body["items"]).__name__)
        items = [_read_item(item, f"item {number}") for number, item in enumerate(body["items"])]
        for entry, _key in items:
            access.require_scope(writer, entry)
        appended = await asyncio.wrap_future(log.submit_batch(writer, items))
        for entry, _key in items:
            metrics.appends.labels(entry.kind, "ok").inc()
        return {"items": [appended_to_json(place) for place in appended]}


def _read_item(value: object, what: str) -> tuple[Entry, str | None]:
    body = require_fields(value, what, {"key", "entry"})
    if body["key"] is not None and not isinstance(body["key"], str):
        raise MalformedInput(f"{what}.key", "a string or null", type(body["key"]).__name__)
    entry = require_fields(body["entry"], "entry", {"kind", "time", "fields", "bodies"}, {"sealed", "subject", "retention"})
    return entry_from_json(entry), body["key"]


def _parse_json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedInput("body", "JSON", str(error)[:80]) from error


def _add_static(app: FastAPI, directory: DirectorySource) -> None:
    @app.get("/checkpoint")
    def checkpoint() -> Response:
        """The last signed checkpoint."""
        headers = {"cache-control": "no-cache"}
        return Response(directory.read_checkpoint(), media_type="text/plain; charset=utf-8", headers=headers)

    @app.get("/witnessed")
    def witnessed() -> Response:
        """The newest checkpoint that satisfied the log's witness policy; `/checkpoint` is often a moment ahead of it."""
        if (note := directory.read_witnessed()) is None:
            raise HTTPException(404, "no checkpoint was cosigned by enough witnesses")
        return Response(note, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-cache"})

    @app.get("/tile/{path:path}")
    def tile(path: str, accept_encoding: Annotated[str, Header()] = "") -> Response:
        """One tile or entry bundle, exactly as its path says."""
        try:
            wanted = parse_path(f"tile/{path}")
            data = (directory.directory / wanted.path()).read_bytes()
        except (MalformedInput, FileNotFoundError) as error:
            raise HTTPException(404, "no such tile") from error
        headers = {"cache-control": _IMMUTABLE, "vary": "accept-encoding"}
        if wanted.level == ENTRIES and "gzip" in accept_encoding:
            data, headers["content-encoding"] = gzip.compress(data, 6, mtime=0), "gzip"
        return Response(data, media_type="application/octet-stream", headers=headers)


def _add_reading(app: FastAPI, log: Log, directory: DirectorySource, access: Access) -> None:
    @app.get("/proof/{index}")
    def proof(index: Annotated[int, Path(ge=0, lt=1 << 53)]) -> Response:
        """The record at an index with its inclusion proof and the checkpoint it leads to (c2sp.org/tlog-proof)."""
        if index >= log.checkpoint.size:
            raise HTTPException(404, "no such entry")
        return Response(make_proof(log, directory, index), media_type="text/plain; charset=utf-8", headers={"cache-control": "no-cache"})

    @app.get("/entries")
    def entries(request_id: Annotated[str, Query(pattern="^0x[0-9a-fA-F]{64}$")], authorization: Authorization = None) -> dict[str, Any]:
        """Where the records of one call are, oldest first."""
        access.reader(authorization)
        size = log.checkpoint.size
        found = log.entries.entries_of(parse_bytes32(request_id, "request_id"), size)
        return {"size": size, "entries": [{"index": index, "leaf_hash": to_hex(leaf_hash)} for index, leaf_hash in found]}

    @app.get("/content")
    def content(
        first: Annotated[int, Query(ge=0, lt=1 << 53)], end: Annotated[int, Query(ge=0, lt=1 << 53)], authorization: Authorization = None
    ) -> dict[str, Any]:
        """Sealed fields and bodies of entries `first` to `end` − 1, of those that have any left; `next` says where to go on asking."""
        return read_contents(log, access.reader(authorization), first, end)


def read_contents(log: Log, reader: str, first: int, end: int) -> dict[str, Any]:
    """At most 256 entries and about 8 MiB. The record that says who read is durable before anything is shown.

    Raises MalformedInput for an empty range or one beyond the log.
    """
    size = log.checkpoint.size
    if not first < end <= size:
        raise MalformedInput("first and end", f"first < end ≤ {size}", f"{first} and {end}")
    contents, after = _collect_contents(log, first, min(end, first + WIDTH))
    if contents:
        log.append(OWN_WRITER, reading_entry(reader, sorted(contents), log.now()))
        left = log.custody.states(contents)  # what was erased while that was written is not shown any more
        contents = {index: content for index, content in contents.items() if left[index] is ContentState.PRESENT}
    return {"contents": {str(index): content_to_json(content) for index, content in contents.items()}, "next": after}


def _collect_contents(log: Log, first: int, end: int) -> tuple[dict[int, Content], int]:
    contents: dict[int, Content] = {}
    room = MAX_CONTENT_BYTES
    for index in range(first, end):
        if (content := log.custody.content(index)) is None:
            continue
        room -= sum(map(len, content.bodies.values()))
        if room < 0 and contents:
            return contents, index
        contents[index] = content
    return contents, end


def reading_entry(reader: str, indices: Sequence[int], moment: datetime) -> Entry:
    """Who was shown the content of which entries."""
    fields: dict[str, FieldValue] = {
        "audit.actor": reader,
        "audit.disclosure.action": "read",
        "audit.disclosure.indices": [str(index) for index in indices],
    }
    return Entry(EntryKind.DISCLOSURE, format_time(moment), fields)


def make_proof(log: Log, directory: DirectorySource, index: int) -> bytes:
    """The `.tlog-proof` of an entry below the last published checkpoint's size."""
    checkpoint = log.checkpoint_for(index)
    hashes = compute_inclusion_from(index, checkpoint.size, subtree_reader(checkpoint.size, directory.read_tile))
    bundle = tile_at(ENTRIES, index // WIDTH, checkpoint.size)
    record = parse_bundle(directory.read_tile(bundle), bundle.width)[index % WIDTH]
    return write_proof(LogProof(index, tuple(hashes), checkpoint.note, record))


def _add_operations(app: FastAPI, log: Log, metrics: LogMetrics) -> None:
    @app.get("/health")
    def health() -> dict[str, str]:
        """The process is alive."""
        return {"status": "alive"}

    @app.get("/ready")
    def ready() -> dict[str, Any]:
        """The log takes entries. 409 with the reason once it refuses, 503 while it recovers."""
        if log.refusal is not None:
            raise LogRefused(log.refusal.what, log.refusal.expected, log.refusal.got)
        return {"status": "ready", "origin": log.origin, "size": log.checkpoint.size}

    @app.get("/metrics")
    def scrape() -> Response:
        """Prometheus metrics."""
        if log.refusal is None:
            metrics.size.set(log.checkpoint.size)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    def root() -> dict[str, str]:
        return {"origin": log.origin}
