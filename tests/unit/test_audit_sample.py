"""Samples: drawn again by a twin that shuffles the whole list, fair, and different when anything that matters is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.audit.index import Filter, Index
from oracle.audit.sample import MAX_SAMPLE, Drawn, compute_population_digest, draw, draw_places
from oracle.bench.traffic import stamped
from oracle.errors import LogRefused, MalformedInput
from oracle.records import Bytes32, Checkpoint
from tests.twins.plain_log import PlainLog

SEED = Bytes32(bytes(range(32)))
RESULTS = Filter(kind="result")


def shuffled(seed: bytes, digest: bytes, population: int) -> list[int]:
    """All of the shuffle, on all of the list."""

    def numbers() -> Iterator[int]:
        block = 0
        while True:
            data = sha256(b"affidavit/sample@1\n" + seed + digest + block.to_bytes(8, "big")).digest()
            for at in (0, 8, 16, 24):
                yield int.from_bytes(data[at : at + 8], "big")
            block += 1

    stream, places = numbers(), list(range(population))
    for k in range(population):
        m = population - k
        while (number := next(stream)) >= 2**64 - 2**64 % m:
            pass
        places[k], places[k + number % m] = places[k + number % m], places[k]
    return places


@given(st.binary(min_size=32, max_size=32), st.integers(1, 200), st.data())
def test_a_sample_is_the_front_of_the_shuffle(seed: bytes, population: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, population))
    assert draw_places(seed, seed[::-1], population, size) == shuffled(seed, seed[::-1], population)[:size]


def test_the_vector_of_the_documentation() -> None:
    checkpoint = Checkpoint("log.example/affidavit", 1000, Bytes32(bytes(32)), "")
    digest = compute_population_digest(checkpoint, range(0, 1000, 3))
    head = b"affidavit/population@1\nlog.example/affidavit\n1000\n" + b"0" * 64 + b"\n"
    assert digest == sha256(head + b"".join(i.to_bytes(8, "big") for i in range(0, 1000, 3))).digest()
    assert digest.hex() == "6a4eb6034f4286631068e10e467238d14d8b4caab4e90ed38392f377ebf9e20f"
    assert [3 * place for place in draw_places(SEED, digest, 334, 5)] == [552, 462, 144, 312, 24]
    assert [3 * place for place in shuffled(SEED, digest, 334)[:5]] == [552, 462, 144, 312, 24]


def test_every_entry_has_the_same_chance() -> None:
    """Chi-square of 20,000 samples of 5 from 50, for what is drawn and for what is drawn first; below the 99.9 % quantile of 49 degrees."""
    drawn, first = Counter[int](), Counter[int]()
    for number in range(20_000):
        places = draw_places(number.to_bytes(32, "big"), bytes(32), 50, 5)
        drawn.update(places)
        first[places[0]] += 1
    for counter, expected in ((drawn, 2000), (first, 400)):
        assert sum((counter[place] - expected) ** 2 / expected for place in range(50)) < 85.35


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    directory = tmp_path_factory.mktemp("sample")
    log = PlainLog(directory / "log").extend(entry.record for entry in stamped(3000))
    opened = Index.open(f"sqlite:///{directory}/index.sqlite")
    opened.follow(log.view())
    yield opened
    opened.close()


def test_anybody_draws_the_same_from_an_index_of_their_own(index: Index, tmp_path: Path) -> None:
    log = PlainLog(tmp_path / "log").extend(entry.record for entry in stamped(3000))
    other = Index.open(f"sqlite:///{tmp_path}/index.sqlite")
    other.follow(log.view())
    wanted = Filter(kind="result", verdict="signed")
    mine = draw(index, wanted, 20, SEED)
    assert mine == draw(other, wanted, 20, SEED)
    assert mine.population == index.search(wanted).total
    assert set(mine.indices) <= set(index.matching(wanted).tolist())
    assert mine.indices[:7] == draw(index, wanted, 7, SEED).indices


def test_another_seed_filter_or_checkpoint_draws_others(index: Index, tmp_path: Path) -> None:
    def drawn(wanted: Filter = RESULTS, seed: Bytes32 = SEED, of: Index = index) -> Drawn:
        return draw(of, wanted, 20, seed)

    log = PlainLog(tmp_path / "log").extend(entry.record for entry in stamped(3001))
    later = Index.open(f"sqlite:///{tmp_path}/index.sqlite")
    later.follow(log.view())
    others = [drawn(seed=Bytes32(bytes(32))), drawn(Filter(kind="intent")), drawn(of=later)]
    assert len({drawn().indices, *(other.indices for other in others)}) == 4
    assert drawn(Filter(kind="result")).to_json()["filter"] == {"kind": "result"}


def test_less_than_was_asked_for_is_all_of_it_and_nothing_is_nothing(index: Index) -> None:
    few = Filter(kind="clock")
    assert sorted(draw(index, few, 500, SEED).indices) == index.matching(few).tolist()
    assert draw(index, Filter(kind="anchor"), 5, SEED).indices == ()


@pytest.mark.parametrize(("size", "seed"), [(0, SEED), (MAX_SAMPLE + 1, SEED), (5, bytes(31)), (5, b"")])
def test_what_cannot_be_drawn_is_refused(index: Index, size: int, seed: bytes) -> None:
    with pytest.raises(MalformedInput):
        draw(index, Filter(), size, Bytes32(seed))


def test_an_index_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogRefused):
        draw(Index.open(f"sqlite:///{tmp_path}/index.sqlite"), Filter(), 1, SEED)


def test_a_digest_binds_origin_size_root_and_indices() -> None:
    checkpoint = Checkpoint("log.example/affidavit", 1000, Bytes32(bytes(32)), "")
    others = [
        (replace(checkpoint, origin="other.example"), [1, 2]),
        (replace(checkpoint, size=1001), [1, 2]),
        (replace(checkpoint, root=SEED), [1, 2]),
        (checkpoint, [1, 3]),
        (checkpoint, [1]),
        (checkpoint, []),
    ]
    assert len({compute_population_digest(*other) for other in [(checkpoint, [1, 2]), *others]}) == 7
