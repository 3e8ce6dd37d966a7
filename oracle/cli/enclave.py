"""`affidavit enclave`: keys in attested hardware, from the nonce to the registered key (docs/enclaves.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oracle.cli.console import working, write_json, write_pairs, write_table
from oracle.cli.options import Deployment, Json, Keystore, PasswordFile, Rpc

if TYPE_CHECKING:
    from oracle.records import Bytes32, EnclaveKey
    from oracle.relay.contracts import Contracts

app = typer.Typer(
    help="Keys in attested enclaves: begin, attest, register, revoke, show; or registered on a quote that the chain verifies.",
    no_args_is_help=True,
)

Registration = Annotated[Path, typer.Option("--registration", help="What `enclave begin` wrote.", metavar="FILE")]
Root = Annotated[Path, typer.Option("--root", help="Root key of a simulated enclave; mode 0600.", metavar="FILE")]
Reason = Annotated[str, typer.Option(help="Why; its keccak256 is kept on chain.")]
Key = Annotated[str, typer.Option("--key", help="Address of the key in the enclave.", metavar="ADDRESS")]


def _row(contracts: Contracts, key: EnclaveKey, now: int) -> dict[str, str | int]:
    from oracle.attest.enclave.report import Platform
    from oracle.encoding import to_hex
    from oracle.pipeline.enclaves import describe_state

    return {
        "key": key.key,
        "operator": key.operator,
        "platform": Platform(key.platform).name,
        "state": describe_state(contracts, key, now),
        "expires_at": key.expires_at,
        "measurement": to_hex(key.measurement),
        "runtime_digest": to_hex(key.runtime_digest),
        "quote_digest": to_hex(key.quote_digest),
    }


def _show(contracts: Contracts, key: EnclaveKey, json: bool) -> None:
    row = _row(contracts, key, contracts.pending_time())
    if json:
        write_json(row)
    else:
        write_pairs(row.items())


@app.command("begin")
def begin(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    key: Key,
    runtime: Annotated[
        str, typer.Option("--runtime", help="What runs models in there: name,version,provider,optimisation; or its digest, 0x….")
    ],
) -> None:
    """Draw the nonce that the enclave's quote is bound to, and print the registration: keep it as a file."""
    from oracle.encoding import parse_address
    from oracle.pipeline import enclaves
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    with working("Beginning"):
        registration = enclaves.begin_registration(session, parse_address(key, "--key"), _runtime_digest(runtime))
    write_json(enclaves.registration_to_json(registration))


def _runtime_digest(text: str) -> Bytes32:
    from oracle.attest.enclave.binding import compute_runtime_digest
    from oracle.encoding import parse_bytes32
    from oracle.errors import MalformedInput
    from oracle.records import Runtime

    if text.startswith("0x"):
        return parse_bytes32(text, "--runtime")
    parts = text.split(",")
    if len(parts) != 4:
        raise MalformedInput("--runtime", "name,version,provider,optimisation", text[:60])
    return compute_runtime_digest(Runtime(*parts))


@app.command("simulate-root")
def simulate_root(root: Root) -> None:
    """Make the root key of a simulated enclave, for development, and print the digest that policies name it by."""
    from oracle.attest.enclave.simulated import SimulatedEnclave
    from oracle.encoding import to_hex

    enclave = SimulatedEnclave.generate()
    enclave.save(root)
    write_json({"root": str(root), "digest": to_hex(enclave.root_digest)})


@app.command("simulate")
def simulate(
    root: Root,
    registration: Registration,
    image: Annotated[str, typer.Option("--image", help="32 bytes that stand for the image, 0x….", metavar="DIGEST")],
    out: Annotated[Path, typer.Option("--out", help="Where the quote goes.", metavar="FILE")],
    seconds: Annotated[int, typer.Option(min=1, help="How long the quote is good.")] = 7 * 86_400,
) -> None:
    """Make a SIMULATED quote. It proves nothing about what runs, and says so."""
    import time

    from oracle.attest.enclave.simulated import SimulatedEnclave
    from oracle.encoding import parse_bytes32
    from oracle.pipeline import enclaves

    begun, enclave = enclaves.read_registration(registration), SimulatedEnclave.load(root)
    quote = enclaves.simulate_quote(enclave, begun, parse_bytes32(image, "--image"), int(time.time()), seconds)
    out.write_bytes(quote)
    write_json({"out": str(out), "platform": "SIMULATED", "bytes": len(quote)})


@app.command("attest")
def attest(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    registration: Registration,
    quote: Annotated[Path, typer.Option("--quote", help="The enclave's quote, document or report.", metavar="FILE")],
    policy: Annotated[Path, typer.Option("--policy", help="What this operator signs for (docs/enclaves.md).", metavar="FILE")],
    collateral: Annotated[
        Path | None, typer.Option("--collateral", help="What the vendor publishes about the platform.", metavar="FILE")
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", help="Another operator's attestation, whose expiry to sign too.", metavar="FILE")
    ] = None,
) -> None:
    """Verify another operator's quote and sign what it says, with the key that signs claims. Prints the attestation."""
    import time

    from oracle.attest.enclave.accept import load_policy
    from oracle.pipeline import enclaves
    from oracle.pipeline.session import load_signer, open_chain

    contracts, signer = open_chain(rpc, deployment), load_signer(keystore, password_file)
    evidence = (_read_bytes(quote), _read_bytes(collateral) if collateral is not None else b"")
    expires_at = None if like is None else enclaves.read_attestation(like).attestation.expires_at
    begun = enclaves.read_registration(registration)
    signed = enclaves.attest(contracts, signer, begun, evidence, load_policy(policy), int(time.time()), expires_at)
    write_json(enclaves.attestation_to_json(signed))


def _read_bytes(path: Path) -> bytes:
    from oracle.errors import ConfigRejected

    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigRejected(f"file {path}", "a readable file", error.strerror) from error


@app.command("register")
def register(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    attestations: Annotated[list[Path], typer.Option("--attestation", help="One of each operator; again for each.", metavar="FILE")],
    json: Json = False,
) -> None:
    """Register the enclave's key on the attestations of enough operators."""
    from oracle.pipeline import enclaves
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    with working("Registering"):
        registered = enclaves.register(session, [enclaves.read_attestation(path) for path in attestations])
    _show(session.contracts, registered, json)


@app.command("post-collateral")
def post_collateral(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    collateral: Annotated[Path, typer.Option("--collateral", help="JSON of a PCCS client, as dcap-qvl writes it.", metavar="FILE")],
) -> None:
    """Post what Intel publishes about a platform, as far as the chain does not have it. Any account may; the contracts check everything."""
    from oracle.attest.enclave.intel import take_apart
    from oracle.pipeline import direct
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    direct.require_direct(session.contracts)
    with working("Posting"):
        posted = direct.post_collateral(session, take_apart(_read_bytes(collateral)))
    write_json({one.what: one.gas_used for one in posted})


@app.command("measure")
def measure(
    quote: Annotated[Path, typer.Option("--quote", help="A quote of SGX or TDX.", metavar="FILE")],
) -> None:
    """Say what a quote says that it runs. Verifies NOTHING: for the measurement of an image of one's own."""
    from oracle.encoding import to_hex
    from oracle.pipeline import direct

    found = direct.measure(_read_bytes(quote))
    registers = {name: to_hex(value) for name, value in found.registers}
    write_json({"platform": found.platform.name.lower(), "measurement": to_hex(found.measurement), "registers": registers})


@app.command("sign-measurement")
def sign_measurement(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    platform: Annotated[str, typer.Option("--platform", help="sgx or tdx.")],
    measurement: Annotated[str, typer.Option("--measurement", help="As `enclave measure` prints it.", metavar="DIGEST")],
    runtime: Annotated[
        str, typer.Option("--runtime", help="What runs models in there: name,version,provider,optimisation; or its digest, 0x….")
    ],
    withdraw: Annotated[bool, typer.Option("--withdraw", help="That it must not be registered any more, nor count.")] = False,
) -> None:
    """Sign, with the key that signs claims, that enclaves of a measurement may be registered directly. Prints the signed decision."""
    from oracle.attest.enclave.report import Platform
    from oracle.encoding import parse_bytes32
    from oracle.errors import MalformedInput
    from oracle.pipeline import direct
    from oracle.pipeline.session import load_signer, open_chain

    kinds = {"sgx": Platform.SGX, "tdx": Platform.TDX}
    if platform not in kinds:
        raise MalformedInput("--platform", "sgx or tdx", platform[:20])
    contracts, signer = open_chain(rpc, deployment), load_signer(keystore, password_file)
    about = (kinds[platform], parse_bytes32(measurement, "--measurement"), _runtime_digest(runtime))
    write_json(direct.decision_to_json(direct.sign_decision(contracts, signer, *about, not withdraw)))


@app.command("decide-together")
def decide_together(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    decisions: Annotated[list[Path], typer.Option("--decision", help="One of each operator; again for each.", metavar="FILE")],
) -> None:
    """Approve a measurement, or withdraw that, on the signatures of enough operators. Any account may send it."""
    from oracle.encoding import to_hex
    from oracle.pipeline import direct
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    with working("Deciding"):
        decided = direct.decide_together(session, [direct.read_decision(path) for path in decisions])
    write_json({"platform": decided.platform.name.lower(), "measurement": to_hex(decided.measurement), "approved": decided.is_approved})


@app.command("register-direct")
def register_direct(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    registration: Registration,
    quote: Annotated[Path, typer.Option("--quote", help="The enclave's quote, of SGX or TDX.", metavar="FILE")],
    expires_at: Annotated[int | None, typer.Option("--expires-at", help="POSIX seconds; as late as allowed where left out.")] = None,
    json: Json = False,
) -> None:
    """Register the enclave's key on its quote, which the chain verifies: no other operator signs. Its measurement must be approved."""
    from oracle.pipeline import direct, enclaves
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    with working("Registering"):
        registered = direct.register_direct(session, enclaves.read_registration(registration), _read_bytes(quote), expires_at)
    _show(session.contracts, registered, json)


@app.command("revoke")
def revoke(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    key: Key,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Revoke the account's own enclave key, for ever."""
    from oracle.encoding import keccak256, parse_address
    from oracle.pipeline import enclaves
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    with working("Revoking"):
        revoked = enclaves.revoke(session, parse_address(key, "--key"), keccak256(reason.encode()))
    _show(session.contracts, revoked, json)


@app.command("sign-revocation")
def sign_revocation(
    rpc: Rpc, deployment: Deployment, keystore: Keystore, password_file: PasswordFile, key: Key, reason: Reason = ""
) -> None:
    """Sign, with the key that signs claims, that another operator's enclave key must not count any more. Prints the signed revocation."""
    from oracle.encoding import keccak256, parse_address
    from oracle.pipeline import enclaves
    from oracle.pipeline.session import load_signer, open_chain

    contracts, signer = open_chain(rpc, deployment), load_signer(keystore, password_file)
    signed = enclaves.sign_revocation(contracts, signer, parse_address(key, "--key"), keccak256(reason.encode()))
    write_json(enclaves.revocation_to_json(signed))


@app.command("revoke-together")
def revoke_together(
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    revocations: Annotated[list[Path], typer.Option("--revocation", help="One of each operator; again for each.", metavar="FILE")],
    json: Json = False,
) -> None:
    """Revoke anybody's enclave key, for ever, on the signatures of enough operators. Any account may send it."""
    from oracle.pipeline import enclaves
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    with working("Revoking"):
        revoked = enclaves.revoke_together(session, [enclaves.read_revocation(path) for path in revocations])
    _show(session.contracts, revoked, json)


@app.command("show")
def show(
    rpc: Rpc,
    deployment: Deployment,
    key: Annotated[str | None, typer.Option("--key", help="One key; all where left out.", metavar="ADDRESS")] = None,
    json: Json = False,
) -> None:
    """Show every registered enclave key, or all about one."""
    from oracle.encoding import parse_address
    from oracle.pipeline import enclaves
    from oracle.pipeline.session import open_chain

    contracts = open_chain(rpc, deployment)
    if key is not None:
        _show(contracts, enclaves.find_key(contracts, parse_address(key, "--key")), json)
        return
    now = contracts.pending_time()
    rows = [_row(contracts, one, now) for one in contracts.enclave_keys()]
    if json:
        write_json(rows)
    else:
        columns = ("key", "operator", "platform", "state", "expires_at")
        write_table("Enclaves", columns, [[row[name] for name in columns] for row in rows])
