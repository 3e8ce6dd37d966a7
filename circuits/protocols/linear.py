"""Step 4: the accumulators of all layers, one sumcheck of degree 2.

With w_l = eq(position of block l, high bits of σ), the definition of the virtual limb r0 reads

    r0(σ) − rest − Σ_l w_l·(half_l + 2^s·o_l) = Σ_l w_l · Σ_j W_l(σ, j)·x_l(j, σ)
    rest = Σ_l w_l·( b_l(σ)·mask_l(σ) − 2^s·(4096·h + u)(σ) − [s = 24]·4096·r1(σ) )

where W_l and b_l take the bits of σ that name an output feature, and x_l and mask_l those that name a position. mask_l is
1 on true positions: rows of padded positions have no bias. It ends at ρ, with the values W_l(σ, ρ) and x_l(ρ, σ).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuits.field import MODULUS, Vector, to_vector
from circuits.layers.linear import LinearWeights
from circuits.layout import LIMB_SHIFT, Layer, Layout
from circuits.multilinear import compute_eq_table, compute_prefix_mask, evaluate_matrix, pad
from circuits.proof_error import require
from circuits.protocols import sumcheck
from circuits.protocols.rows import compute_block_weights
from circuits.tensors import VALUE_BITS, Integers
from circuits.transcript import Transcript


@dataclass(frozen=True)
class Config:
    """Shapes of the step, for one layout."""

    layout: Layout

    @property
    def sumcheck(self) -> sumcheck.Config:
        return sumcheck.Config(self.layout.linear_bits, "linear")


def split_sigma(layer: Layer, sigma: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """The coordinates of σ that name an output feature, and those that name a position, of the layer's block."""
    return sigma[: layer.out_bits], sigma[layer.out_bits : layer.block_bits]


def compute_mask(layer: Layer, sigma: Sequence[int]) -> int:
    """mask_l(σ): the sum of eq over the true positions."""
    return compute_prefix_mask(split_sigma(layer, sigma)[1], layer.operator.positions)


def compute_rest_coefficients(layer: Layer, sigma: Sequence[int]) -> dict[str, int]:
    """What the bias and each column of one layer's block count in `rest`, before the block's weight w_l."""
    shift = layer.operator.shift
    columns = {"bias": compute_mask(layer, sigma), "h": -(1 << (shift + VALUE_BITS)), "u": -(1 << shift)}
    return columns | ({"r1": -(1 << VALUE_BITS)} if shift == LIMB_SHIFT else {})


def prove(
    config: Config, transcript: Transcript, sigma: Sequence[int], parameters: Sequence[LinearWeights], tensors: Sequence[Vector]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Messages, ρ, W_l(σ, ρ) for every layer, x_l(ρ, σ) for every layer. `tensors` by operator id, reduced, row-major."""
    products = []
    block_weights = compute_block_weights(config.layout, sigma)
    for layer, weight, numbers in zip(config.layout.layers, block_weights, parameters, strict=True):
        outputs, positions = split_sigma(layer, sigma)
        operator = layer.operator
        row = compute_eq_table(outputs)[: operator.out_features] @ numbers.weights.astype(object) % MODULUS
        operand = tensors[operator.operand].reshape(operator.positions, operator.in_features)
        collapsed = compute_eq_table(positions)[: operator.positions] @ operand % MODULUS
        products.append(sumcheck.Product(weight, pad(row, layer.in_bits), pad(collapsed, layer.in_bits), layer.in_bits))
    messages, point, ends = sumcheck.prove(config.sumcheck, transcript, products)
    return messages, point, [int(end.a[0]) for end in ends], [int(end.b[0]) for end in ends]


def compute_claim(config: Config, sigma: Sequence[int], r0: int, rest: int) -> int:
    """The left side: what the sum over all layers must be."""
    weights = compute_block_weights(config.layout, sigma)
    constant = sum(w * layer.constant for w, layer in zip(weights, config.layout.layers, strict=True))
    return (r0 - rest - constant) % MODULUS


def verify(config: Config, transcript: Transcript, claim: int, messages: Sequence[int]) -> tuple[list[int], int]:
    """ρ, and what the values there must add up to."""
    return sumcheck.verify(config.sumcheck, transcript, claim, messages)


def check_end(config: Config, sigma: Sequence[int], claim: int, weights: Sequence[int], operands: Mapping[int, int]) -> None:
    """Raise ProofError unless Σ w_l·scale·W_l(σ, ρ)·x_l(ρ, σ) is the claim. `operands` by layer index."""
    blocks = compute_block_weights(config.layout, sigma)
    total = 0
    for layer, block, value in zip(config.layout.layers, blocks, weights, strict=True):
        total += block * config.sumcheck.scale(layer.in_bits) % MODULUS * value % MODULUS * operands[layer.index]
    require((total - claim) % MODULUS == 0, "linear layers")


def evaluate_input(layer: Layer, x: Integers, sigma: Sequence[int], rho: Sequence[int]) -> int:
    """x_l(ρ, σ) of a layer that reads the public input."""
    shape = layer.operator.positions, layer.operator.in_features
    return evaluate_matrix(to_vector(x), shape, rho[: layer.in_bits], split_sigma(layer, sigma)[1])
