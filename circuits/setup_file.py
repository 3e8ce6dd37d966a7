"""Setup files other than the pinned one: the Ethereum ceremony's transcript, for chunks longer than 4096, or a local one.

The ceremony ended with four independent sets of powers, of 2^12 to 2^15 points on G1 and 65 on G2 each, in one JSON file
(ethereum/kzg-ceremony-specs, "contribution"). A file here has that form:

    {"transcripts": [{"numG1Powers": 32768, "numG2Powers": 65, "powersOfTau": {"G1Powers": ["0x…"], "G2Powers": ["0x…"]}}]}

A file that somebody made at home carries `"insecure": true` besides: whoever made it knows the secret and can prove
anything. Nothing in such a file is believed: every point is decompressed with its subgroup check, and all of them must be
the powers of one secret. That is all a file can show. That nobody knows the secret is the ceremony's word, and so is that
the set is whole: with one more power of the same secret a chunk could be longer than it may, and anything be proven.
`SetupFile.digest` is there to be compared with one that somebody trusts.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from circuits import engine
from circuits.digests import keccak256
from circuits.field import MODULUS
from circuits.setup import Setup, SetupError, check_powers

G2_POWERS = 65
CHUNK_BITS = range(12, 16)
MAX_FILE_BYTES = 1 << 28


@dataclass(frozen=True)
class SetupFile:
    """A checked set of powers, Keccak-256 of its compressed points (G1 then G2), and whether the file calls itself insecure."""

    setup: Setup
    digest: bytes
    is_insecure: bool


def read_setup_file(path: Path, chunk_bits: int) -> SetupFile:
    """The set of 2^chunk_bits powers in the file. Raises SetupError; OSError passes through."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise SetupError(f"setup file {path.name}", f"at most {MAX_FILE_BYTES} bytes", path.stat().st_size)
    content = _parse(path)
    for transcript in _list_transcripts(content, path):
        g1, g2 = _read_powers(transcript, path)
        if len(g1) == 1 << chunk_bits:
            check_powers(g1, g2)
            points = engine.decompress_points(g1, False)
            setup = Setup(tuple(points), G2Point.from_compressed_bytes(g2[1]))
            return SetupFile(setup, keccak256(b"".join([*g1, *g2])), content.get("insecure") is True)
    raise SetupError(f"setup file {path.name}", f"a set of {1 << chunk_bits} powers on G1")


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SetupError(f"setup file {path.name}", "JSON", str(error)[:80]) from error
    if not isinstance(content, dict):
        raise SetupError(f"setup file {path.name}", "an object with transcripts")
    return content


def _list_transcripts(content: Mapping[str, Any], path: Path) -> list[Any]:
    transcripts = content.get("transcripts")
    if not isinstance(transcripts, list):
        raise SetupError(f"setup file {path.name}", "a list of transcripts")
    return transcripts


def _read_powers(transcript: Any, path: Path) -> tuple[list[bytes], list[bytes]]:
    try:
        powers = transcript["powersOfTau"]
        g1, g2 = ([bytes.fromhex(str(point).removeprefix("0x")) for point in powers[name]] for name in ("G1Powers", "G2Powers"))
        counts = int(transcript["numG1Powers"]), int(transcript["numG2Powers"])
    except (KeyError, TypeError, ValueError) as error:
        raise SetupError(f"setup file {path.name}", "counts, G1Powers and G2Powers in hex", repr(error)[:80]) from error
    if counts != (len(g1), len(g2)):
        raise SetupError(f"setup file {path.name}", f"{counts[0]} and {counts[1]} powers", f"{len(g1)} and {len(g2)}")
    return g1, g2


def write_insecure_setup(path: Path, chunk_bits: int) -> None:
    """A setup whose secret was drawn here and now: for tests and local chains. The file says so. Raises SetupError for other sizes."""
    if chunk_bits not in CHUNK_BITS:
        raise SetupError("bits of a chunk", f"{CHUNK_BITS.start} to {CHUNK_BITS.stop - 1}", chunk_bits)
    secret, power = secrets.randbelow(MODULUS - 2) + 2, 1
    g1, g2 = [], []
    for number in range(1 << chunk_bits):
        g1.append("0x" + bytes((G1Point() * Scalar(power)).to_compressed_bytes()).hex())
        if number < G2_POWERS:
            g2.append("0x" + bytes((G2Point() * Scalar(power)).to_compressed_bytes()).hex())
        power = power * secret % MODULUS
    powers = {"G1Powers": g1, "G2Powers": g2}
    transcript = {"numG1Powers": len(g1), "numG2Powers": len(g2), "powersOfTau": powers}
    path.write_text(json.dumps({"insecure": True, "transcripts": [transcript]}))
