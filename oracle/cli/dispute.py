"""`affidavit dispute`: committees, who owes them a vote, and bonds. What opens disputes and votes is `affidavit watch`."""

from __future__ import annotations

from typing import Annotated

import typer

from oracle.cli.console import working, write_json, write_pairs, write_result, write_table
from oracle.cli.options import Deployment, Json, Keystore, PasswordFile, Rpc

app = typer.Typer(help="Disputed answers: list, show, withdraw bonds.", no_args_is_help=True)

To = Annotated[str | None, typer.Option("--to", help="Who is paid; the account itself where left out.", metavar="ADDRESS")]


@app.command("list")
def list_(
    rpc: Rpc,
    deployment: Deployment,
    operator: Annotated[
        str | None, typer.Option("--operator", help="Only those whose committee it was drawn into, with what it owes.", metavar="ADDRESS")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False,
    json: Json = False,
) -> None:
    """List disputes and audits that are not decided, or all of them."""
    from oracle.encoding import parse_address
    from oracle.pipeline.disputing import list_disputes
    from oracle.pipeline.session import open_chain

    member = None if operator is None else parse_address(operator, "--operator")
    rows = list_disputes(open_chain(rpc, deployment), member, not all_)
    if json:
        write_json([row.to_json() for row in rows])
        return
    shown = [
        (f["request_id"], f["phase"], f["phase_ends_at"] or "", f["outcome"], row.describe_vote(member) if member else "")
        for row in rows
        for f in (row.to_json(),)
    ]
    write_table("Disputes", ("request", "phase", "until", "outcome", "vote"), shown)


@app.command("show")
def show(
    rpc: Rpc,
    deployment: Deployment,
    request_id: Annotated[str, typer.Argument(help="The request whose answer was disputed.", metavar="REQUEST_ID")],
    json: Json = False,
) -> None:
    """Say how the dispute about one request stands, and how each member of its committee voted."""
    from oracle.encoding import parse_bytes32
    from oracle.pipeline.disputing import read_dispute
    from oracle.pipeline.session import open_chain

    row = read_dispute(open_chain(rpc, deployment), parse_bytes32(request_id, "REQUEST_ID"))
    if json:
        write_json(row.to_json())
        return
    fields = [(name, value) for name, value in row.to_json().items() if value is not None and name != "votes"]
    write_pairs([*fields, *((f"vote of {member}", row.describe_vote(member)) for member in row.dispute.members)])


@app.command("withdraw")
def withdraw(rpc: Rpc, deployment: Deployment, keystore: Keystore, password_file: PasswordFile, to: To = None, json: Json = False) -> None:
    """Withdraw the bonds that came back to the account, or that it won with its votes."""
    from oracle.encoding import parse_address
    from oracle.pipeline.disputing import withdraw_bonds
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    payee = session.account if to is None else parse_address(to, "--to")
    with working("Withdrawing"):
        amount_wei = withdraw_bonds(session, payee)
    write_result({"to": payee, "amount_wei": str(amount_wei)}, json)
