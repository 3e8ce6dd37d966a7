"""Nothing is reported to anybody: onnxruntime's telemetry is off before it is loaded, by whichever door it is reached."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = "; import onnxruntime; onnxruntime.InferenceSession('seeds/models/wine-mlp/source.onnx')"


@pytest.mark.parametrize("statement", ["import oracle.node.infer", "import oracle.cli", "import circuits.compiler"])
def test_the_runtime_leaves_no_telemetry_files(statement: str, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI")}
    places = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", statement + RUN], cwd=ROOT, env=environment | places, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []
