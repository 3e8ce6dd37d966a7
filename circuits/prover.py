"""The prover: the steps of proof-system version 2 in their order. Deterministic: one statement, one proof.

Not zero-knowledge: what is sent reveals linear combinations of weights and activations. docs/proofs.md says what that
means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from circuits import engine
from circuits.claims import Claim, ClaimList, Ends
from circuits.committed import CommittedModel
from circuits.engine import Integers, Operand
from circuits.field import MODULUS
from circuits.layers.term import Weights
from circuits.layout import TABLE_BITS, Layer, Layout
from circuits.model import CanonicalModel
from circuits.proof_bytes import Points, Proof, Scalars, encode_proof
from circuits.protocols import linear, maps, opening, rows
from circuits.setup import Setup, load_ceremony
from circuits.statement import Statement, begin_transcript, read_context, read_statement, read_tensor
from circuits.trace import Trace, compute_trace, pad_axes


def prove(model: CanonicalModel, x: object, context: bytes) -> bytes:
    """The proof that model.run(x) is what it is, bound to 32 bytes of context. Raises InputError or ProofError for a bad statement."""
    return prove_committed(model.committed, x, context, load_ceremony())


def prove_committed(model: CommittedModel, x: object, context: bytes, setup: Setup) -> bytes:
    """The same on any setup: the one the model was committed with. Raises ProofError for a bad statement."""
    network = model.layout.network
    read_context(context)
    trace = compute_trace(model.layout, model.parameters, read_tensor(x, network.input, "input"))
    y = trace.tensors[network.output_operand].reshape(network.output.shape)
    stated = commit_input(model.layout, x, setup) if network.is_input_committed else x
    statement = read_statement(model.layout, stated, y, context)
    return encode_proof(Prover(model, statement, trace, setup).run(), model.layout)


def commit_input(layout: Layout, x: object, setup: Setup) -> bytes:
    """The commitments that stand for an input of a network whose input is committed: 96 bytes a chunk.

    They are deterministic: who guesses the input can test the guess. Raises ProofError for an input of another shape or range.
    """
    chunks = lay_out_input(layout, read_tensor(x, layout.network.input, "input"))
    return b"".join(setup.powers.commit_many(list(chunks.values())))


def lay_out_input(layout: Layout, x: Integers) -> dict[int, Integers]:
    """The chunks of a committed input, by number, its axes padded with zeros."""
    padded, length = pad_axes(layout.shapes[0], x), 1 << layout.chunk_bits
    return {number: padded[number * length : (number + 1) * length] for number in layout.input_chunks}


class Prover:
    """One proof under way. Each step commits or sends through the transcript, then draws; `chunks` is what was committed."""

    def __init__(self, model: CommittedModel, statement: Statement, trace: Trace, setup: Setup) -> None:
        self.model, self.layout, self.terms, self.setup = model, model.layout, model.verifying.terms, setup
        self.statement, self.trace = statement, trace
        self.transcript = begin_transcript(model.verifying, statement)
        self.chunks: dict[opening.Place, Operand] = {("parameters", number): chunk for number, chunk in model.chunks.items()}
        self.chunks |= {("input", number): chunk for number, chunk in lay_out_input(self.layout, trace.tensors[0]).items()}
        self.sent: dict[str, Scalars | Points] = {}
        self.theta: Sequence[int] = []

    def run(self) -> Proof:
        """The whole protocol."""
        self.commit_trace()
        self.commit_helpers()
        self.prove_rows()
        self.send_totals()
        self.prove_linear()
        self.prove_maps()
        self.prove_opening()
        return Proof(**self.sent)  # type: ignore[arg-type]

    # ---- what is sent ------------------------------------------------------------------------------------------------------------

    def send_scalars(self, label: str, **messages: Sequence[int]) -> None:
        """Scalars that no sumcheck has absorbed yet, together."""
        self.sent |= {name: tuple(values) for name, values in messages.items()}
        self.transcript.absorb_scalars(label, [value for values in messages.values() for value in values])

    def commit_vectors(self, vectors: dict[str, tuple[Operand, Sequence[int]]]) -> None:
        """Commit to the chunks of vectors that are sent, all at once, and absorb them, a message a vector."""
        length, live = self.setup.chunk_length, []
        for name, (values, numbers) in vectors.items():
            for number in numbers:
                chunk: Operand = np.ascontiguousarray(values[number * length : (number + 1) * length])  # type: ignore[assignment]
                self.chunks[name, number] = chunk
                live.append((name, number))
        points = dict(zip(live, self.setup.powers.commit_many([self.chunks[place] for place in live]), strict=True))
        for name, (_, numbers) in vectors.items():
            self.sent[name] = tuple(points[name, number] for number in numbers)
            self.transcript.absorb_points(name, self.sent[name])  # type: ignore[arg-type]

    # ---- the steps ---------------------------------------------------------------------------------------------------------------

    def commit_trace(self) -> None:
        """Step 1: the columns and the multiplicities."""
        columns, looked = self.trace.columns, self.trace.looked
        starts = self.layout.column_starts
        vector = np.zeros(max(starts.values()) + max(self.layout.rows.live, self.layout.look.live), dtype=np.int64)
        for name, start in starts.items():
            values = looked.y if name == "looked" else columns[name]
            vector[start : start + len(values)] = values
        self.multiplicities = self.count_lookups()
        self.commit_vectors(
            {"trace": (vector, self.layout.trace_chunks), "multiplicities": (self.multiplicities, self.layout.table_chunks)}
        )

    def count_lookups(self) -> Integers:
        """m."""
        return rows.compute_multiplicities(self.layout, self.find_columns(), self.trace.looked)

    def find_columns(self) -> dict[str, Integers]:
        """The columns this layout has, and r0."""
        return {name: self.trace.columns[name] for name in (*self.layout.columns, "r0")}

    def commit_helpers(self) -> None:
        """Step 2: H and G."""
        config = rows.Config(self.layout)
        alpha, beta = config.draw_lookups(self.transcript)
        self.helper = rows.compute_row_helper(self.find_columns(), alpha)
        self.lookup_helper = rows.compute_lookup_helper(self.trace.looked, alpha, beta) if self.layout.lookups else None
        self.entries = rows.compute_entries(self.layout, self.model.parameters.tables, beta)
        self.table_helper = rows.compute_table_helper(self.entries, self.multiplicities, alpha)
        vector = np.zeros((max(self.layout.helper_starts.values()) + max(self.layout.rows.live, self.layout.look.live), 4), np.uint64)
        vector[self.layout.helper_starts["rows"] :][: len(self.helper)] = self.helper
        if self.lookup_helper is not None:
            vector[self.layout.helper_starts["look"] :][: len(self.lookup_helper)] = self.lookup_helper
        self.commit_vectors(
            {"helpers": (vector, self.layout.helper_chunks), "table_helpers": (self.table_helper, self.layout.table_chunks)}
        )
        self.challenges = config.draw_separators(self.transcript, alpha, beta)

    def prove_rows(self) -> None:
        """Step 3: the zero-check of rows and tables, down to σ."""
        tables = rows.Tables(
            self.find_columns(),
            self.helper,
            self.trace.looked,
            self.lookup_helper,
            self.entries,
            self.multiplicities,
            self.table_helper,
        )
        messages, self.sigma = rows.prove(rows.Config(self.layout), self.transcript, tables, self.challenges)
        self.sent["row_rounds"] = tuple(messages)

    def send_totals(self) -> None:
        """The values at σ: columns, r0, H; x, y, H of lookups; G, m; tables; rest."""
        at_rows, at_table = self.sigma[: self.layout.rows.bits], self.sigma[: self.layout.table_bits]
        columns: list[Operand] = [*(self.trace.columns[name] for name in (*self.layout.columns, "r0")), self.helper]
        self.send_scalars(
            "totals",
            totals=[engine.evaluate(values, at_rows) for values in columns],
            lookup_totals=self.compute_lookup_totals(),
            table=[engine.evaluate(values, at_table) for values in (self.table_helper, self.multiplicities)],
            table_values=self.compute_table_values(at_table),
            rest=[self.compute_rest()],
        )

    def compute_lookup_totals(self) -> list[int]:
        if self.lookup_helper is None:
            return []
        looked, point = self.trace.looked, self.sigma[: self.layout.look.bits]
        x = engine.evaluate(looked.index, point)
        _, offset, _ = rows.compute_public_lookups(self.layout, self.sigma)
        return [(x - offset) % MODULUS, engine.evaluate(looked.y, point), engine.evaluate(self.lookup_helper, point)]

    def compute_table_values(self, point: Sequence[int]) -> list[int]:
        if not self.layout.lookups:
            return []
        stacked = np.concatenate([np.zeros(1 << TABLE_BITS, dtype=np.int64), *self.model.parameters.tables])
        return [engine.evaluate(stacked, point)]

    def get_block(self, name: str, layer: Layer) -> Integers:
        """A layer's block of a column."""
        start = self.layout.rows.starts[layer.index]
        return self.trace.columns[name][start : start + (1 << layer.block_bits)]

    def compute_rest(self) -> int:
        total = 0
        weights = rows.compute_block_weights(self.layout, self.sigma)
        for layer, weight, numbers in zip(self.layout.layers, weights, self.model.parameters.layers, strict=True):
            for name, factor in linear.compute_rest_coefficients(layer, self.sigma).items():
                if name == "bias":
                    value = engine.evaluate(cast(Integers, numbers.bias), linear.find_bias_point(layer, self.sigma))
                else:
                    value = engine.evaluate(self.get_block(name, layer), self.sigma[: layer.block_bits])
                total += weight * factor % MODULUS * value
        return total % MODULUS

    def prove_linear(self) -> None:
        """Step 4: accumulators, down to ρ."""
        config = linear.Config(self.layout, self.terms)
        messages, self.rho, ends = linear.prove(config, self.transcript, self.sigma, self.list_numbers())
        self.sent["linear_rounds"] = tuple(messages)
        by_key = {linear.find_key(plan): end for plan, end in zip(self.terms.plans, ends, strict=True)}
        self.send_scalars(
            "ends",
            weights=[by_key[linear.find_key(plan)][0] for plan in self.terms.weighted],
            operands=[by_key[linear.find_key(plan)][1] for plan in self.terms.sent],
        )

    def list_numbers(self) -> linear.Numbers:
        weights = {}
        for layer, numbers in zip(self.layout.layers, self.model.parameters.layers, strict=True):
            for number, (term, array) in enumerate(numbers.pair_with(layer.operator)):
                if term.weights is Weights.PARAMETERS and array is not None:
                    weights[layer.index, number] = array
        return linear.Numbers(weights, self.trace.tensors)

    def prove_maps(self) -> None:
        """Step 4b, where some term reads through a map: down to θ."""
        if not self.terms.mapped:
            self.sent |= {"map_rounds": (), "mapped": ()}
            return
        config = maps.Config(self.terms)
        messages, self.theta, values = maps.prove(config, self.transcript, (self.sigma, self.rho), self.trace.tensors)
        self.sent["map_rounds"] = tuple(messages)
        self.send_scalars("mapped", mapped=[v for plan, v in zip(self.terms.mapped, values, strict=True) if not plan.is_public])

    def list_claims(self) -> list[Claim]:
        """What the values sent so far claim of the committed vectors."""
        ends = Ends(self.sigma, self.rho, self.theta, self.sent)  # type: ignore[arg-type]
        return ClaimList(self.layout, self.terms, ends, self.statement).make()

    def prove_opening(self) -> None:
        """Step 5."""
        parts, quotient = opening.prove(opening.Config(self.setup), self.transcript, self.list_claims(), self.chunks)
        self.sent |= {"parts": tuple(parts), "quotient": (quotient,)}
