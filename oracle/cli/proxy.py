"""`affidavit proxy`: recording what applications ask an OpenAI-compatible service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oracle.cli.console import write_json, write_pairs
from oracle.cli.options import Config, Json

app = typer.Typer(help="Record calls to an OpenAI-compatible service.", no_args_is_help=True)


@app.command("serve")
def serve(config: Config) -> None:
    """Run the proxy: each call is in the log before it is forwarded, and again before its answer leaves."""
    from oracle.config import load_proxy_config
    from oracle.ingest.proxy_process import run_proxy

    run_proxy(load_proxy_config(config))


@app.command("new-callers")
def new_callers(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write callers.json and a token file for each.")],
    caller: Annotated[list[str], typer.Option("--caller", help="Pseudonym of a caller, as records name it; again for each.")],
    json: Json = False,
) -> None:
    """Make a token for each caller, and the file of their digests that the proxy reads."""
    from oracle.ingest.callers import new_callers as make

    files = {name: str(path) for name, path in make(directory, caller).items()}
    if json:
        write_json({"callers_file": str(directory / "callers.json"), "token_files": files})
        return
    write_pairs([("callers_file", directory / "callers.json"), *files.items()])
