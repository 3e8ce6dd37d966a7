"""`affidavit keys`: encrypted keystores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oracle.cli.console import write_json, write_note
from oracle.cli.options import Json, PasswordFile

app = typer.Typer(help="Encrypted keys (Web3 Secret Storage v3).", no_args_is_help=True)

KeyPath = Annotated[Path, typer.Argument(metavar="PATH", help="The keystore file.")]


@app.command("new")
def new(path: KeyPath, password_file: PasswordFile, json: Json = False) -> None:
    """Make a new random key, encrypt it with the password in the file, write it with mode 0600, and print its address."""
    from oracle.pipeline.keys import new_keystore

    address = new_keystore(path, password_file)
    if json:
        write_json({"address": address, "keystore": str(path)})
    else:
        typer.echo(address)
        write_note(f"Wrote {path}. Keep a copy of it and of the password apart from each other.")


@app.command("new-bls")
def new_bls(path: KeyPath, password_file: PasswordFile, json: Json = False) -> None:
    """Make a new random BLS key of an operator, encrypt it (EIP-2335), write it with mode 0600, and print its public key."""
    from oracle.encoding import to_hex
    from oracle.pipeline.keys import new_bls_keystore

    key = to_hex(new_bls_keystore(path, password_file))
    if json:
        write_json({"bls_key": key, "keystore": str(path)})
    else:
        typer.echo(key)
        write_note(f"Wrote {path}. Keep a copy of it and of the password apart from each other.")


@app.command("bls-key")
def bls_key(path: KeyPath, password_file: PasswordFile, json: Json = False) -> None:
    """Print the public key of a BLS keystore. It is opened, so this also shows that the password fits."""
    from oracle.encoding import to_hex
    from oracle.pipeline.keys import bls_key_of

    key = to_hex(bls_key_of(path, password_file))
    if json:
        write_json({"bls_key": key, "keystore": str(path)})
    else:
        typer.echo(key)


@app.command("address")
def address(path: KeyPath, password_file: PasswordFile, json: Json = False) -> None:
    """Print the address of a keystore. It is opened, so this also shows that the password fits."""
    from oracle.pipeline.keys import address_of

    found = address_of(path, password_file)
    if json:
        write_json({"address": found, "keystore": str(path)})
    else:
        typer.echo(found)
