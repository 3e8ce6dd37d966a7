"""Taking evidence away: tables of what was found, bundles that verify offline, reports on a period."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from oracle.audit.bundle import Place, make_bundle, write_zip
from oracle.audit.table import MEDIA_TYPES, TableFormat, read_rows, write_table
from oracle.encoding import parse_bytes32
from oracle.errors import MalformedInput, RecordUnknown
from oracle.office.desk import Office
from oracle.office.gate import PREFIX, TheOffice, needs
from oracle.office.people import Right
from oracle.office.report import Period, ReportData
from oracle.office.report_collect import Asked, chain_anchors, collect
from oracle.office.routes.answering import ASKED, refusals
from oracle.office.routes.overview import period_of
from oracle.office.routes.records import TheFilter
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


# ---- tables ----------------------------------------------------------------------------------------------------------------------------
CHUNK_BYTES = 1 << 16
_TABLES = {
    media.partition(";")[0]: {"schema": {"type": "string", **({"format": "binary"} if form is TableFormat.PARQUET else {})}}
    for form, media in MEDIA_TYPES.items()
}


@router.get(
    "/export", summary="A table of records", response_class=Response, responses={200: {"content": _TABLES}, **refusals(*ASKED, 409)}
)
def export(
    _caller: MayExport, office: TheOffice, wanted: TheFilter, format: Annotated[TableFormat, Query(description="What to write.")]
) -> StreamingResponse:
    """Every record that the filters of /records find, oldest first, each held against the tree before any of it leaves."""
    view = office.reader.view()
    office.catch_up(view)
    file = tempfile.TemporaryFile(prefix="affidavit-export-")  # noqa: SIM115 - closed by the answer
    try:
        write_table(read_rows(office.index, view, office.index.matching(wanted)), format, file, view.checkpoint, wanted)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    headers = {"content-disposition": f'attachment; filename="records.{format}"'}
    return StreamingResponse(read_chunks(file), media_type=MEDIA_TYPES[format], headers=headers)


def read_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Its content in pieces; closes it at the end, also where nobody reads on."""
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


# ---- reports ---------------------------------------------------------------------------------------------------------------------------
MEDIA = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
"""A report carries its own styles and runs nothing."""


@router.get(
    "/reports",
    summary="A report on a period",
    response_class=Response,
    responses={
        200: {
            "content": {
                "text/html": {"schema": {"type": "string"}},
                "application/pdf": {"schema": {"type": "string", "format": "binary"}},
            }
        },
        **refusals(*ASKED, 409),
    },
)
def report(
    _caller: MayExport,
    office: TheOffice,
    start: Annotated[str | None, Query(alias="from", max_length=40, description="RFC 3339; a week before `to` where left out.")] = None,
    end: Annotated[str | None, Query(alias="to", max_length=40, description="RFC 3339; now where left out.")] = None,
    format: Annotated[Literal["html", "pdf"], Query(description="What to write.")] = "html",
) -> Response:
    """Volumes, verdicts, completeness, samples, reviews, incidents, and the proof material of a period. Nothing sealed is in it."""
    first, last = period_of(start, end, office.clock.now())
    content = write_report(report_data(office, Period(first, last)), format)
    headers = {
        "content-disposition": f'attachment; filename="report-{first:%Y-%m-%d}-{last:%Y-%m-%d}.{format}"',
        "content-security-policy": REPORT_POLICY,
    }
    return Response(content, media_type=MEDIA[format], headers=headers)


def write_report(data: ReportData, format: Literal["html", "pdf"]) -> bytes:
    """Imported at need: setting pages takes much that nothing else here does."""
    if format == "html":
        from oracle.office.report_html import write_html

        return write_html(data)
    from oracle.office.report_pdf import write_pdf

    return write_pdf(data)


def report_data(office: Office, period: Period) -> ReportData:
    """Read and counted from the log, its index and its chain, as of now. Raises AuditFailed where a record is not in the tree."""
    completeness = office.judging.report(office)
    anchors = chain_anchors(office.desk.chain, office.anchors(), office.public.audit_anchor, period) if office.public.log_id else None
    asked = Asked(period, office.clock.now(), witnesses=office.witness_text())
    return collect(asked, office.reader.view(), office.index, completeness, anchors)
