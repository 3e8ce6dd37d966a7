"""The pages' verifier, run by Node: same vectors, same verdicts as Python."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.web.scene import make_scene

ROOT = Path(__file__).parents[2]


def test_the_browsers_verifier_judges_as_python_does(tmp_path: Path) -> None:
    scene = tmp_path / "scene.json"
    scene.write_text(json.dumps(make_scene(tmp_path)))
    bundle = tmp_path / "verify.test.mjs"
    esbuild = [
        "node_modules/.bin/esbuild",
        "tests/web/verify.test.ts",
        "--bundle",
        "--platform=node",
        "--format=esm",
        f"--outfile={bundle}",
    ]
    subprocess.run([*esbuild, "--log-level=warning"], cwd=ROOT, check=True, timeout=120)
    environment = os.environ | {"AFFIDAVIT_SCENE": str(scene)}
    run = subprocess.run(["node", "--test", str(bundle)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
