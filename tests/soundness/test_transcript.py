"""Everything sent is absorbed before the next challenge: prover and verifier, message by message; and blocks are where they say."""

from __future__ import annotations

from typing import Any

import pytest

from circuits import engine
from circuits import layout as layout_module
from circuits.claims import Part, find_parts, list_prefix_blocks, make_pairs
from circuits.errors import InvariantBroken
from circuits.field import MODULUS
from circuits.layout import Layout, count_shape_bits
from circuits.multilinear import compute_eq_table
from circuits.transcript import Transcript
from tests.soundness.networks import RECTIFIED, SIGNED, Case, make_case, make_chain
from tests.soundness.zoo import make_zoo

ZOO = make_zoo()


def record(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Label and length of every message, "?" for every challenge."""
    seen: list[str] = []
    absorb, draw = Transcript.absorb, Transcript.draw

    def absorb_seen(self: Transcript, label: str, data: bytes) -> None:
        seen.append(f"{label} {len(data)}")
        absorb(self, label, data)

    def draw_seen(self: Transcript) -> int:
        seen.append("?")
        return draw(self)

    monkeypatch.setattr(Transcript, "absorb", absorb_seen)
    monkeypatch.setattr(Transcript, "draw", draw_seen)
    return seen


def repeat(message: str, count: int) -> str:
    return " ".join([message, "?"] * count)


# By hand, from the specification: chunks of 128, so a table is 32 commitments, 3072 bytes. Scalars are 32 bytes.
BEGIN = "tag 17 model 32 context 32"
ORDERS = {
    # 20-9-5: 16 + 8 rows in 5 bits, columns y u h c r1 of 32 in two chunks; 5 rounds of 6, 7 of 2; 5 rounds for 20 inputs; no maps.
    "dense": f"{BEGIN} input 40 output 10 trace 192 multiplicities 3072 ? helpers 96 table_helpers 3072"
    f" {'? ' * 14}{repeat('rows 192', 5)} {repeat('rows 64', 7)} totals 320 {repeat('linear 64', 5)} ends 96 ? parts 192 ?",
    # 120 + 3 values in 256 + 4 rows: 9 bits, four columns of 512 of which three chunks live; 8 rounds of 2; 6 of maps.
    "conv": f"{BEGIN} input 120 output 6 trace 1152 multiplicities 3072 ? helpers 288 table_helpers 3072 "
    f"{'? ' * 14}{repeat('rows 160', 9)} {repeat('rows 64', 3)} totals 288 {repeat('linear 64', 8)} ends 128 ? "
    f"{repeat('maps 64', 6)} mapped 0 ? parts 192 ?",
    # A factor eq: degree 3.
    "square of the input": f"{BEGIN} input 60 output 60 trace 192 multiplicities 3072 ? helpers 96 table_helpers 3072 "
    f"{'? ' * 14}{repeat('rows 160', 6)} {repeat('rows 64', 6)} totals 288 {repeat('linear 96', 6)} ends 0 ? parts 192 ?",
    # No sum and no map: nothing between the totals and the ends.
    "no sum at all": f"{BEGIN} input 60 output 12 trace 96 multiplicities 3072 ? helpers 96 table_helpers 3072 "
    f"{'? ' * 14}{repeat('rows 160', 3)} {repeat('rows 64', 9)} totals 288 ends 0 ? parts 192 ?",
    # One table: a second challenge before the helpers, one more round and tag bit, three totals and one value more.
    "a table is the output": f"{BEGIN} input 10 output 6 trace 96 multiplicities 6144 ? ? helpers 96 table_helpers 6144 "
    f"{'? ' * 15}{repeat('rows 160', 2)} {repeat('rows 64', 11)} totals 416 {repeat('linear 64', 3)} ends 32 ? parts 192 ?",
    # Merged and split axes, no weights at all.
    "merge and split": f"{BEGIN} input 60 output 60 trace 384 multiplicities 3072 ? helpers 96 table_helpers 3072 "
    f"{'? ' * 14}{repeat('rows 160', 7)} {repeat('rows 64', 5)} totals 288 ends 64 ? {repeat('maps 64', 6)} mapped 32 ? parts 192 ?",
    # The input is one commitment.
    "committed input": f"{BEGIN} input 96 output 6 trace 384 multiplicities 3072 ? helpers 96 table_helpers 3072 "
    f"{'? ' * 14}{repeat('rows 160', 7)} {repeat('rows 64', 5)} totals 288 {repeat('linear 64', 6)} ends 96 ? parts 192 ?",
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_by_hand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(ZOO[name])
    seen = record(monkeypatch)
    proof = case.prove()
    by_prover, seen[:] = list(seen), []
    case.verify(proof)
    assert seen == by_prover
    assert " ".join(seen).split() == ORDERS[name].split()


@pytest.mark.parametrize("name", ZOO)
def test_every_kind_keeps_the_order(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels in order without repetitions; rounds each followed by a challenge; the same on both sides."""
    case = make_case(ZOO[name])
    seen = record(monkeypatch)
    proof = case.prove()
    by_prover, seen[:] = list(seen), []
    case.verify(proof)
    assert seen == by_prover
    terms, layout = case.model.verifying.terms, case.layout
    rounds = {"rows": layout.zero_check_bits, "linear": terms.variables, "maps": terms.map_variables}
    once = "tag model context input output trace multiplicities ? helpers table_helpers ? rows totals linear ends maps mapped parts ?"
    expected: list[str] = []
    for label in once.split():
        if label in rounds:
            expected += [label, "?"] * rounds[label]
        elif label == "?" and expected[-1] == "multiplicities":
            expected += ["?"] * (2 if layout.lookups else 1)
        elif label == "?" and expected[-1] == "table_helpers":
            expected += ["?"] * (2 + layout.zero_check_bits)
        elif label != "mapped":
            expected.append(label)
        elif terms.mapped:
            expected += ["mapped", "?"]
    # λ before the maps, or μ where there are none, is drawn behind the ends.
    at = expected.index("ends") + 1
    expected.insert(at, "?")
    assert [entry.split()[0] for entry in seen] == expected


def test_what_is_absorbed_is_hashed() -> None:
    """Every byte and the length of a message change the next challenge."""
    states = set()
    for data in (b"", b"\x00", b"\x01", b"\x00\x00"):
        transcript = Transcript()
        transcript.absorb("message", data)
        states.add(transcript.draw())
    assert len(states) == 4


# ---- alignment -----------------------------------------------------------------------------------------------------------------------


def apply(part: Part, chunk: list[int]) -> int:
    tensor = [1]
    for a, b in part.low:
        tensor = [t * a % MODULUS for t in tensor] + [t * b % MODULUS for t in tensor]
    return part.coefficient * sum(t * v for t, v in zip(tensor, chunk, strict=True)) % MODULUS


def test_a_block_is_opened_where_it_is() -> None:
    """Inside a chunk, over several chunks, and a misaligned one, which would open other entries than its own: refused."""
    vector, point = [3 * i + 1 for i in range(64)], [5, 7, 11, 13]
    inside = find_parts("trace", 4, make_pairs(point[:2]), 1, 6)
    assert [apply(part, vector) for part in inside] == [engine.evaluate(engine.from_scalars(vector[4:8]), point[:2])]
    across = find_parts("trace", 16, make_pairs(point), 9, 2)
    assert [part.chunk for part in across] == [4, 5, 6, 7]
    total = sum(apply(part, vector[4 * part.chunk : 4 * part.chunk + 4]) for part in across) % MODULUS
    assert total == 9 * engine.evaluate(engine.from_scalars(vector[16:32]), point) % MODULUS
    for start, bits in ((2, 2), (4, 3), (24, 4)):
        with pytest.raises(InvariantBroken, match="a block of"):
            find_parts("trace", start, make_pairs(point[:bits]), 1, 6)


@pytest.mark.parametrize("name", ZOO)
def test_every_block_is_aligned(name: str) -> None:
    layout = make_case(ZOO[name]).layout
    for key, start in layout.parameter_starts.items():
        assert start % (1 << count_shape_bits(layout.parameter_shapes[key])) == 0
    for block in layout.layers:
        assert layout.rows.starts[block.index] % (1 << block.block_bits) == 0
    for lookup in layout.lookups:
        assert layout.look.starts[lookup.index] % (1 << lookup.block_bits) == 0


def test_a_layout_that_appends_biases_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """3-4-2-8 with blocks in their given order: weights first, biases behind them."""

    def append(lengths: Any) -> Any:
        offsets, end = {}, 0
        for key, length in lengths.items():
            offsets[key], end = end, end + length
        return offsets, end

    monkeypatch.setattr(layout_module, "place", append)
    case: Case = make_case(make_chain([3, 4, 2, 8], [12, 24, 12], [RECTIFIED, SIGNED, RECTIFIED]))
    with pytest.raises(InvariantBroken, match="a block of"):
        case.prove()


@pytest.mark.parametrize("bits", range(5))
def test_prefix_blocks_are_the_entries_below_a_size(bits: int) -> None:
    """A committed input is opened over its true entries alone: eq(point, i) for i below the size, nothing elsewhere."""
    point = [101, 202, 303, 404][:bits]
    table = compute_eq_table(point)
    for size in range(1, (1 << bits) + 1):
        sums = [0] * (1 << bits)
        for low in list_prefix_blocks(point, size):
            tensor = [1]
            for a, b in low:
                tensor = [t * a % MODULUS for t in tensor] + [t * b % MODULUS for t in tensor]
            sums = [(s + t) % MODULUS for s, t in zip(sums, tensor, strict=True)]
        assert sums == table[:size] + [0] * ((1 << bits) - size)


def test_chunks_that_hold_only_padding_are_virtual() -> None:
    """13-64-32-1 in chunks of 128: rows of three padding inputs of 64 outputs are committed by nobody."""
    layout = Layout(ZOO["13-64-32-1"], 7)
    assert layout.parameter_starts == {
        ("weights", 1, 0): 0,
        ("weights", 0, 0): 2048,
        ("bias", 0, 0): 3072,
        ("weights", 2, 0): 3136,
        ("bias", 1, 0): 3168,
        ("bias", 2, 0): 3200,
    }
    assert layout.parameter_chunks == (*range(16), *range(16, 23), 24, 25)
