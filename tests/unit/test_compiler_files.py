"""A saved canonical model: whatever is changed in it, loading refuses it and says which file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import rfc8785
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from circuits import CanonicalModel, InputError, InvariantBroken, ModelFileError
from circuits.manifest import FileDigest
from circuits.network import DescriptorError, decode_descriptor, encode_descriptor

SEED = Path(__file__).parents[2] / "seeds" / "models" / "breast-cancer-mlp" / "canonical"
FILES = ["circuit.bin", "commitments.bin", "manifest.json", "model.onnx", "weights.bin"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SEED, tmp_path / "model"))


def change_manifest(folder: Path, change: Any) -> None:
    """Apply `change` to the parsed manifest and write it canonically."""
    value = json.loads((folder / "manifest.json").read_bytes())
    change(value)
    (folder / "manifest.json").write_bytes(rfc8785.dumps(value))


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and repair its digest in the manifest, as an attacker would."""
    (folder / name).write_bytes(content)
    digest = FileDigest.of(content)
    change_manifest(folder, lambda m: m["files"].update({name: {"bytes": digest.size, "keccak256": digest.keccak256}}))


def test_model_id_is_the_eip712_struct_hash() -> None:
    """Recomputed with an ABI encoder, from the files alone."""
    type_hash = keccak(b"Model(uint8 kind,bytes32 manifest,bytes32 circuit,bytes32[] parameters)")
    manifest, circuit = (keccak((SEED / name).read_bytes()) for name in ("manifest.json", "circuit.bin"))
    commitments = (SEED / "commitments.bin").read_bytes()
    parts = [keccak(b"\0" + commitments[i : i + 255 * 96]) for i in range(0, len(commitments), 255 * 96)]
    words = [type_hash, 1, manifest, circuit, keccak(b"".join(parts))]
    expected = keccak(abi_encode(["bytes32", "uint8", "bytes32", "bytes32", "bytes32"], words))
    model = CanonicalModel.load(SEED)
    assert model.model_id == expected
    assert model.model_id_hex == "0x" + expected.hex()


@pytest.mark.parametrize("name", FILES)
def test_any_changed_byte_is_refused_by_file_name(folder: Path, name: str) -> None:
    """Every byte of the small files, every 37th of the large ones. What only the manifest says is refused by the model id."""
    model_id = CanonicalModel.load(SEED).model_id
    content = (SEED / name).read_bytes()
    for position in range(0, len(content), 1 if len(content) < 2000 else 37):
        changed = bytearray(content)
        changed[position] ^= 1 << (position % 8)
        (folder / name).write_bytes(changed)
        with pytest.raises(ModelFileError) as refusal:
            CanonicalModel.load(folder, model_id)
        # A changed digest in the manifest shows at the file it no longer fits.
        assert refusal.value.file == name or name == "manifest.json", position


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["cut", "longer", "empty", "missing"])
def test_a_file_of_another_length_is_refused(folder: Path, name: str, change: str) -> None:
    content = (SEED / name).read_bytes()
    (folder / name).write_bytes({"cut": content[:-1], "longer": content + b"\0", "empty": b"", "missing": b""}[change])
    if change == "missing":
        (folder / name).unlink()
    with pytest.raises(ModelFileError, match=name) as refusal:
        CanonicalModel.load(folder)
    assert refusal.value.file == name


def test_changed_weights_with_a_repaired_digest_contradict_the_onnx_file(folder: Path) -> None:
    content = bytearray((SEED / "weights.bin").read_bytes())
    content[7] ^= 1
    rewrite(folder, "weights.bin", bytes(content))
    with pytest.raises(ModelFileError, match=r"not the file that circuit\.bin and weights\.bin give") as refusal:
        CanonicalModel.load(folder)
    assert refusal.value.file == "model.onnx"


@pytest.mark.parametrize("change", ["weight", "operator", "extra field"])
def test_another_onnx_file_with_a_repaired_digest_is_refused(folder: Path, change: str) -> None:
    """One that computes something else, and one that computes the same but is not the same bytes."""
    model = onnx.load(SEED / "model.onnx")
    match change:
        case "weight":
            weights = next(t for t in model.graph.initializer if t.dims == [30, 16])
            weights.raw_data = weights.raw_data[8:] + weights.raw_data[:8]
        case "operator":
            next(n for n in model.graph.node if n.op_type == "Sub").op_type = "Add"
        case _:
            model.doc_string = "harmless"
    rewrite(folder, "model.onnx", model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"model\.onnx"):
        CanonicalModel.load(folder)


def test_out_of_range_weights_with_a_repaired_digest_are_refused(folder: Path) -> None:
    """i64 minimum in a bias: numpy's absolute value of it is negative, so a careless check lets it pass."""
    content = bytearray((SEED / "weights.bin").read_bytes())
    at_bias = 4 + 4 * 30 * 16
    for value in (-(2**63), 2**46, -(2**46)):
        rewrite(folder, "weights.bin", bytes(content[:at_bias]) + value.to_bytes(8, "big", signed=True) + bytes(content[at_bias + 8 :]))
        with pytest.raises(ModelFileError, match="bias of magnitude") as refusal:
            CanonicalModel.load(folder)
        assert refusal.value.file == "weights.bin"
    for value in (-(2**31), 2**23, -(2**23)):
        rewrite(folder, "weights.bin", bytes(content[:4]) + value.to_bytes(4, "big", signed=True) + bytes(content[8:]))
        with pytest.raises(ModelFileError, match="weight of magnitude"):
            CanonicalModel.load(folder)


def test_weights_of_another_version_are_refused(folder: Path) -> None:
    """The same numbers, so the ONNX file still agrees: only the magic says otherwise."""
    rewrite(folder, "weights.bin", b"AFW1" + (SEED / "weights.bin").read_bytes()[4:])
    with pytest.raises(ModelFileError, match="beginning with AFW2"):
        CanonicalModel.load(folder)


def test_a_file_longer_than_listed_is_not_even_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.onnx").write_bytes((SEED / "model.onnx").read_bytes() + b"\0")
    read = Path.read_bytes

    def refuse_long(path: Path) -> bytes:
        assert path.name != "model.onnx"
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse_long)
    with pytest.raises(ModelFileError, match=r"model\.onnx: size"):
        CanonicalModel.load(folder)


def test_weights_that_break_the_bound_are_refused(folder: Path) -> None:
    content = bytearray((SEED / "weights.bin").read_bytes())
    for row in range(30):  # one output's weights: (inputs, outputs), 16 of them
        content[4 + 64 * row : 8 + 64 * row] = (2**23 - 1).to_bytes(4, "big")
    rewrite(folder, "weights.bin", bytes(content))
    with pytest.raises(ModelFileError, match=r"operator 1.*static accumulator bound"):
        CanonicalModel.load(folder)


def set_at(path: str, value: Any) -> Any:
    def change(manifest: Any) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            manifest = manifest[parent]
        manifest[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_at("affidavit", "model/2"),
        set_at("kind", "opaque"),
        set_at("name", ""),
        set_at("name", 7),
        set_at("name", "line\nbreak"),
        set_at("input.shape", [31]),
        set_at("input.shape", [30.5]),
        set_at("input.shape", [-30]),
        set_at("input.format", "rectified"),
        set_at("input.format", "unknown"),
        set_at("input.exponent", 65),
        set_at("input.exponent", True),
        set_at("input.range", [-2048, 2048]),
        set_at("input.dtype", "int32"),
        set_at("input.name", "probabilities"),
        set_at("input.scaling", {"exponents": [1] * 30, "zero_points": [0] * 29}),
        set_at("input.scaling", {"exponents": [65] * 30, "zero_points": [0] * 30}),
        set_at("input.scaling", {"exponents": [1] * 30, "zero_points": [1 << 48] * 30}),
        set_at("input.scaling", {"exponents": [1] * 30, "zero_points": [0] * 30, "more": 1}),
        set_at("input.scaling", {"exponents": [True] * 30, "zero_points": [0] * 30}),
        set_at("source.bytes", True),
        set_at("output.exponent", 6),
        set_at("output.shape", [1, 1]),
        set_at("output.more", 1),
        set_at("postprocess", "trust me"),
        set_at("labels", "ab"),
        set_at("labels", [1, 2]),
        set_at("source", {}),
        set_at("source", None),
        set_at("source.bytes", -1),
        set_at("source.keccak256", "0x00"),
        set_at("files", {}),
        lambda m: m["files"].update({"model.txt": m["files"]["model.onnx"]}),
        set_at("compiler", {"name": "x"}),
        set_at("more", 1),
        lambda m: m.pop("labels") and m.pop("postprocess"),
        lambda m: m["files"].pop("circuit.bin"),
        lambda m: m["files"].update({"../x": m["files"]["circuit.bin"]}),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(folder: Path, change: Any) -> None:
    try:
        change_manifest(folder, change)
    except KeyError:
        pytest.fail("the change does not apply")
    with pytest.raises(ModelFileError, match=r"manifest\.json"):
        CanonicalModel.load(folder)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b"{}", b"\xff", b"[" * 100_000, b'{"a":1,"a":1}', b"1" * 5000, b"NaN"], ids=lambda c: repr(c[:9])
)
def test_a_manifest_that_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"manifest\.json"):
        CanonicalModel.load(folder)


def test_the_same_manifest_in_other_bytes_is_refused(folder: Path) -> None:
    value = json.loads((SEED / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(value, indent=1))
    with pytest.raises(ModelFileError, match="canonical form"):
        CanonicalModel.load(folder)


def test_other_labels_are_another_model(folder: Path) -> None:
    """What no file contradicts is bound by the model id."""
    change_manifest(folder, set_at("labels", ["benign", "malignant"]))
    assert CanonicalModel.load(folder).model_id != CanonicalModel.load(SEED).model_id


def test_every_changed_byte_of_a_descriptor_is_refused_or_another_network() -> None:
    """All 255 other values of every byte: what decodes, encodes to the very same bytes again."""
    content = (SEED / "circuit.bin").read_bytes()
    original, accepted = decode_descriptor(content), 0
    for position in range(len(content)):
        for value in range(256):
            changed = content[:position] + bytes([value]) + content[position + 1 :]
            try:
                network = decode_descriptor(changed)
            except DescriptorError:
                continue
            assert encode_descriptor(network) == changed
            assert (network == original) == (changed == content)
            accepted += changed != content
    # 64 other exponents of input and output (a sign takes four bytes), three shifts, formats of the input and of two layers, no bias,
    # one input of a layer in place of all, and other sizes of the input (30) and of the hidden layers (16, 8), whose weights follow.
    # Of a size's four bytes the highest must stay zero and the next is capped: by 2^22 elements, by 2^24 weights behind it.
    assert accepted == 64 + 64 + 3 + 3 + 3 + 3 + (15 + 255 + 254) + (6 + 255 + 254) + (15 + 255 + 254)


@pytest.mark.parametrize(
    ("word", "change"),
    [
        (0, b"AFC1"),
        (0, b"AFC2\0\0\0\6"),
        (0, b"AFC2\0\0\0\5\0\0\0\1"),
        (1, b"\x10"),
        (1, b"\x01\x07"),
        (2, b"\x11"),
        (2, b"\x10\x0d"),
        (2, b"\x10\x0c\x02"),
        (2, b"\x10\x0c\x00\x00"),
        (2, b"\x10\x0c\x00\x01\x09"),
        (2, b"\x10\x0c\x00\x01\x01\x02"),
        (3, b"\x11\x03"),
        (3, b"\x11\x01\x02"),
        (3, b"\x11\x01\x01\x00\x00\x00\x00\x01"),
        (3, b"\x11\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"),
        (4, b"\x12\x00\x00"),
        (4, b"\x12\x07"),
        (6, b"\x11\x01\x01\x00\x00\x00\x00\x02"),
        (9, b"\x11\x01\x01\x00\x00\x00\x00\x01"),
        (11, b"\x02\x01\x01\x00\x00\x00\x00\x02"),
    ],
    ids=[
        "magic",
        "count of operators",
        "count of tables",
        "no input",
        "rank",
        "code",
        "shift",
        "format",
        "rank of a result",
        "terms",
        "bias beyond the axes",
        "kind of weights",
        "axes of a term",
        "operand after itself",
        "a coefficient beside parameters",
        "a direct axis of another size",
        "mode",
        "operand is itself",
        "operator unused",
        "output of an inner one",
    ],
)
def test_a_descriptor_that_breaks_a_rule_is_refused(word: int, change: bytes) -> None:
    content = bytearray((SEED / "circuit.bin").read_bytes())
    content[32 * word : 32 * word + len(change)] = change
    with pytest.raises(DescriptorError):
        decode_descriptor(bytes(content))


def test_a_model_whose_manifest_is_not_its_own_is_not_saved(tmp_path: Path) -> None:
    one, other = CanonicalModel.load(SEED), CanonicalModel.load(SEED.parents[1] / "wine-mlp" / "canonical")
    with pytest.raises(InvariantBroken):
        CanonicalModel(one.network, one.parameters, other.manifest, one.parameter_parts)
    swapped = CanonicalModel(one.network, one.parameters, one.manifest, one.parameter_parts)
    swapped.parameters.layers[2].weights[0][0, 0] += 1
    with pytest.raises(InvariantBroken):
        swapped.save(tmp_path)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(30), "integers"),
        (np.zeros(30, bool), "integers"),
        ([0.0] * 30, "integers"),
        (np.zeros(29, int), "shape"),
        (np.zeros((30, 1), int), "shape"),
        (np.zeros((2, 2, 30), int), "shape"),
        (np.full(30, 2048), "2048"),
        (np.full(30, -2049), "-2049"),
        (np.full(30, 2**64 - 1, np.uint64), "18446744073709551615"),
        ([10**30] * 30, "integers"),
        ("abc", "integers"),
        (None, "integers"),
    ],
)
def test_input_is_validated_once_at_the_edge(x: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CanonicalModel.load(SEED).run(x)


def test_batches_and_single_samples() -> None:
    model = CanonicalModel.load(SEED)
    rows = np.random.default_rng(1).integers(-2048, 2048, (5, 30))
    together = model.run(rows)
    assert together.shape == (5, 1)
    assert together.dtype == np.int64
    for row, y in zip(rows, together, strict=True):
        assert model.run(row).tolist() == y.tolist()
        assert model.run(row.tolist()).tolist() == y.tolist()
    assert model.run(np.zeros((0, 30), int)).shape == (0, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_only_finite_numbers_are_quantized(bad: float) -> None:
    x = np.zeros(30)
    x[3] = bad
    with pytest.raises(InputError, match="finite"):
        CanonicalModel.load(SEED).quantize(x)


def test_quantize_follows_the_page() -> None:
    """floor(x·2^e + 1/2) − z, saturating; against exact rational arithmetic."""
    from fractions import Fraction
    from math import floor

    model = CanonicalModel.load(SEED)
    scaling = model.manifest.scaling
    assert scaling is not None
    with np.load(SEED.parents[2] / "data" / "breast-cancer-mlp.npz") as data:
        samples = data["x_held_back"][:20].astype(np.float64)
    samples = np.concatenate([samples, samples * 1e6, -samples, np.zeros((1, 30)), np.full((1, 30), 1e308)])
    for x in samples:
        exact = [
            floor(Fraction(float(v)) * Fraction(2) ** e + Fraction(1, 2)) - z
            for v, e, z in zip(x, scaling.exponents, scaling.zero_points, strict=True)
        ]
        assert model.quantize(x).tolist() == [max(-2048, min(2047, q)) for q in exact]
    with pytest.raises(InputError):
        model.quantize(np.zeros(31))
    with pytest.raises(InputError):
        model.quantize(np.array(["a"] * 30))


def test_dequantize_is_exact_and_checks_its_range() -> None:
    model = CanonicalModel.load(SEED)
    assert model.dequantize(np.array([-2048])).tolist() == [-2048 / 2**model.output.exponent]
    with pytest.raises(InputError):
        model.dequantize(np.array([2048]))
