"""The Solidity package as a stranger uses it: packed by npm, unpacked into a fresh Foundry project, and compiled there."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "contracts/src"
FORGE = ROOT / "contracts/tools/forge"
CONSUMER = """// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {InferenceConsumer} from "@affidavit/contracts/consumers/InferenceConsumer.sol";
import {AgentAccount} from "@affidavit/contracts/examples/AgentAccount.sol";
import {ICoprocessor} from "@affidavit/contracts/interfaces/ICoprocessor.sol";
import {PolicyWords} from "@affidavit/contracts/libraries/PolicyWords.sol";
import {Scores} from "@affidavit/contracts/libraries/Scores.sol";
import {Request, Status} from "@affidavit/contracts/libraries/Types.sol";

contract Mine is InferenceConsumer {
    uint256 public answer;

    constructor(ICoprocessor coprocessor, bytes32 modelId)
        InferenceConsumer(coprocessor, modelId, PolicyWords.quorumWithWindow(2, 600))
    {}

    function ask(bytes calldata input) external payable returns (bytes32) {
        return _ask(input, msg.value, 100_000, 1 hours, msg.sender);
    }

    function _onAnswer(bytes32, bytes calldata output) internal override {
        answer = Scores.indexOfLargest(output, 2);
    }

    function statusOf(Request calldata request) external view returns (Status status) {
        (status,,,) = COPROCESSOR.statusOf(COPROCESSOR.computeRequestId(request));
    }
}

contract MyAgent is AgentAccount {
    constructor(ICoprocessor coprocessor, bytes32 modelId)
        AgentAccount(coprocessor, msg.sender, msg.sender, modelId, PolicyWords.proof(), 1 ether, 1 days, 1 hours)
    {}
}
"""


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    packing = ["npm", "pack", str(PACKAGE), "--pack-destination", str(folder), "--offline", "--loglevel=error"]
    subprocess.run(packing, check=True, capture_output=True, cwd=folder, timeout=60)
    (packed,) = folder.glob("*.tgz")
    return packed


def names(tarball: Path) -> set[str]:
    with tarfile.open(tarball) as archive:
        return {name.removeprefix("package/") for name in archive.getnames()}


def test_the_package_holds_what_its_own_files_import(tarball: Path) -> None:
    """And nothing from outside: it depends on no other package."""
    packed = names(tarball)
    assert {"package.json", "README.md", "interfaces/ICoprocessor.sol", "examples/AgentAccount.sol", "libraries/Types.sol"} <= packed
    for name in packed:
        if name.endswith(".sol"):
            for target in re.findall(r'from "([^"]+)"', (PACKAGE / name).read_text()):
                assert target.startswith("."), (name, target)
                resolved = (PACKAGE / name).parent.joinpath(target).resolve().relative_to(PACKAGE)
                assert str(resolved) in packed, (name, target)


def test_every_example_is_packed_and_named_in_the_readme(tarball: Path) -> None:
    examples = {f"examples/{path.name}" for path in (PACKAGE / "examples").glob("*.sol")}
    assert examples <= names(tarball)
    readme = (PACKAGE / "README.md").read_text()
    assert {f"examples/{name}" for name in re.findall(r"`examples/(\w+\.sol)`", readme)} == examples
    assert "dependencies" not in json.loads((PACKAGE / "package.json").read_text())


@pytest.mark.parametrize("place", ["lib/affidavit", pytest.param("node_modules/@affidavit/contracts", marks=pytest.mark.slow)])
def test_a_fresh_project_compiles_a_consumer(tarball: Path, tmp_path: Path, place: str) -> None:
    """With the remapping that the README gives for that place, and the compiler of this checkout."""
    readme = (PACKAGE / "README.md").read_text()
    (remapping,) = re.findall(rf'remappings = \["(@affidavit/contracts/={re.escape(place)}/)"\]', readme)
    with tarfile.open(tarball) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / "unpacked/package").rename(tmp_path / place)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/Mine.sol").write_text(CONSUMER)
    (tmp_path / "foundry.toml").write_text(
        f'[profile.default]\nsolc = "{ROOT}/contracts/tools/solc"\noffline = true\nevm_version = "osaka"\nauto_detect_remappings = false\n'
        f'remappings = ["{remapping}"]\ndeny = "warnings"\nlibs = ["lib", "node_modules"]\n\n[lint]\nlint_on_build = false\n'
    )
    done = subprocess.run([FORGE, "build"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    code = json.loads((tmp_path / "out/Mine.sol/Mine.json").read_text())["bytecode"]["object"]
    assert len(code) > 1000
