"""The tree of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from oracle.cli import (
    audit,
    audit_bundle,
    audit_monitor,
    audit_office,
    audit_receipt,
    audit_report,
    audit_search,
    bench,
    deploy,
    dispute,
    enclave,
    keys,
    log,
    model,
    operator,
    people,
    policy,
    processes,
    proving,
    proxy,
    relay,
    request,
    witness,
)

app = typer.Typer(
    name="affidavit",
    help="On-chain AI-verification middleware: sworn testimony for model outputs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"affidavit {version('affidavit')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """On-chain AI-verification middleware: sworn testimony for model outputs."""


app.add_typer(model.app, name="model")
app.add_typer(keys.app, name="keys")
app.add_typer(log.app, name="log")
app.add_typer(audit.app, name="audit")
app.add_typer(people.app, name="people")
app.add_typer(witness.app, name="witness")
audit.app.add_typer(audit_office.disclose, name="disclose")
audit.app.add_typer(audit_office.hold, name="hold")
audit.app.add_typer(audit_office.erase, name="erase")
audit.app.add_typer(audit_office.review, name="review")
audit.app.command("search")(audit_search.search)
audit.app.command("show")(audit_search.show)
audit.app.command("sample")(audit_search.sample)
audit.app.command("completeness")(audit_search.completeness)
audit.app.command("export")(audit_search.export)
audit.app.command("receipt")(audit_receipt.receipt)
audit.app.command("monitor")(audit_monitor.monitor)
audit.app.command("bundle")(audit_bundle.bundle)
audit.app.command("report")(audit_report.report)
audit.app.command("incident")(audit_report.incident)
app.add_typer(proxy.app, name="proxy")
app.add_typer(operator.app, name="operator")
app.add_typer(enclave.app, name="enclave")
app.add_typer(relay.app, name="relay")
app.add_typer(dispute.app, name="dispute")
app.add_typer(policy.app, name="policy")
app.add_typer(proving.setup_app, name="setup")
app.command("prove")(proving.prove)
app.command("verify")(proving.verify)
app.command("request")(request.request)
app.command("follow")(request.follow)
app.command("deposit")(request.deposit)
app.command("withdraw")(request.withdraw)
app.command("quote")(request.quote)
app.command("node")(processes.node)
app.command("watch")(processes.watch)
app.command("api")(processes.api)
app.command("deploy")(deploy.deploy)
app.command("demo")(deploy.demo)
app.command("bench")(bench.bench)
