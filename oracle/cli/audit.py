"""`affidavit audit`: verifying a call, or a whole log, trusting nobody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oracle.cli.console import progress, working, write_json
from oracle.cli.options import Deployment, Json, Rpc

if TYPE_CHECKING:
    from oracle.audit.call import ClaimChecks
    from oracle.audit.report import AuditReport, AuditStep
    from oracle.errors import AuditFailed
    from oracle.pipeline.audit import Auditor
    from oracle.records import Bytes32

app = typer.Typer(help="Verify calls and whole logs, trusting nobody.", no_args_is_help=True)

Log = Annotated[str, typer.Option("--log", help="The log: a URL, or an exported directory.", envvar="AFFIDAVIT_LOG", metavar="URL|DIR")]
Vkey = Annotated[str, typer.Option("--vkey", help="The log's verifier key, from a source you trust.", envvar="AFFIDAVIT_VKEY")]
AnchorKey = Annotated[
    str | None,
    typer.Option(
        "--anchor-key",
        help="Address that signs the log's anchors; without it step 4 is absent.",
        envvar="AFFIDAVIT_ANCHOR_KEY",
        metavar="ADDRESS",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="A reader's token, to see inputs, outputs and signatures.", envvar="AFFIDAVIT_TOKEN_FILE", metavar="FILE"
    ),
]

Policy = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        help="Witness policy (c2sp.org/tlog-policy): which witnesses must have cosigned.",
        envvar="AFFIDAVIT_WITNESS_POLICY",
        metavar="FILE",
    ),
]


def open_auditor_of(
    log: str,
    vkey: str,
    rpc: list[str],
    deployment: Path,
    anchor_key: str | None,
    token_file: Path | None,
    checks: ClaimChecks | None = None,
    policy: Path | None = None,
    is_copy: bool = False,
) -> Auditor:
    """The auditor of a command's options."""
    from oracle.config import read_secret
    from oracle.encoding import parse_address
    from oracle.pipeline.audit import CHECKS, open_auditor

    anchored_by = None if anchor_key is None else parse_address(anchor_key, "--anchor-key")
    token = None if token_file is None else read_secret(token_file)
    return open_auditor(log, vkey, rpc, deployment, anchored_by, token, checks or CHECKS, policy, is_copy)


def parse_subject(text: str) -> Bytes32 | int:
    """A request id, or an entry's index."""
    from oracle.encoding import parse_bytes32, parse_uint

    return parse_bytes32(text, "request id") if text.startswith("0x") else parse_uint(text, "entry index", 53)


def _write_step(step: AuditStep) -> None:
    mark = "ok    " if step.status == "passed" else "absent"
    typer.echo(f"{step.number}. {step.name:<22} {mark}  {step.detail}")


@app.command("verify")
def verify(
    log: Log,
    vkey: Vkey,
    rpc: Rpc,
    deployment: Deployment,
    subject: Annotated[str | None, typer.Argument(metavar="[REQUEST_ID|INDEX]", help="One call; the whole log where left out.")] = None,
    anchor_key: AnchorKey = None,
    token_file: TokenFile = None,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="Model directory, to verify its proofs (step 6) and run it again (step 8).", metavar="DIR"),
    ] = None,
    policy: Policy = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="The log is a copy taken earlier: newer anchors on chain are a note, not a rollback.")
    ] = False,
    require_complete: Annotated[bool, typer.Option("--require-complete", help="Fail where a step found nothing to check.")] = False,
    json: Json = False,
) -> None:
    """Go through the numbered steps of an audit and stop at the first that does not hold, with exit code 2.

    With --policy an unmet quorum of witnesses is told, and exits with 2 as well once all steps are done.
    """
    from oracle.errors import AuditFailed
    from oracle.pipeline.audit import CHECKS, load_models

    steps: list[AuditStep] = []

    def on_step(step: AuditStep) -> None:
        steps.append(step)
        if not json:
            _write_step(step)

    re_execute, checks = load_models(model) if model else (None, CHECKS)
    try:
        with working("Reading the log"):
            auditor = open_auditor_of(log, vkey, rpc, deployment, anchor_key, token_file, checks, policy, copy)
        if subject is None:
            with progress() as on_progress:
                report = auditor.verify_log(on_step, on_progress)
        else:
            report = auditor.verify_call(parse_subject(subject), on_step, re_execute)
    except AuditFailed as failure:
        if json:
            _write_failure(steps, failure)
        raise
    _write_report(report, json)
    if report.is_witnessed is False or (require_complete and not report.is_complete):
        raise typer.Exit(2)


def _step_json(step: AuditStep) -> dict[str, str | int]:
    return {"number": step.number, "name": step.name, "status": str(step.status), "detail": step.detail}


def _write_failure(steps: list[AuditStep], failure: AuditFailed) -> None:
    write_json({"holds": False, "steps": [_step_json(s) for s in steps], "failed": {"number": failure.step, "detail": str(failure)}})


def _write_report(report: AuditReport, json: bool) -> None:
    if json:
        document = {"subject": report.subject, "holds": True, "is_complete": report.is_complete}
        if report.is_witnessed is not None:
            document["is_witnessed"] = report.is_witnessed
        write_json(document | {"steps": [_step_json(s) for s in report.steps], "remarks": list(report.remarks)})
        return
    for remark in report.remarks:
        typer.echo(f"   note: {remark}")
    verdict = "every step holds" if report.is_complete else "every step that could be checked holds; some were absent"
    typer.echo(f"{report.subject}: {verdict}")
