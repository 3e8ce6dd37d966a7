"""The verifier: the prover's steps, with every check where its value is known.

Before the first hash, everything that was handed in is read once: context, input, output, and the proof's bytes.
"""

from __future__ import annotations

from circuits.claims import ClaimList, Ends
from circuits.committed import VerifyingModel
from circuits.layers.term import Weights
from circuits.model import CanonicalModel
from circuits.multilinear import evaluate_tensor
from circuits.proof_bytes import Proof, decode_proof
from circuits.protocols import linear, maps, opening, rows
from circuits.protocols.linear import Key, find_key
from circuits.setup import Setup, load_ceremony
from circuits.statement import Statement, begin_transcript, read_statement
from circuits.transcript import Transcript


def verify(model: CanonicalModel, x: object, y: object, proof: bytes, context: bytes) -> None:
    """Return if `proof` shows that model.run(x) is y, in this context. Raises ProofError naming the check that refused it."""
    statement = read_statement(model.committed.layout, x, y, context)  # before the commitments are computed again
    verify_statement(model.verifying, statement, decode_proof(proof, model.verifying.layout), load_ceremony())


def verify_committed(model: VerifyingModel, x: object, y: object, proof: bytes, context: bytes, setup: Setup) -> None:
    """The same from commitments somebody else computed, on any setup. Raises ProofError."""
    statement = read_statement(model.layout, x, y, context)
    verify_statement(model, statement, decode_proof(proof, model.layout), setup)


def verify_statement(model: VerifyingModel, statement: Statement, proof: Proof, setup: Setup) -> None:
    """The protocol, for parts that were read already. Raises ProofError."""
    transcript = begin_transcript(model, statement)
    challenges = _receive_commitments(model, transcript, proof)
    sigma = _verify_rows(model, transcript, proof, challenges)
    rho, operands = _verify_linear(model, transcript, statement, proof, sigma)
    theta = _verify_maps(model, transcript, statement, proof, (sigma, rho), operands)
    ends = Ends(sigma, rho, theta, vars(proof))
    claims = ClaimList(model.layout, model.terms, ends, statement).make()
    opening.verify(opening.Config(setup), transcript, claims, _list_commitments(model, statement, proof), proof.parts, proof.quotient[0])


def _receive_commitments(model: VerifyingModel, transcript: Transcript, proof: Proof) -> rows.Challenges:
    """Steps 1 and 2."""
    config = rows.Config(model.layout)
    transcript.absorb_points("trace", proof.trace)
    transcript.absorb_points("multiplicities", proof.multiplicities)
    alpha, beta = config.draw_lookups(transcript)
    transcript.absorb_points("helpers", proof.helpers)
    transcript.absorb_points("table_helpers", proof.table_helpers)
    return config.draw_separators(transcript, alpha, beta)


def _verify_rows(model: VerifyingModel, transcript: Transcript, proof: Proof, challenges: rows.Challenges) -> list[int]:
    """Step 3; returns σ."""
    config = rows.Config(model.layout)
    sigma, claim = rows.verify(config, transcript, proof.row_rounds, challenges)
    totals = rows.Totals(proof.totals, proof.lookup_totals, proof.table, proof.table_values)
    rows.check_end(config, challenges, sigma, claim, totals)
    transcript.absorb_scalars("totals", (*proof.totals, *proof.lookup_totals, *proof.table, *proof.table_values, *proof.rest))
    return sigma


def _verify_linear(
    model: VerifyingModel, transcript: Transcript, statement: Statement, proof: Proof, sigma: list[int]
) -> tuple[list[int], dict[Key, int]]:
    """Step 4; returns ρ and every term's operand there: sent, or evaluated where it is the public input read directly."""
    config, terms, shape = linear.Config(model.layout, model.terms), model.terms, model.layout.shapes[0]
    claim = linear.compute_claim(config, sigma, proof.totals[-2], proof.rest[0])
    rho, claim = linear.verify(config, transcript, claim, proof.linear_rounds)
    operands = {find_key(plan): value for plan, value in zip(terms.sent, proof.operands, strict=True)}
    weights = {find_key(plan): value for plan, value in zip(terms.weighted, proof.weights, strict=True)}
    for plan in terms.plans:
        if find_key(plan) not in operands:
            operands[find_key(plan)] = evaluate_tensor(statement.public_input, shape, plan.find_operand_point(sigma, rho, ()))
        if plan.term.weights is Weights.TENSOR and plan.is_weights_public:
            weights[find_key(plan)] = evaluate_tensor(statement.public_input, shape, plan.find_weights_point(sigma, rho))
    linear.check_end(config, (sigma, rho), claim, weights, operands)
    transcript.absorb_scalars("ends", (*proof.weights, *proof.operands))
    return rho, operands


def _verify_maps(
    model: VerifyingModel,
    transcript: Transcript,
    statement: Statement,
    proof: Proof,
    points: tuple[list[int], list[int]],
    operands: dict[Key, int],
) -> list[int]:
    """Step 4b, where some term reads through a map; returns θ."""
    config, terms = maps.Config(model.terms), model.terms
    if not terms.mapped:
        return []
    values = [operands[find_key(plan)] for plan in terms.mapped]
    powers, theta, claim = maps.verify(config, transcript, values, proof.map_rounds)
    sent = iter(proof.mapped)
    ends = [
        evaluate_tensor(statement.public_input, model.layout.shapes[0], plan.find_operand_point(*points, theta))
        if plan.is_public
        else next(sent)
        for plan in terms.mapped
    ]
    maps.check_end(config, (*points, theta), powers, claim, ends)
    transcript.absorb_scalars("mapped", proof.mapped)
    return theta


def _list_commitments(model: VerifyingModel, statement: Statement, proof: Proof) -> dict[opening.Place, bytes]:
    """Every committed chunk, by where it is."""
    layout = model.layout
    sent = {
        "input": (layout.input_chunks, statement.commitments),
        "trace": (layout.trace_chunks, proof.trace),
        "multiplicities": (layout.table_chunks, proof.multiplicities),
        "helpers": (layout.helper_chunks, proof.helpers),
        "table_helpers": (layout.table_chunks, proof.table_helpers),
    }
    places = {(name, n): point for name, (numbers, points) in sent.items() for n, point in zip(numbers, points, strict=True)}
    return places | {("parameters", number): point for number, point in model.commitments.items()}
