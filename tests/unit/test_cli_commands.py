"""The command line without a network: what it makes, what it refuses, and how it ends."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from threading import Timer
from typing import Any, get_type_hints

import numpy as np
import pytest
import typer
from eth_account import Account

from oracle.audit.access import load_access
from oracle.audit.keys import read_key_file
from oracle.cli.console import write_table
from oracle.cli.tree import app
from oracle.encoding import pack_int16, to_hex
from oracle.errors import InputRejected
from oracle.pipeline import requesting
from oracle.pipeline.inputs import Integers, Raw, Reals, Tensors
from oracle.relay.deployment import Deployment
from oracle.relay.schema import RequestState
from oracle.relay.store import set_state
from tests.twins.api import ROOT, network, served
from tests.unit.cli_runner import Cli

DIGITS = ROOT / "seeds/models/digits-mlp"
FOREST = ROOT / "seeds/models/breast-cancer-forest"
HEAVY = {"web3", "onnx", "onnxruntime", "numpy", "fastapi", "sqlalchemy", "eth_account", "eth_abi", "alembic", "uvicorn", "httpx"}
HEAVY |= {"circuits"}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text("correct horse battery staple\n")
    return path


def commands(tree: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command's path and the function behind it."""
    for info in tree.registered_commands:
        assert info.name, "every command is named"
        yield (*path, info.name), info.callback
    for group in tree.registered_groups:
        assert group.name
        assert group.typer_instance
        if (alone := group.typer_instance.registered_callback) is not None and alone.invoke_without_command is True:
            yield (*path, group.name), alone.callback
        yield from commands(group.typer_instance, (*path, group.name))


COMMANDS = dict(commands(app))


# ---- the tree -------------------------------------------------------------------------------------------------------------------------
def test_public_names_are_there() -> None:
    public = [
        "demo",
        "node",
        "relay",
        "api",
        "watch",
        "prove",
        "verify",
        "request",
        "follow",
        "deploy",
        "keys new",
        "keys address",
        "log serve",
        "log new",
    ]
    public += [f"model {name}" for name in ("compile", "opaque", "register", "list", "show", "verify")]
    public += ["audit verify", *(f"operator {name}" for name in ("register", "status", "stake", "unbond", "rotate-key", "withdraw"))]
    public += ["policy explain"]
    assert {tuple(name.split()) for name in public} <= set(COMMANDS)


def test_the_page_lists_every_command_and_variable() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| `affidavit")]
    assert {tuple(c.split()) for line in table for c in re.findall(r"`affidavit ([a-z -]+)`", line.split("|")[1])} == set(COMMANDS)
    used = set()
    for command in COMMANDS.values():
        for hint in get_type_hints(command, include_extras=True).values():
            used |= {hint.__metadata__[0].envvar} if hasattr(hint, "__metadata__") else set()
    assert set(re.findall(r"`(AFFIDAVIT_\w+)`", page)) == used - {None}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_says_what_it_does(path: tuple[str, ...], cli: Cli) -> None:
    assert COMMANDS[path].__doc__
    for name, hint in get_type_hints(COMMANDS[path], include_extras=True).items():
        assert name in ("return", "context") or hint.__metadata__[0].help, name
    assert cli.ok(*path, "--help").out


def test_secrets_are_never_arguments() -> None:
    """Whatever sounds like a secret takes the path of a file."""
    secret = {"password", "token", "secret", "private", "keystore", "mnemonic"}
    found = 0
    for path, command in COMMANDS.items():
        for name, hint in get_type_hints(command).items():
            if secret & set(name.split("_")):
                found += 1
                assert hint in (Path, Path | None), (path, name)
    assert found > 20


def test_help_is_fast_because_nothing_heavy_is_imported() -> None:
    code = "import sys; from oracle.cli.tree import app; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split())
    assert not loaded & HEAVY


def test_version(cli: Cli) -> None:
    assert cli.ok("--version").out.startswith("affidavit 0.")


# ---- how it ends ------------------------------------------------------------------------------------------------------------------------
def test_a_refusal_is_one_line_and_exit_code_2(cli: Cli, tmp_path: Path) -> None:
    assert "nowhere" in cli.refused(2, "model", "show", tmp_path / "nowhere")
    for process in ("node", "relay", "api"):
        assert "missing.toml" in cli.refused(2, process, "--config", tmp_path / "missing.toml")
    assert "missing.toml" in cli.refused(2, "log", "serve", "--config", tmp_path / "missing.toml")


def test_the_world_failing_is_one_line_with_its_cause_and_exit_code_3(cli: Cli, tmp_path: Path) -> None:
    contracts = [field.name for field in fields(Deployment) if field.name not in ("chain_id", "block_number")]
    deployment = dict.fromkeys(contracts, "0x" + "11" * 20)
    (tmp_path / "deployment.json").write_text(json.dumps(deployment | {"chain_id": 1, "block_number": 0}))
    line = cli.refused(3, "operator", "status", "--rpc", "http://127.0.0.1:9", "--deployment", tmp_path / "deployment.json")
    assert "chain id" in line
    assert "refused" in line
    line = cli.refused(3, "follow", "0x" + "00" * 32, "--api", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in line


def test_a_bug_shows_its_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("oracle.pipeline.catalogue.describe_directory", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        cli("model", "show", DIGITS / "canonical")


def test_unknown_commands_and_options(cli: Cli) -> None:
    assert cli("nonsense").code == 2
    assert cli("keys", "new", "x", "--password", "hunter2").code == 2


# ---- keys ---------------------------------------------------------------------------------------------------------------------------
def test_keys(cli: Cli, tmp_path: Path, password: Path) -> None:
    path = tmp_path / "node.key"
    address = cli.ok("keys", "new", path, "--password-file", password).out.strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Account.from_key(Account.decrypt(path.read_text(), "correct horse battery staple")).address == address
    assert cli.ok("keys", "address", path, "--password-file", password, "--json").json()["address"] == address
    assert "existing" in cli.refused(2, "keys", "new", path, "--password-file", password)
    password.write_text("another password\n")
    line = cli.refused(2, "keys", "address", path, "--password-file", password)
    assert str(path) in line
    assert "another password" not in line
    password.chmod(0o644)
    assert "0600" in cli.refused(2, "keys", "address", path, "--password-file", password)


def test_log_new(cli: Cli, tmp_path: Path, password: Path) -> None:
    arguments = ("log", "new", tmp_path / "log", "--origin", "example.org/log", "--password-file", password)
    made = cli.ok(*arguments, "--writer", "node-1", "--writer", "relay", "--reader", "auditor", "--json").json()
    assert made["vkey"].startswith("example.org/log+")
    assert str(read_key_file(Path(made["key_file"]), "correct horse battery staple").verifier) == made["vkey"]
    access = load_access(Path(made["tokens_file"]))
    for name, path in made["token_files"].items():
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        token = Path(path).read_text().strip()
        assert token not in Path(made["tokens_file"]).read_text()
        assert (access.reader if name == "auditor" else access.writer)(f"Bearer {token}") == name
    assert "new file" in cli.refused(2, *arguments)
    assert "once" in cli.refused(2, *arguments, "--writer", "a", "--reader", "a")
    assert cli.refused(2, "log", "new", tmp_path / "b", "--origin", "with a space", "--password-file", password)


# ---- models ---------------------------------------------------------------------------------------------------------------------------
def test_compile_gives_the_seeds_id_and_a_report(cli: Cli, tmp_path: Path) -> None:
    data = ROOT / "seeds/data/digits-mlp.npz"
    arguments = ("model", "compile", DIGITS / "source.onnx", "--calibration", data, "--held-back", data, "--name", "digits-mlp")
    made = cli.ok(*arguments, "--labels", ",".join(map(str, range(10))), "--out", tmp_path / "model", "--json").json()
    assert made["model_id"] == cli.ok("model", "verify", DIGITS / "canonical", "--json").json()["model_id"]
    assert made["report"]["accuracy"]["integer_right"] > 0.9
    assert cli.ok("model", "verify", tmp_path / "model", "--json").json()["model_id"] == made["model_id"]
    assert "digits-mlp" in cli.ok("model", "show", tmp_path / "model").out


def test_compile_refusals(cli: Cli, tmp_path: Path) -> None:
    data = ROOT / "seeds/data/digits-mlp.npz"
    out = ("--out", tmp_path / "model")
    assert "TreeEnsemble" in cli.refused(2, "model", "compile", FOREST / "source.onnx", "--calibration", data, *out)
    assert "missing.onnx" in cli.refused(2, "model", "compile", tmp_path / "missing.onnx", "--calibration", data, *out)
    assert "missing.npz" in cli.refused(2, "model", "compile", DIGITS / "source.onnx", "--calibration", tmp_path / "missing.npz", *out)
    (tmp_path / "bad.csv").write_text("1,2,3\n")
    assert "shape" in cli.refused(2, "model", "compile", DIGITS / "source.onnx", "--calibration", tmp_path / "bad.csv", *out)
    np.savez(tmp_path / "no_truth.npz", x=np.zeros((2, 64)))
    assert "y_held_back" in cli.refused(
        2, "model", "compile", DIGITS / "source.onnx", "--calibration", data, "--held-back", tmp_path / "no_truth.npz", *out
    )
    assert not (tmp_path / "model").exists()


def test_opaque_models(cli: Cli, tmp_path: Path) -> None:
    made = cli.ok("model", "opaque", FOREST / "source.onnx", "--name", "forest", "--out", tmp_path / "model", "--json").json()
    assert made["kind"] == "opaque"
    assert cli.ok("model", "verify", tmp_path / "model", "--json").json() == made
    assert "AFT1" in cli.ok("model", "show", tmp_path / "model").out
    assert "fastest" in cli.refused(2, "model", "opaque", FOREST / "source.onnx", "--optimisation", "fastest", "--out", tmp_path / "x")
    with (tmp_path / "model/model.onnx").open("ab") as file:
        file.write(b"\0")
    assert "model.onnx" in cli.refused(2, "model", "verify", tmp_path / "model")


# ---- input files --------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.bin", b"\0\1", Raw(b"\0\1")),
        ("a.json", b"[1, 2.5]", Reals((1.0, 2.5))),
        ("a.json", b'{"real": [1]}', Reals((1.0,))),
        ("a.json", b'{"integers": [1, -2]}', Integers((1, -2))),
        ("a.json", b'{"hex": "0x0102"}', Raw(b"\1\2")),
    ],
)
def test_input_files(name: str, content: bytes, expected: Any, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert requesting.read_input(tmp_path / name) == expected


def test_input_tensors_and_arrays(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"tensors": {"x": {"shape": [1, 2], "values": [1, true]}}}')
    read = requesting.read_input(tmp_path / "t.json")
    assert isinstance(read, Tensors)
    assert read.by_name["x"].values == (1, True)
    np.save(tmp_path / "i.npy", np.array([[1, 2], [3, 4]]))
    np.save(tmp_path / "f.npy", np.array([0.5], np.float32))
    assert requesting.read_input(tmp_path / "i.npy") == Integers((1, 2, 3, 4))
    assert requesting.read_input(tmp_path / "f.npy") == Reals((0.5,))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"1"),
        ("a.json", b"{"),
        ("a.json", b"7"),
        ("a.json", b'["1"]'),
        ("a.json", b"[true]"),
        ("a.json", b"[1" + b"0" * 400 + b"]"),
        ("a.json", b'{"real": [1], "hex": "0x"}'),
        ("a.json", b'{"integers": [1.5]}'),
        ("a.json", b'{"colour": 1}'),
        ("a.json", b"\xff"),
        ("a.npy", b"\x93NUMPY"),
        ("a.npy", b""),
    ],
)
def test_input_files_that_are_none(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputRejected, match=r"a\."):
        requesting.read_input(tmp_path / name)


def test_a_missing_input_file(tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match="missing"):
        requesting.read_input(tmp_path / "missing.json")


# ---- following ------------------------------------------------------------------------------------------------------------------------
def test_follow_prints_each_step_and_the_receipt(cli: Cli, tmp_path: Path) -> None:
    from tests.unit.test_api_document import settle

    with network(tmp_path) as net, served(net.app) as url:
        asked = net.asked()
        net.desk.submit(asked)
        settle(net, to_hex(asked.request_id))
        printed = cli.ok("follow", to_hex(asked.request_id), "--api", url, "--json").out.splitlines()
        lines = [json.loads(line) for line in printed if line.startswith("{")]  # the server of this test journals to the same place
        assert [line["kind"] for line in lines[:-1]] == ["seen", "queued", "sent", "mined", "final"]
        assert lines[-1]["receipt"]["output"] == to_hex(pack_int16(range(10)))
        text = cli.ok("follow", to_hex(asked.request_id), "--api", url).out
        assert "final" in text
        assert "9 (" in text, "the label of the largest output"
        late = net.asked(b"\x01" * 128)
        Timer(0.5, lambda: (net.desk.submit(late), settle(net, to_hex(late.request_id)))).start()
        assert "final" in cli.ok("follow", to_hex(late.request_id), "--api", url).out, "followed before the API has seen it"
        assert "RequestUnknown" not in cli.refused(2, "follow", "0x" + "12" * 32, "--api", url, "--wait", 0)


def test_a_table_hides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """An address that is cut off cannot be copied, and a stake that is says nothing."""
    address, stake = "0x" + "ab" * 20, "1" + "0" * 18
    write_table("Operators", ("operator", "signer", "model", "stake_wei"), [(address, address, "0x" + "cd" * 32, stake)])
    [row] = [line for line in capsys.readouterr().out.splitlines() if "0xab" in line]
    assert row.count(address) == 2
    assert "cd" * 32 in row
    assert stake in row


def test_follow_says_that_a_fee_will_not_do(cli: Cli, tmp_path: Path) -> None:
    reason = "the fee is below what enough operators ask for"
    with network(tmp_path) as net, served(net.app) as url:
        asked = net.asked()
        net.desk.submit(asked)
        with net.desk.engine.begin() as connection:
            steps = ((RequestState.COLLECTING, "underpaid"), (RequestState.EXPIRED, "expired"))
            for state, event in steps:
                set_state(connection, asked.request_id, state, event, net.desk.now(), reason)
        told = cli.ok("follow", to_hex(asked.request_id), "--api", url)
        assert f"underpaid    reason={reason}" in told.out
        assert f"No answer was delivered; the request ended as expired: {reason}." in told.err
        printed = cli.ok("follow", to_hex(asked.request_id), "--api", url, "--json").out.splitlines()
        assert json.loads(printed[-1]) == {"state": "expired", "reason": reason}
