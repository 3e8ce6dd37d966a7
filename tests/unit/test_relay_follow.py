"""Following by hash: parent check, rewind to the common ancestor, confirmations, crashes, lagging endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from oracle.encoding import keccak256
from oracle.errors import ChainError
from oracle.records import Asked, Block, Bytes32, ModelKind
from oracle.relay import follow
from oracle.relay.follow import Follower, SqlTrail
from oracle.relay.schema import FOLLOWED_BLOCKS
from oracle.store import open_database
from tests.twins.chain import ChainTwin
from tests.twins.operators import operator_signer


class Diary:
    """What a consumer saw."""

    def __init__(self, engine: Engine) -> None:
        self.taken: list[int] = []
        self.undone: list[int] = []
        self.asked: list[bytes] = []
        self.fails_at: int | None = None
        self.trail = SqlTrail(engine, FOLLOWED_BLOCKS, self._take, self._undo)

    def _take(self, _connection: Connection, block: Block, asked: Sequence[Asked]) -> None:
        if block.number == self.fails_at:
            raise RuntimeError("the consumer crashed")
        self.taken.append(block.number)
        self.asked += [one.request_id for one in asked]

    def _undo(self, _connection: Connection, block: Block) -> None:
        self.undone.append(block.number)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay")


@pytest.fixture
def diary(engine: Engine) -> Diary:
    return Diary(engine)


def test_takes_every_block_once_in_order(diary: Diary) -> None:
    chain = ChainTwin()
    chain.mine(5)
    follower = Follower(chain, diary.trail, first_block=1)
    follower.step()
    follower.step()
    chain.mine(2)
    follower.step()
    assert diary.taken == [1, 2, 3, 4, 5, 6, 7]
    assert diary.undone == []


def test_takes_the_requests_of_a_block(diary: Diary) -> None:
    chain = ChainTwin()
    chain.register_operator(0, signer=operator_signer(0).address)
    model = chain.register_model(ModelKind.OPAQUE, keccak256(b"manifest"))
    asked = chain.ask(model, b"input", fee_wei=10)
    Follower(chain, diary.trail, first_block=1).step()
    assert diary.asked == [asked.request_id]


def test_takes_few_at_a_time(diary: Diary) -> None:
    chain = ChainTwin()
    chain.mine(10)
    follower = Follower(chain, diary.trail, first_block=1)
    assert [b.number for b in follower.step(3).taken] == [1, 2, 3]
    assert [b.number for b in follower.step(3).taken] == [4, 5, 6]


@pytest.mark.parametrize("depth", [1, 2, 3, 7])
def test_rewinds_to_the_common_ancestor(diary: Diary, depth: int) -> None:
    chain = ChainTwin()
    chain.mine(9)
    follower = Follower(chain, diary.trail, first_block=1)
    follower.step()
    chain.reorg(depth)
    done = follower.step()
    assert [b.number for b in done.undone] == list(range(9, 9 - depth, -1))
    assert [b.number for b in done.taken] == list(range(10 - depth, 11))
    newest = diary.trail.newest()
    assert newest is not None
    assert newest.hash == chain.head.block.hash


def test_rewinds_everything_when_nothing_is_shared(diary: Diary) -> None:
    chain = ChainTwin()
    chain.mine(4)
    follower = Follower(chain, diary.trail, first_block=1)
    follower.step()
    chain.reorg(4)
    follower.step()
    assert diary.undone == [4, 3, 2, 1]
    assert diary.taken == [1, 2, 3, 4, 1, 2, 3, 4, 5]


def test_confirmations_hide_shallow_reorganisations(diary: Diary) -> None:
    chain = ChainTwin()
    chain.mine(9)
    follower = Follower(chain, diary.trail, first_block=1, confirmations=3)
    follower.step()
    assert diary.taken[-1] == 6
    chain.reorg(3)
    follower.step()
    assert diary.undone == []
    assert diary.taken == list(range(1, 8))


def test_crash_in_the_consumer_leaves_trail_and_consequences_equal(diary: Diary) -> None:
    chain = ChainTwin()
    chain.mine(5)
    follower = Follower(chain, diary.trail, first_block=1)
    diary.fails_at = 4
    with pytest.raises(RuntimeError):
        follower.step()
    newest = diary.trail.newest()
    assert newest is not None
    assert newest.number == diary.taken[-1] == 3
    diary.fails_at = None
    Follower(chain, diary.trail, first_block=1).step()
    assert diary.taken == [1, 2, 3, 4, 5]


def test_outage_raises_and_changes_nothing(diary: Diary) -> None:
    chain = ChainTwin()
    chain.mine(3)
    follower = Follower(chain, diary.trail, first_block=1)
    chain.is_down = True
    with pytest.raises(ChainError):
        follower.step()
    chain.is_down = False
    follower.step()
    assert diary.taken == [1, 2, 3]


class Lagging(ChainTwin):
    """An endpoint behind a balancer: its head falls back, on the same chain."""

    lag = 0

    def block(self, which: int | str) -> Block | None:  # type: ignore[override]
        head = self.head.block.number - self.lag
        if which == "latest":
            return super().block(head)
        return super().block(which) if isinstance(which, int) and which <= head else None  # type: ignore[arg-type]


def test_lagging_endpoint_undoes_nothing(diary: Diary) -> None:
    chain = Lagging()
    chain.mine(6)
    follower = Follower(chain, diary.trail, first_block=2)
    follower.step()
    chain.lag = 3
    assert follower.step().undone == ()
    chain.lag = 5
    with pytest.raises(ChainError, match="below every block"):
        follower.step()
    chain.lag = 0
    chain.mine()
    follower.step()
    assert diary.taken == [2, 3, 4, 5, 6, 7]


def test_shorter_fork_is_undone_to_the_fork(diary: Diary) -> None:
    chain = Lagging()
    chain.mine(6)
    follower = Follower(chain, diary.trail, first_block=1)
    follower.step()
    chain.reorg(4)  # 2 shared, 5 new
    chain.lag = 3  # the endpoint is at 4, on the new branch
    follower.step()
    assert diary.undone == [6, 5, 4, 3]
    assert diary.taken[6:] == [3, 4]


class Moving(ChainTwin):
    """Replaces its newest three blocks once: after it gave block `moves_at`. Some endpoints still know events of what was replaced."""

    moves_at: int | None = None
    remembers = True

    def block(self, which: int | str) -> Block | None:  # type: ignore[override]
        found = super().block(which)  # type: ignore[arg-type]
        if which == self.moves_at:
            self.moves_at = None
            self.reorg(3)
        return found

    def requested_in(self, block_hash: Bytes32) -> list[Asked]:
        is_there = any(mined.block.hash == block_hash for mined in self.chain)
        return super().requested_in(block_hash) if is_there or not self.remembers else []


def test_chain_that_moves_while_it_is_read_stops_the_step(diary: Diary) -> None:
    chain = Moving()
    chain.mine(6)
    chain.moves_at = 5  # 4, 5 and 6 are replaced: the new 6 is no child of the 5 that was read before
    follower = Follower(chain, diary.trail, first_block=1)
    assert [b.number for b in follower.step().taken] == [1, 2, 3, 4, 5]
    follower.step()
    assert diary.undone == [5, 4]
    check_whole(diary, chain)


def test_block_whose_events_are_gone_is_not_taken(diary: Diary) -> None:
    chain = Moving()
    chain.mine(6)
    chain.moves_at, chain.remembers = 6, False
    follower = Follower(chain, diary.trail, first_block=1)
    with pytest.raises(ChainError):
        follower.step()
    assert diary.taken == []
    follower.step()
    check_whole(diary, chain)


def check_whole(diary: Diary, chain: ChainTwin) -> None:
    newest = diary.trail.newest()
    assert newest is not None
    assert newest.hash == chain.head.block.hash
    numbers = [diary.trail.at(n) for n in range(1, newest.number + 1)]
    assert all(b is not None and chain.block(b.number) == b for b in numbers)


@pytest.mark.parametrize("mined", [follow.TOGETHER - 1, follow.TOGETHER, follow.TOGETHER + 1, 3 * follow.TOGETHER + 5])
@pytest.mark.parametrize("confirmations", [0, 2])
def test_every_block_is_taken_once_while_catching_up(diary: Diary, mined: int, confirmations: int) -> None:
    chain = ChainTwin()
    chain.mine(mined)
    follower = Follower(chain, diary.trail, first_block=1, confirmations=confirmations)
    while follower.step(most_blocks=follow.TOGETHER + 3).taken:
        pass
    assert diary.taken == list(range(1, mined + 1 - confirmations))


def test_blocks_are_asked_for_together_while_catching_up(diary: Diary) -> None:
    class Counting(ChainTwin):
        exchanges = 0

        def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
            self.exchanges += 1
            return super().blocks(numbers)

        def requested_in_each(self, block_hashes: Sequence[Bytes32]) -> list[list[Asked]]:
            self.exchanges += 1
            return super().requested_in_each(block_hashes)

    chain = Counting()
    chain.mine(2 * follow.TOGETHER)
    Follower(chain, diary.trail, first_block=1).step()
    assert len(diary.taken) == 2 * follow.TOGETHER
    assert chain.exchanges == 4


def test_reorganisation_below_the_trail_is_refused(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "TRAIL_BLOCKS", 4)
    chain = ChainTwin()
    chain.mine(9)
    follower = Follower(chain, diary.trail, first_block=1)
    follower.step()
    chain.reorg(6)
    with pytest.raises(ChainError, match="shares none"):
        follower.step()
    assert diary.undone == []


def test_block_is_never_stored_twice(diary: Diary) -> None:
    chain = ChainTwin()
    chain.mine(1)
    block = chain.head.block
    diary.trail.take(block, [])
    with pytest.raises(IntegrityError):
        diary.trail.take(block, [])
