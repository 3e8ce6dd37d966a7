"""`affidavit operator`: the seat, the stake, the fees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oracle.cli.console import working, write_json, write_note, write_pairs, write_result, write_table
from oracle.cli.options import Deployment, Json, Keystore, PasswordFile, Rpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from oracle.pipeline.seat import Plan, Seat
    from oracle.pipeline.session import Session
    from oracle.records import Bytes32, Operator

app = typer.Typer(help="Register as an operator, stake, and leave.", no_args_is_help=True)

SignerKeystore = Annotated[Path, typer.Option("--signer-keystore", help="Key the node signs claims with.", metavar="FILE")]
SignerPassword = Annotated[
    Path | None, typer.Option("--signer-password-file", help="Its password; --password-file's where left out.", metavar="FILE")
]
To = Annotated[str | None, typer.Option("--to", help="Who is paid; the account itself where left out.", metavar="ADDRESS")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, print what would be sent, and send nothing.")]
Stake = Annotated[int, typer.Option("--stake-wei", min=1, help="How much to stake, in wei.")]


def _row(seat: Operator) -> dict[str, str | int | bool]:
    return {
        "index": seat.index,
        "operator": seat.operator,
        "signer": seat.signer,
        "stake_wei": str(seat.stake_wei),
        "is_active": seat.is_active,
    }


def _show_seat(seat: Seat, json: bool) -> None:
    if json:
        write_json(seat.to_json())
    else:
        write_pairs((name, value) for name, value in seat.to_json().items() if value is not None)


def _show_plan(plan: Plan, json: bool) -> None:
    """What a dry run found: it would go through now, and at most cost this."""
    if json:
        write_json(plan.to_json())
        return
    fields = plan.to_json()
    seat = fields.pop("seat")
    write_pairs([*fields.items(), *seat.items()] if isinstance(seat, dict) else fields.items())
    write_note("Nothing was sent.")


def _act(session: Session, plan: Callable[[], Plan], doing: str, dry_run: bool, json: bool) -> None:
    """Plans, and unless it is a dry run carries out and shows the seat as it is then."""
    from oracle.pipeline import seat

    if dry_run:
        _show_plan(plan(), json)
        return
    with working(doing):
        seat.carry_out(session, plan())
    _show_seat(seat.read_seat(session.contracts, session.account), json)


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
    write_result(_row(taken), json)


@app.command("set-bls-key")
def set_bls_key(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    bls_keystore: Annotated[Path, typer.Option("--bls-keystore", help="BLS key (EIP-2335) the node signs with, too.", metavar="FILE")],
    bls_password_file: Annotated[
        Path | None, typer.Option("--bls-password-file", help="Its password; --password-file's where left out.", metavar="FILE")
    ] = None,
    json: Json = False,
) -> None:
    """Register the seat's BLS key, with a proof that it is yours, or replace it. Safe to repeat."""
    from oracle.encoding import to_hex
    from oracle.pipeline import seat
    from oracle.pipeline.session import load_bls, open_session

    bls = load_bls(bls_keystore, bls_password_file or password_file)
    with working("Registering the BLS key"):
        taken = seat.set_bls_key(open_session(rpc, deployment, keystore, password_file), bls)
    fields = _row(taken) | {"bls_key": to_hex(taken.bls_key)}
    write_result(fields, json)


@app.command("status")
def status(
    rpc: Rpc,
    deployment: Deployment,
    operator: Annotated[
        str | None, typer.Option("--operator", help="One operator, with what waits to be withdrawn.", metavar="ADDRESS")
    ] = None,
    json: Json = False,
) -> None:
    """List every operator of the deployment, or say all about one: stake, minimum, unbonding, rewards, fees."""
    from oracle.encoding import parse_address
    from oracle.pipeline import seat
    from oracle.pipeline.session import open_chain

    chain = open_chain(rpc, deployment)
    if operator is not None:
        _show_seat(seat.read_seat(chain, parse_address(operator, "--operator")), json)
    elif json:
        write_json([_row(o) for o in chain.operators()])
    else:
        rows = [list(_row(o).values()) for o in chain.operators()]
        write_table("Operators", ("index", "operator", "signer", "stake_wei", "is_active"), rows)


@app.command("stake")
def stake(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    stake_wei: Stake,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Add to the stake."""
    from oracle.pipeline import seat
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    _act(session, lambda: seat.plan_stake(session, stake_wei), "Staking", dry_run, json)


@app.command("rotate-key")
@app.command("rotate", hidden=True)
def rotate_key(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    signer_keystore: SignerKeystore,
    signer_password_file: SignerPassword = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Replace the signing key. Signatures of the old one count for nothing from then on."""
    from oracle.pipeline import seat
    from oracle.pipeline.session import load_signer, open_session

    signer = load_signer(signer_keystore, signer_password_file or password_file)
    session = open_session(rpc, deployment, keystore, password_file)
    _act(session, lambda: seat.plan_rotation(session, signer), "Rotating the signing key", dry_run, json)


@app.command("unbond")
@app.command("exit", hidden=True)
def unbond(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Stop being an operator; the whole stake can be withdrawn after the unbonding delay, and be slashed until then."""
    from oracle.pipeline import seat
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    _act(session, lambda: seat.plan_unbonding(session), "Leaving", dry_run, json)


@app.command("withdraw")
def withdraw(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    to: To = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Withdraw the stake after the unbonding, and free the seat. Earned fees are withdrawn with `affidavit withdraw`."""
    from oracle.encoding import parse_address
    from oracle.pipeline import seat
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    payee = session.account if to is None else parse_address(to, "--to")
    plan = seat.plan_withdrawal(session, payee)
    if dry_run:
        _show_plan(plan, json)
        return
    with working("Withdrawing"):
        seat.carry_out(session, plan)
    write_result({"to": payee, "stake_wei": str(plan.seat.stake_wei)}, json)


# ---- prices ------------------------------------------------------------------------------------------------------------------------------
quote_app = typer.Typer(help="What the operator asks for, posted on chain for everybody to read.", no_args_is_help=True)
app.add_typer(quote_app, name="quote")

ForModel = Annotated[str | None, typer.Option("--model", help="For one model; for every other model where left out.", metavar="MODEL_ID")]
Ask = "The least share of a fee for it, in wei; left out: not given."


@quote_app.command("set")
def set_quote(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    signature_wei: Annotated[int | None, typer.Option(min=0, help=f"A signature of a quorum. {Ask}")] = None,
    proof_wei: Annotated[int | None, typer.Option(min=0, help=f"A proof. {Ask}")] = None,
    enclave_wei: Annotated[int | None, typer.Option(min=0, help=f"An enclave's signature. {Ask}")] = None,
    model: ForModel = None,
    withdraw_it: Annotated[bool, typer.Option("--withdraw", help="Take back what was posted, in place of posting.")] = False,
    json: Json = False,
) -> None:
    """Post what you ask for, or replace it. Your own node refuses what pays less (heed_posted_asks)."""
    from oracle.pipeline import quoting
    from oracle.pipeline.session import open_session
    from oracle.records import Asks

    asks = Asks(signature_wei, proof_wei, enclave_wei)
    if withdraw_it == (asks != Asks(None, None, None)):
        raise typer.BadParameter("either prices, or --withdraw", param_hint="--signature-wei, --proof-wei, --enclave-wei")
    session, model_id = open_session(rpc, deployment, keystore, password_file), _read_model(model)
    with working("Posting"):
        if withdraw_it:
            quoting.retract_asks(session, model_id)
        else:
            quoting.post_asks(session, model_id, asks)
    _show_asks(quoting.asks_to_json(session.contracts.asks_of(session.account, model_id)), json)


@quote_app.command("show")
def show_quote(
    rpc: Rpc,
    deployment: Deployment,
    operator: Annotated[str, typer.Option("--operator", help="Whose.", metavar="ADDRESS")],
    model: ForModel = None,
    json: Json = False,
) -> None:
    """Show what an operator asks for a model: what it posted for it, else what it posted for all."""
    from oracle.encoding import parse_address
    from oracle.pipeline import quoting
    from oracle.pipeline.session import open_chain

    asks = open_chain(rpc, deployment).asks_of(parse_address(operator, "--operator"), _read_model(model))
    _show_asks(quoting.asks_to_json(asks), json)


def _read_model(text: str | None) -> Bytes32:
    from oracle.encoding import parse_bytes32
    from oracle.pipeline.quoting import EVERY_MODEL

    return EVERY_MODEL if text is None else parse_bytes32(text, "--model")


def _show_asks(fields: dict[str, Any], json: bool) -> None:
    if json:
        write_json(fields)
    else:
        write_pairs((name, "not given" if value is None else value) for name, value in fields.items())
