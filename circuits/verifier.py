"""The verifier: the prover's steps, with every check where its value is known.

Before the first hash, everything that was handed in is read once: context, input, output, and the proof's bytes.
"""

from __future__ import annotations

from py_arkworks_bls12381 import G1Point

from circuits.claims import ClaimList, Ends
from circuits.committed import VerifyingModel, commit_model
from circuits.model import CanonicalModel
from circuits.proof_bytes import Proof, decode_proof
from circuits.protocols import linear, opening, reshape, rows
from circuits.setup import Setup, load_ceremony
from circuits.statement import Statement, begin_transcript, read_statement
from circuits.transcript import Transcript


def verify(model: CanonicalModel, x: object, y: object, proof: bytes, context: bytes) -> None:
    """Return if `proof` shows that model.run(x) is y, in this context. Raises ProofError naming the check that refused it."""
    statement = read_statement(model.network, x, y, context)
    setup = load_ceremony()
    verifying = commit_model(model, setup).verifying
    verify_statement(verifying, statement, decode_proof(proof, verifying.layout), setup)


def verify_statement(model: VerifyingModel, statement: Statement, proof: Proof, setup: Setup) -> None:
    """The protocol, for parts that were read already. Raises ProofError."""
    transcript = begin_transcript(model, statement)
    challenges = _receive_commitments(model, transcript, proof)
    sigma = _verify_rows(model, transcript, proof, challenges)
    rho, operands = _verify_linear(model, transcript, statement, proof, sigma)
    theta = _verify_reshape(model, transcript, proof, (sigma, rho), operands)
    ends = Ends(sigma, rho, theta, proof.totals, proof.table, proof.rest, proof.weights, proof.operands, proof.reshaped)
    claims = ClaimList(model.layout, ends).make(statement.y)
    opening.verify(opening.Config(setup), transcript, claims, _list_commitments(model, proof), proof.parts, proof.quotient[0])


def _receive_commitments(model: VerifyingModel, transcript: Transcript, proof: Proof) -> rows.Challenges:
    """Steps 1 and 2."""
    transcript.absorb_points("trace", proof.trace)
    transcript.absorb_points("multiplicities", proof.multiplicities)
    alpha = transcript.draw()
    transcript.absorb_points("helpers", proof.helpers)
    transcript.absorb_points("table_helpers", proof.table_helpers)
    return rows.Config(model.layout).draw_separators(transcript, alpha)


def _verify_rows(model: VerifyingModel, transcript: Transcript, proof: Proof, challenges: rows.Challenges) -> list[int]:
    """Step 3; returns σ."""
    config = rows.Config(model.layout)
    sigma, claim = rows.verify(config, transcript, proof.row_rounds, challenges)
    rows.check_end(config, challenges, sigma, claim, proof.totals, proof.table)
    transcript.absorb_scalars("totals", (*proof.totals, *proof.table, *proof.rest))
    return sigma


def _verify_linear(
    model: VerifyingModel, transcript: Transcript, statement: Statement, proof: Proof, sigma: list[int]
) -> tuple[list[int], dict[int, int]]:
    """Step 4; returns ρ and every layer's operand there: sent where a layer computed it, evaluated where it is the public input."""
    config, layout = linear.Config(model.layout), model.layout
    claim = linear.compute_claim(config, sigma, proof.totals[-2], proof.rest[0])
    rho, claim = linear.verify(config, transcript, claim, proof.linear_rounds)
    sent = {layer.index: value for layer, value in zip(layout.computed_operands, proof.operands, strict=True)}
    public = [layer for layer in layout.layers if not layout.is_computed(layer)]
    operands = sent | {layer.index: linear.evaluate_input(layer, statement.x, sigma, rho) for layer in public}
    linear.check_end(config, sigma, claim, proof.weights, operands)
    transcript.absorb_scalars("ends", (*proof.weights, *proof.operands))
    return rho, operands


def _verify_reshape(
    model: VerifyingModel, transcript: Transcript, proof: Proof, points: tuple[list[int], list[int]], operands: dict[int, int]
) -> list[int]:
    """Step 4b; returns θ."""
    config = reshape.Config(model.layout)
    values = [operands[layer.index] for layer in model.layout.reshaped]
    powers, theta, claim = reshape.verify(config, transcript, values, proof.reshape_rounds)
    reshape.check_end(config, (*points, theta), powers, claim, proof.reshaped)
    transcript.absorb_scalars("reshaped", proof.reshaped)
    return theta


def _list_commitments(model: VerifyingModel, proof: Proof) -> dict[opening.Place, G1Point]:
    """Every commitment by its place: the model's own, and the proof's."""
    layout = model.layout
    sent = {
        "trace": (layout.trace_chunks, proof.trace),
        "multiplicities": (layout.table_chunks, proof.multiplicities),
        "helpers": (layout.helper_chunks, proof.helpers),
        "table_helpers": (layout.table_chunks, proof.table_helpers),
    }
    places: dict[opening.Place, G1Point] = {("parameters", number): point for number, point in model.commitments.items()}
    for name, (numbers, points) in sent.items():
        places |= {(name, number): point for number, point in zip(numbers, points, strict=True)}
    return places
