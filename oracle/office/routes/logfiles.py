"""The log's public files, forwarded, so that a browser verifies by itself from the origin it may talk to."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Response

from oracle.audit.tiles import parse_path
from oracle.errors import MalformedInput
from oracle.office.gate import TheOffice
from oracle.office.routes.answering import refusals

router = APIRouter(prefix="/log", tags=["office"])

_IMMUTABLE = "public, max-age=31536000, immutable"
_TEXT: dict[int | str, dict[str, object]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
_BYTES: dict[int | str, dict[str, object]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("/checkpoint", summary="The log's checkpoint", response_class=Response, responses={**_TEXT, **refusals(503)})
def checkpoint(office: TheOffice) -> Response:
    """The newest signed checkpoint (c2sp.org/tlog-checkpoint)."""
    note = office.desk.log.read_checkpoint()
    return Response(note, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-cache"})


@router.get("/witnessed", summary="The checkpoint with its witnesses", response_class=Response, responses={**_TEXT, **refusals(404, 503)})
def witnessed(office: TheOffice) -> Response:
    """The newest checkpoint that enough witnesses cosigned (c2sp.org/tlog-cosignature)."""
    if (note := office.desk.log.read_witnessed()) is None:
        raise HTTPException(404, "no checkpoint was cosigned by enough witnesses")
    return Response(note, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-cache"})


@router.get("/tile/{path:path}", summary="A tile of the log", response_class=Response, responses={**_BYTES, **refusals(404, 503)})
def tile(path: str, office: TheOffice) -> Response:
    """One tile or entry bundle, exactly as its path says (c2sp.org/tlog-tiles)."""
    try:
        data = office.desk.log.read_tile(parse_path(f"tile/{path}"))
    except MalformedInput as error:
        raise HTTPException(404, "no such tile") from error
    return Response(data, media_type="application/octet-stream", headers={"cache-control": _IMMUTABLE})
