"""The index against lying logs, against forks, and against a twin that reads every record for every question; on both databases."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle.audit.bits import BLOCK, decode, descending, encode, encode_positions, from_positions, positions
from oracle.audit.index import MAX_PAGE, Filter, Index
from oracle.audit.note import SignerKey
from oracle.audit.record import parse_record
from oracle.audit.source import DirectorySource
from oracle.audit.tiles import ENTRIES, Tile, encode_bundle
from oracle.audit.verified import VerifiedTiles
from oracle.bench.traffic import stamped
from oracle.encoding import PROOF_SELECTOR, QUORUM_ECDSA_SELECTOR, to_hex
from oracle.errors import AuditFailed, LogRefused, MalformedInput, StoreError
from oracle.records import EntryKind
from tests.twins.logs import KEY
from tests.twins.naive_search import NaiveSearch
from tests.twins.plain_log import START, PlainLog, call
from tests.twins.postgres import NewDatabase

ONE_FOR_ALL = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def traffic(directory: Path, count: int, seed: int = 1) -> PlainLog:
    return PlainLog(directory).extend(entry.record for entry in stamped(count, seed))


def index_of(url: str, log: PlainLog) -> Index:
    index = Index.open(url)
    index.follow(log.view())
    return index


def found(index: Index, wanted: Filter) -> list[int]:
    """Every page of a search, by its indices."""
    indices: list[int] = []
    before, total = None, None
    while True:
        page = index.search(wanted, before, 7 if total is None or total < 100 else MAX_PAGE)
        assert total in (None, page.total)
        indices, total, before = indices + [item.index for item in page.items], page.total, page.next
        if before is None:
            assert total == len(indices)
            assert index.matching(wanted).tolist() == indices[::-1]
            return indices


# ---- lies -------------------------------------------------------------------------------------------------------------------------------
def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def swap(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[32:64] + data[:32] + data[64:])


@pytest.mark.parametrize("lie", [cut, flip, swap])
@pytest.mark.parametrize(
    "tile",
    [Tile(ENTRIES, 1), Tile(ENTRIES, 2, 88), Tile(0, 2, 88), Tile(1, 0, 2)],
    ids=["bundle", "edge bundle", "edge leaves", "edge tile"],
)
def test_a_changed_file_is_not_indexed(tmp_path: Path, new_database: NewDatabase, lie: Callable[[Path], None], tile: Tile) -> None:
    log = traffic(tmp_path / "log", 600)
    index = Index.open(new_database())
    lie(log.directory / tile.path())
    with pytest.raises(AuditFailed):
        index.follow(log.view())
    assert index.search(Filter()).items == ()
    assert index.size == 0


def test_full_tiles_above_the_leaves_are_held_against_the_root(tmp_path: Path) -> None:
    log = traffic(tmp_path / "log", 66_000)
    true = list(VerifiedTiles(log.view()).leaves(65_000))
    assert [record for _, _, record in true] == log.data[65_000:]
    swap(log.directory / Tile(1, 0).path())
    with pytest.raises(AuditFailed, match="tile/1/000"):
        VerifiedTiles(log.view()).bundle(3)


def test_an_entry_that_is_in_the_tree_and_is_no_record_stops_the_index(tmp_path: Path, new_database: NewDatabase) -> None:
    log = traffic(tmp_path / "log", 20)
    log.extend([b'{"audit.kind":"intent"}'])
    with pytest.raises(AuditFailed, match="step 1, entry, entry 20"):
        Index.open(new_database()).follow(log.view())


def test_a_fork_a_rollback_and_another_log_are_refused(tmp_path: Path, new_database: NewDatabase) -> None:
    log = traffic(tmp_path / "log", 700)
    index = index_of(new_database(), log)
    fork = traffic(tmp_path / "fork", 699).extend([b"another last entry"])
    fork.extend(log.data[:50])
    shorter, other = traffic(tmp_path / "shorter", 650), PlainLog(tmp_path / "other", SignerKey("other.example/log", bytes(32)))
    other.extend(log.data)
    for liar in (fork, shorter, other):
        with pytest.raises(LogRefused):
            index.follow(liar.view())
    assert index.size == 700
    assert index.follow(log.view()) == 0


def test_a_log_that_is_rewritten_behind_the_index_is_refused_by_who_shares_it(tmp_path: Path, new_database: NewDatabase) -> None:
    """`refresh` bears that another process is further, and nothing else."""
    url = new_database()
    log = traffic(tmp_path / "log", 300)
    index, other = index_of(url, log), Index.open(url)
    old = log.view()
    log.extend(entry.record for entry in list(stamped(400))[300:])
    assert other.refresh(DirectorySource(log.directory), KEY.verifier).size == 400
    assert index.follow(old, known=300) == 0
    with pytest.raises(LogRefused):
        index.follow(old, known=400)
    with pytest.raises(LogRefused):
        index.follow(old)


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(hash="0x12"),
        Filter(hash="no hex at all, but long"),
        Filter(transaction="0xzz"),
        Filter(call_id="7"),
        Filter(text=" ".join(f"w{i}" for i in range(17))),
        Filter(text="…!"),
        Filter(start=START.replace(tzinfo=None)),
    ],
)
def test_what_no_record_can_have_is_refused(tmp_path: Path, wanted: Filter) -> None:
    index = index_of(f"sqlite:///{tmp_path}/index.sqlite", traffic(tmp_path / "log", 5))
    with pytest.raises(MalformedInput):
        index.search(wanted)


def test_a_dead_database_is_the_worlds_fault(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        Index.open("postgresql+psycopg://nobody@/nothing?host=/nowhere")


# ---- sets -------------------------------------------------------------------------------------------------------------------------------
@given(st.sets(st.integers(0, BLOCK - 1), max_size=1200) | st.integers(1000, 1100).map(lambda n: set(range(n))))
def test_sets_are_stored_and_read_back(members: set[int]) -> None:
    bits = from_positions(members)
    assert bits == sum(1 << member for member in members)
    assert encode(bits) == encode_positions(members)
    assert len(encode(bits)) <= BLOCK // 8
    assert decode(encode(bits)) == bits
    assert positions(bits).tolist() == sorted(members) == list(descending(bits))[::-1]


# ---- truths -----------------------------------------------------------------------------------------------------------------------------
NAMES = st.sampled_from(["digits", "gpt-4o mini", "Größe", "a\0b", "x" * 300])
VERDICTS = st.sampled_from(["unverified", "signed", "proven", "rejected", "no such word"])
IDS = st.integers(1, 4).map(lambda n: f"0x{n:064x}") | st.integers(1, 4).map(lambda n: f"{n:016x}")
STEP = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["intent", "result", "error", "receipt", "clock", "review"]),
        "call": st.integers(0, 5),
        "at": st.integers(0, 90),
    },
    optional={
        "gen_ai__request__model": NAMES,
        "gen_ai__response__model": NAMES,
        "audit__model_id": IDS,
        "audit__caller": NAMES,
        "audit__verdict": VERDICTS,
        "audit__trace_id": IDS,
        "audit__latency_microseconds": st.integers(0, 10**7),
        "audit__tool_names": st.lists(NAMES, max_size=3),
        "writer": st.sampled_from(["node-1", "node-2"]),
    },
)


def tell(log: PlainLog, step: dict[str, Any]) -> None:
    fields = {name: value for name, value in step.items() if name not in ("kind", "call", "at", "writer")}
    kind, writer, at, of = EntryKind(step["kind"]), step.get("writer", "node-1"), step["at"] * 60, call(step["call"])
    if kind is EntryKind.INTENT:
        fields |= {"audit__call_id": of, "gen_ai__operation__name": "chat"}
    elif kind is EntryKind.RESULT:
        fields |= {"audit__call_id": of, "audit__outcome": ("ok", "refused")[step["at"] % 2], "audit__intent__index": 0}
    elif kind is EntryKind.ERROR:
        fields |= {"audit__call_id": of, "error__type": ("Timeout", "minority_claim")[step["at"] % 2]}
    elif kind is EntryKind.RECEIPT:
        chosen = [to_hex(s) for s in (QUORUM_ECDSA_SELECTOR, PROOF_SELECTOR)][step["at"] % 2 :]
        fields |= {"audit__request_id": of, "audit__evidence_selectors": chosen, "audit__transaction": call(step["at"] + 1000)}
        required = ("input_digest", "chain_id", "coprocessor", "output_digest", "claim_digest", "block_hash", "policy")
        fields = {f"audit__{name}": call(77) for name in ("model_id", *required)} | fields
    elif kind is EntryKind.CLOCK:
        fields |= {"audit__clock__source": "kernel"}
    else:
        fields |= {"audit__review__action": "signed off"}
    log.add(kind, at, writer, **fields)


FILTERS = st.builds(
    Filter,
    kind=st.none() | st.sampled_from(["intent", "result", "receipt", "anchor"]),
    writer=st.none() | st.sampled_from(["node-1", "node-3"]),
    model=st.none() | NAMES | IDS,
    caller=st.none() | NAMES,
    outcome=st.none() | st.sampled_from(["open", "ok", "error", "refused"]),
    verdict=st.none() | VERDICTS,
    evidence=st.none() | st.sampled_from(["none", "quorum", "proof", "quorum+proof"]),
    call_id=st.none() | st.integers(0, 5).map(call),
    hash=st.none() | IDS,
    transaction=st.none() | st.integers(1000, 1090).map(call),
    text=st.none() | st.sampled_from(["GPT", "4o mini", "größe", "kernel", "node 2", "nothing of the kind", "signed off", "x" * 300]),
    start=st.none() | st.integers(-1, 91).map(lambda m: START + timedelta(minutes=m)),
    end=st.none() | st.integers(-1, 91).map(lambda m: START + timedelta(minutes=m)),
)


@settings(max_examples=30, suppress_health_check=ONE_FOR_ALL, deadline=None)
@given(
    steps=st.lists(STEP, min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    filters=st.lists(FILTERS, min_size=5, max_size=15),
)
def test_search_is_the_twins(
    tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase, steps: list[dict[str, Any]], cuts: list[int], filters: list[Filter]
) -> None:
    """However the log grew between two looks at it."""
    log = PlainLog(tmp_path_factory.mktemp("log"))
    index = Index.open(new_database())
    for number, step in enumerate(steps):
        tell(log, step)
        if number in cuts:
            index.follow(log.publish().view())
            index._states.clear()  # as another process would go on
    index.follow(log.publish().view())
    naive = NaiveSearch(log.records, log.data)
    single = [
        replace(Filter(), **{name: getattr(f, name)}) for f in filters[:3] for name in ("model", "outcome", "verdict", "text", "start")
    ]
    for wanted in [Filter(), *filters, *single]:
        assert found(index, wanted) == naive.search(wanted), wanted
    for item in index.show(range(len(log.data))):
        state = naive.state(item.index)
        assert (item.outcome, item.verdict, item.evidence) == tuple(state.get(name) for name in ("outcome", "verdict", "evidence"))
        assert item.latency_microseconds == state.get("latency")
    index.close()


def test_an_entry_is_parsed_once_however_often_its_bundle_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr("oracle.audit.prepared.parse_record", lambda data: (parsed.append(data), parse_record(data))[1])
    log, index = PlainLog(tmp_path / "log"), Index.open(f"sqlite:///{tmp_path}/index.sqlite")
    for number in range(30):
        for part in range(10):
            log.add(EntryKind.CLOCK, number * 10 + part, audit__clock__source="kernel")
        index.follow(log.publish().view())
    assert parsed == log.data
    index.close()


def test_what_is_kept_of_calls_is_bounded(tmp_path: Path, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows a log for months keeps as much as at the first hour; calls that go on after they were forgotten are read again."""
    monkeypatch.setattr("oracle.audit.index._MAX_STATES", 8)
    log, index, rng = PlainLog(tmp_path / "log"), Index.open(new_database()), random.Random(7)
    for number in range(120):
        of = call(number // 3 if number % 3 else rng.randrange(number // 3 + 1))  # most go on where they are, some much later
        fields: dict[str, Any] = {"audit__call_id": of, "gen_ai__operation__name": "chat", "gen_ai__request__model": f"model-{number % 5}"}
        log.add(EntryKind.INTENT, number, **fields)
        log.add(EntryKind.RESULT, number, audit__call_id=of, audit__outcome=("ok", "refused")[number % 2], audit__intent__index=0)
        index.follow(log.publish().view())
        assert len(index._states) <= 8
    naive = NaiveSearch(log.records, log.data)
    for wanted in [Filter(), *(Filter(model=f"model-{n}") for n in range(5)), Filter(outcome="ok"), Filter(outcome="refused")]:
        assert found(index, wanted) == naive.search(wanted), wanted
    assert bytes.fromhex(call(119 // 3)[2:]) in index._states, "those of the newest records are kept"
    index.close()


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> PlainLog:
    """Two blocks and a bit."""
    return traffic(tmp_path_factory.mktemp("long") / "log", 2 * BLOCK + 700, seed=5)


def questions(log: PlainLog) -> list[Filter]:
    records = log.records
    rng = random.Random(3)
    some = [records[rng.randrange(len(records))] for _ in range(3)]
    calls = [record for record in some if "audit.call_id" in record]
    middle = START.replace(month=10, day=1, hour=6)
    return [
        Filter(),
        Filter(text="chat"),
        Filter(text="chat harbour no"),
        Filter(text="translation", verdict="proven"),
        Filter(text="caller 0007"),
        Filter(kind="error", model="granite-vision"),
        Filter(outcome="open"),
        Filter(verdict="rejected"),
        Filter(caller="caller-0012", outcome="ok"),
        Filter(start=middle, end=middle + timedelta(minutes=30)),
        Filter(start=middle, verdict="signed", text="desk"),
        *(Filter(call_id=record["audit.call_id"]) for record in calls),
        *(Filter(hash="0x" + NaiveSearch([], [log.data[i]]).leaves[0]) for i in (0, BLOCK - 1, BLOCK, 2 * BLOCK)),
        *(Filter(hash=r["audit.trace_id"]) for r in records[:3] if "audit.trace_id" in r),
    ]


def test_search_over_several_blocks_is_the_twins(new_database: NewDatabase, long_log: PlainLog) -> None:
    index = index_of(new_database(), long_log)
    naive = NaiveSearch(long_log.records, long_log.data)
    for wanted in questions(long_log):
        assert found(index, wanted) == naive.search(wanted), wanted
    index.close()


def test_an_index_that_was_deleted_is_built_again_and_says_the_same(tmp_path: Path, long_log: PlainLog) -> None:
    """And one that followed the log in small steps says the same, too."""
    first = index_of(f"sqlite:///{tmp_path}/first.sqlite", long_log)
    slow = Index.open(f"sqlite:///{tmp_path}/slow.sqlite")
    growing = PlainLog(tmp_path / "growing")
    for end in (1, 300, 5000, BLOCK - 1, BLOCK + 1, 20_000, len(long_log.data)):
        growing.data = long_log.data[:end]
        assert slow.follow(growing.publish().view()) > 0
    assert slow.checkpoint == first.checkpoint
    for wanted in questions(long_log):
        assert slow.search(wanted, limit=MAX_PAGE) == first.search(wanted, limit=MAX_PAGE)
    assert slow.ledger() == first.ledger()


def test_a_page_is_not_shifted_by_what_comes_in(tmp_path: Path, new_database: NewDatabase) -> None:
    log = traffic(tmp_path / "log", 500)
    index = index_of(new_database(), log)
    first = index.search(Filter(text="chat"), limit=20)
    log.extend(entry.record for entry in list(stamped(900))[500:])
    index.follow(log.view())
    second = index.search(Filter(text="chat"), before=first.next, limit=20)
    assert second.items[0].index < first.items[-1].index
    assert second.items == index.search(Filter(text="chat"), before=first.items[-1].index, limit=20).items
    for limit in (0, MAX_PAGE + 1):
        with pytest.raises(MalformedInput):
            index.search(Filter(), limit=limit)


def test_the_overview_is_the_twins(tmp_path: Path, new_database: NewDatabase) -> None:
    """Counts are exact; quantiles within what their classes allow."""
    log = traffic(tmp_path / "log", 6000, seed=2)
    index, naive = Index.open(new_database()), NaiveSearch(log.records, log.data)
    for end in (2000, 2001, 6000):
        shorter = PlainLog(tmp_path / str(end)).extend(log.data[:end])
        index.follow(shorter.view())
    begun = datetime(2026, 10, 1, tzinfo=UTC)
    calls = [(datetime.fromisoformat(naive.records[at[0]]["audit.time"]), naive.state(at[0])) for at in naive.calls.values()]
    for hours, unit in ((1, "hour"), (3, "hour"), (24 * 30, "day")):
        overview = index.overview(begun, begun + timedelta(hours=hours) - timedelta(seconds=1))
        states = [state for time, state in calls if time < begun + timedelta(hours=hours)]
        assert (overview.unit, overview.calls) == (unit, len(states))
        assert overview.outcomes == Counter(state["outcome"] for state in states)
        assert overview.verdicts == Counter(state["verdict"] for state in states)
        assert overview.models == Counter(state["model"] for state in states)
        assert overview.evidence == {"none": len(states)}
        assert sum(volume.calls for volume in overview.volume) == len(states)
        assert sum(volume.errors for volume in overview.volume) == sum(state["outcome"] in ("error", "cancelled") for state in states)
        latencies = sorted(state["latency"] for state in states if state["latency"] is not None)
        assert overview.p50_ms == pytest.approx(latencies[len(latencies) // 2] / 1000, rel=0.03)
        assert overview.p95_ms == pytest.approx(latencies[int(0.95 * len(latencies))] / 1000, rel=0.06)
    nothing = index.overview(begun - timedelta(days=1), begun)
    assert (nothing.calls, nothing.p50_ms, nothing.latency) == (0, None, ())


def test_records_of_a_call(tmp_path: Path, new_database: NewDatabase) -> None:
    log = PlainLog(tmp_path / "log")
    intent = log.intent(7)
    log.intent(8)
    result = log.result(7, intent, audit__verdict="signed")
    index = index_of(new_database(), log.publish())
    assert index.records_of(bytes.fromhex(call(7)[2:])) == [intent, result]
    assert [item.verdict for item in index.show([intent, result, 99])] == ["signed", "signed"]


def test_a_batch_that_fails_leaves_nothing(tmp_path: Path, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states kept in memory are thrown away with the transaction, so the next try counts nothing twice."""
    log = traffic(tmp_path / "log", 400)
    index = Index.open(new_database())
    with monkeypatch.context() as patched:
        patched.setattr("oracle.audit.projection._write_moments", lambda *_: (_ for _ in ()).throw(RuntimeError("cut")))
        with pytest.raises(RuntimeError):
            index.follow(log.view())
    assert index.size == 0
    index.follow(log.view())
    naive = NaiveSearch(log.records, log.data)
    assert found(index, Filter(verdict="signed")) == naive.search(Filter(verdict="signed"))


def test_two_processes_that_follow_at_once_take_in_every_entry_once(
    tmp_path: Path, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oracle.audit.index._BATCH", 256)
    log = traffic(tmp_path / "log", 3000)
    url = new_database()
    opened = [Index.open(url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda index: index.follow(log.view()), opened))
    naive = NaiveSearch(log.records, log.data)
    for wanted in (Filter(), Filter(verdict="signed"), Filter(outcome="error", text="desk")):
        assert found(opened[0], wanted) == naive.search(wanted)
    assert opened[1].ledger().size == 3000
    assert opened[1].overview(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC)).calls == len(naive.calls)


def test_an_index_built_by_several_processes_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And stops at the same entry, with the same words."""
    monkeypatch.setattr("oracle.audit.index._WORTH_PROCESSES", 0)
    monkeypatch.setattr("oracle.audit.index._BATCH", 512)
    log = traffic(tmp_path / "log", 1500)
    one, two = (Index.open(f"sqlite:///{tmp_path}/{name}.sqlite") for name in ("one", "two"))
    assert one.follow(log.view()) == two.follow(log.view(), processes=2) == 1500
    for wanted in (Filter(), Filter(text="chat"), Filter(verdict="signed", kind="result")):
        assert one.search(wanted, limit=MAX_PAGE) == two.search(wanted, limit=MAX_PAGE)
    assert one.books() == two.books()
    log.extend([b'{"audit.kind":"intent"}'])
    for index, processes in ((one, 1), (two, 2)):
        with pytest.raises(AuditFailed, match="step 1, entry, entry 1500: record: expected the field"):
            index.follow(log.view(), processes=processes)


def test_a_record_of_nothing_but_words_and_the_oldest_of_times(tmp_path: Path, new_database: NewDatabase) -> None:
    log = PlainLog(tmp_path / "log")
    words = " ".join(f"w{number:x}" for number in range(900))
    for name in ("one", "two", "three", "four"):
        log.clock(at=-20_000_000_000 if name == "one" else 0, **{f"test__{name}": words.replace("w", name)})
    index = index_of(new_database(), log.publish())
    assert [item.index for item in index.search(Filter(text="one2db two2db")).items] == []
    assert [item.index for item in index.search(Filter(text="one2db one0")).items] == [0]
    assert index.show([0])[0].time == log.records[0]["audit.time"]
    assert [item.index for item in index.search(Filter(end=datetime(1970, 1, 1, tzinfo=UTC))).items] == [0]


def test_bundles_are_read_once(tmp_path: Path) -> None:
    """An answer that changes between two readings is of no use to a liar: there is only one."""
    log = traffic(tmp_path / "log", 600)
    seen: list[str] = []

    class Watched(DirectorySource):
        def read_tile(self, tile: Tile) -> bytes:
            seen.append(tile.path())
            return super().read_tile(tile)

    view = log.view()
    view.source = Watched(log.directory)
    assert encode_bundle([record for _, _, record in VerifiedTiles(view).leaves(0)]) == encode_bundle(log.data)
    assert len(seen) == len(set(seen))
