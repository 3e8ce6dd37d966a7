"""`affidavit relay`: the process, and how it is doing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oracle.cli.console import working, write_json, write_pairs, write_table
from oracle.cli.options import Config, Json

if TYPE_CHECKING:
    from oracle.pipeline.relaystatus import Status

app = typer.Typer(help="Run a relay: collect claims, deliver evidence, follow transactions to finality.")


@app.callback(invoke_without_command=True)
def relay(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", help="TOML configuration file.", metavar="FILE")] = None,
) -> None:
    """Run a relay: collect claims, deliver evidence, follow transactions to finality."""
    if context.invoked_subcommand is not None:
        return
    if config is None:
        raise typer.BadParameter("needed to run a relay", param_hint="--config")
    from oracle.config import load_config
    from oracle.pipeline.relay import run_relay

    run_relay(load_config(config))


@app.command("status")
def status(config: Config, json: Json = False) -> None:
    """Tell what is open, who leads, what was spent, and how the endpoints are: from database and chain, beside a relay that runs."""
    from oracle.config import load_config
    from oracle.pipeline.relaystatus import read_status

    with working("Looking"):
        found = read_status(load_config(config))
    if json:
        write_json(found.to_json())
        return
    write_pairs(_rows(found))
    rows = [(e["name"], e["state"], e["head"] or "", sum(e["faults"].values()), e["reason"]) for e in found.seen.endpoints["endpoints"]]
    write_table(f"Endpoints, of which {found.seen.endpoints['quorum']} must agree", ("endpoint", "state", "head", "faults", "reason"), rows)


def _rows(found: Status) -> Iterator[tuple[str, object]]:
    from oracle.encoding import to_hex
    from oracle.pipeline.relaystatus import when

    stored, seen = found.stored, found.seen
    leading = stored.leading
    term = "" if leading.term is None else f", term {leading.term}"
    yield "leading", f"{leading.holder or 'nobody'}{term}"
    for name, counts in (("requests", stored.requests), ("jobs", stored.jobs), ("nonces", stored.nonces)):
        yield name, ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"
    if (oldest := stored.oldest) is not None:
        yield (
            "oldest unanswered",
            f"{to_hex(oldest.request_id)}, {oldest.state}, for {oldest.waited_seconds:.0f} s, until {when(oldest.deadline)}",
        )
        if oldest.reason:
            yield "its reason", oldest.reason
    yield "unmined", f"{stored.unmined_seconds:.0f} s; {stored.replaced} replaced"
    yield "log entries waiting", stored.log_entries_waiting
    yield "last block followed", "none" if stored.followed is None else stored.followed[0]
    if seen.problem:
        yield "chain", seen.problem
    if seen.head is not None:
        yield "head", f"{seen.head.number}, {when(seen.head.timestamp)}"
    yield "account", found.account or "none yet"
    if seen.balance_wei is not None:
        yield "balance", f"{seen.balance_wei} wei, and {seen.owed_wei} wei in the Coprocessor"
    if seen.spent is not None:
        yield "spent", f"{seen.spent.wei} wei, {seen.spent.gas_used} gas, in its last {seen.spent.transactions} mined transactions"
