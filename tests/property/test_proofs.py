"""Random networks verify, mutated proofs never do; hypothesis chooses the networks, so a failure comes back as a small one."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuits import engine
from circuits.commitment import POINT_BYTES
from circuits.field import MODULUS, SCALAR_BYTES
from circuits.network import decode_descriptor, encode_descriptor
from circuits.proof_bytes import POINT_FIELDS, compute_proof_bytes, count_fields, decode_proof, encode_proof
from circuits.proof_error import ProofError
from circuits.verifier import verify_statement
from tests.soundness.dishonest import change_y, forge
from tests.soundness.networks import Case, make_case
from tests.soundness.random_networks import draw_network

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
MUTATIONS = 10


def draw_case(rng: Random) -> Case:
    """A random network, with chunks long or short against its blocks, weights small or as large as the bound lets them be."""
    network = draw_network(rng, has_tables=rng.random() < 0.4)
    size, bits = 1 << rng.choice((1, 8, 12, 23)), rng.choice((5, 7, 8))
    return make_case(network, rng.randrange(1 << 16), size, bits, extreme=rng.random() < 0.3)


def check_honest(case: Case) -> None:
    proof = case.prove()
    case.verify(proof)
    assert encode_proof(case.prove(), case.layout) == encode_proof(proof, case.layout)
    assert decode_descriptor(encode_descriptor(case.network)) == case.network


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(st.randoms(use_true_random=False))
def test_random_networks_verify(rng: Random) -> None:
    check_honest(draw_case(rng))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_thousand_random_networks_verify(seed: int) -> None:
    rng = Random(1000 + seed)
    for _ in range(50):
        check_honest(draw_case(rng))


# ---- mutations ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a value lies in a proof's bytes."""

    field: str
    start: int

    @property
    def width(self) -> int:
        return POINT_BYTES if self.field in POINT_FIELDS else SCALAR_BYTES


def list_places(case: Case) -> list[Place]:
    places: list[Place] = []
    start = 4
    for field, count in count_fields(case.layout).items():
        for _ in range(count):
            places.append(Place(field, start))
            start += places[-1].width
    assert start == compute_proof_bytes(case.layout)
    return places


def mutate(content: bytes, places: list[Place], rng: Random) -> bytes:
    """A bit anywhere; or one value replaced by a neighbour, by nothing, or by a little more; or two exchanged."""
    if rng.random() < 0.2:
        data = bytearray(content)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(data)
    place = rng.choice(places)
    others = [other for other in places if other.width == place.width]
    value, other = (content[p.start : p.start + p.width] for p in (place, rng.choice(others)))
    kind = rng.randrange(4)
    if kind == 0:
        changed = other
    elif kind == 1:
        changed = bytes(place.width)
    elif place.field in POINT_FIELDS:
        changed = engine.combine([value, other], [1, rng.choice((1, -1, 2))])
    else:
        amount = rng.choice((1, -1, 4096, MODULUS // 2, rng.randrange(MODULUS)))
        changed = ((int.from_bytes(value, "big") + amount) % MODULUS).to_bytes(SCALAR_BYTES, "big")
    return content[: place.start] + changed + content[place.start + place.width :]


def check_mutations(case: Case, rng: Random, count: int) -> None:
    content, places, statement = encode_proof(case.prove(), case.layout), list_places(case), case.state()
    for _ in range(count):
        mutated = content
        while mutated == content:  # infinity exchanged with infinity, for one
            mutated = mutate(content, places, rng)
        with pytest.raises(ProofError):
            verify_statement(case.model.verifying, statement, decode_proof(mutated, case.layout), case.setup)


@settings(max_examples=25, deadline=None, suppress_health_check=QUIET)
@given(st.randoms(use_true_random=False))
def test_mutated_proofs_never_verify(rng: Random) -> None:
    check_mutations(draw_case(rng), rng, MUTATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_ten_thousand_mutated_proofs(seed: int) -> None:
    rng = Random(seed)
    for _ in range(50):
        check_mutations(draw_case(rng), rng, MUTATIONS)


# ---- lies --------------------------------------------------------------------------------------------------------------------------


def check_lie(case: Case) -> None:
    """The rows are true, the output is not, and every check before the opening is repaired."""
    proof, statement = forge(case, case.trace(), y=change_y(case))
    with pytest.raises(ProofError, match="opening"):
        case.verify(proof, statement)


@settings(max_examples=15, deadline=None, suppress_health_check=QUIET)
@given(st.randoms(use_true_random=False))
def test_no_random_network_has_two_outputs(rng: Random) -> None:
    check_lie(draw_case(rng))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_many_random_networks_have_one_output(seed: int) -> None:
    rng = Random(500 + seed)
    for _ in range(50):
        check_lie(draw_case(rng))
