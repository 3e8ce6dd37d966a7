"""Inference: every wrong input is refused by the part that is wrong; every type goes through; canonical means the same integers."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from circuits import CanonicalModel
from oracle.encoding import canonical_json, keccak256, pack_int16
from oracle.errors import InputRejected, InvariantBroken
from oracle.node import infer as infer_module
from oracle.node.directory import digest_of
from oracle.node.infer import check_input, infer
from oracle.node.models import MAX_OUTPUT_BYTES, CanonicalServed, OpaqueServed, load_model, write_opaque_manifest
from oracle.tensors import NUMPY_TYPE, Tensor, TensorType, decode_tensors, encode_tensors, from_numpy, to_numpy
from tests.twins.node_scene import DIGITS, SEEDS, digit_image, integers, vector, write_scale_model
from tests.unit.test_node_models import info, rewrite, save

CANONICAL_SEEDS = sorted(SEEDS.glob("models/*/canonical"))
OPAQUE_SEEDS = sorted(SEEDS.glob("models/*/opaque"))


@pytest.fixture(scope="module")
def digits() -> CanonicalServed:
    model = load_model(DIGITS)
    assert isinstance(model, CanonicalServed)
    return model


def serve(path: Path, folder: Path) -> OpaqueServed:
    model = load_model(write_opaque_manifest(path, folder, path.stem).path)
    assert isinstance(model, OpaqueServed)
    return model


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> OpaqueServed:
    folder = tmp_path_factory.mktemp("scale")
    return serve(write_scale_model(folder / "scale.onnx"), folder / "out")


# ---- canonical ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", CANONICAL_SEEDS, ids=[p.parent.name for p in CANONICAL_SEEDS])
def test_the_node_computes_what_the_integer_engine_computes(path: Path) -> None:
    engine = CanonicalModel.load(path)
    with np.load(SEEDS / f"data/{path.parent.name}.npz") as data:
        rows = engine.quantize(data["x_held_back"][:20])
    extremes = [np.full(engine.input.shape, bound) for bound in (engine.input.format.low, engine.input.format.high)]
    for threads in (1, 2):
        model = load_model(path, threads)
        for row in [*rows, *extremes]:
            result = infer(model, pack_int16(row.ravel().tolist()))
            assert integers(result.output).tolist() == engine.run(row).ravel().tolist()


def test_an_inference_names_what_went_in_came_out_and_made_it(digits: CanonicalServed) -> None:
    result = infer(digits, digit_image())
    assert result.model_id == digits.directory.model_id
    assert result.input_digest == keccak256(digit_image())
    assert result.output_digest == keccak256(result.output)
    assert result.runtime.version == onnxruntime.__version__
    assert result.seconds > 0


def with_value(position: int, value: int) -> bytes:
    image = digit_image()
    return image[: 2 * position] + value.to_bytes(2, "big", signed=True) + image[2 * position + 2 :]


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", "bytes"),
        (digit_image()[:-1], "bytes"),
        (digit_image()[:-2], "bytes"),
        (digit_image() + b"\0\0", "bytes"),
        (with_value(0, 2048), "element 0"),
        (with_value(63, -2049), "element 63"),
        (with_value(7, 32767), "element 7"),
        (with_value(7, -32768), "element 7"),
        (encode_tensors([from_numpy(np.zeros(64, "<i2"))]), "bytes"),
    ],
)
def test_canonical_input_that_is_none_is_refused(digits: CanonicalServed, data: bytes, names: str) -> None:
    for call in (check_input, infer):
        with pytest.raises(InputRejected, match=names):
            call(digits, data)


def test_the_ends_of_the_range_are_inside(digits: CanonicalServed) -> None:
    for value in (-2048, 2047):
        check_input(digits, pack_int16([value] * 64))


def break_canonical(folder: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """A directory whose model.onnx is not what its circuit says, with a manifest that lists it truthfully."""
    shutil.copytree(DIGITS, folder)
    model = onnx.load_model_from_string((folder / "model.onnx").read_bytes())
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    content = (folder / "model.onnx").read_bytes()
    rewrite(folder, lambda m: m["files"].__setitem__("model.onnx", digest_of(content)))
    return folder


def remove_clip(model: onnx.ModelProto) -> None:
    """Widens every clip, so that outputs leave the range."""
    for tensor in model.graph.initializer:
        if tensor.name.endswith(("_low", "_high")):
            wide = -(1 << 40) if tensor.name.endswith("_low") else 1 << 40
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(wide, np.int64), tensor.name))


def test_a_canonical_model_that_leaves_its_range_is_our_fault(tmp_path: Path) -> None:
    model = load_model(break_canonical(tmp_path / "broken", remove_clip))
    inputs = np.random.default_rng(0).choice([-2048, 2047], (200, 64)).tolist()
    with pytest.raises(InvariantBroken, match="outside"):
        list(map(infer, [model] * 200, map(pack_int16, inputs)))


# ---- opaque ---------------------------------------------------------------------------------------------------------
def test_opaque_output_is_what_onnxruntime_gives(scale: OpaqueServed) -> None:
    result = infer(scale, vector(1.5, -0.0, float("inf")))
    assert to_numpy(decode_tensors(result.output)[0]).tolist() == [3.0, 0.0, float("inf")]


@pytest.mark.parametrize("path", OPAQUE_SEEDS, ids=[p.parent.name for p in OPAQUE_SEEDS])
def test_seed_models_answer_as_their_source_does(path: Path) -> None:
    model = load_model(path)
    assert isinstance(model, OpaqueServed)
    with np.load(SEEDS / f"data/{path.parent.name}.npz") as data:
        x = data["x_held_back"][:3].astype("<f4")
    session = onnxruntime.InferenceSession(path.parent / "source.onnx", providers=["CPUExecutionProvider"])
    expected = session.run(None, {model.inputs[0].name: x})
    got = [to_numpy(tensor) for tensor in decode_tensors(infer(model, encode_tensors([from_numpy(x)])).output)]
    assert len(got) == len(expected) > 0
    for ours, theirs in zip(got, expected, strict=True):
        assert np.array_equal(ours, theirs)


def identity(kind: int, folder: Path) -> OpaqueServed:
    node = helper.make_node("Identity", ["x"], ["y"])
    return serve(save(folder / "m.onnx", [node], [info("x", kind, ["n", 2])], [info("y", kind, ["n", 2])]), folder / "out")


@pytest.mark.parametrize("kind", list(TensorType), ids=lambda k: k.name)
def test_every_type_goes_through_a_model_bit_for_bit(kind: TensorType, tmp_path: Path) -> None:
    model = identity(int(kind), tmp_path)
    if kind is TensorType.STRING:
        texts = [text.encode() for text in ("ja", "", "nul\0inside", "ß𝄞")]
        elements = b"".join(struct.pack(">I", len(text)) + text for text in texts)
    elif kind is TensorType.BOOL:
        elements = b"\1\0\0\1"
    else:
        elements = bytes(range(200, 200 + 4 * NUMPY_TYPE[kind].itemsize))
    for tensor in (Tensor(kind, (2, 2), elements), Tensor(kind, (0, 2), b"")):
        data = encode_tensors([tensor])
        assert infer(model, data).output == data


def test_bits_and_strings_leave_one_model_together(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16), helper.make_node("Cast", ["x"], ["s"], to=TensorProto.STRING)]
    outputs = [info("b", TensorProto.BFLOAT16), info("s", TensorProto.STRING)]
    model = serve(save(tmp_path / "m.onnx", nodes, [info("x", TensorProto.FLOAT)], outputs), tmp_path / "out")
    bits, texts = decode_tensors(infer(model, vector(1.5, -2)).output)
    assert (bits.type, bits.elements.hex()) == (TensorType.BFLOAT16, "c03f00c0")
    assert to_numpy(texts).tolist() == ["1.5", "-2"]


def add_model(folder: Path) -> OpaqueServed:
    """a + b, with a batch that must be the same in both."""
    shape: list[int | str] = ["batch", 2]
    inputs = [info("a", TensorProto.FLOAT, shape), info("b", TensorProto.FLOAT, shape)]
    node = helper.make_node("Add", ["a", "b"], ["c"])
    return serve(save(folder / "m.onnx", [node], inputs, [info("c", TensorProto.FLOAT, shape)]), folder / "out")


def floats(*shape: int) -> Tensor:
    return from_numpy(np.zeros(shape, "<f4"))


WRONG: dict[str, tuple[Any, str]] = {
    "no tensors": ([], "2 tensors"),
    "one tensor": ([floats(1, 2)], "2 tensors"),
    "three tensors": ([floats(1, 2)] * 3, "2 tensors"),
    "type": ([floats(1, 2), from_numpy(np.zeros((1, 2), "<f8"))], "'b', type"),
    "rank": ([floats(2), floats(1, 2)], "'a', rank"),
    "rank more": ([floats(1, 2, 1), floats(1, 2)], "'a', rank"),
    "dimension": ([floats(1, 3), floats(1, 2)], "'a', dimension 1"),
    "batches differ": ([floats(1, 2), floats(2, 2)], "'b', dimension 0"),
}


@pytest.mark.parametrize(("tensors", "names"), WRONG.values(), ids=WRONG)
def test_opaque_input_that_does_not_fit_is_refused(tensors: list[Tensor], names: str, tmp_path: Path) -> None:
    model = add_model(tmp_path)
    with pytest.raises(InputRejected, match=names):
        infer(model, encode_tensors(tensors))


@pytest.mark.parametrize("data", [b"", b"AFT1", b"not tensors", vector(1)[:-1], vector(1) + b"\0"])
def test_opaque_input_that_is_no_encoding_is_refused(scale: OpaqueServed, data: bytes) -> None:
    with pytest.raises(InputRejected):
        infer(scale, data)


def test_an_input_the_model_itself_refuses_is_theirs(tmp_path: Path) -> None:
    """An index out of range is found by onnxruntime only when it runs."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [1, 2, 3])
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    path = save(tmp_path / "m.onnx", [node], [info("x", TensorProto.INT64)], [info("y", TensorProto.FLOAT)], 21, [table])
    model = serve(path, tmp_path / "out")
    assert to_numpy(decode_tensors(infer(model, encode_tensors([from_numpy(np.array([2], "<i8"))])).output)[0]).tolist() == [3]
    with pytest.raises(InputRejected, match="the model can run on"):
        infer(model, encode_tensors([from_numpy(np.array([3], "<i8"))]))


def test_an_output_that_no_transaction_can_carry_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Expand", ["one", "x"], ["y"])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1])
    path = save(tmp_path / "m.onnx", [node], [info("x", TensorProto.INT64, [1])], [info("y", TensorProto.FLOAT)], 21, [one])
    with pytest.raises(InputRejected, match=f"{MAX_OUTPUT_BYTES}"):
        infer(serve(path, tmp_path / "out"), encode_tensors([from_numpy(np.array([MAX_OUTPUT_BYTES], "<i8"))]))


def test_the_optimisation_level_of_the_manifest_is_the_one_used(tmp_path: Path) -> None:
    for level in ("disabled", "all"):
        directory = write_opaque_manifest(write_scale_model(tmp_path / "scale.onnx"), tmp_path / level, "scale", level)
        model = load_model(directory.path)
        used = model.session.get_session_options().graph_optimization_level
        assert model.runtime.optimisation == level
        assert used is not None
        assert (used == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL) == (level == "disabled")


def test_the_manifest_on_the_page_is_the_seed() -> None:
    page = (SEEDS.parent / "docs/tensors.md").read_text()
    shown = json.loads(page.split("```json\n")[1].split("```")[0])
    assert shown == json.loads((SEEDS / "models/digits-cnn/opaque/manifest.json").read_bytes())


def test_manifests_of_seeds_are_canonical() -> None:
    for path in (*CANONICAL_SEEDS, *OPAQUE_SEEDS):
        content = (path / "manifest.json").read_bytes()
        assert canonical_json(json.loads(content)) == content


def test_text_output_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """onnxruntime passes such bytes on; they have no encoding, and are no bug of ours."""
    text = TensorProto(name="text", data_type=TensorProto.STRING, dims=[1], string_data=[b"\xff\xfe"])
    nodes = [helper.make_node("Identity", ["text"], ["t"]), helper.make_node("Identity", ["x"], ["y"])]
    outputs = [info("t", TensorProto.STRING, [1]), info("y", TensorProto.FLOAT, ["n"])]
    path = save(tmp_path / "m.onnx", nodes, [info("x", TensorProto.FLOAT, ["n"])], outputs, 17, [text])
    with pytest.raises(InputRejected, match="UTF-8"):
        infer(serve(path, tmp_path / "out"), vector(1.0))


def test_the_limit_counts_every_byte_of_the_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(write_scale_model(tmp_path / "scale.onnx"), tmp_path / "out")
    size = len(infer(served, vector(1.0, 2.0)).output)
    monkeypatch.setattr(infer_module, "MAX_OUTPUT_BYTES", size)
    infer(served, vector(1.0, 2.0))
    monkeypatch.setattr(infer_module, "MAX_OUTPUT_BYTES", size - 1)
    with pytest.raises(InputRejected, match=f"at most {size - 1} bytes, got {size}"):
        infer(served, vector(1.0, 2.0))


def test_an_output_of_too_many_dimensions_is_refused(tmp_path: Path) -> None:
    """The input chooses the rank; no input may stop a node."""
    expand = helper.make_node("Expand", ["one", "x"], ["y"])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1])
    path = save(tmp_path / "m.onnx", [expand], [info("x", TensorProto.INT64, ["n"])], [info("y", TensorProto.FLOAT)], 21, [one])
    served = serve(path, tmp_path / "out")
    infer(served, encode_tensors([from_numpy(np.ones(64, "<i8"))]))
    with pytest.raises(InputRejected, match="dimensions"):
        infer(served, encode_tensors([from_numpy(np.ones(65, "<i8"))]))
