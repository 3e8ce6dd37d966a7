"""Setup files by path: the larger sets of the ceremony's form, checked point by point; a local one that says what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from py_arkworks_bls12381 import G1Point, G2Point

from circuits.committed import commit_parameters
from circuits.errors import CircuitError
from circuits.layers.linear import LinearWeights, make_dense
from circuits.layout import Layout
from circuits.network import Network, Parameters, run_network
from circuits.proof_error import ProofError
from circuits.prover import prove_committed
from circuits.setup import SetupError
from circuits.setup_file import read_setup_file, write_insecure_setup
from circuits.tensors import Format, TensorType
from circuits.verifier import verify_committed

CONTEXT = bytes(32)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("setup") / "insecure.json"
    write_insecure_setup(path, 12)
    return path


def prove_and_verify(path: Path, chunk_bits: int) -> int:
    """Proves a layer of 300 → 20 on the file's powers; returns the number of commitments to its parameters."""
    setup = read_setup_file(path, chunk_bits).setup
    source, result = TensorType((300,), Format.SIGNED, 0), TensorType((20,), Format.SIGNED, 0)
    network = Network(source, (make_dense(0, (300,), 20, 12, Format.SIGNED),), 1, result)
    rng = np.random.default_rng(7)
    parameters = Parameters((LinearWeights((rng.integers(-99, 99, (300, 20)),), rng.integers(-99, 99, 20)),))
    committed = commit_parameters(Layout(network, setup.chunk_bits), parameters, setup)
    x = rng.integers(-2048, 2048, 300)
    y = run_network(network, parameters, x.reshape(1, -1))[1][0]
    proof = prove_committed(committed, x, CONTEXT, setup)
    verify_committed(committed.verifying, x, y, proof, CONTEXT, setup)
    y[3] += 1
    with pytest.raises(ProofError):
        verify_committed(committed.verifying, x, y, proof, CONTEXT, setup)
    return len(committed.chunks)


def test_a_local_file_says_that_it_is_insecure_and_serves(small: Path) -> None:
    assert read_setup_file(small, 12).is_insecure
    assert prove_and_verify(small, 12) == 4


@pytest.mark.slow
def test_chunks_of_32768(tmp_path: Path) -> None:
    write_insecure_setup(tmp_path / "large.json", 15)
    assert prove_and_verify(tmp_path / "large.json", 15) == 1


def test_a_file_that_does_not_say_so_is_not_called_insecure(small: Path, tmp_path: Path) -> None:
    content = json.loads(small.read_text())
    del content["insecure"]
    (tmp_path / "real.json").write_text(json.dumps(content))
    assert not read_setup_file(tmp_path / "real.json", 12).is_insecure


def test_the_set_of_another_size_is_not_there(small: Path) -> None:
    with pytest.raises(SetupError, match="8192 powers"):
        read_setup_file(small, 13)
    with pytest.raises(SetupError, match="12 to 15"):
        write_insecure_setup(small, 16)


def swap(powers: list[str]) -> None:
    powers[5], powers[6] = powers[6], powers[5]


def negate_last(powers: list[str]) -> None:
    powers[-1] = "0x" + bytes((-G1Point.from_compressed_bytes(bytes.fromhex(powers[-1][2:]))).to_compressed_bytes()).hex()


def put_generator_second(powers: list[str]) -> None:
    powers[1] = powers[0]


G1_LIES: dict[str, Callable[[list[str]], None]] = {
    "two powers swapped": swap,
    "the last power negated": negate_last,
    "another secret": put_generator_second,
    "infinity": lambda powers: powers.__setitem__(9, "0xc0" + "00" * 47),
    "no point": lambda powers: powers.__setitem__(9, "0x" + "ff" * 48),
    "no hex": lambda powers: powers.__setitem__(9, "0xzz"),
    "one missing": lambda powers: powers.__delitem__(9),
}


@pytest.mark.parametrize("lie", list(G1_LIES))
def test_points_that_are_not_the_powers_of_one_secret(small: Path, tmp_path: Path, lie: str) -> None:
    content = json.loads(small.read_text())
    G1_LIES[lie](content["transcripts"][0]["powersOfTau"]["G1Powers"])
    (tmp_path / "lie.json").write_text(json.dumps(content))
    with pytest.raises(SetupError):
        read_setup_file(tmp_path / "lie.json", 12)


def test_a_second_group_of_another_secret(small: Path, tmp_path: Path) -> None:
    content = json.loads(small.read_text())
    powers = content["transcripts"][0]["powersOfTau"]["G2Powers"]
    doubled = G2Point.from_compressed_bytes(bytes.fromhex(powers[1][2:]))
    powers[1] = "0x" + bytes((doubled + doubled).to_compressed_bytes()).hex()
    (tmp_path / "lie.json").write_text(json.dumps(content))
    with pytest.raises(SetupError):
        read_setup_file(tmp_path / "lie.json", 12)


MALFORMED: list[Any] = [[], {}, {"transcripts": 5}, {"transcripts": [5]}, {"transcripts": [{"powersOfTau": {}}]}, {"transcripts": []}]


@pytest.mark.parametrize("content", MALFORMED)
def test_files_of_another_form(tmp_path: Path, content: Any) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(CircuitError):
        read_setup_file(tmp_path / "bad.json", 12)
    (tmp_path / "worse.json").write_bytes(b"[" * 10_000)
    with pytest.raises(CircuitError):
        read_setup_file(tmp_path / "worse.json", 12)
