"""`affidavit audit bundle`: the evidence of one call, to be verified by somebody else, elsewhere, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oracle.cli.audit import AnchorKey, Log, TokenFile, Vkey, open_auditor_of, parse_subject
from oracle.cli.console import working, write_note
from oracle.cli.options import Deployment, Rpc


def bundle(
    subject: Annotated[str, typer.Argument(metavar="REQUEST_ID|INDEX", help="A call, or any record of it; or a record of no call.")],
    out: Annotated[Path, typer.Option("--out", help="A new directory, or a new file that ends in .zip.", metavar="DIR|FILE.zip")],
    log: Log,
    vkey: Vkey,
    rpc: Rpc,
    deployment: Deployment,
    anchor_key: AnchorKey = None,
    token_file: TokenFile = None,
    with_content: Annotated[
        bool,
        typer.Option("--with-content", help="Take inputs, outputs, signatures and sealed fields along, as far as the token shows them."),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Of the content, only this field; may be repeated. Implies --with-content.", metavar="NAME"),
    ] = None,
) -> None:
    """Write an evidence bundle, which verifies offline with the script inside it. Nothing that does not hold is written."""
    from oracle.audit.bundle import Disclosed, make_bundle
    from oracle.encoding import parse_address
    from oracle.pipeline.bundle import open_place, write_bundle

    with working("Taking evidence"):
        auditor = open_auditor_of(log, vkey, rpc, deployment, anchor_key, token_file)
        key = None if anchor_key is None else parse_address(anchor_key, "--anchor-key")
        place = open_place(auditor, rpc, deployment, key)
        disclosed = Disclosed(with_content or bool(only), frozenset(only or ()))
        files = make_bundle(place, parse_subject(subject), disclosed)
        write_bundle(files, out)
    write_note(f"{len(files)} files in {out}; python3 verify.py in it says whether they hold")
