"""`affidavit audit receipt`: a COSE receipt (RFC 9942) for one entry, fetched and verified, or one that was kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oracle.cli.audit import Log, Vkey
from oracle.cli.console import write_note


def receipt(
    index: Annotated[int, typer.Argument(metavar="INDEX", min=0, help="The entry's index.")],
    log: Log,
    vkey: Vkey,
    out: Annotated[Path | None, typer.Option("--out", help="Fetch a receipt from the log's URL and write it here.", metavar="FILE")] = None,
    verify: Annotated[Path | None, typer.Option("--verify", help="Verify this receipt instead.", metavar="FILE")] = None,
    record: Annotated[
        Path | None, typer.Option("--record", help="The entry's bytes; read from the log where not given.", metavar="FILE")
    ] = None,
) -> None:
    """Fetch a receipt of inclusion and verify it before it is written, or verify one against the entry it is for."""
    from oracle.pipeline.receipts import fetch_receipt, verify_receipt

    if out is not None and verify is None:
        found = fetch_receipt(log, vkey, index, out, record)
    elif verify is not None and out is None:
        found = verify_receipt(log, vkey, index, verify, record)
    else:
        raise typer.BadParameter("give either --out or --verify")
    write_note(f"entry {index} is in the tree of {found.size} entries that {found.origin} signed")
