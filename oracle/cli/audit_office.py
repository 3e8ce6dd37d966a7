"""`affidavit audit disclose`, `hold`, `erase` and `review`: what people with a role do, over the office's API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oracle.cli.console import write_json, write_note, write_table
from oracle.cli.options import Json

if TYPE_CHECKING:
    from oracle.office.client import OfficeClient

disclose = typer.Typer(help="Content of records: ask to be shown it, approve, read.", no_args_is_help=True)
hold = typer.Typer(help="Legal holds: nothing under one is erased or pruned.", no_args_is_help=True)
erase = typer.Typer(help="Erasures: keys are destroyed, records and proofs stay.", no_args_is_help=True)
review = typer.Typer(help="Sign-off of records.", no_args_is_help=True)

Office = Annotated[str, typer.Option("--office", help="Where the office is: the API's address.", envvar="AFFIDAVIT_OFFICE", metavar="URL")]
TokenFile = Annotated[
    Path, typer.Option("--token-file", help="Your token for the office.", envvar="AFFIDAVIT_OFFICE_TOKEN_FILE", metavar="FILE")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="The case's id.")]
Indices = Annotated[list[int], typer.Argument(metavar="INDEX…", help="Indices of entries.", min=0)]
Reason = Annotated[str, typer.Option("--reason", help="Why; sealed in the log.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="Newest so many.")]
PersonFile = Annotated[
    Path | None,
    typer.Option("--person-file", help="A file whose first line is the writer's reference to a person; with --writer.", metavar="FILE"),
]
Writer = Annotated[str | None, typer.Option("--writer", help="Whose reference to a person it is.", metavar="NAME")]


def _open(office: str, token_file: Path) -> OfficeClient:
    from oracle.config import read_secret
    from oracle.office.client import OfficeClient

    return OfficeClient(office, read_secret(token_file))


def _person(writer: str | None, person_file: Path | None) -> dict[str, str] | None:
    """A person in a scope. Names of people stand in files, not in a shell's history. Raises ConfigRejected."""
    from oracle.config import read_secret
    from oracle.errors import ConfigRejected

    if writer is None and person_file is None:
        return None
    if writer is None or person_file is None:
        raise ConfigRejected("person", "--writer and --person-file together", "one of them")
    return {"writer": writer, "subject_reference": read_secret(person_file)}


def _write_case(case: dict[str, Any], json: bool) -> None:
    if json:
        write_json(case)
    else:
        typer.echo(f"{case['id']}  {case['state']}")


def _write_cases(title: str, cases: dict[str, Any], about: str, json: bool) -> None:
    if json:
        write_json(cases["items"])
        return
    rows = [(c["id"], c["state"], c["by"], c[about], c["reason"]) for c in cases["items"]]
    write_table(title, ("id", "state", "by", about, "reason"), rows)


# ---- disclosures -----------------------------------------------------------------------------------------------------------------------
@disclose.command("request")
def disclose_request(
    indices: Indices,
    office: Office,
    token_file: TokenFile,
    reason: Reason,
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=1440, help="For how long, from the approval on.")] = 60,
    json: Json = False,
) -> None:
    """Ask to be shown the content of some entries. Another person decides."""
    body = {"indices": indices, "reason": reason, "minutes": minutes}
    _write_case(_open(office, token_file).post("/disclosures", body), json)


@disclose.command("list")
def disclose_list(office: Office, token_file: TokenFile, limit: Limit = 50, json: Json = False) -> None:
    """Disclosures, newest first: your own, or everybody's if you may approve."""
    _write_cases("Disclosures", _open(office, token_file).get("/disclosures", limit=limit), "indices", json)


@disclose.command("approve")
def disclose_approve(case_id: Id, office: Office, token_file: TokenFile, json: Json = False) -> None:
    """Approve what another person asked for. The time runs from now."""
    _write_case(_open(office, token_file).post(f"/disclosures/{case_id}/approve"), json)


@disclose.command("deny")
def disclose_deny(case_id: Id, office: Office, token_file: TokenFile, json: Json = False) -> None:
    """Deny what another person asked for."""
    _write_case(_open(office, token_file).post(f"/disclosures/{case_id}/deny"), json)


@disclose.command("close")
def disclose_close(case_id: Id, office: Office, token_file: TokenFile, json: Json = False) -> None:
    """End a disclosure before its time."""
    _write_case(_open(office, token_file).post(f"/disclosures/{case_id}/close"), json)


@disclose.command("read")
def disclose_read(
    case_id: Id,
    index: Annotated[int, typer.Argument(metavar="INDEX", help="One of its entries.", min=0)],
    office: Office,
    token_file: TokenFile,
    json: Json = False,
) -> None:
    """Show the content of one entry. The log has a record of this first."""
    content = _open(office, token_file).get(f"/disclosures/{case_id}/records/{index}")
    if json:
        write_json(content)
        return
    for field in content["sealed"]:
        typer.echo(f"{field['name']}: {field['value']}")
    for body in content["bodies"]:
        typer.echo(f"{body['name']}: {body['hex'] if body['text'] is None else body['text']}")
    if content["state"] != "present":
        write_note(f"content: {content['state']}")


# ---- holds -----------------------------------------------------------------------------------------------------------------------------
@hold.command("place")
def hold_place(
    office: Office,
    token_file: TokenFile,
    reason: Reason,
    index: Annotated[int | None, typer.Option("--index", min=0, help="One entry.")] = None,
    first: Annotated[int | None, typer.Option("--from", min=0, help="From this entry on.")] = None,
    last: Annotated[int | None, typer.Option("--to", min=0, help="Up to this entry, inclusive.")] = None,
    call_id: Annotated[str | None, typer.Option("--call", help="A call's records.", metavar="0x…")] = None,
    writer: Writer = None,
    person_file: PersonFile = None,
    json: Json = False,
) -> None:
    """Keep from being erased or pruned what fits everything given."""
    given = {"index": index, "from": first, "to": last, "call_id": call_id} | (_person(writer, person_file) or {})
    scope = {name: value for name, value in given.items() if value is not None}
    _write_case(_open(office, token_file).post("/holds", {"scope": scope, "reason": reason}), json)


@hold.command("list")
def hold_list(office: Office, token_file: TokenFile, limit: Limit = 50, json: Json = False) -> None:
    """Holds, newest first, released ones too."""
    _write_cases("Holds", _open(office, token_file).get("/holds", limit=limit), "scope", json)


@hold.command("release")
def hold_release(case_id: Id, office: Office, token_file: TokenFile, json: Json = False) -> None:
    """Ask for a hold's release. It stands until another person approves."""
    _write_case(_open(office, token_file).post(f"/holds/{case_id}/release"), json)


@hold.command("approve")
def hold_approve(case_id: Id, office: Office, token_file: TokenFile, json: Json = False) -> None:
    """Approve a release that another person asked for."""
    _write_case(_open(office, token_file).post(f"/holds/{case_id}/approve"), json)


@hold.command("deny")
def hold_deny(case_id: Id, office: Office, token_file: TokenFile, json: Json = False) -> None:
    """Deny a release that another person asked for."""
    _write_case(_open(office, token_file).post(f"/holds/{case_id}/deny"), json)


# ---- erasures --------------------------------------------------------------------------------------------------------------------------
@erase.command("request")
def erase_request(
    office: Office,
    token_file: TokenFile,
    reason: Reason,
    index: Annotated[list[int] | None, typer.Option("--index", min=0, help="An entry; again for each.")] = None,
    writer: Writer = None,
    person_file: PersonFile = None,
    json: Json = False,
) -> None:
    """Ask that the content of entries, or everything about one person, is erased. The key custodian decides."""
    from oracle.errors import ConfigRejected

    person = _person(writer, person_file)
    if (person is None) == (index is None):
        raise ConfigRejected("scope", "either --index, or --writer and --person-file", "both" if index else "neither")
    scope: dict[str, Any] = {**person} if person else {"indices": index}
    _write_case(_open(office, token_file).post("/erasures", {"scope": scope, "reason": reason}), json)


@erase.command("list")
def erase_list(office: Office, token_file: TokenFile, limit: Limit = 50, json: Json = False) -> None:
    """Erasures, newest first."""
    _write_cases("Erasures", _open(office, token_file).get("/erasures", limit=limit), "scope", json)


@erase.command("approve")
def erase_approve(case_id: Id, office: Office, token_file: TokenFile, json: Json = False) -> None:
    """Approve an erasure that another person asked for, and carry it out. There is no way back."""
    _write_case(_open(office, token_file).post(f"/erasures/{case_id}/approve"), json)


@erase.command("deny")
def erase_deny(case_id: Id, office: Office, token_file: TokenFile, json: Json = False) -> None:
    """Deny an erasure that another person asked for."""
    _write_case(_open(office, token_file).post(f"/erasures/{case_id}/deny"), json)


# ---- reviews ---------------------------------------------------------------------------------------------------------------------------
@review.command("sign")
def review_sign(
    index: Annotated[int, typer.Argument(metavar="INDEX", help="The entry that was looked at.", min=0)],
    office: Office,
    token_file: TokenFile,
    outcome: Annotated[str, typer.Option("--outcome", help="accepted, rejected or escalated.")],
    note: Annotated[str, typer.Option("--note", help="What you have to say; sealed in the log.")] = "",
    json: Json = False,
) -> None:
    """Sign off a record: the judgement is in the log, with the leaf it is about."""
    made = _open(office, token_file).post("/reviews", {"index": index, "outcome": outcome, "note": note})
    if json:
        write_json(made)
    else:
        typer.echo(f"{made['id']}  {made['outcome']}")


@review.command("list")
def review_list(office: Office, token_file: TokenFile, limit: Limit = 50, json: Json = False) -> None:
    """Reviews, newest first."""
    reviews = _open(office, token_file).get("/reviews", limit=limit)["items"]
    if json:
        write_json(reviews)
        return
    write_table(
        "Reviews",
        ("entry", "outcome", "by", "time", "note"),
        [(r["index"], r["outcome"], r["by"], r["time"], r["note"] or "") for r in reviews],
    )
