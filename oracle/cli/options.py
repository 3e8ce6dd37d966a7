"""Options that several commands share. Places may come from the environment, secrets may not: only paths of files that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Option("--config", help="TOML configuration file.", metavar="FILE")]
Rpc = Annotated[
    list[str],
    typer.Option(
        "--rpc", help="JSON-RPC endpoint of the chain; of several, more than half must agree.", envvar="AFFIDAVIT_RPC", metavar="URL"
    ),
]
Deployment = Annotated[
    Path, typer.Option("--deployment", help="deployment.json with the contracts' addresses.", envvar="AFFIDAVIT_DEPLOYMENT", metavar="FILE")
]
Keystore = Annotated[
    Path, typer.Option("--keystore", help="Encrypted key (Web3 Secret Storage v3).", envvar="AFFIDAVIT_KEYSTORE", metavar="FILE")
]
PasswordFile = Annotated[
    Path,
    typer.Option(
        "--password-file", help="File whose first line is the password; mode 0600.", envvar="AFFIDAVIT_PASSWORD_FILE", metavar="FILE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
