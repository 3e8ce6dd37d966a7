"""`affidavit operator`: the seat, the stake, the fees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oracle.cli.console import working, write_json, write_pairs, write_table
from oracle.cli.options import Deployment, Json, Keystore, PasswordFile, Rpc

if TYPE_CHECKING:
    from oracle.records import Operator

app = typer.Typer(help="Register as an operator, stake, and leave.", no_args_is_help=True)

SignerKeystore = Annotated[Path, typer.Option("--signer-keystore", help="Key the node signs claims with.", metavar="FILE")]
SignerPassword = Annotated[
    Path | None, typer.Option("--signer-password-file", help="Its password; --password-file's where left out.", metavar="FILE")
]
To = Annotated[str | None, typer.Option("--to", help="Who is paid; the account itself where left out.", metavar="ADDRESS")]
Stake = Annotated[int, typer.Option("--stake-wei", min=1, help="How much to stake, in wei.")]


def _row(seat: Operator) -> dict[str, str | int | bool]:
    return {
        "index": seat.index,
        "operator": seat.operator,
        "signer": seat.signer,
        "stake_wei": str(seat.stake_wei),
        "is_active": seat.is_active,
    }


def _show(seat: Operator, json: bool) -> None:
    if json:
        write_json(_row(seat))
    else:
        write_pairs(_row(seat).items())


@app.command("register")
def register(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    signer_keystore: SignerKeystore,
    stake_wei: Stake,
    signer_password_file: SignerPassword = None,
    index: Annotated[int | None, typer.Option(min=0, max=255, help="The seat; the lowest free one where left out.")] = None,
    json: Json = False,
) -> None:
    """Take a seat: stake, and name the signing key, which proves that it is yours. Safe to repeat."""
    from oracle.pipeline import seat
    from oracle.pipeline.session import load_signer, open_session

    signer = load_signer(signer_keystore, signer_password_file or password_file)
    with working("Registering"):
        taken = seat.take_seat(open_session(rpc, deployment, keystore, password_file), signer, stake_wei, index)
    _show(taken, json)


@app.command("status")
def status(rpc: Rpc, deployment: Deployment, json: Json = False) -> None:
    """List every operator of the deployment."""
    from oracle.pipeline.session import open_chain

    operators = open_chain(rpc, deployment).operators()
    if json:
        write_json([_row(o) for o in operators])
    else:
        write_table("Operators", ("index", "operator", "signer", "stake_wei", "is_active"), [list(_row(o).values()) for o in operators])


@app.command("stake")
def stake(rpc: Rpc, deployment: Deployment, keystore: Keystore, password_file: PasswordFile, stake_wei: Stake, json: Json = False) -> None:
    """Add to the stake."""
    from oracle.pipeline import seat
    from oracle.pipeline.session import open_session

    with working("Staking"):
        mine = seat.add_stake(open_session(rpc, deployment, keystore, password_file), stake_wei)
    _show(mine, json)


@app.command("rotate")
def rotate(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    signer_keystore: SignerKeystore,
    signer_password_file: SignerPassword = None,
    json: Json = False,
) -> None:
    """Replace the signing key."""
    from oracle.pipeline import seat
    from oracle.pipeline.session import load_signer, open_session

    signer = load_signer(signer_keystore, signer_password_file or password_file)
    with working("Rotating the signing key"):
        mine = seat.rotate_signer(open_session(rpc, deployment, keystore, password_file), signer)
    _show(mine, json)


@app.command("exit")
def exit_(rpc: Rpc, deployment: Deployment, keystore: Keystore, password_file: PasswordFile, json: Json = False) -> None:
    """Stop being an operator; the stake can be withdrawn after the unbonding delay."""
    from oracle.pipeline import seat
    from oracle.pipeline.session import open_session

    with working("Leaving"):
        mine = seat.begin_exit(open_session(rpc, deployment, keystore, password_file))
    _show(mine, json)


@app.command("withdraw")
def withdraw(rpc: Rpc, deployment: Deployment, keystore: Keystore, password_file: PasswordFile, to: To = None, json: Json = False) -> None:
    """Withdraw the stake after leaving, and free the seat. Earned fees are withdrawn with `affidavit withdraw`."""
    from oracle.encoding import parse_address
    from oracle.pipeline import seat
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    payee = session.account if to is None else parse_address(to, "--to")
    with working("Withdrawing"):
        stake_wei = seat.find_seat(session.contracts, session.account).stake_wei
        seat.withdraw_stake(session, payee)
    if json:
        write_json({"to": payee, "stake_wei": str(stake_wei)})
    else:
        write_pairs([("to", payee), ("stake_wei", stake_wei)])
