"""`affidavit audit search`, `show`, `sample`, `completeness` and `export`: finding records with an index of one's own.

The index is built from the log's tiles, each entry held against the signed root; it lies in a file of this machine and can be deleted.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oracle.cli.audit import AnchorKey, Log, TokenFile, Vkey, parse_subject
from oracle.cli.console import progress, working, write_json, write_note, write_pairs
from oracle.cli.options import Json

if TYPE_CHECKING:
    from datetime import datetime

    from oracle.audit.index import Filter, Found
    from oracle.audit.sample import Drawn
    from oracle.pipeline.searching import OnChain, Searcher
    from oracle.records import Bytes32

IndexPlace = Annotated[
    str | None,
    typer.Option(
        "--index", help="Where the index lies; a file in your cache where left out.", envvar="AFFIDAVIT_INDEX", metavar="FILE|DATABASE_URL"
    ),
]
Text = Annotated[str | None, typer.Option("--text", help="Words that all stand in the record's public text.", metavar="WORDS")]
Kind = Annotated[str | None, typer.Option("--kind", help="intent, result, error, receipt, anchor, clock …", metavar="KIND")]
Writer = Annotated[str | None, typer.Option("--writer", help="Who wrote the record.", metavar="NAME")]
Model = Annotated[str | None, typer.Option("--model", help="Model of the call, by name or id.", metavar="NAME|ID")]
Caller = Annotated[str | None, typer.Option("--caller", help="Who asked: a pseudonym or an address.", metavar="NAME|ADDRESS")]
OutcomeOption = Annotated[
    str | None, typer.Option("--outcome", help="How the call ended: ok, error, refused, cancelled, or open.", metavar="WORD")
]
VerdictOption = Annotated[
    str | None,
    typer.Option("--verdict", help="How it was verified: unverified, signed, attested, proven, rejected, replaced.", metavar="WORD"),
]
Evidence = Annotated[
    str | None, typer.Option("--evidence", help="What was delivered with it: none, quorum, proof, quorum+proof, enclave.", metavar="WORD")
]
CallId = Annotated[str | None, typer.Option("--call", help="Id of a call or request.", metavar="ID")]
Hash = Annotated[str | None, typer.Option("--hash", help="Any digest, id or address in the record, or its leaf hash.", metavar="HEX")]
Transaction = Annotated[str | None, typer.Option("--transaction", help="Transaction the record tells of.", metavar="HASH")]
From = Annotated[str | None, typer.Option("--from", help="Not before this time (RFC 3339, or a day, UTC).", metavar="TIME")]
To = Annotated[str | None, typer.Option("--to", help="Before this time.", metavar="TIME")]
OptionalRpc = Annotated[
    list[str] | None,
    typer.Option("--rpc", help="JSON-RPC endpoint of the chain, to look at it.", envvar="AFFIDAVIT_RPC", metavar="URL"),
]
OptionalDeployment = Annotated[
    Path | None,
    typer.Option("--deployment", help="deployment.json with the contracts' addresses.", envvar="AFFIDAVIT_DEPLOYMENT", metavar="FILE"),
]


def _moment(text: str | None, option: str) -> datetime | None:
    from datetime import UTC, datetime

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("a time as in RFC 3339, or a day", param_hint=option) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _open(log: str, vkey: str, index: str | None, token_file: Path | None, kept: Path | None = None) -> Searcher:
    from oracle.config import read_secret
    from oracle.errors import ConfigRejected
    from oracle.pipeline.searching import open_searcher

    token = None if token_file is None else read_secret(token_file)
    try:
        note = None if kept is None else kept.read_bytes()
    except OSError as error:
        raise ConfigRejected(f"checkpoint {kept}", "a file that can be read", str(error)) from error
    with progress() as on_progress:
        return open_searcher(log, vkey, index, token, on_progress, note)


def _open_chain(rpc: list[str] | None, deployment: Path | None, vkey: str, anchor_key: str | None) -> OnChain | None:
    from oracle.encoding import parse_address
    from oracle.pipeline.searching import open_chain

    if not rpc or deployment is None:
        return None
    return open_chain(rpc, deployment, vkey, None if anchor_key is None else parse_address(anchor_key, "--anchor-key"))


# ---- searching ------------------------------------------------------------------------------------------------------------------------
def search(
    log: Log,
    vkey: Vkey,
    text: Text = None,
    kind: Kind = None,
    writer: Writer = None,
    model: Model = None,
    caller: Caller = None,
    outcome: OutcomeOption = None,
    verdict: VerdictOption = None,
    evidence: Evidence = None,
    call: CallId = None,
    hash: Hash = None,
    transaction: Transaction = None,
    start: From = None,
    end: To = None,
    before: Annotated[int | None, typer.Option("--before", min=0, help="Only records below this index: the next page.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many records to show.")] = 50,
    index: IndexPlace = None,
    json: Json = False,
) -> None:
    """Find records; options together narrow, newest first."""
    from oracle.audit.index import Filter

    wanted = Filter(
        kind,
        writer,
        model,
        caller,
        outcome,
        verdict,
        evidence,
        call,
        hash,
        transaction,
        text,
        _moment(start, "--from"),
        _moment(end, "--to"),
    )
    searcher = _open(log, vkey, index, None)
    page = searcher.index.search(wanted, before, limit)
    if json:
        write_json({"size": searcher.view.size, "total": page.total, "next": page.next, "items": [asdict(item) for item in page.items]})
        return
    _write_found(page.items)
    write_note(f"{len(page.items)} of {'many' if page.total is None else page.total} records that match, in a log of {searcher.view.size}")
    if page.next is not None:
        write_note(f"the next page: --before {page.next}")


def _write_found(items: tuple[Found, ...]) -> None:
    """Aligned columns, as wide as they are: a record's place is of no use cut."""
    from oracle.printing import printable

    rows = [("index", "time", "kind", "writer", "model", "caller", "outcome", "verdict", "ms")]
    rows += [
        (str(i.index), i.time[:19], i.kind, i.writer, i.model or "", i.caller or "", i.outcome or "", i.verdict or "", _milliseconds(i))
        for i in items
    ]
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _milliseconds(item: Found) -> str:
    return "" if item.latency_microseconds is None else f"{item.latency_microseconds / 1000:.0f}"


def show(
    subject: Annotated[str, typer.Argument(metavar="INDEX|CALL_ID", help="A record, or the id of a call or request.")],
    log: Log,
    vkey: Vkey,
    index: IndexPlace = None,
    token_file: TokenFile = None,
    json: Json = False,
) -> None:
    """Tell a call in plain words: what was asked, of which model, how it ended, how it was verified, and every field of its records."""
    from oracle.audit.plainwords import tell_call, tell_record

    searcher = _open(log, vkey, index, token_file)
    records = searcher.subject(parse_subject(subject))
    found = searcher.index.show([records[0].index])[0]
    contents = {logged.index: searcher.view.content(logged) for logged in records}
    if json:
        _write_call_json(searcher, found, records, contents)
        return
    write_pairs(tell_call(found, records))
    for logged in [records[0]] if subject.isdigit() else records:
        typer.echo(f"\nrecord {logged.index}, in the tree of {searcher.view.size}")
        write_pairs((f"  {name}", value) for name, value in tell_record(logged, contents[logged.index]))


def _write_call_json(searcher: Searcher, found: Found, records: Any, contents: Any) -> None:
    import json

    from oracle.audit.content import content_to_json
    from oracle.encoding import to_hex

    def of(logged: Any) -> dict[str, Any]:
        content = contents[logged.index]
        record = json.loads(searcher.view.read_bytes(logged.index))
        told = {"index": logged.index, "leaf_hash": to_hex(logged.leaf_hash), "record": record}
        return told | ({} if content is None else {"content": content_to_json(content)})

    write_json({"size": searcher.view.size, **asdict(found), "records": [of(logged) for logged in sorted(records, key=lambda r: r.index)]})


# ---- samples --------------------------------------------------------------------------------------------------------------------------
def sample(
    log: Log,
    vkey: Vkey,
    size: Annotated[int, typer.Option("--size", min=1, max=100_000, help="How many entries to draw.")],
    seed: Annotated[str | None, typer.Option("--seed", help="32 bytes in hex; random where no seed is given.", metavar="HEX")] = None,
    seed_from_anchor: Annotated[
        bool, typer.Option("--seed-from-anchor", help="The hash of the block whose anchor first covers the log's checkpoint.")
    ] = False,
    seed_from_block: Annotated[
        int | None, typer.Option("--seed-from-block", min=0, help="The hash of this block, mined after the newest entry.", metavar="NUMBER")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Draw from the log as it was at a checkpoint that was kept.", metavar="FILE")
    ] = None,
    text: Text = None,
    kind: Kind = None,
    writer: Writer = None,
    model: Model = None,
    caller: Caller = None,
    outcome: OutcomeOption = None,
    verdict: VerdictOption = None,
    evidence: Evidence = None,
    start: From = None,
    end: To = None,
    rpc: OptionalRpc = None,
    deployment: OptionalDeployment = None,
    anchor_key: AnchorKey = None,
    index: IndexPlace = None,
    json: Json = False,
) -> None:
    """Draw entries at random, so that anybody can draw the same again."""
    from oracle.audit.index import Filter

    if sum((seed is not None, seed_from_anchor, seed_from_block is not None)) > 1:
        raise typer.BadParameter("only one of --seed, --seed-from-anchor and --seed-from-block")
    wanted = Filter(
        kind, writer, model, caller, outcome, verdict, evidence, text=text, start=_moment(start, "--from"), end=_moment(end, "--to")
    )
    searcher = _open(log, vkey, index, None, checkpoint)
    chain = _open_chain(rpc, deployment, vkey, anchor_key) if seed_from_anchor or seed_from_block is not None else None
    chosen, source = _choose_seed(searcher, chain, seed, seed_from_anchor, seed_from_block)
    _write_drawn(searcher, searcher.draw(wanted, size, chosen), source, json)


def _choose_seed(
    searcher: Searcher, chain: OnChain | None, seed: str | None, is_from_anchor: bool, block: int | None
) -> tuple[Bytes32 | None, str]:
    from oracle.encoding import parse_bytes32
    from oracle.pipeline.searching import seed_from_anchor, seed_from_block

    if seed is not None:
        return parse_bytes32(seed if seed.startswith("0x") else "0x" + seed, "--seed"), "given"
    if not is_from_anchor and block is None:
        return None, "random"
    if chain is None:
        raise typer.BadParameter("needed for a seed from the chain", param_hint="--rpc and --deployment")
    if block is not None:
        return seed_from_block(searcher.view, chain, block), f"block {block}"
    chosen, number = seed_from_anchor(searcher.view, chain)
    return chosen, f"block {number}, of the first anchor that covers the checkpoint"


def _write_drawn(searcher: Searcher, drawn: Drawn, source: str, json: bool) -> None:
    if json:
        write_json(drawn.to_json() | {"seed_source": source})
        return
    value = drawn.to_json()
    write_pairs((name, value[name]) for name in ("origin", "size", "root", "seed", "population", "population_digest"))
    write_pairs([("seed from", source), ("filter", " ".join(f"{k}={v}" for k, v in value["filter"].items()) or "none")])
    _write_found(tuple(searcher.index.show(drawn.indices)))


# ---- completeness -----------------------------------------------------------------------------------------------------------------------
def completeness(
    log: Log,
    vkey: Vkey,
    rpc: OptionalRpc = None,
    deployment: OptionalDeployment = None,
    anchor_key: AnchorKey = None,
    intent_seconds: Annotated[int, typer.Option(min=0, help="After this an intent without result or error is a gap.")] = 3600,
    receipt_seconds: Annotated[int, typer.Option(min=0, help="After this a delivery without a receipt record is a gap.")] = 600,
    anchor_seconds: Annotated[int, typer.Option(min=0, help="After this an entry without an anchor is a gap.")] = 3600,
    clock_seconds: Annotated[int, typer.Option(min=0, help="A longer time between two clock records is a doubt.")] = 7200,
    skew_seconds: Annotated[int, typer.Option(min=0, help="A larger difference between a writer's clock and the log's is a doubt.")] = 5,
    require_complete: Annotated[bool, typer.Option("--require-complete", help="End with 2 also where only doubts are left.")] = False,
    index: IndexPlace = None,
    json: Json = False,
) -> None:
    """Say whether anything is missing, as far as numbers, links and the chain tell; gaps end with exit code 2."""
    from oracle.audit.completeness import Limits, Verdict, describe
    from oracle.seams import SystemClock

    limits = Limits(intent_seconds, receipt_seconds, anchor_seconds, clock_seconds, skew_seconds)
    searcher = _open(log, vkey, index, None)
    with working("Looking for gaps"):
        report = searcher.completeness(SystemClock().now(), limits, _open_chain(rpc, deployment, vkey, anchor_key))
    if json:
        write_json(report.to_json())
    else:
        for line in describe(report):
            typer.echo(line)
    if report.verdict is Verdict.GAPS or (require_complete and report.verdict is not Verdict.COMPLETE):
        raise typer.Exit(2)


# ---- export -----------------------------------------------------------------------------------------------------------------------------
def export(
    log: Log,
    vkey: Vkey,
    directory: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="A new or empty directory, for a copy of the log.")] = None,
    request_id: Annotated[str | None, typer.Option("--request", help="Only this call's proofs and bodies.", metavar="REQUEST_ID")] = None,
    table: Annotated[
        str | None, typer.Option("--format", help="Instead of a copy, a table: csv, jsonl or parquet.", metavar="FORMAT")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The table's file; standard output where left out.", metavar="FILE")] = None,
    token_file: TokenFile = None,
    text: Text = None,
    kind: Kind = None,
    writer: Writer = None,
    model: Model = None,
    caller: Caller = None,
    outcome: OutcomeOption = None,
    verdict: VerdictOption = None,
    evidence: Evidence = None,
    start: From = None,
    end: To = None,
    index: IndexPlace = None,
) -> None:
    """Copy a log, or one call's proofs, to verify without its operator; or write records that match into a table."""
    from oracle.audit.index import Filter

    if (directory is None) == (table is None):
        raise typer.BadParameter("a directory for a copy, or --format for a table")
    wanted = Filter(
        kind, writer, model, caller, outcome, verdict, evidence, text=text, start=_moment(start, "--from"), end=_moment(end, "--to")
    )
    if directory is not None:
        if wanted != Filter() or out is not None:
            raise typer.BadParameter("a copy of a log is of all of it: filters and --out belong to tables")
        _export_copy(log, vkey, token_file, request_id, directory)
    else:
        _export_table(_open(log, vkey, index, token_file), wanted, str(table), out)


def _export_copy(log: str, vkey: str, token_file: Path | None, request_id: str | None, directory: Path) -> None:
    from oracle.audit.export import export_call, export_log
    from oracle.audit.note import parse_vkey
    from oracle.audit.source import open_source
    from oracle.audit.view import LogView
    from oracle.config import read_secret
    from oracle.encoding import parse_bytes32

    token = None if token_file is None else read_secret(token_file)
    only = None if request_id is None else parse_bytes32(request_id, "request id")
    with working("Exporting"):
        view = LogView(open_source(log, token), parse_vkey(vkey))
        count = export_log(view, directory) if only is None else len(export_call(view, only, directory))
    write_note(f"{count} entries in {directory}")


def _export_table(searcher: Searcher, wanted: Filter, name: str, out: Path | None) -> None:
    import sys
    from contextlib import nullcontext

    from oracle.audit.table import TableFormat, read_rows, write_table
    from oracle.errors import StoreError

    if name not in set(TableFormat):
        raise typer.BadParameter("one of " + ", ".join(TableFormat), param_hint="--format")
    rows = read_rows(searcher.index, searcher.view, searcher.index.matching(wanted).tolist())
    try:
        with out.open("wb") if out else nullcontext(sys.stdout.buffer) as file:
            count = write_table(rows, TableFormat(name), file, searcher.view.checkpoint, wanted)
    except OSError as error:
        raise StoreError(f"cannot write {out or 'standard output'}") from error
    write_note(f"{count} records")
