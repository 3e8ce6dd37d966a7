"""The compiled contracts shipped inside the package: so a node or a deployment needs no Solidity compiler."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from oracle.encoding import parse_hex
from oracle.errors import InvariantBroken


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes  # creation code, without constructor arguments


@cache
def load_artifact(name: str) -> Artifact:
    """The artifact `oracle/artifacts/<name>.json`. A missing or malformed one is a broken package: InvariantBroken."""
    try:
        document = json.loads((files("oracle") / "artifacts" / f"{name}.json").read_text())
        return Artifact(name, document["abi"], parse_hex(document["bytecode"], f"bytecode of {name}"))
    except (OSError, ValueError, KeyError) as error:
        raise InvariantBroken(f"the package's artifact of {name} is missing or malformed") from error


def load_compiler_version() -> str:
    """The solc that the shipped artifacts were compiled with."""
    try:
        version: str = json.loads((files("oracle") / "artifacts" / "compiler.json").read_text())["version"]
    except (OSError, ValueError, KeyError) as error:
        raise InvariantBroken("the package's compiler.json is missing or malformed") from error
    return version.split(".Emscripten")[0]


@cache
def load_gas() -> dict[str, dict[str, int]]:
    """Gas of whole transactions as forge measured it, by group and name: `contracts/snapshots`, copied here by `scripts/contracts`."""
    try:
        document: dict[str, dict[str, int]] = json.loads((files("oracle") / "artifacts" / "gas.json").read_text())
    except (OSError, ValueError) as error:
        raise InvariantBroken("the package's gas.json is missing or malformed") from error
    return document
