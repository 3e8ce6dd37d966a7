"""Taking evidence away: tables of what was found, bundles that verify offline, reports on a period."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from oracle.audit.bundle import Place, make_bundle, write_zip
from oracle.encoding import parse_bytes32
from oracle.errors import MalformedInput, RecordUnknown
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.routes.answering import ASKED, refusals
from oracle.office.sessions import Caller
from oracle.office.wire import MAX_INDEX
from oracle.records import Bytes32

router = APIRouter(prefix=PREFIX, tags=["office"])

MayExport = Annotated[Caller, Depends(needs(Right.EXPORT))]
ZIP = "application/zip"


@router.get(
    "/bundle",
    summary="An evidence bundle",
    response_class=Response,
    responses={200: {"content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}}, **refusals(*ASKED, 404, 409)},
)
def bundle(
    _caller: MayExport,
    office: TheOffice,
    call_id: Annotated[str | None, Query(pattern="^0x[0-9a-fA-F]{64}$", description="A call; or `index`.")] = None,
    index: Annotated[int | None, Query(ge=0, le=MAX_INDEX, description="A record, with its call; or `call_id`.")] = None,
) -> Response:
    """Records, proofs and what the chain proves of them, with a script that verifies it all offline. Without content."""
    if (call_id is None) == (index is None):
        raise MalformedInput("bundle", "a call_id or an index", "both" if index is not None else "neither")
    view = office.reader.view()
    subject: Bytes32 | int = parse_bytes32(call_id, "call_id") if call_id is not None else index or 0
    if isinstance(subject, int) and subject >= view.size:
        raise RecordUnknown("entry", f"an index below the log's size {view.size}", subject)
    if not isinstance(subject, int) and not office.reader.source.find_entries(subject):
        raise RecordUnknown("call", "one that this log has records of", call_id)
    place = Place(view, office.desk.chain, office.blocks, office.public.audit_anchor, office.public.anchor_key)
    files = make_bundle(place, subject)
    with tempfile.TemporaryDirectory(prefix="affidavit-bundle-") as folder:
        path = Path(folder) / "bundle.zip"
        write_zip(files, path)
        data = path.read_bytes()
    name = f"call-{call_id[2:14]}" if call_id is not None else f"entry-{index}"
    return Response(data, media_type=ZIP, headers={"content-disposition": f'attachment; filename="evidence-{name}.zip"'})
