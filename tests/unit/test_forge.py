"""What the scripts rely on: where forge refuses, its call fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORGE = ROOT / "contracts/tools/forge"


def test_what_forge_refuses_fails(tmp_path: Path) -> None:
    file = tmp_path / "Ill.sol"
    file.write_text("// SPDX-License-Identifier: Apache-2.0\npragma solidity ^0.8.28;\ncontract   Ill{ }\n")
    done = subprocess.run([FORGE, "fmt", "--check", file], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0, done.stdout
    subprocess.run([FORGE, "fmt", file], cwd=ROOT, capture_output=True, check=True)
    assert subprocess.run([FORGE, "fmt", "--check", file], cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_the_scripts_call_no_other() -> None:
    for name in ("check", "test"):
        assert "node_modules/.bin/forge" not in (ROOT / "scripts" / name).read_text()
