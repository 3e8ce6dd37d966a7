"""`affidavit audit report` and `incident`: what a period was like, for people who read documents, and what went wrong in it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from oracle.cli.audit import AnchorKey, Log, Vkey
from oracle.cli.audit_search import IndexPlace, OptionalDeployment, OptionalRpc
from oracle.cli.console import progress, working, write_note

if TYPE_CHECKING:
    from datetime import datetime

    from oracle.office.report import Anchors, Period, ReportData
    from oracle.pipeline.searching import OnChain


class ReportFormat(StrEnum):
    HTML = "html"
    PDF = "pdf"


Step = Literal["opened", "reported", "closed"]
Gravity = Literal["serious", "death", "critical_infrastructure", "widespread_infringement"]
"""As `oracle.audit.incidents` has them, which is not imported before it is needed."""


def report(
    log: Log,
    vkey: Vkey,
    start: Annotated[str, typer.Option("--from", help="Start of the period (RFC 3339, or a day, UTC).", metavar="TIME")],
    end: Annotated[str, typer.Option("--to", help="Its end, which is not in it.", metavar="TIME")],
    out: Annotated[Path, typer.Option("--out", help="A new file.", metavar="FILE")],
    format: Annotated[ReportFormat, typer.Option("--format", help="What to write.")] = ReportFormat.HTML,
    rpc: OptionalRpc = None,
    deployment: OptionalDeployment = None,
    anchor_key: AnchorKey = None,
    organisation: Annotated[str, typer.Option("--organisation", help="Whose report it is, for its head.", metavar="NAME")] = "",
    as_of: Annotated[str | None, typer.Option("--as-of", help="The moment that it is made at; now where left out.", metavar="TIME")] = None,
    index: IndexPlace = None,
) -> None:
    """Write a report on a period: volumes, verdicts, completeness, reviews, incidents, and the proof material. Nothing sealed is in it."""
    from oracle.audit.completeness import Limits
    from oracle.errors import ConfigRejected
    from oracle.office.report import Period
    from oracle.office.report_collect import Asked, collect
    from oracle.pipeline.searching import open_searcher
    from oracle.seams import SystemClock

    if out.exists():
        raise ConfigRejected(f"file {out}", "a new one", "one that is there")
    period = Period(_moment(start, "--from"), _moment(end, "--to"))
    made = SystemClock().now() if as_of is None else _moment(as_of, "--as-of")
    with progress() as on_progress:
        searcher = open_searcher(log, vkey, index, None, on_progress)
    with working("Counting"):
        chain = _open_chain(rpc, deployment, vkey, anchor_key)
        completeness = searcher.completeness(made, Limits(), chain)
        anchors = _anchors(chain, deployment, period)
        data = collect(Asked(period, made, organisation), searcher.view, searcher.index, completeness, anchors)
    with working("Writing"):
        out.write_bytes(_write(data, format))
    write_note(f"{data.records} records of the period in {out}")


def _moment(text: str, option: str) -> datetime:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("a time as in RFC 3339, or a day", param_hint=option) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _open_chain(rpc: list[str] | None, deployment: Path | None, vkey: str, anchor_key: str | None) -> OnChain | None:
    from oracle.encoding import parse_address
    from oracle.pipeline.searching import open_chain

    if not rpc or deployment is None:
        return None
    return open_chain(rpc, deployment, vkey, None if anchor_key is None else parse_address(anchor_key, "--anchor-key"))


def _anchors(chain: OnChain | None, deployment: Path | None, period: Period) -> Anchors | None:
    from oracle.office.report_collect import chain_anchors
    from oracle.relay.deployment import load_deployment

    if chain is None or chain.log_id is None or deployment is None:
        return None
    return chain_anchors(chain.reader, chain.reader.anchors(chain.log_id), load_deployment(deployment).audit_anchor, period)


def _write(data: ReportData, format: ReportFormat) -> bytes:
    if format is ReportFormat.HTML:
        from oracle.office.report_html import write_html

        return write_html(data)
    from oracle.office.report_pdf import write_pdf

    return write_pdf(data)


def incident(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for the incident; public, the same in every step.")],
    step: Annotated[Step, typer.Option("--step", help="What happened: it was opened, reported to the authority, or closed.")],
    gravity: Annotated[Gravity, typer.Option("--gravity", help="Which clock runs: 15, 10, 2 or 2 days.")],
    aware: Annotated[str, typer.Option("--aware", help="When somebody became aware of it.", metavar="TIME")],
    log: Log,
    writer_token_file: Annotated[Path, typer.Option("--writer-token-file", help="A token of a writer of the log.", metavar="FILE")],
    actor: Annotated[str, typer.Option("--actor", help="Who says so: a pseudonym, public.", metavar="NAME")],
    entry: Annotated[list[int] | None, typer.Option("--entry", min=0, help="An entry it is about; may be repeated.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="What happened, in words; sealed in the log.")] = "",
) -> None:
    """Write a step of a serious incident into the log. Reports then show its clock (AI Act, Article 73)."""
    from oracle.audit import incidents
    from oracle.audit.client import LogClient
    from oracle.config import read_secret
    from oracle.seams import SystemClock

    moment = _moment(aware, "--aware")
    grave, happened = incidents.Gravity(gravity), incidents.IncidentStep(step)
    record = incidents.incident_entry(name, happened, grave, moment, actor, SystemClock().now(), entry or (), reason)
    appended = LogClient(log, read_secret(writer_token_file)).append(record, f"incident:{name}:{step}")
    write_note(f"entry {appended.index}; a report is due {incidents.DAYS[grave]} days after {moment.isoformat()}")
