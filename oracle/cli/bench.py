"""`affidavit bench`: tables of what things cost on this machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Bench(StrEnum):
    GAS = "gas"
    INFERENCE = "inference"
    LINE = "line"
    PROOFS = "proofs"


def bench(
    names: Annotated[
        list[Bench] | None, typer.Argument(metavar="[gas] [inference] [line] [proofs]", help="All but proofs where left out.")
    ] = None,
    without_ezkl: Annotated[bool, typer.Option("--without-ezkl", help="proofs: ours alone; nothing is installed.")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="proofs: this model or sweep; may be repeated.")] = None,
) -> None:
    """Measure gas per delivery, latency of an inference, requests per second through the whole line; what proofs cost, beside ezkl."""
    from oracle.bench.tables import run, show_proofs

    chosen = list(names or [])
    if Bench.PROOFS not in chosen or len(chosen) > 1:
        run([name.value for name in chosen if name is not Bench.PROOFS])
    if Bench.PROOFS in chosen:
        show_proofs(only or (), not without_ezkl)
