"""The prover: the steps of proof-system version 1 in their order. Deterministic: one statement, one proof.

Not zero-knowledge: what is sent reveals linear combinations of weights and activations. docs/proofs.md says what that
means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from py_arkworks_bls12381 import G1Point

from circuits.claims import Claim, ClaimList, Ends
from circuits.commitment import commit
from circuits.committed import CommittedModel, commit_model
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, Vector, make_zeros, to_vector
from circuits.layout import TABLE_BITS, Layer
from circuits.model import CanonicalModel
from circuits.multilinear import evaluate, pad
from circuits.proof_bytes import Proof, encode_proof
from circuits.protocols import linear, opening, reshape, rows
from circuits.setup import Setup, load_ceremony
from circuits.statement import Statement, begin_transcript, read_context, read_statement
from circuits.trace import Trace, compute_trace


def prove(model: CanonicalModel, x: object, context: bytes) -> bytes:
    """The proof that model.run(x) is what it is, bound to 32 bytes of context. Raises InputError or ProofError for a bad statement."""
    read_context(context)
    setup = load_ceremony()
    statement = read_statement(model.network, x, model.run(x), context)
    committed = commit_model(model, setup)
    trace = compute_trace(committed.layout, committed.parameters, statement.x)
    if trace.tensors[model.network.output_operand].tolist() != statement.y.tolist():
        raise InvariantBroken("the rows give another output than the engine")
    return encode_proof(Prover(committed, statement, trace, setup).run(), committed.layout)


class Prover:
    """One proof under way. Each step commits or sends through the transcript, then draws; `vectors` is what was committed."""

    def __init__(self, model: CommittedModel, statement: Statement, trace: Trace, setup: Setup) -> None:
        self.model, self.layout, self.setup = model, model.layout, setup
        self.statement, self.trace = statement, trace
        self.transcript = begin_transcript(model.verifying, statement)
        self.chunks: dict[opening.Place, Vector] = {("parameters", number): chunk for number, chunk in model.chunks.items()}
        self.sent: dict[str, tuple[int, ...] | tuple[G1Point, ...]] = {}

    def run(self) -> Proof:
        """The whole protocol."""
        self.commit_trace()
        self.commit_helpers(self.transcript.draw())
        self.prove_rows()
        self.send_totals()
        self.prove_linear()
        self.prove_reshape()
        self.prove_opening()
        return Proof(**self.sent)  # type: ignore[arg-type]

    # ---- what is sent ------------------------------------------------------------------------------------------------------------

    def send_scalars(self, label: str, **messages: Sequence[int]) -> None:
        """Scalars that no sumcheck has absorbed yet, together."""
        self.sent |= {name: tuple(values) for name, values in messages.items()}
        self.transcript.absorb_scalars(label, [value for values in messages.values() for value in values])

    def commit_vector(self, name: str, values: Vector, numbers: Sequence[int]) -> None:
        """Commit to the chunks of a vector that are sent, and absorb them."""
        for number in numbers:
            chunk = values[number << self.layout.chunk_bits : (number + 1) << self.layout.chunk_bits]
            self.chunks[name, number] = np.concatenate([chunk, make_zeros(self.setup.chunk_length - len(chunk))])
        points = tuple(commit(self.setup, self.chunks[name, number].tolist()) for number in numbers)
        self.sent[name] = points
        self.transcript.absorb_points(name, points)

    # ---- the steps ---------------------------------------------------------------------------------------------------------------

    def commit_trace(self) -> None:
        """Step 1: the columns and the multiplicities."""
        self.columns = {name: self.trace.columns[name] for name in (*self.layout.columns, "r0")}
        vector = np.concatenate([pad(self.columns[name], self.layout.row_bits) for name in self.layout.columns])
        self.commit_vector("trace", vector, self.layout.trace_chunks)
        self.multiplicities = rows.compute_multiplicities(self.find_lookups())
        self.commit_vector("multiplicities", self.multiplicities, self.layout.table_chunks)

    def find_lookups(self) -> list[Vector]:
        """r0, u, c·h − c², and r1 where it exists, over the live rows."""
        c = self.columns
        return [c["r0"], c["u"], c["c"] * c["h"] - c["c"] * c["c"], *([c["r1"]] if "r1" in c else [])]

    def commit_helpers(self, alpha: int) -> None:
        """Step 2: H and G."""
        self.columns["H"], self.table_helper = rows.compute_helpers(self.find_lookups(), self.multiplicities, alpha)
        self.commit_vector("helpers", self.columns["H"], self.layout.helper_chunks)
        self.commit_vector("table_helpers", self.table_helper, self.layout.table_chunks)
        self.challenges = rows.Config(self.layout).draw_separators(self.transcript, alpha)

    def prove_rows(self) -> None:
        """Step 3: the zero-check of rows and table, down to σ."""
        columns = {name: pad(values % MODULUS, self.layout.row_bits) for name, values in self.columns.items()}
        tables = rows.Tables(columns, *rows.make_public_columns(self.layout), self.table_helper, self.multiplicities)
        messages, self.sigma = rows.prove(rows.Config(self.layout), self.transcript, tables, self.challenges)
        self.sent["row_rounds"] = tuple(messages)

    def send_totals(self) -> None:
        """The values at σ: columns, r0, H, G, m and rest."""
        names = (*self.layout.columns, "r0", "H")
        totals = [self.evaluate_column(name) for name in names]
        table = [evaluate(values, self.sigma[:TABLE_BITS]) for values in (self.table_helper, self.multiplicities)]
        self.send_scalars("totals", totals=totals, table=table, rest=[self.compute_rest()])

    def evaluate_column(self, name: str) -> int:
        return evaluate(self.columns[name] % MODULUS, self.sigma[: self.layout.row_bits])

    def get_block(self, name: str, layer: Layer) -> Vector:
        """A layer's block of a column, reduced."""
        start = self.layout.row_starts[layer.index]
        block: Vector = self.columns[name][start : start + (1 << layer.block_bits)] % MODULUS
        return block

    def compute_rest(self) -> int:
        total = 0
        weights = rows.compute_block_weights(self.layout, self.sigma)
        for layer, weight, numbers in zip(self.layout.layers, weights, self.model.parameters, strict=True):
            for name, factor in linear.compute_rest_coefficients(layer, self.sigma).items():
                if name == "bias":
                    value = evaluate(to_vector(numbers.bias), linear.split_sigma(layer, self.sigma)[0])
                else:
                    value = evaluate(self.get_block(name, layer), self.sigma[: layer.block_bits])
                total += weight * factor % MODULUS * value
        return total % MODULUS

    def prove_linear(self) -> None:
        """Step 4: accumulators, down to ρ."""
        tensors = [to_vector(tensor) for tensor in self.trace.tensors]
        config = linear.Config(self.layout)
        messages, self.rho, weights, operands = linear.prove(config, self.transcript, self.sigma, self.model.parameters, tensors)
        self.sent["linear_rounds"] = tuple(messages)
        sent = [operands[layer.index] for layer in self.layout.computed_operands]
        self.send_scalars("ends", weights=weights, operands=sent)

    def prove_reshape(self) -> None:
        """Step 4b, where some layer reads across padding: down to θ."""
        blocks = [self.get_block("y", layer) for layer in self.layout.layers]
        messages, self.theta, values = reshape.prove(reshape.Config(self.layout), self.transcript, self.sigma, self.rho, blocks)
        self.sent["reshape_rounds"] = tuple(messages)
        self.send_scalars("reshaped", reshaped=values)

    def list_claims(self) -> list[Claim]:
        """What the values sent so far claim of the committed vectors."""
        names = ("totals", "table", "rest", "weights", "operands", "reshaped")
        values = {name: self.sent[name] for name in names}
        ends = Ends(self.sigma, self.rho, self.theta, **values)  # type: ignore[arg-type]
        return ClaimList(self.layout, ends).make(self.statement.y)

    def prove_opening(self) -> None:
        """Step 5."""
        parts, quotient = opening.prove(opening.Config(self.setup), self.transcript, self.list_claims(), self.chunks)
        self.sent |= {"parts": tuple(parts), "quotient": (quotient,)}
