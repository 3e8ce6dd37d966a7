"""`affidavit log`: making and running an audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oracle.cli.console import write_json, write_note, write_pairs
from oracle.cli.options import Config, Json, PasswordFile

app = typer.Typer(help="Make and run an audit log.", no_args_is_help=True)


@app.command("serve")
def serve(config: Config) -> None:
    """Run the log: one sequencer, its static files, and its anchors on chain."""
    from oracle.config import load_config
    from oracle.pipeline.log import run_log

    run_log(load_config(config))


@app.command("rotate-custody-key")
def rotate_custody_key(
    config: Config,
    new_password_file: Annotated[Path, typer.Option("--new-password-file", help="Password of the new custody key.", metavar="FILE")],
) -> None:
    """Wrap everything custody keeps with a new key, under a new password. The log must be stopped."""
    from oracle.config import load_config
    from oracle.pipeline.log import rotate_custody_key as rotate

    path = rotate(load_config(config), new_password_file)
    write_note(f"{path} holds the new custody key; set custody_password_file to the new password's file before the log starts again.")


@app.command("new")
def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the key and the tokens.")],
    origin: Annotated[str, typer.Option("--origin", help="The log's name: a URL without scheme, such as example.org/affidavit.")],
    password_file: PasswordFile,
    custody_password_file: Annotated[
        Path | None,
        typer.Option(
            "--custody-password-file",
            help="Password of the custody key, better another person's; the log's where left out.",
            metavar="FILE",
        ),
    ] = None,
    writer: Annotated[
        list[str] | None, typer.Option("--writer", help="Name of a writer, or name:scope+scope of chain, calls, office; again for each.")
    ] = None,
    reader: Annotated[list[str] | None, typer.Option("--reader", help="Name of a reader; again for each.")] = None,
    json: Json = False,
) -> None:
    """Make a log's key and a token for each writer and reader, and print the verifier key that auditors need."""
    from oracle.pipeline.keys import new_log

    made = new_log(directory, origin, password_file, writer or [], reader or [], custody_password_file)
    files = {name: str(path) for name, path in made.token_files.items()}
    keys = {"key_file": str(made.key_file), "custody_key_file": str(made.custody_key_file)}
    if json:
        write_json({"vkey": made.vkey, **keys, "tokens_file": str(made.tokens_file), "token_files": files})
        return
    write_pairs([("vkey", made.vkey), *keys.items(), ("tokens_file", made.tokens_file), *files.items()])
    write_note("Publish the vkey. Give each token file to the process of that name, and to nobody else.")
