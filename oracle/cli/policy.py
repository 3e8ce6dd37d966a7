"""`affidavit policy`: what a policy demands, in words."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oracle.cli.console import write_json, write_note, write_pairs, write_table
from oracle.cli.options import Json

if TYPE_CHECKING:
    from oracle.pipeline.explaining import Explanation

app = typer.Typer(help="What a policy demands, and what it costs.", no_args_is_help=True)

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[POLICY]...", help='The 32-byte word (0x…), or words: "quorum 2", "proof", "quorum 2 window 10m".'),
]
Rpc = Annotated[
    list[str] | None,
    typer.Option(
        "--rpc", help="JSON-RPC endpoint of the chain; of several, more than half must agree.", envvar="AFFIDAVIT_RPC", metavar="URL"
    ),
]
OPTIONS = "--quorum, --proof, --enclave, --simulated-enclave, --window-seconds, --disputable"
Deployment = Annotated[
    Path | None,
    typer.Option(
        "--deployment", help="deployment.json, whose operators and stakes are told.", envvar="AFFIDAVIT_DEPLOYMENT", metavar="FILE"
    ),
]


@app.command("explain")
def explain(
    policy: Words = None,
    quorum: Annotated[int, typer.Option(min=0, max=255, help="As `affidavit request` takes it.")] = 0,
    proof: Annotated[bool, typer.Option("--proof", help="As `affidavit request` takes it.")] = False,
    enclave: Annotated[bool, typer.Option("--enclave", help="As `affidavit request` takes it.")] = False,
    simulated_enclave: Annotated[bool, typer.Option("--simulated-enclave", help="As `affidavit request` takes it.")] = False,
    window_seconds: Annotated[int, typer.Option(min=0, help="As `affidavit request` takes it.")] = 0,
    disputable: Annotated[bool, typer.Option("--disputable", help="As `affidavit request` takes it.")] = False,
    rpc: Rpc = None,
    deployment: Deployment = None,
    json: Json = False,
) -> None:
    """Say what must go wrong for a wrong answer to pass, when the callback runs, who can object, and what it costs in gas.

    With an endpoint and a deployment: with the operators and stakes that are there now.
    """
    from oracle.pipeline.explaining import explain, parse_policy, read_standing
    from oracle.pipeline.session import open_chain

    numbers = {"quorum": quorum, "window": window_seconds}
    said = {"proof": proof, "enclave": enclave or simulated_enclave, "simulated": simulated_enclave, "disputable": disputable}
    flags = [*(name for name, is_said in said.items() if is_said), *(f"{name} {number}" for name, number in numbers.items() if number)]
    if bool(policy) == bool(flags):
        raise typer.BadParameter(f"either words, or options: {OPTIONS}", param_hint="POLICY")
    asked = parse_policy(" ".join(policy or flags))
    standing = read_standing(open_chain(rpc, deployment)) if rpc and deployment else None
    told = explain(asked, standing)
    if standing is None and (rpc or deployment):
        write_note(f"About no deployment: {'--deployment' if rpc else '--rpc'} is missing.")
    if json:
        write_json(told.to_json())
    else:
        _show(told)


def _show(told: Explanation) -> None:
    from oracle.encoding import pack_policy, to_hex
    from oracle.pipeline.explaining import ether

    write_pairs([("policy", to_hex(pack_policy(told.policy)))])
    for problem in told.problems:
        _say("not here", problem)
    for demand in told.demands:
        _say(f"wrong, for the {demand.kind}, if", demand.wrong_if)
    _say("together", told.together)
    _say("callback", told.callback)
    _say("objecting", told.challenge)
    _say("no answer", told.unanswered)
    typer.echo("")
    rows = [(row.what, row.payer, f"{row.gas:,}", "" if row.wei is None else ether(row.wei)) for row in told.gas]
    write_table("Gas", ("what", "who pays", "gas", "at today's price"), rows)


def _say(head: str, text: str) -> None:
    typer.echo(f"\n{head}")
    typer.echo(textwrap.fill(text, 96, initial_indent="  ", subsequent_indent="  "))
