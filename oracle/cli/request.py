"""`affidavit request`, `affidavit follow`, `affidavit deposit`: asking for an inference and watching what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oracle.cli.console import working, write_json_line, write_note, write_pairs, write_result
from oracle.cli.options import Deployment, Json, Keystore, PasswordFile, Rpc
from oracle.printing import printable

if TYPE_CHECKING:
    from oracle.pipeline.catalogue import DescribedModel
    from oracle.pipeline.client import ApiClient
    from oracle.pipeline.requesting import Outcome
    from oracle.records import Bytes32

ApiUrl = Annotated[str | None, typer.Option("--api", help="Base URL of an Affidavit API.", envvar="AFFIDAVIT_API", metavar="URL")]


def request(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model directory, or a model id (0x…) the API serves.")],
    input_file: Annotated[
        Path,
        typer.Option(
            "--input",
            metavar="FILE",
            help=".json (a list of numbers in real units, or the API's input object), .npy, or .bin (input bytes).",
        ),
    ],
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    quorum: Annotated[
        int | None,
        typer.Option(min=0, max=255, help="How many operators must have signed the same answer; 1 where left out, 0 with --proof."),
    ] = None,
    proof: Annotated[bool, typer.Option("--proof", help="Demand a proof that the model gives this answer (canonical models).")] = False,
    enclave: Annotated[bool, typer.Option("--enclave", help="Demand the signature of a key in an operator's enclave as well.")] = False,
    simulated_enclave: Annotated[
        bool, typer.Option("--simulated-enclave", help="As --enclave, and a simulated one will do, which proves nothing: for development.")
    ] = False,
    window_seconds: Annotated[int, typer.Option(min=0, help="The callback waits this long after delivery.")] = 0,
    disputable: Annotated[
        bool, typer.Option("--disputable", help="Until then anyone may have a committee of operators decide. Only with a window.")
    ] = False,
    fee_wei: Annotated[int, typer.Option(min=0, help="Paid to the operators whose signatures count, and to who proved.")] = 0,
    callback_gas: Annotated[int, typer.Option(min=0, help="Gas for onInference on the requester, if it is a contract.")] = 0,
    patience_seconds: Annotated[int, typer.Option(min=1, help="Deadline from now; after it the fee can be refunded.")] = 600,
    signed: Annotated[
        bool, typer.Option("--signed", help="Sign the request and post it to the API; the fee comes from your deposit.")
    ] = False,
    api: ApiUrl = None,
    follow_it: Annotated[bool, typer.Option("--follow", help="Wait for the answer and print it (needs --api).")] = False,
    json: Json = False,
) -> None:
    """Ask for an inference: paid on chain by a transaction, or with --signed by a signature posted to the API."""
    from oracle.encoding import to_hex
    from oracle.pipeline import requesting
    from oracle.pipeline.client import KNOWN_SECONDS
    from oracle.pipeline.session import open_session
    from oracle.records import Policy

    if api is None and (signed or follow_it):
        raise typer.BadParameter("needed by --signed and --follow", param_hint="--api")
    described = _find_model(model, api)
    session = open_session(rpc, deployment, keystore, password_file)
    k = quorum if quorum is not None else 0 if proof else 1
    policy = Policy(k, proof, enclave or simulated_enclave, window_seconds, simulated_enclave, disputable)
    terms = requesting.Terms(policy, fee_wei, callback_gas, patience_seconds)
    wanted = requesting.read_input(input_file)
    with working("Asking"):
        asked = (
            requesting.ask_signed(session, described, wanted, terms, api)
            if signed and api
            else requesting.ask_on_chain(session, described, wanted, terms)
        )
    _report(asked, json)
    if follow_it and api:
        _follow(to_hex(asked.request_id), api, KNOWN_SECONDS, json)


def _find_model(text: str, api: str | None) -> DescribedModel:
    from oracle.encoding import parse_bytes32
    from oracle.pipeline.catalogue import describe_directory
    from oracle.pipeline.client import ApiClient

    if not text.startswith("0x"):
        return describe_directory(Path(text))
    if api is None:
        raise typer.BadParameter("needed to look up a model id; or name a model directory", param_hint="--api")
    return ApiClient(api).model(parse_bytes32(text, "model id"))


def _report(asked: Outcome, json: bool) -> None:
    if json:
        write_json_line(asked.to_json())
    else:
        write_pairs(asked.to_json().items())


def follow(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="0x and 64 hex digits.")],
    api: Annotated[str, typer.Option("--api", help="Base URL of an Affidavit API.", envvar="AFFIDAVIT_API", metavar="URL")],
    wait_seconds: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="For a request just made on chain, which the API has not seen yet.")
    ] = 20.0,
    json: Json = False,
) -> None:
    """Print each step of a request as it happens, and the receipt at the end."""
    _follow(request_id, api, wait_seconds, json)


def _follow(request_id_hex: str, api: str, wait_seconds: float, json: bool) -> None:
    from oracle.encoding import parse_bytes32
    from oracle.pipeline.client import ApiClient

    client = ApiClient(api)
    request_id = parse_bytes32(request_id_hex, "request id")
    with working("Waiting for the API to see the request"):  # its relay follows the chain a moment behind
        client.wait_known(request_id, wait_seconds)
    for event in client.follow(request_id):
        if json:
            write_json_line(dict(event.data))
        else:
            typer.echo(printable(f"{event.data.get('time', '')!s:<28} {event.kind:<12} {_told(event.data.get('detail'))}"))
    _report_end(client, request_id, json)


def _told(detail: object) -> str:
    """What a step says besides; the API's words, whatever they are."""
    return "  ".join(f"{name}={value}" for name, value in detail.items()) if isinstance(detail, dict) else str(detail or "")


def _report_end(client: ApiClient, request_id: Bytes32, json: bool) -> None:
    from oracle.errors import RequestUnknown

    try:
        receipt = client.receipt(request_id)
    except RequestUnknown:
        told = client.progress(request_id)
        if json:
            write_json_line({"state": told.state, "reason": told.reason})
        else:
            write_note(f"No answer was delivered; the request ended as {told.state}{f': {told.reason}' if told.reason else ''}.")
        return
    if json:
        write_json_line({"receipt": receipt})
        return
    write_pairs(
        (name, receipt.get(name)) for name in ("transaction", "block_number", "gas_used", "callback", "signers", "prover", "output_digest")
    )
    replaced = receipt.get("replaced")
    if isinstance(replaced, dict):
        write_note(f"The answer first delivered was proven wrong, and replaced in {replaced.get('transaction')}.")
    if (largest := _largest(receipt.get("decoded"))) is not None:
        write_pairs([("largest", largest)])


def _largest(decoded: object) -> str | None:
    """The label with the largest number, where the API tells both."""
    labels, numbers = (decoded.get("labels"), decoded.get("real")) if isinstance(decoded, dict) else (None, None)
    if not isinstance(labels, list) or not isinstance(numbers, list) or len(labels) != len(numbers) or not labels:
        return None
    if not all(isinstance(number, int | float) for number in numbers):
        return None
    best = max(range(len(numbers)), key=lambda k: numbers[k])
    return f"{labels[best]} ({numbers[best]:g})"


def deposit(
    amount_wei: Annotated[int, typer.Argument(metavar="WEI", min=1, help="How much to deposit.")],
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    json: Json = False,
) -> None:
    """Deposit wei in the Coprocessor, from which signed requests are paid."""
    from oracle.pipeline import requesting
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    with working("Depositing"):
        balance_wei = requesting.deposit(session, amount_wei)
    write_result({"account": session.account, "balance_wei": str(balance_wei)}, json)


def quote(
    model: Annotated[str, typer.Argument(metavar="MODEL_ID", help="0x and 64 hex digits.")],
    policy: Annotated[list[str], typer.Argument(metavar="POLICY...", help='The 32-byte word (0x…), or words: "quorum 2", "proof".')],
    rpc: Rpc,
    deployment: Deployment,
    json: Json = False,
) -> None:
    """Tell the least fee with which enough active operators are content, by what they posted on chain."""
    from oracle.encoding import pack_policy, parse_bytes32
    from oracle.pipeline.explaining import parse_policy
    from oracle.pipeline.quoting import quote_to_json
    from oracle.pipeline.session import open_chain

    model_id, word = parse_bytes32(model, "MODEL_ID"), pack_policy(parse_policy(" ".join(policy)))
    write_result(quote_to_json(model_id, word, open_chain(rpc, deployment).quote(model_id, word)), json)


def withdraw(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    to: Annotated[str | None, typer.Option("--to", help="Who is paid; the account itself where left out.", metavar="ADDRESS")] = None,
    json: Json = False,
) -> None:
    """Withdraw the account's whole balance in the Coprocessor: deposits, refunds and earned fees."""
    from oracle.encoding import parse_address
    from oracle.pipeline.requesting import withdraw_balance
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    payee = session.account if to is None else parse_address(to, "--to")
    with working("Withdrawing"):
        paid_wei = withdraw_balance(session, payee)
    write_result({"to": payee, "paid_wei": str(paid_wei)}, json)
