"""`affidavit witness`: cosigning what other people's logs grow to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oracle.cli.console import write_json, write_note, write_pairs
from oracle.cli.options import Json, PasswordFile

app = typer.Typer(help="Make and run a witness of logs (c2sp.org/tlog-witness).", no_args_is_help=True)


@app.command("new")
def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the key.")],
    name: Annotated[str, typer.Option("--name", help="The witness's name: a URL without scheme, such as example.org/witness.")],
    password_file: PasswordFile,
    ml_dsa: Annotated[
        bool,
        typer.Option("--ml-dsa", help="An ML-DSA-44 key, safe from quantum computers, instead of Ed25519; not every log reads it yet."),
    ] = False,
    json: Json = False,
) -> None:
    """Make a witness's key, and print the verifier key that logs and auditors put into their policies."""
    from oracle.pipeline.witness import new_witness

    made = new_witness(directory, name, password_file, ml_dsa)
    if json:
        write_json({"vkey": made.vkey, "key_file": str(made.key_file)})
        return
    write_pairs([("vkey", made.vkey), ("key_file", made.key_file)])
    write_note("Publish the vkey. A witness belongs to somebody else than the log it watches.")


@app.command("serve")
def serve(
    key_file: Annotated[Path, typer.Option("--key-file", help="The witness's key.", metavar="FILE")],
    password_file: PasswordFile,
    database: Annotated[str, typer.Option("--database", help="What it remembers; never restored from a backup.", metavar="URL")],
    log: Annotated[list[str], typer.Option("--log", help="Verifier key of a log it knows; again for each.", metavar="VKEY")],
    listen: Annotated[str, typer.Option("--listen", help="Address to listen on.", metavar="HOST:PORT")] = "127.0.0.1:7380",
) -> None:
    """Run a witness: it cosigns checkpoints that extend the last one it saw, and nothing else."""
    from oracle.pipeline.witness import run_witness

    run_witness(listen, database, key_file, password_file, log)
