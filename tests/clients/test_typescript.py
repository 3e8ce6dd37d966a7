"""The TypeScript client, run by Node: the same vectors and verdicts as Python, and a package that a program can import."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from oracle.encoding import to_hex
from oracle.node.infer import infer
from oracle.pipeline.catalogue import describe_directory
from oracle.pipeline.inputs import Reals, decode_output, encode_input
from oracle.pipeline.models import load_checked_library

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/typescript"
MODELS = ("digits-mlp", "wine-mlp")


def bundle(name: str, folder: Path) -> Path:
    """One of the client's test files with everything in it, for Node."""
    out = folder / f"{name}.mjs"
    command = ["node_modules/.bin/esbuild", str(CLIENT / f"test/{name}.ts"), "--bundle", "--platform=node", "--format=esm"]
    subprocess.run([*command, f"--outfile={out}", "--log-level=warning"], cwd=ROOT, check=True, timeout=120)
    return out


def run_node(bundled: Path, **environment: str) -> None:
    done = subprocess.run(
        ["node", "--test", str(bundled)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, "\n".join(re.findall(r"not ok.*?\.\.\.", done.stdout, re.DOTALL))[-6000:] + done.stderr[-2000:]


def published(name: str) -> dict[str, object]:
    """A model, a sample of it in real numbers, and the bytes and numbers that Python makes of it."""
    directory = ROOT / f"seeds/models/{name}/canonical"
    model = describe_directory(directory)
    sample = json.loads((ROOT / f"seeds/requests/{name}.json").read_text())["samples"][0]["input"]
    data = encode_input(model, Reals(tuple(sample)))
    output = infer(load_checked_library([directory]).get(model.model_id), data).output
    real = decode_output(model, output).real
    assert real is not None
    return {
        "modelId": to_hex(model.model_id),
        "parameters": [to_hex(digest) for digest in model.parameters],
        "real": sample,
        "input": to_hex(data),
        "output": to_hex(output),
        "decoded": list(real),
    }


def test_the_client_computes_and_judges_as_python_does(tmp_path: Path) -> None:
    models = tmp_path / "models.json"
    models.write_text(json.dumps({name: published(name) for name in MODELS}))
    run_node(bundle("unit.test", tmp_path), AFFIDAVIT_MODELS=str(models))


def test_the_package_builds_and_a_program_imports_it(tmp_path: Path) -> None:
    """With types that a strict program compiles against, and nothing needed at run time but viem and noble."""
    subprocess.run(["node", "clients/typescript/build.mjs"], cwd=ROOT, check=True, timeout=120)
    place = tmp_path / "node_modules/@affidavit"
    place.mkdir(parents=True)
    (place / "client").symlink_to(CLIENT)
    for name in ("viem", "@noble", "abitype"):
        (tmp_path / "node_modules" / name).symlink_to(ROOT / "node_modules" / name)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "mine.ts").write_text(
        'import { type Verified, packPolicy, unpackPolicy } from "@affidavit/client";\n'
        "export const isComplete = (verified: Verified): boolean => verified.unchecked.length === 0;\n"
        'if (unpackPolicy(packPolicy({ quorum: 2, windowSeconds: 600 })).quorum !== 2) throw new Error("no");\n'
    )
    options = {"strict": True, "module": "ESNext", "moduleResolution": "Bundler", "target": "ES2022", "lib": ["ES2024", "DOM"], "types": []}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options | {"skipLibCheck": True}, "files": ["mine.ts"]}))
    subprocess.run([ROOT / "node_modules/.bin/tsc", "-p", str(tmp_path)], cwd=tmp_path, check=True, timeout=120)
    subprocess.run(["node", "mine.js"], cwd=tmp_path, check=True, timeout=60)
    imports = {
        line.split('"')[1] for line in (CLIENT / "dist/index.js").read_text().splitlines() if line.startswith("import ") and '"' in line
    }
    allowed = set(json.loads((CLIENT / "package.json").read_text())["peerDependencies"])
    assert all(any(name == one or name.startswith(f"{one}/") for one in allowed) for name in imports), imports
