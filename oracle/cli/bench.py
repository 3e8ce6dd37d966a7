"""`affidavit bench`: tables of what things cost on this machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Bench(StrEnum):
    GAS = "gas"
    INFERENCE = "inference"
    LINE = "line"


def bench(
    names: Annotated[list[Bench] | None, typer.Argument(metavar="[gas] [inference] [line]", help="All where left out.")] = None,
) -> None:
    """Measure gas per delivery, latency of an inference, and requests per second through the whole line."""
    from oracle.bench.tables import run

    run([name.value for name in names or []])
