"""The proof bench's pieces, on a tiny model and without ezkl: what the big run prints is only as good as these."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from circuits.bench import MODEL_FILE, SAMPLES_FILE, ours, proofs, report, rival
from circuits.bench.models import IMAGE_SWEEP, MODELS, WIDTH_SWEEP, BenchModel, Target, build_mlp
from circuits.bench.ours import FLOOR_PARTS, Ours
from circuits.bench.process import Limits, Stopped, read_peak_bytes, run_step
from circuits.bench.report import Measured, list_targets
from circuits.bench.rival import Theirs
from circuits.errors import CircuitError
from tests.unit.cli_runner import Cli

TINY = BenchModel("tiny", (6,), build_mlp(4, 3), Target(ratio=100, prove_s=60, peak_bytes=1e9, verify_s=60, registration_s=60))
LIMITS = Limits(8e9, 120)
PARAMETERS = {"mlp-784-128-10": 101_770, "lenet-5": 61_706, "mlp-784-1024-256-10": 1_068_810, "mlp-1024-2048-1024-10": 4_207_626}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


# ---- models ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [*MODELS, *WIDTH_SWEEP, *IMAGE_SWEEP], ids=lambda m: m.name)
def test_models_are_what_their_names_say(model: BenchModel, tmp_path: Path) -> None:
    model.write(tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / MODEL_FILE, providers=["CPUExecutionProvider"])
    result = session.run(None, {"x": np.load(tmp_path / SAMPLES_FILE)[:1]})[0]
    assert result.shape == (1, 10)
    assert 0.01 < np.abs(result).max() < 100
    assert count_parameters(tmp_path) == PARAMETERS.get(model.name, count_parameters(tmp_path))
    if model.name == "cnn-264k":
        assert round(count_parameters(tmp_path), -3) == 264_000


def count_parameters(folder: Path) -> int:
    import onnx

    return sum(int(np.prod(tensor.dims)) for tensor in onnx.load(folder / MODEL_FILE).graph.initializer)


def test_the_same_files_every_time(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        TINY.write(tmp_path / name)
    for file in (MODEL_FILE, SAMPLES_FILE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


# ---- processes ---------------------------------------------------------------------------------------------------------------------


def test_a_step_is_the_last_line() -> None:
    assert run_step(python("print('noise'); print('{\"a\": 1}')"), LIMITS) == {"a": 1}


def test_a_step_that_takes_too_much_is_killed_and_says_so() -> None:
    with pytest.raises(Stopped, match=r"killed above 0\.1 GB"):
        run_step(python("x = bytearray(b'1' * 300_000_000); import time; time.sleep(60)"), Limits(0.1e9, 60))
    with pytest.raises(Stopped, match="over 1 s"):
        run_step(python("import time; time.sleep(60)"), Limits(8e9, 1))


def test_a_step_that_fails_says_why() -> None:
    with pytest.raises(Stopped, match="ValueError: because"):
        run_step(python("raise ValueError('because')"), LIMITS)
    with pytest.raises(Stopped, match="ended by signal 9"):
        run_step(python("import os; os.kill(os.getpid(), 9)"), LIMITS)
    with pytest.raises(Stopped, match="exit code 3"):
        run_step(python("raise SystemExit(3)"), LIMITS)


def test_the_peak_is_the_process_s_own() -> None:
    ballast = bytearray(b"1" * 200_000_000)
    code = "from circuits.bench.process import read_peak_bytes; print(read_peak_bytes())"
    assert read_peak_bytes() > len(ballast)
    assert run_step(python(code), LIMITS) < len(ballast)  # type: ignore[operator]


# ---- our side ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Ours:
    folder = tmp_path_factory.mktemp("tiny")
    TINY.write(folder)
    return ours.add_round(ours.register(folder, LIMITS), folder, LIMITS, 1)


def test_every_step_of_ours_gives_its_figures(tiny: Ours) -> None:
    assert tiny.stopped == ""
    assert tiny.registered is not None
    assert tiny.registered["parameters"] == 6 * 4 + 4 + 4 * 3 + 3
    assert tiny.registered["activations"] == 4 + 3
    assert len(tiny.proofs[0]["prove_s"]) == len(tiny.verified[0]["verify_s"]) == 2
    assert tiny.prove_s == tiny.proofs[0]["prove_s"][1]
    assert tiny.floor_s == sum(tiny.floor[part] for part in FLOOR_PARTS)
    assert all(figure for figure in (tiny.prove_s, tiny.cpu_s, tiny.cold_s, tiny.verify_s, tiny.peak_bytes, tiny.floor_s))


def test_a_model_that_is_refused_is_a_line_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_bytes(b"no model")
    np.save(tmp_path / SAMPLES_FILE, np.zeros((1, 6)))
    refused = ours.add_round(ours.register(tmp_path, LIMITS), tmp_path, LIMITS, 1)
    assert refused.stopped.startswith("registration: ")
    assert refused.prove_s is None
    tables = list(report.make_tables([Measured(TINY, refused)]))
    assert any(refused.stopped in note for note in tables[0].notes)
    assert {row[-1] for row in tables[-1].rows} == {"not measured"}


# ---- tables ------------------------------------------------------------------------------------------------------------------------


def ezkl_figures(seconds: float) -> Theirs:
    """As rival.measure gives them."""
    proofs = ({"prove_s": seconds, "prove_cpu_s": 2 * seconds, "peak_bytes": 650_000_000, "proof_bytes": 20_000},)
    keys = {"setup_s": 8.0, "peak_bytes": 450_000_000, "proving_key_bytes": 277_000_000, "verifying_key_bytes": 132_000}
    return Theirs(keys=keys, proofs=proofs, verified=({"verify_s": 0.04},))


def test_tables_are_rectangular_and_say_the_ratio(tiny: Ours) -> None:
    assert tiny.prove_s is not None
    tables = list(report.make_tables([Measured(TINY, tiny, ezkl_figures(200.9 * tiny.prove_s)), Measured(TINY, tiny)]))
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    assert [row[tables[0].columns.index("ours/ezkl")] for row in tables[0].rows] == ["1/200", "–"]


@pytest.mark.parametrize(("times", "met"), [(101.0, "yes"), (99.0, "no")])
def test_targets_are_read_from_the_figures(tiny: Ours, times: float, met: str) -> None:
    assert tiny.prove_s is not None
    rows = list(list_targets(Measured(TINY, tiny, ezkl_figures(times * tiny.prove_s))))
    assert [row[-1] for row in rows] == [met, "yes", "yes", "yes", "yes"]


def test_a_ratio_to_nothing_is_not_a_number(tiny: Ours) -> None:
    stopped = replace(ezkl_figures(1), proofs=(), verified=(), stopped="proof: killed above 21.0 GB")
    measured = Measured(TINY, tiny, stopped)
    assert next(list_targets(measured))[-2:] == ("–", "not measured")
    assert "tiny, ezkl: proof: killed above 21.0 GB" in next(report.make_tables([measured])).notes


def test_a_sweep_has_its_slope(tiny: Ours) -> None:
    def grown(times: int) -> Measured:
        result: dict[str, Any] = {**tiny.proofs[0], "prove_s": [1, 0.1 + 0.2 * times], "prove_cpu_s": [1, 0.2 + 0.3 * times]}
        return Measured(TINY, replace(tiny, registered={"parameters": times * 1_000_000, "activations": 1}, proofs=(result,)))

    table = report.make_sweep("sweep-widths", [grown(n) for n in (1, 2, 4)])
    assert table.notes[0] == "proof, least squares: 100 ms, and 200 ms for every million parameters"
    assert table.notes[1] == "CPU, least squares: 200 ms, and 300 ms for every million parameters"
    assert report.make_sweep("sweep-widths", [grown(1)]).notes[0] == "proof: too few figures for a line"


# ---- the command -------------------------------------------------------------------------------------------------------------------


def test_the_command_runs_what_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: Ours, tmp_path: Path
) -> None:
    monkeypatch.setattr(proofs, "MODELS", (TINY,))
    monkeypatch.setattr(proofs, "NAMES", ("tiny",))
    monkeypatch.setattr(ours, "register", lambda *_: tiny)
    monkeypatch.setattr(ours, "add_round", lambda *_: tiny)
    monkeypatch.setattr(rival, "ensure_environment", lambda: pytest.fail("nothing is installed"))
    cli = Cli(monkeypatch, capsys)
    shown = cli.ok("bench", "proofs", "--without-ezkl", "--only", "tiny").out
    assert "Measured on" in shown
    assert "Targets" in shown
    assert cli("bench", "proofs", "--without-ezkl", "--only", "huge").code == 2


def test_unknown_names_are_refused_before_anything_runs() -> None:
    with pytest.raises(CircuitError, match="huge"):
        next(proofs.run(["huge"], True, lambda _: None))


def test_ezkl_is_pinned_by_hash_and_by_no_address() -> None:
    assert rival.read_version() == "23.0.5"
    content = rival.LOCK.read_text()
    assert "--hash=sha256:" in content
    assert "://" not in content
