"""CanonicalModel: an integer network with its manifest; running it, saving it, loading it again.

Loading trusts no file: every digest of the manifest is checked, the descriptor and the weights are parsed and bounded,
and the ONNX file must be, byte for byte, the one these give. Needs numpy and a hash, no ONNX package.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from circuits.commitment import POINT_BYTES
from circuits.committed import (
    CommittedModel,
    VerifyingModel,
    commit_parameters,
    digest_part,
    join_parts,
    lay_out_parameters,
    make_committed,
    split_parts,
)
from circuits.digests import compute_model_id, to_hex
from circuits.errors import BoundError, InvariantBroken, ModelFileError
from circuits.layout import Layout
from circuits.manifest import FILE_NAME, MAX_BYTES, PAYLOAD_FILES, FileDigest, Manifest, decode_manifest
from circuits.network import (
    DescriptorError,
    Network,
    Parameters,
    check_parameters,
    decode_descriptor,
    encode_descriptor,
    run_network,
)
from circuits.onnx_file import encode_onnx
from circuits.scaling import dequantize, quantize
from circuits.setup import load_ceremony
from circuits.tensors import Integers, Reals, TensorType, read_integers
from circuits.weights import decode_weights, encode_weights

if TYPE_CHECKING:
    from circuits.compiler.report import CompileReport


@dataclass(frozen=True, eq=False)
class CanonicalModel:
    """A checked network, its numbers and its manifest. Made by compile_model or by load, never from unchecked parts."""

    network: Network
    parameters: Parameters
    manifest: Manifest
    parameter_parts: tuple[bytes, ...]  # commitments to the parameters, 96 bytes a point, 255 points a part
    report: CompileReport | None = None  # what the compiler did; a loaded model has none

    def __post_init__(self) -> None:
        self.network.check()
        check_parameters(self.network, self.parameters)
        if problem := _compute_disagreement(self.manifest, self.network):
            raise InvariantBroken(problem)

    @property
    def model_id(self) -> bytes:
        """32 bytes: EIP-712 struct hash of kind, manifest digest, circuit digest and the digests of the parameter parts."""
        return compute_model_id(self.manifest.encode(), self.circuit, [digest_part(part) for part in self.parameter_parts])

    @property
    def model_id_hex(self) -> str:
        return to_hex(self.model_id)

    @cached_property
    def committed(self) -> CommittedModel:
        """What a prover works with. The commitments are those of `parameter_parts`: wrong ones give proofs that nobody accepts."""
        layout = Layout(self.network, load_ceremony().chunk_bits)
        chunks = lay_out_parameters(layout, self.parameters)
        return make_committed(layout, self.parameters, chunks, join_parts(self.parameter_parts), self.manifest.encode())

    @cached_property
    def verifying(self) -> VerifyingModel:
        """What a verifier works with; the commitments are computed again. Raises ModelFileError if they are not those of the weights."""
        committed = commit_parameters(self.committed.layout, self.parameters, load_ceremony(), self.manifest.encode())
        if committed.verifying.commitments != self.committed.verifying.commitments:
            raise ModelFileError("commitments.bin", "not the commitments to weights.bin")
        return committed.verifying

    @property
    def circuit(self) -> bytes:
        """The descriptor, 32-byte words."""
        return encode_descriptor(self.network)

    @property
    def input(self) -> TensorType:
        return self.network.input

    @property
    def output(self) -> TensorType:
        return self.network.output

    def run(self, x: object) -> Integers:
        """Integers in, integers out (int64), exactly; `x` has the input's shape, or one batch axis in front. Raises InputError."""
        rows, is_batch = read_integers(x, self.input, f"input '{self.manifest.input_name}'")
        result = run_network(self.network, self.parameters, rows)[self.network.output_operand]
        return result.reshape(len(rows), *self.output.shape) if is_batch else result.reshape(self.output.shape)

    def quantize(self, x: object) -> Integers:
        """Real numbers to input integers, half up, saturating at the range. Raises InputError on NaN, infinity or another shape."""
        return quantize(x, self.input, self.manifest.scaling)

    def dequantize(self, y: object) -> Reals:
        """Output integers to the real numbers they stand for, before `manifest.postprocess`. Raises InputError."""
        rows, is_batch = read_integers(y, self.output, f"output '{self.manifest.output_name}'")
        return dequantize(rows.reshape(len(rows), *self.output.shape) if is_batch else rows.reshape(self.output.shape), self.output)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write manifest.json, model.onnx, weights.bin, circuit.bin and commitments.bin. The folder is made if need be."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name, content in compute_payload(self).items():
            (path / name).write_bytes(content)
        (path / FILE_NAME).write_bytes(self.manifest.encode())

    @classmethod
    def load(cls, folder: str | os.PathLike[str], expected_id: bytes | None = None) -> CanonicalModel:
        """Read and verify a saved model. Raises ModelFileError naming the first file that is not what it must be.

        Names, labels and the input's scaling stand in the manifest alone: only the model id binds them, so whoever knows the id
        passes it as `expected_id`.
        """
        path = Path(folder)
        manifest = decode_manifest(_read_file(path, FILE_NAME, MAX_BYTES))
        files = {name: _read_payload(path, name, manifest) for name in PAYLOAD_FILES}
        try:
            network = decode_descriptor(files["circuit.bin"])
        except DescriptorError as error:
            raise ModelFileError("circuit.bin", str(error)) from error
        if problem := _compute_disagreement(manifest, network):
            raise ModelFileError(FILE_NAME, problem)
        try:
            parameters = decode_weights(files["weights.bin"], network)
            check_parameters(network, parameters)
        except (DescriptorError, BoundError) as error:
            raise ModelFileError("weights.bin", str(error)) from error
        if encode_onnx(network, parameters, manifest.input_name, manifest.output_name) != files["model.onnx"]:
            raise ModelFileError("model.onnx", "not the file that circuit.bin and weights.bin give")
        if len(files["commitments.bin"]) != POINT_BYTES * len(Layout(network, load_ceremony().chunk_bits).parameter_chunks):
            raise ModelFileError("commitments.bin", "not as many points as circuit.bin asks for")
        model = cls(network, parameters, manifest, tuple(split_parts(join_parts([files["commitments.bin"]]))))
        if expected_id is not None and model.model_id != expected_id:
            raise ModelFileError(FILE_NAME, "model id", to_hex(expected_id), model.model_id_hex)
        return model


def compute_payload(model: CanonicalModel) -> dict[str, bytes]:
    """The files the manifest lists. Raises InvariantBroken if they are not those it was made from."""
    files = encode_payload(model.network, model.parameters, model.parameter_parts, model.manifest.input_name, model.manifest.output_name)
    if {name: FileDigest.of(content) for name, content in files.items()} != dict(model.manifest.files):
        raise InvariantBroken("a manifest does not list the files of its own network")
    return files


def compute_parts(network: Network, parameters: Parameters) -> tuple[bytes, ...]:
    """The commitments to a network's parameters on the ceremony's powers."""
    setup = load_ceremony()
    layout = Layout(network, setup.chunk_bits)
    return tuple(split_parts(setup.powers.commit_many(list(lay_out_parameters(layout, parameters).values()))))


def encode_payload(
    network: Network, parameters: Parameters, parts: tuple[bytes, ...], input_name: str, output_name: str
) -> dict[str, bytes]:
    """circuit.bin, commitments.bin, model.onnx and weights.bin."""
    return {
        "circuit.bin": encode_descriptor(network),
        "commitments.bin": b"".join(parts),
        "model.onnx": encode_onnx(network, parameters, input_name, output_name),
        "weights.bin": encode_weights(parameters),
    }


def _compute_disagreement(manifest: Manifest, network: Network) -> str | None:
    """What manifest and descriptor say differently of one another, or None."""
    if manifest.input != network.input or manifest.output != network.output:
        return "input or output differ from those in circuit.bin"
    if manifest.scaling is not None:
        return manifest.scaling.problem(network.input.size)
    return None


def _read_file(folder: Path, name: str, most_bytes: int) -> bytes:
    """A file of at most `most_bytes`, by its size before it is read. Other OSErrors than its absence pass through."""
    try:
        found = (folder / name).stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device has no size, and perhaps no end
            raise ModelFileError(name, "a file", got="something else")
        if found.st_size > most_bytes:
            raise ModelFileError(name, "size", f"at most {most_bytes} bytes", found.st_size)
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(name, f"not in {folder}") from error


def _read_payload(folder: Path, name: str, manifest: Manifest) -> bytes:
    content = _read_file(folder, name, manifest.files[name].size)
    expected, got = manifest.files[name], FileDigest.of(content)
    if got != expected:
        raise ModelFileError(name, "digest", f"{expected.size} bytes, {expected.keccak256}", f"{got.size} bytes, {got.keccak256}")
    return content
