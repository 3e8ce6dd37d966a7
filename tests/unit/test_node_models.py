"""Model directories: every changed byte, path and field is refused by name; what a manifest binds is what runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from circuits import CanonicalModel, ModelFileError
from oracle.encoding import canonical_json
from oracle.errors import ModelRejected, ModelUnknown
from oracle.node import models
from oracle.node.directory import digest_of, read_directory
from oracle.node.infer import infer
from oracle.node.models import OPTIMISATION, ModelLibrary, load_model, write_opaque_manifest
from oracle.records import Bytes32, ModelKind
from oracle.tensors import decode_tensors, to_numpy
from tests.twins.node_scene import DIGITS, SEEDS, vector, write_scale_model

CANONICAL_SEEDS = sorted(SEEDS.glob("models/*/canonical"))


@pytest.fixture
def scale(tmp_path: Path) -> Path:
    write_opaque_manifest(write_scale_model(tmp_path / "scale.onnx"), tmp_path / "scale", "scale")
    return tmp_path / "scale"


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DIGITS, tmp_path / "digits"))


def rewrite(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((directory / "manifest.json").read_bytes())
    change(manifest)
    (directory / "manifest.json").write_bytes(canonical_json(manifest))


@pytest.mark.parametrize("path", CANONICAL_SEEDS, ids=[p.parent.name for p in CANONICAL_SEEDS])
def test_node_and_compiler_give_a_model_the_same_id(path: Path) -> None:
    served, compiled = load_model(path), CanonicalModel.load(path)
    assert served.directory.model_id == compiled.model_id
    assert served.directory.circuit == compiled.circuit


@pytest.mark.parametrize("file", ["model.onnx", "weights.bin", "circuit.bin", "commitments.bin", "manifest.json"])
def test_a_changed_byte_in_any_file_is_refused_by_its_name(digits: Path, file: str) -> None:
    content = (digits / file).read_bytes()
    for position in (0, len(content) // 2, len(content) - 1):
        (digits / file).write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(ModelRejected, match=file if file != "manifest.json" else "digits"):  # in its middle stand the others' digests
            load_model(digits)


@pytest.mark.parametrize("file", ["model.onnx", "circuit.bin", "manifest.json"])
def test_a_missing_file_is_refused_by_its_name(digits: Path, file: str) -> None:
    (digits / file).unlink()
    with pytest.raises(ModelRejected, match=file):
        load_model(digits)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "./model.onnx", "", ".", "a\\b", "nul\0"])
def test_files_outside_the_directory_are_refused(scale: Path, name: str) -> None:
    (scale.parent / "secret").write_bytes(b"secret")
    rewrite(scale, lambda m: m["files"].__setitem__(name, digest_of(b"secret")))
    with pytest.raises(ModelRejected, match="file name"):
        read_directory(scale)


def test_a_link_out_of_the_directory_is_refused(scale: Path) -> None:
    (scale.parent / "secret").write_bytes(b"secret")
    (scale / "link").symlink_to(scale.parent / "secret")
    rewrite(scale, lambda m: m["files"].__setitem__("link", digest_of(b"secret")))
    with pytest.raises(ModelRejected, match="inside"):
        read_directory(scale)


def test_a_manifest_in_another_form_is_refused(scale: Path) -> None:
    manifest = json.loads((scale / "manifest.json").read_bytes())
    for content in (json.dumps(manifest, indent=1).encode(), b"[]", b"{", b'{"affidavit":1e999}', b"[" * 100_000, b"\xff"):
        (scale / "manifest.json").write_bytes(content)
        with pytest.raises(ModelRejected, match=r"manifest\.json"):
            read_directory(scale)


LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "kind": lambda m: m.__setitem__("kind", "transparent"),
    "version": lambda m: m.__setitem__("affidavit", "model/2"),
    "no files": lambda m: m.__setitem__("files", {}),
    "no name": lambda m: m.pop("name"),
    "unlisted model": lambda m: m["files"].__setitem__("other.onnx", m["files"].pop("model.onnx")),
    "input name": lambda m: m["inputs"][0].__setitem__("name", "z"),
    "input type": lambda m: m["inputs"][0].__setitem__("dtype", "double"),
    "input shape": lambda m: m["inputs"][0].__setitem__("shape", [3]),
    "one input more": lambda m: m["inputs"].append(m["inputs"][0]),
    "no outputs": lambda m: m.pop("outputs"),
    "no runtime": lambda m: m.pop("runtime"),
    "runtime with more": lambda m: m["runtime"].__setitem__("threads", 1),
    "optimisation": lambda m: m["runtime"].__setitem__("optimisation", "most"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_manifest_that_says_something_else_is_refused(scale: Path, lie: Callable[[dict[str, Any]], None]) -> None:
    rewrite(scale, lie)
    with pytest.raises(ModelRejected):
        load_model(scale)


@pytest.mark.parametrize(("field", "other"), [("version", "1.0.0"), ("provider", "CUDAExecutionProvider"), ("name", "tvm")])
def test_a_node_with_another_runtime_refuses_an_opaque_model(scale: Path, field: str, other: str) -> None:
    rewrite(scale, lambda m: m["runtime"].__setitem__(field, other))
    with pytest.raises(ModelRejected, match=f"runtime {field}: expected {other}"):
        load_model(scale)


def test_the_id_binds_file_version_provider_and_optimisation(tmp_path: Path) -> None:
    ids = set()
    for optimisation in OPTIMISATION:
        source = write_scale_model(tmp_path / "scale.onnx")
        ids.add(write_opaque_manifest(source, tmp_path / optimisation, "scale", optimisation).model_id)
    other = write_scale_model(tmp_path / "other.onnx", factor=3.0)
    ids.add(write_opaque_manifest(other, tmp_path / "other", "scale").model_id)
    assert len(ids) == len(OPTIMISATION) + 1
    again = write_opaque_manifest(write_scale_model(tmp_path / "scale.onnx"), tmp_path / "again", "scale")
    assert again.model_id in ids
    assert again.kind is ModelKind.OPAQUE
    assert json.loads((tmp_path / "again/manifest.json").read_bytes())["runtime"]["version"] == onnxruntime.__version__


def test_another_file_under_a_listed_digest_never_runs(scale: Path) -> None:
    write_scale_model(scale / "model.onnx", factor=3.0)
    with pytest.raises(ModelRejected, match=r"model\.onnx"):
        load_model(scale)


def test_a_truthful_manifest_of_another_file_is_another_model(scale: Path) -> None:
    """What an operator who swaps the model gets: an id nobody asked for."""
    honest = read_directory(scale).model_id
    content = write_scale_model(scale / "model.onnx", factor=3.0).read_bytes()
    rewrite(scale, lambda m: m["files"].__setitem__("model.onnx", digest_of(content)))
    assert load_model(scale).directory.model_id != honest


# ---- ONNX files that are not what they should be --------------------------------------------------------------------
def info(name: str, kind: int, shape: list[int | str] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["n"] if shape is None else shape)


def save(path: Path, nodes: list[onnx.NodeProto], inputs: Any, outputs: Any, opset: int = 21, initializers: Any = ()) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString())
    return path


def test_a_sequence_output_is_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("SequenceConstruct", ["x"], ["pieces"])
    pieces = helper.make_tensor_sequence_value_info("pieces", TensorProto.FLOAT, None)
    path = save(tmp_path / "m.onnx", [node], [info("x", TensorProto.FLOAT)], [pieces])
    with pytest.raises(ModelRejected, match=r"pieces.*seq\(tensor\(float\)\)"):
        write_opaque_manifest(path, tmp_path / "out", "m")


def test_a_map_output_is_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("ZipMap", ["x"], ["scores"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    scores = onnx.ValueInfoProto(name="scores")
    scores.type.sequence_type.elem_type.map_type.key_type = TensorProto.INT64
    scores.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    path = save(tmp_path / "m.onnx", [node], [info("x", TensorProto.FLOAT, ["n", 2])], [scores])
    with pytest.raises(ModelRejected, match=r"scores.*map"):
        write_opaque_manifest(path, tmp_path / "out", "m")


def test_types_that_cannot_travel_together_are_refused_by_name(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["s"], ["t"]), helper.make_node("Identity", ["b"], ["c"])]
    inputs = [info("s", TensorProto.STRING), info("b", TensorProto.BFLOAT16)]
    outputs = [info("t", TensorProto.STRING), info("c", TensorProto.BFLOAT16)]
    with pytest.raises(ModelRejected, match="string inputs"):
        write_opaque_manifest(save(tmp_path / "m.onnx", nodes, inputs, outputs), tmp_path / "out", "m")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x12\x00", bytes(1000)])
def test_files_that_are_no_models_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelRejected):
        write_opaque_manifest(tmp_path / "m.onnx", tmp_path / "out", "m")
    assert not (tmp_path / "out").exists()


def save_external(folder: Path, location: str, write: bool = True) -> Path:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], np.array([3, 4], "<f4").tobytes(), raw=True)
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    shape = [2]
    path = save(
        folder / "m.onnx", [node], [info("x", TensorProto.FLOAT, [*shape])], [info("y", TensorProto.FLOAT, [*shape])], 21, [weights]
    )
    model = onnx.load_model_from_string(path.read_bytes())
    tensor = model.graph.initializer[0]
    if write:
        (folder / location).parent.mkdir(parents=True, exist_ok=True)
        (folder / location).write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "8")):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_is_listed_digested_and_run_from_memory(tmp_path: Path) -> None:
    directory = write_opaque_manifest(save_external(tmp_path, "parts/w.bin"), tmp_path / "out", "m")
    assert set(directory.files) == {"model.onnx", "parts/w.bin"}
    model = load_model(tmp_path / "out")
    (tmp_path / "out/parts/w.bin").write_bytes(bytes(8))  # too late to matter
    result = decode_tensors(infer(model, vector(1, 2)).output)
    assert to_numpy(result[0]).tolist() == [3, 8]
    with pytest.raises(ModelRejected, match=r"w\.bin"):
        load_model(tmp_path / "out")


@pytest.mark.parametrize("location", ["../w.bin", "/tmp/w.bin", ""])
def test_external_data_outside_the_directory_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    (tmp_path / "in").mkdir()
    with pytest.raises(ModelRejected, match="file name"):
        write_opaque_manifest(save_external(tmp_path / "in", location, write=False), tmp_path / "out", "m")


def test_external_data_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    write_opaque_manifest(save_external(tmp_path, "w.bin"), tmp_path / "out", "m")
    rewrite(tmp_path / "out", lambda m: m["files"].pop("w.bin"))
    with pytest.raises(ModelRejected, match="files"):
        load_model(tmp_path / "out")


def test_external_data_inside_a_subgraph_is_found(tmp_path: Path) -> None:
    """A tensor in an attribute of a node of a branch of an If."""
    value = TensorProto(name="v", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    value.external_data.add(key="location", value="../secret.bin")
    branch = helper.make_graph([helper.make_node("Constant", [], ["y"], value=value)], "b", [], [info("y", TensorProto.FLOAT, [2])])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    path = save(tmp_path / "m.onnx", [node], [info("c", TensorProto.BOOL, [])], [info("y", TensorProto.FLOAT, [2])])
    with pytest.raises(ModelRejected, match="file name"):
        write_opaque_manifest(path, tmp_path / "out", "m")


def test_a_library_knows_each_model_once(scale: Path) -> None:
    library = ModelLibrary([load_model(scale)])
    assert library.get(read_directory(scale).model_id).directory.name == "scale"
    with pytest.raises(ModelUnknown):
        library.get(Bytes32(bytes(32)))
    with pytest.raises(ModelRejected, match="twice"):
        ModelLibrary([load_model(scale), load_model(scale)])


def test_a_kind_or_level_that_is_no_word_is_refused(scale: Path) -> None:
    original = (scale / "manifest.json").read_bytes()
    rewrite(scale, lambda manifest: manifest.update(kind=["opaque"]))
    with pytest.raises(ModelRejected, match="known kind"):
        load_model(scale)
    (scale / "manifest.json").write_bytes(original)
    rewrite(scale, lambda manifest: manifest["runtime"].update(optimisation=["all"]))
    with pytest.raises(ModelRejected, match=r"runtime\.optimisation"):
        load_model(scale)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(scale: Path, digits: Path) -> None:
    for path in (scale, digits):
        (path / "model.onnx").unlink()
        os.mkfifo(path / "model.onnx")
        with pytest.raises(ModelRejected, match=r"model\.onnx: expected a readable file"):
            load_model(path)
    with pytest.raises(ModelFileError, match=r"model\.onnx: a file"):
        CanonicalModel.load(digits)


def test_a_device_without_end_is_not_read(digits: Path) -> None:
    (digits / "manifest.json").unlink()
    (digits / "manifest.json").symlink_to("/dev/zero")
    with pytest.raises(ModelFileError, match=r"manifest\.json: a file"):
        CanonicalModel.load(digits)


def test_a_canonical_model_whose_output_nothing_can_carry_is_refused(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MAX_OUTPUT_BYTES", 20)
    load_model(digits)
    monkeypatch.setattr(models, "MAX_OUTPUT_BYTES", 19)
    with pytest.raises(ModelRejected, match="at most 19 bytes"):
        load_model(digits)
