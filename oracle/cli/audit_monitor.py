"""`affidavit audit monitor`: following a log, and raising alarms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oracle.cli.audit import AnchorKey, Log, Policy, Vkey
from oracle.cli.console import write_json, write_note
from oracle.cli.options import Json

if TYPE_CHECKING:
    from oracle.audit.monitor import MonitorRound

EXIT_ALARM = 2
EXIT_UNSEEN = 3

_Rpc = Annotated[
    list[str] | None,
    typer.Option(
        "--rpc", help="JSON-RPC endpoint of the chain; of several, more than half must agree.", envvar="AFFIDAVIT_RPC", metavar="URL"
    ),
]
_Deployment = Annotated[
    Path | None,
    typer.Option("--deployment", help="deployment.json with the contracts' addresses.", envvar="AFFIDAVIT_DEPLOYMENT", metavar="FILE"),
]


def monitor(
    log: Log,
    vkey: Vkey,
    database: Annotated[str, typer.Option("--database", help="What the monitor remembers.", metavar="URL")],
    policy: Policy = None,
    rpc: _Rpc = None,
    deployment: _Deployment = None,
    anchor_key: AnchorKey = None,
    webhook: Annotated[str | None, typer.Option("--webhook", help="Where alarms are posted to, as JSON.", metavar="URL")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="One round: exit code 0 fine, 2 an alarm stands, 3 not everything answered.")
    ] = False,
    listen: Annotated[str, typer.Option("--listen", help="Address of /metrics and /alarms.", metavar="HOST:PORT")] = "127.0.0.1:7390",
    pause_seconds: Annotated[float, typer.Option("--pause", help="Seconds between two rounds.", min=0.1)] = 10.0,
    silence_seconds: Annotated[int, typer.Option("--silence", help="Seconds a log may not answer before it is an alarm.", min=0)] = 60,
    stale_seconds: Annotated[int, typer.Option("--stale", help="Seconds a log may write nothing.", min=1)] = 7200,
    anchor_seconds: Annotated[int, typer.Option("--late-anchor", help="Seconds an entry may be without an anchor.", min=1)] = 3600,
    witness_seconds: Annotated[int, typer.Option("--late-witness", help="Seconds an entry may be unwitnessed.", min=0)] = 300,
    skew_seconds: Annotated[int, typer.Option("--skew", help="Seconds that clocks may differ.", min=1)] = 5,
    acknowledge: Annotated[
        str | None, typer.Option("--acknowledge", help="Resolve an alarm that somebody looked at.", metavar="ID")
    ] = None,
    json: Json = False,
) -> None:
    """Follow a log: hold each checkpoint against those before, the chain's anchors and the witnesses, and audit what is new."""
    from oracle.audit.monitor import Limits
    from oracle.encoding import parse_address
    from oracle.pipeline import monitor as pipeline

    key = None if anchor_key is None else parse_address(anchor_key, "--anchor-key")
    limits = Limits(silence_seconds, stale_seconds, anchor_seconds, witness_seconds, skew_seconds)
    # A chain's endpoint in the environment is no wish to read anchors: without the key that signs them none can be looked up.
    chain = (rpc, deployment) if key is not None else (None, None)
    settings = pipeline.MonitorSettings(log, vkey, database, policy, *chain, key, webhook, limits)
    if acknowledge is not None:
        pipeline.acknowledge(settings, acknowledge)
        write_note(f"alarm {acknowledge} is resolved")
    elif once:
        _exit(pipeline.watch_once(settings), json)
    else:
        pipeline.run_monitor(settings, listen, pause_seconds)


def _exit(done: MonitorRound, json: bool) -> None:
    if json:
        alarms = [alarm.to_json("raised", alarm.since) for alarm in done.alarms]
        write_json({"size": done.size, "audited": done.audited, "alarms": alarms, "unseen": list(done.unseen)})
    else:
        typer.echo(f"{done.audited} entries audited of a log of {done.size}; {len(done.alarms)} alarms stand")
        for alarm in done.alarms:
            typer.echo(f"{alarm.severity} {alarm.kind} {alarm.id}: {' '.join(alarm.text.split())}")
        for text in done.unseen:
            write_note(f"not seen: {text}")
    if done.alarms and not all(alarm.kind == "silence" for alarm in done.alarms):
        raise typer.Exit(EXIT_ALARM)
    if done.unseen:
        raise typer.Exit(EXIT_UNSEEN)
    if done.alarms:
        raise typer.Exit(EXIT_ALARM)
