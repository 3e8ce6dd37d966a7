"""The rules of the layout, held: which module may import which, and where the outside world may be touched."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = {
    "records",
    "encoding",
    "errors",
    "seams",
    "wire",
    "config",
    "store",
    "http",
    "heaps",
    "journal",
    "printing",
    "reading",
    "tensors",
    "limits",
    "signatures",
}
STAGES = {"node", "attest", "relay", "audit"}
DOORS = {"api", "bench", "cli", "client", "demo", "ingest", "office"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Absolute names of everything a file imports, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def parts_of(path: Path) -> set[str]:
    """Second-level names of ours that a file imports: "records" for oracle.records."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("oracle.")}


def part(path: Path) -> str:
    return path.relative_to(ROOT / "oracle").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules("oracle"), ids=lambda p: str(p.relative_to(ROOT)))
def test_import_direction(path: Path) -> None:
    mine, theirs = part(path), parts_of(path)
    if mine in CORE:
        assert theirs <= CORE
    elif mine in STAGES:
        assert theirs <= CORE | {mine}
    elif mine == "migrations":
        assert theirs <= {"migrations"}
    elif mine == "pipeline":
        assert not theirs & DOORS


def test_the_nouns_import_nothing_of_ours() -> None:
    """records and errors stand alone; encoding knows only them."""
    assert parts_of(ROOT / "oracle/records.py") == set()
    assert parts_of(ROOT / "oracle/errors.py") == set()
    assert parts_of(ROOT / "oracle/encoding.py") <= {"records", "errors"}


def test_circuits_stand_alone() -> None:
    for path in modules("circuits"):
        assert not any(name.split(".")[0] == "oracle" for name in imported(path)), path


def places_that_import(package: str) -> set[str]:
    found = [p for p in modules("oracle") + modules("circuits") if package in {name.split(".")[0] for name in imported(p)}]
    return {str(p.relative_to(ROOT)) for p in found}


def test_one_place_for_each_outside_thing() -> None:
    assert places_that_import("web3") <= {f"oracle/relay/{name}.py" for name in ("contracts", "deployed", "endpoint")}
    of_onnx = ("oracle/node/models.py", "circuits/compiler/", "circuits/bench/")
    assert all(p.startswith(of_onnx) for p in places_that_import("onnx"))
    assert places_that_import("circuits") - {p for p in places_that_import("circuits") if p.startswith("circuits/")} <= {
        "oracle/attest/prove.py",
        "oracle/bench/tables.py",
        "oracle/cli/model.py",
        "oracle/cli/proving.py",
        "oracle/pipeline/models.py",
        "oracle/pipeline/work.py",
    }
    assert places_that_import("distributed") == {"oracle/node/cluster.py"}
    assert places_that_import("rfc8785") <= {"oracle/encoding.py", "circuits/manifest.py", "circuits/model.py"}
    assert places_that_import("eth_abi") <= {"oracle/encoding.py", "oracle/relay/codec.py"}
    of_the_curve = places_that_import("py_arkworks_bls12381")
    assert {p for p in of_the_curve if not p.startswith("circuits/")} <= {"oracle/attest/bls.py"}


def test_no_vague_module_names() -> None:
    vague = {"utils", "helpers", "manager", "common", "util", "misc"}
    assert not [p for p in modules("oracle") + modules("circuits") if p.stem in vague]


def test_no_error_is_swallowed() -> None:
    """A broad `except` may only re-raise or translate: never pass, return or continue silently."""
    for path in modules("oracle") + modules("circuits"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}):
                assert any(isinstance(n, ast.Raise) for n in ast.walk(node)), f"{path}:{node.lineno}"


BOUNDED_BY_WHAT_IT_IS = {
    "oracle/audit/tiles.py:tile_subtrees",  # of one view of a log, which the next checkpoint replaces
    "oracle/audit/tree.py:read",  # the nodes of one tile
    "oracle/office/report_fonts.py:load_fonts",  # lists of places, which are settings
    "oracle/office/report_html.py:_template",
    "oracle/relay/artifacts.py:load_artifact",  # the packaged contracts
    "oracle/relay/artifacts.py:load_gas",
    "oracle/relay/endpoint.py:_solidity_errors",
    "oracle/relay/upstream.py:_tls",
}


def unbounded_caches(path: Path) -> set[str]:
    """Functions under `functools.cache` or `lru_cache(None)`; of an `lru_cache(None)(…)` its line."""
    tree, found = ast.parse(path.read_text()), set()

    def is_unbounded(node: ast.expr) -> bool:
        if ast.unparse(node) in {"cache", "functools.cache"}:
            return True
        is_lru = isinstance(node, ast.Call) and ast.unparse(node.func) in {"lru_cache", "functools.lru_cache"}
        return is_lru and "None" in {ast.unparse(value) for value in (*node.args, *(k.value for k in node.keywords))}  # type: ignore[attr-defined]

    decorators: set[ast.expr] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators |= set(node.decorator_list)
            found |= {node.name for decorator in node.decorator_list if is_unbounded(decorator)}
    found |= {str(n.lineno) for n in ast.walk(tree) if isinstance(n, ast.Call) and n not in decorators and is_unbounded(n)}
    return {f"{path.relative_to(ROOT)}:{name}" for name in found}


def test_caches_have_a_bound() -> None:
    """Services run for months: what remembers whatever it is asked may do so only where there is little to ask."""
    found = {name for path in modules("oracle") for name in unbounded_caches(path)}
    assert found == BOUNDED_BY_WHAT_IT_IS
