"""`affidavit bench`: tables of what things cost on this machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Bench(StrEnum):
    AUDIT = "audit"
    GAS = "gas"
    INFERENCE = "inference"
    LINE = "line"
    PAGES = "pages"
    PROOFS = "proofs"
    RESTARTS = "restarts"


LONG = (Bench.AUDIT, Bench.PAGES, Bench.PROOFS, Bench.RESTARTS)


def bench(
    names: Annotated[
        list[Bench] | None,
        typer.Argument(metavar=" ".join(f"[{one}]" for one in Bench), help="gas, inference and line where left out."),
    ] = None,
    without_ezkl: Annotated[bool, typer.Option("--without-ezkl", help="proofs: ours alone; nothing is installed.")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="proofs: this model or sweep; may be repeated.")] = None,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="line: with --seconds, requests a second.")] = 10.0,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="line: put a steady load on it, for so long.")] = 0.0,
    records: Annotated[int, typer.Option("--records", min=1000, help="audit, pages: how many records the log is filled with.")] = 1_000_000,
) -> None:
    """Measure gas per delivery, latency of an inference, requests per second through the whole line; log and pages; proofs; restarts."""
    from oracle.bench.tables import run, show_audit, show_load, show_pages, show_proofs, show_restarts

    chosen = list(names or [])
    if seconds and Bench.LINE in chosen:
        chosen.remove(Bench.LINE)
        show_load(rate, seconds)
        if not chosen:
            return
    short = [name for name in chosen if name not in LONG]
    if short or not chosen:
        run([name.value for name in short])
    if Bench.AUDIT in chosen:
        show_audit(records)
    if Bench.PAGES in chosen:
        show_pages(records)
    if Bench.PROOFS in chosen:
        show_proofs(only or (), not without_ezkl)
    if Bench.RESTARTS in chosen:
        show_restarts()
