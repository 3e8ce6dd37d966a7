"""`affidavit prove`, `affidavit verify`, `affidavit setup`: proofs without a chain.

A proof file is JSON, so that nothing has to be remembered beside it:

    {"affidavit": "proof/1", "model_id": "0x…", "context": "0x…", "input": "0x…", "output": "0x…", "proof": "0x…"}

Input and output are the packed int16 of docs/protocol.md, or the commitments that stand for an input. Whoever verifies has
the model's directory and compares what the file says with what they wanted to know: a proof shows its own statement and no
other.
"""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from oracle.cli.console import working, write_json, write_note, write_pairs
from oracle.cli.model import Directory, refusals
from oracle.cli.options import Json

setup_app = typer.Typer(help="The powers of the Ethereum KZG ceremony, and other sets of powers.", no_args_is_help=True)

VERSION = "proof/1"
FIELDS = ("model_id", "context", "input", "output", "proof")
MAX_FILE_BYTES = 1 << 24
Context = Annotated[str | None, typer.Option("--context", help="32 bytes the proof is bound to; zeros where left out.", metavar="0x…")]


def prove(
    directory: Directory,
    input_file: Annotated[
        Path, typer.Option("--input", metavar="FILE", help=".json (numbers in real units), .npy, or .bin (input bytes).")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the proof.")],
    context: Context = None,
    json: Json = False,
) -> None:
    """Run a canonical model on an input, and prove the output."""
    import time

    import numpy as np

    from oracle.encoding import pack_int16, parse_bytes32, to_hex, unpack_int16
    from oracle.pipeline.catalogue import describe_directory
    from oracle.pipeline.inputs import decode_output, encode_input
    from oracle.pipeline.requesting import read_input

    described = describe_directory(directory)
    data = encode_input(described, read_input(input_file))
    bound = parse_bytes32(context, "context") if context else bytes(32)
    with refusals(), working("Proving"):
        import circuits
        from circuits import engine

        if engine.NAME == "twin":
            write_note("No kernel is built (it needs a Rust toolchain): this takes seconds, in plain Python.")
        model = circuits.CanonicalModel.load(directory)
        x = np.array(unpack_int16(data), dtype=np.int64).reshape(model.input.shape)
        y = model.run(x)
        start = time.perf_counter()
        proof = circuits.prove(model, x, bytes(bound))
        seconds = time.perf_counter() - start
        if model.network.is_input_committed:
            from circuits.hidden_input import commit_input

            data = commit_input(model, x)
    output = pack_int16(y.reshape(-1).tolist())
    content = dict(zip(FIELDS, map(to_hex, (model.model_id, bound, data, output, proof)), strict=True))
    out.write_text(json_module.dumps({"affidavit": VERSION, **content}))
    result: dict[str, Any] = {
        "model_id": content["model_id"],
        "output": list(decode_output(described, output).real or ()),
        "proof_bytes": len(proof),
        "seconds": round(seconds, 3),
        "engine": engine.NAME,
        "file": str(out),
    }
    write_json(result) if json else write_pairs(result.items())


def verify(
    directory: Directory,
    proof_file: Annotated[Path, typer.Argument(metavar="PROOF", help="A file that `affidavit prove` wrote.")],
    context: Annotated[str | None, typer.Option("--context", help="Refuse a proof bound to other 32 bytes.", metavar="0x…")] = None,
    json: Json = False,
) -> None:
    """Check a proof against a model directory, and print what it shows. The commitments are computed from the weights again."""
    from oracle.encoding import parse_bytes32, to_hex
    from oracle.errors import EvidenceRejected
    from oracle.pipeline.catalogue import describe_directory
    from oracle.pipeline.inputs import decode_output

    content = _read_proof(proof_file)
    if context is not None and parse_bytes32(context, "context") != content["context"]:
        raise EvidenceRejected("context of the proof", context, to_hex(content["context"]))
    with refusals(), working("Verifying"):
        import circuits

        model = circuits.CanonicalModel.load(directory)
        if model.model_id != content["model_id"]:
            raise EvidenceRejected("model of the proof", to_hex(model.model_id), to_hex(content["model_id"]))
        x: Any = content["input"]  # commitments, or
        if not model.network.is_input_committed:
            x = _read_tensor("input", x, model.input.shape)
        y = _read_tensor("output", content["output"], model.output.shape)
        circuits.verify(model, x, y, content["proof"], content["context"])
    shown = {
        "verified": True,
        "model_id": to_hex(content["model_id"]),
        "context": to_hex(content["context"]),
        "output": list(decode_output(describe_directory(directory), content["output"]).real or ()),
    }
    write_json(shown) if json else write_pairs(shown.items())


def _read_tensor(what: str, data: bytes, shape: tuple[int, ...]) -> Any:
    """Packed int16 of the proof file as an array. Raises EvidenceRejected."""
    import numpy as np

    from oracle.encoding import unpack_int16
    from oracle.errors import EvidenceRejected, MalformedInput

    try:
        return np.array(unpack_int16(data), dtype=np.int64).reshape(shape)
    except (MalformedInput, ValueError) as error:
        raise EvidenceRejected(f"{what} of the proof", f"packed int16 of {list(shape)}", f"{len(data)} bytes") from error


def _read_proof(path: Path) -> dict[str, bytes]:
    """Raises EvidenceRejected naming the file and what is wrong with it."""
    from oracle.encoding import parse_hex
    from oracle.errors import EvidenceRejected, MalformedInput

    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise EvidenceRejected(f"proof {path}", f"at most {MAX_FILE_BYTES} bytes", path.stat().st_size)
        value = json_module.loads(path.read_bytes())
        if not isinstance(value, dict) or set(value) != {"affidavit", *FIELDS} or value["affidavit"] != VERSION:
            raise EvidenceRejected(f"proof {path}", f"the fields affidavit ({VERSION}), {', '.join(FIELDS)}")
        return {name: bytes(parse_hex(value[name], name)) for name in FIELDS}
    except OSError as error:
        raise EvidenceRejected(f"proof {path}", "a readable file", error.strerror) from error
    except (ValueError, RecursionError, MalformedInput) as error:
        raise EvidenceRejected(f"proof {path}", "JSON with hex fields", str(error)[:80]) from error


@setup_app.command("check")
def check_setup(
    file: Annotated[Path | None, typer.Option("--file", help="A set of powers; the installed ceremony file where left out.")] = None,
    bits: Annotated[int, typer.Option("--bits", min=12, max=15, help="Which set of the file: 2^bits powers.")] = 12,
    json: Json = False,
) -> None:
    """Check powers from nothing: every point in its group, all of them the powers of one secret; and the pinned digest."""
    with refusals(), working("Checking every point"):
        from circuits.setup import CEREMONY_DIGEST, check_powers, find_ceremony_file, load_ceremony, parse_powers
        from circuits.setup_file import read_setup_file

        if file is None:
            load_ceremony()  # refuses another digest
            check_powers(*parse_powers(find_ceremony_file().read_bytes()))
            shown: dict[str, Any] = {"file": str(find_ceremony_file()), "keccak256": CEREMONY_DIGEST, "powers": 4096, "insecure": False}
        else:
            found = read_setup_file(file, bits)
            digest = "0x" + found.digest.hex()
            shown = {"file": str(file), "keccak256": digest, "powers": len(found.setup.points), "insecure": found.is_insecure}
    write_json(shown) if json else write_pairs(shown.items())
    if shown["insecure"]:
        write_note("INSECURE: whoever made this file can prove anything on it. For tests and local chains only.")


@setup_app.command("make-insecure")
def make_insecure(
    out: Annotated[Path, typer.Option("--out", help="File to write.")],
    bits: Annotated[int, typer.Option("--bits", min=12, max=15, help="2^bits powers.")] = 15,
) -> None:
    """Make a set of powers here, marked insecure: for tests and local chains."""
    with refusals(), working("Computing powers"):
        from circuits.setup_file import write_insecure_setup

        write_insecure_setup(out, bits)
    write_note(f"{out}: INSECURE, since this machine has known the secret.")
