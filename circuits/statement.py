"""What is proven, checked before the first hash: this model gives this output for this input, in this context.

The context is 32 bytes the caller chooses and consumes: chain id, contract and request id hashed together. Nothing else
ties a proof to a place or a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuits.commitment import POINT_BYTES, read_point
from circuits.committed import VerifyingModel
from circuits.errors import InputError, InvariantBroken
from circuits.layout import Layout
from circuits.proof_error import ProofError, require
from circuits.tensors import MAX_RANK, Integers, TensorType, read_integers
from circuits.transcript import Transcript

TAG = b"affidavit/proof/2"
CONTEXT_BYTES = 32


@dataclass(frozen=True)
class Statement:
    """`input` is what the transcript absorbs: two bytes an entry, or 96 bytes a commitment. `x` and `y` flat, row-major, int64,
    inside their tensors' ranges; x is None where a commitment stands for it. `context` 32 bytes. Made by read_statement."""

    input: bytes
    x: Integers | None
    y: Integers
    context: bytes

    @property
    def public_input(self) -> Integers:
        if self.x is None:
            raise InvariantBroken("a committed input is not there to be evaluated")
        return self.x

    @property
    def commitments(self) -> list[bytes]:
        """To the input, where it is committed."""
        return [] if self.x is not None else [self.input[i : i + POINT_BYTES] for i in range(0, len(self.input), POINT_BYTES)]


def read_statement(layout: Layout, x: object, y: object, context: object) -> Statement:
    """Raise ProofError unless both tensors hold integers of exactly the descriptor's shape and range, and the context 32 bytes.

    Where the network's input is committed, `x` is the commitments, 96 bytes each, in the order of their chunks.
    """
    network, bound = layout.network, read_context(context)
    result = read_tensor(y, network.output, "output")
    if network.is_input_committed:
        return Statement(read_commitments(layout, x), None, result, bound)
    values = read_tensor(x, network.input, "input")
    return Statement(encode_tensor(values), values, result, bound)


def read_commitments(layout: Layout, content: object) -> bytes:
    """Raise ProofError unless these are as many points as the layout has chunks of input."""
    expected = POINT_BYTES * len(layout.input_chunks)
    if type(content) is not bytes or len(content) != expected:
        got = f"{len(content)} bytes" if type(content) is bytes else type(content).__name__
        raise ProofError("input", f"commitments of {expected} bytes", got)
    for start in range(0, expected, POINT_BYTES):
        read_point(content[start : start + POINT_BYTES], "input")
    return content


def read_context(context: object) -> bytes:
    if type(context) is not bytes or len(context) != CONTEXT_BYTES:
        got = f"{len(context)} bytes" if type(context) is bytes else type(context).__name__
        raise ProofError("context", f"exactly {CONTEXT_BYTES} bytes", got)
    return context


def read_tensor(values: object, tensor: TensorType, what: str) -> Integers:
    """(size,) int64. Booleans inside lists, which numpy would turn into 0 and 1, are refused too."""
    require(not _has_other_than_integers(values), what, "integers")
    try:
        rows, is_batch = read_integers(values, tensor, what)
    except (InputError, ValueError, OverflowError) as error:
        raise ProofError(what, "integers of the descriptor's shape and range", str(error)) from error
    require(not is_batch, what, "one sample, no batch axis")
    return rows.reshape(tensor.size)


def _has_other_than_integers(values: object, depth: int = MAX_RANK) -> bool:
    """True for lists nested deeper than any tensor, too: how deep they go is not ours to find out."""
    if isinstance(values, (list, tuple)):
        return depth == 0 or any(_has_other_than_integers(value, depth - 1) for value in values)
    if isinstance(values, np.ndarray):
        return values.dtype.kind not in "iu"
    return isinstance(values, bool) or not isinstance(values, (int, np.integer))


def encode_tensor(values: Integers) -> bytes:
    """Two bytes an entry, big-endian two's complement; both formats fit."""
    return values.astype(">i2").tobytes()


def begin_transcript(model: VerifyingModel, statement: Statement) -> Transcript:
    """Tag and version, model, context, input, output: each with its length."""
    transcript = Transcript()
    transcript.absorb("tag", TAG)
    transcript.absorb("model", model.model_id)
    transcript.absorb("context", statement.context)
    transcript.absorb("input", statement.input)
    transcript.absorb("output", encode_tensor(statement.y))
    return transcript
