"""`affidavit prove`, `verify`, `setup` and `model hide-input`, as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from circuits import CanonicalModel
from circuits.manifest import FileDigest
from tests.unit.cli_runner import Cli

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "seeds/models/wine-mlp/canonical"
OTHER = ROOT / "seeds/models/iris-logistic/canonical"
CONTEXT = "0x" + "5a" * 32


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(json.loads((ROOT / "seeds/requests/wine-mlp.json").read_text())["samples"][0]["input"]))
    return path


@pytest.fixture
def proof(run: Cli, sample: Path) -> Path:
    out = sample.parent / "proof.json"
    done = run("prove", MODEL, "--input", sample, "--out", out, "--context", CONTEXT, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["proof_bytes"] == (len(json.loads(out.read_text())["proof"]) - 2) // 2
    return out


def test_what_was_proven_verifies(run: Cli, proof: Path) -> None:
    done = run("verify", MODEL, proof, "--context", CONTEXT, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["verified"] is True


def change(path: Path, **fields: Any) -> Path:
    changed = path.with_name("changed.json")
    changed.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return changed


def flip(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


@pytest.mark.parametrize("field", ["model_id", "context", "input", "output", "proof"])
def test_a_changed_field_is_refused(run: Cli, proof: Path, field: str) -> None:
    value = json.loads(proof.read_text())[field]
    for lie in (flip(value), value[:-2], value + "00", "0xzz", 7):
        done = run("verify", MODEL, change(proof, **{field: lie}))
        assert (done.code, done.out) == (2, ""), (field, lie)


def test_other_models_contexts_and_files_are_refused(run: Cli, proof: Path, tmp_path: Path) -> None:
    assert run("verify", OTHER, proof).code == 2
    assert run("verify", MODEL, proof, "--context", "0x" + "00" * 32).code == 2
    (tmp_path / "none.json").write_text("[]")
    assert run("verify", MODEL, tmp_path / "none.json").code == 2
    assert run("verify", MODEL, tmp_path / "absent.json").code == 2
    assert run("verify", MODEL, change(proof, more=1)).code == 2


def test_an_input_that_stays_hidden(run: Cli, sample: Path, tmp_path: Path) -> None:
    assert run("model", "hide-input", MODEL, "--out", tmp_path / "hidden").code == 0
    assert run("model", "hide-input", tmp_path / "hidden", "--out", tmp_path / "twice").code == 2
    assert run("prove", tmp_path / "hidden", "--input", sample, "--out", tmp_path / "p.json").code == 0
    assert len(json.loads((tmp_path / "p.json").read_text())["input"]) == 2 + 2 * 96
    assert run("verify", tmp_path / "hidden", tmp_path / "p.json").code == 0
    assert run("verify", MODEL, tmp_path / "p.json").code == 2


def test_commitments_of_other_weights_are_found_out(run: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(ROOT / "seeds/models/digits-mlp/canonical", folder)
    model = CanonicalModel.load(folder)
    points = (folder / "commitments.bin").read_bytes()
    forged = points[96:] + points[:96]
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["commitments.bin"]["keccak256"] = FileDigest.of(forged).keccak256
    (folder / "commitments.bin").write_bytes(forged)
    (folder / "manifest.json").write_bytes(rfc8785.dumps(manifest))
    assert CanonicalModel.load(folder).model_id != model.model_id
    assert "commitments" in run.refused(2, "model", "verify", folder)


def test_the_ceremony_and_files_that_are_not_it(run: Cli, tmp_path: Path) -> None:
    done = run("setup", "check", "--json")
    assert done.code == 0
    assert json.loads(done.out) | {"file": ""} == {
        "file": "",
        "keccak256": "0xb23fbbc568c24b065114ac70510ac3db7104aa7d2df2801912aef0eaff9a9934",
        "powers": 4096,
        "insecure": False,
    }
    (tmp_path / "bad.json").write_text("{}")
    assert run("setup", "check", "--file", tmp_path / "bad.json").code == 2
    assert run("setup", "make-insecure", "--bits", "12", "--out", tmp_path / "local.json").code == 0
    found = run("setup", "check", "--file", tmp_path / "local.json", "--json")
    assert json.loads(found.out)["insecure"] is True
    assert "INSECURE" in found.err
