"""GET /receipt/{index}: a COSE receipt of inclusion (`oracle.audit.cose`), made when it is asked for, of the last published tree."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Response

from oracle.audit.cose import MEDIA_TYPE, make_inclusion_receipt
from oracle.audit.log import Log
from oracle.audit.note import SignerKey
from oracle.audit.source import DirectorySource
from oracle.audit.tiles import subtree_reader
from oracle.audit.tree import compute_inclusion_from
from oracle.errors import LogRefused


def add_receipts(app: FastAPI, log: Log, directory: DirectorySource, signer: SignerKey) -> None:
    """Adds the route to the log's application."""

    @app.get("/receipt/{index}")
    def receipt(index: Annotated[int, Path(ge=0, lt=1 << 53)]) -> Response:
        """A receipt for the entry at an index. 409 where the log refuses to sign, 422 while the tree has one entry."""
        if (refusal := log.refusal) is not None:
            raise LogRefused(refusal.what, refusal.expected, refusal.got)
        if index >= log.checkpoint.size:
            raise HTTPException(404, "no such entry")
        return Response(make_receipt(log, directory, signer, index), media_type=MEDIA_TYPE, headers={"cache-control": "no-cache"})


def make_receipt(log: Log, directory: DirectorySource, signer: SignerKey, index: int) -> bytes:
    """The receipt of an entry below the last published checkpoint's size. Raises ProofRejected for a tree of one entry."""
    checkpoint = log.checkpoint
    read = subtree_reader(checkpoint.size, directory.read_tile)
    path = compute_inclusion_from(index, checkpoint.size, read)
    return make_inclusion_receipt(signer, read(0, index), index, checkpoint.size, path, checkpoint.root)
