"""`affidavit deploy` and `affidavit demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oracle.cli.console import write_json, write_note, write_pairs
from oracle.cli.options import Json, Keystore, PasswordFile, Rpc

if TYPE_CHECKING:
    from oracle.attest.enclave.report import Relaxation

DAY_SECONDS = 86_400


def deploy(
    rpc: Rpc,
    keystore: Keystore,
    password_file: PasswordFile,
    out: Annotated[Path, typer.Option("--out", help="Where to write deployment.json.", metavar="FILE")],
    guardian: Annotated[
        str | None, typer.Option(help="Can stop a verifier at once; the deployer where left out.", metavar="ADDRESS")
    ] = None,
    proposer: Annotated[
        list[str] | None, typer.Option(help="Acts through the timelock; again for each; the deployer where left out.", metavar="ADDRESS")
    ] = None,
    admitter: Annotated[str | None, typer.Option(help="Admits operators; anyone may register where left out.", metavar="ADDRESS")] = None,
    minimum_stake_wei: Annotated[int, typer.Option(min=1, max=2**96 - 1, help="Least stake of an operator.")] = 10**18,
    unbonding_seconds: Annotated[
        int, typer.Option(min=1, max=2**63 - 1, help="From leaving to the stake; above the longest window and what a dispute may take.")
    ] = 9 * DAY_SECONDS,
    timelock_seconds: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="From a proposal of the owner's to its effect.")] = 10
    * DAY_SECONDS,
    asset: Annotated[
        str | None, typer.Option(help="ERC-20 token that fees and stakes are paid in, for ever; ether where left out.", metavar="ADDRESS")
    ] = None,
    direct_quotes: Annotated[
        bool, typer.Option("--direct-quotes/--no-direct-quotes", help="Verify Intel's quotes on chain; it must have P256VERIFY (EIP-7951).")
    ] = True,
    direct_relaxation: Annotated[
        list[str] | None, typer.Option(help="What that verification allows, for ever (docs/enclaves.md); again for each.", metavar="NAME")
    ] = None,
    json: Json = False,
) -> None:
    """Deploy all contracts and write their addresses to a file. A file that is there already is not overwritten."""
    from dataclasses import asdict

    from oracle.attest.enclave.intel import INTEL_ROOT
    from oracle.encoding import parse_address
    from oracle.pipeline import deploy as deploying
    from oracle.pipeline.session import open_sender, require_absent, save_deployment

    require_absent(out)
    sender = open_sender(rpc, keystore, password_file)
    plan = deploying.DeploymentPlan(
        guardian=parse_address(guardian, "--guardian") if guardian else sender.address,
        proposers=tuple(parse_address(p, "--proposer") for p in proposer) if proposer else (sender.address,),
        timelock_seconds=timelock_seconds,
        unbonding_seconds=unbonding_seconds,
        minimum_stake_wei=minimum_stake_wei,
        admitter=parse_address(admitter, "--admitter") if admitter else None,
        asset=parse_address(asset, "--asset") if asset else None,
        dcap_root=INTEL_ROOT if direct_quotes else None,
        dcap_relaxations=frozenset(_relaxation(name) for name in direct_relaxation or ()),
    )
    deployment = deploying.deploy(sender, plan, lambda name, address: write_note(f"{name:<20} {address}"))
    save_deployment(deployment, out)
    if json:
        write_json(asdict(deployment))
    else:
        write_pairs(asdict(deployment).items())


def _relaxation(name: str) -> Relaxation:
    from oracle.attest.enclave.intel import RELAXATION_BITS
    from oracle.errors import MalformedInput

    found = next((relaxation for relaxation in RELAXATION_BITS if relaxation == name), None)
    if found is None:
        raise MalformedInput("--direct-relaxation", f"one of {', '.join(RELAXATION_BITS)}", name[:60])
    return found


def demo(serve: Annotated[bool, typer.Option("--serve", help="Leave everything running until Ctrl-C.")] = False) -> None:
    """Run a whole network on this machine and show one verified inference after another."""
    from oracle.demo.story import run_demo

    run_demo(serve=serve)
