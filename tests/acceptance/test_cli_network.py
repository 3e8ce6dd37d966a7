"""The command line and the API on a whole network: real chain, nodes, relay, log and API, each a process of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from oracle.attest.keys import LIGHT_SCRYPT_N, write_keystore
from oracle.audit.note import parse_vkey
from oracle.audit.proof import verify_proof
from oracle.demo.auditing import settled_indices, wait_anchored
from oracle.demo.local_keys import find_seeds, local_account
from oracle.demo.network import Network, operator_address
from oracle.encoding import parse_bytes32, to_hex
from oracle.records import Domain
from oracle.relay.lease import open_relay_database
from oracle.relay.schema import CLAIMS
from tests.unit.cli_runner import Cli

DIGITS = find_seeds() / "models/digits-mlp/canonical"
CNN = find_seeds() / "models/digits-cnn/opaque"
IRIS = find_seeds() / "models/iris-logistic/canonical"
FEE_WEI = 10**12


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.fixture
def chain(network: Network) -> list[str]:
    return ["--rpc", network.chain.rpc, "--deployment", str(network.deployment_file)]


@pytest.fixture
def account(network: Network, chain: list[str]) -> list[str]:
    return [*chain, "--keystore", str(network.directory / "requester.key"), "--password-file", str(network.password_file)]


@pytest.fixture(scope="module")
def sample() -> dict[str, object]:
    """A held-back digit with its true class."""
    samples = json.loads((find_seeds() / "requests/digits-mlp.json").read_text())["samples"]
    return dict(samples[3])  # the first is one that both digit models misread


@pytest.fixture
def image(sample: dict[str, object], tmp_path: Path) -> Path:
    path = tmp_path / "image.json"
    path.write_text(json.dumps(sample["input"]))
    return path


def largest(receipt: dict[str, object]) -> str:
    decoded = receipt["decoded"]
    assert isinstance(decoded, dict)
    best = max(range(len(decoded["real"])), key=lambda k: decoded["real"][k])
    return str(decoded["labels"][best])


# ---- models, operators, deployments ---------------------------------------------------------------------------------------------------
def test_models_are_registered_once_and_listed(cli: Cli, chain: list[str], account: list[str]) -> None:
    printed = cli.ok("model", "register", IRIS, *account, "--data-uri", "https://example.org/iris").out
    first = dict(line.split() for line in printed.splitlines())
    model_id = first["model_id"]
    assert int(first["gas_used"]) > 100_000
    again = {"model_id": model_id, "parts": 1, "parts_stored": 0, "gas_used": 0, "prepared": True}
    assert cli.ok("model", "register", IRIS, *account, "--json").json() == again
    rows = cli.ok("model", "list", DIGITS, IRIS, find_seeds() / "models/wine-mlp/canonical", *chain, "--json").json()
    assert [row["state"] for row in rows] == ["active", "active", "not registered"]
    assert rows[1]["model_id"] == model_id
    assert "iris" in cli.ok("model", "list", IRIS, *chain).out


def test_an_operators_life(cli: Cli, network: Network, chain: list[str], tmp_path: Path) -> None:
    password = ["--password-file", str(network.password_file)]
    write_keystore(local_account("operator-5"), tmp_path / "account.key", network.password_file, LIGHT_SCRYPT_N)
    for name in ("first.key", "second.key"):
        cli.ok("keys", "new", tmp_path / name, *password)
    mine = [*chain, "--keystore", str(tmp_path / "account.key"), *password]
    seats = {row["index"] for row in cli.ok("operator", "status", *chain, "--json").json()}
    taken = cli.ok("operator", "register", *mine, "--signer-keystore", tmp_path / "first.key", "--stake-wei", 10**18, "--json").json()
    assert taken["index"] == min(set(range(256)) - seats), "the lowest free seat"
    again = cli.ok("operator", "register", *mine, "--signer-keystore", tmp_path / "first.key", "--stake-wei", 10**18, "--json").json()
    assert again == taken
    assert cli.ok("operator", "stake", *mine, "--stake-wei", 5, "--json").json()["stake_wei"] == str(10**18 + 5)
    rotated = cli.ok("operator", "rotate-key", *mine, "--signer-keystore", tmp_path / "second.key", "--json").json()
    assert rotated["signer"] == cli.ok("keys", "address", tmp_path / "second.key", *password).out.strip()
    assert cli.ok("operator", "unbond", *mine, "--json").json()["is_active"] is False
    assert "unbonding left" in cli.refused(2, "operator", "withdraw", *mine)
    cli.ok("deposit", 7, *mine)
    assert cli.ok("withdraw", *mine, "--to", operator_address(0), "--json").json() == {"to": operator_address(0), "paid_wei": "7"}
    assert cli.ok("withdraw", *mine, "--json").json()["paid_wei"] == "0"
    rows = cli.ok("operator", "status", *chain, "--json").json()
    assert [row["operator"] for row in rows[:3]] == [operator_address(i) for i in range(3)]
    assert "is_active" in cli.ok("operator", "status", *chain).out


def test_a_node_signs_with_its_bls_key_too(
    cli: Cli, network: Network, chain: list[str], account: list[str], image: Path, tmp_path: Path
) -> None:
    password, keystore = ["--password-file", str(network.password_file)], network.directory / "node-1-bls.key"
    key = cli.ok("keys", "new-bls", keystore, *password, "--json").json()["bls_key"]
    assert cli.ok("keys", "bls-key", keystore, *password).out.strip() == key
    assert "existing" in cli.refused(2, "keys", "new-bls", keystore, *password)
    write_keystore(local_account("operator-1"), tmp_path / "account.key", network.password_file, LIGHT_SCRYPT_N)
    mine = [*chain, "--keystore", str(tmp_path / "account.key"), *password]
    assert cli.ok("operator", "set-bls-key", *mine, "--bls-keystore", keystore, "--json").json()["bls_key"] == key
    configured = network.directory / "node-1.toml"
    configured.write_text(configured.read_text() + f"bls_keystore = {json.dumps(keystore.name)}\n")
    network.processes.stop(network.node(1))
    network.processes.restart(network.node(1))
    network.processes.wait_ready(network.node(1))
    asked = cli.ok("request", DIGITS, "--input", image, *account, "--quorum", 3, "--fee-wei", FEE_WEI, "--json").json()
    cli.ok("follow", asked["request_id"], "--api", network.api_url)
    query = select(CLAIMS.c.signer, CLAIMS.c.bls).where(CLAIMS.c.request_id == bytes.fromhex(asked["request_id"][2:]))
    with open_relay_database(f"sqlite:///{network.directory}/relay.sqlite").begin() as connection:
        signed = {row.signer: row.bls for row in connection.execute(query)}
    operators = network.contracts.operators()
    assert [len(signed[o.signer]) for o in operators[:3]] == [0, 96, 0]


def test_a_second_deployment(cli: Cli, network: Network, account: list[str], tmp_path: Path) -> None:
    out = tmp_path / "deployment.json"
    arguments = ["deploy", "--rpc", network.chain.rpc, *account[4:], "--out", out]
    deployed = cli.ok(*arguments, "--json").json()
    assert json.loads(out.read_text()) == deployed
    assert deployed["coprocessor"] != network.contracts.deployment.coprocessor
    assert "existing" in cli.refused(2, *arguments)
    deployed["chain_id"] = 1
    (tmp_path / "wrong.json").write_text(json.dumps(deployed))
    assert "31337" in cli.refused(2, "operator", "status", "--rpc", network.chain.rpc, "--deployment", tmp_path / "wrong.json")


# ---- asking -----------------------------------------------------------------------------------------------------------------------------
def test_asking_on_chain_and_following(cli: Cli, network: Network, account: list[str], image: Path, sample: dict[str, object]) -> None:
    arguments = ("request", DIGITS, "--input", image, *account, "--quorum", 2, "--fee-wei", FEE_WEI, "--api", network.api_url)
    lines = [json.loads(line) for line in cli.ok(*arguments, "--follow", "--json").out.splitlines()]
    assert lines[0]["request_id"].startswith("0x")
    assert {"seen", "agreed", "mined", "final"} <= {line.get("kind") for line in lines}
    assert largest(lines[-1]["receipt"]) == str(sample["true_class"])
    assert len(lines[-1]["receipt"]["signers"]) == 2


def test_asking_with_a_signature_and_auditing_it(
    cli: Cli, network: Network, account: list[str], chain: list[str], image: Path, tmp_path: Path
) -> None:
    assert int(cli.ok("deposit", 10**15, *account, "--json").json()["balance_wei"]) >= 10**15
    model_id = to_hex(network.model_ids["digits-mlp/canonical"])
    arguments = ("request", model_id, "--input", image, *account, "--quorum", 2, "--fee-wei", FEE_WEI, "--api", network.api_url, "--signed")
    request_id = json.loads(cli.ok(*arguments, "--json").out)["request_id"]
    text = cli.ok("follow", request_id, "--api", network.api_url).out
    assert "final" in text
    assert "largest" in text
    check_the_api(network, request_id)
    check_the_audit(cli, network, chain, request_id, tmp_path)


def check_the_api(network: Network, request_id: str) -> None:
    """What the API says about an answered request holds without it."""
    api = httpx.Client(base_url=network.api_url)
    state = api.get(f"/v1/requests/{request_id}").json()
    assert (state["state"], state["origin"]) == ("final", "signed")
    receipt = api.get(f"/v1/requests/{request_id}/receipt").json()
    on_chain = network.contracts.status_of(parse_bytes32(request_id, "id"))
    assert receipt["output_digest"] == to_hex(on_chain.output_digest)
    assert receipt["status"] == on_chain.status.name == "FINAL"
    settled_indices(network, parse_bytes32(request_id, "id"))
    proof = api.get(f"/v1/requests/{request_id}/proof").json()
    assert {"intent", "result", "receipt"} <= {entry["kind"] for entry in proof["entries"]}
    for entry in proof["entries"]:
        verify_proof(entry["tlog_proof"].encode(), parse_vkey(network.vkey))
    assert api.get("/ready").json()["ready"]
    assert 'affidavit_api_requests{state="final"}' in api.get("/metrics").text


def check_the_audit(cli: Cli, network: Network, chain: list[str], request_id: str, tmp_path: Path) -> None:
    last = max(settled_indices(network, parse_bytes32(request_id, "id")))
    wait_anchored(network, last)
    log = ["--log", network.log_url, "--vkey", network.vkey, "--token-file", network.auditor_token_file]
    where = [*log, *chain]
    anchored = ["--anchor-key", local_account("log").address]
    one = cli.ok("audit", "verify", request_id, *where, *anchored, "--model", DIGITS, "--require-complete", "--json").json()
    assert [step["number"] for step in one["steps"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert one["is_complete"]
    assert cli.ok("audit", "verify", last, *where, *anchored).out.splitlines()[0].startswith("1. entry")
    assert cli("audit", "verify", request_id, *where, "--require-complete").code == 2, "no anchor key, so step 4 is absent"
    assert cli.ok("audit", "verify", *where, *anchored, "--json").json()["holds"]
    cli.ok("audit", "export", tmp_path / "log", *log)
    offline = ["--log", tmp_path / "log", "--vkey", network.vkey, *chain, *anchored, "--copy"]
    assert cli.ok("audit", "verify", request_id, *offline, "--json").json()["holds"]
    check_tampering(cli, offline, request_id, tmp_path / "log", network)
    cli.ok("audit", "export", tmp_path / "call", *log, "--request", request_id)
    assert list((tmp_path / "call").rglob("*.tlog-proof"))


def check_tampering(cli: Cli, offline: list[object], request_id: str, log: Path, network: Network) -> None:
    checkpoint = log / "checkpoint"
    whole = checkpoint.read_text()
    size = whole.split("\n")[1]
    checkpoint.write_text(whole.replace(f"\n{size}\n", f"\n{int(size) + 1}\n", 1))
    assert "step 3" in cli.refused(2, "audit", "verify", request_id, *offline)
    checkpoint.write_text(whole)
    named = bytes(request_id[2:], "ascii")
    holding = [path for path in (log / "tile/entries").rglob("*") if path.is_file() and named in path.read_bytes()]
    assert holding, "the copy holds the request's entries, in whichever bundles"
    for bundle in holding:
        data = bundle.read_bytes()
        at = data.index(named)
        bundle.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    failed = cli("audit", "verify", *offline, "--json")
    assert failed.code == 2
    assert failed.json()["holds"] is False
    shutil.rmtree(log)
    assert cli("audit", "verify", request_id, *offline).code == 2


def test_asking_an_opaque_model(cli: Cli, network: Network, account: list[str], tmp_path: Path, sample: dict[str, object]) -> None:
    pixels = sample["input"]
    name = json.loads((CNN / "manifest.json").read_text())["inputs"][0]["name"]
    (tmp_path / "image.json").write_text(json.dumps({"tensors": {name: {"shape": [1, 1, 8, 8], "values": pixels}}}))
    arguments = (
        "request",
        CNN,
        "--input",
        tmp_path / "image.json",
        *account,
        "--quorum",
        3,
        "--api",
        network.api_url,
        "--follow",
        "--json",
    )
    receipt = json.loads(cli.ok(*arguments).out.splitlines()[-1])["receipt"]
    scores = receipt["decoded"]["tensors"][0]["values"]
    assert scores.index(max(scores)) == sample["true_class"]


# ---- refusals, on a real chain -----------------------------------------------------------------------------------------------------------
def test_what_the_contracts_refuse_is_named(cli: Cli, network: Network, account: list[str], image: Path) -> None:
    wine = find_seeds() / "models/wine-mlp/canonical"
    (image.parent / "wine.json").write_text(json.dumps({"integers": [0] * 13}))
    assert "ModelNotActive" in cli.refused(2, "request", wine, "--input", image.parent / "wine.json", *account)
    assert "64 elements" in cli.refused(2, "request", DIGITS, "--input", image.parent / "wine.json", *account)
    assert "callback_gas: expected at most 5000000" in cli.refused(
        2, "request", DIGITS, "--input", image, *account, "--callback-gas", 5_000_001
    )
    assert "--api" in cli("request", DIGITS, "--input", image, *account, "--signed").err
    signed = ("request", DIGITS, "--input", image, *account, "--signed", "--api", network.api_url)
    assert "deposit" in cli.refused(2, *signed, "--fee-wei", 10**30)
    assert "quorum" in cli.refused(2, *signed, "--quorum", 200)
    assert "does not answer" in cli.refused(3, *signed[:-1], "http://127.0.0.1:9")


def test_a_request_signed_for_another_chain(network: Network) -> None:
    from oracle.pipeline.catalogue import describe_directory
    from oracle.pipeline.inputs import Integers
    from oracle.pipeline.requesting import Terms, sign_request
    from oracle.pipeline.session import Session
    from oracle.records import Policy
    from oracle.wire import asked_to_json

    session = network.session("requester")
    asked = sign_request(session, describe_directory(DIGITS), Integers((0,) * 64), Terms(Policy(quorum=2), 0, 0, 600))
    assert httpx.post(f"{network.api_url}/v1/requests", json=asked_to_json(asked)).status_code == 202

    class Elsewhere:
        """The same contracts, as a wallet on another chain sees them."""

        domain = Domain(1, network.contracts.domain.coprocessor)
        pending_time = network.contracts.pending_time

    foreign = sign_request(
        Session(Elsewhere(), session.signer, session.sender),  # type: ignore[arg-type]
        describe_directory(DIGITS),
        Integers((0,) * 64),
        Terms(Policy(quorum=2), 0, 0, 600),
    )
    answer = httpx.post(f"{network.api_url}/v1/requests", json=asked_to_json(foreign))
    assert (answer.status_code, answer.json()["title"]) == (422, "RequestRejected")
    assert "chain 31337" in answer.json()["detail"]
