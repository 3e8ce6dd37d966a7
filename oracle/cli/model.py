"""`affidavit model`: compile, wrap, check and register models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oracle.cli.console import progress, working, write_json, write_note, write_pairs, write_table
from oracle.cli.options import Deployment, Json, Keystore, PasswordFile, Rpc

if TYPE_CHECKING:
    from circuits import CanonicalModel
    from oracle.pipeline.catalogue import DescribedModel

app = typer.Typer(help="Compile, wrap, check and register models.", no_args_is_help=True)

Source = Annotated[Path, typer.Argument(metavar="FILE.onnx", help="An ONNX model.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A model directory.")]
Out = Annotated[Path, typer.Option("--out", help="Directory to write the model to.", metavar="DIR")]
Name = Annotated[str | None, typer.Option(help="The model's name; the file's where left out.")]


@contextmanager
def refusals() -> Iterator[None]:
    """The compiler's refusals as ours, so that they end in one line and exit code 2."""
    from circuits.errors import CircuitError
    from oracle.errors import ModelRejected

    try:
        yield
    except CircuitError as error:
        raise ModelRejected(str(error)) from error
    except OSError as error:
        raise ModelRejected(f"file {error.filename}", "a readable file", error.strerror) from error


@app.command("compile")
def compile_(
    source: Source,
    calibration: Annotated[Path, typer.Option("--calibration", help="Real inputs: .npz, .npy or .csv.", metavar="DATA")],
    out: Out,
    name: Name = None,
    labels: Annotated[str | None, typer.Option(help="Names of the outputs, separated by commas.")] = None,
    held_back: Annotated[
        Path | None,
        typer.Option("--held-back", metavar="DATA", help=".npz with x_held_back and y_held_back, to measure accuracy on."),
    ] = None,
    json: Json = False,
) -> None:
    """Turn a float ONNX model into a canonical integer model, and report what that changed."""
    with refusals(), working(f"Compiling {source.name}"):
        from circuits import compile_model

        model = compile_model(
            source,
            calibration,
            name=name,
            labels=labels.split(",") if labels else None,
            held_back=_read_held_back(held_back) if held_back else None,
        )
        model.save(out)
    _show_compiled(model, out, json)


def _read_held_back(path: Path) -> tuple[Any, Any]:
    import zipfile

    import numpy as np

    from oracle.errors import ModelRejected

    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive["x_held_back"], archive["y_held_back"]
    except (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ModelRejected(f"held-back data {path}", "a .npz with x_held_back and y_held_back", str(error)[:80]) from error


def _show_compiled(model: CanonicalModel, out: Path, json: bool) -> None:
    from oracle.encoding import to_hex

    report = model.report
    assert report is not None, "a model that was just compiled has its report"
    if json:
        write_json({"model_id": to_hex(model.model_id), "directory": str(out), "report": report.to_json()})
        return
    from rich.console import Console

    Console().print(report)
    write_pairs([("model_id", to_hex(model.model_id)), ("directory", out)])


@app.command("hide-input")
def hide_input(directory: Directory, out: Out, json: Json = False) -> None:
    """Make of a canonical model one whose statements give the input as a commitment: another model, for proofs alone."""
    with refusals(), working("Committing"):
        from circuits import CanonicalModel
        from circuits.hidden_input import with_committed_input

        with_committed_input(CanonicalModel.load(directory)).save(out)
    from oracle.pipeline.catalogue import describe_directory

    _show(describe_directory(out), json, full=False)


@app.command("opaque")
def opaque(
    source: Source,
    out: Out,
    name: Name = None,
    optimisation: Annotated[str, typer.Option(help="Graph optimisation level: disabled, basic, extended or all.")] = "all",
    json: Json = False,
) -> None:
    """Wrap any ONNX file that onnxruntime loads; its id binds file, runtime version, provider and optimisation level."""
    with working(f"Checking {source.name}"):
        from oracle.pipeline.registering import wrap_opaque

        model = wrap_opaque(source, out, name or source.stem, optimisation)
    _show(model, json, full=False)


@app.command("verify")
def verify(directory: Directory, json: Json = False) -> None:
    """Check every file of a model directory against its manifest, and print the id they give.

    Of a canonical model everything is computed again: ONNX file, commitments to the weights, id.
    """
    from oracle.pipeline.catalogue import describe_directory
    from oracle.records import ModelKind

    model = describe_directory(directory)
    if model.kind is ModelKind.CANONICAL:
        with refusals(), working("Computing the commitments again"):
            from circuits import CanonicalModel

            CanonicalModel.load(directory).verifying  # noqa: B018
    _show(model, json, full=False)


@app.command("show")
def show(directory: Directory, json: Json = False) -> None:
    """Print what a model takes and gives."""
    from oracle.pipeline.catalogue import describe_directory

    _show(describe_directory(directory), json, full=True)


def _show(model: DescribedModel, json: bool, full: bool) -> None:
    from oracle.encoding import to_hex

    pairs: list[tuple[str, Any]] = [("model_id", to_hex(model.model_id)), ("name", model.name), ("kind", model.kind.name.lower())]
    if json:
        write_json(dict(pairs) | ({"manifest": dict(model.manifest)} if full else {}))
        return
    write_pairs(pairs)
    if full:
        for side, payload in (("input", model.input), ("output", model.output)):
            rows = [(t.name, t.dtype, list(t.shape), payload.exponent, payload.range) for t in payload.tensors]
            write_table(f"{side} ({payload.encoding})", ("name", "type", "shape", "exponent", "range"), rows)
        if model.labels:
            write_pairs([("labels", ", ".join(model.labels)), ("left to the caller", model.postprocess)])


@app.command("register")
def register(
    directory: Directory,
    rpc: Rpc,
    deployment: Deployment,
    keystore: Keystore,
    password_file: PasswordFile,
    data_uri: Annotated[str, typer.Option("--data-uri", help="Where others find the model's files.")] = "",
    json: Json = False,
) -> None:
    """Register a model on chain, so that it can be asked for.

    The commitments to a canonical model's weights are stored first, in parts of 24,480 bytes, each by a
    transaction of about 5.4 million gas. Started again, it sends only what is missing.
    """
    from oracle.pipeline.registering import register_directory
    from oracle.pipeline.session import open_session

    session = open_session(rpc, deployment, keystore, password_file)
    with progress() as on_progress:
        done = register_directory(session, directory, data_uri, lambda part, parts: on_progress("Storing commitments", part, parts))
    if json:
        write_json(done.to_json())
    else:
        write_pairs(done.to_json().items())


@app.command("list")
def list_(
    rpc: Rpc,
    deployment: Deployment,
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Model directories to look up.")],
    json: Json = False,
) -> None:
    """Look up model directories on chain: registered or not, active or deprecated, by whom."""
    from oracle.encoding import to_hex
    from oracle.pipeline.catalogue import describe_directory
    from oracle.pipeline.session import open_chain

    chain = open_chain(rpc, deployment)
    rows = []
    for directory in directories:
        model = describe_directory(directory)
        found = chain.model(model.model_id)
        state = "not registered" if found is None else "active" if found.is_active else "deprecated"
        rows.append((model.name, model.kind.name.lower(), state, to_hex(model.model_id), found.owner if found else None))
    names = ("name", "kind", "state", "model_id", "owner")
    if json:
        write_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        write_table("Models", names, rows)
        write_note(f"Deployment on chain {chain.domain.chain_id}, Coprocessor {chain.domain.coprocessor}")
