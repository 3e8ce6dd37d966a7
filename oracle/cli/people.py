"""`affidavit people`: who may come into the office. Works on the people file, which the API's process reads again when it changes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from oracle.cli.console import write_json, write_note, write_table
from oracle.cli.options import Json

app = typer.Typer(help="Who may come into the office, and as what.", no_args_is_help=True)

PeopleFile = Annotated[
    Path, typer.Option("--people-file", help="The office's people file.", envvar="AFFIDAVIT_PEOPLE_FILE", metavar="FILE")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Up to 64 of a–z, 0–9, dot, dash, underscore; given once, for ever.")]


@app.command("add")
def add(
    name: Name,
    people_file: PeopleFile,
    role: Annotated[list[str], typer.Option("--role", help="operator, auditor, dpo, custodian or authority; again for each.")],
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="Where to write the new token; none is made without.", metavar="FILE")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=3660, help="How long the token holds; without end where left out.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="The person's `sub` at the OpenID Connect provider.", metavar="SUB")
    ] = None,
) -> None:
    """Add a person. The token is written to a file, and known to the office by its digest only."""
    from oracle.config import write_secret
    from oracle.errors import ConfigRejected
    from oracle.office.people import add_person, read_roles
    from oracle.seams import SystemClock

    if token_file is None and subject is None:
        raise ConfigRejected("person", "a --token-file, a --subject, or both", "neither")
    if token_file is not None and token_file.exists():
        raise ConfigRejected(f"token file {token_file}", "a path for a new file", "an existing file")
    expires = None if days is None else SystemClock().now() + timedelta(days=days)
    token = add_person(people_file, name, read_roles(role, "--role"), expires, subject, has_token=token_file is not None)
    if token is not None and token_file is not None:
        write_secret(token_file, "token file", token + "\n")
        write_note(f"The token of {name} is in {token_file}. Give it to that person, and to nobody else.")


@app.command("list")
def list_people(people_file: PeopleFile, json: Json = False) -> None:
    """Everybody who was ever added, with roles; no tokens, which are not known here."""
    from oracle.office.people import load_people
    from oracle.seams import SystemClock, format_time

    now, people = SystemClock().now(), load_people(people_file).by_name.values()
    rows = [
        {
            "name": p.name,
            "roles": sorted(p.roles),
            "has_token": p.is_current(now),
            "expires": None if p.expires is None else format_time(p.expires),
            "subject": p.subject,
        }
        for p in people
    ]
    if json:
        write_json(rows)
        return
    columns = ("name", "roles", "token", "expires", "subject")
    write_table(
        "People", columns, [(r["name"], _words(r["roles"]), _yes(r["has_token"]), r["expires"] or "", r["subject"] or "") for r in rows]
    )


@app.command("revoke")
def revoke(name: Name, people_file: PeopleFile) -> None:
    """Take away a person's roles and token, at once: open sessions end with the next request."""
    from oracle.office.people import revoke_person

    revoke_person(people_file, name)
    write_note(f"{name} may do nothing any more.")


def _words(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else ""


def _yes(value: object) -> str:
    return "holds" if value else "none"
