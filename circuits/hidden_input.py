"""Models whose statements give the input as a commitment: made of any canonical model, by its identity in front.

    hidden = with_committed_input(model)            another model, with an id of its own
    commitments = commit_input(hidden, x)           96 bytes for every 4096 entries: what stands for x in a statement
    proof = circuits.prove(hidden, x, context)
    circuits.verify(hidden, commitments, y, proof, context)

Deterministic: who can guess x can test the guess. What is out of range is clamped (docs/proofs.md).
"""

from __future__ import annotations

from dataclasses import replace

from circuits.errors import InputError
from circuits.layers.linear import LinearWeights
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.manifest import FileDigest, decode_manifest
from circuits.model import CanonicalModel, compute_parts, encode_payload
from circuits.network import Network, Operator, Parameters, make_input_identity
from circuits.prover import commit_input as commit_on
from circuits.setup import load_ceremony


def with_committed_input(model: CanonicalModel) -> CanonicalModel:
    """The same function for a committed input. Raises InputError for a model that has one already."""
    if model.network.is_input_committed:
        raise InputError("model", "one with a public input", "one with a committed input")
    source = model.network
    operators = (make_input_identity(source.input), *(_move(operator) for operator in source.operators))
    network = Network(source.input, operators, source.output_operand + 1, source.output, is_input_committed=True)
    parameters = Parameters((LinearWeights(()), *model.parameters.layers), model.parameters.tables)
    parts = compute_parts(network, parameters)
    files = encode_payload(network, parameters, parts, model.manifest.input_name, model.manifest.output_name)
    manifest = replace(model.manifest, files={name: FileDigest.of(content) for name, content in files.items()})
    return CanonicalModel(network, parameters, decode_manifest(manifest.encode()), parts)


def _move(operator: Operator) -> Operator:
    """The operator with every id one higher."""
    if isinstance(operator, Table):
        return replace(operator, operand=operator.operand + 1)
    return replace(operator, terms=tuple(_move_term(term) for term in operator.terms))


def _move_term(term: Term) -> Term:
    tensor = term.tensor + 1 if term.weights is Weights.TENSOR else term.tensor
    return replace(term, operand=term.operand + 1, tensor=tensor)


def commit_input(model: CanonicalModel, x: object) -> bytes:
    """What stands for `x` in a statement about a model with a committed input: its commitments, 96 bytes each.

    Raises ProofError for an input of another shape or range, InputError for a model with a public input.
    """
    if not model.network.is_input_committed:
        raise InputError("model", "one with a committed input", "one with a public input")
    return commit_on(model.committed.layout, x, load_ceremony())
